/* SPDX-License-Identifier: MIT */
/* Ranges: each form, at the ends of what there is. */
#include "http/range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void check(const char *range, uint64_t size, enum wfi_range expected, uint64_t first,
                  uint64_t len)
{
    uint64_t got_first = 77, got_len = 77;
    const enum wfi_range got =
        wfi_range_parse((struct wfi_text){range, strlen(range)}, size, &got_first, &got_len);
    if (got != expected || (got == WFI_RANGE_PART && (got_first != first || got_len != len)))
        fail_msg("%s: %d %ju+%ju", range, got, (uintmax_t)got_first, (uintmax_t)got_len);
    if (got != WFI_RANGE_PART)
        assert_true(got_first == 77 && got_len == 77);
}

static void one_range_is_a_part(void **state)
{
    (void)state;
    check("bytes=0-499", 1000, WFI_RANGE_PART, 0, 500);
    check("bytes=500-999", 1000, WFI_RANGE_PART, 500, 500);
    check("bytes=0-0", 1000, WFI_RANGE_PART, 0, 1);
    check("bytes=999-999", 1000, WFI_RANGE_PART, 999, 1);
    check("BYTES=1-2", 1000, WFI_RANGE_PART, 1, 2);
    check("bytes= 1-2 ", 1000, WFI_RANGE_PART, 1, 2);
}

static void ends_may_be_left_out_or_lie_beyond(void **state)
{
    (void)state;
    check("bytes=500-", 1000, WFI_RANGE_PART, 500, 500);
    check("bytes=0-", 1, WFI_RANGE_PART, 0, 1);
    check("bytes=990-2000", 1000, WFI_RANGE_PART, 990, 10);
    check("bytes=0-18446744073709551615", 1000, WFI_RANGE_PART, 0, 1000);
    check("bytes=0-99999999999999999999999999", 1000, WFI_RANGE_PART, 0, 1000);
    check("bytes=-1", 1000, WFI_RANGE_PART, 999, 1);
    check("bytes=-1000", 1000, WFI_RANGE_PART, 0, 1000);
    check("bytes=-5000", 1000, WFI_RANGE_PART, 0, 1000);
    check("bytes=-99999999999999999999999999", 1000, WFI_RANGE_PART, 0, 1000);
    check("bytes=0-", UINT64_MAX, WFI_RANGE_PART, 0, UINT64_MAX);
}

static void what_starts_beyond_is_416(void **state)
{
    (void)state;
    check("bytes=1000-", 1000, WFI_RANGE_BEYOND, 0, 0);
    check("bytes=1000-2000", 1000, WFI_RANGE_BEYOND, 0, 0);
    check("bytes=0-0", 0, WFI_RANGE_BEYOND, 0, 0);
    check("bytes=-0", 1000, WFI_RANGE_BEYOND, 0, 0);
    check("bytes=-5", 0, WFI_RANGE_BEYOND, 0, 0);
    check("bytes=99999999999999999999999999-", 1000, WFI_RANGE_BEYOND, 0, 0);
    check("bytes=99999999999999999999-99999999999999999999999", 1000, WFI_RANGE_BEYOND, 0, 0);
}

static void anything_else_is_the_whole(void **state)
{
    (void)state;
    static const char *const others[] = {
        "",           "bytes",         "bytes=",     "bytes=-",     "bytes=5",    "bytes=a-b",
        "bytes=2-1",  "bytes=0-1,3-4", "bytes=0-1,", "items=0-1",   "bytes=0 -1", "bytes=+0-1",
        "bytes=0-+1", "bytes =0-1",    "bytes=--1",  "bytes=1-2-3", "bytes=0x1-", "bytes=-1,-2"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        check(others[i], 1000, WFI_RANGE_WHOLE, 0, 0);
}

static void the_answer_says_which_part(void **state)
{
    (void)state;
    char out[WFI_CONTENT_RANGE_BYTES];
    assert_int_equal(wfi_content_range(out, 0, 500, 1000), 16);
    assert_string_equal(out, "bytes 0-499/1000");
    wfi_content_range(out, 0, 0, 1000);
    assert_string_equal(out, "bytes */1000");
    assert_true(wfi_content_range(out, UINT64_MAX - 1, 1, UINT64_MAX) < sizeof out);
    assert_string_equal(out,
                        "bytes 18446744073709551614-18446744073709551614/18446744073709551615");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_range_is_a_part),
        cmocka_unit_test(ends_may_be_left_out_or_lie_beyond),
        cmocka_unit_test(what_starts_beyond_is_416),
        cmocka_unit_test(anything_else_is_the_whole),
        cmocka_unit_test(the_answer_says_which_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
