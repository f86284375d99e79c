/* SPDX-License-Identifier: MIT */
/*
 * The test site's server over loopback: the server on fibers, the client a plain thread that writes
 * bytes and reads bytes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <weft/fibers.h>
#include <weft/future.h>
#include <weft/net.h>

#include "site/request.h"
#include "site/server.h"

WF_TASK(wf_none, run_site, (struct site_server *, server))

int run_site(struct wf_task *self, struct site_server *server, wf_none *ret)
{
    (void)ret;
    return site_server_run(server, wf_task_executor(self));
}
WF_TASK_DEFINE(run_site)

/* ---- a site for each test ---- */

static struct wf_executor *on;
static struct site_server *server;
static run_site_future running;
static wf_deadline patience;

static void start(struct site_server_options options)
{
    struct wf_error error = {0};
    patience = wf_after(WF_SECONDS(30));
    assert_int_equal(site_server_open(&options, &server, &error), 0);
    assert_int_equal(wf_fibers_create(&(struct wf_fibers_options){.workers = 2}, &on, &error), 0);
    running = run_site_submit(on, server);
}

static int stop(void **state)
{
    (void)state;
    wf_none none;
    if (!on)
        return 0;
    wf_future_cancel(running.future);
    int err = run_site_result(&running, &none, wf_after(WF_SECONDS(30)), NULL);
    wf_executor_destroy(on);
    site_server_close(server);
    on = NULL;
    server = NULL;
    return err == 0 || err == -ECANCELED ? 0 : -1;
}

/* ---- a client ---- */

struct client {
    struct wf_stream *stream;
    char in[1 << 20];
    size_t len;
};

/* Beyond what a stack should hold. */
static struct client clients[8];

static void dial(struct client *c)
{
    char endpoint[32];
    struct wf_error error = {0};
    snprintf(endpoint, sizeof(endpoint), "127.0.0.1:%u", (unsigned)site_server_port(server));
    c->len = 0;
    assert_int_equal(wf_dial(endpoint, NULL, &c->stream, patience, &error), 0);
}

static void hang_up(struct client *c)
{
    wf_stream_close(c->stream);
    c->stream = NULL;
}

static void say(struct client *c, const char *text)
{
    assert_int_equal(wf_stream_write(c->stream, text, strlen(text), patience), 0);
}

/* One read; returns what wf_stream_read does. */
static ssize_t hear(struct client *c)
{
    assert_true(c->len < sizeof(c->in) - 1);
    ssize_t got = wf_stream_read(c->stream, c->in + c->len, sizeof(c->in) - 1 - c->len, patience);
    if (got > 0)
        c->len += (size_t)got;
    c->in[c->len] = 0;
    return got;
}

struct answer {
    int status;
    size_t announced, body_len;
    char head[1024];
    char *body; /* in the client's buffer, until the next answer */
};

/* Reads one answer; `has_body` is false after HEAD. What follows it stays for the next call. */
static void read_answer(struct client *c, bool has_body, struct answer *answer)
{
    static char kept[1 << 20];
    char *end;
    while (!(end = strstr(c->in, "\r\n\r\n")) || c->len == 0)
        assert_true(hear(c) > 0);
    size_t head = (size_t)(end - c->in) + 4;
    assert_true(head < sizeof(answer->head));
    memcpy(answer->head, c->in, head);
    answer->head[head] = 0;
    assert_int_equal(sscanf(answer->head, "HTTP/1.1 %d", &answer->status), 1);
    const char *length = strstr(answer->head, "Content-Length: ");
    assert_non_null(length);
    answer->announced = strtoul(length + 16, NULL, 10);
    answer->body_len = has_body ? answer->announced : 0;
    while (c->len < head + answer->body_len)
        assert_true(hear(c) > 0);
    memcpy(kept, c->in + head, answer->body_len);
    kept[answer->body_len] = 0;
    answer->body = kept;
    c->len -= head + answer->body_len;
    memmove(c->in, c->in + head + answer->body_len, c->len + 1);
}

