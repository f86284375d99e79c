/* SPDX-License-Identifier: MIT */
/* Fibers and workers: the same waits as in park_test.c, on fibers, and what only workers do. */
#include "sched/runtime.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "os/sanitizer.h"
#include "os/thread.h"
#include "sched/cancel.h"
#include "sched/registry.h"

static struct wfi_runtime *runtime_of(int workers)
{
    struct wfi_runtime *runtime;
    struct wf_error err;
    struct wfi_runtime_options options = {
        .workers = workers, .deque_slots = 4, .cached_fibers = 1, .stack_bytes = 64 * 1024};
    assert_int_equal(wfi_runtime_create(&options, &runtime, &err), 0);
    return runtime;
}

static void each_runtime(void (*fn)(struct wfi_runtime *runtime))
{
    static const int counts[] = {1, 4};
    for (size_t i = 0; i < 2; i++) {
        struct wfi_runtime *runtime = runtime_of(counts[i]);
        fn(runtime);
        wfi_runtime_destroy(runtime);
    }
}

static void join(struct wfi_routine *routine)
{
    assert_int_equal(wfi_routine_join(routine, WF_FOREVER), 0);
}

static void add_one(void *counter)
{
    wfi_fetch_add((WFI_ATOMIC(int) *)counter, 1);
}

static void run_many(struct wfi_runtime *runtime)
{
    enum { N = 1000 };
    WFI_ATOMIC(int) counter = 0;
    struct wfi_routine *routines = wfi_zalloc(N * sizeof *routines);
    for (int i = 0; i < N; i++)
        wfi_routine_start(&routines[i], runtime, NULL, add_one, &counter);
    for (int i = 0; i < N; i++)
        join(&routines[i]);
    assert_int_equal(counter, N);
    wfi_free(routines);
}

static void every_job_runs_once(void **state)
{
    (void)state;
    each_runtime(run_many);
}

/* A token goes round a ring of fibers, each parked until its turn. */
enum { RING = 8, ROUNDS = 200 };

struct ring {
    struct wfi_lock lock;
    struct wfi_wait_list list[RING];
    int turn; /* under the lock */
    int laps;
    WFI_ATOMIC(int) next_seat;
};

static void sit(void *arg)
{
    struct ring *ring = arg;
    int seat = wfi_fetch_add(&ring->next_seat, 1);
    for (int round = 0; round < ROUNDS; round++) {
        wfi_lock_lock(&ring->lock);
        if (ring->turn != seat) {
            struct wfi_wait_node node = {0};
            int err = wfi_wait(&ring->list[seat], &ring->lock, &node, "turn", ring, WF_FOREVER);
            assert_int_equal(err, 0);
            wfi_lock_lock(&ring->lock);
        }
        assert_int_equal(ring->turn, seat);
        ring->turn = (seat + 1) % RING;
        ring->laps++;
        struct wfi_wait_node *next = wfi_wait_claim_first(&ring->list[ring->turn]);
        wfi_lock_unlock(&ring->lock);
        if (next)
            wfi_wake(next->waiter);
    }
}

static void pass_round(struct wfi_runtime *runtime)
{
    struct ring ring = {0};
    struct wfi_routine routines[RING];
    for (int i = 0; i < RING; i++)
        wfi_routine_start(&routines[i], runtime, "seat", sit, &ring);
    for (int i = 0; i < RING; i++)
        join(&routines[i]);
    assert_int_equal(ring.laps, RING * ROUNDS);
}

static void parked_fibers_are_woken_across_workers(void **state)
{
    (void)state;
    each_runtime(pass_round);
}

static void sleep_briefly(void *arg)
{
    int64_t until = wf_now() + *(int64_t *)arg;
    assert_int_equal(wf_sleep((wf_deadline){until}), 0);
    assert_true(wf_now() >= until);
}

static void sleep_in_parallel(struct wfi_runtime *runtime)
{
    enum { N = 50 };
    int64_t durations[N];
    struct wfi_routine routines[N];
    int64_t start = wf_now();
    for (int i = 0; i < N; i++) {
        durations[i] = WF_MILLISECONDS(20 + i % 7);
        wfi_routine_start(&routines[i], runtime, NULL, sleep_briefly, &durations[i]);
    }
    for (int i = 0; i < N; i++)
        join(&routines[i]);
    assert_true(wf_now() - start <
                N * WF_MILLISECONDS(20)); /* one after another it were a second */
}

