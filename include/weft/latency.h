/* SPDX-License-Identifier: MIT */
/*
 * How long things took, counted: a value that holds, for each of a few hundred spans of time, how
 * many took so long. wf_server_latency fills one; two of them that were taken one after the other
 * give what happened in between:
 *
 *     wf_server_latency(server, &now);
 *     recent = now;
 *     wf_latency_subtract(&recent, &before);
 *     p99 = wf_latency_quantile(&recent, 0.99);
 *
 * Each power of two is cut into eight spans, so what is read from a bucket is at most an eighth too
 * large. The first reaches from 0 to 128 ns, the last holds everything above 68 s.
 */
#ifndef WEFT_LATENCY_H
#define WEFT_LATENCY_H

#include <weft/api.h>

WF_BEGIN_DECLS

enum { WF_LATENCY_BUCKETS = 217 };

struct wf_latency {
    uint64_t count;
    int64_t sum_ns;
    int64_t max_ns; /* of all since the beginning; see wf_latency_subtract */
    uint64_t buckets[WF_LATENCY_BUCKETS];
};

/*
 * The end of a bucket: what is counted there took less, and no less than the end of the bucket
 * before. INT64_MAX for the last.
 *
 * bucket   below WF_LATENCY_BUCKETS
 *
 * Context: any, never blocks.
 */
WF_API int64_t wf_latency_bound(size_t bucket);

/*
 * Takes away what was counted before, so that what came since is left. The longest of that is not
 * known, only its bucket: max_ns becomes that one's end, or the longest of all if that is less.
 *
 * before   was read from the same source, earlier
 *
 * Context: any, never blocks.
 */
WF_API void wf_latency_subtract(struct wf_latency *latency, const struct wf_latency *before);

/*
 * The time that the given part of all stayed below: 0.5 for the median, 0.99 and so on.
 *
 * Returns the end of the bucket where that is reached, at most max_ns; 0 when nothing was counted.
 * Context: any, never blocks.
 */
WF_API int64_t wf_latency_quantile(const struct wf_latency *latency, double part);

WF_END_DECLS

#endif
