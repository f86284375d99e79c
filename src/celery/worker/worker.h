/* SPDX-License-Identifier: MIT */
/*
 * The worker's own parts, for its files alone:
 *
 *   worker.c          options, start, taking, shutdown
 *   worker_job.c      a message from its first look to its acknowledgement
 *   worker_jobs.c     which there are, and what is known of tasks
 *   worker_result.c   what is stored of its end
 *   worker_follow.c   what follows from it
 *   worker_quit.c     the cold shutdown
 *   worker_pool.c     where tasks run, and how many at a time
 *   worker_control.c  requests of remote control
 *   worker_mingle.c   what other workers know already
 *   worker_events.c   what those who watch are told
 */
#ifndef WFI_CELERY_WORKER_H
#define WFI_CELERY_WORKER_H

#include <weft/celery.h>

#include <weft/event.h>
#include <weft/mutex.h>
#include <weft/scope.h>
#include <weft/semaphore.h>

#include "base/atomic.h"
#include "base/list.h"
#include "celery/broker/broker.h"
#include "celery/worker/call.h"
#include "celery/worker/follow.h"
#include "celery/message/result.h"
#include "celery/backend/store.h"
#include "celery/worker/worker_events.h"
#include "celery/worker/worker_jobs.h"

/* For giving a message back; what is not back by then is so when it counts as lost. */
#define WFI_GIVE_BACK_NS WF_SECONDS(10)
/* After memory ran out. */
#define WFI_PAUSE_NS WF_MILLISECONDS(20)

/* How often a pool of threads may be replaced by a larger one: each time at least doubles it. */
enum { WFI_RETIRED_MAX = 20 };

/* Permits that are to go as soon as somebody gives one up; see worker_pool.c. */
typedef WFI_ATOMIC(uint64_t) wfi_owed;

struct wfi_worker {
    const struct wf_celery_worker_options *options;
    char name[128];
    int64_t started_ns;
    WFI_ATOMIC(struct wf_executor *) pool;
    bool own_pool;
    uint64_t prefetch_min;                        /* as it was in the beginning */
    uint64_t concurrency, prefetch_max;           /* under the lock, as the next two lines */
    uint64_t workers_max;                         /* of a pool of the worker's own */
    struct wf_executor *retired[WFI_RETIRED_MAX]; /* pools that were too small */
    size_t retired_count;
    wfi_owed slots_owed, prefetch_owed; /* changed under the lock */
    struct wfi_states *states;          /* of tasks in processes; else NULL */
    struct wfi_broker *broker;
    bool amqp;               /* the broker is RabbitMQ */
    struct wfi_store *store; /* NULL: results are not stored */
    struct wfi_follow_with follow;
    struct wf_semaphore prefetch, slots, storing, refusing;
    struct wf_scope *scope;       /* of consume and messages */
    WFI_ATOMIC(bool) stopping;    /* see worker.c, as for the next two */
    WFI_ATOMIC(size_t) not_begun; /* messages, and consume */
    struct wf_event wake;         /* serve */
    WFI_ATOMIC(bool) cold;        /* see worker_quit.c */
    struct wf_event given_back;   /* what had not begun */
    struct wf_mutex lock;
    struct wfi_list left; /* jobs that were not begun; under the lock */
    struct wfi_jobs jobs; /* under the lock */
    /* The first connection: see wf_celery_worker_options.connect_ns. */
    wf_deadline connect_until;
    struct wf_error connect_error; /* why it failed, lately; under the lock */
    WFI_ATOMIC(bool) was_connected, asked_to_stop;
    struct wfi_events events;
    int broker_err;        /* of keep, read after it has ended */
    struct wf_error error; /* the same */
};

/* A message. Its fiber's alone, until it is settled. */
struct wfi_job {
    struct wfi_link link; /* in `left` */
    struct wfi_worker *worker;
    /* NULL once it is acknowledged or given back: also by worker_quit.c, which then abandons it */
    WFI_ATOMIC(struct wfi_broker_message *) message;
    WFI_ATOMIC(bool) abandoned;
    struct wfi_message_in in;
    uint64_t number; /* in the order in which they were taken */
    bool begun, has_permit, has_slot;
    const char *queue;          /* that it came from */
    bool rejected;              /* acknowledged as what cannot be used */
    bool undone;                /* not acknowledged at all: it goes back, for another to do */
    struct wfi_job_entry entry; /* see celery/worker/worker_jobs.h */
};

