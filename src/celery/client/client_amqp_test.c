/* SPDX-License-Identifier: MIT */
/*
 * The client and the celery engine over RabbitMQ, with results by rpc://; the test is the worker.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <weft/celery_executor.h>
#include <weft/scope.h>
#include <weft/task.h>
#include <weft/threads.h>

#include "base/alloc.h"
#include "celery/broker/amqp.h"
#include "celery/client/client.h"
#include "celery/message/control.h"
#include "celery/message/message.h"
#include "celery/message/result.h"
#include "rabbit_server.h"

WF_TASK_AS("far.add", int64_t, add, (int64_t, x), (int64_t, y))

static struct rabbit_server server;

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

static struct wfi_amqp *connect_to_server(void)
{
    struct wfi_celery_url url;
    struct wfi_amqp *amqp = NULL;
    struct wf_error error = {0};
    assert_int_equal(wfi_celery_url_parse(server.url, &url, NULL), 0);
    if (wfi_amqp_open(&url, NULL, &amqp, soon(), &error))
        fail_msg("%s", error.text);
    return amqp;
}

static struct wf_executor *create_executor(void)
{
    struct wf_executor *on = NULL;
    struct wf_error error = {0};
    if (wf_celery_create(&(struct wf_celery_options){.broker = server.url, .backend = "rpc://"},
                         &on, &error))
        fail_msg("%s", error.text);
    return on;
}

static void consume(struct wfi_amqp *amqp, const char *queue, const char *arguments)
{
    const struct wfi_amqp_queue fields = {.name = queue, .durable = true, .arguments = arguments};
    struct wf_error error = {0};
    if (wfi_amqp_declare_queue(amqp, &fields, NULL, soon(), &error) ||
        wfi_amqp_consume(amqp, queue, queue, true, soon(), &error))
        fail_msg("%s", error.text);
}

static void take(struct wfi_amqp *amqp, struct wfi_message_in *ret,
                 struct wfi_amqp_delivery **ret_delivery)
{
    struct wfi_amqp_delivery *delivery = NULL;
    struct wf_error error = {0};
    if (wfi_amqp_receive(amqp, &delivery, soon(), &error))
        fail_msg("%s", error.text);
    assert_false(delivery->canceled);
    assert_int_equal(
        wfi_message_read_amqp(delivery->properties, delivery->body, delivery->len, ret, NULL),
        WFI_MESSAGE_RUN);
    delivery->properties = NULL;
    *ret_delivery = delivery;
}

static void answer(struct wfi_amqp *amqp, const struct wfi_message *m, const char *status,
                   const char *value)
{
    char meta[300];
    const struct wfi_properties properties = {.correlation_id = m->id, .delivery_mode = 1};
    int len = snprintf(meta, sizeof meta,
                       "{\"task_id\": \"%s\", \"status\": \"%s\", \"result\": %s, \"traceback\": "
                       "null, \"children\": []}",
                       m->id, status, value);
    const struct wfi_amqp_publish message = {.exchange = "",
                                             .routing_key = m->properties.reply_to,
                                             .properties = &properties,
                                             .headers = "{}",
                                             .headers_len = 2,
                                             .body = meta,
                                             .body_len = (size_t)len};
    struct wf_error error = {0};
    if (wfi_amqp_publish(amqp, &message, soon(), &error))
        fail_msg("%s", error.text);
}

/* Takes a message and answers it. Whether it was the one with this id. */
static bool work_on(struct wfi_amqp *amqp, const char *id, const char *status, const char *value)
{
    struct wfi_message_in in = {0};
    struct wfi_amqp_delivery *delivery;
    take(amqp, &in, &delivery);
    const bool right = strcmp(in.message.id, id) == 0;
    answer(amqp, &in.message, status, value);
    wfi_message_in_reset(&in);
    wfi_amqp_delivery_destroy(delivery);
    return right;
}

static void work_once(struct wfi_amqp *amqp, const char *status, const char *value)
{
    (void)work_on(amqp, "", status, value);
}

