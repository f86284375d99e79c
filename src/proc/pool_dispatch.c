/* SPDX-License-Identifier: MIT */
/*
 * How a task gets to a worker and back.
 *
 * Workers are given tasks in advance, as many as make about DEPTH_NS of work, so that a worker with
 * short tasks need not wait for the pool in between; what a worker has not begun can be taken back,
 * for a worker that is idle or because the task is cancelled. Only while no more workers may be
 * started: else the task waits for the new one.
 *
 * Who collects. A worker rings for the keeper only where the keeper, before it slept, said so. A
 * thread that waits for a future collects by itself for a moment (wfi_pool_attend): meanwhile no
 * bell is wanted. So a task that is submitted and waited for costs no wake-up in this process.
 */
#include "proc/pool.h"

#include <string.h>

#include "base/alloc.h"
#include "os/ancillary.h"
#include "os/socket.h"

enum {
    DEPTH_NS = 100000, /* work that a worker is given ahead: two wake-ups across CPUs */
    DEPTH_MAX = 64,
    LONG_NS = 20000000,   /* above this a round trip is nothing: no task is given ahead */
    ATTEND_NS = 50000,    /* a wake-up across CPUs */
    LOOKS_PER_YIELD = 32, /* a microsecond or two */
};

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

/* One whose deadline has passed is cancelled instead of begun. */
static bool is_late(struct wfi_pool *pool, struct wfi_item *item)
{
    if (item->deadline_ns == INT64_MAX || item->deadline_ns > wf_now())
        return false;
    if (item->f)
        wfi_future_settle(item->f, WF_FUTURE_CANCELED, 0, NULL);
    wfi_pool_drop(pool, item);
    return true;
}

static struct wfi_item *next_item(struct wfi_pool *pool)
{
    struct wfi_item *item;
    while ((item = wfi_items_pop(&pool->again))) {
        pool->agains--;
        if (!is_late(pool, item))
            return item;
    }
    while ((item = wfi_pool_pop(pool))) {
        if (item->f && !wfi_pool_take(pool, item->f))
            wfi_pool_drop_tombstone(pool, item);
        else if (!is_late(pool, item))
            return item;
    }
    return NULL;
}

void wfi_pool_dispatch(struct wfi_pool *pool)
{
    if (pool->broken) {
        wfi_pool_fail_queued(pool, pool->broken);
        return;
    }
    for (;;) {
        struct wfi_pool_worker *worker = pick(pool);
        if (!wfi_pool_has_items(pool) && (!worker || worker->outstanding || !steal(pool)))
            return;
        struct wfi_item *item = worker ? next_item(pool) : NULL;
        if (!item) {
            if (worker && wfi_pool_has_items(pool))
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
    if (wfi_pool_has_items(pool) && living < pool->max)
        wfi_keeper_prod(pool); /* for one more worker */
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
            pool->finished++;
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

/* Under the lock: may a task end within the time that is spent looking for it? Beside tasks that
 * run for long, looking would only take their CPU. */
static bool ends_soon(const struct wfi_pool *pool)
{
    for (unsigned i = 0; i < pool->places; i++) {
        const struct wfi_pool_worker *worker = pool->workers[i];
        if (worker->outstanding && worker->average_ns < 4 * ATTEND_NS)
            return true;
    }
    return false;
}

void wfi_pool_attend(struct wf_executor *base, struct wf_future *f, wf_deadline deadline)
{
    struct wfi_pool *pool = wfi_pool_of(base);
    wfi_lock_lock(&pool->lock);
    collect(pool);
    bool spins =
        pool->spins && wfi_self()->kind == WFI_THREAD && deadline.ns > 0 && ends_soon(pool);
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