/* The connection has been ended by the server, with nothing left to read. */
static void expect_end(struct client *c)
{
    assert_int_equal(c->len, 0);
    assert_int_equal(hear(c), 0);
}

static void begin(struct client *c)
{
    c->in[0] = 0;
    dial(c);
}

static unsigned long long stat_of(const char *name)
{
    struct client *c = &clients[7];
    struct answer answer;
    char quoted[64];
    begin(c);
    say(c, "GET /stats.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    read_answer(c, true, &answer);
    hang_up(c);
    snprintf(quoted, sizeof(quoted), "\"%s\":", name);
    const char *at = strstr(answer.body, quoted);
    assert_non_null(at);
    return strtoull(at + strlen(quoted), NULL, 10);
}

/* ---- tests ---- */

static const struct site_server_options blog = {.site = {SITE_BLOG, 50, 1}};

static void connection_serves_many_requests(void **state)
{
    (void)state;
    struct answer answer;
    struct client *c = &clients[0];
    start(blog);
    begin(c);
    for (int i = 0; i < 3; i++) {
        say(c, "GET /sitehome/p/3 HTTP/1.1\r\nHost: x\r\n\r\n");
        read_answer(c, true, &answer);
        assert_int_equal(answer.status, 200);
        assert_int_equal(answer.body_len, 69699);
        assert_null(strstr(answer.head, "Connection"));
    }
    hang_up(c);
    assert_int_equal(stat_of("requests"), 3);
    assert_int_equal(stat_of("connections_max") <= 2, 1);
    assert_int_equal(stat_of("urls_fetched"), 1);
    assert_int_equal(stat_of("urls_fetched_twice"), 1);
    assert_int_equal(stat_of("most_fetches"), 3);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct answer answer;
    struct client *c = &clients[0];
    start(blog);
    begin(c);
    say(c, "GET /sitehome/p/3 HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
           "GET /none HTTP/1.1\r\nHost: x\r\n\r\nGET /sitehome/p/43 HTTP/1.1\r\nHost: x\r\n\r\n");
    read_answer(c, true, &answer);
    assert_int_equal(answer.announced, 69699);
    read_answer(c, false, &answer);
    assert_int_equal(answer.status, 200);
    assert_in_range(answer.announced, 69699, 71057);
    read_answer(c, true, &answer);
    assert_int_equal(answer.status, 404);
    read_answer(c, true, &answer);
    assert_int_equal(answer.announced, 71057);
    hang_up(c);
}

static void request_may_come_in_pieces(void **state)
{
    (void)state;
    static const char text[] = "GET /sitehome/p/3 HTTP/1.1\r\nHost: x\r\n\r\n";
    struct answer answer;
    struct client *c = &clients[0];
    start(blog);
    begin(c);
    for (size_t i = 0; i < sizeof(text) - 1; i++)
        say(c, (char[]){text[i], 0});
    read_answer(c, true, &answer);
    assert_int_equal(answer.announced, 69699);
    hang_up(c);
}

static void connection_ends_when_the_client_says_so(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    };
    struct answer answer;
    struct client *c = &clients[0];
    start(blog);
    for (size_t i = 0; i < 2; i++) {
        begin(c);
        say(c, requests[i]);
        read_answer(c, true, &answer);
        assert_int_equal(answer.status, 200);
        assert_non_null(strstr(answer.head, "\r\nConnection: close\r\n"));
        expect_end(c);
        hang_up(c);
    }
}

static void what_is_not_http_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"\x16\x03\x01\x02 hello", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", 413},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501},
    };
    struct answer answer;
    struct client *c = &clients[0];
    start(blog);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin(c);
        say(c, cases[i].text);
        read_answer(c, true, &answer);
        assert_int_equal(answer.status, cases[i].status);
        expect_end(c);
        hang_up(c);
    }
    begin(c);
    char *long_head = malloc(REQUEST_HEAD_MAX + 1);
    memset(long_head, 'a', REQUEST_HEAD_MAX);
    long_head[REQUEST_HEAD_MAX] = 0;
    say(c, long_head);
    read_answer(c, true, &answer);
    assert_int_equal(answer.status, 431);
    hang_up(c);
    free(long_head);
    assert_int_equal(stat_of("refused"), 6);
}

