/* SPDX-License-Identifier: MIT */
/* Stacks: what is handed out, what is kept, what is visited, and what it costs. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "os/memory.h"
#include "os/sanitizer.h"
#include "os/stack.h"

#define BLOCK_BYTES ((size_t)300)

static struct wfi_stack_pool *pool;

static int setup(void **state)
{
    (void)state;
    return wfi_stack_pool_create(64 * 1024, BLOCK_BYTES, &pool, NULL);
}

static int teardown(void **state)
{
    (void)state;
    wfi_stack_pool_destroy(pool);
    pool = NULL;
    return 0;
}

static void blocks_are_aligned_apart_and_zeroed_at_first(void **state)
{
    (void)state;
    enum { N = 300 };
    static unsigned char *blocks[N];
    static const unsigned char zeros[BLOCK_BYTES];
    for (int i = 0; i < N; i++) {
        blocks[i] = wfi_stack_get(pool, NULL);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 64, 0);
        assert_memory_equal(blocks[i], zeros, BLOCK_BYTES);
        memset(blocks[i], i % 255 + 1, BLOCK_BYTES);
        void *low;
        size_t bytes;
        wfi_stack_range(pool, blocks[i], &low, &bytes);
        assert_ptr_equal((char *)low + bytes, blocks[i]);
        assert_true(bytes > 40 * 1024);
        memset(low, 0xee, 64); /* the ends of the usable part are usable */
        memset((char *)low + bytes - 64, 0xee, 64);
    }
    for (int i = 0; i < N; i++)
        for (size_t j = 0; j < BLOCK_BYTES; j++)
            assert_int_equal(blocks[i][j], i % 255 + 1);
}

static void neighbours_differ_in_colour(void **state)
{
    (void)state;
    size_t page = wfi_page_bytes();
    uintptr_t before = 0;
    for (int i = 0; i < 16; i++) {
        uintptr_t offset = (uintptr_t)wfi_stack_get(pool, NULL) & (page - 1);
        assert_int_not_equal(offset, before);
        assert_true(offset >= 2304); /* room below for the first frames in the same page */
        before = offset;
    }
}

static void last_in_is_first_out_with_its_contents(void **state)
{
    (void)state;
    char *a = wfi_stack_get(pool, NULL), *b = wfi_stack_get(pool, NULL);
    memset(a, 'a', BLOCK_BYTES);
    memset(b, 'b', BLOCK_BYTES);
    wfi_stack_put(pool, a);
    wfi_stack_put(pool, b);
    assert_ptr_equal(wfi_stack_get(pool, NULL), b);
    assert_ptr_equal(wfi_stack_get(pool, NULL), a);
    for (size_t i = 0; i < BLOCK_BYTES; i++)
        assert_true(a[i] == 'a' && b[i] == 'b');
}

static void beyond_the_cap_only_the_top_page_is_kept(void **state)
{
    (void)state;
    enum { KEPT = 5, TAKEN = 64 };
    wfi_stack_pool_keep(pool, KEPT);
    char *blocks[TAKEN], *lows[TAKEN];
    size_t bytes;
    for (int i = 0; i < TAKEN; i++) {
        blocks[i] = wfi_stack_get(pool, NULL);
        wfi_stack_range(pool, blocks[i], (void **)&lows[i], &bytes);
        *lows[i] = *blocks[i] = (char)(i + 1);
    }
    for (int i = 0; i < TAKEN; i++)
        wfi_stack_put(pool, blocks[i]);
    struct wfi_stack_counts counts;
    wfi_stack_pool_counts(pool, &counts);
    assert_true(counts.made >= TAKEN);
    assert_int_equal(counts.kept + counts.cold, counts.made);
    assert_true(counts.kept >= KEPT && counts.kept < KEPT + WFI_MEMORY_RANGES_MAX);
    size_t deep = 0;
    for (int i = 0; i < TAKEN; i++) {
        deep += *lows[i] == i + 1;
        assert_true(*lows[i] == 0 || *lows[i] == i + 1);
        assert_int_equal(*blocks[i], i + 1);
    }
    assert_int_equal(deep, counts.kept);
    for (size_t i = 0; i < counts.kept; i++) { /* those with their pages come first */
        char *block = wfi_stack_get(pool, NULL);
        void *low;
        wfi_stack_range(pool, block, &low, &bytes);
        assert_int_equal(*(char *)low, *block);
    }
}

