/* SPDX-License-Identifier: MIT */
#include <weft/inline.h>

#include <errno.h>

#include "base/alloc.h"
#include "exec/executor.h"

struct inline_executor {
    struct wf_executor base;
    WFI_ATOMIC(bool) closed;
};

static int submit(struct wf_executor *base, struct wf_future *f,
                  const struct wf_submit_options *options, struct wf_error *reterr)
{
    (void)options;
    struct inline_executor *on = wfi_container_of(base, struct inline_executor, base);
    if (wfi_load(&on->closed))
        return wf_error_set(reterr, -EPIPE, "executor %s is shut down", base->name);
    if (wfi_future_claim(f))
        wfi_future_run(f, true);
    wfi_future_release(f, WFI_FUTURE_ENGINE);
    return 0;
}

static int shut_down(struct wf_executor *base, enum wf_shutdown mode, wf_deadline deadline)
{
    (void)mode;
    (void)deadline; /* what was submitted has run */
    struct inline_executor *on = wfi_container_of(base, struct inline_executor, base);
    wfi_store(&on->closed, true);
    return 0;
}

static void destroy(struct wf_executor *base)
{
    wfi_free(wfi_container_of(base, struct inline_executor, base));
}

static unsigned workers(const struct wf_executor *base)
{
    (void)base;
    return 1;
}

static const struct wfi_executor_ops ops = {
    .engine = "inline",
    .submit = submit,
    .shutdown = shut_down,
    .destroy = destroy,
    .workers = workers,
};

int wf_inline_create(struct wf_executor **ret_on, struct wf_error *reterr)
{
    struct inline_executor *on = wfi_zalloc(sizeof *on);
    if (!on)
        return wf_error_set(reterr, -ENOMEM, NULL);
    wfi_executor_init(&on->base, &ops, NULL);
    *ret_on = &on->base;
    return 0;
}
