/* SPDX-License-Identifier: MIT */
/*
 * A runtime: a set of workers, each a thread that runs fibers, and the queues between them. It is a
 * value: a process may have several, and they share nothing.
 *
 * The life of a job: submitted from a worker it goes to that worker's deque, from elsewhere to the
 * runtime's injector; a worker pops, takes or steals it, gives it a fiber (a stack) and runs it.
 * One that was submitted to a certain worker goes to that worker's mail, which is like the inbox of
 * woken fibers.
 * From then on the fiber stays on that worker.
 *
 * Waking workers. Publish, fence, read the idle mask (wfi_runtime_submit) against announce idle,
 * fence, look at all queues again, sleep (idle in worker.c): whichever fence comes first, either
 * the submitter sees the idle worker or the worker sees the job. At most one worker searches
 * without work; while one does, a submitter wakes nobody, and a searcher that finds work wakes the
 * next.
 */
#ifndef WFI_SCHED_RUNTIME_H
#define WFI_SCHED_RUNTIME_H

#include <weft/error.h>

#include "sched/job.h"
#include "sched/park.h"

struct wfi_runtime;
struct wfi_worker;

struct wfi_runtime_options {
    int workers;        /* 0: one per usable CPU (affinity and cgroup quota) */
    size_t stack_bytes; /* 0: 256 KiB; reserved, committed as touched */
    const char *name;   /* prefix of the workers' names, default "weft" */
    size_t deque_slots; /* 0: 256; a power of two; tests make it tiny */
    int cached_fibers;  /* kept per worker; 0: 64, -1: none */
};

enum { WFI_WORKERS_MAX = 256 };

/*
 * Starts the workers.
 *
 * Returns 0, or -EINVAL (workers below 0 or above 256, a stack below 16 KiB, a deque size that is
 * no power of two), -ENOMEM, -EAGAIN (no more threads), WF_EFORKED.
 */
int wfi_runtime_create(const struct wfi_runtime_options *options, struct wfi_runtime **ret_runtime,
                       struct wf_error *reterr);

/*
 * Waits until all jobs have been run and all fibers have ended, stops the workers, frees the
 * runtime. Not from one of its own fibers. NULL is fine.
 */
void wfi_runtime_destroy(struct wfi_runtime *runtime);

/* Hands a job over. Cannot fail; never blocks. Any thread or fiber. */
void wfi_runtime_submit(struct wfi_runtime *runtime, struct wfi_job *job);

/* The same for a certain worker, by its index: no other takes the job, however busy that one is.
 * Not while the runtime is being destroyed, when that worker may have gone. */
void wfi_runtime_submit_to(struct wfi_runtime *runtime, int worker, struct wfi_job *job);

int wfi_runtime_workers(const struct wfi_runtime *runtime);

/* The runtime whose worker the caller runs on, or NULL. */
struct wfi_runtime *wfi_runtime_current(void);

/* The worker the caller runs on, or NULL. */
struct wfi_worker *wfi_worker_current(void);

/* Why the job that is being called has no stack to run on, or NULL: see job.h. */
const struct wf_error *wfi_worker_refusal(const struct wfi_worker *worker);

/*
 * Runs fn(arg) on the calling worker's own stack and returns when it has: for code that wants more
 * stack than a fiber has, or keeps thread state (libcurl). fn must not block. On a plain thread it
 * is just called.
 */
void wfi_worker_call(void (*fn)(void *), void *arg);

/* A job with a function, a name and an end to wait for; the caller keeps it until joined. */
struct wfi_routine {
    struct wfi_job job;
    void (*fn)(void *);
    void *arg;
    char name[32];
    struct wfi_lock lock;
    struct wfi_wait_list joiners;
    bool ended;
};
void wfi_routine_start(struct wfi_routine *routine, struct wfi_runtime *runtime, const char *name,
                       void (*fn)(void *), void *arg);
/* Returns 0, -ETIMEDOUT or -ECANCELED. */
int wfi_routine_join(struct wfi_routine *routine, wf_deadline deadline);

/* Counters of one worker; each written by it alone, readable at any time. */
struct wfi_worker_stats {
    uint64_t jobs, switches, steals, injected, remote_wakes, timers, polls, sleeps;
    uint64_t fibers_live;
    uint64_t queued, shared; /* jobs in its deque, and in the injector */
    bool asleep;
};
void wfi_runtime_stats(struct wfi_runtime *runtime, int worker, struct wfi_worker_stats *ret_stats);

#endif
