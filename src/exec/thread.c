/* SPDX-License-Identifier: MIT */
/*
 * Named threads. One lock guards the list of those alive, and every thread's state and joiners. The
 * system's thread is joined by destroy; wf_thread_join waits for the state, so any number of
 * parties can, each with its deadline.
 *
 * `level` is the level of cancellation the function runs in, NULL outside it; it is asked under the
 * lock, so a canceller never reaches a frame that is gone.
 */
#include <weft/thread.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/list.h"
#include "exec/future.h"
#include "os/fork.h"
#include "os/lock.h"
#include "os/thread.h"
#include "sched/cancel.h"
#include "sched/record.h"
#include "sync/local.h"

enum state { MADE, STARTED, OVER };

struct wf_thread {
    char name[64];
    size_t stack_bytes;
    int (*fn)(void *);
    void *arg;
    struct wfi_thread thread;
    struct wfi_record *record; /* the thread's; the next two are handed over with its start */
    struct wfi_locals *locals;

    /* Under the lock. */
    WFI_ATOMIC(int) state; /* enum state; read without it */
    int code;
    bool asked;
    struct wfi_cancel *level;
    struct wfi_waiter *party; /* while it runs */
    struct wfi_wait_list joiners;
    struct wfi_link link; /* in `alive` */
};

static struct wfi_lock lock;
static struct wfi_list alive;         /* under the lock */
static WFI_ATOMIC(unsigned) numbered; /* default names so far */

static struct {
    struct wfi_lock lock;
    int (*fn)(const struct wf_error *, void *);
    void *arg;
} hook;

void wf_thread_set_failure_hook(int (*fn)(const struct wf_error *error, void *arg), void *arg)
{
    wfi_lock_lock(&hook.lock);
    hook.fn = fn;
    hook.arg = arg;
    wfi_lock_unlock(&hook.lock);
}

static void report(const struct wf_thread *thread, int code)
{
    struct wf_error error;
    wf_error_set(&error, code, "thread %s failed: %s", thread->name, wf_strerror(code));
    snprintf(error.origin, sizeof error.origin, "%s", thread->name);
    wfi_lock_lock(&hook.lock);
    int (*fn)(const struct wf_error *, void *) = hook.fn;
    void *arg = hook.arg;
    wfi_lock_unlock(&hook.lock);
    if (!fn || fn(&error, arg) != 0)
        wfi_error_report(&error);
}

int wf_thread_create(const struct wf_thread_options *options, int (*fn)(void *arg), void *arg,
                     struct wf_thread **ret_thread, struct wf_error *reterr)
{
    static const struct wf_thread_options defaults;
    if (!options)
        options = &defaults;
    struct wf_thread *thread = wfi_zalloc(sizeof *thread);
    if (!thread)
        return wf_error_set(reterr, -ENOMEM, NULL);
    if (options->name && options->name[0]) {
        snprintf(thread->name, sizeof thread->name, "%s", options->name);
    } else {
        unsigned number = wfi_fetch_add(&numbered, 1) + 1;
        if (options->function)
            snprintf(thread->name, sizeof thread->name, "Thread-%u (%s)", number,
                     options->function);
        else
            snprintf(thread->name, sizeof thread->name, "Thread-%u", number);
    }
    thread->stack_bytes = options->stack_bytes;
    thread->fn = fn;
    thread->arg = arg;
    *ret_thread = thread;
    return 0;
}

static void end(struct wf_thread *thread, int code)
{
    struct wfi_wake_list wake = {NULL, NULL};
    wfi_lock_lock(&lock);
    thread->code = code;
    thread->party = NULL;
    wfi_list_remove(&thread->link);
    wfi_store(&thread->state, OVER);
    wfi_wake_list_claim_all(&wake, &thread->joiners);
    wfi_lock_unlock(&lock);
    wfi_wake_all(&wake);
}

/* Runs the function where it can be cancelled. */
static int call(struct wf_thread *thread)
{
    struct wfi_cancel level;
    wfi_cancel_enter(&level, NULL, false, WF_FOREVER);
    wfi_lock_lock(&lock);
    thread->party = wfi_self();
    thread->level = &level;
    bool asked = thread->asked;
    wfi_lock_unlock(&lock);
    if (asked)
        wfi_cancel_ask(&level);
    int code = thread->fn(thread->arg);
    wfi_lock_lock(&lock);
    thread->level = NULL;
    asked = thread->asked;
    wfi_lock_unlock(&lock);
    wfi_cancel_leave(&level);
    if (code < 0 && !(code == -ECANCELED && asked))
        report(thread, code);
    return code;
}

static void *run(void *arg)
{
    struct wf_thread *thread = arg;
    wfi_record_adopt(thread->record, thread->name);
    wfi_locals_enter(thread->locals);
    int code = call(thread);
    wfi_party_end(wfi_self()); /* before those who join may free what its objects use */
    end(thread, code);
    return NULL;
}

