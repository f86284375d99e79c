/* SPDX-License-Identifier: MIT */
/*
 * A fiber: a stack of its own and a place on one worker. The control block stands at the top of its
 * stack. A started fiber stays on its worker until it ends; so everything below that is not atomic
 * is touched by that worker's thread only.
 */
#ifndef WFI_SCHED_FIBER_H
#define WFI_SCHED_FIBER_H

#include "sched/park.h"

struct wfi_fiber;
struct wfi_record;

/* park.c's way to the worker; called on the fiber itself. See wfi_park. */
void wfi_fiber_park(struct wfi_fiber *self, struct wfi_lock *const *held, size_t held_count,
                    wf_deadline deadline);
/* Lets the worker's other fibers run, then goes on. */
void wfi_fiber_yield(struct wfi_fiber *self);

/* Makes a parked fiber runnable; from any thread or fiber, once per park. */
void wfi_fiber_ready(struct wfi_fiber *fiber);

/* The record of the thread that runs `self`, the calling fiber. */
struct wfi_record *wfi_fiber_record(struct wfi_fiber *self);

#endif
