/* SPDX-License-Identifier: MIT */
/*
 * A crawl: a frontier, an output, and a number of workers (tasks, on whatever executor) that take a
 * URL from the one, fetch it, and put its record into the other.
 *
 * Invariants
 *   1. The frontier and the counts are under `lock`, held for as long as adding a page's links
 *      takes and never over a wait but that for work.
 *   2. A page is counted as done after its record has been given to the output, its links before:
 *      so the crawl is not over while a page has links to add, and what is reported as done is
 *      written.
 *   3. A page whose fetch was cancelled is not recorded at all.
 */
#ifndef WEFT_CMD_CRAWL_CRAWL_H
#define WEFT_CMD_CRAWL_CRAWL_H

#include <weft/executor.h>

#include "crawl/frontier.h"
#include "crawl/output.h"
#include "crawl/page.h"

struct crawl_options {
    const char *const *urls;
    size_t url_count;
    const struct page_select *selects;
    size_t select_count;
    int concurrency;
    uint32_t depth_max;
    uint64_t pages_max;
    int64_t timeout_ns; /* for each page */
    size_t body_bytes_max;
    bool quiet;
};

struct crawl_counts {
    uint64_t pages;   /* records written or waiting to be */
    uint64_t fetched; /* of these, with an answer */
    uint64_t errors;
    uint64_t bytes; /* of bodies */
    uint64_t in_flight_max;
    uint64_t connections_opened, connections_used; /* answers over new and over open ones */
};

struct crawl {
    const struct crawl_options *options;
    struct output *output;
    struct wf_http *http;
    struct wf_executor *remote; /* fetches pages in processes of its own; NULL: fetched here */
    int64_t start_ns, end_ns;

    struct wf_mutex lock;
    struct wf_condition more; /* there may be something to take, or nothing will come any more */
    struct frontier *frontier;
    struct crawl_counts counts;
    struct wf_error failure; /* what ended the crawl early: the output, or memory */
    int64_t told_ns;         /* when progress was last printed */
    char *away;              /* where the first seed to do so redirects to, out of scope; or NULL */
};

/* Prepares a crawl: reads the URLs. Returns 0, WF_EPARSE with a text, or -ENOMEM. */
int crawl_init(struct crawl *crawl, const struct crawl_options *options, struct output *output,
               struct wf_error *reterr);
void crawl_fini(struct crawl *crawl);

/*
 * Crawls with options->concurrency workers on `on`, to the end.
 * Returns 0, -ECANCELED when it was cancelled, or what ended it early.
 */
int crawl_run(struct crawl *crawl, struct wf_executor *on, struct wf_error *reterr);

/* Figures of the crawl so far, as one JSON object and a newline. Returns 0 or -ENOMEM. */
int crawl_stats(struct crawl *crawl, const char *engine, struct wf_json_writer *json);

#endif
