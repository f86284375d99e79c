/* SPDX-License-Identifier: MIT */
/* The life of a child program: started, waited for, signalled, closed; see proc/child.h. */
#include "proc/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <weft/scope.h>

#include "base/alloc.h"
#include "net/stream.h"
#include "os/fork.h"
#include "os/pidfd.h"
#include "os/socket.h"
#include "proc/child_plan.h"

char *wf_exit_format(const struct wf_exit *end, char *ret_text, size_t size)
{
    if (!end->signal) {
        snprintf(ret_text, size, "exited with status %d", end->status);
        return ret_text;
    }
    const char *name = sigabbrev_np(end->signal);
    if (name)
        snprintf(ret_text, size, "killed by SIG%s", name);
    else
        snprintf(ret_text, size, "killed by signal %d", end->signal);
    return ret_text;
}

static struct wf_child *create(const struct wf_child_options *options)
{
    struct wf_child *child = wfi_zalloc(sizeof *child);
    if (!child)
        return NULL;
    child->group = options->group;
    child->capture_max = options->capture_max ? options->capture_max : WFI_CHILD_CAPTURE_MAX;
    return child;
}

/* The caller's ends of the pipes become streams. */
static int make_streams(struct wf_child *child, struct wfi_child_plan *plan)
{
    for (int i = 0; i < 3; i++) {
        if (plan->mine[i] < 0)
            continue;
        int err = wfi_stream_create(plan->mine[i], false, &child->pipes[i]);
        if (err)
            return err;
        plan->mine[i] = -1;
    }
    return 0;
}

static void close_pipes(struct wf_child *child)
{
    for (int i = 0; i < 3; i++) {
        wf_stream_close(child->pipes[i]);
        child->pipes[i] = NULL;
    }
}

/* Everything that can fail comes before the program runs. */
static int start(struct wf_child *child, struct wfi_child_plan *plan,
                 struct wfi_spawn_failure *ret_failure)
{
    int pidfd = -1;
    int err = make_streams(child, plan);
    if (!err)
        err = wfi_handle_init(&child->process, -1);
    if (err)
        return err;
    child->started_ns = wf_now();
    err = wfi_spawn(&plan->spawn, &child->pid, &pidfd, ret_failure);
    wfi_handle_set_fd(&child->process, pidfd);
    if (err)
        wfi_handle_close(&child->process);
    return err;
}

int wf_child_spawn(const struct wf_child_options *options, struct wf_child **ret_child,
                   struct wf_error *reterr)
{
    struct wfi_child_plan plan;
    struct wfi_spawn_failure failure = {WFI_SPAWN_START, 0};
    if (wfi_forked())
        return wf_error_set(reterr, WF_EFORKED, NULL);
    int err = wfi_child_plan_init(&plan, options, reterr);
    if (err)
        return err;
    struct wf_child *child = create(options);
    err = child ? start(child, &plan, &failure) : -ENOMEM;
    if (err)
        wfi_child_plan_explain(&plan, options, err, &failure, reterr);
    wfi_child_plan_fini(&plan);
    if (!err) {
        *ret_child = child;
    } else if (child) {
        close_pipes(child);
        wfi_free(child);
    }
    return err;
}

/* Notes the end if it has come, and reaps if nobody holds the number. Under the lock. */
static void look(struct wf_child *child)
{
    struct wfi_process_end end = {.pid = 0};
    if (child->reaped)
        return;
    int err = wfi_pidfd_reap(child->process.fd, child->holds > 0, &end);
    if (err == -EAGAIN)
        return;
    child->reaped = child->holds == 0 || err;
    if (child->ended)
        return;
    child->ended = true;
    child->end_err = err;
    child->end = (struct wf_exit){
        .status = end.status,
        .signal = end.signal,
        .pid = child->pid,
        .wall_ns = wf_now() - child->started_ns,
        .user_ns = end.user_ns,
        .system_ns = end.system_ns,
        .max_rss_bytes = end.max_rss_bytes,
    };
}

