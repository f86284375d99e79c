/* SPDX-License-Identifier: MIT */
/*
 * The life of a task block; states and invariants are in future.h.
 *
 * The end of a task, in order: the outcome is written; the state is swapped (not while a canceller
 * is BUSY with the frame); the list of those who wait is ended and served; a scope is told; the
 * engine gives up its bit. After the swap the owner may take the outcome, but the block stays until
 * the engine's bit is gone, so the list can still be served.
 *
 * The list is guarded by one of a few hashed locks rather than by one in the block: the party that
 * serves it may then touch the lock after the block has changed hands, and a party that waits for
 * several futures links into each without ever holding two locks.
 */
#include "exec/future.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "exec/executor.h"
#include "exec/scope.h"
#include "os/clock.h"
#include "os/sanitizer.h"
#include "os/thread.h"
#include "sync/local.h"

/* Locks. Enough that parties on a few cores seldom meet; each on its own cache line. */
enum { LOCKS = 64 };
static struct {
    _Alignas(64) struct wfi_lock lock;
} locks[LOCKS];

struct wfi_lock *wfi_future_lock(const struct wf_future *f)
{
    /* Blocks are 128 bytes apart; the multiplier spreads neighbours. */
    return &locks[((uintptr_t)f / 128 * 0x9E3779B1u >> 16) % LOCKS].lock;
}

/* Out of memory */

static const struct wf_task_type no_memory_type = {.name = "(out of memory)", .abi = WF_TASK_ABI};

static struct wf_future no_memory = {
    .type = &no_memory_type,
    .state = WF_FUTURE_FAILED | WFI_FUTURE_STATIC | WFI_FUTURE_OBSERVED,
    .born_or_code = (uint32_t)-ENOMEM,
    .waiting = WFI_ENDED_LIST,
    .data = no_memory.bytes,
};

struct wf_future *wfi_future_no_memory(void)
{
    return &no_memory;
}

/* Making */

static bool data_inside(const struct wf_future *f)
{
    return (const unsigned char *)f->data - (const unsigned char *)f < (ptrdiff_t)sizeof *f &&
           (const unsigned char *)f->data >= (const unsigned char *)f;
}

static void *data_place(struct wf_future *f, const struct wf_task_type *type, size_t bytes,
                        bool scoped)
{
    if (!scoped && bytes <= WFI_TASK_INLINE && type->align <= 64)
        return f->bytes;
    if (scoped && bytes <= WFI_TASK_INLINE_SCOPED && type->align <= 8)
        return f->scoped.bytes;
    return wfi_zalloc_aligned(type->align > 16 ? type->align : 16, bytes);
}

static size_t name_offset(const struct wf_task_type *type)
{
    return type->result_offset + type->result_bytes;
}

struct wf_future *wfi_future_create(struct wf_executor *on, const struct wf_task_type *type,
                                    const struct wf_submit_options *options, const void *args,
                                    bool scoped)
{
    wfi_assert(type->abi == WF_TASK_ABI, "the program was compiled with this weft's headers");
    struct wf_future *f = wfi_block_take();
    if (!f)
        goto fail;
    const char *name = options ? options->name : NULL;
    size_t bytes = name_offset(type) + (name ? WFI_TASK_NAME_BYTES : 0);
    f->data = data_place(f, type, bytes, scoped);
    if (!f->data)
        goto fail_block;
    f->locals = wfi_locals_capture();
    if (args)
        memcpy(f->data, args, type->args_bytes);
    uint32_t word = WF_FUTURE_PENDING | WFI_FUTURE_HANDLE | WFI_FUTURE_ENGINE;
    if (scoped)
        word |= WFI_FUTURE_SCOPED;
    if (name) {
        word |= WFI_FUTURE_NAMED;
        snprintf((char *)f->data + name_offset(type), WFI_TASK_NAME_BYTES, "%s", name);
    }
    f->on = on;
    wfi_store_relaxed(&f->type, type);
    wfi_store_relaxed(&f->waiting, NULL);
    wfi_store_relaxed(&f->born_or_code, (uint32_t)(wfi_now_coarse() / 1000000));
    /* release: pairs with the acquire of readers of the registry */
    wfi_store_release(&f->state, word);
    return f;

fail_block:
    wfi_block_give(f);
fail:
    if (type->drop_args)
        type->drop_args((void *)(uintptr_t)args);
    return &no_memory;
}