static void an_address_finds_its_stack(void **state)
{
    (void)state;
    char *a = wfi_stack_get(pool, NULL), *b = wfi_stack_get(pool, NULL);
    void *low;
    size_t bytes;
    wfi_stack_range(pool, b, &low, &bytes);
    struct wfi_stack_place place;
    assert_true(wfi_stack_find(low, &place));
    assert_ptr_equal(place.block, b);
    assert_int_equal(place.reserved_bytes, 64 * 1024);
    assert_int_equal(place.usable_bytes, bytes);
    assert_false(place.in_guard);
    assert_true(wfi_stack_find((char *)low - 1, &place));
    assert_ptr_equal(place.block, b);
    assert_true(place.in_guard);
    assert_true(wfi_stack_find(a, &place));
    assert_ptr_equal(place.block, a);
    assert_false(wfi_stack_find(b + 64 * 1024 * 64, &place)); /* not carved yet */
    assert_false(wfi_stack_find(&place, &place));
    assert_false(wfi_stack_find(NULL, &place));
    assert_false(wfi_stack_find((void *)UINTPTR_MAX, &place));
    wfi_stack_pool_destroy(pool);
    pool = NULL;
    assert_false(wfi_stack_find(a, &place));
}

static bool readable(const void *addr)
{
    errno = 0;
    syscall(SYS_faccessat, -1, addr, 0);
    return errno != EFAULT;
}

/* Valgrind reads a path name itself before the kernel does, and dies of it. */
static void guards_stop_a_touch_by_either_means(void **state)
{
    (void)state;
    if (wfi_under_valgrind())
        skip();
    for (int forced = 0; forced < 2; forced++) {
        teardown(NULL);
        wfi_memory_guards_limit(forced ? 100 : 0);
        setup(NULL);
        for (int i = 0; i < 40; i++) {
            void *low;
            size_t bytes;
            wfi_stack_range(pool, wfi_stack_get(pool, NULL), &low, &bytes);
            *(char *)low = 0;
            assert_true(readable(low));
            assert_false(readable((char *)low - 1));
            assert_false(readable((char *)low - 16 * 1024));
        }
    }
    teardown(NULL);
    wfi_memory_guards_limit(0);
}

static void too_many_guards_are_refused_with_the_rule(void **state)
{
    (void)state;
    teardown(NULL);
    wfi_memory_guards_limit(5);
    setup(NULL);
    void *last = NULL;
    for (int i = 0; i < 5; i++)
        assert_non_null(last = wfi_stack_get(pool, NULL));
    for (int i = 0; i < 3; i++) { /* and refused again, not handed out without one */
        struct wf_error error = {0};
        assert_null(wfi_stack_get(pool, &error));
        assert_int_equal(error.code, -ENOMEM);
        assert_non_null(strstr(error.text, "vm.max_map_count"));
    }
    wfi_stack_put(pool, last);
    assert_ptr_equal(wfi_stack_get(pool, NULL), last); /* those made so far go on working */
    teardown(NULL);
    setup(NULL);
    for (int i = 0; i < 5; i++)
        assert_non_null(wfi_stack_get(pool, NULL)); /* given back with the pool */
    teardown(NULL);
    wfi_memory_guards_limit(0);
}

