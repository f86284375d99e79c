/* SPDX-License-Identifier: MIT */
/* What a pool shows: its workers one by one, and its part of a dump. */
#include "proc/pool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "os/resident.h"
#include "sched/registry.h"

/* All pools, for dumps. */
static struct {
    struct wfi_lock lock;
    struct wfi_list list;
} pools;

static void view(struct wfi_pool_worker *worker, struct wf_worker_info *info, int64_t now)
{
    *info = (struct wf_worker_info){
        .pid = worker->pid, .tasks = worker->finished, .restarts = worker->restarts};
    bool running = wfi_pool_running(worker);
    info->state = worker->state == WFI_PLACE_STOPPING                   ? WF_WORKER_ENDING
                  : wfi_load(&worker->ring->ready) == WFI_WORKER_COMING ? WF_WORKER_STARTING
                  : worker->nested                                      ? WF_WORKER_WAITING
                  : running                                             ? WF_WORKER_RUNNING
                                                                        : WF_WORKER_IDLE;
    struct wfi_item *item = worker->items[worker->consumed % WFI_RING_SLOTS];
    if (!running || !item)
        return;
    const char *name =
        item->f && !item->parcel.chunk ? wf_future_name(item->f) : item->parcel.type->name;
    snprintf(info->task, sizeof info->task, "%s", name);
    int64_t began = wfi_load_relaxed(&wfi_ring_slot(worker->ring, worker->consumed)->started_ns);
    info->age_ns = began > 0 && began < now ? now - began : 0;
}

bool wfi_pool_has_process(const struct wfi_pool_worker *worker)
{
    return worker->ring && (worker->state == WFI_PLACE_LIVE || worker->state == WFI_PLACE_STOPPING);
}

int wf_processes_each(struct wf_executor *on,
                      void (*fn)(const struct wf_worker_info *worker, void *arg), void *arg)
{
    if (!wfi_pool_is_one(on))
        return -EINVAL;
    struct wfi_pool *pool = wfi_pool_of(on);
    wfi_lock_lock(&pool->lock);
    unsigned room = pool->places;
    wfi_lock_unlock(&pool->lock);
    struct wf_worker_info *infos = wfi_zalloc((room + 1) * sizeof *infos);
    if (!infos)
        return -ENOMEM;
    int found = 0;
    int64_t now = wf_now();
    wfi_lock_lock(&pool->lock);
    for (unsigned i = 0; i < room; i++)
        if (wfi_pool_has_process(pool->workers[i]))
            view(pool->workers[i], &infos[found++], now);
    wfi_lock_unlock(&pool->lock);
    for (int i = 0; i < found; i++) {
        infos[i].resident_bytes = wfi_resident_bytes(infos[i].pid);
        fn(&infos[i], arg);
    }
    wfi_free(infos);
    return found;
}

int wf_processes_task_pid(const struct wf_future *f)
{
    int pid = 0;
    if (wf_future_state(f) != WF_FUTURE_RUNNING || !f->on || !wfi_pool_is_one(f->on))
        return 0;
    struct wfi_pool *pool = wfi_pool_of(f->on);
    wfi_lock_lock(&pool->lock);
    for (unsigned i = 0; i < pool->places && !pid; i++) {
        const struct wfi_pool_worker *worker = pool->workers[i];
        const struct wfi_item *item = worker->items[worker->consumed % WFI_RING_SLOTS];
        if (wfi_pool_has_process(worker) && wfi_pool_running(worker) && item && item->f == f)
            pid = worker->pid;
    }
    wfi_lock_unlock(&pool->lock);
    return pid;
}

/* Without the lock, like all of its kind: places stay until the pool is gone. */
void wfi_pool_look(const struct wf_executor *base, struct wf_seen_executor *ret_seen)
{
    const struct wfi_pool *pool = wfi_pool_of(base);
    ret_seen->workers = pool->max;
    ret_seen->queued = pool->queued + pool->agains;
    for (unsigned i = 0; i < pool->places; i++) {
        const struct wfi_pool_worker *worker = pool->workers[i];
        if (!worker)
            continue; /* a new one, not in sight yet */
        unsigned outstanding = worker->outstanding;
        ret_seen->alive += worker->state == WFI_PLACE_LIVE || worker->state == WFI_PLACE_STOPPING;
        ret_seen->running += outstanding > 0;
        ret_seen->queued += outstanding > 0 ? outstanding - 1 : 0; /* sent ahead of time */
    }
    ret_seen->ended = pool->finished;
    ret_seen->shut = pool->closed || pool->broken;
}