void *wfi_future_result_ptr(struct wf_future *f)
{
    return (char *)f->data + wfi_future_type(f)->result_offset;
}

const char *wf_future_name(const struct wf_future *f)
{
    const struct wf_task_type *type = wfi_future_type(f);
    if (wfi_load_relaxed(&((struct wf_future *)(uintptr_t)f)->state) & WFI_FUTURE_NAMED)
        return (const char *)f->data + name_offset(type);
    return type->name;
}

/* Nobody keeps the block from being given back and used again while this reads: it is never
 * unmapped, and the caller looks again whether what it read counts. */
WFI_NO_SANITIZE void wfi_future_peek_name(const struct wf_future *f, char *ret_name, size_t room)
{
    const struct wf_task_type *type = wfi_future_type(f);
    const char *data = f->data, *block = (const char *)f;
    size_t i = 0;
    if (type && (wfi_load_relaxed(&((struct wf_future *)(uintptr_t)f)->state) & WFI_FUTURE_NAMED) &&
        data >= block && data + name_offset(type) < block + sizeof *f) {
        const char *name = data + name_offset(type);
        for (; i + 1 < room && name + i < block + sizeof *f && name[i]; i++)
            ret_name[i] = name[i];
    }
    ret_name[i] = '\0';
}

/* Going away */

static void report_unobserved(struct wf_future *f)
{
    struct wf_error error;
    wfi_future_describe(f, &error);
    wfi_error_report(&error);
}

static void destroy(struct wf_future *f, uint32_t word)
{
    const struct wf_task_type *type = wfi_future_type(f);
    enum wf_future_state state = wfi_future_state(word);
    if (state == WF_FUTURE_FAILED) {
        if (!(word & WFI_FUTURE_OBSERVED))
            report_unobserved(f);
        wfi_free(f->error);
    } else if (state == WF_FUTURE_DONE && type->drop_result && !(word & WFI_FUTURE_OBSERVED)) {
        type->drop_result(wfi_future_result_ptr(f));
    } else if (state == WF_FUTURE_PENDING) {
        wfi_locals_release(f->locals); /* a promise nobody kept, nor waits for */
    }
    if (!data_inside(f))
        wfi_free(f->data);
    wfi_block_give(f);
}

void wfi_future_release(struct wf_future *f, uint32_t bits)
{
    if (f == &no_memory)
        return;
    /* acquire: pairs with the other's release below, for all that it wrote */
    uint32_t left = wfi_load_acquire(&f->state) & ~bits;
    if (left & (WFI_FUTURE_HANDLE | WFI_FUTURE_ENGINE))
        /* seq_cst: the last to release sees all that the other wrote */
        left = wfi_fetch_and(&f->state, ~bits) & ~bits;
    if (!(left & (WFI_FUTURE_HANDLE | WFI_FUTURE_ENGINE)))
        destroy(f, left);
}

/* Who waits */

bool wfi_future_add(struct wf_future *f, struct wfi_end_node *node)
{
    /* acquire: pairs with the swap in publish; the outcome was written before it */
    struct wfi_end_node *head = wfi_load_acquire(&f->waiting);
    do {
        if (head == WFI_ENDED_LIST)
            return false;
        node->next = head;
    } while (!wfi_cas(&f->waiting, &head, node)); /* may lose to publish's swap of an empty list */
    return true;
}

