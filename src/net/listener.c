/* SPDX-License-Identifier: MIT */
/*
 * Listeners. A Unix listener remembers which file it made (device and inode), so that closing does
 * not remove a file that somebody has put in its place.
 */
#include <weft/listener.h>

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "net/address.h"
#include "net/stream.h"
#include "os/path.h"

struct wf_listener {
    struct wfi_handle handle;
    struct wf_stream_options stream; /* constant, as are the rest */
    struct wf_address address;
    struct wfi_file_id file; /* what the path names; a Unix listener's */
};

/* localhost is allowed as a name, because it needs nobody to be asked. */
static int read_endpoint(const char *endpoint, struct wf_address *ret_address)
{
    if (strncmp(endpoint, "unix:", 5) == 0)
        return wf_address_parse(endpoint, ret_address);
    char host[WFI_HOST_BYTES];
    uint16_t port;
    int err = wf_address_split(endpoint, 0, host, sizeof host, &port);
    if (err)
        return -EINVAL;
    return wfi_resolve_at_once(host, port, ret_address, 1) == 1 ? 0 : -EINVAL;
}

/* The path is taken: is it a socket on which nobody listens any more? */
static bool left_behind(const struct wfi_sockaddr *at)
{
    struct wfi_file_id file;
    int fd;
    if (at->any.sa_family != AF_UNIX || !at->local.sun_path[0] ||
        wfi_file_identify(at->local.sun_path, &file) || !file.socket)
        return false;
    int err = wfi_socket_connect_start(at, &fd);
    if (!err)
        wfi_fd_close(fd);
    return err == -ECONNREFUSED;
}

static int bind_and_listen(const struct wfi_sockaddr *at, const struct wf_listener_options *options,
                           int *ret_fd)
{
    struct wfi_socket_listen_options how = {.backlog = options->backlog,
                                            .reuse_port = options->reuse_port,
                                            .only_v6 = options->only_v6};
    int err = wfi_socket_listen(at, &how, ret_fd);
    if (err == -EADDRINUSE && left_behind(at)) {
        wfi_file_remove(at->local.sun_path);
        err = wfi_socket_listen(at, &how, ret_fd);
    }
    return err;
}

static void destroy(struct wf_listener *l)
{
    const struct wfi_sockaddr *at = wfi_address_seen(&l->address);
    struct wfi_file_id now;
    if (at->len && at->any.sa_family == AF_UNIX && at->local.sun_path[0] &&
        wfi_file_identify(at->local.sun_path, &now) == 0 && now.device == l->file.device &&
        now.inode == l->file.inode)
        wfi_file_remove(at->local.sun_path);
    wfi_free(l);
}

int wf_listener_open(const char *endpoint, const struct wf_listener_options *options,
                     struct wf_listener **ret_listener, struct wf_error *reterr)
{
    static const struct wf_listener_options defaults;
    struct wf_address wanted;
    int fd = -1;
    if (!options)
        options = &defaults;
    int err = read_endpoint(endpoint, &wanted);
    if (err)
        return wf_error_set(reterr, err,
                            "%.200s: not in the form address:port, localhost:port or unix:path",
                            endpoint);
    struct wf_listener *l = wfi_zalloc(sizeof *l);
    if (!l)
        return wf_error_set(reterr, -ENOMEM, NULL);
    l->stream = options->stream;
    err = bind_and_listen(wfi_address_seen(&wanted), options, &fd);
    if (!err)
        err = wfi_socket_local(fd, wfi_address_inside(&l->address));
    if (!err) {
        const struct wfi_sockaddr *at = wfi_address_seen(&l->address);
        if (at->any.sa_family == AF_UNIX && at->local.sun_path[0])
            wfi_file_identify(at->local.sun_path, &l->file);
        err = wfi_handle_init(&l->handle, fd);
    }
    if (err) {
        wfi_fd_close(fd);
        destroy(l);
        char text[WF_ADDRESS_TEXT_BYTES];
        return wf_error_set(reterr, err, "listen at %s: %s",
                            wf_address_format(&wanted, text, sizeof text), wf_strerror(err));
    }
    *ret_listener = l;
    return 0;
}

int wf_listener_adopt(int fd, const struct wf_listener_options *options,
                      struct wf_listener **ret_listener)
{
    struct wf_listener *l = wfi_zalloc(sizeof *l);
    if (!l)
        return -ENOMEM;
    if (options)
        l->stream = options->stream;
    int err = wfi_socket_prepare(fd);
    if (!err && !wfi_socket_listens(fd))
        err = -EINVAL;
    if (!err)
        err = wfi_socket_local(fd, wfi_address_inside(&l->address));
    if (!err)
        err = wfi_handle_init(&l->handle, fd);
    if (err) {
        wfi_free(l);
        return err;
    }
    *ret_listener = l;
    return 0;
}

static int accept_inside(struct wf_listener *l, int *ret_fd, wf_deadline deadline)
{
    int canceled = wfi_handle_give_way(&l->handle);
    if (canceled)
        return canceled;
    for (;;) {
        uint32_t seen = wfi_poll_desc_seen(l->handle.desc, WFI_DESC_READ);
        int err = wfi_socket_accept(l->handle.fd, NULL, ret_fd);
        if (err == -EAGAIN) {
            err = wfi_handle_wait(&l->handle, WFI_DESC_READ, seen, "accept", deadline);
        } else if (err == -EMFILE || err == -ENFILE) {
            int full = err;
            err = wfi_handle_wait_for_descriptor(l, deadline);
            if (err == -ETIMEDOUT)
                err = full;
            /* The wait was not on the listener, so closing it did not end the wait. */
            if (!err && !(err = wfi_handle_enter(&l->handle)))
                wfi_handle_leave(&l->handle);
        } else {
            return err;
        }
        if (err)
            return err;
    }
}

int wf_listener_accept(struct wf_listener *l, struct wf_stream **ret_stream, wf_deadline deadline)
{
    int fd = -1;
    int err = wfi_handle_enter(&l->handle);
    if (err)
        return err;
    err = accept_inside(l, &fd, deadline);
    if (!err) {
        /* A peer that has gone already makes options fail; whoever reads the stream finds out. */
        bool tcp = wfi_address_seen(&l->address)->any.sa_family != AF_UNIX;
        wfi_stream_configure(fd, tcp, &l->stream);
        err = wfi_stream_create(fd, tcp, ret_stream);
        if (err)
            wfi_fd_close(fd);
    }
    if (wfi_handle_leave(&l->handle))
        destroy(l);
    return err;
}

void wf_listener_address(const struct wf_listener *l, struct wf_address *ret_address)
{
    *ret_address = l->address;
}

void wf_listener_close(struct wf_listener *l)
{
    if (l && wfi_handle_close(&l->handle))
        destroy(l);
}
