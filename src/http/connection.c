/* SPDX-License-Identifier: MIT */
/*
 * The life of a connection: read until a head is complete, run its handler, send the answer, until
 * either side has had enough.
 *
 *  1. What a handler collected is sent when the connection has to wait for the next request, so
 *     answers to requests that came together leave together, in order.
 *  2. A connection is kept only when the request before was read to its end; else what is left of
 *     it would be taken for the next one. That is decided when the head of the answer is made: a
 *     rest of known length that is small is passed over behind the answer.
 *  3. After the last answer of a connection on which the client still sends, its bytes are read for
 *     a while: closing on unread bytes would reset the connection and could take the answer away.
 */
#include "http/connection.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/file.h>
#include <weft/local.h>

#include "base/alloc.h"
#include "http/desk.h"
#include "http/response.h"

/* A session of TLS keeps its buffers for so long while nothing comes: most clients ask again at
 * once or not soon. */
#define KEPT_NS WF_SECONDS(1)
/* A client that is being refused may go on sending for so long, and so much. */
#define LINGER_NS WF_SECONDS(1)
#define LINGER_BYTES (256 * 1024)
/* What is to be taken within one write_ns. */
#define PIECE_BYTES (64 * 1024)
/* Of a file, on its way to be encrypted. */
#define FILE_PIECE_BYTES (64 * 1024)

struct wfi_connection *wfi_connection_create(struct wf_server *server, struct wf_stream *stream,
                                             struct wf_tls *secure)
{
    struct wfi_connection *c = wfi_zalloc(sizeof *c);
    if (!c)
        return NULL;
    c->server = server;
    c->stream = stream;
    c->secure = secure;
    wf_stream_peer(stream, &c->peer);
    return c;
}

static void destroy(struct wfi_connection *c)
{
    if (c->counted)
        wfi_clients_leave(c->server->clients, wfi_connection_peer_ip(c));
    wfi_tls_close(c->tls);
    if (c->hard)
        wf_stream_break(c->stream);
    else
        wf_stream_close(c->stream);
    wfi_request_fini(&c->request);
    wfi_response_fini(&c->response);
    wfi_buffer_reset(&c->out);
    wfi_free(c);
}

/* ---- bytes ---- */

static int put(struct wfi_connection *c, const void *data, size_t len, wf_deadline deadline)
{
    if (c->tls)
        return wfi_tls_write(c->tls, data, len, deadline);
    return wf_stream_write(c->stream, data, len, deadline);
}

/* `deadline` is the first piece's. */
static int send_by(struct wfi_connection *c, const void *data, size_t len, wf_deadline deadline)
{
    const char *at = data;
    if (c->broken)
        return -EPIPE;
    while (len) {
        size_t piece = len < PIECE_BYTES ? len : PIECE_BYTES;
        int err = put(c, at, piece, deadline);
        if (err) {
            c->broken = c->hard = true; /* an unknown part has been sent */
            return err;
        }
        at += piece;
        len -= piece;
        if (len)
            deadline = wf_after(c->server->options.write_ns);
    }
    return 0;
}

int wfi_connection_send(struct wfi_connection *c, const void *data, size_t len)
{
    return send_by(c, data, len, wf_after(c->server->options.write_ns));
}

static int flush_by(struct wfi_connection *c, wf_deadline deadline)
{
    int err = send_by(c, c->out.data, c->out.len, deadline);
    wfi_buffer_clear(&c->out);
    return err;
}

int wfi_connection_flush(struct wfi_connection *c)
{
    return flush_by(c, wf_after(c->server->options.write_ns));
}

/* So long after the last answer was made: spares looking at the clock again. */
static wf_deadline after_answer(const struct wfi_connection *c, int64_t duration_ns)
{
    return duration_ns < INT64_MAX - c->answered_ns ? (wf_deadline){c->answered_ns + duration_ns}
                                                    : WF_FOREVER;
}

