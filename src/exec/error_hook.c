/* SPDX-License-Identifier: MIT */
/*
 * The last stop of errors nobody looked at. Function and argument are two words, so a lock keeps
 * them together; the hook itself is called without it.
 */
#include <stdio.h>

#include "exec/future.h"
#include "os/lock.h"

static struct {
    struct wfi_lock lock;
    int (*fn)(const struct wf_error *, void *);
    void *arg;
} hook;

void wf_set_error_hook(int (*fn)(const struct wf_error *error, void *arg), void *arg)
{
    wfi_lock_lock(&hook.lock);
    hook.fn = fn;
    hook.arg = arg;
    wfi_lock_unlock(&hook.lock);
}

void wfi_error_report(const struct wf_error *error)
{
    wfi_lock_lock(&hook.lock);
    int (*fn)(const struct wf_error *, void *) = hook.fn;
    void *arg = hook.arg;
    wfi_lock_unlock(&hook.lock);
    if (fn && fn(error, arg) == 0)
        return;
    fprintf(stderr, "weft: nobody looked at this error: %s%s%s (%s)\n", error->task,
            error->task[0] ? ": " : "", error->text, wf_error_name(error->code));
}
