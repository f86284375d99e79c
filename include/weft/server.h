/* SPDX-License-Identifier: MIT */
/*
 * An HTTP/1.1 server: a fiber for each connection, handlers written as straight-line code.
 *
 *     static int hello(struct wf_request *request, struct wf_response *response, void *arg)
 *     {
 *         return wf_response_text(response, 200, "hello\n");
 *     }
 *
 *     wf_server_create(NULL, &server, &error);
 *     wf_server_route(server, &(struct wf_route){.path = "/", .handler = hello}, &error);
 *     wf_server_listen(server, "127.0.0.1:8000", NULL, &error);
 *     err = wf_server_run(server, wf_main_executor(), &error);       (until SIGTERM, say)
 *     wf_server_destroy(server);
 *
 * What reads requests is strict: whatever two readers could take in two ways is refused with its
 * status, and the connection closed, before any handler sees it.
 *
 * Every phase of a connection has its time, so a slow client is ended, whatever it is slow in; and
 * it costs no more than 48 KiB until then (80 KiB with TLS, 8 KiB when it has said nothing): its
 * stack, the parser and the buffers, not counting what its handler keeps, such as a body that is
 * collected. Of an answer that it does not take the system holds 64 KiB, then the handler waits.
 *
 * A handler runs in a scope. When the client goes away, or the handler's time is up, the scope is
 * cancelled: every wait in the handler, and in the tasks it started, returns -ECANCELED. Context
 * locals that a handler sets are seen by the tasks it starts and by no other request.
 */
#ifndef WEFT_SERVER_H
#define WEFT_SERVER_H

#include <weft/executor.h>
#include <weft/latency.h>
#include <weft/listener.h>
#include <weft/request.h>
#include <weft/response.h>
#include <weft/tls.h>

WF_BEGIN_DECLS

struct wf_server;

/*
 * Answers one request.
 *
 * Returns 0 when the answer is made (one that was not is 204); or the status of an error to answer
 * with, 400 to 599; or a negative code, for which the server answers: -ENOENT 404, -EACCES 403,
 * -EINVAL, WF_EPARSE, WF_EPROTOCOL and WF_ESHORT 400, WF_ETOOBIG 413, -ETIMEDOUT and -ECANCELED
 * 503, all others 500. The answers to errors are JSON and name the request's id. If part of an
 * answer was made already, the connection is broken off instead.
 */
typedef int (*wf_handler)(struct wf_request *request, struct wf_response *response, void *arg);

/* What is known of a request once it is answered. */
struct wf_access {
    int status;
    uint64_t body_bytes; /* of the answer, without head and chunks */
    int64_t elapsed_ns;  /* from the whole head to the answer's end */
    const char *client;  /* of a refusal: the peer's address, "" where it has none; else NULL */
    const char *reason;  /* of a refusal: a sentence that says why; or NULL */
};

/* Zero means the default. */
struct wf_server_options {
    size_t head_bytes_max;    /* 16 KiB */
    uint64_t body_bytes_max;  /* of a request: 1 MiB; UINT64_MAX: any */
    uint32_t connections_max; /* open at a time: 10,000; more wait to be accepted. Each
                                 listener but the first may add one */

    /*
     * What one client may take, by its address; an IPv6 client is its /64 network. 0: no limit.
     * Connections beyond are answered with 429 at once, and closed without a word when as many
     * again are; trusted peers are not counted. Requests beyond the rate are answered with 429 and
     * Retry-After. Some 65,000 addresses are remembered; of more, the quietest are forgotten.
     */
    uint32_t address_connections_max;
    double address_requests_per_second;
    uint32_t address_burst; /* requests at once after a quiet time; 0: those of one second */

    /* Networks ("10.0.0.0/8", "::1") whose X-Forwarded-For is believed: those of the proxies in
     * front. Peers over a Unix socket are trusted. The texts are read by wf_server_create. */
    const char *const *trusted;
    size_t trusted_count;

    int64_t head_ns;    /* from the first byte of a head to its last, and for a handshake: 10 s */
    int64_t body_ns;    /* to wait for 64 KiB of a body, or what is left of it: 30 s */
    int64_t write_ns;   /* for the client to take 64 KiB or what there is: 30 s */
    int64_t idle_ns;    /* between two requests of a connection: 60 s */
    int64_t handler_ns; /* for a handler, then its scope is cancelled: 0 is any time */
    int64_t drain_ns;   /* for wf_server_run to end requests when it is cancelled: 5 s */
    int64_t linger_ns;  /* when stopping, for idle connections to ask once more: 250 ms */

    /*
     * A client that has ended its side of the connection waits for its answer all the same. As a
     * closed connection looks alike, the default is to cancel what is done for it; handlers that
     * do not wait never notice.
     */
    bool half_closed_clients;