/* Under the lock of all pools: the workers of one, from the place on that the cursor is at. */
static size_t walk_pool(struct wfi_pool *pool, struct wf_inspect_cursor *cursor,
                        struct wf_seen_process *processes, size_t room)
{
    size_t count = 0;
    unsigned place = (unsigned)cursor->words[1];
    if (!wfi_lock_soon(&pool->lock))
        return 0;
    for (; place < pool->places && count < room; place++) {
        if (!wfi_pool_has_process(pool->workers[place]))
            continue;
        struct wf_seen_process *seen = &processes[count++];
        view(pool->workers[place], &seen->info, wf_now());
        snprintf(seen->executor, sizeof seen->executor, "%s", pool->base.name);
        seen->place = place;
    }
    wfi_lock_unlock(&pool->lock);
    cursor->words[1] = place;
    return count;
}

/* words: the number of the executor, and the place in it. */
size_t wf_inspect_processes(struct wf_inspect_cursor *cursor, struct wf_seen_process *ret_processes,
                            size_t room)
{
    size_t count = 0;
    if (!room || !wfi_lock_soon(&pools.lock))
        return 0;
    struct wfi_link *link = wfi_list_first(&pools.list);
    for (; link && count < room; link = wfi_list_next(&pools.list, link)) {
        struct wfi_pool *pool = wfi_container_of(link, struct wfi_pool, link);
        if (pool->base.number < cursor->words[0])
            continue;
        if (pool->base.number > cursor->words[0])
            *cursor = (struct wf_inspect_cursor){{(uintptr_t)pool->base.number}};
        count += walk_pool(pool, cursor, ret_processes + count, room - count);
    }
    wfi_lock_unlock(&pools.lock);
    for (size_t i = 0; i < count; i++)
        ret_processes[i].info.resident_bytes = wfi_resident_bytes(ret_processes[i].info.pid);
    return count;
}

static void dump_pools(wfi_dump_line *line, void *arg)
{
    static const char *const states[] = {"starting", "idle", "running", "waiting", "ending"};
    struct wf_inspect_cursor cursor = {0};
    struct wf_seen_executor pool;
    struct wf_seen_process seen;
    char text[256];
    while (wf_inspect_executors(&cursor, &pool, 1) > 0) {
        if (strcmp(pool.engine, "processes") != 0)
            continue;
        snprintf(text, sizeof text, "processes %s: %llu tasks queued%s", pool.name,
                 (unsigned long long)pool.queued, pool.shut ? ", closed or broken" : "");
        line(arg, text);
    }
    cursor = (struct wf_inspect_cursor){0};
    while (wf_inspect_processes(&cursor, &seen, 1) > 0) {
        const struct wf_worker_info *info = &seen.info;
        snprintf(text, sizeof text,
                 "process %s_%u %d %s%s%s %.3f s, %zu KiB, %llu tasks, %u restarts", seen.executor,
                 seen.place, info->pid, states[info->state], info->task[0] ? " task " : "",
                 info->task, (double)info->age_ns / 1e9, info->resident_bytes / 1024,
                 (unsigned long long)info->tasks, info->restarts);
        line(arg, text);
    }
}

void wfi_pool_show(struct wfi_pool *pool)
{
    static WFI_ATOMIC(uint32_t) hooked;
    if (wfi_fetch_or(&hooked, 1u) == 0)
        wfi_dump_hook(dump_pools);
    wfi_lock_lock(&pools.lock);
    wfi_list_push_back(&pools.list, &pool->link);
    wfi_lock_unlock(&pools.lock);
}

void wfi_pool_hide(struct wfi_pool *pool)
{
    wfi_lock_lock(&pools.lock);
    wfi_list_remove(&pool->link);
    wfi_lock_unlock(&pools.lock);
}