/* Inside the system when it can be; else through memory, where it is encrypted. */
int wfi_connection_send_file(struct wfi_connection *c, struct wf_file *file, uint64_t offset,
                             size_t len, wf_deadline deadline)
{
    if (!c->tls)
        return wf_stream_send_file(c->stream, file, (int64_t)offset, (int64_t)len, deadline);
    size_t size = len < FILE_PIECE_BYTES ? len : FILE_PIECE_BYTES;
    char *buf = wfi_alloc(size);
    int err = buf ? 0 : -ENOMEM;
    while (!err && len) {
        ssize_t n = wf_file_read(file, buf, len < size ? len : size, (int64_t)offset);
        err = n > 0 ? put(c, buf, (size_t)n, deadline) : n == 0 ? WF_ESHORT : (int)n;
        if (!err) {
            offset += (uint64_t)n;
            len -= (size_t)n;
        }
    }
    wfi_free(buf);
    return err;
}

ssize_t wfi_connection_fill(struct wfi_connection *c, wf_deadline deadline)
{
    int err = wfi_desk_take_in(c);
    if (err)
        return err;
    ssize_t n = c->tls ? wfi_tls_read(c->tls, c->in, WFI_IN_BYTES, deadline)
                       : wf_stream_read(c->stream, c->in, WFI_IN_BYTES, deadline);
    c->at = 0;
    c->len = n > 0 ? (size_t)n : 0;
    return n;
}

static int wait_for_input(struct wfi_connection *c, wf_deadline deadline)
{
    if (!c->tls)
        return wf_stream_wait(c->stream, deadline);
    if (wfi_tls_has_input(c->tls))
        return 0;
    wf_deadline kept = wf_after(KEPT_NS);
    int err = wf_stream_wait(c->stream, wf_earlier(kept, deadline));
    if (err == -ETIMEDOUT && kept.ns < deadline.ns) {
        wfi_tls_trim(c->tls);
        err = wf_stream_wait(c->stream, deadline);
    }
    return err;
}

/* Waits for the first byte of a request. */
static ssize_t fill_idle(struct wfi_connection *c)
{
    wf_deadline deadline = after_answer(c, c->server->options.idle_ns);
    /* Sequentially consistent: whoever ends idle connections sees that this is one, or this sees
     * that they are being ended; then only what has come already counts. */
    wfi_store(&c->idle, true);
    bool ending = wfi_load(&c->server->ending_idle);
    if (ending)
        deadline = WF_NOW;
    if (wfi_request_is_fresh(c->parser))
        wfi_desk_leave(c);
    ssize_t n = wait_for_input(c, deadline);
    if (n == 0)
        n = wfi_desk_take(c);
    if (n == 0)
        n = wfi_connection_fill(c, deadline);
    wfi_store(&c->idle, false);
    return n;
}

/* ---- answers of the server's own ---- */

static void tell(struct wfi_connection *c, const struct wf_request *request, int status,
                 uint64_t bytes)
{
    const struct wf_server_options *options = &c->server->options;
    c->answered_ns = wf_now();
    int64_t elapsed_ns = request ? c->answered_ns - request->began_ns : 0;
    wfi_count(&c->server->answers[c->number % WFI_LATENCY_SETS][status / 100], 1);
    if (request && !c->response.events)
        wfi_latency_add(&c->server->latency, c->number, elapsed_ns);
    if (!options->access)
        return;
    struct wf_access access = {.status = status, .body_bytes = bytes, .elapsed_ns = elapsed_ns};
    char client[WFI_IP_BYTES] = "";
    if (!request) {
        const struct wfi_ip *ip = wfi_connection_peer_ip(c);
        if (ip)
            wfi_ip_format(ip, client);
        bool by_parser = c->parser && wfi_request_status(c->parser) == status;
        access.client = client;
        access.reason = by_parser ? wfi_request_reason(c->parser) : wfi_status_text(status);
    }
    options->access(options->access_arg, request, &access);
}

