/* SPDX-License-Identifier: MIT */
/*
 * Channels: a ring that is used without a lock while nobody waits, and two wait lists under one.
 *
 * The ring is Vyukov's bounded queue (1024cores.net, "Bounded MPMC queue"): every slot has a stamp
 * that says whose turn it is. As in crossbeam's array channel a position holds the lap in its upper
 * bits and the index in its lower ones, so that any capacity, 1 too, keeps the two stamps of a slot
 * apart; and the bit between them, in `tail` only, says closed, so that no push can succeed once
 * the channel is closed: its compare-and-swap fails.
 *
 *   slot.stamp == position       free for the push that gets this position from `tail`
 *   slot.stamp == position + 1   full for the pop that gets this position from `head`
 *   after the pop                position + lap: free for the next lap
 *
 * `waiters` is the one word the fast paths share with the wait lists:
 *
 *   PUSHERS, POPPERS   somebody is in that list, or about to be
 *   CLOSED, NOW        closed; and items are not to be handed out any more
 *
 * A push looks at it twice: before, to queue up behind those who wait already, and after, to serve
 * those who wait for an item. No wake-up is lost, because both sides first store and then load, all
 * four sequentially consistent:
 *
 *   push                                    pop that is about to wait (holds `lock`)
 *     exchange slot.stamp, full               or POPPERS into waiters
 *     load waiters                            load slot.stamp (ring_pop)
 *
 * In the one order of these four, one of the loads comes after the other side's store: the push
 * sees POPPERS and serves, or the pop sees the item and does not wait. A pop and a push about to
 * wait are the same pair with the roles exchanged. For the end of a closed channel the pair is: the
 * fast pop moves `head`, then loads waiters; close puts CLOSED in, then a waiting pop loads `head`:
 * the last item's pop sees CLOSED and serves, or the waiting one sees that nothing is left.
 *
 * To serve is to take `lock` and move items between the ring and those who wait, oldest first, as
 * long as both sides can. A waiter is claimed before the item is moved, since an item in hand
 * cannot be put back. Now and then the item is then gone, taken by a pop that looked at `waiters`
 * before anybody waited: that waiter is woken with AGAIN and goes on at the head of the list.
 *
 * Nobody spins for a party that was interrupted between taking a position and setting the stamp:
 * to others the slot looks empty (full), they wait, and that party finds them when it is done.
 *
 * Invariants
 *   1. The wait lists change only under `lock`; their bits are set before a node is linked.
 *   2. When `lock` is free and nobody is on its way to serve, no item that is ready stands behind a
 *      waiting pop, and no free slot behind a waiting push.
 *   3. With capacity 0 there is no ring: items go from one party's frame to the other's, under
 * `lock`.
 *   4. After close, `tail` does not move; when `head` has reached it, pops get -EPIPE.
 *
 * Rejected: a fence on each side instead of the exchange (the same price, and TSan cannot follow
 * it); taking the item out before the waiter is claimed (nobody to give it to if that fails).
 */
#include <weft/channel.h>

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "os/fork.h"
#include "sync/selectable.h"

enum { PUSHERS = 1, POPPERS = 2, CLOSED = 4, NOW = 8 };

/* What a woken waiter is told, in node->amount. */
enum { DONE, REFUSED, AGAIN };

#define CAPACITY_MAX ((size_t)1 << 31)

struct slot {
    WFI_ATOMIC(uint64_t) stamp;
    char item[];
};

struct wf_channel {
    /* Constant, but for `waiters`, which changes only when somebody has to wait. */
    size_t capacity, item_bytes, slot_bytes;
    uint64_t closed_bit, lap; /* the lap is twice the bit: both above every index */
    char *slots;
    void (*item_destroy)(void *item, void *arg);
    void *arg;
    WFI_ATOMIC(uint32_t) waiters; /* written under `lock` */

    /* The slow paths'. */
    _Alignas(64) struct wfi_lock lock;
    struct wfi_wait_list pushers, poppers; /* node->slot: the item's place in the waiter's frame */

    _Alignas(64) WFI_ATOMIC(uint64_t) head; /* moved by pops */
    _Alignas(64) WFI_ATOMIC(uint64_t) tail; /* moved by pushes */
};

