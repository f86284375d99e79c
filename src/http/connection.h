/* SPDX-License-Identifier: MIT */
/*
 * A connection of the server from the inside: the buffers, the request being answered and the
 * answer, one of each, since requests of a connection are answered in turn.
 *
 * Who touches what: everything belongs to the party that serves the connection, which is its fiber,
 * or, while that waits for it, the handler on another executor. Others only read `idle` and
 * `last_look`, turn `state` from WORKS to LOOKED and back, between which they may cancel the scope
 * and set `client_gone`, cancel `life` under the server's lock, and shut the stream down.
 */
#ifndef WFI_HTTP_CONNECTION_H
#define WFI_HTTP_CONNECTION_H

#include <weft/event.h>
#include <weft/json.h>
#include <weft/middleware.h>
#include <weft/mutex.h>
#include <weft/router.h>
#include <weft/scope.h>
#include <weft/semaphore.h>
#include <weft/server.h>

#include "base/atomic.h"
#include "base/buffer.h"
#include "base/list.h"
#include "http/clients.h"
#include "http/date.h"
#include "http/forwarded.h"
#include "http/gzip.h"
#include "http/latency.h"
#include "http/request.h"
#include "http/tls.h"

#define WFI_REQUEST_ID_BYTES 40

/* Fields a handler may add to one answer. */
#define WFI_FIELDS_MAX 24
/* With those the server adds to it. */
#define WFI_FIELDS_ROOM (WFI_FIELDS_MAX + 4)

struct wfi_connection;

struct wfi_route {
    struct wfi_route *next;
    struct wf_route given; /* its texts are the router's */
};

struct wfi_middleware {
    struct wfi_middleware *next;
    wf_layer layer;
    void *arg;
    size_t path_len;
    char path[]; /* without a slash at its end */
};

struct wf_request {
    struct wfi_connection *connection;
    const struct wfi_request_head *head;
    const struct wfi_route *route; /* NULL where none was found */
    int route_error;               /* why not */
    struct wf_route_match *match;  /* the desk's */
    char *path;                    /* decoded; the desk's or on the heap */
    struct wfi_text piece;         /* of the body: fed, not yet taken */
    uint64_t body_fed;             /* bytes of it */
    bool body_ended;
    bool end_was_fed;       /* the parser waits for wfi_request_next */
    bool continued;         /* 100 was sent, or need not be */
    int body_error;         /* what the body ended with, negative */
    int64_t patience_ns;    /* left to wait for the rest of a piece of it */
    size_t came;            /* of that piece */
    struct wfi_buffer body; /* for wf_request_body */
    bool body_whole;
    int64_t began_ns;
    uint64_t number; /* in its connection */
    char id[WFI_REQUEST_ID_BYTES];
    bool client_known; /* the next two are made */
    bool has_client;
    struct wfi_ip client_ip;
    char client[WFI_IP_BYTES];
};

enum wfi_response_state {
    WFI_RESPONSE_NONE,  /* nothing was made */
    WFI_RESPONSE_BEGUN, /* the head is in `out` or sent */
    WFI_RESPONSE_DONE,  /* so is the body */
};

/* In `texts`. */
struct wfi_response_field {
    size_t at, name_len, value_len;
};

struct wf_response {
    struct wfi_connection *connection;
    enum wfi_response_state state;
    int status;
    bool chunked;
    bool bodiless;            /* HEAD, 204, 304 */
    bool events;              /* begun by wf_response_event */
    bool sent;                /* something has left for the client */
    int64_t left;             /* of an announced body */
    uint64_t body_bytes;      /* made so far, as it is sent */
    bool plain;               /* not to be compressed, whatever the client takes */
    bool coded;               /* it is compressed, or would be but for HEAD */
    struct wfi_gzip *gzip;    /* what the body goes through, or NULL */
    struct wfi_buffer packed; /* what came out and is no chunk yet */
    struct wfi_buffer texts;  /* names and values, behind each other */
    size_t field_count;
    size_t kept_fields, kept_bytes;    /* of these two, what stays when the handler fails */
    struct wfi_response_field *fields; /* the desk's */
};

enum {
    WFI_CONNECTION_RESTS,  /* no handler runs */
    WFI_CONNECTION_WORKS,  /* a handler runs, in `scope` */
    WFI_CONNECTION_LOOKED, /* the same, and the server is looking whether the client has gone */
};

enum wfi_peer { WFI_PEER_UNKNOWN, WFI_PEER_IP, WFI_PEER_OTHER };

