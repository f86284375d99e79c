/* SPDX-License-Identifier: MIT */
/*
 * Counting semaphores between processes, their threads and their fibers. Permits are not tied to
 * who took them: those that a process has when it is killed are gone, unless somebody else releases
 * them. Where that matters, use a mutex, or count in an array under one.
 */
#ifndef WEFT_SHARED_SEMAPHORE_H
#define WEFT_SHARED_SEMAPHORE_H

#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_shared_semaphore;

/* The most permits a shared semaphore can hold. */
#define WF_SHARED_SEMAPHORE_MAX (UINT32_MAX >> 1)

/*
 * Makes a semaphore with `permits` permits; `bound` is the most it may ever hold, 0 for no bound.
 *
 * ret_semaphore   receives it; any process of the family destroys it, or it goes with the last of
 *                 those that made it or were given it
 *
 * Returns 0, or
 *   -EINVAL      more permits than the bound, or than WF_SHARED_SEMAPHORE_MAX
 *   -ENOMEM      no room in what processes share
 *   -ENOSPC      too many processes use what is shared
 *   WF_EFORKED   in a child made by fork
 * Context: any, never blocks for long.
 */
WF_API int wf_shared_semaphore_create(uint32_t permits, uint32_t bound,
                                      struct wf_shared_semaphore **ret_semaphore,
                                      struct wf_error *reterr);

/*
 * Ends the semaphore for all processes. NULL is fine.
 * Context: any, never blocks for long; after everybody else's last call.
 */
WF_API void wf_shared_semaphore_destroy(struct wf_shared_semaphore *semaphore);

/*
 * Takes `n` permits, all at once, waiting until there are as many. There is no order among those
 * who wait: one that wants many may be passed for long by others that want few.
 *
 * Returns 0, or
 *   -ETIMEDOUT   `deadline` passed first; nothing was taken
 *   -ECANCELED   the calling task was cancelled; nothing was taken
 *   -EINVAL      `n` is 0 or more than there can be
 *   -ENOSPC      too many processes use what is shared
 *   WF_EFORKED   in a child made by fork
 * Context: thread or fiber; any number of callers.
 */
WF_API WF_MUST_USE int wf_shared_semaphore_acquire(struct wf_shared_semaphore *semaphore,
                                                   uint32_t n, wf_deadline deadline);

/*
 * Takes `n` permits if there are as many.
 *
 * Returns 0, or
 *   -EAGAIN   there are not
 *   -EINVAL, -ENOSPC, WF_EFORKED   as above
 * Context: any, never blocks; any number of callers.
 */
WF_API WF_MUST_USE int wf_shared_semaphore_try_acquire(struct wf_shared_semaphore *semaphore,
                                                       uint32_t n);

/*
 * Gives `n` permits. On an error nothing has changed.
 *
 * Returns 0, or
 *   WF_ESTATE   the bound would be exceeded
 *   -EINVAL     `n` is 0, or WF_SHARED_SEMAPHORE_MAX would be exceeded
 *   -ENOSPC, WF_EFORKED   as above
 * Context: any, never blocks; any number of callers.
 */
WF_API int wf_shared_semaphore_release(struct wf_shared_semaphore *semaphore, uint32_t n);

/*
 * The permits there are at this moment.
 * Context: any, never blocks.
 */
WF_API uint32_t wf_shared_semaphore_value(const struct wf_shared_semaphore *semaphore);

WF_END_DECLS

#endif
