/* SPDX-License-Identifier: MIT */
/* What fibers can ask of the worker they run on, and of the offload pool. */
#include <weft/worker.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "sched/offload.h"
#include "sched/runtime.h"

static void run_on_fiber(void (*fn)(void *), void *arg)
{
    struct wfi_runtime *runtime;
    struct wfi_routine routine;
    struct wfi_runtime_options options = {.workers = 1, .stack_bytes = 64 * 1024};
    assert_int_equal(wfi_runtime_create(&options, &runtime, NULL), 0);
    wfi_routine_start(&routine, runtime, "test", fn, arg);
    assert_int_equal(wfi_routine_join(&routine, WF_FOREVER), 0);
    wfi_runtime_destroy(runtime);
}

struct watched {
    struct wf_watch *watch;
    int ends[2];
    WFI_ATOMIC(int) reads, expiries; /* to TSan each context of a worker is a thread */
};

static void on_ready(void *arg, int fd, unsigned ready)
{
    struct watched *w = arg;
    char byte;
    assert_int_equal(fd, w->ends[0]);
    assert_true(ready & WF_WATCH_READ);
    assert_int_equal(read(fd, &byte, 1), 1);
    wfi_fetch_add(&w->reads, 1);
}

static void on_expired(void *arg)
{
    struct watched *w = arg;
    wfi_fetch_add(&w->expiries, 1);
}

static void watch_a_pipe(void *arg)
{
    struct watched *w = arg;
    struct wf_watch_options options = {on_ready, on_expired, w};
    assert_int_equal(wf_watch_open(&options, &w->watch, NULL), 0);
    assert_int_equal(wf_watch_set(w->watch, w->ends[0], WF_WATCH_READ), 0);
    assert_int_equal(write(w->ends[1], "abc", 3), 3);
    while (w->reads < 3) /* level-triggered: a call per round until it is drained */
        assert_int_equal(wf_sleep(wf_after(1000)), 0);
    wf_watch_expire_at(w->watch, wf_after(1000));
    while (w->expiries < 1)
        assert_int_equal(wf_sleep(wf_after(1000)), 0);
    wf_watch_expire_at(w->watch, wf_after(1000));
    wf_watch_expire_at(w->watch, WF_FOREVER);
    assert_int_equal(wf_watch_set(w->watch, w->ends[0], 0), 0);
    assert_int_equal(write(w->ends[1], "d", 1), 1);
    wf_sleep(wf_after(WF_MILLISECONDS(2)));
    assert_int_equal(w->reads, 3);
    assert_int_equal(w->expiries, 1);
    wf_watch_close(w->watch);
}

static void a_watch_reports_descriptors_and_time(void **state)
{
    (void)state;
    struct watched w = {.watch = NULL};
    assert_int_equal(pipe(w.ends), 0);
    run_on_fiber(watch_a_pipe, &w);
    close(w.ends[0]);
    close(w.ends[1]);
}

static void a_plain_thread_has_no_watch(void **state)
{
    (void)state;
    struct wf_watch *watch;
    struct wf_error err;
    assert_int_equal(wf_watch_open(&(struct wf_watch_options){0}, &watch, &err), WF_ESTATE);
    assert_true(strlen(err.text) > 0);
}

static int destroyed;

static void destroy_value(void *value)
{
    destroyed += *(int *)value;
}

static struct wf_worker_key key = {.destroy = destroy_value};

static void set_value(void *arg)
{
    assert_null(wf_worker_get(&key));
    assert_int_equal(wf_worker_set(&key, arg), 0);
    assert_ptr_equal(wf_worker_get(&key), arg);
}

static void a_workers_value_is_destroyed_with_it(void **state)
{
    (void)state;
    int value = 7;
    run_on_fiber(set_value, &value);
    assert_int_equal(destroyed, 7);
    run_on_fiber(set_value, &value);
    assert_int_equal(destroyed, 14);
    assert_null(wf_worker_get(&key));
    assert_int_equal(wf_worker_set(&key, &value), WF_ESTATE);
}

struct gate {
    struct wfi_offload_call call;
    int read_end;
    WFI_ATOMIC(int) * released;
};

