/* SPDX-License-Identifier: MIT */
/*
 * Fifty pages, one after another, then each on a thread of its own: all threads are made and
 * started, then all are joined. The site takes 100 ms for an answer: one thread waits five seconds,
 * fifty threads wait together.
 *
 *     multi_thread_craw [URL...]
 */
#include <stdlib.h>

#include <weft/thread.h>

#include "blog_spider.h"

/* One page, and the thread that fetches it. */
struct visit {
    const char *url;
    struct wf_thread *thread;
    bool failed;
};

/* A page that fails is reported by craw, and does not cost the others. */
static int get_url(void *arg)
{
    struct visit *visit = arg;
    struct html html;
    visit->failed = craw(NULL, visit->url, &html) != 0;
    if (!visit->failed) {
        printf("%s %zu\n", visit->url, html.len);
        html_free(&html);
    }
    return 0;
}

static int single_thread(struct visit *visits)
{
    puts("single_thread begin");
    for (size_t i = 0; i < urls.count; i++)
        get_url(&visits[i]);
    puts("single_thread end");
    return 0;
}

static int multi_thread(struct visit *visits)
{
    struct wf_error error;
    int err = 0;
    puts("multi_thread begin");
    for (size_t i = 0; i < urls.count && !err; i++)
        err = WF_THREAD(get_url, &visits[i], &visits[i].thread, &error);
    for (size_t i = 0; i < urls.count && !err; i++)
        err = wf_thread_start(visits[i].thread);
    for (size_t i = 0; i < urls.count && !err; i++)
        err = wf_thread_join(visits[i].thread, NULL, WF_FOREVER);
    for (size_t i = 0; i < urls.count; i++)
        wf_thread_destroy(visits[i].thread);
    puts("multi_thread end");
    if (err)
        fprintf(stderr, "multi_thread_craw: %s\n", wf_strerror(err));
    return err;
}

/* Returns how many pages failed, or a negative code. */
static int timed(const char *name, int (*run)(struct visit *))
{
    struct visit *visits = calloc(urls.count, sizeof *visits);
    int failed = 0;
    if (!visits)
        return -1;
    for (size_t i = 0; i < urls.count; i++)
        visits[i].url = urls.at[i];
    int64_t start_ns = wf_now();
    int err = run(visits);
    printf("%s cost: %.2f seconds\n", name, (double)(wf_now() - start_ns) / 1e9);
    for (size_t i = 0; i < urls.count; i++)
        failed += visits[i].failed;
    free(visits);
    return err ? err : failed;
}

int main(int argc, char **argv)
{
    int failed = blog_spider_open(argc - 1, argv + 1, 100);
    if (!failed) {
        failed = timed("single_thread", single_thread);
        failed |= timed("multi_thread", multi_thread);
    }
    blog_spider_close();
    return failed ? 1 : 0;
}
