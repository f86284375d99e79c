/* SPDX-License-Identifier: MIT */
/*
 * What runs, for whoever asks: the walks of weft/inspect.h over the registry's lists, with what
 * exec knows of tasks added. No task is stopped: what is read of a block counts if the block was in
 * the same state afterwards; each word is true of some moment.
 */
#include <weft/inspect.h>
#include <weft/main.h>

#include <stdio.h>
#include <string.h>

#include "exec/executor.h"
#include "exec/inspect.h"
#include "os/sanitizer.h"
#include "sched/offload.h"
#include "sched/registry.h"

/* Returns false when the block holds no task that is pending or running, or not any more. */
static bool view_task(const struct wf_future *block, struct wf_seen_task *ret_task)
{
    struct wf_future *f = (struct wf_future *)(uintptr_t)block;
    uint32_t word = wfi_load_acquire(&f->state), state = word & WFI_FUTURE_STATE;
    if (state != WF_FUTURE_PENDING && state != WF_FUTURE_RUNNING)
        return false;
    uint32_t now_ms = (uint32_t)(wf_now() / 1000000);
    uint32_t age_ms = now_ms - wfi_load_relaxed(&f->born_or_code);
    const struct wf_task_type *type = wfi_load_relaxed(&f->type);
    *ret_task = (struct wf_seen_task){
        .id = (uint64_t)(uintptr_t)f,
        .state = (enum wf_future_state)state,
        .asked = word & WFI_FUTURE_ASKED,
        /* Of two clocks: it may come out a little below 0. */
        .age_ns = age_ms < UINT32_MAX - 1000 ? WF_MILLISECONDS((int64_t)age_ms) : 0,
    };
    wfi_future_peek_name(f, ret_task->own_name, sizeof ret_task->own_name);
    wfi_executor_peek(f, ret_task->executor, sizeof ret_task->executor, &ret_task->engine);
    if (!type || (wfi_load(&f->state) & WFI_FUTURE_STATE) != state)
        return false;
    ret_task->name = type->name;
    return true;
}

size_t wf_inspect_tasks(struct wf_inspect_cursor *cursor, struct wf_seen_task *ret_tasks,
                        size_t room)
{
    struct wfi_future_cursor at = {(void *)cursor->words[0], cursor->words[1]};
    const struct wf_future *f;
    size_t count = 0;
    while (count < room && (f = wfi_future_next(&at)))
        count += view_task(f, &ret_tasks[count]);
    cursor->words[0] = (uintptr_t)at.slab;
    cursor->words[1] = at.index;
    return count;
}

static void view_party(const struct wfi_party_view *party, struct wf_seen_party *ret_party)
{
    *ret_party = (struct wf_seen_party){
        .kind = party->worker >= 0 ? WF_PARTY_FIBER : WF_PARTY_THREAD,
        .state = party->reason                        ? WF_PARTY_WAITING
                 : strcmp(party->state, "ready") == 0 ? WF_PARTY_READY
                                                      : WF_PARTY_RUNNING,
        .worker = party->worker,
        .id = party->id,
        .reason = party->reason,
        .object = (uintptr_t)party->object,
        .waits_ns = party->age_ns,
    };
    memcpy(ret_party->runtime, party->runtime, sizeof ret_party->runtime);
    memcpy(ret_party->name, party->name, sizeof ret_party->name);
    if (party->block && view_task(party->block, &ret_party->task))
        return;
    ret_party->task = (struct wf_seen_task){0};
}

enum { PIECE = 32 };

_Static_assert(sizeof(struct wfi_registry_cursor) == sizeof(struct wf_inspect_cursor),
               "a walk of the registry fits in the public cursor");

size_t wf_inspect_parties(struct wf_inspect_cursor *cursor, struct wf_seen_party *ret_parties,
                          size_t room)
{
    struct wfi_registry_cursor at;
    struct wfi_party_view views[PIECE];
    memcpy(&at, cursor, sizeof at);
    size_t count = wfi_registry_parties(&at, views, room < PIECE ? room : PIECE);
    for (size_t i = 0; i < count; i++)
        view_party(&views[i], &ret_parties[i]);
    memcpy(cursor, &at, sizeof at);
    return count;
}

size_t wf_inspect_workers(struct wf_inspect_cursor *cursor, struct wf_seen_worker *ret_workers,
                          size_t room)
{
    struct wfi_registry_cursor at;
    struct wfi_worker_view views[PIECE];
    memcpy(&at, cursor, sizeof at);
    size_t count = wfi_registry_workers(&at, views, room < PIECE ? room : PIECE);
    for (size_t i = 0; i < count; i++) {
        const struct wfi_worker_stats *stats = &views[i].stats;
        struct wf_seen_worker *seen = &ret_workers[i];
        *seen = (struct wf_seen_worker){
            .index = views[i].index,
            .asleep = stats->asleep,
            .fibers = stats->fibers_live,
            .queued = stats->queued,
            .shared = stats->shared,
            .jobs = stats->jobs,
            .switches = stats->switches,
            .steals = stats->steals,
            .injected = stats->injected,
            .wakes = stats->remote_wakes,
            .timers = stats->timers,
            .polls = stats->polls,
            .sleeps = stats->sleeps,
        };
        memcpy(seen->runtime, views[i].runtime, sizeof seen->runtime);
    }
    memcpy(cursor, &at, sizeof at);
    return count;
}

size_t wf_inspect_executors(struct wf_inspect_cursor *cursor,
                            struct wf_seen_executor *ret_executors, size_t room)
{
    uint64_t number = cursor->words[0];
    size_t count = wfi_executor_next(&number, ret_executors, room);
    cursor->words[0] = (uintptr_t)number;
    return count;
}

size_t wf_inspect_offload(struct wf_inspect_cursor *cursor, struct wf_seen_offload *ret_classes,
                          size_t room)
{
    size_t count = 0;
    for (; cursor->words[0] < WFI_OFFLOAD_CLASSES && count < room; cursor->words[0]++) {
        struct wfi_offload_stats stats;
        wfi_offload_peek((enum wfi_offload_class)cursor->words[0], &stats);
        ret_classes[count++] = (struct wf_seen_offload){
            .name = stats.name,
            .most = (unsigned)stats.cap,
            .threads = (unsigned)stats.threads,
            .idle = (unsigned)stats.idle,
            .queued = (uint64_t)stats.queued,
            .calls = stats.calls,
            .slow = stats.slow_starts,
        };
    }
    return count;
}

/* The dump */

static void dump_tasks(wfi_dump_line *line, void *arg)
{
    struct wf_inspect_cursor cursor = {0};
    struct wf_seen_task task;
    char text[192];
    while (wf_inspect_tasks(&cursor, &task, 1) > 0) {
        bool named = task.own_name[0] && strcmp(task.own_name, task.name) != 0;
        snprintf(text, sizeof text, "task %s%s%s%s %s %.3f s on %s%s", task.name, named ? " (" : "",
                 named ? task.own_name : "", named ? ")" : "",
                 task.state == WF_FUTURE_PENDING ? "pending" : "running", (double)task.age_ns / 1e9,
                 task.executor[0] ? task.executor : "no executor",
                 task.asked ? ", asked to stop" : "");
        line(arg, text);
    }
}

void wfi_inspect_dumps(void)
{
    static WFI_ATOMIC(uint32_t) hooked;
    if (wfi_fetch_or(&hooked, 1u) == 0)
        wfi_dump_hook(dump_tasks);
}

void wf_dump(void (*line)(void *arg, const char *text), void *arg)
{
    wfi_inspect_dumps();
    wfi_dump(line, arg);
}