/* Says why what came is no request; the connection ends after it. */
static void refuse_as(struct wfi_connection *c, int status, const char *why)
{
    wfi_count(&c->server->refused, 1);
    c->close = c->linger = true;
    c->request.head = NULL;
    wfi_response_begin(&c->response, c);
    wf_response_text(&c->response, status, why);
    tell(c, NULL, status, c->response.body_bytes); /* who has the answer finds it counted */
    wfi_connection_flush(c);
}

static void refuse(struct wfi_connection *c, int status)
{
    refuse_as(c, status, wfi_status_text(status));
}

static int status_of(int code)
{
    switch (code) {
    case -ENOENT:
        return 404;
    case -EACCES:
        return 403;
    case -EINVAL:
    case WF_EPARSE:
    case WF_EPROTOCOL:
    case WF_ESHORT:
        return 400;
    case WF_ETOOBIG:
        return 413;
    case -ETIMEDOUT:
    case -ECANCELED:
        return 503;
    default:
        return 500;
    }
}

int wf_response_status(const struct wf_response *response, int code)
{
    if (response->state != WFI_RESPONSE_NONE)
        return response->status;
    if (code <= 0)
        return code ? status_of(code) : 204;
    return code < 400 || code > 599 ? 500 : code;
}

/* ---- handlers ---- */

struct outcome {
    int code; /* when negative, desk->error says more */
    bool expired;
};

WF_TASK(wf_none, wfi_run_handler, (struct wfi_connection *, connection), (int *, ret_code))

int wfi_run_handler(struct wf_task *self, struct wfi_connection *c, int *ret_code, wf_none *ret)
{
    (void)self, (void)ret;
    const struct wf_route *route = &c->request.route->given;
    *ret_code = route->handler(&c->request, &c->response, route->arg);
    return 0;
}
WF_TASK_DEFINE(wfi_run_handler)

/* After this the server does not touch the scope any more. */
static void stop_working(struct wfi_connection *c)
{
    struct wf_shield shield;
    for (int tries = 0;; tries++) {
        int works = WFI_CONNECTION_WORKS;
        if (wfi_cas(&c->state, &works, WFI_CONNECTION_RESTS))
            return;
        if (tries < 100) {
            wfi_cpu_relax();
            continue;
        }
        wf_shield_enter(&shield, WF_FOREVER);
        (void)wf_sleep(wf_after(WF_MICROSECONDS(20)));
        wf_shield_leave(&shield);
    }
}

/* 404, 405, and what the path has wrong with it. */
static void answer_unrouted(struct wfi_connection *c, int err)
{
    const struct wfi_request_head *head = c->request.head;
    char allow[128];
    switch (err) {
    case -EPERM:
        wf_router_methods(c->server->router, head->path.ptr, head->path.len, allow, sizeof allow);
        err = wf_response_header(&c->response, "Allow", allow);
        if (!err && head->method == WFI_METHOD_OPTIONS)
            err = wf_response_send(&c->response, 204, NULL, NULL, 0);
        else if (!err)
            err = wf_response_error(&c->response, 405, "%s", wfi_status_text(405));
        break;
    case -EINVAL:
        err = wf_response_error(&c->response, 400, "the path is malformed");
        break;
    case -E2BIG:
        err = wf_response_error(&c->response, 414, "%s", wfi_status_text(414));
        break;
    case -ENOMEM:
        err = wf_response_error(&c->response, 500, "%s", wfi_status_text(500));
        break;
    default:
        /* The parser lets the asterisk through with OPTIONS only; it asks for the server itself. */
        if (wfi_text_is(head->path, "*"))
            err = wf_response_send(&c->response, 204, NULL, NULL, 0);
        else
            err = wf_response_error(&c->response, 404, "%s", wfi_status_text(404));
    }
    if (err)
        c->broken = true;
}

