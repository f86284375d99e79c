/* SPDX-License-Identifier: MIT */
/* The debug routes on loopback: what they show, to whom, and how their streams end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weft/debug.h>
#include <weft/event.h>
#include <weft/fibers.h>
#include <weft/inspect.h>
#include <weft/json.h>
#include <weft/task.h>

#include "base/alloc.h"
#include "base/buffer.h"

static struct wf_executor *fibers;

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

WF_TASK(int, linger_here, (struct wf_event *, release))

int linger_here(struct wf_task *self, struct wf_event *release, int *ret)
{
    (void)self;
    *ret = 0;
    return wf_event_wait(release, soon());
}
WF_TASK_DEFINE(linger_here)

static int hello(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request, (void)arg;
    return wf_response_text(response, 200, "hello");
}

static struct wf_server *start(void)
{
    struct wf_server *server;
    struct wf_error error;
    struct wf_server_options options = {.linger_ns = 1};
    int err = wf_server_create(&options, &server, &error);
    if (!err)
        err = wf_server_debug(server, "/debug", &error);
    if (!err)
        err =
            wf_server_route(server, &(struct wf_route){.path = "/hello", .handler = hello}, &error);
    if (!err)
        err = wf_server_listen(server, "127.0.0.1:0", NULL, &error);
    if (!err)
        err = wf_server_start(server, fibers, &error);
    if (err)
        fail_msg("%s", error.text);
    return server;
}

static void dial(struct wf_server *server, struct wf_stream **ret_stream)
{
    struct wf_address at;
    assert_int_equal(wf_server_address(server, 0, &at), 0);
    assert_int_equal(wf_dial_address(&at, NULL, ret_stream, soon(), NULL), 0);
}

/* What came for a request of one connection; lives until the next. */
static const char *ask(struct wf_server *server, const char *line, const char *fields)
{
    static struct wfi_buffer text;
    struct wf_stream *stream;
    char request[1024];
    ssize_t n;
    snprintf(request, sizeof request, "%s HTTP/1.1\r\nConnection: close\r\n%s\r\n", line, fields);
    dial(server, &stream);
    assert_int_equal(wf_stream_write(stream, request, strlen(request), soon()), 0);
    wfi_buffer_clear(&text);
    do {
        assert_int_equal(wfi_buffer_reserve(&text, 65536), 0);
        n = wf_stream_read(stream, text.data + text.len, 65536, soon());
        assert_true(n >= 0);
        text.len += (size_t)n;
    } while (n > 0);
    wf_stream_close(stream);
    return wfi_buffer_text(&text);
}

#define LOCAL "Host: localhost:1\r\n"

static void expect(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no \"%s\" in \"%.2000s\"", part, text);
}

static size_t occurrences(const char *text, const char *part)
{
    size_t count = 0;
    while ((text = strstr(text, part))) {
        count++;
        text += strlen(part);
    }
    return count;
}

/* The body without its chunks' heads, in place. */
static char *body_of(const char *answer)
{
    char *text = (char *)(uintptr_t)strstr(answer, "\r\n\r\n"), *from, *to;
    assert_non_null(text);
    from = to = text += 4;
    if (!strstr(answer, "Transfer-Encoding: chunked"))
        return text;
    for (;;) {
        size_t len = strtoul(from, &from, 16);
        if (!len)
            break;
        memmove(to, from + 2, len);
        to += len;
        from += len + 4;
    }
    *to = '\0';
    return text;
}

static struct wf_json *json_of(const char *answer)
{
    struct wf_json *json;
    struct wf_error error;
    const char *body = body_of(answer);
    if (wf_json_read(body, strlen(body), NULL, &json, &error))
        fail_msg("%s in \"%.500s\"", error.text, body);
    return json;
}

static const char *text_at(const struct wf_json_value *object, const char *key)
{
    const struct wf_json_value *value = wf_json_get(object, key);
    return value && wf_json_type(value) == WF_JSON_STRING ? wf_json_text(value, NULL) : "";
}

enum { HELD = 60 };

static struct wf_event release;
static linger_here_future held[HELD];

static void hold_some(void)
{
    wf_event_init(&release);
    for (int i = 0; i < HELD; i++) {
        char name[32];
        snprintf(name, sizeof name, "lingerer <%d>", i);
        struct wf_submit_options options = {.name = name};
        held[i] = linger_here_submit_with(fibers, &options, &release);
    }
    size_t waiting = 0;
    wf_deadline limit = soon();
    while (waiting < HELD && wf_remaining(limit) > 0) {
        struct wf_inspect_cursor cursor = {0};
        struct wf_seen_party party;
        waiting = 0;
        while (wf_inspect_parties(&cursor, &party, 1) > 0)
            waiting += party.state == WF_PARTY_WAITING && party.task.name &&
                       strcmp(party.task.name, "linger_here") == 0;
    }
    assert_int_equal(waiting, HELD);
}

