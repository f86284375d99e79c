/* SPDX-License-Identifier: MIT */
/*
 * A request, as a handler of a server sees it (weft/server.h). Everything it hands out is the
 * request's and lives until the handler returns; texts end with a NUL. All functions are for the
 * handler, and for the tasks it started while it waits for them, one at a time.
 */
#ifndef WEFT_REQUEST_H
#define WEFT_REQUEST_H

#include <weft/address.h>
#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_request;
struct wf_scope; /* weft/scope.h */
struct wf_json;  /* weft/json.h */

/*
 * "GET", "POST" and so on.
 * Context: any, never blocks.
 */
WF_API const char *wf_request_method(const struct wf_request *request);

/*
 * The path, with its escapes decoded: UTF-8 or not, but without NUL and without "." and ".."
 * pieces, which are refused.
 * Context: any, never blocks.
 */
WF_API const char *wf_request_path(const struct wf_request *request);

/*
 * What stood in the request line, path and query as they were sent.
 * Context: any, never blocks.
 */
WF_API const char *wf_request_target(const struct wf_request *request);

/*
 * The value of a parameter of the route's path, or NULL when it has none of that name.
 * Context: any, never blocks.
 */
WF_API const char *wf_request_param(const struct wf_request *request, const char *name);

/*
 * The value of a parameter {name:int}, and of one {name:uint}.
 *
 * Returns 0, or -ENOENT when the route has no parameter of that name and type.
 * Context: any, never blocks.
 */
WF_API int wf_request_param_int(const struct wf_request *request, const char *name, int64_t *ret);
WF_API int wf_request_param_uint(const struct wf_request *request, const char *name, uint64_t *ret);

/*
 * The value of a parameter of the query ("?name=value&..."), decoded, the first if there are
 * several; "" for one without =.
 *
 * ret_value   receives the value, at most `bytes` with the NUL
 *
 * Returns its length, or
 *   -ENOENT         there is none
 *   -E2BIG          it does not fit
 *   -EINVAL         the query's escapes are wrong, up to that parameter
 * Context: any, never blocks.
 */
WF_API ssize_t wf_request_query(const struct wf_request *request, const char *name, char *ret_value,
                                size_t bytes);

/*
 * The value of the first header field of that name, compared without case, or NULL.
 * Context: any, never blocks.
 */
WF_API const char *wf_request_header(const struct wf_request *request, const char *name);

/*
 * Calls `each` with all header fields, in the order they came.
 * Context: any, never blocks unless `each` does.
 */
WF_API void wf_request_each_header(const struct wf_request *request,
                                   void (*each)(void *arg, const char *name, const char *value),
                                   void *arg);

/*
 * A text no other request of this server has: what answers to errors name.
 * Context: any, never blocks.
 */
WF_API const char *wf_request_id(const struct wf_request *request);

/*
 * The address of the client, as the connection has it.
 * Context: any, never blocks.
 */
WF_API const struct wf_address *wf_request_peer(const struct wf_request *request);

/*
 * Whether the connection it came on speaks TLS.
 * Context: any, never blocks.
 */
WF_API bool wf_request_secure(const struct wf_request *request);

/*
 * The address of the client without a port: that of the connection, or, where that is a trusted
 * proxy's (`trusted` in wf_server_options), the one that the proxies name in X-Forwarded-For. ""
 * where it cannot be known: over a Unix socket, without such a field.
 * Context: any, never blocks.
 */
WF_API const char *wf_request_client(const struct wf_request *request);

/*
 * The pattern of the route that was found, for logs and figures; NULL when there is none.
 * Context: any, never blocks.
 */
WF_API const char *wf_request_route(const struct wf_request *request);

/*
 * The scope the handler runs in, for tasks that are to end with it. On a fiber the handler is its
 * owner; a handler on another executor may spawn in it, but not join it.
 * Context: any, never blocks.
 */
WF_API struct wf_scope *wf_request_scope(const struct wf_request *request);

/*
 * Reads the next bytes of the body, as they come. The first read lets a client send that waits for
 * 100 (Continue), unless the answer has begun: then it sends when it likes. What a handler leaves
 * is passed over, up to 64 KiB whose length is known; of more, the connection ends after the
 * answer.
 *
 * Returns the count, 0 at the end, or
 *   WF_ETOOBIG     the body is larger than the limit
 *   WF_EPROTOCOL   it is malformed
 *   WF_ESHORT      the client ended before its end
 *   -ETIMEDOUT     the client was too slow
 *   -ECANCELED     the handler was cancelled
 *   -ECONNRESET    the connection broke
 * Context: thread or fiber.
 */
WF_API ssize_t wf_request_read(struct wf_request *request, void *buf, size_t len);

/*
 * Reads the whole body, or what is left of it; a second call gives the same.
 *
 * ret_body   receives it, with a NUL behind it
 *
 * Returns 0, -ENOMEM, or an error of wf_request_read.
 * Context: thread or fiber.
 */
WF_API int wf_request_body(struct wf_request *request, const char **ret_body, size_t *ret_len);

/*
 * Reads the whole body as JSON, whatever its Content-Type.
 *
 * ret_json   receives the tree, the caller's to destroy
 *
 * Returns 0, or, with a text, an error of wf_json_read or wf_request_body.
 * Context: thread or fiber.
 */
WF_API int wf_request_json(struct wf_request *request, struct wf_json **ret_json,
                           struct wf_error *reterr);

WF_END_DECLS

#endif
