/* SPDX-License-Identifier: MIT */
/* Limits, four ways. */
#include "party.h"

#include <errno.h>
#include <math.h>

#include <weft/limit.h>

struct shared {
    struct wf_limit *limit;
    WFI_ATOMIC(int) step, inside, per_key[3], done, order;
    int ranks[PARTY_MAX];
    int64_t begun[PARTY_MAX];
    int fails;
};

static struct shared *open_shared(struct wf_limit_options options)
{
    static struct shared s;
    memset((void *)&s, 0, sizeof s);
    assert_int_equal(wf_limit_create(&options, &s.limit, NULL), 0);
    return &s;
}

static const char *const keys[] = {"a.example", "b.example", "c.example"};

static void comes_and_goes(struct party *self)
{
    struct shared *s = self->arg;
    struct wfi_random random;
    wfi_random_seed(&random, (uint64_t)self->index + 2);
    for (int i = 0; i < 100; i++) {
        uint64_t key = wfi_random_below(&random, 4);
        const char *name = key < 3 ? keys[key] : NULL;
        int err;
        switch (wfi_random_below(&random, 3)) {
        case 0:
            err = wf_limit_try_acquire(s->limit, name);
            break;
        case 1:
            err = wf_limit_acquire(s->limit, name, wf_after(WF_MICROSECONDS(30)));
            break;
        default:
            err = wf_limit_acquire(s->limit, name, party_soon());
        }
        if (err) {
            party_check(err == -EAGAIN || err == -ETIMEDOUT);
            wfi_yield();
            continue;
        }
        party_check(wfi_fetch_add(&s->inside, 1) < 4);
        if (name)
            party_check(wfi_fetch_add(&s->per_key[key], 1) < 2);
        wfi_yield();
        if (name)
            wfi_fetch_sub(&s->per_key[key], 1);
        wfi_fetch_sub(&s->inside, 1);
        party_equal(wf_limit_release(s->limit, name), 0);
    }
}

static void no_more_are_held_than_in_total_and_per_key(void **state)
{
    struct shared *s = open_shared((struct wf_limit_options){.total = 4, .per_key = 2});
    party_run(party_mode_of(state), 8, comes_and_goes, s);
    for (int i = 0; i < 4; i++)
        assert_int_equal(wf_limit_try_acquire(s->limit, NULL), 0);
    assert_int_equal(wf_limit_try_acquire(s->limit, NULL), -EAGAIN);
    for (int i = 0; i < 4; i++)
        assert_int_equal(wf_limit_release(s->limit, NULL), 0);
    wf_limit_destroy(s->limit);
}

static void what_is_not_held_cannot_be_released(void **state)
{
    (void)state;
    struct shared *s = open_shared((struct wf_limit_options){.total = 2, .per_key = 1});
    assert_int_equal(wf_limit_release(s->limit, NULL), WF_ESTATE);
    assert_int_equal(wf_limit_release(s->limit, "a"), WF_ESTATE);
    assert_int_equal(wf_limit_acquire(s->limit, "a", WF_NOW), 0);
    assert_int_equal(wf_limit_release(s->limit, NULL), WF_ESTATE);
    assert_int_equal(wf_limit_release(s->limit, "b"), WF_ESTATE);
    assert_int_equal(wf_limit_acquire(s->limit, "a", WF_NOW), -ETIMEDOUT);
    assert_int_equal(wf_limit_try_acquire(s->limit, "a"), -EAGAIN);
    assert_int_equal(wf_limit_try_acquire(s->limit, "b"), 0);
    assert_int_equal(wf_limit_try_acquire(s->limit, "c"), -EAGAIN); /* the total */
    assert_int_equal(wf_limit_release(s->limit, "a"), 0);
    assert_int_equal(wf_limit_release(s->limit, "a"), WF_ESTATE);
    assert_int_equal(wf_limit_release(s->limit, "b"), 0);
    wf_limit_destroy(s->limit);
    wf_limit_destroy(NULL);
}

/* Party 1 waits for a busy key; the others want another one and pass; then 2.. in order. */
static void waits_for_a_busy_key(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        party_equal(wf_limit_acquire(s->limit, "busy", party_soon()), 0);
        for (int i = 1; i <= 3; i++) {
            wfi_store(&s->step, i);
            party_parked(party_at(self, i), "semaphore");
        }
        party_equal(wf_limit_acquire(s->limit, "idle", WF_NOW), 0);
        party_cancel(party_at(self, 2));
        party_ended(party_at(self, 2));
        party_equal(wf_limit_release(s->limit, "busy"), 0);
        party_reaches(&s->order, 2);
        party_equal(wf_limit_release(s->limit, "idle"), 0);
        return;
    }
    party_reaches(&s->step, self->index);
    int err = wf_limit_acquire(s->limit, "busy", party_soon());
    party_equal(err, self->index == 2 ? -ECANCELED : 0);
    if (!err) {
        s->ranks[self->index] = wfi_fetch_add(&s->order, 1);
        party_equal(wf_limit_release(s->limit, "busy"), 0);
    }
}

/* ASY-06 */
static void who_waits_for_a_key_is_served_in_order_and_holds_up_no_other_key(void **state)
{
    struct shared *s = open_shared((struct wf_limit_options){.total = 2, .per_key = 1});
    party_run(party_mode_of(state), 4, waits_for_a_busy_key, s);
    assert_int_equal(s->ranks[1], 0);
    assert_int_equal(s->ranks[3], 1);
    wf_limit_destroy(s->limit);
}

enum { RATE = 500, BURST = 3 };