static void sleeping_fibers_hold_no_worker(void **state)
{
    (void)state;
    each_runtime(sleep_in_parallel);
}

static void join_soon_then_sleep(void *arg)
{
    WFI_ATOMIC(int) counter = 0;
    struct wfi_routine child;
    (void)arg;
    wfi_routine_start(&child, wfi_runtime_current(), NULL, add_one, &counter);
    assert_int_equal(wfi_routine_join(&child, wf_after(WF_MILLISECONDS(5))), 0);
    int64_t until = wf_now() + WF_MILLISECONDS(15);
    assert_int_equal(wf_sleep((wf_deadline){until}), 0);
    assert_true(wf_now() >= until);
}

static void join_then_sleep(struct wfi_runtime *runtime)
{
    struct wfi_routine routine;
    wfi_routine_start(&routine, runtime, NULL, join_soon_then_sleep, NULL);
    join(&routine);
}

static void a_wait_that_was_woken_leaves_no_timer(void **state)
{
    (void)state;
    each_runtime(join_then_sleep);
}

struct trial {
    WFI_ATOMIC(struct wfi_cancel *) level;
    int result;
};

static void wait_for_cancel(void *arg)
{
    struct trial *trial = arg;
    struct wfi_cancel level;
    wfi_cancel_enter(&level, NULL, false, WF_FOREVER);
    wfi_store(&trial->level, &level);
    trial->result = wf_sleep(WF_FOREVER);
    wfi_cancel_leave(&level);
}

static void cancel_one(struct wfi_runtime *runtime)
{
    for (int i = 0; i < 100; i++) {
        struct trial trial = {.result = 0};
        struct wfi_routine routine;
        struct wfi_cancel *level;
        wfi_routine_start(&routine, runtime, NULL, wait_for_cancel, &trial);
        while (!(level = wfi_load(&trial.level)))
            wfi_thread_yield();
        wfi_cancel_ask(level); /* parked already, or just on its way: both must end */
        join(&routine);
        assert_int_equal(trial.result, -ECANCELED);
    }
}

static void a_cancel_reaches_a_fiber_whenever_it_comes(void **state)
{
    (void)state;
    each_runtime(cancel_one);
}

static void keep_errno(void *arg)
{
    errno = *(int *)arg;
    for (int i = 0; i < 100; i++) {
        wfi_yield();
        assert_int_equal(errno, *(int *)arg);
    }
}

static void errno_belongs_to_the_fiber(void **state)
{
    (void)state;
    struct wfi_runtime *runtime = runtime_of(1);
    struct wfi_routine routines[4];
    int values[4] = {1, 2, 3, 4};
    for (int i = 0; i < 4; i++)
        wfi_routine_start(&routines[i], runtime, NULL, keep_errno, &values[i]);
    for (int i = 0; i < 4; i++)
        join(&routines[i]);
    wfi_runtime_destroy(runtime);
}

static void stay_on_worker(void *arg)
{
    struct wfi_worker *worker = wfi_worker_current();
    (void)arg;
    for (int i = 0; i < 50; i++) {
        wfi_yield();
        if (i % 10 == 0)
            wf_sleep(wf_after(1000));
        assert_ptr_equal(wfi_worker_current(), worker);
    }
}

static void pin_many(struct wfi_runtime *runtime)
{
    struct wfi_routine routines[20];
    for (int i = 0; i < 20; i++)
        wfi_routine_start(&routines[i], runtime, NULL, stay_on_worker, NULL);
    for (int i = 0; i < 20; i++)
        join(&routines[i]);
}

static void a_started_fiber_stays_on_its_worker(void **state)
{
    (void)state;
    each_runtime(pin_many);
}

struct mailed {
    struct wfi_job job;
    struct wfi_worker *ran_on;
    struct wfi_runtime *runtime;
    struct mailed *more; /* submitted by this one, to the worker behind it */
    WFI_ATOMIC(int) * left;
    int to;
};

