/* SPDX-License-Identifier: MIT */
/*
 * How a server ends, where server_test.c has only the roads that everybody takes: connections that
 * nobody has accepted yet, a caller that is cancelled while it stops, a time to drain that is not
 * enough, and a thousand stops with requests at every stage on their way.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/event.h>
#include <weft/fibers.h>
#include <weft/server.h>
#include <weft/threads.h>

#include "base/atomic.h"
#include "base/random.h"

static struct wf_executor *fibers, *threads;
static struct wf_server *server;
static struct wf_event begun, go;

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

static int hello(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request, (void)arg;
    return wf_response_text(response, 200, "hello");
}

static int wait_to_go(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)request, (void)arg;
    wf_event_set(&begun);
    int err = wf_event_wait(&go, WF_FOREVER);
    return err ? err : wf_response_text(response, 200, "hello");
}

static void make(const struct wf_server_options *options, wf_handler handler)
{
    wf_event_clear(&begun);
    wf_event_clear(&go);
    assert_int_equal(wf_server_create(options, &server, NULL), 0);
    assert_int_equal(
        wf_server_route(server, &(struct wf_route){.path = "/", .handler = handler}, NULL), 0);
    assert_int_equal(wf_server_listen(server, "127.0.0.1:0", NULL, NULL), 0);
}

static void destroy(void)
{
    wf_server_destroy(server);
    server = NULL;
}

#define QUESTION "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

static struct wf_stream *dial(void)
{
    struct wf_address at;
    struct wf_stream *stream;
    assert_int_equal(wf_server_address(server, 0, &at), 0);
    assert_int_equal(wf_dial_address(&at, NULL, &stream, soon(), NULL), 0);
    return stream;
}

static void say(struct wf_stream *stream, const char *text)
{
    assert_int_equal(wf_stream_write(stream, text, strlen(text), soon()), 0);
}

/* Reads to the end, and closes. Returns how it ended. */
static int hear(struct wf_stream *stream, char *text, size_t bytes)
{
    size_t len = 0;
    ssize_t n;
    while ((n = wf_stream_read(stream, text + len, bytes - 1 - len, soon())) > 0)
        len += (size_t)n;
    text[len] = '\0';
    wf_stream_close(stream);
    return (int)n;
}

/* HTP-11: who is connected when a server stops has his answer, accepted or not. */
static void connections_that_wait_to_be_accepted_are_taken(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    for (int round = 0; round < 20; round++) {
        struct wf_stream *streams[COUNT];
        make(NULL, hello);
        /* It listens, and nobody accepts yet; then it is told to stop before it has begun. */
        for (int i = 0; i < COUNT; i++) {
            streams[i] = dial();
            say(streams[i], QUESTION);
        }
        assert_int_equal(wf_server_start(server, fibers, NULL), 0);
        assert_int_equal(wf_server_stop(server, soon()), 0);
        for (int i = 0; i < COUNT; i++) {
            char text[1024];
            const int end = hear(streams[i], text, sizeof text);
            if (end != 0 || !strstr(text, "\r\n\r\nhello"))
                fail_msg("connection %d of round %d: %d, %s", i, round, end, text);
        }
        destroy();
    }
}

struct stop {
    wf_deadline deadline;
};

WF_TASK(int, test_stop, (struct stop *, stop))
int test_stop(struct wf_task *self, struct stop *stop, int *ret)
{
    (void)self;
    *ret = wf_server_stop(server, stop->deadline);
    return 0;
}
WF_TASK_DEFINE(test_stop)

