/* SPDX-License-Identifier: MIT */
/* Promises: FUT-08, and a future without a task under everything else. */
#include "engines.h"

#include <errno.h>

#include <weft/promise.h>

WF_PROMISE(int, answer)
WF_TASK(int, await, (struct wf_future *, f), (WFI_ATOMIC(int) *, waiting))
WF_TASK(int, offer, (struct wf_promise *, promise), (int, value))

int await(struct wf_task *self, struct wf_future *f, WFI_ATOMIC(int) * waiting, int *ret)
{
    (void)self;
    wfi_fetch_add(waiting, 1);
    int err = wf_future_wait(f, party_soon());
    *ret = 0;
    return err ? err : wf_future_error(f, WF_NOW, NULL);
}
WF_TASK_DEFINE(await)

int offer(struct wf_task *self, struct wf_promise *promise, int value, int *ret)
{
    (void)self;
    *ret = wf_promise_resolve(promise, &value) == 0;
    return 0;
}
WF_TASK_DEFINE(offer)

/* FUT-08 */
static void the_first_outcome_stays(void **state)
{
    (void)state;
    answer_promise p;
    answer_future f;
    struct wf_error error;
    int value = 0;
    assert_int_equal(answer_promise_create(&p, &f, NULL), 0);
    assert_int_equal(wf_future_state(f.future), WF_FUTURE_PENDING);
    assert_int_equal(answer_result(&f, &value, WF_NOW, &error), -ETIMEDOUT);
    assert_int_equal(answer_resolve(p, 42), 0);
    assert_int_equal(answer_resolve(p, 43), WF_ESTATE);
    assert_int_equal(answer_reject(p, -EIO, "late"), WF_ESTATE);
    assert_int_equal(wf_future_cancel(f.future), WF_CANCEL_TOO_LATE);
    answer_promise_destroy(&p);
    assert_null(p.promise);
    assert_int_equal(answer_result(&f, &value, WF_NOW, NULL), 0);
    assert_int_equal(value, 42);

    assert_int_equal(answer_promise_create(&p, &f, NULL), 0);
    assert_int_equal(answer_reject(p, -EIO, "no line"), 0);
    assert_int_equal(answer_reject(p, -EPROTO, "late"), WF_ESTATE);
    assert_int_equal(answer_resolve(p, 43), WF_ESTATE);
    assert_int_equal(answer_result(&f, &value, WF_NOW, &error), -EIO);
    assert_string_equal(error.text, "no line");
    assert_string_equal(error.task, "answer");
    answer_promise_destroy(&p);
}

static void an_unkept_promise_is_broken(void **state)
{
    (void)state;
    answer_promise p;
    answer_future f;
    struct wf_error error;
    assert_int_equal(answer_promise_create(&p, &f, NULL), 0);
    answer_promise_destroy(&p);
    answer_promise_destroy(&p);
    assert_int_equal(answer_result(&f, NULL, WF_NOW, &error), WF_EBROKEN);
    assert_non_null(strstr(error.text, "answer"));

    assert_int_equal(answer_promise_create(&p, &f, NULL), 0);
    answer_drop(&f);
    assert_int_equal(answer_resolve(p, 1), 0);
    answer_promise_destroy(&p);
}

static void a_cancelled_promise_cannot_be_kept(void **state)
{
    (void)state;
    answer_promise p;
    answer_future f;
    assert_int_equal(answer_promise_create(&p, &f, NULL), 0);
    assert_int_equal(wf_future_cancel(f.future), WF_CANCEL_REMOVED);
    assert_int_equal(answer_resolve(p, 1), WF_ESTATE);
    assert_int_equal(answer_result(&f, NULL, WF_NOW, NULL), -ECANCELED);
    answer_promise_destroy(&p);
}

/* Many wait; one of many keeps it. */
static void crowd(struct wf_executor *on)
{
    if (strcmp(wf_executor_engine(on), "threads") == 0 && wf_executor_workers(on) == 1)
        return;
    struct wf_executor *others = engine_start(&engines[4]);
    for (int round = 0; round < 20; round++) {
        answer_promise p;
        answer_future f;
        WFI_ATOMIC(int) waiting = 0;
        check_int(answer_promise_create(&p, &f, NULL), 0);
        await_future waiters[3];
        offer_future offers[4];
        for (int i = 0; i < 3; i++)
            waiters[i] = await_submit(on, f.future, &waiting);
        if (round % 2)
            party_reaches(&waiting, 3);
        for (int i = 0; i < 4; i++)
            offers[i] = offer_submit(others, p.promise, i);
        int value = -1, winners = 0, winner = -1;
        for (int i = 0; i < 3; i++)
            check_int(await_result(&waiters[i], &value, party_soon(), NULL), 0);
        for (int i = 0; i < 4; i++) {
            check_int(offer_result(&offers[i], &value, party_soon(), NULL), 0);
            winners += value;
            if (value)
                winner = i;
        }
        check_int(winners, 1);
        check_int(answer_result(&f, &value, WF_NOW, NULL), 0);
        check_int(value, winner);
        answer_promise_destroy(&p);
    }
    wf_executor_destroy(others);
}

static void one_of_many_keeps_it_for_all(void **state)
{
    (void)state;
    ON_CONCURRENT(crowd);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        answer_promise p;
        answer_future f;
        wfi_alloc_watch(n);
        int err = answer_promise_create(&p, &f, NULL), code = 0;
        if (!err) {
            answer_reject(p, -EIO, "text");
            code = answer_result(&f, NULL, WF_NOW, NULL);
            answer_promise_destroy(&p);
        }
        bool reached = wfi_alloc_unwatch();
        assert_true(err == -ENOMEM || code == -EIO);
        if (!reached)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_outcome_stays),
        cmocka_unit_test(an_unkept_promise_is_broken),
        cmocka_unit_test(a_cancelled_promise_cannot_be_kept),
        cmocka_unit_test(one_of_many_keeps_it_for_all),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
