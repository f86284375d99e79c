/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/random.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool same_text(const void *value, const void *key, size_t len)
{
    return strlen(value) == len && memcmp(value, key, len) == 0;
}

static void text_keys(void **state)
{
    (void)state;
    struct wfi_map map = {.same = same_text};
    char a[] = "alpha", b[] = "beta", empty[] = "";

    assert_null(wfi_map_find(&map, "alpha", 5));
    assert_null(wfi_map_remove(&map, "alpha", 5));
    assert_int_equal(wfi_map_put(&map, a, 5, a), 0);
    assert_int_equal(wfi_map_put(&map, b, 4, b), 0);
    assert_int_equal(wfi_map_put(&map, empty, 0, empty), 0);
    assert_int_equal(wfi_map_put(&map, "beta", 4, a), -EEXIST);
    assert_ptr_equal(wfi_map_find(&map, "beta", 4), b);
    assert_ptr_equal(wfi_map_find(&map, "", 0), empty);
    assert_null(wfi_map_find(&map, "bet", 3));
    assert_ptr_equal(wfi_map_remove(&map, "alpha", 5), a);
    assert_null(wfi_map_find(&map, "alpha", 5));
    assert_int_equal(map.count, 2);
    wfi_map_reset(&map);
    assert_null(wfi_map_find(&map, "beta", 4));
}

/* Keys 0..999, the value an element of an array; the array says what must be in the map. */
static void numbers_agree_with_an_array(void **state)
{
    (void)state;
    enum { KEYS = 1000 };
    const char *given = getenv("WEFT_TEST_SEED");
    const uint64_t seed = given ? strtoull(given, NULL, 0) : 7;
    print_message("seed %llu\n", (unsigned long long)seed);
    struct wfi_random random;
    wfi_random_seed(&random, seed);
    static bool in[KEYS];
    struct wfi_map map = {0};
    size_t count = 0;

    for (int step = 0; step < 200000; step++) {
        const uint64_t key = wfi_random_below(&random, KEYS);
        bool *value = &in[key];
        switch (wfi_random_below(&random, 3)) {
        case 0:
            assert_int_equal(wfi_map_put_u64(&map, key, value), *value ? -EEXIST : 0);
            count += !*value;
            *value = true;
            break;
        case 1:
            assert_ptr_equal(wfi_map_remove_u64(&map, key), *value ? value : NULL);
            count -= *value;
            *value = false;
            break;
        default:
            assert_ptr_equal(wfi_map_find_u64(&map, key), *value ? value : NULL);
        }
        assert_int_equal(map.count, count);
    }
    size_t cursor = 0, walked = 0;
    const bool *value;
    while ((value = wfi_map_next(&map, &cursor))) {
        assert_true(*value);
        walked++;
    }
    assert_int_equal(walked, count);
    wfi_map_reset(&map);
}

static void out_of_memory_changes_nothing(void **state)
{
    (void)state;
    int values[100];
    for (uint64_t fail_at = 1;; fail_at++) {
        struct wfi_map map = {0};
        wfi_alloc_watch(fail_at);
        int failed = 0;
        for (uint64_t i = 0; i < 100; i++) {
            int err = wfi_map_put_u64(&map, i, &values[i]);
            if (err) {
                assert_int_equal(err, -ENOMEM);
                failed++;
                assert_null(wfi_map_find_u64(&map, i));
                assert_int_equal(wfi_map_put_u64(&map, i, &values[i]), 0);
            }
        }
        for (uint64_t i = 0; i < 100; i++)
            assert_ptr_equal(wfi_map_find_u64(&map, i), &values[i]);
        wfi_map_reset(&map);
        assert_int_equal(wfi_alloc_live(), 0);
        const bool reached = wfi_alloc_unwatch();
        assert_int_equal(failed, reached ? 1 : 0);
        if (!reached) {
            assert_true(fail_at > 3);
            return;
        }
    }
}

/* Not a proof of quality: it catches a length, a tail byte or a seed that is left out. */
static void hash_uses_every_byte(void **state)
{
    (void)state;
    unsigned char bytes[70];
    for (size_t len = 0; len < sizeof bytes; len++) {
        memset(bytes, 'x', sizeof bytes);
        const uint64_t h = wfi_hash_bytes(bytes, len, 1);
        assert_true(h != wfi_hash_bytes(bytes, len, 2));
        assert_true(h != wfi_hash_bytes(bytes, len + 1, 1));
        for (size_t at = 0; at < len; at++) {
            bytes[at] ^= 1;
            assert_true(h != wfi_hash_bytes(bytes, len, 1));
            bytes[at] ^= 1;
        }
        bytes[len] ^= 1;
        assert_true(h == wfi_hash_bytes(bytes, len, 1));
    }
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* 300,000 similar texts: no two hashes equal, and no slot of 4,096 far from its share. */
static void hash_spreads_similar_texts(void **state)
{
    (void)state;
    enum { TEXTS = 300000, SLOTS = 4096 };
    uint64_t *hashes = malloc(TEXTS * sizeof *hashes);
    unsigned low[SLOTS] = {0}, high[SLOTS] = {0};
    assert_non_null(hashes);
    for (int i = 0; i < TEXTS; i++) {
        char text[64];
        int len = snprintf(text, sizeof text, "http://127.0.0.1:8080/page/%d", i);
        hashes[i] = wfi_hash_bytes(text, (size_t)len, 0);
        low[hashes[i] % SLOTS]++;
        high[hashes[i] >> 52]++;
    }
    qsort(hashes, TEXTS, sizeof *hashes, compare_u64);
    for (int i = 1; i < TEXTS; i++)
        assert_true(hashes[i] != hashes[i - 1]);
    free(hashes);
    /* The mean is 73 and the deviation 8.6: seven deviations either side. */
    for (int i = 0; i < SLOTS; i++) {
        assert_in_range(low[i], 14, 133);
        assert_in_range(high[i], 14, 133);
    }
}

static void random_below_covers_its_range_evenly(void **state)
{
    (void)state;
    struct wfi_random random, again;
    unsigned hits[10] = {0};
    wfi_random_seed(&random, 0);
    wfi_random_seed(&again, 0);
    assert_int_equal(wfi_random_below(&random, 0), 0);
    for (int i = 0; i < 100000; i++) {
        const uint64_t drawn = wfi_random_below(&random, 10);
        assert_true(drawn < 10);
        hits[drawn]++;
        assert_true(drawn == wfi_random_below(&again, 10));
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(hits[i], 9500, 10500);
    for (int i = 0; i < 1000; i++) {
        const double d = wfi_random_double(&random);
        assert_true(d >= 0 && d < 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_keys),
        cmocka_unit_test(numbers_agree_with_an_array),
        cmocka_unit_test(out_of_memory_changes_nothing),
        cmocka_unit_test(hash_uses_every_byte),
        cmocka_unit_test(hash_spreads_similar_texts),
        cmocka_unit_test(random_below_covers_its_range_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
