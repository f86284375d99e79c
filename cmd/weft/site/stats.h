/* SPDX-License-Identifier: MIT */
/*
 * What the test site counts, for /stats.json: how many connections and requests there were and are,
 * and which URLs were fetched more than once, whatever their spelling. One lock guards it all.
 */
#ifndef WEFT_CMD_SITE_STATS_H
#define WEFT_CMD_SITE_STATS_H

#include <weft/mutex.h>

#include "site/pages.h"

/* A request that is being answered; it lies in the connection's frame. */
struct site_flight {
    struct site_flight *next, *previous;
    uint32_t crowd; /* the most requests that were in flight at once while this one was */
};

struct site_stats {
    struct wf_mutex lock;
    const struct site *site;
    uint64_t requests, refused, unknown, bytes;
    uint64_t connections_total;
    uint32_t connections, connections_max;
    uint32_t in_flight, in_flight_max;
    struct site_flight *flights; /* in flight, any order */
    uint32_t *fetches;           /* by id */
};

/* Returns 0 or -ENOMEM. */
int site_stats_init(struct site_stats *stats, const struct site *site);
void site_stats_fini(struct site_stats *stats);

void site_stats_connected(struct site_stats *stats);
void site_stats_disconnected(struct site_stats *stats);
/* A request that was no HTTP, or beyond a limit. */
void site_stats_refused(struct site_stats *stats);
void site_stats_began(struct site_stats *stats, struct site_flight *flight);
/* How crowded it has been for this request so far. */
uint32_t site_stats_crowd(struct site_stats *stats, const struct site_flight *flight);
void site_stats_fetched(struct site_stats *stats, int64_t id);
void site_stats_ended(struct site_stats *stats, struct site_flight *flight, uint64_t bytes);

void site_stats_put(struct site_stats *stats, struct site_buffer *out);

#endif
