/* SPDX-License-Identifier: MIT */
/*
 * Fifty coroutines, of which a semaphore lets ten fetch and sleep at a time: five waves.
 *
 *     async_spider_semaphore [--sleep SECONDS] [URL...]
 *
 * --sleep   how long each sleeps after its page has come, inside the semaphore; 5 if not given
 */
#include <getopt.h>
#include <stdlib.h>

#include <weft/fibers.h>
#include <weft/mutex.h>
#include <weft/scope.h>
#include <weft/semaphore.h>

#include "blog_spider.h"

static struct wf_semaphore semaphore = WF_SEMAPHORE_INIT(10);
static double sleep_s = 5;

static struct wf_mutex lock = WF_MUTEX_INIT;
static int inside, inside_max, waves;
static bool wave_breaks; /* the first of the latest wave has left */

WF_TASK(wf_none, async_craw, (const char *, url))

/* Who comes in when the first of the latest wave has left begins another. Returns whose wave. */
static int enter(void)
{
    int wave = 0;
    WF_LOCKED(&lock) {
        if (++inside > inside_max)
            inside_max = inside;
        if (waves == 0 || wave_breaks)
            waves++;
        wave_breaks = false;
        wave = waves;
    }
    return wave;
}

static void leave(int wave)
{
    WF_LOCKED(&lock) {
        inside--;
        wave_breaks |= wave == waves;
    }
}

static int craw_and_sleep(struct wf_task *self, const char *url)
{
    struct html result;
    printf("craw url: %s\n", url);
    int err = craw(self, url, &result);
    if (err)
        return err;
    err = wf_sleep(wf_after(WF_SECONDS(sleep_s)));
    if (!err)
        printf("craw url: %s, %zu\n", url, result.len);
    html_free(&result);
    return err;
}

int async_craw(struct wf_task *self, const char *url, wf_none *ret)
{
    int err = wf_semaphore_acquire(&semaphore, 1, WF_FOREVER);
    if (err)
        return err;
    int wave = enter();
    err = craw_and_sleep(self, url);
    leave(wave);
    wf_semaphore_release(&semaphore, 1);
    *ret = (wf_none){0};
    return err;
}
WF_TASK_DEFINE(async_craw)

static int run(struct wf_executor *loop, struct wf_error *reterr)
{
    struct wf_scope scope;
    wf_scope_open(&scope, loop, WF_FOREVER);
    for (size_t i = 0; i < urls.count; i++)
        async_craw_go(&scope, urls.at[i]);
    return wf_scope_close(&scope, reterr);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"sleep", required_argument, NULL, 's'}, {0}};
    struct wf_executor *loop = NULL;
    struct wf_error error = {0};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 's')
            return 2;
        sleep_s = atof(optarg);
    }
    int err = blog_spider_open(argc - optind, argv + optind, 0);
    if (!err)
        err = wf_fibers_create(&(struct wf_fibers_options){.workers = 1}, &loop, &error);
    if (!err) {
        int64_t start_ns = wf_now();
        err = run(loop, &error);
        printf("%d waves, at most %d at a time\n", waves, inside_max);
        printf("use time seconds: %.3f\n", (double)(wf_now() - start_ns) / 1e9);
    }
    if (err && error.code)
        fprintf(stderr, "async_spider_semaphore: %s\n", error.text);
    wf_executor_destroy(loop);
    blog_spider_close();
    return err ? 1 : 0;
}
