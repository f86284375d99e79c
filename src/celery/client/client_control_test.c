/* SPDX-License-Identifier: MIT */
/*
 * The client's public calls (weft/celery_client.h) against a real Redis: tasks with what belongs to
 * them, results, and requests, which the test answers as workers would.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>

#include <weft/celery_canvas.h>
#include <weft/celery_client.h>
#include <weft/scope.h>
#include <weft/task.h>
#include <weft/threads.h>

#include "base/alloc.h"
#include "celery/broker/redis_broker.h"
#include "celery/message/control.h"
#include "celery/message/message.h"
#include "celery/message/result.h"
#include "each_allocation.h"
#include "redis_group.h"

#define PREFIX "pre:"

static struct redis_server server;

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

static struct wfi_redis *connect_to_server(void)
{
    struct wfi_celery_url url;
    struct wfi_redis *redis = NULL;
    struct wf_error error = {0};
    assert_int_equal(wfi_celery_url_parse(server.url, &url, NULL), 0);
    if (wfi_redis_open(&url, NULL, &redis, soon(), &error))
        fail_msg("%s", error.text);
    return redis;
}

static struct wf_celery_client *create_client(void)
{
    struct wf_celery_client *client = NULL;
    struct wf_error error = {0};
    const struct wf_celery_client_options options = {
        .broker = server.url, .backend = server.url, .prefix = PREFIX};
    if (wf_celery_client_create(&options, &client, &error))
        fail_msg("%s", error.text);
    return client;
}

static struct wfi_redis_answer command(struct wfi_redis *redis, struct wfi_redis_batch *batch)
{
    struct wfi_redis_answer answer = {0};
    struct wf_error error = {0};
    if (wfi_redis_call(redis, batch, &answer, soon(), &error))
        fail_msg("%s", error.text);
    return answer;
}

static void assert_value(const struct wf_json_value *value, const char *expected)
{
    struct wf_json_writer *w;
    const char *text;
    assert_int_equal(wfi_message_writer_create(&w), 0);
    wf_json_write_value(w, value);
    assert_int_equal(wf_json_writer_text(w, &text, NULL), 0);
    assert_string_equal(text, expected);
    wf_json_writer_destroy(w);
}

/* ---- tasks ---- */

static void test_what_belongs_to_a_call_is_sent(void **state)
{
    struct wf_celery_client *client = create_client();
    struct wfi_redis *redis = connect_to_server();
    struct wfi_redis_batch batch = {0};
    struct wfi_message_in in = {0};
    const struct wf_celery_apply apply = {.id = "mine",
                                          .queue = "wire",
                                          .eta_us = 1000000,
                                          .priority = 3,
                                          .retries = 1,
                                          .soft_s = 1,
                                          .hard_s = 2.5,
                                          .ignore_result = true,
                                          .shadow = "as",
                                          .headers = "{\"tenant\": 7}",
                                          .callbacks = "[{\"task\": \"cb\"}]",
                                          .root_id = "root",
                                          .parent_id = "parent"};
    (void)state;
    assert_int_equal(
        wf_celery_client_send(client, "t", "[1]", "{\"k\": 2}", &apply, NULL, soon(), NULL), 0);
    wfi_redis_add(&batch, "RPOP " PREFIX "wire\x06\x16"
                          "3");
    struct wfi_redis_answer answer = command(redis, &batch);
    assert_int_equal(answer.replies[0]->type, REDIS_REPLY_STRING);
    assert_int_equal(
        wfi_message_read_redis(answer.replies[0]->str, answer.replies[0]->len, &in, NULL),
        WFI_MESSAGE_RUN);
    assert_int_equal(wfi_message_read_body(&in, 0, NULL), WFI_MESSAGE_RUN);
    const struct wfi_message *m = &in.message;
    assert_string_equal(m->id, "mine");
    assert_string_equal(m->root_id, "root");
    assert_string_equal(m->parent_id, "parent");
    assert_string_equal(m->shadow, "as");
    assert_int_equal(m->eta_us, 1000000);
    assert_true(m->retries == 1 && m->soft_s == 1 && m->hard_s == 2.5 && m->ignore_result);
    assert_value(wf_json_get(m->headers, "tenant"), "7");
    assert_value(m->args.value, "[1]");
    assert_value(m->kwargs.value, "{\"k\": 2}");
    assert_value(m->callbacks.value, "[{\"task\": \"cb\"}]");
    assert_int_equal(strncmp(m->origin, "gen", 3), 0);
    assert_non_null(strchr(m->origin, '@'));
    wfi_message_in_reset(&in);
    wfi_redis_answer_fini(&answer);
    wfi_redis_close(redis);
    wf_celery_client_destroy(client);
}