static void wait_at_gate(struct wfi_offload_call *call)
{
    char byte;
    assert_int_equal(read(((struct gate *)call)->read_end, &byte, 1), 1);
}

static void release_gate(struct wfi_offload_call *call)
{
    wfi_fetch_add(((struct gate *)call)->released, 1);
    wfi_free(call);
}

struct gates {
    int ends[2];
    WFI_ATOMIC(int) released, passed;
    int give_up;
};

static void pass_gate(void *arg)
{
    struct gates *gates = arg;
    struct gate *gate = wfi_zalloc(sizeof *gate);
    gate->call.run = wait_at_gate;
    gate->call.release = release_gate;
    gate->read_end = gates->ends[0];
    gate->released = &gates->released;
    wf_deadline deadline = gates->give_up ? wf_after(1000) : WF_FOREVER;
    int err = wfi_offload_run(WFI_OFFLOAD_FILE, &gate->call, deadline);
    assert_int_equal(err, gates->give_up ? -ETIMEDOUT : 0);
    wfi_offload_drop(&gate->call);
    wfi_fetch_add(&gates->passed, 1);
}

static void at_gates(struct gates *gates, int count, void (*meanwhile)(struct gates *))
{
    struct wfi_runtime *runtime;
    struct wfi_routine routines[40];
    assert_int_equal(wfi_runtime_create(NULL, &runtime, NULL), 0);
    for (int i = 0; i < count; i++)
        wfi_routine_start(&routines[i], runtime, NULL, pass_gate, gates);
    meanwhile(gates);
    for (int i = 0; i < count; i++)
        wfi_routine_join(&routines[i], WF_FOREVER);
    wfi_runtime_destroy(runtime);
}

static void open_when_queued(struct gates *gates)
{
    struct wfi_offload_stats stats;
    do {
        wfi_offload_stats(WFI_OFFLOAD_FILE, &stats);
        assert_true(stats.threads <= stats.cap);
        wf_sleep(wf_after(1000));
    } while (stats.threads < stats.cap || stats.queued != 40 - stats.cap);
    for (int i = 0; i < 40; i++)
        assert_int_equal(write(gates->ends[1], "x", 1), 1);
}

static void blocking_calls_run_side_by_side_up_to_the_cap(void **state)
{
    (void)state;
    struct gates gates = {.give_up = 0};
    assert_int_equal(pipe(gates.ends), 0);
    at_gates(&gates, 40, open_when_queued);
    assert_int_equal(wfi_load(&gates.passed), 40);
    while (wfi_load(&gates.released) != 40) /* the threads drop their holds */
        wf_sleep(wf_after(1000));
    close(gates.ends[0]);
    close(gates.ends[1]);
}

static void open_when_given_up(struct gates *gates)
{
    while (wfi_load(&gates->passed) != 40)
        wf_sleep(wf_after(1000));
    for (int i = 0; i < 40; i++)
        assert_int_equal(write(gates->ends[1], "x", 1), 1);
}

static void a_caller_may_give_up_on_a_blocking_call(void **state)
{
    (void)state;
    struct gates gates = {.give_up = 1};
    assert_int_equal(pipe(gates.ends), 0);
    at_gates(&gates, 40, open_when_given_up);
    while (wfi_load(&gates.released) != 40)
        wf_sleep(wf_after(1000));
    close(gates.ends[0]);
    close(gates.ends[1]);
}

static void note_thread(void *arg)
{
    *(bool *)arg = wfi_worker_current() == NULL;
}

static void block(void *arg)
{
    assert_int_equal(wf_block(note_thread, arg), 0);
}

static void wf_block_leaves_the_worker(void **state)
{
    (void)state;
    bool elsewhere = false;
    run_on_fiber(block, &elsewhere);
    assert_true(elsewhere);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_watch_reports_descriptors_and_time),
        cmocka_unit_test(a_plain_thread_has_no_watch),
        cmocka_unit_test(a_workers_value_is_destroyed_with_it),
        cmocka_unit_test(blocking_calls_run_side_by_side_up_to_the_cap),
        cmocka_unit_test(a_caller_may_give_up_on_a_blocking_call),
        cmocka_unit_test(wf_block_leaves_the_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
