/* SPDX-License-Identifier: MIT */
/* Queues of all three orders, four ways. */
#include "party.h"

#include <errno.h>

#include <weft/queue.h>

WF_QUEUE(int, ints)

struct shared {
    ints queue;
    enum wf_queue_order order;
    WFI_ATOMIC(int) step, done, sum, destroyed;
    WFI_ATOMIC(int) seen[2048];
    int compare_fails_in; /* the n-th comparison from now fails; 0: none does */
};

static int compare(const void *a, const void *b, void *arg, int *ret_order)
{
    struct shared *s = arg;
    if (s->compare_fails_in && --s->compare_fails_in == 0)
        return -EIO;
    int x = *(const int *)a, y = *(const int *)b;
    *ret_order = x < y ? -1 : x > y;
    return 0;
}

static void count_destroyed(void *item, void *arg)
{
    struct shared *s = arg;
    wfi_fetch_add(&s->destroyed, 1);
    wfi_fetch_add(&s->sum, *(int *)item);
}

static struct shared *open_shared(enum wf_queue_order order, size_t capacity)
{
    static struct shared s;
    memset((void *)&s, 0, sizeof s);
    s.order = order;
    struct wf_queue_options options = {.order = order,
                                       .capacity = capacity,
                                       .compare = compare,
                                       .item_destroy = count_destroyed,
                                       .arg = &s};
    assert_int_equal(ints_create(&options, &s.queue, NULL), 0);
    return &s;
}

/* QUE-01 */
static void items_come_out_in_the_order_that_was_chosen(void **state)
{
    (void)state;
    int in[] = {111, 333, 222};
    int out[3][3] = {{111, 333, 222}, {222, 333, 111}, {111, 222, 333}};
    for (int order = WF_FIFO; order <= WF_PRIORITY; order++) {
        struct shared *s = open_shared((enum wf_queue_order)order, 3);
        for (int round = 0; round < 4; round++) {
            for (int i = 0; i < 3; i++)
                assert_int_equal(ints_push(s->queue, in[i], WF_NOW), 0);
            for (int i = 0; i < 3; i++) {
                int got = 0;
                assert_int_equal(ints_pop(s->queue, &got, WF_NOW), 0);
                assert_int_equal(got, out[order][i]);
            }
        }
        ints_destroy(s->queue);
    }
}

static int compare_tens(const void *a, const void *b, void *arg, int *ret_order)
{
    (void)arg;
    *ret_order = *(const int *)a / 10 - *(const int *)b / 10;
    return 0;
}

static void a_priority_queue_sorts_and_keeps_equals_in_order(void **state)
{
    (void)state;
    ints q;
    assert_int_equal(ints_create(&(struct wf_queue_options){.order = WF_PRIORITY,
                                                            .capacity = 400,
                                                            .compare = compare_tens},
                                 &q, NULL),
                     0);
    struct wfi_random random;
    wfi_random_seed(&random, 5);
    int next[40] = {0};
    for (int i = 0; i < 400; i++) {
        int ten;
        do
            ten = (int)wfi_random_below(&random, 40);
        while (next[ten] == 10);
        assert_int_equal(ints_push(q, ten * 10 + next[ten]++, WF_NOW), 0);
    }
    for (int i = 0; i < 400; i++) {
        int got = -1;
        assert_int_equal(ints_try_pop(q, &got), 0);
        assert_int_equal(got, i);
    }
    ints_destroy(q);
}

