/* SPDX-License-Identifier: MIT */
/*
 * Conditions between processes, their threads and their fibers: wait, with a shared mutex held,
 * until another party says that something has changed. A wait may also end for nothing (after the
 * death of a process all do), so look again:
 *
 *     while (got >= 0 && *count == 0)
 *         got = wf_shared_condition_wait(filled, lock, deadline);     (holds the lock again)
 */
#ifndef WEFT_SHARED_CONDITION_H
#define WEFT_SHARED_CONDITION_H

#include <weft/shared_mutex.h>

WF_BEGIN_DECLS

struct wf_shared_condition;

/*
 * Makes a condition.
 *
 * ret_condition   receives it; any process of the family destroys it, or it goes with the last of
 *                 those that made it or were given it
 *
 * Returns 0, or
 *   -ENOMEM      no room in what processes share
 *   -ENOSPC      too many processes use what is shared
 *   WF_EFORKED   in a child made by fork
 * Context: any, never blocks for long.
 */
WF_API int wf_shared_condition_create(struct wf_shared_condition **ret_condition,
                                      struct wf_error *reterr);

/*
 * Ends the condition for all processes. NULL is fine.
 * Context: any, never blocks for long; after everybody else's last call.
 */
WF_API void wf_shared_condition_destroy(struct wf_shared_condition *condition);

/*
 * Gives the mutex up, waits for a notify, and takes the mutex again: whatever is returned, the
 * caller holds it, except after WF_ESTATE, -EPERM, -ENOSPC and WF_EFORKED, where nothing was done.
 *
 * Returns 0, or WF_OWNER_DIED as wf_shared_mutex_lock; or
 *   -ETIMEDOUT   `deadline` passed first
 *   -ECANCELED   the calling task was cancelled
 *   WF_ESTATE    the mutex is not held
 *   -EPERM       another party holds it
 *   -ENOSPC      too many processes use what is shared
 *   WF_EFORKED   in a child made by fork
 * Context: thread or fiber; any number of callers, all with the same mutex.
 */
WF_API WF_MUST_USE int wf_shared_condition_wait(struct wf_shared_condition *condition,
                                                struct wf_shared_mutex *mutex,
                                                wf_deadline deadline);

/*
 * Wakes at least one of those who wait, if any do. The mutex need not be held.
 * Context: any, never blocks; any number of callers.
 */
WF_API void wf_shared_condition_notify(struct wf_shared_condition *condition);

/*
 * Wakes all that wait. The mutex need not be held.
 * Context: any, never blocks; any number of callers.
 */
WF_API void wf_shared_condition_notify_all(struct wf_shared_condition *condition);

WF_END_DECLS

#endif