bool wfi_future_remove(struct wf_future *f, struct wfi_end_node *node)
{
    struct wfi_end_node *head = wfi_load_acquire(&f->waiting);
    if (head == WFI_ENDED_LIST)
        return false;
    if (head == node) {
        wfi_store(&f->waiting, node->next); /* not empty till now, so nobody swaps it meanwhile */
        return true;
    }
    for (struct wfi_end_node *at = head; at; at = at->next)
        if (at->next == node) {
            at->next = node->next;
            return true;
        }
    return false;
}

/* Ends the list and serves it, but for callbacks, which are returned in the order they came. */
static struct wfi_end_node *publish(struct wf_future *f)
{
    struct wfi_end_node *node = wfi_load_relaxed(&f->waiting); /* the swaps below decide */
    if (!node && wfi_cas(&f->waiting, &node, WFI_ENDED_LIST))
        return NULL;
    struct wfi_lock *lock = wfi_future_lock(f);
    struct wfi_wake_list wake = {NULL, NULL};
    struct wfi_end_node *ordered = NULL, *calls = NULL, **calls_end = &calls;
    wfi_lock_lock(lock);
    node = wfi_exchange(&f->waiting, WFI_ENDED_LIST);
    while (node) {
        struct wfi_end_node *next = node->next;
        node->next = ordered;
        ordered = node;
        node = next;
    }
    while ((node = ordered)) {
        ordered = node->next;
        if (node->kind == WFI_END_CALL) {
            node->next = NULL;
            *calls_end = node;
            calls_end = &node->next;
        } else if (node->kind == WFI_END_HOOK) {
            node->hook.fn(node, f, &wake);
        } else if (wfi_wait_claim(&node->wait)) {
            wfi_wake_list_add(&wake, &node->wait);
        }
    }
    wfi_lock_unlock(lock);
    wfi_wake_all(&wake);
    return calls;
}

static void call(struct wf_future *f, int (*fn)(struct wf_future *, void *), void *arg)
{
    int code = fn(f, arg);
    if (code >= 0)
        return;
    struct wf_error error;
    wf_error_set(&error, code, "a callback failed: %s", wf_strerror(code));
    snprintf(error.task, sizeof error.task, "%s", wf_future_name(f));
    wfi_error_report(&error);
}

static void call_back(struct wf_future *f, struct wfi_end_node *calls)
{
    while (calls) {
        struct wfi_end_node *node = calls;
        calls = node->next;
        call(f, node->call.fn, node->call.arg);
        wfi_free(node);
    }
}

/* Ends the list and tells the scope; the state is an end already. */
void wfi_future_serve(struct wf_future *f)
{
    uint32_t word = wfi_load_relaxed(&f->state);
    call_back(f, publish(f));
    if (word & WFI_FUTURE_SCOPED)
        wfi_scope_child_ended(f->scoped.scope, f);
}

int wf_future_on_done(struct wf_future *f, int (*fn)(struct wf_future *, void *arg), void *arg)
{
    struct wfi_end_node *node = NULL;
    if (!wfi_future_ended(f)) {
        node = wfi_zalloc(sizeof *node);
        if (!node)
            return -ENOMEM;
        node->kind = WFI_END_CALL;
        node->call.fn = fn;
        node->call.arg = arg;
    }
    /* Also when it has ended: callbacks that came before may still be under way, but they have been
     * taken from the list by then, and order among those who come late means nothing. */
    struct wfi_lock *lock = wfi_future_lock(f);
    wfi_lock_lock(lock);
    bool added = node && wfi_future_add(f, node);
    wfi_lock_unlock(lock);
    if (!added) {
        wfi_free(node);
        call(f, fn, arg);
    }
    return 0;
}

/* Running */

bool wfi_future_claim(struct wf_future *f)
{
    /* acquire: pairs with the release that made the block */
    uint32_t word = wfi_load_acquire(&f->state);
    while (wfi_future_state(word) == WF_FUTURE_PENDING)
        if (wfi_cas(&f->state, &word,
                    (word & ~(uint32_t)(WFI_FUTURE_STATE | WFI_FUTURE_COUNTED)) |
                        WF_FUTURE_RUNNING)) {
            if (word & WFI_FUTURE_COUNTED)
                f->on->ops->forget(f->on);
            return true;
        }
    return false;
}

