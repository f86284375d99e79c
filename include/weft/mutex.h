/* SPDX-License-Identifier: MIT */
/*
 * Mutual exclusion for fibers, threads and both mixed. A mutex has an owner: only the fiber or
 * thread that locked it may unlock it.
 *
 *     static struct wf_mutex lock = WF_MUTEX_INIT;
 *
 *     WF_LOCKED(&lock) {
 *         balance -= 800;
 *     }                            (unlocked on every way out: return, break, goto)
 *
 * The plain pair takes a deadline and can fail:
 *
 *     int err = wf_mutex_lock(&lock, wf_after(WF_SECONDS(1)));
 *     if (!err) {
 *         balance -= 800;
 *         wf_mutex_unlock(&lock);
 *     }
 */
#ifndef WEFT_MUTEX_H
#define WEFT_MUTEX_H

#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

/* Zeroed is unlocked. The words are weft's own. */
struct wf_mutex {
    uint64_t words[4];
};

struct wf_recursive_mutex {
    uint64_t words[5];
};

#define WF_MUTEX_INIT \
    {                 \
        {             \
            0         \
        }             \
    }
#define WF_RECURSIVE_MUTEX_INIT \
    {                           \
        {                       \
            0                   \
        }                       \
    }

/*
 * Makes `m` an unlocked mutex, in storage that stays the caller's. WF_MUTEX_INIT does the same.
 * Context: any, never blocks; nobody else uses `m` yet.
 */
WF_API void wf_mutex_init(struct wf_mutex *m);

/*
 * Ends the use of `m`, which must be unlocked; the storage may go afterwards. Needed before storage
 * that others have unlocked in is freed; a static mutex needs none.
 * Context: any, never blocks; after everybody else's last call.
 */
WF_API void wf_mutex_fini(struct wf_mutex *m);

/*
 * Locks `m`, waiting while another party holds it. Whoever comes while it is free may pass those
 * who wait, until the one that has waited longest has done so for 1 ms: then it is next.
 *
 * Returns 0, or
 *   -ETIMEDOUT     `deadline` passed first; the mutex is as it was
 *   -ECANCELED     the calling task was cancelled
 *   WF_EDEADLOCK   the caller holds `m` already
 *   WF_EFORKED     in a child made by fork, and the mutex is held
 * Context: thread or fiber; any number of callers.
 */
WF_API WF_MUST_USE int wf_mutex_lock(struct wf_mutex *m, wf_deadline deadline);

/*
 * Locks `m` if it is free.
 *
 * Returns 0, or
 *   -EAGAIN   it is held, by the caller or another
 * Context: any, never blocks; any number of callers.
 */
WF_API WF_MUST_USE int wf_mutex_try_lock(struct wf_mutex *m);

/*
 * Unlocks `m`. On an error nothing has changed.
 *
 * Returns 0, or
 *   WF_ESTATE   it is not held
 *   -EPERM      another party holds it
 * Context: any, never blocks.
 */
WF_API int wf_mutex_unlock(struct wf_mutex *m);

/*
 * The same for a mutex that its owner may lock again: unlocked as many times as locked, it is free.
 * Context: any, never blocks; nobody else uses `m` then.
 */
WF_API void wf_recursive_mutex_init(struct wf_recursive_mutex *m);
WF_API void wf_recursive_mutex_fini(struct wf_recursive_mutex *m);

/*
 * Locks `m`, or locks it once more when the caller holds it already.
 *
 * Returns 0, or
 *   -ETIMEDOUT   `deadline` passed first
 *   -ECANCELED   the calling task was cancelled
 *   -EOVERFLOW   it is locked 2^32 - 1 times
 *   WF_EFORKED   in a child made by fork, and another party held it
 * Context: thread or fiber; any number of callers.
 */
WF_API WF_MUST_USE int wf_recursive_mutex_lock(struct wf_recursive_mutex *m, wf_deadline deadline);

/*
 * Locks `m` if it is free or the caller's.
 *
 * Returns 0, or
 *   -EAGAIN      another party holds it
 *   -EOVERFLOW   it is locked 2^32 - 1 times
 * Context: any, never blocks; any number of callers.
 */
WF_API WF_MUST_USE int wf_recursive_mutex_try_lock(struct wf_recursive_mutex *m);

/*
 * Takes one lock back; the last one frees the mutex. On an error nothing has changed.
 *
 * Returns 0, or
 *   WF_ESTATE   it is not held
 *   -EPERM      another party holds it
 * Context: any, never blocks.
 */
WF_API int wf_recursive_mutex_unlock(struct wf_recursive_mutex *m);

/* Behind WF_LOCKED. */
struct wf_locked {
    struct wf_mutex *mutex;
};

/*
 * The two ends of a WF_LOCKED block; not for anything else.
 * Context: thread or fiber; any number of callers.
 */
WF_API struct wf_locked wf_locked_enter(struct wf_mutex *m);
WF_API void wf_locked_leave(struct wf_locked *held);

/*
 * Runs the block that follows with `m` locked, and unlocks it on whatever way the block is left.
 * The wait has no deadline and is not cancelable, so the block always runs; a party that holds `m`
 * already breaks a rule, and the program is stopped.
 */
#define WF_LOCKED(m) WF_LOCKED_AT_(m, __LINE__)
#define WF_LOCKED_AT_(m, line) WF_LOCKED_NAMED_(m, line)
#define WF_LOCKED_NAMED_(m, line)                                        \
    for (struct wf_locked wf_locked_##line                               \
         __attribute__((cleanup(wf_locked_leave))) = wf_locked_enter(m); \
         wf_locked_##line.mutex; wf_locked_leave(&wf_locked_##line))

WF_END_DECLS

#endif
