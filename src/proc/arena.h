/* SPDX-License-Identifier: MIT */
/*
 * The family arena: memory that the processes of one family (main, the helper it forked, and what
 * the helper forks) map at the same address, and an allocator in it. What processes share by
 * intention lives here, so a plain pointer to it is right in all of them. The kernel frees it with
 * the last process; nothing has a name that could be left behind.
 *
 * It must be there before the helper is forked (wfi_arena_start). A process without a helper makes
 * it on first use; it is that process's alone then, for its threads and fibers.
 *
 * Surviving kill -9 at any instruction
 *   1. All changes are made under one lock, whose word holds the member number of its owner.
 *   2. What is true about memory is in two places only: a chunk's `state` (free, cut into small
 *      blocks, head of a large block of n chunks) and, for a chunk of small blocks, its `bits`.
 *      Each allocation and each release takes effect by one store to one of them; what the store
 *      makes valid (a block's header) is written before it.
 *   3. All the rest (states of a large block's other chunks, lists of chunks with room, counts) is
 *      derived. When the owner of the lock has died, whoever takes the lock over derives it anew.
 *   4. That an owner died is seen by the sweep, or by a waiter that has waited for a while and asks
 *      the system. Numbers of members are not given to another process before the sweep is done.
 *   So after a death at any point every block is either allocated with a valid header or free. A
 *   block allocated for somebody who never learned of it is tagged with the dead, and swept.
 *
 * A chunk that is free is all zeros: pages are given back before the store that frees it.
 */
#ifndef WFI_PROC_ARENA_H
#define WFI_PROC_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weft/error.h>
#include "base/atomic.h"

/* Processes of a family that use the arena at one time; numbers are 1 to this. */
#define WFI_MEMBERS_MAX 1023

enum wfi_block_kind {
    WFI_BLOCK_NONE,
    WFI_BLOCK_BYTES, /* belongs to its owner; all others are objects, see proc/shared.h */
    WFI_BLOCK_MUTEX,
    WFI_BLOCK_SEMAPHORE,
    WFI_BLOCK_EVENT,
    WFI_BLOCK_CONDITION,
    WFI_BLOCK_BARRIER,
    WFI_BLOCK_ARRAY,
    WFI_BLOCK_QUEUE,
    WFI_BLOCK_PIPE,
    WFI_BLOCK_KINDS,
};

/* The owner of bytes that lie in a queue. */
#define WFI_OWNER_QUEUE UINT32_C(0xffff)

/*
 * Makes the arena, if there is none yet.
 *
 * Returns 0, or -ENOMEM.
 */
int wfi_arena_start(struct wf_error *reterr);

/* For tests, before the start: the bytes to reserve. */
void wfi_arena_limit(size_t bytes);

/*
 * The number of the calling process, which becomes a member of the family's users on the first
 * call. 0 when there is no arena to be had, or too many members.
 */
uint32_t wfi_arena_self(void);

/* What wfi_arena_self's 0 means: -ENOMEM, or -ENOSPC for too many members. Fills reterr. */
int wfi_arena_refusal(struct wf_error *reterr);

/*
 * Allocates a block of zeros, aligned to 64 bytes, and makes the caller's process its owner.
 *
 * Returns 0, or
 *   WF_ETOOBIG   larger than the arena
 *   -ENOMEM      no room, or no arena
 *   -ENOSPC      too many members
 *   WF_EFORKED   in a child made by fork
 */
int wfi_arena_alloc(enum wfi_block_kind kind, size_t bytes, void **ret, struct wf_error *reterr);

/* Gives a block back; NULL is fine. */
void wfi_arena_free(void *block);
/* The same for a caller who holds the arena's lock. */
void wfi_arena_free_locked(void *block);

/* The bytes that were asked for. */
size_t wfi_arena_bytes(const void *block);

/* Makes what was allocated as bytes an object, when it is ready to be looked at, and back. With the
 * lock held. */
void wfi_arena_set_kind(void *block, enum wfi_block_kind kind);

/* Who owns a block. Written by whoever it belongs to. */
uint32_t wfi_arena_owner(const void *block);
void wfi_arena_set_owner(void *block, uint32_t owner);

/* A block as a number that another process of the family can be told, and back: NULL for a number
 * that is no allocated block of that kind. Call the latter with the lock held. */
uint64_t wfi_arena_offset(const void *block);
void *wfi_arena_at(uint64_t offset, enum wfi_block_kind kind);

/* The block of a number that this family wrote and vouches for. */
void *wfi_arena_at_trusted(uint64_t offset);

/* True if `block` is an allocated block of that kind. */
bool wfi_arena_is(const void *block, enum wfi_block_kind kind);

/* The arena's lock, for short stretches without a wait. Survives the death of its owner: what it
 * guards is changed by single stores, or is repaired by the sweep. Not before wfi_arena_self. */
void wfi_arena_lock(void);
void wfi_arena_unlock(void);

/* Calls fn for each allocated block, which it may free, with the lock held. */
void wfi_arena_each(void (*fn)(void *block, enum wfi_block_kind kind, void *arg), void *arg);

/* The member that was process `pid` and has ended; 0: none. With the lock held. */
uint32_t wfi_arena_find_dead(int pid);
/* The number may be another process's now. With the lock held. */
void wfi_arena_forget(uint32_t member);

struct wfi_arena_usage {
    uint64_t used_bytes; /* in blocks, with what rounding and heads take */
    uint64_t blocks;
    uint64_t limit_bytes;
    uint32_t members;
};
void wfi_arena_usage(struct wfi_arena_usage *ret);

/* The address space that every process of the family has for it; 0 before its start. */
size_t wfi_arena_reserved(void);

/* Bytes of the arena that have memory behind them. For tests. */
size_t wfi_arena_resident(void);

#endif