static void finds_it_full_and_empty(struct party *self)
{
    struct shared *s = self->arg;
    int got = -1;
    if (self->index == 0) {
        party_equal(ints_try_pop(s->queue, &got), -EAGAIN);
        int64_t begin = wf_now();
        party_equal(ints_pop(s->queue, &got, wf_after(WF_MILLISECONDS(5))), -ETIMEDOUT);
        party_check(wf_now() - begin >= WF_MILLISECONDS(5));
        party_equal(got, -1);
        party_equal(ints_try_push(s->queue, 1), 0);
        party_equal(ints_try_push(s->queue, 2), 0);
        party_equal(ints_try_push(s->queue, 3), -EAGAIN);
        begin = wf_now();
        party_equal(ints_push(s->queue, 3, wf_after(WF_MILLISECONDS(5))), -ETIMEDOUT);
        party_check(wf_now() - begin >= WF_MILLISECONDS(5));
        party_equal(ints_push(s->queue, 3, WF_NOW), -ETIMEDOUT); /* QUE-03: past is now */
        wfi_store(&s->step, 1);
        party_equal(ints_push(s->queue, 4, party_soon()), 0);
        wfi_store(&s->step, 2);
        return;
    }
    party_reaches(&s->step, 1);
    party_parked(party_at(self, 0), "queue push");
    party_equal(ints_pop(s->queue, &got, party_soon()), 0);
    party_reaches(&s->step, 2);
    party_equal(ints_len(s->queue), 2);
}

/* QUE-02 */
static void a_full_or_empty_queue_refuses_times_out_or_waits(void **state)
{
    for (int order = WF_FIFO; order <= WF_PRIORITY; order++) {
        struct shared *s = open_shared((enum wf_queue_order)order, 2);
        party_run(party_mode_of(state), 2, finds_it_full_and_empty, s);
        ints_destroy(s->queue);
    }
}

static void works_off_a_hundred(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        for (int i = 0; i < 100; i++)
            party_equal(ints_push(s->queue, i, party_soon()), 0);
        party_equal(ints_join(s->queue, party_soon()), 0);
        party_equal(wfi_load(&s->done), 100);
        party_equal(ints_join(s->queue, WF_NOW), 0);
        party_equal(ints_task_done(s->queue), WF_ESTATE);
        ints_close(s->queue, WF_CLOSE_GRACEFUL);
        return;
    }
    for (int got; ints_pop(s->queue, &got, party_soon()) == 0;) {
        wfi_yield();
        wfi_fetch_add(&s->done, 1);
        party_equal(ints_task_done(s->queue), 0);
    }
}

/* QUE-04, QUE-03 */
static void join_waits_until_every_item_is_marked_done(void **state)
{
    struct shared *s = open_shared(WF_FIFO, 10);
    assert_int_equal(ints_join(s->queue, WF_NOW), 0);
    assert_int_equal(ints_task_done(s->queue), WF_ESTATE);
    assert_int_equal(ints_push(s->queue, 1, WF_NOW), 0);
    assert_int_equal(ints_task_done(s->queue), WF_ESTATE); /* it has not been taken yet */
    assert_int_equal(ints_join(s->queue, WF_NOW), -ETIMEDOUT);
    int got;
    assert_int_equal(ints_pop(s->queue, &got, WF_NOW), 0);
    assert_int_equal(ints_task_done(s->queue), 0);
    party_run(party_mode_of(state), 3, works_off_a_hundred, s);
    ints_destroy(s->queue);
}

static void a_closed_queue_gives_what_is_left_or_destroys_it(void **state)
{
    (void)state;
    for (int order = WF_FIFO; order <= WF_PRIORITY; order++) {
        int got = 0;
        /* QUE-06 */
        struct shared *s = open_shared((enum wf_queue_order)order, 4);
        ints_close(s->queue, WF_CLOSE_GRACEFUL);
        assert_int_equal(ints_push(s->queue, 1, WF_FOREVER), -EPIPE);
        assert_int_equal(ints_pop(s->queue, &got, WF_FOREVER), -EPIPE);
        assert_int_equal(ints_resize(s->queue, 9), -EPIPE);
        ints_destroy(s->queue);
        s = open_shared((enum wf_queue_order)order, 4);
        for (int i = 1; i <= 4; i++)
            assert_int_equal(ints_push(s->queue, i, WF_NOW), 0);
        ints_close(s->queue, WF_CLOSE_GRACEFUL);
        assert_int_equal(ints_try_push(s->queue, 5), -EPIPE);
        assert_int_equal(ints_pop(s->queue, &got, WF_NOW), 0);
        /* QUE-08, QUE-07 */
        ints_close(s->queue, WF_CLOSE_NOW);
        assert_int_equal(wfi_load(&s->destroyed), 3);
        assert_int_equal(ints_pop(s->queue, &got, WF_FOREVER), -EPIPE);
        assert_int_equal(ints_join(s->queue, WF_NOW), -ETIMEDOUT); /* the one that was taken */
        assert_int_equal(ints_task_done(s->queue), 0);
        assert_int_equal(ints_join(s->queue, WF_NOW), 0);
        assert_int_equal(ints_task_done(s->queue), WF_ESTATE);
        ints_close(s->queue, WF_CLOSE_GRACEFUL);
        assert_int_equal(ints_try_pop(s->queue, &got), -EPIPE);
        ints_destroy(s->queue);
    }
}