static void sizes_out_of_range_are_refused(void **state)
{
    (void)state;
    struct wfi_stack_pool *none = NULL;
    struct wf_error error = {0};
    assert_int_equal(wfi_stack_pool_create(100, 64, &none, &error), -EINVAL);
    assert_int_equal(error.code, -EINVAL);
    assert_int_equal(wfi_stack_pool_create(SIZE_MAX, 64, &none, NULL), -EINVAL);
    assert_int_equal(wfi_stack_pool_create(64 * 1024, 64 * 1024, &none, NULL), -EINVAL);
    assert_null(none);
}

static void a_large_stack_has_a_slab_of_its_own(void **state)
{
    (void)state;
    struct wfi_stack_pool *large;
    assert_int_equal(wfi_stack_pool_create((size_t)200 << 20, 5000, &large, NULL), 0);
    char *a = wfi_stack_get(large, NULL), *b = wfi_stack_get(large, NULL);
    assert_non_null(a);
    assert_non_null(b);
    void *low;
    size_t bytes;
    wfi_stack_range(large, b, &low, &bytes);
    assert_true(bytes > (size_t)200 << 20);
    *(char *)low = 1;
    memset(b, 1, 5000);
    struct wfi_stack_place place;
    assert_true(wfi_stack_find((char *)low + bytes / 2, &place));
    assert_ptr_equal(place.block, b);
    wfi_stack_put(large, b);
    assert_ptr_equal(wfi_stack_get(large, NULL), b);
    wfi_stack_pool_destroy(large);
}

/* Threads take and give back while another walks: each block's first word is 0 or its own address,
 * and the walk never sees fewer blocks than before. */
enum { TAKERS = 3, HELD = 8 };
static WFI_ATOMIC(bool) walking;
static WFI_ATOMIC(int) strangers;

struct walk {
    size_t blocks;
};

static void look(void *block, void *arg)
{
    struct walk *walk = arg;
    walk->blocks++;
    uintptr_t word = wfi_load_relaxed((WFI_ATOMIC(uintptr_t) *)block);
    if (word != 0 && word != (uintptr_t)block)
        wfi_fetch_add(&strangers, 1);
}

static void *walk_all(void *arg)
{
    (void)arg;
    size_t before = 0;
    while (wfi_load(&walking)) {
        struct walk walk = {0};
        wfi_stack_each(pool, look, &walk);
        if (walk.blocks < before)
            wfi_fetch_add(&strangers, 1);
        before = walk.blocks;
        sched_yield();
    }
    return NULL;
}

static void *take_and_give(void *arg)
{
    int rounds = *(int *)arg;
    for (int i = 0; i < rounds; i++) {
        void *held[HELD];
        for (int j = 0; j < HELD; j++) {
            held[j] = wfi_stack_get(pool, NULL);
            assert_non_null(held[j]);
            wfi_store_relaxed((WFI_ATOMIC(uintptr_t) *)held[j], (uintptr_t)held[j]);
            ((unsigned *)held[j])[8] = (unsigned)j; /* plain: the pool orders old and new owner */
        }
        for (int j = 0; j < HELD; j++) {
            assert_int_equal(((unsigned *)held[j])[8], j);
            wfi_stack_put(pool, held[j]);
        }
    }
    return NULL;
}

static void many_threads_get_and_put_beside_a_walk(void **state)
{
    (void)state;
    int rounds = 100;
    wfi_stack_pool_keep(pool, 10);
    wfi_store(&walking, true);
    wfi_store(&strangers, 0);
    pthread_t walker, takers[TAKERS];
    assert_int_equal(pthread_create(&walker, NULL, walk_all, NULL), 0);
    for (int i = 0; i < TAKERS; i++)
        assert_int_equal(pthread_create(&takers[i], NULL, take_and_give, &rounds), 0);
    for (int i = 0; i < TAKERS; i++)
        pthread_join(takers[i], NULL);
    wfi_store(&walking, false);
    pthread_join(walker, NULL);
    assert_int_equal(wfi_load(&strangers), 0);
    struct wfi_stack_counts counts;
    struct walk walk = {0};
    wfi_stack_pool_counts(pool, &counts);
    wfi_stack_each(pool, look, &walk);
    assert_int_equal(counts.made, walk.blocks);
    assert_int_equal(counts.kept + counts.cold, counts.made);
    assert_true(counts.made >= HELD);
    assert_true(counts.made <= (TAKERS + 1) * HELD + TAKERS * WFI_MEMORY_RANGES_MAX);
}

