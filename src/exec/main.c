/* SPDX-License-Identifier: MIT */
/*
 * wf_main: the root task on a fiber, and a thread of its own for signals, so that a dump or an exit
 * needs no worker that still works.
 *
 * The signals thread and the main thread share the state below under `lock`. `ended` is set before
 * the thread is told to stop; it cancels the root future only while that is not consumed, which is
 * after the thread has been joined.
 */
#include <weft/main.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include <weft/fibers.h>
#include <weft/future.h>

#include "exec/executor.h"
#include "exec/main.h"
#include "os/exit.h"
#include "os/lock.h"
#include "os/signal.h"
#include "os/thread.h"
#include "os/wakefd.h"
#include "sched/record.h"
#include "sched/registry.h"

#define DRAIN_NS WF_SECONDS(10)

int (*wfi_main_before_threads)(struct wf_error *reterr);

struct main_state {
    int (*root)(void *);
    void *arg;
    int64_t drain_ns;
    struct wf_executor *on;
    struct wf_future *future; /* of the root task */
    struct wf_scope *scope;   /* in its frame */
    struct wfi_signals *signals;
    struct wfi_thread thread;
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

/* The dump */

struct lines {
    wfi_dump_line *line;
    void *arg;
};

static void print_task(const struct wf_future *f, void *arg)
{
    static const char *const states[] = {
        [WF_FUTURE_PENDING] = "pending",
        [WF_FUTURE_RUNNING] = "running",
    };
    struct lines *lines = arg;
    uint32_t word = wfi_load_relaxed(&f->state);
    uint32_t state = word & WFI_FUTURE_STATE;
    const struct wf_task_type *type = wfi_load_relaxed(&f->type);
    if ((state != WF_FUTURE_PENDING && state != WF_FUTURE_RUNNING) || !type)
        return;
    char text[160];
    snprintf(text, sizeof text, "task %s %s%s", type->name, states[state],
             word & WFI_FUTURE_ASKED ? ", asked to stop" : "");
    lines->line(lines->arg, text);
}

static void dump_tasks(wfi_dump_line *line, void *arg)
{
    struct lines lines = {line, arg};
    wfi_future_each(print_task, &lines);
}

static void hook_dump(void)
{
    static WFI_ATOMIC(uint32_t) hooked;
    if (wfi_fetch_or(&hooked, 1u) == 0)
        wfi_dump_hook(dump_tasks);
}

void wf_dump(void (*line)(void *arg, const char *text), void *arg)
{
    hook_dump();
    wfi_dump(line, arg);
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
    int none = 0;
    if (!wfi_cas(&state->signal, &none, signo))
        wfi_exit_now(128 + signo); /* the second one is hard */
    wf_future_cancel(state->future);
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
    if (wfi_record_attach("weft_signals"))
        return NULL;
    for (;;) {
        wfi_wakefd_poll(state->stop_fd, wfi_signals_fd(state->signals), POLLIN, drained);
        if (wfi_load(&state->stop))
            return NULL;
        int signo;
        while (wfi_signals_read(state->signals, &signo) == 0) {
            take_signal(state, signo);
            if (drained.ns == INT64_MAX && wfi_load(&state->signal))
                drained = wf_after(state->drain_ns);
        }
        if (wf_remaining(drained) == 0)
            give_up(state);
    }
}

static int watch_signals(struct main_state *state, struct wf_error *reterr)
{
    int wanted[3], count = 0;
    if (!wfi_signal_ignored(SIGINT))
        wanted[count++] = SIGINT;
    if (!wfi_signal_ignored(SIGTERM))
        wanted[count++] = SIGTERM;
    wanted[count++] = SIGUSR1;
    int err = wfi_signals_open(&state->signals, wanted, (size_t)count, reterr);
    if (err)
        return err;
    state->stop_fd = wfi_wakefd_open();
    err = state->stop_fd < 0 ? state->stop_fd : 0;
    if (!err) {
        err = wfi_thread_start(&state->thread, "weft_signals", 0, serve_signals, state);
        if (err)
            wfi_wakefd_close(state->stop_fd);
    }
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
    wfi_wakefd_close(state->stop_fd);
    wfi_signals_close(state->signals);
}

static int run_root(struct main_state *state, struct wf_error *reterr)
{
    wfi_root_future root = wfi_root_submit(state->on, state);
    state->future = root.future;
    int err = watch_signals(state, reterr);
    if (err) {
        wf_future_cancel(root.future);
        wfi_root_result(&root, NULL, WF_FOREVER, NULL);
        return err;
    }
    wf_future_wait(root.future, WF_FOREVER);
    /* What was started freely and still runs is waited for; the signals thread keeps watch. */
    wf_executor_shutdown(state->on, WF_SHUTDOWN_CANCEL, WF_FOREVER);
    wfi_executor_shutdown_all(wfi_load(&state->signal) ? WF_SHUTDOWN_CANCEL : WF_SHUTDOWN_WAIT,
                              WF_FOREVER);
    unwatch_signals(state);
    int status = 0;
    err = wfi_root_result(&root, &status, WF_FOREVER, reterr);
    int signo = wfi_load(&state->signal);
    if (signo)
        return 128 + signo;
    return err ? err : status;
}

int wf_main(const struct wf_main_options *options, int (*root)(void *arg), void *arg,
            struct wf_error *reterr)
{
    static const struct wf_main_options defaults;
    if (!options)
        options = &defaults;
    struct main_state state = {
        .root = root,
        .arg = arg,
        .drain_ns = options->drain_ns ? options->drain_ns : DRAIN_NS,
    };
    int err = wfi_main_before_threads ? wfi_main_before_threads(reterr) : 0;
    if (err)
        return err;
    struct wf_fibers_options fibers = {
        .workers = options->workers, .stack_bytes = options->stack_bytes, .name = "weft"};
    err = wf_fibers_create(&fibers, &state.on, reterr);
    if (err)
        return err;
    wfi_lock_lock(&lock);
    bool first = running == NULL;
    if (first)
        running = &state;
    wfi_lock_unlock(&lock);
    if (first) {
        hook_dump();
        wfi_report_overflows(NULL); /* without it the program runs all the same */
        err = run_root(&state, reterr);
        wfi_lock_lock(&lock);
        running = NULL;
        wfi_lock_unlock(&lock);
    } else {
        err = wf_error_set(reterr, WF_ESTATE, "wf_main runs already");
    }
    wf_executor_destroy(state.on);
    return err;
}
