/* SPDX-License-Identifier: MIT */
/*
 * The server over TLS: what TLS must not change about requests and answers, and what it adds, with
 * clients that leave, wait or lie. (tls_test.c has the sessions by themselves.)
 */
#include "http/server_test.h"
#include "http/tls_client_test.h"

#include <errno.h>

#include <weft/event.h>

#include "base/atomic.h"

static char folder[] = "/tmp/weft-tls-XXXXXX";
static struct wf_tls *tls;
static SSL_CTX *context; /* of clients */

static struct wf_server *start_secure(const struct wf_server_options *options,
                                      const struct wf_route *route)
{
    struct wf_server *server = NULL;
    struct wf_error error = {0};
    int err = wf_server_create(options, &server, &error);
    if (!err)
        err = wf_server_route(server, route, &error);
    if (!err)
        err = wf_server_listen(server, "127.0.0.1:0", NULL, &error);
    assert_int_equal(wf_server_secure(server, 1, tls, NULL), -ENOENT);
    if (!err)
        err = wf_server_secure(server, 0, tls, &error);
    if (!err)
        err = wf_server_start(server, fibers, &error);
    if (err)
        fail_msg("%s", error.text);
    assert_int_equal(wf_server_secure(server, 0, tls, NULL), WF_ESTATE);
    return server;
}

static void call_by(struct tls_client *client, struct wf_server *server, SSL_CTX *by)
{
    struct wf_address at;
    struct wf_stream *stream;
    assert_int_equal(wf_server_address(server, 0, &at), 0);
    assert_int_equal(wf_dial_address(&at, NULL, &stream, in_time(), NULL), 0);
    tls_begin(client, by, stream);
    assert_int_equal(tls_connect(client), 1);
}

static void call(struct tls_client *client, struct wf_server *server)
{
    call_by(client, server, context);
}

/* All handlers of these tests are one, and the path says what it does. */
struct script {
    struct wf_event begun, go, ended;
    WFI_ATOMIC(int) code;
};

static int echo(struct wf_request *request, struct wf_response *response)
{
    const char *body;
    size_t len;
    int err = wf_request_body(request, &body, &len);
    return err ? err : wf_response_send(response, 200, "text/plain", body, len);
}

/* The sum of the bytes of a body, however large. */
static int add_up(struct wf_request *request, struct wf_response *response, struct script *script)
{
    unsigned char buf[3000];
    uint64_t sum = 0, len = 0;
    char text[60];
    ssize_t n;
    while ((n = wf_request_read(request, buf, sizeof buf)) > 0) {
        len += (uint64_t)n;
        for (ssize_t i = 0; i < n; i++)
            sum += buf[i];
    }
    wfi_store(&script->code, (int)n);
    wf_event_set(&script->ended);
    if (n < 0)
        return (int)n;
    snprintf(text, sizeof text, "%llu bytes, sum %llu", (unsigned long long)len,
             (unsigned long long)sum);
    return wf_response_text(response, 200, text);
}

static int wait_to_go(struct wf_response *response, struct script *script)
{
    wf_event_set(&script->begun);
    int err = wf_event_wait(&script->go, WF_FOREVER);
    wfi_store(&script->code, err);
    wf_event_set(&script->ended);
    return err ? err : wf_response_text(response, 200, "waited");
}

static int send_events(struct wf_response *response, struct script *script)
{
    int err = wf_response_event(response, &(struct wf_sse){.data = "first"});
    if (!err)
        err = wf_event_wait(&script->go, WF_FOREVER);
    return err ? err : wf_response_event(response, &(struct wf_sse){.data = "second"});
}

static int act(struct wf_request *request, struct wf_response *response, void *arg)
{
    struct script *script = arg;
    const char *what = wf_request_param(request, "what");
    if (strcmp(what, "echo") == 0)
        return echo(request, response);
    if (strcmp(what, "sum") == 0)
        return add_up(request, response, script);
    if (strcmp(what, "wait") == 0)
        return wait_to_go(response, script);
    if (strcmp(what, "events") == 0)
        return send_events(response, script);
    return wf_response_text(response, 200, wf_request_secure(request) ? "secure" : "plain");
}

