/* SPDX-License-Identifier: MIT */
/*
 * The monotonic clock of weft/time.h, and what is computed from it.
 */
#include <weft/time.h>

#include "os/clock.h"

#include <time.h>

#include "os/explore.h"

static int64_t read_clock(clockid_t which)
{
#ifdef WFI_EXPLORE
    if (wfi_explore_active())
        return wfi_explore_now();
#endif
    struct timespec now;
    clock_gettime(which, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t wf_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t wfi_now_coarse(void)
{
    return read_clock(CLOCK_MONOTONIC_COARSE);
}

wf_deadline wf_after(int64_t duration_ns)
{
    int64_t now = wf_now();
    if (duration_ns >= INT64_MAX - now)
        return WF_FOREVER;
    return (wf_deadline){now + duration_ns};
}

int64_t wf_remaining(wf_deadline deadline)
{
    if (deadline.ns == WF_FOREVER.ns)
        return INT64_MAX;
    if (deadline.ns <= 0)
        return 0;
    int64_t now = wf_now();
    return deadline.ns > now ? deadline.ns - now : 0;
}

wf_deadline wf_earlier(wf_deadline a, wf_deadline b)
{
    return a.ns < b.ns ? a : b;
}
