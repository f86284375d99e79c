/* SPDX-License-Identifier: MIT */
/*
 * Queues of bounded capacity in an order of one's choice, between any number of fibers and threads:
 * first in first out, last in first out, or by priority. They can be resized, and count what has
 * been taken but not yet reported as done. Where only first in first out is needed, a channel is
 * faster.
 *
 *     WF_QUEUE(struct job, jobs)                 (declares the type `jobs` and its functions)
 *
 *     jobs todo;
 *     err = jobs_create(&(struct wf_queue_options){.order = WF_LIFO, .capacity = 100}, &todo,
 * NULL); err = jobs_push(todo, job, deadline);
 *
 *     while (jobs_pop(todo, &job, WF_FOREVER) == 0) {
 *         work_on(&job);
 *         jobs_task_done(todo);
 *     }
 *
 *     err = jobs_join(todo, deadline);           (until everything pushed has been reported done)
 */
#ifndef WEFT_QUEUE_H
#define WEFT_QUEUE_H

#include <weft/close.h>
#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_queue;

enum wf_queue_order {
    WF_FIFO,
    WF_LIFO,
    WF_PRIORITY, /* smallest first, equals in the order they came */
};

struct wf_queue_options {
    enum wf_queue_order order;
    size_t capacity;   /* above 0 */
    size_t item_bytes; /* set by WF_QUEUE's create */
    /*
     * For WF_PRIORITY: *ret_order is set below, at or above 0 as a comes before, with or after b.
     * A negative return makes the push or pop that asked fail with it, and nothing has changed.
     * Called with the queue locked: it must neither block nor use the queue.
     */
    int (*compare)(const void *a, const void *b, void *arg, int *ret_order);
    /* Called for an item that nobody will take: close now, destroy. May be NULL. */
    void (*item_destroy)(void *item, void *arg);
    void *arg;
};

/*
 * Makes a queue.
 *
 * ret_queue   receives it; the caller destroys it
 *
 * Returns 0, or
 *   -EINVAL   no capacity, no item size, or a priority queue without `compare`
 *   -ENOMEM   no memory for the items
 * Context: any, never blocks.
 */
WF_API int wf_queue_create(const struct wf_queue_options *options, struct wf_queue **ret_queue,
                           struct wf_error *reterr);

/*
 * Frees the queue; items still in it are destroyed. NULL is fine.
 * Context: any, never blocks; after everybody else's last call has returned.
 */
WF_API void wf_queue_destroy(struct wf_queue *queue);

/*
 * Copies an item in, waiting while the queue is full.
 *
 * Returns 0, the item is the queue's; or, and it is still the caller's,
 *   -EPIPE       the queue is closed, or was while this waited
 *   -ETIMEDOUT   `deadline` passed first
 *   -ECANCELED   the calling task was cancelled
 *   WF_EFORKED   in a child made by fork
 *   what `compare` returned, negative
 * Context: thread or fiber; any number of callers; waiters are served in order.
 */
WF_API WF_MUST_USE int wf_queue_push(struct wf_queue *queue, const void *item,
                                     wf_deadline deadline);

/*
 * Copies the next item out, waiting while there is none.
 *
 * ret_item   receives the item and its ownership; untouched on error
 *
 * Returns 0, or
 *   -EPIPE       closed, and everything pushed before a graceful close was taken
 *   -ETIMEDOUT   `deadline` passed first
 *   -ECANCELED   the calling task was cancelled
 *   WF_EFORKED   in a child made by fork
 *   what `compare` returned, negative
 * Context: thread or fiber; any number of callers; waiters are served in order.
 */
WF_API WF_MUST_USE int wf_queue_pop(struct wf_queue *queue, void *ret_item, wf_deadline deadline);

/*
 * The same without waiting.
 *
 * Returns 0, or
 *   -EAGAIN   full (empty)
 *   -EPIPE, or what `compare` returned, as above
 * Context: any, never blocks; any number of callers.
 */
WF_API WF_MUST_USE int wf_queue_try_push(struct wf_queue *queue, const void *item);
WF_API WF_MUST_USE int wf_queue_try_pop(struct wf_queue *queue, void *ret_item);

/*
 * Changes the capacity. What is inside stays, even if it is more: then pushes wait until it is
 * less.
 *
 * Returns 0, or
 *   -EINVAL   the capacity is 0
 *   -ENOMEM   no memory; the capacity is as it was
 *   -EPIPE    the queue is closed
 * Context: any, never blocks.
 */