struct wfi_connection {
    struct wfi_link link;  /* under the server's lock */
    struct wf_scope *life; /* around all it does; under the server's lock, while it is linked */
    struct wf_server *server;
    struct wf_stream *stream;
    struct wf_tls *secure;             /* the listener's; NULL for plain HTTP */
    struct wfi_tls_session *tls;       /* NULL: bytes go as they are */
    struct wfi_request_parser *parser; /* of the desk */
    struct wf_address peer;
    enum wfi_peer peer_kind;
    struct wfi_ip peer_ip;
    unsigned worker;  /* of the server's executor */
    bool counted;     /* among the connections of its address */
    bool turned_away; /* it is one too many */
    uint64_t number;
    WFI_ATOMIC(int) state;
    WFI_ATOMIC(bool) idle;          /* nothing of a request has come */
    WFI_ATOMIC(uint32_t) last_look; /* server->looks when the handler began */
    WFI_ATOMIC(bool) client_gone;   /* the server found so, and has cancelled the scope */
    struct wf_scope scope;
    bool close;  /* after the answer that is being made */
    bool linger; /* what the client still sends is to be read first */
    bool broken; /* nothing more can be sent */
    bool hard;   /* the end is to be seen as a break: the client does not read, or would take it
                       for the end of the answer */
    struct wfi_desk *desk; /* NULL while idle */
    char *in;              /* WFI_IN_BYTES; NULL where all that was read has been fed */
    size_t at, len;        /* of what was read and not yet fed */
    struct wfi_buffer out;
    int64_t answered_ns; /* when the last answer was made, or the connection began */
    struct wf_request request;
    struct wf_response response;
};

#define WFI_IN_BYTES 8192
/* Collected before it is sent: a handful of packets. */
#define WFI_OUT_BYTES 16384

struct wf_server {
    struct wf_server_options options; /* with the defaults filled in */
    struct wf_router *router;
    struct wfi_clients *clients; /* NULL: no limit by address */
    struct wfi_network *trusted; /* whose X-Forwarded-For is believed */
    size_t trusted_count;
    struct wfi_route *routes;
    struct wfi_middleware *middlewares; /* the outermost first */
    struct listening {
        struct wf_listener *listener;
        bool shared;
        struct wf_tls *secure;      /* NULL for plain HTTP */
        struct wf_future *acceptor; /* the serving task's */
    } * listening;
    size_t listening_count;
    struct wf_executor *on;
    struct worker_share {
        _Alignas(64) WFI_ATOMIC(uint32_t) open; /* its connections */
    } * shares;                                 /* one for each worker of `on` */
    unsigned workers;
    struct wf_future *serving; /* the owner's; NULL before start and after stop */
    bool started;
    WFI_ATOMIC(bool) stopping;
    WFI_ATOMIC(int64_t) stop_ns;  /* the deadline; written before `stopping` and before `wake` */
    WFI_ATOMIC(bool) ending_idle; /* idle connections are not waited for any more */
    bool broke_off;               /* by the serving task, read after it has ended */
    struct wf_event wake;        /* the serving task: stop, a handler to look after, the last end */
    struct wf_semaphore packing; /* pieces being compressed: as many as there are workers */
    struct wf_event room;        /* acceptors: fewer connections than the limit */
    WFI_ATOMIC(bool) looking;    /* the serving task looks for clients that have gone */
    WFI_ATOMIC(uint32_t) looks;
    WFI_ATOMIC(uint64_t) connections, open, requests, refused, canceled, limited, dropped;
    /* By the first digit of the status, [0] for none; a set for some of the connections each. */
    WFI_ATOMIC(uint64_t) answers[WFI_LATENCY_SETS][8];
    struct wfi_latency latency;
    struct wf_mutex lock;
    struct wfi_list list;    /* of connections; under the lock */
    bool breaking_off;       /* what still runs is cancelled; by the serving task, under the lock */
    char id[16];             /* begins the ids of requests */
    struct wfi_debug *debug; /* debug.c's, or NULL */
};

/* connection.c */
WF_TASK(wf_none, wfi_serve_connection, (struct wfi_connection *, connection))
struct wfi_connection *wfi_connection_create(struct wf_server *server, struct wf_stream *stream,
                                             struct wf_tls *secure);
/* Of one whose task was not started. */
void wfi_connection_drop(struct wfi_connection *c);
/* Sends what was collected; marks the connection broken when it cannot. */
int wfi_connection_flush(struct wfi_connection *c);
/* Sends parts, each in its share of time. */
int wfi_connection_send(struct wfi_connection *c, const void *data, size_t len);
/* Sends a part of a file, which is to be taken by the deadline. */
int wfi_connection_send_file(struct wfi_connection *c, struct wf_file *file, uint64_t offset,
                             size_t len, wf_deadline deadline);
