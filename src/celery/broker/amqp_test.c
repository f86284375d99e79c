/* SPDX-License-Identifier: MIT */
/* The connection to RabbitMQ, against a real one, and against peers that are none. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include <weft/fibers.h>
#include <weft/scope.h>
#include <weft/task.h>
#include <weft/threads.h>

#include "base/alloc.h"
#include "celery/broker/amqp.h"
#include "rabbit_server.h"

static struct rabbit_server server;

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

static struct wfi_amqp *connect_with(const struct wfi_amqp_options *options)
{
    struct wfi_celery_url url;
    struct wfi_amqp *amqp = NULL;
    struct wf_error error = {0};
    assert_int_equal(wfi_celery_url_parse(server.url, &url, NULL), 0);
    if (wfi_amqp_open(&url, options, &amqp, soon(), &error))
        fail_msg("%s", error.text);
    return amqp;
}

/* A queue that goes with its connection; its name is the server's idea. */
static void make_queue(struct wfi_amqp *amqp, struct wfi_amqp_queue_state *state)
{
    const struct wfi_amqp_queue queue = {.name = "", .exclusive = true, .auto_delete = true};
    struct wf_error error = {0};
    if (wfi_amqp_declare_queue(amqp, &queue, state, soon(), &error))
        fail_msg("%s", error.text);
    assert_true(state->name[0]);
}

static void publish(struct wfi_amqp *amqp, const char *queue, const char *headers, const void *body,
                    size_t len)
{
    const struct wfi_properties properties = {.correlation_id = "id-1", .priority = 3};
    struct wf_error error = {0};
    const struct wfi_amqp_publish message = {.exchange = "",
                                             .routing_key = queue,
                                             .properties = &properties,
                                             .headers = headers,
                                             .headers_len = headers ? strlen(headers) : 0,
                                             .body = body,
                                             .body_len = len};
    if (wfi_amqp_publish(amqp, &message, soon(), &error))
        fail_msg("%s", error.text);
}

static struct wfi_amqp_delivery *receive(struct wfi_amqp *amqp)
{
    struct wfi_amqp_delivery *delivery = NULL;
    struct wf_error error = {0};
    if (wfi_amqp_receive(amqp, &delivery, soon(), &error))
        fail_msg("%s", error.text);
    return delivery;
}

static const char *text_at(const struct wf_json_value *object, const char *key)
{
    const struct wf_json_value *value = wf_json_get(object, key);
    return value ? wf_json_text(value, NULL) : NULL;
}

static void test_a_message_comes_as_it_was_sent(void **state)
{
    static const char headers[] =
        "{\"task\":\"add\",\"retries\":0,\"big\":9007199254740993,\"none\":null,\"yes\":true,"
        "\"half\":0.5,\"timelimit\":[null,10],\"nested\":{\"list\":[1,\"two\",[]]},\"text\":\"\xc3"
        "\xa4\"}";
    struct wfi_amqp *amqp = connect_with(NULL);
    struct wfi_amqp_queue_state queue;
    (void)state;
    make_queue(amqp, &queue);
    assert_int_equal(wfi_amqp_consume(amqp, queue.name, "me", false, soon(), NULL), 0);
    publish(amqp, queue.name, headers, "a\0b", 3);
    struct wfi_amqp_delivery *delivery = receive(amqp);
    assert_int_equal(delivery->len, 3);
    assert_memory_equal(delivery->body, "a\0b", 3);
    assert_string_equal(delivery->consumer, "me");
    assert_false(delivery->redelivered);
    const struct wf_json_value *root = wf_json_root(delivery->properties);
    assert_string_equal(text_at(root, "content_type"), "application/json");
    assert_string_equal(text_at(root, "correlation_id"), "id-1");
    const struct wf_json_value *info = wf_json_get(root, "delivery_info");
    assert_string_equal(text_at(info, "exchange"), "");
    assert_string_equal(text_at(info, "routing_key"), queue.name);
    struct wf_json_writer *w;
    const char *text;
    assert_int_equal(wf_json_writer_create(NULL, &w), 0);
    wf_json_write_value(w, wf_json_get(root, "headers"));
    assert_int_equal(wf_json_writer_text(w, &text, NULL), 0);
    assert_string_equal(text, headers);
    wf_json_writer_destroy(w);
    assert_int_equal(wfi_amqp_ack(amqp, delivery->tag, NULL), 0);
    wfi_amqp_delivery_destroy(delivery);
    wfi_amqp_close(amqp, soon());
}

