/* SPDX-License-Identifier: MIT */
/* Channels, four ways, with capacities from 0 up. */
#include "party.h"

#include <errno.h>

#include <weft/channel.h>

WF_CHANNEL(int, ints)

struct shared {
    ints channel;
    size_t capacity;
    WFI_ATOMIC(int) step, done, sum, destroyed;
    WFI_ATOMIC(int) seen[4096];
};

static void count_destroyed(void *item, void *arg)
{
    struct shared *s = arg;
    wfi_fetch_add(&s->destroyed, 1);
    wfi_fetch_add(&s->sum, *(int *)item);
}

static struct shared *open_shared(size_t capacity)
{
    static struct shared s;
    memset((void *)&s, 0, sizeof s);
    s.capacity = capacity;
    struct wf_channel_options options = {
        .capacity = capacity, .item_destroy = count_destroyed, .arg = &s};
    assert_int_equal(ints_create(&options, &s.channel, NULL), 0);
    return &s;
}

static void pushes_three_and_pops_three(struct party *self)
{
    struct shared *s = self->arg;
    int numbers[] = {111, 333, 222};
    for (int i = 0; i < 3; i++) {
        if (self->index == 0) {
            party_equal(ints_push(s->channel, numbers[i], party_soon()), 0);
        } else {
            int got = 0;
            party_equal(ints_pop(s->channel, &got, party_soon()), 0);
            party_equal(got, numbers[i]);
        }
    }
}

/* QUE-01 */
static void items_come_out_in_the_order_they_went_in(void **state)
{
    for (size_t capacity = 0; capacity <= 3; capacity++) {
        struct shared *s = open_shared(capacity);
        party_run(party_mode_of(state), 2, pushes_three_and_pops_three, s);
        assert_int_equal(ints_len(s->channel), 0);
        ints_destroy(s->channel);
    }
}

static void finds_it_full_and_empty(struct party *self)
{
    struct shared *s = self->arg;
    int got = -1;
    if (self->index == 0) {
        party_equal(ints_try_pop(s->channel, &got), -EAGAIN);
        int64_t begin = wf_now();
        party_equal(ints_pop(s->channel, &got, wf_after(WF_MILLISECONDS(5))), -ETIMEDOUT);
        party_check(wf_now() - begin >= WF_MILLISECONDS(5));
        party_equal(ints_pop(s->channel, &got, WF_NOW), -ETIMEDOUT);
        party_equal(got, -1);
        for (int i = 0; i < (int)s->capacity; i++)
            party_equal(ints_try_push(s->channel, i), 0);
        party_equal(ints_len(s->channel), s->capacity);
        party_equal(ints_try_push(s->channel, 99), -EAGAIN);
        begin = wf_now();
        party_equal(ints_push(s->channel, 99, wf_after(WF_MILLISECONDS(5))), -ETIMEDOUT);
        party_check(wf_now() - begin >= WF_MILLISECONDS(5));
        wfi_store(&s->step, 1);
        party_equal(ints_push(s->channel, (int)s->capacity, party_soon()), 0);
        return;
    }
    party_reaches(&s->step, 1);
    party_parked(party_at(self, 0), "channel push");
    for (int i = 0; i <= (int)s->capacity; i++) {
        party_equal(ints_pop(s->channel, &got, party_soon()), 0);
        party_equal(got, i);
    }
    party_equal(ints_try_pop(s->channel, &got), -EAGAIN);
}

/* QUE-02 */
static void a_full_or_empty_channel_refuses_times_out_or_waits(void **state)
{
    for (size_t capacity = 0; capacity <= 2; capacity++) {
        struct shared *s = open_shared(capacity);
        party_run(party_mode_of(state), 2, finds_it_full_and_empty, s);
        ints_destroy(s->channel);
        assert_int_equal(wfi_load(&s->destroyed), 0);
    }
}

