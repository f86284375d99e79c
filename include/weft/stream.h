/* SPDX-License-Identifier: MIT */
/*
 * Streams: connections of bytes, over TCP or a Unix socket, read and written by straight-line code.
 * A call that has to wait lets the other fibers of its worker run, or, on a plain thread, sleeps;
 * every one takes a deadline and ends with -ECANCELED when its task is cancelled.
 *
 *     struct wf_stream *s;
 *     err = wf_dial("example.org:80", NULL, &s, deadline, &error);
 *     if (!err)
 *         err = wf_stream_write(s, request, request_len, deadline);
 *     while (!err && (n = wf_stream_read(s, buf, sizeof buf, deadline)) > 0)
 *         ...
 *     wf_stream_close(s);
 *
 * Who may call what at once: one party may read while another writes. Several readers, or several
 * writers, are safe for the library, but the bytes are then shared out as they come. Any party may
 * close: whoever is inside a call is woken with -EPIPE, and the stream's memory goes when the last
 * has left. To begin a call on a stream after it was closed is an error of the program, as with
 * free(); a party that others may close under must know by its own means that it is still open.
 *
 * Writing to a peer that has gone gives -EPIPE or -ECONNRESET, never a signal.
 */
#ifndef WEFT_STREAM_H
#define WEFT_STREAM_H

#include <weft/address.h>

WF_BEGIN_DECLS

struct wf_stream;

struct wf_stream_options {
    bool delay;      /* TCP: let the system collect small writes (Nagle); default: send at once */
    int keepalive_s; /* TCP: probe a silent peer after so many seconds; 0: never */
    int send_bytes;  /* size of the system's buffers; 0: as the system sees fit */
    int receive_bytes;
    int unsent_bytes; /* TCP: how much may wait to be sent when the peer does not take it, before a
                         write waits; 0: what the system's buffer holds, which can be megabytes */
};

/*
 * Connects to `endpoint`: "host:port" with a name or a numeric address, or "unix:PATH". The
 * addresses of a name are tried one after another; each but the last gets its share of the time
 * left.
 *
 * options     NULL for the defaults
 * ret_stream  receives the stream; the caller owns it and closes it
 *
 * Returns 0, or, with a text that names each address tried and its cause,
 *   -EINVAL         the endpoint cannot be read
 *   WF_ERESOLVE     the host has no address
 *   -ECONNREFUSED, -ENETUNREACH, -EHOSTUNREACH, -ENOENT (no such Unix socket), -EACCES, ...
 *   -ETIMEDOUT      the deadline passed, or the system gave up
 *   -ECANCELED      the calling task was cancelled
 *   -EMFILE, -ENFILE, -ENOMEM
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_dial(const char *endpoint, const struct wf_stream_options *options,
                   struct wf_stream **ret_stream, wf_deadline deadline, struct wf_error *reterr);

/*
 * Connects to one address; else as wf_dial.
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_dial_address(const struct wf_address *address,
                           const struct wf_stream_options *options, struct wf_stream **ret_stream,
                           wf_deadline deadline, struct wf_error *reterr);

/*
 * Makes two streams connected to each other. Each has an owner of its own.
 *
 * Returns 0, or -EMFILE, -ENFILE, -ENOMEM.
 * Context: any, never blocks.
 */
WF_API int wf_stream_pair(struct wf_stream *ret_streams[2]);

/*
 * Makes a stream of a connected stream socket, which is set to non-blocking and close-on-exec.
 *
 * fd   belongs to the stream on success, to the caller on failure
 *
 * Returns 0, or
 *   -ENOTSOCK, -EBADF   not a socket
 *   -EPROTOTYPE         not a stream socket
 *   -ENOMEM
 * Context: any, never blocks.
 */
WF_API int wf_stream_adopt(int fd, struct wf_stream **ret_stream);

/*
 * Reads what is there, at least one byte, waiting for it if need be.
 *
 * Returns the count, 0 when the peer has ended its side (or len is 0), or
 *   -ETIMEDOUT    the deadline passed first
 *   -ECANCELED    the calling task was cancelled
 *   -EPIPE        another party closed the stream
 *   -ECONNRESET   the peer broke the connection off
 * Context: thread or fiber.
 */
WF_API ssize_t wf_stream_read(struct wf_stream *stream, void *buf, size_t len,
                              wf_deadline deadline);

/*
 * Waits until wf_stream_read would not have to (or, seldom, would have to all the same): for who
 * does not want to keep a buffer at hand while nothing comes.
 *
 * Returns 0, or
 *   -ETIMEDOUT    the deadline passed first
 *   -ECANCELED    the calling task was cancelled
 *   -EPIPE        another party closed the stream
 * Context: thread or fiber.
 */
