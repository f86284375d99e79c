/* SPDX-License-Identifier: MIT */
#include "proc/shared_ring.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "os/cpu.h"
#include "proc/arena.h"
#include "proc/shared_wait.h"
#include "sched/park.h"

enum phase { FREE, WRITING, FULL, HOLE, READING, CLOSED };

/* A place: turn << 24 | index. A state: turn << 13 | phase << 10 | member. Turns have 40 bits, and
 * are compared by their difference. */
enum { INDEX_BITS = 24, MEMBER_BITS = 10, PHASE_BITS = 3, STATE_SHIFT = MEMBER_BITS + PHASE_BITS };
_Static_assert(WFI_MEMBERS_MAX < 1 << MEMBER_BITS, "a state has room for a member");
_Static_assert(WFI_RING_CAPACITY_MAX < 1 << INDEX_BITS, "a place has room for an index");
#define TURN_MASK (UINT64_MAX >> INDEX_BITS)

enum { WAITERS = 1, ONE = 2 /* change of a word */ };

/* Looks before a thread sleeps: waking one costs 5 to 50 us across CPUs, a look some ns. */
enum { SPINS = 400, SPINS_FIBER = 20 };

struct slot {
    WFI_ATOMIC(uint64_t) state;
};

/* Slots of rings of items of any size. */
struct sized_slot {
    WFI_ATOMIC(uint64_t) state;
    WFI_ATOMIC(uint64_t) block; /* offset, 0: the item is in the slot */
    WFI_ATOMIC(uint32_t) len_low, len_high;
};

static size_t rounded(size_t bytes)
{
    return (bytes + 7) & ~(size_t)7;
}

size_t wfi_shared_ring_bytes(size_t capacity, size_t item_bytes)
{
    size_t stride = item_bytes ? sizeof(struct slot) : sizeof(struct sized_slot);
    if (item_bytes > SIZE_MAX / 4)
        return 0;
    stride += rounded(item_bytes ? item_bytes : WFI_RING_INLINE);
    if (capacity == 0 || capacity > WFI_RING_CAPACITY_MAX || stride > UINT32_MAX ||
        stride > (SIZE_MAX - sizeof(struct wfi_shared_ring)) / capacity)
        return 0;
    return sizeof(struct wfi_shared_ring) + capacity * stride;
}

void wfi_shared_ring_init(struct wfi_shared_ring *ring, size_t capacity, size_t item_bytes)
{
    ring->capacity = (uint32_t)capacity;
    ring->any_size = item_bytes == 0;
    ring->item_bytes = item_bytes;
    ring->data_at = (uint32_t)(ring->any_size ? sizeof(struct sized_slot) : sizeof(struct slot));
    ring->stride = ring->data_at + (uint32_t)rounded(item_bytes ? item_bytes : WFI_RING_INLINE);
    /* A zeroed slot is free for the first turn. */
}

static inline struct slot *slot_at(struct wfi_shared_ring *ring, uint64_t place)
{
    size_t index = place & ((1u << INDEX_BITS) - 1);
    return (struct slot *)(void *)((char *)(ring + 1) + index * ring->stride);
}

static inline struct sized_slot *sized(struct slot *slot)
{
    return (struct sized_slot *)(void *)slot;
}

static inline char *data_of(struct wfi_shared_ring *ring, struct slot *slot)
{
    return (char *)slot + ring->data_at;
}

static inline uint64_t turn_of_place(uint64_t place)
{
    return place >> INDEX_BITS;
}

static inline uint64_t make_state(uint64_t turn, enum phase phase, uint32_t member)
{
    return (turn & TURN_MASK) << STATE_SHIFT | (uint64_t)phase << MEMBER_BITS | member;
}

static inline enum phase phase_of(uint64_t state)
{
    return (enum phase)(state >> MEMBER_BITS & ((1 << PHASE_BITS) - 1));
}

static inline uint32_t member_of(uint64_t state)
{
    return (uint32_t)state & ((1 << MEMBER_BITS) - 1);
}

/* Below, at or above 0 as the slot's turn is before, at or after `turn`. */
static inline int64_t turns_ahead(uint64_t state, uint64_t turn)
{
    return (int64_t)(((state >> STATE_SHIFT) - turn) << INDEX_BITS);
}

