/* SPDX-License-Identifier: MIT */
/*
 * Futures: a submitted task as others see it. PENDING, then RUNNING, then one of DONE, FAILED and
 * CANCELED, for good.
 *
 * Who submitted a task owns its handle. Taking the outcome with NAME_result (or wf_future_result)
 * consumes the handle and sets it to NULL; -ETIMEDOUT does not; wf_future_drop detaches it, and
 * the task goes on unwatched. While anybody else uses the future, the owner must not consume it.
 * The handles that NAME_spawn returns belong to the scope instead: they stay valid, and their
 * results can be read any number of times, until the scope is left.
 *
 * An error that nobody looked at is not lost: when the future of a failed task goes away unread,
 * the error hook is called.
 */
#ifndef WEFT_FUTURE_H
#define WEFT_FUTURE_H

#include <weft/api.h>
#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_future;

enum wf_future_state {
    WF_FUTURE_PENDING = 1,
    WF_FUTURE_RUNNING,
    WF_FUTURE_DONE,
    WF_FUTURE_FAILED,
    WF_FUTURE_CANCELED,
};

enum wf_cancel_result {
    WF_CANCEL_TOO_LATE = 0, /* it had ended already, with a value or an error */
    WF_CANCEL_REMOVED,      /* it had not started and never will; or was cancelled before */
    WF_CANCEL_ASKED,        /* it runs, and has been told */
    WF_CANCEL_KILLED,       /* it ran in a process of its own, which was ended */
};

/*
 * Waits until the future has ended, in whatever way. On a task of a threads executor that waits for
 * one not yet started in the same executor, that one is run here and now, on the caller's stack;
 * the deadline can then be overrun by as long as it takes.
 *
 * When the caller is cancelled while it waits, the task it waits for is cancelled too and waited
 * for to its end, unless wf_future_shield was called for it.
 *
 * Returns 0 once it has ended, or
 *   -ETIMEDOUT   the deadline passed first
 *   -ECANCELED   the caller was cancelled and the future shielded, so that it goes on
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_future_wait(struct wf_future *future, wf_deadline deadline);

/*
 * Takes the outcome, waiting for it. The typed form is NAME_result.
 *
 * future   the handle, consumed (and set to NULL) unless it belongs to a scope or has not ended
 * ret      receives the value, as many bytes as the result has; may be NULL
 *
 * Returns 0, or
 *   -ETIMEDOUT   the deadline passed first; the handle is still the caller's. (A task may fail
 *                with -ETIMEDOUT of its own: then the handle is consumed.)
 *   -ECANCELED   the task was cancelled; or, with the handle not consumed, the caller was, while it
 *                waited for a shielded future
 *   another      the code the task failed with; reterr has its text and the task's name
 * Context: thread or fiber; by the owner.
 */
WF_API int wf_future_result(struct wf_future **future, void *ret, wf_deadline deadline,
                            struct wf_error *reterr);

/*
 * Waits like wf_future_wait and tells how it ended, without consuming anything. A failure counts as
 * looked at afterwards.
 *
 * Returns 0 when it is done with a value, else as wf_future_result.
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_future_error(struct wf_future *future, wf_deadline deadline, struct wf_error *reterr);

/*
 * Gives the handle up and sets it to NULL; the task is neither stopped nor waited for. A value that
 * arrives is destroyed, an error goes to the error hook. Harmless on NULL and on handles of a
 * scope.
 * Context: any, never blocks; by the owner.
 */
WF_API void wf_future_drop(struct wf_future **future);

/*
 * How it stands just now.
 * Context: any, never blocks; any number of callers.
 */
WF_API enum wf_future_state wf_future_state(const struct wf_future *future);

/*
 * Cancels: removes the task if it has not started, asks it to stop if it runs. Cancellation is a
 * level: once asked, every cancelable wait of the task returns -ECANCELED until it ends. A task
 * that returns a value all the same is DONE with it.
 *
 * Returns what was achieved.
 * Context: any, never blocks; any number of callers.
 */
WF_API enum wf_cancel_result wf_future_cancel(struct wf_future *future);

