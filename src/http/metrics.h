/* SPDX-License-Identifier: MIT */
/*
 * A page in the text format of Prometheus, version 0.0.4: families in the order they are begun,
 * each with its HELP, its TYPE and its values, a line each. Pure. Being out of memory is
 * remembered, and told at the end.
 */
#ifndef WFI_HTTP_METRICS_H
#define WFI_HTTP_METRICS_H

#include <weft/latency.h>
#include <weft/metrics.h>

#include "base/buffer.h"

#define WFI_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct wf_metrics {
    struct wfi_buffer text; /* the caller resets it */
    const char *name;       /* of the family that was begun last */
    int error;              /* 0 or -ENOMEM: the text is not whole */
};

/* A family without labels, and its value. */
void wfi_metrics_one(struct wf_metrics *metrics, const char *name, enum wf_metric_type type,
                     const char *help, double value);

/* A histogram in seconds, with a bucket for each power of two from 131 us to 69 s. */
void wfi_metrics_histogram(struct wf_metrics *metrics, const char *name, const char *help,
                           const struct wf_latency *latency);

/* What runs in the process. Reads /proc for worker processes: for a thread that may wait. */
void wfi_metrics_runtime(struct wf_metrics *metrics);

#endif
