/* SPDX-License-Identifier: MIT */
/* Points in time: both directions, against the C library's calendar, and what is refused. */
#include "celery/message/moment.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

static void check(const char *text, int64_t expected)
{
    int64_t us = 0;
    const int err = wfi_moment_read(text, strlen(text), &us);
    if (err || us != expected)
        fail_msg("%s: %d, %lld", text, err, (long long)us);
}

static void reads_every_form_that_python_writes(void **state)
{
    (void)state;
    const int64_t us = INT64_C(1795224999278444); /* 2026-11-21T01:36:39.278444Z */
    check("2026-11-21T01:36:39.278444+00:00", us);
    check("2026-11-21T01:36:39.278444Z", us);
    check("2026-11-21T01:36:39.278444", us); /* naive is UTC */
    check("2026-11-21 01:36:39.278444", us);
    check("2026-11-21T02:36:39.278444+01:00", us);
    check("2026-11-21T07:06:39.278444+05:30", us);
    check("2026-11-21T07:06:39.278444+0530", us);
    check("2026-11-20T18:36:39.278444-07:00", us);
    check("2026-11-20T18:36:39.278444-07", us);
    check("2026-11-21T01:36:54.278444+00:00:15", us);
    check("2026-11-21T01:36:39.2784449999999Z", us);
    check("2026-11-21T01:36:39,278444Z", us);
    check("2026-11-21T01:36:39+00:00", us - 278444);
    check("2026-11-21T01:36", us - 39278444);
    check("2026-11-21", us - 39278444 - INT64_C(96) * 60 * 1000000);
    check("2026-11-21T01:36:39.5", us + 500000 - 278444);
    check("1970-01-01T00:00:00", 0);
    check("1969-12-31T23:59:59.999999", -1);
    check("0001-01-01T00:00:00", INT64_C(-62135596800000000));
    check("9999-12-31T23:59:59.999999", INT64_C(253402300799999999));
    check("2024-02-29T00:00:00", INT64_C(1709164800000000));
    check("2000-02-29T00:00:00", INT64_C(951782400000000));
}

static void refuses_what_is_no_moment(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "now",
                                        "2026",
                                        "2026-11",
                                        "2026-1-21",
                                        "0000-01-01",
                                        "2026-13-01",
                                        "2026-00-01",
                                        "2026-04-31",
                                        "2026-02-29",
                                        "1900-02-29",
                                        "2026-11-21T",
                                        "2026-11-21T1",
                                        "2026-11-21T24:00",
                                        "2026-11-21T01:60",
                                        "2026-11-21T01:36:60",
                                        "2026-11-21T01:36:39.",
                                        "2026-11-21T01:36:39.Z",
                                        "2026-11-21T01:36:39+",
                                        "2026-11-21T01:36:39+1",
                                        "2026-11-21T01:36:39+24:00",
                                        "2026-11-21T01:36:39+00:60",
                                        "2026-11-21T01:36:39+00:",
                                        "2026-11-21T01:36:39Zx",
                                        "2026-11-21x01:36",
                                        " 2026-11-21",
                                        "2026-11-21T01:36:39+00:00 ",
                                        "1795224999.27"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int64_t us = 77;
        if (wfi_moment_read(wrong[i], strlen(wrong[i]), &us) != -EINVAL || us != 77)
            fail_msg("%s was taken", wrong[i]);
    }
}

static void writes_as_isoformat_does(void **state)
{
    (void)state;
    char text[WFI_MOMENT_BYTES];
    assert_int_equal(wfi_moment_write(INT64_C(1795224999278444), true, text), 32);
    assert_string_equal(text, "2026-11-21T01:36:39.278444+00:00");
    wfi_moment_write(INT64_C(1795224999278444), false, text);
    assert_string_equal(text, "2026-11-21T01:36:39.278444");
    wfi_moment_write(INT64_C(1795224999000000), true, text);
    assert_string_equal(text, "2026-11-21T01:36:39+00:00");
    wfi_moment_write(INT64_C(1795224999000001), false, text);
    assert_string_equal(text, "2026-11-21T01:36:39.000001");
    wfi_moment_write(-1, false, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999999");
    wfi_moment_write(INT64_MIN, true, text);
    assert_string_equal(text, "0001-01-01T00:00:00+00:00");
    assert_int_equal(wfi_moment_write(INT64_MAX, true, text), 32);
    assert_string_equal(text, "9999-12-31T23:59:59.999999+00:00");
}

static void knows_the_calendar_of_the_c_library(void **state)
{
    (void)state;
    /* Steps of 37 days and a bit meet every day of every month, and every kind of year. */
    for (int64_t s = INT64_C(-62135596800); s <= INT64_C(253402300799); s += 37 * 86400 + 12345) {
        const time_t t = (time_t)s;
        struct tm tm;
        char expected[80], text[WFI_MOMENT_BYTES];
        gmtime_r(&t, &tm);
        snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        wfi_moment_write(s * 1000000, false, text);
        assert_string_equal(text, expected);
        check(text, s * 1000000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_form_that_python_writes),
        cmocka_unit_test(refuses_what_is_no_moment),
        cmocka_unit_test(writes_as_isoformat_does),
        cmocka_unit_test(knows_the_calendar_of_the_c_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
