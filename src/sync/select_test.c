/* SPDX-License-Identifier: MIT */
/* Select over channels, four ways. */
#include "party.h"

#include <errno.h>

#include <weft/channel.h>

WF_CHANNEL(int, ints)

enum { CHANNELS = 20 };

struct shared {
    ints channels[CHANNELS];
    size_t capacity;
    WFI_ATOMIC(int) step, done, sum;
    WFI_ATOMIC(int) seen[4096];
};

static struct shared *open_shared(size_t capacity)
{
    static struct shared s;
    memset((void *)&s, 0, sizeof s);
    s.capacity = capacity;
    for (int i = 0; i < CHANNELS; i++)
        assert_int_equal(
            ints_create(&(struct wf_channel_options){.capacity = capacity}, &s.channels[i], NULL),
            0);
    return &s;
}

static void close_shared(struct shared *s)
{
    for (int i = 0; i < CHANNELS; i++)
        ints_destroy(s->channels[i]);
}

static void with_nothing_ready_select_times_out_and_touches_nothing(void **state)
{
    (void)state;
    struct shared *s = open_shared(1);
    int got = -1, item = 1;
    struct wf_clause clauses[] = {
        ints_pop_clause(s->channels[0], &got),
        ints_pop_clause(s->channels[1], &got),
        ints_push_clause(s->channels[2], &item),
    };
    assert_int_equal(wf_select(clauses, 0, WF_NOW), -EINVAL);
    assert_int_equal(wf_select(clauses, 2, WF_NOW), -ETIMEDOUT);
    int64_t begin = wf_now();
    assert_int_equal(wf_select(clauses, 2, wf_after(WF_MILLISECONDS(5))), -ETIMEDOUT);
    assert_true(wf_now() - begin >= WF_MILLISECONDS(5));
    assert_int_equal(got, -1);
    assert_int_equal(wf_select(clauses, 3, WF_NOW), 2);
    assert_int_equal(clauses[2].err, 0);
    assert_int_equal(ints_len(s->channels[2]), 1);
    assert_int_equal(wf_select(clauses, 3, WF_NOW), -ETIMEDOUT);
    close_shared(s);
}

static void a_closed_channel_is_a_choice_that_says_so(void **state)
{
    (void)state;
    for (size_t capacity = 0; capacity <= 1; capacity++) {
        struct shared *s = open_shared(capacity);
        int got = -1, item = 1;
        ints_close(s->channels[0], WF_CLOSE_GRACEFUL);
        struct wf_clause pop = ints_pop_clause(s->channels[0], &got);
        assert_int_equal(wf_select(&pop, 1, WF_FOREVER), 0);
        assert_int_equal(pop.err, -EPIPE);
        struct wf_clause push = ints_push_clause(s->channels[0], &item);
        assert_int_equal(wf_select(&push, 1, WF_FOREVER), 0);
        assert_int_equal(push.err, -EPIPE);
        close_shared(s);
    }
}

static void the_choice_among_ready_ones_is_even(void **state)
{
    (void)state;
    struct shared *s = open_shared(1);
    int chosen[4] = {0}, got;
    for (int i = 0; i < 4; i++)
        assert_int_equal(ints_push(s->channels[i], i, WF_NOW), 0);
    enum { ROUNDS = 4000 };
    for (int round = 0; round < ROUNDS; round++) {
        struct wf_clause clauses[4];
        for (int i = 0; i < 4; i++)
            clauses[i] = ints_pop_clause(s->channels[i], &got);
        int i = wf_select(clauses, 4, WF_NOW);
        assert_in_range(i, 0, 3);
        assert_int_equal(got, i);
        chosen[i]++;
        assert_int_equal(ints_push(s->channels[i], i, WF_NOW), 0);
    }
    /* 1000 each, with a standard deviation of 27: six of them are never reached by chance. */
    for (int i = 0; i < 4; i++)
        assert_in_range(chosen[i], 1000 - 6 * 28, 1000 + 6 * 28);
    close_shared(s);
}

static void waits_on_many(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        for (int i = 0; i < CHANNELS; i++) {
            party_reaches(&s->step, i);
            party_parked(party_at(self, 1), "select");
            party_equal(ints_try_push(s->channels[i], 100 + i), 0);
            party_reaches(&s->done, i + 1);
        }
        party_parked(party_at(self, 1), "select");
        ints_close(s->channels[7], WF_CLOSE_NOW);
        return;
    }
    int got[CHANNELS];
    struct wf_clause clauses[CHANNELS];
    for (int i = 0; i < CHANNELS; i++)
        clauses[i] = ints_pop_clause(s->channels[i], &got[i]);
    for (int i = 0; i < CHANNELS; i++) {
        memset(got, -1, sizeof got);
        party_equal(wf_select(clauses, CHANNELS, party_soon()), i);
        party_equal(clauses[i].err, 0);
        for (int j = 0; j < CHANNELS; j++)
            party_equal(got[j], j == i ? 100 + i : -1);
        wfi_fetch_add(&s->step, 1);
        wfi_fetch_add(&s->done, 1);
    }
    party_equal(wf_select(clauses, CHANNELS, party_soon()), 7);
    party_equal(clauses[7].err, -EPIPE);
}

static void a_waiting_select_takes_exactly_the_one_that_came(void **state)
{
    for (size_t capacity = 0; capacity <= 1; capacity++) {
        struct shared *s = open_shared(capacity);
        party_run(party_mode_of(state), 2, waits_on_many, s);
        close_shared(s);
    }
}

