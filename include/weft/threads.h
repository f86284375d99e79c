/* SPDX-License-Identifier: MIT */
/*
 * The threads engine: a task owns an operating system thread while it runs, so any blocking call is
 * welcome in it. Threads are started when there is work that no idle thread can take, used again
 * while they last, and end after a while without work.
 */
#ifndef WEFT_THREADS_H
#define WEFT_THREADS_H

#include <weft/executor.h>

WF_BEGIN_DECLS

struct wf_threads_options {
    /* Threads at most. 0: the lesser of 32 and CPUs + 4, where CPUs is what affinity and control
     * group quota leave to this process (weft.pc's tasks wait a lot; computing tasks gain nothing
     * by it). */
    int workers;

    /* Threads are named name_0, name_1, ...; NULL: "threads" and the number of the executor. */
    const char *name;

    /* Run by each thread before its first task. A failure breaks the executor: all that is queued,
     * and all that is submitted later, fails with WF_EBROKEN and this error's text. */
    int (*start)(void *arg, struct wf_error *reterr);

    /* Run by each thread that started well, after its last task. */
    void (*stop)(void *arg);
    void *arg;

    int64_t idle_ns;    /* a thread without work ends after this; 0: 10 s */
    size_t stack_bytes; /* of each thread; 0: the system's default */

    /* Tasks that may wait to be run; 0: any number. A submit beyond that holds the caller for up to
     * submit_wait_ns, then gives a future that has failed with -EAGAIN. */
    size_t queue_max;
    int64_t submit_wait_ns;
};

/*
 * Makes one. The caller owns it and destroys it with wf_executor_destroy.
 *
 * options   may be NULL
 *
 * Returns 0, or
 *   -EINVAL   a negative number of workers or duration
 *   -ENOMEM
 * Context: any, never blocks.
 */
WF_API int wf_threads_create(const struct wf_threads_options *options, struct wf_executor **ret_on,
                             struct wf_error *reterr);

/*
 * The number of threads that an executor made with workers = 0 has at most.
 * Context: any, never blocks; any number of callers.
 */
WF_API unsigned wf_threads_workers_default(void);

WF_END_DECLS

#endif