    /*
     * Answers of 1 KiB and more, or of unknown length, whose content type says that they are text
     * go out as gzip to clients that take it, unless the handler has set Content-Encoding or
     * Cache-Control: no-transform. While one is sent it holds up to 350 KiB for that. Switch it off
     * where a TLS connection carries a secret beside text that an attacker can choose: how well
     * they shrink together tells him about the secret.
     */
    bool no_gzip;

    /* Called after each answer, and after each refusal (then `request` is NULL), by the party that
     * made it; must not wait. */
    void (*access)(void *arg, const struct wf_request *request, const struct wf_access *access);
    void *access_arg;
};

/*
 * Makes a server without routes.
 *
 * options      NULL for the defaults
 * ret_server   receives it, to be given to wf_server_destroy
 *
 * Returns 0, or
 *   -EINVAL    a negative duration, a rate that is none, a network that is none
 *   -ENOTSUP   this build of weft has no parser of requests
 *   -ENOMEM
 * Context: any, never blocks.
 */
WF_API int wf_server_create(const struct wf_server_options *options, struct wf_server **ret_server,
                            struct wf_error *reterr);

/*
 * What several routes and middlewares have in common. A plain value, read by the calls it is given
 * to: `{.path = "/api", .on = threads}`.
 */
struct wf_group {
    const struct wf_group *in; /* the group it is part of; NULL: none */
    const char *path;          /* stands in front of theirs: "/api"; NULL: nothing */

    /* For routes that have none of their own; NULL or 0: as the group around it has them. */
    struct wf_executor *on;
    int64_t handler_ns;
    uint64_t body_bytes_max;
};

struct wf_route {
    const struct wf_group *group; /* NULL: none; read by wf_server_route only */
    const char *method;           /* NULL: any; a route for GET answers HEAD too */

    /* The pattern of the path, as weft/router.h has it: "/users/{id:uint}/photo". Where several
     * fit the more particular wins. wf_request_param has the values. In a group it is what follows
     * the group's, and may be "". */
    const char *path;
    wf_handler handler;
    void *arg;

    /* Where the handler runs: NULL for the fiber of the connection, where it must not block its
     * thread; a threads executor for handlers that do. */
    struct wf_executor *on;

    int64_t handler_ns;      /* instead of the server's; 0: as there */
    uint64_t body_bytes_max; /* instead of the server's; 0: as there */
    bool no_gzip;            /* answers are never compressed */
};

/*
 * Adds a route. A path that fits no route is 404, one that fits but for the method 405 with Allow;
 * OPTIONS is answered with Allow where no route takes it. The texts are copied.
 *
 * Returns 0, or
 *   -EINVAL    no path or handler, a negative duration, or a pattern that is malformed
 *   -EEXIST    the method has a route for that pattern
 *   WF_ESTATE  the server has been started
 *   -ENOMEM
 * Context: any, never blocks; by the owner.
 */
WF_API int wf_server_route(struct wf_server *server, const struct wf_route *route,
                           struct wf_error *reterr);

/*
 * A handler that answers with the files of a folder: `.handler = wf_serve_folder, .arg = "/srv"`,
 * on a path that ends with {path:path}: "/static/{path:path}". A path that ends with a slash gives
 * index.html there; a folder without the slash is redirected. Files and folders whose names begin
 * with a dot are not found, but for /.well-known/. Nothing above the folder is reached, but where a
 * symbolic link leads: links are followed, those that lead outside too.
 *
 * path   of the folder, a char pointer that stays the caller's
 *
 * Returns as wf_response_file.
 * Context: thread or fiber.
 */
WF_API int wf_serve_folder(struct wf_request *request, struct wf_response *response, void *path);

/* A folder, and how it is served. */
struct wf_folder {
    const char *path;
    bool hidden; /* names that begin with a dot are served, too */

    /* Where FILE.gz stands beside FILE and is not older, a client that takes gzip gets it in the
     * place of FILE, if FILE would be compressed otherwise. */
    bool packed;

    /*
     * A folder without index.html is listed: folders first, then files, with sizes and times; as
     * {"path": "/x/", "complete": true, "entries": [{"name": "a b", "type": "file",
     * "href": "a%20b", "bytes": 7, "modified": "2026-11-21T09:54:45Z"}]}
     * where Accept prefers application/json to text/html. Of more than 100,000 entries as many are
     * listed, which takes some 20 MB while it lasts.
     */
    bool list;
};

/*
 * The same with more to choose.
 *
 * folder   a struct wf_folder that stays the caller's
 *
 * Returns as wf_response_file.
 * Context: thread or fiber.
 */
WF_API int wf_serve_folder_with(struct wf_request *request, struct wf_response *response,
                                void *folder);

