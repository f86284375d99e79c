/* SPDX-License-Identifier: MIT */
/*
 * Scopes. One lock guards the list of children, their count and the first failure; the level of
 * cancellation is entered by the body's party at open and left at close.
 *
 * Invariants
 *  1. `running` counts children whose end has not been told to the scope. While it is above zero
 * the scope lives, so a child that still counts may use it, and asking its level is allowed.
 *  2. A child's block stays in the list, and its handle valid, until close; but one started by
 * wf_go leaves the list when it ends well.
 *  3. The scope's lock is taken with no other lock held. While it is held, running children may be
 *     asked, and the executor told that a queued one has gone (an executor's lock is inside the
 *     scope's); but the lists of those that are cancelled unstarted are served after it is
 * released, because serving calls the user's code and comes back here.
 *
 * Cancelling is done twice over: the scope's own level is asked, which the children have in view,
 * and each child is asked itself, because a wait is only interrupted through its own party's
 * levels.
 */
#include "exec/scope.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "exec/executor.h"

struct scope {
    struct wfi_cancel level;
    struct wf_executor *on;
    struct wfi_lock lock;
    bool canceled;                  /* under the lock: no more children are started */
    bool told;                      /* the owner's: join has handed out the outcome */
    struct wfi_list children;       /* under the lock */
    size_t running;                 /* under the lock */
    struct wfi_wait_list joiners;   /* under the lock */
    struct wf_future *first_failed; /* under the lock */
    struct wf_error *body_error;    /* under the lock until set, then the owner's */
    int body_code;                  /* the same */
};

_Static_assert(sizeof(struct scope) <= sizeof(struct wf_scope),
               "the public storage is large enough");
_Static_assert(_Alignof(struct scope) <= _Alignof(struct wf_scope), "and aligned enough");
_Static_assert(sizeof(struct wfi_cancel) <= sizeof(struct wf_shield), "so is a shield's");

static struct scope *inner(struct wf_scope *scope)
{
    return (struct scope *)(void *)scope;
}

struct wfi_cancel *wfi_scope_level(struct wf_scope *scope)
{
    return &inner(scope)->level;
}

static struct wf_future *child_of(struct wfi_link *link)
{
    return wfi_container_of(link, struct wf_future, scoped.link);
}

struct wf_scope *wf_scope_open(struct wf_scope *storage, struct wf_executor *on,
                               wf_deadline deadline)
{
    struct wfi_waiter *self = wfi_self();
    struct scope *scope = inner(storage);
    memset(storage, 0, sizeof *storage);
    if (!on && self->task)
        on = ((struct wf_task *)self->task)->on;
    wfi_assert(on, "a scope outside all tasks names its executor");
    scope->on = on;
    wfi_cancel_enter(&scope->level, self->cancel, false, deadline);
    return storage;
}

/* True when `level` or one around it, as far as they can be seen, was asked or has expired. */
static bool canceled_around(struct wfi_cancel *level)
{
    int64_t now = 0;
    for (; level; level = level->parent) {
        if (wfi_load(&level->asked))
            return true;
        int64_t deadline = wfi_load_relaxed(&level->deadline_ns);
        if (deadline != INT64_MAX) {
            now = now ? now : wf_now();
            if (deadline <= now)
                return true;
        }
        if (level->shield)
            break;
    }
    return false;
}

static void cancel_children(struct scope *scope)
{
    struct wf_future *removed = NULL;
    wfi_lock_lock(&scope->lock);
    scope->canceled = true;
    struct wfi_link *link = wfi_list_first(&scope->children);
    for (; link; link = wfi_list_next(&scope->children, link)) {
        struct wf_future *child = child_of(link);
        bool must_serve;
        wfi_future_cancel_quietly(child, &must_serve);
        if (must_serve) {
            child->chain = removed;
            removed = child;
        }
    }
    wfi_lock_unlock(&scope->lock);
    while (removed) {
        struct wf_future *child = removed;
        removed = child->chain;
        wfi_future_serve_removed(child);
    }
}

void wf_scope_cancel(struct wf_scope *storage)
{
    struct scope *scope = inner(storage);
    wfi_cancel_ask(&scope->level);
    cancel_children(scope);
}

