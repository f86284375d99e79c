/* SPDX-License-Identifier: MIT */
/* Waiting for several futures: conformance group ASC. */
#include "engines.h"

#include <errno.h>

WF_TASK(int, give, (int, value))
WF_TASK(int, hold, (struct wf_event *, started), (struct wf_event *, release))

int give(struct wf_task *self, int value, int *ret)
{
    (void)self;
    *ret = value;
    return value < 0 ? value : 0;
}
WF_TASK_DEFINE(give)

int hold(struct wf_task *self, struct wf_event *started, struct wf_event *release, int *ret)
{
    (void)self;
    wf_event_set(started);
    *ret = 42;
    return wf_event_wait(release, party_soon());
}
WF_TASK_DEFINE(hold)

struct four {
    struct wf_event started, release;
    struct wf_future *f[4]; /* done, failed, cancelled, running */
};

/* On one thread the running one would keep the others from running: it comes last. */
static void four_open(struct four *four, struct wf_executor *on)
{
    wf_event_init(&four->started);
    wf_event_init(&four->release);
    hold_future c = hold_submit(on, &four->started, &four->release);
    check_int(wf_event_wait(&four->started, party_soon()), 0);
    check_int(wf_future_cancel(c.future), WF_CANCEL_ASKED);
    four->f[2] = c.future;
    four->f[0] = give_submit(on, 7).future;
    four->f[1] = give_submit(on, -EIO).future;
    for (int i = 0; i < 3; i++)
        check_int(wf_future_wait(four->f[i], party_soon()), 0);
    wf_event_clear(&four->started);
    four->f[3] = hold_submit(on, &four->started, &four->release).future;
    check_int(wf_event_wait(&four->started, party_soon()), 0);
}

static void four_close(struct four *four)
{
    wf_event_set(&four->release);
    for (int i = 0; i < 4; i++) {
        check_int(wf_future_wait(four->f[i], party_soon()), 0);
        wf_future_error(four->f[i], WF_NOW, NULL);
        wf_future_drop(&four->f[i]);
    }
    wf_event_fini(&four->started);
    wf_event_fini(&four->release);
}

/* ASC-01, ASC-02 */
static void mixed_states(struct wf_executor *on)
{
    struct four four;
    four_open(&four, on);
    struct wf_as_completed *walk;
    struct wf_error error;
    struct wf_future *f;
    size_t at;
    check_int(wf_as_completed_open(four.f, 4, &walk, NULL), 0);
    for (size_t i = 0; i < 3; i++) { /* those that have ended, in their order */
        check_int(wf_as_completed_next(walk, &f, &at, party_soon(), NULL), 1);
        check_int(at, i);
        check(f == four.f[i]);
    }
    check_int(wf_as_completed_next(walk, &f, &at, WF_NOW, &error), -ETIMEDOUT);
    check(strcmp(error.text, "1 of 4 futures unfinished") == 0);
    int64_t before = wf_now();
    check_int(wf_as_completed_next(walk, &f, &at, wf_after(WF_MILLISECONDS(10)), &error),
              -ETIMEDOUT);
    check(wf_now() - before >= WF_MILLISECONDS(10));
    wf_event_set(&four.release);
    check_int(wf_as_completed_next(walk, &f, &at, party_soon(), NULL), 1);
    check_int(at, 3);
    check_int(wf_as_completed_next(walk, &f, &at, party_soon(), NULL), 0);
    check_int(wf_as_completed_next(walk, &f, &at, party_soon(), NULL), 0);
    wf_as_completed_close(walk);
    four_close(&four);
}

static void each_comes_out_once_those_that_ended_first(void **state)
{
    (void)state;
    ON_CONCURRENT(mixed_states);
}

/* ASC-03 */
static void listed_thrice(struct wf_executor *on)
{
    struct wf_future *a = give_submit(on, 1).future, *b = give_submit(on, 2).future;
    struct wf_future *set[] = {a, b, a, NULL, a};
    struct wf_as_completed *walk;
    struct wf_future *f;
    int count = 0;
    check_int(wf_as_completed_open(set, 5, &walk, NULL), 0);
    while (wf_as_completed_next(walk, &f, NULL, party_soon(), NULL) == 1)
        count++;
    wf_as_completed_close(walk);
    check_int(count, 2);
    bool done[5];
    check_int(wf_future_wait_many(set, 5, WF_WAIT_ALL, done, party_soon()), 2);
    check(done[0] && done[1] && done[2] && !done[3] && done[4]);
    wf_future_drop(&a);
    wf_future_drop(&b);
    check_int(wf_future_wait_many(NULL, 0, WF_WAIT_ALL, NULL, party_soon()), 0);
}

static void one_listed_thrice_is_reported_once(void **state)
{
    (void)state;
    ON_ALL(listed_thrice);
}

/* ASC-04: what has come out may be dropped while the walk goes on. */
static void dropped_on_the_way(struct wf_executor *on)
{
    enum { COUNT = 100 };
    struct wf_future *set[COUNT], *f;
    for (int i = 0; i < COUNT; i++)
        set[i] = give_submit(on, i).future;
    struct wf_as_completed *walk;
    check_int(wf_as_completed_open(set, COUNT, &walk, NULL), 0);
    size_t at;
    bool seen[COUNT] = {false};
    for (int i = 0; i < COUNT; i++) {
        check_int(wf_as_completed_next(walk, &f, &at, party_soon(), NULL), 1);
        check(f == set[at] && !seen[at]);
        seen[at] = true;
        int value = -1;
        check_int(wf_future_result(&f, &value, WF_NOW, NULL), 0);
        check_int(value, at);
        set[at] = NULL;
    }
    wf_as_completed_close(walk);
}

