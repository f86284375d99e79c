/* SPDX-License-Identifier: MIT */
/*
 * The server around its connections. One task, `serving`, sees to everything that runs: it starts
 * an acceptor for each listener, looks after clients, and, when it is told to stop, brings all to
 * an end. It is submitted, not spawned, so that whoever started the server can be cancelled without
 * breaking off requests.
 *
 * Connections are tasks of nobody's scope: one for which there is no memory or no stack is dropped,
 * and nothing else ends with it. What holds them together is `open`, their number, and the list, by
 * which each can be cancelled. The last touch of the server by a connection is under the lock, so
 * `serving`, which takes it once more when none is left, is the last of all.
 *
 * Looking after clients: while handlers run, `serving` wakes every LOOK_NS and asks of each
 * connection whose handler began before the last look whether its peer has ended; if so, it cancels
 * the handler's scope. Asking costs a system call only where something came. When no handler runs
 * it sleeps until one begins:
 *
 *     handler begins                      serving
 *       state = WORKS                       looking = false
 *       if (!looking) wake serving          any state WORKS?  looking = true, look again later
 *
 * All four are sequentially consistent, so either the handler finds it asleep or is found.
 *
 * Stopping: `stopping` first, so that every answer from then on says Connection: close; acceptors
 * take what waits to be accepted and end; idle connections have linger_ns to ask once more, since
 * their request may be on its way; then their reading side is shut down, which ends those that are
 * still idle and spares the bytes of a request that has come.
 *
 * What that promises, to a client that heeds Connection: close: a request fails only if it comes on
 * a connection that was idle for all of linger_ns, and crosses the end of that connection on its
 * way. No server can spare it that, as the client cannot be told in time; HTTP has it ask again
 * (RFC 9112, 9.3.1). All else is answered:
 *   - a request on a connection that was accepted: the connection is not ended before an answer
 *     that says so, and one that is pipelined behind that answer was never accepted;
 *   - a connection that was made and not accepted: taken by the acceptor's last round, or, where
 *     the socket is shared, by whoever accepts from it next. Between that round and the close of a
 *     socket of our own lies a moment in which the system resets what comes: who cannot have that
 *     keeps the socket open elsewhere;
 *   - an answer that was sent: a client that still sends is read for a while (3 in connection.c),
 *     as closing on unread bytes would take the answer away again.
 */
#include <weft/server.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"
#include "http/brief_lock.h"
#include "http/connection.h"
#include "http/debug.h"

/* How long a client may be gone unnoticed: short for a person, rare for a processor. */
#define LOOK_NS WF_MILLISECONDS(50)
/* What the system may hold for a client that does not take it, where by itself it would hold
 * megabytes; and as much as is worth filling a network with before the writer is woken again. */
#define UNSENT_BYTES (64 * 1024)
/* After accepting failed for want of memory. */
#define PAUSE_NS WF_MILLISECONDS(20)

WF_TASK(wf_none, wfi_serve, (struct wf_server *, server))
WF_TASK(wf_none, wfi_accept_connections, (struct wf_server *, server), (size_t, index))

/* ---- connections ---- */

void wfi_server_join(struct wf_server *server, struct wfi_connection *c)
{
    wfi_lock_briefly(&server->lock);
    wfi_list_push_back(&server->list, &c->link);
    bool late = server->breaking_off;
    wf_mutex_unlock(&server->lock);
    if (late)
        wf_scope_cancel(c->life);
}

void wfi_server_leave(struct wf_server *server, struct wfi_connection *c)
{
    wfi_lock_briefly(&server->lock);
    wfi_list_remove(&c->link);
    wf_mutex_unlock(&server->lock);
}

