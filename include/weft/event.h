/* SPDX-License-Identifier: MIT */
/*
 * An event is set or clear; parties wait until it is set.
 *
 *     static struct wf_event ready = WF_EVENT_INIT;
 */
#ifndef WEFT_EVENT_H
#define WEFT_EVENT_H

#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_event {
    uint64_t words[3]; /* weft's own */
};

#define WF_EVENT_INIT \
    {                 \
        {             \
            0         \
        }             \
    }

/*
 * Makes `e` a clear event, in storage that stays the caller's.
 * Context: any, never blocks; nobody else uses `e` yet.
 */
WF_API void wf_event_init(struct wf_event *e);

/*
 * Ends the use of `e`, for which nobody may wait; the storage may go afterwards. One that has
 * waited for the event may call this at once.
 * Context: any, never blocks; after everybody else's last call but a set that is about to return.
 */
WF_API void wf_event_fini(struct wf_event *e);

/*
 * Sets the event and wakes all that wait for it, also if it is cleared again at once.
 * Context: any, never blocks; any number of callers.
 */
WF_API void wf_event_set(struct wf_event *e);

/*
 * Clears the event: later waits wait.
 * Context: any, never blocks; any number of callers.
 */
WF_API void wf_event_clear(struct wf_event *e);

/*
 * Whether the event is set at this moment.
 * Context: any, never blocks.
 */
WF_API bool wf_event_is_set(const struct wf_event *e);

/*
 * Waits until the event is set.
 *
 * Returns 0, or
 *   -ETIMEDOUT   `deadline` passed first
 *   -ECANCELED   the calling task was cancelled
 *   WF_EFORKED   in a child made by fork
 * Context: thread or fiber; any number of callers.
 */
WF_API WF_MUST_USE int wf_event_wait(struct wf_event *e, wf_deadline deadline);

WF_END_DECLS

#endif