int wfi_child_look(struct wf_child *child)
{
    wfi_lock_lock(&child->lock);
    if (!child->ended)
        look(child);
    int err = child->ended ? child->end_err : -EAGAIN;
    wfi_lock_unlock(&child->lock);
    return err;
}

static int wait_for_end(struct wf_child *child, wf_deadline deadline)
{
    for (;;) {
        uint32_t seen = wfi_poll_desc_seen(child->process.desc, WFI_DESC_READ);
        int err = wfi_child_look(child);
        if (err != -EAGAIN)
            return err;
        err = wfi_handle_wait(&child->process, WFI_DESC_READ, seen, "child", deadline);
        if (err)
            return err;
    }
}

int wf_child_wait(struct wf_child *child, struct wf_exit *ret_exit, wf_deadline deadline)
{
    if (wfi_forked())
        return WF_EFORKED;
    int err = wait_for_end(child, deadline);
    if (!err && ret_exit)
        *ret_exit = child->end;
    return err;
}

int wf_child_signal(struct wf_child *child, int signo)
{
    wfi_lock_lock(&child->lock);
    int err = child->ended ? -ESRCH : wfi_pidfd_signal(child->process.fd, child->pid, signo);
    wfi_lock_unlock(&child->lock);
    return err;
}

bool wfi_child_hold(struct wf_child *child)
{
    wfi_lock_lock(&child->lock);
    bool there = !child->reaped;
    child->holds += there;
    wfi_lock_unlock(&child->lock);
    return there;
}

void wfi_child_release(struct wf_child *child)
{
    wfi_lock_lock(&child->lock);
    if (--child->holds == 0 && child->ended)
        look(child);
    wfi_lock_unlock(&child->lock);
}

int wf_child_signal_all(struct wf_child *child, int signo)
{
    if (child->group == WF_CHILD_SAME_GROUP)
        return wf_child_signal(child, signo);
    if (!wfi_child_hold(child))
        return -ESRCH;
    int err = child->group == WF_CHILD_SESSION ? wfi_session_signal(child->pid, signo)
                                               : wfi_group_signal(child->pid, signo);
    wfi_child_release(child);
    return err;
}

/* Until the end of one who was killed; whatever it takes. */
static int wait_for_the_killed(struct wf_child *child)
{
    /* Without the means to wait as others do, a descriptor or memory, the thread waits: it will not
     * be long. */
    int err = wait_for_end(child, WF_FOREVER);
    while (err && err != -ECHILD) {
        wfi_pidfd_wait(child->process.fd);
        err = wfi_child_look(child);
    }
    return err;
}

int wf_child_stop(struct wf_child *child, int64_t grace_ns, struct wf_exit *ret_exit)
{
    struct wf_shield shield;
    bool held = wfi_child_hold(child);
    wf_shield_enter(&shield, WF_FOREVER);
    if (held && grace_ns > 0 && wf_child_signal_all(child, SIGTERM) == 0)
        wait_for_end(child, wf_after(grace_ns));
    if (held)
        wf_child_signal_all(child, SIGKILL);
    int err = wait_for_the_killed(child);
    wf_shield_leave(&shield);
    if (held)
        wfi_child_release(child);
    if (!err && ret_exit)
        *ret_exit = child->end;
    return err;
}

void wf_child_close(struct wf_child *child)
{
    if (!child)
        return;
    if (wfi_child_look(child) == -EAGAIN)
        wf_child_stop(child, 0, NULL);
    wfi_child_communicate_end(child);
    close_pipes(child);
    wfi_handle_close(&child->process);
    wfi_free(child);
}

int wf_child_pid(const struct wf_child *child)
{
    return child->pid;
}

struct wf_stream *wf_child_in(const struct wf_child *child)
{
    return child->pipes[0];
}

struct wf_stream *wf_child_out(const struct wf_child *child)
{
    return child->pipes[1];
}

struct wf_stream *wf_child_err(const struct wf_child *child)
{
    return child->pipes[2];
}

struct wf_stream *wf_child_take(struct wf_child *child, int number)
{
    if (number < 0 || number > 2)
        return NULL;
    struct wf_stream *stream = child->pipes[number];
    child->pipes[number] = NULL;
    return stream;
}
