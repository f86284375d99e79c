/* SPDX-License-Identifier: MIT */
/*
 * Streams: each operation tries the system call first and waits only after -EAGAIN, as netpoll.h
 * describes.
 */
#include "net/stream.h"

#include <errno.h>

#include "base/alloc.h"
#include "net/address.h"

/* System calls take this many parts at most. */
#define PARTS 64

int wfi_stream_create(int fd, bool tcp, struct wf_stream **ret_stream)
{
    struct wf_stream *s = wfi_zalloc(sizeof *s);
    if (!s)
        return -ENOMEM;
    int err = wfi_handle_init(&s->handle, fd);
    if (err) {
        wfi_free(s);
        return err;
    }
    s->tcp = tcp;
    *ret_stream = s;
    return 0;
}

int wfi_stream_configure(int fd, bool tcp, const struct wf_stream_options *options)
{
    int err = 0;
    if (tcp && !options->delay)
        err = wfi_socket_set(fd, WFI_SOCKET_NODELAY, 1);
    if (!err && tcp && options->keepalive_s > 0) {
        err = wfi_socket_set(fd, WFI_SOCKET_KEEPALIVE_IDLE, options->keepalive_s);
        if (!err)
            err = wfi_socket_set(fd, WFI_SOCKET_KEEPALIVE, 1);
    }
    if (!err && options->send_bytes > 0)
        err = wfi_socket_set(fd, WFI_SOCKET_SEND_BYTES, options->send_bytes);
    if (!err && options->receive_bytes > 0)
        err = wfi_socket_set(fd, WFI_SOCKET_RECEIVE_BYTES, options->receive_bytes);
    if (!err && tcp && options->unsent_bytes > 0)
        err = wfi_socket_set(fd, WFI_SOCKET_UNSENT_BYTES, options->unsent_bytes);
    return err;
}

int wf_stream_pair(struct wf_stream *ret_streams[2])
{
    int fds[2];
    struct wf_stream *streams[2] = {NULL, NULL};
    int err = wfi_socket_pair(fds);
    if (err)
        return err;
    for (int i = 0; i < 2 && !err; i++)
        err = wfi_stream_create(fds[i], false, &streams[i]);
    for (int i = 0; i < 2; i++) {
        if (!err)
            ret_streams[i] = streams[i];
        else if (streams[i])
            wf_stream_close(streams[i]);
        else
            wfi_fd_close(fds[i]);
    }
    return err;
}

int wf_stream_adopt(int fd, struct wf_stream **ret_stream)
{
    int err = wfi_socket_prepare(fd);
    return err ? err : wfi_stream_create(fd, false, ret_stream);
}

void wfi_stream_leave(struct wf_stream *s)
{
    if (wfi_handle_leave(&s->handle))
        wfi_free(s);
}

void wf_stream_close(struct wf_stream *s)
{
    if (s && wfi_handle_close(&s->handle))
        wfi_free(s);
}

void wf_stream_break(struct wf_stream *s)
{
    if (s && wfi_handle_enter(&s->handle) == 0) {
        (void)wfi_socket_close_hard(s->handle.fd); /* else it is closed as any other */
        wfi_stream_leave(s);
    }
    wf_stream_close(s);
}

int wfi_stream_wait_inside(struct wf_stream *s, enum wfi_desc_direction direction, uint32_t seen,
                           wf_deadline deadline)
{
    return wfi_handle_wait(&s->handle, direction, seen,
                           direction == WFI_DESC_READ ? "read" : "write", deadline);
}

/* `seen`: the edges, as wfi_poll_desc_seen says. */
static bool is_drained(struct wf_stream *s, uint32_t seen)
{
    return wfi_load_relaxed(&s->drained) == (uint64_t)seen + 1 &&
           !wfi_poll_desc_is_eventful(s->handle.desc);
}

static ssize_t read_now(struct wf_stream *s, void *buf, size_t len, uint32_t seen)
{
    ssize_t n = wfi_socket_read(s->handle.fd, buf, len);
    if (s->tcp && n > 0 && (size_t)n < len)
        wfi_store_relaxed(&s->drained, (uint64_t)seen + 1);
    return n;
}

