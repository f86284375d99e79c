/* SPDX-License-Identifier: MIT */
/*
 * The fibers engine: a runtime, and two counts: of tasks that were handed to it, and of those that
 * have left it. Submitters write the one, workers the other, so they do not take a cache line from
 * one another; they are equal when no task is under way, if `left` is read first.
 *
 * `submitted` goes up before `closed` is looked at, and shutdown sets `closed` before it looks at
 * the counts, all sequentially consistent: either the submitter sees the executor closed, or the
 * shutdown waits for its task. The last task to leave looks at `closed` while its fiber still
 * lives, and destroy waits for all fibers, so it looks at live memory.
 */
#include <weft/fibers.h>

#include <errno.h>

#include "base/alloc.h"
#include "exec/executor.h"
#include "os/lock.h"
#include "os/sanitizer.h"
#include "sched/runtime.h"

struct fibers {
    struct wf_executor base;
    struct wfi_runtime *runtime;
    WFI_ATOMIC(bool) made, closed, canceling;
    _Alignas(64) WFI_ATOMIC(size_t) submitted;
    _Alignas(64) WFI_ATOMIC(size_t) left;
    struct wfi_lock lock;
    struct wfi_wait_list leavers; /* under the lock */
};

static struct fibers *fibers_of(const struct wf_executor *base)
{
    return wfi_container_of((struct wf_executor *)(uintptr_t)base, struct fibers, base);
}

static void leave(struct fibers *on)
{
    size_t left = wfi_fetch_add(&on->left, 1) + 1;
    if (wfi_load(&on->closed) && left == wfi_load(&on->submitted)) {
        struct wfi_wake_list wake = {NULL, NULL};
        wfi_lock_lock(&on->lock);
        wfi_wake_list_claim_all(&wake, &on->leavers);
        wfi_lock_unlock(&on->lock);
        wfi_wake_all(&wake);
    }
    wfi_tsan_release(on); /* destroy waits for all fibers, by ways that TSan is not told of */
}

static void run(struct wfi_job *job, struct wfi_worker *worker)
{
    struct wf_future *f = wfi_container_of(job, struct wf_future, job);
    struct fibers *on = fibers_of(f->on);
    const struct wf_error *refusal = wfi_worker_refusal(worker);
    if (wfi_unlikely(refusal))
        wfi_future_refuse(f, refusal->code, refusal);
    else if (wfi_unlikely(wfi_load_relaxed(&on->canceling)))
        wfi_future_cancel_pending(f);
    else if (wfi_future_claim(f))
        wfi_future_run(f, false);
    wfi_future_release(f, WFI_FUTURE_ENGINE);
    leave(on);
}

static int submit(struct wf_executor *base, struct wf_future *f,
                  const struct wf_submit_options *options, struct wf_error *reterr)
{
    struct fibers *on = fibers_of(base);
    wfi_fetch_add(&on->submitted, 1);
    if (wfi_unlikely(wfi_load(&on->closed))) {
        leave(on);
        return wf_error_set(reterr, -EPIPE, "executor %s is shut down", base->name);
    }
    f->job.run = run;
    if (options && options->worker) {
        unsigned count = (unsigned)wfi_runtime_workers(on->runtime);
        wfi_runtime_submit_to(on->runtime, (int)((options->worker - 1) % count), &f->job);
    } else {
        wfi_runtime_submit(on->runtime, &f->job);
    }
    return 0;
}

static int shut_down(struct wf_executor *base, enum wf_shutdown mode, wf_deadline deadline)
{
    struct fibers *on = fibers_of(base);
    wfi_store(&on->closed, true);
    if (mode == WF_SHUTDOWN_NO_WAIT)
        return 0;
    if (mode == WF_SHUTDOWN_CANCEL)
        wfi_store(&on->canceling, true);
    struct wfi_wait_node node = {0};
    wfi_lock_lock(&on->lock);
    size_t left = wfi_load(&on->left);
    if (left == wfi_load(&on->submitted)) {
        wfi_lock_unlock(&on->lock);
        return 0;
    }
    return wfi_wait(&on->leavers, &on->lock, &node, "shutdown", on, deadline);
}

static void destroy(struct wf_executor *base)
{
    struct fibers *on = fibers_of(base);
    wfi_runtime_destroy(on->runtime);
    wfi_tsan_acquire(on);
    wfi_free(on);
}

static unsigned workers(const struct wf_executor *base)
{
    return (unsigned)wfi_runtime_workers(fibers_of(base)->runtime);
}

static void look(const struct wf_executor *base, struct wf_seen_executor *ret_seen)
{
    struct fibers *on = fibers_of(base);
    /* acquire: pairs with the release in wf_fibers_create, for the runtime */
    if (!wfi_load_acquire(&on->made))
        return;
    ret_seen->workers = ret_seen->alive = workers(base);
    ret_seen->ended = wfi_load_relaxed(&on->left);
    uint64_t inside = wfi_load_relaxed(&on->submitted) - ret_seen->ended;
    for (unsigned i = 0; i < ret_seen->alive; i++) {
        struct wfi_worker_stats stats;
        wfi_runtime_stats(on->runtime, (int)i, &stats);
        ret_seen->queued += stats.queued + (i == 0 ? stats.shared : 0);
    }
    /* What is queued may be other than tasks, or have been counted at another moment. */
    if (ret_seen->queued > inside)
        ret_seen->queued = inside;
    ret_seen->running = inside - ret_seen->queued;
    ret_seen->shut = wfi_load_relaxed(&on->closed);
}

static const struct wfi_executor_ops ops = {
    .engine = "fibers",
    .submit = submit,
    .shutdown = shut_down,
    .destroy = destroy,
    .workers = workers,
    .look = look,
};

int wf_fibers_create(const struct wf_fibers_options *options, struct wf_executor **ret_on,
                     struct wf_error *reterr)
{
    static const struct wf_fibers_options defaults;
    if (!options)
        options = &defaults;
    struct fibers *on = wfi_zalloc_aligned(64, sizeof *on);
    if (!on)
        return wf_error_set(reterr, -ENOMEM, NULL);
    on->base.service = options->service;
    wfi_executor_init(&on->base, &ops, options->name);
    struct wfi_runtime_options runtime = {
        .workers = options->workers,
        .stack_bytes = options->stack_bytes,
        .name = on->base.name,
    };
    int err = wfi_runtime_create(&runtime, &on->runtime, reterr);
    if (err) {
        wfi_executor_fini(&on->base);
        wfi_free(on);
        return err;
    }
    wfi_store_release(&on->made, true); /* pairs with the acquire in look */
    *ret_on = &on->base;
    return 0;
}