void wfi_scope_child_ended(struct wf_scope *storage, struct wf_future *child)
{
    struct scope *scope = inner(storage);
    uint32_t word = wfi_load_relaxed(&child->state);
    bool failed = wfi_future_state(word) == WF_FUTURE_FAILED, first = false;
    if (failed) {
        wfi_lock_lock(&scope->lock);
        first = !scope->first_failed;
        if (first && !scope->body_code)
            scope->first_failed = child;
        wfi_lock_unlock(&scope->lock);
        if (first) /* while this child still counts, see invariant 1 */
            wf_scope_cancel(storage);
    }
    struct wfi_wake_list wake = {NULL, NULL};
    bool gone = (word & WFI_FUTURE_RELEASED) && !failed;
    wfi_lock_lock(&scope->lock);
    if (gone)
        wfi_list_remove(&child->scoped.link);
    if (--scope->running == 0)
        wfi_wake_list_claim_all(&wake, &scope->joiners);
    wfi_lock_unlock(&scope->lock);
    wfi_wake_all(&wake);
    if (gone)
        wfi_future_release(child, WFI_FUTURE_HANDLE);
}

static struct wf_future *start_child(struct wf_scope *storage, const struct wf_task_type *type,
                                     const struct wf_submit_options *options, const void *args,
                                     uint32_t bits)
{
    struct scope *scope = inner(storage);
    struct wf_future *f = wfi_future_create(scope->on, type, options, args, true);
    if (f == wfi_future_no_memory()) {
        wf_scope_fail(storage, -ENOMEM, "no memory to start task %s", type->name);
        return f;
    }
    f->scoped.scope = storage;
    if (bits)
        wfi_fetch_or(&f->state, bits);
    f->scoped.link = (struct wfi_link){NULL, NULL};
    bool late = canceled_around(&scope->level);
    wfi_lock_lock(&scope->lock);
    late |= scope->canceled;
    wfi_list_push_back(&scope->children, &f->scoped.link);
    scope->running++;
    wfi_lock_unlock(&scope->lock);
    if (late) {
        wf_future_cancel(f);
        wfi_future_release(f, WFI_FUTURE_ENGINE);
    } else {
        wfi_executor_submit(scope->on, f, options);
    }
    return f;
}

struct wf_future *wf_spawn(struct wf_scope *scope, const struct wf_task_type *type,
                           const struct wf_submit_options *options, const void *args)
{
    return start_child(scope, type, options, args, 0);
}

int wf_go(struct wf_scope *storage, const struct wf_task_type *type,
          const struct wf_submit_options *options, const void *args)
{
    struct scope *scope = inner(storage);
    struct wf_future *f = start_child(storage, type, options, args, WFI_FUTURE_RELEASED);
    if (f == wfi_future_no_memory())
        return -ENOMEM;
    /* The child may have ended and gone; whether the scope takes children is all that can be said.
     */
    wfi_lock_lock(&scope->lock);
    int err = scope->canceled ? -ECANCELED : 0;
    wfi_lock_unlock(&scope->lock);
    return err;
}

int wf_scope_fail(struct wf_scope *storage, int code, const char *format, ...)
{
    struct scope *scope = inner(storage);
    if (code >= 0)
        code = WF_ETASKFAILED;
    struct wf_error *error = wfi_alloc(sizeof *error); /* without memory the code alone arrives */
    if (error) {
        wf_error_set(error, code, NULL);
        if (format) {
            va_list args;
            va_start(args, format);
            vsnprintf(error->text, sizeof error->text, format, args);
            va_end(args);
        }
    }
    wfi_lock_lock(&scope->lock);
    bool first = !scope->first_failed && !scope->body_code;
    if (first) {
        scope->body_code = code;
        scope->body_error = error;
    }
    wfi_lock_unlock(&scope->lock);
    if (!first)
        wfi_free(error);
    wf_scope_cancel(storage);
    return code;
}

/* Runs here what has not started, where the executor's rules allow it: see wf_future_wait. */
static void help(struct scope *scope)
{
    if (!scope->on->ops->helps || !wfi_executor_is_mine(scope->on))
        return;
    for (;;) {
        struct wf_future *found = NULL;
        wfi_lock_lock(&scope->lock);
        struct wfi_link *link = wfi_list_first(&scope->children);
        for (; link && !found; link = wfi_list_next(&scope->children, link))
            /* Under the lock: a child that nobody holds could end and be another's by then. */
            if (wfi_future_claim(child_of(link)))
                found = child_of(link);
        wfi_lock_unlock(&scope->lock);
        if (!found)
            return;
        wfi_future_run(found, true);
    }
}

static int wait_for_children(struct scope *scope, bool cancelable)
{
    wfi_lock_lock(&scope->lock);
    if (scope->running == 0) {
        wfi_lock_unlock(&scope->lock);
        return 0;
    }
    struct wfi_wait_node node = {0};
    return cancelable ? wfi_wait(&scope->joiners, &scope->lock, &node, "scope", scope, WF_FOREVER)
                      : wfi_wait_uncancelable(&scope->joiners, &scope->lock, &node, "scope", scope,
                                              WF_FOREVER);
}