/* QUE-02: a blocked pop goes on when the opposite call comes. */
static void waits_for_a_push(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        party_parked(party_at(self, 1), "channel pop");
        party_equal(ints_try_push(s->channel, 42), 0); /* with capacity 0 too: somebody waits */
        return;
    }
    int got = 0;
    party_equal(ints_pop(s->channel, &got, party_soon()), 0);
    party_equal(got, 42);
}

static void a_waiting_pop_gets_what_is_pushed(void **state)
{
    for (size_t capacity = 0; capacity <= 1; capacity++) {
        struct shared *s = open_shared(capacity);
        party_run(party_mode_of(state), 2, waits_for_a_push, s);
        ints_destroy(s->channel);
    }
}

static void a_closed_channel_gives_what_is_left_then_ends(void **state)
{
    (void)state;
    int got = 0;
    /* QUE-06, empty */
    struct shared *s = open_shared(2);
    ints_close(s->channel, WF_CLOSE_GRACEFUL);
    assert_int_equal(ints_push(s->channel, 1, WF_FOREVER), -EPIPE);
    assert_int_equal(ints_try_push(s->channel, 1), -EPIPE);
    assert_int_equal(ints_pop(s->channel, &got, WF_FOREVER), -EPIPE);
    assert_int_equal(ints_try_pop(s->channel, &got), -EPIPE);
    ints_destroy(s->channel);
    /* QUE-06, not empty */
    s = open_shared(3);
    assert_int_equal(ints_push(s->channel, 1, WF_NOW), 0);
    assert_int_equal(ints_push(s->channel, 2, WF_NOW), 0);
    assert_int_equal(ints_push(s->channel, 3, WF_NOW), 0);
    ints_close(s->channel, WF_CLOSE_GRACEFUL);
    assert_int_equal(ints_push(s->channel, 4, WF_FOREVER), -EPIPE);
    assert_int_equal(ints_pop(s->channel, &got, WF_NOW), 0);
    assert_int_equal(got, 1);
    assert_int_equal(ints_try_pop(s->channel, &got), 0);
    assert_int_equal(got, 2);
    /* QUE-08: graceful, then now */
    ints_close(s->channel, WF_CLOSE_NOW);
    assert_int_equal(wfi_load(&s->destroyed), 1);
    assert_int_equal(wfi_load(&s->sum), 3);
    assert_int_equal(ints_pop(s->channel, &got, WF_FOREVER), -EPIPE);
    ints_close(s->channel, WF_CLOSE_GRACEFUL);
    assert_int_equal(ints_pop(s->channel, &got, WF_FOREVER), -EPIPE);
    ints_destroy(s->channel);
    /* QUE-07 */
    s = open_shared(3);
    for (int i = 1; i <= 3; i++)
        assert_int_equal(ints_push(s->channel, i, WF_NOW), 0);
    ints_close(s->channel, WF_CLOSE_NOW);
    assert_int_equal(wfi_load(&s->destroyed), 3);
    assert_int_equal(ints_len(s->channel), 0);
    assert_int_equal(ints_pop(s->channel, &got, WF_FOREVER), -EPIPE);
    assert_int_equal(ints_try_pop(s->channel, &got), -EPIPE);
    assert_int_equal(ints_push(s->channel, 1, WF_FOREVER), -EPIPE);
    ints_destroy(s->channel);
    assert_int_equal(wfi_load(&s->destroyed), 3);
}

static void what_nobody_took_is_destroyed_with_the_channel(void **state)
{
    (void)state;
    struct shared *s = open_shared(4);
    assert_int_equal(ints_push(s->channel, 5, WF_NOW), 0);
    assert_int_equal(ints_push(s->channel, 6, WF_NOW), 0);
    ints_destroy(s->channel);
    assert_int_equal(wfi_load(&s->sum), 11);
    wf_channel_destroy(NULL);
}