/*
 * From now on a caller that is cancelled while it waits for this future leaves it running.
 * Context: any, never blocks; any number of callers.
 */
WF_API void wf_future_shield(struct wf_future *future);

/*
 * Name of the task, as submitted. Valid as long as the handle.
 * Context: any, never blocks; any number of callers.
 */
WF_API const char *wf_future_name(const struct wf_future *future);

/*
 * Has `fn` called when the future has ended: once, after those added before, by whichever party
 * ends it, or at once by the caller if it has ended already. It may look at the future, which is
 * ended, but not consume it, and should not block. A negative return value goes to the error hook
 * and disturbs nobody else.
 *
 * Returns 0, or
 *   -ENOMEM
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_future_on_done(struct wf_future *future, int (*fn)(struct wf_future *, void *arg),
                             void *arg);

enum wf_wait_for {
    WF_WAIT_FIRST,       /* until one has ended */
    WF_WAIT_FIRST_ERROR, /* until one has failed or was cancelled, or all have ended */
    WF_WAIT_ALL,
};

/*
 * Waits for several futures. A NULL among them is skipped, one that is listed twice counts once.
 *
 * ret_done   `count` entries: whether futures[i] has ended by the time of return; may be NULL
 *
 * Returns how many different ones have ended (a deadline that passes is no error here: the split
 * tells), or
 *   -ECANCELED   the caller was cancelled; so were those futures that are not shielded, and they
 *                were waited for
 *   -ENOMEM
 * Context: thread or fiber; any number of callers.
 */
WF_API ssize_t wf_future_wait_many(struct wf_future *const *futures, size_t count,
                                   enum wf_wait_for what, bool *ret_done, wf_deadline deadline);

/*
 * A walk over futures in the order they end.
 */
struct wf_as_completed;

/*
 * Starts a walk over a set. Those that have ended come out first, in the order given; one listed
 * twice comes out once. The futures stay the caller's; once one has come out, the walk holds no
 * reference to it.
 *
 * Returns 0, or
 *   -ENOMEM
 * Context: thread or fiber.
 */
WF_API int wf_as_completed_open(struct wf_future *const *futures, size_t count,
                                struct wf_as_completed **ret_walk, struct wf_error *reterr);

/*
 * Starts a walk over a source without end in sight: at most `window` futures are out at a time, and
 * the next one is asked for when one has been handed out and more are wanted.
 *
 * next   stores the next future (submitted by it, owned by whom the walk hands it to) and returns
 * 1; 0 when there are no more; a negative code, which the walk reports after all it holds
 *
 * Returns 0, or
 *   -EINVAL   a window of 0
 *   -ENOMEM
 * Context: thread or fiber.
 */
WF_API int wf_as_completed_source(size_t window,
                                  int (*next)(void *arg, struct wf_future **ret_future), void *arg,
                                  struct wf_as_completed **ret_walk, struct wf_error *reterr);

/*
 * The next one that has ended.
 *
 * ret_future   receives it
 * ret_index    receives its place in the set, or its number from the source; may be NULL
 *
 * Returns 1, or 0 when all have come out, or
 *   -ETIMEDOUT   the deadline passed; reterr says "k of n futures unfinished"
 *   -ECANCELED   the caller was cancelled
 *   another      what the source returned
 * Context: thread or fiber; one caller at a time.
 */
WF_API int wf_as_completed_next(struct wf_as_completed *walk, struct wf_future **ret_future,
                                size_t *ret_index, wf_deadline deadline, struct wf_error *reterr);

/*
 * Ends the walk. Futures of a source that have not come out are cancelled and dropped; those of a
 * set stay as they are. Harmless on NULL.
 * Context: thread or fiber; by the owner.
 */
WF_API void wf_as_completed_close(struct wf_as_completed *walk);

/*
 * Sets what is called with errors nobody looked at: of failed tasks that went away unread, of
 * callbacks, of threads. The hook returns 0; if it returns anything else, or none is set, one line
 * goes to standard error.
 * Context: any, never blocks; the hook must not block and may be called by any party.
 */
WF_API void wf_set_error_hook(int (*hook)(const struct wf_error *error, void *arg), void *arg);

WF_END_DECLS

#endif
