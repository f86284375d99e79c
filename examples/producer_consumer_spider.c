/* SPDX-License-Identifier: MIT */
/*
 * Three threads fetch pages, two take them apart and write the links to data.txt in the current
 * directory; two queues join them. Both queues are bounded, and the end is carried through: the
 * URLs' queue is closed once it is filled, the last fetcher closes the pages' queue, and a thread
 * leaves when its queue is closed and empty.
 *
 *     producer_consumer_spider [--pause SECONDS] [URL...]
 *
 * --pause   after each step a thread rests for once to twice as long; 1 if not given
 */
#include <errno.h>
#include <getopt.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <weft/mutex.h>
#include <weft/queue.h>
#include <weft/thread.h>

#include "blog_spider.h"

enum { CRAW_THREADS = 3, PARSE_THREADS = 2, HTML_QUEUE_MAX = 16 };

WF_QUEUE(const char *, queue_of_urls)
WF_QUEUE(struct html, queue_of_htmls)

/* A file that threads write whole pages to. */
struct output {
    struct wf_mutex lock;
    FILE *file;
    size_t lines;
};

/* What all threads share. */
struct spider {
    queue_of_urls url_queue;
    queue_of_htmls html_queue;
    struct output fout;
    atomic_int craw_threads_left;
    atomic_int err; /* the first failure */
};

static double pause_s = 1;

static int rest(void)
{
    double times = 1 + (double)random() / RAND_MAX;
    return wf_sleep(wf_after(WF_SECONDS(pause_s * times)));
}

static void keep_first(struct spider *spider, int err)
{
    int none = 0;
    atomic_compare_exchange_strong(&spider->err, &none, err);
}

/* A page that cannot be fetched is reported by craw, and costs no other. */
static int do_craw(void *arg)
{
    struct spider *spider = arg;
    const char *name = wf_thread_name(wf_thread_self()), *url;
    struct html html;
    int err;
    while ((err = queue_of_urls_pop(spider->url_queue, &url, WF_FOREVER)) == 0) {
        if ((err = craw(NULL, url, &html)) != 0) {
            keep_first(spider, err);
            continue;
        }
        if ((err = queue_of_htmls_push(spider->html_queue, html, WF_FOREVER)) != 0) {
            html_free(&html);
            break;
        }
        printf("%s craw %s url_queue.size= %zu\n", name, url, queue_of_urls_len(spider->url_queue));
        if ((err = rest()) != 0)
            break;
    }
    if (atomic_fetch_sub(&spider->craw_threads_left, 1) == 1)
        queue_of_htmls_close(spider->html_queue, WF_CLOSE_GRACEFUL);
    if (err != -EPIPE)
        keep_first(spider, err);
    return 0;
}

static int write_links(struct output *fout, const struct links *results)
{
    int failed = 0;
    WF_LOCKED(&fout->lock) {
        for (size_t i = 0; i < results->count; i++) {
            print_link(&results->at[i], fout->file);
            fputc('\n', fout->file);
        }
        fout->lines += results->count;
        failed = ferror(fout->file);
    }
    return failed ? -EIO : 0;
}

static int do_parse(void *arg)
{
    struct spider *spider = arg;
    const char *name = wf_thread_name(wf_thread_self());
    struct html html;
    struct links results;
    int err;
    while ((err = queue_of_htmls_pop(spider->html_queue, &html, WF_FOREVER)) == 0) {
        err = parse(NULL, html, &results);
        html_free(&html);
        if (err)
            break;
        err = write_links(&spider->fout, &results);
        printf("%s results.size %zu html_queue.size= %zu\n", name, results.count,
               queue_of_htmls_len(spider->html_queue));
        links_free(&results);
        if (err || (err = rest()) != 0)
            break;
    }
    if (err != -EPIPE) {
        keep_first(spider, err);
        /* Nobody must be left pushing to a queue that nobody reads. */
        queue_of_htmls_close(spider->html_queue, WF_CLOSE_NOW);
    }
    return 0;
}

static void drop_html(void *html, void *arg)
{
    (void)arg;
    html_free(html);
}

/* Starts the five threads and returns when the last has ended. */
static int run(struct spider *spider, struct wf_error *reterr)
{
    static const char *const names[] = {"craw0", "craw1", "craw2", "parse0", "parse1"};
    struct wf_thread *threads[CRAW_THREADS + PARSE_THREADS] = {NULL};
    int err = 0, count = CRAW_THREADS + PARSE_THREADS;
    for (int i = 0; i < count && !err; i++)
        err = wf_thread_create(&(struct wf_thread_options){.name = names[i]},
                               i < CRAW_THREADS ? do_craw : do_parse, spider, &threads[i], reterr);
    for (int i = 0; i < count && !err; i++)
        if ((err = wf_thread_start(threads[i])) != 0) {
            wf_error_set(reterr, err, "%s: %s", names[i], wf_strerror(err));
            queue_of_htmls_close(spider->html_queue, WF_CLOSE_NOW); /* those that run end */
        }
    for (int i = 0; i < count; i++)
        wf_thread_destroy(threads[i]); /* joins it */
    return err;
}

/* Makes the queues, fills the first, and lets the threads work. */
static int crawl(struct spider *spider, struct wf_error *reterr)
{
    int err = queue_of_urls_create(&(struct wf_queue_options){.capacity = urls.count},
                                   &spider->url_queue, reterr);
    if (!err)
        err = queue_of_htmls_create(
            &(struct wf_queue_options){.capacity = HTML_QUEUE_MAX, .item_destroy = drop_html},
            &spider->html_queue, reterr);
    for (size_t i = 0; i < urls.count && !err; i++)
        err = queue_of_urls_push(spider->url_queue, urls.at[i], WF_FOREVER);
    if (!err) {
        queue_of_urls_close(spider->url_queue, WF_CLOSE_GRACEFUL);
        err = run(spider, reterr);
    }
    queue_of_htmls_destroy(spider->html_queue);
    queue_of_urls_destroy(spider->url_queue);
    return err ? err : atomic_load(&spider->err);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"pause", required_argument, NULL, 'p'}, {0}};
    struct spider spider = {.fout.lock = WF_MUTEX_INIT, .craw_threads_left = CRAW_THREADS};
    struct wf_error error = {0};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 'p')
            return 2;
        pause_s = atof(optarg);
    }
    int err = blog_spider_open(argc - optind, argv + optind, 100);
    if (!err && !(spider.fout.file = fopen("data.txt", "w")))
        err = wf_error_set(&error, -errno, "data.txt: %s", wf_strerror(-errno));
    if (!err)
        err = crawl(&spider, &error);
    if (spider.fout.file && fclose(spider.fout.file) && !err)
        err = wf_error_set(&error, -errno, "data.txt: %s", wf_strerror(-errno));
    if (err && error.code)
        fprintf(stderr, "producer_consumer_spider: %s\n", error.text);
    if (!err)
        printf("data.txt: %zu lines\n", spider.fout.lines);
    blog_spider_close();
    return err ? 1 : 0;
}
