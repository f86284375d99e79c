/* SPDX-License-Identifier: MIT */
/*
 * The client against a real Redis; the test is the worker. Against real workers of Celery:
 * test/celery/client_python.py.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>

#include <weft/celery_canvas.h>
#include <weft/fibers.h>
#include <weft/listener.h>
#include <weft/scope.h>
#include <weft/task.h>
#include <weft/threads.h>

#include "base/atomic.h"
#include "celery/client/client.h"
#include "celery/message/control.h"
#include "celery/message/message.h"
#include "celery/message/moment.h"
#include "each_allocation.h"
#include "redis_group.h"

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

static int create_at(const char *broker, const char *backend, struct wf_celery_client **ret,
                     struct wf_error *reterr)
{
    const struct wf_celery_client_options options = {.broker = broker, .backend = backend};
    return wf_celery_client_create(&options, ret, reterr);
}

static struct wf_celery_client *create_client(void)
{
    struct wf_celery_client *client = NULL;
    struct wf_error error = {0};
    if (create_at(server.url, server.url, &client, &error))
        fail_msg("%s", error.text);
    return client;
}

static struct wfi_json_piece text_piece(const char *text)
{
    return (struct wfi_json_piece){.text = text, .len = strlen(text)};
}

/* Carries a command out; the answer's first reply, when wanted, is the caller's. */
static struct wfi_redis_answer command(struct wfi_redis *redis, struct wfi_redis_batch *batch)
{
    struct wfi_redis_answer answer = {0};
    struct wf_error error = {0};
    if (wfi_redis_call(redis, batch, &answer, soon(), &error))
        fail_msg("%s", error.text);
    return answer;
}

static void run(struct wfi_redis *redis, const char *words)
{
    struct wfi_redis_batch batch = {0};
    wfi_redis_add(&batch, words);
    struct wfi_redis_answer answer = command(redis, &batch);
    wfi_redis_answer_fini(&answer);
}

static long long ask_integer(struct wfi_redis *redis, const char *format, const char *word)
{
    struct wfi_redis_batch batch = {0};
    wfi_redis_add(&batch, format, word);
    struct wfi_redis_answer answer = command(redis, &batch);
    assert_int_equal(answer.replies[0]->type, REDIS_REPLY_INTEGER);
    long long n = answer.replies[0]->integer;
    wfi_redis_answer_fini(&answer);
    return n;
}

/* What a worker does when a task has got that far; `result` is JSON. */
static int store(struct wfi_redis *redis, const char *id, enum wfi_task_state state,
                 const char *result)
{
    struct wfi_redis_batch batch = {0};
    struct wf_json_writer *w;
    const struct wfi_result r = {.state = state, .result = text_piece(result), .task_id = id};
    const char *text = "";
    size_t len = 0;
    int err = wfi_message_writer_create(&w);
    if (err)
        return err;
    wfi_result_write_redis(w, &r);
    err = wf_json_writer_text(w, &text, &len);
    wfi_redis_add(&batch, "MULTI");
    wfi_redis_add(&batch, "SETEX " WFI_RESULT_KEY "%s 60 %b", id, text, len);
    wfi_redis_add(&batch, "PUBLISH " WFI_RESULT_KEY "%s %b", id, text, len);
    wfi_redis_add(&batch, "EXEC");
    if (!err)
        err = wfi_redis_call(redis, &batch, NULL, soon(), NULL);
    wfi_redis_batch_fini(&batch);
    wf_json_writer_destroy(w);
    return err;
}

/* Waits, and compares the value. */
static void expect_result(struct wfi_result_watch *watch, const char *expected)
{
    struct wfi_result_in in = {0};
    const struct wf_json_value *value;
    struct wf_error error = {0};
    if (wfi_results_wait(watch, &in, soon(), &error) || wfi_result_value(&in, &value, &error))
        fail_msg("%s", error.text);
    struct wf_json_writer *w;
    const char *text;
    assert_int_equal(wfi_message_writer_create(&w), 0);
    wf_json_write_value(w, value);
    assert_int_equal(wf_json_writer_text(w, &text, NULL), 0);
    assert_string_equal(text, expected);
    wf_json_writer_destroy(w);
    wfi_result_in_reset(&in);
}

static void watch_it(struct wf_celery_client *client, const char *id,
                     struct wfi_result_watch *watch)
{
    struct wf_error error = {0};
    if (wfi_results_watch(wfi_client_results(client), id, watch, &error))
        fail_msg("%s", error.text);
}

/* Until the server knows of that many subscriptions. */
static void wait_for_subscriptions(struct wfi_redis *redis, const char *id, long long count)
{
    for (long long seen = -1; seen != count;) {
        struct wfi_redis_batch batch = {0};
        wfi_redis_add(&batch, "PUBSUB NUMSUB " WFI_RESULT_KEY "%s", id);
        struct wfi_redis_answer answer = command(redis, &batch);
        seen = answer.replies[0]->element[1]->integer;
        wfi_redis_answer_fini(&answer);
    }
}

