/* SPDX-License-Identifier: MIT */
/*
 * The pairing heap of Fredman, Sedgewick, Sleator and Tarjan ("The pairing heap: a new form of
 * self-adjusting heap", 1986), with the two-pass merge. Invariants in heap.h.
 */
#include "base/heap.h"

#include "base/assert.h"

static bool before(const struct wfi_heap_node *a, const struct wfi_heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->order < b->order;
}

/* Makes the larger of two roots the first child of the smaller. Sets neither next nor prev of the
 * winner: the caller knows where it goes. */
static struct wfi_heap_node *meld(struct wfi_heap_node *a, struct wfi_heap_node *b)
{
    if (before(b, a)) {
        struct wfi_heap_node *swap = a;
        a = b;
        b = swap;
    }
    b->next = a->child;
    if (a->child)
        a->child->prev = b;
    b->prev = a;
    a->child = b;
    return a;
}

/* Melds a list of siblings into one tree: left to right in pairs, then right to left into one. */
static struct wfi_heap_node *meld_siblings(struct wfi_heap_node *first)
{
    struct wfi_heap_node *pairs = NULL;

    while (first) {
        struct wfi_heap_node *a = first, *b = a->next;
        first = b ? b->next : NULL;
        if (b)
            a = meld(a, b);
        a->next = pairs; /* a stack, so that the second pass goes from the right */
        pairs = a;
    }
    if (!pairs)
        return NULL;

    struct wfi_heap_node *root = pairs;
    pairs = pairs->next;
    while (pairs) {
        struct wfi_heap_node *rest = pairs->next;
        root = meld(root, pairs);
        pairs = rest;
    }
    root->next = NULL;
    return root;
}

static void set_root(struct wfi_heap *heap, struct wfi_heap_node *root)
{
    heap->root = root;
    if (root) {
        root->next = NULL;
        root->prev = root;
    }
}

static void clear(struct wfi_heap_node *node)
{
    node->child = node->next = node->prev = NULL;
}

void wfi_heap_insert(struct wfi_heap *heap, struct wfi_heap_node *node, int64_t key)
{
    wfi_assert(!node->prev, "a heap node may be in one heap only");
    node->key = key;
    node->order = heap->inserted++;
    node->child = NULL;
    set_root(heap, heap->root ? meld(heap->root, node) : node);
    heap->count++;
}

struct wfi_heap_node *wfi_heap_pop(struct wfi_heap *heap)
{
    struct wfi_heap_node *node = heap->root;

    if (!node)
        return NULL;
    set_root(heap, meld_siblings(node->child));
    clear(node);
    heap->count--;
    return node;
}

void wfi_heap_remove(struct wfi_heap *heap, struct wfi_heap_node *node)
{
    if (!node->prev)
        return;
    if (node == heap->root) {
        wfi_heap_pop(heap);
        return;
    }
    if (node->prev->child == node)
        node->prev->child = node->next;
    else
        node->prev->next = node->next;
    if (node->next)
        node->next->prev = node->prev;

    struct wfi_heap_node *orphans = meld_siblings(node->child);
    if (orphans)
        set_root(heap, meld(heap->root, orphans));
    clear(node);
    heap->count--;
}
