/* SPDX-License-Identifier: MIT */
/*
 * What a pool and one worker share: a ring of slots, and two slabs for what does not fit into them.
 *
 * The pool fills slots in order and publishes them (`tail`); the worker works through them in the
 * same order and says how far it came (`done`). A slot holds a task on its way there and its
 * outcome on its way back, so one ring serves both ways, and what was not begun when the worker
 * died is what lies between.
 *
 * Who writes what
 *   pool     tail, wanted, freed, stop; of a slot all but what follows, before it is published
 *   worker   done, ready, failure, resident, retiring; of a slot the outcome, before it is done
 *   both     a slot's state: ASSIGNED by the pool; then to STARTED by the worker or to REVOKED by
 *            the pool, by compare-and-swap, so a task that was taken back is not begun and one that
 *            was begun is not taken back; both doorbells
 *
 * The pool believes nothing that it reads here without checking, and nothing it needs is only here:
 * a worker that has run wild can spoil its own tasks, not the pool. What it has read is copied.
 *
 * The doorbells. A side that found nothing to do announces that it sleeps, fences, and looks again;
 * the other publishes, fences, and looks for the announcement. Both orders are store-then-load with
 * a fence in between, so at least one sees the other's store: either the sleeper finds the work, or
 * the publisher the sleeper. Who takes the announcement away (by exchange) wakes.
 *
 *     worker                                   pool
 *     asleep = 1                               tail = n + 1
 *     fence                                    fence
 *     if tail == n: sleep while asleep == 1    if asleep, exchanged for 0: wake
 *
 * and the same with `wanted` for asleep and `done` for tail, where the pool sleeps on a descriptor.
 */
#ifndef WFI_PROC_RING_H
#define WFI_PROC_RING_H

#include <weft/task.h>

#include "base/atomic.h"

enum {
    WFI_RING_SLOTS = 256, /* a power of two */
    WFI_RING_INLINE = 96, /* bytes of arguments, and of the result, in the slot */
    /* Each way. What is left of a page here is never touched, so a worker with small tasks has
     * none of it. */
    WFI_RING_SLAB = 1 << 20,
    WFI_RING_PAYLOAD_MAX = 1 << 16, /* what is larger has memory of its own */
};

enum wfi_slot_state {
    WFI_SLOT_FREE,
    WFI_SLOT_ASSIGNED,
    WFI_SLOT_STARTED,
    WFI_SLOT_REVOKED,
};

enum wfi_slot_place {
    WFI_PLACE_INLINE,
    WFI_PLACE_SLAB,
    WFI_PLACE_MEMORY, /* a descriptor came over the payload socket */
};

enum wfi_slot_flag {
    WFI_SLOT_CHUNK = 1,  /* `items` calls of one task */
    WFI_SLOT_PREFIX = 2, /* a struct wfi_prefix stands before the arguments */
};

/* What a task takes along besides its arguments, where it does; padded to eight bytes. */
struct wfi_prefix {
    uint32_t bytes;        /* of the prefix with all that follows */
    uint32_t locals_bytes; /* of context locals, behind the texts */
    uint32_t
        module_bytes; /* of the path of the module that defines it, with its NUL; 0: this image */
    uint32_t task_bytes; /* of the task's registered name, with its NUL, for modules */
    unsigned char module_id[32];
    char name[48]; /* of the submit options, or empty */
};

enum wfi_outcome {
    WFI_OUTCOME_DONE = 1,
    WFI_OUTCOME_FAILED, /* `code`, and a struct wf_error where the result would be, or nothing */
    WFI_OUTCOME_CANCELED,
    WFI_OUTCOME_REVOKED,
};

struct wfi_slot {
    WFI_ATOMIC(uint32_t) state;
    uint32_t flags, items, args_place;
    const struct wf_task_type *type;
    uint64_t args_offset, args_bytes;
    int64_t deadline_ns;
    WFI_ATOMIC(int64_t) started_ns;
    int64_t ran_ns;

    _Alignas(64) uint32_t outcome;
    int32_t code;
    uint32_t result_place;
    uint64_t result_offset, result_bytes;
    uint64_t result_end; /* in the slab: the position that frees it */

