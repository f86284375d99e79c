/* SPDX-License-Identifier: MIT */
/*
 * Parking, the deque, workers and the primitives under the interleaving explorer; see explorer.h.
 * Builds without -Dexplore=true skip.
 */
#include <stdio.h>

#ifndef WFI_EXPLORE

int main(void)
{
    puts("skipped: needs -Dexplore=true");
    return 77;
}

#else

#include "explorer.h"

#include <errno.h>

#include <weft/channel.h>
#include <weft/event.h>
#include <weft/mutex.h>
#include <weft/select.h>
#include <weft/semaphore.h>

#include "base/alloc.h"
#include "sched/cancel.h"
#include "sched/deque.h"
#include "sched/runtime.h"

/* A waker, a canceller and a deadline compete for one wait. */

struct race {
    struct wfi_lock lock;
    struct wfi_wait_list list;
    struct wfi_cancel level;
    WFI_ATOMIC(bool) entered;
    bool handed_over;
};

static void *race_waker(void *arg)
{
    struct race *race = arg;
    wfi_lock_lock(&race->lock);
    struct wfi_wait_node *node = wfi_wait_claim_first(&race->list);
    if (node) {
        node->slot = race;
        race->handed_over = true;
    }
    wfi_lock_unlock(&race->lock);
    if (node)
        wfi_wake(node->waiter);
    return NULL;
}

static void *race_canceller(void *arg)
{
    struct race *race = arg;
    while (!wfi_load(&race->entered))
        wfi_thread_yield();
    wfi_cancel_ask(&race->level);
    return NULL;
}

static void one_wins_a_wait(void *unused)
{
    (void)unused;
    struct race race;
    memset(&race, 0, sizeof race);
    wfi_cancel_enter(&race.level, NULL, false, WF_FOREVER);
    struct wfi_thread waker = start(race_waker, &race), canceller = start(race_canceller, &race);
    struct wfi_wait_node node = {0};
    wfi_store(&race.entered, true);
    wfi_lock_lock(&race.lock);
    int err = wfi_wait(&race.list, &race.lock, &node, "race", &race, wf_after(1000));
    join(waker);
    join(canceller);
    check(err == 0 || err == -ECANCELED || err == -ETIMEDOUT);
    check((err == 0) == race.handed_over);
    check((node.slot != NULL) == race.handed_over);
    check(wfi_wait_list_empty(&race.list));
    wfi_cancel_leave(&race.level);
}

/* A cancel that comes while nothing else can end the wait must not be lost. */
static void a_cancel_is_never_lost(void *unused)
{
    (void)unused;
    struct race race;
    memset(&race, 0, sizeof race);
    wfi_cancel_enter(&race.level, NULL, false, WF_FOREVER);
    struct wfi_thread canceller = start(race_canceller, &race);
    wfi_store(&race.entered, true);
    check(wf_sleep(WF_FOREVER) == -ECANCELED);
    join(canceller);
    wfi_cancel_leave(&race.level);
}

/* The deque: every job is taken once, by its owner or a thief. */

enum { JOBS = 7 };

struct heap_of_jobs {
    struct wfi_deque deque;
    struct wfi_job jobs[JOBS];
    WFI_ATOMIC(int) taken[JOBS];
    WFI_ATOMIC(bool) over;
};

static void note(struct heap_of_jobs *heap, struct wfi_job *job)
{
    if (job)
        wfi_fetch_add(&heap->taken[job - heap->jobs], 1);
}

static void *thief(void *arg)
{
    struct heap_of_jobs *heap = arg;
    while (!wfi_load(&heap->over)) {
        note(heap, wfi_deque_steal(&heap->deque));
        wfi_thread_yield();
    }
    return NULL;
}

static void every_job_is_taken_once(void *unused)
{
    (void)unused;
    struct heap_of_jobs *heap = wfi_zalloc_aligned(64, sizeof *heap);
    check(wfi_deque_init(&heap->deque, 2) == 0);
    struct wfi_thread thieves[2] = {start(thief, heap), start(thief, heap)};
    for (int i = 0; i < JOBS; i++) {
        check(wfi_deque_push(&heap->deque, &heap->jobs[i]));
        if (i % 3 == 2)
            note(heap, wfi_deque_pop(&heap->deque));
    }
    struct wfi_job *job;
    while ((job = wfi_deque_pop(&heap->deque)))
        note(heap, job);
    wfi_store(&heap->over, true);
    join(thieves[0]);
    join(thieves[1]);
    for (int i = 0; i < JOBS; i++)
        check(wfi_load(&heap->taken[i]) == 1);
    wfi_deque_fini(&heap->deque);
    wfi_free(heap);
}

