/* SPDX-License-Identifier: MIT */
/*
 * The server on loopback: the test's thread is the client, byte by byte where it matters. Handlers
 * that are to wait wait for an event the test holds, so nothing here depends on how long a thing
 * takes but the tests of the server's own time limits.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/event.h>
#include <weft/fibers.h>
#include <weft/json.h>
#include <weft/local.h>
#include <weft/scope.h>
#include <weft/server.h>
#include <weft/threads.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "http/server_test.h"

/* ---- handlers ---- */

static int echo(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)arg;
    const char *body;
    size_t len;
    int err = wf_request_body(request, &body, &len);
    return err ? err : wf_response_send(response, 200, "text/plain", body, len);
}

static int show_params(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)arg;
    int64_t id = 0;
    char text[256], mode[16] = "none";
    int err = wf_request_param_int(request, "id", &id);
    (void)wf_request_query(request, "mode", mode, sizeof mode);
    snprintf(text, sizeof text, "%s %lld %s %s %s", wf_request_method(request), (long long)id,
             wf_request_param(request, "rest"), mode, wf_request_path(request));
    return err ? err : wf_response_text(response, 200, text);
}

/* ---- requests and routes ---- */

static void routes_and_their_parameters(void **state)
{
    (void)state;
    const struct wf_route routes[] = {
        {.method = "GET", .path = "/", .handler = hello},
        {.method = "POST", .path = "/echo", .handler = echo},
        {.method = "GET", .path = "/u/{id:int}/{rest:path}", .handler = show_params},
    };
    struct wf_server *server = start(NULL, routes, 3);
    answers(server, "GET / HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK\r\n");
    answers(server, "GET / HTTP/1.1\r\n" CLOSE, "\r\n\r\nhello");
    answers(server, "GET /u/-7/a/b%20c?mode=x+y HTTP/1.1\r\n" CLOSE,
            "GET -7 a/b c x y /u/-7/a/b c");
    answers(server, "GET /u/x/a HTTP/1.1\r\n" CLOSE, "HTTP/1.1 404 Not Found\r\n");
    answers(server, "GET /none HTTP/1.1\r\n" CLOSE, "{\"error\":\"Not Found\",\"request\":\"");
    answers(server, "GET /echo HTTP/1.1\r\n" CLOSE, "HTTP/1.1 405 Method Not Allowed\r\n");
    answers(server, "GET /echo HTTP/1.1\r\n" CLOSE, "Allow: ");
    answers(server, "OPTIONS /echo HTTP/1.1\r\n" CLOSE, "HTTP/1.1 204 No Content\r\n");
    answers(server, "GET /a/%2e%2e/b HTTP/1.1\r\n" CLOSE, "HTTP/1.1 400 Bad Request\r\n");
    answers(server, "GET /u/%zz/ HTTP/1.1\r\n" CLOSE, "HTTP/1.1 400 Bad Request\r\n");
    const char *text = ask(server, "HEAD / HTTP/1.1\r\n" CLOSE);
    assert_non_null(strstr(text, "Content-Length: 5\r\n"));
    assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
    wf_server_destroy(server);
}

static void what_cannot_be_a_server_is_refused(void **state)
{
    (void)state;
    struct wf_server *server = NULL;
    struct wf_error error = {0};
    struct wf_server_options wrong = {.idle_ns = -1};
    assert_int_equal(wf_server_create(&wrong, &server, &error), -EINVAL);
    assert_int_equal(wf_server_create(NULL, &server, &error), 0);
    struct wf_route route = {.path = "/", .handler = hello};
    assert_int_equal(wf_server_route(server, &(struct wf_route){.path = "/"}, &error), -EINVAL);
    assert_int_equal(
        wf_server_route(server, &(struct wf_route){.path = "x", .handler = hello}, &error),
        -EINVAL);
    assert_int_equal(wf_server_route(server, &route, &error), 0);
    assert_int_equal(wf_server_route(server, &route, &error), -EEXIST);
    assert_int_equal(wf_server_start(server, fibers, &error), -EINVAL);
    assert_int_equal(wf_server_listen(server, "nowhere", NULL, &error), -EINVAL);
    assert_int_equal(wf_server_adopt(server, -1, &error), -EBADF);
    assert_int_equal(wf_server_address(server, 0, &(struct wf_address){{0}}), -ENOENT);
    assert_int_equal(wf_server_listen(server, "127.0.0.1:0", NULL, &error), 0);
    assert_int_equal(wf_server_start(server, threads, &error), -EINVAL);
    assert_int_equal(wf_server_stop(server, WF_NOW), 0);
    assert_int_equal(wf_server_start(server, fibers, &error), 0);
    assert_int_equal(wf_server_start(server, fibers, &error), WF_ESTATE);
    assert_int_equal(wf_server_route(server, &route, &error), WF_ESTATE);
    assert_int_equal(wf_server_listen(server, "127.0.0.1:0", NULL, &error), WF_ESTATE);
    wf_server_destroy(server);
    wf_server_destroy(NULL);
}

/* Requests that come together are answered in order; cut anywhere they give the same. */
static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    const struct wf_route routes[] = {{.path = "/echo", .handler = echo}};
    static const char requests[] =
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none"
        "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "2\r\ntw\r\n1\r\no\r\n0\r\n\r\n"
        "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\n\r\nthree";
    struct wf_server *server = start(NULL, routes, 1);
    struct client client;
    for (size_t cut = 0; cut < sizeof requests - 1; cut++) {
        dial(&client, server);
        assert_int_equal(wf_stream_write(client.stream, requests, cut, soon()), 0);
        say(&client, requests + cut);
        expect_end(&client);
        const char *one = strstr(client.text, "\r\n\r\none"), *two = NULL, *three = NULL;
        if (one)
            two = strstr(one, "\r\n\r\ntwo");
        if (two)
            three = strstr(two, "\r\n\r\nthree");
        if (!three)
            fail_msg("cut at %zu: %s", cut, client.text);
        hang_up(&client);
    }
    wf_server_destroy(server);
}

