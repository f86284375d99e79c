/* SPDX-License-Identifier: MIT */
/*
 * Intrusive pairing heap: a priority queue of nodes that live in the caller's own structures,
 * smallest key first, equal keys in the order they came. Made for timers: inserting allocates
 * nothing and so cannot fail, and most timers are removed again before they are due.
 *
 * Costs: insert and first O(1); pop and remove O(log n) amortised. No recursion, whatever the
 * shape.
 *
 * Invariants
 *   1. A node is in at most one heap; a zeroed node is in none, and remove leaves it zeroed but for
 *      its key.
 *   2. `prev` is the parent for a first child, else the left sibling, and the node itself for the
 *      root; so prev != NULL exactly while the node is in a heap.
 *   3. No node is smaller than its parent, by (key, order).
 *
 * Rejected: an array heap, because growing it can fail while a wait is being armed; a timer wheel,
 * because its rounding would be visible in deadlines of a few microseconds.
 */
#ifndef WFI_BASE_HEAP_H
#define WFI_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wfi_heap_node {
    int64_t key;    /* set by insert; read it, do not write it while the node is in a heap */
    uint64_t order; /* number of the insertion: breaks ties */
    struct wfi_heap_node *child, *next, *prev;
};

struct wfi_heap {
    struct wfi_heap_node *root; /* zeroed means empty */
    uint64_t inserted;
    size_t count;
};

static inline bool wfi_heap_node_linked(const struct wfi_heap_node *node)
{
    return node->prev != NULL;
}

static inline size_t wfi_heap_count(const struct wfi_heap *heap)
{
    return heap->count;
}

/* The node with the smallest key, or NULL. */
static inline struct wfi_heap_node *wfi_heap_first(const struct wfi_heap *heap)
{
    return heap->root;
}

/* Puts `node`, which is in no heap, under `key`. */
void wfi_heap_insert(struct wfi_heap *heap, struct wfi_heap_node *node, int64_t key);

/* Takes the node with the smallest key out, or returns NULL. */
struct wfi_heap_node *wfi_heap_pop(struct wfi_heap *heap);

/* Takes `node` out of `heap`; harmless on a node that is in none. */
void wfi_heap_remove(struct wfi_heap *heap, struct wfi_heap_node *node);

#endif