static void let_go(void)
{
    wf_event_set(&release);
    for (int i = 0; i < HELD; i++)
        assert_int_equal(linger_here_result(&held[i], NULL, soon(), NULL), 0);
    wf_event_fini(&release);
}

static void all_tasks_are_listed_as_text(void **state)
{
    (void)state;
    struct wf_server *server = start();
    hold_some();
    const char *text = ask(server, "GET /debug/tasks", LOCAL);
    expect(text, "HTTP/1.1 200 OK\r\n");
    expect(text, "Content-Type: text/plain; charset=utf-8\r\n");
    expect(text, "Cache-Control: no-store\r\n");
    expect(text, "\nworker watched_0 ");
    expect(text, "\nexecutor watched (fibers): ");
    expect(text, "\ntask linger_here (lingerer <0>) running 0.");
    expect(text, "\ntask linger_here (lingerer <59>) running 0.");
    assert_int_equal(occurrences(text, "\ntask linger_here "), HELD);
    assert_int_equal(occurrences(text, " task linger_here (lingerer <"), HELD);
    assert_true(occurrences(text, " s for event 0x") >= HELD);
    text = ask(server, "HEAD /debug/tasks", LOCAL);
    expect(text, "HTTP/1.1 200 OK\r\n");
    assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
    let_go();
    wf_server_destroy(server);
}

static void all_tasks_are_listed_as_json(void **state)
{
    (void)state;
    static const char *const asking[][2] = {
        {"GET /debug/tasks?format=json", LOCAL},
        {"GET /debug/tasks", LOCAL "Accept: application/json, text/plain;q=0.5\r\n"},
    };
    struct wf_server *server = start();
    hold_some();
    for (size_t i = 0; i < 2; i++) {
        const char *answer = ask(server, asking[i][0], asking[i][1]);
        expect(answer, "Content-Type: application/json\r\n");
        expect(answer, "Vary: Accept");
        struct wf_json *json = json_of(answer);
        const struct wf_json_value *root = wf_json_root(json);
        const struct wf_json_value *tasks = wf_json_get(root, "tasks");
        const struct wf_json_value *parties = wf_json_get(root, "parties");
        size_t found = 0, waiting = 0;
        for (size_t k = 0; k < wf_json_count(tasks); k++)
            if (strcmp(text_at(wf_json_at(tasks, k), "name"), "linger_here") == 0) {
                assert_string_equal(text_at(wf_json_at(tasks, k), "executor"), "watched");
                assert_int_equal(strncmp(text_at(wf_json_at(tasks, k), "own_name"), "lingerer", 8),
                                 0);
                found++;
            }
        for (size_t k = 0; k < wf_json_count(parties); k++) {
            const struct wf_json_value *task = wf_json_get(wf_json_at(parties, k), "task");
            if (wf_json_type(task) == WF_JSON_OBJECT &&
                strcmp(text_at(task, "name"), "linger_here") == 0) {
                assert_string_equal(text_at(wf_json_at(parties, k), "waits_for"), "event");
                waiting++;
            }
        }
        assert_int_equal(found, HELD);
        assert_int_equal(waiting, HELD);
        wf_json_destroy(json);
    }
    let_go();
    expect(ask(server, "GET /debug/tasks?format=xml", LOCAL), "HTTP/1.1 400 ");
    wf_server_destroy(server);
}

static void a_snapshot_shows_a_few_of_each_name(void **state)
{
    (void)state;
    struct wf_server *server = start();
    hold_some();
    for (int i = 0; i < 5; i++)
        expect(ask(server, "GET /hello", LOCAL), "hello");
    struct wf_json *json = json_of(ask(server, "GET /debug/snapshot", LOCAL));
    const struct wf_json_value *root = wf_json_root(json);
    const struct wf_json_value *groups = wf_json_get(root, "groups"), *group = NULL;
    for (size_t i = 0; i < wf_json_count(groups); i++)
        if (strcmp(text_at(wf_json_at(groups, i), "name"), "linger_here") == 0)
            group = wf_json_at(groups, i);
    assert_non_null(group);
    int64_t number = 0;
    assert_int_equal(wf_json_int(wf_json_get(group, "running"), &number), 0);
    assert_int_equal(number, HELD);
    assert_int_equal(wf_json_int(wf_json_get(group, "waiting"), &number), 0);
    assert_int_equal(number, HELD);
    assert_int_equal(wf_json_int(wf_json_get(wf_json_get(group, "reasons"), "event"), &number), 0);
    assert_int_equal(number, HELD);
    const struct wf_json_value *tasks = wf_json_get(group, "tasks");
    assert_int_equal(wf_json_count(tasks), 8);
    for (size_t i = 0; i < 8; i++) {
        assert_string_equal(text_at(wf_json_at(tasks, i), "waits_for"), "event");
        assert_int_equal(strncmp(text_at(wf_json_at(tasks, i), "place"), "watched_", 8), 0);
    }
    const struct wf_json_value *all = wf_json_get(wf_json_get(root, "server"), "all");
    assert_int_equal(wf_json_int(wf_json_get(all, "count"), &number), 0);
    assert_int_equal(number, 5);
    struct wf_latency latency;
    wf_server_latency(server, &latency);
    assert_int_equal(latency.count, 6); /* and the snapshot */
    assert_true(latency.max_ns > 0 && latency.sum_ns >= latency.max_ns);
    wf_json_destroy(json);
    let_go();
    wf_server_destroy(server);
}

