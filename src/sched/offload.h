/* SPDX-License-Identifier: MIT */
/*
 * Calls that can only block, on threads of their own, so that a worker never does. Each class has a
 * cap of its own: a slow name server holds up no file. Threads are started on demand and end when
 * idle.
 *
 * Invariants
 *   1. Queue, counts and idle list of a class are under its lock.
 *   2. A call with a release function has two holders, its caller and the pool; whoever drops it
 *      last releases it. So a caller may give up (deadline, cancel) on a call that is still in a
 *      system call. One without is in its caller's frame, and waited for whatever happens.
 *   3. A queued call that nobody waits for any more is not started.
 */
#ifndef WFI_SCHED_OFFLOAD_H
#define WFI_SCHED_OFFLOAD_H

#include "base/list.h"
#include "sched/park.h"

enum wfi_offload_class { WFI_OFFLOAD_DNS, WFI_OFFLOAD_FILE, WFI_OFFLOAD_USER, WFI_OFFLOAD_CLASSES };

struct wfi_offload_call {
    void (*run)(struct wfi_offload_call *call);     /* on a thread of the pool */
    void (*release)(struct wfi_offload_call *call); /* when both holders are done; see 2 */
    struct wfi_link link;
    struct wfi_wait_list waits;
    int64_t queued_ns;
    bool queued, done;
    WFI_ATOMIC(uint32_t) holders;
};

/*
 * Has call->run(call) made by a thread of the class and waits for its end. `call` has run and
 * release set and the rest zeroed. In any case the caller then drops its hold, if there is a
 * release; if there is none, neither deadline nor cancel end the wait.
 *
 * Returns 0 when run has returned, -ETIMEDOUT or -ECANCELED (run may be going on, or will not be
 * called), or -EAGAIN when no thread could be started and there is none.
 */
int wfi_offload_run(enum wfi_offload_class class, struct wfi_offload_call *call,
                    wf_deadline deadline);
void wfi_offload_drop(struct wfi_offload_call *call);

struct wfi_offload_stats {
    const char *name;
    int threads, idle, queued, cap;
    uint64_t calls, slow_starts; /* those that waited more than 10 ms for a thread */
};
void wfi_offload_stats(enum wfi_offload_class class, struct wfi_offload_stats *ret_stats);
/* The same without the lock: single words, each true by itself. */
void wfi_offload_peek(enum wfi_offload_class class, struct wfi_offload_stats *ret_stats);

#endif