void wfi_server_ended(struct wf_server *server, unsigned worker)
{
    wfi_fetch_sub(&server->shares[worker].open, 1);
    wfi_lock_briefly(&server->lock); /* the last touch: see the top */
    uint64_t before = wfi_fetch_sub(&server->open, 1);
    if (before == server->options.connections_max)
        wf_event_set(&server->room);
    if (before == 1 && wfi_load(&server->stopping))
        wf_event_set(&server->wake);
    wf_mutex_unlock(&server->lock);
}

void wfi_server_watch(struct wf_server *server, struct wfi_connection *c)
{
    wfi_store_relaxed(&c->last_look, wfi_load_relaxed(&server->looks));
    /* It may have asked for several things before it went: each handler is told anew. */
    wfi_store_relaxed(&c->client_gone, false);
    wfi_store(&c->state, WFI_CONNECTION_WORKS); /* see the top */
    if (server->options.half_closed_clients)
        return; /* an end says nothing: there is nothing to look for */
    if (!wfi_load(&server->looking) && !wfi_exchange(&server->looking, true))
        wf_event_set(&server->wake);
}

/* Returns whether a handler runs whose client is to be looked after further on. */
static bool look_after(struct wfi_connection *c, uint32_t look)
{
    int works = WFI_CONNECTION_WORKS;
    if (wfi_load(&c->state) != WFI_CONNECTION_WORKS)
        return false;
    if (wfi_load_relaxed(&c->last_look) == look || wfi_load_relaxed(&c->client_gone))
        return true;
    if (!wfi_cas(&c->state, &works, WFI_CONNECTION_LOOKED))
        return false;
    if (wf_stream_peer_ended(c->stream)) {
        wfi_store(&c->client_gone, true);
        wf_scope_cancel(&c->scope);
    }
    wfi_store(&c->state, WFI_CONNECTION_WORKS);
    return true;
}

static void look(struct wf_server *server)
{
    uint32_t look = wfi_load_relaxed(&server->looks);
    bool any = false;
    wfi_store(&server->looking, false);
    wfi_lock_briefly(&server->lock);
    struct wfi_link *link = wfi_list_first(&server->list);
    for (; link; link = wfi_list_next(&server->list, link))
        any |= look_after(wfi_container_of(link, struct wfi_connection, link), look);
    wf_mutex_unlock(&server->lock);
    wfi_store_relaxed(&server->looks, look + 1);
    if (any)
        wfi_store(&server->looking, true);
}

/* Ends those that are idle; the others end after their answer. */
static void end_idle(struct wf_server *server)
{
    wfi_store(&server->ending_idle, true); /* before `idle` is read: see fill_idle */
    wfi_lock_briefly(&server->lock);
    struct wfi_link *link = wfi_list_first(&server->list);
    for (; link; link = wfi_list_next(&server->list, link)) {
        struct wfi_connection *c = wfi_container_of(link, struct wfi_connection, link);
        if (wfi_load(&c->idle))
            wf_stream_shutdown(c->stream, WF_SHUTDOWN_READ);
    }
    wf_mutex_unlock(&server->lock);
}

/* Cancels what is left, and what comes into the list from now on. */
static void break_off(struct wf_server *server)
{
    wfi_lock_briefly(&server->lock);
    server->breaking_off = true;
    struct wfi_link *link = wfi_list_first(&server->list);
    for (; link; link = wfi_list_next(&server->list, link))
        wf_scope_cancel(wfi_container_of(link, struct wfi_connection, link)->life);
    wf_mutex_unlock(&server->lock);
}

/* ---- accepting ---- */

/* Counts it among those of its address. Returns whether it is to be served at all. */
static bool admit(struct wf_server *server, struct wfi_connection *c)
{
    const struct wfi_ip *ip = server->clients ? wfi_connection_peer_ip(c) : NULL;
    if (!ip || wfi_networks_have(server->trusted, server->trusted_count, ip))
        return true;
    enum wfi_admission admission = wfi_clients_enter(server->clients, ip);
    c->counted = admission != WFI_DROPPED;
    c->turned_away = admission == WFI_TURNED_AWAY;
    if (admission != WFI_ADMITTED)
        wfi_count(&server->limited, 1);
    /* To say so in TLS would take a handshake, which is most of what serving it takes. */
    return admission == WFI_ADMITTED || (admission == WFI_TURNED_AWAY && !c->secure);
}