    _Alignas(32) unsigned char args[WFI_RING_INLINE];
    unsigned char result[WFI_RING_INLINE];
};

enum wfi_worker_ready { WFI_WORKER_COMING, WFI_WORKER_READY, WFI_WORKER_FAILED };

struct wfi_ring {
    _Alignas(64) WFI_ATOMIC(uint32_t) tail;
    WFI_ATOMIC(uint32_t) stop;  /* no more will come */
    WFI_ATOMIC(uint64_t) freed; /* of the results' slab */

    _Alignas(64) WFI_ATOMIC(uint32_t) asleep; /* the worker's */

    _Alignas(64) WFI_ATOMIC(uint32_t) done;
    WFI_ATOMIC(uint32_t) ready;
    WFI_ATOMIC(uint32_t) retiring; /* the worker has grown too large, and begins nothing more */

    _Alignas(64) WFI_ATOMIC(uint32_t) wanted; /* the pool's: a bell is to be rung */

    struct wf_error failure; /* of the initialiser, before `ready` says so */

    _Alignas(64) struct wfi_slot slots[WFI_RING_SLOTS];
    _Alignas(4096) unsigned char args[WFI_RING_SLAB];
    unsigned char results[WFI_RING_SLAB];
};

static inline struct wfi_slot *wfi_ring_slot(struct wfi_ring *ring, uint32_t number)
{
    return &ring->slots[number % WFI_RING_SLOTS];
}

/* The pool's side */

/* Publishes all slots before `tail`. True when the worker has to be woken. */
static inline bool wfi_ring_publish(struct wfi_ring *ring, uint32_t tail)
{
    /* release: pairs with the acquire in wfi_ring_has, for the slot */
    wfi_store_release(&ring->tail, tail);
    wfi_fence(); /* the tail before the look at `asleep`: see the head */
    return wfi_load_relaxed(&ring->asleep) && wfi_exchange(&ring->asleep, 0);
}

/* Takes a task back. False: it has begun. */
static inline bool wfi_ring_revoke(struct wfi_slot *slot)
{
    uint32_t assigned = WFI_SLOT_ASSIGNED;
    return wfi_cas(&slot->state, &assigned, WFI_SLOT_REVOKED);
}

/* How far the worker says it is. */
static inline uint32_t wfi_ring_done(struct wfi_ring *ring)
{
    /* acquire: pairs with the release in wfi_ring_finish, for the outcome */
    return wfi_load_acquire(&ring->done);
}

/* Announces that the pool sleeps; it looks at `done` once more after this. */
static inline void wfi_ring_want(struct wfi_ring *ring)
{
    wfi_store_relaxed(&ring->wanted, 1);
    wfi_fence(); /* the announcement before the look at `done`: see the head */
}

/* The worker's side */

static inline bool wfi_ring_has(struct wfi_ring *ring, uint32_t number)
{
    /* acquire: pairs with the release in wfi_ring_publish */
    return wfi_load_acquire(&ring->tail) != number;
}

/* Announces that the worker sleeps. False: there is something after all, or the end. */
static inline bool wfi_ring_announce(struct wfi_ring *ring, uint32_t number)
{
    wfi_store_relaxed(&ring->asleep, 1);
    wfi_fence(); /* the announcement before the look at `tail`: see the head */
    if (!wfi_ring_has(ring, number) && !wfi_load(&ring->stop))
        return true;
    wfi_store_relaxed(&ring->asleep, 0);
    return false;
}

/* False: the task was taken back. */
static inline bool wfi_ring_start(struct wfi_slot *slot)
{
    uint32_t assigned = WFI_SLOT_ASSIGNED;
    return wfi_cas(&slot->state, &assigned, WFI_SLOT_STARTED);
}

/* Everything before `done` has ended. True when the pool has to be told. */
static inline bool wfi_ring_finish(struct wfi_ring *ring, uint32_t done)
{
    /* release: pairs with the acquire in wfi_ring_done */
    wfi_store_release(&ring->done, done);
    wfi_fence(); /* `done` before the look at `wanted`: see the head */
    return wfi_load_relaxed(&ring->wanted) && wfi_exchange(&ring->wanted, 0);
}

#endif
