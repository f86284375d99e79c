/* SPDX-License-Identifier: MIT */
/* What a pool shows: its workers one by one, and its part of a dump. */
#include "proc/pool.h"

#include <errno.h>
#include <stdio.h>

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

static bool try_soon(struct wfi_lock *lock)
{
    for (int i = 0; i < 10000; i++) {
        if (wfi_lock_try(lock))
            return true;
        wfi_thread_yield();
    }
    return false;
}

static void dump_pool(struct wfi_pool *pool, wfi_dump_line *line, void *arg)
{
    static const char *const states[] = {"starting", "idle", "running", "waiting", "ending"};
    char text[256];
    if (!try_soon(&pool->lock))
        return;
    snprintf(text, sizeof text, "processes %s: %zu tasks queued%s%s", pool->base.name,
             pool->queued + pool->agains, pool->closed ? ", closed" : "",
             pool->broken ? ", broken" : "");
    line(arg, text);
    for (unsigned i = 0; i < pool->places; i++) {
        struct wf_worker_info info;
        if (!wfi_pool_has_process(pool->workers[i]))
            continue;
        view(pool->workers[i], &info, wf_now());
        info.resident_bytes = wfi_resident_bytes(info.pid);
        snprintf(text, sizeof text,
                 "process %s_%u %d %s%s%s %.3f s, %zu KiB, %llu tasks, %u restarts",
                 pool->base.name, i, info.pid, states[info.state], info.task[0] ? " task " : "",
                 info.task, (double)info.age_ns / 1e9, info.resident_bytes / 1024,
                 (unsigned long long)info.tasks, info.restarts);
        line(arg, text);
    }
    wfi_lock_unlock(&pool->lock);
}

static void dump_pools(wfi_dump_line *line, void *arg)
{
    if (!try_soon(&pools.lock))
        return;
    struct wfi_link *link = wfi_list_first(&pools.list);
    for (; link; link = wfi_list_next(&pools.list, link))
        dump_pool(wfi_container_of(link, struct wfi_pool, link), line, arg);
    wfi_lock_unlock(&pools.lock);
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