/*
 * Listens at `endpoint` too; see wf_listener_open for both arguments. Connections are accepted once
 * the server is started.
 *
 * Returns as wf_listener_open, or WF_ESTATE when the server has been started.
 * Context: any, never blocks; by the owner.
 */
WF_API int wf_server_listen(struct wf_server *server, const char *endpoint,
                            const struct wf_listener_options *options, struct wf_error *reterr);

/*
 * The same with a socket that listens already, and may be shared with other processes: when this
 * server stops, connections that wait to be accepted are left to them.
 *
 * fd   belongs to the server on success, to the caller on failure
 *
 * Returns as wf_listener_adopt, or WF_ESTATE when the server has been started.
 * Context: any, never blocks; by the owner.
 */
WF_API int wf_server_adopt(struct wf_server *server, int fd, struct wf_error *reterr);

/*
 * The `index`-th listener speaks TLS. A client that speaks plain HTTP there is answered 400.
 *
 * tls   stays the caller's, and must outlive the server; several listeners may share it
 *
 * Returns 0, -ENOENT when there are not so many listeners, or WF_ESTATE when the server has been
 * started.
 * Context: any, never blocks; by the owner.
 */
WF_API int wf_server_secure(struct wf_server *server, size_t index, struct wf_tls *tls,
                            struct wf_error *reterr);

/*
 * Where the `index`-th listener listens, with the port that was chosen.
 *
 * Returns 0, or -ENOENT when there are not so many.
 * Context: any, never blocks; by the owner, not after the server was stopped.
 */
WF_API int wf_server_address(const struct wf_server *server, size_t index,
                             struct wf_address *ret_address);

/*
 * Begins to serve, and returns.
 *
 * on   a fibers executor, which must outlive the server
 *
 * Returns 0, or
 *   -EINVAL    not a fibers executor, or nothing to listen at
 *   WF_ESTATE  it was started before
 *   -ENOMEM, -EPIPE (the executor is shut down)
 * Context: thread or fiber; by the owner.
 */
WF_API int wf_server_start(struct wf_server *server, struct wf_executor *on,
                           struct wf_error *reterr);

/*
 * Stops in good order: takes the connections that wait to be accepted (within connections_max),
 * closes the listeners, answers what was asked (with Connection: close), and closes connections as
 * they become idle. Returns when all have ended; what has not at the deadline is cancelled and
 * waited for.
 * A connection that arrives in the moment a listener closes is reset by the system; a socket that
 * another process keeps open (wf_server_adopt) has no such moment.
 *
 * Returns 0, or
 *   -ETIMEDOUT   the deadline passed, and requests were broken off
 *   -ECANCELED   the caller was cancelled; the server stops all the same, until its deadline, that
 *                of a further call, or wf_server_destroy
 *   -ENOMEM      it had stopped before, as there was no memory to begin
 * A server that was not started, or has stopped, returns 0.
 * Context: thread or fiber; by the owner.
 */
WF_API int wf_server_stop(struct wf_server *server, wf_deadline deadline);

/*
 * Starts, serves until the caller is cancelled (under wf_main: until SIGINT or SIGTERM), and stops
 * in good order within drain_ns.
 *
 * Returns 0 when it was cancelled and everything had its answer; -ETIMEDOUT when drain_ns was not
 * enough; -ENOMEM when there was no memory to begin; or an
 * error of wf_server_start.
 * Context: thread or fiber; by the owner.
 */
WF_API int wf_server_run(struct wf_server *server, struct wf_executor *on, struct wf_error *reterr);

/* Figures that only grow, but for `connections_open`. */
struct wf_server_counts {
    uint64_t connections, connections_open;
    uint64_t requests;   /* whose head was whole, whatever the answer */
    uint64_t refused;    /* that were not HTTP, too large or too slow; some are in `requests` too */
    uint64_t dropped;    /* connections for which there was no memory */
    uint64_t limited;    /* connections and requests beyond what an address may take */
    uint64_t canceled;   /* whose client went away before the answer */
    uint64_t answers[6]; /* by the first digit of their status: answers[2] of 200 to 299 */
};

/*
 * What the server has done so far.
 * Context: any, never blocks; any number of callers.
 */
WF_API void wf_server_count(const struct wf_server *server, struct wf_server_counts *ret_counts);

/*
 * How long answers took, from the whole head of the request to the answer's end. Streams of events,
 * which end when their reader has had enough, are not counted.
 * Context: any, never blocks; any number of callers.
 */
WF_API void wf_server_latency(const struct wf_server *server, struct wf_latency *ret_latency);

/*
 * Stops at once, if it serves, and frees it. NULL is fine.
 * Context: thread or fiber; by the owner.
 */
WF_API void wf_server_destroy(struct wf_server *server);

WF_END_DECLS

#endif