int wf_thread_start(struct wf_thread *thread)
{
    if (wfi_forked())
        return WF_EFORKED;
    wfi_lock_lock(&lock);
    bool made = wfi_load(&thread->state) == MADE;
    if (made) {
        wfi_store(&thread->state, STARTED);
        wfi_list_push_back(&alive, &thread->link);
    }
    wfi_lock_unlock(&lock);
    if (!made)
        return WF_ESTATE;
    thread->locals = wfi_locals_capture();
    thread->record = wfi_record_take();
    int err = -ENOMEM;
    if (thread->record)
        err = wfi_thread_start(&thread->thread, thread->name, thread->stack_bytes, run, thread);
    if (err) {
        struct wfi_wake_list wake = {NULL, NULL};
        if (thread->record)
            wfi_record_give(thread->record);
        wfi_locals_release(thread->locals);
        wfi_lock_lock(&lock);
        wfi_list_remove(&thread->link);
        wfi_store(&thread->state, MADE);
        wfi_wake_list_claim_all(&wake, &thread->joiners);
        wfi_lock_unlock(&lock);
        wfi_wake_all(&wake);
    }
    return err;
}

enum wf_cancel_result wf_thread_cancel(struct wf_thread *thread)
{
    wfi_lock_lock(&lock);
    bool late = wfi_load(&thread->state) == OVER;
    thread->asked = true;
    if (thread->level)
        wfi_cancel_ask(thread->level);
    wfi_lock_unlock(&lock);
    return late ? WF_CANCEL_TOO_LATE : WF_CANCEL_ASKED;
}

static int join(struct wf_thread *thread, wf_deadline deadline, bool cancelable)
{
    wfi_lock_lock(&lock);
    int state = wfi_load(&thread->state);
    if (state == OVER || state == MADE || thread->party == wfi_self()) {
        wfi_lock_unlock(&lock);
        return state == OVER ? 0 : WF_ESTATE;
    }
    struct wfi_wait_node node = {0};
    return cancelable
               ? wfi_wait(&thread->joiners, &lock, &node, "thread", thread, deadline)
               : wfi_wait_uncancelable(&thread->joiners, &lock, &node, "thread", thread, deadline);
}

int wf_thread_join(struct wf_thread *thread, int *ret_code, wf_deadline deadline)
{
    if (wfi_forked())
        return WF_EFORKED;
    int err = join(thread, deadline, true);
    if (!err && wfi_load(&thread->state) != OVER)
        err = WF_ESTATE; /* the system refused it while others waited */
    if (!err && ret_code)
        *ret_code = thread->code;
    return err;
}

void wf_thread_destroy(struct wf_thread *thread)
{
    if (!thread)
        return;
    int state = wfi_load(&thread->state);
    if (state != MADE && !wfi_forked()) { /* in a forked child it does not exist */
        int err = join(thread, WF_FOREVER, false);
        wfi_assert(!err, "a thread is not destroyed by itself");
        wfi_thread_join(&thread->thread);
    }
    wfi_free(thread);
}

static const char *own_name(void)
{
    struct wfi_waiter *self = wfi_self();
    if (self->kind == WFI_FIBER && self->task)
        return wf_task_name(self->task);
    if (self->name[0])
        return self->name;
    if (self->kind == WFI_FIBER)
        return "fiber";
    /* A thread that weft did not make: it is asked for once, and shown in dumps from then on. */
    if (wfi_thread_is_first())
        snprintf(self->name, sizeof self->name, "main");
    else
        snprintf(self->name, sizeof self->name, "foreign-%d", wfi_thread_id());
    return self->name;
}

const char *wf_thread_name(const struct wf_thread *thread)
{
    if (thread)
        return thread->name;
    struct wf_thread *self = wf_thread_self();
    return self ? self->name : own_name(); /* in full, if it has more than a record keeps */
}

bool wf_thread_alive(const struct wf_thread *thread)
{
    return wfi_load(&((struct wf_thread *)(uintptr_t)thread)->state) == STARTED;
}

static struct wf_thread *thread_of(struct wfi_link *link)
{
    return wfi_container_of(link, struct wf_thread, link);
}

struct wf_thread *wf_thread_self(void)
{
    struct wfi_waiter *self = wfi_self();
    struct wf_thread *found = NULL;
    wfi_lock_lock(&lock);
    struct wfi_link *link = wfi_list_first(&alive);
    for (; link && !found; link = wfi_list_next(&alive, link))
        if (thread_of(link)->party == self)
            found = thread_of(link);
    wfi_lock_unlock(&lock);
    return found;
}

size_t wf_thread_each(void (*fn)(struct wf_thread *thread, void *arg), void *arg)
{
    size_t count = 0;
    wfi_lock_lock(&lock);
    struct wfi_link *link = wfi_list_first(&alive);
    for (; link; link = wfi_list_next(&alive, link), count++)
        if (fn)
            fn(thread_of(link), arg);
    wfi_lock_unlock(&lock);
    return count;
}