/*
 * Which worker serves it: the one with the fewest connections, in turn where several have. A fiber
 * stays on its worker, and thieves come too late for a burst of connections whose tasks are short:
 * left to itself, whoever accepts would serve most of them.
 */
static unsigned choose_worker(struct wf_server *server, uint64_t number)
{
    unsigned first = (unsigned)(number % server->workers), best = first;
    uint32_t fewest = UINT32_MAX;
    for (unsigned i = 0; i < server->workers && fewest; i++) {
        unsigned worker = (first + i) % server->workers;
        uint32_t open = wfi_load_relaxed(&server->shares[worker].open);
        if (open < fewest) {
            fewest = open;
            best = worker;
        }
    }
    wfi_fetch_add(&server->shares[best].open, 1);
    return best;
}

/* Takes the stream over. */
static void start_connection(struct wf_server *server, struct wf_stream *stream,
                             struct wf_tls *secure)
{
    struct wfi_connection *c = wfi_connection_create(server, stream, secure);
    if (!c) {
        wfi_count(&server->dropped, 1);
        wf_stream_close(stream);
        return;
    }
    c->number = wfi_count(&server->connections, 1) + 1;
    wfi_fetch_add(&server->open, 1);
    c->worker = choose_worker(server, c->number);
    if (!admit(server, c)) {
        wfi_connection_drop(c);
        return;
    }
    const struct wf_submit_options options = {.worker = c->worker + 1};
    struct wf_future *f = wfi_serve_connection_submit_with(server->on, &options, c).future;
    if (wf_future_state(f) == WF_FUTURE_FAILED) {
        wf_none none; /* its arguments were dropped */
        (void)wf_future_result(&f, &none, WF_NOW, NULL);
        wfi_count(&server->dropped, 1);
    } else {
        wf_future_drop(&f);
    }
}

static int wait_for_room(struct wf_server *server)
{
    int err = 0;
    while (!err && wfi_load(&server->open) >= server->options.connections_max) {
        wf_event_clear(&server->room);
        if (wfi_load(&server->open) >= server->options.connections_max)
            err = wf_event_wait(&server->room, WF_FOREVER);
    }
    return err;
}

int wfi_accept_connections(struct wf_task *self, struct wf_server *server, size_t index,
                           wf_none *ret)
{
    (void)self, (void)ret;
    struct listening *at = &server->listening[index];
    struct wf_stream *stream;
    for (;;) {
        int err = wait_for_room(server);
        if (!err)
            err = wf_listener_accept(at->listener, &stream, WF_FOREVER);
        if (!err)
            start_connection(server, stream, at->secure);
        else if (err == -ECANCELED)
            break;
        else if (wf_sleep(wf_after(PAUSE_NS)))
            break;
    }
    return 0;
}
WF_TASK_DEFINE(wfi_accept_connections)

/* The last that are accepted: their clients were told that they are connected. Not by the acceptor,
 * which may have been cancelled before it began. */
static void accept_the_rest(struct wf_server *server, struct listening *at)
{
    struct wf_stream *stream;
    while (!at->shared && wfi_load(&server->open) < server->options.connections_max &&
           wf_listener_accept(at->listener, &stream, WF_NOW) == 0)
        start_connection(server, stream, at->secure);
}

/* ---- serving ---- */

/* Until it is told to stop. */
static void serve(struct wf_server *server)
{
    int err = 0;
    while (!wfi_load(&server->stopping) && err != -ECANCELED) {
        bool looking = wfi_load(&server->looking);
        err = wf_event_wait(&server->wake, looking ? wf_after(LOOK_NS) : WF_FOREVER);
        if (err == -ETIMEDOUT)
            look(server);
        else if (!err)
            wf_event_clear(&server->wake);
    }
}

