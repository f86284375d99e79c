/* SPDX-License-Identifier: MIT */
/*
 * The ring under shared queues and pipes: first in, first out, any number of producers and
 * consumers in any number of processes, none of which may hold up the others by dying.
 *
 * Each slot has a state of its own: a turn (how often the ring has come round), a phase and the
 * process that is at it.
 *
 *     (t, FREE) -> (t, WRITING, me) -> (t, FULL) -> (t, READING, me) -> (t + 1, FREE)
 *
 * A producer claims the slot at `head` by one compare-and-swap on the slot, not on the head; then
 * the head is moved on, by the producer or by whoever finds it behind. Consumers do the same at
 * `tail`. So a claim and the name of the claimer are one store, and a death leaves nothing that
 * cannot be told from a slow party: the sweep makes (t, WRITING, dead) a HOLE, which consumers pass
 * over, and (t, READING, dead) free. (In a ring whose head is claimed instead, as in Vyukov's,
 * nobody knows whose a claimed slot is.)
 *
 * Closing: a consumer that finds the ring closed and the slot at its tail free makes that slot
 * CLOSED, which a producer that has not seen the close yet cannot claim any more. So nothing goes
 * in after a consumer was told that nothing comes.
 *
 * Sleeping: `items` and `room` are counters with the bit WAITERS. Who waits sets the bit, looks
 * again, and sleeps for the word to change. Who publishes looks at the word afterwards, in the full
 * order of both; if the bit is set it takes it away, counts, and wakes one. The one that was woken
 * sets the bit again, because others may still sleep, and, if it got what it came for and there is
 * more, wakes the next. One that leaves passes its wake-up on (proc/shared_wait.h), and the sweep
 * wakes all, so there is always one on its way while there is something to be had and a sleeper.
 *
 * Items of any size that do not fit into the slot lie in a block of the arena, which is the
 * producer's until the slot says FULL, the ring's until a consumer claims it, and then the
 * consumer's. The slot names the block all the while that it is the ring's.
 */
#ifndef WFI_PROC_SHARED_RING_H
#define WFI_PROC_SHARED_RING_H

#include <stddef.h>

#include <weft/close.h>
#include <weft/task.h>
#include "base/atomic.h"

enum { WFI_RING_CAPACITY_MAX = (1 << 24) - 1, WFI_RING_INLINE = 40 };

struct wfi_shared_ring {
    /* Constant. */
    uint32_t capacity;
    uint32_t stride;             /* bytes of a slot */
    uint32_t data_at;            /* of an item in its slot */
    uint32_t any_size;           /* items have a block and a length of their own */
    uint64_t item_bytes;         /* of all, unless any_size */
    WFI_ATOMIC(uint32_t) closed; /* 0, or enum wf_close_how plus one */
    char apart_1[36];            /* what producers write, consumers write, sleepers write */
    WFI_ATOMIC(uint64_t) head;
    char apart_2[56];
    WFI_ATOMIC(uint64_t) tail;
    char apart_3[56];
    WFI_ATOMIC(uint32_t) items;
    WFI_ATOMIC(uint32_t) room;
    char apart_4[56];
    /* The slots follow. */
};

/* Bytes of a ring; 0 if it cannot be. item_bytes 0: any size. */
size_t wfi_shared_ring_bytes(size_t capacity, size_t item_bytes);

/* Makes a ring in zeroed shared memory of that many bytes. */
void wfi_shared_ring_init(struct wfi_shared_ring *ring, size_t capacity, size_t item_bytes);

/* Frees the blocks of the items inside. With the arena's lock held. */
void wfi_shared_ring_fini(struct wfi_shared_ring *ring);

/* Repairs what `member` left behind, and wakes all. With the arena's lock held. */
void wfi_shared_ring_died(struct wfi_shared_ring *ring, uint32_t member);

/* As the functions of weft/shared_queue.h; `reason` and `object` are what a waiter is said to wait
 * for. The caller's process is a member. A pop takes the item into `item`, or, if `ret_taken` is
 * not NULL, as it is. */
int wfi_shared_ring_push(struct wfi_shared_ring *ring, const void *item, size_t len,
                         const char *reason, const void *object, wf_deadline deadline);
int wfi_shared_ring_try_push(struct wfi_shared_ring *ring, const void *item, size_t len);
int wfi_shared_ring_pop(struct wfi_shared_ring *ring, void *item, size_t capacity, size_t *ret_len,
                        wf_bytes *ret_taken, const char *reason, const void *object,
                        wf_deadline deadline);
int wfi_shared_ring_try_pop(struct wfi_shared_ring *ring, void *item, size_t capacity,
                            size_t *ret_len);
void wfi_shared_ring_close(struct wfi_shared_ring *ring, enum wf_close_how how);
size_t wfi_shared_ring_len(const struct wfi_shared_ring *ring);

/* What a pop would meet: 0, -EPIPE or -EAGAIN. */
int wfi_shared_ring_peek(struct wfi_shared_ring *ring);

/* Announces a sleeper on `items`; returns what to sleep for, after another look. */
uint32_t wfi_shared_ring_await_items(struct wfi_shared_ring *ring);

/* For one that was woken on `items` and took nothing, or not all: wakes the next. */
void wfi_shared_ring_pass_on(struct wfi_shared_ring *ring);

#endif