static void is_cancelled(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        party_parked(party_at(self, 1), "select");
        party_parked(party_at(self, 2), "select");
        party_cancel(party_at(self, 1));
        party_ended(party_at(self, 1));
        party_equal(ints_try_push(s->channels[0], 5), 0);
        return;
    }
    int got = -1;
    struct wf_clause clauses[] = {
        ints_pop_clause(s->channels[0], &got), ints_pop_clause(s->channels[1], &got),
        ints_pop_clause(s->channels[0], &got), /* the same one twice is allowed */
    };
    int chosen = wf_select(clauses, 3, party_soon());
    if (self->index == 1) {
        party_equal(chosen, -ECANCELED);
        party_equal(got, -1);
    } else {
        party_check(chosen == 0 || chosen == 2);
        party_equal(got, 5);
    }
}

/* ASY-01 */
static void a_cancelled_select_leaves_every_list(void **state)
{
    struct shared *s = open_shared(0);
    party_run(party_mode_of(state), 3, is_cancelled, s);
    close_shared(s);
}

static void offers_both_ways(struct party *self)
{
    struct shared *s = self->arg;
    int item = self->index, got = -1;
    struct wf_clause clauses[] = {
        ints_push_clause(s->channels[0], &item),
        ints_pop_clause(s->channels[0], &got),
    };
    int chosen = wf_select(clauses, 2, party_soon());
    party_check(chosen == 0 || chosen == 1);
    party_equal(clauses[chosen].err, 0);
    if (chosen == 0) {
        wfi_fetch_add(&s->step, 1);
        party_equal(got, -1);
    } else {
        wfi_fetch_add(&s->done, 1);
        party_check(got >= 0 && got != self->index);
        wfi_fetch_add(&s->seen[got], 1);
    }
}

/* Every party offers to push and to pop: they pair up, and nobody meets itself. */
static void parties_that_offer_both_meet_in_pairs(void **state)
{
    for (int round = 0; round < 20; round++) {
        struct shared *s = open_shared(0);
        party_run(party_mode_of(state), 8, offers_both_ways, s);
        assert_int_equal(wfi_load(&s->step), 4);
        assert_int_equal(wfi_load(&s->done), 4);
        for (int i = 0; i < 8; i++)
            assert_in_range(wfi_load(&s->seen[i]), 0, 1);
        close_shared(s);
    }
}

enum { EACH = 100, WAYS = 3 };

/* Even parties push through any of three channels, odd ones pop; all by select. */
static void hands_over_by_select(struct party *self)
{
    struct shared *s = self->arg;
    struct wfi_random random;
    wfi_random_seed(&random, (uint64_t)self->index + 3);
    bool pushes = self->index % 2 == 0;
    for (int i = 0;;) {
        int item = self->index / 2 * EACH + i, got[WAYS];
        struct wf_clause clauses[WAYS];
        size_t first = wfi_random_below(&random, WAYS); /* in any order: the locks sort it out */
        for (size_t way = 0; way < WAYS; way++) {
            ints channel = s->channels[(first + way) % WAYS];
            clauses[way] =
                pushes ? ints_push_clause(channel, &item) : ints_pop_clause(channel, &got[way]);
        }
        bool hurried = wfi_random_below(&random, 3) == 0;
        int chosen =
            wf_select(clauses, WAYS, hurried ? wf_after(WF_MICROSECONDS(20)) : party_soon());
        if (chosen < 0) {
            party_equal(chosen, -ETIMEDOUT);
            continue;
        }
        if (clauses[chosen].err) {
            party_equal(clauses[chosen].err, -EPIPE);
            party_check(!pushes);
            return;
        }
        if (!pushes)
            wfi_fetch_add(&s->seen[got[chosen]], 1);
        else if (++i == EACH)
            break;
    }
    if (wfi_fetch_add(&s->done, 1) < self->count / 2 - 1)
        return;
    /* The last: with all closed at the same time a popper might leave items in another channel. */
    for (int way = 0; way < WAYS; way++)
        while (ints_len(s->channels[way]) > 0)
            wfi_yield();
    for (int way = 0; way < WAYS; way++)
        ints_close(s->channels[way], WF_CLOSE_GRACEFUL);
}

static void selects_on_both_sides_deliver_every_item_once(void **state)
{
    for (size_t capacity = 0; capacity <= 2; capacity++) {
        struct shared *s = open_shared(capacity);
        party_run(party_mode_of(state), 8, hands_over_by_select, s);
        for (int i = 0; i < 4 * EACH; i++)
            assert_int_equal(wfi_load(&s->seen[i]), 1);
        close_shared(s);
    }
}

static void many_clauses_need_memory_and_say_so(void **state)
{
    (void)state;
    struct shared *s = open_shared(1);
    int got = -1;
    struct wf_clause clauses[CHANNELS];
    for (int i = 0; i < CHANNELS; i++)
        clauses[i] = ints_pop_clause(s->channels[i], &got);
    assert_int_equal(ints_push(s->channels[19], 19, WF_NOW), 0);
    wfi_alloc_watch(1);
    assert_int_equal(wf_select(clauses, CHANNELS, WF_NOW), -ENOMEM);
    assert_true(wfi_alloc_unwatch());
    assert_int_equal(wf_select(clauses, CHANNELS, WF_NOW), 19);
    assert_int_equal(got, 19);
    close_shared(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_nothing_ready_select_times_out_and_touches_nothing),
        cmocka_unit_test(a_closed_channel_is_a_choice_that_says_so),
        cmocka_unit_test(the_choice_among_ready_ones_is_even),
        PARTY_TEST(a_waiting_select_takes_exactly_the_one_that_came),
        PARTY_TEST(a_cancelled_select_leaves_every_list),
        PARTY_TEST(parties_that_offer_both_meet_in_pairs),
        PARTY_TEST(selects_on_both_sides_deliver_every_item_once),
        cmocka_unit_test(many_clauses_need_memory_and_say_so),
    };
    return cmocka_run_group_tests_name("select", tests, NULL, NULL);
}