static void every_failed_allocation_leaves_things_whole(void **state)
{
    (void)state;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        assert_true(n < 100);
        struct wfi_stack_pool *small = NULL;
        void *blocks[3] = {0};
        wfi_alloc_watch(n);
        if (wfi_stack_pool_create(16 * 1024, 64, &small, NULL) == 0)
            for (int i = 0; i < 3; i++) {
                struct wf_error error = {0};
                blocks[i] = wfi_stack_get(small, &error);
                assert_int_equal(error.code, blocks[i] ? 0 : -ENOMEM);
            }
        failed = wfi_alloc_unwatch();
        if (small) {
            for (int i = 0; i < 3; i++)
                if (blocks[i])
                    wfi_stack_put(small, blocks[i]);
            assert_non_null(wfi_stack_get(small, NULL)); /* the failure is over */
        }
        wfi_stack_pool_destroy(small);
    }
}

static size_t resident_bytes(void)
{
    size_t kib, sum = 0;
    char line[256];
    FILE *file = fopen("/proc/self/status", "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmRSS: %zu", &kib) == 1 || sscanf(line, "VmPTE: %zu", &kib) == 1)
            sum += kib * 1024;
    fclose(file);
    return sum;
}

/* Fewer under Valgrind, where each guard is two mappings that it searches one by one. */
static void a_waiting_fiber_costs_one_page_and_its_table(void **state)
{
    (void)state;
    size_t count = wfi_under_valgrind() ? 100 : 10000;
    if (wfi_memory_guards_max() < count)
        count = wfi_memory_guards_max();
    struct wfi_stack_pool *many;
    assert_int_equal(wfi_stack_pool_create(0, 512, &many, NULL), 0);
    size_t before = resident_bytes();
    void *chain = NULL;
    for (size_t i = 0; i < count; i++) {
        void **block = wfi_stack_get(many, NULL);
        assert_non_null(block);
        void *low;
        size_t bytes;
        wfi_stack_range(many, block, &low, &bytes);
        assert_true(bytes > 180 * 1024);
        memset((char *)low + bytes - 2304, 0x5a, 2304); /* first frames */
        block[1] = chain;
        chain = block;
    }
    size_t each = (resident_bytes() - before) / count;
    print_message("%zu stacks, %zu bytes each\n", count, each);
    /* Elsewhere the figure includes the tool's or the emulator's own memory. */
    if (!WFI_ASAN && !WFI_TSAN && wfi_memory_guards_max() == SIZE_MAX)
        assert_true(each <= 4750);
    size_t seen = 0;
    for (void **block = chain; block; block = block[1])
        seen++;
    assert_int_equal(seen, count);
    for (void **block = chain, **next; block; block = next) {
        next = block[1];
        wfi_stack_put(many, block);
    }
    wfi_stack_pool_destroy(many);
}

#define WITH_POOL(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_POOL(blocks_are_aligned_apart_and_zeroed_at_first),
        WITH_POOL(neighbours_differ_in_colour),
        WITH_POOL(last_in_is_first_out_with_its_contents),
        WITH_POOL(beyond_the_cap_only_the_top_page_is_kept),
        WITH_POOL(an_address_finds_its_stack),
        WITH_POOL(guards_stop_a_touch_by_either_means),
        WITH_POOL(too_many_guards_are_refused_with_the_rule),
        WITH_POOL(sizes_out_of_range_are_refused),
        WITH_POOL(a_large_stack_has_a_slab_of_its_own),
        WITH_POOL(many_threads_get_and_put_beside_a_walk),
        WITH_POOL(every_failed_allocation_leaves_things_whole),
        WITH_POOL(a_waiting_fiber_costs_one_page_and_its_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
