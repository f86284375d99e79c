/* SPDX-License-Identifier: MIT */
/*
 * Mutual exclusion between processes, their threads and their fibers. When the owner's process ends
 * with the mutex locked, the next one to lock it is told, because what the mutex guards may be half
 * done:
 *
 *     int got = wf_shared_mutex_lock(lock, deadline);
 *     if (got < 0)
 *         return got;
 *     if (got == WF_OWNER_DIED) {
 *         make_whole(account);
 *         wf_shared_mutex_repaired(lock);
 *     }
 *     ...
 *     wf_shared_mutex_unlock(lock);
 */
#ifndef WEFT_SHARED_MUTEX_H
#define WEFT_SHARED_MUTEX_H

#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_shared_mutex;

/* Locked, and a process that had it locked has ended and nobody has said since that it is repaired.
 */
enum { WF_OWNER_DIED = 1 };

/*
 * Makes a mutex.
 *
 * ret_mutex   receives it; any process of the family destroys it, or it goes with the last of those
 *             that made it or were given it
 *
 * Returns 0, or
 *   -ENOMEM      no room in what processes share
 *   -ENOSPC      too many processes use what is shared
 *   WF_EFORKED   in a child made by fork
 * Context: any, never blocks for long.
 */
WF_API int wf_shared_mutex_create(struct wf_shared_mutex **ret_mutex, struct wf_error *reterr);

/*
 * Ends the mutex for all processes. NULL is fine.
 * Context: any, never blocks for long; after everybody else's last call.
 */
WF_API void wf_shared_mutex_destroy(struct wf_shared_mutex *mutex);

/*
 * Locks the mutex, waiting while another party holds it. There is no order among those who wait.
 *
 * Returns 0 or WF_OWNER_DIED, and the caller holds it; or
 *   -ETIMEDOUT     `deadline` passed first
 *   -ECANCELED     the calling task was cancelled
 *   WF_EDEADLOCK   the caller holds it already
 *   -ENOSPC        too many processes use what is shared
 *   WF_EFORKED     in a child made by fork
 * Context: thread or fiber; any number of callers.
 */
WF_API WF_MUST_USE int wf_shared_mutex_lock(struct wf_shared_mutex *mutex, wf_deadline deadline);

/*
 * Locks the mutex if it is free.
 *
 * Returns 0 or WF_OWNER_DIED, and the caller holds it; or
 *   -EAGAIN      it is held, by the caller or another
 *   -ENOSPC, WF_EFORKED   as above
 * Context: any, never blocks; any number of callers.
 */
WF_API WF_MUST_USE int wf_shared_mutex_try_lock(struct wf_shared_mutex *mutex);

/*
 * Says that what the mutex guards is whole again. Without it the next to lock it is told, too, that
 * an owner died.
 *
 * Returns 0, or
 *   WF_ESTATE   it is not held
 *   -EPERM      another party holds it
 * Context: any, never blocks; by the party that holds it.
 */
WF_API int wf_shared_mutex_repaired(struct wf_shared_mutex *mutex);

/*
 * Unlocks the mutex. On an error nothing has changed.
 *
 * Returns 0, or
 *   WF_ESTATE   it is not held
 *   -EPERM      another party holds it
 * Context: any, never blocks.
 */
WF_API int wf_shared_mutex_unlock(struct wf_shared_mutex *mutex);

WF_END_DECLS

#endif
