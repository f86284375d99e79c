/* SPDX-License-Identifier: MIT */
/*
 * Requests, byte by byte. Each example is fed whole, cut in two at every position, and one byte at
 * a time; what comes out must be the same. It is compared as a text: the head in brackets, the
 * body, a full stop at the end of the message, and !STATUS for a refusal. The bytes lie in memory
 * that is just as large, so that the sanitizers see a read beyond them.
 */
#include "http/request.h"

#include "base/alloc.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct trace {
    char text[65536];
    size_t len;
};

static void WF_PRINTF(2, 3) add(struct trace *trace, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n =
        vsnprintf(trace->text + trace->len, sizeof trace->text - trace->len, format, args);
    va_end(args);
    assert_true(n >= 0 && (size_t)n < sizeof trace->text - trace->len);
    trace->len += (size_t)n;
}

static void add_text(struct trace *trace, struct wfi_text text)
{
    add(trace, "%.*s", (int)text.len, text.ptr);
}

static void add_head(struct trace *trace, const struct wfi_request_head *head)
{
    assert_int_equal(head->method_text.ptr[head->method_text.len], '\0');
    assert_int_equal(head->target.ptr[head->target.len], '\0');
    add(trace, "[%s 1.%d path=", head->method_text.ptr, head->minor);
    add_text(trace, head->path);
    if (head->query.ptr) {
        assert_int_equal(head->query.ptr[head->query.len], '\0');
        add(trace, " query=%s", head->query.ptr);
    }
    add(trace, " for=");
    add_text(trace, head->authority);
    for (size_t i = 0; i < head->field_count; i++) {
        const struct wfi_request_field *field = &head->fields[i];
        assert_int_equal(field->name.ptr[field->name.len], '\0');
        assert_int_equal(field->value.ptr[field->value.len], '\0');
        if (!wfi_text_is_nocase(field->name, "host"))
            add(trace, " %s=%s", field->name.ptr, field->value.ptr);
    }
    if (head->body_len)
        add(trace, " len=%" PRIu64, head->body_len);
    add(trace, "%s%s%s]", head->chunked ? " chunked" : "", head->expects_continue ? " expects" : "",
        head->keep_alive ? "" : " closing");
}

/* Feeds what the parser asks for of one cut. Returns false once it refuses. */
static bool feed(struct wfi_request_parser *parser, struct trace *trace, const char *bytes,
                 size_t len)
{
    char *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    if (len)
        memcpy(exact, bytes, len);
    bool going = true;
    for (size_t at = 0; going;) {
        size_t consumed = 0;
        struct wfi_text body = {NULL, 0};
        const enum wfi_request_event event =
            wfi_request_feed(parser, exact + at, len - at, &consumed, &body);
        assert_true(consumed <= len - at);
        switch (event) {
        case WFI_REQUEST_MORE:
            assert_int_equal(consumed, len - at);
            free(exact);
            return true;
        case WFI_REQUEST_HEAD:
            add_head(trace, wfi_request_head(parser));
            break;
        case WFI_REQUEST_BODY:
            assert_true(body.len > 0 && body.ptr >= exact + at &&
                        body.ptr + body.len <= exact + len);
            add_text(trace, body);
            break;
        case WFI_REQUEST_END:
            add(trace, ".");
            wfi_request_next(parser);
            break;
        case WFI_REQUEST_REFUSED:
            add(trace, "!%d", wfi_request_status(parser));
            assert_true(strlen(wfi_request_reason(parser)) > 4);
            going = false;
        }
        at += consumed;
    }
    free(exact);
    return false;
}

enum { ONE_BY_ONE = -1 };

static void run(const struct wfi_request_limits *limits, const char *bytes, size_t len, ssize_t cut,
                struct trace *trace)
{
    struct wfi_request_parser *parser;
    assert_int_equal(wfi_request_parser_create(limits, &parser, NULL), 0);
    trace->len = 0;
    trace->text[0] = '\0';
    if (cut == ONE_BY_ONE)
        for (size_t i = 0; i < len && feed(parser, trace, bytes + i, 1); i++)
            ;
    else if (feed(parser, trace, bytes, (size_t)cut))
        feed(parser, trace, bytes + cut, len - (size_t)cut);
    wfi_request_parser_destroy(parser);
}

static void check_bytes(const struct wfi_request_limits *limits, const char *bytes, size_t len,
                        const char *expected)
{
    static struct trace trace;
    for (ssize_t cut = ONE_BY_ONE; cut <= (ssize_t)len; cut++) {
        run(limits, bytes, len, cut, &trace);
        if (strcmp(trace.text, expected) != 0)
            fail_msg("cut at %zd of %zu: %.*s\ngives    %s\nexpected %s", cut, len,
                     len < 400 ? (int)len : 400, bytes, trace.text, expected);
    }
}

