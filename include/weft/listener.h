/* SPDX-License-Identifier: MIT */
/*
 * Listeners: where connections come in.
 *
 *     struct wf_listener *l;
 *     wf_listener_open("127.0.0.1:0", NULL, &l, &error);
 *     while (!(err = wf_listener_accept(l, &stream, WF_FOREVER)))
 *         ... start a fiber that serves the stream and closes it ...
 */
#ifndef WEFT_LISTENER_H
#define WEFT_LISTENER_H

#include <weft/stream.h>

WF_BEGIN_DECLS

struct wf_listener;

struct wf_listener_options {
    int backlog;     /* connections that may wait to be accepted; 0: what the system allows */
    bool reuse_port; /* TCP: several listeners, also of other processes, share the port */
    bool only_v6;    /* [::] does not take IPv4 connections */
    struct wf_stream_options stream; /* of every accepted stream */
};

/*
 * Listens at `endpoint`: "127.0.0.1:0" (any free port), "[::]:80", "localhost:80", "unix:PATH". A
 * Unix path that was left behind, with nobody listening, is replaced; close removes the path.
 *
 * options   NULL for the defaults
 *
 * Returns 0, or, with a text that names the address,
 *   -EINVAL         the endpoint cannot be read, or is a name other than localhost
 *   -EADDRINUSE     somebody listens there
 *   -EADDRNOTAVAIL, -EACCES, -ENOENT, -EMFILE, -ENFILE, -ENOMEM
 * Context: any, never blocks.
 */
WF_API int wf_listener_open(const char *endpoint, const struct wf_listener_options *options,
                            struct wf_listener **ret_listener, struct wf_error *reterr);

/*
 * Makes a listener of a socket that listens already (handed over by whoever started the program),
 * which is set to non-blocking and close-on-exec. A Unix socket's path stays when it is closed.
 *
 * fd        belongs to the listener on success, to the caller on failure
 * options   NULL for the defaults; only `stream` counts
 *
 * Returns 0, or
 *   -EINVAL             it does not listen
 *   -ENOTSOCK, -EBADF   not a socket
 *   -EPROTOTYPE         not a stream socket
 *   -ENOMEM
 * Context: any, never blocks.
 */
WF_API int wf_listener_adopt(int fd, const struct wf_listener_options *options,
                             struct wf_listener **ret_listener);

/*
 * Takes the next connection. Connections that broke before they were taken are passed over. When
 * the process or the system has no descriptor left, accept waits until weft closes one, or looks
 * again after a while, instead of failing: the connection waits with it.
 *
 * ret_stream   receives the stream; the caller owns it and closes it
 *
 * Returns 0, or
 *   -ETIMEDOUT        the deadline passed first
 *   -EMFILE, -ENFILE  it passed while there was no descriptor
 *   -ECANCELED        the calling task was cancelled
 *   -EPIPE            another party closed the listener
 *   -ENOMEM, -ENOBUFS
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_listener_accept(struct wf_listener *listener, struct wf_stream **ret_stream,
                              wf_deadline deadline);

/*
 * Where it listens, with the port that was chosen.
 * Context: any, never blocks.
 */
WF_API void wf_listener_address(const struct wf_listener *listener, struct wf_address *ret_address);

/*
 * Closes the listener; parties inside wf_listener_accept are woken with -EPIPE, as with streams.
 * Connections not yet accepted are broken off. NULL is fine.
 * Context: any, never blocks; once.
 */
WF_API void wf_listener_close(struct wf_listener *listener);

WF_END_DECLS

#endif