/* ---- sending ---- */

static void read_message(struct wfi_redis *redis, const char *key, struct wfi_message_in *ret)
{
    struct wfi_redis_batch batch = {0};
    wfi_redis_add(&batch, "RPOP %s", key);
    struct wfi_redis_answer answer = command(redis, &batch);
    const redisReply *reply = answer.replies[0];
    assert_int_equal(reply->type, REDIS_REPLY_STRING);
    assert_int_equal(wfi_message_read_redis(reply->str, reply->len, ret, NULL), WFI_MESSAGE_RUN);
    assert_int_equal(wfi_message_read_body(ret, 0, NULL), WFI_MESSAGE_RUN);
    wfi_redis_answer_fini(&answer);
}

static void test_a_task_is_a_message_in_its_queue(void **state)
{
    struct wf_celery_client *client = create_client();
    struct wfi_redis *redis = connect_to_server();
    struct wfi_message_in in = {0};
    char id[WFI_UUID_BYTES], other[WFI_UUID_BYTES];
    struct wfi_client_task task = {.name = "tasks.add",
                                   .args = text_piece("[2, \"\xc3\xa9\"]"),
                                   .kwargs = text_piece("{\"z\": null}"),
                                   .queue = "wire",
                                   .priority = 7,
                                   .retries = 2,
                                   .soft_s = 1.5,
                                   .hard_s = 3,
                                   .ignore_result = true,
                                   .parent_id = "the parent",
                                   .eta_us = 1000000};
    (void)state;
    assert_int_equal(wfi_client_send(client, &task, id, NULL, soon(), NULL), 0);
    read_message(redis,
                 "wire\x06\x16"
                 "6",
                 &in);
    const struct wfi_message *m = &in.message;
    assert_string_equal(m->task, "tasks.add");
    assert_string_equal(m->id, id);
    assert_string_equal(m->root_id, id);
    assert_string_equal(m->parent_id, "the parent");
    assert_string_equal(m->argsrepr, "(2, '\xc3\xa9')");
    assert_string_equal(m->kwargsrepr, "{'z': None}");
    assert_string_equal(m->eta, "1970-01-01T00:00:01+00:00");
    assert_null(m->expires);
    assert_int_equal(m->retries, 2);
    assert_true(m->soft_s == 1.5 && m->hard_s == 3 && m->ignore_result);
    assert_int_equal(m->properties.priority, 7);
    assert_string_equal(m->properties.correlation_id, id);
    assert_string_equal(m->properties.routing_key, "wire");
    assert_int_equal(strlen(m->properties.reply_to), 36);
    assert_int_equal(strlen(m->properties.delivery_tag), 36);
    assert_string_not_equal(m->properties.delivery_tag, id);
    assert_int_equal(wf_json_count(m->args.value), 2);
    assert_int_equal(wf_json_count(m->kwargs.value), 1);
    wfi_message_in_reset(&in);
    assert_int_equal(
        ask_integer(redis, "SISMEMBER _kombu.binding.wire %s", "wire\x06\x16\x06\x16wire"), 1);
    /* Once bound, it is not bound again. */
    run(redis, "DEL _kombu.binding.wire");
    task = (struct wfi_client_task){.name = "t", .queue = "wire", .id = "my own"};
    assert_int_equal(wfi_client_send(client, &task, NULL, NULL, soon(), NULL), 0);
    assert_int_equal(ask_integer(redis, "EXISTS %s", "_kombu.binding.wire"), 0);
    read_message(redis, "wire", &in);
    assert_string_equal(in.message.id, "my own");
    assert_string_equal(in.message.argsrepr, "()");
    wfi_message_in_reset(&in);
    task = (struct wfi_client_task){.name = "t"};
    assert_int_equal(wfi_client_send(client, &task, other, NULL, soon(), NULL), 0);
    assert_string_not_equal(other, id);
    assert_int_equal(ask_integer(redis, "LLEN %s", "celery"), 1);
    run(redis, "DEL celery");
    wfi_redis_close(redis);
    wf_celery_client_destroy(client);
}

static void test_times_count_from_now(void **state)
{
    struct wf_celery_client *client = create_client();
    struct wfi_redis *redis = connect_to_server();
    struct wfi_message_in in = {0};
    struct wfi_client_task task = {
        .name = "later", .countdown_ns = WF_SECONDS(100), .expires_in_ns = WF_SECONDS(1000)};
    (void)state;
    assert_int_equal(wfi_client_send(client, &task, NULL, NULL, soon(), NULL), 0);
    read_message(redis, "celery", &in);
    assert_int_equal(in.message.expires_us - in.message.eta_us, 900 * 1000000);
    assert_string_equal(in.message.properties.expiration, "1000000");
    wfi_message_in_reset(&in);
    task = (struct wfi_client_task){.name = "too late", .expires_us = 1000000};
    assert_int_equal(wfi_client_send(client, &task, NULL, NULL, soon(), NULL), 0);
    read_message(redis, "celery", &in);
    assert_string_equal(in.message.properties.expiration, "0");
    wfi_message_in_reset(&in);
    wfi_redis_close(redis);
    wf_celery_client_destroy(client);
}

