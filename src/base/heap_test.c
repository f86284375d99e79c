/* SPDX-License-Identifier: MIT */
#include "base/heap.h"
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 700 };

/* Recursion is fine here: the test's heaps are small. */
static size_t check_tree(const struct wfi_heap_node *node)
{
    size_t count = 1;
    const struct wfi_heap_node *before = node;
    for (const struct wfi_heap_node *c = node->child; c; before = c, c = c->next) {
        assert_ptr_equal(c->prev, before);
        assert_true(c->key > node->key || (c->key == node->key && c->order > node->order));
        count += check_tree(c);
    }
    return count;
}

static void check(const struct wfi_heap *heap)
{
    if (!heap->root) {
        assert_int_equal(wfi_heap_count(heap), 0);
        return;
    }
    assert_ptr_equal(heap->root->prev, heap->root);
    assert_null(heap->root->next);
    assert_int_equal(check_tree(heap->root), wfi_heap_count(heap));
}

static void pops_in_order_and_equal_keys_first_in_first_out(void **state)
{
    (void)state;
    static const int64_t keys[] = {5, 1, 5, INT64_MAX, INT64_MIN, 1, 5, 0};
    static const int expected[] = {4, 7, 1, 5, 0, 2, 6, 3};
    struct wfi_heap_node nodes[8] = {{0}};
    struct wfi_heap heap = {0};

    assert_null(wfi_heap_first(&heap));
    assert_null(wfi_heap_pop(&heap));
    for (int i = 0; i < 8; i++)
        wfi_heap_insert(&heap, &nodes[i], keys[i]);
    for (int i = 0; i < 8; i++) {
        check(&heap);
        assert_ptr_equal(wfi_heap_first(&heap), &nodes[expected[i]]);
        struct wfi_heap_node *node = wfi_heap_pop(&heap);
        assert_ptr_equal(node, &nodes[expected[i]]);
        assert_false(wfi_heap_node_linked(node));
    }
    assert_null(wfi_heap_pop(&heap));
}

static void remove_of_a_free_node_is_harmless(void **state)
{
    (void)state;
    struct wfi_heap heap = {0};
    struct wfi_heap_node a = {0}, b = {0};

    wfi_heap_remove(&heap, &a);
    wfi_heap_insert(&heap, &b, 3);
    wfi_heap_remove(&heap, &a);
    assert_int_equal(wfi_heap_count(&heap), 1);
    wfi_heap_remove(&heap, &b);
    wfi_heap_remove(&heap, &b);
    assert_int_equal(wfi_heap_count(&heap), 0);
    assert_null(wfi_heap_first(&heap));
}

/* Random inserts, pops and removals against a scan of all nodes. */
static void agrees_with_a_plain_scan(void **state)
{
    (void)state;
    const char *given = getenv("WEFT_TEST_SEED");
    const uint64_t seed = given ? strtoull(given, NULL, 0) : 20260101;
    print_message("seed %llu\n", (unsigned long long)seed);
    struct wfi_random random;
    wfi_random_seed(&random, seed);
    static struct wfi_heap_node nodes[NODES];
    memset(nodes, 0, sizeof nodes);
    struct wfi_heap heap = {0};
    size_t count = 0;

    for (int step = 0; step < 20000; step++) {
        struct wfi_heap_node *node = &nodes[wfi_random_below(&random, NODES)];
        switch (wfi_random_below(&random, 8)) {
        case 0: {
            const struct wfi_heap_node *least = NULL;
            for (int i = 0; i < NODES; i++) {
                const struct wfi_heap_node *n = &nodes[i];
                if (n->prev && (!least || n->key < least->key ||
                                (n->key == least->key && n->order < least->order)))
                    least = n;
            }
            assert_ptr_equal(wfi_heap_pop(&heap), least);
            count -= least != NULL;
            break;
        }
        case 1:
        case 2:
            count -= wfi_heap_node_linked(node);
            wfi_heap_remove(&heap, node);
            assert_false(wfi_heap_node_linked(node));
            break;
        default:
            if (wfi_heap_node_linked(node))
                break;
            wfi_heap_insert(&heap, node, (int64_t)wfi_random_below(&random, 50));
            count++;
        }
        assert_int_equal(wfi_heap_count(&heap), count);
        if (step % 16 == 0)
            check(&heap);
    }
    while (count--)
        assert_non_null(wfi_heap_pop(&heap));
    assert_null(wfi_heap_pop(&heap));
}

/* A heap filled in falling and in rising order is a list in shape: neither may recurse. */
static void sorted_input_does_not_overflow(void **state)
{
    (void)state;
    const size_t n = 200000;
    struct wfi_heap_node *nodes = calloc(n, sizeof *nodes);
    assert_non_null(nodes);
    for (int falling = 0; falling < 2; falling++) {
        struct wfi_heap heap = {0};
        for (size_t i = 0; i < n; i++)
            wfi_heap_insert(&heap, &nodes[i], (int64_t)(falling ? n - i : i));
        int64_t last = INT64_MIN;
        struct wfi_heap_node *node;
        while ((node = wfi_heap_pop(&heap))) {
            assert_true(node->key > last);
            last = node->key;
        }
    }
    free(nodes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pops_in_order_and_equal_keys_first_in_first_out),
        cmocka_unit_test(remove_of_a_free_node_is_harmless),
        cmocka_unit_test(agrees_with_a_plain_scan),
        cmocka_unit_test(sorted_input_does_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