static void test_tasks_go_and_results_come(void **state)
{
    struct wf_executor *on = create_executor();
    struct wfi_amqp *amqp = connect_to_server();
    struct wfi_message_in in = {0};
    struct wfi_amqp_delivery *delivery;
    struct wf_error error = {0};
    int64_t sum;
    (void)state;
    consume(amqp, "celery", NULL);
    add_future f = add_submit_with(on, &(struct wf_submit_options){.priority = 2}, 2, 3);
    take(amqp, &in, &delivery);
    assert_string_equal(in.message.task, "far.add");
    assert_string_equal(in.message.properties.correlation_id, in.message.id);
    assert_int_equal(in.message.properties.priority, 6);
    assert_int_equal(wfi_message_read_body(&in, 0, NULL), WFI_MESSAGE_RUN);
    assert_int_equal(wf_json_count(in.message.args.value), 2);
    answer(amqp, &in.message, "RETRY", "null"); /* not the end */
    answer(amqp, &in.message, "SUCCESS", "5");
    wfi_message_in_reset(&in);
    wfi_amqp_delivery_destroy(delivery);
    if (add_result(&f, &sum, soon(), &error))
        fail_msg("%s", error.text);
    assert_int_equal(sum, 5);
    f = add_submit(on, 1, 1);
    work_once(amqp, "FAILURE",
              "{\"exc_type\": \"ValueError\", \"exc_message\": [\"no\"], \"exc_module\": "
              "\"builtins\"}");
    assert_int_equal(add_result(&f, &sum, soon(), &error), -EINVAL);
    assert_string_equal(error.text, "ValueError: no");
    wfi_amqp_close(amqp, soon());
    wf_executor_destroy(on);
}

/* A result that comes before anybody asks for it waits for who does, once. */
static void test_results_are_kept_for_who_asks_later(void **state)
{
    struct wf_celery_client *client = NULL;
    struct wfi_amqp *amqp = connect_to_server();
    struct wf_celery_result *result;
    const struct wf_json_value *value;
    struct wf_error error = {0};
    char id[WF_CELERY_ID_BYTES], other[WF_CELERY_ID_BYTES];
    int64_t number = 0;
    (void)state;
    const struct wf_celery_client_options options = {.broker = server.url, .backend = "rpc://"};
    assert_int_equal(wf_celery_client_create(&options, &client, &error), 0);
    consume(amqp, "celery", NULL);
    if (wf_celery_client_send(client, "t", "[1]", NULL, NULL, id, soon(), &error) ||
        wf_celery_client_send(client, "t", "[1]", NULL, NULL, other, soon(), &error))
        fail_msg("%s", error.text);
    work_once(amqp, "SUCCESS", "41");
    work_once(amqp, "SUCCESS", "42");
    assert_int_equal(wf_celery_client_wait(client, other, &result, soon(), &error), 0);
    wf_celery_result_destroy(result); /* the first came before it */
    assert_int_equal(wf_celery_client_wait(client, id, &result, soon(), &error), 0);
    assert_int_equal(wf_celery_result_value(result, &value, &error), 0);
    assert_int_equal(wf_json_int(value, &number), 0);
    assert_int_equal(number, 41);
    wf_celery_result_destroy(result);
    assert_int_equal(
        wf_celery_client_wait(client, id, &result, wf_after(WF_MILLISECONDS(20)), &error),
        -ETIMEDOUT);
    assert_int_equal(wf_celery_client_forget(client, id, soon(), &error), 0);
    wfi_amqp_close(amqp, soon());
    wf_celery_client_destroy(client);
}

