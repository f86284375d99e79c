/* SPDX-License-Identifier: MIT */
/*
 * wf_main: the root task on a fiber, and a thread of its own for signals, so that a dump or an exit
 * needs no worker that still works.
 *
 * In order: claim `running`; the fibers runtime; the signals and their thread; the root task; its
 * end; the ends of what it left behind; the signals thread; the runtime.
 *
 *  1. Signals are watched before the root task is submitted, so none that comes while it runs ends
 *     the process by default. One that comes before it is remembered: who submits looks for it
 *     after announcing the future, who takes the signal looks for the future after announcing the
 *     signal, all sequentially consistent, so one of them cancels it.
 *  2. The future is consumed, and the state gone, only after the thread has been joined.
 *  3. `waiting` is the level in which the main thread waits for executors that were left open,
 * under `lock`: a signal interrupts that wait, and what has not started is cancelled.
 */
#include <weft/main.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <weft/fibers.h>
#include <weft/future.h>

#include "exec/executor.h"
#include "exec/inspect.h"
#include "exec/main.h"
#include "os/exit.h"
#include "os/fork.h"
#include "os/lock.h"
#include "os/signal.h"
#include "os/thread.h"
#include "os/wakefd.h"
#include "sched/cancel.h"
#include "sched/record.h"
#include "sched/registry.h"

#define DRAIN_NS WF_SECONDS(10)

int (*wfi_main_before_threads)(struct wf_error *reterr);

struct main_state {
    int (*root)(void *);
    void *arg;
    int64_t drain_ns;
    enum wf_main_signal (*decide)(void *, int); /* NULL: by their number */
    struct wf_executor *on;                     /* under the lock; NULL before it exists */
    WFI_ATOMIC(struct wf_future *) future;      /* of the root task; NULL before it is submitted */
    struct wf_scope *scope;                     /* in its frame; under the lock */
    struct wfi_cancel *waiting;                 /* under the lock */
    struct wfi_signals *signals;
    struct wfi_thread thread;
    struct wfi_record *record; /* the thread's */
    int stop_fd;
    WFI_ATOMIC(bool) stop;
    WFI_ATOMIC(int) signal; /* the first SIGINT or SIGTERM */
};

static struct wfi_lock lock;
static struct main_state *running; /* under the lock; NULL when wf_main does not run */

WF_TASK(int, wfi_root, (struct main_state *, state))

int wfi_root(struct wf_task *self, struct main_state *state, int *ret)
{
    (void)self;
    struct wf_scope scope;
    wf_scope_open(&scope, NULL, WF_FOREVER);
    wfi_lock_lock(&lock);
    state->scope = &scope;
    wfi_lock_unlock(&lock);
    *ret = state->root(state->arg);
    wf_scope_cancel(&scope);
    wf_scope_close(&scope, NULL);
    wfi_lock_lock(&lock);
    state->scope = NULL;
    wfi_lock_unlock(&lock);
    return 0;
}
WF_TASK_DEFINE(wfi_root)

struct wf_executor *wf_main_executor(void)
{
    wfi_lock_lock(&lock);
    struct wf_executor *on = running ? running->on : NULL;
    wfi_lock_unlock(&lock);
    return on;
}

struct wf_scope *wf_main_scope(void)
{
    wfi_lock_lock(&lock);
    struct wf_scope *scope = running ? running->scope : NULL;
    wfi_lock_unlock(&lock);
    return scope;
}

static void to_standard_error(void *arg, const char *text)
{
    (void)arg;
    fprintf(stderr, "weft: %s\n", text);
}

/* Signals */

static void take_signal(struct main_state *state, int signo)
{
    if (signo == SIGUSR1) {
        wf_dump(to_standard_error, NULL);
        return;
    }
    enum wf_main_signal what = wfi_load(&state->signal) ? WF_MAIN_EXIT : WF_MAIN_CANCEL;
    int none = 0;
    if (state->decide)
        what = state->decide(state->arg, signo);
    if (what == WF_MAIN_EXIT)
        wfi_exit_now(128 + signo);
    if (what == WF_MAIN_PASS || !wfi_cas(&state->signal, &none, signo))
        return;
    struct wf_future *root = wfi_load(&state->future);
    if (root)
        wf_future_cancel(root);
    wfi_lock_lock(&lock);
    if (state->waiting)
        wfi_cancel_ask(state->waiting);
    wfi_lock_unlock(&lock);
}

static void give_up(struct main_state *state)
{
    fprintf(stderr, "weft: not at an end %.1f s after the signal; what is left:\n",
            (double)state->drain_ns / 1e9);
    wf_dump(to_standard_error, NULL);
    wfi_exit_now(128 + wfi_load(&state->signal));
}

static void *serve_signals(void *arg)
{
    struct main_state *state = arg;
    wf_deadline drained = WF_FOREVER;
    wfi_record_adopt(state->record, "weft_signals");
    for (;;) {
        wfi_wakefd_poll(state->stop_fd, wfi_signals_fd(state->signals), POLLIN, drained);
        if (wfi_load(&state->stop))
            return NULL;
        int signo;
        while (wfi_signals_read(state->signals, &signo) == 0) {
            take_signal(state, signo);
            if (drained.ns == INT64_MAX && state->drain_ns > 0 && wfi_load(&state->signal))
                drained = wf_after(state->drain_ns);
        }
        if (wf_remaining(drained) == 0)
            give_up(state);
    }
}