static void test_what_cannot_be_sent_is_refused(void **state)
{
    static const char *const args[] = {"[1, 2", "{}", "1", "[] []"};
    struct wf_celery_client *client = NULL;
    struct wfi_redis *redis = connect_to_server();
    struct wfi_result_watch watch;
    struct wf_error error = {0};
    (void)state;
    assert_int_equal(create_at("rpc://", NULL, &client, &error), -ENOTSUP);
    assert_non_null(strstr(error.text, "the broker: "));
    assert_int_equal(create_at(server.url, "rpc://", &client, &error), -ENOTSUP);
    assert_non_null(strstr(error.text, "the backend: "));
    assert_int_equal(create_at(server.url, "amqp://localhost", &client, &error), -ENOTSUP);
    assert_int_equal(create_at("nonsense", NULL, &client, &error), -EINVAL);
    assert_int_equal(create_at(server.url, NULL, &client, &error), 0);
    for (size_t i = 0; i < sizeof args / sizeof *args; i++) {
        struct wfi_client_task task = {.name = "wrong", .args = text_piece(args[i])};
        assert_int_equal(wfi_client_send(client, &task, NULL, NULL, soon(), &error), -EINVAL);
        assert_non_null(strstr(error.text, "task wrong: args are no "));
    }
    struct wfi_client_task task = {.name = "t", .kwargs = text_piece("[]")};
    assert_int_equal(wfi_client_send(client, &task, NULL, NULL, soon(), &error), -EINVAL);
    task = (struct wfi_client_task){.name = "t", .priority = 10};
    assert_int_equal(wfi_client_send(client, &task, NULL, NULL, soon(), &error), -ERANGE);
    task = (struct wfi_client_task){.name = "t"};
    assert_int_equal(wfi_client_send(client, &task, NULL, &watch, soon(), &error), -EINVAL);
    assert_int_equal(wf_celery_client_forget(client, "x", soon(), &error), -EINVAL);
    task = (struct wfi_client_task){0};
    assert_int_equal(wfi_client_send(client, &task, NULL, NULL, soon(), &error), -EINVAL);
    assert_int_equal(ask_integer(redis, "LLEN %s", "celery"), 0);
    wfi_redis_close(redis);
    wf_celery_client_destroy(client);
}

/* ---- one result ---- */

static void test_a_result_is_found_whenever_it_was_stored(void **state)
{
    struct wf_celery_client *client = create_client();
    struct wfi_redis *redis = connect_to_server();
    struct wfi_result_watch watch;
    (void)state;
    assert_int_equal(store(redis, "before", WFI_STATE_SUCCESS, "\"early\""), 0);
    watch_it(client, "before", &watch);
    expect_result(&watch, "\"early\"");
    wfi_results_unwatch(&watch);

    /* Stored while the client subscribes, at whatever point that is. */
    for (int i = 0; i < 300; i++) {
        char id[32];
        snprintf(id, sizeof id, "while %d", i);
        for (char *c = id; *c; c++)
            *c = *c == ' ' ? '-' : *c;
        watch_it(client, id, &watch);
        assert_int_equal(store(redis, id, WFI_STATE_SUCCESS, "[1.0, 1]"), 0);
        expect_result(&watch, "[1.0, 1]");
        wfi_results_unwatch(&watch);
    }

    watch_it(client, "after", &watch);
    wait_for_subscriptions(redis, "after", 1);
    assert_int_equal(store(redis, "after", WFI_STATE_STARTED, "{\"pid\": 1}"), 0);
    assert_int_equal(store(redis, "after", WFI_STATE_RETRY, "null"), 0);
    struct wfi_result_in in;
    assert_int_equal(wfi_results_wait(&watch, &in, wf_after(WF_MILLISECONDS(5)), NULL), -ETIMEDOUT);
    assert_int_equal(
        store(redis, "after", WFI_STATE_SUCCESS, "123456789012345678901234567890123456789012"), 0);
    expect_result(&watch, "123456789012345678901234567890123456789012");
    wfi_results_unwatch(&watch);
    wait_for_subscriptions(redis, "after", 0);

    assert_int_equal(wf_celery_client_forget(client, "after", soon(), NULL), 0);
    assert_int_equal(ask_integer(redis, "EXISTS %s", WFI_RESULT_KEY "after"), 0);
    wfi_redis_close(redis);
    wf_celery_client_destroy(client);
}