WF_API int wf_queue_resize(struct wf_queue *queue, size_t capacity);

/*
 * Says that one popped item has been dealt with.
 *
 * Returns 0, or
 *   WF_ESTATE   every item popped has been reported already
 * Context: any, never blocks.
 */
WF_API int wf_queue_task_done(struct wf_queue *queue);

/*
 * Waits until wf_queue_task_done has been called for everything pushed. Items destroyed by a close
 * count as done. At once if nothing is outstanding.
 *
 * Returns 0, or
 *   -ETIMEDOUT   `deadline` passed first
 *   -ECANCELED   the calling task was cancelled
 *   WF_EFORKED   in a child made by fork
 * Context: thread or fiber; any number of callers, as often as they like.
 */
WF_API WF_MUST_USE int wf_queue_join(struct wf_queue *queue, wf_deadline deadline);

/*
 * Closes the queue: nothing more goes in, and all that wait are refused. WF_CLOSE_NOW also destroys
 * the items inside. Closing again does nothing, but a graceful close can be followed by one now.
 * Context: any, never blocks (the items' destructor is called here).
 */
WF_API void wf_queue_close(struct wf_queue *queue, enum wf_close_how how);

/*
 * Items inside at this moment.
 * Context: any, never blocks.
 */
WF_API size_t wf_queue_len(struct wf_queue *queue);

#define WF_QUEUE_FN_ static inline __attribute__((unused))

/* Declares the type NAME, a queue of items of type T, and its functions. */
#define WF_QUEUE(T, NAME)                                                                   \
    typedef struct {                                                                        \
        struct wf_queue *queue;                                                             \
    } NAME;                                                                                 \
    WF_QUEUE_FN_ int NAME##_create(const struct wf_queue_options *options, NAME *ret_queue, \
                                   struct wf_error *reterr)                                 \
    {                                                                                       \
        struct wf_queue_options typed = *options;                                           \
        typed.item_bytes = sizeof(T);                                                       \
        return wf_queue_create(&typed, &ret_queue->queue, reterr);                          \
    }                                                                                       \
    WF_QUEUE_FN_ void NAME##_destroy(NAME q)                                                \
    {                                                                                       \
        wf_queue_destroy(q.queue);                                                          \
    }                                                                                       \
    WF_QUEUE_FN_ WF_MUST_USE int NAME##_push(NAME q, T item, wf_deadline deadline)          \
    {                                                                                       \
        return wf_queue_push(q.queue, &item, deadline);                                     \
    }                                                                                       \
    WF_QUEUE_FN_ WF_MUST_USE int NAME##_pop(NAME q, T *ret_item, wf_deadline deadline)      \
    {                                                                                       \
        return wf_queue_pop(q.queue, (void *)ret_item, deadline);                           \
    }                                                                                       \
    WF_QUEUE_FN_ WF_MUST_USE int NAME##_try_push(NAME q, T item)                            \
    {                                                                                       \
        return wf_queue_try_push(q.queue, &item);                                           \
    }                                                                                       \
    WF_QUEUE_FN_ WF_MUST_USE int NAME##_try_pop(NAME q, T *ret_item)                        \
    {                                                                                       \
        return wf_queue_try_pop(q.queue, (void *)ret_item);                                 \
    }                                                                                       \
    WF_QUEUE_FN_ int NAME##_resize(NAME q, size_t capacity)                                 \
    {                                                                                       \
        return wf_queue_resize(q.queue, capacity);                                          \
    }                                                                                       \
    WF_QUEUE_FN_ int NAME##_task_done(NAME q)                                               \
    {                                                                                       \
        return wf_queue_task_done(q.queue);                                                 \
    }                                                                                       \
    WF_QUEUE_FN_ WF_MUST_USE int NAME##_join(NAME q, wf_deadline deadline)                  \
    {                                                                                       \
        return wf_queue_join(q.queue, deadline);                                            \
    }                                                                                       \
    WF_QUEUE_FN_ void NAME##_close(NAME q, enum wf_close_how how)                           \
    {                                                                                       \
        wf_queue_close(q.queue, how);                                                       \
    }                                                                                       \
    WF_QUEUE_FN_ size_t NAME##_len(NAME q)                                                  \
    {                                                                                       \
        return wf_queue_len(q.queue);                                                       \
    }

WF_END_DECLS

#endif