/* Moves head or tail on from `place`, unless somebody else did. */
static inline void advance(struct wfi_shared_ring *ring, WFI_ATOMIC(uint64_t) * end, uint64_t place)
{
    uint64_t index = place & ((1u << INDEX_BITS) - 1);
    uint64_t next =
        index + 1 == ring->capacity ? (turn_of_place(place) + 1) << INDEX_BITS : place + 1;
    wfi_cas(end, &place, next);
}

/* Telling sleepers */

/* After something was published by a sequentially consistent store. */
static inline void notify(WFI_ATOMIC(uint32_t) * word)
{
    uint32_t seen = wfi_load(word);
    while (seen & WAITERS)
        if (wfi_cas(word, &seen, (seen + ONE) & ~(uint32_t)WAITERS)) {
            wfi_shared_wake(word, 1);
            return;
        }
}

static void notify_all(WFI_ATOMIC(uint32_t) * word)
{
    wfi_fetch_add(word, ONE);
    wfi_shared_wake(word, WFI_WAKE_ALL);
}

/* Announces that the caller will sleep; what it looks at from here on is in the full order. */
static uint32_t announce(WFI_ATOMIC(uint32_t) * word)
{
    uint32_t seen = wfi_fetch_or(word, WAITERS) | WAITERS;
    wfi_fence(); /* the bit before the look: pairs with the exchange before the load in notify */
    return seen;
}

uint32_t wfi_shared_ring_await_items(struct wfi_shared_ring *ring)
{
    return announce(&ring->items);
}

void wfi_shared_ring_pass_on(struct wfi_shared_ring *ring)
{
    if (wfi_shared_ring_peek(ring) != -EAGAIN)
        notify(&ring->items);
}

/* Producers */

/* Claims the slot at the head. Returns 0, -EAGAIN when the ring is full, or -EPIPE. */
static inline int claim_free(struct wfi_shared_ring *ring, uint32_t self, struct slot **ret_slot,
                             uint64_t *ret_turn)
{
    for (;;) {
        if (wfi_unlikely(wfi_load_acquire(&ring->closed)))
            return -EPIPE;
        uint64_t place = wfi_load_acquire(&ring->head); /* acquire: pairs with advance */
        uint64_t turn = turn_of_place(place);
        struct slot *slot = slot_at(ring, place);
        uint64_t state = wfi_load_acquire(&slot->state); /* acquire: pairs with give_back */
        int64_t ahead = turns_ahead(state, turn);
        if (ahead < 0) {
            if (wfi_load(&ring->head) == place)
                return -EAGAIN;
            continue;
        }
        if (ahead == 0 && phase_of(state) == CLOSED)
            return -EPIPE;
        bool mine = ahead == 0 && phase_of(state) == FREE;
        if (mine && !wfi_cas(&slot->state, &state, make_state(turn, WRITING, self)))
            continue;
        advance(ring, &ring->head, place);
        if (mine) {
            *ret_slot = slot;
            *ret_turn = turn;
            return 0;
        }
    }
}

/* `block` is the item if it does not fit into a slot; the ring has it after 0. */
static inline int try_push(struct wfi_shared_ring *ring, const void *item, size_t len, void *block,
                           uint32_t self)
{
    struct slot *slot;
    uint64_t turn;
    int err = claim_free(ring, self, &slot, &turn);
    if (err)
        return err;
    if (wfi_unlikely(ring->any_size)) {
        wfi_store_relaxed(&sized(slot)->len_low, (uint32_t)len); /* published with the state */
        wfi_store_relaxed(&sized(slot)->len_high, (uint32_t)(len >> 32));
        if (block) {
            /* Named by the slot before it is the ring's, so that it is somebody's at any time. */
            wfi_store(&sized(slot)->block, wfi_arena_offset(block));
            wfi_arena_set_owner(block, WFI_OWNER_QUEUE);
        } else if (len) {
            memcpy(data_of(ring, slot), item, len);
        }
    } else if (ring->item_bytes == sizeof(uint64_t)) {
        memcpy(data_of(ring, slot), item, sizeof(uint64_t));
    } else {
        memcpy(data_of(ring, slot), item, len);
    }
    /* In the full order, before the look at the sleepers' word. */
    wfi_exchange(&slot->state, make_state(turn, FULL, 0));
    notify(&ring->items);
    return 0;
}

