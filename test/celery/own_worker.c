/* SPDX-License-Identifier: MIT */
/*
 * A program that is its own worker, with tasks that no module has; and, as a module with DECLARED,
 * one that says which broker it belongs to. For command_python.py.
 */
#include <unistd.h>

#include <weft/celery_app.h>

#include <stdlib.h>

#include <weft/task.h>
#include <weft/time.h>

WF_TASK(int64_t, twice, (int64_t, n))

int twice(struct wf_task *self, int64_t n, int64_t *ret)
{
    (void)self;
    *ret = 2 * n;
    return 0;
}
WF_TASK_DEFINE(twice)

/* Until somebody makes the file. */
WF_TASK(wf_none, gate, (const char *, path))

int gate(struct wf_task *self, const char *path, wf_none *ret)
{
    int err = 0;
    (void)self, (void)ret;
    while (!err && access(path, F_OK) != 0)
        err = wf_sleep(wf_after(WF_MILLISECONDS(5)));
    return err;
}
WF_TASK_DEFINE(gate)

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
