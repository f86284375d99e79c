/* SPDX-License-Identifier: MIT */
/*
 * Executors whose engine was brought from outside, on the table of exec/executor.h.
 *
 *  1. A call is in `calls`, by its future, from when that is claimed until it has ended. Both
 *     happen under the lock: who asks it to stop finds it, or it is over; and no call is asked that
 *     will never start.
 *  2. It is counted: once for the engine until it ends, once for whoever has it from next_asked.
 *     The last to leave frees it.
 *  3. `live` goes down after the future has ended and been served, and is the last that is touched
 *     of the executor: a shutdown that waits for it may be followed by destroy at once.
 */
#include <weft/engine.h>

#include <errno.h>

#include "base/alloc.h"
#include "base/map.h"
#include "exec/executor.h"
#include "exec/scope.h"
#include "os/fork.h"
#include "os/lock.h"
#include "sync/local.h"

struct engine {
    struct wf_executor base;
    struct wf_engine table;
    struct wfi_executor_ops ops;
    void *arg;
    struct wfi_lock lock;
    /* under the lock */
    bool closed;
    size_t live;
    struct wfi_map calls;  /* by the future's address */
    struct wfi_list asked; /* that next_asked has not given yet */
    struct wfi_wait_list leavers;
};

struct wf_engine_call {
    struct wf_future *f;
    struct engine *on;
    struct wfi_link link; /* in `asked`, under the lock, as the next two */
    unsigned refs;
    bool is_asked;
    wf_deadline deadline;
    _Alignas(16) unsigned char data[];
};

static struct engine *engine_of(const struct wf_executor *base)
{
    return wfi_container_of((struct wf_executor *)(uintptr_t)base, struct engine, base);
}

static uint64_t key_of(const struct wf_future *f)
{
    return (uint64_t)(uintptr_t)f;
}

/* ---- submitting ---- */

static wf_deadline deadline_of(struct wf_future *f)
{
    wf_deadline earliest = WF_FOREVER;
    if (!(wfi_load_relaxed(&f->state) & WFI_FUTURE_SCOPED))
        return earliest;
    for (struct wfi_cancel *level = wfi_scope_level(f->scoped.scope); level;
         level = level->parent) {
        const wf_deadline own = {wfi_load_relaxed(&level->deadline_ns)};
        earliest = wf_earlier(earliest, own);
        if (level->shield)
            break;
    }
    return earliest;
}

static void free_call(struct wf_engine_call *call)
{
    if (call->on->table.finish)
        call->on->table.finish(call->on->arg, call);
    wfi_free(call);
}

/* Takes a call out that has ended, and lets go of its future and the executor. */
static void leave(struct wf_engine_call *call)
{
    struct engine *on = call->on;
    struct wf_future *f = call->f;
    struct wfi_wake_list wake = {NULL, NULL};
    wfi_lock_lock(&on->lock);
    wfi_map_remove_u64(&on->calls, key_of(f));
    if (wfi_link_linked(&call->link)) {
        wfi_list_remove(&call->link);
        call->refs--;
    }
    const bool last = --call->refs == 0;
    wfi_lock_unlock(&on->lock);
    if (last)
        free_call(call);
    wfi_future_release(f, WFI_FUTURE_ENGINE); /* not before it is out of the map */
    wfi_lock_lock(&on->lock);
    if (--on->live == 0)
        wfi_wake_list_claim_all(&wake, &on->leavers);
    wfi_lock_unlock(&on->lock);
    wfi_wake_all(&wake);
}

/* Under the lock. Returns 1 with the call in place and its future claimed, 0 when that was
 * cancelled meanwhile. */
static int claim(struct engine *on, struct wf_engine_call *call, struct wf_error *reterr)
{
    if (on->closed)
        return wf_error_set(reterr, -EPIPE, "executor %s is shut down", on->base.name);
    int err = wfi_map_put_u64(&on->calls, key_of(call->f), call);
    if (err)
        return wf_error_set(reterr, err, NULL);
    if (!wfi_future_claim(call->f)) {
        wfi_map_remove_u64(&on->calls, key_of(call->f));
        return 0;
    }
    on->live++;
    return 1;
}

/* Returns as claim, which is without the call when it is not 1. */
static int begin(struct engine *on, struct wf_engine_call *call, struct wf_error *reterr)
{
    struct wf_future *f = call->f;
    wfi_lock_lock(&on->lock);
    const int claimed = claim(on, call, reterr);
    wfi_lock_unlock(&on->lock);
    if (claimed != 1) {
        free_call(call);
        if (!claimed)
            wfi_future_release(f, WFI_FUTURE_ENGINE);
        return claimed;
    }
    const struct wf_task_type *type = wfi_future_type(f);
    if (type->drop_args)
        type->drop_args(f->data);
    wfi_locals_release(f->locals);
    return 1;
}

static int submit(struct wf_executor *base, struct wf_future *f,
                  const struct wf_submit_options *options, struct wf_error *reterr)
{
    struct engine *on = engine_of(base);
    if (wfi_forked())
        return wf_error_set(reterr, WF_EFORKED, NULL);
    struct wf_engine_call *call = wfi_zalloc(sizeof *call + on->table.call_bytes);
    if (!call)
        return wf_error_set(reterr, -ENOMEM, NULL);
    call->f = f;
    call->on = on;
    call->refs = 1;
    int err = 0;
    bool wanted = wfi_future_hold(f);
    if (wanted) {
        call->deadline = deadline_of(f); /* while it is held, its scope is there */
        err = on->table.prepare(on->arg, call, options, reterr);
        wanted = wfi_future_release_hold(f);
    }
    if (err || !wanted) {
        free_call(call);
        if (wanted)
            return err;
        wfi_future_release(f, WFI_FUTURE_ENGINE);
        return 0;
    }
    err = begin(on, call, reterr);
    if (err > 0)
        on->table.start(on->arg, call);
    return err < 0 ? err : 0;
}