static void test_a_failure_is_an_error(void **state)
{
    static const struct {
        enum wfi_task_state state;
        const char *result;
        int code;
        const char *text;
    } cases[] = {
        {WFI_STATE_FAILURE,
         "{\"exc_type\": \"ValueError\", \"exc_message\": [\"boom\"], \"exc_module\": "
         "\"builtins\"}",
         -EINVAL, "ValueError: boom"},
        {WFI_STATE_FAILURE,
         "{\"exc_type\": \"Odd\", \"exc_message\": [1, 2], \"exc_module\": \"x\"}", WF_ETASKFAILED,
         "Odd(1, 2)"},
        {WFI_STATE_REVOKED,
         "{\"exc_type\": \"TaskRevokedError\", \"exc_message\": [\"expired\"], \"exc_module\": "
         "\"celery.exceptions\"}",
         -ECANCELED, "TaskRevokedError: expired"},
        {WFI_STATE_FAILURE, "null", WF_ETASKFAILED,
         "the task ended with FAILURE, and no exception"},
    };
    struct wf_celery_client *client = create_client();
    struct wfi_redis *redis = connect_to_server();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wfi_result_watch watch;
        struct wfi_result_in in = {0};
        const struct wf_json_value *value;
        struct wf_error error = {0};
        char id[32];
        snprintf(id, sizeof id, "failing-%zu", i);
        watch_it(client, id, &watch);
        assert_int_equal(store(redis, id, cases[i].state, cases[i].result), 0);
        assert_int_equal(wfi_results_wait(&watch, &in, soon(), &error), 0);
        wfi_results_unwatch(&watch);
        assert_int_equal(wfi_result_value(&in, &value, &error), cases[i].code);
        assert_string_equal(error.text, cases[i].text);
        wfi_result_in_reset(&in);
    }
    struct wfi_result_watch watch;
    struct wfi_result_in in = {0};
    run(redis, "SET " WFI_RESULT_KEY "nonsense [1");
    watch_it(client, "nonsense", &watch);
    assert_int_equal(wfi_results_wait(&watch, &in, soon(), NULL), WF_EPARSE);
    wfi_results_unwatch(&watch);
    wfi_redis_close(redis);
    wf_celery_client_destroy(client);
}

static void test_several_watch_one_result(void **state)
{
    struct wf_celery_client *client = create_client();
    struct wfi_redis *redis = connect_to_server();
    struct wfi_result_watch watches[3], late;
    (void)state;
    for (int i = 0; i < 3; i++)
        watch_it(client, "shared", &watches[i]);
    wfi_results_unwatch(&watches[0]); /* the others stay */
    wait_for_subscriptions(redis, "shared", 1);
    assert_int_equal(store(redis, "shared", WFI_STATE_SUCCESS, "{\"a\": 1}"), 0);
    for (int i = 1; i < 3; i++) {
        expect_result(&watches[i], "{\"a\": 1}");
        wfi_results_unwatch(&watches[i]);
    }
    watch_it(client, "shared", &late); /* while its subscription ends */
    expect_result(&late, "{\"a\": 1}");
    wfi_results_unwatch(&late);
    /* Again and again, without waiting for the server in between. */
    for (int i = 0; i < 200; i++) {
        watch_it(client, "fickle", &late);
        wfi_results_unwatch(&late);
    }
    watch_it(client, "fickle", &late);
    assert_int_equal(store(redis, "fickle", WFI_STATE_SUCCESS, "true"), 0);
    expect_result(&late, "true");
    wfi_results_unwatch(&late);
    wfi_redis_close(redis);
    wf_celery_client_destroy(client);
}

/* ---- connections that break ---- */

static void test_a_broken_connection_loses_no_result(void **state)
{
    struct wf_celery_client *client = create_client();
    struct wfi_redis *redis = connect_to_server();
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct wfi_result_watch watches[10];
        char ids[10][32];
        for (int i = 0; i < 10; i++) {
            snprintf(ids[i], sizeof ids[i], "killed-%d-%d", round, i);
            watch_it(client, ids[i], &watches[i]);
        }
        if (round % 2)
            wait_for_subscriptions(redis, ids[9], 1);
        for (int i = 0; i < 10; i++) {
            if (i == 5)
                run(redis, round % 3 ? "CLIENT KILL TYPE pubsub" : "CLIENT KILL TYPE normal");
            assert_int_equal(store(redis, ids[i], WFI_STATE_SUCCESS, "0"), 0);
        }
        for (int i = 0; i < 10; i++) {
            expect_result(&watches[i], "0");
            wfi_results_unwatch(&watches[i]);
        }
    }
    wfi_redis_close(redis);
    wf_celery_client_destroy(client);
}