/* Returns whether all connections have ended, before the deadline and that of the stop, which may
 * be moved meanwhile. Clients are looked after: one that goes away is not waited for. */
static bool wait_for_the_last(struct wf_server *server, wf_deadline deadline)
{
    int err = 0;
    while (!err && wfi_load(&server->open) > 0) {
        wf_event_clear(&server->wake);
        if (wfi_load(&server->open) == 0)
            break;
        wf_deadline until = wfi_load(&server->looking) ? wf_after(LOOK_NS) : WF_FOREVER;
        wf_deadline end = deadline;
        if (!server->breaking_off)
            end = wf_earlier(end, (wf_deadline){wfi_load(&server->stop_ns)});
        err = wf_event_wait(&server->wake, wf_earlier(until, end));
        if (err == -ETIMEDOUT && until.ns < end.ns) {
            look(server);
            err = 0;
        }
    }
    return wfi_load(&server->open) == 0;
}

int wfi_serve(struct wf_task *self, struct wf_server *server, wf_none *ret)
{
    (void)ret;
    struct wf_scope storage, *scope = wf_scope_open(&storage, NULL, WF_FOREVER);
    for (size_t i = 0; i < server->listening_count; i++)
        server->listening[i].acceptor = wfi_accept_connections_spawn(scope, server, i).future;
    serve(server);
    wfi_store(&server->stopping, true); /* cancelled, it may not have been told */
    for (size_t i = 0; i < server->listening_count; i++) {
        struct listening *at = &server->listening[i];
        wf_future_cancel(at->acceptor);
        WF_SHIELD(WF_FOREVER) {
            (void)wf_future_wait(at->acceptor, WF_FOREVER);
            accept_the_rest(server, at);
        }
        wf_listener_close(at->listener);
        at->listener = NULL;
    }
    if (!wait_for_the_last(server, wf_after(server->options.linger_ns))) {
        end_idle(server);
        server->broke_off = !wait_for_the_last(server, WF_FOREVER);
    }
    if (wfi_load(&server->open)) {
        break_off(server);
        WF_SHIELD(WF_FOREVER) {
            (void)wait_for_the_last(server, WF_FOREVER);
        }
    }
    wfi_lock_briefly(&server->lock); /* whoever was last has left it: see the top */
    wf_mutex_unlock(&server->lock);
    wf_scope_cancel(scope);
    /* Of its own accord the scope fails only when there is no memory to start an acceptor. */
    struct wf_error error;
    return wf_scope_close(scope, &error) == -ENOMEM ? wf_task_fail_with(self, &error) : 0;
}
WF_TASK_DEFINE(wfi_serve)

/* ---- the owner ---- */

static int64_t or_default(int64_t given, int64_t otherwise)
{
    return given ? given : otherwise;
}

/* What is limited by address, and whose word is taken for one. */
static int read_limits(struct wf_server *server, struct wf_error *reterr)
{
    const struct wf_server_options *options = &server->options;
    struct wfi_clients_limits limits = {.connections_max = options->address_connections_max,
                                        .per_second = options->address_requests_per_second,
                                        .burst = options->address_burst};
    if (options->trusted_count) {
        server->trusted = wfi_zalloc(options->trusted_count * sizeof *server->trusted);
        if (!server->trusted)
            return wf_error_set(reterr, -ENOMEM, NULL);
    }
    for (; server->trusted_count < options->trusted_count; server->trusted_count++) {
        const char *text = options->trusted[server->trusted_count];
        if (!wfi_network_parse((struct wfi_text){text, strlen(text)},
                               &server->trusted[server->trusted_count]))
            return wf_error_set(reterr, -EINVAL, "%.100s is no network", text);
    }
    server->options.trusted = NULL; /* the caller's texts may go */
    if (limits.connections_max == 0 && limits.per_second == 0)
        return 0;
    int err = wfi_clients_create(&limits, &server->clients);
    return err ? wf_error_set(reterr, err, err == -EINVAL ? "no rate of requests" : NULL) : 0;
}

