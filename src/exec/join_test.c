/* SPDX-License-Identifier: MIT */
/*
 * Fork and join: the same result whoever runs the halves, also when they wait, submit tasks, or are
 * cancelled.
 */
#include "engines.h"

#include <errno.h>

#include <weft/join.h>
#include <weft/local.h>

#include "sched/worker.h"

struct call {
    uint64_t n, value;
};

static void fib(void *arg)
{
    struct call *call = arg;
    if (call->n < 2) {
        call->value = call->n;
        return;
    }
    struct call first = {.n = call->n - 1}, second = {.n = call->n - 2};
    wf_join(fib, &first, fib, &second);
    call->value = first.value + second.value;
}

WF_TASK(uint64_t, start_fib, (uint64_t, n))

int start_fib(struct wf_task *self, uint64_t n, uint64_t *ret)
{
    (void)self;
    struct call call = {.n = n};
    fib(&call);
    *ret = call.value;
    return 0;
}
WF_TASK_DEFINE(start_fib)

static void adds_up(struct wf_executor *on)
{
    uint64_t value = 0;
    start_fib_future f = start_fib_submit(on, 16);
    check_int(start_fib_result(&f, &value, party_soon(), NULL), 0);
    check_int(value, 987);
}

static void halves_add_up_on_every_engine(void **state)
{
    (void)state;
    ON_ALL(adds_up);
}

static void without_workers_they_run_one_after_the_other(void **state)
{
    (void)state;
    struct call call = {.n = 10};
    fib(&call);
    assert_int_equal(call.value, 55);
}

/* A tree in which now and then a half gives its worker away, so that jobs are taken by fibers of
 * the same worker, stand under others, and come back in any order. */
struct tree {
    unsigned depth;
    uint64_t seed;
    WFI_ATOMIC(int) * leaves;
    WFI_ATOMIC(int) * submitted;
    struct wf_executor *on;
};

WF_TASK(wf_none, bump, (WFI_ATOMIC(int) *, count))

int bump(struct wf_task *self, WFI_ATOMIC(int) * count, wf_none *ret)
{
    (void)self;
    (void)ret;
    wfi_fetch_add(count, 1);
    return 0;
}
WF_TASK_DEFINE(bump)

static void grow_tree(void *arg)
{
    struct tree *tree = arg;
    uint64_t choice = wfi_splitmix64(&tree->seed) % 16;
    if (choice < 3)
        wfi_yield();
    if (choice == 3)
        wf_sleep(wf_after(WF_MICROSECONDS(50)));
    if (tree->on && choice == 4) {
        /* Lands on top of the jobs that are to be taken back. */
        bump_future f = bump_submit(tree->on, tree->leaves);
        bump_drop(&f);
        wfi_fetch_add(tree->submitted, 1);
    }
    if (tree->depth == 0) {
        wfi_fetch_add(tree->leaves, 1);
        return;
    }
    struct tree a = *tree, b = *tree;
    a.depth = b.depth = tree->depth - 1;
    b.seed ^= UINT64_C(0x9e3779b97f4a7c15);
    wf_join(grow_tree, &a, grow_tree, &b);
    if (choice == 5)
        wfi_yield();
}

WF_TASK(wf_none, plant, (struct tree *, tree))

int plant(struct wf_task *self, struct tree *tree, wf_none *ret)
{
    (void)self;
    (void)ret;
    grow_tree(tree);
    return 0;
}
WF_TASK_DEFINE(plant)

enum { DEPTH = 7 };

static void trees(struct wf_executor *on)
{
    WFI_ATOMIC(int) leaves, submitted;
    wfi_store(&leaves, 0);
    wfi_store(&submitted, 0);
    struct tree many[4];
    plant_future f[4];
    for (int i = 0; i < 4; i++) {
        many[i] = (struct tree){DEPTH, (uint64_t)i + 1, &leaves, &submitted, on};
        f[i] = plant_submit(on, &many[i]);
    }
    for (int i = 0; i < 4; i++)
        check_int(plant_result(&f[i], NULL, party_soon(), NULL), 0);
    check_int(wf_executor_shutdown(on, WF_SHUTDOWN_WAIT, party_soon()), 0);
    check_int(wfi_load(&leaves), (4 << DEPTH) + wfi_load(&submitted));
}

static void every_half_runs_once_however_others_interfere(void **state)
{
    (void)state;
    ON_ALL(trees);
}

static void grow_from_routine(void *arg)
{
    grow_tree(arg);
}

static void with_a_deque_of_two_and_no_cached_stack(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers += 3) {
        WFI_ATOMIC(int) leaves;
        wfi_store(&leaves, 0);
        struct wfi_runtime *runtime;
        struct wfi_runtime_options options = {
            .workers = workers, .deque_slots = 2, .cached_fibers = -1};
        assert_int_equal(wfi_runtime_create(&options, &runtime, NULL), 0);
        struct wfi_routine routines[3];
        struct tree many[3];
        for (int i = 0; i < 3; i++) {
            many[i] = (struct tree){DEPTH, (uint64_t)i + 7, &leaves, NULL, NULL};
            wfi_routine_start(&routines[i], runtime, "tree", grow_from_routine, &many[i]);
        }
        for (int i = 0; i < 3; i++)
            assert_int_equal(wfi_routine_join(&routines[i], party_soon()), 0);
        assert_int_equal(wfi_load(&leaves), 3 << DEPTH);
        wfi_runtime_destroy(runtime);
    }
}