bool wfi_future_hold(struct wf_future *f)
{
    uint32_t word = wfi_load_acquire(&f->state);
    while (wfi_future_state(word) == WF_FUTURE_PENDING)
        if (wfi_cas(&f->state, &word, word | WFI_FUTURE_HELD))
            return true;
    return false;
}

bool wfi_future_release_hold(struct wf_future *f)
{
    uint32_t bits = WFI_FUTURE_HELD | WFI_FUTURE_ASKED;
    if (!(wfi_fetch_and(&f->state, ~bits) & WFI_FUTURE_ASKED))
        return true;
    wfi_future_cancel_pending(f);
    return false;
}

/* Swaps RUNNING for the end, once no canceller uses the frame. */
static bool swap_end(struct wf_future *f, enum wf_future_state state)
{
    uint32_t word = wfi_load_relaxed(&f->state);
    for (;;) {
        if (wfi_future_state(word) != WF_FUTURE_RUNNING)
            return false;
        if (word & WFI_FUTURE_BUSY) {
            wfi_thread_yield(); /* a few instructions of the canceller's */
            word = wfi_load_relaxed(&f->state);
            continue;
        }
        uint32_t ended = (word & ~(uint32_t)(WFI_FUTURE_STATE | WFI_FUTURE_LEVEL)) | state;
        if (wfi_cas(&f->state, &word, ended))
            return true;
    }
}

/* No canceller can reach the frame after this. */
static void close_level(struct wf_future *f)
{
    uint32_t word = wfi_load_relaxed(&f->state);
    for (;;) {
        if (word & WFI_FUTURE_BUSY) {
            wfi_thread_yield();
            word = wfi_load_relaxed(&f->state);
        } else if (wfi_cas(&f->state, &word, word & ~(uint32_t)WFI_FUTURE_LEVEL)) {
            return;
        }
    }
}

bool wfi_future_settle(struct wf_future *f, enum wf_future_state state, int code,
                       struct wf_error *error)
{
    close_level(f);
    if (state == WF_FUTURE_FAILED) {
        f->error = error;
        wfi_store_relaxed(&f->born_or_code, (uint32_t)code);
    }
    return swap_end(f, state);
}

void wfi_future_end(struct wf_future *f, enum wf_future_state state, int code,
                    struct wf_error *error)
{
    wfi_future_settle(f, state, code, error);
    wfi_future_serve(f);
}

void wfi_future_refuse(struct wf_future *f, int code, const struct wf_error *error)
{
    if (!wfi_future_claim(f))
        return;
    const struct wf_task_type *type = wfi_future_type(f);
    if (type->drop_args)
        type->drop_args(f->data);
    wfi_locals_release(f->locals);
    struct wf_error *kept = error ? wfi_alloc(sizeof *kept) : NULL;
    if (kept)
        *kept = *error;
    f->error = kept;
    wfi_store_relaxed(&f->born_or_code, (uint32_t)code);
    swap_end(f, WF_FUTURE_FAILED);
    wfi_future_serve(f);
}

/* The deadline that holds in a scope, unless the scope is around the caller and so in view. */
static wf_deadline deadline_of(struct wf_scope *scope, struct wfi_waiter *self)
{
    wf_deadline earliest = WF_FOREVER;
    struct wfi_cancel *level = wfi_scope_level(scope);
    for (struct wfi_cancel *own = self->cancel; own; own = own->parent)
        if (own == level)
            return earliest;
    for (; level; level = level->parent) {
        int64_t ns = wfi_load_relaxed(&level->deadline_ns);
        if (ns < earliest.ns)
            earliest.ns = ns;
        if (level->shield)
            break;
    }
    return earliest;
}