int wfi_connection_handle(struct wfi_connection *c)
{
    struct wf_request *request = &c->request;
    c->response.kept_fields = c->response.field_count;
    c->response.kept_bytes = c->response.texts.len;
    if (!request->route) {
        answer_unrouted(c, request->route_error);
        return 0;
    }
    const struct wf_route *route = &request->route->given;
    if (!route->on)
        return route->handler(request, &c->response, route->arg);
    int code = 0;
    int err = wfi_run_handler_go(&c->scope, c, &code);
    if (!err)
        err = wf_scope_join(&c->scope, NULL); /* close says it again */
    return err && code == 0 && c->response.state == WFI_RESPONSE_NONE ? err : code;
}

static void run_handler(struct wfi_connection *c, struct outcome *ret)
{
    const struct wfi_route *route = c->request.route;
    int64_t limit = route ? route->given.handler_ns : 0;
    if (!limit)
        limit = c->server->options.handler_ns;
    wf_scope_open(&c->scope, route ? route->given.on : NULL, limit ? wf_after(limit) : WF_FOREVER);
    wfi_server_watch(c->server, c);
    struct wf_local_stretch stretch;
    wf_local_enter(&stretch);
    ret->code = c->server->middlewares ? wfi_middleware_run(c) : wfi_connection_handle(c);
    wf_local_leave(&stretch);
    stop_working(c);
    int err = wf_scope_close(&c->scope, &c->desk->error);
    ret->expired = wf_scope_expired(&c->scope);
    /* What the handler says goes first, unless it only says that something else went wrong. */
    bool behind_its_back = ret->code == 0 && c->response.state == WFI_RESPONSE_NONE;
    if (err && (behind_its_back || ret->code == -ECANCELED))
        ret->code = err;
    else if (ret->code < 0 && err != ret->code)
        wf_error_set(&c->desk->error, ret->code, NULL);
}

static void answer_error(struct wfi_connection *c, const struct outcome *outcome)
{
    struct wf_response *response = &c->response;
    int status = wf_response_status(response, outcome->code);
    const char *text = outcome->code > 0 ? wfi_status_text(status) : c->desk->error.text;
    if (outcome->expired) {
        status = 503;
        text = "the time for this request is up";
    } else if (outcome->code < 0 && outcome->code == c->request.body_error &&
               wfi_request_status(c->parser)) { /* what the handler says is what it was told */
        status = wfi_request_status(c->parser);
        text = wfi_request_reason(c->parser);
    }
    response->field_count = response->kept_fields;
    response->texts.len = response->kept_bytes;
    if (wf_response_error(response, status, "%s", text))
        c->broken = true;
}

/* Returns false when the connection is to be broken off. */
static bool finish_answer(struct wfi_connection *c, const struct outcome *outcome)
{
    struct wf_response *response = &c->response;
    if (response->state == WFI_RESPONSE_DONE && !c->broken)
        return true;
    if (wfi_load(&c->client_gone)) {
        wfi_count(&c->server->canceled, 1);
        return false;
    }
    if (c->broken)
        return false;
    if (outcome->code && response->state == WFI_RESPONSE_NONE)
        answer_error(c, outcome);
    else if (outcome->code)
        return false; /* part of an answer is made: its end must not look like one */
    else if (response->state == WFI_RESPONSE_NONE && wf_response_send(response, 204, NULL, NULL, 0))
        return false;
    return wfi_response_end(response) == 0 && !c->broken;
}

/* Answers by itself when the client has asked too often. */
static bool over_the_rate(struct wfi_connection *c)
{
    const struct wfi_ip *ip = wfi_request_client_ip(&c->request);
    int64_t wait_ns = ip ? wfi_clients_ask(c->server->clients, ip, c->request.began_ns) : 0;
    if (wait_ns <= 0)
        return false;
    char seconds[24];
    snprintf(seconds, sizeof seconds, "%lld", (long long)(wait_ns / WF_SECONDS(1) + 1));
    wfi_count(&c->server->limited, 1);
    if (wf_response_header(&c->response, "Retry-After", seconds) ||
        wf_response_error(&c->response, 429, "%s", wfi_status_text(429)))
        c->broken = true;
    return true;
}

