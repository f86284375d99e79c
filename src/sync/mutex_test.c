/* SPDX-License-Identifier: MIT */
/* Mutex and recursive mutex, four ways. */
#include "party.h"

#include <errno.h>

#include <weft/mutex.h>

struct shared {
    struct wf_mutex mutex;
    struct wf_recursive_mutex recursive;
    WFI_ATOMIC(int) step;
    int count; /* guarded by the mutex under test */
    bool inside;
};

static void fini(struct shared *s)
{
    wf_mutex_fini(&s->mutex);
    wf_recursive_mutex_fini(&s->recursive);
}

static void locks_in_turn(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        party_equal(wf_mutex_lock(&s->mutex, party_soon()), 0);
        wfi_store(&s->step, 1);
        for (int i = 1; i < self->count; i++)
            party_parked(party_at(self, i), "mutex");
        party_equal(wf_mutex_unlock(&s->mutex), 0);
        return;
    }
    party_reaches(&s->step, 1);
    party_equal(wf_mutex_try_lock(&s->mutex), -EAGAIN);
    party_equal(wf_mutex_lock(&s->mutex, party_soon()), 0);
    party_check(!s->inside);
    s->inside = true;
    wfi_yield();
    s->count++;
    s->inside = false;
    party_equal(wf_mutex_unlock(&s->mutex), 0);
}

/* LCK-01 */
static void a_held_lock_refuses_try_and_serves_all_five_in_the_end(void **state)
{
    struct shared s = {.mutex = WF_MUTEX_INIT};
    party_run(party_mode_of(state), 6, locks_in_turn, &s);
    assert_int_equal(s.count, 5);
    fini(&s);
}

static void times_out(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        party_equal(wf_mutex_lock(&s->mutex, party_soon()), 0);
        wfi_store(&s->step, 1);
        party_reaches(&s->step, 2);
        party_equal(wf_mutex_unlock(&s->mutex), 0);
        wfi_store(&s->step, 3);
        return;
    }
    party_reaches(&s->step, 1);
    party_equal(wf_mutex_lock(&s->mutex, WF_NOW), -ETIMEDOUT);
    int64_t begin = wf_now();
    party_equal(wf_mutex_lock(&s->mutex, wf_after(WF_MILLISECONDS(50))), -ETIMEDOUT);
    int64_t took = wf_now() - begin;
    party_check(took >= WF_MILLISECONDS(50) && took < WF_SECONDS(5));
    wfi_store(&s->step, 2);
    party_reaches(&s->step, 3);
    party_equal(wf_mutex_try_lock(&s->mutex), 0);
    party_equal(wf_mutex_unlock(&s->mutex), 0);
}

/* LCK-02, LCK-03 */
static void a_timed_lock_fails_after_its_time_and_leaves_the_lock_usable(void **state)
{
    struct shared s = {.mutex = WF_MUTEX_INIT};
    party_run(party_mode_of(state), 2, times_out, &s);
    fini(&s);
}

static void unlocks_wrongly(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        party_equal(wf_mutex_unlock(&s->mutex), WF_ESTATE);
        party_equal(wf_recursive_mutex_unlock(&s->recursive), WF_ESTATE);
        party_equal(wf_mutex_lock(&s->mutex, party_soon()), 0);
        party_equal(wf_mutex_lock(&s->mutex, party_soon()), WF_EDEADLOCK);
        party_equal(wf_mutex_try_lock(&s->mutex), -EAGAIN);
        for (int i = 0; i < 3; i++)
            party_equal(wf_recursive_mutex_lock(&s->recursive, party_soon()), 0);
        party_equal(wf_recursive_mutex_try_lock(&s->recursive), 0);
        wfi_store(&s->step, 1);
        party_reaches(&s->step, 2);
        for (int i = 0; i < 3; i++)
            party_equal(wf_recursive_mutex_unlock(&s->recursive), 0);
        wfi_store(&s->step, 3);
        party_reaches(&s->step, 4);
        party_equal(wf_recursive_mutex_unlock(&s->recursive), 0);
        party_equal(wf_recursive_mutex_unlock(&s->recursive), WF_ESTATE);
        party_equal(wf_mutex_unlock(&s->mutex), 0);
        party_equal(wf_mutex_unlock(&s->mutex), WF_ESTATE);
        wfi_store(&s->step, 5);
        return;
    }
    party_reaches(&s->step, 1);
    party_equal(wf_mutex_unlock(&s->mutex), -EPERM);
    party_equal(wf_mutex_try_lock(&s->mutex), -EAGAIN);
    party_equal(wf_recursive_mutex_unlock(&s->recursive), -EPERM);
    wfi_store(&s->step, 2);
    party_reaches(&s->step, 3);
    party_equal(wf_recursive_mutex_try_lock(&s->recursive), -EAGAIN);
    party_equal(wf_recursive_mutex_lock(&s->recursive, WF_NOW), -ETIMEDOUT);
    wfi_store(&s->step, 4);
    party_reaches(&s->step, 5);
    party_equal(wf_recursive_mutex_try_lock(&s->recursive), 0);
    party_equal(wf_recursive_mutex_unlock(&s->recursive), 0);
}

