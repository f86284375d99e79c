/* SPDX-License-Identifier: MIT */
/*
 * The primitives that explore_test.c leaves out, under the interleaving explorer: situations of a
 * few parties, each for many seeds. Builds without -Dexplore=true skip.
 *
 * WEFT_SEED=N runs one seed of every situation, WEFT_SEEDS=N that many.
 */
#include "os/explore.h"

#include <stdio.h>

#ifndef WFI_EXPLORE

int main(void)
{
    puts("skipped: needs -Dexplore=true");
    return 77;
}

#else

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <weft/barrier.h>
#include <weft/channel.h>
#include <weft/cond.h>
#include <weft/event.h>
#include <weft/latch.h>
#include <weft/limit.h>
#include <weft/once.h>
#include <weft/queue.h>
#include <weft/rwlock.h>

#include "os/thread.h"
#include "sched/cancel.h"
#include "sched/park.h"

static const struct wfi_park_ops explore_ops = {wfi_explore_now, wfi_explore_sleep,
                                                wfi_explore_wake};

static const char *situation;
static uint64_t seed;

static void check_(bool holds, const char *what, int line)
{
    if (holds)
        return;
    printf("%s, WEFT_SEED=%llu, step %llu: line %d: %s\n", situation, (unsigned long long)seed,
           (unsigned long long)wfi_explore_steps(), line, what);
    fflush(stdout);
    _Exit(1);
}
#define check(condition) check_((condition), #condition, __LINE__)

enum { MANY = 4 };

/* What the parties of a situation share; each uses what it needs. */
struct shared {
    struct wf_mutex mutex;
    struct wf_condition condition;
    struct wf_rwlock rwlock;
    struct wf_once once;
    struct wf_barrier barrier;
    struct wf_limit *limit;
    struct wf_channel *channel;
    struct wf_queue *queue;
    WFI_ATOMIC(struct wf_event *) event;
    WFI_ATOMIC(struct wf_latch *) latch;
    WFI_ATOMIC(int) in, out, refused, waiting, runs, actions, inside, last;
    WFI_ATOMIC(int) places[MANY];
    struct wfi_cancel level;
    WFI_ATOMIC(int) entered; /* 1: `level` can be asked; 2: it has been */
    int alone;
};

/* Runs each function as a party with `s`, and waits for all. */
static void run_parties(struct shared *s, size_t count, void *(*const fns[])(void *))
{
    struct wfi_thread threads[MANY];
    for (size_t i = 0; i < count; i++)
        check(wfi_thread_start(&threads[i], NULL, 0, fns[i], s) == 0);
    for (size_t i = 0; i < count; i++)
        wfi_thread_join(&threads[i]);
}
#define RUN(s, ...)                                                               \
    run_parties((s), sizeof((void *(*[])(void *)){__VA_ARGS__}) / sizeof(void *), \
                (void *(*[])(void *)){__VA_ARGS__})

static void enter(struct shared *s)
{
    wfi_cancel_enter(&s->level, NULL, false, WF_FOREVER);
    wfi_store(&s->entered, 1);
}

static void leave(struct shared *s)
{
    while (wfi_load(&s->entered) != 2)
        wfi_thread_yield();
    wfi_cancel_leave(&s->level);
}

static void *cancels(void *arg)
{
    struct shared *s = arg;
    while (!wfi_load(&s->entered))
        wfi_thread_yield();
    wfi_cancel_ask(&s->level);
    wfi_store(&s->entered, 2);
    return NULL;
}

/* Channels: what went in comes out, is destroyed, or is still inside. */

static void count_destroyed(void *item, void *arg)
{
    struct shared *s = arg;
    wfi_fetch_add(&s->out, *(int *)item);
}

static void *pushes_until_closed(void *arg)
{
    struct shared *s = arg;
    for (int i = 1; i <= 3; i++) {
        int err = wf_channel_push(s->channel, &i, WF_FOREVER);
        check(err == 0 || err == -EPIPE);
        if (err)
            break;
        wfi_fetch_add(&s->in, i);
    }
    return NULL;
}

static void *pops_until_closed(void *arg)
{
    struct shared *s = arg;
    for (int item, err;;) {
        err = wf_channel_pop(s->channel, &item, WF_FOREVER);
        check(err == 0 || err == -EPIPE);
        if (err)
            return NULL;
        wfi_fetch_add(&s->out, item);
    }
}

