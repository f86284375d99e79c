/* SPDX-License-Identifier: MIT */
/*
 * Two pools of threads, one after the other. The first maps craw over the URLs: the pages come in
 * the order of the URLs. The second takes each page apart as a task of its own: the results come as
 * they are completed, and the future says which URL one belongs to.
 *
 *     thread_pool_spider [URL...]
 */
#include <stdlib.h>

#include <weft/threads.h>

#include "blog_spider.h"

struct pages {
    struct html *html; /* of urls.at[i]; no text where fetching it failed */
    parse_future *future;
    struct wf_future **set; /* the same, as a walk takes them */
};

/* The next URL for the map. */
static int next_url(void *arg, struct craw_args *ret_args)
{
    size_t *next = arg;
    if (*next == urls.count)
        return 0;
    ret_args->url = urls.at[(*next)++];
    return 1;
}

/* Returns how many failed, each of which it has told; or a negative code. */
static int map_pages(struct wf_executor *pool, struct pages *pages, struct wf_error *reterr)
{
    size_t next = 0;
    int failed = 0;
    craw_stream htmls;
    int err = craw_map(pool, &(struct wf_map_options){.look_ahead = (int)urls.count}, next_url,
                       &next, &htmls, reterr);
    if (err)
        return err;
    for (size_t i = 0; i < urls.count; i++) {
        err = craw_map_next(&htmls, &pages->html[i], WF_FOREVER, reterr);
        if (err == 1) {
            printf("%s %zu\n", urls.at[i], pages->html[i].len);
        } else {
            fprintf(stderr, "%s\n", reterr->text);
            failed++;
        }
    }
    craw_map_close(&htmls);
    return failed;
}

static void print_results(const char *url, const struct links *results)
{
    printf("%s [", url);
    for (size_t i = 0; i < results->count; i++) {
        fputs(i ? ", " : "", stdout);
        print_link(&results->at[i], stdout);
    }
    puts("]");
}

/* The same. */
static int parse_pages(struct wf_executor *pool, struct pages *pages, struct wf_error *reterr)
{
    struct wf_as_completed *walk;
    struct wf_future *completed;
    struct links results;
    size_t i;
    int err, failed = 0;
    for (i = 0; i < urls.count; i++)
        if (pages->html[i].text) {
            pages->future[i] = parse_submit(pool, pages->html[i]);
            pages->set[i] = pages->future[i].future;
        }
    err = wf_as_completed_open(pages->set, urls.count, &walk, reterr);
    if (err)
        return err;
    while ((err = wf_as_completed_next(walk, &completed, &i, WF_FOREVER, reterr)) == 1) {
        err = parse_result(&pages->future[i], &results, WF_NOW, reterr);
        if (err) {
            fprintf(stderr, "%s: %s\n", urls.at[i], reterr->text);
            failed++;
            continue;
        }
        print_results(urls.at[i], &results);
        links_free(&results);
    }
    wf_as_completed_close(walk);
    return err ? err : failed;
}

static int with_pool(int (*stage)(struct wf_executor *, struct pages *, struct wf_error *),
                     struct pages *pages)
{
    struct wf_executor *pool;
    struct wf_error error = {0};
    int err = wf_threads_create(NULL, &pool, &error);
    if (!err) {
        err = stage(pool, pages, &error);
        wf_executor_destroy(pool);
    }
    if (err < 0)
        fprintf(stderr, "thread_pool_spider: %s\n", error.text);
    return err;
}

int main(int argc, char **argv)
{
    int failed = blog_spider_open(argc - 1, argv + 1, 0);
    struct pages pages = {calloc(urls.count + 1, sizeof *pages.html),
                          calloc(urls.count + 1, sizeof *pages.future),
                          calloc(urls.count + 1, sizeof *pages.set)};
    bool memory = pages.html && pages.future && pages.set;
    if (!failed && memory) {
        failed |= with_pool(map_pages, &pages);
        puts("craw over");
        failed |= with_pool(parse_pages, &pages);
    }
    for (size_t i = 0; i < urls.count && memory; i++)
        html_free(&pages.html[i]);
    free(pages.html);
    free(pages.future);
    free(pages.set);
    blog_spider_close();
    return failed || !memory ? 1 : 0;
}
