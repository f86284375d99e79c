/* SPDX-License-Identifier: MIT */
/*
 * What each client of a server takes, by address: its open connections, and a bucket of requests
 * that fills at a steady rate. Bounded: at most `addresses_max` are remembered.
 *
 *  1. An IPv6 client is its /64, which is what one customer is given; else it had 2^64 names.
 *  2. An address is forgotten when it has no connection and the place is needed, the one that was
 *     quiet for longest first. Forgetting fills its bucket. So who comes from more networks than
 *     are remembered is not held back by the rate; no table could do that.
 *  3. Addresses with connections are never forgotten; the server's limit on connections bounds
 *     them.
 *  4. The bucket is one number, the time at which it is full again: each request moves it on by the
 *     time one takes to refill, from now on if it lies in the past; too far ahead is refused.
 *
 * Pure but for the lock: the time is given.
 */
#ifndef WFI_HTTP_CLIENTS_H
#define WFI_HTTP_CLIENTS_H

#include "http/forwarded.h"

struct wfi_clients;

/* 0: no limit; of addresses_max 65,536. */
struct wfi_clients_limits {
    uint32_t connections_max; /* of one address */
    double per_second;        /* requests, in the long run */
    uint32_t burst;           /* at once, after a quiet time; 0: what comes in a second */
    size_t addresses_max;
};

enum wfi_admission {
    WFI_ADMITTED,
    WFI_TURNED_AWAY, /* to be told so; counts as a connection until wfi_clients_leave */
    WFI_DROPPED,     /* so many are being told so that this one is not; it does not count */
};

/* Returns 0, -EINVAL for a rate that is negative or no number, or -ENOMEM. */
int wfi_clients_create(const struct wfi_clients_limits *limits, struct wfi_clients **ret_clients);
/* NULL is fine. */
void wfi_clients_destroy(struct wfi_clients *clients);

/* A connection comes; as many again as are admitted may be turned away at a time. */
enum wfi_admission wfi_clients_enter(struct wfi_clients *clients, const struct wfi_ip *ip);
/* One that was admitted or turned away ends. */
void wfi_clients_leave(struct wfi_clients *clients, const struct wfi_ip *ip);

/* A request comes: 0, or how many nanoseconds to wait before the next has a chance. */
int64_t wfi_clients_ask(struct wfi_clients *clients, const struct wfi_ip *ip, int64_t now_ns);

/* How many addresses are remembered. */
size_t wfi_clients_count(struct wfi_clients *clients);

#endif
