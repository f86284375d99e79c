/* SPDX-License-Identifier: MIT */
/*
 * A connection is a loop: read until a request is whole, wait the delay, answer, go on with what is
 * left in the buffer (requests may come in a row without waiting for answers). It ends when the
 * client does, when the client says so, when something was not HTTP, or when time is up.
 */
#include "site/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <weft/net.h>
#include <weft/scope.h>

#include "site/request.h"
#include "site/stats.h"

#define READ_BYTES 4096
#define HUGE_BYTES (1024 * 1024 * 1024)
#define HUGE_PART 65536

struct site_server {
    struct site_server_options options;
    struct wf_listener *listener;
    struct site_stats stats;
    uint16_t port;
};

struct site_connection {
    struct site_server *server;
    struct wf_stream *stream;
    struct site_buffer in; /* what came and was not yet answered */
    struct site_buffer head;
    struct site_response response;
    struct request request;
};

WF_TASK(wf_none, serve_site_connection, (struct site_connection *, connection))

/* ---- answers ---- */

static void put_head(struct site_connection *c, uint64_t length, bool close)
{
    const struct site_response *response = &c->response;
    site_buffer_clear(&c->head);
    site_put_format(&c->head, "HTTP/1.1 %d %s\r\nServer: weft-site\r\nContent-Type: %s\r\n",
                    response->status, site_reason(response->status), response->content_type);
    if (response->location.len)
        site_put_format(&c->head, "Location: %.*s\r\n", (int)response->location.len,
                        response->location.data);
    if (response->status == 405)
        site_put_text(&c->head, "Allow: GET, HEAD, POST\r\n");
    if (close)
        site_put_text(&c->head, "Connection: close\r\n");
    site_put_format(&c->head, "Content-Length: %llu\r\n\r\n", (unsigned long long)length);
}

static int send_parts(struct site_connection *c, const void *body, size_t len)
{
    if (c->head.failed)
        return -ENOMEM;
    const struct wf_part parts[] = {{c->head.data, c->head.len}, {body, len}};
    return wf_stream_writev(c->stream, parts, len ? 2 : 1, WF_FOREVER);
}

/* Says why a request is refused; the connection ends after it. */
static void refuse(struct site_connection *c, int status)
{
    char text[64];
    site_stats_refused(&c->server->stats);
    c->response.status = status;
    c->response.content_type = "text/plain; charset=utf-8";
    site_buffer_clear(&c->response.location);
    int len = snprintf(text, sizeof(text), "%d %s\n", status, site_reason(status));
    put_head(c, (uint64_t)len, true);
    if (send_parts(c, text, (size_t)len))
        return;
    /*
     * Closing on unread bytes would reset the connection and could take the answer away from the
     * client: what still comes is read for a moment, up to a bound.
     */
    char scrap[READ_BYTES];
    wf_deadline soon = wf_after(WF_SECONDS(1));
    wf_stream_shutdown(c->stream, WF_SHUTDOWN_WRITE);
    for (int i = 0; i < 64 && wf_stream_read(c->stream, scrap, sizeof(scrap), soon) > 0; i++)
        ;
}

/* ---- hostile answers; all but SITE_HANG return an error, so that the connection ends ---- */

static int wait_for_end(struct site_connection *c)
{
    char scrap[READ_BYTES];
    while (wf_stream_read(c->stream, scrap, sizeof(scrap), WF_FOREVER) > 0)
        ;
    return -EPIPE;
}

static int send_huge(struct site_connection *c, bool chunks)
{
    static const char part[HUGE_PART] = {0};
    char size[16];
    int size_len = snprintf(size, sizeof(size), "%x\r\n", HUGE_PART), err;
    if (chunks) {
        site_buffer_clear(&c->head);
        site_put_text(&c->head, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
                                "Transfer-Encoding: chunked\r\n\r\n");
    } else {
        put_head(c, HUGE_BYTES, true);
    }
    err = send_parts(c, NULL, 0);
    for (int64_t left = HUGE_BYTES; !err && left > 0; left -= HUGE_PART) {
        const struct wf_part chunk[] = {{size, (size_t)size_len}, {part, HUGE_PART}, {"\r\n", 2}};
        err = chunks ? wf_stream_writev(c->stream, chunk, 3, WF_FOREVER)
                     : wf_stream_write(c->stream, part, HUGE_PART, WF_FOREVER);
    }
    if (!err && chunks)
        err = wf_stream_write(c->stream, "0\r\n\r\n", 5, WF_FOREVER);
    return err ? err : -EPIPE;
}

