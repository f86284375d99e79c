/* SPDX-License-Identifier: MIT */
/*
 * Files, folders and compressed answers of a server on loopback: the test's thread is the client,
 * which takes the chunks apart and has zlib read what is in them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include <weft/event.h>
#include <weft/fibers.h>
#include <weft/server.h>
#include <weft/threads.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/random.h"
#include "http/gzip.h"

enum { BIG_BYTES = 1000000, INFLATED_MAX = 8000000 };

static struct wf_executor *fibers, *threads;
static char folder[64];
static char big[BIG_BYTES + 1];

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

/* ---- a client ---- */

/* An answer taken apart. */
struct answer {
    char head[4096];
    struct wfi_buffer body; /* without chunks, as it came */
    struct wfi_buffer text; /* the same, read by zlib if it says that it is gzip */
};

static struct answer answer;

static struct wf_stream *dial(struct wf_server *server)
{
    struct wf_address at;
    struct wf_stream *stream;
    assert_int_equal(wf_server_address(server, 0, &at), 0);
    assert_int_equal(wf_dial_address(&at, NULL, &stream, soon(), NULL), 0);
    return stream;
}

static bool head_has(const char *line)
{
    return strstr(answer.head, line) != NULL;
}

/* Whether the chunks were whole. */
static bool join_chunks(const struct wfi_buffer *all, size_t at)
{
    for (;;) {
        char *end;
        unsigned long len = strtoul(all->data + at, &end, 16);
        if (end == all->data + at || memcmp(end, "\r\n", 2) != 0)
            return false;
        at = (size_t)(end + 2 - all->data);
        if (len == 0)
            return at + 2 == all->len;
        if (at + len + 2 > all->len)
            return false;
        assert_int_equal(wfi_buffer_append(&answer.body, all->data + at, len), 0);
        at += len + 2;
    }
}

/* Returns whether it came to its end. */
static bool read_gzip(const struct wfi_buffer *packed, struct wfi_buffer *text)
{
    z_stream stream = {.next_in = (Bytef *)packed->data, .avail_in = (uInt)packed->len};
    int code = Z_OK;
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
    while (code == Z_OK && text->len < INFLATED_MAX) {
        assert_int_equal(wfi_buffer_reserve(text, 65536), 0);
        stream.next_out = (Bytef *)text->data + text->len;
        stream.avail_out = 65536;
        code = inflate(&stream, Z_SYNC_FLUSH);
        text->len += 65536 - stream.avail_out;
    }
    inflateEnd(&stream);
    return code == Z_STREAM_END && stream.avail_in == 0;
}

/* Reads an answer that the end of the connection ends, and takes it apart. */
static void hear(struct wf_stream *stream)
{
    struct wfi_buffer all = {0};
    ssize_t n = 1;
    wfi_buffer_clear(&answer.body);
    wfi_buffer_clear(&answer.text);
    while (n > 0) {
        assert_int_equal(wfi_buffer_reserve(&all, 65536), 0);
        n = wf_stream_read(stream, all.data + all.len, 65536, soon());
        assert_true(n >= 0);
        all.len += (size_t)n;
    }
    wf_stream_close(stream);
    const char *text = wfi_buffer_text(&all), *end = strstr(text, "\r\n\r\n");
    assert_non_null(end);
    size_t len = (size_t)(end + 4 - text);
    assert_true(len < sizeof answer.head);
    memcpy(answer.head, text, len);
    answer.head[len] = '\0';
    if (all.len == len)
        ; /* to HEAD, or 304 */
    else if (head_has("Transfer-Encoding: chunked\r\n"))
        assert_true(join_chunks(&all, len));
    else
        assert_int_equal(wfi_buffer_append(&answer.body, all.data + len, all.len - len), 0);
    if (head_has("Content-Encoding: gzip\r\n") && answer.body.len)
        assert_true(read_gzip(&answer.body, &answer.text));
    else
        assert_int_equal(wfi_buffer_append(&answer.text, answer.body.data, answer.body.len), 0);
    wfi_buffer_reset(&all);
}