static void test_texts_that_are_no_json_are_refused(void **state)
{
    struct wf_celery_client *client = create_client();
    struct wf_json *replies;
    struct wf_error error = {0};
    (void)state;
    const struct wf_celery_apply wrong[] = {
        {.headers = "[]"}, {.headers = "{"}, {.callbacks = "{}"}, {.errbacks = "1"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(
            wf_celery_client_send(client, "t", NULL, NULL, &wrong[i], NULL, soon(), &error),
            -EINVAL);
    assert_int_equal(wf_celery_client_send(client, "t", "1", NULL, NULL, NULL, soon(), &error),
                     -EINVAL);
    assert_string_equal(error.text, "task t: args are no array");
    assert_int_equal(
        wf_celery_client_control(client, &(struct wf_celery_control){0}, &replies, soon(), &error),
        -EINVAL);
    const struct wf_celery_control control = {.method = "ping", .arguments = "[]"};
    assert_int_equal(wf_celery_client_control(client, &control, &replies, soon(), &error), -EINVAL);
    wf_celery_client_destroy(client);
}

static void store(struct wfi_redis *redis, const char *id, const char *meta)
{
    struct wfi_redis_batch batch = {0};
    wfi_redis_add(&batch, "SET " PREFIX "celery-task-meta-%s %s", id, meta);
    wfi_redis_add(&batch, "PUBLISH " PREFIX "celery-task-meta-%s %s", id, meta);
    struct wfi_redis_answer answer = command(redis, &batch);
    wfi_redis_answer_fini(&answer);
}

static void test_a_result_is_waited_for_by_its_id(void **state)
{
    struct wf_celery_client *client = create_client();
    struct wfi_redis *redis = connect_to_server();
    struct wf_celery_result *result = NULL;
    const struct wf_json_value *value;
    struct wf_error error = {0};
    (void)state;
    assert_int_equal(
        wf_celery_client_wait(client, "one", &result, wf_after(WF_MILLISECONDS(20)), &error),
        -ETIMEDOUT);
    store(redis, "one", "{\"status\": \"SUCCESS\", \"result\": [1], \"task_id\": \"one\"}");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wf_celery_client_wait(client, "one", &result, soon(), &error), 0);
        assert_int_equal(wf_celery_result_value(result, &value, &error), 0);
        assert_value(value, "[1]");
        assert_value(wf_json_get(wf_celery_result_document(result), "status"), "\"SUCCESS\"");
        wf_celery_result_destroy(result);
    }
    store(redis, "two",
          "{\"status\": \"FAILURE\", \"task_id\": \"two\", \"traceback\": \"where\", \"result\": "
          "{\"exc_type\": \"ValueError\", \"exc_message\": [\"boom\"], \"exc_module\": "
          "\"builtins\"}}");
    assert_int_equal(wf_celery_client_wait(client, "two", &result, soon(), &error), 0);
    assert_int_equal(wf_celery_result_value(result, &value, &error), -EINVAL);
    assert_string_equal(error.text, "ValueError: boom");
    assert_value(wf_json_get(wf_celery_result_document(result), "traceback"), "\"where\"");
    wf_celery_result_destroy(result);
    assert_int_equal(wf_celery_client_forget(client, "one", soon(), &error), 0);
    assert_int_equal(
        wf_celery_client_wait(client, "one", &result, wf_after(WF_MILLISECONDS(20)), &error),
        -ETIMEDOUT);
    wfi_redis_close(redis);
    wf_celery_client_destroy(client);
}

