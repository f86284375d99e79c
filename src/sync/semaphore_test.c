/* SPDX-License-Identifier: MIT */
/* Semaphores, four ways. */
#include "party.h"

#include <errno.h>

#include <weft/semaphore.h>

struct shared {
    struct wf_semaphore semaphore;
    WFI_ATOMIC(int) step, taken, order;
    int ranks[PARTY_MAX];
};

static void takes_twice(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        party_reaches(&s->taken, 7);
        for (int more[] = {7, 6}, i = 0, sum = 7; i < 2; i++) {
            party_equal(wfi_load(&s->taken), sum);
            party_equal(wf_semaphore_release(&s->semaphore, (uint64_t)more[i]), 0);
            sum += more[i];
            party_reaches(&s->taken, sum);
        }
        party_equal(wfi_load(&s->taken), 20);
        party_equal(wf_semaphore_try_acquire(&s->semaphore, 1), -EAGAIN);
        party_equal(wf_semaphore_release(&s->semaphore, 1), 0);
        party_equal(wf_semaphore_try_acquire(&s->semaphore, 1), 0);
        return;
    }
    for (int i = 0; i < 2; i++) {
        party_equal(wf_semaphore_acquire(&s->semaphore, 1, party_soon()), 0);
        wfi_fetch_add(&s->taken, 1);
    }
}

/* LCK-09 */
static void a_release_of_many_lets_exactly_as_many_through(void **state)
{
    struct shared s = {.semaphore = WF_SEMAPHORE_INIT(7)};
    party_run(party_mode_of(state), 11, takes_twice, &s);
    assert_int_equal(wf_semaphore_value(&s.semaphore), 0);
    wf_semaphore_fini(&s.semaphore);
}

static void tries_once(struct party *self)
{
    struct shared *s = self->arg;
    if (wf_semaphore_try_acquire(&s->semaphore, 1) == 0)
        wfi_fetch_add(&s->taken, 1);
}

/* LCK-10 */
static void of_ten_tries_at_three_permits_three_succeed(void **state)
{
    struct shared s;
    memset((void *)&s, 0, sizeof s);
    assert_int_equal(wf_semaphore_init(&s.semaphore, 3, 3), 0);
    assert_int_equal(wf_semaphore_release(&s.semaphore, 1), WF_ESTATE);
    assert_int_equal(wf_semaphore_value(&s.semaphore), 3);
    party_run(party_mode_of(state), 10, tries_once, &s);
    assert_int_equal(wfi_load(&s.taken), 3);
    assert_int_equal(wf_semaphore_release(&s.semaphore, 4), WF_ESTATE);
    assert_int_equal(wf_semaphore_release(&s.semaphore, 3), 0);
    assert_int_equal(wf_semaphore_release(&s.semaphore, 1), WF_ESTATE);
    wf_semaphore_fini(&s.semaphore);
}

static void impossible_numbers_are_refused(void **state)
{
    (void)state;
    struct wf_semaphore s;
    assert_int_equal(wf_semaphore_init(&s, 2, 1), -EINVAL);
    assert_int_equal(wf_semaphore_init(&s, WF_SEMAPHORE_MAX + 1, 0), -EINVAL);
    struct wf_semaphore bounded = WF_BOUNDED_SEMAPHORE_INIT(4);
    assert_int_equal(wf_semaphore_acquire(&bounded, 5, WF_NOW), -EINVAL);
    assert_int_equal(wf_semaphore_try_acquire(&bounded, 0), -EINVAL);
    assert_int_equal(wf_semaphore_release(&bounded, 0), -EINVAL);
    assert_int_equal(wf_semaphore_acquire(&bounded, 4, WF_NOW), 0);
    assert_int_equal(wf_semaphore_acquire(&bounded, 1, WF_NOW), -ETIMEDOUT);
    assert_int_equal(wf_semaphore_try_acquire(&bounded, 1), -EAGAIN);
    struct wf_semaphore most = WF_SEMAPHORE_INIT(WF_SEMAPHORE_MAX);
    assert_int_equal(wf_semaphore_release(&most, 1), -EINVAL);
    wf_semaphore_fini(&bounded);
    wf_semaphore_fini(&most);
}

/* Parties 1.. come in the order of their index; 2 and 4 are cancelled; the rest is served in order.
 */