static void note_worker(struct wfi_job *job, struct wfi_worker *worker)
{
    struct mailed *mailed = (struct mailed *)job;
    assert_null(wfi_worker_refusal(worker));
    wfi_yield();
    mailed->ran_on = worker;
    if (mailed->more)
        wfi_runtime_submit_to(mailed->runtime, mailed->more->to, &mailed->more->job);
    wfi_fetch_sub(mailed->left, 1);
}

static void wait_for_none(void *left)
{
    while (wfi_load((WFI_ATOMIC(int) *)left))
        wfi_yield();
}

/* From a thread while they sleep and while they work, and from the workers to each other. */
static void a_job_for_a_worker_runs_there(void **state)
{
    enum { N = 400, WORKERS = 4 };
    static struct mailed mailed[2 * N];
    struct wfi_worker *workers[WORKERS] = {NULL};
    WFI_ATOMIC(int) left = 2 * N;
    struct wfi_routine waiting;
    (void)state;
    struct wfi_runtime *runtime = runtime_of(WORKERS);
    for (int i = 0; i < 2 * N; i++)
        mailed[i] = (struct mailed){.job = {.run = note_worker},
                                    .runtime = runtime,
                                    .left = &left,
                                    .more = i < N ? &mailed[N + i] : NULL,
                                    .to = i < N ? i % WORKERS : (i + 1) % WORKERS};
    for (int i = 0; i < N; i++) {
        wfi_runtime_submit_to(runtime, mailed[i].to, &mailed[i].job);
        if (i % 100 == 0)
            wf_sleep(wf_after(100000)); /* so that some find their worker asleep */
    }
    wfi_routine_start(&waiting, runtime, NULL, wait_for_none, &left);
    join(&waiting);
    wfi_runtime_destroy(runtime);
    for (int i = 0; i < 2 * N; i++) {
        if (!workers[mailed[i].to])
            workers[mailed[i].to] = mailed[i].ran_on;
        assert_non_null(mailed[i].ran_on);
        assert_ptr_equal(mailed[i].ran_on, workers[mailed[i].to]);
    }
    for (int i = 1; i < WORKERS; i++)
        assert_ptr_not_equal(workers[i], workers[i - 1]);
}

static WFI_ATOMIC(bool) enough;

static void yield_for_ever(void *arg)
{
    (void)arg;
    while (!wfi_load(&enough))
        wfi_yield();
}

static void say_enough(void *arg)
{
    (void)arg;
    wf_sleep(wf_after(WF_MILLISECONDS(1)));
    wfi_store(&enough, true);
}

static void fibers_that_yield_starve_nobody(void **state)
{
    (void)state;
    struct wfi_runtime *runtime = runtime_of(1);
    struct wfi_routine yielders[3], last;
    wfi_store(&enough, false);
    for (int i = 0; i < 3; i++)
        wfi_routine_start(&yielders[i], runtime, "yielder", yield_for_ever, NULL);
    wfi_routine_start(&last, runtime, "last", say_enough, NULL);
    for (int i = 0; i < 3; i++)
        join(&yielders[i]);
    join(&last);
    wfi_runtime_destroy(runtime);
}

static void note_stack(void *arg)
{
    *(uintptr_t *)arg = (uintptr_t)__builtin_frame_address(0);
}

static void call_natively(void *arg)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0), there = 0;
    wfi_worker_call(note_stack, &there);
    *(bool *)arg = here > there ? here - there > 1024 * 1024 : there - here > 1024 * 1024;
}

static void a_call_runs_on_the_workers_own_stack(void **state)
{
    (void)state;
    struct wfi_runtime *runtime = runtime_of(1);
    struct wfi_routine routine;
    bool native = false;
    wfi_routine_start(&routine, runtime, NULL, call_natively, &native);
    join(&routine);
    assert_true(native);
    wfi_runtime_destroy(runtime);
}

/* Fork: a fiber that starts others from its own worker and waits for them. */
static struct wfi_runtime *tree_runtime;

static void grow(void *arg)
{
    int depth = *(int *)arg;
    if (depth == 0)
        return;
    int below = depth - 1;
    struct wfi_routine left, right;
    wfi_routine_start(&left, tree_runtime, NULL, grow, &below);
    wfi_routine_start(&right, tree_runtime, NULL, grow, &below);
    join(&left);
    join(&right);
}

