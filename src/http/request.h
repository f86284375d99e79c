/* SPDX-License-Identifier: MIT */
/*
 * Requests as a server reads them: bytes of a connection in, events out. Pure: no sockets, no
 * clock.
 *
 *     wfi_request_parser_create(&limits, &parser, &error);
 *     for (;;) {
 *         switch (wfi_request_feed(parser, at, len, &consumed, &body)) {
 *         case WFI_REQUEST_MORE:     read more into at, len;            continue;
 *         case WFI_REQUEST_HEAD:     look at wfi_request_head(parser);  break;
 *         case WFI_REQUEST_BODY:     take body.ptr, body.len;           break;
 *         case WFI_REQUEST_END:      answer; wfi_request_next(parser);  break;
 *         case WFI_REQUEST_REFUSED:  answer wfi_request_status(parser) and close;
 *         }
 *         at += consumed, len -= consumed;
 *     }
 *
 * Invariants:
 *   1. How the bytes are cut into feeds changes nothing but how bodies are cut into events: the
 * same events, the same refusal at the same byte.
 *   2. Each event stops the feed, so one request's bytes are never mixed with the next one's. What
 *      was not consumed is to be fed again. Before reading from the peer, feed until MORE: END may
 *      need no byte at all.
 *   3. The head is copied once, into memory the parser keeps from request to request; its texts
 * live until wfi_request_next, and behind each but path and authority stands a NUL that is not
 *      counted. Bodies are not copied: they point into what was fed.
 *   4. Two parsers must agree where a head ends: llhttp, strict, and the line rules here. A request
 *      about which they do not agree is refused.
 *
 * What is refused, beyond what llhttp refuses, and with which status:
 *   400  CR without LF, LF without CR, control characters, a folded line, more than one blank line
 * in front, more than one space in the request line; a Content-Length that is repeated, empty,
 *        signed or no number; Content-Length with Transfer-Encoding; any Transfer-Encoding but one
 *        `chunked`, or that in HTTP/1.0; Host missing in HTTP/1.1, repeated, empty or malformed;
 *        an absolute target that names another host than Host, or user information; a target
 *        that is neither a path, an http URL nor the * of OPTIONS; framing fields among trailers
 *   413  a body above the limit, announced or chunked, or chunks that are mostly framing
 *   414  a target above its limit
 *   417  an Expect other than 100-continue
 *   431  a head, the trailers or the number of fields above the limit
 *   501  a method llhttp does not know, CONNECT
 *   505  a version other than 1.0 and 1.1
 */
#ifndef WFI_HTTP_REQUEST_H
#define WFI_HTTP_REQUEST_H

#include <weft/error.h>

#include "http/text.h"

struct wfi_request_parser;

/* Zero means the default. */
struct wfi_request_limits {
    size_t head_bytes_max; /* 16 KiB: request line and fields, with the blank line; trailers too */
    size_t target_bytes_max; /* 8,000, what RFC 9112 asks for at the least */
    size_t field_count_max;  /* 100 */
    uint64_t body_bytes_max; /* 1 MiB; UINT64_MAX: no limit */
};

enum wfi_request_event {
    WFI_REQUEST_MORE,    /* everything was consumed; read more */
    WFI_REQUEST_HEAD,    /* the head is complete */
    WFI_REQUEST_BODY,    /* some bytes of the body, at least one */
    WFI_REQUEST_END,     /* the message is complete; wfi_request_next before the next feed */
    WFI_REQUEST_REFUSED, /* status and reason say why; every further feed says the same */
};

enum wfi_request_method {
    WFI_METHOD_OTHER, /* the text says which */
    WFI_METHOD_GET,
    WFI_METHOD_HEAD,
    WFI_METHOD_POST,
    WFI_METHOD_PUT,
    WFI_METHOD_DELETE,
    WFI_METHOD_PATCH,
    WFI_METHOD_OPTIONS,
    WFI_METHOD_TRACE,
};