static void body_is_asked_for_with_continue(void **state)
{
    (void)state;
    struct answer answer;
    struct client *c = &clients[0];
    start(blog);
    begin(c);
    say(c, "POST /AggSite/AggSitePostList HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
           "Content-Length: 2\r\n\r\n");
    while (!strstr(c->in, "HTTP/1.1 100 Continue\r\n\r\n"))
        assert_true(hear(c) > 0);
    c->len = 0;
    c->in[0] = 0;
    say(c, "{}");
    read_answer(c, true, &answer);
    assert_int_equal(answer.status, 403);
    assert_non_null(strstr(answer.body, "missing header: user-agent"));
    hang_up(c);
}

static void silent_clients_are_not_waited_for(void **state)
{
    (void)state;
    struct site_server_options options = blog;
    options.idle_ns = WF_MILLISECONDS(30);
    options.request_ns = WF_MILLISECONDS(60);
    struct client *c = &clients[0];
    start(options);
    begin(c);
    expect_end(c);
    hang_up(c);
    begin(c);
    say(c, "GET / HT");
    expect_end(c);
    hang_up(c);
}

static void answers_come_after_the_delay(void **state)
{
    (void)state;
    struct site_server_options options = {.site = {SITE_LATENCY, 50, 1},
                                          .delay_ns = WF_MILLISECONDS(100)};
    struct answer answer;
    start(options);
    for (int i = 0; i < 4; i++)
        begin(&clients[i]);
    int64_t asked = wf_now();
    for (int i = 0; i < 4; i++)
        say(&clients[i], "GET /p/7 HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 0; i < 4; i++) {
        read_answer(&clients[i], true, &answer);
        assert_true(wf_now() - asked >= WF_MILLISECONDS(100));
        hang_up(&clients[i]);
    }
    assert_int_equal(stat_of("in_flight_max"), 4);
    assert_int_equal(stat_of("in_flight"), 0);
}

