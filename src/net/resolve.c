/* SPDX-License-Identifier: MIT */
/*
 * Names to addresses. getaddrinfo can block for as long as name servers are silent and cannot be
 * interrupted, so it is called on the offload pool, in a class of its own. A question lives on the
 * heap, because its asker may stop waiting while a thread is still at it; the last of the two frees
 * it. The answer is written before the call is done, and read only by an asker that saw it done.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "net/address.h"
#include "sched/offload.h"

/* More addresses of one name than anybody tries. */
#define ADDRESSES_MAX 64

struct question {
    struct wfi_offload_call call; /* first: what the pool knows of it */
    uint16_t port;
    int max;
    int count, cause; /* the answer */
    char host[WFI_HOST_BYTES];
    struct wfi_sockaddr addresses[];
};

static void ask(struct wfi_offload_call *call)
{
    struct question *q = (struct question *)call;
    q->count = wfi_resolve(q->host, q->port, AF_UNSPEC, q->addresses, q->max, &q->cause);
}

static void forget(struct wfi_offload_call *call)
{
    wfi_free(call);
}

static int refused(const struct question *q, struct wf_error *reterr)
{
    if (q->count == -ENOMEM)
        return wf_error_set(reterr, -ENOMEM, "%.200s: %s", q->host, wf_strerror(-ENOMEM));
    return wf_error_set(reterr, WF_ERESOLVE, "%.200s: %s", q->host,
                        q->cause ? wfi_resolve_cause(q->cause) : "has no address");
}

static int resolve_by_thread(const char *host, uint16_t port, struct wf_address *ret_addresses,
                             int max, wf_deadline deadline, struct wf_error *reterr)
{
    max = max < ADDRESSES_MAX ? max : ADDRESSES_MAX;
    struct question *q = wfi_zalloc(sizeof *q + (size_t)max * sizeof *q->addresses);
    if (!q)
        return wf_error_set(reterr, -ENOMEM, "%.200s: %s", host, wf_strerror(-ENOMEM));
    q->call.run = ask;
    q->call.release = forget;
    q->port = port;
    q->max = max;
    snprintf(q->host, sizeof q->host, "%s", host);
    int err = wfi_offload_run(WFI_OFFLOAD_DNS, &q->call, deadline);
    if (err) {
        wf_error_set(reterr, err, "%.200s: resolving: %s", host,
                     err == -EAGAIN ? "no thread for it" : wf_strerror(err));
    } else if (q->count < 0) {
        err = refused(q, reterr);
    } else {
        memset(ret_addresses, 0, (size_t)q->count * sizeof *ret_addresses);
        for (int i = 0; i < q->count; i++)
            *wfi_address_inside(&ret_addresses[i]) = q->addresses[i];
        err = q->count;
    }
    wfi_offload_drop(&q->call);
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
