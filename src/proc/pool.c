/* SPDX-License-Identifier: MIT */
/*
 * The processes engine as an executor: submitting, cancelling, shutting, and making a pool. A task
 * is packed when it is submitted (parcel.h) and queued; how it goes on is in pool_dispatch.c.
 */
#include "proc/pool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "exec/scope.h"
#include "os/cpu.h"
#include "os/fork.h"
#include "os/sanitizer.h"
#include "proc/pool_worker.h"

enum {
    RESTARTS_PER_WORKER = 10,
    RESTARTS_WITHIN_S = 10,
    GRACE_S = 2,
};

/* Submitting */

static int refusal(const struct wfi_pool *pool, struct wf_error *reterr)
{
    if (pool->broken) {
        *reterr = *pool->broken;
        return WF_EBROKEN;
    }
    if (pool->closed)
        return wf_error_set(reterr, -EPIPE, "executor %s is shut down", pool->base.name);
    return 0;
}

/* Under the lock, which is given up meanwhile: waits for room. Returns 0 with the task counted. */
static int wait_for_room(struct wfi_pool *pool, struct wf_error *reterr)
{
    int err = -EAGAIN;
    struct wfi_wait_node node = {.amount = 0};
    if (pool->options.submit_wait_ns) {
        wf_deadline deadline = wf_after(pool->options.submit_wait_ns);
        err = wfi_wait(&pool->submitters, &pool->lock, &node, "submit", pool, deadline);
        wfi_lock_lock(&pool->lock);
    }
    if (node.amount) {
        err = refusal(pool, reterr);
        if (err)
            wfi_pool_unqueued(pool);
        return err;
    }
    if (err == 0)
        return refusal(pool, reterr);
    if (err == -ECANCELED)
        return wf_error_set(reterr, err, "cancelled while the queue of executor %s was full",
                            pool->base.name);
    return wf_error_set(reterr, -EAGAIN, "the queue of executor %s is full", pool->base.name);
}

static int64_t deadline_of(struct wf_future *f)
{
    int64_t earliest = INT64_MAX;
    if (!(wfi_load_relaxed(&f->state) & WFI_FUTURE_SCOPED))
        return earliest;
    for (struct wfi_cancel *level = wfi_scope_level(f->scoped.scope); level;
         level = level->parent) {
        int64_t ns = wfi_load_relaxed(&level->deadline_ns);
        if (ns < earliest)
            earliest = ns;
        if (level->shield)
            break;
    }
    return earliest;
}

static int64_t kill_time(const struct wfi_pool *pool, int64_t from_ns)
{
    if (from_ns == INT64_MAX || pool->grace_ns < 0 || from_ns > INT64_MAX - pool->grace_ns)
        return INT64_MAX;
    return from_ns + pool->grace_ns;
}

/* Marks a PENDING future as queued; false when it was cancelled meanwhile. */
static bool count(struct wf_future *f)
{
    uint32_t word = wfi_load_relaxed(&f->state);
    while (wfi_future_state(word) == WF_FUTURE_PENDING)
        if (wfi_cas(&f->state, &word, word | WFI_FUTURE_COUNTED))
            return true;
    return false;
}