static void append(struct wf_error *to, const struct wf_error *more)
{
    char text[sizeof to->text];
    int len = snprintf(text, sizeof text, "%s; also %s%s", to->text, more->task,
                       more->task[0] ? ": " : "");
    if (len < (int)sizeof text)
        strncat(text, more->text, sizeof text - (size_t)len - 1);
    memcpy(to->text, text, sizeof text);
}

/* After the children have ended: whether nothing went wrong, in it or around it. */
static bool is_well(struct scope *scope)
{
    return !scope->first_failed && !scope->body_code && !wfi_load(&scope->level.expired) &&
           !wfi_load(&scope->level.asked) && !canceled_around(scope->level.parent);
}

/* Which error is the scope's, and what else failed. Not in the frame of who asks: most scopes end
 * well, and what errors take of the stack would be a page more for each fiber that has one. */
static __attribute__((noinline)) int outcome(struct scope *scope, struct wf_error *reterr)
{
    struct wf_error error = {0}, more;
    if (scope->first_failed) {
        wfi_future_describe(scope->first_failed, &error);
    } else if (scope->body_code) {
        if (scope->body_error)
            error = *scope->body_error;
        else
            wf_error_set(&error, scope->body_code, NULL);
    } else if (canceled_around(scope->level.parent)) {
        wf_error_set(&error, -ECANCELED, "the scope was cancelled from outside");
    } else if (wfi_load(&scope->level.expired)) {
        wf_error_set(&error, -ETIMEDOUT, "the scope's deadline passed");
    } else if (wfi_load(&scope->level.asked)) {
        wf_error_set(&error, -ECANCELED, "the scope was cancelled");
    }
    struct wfi_link *link = wfi_list_first(&scope->children);
    for (; link; link = wfi_list_next(&scope->children, link)) {
        struct wf_future *child = child_of(link);
        if (child == scope->first_failed || wf_future_state(child) != WF_FUTURE_FAILED)
            continue;
        wfi_future_describe(child, &more);
        append(&error, &more);
    }
    if (error.code && reterr)
        *reterr = error;
    return error.code;
}

static void join(struct scope *scope)
{
    wfi_assert(wfi_self()->cancel == &scope->level,
               "a scope is joined by its owner, innermost first");
    help(scope);
    if (wait_for_children(scope, true)) {
        cancel_children(scope);
        wait_for_children(scope, false);
    }
}

int wf_scope_join(struct wf_scope *storage, struct wf_error *reterr)
{
    struct scope *scope = inner(storage);
    join(scope);
    scope->told = true;
    return is_well(scope) ? 0 : outcome(scope, reterr);
}

/* A close without anybody to tell: the error hook hears of a failure that join has not told. */
static __attribute__((noinline)) int report(struct scope *scope)
{
    struct wf_error error;
    int err = outcome(scope, &error);
    if ((scope->first_failed || scope->body_code) && !scope->told)
        wfi_error_report(&error);
    return err;
}

int wf_scope_close(struct wf_scope *storage, struct wf_error *reterr)
{
    struct scope *scope = inner(storage);
    int err = 0;
    join(scope);
    if (!is_well(scope))
        err = reterr ? outcome(scope, reterr) : report(scope);
    wfi_cancel_leave(&scope->level);
    struct wfi_link *link;
    while ((link = wfi_list_pop_front(&scope->children)))
        wfi_future_release(child_of(link), WFI_FUTURE_HANDLE);
    wfi_free(scope->body_error);
    return err;
}

int wf_scope_set_deadline(struct wf_scope *storage, wf_deadline deadline)
{
    struct scope *scope = inner(storage);
    if (wfi_load(&scope->level.asked))
        return WF_ESTATE;
    wfi_store(&scope->level.deadline_ns, deadline.ns);
    return 0;
}

bool wf_scope_expired(const struct wf_scope *storage)
{
    struct scope *scope = inner((struct wf_scope *)(uintptr_t)storage);
    return wfi_load(&scope->level.expired);
}

size_t wf_scope_running(struct wf_scope *storage)
{
    struct scope *scope = inner(storage);
    wfi_lock_lock(&scope->lock);
    size_t running = scope->running;
    wfi_lock_unlock(&scope->lock);
    return running;
}

struct wf_shield *wf_shield_enter(struct wf_shield *shield, wf_deadline deadline)
{
    wfi_cancel_enter((struct wfi_cancel *)(void *)shield, wfi_self()->cancel, true, deadline);
    return shield;
}

void wf_shield_leave(struct wf_shield *shield)
{
    wfi_cancel_leave((struct wfi_cancel *)(void *)shield);
}