int wf_channel_create(const struct wf_channel_options *options, struct wf_channel **ret_channel,
                      struct wf_error *reterr)
{
    if (options->item_bytes == 0)
        return wf_error_set(reterr, -EINVAL, "a channel needs the size of its items");
    if (options->capacity > CAPACITY_MAX)
        return wf_error_set(reterr, -EINVAL, "a channel holds at most 2^31 items");
    size_t slot_bytes, slots_bytes, bytes;
    if (__builtin_add_overflow(options->item_bytes, sizeof(struct slot) + 7, &slot_bytes) ||
        __builtin_mul_overflow(slot_bytes &= ~(size_t)7, options->capacity, &slots_bytes) ||
        __builtin_add_overflow(slots_bytes, sizeof(struct wf_channel), &bytes))
        return wf_error_set(reterr, -ENOMEM, NULL);
    struct wf_channel *ch = wfi_zalloc_aligned(64, bytes);
    if (!ch)
        return wf_error_set(reterr, -ENOMEM, NULL);
    ch->capacity = options->capacity;
    ch->item_bytes = options->item_bytes;
    ch->slot_bytes = slot_bytes;
    ch->slots = (char *)(ch + 1);
    ch->item_destroy = options->item_destroy;
    ch->arg = options->arg;
    ch->closed_bit = 1;
    while (ch->closed_bit <= ch->capacity)
        ch->closed_bit <<= 1;
    ch->lap = ch->closed_bit << 1;
    for (size_t i = 0; i < ch->capacity; i++)
        wfi_store_relaxed(&((struct slot *)(void *)(ch->slots + i * slot_bytes))->stamp, i);
    *ret_channel = ch;
    return 0;
}

/* The ring */

static struct slot *slot_at(const struct wf_channel *ch, uint64_t position)
{
    size_t index = (size_t)(position & (ch->closed_bit - 1));
    return (struct slot *)(void *)(ch->slots + index * ch->slot_bytes);
}

static uint64_t position_after(const struct wf_channel *ch, uint64_t position)
{
    size_t index = (size_t)(position & (ch->closed_bit - 1));
    return index + 1 < ch->capacity ? position + 1 : (position & ~(ch->lap - 1)) + ch->lap;
}

/* Returns 0, -EAGAIN when full, -EPIPE when closed. */
static int ring_push(struct wf_channel *ch, const void *item)
{
    uint64_t tail = wfi_load_relaxed(&ch->tail); /* the compare-and-swap checks it */
    for (;;) {
        if (tail & ch->closed_bit)
            return -EPIPE;
        struct slot *slot = slot_at(ch, tail);
        uint64_t stamp = wfi_load(&slot->stamp);
        if (stamp < tail)
            return -EAGAIN;
        if (stamp > tail) {
            tail = wfi_load_relaxed(&ch->tail); /* others have been here: it was an old tail */
        } else if (wfi_cas(&ch->tail, &tail, position_after(ch, tail))) {
            memcpy(slot->item, item, ch->item_bytes);
            wfi_exchange(&slot->stamp, tail + 1);
            return 0;
        }
    }
}

/* Takes the position of the oldest item; NULL when there is none that is ready. */
static struct slot *ring_take(struct wf_channel *ch, uint64_t *ret_position)
{
    uint64_t head = wfi_load_relaxed(&ch->head); /* the compare-and-swap checks it */
    for (;;) {
        if (ch->capacity == 0)
            return NULL;
        struct slot *slot = slot_at(ch, head);
        uint64_t stamp = wfi_load(&slot->stamp);
        if (stamp < head + 1)
            return NULL;
        if (stamp > head + 1) {
            head = wfi_load_relaxed(&ch->head);
        } else if (wfi_cas(&ch->head, &head, position_after(ch, head))) {
            *ret_position = head;
            return slot;
        }
    }
}

/* Returns 0, or -EAGAIN when empty. */
static int ring_pop(struct wf_channel *ch, void *ret_item)
{
    uint64_t position;
    struct slot *slot = ring_take(ch, &position);
    if (!slot)
        return -EAGAIN;
    memcpy(ret_item, slot->item, ch->item_bytes);
    wfi_exchange(&slot->stamp, position + ch->lap);
    return 0;
}

static bool ring_can_pop(const struct wf_channel *ch)
{
    uint64_t head = wfi_load(&ch->head);
    return ch->capacity > 0 && wfi_load(&slot_at(ch, head)->stamp) == head + 1;
}