/* What the task's own function returned, turned into state, code and error. */
static enum wf_future_state judge(struct wf_task *task, int code)
{
    struct wf_future *f = task->future;
    if (code >= 0) {
        wfi_free(task->error);
        return WF_FUTURE_DONE;
    }
    bool asked = (wfi_load_relaxed(&f->state) & WFI_FUTURE_ASKED) || wfi_cancel_check(NULL);
    close_level(f);
    if (code == -ECANCELED && asked) {
        wfi_free(task->error);
        return WF_FUTURE_CANCELED;
    }
    if (task->error)
        task->error->code = code;
    f->error = task->error;
    wfi_store_relaxed(&f->born_or_code, (uint32_t)code);
    return WF_FUTURE_FAILED;
}

bool wfi_future_run(struct wf_future *f, bool nested)
{
    const struct wf_task_type *type = wfi_future_type(f);
    struct wfi_waiter *self = wfi_self();
    struct wf_executor *on = f->on;
    struct wf_scope *scope = NULL;
    struct wfi_cancel *parent = nested ? self->cancel : NULL;
    wf_deadline deadline = WF_FOREVER;
    if (wfi_load_relaxed(&f->state) & WFI_FUTURE_SCOPED) {
        scope = f->scoped.scope;
        if (nested)
            deadline = deadline_of(scope, self);
        else
            parent = wfi_scope_level(scope);
    }
    struct wf_task task = {.future = f, .on = on, .type = type, .outer = self->task};
    struct wfi_locals *outer_locals = self->locals;
    const char *outer_name = wfi_load_relaxed(&self->task_name);
    self->locals = f->locals;
    self->task = &task;
    wfi_store_relaxed(&self->task_name, type->name);
    wfi_store_relaxed(&self->task_block, f);
    /* A fiber has the name of its task, so that a dump shows it. */
    bool named = wfi_unlikely(wfi_load_relaxed(&f->state) & WFI_FUTURE_NAMED) &&
                 self->kind == WFI_FIBER && !self->name[0];
    if (named)
        snprintf(self->name, sizeof self->name, "%s", wf_future_name(f));
    wfi_cancel_enter(&task.level, parent, false, deadline);
    f->frame = &task;
    /* The frame is announced; who asked before it was, left it to us. */
    if (wfi_fetch_or(&f->state, WFI_FUTURE_LEVEL) & WFI_FUTURE_ASKED)
        wfi_cancel_ask(&task.level);

    int code = scope && wfi_cancel_check(NULL)
                   ? -ECANCELED
                   : type->call(&task, f->data, wfi_future_result_ptr(f));
    if (type->drop_args)
        type->drop_args(f->data);
    enum wf_future_state state = judge(&task, code);
    bool announces = !nested && on->ops->ending;
    if (announces)
        on->ops->ending(on);
    swap_end(f, state);

    wfi_cancel_leave(&task.level);
    struct wfi_locals *locals = self->locals;
    self->locals = outer_locals;
    self->task = task.outer;
    wfi_store_relaxed(&self->task_name, outer_name);
    wfi_store_relaxed(&self->task_block, task.outer ? task.outer->future : NULL);
    if (named)
        self->name[0] = '\0';

    struct wfi_end_node *calls = publish(f);
    if (announces && (calls || scope)) {
        on->ops->ended(on);
        announces = false;
    }
    call_back(f, calls);
    if (scope)
        wfi_scope_child_ended(scope, f);
    wfi_locals_release(locals);
    return announces;
}

bool wfi_future_help(struct wf_future *f)
{
    if (f->on && f->on->ops->helps && wfi_executor_is_mine(f->on) && wfi_future_claim(f)) {
        wfi_future_run(f, true);
        return true;
    }
    return false;
}

/* Waiting */