static struct wf_server *start_script(const struct wf_server_options *options,
                                      struct script *script, struct wf_executor *on)
{
    wf_event_init(&script->begun);
    wf_event_init(&script->go);
    wf_event_init(&script->ended);
    wfi_store(&script->code, 1);
    return start_secure(
        options, &(struct wf_route){.path = "/{what}", .handler = act, .arg = script, .on = on});
}

static void await(struct wf_event *event)
{
    assert_int_equal(wf_event_wait(event, in_time()), 0);
}

static struct wf_server_counts counted(struct wf_server *server)
{
    struct wf_server_counts counts;
    wf_server_count(server, &counts);
    return counts;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define LAST(path) "GET " path " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

/* ---- requests ---- */

/* On fibers and on threads, over both versions, in one piece and byte by byte. */
static void requests_and_answers_are_as_ever(void **state)
{
    (void)state;
    struct script script;
    SSL_CTX *older = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(older, TLS1_2_VERSION);
    for (int i = 0; i < 4; i++) {
        struct wf_server *server = start_script(NULL, &script, i & 1 ? threads : NULL);
        struct tls_client client;
        call_by(&client, server, i & 2 ? older : context);
        for (size_t at_once = 0; at_once < 2; at_once++) {
            client.at_once = at_once;
            tls_say_text(&client, GET("/x"));
            tls_expect(&client, "HTTP/1.1 200 OK\r\n");
            tls_expect(&client, "\r\n\r\nsecure");
            tls_say_text(&client, GET("/x") "PUT /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
                                            "chunked\r\n\r\n2\r\ntw\r\n1\r\no\r\n0\r\n\r\n"
                                            "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n" GET("/none/x"));
            tls_expect(&client, "\r\n\r\nsecure");
            tls_expect(&client, "\r\n\r\ntwo");
            tls_expect(&client, "Content-Length: 6\r\n");
            tls_expect(&client, "\r\nHTTP/1.1 404 Not Found\r\n");
        }
        tls_say_text(&client, "PUT /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                              "Content-Length: 2\r\n\r\n");
        tls_expect(&client, "HTTP/1.1 100 Continue\r\n\r\n");
        tls_say_text(&client, "ab");
        tls_expect(&client, "\r\n\r\nab");
        tls_say_text(&client, LAST("/x"));
        tls_expect(&client, "Connection: close\r\n");
        tls_expect_end(&client);
        tls_hang_up(&client);
        assert_int_equal(wf_server_stop(server, in_time()), 0);
        assert_int_equal(counted(server).requests, 12);
        assert_int_equal(counted(server).refused, 0);
        wf_server_destroy(server);
    }
    SSL_CTX_free(older);
}

static void what_is_no_request_is_refused_in_words(void **state)
{
    (void)state;
    struct script script;
    struct wf_server *server = start_script(NULL, &script, NULL);
    struct tls_client client;
    call(&client, server);
    tls_say_text(&client, "GET / HTTP/1.1\r\n\r\n");
    tls_expect(&client, "HTTP/1.1 400 ");
    tls_expect_end(&client);
    tls_hang_up(&client);
    wf_server_destroy(server);
}

/* The handler reads while records come, larger and smaller than its buffer. */
static void a_large_body_comes_whole(void **state)
{
    (void)state;
    enum { LEN = 3000000 };
    struct script script;
    struct wf_server_options options = {.body_bytes_max = LEN};
    struct wf_server *server = start_script(&options, &script, NULL);
    struct tls_client client;
    char *body = malloc(LEN), text[100];
    uint64_t sum = 0;
    for (size_t i = 0; i < LEN; i++)
        sum += (unsigned char)(body[i] = (char)(i * 7 + i / 1000));
    call(&client, server);
    snprintf(text, sizeof text, "PUT /sum HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", LEN);
    tls_say_text(&client, text);
    for (size_t at = 0, piece = 1; at < LEN; at += piece) {
        piece = piece * 3 % 50021;
        piece = piece < LEN - at ? piece : LEN - at;
        tls_say(&client, body + at, piece);
    }
    snprintf(text, sizeof text, "%d bytes, sum %llu", LEN, (unsigned long long)sum);
    tls_expect(&client, text);
    free(body);
    tls_hang_up(&client);
    wf_server_destroy(server);
}

static int send_file(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request;
    return wf_response_file(response, arg, "application/octet-stream");
}

static void a_large_file_comes_whole(void **state)
{
    (void)state;
    enum { LEN = 3000001 };
    char path[100], text[100];
    unsigned char *body = malloc(LEN);
    for (size_t i = 0; i < LEN; i++)
        body[i] = (unsigned char)(i * 11 + i / 777);
    snprintf(path, sizeof path, "%s/large", folder);
    FILE *out = fopen(path, "w");
    assert_int_equal(fwrite(body, 1, LEN, out), LEN);
    fclose(out);
    struct wf_server *server =
        start_secure(NULL, &(struct wf_route){.path = "/", .handler = send_file, .arg = path});
    struct tls_client client;
    call(&client, server);
    tls_say_text(&client, GET("/"));
    tls_expect(&client, "\r\n\r\n");
    while (client.len < LEN)
        assert_int_equal(tls_read_more(&client), 1);
    assert_int_equal(client.len, LEN);
    assert_memory_equal(client.text, body, LEN);
    tls_forget(&client);
    tls_say_text(&client, "GET / HTTP/1.1\r\nHost: h\r\nRange: bytes=2999990-\r\n\r\n");
    snprintf(text, sizeof text, "Content-Range: bytes 2999990-3000000/%d\r\n", LEN);
    tls_expect(&client, text);
    tls_expect(&client, "\r\n\r\n");
    while (client.len < 11)
        assert_int_equal(tls_read_more(&client), 1);
    assert_memory_equal(client.text, body + 2999990, 11);
    tls_say_text(&client, "HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    tls_expect(&client, "\r\n\r\n");
    tls_expect_end(&client);
    assert_int_equal(client.len, 0);
    free(body);
    tls_hang_up(&client);
    wf_server_destroy(server);
}

static void events_come_as_they_are_sent(void **state)
{
    (void)state;
    struct script script;
    struct wf_server *server = start_script(NULL, &script, NULL);
    struct tls_client client;
    call(&client, server);
    tls_say_text(&client, GET("/events"));
    tls_expect(&client, "data: first\n\n");
    wf_event_set(&script.go);
    tls_expect(&client, "data: second\n\n");
    tls_hang_up(&client);
    wf_server_destroy(server);
}

/* ---- clients that leave ---- */

/* The announced length, or the last chunk, says where a body ends; the end of TLS does not. */
static void a_body_that_is_cut_off_is_no_body(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "PUT /sum HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc",
        "PUT /sum HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    };
    for (int i = 0; i < 4; i++) {
        struct script script;
        struct wf_server_options options = {.half_closed_clients = true};
        struct wf_server *server = start_script(&options, &script, NULL);
        struct tls_client client;
        call(&client, server);
        tls_say_text(&client, requests[i & 1]);
        if (i & 2)
            tls_take_leave(&client);
        else
            tls_hang_up(&client);
        await(&script.ended);
        int code = wfi_load(&script.code);
        if (code != WF_ESHORT && code != -ECONNRESET && code != -ECANCELED)
            fail_msg("%d: %d", i, code);
        wf_server_destroy(server);
    }
}

static void a_client_that_goes_away_cancels_its_handler(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct script script;
        struct wf_server *server = start_script(NULL, &script, i & 1 ? threads : NULL);
        struct tls_client client;
        call(&client, server);
        tls_say_text(&client, GET("/wait"));
        await(&script.begun);
        if (i & 2)
            tls_take_leave(&client);
        else
            tls_hang_up(&client);
        await(&script.ended);
        assert_int_equal(wfi_load(&script.code), -ECANCELED);
        assert_int_equal(wf_server_stop(server, in_time()), 0);
        assert_int_equal(counted(server).canceled, 1);
        wf_server_destroy(server);
    }
}

static void a_client_that_has_said_its_last_may_have_its_answer(void **state)
{
    (void)state;
    struct script script;
    struct wf_server *server = start_script(NULL, &script, NULL);
    struct tls_client client;
    call(&client, server);
    tls_say_text(&client, GET("/wait"));
    await(&script.begun);
    SSL_shutdown(client.ssl);
    assert_int_equal(tls_send(&client), 0);
    wf_event_set(&script.go);
    tls_expect(&client, "\r\n\r\nwaited");
    tls_expect_end(&client);
    tls_hang_up(&client);
    wf_server_destroy(server);
}

/* ---- clients that are none ---- */

/* Says `text`, which begins no handshake, and reads all. */
static const char *say_plainly(struct wf_server *server, const char *text)
{
    static struct client client;
    dial(&client, server);
    say(&client, text);
    expect_end(&client);
    hang_up(&client);
    return client.text;
}

static void plain_http_is_told_so(void **state)
{
    (void)state;
    struct script script;
    struct wf_server *server = start_script(NULL, &script, NULL);
    static const char *const requests[] = {GET("/"), "DELETE /x", "P"};
    for (size_t i = 0; i < 3; i++) {
        const char *text = say_plainly(server, requests[i]);
        assert_memory_equal(text, "HTTP/1.1 400 Bad Request\r\n", 26);
        assert_non_null(strstr(text, "ask with https://"));
    }
    assert_int_equal(wf_server_stop(server, in_time()), 0);
    assert_int_equal(counted(server).refused, 3);
    wf_server_destroy(server);
}

static void noise_is_refused(void **state)
{
    (void)state;
    struct script script;
    struct wf_server *server = start_script(NULL, &script, NULL);
    const char *text = say_plainly(server, "\x16\x03\x01\xff\xffnoise, and more noise\n");
    assert_memory_equal(text, "\x15\x03", 2); /* an alert */
    assert_int_equal(wf_server_stop(server, in_time()), 0);
    assert_int_equal(counted(server).refused, 1);
    wf_server_destroy(server);
}

static void slow_handshakes_are_cut_off(void **state)
{
    (void)state;
    struct script script;
    struct wf_server_options options = {.head_ns = WF_MILLISECONDS(50)};
    struct wf_server *server = start_script(&options, &script, NULL);
    assert_string_equal(say_plainly(server, ""), "");
    assert_string_equal(say_plainly(server, "\x16\x03\x01"), "");
    assert_int_equal(wf_server_stop(server, in_time()), 0);
    assert_int_equal(counted(server).connections, 2);
    wf_server_destroy(server);
}

/* ---- many ---- */

WF_TASK(int, test_ask_often, (struct wf_server *, server), (int, seed))
int test_ask_often(struct wf_task *self, struct wf_server *server, int seed, int *ret)
{
    struct tls_client client;
    struct wf_address at;
    struct wf_stream *stream;
    (void)self;
    *ret = 0;
    assert_int_equal(wf_server_address(server, 0, &at), 0);
    assert_int_equal(wf_dial_address(&at, NULL, &stream, in_time(), NULL), 0);
    tls_begin(&client, context, stream);
    if (seed % 8 == 1) { /* goes away in the handshake */
        SSL_connect(client.ssl);
        (void)tls_send(&client);
    } else if (tls_connect(&client) == 1) {
        char text[100];
        int asked = 1 + seed % 3;
        for (int i = 0; i < asked; i++) {
            int len = snprintf(text, sizeof text,
                               "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n%010d",
                               seed * 10 + i);
            tls_say(&client, text, (size_t)len);
            tls_expect(&client, text + len - 10);
        }
        *ret = asked;
        if (seed % 8 == 2) {
            tls_take_leave(&client);
            return 0;
        }
    }
    tls_hang_up(&client);
    return 0;
}
WF_TASK_DEFINE(test_ask_often)

/* The clients are on threads, as they call OpenSSL where they are. */
static void two_hundred_at_once(void **state)
{
    (void)state;
    struct script script;
    struct wf_executor *crowd;
    assert_int_equal(wf_threads_create(&(struct wf_threads_options){.workers = 200}, &crowd, NULL),
                     0);
    struct wf_server *server = start_script(NULL, &script, NULL);
    test_ask_often_future asking[200];
    uint64_t asked = 0;
    for (int i = 0; i < 200; i++)
        asking[i] = test_ask_often_submit(crowd, server, i);
    for (int i = 0; i < 200; i++) {
        int n;
        assert_int_equal(test_ask_often_result(&asking[i], &n, in_time(), NULL), 0);
        assert_true(n > 0 || i % 8 == 1);
        asked += (uint64_t)n;
    }
    assert_int_equal(wf_server_stop(server, in_time()), 0);
    assert_int_equal(counted(server).connections, 200);
    assert_int_equal(counted(server).connections_open, 0);
    assert_int_equal(counted(server).requests, asked);
    wf_server_destroy(server);
    wf_executor_destroy(crowd);
}

/* ---- the end ---- */

static void a_stop_tells_everybody(void **state)
{
    (void)state;
    struct script script;
    struct wf_server_options options = {.linger_ns = 1};
    struct wf_server *server = start_script(&options, &script, NULL);
    struct tls_client busy, idle, fresh;
    struct client silent;
    call(&busy, server);
    call(&idle, server);
    call(&fresh, server);
    dial(&silent, server);
    tls_say_text(&idle, GET("/x"));
    tls_expect(&idle, "\r\n\r\nsecure");
    tls_say_text(&busy, GET("/wait"));
    await(&script.begun);
    assert_int_equal(wf_server_stop(server, WF_NOW), -ETIMEDOUT);
    tls_expect_end(&idle);
    tls_expect_end(&fresh);
    expect_end(&silent);
    assert_int_equal(silent.len, 0);
    /* A request that is broken off must not look answered. */
    while (tls_read_more(&busy) == 1)
        ;
    assert_null(strstr(busy.text ? busy.text : "", "waited"));
    tls_hang_up(&busy);
    tls_hang_up(&idle);
    tls_hang_up(&fresh);
    hang_up(&silent);
    wf_server_destroy(server);
}

WF_TASK(int, test_stop_server, (struct wf_server *, server))
int test_stop_server(struct wf_task *self, struct wf_server *server, int *ret)
{
    (void)self;
    *ret = wf_server_stop(server, in_time());
    return 0;
}
WF_TASK_DEFINE(test_stop_server)

static void a_stop_waits_for_answers(void **state)
{
    (void)state;
    struct script script;
    struct wf_server_options options = {.linger_ns = 1};
    struct wf_server *server = start_script(&options, &script, NULL);
    struct tls_client busy, idle;
    int stopped;
    call(&busy, server);
    call(&idle, server);
    tls_say_text(&busy, GET("/wait"));
    await(&script.begun);
    test_stop_server_future stopping = test_stop_server_submit(threads, server);
    tls_expect_end(&idle); /* so it is being stopped */
    wf_event_set(&script.go);
    tls_expect(&busy, "Connection: close\r\n");
    tls_expect(&busy, "\r\nwaited");
    tls_expect_end(&busy);
    assert_int_equal(test_stop_server_result(&stopping, &stopped, in_time(), NULL), 0);
    assert_int_equal(stopped, 0);
    tls_hang_up(&busy);
    tls_hang_up(&idle);
    wf_server_destroy(server);
}

static int set_up_tls(void **state)
{
    if (!mkdtemp(folder))
        return -1;
    struct certificate site =
        make_certificate(folder, "site", &(struct wanted){.name = "site.test"});
    struct wf_tls_options options = {.chain_file = site.chain, .key_file = site.key};
    context = SSL_CTX_new(TLS_client_method());
    int err = wf_tls_create(&options, &tls, NULL);
    return err ? err : set_up(state);
}

static int tear_down_tls(void **state)
{
    char command[200];
    tear_down(state);
    wf_tls_destroy(tls);
    SSL_CTX_free(context);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_and_answers_are_as_ever),
        cmocka_unit_test(what_is_no_request_is_refused_in_words),
        cmocka_unit_test(a_large_body_comes_whole),
        cmocka_unit_test(a_large_file_comes_whole),
        cmocka_unit_test(events_come_as_they_are_sent),
        cmocka_unit_test(a_body_that_is_cut_off_is_no_body),
        cmocka_unit_test(a_client_that_goes_away_cancels_its_handler),
        cmocka_unit_test(a_client_that_has_said_its_last_may_have_its_answer),
        cmocka_unit_test(plain_http_is_told_so),
        cmocka_unit_test(noise_is_refused),
        cmocka_unit_test(slow_handshakes_are_cut_off),
        cmocka_unit_test(two_hundred_at_once),
        cmocka_unit_test(a_stop_tells_everybody),
        cmocka_unit_test(a_stop_waits_for_answers),
    };
    return cmocka_run_group_tests_name("server over TLS", tests, set_up_tls, tear_down_tls);
}
