/* SPDX-License-Identifier: MIT */
/* wf_run: a child from its start to its end, whatever happens in between. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <weft/scope.h>

#include "proc/child.h"

#define DRAIN_NS WF_SECONDS(1)

static struct wf_child_options child_of(const struct wf_run_options *options)
{
    struct wf_child_options child = options->child;
    if (child.in.kind == WF_STDIO_DEFAULT)
        child.in.kind = options->input_len ? WF_STDIO_PIPE : WF_STDIO_NULL;
    if (child.out.kind == WF_STDIO_DEFAULT)
        child.out.kind = WF_STDIO_PIPE;
    if (child.err.kind == WF_STDIO_DEFAULT)
        child.err.kind = WF_STDIO_PIPE;
    return child;
}

/* The arguments, for a person to read, cut to fit. */
static void format_command(const struct wf_child_options *options, char *ret_text, size_t size)
{
    size_t used = 0;
    ret_text[0] = '\0';
    if (options->shell) {
        snprintf(ret_text, size, "%s", options->shell);
        return;
    }
    for (const char *const *arg = options->argv; *arg && used < size; arg++)
        used += (size_t)snprintf(ret_text + used, size - used, "%s%s", used ? " " : "", *arg);
    if (used >= size && size > 4)
        memcpy(ret_text + size - 4, "...", 4);
}

/* The last line that says something. */
static int last_line(const char *text, size_t len, const char **ret_line)
{
    while (len && (text[len - 1] == '\n' || text[len - 1] == '\r' || text[len - 1] == ' '))
        len--;
    size_t begin = len;
    while (begin && text[begin - 1] != '\n')
        begin--;
    *ret_line = text + begin;
    return len - begin < 200 ? (int)(len - begin) : 200;
}

static int explain_end(const struct wf_run_options *options, const struct wf_run_result *result,
                       struct wf_error *reterr)
{
    char command[128], end[WF_EXIT_TEXT_BYTES];
    const char *line;
    if (!reterr)
        return WF_ETASKFAILED;
    format_command(&options->child, command, sizeof command);
    wf_exit_format(&result->exit, end, sizeof end);
    int len = last_line(result->err, result->err_len, &line);
    wf_error_set(reterr, WF_ETASKFAILED, "%s: %s%s%.*s", command, end, len ? ": " : "", len, line);
    snprintf(reterr->origin, sizeof reterr->origin, "%.63s", command);
    reterr->pid = result->exit.pid;
    reterr->signal = result->exit.signal;
    reterr->exit_status = result->exit.status;
    return WF_ETASKFAILED;
}

static int explain_giving_up(const struct wf_run_options *options, int err, int pid,
                             struct wf_error *reterr)
{
    char command[128];
    if (!reterr)
        return err;
    format_command(&options->child, command, sizeof command);
    wf_error_set(reterr, err, "%s: killed: %s", command,
                 err == -ETIMEDOUT ? "the deadline passed" : wf_strerror(err));
    snprintf(reterr->origin, sizeof reterr->origin, "%.63s", command);
    reterr->pid = pid;
    return err;
}

/* Ends all that runs by force and collects what is still to be had. The child is held meanwhile, so
 * that those it leaves behind can be killed even when it has ended by itself. */
static void end_by_force(struct wf_child *child, const struct wf_run_options *options, bool drain,
                         struct wf_run_result *ret_result)
{
    struct wf_shield shield;
    int64_t drain_ns = options->drain_ns == 0 ? DRAIN_NS : options->drain_ns;
    int err = -ETIMEDOUT;
    bool held = wfi_child_hold(child);
    wf_shield_enter(&shield, WF_FOREVER);
    if (options->kill_grace_ns > 0 && wf_child_signal_all(child, SIGTERM) == 0)
        err = wf_child_communicate(child, NULL, 0, ret_result, wf_after(options->kill_grace_ns));
    wf_child_signal_all(child, SIGKILL);
    if (err)
        err = wf_child_communicate(child, NULL, 0, ret_result,
                                   drain && drain_ns > 0 ? wf_after(drain_ns) : WF_NOW);
    if (err) {
        wf_child_wait(child, NULL, WF_FOREVER);
        err = wf_child_communicate(child, NULL, 0, ret_result, WF_NOW);
    }
    if (err)
        wf_child_collect(child, ret_result);
    wf_shield_leave(&shield);
    if (held)
        wfi_child_release(child);
}

int wf_run(const struct wf_run_options *options, struct wf_run_result *ret_result,
           wf_deadline deadline, struct wf_error *reterr)
{
    struct wf_child_options child_options = child_of(options);
    struct wf_child *child;
    *ret_result = (struct wf_run_result){.out = NULL};
    int err = wf_child_spawn(&child_options, &child, reterr);
    if (err)
        return err;
    err = wf_child_communicate(child, options->input, options->input_len, ret_result, deadline);
    if (err) {
        end_by_force(child, options, err == -ETIMEDOUT, ret_result);
        ret_result->timed_out = err == -ETIMEDOUT;
        explain_giving_up(options, err, wf_child_pid(child), reterr);
    } else if (options->check && (ret_result->exit.status || ret_result->exit.signal)) {
        err = explain_end(options, ret_result, reterr);
    }
    wf_child_close(child);
    return err;
}