static int submit(struct wf_executor *base, struct wf_future *f,
                  const struct wf_submit_options *options, struct wf_error *reterr)
{
    struct wfi_pool *pool = wfi_pool_of(base);
    if (wfi_forked())
        return wf_error_set(reterr, WF_EFORKED, NULL); /* its workers are the parent's */
    struct wfi_item *item = wfi_zalloc(sizeof *item);
    if (!item)
        return wf_error_set(reterr, -ENOMEM, NULL);
    item->f = f;
    item->priority = options->priority;
    item->retries = options->retries_on_death;
    item->answer.fd = -1;
    int err = 0;
    bool wanted = wfi_future_hold(f);
    if (wanted) {
        err = wfi_parcel_pack(&item->parcel, f, reterr);
        /* Now: while it is held, the task does not end, and so its scope is there. */
        item->deadline_ns = deadline_of(f);
        wanted = wfi_future_release_hold(f);
    }
    if (err || !wanted) {
        if (!err)
            wfi_parcel_fini(&item->parcel);
        wfi_free(item);
        if (wanted)
            return err;
        wfi_future_release(f, WFI_FUTURE_ENGINE);
        return 0;
    }
    item->kill_ns = kill_time(pool, item->deadline_ns);
    wfi_lock_lock(&pool->lock);
    err = refusal(pool, reterr);
    if (!err) {
        if (wfi_pool_is_full(pool))
            err = wait_for_room(pool, reterr);
        else
            pool->queued++;
    }
    if (err) {
        wfi_lock_unlock(&pool->lock);
        wfi_item_free(item);
        return err;
    }
    if (!count(f)) {
        wfi_pool_unqueued(pool);
        wfi_lock_unlock(&pool->lock);
        wfi_item_bury(item);
        return 0;
    }
    wfi_pool_enqueue(pool, item);
    wfi_pool_dispatch(pool);
    wfi_pool_unlock(pool);
    return 0;
}

/* Cancelling */

/* The list that holds the future's item, or the item of the origin's task. */
static bool matches(const struct wfi_item *item, const struct wf_future *f,
                    const struct wfi_pool_worker *origin, uint64_t id)
{
    if (!item)
        return false;
    if (f)
        return item->f == f;
    return !item->f && item->origin == origin->index && item->origin_serial == origin->serial &&
           (!id || item->origin_id == id);
}

static struct wfi_item *find_in(struct wfi_items *items, const struct wf_future *f,
                                const struct wfi_pool_worker *origin, uint64_t id)
{
    struct wfi_item *item = items->first;
    while (item && !matches(item, f, origin, id))
        item = item->next;
    return item;
}

static void ask(struct wfi_pool_worker *worker, uint32_t number, struct wfi_item *item)
{
    if (item->asked)
        return;
    item->asked = true;
    int64_t kill_ns = kill_time(worker->pool, wf_now());
    if (kill_ns < item->kill_ns)
        item->kill_ns = kill_ns;
    struct wfi_control head = {.kind = WFI_CONTROL_CANCEL, .number = number};
    wfi_keeper_send(worker, &head, NULL, -1);
    wfi_keeper_prod(worker->pool);
}

/* Takes an assigned task back, or asks it. */
static enum wf_cancel_result cancel_assigned(struct wfi_pool_worker *worker, uint32_t number)
{
    struct wfi_item **at = &worker->items[number % WFI_RING_SLOTS], *item = *at;
    if (!worker->ring || !wfi_ring_revoke(wfi_ring_slot(worker->ring, number))) {
        ask(worker, number, item);
        return WF_CANCEL_ASKED;
    }
    *at = NULL;
    worker->outstanding--;
    worker->given--;
    if (item->f)
        wfi_future_settle(item->f, WF_FUTURE_CANCELED, 0, NULL);
    wfi_pool_drop(worker->pool, item);
    wfi_keeper_prod(worker->pool);
    return WF_CANCEL_REMOVED;
}

static enum wf_cancel_result cancel_item(struct wfi_pool *pool, struct wf_future *f,
                                         const struct wfi_pool_worker *origin, uint64_t id)
{
    struct wfi_item *item = find_in(&pool->again, f, origin, id);
    if (item) {
        wfi_items_remove(&pool->again, item);
        pool->agains--;
        if (f)
            wfi_future_settle(f, WF_FUTURE_CANCELED, 0, NULL);
        wfi_pool_drop(pool, item);
        wfi_keeper_prod(pool);
        return WF_CANCEL_REMOVED;
    }
    for (int i = 0; !f && i < WFI_POOL_PRIORITIES; i++) {
        item = find_in(&pool->queues[i], f, origin, id);
        if (!item)
            continue;
        wfi_items_remove(&pool->queues[i], item);
        pool->entries--;
        wfi_pool_drop(pool, item);
        wfi_keeper_prod(pool);
        return WF_CANCEL_REMOVED;
    }
    for (unsigned i = 0; i < pool->places; i++) {
        struct wfi_pool_worker *worker = pool->workers[i];
        for (uint32_t number = worker->consumed; number != worker->tail; number++)
            if (matches(worker->items[number % WFI_RING_SLOTS], f, origin, id))
                return cancel_assigned(worker, number);
    }
    return WF_CANCEL_TOO_LATE;
}

