/* SPDX-License-Identifier: MIT */
/*
 * The crawl's frontier: which URLs are known, which wait, which are being fetched, and when nothing
 * is left. Pure: no sockets, no clock (the time comes in), no lock (its owner guards it).
 *
 *     frontier_add_seed(f, &url)            in the beginning
 *     frontier_pop(f, now, &item, &when)    a URL to fetch
 *     frontier_add_link(f, item, &url)      for each link of its page
 *     frontier_add_redirect(f, item, &url)  or where it was redirected to
 *     frontier_done(f, item)                whatever came of it
 *
 * Invariants
 *   1. A canonical URL is handed out once, whatever led to it: seed, link or redirect.
 *   2. Links from an item are added before it is done; so when nothing waits and nothing is in
 *      flight, nothing can come any more: the crawl has finished.
 *   3. A URL that was refused (out of scope, too deep) is not remembered: should a shorter way lead
 *      to it later, it is taken. What it costs to know a URL is one fingerprint of 8 bytes in a
 * table that is between three eighths and three quarters full; its text is kept only while it
 * waits.
 *   4. With `by_level`, no page is handed out before all pages with fewer links between them and a
 *      seed are done. Then depths do not depend on which answer comes first, and a depth limit cuts
 *      off the same pages whatever the order; the price is that each level waits for its last page.
 */
#ifndef WEFT_CMD_CRAWL_FRONTIER_H
#define WEFT_CMD_CRAWL_FRONTIER_H

#include <weft/url.h>

/* For depth_max: as deep as the links lead. */
#define FRONTIER_ANY_DEPTH UINT32_MAX

/* Browsers follow as many (the fetch standard's number). */
#define FRONTIER_REDIRECTS_MAX 20

struct frontier_options {
    uint64_t seed;      /* of the fingerprints: any number a site cannot guess */
    uint32_t depth_max; /* links between a seed and a page at most; FRONTIER_ANY_DEPTH */
    uint64_t pages_max; /* pages handed out at most, redirects not counted; 0 for no limit */
    int64_t delay_ns;   /* between two URLs of one host; 0 for none */
    bool by_level;      /* invariant 4 */
    bool any_host;      /* scope: not only the hosts of the seeds */
};

/* What became of a URL that was added. */
enum frontier_verdict {
    FRONTIER_NEW,             /* it waits to be fetched now */
    FRONTIER_SEEN,            /* it was known already */
    FRONTIER_OUT_OF_SCOPE,    /* not on the host of a seed */
    FRONTIER_TOO_DEEP,        /* beyond depth_max */
    FRONTIER_REDIRECTED_LONG, /* a chain of more than FRONTIER_REDIRECTS_MAX redirects */
};

struct frontier_counts {
    uint64_t known;        /* different URLs taken in */
    uint64_t queued;       /* of these, still waiting */
    uint64_t in_flight;    /* handed out, not done */
    uint64_t done;         /* done, redirects too */
    uint64_t redirected;   /* handed out, and turned out to be redirects */
    uint64_t seen;         /* added again */
    uint64_t out_of_scope; /* refused, each time counted */
    uint64_t too_deep;
};

struct frontier_host;

/* A URL that was handed out. Belongs to the caller until frontier_done. */
struct frontier_item {
    struct wf_url url;          /* its text is in the item */
    uint32_t depth;             /* links between a seed and this page, as it was found */
    uint32_t redirects;         /* how many redirects in a row led here */
    bool redirected;            /* frontier_add_redirect was called for it */
    struct frontier_host *host; /* the frontier's */
    char text[];                /* the URL, NUL-terminated */
};

struct frontier;

/* Returns 0 or -ENOMEM. */
int frontier_create(const struct frontier_options *options, struct frontier **ret_frontier);

/* Frees everything but items in flight, which must be done before. NULL is welcome. */
void frontier_destroy(struct frontier *f);

/*
 * Each takes a canonical URL and returns a frontier_verdict, or -ENOMEM: then nothing has changed.
 * A seed brings its host into scope. A redirect is as deep as the page that sent it, and that page
 * does not count as one for pages_max.
 */
int frontier_add_seed(struct frontier *f, const struct wf_url *url);
int frontier_add_link(struct frontier *f, const struct frontier_item *from,
                      const struct wf_url *url);
int frontier_add_redirect(struct frontier *f, struct frontier_item *from, const struct wf_url *url);

/*
 * Hands out the next URL: the hosts in turn, each host's URLs in the order they came.
 *
 * ret_when   with -EAGAIN receives the time from which a host that must be left in peace for now
 * may be asked again, INT64_MAX when only frontier_done can bring something; may be NULL.
 *
 * Returns 0, or
 *   -EAGAIN   nothing now
 *   -EPIPE    finished: nothing waits that may still be fetched, and nothing is in flight
 *   -ENOMEM   out of memory; the URL still waits
 */
int frontier_pop(struct frontier *f, int64_t now_ns, struct frontier_item **ret_item,
                 int64_t *ret_when);

/* The item was fetched or has failed; frees it. NULL is welcome. */
void frontier_done(struct frontier *f, struct frontier_item *item);

/* Nothing more is handed out: frontier_pop says -EPIPE once all in flight is done. */
void frontier_close(struct frontier *f);

const struct frontier_counts *frontier_counts(const struct frontier *f);

/* Bytes of heap held now, items in flight not counted. */
size_t frontier_bytes(const struct frontier *f);

#endif