static void grow_tree(struct wfi_runtime *runtime)
{
    int depth = 9;
    struct wfi_routine root;
    tree_runtime = runtime;
    wfi_routine_start(&root, runtime, "root", grow, &depth);
    join(&root);
}

static void fibers_start_and_join_fibers(void **state)
{
    (void)state;
    each_runtime(grow_tree);
}

struct seen {
    int parked, threads;
};

static void look(const struct wfi_party_view *party, void *arg)
{
    struct seen *seen = arg;
    if (party->reason && strcmp(party->reason, "sleep") == 0 && strcmp(party->name, "sleeper") == 0)
        seen->parked++;
    if (strcmp(party->kind, "thread") == 0)
        seen->threads++;
}

static void count_line(void *arg, const char *line)
{
    if (strstr(line, "sleeper") && strstr(line, "for sleep"))
        ++*(int *)arg;
}

static void the_registry_shows_who_waits_and_for_what(void **state)
{
    (void)state;
    struct wfi_runtime *runtime = runtime_of(2);
    struct trial trials[5] = {{.result = 0}};
    struct wfi_routine routines[5];
    for (int i = 0; i < 5; i++)
        wfi_routine_start(&routines[i], runtime, "sleeper", wait_for_cancel, &trials[i]);
    struct seen seen = {0};
    while (seen.parked != 5 || seen.threads < 3) { /* two workers and this one */
        seen = (struct seen){0};
        wfi_registry_each(look, &seen);
        wfi_thread_yield();
    }
    int lines = 0;
    wfi_dump(count_line, &lines);
    assert_int_equal(lines, 5);
    for (int i = 0; i < 5; i++) {
        wfi_cancel_ask(wfi_load(&trials[i].level));
        join(&routines[i]);
    }
    wfi_runtime_destroy(runtime);
}

static void a_runtime_that_cannot_be_made_leaves_nothing(void **state)
{
    (void)state;
    struct wfi_runtime *runtime = NULL;
    struct wf_error err;
    struct wfi_runtime_options options = {.workers = 2, .deque_slots = 4};
    for (uint64_t n = 1;; n++) {
        wfi_alloc_watch(n);
        int failed = wfi_runtime_create(&options, &runtime, &err);
        int64_t live = failed ? wfi_alloc_live() : 0;
        bool reached = wfi_alloc_unwatch();
        if (!failed) {
            wfi_runtime_destroy(runtime);
            if (!reached)
                break;
            continue; /* an allocation that can do without */
        }
        assert_true(failed == -ENOMEM || failed == -EAGAIN); /* the latter from a thread */
        assert_int_equal(live, 0);
    }
    options = (struct wfi_runtime_options){.workers = -1};
    assert_int_equal(wfi_runtime_create(&options, &runtime, &err), -EINVAL);
    options = (struct wfi_runtime_options){.deque_slots = 3};
    assert_int_equal(wfi_runtime_create(&options, &runtime, &err), -EINVAL);
    options = (struct wfi_runtime_options){.stack_bytes = 1000};
    assert_int_equal(wfi_runtime_create(&options, &runtime, &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_runs_once),
        cmocka_unit_test(parked_fibers_are_woken_across_workers),
        cmocka_unit_test(sleeping_fibers_hold_no_worker),
        cmocka_unit_test(a_wait_that_was_woken_leaves_no_timer),
        cmocka_unit_test(a_cancel_reaches_a_fiber_whenever_it_comes),
        cmocka_unit_test(errno_belongs_to_the_fiber),
        cmocka_unit_test(a_started_fiber_stays_on_its_worker),
        cmocka_unit_test(a_job_for_a_worker_runs_there),
        cmocka_unit_test(fibers_that_yield_starve_nobody),
        cmocka_unit_test(a_call_runs_on_the_workers_own_stack),
        cmocka_unit_test(fibers_start_and_join_fibers),
        cmocka_unit_test(the_registry_shows_who_waits_and_for_what),
        cmocka_unit_test(a_runtime_that_cannot_be_made_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