/* `line` is a request line without its version; `fields` end with CR LF each. */
static void ask(struct wf_server *server, const char *line, const char *fields)
{
    char request[1000];
    struct wf_stream *stream = dial(server);
    snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%s\r\n", line,
             fields);
    assert_int_equal(wf_stream_write(stream, request, strlen(request), soon()), 0);
    hear(stream);
}

#define GZIP "Accept-Encoding: gzip\r\n"

static void expect(const char *part)
{
    if (!head_has(part))
        fail_msg("expected \"%s\" in \"%s\"", part, answer.head);
}

static void expect_no(const char *part)
{
    if (head_has(part))
        fail_msg("expected no \"%s\" in \"%s\"", part, answer.head);
}

static void expect_text(const void *text, size_t len)
{
    assert_int_equal(answer.text.len, len);
    if (len)
        assert_memory_equal(answer.text.data, text, len);
}

static void expect_in_text(const char *part)
{
    const char *text = wfi_buffer_text(&answer.text);
    if (!strstr(text, part))
        fail_msg("expected \"%s\" in \"%s\"", part, text);
}

/* ---- servers ---- */

static struct wf_server
    *started; /* ended behind a test that fails, too, or its fibers would stay */

static void stop(void)
{
    wf_server_destroy(started);
    started = NULL;
}

static int stop_behind(void **state)
{
    (void)state;
    stop();
    return 0;
}

static struct wf_server *start(const struct wf_server_options *options,
                               const struct wf_route *routes, size_t count)
{
    struct wf_server *server = NULL;
    struct wf_error error = {0};
    int err = wf_server_create(options, &server, &error);
    for (size_t i = 0; i < count && !err; i++)
        err = wf_server_route(server, &routes[i], &error);
    if (!err)
        err = wf_server_listen(server, "127.0.0.1:0", NULL, &error);
    if (!err)
        err = wf_server_start(server, fibers, &error);
    if (err)
        fail_msg("%s", error.text);
    return started = server;
}

