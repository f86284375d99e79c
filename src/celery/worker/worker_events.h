/* SPDX-License-Identifier: MIT */
/*
 * The events of a worker: what it tells those who watch (celery/message/monitor_event.h).
 *
 * Its own, online, heartbeat and offline, go out by themselves, unless options turn them off. Those
 * of tasks are written only while somebody wants them, and go out in batches: all that have come
 * while the batch before was on its way.
 *
 * One fiber sends. Where the broker is away, events wait, up to WFI_EVENTS_BATCHES_MAX batches;
 * what comes then is dropped, and counted: they are for watching, and no task waits for them.
 */
#ifndef WFI_CELERY_WORKER_EVENTS_H
#define WFI_CELERY_WORKER_EVENTS_H

#include <weft/executor.h>

#include "celery/worker/worker_record.h"

enum { WFI_EVENTS_BATCHES_MAX = 400 };

#define WFI_WEFT_VERSION "0.1.0"

/* Returns 0 or -ENOMEM. fini is fine for what is zeroed. */
int wfi_events_init(struct wfi_worker *worker);
void wfi_events_fini(struct wfi_worker *worker);

/* Sends them, in a task of its own, until wfi_events_end. */
struct wf_future *wfi_events_start(struct wfi_worker *worker, struct wf_executor *on);
/* The last go out, as far as there is a connection, with worker-offline. */
void wfi_events_end(struct wfi_worker *worker);
/* The broker's connection is new. */
void wfi_events_connected(struct wfi_worker *worker);
/* A heartbeat, now. */
void wfi_events_beat(struct wfi_worker *worker);

/* Whether events of tasks are wanted: when not, there is no need to make one. */
static inline bool wfi_events_wanted(struct wfi_events *events)
{
    return wfi_load_relaxed(&events->tasks);
}

/*
 * The events of a job, if they are wanted: that it was received, that it was begun, how it ended or
 * what else is stored of it. `result` is the value or the exception.
 */
void wfi_events_received(struct wfi_job *job);
void wfi_events_started(struct wfi_job *job);
void wfi_events_stored(struct wfi_job *job, enum wfi_task_state state,
                       const struct wfi_json_piece *result, const char *traceback);
void wfi_events_rejected(struct wfi_job *job, bool requeue);

/* The clock: of the next message; of one that was seen; as it is. */
int64_t wfi_events_clock_next(struct wfi_worker *worker);
void wfi_events_clock_saw(struct wfi_worker *worker, int64_t seen);
int64_t wfi_events_clock(struct wfi_worker *worker);

#endif
