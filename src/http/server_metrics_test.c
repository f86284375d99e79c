/* SPDX-License-Identifier: MIT */
/* Metrics and health as a server's routes: what a program adds, and a server that is to stop. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <weft/fibers.h>
#include <weft/metrics.h>
#include <weft/server.h>

static struct wf_executor *fibers;

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

static struct wf_server *start(const struct wf_server_options *options, struct wf_route route)
{
    struct wf_server *server = NULL;
    struct wf_error error = {0};
    int err = wf_server_create(options, &server, &error);
    route.path = "/";
    if (!err)
        err = wf_server_route(server, &route, &error);
    if (!err)
        err = wf_server_listen(server, "127.0.0.1:0", NULL, &error);
    if (!err)
        err = wf_server_start(server, fibers, &error);
    if (err)
        fail_msg("%s", error.text);
    return server;
}

struct client {
    struct wf_stream *stream;
    char text[65536];
};

static void dial(struct client *client, struct wf_server *server)
{
    struct wf_address at;
    assert_int_equal(wf_server_address(server, 0, &at), 0);
    assert_int_equal(wf_dial_address(&at, NULL, &client->stream, soon(), NULL), 0);
}

/* Asks for / and reads one answer of a known length, head and body. */
static const char *ask(struct client *client, const char *method)
{
    char request[64];
    size_t len = 0, wanted = 0;
    snprintf(request, sizeof request, "%s / HTTP/1.1\r\nHost: h\r\n\r\n", method);
    assert_int_equal(wf_stream_write(client->stream, request, strlen(request), soon()), 0);
    while (!wanted || len < wanted) {
        ssize_t n = wf_stream_read(client->stream, client->text + len,
                                   sizeof client->text - 1 - len, soon());
        assert_true(n > 0);
        len += (size_t)n;
        client->text[len] = '\0';
        const char *end = strstr(client->text, "\r\n\r\n");
        const char *length = strstr(client->text, "Content-Length: ");
        unsigned body = 0;
        if (!end)
            continue;
        assert_int_equal(sscanf(length, "Content-Length: %u", &body), 1);
        wanted = (size_t)(end + 4 - client->text) + (method[0] == 'H' ? 0 : body);
    }
    assert_int_equal(len, wanted);
    return client->text;
}

static void write_orders(struct wf_metrics *metrics, void *arg)
{
    wf_metrics_family(metrics, "shop_orders_total", WF_METRIC_COUNTER, "Orders.");
    wf_metrics_value(metrics, (const char *[]){"country", "fr", NULL}, *(double *)arg);
}

static void a_program_adds_its_own(void **state)
{
    (void)state;
    static struct client client;
    double orders = 17;
    struct wf_metrics_source source = {write_orders, &orders};
    struct wf_server *server = start(
        NULL, (struct wf_route){.method = "GET", .handler = wf_serve_metrics, .arg = &source});
    dial(&client, server);
    const char *page = ask(&client, "GET");
    assert_non_null(strstr(page, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(page, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_non_null(strstr(page, "\n# TYPE shop_orders_total counter\n"
                                 "shop_orders_total{country=\"fr\"} 17\n"));
    assert_non_null(strstr(page, "\nweft_http_requests_total 1\n"));
    orders = 18;
    page = ask(&client, "GET");
    assert_non_null(strstr(page, "\nshop_orders_total{country=\"fr\"} 18\n"));
    assert_non_null(strstr(page, "\nweft_http_requests_total 2\n"));
    assert_non_null(strstr(page, "\nweft_http_responses_total{class=\"2xx\"} 1\n"));
    assert_non_null(strstr(ask(&client, "HEAD"), "HTTP/1.1 200 OK\r\n"));
    wf_stream_close(client.stream);
    wf_server_destroy(server);
}

static void every_count_of_the_server_is_shown(void **state)
{
    (void)state;
    static struct client client;
    const struct wf_server_options options = {.address_requests_per_second = 1e-6};
    struct wf_server *server =
        start(&options, (struct wf_route){.method = "GET", .handler = wf_serve_metrics});
    dial(&client, server);
    const char *page = ask(&client, "GET");
    assert_non_null(strstr(page, "\nweft_http_limited_total 0\n"));
    assert_non_null(strstr(page, "\nweft_http_dropped_total 0\n"));
    assert_non_null(strstr(page, "\nweft_http_refused_total 0\n"));
    assert_non_null(strstr(page, "\nweft_http_canceled_total 0\n"));
    assert_non_null(strstr(ask(&client, "GET"), "HTTP/1.1 429 "));
    wf_stream_close(client.stream);
    wf_server_destroy(server);
}

WF_TASK(wf_none, stop, (struct wf_server *, server))

int stop(struct wf_task *self, struct wf_server *server, wf_none *ret)
{
    (void)self, (void)ret;
    return wf_server_stop(server, soon());
}
WF_TASK_DEFINE(stop)

/* A connection that is kept has its answers until one says that it is the last; and that one says
 * why. */
static void health_ends_when_the_server_is_to_stop(void **state)
{
    (void)state;
    static struct client client;
    const struct wf_server_options options = {.linger_ns = WF_SECONDS(60)};
    struct wf_server *server =
        start(&options, (struct wf_route){.method = "GET", .handler = wf_serve_health});
    dial(&client, server);
    const char *answer = ask(&client, "GET");
    assert_non_null(strstr(answer, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(answer, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(answer, "Cache-Control: no-store\r\n"));
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n{\"status\": \"ok\"}");
    stop_future stopping = stop_submit(fibers, server);
    wf_deadline deadline = soon();
    do {
        answer = ask(&client, "GET");
    } while (!strstr(answer, "Connection: close\r\n") && wf_now() < deadline.ns);
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    if (!strstr(answer, " 200 OK\r\n")) { /* told between the body and the head */
        assert_non_null(strstr(answer, "HTTP/1.1 503 Service Unavailable\r\n"));
        assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n{\"status\": \"stopping\"}");
    }
    assert_int_equal(stop_result(&stopping, &(wf_none){0}, soon(), NULL), 0);
    wf_stream_close(client.stream);
    wf_server_destroy(server);
}

static int start_fibers(void **state)
{
    (void)state;
    return wf_fibers_create(&(struct wf_fibers_options){.workers = 2}, &fibers, NULL);
}

static int stop_fibers(void **state)
{
    (void)state;
    wf_executor_destroy(fibers);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_adds_its_own),
        cmocka_unit_test(every_count_of_the_server_is_shown),
        cmocka_unit_test(health_ends_when_the_server_is_to_stop),
    };
    return cmocka_run_group_tests(tests, start_fibers, stop_fibers);
}