static void test_a_server_that_comes_back_is_found(void **state)
{
    struct wf_celery_client *client = create_client();
    const struct wfi_client_task task = {.name = "t"};
    struct wfi_result_watch watch;
    char id[WFI_UUID_BYTES];
    (void)state;
    assert_int_equal(wfi_client_send(client, &task, id, &watch, soon(), NULL), 0);
    redis_server_kill(&server);
    assert_true(redis_server_start(&server, NULL));
    struct wfi_redis *redis = connect_to_server();
    assert_int_equal(wfi_client_send(client, &task, NULL, NULL, soon(), NULL), 0);
    assert_int_equal(ask_integer(redis, "LLEN %s", "celery"), 1);
    assert_int_equal(store(redis, id, WFI_STATE_SUCCESS, "3"), 0);
    expect_result(&watch, "3");
    wfi_results_unwatch(&watch);
    run(redis, "DEL celery");
    wfi_redis_close(redis);
    wf_celery_client_destroy(client);
}

static void test_a_backend_that_cannot_be_reached_is_told(void **state)
{
    struct wf_celery_client *client = NULL;
    struct wf_celery_client_options options = {.broker = "redis+socket:///nowhere",
                                               .backend = "redis+socket:///nowhere",
                                               .retries_max = 2,
                                               .pause_ns = 1};
    const struct wfi_client_task task = {.name = "t"};
    struct wfi_result_watch watch;
    struct wfi_result_in in;
    struct wf_error error = {0};
    (void)state;
    assert_int_equal(wf_celery_client_create(&options, &client, NULL), 0);
    for (int i = 0; i < 2; i++) { /* it is tried anew for the next */
        watch_it(client, "x", &watch);
        assert_int_equal(wfi_results_wait(&watch, &in, soon(), &error), -ENOENT);
        assert_non_null(strstr(error.text, "the results: redis+socket:///nowhere"));
        wfi_results_unwatch(&watch);
    }
    assert_int_equal(wfi_client_send(client, &task, NULL, &watch, soon(), &error), -ENOENT);
    wf_celery_client_destroy(client);
    options.broker = options.backend = server.url;
    assert_int_equal(wf_celery_client_create(&options, &client, NULL), 0);
    watch_it(client, "pending when it ends", &watch);
    wfi_results_unwatch(&watch);
    wf_celery_client_destroy(client);
}

/* ---- a network that loses everything ---- */

enum { RELAYED = 64 };

struct relay {
    struct wf_listener *listener;
    struct wf_stream *streams[RELAYED][2];
    WFI_ATOMIC(size_t) lost; /* connections before this one */
};

WF_TASK(wf_none, pump, (struct relay *, relay), (size_t, number), (int, from))

/* Carries what comes in one direction; the end is told in any case. */
int pump(struct wf_task *self, struct relay *relay, size_t number, int from, wf_none *ret)
{
    struct wf_stream *in = relay->streams[number][from], *out = relay->streams[number][!from];
    char buf[4096];
    ssize_t n;
    int err = 0;
    (void)self, (void)ret;
    while (!err && (n = wf_stream_read(in, buf, sizeof buf, WF_FOREVER)) > 0)
        if (number >= wfi_load(&relay->lost))
            err = wf_stream_write(out, buf, (size_t)n, WF_FOREVER);
    (void)wf_stream_shutdown(out, WF_SHUTDOWN_BOTH);
    return 0;
}
WF_TASK_DEFINE(pump)

WF_TASK(wf_none, relay_all, (struct relay *, relay))

int relay_all(struct wf_task *self, struct relay *relay, wf_none *ret)
{
    struct wf_scope storage, *scope = wf_scope_open(&storage, NULL, WF_FOREVER);
    struct wf_error unwanted;
    char at[128];
    size_t count = 0;
    (void)self, (void)ret;
    snprintf(at, sizeof at, "unix:%s", server.socket);
    for (; count < RELAYED; count++) {
        struct wf_stream **pair = relay->streams[count];
        if (wf_listener_accept(relay->listener, &pair[0], WF_FOREVER) ||
            wf_dial(at, NULL, &pair[1], WF_FOREVER, NULL))
            break;
        for (int from = 0; from < 2; from++)
            if (pump_go(scope, relay, count, from))
                wf_scope_cancel(scope);
    }
    wf_scope_cancel(scope);
    (void)wf_scope_close(scope, &unwanted);
    for (size_t i = 0; i < RELAYED; i++) {
        wf_stream_close(relay->streams[i][0]);
        wf_stream_close(relay->streams[i][1]);
    }
    return 0;
}
WF_TASK_DEFINE(relay_all)

