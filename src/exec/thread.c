/* SPDX-License-Identifier: MIT */
/*
 * Named threads. One lock guards the list of those alive, and every thread's state and joiners. The
 * system's thread is joined by destroy; wf_thread_join waits for the state, so any number of
 * parties can, each with its deadline.
 */
#include <weft/thread.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/list.h"
#include "exec/future.h"
#include "os/lock.h"
#include "os/thread.h"
#include "sched/record.h"

enum state { MADE, STARTED, OVER };

struct wf_thread {
    char name[64];
    size_t stack_bytes;
    int (*fn)(void *);
    void *arg;
    struct wfi_thread thread;

    /* Under the lock. */
    WFI_ATOMIC(int) state; /* enum state; read without it */
    int code;
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

static void *run(void *arg)
{
    struct wf_thread *thread = arg;
    int code = wfi_record_attach(thread->name);
    if (!code) {
        wfi_lock_lock(&lock);
        thread->party = wfi_self();
        wfi_lock_unlock(&lock);
        code = thread->fn(thread->arg);
    }
    if (code < 0)
        report(thread, code);
    end(thread, code);
    return NULL;
}

int wf_thread_start(struct wf_thread *thread)
{
    wfi_lock_lock(&lock);
    bool made = wfi_load(&thread->state) == MADE;
    if (made) {
        wfi_store(&thread->state, STARTED);
        wfi_list_push_back(&alive, &thread->link);
    }
    wfi_lock_unlock(&lock);
    if (!made)
        return WF_ESTATE;
    int err = wfi_thread_start(&thread->thread, thread->name, thread->stack_bytes, run, thread);
    if (err) {
        wfi_lock_lock(&lock);
        wfi_list_remove(&thread->link);
        wfi_store(&thread->state, MADE);
        wfi_lock_unlock(&lock);
    }
    return err;
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
    int err = join(thread, deadline, true);
    if (!err && ret_code)
        *ret_code = thread->code;
    return err;
}

void wf_thread_destroy(struct wf_thread *thread)
{
    if (!thread)
        return;
    int state = wfi_load(&thread->state);
    if (state != MADE) {
        int err = join(thread, WF_FOREVER, false);
        wfi_assert(!err, "a thread is not destroyed by itself");
        wfi_thread_join(&thread->thread);
    }
    wfi_free(thread);
}

const char *wf_thread_name(const struct wf_thread *thread)
{
    return thread->name;
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
