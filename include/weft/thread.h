/* SPDX-License-Identifier: MIT */
/*
 * Threads: a thread of the system for a function of one's own. Tasks (weft/task.h) are the usual
 * way to run something; this is for what lives as long as the program, or wants a thread by name.
 *
 *     struct wf_thread *t;
 *     err = wf_thread_create(NULL, log_all, &log, &t, &error);
 *     err = wf_thread_start(t);
 *     ...
 *     err = wf_thread_join(t, &code, WF_FOREVER);
 *     wf_thread_destroy(t);
 */
#ifndef WEFT_THREAD_H
#define WEFT_THREAD_H

#include <weft/api.h>
#include <weft/error.h>
#include <weft/future.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_thread;

struct wf_thread_options {
    const char *name;     /* copied; NULL or empty: "Thread-1 (function)", numbered */
    const char *function; /* for the default name; may be NULL */
    size_t stack_bytes;   /* 0: the system's default */
};

/*
 * Makes a thread that will run fn(arg); it does not start. fn returns 0, or a negative code, which
 * is given to the failure hook.
 *
 * options   may be NULL
 *
 * Returns 0, or
 *   -ENOMEM
 * Context: any, never blocks.
 */
WF_API int wf_thread_create(const struct wf_thread_options *options, int (*fn)(void *arg),
                            void *arg, struct wf_thread **ret_thread, struct wf_error *reterr);

/*
 * Starts it, with the context locals of the caller. The system's own name of the thread is cut to
 * 15 bytes, between characters.
 *
 * Returns 0, or
 *   WF_ESTATE          it was started before
 *   -EAGAIN, -ENOMEM   the system gives no thread; it may be tried again
 *   WF_EFORKED         in a child made by fork
 * Context: any, never blocks; any number of callers.
 */
WF_API int wf_thread_start(struct wf_thread *thread);

/*
 * Waits until it has ended.
 *
 * ret_code   receives what its function returned; may be NULL
 *
 * Returns 0, also when it is joined again, or
 *   WF_ESTATE    it was not started, or is the caller itself
 *   -ETIMEDOUT   the deadline passed first
 *   -ECANCELED   the caller was cancelled; the thread is left alone
 *   WF_EFORKED   in a child made by fork
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_thread_join(struct wf_thread *thread, int *ret_code, wf_deadline deadline);

/*
 * Asks it to stop: from now on every wait in it that can be cancelled returns -ECANCELED, also in
 * one that has not been started yet. Returning -ECANCELED is no failure then.
 *
 * Returns WF_CANCEL_ASKED, or WF_CANCEL_TOO_LATE when it has ended.
 * Context: any, never blocks; any number of callers.
 */
WF_API enum wf_cancel_result wf_thread_cancel(struct wf_thread *thread);

/*
 * Frees it; waits until it has ended if it was started. Harmless on NULL.
 * Context: thread or fiber; by the owner, not by the thread itself; afterwards nobody may use it.
 */
WF_API void wf_thread_destroy(struct wf_thread *thread);

/*
 * Its name, in full. Of NULL: that of the calling party, valid while its task or thread runs. On a
 * fiber it is the task's, as submitted; on a thread of an executor prefix_0 and so on; on the first
 * thread of the program "main", on others that weft did not make "foreign-" and a number.
 * Context: any, never blocks; any number of callers.
 */
WF_API const char *wf_thread_name(const struct wf_thread *thread);

/*
 * True from its start until its function has returned.
 * Context: any, never blocks; any number of callers.
 */
WF_API bool wf_thread_alive(const struct wf_thread *thread);

/*
 * The thread the caller runs on, NULL where it was not made by wf_thread_create.
 * Context: any, never blocks.
 */
WF_API struct wf_thread *wf_thread_self(void);

/*
 * Calls `fn` for each thread made here that is alive, in the order they were started. `fn` must not
 * block or start threads.
 *
 * Returns how many there are.
 * Context: any, never blocks for long; any number of callers.
 */
WF_API size_t wf_thread_each(void (*fn)(struct wf_thread *thread, void *arg), void *arg);

/*
 * Sets what is called, on the thread itself, when its function fails: with its name in
 * error->origin. A hook that returns anything but 0 has failed itself; then, and without a hook,
 * the error goes where errors go that nobody looked at (wf_set_error_hook).
 * Context: any, never blocks.
 */
WF_API void wf_thread_set_failure_hook(int (*hook)(const struct wf_error *error, void *arg),
                                       void *arg);

WF_END_DECLS

/* A thread with a default name that tells its function: WF_THREAD(log_all, &log, &t, &error) */
#define WF_THREAD(FN, ARG, RET_THREAD, RETERR)                                                \
    wf_thread_create(&(struct wf_thread_options){.name = NULL, .function = #FN}, (FN), (ARG), \
                     (RET_THREAD), (RETERR))

#endif
