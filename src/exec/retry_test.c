/* SPDX-License-Identifier: MIT */
#include "engines.h"

#include <errno.h>

#include <weft/retry.h>

struct trial {
    int good_at, calls, code;
};

static int attempt(void *arg, int number, struct wf_error *reterr)
{
    struct trial *trial = arg;
    check_int(number, ++trial->calls);
    return number == trial->good_at ? 5 : wf_error_set(reterr, trial->code, "busy");
}

static const struct wf_retry_options quick = {
    .attempts = 3, .first_ns = WF_MICROSECONDS(10), .jitter = -1, .seed = 1};

static void tries(struct wf_executor *on)
{
    (void)on;
    struct wf_error error = {0};
    struct trial trial = {.good_at = 3, .code = -EAGAIN};
    check_int(wf_retry(&quick, attempt, &trial, WF_FOREVER, &error), 5);
    check_int(trial.calls, 3);
    check_int(error.code, 0);

    trial = (struct trial){.code = -EAGAIN};
    check_int(wf_retry(&quick, attempt, &trial, WF_FOREVER, &error), -EAGAIN);
    check_int(trial.calls, 3);
    check(strcmp(error.text, "after 3 attempts: busy") == 0);

    trial = (struct trial){.code = -EINVAL}; /* not worth another */
    check_int(wf_retry(&quick, attempt, &trial, WF_FOREVER, &error), -EINVAL);
    check_int(trial.calls, 1);

    /* The deadline would pass before the next one: it is not waited for. */
    trial = (struct trial){.code = -EAGAIN};
    struct wf_retry_options slow = {
        .attempts = 3, .first_ns = WF_SECONDS(1000), .max_ns = WF_SECONDS(1000)};
    int64_t before = wf_now();
    check_int(wf_retry(&slow, attempt, &trial, wf_after(WF_SECONDS(100)), &error), -EAGAIN);
    check_int(trial.calls, 1);
    check(wf_now() - before < WF_SECONDS(50));

    trial = (struct trial){.code = -EAGAIN};
    check_int(
        wf_retry(&(struct wf_retry_options){.jitter = 1.5}, attempt, &trial, WF_FOREVER, &error),
        -EINVAL);
    check_int(trial.calls, 0);

    WF_SCOPE(scope, on, WF_FOREVER) {
        wf_scope_cancel(scope);
        check_int(wf_retry(&slow, attempt, &trial, WF_FOREVER, &error), -ECANCELED);
        check_int(error.code, -ECANCELED);
        check_int(trial.calls, 1);
    }
}

static void a_call_is_tried_again(void **state)
{
    (void)state;
    engine_run(&engines[0], tries);
    engine_run(&engines[5], tries); /* on a fiber */
}

static void waits_grow_vary_and_repeat_with_the_seed(void **state)
{
    (void)state;
    struct wf_retry_options o = {.first_ns = 100, .max_ns = 1000, .factor = 3, .jitter = -1};
    uint64_t s = 1;
    assert_int_equal(wf_retry_delay(&o, 1, &s), 100);
    assert_int_equal(wf_retry_delay(&o, 2, &s), 300);
    assert_int_equal(wf_retry_delay(&o, 3, &s), 900);
    assert_int_equal(wf_retry_delay(&o, 4, &s), 1000);
    assert_int_equal(wf_retry_delay(&o, 1000000, &s), 1000);
    o.jitter = 0.5;
    o.first_ns = 1000000;
    o.max_ns = 1000000;
    int64_t first[20];
    bool varies = false;
    uint64_t a = 7, b = 7;
    for (int i = 0; i < 20; i++) {
        first[i] = wf_retry_delay(&o, 1, &a);
        assert_true(first[i] > 500000 - 1 && first[i] <= 1000000);
        varies |= first[i] != first[0];
    }
    assert_true(varies);
    for (int i = 0; i < 20; i++)
        assert_int_equal(wf_retry_delay(&o, 1, &b), first[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_tried_again),
        cmocka_unit_test(waits_grow_vary_and_repeat_with_the_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
