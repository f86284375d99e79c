/* SPDX-License-Identifier: MIT */
/*
 * A pool of worker processes: what its parts share. pool.c takes tasks; pool_items.c queues and
 * ends them; pool_dispatch.c hands them to workers and takes them back; keeper.c, a thread of each
 * pool, starts workers and buries them; pool_view.c shows it all.
 *
 * Everything below `lock` is read and written under it, but for what the listener of the helper
 * writes of a worker that has ended. Under the lock nothing of the user's runs and no future is
 * ended: what has ended is chained (`ended`) and finished by whoever gives the lock up.
 *
 * An item is a task on its way. It is
 *   queued     PENDING still, in one of the queues (its future may leave PENDING without the
 *              queue's knowledge: then the entry is a tombstone, as in the threads engine)
 *   assigned   RUNNING, in a worker's `items`, under the number of its slot
 *   again      RUNNING, in the list of those to be assigned before all others: its worker died, or
 *              another one was idle
 *   ended      its outcome is known; on its way to finish()
 */
#ifndef WFI_PROC_POOL_H
#define WFI_PROC_POOL_H

#include <weft/processes.h>

#include "exec/executor.h"
#include "os/lock.h"
#include "os/poller.h"
#include "os/thread.h"
#include "proc/control.h"
#include "proc/helper.h"
#include "proc/parcel.h"
#include "proc/ring.h"
#include "proc/slab.h"
#include "sched/record.h"

enum {
    WFI_POOL_PRIORITIES = 7,
    /* Workers beyond the maximum, while so many wait for tasks that they submitted. */
    WFI_POOL_SPARES = 256,
};

struct wfi_item {
    struct wfi_item *next;
    struct wf_future *f; /* NULL: the task of a task, for `origin` */
    struct wfi_parcel parcel;
    struct wfi_answer answer; /* when ended */
    int priority, retries;
    int64_t deadline_ns; /* of the scope, INT64_MAX for none */
    int64_t kill_ns;     /* when its worker is killed for it */
    bool asked;          /* it was told to stop */
    bool tombstone;      /* ended: by another, while it was queued */
    unsigned origin;     /* a worker's place, if f is NULL */
    uint64_t origin_serial, origin_id;
};

struct wfi_items {
    struct wfi_item *first, *last;
};

enum wfi_place_state {
    WFI_PLACE_EMPTY,
    WFI_PLACE_STARTING, /* the keeper is about to make the process */
    WFI_PLACE_LIVE,
    WFI_PLACE_STOPPING, /* told to stop, or killed */
};

/* A message that the socket had no room for. */
struct wfi_unsent {
    struct wfi_unsent *next;
    struct wfi_control head;
    int fd;
    void *bytes;
};

/* A worker, or the place for one. */
struct wfi_pool_worker {
    struct wfi_pool *pool;
    unsigned index;
    enum wfi_place_state state;
    uint64_t serial; /* of the process in this place */
    struct wfi_related *related;
    int pid;
    struct wfi_ring *ring;
    int control, payload, bell;
    bool control_open;
    struct wfi_unsent *unsent, **unsent_end;

    uint32_t tail;        /* slots filled */
    uint32_t published;   /* and told */
    uint32_t consumed;    /* and come back */
    unsigned outstanding; /* items among them */
    struct wfi_item *items[WFI_RING_SLOTS];
    struct wfi_slab args;
    uint64_t args_freed, args_ends[WFI_RING_SLOTS];

    unsigned nested;   /* tasks of its task that have not ended */
    uint64_t given;    /* tasks, for tasks_max */
    uint64_t finished; /* tasks */
    int64_t average_ns;
    unsigned restarts;
    bool on_purpose; /* the pool ends it: no death to be counted */
    bool corrupt;
    struct wfi_item *victim; /* the task it was killed for, if that still runs */
    int64_t kill_ns;         /* of one that stops */

    /* The listener's, until `exited`. */
    WFI_ATOMIC(uint32_t) exited;
    int wait_status;
    char last_words[sizeof((struct wf_error *)NULL)->text];
};

struct wfi_pool {
    struct wf_executor base;
    struct wf_processes_options options; /* constant; what it points to is the pool's */
    struct wfi_rlimit *rlimits;
    struct wfi_worker_start *start; /* constant but for `index`, the keeper's */
    size_t start_bytes;
    unsigned max; /* workers */
    bool spins;
    int64_t grace_ns; /* below 0: for ever */
    struct wfi_poller *poller;
    struct wfi_thread keeper;
    struct wfi_record *keeper_record;
    struct wfi_helper_watch watch;
    WFI_ATOMIC(uint32_t) helper_died;
    struct wfi_link link; /* in the list of pools, for dumps */

