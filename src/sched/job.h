/* SPDX-License-Identifier: MIT */
/*
 * A job is what worker queues hold: one function pointer, embedded in whatever it runs (a task
 * block, a frame that forks and joins). The queue entry is the pointer; nothing is allocated.
 */
#ifndef WFI_SCHED_JOB_H
#define WFI_SCHED_JOB_H

struct wfi_worker;

struct wfi_job {
    /*
     * Called once, on a fiber of `worker`. The job's memory belongs to this call: the scheduler
     * does not touch it afterwards. If wfi_worker_refusal(worker) is not NULL there was no stack to
     * be had: then the call is made on the worker's own stack, must not block, and only reports the
     * error.
     */
    void (*run)(struct wfi_job *job, struct wfi_worker *worker);
    struct wfi_job *next; /* the queue's, while it is in one */
};

#endif
