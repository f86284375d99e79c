/* SPDX-License-Identifier: MIT */
/* What one address may take, who a request is from, and what happens when memory runs out. */
#include "http/server_test.h"

#include <errno.h>

#include <weft/worker.h>

#include "base/alloc.h"
#include "base/atomic.h"

static int show_client(struct wf_request *request, struct wf_response *response, void *arg)
{
    (void)arg;
    char text[100];
    snprintf(text, sizeof text, "[%s]", wf_request_client(request));
    return wf_response_text(response, 200, text);
}

static void the_client_is_who_trusted_peers_say(void **state)
{
    (void)state;
    static const char *const networks[] = {"10.0.0.0/8", "127.0.0.0/8"};
    struct wf_server_options options = {.trusted = networks, .trusted_count = 2};
    struct wf_server *server = start_one(&options, show_client, NULL);
    answers(server, "GET / HTTP/1.1\r\n" CLOSE, "[127.0.0.1]");
    answers(server, "GET / HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.1.1.1\r\n" CLOSE,
            "[1.2.3.4]");
    answers(server, "GET / HTTP/1.1\r\nX-Forwarded-For: 2001:db8::7\r\n" CLOSE, "[2001:db8::7]");
    wf_server_destroy(server);
    server = start_one(NULL, show_client, NULL);
    answers(server, "GET / HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4\r\n" CLOSE, "[127.0.0.1]");
    wf_server_destroy(server);
    static const char *const wrong[] = {"10.0.0.1/8"};
    struct wf_error error;
    options = (struct wf_server_options){.trusted = wrong, .trusted_count = 1};
    assert_int_equal(wf_server_create(&options, &server, &error), -EINVAL);
    assert_string_equal(error.text, "10.0.0.1/8 is no network");
    options.trusted = NULL;
    assert_int_equal(wf_server_create(&options, &server, &error), -EINVAL);
    options = (struct wf_server_options){.address_requests_per_second = -1};
    assert_int_equal(wf_server_create(&options, &server, &error), -EINVAL);
}

