/* SPDX-License-Identifier: MIT */
/*
 * Stacks for fibers, in great number. A pool hands out stacks of one size, each with a control
 * block of the owner's in its top page: a fiber that only waits has touched one page.
 *
 *   low                                                                            high
 *   | guard |  usable stack, grows down                 | block | link | colour * 64 |
 *
 *   - The reservation (stack_bytes, guard included, rounded up to a power of two) costs addresses
 *     only. The guard is a quarter of it, at most 64 KiB.
 *   - The colour moves the block by 64-byte steps from stack to stack; otherwise all blocks lie on
 *     the same few cache sets and a walk over many fibers misses each time.
 *   - Stacks are carved from slabs of 64 MiB and go back to the system with the pool.
 *   - A stack given back is reused last in, first out, with its block as it was left. Beyond a cap
 *     (1024) of such stacks, all pages but the top one are given to the system, for a batch at
 * once.
 *   - Blocks never move and never go away before the pool does. So wfi_stack_each can visit all of
 *     them without a lock, beside get and put, and from a signal handler.
 */
#ifndef WFI_OS_STACK_H
#define WFI_OS_STACK_H

#include <stdbool.h>
#include <stddef.h>

#include <weft/error.h>

#define WFI_STACK_BYTES_DEFAULT ((size_t)256 * 1024)

struct wfi_stack_pool;

/*
 * stack_bytes   the reservation per stack; 0 for the default, at least 16 KiB
 * block_bytes   the owner's control block; at most a quarter of the reservation
 *
 * Returns 0, -EINVAL for sizes out of range, or -ENOMEM.
 */
int wfi_stack_pool_create(size_t stack_bytes, size_t block_bytes, struct wfi_stack_pool **ret_pool,
                          struct wf_error *reterr);

/* Unmaps all stacks of the pool, whether given back or not. */
void wfi_stack_pool_destroy(struct wfi_stack_pool *pool);

/* How many returned stacks keep their touched pages. */
void wfi_stack_pool_keep(struct wfi_stack_pool *pool, size_t kept_max);

/*
 * Takes a stack. The block is aligned to 64; zeroed when it is handed out for the first time, as
 * it was left when it is reused.
 *
 * Returns the block, or NULL with `reterr` filled: -ENOMEM, with the limit named in the text.
 * Context: any number of threads.
 */
void *wfi_stack_get(struct wfi_stack_pool *pool, struct wf_error *reterr);

/* Gives a stack back; nobody runs on it any more. Any number of threads. */
void wfi_stack_put(struct wfi_stack_pool *pool, void *block);

/* The usable stack below the block. */
void wfi_stack_range(const struct wfi_stack_pool *pool, const void *block, void **ret_low,
                     size_t *ret_bytes);

/*
 * Calls fn for every block that was ever handed out, in use or not, in no useful order. Blocks that
 * were never handed out may be among them; they are zeroed.
 * Context: any, never blocks; signal safe.
 */
void wfi_stack_each(const struct wfi_stack_pool *pool, void (*fn)(void *block, void *arg),
                    void *arg);

/*
 * The same one by one, so that the caller may pause: the next such block, NULL when there is none
 * (yet). The cursor begins zeroed; the pool must be alive at each call.
 * Context: any, never blocks; signal safe.
 */
struct wfi_stack_cursor {
    void *slab;
    uint32_t index;
};
void *wfi_stack_next(const struct wfi_stack_pool *pool, struct wfi_stack_cursor *cursor);

/* Numbers to look at. */
struct wfi_stack_counts {
    size_t made; /* carved, in batches */
    size_t kept; /* given back, with their pages */
    size_t cold; /* top page only: given back and trimmed, or never handed out */
};
void wfi_stack_pool_counts(struct wfi_stack_pool *pool, struct wfi_stack_counts *ret_counts);

/* Where an address lies, if it lies in a stack that was carved by any pool. */
struct wfi_stack_place {
    void *block;
    size_t reserved_bytes;
    size_t usable_bytes;
    bool in_guard;
};
/* Returns false for any other address. Signal safe. */
bool wfi_stack_find(const void *addr, struct wfi_stack_place *ret_place);

#endif