static void what_nobody_took_is_destroyed_with_the_queue(void **state)
{
    (void)state;
    struct shared *s = open_shared(WF_FIFO, 3);
    int got;
    for (int i = 1; i <= 3; i++)
        assert_int_equal(ints_push(s->queue, i, WF_NOW), 0);
    assert_int_equal(ints_pop(s->queue, &got, WF_NOW), 0);
    assert_int_equal(ints_push(s->queue, 10, WF_NOW), 0); /* wraps round the end */
    ints_destroy(s->queue);
    assert_int_equal(wfi_load(&s->sum), 15);
    wf_queue_destroy(NULL);
}

static void waits_until_closed(struct party *self)
{
    struct shared *s = self->arg;
    const char *reasons[] = {"queue pop", "queue push", "queue join"};
    int way = wfi_load(&s->step);
    if (self->index == 0) {
        for (int i = 1; i < self->count; i++)
            party_parked(party_at(self, i), reasons[way]);
        ints_close(s->queue, way == 2 ? WF_CLOSE_NOW : WF_CLOSE_GRACEFUL);
        return;
    }
    int got;
    if (way == 0)
        party_equal(ints_pop(s->queue, &got, party_soon()), -EPIPE);
    else if (way == 1)
        party_equal(ints_push(s->queue, 5, party_soon()), -EPIPE);
    else
        party_equal(ints_join(s->queue, party_soon()), 0);
    wfi_fetch_add(&s->done, 1);
}

/* QUE-09, QUE-07 */
static void closing_wakes_all_that_wait(void **state)
{
    for (int way = 0; way < 3; way++) {
        struct shared *s = open_shared(WF_FIFO, 1);
        wfi_store(&s->step, way);
        if (way > 0)
            assert_int_equal(ints_push(s->queue, 1, WF_NOW), 0);
        party_run(party_mode_of(state), 4, waits_until_closed, s);
        assert_int_equal(wfi_load(&s->done), 3);
        ints_destroy(s->queue);
        assert_int_equal(wfi_load(&s->destroyed), way > 0);
    }
}

/* QUE-11: every comparison of every push and pop fails once, and nothing has changed. */
static void a_failing_comparison_changes_nothing(void **state)
{
    (void)state;
    enum { COUNT = 20 };
    for (int fails_in = 1; fails_in < 12; fails_in++) {
        struct shared *s = open_shared(WF_PRIORITY, COUNT);
        int failures = 0;
        for (int i = 0; i < COUNT; i++) {
            int item = (i * 7) % COUNT;
            s->compare_fails_in = fails_in;
            int err = ints_push(s->queue, item, WF_NOW);
            bool failed = s->compare_fails_in == 0;
            s->compare_fails_in = 0;
            assert_int_equal(err, failed ? -EIO : 0);
            assert_int_equal(ints_len(s->queue), failed ? i : i + 1);
            failures += failed;
            if (failed)
                assert_int_equal(ints_push(s->queue, item, WF_NOW), 0);
        }
        for (int i = 0; i < COUNT; i++) {
            int got = -1;
            s->compare_fails_in = fails_in;
            int err = ints_pop(s->queue, &got, WF_NOW);
            bool failed = s->compare_fails_in == 0;
            s->compare_fails_in = 0;
            if (failed) {
                failures++;
                assert_int_equal(err, -EIO);
                assert_int_equal(got, -1);
                assert_int_equal(ints_len(s->queue), COUNT - i);
                assert_int_equal(ints_try_pop(s->queue, &got), 0);
            } else {
                assert_int_equal(err, 0);
            }
            assert_int_equal(got, i);
        }
        if (fails_in < 5)
            assert_true(failures > 0);
        ints_destroy(s->queue);
    }
}

