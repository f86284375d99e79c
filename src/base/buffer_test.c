/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buffer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void appends_of_every_kind(void **state)
{
    (void)state;
    struct wfi_buffer b = {0};
    assert_string_equal(wfi_buffer_text(&b), "");
    assert_int_equal(wfi_buffer_append(&b, "", 0), 0);
    assert_int_equal(wfi_buffer_append(&b, "one", 3), 0);
    assert_int_equal(wfi_buffer_append_byte(&b, ','), 0);
    assert_int_equal(wfi_buffer_append_text(&b, "two"), 0);
    assert_int_equal(wfi_buffer_printf(&b, ",%d%s", 3, ""), 0);
    assert_string_equal(wfi_buffer_text(&b), "one,two,3");
    assert_int_equal(b.len, 9);
    /* Exactly full, one short and one over: the formatted text never loses its last byte. */
    for (int len = 1; len < 300; len++) {
        wfi_buffer_reset(&b);
        assert_int_equal(wfi_buffer_printf(&b, "%*s", len, "x"), 0);
        assert_int_equal(b.len, len);
        assert_int_equal(b.data[len - 1], 'x');
    }
    wfi_buffer_reset(&b);
}

static void consume_takes_from_the_front(void **state)
{
    (void)state;
    struct wfi_buffer b = {0};
    assert_int_equal(wfi_buffer_append_text(&b, "abcdef"), 0);
    wfi_buffer_consume(&b, 0);
    wfi_buffer_consume(&b, 2);
    assert_string_equal(wfi_buffer_text(&b), "cdef");
    wfi_buffer_consume(&b, 99);
    assert_int_equal(b.len, 0);
    wfi_buffer_clear(&b);
    wfi_buffer_reset(&b);
}

static void take_hands_the_bytes_over(void **state)
{
    (void)state;
    struct wfi_buffer b = {0};
    size_t len = 99;
    assert_int_equal(wfi_buffer_append(&b, "a\0b", 3), 0);
    char *taken = wfi_buffer_take(&b, &len);
    assert_non_null(taken);
    assert_int_equal(len, 3);
    assert_memory_equal(taken, "a\0b", 4);
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    wfi_free(taken);
}

static void out_of_memory_keeps_the_contents(void **state)
{
    (void)state;
    for (uint64_t fail_at = 1;; fail_at++) {
        struct wfi_buffer b = {0};
        size_t done = 0;
        wfi_alloc_watch(fail_at);
        for (int i = 0; i < 60; i++) {
            int err =
                i % 2 ? wfi_buffer_printf(&b, "%s", "12345") : wfi_buffer_append(&b, "12345", 5);
            assert_true(err == 0 || err == -ENOMEM);
            done += err ? 0 : 5;
            assert_int_equal(b.len, done);
        }
        for (size_t i = 0; i < done; i++)
            assert_int_equal(b.data[i], "12345"[i % 5]);
        wfi_buffer_reset(&b);
        assert_int_equal(wfi_alloc_live(), 0);
        if (!wfi_alloc_unwatch())
            return;
        assert_int_equal(done, 59 * 5);
    }
}

static void an_impossible_size_is_refused(void **state)
{
    (void)state;
    struct wfi_buffer b = {0};
    assert_int_equal(wfi_buffer_append_text(&b, "keep"), 0);
    assert_int_equal(wfi_buffer_reserve(&b, SIZE_MAX), -ENOMEM);
    assert_string_equal(wfi_buffer_text(&b), "keep");
    wfi_buffer_reset(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_of_every_kind),
        cmocka_unit_test(consume_takes_from_the_front),
        cmocka_unit_test(take_hands_the_bytes_over),
        cmocka_unit_test(out_of_memory_keeps_the_contents),
        cmocka_unit_test(an_impossible_size_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
