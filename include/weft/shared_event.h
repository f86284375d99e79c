/* SPDX-License-Identifier: MIT */
/*
 * An event between processes, their threads and their fibers: it is set or clear; parties wait
 * until it is set.
 */
#ifndef WEFT_SHARED_EVENT_H
#define WEFT_SHARED_EVENT_H

#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_shared_event;

/*
 * Makes a clear event.
 *
 * ret_event   receives it; any process of the family destroys it, or it goes with the last of those
 *             that made it or were given it
 *
 * Returns 0, or
 *   -ENOMEM      no room in what processes share
 *   -ENOSPC      too many processes use what is shared
 *   WF_EFORKED   in a child made by fork
 * Context: any, never blocks for long.
 */
WF_API int wf_shared_event_create(struct wf_shared_event **ret_event, struct wf_error *reterr);

/*
 * Ends the event for all processes. NULL is fine.
 * Context: any, never blocks for long; after everybody else's last call.
 */
WF_API void wf_shared_event_destroy(struct wf_shared_event *event);

/*
 * Sets the event and wakes all that wait for it, also if it is cleared again at once.
 * Context: any, never blocks; any number of callers.
 */
WF_API void wf_shared_event_set(struct wf_shared_event *event);

/*
 * Clears the event: later waits wait.
 * Context: any, never blocks; any number of callers.
 */
WF_API void wf_shared_event_clear(struct wf_shared_event *event);

/*
 * Whether the event is set at this moment.
 * Context: any, never blocks.
 */
WF_API bool wf_shared_event_is_set(const struct wf_shared_event *event);

/*
 * Waits until the event is set.
 *
 * Returns 0, or
 *   -ETIMEDOUT   `deadline` passed first
 *   -ECANCELED   the calling task was cancelled
 *   -ENOSPC      too many processes use what is shared
 *   WF_EFORKED   in a child made by fork
 * Context: thread or fiber; any number of callers.
 */
WF_API WF_MUST_USE int wf_shared_event_wait(struct wf_shared_event *event, wf_deadline deadline);

WF_END_DECLS

#endif