static bool ring_can_push(const struct wf_channel *ch)
{
    uint64_t tail = wfi_load(&ch->tail);
    return ch->capacity > 0 && wfi_load(&slot_at(ch, tail)->stamp) == tail;
}

/* Closed, and the last item has been taken. */
static bool is_finished(const struct wf_channel *ch)
{
    uint64_t tail = wfi_load(&ch->tail);
    return tail & ch->closed_bit && wfi_load(&ch->head) == (tail & ~ch->closed_bit);
}

/* Destroys what is inside; also called by a push that was under way when the channel was closed. */
static void destroy_items(struct wf_channel *ch)
{
    uint64_t position;
    for (struct slot *slot; (slot = ring_take(ch, &position));) {
        if (ch->item_destroy)
            ch->item_destroy(slot->item, ch->arg);
        wfi_exchange(&slot->stamp, position + ch->lap);
    }
}

/* Those who wait, all under `lock` */

static void refuse_all(struct wfi_wait_list *list, struct wfi_wake_list *woken)
{
    for (struct wfi_wait_node *node; (node = wfi_wait_claim_first(list));) {
        node->amount = REFUSED;
        wfi_wake_list_add(woken, node);
    }
}

static void clear_bits(struct wf_channel *ch)
{
    uint32_t seen = wfi_load_relaxed(&ch->waiters);
    if (seen & PUSHERS && wfi_wait_list_empty(&ch->pushers))
        wfi_fetch_and(&ch->waiters, ~(uint32_t)PUSHERS);
    if (seen & POPPERS && wfi_wait_list_empty(&ch->poppers))
        wfi_fetch_and(&ch->waiters, ~(uint32_t)POPPERS);
}

/* Moves items between the ring and those who wait; see the file's head. */
static void serve(struct wf_channel *ch, struct wfi_wake_list *woken)
{
    bool moved;
    do {
        struct wfi_wait_node *node;
        moved = false;
        while (ring_can_pop(ch) && (node = wfi_wait_claim_first(&ch->poppers))) {
            node->amount = ring_pop(ch, node->slot) ? AGAIN : DONE;
            wfi_wake_list_add(woken, node);
            moved = true;
        }
        while (ring_can_push(ch) && (node = wfi_wait_claim_first(&ch->pushers))) {
            node->amount = ring_push(ch, node->slot) ? AGAIN : DONE;
            wfi_wake_list_add(woken, node);
            moved = true;
        }
    } while (moved);
    if (is_finished(ch))
        refuse_all(&ch->poppers, woken);
    clear_bits(ch);
}

static void serve_and_wake(struct wf_channel *ch)
{
    struct wfi_wake_list woken = {0};
    wfi_lock_lock(&ch->lock);
    serve(ch, &woken);
    bool now = wfi_load_relaxed(&ch->waiters) & NOW;
    wfi_lock_unlock(&ch->lock);
    wfi_wake_all(&woken);
    if (now)
        destroy_items(ch);
}

/* Under `lock`, PUSHERS announced. `again`: this party was at the head of the list before. */
static int push_locked(struct wf_channel *ch, const void *item, bool again,
                       struct wfi_wake_list *woken)
{
    if (wfi_load_relaxed(&ch->waiters) & CLOSED)
        return -EPIPE;
    if (ch->capacity == 0) {
        struct wfi_wait_node *node = wfi_wait_claim_first(&ch->poppers);
        if (!node)
            return -EAGAIN;
        memcpy(node->slot, item, ch->item_bytes);
        node->amount = DONE;
        wfi_wake_list_add(woken, node);
        return 0;
    }
    return again || wfi_wait_list_empty(&ch->pushers) ? ring_push(ch, item) : -EAGAIN;
}

static int pop_locked(struct wf_channel *ch, void *ret_item, bool again,
                      struct wfi_wake_list *woken)
{
    if (wfi_load_relaxed(&ch->waiters) & NOW)
        return -EPIPE;
    if (ch->capacity == 0) {
        struct wfi_wait_node *node = wfi_wait_claim_first(&ch->pushers);
        if (node) {
            memcpy(ret_item, node->slot, ch->item_bytes);
            node->amount = DONE;
            wfi_wake_list_add(woken, node);
            return 0;
        }
    } else if ((again || wfi_wait_list_empty(&ch->poppers)) && ring_pop(ch, ret_item) == 0) {
        return 0;
    }
    return is_finished(ch) ? -EPIPE : -EAGAIN;
}

