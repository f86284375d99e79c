/* SPDX-License-Identifier: MIT */
#include <weft/retry.h>

#include <errno.h>

#include "base/random.h"

static struct wf_retry_options with_defaults(const struct wf_retry_options *options)
{
    struct wf_retry_options o = options ? *options : (struct wf_retry_options){0};
    if (!o.attempts)
        o.attempts = 4;
    if (!o.first_ns)
        o.first_ns = WF_MILLISECONDS(100);
    if (!o.max_ns)
        o.max_ns = WF_SECONDS(10);
    if (o.factor == 0)
        o.factor = 2;
    if (o.jitter == 0)
        o.jitter = 0.5;
    return o;
}

int64_t wf_retry_delay(const struct wf_retry_options *options, int attempt, uint64_t *state)
{
    struct wf_retry_options o = with_defaults(options);
    double delay = (double)o.first_ns, max = (double)o.max_ns;
    for (int i = 1; i < attempt && delay < max; i++)
        delay *= o.factor;
    if (delay > max)
        delay = max;
    /* 53 random bits as a number in [0, 1) */
    double random = (double)(wfi_splitmix64(state) >> 11) * 0x1p-53;
    if (o.jitter > 0)
        delay -= delay * o.jitter * random;
    return (int64_t)delay;
}

static bool worth_it(const struct wf_retry_options *o, void *arg, int code,
                     const struct wf_error *error)
{
    if (o->again)
        return o->again(arg, code, error);
    return code != -ECANCELED && code != -EINVAL && code != -ENOMEM;
}

int wf_retry(const struct wf_retry_options *options,
             int (*fn)(void *arg, int attempt, struct wf_error *reterr), void *arg,
             wf_deadline deadline, struct wf_error *reterr)
{
    struct wf_retry_options o = with_defaults(options);
    if (o.attempts < 0 || o.first_ns < 0 || o.max_ns < 0 || o.factor < 1 || o.jitter > 1)
        return wf_error_set(reterr, -EINVAL, "retry: attempts %d, factor %g, jitter %g", o.attempts,
                            o.factor, o.jitter);
    uint64_t state = o.seed ? o.seed : (uint64_t)wf_now() ^ (uint64_t)(uintptr_t)&state;
    for (int attempt = 1;; attempt++) {
        struct wf_error error = {0};
        int err = fn(arg, attempt, &error);
        if (err >= 0)
            return err;
        if (!error.code)
            wf_error_set(&error, err, NULL);
        wf_deadline next = wf_after(wf_retry_delay(&o, attempt, &state));
        bool last =
            attempt == o.attempts || !worth_it(&o, arg, err, &error) || next.ns >= deadline.ns;
        if (last) {
            if (attempt > 1)
                wf_error_prefix(&error, "after %d attempts", attempt);
            if (reterr)
                *reterr = error;
            return err;
        }
        if (wf_sleep(next)) {
            wf_error_prefix(&error, "cancelled after %d attempts", attempt);
            error.code = -ECANCELED;
            if (reterr)
                *reterr = error;
            return -ECANCELED;
        }
    }
}