static void test_sizes_around_a_frame_and_far_above(void **state)
{
    static const size_t sizes[] = {0, 1, 131063, 131064, 131065, 262128, 16777216};
    struct wfi_amqp *amqp = connect_with(NULL);
    struct wfi_amqp_queue_state queue;
    char *body = wfi_alloc(sizes[6]);
    (void)state;
    for (size_t i = 0; i < sizes[6]; i++)
        body[i] = (char)(i * 31 >> 3);
    make_queue(amqp, &queue);
    assert_int_equal(wfi_amqp_consume(amqp, queue.name, "me", true, soon(), NULL), 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        publish(amqp, queue.name, NULL, body, sizes[i]);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct wfi_amqp_delivery *delivery = receive(amqp);
        assert_int_equal(delivery->len, sizes[i]);
        assert_memory_equal(delivery->body, body, sizes[i]);
        wfi_amqp_delivery_destroy(delivery);
    }
    wfi_free(body);
    wfi_amqp_close(amqp, soon());
}

static void test_what_is_not_acknowledged_comes_again(void **state)
{
    struct wfi_amqp *amqp = connect_with(NULL), *other = connect_with(NULL);
    const struct wfi_amqp_queue queue = {.name = "again", .arguments = "{\"x-expires\": 60000}"};
    struct wfi_amqp_delivery *delivery;
    (void)state;
    assert_int_equal(wfi_amqp_declare_queue(amqp, &queue, NULL, soon(), NULL), 0);
    assert_int_equal(wfi_amqp_qos(amqp, 2, true, soon(), NULL), 0);
    assert_int_equal(wfi_amqp_consume(amqp, "again", "me", false, soon(), NULL), 0);
    for (int i = 0; i < 3; i++)
        publish(other, "again", NULL, "x", 1);
    for (int i = 0; i < 2; i++) {
        delivery = receive(amqp);
        assert_false(delivery->redelivered);
        if (i == 0)
            assert_int_equal(wfi_amqp_reject(amqp, delivery->tag, false, NULL), 0);
        wfi_amqp_delivery_destroy(delivery);
    }
    delivery = receive(amqp); /* the rejected one made room */
    wfi_amqp_delivery_destroy(delivery);
    assert_int_equal(wfi_amqp_receive(amqp, &delivery, WF_NOW, NULL), -ETIMEDOUT);
    wfi_amqp_close(amqp, soon());
    assert_int_equal(wfi_amqp_consume(other, "again", "other", false, soon(), NULL), 0);
    for (int i = 0; i < 2; i++) {
        delivery = receive(other);
        assert_true(delivery->redelivered);
        assert_int_equal(wfi_amqp_ack(other, delivery->tag, NULL), 0);
        wfi_amqp_delivery_destroy(delivery);
    }
    assert_int_equal(wfi_amqp_cancel(other, "other", soon(), NULL), 0);
    assert_int_equal(wfi_amqp_delete_queue(other, "again", soon(), NULL), 0);
    wfi_amqp_close(other, soon());
}

static void test_exchanges_and_bindings(void **state)
{
    struct wfi_amqp *amqp = connect_with(&(struct wfi_amqp_options){.confirm = true});
    const struct wfi_amqp_exchange exchange = {.name = "ev", .type = "topic", .auto_delete = true};
    const struct wfi_properties properties = {.delivery_mode = 1};
    struct wfi_amqp_queue_state queue;
    (void)state;
    make_queue(amqp, &queue);
    assert_int_equal(wfi_amqp_declare_exchange(amqp, &exchange, soon(), NULL), 0);
    assert_int_equal(wfi_amqp_bind(amqp, queue.name, "ev", "worker.#", soon(), NULL), 0);
    for (int i = 0; i < 2; i++) {
        const struct wfi_amqp_publish message = {.exchange = "ev",
                                                 .routing_key = i ? "worker.online" : "task.sent",
                                                 .properties = &properties,
                                                 .body = "x",
                                                 .body_len = 1};
        assert_int_equal(wfi_amqp_publish(amqp, &message, soon(), NULL), 0);
    }
    assert_int_equal(
        wfi_amqp_declare_queue(
            amqp, &(struct wfi_amqp_queue){.name = queue.name, .exclusive = true, .passive = true},
            &queue, soon(), NULL),
        0);
    assert_int_equal(queue.messages, 1); /* confirmed, so it is there */
    wfi_amqp_close(amqp, soon());
}