/* One side of the channel: what push and pop differ in. */
struct side {
    uint32_t bit;      /* ours in `waiters` */
    uint32_t look_for; /* after success: somebody wants to be served */
    const char *reason;
};
static const struct side push_side = {PUSHERS, POPPERS | CLOSED, "channel push"};
static const struct side pop_side = {POPPERS, PUSHERS | CLOSED, "channel pop"};

static struct wfi_wait_list *list_of(struct wf_channel *ch, const struct side *side)
{
    return side == &push_side ? &ch->pushers : &ch->poppers;
}

static int attempt_fast(struct wf_channel *ch, const struct side *side, void *item)
{
    /* relaxed: only to be fair to those who wait; the exchange in the ring decides */
    if (ch->capacity == 0 || wfi_load_relaxed(&ch->waiters) & (side->bit | CLOSED))
        return -EAGAIN;
    int err = side == &push_side ? ring_push(ch, item) : ring_pop(ch, item);
    if (err == 0 && wfi_load(&ch->waiters) & side->look_for)
        serve_and_wake(ch);
    return err == 0 ? 0 : -EAGAIN;
}

static int attempt_locked(struct wf_channel *ch, const struct side *side, void *item, bool again,
                          struct wfi_wake_list *woken)
{
    return side == &push_side ? push_locked(ch, item, again, woken)
                              : pop_locked(ch, item, again, woken);
}

static void announce(struct wf_channel *ch, const struct side *side)
{
    wfi_fetch_or(&ch->waiters, side->bit);
}

static void link_node(struct wf_channel *ch, const struct side *side, struct wfi_wait_node *node,
                      bool again)
{
    if (again)
        wfi_wait_list_push_front(list_of(ch, side), node);
    else
        wfi_wait_list_push(list_of(ch, side), node);
}

static void withdraw(struct wf_channel *ch, const struct side *side, struct wfi_wait_node *node)
{
    wfi_wait_list_remove(list_of(ch, side), node);
    clear_bits(ch);
}

/* Called with `lock` and the bit announced. Returns like push, or -EAGAIN to try again. */
static int wait_once(struct wf_channel *ch, const struct side *side, void *item, bool again,
                     wf_deadline deadline)
{
    struct wfi_waiter *self = wfi_wait_begin(side->reason, ch);
    struct wfi_wait_node node = {.waiter = self, .slot = item};
    link_node(ch, side, &node, again);
    struct wfi_lock *held = &ch->lock;
    int err = wfi_park(self, &held, 1, deadline);
    if (err) {
        wfi_lock_lock(&ch->lock);
        withdraw(ch, side, &node);
        wfi_lock_unlock(&ch->lock);
        return err;
    }
    return node.amount == DONE ? 0 : node.amount == REFUSED ? -EPIPE : -EAGAIN;
}

static int transfer(struct wf_channel *ch, const struct side *side, void *item, bool may_wait,
                    wf_deadline deadline)
{
    if (wfi_likely(attempt_fast(ch, side, item) == 0))
        return 0;
    if (wfi_forked())
        return WF_EFORKED;
    bool again = false;
    for (;;) {
        struct wfi_wake_list woken = {0};
        wfi_lock_lock(&ch->lock);
        announce(ch, side);
        int err = attempt_locked(ch, side, item, again, &woken);
        if (err == -EAGAIN && may_wait) {
            err = wait_once(ch, side, item, again, deadline);
            if (err != -EAGAIN)
                return err;
            again = true;
            continue;
        }
        serve(ch, &woken);
        wfi_lock_unlock(&ch->lock);
        wfi_wake_all(&woken);
        return err;
    }
}

int wf_channel_push(struct wf_channel *channel, const void *item, wf_deadline deadline)
{
    return transfer(channel, &push_side, (void *)(uintptr_t)item, true, deadline);
}

int wf_channel_pop(struct wf_channel *channel, void *ret_item, wf_deadline deadline)
{
    return transfer(channel, &pop_side, ret_item, true, deadline);
}

int wf_channel_try_push(struct wf_channel *channel, const void *item)
{
    return transfer(channel, &push_side, (void *)(uintptr_t)item, false, WF_NOW);
}

int wf_channel_try_pop(struct wf_channel *channel, void *ret_item)
{
    return transfer(channel, &pop_side, ret_item, false, WF_NOW);
}