static const char *in_folder(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const void *data, size_t len)
{
    FILE *file = fopen(in_folder(name), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/* ---- compressed answers ---- */

/* What is asked for in the path: how much, of what type, in which way. */
static int text_of(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)arg;
    int64_t len = 0;
    char type[64] = "text/plain", field[64] = "";
    (void)wf_request_param_int(request, "len", &len);
    (void)wf_request_query(request, "type", type, sizeof type);
    (void)wf_request_query(request, "cache", field, sizeof field);
    int err = field[0] ? wf_response_header(response, "Cache-Control", field) : 0;
    if (!err && strcmp(wf_request_param(request, "how"), "whole") == 0)
        return wf_response_send(response, 200, type, big, (size_t)len);
    if (!err)
        err = wf_response_begin(response, 200, type, -1);
    for (int64_t at = 0; at < len && !err; at += 1000)
        err = wf_response_write(response, big + at, len - at < 1000 ? (size_t)(len - at) : 1000);
    return err;
}

static const struct wf_route text_routes[] = {
    {.path = "/{how}/{len:int}", .handler = text_of},
    {.path = "/plain/{how}/{len:int}", .handler = text_of, .no_gzip = true},
};

static void text_is_compressed_for_those_who_take_it(void **state)
{
    (void)state;
    struct wf_route on_threads = {.path = "/t/{how}/{len:int}", .handler = text_of, .on = threads};
    struct wf_route routes[] = {text_routes[0], text_routes[1], on_threads};
    struct wf_server *server = start(NULL, routes, 3);
    const char *lines[] = {"GET /whole/1024", "GET /whole/1000000",   "GET /pieces/1000000",
                           "GET /pieces/10",  "GET /t/whole/1000000", "GET /t/pieces/300000",
                           "GET /pieces/0"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        size_t len = (size_t)atol(strrchr(lines[i], '/') + 1);
        ask(server, lines[i], GZIP);
        expect("Content-Encoding: gzip\r\n");
        expect("Vary: Accept-Encoding\r\n");
        expect_no("Content-Length");
        expect_text(big, len);
        if (len > 1000)
            assert_true(answer.body.len < len);
        ask(server, lines[i], "");
        expect("Vary: Accept-Encoding\r\n");
        expect_no("Content-Encoding");
        expect_text(big, len);
    }
    stop();
}

static void what_is_not_worth_it_is_sent_as_it_is(void **state)
{
    (void)state;
    struct wf_server *server = start(NULL, text_routes, 2);
    const char *lines[] = {"GET /whole/1023",
                           "GET /whole/50000?type=image/png",
                           "GET /whole/50000?cache=max-age=1,no-transform",
                           "GET /plain/whole/50000",
                           "GET /plain/pieces/50000",
                           "GET /nowhere"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        ask(server, lines[i], GZIP);
        expect_no("Content-Encoding");
        expect_no("Vary");
    }
    stop();
    server = start(&(struct wf_server_options){.no_gzip = true}, text_routes, 2);
    ask(server, "GET /whole/50000", GZIP);
    expect_no("Content-Encoding");
    expect_no("Vary");
    expect("Content-Length: 50000\r\n");
    expect_text(big, 50000);
    stop();
}

/* The lines of a head that depend on what is answered. */
static void keep_lines(char *lines, size_t bytes)
{
    lines[0] = '\0';
    for (const char *at = answer.head; *at; at = strstr(at, "\r\n") + 2)
        if (strncmp(at, "Date", 4) != 0)
            snprintf(lines + strlen(lines), bytes - strlen(lines), "%.*s",
                     (int)(strstr(at, "\r\n") + 2 - at), at);
}

static void head_has_the_head_of_get(void **state)
{
    (void)state;
    const struct wf_folder packed = {.path = folder, .packed = true};
    const struct wf_route routes[] = {
        text_routes[0],
        {.path = "/f/{path:path}", .handler = wf_serve_folder, .arg = folder},
        {.path = "/p/{path:path}", .handler = wf_serve_folder_with, .arg = (void *)&packed}};
    struct wf_server *server = start(NULL, routes, 3);
    const char *paths[] = {"/whole/5000", "/pieces/5000", "/f/page.html", "/p/page.html"};
    for (size_t i = 0; i < 2 * sizeof paths / sizeof *paths; i++) {
        char line[64], of_get[2000], of_head[2000];
        snprintf(line, sizeof line, "GET %s", paths[i / 2]);
        ask(server, line, i % 2 ? GZIP : "");
        keep_lines(of_get, sizeof of_get);
        snprintf(line, sizeof line, "HEAD %s", paths[i / 2]);
        ask(server, line, i % 2 ? GZIP : "");
        keep_lines(of_head, sizeof of_head);
        assert_string_equal(of_get, of_head);
        assert_int_equal(answer.body.len, 0);
    }
    stop();
}

static void an_older_client_reads_to_the_end(void **state)
{
    (void)state;
    struct wf_server *server = start(NULL, text_routes, 1);
    struct wf_stream *stream = dial(server);
    const char *request = "GET /whole/100000 HTTP/1.0\r\nConnection: keep-alive\r\n" GZIP "\r\n";
    assert_int_equal(wf_stream_write(stream, request, strlen(request), soon()), 0);
    hear(stream);
    expect("Content-Encoding: gzip\r\n");
    expect("Connection: close\r\n");
    expect_no("chunked");
    expect_text(big, 100000);
    stop();
}

static int own_fields(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request, (void)arg;
    int err = wf_response_header(response, "Vary", "Cookie, accept-encoding");
    if (!err)
        err = wf_response_header(response, "ETag", "\"mine\"");
    for (int i = 2; i < 24 && !err; i++) /* all there may be */
        err = wf_response_header(response, "X-Field", "x");
    if (!err && wf_response_header(response, "X-Field", "x") != -E2BIG)
        err = -EIO;
    /* What failed has left nothing behind. */
    if (!err && wf_response_begin(response, 200, "text/plain;\n", 2000) != -EINVAL)
        err = -EIO;
    return err ? err : wf_response_send(response, 200, "text/plain", big, 2000);
}

static void a_handler_s_own_fields_stay(void **state)
{
    (void)state;
    const struct wf_route route = {.path = "/", .handler = own_fields};
    struct wf_server *server = start(NULL, &route, 1);
    ask(server, "GET /", GZIP);
    expect("Vary: Cookie, accept-encoding\r\nETag: W/\"mine\"\r\nX-Field: x\r\n");
    expect("X-Field: x\r\nContent-Encoding: gzip\r\n");
    expect_no("Vary: Accept");
    expect_text(big, 2000);
    ask(server, "GET /", "");
    expect("ETag: \"mine\"\r\n");
    stop();
}

struct slow {
    struct wf_event heard;
};

static int one_by_one(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request;
    struct slow *slow = arg;
    int err = wf_response_begin(response, 200, "application/json", -1);
    for (int i = 0; i < 3 && !err; i++) {
        err = wf_response_write(response, "\"a line\"\n", 9);
        if (!err)
            err = wf_response_flush(response);
        if (!err)
            err = wf_event_wait(&slow->heard, soon());
        wf_event_clear(&slow->heard);
    }
    return err;
}

/* Each line is read before the next is made. */
static void a_flush_holds_nothing_back(void **state)
{
    (void)state;
    struct slow slow;
    wf_event_init(&slow.heard);
    const struct wf_route route = {.path = "/", .handler = one_by_one, .arg = &slow};
    struct wf_server *server = start(NULL, &route, 1);
    struct wf_stream *stream = dial(server);
    const char *request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" GZIP "\r\n";
    assert_int_equal(wf_stream_write(stream, request, strlen(request), soon()), 0);
    z_stream reader = {0};
    struct wfi_buffer all = {0};
    char text[100];
    size_t fed = 0, body = 0;
    reader.next_out = (Bytef *)text;
    reader.avail_out = sizeof text;
    assert_int_equal(inflateInit2(&reader, 15 + 16), Z_OK);
    for (size_t lines = 1; lines <= 3; lines++) {
        while (reader.total_out < 9 * lines) {
            assert_int_equal(wfi_buffer_reserve(&all, 1000), 0);
            ssize_t n = wf_stream_read(stream, all.data + all.len, 1000, soon());
            assert_true(n > 0);
            all.len += (size_t)n;
            wfi_buffer_text(&all);
            if (!body && strstr(all.data, "\r\n\r\n"))
                fed = body = (size_t)(strstr(all.data, "\r\n\r\n") + 4 - all.data);
            char *end; /* chunks come whole: each is sent at once, and small */
            while (body && fed < all.len) {
                size_t len = strtoul(all.data + fed, &end, 16);
                size_t at = (size_t)(end + 2 - all.data);
                if (at + len + 2 > all.len)
                    break;
                reader.next_in = (Bytef *)all.data + at;
                reader.avail_in = (uInt)len;
                assert_int_equal(inflate(&reader, Z_SYNC_FLUSH), Z_OK);
                fed = at + len + 2;
            }
        }
        assert_int_equal(reader.total_out, 9 * lines);
        wf_event_set(&slow.heard);
    }
    assert_memory_equal(text, "\"a line\"\n\"a line\"\n\"a line\"\n", 27);
    inflateEnd(&reader);
    wfi_buffer_reset(&all);
    wf_stream_close(stream);
    stop();
}

static int too_little(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request, (void)arg;
    int err = wf_response_begin(response, 200, "text/plain", 20000);
    if (!err)
        err = wf_response_write(response, big, 15000);
    return err ? err : wf_response_write(response, big, 5001) == WF_ETOOBIG ? 0 : -EIO;
}

/* A client of chunks sees that the last is missing. */
static void an_answer_cut_short_does_not_look_whole(void **state)
{
    (void)state;
    const struct wf_route route = {.path = "/", .handler = too_little};
    struct wf_server *server = start(NULL, &route, 1);
    struct wf_stream *stream = dial(server);
    const char *request = "GET / HTTP/1.1\r\nHost: h\r\n" GZIP "\r\n";
    char buf[30000];
    size_t len = 0;
    ssize_t n;
    assert_int_equal(wf_stream_write(stream, request, strlen(request), soon()), 0);
    while ((n = wf_stream_read(stream, buf + len, sizeof buf - len, soon())) > 0)
        len += (size_t)n;
    assert_true(len < 5 || memcmp(buf + len - 5, "0\r\n\r\n", 5) != 0);
    wf_stream_close(stream);
    stop();
}

/* ---- files ---- */

/* The ETag of the last answer, as a field of the next request. */
static const char *field_with_tag(const char *name)
{
    static char field[200];
    const char *tag = strstr(answer.head, "ETag: ");
    assert_non_null(tag);
    snprintf(field, sizeof field, GZIP "%s: %.*s\r\n", name, (int)strcspn(tag + 6, "\r"), tag + 6);
    return field;
}

static void files_are_compressed_under_weak_tags(void **state)
{
    (void)state;
    const struct wf_route route = {
        .path = "/{path:path}", .handler = wf_serve_folder, .arg = folder};
    struct wf_server *server = start(NULL, &route, 1);
    ask(server, "GET /big.txt", GZIP);
    expect("Content-Encoding: gzip\r\n");
    expect("ETag: W/\"");
    expect_no("Accept-Ranges");
    expect_text(big, BIG_BYTES);
    ask(server, "GET /big.txt", field_with_tag("If-None-Match"));
    expect("HTTP/1.1 304 ");
    expect("ETag: W/\"");
    expect("Vary: Accept-Encoding\r\n");
    expect_no("Content-Length");
    ask(server, "GET /big.txt", "");
    expect_no("Content-Encoding");
    expect("Vary: Accept-Encoding\r\n");
    expect("ETag: \"");
    ask(server, "GET /big.txt", field_with_tag("If-None-Match")); /* the same file, after all */
    expect("HTTP/1.1 304 ");
    ask(server, "GET /big.txt", "");
    ask(server, "GET /big.txt", field_with_tag("Range: bytes=10-19\r\nIf-Range"));
    expect("HTTP/1.1 206 ");
    expect("Vary: Accept-Encoding\r\n");
    expect_no("Content-Encoding");
    expect_text(big + 10, 10);
    ask(server, "GET /big.txt", GZIP "Range: bytes=0-0,5-6\r\n");
    expect("HTTP/1.1 200 ");
    expect_no("Content-Encoding");
    expect("ETag: \"");
    ask(server, "GET /small.txt", GZIP);
    expect_no("Vary");
    ask(server, "GET /big.bin", GZIP);
    expect_no("Vary");
    expect_text(big, BIG_BYTES);
    stop();
}

static void touch(const char *name, time_t when)
{
    struct timespec times[2] = {{.tv_sec = when}, {.tv_sec = when}};
    assert_int_equal(utimensat(AT_FDCWD, in_folder(name), times, 0), 0);
}

static void a_compressed_neighbour_is_taken_unless_it_is_older(void **state)
{
    (void)state;
    struct wf_folder packed = {.path = folder, .packed = true};
    const struct wf_route routes[] = {
        {.path = "/p/{path:path}", .handler = wf_serve_folder_with, .arg = &packed},
        {.path = "/f/{path:path}", .handler = wf_serve_folder, .arg = folder}};
    struct wf_server *server = start(NULL, routes, 2);
    touch("page.html", 1000000000);
    touch("page.html.gz", 1000000000);
    ask(server, "GET /p/page.html", GZIP);
    expect("Content-Encoding: gzip\r\n");
    expect("Content-Type: text/html");
    expect("Content-Length: ");
    expect("Vary: Accept-Encoding\r\n");
    expect("ETag: \"");
    expect_in_text("the neighbour's text");
    ask(server, "GET /p/page.html", field_with_tag("If-None-Match"));
    expect("HTTP/1.1 304 ");
    ask(server, "GET /p/page.html", "");
    expect("Vary: Accept-Encoding\r\n");
    expect_text(big, 5000);
    ask(server, "GET /p/page.html", field_with_tag("If-None-Match")); /* has the other one */
    expect("HTTP/1.1 200 ");
    ask(server, "GET /p/page.html", GZIP "Range: bytes=1-3\r\n");
    expect_no("Content-Encoding");
    expect_text(big + 1, 3);
    ask(server, "GET /f/page.html", GZIP); /* was not asked to look */
    expect("ETag: W/");
    expect_text(big, 5000);
    touch("page.html", 1000000001);
    ask(server, "GET /p/page.html", GZIP);
    expect("ETag: W/");
    expect_text(big, 5000);
    ask(server, "GET /p/page.html.gz", GZIP); /* a file like another */
    expect_no("Content-Encoding");
    expect("Content-Type: application/gzip\r\n");
    stop();
}

static void hidden_names_are_not_found(void **state)
{
    (void)state;
    struct wf_folder all = {.path = folder, .hidden = true};
    const struct wf_route routes[] = {
        {.path = "/f/{path:path}", .handler = wf_serve_folder, .arg = folder},
        {.path = "/a/{path:path}", .handler = wf_serve_folder_with, .arg = &all}};
    struct wf_server *server = start(NULL, routes, 2);
    const char *names[] = {".secret", ".git/config", "sub/.secret", ".well-known/.secret"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char line[100];
        snprintf(line, sizeof line, "GET /f/%s", names[i]);
        ask(server, line, "");
        expect("HTTP/1.1 404 ");
        snprintf(line, sizeof line, "GET /a/%s", names[i]);
        ask(server, line, "");
        expect("HTTP/1.1 200 ");
    }
    ask(server, "GET /f/%2esecret", "");
    expect("HTTP/1.1 404 ");
    ask(server, "GET /f/.well-known/known", "");
    expect("HTTP/1.1 200 ");
    stop();
}

static void a_folder_without_its_slash_is_redirected(void **state)
{
    (void)state;
    const struct wf_route route = {
        .path = "/f/{path:path}", .handler = wf_serve_folder, .arg = folder};
    struct wf_server *server = start(NULL, &route, 1);
    ask(server, "GET /f/sub?a=b", "");
    expect("HTTP/1.1 301 ");
    expect("Location: /f/sub/?a=b\r\n");
    ask(server, "GET /f/sub", "");
    expect("Location: /f/sub/\r\n");
    ask(server, "GET /f/sub/", "");
    expect("HTTP/1.1 404 ");
    ask(server, "GET /f/big.txt/", "");
    expect("HTTP/1.1 404 ");
    stop();
}

/* ---- listings ---- */

/* Each once, in that order. */
static void expect_in_order(const char *const *parts, size_t count)
{
    const char *at = wfi_buffer_text(&answer.text);
    for (size_t i = 0; i < count; i++) {
        const char *next = strstr(at, parts[i]);
        if (!next)
            fail_msg("expected \"%s\" in \"%s\"", parts[i], at);
        at = next + strlen(parts[i]);
        if (strstr(at, parts[i]))
            fail_msg("\"%s\" twice", parts[i]);
    }
}

static const char *const odd_names[] = {"odd/<b>&\"'.txt", "odd/a b%20?#c", "odd/javascript:x",
                                        "odd/\x1b[31m\xff\xc3\xa4"};

static void names_cannot_break_out_of_a_listing(void **state)
{
    (void)state;
    struct wf_folder listed = {.path = folder, .list = true};
    const struct wf_route route = {
        .path = "/f/{path:path}", .handler = wf_serve_folder_with, .arg = &listed};
    struct wf_server *server = start(NULL, &route, 1);
    ask(server, "GET /f/odd/", "");
    expect("Content-Type: text/html; charset=utf-8\r\n");
    expect("Vary: Accept\r\n");
    const char *const rows[] = {
        "<h1>/f/odd/</h1>",
        "<a href=\"../\">../</a>",
        "<a href=\"%3Cdir%3E/\">&#60;dir&#62;/</a></td><td></td><td>2001-09-09 01:46:40</td>",
        "<a href=\"%1B%5B31m%FF%C3%A4\">\xef\xbf\xbd[31m\xef\xbf\xbd\xc3\xa4</a></td><td>3</td>",
        "<a href=\"%3Cb%3E%26%22%27.txt\">&#60;b&#62;&#38;&#34;'.txt</a></td><td>3</td>",
        "<a href=\"a%20b%2520%3F%23c\">a b%20?#c</a>",
        "<a href=\"javascript%3Ax\">javascript:x</a>",
        "</html>\n",
    };
    expect_in_order(rows, sizeof rows / sizeof *rows);
    const char *json = "Accept: application/json\r\n";
    ask(server, "GET /f/odd/", json);
    expect("Content-Type: application/json\r\n");
    const char *const objects[] = {
        "{\"path\":\"/f/odd/\",\"complete\":true,\"entries\":[{\"name\":\"<dir>\",",
        "\"type\":\"folder\",\"href\":\"%3Cdir%3E/\",\"modified\":\"2001-09-09T01:46:40Z\"},{",
        "\"name\":\"\\u001b[31m\xef\xbf\xbd\xc3\xa4\",\"type\":\"file\",",
        "\"href\":\"%1B%5B31m%FF%C3%A4\",\"bytes\":3,",
        "\"href\":\"javascript%3Ax\"",
        "Z\"}]}\n",
    };
    expect_in_order(objects, sizeof objects / sizeof *objects);
    ask(server, "GET /f/odd/a%20b%2520%3F%23c", ""); /* a link leads to its file */
    expect("HTTP/1.1 200 ");
    expect_text("odd", 3);
    ask(server, "GET /f/odd/%1B%5B31m%FF%C3%A4", "");
    expect("HTTP/1.1 200 ");
    stop();
}

static void what_is_listed_is_what_is_served(void **state)
{
    (void)state;
    struct wf_folder listed = {.path = folder, .list = true};
    struct wf_folder all = {.path = folder, .list = true, .hidden = true};
    const struct wf_route routes[] = {
        {.path = "/f/{path:path}", .handler = wf_serve_folder_with, .arg = &listed},
        {.path = "/a/{path:path}", .handler = wf_serve_folder_with, .arg = &all}};
    struct wf_server *server = start(NULL, routes, 2);
    ask(server, "GET /f/", "");
    expect_in_text("<a href=\"odd/\">");
    expect_in_text("<a href=\"big.txt\">big.txt</a></td><td>1000000</td>");
    assert_null(strstr(answer.text.data, "href=\"../\"")); /* there is nothing above */
    assert_null(strstr(answer.text.data, "href=\"."));
    ask(server, "GET /a/", "");
    expect_in_text("<a href=\".git/\">");
    expect_in_text("<a href=\".secret\">");
    ask(server, "GET /f/.git/", "");
    expect("HTTP/1.1 404 ");
    ask(server, "GET /f/none/", "");
    expect("HTTP/1.1 404 ");
    ask(server, "GET /f/big.txt/", "");
    expect("HTTP/1.1 404 ");
    ask(server, "GET /f/odd", "");
    expect("Location: /f/odd/\r\n");
    put("sub/index.html", "<p>index", 8);
    ask(server, "GET /f/sub/", "");
    expect_text("<p>index", 8);
    assert_int_equal(unlink(in_folder("sub/index.html")), 0);
    ask(server, "GET /f/sub/", "Accept: application/json\r\n");
    expect_text("{\"path\":\"/f/sub/\",\"complete\":true,\"entries\":[]}\n", 48);
    ask(server, "HEAD /f/sub/", "");
    expect("HTTP/1.1 200 ");
    expect("Transfer-Encoding: chunked\r\n");
    assert_int_equal(answer.body.len, 0);
    stop();
}

static void a_folder_of_many_is_listed_whole(void **state)
{
    (void)state;
    enum { MANY = 3000 };
    char line[100];
    struct wf_folder listed = {.path = folder, .list = true};
    const struct wf_route route = {
        .path = "/{path:path}", .handler = wf_serve_folder_with, .arg = &listed};
    struct wf_server *server = start(NULL, &route, 1);
    assert_int_equal(mkdir(in_folder("many"), 0700), 0);
    for (int i = 0; i < MANY; i++) {
        snprintf(line, sizeof line, "many/%05d", (i * 7919) % MANY);
        assert_int_equal(symlink("../small.txt", in_folder(line)), 0);
    }
    ask(server, "GET /many/", GZIP);
    expect("Content-Encoding: gzip\r\n");
    const char *at = wfi_buffer_text(&answer.text);
    for (int i = 0; i < MANY; i++) {
        snprintf(line, sizeof line, "<a href=\"%05d\">%05d</a></td><td>1000</td>", i, i);
        at = strstr(at, line);
        assert_non_null(at);
    }
    stop();
}

/* ---- all of it ---- */

static const char *const folders[] = {"sub", ".git", ".well-known", "odd", "odd/<dir>"};

static int set_up(void **state)
{
    (void)state;
    uint64_t seed = 20;
    for (size_t i = 0; i < BIG_BYTES; i++)
        big[i] = (char)('a' + wfi_splitmix64(&seed) % 16);
    snprintf(folder, sizeof folder, "/tmp/weft_server_file_test_XXXXXX");
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        assert_int_equal(mkdir(in_folder(folders[i]), 0700), 0);
    put("big.txt", big, BIG_BYTES);
    put("big.bin", big, BIG_BYTES);
    put("small.txt", big, 1000);
    put("page.html", big, 5000);
    put(".secret", "x", 1);
    put(".git/config", "x", 1);
    put("sub/.secret", "x", 1);
    put(".well-known/.secret", "x", 1);
    put(".well-known/known", "x", 1);
    for (size_t i = 0; i < sizeof odd_names / sizeof *odd_names; i++)
        put(odd_names[i], "odd", 3);
    touch("odd/<dir>", 1000000000);
    struct wfi_gzip *gzip;
    struct wfi_buffer packed = {0};
    assert_int_equal(wfi_gzip_create(20, &gzip), 0);
    assert_int_equal(wfi_gzip_add(gzip, "the neighbour's text", 20, WFI_GZIP_END, &packed), 0);
    put("page.html.gz", packed.data, packed.len);
    wfi_gzip_destroy(gzip);
    wfi_buffer_reset(&packed);
    int err = wf_fibers_create(&(struct wf_fibers_options){.workers = 2}, &fibers, NULL);
    return err ? err
               : wf_threads_create(&(struct wf_threads_options){.workers = 2}, &threads, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    char command[200];
    wf_executor_destroy(threads);
    wf_executor_destroy(fibers);
    wfi_buffer_reset(&answer.body);
    wfi_buffer_reset(&answer.text);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(text_is_compressed_for_those_who_take_it, stop_behind),
        cmocka_unit_test_teardown(what_is_not_worth_it_is_sent_as_it_is, stop_behind),
        cmocka_unit_test_teardown(head_has_the_head_of_get, stop_behind),
        cmocka_unit_test_teardown(an_older_client_reads_to_the_end, stop_behind),
        cmocka_unit_test_teardown(a_handler_s_own_fields_stay, stop_behind),
        cmocka_unit_test_teardown(a_flush_holds_nothing_back, stop_behind),
        cmocka_unit_test_teardown(an_answer_cut_short_does_not_look_whole, stop_behind),
        cmocka_unit_test_teardown(files_are_compressed_under_weak_tags, stop_behind),
        cmocka_unit_test_teardown(a_compressed_neighbour_is_taken_unless_it_is_older, stop_behind),
        cmocka_unit_test_teardown(hidden_names_are_not_found, stop_behind),
        cmocka_unit_test_teardown(a_folder_without_its_slash_is_redirected, stop_behind),
        cmocka_unit_test_teardown(names_cannot_break_out_of_a_listing, stop_behind),
        cmocka_unit_test_teardown(what_is_listed_is_what_is_served, stop_behind),
        cmocka_unit_test_teardown(a_folder_of_many_is_listed_whole, stop_behind),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
