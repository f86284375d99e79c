/* SPDX-License-Identifier: MIT */
/*
 * A worker of Celery in the test's own program, for the tasks that are defined there. Submitted to
 * fibers, it runs until it is cancelled.
 */
#ifndef TEST_LOCAL_WORKER_H
#define TEST_LOCAL_WORKER_H

#include <errno.h>
#include <stdio.h>

#include <weft/celery.h>
#include <weft/task.h>

WF_TASK(wf_none, local_worker, (const char *, url))

/* With the Redis at `url` as broker and backend. */
int local_worker(struct wf_task *self, const char *url, wf_none *ret)
{
    struct wf_error error = {0};
    (void)self, (void)ret;
    const struct wf_celery_worker_options options = {
        .broker = url, .backend = url, .concurrency = 4};
    int err = wf_celery_worker_run(&options, &error);
    if (err != -ECANCELED)
        printf("the worker: %s\n", error.text);
    return err;
}
WF_TASK_DEFINE(local_worker)

#endif
