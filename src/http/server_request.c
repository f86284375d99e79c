/* SPDX-License-Identifier: MIT */
/*
 * The request as its handler sees it: texts are the parser's, the body is fed to the parser as the
 * handler asks for it.
 */
#include <weft/request.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "http/connection.h"
#include "http/desk.h"
#include "http/escape.h"

/* What is to come within one body_ns. */
#define PIECE_BYTES (64 * 1024)
/* What a handler has left of a body is passed over up to here: as much as costs less than a new
 * connection. */
#define REST_BYTES (64 * 1024)

int wfi_request_begin(struct wf_request *request, struct wfi_connection *c)
{
    const struct wfi_request_head *head = wfi_request_head(c->parser);
    uint64_t number = request->number + 1;
    request->connection = c;
    request->head = head;
    request->route = NULL;
    request->client_known = false;
    request->match->param_count = 0;
    request->piece = (struct wfi_text){NULL, 0};
    request->body_fed = 0;
    request->body_ended = !head->chunked && head->body_len == 0;
    request->end_was_fed = false;
    request->continued = !head->expects_continue;
    request->body_error = 0;
    request->patience_ns = c->server->options.body_ns;
    request->came = 0;
    request->body = (struct wfi_buffer){0};
    request->body_whole = false;
    request->began_ns = wf_now();
    request->number = number;
    request->id[0] = '\0';
    request->path = c->desk->path;
    if (head->path.len >= sizeof c->desk->path) {
        request->path = wfi_alloc(head->path.len + 1);
        if (!request->path) {
            request->path = c->desk->path;
            *request->path = '\0';
            return -ENOMEM;
        }
    }
    if (wfi_unescape(head->path, request->path, head->path.len + 1) >= 0 &&
        (wfi_path_is_plain(head->path) || wfi_text_is(head->path, "*")))
        return 0;
    *request->path = '\0'; /* what an access log may ask for */
    return -EINVAL;
}

void wfi_request_fini(struct wf_request *request)
{
    if (request->path && request->path != request->connection->desk->path)
        wfi_free(request->path);
    request->path = NULL;
    request->head = NULL;
    wfi_buffer_reset(&request->body);
}

const char *wf_request_method(const struct wf_request *request)
{
    return request->head->method_text.ptr;
}

const char *wf_request_path(const struct wf_request *request)
{
    return request->path;
}

const char *wf_request_target(const struct wf_request *request)
{
    return request->head->target.ptr;
}

const char *wf_request_param(const struct wf_request *request, const char *name)
{
    return wf_route_param(request->match, name, NULL);
}

int wf_request_param_int(const struct wf_request *request, const char *name, int64_t *ret)
{
    return wf_route_param_int(request->match, name, ret);
}

int wf_request_param_uint(const struct wf_request *request, const char *name, uint64_t *ret)
{
    return wf_route_param_uint(request->match, name, ret);
}

ssize_t wf_request_query(const struct wf_request *request, const char *name, char *ret_value,
                         size_t bytes)
{
    return wfi_query_value(request->head->query, name, ret_value, bytes);
}

const char *wf_request_header(const struct wf_request *request, const char *name)
{
    const struct wfi_text *value = wfi_request_field(request->head, name);
    return value ? value->ptr : NULL;
}

void wf_request_each_header(const struct wf_request *request,
                            void (*each)(void *arg, const char *name, const char *value), void *arg)
{
    for (size_t i = 0; i < request->head->field_count; i++)
        each(arg, request->head->fields[i].name.ptr, request->head->fields[i].value.ptr);
}

const char *wf_request_id(const struct wf_request *request)
{
    struct wf_request *mine = (struct wf_request *)(uintptr_t)request;
    if (!mine->id[0])
        snprintf(mine->id, sizeof mine->id, "%s-%llu-%llu", mine->connection->server->id,
                 (unsigned long long)mine->connection->number, (unsigned long long)mine->number);
    return mine->id;
}

const struct wf_address *wf_request_peer(const struct wf_request *request)
{
    return &request->connection->peer;
}

bool wf_request_secure(const struct wf_request *request)
{
    return request->connection->tls != NULL;
}

const struct wfi_ip *wfi_connection_peer_ip(struct wfi_connection *c)
{
    if (c->peer_kind == WFI_PEER_UNKNOWN) {
        char text[WF_ADDRESS_TEXT_BYTES];
        wf_address_format(&c->peer, text, sizeof text);
        /* The zone of a link-local address is this machine's affair. */
        char *zone = strchr(text, '%'), *end = strchr(text, ']');
        if (zone && end > zone)
            memmove(zone, end, strlen(end) + 1);
        bool is_ip = wfi_ip_parse((struct wfi_text){text, strlen(text)}, &c->peer_ip);
        c->peer_kind = is_ip ? WFI_PEER_IP : WFI_PEER_OTHER;
    }
    return c->peer_kind == WFI_PEER_IP ? &c->peer_ip : NULL;
}

const struct wfi_ip *wfi_request_client_ip(struct wf_request *request)
{
    struct wfi_connection *c = request->connection;
    const struct wf_server *server = c->server;
    if (!request->client_known) {
        request->has_client =
            request->head &&
            wfi_forwarded_client(request->head, wfi_connection_peer_ip(c), server->trusted,
                                 server->trusted_count, &request->client_ip);
        request->client[0] = '\0';
        if (request->has_client)
            wfi_ip_format(&request->client_ip, request->client);
        request->client_known = true;
    }
    return request->has_client ? &request->client_ip : NULL;
}