static int await(struct wf_future *f, wf_deadline deadline, bool cancelable)
{
    if (f->on && f->on->ops->attend) {
        f->on->ops->attend(f->on, f, deadline);
        if (wfi_future_ended(f))
            return 0;
    }
    struct wfi_lock *lock = wfi_future_lock(f);
    struct wfi_end_node node = {.kind = WFI_END_WAKE};
    wfi_lock_lock(lock);
    if (wfi_load_acquire(&f->waiting) == WFI_ENDED_LIST) {
        wfi_lock_unlock(lock);
        return 0;
    }
    struct wfi_waiter *self =
        cancelable ? wfi_wait_begin("future", f) : wfi_wait_begin_uncancelable("future", f);
    node.wait.waiter = self;
    if (!wfi_future_add(f, &node)) {
        /* It ended between the two looks; the wait that has begun is ended by a past deadline. */
        wfi_park(self, &lock, 1, WF_NOW);
        return 0;
    }
    int err = wfi_park(self, &lock, 1, deadline);
    if (err < 0) {
        wfi_lock_lock(lock);
        wfi_future_remove(f, &node);
        wfi_lock_unlock(lock);
        if (wfi_future_ended(f))
            err = 0;
    }
    return err < 0 ? err : 0;
}

int wfi_future_wait_anyway(struct wf_future *f, wf_deadline deadline)
{
    return wfi_future_ended(f) || wfi_future_help(f) ? 0 : await(f, deadline, false);
}

int wf_future_wait(struct wf_future *f, wf_deadline deadline)
{
    if (wfi_future_ended(f))
        return 0;
    if ((deadline.ns == INT64_MAX || deadline.ns > wf_now()) && wfi_future_help(f))
        return 0;
    int err = await(f, deadline, true);
    if (err != -ECANCELED || (wfi_load_relaxed(&f->state) & WFI_FUTURE_SHIELDED))
        return err;
    wf_future_cancel(f);
    return wfi_future_wait_anyway(f, WF_FOREVER);
}

static void observe(struct wf_future *f)
{
    if (!(wfi_load_relaxed(&f->state) & WFI_FUTURE_OBSERVED))
        wfi_fetch_or(&f->state, WFI_FUTURE_OBSERVED);
}

int wfi_future_describe(struct wf_future *f, struct wf_error *err)
{
    enum wf_future_state state = wfi_future_state(wfi_load_acquire(&f->state));
    if (state == WF_FUTURE_DONE)
        return 0;
    int code = state == WF_FUTURE_CANCELED ? -ECANCELED : (int)wfi_load_relaxed(&f->born_or_code);
    if (state == WF_FUTURE_FAILED)
        observe(f);
    if (!err)
        return code;
    if (state == WF_FUTURE_FAILED && f->error)
        *err = *f->error;
    else
        wf_error_set(err, code, state == WF_FUTURE_CANCELED ? "the task was cancelled" : NULL);
    if (!err->task[0] && f != &no_memory)
        snprintf(err->task, sizeof err->task, "%s", wf_future_name(f));
    return code;
}

static int describe_wait(struct wf_future *f, int err, struct wf_error *reterr)
{
    wf_error_set(reterr, err,
                 err == -ETIMEDOUT ? "timed out waiting for task %s"
                                   : "cancelled waiting for task %s",
                 wf_future_name(f));
    return err;
}

int wf_future_error(struct wf_future *f, wf_deadline deadline, struct wf_error *reterr)
{
    int err = wf_future_wait(f, deadline);
    return err ? describe_wait(f, err, reterr) : wfi_future_describe(f, reterr);
}

int wf_future_result(struct wf_future **future, void *ret, wf_deadline deadline,
                     struct wf_error *reterr)
{
    struct wf_future *f = *future;
    wfi_assert(f, "a future's outcome is taken once");
    int err = wf_future_wait(f, deadline);
    if (err)
        return describe_wait(f, err, reterr);
    const struct wf_task_type *type = wfi_future_type(f);
    err = wfi_future_describe(f, reterr);
    if (!err) {
        if (ret)
            memcpy(ret, wfi_future_result_ptr(f), type->result_bytes);
        if (type->drop_result && ret)
            observe(f);
    }
    if (!(wfi_load_relaxed(&f->state) & WFI_FUTURE_SCOPED)) {
        *future = NULL;
        wfi_future_release(f, WFI_FUTURE_HANDLE);
    }
    return err;
}