/* The mutex, with a party whose patience ends. */

struct guarded {
    struct wf_mutex mutex;
    int inside, entries, refusals; /* guarded */
    WFI_ATOMIC(int) gave_up;
};

static void *enter_twice(void *arg)
{
    struct guarded *g = arg;
    for (int i = 0; i < 2; i++) {
        check(wf_mutex_lock(&g->mutex, WF_FOREVER) == 0);
        check(g->inside++ == 0);
        g->entries++;
        wfi_yield();
        g->inside--;
        check(wf_mutex_unlock(&g->mutex) == 0);
    }
    return NULL;
}

static void *enter_impatiently(void *arg)
{
    struct guarded *g = arg;
    int err = wf_mutex_lock(&g->mutex, wf_after(500));
    check(err == 0 || err == -ETIMEDOUT);
    if (err) {
        wfi_fetch_add(&g->gave_up, 1);
        return NULL;
    }
    check(g->inside++ == 0);
    g->entries++;
    g->inside--;
    check(wf_mutex_unlock(&g->mutex) == 0);
    return NULL;
}

static void a_mutex_excludes_and_forgets_nobody(void *unused)
{
    (void)unused;
    struct guarded g;
    memset(&g, 0, sizeof g);
    wf_mutex_init(&g.mutex);
    struct wfi_thread threads[3] = {start(enter_twice, &g), start(enter_twice, &g),
                                    start(enter_impatiently, &g)};
    for (int i = 0; i < 3; i++)
        join(threads[i]);
    check(g.entries + wfi_load(&g.gave_up) == 5);
    check(wf_mutex_try_lock(&g.mutex) == 0);
    check(wf_mutex_unlock(&g.mutex) == 0);
    wf_mutex_fini(&g.mutex);
}

/* Semaphore: permits are neither lost nor made, whoever gives up. */

struct permits {
    struct wf_semaphore semaphore;
    WFI_ATOMIC(int) held, gave_up;
};

static void *use_permit(void *arg)
{
    struct permits *p = arg;
    int err = wf_semaphore_acquire(&p->semaphore, 1, wf_after(700));
    if (err) {
        check(err == -ETIMEDOUT);
        wfi_fetch_add(&p->gave_up, 1);
        return NULL;
    }
    check(wfi_fetch_add(&p->held, 1) < 2);
    wfi_yield();
    wfi_fetch_sub(&p->held, 1);
    check(wf_semaphore_release(&p->semaphore, 1) == 0);
    return NULL;
}

static void permits_are_kept_count_of(void *unused)
{
    (void)unused;
    struct permits p;
    memset(&p, 0, sizeof p);
    check(wf_semaphore_init(&p.semaphore, 2, 0) == 0);
    struct wfi_thread threads[4];
    for (int i = 0; i < 4; i++)
        threads[i] = start(use_permit, &p);
    for (int i = 0; i < 4; i++)
        join(threads[i]);
    check(wf_semaphore_try_acquire(&p.semaphore, 2) == 0);
    check(wf_semaphore_try_acquire(&p.semaphore, 1) == -EAGAIN);
    wf_semaphore_fini(&p.semaphore);
}

/* Channels, of one place and of none. */

enum { PER_PRODUCER = 3 };

struct traffic {
    struct wf_channel *channel;
    WFI_ATOMIC(int) producers_left;
    WFI_ATOMIC(int) received[2][PER_PRODUCER];
};

struct producer {
    struct traffic *traffic;
    int number;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    for (int i = 0; i < PER_PRODUCER; i++) {
        int item = p->number * PER_PRODUCER + i;
        check(wf_channel_push(p->traffic->channel, &item, WF_FOREVER) == 0);
    }
    if (wfi_fetch_sub(&p->traffic->producers_left, 1) == 1)
        wf_channel_close(p->traffic->channel, WF_CLOSE_GRACEFUL);
    return NULL;
}