/* ---- requests ---- */

/* Answers one request as each of the nodes that it is for, and as one that mistakes the ticket. */
WF_TASK(int, answer_as_workers, (struct wfi_redis *, listener), (struct wfi_redis *, redis))

static int reply_as(struct wfi_redis *redis, const struct wfi_control_request *request,
                    const char *node, const char *value)
{
    struct wf_json_writer *w;
    const struct wfi_json_piece piece = {.text = value, .len = strlen(value)};
    const char *text = NULL;
    size_t len = 0;
    int err = wfi_message_writer_create(&w);
    if (err)
        return err;
    err = wfi_control_write_reply_redis(w, request, node, &piece, 1, node);
    if (!err)
        err = wf_json_writer_text(w, &text, &len);
    if (!err)
        err = wfi_redis_publish(redis, PREFIX, request->reply_exchange, request->reply_key, 0, text,
                                len, soon(), NULL);
    wf_json_writer_destroy(w);
    return err;
}

int answer_as_workers(struct wf_task *self, struct wfi_redis *listener, struct wfi_redis *redis,
                      int *ret)
{
    static const char *const nodes[] = {"a@vm", "b@vm"};
    redisReply *reply;
    struct wfi_envelope envelope = {0};
    int err = wfi_redis_receive(listener, &reply, soon(), NULL);
    (void)self;
    if (err)
        return err;
    *ret = 0;
    for (size_t i = 0; !err && i < 2; i++) {
        struct wf_json *body = NULL;
        struct wfi_control_request request;
        err = wfi_envelope_read_redis(reply->element[3]->str, reply->element[3]->len, &envelope,
                                      NULL);
        if (!err && wfi_control_read(&envelope, nodes[i], 0, &body, &request) == WFI_CONTROL_DO) {
            struct wfi_control_request other = request;
            other.ticket = "another";
            ++*ret;
            err = reply_as(redis, &other, nodes[i], "\"not this\"");
            if (!err)
                err = reply_as(redis, &request, nodes[i], i ? "[1, 2]" : "{\"ok\": \"pong\"}");
        }
        wf_json_destroy(body);
        wfi_envelope_reset(&envelope);
    }
    freeReplyObject(reply);
    return err;
}
WF_TASK_DEFINE(answer_as_workers)

static long long count_keys(struct wfi_redis *redis)
{
    struct wfi_redis_batch batch = {0};
    wfi_redis_add(&batch, "KEYS *pidbox*");
    struct wfi_redis_answer answer = command(redis, &batch);
    long long count = (long long)answer.replies[0]->elements;
    wfi_redis_answer_fini(&answer);
    return count;
}