    struct wfi_lock lock;
    struct wfi_items queues[WFI_POOL_PRIORITIES];
    struct wfi_items again, ended;
    size_t entries, queued; /* in the queues; and PENDING among them */
    size_t agains;
    uint64_t finished; /* tasks, by workers */
    struct wfi_wait_list submitters, leavers;
    struct wfi_pool_worker *workers[WFI_POOL_SPARES + 1024];
    unsigned places;    /* of `workers` in use */
    unsigned finishing; /* parties that end futures just now */
    unsigned attending; /* parties that look at the rings, so that no bell is wanted */
    bool closed, quit;
    bool prodded;     /* the keeper will look, or is looking */
    int64_t retry_ns; /* no process is started before: the system has refused one */
    struct wf_error *broken, broken_error;
    uint64_t serials;
    int64_t deaths[1024]; /* when, a ring */
    unsigned death_count;
};

static inline struct wfi_pool *wfi_pool_of(const struct wf_executor *base)
{
    return wfi_container_of((struct wf_executor *)(uintptr_t)base, struct wfi_pool, base);
}

/* pool_items.c; under the lock unless it says otherwise */

void wfi_items_push(struct wfi_items *items, struct wfi_item *item);
void wfi_items_push_front(struct wfi_items *items, struct wfi_item *item);
struct wfi_item *wfi_items_pop(struct wfi_items *items);
void wfi_items_remove(struct wfi_items *items, struct wfi_item *item);
void wfi_item_free(struct wfi_item *item);

/* The task has failed, or was cancelled: chains it to `ended`. `error` may be NULL, and is
 * copied. */
void wfi_pool_fail(struct wfi_pool *pool, struct wfi_item *item, int code,
                   const struct wf_error *error);
void wfi_pool_drop(struct wfi_pool *pool, struct wfi_item *item);
/* Somebody else has ended it: only the ENGINE bit is left to be given up; or at once, without the
 * lock. */
void wfi_pool_drop_tombstone(struct wfi_pool *pool, struct wfi_item *item);
void wfi_item_bury(struct wfi_item *item);

/* Ends the lock: wakes the workers that have something new, and, without the lock, finishes what
 * has ended. */
void wfi_pool_unlock(struct wfi_pool *pool);

/* Is there no room for one more in the queue? */
bool wfi_pool_is_full(const struct wfi_pool *pool);
/* One task less that is PENDING and counted: lets in who waits for room. */
void wfi_pool_unqueued(struct wfi_pool *pool);
/* PENDING to RUNNING on behalf of the pool; false: it has ended. */
bool wfi_pool_take(struct wfi_pool *pool, struct wf_future *f);
void wfi_pool_forget(struct wf_executor *base); /* the engine's function; takes the lock */
void wfi_pool_enqueue(struct wfi_pool *pool, struct wfi_item *item);
struct wfi_item *wfi_pool_pop(struct wfi_pool *pool);
bool wfi_pool_has_items(const struct wfi_pool *pool);
/* No worker can be had: fails what is queued. */
void wfi_pool_fail_queued(struct wfi_pool *pool, const struct wf_error *error);

/* pool_dispatch.c, under the lock */

/* Hands out what can be handed out. */
void wfi_pool_dispatch(struct wfi_pool *pool);
/* Takes what the worker has done. */
void wfi_pool_consume(struct wfi_pool_worker *worker);
/* Takes back all that its worker has not begun. */
void wfi_pool_take_back(struct wfi_pool_worker *worker);
/* True when the worker has begun the task in slot `consumed`, and not ended it. */
bool wfi_pool_running(const struct wfi_pool_worker *worker);
/* The engine's function; takes the lock. */
void wfi_pool_attend(struct wf_executor *base, struct wf_future *f, wf_deadline deadline);

/* pool.c, under the lock */

/* Gives the pool up, for this reason; once. */
void wfi_pool_break(struct wfi_pool *pool, const char *text);
/* Cancels the task of a task. */
void wfi_pool_withdraw(struct wfi_pool *pool, struct wfi_pool_worker *origin, uint64_t id);
/* The worker has gone: cancels all that it submitted. */
void wfi_pool_withdraw_all(struct wfi_pool *pool, struct wfi_pool_worker *origin);
/* Nothing is left of all that was submitted, and no worker. */
bool wfi_pool_is_over(const struct wfi_pool *pool);
/* True for an executor of this engine. */
bool wfi_pool_is_one(const struct wf_executor *on);

/* pool_view.c */

void wfi_pool_look(const struct wf_executor *base, struct wf_seen_executor *ret_seen);
bool wfi_pool_has_process(const struct wfi_pool_worker *worker);
/* From here on it is part of a dump; and no more. Without the lock. */
void wfi_pool_show(struct wfi_pool *pool);
void wfi_pool_hide(struct wfi_pool *pool);

/* keeper.c */

void *wfi_keeper_run(void *pool);
/* Makes the keeper look at the pool. Any thread. */
void wfi_keeper_prod(struct wfi_pool *pool);
/* Sends, or keeps for later. Under the lock. Takes `bytes` (on the heap) and `fd`. */
void wfi_keeper_send(struct wfi_pool_worker *worker, struct wfi_control *head, void *bytes, int fd);

#endif