static void a_client_that_waits_for_100_is_told_to_go_on(void **state)
{
    (void)state;
    struct wf_server *server = start_one(NULL, echo, NULL);
    struct client client;
    dial(&client, server);
    say(&client, "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    expect(&client, "HTTP/1.1 100 Continue\r\n\r\n");
    say(&client, "ab");
    expect(&client, "\r\n\r\nab");
    hang_up(&client);
    wf_server_destroy(server);
}

/* Says how it goes on before it reads what it is about. */
static int answer_first(struct wf_request *request, struct wf_response *response, void *arg)
{
    const char *body;
    size_t len;
    (void)arg;
    int err = wf_response_begin(response, 200, "text/plain", 2);
    if (!err)
        err = wf_response_flush(response);
    if (!err)
        err = wf_request_body(request, &body, &len);
    return err ? err : wf_response_write(response, body, len);
}

static void nobody_is_told_to_go_on_inside_an_answer(void **state)
{
    (void)state;
    struct wf_server *server = start_one(NULL, answer_first, NULL);
    struct client client;
    dial(&client, server);
    say(&client, "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    expect(&client, "Connection: close\r\n\r\n");
    say(&client, "ab");
    expect_end(&client);
    assert_non_null(strstr(client.text, "\r\n\r\nab"));
    assert_null(strstr(client.text, "100 Continue"));
    hang_up(&client);
    wf_server_destroy(server);
}

/* A handler that leaves the body alone: the answer comes, and the connection ends. */
static void an_unread_body_ends_the_connection(void **state)
{
    (void)state;
    struct wf_server *server = start_one(NULL, hello, NULL);
    struct client client;
    dial(&client, server);
    say(&client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nsome of it");
    expect(&client, "Connection: close\r\n");
    expect(&client, "\r\n\r\nhello");
    expect_end(&client);
    hang_up(&client);
    /* A small rest is passed over, also where it comes behind the answer, and in pieces. */
    dial(&client, server);
    say(&client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 30000\r\n\r\nsome of it");
    expect(&client, "\r\n\r\nhello");
    assert_null(strstr(client.text, "Connection: close"));
    for (int i = 0; i < 2999; i++)
        say(&client, "0123456789");
    forget(&client);
    say(&client, "GET / HTTP/1.1\r\n" CLOSE);
    expect(&client, "\r\n\r\nhello");
    expect_end(&client);
    hang_up(&client);
    dial(&client, server);
    say(&client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 30000\r\n\r\nsome of it");
    expect(&client, "\r\n\r\nhello");
    assert_int_equal(wf_stream_shutdown(client.stream, WF_SHUTDOWN_WRITE), 0);
    expect_end(&client);
    hang_up(&client);
    /* One that was not asked for may never come. */
    dial(&client, server);
    say(&client, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    expect(&client, "Connection: close\r\n");
    expect_end(&client);
    assert_null(strstr(client.text, "100 Continue"));
    hang_up(&client);
    wf_server_destroy(server);
}

static void what_is_no_request_is_refused(void **state)
{
    (void)state;
    struct wf_server_options options = {.head_bytes_max = 300, .body_bytes_max = 10};
    struct wf_server *server = start_one(&options, echo, NULL);
    struct wf_server_counts counts;
    char long_head[600];
    snprintf(long_head, sizeof long_head, "GET / HTTP/1.1\r\nHost: h\r\nX: %0400d\r\n\r\n", 0);
    answers(server, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ");
    answers(server, "GET / HTTP/1.1\nHost: h\n\n", "HTTP/1.1 400 ");
    answers(server, "GET / HTTP/2.5\r\nHost: h\r\n\r\n", "HTTP/1.1 505 ");
    answers(server, long_head, "HTTP/1.1 431 ");
    answers(server, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n", "HTTP/1.1 413 ");
    answers(server,
            "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 400 ");
    /* Found out while the handler reads: it is answered as the handler's error. */
    answers(server,
            "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsix by\r\n"
            "6\r\nsix by\r\n0\r\n\r\n",
            "HTTP/1.1 413 ");
    wf_server_count(server, &counts);
    assert_int_equal(counts.refused, 6);
    assert_int_equal(counts.requests, 2);
    wf_server_destroy(server);
}

static void slow_requests_are_cut_off(void **state)
{
    (void)state;
    struct wf_server_options options = {.head_ns = WF_MILLISECONDS(50),
                                        .body_ns = WF_MILLISECONDS(50),
                                        .idle_ns = WF_MILLISECONDS(50)};
    struct wf_server *server = start_one(&options, echo, NULL);
    struct client client;
    dial(&client, server);
    expect_end(&client); /* idle: nothing is said */
    assert_int_equal(client.len, 0);
    hang_up(&client);
    answers(server, "GET / HTT", "HTTP/1.1 408 Request Timeout\r\n");
    answers(server, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc", "HTTP/1.1 408 ");
    wf_server_destroy(server);
}

/* ---- answers ---- */

static int pieces(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)arg;
    char many[5000];
    memset(many, 'x', sizeof many);
    bool short_of = strcmp(wf_request_method(request), "DELETE") == 0;
    int err = wf_response_header(response, "X-Own", "yes");
    if (!err)
        err = wf_response_begin(response, 200, "text/plain", short_of ? 20000 : -1);
    for (int i = 0; i < 3 && !err; i++)
        err = wf_response_write(response, many, sizeof many);
    if (!err)
        err = wf_response_flush(response);
    if (!err && strcmp(wf_request_method(request), "PUT") == 0)
        return -EIO;
    return err ? err : wf_response_write(response, "end", 3);
}

static void answers_come_in_pieces(void **state)
{
    (void)state;
    struct wf_server *server = start_one(NULL, pieces, NULL);
    const char *text = ask(server, "GET / HTTP/1.1\r\n" CLOSE);
    assert_non_null(strstr(text, "Transfer-Encoding: chunked\r\n"));
    assert_non_null(strstr(text, "X-Own: yes\r\n"));
    assert_non_null(strstr(text, "\r\n1388\r\nxxx"));
    assert_non_null(strstr(text, "\r\n3\r\nend\r\n0\r\n\r\n"));
    text = ask(server, "GET / HTTP/1.0\r\n\r\n");
    assert_null(strstr(text, "chunked"));
    assert_string_equal(text + strlen(text) - 6, "xxxend");
    /* An announced length that is not reached: the client sees that something is missing. */
    text = ask(server, "DELETE / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_non_null(strstr(text, "Content-Length: 20000\r\n"));
    assert_true(strlen(text) < 20000);
    /* One whose end is the connection's: it must not look like an end. */
    struct client client;
    dial(&client, server);
    say(&client, "PUT / HTTP/1.0\r\n\r\n");
    assert_false(hears(&client, NULL));
    hang_up(&client);
    wf_server_destroy(server);
}

static int misuse(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request, (void)arg;
    int wrong = 0;
    wrong |= wf_response_header(response, "Content-Length", "5") != -EINVAL;
    wrong |= wf_response_header(response, "X: a\r\nY", "5") != -EINVAL;
    wrong |= wf_response_header(response, "X", "a\r\nY: b") != -EINVAL;
    wrong |= wf_response_write(response, "x", 1) != WF_ESTATE;
    wrong |= wf_response_begin(response, 99, NULL, 0) != -EINVAL;
    wrong |= wf_response_redirect(response, 200, "/") != -EINVAL;
    wrong |= wf_response_begin(response, 200, "text/plain\r\nX: y", 2) != -EINVAL;
    wrong |= wf_response_begin(response, 200, "text/plain", 2) != 0;
    wrong |= wf_response_begin(response, 200, "text/plain", 2) != WF_ESTATE;
    wrong |= wf_response_write(response, "abc", 3) != WF_ETOOBIG;
    wrong |= wf_response_event(response, &(struct wf_sse){.data = "x"}) != WF_ESTATE;
    return wf_response_write(response, wrong ? "no" : "ok", 2);
}

static void what_would_break_an_answer_is_refused(void **state)
{
    (void)state;
    struct wf_server *server = start_one(NULL, misuse, NULL);
    answers(server, "GET / HTTP/1.1\r\n" CLOSE, "\r\n\r\nok");
    wf_server_destroy(server);
}

WF_TASK(wf_none, test_failing_child, (int, code))
int test_failing_child(struct wf_task *self, int code, wf_none *ret)
{
    (void)ret;
    return wf_task_fail(self, code, "the child broke");
}
WF_TASK_DEFINE(test_failing_child)

static int fail_somehow(struct wf_request *request, struct wf_response *response, void *arg)
{
    int64_t code = 0;
    (void)arg;
    wf_request_param_int(request, "code", &code);
    if (code == 1000)
        return test_failing_child_go(wf_request_scope(request), -EIO);
    if (code == 1001)
        return wf_response_error(response, 418, "a \"%s\"", "teapot");
    return (int)code;
}

static int half_an_answer(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request, (void)arg;
    int err = wf_response_begin(response, 200, "text/plain", -1);
    if (!err)
        err = wf_response_write(response, "half", 4);
    return err ? err : -EIO;
}

/* What was answered before it, in the same bytes, is whole and is sent. */
static void an_answer_that_breaks_takes_none_along(void **state)
{
    (void)state;
    const struct wf_route routes[] = {{.path = "/half", .handler = half_an_answer},
                                      {.path = "/{code:int}", .handler = fail_somehow}};
    struct wf_server *server = start(NULL, routes, 2);
    struct client client;
    dial(&client, server);
    say(&client, "GET /1001 HTTP/1.1\r\nHost: x\r\n\r\nGET /half HTTP/1.1\r\nHost: x\r\n\r\n"
                 "GET /1001 HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_end(&client);
    const char *first = strstr(client.text, "teapot");
    assert_non_null(first);
    assert_null(strstr(first + 1, "teapot")); /* what came behind it is not answered */
    assert_null(strstr(client.text, "half"));
    hang_up(&client);
    wf_server_destroy(server);
}

static void errors_have_their_status(void **state)
{
    (void)state;
    const struct wf_route routes[] = {{.path = "/{code:int}", .handler = fail_somehow}};
    static const struct {
        int code, status;
    } table[] = {{0, 204},          {404, 404},
                 {-ENOENT, 404},    {-EACCES, 403},
                 {-EINVAL, 400},    {WF_EPARSE, 400},
                 {WF_ETOOBIG, 413}, {-ETIMEDOUT, 503},
                 {-EIO, 500},       {WF_EWORKERDIED, 500},
                 {7, 500},          {1000, 500},
                 {1001, 418}};
    struct wf_server *server = start(NULL, routes, 1);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char request[100], expected[40];
        snprintf(request, sizeof request, "GET /%d HTTP/1.1\r\n" CLOSE, table[i].code);
        snprintf(expected, sizeof expected, "HTTP/1.1 %d ", table[i].status);
        answers(server, request, expected);
    }
    answers(server, "GET /1000 HTTP/1.1\r\n" CLOSE, "the child broke");
    answers(server, "GET /1001 HTTP/1.1\r\n" CLOSE, "{\"error\":\"a \\\"teapot\\\"\",\"request\":");
    wf_server_destroy(server);
}

static int sum_of(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)arg;
    struct wf_json *json;
    struct wf_json_writer *w;
    struct wf_error error;
    int err = wf_request_json(request, &json, &error);
    if (err)
        return wf_response_error(response, 400, "%s", error.text);
    int64_t sum = 0, one;
    for (size_t i = 0; i < wf_json_count(wf_json_root(json)); i++)
        if (wf_json_int(wf_json_at(wf_json_root(json), i), &one) == 0)
            sum += one;
    wf_json_destroy(json);
    err = wf_json_writer_create(NULL, &w);
    if (err)
        return err;
    wf_json_write_object(w);
    wf_json_write_key(w, "sum");
    wf_json_write_int(w, sum);
    wf_json_write_end(w);
    err = wf_response_json(response, 200, w);
    wf_json_writer_destroy(w);
    return err;
}

static void json_in_and_out(void **state)
{
    (void)state;
    struct wf_server *server = start_one(NULL, sum_of, NULL);
    answers(server, "PUT / HTTP/1.1\r\nContent-Length: 7\r\n" CLOSE "[1,2,3]",
            "Content-Type: application/json\r\n");
    answers(server, "PUT / HTTP/1.1\r\nContent-Length: 7\r\n" CLOSE "[1,2,3]",
            "\r\n\r\n{\"sum\":6}");
    answers(server, "PUT / HTTP/1.1\r\nContent-Length: 2\r\n" CLOSE "[1", "HTTP/1.1 400 ");
    wf_server_destroy(server);
}

static void files_and_parts_of_them(void **state)
{
    (void)state;
    char folder[] = "/tmp/weft_server_test_XXXXXX", path[64], request[200];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a b.txt", folder);
    FILE *file = fopen(path, "w");
    fputs("0123456789", file);
    fclose(file);
    const struct wf_route route = {
        .method = "GET", .path = "/f/{path:path}", .handler = wf_serve_folder, .arg = folder};
    struct wf_server *server = start(NULL, &route, 1);
    const char *text = ask(server, "GET /f/a%20b.txt HTTP/1.1\r\n" CLOSE);
    assert_non_null(strstr(text, "Content-Type: text/plain"));
    assert_non_null(strstr(text, "Content-Length: 10\r\n"));
    assert_non_null(strstr(text, "\r\n\r\n0123456789"));
    const char *tag = strstr(text, "ETag: ");
    assert_non_null(tag);
    snprintf(request, sizeof request, "GET /f/a%%20b.txt HTTP/1.1\r\nIf-None-Match: %.*s\r\n%s",
             (int)strcspn(tag + 6, "\r"), tag + 6, CLOSE);
    text = ask(server, request);
    assert_memory_equal(text, "HTTP/1.1 304 ", 13);
    assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
    text = ask(server, "HEAD /f/a%20b.txt HTTP/1.1\r\n" CLOSE);
    assert_non_null(strstr(text, "Content-Length: 10\r\n"));
    assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
    answers(server, "GET /f/a%20b.txt HTTP/1.1\r\nRange: bytes=3-5\r\n" CLOSE, "\r\n\r\n345");
    answers(server, "GET /f/a%20b.txt HTTP/1.1\r\nRange: bytes=-2\r\n" CLOSE,
            "Content-Range: bytes 8-9/10\r\n");
    answers(server, "GET /f/a%20b.txt HTTP/1.1\r\nRange: bytes=10-\r\n" CLOSE, "HTTP/1.1 416 ");
    answers(server, "GET /f/a%20b.txt HTTP/1.1\r\nIf-Match: \"x\"\r\n" CLOSE, "HTTP/1.1 412 ");
    answers(server, "GET /f/none HTTP/1.1\r\n" CLOSE, "HTTP/1.1 404 ");
    answers(server, "GET /f/ HTTP/1.1\r\n" CLOSE, "HTTP/1.1 404 ");
    answers(server, "GET /f/../x HTTP/1.1\r\n" CLOSE, "HTTP/1.1 400 ");
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/sub", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    answers(server, "GET /f/sub HTTP/1.1\r\n" CLOSE, "Location: /f/sub/\r\n");
    snprintf(path, sizeof path, "%s/sub/index.html", folder);
    file = fopen(path, "w");
    fputs("<p>index", file);
    fclose(file);
    answers(server, "GET /f/sub/ HTTP/1.1\r\n" CLOSE, "\r\n\r\n<p>index");
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/sub", folder);
    rmdir(path);
    rmdir(folder);
    wf_server_destroy(server);
}

static void a_large_file_is_sent_whole(void **state)
{
    (void)state;
    enum { BYTES = 3000000 };
    char folder[] = "/tmp/weft_server_test_XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/big", folder);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < BYTES; i++)
        putc(i * 7 >> 4, file);
    fclose(file);
    const struct wf_route route = {
        .path = "/{path:path}", .handler = wf_serve_folder, .arg = folder};
    struct wf_server *server = start(NULL, &route, 1);
    struct client client;
    dial(&client, server);
    say(&client, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    while (!strstr(client.text, "\r\n\r\n")) { /* byte by byte, so that the body is left */
        assert_int_equal(wf_stream_read(client.stream, client.text + client.len++, 1, soon()), 1);
        client.text[client.len] = '\0';
    }
    for (int i = 0; i < BYTES;) {
        char buf[8192];
        size_t want = BYTES - i < (int)sizeof buf ? (size_t)(BYTES - i) : sizeof buf;
        ssize_t n = wf_stream_read(client.stream, buf, want, soon());
        assert_true(n > 0);
        for (ssize_t at = 0; at < n; at++, i++)
            if (buf[at] != (char)(i * 7 >> 4))
                fail_msg("byte %d differs", i);
    }
    forget(&client); /* and the connection goes on */
    say(&client, "GET /no HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(&client, "HTTP/1.1 404 ");
    hang_up(&client);
    wf_server_destroy(server);
    unlink(path);
    rmdir(folder);
}

/* ---- handlers that wait ---- */

struct waiter {
    struct wf_event begun, go, ended;
    WFI_ATOMIC(int) code;
};

static void waiter_init(struct waiter *w)
{
    wf_event_init(&w->begun);
    wf_event_init(&w->go);
    wf_event_init(&w->ended);
    wfi_store(&w->code, 1);
}

static int wait_to_go(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request;
    struct waiter *w = arg;
    wf_event_set(&w->begun);
    int err = wf_event_wait(&w->go, WF_FOREVER);
    wfi_store(&w->code, err);
    wf_event_set(&w->ended);
    return err ? err : wf_response_text(response, 200, "waited");
}

static void await(struct wf_event *event)
{
    assert_int_equal(wf_event_wait(event, soon()), 0);
}

static void a_client_that_goes_away_cancels_its_handler(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct waiter w;
        struct client client;
        struct wf_server_counts counts = {0};
        waiter_init(&w);
        struct wf_route route = {
            .path = "/", .handler = wait_to_go, .arg = &w, .on = i ? threads : NULL};
        struct wf_server *server = start(NULL, &route, 1);
        dial(&client, server);
        say(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        await(&w.begun);
        hang_up(&client);
        await(&w.ended);
        assert_int_equal(wfi_load(&w.code), -ECANCELED);
        assert_int_equal(wf_server_stop(server, soon()), 0);
        wf_server_count(server, &counts);
        assert_int_equal(counts.canceled, 1);
        assert_int_equal(counts.connections_open, 0);
        wf_server_destroy(server);
    }
}

static int answer_all_the_same(struct wf_request *request, struct wf_response *response, void *arg)
{
    int err = wait_to_go(request, response, arg);
    return err == -ECANCELED ? wf_response_text(response, 200, "of no use") : err;
}

/* It had asked for two things, and the first handler answers whatever happens. */
static void a_client_that_went_away_cancels_its_next_handler_too(void **state)
{
    (void)state;
    struct waiter w[2];
    struct client client;
    waiter_init(&w[0]);
    waiter_init(&w[1]);
    const struct wf_route routes[] = {
        {.path = "/1", .handler = answer_all_the_same, .arg = &w[0]},
        {.path = "/2", .handler = wait_to_go, .arg = &w[1]},
    };
    struct wf_server *server = start(NULL, routes, 2);
    dial(&client, server);
    say(&client, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    await(&w[0].begun);
    hang_up(&client);
    await(&w[0].ended);
    await(&w[1].ended);
    assert_int_equal(wfi_load(&w[1].code), -ECANCELED);
    wf_server_destroy(server);
}

WF_TASK(int, test_stop_in_time, (struct wf_server *, server))
int test_stop_in_time(struct wf_task *self, struct wf_server *server, int *ret)
{
    (void)self;
    *ret = wf_server_stop(server, wf_after(WF_SECONDS(20)));
    return 0;
}
WF_TASK_DEFINE(test_stop_in_time)

/* The deadline is there for a test that fails: then the request is broken off, which is told. */
static void a_stop_does_not_wait_for_clients_that_go_away(void **state)
{
    (void)state;
    struct waiter w;
    struct client busy, idle;
    int stopped;
    struct wf_server_options options = {.linger_ns = 1};
    waiter_init(&w);
    struct wf_server *server = start_one(&options, wait_to_go, &w);
    dial(&busy, server);
    dial(&idle, server);
    say(&busy, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    await(&w.begun);
    test_stop_in_time_future stopping = test_stop_in_time_submit(threads, server);
    expect_end(&idle); /* so it is being stopped */
    hang_up(&busy);
    await(&w.ended);
    assert_int_equal(wfi_load(&w.code), -ECANCELED);
    assert_int_equal(test_stop_in_time_result(&stopping, &stopped, soon(), NULL), 0);
    assert_int_equal(stopped, 0);
    hang_up(&idle);
    wf_server_destroy(server);
}

static void a_half_closed_client_may_have_its_answer(void **state)
{
    (void)state;
    struct waiter w;
    struct client client;
    struct wf_server_options options = {.half_closed_clients = true};
    waiter_init(&w);
    struct wf_server *server = start_one(&options, wait_to_go, &w);
    dial(&client, server);
    say(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(wf_stream_shutdown(client.stream, WF_SHUTDOWN_WRITE), 0);
    await(&w.begun);
    wf_event_set(&w.go);
    expect(&client, "\r\n\r\nwaited");
    expect_end(&client);
    hang_up(&client);
    wf_server_destroy(server);
    /* One that does not wait answers in any case. */
    server = start_one(NULL, hello, NULL);
    dial(&client, server);
    say(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(wf_stream_shutdown(client.stream, WF_SHUTDOWN_WRITE), 0);
    expect_end(&client);
    assert_non_null(strstr(strstr(client.text, "hello") + 1, "hello"));
    hang_up(&client);
    wf_server_destroy(server);
}

static void a_handler_has_its_time(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct waiter w;
        waiter_init(&w);
        struct wf_route route = {.path = "/",
                                 .handler = wait_to_go,
                                 .arg = &w,
                                 .handler_ns = WF_MILLISECONDS(30),
                                 .on = i ? threads : NULL};
        struct wf_server *server = start(NULL, &route, 1);
        answers(server, "GET / HTTP/1.1\r\n" CLOSE, "HTTP/1.1 503 ");
        /* A thread may begin so late that the handler is not called at all. */
        const int code = wfi_load(&w.code);
        assert_true(code == -ECANCELED || (i && code == 1));
        wf_server_destroy(server);
    }
}

WF_LOCAL(int, test_user)
WF_LOCAL_DEFINE(int, test_user, 0)

WF_TASK(int, test_child_user)
int test_child_user(struct wf_task *self, int *ret)
{
    (void)self;
    *ret = test_user_get();
    return 0;
}
WF_TASK_DEFINE(test_child_user)

static int set_user(struct wf_request *request, struct wf_response *response, void *arg)
{
    char text[64];
    int64_t user = 0;
    int before = test_user_get(), child = -1;
    (void)arg;
    wf_request_param_int(request, "user", &user);
    int err = user ? test_user_set((int)user) : 0;
    if (err)
        return err;
    test_child_user_future f = test_child_user_submit(fibers);
    err = test_child_user_result(&f, &child, soon(), NULL);
    snprintf(text, sizeof text, "before %d child %d", before, child);
    return err ? err : wf_response_text(response, 200, text);
}

/* What a request sets is seen by its tasks, and by no other request, also of its connection. */
static void context_locals_stay_in_their_request(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct wf_route route = {
            .path = "/{user:int}", .handler = set_user, .on = i ? threads : NULL};
        struct wf_server *server = start(NULL, &route, 1);
        struct client client;
        dial(&client, server);
        say(&client, "GET /5 HTTP/1.1\r\nHost: h\r\n\r\n");
        expect(&client, "before 0 child 5");
        forget(&client);
        say(&client, "GET /0 HTTP/1.1\r\nHost: h\r\n\r\n");
        expect(&client, "before 0 child 0");
        hang_up(&client);
        wf_server_destroy(server);
    }
}

static int send_ticks(struct wf_request *request, struct wf_response *response, void *arg)
{
    struct waiter *w = arg;
    (void)request;
    int err = wf_response_event(
        response, &(struct wf_sse){
                      .event = "tick", .id = "1", .data = "one\ntwo", .retry_ns = WF_SECONDS(2)});
    if (!err)
        err = wf_event_wait(&w->go, WF_FOREVER);
    while (!err) {
        err = wf_response_event(response, &(struct wf_sse){.data = "more"});
        if (!err)
            err = wf_sleep(wf_after(WF_MILLISECONDS(1)));
    }
    wfi_store(&w->code, err);
    wf_event_set(&w->ended);
    return err;
}

static void events_flow_until_the_client_goes(void **state)
{
    (void)state;
    struct waiter w;
    struct client client;
    waiter_init(&w);
    struct wf_server *server = start_one(NULL, send_ticks, &w);
    dial(&client, server);
    say(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(&client, "event: tick\nid: 1\nretry: 2000\ndata: one\ndata: two\n\n");
    assert_non_null(strstr(client.text, "Content-Type: text/event-stream\r\n"));
    wf_event_set(&w.go);
    expect(&client, "data: more\n\n");
    hang_up(&client);
    await(&w.ended);
    int code = wfi_load(&w.code);
    assert_true(code == -ECANCELED || code == -EPIPE || code == -ECONNRESET);
    wf_server_destroy(server);
}

static int send_without_end(struct wf_request *request, struct wf_response *response, void *arg)
{
    static const char piece[60000];
    struct waiter *w = arg;
    (void)request;
    int err = wf_response_begin(response, 200, "text/plain", -1);
    while (!err)
        err = wf_response_write(response, piece, sizeof piece);
    wfi_store(&w->code, err);
    wf_event_set(&w->ended);
    return err;
}

/* A client that never reads holds up its handler, and only for so long. */
static void a_client_that_does_not_read_is_given_up(void **state)
{
    (void)state;
    struct waiter w;
    struct client client;
    struct wf_server_options options = {.write_ns = WF_MILLISECONDS(50)};
    waiter_init(&w);
    struct wf_server *server = start_one(&options, send_without_end, &w);
    dial(&client, server);
    say(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    await(&w.ended);
    assert_int_equal(wfi_load(&w.code), -ETIMEDOUT);
    /* And the system keeps nothing for it. */
    ssize_t n;
    do
        n = wf_stream_read(client.stream, client.text, sizeof client.text, soon());
    while (n > 0);
    assert_int_equal(n, -ECONNRESET);
    hang_up(&client);
    wf_server_destroy(server);
}

/* ---- limits and the end ---- */

static void connections_beyond_the_limit_wait(void **state)
{
    (void)state;
    struct wf_server_options options = {.connections_max = 1};
    struct wf_server *server = start_one(&options, hello, NULL);
    struct client first, second;
    struct wf_server_counts counts;
    dial(&first, server);
    dial(&second, server);
    say(&first, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    say(&second, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(&first, "hello");
    wf_server_count(server, &counts);
    assert_int_equal(counts.connections, 1);
    hang_up(&first);
    expect(&second, "hello");
    hang_up(&second);
    wf_server_destroy(server);
}

struct stopping {
    struct wf_server *server;
    wf_deadline deadline;
};

WF_TASK(int, test_stop_server, (struct stopping *, stopping))
int test_stop_server(struct wf_task *self, struct stopping *stopping, int *ret)
{
    (void)self;
    *ret = wf_server_stop(stopping->server, stopping->deadline);
    return 0;
}
WF_TASK_DEFINE(test_stop_server)

/* Requests under way, and one more of each idle connection, have their answers. */
static void a_stop_answers_what_was_asked(void **state)
{
    (void)state;
    struct waiter w;
    struct client working, idle;
    waiter_init(&w);
    const struct wf_route routes[] = {{.path = "/", .handler = hello},
                                      {.path = "/wait", .handler = wait_to_go, .arg = &w}};
    struct wf_server_options options = {.linger_ns = WF_SECONDS(60)};
    struct wf_server *server = start(&options, routes, 2);
    dial(&working, server);
    dial(&idle, server);
    say(&working, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    say(&idle, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(&idle, "hello");
    assert_null(strstr(idle.text, "Connection: close"));
    await(&w.begun);
    struct stopping stopping = {server, soon()};
    test_stop_server_future f = test_stop_server_submit(threads, &stopping);
    /* The listener goes first; until then a request may still be kept alive. */
    do {
        forget(&idle);
        say(&idle, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        expect(&idle, "hello");
    } while (!strstr(idle.text, "Connection: close"));
    expect_end(&idle);
    wf_event_set(&w.go);
    expect(&working, "Connection: close");
    expect(&working, "waited");
    expect_end(&working);
    int result = 1;
    assert_int_equal(test_stop_server_result(&f, &result, soon(), NULL), 0);
    assert_int_equal(result, 0);
    hang_up(&working);
    hang_up(&idle);
    wf_server_destroy(server);
}

static int take_slowly(struct wf_request *request, struct wf_response *response, void *arg)
{
    struct waiter *w = arg;
    wf_event_set(&w->begun);
    return echo(request, response, NULL);
}

/* When the idle ones are ended, others go on: one that still sends its body is read to the end. */
static void a_stop_reads_a_body_to_its_end(void **state)
{
    (void)state;
    struct waiter w;
    struct client working, idle;
    waiter_init(&w);
    struct wf_server_options options = {.linger_ns = 1};
    struct wf_server *server = start_one(&options, take_slowly, &w);
    dial(&working, server); /* before the other, so that it is looked at first */
    say(&working, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nha");
    await(&w.begun);
    dial(&idle, server);
    say(&idle, "OPTIONS /no HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(&idle, "HTTP/1.1 404 ");
    struct stopping stopping = {server, soon()};
    test_stop_server_future f = test_stop_server_submit(threads, &stopping);
    expect_end(&idle);
    /* Were its reading side ended too, it would say so by now. */
    char byte;
    assert_int_equal(wf_stream_read(working.stream, &byte, 1, wf_after(WF_MILLISECONDS(50))),
                     -ETIMEDOUT);
    say(&working, "lf");
    expect(&working, "\r\n\r\nhalf");
    expect_end(&working);
    int result = 1;
    assert_int_equal(test_stop_server_result(&f, &result, soon(), NULL), 0);
    assert_int_equal(result, 0);
    hang_up(&working);
    hang_up(&idle);
    wf_server_destroy(server);
}

static void a_stop_ends_idle_connections_and_meets_its_deadline(void **state)
{
    (void)state;
    struct waiter w;
    struct client working, idle;
    waiter_init(&w);
    struct wf_server_options options = {.linger_ns = 1};
    struct wf_server *server = start_one(&options, wait_to_go, &w);
    dial(&idle, server);
    dial(&working, server);
    say(&working, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    await(&w.begun);
    assert_int_equal(wf_server_stop(server, wf_after(WF_MILLISECONDS(50))), -ETIMEDOUT);
    assert_int_equal(wfi_load(&w.code), -ECANCELED);
    expect_end(&idle);
    expect(&working, "HTTP/1.1 503 ");
    expect_end(&working);
    hang_up(&idle);
    hang_up(&working);
    wf_server_destroy(server);
}

WF_TASK(int, test_run_server, (struct wf_server *, server))
int test_run_server(struct wf_task *self, struct wf_server *server, int *ret)
{
    (void)self;
    *ret = wf_server_run(server, fibers, NULL);
    return 0;
}
WF_TASK_DEFINE(test_run_server)

static void running_ends_when_it_is_cancelled(void **state)
{
    (void)state;
    struct wf_server *server = NULL;
    struct client client;
    int result = 1;
    assert_int_equal(wf_server_create(NULL, &server, NULL), 0);
    assert_int_equal(
        wf_server_route(server, &(struct wf_route){.path = "/", .handler = hello}, NULL), 0);
    assert_int_equal(wf_server_listen(server, "127.0.0.1:0", NULL, NULL), 0);
    test_run_server_future f = test_run_server_submit(threads, server);
    dial(&client, server); /* it listens already */
    say(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(&client, "hello");
    wf_future_cancel(f.future);
    expect_end(&client);
    assert_int_equal(test_run_server_result(&f, &result, soon(), NULL), 0);
    assert_int_equal(result, 0);
    hang_up(&client);
    wf_server_destroy(server);
}

static void an_adopted_socket_outlives_its_server(void **state)
{
    (void)state;
    struct sockaddr_storage at = {.ss_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(struct sockaddr_in)), 0);
    assert_int_equal(listen(fd, 10), 0);
    for (int i = 0; i < 3; i++) {
        struct wf_server *server = NULL;
        assert_int_equal(wf_server_create(NULL, &server, NULL), 0);
        assert_int_equal(
            wf_server_route(server, &(struct wf_route){.path = "/", .handler = hello}, NULL), 0);
        assert_int_equal(wf_server_adopt(server, dup(fd), NULL), 0);
        assert_int_equal(wf_server_start(server, fibers, NULL), 0);
        answers(server, "GET / HTTP/1.1\r\n" CLOSE, "hello");
        wf_server_destroy(server);
    }
    close(fd);
}

struct log {
    WFI_ATOMIC(int) count;
    struct wf_access last;
    char target[32];
    bool refused;
};

static void note(void *arg, const struct wf_request *request, const struct wf_access *access)
{
    struct log *log = arg;
    log->last = *access;
    log->refused = !request;
    if (request)
        snprintf(log->target, sizeof log->target, "%s", wf_request_target(request));
    wfi_fetch_add(&log->count, 1);
}

static void every_answer_is_told(void **state)
{
    (void)state;
    struct log log = {0};
    struct wf_server_options options = {.access = note, .access_arg = &log};
    struct wf_server *server = start_one(&options, hello, NULL);
    ask(server, "GET /?x=%20 HTTP/1.1\r\n" CLOSE);
    ask(server, "GET /no HTTP/1.1\r\n" CLOSE);
    ask(server, "GET  / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(wf_server_stop(server, soon()), 0);
    assert_int_equal(wfi_load(&log.count), 3);
    assert_true(log.refused);
    assert_int_equal(log.last.status, 400);
    assert_string_equal(log.target, "/no");
    wf_server_destroy(server);
}

/* Does not look whether all was taken. */
static int lose_a_piece(struct wf_request *request, struct wf_response *response, void *arg)
{
    static char piece[12000];
    (void)request;
    memset(piece, 'x', sizeof piece);
    int err = wf_response_begin(response, 200, "text/plain", -1);
    if (!err)
        err = wf_response_write(response, "first", 5);
    if (!err)
        err = wf_response_flush(response);
    wfi_alloc_watch(1);
    (void)wf_response_write(response, piece, sizeof piece);
    *(bool *)arg = wfi_alloc_unwatch();
    return err;
}

static void an_answer_that_lacks_a_piece_is_broken_off(void **state)
{
    (void)state;
    bool failed = false;
    struct wf_server *server = start_one(NULL, lose_a_piece, &failed);
    struct client client;
    dial(&client, server);
    say(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(&client, "\r\n\r\n5\r\nfirst\r\n");
    forget(&client);
    (void)hears(&client, NULL);
    assert_string_equal(client.text, "");
    hang_up(&client);
    wf_server_destroy(server);
    assert_true(failed);
}

static void memory_runs_out_before_serving(void **state)
{
    (void)state;
    for (uint64_t n = 1, done = 0; !done; n++) {
        struct wf_server *server = NULL;
        wfi_alloc_watch(n);
        int err = wf_server_create(NULL, &server, NULL);
        if (!err)
            err = wf_server_route(server, &(struct wf_route){.path = "/{a}/b", .handler = hello},
                                  NULL);
        if (!err)
            err = wf_server_listen(server, "127.0.0.1:0", NULL, NULL);
        wf_server_destroy(server);
        assert_int_equal(wfi_alloc_live(), 0);
        done = !wfi_alloc_unwatch();
        assert_int_equal(err, done ? 0 : -ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_and_their_parameters),
        cmocka_unit_test(what_cannot_be_a_server_is_refused),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(a_client_that_waits_for_100_is_told_to_go_on),
        cmocka_unit_test(nobody_is_told_to_go_on_inside_an_answer),
        cmocka_unit_test(an_unread_body_ends_the_connection),
        cmocka_unit_test(what_is_no_request_is_refused),
        cmocka_unit_test(slow_requests_are_cut_off),
        cmocka_unit_test(answers_come_in_pieces),
        cmocka_unit_test(what_would_break_an_answer_is_refused),
        cmocka_unit_test(an_answer_that_breaks_takes_none_along),
        cmocka_unit_test(errors_have_their_status),
        cmocka_unit_test(json_in_and_out),
        cmocka_unit_test(files_and_parts_of_them),
        cmocka_unit_test(a_large_file_is_sent_whole),
        cmocka_unit_test(a_client_that_goes_away_cancels_its_handler),
        cmocka_unit_test(a_client_that_went_away_cancels_its_next_handler_too),
        cmocka_unit_test(a_stop_does_not_wait_for_clients_that_go_away),
        cmocka_unit_test(a_half_closed_client_may_have_its_answer),
        cmocka_unit_test(a_handler_has_its_time),
        cmocka_unit_test(context_locals_stay_in_their_request),
        cmocka_unit_test(events_flow_until_the_client_goes),
        cmocka_unit_test(a_client_that_does_not_read_is_given_up),
        cmocka_unit_test(connections_beyond_the_limit_wait),
        cmocka_unit_test(a_stop_answers_what_was_asked),
        cmocka_unit_test(a_stop_reads_a_body_to_its_end),
        cmocka_unit_test(a_stop_ends_idle_connections_and_meets_its_deadline),
        cmocka_unit_test(running_ends_when_it_is_cancelled),
        cmocka_unit_test(an_adopted_socket_outlives_its_server),
        cmocka_unit_test(every_answer_is_told),
        cmocka_unit_test(an_answer_that_lacks_a_piece_is_broken_off),
        cmocka_unit_test(memory_runs_out_before_serving),
    };
    return cmocka_run_group_tests_name("server", tests, set_up, tear_down);
}
