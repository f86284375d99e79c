/* SPDX-License-Identifier: MIT */
/*
 * A program that is its own worker, with a task that no module has; and, as a module with DECLARED,
 * one that says which broker it belongs to. For command_python.py.
 */
#include <weft/celery_app.h>

#include <stdlib.h>

#include <weft/task.h>

WF_TASK(int64_t, twice, (int64_t, n))

int twice(struct wf_task *self, int64_t n, int64_t *ret)
{
    (void)self;
    *ret = 2 * n;
    return 0;
}
WF_TASK_DEFINE(twice)

#ifdef DECLARED

WF_CELERY_APP(.broker = "redis://127.0.0.1:1", .name = "declared@%h");

#else

int main(int argc, char **argv)
{
    const struct wf_celery_worker_options options = {
        .concurrency = 1,
        .name = "own@here",
        .engine = getenv("OWN_PROCESSES") ? WF_CELERY_PROCESSES : WF_CELERY_THREADS};
    return wf_celery_worker_main(argc, argv, &options);
}

#endif