static enum wf_cancel_result cancel(struct wf_executor *base, struct wf_future *f)
{
    struct wfi_pool *pool = wfi_pool_of(base);
    wfi_lock_lock(&pool->lock);
    enum wf_cancel_result result = cancel_item(pool, f, NULL, 0);
    wfi_lock_unlock(&pool->lock); /* what has ended, the keeper finishes */
    return result == WF_CANCEL_TOO_LATE ? WF_CANCEL_ASKED : result;
}

void wfi_pool_withdraw(struct wfi_pool *pool, struct wfi_pool_worker *origin, uint64_t id)
{
    cancel_item(pool, NULL, origin, id);
}

void wfi_pool_withdraw_all(struct wfi_pool *pool, struct wfi_pool_worker *origin)
{
    while (cancel_item(pool, NULL, origin, 0) == WF_CANCEL_REMOVED)
        ;
    for (unsigned i = 0; i < pool->places; i++) {
        struct wfi_pool_worker *worker = pool->workers[i];
        for (uint32_t number = worker->consumed; number != worker->tail; number++) {
            if (matches(worker->items[number % WFI_RING_SLOTS], NULL, origin, 0))
                cancel_assigned(worker, number);
        }
    }
}

/* The end */

void wfi_pool_break(struct wfi_pool *pool, const char *text)
{
    if (!pool->broken) {
        wf_error_set(&pool->broken_error, WF_EBROKEN, "executor %s: %s", pool->base.name, text);
        pool->broken = &pool->broken_error;
    }
    wfi_pool_fail_queued(pool, pool->broken);
    struct wfi_wake_list wake = {NULL, NULL};
    wfi_wake_list_claim_all(&wake, &pool->submitters);
    wfi_wake_all(&wake);
}

/* Cancels what has not begun. */
static void cancel_all(struct wfi_pool *pool)
{
    struct wfi_item *item;
    for (unsigned i = 0; i < pool->places; i++)
        if (pool->workers[i]->ring)
            wfi_pool_take_back(pool->workers[i]);
    while ((item = wfi_items_pop(&pool->again))) {
        pool->agains--;
        if (item->f)
            wfi_future_settle(item->f, WF_FUTURE_CANCELED, 0, NULL);
        wfi_pool_drop(pool, item);
    }
    while ((item = wfi_pool_pop(pool))) {
        if (item->f && !wfi_pool_take(pool, item->f)) {
            wfi_pool_drop_tombstone(pool, item);
            continue;
        }
        if (item->f)
            wfi_future_settle(item->f, WF_FUTURE_CANCELED, 0, NULL);
        wfi_pool_drop(pool, item);
    }
}

bool wfi_pool_is_over(const struct wfi_pool *pool)
{
    if (wfi_pool_has_items(pool) || pool->ended.first || pool->finishing || pool->attending)
        return false;
    for (unsigned i = 0; i < pool->places; i++)
        if (pool->workers[i]->state != WFI_PLACE_EMPTY)
            return false;
    return true;
}