static void *closes(void *arg)
{
    struct shared *s = arg;
    wfi_thread_yield();
    wf_channel_close(s->channel, seed / 4 % 2 ? WF_CLOSE_NOW : WF_CLOSE_GRACEFUL);
    return NULL;
}

static void open_channel(struct shared *s)
{
    struct wf_channel_options options = {
        .capacity = seed % 4, .item_bytes = sizeof(int), .item_destroy = count_destroyed, .arg = s};
    check(wf_channel_create(&options, &s->channel, NULL) == 0);
}

static void closing_a_channel_loses_nothing(void *arg)
{
    struct shared *s = arg;
    open_channel(s);
    RUN(s, pushes_until_closed, pops_until_closed, closes, pushes_until_closed);
    check(wf_channel_len(s->channel) == 0);
    check(wfi_load(&s->in) == wfi_load(&s->out));
    wf_channel_destroy(s->channel);
    check(wfi_load(&s->in) == wfi_load(&s->out));
}

static void *pops_and_is_cancelled(void *arg)
{
    struct shared *s = arg;
    int item = 0, err;
    enter(s);
    err = wf_channel_pop(s->channel, &item, WF_FOREVER);
    check(err == 0 || err == -ECANCELED || err == -EPIPE);
    check((err == 0) == (item != 0));
    wfi_fetch_add(&s->out, item);
    leave(s);
    return NULL;
}

static void *pushes_three_and_closes(void *arg)
{
    struct shared *s = arg;
    pushes_until_closed(s);
    wf_channel_close(s->channel, WF_CLOSE_GRACEFUL);
    return NULL;
}

static void a_cancelled_pop_takes_nothing_along(void *arg)
{
    struct shared *s = arg;
    open_channel(s);
    RUN(s, pops_and_is_cancelled, cancels, pushes_three_and_closes, pops_until_closed);
    check(wfi_load(&s->in) == 6 && wfi_load(&s->out) == 6);
    wf_channel_destroy(s->channel);
}

/* Events and latches that are gone as soon as they have been seen. */

static void *lends_an_event(void *arg)
{
    struct shared *s = arg;
    struct wf_event mine = WF_EVENT_INIT;
    wfi_store(&s->event, &mine);
    check(wf_event_wait(&mine, WF_FOREVER) == 0);
    wf_event_fini(&mine);
    memset((void *)&mine, 0xa5, sizeof mine);
    wfi_thread_yield();
    for (size_t i = 0; i < sizeof mine; i++)
        check(((unsigned char *)(void *)&mine)[i] == 0xa5); /* nobody has written since */
    return NULL;
}

static void *sets_the_event(void *arg)
{
    struct shared *s = arg;
    struct wf_event *event;
    while (!(event = wfi_load(&s->event)))
        wfi_thread_yield();
    wf_event_set(event);
    return NULL;
}

static void *lends_a_latch(void *arg)
{
    struct shared *s = arg;
    struct wf_latch mine = WF_LATCH_INIT(2);
    wfi_store(&s->latch, &mine);
    check(wf_latch_wait(&mine, WF_FOREVER) == 0);
    wf_latch_fini(&mine);
    memset((void *)&mine, 0xa5, sizeof mine);
    wfi_thread_yield();
    for (size_t i = 0; i < sizeof mine; i++)
        check(((unsigned char *)(void *)&mine)[i] == 0xa5);
    return NULL;
}

static void *counts_down(void *arg)
{
    struct shared *s = arg;
    struct wf_latch *latch;
    while (!(latch = wfi_load(&s->latch)))
        wfi_thread_yield();
    check(wf_latch_count_down(latch, 1) == 0);
    return NULL;
}

static void what_was_waited_for_may_go_at_once(void *arg)
{
    struct shared *s = arg;
    RUN(s, lends_an_event, sets_the_event);
    RUN(s, lends_a_latch, counts_down, counts_down);
}

/* Conditions: a notify reaches one that still waits. */

static void *waits_and_is_cancelled(void *arg)
{
    struct shared *s = arg;
    enter(s);
    int err = wf_mutex_lock(&s->mutex, WF_FOREVER);
    check(err == 0 || err == -ECANCELED);
    if (!err) {
        wfi_fetch_add(&s->waiting, 1);
        err = wf_condition_wait(&s->condition, WF_FOREVER);
        check(err == 0 || err == -ECANCELED);
        check(s->alone++ == 0);
        s->alone--;
        wfi_fetch_sub(&s->waiting, 1);
        check(wf_mutex_unlock(&s->mutex) == 0);
    }
    wfi_fetch_add(err ? &s->refused : &s->out, 1);
    leave(s);
    return NULL;
}

