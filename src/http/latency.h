/* SPDX-License-Identifier: MIT */
/*
 * A count of durations that many write and anybody reads, without a lock: a few sets of buckets, so
 * that writers on different processors seldom meet on a cache line. Each word is true by itself; a
 * reader may see the bucket of a duration and not yet its share of the sum. Zeroed is empty.
 */
#ifndef WFI_HTTP_LATENCY_H
#define WFI_HTTP_LATENCY_H

#include <weft/latency.h>

#include "base/atomic.h"

enum { WFI_LATENCY_SETS = 8 };

struct wfi_latency {
    struct {
        WFI_ATOMIC(uint64_t) buckets[WF_LATENCY_BUCKETS];
        WFI_ATOMIC(int64_t) sum_ns, max_ns;
        char apart[64]; /* from the next set */
    } sets[WFI_LATENCY_SETS];
};

/* Counts one. `writer` is any number; those with different ones seldom disturb each other. */
void wfi_latency_add(struct wfi_latency *latency, uint64_t writer, int64_t duration_ns);

void wfi_latency_read(struct wfi_latency *latency, struct wf_latency *ret);

#endif