static void pushes_and_fails(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        party_parked(party_at(self, 1), "queue push");
        s->compare_fails_in = 2; /* 1 is popped from {1, 2}: the next comparison is the push's */
        int got = -1;
        party_equal(ints_pop(s->queue, &got, party_soon()), 0);
        party_equal(got, 1);
        return;
    }
    party_equal(ints_push(s->queue, 3, party_soon()), -EIO);
}

/* QUE-11 */
static void a_comparison_that_fails_for_a_waiting_push_is_its_own_error(void **state)
{
    struct shared *s = open_shared(WF_PRIORITY, 3);
    for (int i = 1; i <= 3; i++)
        assert_int_equal(ints_push(s->queue, i == 3 ? 9 : i, WF_NOW), 0);
    party_run(party_mode_of(state), 2, pushes_and_fails, s);
    assert_int_equal(ints_len(s->queue), 2);
    ints_destroy(s->queue);
}

static void is_let_in_by_resize(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        for (int i = 1; i < self->count; i++) {
            wfi_store(&s->step, i);
            party_parked(party_at(self, i), "queue push");
        }
        party_equal(ints_resize(s->queue, 3), 0);
        party_reaches(&s->done, 1);
        party_equal(ints_len(s->queue), 3);
        party_equal(ints_resize(s->queue, 1), 0); /* what is inside stays */
        party_equal(ints_len(s->queue), 3);
        for (int i = 0, got; i < 5; i++) {
            party_equal(ints_pop(s->queue, &got, party_soon()), 0);
            party_equal(got, i);
        }
        return;
    }
    party_reaches(&s->step, self->index);
    party_equal(ints_push(s->queue, self->index + 1, party_soon()), 0);
    wfi_fetch_add(&s->done, 1);
}

static void a_larger_capacity_lets_waiting_pushes_in(void **state)
{
    struct shared *s = open_shared(WF_FIFO, 2);
    assert_int_equal(ints_resize(s->queue, 0), -EINVAL);
    int got;
    assert_int_equal(ints_push(s->queue, 7, WF_NOW), 0);
    assert_int_equal(ints_pop(s->queue, &got, WF_NOW), 0);
    assert_int_equal(ints_push(s->queue, 0, WF_NOW), 0);
    assert_int_equal(ints_push(s->queue, 1, WF_NOW), 0); /* wraps round the end */
    party_run(party_mode_of(state), 4, is_let_in_by_resize, s);
    ints_destroy(s->queue);
}

static void pushes_and_is_cancelled(struct party *self)
{
    struct shared *s = self->arg;
    if (self->index == 0) {
        for (int i = 1; i < self->count; i++) {
            wfi_store(&s->step, i);
            party_parked(party_at(self, i), "queue push");
        }
        party_cancel(party_at(self, 2));
        party_ended(party_at(self, 2));
        int expected[] = {0, 1, 3, 4};
        for (int i = 0, got; i < 4; i++) {
            party_equal(ints_pop(s->queue, &got, party_soon()), 0);
            party_equal(got, expected[i]);
        }
        return;
    }
    party_reaches(&s->step, self->index);
    party_equal(ints_push(s->queue, self->index, party_soon()), self->index == 2 ? -ECANCELED : 0);
}

/* ASY-09 */
static void the_item_of_a_cancelled_push_never_appears(void **state)
{
    struct shared *s = open_shared(WF_FIFO, 1);
    assert_int_equal(ints_push(s->queue, 0, WF_NOW), 0);
    party_run(party_mode_of(state), 5, pushes_and_is_cancelled, s);
    ints_destroy(s->queue);
}

enum { EACH = 100 };