/* ---- many at once ---- */

#define PARTIES 50
#define ROUNDS 40

WF_TASK(wf_none, send_many, (struct wfi_amqp *, amqp), (const char *, queue), (int, party))

int send_many(struct wf_task *self, struct wfi_amqp *amqp, const char *queue, int party,
              wf_none *ret)
{
    char text[32];
    (void)self, (void)ret;
    for (int round = 0; round < ROUNDS; round++) {
        int len = snprintf(text, sizeof text, "%d", party * ROUNDS + round);
        publish(amqp, queue, "{}", text, (size_t)len);
    }
    return 0;
}
WF_TASK_DEFINE(send_many)

/* Publishing, confirming, receiving and requests, all on one connection. */
static void many_share(struct wf_executor *on)
{
    static unsigned char seen[PARTIES * ROUNDS];
    struct wfi_amqp *amqp = connect_with(&(struct wfi_amqp_options){.confirm = true});
    struct wfi_amqp_queue_state queue, mine;
    struct wf_error error = {0};
    memset(seen, 0, sizeof seen);
    make_queue(amqp, &queue);
    assert_int_equal(wfi_amqp_consume(amqp, queue.name, "me", false, soon(), NULL), 0);
    struct wf_scope storage, *scope = wf_scope_open(&storage, on, WF_FOREVER);
    for (int party = 0; party < PARTIES; party++)
        assert_int_equal(send_many_go(scope, amqp, queue.name, party), 0);
    for (int i = 0; i < PARTIES * ROUNDS; i++) {
        struct wfi_amqp_delivery *delivery = receive(amqp);
        int number = atoi(delivery->body);
        assert_int_equal(seen[number]++, 0);
        assert_int_equal(wfi_amqp_ack(amqp, delivery->tag, NULL), 0);
        wfi_amqp_delivery_destroy(delivery);
        if (i % 500 == 0)
            make_queue(amqp, &mine);
    }
    if (wf_scope_close(scope, &error))
        fail_msg("%s", error.text);
    wfi_amqp_close(amqp, soon());
}

static void test_many_fibers_share_a_connection(void **state)
{
    struct wf_executor *fibers;
    (void)state;
    assert_int_equal(wf_fibers_create(&(struct wf_fibers_options){.workers = 2}, &fibers, NULL), 0);
    many_share(fibers);
    wf_executor_destroy(fibers);
}

static void test_threads_share_a_connection(void **state)
{
    struct wf_executor *threads;
    (void)state;
    assert_int_equal(wf_threads_create(&(struct wf_threads_options){.workers = 6}, &threads, NULL),
                     0);
    many_share(threads);
    wf_executor_destroy(threads);
}

/* ---- what goes wrong ---- */

static void test_what_the_server_refuses_is_told_in_its_words(void **state)
{
    struct wfi_amqp *amqp = connect_with(NULL);
    struct wfi_amqp_queue_state queue;
    struct wf_error error = {0};
    (void)state;
    make_queue(amqp, &queue);
    const struct wfi_amqp_queue otherwise = {.name = queue.name, .durable = true};
    assert_int_equal(wfi_amqp_declare_queue(amqp, &otherwise, NULL, soon(), &error), -EREMOTEIO);
    assert_non_null(strstr(error.text, queue.name));
    assert_false(wfi_amqp_is_open(amqp));
    error = (struct wf_error){0};
    assert_int_equal(wfi_amqp_ack(amqp, 1, &error), -EREMOTEIO);
    assert_non_null(strstr(error.text, queue.name)); /* the same as before */
    wfi_amqp_close(amqp, soon());
}

static void test_who_may_not_come_in(void **state)
{
    struct wfi_celery_url url;
    struct wfi_amqp *amqp;
    struct wf_error error = {0};
    (void)state;
    assert_int_equal(wfi_celery_url_parse(server.url, &url, NULL), 0);
    snprintf(url.password, sizeof url.password, "wrong");
    assert_int_equal(wfi_amqp_open(&url, NULL, &amqp, soon(), &error), -EACCES);
    assert_null(strstr(error.text, "wrong"));
    assert_int_equal(wfi_celery_url_parse(server.url, &url, NULL), 0);
    snprintf(url.vhost, sizeof url.vhost, "nowhere");
    assert_int_equal(wfi_amqp_open(&url, NULL, &amqp, soon(), &error), -EREMOTEIO);
    assert_non_null(strstr(error.text, "nowhere"));
}

