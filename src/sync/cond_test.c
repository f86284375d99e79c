/* SPDX-License-Identifier: MIT */
/* Conditions, four ways. */
#include "party.h"

#include <errno.h>

#include <weft/cond.h>

struct shared {
    struct wf_mutex mutex;
    struct wf_condition changed;
    WFI_ATOMIC(int) woken, waiting;
    bool passed;
};

static void init(struct shared *s)
{
    memset((void *)s, 0, sizeof *s);
    wf_condition_init(&s->changed, &s->mutex);
}

static void fini(struct shared *s)
{
    wf_condition_fini(&s->changed);
    wf_mutex_fini(&s->mutex);
}

/* Notifies, with the lock, and checks how many there were. */
static void notify(struct shared *s, size_t n, ssize_t expected)
{
    party_equal(wf_mutex_lock(&s->mutex, party_soon()), 0);
    party_equal(wf_condition_notify(&s->changed, n), expected);
    party_equal(wf_mutex_unlock(&s->mutex), 0);
}

static void waits_three_times(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        for (int i = 1; i < self->count; i++)
            party_parked(party_at(self, i), "condition");
        notify(s, 3, 3);
        party_reaches(&s->woken, 3);
        party_equal(wfi_load(&s->woken), 3);
        party_reaches(&s->waiting, 8);
        notify(s, 5, 5); /* the two that are left of the first round come before the others */
        party_reaches(&s->woken, 8);
        party_equal(wfi_load(&s->woken), 8);
        party_reaches(&s->waiting, 13);
        party_equal(wf_mutex_lock(&s->mutex, party_soon()), 0);
        party_equal(wf_condition_notify_all(&s->changed), 5);
        party_equal(wf_condition_notify_all(&s->changed), 0);
        party_equal(wf_mutex_unlock(&s->mutex), 0);
        party_reaches(&s->waiting, 15);
        notify(s, 9, 2);
        return;
    }
    party_equal(wf_mutex_lock(&s->mutex, party_soon()), 0);
    for (int i = 0; i < 3; i++) {
        /* Counted with the lock held: who sees it and takes the lock finds this one waiting. */
        wfi_fetch_add(&s->waiting, 1);
        party_equal(wf_condition_wait(&s->changed, party_soon()), 0);
        wfi_fetch_add(&s->woken, 1);
    }
    party_equal(wf_mutex_unlock(&s->mutex), 0);
}

/* LCK-07 */
static void a_notify_wakes_exactly_as_many_as_it_says(void **state)
{
    struct shared s;
    init(&s);
    party_run(party_mode_of(state), 6, waits_three_times, &s);
    assert_int_equal(wfi_load(&s.woken), 15);
    fini(&s);
}

static void has_no_lock(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        party_equal(wf_condition_wait(&s->changed, party_soon()), WF_ESTATE);
        party_equal(wf_condition_notify(&s->changed, 1), WF_ESTATE);
        party_equal(wf_condition_notify_all(&s->changed), WF_ESTATE);
        party_equal(wf_mutex_lock(&s->mutex, party_soon()), 0);
        wfi_store(&s->waiting, 1);
        party_reaches(&s->waiting, 2);
        party_equal(wf_mutex_unlock(&s->mutex), 0);
        return;
    }
    party_reaches(&s->waiting, 1);
    party_equal(wf_condition_wait(&s->changed, party_soon()), -EPERM);
    party_equal(wf_condition_notify(&s->changed, 1), -EPERM);
    wfi_store(&s->waiting, 2);
}

/* LCK-07 */
static void wait_and_notify_without_the_lock_are_errors(void **state)
{
    struct shared s;
    init(&s);
    party_run(party_mode_of(state), 2, has_no_lock, &s);
    fini(&s);
}

static void gives_up(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        for (int i = 1; i < self->count; i++)
            party_parked(party_at(self, i), "condition");
        party_equal(wf_mutex_lock(&s->mutex, party_soon()), 0);
        party_cancel(party_at(self, 1));
        for (int i = 0; i < 100; i++)
            wfi_yield();
        party_equal(wfi_load(&s->woken), 0); /* it has to wait for the lock */
        party_equal(wf_mutex_unlock(&s->mutex), 0);
        party_reaches(&s->woken, 1);
        notify(s, 5, 1);
        return;
    }
    party_equal(wf_mutex_lock(&s->mutex, party_soon()), 0);
    int err = wf_condition_wait(&s->changed, party_soon());
    party_equal(err, self->index == 1 ? -ECANCELED : 0);
    wfi_fetch_add(&s->woken, 1);
    party_equal(wf_mutex_unlock(&s->mutex), 0); /* succeeds: it was held */
}

