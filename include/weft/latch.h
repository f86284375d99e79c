/* SPDX-License-Identifier: MIT */
/*
 * A latch counts down to zero, once, and lets everybody pass from then on: "all eleven have
 * finished".
 */
#ifndef WEFT_LATCH_H
#define WEFT_LATCH_H

#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_latch {
    uint64_t words[4]; /* weft's own */
};

#define WF_LATCH_INIT(count)           \
    {                                  \
        {                              \
            (uint64_t)(count), 0, 0, 0 \
        }                              \
    }

/*
 * Makes `l` a latch that opens after `count` has been counted down, in storage that stays the
 * caller's. With 0 it is open.
 * Context: any, never blocks; nobody else uses `l` yet.
 */
WF_API void wf_latch_init(struct wf_latch *l, uint64_t count);

/*
 * Ends the use of `l`, for which nobody may wait; the storage may go afterwards. One that has
 * waited for the latch may call this at once.
 * Context: any, never blocks; after everybody else's last call but a
 * count-down that is about to return.
 */
WF_API void wf_latch_fini(struct wf_latch *l);

/*
 * Counts down by `n`; at zero the latch opens and all that wait are woken.
 *
 * Returns 0, or
 *   WF_ESTATE   `n` is more than what is left; nothing has changed
 * Context: any, never blocks; any number of callers.
 */
WF_API int wf_latch_count_down(struct wf_latch *l, uint64_t n);

/*
 * What is left to be counted down.
 * Context: any, never blocks.
 */
WF_API uint64_t wf_latch_count(const struct wf_latch *l);

/*
 * Waits until the latch is open.
 *
 * Returns 0, or
 *   -ETIMEDOUT   `deadline` passed first
 *   -ECANCELED   the calling task was cancelled
 *   WF_EFORKED   in a child made by fork
 * Context: thread or fiber; any number of callers.
 */
WF_API WF_MUST_USE int wf_latch_wait(struct wf_latch *l, wf_deadline deadline);

WF_END_DECLS

#endif
