/* SPDX-License-Identifier: MIT */
/* The slab: pieces in order, never over one that is still in use; prints its seed. */
#include "proc/slab.h"

#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <weft/time.h>

#include <cmocka.h>

static void pieces_never_overlap(void **state)
{
    (void)state;
    enum { BYTES = 4096, PIECES = 64 };
    static unsigned char used[BYTES];
    struct {
        size_t offset, bytes;
        uint64_t end;
    } piece[PIECES];
    size_t first = 0, count = 0;
    uint64_t freed = 0, seed = (uint64_t)wf_now();
    const char *given = getenv("WEFT_TEST_SEED");
    if (given)
        seed = strtoull(given, NULL, 0);
    print_message("seed %llu\n", (unsigned long long)seed);
    struct wfi_random random;
    wfi_random_seed(&random, seed);
    struct wfi_slab slab = {.bytes = BYTES};
    int refused = 0;
    for (int step = 0; step < 100000; step++) {
        size_t bytes = wfi_random_below(&random, 1500), offset;
        if (count < PIECES && wfi_slab_take(&slab, freed, bytes, &offset)) {
            assert_true(offset % WFI_SLAB_ALIGN == 0 && offset + bytes <= BYTES);
            for (size_t i = 0; i < bytes; i++)
                assert_int_equal(used[offset + i]++, 0);
            size_t at = (first + count++) % PIECES;
            piece[at].offset = offset;
            piece[at].bytes = bytes;
            piece[at].end = slab.taken;
            continue;
        }
        refused++;
        if (count == 0)
            continue;
        for (size_t i = 0; i < piece[first].bytes; i++)
            used[piece[first].offset + i]--;
        freed = piece[first].end;
        first = (first + 1) % PIECES;
        count--;
    }
    assert_true(refused > 1000);
}

static void the_whole_is_the_most(void **state)
{
    (void)state;
    struct wfi_slab slab = {.bytes = 4096};
    size_t offset = 1;
    assert_false(wfi_slab_take(&slab, 0, 4097, &offset));
    assert_false(wfi_slab_take(&slab, 0, SIZE_MAX, &offset));
    assert_int_equal(slab.taken, 0);
    assert_true(wfi_slab_take(&slab, 0, 4096, &offset));
    assert_int_equal(offset, 0);
    assert_false(wfi_slab_take(&slab, 0, 1, &offset));
    assert_true(wfi_slab_take(&slab, 4096, 1, &offset));
    assert_int_equal(offset, 0);
    /* What is left before the end is too small: the piece stands at the begin. */
    assert_false(wfi_slab_take(&slab, 4096, 4096, &offset));
    assert_true(wfi_slab_take(&slab, 4096, 4032, &offset));
    assert_int_equal(offset, 64);
    uint64_t all = slab.taken;
    assert_true(wfi_slab_take(&slab, all, 64, &offset));
    assert_int_equal(offset, 0);
    /* Half of it has room wherever the last piece ended. */
    assert_true(wfi_slab_take(&slab, slab.taken, 2048, &offset));
    assert_true(wfi_slab_take(&slab, slab.taken, 2048, &offset));
    assert_int_equal(offset, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_never_overlap),
        cmocka_unit_test(the_whole_is_the_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