int wf_server_create(const struct wf_server_options *given, struct wf_server **ret_server,
                     struct wf_error *reterr)
{
    struct wf_server_options options = given ? *given : (struct wf_server_options){0};
    if (options.head_ns < 0 || options.body_ns < 0 || options.write_ns < 0 || options.idle_ns < 0 ||
        options.handler_ns < 0 || options.drain_ns < 0 || options.linger_ns < 0)
        return wf_error_set(reterr, -EINVAL, "a server's durations are not negative");
    options.head_ns = or_default(options.head_ns, WF_SECONDS(10));
    options.body_ns = or_default(options.body_ns, WF_SECONDS(30));
    options.write_ns = or_default(options.write_ns, WF_SECONDS(30));
    options.idle_ns = or_default(options.idle_ns, WF_SECONDS(60));
    options.drain_ns = or_default(options.drain_ns, WF_SECONDS(5));
    options.linger_ns = or_default(options.linger_ns, WF_MILLISECONDS(250));
    if (!options.connections_max)
        options.connections_max = 10000;
    if (options.trusted_count && !options.trusted)
        return wf_error_set(reterr, -EINVAL, "trusted networks are counted but not given");

    struct wfi_request_parser *parser; /* to learn whether there are any */
    int err = wfi_request_parser_create(NULL, &parser, reterr);
    if (err)
        return err;
    wfi_request_parser_destroy(parser);
    struct wf_server *server = wfi_zalloc(sizeof *server);
    if (!server)
        return wf_error_set(reterr, -ENOMEM, NULL);
    server->options = options;
    wf_mutex_init(&server->lock);
    wf_event_init(&server->wake);
    wf_event_init(&server->room);
    err = wf_router_create(&server->router, reterr);
    if (!err)
        err = read_limits(server, reterr);
    if (err) {
        wf_server_destroy(server);
        return err;
    }
    uint64_t seed = (uint64_t)wf_now() ^ (uint64_t)(uintptr_t)server;
    snprintf(server->id, sizeof server->id, "%08x", (unsigned)wfi_splitmix64(&seed));
    *ret_server = server;
    return 0;
}

int wfi_group_path(const struct wf_group *group, const char *path, struct wfi_buffer *out)
{
    int err = 0;
    if (group)
        err = wfi_group_path(group->in, group->path ? group->path : "", out);
    /* A group's path may end with the slash that begins the next one. */
    if (out->len && out->data[out->len - 1] == '/' && *path == '/')
        out->len--;
    return err ? err : wfi_buffer_append_text(out, path);
}

/* What the groups around a route say, unless it says so itself. */
static void inherit(struct wf_route *route)
{
    const struct wf_group *group = route->group;
    for (; group; group = group->in) {
        if (!route->on)
            route->on = group->on;
        if (!route->handler_ns)
            route->handler_ns = group->handler_ns;
        if (!route->body_bytes_max)
            route->body_bytes_max = group->body_bytes_max;
    }
    route->group = NULL;
}

int wf_server_route(struct wf_server *server, const struct wf_route *route, struct wf_error *reterr)
{
    struct wfi_buffer path = {0};
    if (server->started)
        return wf_error_set(reterr, WF_ESTATE, "the server has been started");
    if (!route->path || !route->handler || route->handler_ns < 0)
        return wf_error_set(reterr, -EINVAL,
                            "a route has a path, a handler, and no negative duration");
    struct wfi_route *mine = wfi_zalloc(sizeof *mine);
    if (!mine)
        return wf_error_set(reterr, -ENOMEM, NULL);
    mine->given = *route;
    inherit(&mine->given);
    int err = wfi_group_path(route->group, route->path, &path);
    const char *text = err ? NULL : wfi_buffer_text(&path);
    if (mine->given.handler_ns < 0)
        err = wf_error_set(reterr, -EINVAL, "a group has no negative duration");
    else if (text)
        err =
            wf_router_add(server->router, route->method ? route->method : "*", text, mine, reterr);
    else
        err = wf_error_set(reterr, -ENOMEM, NULL);
    wfi_buffer_reset(&path);
    if (err) {
        wfi_free(mine);
        return err;
    }
    mine->next = server->routes;
    server->routes = mine;
    return 0;
}

