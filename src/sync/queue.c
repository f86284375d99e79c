/* SPDX-License-Identifier: MIT */
/*
 * Queues. One lock guards everything; items are kept in one array of entries, as a ring, a stack or
 * a binary heap.
 *
 * Invariants
 *   1. When `lock` is free: whoever waits to pop, the queue is empty; whoever waits to push, it is
 *      full. Items go straight to a waiting pop, and a pop lets a waiting push in.
 *   2. `unfinished` counts the items that were accepted and neither reported done nor destroyed.
 *   3. A comparison may fail. All comparisons of a push or pop are made before the first entry is
 *      moved, so that a failure leaves the queue as it was.
 *
 * A woken waiter learns its result from node->amount and does not touch the queue again.
 */
#include <weft/queue.h>

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "os/fork.h"
#include "sched/park.h"

/* What only a wait can help: above every error, so that a comparison's own cannot be taken for it.
 */
enum { WOULD_WAIT = 1 };

enum { HEAP_DEPTH_MAX = 64 };

struct entry {
    uint64_t number; /* of the push: equals keep their order */
    char item[];
};

struct wf_queue {
    struct wf_queue_options options; /* constant, but for the capacity */
    size_t entry_bytes;
    struct wfi_lock lock;
    bool closed;
    char *entries;
    size_t entry_count; /* room in the array; at least the capacity or the count */
    size_t first;       /* of a ring */
    size_t count;
    uint64_t pushed;
    uint64_t unfinished;
    struct wfi_wait_list pushers, poppers; /* node->slot: the item; node->amount: the result */
    struct wfi_wait_list joiners;
};

static int allocate_entries(const struct wf_queue *q, size_t count, char **ret_entries)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, q->entry_bytes, &bytes))
        return -ENOMEM;
    char *entries = wfi_alloc(bytes);
    if (!entries)
        return -ENOMEM;
    *ret_entries = entries;
    return 0;
}

int wf_queue_create(const struct wf_queue_options *options, struct wf_queue **ret_queue,
                    struct wf_error *reterr)
{
    if (options->item_bytes == 0)
        return wf_error_set(reterr, -EINVAL, "a queue needs the size of its items");
    if (options->capacity == 0)
        return wf_error_set(reterr, -EINVAL, "a queue needs a capacity above 0");
    if (options->order < WF_FIFO || options->order > WF_PRIORITY)
        return wf_error_set(reterr, -EINVAL, "a queue has one of three orders");
    if (options->order == WF_PRIORITY && !options->compare)
        return wf_error_set(reterr, -EINVAL, "a priority queue needs a comparison");
    struct wf_queue *q = wfi_zalloc(sizeof *q);
    if (!q)
        return wf_error_set(reterr, -ENOMEM, NULL);
    q->options = *options;
    q->entry_count = options->capacity;
    int err = -ENOMEM;
    if (!__builtin_add_overflow(options->item_bytes, sizeof(struct entry) + 7, &q->entry_bytes)) {
        q->entry_bytes &= ~(size_t)7;
        err = allocate_entries(q, q->entry_count, &q->entries);
    }
    if (err) {
        wfi_free(q);
        return wf_error_set(reterr, err, NULL);
    }
    *ret_queue = q;
    return 0;
}

/* The array */

static struct entry *entry_at(const struct wf_queue *q, size_t index)
{
    return (struct entry *)(void *)(q->entries + index * q->entry_bytes);
}

static size_t ring_index(const struct wf_queue *q, size_t nth)
{
    size_t index = q->first + nth;
    return index < q->entry_count ? index : index - q->entry_count;
}

static void write_entry(struct wf_queue *q, size_t index, const void *item)
{
    struct entry *entry = entry_at(q, index);
    entry->number = q->pushed++;
    memcpy(entry->item, item, q->options.item_bytes);
    q->count++;
}

/* *ret_before: a, pushed as number a_number, comes before b. */
static int comes_before(const struct wf_queue *q, const void *a, uint64_t a_number,
                        const struct entry *b, bool *ret_before)
{
    int order = 0;
    int err = q->options.compare(a, b->item, q->options.arg, &order);
    if (err < 0)
        return err;
    *ret_before = order < 0 || (order == 0 && a_number < b->number);
    return 0;
}

static int heap_insert(struct wf_queue *q, const void *item)
{
    size_t place = q->count;
    while (place > 0) {
        size_t parent = (place - 1) / 2;
        bool before = false;
        int err = comes_before(q, item, q->pushed, entry_at(q, parent), &before);
        if (err)
            return err;
        if (!before)
            break;
        place = parent;
    }
    for (size_t from = q->count; from > place;) {
        size_t parent = (from - 1) / 2;
        memcpy(entry_at(q, from), entry_at(q, parent), q->entry_bytes);
        from = parent;
    }
    write_entry(q, place, item);
    return 0;
}

