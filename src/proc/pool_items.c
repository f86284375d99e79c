/* SPDX-License-Identifier: MIT */
/*
 * The items of a pool: lists of them, the queue, and their ends. A task that is cancelled while it
 * is queued leaves its item there as a tombstone, which goes when it is met, or with a sweep when
 * most of the queue is tombstones.
 */
#include "proc/pool.h"

#include "base/alloc.h"
#include "os/word.h"
#include "sync/local.h"

/* Lists */

void wfi_items_push(struct wfi_items *items, struct wfi_item *item)
{
    item->next = NULL;
    if (items->last)
        items->last->next = item;
    else
        items->first = item;
    items->last = item;
}

void wfi_items_push_front(struct wfi_items *items, struct wfi_item *item)
{
    item->next = items->first;
    items->first = item;
    if (!items->last)
        items->last = item;
}

struct wfi_item *wfi_items_pop(struct wfi_items *items)
{
    struct wfi_item *item = items->first;
    if (!item)
        return NULL;
    items->first = item->next;
    if (!items->first)
        items->last = NULL;
    return item;
}

void wfi_items_remove(struct wfi_items *items, struct wfi_item *item)
{
    struct wfi_item *before = NULL;
    for (struct wfi_item *at = items->first; at != item; at = at->next)
        before = at;
    if (before)
        before->next = item->next;
    else
        items->first = item->next;
    if (items->last == item)
        items->last = before;
}

/* Ends */

void wfi_pool_fail(struct wfi_pool *pool, struct wfi_item *item, int code,
                   const struct wf_error *error)
{
    wfi_answer_fini(&item->answer);
    item->answer.outcome = WFI_OUTCOME_FAILED;
    item->answer.code = code;
    struct wf_error *copy = error ? wfi_alloc(sizeof *copy) : NULL;
    if (copy)
        *copy = *error;
    item->answer.error = copy;
    wfi_items_push(&pool->ended, item);
}

void wfi_pool_drop(struct wfi_pool *pool, struct wfi_item *item)
{
    wfi_answer_fini(&item->answer);
    item->answer.outcome = WFI_OUTCOME_CANCELED;
    item->answer.code = -ECANCELED;
    wfi_items_push(&pool->ended, item);
}

void wfi_item_free(struct wfi_item *item)
{
    wfi_parcel_fini(&item->parcel);
    wfi_answer_fini(&item->answer);
    wfi_free(item);
}

/* The task of a task: its answer goes on to the worker that submitted it. Under the lock. */
static void answer_origin(struct wfi_pool *pool, struct wfi_item *item)
{
    struct wfi_pool_worker *origin = pool->workers[item->origin];
    if (origin->serial == item->origin_serial &&
        (origin->state == WFI_PLACE_LIVE || origin->state == WFI_PLACE_STOPPING)) {
        struct wfi_answer *answer = &item->answer;
        struct wfi_control head = {.kind = WFI_CONTROL_ANSWER,
                                   .id = item->origin_id,
                                   .outcome = answer->outcome,
                                   .code = answer->code,
                                   .bytes = answer->len};
        void *bytes = answer->bytes;
        if (answer->error) {
            answer->error->code = answer->code;
            bytes = answer->error;
            head.bytes = sizeof *answer->error;
        }
        answer->error = NULL;
        answer->bytes = NULL;
        origin->nested--;
        wfi_keeper_send(origin, &head, bytes, answer->fd);
        answer->fd = -1;
    }
    wfi_item_free(item);
}

void wfi_item_bury(struct wfi_item *item)
{
    wfi_future_release(item->f, WFI_FUTURE_ENGINE);
    wfi_item_free(item);
}

static void finish(struct wfi_item *item)
{
    if (item->tombstone) {
        wfi_item_bury(item);
        return;
    }
    wfi_parcel_end(&item->parcel, item->f, &item->answer);
    wfi_free(item);
}

/* Tells workers of what is new in their rings. */
static void publish(struct wfi_pool *pool)
{
    for (unsigned i = 0; i < pool->places; i++) {
        struct wfi_pool_worker *worker = pool->workers[i];
        if (worker->tail == worker->published || !worker->ring)
            continue;
        worker->published = worker->tail;
        if (wfi_ring_publish(worker->ring, worker->tail))
            wfi_word_wake(&worker->ring->asleep, 1);
    }
}

