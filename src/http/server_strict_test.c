/* SPDX-License-Identifier: MIT */
/*
 * What must not be taken for a request: a table of bytes that two readers could read in two ways,
 * or that the server has no time, room or words for. Each row goes
 *
 *  1. through the parser, in one piece, cut in two at every position, and byte by byte;
 *  2. to a server, over TCP in one piece, and over a Unix socket cut at every position. The second
 *     part is sent when the first has been read: of a Unix socket the system says so (SIOCOUTQ).
 *
 * Behind the row's bytes stands a request that a careless reader would answer. Of the server is
 * expected: one answer, with the row's status and Connection: close; then the end of the
 * connection, in order; no handler was called, or, where the offence is in a body, none got to see
 * a body; and the request behind was never seen.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <weft/fibers.h>
#include <weft/server.h>

#include "base/atomic.h"
#include "http/request.h"

/* Limits of server and parser that a row can exceed in a line or two. */
enum { HEAD_BYTES_MAX = 512, BODY_BYTES_MAX = 40 };

#define GET "GET / HTTP/1.1\r\n"
#define HOST "Host: h\r\n"
#define POST "POST / HTTP/1.1\r\nHost: h\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define BEHIND "GET /behind HTTP/1.1\r\nHost: h\r\n\r\n"
#define TEN(x) x x x x x x x x x x
#define LONG TEN(TEN("abcdef"))

struct row {
    const char *bytes;
    size_t len;
    int status;
    bool in_body; /* the head is in order */
};

/* A head that is refused, with 400 where nothing else is said; and a body. */
#define HEAD(text)                        \
    {                                     \
        text, sizeof text - 1, 400, false \
    }
#define HEAD_IS(status, text)                \
    {                                        \
        text, sizeof text - 1, status, false \
    }
#define BODY(text)                                       \
    {                                                    \
        CHUNKED text, sizeof CHUNKED text - 1, 400, true \
    }
#define BODY_IS(status, text)               \
    {                                       \
        text, sizeof text - 1, status, true \
    }

