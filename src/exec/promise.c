/* SPDX-License-Identifier: MIT */
/*
 * A promise is the ENGINE bit of a task block that no engine runs. Whoever takes the block from
 * PENDING to RUNNING sets the outcome; all others are late.
 */
#include <weft/promise.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "exec/future.h"
#include "sync/local.h"

static struct wf_future *future_of(struct wf_promise *promise)
{
    return (struct wf_future *)promise;
}

int wf_promise_create(const struct wf_task_type *type, struct wf_promise **ret_promise,
                      struct wf_future **ret_future, struct wf_error *reterr)
{
    struct wf_future *f = wfi_future_create(NULL, type, NULL, NULL, false);
    if (f == wfi_future_no_memory())
        return wf_error_set(reterr, -ENOMEM, NULL);
    *ret_promise = (struct wf_promise *)f;
    *ret_future = f;
    return 0;
}

/* True for the one party that may set the outcome. */
static bool claim(struct wf_future *f)
{
    if (!wfi_future_claim(f))
        return false;
    wfi_locals_release(f->locals);
    return true;
}

int wf_promise_resolve(struct wf_promise *promise, const void *value)
{
    struct wf_future *f = future_of(promise);
    if (!claim(f))
        return WF_ESTATE;
    memcpy(wfi_future_result_ptr(f), value, wfi_future_type(f)->result_bytes);
    wfi_future_end(f, WF_FUTURE_DONE, 0, NULL);
    return 0;
}

int wf_promise_reject(struct wf_promise *promise, int code, const char *format, ...)
{
    struct wf_future *f = future_of(promise);
    if (!claim(f))
        return WF_ESTATE;
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
    wfi_future_end(f, WF_FUTURE_FAILED, code, error);
    return 0;
}

void wf_promise_destroy(struct wf_promise **promise)
{
    if (!*promise)
        return;
    struct wf_future *f = future_of(*promise);
    wf_promise_reject(*promise, WF_EBROKEN, "the promise %s was given up", wf_future_name(f));
    *promise = NULL;
    wfi_future_release(f, WFI_FUTURE_ENGINE);
}
