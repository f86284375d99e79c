/* SPDX-License-Identifier: MIT */
/*
 * Reads HTTP/1.1 requests out of bytes: no socket, no allocation. It is called again with more
 * bytes until it says what it has; a head is at most REQUEST_HEAD_MAX long, so reading it from its
 * start each time costs little.
 *
 * It is strict where being lax lets two parties see two requests in the same bytes: bare line
 * feeds, folded headers, space before a colon, two lengths and transfer encodings are refused.
 */
#ifndef WEFT_CMD_SITE_REQUEST_H
#define WEFT_CMD_SITE_REQUEST_H

#include "site/pages.h"

#define REQUEST_HEAD_MAX 16384
#define REQUEST_BODY_MAX 65536
#define REQUEST_HEADERS_MAX 64

struct request {
    struct site_request http; /* points into the bytes given, and into this struct */
    char method[16];
    struct site_header headers[REQUEST_HEADERS_MAX];
    bool keep_alive; /* the client wants the connection to go on */
    bool expects;    /* waits for "100 Continue" before it sends the body */
};

/*
 * Looks for one whole request, body included, at the start of `data`.
 *
 * Returns the number of bytes it takes, and fills `request`;
 *   0 when more bytes are needed (`request->expects` is then valid if the head was whole); or
 *   minus the status to refuse it with: -400, -413 (body), -431 (head), -501 (transfer encoding),
 *   -505 (version). The connection is to be closed then: where the next request begins is unknown.
 */
long request_parse(const char *data, size_t len, struct request *request);

#endif