static void a_unix_peer_is_trusted(void **state)
{
    (void)state;
    struct wf_server *server = NULL;
    struct wf_address at;
    struct client client;
    const struct wf_route route = {.path = "/", .handler = show_client};
    char path[64];
    snprintf(path, sizeof path, "unix:@weft-%p", (void *)&server);
    assert_int_equal(wf_server_create(NULL, &server, NULL), 0);
    assert_int_equal(wf_server_route(server, &route, NULL), 0);
    assert_int_equal(wf_server_listen(server, path, NULL, NULL), 0);
    assert_int_equal(wf_server_start(server, fibers, NULL), 0);
    assert_int_equal(wf_server_address(server, 0, &at), 0);
    dial(&client, server);
    say(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(&client, "[]");
    say(&client, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n");
    expect(&client, "[1.2.3.4]");
    hang_up(&client);
    wf_server_destroy(server);
}

static void connections_beyond_are_told_so(void **state)
{
    (void)state;
    struct wf_server_options options = {.address_connections_max = 2};
    struct wf_server *server = start_one(&options, hello, NULL);
    struct wf_server_counts counts;
    struct client served[2], turned_away[2], dropped;
    for (int i = 0; i < 2; i++) {
        dial(&served[i], server);
        say(&served[i], "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        expect(&served[i], "hello");
    }
    for (int i = 0; i < 2; i++) {
        dial(&turned_away[i], server); /* it has not even asked */
        expect(&turned_away[i], "HTTP/1.1 429 Too Many Requests\r\n");
        assert_non_null(strstr(turned_away[i].text, "Retry-After: 1\r\n"));
        expect_end(&turned_away[i]);
    }
    dial(&dropped, server); /* the others have not closed their side yet */
    expect_end(&dropped);
    assert_int_equal(dropped.len, 0);
    hang_up(&dropped);
    wf_server_count(server, &counts);
    assert_int_equal(counts.limited, 3);
    for (int i = 0; i < 2; i++)
        hang_up(&turned_away[i]);
    hang_up(&served[0]);
    /* Who leaves makes room, as soon as the server has seen it. */
    for (;;) {
        forget(&served[0]);
        dial(&served[0], server);
        (void)wf_stream_write(served[0].stream, "GET / HTTP/1.1\r\n" CLOSE,
                              sizeof "GET / HTTP/1.1\r\n" CLOSE - 1, soon());
        bool ended = hears(&served[0], NULL);
        hang_up(&served[0]);
        if (ended && strstr(served[0].text, "hello"))
            break;
    }
    say(&served[1], "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    hang_up(&served[1]);
    wf_server_destroy(server);
}

static void trusted_peers_have_no_limit_of_connections(void **state)
{
    (void)state;
    static const char *const networks[] = {"127.0.0.1"};
    struct wf_server_options options = {
        .address_connections_max = 1, .trusted = networks, .trusted_count = 1};
    struct wf_server *server = start_one(&options, hello, NULL);
    struct client clients[4];
    for (int i = 0; i < 4; i++) {
        dial(&clients[i], server);
        say(&clients[i], "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        expect(&clients[i], "hello");
    }
    for (int i = 0; i < 4; i++)
        hang_up(&clients[i]);
    wf_server_destroy(server);
}

static void requests_beyond_the_rate_are_told_when_to_come_again(void **state)
{
    (void)state;
    static const char *const networks[] = {"127.0.0.1"};
    struct wf_server_options options = {.address_requests_per_second = 0.01,
                                        .address_burst = 2,
                                        .trusted = networks,
                                        .trusted_count = 1};
    struct wf_server *server = start_one(&options, hello, NULL);
    struct client client;
    dial(&client, server);
    for (int i = 0; i < 2; i++) {
        forget(&client);
        say(&client, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n");
        expect(&client, "\r\n\r\nhello");
    }
    forget(&client);
    say(&client, "GET /no HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n");
    expect(&client, "}\n");
    assert_non_null(strstr(client.text, "HTTP/1.1 429 "));
    assert_non_null(strstr(client.text, "Retry-After: 100\r\n"));
    /* The connection, a proxy's, goes on, and others on it have their own bucket. */
    forget(&client);
    say(&client, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.2\r\n\r\n");
    expect(&client, "\r\n\r\nhello");
    hang_up(&client);
    wf_server_destroy(server);
}

static struct wf_worker_key worker_key;

static int show_worker(struct wf_request *request, struct wf_response *response, void *arg)
{
    static WFI_ATOMIC(int) workers;
    (void)request, (void)arg;
    uintptr_t number = (uintptr_t)wf_worker_get(&worker_key);
    if (!number) {
        number = (uintptr_t)wfi_fetch_add(&workers, 1) + 1;
        int err = wf_worker_set(&worker_key, (void *)number);
        if (err)
            return err;
    }
    return wf_response_text(response, 200, number == 1 ? "<first>" : "<second>");
}

/* However short the tasks, and whoever accepts: a fiber stays where it begins. */
static void connections_are_shared_out_to_the_workers(void **state)
{
    (void)state;
    enum { N = 20 };
    struct wf_server *server = start_one(NULL, show_worker, NULL);
    static struct client clients[N];
    for (int round = 0; round < 2; round++) {
        int first = 0;
        for (int i = 0; i < N; i++) {
            dial(&clients[i], server);
            say(&clients[i], "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        }
        for (int i = 0; i < N; i++) {
            expect(&clients[i], ">");
            first += strstr(clients[i].text, "<first>") != NULL;
        }
        assert_in_range(first, N / 2 - 1, N / 2 + 1);
        for (int i = 0; i < N; i++)
            hang_up(&clients[i]);
        /* The next round begins when the server has seen the end of this one. */
        struct wf_server_counts counts;
        do {
            (void)wf_sleep(wf_after(WF_MILLISECONDS(1)));
            wf_server_count(server, &counts);
        } while (counts.connections_open);
    }
    wf_server_destroy(server);
}

/* Whatever allocation fails, a connection or a request may be lost, and the server goes on. */
static void no_memory_costs_a_connection_and_not_the_server(void **state)
{
    (void)state;
    struct wf_server_options options = {.address_connections_max = 1000};
    struct wf_server *server = start_one(&options, hello, NULL);
    static const char request[] = "GET / HTTP/1.1\r\n" CLOSE;
    static struct client client;
    int answered_in_a_row = 0, lost = 0;
    answers(server, request, "hello"); /* all that a server needs to begin is there */
    for (uint64_t n = 1; answered_in_a_row < 20; n++) {
        struct wf_address at;
        forget(&client);
        assert_int_equal(wf_server_address(server, 0, &at), 0);
        wfi_alloc_watch(n); /* of the client or of the server, as it comes */
        bool answered = false;
        if (wf_dial_address(&at, NULL, &client.stream, soon(), NULL) == 0) {
            if (wf_stream_write(client.stream, request, sizeof request - 1, soon()) == 0)
                (void)hears(&client, NULL);
            answered = strstr(client.text, "hello");
            hang_up(&client);
        }
        bool failed = wfi_alloc_unwatch();
        lost += !answered;
        answered_in_a_row = failed ? 0 : answered_in_a_row + 1;
        if (!failed)
            assert_true(answered);
    }
    assert_true(lost > 0);
    answers(server, request, "hello");
    assert_int_equal(wf_server_stop(server, soon()), 0);
    wf_server_destroy(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_client_is_who_trusted_peers_say),
        cmocka_unit_test(a_unix_peer_is_trusted),
        cmocka_unit_test(connections_beyond_are_told_so),
        cmocka_unit_test(trusted_peers_have_no_limit_of_connections),
        cmocka_unit_test(requests_beyond_the_rate_are_told_when_to_come_again),
        cmocka_unit_test(connections_are_shared_out_to_the_workers),
        cmocka_unit_test(no_memory_costs_a_connection_and_not_the_server),
    };
    return cmocka_run_group_tests_name("server limit", tests, set_up, tear_down);
}