/* HTP-01: the length of a body is said once, in digits. */
static const struct row lengths[] = {
    HEAD(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde"),
    HEAD(POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
    HEAD(POST "Content-Length: 0\r\ncontent-LENGTH: 35\r\n\r\n"),
    HEAD(POST "Content-Length: 5\r\nX: y\r\nContent-Length:\r\n\r\nabcde"),
    HEAD(POST "Content-Length: 5, 5\r\n\r\nabcde"),
    HEAD(POST "Content-Length: 5,5\r\n\r\nabcde"),
    HEAD(POST "Content-Length: 5,\r\n\r\nabcde"),
    HEAD(POST "Content-Length: ,5\r\n\r\nabcde"),
    HEAD(POST "Content-Length: 5 6\r\n\r\nabcde"),
    HEAD(POST "Content-Length: 5\t6\r\n\r\nabcde"),
    HEAD(POST "Content-Length: +5\r\n\r\nabcde"),
    HEAD(POST "Content-Length: -5\r\n\r\nabcde"),
    HEAD(POST "Content-Length: --5\r\n\r\nabcde"),
    HEAD(POST "Content-Length: +-5\r\n\r\nabcde"),
    HEAD(POST "Content-Length: 5a\r\n\r\nabcde"),
    HEAD(POST "Content-Length: a\r\n\r\nabcdeabcde"),
    HEAD(POST "Content-Length: 0x5\r\n\r\nabcde"),
    HEAD(POST "Content-Length: 1_0\r\n\r\nabcde"),
    HEAD(POST "Content-Length: 5.0\r\n\r\nabcde"),
    HEAD(POST "Content-Length: 5e0\r\n\r\nabcde"),
    HEAD(POST "Content-Length: \"5\"\r\n\r\nabcde"),
    HEAD(POST "Content-Length: 5;a\r\n\r\nabcde"),
    HEAD(POST "Content-Length: \xd9\xa5\r\n\r\nabcde"),     /* an Arabic five */
    HEAD(POST "Content-Length: \xef\xbc\x95\r\n\r\nabcde"), /* a wide five */
    HEAD(POST "Content-Length: 5\xc2\xa0\r\n\r\nabcde"),    /* a space that is none */
    HEAD(POST "Content-Length: 5\x0b\r\n\r\nabcde"),
    HEAD(POST "Content-Length: \x0c"
              "5\r\n\r\nabcde"),
    HEAD(POST "Content-Length:\r\n\r\n"),
    HEAD(POST "Content-Length: \t \r\n\r\n"),
    HEAD(POST "Content-Length: 4294967296000000000000\r\n\r\nabcde"),
    HEAD(POST "Content-Length: 18446744073709551616\r\n\r\nabcde"),
    HEAD(POST "Content-Length: 18446744073709551621\r\n\r\nabcde"), /* 5, had it room for no more */
};

/* HTP-02: a length or an encoding, never both; and no encoding but one `chunked`. */
static const struct row encodings[] = {
    HEAD(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nabcde"),
    HEAD(POST "Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nabcde"),
    HEAD(POST "Transfer-Encoding: identity\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: gzip\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: 'chunked'\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: chunke\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: chunked chunked\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: \x0b"
              "chunked\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: chunked\x0c\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: chunked\xa0\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: chun\xe2\x84\xaa"
              "ed\r\n\r\n0\r\n\r\n"), /* the sign of kelvin */
    HEAD(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: chunked\r\nTransfer-encoding: identity\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    HEAD("POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    HEAD("POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding\x0b: chunked\r\n\r\n0\r\n\r\n"),
    HEAD(POST "X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding:\n chunked\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer-Encoding: chunked\n\r\n0\r\n\r\n"),
    HEAD(POST "X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    HEAD(POST "X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    HEAD(POST "X: y\r\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    HEAD(POST "\x01Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Foo\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    HEAD(POST "Transfer Encoding: chunked\r\n\r\n0\r\n\r\n"),
};

/* HTP-03: lines end with CR LF, hold no control character, and are not folded. */
static const struct row line_ends[] = {
    HEAD("GET / HTTP/1.1\n" HOST "\r\n"),
    HEAD("GET / HTTP/1.1\n"
         "Host: h\n\n"),
    HEAD("GET / HTTP/1.1\r" HOST "\r\n"),
    HEAD(GET "Host: h\n\r\n"),
    HEAD(GET "Host: h\r\r\n"),
    HEAD(GET "Host: h\r\n\n"),
    HEAD(GET "Host: h\r\n\r\r\n"),
    HEAD(GET "Host: h\r\n\rX"),
    HEAD(GET HOST "X: a\rb\r\n\r\n"),
    HEAD(GET HOST "X: a\nb\r\n\r\n"),
    HEAD(GET HOST "X: a\n\n"),
    HEAD(GET HOST "X:\r\r\n\r\n"),
    HEAD(GET HOST "X\r\n\r\n"),
    HEAD(GET HOST "X\r: y\r\n\r\n"),
    HEAD(GET HOST "X\n: y\r\n\r\n"),
    HEAD("\n" GET HOST "\r\n"),
    HEAD("\r" GET HOST "\r\n"),
    HEAD("\r\n\r\n" GET HOST "\r\n"),
    HEAD(" \r\n" GET HOST "\r\n"),
    HEAD(GET HOST "X: a\0b\r\n\r\n"),
    HEAD(GET HOST "X\0: a\r\n\r\n"),
    HEAD(GET HOST "X: a\r\n\0\r\n"),
    HEAD(GET "Host: h\0i\r\n\r\n"),
    HEAD("GET /\0 HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("GET\0/ HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("\0" GET HOST "\r\n"),
    HEAD(GET HOST "X: a\x7f"
                  "b\r\n\r\n"),
    HEAD(GET HOST "X: a\x1b"
                  "b\r\n\r\n"),
    HEAD(GET HOST "X: a\x08\r\n\r\n"),
    HEAD(GET HOST "X: a\r\n b\r\n\r\n"),
    HEAD(GET HOST "X: a\r\n\tb\r\n\r\n"),
    HEAD(GET HOST "X:\r\n b\r\n\r\n"),
    HEAD(GET " Host: h\r\n\r\n"),
    HEAD(GET "\tHost: h\r\n\r\n"),
    HEAD(GET HOST " \r\n\r\n"),
    HEAD(GET HOST "\t\r\n\r\n"),
    HEAD(GET HOST "Content-Length: 5\r\n 6\r\n\r\nabcde"),
};

/* HTP-04: a name, a colon; nothing between them. */
static const struct row names[] = {
    HEAD(GET "Host : h\r\n\r\n"),
    HEAD(GET "Host\t: h\r\n\r\n"),
    HEAD(GET HOST "X : y\r\n\r\n"),
    HEAD(GET HOST "X Y: z\r\n\r\n"),
    HEAD(GET HOST ": y\r\n\r\n"),
    HEAD(GET HOST " : y\r\n\r\n"),
    HEAD(GET HOST "X(: y\r\n\r\n"),
    HEAD(GET HOST "X\xc3\xa9: y\r\n\r\n"),
    HEAD(GET HOST "\"X\": y\r\n\r\n"),
    HEAD(GET HOST "X\r\n\r\n"),
    HEAD(POST "Content-Length : 5\r\n\r\nabcde"),
    HEAD(POST "Content-Length\t: 5\r\n\r\nabcde"),
    HEAD(POST "Content-Length\xa0: 5\r\n\r\nabcde"),
};

/* HTP-05: one host, and the target agrees with it. */
static const struct row hosts[] = {
    HEAD(GET "\r\n"),
    HEAD(GET "X: y\r\n\r\n"),
    HEAD(GET "Hos: h\r\n\r\n"),
    HEAD(GET "Host: h\r\nHost: h\r\n\r\n"),
    HEAD(GET "Host: h\r\nX: y\r\nHOST: i\r\n\r\n"),
    HEAD("GET / HTTP/1.0\r\nHost: h\r\nHost: i\r\n\r\n"),
    HEAD(GET "Host:\r\n\r\n"),
    HEAD(GET "Host: \t\r\n\r\n"),
    HEAD(GET "Host: a b\r\n\r\n"),
    HEAD(GET "Host: a\tb\r\n\r\n"),
    HEAD(GET "Host: u@h\r\n\r\n"),
    HEAD(GET "Host: u:p@h\r\n\r\n"),
    HEAD(GET "Host: h/\r\n\r\n"),
    HEAD(GET "Host: h/path\r\n\r\n"),
    HEAD(GET "Host: h?q\r\n\r\n"),
    HEAD(GET "Host: h#f\r\n\r\n"),
    HEAD(GET "Host: http://h\r\n\r\n"),
    HEAD(GET "Host: h\\i\r\n\r\n"),
    HEAD(GET "Host: :80\r\n\r\n"),
    HEAD(GET "Host: h:x\r\n\r\n"),
    HEAD(GET "Host: h:-1\r\n\r\n"),
    HEAD(GET "Host: h:80:80\r\n\r\n"),
    HEAD(GET "Host: h:65536\r\n\r\n"),
    HEAD(GET "Host: h:4294967376\r\n\r\n"), /* 80, had it room for no more */
    HEAD(GET "Host: [::1\r\n\r\n"),
    HEAD(GET "Host: ::1\r\n\r\n"),
    HEAD(GET "Host: [::1]x\r\n\r\n"),
    HEAD("GET http://i/ HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("GET http://h:81/ HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("GET http://h/ HTTP/1.1\r\nHost: h:81\r\n\r\n"),
    HEAD("GET http://h.i/ HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("GET http://h/ HTTP/1.1\r\n\r\n"),
    HEAD("GET http://h@i/ HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("GET http://u@h/ HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("GET http:///x HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("GET http://h\\@i/ HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("GET file:///etc/passwd HTTP/1.1\r\n" HOST "\r\n"),
};

/* HTP-06: a method, a space, a target, a space, a version. */
static const struct row request_lines[] = {
    HEAD("GET  / HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("GET /  HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("GET / HTTP/1.1 \r\n" HOST "\r\n"),
    HEAD("GET / HTTP/1.1\t\r\n" HOST "\r\n"),
    HEAD("GET\t/ HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("GET /\tHTTP/1.1\r\n" HOST "\r\n"),
    HEAD(" GET / HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("\tGET / HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("GET / x HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("GET\r\n" HOST "\r\n"),
    HEAD("GET \r\n" HOST "\r\n"),
    HEAD("GET /\r\n" HOST "\r\n"),
    HEAD("GET / \r\n" HOST "\r\n"),
    HEAD("GET HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("GET / http/1.1\r\n" HOST "\r\n"),
    HEAD("GET / HTTP/ 1.1\r\n" HOST "\r\n"),
    HEAD("GET / HTTP/1.\r\n" HOST "\r\n"),
    HEAD("GET / HTTP/.1\r\n" HOST "\r\n"),
    HEAD("GET / HTTP/1.10\r\n" HOST "\r\n"),
    HEAD("GET / HTTP/01.1\r\n" HOST "\r\n"),
    HEAD("GET / HTTP/1,1\r\n" HOST "\r\n"),
    HEAD("GET / HTTP/+1.1\r\n" HOST "\r\n"),
    HEAD("GET / HTTP/11\r\n" HOST "\r\n"),
    HEAD("GET / HTP/1.1\r\n" HOST "\r\n"),
    HEAD("GET / HTTP/1.1X\r\n" HOST "\r\n"),
    HEAD("GET / HTTP/1.1" HOST "\r\n"),
    HEAD("GET a HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("GET /# HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("GET * HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("POST * HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("OPTIONS *x HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("OPTIONS ** HTTP/1.1\r\n" HOST "\r\n"),
    HEAD("GET h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n"),
    HEAD("\x16\x03\x01\x02\x00\x01\x00\x01"), /* TLS where none is spoken */
    HEAD("\x80\x2e\x01\x03\x01"),
    HEAD("{\"jsonrpc\": \"2.0\"}\r\n\r\n"),
    HEAD("(GET / HTTP/1.1\r\n" HOST "\r\n"),
};

/* HTP-07: what is refused for another reason than its form has the status that says so. */
static const struct row statuses[] = {
    HEAD_IS(501, "FOO / HTTP/1.1\r\n" HOST "\r\n"),
    HEAD_IS(501, "get / HTTP/1.1\r\n" HOST "\r\n"),
    HEAD_IS(501, "GETS / HTTP/1.1\r\n" HOST "\r\n"),
    HEAD_IS(501, "GE / HTTP/1.1\r\n" HOST "\r\n"),
    HEAD_IS(501, "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n"),
    HEAD_IS(501, "CONNECT * HTTP/1.1\r\n" HOST "\r\n"),
    HEAD_IS(501, LONG " / HTTP/1.1\r\n" HOST "\r\n"),
    HEAD_IS(505, "GET / HTTP/2.0\r\n" HOST "\r\n"),
    HEAD_IS(505, "GET / HTTP/1.2\r\n" HOST "\r\n"),
    HEAD_IS(505, "GET / HTTP/0.9\r\n" HOST "\r\n"),
    HEAD_IS(505, "GET / HTTP/9.9\r\n" HOST "\r\n"),
    HEAD_IS(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    HEAD_IS(414, "GET /" LONG " HTTP/1.1\r\n" HOST "\r\n"),
    HEAD_IS(414, "GET http://h/?" LONG " HTTP/1.1\r\n" HOST "\r\n"),
    HEAD_IS(431, GET HOST "X: " LONG "\r\n\r\n"),
    HEAD_IS(431, GET HOST LONG ": x\r\n\r\n"),
    HEAD_IS(431, GET "Host: " LONG "\r\n\r\n"),
    HEAD_IS(431, GET HOST TEN(TEN("X: y\r\n")) "\r\n"),
    HEAD_IS(417, POST "Expect: tea\r\nContent-Length: 1\r\n\r\nx"),
    HEAD_IS(417, POST "Expect: 100-continue, tea\r\nContent-Length: 1\r\n\r\nx"),
    HEAD_IS(417, POST "Expect:\r\nContent-Length: 1\r\n\r\nx"),
    BODY_IS(413, POST "Content-Length: 41\r\n\r\n"),
    BODY_IS(413, POST "Content-Length: 18446744073709551615\r\n\r\n"),
    BODY_IS(413, POST "Expect: 100-continue\r\nContent-Length: 41\r\n\r\n"),
    BODY_IS(413, CHUNKED "29\r\n" TEN("abcd") "e\r\n0\r\n\r\n"),
    BODY_IS(413, CHUNKED "ffffffffffffffff\r\n" TEN("abcd") "e\r\n0\r\n\r\n"),
    BODY_IS(413, CHUNKED "1\r\na\r\n28\r\n" TEN("abcd") "\r\n0\r\n\r\n"),
};

/* HTP-08: chunks have one form, down to the last byte. */
static const struct row chunks[] = {
    BODY("\r\n0\r\n\r\n"),
    BODY("x\r\n\r\n"),
    BODY("+5\r\nabcde\r\n0\r\n\r\n"),
    BODY("-5\r\nabcde\r\n0\r\n\r\n"),
    BODY("0x5\r\nabcde\r\n0\r\n\r\n"),
    BODY("0X5\r\nabcde\r\n0\r\n\r\n"),
    BODY("5h\r\nabcde\r\n0\r\n\r\n"),
    BODY("5_0\r\nabcde\r\n0\r\n\r\n"),
    BODY("5,5\r\nabcde\r\n0\r\n\r\n"),
    BODY("5.0\r\nabcde\r\n0\r\n\r\n"),
    BODY("\"5\"\r\nabcde\r\n0\r\n\r\n"),
    BODY(" 5\r\nabcde\r\n0\r\n\r\n"),
    BODY("\t5\r\nabcde\r\n0\r\n\r\n"),
    BODY("5 \r\nabcde\r\n0\r\n\r\n"),
    BODY("5\t\r\nabcde\r\n0\r\n\r\n"),
    BODY("5\x0b\r\nabcde\r\n0\r\n\r\n"),
    BODY("5\0\r\nabcde\r\n0\r\n\r\n"),
    BODY("10000000000000000\r\nabcde\r\n0\r\n\r\n"),
    BODY("10000000000000005\r\nabcde\r\n0\r\n\r\n"), /* 5, had it room for no more */
    BODY("fffffffffffffffff\r\nabcde\r\n0\r\n\r\n"),
    BODY("5\nabcde\r\n0\r\n\r\n"),
    BODY("5\rabcde\r\n0\r\n\r\n"),
    BODY("5\r\rabcde\r\n0\r\n\r\n"),
    BODY("5\r\nabcde0\r\n\r\n"),
    BODY("5\r\nabcde\n0\r\n\r\n"),
    BODY("5\r\nabcde\r0\r\n\r\n"),
    BODY("5\r\nabcde\r\r\n0\r\n\r\n"),
    BODY("5\r\nabcdef\r\n0\r\n\r\n"),
    BODY("5\r\nabcdeXX0\r\n\r\n"),
    BODY("5\r\nabcde\r\n\r\n0\r\n\r\n"),
    BODY("5;x\nabcde\r\n0\r\n\r\n"),
    BODY("5;x\rabcde\r\n0\r\n\r\n"),
    BODY("5;x\n\r\nabcde\r\n0\r\n\r\n"),
    BODY("5;\nabcde\r\n0\r\n\r\n"),
    BODY("5;x=\"\n\"\r\nabcde\r\n0\r\n\r\n"),
    BODY("5;x=\0\r\nabcde\r\n0\r\n\r\n"),
    BODY("5;x=\x1b\r\nabcde\r\n0\r\n\r\n"),
    BODY("2;\n0;x\r\n\r\n\r\n"),
    BODY("0\n\r\n"),
    BODY("0\r\n\n"),
    BODY("0\r\n\rX"),
    BODY("0;x\n\r\n"),
    BODY("00x0\r\n\r\n"),
};

/* HTP-09: behind the last chunk nothing changes what was said in front. */
static const struct row trailers[] = {
    BODY("0\r\nContent-Length: 5\r\n\r\n"),
    BODY("0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    BODY("0\r\nX: y\r\nHOST: i\r\n\r\n"),
    BODY("0\r\nconnection: close\r\n\r\n"),
    BODY("0\r\nExpect: 100-continue\r\n\r\n"),
    BODY("0\r\nTrailer: x\r\n\r\n"),
    BODY("0\r\nTE: chunked\r\n\r\n"),
    BODY("0\r\nContent-Encoding: gzip\r\n\r\n"),
    BODY("0\r\nContent-Range: bytes 0-1/2\r\n\r\n"),
    BODY("0\r\nX: y\n\r\n"),
    BODY("0\r\nX: y\r\r\n\r\n"),
    BODY("0\r\nX: y\r\n z\r\n\r\n"),
    BODY("0\r\n X: y\r\n\r\n"),
    BODY("0\r\nX : y\r\n\r\n"),
    BODY("0\r\nX\r\n\r\n"),
    BODY("0\r\n: y\r\n\r\n"),
    BODY("0\r\nX: a\0b\r\n\r\n"),
    BODY("0\r\nGET / HTTP/1.1\r\n\r\n"),
    BODY_IS(431, CHUNKED "0\r\nX: " LONG "\r\n\r\n"),
};

/* ---- the parser ---- */

static void say_row(const struct row *row, size_t cut, const char *what)
{
    fail_msg("\"%.*s\" (%zu bytes, %d), cut at %zu: %s", (int)row->len, row->bytes, row->len,
             row->status, cut, what);
}

/* Feeds until the parser wants more. Returns false when it refused. */
static bool feed(struct wfi_request_parser *parser, const char *bytes, size_t len,
                 const struct row *row, size_t cut, unsigned *heads)
{
    for (size_t at = 0;;) {
        size_t consumed;
        struct wfi_text body;
        switch (wfi_request_feed(parser, bytes + at, len - at, &consumed, &body)) {
        case WFI_REQUEST_MORE:
            return true;
        case WFI_REQUEST_HEAD:
            if (++*heads > row->in_body)
                say_row(row, cut, "a head");
            break;
        case WFI_REQUEST_END:
            say_row(row, cut, "the end of a message");
            break;
        case WFI_REQUEST_BODY:
            break;
        case WFI_REQUEST_REFUSED:
            return false;
        }
        at += consumed;
    }
}

static void parse(const struct row *row, const char *bytes, size_t len, size_t cut)
{
    static const struct wfi_request_limits limits = {.head_bytes_max = HEAD_BYTES_MAX,
                                                     .body_bytes_max = BODY_BYTES_MAX};
    struct wfi_request_parser *parser;
    unsigned heads = 0;
    assert_int_equal(wfi_request_parser_create(&limits, &parser, NULL), 0);
    bool going = true;
    if (cut > len)
        for (size_t i = 0; i < len && going; i++)
            going = feed(parser, bytes + i, 1, row, cut, &heads);
    else if ((going = feed(parser, bytes, cut, row, cut, &heads)))
        going = feed(parser, bytes + cut, len - cut, row, cut, &heads);
    if (going)
        say_row(row, cut, "not refused");
    if (wfi_request_status(parser) != row->status)
        say_row(row, cut, wfi_request_reason(parser));
    wfi_request_parser_destroy(parser);
}

/* ---- every byte, and what may stand in its place ---- */

/* Letters for sets of bytes, written down from RFC 9110 and 9112 and not from the parser. */
static bool may_stand(char set, unsigned char c, unsigned char original)
{
    const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool token = alnum || (c && strchr("!#$%&'*+-.^_`|~", c));
    const bool host = alnum || (c && strchr("-._~!$&'()*+,;=%", c));
    const bool plain = c == '\t' || (c >= ' ' && c != 0x7f);
    switch (set) {
    case '=': /* the byte itself */
        return c == original;
    case 'i': /* in either case */
        return alnum && (c | 0x20) == (original | 0x20);
    case 't': /* of a target, as browsers send it */
        return c > ' ' && c < 0x7f && c != '#';
    case 'v': /* the second digit of the version */
        return c == '0' || c == '1';
    case 'h': /* of a host */
        return host;
    case 'H': /* of a host, or in front of it */
        return host || c == ' ' || c == '\t';
    case 'c': /* of a host, or in front of its port */
        return host || c == ':';
    case 'q': /* of a port, which may be empty */
        return (c >= '0' && c <= '9') || c == ' ' || c == '\t';
    case 'n': /* of a name */
        return token;
    case 'N': /* or behind one */
        return token || c == ':';
    case 'e': /* of an extension, which is passed over: it only has to end where it seems to */
        return token || c == ';' || c == '=';
    case 'f':
        return token || c == ';';
    case 'w': /* white space */
        return c == ' ' || c == '\t';
    case 'z': /* in front of a number */
        return c == '0' || c == ' ' || c == '\t';
    case 'p': /* of a value, or around it */
        return plain;
    case 'd': /* one digit of a length; the body is as long as the largest */
        return c >= '0' && c <= '9';
    default: /* any */
        return true;
    }
}

/* Whether the first message of these bytes has an end. */
static bool is_taken(const char *bytes, size_t len, bool one_by_one)
{
    struct wfi_request_parser *parser;
    bool ended = false, going = true;
    assert_int_equal(wfi_request_parser_create(NULL, &parser, NULL), 0);
    for (size_t at = 0; going && !ended;) {
        const size_t left = one_by_one && at < len ? 1 : len - at;
        size_t consumed;
        struct wfi_text body;
        const enum wfi_request_event event =
            wfi_request_feed(parser, bytes + at, left, &consumed, &body);
        at += consumed;
        ended = event == WFI_REQUEST_END;
        going = event != WFI_REQUEST_REFUSED && (event != WFI_REQUEST_MORE || at < len);
    }
    wfi_request_parser_destroy(parser);
    return ended;
}

static void every_byte_has_its_set(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *sets;
    } examples[] = {
        {"GET /a HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n", "=====t========v=="
                                                       "iiii=Hh=="
                                                       "n=pp=="
                                                       "=="},
        /* With another name the length is none, and the message ends with its head. */
        {"PUT / HTTP/1.1\r\nHost: h:8\r\nContent-Length: 9\r\n\r\n123456789", "=============v=="
                                                                              "iiii=Hhcq=="
                                                                              "nNNNNNNNNNNNNN=zd=="
                                                                              "=="
                                                                              "*********"},
        {CHUNKED "3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\n", "================="
                                                      "iiii=Hh=="
                                                      "nNNNNNNNNNNNNNNNN=wiiiiiii=="
                                                      "=="
                                                      "==fef=="
                                                      "***=="
                                                      "==="
                                                      "n=pp=="
                                                      "=="},
    };
    char bytes[256];
    unsigned tried = 0;
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        const size_t len = strlen(examples[i].bytes);
        assert_int_equal(strlen(examples[i].sets), len);
        for (size_t at = 0; at < len; at++)
            for (int c = 0; c < 256; c++, tried++) {
                memcpy(bytes, examples[i].bytes, len);
                const bool may =
                    may_stand(examples[i].sets[at], (unsigned char)c, (unsigned char)bytes[at]);
                bytes[at] = (char)c;
                for (int one_by_one = 0; one_by_one < 2; one_by_one++)
                    if (is_taken(bytes, len, one_by_one) != may)
                        fail_msg("\\x%02x at %zu of \"%s\" is %s", (unsigned)c, at,
                                 examples[i].bytes, may ? "refused" : "taken");
            }
    }
    print_message("%u requests\n", tried);
}

/* ---- the server ---- */

static struct wf_executor *fibers;
static struct wf_server *server, *another; /* the second for tests of other limits */
static struct sockaddr_in tcp = {.sin_family = AF_INET};
static struct sockaddr_un unix_path = {.sun_family = AF_UNIX};
static WFI_ATOMIC(int) handlers, bodies, behind;

static int take(struct wf_request *request, struct wf_response *response, void *arg)
{
    const char *body;
    size_t len;
    (void)arg;
    wfi_fetch_add(&handlers, 1);
    int err = wf_request_body(request, &body, &len);
    if (err)
        return err;
    wfi_fetch_add(&bodies, 1);
    return wf_response_text(response, 200, "taken");
}

static int be_behind(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request, (void)arg;
    wfi_fetch_add(&behind, 1);
    return wf_response_text(response, 200, "behind");
}

static int leave_alone(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request, (void)arg;
    return wf_response_text(response, 200, "left alone");
}

static int dial(bool over_tcp)
{
    int fd = socket(over_tcp ? AF_INET : AF_UNIX, SOCK_STREAM, 0);
    const struct timeval patience = {.tv_sec = 60}; /* only a test that has failed needs it */
    const struct sockaddr *to = over_tcp ? (struct sockaddr *)&tcp : (struct sockaddr *)&unix_path;
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, to, over_tcp ? sizeof tcp : sizeof unix_path), 0);
    return fd;
}

/* Returns false when the server has hung up already. */
static bool say(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* Until the server has read what was sent over a Unix socket. */
static void wait_until_read(int fd)
{
    for (int left = 1; left > 0; sched_yield())
        assert_int_equal(ioctl(fd, SIOCOUTQ, &left), 0);
}

/* Reads to the end. Returns how it ended: 0 in order, or -errno. */
static int hear(int fd, char *text, size_t bytes)
{
    size_t len = 0;
    ssize_t n;
    while ((n = recv(fd, text + len, bytes - 1 - len, 0)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    return n < 0 ? -errno : 0;
}

static unsigned count(const char *text, const char *part)
{
    unsigned n = 0;
    for (; (text = strstr(text, part)); text++)
        n++;
    return n;
}

/* One exchange: `cut` 0 means in one piece. Leaves the answer in `text`. */
static int exchange(const char *bytes, size_t len, size_t cut, bool over_tcp, char *text,
                    size_t text_bytes)
{
    int fd = dial(over_tcp);
    if (cut > 0) {
        say(fd, bytes, cut);
        wait_until_read(fd);
    }
    say(fd, bytes + cut, len - cut);
    const int end = hear(fd, text, text_bytes);
    close(fd);
    return end;
}

static void serve(const struct row *row, const char *bytes, size_t len, size_t cut, bool over_tcp)
{
    char text[4096], status[32];
    wfi_store(&handlers, 0);
    wfi_store(&bodies, 0);
    const int end = exchange(bytes, len, cut, over_tcp, text, sizeof text);
    snprintf(status, sizeof status, "HTTP/1.1 %d ", row->status);
    if (end != 0)
        say_row(row, cut, strerror(-end));
    const char *answer = text;
    if (row->in_body && strncmp(text, "HTTP/1.1 100 ", 13) == 0)
        answer = strstr(text, "\r\n\r\n") + 4;
    if (strncmp(answer, status, strlen(status)) != 0 || count(answer, "HTTP/1.1 ") != 1 ||
        count(answer, "\r\nConnection: close\r\n") != 1)
        say_row(row, cut, text);
    if (wfi_load(&handlers) > row->in_body || wfi_load(&bodies) > 0)
        say_row(row, cut, "a handler saw it");
    if (wfi_load(&behind) > 0)
        say_row(row, cut, "what stands behind was taken for a request");
}

/* Every row of a table, through both. */
static void refuse_all(const struct row *rows, size_t row_count)
{
    char bytes[2048];
    unsigned connections = 0;
    for (size_t i = 0; i < row_count; i++) {
        const struct row *row = &rows[i];
        assert_true(row->len + sizeof BEHIND <= sizeof bytes);
        memcpy(bytes, row->bytes, row->len);
        memcpy(bytes + row->len, BEHIND, sizeof BEHIND - 1);
        const size_t len = row->len + sizeof BEHIND - 1;
        for (size_t cut = 0; cut <= len + 1; cut++)
            parse(row, bytes, len, cut);
        serve(row, bytes, len, 0, true);
        for (size_t cut = 0; cut <= row->len; cut++)
            serve(row, bytes, len, cut, false);
        connections += (unsigned)row->len + 2;
    }
    print_message("%zu rows, %u connections\n", row_count, connections);
}

#define REFUSE(table)                                    \
    static void table##_are_strict(void **state)         \
    {                                                    \
        (void)state;                                     \
        refuse_all(table, sizeof table / sizeof *table); \
    }
REFUSE(lengths)
REFUSE(encodings)
REFUSE(line_ends)
REFUSE(names)
REFUSE(hosts)
REFUSE(request_lines)
REFUSE(statuses)
REFUSE(chunks)
REFUSE(trailers)

/* The tables would prove nothing if this server refused everything: what only looks odd is taken,
 * and the request behind it is answered, at every cut. */
static void what_only_looks_odd_is_taken(void **state)
{
    (void)state;
    static const char *const odd[] = {
        GET HOST "\r\n",
        "\r\n" GET HOST "\r\n",
        "GET http://H:80/ HTTP/1.1\r\n" HOST "\r\n",
        GET "Host:h\r\n\r\n",
        GET "hOsT:\t h \t\r\n\r\n",
        POST "Content-Length: 0\r\n\r\n",
        POST "Content-Length:\t0005 \r\n\r\nabcde",
        POST "Transfer-Encoding:\tchunked \r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        POST "transfer-encoding: Chunked\r\n\r\n000;x=\"y z\"\r\nX: y\r\nExpires: 0\r\n\r\n",
        CHUNKED "A\r\n\r\n0\r\n\r\n\r\n\r\r\n1;x\r\na\r\n0\r\n\r\n",
        POST "X-Content-Length: +1\r\nTransfer-Encodings: gzip\r\n\r\n",
        GET HOST "Content_Length: 7\r\nX: \xff\xfe\r\n\r\n",
        GET HOST "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        char bytes[1024], text[8192];
        const size_t odd_len = strlen(odd[i]);
        const int len = snprintf(bytes, sizeof bytes, "%s%s%s", odd[i], BEHIND,
                                 GET "Host: h\r\nConnection: close\r\n\r\n");
        for (size_t cut = 0; cut <= odd_len; cut++) {
            wfi_store(&behind, 0);
            const int end = exchange(bytes, (size_t)len, cut, false, text, sizeof text);
            if (end != 0 || count(text, "HTTP/1.1 200 ") != 3 || wfi_load(&behind) != 1)
                fail_msg("\"%s\", cut at %zu: %s", odd[i], cut, text);
        }
    }
    wfi_store(&behind, 0);
}

/* A handler that does not read its body has answered before the offence is seen: then the
 * connection ends without a word, and what stands behind is not looked at. */
static void a_body_nobody_reads_ends_the_connection(void **state)
{
    (void)state;
    static const char *const wrong[] = {"5\r\nabcde0\r\n\r\n", "x\r\n\r\n",
                                        "0\r\nContent-Length: 5\r\n\r\n", "5;\nabcde\r\n0\r\n\r\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char bytes[1024], text[4096];
        const int len =
            snprintf(bytes, sizeof bytes, "%s%s%s",
                     "POST /alone HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
                     wrong[i], BEHIND);
        for (size_t cut = 0; cut < (size_t)len; cut++) {
            const int end = exchange(bytes, (size_t)len, cut, false, text, sizeof text);
            if (end != 0 || count(text, "HTTP/1.1 ") != 1 ||
                count(text, "Connection: close\r\n") != 1 || wfi_load(&behind) > 0)
                fail_msg("\"%s\", cut at %zu: %s", bytes, cut, text);
        }
    }
}

/* On a free port, where dial(true) goes from now on. */
static void start_another(const struct wf_server_options *options, wf_handler handler)
{
    struct wf_address at;
    const struct wf_route route = {.path = "/", .handler = handler};
    assert_int_equal(wf_server_create(options, &another, NULL), 0);
    assert_int_equal(wf_server_route(another, &route, NULL), 0);
    assert_int_equal(wf_server_listen(another, "127.0.0.1:0", NULL, NULL), 0);
    assert_int_equal(wf_server_address(another, 0, &at), 0);
    assert_int_equal(wf_server_start(another, fibers, NULL), 0);
    tcp.sin_port = htons(wf_address_port(&at));
}

/* HTP-10: at every position of a request the client may fall silent: 408 and the end; before the
 * first byte, the end alone. All wait at once, so it takes the time of one. */
static void silence_is_408(void **state)
{
    (void)state;
    static const char bytes[] = POST "Content-Length: 5\r\n\r\nabcd";
    enum { COUNT = sizeof bytes };
    const struct wf_server_options options = {.head_ns = WF_MILLISECONDS(40),
                                              .body_ns = WF_MILLISECONDS(40),
                                              .idle_ns = WF_MILLISECONDS(40)};
    int fds[COUNT];
    start_another(&options, take);
    wfi_store(&bodies, 0);
    for (size_t i = 0; i < COUNT; i++) {
        fds[i] = dial(true);
        assert_true(say(fds[i], bytes, i));
    }
    for (size_t i = 0; i < COUNT; i++) {
        char text[1024];
        assert_int_equal(hear(fds[i], text, sizeof text), 0);
        if (i == 0 ? *text != '\0' : count(text, "HTTP/1.1 408 Request Timeout\r\n") != 1)
            fail_msg("silent behind %zu bytes: %s", i, text);
        close(fds[i]);
    }
    assert_int_equal(wfi_load(&bodies), 0);
    wf_server_destroy(another);
    another = NULL;
}

/* HTP-07, with the limits that a server has by itself: each is met exactly, and cut anywhere. */
static void limits_are_met_exactly(void **state)
{
    (void)state;
    enum { BYTES = 20000 };
    static char bytes[BYTES], text[BYTES];
    start_another(NULL, leave_alone);
    static const struct {
        int target_len, fields, head_len, status;
    } table[] = {
        {8000, 2, 0, 200}, {8001, 2, 0, 414},      {3, 100, 0, 200},           {3, 101, 0, 431},
        {20, 99, 0, 200},  {3, 3, 16 * 1024, 200}, {3, 3, 16 * 1024 + 1, 431}, {8001, 101, 0, 414},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char expected[32];
        int len = snprintf(bytes, BYTES, "GET /?%0*d HTTP/1.1\r\nHost: h\r\nConnection: close\r\n",
                           table[i].target_len - 2, 0);
        for (int n = 2; n < table[i].fields; n++) {
            const int left = table[i].head_len - len - 7;
            len += snprintf(bytes + len, (size_t)(BYTES - len), "X: %0*d\r\n",
                            table[i].head_len ? left : 1, 0);
        }
        len += snprintf(bytes + len, (size_t)(BYTES - len), "\r\n");
        if (table[i].head_len)
            assert_int_equal(len, table[i].head_len);
        snprintf(expected, sizeof expected, "HTTP/1.1 %d ", table[i].status);
        int fd = dial(true);
        say(fd, bytes, (size_t)len);
        const int end = hear(fd, text, sizeof text);
        if (end != 0 || strncmp(text, expected, strlen(expected)) != 0)
            fail_msg("row %zu: %d: %.200s", i, end, text);
        close(fd);
    }
    wf_server_destroy(another);
    another = NULL;
}

/* HTP-10: one who sends a byte now and then has no more time for it. */
static void a_trickle_is_408(void **state)
{
    (void)state;
    static const char start[] = POST "Content-Length: 39\r\n\r\n";
    const struct wf_server_options options = {.body_ns = WF_MILLISECONDS(100)};
    char text[1024];
    start_another(&options, take);
    wfi_store(&bodies, 0);
    int fd = dial(true);
    const struct timeval pause = {.tv_usec = 10000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof pause);
    say(fd, start, sizeof start - 1);
    ssize_t n = -1;
    for (int i = 0; n < 0 && i < 38; i++) {
        say(fd, "x", 1);
        n = recv(fd, text, sizeof text - 1, 0); /* every 10 ms, were it not for an answer */
    }
    assert_true(n > 0);
    text[n] = '\0';
    assert_int_equal(count(text, "HTTP/1.1 408 "), 1);
    assert_int_equal(hear(fd, text, sizeof text), 0);
    close(fd);
    assert_int_equal(wfi_load(&bodies), 0);
    wf_server_destroy(another);
    another = NULL;
}

static char folder[] = "/tmp/weft_strict_XXXXXX";

static int set_up(void **state)
{
    (void)state;
    const struct wf_server_options options = {.head_bytes_max = HEAD_BYTES_MAX,
                                              .body_bytes_max = BODY_BYTES_MAX};
    const struct wf_route routes[] = {{.path = "/", .handler = take},
                                      {.path = "/alone", .handler = leave_alone},
                                      {.path = "/behind", .handler = be_behind}};
    char endpoint[sizeof unix_path.sun_path];
    struct wf_address at;
    if (!mkdtemp(folder) ||
        wf_fibers_create(&(struct wf_fibers_options){.workers = 2}, &fibers, NULL) ||
        wf_server_create(&options, &server, NULL))
        return -1;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (wf_server_route(server, &routes[i], NULL))
            return -1;
    snprintf(endpoint, sizeof endpoint, "unix:%s/s", folder);
    snprintf(unix_path.sun_path, sizeof unix_path.sun_path, "%s/s", folder);
    if (wf_server_listen(server, "127.0.0.1:0", NULL, NULL) ||
        wf_server_listen(server, endpoint, NULL, NULL) || wf_server_address(server, 0, &at))
        return -1;
    tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    tcp.sin_port = htons(wf_address_port(&at));
    return wf_server_start(server, fibers, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    wf_server_destroy(another);
    wf_server_destroy(server);
    wf_executor_destroy(fibers);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_has_its_set),
        cmocka_unit_test(what_only_looks_odd_is_taken),
        cmocka_unit_test(lengths_are_strict),
        cmocka_unit_test(encodings_are_strict),
        cmocka_unit_test(line_ends_are_strict),
        cmocka_unit_test(names_are_strict),
        cmocka_unit_test(hosts_are_strict),
        cmocka_unit_test(request_lines_are_strict),
        cmocka_unit_test(statuses_are_strict),
        cmocka_unit_test(chunks_are_strict),
        cmocka_unit_test(trailers_are_strict),
        cmocka_unit_test(a_body_nobody_reads_ends_the_connection),
        cmocka_unit_test(silence_is_408),
        cmocka_unit_test(a_trickle_is_408),
        cmocka_unit_test(limits_are_met_exactly),
    };
    return cmocka_run_group_tests_name("server strict", tests, set_up, tear_down);
}
