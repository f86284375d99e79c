/* SPDX-License-Identifier: MIT */
/*
 * Lines to a server that the test plays.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>

#include "celery/client/client_line.h"

static struct {
    int opened, closed, closed_silent;
    uint64_t number; /* of the connection that was used last */
    uint64_t good;   /* of the only one that answers */
} far;

static int open_it(const struct wfi_celery_url *url, const void *options, void **ret_connection,
                   wf_deadline deadline, struct wf_error *reterr)
{
    (void)url, (void)options, (void)deadline, (void)reterr;
    far.opened++;
    *ret_connection = &far;
    return 0;
}

static bool is_open(const void *connection)
{
    return connection == &far;
}

static void close_it(void *connection, bool silent)
{
    (void)connection;
    far.closed++;
    far.closed_silent += silent;
}

static const struct wfi_line_kind kind = {open_it, is_open, close_it};

static int act(void *arg, void *connection, uint64_t number, wf_deadline deadline,
               struct wf_error *reterr)
{
    (void)arg, (void)connection, (void)deadline, (void)reterr;
    far.number = number;
    return number == far.good ? 0 : -ETIMEDOUT;
}

static int use(struct wfi_line *line)
{
    return wfi_line_do(line, act, NULL, WF_FOREVER, NULL);
}

static void test_one_that_is_silent_is_replaced(void **state)
{
    static const struct wfi_celery_url url;
    struct wfi_line line;
    (void)state;
    far.good = 2;
    wfi_line_init(&line, &kind, &url, NULL, false);
    line.silence_ns = INT64_MAX; /* who was in a hurry has learned nothing */
    assert_int_equal(use(&line), -ETIMEDOUT);
    assert_int_equal(use(&line), -ETIMEDOUT);
    assert_int_equal(far.number, 1);
    line.silence_ns = 0; /* who waited long enough has */
    assert_int_equal(use(&line), -ETIMEDOUT);
    assert_int_equal(far.closed_silent, 1);
    assert_int_equal(use(&line), 0);
    assert_int_equal(far.number, 2);
    wfi_line_fini(&line);
    assert_int_equal(far.opened, 2);
    assert_int_equal(far.closed, 2);
    assert_int_equal(far.closed_silent, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_that_is_silent_is_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