void wf_channel_close(struct wf_channel *ch, enum wf_close_how how)
{
    bool now = how == WF_CLOSE_NOW;
    struct wfi_wake_list woken = {0};
    wfi_lock_lock(&ch->lock);
    wfi_fetch_or(&ch->tail, ch->closed_bit);
    wfi_fetch_or(&ch->waiters, now ? CLOSED | NOW : CLOSED);
    refuse_all(&ch->pushers, &woken);
    if (now)
        refuse_all(&ch->poppers, &woken);
    serve(ch, &woken);
    wfi_lock_unlock(&ch->lock);
    wfi_wake_all(&woken);
    if (now)
        destroy_items(ch);
}

void wf_channel_destroy(struct wf_channel *ch)
{
    if (!ch)
        return;
    wfi_lock_lock(&ch->lock);
    wfi_assert(wfi_wait_list_empty(&ch->pushers) && wfi_wait_list_empty(&ch->poppers),
               "nobody waits on a channel when it is destroyed");
    wfi_lock_unlock(&ch->lock);
    destroy_items(ch);
    wfi_free(ch);
}

size_t wf_channel_len(const struct wf_channel *ch)
{
    uint64_t head = wfi_load(&ch->head);
    uint64_t tail = wfi_load(&ch->tail) & ~ch->closed_bit;
    uint64_t index = ch->closed_bit - 1;
    uint64_t laps = tail / ch->lap - head / ch->lap;
    int64_t len = (int64_t)(laps * ch->capacity + (tail & index) - (head & index));
    return len < 0 ? 0 : (uint64_t)len > ch->capacity ? ch->capacity : (size_t)len;
}

/* Select */

static struct wfi_lock *clause_lock(struct wf_clause *clause)
{
    return &((struct wf_channel *)clause->object)->lock;
}

static bool clause_attempt(struct wf_clause *clause, const struct side *side, bool locked,
                           bool again, struct wfi_wake_list *woken)
{
    struct wf_channel *ch = clause->object;
    if (!locked) {
        clause->err = attempt_fast(ch, side, clause->item);
        return clause->err == 0;
    }
    clause->err = attempt_locked(ch, side, clause->item, again, woken);
    if (clause->err == -EAGAIN)
        return false;
    serve(ch, woken);
    return true;
}

static bool clause_conclude(struct wf_clause *clause, struct wfi_wait_node *node)
{
    clause->err = node->amount == DONE ? 0 : -EPIPE;
    return node->amount != AGAIN;
}

static bool push_attempt(struct wf_clause *clause, bool locked, bool again,
                         struct wfi_wake_list *woken)
{
    return clause_attempt(clause, &push_side, locked, again, woken);
}

static bool pop_attempt(struct wf_clause *clause, bool locked, bool again,
                        struct wfi_wake_list *woken)
{
    return clause_attempt(clause, &pop_side, locked, again, woken);
}

static void push_announce(struct wf_clause *clause)
{
    announce(clause->object, &push_side);
}

static void pop_announce(struct wf_clause *clause)
{
    announce(clause->object, &pop_side);
}

static void push_link(struct wf_clause *clause, struct wfi_wait_node *node, bool again)
{
    link_node(clause->object, &push_side, node, again);
}

static void pop_link(struct wf_clause *clause, struct wfi_wait_node *node, bool again)
{
    link_node(clause->object, &pop_side, node, again);
}

static void push_withdraw(struct wf_clause *clause, struct wfi_wait_node *node)
{
    withdraw(clause->object, &push_side, node);
}

static void pop_withdraw(struct wf_clause *clause, struct wfi_wait_node *node)
{
    withdraw(clause->object, &pop_side, node);
}

static const struct wfi_select_ops push_ops = {
    clause_lock, push_attempt, push_announce, push_link, push_withdraw, clause_conclude,
};
static const struct wfi_select_ops pop_ops = {
    clause_lock, pop_attempt, pop_announce, pop_link, pop_withdraw, clause_conclude,
};

struct wf_clause wf_channel_push_clause(struct wf_channel *channel, const void *item)
{
    return (struct wf_clause){&push_ops, channel, (void *)(uintptr_t)item, 0};
}

struct wf_clause wf_channel_pop_clause(struct wf_channel *channel, void *ret_item)
{
    return (struct wf_clause){&pop_ops, channel, ret_item, 0};
}