void wf_future_drop(struct wf_future **future)
{
    struct wf_future *f = *future;
    if (!f || (wfi_load_relaxed(&f->state) & WFI_FUTURE_SCOPED))
        return;
    *future = NULL;
    wfi_future_release(f, WFI_FUTURE_HANDLE);
}

enum wf_future_state wf_future_state(const struct wf_future *f)
{
    return wfi_future_state(wfi_load_acquire(&((struct wf_future *)(uintptr_t)f)->state));
}

/* Cancelling */

/* PENDING to CANCELED; the caller serves the future when it can, unless *ret_must_serve says that
 * somebody else does. */
static bool remove_pending(struct wf_future *f, bool *ret_must_serve)
{
    uint32_t word = wfi_load_acquire(&f->state);
    while (wfi_future_state(word) == WF_FUTURE_PENDING) {
        *ret_must_serve = !(word & WFI_FUTURE_HELD);
        if (word & WFI_FUTURE_HELD) {
            if (wfi_cas(&f->state, &word, word | WFI_FUTURE_ASKED))
                return true;
            continue;
        }
        uint32_t next =
            (word & ~(uint32_t)(WFI_FUTURE_STATE | WFI_FUTURE_COUNTED)) | WF_FUTURE_CANCELED;
        if (!wfi_cas(&f->state, &word, next))
            continue;
        if (word & WFI_FUTURE_COUNTED)
            f->on->ops->forget(f->on);
        wfi_locals_release(f->locals);
        f->chain = NULL;
        return true;
    }
    return false;
}

void wfi_future_serve_removed(struct wf_future *f)
{
    const struct wf_task_type *type = wfi_future_type(f);
    if (type->drop_args)
        type->drop_args(f->data);
    wfi_future_serve(f);
}

void wfi_future_cancel_pending(struct wf_future *f)
{
    bool must_serve;
    if (remove_pending(f, &must_serve) && must_serve)
        wfi_future_serve_removed(f);
}

enum wf_cancel_result wfi_future_cancel_quietly(struct wf_future *f, bool *ret_must_serve)
{
    if (remove_pending(f, ret_must_serve))
        return WF_CANCEL_REMOVED;
    *ret_must_serve = false;
    uint32_t word = wfi_load_acquire(&f->state);
    for (;;) {
        uint32_t next;
        switch (wfi_future_state(word)) {
        case WF_FUTURE_RUNNING:
            if (word & WFI_FUTURE_ASKED)
                return WF_CANCEL_ASKED;
            next = word | WFI_FUTURE_ASKED | (word & WFI_FUTURE_LEVEL ? WFI_FUTURE_BUSY : 0);
            if (!wfi_cas(&f->state, &word, next))
                continue;
            if (next & WFI_FUTURE_BUSY) {
                wfi_cancel_ask(&f->frame->level);
                wfi_fetch_and(&f->state, ~(uint32_t)WFI_FUTURE_BUSY);
            } else if (f->on && f->on->ops->cancel) {
                return f->on->ops->cancel(f->on, f);
            }
            return WF_CANCEL_ASKED;
        case WF_FUTURE_CANCELED:
            return WF_CANCEL_REMOVED;
        default:
            return WF_CANCEL_TOO_LATE;
        }
    }
}

enum wf_cancel_result wf_future_cancel(struct wf_future *f)
{
    bool must_serve;
    enum wf_cancel_result result = wfi_future_cancel_quietly(f, &must_serve);
    if (must_serve)
        wfi_future_serve_removed(f);
    return result;
}

void wf_future_shield(struct wf_future *f)
{
    wfi_fetch_or(&f->state, WFI_FUTURE_SHIELDED);
}