/* Checks the size, and allocates the block of a large item. */
static inline int prepare(struct wfi_shared_ring *ring, const void *item, size_t len,
                          void **ret_block)
{
    *ret_block = NULL;
    if (!ring->any_size)
        return len == ring->item_bytes ? 0 : -EINVAL;
    if (len <= WFI_RING_INLINE)
        return 0;
    if (len == SIZE_MAX)
        return WF_ETOOBIG;
    int err = wfi_arena_alloc(WFI_BLOCK_BYTES, len + 1, ret_block, NULL);
    if (!err)
        memcpy(*ret_block, item, len);
    return err;
}

static int spins(wf_deadline deadline)
{
    if (wfi_cpu_alone() || deadline.ns <= 0)
        return 0;
    return wfi_on_fiber() ? SPINS_FIBER : SPINS;
}

static int push_slowly(struct wfi_shared_ring *ring, const void *item, size_t len, void *block,
                       uint32_t self, const char *reason, const void *object, wf_deadline deadline)
{
    bool slept = false;
    for (int left = spins(deadline); left > 0; left--) {
        wfi_cpu_relax();
        int err = try_push(ring, item, len, block, self);
        if (err != -EAGAIN)
            return err;
    }
    for (;;) {
        uint32_t seen = announce(&ring->room);
        int err = try_push(ring, item, len, block, self);
        if (err != -EAGAIN) {
            if (slept && wfi_shared_ring_len(ring) < ring->capacity)
                notify(&ring->room);
            return err;
        }
        err = wfi_shared_wait(&ring->room, seen, reason, object, deadline);
        if (err)
            return err;
        slept = true;
    }
}

int wfi_shared_ring_push(struct wfi_shared_ring *ring, const void *item, size_t len,
                         const char *reason, const void *object, wf_deadline deadline)
{
    uint32_t self = wfi_arena_self();
    void *block;
    int err = self ? prepare(ring, item, len, &block) : wfi_arena_refusal(NULL);
    if (wfi_unlikely(err))
        return err;
    err = try_push(ring, item, len, block, self);
    if (wfi_unlikely(err == -EAGAIN))
        err = push_slowly(ring, item, len, block, self, reason, object, deadline);
    if (wfi_unlikely(err && block))
        wfi_arena_free(block);
    return err;
}

int wfi_shared_ring_try_push(struct wfi_shared_ring *ring, const void *item, size_t len)
{
    uint32_t self = wfi_arena_self();
    void *block;
    int err = self ? prepare(ring, item, len, &block) : wfi_arena_refusal(NULL);
    if (err)
        return err;
    err = try_push(ring, item, len, block, self);
    if (err && block)
        wfi_arena_free(block);
    return err;
}

/* Consumers */

static inline void tell_room(struct wfi_shared_ring *ring)
{
    notify(&ring->room);
    /* Others may wait for this slot to be able to tell that nothing can come. */
    if (wfi_unlikely(wfi_load(&ring->closed)))
        notify_all(&ring->items);
}

/* The slot goes to the next turn. In the full order, before the look at the sleepers' word. */
static inline void give_back(struct wfi_shared_ring *ring, struct slot *slot, uint64_t turn)
{
    wfi_exchange(&slot->state, make_state(turn + 1, FREE, 0));
    tell_room(ring);
}

static size_t len_of(struct wfi_shared_ring *ring, struct slot *slot)
{
    if (!ring->any_size)
        return ring->item_bytes;
    return wfi_load_relaxed(&sized(slot)->len_low) |
           (size_t)wfi_load_relaxed(&sized(slot)->len_high) << 32;
}

/* What is at the tail. Returns 0 with a slot that was FULL in `state`, -EAGAIN, or -EPIPE. */
static inline int find_full(struct wfi_shared_ring *ring, struct slot **ret_slot,
                            uint64_t *ret_state, uint64_t *ret_place)
{
    for (;;) {
        uint32_t closed = wfi_load_acquire(&ring->closed);
        if (wfi_unlikely(closed == WF_CLOSE_NOW + 1))
            return -EPIPE;
        uint64_t place = wfi_load_acquire(&ring->tail); /* acquire: pairs with advance */
        uint64_t turn = turn_of_place(place);
        struct slot *slot = slot_at(ring, place);
        uint64_t state = wfi_load_acquire(&slot->state); /* acquire: pairs with try_push */
        int64_t ahead = turns_ahead(state, turn);
        enum phase phase = phase_of(state);
        if (ahead == 0 && phase == FULL) {
            *ret_slot = slot;
            *ret_state = state;
            *ret_place = place;
            return 0;
        }
        if (ahead > 0 || (ahead == 0 && phase == READING)) {
            advance(ring, &ring->tail, place);
        } else if (ahead == 0 && phase == HOLE) {
            if (wfi_cas(&slot->state, &state, make_state(turn + 1, FREE, 0)))
                tell_room(ring);
        } else if (ahead == 0 && phase == CLOSED) {
            return -EPIPE;
        } else if (ahead == 0 && phase == FREE && closed) {
            wfi_cas(&slot->state, &state, make_state(turn, CLOSED, 0));
        } else if (wfi_load(&ring->tail) == place) {
            return -EAGAIN; /* free, being written to, or still read in the turn before */
        }
    }
}

