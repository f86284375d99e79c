/* SPDX-License-Identifier: MIT */
/* Packing and unpacking: large and empty, the bound, broken bytes, failing memory. */
#include "celery/message/compression.h"

#include "base/alloc.h"

#include <weft/error.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void what_was_packed_comes_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 100, 65535, 65536, 65537, 1 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct wfi_buffer plain = {0}, packed = {0}, back = {0};
        for (size_t n = 0; n < sizes[i]; n++)
            assert_int_equal(wfi_buffer_append_byte(&plain, (char)(n * n >> 7)), 0);
        assert_int_equal(wfi_buffer_append_text(&back, "x"), 0);
        assert_int_equal(wfi_deflate(plain.data, plain.len, &packed), 0);
        assert_int_equal(wfi_inflate(packed.data, packed.len, sizes[i], &back), 0);
        assert_int_equal(back.len, sizes[i] + 1);
        if (sizes[i])
            assert_memory_equal(back.data + 1, plain.data, sizes[i]);
        /* One byte more than is allowed. */
        if (sizes[i]) {
            assert_int_equal(wfi_inflate(packed.data, packed.len, sizes[i] - 1, &back), WF_ETOOBIG);
            assert_int_equal(back.len, sizes[i] + 1);
        }
        /* Without its end, and with more behind it. */
        assert_int_equal(wfi_inflate(packed.data, packed.len - 1, 1 << 21, &back), WF_EPARSE);
        assert_int_equal(wfi_buffer_append_byte(&packed, 'x'), 0);
        assert_int_equal(wfi_inflate(packed.data, packed.len, 1 << 21, &back), WF_EPARSE);
        wfi_buffer_reset(&plain);
        wfi_buffer_reset(&packed);
        wfi_buffer_reset(&back);
    }
}

static void a_bomb_costs_no_more_than_the_bound(void **state)
{
    (void)state;
    struct wfi_buffer zeros = {0}, packed = {0}, back = {0};
    assert_int_equal(wfi_buffer_reserve(&zeros, 16 << 20), 0);
    memset(zeros.data, 0, 16 << 20);
    assert_int_equal(wfi_deflate(zeros.data, 16 << 20, &packed), 0);
    assert_true(packed.len < 20000);
    assert_int_equal(wfi_inflate(packed.data, packed.len, 100000, &back), WF_ETOOBIG);
    assert_true(back.len == 0 && back.size <= 400000);
    wfi_buffer_reset(&zeros);
    wfi_buffer_reset(&packed);
    wfi_buffer_reset(&back);
}

static void other_bytes_are_refused(void **state)
{
    (void)state;
    struct wfi_buffer back = {0};
    assert_int_equal(wfi_inflate("", 0, 100, &back), WF_EPARSE);
    assert_int_equal(wfi_inflate("[[1, 2], {}, {}]", 16, 100, &back), WF_EPARSE);
    assert_int_equal(wfi_inflate("\x1f\x8b\x08\0\0\0\0\0", 8, 100, &back), WF_EPARSE);
    wfi_buffer_reset(&back);
}

static void lack_of_memory_is_told(void **state)
{
    (void)state;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct wfi_buffer packed = {0}, back = {0};
        wfi_alloc_watch(n);
        int err = wfi_deflate("celery celery celery", 20, &packed);
        if (!err)
            err = wfi_inflate(packed.data, packed.len, 100, &back);
        wfi_buffer_reset(&packed);
        wfi_buffer_reset(&back);
        assert_int_equal(wfi_alloc_live(), 0);
        failed = wfi_alloc_unwatch();
        assert_int_equal(err, failed ? -ENOMEM : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_packed_comes_back),
        cmocka_unit_test(a_bomb_costs_no_more_than_the_bound),
        cmocka_unit_test(other_bytes_are_refused),
        cmocka_unit_test(lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