const char *wf_request_client(const struct wf_request *request)
{
    struct wf_request *mine = (struct wf_request *)(uintptr_t)request;
    (void)wfi_request_client_ip(mine);
    return mine->client;
}

const char *wf_request_route(const struct wf_request *request)
{
    return request->route ? request->match->pattern : NULL;
}

struct wf_scope *wf_request_scope(const struct wf_request *request)
{
    return &request->connection->scope;
}

/* ---- the body ---- */

/* Feeds what has come until there is a piece, the end or an error, or nothing more. */
static enum wfi_request_event feed_on(struct wf_request *request)
{
    struct wfi_connection *c = request->connection;
    size_t consumed = 0;
    enum wfi_request_event event = wfi_request_feed(c->parser, c->in ? c->in + c->at : "",
                                                    c->len - c->at, &consumed, &request->piece);
    c->at += consumed;
    if (event == WFI_REQUEST_END)
        request->body_ended = request->end_was_fed = true;
    if (event == WFI_REQUEST_BODY)
        request->body_fed += request->piece.len;
    else
        request->piece.len = 0;
    if (event == WFI_REQUEST_REFUSED)
        request->body_error = wfi_request_status(c->parser) == 413 ? WF_ETOOBIG : WF_EPROTOCOL;
    return event;
}

void wfi_request_look(struct wf_request *request)
{
    (void)feed_on(request);
}

bool wfi_request_body_is_over(struct wf_request *request)
{
    if (!request->head)
        return false;
    if (!request->body_ended && request->piece.len == 0 && !request->body_error)
        (void)feed_on(request); /* the end may take no bytes */
    return request->body_ended && request->piece.len == 0;
}

bool wfi_request_rest_is_small(const struct wf_request *request)
{
    const struct wfi_request_head *head = request->head;
    /* A client that was not told to go on may leave the body out, or not: only the end tells. */
    return head && !head->chunked && request->continued && !request->body_error &&
           head->body_len - request->body_fed + request->piece.len <= REST_BYTES;
}

/* Reads more of the body; it has been fed all that came. */
static int read_on(struct wf_request *request)
{
    struct wfi_connection *c = request->connection;
    /* Behind the head of an answer it would be taken for a part of that. */
    if (!request->continued && c->response.state == WFI_RESPONSE_NONE) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        int err = wfi_buffer_append(&c->out, go_on, sizeof go_on - 1);
        if (!err)
            err = wfi_connection_flush(c);
        if (err)
            return err;
        request->continued = true;
    }
    /* Only waiting counts, so that a handler may take its time between two reads. */
    int64_t before = wf_now();
    ssize_t n = wfi_connection_fill(c, (wf_deadline){before + request->patience_ns});
    if (n == -ETIMEDOUT)
        (void)wfi_request_time_out(c->parser);
    request->patience_ns -= wf_now() - before;
    if (n > 0 && (request->came += (size_t)n) >= PIECE_BYTES) {
        request->patience_ns = c->server->options.body_ns;
        request->came = 0;
    }
    return n > 0 ? 0 : n == 0 ? WF_ESHORT : (int)n;
}

bool wfi_request_pass_over(struct wf_request *request)
{
    bool sent = false;
    for (;;) {
        request->piece.len = 0;
        if (wfi_request_body_is_over(request))
            return true;
        if (request->piece.len)
            continue;
        /* The client may wait for the answer before it sends more. */
        if (!sent && wfi_connection_flush(request->connection))
            return false;
        sent = true;
        if (request->body_error || read_on(request))
            return false;
    }
}

ssize_t wf_request_read(struct wf_request *request, void *buf, size_t len)
{
    while (request->piece.len == 0 && !request->body_ended) {
        if (request->body_error)
            return request->body_error;
        if (feed_on(request) == WFI_REQUEST_MORE)
            request->body_error = read_on(request);
    }
    if (len > request->piece.len)
        len = request->piece.len;
    if (len == 0)
        return 0;
    memcpy(buf, request->piece.ptr, len);
    request->piece.ptr += len;
    request->piece.len -= len;
    return (ssize_t)len;
}

int wf_request_body(struct wf_request *request, const char **ret_body, size_t *ret_len)
{
    ssize_t n = 1;
    while (!request->body_whole && n > 0) {
        int err = wfi_buffer_reserve(&request->body, 4096);
        if (err)
            return err;
        n = wf_request_read(request, request->body.data + request->body.len, 4096);
        if (n < 0)
            return (int)n;
        request->body.len += (size_t)n;
    }
    request->body_whole = true;
    const char *text = wfi_buffer_text(&request->body);
    if (!text)
        return -ENOMEM;
    *ret_body = text;
    if (ret_len)
        *ret_len = request->body.len;
    return 0;
}

int wf_request_json(struct wf_request *request, struct wf_json **ret_json, struct wf_error *reterr)
{
    const char *body;
    size_t len;
    int err = wf_request_body(request, &body, &len);
    if (err)
        return wf_error_set(reterr, err, "body: %s", wf_strerror(err));
    return wf_json_read(body, len, NULL, ret_json, reterr);
}