/* ---- worker.c ---- */

/* Nothing is waited for under the lock, so that taking it is no wait to be cancelled. */
void wfi_worker_lock(struct wfi_worker *worker);
void wfi_worker_unlock(struct wfi_worker *worker);

/* A line for the log. */
void wfi_worker_say(struct wfi_worker *worker, enum wf_celery_level level, const char *format, ...)
    WF_PRINTF(3, 4);

/* Whether there is a log for lines of this level. */
bool wfi_worker_logs(const struct wfi_worker *worker, enum wf_celery_level level);

/* Since 1970. */
int64_t wfi_worker_now_us(void);

/* A warm shutdown. Any caller, never blocks. */
void wfi_worker_stop(struct wfi_worker *worker);

/* Somebody fewer that is not begun. */
void wfi_worker_count_begun(struct wfi_worker *worker);

/* ---- worker_quit.c ---- */

/* Waits for options->quit, on `on`; NULL where there is none. And ends that. */
struct wf_future *wfi_worker_watch_quit(struct wfi_worker *worker, struct wf_executor *on);
void wfi_worker_end_quit(struct wf_future *watch);

/* ---- worker_pool.c ---- */

/* Gives the worker its executor and its permits. close is fine for what was not opened. */
int wfi_worker_open_pool(struct wfi_worker *worker, struct wf_executor *on,
                         struct wf_error *reterr);
void wfi_worker_close_pool(struct wfi_worker *worker);

/* The worker processes of the pool that tasks go to now; 0 on other engines. Returns how many. */
size_t wfi_worker_processes(struct wfi_worker *worker, int64_t *ret_pids, size_t room);

/* More slots, or fewer: at least one stays. Returns 0, -ERANGE, -ENOTSUP or -ENOMEM. */
int wfi_worker_grow(struct wfi_worker *worker, uint64_t n, struct wf_error *reterr);
int wfi_worker_shrink(struct wfi_worker *worker, uint64_t n);

/* Gives a permit up: to others, unless it is owed. */
void wfi_worker_give_up(struct wfi_worker *worker, struct wf_semaphore *s, wfi_owed *owed);

/* ---- worker_job.c ---- */

/* Starts the fiber of a message that was taken, and has a permit of prefetch. */
void wfi_job_start(struct wfi_worker *worker, struct wfi_broker_message *message, uint64_t number);

/* It is done with, as far as the broker is concerned. Once; later calls do nothing. */
void wfi_job_acknowledge(struct wfi_job *job);

void wfi_job_destroy(struct wfi_job *job);

/* ---- worker_result.c ---- */

/* Stores a result, unless none is wanted; its ids are filled in. Returns 0 or an error of
 * wfi_store_put. */
int wfi_job_store(struct wfi_job *job, const struct wfi_result *result, struct wf_error *reterr);

/* A failure to do so is logged, and that is all. */
void wfi_job_store_started(struct wfi_job *job);

/* Stores a state of the task's own; for struct wfi_call. */
int wfi_job_update(void *job, const char *state, const struct wfi_json_piece *meta);

/* Ends a job with an exception, as FAILURE or REVOKED: with a text or none, of a call, of a hard
 * limit. */
void wfi_job_fail(struct wfi_job *job, enum wfi_task_state state, const char *module,
                  const char *type, const char *text);
void wfi_job_fail_as(struct wfi_job *job, enum wfi_task_state state,
                     const struct wfi_outcome *outcome);
void wfi_job_fail_for_time(struct wfi_job *job, double hard_s);

/* ---- worker_follow.c ---- */

/* Fills in worker->follow, once the others are there. */
void wfi_worker_follow(struct wfi_worker *worker);

/*
 * What is stored of a job's end, and all that follows from it. Afterwards it is to be acknowledged,
 * unless it is undone. Shielded.
 */
void wfi_job_end(struct wfi_job *job, const struct wfi_outcome *outcome);

/* The same with an exception, as FAILURE or REVOKED; `outcome` is NULL where there was no call. */
void wfi_job_failed(struct wfi_job *job, enum wfi_task_state state,
                    const struct wfi_json_piece *exception, const struct wfi_outcome *outcome);

#endif
