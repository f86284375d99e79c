/* SPDX-License-Identifier: MIT */
/*
 * Executors: where tasks run. One type for all engines; each engine's header says how to make one
 * (weft/threads.h, weft/fibers.h, weft/inline.h). The same task gives the same outcome on each.
 */
#ifndef WEFT_EXECUTOR_H
#define WEFT_EXECUTOR_H

#include <weft/task.h>

WF_BEGIN_DECLS

enum wf_shutdown {
    WF_SHUTDOWN_WAIT,    /* everything submitted is run first */
    WF_SHUTDOWN_CANCEL,  /* what has not started is cancelled; what runs is waited for */
    WF_SHUTDOWN_NO_WAIT, /* everything submitted is run, but nobody waits here */
};

/*
 * Closes the executor: from now on a submit gives a future that has failed with -EPIPE. May be
 * called again, with another mode.
 *
 * Returns 0, or
 *   -ETIMEDOUT   the deadline passed while tasks still ran; the executor is closed
 *   -ECANCELED   the caller was cancelled while it waited; the executor is closed
 *   -EDEADLK     called with a waiting mode by a task that runs on the executor itself
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_executor_shutdown(struct wf_executor *on, enum wf_shutdown mode,
                                wf_deadline deadline);

/*
 * Closes the executor, cancels what has not started, waits for what runs, and frees it. Harmless on
 * NULL. Futures of its tasks stay valid.
 * Context: thread or fiber; by the owner, not by a task that runs on it; afterwards nobody may use
 * it.
 */
WF_API void wf_executor_destroy(struct wf_executor *on);

/*
 * How many tasks it runs at a time at most, on separate threads.
 * Context: any, never blocks; any number of callers.
 */
WF_API unsigned wf_executor_workers(const struct wf_executor *on);

/*
 * The engine's name: "inline", "threads", "fibers", "processes".
 * Context: any, never blocks; any number of callers.
 */
WF_API const char *wf_executor_engine(const struct wf_executor *on);

WF_END_DECLS

#endif
