/* SPDX-License-Identifier: MIT */
#include "http/clients.h"

#include <errno.h>
#include <string.h>

#include <weft/time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/map.h"
#include "base/random.h"
#include "http/brief_lock.h"

#define ADDRESSES_MAX 65536

struct client {
    struct wfi_ip ip; /* of a network, see 1 */
    uint32_t connections;
    int64_t full_ns;      /* when the bucket is full again */
    struct wfi_link link; /* among all, the one quiet for longest first */
};

struct wfi_clients {
    struct wfi_clients_limits limits;
    int64_t refill_ns, ahead_ns_max; /* of one request; of the whole bucket */
    struct wf_mutex lock;            /* the rest */
    struct wfi_map map;
    struct wfi_list quiet;
};

static bool same(const void *value, const void *key, size_t len)
{
    return memcmp(&((const struct client *)value)->ip, key, len) == 0;
}

int wfi_clients_create(const struct wfi_clients_limits *limits, struct wfi_clients **ret_clients)
{
    double per_second = limits->per_second;
    /* Slower than one in thirty years, and the sums below would not fit. */
    if (!(per_second >= 0) || (per_second > 0 && per_second < 1e-9) || per_second > 1e9)
        return -EINVAL;
    struct wfi_clients *clients = wfi_zalloc(sizeof *clients);
    if (!clients)
        return -ENOMEM;
    clients->limits = *limits;
    if (!limits->addresses_max)
        clients->limits.addresses_max = ADDRESSES_MAX;
    if (per_second > 0) {
        double burst = limits->burst ? limits->burst : per_second < 1 ? 1 : per_second;
        double ahead = burst * 1e9 / per_second;
        clients->refill_ns = (int64_t)(1e9 / per_second);
        clients->ahead_ns_max = ahead > 4e18 ? INT64_C(4000000000000000000) : (int64_t)ahead;
    }
    uint64_t seed = (uint64_t)wf_now() ^ (uint64_t)(uintptr_t)clients;
    clients->map.same = same;
    clients->map.seed = wfi_splitmix64(&seed); /* or an attacker could choose who collides */
    wf_mutex_init(&clients->lock);
    wfi_list_init(&clients->quiet);
    *ret_clients = clients;
    return 0;
}

static void forget(struct wfi_clients *clients, struct client *client)
{
    wfi_map_remove(&clients->map, &client->ip, sizeof client->ip);
    wfi_list_remove(&client->link);
    wfi_free(client);
}

void wfi_clients_destroy(struct wfi_clients *clients)
{
    struct wfi_link *link;
    if (!clients)
        return;
    while ((link = wfi_list_first(&clients->quiet)))
        forget(clients, wfi_container_of(link, struct client, link));
    wfi_map_reset(&clients->map);
    wf_mutex_fini(&clients->lock);
    wfi_free(clients);
}

static struct wfi_ip network_of(const struct wfi_ip *ip)
{
    static const uint8_t ipv4[12] = {[10] = 0xff, [11] = 0xff};
    struct wfi_ip network = *ip;
    if (memcmp(ip->bytes, ipv4, sizeof ipv4) != 0)
        memset(network.bytes + 8, 0, 8);
    return network;
}

/* Takes the one that was quiet for longest and has no connection; those that have one are put
 * behind, so that the next search does not meet them again. NULL: there is none. */
static struct client *quietest(struct wfi_clients *clients)
{
    for (size_t i = 0; i < clients->map.count; i++) {
        struct wfi_link *link = wfi_list_first(&clients->quiet);
        struct client *client = wfi_container_of(link, struct client, link);
        if (client->connections == 0)
            return client;
        wfi_list_remove(link);
        wfi_list_push_back(&clients->quiet, link);
    }
    return NULL;
}

/* Makes room for one more: see 2. Two of those that make no difference any more go for each that
 * comes, so that a crowd that has left does not stay in memory. */
static void make_room(struct wfi_clients *clients, int64_t now_ns)
{
    struct client *client = NULL;
    for (int i = 0; i < 2 && (client = quietest(clients)) && client->full_ns <= now_ns; i++)
        forget(clients, client);
    if (clients->map.count >= clients->limits.addresses_max && (client = quietest(clients)))
        forget(clients, client);
}

/* With the lock; NULL when there is no memory. */
static struct client *find(struct wfi_clients *clients, const struct wfi_ip *ip, int64_t now_ns)
{
    struct wfi_ip network = network_of(ip);
    struct client *client = wfi_map_find(&clients->map, &network, sizeof network);
    if (client) {
        wfi_list_remove(&client->link);
        wfi_list_push_back(&clients->quiet, &client->link);
        return client;
    }
    make_room(clients, now_ns);
    client = wfi_zalloc(sizeof *client);
    if (!client)
        return NULL;
    client->ip = network;
    client->full_ns = now_ns;
    if (wfi_map_put(&clients->map, &client->ip, sizeof client->ip, client)) {
        wfi_free(client);
        return NULL;
    }
    wfi_list_push_back(&clients->quiet, &client->link);
    return client;
}

enum wfi_admission wfi_clients_enter(struct wfi_clients *clients, const struct wfi_ip *ip)
{
    uint64_t max = clients->limits.connections_max;
    enum wfi_admission admission = WFI_DROPPED;
    wfi_lock_briefly(&clients->lock);
    struct client *client = find(clients, ip, INT64_MIN);
    if (client && (max == 0 || client->connections < max))
        admission = WFI_ADMITTED;
    else if (client && client->connections < 2 * max)
        admission = WFI_TURNED_AWAY;
    if (admission != WFI_DROPPED)
        client->connections++;
    wf_mutex_unlock(&clients->lock);
    return admission;
}

void wfi_clients_leave(struct wfi_clients *clients, const struct wfi_ip *ip)
{
    struct wfi_ip network = network_of(ip);
    wfi_lock_briefly(&clients->lock);
    struct client *client = wfi_map_find(&clients->map, &network, sizeof network);
    wfi_assert(client && client->connections, "an address with connections is not forgotten");
    client->connections--;
    wf_mutex_unlock(&clients->lock);
}

int64_t wfi_clients_ask(struct wfi_clients *clients, const struct wfi_ip *ip, int64_t now_ns)
{
    int64_t wait_ns = 0;
    if (clients->refill_ns == 0)
        return 0;
    wfi_lock_briefly(&clients->lock);
    struct client *client = find(clients, ip, now_ns);
    if (client) { /* without memory nobody is held back */
        int64_t from = client->full_ns > now_ns ? client->full_ns : now_ns;
        wait_ns = from + clients->refill_ns - now_ns - clients->ahead_ns_max;
        if (wait_ns <= 0) {
            client->full_ns = from + clients->refill_ns;
            wait_ns = 0;
        }
    }
    wf_mutex_unlock(&clients->lock);
    return wait_ns;
}

size_t wfi_clients_count(struct wfi_clients *clients)
{
    wfi_lock_briefly(&clients->lock);
    size_t count = clients->map.count;
    wf_mutex_unlock(&clients->lock);
    return count;
}
