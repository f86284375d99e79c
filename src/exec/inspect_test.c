/* SPDX-License-Identifier: MIT */
/* What wf_inspect_ shows of tasks, fibers, threads, workers and executors: all of it, once, whole,
 * also beside a storm of short tasks. */
#include "engines.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weft/inspect.h>
#include <weft/promise.h>
#include <weft/worker.h>

#include "os/sanitizer.h"
#include "os/thread.h"

WF_TASK(int, hold, (struct wf_event *, release))
WF_TASK(int, pass, (int, n))
WF_TASK(int, hold_inside, (struct wf_event *, release))

int hold(struct wf_task *self, struct wf_event *release, int *ret)
{
    (void)self;
    *ret = 0;
    return wf_event_wait(release, party_soon());
}
WF_TASK_DEFINE(hold)

int pass(struct wf_task *self, int n, int *ret)
{
    (void)self;
    *ret = n;
    return 0;
}
WF_TASK_DEFINE(pass)

int hold_inside(struct wf_task *self, struct wf_event *release, int *ret)
{
    (void)self;
    struct wf_executor *on;
    int err = wf_inline_create(&on, NULL);
    if (err)
        return err;
    hold_future inner = hold_submit(on, release);
    err = hold_result(&inner, ret, WF_FOREVER, NULL);
    wf_executor_destroy(on);
    return err;
}
WF_TASK_DEFINE(hold_inside)

/* What a walk found of the tasks named `name`, or of the parties that run them. */
struct found {
    size_t pending, running, waiting;
    size_t all;
    struct wf_seen_task task;
    struct wf_seen_party party;
    uint64_t ids[256];
};

static void find_tasks(struct found *found, const char *name, size_t piece)
{
    struct wf_inspect_cursor cursor = {0};
    struct wf_seen_task tasks[64];
    size_t count;
    *found = (struct found){0};
    while ((count = wf_inspect_tasks(&cursor, tasks, piece)) > 0) {
        assert_true(count <= piece);
        for (size_t i = 0; i < count; i++) {
            if (strcmp(tasks[i].name, name) != 0)
                continue;
            found->pending += tasks[i].state == WF_FUTURE_PENDING;
            found->running += tasks[i].state == WF_FUTURE_RUNNING;
            found->task = tasks[i];
            if (found->all < 256)
                found->ids[found->all] = tasks[i].id;
            found->all++;
        }
    }
    assert_int_equal(wf_inspect_tasks(&cursor, tasks, piece), 0);
}

static void find_parties(struct found *found, const char *name, size_t piece)
{
    struct wf_inspect_cursor cursor = {0};
    struct wf_seen_party parties[64];
    size_t count;
    *found = (struct found){0};
    while ((count = wf_inspect_parties(&cursor, parties, piece)) > 0) {
        assert_true(count <= piece);
        for (size_t i = 0; i < count; i++) {
            if (!parties[i].task.name || strcmp(parties[i].task.name, name) != 0)
                continue;
            found->waiting += parties[i].state == WF_PARTY_WAITING;
            found->party = parties[i];
            if (found->all < 256)
                found->ids[found->all] = parties[i].task.id;
            found->all++;
        }
    }
    assert_int_equal(wf_inspect_parties(&cursor, parties, piece), 0);
}

static void find_executor(struct wf_seen_executor *ret, const char *name)
{
    struct wf_inspect_cursor cursor = {0};
    struct wf_seen_executor seen;
    *ret = (struct wf_seen_executor){0};
    while (wf_inspect_executors(&cursor, &seen, 1) > 0)
        if (strcmp(seen.name, name) == 0)
            *ret = seen;
}