static void spellings_count_as_one_url(void **state)
{
    (void)state;
    struct answer answer;
    struct client *c = &clients[0];
    start((struct site_server_options){.site = {SITE_DEEP, 50, 1}});
    begin(c);
    say(c, "GET /s0/p3/ HTTP/1.1\r\nHost: x\r\n\r\nGET /s0/./%703/ HTTP/1.1\r\nHost: x\r\n\r\n"
           "GET /trap/1 HTTP/1.1\r\nHost: x\r\n\r\nGET /manifest.json HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 0; i < 4; i++)
        read_answer(c, true, &answer);
    assert_non_null(strstr(answer.head, "Content-Type: application/json\r\n"));
    hang_up(c);
    assert_int_equal(stat_of("urls_fetched"), 1);
    assert_int_equal(stat_of("urls_fetched_twice"), 1);
    assert_int_equal(stat_of("unknown"), 1);
}

static void one_site_is_short_when_five_are_in_flight(void **state)
{
    (void)state;
    struct answer answer;
    start(
        (struct site_server_options){.site = {SITE_SITES, 1, 1}, .delay_ns = WF_MILLISECONDS(300)});
    for (int crowd = 4; crowd <= 5; crowd++) {
        for (int i = 0; i < crowd; i++) {
            begin(&clients[i]);
            say(&clients[i], i == 0 ? "GET /news.baidu.com/ HTTP/1.1\r\nHost: x\r\n\r\n"
                                    : "GET /www.baidu.com/ HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        for (int i = 0; i < crowd; i++) {
            read_answer(&clients[i], true, &answer);
            if (i == 0)
                assert_int_equal(answer.body_len, crowd < 5 ? 73977 : 149);
            else
                assert_int_equal(answer.body_len, 2443);
            hang_up(&clients[i]);
        }
    }
}

/* Sends a request and reads to the end; returns the last read's outcome. */
static ssize_t provoke(struct client *c, const char *path)
{
    char request[128];
    ssize_t got;
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    begin(c);
    say(c, request);
    while ((got = hear(c)) > 0 && c->len < sizeof(c->in) / 2)
        ;
    return got;
}

static size_t announced(const struct client *c)
{
    const char *length = strstr(c->in, "Content-Length: ");
    return length ? strtoul(length + 16, NULL, 10) : 0;
}

static size_t came(const struct client *c)
{
    const char *end = strstr(c->in, "\r\n\r\n");
    return end ? c->len - (size_t)(end + 4 - c->in) : 0;
}

static void hostile_pages_do_what_they_say(void **state)
{
    (void)state;
    struct client *c = &clients[0];
    struct answer answer;
    start((struct site_server_options){.site = {SITE_HOSTILE, 1, 1}});
    assert_int_equal(provoke(c, "/early"), 0);
    assert_int_equal(came(c), announced(c) / 2);
    hang_up(c);
    assert_int_equal(provoke(c, "/lie-long"), 0);
    assert_int_equal(came(c), announced(c) - 1000);
    hang_up(c);
    assert_int_equal(provoke(c, "/lie-short"), 0);
    assert_true(came(c) > announced(c));
    hang_up(c);
    assert_int_equal(provoke(c, "/garbage"), 0);
    assert_int_equal(c->in[0], 0x16);
    hang_up(c);
    assert_int_equal(provoke(c, "/reset"), -ECONNRESET);
    hang_up(c);
    assert_true(provoke(c, "/huge") > 0);
    assert_int_equal(announced(c), 1024 * 1024 * 1024);
    hang_up(c);
    assert_true(provoke(c, "/huge-chunks") > 0);
    assert_non_null(strstr(c->in, "\r\n\r\n10000\r\n"));
    hang_up(c);

    patience = wf_after(WF_MILLISECONDS(300));
    assert_int_equal(provoke(c, "/hang"), -ETIMEDOUT);
    assert_int_equal(c->len, 0);
    hang_up(c);
    patience = wf_after(WF_MILLISECONDS(300));
    assert_int_equal(provoke(c, "/slow"), -ETIMEDOUT);
    assert_true(came(c) < 20);
    hang_up(c);

    patience = wf_after(WF_SECONDS(30));
    begin(c);
    say(c, "GET /good HTTP/1.1\r\nHost: x\r\n\r\n");
    read_answer(c, true, &answer);
    assert_int_equal(answer.status, 200);
    hang_up(c);
}

static void stopping_ends_connections(void **state)
{
    (void)state;
    struct client *idle = &clients[0], *waiting = &clients[1];
    struct answer answer;
    struct site_server_options options = blog;
    start(options);
    begin(idle);
    begin(waiting);
    say(idle, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    read_answer(idle, false, &answer);
    say(waiting, "GET / HT");
    assert_int_equal(stop(NULL), 0);
    assert_true(hear(idle) <= 0);
    assert_true(hear(waiting) <= 0);
    hang_up(idle);
    hang_up(waiting);
}

int main(void)
{
#define SITE_TEST(name) cmocka_unit_test_teardown(name, stop)
    const struct CMUnitTest tests[] = {
        SITE_TEST(connection_serves_many_requests),
        SITE_TEST(pipelined_requests_are_answered_in_order),
        SITE_TEST(request_may_come_in_pieces),
        SITE_TEST(connection_ends_when_the_client_says_so),
        SITE_TEST(what_is_not_http_is_refused),
        SITE_TEST(body_is_asked_for_with_continue),
        SITE_TEST(silent_clients_are_not_waited_for),
        SITE_TEST(answers_come_after_the_delay),
        SITE_TEST(spellings_count_as_one_url),
        SITE_TEST(one_site_is_short_when_five_are_in_flight),
        SITE_TEST(hostile_pages_do_what_they_say),
        SITE_TEST(stopping_ends_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