/* Reads what comes into `in`, which is empty: the count, 0 at the end, or an error. */
ssize_t wfi_connection_fill(struct wfi_connection *c, wf_deadline deadline);

/* What the middlewares stand around: runs the handler of the request, or answers 404 or 405. */
int wfi_connection_handle(struct wfi_connection *c);

/* middleware.c: runs the middlewares that fit the request's path, and what they stand around. */
int wfi_middleware_run(struct wfi_connection *c);

/* server.c: appends the path of a group and what follows it. Returns 0 or -ENOMEM. */
int wfi_group_path(const struct wf_group *group, const char *path, struct wfi_buffer *out);

/* server.c: a handler begins; makes sure that somebody looks after its client. */
void wfi_server_watch(struct wf_server *server, struct wfi_connection *c);
void wfi_server_join(struct wf_server *server, struct wfi_connection *c);
void wfi_server_leave(struct wf_server *server, struct wfi_connection *c);
/* A connection is closed and its memory gone; the last call about it. */
void wfi_server_ended(struct wf_server *server, unsigned worker);

/* server_request.c */
int wfi_request_begin(struct wf_request *request, struct wfi_connection *c);
void wfi_request_fini(struct wf_request *request);
/* The other end of the connection; NULL when it has no IP address. */
const struct wfi_ip *wfi_connection_peer_ip(struct wfi_connection *c);
/* Whose it is, as an address; NULL where that cannot be known. */
const struct wfi_ip *wfi_request_client_ip(struct wf_request *request);
/* Takes what has come of the body without waiting, for a refusal that is due at once. */
void wfi_request_look(struct wf_request *request);
/* Whether what is left of the body is little, and comes by itself. */
bool wfi_request_rest_is_small(const struct wf_request *request);
/* Reads what is left of the body; what was answered is sent first. Returns whether the end came. */
bool wfi_request_pass_over(struct wf_request *request);
/* Whether the body has been read to its end. */
bool wfi_request_body_is_over(struct wf_request *request);

/* server_response.c */
void wfi_response_begin(struct wf_response *response, struct wfi_connection *c);
void wfi_response_fini(struct wf_response *response);
/* After the handler: the end of the body. WF_ESHORT when some of it is missing. */
int wfi_response_end(struct wf_response *response);
/* Whether the client knows no other end of the body. */
bool wfi_response_ends_with_the_connection(const struct wf_response *response);
/* Whether it has a field of this name, by its handler. */
bool wfi_response_has(const struct wf_response *response, const char *name);
/* Adds a field that is known to be one; there has to be room. */
int wfi_response_add(struct wf_response *response, struct wfi_text name, struct wfi_text value);
/* The next bytes of the body, as they are sent: framed and collected. */
int wfi_response_put(struct wf_response *response, const void *data, size_t len);

/* server_file.c */
/* Whether a name of the path, which begins without a slash, begins with a dot: those are kept from
 * others, but for what all the world is to know of a site (RFC 8615). */
bool wfi_path_is_hidden(const char *path);
/* Redirects to the request's path with a slash at its end, behind which is what the links of a
 * folder's index are relative to. */
int wfi_response_add_slash(struct wf_request *request, struct wf_response *response);

/* server_listing.c: answers with what the folder `path` holds, which the request's path names. */
int wfi_response_listing(struct wf_request *request, struct wf_response *response, const char *path,
                         bool hidden);

/* server_gzip.c */
enum wfi_gzip_choice {
    WFI_GZIP_NEVER,        /* it does not depend on the client */
    WFI_GZIP_ANOTHER_TIME, /* for other clients */
    WFI_GZIP_YES,
};
/* Whether an answer with a body of that type and length, -1 unknown, could be compressed. */
enum wfi_gzip_choice wfi_response_choose_gzip(struct wf_response *response, const char *type,
                                              int64_t len);
/* Says that the answer depends on what the client takes, if nobody has. */
int wfi_response_vary(struct wf_response *response);
/* For an answer with a body that is to begin: sets `coded`, and the fields that go with it. */
int wfi_response_choose_coding(struct wf_response *response, const char *type, int64_t len);
int wfi_response_write_gzip(struct wf_response *response, const void *data, size_t len,
                            enum wfi_gzip_until until);
void wfi_response_drop_gzip(struct wf_response *response);

#endif
