/* SPDX-License-Identifier: MIT */
/*
 * Channels: first in, first out, of fixed capacity, between any number of fibers and threads. Items
 * are of one size and copied by value. With capacity 0 a push waits until its item has been taken.
 *
 *     WF_CHANNEL(struct page, pages)             (declares the type `pages` and its functions)
 *
 *     pages out;
 *     err = pages_create(&(struct wf_channel_options){.capacity = 64}, &out, &error);
 *     err = pages_push(out, page, deadline);
 *     while (pages_pop(out, &page, deadline) == 0)
 *         ...
 *     pages_close(out, WF_CLOSE_GRACEFUL);       (poppers get what is left, then -EPIPE)
 *     pages_destroy(out);
 *
 * An item of another type does not compile. The functions of WF_CHANNEL stand on the untyped ones
 * below, which say what each does.
 */
#ifndef WEFT_CHANNEL_H
#define WEFT_CHANNEL_H

#include <weft/close.h>
#include <weft/error.h>
#include <weft/select.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_channel;

struct wf_channel_options {
    size_t capacity;   /* items it can hold; 0: a push and a pop meet */
    size_t item_bytes; /* set by WF_CHANNEL's create */
    /* Called for an item that nobody will take: close now, destroy. May be NULL. */
    void (*item_destroy)(void *item, void *arg);
    void *arg;
};

/*
 * Makes a channel.
 *
 * ret_channel   receives it; the caller destroys it
 *
 * Returns 0, or
 *   -EINVAL   `item_bytes` is 0, or the capacity is above 2^31
 *   -ENOMEM   no memory for the items
 * Context: any, never blocks.
 */
WF_API int wf_channel_create(const struct wf_channel_options *options,
                             struct wf_channel **ret_channel, struct wf_error *reterr);

/*
 * Frees the channel; items still in it are destroyed. NULL is fine.
 * Context: any, never blocks; after everybody else's last call has returned.
 */
WF_API void wf_channel_destroy(struct wf_channel *channel);

/*
 * Copies an item in, waiting while the channel is full (or, with capacity 0, until it is taken).
 *
 * Returns 0, the item is the channel's; or, and it is still the caller's,
 *   -EPIPE       the channel is closed, or was while this waited
 *   -ETIMEDOUT   `deadline` passed first
 *   -ECANCELED   the calling task was cancelled
 *   WF_EFORKED   in a child made by fork
 * Context: thread or fiber; any number of callers; waiters are served in order.
 */
WF_API WF_MUST_USE int wf_channel_push(struct wf_channel *channel, const void *item,
                                       wf_deadline deadline);

/*
 * Copies the oldest item out, waiting while there is none.
 *
 * ret_item   receives the item and its ownership; untouched on error
 *
 * Returns 0, or
 *   -EPIPE       closed, and everything pushed before a graceful close was taken
 *   -ETIMEDOUT   `deadline` passed first
 *   -ECANCELED   the calling task was cancelled
 *   WF_EFORKED   in a child made by fork
 * Context: thread or fiber; any number of callers; waiters are served in order.
 */
WF_API WF_MUST_USE int wf_channel_pop(struct wf_channel *channel, void *ret_item,
                                      wf_deadline deadline);

/*
 * The same without waiting.
 *
 * Returns 0, or
 *   -EAGAIN      full (empty), or others wait to push (pop)
 *   -EPIPE       as above
 *   WF_EFORKED   in a child made by fork
 * Context: any, never blocks; any number of callers.
 */
WF_API WF_MUST_USE int wf_channel_try_push(struct wf_channel *channel, const void *item);
WF_API WF_MUST_USE int wf_channel_try_pop(struct wf_channel *channel, void *ret_item);

/*
 * Closes the channel: nothing more goes in, all that wait to push are refused, all that wait to pop
 * are told once nothing can come any more. WF_CLOSE_NOW also destroys the items inside. Closing
 * again does nothing, but a graceful close can be followed by one now.
 * Context: any, never blocks (the items' destructor is called here).
 */
WF_API void wf_channel_close(struct wf_channel *channel, enum wf_close_how how);

/*
 * Items inside at this moment.
 * Context: any, never blocks.
 */
WF_API size_t wf_channel_len(const struct wf_channel *channel);

/*
 * Clauses for wf_select: to push *item, to pop into *ret_item. The outcome of the chosen one is in
 * its `err`: 0 or -EPIPE.
 * Context: any, never blocks.
 */
WF_API struct wf_clause wf_channel_push_clause(struct wf_channel *channel, const void *item);
WF_API struct wf_clause wf_channel_pop_clause(struct wf_channel *channel, void *ret_item);

#define WF_CHANNEL_FN_ static inline __attribute__((unused))

/* Declares the type NAME, a channel of items of type T, and its functions. */
#define WF_CHANNEL(T, NAME)                                                                       \
    typedef struct {                                                                              \
        struct wf_channel *channel;                                                               \
    } NAME;                                                                                       \
    WF_CHANNEL_FN_ int NAME##_create(const struct wf_channel_options *options, NAME *ret_channel, \
                                     struct wf_error *reterr)                                     \
    {                                                                                             \
        struct wf_channel_options typed = *options;                                               \
        typed.item_bytes = sizeof(T);                                                             \
        return wf_channel_create(&typed, &ret_channel->channel, reterr);                          \
    }                                                                                             \
    WF_CHANNEL_FN_ void NAME##_destroy(NAME c)                                                    \
    {                                                                                             \
        wf_channel_destroy(c.channel);                                                            \
    }                                                                                             \
    WF_CHANNEL_FN_ WF_MUST_USE int NAME##_push(NAME c, T item, wf_deadline deadline)              \
    {                                                                                             \
        return wf_channel_push(c.channel, &item, deadline);                                       \
    }                                                                                             \
    WF_CHANNEL_FN_ WF_MUST_USE int NAME##_pop(NAME c, T *ret_item, wf_deadline deadline)          \
    {                                                                                             \
        return wf_channel_pop(c.channel, (void *)ret_item, deadline);                             \
    }                                                                                             \
    WF_CHANNEL_FN_ WF_MUST_USE int NAME##_try_push(NAME c, T item)                                \
    {                                                                                             \
        return wf_channel_try_push(c.channel, &item);                                             \
    }                                                                                             \
    WF_CHANNEL_FN_ WF_MUST_USE int NAME##_try_pop(NAME c, T *ret_item)                            \
    {                                                                                             \
        return wf_channel_try_pop(c.channel, (void *)ret_item);                                   \
    }                                                                                             \
    WF_CHANNEL_FN_ void NAME##_close(NAME c, enum wf_close_how how)                               \
    {                                                                                             \
        wf_channel_close(c.channel, how);                                                         \
    }                                                                                             \
    WF_CHANNEL_FN_ size_t NAME##_len(NAME c)                                                      \
    {                                                                                             \
        return wf_channel_len(c.channel);                                                         \
    }                                                                                             \
    WF_CHANNEL_FN_ struct wf_clause NAME##_push_clause(NAME c, T const *item)                     \
    {                                                                                             \
        return wf_channel_push_clause(c.channel, (const void *)item);                             \
    }                                                                                             \
    WF_CHANNEL_FN_ struct wf_clause NAME##_pop_clause(NAME c, T *ret_item)                        \
    {                                                                                             \
        return wf_channel_pop_clause(c.channel, (void *)ret_item);                                \
    }

WF_END_DECLS

#endif