/* After an answer: whether there may be another on this connection. */
static bool goes_on(struct wfi_connection *c)
{
    struct wf_request *request = &c->request;
    bool over = wfi_request_body_is_over(request);
    if (!over && !c->close && !c->broken) {
        over = wfi_request_pass_over(request);
        c->linger |= !over;
    }
    wfi_request_fini(request);
    if (c->close || c->broken || !over)
        return false;
    if (request->end_was_fed)
        wfi_request_next(c->parser);
    return true;
}

/* Answers the request whose head is complete. Returns whether the connection goes on. */
static bool answer(struct wfi_connection *c)
{
    struct wf_request *request = &c->request;
    struct outcome outcome = {0};
    int err = wfi_request_begin(request, c);
    wfi_count(&c->server->requests, 1);
    wfi_response_begin(&c->response, c);
    if (!err && c->server->clients && over_the_rate(c)) {
        tell(c, request, c->broken ? 0 : c->response.status, c->response.body_bytes);
        return goes_on(c);
    }
    if (!err) {
        const struct wfi_request_head *head = request->head;
        err = wf_router_find(c->server->router, head->method_text.ptr, head->method_text.len,
                             head->path.ptr, head->path.len, request->match);
    }
    bool found = !err;
    if (err && !(c->server->middlewares && (err == -ENOENT || err == -EPERM))) {
        answer_unrouted(c, err);
    } else {
        request->route_error = err;
        request->route = found ? request->match->value : NULL;
        if (found && request->route->given.body_bytes_max)
            (void)wfi_request_limit_body(c->parser, request->route->given.body_bytes_max);
        if (!request->body_ended)
            wfi_request_look(request);
        if (request->body_error) {
            refuse(c, wfi_request_status(c->parser));
            wfi_request_fini(request);
            return false;
        }
        if (c->at == c->len && request->piece.len == 0)
            wfi_desk_leave_in(c); /* handlers may take long */
        size_t before = c->out.len;
        run_handler(c, &outcome);
        if (!finish_answer(c, &outcome)) {
            if (!c->broken && !c->response.sent) { /* the answers before it are whole */
                c->out.len = before;
                (void)wfi_connection_flush(c);
            }
            c->broken = true;
            c->hard |= wfi_response_ends_with_the_connection(&c->response);
        }
    }
    tell(c, request, c->broken ? 0 : c->response.status, c->response.body_bytes);
    return goes_on(c);
}

/* ---- the loop ---- */

/* Makes the head of the next request complete. Returns false when the connection is to end. */
static bool next_head(struct wfi_connection *c)
{
    struct wf_server *server = c->server;
    wf_deadline deadline = WF_FOREVER;
    bool begun = false;
    for (;;) {
        struct wfi_text body;
        size_t consumed = 0;
        enum wfi_request_event event = wfi_request_feed(c->parser, c->in ? c->in + c->at : "",
                                                        c->len - c->at, &consumed, &body);
        c->at += consumed;
        if (event == WFI_REQUEST_HEAD)
            return true;
        if (event == WFI_REQUEST_END) {
            wfi_request_next(c->parser);
            continue;
        }
        if (event == WFI_REQUEST_REFUSED) {
            refuse(c, wfi_request_status(c->parser));
            return false;
        }
        if (c->out.len && flush_by(c, after_answer(c, server->options.write_ns)))
            return false;
        bool idle = wfi_request_is_idle(c->parser);
        if (!idle && !begun) {
            begun = true;
            deadline = wf_after(server->options.head_ns);
        }
        ssize_t n = idle ? fill_idle(c) : wfi_connection_fill(c, deadline);
        if (n == -ETIMEDOUT && !idle) {
            int status = wfi_request_time_out(c->parser);
            if (status)
                refuse(c, status);
        }
        if (n <= 0)
            return false;
    }
}

