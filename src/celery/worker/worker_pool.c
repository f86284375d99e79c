/* SPDX-License-Identifier: MIT */
/*
 * Where tasks run, and how many at a time. The number is that of slots, so that it can change while
 * the worker runs: a slot that is to go is taken at once if it is free, else it is owed, and who
 * gives one up gives it to nobody. Messages that may be held are counted in the same way.
 *
 * Threads, or processes, of the worker's own have a bound that cannot change. When it is too low,
 * others take over, and those stay until the worker ends, for what runs on them; idle, they have no
 * threads.
 */
#include "celery/worker/worker_pool.h"

#include <errno.h>
#include <string.h>

#include <weft/fibers.h>
#include <weft/processes.h>
#include <weft/threads.h>

#include "celery/worker/states.h"

/* More threads or fibers at a time than this are a mistake. */
#define SLOTS_MAX 100000

/* An executor of the worker's own. In processes nothing is killed for being asked to stop, and
 * however many die is the tasks' affair. */
static int open_executor(const struct wf_celery_worker_options *options, uint64_t workers,
                         struct wf_executor **ret_on, struct wf_error *reterr)
{
    switch (options->engine) {
    case WF_CELERY_THREADS:
        return wf_threads_create(
            &(struct wf_threads_options){.workers = (int)workers, .name = "celery"}, ret_on,
            reterr);
    case WF_CELERY_FIBERS:
        return wf_fibers_create(&(struct wf_fibers_options){.name = "celery"}, ret_on, reterr);
    case WF_CELERY_PROCESSES:
        return wf_processes_create(
            &(struct wf_processes_options){.workers = (int)workers,
                                           .name = "celery",
                                           .tasks_max = options->tasks_per_child_max,
                                           .memory_max_bytes = options->child_memory_max_bytes,
                                           .restarts_max = -1,
                                           .grace_ns = -1},
            ret_on, reterr);
    }
    return wf_error_set(reterr, -EINVAL, "there is no such engine");
}

static bool is_on(struct wf_executor *pool, const char *engine)
{
    return strcmp(wf_executor_engine(pool), engine) == 0;
}

static uint64_t prefetch_for(const struct wfi_worker *worker, uint64_t slots)
{
    const uint64_t each =
        worker->options->prefetch_multiplier ? (uint64_t)worker->options->prefetch_multiplier : 4;
    return slots * each;
}

int wfi_worker_open_pool(struct wfi_worker *worker, struct wf_executor *on, struct wf_error *reterr)
{
    const struct wf_celery_worker_options *options = worker->options;
    struct wf_executor *pool = options->pool;
    int err = 0;
    worker->concurrency = options->concurrency ? (uint64_t)options->concurrency
                          : pool               ? wf_executor_workers(pool)
                                               : wf_executor_workers(on);
    worker->prefetch_max = worker->prefetch_min = prefetch_for(worker, worker->concurrency);
    worker->own_pool = !pool;
    worker->workers_max = worker->concurrency;
    if (!pool)
        err = open_executor(options, worker->workers_max, &pool, reterr);
    wfi_store(&worker->pool, pool);
    if (!err && is_on(pool, "processes"))
        err = wfi_states_create(on, &worker->states, reterr);
    if (!err)
        err = wf_semaphore_init(&worker->prefetch, worker->prefetch_max, 0);
    if (!err)
        err = wf_semaphore_init(&worker->slots, worker->concurrency, 0);
    return err;
}

void wfi_worker_close_pool(struct wfi_worker *worker)
{
    for (size_t i = 0; i < worker->retired_count; i++)
        wf_executor_destroy(worker->retired[i]);
    if (worker->own_pool)
        wf_executor_destroy(wfi_load(&worker->pool));
    wfi_states_destroy(worker->states);
}

struct pids {
    int64_t *pids;
    size_t room, count;
};

static void see_process(const struct wf_worker_info *info, void *arg)
{
    struct pids *pids = arg;
    if (info->state != WF_WORKER_ENDING && pids->count < pids->room)
        pids->pids[pids->count++] = info->pid;
}

size_t wfi_worker_processes(struct wfi_worker *worker, int64_t *ret_pids, size_t room)
{
    struct pids pids = {.pids = ret_pids, .room = room};
    (void)wf_processes_each(wfi_load(&worker->pool), see_process, &pids);
    return pids.count;
}

