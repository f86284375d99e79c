/* SPDX-License-Identifier: MIT */
/*
 * A barrier between processes, their threads and their fibers holds a fixed number of parties until
 * the last has come, then lets all go on, again and again. A party that gives up, or whose process
 * ends while it waits, breaks the barrier for the others, because they would wait in vain.
 */
#ifndef WEFT_SHARED_BARRIER_H
#define WEFT_SHARED_BARRIER_H

#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_shared_barrier;

/*
 * Makes a barrier for `parties`.
 *
 * ret_barrier   receives it; any process of the family destroys it, or it goes with the last of
 *               those that made it or were given it
 *
 * Returns 0, or
 *   -EINVAL      `parties` is 0 or above 1,000,000
 *   -ENOMEM      no room in what processes share
 *   -ENOSPC      too many processes use what is shared
 *   WF_EFORKED   in a child made by fork
 * Context: any, never blocks for long.
 */
WF_API int wf_shared_barrier_create(size_t parties, struct wf_shared_barrier **ret_barrier,
                                    struct wf_error *reterr);

/*
 * Ends the barrier for all processes. NULL is fine.
 * Context: any, never blocks for long; after everybody else's last call.
 */
WF_API void wf_shared_barrier_destroy(struct wf_shared_barrier *barrier);

/*
 * Waits until all parties have come.
 *
 * Returns the caller's place in the order of arrival, 0 to parties - 1; or
 *   WF_EBROKEN   the barrier is broken, or was broken or reset while this waited
 *   -ETIMEDOUT   `deadline` passed first; the barrier is broken now
 *   -ECANCELED   the calling task was cancelled; the barrier is broken now
 *   -ENOSPC      too many processes use what is shared
 *   WF_EFORKED   in a child made by fork
 * Context: thread or fiber; any number of callers.
 */
WF_API WF_MUST_USE int wf_shared_barrier_wait(struct wf_shared_barrier *barrier,
                                              wf_deadline deadline);

/*
 * Breaks the barrier: who waits, and who comes until the next reset, gets WF_EBROKEN.
 * Context: any, never blocks for long.
 */
WF_API void wf_shared_barrier_abort(struct wf_shared_barrier *barrier);

/*
 * Makes the barrier as new; who waits gets WF_EBROKEN.
 * Context: any, never blocks for long.
 */
WF_API void wf_shared_barrier_reset(struct wf_shared_barrier *barrier);

/*
 * How many wait at this moment, and whether the barrier is broken.
 * Context: any, never blocks.
 */
WF_API size_t wf_shared_barrier_waiting(const struct wf_shared_barrier *barrier);
WF_API bool wf_shared_barrier_is_broken(const struct wf_shared_barrier *barrier);

WF_END_DECLS

#endif
