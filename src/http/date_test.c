/* SPDX-License-Identifier: MIT */
/* Dates: the examples of RFC 9110, every day of some centuries against the C library. */
#include "http/date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#define NOV_1994 INT64_C(784111777)

static bool parse(const char *text, int64_t *ret)
{
    return wfi_date_parse((struct wfi_text){text, strlen(text)}, INT64_C(1700000000), ret);
}

static void three_spellings_are_read(void **state)
{
    (void)state;
    static const char *const texts[] = {"Sun, 06 Nov 1994 08:49:37 GMT",
                                        "Sunday, 06-Nov-94 08:49:37 GMT",
                                        "Sun Nov  6 08:49:37 1994"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int64_t seconds = 0;
        assert_true(parse(texts[i], &seconds));
        assert_int_equal(seconds, NOV_1994);
    }
    int64_t seconds;
    assert_true(parse("Sun Nov 16 08:49:37 1994", &seconds));
    assert_int_equal(seconds, NOV_1994 + 10 * 86400);
    assert_true(parse("Sat, 31 Dec 2016 23:59:60 GMT", &seconds));
    assert_int_equal(seconds, INT64_C(1483228800));
}

static void two_digits_are_at_most_fifty_years_ahead(void **state)
{
    (void)state;
    int64_t seconds; /* now is in 2023 */
    assert_true(parse("Sunday, 01-Jan-73 00:00:00 GMT", &seconds));
    assert_int_equal(wfi_date_split(seconds).year, 2073);
    assert_true(parse("Sunday, 01-Jan-74 00:00:00 GMT", &seconds));
    assert_int_equal(wfi_date_split(seconds).year, 1974);
}

static void what_is_no_date_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "0",
        "Sun",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Wed, 29 Feb 1995 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "1994-11-06T08:49:37Z",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int64_t seconds = 7;
        assert_false(parse(texts[i], &seconds));
        assert_int_equal(seconds, 7);
    }
}

static void every_day_is_the_c_librarys(void **state)
{
    (void)state;
    for (int64_t day = -25000; day < 50000; day++) {
        const time_t seconds = (time_t)(day * 86400 + (day * 7919 % 86400 + 86400) % 86400);
        struct tm tm;
        assert_non_null(gmtime_r(&seconds, &tm));
        char expected[64], out[WFI_DATE_BYTES];
        strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        wfi_date_format(seconds, out);
        assert_string_equal(out, expected);
        int64_t back;
        assert_true(parse(out, &back));
        assert_int_equal(back, seconds);
    }
}

static void the_ends_of_four_digits_hold(void **state)
{
    (void)state;
    char out[WFI_DATE_BYTES];
    wfi_date_format(INT64_MIN, out);
    assert_string_equal(out, "Sat, 01 Jan 0000 00:00:00 GMT");
    wfi_date_format(INT64_MAX, out);
    assert_string_equal(out, "Fri, 31 Dec 9999 23:59:59 GMT");
    int64_t seconds;
    assert_true(parse("Sat, 01 Jan 0000 00:00:00 GMT", &seconds));
    wfi_date_format(seconds, out);
    assert_string_equal(out, "Sat, 01 Jan 0000 00:00:00 GMT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_spellings_are_read),
        cmocka_unit_test(two_digits_are_at_most_fifty_years_ahead),
        cmocka_unit_test(what_is_no_date_is_refused),
        cmocka_unit_test(every_day_is_the_c_librarys),
        cmocka_unit_test(the_ends_of_four_digits_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