/* ---- permits that come and go ---- */

/* Under the lock. */
static void add_permits(struct wf_semaphore *s, wfi_owed *owed, uint64_t n)
{
    const uint64_t settled = wfi_load(owed) < n ? wfi_load(owed) : n;
    (void)wfi_fetch_sub(owed, settled);
    if (n > settled)
        (void)wf_semaphore_release(s, n - settled);
}

/* Under the lock. */
static void take_permits(struct wf_semaphore *s, wfi_owed *owed, uint64_t n)
{
    while (n > 0 && wf_semaphore_try_acquire(s, 1) == 0)
        n--;
    (void)wfi_fetch_add(owed, n);
}

void wfi_worker_give_up(struct wfi_worker *worker, struct wf_semaphore *s, wfi_owed *owed)
{
    bool settles = false;
    if (wfi_load(owed) > 0) {
        wfi_worker_lock(worker);
        settles = wfi_load(owed) > 0;
        if (settles)
            (void)wfi_fetch_sub(owed, 1);
        wfi_worker_unlock(worker);
    }
    if (!settles)
        (void)wf_semaphore_release(s, 1);
}

/* Under the lock. Never below what there was in the beginning, as Celery's: consume needs that. */
static void set_prefetch(struct wfi_worker *worker)
{
    uint64_t max = prefetch_for(worker, worker->concurrency);
    max = max > worker->prefetch_min ? max : worker->prefetch_min;
    if (max > worker->prefetch_max)
        add_permits(&worker->prefetch, &worker->prefetch_owed, max - worker->prefetch_max);
    else
        take_permits(&worker->prefetch, &worker->prefetch_owed, worker->prefetch_max - max);
    worker->prefetch_max = max;
}

/* ---- growing and shrinking ---- */

/* Room for so many tasks at a time. Under the lock. */
static int make_room(struct wfi_worker *worker, uint64_t slots, struct wf_error *reterr)
{
    struct wf_executor *pool = wfi_load(&worker->pool), *larger;
    const uint64_t max =
        worker->own_pool ? worker->workers_max : (uint64_t)wf_executor_workers(pool);
    if (slots > SLOTS_MAX)
        return wf_error_set(reterr, -ERANGE, "more than %d slots", SLOTS_MAX);
    if (slots <= max || is_on(pool, "fibers"))
        return 0;
    if (!worker->own_pool)
        return wf_error_set(reterr, -ENOTSUP, "the pool has %llu workers and cannot grow",
                            (unsigned long long)max);
    if (worker->retired_count == WFI_RETIRED_MAX)
        return wf_error_set(reterr, -ENOTSUP, "the pool has grown too often");
    const uint64_t room = slots > 2 * max ? slots : 2 * max;
    int err = open_executor(worker->options, room, &larger, reterr);
    if (err)
        return err;
    worker->retired[worker->retired_count++] = pool;
    worker->workers_max = room;
    wfi_store(&worker->pool, larger);
    return 0;
}

int wfi_worker_grow(struct wfi_worker *worker, uint64_t n, struct wf_error *reterr)
{
    wfi_worker_lock(worker);
    int err = make_room(worker, worker->concurrency + n, reterr);
    if (!err) {
        worker->concurrency += n;
        add_permits(&worker->slots, &worker->slots_owed, n);
        set_prefetch(worker);
    }
    const uint64_t prefetch = worker->prefetch_max;
    wfi_worker_unlock(worker);
    if (!err)
        wfi_broker_set_prefetch(worker->broker, prefetch);
    return err;
}

int wfi_worker_shrink(struct wfi_worker *worker, uint64_t n)
{
    wfi_worker_lock(worker);
    const int err = n < worker->concurrency ? 0 : -ERANGE;
    if (!err) {
        worker->concurrency -= n;
        take_permits(&worker->slots, &worker->slots_owed, n);
        set_prefetch(worker);
    }
    const uint64_t prefetch = worker->prefetch_max;
    wfi_worker_unlock(worker);
    if (!err)
        wfi_broker_set_prefetch(worker->broker, prefetch);
    return err;
}
