/* SPDX-License-Identifier: MIT */
/*
 * The processes engine: how a task gets to a worker and back.
 *
 * A task is packed when it is submitted (parcel.h) and queued. Workers are given tasks in advance,
 * as many as make about DEPTH_NS of work, so that a worker with short tasks need not wait for the
 * pool in between; what a worker has not begun can be taken back, for a worker that is idle or
 * because the task is cancelled. Only while no more workers may be started: else the task waits for
 * the new one.
 *
 * Who collects. A worker rings for the keeper only where the keeper, before it slept, said so. A
 * thread that waits for a future collects by itself for a moment (`attend`): meanwhile no bell is
 * wanted. So a task that is submitted and waited for costs no wake-up in this process.
 */
#include "proc/pool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "exec/main.h"
#include "exec/scope.h"
#include "os/ancillary.h"
#include "os/cpu.h"
#include "os/resident.h"
#include "os/sanitizer.h"
#include "os/socket.h"
#include "os/wakefd.h"
#include "os/word.h"
#include "proc/codec.h"
#include "proc/pool_worker.h"
#include "sched/registry.h"
#include "sync/local.h"

enum {
    DEPTH_NS = 100000, /* work that a worker is given ahead: two wake-ups across CPUs */
    DEPTH_MAX = 64,
    LONG_NS = 20000000,   /* above this a round trip is nothing: no task is given ahead */
    ATTEND_NS = 50000,    /* a wake-up across CPUs */
    LOOKS_PER_YIELD = 32, /* a microsecond or two */
    RESTARTS_PER_WORKER = 10,
    RESTARTS_WITHIN_S = 10,
    GRACE_S = 2,
};

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

static void items_remove(struct wfi_items *items, struct wfi_item *item)
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

static void item_free(struct wfi_item *item)
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
    item_free(item);
}

static void bury_tombstone(struct wfi_item *item)
{
    wfi_future_release(item->f, WFI_FUTURE_ENGINE);
    item_free(item);
}