static void *waits_patiently(void *arg)
{
    struct shared *s = arg;
    check(wf_mutex_lock(&s->mutex, WF_FOREVER) == 0);
    wfi_fetch_add(&s->waiting, 1);
    check(wf_condition_wait(&s->condition, WF_FOREVER) == 0);
    check(s->alone++ == 0);
    s->alone--;
    wfi_fetch_sub(&s->waiting, 1);
    check(wf_mutex_unlock(&s->mutex) == 0);
    wfi_fetch_add(&s->out, 1);
    return NULL;
}

/* Notifies one at a time until as many have been woken as came and were not cancelled. */
static void *notifies(void *arg)
{
    struct shared *s = arg;
    while (wfi_load(&s->in) + wfi_load(&s->refused) < 2) {
        check(wf_mutex_lock(&s->mutex, WF_FOREVER) == 0);
        ssize_t woken = wf_condition_notify(&s->condition, 1);
        check(woken == 0 || woken == 1);
        wfi_fetch_add(&s->in, (int)woken);
        check(wf_mutex_unlock(&s->mutex) == 0);
        wfi_thread_yield();
    }
    return NULL;
}

static void a_notify_wakes_one_that_waits(void *arg)
{
    struct shared *s = arg;
    wf_condition_init(&s->condition, &s->mutex);
    RUN(s, waits_and_is_cancelled, cancels, waits_patiently, notifies);
    check(wfi_load(&s->out) == wfi_load(&s->in));
    check(wfi_load(&s->out) + wfi_load(&s->refused) == 2);
    wf_condition_fini(&s->condition);
    wf_mutex_fini(&s->mutex);
}

/* Read-write lock, with a writer that gives up. */

static void *reads(void *arg)
{
    struct shared *s = arg;
    check(wf_rwlock_read_lock(&s->rwlock, WF_FOREVER) == 0);
    check(s->alone == 0);
    wfi_thread_yield();
    check(s->alone == 0);
    check(wf_rwlock_read_unlock(&s->rwlock) == 0);
    return NULL;
}

static void *writes(void *arg)
{
    struct shared *s = arg;
    check(wf_rwlock_write_lock(&s->rwlock, WF_FOREVER) == 0);
    check(s->alone++ == 0);
    wfi_thread_yield();
    check(--s->alone == 0);
    check(wf_rwlock_write_unlock(&s->rwlock) == 0);
    return NULL;
}

static void *writes_impatiently(void *arg)
{
    struct shared *s = arg;
    int err = wf_rwlock_write_lock(&s->rwlock, wf_after(500));
    check(err == 0 || err == -ETIMEDOUT);
    if (err)
        return NULL;
    check(s->alone++ == 0);
    check(--s->alone == 0);
    check(wf_rwlock_write_unlock(&s->rwlock) == 0);
    return NULL;
}

static void a_writer_is_alone_and_nobody_is_forgotten(void *arg)
{
    struct shared *s = arg;
    RUN(s, reads, writes, writes_impatiently, reads);
    wf_rwlock_fini(&s->rwlock); /* checks that it is free */
}

/* Barrier: two rounds for three; and one that gives up. */

static int counts_action(void *arg)
{
    struct shared *s = arg;
    check(wfi_load(&s->inside) % 3 == 0);
    wfi_thread_yield();
    wfi_fetch_add(&s->actions, 1);
    return 0;
}

static void *meets_twice(void *arg)
{
    struct shared *s = arg;
    for (int round = 1; round <= 2; round++) {
        wfi_fetch_add(&s->inside, 1);
        int place = wf_barrier_wait(&s->barrier, WF_FOREVER);
        check(place >= 0 && place < 3);
        check(wfi_load(&s->actions) >= round);
        wfi_fetch_add(&s->places[place], 1);
    }
    return NULL;
}