static void queues_up(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        for (int i = 1; i < self->count; i++) {
            wfi_store(&s->step, i);
            party_parked(party_at(self, i), "semaphore");
        }
        party_cancel(party_at(self, 2));
        party_cancel(party_at(self, 4));
        party_ended(party_at(self, 2));
        party_ended(party_at(self, 4));
        for (int i = 1; i <= self->count - 3; i++) {
            party_equal(wf_semaphore_release(&s->semaphore, 1), 0);
            party_reaches(&s->order, i);
        }
        return;
    }
    party_reaches(&s->step, self->index);
    int err = wf_semaphore_acquire(&s->semaphore, 1, party_soon());
    if (self->index == 2 || self->index == 4) {
        party_equal(err, -ECANCELED);
        return;
    }
    party_equal(err, 0);
    s->ranks[self->index] = wfi_fetch_add(&s->order, 1);
}

/* ASY-06, ASY-01 */
static void the_living_are_served_in_the_order_they_came(void **state)
{
    struct shared s = {.semaphore = WF_SEMAPHORE_INIT(0)};
    party_run(party_mode_of(state), 8, queues_up, &s);
    int in_order[] = {1, 3, 5, 6, 7};
    for (int i = 0; i < 5; i++)
        assert_int_equal(s.ranks[in_order[i]], i);
    assert_int_equal(wf_semaphore_value(&s.semaphore), 0);
    wf_semaphore_fini(&s.semaphore);
}

static void wants_more_or_less(struct party *self)
{
    struct shared *s = self->arg;
    switch (self->index) {
    case 0:
        party_parked(party_at(self, 1), "semaphore");
        wfi_store(&s->step, 1);
        party_parked(party_at(self, 2), "semaphore");
        /* Two permits are there, but the one in front wants five: nobody may pass. */
        party_equal(wf_semaphore_try_acquire(&s->semaphore, 1), -EAGAIN);
        party_equal(wfi_load(&s->taken), 0);
        party_cancel(party_at(self, 1));
        party_reaches(&s->taken, 1);
        return;
    case 1:
        party_equal(wf_semaphore_acquire(&s->semaphore, 5, party_soon()), -ECANCELED);
        return;
    default:
        party_reaches(&s->step, 1);
        party_equal(wf_semaphore_acquire(&s->semaphore, 2, party_soon()), 0);
        wfi_fetch_add(&s->taken, 1);
    }
}

static void a_greedy_waiter_holds_the_place_until_it_leaves(void **state)
{
    struct shared s = {.semaphore = WF_SEMAPHORE_INIT(2)};
    party_run(party_mode_of(state), 3, wants_more_or_less, &s);
    assert_int_equal(wf_semaphore_value(&s.semaphore), 0);
    wf_semaphore_fini(&s.semaphore);
}

static void comes_and_goes(struct party *self)
{
    struct shared *s = self->arg;
    struct wfi_random random;
    wfi_random_seed(&random, (uint64_t)self->index + 1);
    for (int i = 0; i < 200; i++) {
        uint64_t n = 1 + wfi_random_below(&random, 3);
        wf_deadline until =
            wfi_random_below(&random, 2) ? wf_after(WF_MICROSECONDS(30)) : party_soon();
        if (wf_semaphore_acquire(&s->semaphore, n, until))
            continue;
        int inside = wfi_fetch_add(&s->taken, (int)n) + (int)n;
        party_check(inside <= 4);
        if (wfi_random_below(&random, 2))
            wfi_yield();
        wfi_fetch_sub(&s->taken, (int)n);
        party_equal(wf_semaphore_release(&s->semaphore, n), 0);
    }
}

static void no_permit_is_lost_or_made_by_time_outs(void **state)
{
    struct shared s;
    memset((void *)&s, 0, sizeof s);
    assert_int_equal(wf_semaphore_init(&s.semaphore, 4, 4), 0);
    party_run(party_mode_of(state), 8, comes_and_goes, &s);
    assert_int_equal(wf_semaphore_value(&s.semaphore), 4);
    wf_semaphore_fini(&s.semaphore);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PARTY_TEST(a_release_of_many_lets_exactly_as_many_through),
        PARTY_TEST(of_ten_tries_at_three_permits_three_succeed),
        PARTY_TEST(the_living_are_served_in_the_order_they_came),
        PARTY_TEST(a_greedy_waiter_holds_the_place_until_it_leaves),
        PARTY_TEST(no_permit_is_lost_or_made_by_time_outs),
        cmocka_unit_test(impossible_numbers_are_refused),
    };
    return cmocka_run_group_tests_name("semaphore", tests, NULL, NULL);
}