/* Finds the way down that the last entry has to go: path[0..*ret_depth] are the places. */
static int heap_path(const struct wf_queue *q, size_t path[HEAP_DEPTH_MAX], size_t *ret_depth)
{
    size_t count = q->count - 1, depth = 0;
    const struct entry *last = entry_at(q, count);
    path[0] = 0;
    for (size_t child; (child = 2 * path[depth] + 1) < count;) {
        bool before = false;
        int err = 0;
        if (child + 1 < count) {
            const struct entry *right = entry_at(q, child + 1);
            err = comes_before(q, right->item, right->number, entry_at(q, child), &before);
            if (err)
                return err;
            child += before;
        }
        err = comes_before(q, last->item, last->number, entry_at(q, child), &before);
        if (err)
            return err;
        if (before)
            break;
        path[++depth] = child;
    }
    *ret_depth = depth;
    return 0;
}

static int heap_remove(struct wf_queue *q, void *ret_item)
{
    size_t path[HEAP_DEPTH_MAX], depth = 0;
    int err = heap_path(q, path, &depth);
    if (err)
        return err;
    memcpy(ret_item, entry_at(q, 0)->item, q->options.item_bytes);
    q->count--;
    for (size_t i = 0; i < depth; i++)
        memcpy(entry_at(q, path[i]), entry_at(q, path[i + 1]), q->entry_bytes);
    if (path[depth] != q->count)
        memcpy(entry_at(q, path[depth]), entry_at(q, q->count), q->entry_bytes);
    return 0;
}

/* There is room. */
static int insert(struct wf_queue *q, const void *item)
{
    if (q->options.order == WF_PRIORITY)
        return heap_insert(q, item);
    write_entry(q, q->options.order == WF_FIFO ? ring_index(q, q->count) : q->count, item);
    return 0;
}

/* There is an item. */
static int take_out(struct wf_queue *q, void *ret_item)
{
    if (q->options.order == WF_PRIORITY)
        return heap_remove(q, ret_item);
    size_t index = q->options.order == WF_FIFO ? q->first : q->count - 1;
    memcpy(ret_item, entry_at(q, index)->item, q->options.item_bytes);
    if (q->options.order == WF_FIFO)
        q->first = ring_index(q, 1);
    q->count--;
    return 0;
}

/* Those who wait */

static void answer(struct wfi_wait_node *claimed, int result, struct wfi_wake_list *woken)
{
    claimed->amount = (uint64_t)(int64_t)result;
    wfi_wake_list_add(woken, claimed);
}

static void refuse_all(struct wfi_wait_list *list, struct wfi_wake_list *woken)
{
    for (struct wfi_wait_node *node; (node = wfi_wait_claim_first(list));)
        answer(node, -EPIPE, woken);
}

/* Lets waiting pushes in while there is room. */
static void refill(struct wf_queue *q, struct wfi_wake_list *woken)
{
    for (struct wfi_wait_node *node;
         q->count < q->options.capacity && (node = wfi_wait_claim_first(&q->pushers));) {
        int err = insert(q, node->slot);
        if (!err)
            q->unfinished++;
        answer(node, err, woken);
    }
}

static int push_locked(struct wf_queue *q, const void *item, struct wfi_wake_list *woken)
{
    if (q->closed)
        return -EPIPE;
    struct wfi_wait_node *node = wfi_wait_claim_first(&q->poppers);
    if (node) {
        memcpy(node->slot, item, q->options.item_bytes);
        answer(node, 0, woken);
    } else {
        int err = q->count < q->options.capacity ? insert(q, item) : WOULD_WAIT;
        if (err)
            return err;
    }
    q->unfinished++;
    return 0;
}

static int pop_locked(struct wf_queue *q, void *ret_item, struct wfi_wake_list *woken)
{
    if (q->count == 0)
        return q->closed ? -EPIPE : WOULD_WAIT;
    int err = take_out(q, ret_item);
    if (!err)
        refill(q, woken);
    return err;
}

/* Called with `lock`, after WOULD_WAIT; returns without. */
static int wait_in(struct wf_queue *q, struct wfi_wait_list *list, void *item, const char *reason,
                   wf_deadline deadline)
{
    struct wfi_wait_node node = {.slot = item};
    int err = wfi_wait(list, &q->lock, &node, reason, q, deadline);
    return err ? err : (int)(int64_t)node.amount;
}

int wf_queue_push(struct wf_queue *q, const void *item, wf_deadline deadline)
{
    struct wfi_wake_list woken = {0};
    if (wfi_forked())
        return WF_EFORKED;
    wfi_lock_lock(&q->lock);
    int err = push_locked(q, item, &woken);
    if (err == WOULD_WAIT)
        return wait_in(q, &q->pushers, (void *)(uintptr_t)item, "queue push", deadline);
    wfi_lock_unlock(&q->lock);
    wfi_wake_all(&woken);
    return err;
}

int wf_queue_pop(struct wf_queue *q, void *ret_item, wf_deadline deadline)
{
    struct wfi_wake_list woken = {0};
    if (wfi_forked())
        return WF_EFORKED;
    wfi_lock_lock(&q->lock);
    int err = pop_locked(q, ret_item, &woken);
    if (err == WOULD_WAIT)
        return wait_in(q, &q->poppers, ret_item, "queue pop", deadline);
    wfi_lock_unlock(&q->lock);
    wfi_wake_all(&woken);
    return err;
}