/* Waits for longer than the server would bear silence; it has to be told that somebody is here. */
static bool stays_connected(int heartbeat_s)
{
    struct wfi_amqp *amqp = connect_with(&(struct wfi_amqp_options){.heartbeat_s = heartbeat_s});
    struct wfi_amqp_queue_state queue;
    struct wfi_amqp_delivery *delivery;
    int err =
        wfi_amqp_receive(amqp, &delivery, wf_after(WF_MILLISECONDS(3500 * heartbeat_s)), NULL);
    if (err == -ETIMEDOUT)
        make_queue(amqp, &queue);
    wfi_amqp_close(amqp, soon());
    return err == -ETIMEDOUT;
}

static void test_giving_up_waiting_leaves_the_connection(void **state)
{
    int heartbeat_s = 1;
    (void)state;
    while (!stays_connected(heartbeat_s)) { /* on a machine that is busy for so long */
        heartbeat_s *= 3;
        assert_true(heartbeat_s < 10);
    }
}

WF_TASK(wf_none, receive_one, (struct wfi_amqp *, amqp))

int receive_one(struct wf_task *self, struct wfi_amqp *amqp, wf_none *ret)
{
    struct wfi_amqp_delivery *delivery;
    (void)self, (void)ret;
    int err = wfi_amqp_receive(amqp, &delivery, soon(), NULL);
    if (!err)
        wfi_amqp_delivery_destroy(delivery);
    return err;
}
WF_TASK_DEFINE(receive_one)

static void test_a_broken_connection_wakes_who_waits(void **state)
{
    struct wf_executor *fibers;
    struct wfi_amqp *amqp = connect_with(NULL);
    wf_none none;
    (void)state;
    assert_int_equal(wf_fibers_create(NULL, &fibers, NULL), 0);
    receive_one_future waits[2] = {receive_one_submit(fibers, amqp),
                                   receive_one_submit(fibers, amqp)};
    wfi_amqp_break(amqp);
    for (int i = 0; i < 2; i++)
        assert_int_equal(receive_one_result(&waits[i], &none, soon(), NULL), -EPIPE);
    wfi_amqp_close(amqp, soon());
    wf_executor_destroy(fibers);
}

static void test_a_queue_that_is_deleted_is_told(void **state)
{
    struct wfi_amqp *amqp = connect_with(NULL), *other = connect_with(NULL);
    const struct wfi_amqp_queue queue = {.name = "brief"};
    (void)state;
    assert_int_equal(wfi_amqp_declare_queue(amqp, &queue, NULL, soon(), NULL), 0);
    assert_int_equal(wfi_amqp_consume(amqp, "brief", "me", false, soon(), NULL), 0);
    assert_int_equal(wfi_amqp_delete_queue(other, "brief", soon(), NULL), 0);
    struct wfi_amqp_delivery *delivery = receive(amqp);
    assert_true(delivery->canceled);
    assert_string_equal(delivery->consumer, "me");
    wfi_amqp_delivery_destroy(delivery);
    wfi_amqp_close(amqp, soon());
    wfi_amqp_close(other, soon());
}

/* ---- peers that are no RabbitMQ ---- */

struct peer {
    struct wf_listener *listener;
    const char *bytes;
    size_t len;
    const char *then; /* after the answer to those */
    size_t then_len;
};

WF_TASK(wf_none, answer_with, (struct peer *, peer))

int answer_with(struct wf_task *self, struct peer *peer, wf_none *ret)
{
    struct wf_stream *stream;
    char buf[4096];
    (void)self, (void)ret;
    int err = wf_listener_accept(peer->listener, &stream, soon());
    if (err)
        return err;
    if (wf_stream_read(stream, buf, sizeof buf, soon()) > 0)
        (void)wf_stream_write(stream, peer->bytes, peer->len, soon());
    if (peer->then_len && wf_stream_read(stream, buf, sizeof buf, soon()) > 0)
        (void)wf_stream_write(stream, peer->then, peer->then_len, soon());
    (void)wf_stream_shutdown(stream, WF_SHUTDOWN_WRITE);
    while (wf_stream_read(stream, buf, sizeof buf, soon()) > 0)
        ;
    wf_stream_close(stream);
    return 0;
}
WF_TASK_DEFINE(answer_with)