static void wait_until_parked(const char *name, size_t count)
{
    struct found found;
    wf_deadline limit = party_soon();
    for (;;) {
        find_parties(&found, name, 64);
        if (found.waiting == count)
            return;
        if (wf_remaining(limit) == 0)
            fail_msg("%zu of %zu %s wait", found.waiting, count, name);
        wfi_thread_yield();
    }
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void check_different(uint64_t *ids, size_t count)
{
    qsort(ids, count, sizeof *ids, by_number);
    for (size_t i = 1; i < count; i++)
        assert_true(ids[i - 1] != ids[i]);
}

enum { HELD = 100 };

static void each_waiting_fiber_is_seen_once(void **state)
{
    (void)state;
    struct wf_executor *on;
    struct wf_event release = WF_EVENT_INIT;
    struct found found;
    hold_future held[HELD];
    assert_int_equal(
        wf_fibers_create(&(struct wf_fibers_options){.workers = 2, .name = "seen"}, &on, NULL), 0);
    for (int i = 0; i < HELD; i++)
        held[i] = hold_submit(on, &release);
    wait_until_parked("hold", HELD);
    const size_t pieces[] = {1, 7, 64};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        find_tasks(&found, "hold", pieces[i]);
        assert_int_equal(found.running, HELD);
        assert_int_equal(found.pending, 0);
        assert_string_equal(found.task.executor, "seen");
        assert_string_equal(found.task.engine, "fibers");
        check_different(found.ids, HELD);
        uint64_t ids[HELD];
        memcpy(ids, found.ids, sizeof ids);

        find_parties(&found, "hold", pieces[i]);
        assert_int_equal(found.all, HELD);
        assert_int_equal(found.waiting, HELD);
        assert_int_equal(found.party.kind, WF_PARTY_FIBER);
        assert_string_equal(found.party.runtime, "seen");
        assert_string_equal(found.party.reason, "event");
        assert_int_equal(found.party.object, (uintptr_t)&release);
        assert_true(found.party.waits_ns >= 0);
        assert_string_equal(found.party.task.executor, "seen");
        check_different(found.ids, HELD); /* the same ids as the tasks' */
        assert_memory_equal(found.ids, ids, sizeof ids);
    }
    struct wf_seen_executor executor;
    find_executor(&executor, "seen");
    assert_string_equal(executor.engine, "fibers");
    assert_int_equal(executor.workers, 2);
    assert_int_equal(executor.alive, 2);
    assert_int_equal(executor.queued, 0);
    assert_int_equal(executor.running, HELD);
    assert_int_equal(executor.ended, 0);
    assert_false(executor.shut);
    wf_event_set(&release);
    for (int i = 0; i < HELD; i++)
        assert_int_equal(hold_result(&held[i], NULL, party_soon(), NULL), 0);
    assert_int_equal(wf_executor_shutdown(on, WF_SHUTDOWN_WAIT, party_soon()), 0);
    find_executor(&executor, "seen");
    assert_int_equal(executor.ended, HELD);
    assert_int_equal(executor.running, 0);
    assert_true(executor.shut);
    wf_executor_destroy(on);
    find_tasks(&found, "hold", 64);
    assert_int_equal(found.all, 0);
    find_executor(&executor, "seen");
    assert_null(executor.engine);
    wf_event_fini(&release);
}