static void the_page_comes_from_here_alone(void **state)
{
    (void)state;
    static const char *const files[][2] = {
        {"GET /debug/", "text/html; charset=utf-8"},
        {"GET /debug/index.html", "text/html; charset=utf-8"},
        {"GET /debug/debug.css", "text/css; charset=utf-8"},
        {"GET /debug/debug.js", "text/javascript; charset=utf-8"},
        {"GET /debug/icon.svg", "image/svg+xml"},
    };
    struct wf_server *server = start();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *text = ask(server, files[i][0], LOCAL);
        char type[64];
        snprintf(type, sizeof type, "Content-Type: %s\r\n", files[i][1]);
        expect(text, "HTTP/1.1 200 OK\r\n");
        expect(text, type);
        expect(text, "Content-Security-Policy: default-src 'none'; script-src 'self'; ");
        expect(text, "X-Content-Type-Options: nosniff\r\n");
        expect(text, "Cross-Origin-Resource-Policy: same-origin\r\n");
        if (strcmp(files[i][1], "image/svg+xml") != 0) /* which names its namespace */
            assert_null(strstr(text, "http://www.w3.org/1999"));
        assert_null(strstr(text, "https://"));
    }
    expect(ask(server, "GET /debug", LOCAL), "\r\nLocation: debug/\r\n");
    expect(ask(server, "GET /debug/other.js", LOCAL), "HTTP/1.1 404 ");
    expect(ask(server, "POST /debug/tasks", LOCAL "Content-Length: 0\r\n"), "HTTP/1.1 405 ");
    wf_server_destroy(server);
}

static void nobody_else_is_let_in(void **state)
{
    (void)state;
    static const char *const paths[] = {"GET /debug",          "GET /debug/",
                                        "GET /debug/debug.js", "GET /debug/tasks",
                                        "GET /debug/snapshot", "GET /debug/events"};
    static const char *const refused[] = {
        "Host: example.org\r\n",
        "Host: 192.0.2.1:80\r\n",
        LOCAL "X-Forwarded-For: 192.0.2.1\r\n",
        LOCAL "X-Forwarded-For: 127.0.0.1, 192.0.2.1\r\n",
        LOCAL "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-For: 192.0.2.1\r\n",
        LOCAL "Forwarded: for=127.0.0.1\r\n",
    };
    struct wf_server *server = start();
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        for (size_t k = 0; k < sizeof refused / sizeof *refused; k++) {
            const char *text = ask(server, paths[i], refused[k]);
            expect(text, "HTTP/1.1 403 ");
            assert_null(strstr(text, "wfi_"));
        }
    expect(ask(server, "GET /debug/tasks", LOCAL "X-Forwarded-For: 127.0.0.1, ::1\r\n"), " 200 OK");
    expect(ask(server, "GET /debug/tasks", "Host: [::1]:8000\r\n"), " 200 OK");
    expect(ask(server, "GET /hello", "Host: example.org\r\n"), " 200 OK");
    wf_server_destroy(server);
}

/* Reads until `count` events have come whole. */
static void follow(struct wf_stream *stream, size_t count, struct wfi_buffer *text)
{
    while (occurrences(text->len ? wfi_buffer_text(text) : "", "}\n\n") < count) {
        assert_int_equal(wfi_buffer_reserve(text, 65536), 0);
        ssize_t n = wf_stream_read(stream, text->data + text->len, 65536, soon());
        assert_true(n > 0);
        text->len += (size_t)n;
    }
}

static void begin_events(struct wf_server *server, struct wf_stream **ret_stream)
{
    static const char request[] = "GET /debug/events HTTP/1.1\r\n" LOCAL "\r\n";
    dial(server, ret_stream);
    assert_int_equal(wf_stream_write(*ret_stream, request, sizeof request - 1, soon()), 0);
}