static int add_listener(struct wf_server *server, struct wf_listener *listener, bool shared)
{
    size_t count = server->listening_count;
    struct listening *more = wfi_realloc(server->listening, (count + 1) * sizeof *more);
    if (!more)
        return -ENOMEM;
    server->listening = more;
    more[count] = (struct listening){.listener = listener, .shared = shared};
    server->listening_count++;
    return 0;
}

int wf_server_listen(struct wf_server *server, const char *endpoint,
                     const struct wf_listener_options *options, struct wf_error *reterr)
{
    struct wf_listener_options mine = options ? *options : (struct wf_listener_options){0};
    struct wf_listener *listener;
    if (server->started)
        return wf_error_set(reterr, WF_ESTATE, "the server has been started");
    if (!mine.stream.unsent_bytes)
        mine.stream.unsent_bytes = UNSENT_BYTES;
    int err = wf_listener_open(endpoint, &mine, &listener, reterr);
    if (!err && (err = add_listener(server, listener, false))) {
        wf_listener_close(listener);
        wf_error_set(reterr, err, NULL);
    }
    return err;
}

int wf_server_adopt(struct wf_server *server, int fd, struct wf_error *reterr)
{
    const struct wf_listener_options options = {.stream = {.unsent_bytes = UNSENT_BYTES}};
    struct wf_listener *listener;
    if (server->started)
        return wf_error_set(reterr, WF_ESTATE, "the server has been started");
    /* Room first: what comes after the listener has the descriptor cannot fail. */
    int err = add_listener(server, NULL, true);
    if (err)
        return wf_error_set(reterr, err, NULL);
    err = wf_listener_adopt(fd, &options, &listener);
    if (err) {
        server->listening_count--;
        return wf_error_set(reterr, err, "descriptor %d: %s", fd, wf_strerror(err));
    }
    server->listening[server->listening_count - 1].listener = listener;
    return 0;
}

int wf_server_secure(struct wf_server *server, size_t index, struct wf_tls *tls,
                     struct wf_error *reterr)
{
    if (server->started)
        return wf_error_set(reterr, WF_ESTATE, "the server has been started");
    if (index >= server->listening_count)
        return wf_error_set(reterr, -ENOENT, "the server has no listener %zu", index);
    server->listening[index].secure = tls;
    return 0;
}

int wf_server_address(const struct wf_server *server, size_t index, struct wf_address *ret_address)
{
    if (index >= server->listening_count || !server->listening[index].listener)
        return -ENOENT;
    wf_listener_address(server->listening[index].listener, ret_address);
    return 0;
}

int wf_server_start(struct wf_server *server, struct wf_executor *on, struct wf_error *reterr)
{
    if (server->started)
        return wf_error_set(reterr, WF_ESTATE, "the server has been started");
    if (!on || strcmp(wf_executor_engine(on), "fibers") != 0)
        return wf_error_set(reterr, -EINVAL, "a server runs on a fibers executor");
    if (server->listening_count == 0)
        return wf_error_set(reterr, -EINVAL, "the server listens nowhere");
    wfi_store(&server->stop_ns, 0);
    wfi_free(server->shares); /* of an executor that refused */
    server->workers = wf_executor_workers(on);
    server->shares = wfi_zalloc_aligned(64, server->workers * sizeof *server->shares);
    if (!server->shares)
        return wf_error_set(reterr, -ENOMEM, NULL);
    server->on = on;
    (void)wf_semaphore_init(&server->packing, wf_executor_workers(on), 0);
    struct wf_future *serving = wfi_serve_submit(on, server).future;
    if (wf_future_state(serving) == WF_FUTURE_FAILED) {
        wf_none none;
        return wf_future_result(&serving, &none, WF_NOW, reterr);
    }
    wf_future_shield(serving); /* whoever waits for it may be cancelled: see the top */
    server->started = true;
    server->serving = serving;
    return 0;
}

