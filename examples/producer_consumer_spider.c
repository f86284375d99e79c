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
#include <weft/threads.h>

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

static double pause_s = 1;
static atomic_int craw_threads_left = CRAW_THREADS;

WF_TASK(wf_none, do_craw, (queue_of_urls, url_queue), (queue_of_htmls, html_queue))
WF_TASK(wf_none, do_parse, (queue_of_htmls, html_queue), (struct output *, fout))

static int rest(void)
{
    double times = 1 + (double)random() / RAND_MAX;
    return wf_sleep(wf_after(WF_SECONDS(pause_s * times)));
}

/* A page that cannot be fetched is reported, and costs no other: returns the first such failure. */
int do_craw(struct wf_task *self, queue_of_urls url_queue, queue_of_htmls html_queue, wf_none *ret)
{
    const char *name = wf_task_name(self), *url;
    struct html html;
    int err, lost = 0;
    while ((err = queue_of_urls_pop(url_queue, &url, WF_FOREVER)) == 0) {
        if ((err = craw(self, url, &html)) != 0) {
            fprintf(stderr, "%s craw %s: %s\n", name, url, wf_strerror(err));
            lost = lost ? lost : err;
            continue;
        }
        if ((err = queue_of_htmls_push(html_queue, html, WF_FOREVER)) != 0) {
            html_free(&html);
            break;
        }
        printf("%s craw %s url_queue.size= %zu\n", name, url, queue_of_urls_len(url_queue));
        if ((err = rest()) != 0)
            break;
    }
    if (atomic_fetch_sub(&craw_threads_left, 1) == 1)
        queue_of_htmls_close(html_queue, WF_CLOSE_GRACEFUL);
    *ret = (wf_none){0};
    return err != -EPIPE ? err : lost;
}
WF_TASK_DEFINE(do_craw)

static int write_links(struct output *fout, const struct links *results)
{
    int failed = 0;
    WF_LOCKED(&fout->lock)
    {
        for (size_t i = 0; i < results->count; i++) {
            print_link(&results->at[i], fout->file);
            fputc('\n', fout->file);
        }
        fout->lines += results->count;
        failed = ferror(fout->file);
    }
    return failed ? -EIO : 0;
}

int do_parse(struct wf_task *self, queue_of_htmls html_queue, struct output *fout, wf_none *ret)
{
    struct html html;
    struct links results;
    int err;
    while ((err = queue_of_htmls_pop(html_queue, &html, WF_FOREVER)) == 0) {
        err = parse(self, html, &results);
        html_free(&html);
        if (err)
            break;
        err = write_links(fout, &results);
        printf("%s results.size %zu html_queue.size= %zu\n", wf_task_name(self), results.count,
               queue_of_htmls_len(html_queue));
        links_free(&results);
        if (err || (err = rest()) != 0)
            break;
    }
    if (err != -EPIPE) /* nobody must be left pushing to a queue that nobody reads */
        queue_of_htmls_close(html_queue, WF_CLOSE_NOW);
    *ret = (wf_none){0};
    return err != -EPIPE ? err : 0;
}
WF_TASK_DEFINE(do_parse)

static void drop_html(void *html, void *arg)
{
    (void)arg;
    html_free(html);
}

/* Starts the five threads and returns when the last has ended: 0, or what a thread failed with. */
static int run(struct wf_executor *on, queue_of_urls url_queue, queue_of_htmls html_queue,
               struct output *fout)
{
    static const char *const craw_names[CRAW_THREADS] = {"craw0", "craw1", "craw2"};
    static const char *const parse_names[PARSE_THREADS] = {"parse0", "parse1"};
    struct wf_future *threads[CRAW_THREADS + PARSE_THREADS];
    size_t count = 0;
    int failed = 0;
    for (int idx = 0; idx < CRAW_THREADS; idx++)
        threads[count++] =
            do_craw_submit_with(on, &(struct wf_submit_options){.name = craw_names[idx]}, url_queue,
                                html_queue)
                .future;
    for (int idx = 0; idx < PARSE_THREADS; idx++)
        threads[count++] =
            do_parse_submit_with(on, &(struct wf_submit_options){.name = parse_names[idx]},
                                 html_queue, fout)
                .future;
    while (count > 0) {
        struct wf_error error;
        int err = wf_future_result(&threads[--count], NULL, WF_FOREVER, &error);
        if (err)
            fprintf(stderr, "%s: %s\n", error.task, error.text);
        failed = failed ? failed : err;
    }
    return failed;
}

/* Makes the queues, fills the first, and lets the threads work. */
static int spider(struct output *fout, struct wf_error *reterr)
{
    queue_of_urls url_queue = {0};
    queue_of_htmls html_queue = {0};
    struct wf_executor *on = NULL;
    int err = queue_of_urls_create(&(struct wf_queue_options){.capacity = urls.count}, &url_queue,
                                   reterr);
    if (!err)
        err = queue_of_htmls_create(
            &(struct wf_queue_options){.capacity = HTML_QUEUE_MAX, .item_destroy = drop_html},
            &html_queue, reterr);
    if (!err)
        err = wf_threads_create(
            &(struct wf_threads_options){.workers = CRAW_THREADS + PARSE_THREADS}, &on, reterr);
    for (size_t i = 0; i < urls.count && !err; i++)
        err = queue_of_urls_push(url_queue, urls.at[i], WF_FOREVER);
    if (!err) {
        queue_of_urls_close(url_queue, WF_CLOSE_GRACEFUL);
        err = run(on, url_queue, html_queue, fout);
    }
    wf_executor_destroy(on);
    queue_of_htmls_destroy(html_queue);
    queue_of_urls_destroy(url_queue);
    return err;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"pause", required_argument, NULL, 'p'}, {0}};
    struct output fout = {.lock = WF_MUTEX_INIT};
    struct wf_error error = {0};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 'p')
            return 2;
        pause_s = atof(optarg);
    }
    int err = blog_spider_open(argc - optind, argv + optind, 100);
    if (!err && !(fout.file = fopen("data.txt", "w")))
        err = wf_error_set(&error, -errno, "data.txt: %s", wf_strerror(-errno));
    if (!err)
        err = spider(&fout, &error);
    if (fout.file && fclose(fout.file) && !err)
        err = wf_error_set(&error, -errno, "data.txt: %s", wf_strerror(-errno));
    if (err && error.code)
        fprintf(stderr, "producer_consumer_spider: %s\n", error.text);
    if (!err)
        printf("data.txt: %zu lines\n", fout.lines);
    blog_spider_close();
    return err ? 1 : 0;
}