static int shut_down(struct wf_executor *base, enum wf_shutdown mode, wf_deadline deadline)
{
    struct wfi_pool *pool = wfi_pool_of(base);
    struct wfi_wake_list wake = {NULL, NULL};
    wfi_lock_lock(&pool->lock);
    pool->closed = true;
    wfi_wake_list_claim_all(&wake, &pool->submitters);
    if (mode == WF_SHUTDOWN_CANCEL)
        cancel_all(pool);
    wfi_keeper_prod(pool);
    wfi_pool_unlock(pool);
    wfi_wake_all(&wake);
    if (mode == WF_SHUTDOWN_NO_WAIT)
        return 0;
    wfi_lock_lock(&pool->lock);
    if (wfi_pool_is_over(pool)) {
        wfi_lock_unlock(&pool->lock);
        return 0;
    }
    struct wfi_wait_node node = {0};
    return wfi_wait(&pool->leavers, &pool->lock, &node, "shutdown", pool, deadline);
}

static void free_pool(struct wfi_pool *pool)
{
    for (unsigned i = 0; i < pool->places; i++)
        wfi_free(pool->workers[i]);
    wfi_poller_destroy(pool->poller);
    wfi_free(pool->start);
    wfi_free(pool->rlimits);
    wfi_free(pool);
}

static void destroy(struct wf_executor *base)
{
    struct wfi_pool *pool = wfi_pool_of(base);
    wfi_pool_hide(pool);
    wfi_helper_unwatch(&pool->watch);
    wfi_lock_lock(&pool->lock);
    pool->quit = true;
    wfi_keeper_prod(pool);
    wfi_lock_unlock(&pool->lock);
    wfi_thread_join(&pool->keeper);
    free_pool(pool);
}

static void stop_hard(struct wf_executor *on, int signo, const char *text)
{
    if (!wfi_pool_is_one(on))
        return;
    struct wfi_pool *pool = wfi_pool_of(on);
    wfi_lock_lock(&pool->lock);
    wfi_pool_break(pool, text);
    for (unsigned i = 0; i < pool->places; i++) {
        struct wfi_pool_worker *worker = pool->workers[i];
        if (!wfi_pool_has_process(worker))
            continue;
        worker->on_purpose = true;
        worker->state = WFI_PLACE_STOPPING;
        worker->kill_ns = kill_time(pool, wf_now());
        wfi_related_signal(worker->related, signo);
    }
    wfi_keeper_prod(pool);
    wfi_pool_unlock(pool);
}

void wf_processes_terminate(struct wf_executor *on)
{
    stop_hard(on, 15, "it was terminated");
}

void wf_processes_kill(struct wf_executor *on)
{
    stop_hard(on, 9, "it was killed");
}

static unsigned workers(const struct wf_executor *base)
{
    return wfi_pool_of(base)->max;
}

enum wf_cancel_result wf_processes_kill_task(struct wf_future *f)
{
    enum wf_cancel_result result = wf_future_cancel(f);
    if (result != WF_CANCEL_ASKED || !f->on || !wfi_pool_is_one(f->on))
        return result;
    struct wfi_pool *pool = wfi_pool_of(f->on);
    wfi_lock_lock(&pool->lock);
    for (unsigned i = 0; i < pool->places; i++) {
        struct wfi_pool_worker *worker = pool->workers[i];
        for (uint32_t number = worker->consumed; number != worker->tail; number++) {
            struct wfi_item *item = worker->items[number % WFI_RING_SLOTS];
            if (!item || item->f != f)
                continue;
            item->kill_ns = 0; /* the keeper's to see to */
            wfi_keeper_prod(pool);
            result = WF_CANCEL_KILLED;
        }
    }
    wfi_lock_unlock(&pool->lock);
    return result;
}

static const struct wfi_executor_ops ops = {
    .engine = "processes",
    .submit = submit,
    .forget = wfi_pool_forget,
    .cancel = cancel,
    .attend = wfi_pool_attend,
    .shutdown = shut_down,
    .destroy = destroy,
    .workers = workers,
    .look = wfi_pool_look,
};

bool wfi_pool_is_one(const struct wf_executor *on)
{
    return on->ops == &ops;
}

/* Making */

static void helper_died(void *arg)
{
    struct wfi_pool *pool = arg;
    wfi_store(&pool->helper_died, 1);
    wfi_poller_wake(pool->poller);
}

