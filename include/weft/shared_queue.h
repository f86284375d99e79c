/* SPDX-License-Identifier: MIT */
/*
 * Queues between processes, their threads and their fibers: first in, first out, of fixed capacity,
 * any number of producers and consumers.
 *
 *     err = wf_shared_queue_create(&(struct wf_shared_queue_options){.capacity = 64,
 *                                      .item_bytes = sizeof(struct job)}, &jobs, &error);
 *     err = wf_shared_queue_push(jobs, &job, sizeof job, deadline);
 *
 *     while ((err = wf_shared_queue_pop(jobs, &job, sizeof job, NULL, deadline)) == 0)
 *         ...
 *     wf_shared_queue_close(jobs, WF_CLOSE_GRACEFUL);    (poppers get what is left, then -EPIPE)
 *
 * Every item arrives once: also when its producer ends right after the push. When a process is
 * killed in the middle, an item it was just putting in is not there, one it was just taking out is
 * gone with it, and all others go on.
 */
#ifndef WEFT_SHARED_QUEUE_H
#define WEFT_SHARED_QUEUE_H

#include <weft/close.h>
#include <weft/error.h>
#include <weft/shared.h>
#include <weft/task.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_shared_queue;

struct wf_shared_queue_options {
    size_t capacity;   /* items, 1 to 16,777,215 */
    size_t item_bytes; /* each item has so many; 0: each is of a size of its own, 0 included */
};

/*
 * Makes a queue.
 *
 * ret_queue   receives it; any process of the family destroys it, or it goes with the last of those
 *             that made it or were given it
 *
 * Returns 0, or
 *   -EINVAL      no capacity, or too much
 *   WF_ETOOBIG   more than processes can share at all
 *   -ENOMEM      no room in what processes share
 *   -ENOSPC      too many processes use what is shared
 *   WF_EFORKED   in a child made by fork
 * Context: any, never blocks for long.
 */
WF_API int wf_shared_queue_create(const struct wf_shared_queue_options *options,
                                  struct wf_shared_queue **ret_queue, struct wf_error *reterr);

/*
 * Ends the queue for all processes; items still in it are gone. NULL is fine.
 * Context: any, never blocks for long; after everybody else's last call.
 */
WF_API void wf_shared_queue_destroy(struct wf_shared_queue *queue);

/*
 * Copies an item in, waiting while the queue is full.
 *
 * Returns 0; or, and nothing was put in,
 *   -EPIPE       the queue is closed, or was while this waited
 *   -EINVAL      `len` is not the queue's item size
 *   WF_ETOOBIG   the item is larger than all that processes share
 *   -ENOMEM      no room for the item in what processes share
 *   -ETIMEDOUT   `deadline` passed first
 *   -ECANCELED   the calling task was cancelled
 *   -ENOSPC      too many processes use what is shared
 *   WF_EFORKED   in a child made by fork
 * Context: thread or fiber; any number of callers; no order among those who wait.
 */
WF_API WF_MUST_USE int wf_shared_queue_push(struct wf_shared_queue *queue, const void *item,
                                            size_t len, wf_deadline deadline);

/*
 * Copies the oldest item out, waiting while there is none.
 *
 * item       receives it
 * capacity   the bytes there are for it
 * ret_len    receives its size, after -EMSGSIZE too; may be NULL
 *
 * Returns 0, or
 *   -EPIPE       closed, and everything pushed before a graceful close was taken
 *   -EMSGSIZE    the oldest item is larger than `capacity`, and still there
 *   -ETIMEDOUT   `deadline` passed first
 *   -ECANCELED   the calling task was cancelled
 *   -ENOSPC      too many processes use what is shared
 *   WF_EFORKED   in a child made by fork
 * Context: thread or fiber; any number of callers; no order among those who wait.
 */
WF_API WF_MUST_USE int wf_shared_queue_pop(struct wf_shared_queue *queue, void *item,
                                           size_t capacity, size_t *ret_len, wf_deadline deadline);

/*
 * Takes the oldest item out as it is, without a copy where it is large, waiting while there is
 * none. For queues of items of any size.
 *
 * ret_item   receives the item, zero-terminated for those who know it for a string; the caller
 *            gives it back with wf_shared_free(ret_item->ptr)
 *
 * Returns 0, or
 *   -EINVAL   the queue's items have a fixed size
 *   -ENOMEM   no room in what processes share; the item is still there
 *   -EPIPE, -ETIMEDOUT, -ECANCELED, -ENOSPC, WF_EFORKED   as wf_shared_queue_pop
 * Context: thread or fiber; any number of callers; no order among those who wait.
 */
WF_API WF_MUST_USE int wf_shared_queue_take(struct wf_shared_queue *queue, wf_bytes *ret_item,
                                            wf_deadline deadline);

/*
 * The same without waiting.
 *
 * Returns 0, or
 *   -EAGAIN   full (empty)
 *   and as above
 * Context: any, never blocks for long; any number of callers.
 */
WF_API WF_MUST_USE int wf_shared_queue_try_push(struct wf_shared_queue *queue, const void *item,
                                                size_t len);
WF_API WF_MUST_USE int wf_shared_queue_try_pop(struct wf_shared_queue *queue, void *item,
                                               size_t capacity, size_t *ret_len);

/*
 * Closes the queue for all processes: nothing more goes in, all that wait to push are refused, all
 * that wait to pop are told once nothing can come any more. After WF_CLOSE_NOW what is inside is
 * not given out either. Closing again does nothing, but a graceful close can be followed by one
 * now.
 * Context: any, never blocks.
 */
WF_API void wf_shared_queue_close(struct wf_shared_queue *queue, enum wf_close_how how);

/*
 * Items inside at this moment, those included that are just being put in or taken out.
 * Context: any, never blocks.
 */
WF_API size_t wf_shared_queue_len(const struct wf_shared_queue *queue);

WF_END_DECLS

#endif