static int start_signals_thread(struct main_state *state)
{
    state->stop_fd = wfi_wakefd_open();
    if (state->stop_fd < 0)
        return state->stop_fd;
    state->record = wfi_record_take();
    int err = state->record ? 0 : -ENOMEM;
    if (!err)
        err = wfi_thread_start(&state->thread, "weft_signals", 0, serve_signals, state);
    if (err) {
        if (state->record)
            wfi_record_give(state->record);
        wfi_wakefd_close(state->stop_fd);
    }
    return err;
}

static int watch_signals(struct main_state *state, struct wf_error *reterr)
{
    static const int handled[] = {SIGINT, SIGTERM, SIGUSR1, SIGQUIT};
    int wanted[4];
    size_t count = 0;
    for (size_t i = 0; i < sizeof handled / sizeof *handled; i++)
        if (!wfi_signal_ignored(handled[i]) && (handled[i] != SIGQUIT || state->decide))
            wanted[count++] = handled[i];
    int err = wfi_signals_open(&state->signals, wanted, count, reterr);
    if (err)
        return err;
    err = start_signals_thread(state);
    if (err) {
        wfi_signals_close(state->signals);
        return wf_error_set(reterr, err, "signals: %s", wf_strerror(err));
    }
    return 0;
}

static void unwatch_signals(struct main_state *state)
{
    wfi_store(&state->stop, true);
    wfi_wakefd_set(state->stop_fd);
    wfi_thread_join(&state->thread);
    /* One that came too late to interrupt anything still tells in the exit status. */
    int signo, none = 0;
    while (wfi_signals_read(state->signals, &signo) == 0)
        if (signo != SIGUSR1 && !state->decide)
            wfi_cas(&state->signal, &none, signo);
    wfi_wakefd_close(state->stop_fd);
    wfi_signals_close(state->signals);
}

/* Waits for executors that were left open until all is done or a signal comes. */
static void wait_for_executors(struct main_state *state)
{
    struct wfi_cancel level;
    wfi_cancel_enter(&level, wfi_self()->cancel, false, WF_FOREVER);
    wfi_lock_lock(&lock);
    state->waiting = &level;
    wfi_lock_unlock(&lock);
    if (!wfi_load(&state->signal))
        wfi_executor_shutdown_all(WF_SHUTDOWN_WAIT, WF_FOREVER);
    wfi_lock_lock(&lock);
    state->waiting = NULL;
    wfi_lock_unlock(&lock);
    wfi_cancel_leave(&level);
}

static int run_root(struct main_state *state, struct wf_error *reterr)
{
    int err = watch_signals(state, reterr);
    if (err)
        return err;
    wfi_root_future root = wfi_root_submit(state->on, state);
    wfi_store(&state->future, root.future);
    if (wfi_load(&state->signal))
        wf_future_cancel(root.future);
    wf_future_wait(root.future, WF_FOREVER);
    /* What was left behind is waited for; the signals thread keeps watch meanwhile. */
    struct wf_shield shield;
    wf_executor_shutdown(state->on, WF_SHUTDOWN_CANCEL, WF_FOREVER);
    wait_for_executors(state);
    wf_shield_enter(&shield, WF_FOREVER);
    wfi_executor_shutdown_all(WF_SHUTDOWN_CANCEL, WF_FOREVER);
    wf_shield_leave(&shield);
    unwatch_signals(state);
    int status = 0;
    err = wfi_root_result(&root, &status, WF_FOREVER, reterr);
    int signo = wfi_load(&state->signal);
    if (signo)
        return 128 + signo;
    if (!err && status < 0)
        err = wf_error_set(reterr, status, "the root task failed: %s", wf_strerror(status));
    return err ? err : status;
}

static int run(struct main_state *state, const struct wf_main_options *options,
               struct wf_error *reterr)
{
    int err = 0;
    if (wfi_main_before_threads && !options->no_processes)
        err = wfi_main_before_threads(reterr);
    if (err)
        return err;
    struct wf_fibers_options fibers = {
        .workers = options->workers, .stack_bytes = options->stack_bytes, .name = "weft"};
    struct wf_executor *on;
    err = wf_fibers_create(&fibers, &on, reterr);
    if (err)
        return err;
    wfi_lock_lock(&lock);
    state->on = on;
    wfi_lock_unlock(&lock);
    wfi_inspect_dumps();
    wfi_report_overflows(NULL); /* without it the program runs all the same */
    err = run_root(state, reterr);
    wfi_lock_lock(&lock);
    state->on = NULL;
    wfi_lock_unlock(&lock);
    wf_executor_destroy(on);
    return err;
}

void wfi_main_forked(void)
{
    running = NULL; /* the only thread there is */
}

int wf_main(const struct wf_main_options *options, int (*root)(void *arg), void *arg,
            struct wf_error *reterr)
{
    static const struct wf_main_options defaults;
    if (!options)
        options = &defaults;
    if (wfi_forked())
        return wf_error_set(reterr, WF_EFORKED, NULL);
    struct main_state state = {
        .root = root,
        .arg = arg,
        .drain_ns = options->drain_ns ? options->drain_ns : DRAIN_NS,
        .decide = options->signal,
    };
    wfi_lock_lock(&lock);
    bool first = running == NULL;
    if (first)
        running = &state;
    wfi_lock_unlock(&lock);
    if (!first)
        return wf_error_set(reterr, WF_ESTATE, "wf_main runs already");
    int err = run(&state, options, reterr);
    wfi_lock_lock(&lock);
    running = NULL;
    wfi_lock_unlock(&lock);
    return err;
}