void wfi_pool_unlock(struct wfi_pool *pool)
{
    struct wfi_items ended = {NULL, NULL};
    struct wfi_item *item;
    while ((item = wfi_items_pop(&pool->ended)))
        if (item->f)
            wfi_items_push(&ended, item);
        else
            answer_origin(pool, item);
    if (ended.first)
        pool->finishing++;
    publish(pool);
    wfi_lock_unlock(&pool->lock);
    if (!ended.first)
        return;
    while ((item = wfi_items_pop(&ended)))
        finish(item);
    wfi_lock_lock(&pool->lock);
    pool->finishing--;
    if (pool->closed && !pool->finishing)
        wfi_keeper_prod(pool);
    wfi_lock_unlock(&pool->lock);
}

/* The queue */

bool wfi_pool_is_full(const struct wfi_pool *pool)
{
    size_t max = pool->options.queue_max, free_places = pool->max;
    if (!max)
        return false;
    for (unsigned i = 0; i < pool->places; i++) {
        const struct wfi_pool_worker *worker = pool->workers[i];
        if (free_places && worker->outstanding && !worker->nested)
            free_places--;
    }
    return pool->queued >= max + free_places;
}

/* Lets in as many submitters as there is room for; each is counted from here on. */
static void admit(struct wfi_pool *pool, struct wfi_wake_list *wake)
{
    struct wfi_wait_node *node;
    while (!wfi_pool_is_full(pool) && (node = wfi_wait_claim_first(&pool->submitters))) {
        node->amount = 1;
        pool->queued++;
        wfi_wake_list_add(wake, node);
    }
}

void wfi_pool_unqueued(struct wfi_pool *pool)
{
    struct wfi_wake_list wake = {NULL, NULL};
    pool->queued--;
    if (!pool->submitters.first)
        return;
    admit(pool, &wake);
    wfi_wake_all(&wake);
}

/* PENDING to RUNNING on behalf of the pool. */
bool wfi_pool_take(struct wfi_pool *pool, struct wf_future *f)
{
    uint32_t word = wfi_load_acquire(&f->state);
    while (wfi_future_state(word) == WF_FUTURE_PENDING)
        if (wfi_cas(&f->state, &word,
                    (word & ~(uint32_t)(WFI_FUTURE_STATE | WFI_FUTURE_COUNTED)) |
                        WF_FUTURE_RUNNING)) {
            wfi_locals_release(f->locals); /* they are packed */
            if (word & WFI_FUTURE_COUNTED)
                wfi_pool_unqueued(pool);
            return true;
        }
    return false;
}

/* Somebody else has ended it: only the ENGINE bit is left to be given up. */
void wfi_pool_drop_tombstone(struct wfi_pool *pool, struct wfi_item *item)
{
    item->tombstone = true;
    wfi_items_push(&pool->ended, item);
}

void wfi_pool_forget(struct wf_executor *base)
{
    struct wfi_pool *pool = wfi_pool_of(base);
    struct wfi_items dead = {NULL, NULL};
    struct wfi_item *item;
    wfi_lock_lock(&pool->lock);
    wfi_pool_unqueued(pool);
    /* 64: below that tombstones cost less than looking for them. */
    if (pool->entries > 64 && pool->entries / 2 > pool->queued)
        for (int i = 0; i < WFI_POOL_PRIORITIES; i++) {
            struct wfi_items kept = {NULL, NULL};
            while ((item = wfi_items_pop(&pool->queues[i])))
                if (item->f && wf_future_state(item->f) != WF_FUTURE_PENDING) {
                    wfi_items_push(&dead, item);
                    pool->entries--;
                } else {
                    wfi_items_push(&kept, item);
                }
            pool->queues[i] = kept;
        }
    wfi_lock_unlock(&pool->lock);
    while ((item = wfi_items_pop(&dead)))
        wfi_item_bury(item);
}

struct wfi_item *wfi_pool_pop(struct wfi_pool *pool)
{
    for (int i = 0; i < WFI_POOL_PRIORITIES; i++) {
        struct wfi_item *item = wfi_items_pop(&pool->queues[i]);
        if (item) {
            pool->entries--;
            return item;
        }
    }
    return NULL;
}

void wfi_pool_enqueue(struct wfi_pool *pool, struct wfi_item *item)
{
    wfi_items_push(&pool->queues[3 - item->priority], item);
    pool->entries++;
}

bool wfi_pool_has_items(const struct wfi_pool *pool)
{
    return pool->again.first || pool->entries;
}

void wfi_pool_fail_queued(struct wfi_pool *pool, const struct wf_error *error)
{
    struct wfi_item *item;
    while ((item = wfi_items_pop(&pool->again))) {
        pool->agains--;
        wfi_pool_fail(pool, item, error->code, error);
    }
    while ((item = wfi_pool_pop(pool))) {
        if (!item->f || wfi_pool_take(pool, item->f))
            wfi_pool_fail(pool, item, error->code, error);
        else
            wfi_pool_drop_tombstone(pool, item);
    }
}