/* Connecting to the peer ends with `code`. */
static void expect_refusal(struct wf_executor *threads, struct peer *peer, int code)
{
    struct wfi_celery_url url = {.transport = WFI_TRANSPORT_AMQP, .vhost = "/"};
    struct wf_address at;
    struct wfi_amqp *amqp = NULL;
    struct wf_error error = {0};
    wf_none none;
    assert_int_equal(wf_listener_open("127.0.0.1:0", NULL, &peer->listener, NULL), 0);
    wf_listener_address(peer->listener, &at);
    wf_address_format(&at, url.endpoint, sizeof url.endpoint);
    answer_with_future answering = answer_with_submit(threads, peer);
    int err = wfi_amqp_open(&url, NULL, &amqp, soon(), &error);
    if (err != code)
        fail_msg("not %d: %d, %s", code, err, error.text);
    assert_int_equal(answer_with_result(&answering, &none, soon(), NULL), 0);
    wf_listener_close(peer->listener);
}

static void test_a_peer_that_is_no_rabbitmq(void **state)
{
#define CASE(text, code)            \
    {                               \
        text, sizeof text - 1, code \
    }
    static const struct {
        const char *bytes;
        size_t len;
        int code;
    } cases[] = {
        CASE("", WF_ESHORT),
        CASE("AMQP\0\1\0\0", WF_EPROTOCOL),
        CASE("HTTP/1.1 400 Bad Request\r\n\r\n", WF_EPROTOCOL),
        CASE("\1\0\0\0\0\0\4\0\x0a\0\x1e\xce", WF_EPROTOCOL), /* tune, cut short */
        CASE("\1\0\0\0\0\0\4\0\x0a\0\x29\0", WF_EPROTOCOL),   /* no end of frame */
        CASE("\3\0\1\0\0\0\1x\xce", WF_EPROTOCOL),            /* a body of nothing */
        CASE("\1\0\0\xff\xff\xff\xff\0\0", WF_EPROTOCOL),     /* a frame of 4 GiB */
        CASE("\1\0\1\0\0\0\4\0\x32\0\x15\xce", WF_EPROTOCOL), /* bind-ok, unasked */
    };
#undef CASE
    struct wf_executor *threads;
    (void)state;
    assert_int_equal(wf_threads_create(NULL, &threads, NULL), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct peer peer = {.bytes = cases[i].bytes, .len = cases[i].len};
        expect_refusal(threads, &peer, cases[i].code);
    }
    wf_executor_destroy(threads);
}

/* Room for less than the head of a message would be written over its end. */
static void test_a_peer_that_wants_tiny_frames(void **state)
{
    static const char start[] = "\1\0\0\0\0\0\x1c\0\x0a\0\x0a\0\x09\0\0\0\0"
                                "\0\0\0\5PLAIN\0\0\0\5en_US\xce";
    static const char tune[] = "\1\0\0\0\0\0\x0c\0\x0a\0\x1e\0\1\0\0\0\x0c\0\0\xce";
    struct peer peer = {
        .bytes = start, .len = sizeof start - 1, .then = tune, .then_len = sizeof tune - 1};
    struct wf_executor *threads;
    (void)state;
    assert_int_equal(wf_threads_create(NULL, &threads, NULL), 0);
    expect_refusal(threads, &peer, WF_EPROTOCOL);
    wf_executor_destroy(threads);
}

static int start(void **state)
{
    (void)state;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    rabbit_server_stop(&server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_peer_that_is_no_rabbitmq),
        cmocka_unit_test(test_a_peer_that_wants_tiny_frames),
        cmocka_unit_test(test_a_message_comes_as_it_was_sent),
        cmocka_unit_test(test_sizes_around_a_frame_and_far_above),
        cmocka_unit_test(test_what_is_not_acknowledged_comes_again),
        cmocka_unit_test(test_exchanges_and_bindings),
        cmocka_unit_test(test_many_fibers_share_a_connection),
        cmocka_unit_test(test_threads_share_a_connection),
        cmocka_unit_test(test_what_the_server_refuses_is_told_in_its_words),
        cmocka_unit_test(test_who_may_not_come_in),
        cmocka_unit_test(test_giving_up_waiting_leaves_the_connection),
        cmocka_unit_test(test_a_broken_connection_wakes_who_waits),
        cmocka_unit_test(test_a_queue_that_is_deleted_is_told),
    };
    if (!rabbit_server_start(&server)) {
        rabbit_server_stop(&server);
        return 77;
    }
    return cmocka_run_group_tests(tests, start, stop);
}
