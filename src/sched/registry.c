/* SPDX-License-Identifier: MIT */
#include "sched/registry.h"

#include <stdio.h>
#include <string.h>

#include "os/fault.h"
#include "sched/record.h"
#include "sched/worker.h"

/*
 * Runtimes are listed under `lock`, which is held for a few instructions by start and end, and
 * while a reader walks. A reader that cannot get it (a dump in the very moment of an end, or of
 * another dump that is stuck in its output) goes on without the runtimes rather than wait for ever.
 */
static struct wfi_lock lock;
static struct wfi_runtime *newest;

static void (*hooks[4])(wfi_dump_line *line, void *arg);
static WFI_ATOMIC(uint32_t) hook_count;

enum { LOCK_TRIES = 10000 };

static bool lock_soon(void)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (wfi_lock_try(&lock))
            return true;
        wfi_thread_yield();
    }
    return false;
}

void wfi_registry_add(struct wfi_runtime *runtime)
{
    wfi_lock_lock(&lock);
    runtime->newer = newest;
    newest = runtime;
    wfi_lock_unlock(&lock);
}

void wfi_registry_remove(struct wfi_runtime *runtime)
{
    wfi_lock_lock(&lock);
    struct wfi_runtime **link = &newest;
    while (*link != runtime)
        link = &(*link)->newer;
    *link = runtime->newer;
    wfi_lock_unlock(&lock);
}

struct walk {
    void (*fn)(const struct wfi_party_view *party, void *arg);
    void *arg;
    int64_t now;
    const char *runtime;
};

static void view_waiter(struct wfi_waiter *waiter, struct wfi_party_view *view, int64_t now)
{
    /* Relaxed throughout: a picture of moments, each word true by itself. */
    view->task = wfi_load_relaxed(&waiter->task_name);
    view->reason = wfi_load_relaxed(&waiter->reason);
    view->object = view->reason ? wfi_load_relaxed(&waiter->object) : NULL;
    int64_t since = wfi_load_relaxed(&waiter->since_ns);
    view->age_ns = view->reason && since && since < now ? now - since : 0;
    memcpy(view->name, waiter->name, sizeof view->name);
    view->name[sizeof view->name - 1] = '\0';
}

static void view_fiber(void *block, void *arg)
{
    struct walk *walk = arg;
    struct wfi_fiber *fiber = block;
    static const char *const states[] = {
        [WFI_FIBER_READY] = "ready",
        [WFI_FIBER_RUNNING] = "running",
        [WFI_FIBER_PARKED] = "waiting",
    };
    uint8_t state = wfi_load_relaxed(&fiber->state);
    if (state < WFI_FIBER_READY || state > WFI_FIBER_PARKED)
        return;
    struct wfi_party_view view = {
        .kind = "fiber", .runtime = walk->runtime, .state = states[state]};
    view_waiter(&fiber->waiter, &view, walk->now);
    view.worker = fiber->worker->index;
    view.id = wfi_load_relaxed(&fiber->id);
    walk->fn(&view, walk->arg);
}

static void view_thread(struct wfi_record *record, void *arg)
{
    struct walk *walk = arg;
    if (!wfi_load_relaxed(&record->used))
        return;
    struct wfi_party_view view = {.kind = "thread", .worker = -1};
    view_waiter(&record->waiter, &view, walk->now);
    view.id = (uint64_t)wfi_load_relaxed(&record->tid);
    view.state = view.reason ? "waiting" : "running";
    walk->fn(&view, walk->arg);
}

void wfi_registry_each(void (*fn)(const struct wfi_party_view *party, void *arg), void *arg)
{
    struct walk walk = {.fn = fn, .arg = arg, .now = wf_now()};
    wfi_tsan_checks_off(); /* names and workers of fibers are read while they may be written */
    if (lock_soon()) {
        for (struct wfi_runtime *runtime = newest; runtime; runtime = runtime->newer) {
            walk.runtime = runtime->name;
            wfi_stack_each(runtime->stacks, view_fiber, &walk);
        }
        wfi_lock_unlock(&lock);
    }
    wfi_record_each(view_thread, &walk);
    wfi_tsan_checks_on();
}

/* The dump */

void wfi_dump_hook(void (*section)(wfi_dump_line *line, void *arg))
{
    uint32_t count = wfi_fetch_add(&hook_count, 1);
    wfi_assert(count < sizeof hooks / sizeof *hooks, "there are at most four sections to a dump");
    hooks[count] = section;
}

struct output {
    wfi_dump_line *line;
    void *arg;
};

static void print_party(const struct wfi_party_view *party, void *arg)
{
    struct output *output = arg;
    char text[256];
    int len = snprintf(text, sizeof text, "%s", party->kind);
    size_t room = sizeof text;
    if (party->runtime)
        len += snprintf(text + len, room - (size_t)len, " %s_%d.%llu", party->runtime,
                        party->worker, (unsigned long long)party->id);
    else
        len += snprintf(text + len, room - (size_t)len, " %llu", (unsigned long long)party->id);
    len += snprintf(text + len, room - (size_t)len, " %s%s%s%s", party->name[0] ? party->name : "-",
                    party->task ? " task " : "", party->task ? party->task : "",
                    party->reason ? "" : " ");
    if (party->reason && (size_t)len < room)
        len += snprintf(text + len, room - (size_t)len, " waiting %.3f s for %s %p",
                        (double)party->age_ns / 1e9, party->reason, party->object);
    else if ((size_t)len < room)
        snprintf(text + len, room - (size_t)len, "%s", party->state);
    output->line(output->arg, text);
}

static void print_worker(struct wfi_runtime *runtime, int index, struct output *output)
{
    struct wfi_worker_stats stats;
    char text[256];
    wfi_runtime_stats(runtime, index, &stats);
    snprintf(text, sizeof text,
             "worker %s_%d %s: %llu jobs, %llu fibers live, %llu switches, %llu steals, "
             "%llu remote wakes, %llu timers, %llu polls, %llu sleeps",
             runtime->name, index, stats.asleep ? "asleep" : "awake",
             (unsigned long long)stats.jobs, (unsigned long long)stats.fibers_live,
             (unsigned long long)stats.switches, (unsigned long long)stats.steals,
             (unsigned long long)stats.remote_wakes, (unsigned long long)stats.timers,
             (unsigned long long)stats.polls, (unsigned long long)stats.sleeps);
    output->line(output->arg, text);
}

void wfi_dump(wfi_dump_line *line, void *arg)
{
    struct output output = {line, arg};
    if (lock_soon()) {
        for (struct wfi_runtime *runtime = newest; runtime; runtime = runtime->newer)
            for (int i = 0; i < runtime->worker_count; i++)
                print_worker(runtime, i, &output);
        wfi_lock_unlock(&lock);
    }
    wfi_registry_each(print_party, &output);
    uint32_t count = wfi_load(&hook_count);
    for (uint32_t i = 0; i < count && i < sizeof hooks / sizeof *hooks; i++)
        if (hooks[i])
            hooks[i](line, arg);
}

static const char *overflow_name(const void *block)
{
    const struct wfi_fiber *fiber = block;
    const char *task = wfi_load_in_handler(&fiber->waiter.task_name);
    return fiber->waiter.name[0] ? fiber->waiter.name : task;
}

int wfi_report_overflows(struct wf_error *reterr)
{
    return wfi_fault_install(overflow_name, reterr);
}