static void test_workers_are_asked(void **state)
{
    static const char *const names[] = {"b@vm"};
    struct wf_celery_client *client = create_client();
    struct wfi_redis *listener = connect_to_server(), *redis = connect_to_server();
    struct wfi_redis_batch batch = {0};
    struct wf_executor *threads;
    struct wf_error error = {0};
    struct wf_json *replies = NULL;
    redisReply *reply;
    int count;
    (void)state;
    assert_int_equal(wf_threads_create(NULL, &threads, NULL), 0);
    wfi_redis_add(&batch, "PSUBSCRIBE " PREFIX "/0." WFI_CONTROL_EXCHANGE);
    assert_int_equal(wfi_redis_send(listener, &batch, NULL), 0);
    assert_int_equal(wfi_redis_receive(listener, &reply, soon(), NULL), 0);
    freeReplyObject(reply);
    struct wf_celery_control control = {
        .method = "ping", .wait_ns = WF_SECONDS(30), .replies_max = 2};
    answer_as_workers_future f = answer_as_workers_submit(threads, listener, redis);
    if (wf_celery_client_control(client, &control, &replies, soon(), &error))
        fail_msg("%s", error.text);
    assert_value(wf_json_root(replies), "{\"a@vm\": {\"ok\": \"pong\"}, \"b@vm\": [1, 2]}");
    wf_json_destroy(replies);
    assert_int_equal(answer_as_workers_result(&f, &count, soon(), NULL), 0);
    assert_int_equal(count, 2);
    /* One is asked by its name: its reply is all there is to wait for. */
    control = (struct wf_celery_control){.method = "stats",
                                         .arguments = "{\"x\": 1}",
                                         .destination = names,
                                         .destination_count = 1,
                                         .wait_ns = WF_SECONDS(30)};
    f = answer_as_workers_submit(threads, listener, redis);
    assert_int_equal(wf_celery_client_control(client, &control, &replies, soon(), &error), 0);
    assert_value(wf_json_root(replies), "{\"b@vm\": [1, 2]}");
    wf_json_destroy(replies);
    assert_int_equal(answer_as_workers_result(&f, &count, soon(), NULL), 0);
    assert_int_equal(count, 1);
    /* Nobody answers. */
    wfi_redis_close(listener);
    control = (struct wf_celery_control){.method = "ping", .wait_ns = WF_MILLISECONDS(20)};
    assert_int_equal(wf_celery_client_control(client, &control, &replies, soon(), &error), 0);
    assert_value(wf_json_root(replies), "{}");
    wf_json_destroy(replies);
    control.wait_ns = WF_SECONDS(30);
    assert_int_equal(
        wf_celery_client_control(client, &control, &replies, wf_after(WF_MILLISECONDS(20)), &error),
        -ETIMEDOUT);
    assert_int_equal(wf_celery_client_control(client, &control, NULL, soon(), &error), 0);
    assert_int_equal(count_keys(redis), 0);
    wf_executor_destroy(threads);
    wfi_redis_close(redis);
    wf_celery_client_destroy(client);
}

/* ---- no memory ---- */

/* All that a client asks of the servers, but for waiting. */
static int all_calls(void *arg)
{
    struct wf_celery_client *client = NULL;
    const struct wf_celery_client_options options = {
        .broker = server.url, .backend = server.url, .send_once = true};
    const struct wf_celery_apply apply = {
        .queue = "memory", .headers = "{\"a\": 1}", .callbacks = "[{\"task\": \"cb\"}]"};
    const struct wf_celery_control control = {.method = "ping", .wait_ns = 1};
    struct wf_json *replies = NULL, *sent = NULL;
    (void)arg;
    int err = wf_celery_client_create(&options, &client, NULL);
    if (err)
        return err;
    struct wf_celery_signature *chord = wf_celery_chord(
        (struct wf_celery_signature *[]){wf_celery_signature_create("t", "[1]", NULL, &apply),
                                         wf_celery_signature_create("t", "[2]", NULL, &apply)},
        2, wf_celery_signature_create("body", NULL, NULL, &apply));
    err = wf_celery_client_send(client, "t", "[1]", "{}", &apply, NULL, soon(), NULL);
    if (!err)
        err = wf_celery_client_apply(client, chord, &sent, soon(), NULL);
    if (!err)
        err = wf_celery_client_control(client, &control, &replies, soon(), NULL);
    if (!err)
        err = wf_celery_client_revoke(client, "x", true, soon(), NULL);
    if (!err)
        err = wf_celery_client_forget(client, "x", soon(), NULL);
    wf_json_destroy(replies);
    wf_json_destroy(sent);
    wf_celery_signature_destroy(chord);
    wf_celery_client_destroy(client);
    return err;
}

static void test_memory_that_runs_out_is_told(void **state)
{
    (void)state;
    each_allocation_fails(all_calls, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_belongs_to_a_call_is_sent),
        cmocka_unit_test(test_texts_that_are_no_json_are_refused),
        cmocka_unit_test(test_a_result_is_waited_for_by_its_id),
        cmocka_unit_test(test_workers_are_asked),
        cmocka_unit_test(test_memory_that_runs_out_is_told),
    };
    return redis_group_run(&server, tests, sizeof tests / sizeof *tests, NULL, NULL);
}
