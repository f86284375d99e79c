/* SPDX-License-Identifier: MIT */
#include "http/latency.h"

#include <string.h>

/* The unit, 128 ns: what is shorter is not told apart. Eight buckets of one unit each come first,
 * then eight for each power of two. */
enum { UNIT_BITS = 7, STEP_BITS = 3, TOP_BITS = 29 };

static size_t bucket_of(int64_t duration_ns)
{
    uint64_t units = duration_ns > 0 ? (uint64_t)duration_ns >> UNIT_BITS : 0;
    if (units >> TOP_BITS)
        return WF_LATENCY_BUCKETS - 1;
    if (units < 1u << STEP_BITS)
        return (size_t)units;
    unsigned power = 63u - (unsigned)__builtin_clzll(units);
    size_t step = (size_t)(units >> (power - STEP_BITS)) & ((1u << STEP_BITS) - 1);
    return ((size_t)(power - STEP_BITS + 1) << STEP_BITS) + step;
}

int64_t wf_latency_bound(size_t bucket)
{
    if (bucket >= WF_LATENCY_BUCKETS - 1)
        return INT64_MAX;
    size_t next = bucket + 1, row = next >> STEP_BITS;
    uint64_t step = next & ((1u << STEP_BITS) - 1);
    uint64_t units = row == 0 ? step : ((1u << STEP_BITS) + step) << (row - 1);
    return (int64_t)(units << UNIT_BITS);
}

void wfi_latency_add(struct wfi_latency *latency, uint64_t writer, int64_t duration_ns)
{
    size_t set = (size_t)(writer % WFI_LATENCY_SETS);
    wfi_count(&latency->sets[set].buckets[bucket_of(duration_ns)], 1);
    wfi_count(&latency->sets[set].sum_ns, duration_ns);
    /* relaxed: the swap decides, and orders nothing */
    int64_t max = wfi_load_relaxed(&latency->sets[set].max_ns);
    while (duration_ns > max && !wfi_cas_relaxed(&latency->sets[set].max_ns, &max, duration_ns))
        ;
}

void wfi_latency_read(struct wfi_latency *latency, struct wf_latency *ret)
{
    memset(ret, 0, sizeof *ret);
    for (size_t set = 0; set < WFI_LATENCY_SETS; set++) {
        /* Relaxed throughout: each word is true by itself. */
        for (size_t i = 0; i < WF_LATENCY_BUCKETS; i++) {
            uint64_t count = wfi_load_relaxed(&latency->sets[set].buckets[i]);
            ret->buckets[i] += count;
            ret->count += count;
        }
        ret->sum_ns += wfi_load_relaxed(&latency->sets[set].sum_ns);
        int64_t max = wfi_load_relaxed(&latency->sets[set].max_ns);
        if (max > ret->max_ns)
            ret->max_ns = max;
    }
}

void wf_latency_subtract(struct wf_latency *latency, const struct wf_latency *before)
{
    int64_t bound = 0;
    latency->count -= before->count;
    latency->sum_ns -= before->sum_ns;
    for (size_t i = 0; i < WF_LATENCY_BUCKETS; i++) {
        latency->buckets[i] -= before->buckets[i];
        if (latency->buckets[i])
            bound = wf_latency_bound(i);
    }
    if (bound < latency->max_ns)
        latency->max_ns = bound;
}

int64_t wf_latency_quantile(const struct wf_latency *latency, double part)
{
    uint64_t count = 0;
    for (size_t i = 0; i < WF_LATENCY_BUCKETS; i++) {
        count += latency->buckets[i];
        if (count && (double)count >= part * (double)latency->count) {
            int64_t bound = wf_latency_bound(i);
            return bound < latency->max_ns ? bound : latency->max_ns;
        }
    }
    return latency->count ? latency->max_ns : 0;
}
