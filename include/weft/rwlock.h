/* SPDX-License-Identifier: MIT */
/*
 * A lock that many may hold for reading or one for writing. Those who wait are served in the order
 * they came, so that neither readers nor writers starve: a reader that comes while a writer waits,
 * waits behind it.
 */
#ifndef WEFT_RWLOCK_H
#define WEFT_RWLOCK_H

#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_rwlock {
    uint64_t words[5]; /* weft's own */
};

#define WF_RWLOCK_INIT \
    {                  \
        {              \
            0          \
        }              \
    }

/*
 * Makes `l` a free lock, in storage that stays the caller's.
 * Context: any, never blocks; nobody else uses `l` yet.
 */
WF_API void wf_rwlock_init(struct wf_rwlock *l);

/*
 * Ends the use of `l`, which must be free; the storage may go afterwards.
 * Context: any, never blocks; after everybody else's last call.
 */
WF_API void wf_rwlock_fini(struct wf_rwlock *l);

/*
 * Locks for reading, together with other readers. A party that reads already may have to wait
 * behind a writer that waits for it: do not read twice at once.
 *
 * Returns 0, or
 *   -ETIMEDOUT     `deadline` passed first
 *   -ECANCELED     the calling task was cancelled
 *   WF_EDEADLOCK   the caller holds it for writing
 *   WF_EFORKED     in a child made by fork
 * Context: thread or fiber; any number of callers; waiters are served in order.
 */
WF_API WF_MUST_USE int wf_rwlock_read_lock(struct wf_rwlock *l, wf_deadline deadline);

/*
 * Locks for writing, alone.
 *
 * Returns as wf_rwlock_read_lock.
 * Context: thread or fiber; any number of callers; waiters are served in order.
 */
WF_API WF_MUST_USE int wf_rwlock_write_lock(struct wf_rwlock *l, wf_deadline deadline);

/*
 * The same without waiting.
 *
 * Returns 0, or
 *   -EAGAIN   held in a way that forbids it, or somebody waits
 * Context: any, never blocks; any number of callers.
 */
WF_API WF_MUST_USE int wf_rwlock_try_read_lock(struct wf_rwlock *l);
WF_API WF_MUST_USE int wf_rwlock_try_write_lock(struct wf_rwlock *l);

/*
 * Gives the lock back, as it was taken. On an error nothing has changed.
 *
 * Returns 0, or
 *   WF_ESTATE   it is not held in this way
 *   -EPERM      another party holds it for writing
 * Context: any, never blocks.
 */
WF_API int wf_rwlock_read_unlock(struct wf_rwlock *l);
WF_API int wf_rwlock_write_unlock(struct wf_rwlock *l);

WF_END_DECLS

#endif