/*
 * Makes a connection speak TLS. Nothing is spent on a client before it has said something, and
 * until then it is as idle as one between two requests. Returns whether the connection goes on.
 */
static bool shake_hands(struct wfi_connection *c)
{
    const struct wf_server_options *options = &c->server->options;
    wf_deadline deadline = wf_after(options->head_ns);
    wfi_store(&c->idle, true); /* see fill_idle */
    bool ending = wfi_load(&c->server->ending_idle);
    int err = wf_stream_wait(c->stream, ending ? WF_NOW : deadline);
    wfi_store(&c->idle, false);
    if (!err)
        err = wfi_tls_open(c->secure, c->stream, options->write_ns, &c->tls);
    if (!err)
        err = wfi_tls_handshake(c->tls, deadline);
    if (!err)
        return true;
    if (err == WF_EPROTOCOL) {
        wfi_tls_close(c->tls);
        c->tls = NULL;
        refuse_as(c, 400, "plain HTTP came where TLS is spoken: ask with https://\n");
    } else if (err == WF_ETLS || (err == -ETIMEDOUT && !ending)) {
        wfi_count(&c->server->refused, 1);
        c->linger = true; /* OpenSSL has told the client why */
    } else {
        c->broken = true;
    }
    return false;
}

/* Tells the client that nothing more comes, which is how it knows that nothing was cut off. */
static void end_tls(struct wfi_connection *c)
{
    c->linger |= wfi_tls_has_input(c->tls);
    if (!c->broken && wfi_tls_end(c->tls, wf_after(LINGER_NS)))
        c->broken = true;
    wfi_tls_close(c->tls);
    c->tls = NULL; /* what still comes is not read but passed over */
}

/* See 3 at the top. */
static void read_the_rest(struct wfi_connection *c)
{
    wf_deadline deadline = wf_after(LINGER_NS);
    if (wf_stream_shutdown(c->stream, WF_SHUTDOWN_WRITE))
        return;
    for (size_t sum = 0; sum < LINGER_BYTES; sum += WFI_IN_BYTES)
        if (wfi_connection_fill(c, deadline) <= 0)
            return;
}

/* One too many of its address. It is not read: what is said fits into the system's buffer. */
static void turn_away(struct wfi_connection *c)
{
    static const char text[] = "too many connections from your address\n";
    c->close = c->linger = true;
    wfi_response_begin(&c->response, c);
    (void)wf_response_header(&c->response, "Retry-After", "1");
    (void)wf_response_text(&c->response, 429, text);
    tell(c, NULL, 429, c->response.body_bytes);
    (void)wfi_connection_flush(c);
}

int wfi_serve_connection(struct wf_task *self, struct wfi_connection *c, wf_none *ret)
{
    (void)self, (void)ret;
    struct wf_scope life;
    c->life = wf_scope_open(&life, NULL, WF_FOREVER);
    c->answered_ns = wf_now();
    wfi_server_join(c->server, c);
    bool ready = wfi_desk_take(c) == 0;
    if (ready && c->turned_away)
        turn_away(c);
    else if (ready && (!c->secure || shake_hands(c)))
        while (next_head(c) && answer(c))
            ;
    if (c->out.len && !c->broken)
        (void)wfi_connection_flush(c);
    if (c->tls)
        end_tls(c);
    if (!c->broken && (c->linger || c->at < c->len))
        read_the_rest(c);
    wfi_desk_leave(c);
    wfi_server_leave(c->server, c);
    (void)wf_scope_close(&life, NULL); /* it has no children */
    return 0;
}

void wfi_connection_drop(struct wfi_connection *c)
{
    struct wf_server *server = c->server;
    unsigned worker = c->worker;
    destroy(c);
    wfi_server_ended(server, worker);
}

/* Also of a connection whose task never ran. */
static void drop_connection(void *args)
{
    wfi_connection_drop(((struct wfi_serve_connection_args *)args)->connection);
}
WF_TASK_DEFINE_WITH(wfi_serve_connection, .drop_args = drop_connection)
