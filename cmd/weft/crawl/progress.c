/* SPDX-License-Identifier: MIT */
#include "crawl/progress.h"

#include <stdio.h>
#include <unistd.h>

/* A terminal is told often enough to look alive, a log not more than a reader can follow. */
static int64_t interval_ns(bool terminal)
{
    return terminal ? WF_MILLISECONDS(200) : WF_SECONDS(5);
}

void progress_tell(struct crawl *crawl, bool last)
{
    if (crawl->options->quiet)
        return;
    bool terminal = isatty(STDERR_FILENO);
    int64_t now = wf_now();
    if (!crawl->told_ns)
        crawl->told_ns = crawl->start_ns;
    if (!last && now - crawl->told_ns < interval_ns(terminal))
        return;
    crawl->told_ns = now;
    const struct frontier_counts *counts = frontier_counts(crawl->frontier);
    double seconds = (double)(now - crawl->start_ns) / 1e9;
    double rate = seconds > 0 ? (double)crawl->counts.pages / seconds : 0;
    fprintf(stderr, "%s%llu pages  %.0f/s  %.1f MB  %llu in flight  %llu queued  %llu errors%s",
            terminal ? "\r\033[K" : "", (unsigned long long)crawl->counts.pages, rate,
            (double)crawl->counts.bytes / 1e6, (unsigned long long)counts->in_flight,
            (unsigned long long)counts->queued, (unsigned long long)crawl->counts.errors,
            terminal && !last ? "" : "\n");
}