static void hands_over_everything(struct party *self)
{
    struct shared *s = self->arg;
    struct wfi_random random;
    wfi_random_seed(&random, (uint64_t)self->index + 5);
    for (int i = 0;;) {
        int item = self->index / 2 * EACH + i, err;
        bool pushes = self->index % 2 == 0;
        uint64_t way = wfi_random_below(&random, 3);
        wf_deadline until = way == 1 ? wf_after(WF_MICROSECONDS(20)) : party_soon();
        if (pushes)
            err = way == 0 ? ints_try_push(s->queue, item) : ints_push(s->queue, item, until);
        else
            err = way == 0 ? ints_try_pop(s->queue, &item) : ints_pop(s->queue, &item, until);
        if (err == -EPIPE)
            return;
        if (err)
            wfi_yield();
        else if (!pushes)
            wfi_fetch_add(&s->seen[item], 1);
        else if (++i == EACH)
            break;
    }
    if (wfi_fetch_add(&s->done, 1) == self->count / 2 - 1)
        ints_close(s->queue, WF_CLOSE_GRACEFUL);
}

/* QUE-12 */
static void every_item_is_delivered_exactly_once(void **state)
{
    for (int order = WF_FIFO; order <= WF_PRIORITY; order++)
        for (size_t capacity = 1; capacity <= 4; capacity += 3) {
            struct shared *s = open_shared((enum wf_queue_order)order, capacity);
            party_run(party_mode_of(state), 8, hands_over_everything, s);
            for (int i = 0; i < 4 * EACH; i++)
                assert_int_equal(wfi_load(&s->seen[i]), 1);
            ints_destroy(s->queue);
        }
}

static void impossible_options_and_missing_memory_are_reported(void **state)
{
    (void)state;
    struct wf_queue *q = NULL;
    struct wf_error error = {0};
    struct wf_queue_options options = {.capacity = 1};
    assert_int_equal(wf_queue_create(&options, &q, &error), -EINVAL);
    assert_int_equal(error.code, -EINVAL);
    options = (struct wf_queue_options){.item_bytes = 4};
    assert_int_equal(wf_queue_create(&options, &q, NULL), -EINVAL);
    options = (struct wf_queue_options){.order = WF_PRIORITY, .capacity = 1, .item_bytes = 4};
    assert_int_equal(wf_queue_create(&options, &q, NULL), -EINVAL);
    options = (struct wf_queue_options){.capacity = SIZE_MAX / 4, .item_bytes = 64};
    assert_int_equal(wf_queue_create(&options, &q, NULL), -ENOMEM);
    options = (struct wf_queue_options){.capacity = 2, .item_bytes = 4};
    for (uint64_t n = 1;; n++) {
        wfi_alloc_watch(n);
        int err = wf_queue_create(&options, &q, NULL);
        if (!err) {
            int resized = wf_queue_resize(q, 5);
            wf_queue_destroy(q);
            err = resized;
        }
        assert_int_equal(wfi_alloc_live(), 0);
        if (!wfi_alloc_unwatch()) {
            assert_int_equal(err, 0);
            assert_int_equal(n, 4);
            break;
        }
        assert_int_equal(err, -ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_in_the_order_that_was_chosen),
        cmocka_unit_test(a_priority_queue_sorts_and_keeps_equals_in_order),
        PARTY_TEST(a_full_or_empty_queue_refuses_times_out_or_waits),
        PARTY_TEST(join_waits_until_every_item_is_marked_done),
        cmocka_unit_test(a_closed_queue_gives_what_is_left_or_destroys_it),
        cmocka_unit_test(what_nobody_took_is_destroyed_with_the_queue),
        PARTY_TEST(closing_wakes_all_that_wait),
        cmocka_unit_test(a_failing_comparison_changes_nothing),
        PARTY_TEST(a_comparison_that_fails_for_a_waiting_push_is_its_own_error),
        PARTY_TEST(a_larger_capacity_lets_waiting_pushes_in),
        PARTY_TEST(the_item_of_a_cancelled_push_never_appears),
        PARTY_TEST(every_item_is_delivered_exactly_once),
        cmocka_unit_test(impossible_options_and_missing_memory_are_reported),
    };
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