static void blocks_until_closed(struct party *self)
{
    struct shared *s = self->arg;
    bool pushes = wfi_load(&s->step);
    if (self->index == 0) {
        for (int i = 1; i < self->count; i++)
            party_parked(party_at(self, i), pushes ? "channel push" : "channel pop");
        ints_close(s->channel, self->count == 4 ? WF_CLOSE_GRACEFUL : WF_CLOSE_NOW);
        return;
    }
    int got = -1;
    if (pushes)
        party_equal(ints_push(s->channel, 1000, party_soon()), -EPIPE);
    else
        party_equal(ints_pop(s->channel, &got, party_soon()), -EPIPE);
    party_equal(got, -1);
    wfi_fetch_add(&s->done, 1);
}

/* QUE-09 */
static void closing_wakes_all_that_wait(void **state)
{
    for (int pushes = 0; pushes < 2; pushes++)
        for (size_t capacity = 0; capacity <= 1; capacity++)
            for (int others = 3; others <= 4; others++) {
                struct shared *s = open_shared(capacity);
                wfi_store(&s->step, pushes);
                if (pushes && capacity == 1)
                    assert_int_equal(ints_push(s->channel, 7, WF_NOW), 0);
                party_run(party_mode_of(state), others + 1, blocks_until_closed, s);
                assert_int_equal(wfi_load(&s->done), others);
                ints_destroy(s->channel);
                /* What the refused pushes held is theirs: only the 7 can have been destroyed. */
                assert_int_equal(wfi_load(&s->sum), pushes && capacity == 1 ? 7 : 0);
            }
}

static void pushes_and_is_cancelled(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        for (int i = 1; i < self->count; i++) {
            wfi_store(&s->step, i);
            party_parked(party_at(self, i), "channel push");
        }
        party_cancel(party_at(self, 2));
        party_ended(party_at(self, 2));
        int expected[] = {0, 1, 3, 4};
        for (int i = s->capacity ? 0 : 1; i < 4; i++) {
            int got = -1;
            party_equal(ints_pop(s->channel, &got, party_soon()), 0);
            party_equal(got, expected[i]);
        }
        party_equal(ints_try_pop(s->channel, &(int){0}), -EAGAIN);
        return;
    }
    party_reaches(&s->step, self->index);
    int err = ints_push(s->channel, self->index, party_soon());
    party_equal(err, self->index == 2 ? -ECANCELED : 0);
}

/* ASY-09 */
static void the_item_of_a_cancelled_push_never_appears(void **state)
{
    for (size_t capacity = 0; capacity <= 1; capacity++) {
        struct shared *s = open_shared(capacity);
        if (capacity)
            assert_int_equal(ints_push(s->channel, 0, WF_NOW), 0);
        party_run(party_mode_of(state), 5, pushes_and_is_cancelled, s);
        ints_destroy(s->channel);
        assert_int_equal(wfi_load(&s->destroyed), 0);
    }
}

static void pops_in_turn(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        for (int i = 1; i < self->count; i++) {
            wfi_store(&s->step, i);
            party_parked(party_at(self, i), "channel pop");
        }
        party_cancel(party_at(self, 3));
        party_ended(party_at(self, 3));
        int living[] = {1, 2, 4, 5};
        for (int i = 0; i < 4; i++)
            party_equal(ints_push(s->channel, living[i], party_soon()), 0);
        return;
    }
    party_reaches(&s->step, self->index);
    int got = -1;
    int err = ints_pop(s->channel, &got, party_soon());
    party_equal(err, self->index == 3 ? -ECANCELED : 0);
    party_equal(got, err ? -1 : self->index);
}

static void waiting_pops_are_served_in_the_order_they_came(void **state)
{
    for (size_t capacity = 0; capacity <= 2; capacity++) {
        struct shared *s = open_shared(capacity);
        party_run(party_mode_of(state), 6, pops_in_turn, s);
        ints_destroy(s->channel);
    }
}