static void test_a_server_that_falls_silent_is_looked_for_again(void **state)
{
    struct relay relay = {0};
    struct wf_executor *fibers;
    struct wfi_celery_url url;
    struct wfi_results *results = NULL;
    struct wfi_result_watch watch, other;
    struct wfi_redis *redis = connect_to_server();
    const struct wfi_results_options options = {.pause_ns = 1, .check_ns = WF_MILLISECONDS(200)};
    char at[160];
    wf_none none;
    (void)state;
    snprintf(at, sizeof at, "unix:%s/relay", server.folder);
    assert_int_equal(wf_listener_open(at, NULL, &relay.listener, NULL), 0);
    assert_int_equal(wf_fibers_create(NULL, &fibers, NULL), 0);
    relay_all_future relaying = relay_all_submit(fibers, &relay);
    snprintf(at, sizeof at, "redis+socket://%s/relay", server.folder);
    assert_int_equal(wfi_celery_url_parse(at, &url, NULL), 0);
    assert_int_equal(wfi_results_create(&url, &options, &results, NULL), 0);
    assert_int_equal(wfi_results_watch(results, "silence", &watch, NULL), 0);
    /* When this one has been asked for, the first has been, too; none is under way. */
    assert_int_equal(store(redis, "known", WFI_STATE_SUCCESS, "0"), 0);
    assert_int_equal(wfi_results_watch(results, "known", &other, NULL), 0);
    expect_result(&other, "0");
    wfi_results_unwatch(&other);
    wfi_store(&relay.lost, 2); /* the subscribing one, and the one that asks */
    assert_int_equal(store(redis, "silence", WFI_STATE_SUCCESS, "1"), 0);
    expect_result(&watch, "1");
    wfi_results_unwatch(&watch);
    wfi_results_destroy(results);
    wf_future_cancel(relaying.future);
    (void)relay_all_result(&relaying, &none, soon(), NULL);
    wf_listener_close(relay.listener);
    wf_executor_destroy(fibers);
    wfi_redis_close(redis);
}

/* ---- many ---- */

#define CALLERS 1000

WF_TASK(wf_none, echo_all, (int, count))

/* The worker: gives each task's first argument back. */
int echo_all(struct wf_task *self, int count, wf_none *ret)
{
    struct wfi_redis *redis = connect_to_server();
    int err = 0;
    (void)self, (void)ret;
    for (int i = 0; i < count && !err; i++) {
        struct wfi_redis_batch batch = {0};
        struct wfi_redis_answer answer = {0};
        struct wfi_message_in in = {0};
        wfi_redis_add(&batch, "BRPOP celery 0");
        err = wfi_redis_call(redis, &batch, &answer, soon(), NULL);
        if (!err) {
            const redisReply *text = answer.replies[0]->element[1];
            err = wfi_message_read_redis(text->str, text->len, &in, NULL);
        }
        if (!err)
            err = wfi_message_read_body(&in, 0, NULL);
        if (!err)
            err = store(redis, in.message.id, WFI_STATE_SUCCESS,
                        wf_json_text(wf_json_at(in.message.args.value, 0), NULL));
        wfi_message_in_reset(&in);
        wfi_redis_answer_fini(&answer);
    }
    wfi_redis_close(redis);
    return err;
}
WF_TASK_DEFINE(echo_all)

WF_TASK(wf_none, call_echo, (struct wf_celery_client *, client), (int, number))

int call_echo(struct wf_task *self, struct wf_celery_client *client, int number, wf_none *ret)
{
    char args[32];
    struct wfi_result_watch watch;
    struct wfi_result_in in = {0};
    const struct wf_json_value *value;
    int64_t back = -1;
    (void)self, (void)ret;
    snprintf(args, sizeof args, "[%d]", number);
    const struct wfi_client_task task = {.name = "echo", .args = text_piece(args)};
    int err = wfi_client_send(client, &task, NULL, &watch, soon(), NULL);
    if (err)
        return err;
    err = wfi_results_wait(&watch, &in, soon(), NULL);
    wfi_results_unwatch(&watch);
    if (!err)
        err = wfi_result_value(&in, &value, NULL);
    if (!err)
        err = wf_json_int(value, &back);
    wfi_result_in_reset(&in);
    return err ? err : back == number ? 0 : -EBADMSG;
}
WF_TASK_DEFINE(call_echo)

static void many_call(struct wf_executor *on, int count, int rounds)
{
    struct wf_celery_client *client = create_client();
    struct wf_executor *worker;
    struct wf_error error = {0};
    wf_none none;
    assert_int_equal(wf_threads_create(NULL, &worker, NULL), 0);
    echo_all_future echoes = echo_all_submit(worker, count * rounds);
    for (int round = 0; round < rounds; round++) {
        struct wf_scope storage, *scope = wf_scope_open(&storage, on, WF_FOREVER);
        for (int i = 0; i < count; i++)
            assert_int_equal(call_echo_go(scope, client, i), 0);
        if (wf_scope_close(scope, &error))
            fail_msg("%s", error.text);
    }
    assert_int_equal(echo_all_result(&echoes, &none, soon(), NULL), 0);
    wf_executor_destroy(worker);
    wf_celery_client_destroy(client);
}

