/* SPDX-License-Identifier: MIT */
/*
 * Fifty pages, one after another, then each on a thread of its own. The site takes 100 ms for an
 * answer: one thread waits five seconds, fifty threads wait together.
 *
 *     multi_thread_craw [URL...]
 */
#include <stdlib.h>

#include <weft/inline.h>
#include <weft/threads.h>

#include "blog_spider.h"

WF_TASK(wf_none, get_url, (const char *, url))

int get_url(struct wf_task *self, const char *url, wf_none *ret)
{
    struct html html;
    int err = craw(self, url, &html);
    if (err)
        return err;
    printf("%s %zu\n", url, html.len);
    html_free(&html);
    *ret = (wf_none){0};
    return 0;
}
WF_TASK_DEFINE(get_url)

/* Waits for the end of each, and says which failed; one page lost does not cost the others. */
static int join(get_url_future *threads, size_t count)
{
    struct wf_error error;
    int failed = 0;
    for (size_t i = 0; i < count; i++) {
        int err = get_url_result(&threads[i], &(wf_none){0}, WF_FOREVER, &error);
        if (err)
            fprintf(stderr, "multi_thread_craw: %s\n", error.text);
        failed |= err;
    }
    return failed;
}

static int single_thread(get_url_future *calls)
{
    struct wf_executor *here;
    if (wf_inline_create(&here, NULL))
        return -1;
    puts("single_thread begin");
    for (size_t i = 0; i < urls.count; i++)
        calls[i] = get_url_submit(here, urls.at[i]);
    int failed = join(calls, urls.count);
    puts("single_thread end");
    wf_executor_destroy(here);
    return failed;
}

static int multi_thread(get_url_future *threads)
{
    struct wf_executor *on;
    if (wf_threads_create(&(struct wf_threads_options){.workers = (int)urls.count}, &on, NULL))
        return -1;
    puts("multi_thread begin");
    for (size_t i = 0; i < urls.count; i++)
        threads[i] = get_url_submit(on, urls.at[i]);
    int failed = join(threads, urls.count);
    puts("multi_thread end");
    wf_executor_destroy(on);
    return failed;
}

static int timed(const char *name, int (*run)(get_url_future *), get_url_future *futures)
{
    int64_t start_ns = wf_now();
    int failed = run(futures);
    printf("%s cost: %.2f seconds\n", name, (double)(wf_now() - start_ns) / 1e9);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = blog_spider_open(argc - 1, argv + 1, 100);
    get_url_future *futures = failed ? NULL : calloc(urls.count, sizeof *futures);
    if (futures) {
        failed |= timed("single_thread", single_thread, futures);
        failed |= timed("multi_thread", multi_thread, futures);
    }
    blog_spider_close();
    free(futures);
    return failed || !futures;
}
