/* SPDX-License-Identifier: MIT */
/* Order: whatever order things come in, they go out by number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "run/order.h"

static void things_come_out_by_number(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    static int things[COUNT + 1];
    struct order order = {0};
    uint64_t out = 0;
    /* 7 is prime to 500: every number once, far ahead and far behind. */
    for (uint64_t i = 0; i < COUNT; i++) {
        uint64_t number = i * 7 % COUNT + 1;
        assert_int_equal(order_put(&order, number, &things[number]), 0);
        int *thing;
        while ((thing = order_take(&order)))
            assert_int_equal(thing - things, ++out);
    }
    assert_int_equal(out, COUNT);
    assert_null(order_take(&order));
    order_fini(&order);
}

static void one_that_is_missing_holds_the_rest(void **state)
{
    (void)state;
    struct order order = {0};
    int things[4];
    assert_null(order_take(&order));
    assert_int_equal(order_ahead(&order, 1), 0);
    assert_int_equal(order_put(&order, 2, &things[2]), 0);
    assert_int_equal(order_put(&order, 3, &things[3]), 0);
    assert_null(order_take(&order));
    assert_int_equal(order_ahead(&order, 3), 2);
    assert_int_equal(order_put(&order, 1, &things[1]), 0);
    for (int i = 1; i <= 3; i++)
        assert_ptr_equal(order_take(&order), &things[i]);
    assert_int_equal(order_ahead(&order, 4), 0);
    assert_int_equal(order_put(&order, 5, things), 0);
    order_pass(&order);
    assert_ptr_equal(order_take(&order), things);
    order_fini(&order);
}

static void what_is_left_comes_out_in_order_too(void **state)
{
    (void)state;
    struct order order = {0};
    int things[64];
    for (uint64_t number = 40; number > 2; number -= 3)
        assert_int_equal(order_put(&order, number, &things[number]), 0);
    for (int number = 4; number <= 40; number += 3)
        assert_ptr_equal(order_take_any(&order), &things[number]);
    assert_null(order_take_any(&order));
    order_fini(&order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(things_come_out_by_number),
        cmocka_unit_test(one_that_is_missing_holds_the_rest),
        cmocka_unit_test(what_is_left_comes_out_in_order_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
