/* SPDX-License-Identifier: MIT */
/*
 * The record of a worker, and of each of its messages: what all of the worker's files have in
 * common, and nothing that is done with it but the lock, the log, and the two ways to tell `serve`
 * (worker.c) that it is to look. The files that stand on it, each on those before it:
 *
 *   worker_events.c   what those who watch are told
 *   worker_jobs.c     which messages there are, and what is known of tasks
 *   worker_pool.c     where tasks run, and how many at a time
 *   worker_quit.c     the cold shutdown
 *   worker_result.c   what is stored of a task
 *   worker_follow.c   its end: what is stored of that, and what follows from it
 *   worker_job.c      a message from its first look to its acknowledgement
 *   worker_ask.c      a request of remote control, and how it is answered
 *   worker_inspect.c  requests that only look
 *   worker_control.c  requests that change something, and where they come from
 *   worker_mingle.c   what other workers know already
 *   worker.c          options, start, taking, shutdown
 */
#ifndef WFI_CELERY_WORKER_RECORD_H
#define WFI_CELERY_WORKER_RECORD_H

#include <weft/celery.h>

#include <weft/event.h>
#include <weft/future.h>
#include <weft/mutex.h>
#include <weft/scope.h>
#include <weft/semaphore.h>
#include <weft/task.h>

#include "base/atomic.h"
#include "base/list.h"
#include "base/map.h"
#include "celery/backend/store.h"
#include "celery/broker/broker.h"
#include "celery/message/message.h"
#include "celery/message/monitor_event.h"
#include "celery/worker/follow.h"
#include "celery/worker/rate.h"
#include "celery/worker/revoked.h"
#include "celery/worker/states.h"

/* For giving a message back; what is not back by then is so when it counts as lost. */
#define WFI_GIVE_BACK_NS WF_SECONDS(10)
/* After memory ran out. */
#define WFI_PAUSE_NS WF_MILLISECONDS(20)

/* How often a pool of threads may be replaced by a larger one: each time at least doubles it. */
enum { WFI_RETIRED_MAX = 20 };

/* Permits that are to go as soon as somebody gives one up; see worker_pool.c. */
typedef WFI_ATOMIC(uint64_t) wfi_owed;

/* ---- events: see worker_events.h ---- */

struct wfi_events {
    WFI_ATOMIC(bool) tasks;        /* events of tasks are wanted */
    WFI_ATOMIC(bool) online;       /* there is a new connection, and nobody was told */
    WFI_ATOMIC(bool) ended;        /* the worker is */
    WFI_ATOMIC(int64_t) active;    /* tasks that run */
    WFI_ATOMIC(int64_t) processed; /* that were begun */
    struct wf_event wake;          /* the fiber that sends */
    char *headers;                 /* of each message; written once */
    struct wf_mutex lock;
    /* under the lock */
    int64_t clock; /* Lamport's, of the whole worker */
    struct wfi_event_batch batch;
    struct wfi_list full; /* batches */
    size_t full_count, dropped;
};

/* ---- jobs: see worker_jobs.h ---- */

/* A task that can be called from outside. It stays for as long as the worker. */
struct wfi_offer {
    const struct wf_task_type *type;
    WFI_ATOMIC(bool) limited; /* it has a rate limit; without one nothing below is looked at */
    /* under the lock */
    struct wfi_rate rate;
    char rate_text[32];      /* as it was given; "" for none */
    struct wfi_list waiting; /* jobs, by `turn` */
    int64_t total;           /* how many were begun */
    double hard_s, soft_s;   /* of its run, where the message says nothing; 0: none */
};

struct wfi_jobs {
    struct wfi_list all;   /* by `place` */
    struct wfi_map offers; /* by name */
    struct wfi_revoked revoked;
};

enum wfi_job_stage { WFI_JOB_WAITING, WFI_JOB_ACTIVE };

/* What of a job the registry keeps; zeroed is one that is not known there. */
struct wfi_job_entry {
    struct wfi_link place, turn;
    struct wfi_offer *offer;
    enum wfi_job_stage stage;
    double started_s;          /* since 1970; 0: not yet */
    struct wf_event *waker;    /* where it waits and can be woken */
    struct wf_future *running; /* its task, while it can be cancelled */
    WFI_ATOMIC(int) body;      /* enum wfi_job_body */
    WFI_ATOMIC(bool) is_done;  /* acknowledged */
    WFI_ATOMIC(int) signum;    /* with which it was terminated; 0: it was not */
};

/* Whether the message's body can be looked at by others. */
enum wfi_job_body {
    WFI_BODY_CLOSED, /* as it came */
    WFI_BODY_OPENING,
    WFI_BODY_OPEN, /* read: nobody changes it any more */
};

/* ---- the worker ---- */

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
    struct wf_event new_connection; /* for mingling */
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
    const char *queue; /* that it came from */
    bool rejected;     /* acknowledged as what cannot be used */
    bool undone;       /* not acknowledged at all: it goes back, for another to do */
    struct wfi_job_entry entry;
};

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

#endif