/* ---- cancelling ---- */

/* Under the lock. True when it is news. */
static bool ask(struct engine *on, struct wf_engine_call *call)
{
    if (call->is_asked)
        return false;
    call->is_asked = true;
    call->refs++;
    wfi_list_push_back(&on->asked, &call->link);
    return true;
}

static enum wf_cancel_result cancel(struct wf_executor *base, struct wf_future *f)
{
    struct engine *on = engine_of(base);
    wfi_lock_lock(&on->lock);
    struct wf_engine_call *call = wfi_map_find_u64(&on->calls, key_of(f));
    const bool news = call && ask(on, call);
    if (news) /* with the lock, so that the executor is there */
        on->table.asked(on->arg);
    wfi_lock_unlock(&on->lock);
    return WF_CANCEL_ASKED;
}

struct wf_engine_call *wf_engine_next_asked(struct wf_executor *base)
{
    struct engine *on = engine_of(base);
    wfi_lock_lock(&on->lock);
    struct wfi_link *link = wfi_list_pop_front(&on->asked);
    wfi_lock_unlock(&on->lock);
    return link ? wfi_container_of(link, struct wf_engine_call, link) : NULL;
}

void wf_engine_call_unref(struct wf_engine_call *call)
{
    struct engine *on = call->on;
    wfi_lock_lock(&on->lock);
    const bool last = --call->refs == 0;
    wfi_lock_unlock(&on->lock);
    if (last)
        free_call(call);
}

/* ---- calls ---- */

const struct wf_task_type *wf_engine_call_type(const struct wf_engine_call *call)
{
    return wfi_future_type(call->f);
}

const char *wf_engine_call_name(const struct wf_engine_call *call)
{
    return wf_future_name(call->f);
}

const void *wf_engine_call_args(const struct wf_engine_call *call)
{
    return call->f->data;
}

wf_deadline wf_engine_call_deadline(const struct wf_engine_call *call)
{
    return call->deadline;
}

void *wf_engine_call_data(struct wf_engine_call *call)
{
    return call->data;
}

void *wf_engine_call_result(struct wf_engine_call *call)
{
    return wfi_future_result_ptr(call->f);
}

bool wf_engine_call_is_asked(const struct wf_engine_call *call)
{
    struct engine *on = call->on;
    wfi_lock_lock(&on->lock);
    const bool asked = call->is_asked;
    wfi_lock_unlock(&on->lock);
    return asked;
}

void wf_engine_call_end(struct wf_engine_call *call, int code, const struct wf_error *error)
{
    struct wf_future *f = call->f;
    struct wf_error *kept = NULL;
    enum wf_future_state state = WF_FUTURE_DONE;
    if (code == -ECANCELED && wf_engine_call_is_asked(call)) {
        state = WF_FUTURE_CANCELED;
    } else if (code < 0) {
        state = WF_FUTURE_FAILED;
        kept = error ? wfi_alloc(sizeof *kept) : NULL; /* without memory the code alone arrives */
        if (kept)
            *kept = *error;
    }
    wfi_future_end(f, state, code, kept);
    leave(call);
}

/* ---- the executor ---- */

static int shut_down(struct wf_executor *base, enum wf_shutdown mode, wf_deadline deadline)
{
    struct engine *on = engine_of(base);
    struct wf_engine_call *call;
    bool news = false;
    wfi_lock_lock(&on->lock);
    on->closed = true;
    for (size_t cursor = 0;
         mode == WF_SHUTDOWN_CANCEL && (call = wfi_map_next(&on->calls, &cursor));)
        news |= ask(on, call);
    if (news)
        on->table.asked(on->arg);
    if (mode == WF_SHUTDOWN_NO_WAIT || !on->live) {
        wfi_lock_unlock(&on->lock);
        return 0;
    }
    struct wfi_wait_node node = {0};
    return wfi_wait(&on->leavers, &on->lock, &node, "shutdown", on, deadline);
}

static void destroy(struct wf_executor *base)
{
    struct engine *on = engine_of(base);
    on->table.destroy(on->arg);
    wfi_map_reset(&on->calls);
    wfi_free(on);
}

static unsigned workers(const struct wf_executor *base)
{
    return engine_of(base)->table.workers;
}

int wf_engine_create(const struct wf_engine *engine, const char *name, void *arg,
                     struct wf_executor **ret_on, struct wf_error *reterr)
{
    struct engine *on = wfi_zalloc(sizeof *on);
    if (!on)
        return wf_error_set(reterr, -ENOMEM, NULL);
    on->table = *engine;
    on->arg = arg;
    on->ops = (struct wfi_executor_ops){.engine = engine->name,
                                        .foreign = true,
                                        .submit = submit,
                                        .cancel = cancel,
                                        .shutdown = shut_down,
                                        .destroy = destroy,
                                        .workers = workers};
    wfi_executor_init(&on->base, &on->ops, name);
    *ret_on = &on->base;
    return 0;
}

void *wf_engine_arg(const struct wf_executor *on, void (*destroy_arg)(void *arg))
{
    if (on->ops->submit != submit)
        return NULL;
    const struct engine *engine = engine_of(on);
    return engine->table.destroy == destroy_arg ? engine->arg : NULL;
}