static void what_came_out_may_be_dropped(void **state)
{
    (void)state;
    ON_ALL(dropped_on_the_way);
}

/* ASC-05, ASC-06, ASC-07 */
static void waits(struct wf_executor *on)
{
    struct four four;
    four_open(&four, on);
    bool done[4];
    check_int(wf_future_wait_many(four.f, 4, WF_WAIT_FIRST, done, party_soon()), 3);
    check(done[0] && done[1] && done[2] && !done[3]);
    check_int(wf_future_wait_many(four.f, 4, WF_WAIT_FIRST_ERROR, done, party_soon()), 3);
    struct wf_future *ok[] = {four.f[0], four.f[3]};
    int64_t before = wf_now();
    /* A success alone does not end the wait for an error; a deadline is no error. */
    check_int(wf_future_wait_many(ok, 2, WF_WAIT_FIRST_ERROR, done, wf_after(WF_MILLISECONDS(5))),
              1);
    check(wf_now() - before >= WF_MILLISECONDS(5));
    check(done[0] && !done[1]);
    check_int(wf_future_wait_many(four.f, 4, WF_WAIT_ALL, done, wf_after(WF_MILLISECONDS(5))), 3);
    check(done[0] && done[1] && done[2] && !done[3]);
    check_int(wf_future_wait_many(four.f, 4, WF_WAIT_ALL, done, WF_NOW), 3);
    /* The failure of one that runs ends it. */
    check_int(wf_future_cancel(four.f[3]), WF_CANCEL_ASKED);
    check_int(wf_future_wait_many(&four.f[3], 1, WF_WAIT_FIRST_ERROR, done, party_soon()), 1);
    check_int(wf_future_wait_many(four.f, 4, WF_WAIT_ALL, done, party_soon()), 4);
    check(done[3]);
    four_close(&four);
}

static void waits_end_at_the_first_the_first_error_or_the_last(void **state)
{
    (void)state;
    ON_CONCURRENT(waits);
}

/* A source without end, with a window. */

struct source {
    struct wf_executor *on;
    int given, last, end_code;
    int taken;
    int most_ahead;
};

static int next(void *arg, struct wf_future **ret_future)
{
    struct source *source = arg;
    if (source->given == source->last)
        return source->end_code;
    *ret_future = give_submit(source->on, source->given++).future;
    if (source->given - source->taken > source->most_ahead)
        source->most_ahead = source->given - source->taken;
    return 1;
}

static void endless(struct wf_executor *on)
{
    struct source source = {.on = on, .last = -1};
    struct wf_as_completed *walk;
    check_int(wf_as_completed_source(0, next, &source, &walk, NULL), -EINVAL);
    check_int(wf_as_completed_source(3, next, &source, &walk, NULL), 0);
    for (int i = 0; i < 500; i++) {
        struct wf_future *f;
        size_t at;
        int value = -1;
        check_int(wf_as_completed_next(walk, &f, &at, party_soon(), NULL), 1);
        source.taken++;
        check_int(wf_future_result(&f, &value, WF_NOW, NULL), 0);
        check_int(value, at);
    }
    check(source.most_ahead <= 3);
    wf_as_completed_close(walk);

    source = (struct source){.on = on, .last = 2, .end_code = -EPROTO};
    check_int(wf_as_completed_source(5, next, &source, &walk, NULL), 0);
    struct wf_future *f;
    for (int i = 0; i < 2; i++) {
        check_int(wf_as_completed_next(walk, &f, NULL, party_soon(), NULL), 1);
        wf_future_drop(&f);
    }
    check_int(wf_as_completed_next(walk, &f, NULL, party_soon(), NULL), -EPROTO);
    check_int(wf_as_completed_next(walk, &f, NULL, party_soon(), NULL), 0);
    wf_as_completed_close(walk);
}

static void an_endless_source_stays_in_its_window(void **state)
{
    (void)state;
    ON_ALL(endless);
}

/* A task walks over tasks of its own executor, with one worker. */
WF_TASK(int, gather, (int, count))

int gather(struct wf_task *self, int count, int *ret)
{
    struct wf_future *set[32], *f;
    for (int i = 0; i < count; i++)
        set[i] = give_submit(wf_task_executor(self), i).future;
    struct wf_as_completed *walk;
    check_int(wf_as_completed_open(set, (size_t)count, &walk, NULL), 0);
    *ret = 0;
    while (wf_as_completed_next(walk, &f, NULL, party_soon(), NULL) == 1) {
        int value = 0;
        check_int(wf_future_result(&f, &value, WF_NOW, NULL), 0);
        *ret += value;
    }
    wf_as_completed_close(walk);
    return 0;
}
WF_TASK_DEFINE(gather)

static void nested(struct wf_executor *on)
{
    int sum = 0;
    gather_future f = gather_submit(on, 32);
    check_int(gather_result(&f, &sum, party_soon(), NULL), 0);
    check_int(sum, 31 * 32 / 2);
}

static void a_walk_inside_a_task_does_not_deadlock(void **state)
{
    (void)state;
    ON_ALL(nested);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_comes_out_once_those_that_ended_first),
        cmocka_unit_test(one_listed_thrice_is_reported_once),
        cmocka_unit_test(what_came_out_may_be_dropped),
        cmocka_unit_test(waits_end_at_the_first_the_first_error_or_the_last),
        cmocka_unit_test(an_endless_source_stays_in_its_window),
        cmocka_unit_test(a_walk_inside_a_task_does_not_deadlock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
