/* SPDX-License-Identifier: MIT */
/* Barriers, four ways. */
#include "party.h"

#include <errno.h>

#include <weft/barrier.h>

struct shared {
    struct wf_barrier barrier;
    WFI_ATOMIC(int) inside, actions, step, broken, places[16];
    int fail_at;
};

static int counts_actions(void *arg)
{
    struct shared *s = arg;
    /* All five have come, and none has gone on. */
    party_equal(wfi_load(&s->inside) % 5, 0);
    wfi_yield();
    int actions = wfi_fetch_add(&s->actions, 1) + 1;
    return s->fail_at == actions ? -EIO : 0;
}

/* Every round meets twice: once to arrive, once so that nobody runs ahead into the next. */
static void goes_ten_rounds(struct party *self)
{
    struct shared *s = self->arg;
    for (int round = 1; round <= 10; round++) {
        wfi_fetch_add(&s->inside, 1);
        int place = wf_barrier_wait(&s->barrier, party_soon());
        party_check(place >= 0 && place < 5);
        wfi_fetch_add(&s->places[place], 1);
        party_equal(wfi_load(&s->actions), 2 * round - 1);
        party_equal(wfi_load(&s->inside), 5 * round);
        party_check(wf_barrier_wait(&s->barrier, party_soon()) >= 0);
    }
}

/* LCK-11 */
static void five_parties_go_in_lockstep(void **state)
{
    struct shared s;
    memset((void *)&s, 0, sizeof s);
    assert_int_equal(wf_barrier_init(&s.barrier, 0, NULL, NULL), -EINVAL);
    assert_int_equal(wf_barrier_init(&s.barrier, 5, counts_actions, &s), 0);
    party_run(party_mode_of(state), 5, goes_ten_rounds, &s);
    for (int place = 0; place < 5; place++)
        assert_int_equal(wfi_load(&s.places[place]), 10);
    wf_barrier_fini(&s.barrier);
}

static void waits_in_vain(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        for (int i = 1; i < self->count; i++)
            party_parked(party_at(self, i), "barrier");
        switch (wfi_load(&s->step)) {
        case 0:
            wf_barrier_abort(&s->barrier);
            break;
        case 1:
            wf_barrier_reset(&s->barrier);
            break;
        case 2: {
            int64_t begin = wf_now();
            party_equal(wf_barrier_wait(&s->barrier, wf_after(WF_MILLISECONDS(5))), -ETIMEDOUT);
            party_check(wf_now() - begin >= WF_MILLISECONDS(5));
            break;
        }
        default:
            party_cancel(party_at(self, 1));
        }
        return;
    }
    int err = wf_barrier_wait(&s->barrier, party_soon());
    if (wfi_load(&s->step) == 3 && self->index == 1)
        party_equal(err, -ECANCELED);
    else
        party_equal(err, WF_EBROKEN);
    wfi_fetch_add(&s->broken, 1);
}

static void passes(struct party *self)
{
    struct shared *s = self->arg;
    party_check(wf_barrier_wait(&s->barrier, party_soon()) >= 0);
}

/* LCK-12 */
static void a_barrier_that_one_gives_up_is_broken_for_all_until_reset(void **state)
{
    for (int way = 0; way < 4; way++) {
        struct shared s;
        memset((void *)&s, 0, sizeof s);
        assert_int_equal(wf_barrier_init(&s.barrier, 5, NULL, NULL), 0);
        wfi_store(&s.step, way);
        party_run(party_mode_of(state), 4, waits_in_vain, &s);
        assert_int_equal(wfi_load(&s.broken), 3);
        assert_int_equal(wf_barrier_waiting(&s.barrier), 0);
        assert_int_equal(wf_barrier_is_broken(&s.barrier), way != 1);
        if (way != 1)
            assert_int_equal(wf_barrier_wait(&s.barrier, WF_FOREVER), WF_EBROKEN);
        wf_barrier_reset(&s.barrier);
        assert_false(wf_barrier_is_broken(&s.barrier));
        party_run(party_mode_of(state), 5, passes, &s);
        wf_barrier_fini(&s.barrier);
    }
}

static void meets_a_failing_action(struct party *self)
{
    struct shared *s = self->arg;
    wfi_fetch_add(&s->inside, 1);
    int err = wf_barrier_wait(&s->barrier, party_soon());
    if (err == -EIO)
        wfi_fetch_add(&s->step, 1);
    else if (err == WF_EBROKEN)
        wfi_fetch_add(&s->broken, 1);
}

static void a_failing_action_breaks_the_barrier(void **state)
{
    struct shared s;
    memset((void *)&s, 0, sizeof s);
    s.fail_at = 1;
    assert_int_equal(wf_barrier_init(&s.barrier, 5, counts_actions, &s), 0);
    party_run(party_mode_of(state), 5, meets_a_failing_action, &s);
    assert_int_equal(wfi_load(&s.step), 1);
    assert_int_equal(wfi_load(&s.broken), 4);
    wf_barrier_fini(&s.barrier);
}

/* Six parties at a barrier of three: whoever is early waits for the next round. */
static void more_parties_than_places_go_in_groups(void **state)
{
    struct shared s;
    memset((void *)&s, 0, sizeof s);
    assert_int_equal(wf_barrier_init(&s.barrier, 3, NULL, NULL), 0);
    party_run(party_mode_of(state), 6, passes, &s);
    assert_int_equal(wf_barrier_waiting(&s.barrier), 0);
    wf_barrier_fini(&s.barrier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PARTY_TEST(five_parties_go_in_lockstep),
        PARTY_TEST(a_barrier_that_one_gives_up_is_broken_for_all_until_reset),
        PARTY_TEST(a_failing_action_breaks_the_barrier),
        PARTY_TEST(more_parties_than_places_go_in_groups),
    };
    return cmocka_run_group_tests_name("barrier", tests, NULL, NULL);
}
