/* SPDX-License-Identifier: MIT */
/*
 * Counting semaphores for fibers, threads and both mixed. Permits are served strictly in order: who
 * came first and wants five is not passed by who came later and wants one.
 *
 *     static struct wf_semaphore seats = WF_SEMAPHORE_INIT(10);
 *
 *     err = wf_semaphore_acquire(&seats, 1, deadline);
 *     ...
 *     wf_semaphore_release(&seats, 1);
 */
#ifndef WEFT_SEMAPHORE_H
#define WEFT_SEMAPHORE_H

#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_semaphore {
    uint64_t words[5]; /* weft's own */
};

/* Permits at the start, and a bound that releases may not exceed. */
#define WF_SEMAPHORE_INIT(permits)               \
    {                                            \
        {                                        \
            (uint64_t)(permits) << 1, 0, 0, 0, 0 \
        }                                        \
    }
#define WF_BOUNDED_SEMAPHORE_INIT(permits)                         \
    {                                                              \
        {                                                          \
            (uint64_t)(permits) << 1, (uint64_t)(permits), 0, 0, 0 \
        }                                                          \
    }

/* The most permits a semaphore can hold. */
#define WF_SEMAPHORE_MAX (UINT64_MAX >> 1)

/*
 * Makes `s` a semaphore with `permits` permits, in storage that stays the caller's; `bound` is the
 * most it may ever hold, 0 for no bound.
 *
 * Returns 0, or
 *   -EINVAL   more permits than the bound, or than WF_SEMAPHORE_MAX
 * Context: any, never blocks; nobody else uses `s` yet.
 */
WF_API int wf_semaphore_init(struct wf_semaphore *s, uint64_t permits, uint64_t bound);

/*
 * Ends the use of `s`, for which nobody may wait; the storage may go afterwards.
 * Context: any, never blocks; after everybody else's last call.
 */
WF_API void wf_semaphore_fini(struct wf_semaphore *s);

/*
 * Takes `n` permits, all at once, waiting until it is the caller's turn and there are as many.
 *
 * Returns 0, or
 *   -ETIMEDOUT   `deadline` passed first; nothing was taken
 *   -ECANCELED   the calling task was cancelled; nothing was taken
 *   -EINVAL      `n` is 0 or more than the bound
 *   WF_EFORKED   in a child made by fork
 * Context: thread or fiber; any number of callers; waiters are served in order.
 */
WF_API WF_MUST_USE int wf_semaphore_acquire(struct wf_semaphore *s, uint64_t n,
                                            wf_deadline deadline);

/*
 * Takes `n` permits if there are as many and nobody waits.
 *
 * Returns 0, or
 *   -EAGAIN   there are not, or somebody waits
 *   -EINVAL   `n` is 0 or more than the bound
 * Context: any, never blocks; any number of callers.
 */
WF_API WF_MUST_USE int wf_semaphore_try_acquire(struct wf_semaphore *s, uint64_t n);

/*
 * Gives `n` permits, to those who wait first. On an error nothing has changed.
 *
 * Returns 0, or
 *   WF_ESTATE   the bound would be exceeded
 *   -EINVAL     `n` is 0, or WF_SEMAPHORE_MAX would be exceeded
 * Context: any, never blocks; any number of callers.
 */
WF_API int wf_semaphore_release(struct wf_semaphore *s, uint64_t n);

/*
 * The permits there are at this moment.
 * Context: any, never blocks.
 */
WF_API uint64_t wf_semaphore_value(const struct wf_semaphore *s);

WF_END_DECLS

#endif