/* The queue of results goes away under the client, and a queue of tasks is declared otherwise. */
static void test_refusals_are_survived(void **state)
{
    struct wf_executor *on = create_executor();
    struct wfi_amqp *amqp = connect_to_server();
    struct wfi_message_in in = {0};
    struct wfi_amqp_delivery *delivery;
    struct wf_error error = {0};
    const struct wf_celery_apply apply = {.queue = "with priorities"};
    int64_t sum;
    (void)state;
    consume(amqp, "with priorities", "{\"x-max-priority\": 9}");
    for (int i = 0; i < 2; i++) {
        add_future f = add_submit_with(on, &(struct wf_submit_options){.celery = &apply}, 1, i);
        work_once(amqp, "SUCCESS", "7");
        if (add_result(&f, &sum, soon(), &error))
            fail_msg("%s", error.text);
    }
    add_future f = add_submit_with(on, &(struct wf_submit_options){.celery = &apply}, 1, 1);
    take(amqp, &in, &delivery);
    assert_int_equal(wfi_amqp_delete_queue(amqp, in.message.properties.reply_to, soon(), NULL), 0);
    /* Until there is another, what is sent there is nobody's. */
    const struct wfi_amqp_queue queue = {.name = in.message.properties.reply_to, .passive = true};
    for (int err = -1; err;) {
        struct wfi_amqp *probe = connect_to_server();
        err = wfi_amqp_declare_queue(probe, &queue, NULL, soon(), NULL);
        wfi_amqp_close(probe, soon());
    }
    answer(amqp, &in.message, "SUCCESS", "8");
    if (add_result(&f, &sum, soon(), &error))
        fail_msg("%s", error.text);
    assert_int_equal(sum, 8);
    wfi_message_in_reset(&in);
    wfi_amqp_delivery_destroy(delivery);
    wfi_amqp_close(amqp, soon());
    wf_executor_destroy(on);
}

static const struct wfi_client_task astray = {
    .name = "t", .exchange = "missing", .routing_key = "k"};

WF_TASK(wf_none, send_some, (struct wf_celery_client *, client), (bool, wrong))

int send_some(struct wf_task *self, struct wf_celery_client *client, bool wrong, wf_none *ret)
{
    const struct wf_celery_apply apply = {.queue = "many"};
    struct wf_error error = {0};
    int err = 0;
    (void)ret;
    if (wrong) {
        err = wfi_client_send(client, &astray, NULL, NULL, soon(), &error);
        return err == -EREMOTEIO ? 0 : wf_task_fail(self, -EBADMSG, "%s", error.text);
    }
    for (int i = 0; i < 100 && !err; i++)
        err = wf_celery_client_send(client, "t", NULL, NULL, &apply, NULL, soon(), &error);
    return err ? wf_task_fail(self, err, "%s", error.text) : 0;
}
WF_TASK_DEFINE(send_some)

/* For a message that goes nowhere the server closes the channel; others are on it, too. */
static void test_the_error_of_one_is_not_told_to_others(void **state)
{
    struct wf_celery_client *client = NULL;
    struct wf_executor *threads = NULL;
    struct wf_scope storage;
    struct wf_error error = {0};
    (void)state;
    const struct wf_celery_client_options options = {.broker = server.url};
    assert_int_equal(wf_celery_client_create(&options, &client, &error), 0);
    assert_int_equal(wf_threads_create(&(struct wf_threads_options){.workers = 8}, &threads, NULL),
                     0);
    struct wf_scope *scope = wf_scope_open(&storage, threads, soon());
    for (int i = 0; i < 8; i++)
        assert_int_equal(send_some_go(scope, client, i == 7), 0);
    if (wf_scope_close(scope, &error))
        fail_msg("%s", error.text);
    wf_executor_destroy(threads);
    wf_celery_client_destroy(client);
}

