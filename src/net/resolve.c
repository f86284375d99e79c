/* SPDX-License-Identifier: MIT */
/*
 * Names to addresses. getaddrinfo can block for as long as name servers are silent and cannot be
 * interrupted, so it runs on threads of its own, at most RESOLVERS_MAX, which end when nothing is
 * left to ask. The asker waits as for anything else; a question it has stopped waiting for is
 * dropped if it has not been taken yet, else left to end by itself.
 *
 * A question lives on the heap and has two owners, the asker and the queue or thread that works on
 * it; `owners` and the answer are under its lock, the queue under the global one. The two locks are
 * never held together.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"
#include "net/address.h"
#include "os/thread.h"
#include "sched/park.h"

enum {
    /* Enough that one dead name server does not hold up a crawl of many hosts, and far fewer than a
     * process may have threads. */
    RESOLVERS_MAX = 32,
    ADDRESSES_MAX = 64,
    /* getaddrinfo with its modules needs more than the least; what glibc itself tests with. */
    STACK_BYTES = 256 * 1024,
};

struct question {
    struct wfi_link link; /* in the queue */
    struct wfi_lock lock;
    struct wfi_wait_list asker;
    int owners;
    bool answered;
    int count, cause; /* the answer */
    uint16_t port;
    int max;
    char host[WFI_HOST_BYTES];
    struct wfi_sockaddr addresses[];
};

static struct wfi_lock queue_lock;
/* Both under queue_lock. */
static struct wfi_list queue;
static int resolvers;

static void drop(struct question *q)
{
    wfi_lock_lock(&q->lock);
    bool last = --q->owners == 0;
    wfi_lock_unlock(&q->lock);
    if (last)
        wfi_free(q);
}

static void answer(struct question *q)
{
    int cause = 0;
    int count = wfi_resolve(q->host, q->port, AF_UNSPEC, q->addresses, q->max, &cause);
    wfi_lock_lock(&q->lock);
    q->answered = true;
    q->count = count;
    q->cause = cause;
    struct wfi_wait_node *node = wfi_wait_claim_first(&q->asker);
    wfi_lock_unlock(&q->lock);
    if (node)
        wfi_wake(node->waiter);
    drop(q);
}

static struct question *take(void)
{
    wfi_lock_lock(&queue_lock);
    struct wfi_link *link = wfi_list_pop_front(&queue);
    if (!link)
        resolvers--;
    wfi_lock_unlock(&queue_lock);
    return link ? wfi_container_of(link, struct question, link) : NULL;
}

static void *resolver(void *arg)
{
    (void)arg;
    for (struct question *q; (q = take());)
        answer(q);
    return NULL;
}

/* Takes the question out of the queue again; false when a resolver has it already. */
static bool withdraw(struct question *q)
{
    wfi_lock_lock(&queue_lock);
    bool queued = wfi_link_linked(&q->link);
    wfi_list_remove(&q->link);
    wfi_lock_unlock(&queue_lock);
    return queued;
}

/* Queues the question, which then has its second owner. */
static int ask(struct question *q)
{
    struct wfi_thread thread;
    wfi_lock_lock(&queue_lock);
    wfi_list_push_back(&queue, &q->link);
    bool more = resolvers < RESOLVERS_MAX;
    resolvers += more;
    wfi_lock_unlock(&queue_lock);
    if (!more)
        return 0;
    int err = wfi_thread_start(&thread, "weft_resolver", STACK_BYTES, resolver, NULL);
    if (!err) {
        wfi_thread_detach(&thread);
        return 0;
    }
    wfi_lock_lock(&queue_lock);
    resolvers--;
    bool alone = resolvers == 0;
    wfi_lock_unlock(&queue_lock);
    /* Others will come to it, if there are others; if they have just left, it is ours again. */
    return alone && withdraw(q) ? err : 0;
}

static int wait_for_answer(struct question *q, wf_deadline deadline)
{
    struct wfi_wait_node node = {.amount = 0};
    wfi_lock_lock(&q->lock);
    if (!q->answered)
        return wfi_wait(&q->asker, &q->lock, &node, "resolve", q, deadline);
    wfi_lock_unlock(&q->lock);
    return 0;
}

static int refused(const char *host, int err, int cause, struct wf_error *reterr)
{
    if (err == -ENOMEM || cause == 0)
        return wf_error_set(reterr, err == -ENOENT ? WF_ERESOLVE : err, "%.200s: %s", host,
                            err == -ENOENT ? "has no address" : wf_strerror(err));
    return wf_error_set(reterr, WF_ERESOLVE, "%.200s: %s", host, wfi_resolve_cause(cause));
}

static int resolve_by_thread(const char *host, uint16_t port, struct wf_address *ret_addresses,
                             int max, wf_deadline deadline, struct wf_error *reterr)
{
    max = max < ADDRESSES_MAX ? max : ADDRESSES_MAX;
    struct question *q = wfi_zalloc(sizeof *q + (size_t)max * sizeof *q->addresses);
    if (!q)
        return wf_error_set(reterr, -ENOMEM, NULL);
    q->owners = 2;
    q->port = port;
    q->max = max;
    snprintf(q->host, sizeof q->host, "%s", host);
    int err = ask(q);
    if (err) {
        wfi_free(q);
        return wf_error_set(reterr, err, "%.200s: no thread to resolve it: %s", host,
                            wf_strerror(err));
    }
    err = wait_for_answer(q, deadline);
    if (err) {
        if (withdraw(q))
            drop(q);
        wf_error_set(reterr, err, "%.200s: resolving: %s", host, wf_strerror(err));
    } else if (q->count < 0) {
        err = refused(host, q->count, q->cause, reterr);
    } else {
        memset(ret_addresses, 0, (size_t)q->count * sizeof *ret_addresses);
        for (int i = 0; i < q->count; i++)
            *wfi_address_inside(&ret_addresses[i]) = q->addresses[i];
        err = q->count;
    }
    drop(q);
    return err;
}

int wf_resolve(const char *host, uint16_t port, struct wf_address *ret_addresses, int max,
               wf_deadline deadline, struct wf_error *reterr)
{
    int count = wfi_resolve_at_once(host, port, ret_addresses, max);
    if (count < 0)
        return wf_error_set(reterr, count, "%.200s: not a host name", host);
    if (count > 0)
        return count;
    return resolve_by_thread(host, port, ret_addresses, max, deadline, reterr);
}