/*
 * What a short read leaves is nothing, on TCP, so the system is not asked before the next edge. The
 * end, errors and urgent data, before which a read stops short, come with an edge that says so
 * (eventful); other sockets have more reasons to stop. When the time is up the system is asked all
 * the same, because an edge may not have been fetched yet.
 */
ssize_t wfi_stream_read_inside(struct wf_stream *s, void *buf, size_t len, wf_deadline deadline)
{
    int err = wfi_handle_give_way(&s->handle);
    uint32_t seen = wfi_poll_desc_seen(s->handle.desc, WFI_DESC_READ);
    bool drained = !err && is_drained(s, seen);
    if (drained)
        err = wfi_stream_wait_inside(s, WFI_DESC_READ, seen, deadline);
    while (!err || (err == -ETIMEDOUT && drained)) {
        drained = false;
        seen = wfi_poll_desc_seen(s->handle.desc, WFI_DESC_READ);
        ssize_t n = read_now(s, buf, len, seen);
        if (n != -EAGAIN)
            return n;
        err = wfi_stream_wait_inside(s, WFI_DESC_READ, seen, deadline);
    }
    return err;
}

int wfi_stream_write_inside(struct wf_stream *s, const void *data, size_t len, wf_deadline deadline)
{
    const char *at = data;
    int err = wfi_handle_give_way(&s->handle);
    while (!err && len) {
        uint32_t seen = wfi_poll_desc_seen(s->handle.desc, WFI_DESC_WRITE);
        ssize_t n = wfi_socket_write(s->handle.fd, at, len);
        if (n >= 0) {
            at += n;
            len -= (size_t)n;
        } else if (n == -EAGAIN) {
            err = wfi_stream_wait_inside(s, WFI_DESC_WRITE, seen, deadline);
        } else {
            err = (int)n;
        }
    }
    return err;
}

ssize_t wf_stream_read(struct wf_stream *s, void *buf, size_t len, wf_deadline deadline)
{
    int err = wfi_handle_enter(&s->handle);
    if (err)
        return err;
    ssize_t n = wfi_stream_read_inside(s, buf, len, deadline);
    wfi_stream_leave(s);
    return n;
}

int wf_stream_wait(struct wf_stream *s, wf_deadline deadline)
{
    int err = wfi_handle_enter(&s->handle);
    if (err)
        return err;
    uint32_t seen = wfi_poll_desc_seen(s->handle.desc, WFI_DESC_READ);
    bool drained = is_drained(s, seen);
    if (drained || !wfi_socket_readable(s->handle.fd))
        err = wfi_stream_wait_inside(s, WFI_DESC_READ, seen, deadline); /* an edge is enough */
    if (err == -ETIMEDOUT && drained && wfi_socket_readable(s->handle.fd))
        err = 0;
    wfi_stream_leave(s);
    return err;
}

/*
 * Only an edge can bring news, and none is missed while the descriptor is watched. Whether it is
 * and how many edges there were is read before the question, as with reading; the count starts at
 * one here, so that zeroed means never asked.
 */
bool wf_stream_peer_ended(struct wf_stream *s)
{
    if (wfi_handle_enter(&s->handle))
        return true;
    bool watched = wfi_poll_desc_is_watched(s->handle.desc), ended = false;
    uint64_t seen = (uint64_t)wfi_poll_desc_seen(s->handle.desc, WFI_DESC_READ) + 1;
    if (!watched || wfi_load_relaxed(&s->peer_there) != seen) {
        ended = wfi_socket_peer_ended(s->handle.fd);
        if (!ended && watched)
            wfi_store_relaxed(&s->peer_there, seen); /* a hint: whoever misses it asks again */
    }
    wfi_stream_leave(s);
    return ended;
}