static void finish(struct wfi_item *item)
{
    if (item->tombstone) {
        bury_tombstone(item);
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

static bool queue_is_full(const struct wfi_pool *pool)
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
    while (!queue_is_full(pool) && (node = wfi_wait_claim_first(&pool->submitters))) {
        node->amount = 1;
        pool->queued++;
        wfi_wake_list_add(wake, node);
    }
}

static void unqueued(struct wfi_pool *pool)
{
    struct wfi_wake_list wake = {NULL, NULL};
    pool->queued--;
    if (!pool->submitters.first)
        return;
    admit(pool, &wake);
    wfi_wake_all(&wake);
}

/* PENDING to RUNNING on behalf of the pool. */
static bool take(struct wfi_pool *pool, struct wf_future *f)
{
    uint32_t word = wfi_load_acquire(&f->state);
    while (wfi_future_state(word) == WF_FUTURE_PENDING)
        if (wfi_cas(&f->state, &word,
                    (word & ~(uint32_t)(WFI_FUTURE_STATE | WFI_FUTURE_COUNTED)) |
                        WF_FUTURE_RUNNING)) {
            wfi_locals_release(f->locals); /* they are packed */
            if (word & WFI_FUTURE_COUNTED)
                unqueued(pool);
            return true;
        }
    return false;
}

/* Marks a PENDING future as queued; false when it was cancelled meanwhile. */
static bool count(struct wf_future *f)
{
    uint32_t word = wfi_load_relaxed(&f->state);
    while (wfi_future_state(word) == WF_FUTURE_PENDING)
        if (wfi_cas(&f->state, &word, word | WFI_FUTURE_COUNTED))
            return true;
    return false;
}

/* Somebody else has ended it: only the ENGINE bit is left to be given up. */
static void drop_tombstone(struct wfi_pool *pool, struct wfi_item *item)
{
    item->tombstone = true;
    wfi_items_push(&pool->ended, item);
}

static void forget(struct wf_executor *base)
{
    struct wfi_pool *pool = wfi_pool_of(base);
    struct wfi_items dead = {NULL, NULL};
    struct wfi_item *item;
    wfi_lock_lock(&pool->lock);
    unqueued(pool);
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
        bury_tombstone(item);
}

static struct wfi_item *queue_pop(struct wfi_pool *pool)
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

/* Handing out */

static unsigned depth_of(const struct wfi_pool_worker *worker)
{
    if (!worker->average_ns || worker->average_ns > LONG_NS)
        return 1;
    int64_t ahead = DEPTH_NS / worker->average_ns;
    return 1 + (unsigned)(ahead < 1 ? 1 : ahead > DEPTH_MAX ? DEPTH_MAX : ahead);
}

static bool takes_tasks(const struct wfi_pool_worker *worker)
{
    const struct wfi_pool *pool = worker->pool;
    return worker->state == WFI_PLACE_LIVE && !worker->nested && !worker->corrupt &&
           worker->tail - worker->consumed < WFI_RING_SLOTS &&
           !(pool->options.tasks_max && worker->given >= pool->options.tasks_max);
}

/* Who gets the next task: one that is idle, or, if there are as many as may be, the one with the
 * least to do. NULL: nobody, now. */
static struct wfi_pool_worker *pick(struct wfi_pool *pool)
{
    struct wfi_pool_worker *idle = NULL, *least = NULL;
    unsigned working = 0, coming = 0;
    for (unsigned i = 0; i < pool->places; i++) {
        struct wfi_pool_worker *worker = pool->workers[i];
        if (worker->state == WFI_PLACE_EMPTY || worker->nested)
            continue;
        if (worker->state == WFI_PLACE_STARTING)
            coming++;
        else if (worker->outstanding)
            working++;
        if (!takes_tasks(worker))
            continue;
        if (!worker->outstanding && !idle)
            idle = worker;
        else if (worker->outstanding && worker->outstanding < depth_of(worker) &&
                 (!least || worker->outstanding < least->outstanding))
            least = worker;
    }
    if (idle && working < pool->max)
        return idle;
    return working + coming >= pool->max ? least : NULL;
}

/* Puts a task that is RUNNING already into the worker's ring; false: there is no room. */
static bool assign(struct wfi_pool_worker *worker, struct wfi_item *item)
{
    struct wfi_slot *slot = wfi_ring_slot(worker->ring, worker->tail);
    struct wfi_parcel *parcel = &item->parcel;
    const void *bytes = wfi_parcel_bytes(parcel, item->f);
    if (!bytes) {
        if (wfi_ancillary_send(worker->payload, "", 1, &parcel->fd, 1))
            return false;
        slot->args_place = WFI_PLACE_MEMORY;
    } else if (parcel->len <= sizeof slot->args) {
        memcpy(slot->args, bytes, parcel->len);
        slot->args_place = WFI_PLACE_INLINE;
    } else {
        size_t offset;
        if (!wfi_slab_take(&worker->args, worker->args_freed, parcel->len, &offset))
            return false;
        memcpy(worker->ring->args + offset, bytes, parcel->len);
        slot->args_place = WFI_PLACE_SLAB;
        slot->args_offset = offset;
    }
    slot->args_bytes = parcel->len;
    slot->flags = parcel->flags;
    slot->items = parcel->items;
    slot->type = parcel->type;
    slot->deadline_ns = item->deadline_ns;
    wfi_store_relaxed(&slot->started_ns, 0);
    wfi_store_relaxed(&slot->state, WFI_SLOT_ASSIGNED); /* released with the tail */
    worker->items[worker->tail % WFI_RING_SLOTS] = item;
    worker->args_ends[worker->tail % WFI_RING_SLOTS] = worker->args.taken;
    worker->tail++;
    worker->outstanding++;
    worker->given++;
    if (item->kill_ns != INT64_MAX)
        wfi_keeper_prod(worker->pool);
    return true;
}

/* The task of a worker that has more than one, for another that is idle. */
static bool steal(struct wfi_pool *pool)
{
    struct wfi_pool_worker *rich = NULL;
    for (unsigned i = 0; i < pool->places; i++) {
        struct wfi_pool_worker *worker = pool->workers[i];
        if (worker->state == WFI_PLACE_LIVE && worker->outstanding > 1 &&
            (!rich || worker->outstanding > rich->outstanding))
            rich = worker;
    }
    if (!rich)
        return false;
    for (uint32_t number = rich->tail; number != rich->consumed; number--) {
        struct wfi_item **item = &rich->items[(number - 1) % WFI_RING_SLOTS];
        if (!*item)
            continue;
        if (!wfi_ring_revoke(wfi_ring_slot(rich->ring, number - 1)))
            return false; /* and so those before it have begun */
        wfi_items_push_front(&pool->again, *item);
        pool->agains++;
        *item = NULL;
        rich->outstanding--;
        rich->given--;
        return true;
    }
    return false;
}

void wfi_pool_take_back(struct wfi_pool_worker *worker)
{
    struct wfi_pool *pool = worker->pool;
    for (uint32_t number = worker->tail; number != worker->consumed; number--) {
        struct wfi_item **item = &worker->items[(number - 1) % WFI_RING_SLOTS];
        if (!*item || !wfi_ring_revoke(wfi_ring_slot(worker->ring, number - 1)))
            continue;
        wfi_items_push_front(&pool->again, *item);
        pool->agains++;
        *item = NULL;
        worker->outstanding--;
        worker->given--;
    }
}

void wfi_pool_fail_queued(struct wfi_pool *pool, const struct wf_error *error)
{
    struct wfi_item *item;
    while ((item = wfi_items_pop(&pool->again))) {
        pool->agains--;
        wfi_pool_fail(pool, item, error->code, error);
    }
    while ((item = queue_pop(pool))) {
        if (!item->f || take(pool, item->f))
            wfi_pool_fail(pool, item, error->code, error);
        else
            drop_tombstone(pool, item);
    }
}

static struct wfi_item *next_item(struct wfi_pool *pool)
{
    struct wfi_item *item;
    if ((item = wfi_items_pop(&pool->again))) {
        pool->agains--;
        return item;
    }
    while ((item = queue_pop(pool))) {
        if (!item->f || take(pool, item->f))
            return item;
        drop_tombstone(pool, item);
    }
    return NULL;
}

static bool has_items(const struct wfi_pool *pool)
{
    return pool->again.first || pool->entries;
}

void wfi_pool_dispatch(struct wfi_pool *pool)
{
    if (pool->broken) {
        wfi_pool_fail_queued(pool, pool->broken);
        return;
    }
    for (;;) {
        struct wfi_pool_worker *worker = pick(pool);
        if (!has_items(pool) && (!worker || worker->outstanding || !steal(pool)))
            return;
        struct wfi_item *item = worker ? next_item(pool) : NULL;
        if (!item) {
            if (worker && has_items(pool))
                continue;
            break;
        }
        if (!assign(worker, item)) {
            wfi_items_push_front(&pool->again, item);
            pool->agains++;
            break;
        }
    }
    unsigned living = 0;
    for (unsigned i = 0; i < pool->places; i++)
        living += pool->workers[i]->state != WFI_PLACE_EMPTY && !pool->workers[i]->nested;
    if (has_items(pool) && living < pool->max)
        wfi_keeper_prod(pool); /* for one more worker */
}

void wfi_pool_enqueue(struct wfi_pool *pool, struct wfi_item *item)
{
    wfi_items_push(&pool->queues[3 - item->priority], item);
    pool->entries++;
}

/* Coming back */

static bool copy_answer(struct wfi_answer *answer, const void *from, size_t len)
{
    answer->len = len;
    if (!len)
        return true;
    answer->bytes = wfi_alloc(len);
    if (!answer->bytes)
        return false;
    memcpy(answer->bytes, from, len);
    return true;
}

/* The slot's outcome; every word of it is read once, and checked. False: it cannot be. */
static bool read_slot(struct wfi_pool_worker *worker, struct wfi_slot *slot, struct wfi_item *item)
{
    struct wfi_answer *answer = &item->answer;
    volatile struct wfi_slot *untrusted = slot;
    uint32_t outcome = untrusted->outcome, place = untrusted->result_place;
    uint64_t bytes = untrusted->result_bytes, offset = untrusted->result_offset;
    answer->outcome = (enum wfi_outcome)outcome;
    answer->code = untrusted->code;
    if (outcome < WFI_OUTCOME_DONE || outcome > WFI_OUTCOME_CANCELED)
        return false;
    if (outcome == WFI_OUTCOME_FAILED && answer->code >= 0)
        return false;
    const unsigned char *from = slot->result;
    if (place == WFI_PLACE_MEMORY) {
        int fds[WFI_ANCILLARY_MAX];
        size_t count = 0;
        unsigned char none;
        ssize_t len = wfi_ancillary_receive(worker->payload, &none, 1, fds, &count);
        answer->len = bytes;
        if (len == 1 && count == 1) {
            answer->fd = fds[0];
            return true;
        }
        for (size_t i = 0; i < count; i++)
            wfi_fd_close(fds[i]);
        return false;
    }
    if (place == WFI_PLACE_SLAB) {
        if (bytes > WFI_RING_PAYLOAD_MAX || offset > WFI_RING_SLAB - bytes)
            return false;
        from = worker->ring->results + offset;
    } else if (place != WFI_PLACE_INLINE || bytes > sizeof slot->result) {
        return false;
    }
    if (outcome == WFI_OUTCOME_DONE && item->f &&
        wfi_parcel_take(&item->parcel, item->f, from, (size_t)bytes))
        answer->taken = true;
    else if (!copy_answer(answer, from, (size_t)bytes))
        *answer = (struct wfi_answer){.outcome = WFI_OUTCOME_FAILED, .code = -ENOMEM, .fd = -1};
    if (place == WFI_PLACE_SLAB)
        /* release: pairs with the worker's acquire before it takes room again */
        wfi_store_release(&worker->ring->freed, untrusted->result_end);
    return true;
}

static void note_time(struct wfi_pool_worker *worker, int64_t ran_ns)
{
    if (ran_ns < 1)
        ran_ns = 1;
    worker->average_ns =
        worker->average_ns ? worker->average_ns + (ran_ns - worker->average_ns) / 8 : ran_ns;
    if (worker->average_ns < 1)
        worker->average_ns = 1;
}

void wfi_pool_consume(struct wfi_pool_worker *worker)
{
    struct wfi_pool *pool = worker->pool;
    if (!worker->ring || worker->corrupt)
        return;
    uint32_t done = wfi_ring_done(worker->ring);
    if (done - worker->consumed > worker->published - worker->consumed)
        worker->corrupt = true;
    while (!worker->corrupt && worker->consumed != done) {
        uint32_t at = worker->consumed % WFI_RING_SLOTS;
        struct wfi_slot *slot = &worker->ring->slots[at];
        struct wfi_item *item = worker->items[at];
        if (item) {
            if (!read_slot(worker, slot, item)) {
                worker->corrupt = true;
                break;
            }
            note_time(worker, *(volatile int64_t *)&slot->ran_ns);
            worker->items[at] = NULL;
            worker->outstanding--;
            worker->finished++;
            if (worker->victim == item)
                worker->victim = NULL;
            wfi_items_push(&pool->ended, item);
        }
        worker->args_freed = worker->args_ends[at];
        worker->consumed++;
    }
    bool over =
        pool->options.tasks_max && !worker->outstanding && worker->given >= pool->options.tasks_max;
    if (worker->corrupt || over || wfi_load_relaxed(&worker->ring->retiring))
        wfi_keeper_prod(pool);
}

static bool has_news(const struct wfi_pool_worker *worker)
{
    return worker->ring && !worker->corrupt && wfi_ring_done(worker->ring) != worker->consumed;
}

/* Under the lock: takes from all workers what they have done, and gives them more. */
static void collect(struct wfi_pool *pool)
{
    bool news = pool->ended.first != NULL;
    for (unsigned i = 0; i < pool->places; i++)
        if (has_news(pool->workers[i])) {
            wfi_pool_consume(pool->workers[i]);
            news = true;
        }
    if (news)
        wfi_pool_dispatch(pool);
}

bool wfi_pool_running(const struct wfi_pool_worker *worker)
{
    if (!worker->ring || worker->consumed == worker->published)
        return false;
    struct wfi_slot *slot = wfi_ring_slot(worker->ring, worker->consumed);
    uint32_t state = wfi_load(&slot->state);
    return worker->items[worker->consumed % WFI_RING_SLOTS] && state != WFI_SLOT_ASSIGNED &&
           wfi_ring_done(worker->ring) == worker->consumed;
}

static void want_bells(struct wfi_pool *pool, bool wanted)
{
    for (unsigned i = 0; i < pool->places; i++)
        if (pool->workers[i]->ring)
            wfi_store_relaxed(&pool->workers[i]->ring->wanted, wanted);
}

static void attend(struct wf_executor *base, struct wf_future *f, wf_deadline deadline)
{
    struct wfi_pool *pool = wfi_pool_of(base);
    wfi_lock_lock(&pool->lock);
    collect(pool);
    bool spins = pool->spins && wfi_self()->kind == WFI_THREAD && deadline.ns > 0;
    if (spins && pool->attending++ == 0)
        want_bells(pool, false);
    wfi_pool_unlock(pool);
    if (!spins)
        return;
    int64_t until = 0;
    for (unsigned i = 1; !wfi_future_ended(f); i++) {
        if (wfi_lock_try(&pool->lock)) {
            collect(pool);
            wfi_pool_unlock(pool);
        }
        if (i % LOOKS_PER_YIELD) {
            wfi_cpu_relax();
            continue;
        }
        int64_t now = wf_now();
        if (!until)
            until = deadline.ns - now < ATTEND_NS ? deadline.ns : now + ATTEND_NS;
        else if (now >= until)
            break;
        wfi_thread_yield(); /* the worker may wait for this CPU */
    }
    wfi_lock_lock(&pool->lock);
    if (--pool->attending == 0) {
        want_bells(pool, true);
        wfi_fence(); /* the announcement before the look at what is done: see ring.h */
        collect(pool);
        if (pool->closed)
            wfi_keeper_prod(pool);
    }
    wfi_pool_unlock(pool);
}

/* Submitting */

static int refusal(const struct wfi_pool *pool, struct wf_error *reterr)
{
    if (pool->broken) {
        *reterr = *pool->broken;
        return WF_EBROKEN;
    }
    if (pool->closed)
        return wf_error_set(reterr, -EPIPE, "executor %s is shut down", pool->base.name);
    return 0;
}

/* Under the lock, which is given up meanwhile: waits for room. Returns 0 with the task counted. */
static int wait_for_room(struct wfi_pool *pool, struct wf_error *reterr)
{
    int err = -EAGAIN;
    struct wfi_wait_node node = {.amount = 0};
    if (pool->options.submit_wait_ns) {
        wf_deadline deadline = wf_after(pool->options.submit_wait_ns);
        err = wfi_wait(&pool->submitters, &pool->lock, &node, "submit", pool, deadline);
        wfi_lock_lock(&pool->lock);
    }
    if (node.amount) {
        err = refusal(pool, reterr);
        if (err)
            unqueued(pool);
        return err;
    }
    if (err == 0)
        return refusal(pool, reterr);
    if (err == -ECANCELED)
        return wf_error_set(reterr, err, "cancelled while the queue of executor %s was full",
                            pool->base.name);
    return wf_error_set(reterr, -EAGAIN, "the queue of executor %s is full", pool->base.name);
}

static int64_t deadline_of(struct wf_future *f)
{
    int64_t earliest = INT64_MAX;
    if (!(wfi_load_relaxed(&f->state) & WFI_FUTURE_SCOPED))
        return earliest;
    for (struct wfi_cancel *level = wfi_scope_level(f->scoped.scope); level;
         level = level->parent) {
        int64_t ns = wfi_load_relaxed(&level->deadline_ns);
        if (ns < earliest)
            earliest = ns;
        if (level->shield)
            break;
    }
    return earliest;
}

static int64_t kill_time(const struct wfi_pool *pool, int64_t from_ns)
{
    if (from_ns == INT64_MAX || pool->grace_ns < 0 || from_ns > INT64_MAX - pool->grace_ns)
        return INT64_MAX;
    return from_ns + pool->grace_ns;
}

static int submit(struct wf_executor *base, struct wf_future *f,
                  const struct wf_submit_options *options, struct wf_error *reterr)
{
    struct wfi_pool *pool = wfi_pool_of(base);
    struct wfi_item *item = wfi_zalloc(sizeof *item);
    if (!item)
        return wf_error_set(reterr, -ENOMEM, NULL);
    item->f = f;
    item->priority = options->priority;
    item->retries = options->retries_on_death;
    item->answer.fd = -1;
    int err = 0;
    bool wanted = wfi_future_hold(f);
    if (wanted) {
        err = wfi_parcel_pack(&item->parcel, f, reterr);
        wanted = wfi_future_release_hold(f);
    }
    if (err || !wanted) {
        if (!err)
            wfi_parcel_fini(&item->parcel);
        wfi_free(item);
        if (wanted)
            return err;
        wfi_future_release(f, WFI_FUTURE_ENGINE);
        return 0;
    }
    item->deadline_ns = deadline_of(f);
    item->kill_ns = kill_time(pool, item->deadline_ns);
    wfi_lock_lock(&pool->lock);
    err = refusal(pool, reterr);
    if (!err) {
        if (queue_is_full(pool))
            err = wait_for_room(pool, reterr);
        else
            pool->queued++;
    }
    if (err) {
        wfi_lock_unlock(&pool->lock);
        item_free(item);
        return err;
    }
    if (!count(f)) {
        unqueued(pool);
        wfi_lock_unlock(&pool->lock);
        bury_tombstone(item);
        return 0;
    }
    wfi_pool_enqueue(pool, item);
    wfi_pool_dispatch(pool);
    wfi_pool_unlock(pool);
    return 0;
}

/* Cancelling */

/* The list that holds the future's item, or the item of the origin's task. */
static bool matches(const struct wfi_item *item, const struct wf_future *f,
                    const struct wfi_pool_worker *origin, uint64_t id)
{
    if (!item)
        return false;
    if (f)
        return item->f == f;
    return !item->f && item->origin == origin->index && item->origin_serial == origin->serial &&
           (!id || item->origin_id == id);
}

static struct wfi_item *find_in(struct wfi_items *items, const struct wf_future *f,
                                const struct wfi_pool_worker *origin, uint64_t id)
{
    struct wfi_item *item = items->first;
    while (item && !matches(item, f, origin, id))
        item = item->next;
    return item;
}

static void ask(struct wfi_pool_worker *worker, uint32_t number, struct wfi_item *item)
{
    if (item->asked)
        return;
    item->asked = true;
    int64_t kill_ns = kill_time(worker->pool, wf_now());
    if (kill_ns < item->kill_ns)
        item->kill_ns = kill_ns;
    struct wfi_control head = {.kind = WFI_CONTROL_CANCEL, .number = number};
    wfi_keeper_send(worker, &head, NULL, -1);
    wfi_keeper_prod(worker->pool);
}

/* Takes an assigned task back, or asks it. */
static enum wf_cancel_result cancel_assigned(struct wfi_pool_worker *worker, uint32_t number)
{
    struct wfi_item **at = &worker->items[number % WFI_RING_SLOTS], *item = *at;
    if (!worker->ring || !wfi_ring_revoke(wfi_ring_slot(worker->ring, number))) {
        ask(worker, number, item);
        return WF_CANCEL_ASKED;
    }
    *at = NULL;
    worker->outstanding--;
    worker->given--;
    if (item->f)
        wfi_future_settle(item->f, WF_FUTURE_CANCELED, 0, NULL);
    wfi_pool_drop(worker->pool, item);
    wfi_keeper_prod(worker->pool);
    return WF_CANCEL_REMOVED;
}

static enum wf_cancel_result cancel_item(struct wfi_pool *pool, struct wf_future *f,
                                         const struct wfi_pool_worker *origin, uint64_t id)
{
    struct wfi_item *item = find_in(&pool->again, f, origin, id);
    if (item) {
        items_remove(&pool->again, item);
        pool->agains--;
        if (f)
            wfi_future_settle(f, WF_FUTURE_CANCELED, 0, NULL);
        wfi_pool_drop(pool, item);
        wfi_keeper_prod(pool);
        return WF_CANCEL_REMOVED;
    }
    for (int i = 0; !f && i < WFI_POOL_PRIORITIES; i++) {
        item = find_in(&pool->queues[i], f, origin, id);
        if (!item)
            continue;
        items_remove(&pool->queues[i], item);
        pool->entries--;
        wfi_pool_drop(pool, item);
        wfi_keeper_prod(pool);
        return WF_CANCEL_REMOVED;
    }
    for (unsigned i = 0; i < pool->places; i++) {
        struct wfi_pool_worker *worker = pool->workers[i];
        for (uint32_t number = worker->consumed; number != worker->tail; number++)
            if (matches(worker->items[number % WFI_RING_SLOTS], f, origin, id))
                return cancel_assigned(worker, number);
    }
    return WF_CANCEL_TOO_LATE;
}

static enum wf_cancel_result cancel(struct wf_executor *base, struct wf_future *f)
{
    struct wfi_pool *pool = wfi_pool_of(base);
    wfi_lock_lock(&pool->lock);
    enum wf_cancel_result result = cancel_item(pool, f, NULL, 0);
    wfi_lock_unlock(&pool->lock); /* what has ended, the keeper finishes */
    return result == WF_CANCEL_TOO_LATE ? WF_CANCEL_ASKED : result;
}

void wfi_pool_withdraw(struct wfi_pool *pool, struct wfi_pool_worker *origin, uint64_t id)
{
    cancel_item(pool, NULL, origin, id);
}

void wfi_pool_withdraw_all(struct wfi_pool *pool, struct wfi_pool_worker *origin)
{
    while (cancel_item(pool, NULL, origin, 0) == WF_CANCEL_REMOVED)
        ;
    for (unsigned i = 0; i < pool->places; i++) {
        struct wfi_pool_worker *worker = pool->workers[i];
        for (uint32_t number = worker->consumed; number != worker->tail; number++) {
            if (matches(worker->items[number % WFI_RING_SLOTS], NULL, origin, 0))
                cancel_assigned(worker, number);
        }
    }
}

/* The end */

void wfi_pool_break(struct wfi_pool *pool, const char *text)
{
    if (!pool->broken) {
        wf_error_set(&pool->broken_error, WF_EBROKEN, "executor %s: %s", pool->base.name, text);
        pool->broken = &pool->broken_error;
    }
    wfi_pool_fail_queued(pool, pool->broken);
    struct wfi_wake_list wake = {NULL, NULL};
    wfi_wake_list_claim_all(&wake, &pool->submitters);
    wfi_wake_all(&wake);
}

/* Cancels what has not begun. */
static void cancel_all(struct wfi_pool *pool)
{
    struct wfi_item *item;
    for (unsigned i = 0; i < pool->places; i++)
        if (pool->workers[i]->ring)
            wfi_pool_take_back(pool->workers[i]);
    while ((item = wfi_items_pop(&pool->again))) {
        pool->agains--;
        if (item->f)
            wfi_future_settle(item->f, WF_FUTURE_CANCELED, 0, NULL);
        wfi_pool_drop(pool, item);
    }
    while ((item = queue_pop(pool))) {
        if (item->f && !take(pool, item->f)) {
            drop_tombstone(pool, item);
            continue;
        }
        if (item->f)
            wfi_future_settle(item->f, WF_FUTURE_CANCELED, 0, NULL);
        wfi_pool_drop(pool, item);
    }
}

bool wfi_pool_is_over(const struct wfi_pool *pool)
{
    if (has_items(pool) || pool->ended.first || pool->finishing || pool->attending)
        return false;
    for (unsigned i = 0; i < pool->places; i++)
        if (pool->workers[i]->state != WFI_PLACE_EMPTY)
            return false;
    return true;
}

static int shut_down(struct wf_executor *base, enum wf_shutdown mode, wf_deadline deadline)
{
    struct wfi_pool *pool = wfi_pool_of(base);
    struct wfi_wake_list wake = {NULL, NULL};
    wfi_lock_lock(&pool->lock);
    pool->closed = true;
    wfi_wake_list_claim_all(&wake, &pool->submitters);
    if (mode == WF_SHUTDOWN_CANCEL)
        cancel_all(pool);
    wfi_keeper_prod(pool);
    wfi_pool_unlock(pool);
    wfi_wake_all(&wake);
    if (mode == WF_SHUTDOWN_NO_WAIT)
        return 0;
    wfi_lock_lock(&pool->lock);
    if (wfi_pool_is_over(pool)) {
        wfi_lock_unlock(&pool->lock);
        return 0;
    }
    struct wfi_wait_node node = {0};
    return wfi_wait(&pool->leavers, &pool->lock, &node, "shutdown", pool, deadline);
}

/* All pools, for dumps. */
static struct {
    struct wfi_lock lock;
    struct wfi_list list;
} pools;

static void free_pool(struct wfi_pool *pool)
{
    for (unsigned i = 0; i < pool->places; i++)
        wfi_free(pool->workers[i]);
    wfi_poller_destroy(pool->poller);
    wfi_free(pool->start);
    wfi_free(pool->rlimits);
    wfi_free(pool);
}

static void destroy(struct wf_executor *base)
{
    struct wfi_pool *pool = wfi_pool_of(base);
    wfi_lock_lock(&pools.lock);
    wfi_list_remove(&pool->link);
    wfi_lock_unlock(&pools.lock);
    wfi_helper_unwatch(&pool->watch);
    wfi_lock_lock(&pool->lock);
    pool->quit = true;
    wfi_keeper_prod(pool);
    wfi_lock_unlock(&pool->lock);
    wfi_thread_join(&pool->keeper);
    free_pool(pool);
}

static unsigned workers(const struct wf_executor *base)
{
    return wfi_pool_of(base)->max;
}

static const struct wfi_executor_ops ops = {
    .engine = "processes",
    .submit = submit,
    .forget = forget,
    .cancel = cancel,
    .attend = attend,
    .shutdown = shut_down,
    .destroy = destroy,
    .workers = workers,
};

/* Looking */

static void view(struct wfi_pool_worker *worker, struct wf_worker_info *info, int64_t now)
{
    *info = (struct wf_worker_info){
        .pid = worker->pid, .tasks = worker->finished, .restarts = worker->restarts};
    bool running = wfi_pool_running(worker);
    info->state = worker->state == WFI_PLACE_STOPPING                   ? WF_WORKER_ENDING
                  : wfi_load(&worker->ring->ready) == WFI_WORKER_COMING ? WF_WORKER_STARTING
                  : worker->nested                                      ? WF_WORKER_WAITING
                  : running                                             ? WF_WORKER_RUNNING
                                                                        : WF_WORKER_IDLE;
    struct wfi_item *item = worker->items[worker->consumed % WFI_RING_SLOTS];
    if (!running || !item)
        return;
    const char *name =
        item->f && !item->parcel.chunk ? wf_future_name(item->f) : item->parcel.type->name;
    snprintf(info->task, sizeof info->task, "%s", name);
    int64_t began = wfi_load_relaxed(&wfi_ring_slot(worker->ring, worker->consumed)->started_ns);
    info->age_ns = began > 0 && began < now ? now - began : 0;
}

static bool has_process(const struct wfi_pool_worker *worker)
{
    return worker->ring && (worker->state == WFI_PLACE_LIVE || worker->state == WFI_PLACE_STOPPING);
}

int wf_processes_each(struct wf_executor *on,
                      void (*fn)(const struct wf_worker_info *worker, void *arg), void *arg)
{
    if (on->ops != &ops)
        return -EINVAL;
    struct wfi_pool *pool = wfi_pool_of(on);
    wfi_lock_lock(&pool->lock);
    unsigned room = pool->places;
    wfi_lock_unlock(&pool->lock);
    struct wf_worker_info *infos = wfi_zalloc((room + 1) * sizeof *infos);
    if (!infos)
        return -ENOMEM;
    int found = 0;
    int64_t now = wf_now();
    wfi_lock_lock(&pool->lock);
    for (unsigned i = 0; i < room; i++)
        if (has_process(pool->workers[i]))
            view(pool->workers[i], &infos[found++], now);
    wfi_lock_unlock(&pool->lock);
    for (int i = 0; i < found; i++) {
        infos[i].resident_bytes = wfi_resident_bytes(infos[i].pid);
        fn(&infos[i], arg);
    }
    wfi_free(infos);
    return found;
}

static void stop_hard(struct wf_executor *on, int signo, const char *text)
{
    if (on->ops != &ops)
        return;
    struct wfi_pool *pool = wfi_pool_of(on);
    wfi_lock_lock(&pool->lock);
    wfi_pool_break(pool, text);
    for (unsigned i = 0; i < pool->places; i++) {
        struct wfi_pool_worker *worker = pool->workers[i];
        if (!has_process(worker))
            continue;
        worker->on_purpose = true;
        worker->state = WFI_PLACE_STOPPING;
        worker->kill_ns = kill_time(pool, wf_now());
        wfi_related_signal(worker->related, signo);
    }
    wfi_keeper_prod(pool);
    wfi_pool_unlock(pool);
}

void wf_processes_terminate(struct wf_executor *on)
{
    stop_hard(on, 15, "it was terminated");
}

void wf_processes_kill(struct wf_executor *on)
{
    stop_hard(on, 9, "it was killed");
}

static bool try_soon(struct wfi_lock *lock)
{
    for (int i = 0; i < 10000; i++) {
        if (wfi_lock_try(lock))
            return true;
        wfi_thread_yield();
    }
    return false;
}

static void dump_pool(struct wfi_pool *pool, wfi_dump_line *line, void *arg)
{
    static const char *const states[] = {"starting", "idle", "running", "waiting", "ending"};
    char text[256];
    if (!try_soon(&pool->lock))
        return;
    snprintf(text, sizeof text, "processes %s: %zu tasks queued%s%s", pool->base.name,
             pool->queued + pool->agains, pool->closed ? ", closed" : "",
             pool->broken ? ", broken" : "");
    line(arg, text);
    for (unsigned i = 0; i < pool->places; i++) {
        struct wf_worker_info info;
        if (!has_process(pool->workers[i]))
            continue;
        view(pool->workers[i], &info, wf_now());
        info.resident_bytes = wfi_resident_bytes(info.pid);
        snprintf(text, sizeof text,
                 "process %s_%u %d %s%s%s %.3f s, %zu KiB, %llu tasks, %u restarts",
                 pool->base.name, i, info.pid, states[info.state], info.task[0] ? " task " : "",
                 info.task, (double)info.age_ns / 1e9, info.resident_bytes / 1024,
                 (unsigned long long)info.tasks, info.restarts);
        line(arg, text);
    }
    wfi_lock_unlock(&pool->lock);
}

static void dump_pools(wfi_dump_line *line, void *arg)
{
    if (!try_soon(&pools.lock))
        return;
    struct wfi_link *link = wfi_list_first(&pools.list);
    for (; link; link = wfi_list_next(&pools.list, link))
        dump_pool(wfi_container_of(link, struct wfi_pool, link), line, arg);
    wfi_lock_unlock(&pools.lock);
}

/* Making */

static void helper_died(void *arg)
{
    struct wfi_pool *pool = arg;
    wfi_store(&pool->helper_died, 1);
    wfi_poller_wake(pool->poller);
}

static int check_options(const struct wf_processes_options *options, struct wf_error *reterr)
{
    const char *wrong = options->workers < 0              ? "workers"
                        : options->restarts_within_ns < 0 ? "restarts_within_ns"
                        : options->submit_wait_ns < 0     ? "submit_wait_ns"
                                                          : NULL;
    if (wrong)
        return wf_error_set(reterr, -EINVAL, "%s must not be negative", wrong);
    enum { MOST = sizeof((struct wfi_pool *)NULL)->workers / sizeof(void *) - WFI_POOL_SPARES };
    if (options->workers > MOST)
        return wf_error_set(reterr, -EINVAL, "at most %d workers", (int)MOST);
    return 0;
}

/* Copies what the options point to. */
static int take_options(struct wfi_pool *pool, const struct wf_processes_options *options)
{
    pool->options = *options;
    pool->max = options->workers ? (unsigned)options->workers : (unsigned)wfi_cpu_count(NULL, 0);
    pool->grace_ns = options->grace_ns ? options->grace_ns : WF_SECONDS(GRACE_S);
    if (!options->restarts_max)
        pool->options.restarts_max = (int)(RESTARTS_PER_WORKER * pool->max);
    if (!options->restarts_within_ns)
        pool->options.restarts_within_ns = WF_SECONDS(RESTARTS_WITHIN_S);
    pool->spins = !wfi_cpu_alone() && !wfi_under_valgrind();
    pool->start_bytes = sizeof *pool->start + options->arg_bytes;
    pool->start = wfi_zalloc(pool->start_bytes);
    pool->rlimits = wfi_zalloc((options->rlimit_count + 1) * sizeof *pool->rlimits);
    if (!pool->start || !pool->rlimits)
        return -ENOMEM;
    for (size_t i = 0; i < options->rlimit_count; i++) {
        const struct wf_rlimit *limit = &options->rlimits[i];
        pool->rlimits[i] = (struct wfi_rlimit){
            limit->resource, limit->soft < limit->hard ? limit->soft : limit->hard, limit->hard};
    }
    pool->start->start = options->start;
    pool->start->stop = options->stop;
    pool->start->memory_max_bytes = options->memory_max_bytes;
    pool->start->workers = pool->max;
    pool->start->arg_bytes = options->arg_bytes;
    if (options->arg_bytes)
        memcpy(pool->start->arg, options->arg, options->arg_bytes);
    return 0;
}

int wf_processes_create(const struct wf_processes_options *options, struct wf_executor **ret_on,
                        struct wf_error *reterr)
{
    static const struct wf_processes_options defaults;
    static WFI_ATOMIC(uint32_t) hooked;
    if (!options)
        options = &defaults;
    int err = check_options(options, reterr);
    if (!err)
        err = wfi_helper_start(reterr);
    if (err)
        return err;
    struct wfi_pool *pool = wfi_zalloc(sizeof *pool);
    if (!pool)
        return wf_error_set(reterr, -ENOMEM, NULL);
    err = take_options(pool, options);
    if (!err)
        err = wfi_poller_create(&pool->poller, NULL);
    if (!err) {
        pool->keeper_record = wfi_record_take();
        err = pool->keeper_record ? 0 : -ENOMEM;
    }
    if (err) {
        free_pool(pool);
        return wf_error_set(reterr, err, "a pool of processes: %s", wf_strerror(err));
    }
    wfi_executor_init(&pool->base, &ops, options->name);
    snprintf(pool->start->name, sizeof pool->start->name, "%s", pool->base.name);
    err = wfi_thread_start(&pool->keeper, "weft_keeper", 0, wfi_keeper_run, pool);
    if (err) {
        wfi_executor_fini(&pool->base);
        wfi_record_give(pool->keeper_record);
        free_pool(pool);
        return wf_error_set(reterr, err, "a pool's keeper thread: %s", wf_strerror(err));
    }
    pool->watch = (struct wfi_helper_watch){.died = helper_died, .arg = pool};
    wfi_helper_watch(&pool->watch);
    if (wfi_fetch_or(&hooked, 1u) == 0)
        wfi_dump_hook(dump_pools);
    wfi_lock_lock(&pools.lock);
    wfi_list_push_back(&pools.list, &pool->link);
    wfi_lock_unlock(&pools.lock);
    *ret_on = &pool->base;
    return 0;
}