/* One half waits until the other has begun: only another fiber can have begun it. */
WF_LOCAL(int, colour)
WF_LOCAL_DEFINE(int, colour, 0)

struct taken {
    struct wf_event begun, never;
    struct wf_task *task;
    struct wf_future *future;
    struct wfi_waiter *first, *second;
    int seen_colour, waited;
    bool same_task;
};

static void wait_until_taken(void *arg)
{
    struct taken *taken = arg;
    taken->first = wfi_self();
    check_int(wf_event_wait(&taken->begun, party_soon()), 0);
}

static void is_taken(void *arg)
{
    struct taken *taken = arg;
    taken->second = wfi_self();
    taken->seen_colour = colour_get();
    taken->same_task = wf_task_self() == taken->task;
    wf_event_set(&taken->begun);
}

WF_TASK(wf_none, fork_taken, (struct taken *, taken))

int fork_taken(struct wf_task *self, struct taken *taken, wf_none *ret)
{
    (void)ret;
    taken->task = self;
    check_int(colour_set(3), 0);
    wf_join(wait_until_taken, taken, is_taken, taken);
    return 0;
}
WF_TASK_DEFINE(fork_taken)

static void belongs_to_the_task(struct wf_executor *on)
{
    struct taken taken = {0};
    wf_event_init(&taken.begun);
    fork_taken_future f = fork_taken_submit(on, &taken);
    check_int(fork_taken_result(&f, NULL, party_soon(), NULL), 0);
    check(taken.first != taken.second);
    check(taken.same_task);
    check_int(taken.seen_colour, 3);
    wf_event_fini(&taken.begun);
}

static void a_half_taken_by_another_fiber_belongs_to_the_task(void **state)
{
    (void)state;
    on_engines(belongs_to_the_task, FIBERS, FIBERS);
}

/* The caller is cancelled while the other half waits on a fiber of its own. */
static void begin_and_wait(void *arg)
{
    struct taken *taken = arg;
    taken->second = wfi_self();
    wf_event_set(&taken->begun);
    taken->waited = wf_event_wait(&taken->never, party_soon());
    check_int(wf_checkpoint(NULL), -ECANCELED);
    check_int(wf_checkpoint(taken->task), -ECANCELED);
}

WF_TASK(wf_none, fork_and_wait, (struct taken *, taken))

int fork_and_wait(struct wf_task *self, struct taken *taken, wf_none *ret)
{
    (void)ret;
    taken->task = self;
    wf_join(wait_until_taken, taken, begin_and_wait, taken);
    return wf_checkpoint(self);
}
WF_TASK_DEFINE(fork_and_wait)

static bool waits_for(struct wfi_waiter *party, const char *reason)
{
    const char *now = wfi_load_relaxed(&party->reason);
    return now && strcmp(now, reason) == 0;
}

static void reaches_both(struct wf_executor *on)
{
    struct taken taken = {0};
    wf_event_init(&taken.begun);
    wf_event_init(&taken.never);
    fork_and_wait_future f = fork_and_wait_submit(on, &taken);
    check_int(wf_event_wait(&taken.begun, party_soon()), 0);
    while (!waits_for(taken.second, "event"))
        wfi_yield();
    check_int(wf_future_cancel(f.future), WF_CANCEL_ASKED);
    check_int(fork_and_wait_result(&f, NULL, party_soon(), NULL), -ECANCELED);
    check_int(taken.waited, -ECANCELED);
    wf_event_fini(&taken.begun);
    wf_event_fini(&taken.never);
}

static void cancellation_reaches_both_halves(void **state)
{
    (void)state;
    on_engines(reaches_both, FIBERS, FIBERS);
}

/* A deadline around the caller holds in the half that another runs. */
WF_TASK(int, fork_in_time, (struct taken *, taken))

int fork_in_time(struct wf_task *self, struct taken *taken, int *ret)
{
    taken->task = self;
    struct wf_scope scope;
    wf_scope_open(&scope, NULL, wf_after(WF_MILLISECONDS(2)));
    wf_join(wait_until_taken, taken, begin_and_wait, taken);
    *ret = wf_scope_close(&scope, NULL);
    return 0;
}
WF_TASK_DEFINE(fork_in_time)

static void expires(struct wf_executor *on)
{
    struct taken taken = {0};
    int err = 0;
    wf_event_init(&taken.begun);
    wf_event_init(&taken.never);
    fork_in_time_future f = fork_in_time_submit(on, &taken);
    check_int(fork_in_time_result(&f, &err, party_soon(), NULL), 0);
    check_int(err, -ETIMEDOUT);
    check_int(taken.waited, -ECANCELED);
    wf_event_fini(&taken.begun);
    wf_event_fini(&taken.never);
}

static void a_deadline_holds_in_both_halves(void **state)
{
    (void)state;
    on_engines(expires, FIBERS, FIBERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_add_up_on_every_engine),
        cmocka_unit_test(without_workers_they_run_one_after_the_other),
        cmocka_unit_test(every_half_runs_once_however_others_interfere),
        cmocka_unit_test(with_a_deque_of_two_and_no_cached_stack),
        cmocka_unit_test(a_half_taken_by_another_fiber_belongs_to_the_task),
        cmocka_unit_test(cancellation_reaches_both_halves),
        cmocka_unit_test(a_deadline_holds_in_both_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
