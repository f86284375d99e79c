/* SPDX-License-Identifier: MIT */
/*
 * The HTTP client: straight-line calls that send a request and return when the answer is complete,
 * from fibers and from plain threads. Transfers are done by libcurl: on a fiber by the one multi
 * handle of its worker, driven by the worker's poller, so that thousands of fetches share a thread
 * and their connections; on a plain thread by a handle that thread has to itself for the call.
 *
 *     struct wf_http *http;
 *     struct wf_http_response answer;
 *     wf_http_create(NULL, &http, NULL);
 *     err = wf_http_fetch(http, &(struct wf_http_request){.url = url, .keep_body = true}, &answer,
 *                         wf_after(WF_SECONDS(10)), &error);
 *     if (!err)
 *         printf("%d %zu\n", answer.status, answer.body_len);
 *     wf_http_response_fini(&answer);
 *
 * Redirects are not followed: `location` says where to, and the caller decides. Any status is an
 * answer, not an error.
 */
#ifndef WEFT_HTTP_H
#define WEFT_HTTP_H

#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_http;

struct wf_http_options {
    const char *user_agent; /* default "weft/VERSION" */
    size_t body_bytes_max;  /* largest body taken, after decompression; 0: 64 MiB */
    int64_t connect_ns_max; /* how long a connection may take; 0: 10 s */
    bool no_compression;    /* do not offer gzip and its like */
    bool http1;             /* HTTP/1.1 even where HTTP/2 is offered */
};

struct wf_http_header {
    const char *name, *value;
};

struct wf_http_request {
    const char *method; /* default GET, or POST when there is a body */
    const char *url;    /* http or https */
    const struct wf_http_header *headers;
    size_t header_count;
    const void *body; /* sent as it is; the caller's until the call returns */
    size_t body_len;

    /* Collect the body in the response. */
    bool keep_body;

    /*
     * Or take it as it streams. `head` is called once, before the first bytes (or at the end when
     * there are none), with the status and the Content-Type ("" when there is none). A negative
     * result of either breaks the transfer off and is returned by the call. Both are called on the
     * worker's own stack (a plain thread: its own) and must not wait.
     */
    int (*on_head)(void *arg, int status, const char *content_type);
    int (*on_body)(void *arg, const char *data, size_t len);
    void *arg;
};

struct wf_http_response {
    int status;
    char content_type[128];
    char *location;       /* absolute URL of a redirect, or NULL */
    char *body;           /* with keep_body; a 0 byte follows the last one */
    size_t body_len;      /* bytes of body that came, decompressed */
    uint64_t wire_bytes;  /* bytes of body as they were sent */
    int64_t elapsed_ns;   /* from the call to the last byte */
    bool connection_used; /* an open connection served it */
};

/*
 * Makes a client: settings, and on plain threads the idle connections. `options` may be NULL.
 *
 * Returns 0, or -ENOMEM.
 * Context: any, never blocks.
 */
WF_API int wf_http_create(const struct wf_http_options *options, struct wf_http **ret_http,
                          struct wf_error *reterr);

/*
 * Closes the client. No call may be going on. NULL is fine.
 * Context: any, never blocks.
 */
WF_API void wf_http_destroy(struct wf_http *http);

/*
 * Sends a request and waits for the whole answer.
 *
 * ret_response   receives the answer; wf_http_response_fini frees what it holds. On failure it
 *                holds what was known (status 0 when there was no head) and needs fini as well.
 * deadline       for all of it; on a plain thread a cancellation is seen within 50 ms.
 *
 * Returns 0, or a negative code with a text that names the URL and the cause:
 *   -ETIMEDOUT      the deadline passed (or connecting took too long)
 *   -ECANCELED      the calling task was cancelled
 *   WF_ERESOLVE     the host does not resolve
 *   -ECONNREFUSED, -ENETUNREACH, ...   connecting failed; what the system said
 *   -ECONNRESET     the connection broke
 *   WF_ESHORT       the peer closed before the announced end
 *   WF_EPROTOCOL    the answer is not HTTP
 *   WF_ETOOBIG      the body is larger than body_bytes_max
 *   WF_ETLS         the handshake or the certificate check failed
 *   WF_EPARSE       the URL does not parse, or is not http or https
 *   -ENOMEM, or what on_head or on_body returned
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_http_fetch(struct wf_http *http, const struct wf_http_request *request,
                         struct wf_http_response *ret_response, wf_deadline deadline,
                         struct wf_error *reterr);

/*
 * Frees what a response holds and zeroes it.
 * Context: any, never blocks.
 */
WF_API void wf_http_response_fini(struct wf_http_response *response);

WF_END_DECLS

#endif
