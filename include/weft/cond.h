/* SPDX-License-Identifier: MIT */
/*
 * Conditions: wait, with a mutex held, until another party says that something has changed. A
 * condition belongs to one mutex, named at its birth, and every call but fini needs it held.
 *
 *     static struct wf_mutex lock = WF_MUTEX_INIT;
 *     static struct wf_condition filled = WF_CONDITION_INIT(&lock);
 *
 *     while (!err && count == 0)
 *         err = wf_condition_wait(&filled, deadline);     (holds the lock again in any case)
 */
#ifndef WEFT_COND_H
#define WEFT_COND_H

#include <weft/mutex.h>

WF_BEGIN_DECLS

struct wf_condition {
    struct wf_mutex *mutex;
    uint64_t words[3]; /* weft's own */
};

#define WF_CONDITION_INIT(mutex) \
    {                            \
        (mutex),                 \
        {                        \
            0                    \
        }                        \
    }

/*
 * Makes `c` a condition of `m`, in storage that stays the caller's.
 * Context: any, never blocks; nobody else uses `c` yet.
 */
WF_API void wf_condition_init(struct wf_condition *c, struct wf_mutex *m);

/*
 * Ends the use of `c`, on which nobody may wait; the storage may go afterwards.
 * Context: any, never blocks; after everybody else's last call.
 */
WF_API void wf_condition_fini(struct wf_condition *c);

/*
 * Gives the mutex up, waits for a notify, and takes the mutex again: whatever is returned, the
 * caller holds it, except after WF_ESTATE and -EPERM, where nothing was done. There are no spurious
 * wake-ups, but others may have run before the mutex was taken again: check what was waited for.
 *
 * Returns 0 when notified, or
 *   -ETIMEDOUT   `deadline` passed first
 *   -ECANCELED   the calling task was cancelled
 *   WF_ESTATE    the mutex is not held
 *   -EPERM       another party holds it
 *   WF_EFORKED   in a child made by fork; nothing was done
 * Context: thread or fiber; any number of callers; waiters are notified in the order they came.
 */
WF_API WF_MUST_USE int wf_condition_wait(struct wf_condition *c, wf_deadline deadline);

/*
 * Wakes the `n` parties that have waited longest, or all there are if they are fewer. A notify is
 * given to one that still waits, never to one whose wait has timed out or been cancelled.
 *
 * Returns how many were woken, or
 *   WF_ESTATE   the mutex is not held
 *   -EPERM      another party holds it
 * Context: any, never blocks.
 */
WF_API ssize_t wf_condition_notify(struct wf_condition *c, size_t n);

/*
 * The same for all that wait.
 * Context: any, never blocks.
 */
WF_API ssize_t wf_condition_notify_all(struct wf_condition *c);

WF_END_DECLS

#endif
