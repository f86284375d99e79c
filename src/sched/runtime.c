/* SPDX-License-Identifier: MIT */
#include "sched/runtime.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "os/cpu.h"
#include "os/sanitizer.h"
#include "sched/record.h"
#include "sched/registry.h"
#include "sched/worker.h"

enum { STACK_BYTES = 256 * 1024, STACK_BYTES_MIN = 16 * 1024 };

static int check(const struct wfi_runtime_options *options, struct wf_error *reterr)
{
    if (options->workers < 0 || options->workers > WFI_WORKERS_MAX)
        return wf_error_set(reterr, -EINVAL, "workers: %d is not in 0..%d", options->workers,
                            WFI_WORKERS_MAX);
    if (options->stack_bytes && options->stack_bytes < STACK_BYTES_MIN)
        return wf_error_set(reterr, -EINVAL, "stack_bytes: %zu is below %d", options->stack_bytes,
                            STACK_BYTES_MIN);
    if (options->deque_slots & (options->deque_slots - 1) || options->deque_slots == 1)
        return wf_error_set(reterr, -EINVAL, "deque_slots: %zu is no power of two from 2 up",
                            options->deque_slots);
    return 0;
}

static void wait_for_waker(struct wfi_record *record, void *runtime)
{
    /* acquire: pairs with the release in wfi_waking_end */
    while (wfi_load_acquire(&record->waking) == runtime)
        wfi_thread_yield(); /* a few instructions */
}

/* Tells the first `count` workers to end, waits for them, and frees all. */
static void stop(struct wfi_runtime *runtime, int started)
{
    wfi_store(&runtime->stopping, true);
    for (int i = 0; i < started; i++)
        wfi_worker_notify(&runtime->workers[i]);
    for (int i = 0; i < started; i++)
        wfi_thread_join(&runtime->workers[i].thread);
    wfi_record_each(wait_for_waker, runtime);
    for (int i = 0; i < runtime->worker_count; i++)
        wfi_worker_fini(&runtime->workers[i]);
    if (runtime->stacks)
        wfi_stack_pool_destroy(runtime->stacks);
    wfi_free(runtime);
}

int wfi_runtime_create(const struct wfi_runtime_options *options, struct wfi_runtime **ret_runtime,
                       struct wf_error *reterr)
{
    static const struct wfi_runtime_options defaults;
    if (!options)
        options = &defaults;
    int err = check(options, reterr);
    if (err)
        return err;
    int count = options->workers ? options->workers : wfi_cpu_count(NULL, 0);
    if (count > WFI_WORKERS_MAX)
        count = WFI_WORKERS_MAX;
    size_t bytes = sizeof(struct wfi_runtime) + (size_t)count * sizeof(struct wfi_worker);
    struct wfi_runtime *runtime = wfi_zalloc_aligned(64, bytes);
    if (!runtime)
        return wf_error_set(reterr, -ENOMEM, NULL);
    runtime->stack_bytes = options->stack_bytes ? options->stack_bytes : STACK_BYTES;
    snprintf(runtime->name, sizeof runtime->name, "%s", options->name ? options->name : "weft");
    err = wfi_stack_pool_create(runtime->stack_bytes, sizeof(struct wfi_fiber), &runtime->stacks,
                                reterr);
    while (!err && runtime->worker_count < count) {
        int index = runtime->worker_count;
        err = wfi_worker_init(&runtime->workers[index], runtime, index, options, reterr);
        if (!err)
            runtime->worker_count++;
    }
    int started = 0;
    for (; !err && started < count; started++) {
        struct wfi_worker *worker = &runtime->workers[started];
        char name[sizeof(((struct wfi_runtime *)0)->name) + 16];
        snprintf(name, sizeof name, "%s_%d", runtime->name, started);
        worker->record = wfi_record_take();
        err = worker->record ? wfi_thread_start(&worker->thread, name, 0, wfi_worker_main, worker)
                             : -ENOMEM;
        if (err && worker->record)
            wfi_record_give(worker->record);
        if (err) {
            wf_error_set(reterr, err, "worker %d: %s", started, wf_strerror(err));
            break;
        }
    }
    if (err) {
        stop(runtime, started);
        return err;
    }
    wfi_registry_add(runtime);
    *ret_runtime = runtime;
    return 0;
}

void wfi_runtime_destroy(struct wfi_runtime *runtime)
{
    if (!runtime)
        return;
    wfi_assert(wfi_runtime_current() != runtime, "a runtime is not destroyed by its own fiber");
    wfi_registry_remove(runtime);
    stop(runtime, runtime->worker_count);
}

int wfi_runtime_workers(const struct wfi_runtime *runtime)
{
    return runtime->worker_count;
}