WF_API int wf_stream_wait(struct wf_stream *stream, wf_deadline deadline);

/*
 * Whether the peer has ended its side, or the connection broke, even while bytes it sent before are
 * still to be read. It costs nothing as long as nothing has happened on the connection.
 * Context: any, never blocks; any number of callers.
 */
WF_API bool wf_stream_peer_ended(struct wf_stream *stream);

/*
 * Reads exactly `len` bytes.
 *
 * Returns len, or 0 when the peer ended its side before the first of them, or
 *   WF_ESHORT   the peer ended its side among them; how many came is not told
 * or an error of wf_stream_read.
 * Context: thread or fiber.
 */
WF_API ssize_t wf_stream_read_full(struct wf_stream *stream, void *buf, size_t len,
                                   wf_deadline deadline);

/*
 * Writes all of `data`. After an error an unknown part of it has been sent; the stream is then good
 * for nothing but reading and closing.
 *
 * Returns 0, or
 *   -ETIMEDOUT    the deadline passed first
 *   -ECANCELED    the calling task was cancelled
 *   -EPIPE        the peer takes no more, this side was shut down, or another party closed the
 *                 stream
 *   -ECONNRESET   the peer broke the connection off
 * Context: thread or fiber.
 */
WF_API int wf_stream_write(struct wf_stream *stream, const void *data, size_t len,
                           wf_deadline deadline);

struct wf_part {
    const void *data;
    size_t len;
};

/*
 * Writes several parts one after another, with as few system calls as can be; else as
 * wf_stream_write.
 * Context: thread or fiber.
 */
WF_API int wf_stream_writev(struct wf_stream *stream, const struct wf_part *parts, size_t count,
                            wf_deadline deadline);

/*
 * Moves bytes from one stream to another, inside the system where it can, until `from` ends or
 * `max` bytes have passed (INT64_MAX: no limit). After an error bytes may be lost between the two.
 *
 * Returns the count moved, or the error of the side that failed, as for wf_stream_read and
 * wf_stream_write.
 * Context: thread or fiber.
 */
WF_API int64_t wf_stream_splice(struct wf_stream *from, struct wf_stream *to, int64_t max,
                                wf_deadline deadline);

struct wf_file; /* weft/file.h */

/*
 * Sends `len` bytes of a file from `offset` on, inside the system. Bytes that are in no memory yet
 * are waited for on the calling worker.
 *
 * Returns 0, or
 *   WF_ESHORT   the file has ended before that
 * or an error of wf_stream_write, or of reading the file (-EIO).
 * Context: thread or fiber.
 */
WF_API int wf_stream_send_file(struct wf_stream *stream, struct wf_file *file, int64_t offset,
                               int64_t len, wf_deadline deadline);

enum wf_stream_side {
    WF_SHUTDOWN_READ,  /* reads here give the end */
    WF_SHUTDOWN_WRITE, /* the peer reads the end, after all that was written */
    WF_SHUTDOWN_BOTH,
};

/*
 * Ends one side of the connection or both; the stream stays open. Parties that wait in that
 * direction go on and see it.
 *
 * Returns 0, or -EPIPE (another party closed the stream).
 * Context: any, never blocks; any number of callers.
 */
WF_API int wf_stream_shutdown(struct wf_stream *stream, enum wf_stream_side how);

/*
 * Closes the stream; see above for parties that are inside. What was written before is still
 * delivered. NULL is fine.
 * Context: any, never blocks; once.
 */
WF_API void wf_stream_close(struct wf_stream *stream);

/*
 * Closes the stream so that its peer sees that it was broken off (TCP: a reset, -ECONNRESET there):
 * what was written and has not arrived is dropped, and takes no memory of the system until a peer
 * that does not read has been given up. NULL is fine.
 * Context: any, never blocks; once, instead of wf_stream_close.
 */
WF_API void wf_stream_break(struct wf_stream *stream);

/*
 * The address of this end.
 *
 * Returns 0, or -EPIPE (another party closed the stream).
 * Context: any, never blocks.
 */
WF_API int wf_stream_local(struct wf_stream *stream, struct wf_address *ret_address);

/*
 * The address of the other end.
 *
 * Returns 0, or -ENOTCONN (the peer has gone), -EPIPE (another party closed the stream).
 * Context: any, never blocks.
 */
WF_API int wf_stream_peer(struct wf_stream *stream, struct wf_address *ret_address);

/*
 * The descriptor, for options of the system; it stays the stream's.
 * Context: any, never blocks.
 */
WF_API int wf_stream_fd(const struct wf_stream *stream);

WF_END_DECLS

#endif