/* The caller may be cancelled, the server stops all the same; asking again waits for its end. */
static void who_stops_may_be_cancelled(void **state)
{
    (void)state;
    char text[1024];
    int result = 1;
    struct stop stop = {soon()};
    make(NULL, wait_to_go);
    assert_int_equal(wf_server_start(server, fibers, NULL), 0);
    struct wf_stream *stream = dial();
    say(stream, QUESTION);
    assert_int_equal(wf_event_wait(&begun, soon()), 0);
    test_stop_future f = test_stop_submit(threads, &stop);
    while (wf_future_state(f.future) == WF_FUTURE_PENDING)
        ;
    wf_future_cancel(f.future);
    const int err = test_stop_result(&f, &result, soon(), NULL);
    assert_true(err == -ECANCELED || (err == 0 && result == -ECANCELED));
    wf_event_set(&go);
    /* Cancelled before it ran, nobody had told the server. */
    assert_int_equal(wf_server_stop(server, soon()), 0);
    assert_int_equal(hear(stream, text, sizeof text), 0);
    assert_non_null(strstr(text, "\r\n\r\nhello"));
    destroy();
}

/* The time that a cancelled caller has given is not waited for by those that come after it. */
static void a_stop_may_be_hurried(void **state)
{
    (void)state;
    char text[1024];
    int result = 1;
    struct wf_address at;
    struct wf_stream *late;
    struct stop stop = {soon()};
    make(&(struct wf_server_options){.linger_ns = 1}, wait_to_go);
    assert_int_equal(wf_server_address(server, 0, &at), 0);
    assert_int_equal(wf_server_start(server, fibers, NULL), 0);
    struct wf_stream *stream = dial();
    say(stream, QUESTION);
    assert_int_equal(wf_event_wait(&begun, soon()), 0);
    test_stop_future f = test_stop_submit(threads, &stop);
    /* Until it has been told. */
    while (wf_dial_address(&at, NULL, &late, soon(), NULL) == 0)
        wf_stream_close(late);
    wf_future_cancel(f.future);
    assert_int_equal(test_stop_result(&f, &result, soon(), NULL), 0);
    assert_int_equal(result, -ECANCELED);
    assert_int_equal(wf_server_stop(server, WF_NOW), -ETIMEDOUT);
    assert_true(wf_remaining(stop.deadline) > 0);
    assert_int_equal(hear(stream, text, sizeof text), 0);
    assert_non_null(strstr(text, "HTTP/1.1 503 "));
    destroy();
}

WF_TASK(int, test_run, (int, unused))
int test_run(struct wf_task *self, int unused, int *ret)
{
    (void)self, (void)unused;
    *ret = wf_server_run(server, fibers, NULL);
    return 0;
}
WF_TASK_DEFINE(test_run)

static void what_does_not_end_while_draining_is_broken_off(void **state)
{
    (void)state;
    char text[1024];
    int result = 1;
    const struct wf_server_options options = {.drain_ns = WF_MILLISECONDS(50), .linger_ns = 1};
    make(&options, wait_to_go);
    test_run_future f = test_run_submit(threads, 0);
    struct wf_stream *stream = dial();
    say(stream, QUESTION);
    assert_int_equal(wf_event_wait(&begun, soon()), 0);
    wf_future_cancel(f.future);
    assert_int_equal(test_run_result(&f, &result, soon(), NULL), 0);
    assert_int_equal(result, -ETIMEDOUT);
    assert_int_equal(hear(stream, text, sizeof text), 0);
    assert_non_null(strstr(text, "HTTP/1.1 503 "));
    destroy();
}

struct asking {
    struct wf_address at;
    uint64_t seed;
    WFI_ATOMIC(bool) * stopping;
    int answers, wrong;
};

/* Asks until the server is gone. An answer is whole, and one that did not say that it is the last
 * is followed by another, or by the end of an idle connection. */