void wfi_injector_push(struct wfi_runtime *runtime, struct wfi_job *job)
{
    job->next = NULL;
    wfi_lock_lock(&runtime->injector_lock);
    if (runtime->injector_last)
        runtime->injector_last->next = job;
    else
        runtime->injector_first = job;
    runtime->injector_last = job;
    wfi_store_relaxed(&runtime->injector_count, wfi_load_relaxed(&runtime->injector_count) + 1);
    wfi_lock_unlock(&runtime->injector_lock);
}

void wfi_runtime_submit(struct wfi_runtime *runtime, struct wfi_job *job)
{
    struct wfi_worker *worker = wfi_worker_current();
    wfi_tsan_release(job);
    wfi_tsan_checks_off();
    struct wfi_record *record = wfi_waking_begin(runtime);
    bool inside = worker && worker->runtime == runtime;
    if (!inside || !wfi_deque_push(&worker->deque, job))
        wfi_injector_push(runtime, job);
    if (!inside || runtime->worker_count > 1) /* else the only worker is the caller's */
        wfi_runtime_wake_one(runtime);
    wfi_waking_end(record);
    wfi_tsan_checks_on();
}

void wfi_runtime_submit_to(struct wfi_runtime *runtime, int index, struct wfi_job *job)
{
    struct wfi_worker *worker = &runtime->workers[index];
    wfi_tsan_release(job);
    wfi_tsan_checks_off();
    struct wfi_record *record = wfi_waking_begin(runtime);
    struct wfi_job *head = wfi_load_relaxed(&worker->mail);
    do
        job->next = head;
    while (!wfi_cas(&worker->mail, &head, job));
    /* Push, then read the state (in notify): invariant 3 of worker.c, for the mail. */
    if (!head)
        wfi_worker_notify(worker);
    wfi_waking_end(record);
    wfi_tsan_checks_on();
}

void wfi_runtime_stats(struct wfi_runtime *runtime, int index, struct wfi_worker_stats *ret_stats)
{
    struct wfi_worker *worker = &runtime->workers[index];
    *ret_stats = (struct wfi_worker_stats){
        .jobs = wfi_load_relaxed(&worker->count.jobs),
        .switches = wfi_load_relaxed(&worker->count.switches),
        .steals = wfi_load_relaxed(&worker->count.steals),
        .injected = wfi_load_relaxed(&worker->count.injected),
        .remote_wakes = wfi_load_relaxed(&worker->count.remote_wakes),
        .timers = wfi_load_relaxed(&worker->count.timers),
        .polls = wfi_load_relaxed(&worker->count.polls),
        .sleeps = wfi_load_relaxed(&worker->count.sleeps),
        .fibers_live = wfi_load_relaxed(&worker->count.live),
        .queued = wfi_deque_size(&worker->deque),
        .shared = wfi_load_relaxed(&runtime->injector_count),
        .asleep = wfi_load_relaxed(&worker->state) != WFI_AWAKE,
    };
}

/* Routines */

static void routine_run(struct wfi_job *job, struct wfi_worker *worker)
{
    struct wfi_routine *routine = (struct wfi_routine *)job;
    wfi_assert(!wfi_worker_refusal(worker), "there is a stack for a routine");
    struct wfi_waiter *self = wfi_self();
    snprintf(self->name, sizeof self->name, "%s", routine->name);
    routine->fn(routine->arg);
    wfi_party_end(self); /* before the join that may wait for it */
    self->name[0] = '\0';
    struct wfi_wake_list wakes = {0};
    wfi_lock_lock(&routine->lock);
    routine->ended = true;
    wfi_wake_list_claim_all(&wakes, &routine->joiners);
    wfi_lock_unlock(&routine->lock); /* the routine may be gone from here on */
    wfi_wake_all(&wakes);
}

void wfi_routine_start(struct wfi_routine *routine, struct wfi_runtime *runtime, const char *name,
                       void (*fn)(void *), void *arg)
{
    memset(routine, 0, sizeof *routine);
    routine->job.run = routine_run;
    routine->fn = fn;
    routine->arg = arg;
    snprintf(routine->name, sizeof routine->name, "%s", name ? name : "");
    wfi_runtime_submit(runtime, &routine->job);
}

int wfi_routine_join(struct wfi_routine *routine, wf_deadline deadline)
{
    struct wfi_wait_node node = {0};
    wfi_lock_lock(&routine->lock);
    if (routine->ended) {
        wfi_lock_unlock(&routine->lock);
        return 0;
    }
    return wfi_wait(&routine->joiners, &routine->lock, &node, "join", routine, deadline);
}
