/* SPDX-License-Identifier: MIT */
/*
 * What processes share: memory, and things to wait for, of the main process and the related
 * processes that it starts (workers of a pool, wf_process). There are
 *
 *   weft/shared_queue.h      items, in order, to whoever comes first
 *   weft/shared_pipe.h       messages between two ends; the end of a stream is noticed
 *   weft/shared_mutex.h      a lock that survives its owner
 *   weft/shared_semaphore.h, weft/shared_event.h, weft/shared_condition.h, weft/shared_barrier.h
 *   weft/shared_array.h      plain memory
 *
 * All of them work between threads and fibers of one process, too, and every wait takes a deadline
 * and can be cancelled. A pointer to one is right in every process of the family; as a parameter of
 * a task or of a process it is passed as it is:
 *
 *     WF_TASK(wf_none, count_up, (struct wf_shared_mutex *, lock), (struct wf_shared_array *, sum))
 *
 * They lie in memory that is mapped before the first process is made: in programs with wf_main, or
 * that call wf_processes_init as the first line of main. In others they work within the one
 * process.
 *
 * Nothing of it has a name in the system, so nothing can be left behind: the kernel frees it with
 * the last process. What a process leaves that ends or is killed is cleared away when the process
 * that started it notices: an object goes when all processes that made it or were given it have
 * ended. A process of the family can write all of it; it does not protect from one that goes wild.
 */
#ifndef WEFT_SHARED_H
#define WEFT_SHARED_H

#include <weft/error.h>

WF_BEGIN_DECLS

struct wf_shared_usage {
    uint64_t used_bytes;  /* taken, with what rounding takes */
    uint64_t limit_bytes; /* there is no more address space than this; memory is taken when used */
    uint64_t blocks;      /* objects, and items that lie outside of their queues */
    uint32_t processes;   /* that use any of it */
};

/*
 * How much of what can be shared is in use, by all processes together.
 * Context: any, never blocks for long; any number of callers.
 */
WF_API void wf_shared_measure(struct wf_shared_usage *ret_usage);

/*
 * Gives back an item that was taken whole (wf_shared_queue_take, wf_shared_pipe_take). NULL is
 * fine. An item that a process has when it ends is given back for it.
 * Context: any, never blocks for long.
 */
WF_API void wf_shared_free(const void *item);

WF_END_DECLS

#endif