ssize_t wf_stream_read_full(struct wf_stream *s, void *buf, size_t len, wf_deadline deadline)
{
    size_t have = 0;
    ssize_t n = wfi_handle_enter(&s->handle);
    if (n < 0)
        return n;
    while (have < len &&
           (n = wfi_stream_read_inside(s, (char *)buf + have, len - have, deadline)) > 0)
        have += (size_t)n;
    wfi_stream_leave(s);
    if (n < 0)
        return n;
    return have == len ? (ssize_t)len : have == 0 ? 0 : WF_ESHORT;
}

int wf_stream_write(struct wf_stream *s, const void *data, size_t len, wf_deadline deadline)
{
    int err = wfi_handle_enter(&s->handle);
    if (err)
        return err;
    err = wfi_stream_write_inside(s, data, len, deadline);
    wfi_stream_leave(s);
    return err;
}

/* Parts not yet written: those from `at` on, the first without its first `skip` bytes. */
static int gather(const struct wf_part *parts, size_t count, size_t at, size_t skip,
                  struct iovec ret_window[PARTS])
{
    int n = 0;
    for (; at < count && n < PARTS; at++, skip = 0)
        ret_window[n++] = (struct iovec){(char *)parts[at].data + skip, parts[at].len - skip};
    return n;
}

static int writev_inside(struct wf_stream *s, const struct wf_part *parts, size_t count,
                         wf_deadline deadline)
{
    struct iovec window[PARTS];
    size_t at = 0, skip = 0;
    int err = wfi_handle_give_way(&s->handle);
    while (!err) {
        while (at < count && parts[at].len == skip) {
            at++;
            skip = 0;
        }
        if (at == count)
            break;
        uint32_t seen = wfi_poll_desc_seen(s->handle.desc, WFI_DESC_WRITE);
        ssize_t n = wfi_socket_writev(s->handle.fd, window, gather(parts, count, at, skip, window));
        if (n == -EAGAIN) {
            err = wfi_stream_wait_inside(s, WFI_DESC_WRITE, seen, deadline);
            continue;
        }
        if (n < 0)
            return (int)n;
        for (size_t left = (size_t)n; left;) {
            size_t rest = parts[at].len - skip;
            if (left < rest) {
                skip += left;
                break;
            }
            left -= rest;
            at++;
            skip = 0;
        }
    }
    return err;
}

int wf_stream_writev(struct wf_stream *s, const struct wf_part *parts, size_t count,
                     wf_deadline deadline)
{
    int err = wfi_handle_enter(&s->handle);
    if (err)
        return err;
    err = writev_inside(s, parts, count, deadline);
    wfi_stream_leave(s);
    return err;
}

int wf_stream_shutdown(struct wf_stream *s, enum wf_stream_side how)
{
    static const int system_how[] = {[WF_SHUTDOWN_READ] = SHUT_RD,
                                     [WF_SHUTDOWN_WRITE] = SHUT_WR,
                                     [WF_SHUTDOWN_BOTH] = SHUT_RDWR};
    if ((unsigned)how > WF_SHUTDOWN_BOTH)
        return -EINVAL;
    int err = wfi_handle_enter(&s->handle);
    if (err)
        return err;
    err = wfi_socket_shutdown(s->handle.fd, system_how[how]);
    wfi_stream_leave(s);
    return err;
}

static int name_end(struct wf_stream *s, int (*get)(int, struct wfi_sockaddr *),
                    struct wf_address *ret_address)
{
    struct wf_address address = {{0}};
    int err = wfi_handle_enter(&s->handle);
    if (err)
        return err;
    err = get(s->handle.fd, wfi_address_inside(&address));
    wfi_stream_leave(s);
    if (!err)
        *ret_address = address;
    return err;
}

int wf_stream_local(struct wf_stream *s, struct wf_address *ret_address)
{
    return name_end(s, wfi_socket_local, ret_address);
}

int wf_stream_peer(struct wf_stream *s, struct wf_address *ret_address)
{
    return name_end(s, wfi_socket_peer, ret_address);
}

int wf_stream_fd(const struct wf_stream *s)
{
    return s->handle.fd;
}