struct wfi_request_field {
    struct wfi_text name;  /* as it was sent; compare with wfi_text_is_nocase */
    struct wfi_text value; /* without the white space around it */
};

struct wfi_request_head {
    enum wfi_request_method method;
    int minor; /* of HTTP/1.minor: 0 or 1 */
    struct wfi_text method_text;
    struct wfi_text target; /* as it was sent */
    struct wfi_text path;   /* of the target, still escaped, "/" at the least; "*" for OPTIONS * */
    struct wfi_text query;  /* behind the ?; ptr NULL when there is none */
    struct wfi_text authority; /* host[:port] of the target, or else of Host; empty in HTTP/1.0 */
    const struct wfi_request_field *fields; /* in the order they came */
    size_t field_count;
    uint64_t body_len;     /* what Content-Length says, or 0 */
    bool chunked;          /* the length is not known before the end */
    bool expects_continue; /* HTTP/1.1, a body is to come, and the peer waits for 100 */
    bool keep_alive;       /* the peer would send another request */
};

/*
 * Makes a parser. `limits` may be NULL.
 * Returns 0, -ENOMEM, or -ENOTSUP in a build without llhttp.
 */
int wfi_request_parser_create(const struct wfi_request_limits *limits,
                              struct wfi_request_parser **ret_parser, struct wf_error *reterr);
/* NULL is fine. */
void wfi_request_parser_destroy(struct wfi_request_parser *parser);

/*
 * Reads on until something has happened. `len` may be 0: END and REFUSED may be there already.
 *
 * ret_consumed   how many of the bytes are done with.
 * ret_body       set with BODY only: bytes of the body, inside of what was fed.
 */
enum wfi_request_event wfi_request_feed(struct wfi_request_parser *parser, const char *bytes,
                                        size_t len, size_t *ret_consumed,
                                        struct wfi_text *ret_body);

/* After END: forgets the request, keeps the memory. */
void wfi_request_next(struct wfi_request_parser *parser);

/* Whether nothing at all has been fed since the parser was made, or since the request before. */
bool wfi_request_is_fresh(const struct wfi_request_parser *parser);

/* For another connection: forgets everything but the limits, and keeps memory of the usual size. */
void wfi_request_reset(struct wfi_request_parser *parser);

/* Other limits than the parser was made with; while it is fresh. */
void wfi_request_set_limits(struct wfi_request_parser *parser,
                            const struct wfi_request_limits *limits);

/* Valid from HEAD until wfi_request_next. */
const struct wfi_request_head *wfi_request_head(const struct wfi_request_parser *parser);

/* The value of the first field of that name (compared without case), or NULL. */
static inline const struct wfi_text *wfi_request_field(const struct wfi_request_head *head,
                                                       const char *name)
{
    for (size_t i = 0; i < head->field_count; i++)
        if (wfi_text_is_nocase(head->fields[i].name, name))
            return &head->fields[i].value;
    return NULL;
}

/*
 * Between HEAD and the first feed after it: replaces the limit on the body. Returns whether the
 * body may still fit: false when Content-Length says that it will not, and the next feed refuses
 * it. To be asked before 100 is sent.
 */
bool wfi_request_limit_body(struct wfi_request_parser *parser, uint64_t bytes_max);

/* Whether nothing of a further request has come, so that the connection may be closed without an
 * answer, at the end of its input or of the server's patience. */
bool wfi_request_is_idle(const struct wfi_request_parser *parser);

/* What to answer when the time for the head or the body is up: 408, or 0 (just close) where nothing
 * has come. Every further feed says REFUSED. */
int wfi_request_time_out(struct wfi_request_parser *parser);

/* After REFUSED: the status to answer with, and one sentence for the log. */
int wfi_request_status(const struct wfi_request_parser *parser);
const char *wfi_request_reason(const struct wfi_request_parser *parser);

#endif