/* ASY-04 */
static void a_cancelled_wait_returns_with_the_lock_held(void **state)
{
    struct shared s;
    init(&s);
    party_run(party_mode_of(state), 3, gives_up, &s);
    assert_int_equal(wfi_load(&s.woken), 2);
    fini(&s);
}

static void is_cancelled_as_it_is_notified(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        for (int i = 1; i < self->count; i++) {
            wfi_store(&s->waiting, i);
            party_parked(party_at(self, i), "condition");
        }
        party_equal(wf_mutex_lock(&s->mutex, party_soon()), 0);
        party_cancel(party_at(self, 1)); /* perhaps still on the list, but no longer waiting */
        party_equal(wf_condition_notify(&s->changed, 1), 1);
        party_equal(wf_mutex_unlock(&s->mutex), 0);
        return;
    }
    party_reaches(&s->waiting, self->index);
    party_equal(wf_mutex_lock(&s->mutex, party_soon()), 0);
    int err = wf_condition_wait(&s->changed, party_soon());
    party_equal(err, self->index == 1 ? -ECANCELED : 0);
    party_equal(wf_mutex_unlock(&s->mutex), 0);
}

/* LCK-07, ASY-06 */
static void a_notify_is_not_spent_on_a_cancelled_wait(void **state)
{
    for (int round = 0; round < 20; round++) {
        struct shared s;
        init(&s);
        party_run(party_mode_of(state), 3, is_cancelled_as_it_is_notified, &s);
        fini(&s);
    }
}

static void runs_out_of_time(struct party *self)
{
    struct shared *s = self->arg;
    party_equal(wf_mutex_lock(&s->mutex, party_soon()), 0);
    party_equal(wf_condition_wait(&s->changed, WF_NOW), -ETIMEDOUT);
    int64_t begin = wf_now();
    party_equal(wf_condition_wait(&s->changed, wf_after(WF_MILLISECONDS(20))), -ETIMEDOUT);
    party_check(wf_now() - begin >= WF_MILLISECONDS(20));
    party_check(!s->passed);
    s->passed = true;
    wfi_yield();
    s->passed = false;
    party_equal(wf_mutex_unlock(&s->mutex), 0);
}

static void a_wait_that_times_out_has_the_lock_again(void **state)
{
    struct shared s;
    init(&s);
    party_run(party_mode_of(state), 3, runs_out_of_time, &s);
    fini(&s);
}

struct box {
    struct wf_mutex mutex;
    struct wf_condition filled, emptied;
    int item;
    bool full;
    long sum;
    int taken;
};

static void exchanges(struct party *self)
{
    struct box *b = self->arg;
    enum { ROUNDS = 200 };
    for (int i = 1; i <= ROUNDS; i++) {
        party_equal(wf_mutex_lock(&b->mutex, party_soon()), 0);
        if (self->index % 2) {
            while (b->full)
                party_equal(wf_condition_wait(&b->emptied, party_soon()), 0);
            b->full = true;
            b->item = i;
            party_check(wf_condition_notify(&b->filled, 1) >= 0);
        } else {
            while (!b->full)
                party_equal(wf_condition_wait(&b->filled, party_soon()), 0);
            b->full = false;
            b->sum += b->item;
            b->taken++;
            party_check(wf_condition_notify(&b->emptied, 1) >= 0);
        }
        party_equal(wf_mutex_unlock(&b->mutex), 0);
    }
}

static void a_buffer_of_one_passes_every_item_once(void **state)
{
    struct box b = {.mutex = WF_MUTEX_INIT};
    wf_condition_init(&b.filled, &b.mutex);
    wf_condition_init(&b.emptied, &b.mutex);
    party_run(party_mode_of(state), 6, exchanges, &b);
    assert_int_equal(b.taken, 600);
    assert_int_equal(b.sum, 3 * 200 * 201 / 2);
    wf_condition_fini(&b.filled);
    wf_condition_fini(&b.emptied);
    wf_mutex_fini(&b.mutex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PARTY_TEST(a_notify_wakes_exactly_as_many_as_it_says),
        PARTY_TEST(wait_and_notify_without_the_lock_are_errors),
        PARTY_TEST(a_cancelled_wait_returns_with_the_lock_held),
        PARTY_TEST(a_notify_is_not_spent_on_a_cancelled_wait),
        PARTY_TEST(a_wait_that_times_out_has_the_lock_again),
        PARTY_TEST(a_buffer_of_one_passes_every_item_once),
    };
    return cmocka_run_group_tests_name("condition", tests, NULL, NULL);
}