static void *consume(void *arg)
{
    struct traffic *traffic = arg;
    int item, err, last[2] = {-1, -1};
    while ((err = wf_channel_pop(traffic->channel, &item, WF_FOREVER)) == 0) {
        int from = item / PER_PRODUCER, number = item % PER_PRODUCER;
        check(number > last[from]); /* first in, first out, as one consumer can see it */
        last[from] = number;
        wfi_fetch_add(&traffic->received[from][number], 1);
    }
    check(err == -EPIPE);
    return NULL;
}

static void send_all(size_t capacity)
{
    struct traffic traffic;
    memset(&traffic, 0, sizeof traffic);
    wfi_store(&traffic.producers_left, 2);
    struct wf_channel_options options = {.capacity = capacity, .item_bytes = sizeof(int)};
    check(wf_channel_create(&options, &traffic.channel, NULL) == 0);
    struct producer producers[2] = {{&traffic, 0}, {&traffic, 1}};
    struct wfi_thread threads[4] = {start(consume, &traffic), start(produce, &producers[0]),
                                    start(produce, &producers[1]), start(consume, &traffic)};
    for (int i = 0; i < 4; i++)
        join(threads[i]);
    for (int from = 0; from < 2; from++)
        for (int i = 0; i < PER_PRODUCER; i++)
            check(wfi_load(&traffic.received[from][i]) == 1);
    wf_channel_destroy(traffic.channel);
}

static void a_channel_of_one_delivers_once(void *unused)
{
    (void)unused;
    send_all(1);
}

static void a_rendezvous_delivers_once(void *unused)
{
    (void)unused;
    send_all(0);
}

/* Select over two channels, against a deadline: an item is in the channel or in a hand. */

struct choice {
    struct wf_channel *channels[2];
    WFI_ATOMIC(int) received;
};

static void *push_one(void *arg)
{
    struct wf_channel *channel = arg;
    int item = 1;
    check(wf_channel_push(channel, &item, WF_FOREVER) == 0);
    return NULL;
}

static void *select_some(void *arg)
{
    struct choice *choice = arg;
    for (int i = 0; i < 2; i++) {
        int items[2] = {0, 0};
        struct wf_clause clauses[2] = {wf_channel_pop_clause(choice->channels[0], &items[0]),
                                       wf_channel_pop_clause(choice->channels[1], &items[1])};
        int chosen = wf_select(clauses, 2, wf_after(300));
        check(chosen == 0 || chosen == 1 || chosen == -ETIMEDOUT);
        if (chosen >= 0) {
            check(items[chosen] == 1 && items[1 - chosen] == 0);
            wfi_fetch_add(&choice->received, 1);
        }
    }
    return NULL;
}

static void a_select_takes_one_item(void *unused)
{
    (void)unused;
    struct choice choice;
    memset(&choice, 0, sizeof choice);
    struct wf_channel_options options = {.capacity = 1, .item_bytes = sizeof(int)};
    for (int i = 0; i < 2; i++)
        check(wf_channel_create(&options, &choice.channels[i], NULL) == 0);
    struct wfi_thread threads[4] = {
        start(select_some, &choice), start(push_one, choice.channels[0]),
        start(push_one, choice.channels[1]), start(select_some, &choice)};
    for (int i = 0; i < 4; i++)
        join(threads[i]);
    int left = (int)wf_channel_len(choice.channels[0]) + (int)wf_channel_len(choice.channels[1]);
    check(wfi_load(&choice.received) + left == 2);
    for (int i = 0; i < 2; i++)
        wf_channel_destroy(choice.channels[i]);
}

/* Fibers: workers are virtual threads, too. */

struct relay {
    struct wf_channel *there, *back;
    struct wf_event started, stop;
    WFI_ATOMIC(int) stopped;
};

static void hit(void *arg)
{
    struct relay *relay = arg;
    wf_event_set(&relay->started);
    for (int i = 0; i < 3; i++) {
        check(wf_channel_push(relay->there, &i, WF_FOREVER) == 0);
        int answer;
        check(wf_channel_pop(relay->back, &answer, WF_FOREVER) == 0);
        check(answer == i + 100);
        wfi_yield();
    }
    wf_event_set(&relay->stop);
}

static void hit_back(void *arg)
{
    struct relay *relay = arg;
    for (int i = 0; i < 3; i++) {
        int item;
        check(wf_channel_pop(relay->there, &item, WF_FOREVER) == 0);
        item += 100;
        check(wf_channel_push(relay->back, &item, WF_FOREVER) == 0);
    }
}