int wf_queue_try_push(struct wf_queue *q, const void *item)
{
    struct wfi_wake_list woken = {0};
    wfi_lock_lock(&q->lock);
    int err = push_locked(q, item, &woken);
    wfi_lock_unlock(&q->lock);
    wfi_wake_all(&woken);
    return err == WOULD_WAIT ? -EAGAIN : err;
}

int wf_queue_try_pop(struct wf_queue *q, void *ret_item)
{
    struct wfi_wake_list woken = {0};
    wfi_lock_lock(&q->lock);
    int err = pop_locked(q, ret_item, &woken);
    wfi_lock_unlock(&q->lock);
    wfi_wake_all(&woken);
    return err == WOULD_WAIT ? -EAGAIN : err;
}

/* Under `lock`: moves what is inside to a new array and returns the old one. */
static char *move_entries(struct wf_queue *q, char *entries, size_t entry_count)
{
    for (size_t i = 0; i < q->count; i++) {
        size_t from = q->options.order == WF_FIFO ? ring_index(q, i) : i;
        memcpy(entries + i * q->entry_bytes, entry_at(q, from), q->entry_bytes);
    }
    char *old = q->entries;
    q->entries = entries;
    q->entry_count = entry_count;
    q->first = 0;
    return old;
}

int wf_queue_resize(struct wf_queue *q, size_t capacity)
{
    if (capacity == 0)
        return -EINVAL;
    size_t room = capacity;
    for (;;) {
        char *entries;
        int err = allocate_entries(q, room, &entries);
        if (err)
            return err;
        struct wfi_wake_list woken = {0};
        wfi_lock_lock(&q->lock);
        if (!q->closed && q->count <= room) {
            q->options.capacity = capacity;
            entries = move_entries(q, entries, room);
            refill(q, &woken);
        } else {
            room = q->count;
            err = q->closed ? -EPIPE : -EAGAIN;
        }
        wfi_lock_unlock(&q->lock);
        wfi_wake_all(&woken);
        wfi_free(entries);
        if (err != -EAGAIN)
            return err;
    }
}

/* Under `lock`. */
static void finish(struct wf_queue *q, uint64_t n, struct wfi_wake_list *woken)
{
    q->unfinished -= n;
    if (q->unfinished == 0)
        wfi_wake_list_claim_all(woken, &q->joiners);
}

int wf_queue_task_done(struct wf_queue *q)
{
    struct wfi_wake_list woken = {0};
    int err = 0;
    wfi_lock_lock(&q->lock);
    /* What is still inside has not been taken, so it cannot be done. */
    if (q->unfinished == q->count)
        err = WF_ESTATE;
    else
        finish(q, 1, &woken);
    wfi_lock_unlock(&q->lock);
    wfi_wake_all(&woken);
    return err;
}

int wf_queue_join(struct wf_queue *q, wf_deadline deadline)
{
    if (wfi_forked())
        return WF_EFORKED;
    wfi_lock_lock(&q->lock);
    if (q->unfinished == 0) {
        wfi_lock_unlock(&q->lock);
        return 0;
    }
    struct wfi_wait_node node = {0};
    return wfi_wait(&q->joiners, &q->lock, &node, "queue join", q, deadline);
}

static void destroy_items(struct wf_queue *q, size_t first, size_t count)
{
    if (!q->options.item_destroy)
        return;
    for (size_t i = 0; i < count; i++) {
        size_t index = first + i < q->entry_count ? first + i : first + i - q->entry_count;
        q->options.item_destroy(entry_at(q, index)->item, q->options.arg);
    }
}

void wf_queue_close(struct wf_queue *q, enum wf_close_how how)
{
    struct wfi_wake_list woken = {0};
    bool now = how == WF_CLOSE_NOW;
    wfi_lock_lock(&q->lock);
    q->closed = true;
    refuse_all(&q->pushers, &woken);
    refuse_all(&q->poppers, &woken); /* somebody waits to pop only when there is nothing */
    /* Nothing goes in any more: the array is left to this call. */
    size_t first = q->first, count = now ? q->count : 0;
    if (now) {
        q->count = 0;
        finish(q, count, &woken);
    }
    wfi_lock_unlock(&q->lock);
    wfi_wake_all(&woken);
    destroy_items(q, first, count);
}

void wf_queue_destroy(struct wf_queue *q)
{
    if (!q)
        return;
    wfi_lock_lock(&q->lock);
    wfi_assert(wfi_wait_list_empty(&q->pushers) && wfi_wait_list_empty(&q->poppers) &&
                   wfi_wait_list_empty(&q->joiners),
               "nobody waits on a queue when it is destroyed");
    wfi_lock_unlock(&q->lock);
    destroy_items(q, q->first, q->count);
    wfi_free(q->entries);
    wfi_free(q);
}

size_t wf_queue_len(struct wf_queue *q)
{
    wfi_lock_lock(&q->lock);
    size_t count = q->count;
    wfi_lock_unlock(&q->lock);
    return count;
}
