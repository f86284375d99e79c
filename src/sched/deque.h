/* SPDX-License-Identifier: MIT */
/*
 * Work-stealing deque of jobs: the owner pushes and pops at the bottom, last in first out; thieves
 * steal at the top, first in first out.
 *
 * The algorithm is Chase and Lev, "Dynamic circular work-stealing deque" (SPAA 2005), with the
 * memory orders of Le, Pop, Cohen and Nardelli, "Correct and efficient work-stealing for weak
 * memory models" (PPoPP 2013). Where it departs: an array that was outgrown is kept until the deque
 * is destroyed, so that a thief that still reads it finds live memory (all of them together are no
 * larger than the last one).
 *
 * Why it is right, in short
 *   1. top only grows; a job at index i belongs to whoever moves top from i to i+1, or to the owner
 *      once bottom is at or below i and top cannot reach it.
 *   2. The one contest is for the last job. The owner stores bottom, then loads top; a thief loads
 *      top, then bottom; a fence stands between on both sides, so at least one sees the other, and
 *      both then settle it by the compare-and-swap on top.
 *   3. A thief reads the job before its compare-and-swap; if the swap fails the value is dropped.
 * The slot cannot have been written again while top stood at i, for the owner never lets bottom -
 * top reach the size of the array.
 */
#ifndef WFI_SCHED_DEQUE_H
#define WFI_SCHED_DEQUE_H

#include <stddef.h>

#include "base/atomic.h"
#include "sched/job.h"

struct wfi_deque_array;

struct wfi_deque {
    _Alignas(64) WFI_ATOMIC(int64_t) top;    /* thieves and owner */
    _Alignas(64) WFI_ATOMIC(int64_t) bottom; /* written by the owner */
    WFI_ATOMIC(struct wfi_deque_array *) array;
    int64_t top_seen; /* the owner's: a value top has had; saves the load in push */
};

/* `slots` is a power of two, at least 2. Returns 0 or -ENOMEM. */
int wfi_deque_init(struct wfi_deque *deque, size_t slots);
/* Nobody steals any more; what is left inside is the caller's loss. */
void wfi_deque_fini(struct wfi_deque *deque);

/* Owner. Returns false when the deque is full and cannot grow: the job is not in it. */
bool wfi_deque_push(struct wfi_deque *deque, struct wfi_job *job);
/* Owner. The job pushed last, or NULL. */
struct wfi_job *wfi_deque_pop(struct wfi_deque *deque);
/* Owner. Takes `job` if it is the one pushed last and nobody was quicker; true if it did. */
bool wfi_deque_pop_if(struct wfi_deque *deque, struct wfi_job *job);
/* Anybody. The job pushed first, or NULL: empty, or another was quicker. */
struct wfi_job *wfi_deque_steal(struct wfi_deque *deque);

/* Anybody: whether it looked empty at some moment. */
static inline bool wfi_deque_empty(struct wfi_deque *deque)
{
    int64_t top = wfi_load_relaxed(&deque->top);
    return wfi_load_relaxed(&deque->bottom) <= top;
}

/* Anybody: how many jobs were in it, about. */
static inline uint64_t wfi_deque_size(struct wfi_deque *deque)
{
    int64_t top = wfi_load_relaxed(&deque->top), bottom = wfi_load_relaxed(&deque->bottom);
    return bottom > top ? (uint64_t)(bottom - top) : 0;
}

#endif