static void parties_meet_in_rounds(void *arg)
{
    struct shared *s = arg;
    check(wf_barrier_init(&s->barrier, 3, NULL, NULL) == 0);
    wfi_store(&s->actions, 2); /* without an action there is nothing to see */
    RUN(s, meets_twice, meets_twice, meets_twice);
    for (int i = 0; i < 3; i++)
        check(wfi_load(&s->places[i]) == 2);
    wf_barrier_fini(&s->barrier);
}

static void *meets_impatiently(void *arg)
{
    struct shared *s = arg;
    int err = wf_barrier_wait(&s->barrier, wf_after(500));
    check(err >= 0 || err == -ETIMEDOUT || err == WF_EBROKEN);
    wfi_fetch_add(err < 0 ? &s->refused : &s->out, 1);
    return NULL;
}

static void *meets(void *arg)
{
    struct shared *s = arg;
    wfi_fetch_add(&s->inside, 1);
    int err = wf_barrier_wait(&s->barrier, WF_FOREVER);
    check(err >= 0 || err == WF_EBROKEN);
    wfi_fetch_add(err < 0 ? &s->refused : &s->out, 1);
    return NULL;
}

static void a_barrier_lets_all_go_or_refuses_all(void *arg)
{
    struct shared *s = arg;
    check(wf_barrier_init(&s->barrier, 3, NULL, NULL) == 0);
    RUN(s, meets, meets_impatiently, meets);
    /* Giving up after the last has come is too late: that one goes on with the others. */
    check(wfi_load(&s->out) == 3 || wfi_load(&s->refused) == 3);
    wf_barrier_fini(&s->barrier);
    check(wf_barrier_init(&s->barrier, 3, counts_action, s) == 0);
    wfi_store(&s->inside, 0);
    RUN(s, meets, meets, meets);
    check(wfi_load(&s->actions) == 1);
    wf_barrier_fini(&s->barrier);
}

/* Once: tried until it succeeds. */

static int second_time_lucky(void *arg)
{
    struct shared *s = arg;
    check(s->alone++ == 0);
    wfi_thread_yield();
    check(--s->alone == 0);
    return wfi_fetch_add(&s->runs, 1) == 0 ? -EIO : 0;
}

static void *calls_once(void *arg)
{
    struct shared *s = arg;
    int err = wf_once_call(&s->once, second_time_lucky, s, WF_FOREVER);
    check(err == 0 || err == -EIO);
    wfi_fetch_add(err ? &s->refused : &s->out, 1);
    return NULL;
}

static void *calls_impatiently(void *arg)
{
    struct shared *s = arg;
    int err = wf_once_call(&s->once, second_time_lucky, s, wf_after(300));
    check(err == 0 || err == -EIO || err == -ETIMEDOUT);
    wfi_fetch_add(err == -EIO ? &s->refused : &s->in, 1);
    return NULL;
}

static void a_once_runs_until_it_succeeds(void *arg)
{
    struct shared *s = arg;
    RUN(s, calls_once, calls_impatiently, calls_once);
    check(wfi_load(&s->runs) == 2 && wfi_load(&s->refused) == 1);
}

/* Limit: two places, a rate, one that gives up; and the last one always gets through. */

static void *takes_part(void *arg)
{
    struct shared *s = arg;
    check(wf_limit_acquire(s->limit, "key", WF_FOREVER) == 0);
    check(wfi_fetch_add(&s->inside, 1) < 2);
    wfi_thread_yield();
    wfi_fetch_sub(&s->inside, 1);
    check(wf_limit_release(s->limit, "key") == 0);
    return NULL;
}

static void *takes_part_impatiently(void *arg)
{
    struct shared *s = arg;
    int err = wf_limit_acquire(s->limit, seed % 2 ? "key" : NULL, wf_after(700));
    check(err == 0 || err == -ETIMEDOUT);
    if (!err)
        check(wf_limit_release(s->limit, seed % 2 ? "key" : NULL) == 0);
    return NULL;
}

static void a_limit_lets_all_through_in_time(void *arg)
{
    struct shared *s = arg;
    struct wf_limit_options options = {.total = 3, .per_key = 2, .per_second = 1e6};
    check(wf_limit_create(&options, &s->limit, NULL) == 0);
    RUN(s, takes_part, takes_part_impatiently, takes_part, takes_part);
    wf_limit_destroy(s->limit);
}

/* Queue: pushes, pops, a resize, one that gives up, join. */