static void wait_for_the_end(void *arg)
{
    struct relay *relay = arg;
    /* A deadline that passes early or not at all, then a wait that must be woken. */
    int err = wf_event_wait(&relay->started, wf_after(200));
    check(err == 0 || err == -ETIMEDOUT);
    check(wf_event_wait(&relay->stop, WF_FOREVER) == 0);
    wfi_fetch_add(&relay->stopped, 1);
}

static void fibers_wake_each_other(void *unused)
{
    (void)unused;
    struct relay relay;
    memset(&relay, 0, sizeof relay);
    wf_event_init(&relay.started);
    wf_event_init(&relay.stop);
    struct wf_channel_options options = {.capacity = seed % 2, .item_bytes = sizeof(int)};
    check(wf_channel_create(&options, &relay.there, NULL) == 0);
    check(wf_channel_create(&options, &relay.back, NULL) == 0);
    struct wfi_runtime *runtime;
    struct wfi_runtime_options tiny = {
        .workers = 2, .deque_slots = 4, .cached_fibers = 1, .stack_bytes = 64 * 1024};
    check(wfi_runtime_create(&tiny, &runtime, NULL) == 0);
    struct wfi_routine routines[4];
    wfi_routine_start(&routines[0], runtime, "waits", wait_for_the_end, &relay);
    wfi_routine_start(&routines[1], runtime, "hits", hit, &relay);
    wfi_routine_start(&routines[2], runtime, "hits back", hit_back, &relay);
    wfi_routine_start(&routines[3], runtime, "waits", wait_for_the_end, &relay);
    for (int i = 0; i < 4; i++)
        check(wfi_routine_join(&routines[i], WF_FOREVER) == 0);
    check(wfi_load(&relay.stopped) == 2);
    wfi_runtime_destroy(runtime);
    wf_channel_destroy(relay.there);
    wf_channel_destroy(relay.back);
    wf_event_fini(&relay.started);
    wf_event_fini(&relay.stop);
}

/* Idle workers: a job submitted at any moment is run. */

static void count_one(void *arg)
{
    wfi_fetch_add((WFI_ATOMIC(int) *)arg, 1);
}

static void count_two(void *arg)
{
    struct wfi_routine inner;
    wfi_routine_start(&inner, wfi_runtime_current(), NULL, count_one, arg);
    check(wfi_routine_join(&inner, WF_FOREVER) == 0);
    count_one(arg);
}

static void an_idle_worker_hears_of_work(void *unused)
{
    (void)unused;
    WFI_ATOMIC(int) count = 0;
    struct wfi_runtime *runtime;
    struct wfi_runtime_options tiny = {.workers = 2, .deque_slots = 2, .cached_fibers = 1};
    check(wfi_runtime_create(&tiny, &runtime, NULL) == 0);
    struct wfi_routine routines[2];
    for (int i = 0; i < 2; i++) {
        wfi_routine_start(&routines[i], runtime, NULL, count_two, &count);
        if (seed % 3 == 0) /* alone, or both at once */
            check(wfi_routine_join(&routines[i], WF_FOREVER) == 0);
    }
    if (seed % 3)
        for (int i = 0; i < 2; i++)
            check(wfi_routine_join(&routines[i], WF_FOREVER) == 0);
    wfi_runtime_destroy(runtime);
    check(wfi_load(&count) == 4);
}

static const struct situation situations[] = {
    {"one_wins_a_wait", one_wins_a_wait, 100},
    {"a_cancel_is_never_lost", a_cancel_is_never_lost, 100},
    {"every_job_is_taken_once", every_job_is_taken_once, 100},
    {"a_mutex_excludes_and_forgets_nobody", a_mutex_excludes_and_forgets_nobody, 100},
    {"permits_are_kept_count_of", permits_are_kept_count_of, 100},
    {"a_channel_of_one_delivers_once", a_channel_of_one_delivers_once, 100},
    {"a_rendezvous_delivers_once", a_rendezvous_delivers_once, 100},
    {"a_select_takes_one_item", a_select_takes_one_item, 100},
    {"fibers_wake_each_other", fibers_wake_each_other, 50},
    {"an_idle_worker_hears_of_work", an_idle_worker_hears_of_work, 50},
};

int main(void)
{
    return explore_all(situations, sizeof situations / sizeof *situations);
}

#endif