/* Without confirms, where the sender of what goes nowhere is not told. */
static void test_what_is_sent_after_it_arrives(void **state)
{
    struct wf_celery_client *client = NULL;
    struct wfi_amqp *amqp = connect_to_server();
    struct wfi_amqp_delivery *delivery = NULL;
    struct wf_error error = {0};
    const struct wf_celery_apply apply = {.queue = "after"};
    (void)state;
    const struct wf_celery_client_options options = {.broker = server.url, .unconfirmed = true};
    assert_int_equal(wf_celery_client_create(&options, &client, &error), 0);
    consume(amqp, "after", NULL);
    if (wf_celery_client_send(client, "t", NULL, NULL, &apply, NULL, soon(), &error) ||
        wfi_amqp_receive(amqp, &delivery, soon(), &error))
        fail_msg("%s", error.text);
    wfi_amqp_delivery_destroy(delivery);
    if (wfi_client_send(client, &astray, NULL, NULL, soon(), &error))
        fail_msg("%s", error.text);
    const wf_deadline limit = soon();
    int err = -ETIMEDOUT;
    while (err == -ETIMEDOUT && wf_remaining(limit)) { /* until the client has heard of it */
        if (wf_celery_client_send(client, "t", NULL, NULL, &apply, NULL, soon(), &error))
            fail_msg("%s", error.text);
        err = wfi_amqp_receive(amqp, &delivery, wf_after(WF_MILLISECONDS(20)), NULL);
    }
    assert_int_equal(err, 0);
    wfi_amqp_delivery_destroy(delivery);
    wfi_amqp_close(amqp, soon());
    wf_celery_client_destroy(client);
}

static void test_a_server_that_is_not_there_is_told(void **state)
{
    struct wf_celery_client *client = NULL;
    struct wf_error error = {0};
    (void)state;
    const struct wf_celery_client_options options = {
        .broker = "amqp://localhost:1", .backend = "rpc://", .pause_ns = 1};
    assert_int_equal(wf_celery_client_create(&options, &client, &error), 0);
    assert_int_equal(wf_celery_client_send(client, "t", NULL, NULL, NULL, NULL, soon(), &error),
                     -ECONNREFUSED);
    assert_int_equal(wf_celery_client_send(client, "t", NULL, NULL, NULL, NULL, soon(), &error),
                     -ECONNREFUSED);
    wf_celery_client_destroy(client);
}

/* ---- requests ---- */

WF_TASK(wf_none, reply_as_worker, (struct wfi_amqp *, amqp))

int reply_as_worker(struct wf_task *self, struct wfi_amqp *amqp, wf_none *ret)
{
    struct wfi_amqp_delivery *delivery;
    struct wfi_envelope envelope = {0};
    struct wfi_control_request request;
    struct wf_json *body = NULL;
    struct wf_json_writer *w = NULL;
    const struct wfi_properties properties = {.delivery_mode = 1};
    static const char reply[] = "{\"a@vm\": {\"ok\": \"pong\"}}";
    (void)self, (void)ret;
    int err = wfi_amqp_receive(amqp, &delivery, soon(), NULL);
    if (err)
        return err;
    err = wfi_envelope_read_amqp(delivery->properties, delivery->body, delivery->len, &envelope,
                                 NULL);
    delivery->properties = NULL;
    if (!err && wfi_control_read(&envelope, "a@vm", 0, &body, &request) != WFI_CONTROL_DO)
        err = -EBADMSG;
    if (!err)
        err = wfi_message_writer_create(&w);
    if (!err) {
        struct wfi_amqp_publish message = {.exchange = request.reply_exchange,
                                           .routing_key = request.reply_key,
                                           .properties = &properties,
                                           .body = reply,
                                           .body_len = sizeof reply - 1};
        wfi_control_write_reply_headers(w, request.ticket, 1);
        err = wf_json_writer_text(w, &message.headers, &message.headers_len);
        if (!err)
            err = wfi_amqp_publish(amqp, &message, soon(), NULL);
    }
    wf_json_writer_destroy(w);
    wf_json_destroy(body);
    wfi_envelope_reset(&envelope);
    wfi_amqp_delivery_destroy(delivery);
    return err;
}
WF_TASK_DEFINE(reply_as_worker)

