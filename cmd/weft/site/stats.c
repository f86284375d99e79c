/* SPDX-License-Identifier: MIT */
/* Counters of the test site; see stats.h. */
#include "site/stats.h"

#include <errno.h>
#include <stdlib.h>

/* How many of the URLs fetched more than once are named. */
#define NAMED_MAX 20

int site_stats_init(struct site_stats *stats, const struct site *site)
{
    *stats = (struct site_stats){.lock = WF_MUTEX_INIT, .site = site};
    stats->fetches = calloc(site_url_count(site), sizeof(*stats->fetches));
    return stats->fetches ? 0 : -ENOMEM;
}

void site_stats_fini(struct site_stats *stats)
{
    free(stats->fetches);
    stats->fetches = NULL;
}

void site_stats_connected(struct site_stats *stats)
{
    WF_LOCKED(&stats->lock) {
        stats->connections_total++;
        if (++stats->connections > stats->connections_max)
            stats->connections_max = stats->connections;
    }
}

void site_stats_disconnected(struct site_stats *stats)
{
    WF_LOCKED(&stats->lock) {
        stats->connections--;
    }
}

void site_stats_refused(struct site_stats *stats)
{
    WF_LOCKED(&stats->lock) {
        stats->refused++;
    }
}

void site_stats_began(struct site_stats *stats, struct site_flight *flight)
{
    *flight = (struct site_flight){0};
    WF_LOCKED(&stats->lock) {
        stats->requests++;
        flight->crowd = ++stats->in_flight;
        if (stats->in_flight > stats->in_flight_max)
            stats->in_flight_max = stats->in_flight;
        /* Only the sites kind asks how crowded it was; the others are spared the walk. */
        if (stats->site->kind == SITE_SITES)
            for (struct site_flight *other = stats->flights; other; other = other->next)
                if (other->crowd < stats->in_flight)
                    other->crowd = stats->in_flight;
        flight->next = stats->flights;
        if (flight->next)
            flight->next->previous = flight;
        stats->flights = flight;
    }
}

uint32_t site_stats_crowd(struct site_stats *stats, const struct site_flight *flight)
{
    uint32_t crowd = 0;
    WF_LOCKED(&stats->lock) {
        crowd = flight->crowd;
    }
    return crowd;
}

void site_stats_fetched(struct site_stats *stats, int64_t id)
{
    WF_LOCKED(&stats->lock) {
        if (id < 0)
            stats->unknown++;
        else
            stats->fetches[id]++;
    }
}

void site_stats_ended(struct site_stats *stats, struct site_flight *flight, uint64_t bytes)
{
    WF_LOCKED(&stats->lock) {
        stats->in_flight--;
        stats->bytes += bytes;
        if (flight->next)
            flight->next->previous = flight->previous;
        if (flight->previous)
            flight->previous->next = flight->next;
        else
            stats->flights = flight->next;
    }
}

static void put_fetches(const struct site_stats *stats, struct site_buffer *out)
{
    uint32_t known = 0, repeated = 0, most = 0;
    struct site_buffer path = {0}, named = {0};
    for (uint32_t id = 0; id < site_url_count(stats->site); id++) {
        uint32_t count = stats->fetches[id];
        known += count > 0;
        if (count > most)
            most = count;
        if (count < 2 || repeated++ >= NAMED_MAX)
            continue;
        site_buffer_clear(&path);
        site_url_path(stats->site, id, &path);
        site_put_text(&named, named.len ? "," : "");
        site_put_json(&named, path.data, path.len);
    }
    site_put_format(out,
                    ",\"urls_fetched\":%u,\"urls_fetched_twice\":%u,\"most_fetches\":%u,"
                    "\"fetched_twice\":[",
                    (unsigned)known, (unsigned)repeated, (unsigned)most);
    site_put(out, named.data, named.len);
    site_put_text(out, "]");
    out->failed = out->failed || path.failed || named.failed;
    site_buffer_free(&path);
    site_buffer_free(&named);
}

void site_stats_put(struct site_stats *stats, struct site_buffer *out)
{
    WF_LOCKED(&stats->lock) {
        site_put_format(out,
                        "{\"requests\":%llu,\"refused\":%llu,\"unknown\":%llu,\"bytes\":%llu,"
                        "\"connections\":%u,\"connections_max\":%u,\"connections_total\":%llu,"
                        "\"in_flight\":%u,\"in_flight_max\":%u",
                        (unsigned long long)stats->requests, (unsigned long long)stats->refused,
                        (unsigned long long)stats->unknown, (unsigned long long)stats->bytes,
                        stats->connections, stats->connections_max,
                        (unsigned long long)stats->connections_total, stats->in_flight,
                        stats->in_flight_max);
        put_fetches(stats, out);
        site_put_text(out, "}\n");
    }
}