int wfi_shared_ring_peek(struct wfi_shared_ring *ring)
{
    struct slot *slot;
    uint64_t state, place;
    return find_full(ring, &slot, &state, &place);
}

/* Where a popped item goes: into the caller's memory, or out as it is. */
struct target {
    void *item;
    size_t capacity;
    size_t *ret_len;
    wf_bytes *ret_taken; /* NULL: into `item` */
    void *spare;         /* for a small item that is taken; used up by success */
};

/* The caller's process has the block now. Again: named by the slot until it is somebody's. */
static void *take_block(struct slot *slot, uint32_t self)
{
    uint64_t offset = wfi_load(&sized(slot)->block);
    if (!offset)
        return NULL;
    void *block = wfi_arena_at_trusted(offset);
    wfi_arena_set_owner(block, self);
    wfi_store(&sized(slot)->block, 0);
    return block;
}

static void pop_sized(struct wfi_shared_ring *ring, struct slot *slot, uint64_t turn, size_t len,
                      struct target *to, uint32_t self)
{
    void *block = take_block(slot, self);
    if (block) {
        give_back(ring, slot, turn);
        if (to->ret_taken) {
            *to->ret_taken = (wf_bytes){block, len};
            return;
        }
        memcpy(to->item, block, len);
        wfi_arena_free(block);
        return;
    }
    void *item = to->ret_taken ? to->spare : to->item;
    if (len)
        memcpy(item, data_of(ring, slot), len);
    give_back(ring, slot, turn);
    if (to->ret_taken) {
        *to->ret_taken = (wf_bytes){item, len};
        to->spare = NULL;
    }
}

static inline int try_pop(struct wfi_shared_ring *ring, struct target *to, uint32_t self)
{
    struct slot *slot;
    uint64_t state, place, turn;
    size_t len;
    for (;;) {
        int err = find_full(ring, &slot, &state, &place);
        if (err)
            return err;
        turn = turn_of_place(place);
        len = len_of(ring, slot);
        if (wfi_unlikely(!to->ret_taken && len > to->capacity)) {
            if (wfi_load(&slot->state) != state)
                continue; /* then the length was another item's */
            if (to->ret_len)
                *to->ret_len = len;
            return -EMSGSIZE;
        }
        if (wfi_cas(&slot->state, &state, make_state(turn, READING, self)))
            break;
    }
    advance(ring, &ring->tail, place);
    if (wfi_unlikely(ring->any_size)) {
        pop_sized(ring, slot, turn, len, to, self);
    } else {
        if (len == sizeof(uint64_t))
            memcpy(to->item, data_of(ring, slot), sizeof(uint64_t));
        else
            memcpy(to->item, data_of(ring, slot), len);
        give_back(ring, slot, turn);
    }
    if (to->ret_len)
        *to->ret_len = len;
    return 0;
}

static int pop_slowly(struct wfi_shared_ring *ring, struct target *to, uint32_t self,
                      const char *reason, const void *object, wf_deadline deadline)
{
    bool slept = false;
    for (int left = spins(deadline); left > 0; left--) {
        wfi_cpu_relax();
        int err = try_pop(ring, to, self);
        if (err != -EAGAIN)
            return err;
    }
    for (;;) {
        uint32_t seen = announce(&ring->items);
        int err = try_pop(ring, to, self);
        if (err != -EAGAIN) {
            if (slept)
                wfi_shared_ring_pass_on(ring);
            return err;
        }
        err = wfi_shared_wait(&ring->items, seen, reason, object, deadline);
        if (err)
            return err;
        slept = true;
    }
}