static void is_cancelled_as_an_item_comes(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        for (int i = 1; i < self->count; i++) {
            wfi_store(&s->step, i);
            party_parked(party_at(self, i), "channel pop");
        }
        party_cancel(party_at(self, 1)); /* perhaps still on the list, but no longer waiting */
        party_equal(ints_push(s->channel, 42, party_soon()), 0);
        return;
    }
    party_reaches(&s->step, self->index);
    int got = -1;
    party_equal(ints_pop(s->channel, &got, party_soon()), self->index == 1 ? -ECANCELED : 0);
    party_equal(got, self->index == 1 ? -1 : 42);
}

/* ASY-09, from the other side */
static void an_item_is_not_handed_to_a_cancelled_pop(void **state)
{
    for (int round = 0; round < 20; round++) {
        struct shared *s = open_shared((size_t)round % 3);
        party_run(party_mode_of(state), 3, is_cancelled_as_an_item_comes, s);
        assert_int_equal(ints_len(s->channel), 0);
        ints_destroy(s->channel);
    }
}

enum { EACH = 120 };

/* Even parties push, odd ones pop; each in a way of its own. The last push closes. */
static void hands_over_everything(struct party *self)
{
    struct shared *s = self->arg;
    struct wfi_random random;
    wfi_random_seed(&random, (uint64_t)self->index + 7);
    if (self->index % 2 == 0) {
        for (int i = 0; i < EACH;) {
            int item = self->index / 2 * EACH + i, err = 0;
            switch (wfi_random_below(&random, 3)) {
            case 0:
                err = ints_try_push(s->channel, item);
                break;
            case 1:
                err = ints_push(s->channel, item, wf_after(WF_MICROSECONDS(20)));
                break;
            default:
                err = ints_push(s->channel, item, party_soon());
            }
            if (err == 0) {
                i++;
                continue;
            }
            party_check(err == -EAGAIN || err == -ETIMEDOUT);
            wfi_yield();
        }
        if (wfi_fetch_add(&s->done, 1) == self->count / 2 - 1)
            ints_close(s->channel, WF_CLOSE_GRACEFUL);
        return;
    }
    int last[PARTY_MAX];
    memset(last, -1, sizeof last);
    for (;;) {
        int item, err;
        switch (wfi_random_below(&random, 3)) {
        case 0:
            err = ints_try_pop(s->channel, &item);
            break;
        case 1:
            err = ints_pop(s->channel, &item, wf_after(WF_MICROSECONDS(20)));
            break;
        default:
            err = ints_pop(s->channel, &item, party_soon());
        }
        if (err == -EPIPE)
            return;
        if (err) {
            wfi_yield();
            continue;
        }
        wfi_fetch_add(&s->seen[item], 1);
        party_check(item > last[item / EACH]); /* one party's items stay in order */
        last[item / EACH] = item;
    }
}

/* QUE-12 */
static void every_item_is_delivered_exactly_once(void **state)
{
    for (size_t capacity = 0; capacity <= 5; capacity++) {
        struct shared *s = open_shared(capacity);
        party_run(party_mode_of(state), 8, hands_over_everything, s);
        for (int i = 0; i < 4 * EACH; i++)
            assert_int_equal(wfi_load(&s->seen[i]), 1);
        assert_int_equal(ints_len(s->channel), 0);
        ints_destroy(s->channel);
        assert_int_equal(wfi_load(&s->destroyed), 0);
    }
}

/* Parties push and pop while party 0 closes in the middle: nothing is lost, nothing comes twice. */
static void is_closed_in_the_middle(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        party_reaches(&s->step, 50);
        ints_close(s->channel, s->capacity % 2 ? WF_CLOSE_NOW : WF_CLOSE_GRACEFUL);
    } else if (self->index % 2) {
        for (int i = 0; ints_push(s->channel, 1, party_soon()) == 0; i++)
            wfi_fetch_add(&s->step, 1);
    } else {
        for (int item; ints_pop(s->channel, &item, party_soon()) == 0;)
            wfi_fetch_add(&s->sum, item);
    }
}

