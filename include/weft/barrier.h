/* SPDX-License-Identifier: MIT */
/*
 * A barrier holds a fixed number of parties until the last has come, then lets all go on, again and
 * again. A party that gives up breaks the barrier for the others, because they would wait in vain.
 */
#ifndef WEFT_BARRIER_H
#define WEFT_BARRIER_H

#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_barrier {
    uint64_t words[10]; /* weft's own */
};

/*
 * Makes `b` a barrier for `parties`, in storage that stays the caller's. `action`, which may be
 * NULL, is called as action(arg) once a round, by the last party that came, before any is let go;
 * it may block, and a negative return breaks the barrier.
 *
 * Returns 0, or
 *   -EINVAL   `parties` is 0 or above 2^31 - 1
 * Context: any, never blocks; nobody else uses `b` yet.
 */
WF_API int wf_barrier_init(struct wf_barrier *b, size_t parties, int (*action)(void *arg),
                           void *arg);

/*
 * Ends the use of `b`, at which nobody may wait; the storage may go afterwards.
 * Context: any, never blocks; after everybody else's last call has returned.
 */
WF_API void wf_barrier_fini(struct wf_barrier *b);

/*
 * Waits until all parties have come.
 *
 * Returns the caller's place in the order of arrival, 0 to parties - 1; or
 *   WF_EBROKEN   the barrier is broken, or was broken or reset while this waited
 *   -ETIMEDOUT   `deadline` passed first; the barrier is broken now
 *   -ECANCELED   the calling task was cancelled; the barrier is broken now
 *   WF_EFORKED   in a child made by fork
 *   what the action returned, negative, to the party that ran it
 * Context: thread or fiber; any number of callers.
 */
WF_API WF_MUST_USE int wf_barrier_wait(struct wf_barrier *b, wf_deadline deadline);

/*
 * Breaks the barrier: who waits, and who comes until the next reset, gets WF_EBROKEN.
 * Context: any, never blocks.
 */
WF_API void wf_barrier_abort(struct wf_barrier *b);

/*
 * Makes the barrier as new; who waits gets WF_EBROKEN.
 * Context: any, never blocks.
 */
WF_API void wf_barrier_reset(struct wf_barrier *b);

/*
 * How many wait at this moment, and whether the barrier is broken.
 * Context: any, never blocks.
 */
WF_API size_t wf_barrier_waiting(const struct wf_barrier *b);
WF_API bool wf_barrier_is_broken(const struct wf_barrier *b);

WF_END_DECLS

#endif