static int send_slowly(struct site_connection *c)
{
    const struct site_buffer *body = &c->response.body;
    put_head(c, body->len, true);
    int err = send_parts(c, NULL, 0);
    for (size_t i = 0; !err && i < body->len; i++) {
        err = wf_sleep(wf_after(WF_MILLISECONDS(50)));
        if (!err)
            err = wf_stream_write(c->stream, body->data + i, 1, WF_FOREVER);
    }
    return err ? err : -EPIPE;
}

static int send_reset(struct site_connection *c)
{
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    put_head(c, c->response.body.len, true);
    int err = send_parts(c, c->response.body.data, 100);
    if (!err &&
        setsockopt(wf_stream_fd(c->stream), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)))
        return -EINVAL;
    return -ECONNRESET;
}

static int misbehave(struct site_connection *c)
{
    const struct site_buffer *body = &c->response.body;
    int err = 0;
    switch (c->response.behaviour) {
    case SITE_ANSWER:
        return 0;
    case SITE_HANG:
        return wait_for_end(c);
    case SITE_EARLY:
        put_head(c, body->len, false);
        err = send_parts(c, body->data, body->len / 2);
        break;
    case SITE_LIE_LONG:
        put_head(c, body->len + 1000, false);
        err = send_parts(c, body->data, body->len);
        break;
    case SITE_LIE_SHORT:
        put_head(c, body->len / 2, false);
        err = send_parts(c, body->data, body->len);
        break;
    case SITE_GARBAGE:
        err = wf_stream_write(c->stream, body->data, body->len, WF_FOREVER);
        break;
    case SITE_HUGE:
    case SITE_HUGE_CHUNKS:
        return send_huge(c, c->response.behaviour == SITE_HUGE_CHUNKS);
    case SITE_SLOW:
        return send_slowly(c);
    case SITE_RESET:
        return send_reset(c);
    }
    return err ? err : -EPIPE;
}

/* ---- a connection ---- */

/* Exactly this path: what is asked of the site about itself is not counted. */
static bool asks_for(const struct site_request *http, const char *path)
{
    return http->target_len == strlen(path) && memcmp(http->target, path, http->target_len) == 0;
}

static void make_stats(struct site_connection *c)
{
    site_buffer_clear(&c->response.body);
    site_buffer_clear(&c->response.location);
    c->response.status = 200;
    c->response.content_type = "application/json";
    c->response.behaviour = SITE_ANSWER;
    site_stats_put(&c->server->stats, &c->response.body);
}

static int make_page(struct site_connection *c)
{
    struct site_stats *stats = &c->server->stats;
    struct site_flight flight;
    int err = 0;
    site_stats_began(stats, &flight);
    if (c->server->options.delay_ns > 0)
        err = wf_sleep(wf_after(c->server->options.delay_ns));
    c->request.http.in_flight = site_stats_crowd(stats, &flight);
    if (!err)
        err = site_answer(&c->server->options.site, &c->request.http, &c->response);
    if (!err)
        site_stats_fetched(stats, c->response.id);
    /*
     * The client may ask again as soon as it has the last byte: the count goes down before the
     * bytes go out, or one connection could seem to have two requests in flight.
     */
    site_stats_ended(stats, &flight, err ? 0 : c->response.body.len);
    return err;
}

/* Answers the request read last. Returns 0 when the connection may go on. */
static int answer(struct site_connection *c)
{
    const struct site_request *http = &c->request.http;
    bool head_only = strcmp(http->method, "HEAD") == 0;
    int err = 0;
    if (asks_for(http, "/stats.json"))
        make_stats(c);
    else if (asks_for(http, "/manifest.json"))
        err = site_answer(&c->server->options.site, http, &c->response);
    else
        err = make_page(c);
    if (!err)
        err = misbehave(c);
    if (err)
        return err;
    put_head(c, c->response.body.len, !c->request.keep_alive);
    err = send_parts(c, c->response.body.data, head_only ? 0 : c->response.body.len);
    return err ? err : c->request.keep_alive ? 0 : -EPIPE;
}

