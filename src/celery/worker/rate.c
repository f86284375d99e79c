/* SPDX-License-Identifier: MIT */
#include "celery/worker/rate.h"

/* Longer than any process lives, and far from what overflows. */
#define PERIOD_MAX_NS 4e18

void wfi_rate_set(struct wfi_rate *rate, double per_s, int64_t now_ns)
{
    *rate = (struct wfi_rate){.per_s = per_s, .at_ns = now_ns};
}

int64_t wfi_rate_take(struct wfi_rate *rate, int64_t now_ns)
{
    if (!(rate->per_s > 0))
        return 0;
    if (rate->at_ns > now_ns)
        return rate->at_ns - now_ns;
    const double period = 1e9 / rate->per_s;
    rate->at_ns = now_ns + (int64_t)(period < PERIOD_MAX_NS ? period : PERIOD_MAX_NS);
    return 0;
}
