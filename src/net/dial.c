/* SPDX-License-Identifier: MIT */
/* Connecting: one address, then a name's addresses one after another. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/address.h"
#include "net/stream.h"

/* A name has rarely more addresses than this; the resolver gives the best first. */
#define ADDRESSES_MAX 16

static const struct wf_stream_options defaults;

/*
 * Begins to connect. A Unix listener whose queue is full refuses with -EAGAIN, and nothing tells
 * when it would not: all that can be done is to try again, soon at first.
 */
static int begin(const struct wfi_sockaddr *at, int *ret_fd, wf_deadline deadline)
{
    int64_t pause_ns = WF_MICROSECONDS(100);
    for (;;) {
        int err = wfi_socket_connect_start(at, ret_fd);
        if (err != -EAGAIN || at->any.sa_family != AF_UNIX)
            return err;
        if (wf_remaining(deadline) == 0)
            return -ETIMEDOUT;
        err = wf_sleep(wf_earlier(wf_after(pause_ns), deadline));
        if (err)
            return err;
        if (pause_ns < WF_MILLISECONDS(10))
            pause_ns *= 2;
    }
}

static int wait_connected(struct wf_stream *s, wf_deadline deadline)
{
    for (;;) {
        uint32_t seen = wfi_poll_desc_seen(s->handle.desc, WFI_DESC_WRITE);
        int err = wfi_socket_connect_finish(s->handle.fd);
        if (err != -EINPROGRESS)
            return err;
        err = wfi_handle_wait(&s->handle, WFI_DESC_WRITE, seen, "connect", deadline);
        if (err)
            return err;
    }
}

/*
 * A local port without a listener, in the range from which outgoing ports are taken, may be given
 * to this very connection, which then meets itself. Nobody is there: it counts as refused.
 */
static bool met_itself(int fd, const struct wfi_sockaddr *at)
{
    struct wfi_sockaddr local;
    return wfi_socket_local(fd, &local) == 0 && wfi_sockaddr_equal(&local, at);
}

static int connect_one(const struct wf_address *address, const struct wf_stream_options *options,
                       struct wf_stream **ret_stream, wf_deadline deadline)
{
    const struct wfi_sockaddr *at = wfi_address_seen(address);
    struct wf_stream *s = NULL;
    int fd = -1;
    if (at->len == 0)
        return -EINVAL;
    int err = begin(at, &fd, deadline);
    if (err && err != -EINPROGRESS)
        return err;
    bool pending = err != 0, tcp = at->any.sa_family != AF_UNIX;
    err = wfi_stream_create(fd, tcp, &s);
    if (err) {
        wfi_fd_close(fd);
        return err;
    }
    if (pending)
        err = wait_connected(s, deadline);
    if (!err && tcp && met_itself(fd, at))
        err = -ECONNREFUSED;
    if (!err)
        err = wfi_stream_configure(fd, tcp, options);
    if (err)
        wf_stream_close(s);
    else
        *ret_stream = s;
    return err;
}

int wf_dial_address(const struct wf_address *address, const struct wf_stream_options *options,
                    struct wf_stream **ret_stream, wf_deadline deadline, struct wf_error *reterr)
{
    int err = connect_one(address, options ? options : &defaults, ret_stream, deadline);
    if (!err)
        return 0;
    char text[WF_ADDRESS_TEXT_BYTES];
    wf_address_format(address, text, sizeof text);
    wf_error_set(reterr, err, "%s: %s", text, wf_strerror(err));
    if (reterr)
        snprintf(reterr->origin, sizeof reterr->origin, "%.*s", (int)sizeof reterr->origin - 1,
                 text);
    return err;
}

/* The time an address may take when `left` of them, this one included, share what remains. */
static wf_deadline share(wf_deadline deadline, int left)
{
    int64_t remaining_ns = wf_remaining(deadline);
    if (left <= 1 || remaining_ns == INT64_MAX)
        return deadline;
    return wf_after(remaining_ns / left);
}

/* Another address is worth a try unless the caller has no time left or no means. */
static bool ends_all(int err, wf_deadline deadline)
{
    return err == -ECANCELED || err == -ENOMEM || err == -EMFILE || err == -ENFILE ||
           (err == -ETIMEDOUT && wf_remaining(deadline) == 0);
}

static int dial_each(const struct wf_address *addresses, int count,
                     const struct wf_stream_options *options, struct wf_stream **ret_stream,
                     wf_deadline deadline, struct wf_error *reterr)
{
    struct wf_error all = {0}, one = {0};
    int err = -EINVAL;
    for (int i = 0; i < count; i++) {
        err = wf_dial_address(&addresses[i], options, ret_stream, share(deadline, count - i), &one);
        if (!err)
            return 0;
        if (i == 0)
            all = one;
        size_t used = strlen(all.text);
        size_t room = sizeof all.text - used;
        if (i > 0 && room > 3)
            snprintf(all.text + used, room, "; %.*s", (int)room - 3, one.text);
        if (ends_all(err, deadline))
            break;
    }
    all.code = err;
    if (reterr)
        *reterr = all;
    return err;
}

static bool is_name(const char *host)
{
    struct wfi_sockaddr numeric;
    return wfi_sockaddr_numeric(host, 0, &numeric) != 0;
}

int wf_dial(const char *endpoint, const struct wf_stream_options *options,
            struct wf_stream **ret_stream, wf_deadline deadline, struct wf_error *reterr)
{
    struct wf_address addresses[ADDRESSES_MAX];
    if (strncmp(endpoint, "unix:", 5) == 0) {
        int err = wf_address_parse(endpoint, &addresses[0]);
        if (err)
            return wf_error_set(reterr, err, "%.200s: not a Unix address: %s", endpoint,
                                wf_strerror(err));
        return wf_dial_address(&addresses[0], options, ret_stream, deadline, reterr);
    }
    char host[WFI_HOST_BYTES];
    uint16_t port;
    int err = wf_address_split(endpoint, 0, host, sizeof host, &port);
    if (err)
        return wf_error_set(reterr, -EINVAL, "%.200s: not in the form host:port or unix:path",
                            endpoint);
    int count = wf_resolve(host, port, addresses, ADDRESSES_MAX, deadline, reterr);
    err = count < 0 ? count : dial_each(addresses, count, options, ret_stream, deadline, reterr);
    if (err && reterr) {
        if (count > 0 && is_name(host))
            wf_error_prefix(reterr, "%s:%u", host, port);
        snprintf(reterr->origin, sizeof reterr->origin, "%.*s", (int)sizeof reterr->origin - 1,
                 endpoint);
    }
    return err;
}