static void *queue_pushes(void *arg)
{
    struct shared *s = arg;
    for (int i = 1; i <= 2; i++) {
        check(wf_queue_push(s->queue, &i, WF_FOREVER) == 0);
        wfi_fetch_add(&s->in, i);
    }
    check(wf_queue_join(s->queue, WF_FOREVER) == 0);
    return NULL;
}

static void *queue_pushes_impatiently(void *arg)
{
    struct shared *s = arg;
    int item = 10, err = wf_queue_push(s->queue, &item, wf_after(400));
    check(err == 0 || err == -ETIMEDOUT);
    if (!err)
        wfi_fetch_add(&s->in, item);
    check(wf_queue_resize(s->queue, 2) == 0);
    wfi_store(&s->last, 1);
    return NULL;
}

static void *queue_pops(void *arg)
{
    struct shared *s = arg;
    for (int item, left = 2; left > 0 || !wfi_load(&s->last);) {
        int err = left > 0 ? wf_queue_pop(s->queue, &item, WF_FOREVER)
                           : wf_queue_try_pop(s->queue, &item);
        check(err == 0 || (left == 0 && err == -EAGAIN));
        if (err) {
            wfi_thread_yield();
            continue;
        }
        left -= item < 10;
        wfi_fetch_add(&s->out, item);
        check(wf_queue_task_done(s->queue) == 0);
    }
    int item;
    while (wf_queue_try_pop(s->queue, &item) == 0) {
        wfi_fetch_add(&s->out, item);
        check(wf_queue_task_done(s->queue) == 0);
    }
    return NULL;
}

static void a_queue_delivers_once_and_joins(void *arg)
{
    struct shared *s = arg;
    struct wf_queue_options options = {
        .order = seed % 2 ? WF_LIFO : WF_FIFO, .capacity = 1, .item_bytes = sizeof(int)};
    check(wf_queue_create(&options, &s->queue, NULL) == 0);
    RUN(s, queue_pushes, queue_pops, queue_pushes_impatiently);
    check(wfi_load(&s->in) == wfi_load(&s->out));
    check(wf_queue_join(s->queue, WF_NOW) == 0);
    wf_queue_destroy(s->queue);
}

static const struct {
    const char *name;
    void (*fn)(void *);
} situations[] = {
    {"closing_a_channel_loses_nothing", closing_a_channel_loses_nothing},
    {"a_cancelled_pop_takes_nothing_along", a_cancelled_pop_takes_nothing_along},
    {"what_was_waited_for_may_go_at_once", what_was_waited_for_may_go_at_once},
    {"a_notify_wakes_one_that_waits", a_notify_wakes_one_that_waits},
    {"a_writer_is_alone_and_nobody_is_forgotten", a_writer_is_alone_and_nobody_is_forgotten},
    {"parties_meet_in_rounds", parties_meet_in_rounds},
    {"a_barrier_lets_all_go_or_refuses_all", a_barrier_lets_all_go_or_refuses_all},
    {"a_once_runs_until_it_succeeds", a_once_runs_until_it_succeeds},
    {"a_limit_lets_all_through_in_time", a_limit_lets_all_through_in_time},
    {"a_queue_delivers_once_and_joins", a_queue_delivers_once_and_joins},
};

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

int main(void)
{
    static const char *const outcomes[] = {"done", "deadlock", "endless"};
    uint64_t one = from_environment("WEFT_SEED", 0), many = from_environment("WEFT_SEEDS", 1000);
    uint64_t first = one ? one : (uint64_t)wf_now() % 1000000007u;
    printf("seeds from %llu\n", (unsigned long long)first);
    wfi_park_ops = &explore_ops;
    for (size_t i = 0; i < sizeof situations / sizeof *situations; i++) {
        uint64_t runs = one ? 1 : many, steps = 0;
        situation = situations[i].name;
        for (uint64_t n = 0; n < runs; n++) {
            static struct shared s;
            memset((void *)&s, 0, sizeof s);
            seed = first + n;
            enum wfi_explore_outcome outcome =
                wfi_explore_run(&(struct wfi_explore_options){.seed = seed}, situations[i].fn, &s);
            steps += wfi_explore_steps();
            check_(outcome == WFI_EXPLORE_DONE, outcomes[outcome], __LINE__);
        }
        printf("ok %s: %llu seeds, %llu steps\n", situation, (unsigned long long)runs,
               (unsigned long long)steps);
    }
    return 0;
}

#endif
