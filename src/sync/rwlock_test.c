/* SPDX-License-Identifier: MIT */
/* Read-write locks, four ways. */
#include "party.h"

#include <errno.h>

#include <weft/rwlock.h>

struct shared {
    struct wf_rwlock lock;
    WFI_ATOMIC(int) step, readers, writers, order;
    int value, ranks[PARTY_MAX];
};

static void readers_share(struct party *self)
{
    struct shared *s = self->arg;
    party_equal(wf_rwlock_read_lock(&s->lock, party_soon()), 0);
    wfi_fetch_add(&s->readers, 1);
    party_reaches(&s->readers, self->count); /* all are inside together */
    party_equal(wf_rwlock_try_write_lock(&s->lock), -EAGAIN);
    party_equal(wf_rwlock_write_unlock(&s->lock), WF_ESTATE);
    party_equal(wf_rwlock_write_lock(&s->lock, WF_NOW), -ETIMEDOUT);
    wfi_fetch_add(&s->step, 1);
    party_reaches(&s->step, self->count);
    party_equal(wf_rwlock_read_unlock(&s->lock), 0);
}

static void readers_hold_it_together(void **state)
{
    struct shared s = {.lock = WF_RWLOCK_INIT};
    party_run(party_mode_of(state), 5, readers_share, &s);
    assert_int_equal(wf_rwlock_read_unlock(&s.lock), WF_ESTATE);
    wf_rwlock_fini(&s.lock);
}

static void uses_it_wrongly(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        party_equal(wf_rwlock_write_unlock(&s->lock), WF_ESTATE);
        party_equal(wf_rwlock_write_lock(&s->lock, party_soon()), 0);
        party_equal(wf_rwlock_write_lock(&s->lock, party_soon()), WF_EDEADLOCK);
        party_equal(wf_rwlock_read_lock(&s->lock, party_soon()), WF_EDEADLOCK);
        party_equal(wf_rwlock_read_unlock(&s->lock), WF_ESTATE);
        wfi_store(&s->step, 1);
        party_reaches(&s->step, 2);
        party_equal(wf_rwlock_write_unlock(&s->lock), 0);
        return;
    }
    party_reaches(&s->step, 1);
    party_equal(wf_rwlock_write_unlock(&s->lock), -EPERM);
    party_equal(wf_rwlock_try_read_lock(&s->lock), -EAGAIN);
    int64_t begin = wf_now();
    party_equal(wf_rwlock_read_lock(&s->lock, wf_after(WF_MILLISECONDS(5))), -ETIMEDOUT);
    party_check(wf_now() - begin >= WF_MILLISECONDS(5));
    wfi_store(&s->step, 2);
}

/* LCK-04 */
static void misuse_is_an_error_without_effect(void **state)
{
    struct shared s = {.lock = WF_RWLOCK_INIT};
    party_run(party_mode_of(state), 2, uses_it_wrongly, &s);
    wf_rwlock_fini(&s.lock);
}

/* 0 reads; 1 wants to write; 2 and 3 want to read, behind the writer. */
static void queues_behind_a_writer(struct party *self)
{
    struct shared *s = self->arg;
    switch (self->index) {
    case 0:
        party_equal(wf_rwlock_read_lock(&s->lock, party_soon()), 0);
        wfi_store(&s->step, 1);
        party_parked(party_at(self, 1), "write lock");
        wfi_store(&s->step, 2);
        party_parked(party_at(self, 2), "read lock");
        party_parked(party_at(self, 3), "read lock");
        party_equal(wf_rwlock_try_read_lock(&s->lock), -EAGAIN);
        if (self->count == 5) /* the writer gives up: the readers behind it join in */
            party_cancel(party_at(self, 1));
        else
            party_equal(wf_rwlock_read_unlock(&s->lock), 0);
        party_reaches(&s->order, self->count == 5 ? 2 : 3);
        if (self->count == 5)
            party_equal(wf_rwlock_read_unlock(&s->lock), 0);
        return;
    case 1: {
        party_reaches(&s->step, 1);
        int err = wf_rwlock_write_lock(&s->lock, party_soon());
        party_equal(err, self->count == 5 ? -ECANCELED : 0);
        if (!err) {
            s->ranks[1] = wfi_fetch_add(&s->order, 1);
            party_equal(wf_rwlock_write_unlock(&s->lock), 0);
        }
        return;
    }
    case 2:
    case 3:
        party_reaches(&s->step, 2);
        party_equal(wf_rwlock_read_lock(&s->lock, party_soon()), 0);
        s->ranks[self->index] = wfi_fetch_add(&s->order, 1);
        wfi_fetch_add(&s->readers, 1);
        party_reaches(&s->readers, 2);
        party_equal(wf_rwlock_read_unlock(&s->lock), 0);
    }
}

static void readers_do_not_pass_a_waiting_writer(void **state)
{
    struct shared s = {.lock = WF_RWLOCK_INIT};
    party_run(party_mode_of(state), 4, queues_behind_a_writer, &s);
    assert_int_equal(s.ranks[1], 0);
    wf_rwlock_fini(&s.lock);
}

/* ASY-01 */
static void a_cancelled_writer_lets_the_readers_behind_it_in(void **state)
{
    struct shared s = {.lock = WF_RWLOCK_INIT};
    party_run(party_mode_of(state), 5, queues_behind_a_writer, &s);
    wf_rwlock_fini(&s.lock);
}

static void reads_and_writes(struct party *self)
{
    struct shared *s = self->arg;
    struct wfi_random random;
    wfi_random_seed(&random, (uint64_t)self->index + 11);
    for (int i = 0; i < 200; i++) {
        wf_deadline until =
            wfi_random_below(&random, 2) ? wf_after(WF_MICROSECONDS(30)) : party_soon();
        if (wfi_random_below(&random, 3) == 0) {
            if (wf_rwlock_write_lock(&s->lock, until))
                continue;
            party_equal(wfi_load(&s->readers), 0);
            party_equal(wfi_fetch_add(&s->writers, 1), 0);
            s->value++;
            if (wfi_random_below(&random, 2))
                wfi_yield();
            wfi_fetch_sub(&s->writers, 1);
            party_equal(wf_rwlock_write_unlock(&s->lock), 0);
        } else {
            if (wf_rwlock_read_lock(&s->lock, until))
                continue;
            wfi_fetch_add(&s->readers, 1);
            party_equal(wfi_load(&s->writers), 0);
            int seen = s->value;
            if (wfi_random_below(&random, 2))
                wfi_yield();
            party_equal(s->value, seen);
            wfi_fetch_sub(&s->readers, 1);
            party_equal(wf_rwlock_read_unlock(&s->lock), 0);
        }
    }
}

static void writers_are_alone_whatever_times_out(void **state)
{
    struct shared s = {.lock = WF_RWLOCK_INIT};
    party_run(party_mode_of(state), 8, reads_and_writes, &s);
    wf_rwlock_fini(&s.lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PARTY_TEST(readers_hold_it_together),
        PARTY_TEST(misuse_is_an_error_without_effect),
        PARTY_TEST(readers_do_not_pass_a_waiting_writer),
        PARTY_TEST(a_cancelled_writer_lets_the_readers_behind_it_in),
        PARTY_TEST(writers_are_alone_whatever_times_out),
    };
    return cmocka_run_group_tests_name("rwlock", tests, NULL, NULL);
}