static void what_is_queued_is_seen_as_pending(void **state)
{
    (void)state;
    struct wf_executor *on;
    struct wf_event release = WF_EVENT_INIT;
    struct found found;
    hold_future held[7];
    assert_int_equal(
        wf_threads_create(&(struct wf_threads_options){.workers = 2, .name = "crew"}, &on, NULL),
        0);
    for (int i = 0; i < 7; i++) {
        char name[32];
        snprintf(name, sizeof name, "number %d", i);
        struct wf_submit_options options = {.name = name};
        held[i] = hold_submit_with(on, &options, &release);
    }
    wait_until_parked("hold", 2);
    find_tasks(&found, "hold", 3);
    assert_int_equal(found.running, 2);
    assert_int_equal(found.pending, 5);
    assert_string_equal(found.task.executor, "crew");
    assert_int_equal(strncmp(found.task.own_name, "number ", 7), 0);
    find_parties(&found, "hold", 64);
    assert_int_equal(found.party.kind, WF_PARTY_THREAD);
    assert_int_equal(strncmp(found.party.name, "crew_", 5), 0);
    assert_int_equal(strncmp(found.party.task.own_name, "number ", 7), 0);
    struct wf_seen_executor executor;
    find_executor(&executor, "crew");
    assert_int_equal(executor.workers, 2);
    assert_int_equal(executor.alive, 2);
    assert_int_equal(executor.queued, 5);
    assert_int_equal(executor.running, 2);
    assert_int_equal(wf_future_cancel(held[0].future), WF_CANCEL_ASKED);
    (void)wf_future_cancel(held[6].future);
    find_executor(&executor, "crew");
    assert_true(executor.queued <= 4);
    wf_event_set(&release);
    for (int i = 0; i < 7; i++)
        (void)hold_result(&held[i], NULL, party_soon(), NULL);
    assert_int_equal(wf_executor_shutdown(on, WF_SHUTDOWN_WAIT, party_soon()), 0);
    find_executor(&executor, "crew");
    assert_int_equal(executor.ended, 6);
    assert_int_equal(executor.queued + executor.running + executor.alive, 0);
    wf_executor_destroy(on);
    wf_event_fini(&release);
}

static void the_innermost_task_of_a_party_is_shown(void **state)
{
    (void)state;
    struct wf_executor *on;
    struct wf_event release = WF_EVENT_INIT;
    struct found found;
    assert_int_equal(wf_fibers_create(&(struct wf_fibers_options){.workers = 1}, &on, NULL), 0);
    hold_inside_future outer = hold_inside_submit(on, &release);
    wait_until_parked("hold", 1);
    find_tasks(&found, "hold", 64);
    assert_int_equal(found.running, 1);
    assert_string_equal(found.task.engine, "inline");
    find_tasks(&found, "hold_inside", 64);
    assert_int_equal(found.running, 1);
    wf_event_set(&release);
    assert_int_equal(hold_inside_result(&outer, NULL, party_soon(), NULL), 0);
    wf_executor_destroy(on);
    wf_event_fini(&release);
}

WF_PROMISE(int, vow)

static void a_promise_is_seen_until_it_is_kept(void **state)
{
    (void)state;
    struct found found;
    vow_promise promise;
    vow_future future;
    int value = 0;
    assert_int_equal(vow_promise_create(&promise, &future, NULL), 0);
    find_tasks(&found, "vow", 64);
    assert_int_equal(found.pending, 1);
    assert_string_equal(found.task.engine, "promise");
    assert_string_equal(found.task.executor, "");
    assert_int_equal(vow_resolve(promise, 7), 0);
    find_tasks(&found, "vow", 64);
    assert_int_equal(found.all, 0);
    assert_int_equal(vow_result(&future, &value, WF_NOW, NULL), 0);
    assert_int_equal(value, 7);
    vow_promise_destroy(&promise);
}

static void workers_show_what_they_have_done(void **state)
{
    (void)state;
    struct wf_executor *on;
    assert_int_equal(
        wf_fibers_create(&(struct wf_fibers_options){.workers = 3, .name = "hands"}, &on, NULL), 0);
    WF_SCOPE(scope, on, WF_FOREVER) {
        for (int i = 0; i < 200; i++)
            assert_int_equal(pass_go(scope, i), 0);
    }
    struct wf_inspect_cursor cursor = {0};
    struct wf_seen_worker worker;
    uint64_t jobs = 0, injected = 0, fibers = 0;
    int workers = 0;
    while (wf_inspect_workers(&cursor, &worker, 1) > 0) {
        if (strcmp(worker.runtime, "hands") != 0)
            continue;
        assert_int_equal(worker.index, workers);
        workers++;
        jobs += worker.jobs;
        injected += worker.injected;
        fibers += worker.fibers;
        assert_int_equal(worker.queued + worker.shared, 0);
    }
    assert_int_equal(workers, 3);
    assert_int_equal(jobs, 200);
    assert_true(injected > 0);
    assert_true(fibers <= 3); /* one on each may still be on its way out */
    assert_int_equal(wf_inspect_workers(&cursor, &worker, 1), 0);
    wf_executor_destroy(on);
}