static int check_options(const struct wf_processes_options *options, struct wf_error *reterr)
{
    const char *wrong = options->workers < 0              ? "workers"
                        : options->restarts_within_ns < 0 ? "restarts_within_ns"
                        : options->submit_wait_ns < 0     ? "submit_wait_ns"
                                                          : NULL;
    if (wrong)
        return wf_error_set(reterr, -EINVAL, "%s must not be negative", wrong);
    enum { MOST = sizeof((struct wfi_pool *)NULL)->workers / sizeof(void *) - WFI_POOL_SPARES };
    if (options->workers > MOST)
        return wf_error_set(reterr, -EINVAL, "at most %d workers", (int)MOST);
    return 0;
}

/* Copies what the options point to. */
static int take_options(struct wfi_pool *pool, const struct wf_processes_options *options)
{
    pool->options = *options;
    pool->max = options->workers ? (unsigned)options->workers : (unsigned)wfi_cpu_count(NULL, 0);
    pool->grace_ns = options->grace_ns ? options->grace_ns : WF_SECONDS(GRACE_S);
    if (!options->restarts_max)
        pool->options.restarts_max = (int)(RESTARTS_PER_WORKER * pool->max);
    if (!options->restarts_within_ns)
        pool->options.restarts_within_ns = WF_SECONDS(RESTARTS_WITHIN_S);
    pool->spins = !wfi_cpu_alone() && !wfi_under_valgrind();
    pool->start_bytes = sizeof *pool->start + options->arg_bytes;
    pool->start = wfi_zalloc(pool->start_bytes);
    pool->rlimits = wfi_zalloc((options->rlimit_count + 1) * sizeof *pool->rlimits);
    if (!pool->start || !pool->rlimits)
        return -ENOMEM;
    for (size_t i = 0; i < options->rlimit_count; i++) {
        const struct wf_rlimit *limit = &options->rlimits[i];
        pool->rlimits[i] = (struct wfi_rlimit){
            limit->resource, limit->soft < limit->hard ? limit->soft : limit->hard, limit->hard};
    }
    pool->start->start = options->start;
    pool->start->stop = options->stop;
    pool->start->memory_max_bytes = options->memory_max_bytes;
    pool->start->workers = pool->max;
    pool->start->arg_bytes = options->arg_bytes;
    if (options->arg_bytes)
        memcpy(pool->start->arg, options->arg, options->arg_bytes);
    return 0;
}

int wf_processes_create(const struct wf_processes_options *options, struct wf_executor **ret_on,
                        struct wf_error *reterr)
{
    static const struct wf_processes_options defaults;
    if (!options)
        options = &defaults;
    int err = check_options(options, reterr);
    if (!err)
        err = wfi_helper_start(reterr);
    if (err)
        return err;
    struct wfi_pool *pool = wfi_zalloc(sizeof *pool);
    if (!pool)
        return wf_error_set(reterr, -ENOMEM, NULL);
    err = take_options(pool, options);
    if (!err)
        err = wfi_poller_create(&pool->poller, NULL);
    if (!err) {
        pool->keeper_record = wfi_record_take();
        err = pool->keeper_record ? 0 : -ENOMEM;
    }
    if (err) {
        free_pool(pool);
        return wf_error_set(reterr, err, "a pool of processes: %s", wf_strerror(err));
    }
    wfi_executor_init(&pool->base, &ops, options->name);
    snprintf(pool->start->name, sizeof pool->start->name, "%s", pool->base.name);
    err = wfi_thread_start(&pool->keeper, "weft_keeper", 0, wfi_keeper_run, pool);
    if (err) {
        wfi_executor_fini(&pool->base);
        wfi_record_give(pool->keeper_record);
        free_pool(pool);
        return wf_error_set(reterr, err, "a pool's keeper thread: %s", wf_strerror(err));
    }
    pool->watch = (struct wfi_helper_watch){.died = helper_died, .arg = pool};
    wfi_helper_watch(&pool->watch);
    wfi_pool_show(pool);
    *ret_on = &pool->base;
    return 0;
}