/* Reads until a request is whole. Returns how many bytes it takes, or 0 when there is none. */
static size_t next_request(struct site_connection *c)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const struct site_server_options *options = &c->server->options;
    char bytes[READ_BYTES];
    bool continued = false;
    /* The silence between two requests may be long; once one has begun, it has to come in. */
    wf_deadline deadline = wf_after(c->in.len ? options->request_ns : options->idle_ns);
    for (;;) {
        bool silent = c->in.len == 0;
        if (!silent) {
            long taken = request_parse(c->in.data, c->in.len, &c->request);
            if (taken > 0)
                return (size_t)taken;
            if (taken < 0) {
                refuse(c, (int)-taken);
                return 0;
            }
            if (c->request.expects && !continued) {
                continued = true;
                if (wf_stream_write(c->stream, go_on, sizeof(go_on) - 1, deadline))
                    return 0;
            }
        }
        ssize_t got = wf_stream_read(c->stream, bytes, sizeof(bytes), deadline);
        if (got <= 0)
            return 0;
        site_put(&c->in, bytes, (size_t)got);
        if (c->in.failed)
            return 0;
        if (silent)
            deadline = wf_after(options->request_ns);
    }
}

/* Closes the connection, once. */
static void end_connection(struct site_connection *c)
{
    if (!c->stream)
        return;
    wf_stream_close(c->stream);
    c->stream = NULL;
    site_stats_disconnected(&c->server->stats);
}

/* Also called for a connection whose task never ran. */
static void drop_connection(void *args)
{
    struct site_connection *c = ((struct serve_site_connection_args *)args)->connection;
    end_connection(c);
    site_buffer_free(&c->in);
    site_buffer_free(&c->head);
    site_response_free(&c->response);
    free(c);
}

/* What a client does wrong ends its connection, never the server: the task always succeeds. */
int serve_site_connection(struct wf_task *self, struct site_connection *c, wf_none *ret)
{
    (void)self;
    (void)ret;
    size_t taken;
    while ((taken = next_request(c)) > 0) {
        if (answer(c))
            break;
        c->in.len -= taken;
        memmove(c->in.data, c->in.data + taken, c->in.len);
    }
    end_connection(c);
    return 0;
}
WF_TASK_DEFINE_WITH(serve_site_connection, .drop_args = drop_connection)

/* ---- the server ---- */

int site_server_open(const struct site_server_options *options, struct site_server **ret_server,
                     struct wf_error *reterr)
{
    struct site_server *server = calloc(1, sizeof(*server));
    char endpoint[32];
    struct wf_address address;
    if (!server)
        return wf_error_set(reterr, -ENOMEM, NULL);
    server->options = *options;
    if (server->options.idle_ns == 0)
        server->options.idle_ns = WF_SECONDS(60);
    if (server->options.request_ns == 0)
        server->options.request_ns = WF_SECONDS(10);
    int err = site_stats_init(&server->stats, &server->options.site);
    if (err) {
        wf_error_set(reterr, err, NULL);
        goto out;
    }
    snprintf(endpoint, sizeof(endpoint), "127.0.0.1:%u", (unsigned)options->port);
    err = wf_listener_open(endpoint, NULL, &server->listener, reterr);
    if (err)
        goto out;
    wf_listener_address(server->listener, &address);
    server->port = wf_address_port(&address);
    *ret_server = server;
    return 0;
out:
    site_server_close(server);
    return err;
}

uint16_t site_server_port(const struct site_server *server)
{
    return server->port;
}

/* Takes the stream over, also on failure. */
static int start_connection(struct site_server *server, struct wf_scope *scope,
                            struct wf_stream *stream)
{
    struct site_connection *c = calloc(1, sizeof(*c));
    if (!c) {
        wf_stream_close(stream);
        return -ENOMEM;
    }
    c->server = server;
    c->stream = stream;
    site_stats_connected(&server->stats);
    return serve_site_connection_go(scope, c);
}

int site_server_run(struct site_server *server, struct wf_executor *on)
{
    struct wf_scope storage, *scope = wf_scope_open(&storage, on, WF_FOREVER);
    struct wf_stream *stream;
    int err;
    do {
        err = wf_listener_accept(server->listener, &stream, WF_FOREVER);
        if (!err)
            err = start_connection(server, scope, stream);
    } while (!err);
    wf_scope_cancel(scope);
    wf_scope_close(scope, NULL);
    return err == -ECANCELED ? 0 : err;
}

void site_server_close(struct site_server *server)
{
    if (!server)
        return;
    wf_listener_close(server->listener);
    site_stats_fini(&server->stats);
    free(server);
}
