/* SPDX-License-Identifier: MIT */
/* What a running task can do, and how tasks get to executors. */
#include <weft/task.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "exec/executor.h"

int wf_task_fail(struct wf_task *self, int code, const char *format, ...)
{
    if (code >= 0)
        code = WF_ETASKFAILED;
    if (!self->error)
        self->error = wfi_alloc(sizeof *self->error); /* without memory the code alone arrives */
    struct wf_error *error = self->error;
    if (!error)
        return code;
    wf_error_set(error, code, NULL);
    if (format) {
        va_list args;
        va_start(args, format);
        vsnprintf(error->text, sizeof error->text, format, args);
        va_end(args);
    }
    snprintf(error->task, sizeof error->task, "%s", wf_task_name(self));
    return code;
}

int wf_task_fail_with(struct wf_task *self, const struct wf_error *error)
{
    int code = wf_task_fail(self, error->code, NULL);
    if (self->error) {
        char task[sizeof error->task];
        snprintf(task, sizeof task, "%s", self->error->task);
        *self->error = *error;
        self->error->code = code;
        if (!self->error->task[0])
            snprintf(self->error->task, sizeof self->error->task, "%s", task);
    }
    return code;
}

int wf_task_failure(const struct wf_task *self, int code, struct wf_error *ret_error)
{
    if (self->error)
        *ret_error = *self->error;
    else
        wf_error_set(ret_error, code, NULL);
    ret_error->code = code;
    return code;
}

void wf_task_set_note(struct wf_task *self, const void *key, void *note)
{
    self->note_key = key;
    self->note = note;
}

void *wf_task_note(const struct wf_task *self, const void *key)
{
    return self->note_key == key ? self->note : NULL;
}

int wf_checkpoint(struct wf_task *self)
{
    (void)self; /* what runs here is asked, which may be another's part of the task: wf_join */
    return wfi_self()->cancel ? wfi_cancel_check(NULL) : 0;
}

int wf_yield(void)
{
    return wfi_yield();
}

struct wf_task *wf_task_self(void)
{
    return wfi_self()->task;
}

const char *wf_task_name(const struct wf_task *self)
{
    return wf_future_name(self->future);
}

struct wf_executor *wf_task_executor(const struct wf_task *self)
{
    return self->on;
}

struct wf_future *wf_submit(struct wf_executor *on, const struct wf_task_type *type,
                            const struct wf_submit_options *options, const void *args)
{
    struct wf_future *f = wfi_future_create(on, type, options, args, false);
    if (f != wfi_future_no_memory())
        wfi_executor_submit(on, f, options);
    return f;
}