static void check(const char *bytes, const char *expected)
{
    check_bytes(NULL, bytes, strlen(bytes), expected);
}

static void check_with(const struct wfi_request_limits *limits, const char *bytes,
                       const char *expected)
{
    check_bytes(limits, bytes, strlen(bytes), expected);
}

#define GET "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\nHost: h\r\n"
#define GOT "[GET 1.1 path=/ for=h"
#define POSTED "[POST 1.1 path=/ for=h"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define GOT_CHUNKED POSTED " Transfer-Encoding=chunked chunked]"

static void heads_are_split_into_their_parts(void **state)
{
    (void)state;
    check(GET "Host: h\r\n\r\n", GOT "].");
    check("GET /a/b%20c?d=e&f HTTP/1.1\r\nHost: example.org:8080\r\n\r\n",
          "[GET 1.1 path=/a/b%20c query=d=e&f for=example.org:8080].");
    check(GET "Host: h\r\nAccept:  text/html , */* \t\r\nX:\r\nY: \t \r\nZ:z\r\n\r\n",
          GOT " Accept=text/html , */* X= Y= Z=z].");
    check(GET "hOST: h\r\nCookie: \xc3\xa9\x80\r\n\r\n", GOT " Cookie=\xc3\xa9\x80].");
    check("GET /? HTTP/1.1\r\nHost: h\r\n\r\n", "[GET 1.1 path=/ query= for=h].");
    check("GET /?a?b HTTP/1.1\r\nHost: h\r\n\r\n", "[GET 1.1 path=/ query=a?b for=h].");
    check("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "[OPTIONS 1.1 path=* for=h].");
    check("HEAD / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "[HEAD 1.1 path=/ for=[::1]:80].");
    check("M-SEARCH / HTTP/1.1\r\nHost: h\r\n\r\n", "[M-SEARCH 1.1 path=/ for=h].");
}

static void one_blank_line_may_come_first(void **state)
{
    (void)state;
    check("\r\n" GET "Host: h\r\n\r\n", GOT "].");
    check("\r\n\r\n" GET "Host: h\r\n\r\n", "!400");
    check("\r" GET, "!400");
    check("\n" GET, "!400");
}

static void requests_follow_one_another(void **state)
{
    (void)state;
    check(GET "Host: h\r\n\r\n" POST "Content-Length: 3\r\n\r\nabc\r\n" GET "Host: h\r\n\r\n",
          GOT "]." POSTED " Content-Length=3 len=3]abc." GOT "].");
    check(CHUNKED "3\r\nabc\r\n0\r\n\r\n" GET "Host: h\r\n\r\n", GOT_CHUNKED "abc." GOT "].");
    /* Nothing of one is left for the next. */
    check(POST "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx" GET "Host: h\r\n\r\n",
          POSTED " Expect=100-continue Content-Length=1 len=1 expects]x." GOT "].");
}

static void connections_stay_open_as_the_peer_wishes(void **state)
{
    (void)state;
    check(GET "Host: h\r\nConnection: close\r\n\r\n", GOT " Connection=close closing].");
    check(GET "Host: h\r\nConnection: foo, CLOSE\r\n\r\n", GOT " Connection=foo, CLOSE closing].");
    check(GET "Host: h\r\nConnection: keep-alive, close\r\n\r\n",
          GOT " Connection=keep-alive, close closing].");
    check("GET / HTTP/1.0\r\n\r\n", "[GET 1.0 path=/ for= closing].");
    check("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
          "[GET 1.0 path=/ for= Connection=keep-alive].");
    check("GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
          "[GET 1.0 path=/ for= Connection=keep-alive Connection=close closing].");
    check(GET "Host: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" GET "Host: h\r\n\r\n",
          GOT " Connection=upgrade Upgrade=h2c]." GOT "].");
    check(POST "Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nab" GET
               "Host: h\r\n\r\n",
          POSTED " Connection=upgrade Upgrade=x Content-Length=2 len=2]ab." GOT "].");
}

static void line_ends_are_cr_lf(void **state)
{
    (void)state;
    check("GET / HTTP/1.1\nHost: h\r\n\r\n", "!400");
    check("GET / HTTP/1.1\rHost: h\r\n\r\n", "!400");
    check("GET / HTTP/1.1\r\rHost: h\r\n\r\n", "!400");
    check(GET "Host: h\n\r\n", "!400");
    check(GET "Host: h\r\n\n", "!400");
    check(GET "Host: h\n\n", "!400");
    check(GET "Host: h\r\r\n\r\n", "!400");
    check(GET "Host: h\r\n\r\r\n", "!400");
    check(GET "Host: h\r\n\rGET / HTTP/1.1\r\n", "!400");
    check(GET "Host: h\r\nX: a\rb\r\n\r\n", "!400");
    check(GET "Host: h\r\nX: a\nb: c\r\n\r\n", "!400");
    check(GET "Host: h\r\nX:\rTransfer-Encoding: chunked\r\n\r\n", "!400");
    check(GET "Host: h\r\nX:\nTransfer-Encoding: chunked\r\n\r\n", "!400");
    check(GET "Host: h\r\nX\r\n\r\n", "!400");
    check(GET "Host: h\r\nX\r: a\r\n\r\n", "!400");
}

static void control_characters_are_refused(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        const bool plain = (c >= 0x20 && c != 0x7f) || c == '\t';
        char text[128];
        int len = snprintf(text, sizeof text, GET "Host: h\r\nX: a%cb\r\n\r\n", c);
        char expected[128];
        if (plain)
            snprintf(expected, sizeof expected, GOT " X=a%cb].", c);
        else
            strcpy(expected, "!400");
        check_bytes(NULL, text, (size_t)len, expected);

        const bool token = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                           (c >= 'A' && c <= 'Z') || (c && strchr("!#$%&'*+-.^_`|~", c));
        len = snprintf(text, sizeof text, GET "Host: h\r\nX%cY: a\r\n\r\n", c);
        if (token)
            snprintf(expected, sizeof expected, GOT " X%cY=a].", c);
        else if (c == ':')
            strcpy(expected, GOT " X=Y: a].");
        else
            strcpy(expected, "!400");
        check_bytes(NULL, text, (size_t)len, expected);

        len = snprintf(text, sizeof text, "GET /a%cb HTTP/1.1\r\nHost: h\r\n\r\n", c);
        if (c == '?')
            strcpy(expected, "[GET 1.1 path=/a query=b for=h].");
        else if (c > ' ' && c < 0x7f && c != '#')
            snprintf(expected, sizeof expected, "[GET 1.1 path=/a%cb for=h].", c);
        else
            strcpy(expected, "!400");
        check_bytes(NULL, text, (size_t)len, expected);
    }
}

static void folded_lines_are_refused(void **state)
{
    (void)state;
    check(GET "Host: h\r\nX: a\r\n b\r\n\r\n", "!400");
    check(GET "Host: h\r\nX: a\r\n\tb\r\n\r\n", "!400");
    check(GET "Host: h\r\nX:\r\n b\r\n\r\n", "!400");
    check(GET " Host: h\r\n\r\n", "!400");
    check(GET "\tHost: h\r\n\r\n", "!400");
    check(GET "Host: h\r\n \r\n\r\n", "!400");
    check(GET "Host: h\r\nX: a\r\n Content-Length: 5\r\n\r\n", "!400");
}

static void nothing_stands_before_the_colon(void **state)
{
    (void)state;
    check(GET "Host : h\r\n\r\n", "!400");
    check(GET "Host\t: h\r\n\r\n", "!400");
    check(POST "Content-Length : 5\r\n\r\nabcde", "!400");
    check(POST "Transfer-Encoding : chunked\r\n\r\n", "!400");
    check(GET "Host: h\r\n: x\r\n\r\n", "!400");
    check(GET "Host: h\r\nX Y: x\r\n\r\n", "!400");
}

static void a_length_is_one_number(void **state)
{
    (void)state;
    check(POST "Content-Length: 0\r\n\r\n", POSTED " Content-Length=0].");
    check(POST "Content-Length: 0005\r\n\r\nabcde", POSTED " Content-Length=0005 len=5]abcde.");
    check(POST "Content-Length: 5 \r\n\r\nabcde", POSTED " Content-Length=5 len=5]abcde.");
    check(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", "!400");
    check(POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", "!400");
    check(POST "Content-Length: 0\r\ncontent-length: 0\r\n\r\n", "!400");
    check(POST "Content-Length: 5, 5\r\n\r\nabcde", "!400");
    check(POST "Content-Length: 5,6\r\n\r\nabcde", "!400");
    check(POST "Content-Length: 5 5\r\n\r\nabcde", "!400");
    check(POST "Content-Length: +5\r\n\r\nabcde", "!400");
    check(POST "Content-Length: -5\r\n\r\nabcde", "!400");
    check(POST "Content-Length: 5x\r\n\r\nabcde", "!400");
    check(POST "Content-Length: 0x5\r\n\r\nabcde", "!400");
    check(POST "Content-Length: 5.0\r\n\r\nabcde", "!400");
    check(POST "Content-Length: \"5\"\r\n\r\nabcde", "!400");
    check(POST "Content-Length: 5;a\r\n\r\nabcde", "!400");
    check(POST "Content-Length:\r\n\r\n", "!400");
    check(POST "Content-Length: \t\r\n\r\n", "!400");
    check(POST "Content-Length: 18446744073709551616\r\n\r\n", "!400");
    check(POST "Content-Length: 99999999999999999999999\r\n\r\n", "!400");
}

static void a_length_stands_alone(void **state)
{
    (void)state;
    check(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!400");
    check(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "!400");
    check(POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", "!400");
}

static void the_only_encoding_is_chunked(void **state)
{
    (void)state;
    check(POST "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
          POSTED " Transfer-Encoding=CHUNKED chunked].");
    static const char *const others[] = {
        "gzip",          "identity", "gzip, chunked", "chunked, chunked",
        "chunked, gzip", "xchunked", "chunkedx",      "chunked;a=b",
        "\"chunked\"",   "chunked,", ",chunked",      "",
        "chunked x",     "chunk",    "\013chunked",   "chunked\x0c",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char text[256];
        snprintf(text, sizeof text, POST "Transfer-Encoding: %s\r\n\r\n0\r\n\r\n", others[i]);
        check(text, "!400");
    }
    check(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!400");
    check(POST "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
          "!400");
    check("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!400");
}

static void there_is_one_host(void **state)
{
    (void)state;
    check(GET "\r\n", "!400");
    check(GET "X: y\r\n\r\n", "!400");
    check(GET "Host: h\r\nHost: h\r\n\r\n", "!400");
    check(GET "Host: h\r\nhost: i\r\n\r\n", "!400");
    check("GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n", "!400");
    check("GET / HTTP/1.0\r\nHost: h\r\n\r\n", "[GET 1.0 path=/ for=h closing].");
    static const char *const wrong[] = {
        "",        " ",          "a b",  "a,b",      "u@h", "h:",     "h:80:1", "h:x",
        "h:65536", "h/x",        "[::1", "[]",       "::1", "[::1]x", "h?",     "h#",
        "a\\b",    "[g::1]x:80", ":80",  "\xc3\xa9", "<h>", "h:-1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[256];
        snprintf(text, sizeof text, GET "Host: %s\r\n\r\n", wrong[i]);
        if (strcmp(wrong[i], "a,b") == 0 || strcmp(wrong[i], "h:") == 0)
            continue; /* a registered name may hold a comma, and a port may be empty */
        check(text, "!400");
    }
}

static void an_absolute_target_agrees_with_host(void **state)
{
    (void)state;
    check("GET http://h/a?b HTTP/1.1\r\nHost: h\r\n\r\n", "[GET 1.1 path=/a query=b for=h].");
    check("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", "[GET 1.1 path=/ for=h].");
    check("GET http://h?b HTTP/1.1\r\nHost: h\r\n\r\n", "[GET 1.1 path=/ query=b for=h].");
    check("GET HTTP://EX.org:80/ HTTP/1.1\r\nHost: ex.ORG\r\n\r\n",
          "[GET 1.1 path=/ for=EX.org:80].");
    check("GET https://h:443/ HTTP/1.1\r\nHost: h\r\n\r\n", "[GET 1.1 path=/ for=h:443].");
    check("GET http://h:81/ HTTP/1.1\r\nHost: h:81\r\n\r\n", "[GET 1.1 path=/ for=h:81].");
    check("GET http://h/ HTTP/1.0\r\n\r\n", "[GET 1.0 path=/ for=h closing].");
    check("GET http://i/ HTTP/1.1\r\nHost: h\r\n\r\n", "!400");
    check("GET http://h:81/ HTTP/1.1\r\nHost: h\r\n\r\n", "!400");
    check("GET http://h/ HTTP/1.1\r\nHost: h:81\r\n\r\n", "!400");
    check("GET https://h/ HTTP/1.1\r\nHost: h:80\r\n\r\n", "!400");
    check("GET http://h/ HTTP/1.1\r\n\r\n", "!400");
    check("GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n", "!400");
    check("GET http://u:p@h/ HTTP/1.1\r\nHost: h\r\n\r\n", "!400");
    check("GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n", "!400");
    check("GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "!400");
    check("GET h HTTP/1.1\r\nHost: h\r\n\r\n", "!400");
    check("GET * HTTP/1.1\r\nHost: h\r\n\r\n", "!400");
    check("OPTIONS *a HTTP/1.1\r\nHost: h\r\n\r\n", "!400");
    check("GET h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", "!400");
}

static void request_lines_have_one_form(void **state)
{
    (void)state;
    check("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "!400");
    check("GET /  HTTP/1.1\r\nHost: h\r\n\r\n", "!400");
    check("GET / HTTP/1.1 \r\nHost: h\r\n\r\n", "!400");
    check(" GET / HTTP/1.1\r\nHost: h\r\n\r\n", "!400");
    check("GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", "!400");
    check("GET /\tHTTP/1.1\r\nHost: h\r\n\r\n", "!400");
    check("GET / a HTTP/1.1\r\nHost: h\r\n\r\n", "!400");
    check("GET /\r\n\r\n", "!400");
    check("GET / \r\n\r\n", "!400");
    check("GET\r\n\r\n", "!400");
    check("GET HTTP/1.1\r\nHost: h\r\n\r\n", "!400");
    check("GET / http/1.1\r\nHost: h\r\n\r\n", "!400");
    check("GET / RTSP/1.0\r\n\r\n", "!400");
    check("GET / HTTP/11\r\n\r\n", "!400");
    check("GET / HTTP/1.10\r\n\r\n", "!400");
    check("GET / HTTP/1\r\n\r\n", "!400");
    check("GET / HTTP/x.1\r\n\r\n", "!400");
    check("GET / HTTP/1.x\r\n\r\n", "!400");
    check("GET / HTTPS/1.1\r\n\r\n", "!400");
    check("GET/ HTTP/1.1\r\n\r\n", "!400");
    check("\x16\x03\x01\x02", "!400"); /* TLS where none is spoken */
    check("{\"a\": 1}", "!400");
}

static void other_versions_are_505(void **state)
{
    (void)state;
    check("GET / HTTP/2.0\r\nHost: h\r\n\r\n", "!505");
    check("GET / HTTP/0.9\r\nHost: h\r\n\r\n", "!505");
    check("GET / HTTP/1.2\r\nHost: h\r\n\r\n", "!505");
    check("GET / HTTP/3.0\r\nHost: h\r\n\r\n", "!505");
    check("GET / HTTP/9.9\r\nHost: h\r\n\r\n", "!505");
    check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "!505");
}

static void unknown_methods_are_501(void **state)
{
    (void)state;
    check("FOO / HTTP/1.1\r\nHost: h\r\n\r\n", "!501");
    check("GETX / HTTP/1.1\r\nHost: h\r\n\r\n", "!501");
    check("GE / HTTP/1.1\r\nHost: h\r\n\r\n", "!501");
    check("get / HTTP/1.1\r\nHost: h\r\n\r\n", "!501");
    check("CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", "!501");
    check("DESCRIBE / HTTP/1.1\r\nHost: h\r\n\r\n", "!501");
    check("SOURCE / HTTP/1.1\r\nHost: h\r\n\r\n", "[SOURCE 1.1 path=/ for=h].");
    check("DESCRIBE / RTSP/1.0\r\nHost: h\r\n\r\n", "!400");
    check("SOURCE / ICE/1.0\r\nHost: h\r\n\r\n", "!400");
}

static void expectations_other_than_continue_are_417(void **state)
{
    (void)state;
    check(POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
          POSTED " Expect=100-Continue Content-Length=1 len=1 expects]x.");
    check(POST "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
          POSTED " Expect=100-continue Transfer-Encoding=chunked chunked expects].");
    check(GET "Host: h\r\nExpect: 100-continue\r\n\r\n", GOT " Expect=100-continue].");
    check(GET "Host: h\r\nExpect: tea\r\n\r\n", "!417");
    check("POST / HTTP/1.0\r\nExpect: tea\r\nContent-Length: 1\r\n\r\nx",
          "[POST 1.0 path=/ for= Expect=tea Content-Length=1 len=1 closing]x.");
}

static void chunks_become_the_body(void **state)
{
    (void)state;
    check(CHUNKED "0\r\n\r\n", GOT_CHUNKED ".");
    check(CHUNKED "1\r\na\r\n2\r\nbc\r\nA\r\n0123456789\r\n00\r\n\r\n",
          GOT_CHUNKED "abc0123456789.");
    check(CHUNKED "3;ext\r\nabc\r\n0;a=b\r\n\r\n", GOT_CHUNKED "abc.");
    check(CHUNKED "1;a;b=\"c d\"\r\na\r\n0\r\n\r\n", GOT_CHUNKED "a.");
    check(CHUNKED "2\r\n\r\n\r\n0\r\n\r\n", GOT_CHUNKED "\r\n.");
    check(CHUNKED "1\r\na\r\n0\r\nX: y\r\nZ:\r\n\r\n" GET "Host: h\r\n\r\n",
          GOT_CHUNKED "a." GOT "].");
}

static void chunks_are_read_strictly(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"\r\n", "!400"},
        {"g\r\n", "!400"},
        {"-1\r\n", "!400"},
        {"+1\r\na", "!400"},
        {"0x1\r\na", "!400"},
        {" 1\r\na", "!400"},
        {"1 \r\na", "!400"},
        {"1\na\r\n", "!400"},
        {"1\ra\r\n", "!400"},
        {"1\r\na\n0\r\n\r\n", "a!400"},
        {"1\r\na0\r\n\r\n", "a!400"},
        {"1\r\nab\r\n", "a!400"},
        {"1\r\na\r0\r\n", "a!400"},
        {"10000000000000000\r\n", "!400"},
        {"fffffffffffffffff\r\n", "!400"},
        {"1;a\nb\r\na\r\n", "!400"},
        {"1;a\rb\r\na\r\n", "!400"},
        {"1; \r\na\r\n", "!400"},
        {"1;a=\"\x01\"\r\na\r\n", "!400"},
        {"0\r\n\n", "!400"},
        {"0\r\n\r\r", "!400"},
        {"0\r\nX: y\n\r\n", "!400"},
        {"0\r\nX: y\r\n z\r\n\r\n", "!400"},
        {"0\r\n X: y\r\n\r\n", "!400"},
        {"0\r\nX : y\r\n\r\n", "!400"},
        {"0\r\nX: a\x01\r\n\r\n", "!400"},
        {"0\r\nContent-Length: 5\r\n\r\n", "!400"},
        {"0\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n", "!400"},
        {"0\r\n: h\r\n\r\n", "!400"},
        {"0\r\nHost: h\r\n\r\n", "!400"},
        {"0\r\ncONNECTION: close\r\n\r\n", "!400"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[512], expected[512];
        snprintf(text, sizeof text, CHUNKED "%s", wrong[i][0]);
        snprintf(expected, sizeof expected, GOT_CHUNKED "%s", wrong[i][1]);
        check(text, expected);
    }
    static const char nul[] = CHUNKED "1\0\r\na";
    check_bytes(NULL, nul, sizeof nul - 1, GOT_CHUNKED "!400");
}

static void limits_have_statuses_of_their_own(void **state)
{
    (void)state;
    const struct wfi_request_limits small = {
        .head_bytes_max = 64, .target_bytes_max = 10, .field_count_max = 2, .body_bytes_max = 4};
    check_with(&small, "GET /234567890 HTTP/1.1\r\nHost: h\r\n\r\n",
               "[GET 1.1 path=/234567890 for=h].");
    check_with(&small, "GET /234567890a HTTP/1.1\r\nHost: h\r\n\r\n", "!414");
    check_with(&small, "GET /234567890a\x80 HTTP/1.1\r\nHost: h\r\n\r\n", "!414");
    check_with(&small, "GET /23456789\x80 HTTP/1.1\r\nHost: h\r\n\r\n", "!400");
    check_with(&small, "GET /234567890a\n HTTP/1.1\r\nHost: h\r\n\r\n", "!414");
    const struct wfi_request_limits line = {.head_bytes_max = 16};
    check_with(&line, "GET /23456789012 HTTP/1.1\r\n", "!414");
    check_with(&line, GET "Host: h\r\n\r\n", "!431");

    check_with(&small, GET "Host: h\r\nA: b\r\n\r\n", GOT " A=b].");
    check_with(&small, GET "Host: h\r\nA: b\r\nC: d\r\n\r\n", "!431");
    check_with(&small, GET "Host: h\r\nA: b\r\n@: d\r\n\r\n", "!431");

    char text[128];
    for (int len = 60; len < 70; len++) { /* heads just below, at and above 64 bytes */
        snprintf(text, sizeof text, GET "Host: h\r\nX: %0*d\r\n\r\n", len - 32, 0);
        assert_int_equal(strlen(text), len);
        char expected[128];
        snprintf(expected, sizeof expected, GOT " X=%0*d].", len - 32, 0);
        check_bytes(&small, text, (size_t)len, len <= 64 ? expected : "!431");
    }

    check_with(&small, POST "Content-Length: 4\r\n\r\nabcd",
               POSTED " Content-Length=4 len=4]abcd.");
    check_with(&small, POST "Content-Length: 5\r\n\r\nabcde",
               POSTED " Content-Length=5 len=5]!413");
    check_with(&small, CHUNKED "4\r\nabcd\r\n0\r\n\r\n", GOT_CHUNKED "abcd.");
    check_with(&small, CHUNKED "0\r\nA: b\r\nC: d\r\n\r\n", GOT_CHUNKED ".");
    check_with(&small, CHUNKED "0\r\nA: b\r\nC: d\r\nE: f\r\n\r\n", GOT_CHUNKED "!431");
    memset(text, 'x', sizeof text);
    static const char start[] = CHUNKED "0\r\nX: ";
    char trailers[256];
    memcpy(trailers, start, sizeof start - 1);
    memset(trailers + sizeof start - 1, 'x', 64);
    check_bytes(&small, trailers, sizeof start - 1 + 64, GOT_CHUNKED "!431");
}

/* Where a body exceeds the limit depends on its cuts: what came before may have been handed out. */
static void chunks_above_the_limit_are_413(void **state)
{
    (void)state;
    const struct wfi_request_limits small = {.body_bytes_max = 4};
    static const char bytes[] = CHUNKED "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n";
    static struct trace trace;
    for (ssize_t cut = ONE_BY_ONE; cut < (ssize_t)sizeof bytes; cut++) {
        run(&small, bytes, sizeof bytes - 1, cut, &trace);
        assert_memory_equal(trace.text, GOT_CHUNKED "ab", sizeof GOT_CHUNKED "ab" - 1);
        assert_string_equal(trace.text + trace.len - 4, "!413");
    }
}

static void endless_framing_is_413(void **state)
{
    (void)state;
    const struct wfi_request_limits small = {.head_bytes_max = 128};
    static const char start[] = CHUNKED "1;";
    struct wfi_request_parser *parser;
    static struct trace trace;
    for (int kind = 0; kind < 2; kind++) {
        assert_int_equal(wfi_request_parser_create(&small, &parser, NULL), 0);
        trace.len = 0;
        size_t fed = 0;
        assert_true(feed(parser, &trace, start, sizeof start - 1 - (kind == 1 ? 2 : 0)));
        while (feed(parser, &trace, kind == 1 ? "0" : "x", 1))
            assert_true(++fed <= 128 * 16);
        assert_string_equal(trace.text, GOT_CHUNKED "!413");
        wfi_request_parser_destroy(parser);
    }
}

static void the_limit_on_the_body_is_for_one_request(void **state)
{
    (void)state;
    static const char bytes[] = POST "Content-Length: 5\r\n\r\nabcde";
    const struct wfi_request_limits small = {.body_bytes_max = 4};
    struct wfi_request_parser *parser;
    assert_int_equal(wfi_request_parser_create(&small, &parser, NULL), 0);
    for (int i = 0; i < 2; i++) {
        size_t consumed;
        struct wfi_text body;
        assert_int_equal(wfi_request_feed(parser, bytes, sizeof bytes - 1, &consumed, &body),
                         WFI_REQUEST_HEAD);
        assert_int_equal(consumed, sizeof bytes - 1 - 5);
        if (i == 0) {
            assert_false(wfi_request_limit_body(parser, 3));
            assert_true(wfi_request_limit_body(parser, 5));
            assert_int_equal(wfi_request_feed(parser, "abcdeGET", 8, &consumed, &body),
                             WFI_REQUEST_BODY);
            assert_int_equal(consumed, 5);
            assert_int_equal(wfi_request_feed(parser, "", 0, &consumed, &body), WFI_REQUEST_END);
            wfi_request_next(parser);
        } else {
            assert_int_equal(wfi_request_feed(parser, "", 0, &consumed, &body),
                             WFI_REQUEST_REFUSED);
            assert_int_equal(wfi_request_status(parser), 413);
        }
    }
    wfi_request_parser_destroy(parser);
}

static void time_is_up(void **state)
{
    (void)state;
    static const char bytes[] = "\r\n" POST "Content-Length: 2\r\n\r\nab";
    for (size_t len = 0; len < sizeof bytes - 1; len++) {
        struct wfi_request_parser *parser;
        static struct trace trace;
        trace.len = 0;
        assert_int_equal(wfi_request_parser_create(NULL, &parser, NULL), 0);
        assert_true(feed(parser, &trace, bytes, len));
        assert_int_equal(wfi_request_is_idle(parser), len <= 2);
        assert_int_equal(wfi_request_time_out(parser), len <= 2 ? 0 : 408);
        size_t consumed;
        struct wfi_text body;
        assert_int_equal(wfi_request_feed(parser, "x", 1, &consumed, &body), WFI_REQUEST_REFUSED);
        wfi_request_reset(parser); /* for another connection, which knows nothing of it */
        assert_int_equal(wfi_request_status(parser), 0);
        wfi_request_parser_destroy(parser);
    }
}

static void fields_are_found_by_name(void **state)
{
    (void)state;
    static const char bytes[] = GET "Host: h\r\nAccept: a\r\naccept: b\r\nEmpty:\r\n\r\n";
    struct wfi_request_parser *parser;
    size_t consumed;
    struct wfi_text body;
    assert_int_equal(wfi_request_parser_create(NULL, &parser, NULL), 0);
    assert_int_equal(wfi_request_feed(parser, bytes, sizeof bytes - 1, &consumed, &body),
                     WFI_REQUEST_HEAD);
    const struct wfi_request_head *head = wfi_request_head(parser);
    assert_int_equal(head->method, WFI_METHOD_GET);
    assert_string_equal(wfi_request_field(head, "ACCEPT")->ptr, "a");
    assert_string_equal(wfi_request_field(head, "empty")->ptr, "");
    assert_null(wfi_request_field(head, "Accep"));
    wfi_request_parser_destroy(parser);
}

/* A long head moves while it grows, at every place; and its memory serves the next ones. */
static void memory_is_kept_between_requests(void **state)
{
    (void)state;
    static char bytes[16384], expected[16384];
    size_t len = (size_t)snprintf(bytes, sizeof bytes, GET "Host: h\r\n");
    size_t expected_len = (size_t)snprintf(expected, sizeof expected, GOT);
    for (int i = 0; i < 80; i++) {
        len += (size_t)snprintf(bytes + len, sizeof bytes - len, "Field-%d: %0*d\r\n", i, i, 7);
        expected_len += (size_t)snprintf(expected + expected_len, sizeof expected - expected_len,
                                         " Field-%d=%0*d", i, i, 7);
    }
    len += (size_t)snprintf(bytes + len, sizeof bytes - len, "\r\n");
    snprintf(expected + expected_len, sizeof expected - expected_len, "].");
    check(bytes, expected);

    struct wfi_request_parser *parser;
    static struct trace trace;
    assert_int_equal(wfi_request_parser_create(NULL, &parser, NULL), 0);
    assert_true(feed(parser, &trace, bytes, len));
    wfi_alloc_watch(1);
    for (int i = 0; i < 3; i++) {
        trace.len = 0;
        assert_true(feed(parser, &trace, bytes, len));
        assert_string_equal(trace.text, expected);
    }
    assert_false(wfi_alloc_unwatch());
    assert_true(wfi_request_is_fresh(parser));
    /* Another connection takes it over, in the midst of a request. */
    assert_true(feed(parser, &trace, "\r\n", 2));
    assert_false(wfi_request_is_fresh(parser));
    assert_true(feed(parser, &trace, "GET /half", 9));
    wfi_request_reset(parser);
    assert_true(wfi_request_is_fresh(parser));
    trace.len = 0;
    assert_true(feed(parser, &trace, bytes, len));
    assert_string_equal(trace.text, expected);
    wfi_request_set_limits(parser, &(struct wfi_request_limits){.head_bytes_max = len - 1});
    trace.len = 0;
    assert_false(feed(parser, &trace, bytes, len));
    assert_int_equal(wfi_request_status(parser), 431);
    wfi_request_reset(parser);
    wfi_request_set_limits(parser, &(struct wfi_request_limits){0});
    trace.len = 0;
    assert_true(feed(parser, &trace, bytes, len));
    assert_string_equal(trace.text, expected);
    wfi_request_parser_destroy(parser);
}

static void no_memory_is_503(void **state)
{
    (void)state;
    static char bytes[4096];
    size_t len = (size_t)snprintf(bytes, sizeof bytes, GET "Host: h\r\n");
    for (int i = 0; i < 60; i++)
        len += (size_t)snprintf(bytes + len, sizeof bytes - len, "Field-%d: %d\r\n", i, i);
    len += (size_t)snprintf(bytes + len, sizeof bytes - len, "\r\n");
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct wfi_request_parser *parser = NULL;
        static struct trace trace;
        trace.len = 0;
        wfi_alloc_watch(n);
        const int err = wfi_request_parser_create(NULL, &parser, NULL);
        assert_true(err == 0 || err == -ENOMEM);
        if (err == 0)
            for (size_t i = 0; i < len && feed(parser, &trace, bytes + i, 1); i++)
                ;
        wfi_request_parser_destroy(parser);
        const int64_t live = wfi_alloc_live();
        failed = wfi_alloc_unwatch();
        assert_int_equal(live, 0);
        if (err == 0)
            assert_string_equal(trace.text + trace.len - (failed ? 4 : 2), failed ? "!503" : "].");
        assert_true(n < 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_split_into_their_parts),
        cmocka_unit_test(one_blank_line_may_come_first),
        cmocka_unit_test(requests_follow_one_another),
        cmocka_unit_test(connections_stay_open_as_the_peer_wishes),
        cmocka_unit_test(line_ends_are_cr_lf),
        cmocka_unit_test(control_characters_are_refused),
        cmocka_unit_test(folded_lines_are_refused),
        cmocka_unit_test(nothing_stands_before_the_colon),
        cmocka_unit_test(a_length_is_one_number),
        cmocka_unit_test(a_length_stands_alone),
        cmocka_unit_test(the_only_encoding_is_chunked),
        cmocka_unit_test(there_is_one_host),
        cmocka_unit_test(an_absolute_target_agrees_with_host),
        cmocka_unit_test(request_lines_have_one_form),
        cmocka_unit_test(other_versions_are_505),
        cmocka_unit_test(unknown_methods_are_501),
        cmocka_unit_test(expectations_other_than_continue_are_417),
        cmocka_unit_test(chunks_become_the_body),
        cmocka_unit_test(chunks_are_read_strictly),
        cmocka_unit_test(limits_have_statuses_of_their_own),
        cmocka_unit_test(chunks_above_the_limit_are_413),
        cmocka_unit_test(endless_framing_is_413),
        cmocka_unit_test(the_limit_on_the_body_is_for_one_request),
        cmocka_unit_test(time_is_up),
        cmocka_unit_test(fields_are_found_by_name),
        cmocka_unit_test(memory_is_kept_between_requests),
        cmocka_unit_test(no_memory_is_503),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
