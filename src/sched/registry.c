/* SPDX-License-Identifier: MIT */
#include "sched/registry.h"

#include <stdio.h>
#include <string.h>

#include "os/fault.h"
#include "sched/record.h"
#include "sched/worker.h"

/*
 * Runtimes are listed under `lock`, which is held for a few instructions by start and end, and
 * while a reader looks at a piece of what they have. A reader that cannot get it (a dump in the
 * very moment of an end) goes on without the runtimes rather than wait for ever.
 */
static struct wfi_lock lock;
static struct wfi_runtime *newest;
static uint64_t last_number;

static void (*hooks[4])(wfi_dump_line *line, void *arg);
static WFI_ATOMIC(uint32_t) hook_count;

enum {
    LOCK_TRIES = 10000,
    LOOKS_MAX = 1024, /* at places of fibers, with the lock held: some 10 us */
};

enum { FIBERS, THREADS, END }; /* stages of a walk */

bool wfi_lock_soon(struct wfi_lock *wanted)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (wfi_lock_try(wanted))
            return true;
        wfi_thread_yield();
    }
    return false;
}

void wfi_registry_add(struct wfi_runtime *runtime)
{
    wfi_lock_lock(&lock);
    runtime->newer = newest;
    runtime->number = ++last_number;
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

static void view_waiter(struct wfi_waiter *waiter, struct wfi_party_view *view, int64_t now)
{
    /* Relaxed throughout: a picture of moments, each word true by itself. */
    view->task = wfi_load_relaxed(&waiter->task_name);
    view->block = wfi_load_relaxed(&waiter->task_block);
    view->reason = wfi_load_relaxed(&waiter->reason);
    view->object = view->reason ? wfi_load_relaxed(&waiter->object) : NULL;
    int64_t since = wfi_load_relaxed(&waiter->since_ns);
    view->age_ns = view->reason && since && since < now ? now - since : 0;
    memcpy(view->name, waiter->name, sizeof view->name);
    view->name[sizeof view->name - 1] = '\0';
}

/* Returns false for a place where no fiber is. */
static bool view_fiber(struct wfi_fiber *fiber, struct wfi_party_view *view, int64_t now)
{
    static const char *const states[] = {
        [WFI_FIBER_READY] = "ready",
        [WFI_FIBER_RUNNING] = "running",
        [WFI_FIBER_PARKED] = "waiting",
    };
    uint8_t state = wfi_load_relaxed(&fiber->state);
    struct wfi_worker *worker = fiber->worker; /* may not be in sight yet when it has just begun */
    if (state < WFI_FIBER_READY || state > WFI_FIBER_PARKED || !worker)
        return false;
    *view = (struct wfi_party_view){.kind = "fiber", .state = states[state]};
    view_waiter(&fiber->waiter, view, now);
    view->worker = worker->index;
    view->id = wfi_load_relaxed(&fiber->id);
    memcpy(view->runtime, worker->runtime->name, sizeof view->runtime);
    if (state == WFI_FIBER_PARKED && !view->reason)
        view->state = "ready"; /* it is about to go on */
    else if (state != WFI_FIBER_PARKED)
        view->reason = NULL, view->object = NULL, view->age_ns = 0;
    return true;
}

static bool view_thread(struct wfi_record *record, struct wfi_party_view *view, int64_t now)
{
    if (!wfi_load_relaxed(&record->used))
        return false;
    *view = (struct wfi_party_view){.kind = "thread", .worker = -1};
    view_waiter(&record->waiter, view, now);
    view->id = (uint64_t)wfi_load_relaxed(&record->tid);
    view->state = view->reason ? "waiting" : "running";
    return true;
}

/* Under the lock: the runtime that the walk is at, or the next older one if that is gone; NULL
 * behind the last. Its number is 0 in the beginning. */
static struct wfi_runtime *runtime_at(struct wfi_registry_cursor *cursor)
{
    struct wfi_runtime *runtime = newest;
    while (cursor->runtime && runtime && runtime->number > cursor->runtime)
        runtime = runtime->newer;
    if (runtime && runtime->number != cursor->runtime) {
        cursor->runtime = (uintptr_t)runtime->number;
        cursor->at = NULL;
        cursor->index = 0;
    }
    return runtime;
}

/* Under the lock: goes on to the next older runtime. Returns false when there is none. */
static bool next_runtime(struct wfi_registry_cursor *cursor, const struct wfi_runtime *runtime)
{
    if (!runtime || !runtime->newer)
        return false;
    cursor->runtime = (uintptr_t)runtime->newer->number;
    cursor->at = NULL;
    cursor->index = 0;
    return true;
}

static size_t walk_fibers(struct wfi_registry_cursor *cursor, struct wfi_party_view *views,
                          size_t room, int64_t now)
{
    size_t count = 0;
    bool more = wfi_lock_soon(&lock);
    if (!more) {
        cursor->stage = THREADS;
        cursor->at = NULL;
        return 0;
    }
    struct wfi_runtime *runtime = runtime_at(cursor);
    for (int looks = 0; more && count < room && looks < LOOKS_MAX; looks++) {
        struct wfi_stack_cursor at = {cursor->at, (uint32_t)cursor->index};
        struct wfi_fiber *fiber = runtime ? wfi_stack_next(runtime->stacks, &at) : NULL;
        cursor->at = at.slab;
        cursor->index = at.index;
        if (fiber)
            count += view_fiber(fiber, &views[count], now);
        else if ((more = next_runtime(cursor, runtime)))
            runtime = runtime->newer;
    }
    wfi_lock_unlock(&lock);
    if (!more) {
        cursor->stage = THREADS;
        cursor->at = NULL;
    }
    return count;
}

static size_t walk_threads(struct wfi_registry_cursor *cursor, struct wfi_party_view *views,
                           size_t room, int64_t now)
{
    size_t count = 0;
    while (count < room && cursor->stage == THREADS) {
        struct wfi_record *record = wfi_record_next(cursor->at);
        cursor->at = record;
        if (record)
            count += view_thread(record, &views[count], now);
        else
            cursor->stage = END;
    }
    return count;
}

size_t wfi_registry_parties(struct wfi_registry_cursor *cursor, struct wfi_party_view *ret_views,
                            size_t room)
{
    size_t count = 0;
    int64_t now = wf_now();
    wfi_tsan_checks_off(); /* names and workers of fibers are read while they may be written */
    while (count == 0 && room && cursor->stage == FIBERS)
        count = walk_fibers(cursor, ret_views, room, now);
    if (count == 0)
        count = walk_threads(cursor, ret_views, room, now);
    wfi_tsan_checks_on();
    return count;
}

size_t wfi_registry_workers(struct wfi_registry_cursor *cursor, struct wfi_worker_view *ret_views,
                            size_t room)
{
    size_t count = 0;
    if (cursor->stage == END)
        return 0;
    if (!wfi_lock_soon(&lock)) {
        cursor->stage = END;
        return 0;
    }
    struct wfi_runtime *runtime = runtime_at(cursor);
    bool more = runtime != NULL;
    while (more && count < room) {
        if (cursor->index < (uintptr_t)runtime->worker_count) {
            struct wfi_worker_view *view = &ret_views[count++];
            view->index = (int)cursor->index++;
            memcpy(view->runtime, runtime->name, sizeof view->runtime);
            wfi_runtime_stats(runtime, view->index, &view->stats);
        } else if ((more = next_runtime(cursor, runtime))) {
            runtime = runtime->newer;
        }
    }
    wfi_lock_unlock(&lock);
    if (!more)
        cursor->stage = END;
    return count;
}

enum { PIECE = 16 };

void wfi_registry_each(void (*fn)(const struct wfi_party_view *party, void *arg), void *arg)
{
    struct wfi_registry_cursor cursor = {0};
    struct wfi_party_view views[PIECE];
    size_t count;
    while ((count = wfi_registry_parties(&cursor, views, PIECE)) > 0)
        for (size_t i = 0; i < count; i++)
            fn(&views[i], arg);
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
    if (party->runtime[0])
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

static void print_worker(const struct wfi_worker_view *view, struct output *output)
{
    const struct wfi_worker_stats *stats = &view->stats;
    char text[256];
    snprintf(text, sizeof text,
             "worker %.15s_%d %s: %llu jobs, %llu fibers live, %llu switches, %llu steals, "
             "%llu remote wakes, %llu timers, %llu polls, %llu sleeps",
             view->runtime, view->index, stats->asleep ? "asleep" : "awake",
             (unsigned long long)stats->jobs, (unsigned long long)stats->fibers_live,
             (unsigned long long)stats->switches, (unsigned long long)stats->steals,
             (unsigned long long)stats->remote_wakes, (unsigned long long)stats->timers,
             (unsigned long long)stats->polls, (unsigned long long)stats->sleeps);
    output->line(output->arg, text);
}

void wfi_dump(wfi_dump_line *line, void *arg)
{
    struct output output = {line, arg};
    struct wfi_registry_cursor cursor = {0};
    struct wfi_worker_view workers[PIECE];
    size_t found;
    while ((found = wfi_registry_workers(&cursor, workers, PIECE)) > 0)
        for (size_t i = 0; i < found; i++)
            print_worker(&workers[i], &output);
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