static void test_a_thousand_fibers_wait_at_once(void **state)
{
    struct wf_executor *fibers;
    (void)state;
    assert_int_equal(wf_fibers_create(&(struct wf_fibers_options){.workers = 2}, &fibers, NULL), 0);
    many_call(fibers, CALLERS, 1);
    wf_executor_destroy(fibers);
}

static void test_threads_wait_too(void **state)
{
    struct wf_executor *threads;
    (void)state;
    assert_int_equal(wf_threads_create(&(struct wf_threads_options){.workers = 8}, &threads, NULL),
                     0);
    many_call(threads, 100, 2);
    wf_executor_destroy(threads);
}

WF_TASK(wf_none, wait_for_ever, (struct wf_celery_client *, client))

int wait_for_ever(struct wf_task *self, struct wf_celery_client *client, wf_none *ret)
{
    struct wfi_result_watch watch;
    struct wfi_result_in in;
    (void)self, (void)ret;
    int err = wfi_results_watch(wfi_client_results(client), "never", &watch, NULL);
    if (err)
        return err;
    err = wfi_results_wait(&watch, &in, WF_FOREVER, NULL);
    wfi_results_unwatch(&watch);
    return err;
}
WF_TASK_DEFINE(wait_for_ever)

static void test_a_wait_can_be_cancelled(void **state)
{
    struct wf_celery_client *client = create_client();
    struct wfi_redis *redis = connect_to_server();
    struct wf_executor *fibers;
    wf_none none;
    (void)state;
    assert_int_equal(wf_fibers_create(NULL, &fibers, NULL), 0);
    wait_for_ever_future waiting = wait_for_ever_submit(fibers, client);
    wait_for_subscriptions(redis, "never", 1);
    wf_future_cancel(waiting.future);
    assert_int_equal(wait_for_ever_result(&waiting, &none, soon(), NULL), -ECANCELED);
    wait_for_subscriptions(redis, "never", 0);
    wf_executor_destroy(fibers);
    wfi_redis_close(redis);
    wf_celery_client_destroy(client);
}

/* ---- what was sent as a group ---- */

static struct wf_json *read_sent(void)
{
    static const char text[] =
        "[[\"group\", null], [[[\"first\", null], null], [[\"last\", null], null]]]";
    struct wf_json *sent = NULL;
    assert_int_equal(wf_json_read(text, sizeof text - 1, NULL, &sent, NULL), 0);
    return sent;
}

WF_TASK(int, collect_group, (struct wf_celery_client *, client), (struct wf_json *, sent))

int collect_group(struct wf_task *self, struct wf_celery_client *client, struct wf_json *sent,
                  int *ret)
{
    struct wf_json *values = NULL;
    int64_t first = 0, last = 0;
    (void)self;
    int err = wf_celery_client_collect(client, wf_json_root(sent), &values, soon(), NULL);
    if (!err)
        err = wf_json_int(wf_json_at(wf_json_root(values), 0), &first);
    if (!err)
        err = wf_json_int(wf_json_at(wf_json_root(values), 1), &last);
    wf_json_destroy(values);
    *ret = (int)(10 * first + last);
    return err;
}
WF_TASK_DEFINE(collect_group)

static void test_all_of_a_group_are_waited_for_at_once(void **state)
{
    struct wf_celery_client *client = create_client();
    struct wfi_redis *redis = connect_to_server();
    struct wf_json *sent = read_sent();
    struct wf_executor *fibers;
    int values;
    (void)state;
    assert_int_equal(wf_fibers_create(NULL, &fibers, NULL), 0);
    collect_group_future f = collect_group_submit(fibers, client, sent);
    wait_for_subscriptions(redis, "last", 1);
    assert_int_equal(store(redis, "last", WFI_STATE_SUCCESS, "2"), 0);
    assert_int_equal(store(redis, "first", WFI_STATE_SUCCESS, "1"), 0);
    assert_int_equal(collect_group_result(&f, &values, soon(), NULL), 0);
    assert_int_equal(values, 12);
    wf_executor_destroy(fibers);
    wf_json_destroy(sent);
    wfi_redis_close(redis);
    wf_celery_client_destroy(client);
}

static int whole_collect(void *sent)
{
    const struct wf_celery_client_options options = {
        .broker = server.url, .backend = server.url, .retries_max = 1, .pause_ns = 1};
    struct wf_celery_client *client = NULL;
    struct wf_json *values = NULL;
    int err = wf_celery_client_create(&options, &client, NULL);
    if (!err)
        err = wf_celery_client_collect(client, wf_json_root(sent), &values, soon(), NULL);
    wf_json_destroy(values);
    wf_celery_client_destroy(client);
    return err;
}

