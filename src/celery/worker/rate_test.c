/* SPDX-License-Identifier: MIT */
/* Rate limits, in a time of the test's own. */
#include "celery/worker/rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000000)

static void without_a_limit_all_go(void **state)
{
    (void)state;
    struct wfi_rate rate = {0};
    for (int i = 0; i < 100; i++)
        assert_int_equal(wfi_rate_take(&rate, 5), 0);
}

static void one_at_once_and_then_at_the_pace(void **state)
{
    (void)state;
    struct wfi_rate rate = {0};
    wfi_rate_set(&rate, 10.0 / 60, 100 * SECOND);
    assert_int_equal(wfi_rate_take(&rate, 100 * SECOND), 0);
    assert_int_equal(wfi_rate_take(&rate, 100 * SECOND), 6 * SECOND);
    assert_int_equal(wfi_rate_take(&rate, 103 * SECOND), 3 * SECOND);
    assert_int_equal(wfi_rate_take(&rate, 106 * SECOND), 0);
    assert_int_equal(wfi_rate_take(&rate, 106 * SECOND), 6 * SECOND);
    /* However long nobody came, there is one token. */
    assert_int_equal(wfi_rate_take(&rate, 1000 * SECOND), 0);
    assert_int_equal(wfi_rate_take(&rate, 1000 * SECOND), 6 * SECOND);
}

static void another_rate_counts_at_once(void **state)
{
    (void)state;
    struct wfi_rate rate = {0};
    wfi_rate_set(&rate, 1e-30, 0);
    assert_int_equal(wfi_rate_take(&rate, 0), 0);
    assert_true(wfi_rate_take(&rate, SECOND) > 365 * 24 * 3600 * SECOND);
    wfi_rate_set(&rate, 1000, 2 * SECOND);
    assert_int_equal(wfi_rate_take(&rate, 2 * SECOND), 0);
    assert_int_equal(wfi_rate_take(&rate, 2 * SECOND), SECOND / 1000);
    wfi_rate_set(&rate, 0, 2 * SECOND);
    assert_int_equal(wfi_rate_take(&rate, 2 * SECOND), 0);
    assert_int_equal(wfi_rate_take(&rate, 2 * SECOND), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_limit_all_go),
        cmocka_unit_test(one_at_once_and_then_at_the_pace),
        cmocka_unit_test(another_rate_counts_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
