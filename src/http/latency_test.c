/* SPDX-License-Identifier: MIT */
/* Durations find their buckets, quantiles come out within an eighth, differences are right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <weft/fibers.h>
#include <weft/scope.h>
#include <weft/task.h>
#include <weft/time.h>

#include "http/latency.h"

static struct wfi_latency latency;
static struct wf_latency seen;

static int empty(void **state)
{
    (void)state;
    latency = (struct wfi_latency){0};
    return 0;
}

static size_t only_bucket(void)
{
    size_t found = WF_LATENCY_BUCKETS;
    for (size_t i = 0; i < WF_LATENCY_BUCKETS; i++)
        if (seen.buckets[i]) {
            assert_int_equal(found, WF_LATENCY_BUCKETS);
            found = i;
        }
    return found;
}

static void a_duration_lies_within_its_bucket(void **state)
{
    (void)state;
    for (int64_t ns = 0; ns < WF_SECONDS(1000); ns = ns * 9 / 8 + 1) {
        empty(NULL);
        wfi_latency_add(&latency, 3, ns);
        wfi_latency_read(&latency, &seen);
        size_t at = only_bucket();
        assert_true(at < WF_LATENCY_BUCKETS);
        assert_true(ns < wf_latency_bound(at));
        assert_true(at == 0 || ns >= wf_latency_bound(at - 1));
        assert_int_equal(seen.max_ns, ns);
        assert_int_equal(seen.sum_ns, ns);
    }
}

static void bounds_grow_by_an_eighth_at_most(void **state)
{
    (void)state;
    assert_int_equal(wf_latency_bound(0), 128);
    for (size_t i = 8; i < WF_LATENCY_BUCKETS - 1; i++) {
        int64_t before = wf_latency_bound(i - 1), bound = wf_latency_bound(i);
        assert_true(bound > before && bound - before <= before / 8);
    }
    assert_int_equal(wf_latency_bound(WF_LATENCY_BUCKETS - 1), INT64_MAX);
    assert_true(wf_latency_bound(WF_LATENCY_BUCKETS - 2) > WF_SECONDS(68));
}

static void quantiles_are_an_eighth_too_large_at_most(void **state)
{
    (void)state;
    for (int i = 1; i <= 1000; i++)
        wfi_latency_add(&latency, (uint64_t)i, WF_MICROSECONDS(i));
    wfi_latency_read(&latency, &seen);
    assert_int_equal(seen.count, 1000);
    assert_int_equal(seen.sum_ns, WF_MICROSECONDS(500500));
    const int64_t parts[][2] = {{50, 500}, {90, 900}, {99, 990}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        int64_t found = wf_latency_quantile(&seen, (double)parts[i][0] / 100);
        int64_t exact = WF_MICROSECONDS(parts[i][1]);
        assert_true(found >= exact && found <= exact + exact / 8);
    }
    assert_int_equal(wf_latency_quantile(&seen, 1.0), WF_MICROSECONDS(1000));
    assert_true(wf_latency_quantile(&seen, 0.0) >= WF_MICROSECONDS(1));
}

static void nothing_counted_has_no_quantile(void **state)
{
    (void)state;
    wfi_latency_read(&latency, &seen);
    assert_int_equal(seen.count, 0);
    assert_int_equal(wf_latency_quantile(&seen, 0.99), 0);
}

static void the_difference_of_two_is_what_came_between(void **state)
{
    (void)state;
    wfi_latency_add(&latency, 0, WF_SECONDS(3));
    struct wf_latency before;
    wfi_latency_read(&latency, &before);
    wfi_latency_add(&latency, 1, WF_MILLISECONDS(2));
    wfi_latency_add(&latency, 2, WF_MILLISECONDS(4));
    wfi_latency_read(&latency, &seen);
    assert_int_equal(seen.max_ns, WF_SECONDS(3));
    wf_latency_subtract(&seen, &before);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.sum_ns, WF_MILLISECONDS(6));
    assert_true(seen.max_ns >= WF_MILLISECONDS(4) && seen.max_ns <= WF_MILLISECONDS(4.5));
    before = seen;
    wf_latency_subtract(&seen, &before);
    assert_int_equal(seen.count, 0);
    assert_int_equal(wf_latency_quantile(&seen, 0.5), 0);
}

enum { WRITERS = 4, EACH = 2000 };

WF_TASK(wf_none, latency_writer, (uint64_t, number))

int latency_writer(struct wf_task *self, uint64_t number, wf_none *ret)
{
    (void)self, (void)ret;
    for (int i = 0; i < EACH; i++)
        wfi_latency_add(&latency, number % 2, WF_MICROSECONDS(10));
    return 0;
}
WF_TASK_DEFINE(latency_writer)

static void nothing_is_lost_among_many_writers(void **state)
{
    (void)state;
    struct wf_executor *on;
    assert_int_equal(wf_fibers_create(&(struct wf_fibers_options){.workers = 4}, &on, NULL), 0);
    WF_SCOPE(scope, on, WF_FOREVER) {
        for (uint64_t i = 0; i < WRITERS; i++)
            assert_int_equal(latency_writer_go(scope, i), 0);
        wfi_latency_read(&latency, &seen); /* beside the writers: no more than they wrote */
        assert_true(seen.count <= WRITERS * EACH);
    }
    wf_executor_destroy(on);
    wfi_latency_read(&latency, &seen);
    assert_int_equal(seen.count, WRITERS * EACH);
    assert_int_equal(seen.sum_ns, WRITERS * EACH * WF_MICROSECONDS(10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_duration_lies_within_its_bucket, empty),
        cmocka_unit_test_setup(bounds_grow_by_an_eighth_at_most, empty),
        cmocka_unit_test_setup(quantiles_are_an_eighth_too_large_at_most, empty),
        cmocka_unit_test_setup(nothing_counted_has_no_quantile, empty),
        cmocka_unit_test_setup(the_difference_of_two_is_what_came_between, empty),
        cmocka_unit_test_setup(nothing_is_lost_among_many_writers, empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