static void test_collecting_without_memory_is_told_or_survived(void **state)
{
    struct wfi_redis *redis = connect_to_server();
    struct wf_json *sent = read_sent();
    (void)state;
    assert_int_equal(store(redis, "last", WFI_STATE_SUCCESS, "2"), 0);
    assert_int_equal(store(redis, "first", WFI_STATE_SUCCESS, "1"), 0);
    each_allocation_fails(whole_collect, sent);
    wf_json_destroy(sent);
    wfi_redis_close(redis);
}

/* ---- requests ---- */

static void test_a_task_is_revoked(void **state)
{
    struct wf_celery_client *client = create_client();
    struct wfi_redis *listener = connect_to_server();
    struct wfi_redis_batch batch = {0};
    redisReply *reply;
    (void)state;
    wfi_redis_add(&batch, "PSUBSCRIBE /0." WFI_CONTROL_EXCHANGE);
    assert_int_equal(wfi_redis_send(listener, &batch, NULL), 0);
    assert_int_equal(wfi_redis_receive(listener, &reply, soon(), NULL), 0);
    freeReplyObject(reply);
    assert_int_equal(wf_celery_client_revoke(client, "the one", true, soon(), NULL), 0);
    assert_int_equal(wfi_redis_receive(listener, &reply, soon(), NULL), 0);
    struct wfi_envelope envelope = {0};
    struct wf_json *body = NULL;
    struct wfi_control_request request;
    bool terminate = false;
    const redisReply *text = reply->element[3];
    assert_int_equal(wfi_envelope_read_redis(text->str, text->len, &envelope, NULL), 0);
    assert_int_equal(wfi_control_read(&envelope, "any@node", 0, &body, &request), WFI_CONTROL_DO);
    assert_string_equal(request.method, "revoke");
    assert_string_equal(wf_json_text(wf_json_get(request.arguments.value, "task_id"), NULL),
                        "the one");
    assert_int_equal(wf_json_bool(wf_json_get(request.arguments.value, "terminate"), &terminate),
                     0);
    assert_true(terminate);
    wf_json_destroy(body);
    wfi_envelope_reset(&envelope);
    freeReplyObject(reply);
    wfi_redis_close(listener);
    wf_celery_client_destroy(client);
}

/* ---- no memory ---- */

/* One call from nothing to its result; the worker's part is done in between. */
static int whole_call(void *arg)
{
    struct wfi_redis *redis = arg;
    struct wf_celery_client *client = NULL;
    const struct wfi_client_task task = {.name = "t", .id = "memory", .args = text_piece("[1]")};
    const struct wf_celery_client_options options = {.broker = server.url,
                                                     .backend = server.url,
                                                     .send_once = true,
                                                     .retries_max = 1,
                                                     .pause_ns = 1};
    struct wfi_result_watch watch;
    struct wfi_result_in in = {0};
    const struct wf_json_value *value;
    int err = wf_celery_client_create(&options, &client, NULL);
    if (err)
        return err;
    err = wfi_client_send(client, &task, NULL, &watch, soon(), NULL);
    if (!err) {
        err = store(redis, "memory", WFI_STATE_SUCCESS, "1");
        if (!err)
            err = wfi_results_wait(&watch, &in, soon(), NULL);
        if (!err)
            err = wfi_result_value(&in, &value, NULL);
        wfi_result_in_reset(&in);
        wfi_results_unwatch(&watch);
    }
    if (!err)
        err = wf_celery_client_forget(client, "memory", soon(), NULL);
    wf_celery_client_destroy(client);
    return err;
}

static void test_memory_that_runs_out_is_told_or_survived(void **state)
{
    struct wfi_redis *redis = connect_to_server();
    (void)state;
    each_allocation_fails(whole_call, redis);
    wfi_redis_close(redis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_task_is_a_message_in_its_queue),
        cmocka_unit_test(test_times_count_from_now),
        cmocka_unit_test(test_what_cannot_be_sent_is_refused),
        cmocka_unit_test(test_a_result_is_found_whenever_it_was_stored),
        cmocka_unit_test(test_a_failure_is_an_error),
        cmocka_unit_test(test_several_watch_one_result),
        cmocka_unit_test(test_a_broken_connection_loses_no_result),
        cmocka_unit_test(test_a_server_that_comes_back_is_found),
        cmocka_unit_test(test_a_backend_that_cannot_be_reached_is_told),
        cmocka_unit_test(test_a_server_that_falls_silent_is_looked_for_again),
        cmocka_unit_test(test_a_thousand_fibers_wait_at_once),
        cmocka_unit_test(test_threads_wait_too),
        cmocka_unit_test(test_a_wait_can_be_cancelled),
        cmocka_unit_test(test_all_of_a_group_are_waited_for_at_once),
        cmocka_unit_test(test_collecting_without_memory_is_told_or_survived),
        cmocka_unit_test(test_a_task_is_revoked),
        cmocka_unit_test(test_memory_that_runs_out_is_told_or_survived),
    };
    return redis_group_run(&server, tests, sizeof tests / sizeof *tests, NULL, NULL);
}