static void test_workers_are_asked(void **state)
{
    struct wf_executor *on = create_executor(), *threads = NULL;
    struct wf_celery_client *client = wf_celery_client_of(on);
    struct wfi_amqp *amqp = connect_to_server();
    struct wf_json *replies = NULL;
    struct wf_error error = {0};
    wf_none none;
    (void)state;
    const struct wfi_amqp_exchange exchange = {.name = WFI_CONTROL_EXCHANGE, .type = "fanout"};
    const struct wfi_amqp_queue queue = {.name = "a@vm.celery.pidbox", .auto_delete = true};
    assert_int_equal(wf_threads_create(NULL, &threads, NULL), 0);
    assert_int_equal(wfi_amqp_declare_exchange(amqp, &exchange, soon(), NULL), 0);
    assert_int_equal(wfi_amqp_declare_queue(amqp, &queue, NULL, soon(), NULL), 0);
    assert_int_equal(wfi_amqp_bind(amqp, queue.name, exchange.name, "", soon(), NULL), 0);
    assert_int_equal(wfi_amqp_consume(amqp, queue.name, "me", true, soon(), NULL), 0);
    reply_as_worker_future f = reply_as_worker_submit(threads, amqp);
    struct wf_celery_control control = {
        .method = "ping", .wait_ns = WF_SECONDS(30), .replies_max = 1};
    if (wf_celery_client_control(client, &control, &replies, soon(), &error))
        fail_msg("%s", error.text);
    const struct wf_json_value *reply = wf_json_get(wf_json_root(replies), "a@vm");
    assert_string_equal(wf_json_text(wf_json_get(reply, "ok"), NULL), "pong");
    wf_json_destroy(replies);
    assert_int_equal(reply_as_worker_result(&f, &none, soon(), NULL), 0);
    control.wait_ns = WF_MILLISECONDS(20);
    assert_int_equal(wf_celery_client_control(client, &control, &replies, soon(), &error), 0);
    assert_int_equal(wf_json_count(wf_json_root(replies)), 0);
    wf_json_destroy(replies);
    assert_int_equal(wf_celery_client_revoke(client, "x", false, soon(), &error), 0);
    wfi_amqp_close(amqp, soon());
    wf_executor_destroy(threads);
    wf_executor_destroy(on);
}

/* ---- no memory ---- */

static int whole_call(struct wfi_amqp *amqp)
{
    const struct wf_celery_client_options options = {
        .broker = server.url, .backend = "rpc://", .send_once = true, .pause_ns = 1};
    struct wf_celery_client *client = NULL;
    struct wf_celery_result *result = NULL;
    char id[WF_CELERY_ID_BYTES];
    int err = wf_celery_client_create(&options, &client, NULL);
    if (err)
        return err;
    err = wf_celery_client_send(client, "t", "[1]", NULL, NULL, id, soon(), NULL);
    const bool failed = wfi_alloc_unwatch(); /* the worker is to have memory */
    if (!err) {
        while (!work_on(amqp, id, "SUCCESS", "1"))
            ; /* one that was sent and told as an error */
        err = wf_celery_client_wait(client, id, &result, soon(), NULL);
        wf_celery_result_destroy(result);
    }
    wf_celery_client_destroy(client);
    return err ? err : failed;
}

static void test_memory_that_runs_out_is_told_or_survived(void **state)
{
    struct wfi_amqp *amqp = connect_to_server();
    uint64_t told = 0;
    (void)state;
    consume(amqp, "celery", NULL);
    wfi_alloc_watch(0);
    assert_int_equal(whole_call(amqp), 0); /* what is made once in a process is there */
    for (uint64_t n = 1;; n++) {
        wfi_alloc_watch(n);
        int err = whole_call(amqp);
        if (!err)
            break;
        if (err < 0 && err != -ENOMEM && err != -EAGAIN)
            fail_msg("allocation %llu: %s", (unsigned long long)n, wf_strerror(err));
        told += err < 0;
    }
    assert_true(told > 0);
    wfi_amqp_close(amqp, soon());
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
        cmocka_unit_test(test_tasks_go_and_results_come),
        cmocka_unit_test(test_results_are_kept_for_who_asks_later),
        cmocka_unit_test(test_refusals_are_survived),
        cmocka_unit_test(test_the_error_of_one_is_not_told_to_others),
        cmocka_unit_test(test_what_is_sent_after_it_arrives),
        cmocka_unit_test(test_a_server_that_is_not_there_is_told),
        cmocka_unit_test(test_workers_are_asked),
        cmocka_unit_test(test_memory_that_runs_out_is_told_or_survived),
    };
    if (!rabbit_server_start(&server)) {
        rabbit_server_stop(&server);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, stop);
}