static void wait_until_alone(struct wf_server *server)
{
    struct wf_server_counts counts;
    wf_deadline limit = soon();
    do
        wf_server_count(server, &counts);
    while (counts.connections_open > 0 && wf_remaining(limit) > 0);
    assert_int_equal(counts.connections_open, 0);
}

static void events_come_until_either_side_ends(void **state)
{
    (void)state;
    struct wf_server *server = start();
    struct wf_stream *stream;
    struct wfi_buffer text = {0};
    begin_events(server, &stream);
    follow(stream, 2, &text);
    expect(wfi_buffer_text(&text), "Content-Type: text/event-stream\r\n");
    expect(wfi_buffer_text(&text), "Cache-Control: no-store\r\n");
    assert_int_equal(occurrences(wfi_buffer_text(&text), "Cache-Control:"), 1);
    expect(wfi_buffer_text(&text), "retry: 1000\n");
    expect(wfi_buffer_text(&text), "\"recent\":{\"count\":"); /* in the second */
    wf_stream_close(stream);
    wait_until_alone(server); /* it was noticed */

    wfi_buffer_clear(&text);
    begin_events(server, &stream);
    follow(stream, 1, &text);
    int64_t began = wf_now();
    assert_int_equal(wf_server_stop(server, wf_after(WF_SECONDS(50))), 0);
    assert_true(wf_now() - began < WF_SECONDS(40)); /* it did not take the deadline to end it */
    ssize_t n;
    do {
        assert_int_equal(wfi_buffer_reserve(&text, 65536), 0);
        n = wf_stream_read(stream, text.data + text.len, 65536, soon());
        assert_true(n >= 0);
        text.len += (size_t)n;
    } while (n > 0);
    expect(wfi_buffer_text(&text), "\r\n0\r\n\r\n"); /* a whole answer */
    wf_stream_close(stream);
    wfi_buffer_reset(&text);
    wf_server_destroy(server);
}

static void so_many_may_follow_and_no_more(void **state)
{
    (void)state;
    struct wf_server *server = start();
    struct wf_stream *streams[32];
    struct wfi_buffer text = {0};
    for (int i = 0; i < 32; i++) {
        begin_events(server, &streams[i]);
        wfi_buffer_clear(&text);
        follow(streams[i], 1, &text);
    }
    expect(ask(server, "GET /debug/events", LOCAL), "HTTP/1.1 503 ");
    expect(ask(server, "HEAD /debug/events", LOCAL), "text/event-stream");
    for (int i = 0; i < 32; i++)
        wf_stream_close(streams[i]);
    wait_until_alone(server);
    begin_events(server, &streams[0]);
    wfi_buffer_clear(&text);
    follow(streams[0], 1, &text);
    expect(wfi_buffer_text(&text), " 200 OK");
    wf_stream_close(streams[0]);
    wfi_buffer_reset(&text);
    wf_server_destroy(server);
}

static void a_prefix_is_a_path(void **state)
{
    (void)state;
    static const char *const wrong[] = {NULL, "", "/", "debug", "/debug/", "/{any}"};
    struct wf_server *server;
    struct wf_error error;
    assert_int_equal(wf_server_create(NULL, &server, &error), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(wf_server_debug(server, wrong[i], &error), -EINVAL);
    assert_int_equal(wf_server_debug(server, "/a/b", &error), 0);
    assert_int_equal(wf_server_debug(server, "/c", &error), -EEXIST);
    wf_server_destroy(server);
}

static void memory_runs_out(void **state)
{
    (void)state;
    struct wf_error error;
    for (uint64_t n = 1;; n++) {
        struct wf_server *server;
        assert_int_equal(wf_server_create(NULL, &server, &error), 0);
        wfi_alloc_watch(n);
        int err = wf_server_debug(server, "/debug", &error);
        bool reached = wfi_alloc_unwatch();
        wf_server_destroy(server);
        if (!reached) {
            assert_int_equal(err, 0);
            return;
        }
        assert_int_equal(err, -ENOMEM);
    }
}

static int set_up(void **state)
{
    (void)state;
    return wf_fibers_create(&(struct wf_fibers_options){.workers = 2, .name = "watched"}, &fibers,
                            NULL);
}

static int tear_down(void **state)
{
    (void)state;
    wf_executor_destroy(fibers);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_tasks_are_listed_as_text),
        cmocka_unit_test(all_tasks_are_listed_as_json),
        cmocka_unit_test(a_snapshot_shows_a_few_of_each_name),
        cmocka_unit_test(the_page_comes_from_here_alone),
        cmocka_unit_test(nobody_else_is_let_in),
        cmocka_unit_test(events_come_until_either_side_ends),
        cmocka_unit_test(so_many_may_follow_and_no_more),
        cmocka_unit_test(a_prefix_is_a_path),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