/* LCK-04 */
static void unlocking_what_one_does_not_hold_is_an_error_without_effect(void **state)
{
    struct shared s = {.mutex = WF_MUTEX_INIT};
    party_run(party_mode_of(state), 2, unlocks_wrongly, &s);
    fini(&s);
}

static void is_cancelled(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        party_equal(wf_mutex_lock(&s->mutex, party_soon()), 0);
        wfi_store(&s->step, 1);
        for (int i = 1; i < self->count; i++)
            party_parked(party_at(self, i), "mutex");
        party_cancel(party_at(self, 2));
        party_reaches(&s->step, 2);
        party_equal(wf_mutex_unlock(&s->mutex), 0);
        return;
    }
    party_reaches(&s->step, 1);
    if (self->index == 2) {
        party_equal(wf_mutex_lock(&s->mutex, party_soon()), -ECANCELED);
        party_equal(wf_mutex_lock(&s->mutex, party_soon()), -ECANCELED);
        wfi_store(&s->step, 2);
        return;
    }
    party_equal(wf_mutex_lock(&s->mutex, party_soon()), 0);
    s->count++;
    party_equal(wf_mutex_unlock(&s->mutex), 0);
}

/* ASY-01 */
static void a_cancelled_waiter_leaves_and_disturbs_nobody(void **state)
{
    struct shared s = {.mutex = WF_MUTEX_INIT};
    party_run(party_mode_of(state), 4, is_cancelled, &s);
    assert_int_equal(s.count, 2);
    fini(&s);
}

static void hogs(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        /* Never leaves the lock for longer than an instant: only a hand-over ends this. */
        while (wfi_load(&s->step) < self->count - 1) {
            party_equal(wf_mutex_lock(&s->mutex, party_soon()), 0);
            wfi_yield();
            party_equal(wf_mutex_unlock(&s->mutex), 0);
        }
        return;
    }
    for (int i = 0; i < 5; i++) {
        party_equal(wf_mutex_lock(&s->mutex, party_soon()), 0);
        s->count++;
        party_equal(wf_mutex_unlock(&s->mutex), 0);
    }
    wfi_fetch_add(&s->step, 1);
}

static void a_party_that_keeps_coming_back_starves_nobody(void **state)
{
    struct shared s = {.mutex = WF_MUTEX_INIT};
    party_run(party_mode_of(state), 4, hogs, &s);
    assert_int_equal(s.count, 15);
    fini(&s);
}

static void counts(struct party *self)
{
    struct shared *s = self->arg;
    struct wfi_random random;
    wfi_random_seed(&random, (uint64_t)self->index);
    for (int done = 0; done < 300;) {
        switch (wfi_random_below(&random, 4)) {
        case 0:
            if (wf_mutex_lock(&s->mutex, wf_after(WF_MICROSECONDS(20))))
                continue;
            break;
        case 1:
            if (wf_mutex_try_lock(&s->mutex)) {
                wfi_yield();
                continue;
            }
            break;
        default:
            party_equal(wf_mutex_lock(&s->mutex, party_soon()), 0);
        }
        party_check(!s->inside);
        s->inside = true;
        if (wfi_random_below(&random, 3) == 0)
            wfi_yield();
        s->count++;
        s->inside = false;
        party_equal(wf_mutex_unlock(&s->mutex), 0);
        done++;
    }
}

static void only_one_is_inside_whatever_way_it_came(void **state)
{
    struct shared s = {.mutex = WF_MUTEX_INIT};
    party_run(party_mode_of(state), 6, counts, &s);
    assert_int_equal(s.count, 6 * 300);
    fini(&s);
}

static int leave_early(struct wf_mutex *m)
{
    WF_LOCKED(m) {
        assert_int_equal(wf_mutex_try_lock(m), -EAGAIN);
        return 7;
    }
    return 0;
}

static void a_locked_block_unlocks_on_every_way_out(void **state)
{
    (void)state;
    struct wf_mutex m = WF_MUTEX_INIT, other = WF_MUTEX_INIT;
    int rounds = 0;
    WF_LOCKED(&m) {
        WF_LOCKED(&other)
            rounds++;
    }
    assert_int_equal(rounds, 1);
    assert_int_equal(leave_early(&m), 7);
    for (int i = 0; i < 2; i++) {
        WF_LOCKED(&m)
            goto out;
    }
out:
    WF_LOCKED(&m)
        break;
    assert_int_equal(wf_mutex_try_lock(&m), 0);
    wf_mutex_unlock(&m);
    wf_mutex_fini(&m);
    wf_mutex_fini(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PARTY_TEST(a_held_lock_refuses_try_and_serves_all_five_in_the_end),
        PARTY_TEST(a_timed_lock_fails_after_its_time_and_leaves_the_lock_usable),
        PARTY_TEST(unlocking_what_one_does_not_hold_is_an_error_without_effect),
        PARTY_TEST(a_cancelled_waiter_leaves_and_disturbs_nobody),
        PARTY_TEST(a_party_that_keeps_coming_back_starves_nobody),
        PARTY_TEST(only_one_is_inside_whatever_way_it_came),
        cmocka_unit_test(a_locked_block_unlocks_on_every_way_out),
    };
    return cmocka_run_group_tests_name("mutex", tests, NULL, NULL);
}