WF_TASK(wf_none, test_ask_on, (struct asking *, asking))
int test_ask_on(struct wf_task *self, struct asking *a, wf_none *ret)
{
    (void)self, (void)ret;
    struct wf_stream *stream;
    while (wf_dial_address(&a->at, NULL, &stream, soon(), NULL) == 0) {
        char text[512];
        bool told = false;
        ssize_t n = 1;
        for (int i = 0; n > 0 && !told; i++) {
            size_t len = 0;
            const size_t cut = (size_t)(wfi_splitmix64(&a->seed) % sizeof QUESTION);
            const bool late = wfi_load(a->stopping);
            /* What became of it is seen when reading. */
            if (wf_stream_write(stream, QUESTION, cut, soon()) == 0)
                (void)wf_stream_write(stream, &QUESTION[cut], sizeof QUESTION - 1 - cut, soon());
            do {
                n = wf_stream_read(stream, text + len, sizeof text - 1 - len, soon());
                len += n > 0 ? (size_t)n : 0;
                text[len] = '\0';
            } while (n > 0 && !strstr(text, "\r\n\r\nhello"));
            told = strstr(text, "\r\nConnection: close\r\n") != NULL;
            a->answers += n > 0;
            /* A stop may cross a request; an answer it may not cut, nor end before it was told. */
            a->wrong += n <= 0 && (len > 0 || !(late || wfi_load(a->stopping)));
        }
        if (told && wf_stream_read(stream, text, 1, soon()) != 0)
            a->wrong++;
        wf_stream_close(stream);
    }
    return 0;
}
WF_TASK_DEFINE(test_ask_on)

/* HTP-12: stops come at any moment of requests, and none is answered in part or twice. */
static void a_stop_at_any_moment(void **state)
{
    (void)state;
    enum { CLIENTS = 6, ROUNDS = 60 };
    const struct wf_server_options options = {.linger_ns = 1};
    uint64_t seed = (uint64_t)wf_now();
    print_message("WEFT_SEED=%llu\n", (unsigned long long)seed);
    int answers = 0;
    for (int round = 0; round < ROUNDS; round++) {
        WFI_ATOMIC(bool) stopping;
        struct asking asking[CLIENTS];
        test_ask_on_future futures[CLIENTS];
        struct wf_server_counts counts;
        wfi_store(&stopping, false);
        make(&options, hello);
        assert_int_equal(wf_server_start(server, fibers, NULL), 0);
        for (int i = 0; i < CLIENTS; i++) {
            asking[i] = (struct asking){.seed = wfi_splitmix64(&seed), .stopping = &stopping};
            assert_int_equal(wf_server_address(server, 0, &asking[i].at), 0);
            futures[i] = test_ask_on_submit(fibers, &asking[i]);
        }
        const uint64_t enough = wfi_splitmix64(&seed) % 200;
        do
            wf_server_count(server, &counts);
        while (counts.requests < enough);
        wfi_store(&stopping, true);
        assert_int_equal(wf_server_stop(server, soon()), 0);
        for (int i = 0; i < CLIENTS; i++) {
            assert_int_equal(test_ask_on_result(&futures[i], NULL, soon(), NULL), 0);
            if (asking[i].wrong)
                fail_msg("client %d of round %d: %d wrong", i, round, asking[i].wrong);
            answers += asking[i].answers;
        }
        wf_server_count(server, &counts);
        assert_int_equal(counts.connections_open, 0);
        destroy();
    }
    assert_true(answers > ROUNDS);
}

static int set_up(void **state)
{
    (void)state;
    wf_event_init(&begun);
    wf_event_init(&go);
    int err = wf_fibers_create(&(struct wf_fibers_options){.workers = 2}, &fibers, NULL);
    return err ? err
               : wf_threads_create(&(struct wf_threads_options){.workers = 2}, &threads, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    wf_event_set(&go);
    wf_server_destroy(server);
    wf_executor_destroy(threads);
    wf_executor_destroy(fibers);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_that_wait_to_be_accepted_are_taken),
        cmocka_unit_test(who_stops_may_be_cancelled),
        cmocka_unit_test(a_stop_may_be_hurried),
        cmocka_unit_test(what_does_not_end_while_draining_is_broken_off),
        cmocka_unit_test(a_stop_at_any_moment),
    };
    return cmocka_run_group_tests_name("server stop", tests, set_up, tear_down);
}
