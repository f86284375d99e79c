/* SPDX-License-Identifier: MIT */
/* Pages of metrics, byte by byte. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "http/latency.h"
#include "http/metrics.h"

static void a_family_has_help_type_and_values(void **state)
{
    (void)state;
    struct wf_metrics page = {0};
    wf_metrics_family(&page, "shop_orders_total", WF_METRIC_COUNTER, "Orders.");
    wf_metrics_value(&page, (const char *[]){"country", "fr", "paid", "yes", NULL}, 17);
    wf_metrics_value(&page, (const char *[]){"country", "jp", "paid", "no", NULL}, 4);
    wfi_metrics_one(&page, "a:b_C9", WF_METRIC_GAUGE, "", 0.1);
    assert_int_equal(page.error, 0);
    assert_string_equal(wfi_buffer_text(&page.text),
                        "# HELP shop_orders_total Orders.\n"
                        "# TYPE shop_orders_total counter\n"
                        "shop_orders_total{country=\"fr\",paid=\"yes\"} 17\n"
                        "shop_orders_total{country=\"jp\",paid=\"no\"} 4\n"
                        "# HELP a:b_C9 \n"
                        "# TYPE a:b_C9 gauge\n"
                        "a:b_C9 0.1\n");
    wfi_buffer_reset(&page.text);
}

static void what_would_end_a_line_or_a_value_is_escaped(void **state)
{
    (void)state;
    struct wf_metrics page = {0};
    wf_metrics_family(&page, "m", WF_METRIC_GAUGE, "a\nb\\c\"d\"");
    wf_metrics_value(&page, (const char *[]){"l", "a\nb\\c\"d\"", "empty", "", NULL}, 1);
    assert_string_equal(wfi_buffer_text(&page.text), "# HELP m a\\nb\\\\c\"d\"\n"
                                                     "# TYPE m gauge\n"
                                                     "m{l=\"a\\nb\\\\c\\\"d\\\"\",empty=\"\"} 1\n");
    wfi_buffer_reset(&page.text);
}

static void numbers_read_back_as_they_were(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},
                 {-0.0, "-0"},
                 {3, "3"},
                 {100, "100"},
                 {9007199254740992, "9007199254740992"},
                 {1e300, "1e+300"},
                 {0.1 + 0.2, "0.30000000000000004"},
                 {-2.5, "-2.5"},
                 {5e-324, "5e-324"},
                 {INFINITY, "+Inf"},
                 {-INFINITY, "-Inf"},
                 {NAN, "NaN"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct wf_metrics page = {0};
        char want[64];
        wf_metrics_family(&page, "m", WF_METRIC_GAUGE, "");
        wf_metrics_value(&page, NULL, cases[i].value);
        snprintf(want, sizeof want, "# HELP m \n# TYPE m gauge\nm %s\n", cases[i].text);
        assert_string_equal(wfi_buffer_text(&page.text), want);
        wfi_buffer_reset(&page.text);
    }
}

/* The value that stands behind `start` at the beginning of a line. */
static double value_of(const char *page, const char *start)
{
    const char *at = strstr(page, start);
    assert_non_null(at);
    double value;
    assert_int_equal(sscanf(at + strlen(start), "%lf", &value), 1);
    return value;
}

static void a_histogram_counts_what_is_below_each_bound(void **state)
{
    (void)state;
    static struct wfi_latency counted;
    struct wf_latency latency;
    struct wf_metrics page = {0};
    wfi_latency_add(&counted, 0, 0);
    wfi_latency_add(&counted, 1, INT64_C(131071));      /* just below the first bound */
    wfi_latency_add(&counted, 2, INT64_C(131073));      /* and just above */
    wfi_latency_add(&counted, 3, INT64_C(300000000));   /* 0.3 s */
    wfi_latency_add(&counted, 4, INT64_C(99000000000)); /* above all bounds */
    wfi_latency_read(&counted, &latency);
    wfi_metrics_histogram(&page, "took_seconds", "Time.", &latency);
    const char *text = wfi_buffer_text(&page.text);
    assert_non_null(strstr(text, "# TYPE took_seconds histogram\n"));
    double before = 0;
    size_t buckets = 0;
    for (const char *at = text; (at = strstr(at, "took_seconds_bucket{le=\"")); at++, buckets++) {
        double le, count;
        if (sscanf(at, "took_seconds_bucket{le=\"%lf\"} %lf", &le, &count) == 2)
            assert_true(count >= before);
        before = count;
    }
    assert_int_equal(buckets, 21);
    assert_true(value_of(text, "_bucket{le=\"0.000131072\"} ") == 2);
    assert_true(value_of(text, "_bucket{le=\"0.000262144\"} ") == 3);
    assert_true(value_of(text, "_bucket{le=\"0.268435456\"} ") == 3);
    assert_true(value_of(text, "_bucket{le=\"0.536870912\"} ") == 4);
    assert_true(value_of(text, "_bucket{le=\"68.719476736\"} ") == 4);
    assert_true(value_of(text, "_bucket{le=\"+Inf\"} ") == 5);
    assert_true(value_of(text, "took_seconds_count ") == 5);
    assert_true(fabs(value_of(text, "took_seconds_sum ") - 99.300262144) < 1e-9);
    wfi_buffer_reset(&page.text);
}

static void a_page_that_is_not_whole_says_so(void **state)
{
    (void)state;
    static const struct wf_latency none;
    struct wf_metrics page = {.error = -ENOMEM};
    wfi_metrics_histogram(&page, "m_seconds", "Time.", &none);
    wfi_metrics_one(&page, "m", WF_METRIC_GAUGE, "", 1);
    assert_int_equal(page.error, -ENOMEM);
    assert_int_equal(page.text.len, 0);
    for (uint64_t n = 1;; n++) {
        page = (struct wf_metrics){0};
        wfi_alloc_watch(n);
        wfi_metrics_histogram(&page, "m_seconds", "Time.", &none);
        bool failed = wfi_alloc_unwatch();
        wfi_buffer_reset(&page.text);
        assert_int_equal(page.error, failed ? -ENOMEM : 0);
        if (!failed)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_family_has_help_type_and_values),
        cmocka_unit_test(what_would_end_a_line_or_a_value_is_escaped),
        cmocka_unit_test(numbers_read_back_as_they_were),
        cmocka_unit_test(a_histogram_counts_what_is_below_each_bound),
        cmocka_unit_test(a_page_that_is_not_whole_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