static void what_a_push_reported_as_done_is_taken_or_destroyed(void **state)
{
    for (size_t capacity = 0; capacity <= 4; capacity++) {
        struct shared *s = open_shared(capacity);
        party_run(party_mode_of(state), 7, is_closed_in_the_middle, s);
        if (capacity % 2 == 0)
            assert_int_equal(wfi_load(&s->destroyed), 0);
        assert_int_equal(ints_len(s->channel), 0);
        assert_int_equal(wfi_load(&s->sum), wfi_load(&s->step)); /* both ways to end are counted */
        ints_destroy(s->channel);
        assert_int_equal(wfi_load(&s->sum), wfi_load(&s->step));
    }
}

struct big {
    char text[1000];
};
WF_CHANNEL(struct big, bigs)
WF_CHANNEL(const char *, names)

static void items_may_be_of_any_type(void **state)
{
    (void)state;
    bigs big;
    assert_int_equal(bigs_create(&(struct wf_channel_options){.capacity = 2}, &big, NULL), 0);
    struct big in = {"hello"}, out = {""};
    in.text[999] = 'x';
    assert_int_equal(bigs_push(big, in, WF_NOW), 0);
    assert_int_equal(bigs_pop(big, &out, WF_NOW), 0);
    assert_memory_equal(&in, &out, sizeof in);
    bigs_destroy(big);
    names name;
    const char *got = NULL;
    assert_int_equal(names_create(&(struct wf_channel_options){.capacity = 1}, &name, NULL), 0);
    assert_int_equal(names_try_push(name, "weft"), 0);
    assert_int_equal(names_try_pop(name, &got), 0);
    assert_string_equal(got, "weft");
    names_destroy(name);
}

static void impossible_options_and_missing_memory_are_reported(void **state)
{
    (void)state;
    struct wf_channel *channel = NULL;
    struct wf_error error = {0};
    struct wf_channel_options options = {.capacity = 1};
    assert_int_equal(wf_channel_create(&options, &channel, &error), -EINVAL);
    assert_int_equal(error.code, -EINVAL);
    options = (struct wf_channel_options){.capacity = (size_t)1 << 32, .item_bytes = 1};
    assert_int_equal(wf_channel_create(&options, &channel, &error), -EINVAL);
    options = (struct wf_channel_options){.capacity = (size_t)1 << 31, .item_bytes = SIZE_MAX / 8};
    assert_int_equal(wf_channel_create(&options, &channel, &error), -ENOMEM);
    options = (struct wf_channel_options){.capacity = 3, .item_bytes = 8};
    wfi_alloc_watch(1);
    assert_int_equal(wf_channel_create(&options, &channel, &error), -ENOMEM);
    assert_true(wfi_alloc_unwatch());
    assert_null(channel);
    wfi_alloc_watch(2);
    assert_int_equal(wf_channel_create(&options, &channel, NULL), 0);
    wf_channel_destroy(channel);
    assert_int_equal(wfi_alloc_live(), 0);
    assert_false(wfi_alloc_unwatch());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PARTY_TEST(items_come_out_in_the_order_they_went_in),
        PARTY_TEST(a_full_or_empty_channel_refuses_times_out_or_waits),
        PARTY_TEST(a_waiting_pop_gets_what_is_pushed),
        PARTY_TEST(closing_wakes_all_that_wait),
        PARTY_TEST(the_item_of_a_cancelled_push_never_appears),
        PARTY_TEST(an_item_is_not_handed_to_a_cancelled_pop),
        PARTY_TEST(waiting_pops_are_served_in_the_order_they_came),
        PARTY_TEST(every_item_is_delivered_exactly_once),
        PARTY_TEST(what_a_push_reported_as_done_is_taken_or_destroyed),
        cmocka_unit_test(a_closed_channel_gives_what_is_left_then_ends),
        cmocka_unit_test(what_nobody_took_is_destroyed_with_the_channel),
        cmocka_unit_test(items_may_be_of_any_type),
        cmocka_unit_test(impossible_options_and_missing_memory_are_reported),
    };
    return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