static void nothing(void *arg)
{
    *(int *)arg = 1;
}

static void blocking_calls_are_counted(void **state)
{
    (void)state;
    struct wf_inspect_cursor cursor = {0};
    struct wf_seen_offload classes[8];
    int done = 0;
    assert_int_equal(wf_block(nothing, &done), 0);
    assert_int_equal(wf_inspect_offload(&cursor, classes, 8), 3);
    assert_int_equal(wf_inspect_offload(&cursor, classes + 3, 5), 0);
    assert_string_equal(classes[2].name, "block");
    assert_int_equal(classes[2].calls, 1);
    assert_true(classes[2].threads >= 1 && classes[2].threads <= classes[2].most);
}

static void a_runtime_may_end_within_a_walk(void **state)
{
    (void)state;
    struct wf_executor *on[3];
    struct wf_event release = WF_EVENT_INIT;
    hold_future held[3][10];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wf_fibers_create(&(struct wf_fibers_options){.workers = 1}, &on[i], NULL),
                         0);
        for (int k = 0; k < 10; k++)
            held[i][k] = hold_submit(on[i], &release);
    }
    wait_until_parked("hold", 30);
    struct wf_inspect_cursor cursor = {0}, workers = {0}, executors = {0};
    struct wf_seen_party party;
    struct wf_seen_worker worker;
    struct wf_seen_executor executor;
    /* All walks begin; the newest runtime is the first, so the second is gone when they go on. */
    assert_int_equal(wf_inspect_parties(&cursor, &party, 1), 1);
    assert_int_equal(wf_inspect_workers(&workers, &worker, 1), 1);
    assert_int_equal(wf_inspect_executors(&executors, &executor, 1), 1);
    wf_event_set(&release);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 10; k++)
            assert_int_equal(hold_result(&held[i][k], NULL, party_soon(), NULL), 0);
    wf_executor_destroy(on[1]);
    wf_executor_destroy(on[2]);
    size_t left = 0, parties = 0;
    while (wf_inspect_workers(&workers, &worker, 1) > 0)
        left++;
    assert_int_equal(left, 1);
    while (wf_inspect_parties(&cursor, &party, 1) > 0)
        parties++;
    assert_true(parties >= 2); /* this thread, and the worker */
    assert_int_equal(wf_inspect_executors(&executors, &executor, 1), 0);
    wf_executor_destroy(on[0]);
    wf_event_fini(&release);
}

/* Short tasks on two engines, made by each other and from outside, and runtimes that come and go;
 * whatever a walk shows must be whole. */
enum { STORM = 60 };

static WFI_ATOMIC(bool) over;
static WFI_ATOMIC(int) rounds;

WF_TASK(int, gust, (int, depth))

int gust(struct wf_task *self, int depth, int *ret)
{
    *ret = 0;
    if (depth == 0)
        return 0;
    struct wf_submit_options options = {.name = "a gust of its own"};
    gust_future one = gust_submit_with(wf_task_executor(self), &options, depth - 1);
    gust_future two = gust_submit(wf_task_executor(self), depth - 1);
    int err = gust_result(&one, ret, WF_FOREVER, NULL);
    int second = gust_result(&two, ret, WF_FOREVER, NULL);
    return err ? err : second;
}
WF_TASK_DEFINE(gust)

static void *blow(void *arg)
{
    (void)arg;
    while (!wfi_load(&over)) {
        struct wf_executor *fibers, *threads;
        check_int(wf_fibers_create(&(struct wf_fibers_options){.workers = 2, .name = "storm"},
                                   &fibers, NULL),
                  0);
        check_int(wf_threads_create(&(struct wf_threads_options){.workers = 2, .name = "storm"},
                                    &threads, NULL),
                  0);
        gust_future a = gust_submit(fibers, 5), b = gust_submit(threads, 4);
        check_int(gust_result(&a, NULL, party_soon(), NULL), 0);
        check_int(gust_result(&b, NULL, party_soon(), NULL), 0);
        wf_executor_destroy(fibers);
        wf_executor_destroy(threads);
        wfi_fetch_add(&rounds, 1);
    }
    return NULL;
}

