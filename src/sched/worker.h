/* SPDX-License-Identifier: MIT */
/* A worker from the inside: for the files of this folder, and for exec/join.c, which pushes and
 * pops jobs faster than by way of a submit. */
#ifndef WFI_SCHED_WORKER_H
#define WFI_SCHED_WORKER_H

#include "base/heap.h"
#include "os/context.h"
#include "os/stack.h"
#include "os/thread.h"
#include "sched/deque.h"
#include "sched/fiber.h"
#include "sched/runtime.h"

/* How a worker sleeps; the word is a futex. */
enum wfi_worker_state { WFI_AWAKE, WFI_ASLEEP_WORD, WFI_ASLEEP_POLLER };

struct wfi_poller;

enum { WFI_WORKER_SLOTS = 8 };

struct wfi_fiber_queue {
    struct wfi_fiber *first, *last;
};

struct wfi_worker {
    /* Constant after the start. */
    struct wfi_runtime *runtime;
    int index;
    struct wfi_thread thread;
    struct wfi_record *record;

    /* The worker's thread alone; several contexts of it. */
    struct wfi_context native;
    struct wfi_fiber *current;    /* NULL on the native stack */
    struct wfi_fiber_queue ready; /* started fibers, first come first served */
    struct wfi_fiber *cache;      /* fibers without a job, last in first out */
    int cached, cached_max;
    uint64_t live;           /* started fibers that have not ended */
    int budget, budget_full; /* switches until the next housekeeping */
    uint64_t poll_after;     /* the number of the switch before which nobody looks at descriptors */
    int64_t clock_ns;        /* of the last housekeeping */
    struct wfi_heap timers;
    struct wfi_lock *const *held; /* to be released after the switch */
    size_t held_count;
    struct wfi_fiber *ended; /* to be cached after the switch */
    void (*call)(void *);    /* to be run on the native stack */
    void *call_arg;
    /* netpoll's; made by the first descriptor. Only its own fibers write it, but one after another:
     * to the race detector they are strangers. */
    WFI_ATOMIC(struct wfi_poller *) poller;
    WFI_ATOMIC(uint32_t) descriptors; /* netpoll's: while it is 0 nobody looks into the poller */
    const struct wf_error *refusal;
    void *slots[WFI_WORKER_SLOTS]; /* by worker key */
    uint64_t random;
    bool searching;

    /* Written by the worker, read by anybody. */
    struct {
        WFI_ATOMIC(uint64_t) jobs, switches, steals, injected, remote_wakes, timers, polls, sleeps;
        WFI_ATOMIC(uint64_t) live;
    } count;

    /* Written by anybody. */
    _Alignas(64)
        WFI_ATOMIC(struct wfi_fiber *) inbox; /* fibers woken from elsewhere, newest first */
    WFI_ATOMIC(struct wfi_job *) mail;        /* jobs for this worker alone, newest first */
    WFI_ATOMIC(uint32_t) state;               /* enum wfi_worker_state */
    WFI_ATOMIC(int) cpu;                      /* where it went to sleep */

    struct wfi_deque deque;
};

struct wfi_runtime {
    int worker_count;
    size_t stack_bytes;
    char name[16];
    struct wfi_stack_pool *stacks;
    WFI_ATOMIC(bool) stopping;
    struct wfi_runtime *newer; /* list of all runtimes, under the lock in registry.c */
    uint64_t number;           /* in it: the newest has the largest */

    _Alignas(64) WFI_ATOMIC(uint64_t) idle[WFI_WORKERS_MAX / 64]; /* a bit per sleeping worker */
    WFI_ATOMIC(uint32_t) searchers;

    _Alignas(64) struct wfi_lock injector_lock;
    struct wfi_job *injector_first, *injector_last; /* under the lock */
    WFI_ATOMIC(uint64_t) injector_count;            /* written under the lock */

    struct wfi_worker workers[];
};

/* One more relaxed count, by the only writer. */
#define WFI_COUNT_OWN(counter) wfi_count_own(&(counter))

/* Prepares a zeroed worker. Returns 0, -ENOMEM or a lack of descriptors; then there is nothing to
 * fini. */
int wfi_worker_init(struct wfi_worker *worker, struct wfi_runtime *runtime, int index,
                    const struct wfi_runtime_options *options, struct wf_error *reterr);
void wfi_worker_fini(struct wfi_worker *worker);
/* Body of the worker's thread. */
void *wfi_worker_main(void *worker);

/* Arms, moves or (WF_FOREVER) disarms a timer of the calling worker. */
void wfi_worker_timer_set(struct wfi_worker *worker, struct wfi_timer *timer, wf_deadline deadline);
/* Calls the destructors of the worker's slots; on its native stack, at its end. */
void wfi_worker_slots_clear(struct wfi_worker *worker);

/* Ends the worker's sleep, or makes its next one return at once. Any thread. */
void wfi_worker_notify(struct wfi_worker *worker);
/*
 * Around the publication of something that lets a worker of `runtime` go on, by a thread or fiber
 * that may not belong to it, and the waking of the worker: what was published may be the last thing
 * the runtime was waiting for, and it is not freed between the two. The wait for that is
 * wfi_runtime_destroy's. begin returns NULL where there is no need: on a worker of its own.
 */
struct wfi_record *wfi_waking_begin(struct wfi_runtime *runtime);
void wfi_waking_end(struct wfi_record *record);
/* After a job was published: wakes a sleeping worker unless somebody searches already. */
void wfi_runtime_wake_one(struct wfi_runtime *runtime);
void wfi_injector_push(struct wfi_runtime *runtime, struct wfi_job *job);

#endif
