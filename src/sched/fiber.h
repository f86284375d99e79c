/* SPDX-License-Identifier: MIT */
/*
 * A fiber: a stack of its own and a place on one worker. The control block stands at the top of its
 * stack, in the one page that every started fiber has touched anyway. A started fiber stays on its
 * worker until its job has ended; so everything below that is not atomic is touched by that
 * worker's thread only. A fiber whose job has ended is kept, suspended where it would take the next
 * one.
 */
#ifndef WFI_SCHED_FIBER_H
#define WFI_SCHED_FIBER_H

#include "base/heap.h"
#include "os/context.h"
#include "sched/park.h"

struct wfi_job;
struct wfi_record;
struct wfi_worker;

enum wfi_fiber_state {
    WFI_FIBER_UNUSED, /* its stack is in the pool */
    WFI_FIBER_CACHED, /* waits for a job in its worker's cache */
    WFI_FIBER_READY,
    WFI_FIBER_RUNNING,
    WFI_FIBER_PARKED,
};

/* Something due at a time on one worker; in its heap while armed. */
struct wfi_timer {
    struct wfi_heap_node node;
    void (*fire)(struct wfi_timer *timer, struct wfi_worker *worker); /* on the native stack */
};

struct wfi_fiber {
    struct wfi_waiter waiter; /* first: a fiber is a waiter */
    struct wfi_context context;
    struct wfi_worker *worker;
    struct wfi_fiber *next; /* in the ready list, an inbox or a cache: it is in one at most */
    struct wfi_job *job;    /* what it runs, or will run when it is switched to */
    struct wfi_timer timer;
    int errno_saved;
    bool made;                 /* the context is suspended in fiber_main, ready for a job */
    WFI_ATOMIC(uint8_t) state; /* enum wfi_fiber_state, for whoever walks the registry */
    WFI_ATOMIC(uint64_t) id;   /* number of the job, counted per worker; for the registry */
};

/*
 * park.c's way to the worker; called on the fiber itself with its wait pending. Returns when the
 * wait has ended. See wfi_park.
 */
void wfi_fiber_park(struct wfi_fiber *self, struct wfi_lock *const *held, size_t held_count,
                    wf_deadline deadline);
/* Lets the worker's other fibers and jobs run, then goes on. */
void wfi_fiber_yield(struct wfi_fiber *self);

/* Makes a parked fiber runnable; from any thread or fiber, once per park. */
void wfi_fiber_ready(struct wfi_fiber *fiber);

/* The record of the thread that runs `self`, the calling fiber. */
struct wfi_record *wfi_fiber_record(struct wfi_fiber *self);

/* Whether its registers are in a CPU and not saved; by its worker's thread, or in the explorer. */
bool wfi_fiber_on_cpu(const struct wfi_fiber *fiber);

/* The usable stack below the control block. */
void wfi_fiber_stack(struct wfi_fiber *fiber, void **ret_low, size_t *ret_bytes);

#endif
