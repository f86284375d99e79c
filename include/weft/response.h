/* SPDX-License-Identifier: MIT */
/*
 * The answer to a request, as a handler of a server makes it (weft/server.h): whole, with one call,
 *
 *     return wf_response_text(response, 200, "hello\n");
 *
 * or piece by piece:
 *
 *     err = wf_response_begin(response, 200, "text/plain", -1);
 *     while (!err && (n = next_piece(buf, sizeof buf)) > 0)
 *         err = wf_response_write(response, buf, n);
 *     return err;
 *
 * Small pieces are collected. A client that takes its answer slowly holds up who writes, so that
 * memory stays bounded. The answer to HEAD is made the same way; its body is not sent.
 *
 * Text goes out as gzip to clients that take it, where it is long enough (weft/server.h, no_gzip);
 * then an ETag becomes a weak one, and an answer whose length was told is sent in chunks.
 *
 * All functions are for the handler, and for the tasks it started while it waits for them, one at a
 * time. Those that send return 0, or
 *   WF_ESTATE               an answer was begun before (or none, for wf_response_write)
 *   -EINVAL                 a status outside 200 to 599, or a text no header field can have
 *   -ETIMEDOUT              the client did not take it in time
 *   -EPIPE, -ECONNRESET     the client has gone
 *   -ECANCELED              the handler was cancelled
 *   -ENOMEM
 */
#ifndef WEFT_RESPONSE_H
#define WEFT_RESPONSE_H

#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_response;
struct wf_json_writer; /* weft/json.h */

/*
 * Adds a header field to the answer that is yet to begin. Date, Connection, Content-Length and
 * Transfer-Encoding are the server's, Content-Type comes with the body.
 *
 * Returns 0, or
 *   -EINVAL     one of those, or a name or value no field can have
 *   -E2BIG      more than 24 fields
 *   WF_ESTATE   the answer was begun
 *   -ENOMEM
 * Context: any, never blocks.
 */
WF_API int wf_response_header(struct wf_response *response, const char *name, const char *value);

/*
 * The status of the answer; where none was begun, the one that the server will give it for `code`,
 * what a handler or wf_next_run returned.
 * Context: any, never blocks.
 */
WF_API int wf_response_status(const struct wf_response *response, int code);

/*
 * Answers with `len` bytes. `content_type` may be NULL where there is no body.
 *
 * Returns as above.
 * Context: thread or fiber.
 */
WF_API int wf_response_send(struct wf_response *response, int status, const char *content_type,
                            const void *data, size_t len);

/*
 * Answers with a text, as text/plain in UTF-8.
 *
 * Returns as above.
 * Context: thread or fiber.
 */
WF_API int wf_response_text(struct wf_response *response, int status, const char *text);

/*
 * Answers with what was written to a JSON writer.
 *
 * Returns as above; WF_ESTATE too when an object or array is still open.
 * Context: thread or fiber.
 */
WF_API int wf_response_json(struct wf_response *response, int status,
                            struct wf_json_writer *writer);

/*
 * Answers with an error as JSON: {"error": "...", "request": "id"}.
 *
 * Returns as above.
 * Context: thread or fiber.
 */
WF_API int wf_response_error(struct wf_response *response, int status, const char *format, ...)
    WF_PRINTF(3, 4);

/*
 * Sends the client elsewhere.
 *
 * status     301, 302, 303, 307 or 308
 * location   a URL, or a path
 *
 * Returns as above.
 * Context: thread or fiber.
 */
WF_API int wf_response_redirect(struct wf_response *response, int status, const char *location);

/*
 * Begins an answer that comes in pieces.
 *
 * len   of the whole body; -1 when that is not known: it is sent in chunks, to a client of HTTP/1.0
 *       until the connection ends
 *
 * Returns as above.
 * Context: thread or fiber.
 */
WF_API int wf_response_begin(struct wf_response *response, int status, const char *content_type,
                             int64_t len);

/*
 * Sends the next piece of the body. A handler that returns before `len` bytes were written has the
 * connection broken off.
 *
 * Returns as above; WF_ETOOBIG when it is more than was announced.
 * Context: thread or fiber.
 */
WF_API int wf_response_write(struct wf_response *response, const void *data, size_t len);

/*
 * Sends what was collected now; of a compressed answer, so that the client can read it all.
 *
 * Returns as above.
 * Context: thread or fiber.
 */
WF_API int wf_response_flush(struct wf_response *response);

/*
 * Answers with a file, or the part that Range asks for, or 304 or 412 where the client's conditions
 * say so; ETag and Last-Modified tell it apart from what it was before. Of several ranges the whole
 * is sent. Ranges are of the file as it is, so they are never compressed. Bytes that are in no
 * memory yet are waited for on the calling worker.
 *
 * path           of the file, as the system has it: what is made of a request is the caller's to
 *                check
 * content_type   NULL: by the path's suffix
 *
 * Returns as above, or, before anything was made,
 *   -ENOENT, -EACCES, -ENAMETOOLONG, -ELOOP, -EMFILE, ...
 *   -EISDIR   it is a directory
 * Context: thread or fiber.
 */
WF_API int wf_response_file(struct wf_response *response, const char *path,
                            const char *content_type);

/* A server-sent event; all but `data` may be NULL, and `data` have several lines. */
struct wf_sse {
    const char *event, *id, *data;
    int64_t retry_ns; /* how long the client waits before it connects again; 0: not told */
};

/*
 * Sends a server-sent event, at once. The first begins the answer, with status 200,
 * text/event-stream and, unless the handler has given another, Cache-Control: no-cache. When the
 * client goes away the handler is cancelled, so it just goes on until a call fails.
 *
 * Returns as above; -EINVAL too for an event or id of several lines.
 * Context: thread or fiber.
 */
WF_API int wf_response_event(struct wf_response *response, const struct wf_sse *event);

WF_END_DECLS

#endif