static void begins_at_a_rate(struct party *self)
{
    struct shared *s = self->arg;
    for (int i = 0; i < 4; i++) {
        party_equal(wf_limit_acquire(s->limit, NULL, party_soon()), 0);
        s->begun[wfi_fetch_add(&s->done, 1)] = wf_now();
        party_equal(wf_limit_release(s->limit, NULL), 0);
    }
}

static void things_begin_no_faster_than_the_rate_but_for_the_burst(void **state)
{
    struct shared *s = open_shared((struct wf_limit_options){.per_second = RATE, .burst = BURST});
    int64_t begin = wf_now();
    party_run(party_mode_of(state), 5, begins_at_a_rate, s);
    assert_int_equal(wfi_load(&s->done), 20);
    /* The n-th cannot begin before (n - BURST) intervals are over. */
    for (int n = 0; n < 20; n++) {
        int64_t after = s->begun[n] - begin;
        int64_t earliest = n < BURST ? 0 : (n + 1 - BURST) * (WF_SECONDS(1) / RATE);
        assert_true(after >= earliest);
        assert_true(after < WF_SECONDS(20));
    }
    wf_limit_destroy(s->limit);
}

/* With one token an hour: the head gives up, the next becomes head, all can be cancelled. */
static void gives_up_in_line(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        party_equal(wf_limit_acquire(s->limit, NULL, party_soon()), 0);
        party_equal(wf_limit_try_acquire(s->limit, NULL), -EAGAIN);
        int64_t begin = wf_now();
        party_equal(wf_limit_acquire(s->limit, NULL, wf_after(WF_MILLISECONDS(5))), -ETIMEDOUT);
        party_check(wf_now() - begin >= WF_MILLISECONDS(5));
        for (int i = 1; i < self->count; i++) {
            wfi_store(&s->step, i);
            party_parked(party_at(self, i), "limit");
        }
        for (int i = 1; i < self->count; i++) {
            party_cancel(party_at(self, i));
            party_ended(party_at(self, i));
        }
        party_equal(wf_limit_release(s->limit, NULL), 0);
        return;
    }
    party_reaches(&s->step, self->index);
    party_equal(wf_limit_acquire(s->limit, NULL, party_soon()), -ECANCELED);
}

/* ASY-01 */
static void a_line_without_tokens_can_be_left_from_either_end(void **state)
{
    struct shared *s = open_shared((struct wf_limit_options){.per_second = 1.0 / 3600});
    party_run(party_mode_of(state), 5, gives_up_in_line, s);
    assert_int_equal(wf_limit_try_acquire(s->limit, NULL), -EAGAIN);
    wf_limit_destroy(s->limit);
}

/* The head's patience ends before the next token is due; the one behind it gets that token. */
static void leaves_the_head(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        party_equal(wf_limit_acquire(s->limit, NULL, WF_NOW), 0);
        for (int i = 1; i <= 2; i++) {
            wfi_store(&s->step, i);
            while (!party_is_parked(party_at(self, i), "limit") &&
                   !wfi_load(&party_at(self, i)->ended))
                wfi_yield();
        }
        return;
    }
    party_reaches(&s->step, self->index);
    int err = wf_limit_acquire(s->limit, NULL,
                               self->index == 1 ? wf_after(WF_MILLISECONDS(2)) : party_soon());
    /* On a machine that stands still for 50 ms the token may come first. */
    party_check(err == 0 || (self->index == 1 && err == -ETIMEDOUT));
    if (!err)
        wfi_fetch_add(&s->done, 1);
}

static void whoever_is_behind_a_head_that_leaves_takes_its_place(void **state)
{
    struct shared *s = open_shared((struct wf_limit_options){.per_second = 20});
    party_run(party_mode_of(state), 3, leaves_the_head, s);
    assert_in_range(wfi_load(&s->done), 1, 2);
    for (int i = wfi_load(&s->done); i >= 0; i--)
        assert_int_equal(wf_limit_release(s->limit, NULL), 0);
    wf_limit_destroy(s->limit);
}

static void impossible_options_and_missing_memory_are_reported(void **state)
{
    (void)state;
    struct wf_limit *limit = NULL;
    double rates[] = {-1, 1e-30, (double)NAN};
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            wf_limit_create(&(struct wf_limit_options){.per_second = rates[i]}, &limit, NULL),
            -EINVAL);
    assert_int_equal(wf_limit_create(&(struct wf_limit_options){.total = UINT64_MAX}, &limit, NULL),
                     -EINVAL);
    for (uint64_t n = 1;; n++) {
        wfi_alloc_watch(n);
        struct wf_limit_options options = {.per_key = 1, .per_second = 1e12};
        int err = wf_limit_create(&options, &limit, NULL);
        if (!err) {
            err = wf_limit_acquire(limit, "key", WF_NOW);
            if (!err)
                assert_int_equal(wf_limit_release(limit, "key"), 0);
            wf_limit_destroy(limit);
        }
        assert_int_equal(wfi_alloc_live(), 0);
        if (!wfi_alloc_unwatch()) {
            assert_int_equal(err, 0);
            assert_true(n > 2);
            break;
        }
        assert_int_equal(err, -ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PARTY_TEST(no_more_are_held_than_in_total_and_per_key),
        cmocka_unit_test(what_is_not_held_cannot_be_released),
        PARTY_TEST(who_waits_for_a_key_is_served_in_order_and_holds_up_no_other_key),
        PARTY_TEST(things_begin_no_faster_than_the_rate_but_for_the_burst),
        PARTY_TEST(a_line_without_tokens_can_be_left_from_either_end),
        PARTY_TEST(whoever_is_behind_a_head_that_leaves_takes_its_place),
        cmocka_unit_test(impossible_options_and_missing_memory_are_reported),
    };
    return cmocka_run_group_tests_name("limit", tests, NULL, NULL);
}