static int pop(struct wfi_shared_ring *ring, struct target *to, uint32_t self, const char *reason,
               const void *object, wf_deadline deadline)
{
    int err = try_pop(ring, to, self);
    if (wfi_unlikely(err == -EAGAIN))
        err = pop_slowly(ring, to, self, reason, object, deadline);
    return err;
}

int wfi_shared_ring_pop(struct wfi_shared_ring *ring, void *item, size_t capacity, size_t *ret_len,
                        wf_bytes *ret_taken, const char *reason, const void *object,
                        wf_deadline deadline)
{
    uint32_t self = wfi_arena_self();
    if (!self)
        return wfi_arena_refusal(NULL);
    struct target to = {item, capacity, ret_len, ret_taken, NULL};
    if (!ret_taken)
        return pop(ring, &to, self, reason, object, deadline);
    if (!ring->any_size)
        return -EINVAL;
    /* Before the claim, after which nothing may fail. */
    int err = wfi_arena_alloc(WFI_BLOCK_BYTES, WFI_RING_INLINE + 1, &to.spare, NULL);
    if (err)
        return err;
    err = pop(ring, &to, self, reason, object, deadline);
    wfi_arena_free(to.spare);
    return err;
}

int wfi_shared_ring_try_pop(struct wfi_shared_ring *ring, void *item, size_t capacity,
                            size_t *ret_len)
{
    uint32_t self = wfi_arena_self();
    struct target to = {item, capacity, ret_len, NULL, NULL};
    return self ? try_pop(ring, &to, self) : wfi_arena_refusal(NULL);
}

/* The rest */

void wfi_shared_ring_close(struct wfi_shared_ring *ring, enum wf_close_how how)
{
    uint32_t seen = wfi_load(&ring->closed);
    while (seen < (uint32_t)how + 1 && !wfi_cas(&ring->closed, &seen, (uint32_t)how + 1))
        ;
    notify_all(&ring->items);
    notify_all(&ring->room);
}

size_t wfi_shared_ring_len(const struct wfi_shared_ring *ring)
{
    uint64_t tail = wfi_load(&ring->tail), head = wfi_load(&ring->head);
    /* Below 0 where consumers have passed a slot whose producer has yet to move the head, or was
     * killed before it did: the next producer does. */
    int64_t turns = (int64_t)((turn_of_place(head) - turn_of_place(tail)) << INDEX_BITS) /
                    ((int64_t)1 << INDEX_BITS);
    int64_t apart =
        (int64_t)(head & ((1u << INDEX_BITS) - 1)) - (int64_t)(tail & ((1u << INDEX_BITS) - 1));
    int64_t len = turns * ring->capacity + apart;
    /* The two are read one after the other. */
    return len < 0 ? 0 : len > (int64_t)ring->capacity ? ring->capacity : (size_t)len;
}

/* With the arena's lock held: the block is `member`'s again, and no longer the slot's. */
static void untie(struct slot *slot, uint32_t member)
{
    uint64_t offset = wfi_load(&sized(slot)->block);
    if (offset) {
        wfi_arena_set_owner(wfi_arena_at_trusted(offset), member);
        wfi_store(&sized(slot)->block, 0);
    }
}

void wfi_shared_ring_died(struct wfi_shared_ring *ring, uint32_t member)
{
    for (uint64_t i = 0; i < ring->capacity; i++) {
        struct slot *slot = slot_at(ring, i);
        uint64_t state = wfi_load(&slot->state);
        uint64_t turn = state >> STATE_SHIFT;
        if (member_of(state) != member)
            continue;
        if (ring->any_size)
            untie(slot, member); /* the sweep frees it with what else was the dead's */
        if (phase_of(state) == WRITING)
            wfi_store(&slot->state, make_state(turn, HOLE, 0));
        else
            wfi_store(&slot->state, make_state(turn + 1, FREE, 0));
    }
    notify_all(&ring->items);
    notify_all(&ring->room);
}

void wfi_shared_ring_fini(struct wfi_shared_ring *ring)
{
    for (uint64_t i = 0; ring->any_size && i < ring->capacity; i++) {
        struct slot *slot = slot_at(ring, i);
        uint64_t offset = wfi_load(&sized(slot)->block);
        untie(slot, wfi_arena_self());
        if (offset)
            wfi_arena_free_locked(wfi_arena_at_trusted(offset));
    }
}
