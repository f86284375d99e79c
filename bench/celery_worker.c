/* SPDX-License-Identifier: MIT */
/*
 * The worker of the benchmarks Q: empty tasks, two at a time.
 *
 *     celery_worker BROKER BACKEND threads|fibers
 *
 * Runs until it is told to stop.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/celery.h>
#include <weft/main.h>

WF_TASK(wf_none, bench_stored)

int bench_stored(struct wf_task *self, wf_none *ret)
{
    (void)self, (void)ret;
    return 0;
}
WF_TASK_DEFINE(bench_stored)

WF_TASK(wf_none, bench_ignored)

int bench_ignored(struct wf_task *self, wf_none *ret)
{
    (void)self, (void)ret;
    return 0;
}
WF_TASK_DEFINE(bench_ignored)

static void print(void *arg, enum wf_celery_level level, const char *line)
{
    (void)arg;
    if (level != WF_CELERY_INFO)
        fprintf(stderr, "%s\n", line);
}

static int root(void *arg)
{
    char **words = arg;
    const bool fibers = strcmp(words[3], "fibers") == 0;
    const struct wf_celery_worker_options options = {.broker = words[1],
                                                     .backend = words[2],
                                                     .pool = fibers ? wf_main_executor() : NULL,
                                                     .concurrency = 2,
                                                     .log = print};
    struct wf_error error = {0};
    int err = wf_celery_worker_run(&options, &error);
    if (err == -ECANCELED)
        return 0;
    fprintf(stderr, "%s\n", error.text);
    return 1;
}

int main(int argc, char **argv)
{
    struct wf_error error = {0};
    if (argc != 4) {
        fprintf(stderr, "usage: %s BROKER BACKEND threads|fibers\n", argv[0]);
        return 2;
    }
    int status = wf_main(&(struct wf_main_options){.drain_ns = WF_SECONDS(60)}, root, argv, &error);
    if (status < 0)
        fprintf(stderr, "%s\n", error.text);
    return status < 0 ? 1 : status;
}
