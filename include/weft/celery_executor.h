/* SPDX-License-Identifier: MIT */
/*
 * The celery engine: an executor whose tasks are done by Celery's workers, in C, Python or any
 * other language, on this machine or others.
 *
 *     WF_TASK_AS("tasks.add", int64_t, add, (int64_t, x), (int64_t, y))
 *
 *     struct wf_executor *on;
 *     err = wf_celery_create(&(struct wf_celery_options){.broker = "redis://localhost",
 *                                                        .backend = "redis://localhost/1"},
 *                            &on, &error);
 *     add_future f = add_submit(on, 2, 3);
 *     err = add_result(&f, &sum, wf_after(WF_SECONDS(10)), &error);
 *
 * A task is called by its name, its arguments go as JSON: truth values, integers, numbers, strings,
 * wf_bytes, JSON, and what a WF_WIRE makes bytes of, for which the worker has to be weft's. Any
 * other is refused with WF_ENOTWIRE. A result that is a string, bytes or JSON is the taker's, to be
 * given to wf_result_free or wf_json_destroy.
 *
 * Queue, time and what else belongs to a call of Celery are given with it:
 *
 *     const struct wf_celery_apply apply = {.queue = "slow", .countdown_ns = WF_SECONDS(5)};
 *     f = add_submit_with(on, &(struct wf_submit_options){.celery = &apply}, 2, 3);
 *
 * A call that was submitted is RUNNING: where it is, only the workers know. Cancelling it revokes
 * the task. A worker then tells that it was revoked; where none does within a time (the worker that
 * has it cannot stop it, or none is there) the call is CANCELED all the same, and what comes later
 * of it is nobody's. The deadline of a scope is, for what was started in it, when it expires.
 */
#ifndef WEFT_CELERY_EXECUTOR_H
#define WEFT_CELERY_EXECUTOR_H

#include <weft/celery_client.h>
#include <weft/executor.h>

WF_BEGIN_DECLS

/* Zero is the default throughout. */
struct wf_celery_options {
    const char *broker, *backend, *prefix, *queue; /* as of struct wf_celery_client_options; without
                                                      a backend only calls whose results are ignored
                                                      can be made */
    int workers;            /* how many tasks are done at a time over there, as far as known here,
                               for what wf_executor_workers is used for; 0: 16 */
    bool revoke_only;       /* cancelling leaves alone what a worker has begun; else that is ended,
                               if the worker can */
    int64_t cancel_wait_ns; /* how long a worker has to tell that a task was revoked: 1 s when 0 */
    int64_t send_ns;        /* how long sending a call may take, with a connection made or made
                               anew; 0: 30 s */
    const char *name;       /* of the executor; NULL: one of its own */
};

/*
 * Makes an executor; nothing is connected yet. The caller destroys it with wf_executor_destroy,
 * which revokes what has not been done.
 *
 * options   used during the call
 *
 * Returns 0, an error of wf_celery_client_create, or of wf_fibers_create.
 * Context: thread or fiber.
 */
WF_API int wf_celery_create(const struct wf_celery_options *options, struct wf_executor **ret_on,
                            struct wf_error *reterr);

/*
 * The executor's client, for what has no type: requests to workers, calls by name. It lives as long
 * as the executor. NULL for other engines.
 * Context: any, never blocks.
 */
WF_API struct wf_celery_client *wf_celery_client_of(const struct wf_executor *on);

WF_END_DECLS

#endif