static int stop(struct wf_server *server, wf_deadline deadline, struct wf_error *reterr)
{
    wf_none none;
    if (!server->serving)
        return 0;
    wfi_store(&server->stop_ns, deadline.ns);
    wfi_store(&server->stopping, true);
    wf_event_set(&server->wake);
    int err = wf_future_wait(server->serving, WF_FOREVER);
    if (!err)
        err = wf_future_result(&server->serving, &none, WF_FOREVER, reterr);
    else
        return wf_error_set(reterr, err, NULL);
    if (!err && server->broke_off)
        err = wf_error_set(reterr, -ETIMEDOUT, "some requests did not end in time");
    return err;
}

int wf_server_stop(struct wf_server *server, wf_deadline deadline)
{
    return stop(server, deadline, NULL);
}

int wf_server_run(struct wf_server *server, struct wf_executor *on, struct wf_error *reterr)
{
    int err = wf_server_start(server, on, reterr);
    if (err)
        return err;
    (void)wf_future_wait(server->serving, WF_FOREVER); /* until the caller is cancelled */
    WF_SHIELD(WF_FOREVER) {
        err = stop(server, wf_after(server->options.drain_ns), reterr);
    }
    return err;
}

void wf_server_count(const struct wf_server *s, struct wf_server_counts *ret_counts)
{
    struct wf_server *server = (struct wf_server *)(uintptr_t)s;
    *ret_counts = (struct wf_server_counts){
        .connections = wfi_load_relaxed(&server->connections),
        .connections_open = wfi_load_relaxed(&server->open),
        .requests = wfi_load_relaxed(&server->requests),
        .refused = wfi_load_relaxed(&server->refused),
        .canceled = wfi_load_relaxed(&server->canceled),
        .limited = wfi_load_relaxed(&server->limited),
        .dropped = wfi_load_relaxed(&server->dropped),
    };
    for (size_t set = 0; set < WFI_LATENCY_SETS; set++)
        for (size_t digit = 1; digit <= 5; digit++)
            ret_counts->answers[digit] += wfi_load_relaxed(&server->answers[set][digit]);
}

void wf_server_latency(const struct wf_server *s, struct wf_latency *ret_latency)
{
    struct wf_server *server = (struct wf_server *)(uintptr_t)s;
    wfi_latency_read(&server->latency, ret_latency);
}

void wf_server_destroy(struct wf_server *server)
{
    if (!server)
        return;
    WF_SHIELD(WF_FOREVER) {
        (void)wf_server_stop(server, WF_NOW);
    }
    wfi_debug_destroy(server->debug);
    for (size_t i = 0; i < server->listening_count; i++)
        wf_listener_close(server->listening[i].listener);
    wfi_free(server->listening);
    for (struct wfi_route *route = server->routes, *next; route; route = next) {
        next = route->next;
        wfi_free(route);
    }
    for (struct wfi_middleware *m = server->middlewares, *next; m; m = next) {
        next = m->next;
        wfi_free(m);
    }
    wf_router_destroy(server->router);
    wfi_clients_destroy(server->clients);
    wfi_free(server->trusted);
    wfi_free(server->shares);
    wf_event_fini(&server->wake);
    wf_event_fini(&server->room);
    wf_semaphore_fini(&server->packing);
    wf_mutex_fini(&server->lock);
    wfi_free(server);
}