static void look_at_all(size_t piece)
{
    struct wf_inspect_cursor cursor = {0};
    struct wf_seen_task tasks[16];
    struct wf_seen_party parties[16];
    struct wf_seen_worker workers[16];
    struct wf_seen_executor executors[16];
    size_t count;
    while ((count = wf_inspect_tasks(&cursor, tasks, piece)) > 0)
        for (size_t i = 0; i < count; i++) {
            assert_string_equal(tasks[i].name, "gust");
            assert_true(tasks[i].executor[0] == '\0' || strcmp(tasks[i].executor, "storm") == 0);
            assert_true(tasks[i].own_name[0] == '\0' ||
                        strcmp(tasks[i].own_name, "a gust of its own") == 0);
            assert_true(tasks[i].age_ns >= 0);
        }
    cursor = (struct wf_inspect_cursor){0};
    while ((count = wf_inspect_parties(&cursor, parties, piece)) > 0)
        for (size_t i = 0; i < count; i++) {
            assert_true(!parties[i].task.name || strcmp(parties[i].task.name, "gust") == 0);
            assert_true((parties[i].state == WF_PARTY_WAITING) == (parties[i].reason != NULL));
            assert_true(!parties[i].reason || strlen(parties[i].reason) > 0);
            assert_true(parties[i].kind == WF_PARTY_THREAD ||
                        strcmp(parties[i].runtime, "storm") == 0);
        }
    cursor = (struct wf_inspect_cursor){0};
    while ((count = wf_inspect_workers(&cursor, workers, piece)) > 0)
        for (size_t i = 0; i < count; i++)
            assert_string_equal(workers[i].runtime, "storm");
    cursor = (struct wf_inspect_cursor){0};
    while ((count = wf_inspect_executors(&cursor, executors, piece)) > 0)
        for (size_t i = 0; i < count; i++)
            assert_true(executors[i].alive <= executors[i].workers);
}

static void a_walk_beside_a_storm_shows_whole_things(void **state)
{
    (void)state;
    struct wfi_thread blowing[2];
    wfi_store(&over, false);
    for (int i = 0; i < 2; i++)
        assert_int_equal(wfi_thread_start(&blowing[i], "blowing", 0, blow, NULL), 0);
    int enough = wfi_under_valgrind() ? 3 : STORM;
    for (size_t i = 0; wfi_load(&rounds) < enough; i++) {
        look_at_all(1 + i % 16);
        wfi_thread_yield();
    }
    wfi_store(&over, true);
    for (int i = 0; i < 2; i++)
        wfi_thread_join(&blowing[i]);
}

static void a_piece_of_nothing_is_nothing(void **state)
{
    (void)state;
    struct wf_inspect_cursor cursor = {0};
    assert_int_equal(wf_inspect_parties(&cursor, NULL, 0), 0);
    assert_int_equal(wf_inspect_tasks(&cursor, NULL, 0), 0);
    assert_int_equal(wf_inspect_processes(&cursor, NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_waiting_fiber_is_seen_once),
        cmocka_unit_test(what_is_queued_is_seen_as_pending),
        cmocka_unit_test(the_innermost_task_of_a_party_is_shown),
        cmocka_unit_test(a_promise_is_seen_until_it_is_kept),
        cmocka_unit_test(workers_show_what_they_have_done),
        cmocka_unit_test(blocking_calls_are_counted),
        cmocka_unit_test(a_runtime_may_end_within_a_walk),
        cmocka_unit_test(a_walk_beside_a_storm_shows_whole_things),
        cmocka_unit_test(a_piece_of_nothing_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
