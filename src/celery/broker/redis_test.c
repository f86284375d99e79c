/* SPDX-License-Identifier: MIT */
/*
 * The connection that many use, against a real Redis, and against a peer that is none where what
 * comes back has to be wrong.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include <weft/fibers.h>
#include <weft/listener.h>
#include <weft/scope.h>
#include <weft/task.h>
#include <weft/threads.h>

#include "base/alloc.h"
#include "celery/broker/redis.h"
#include "redis_group.h"

static struct redis_server server;

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

static struct wfi_redis *connect_to(const char *url_text)
{
    struct wfi_celery_url url;
    struct wfi_redis *redis = NULL;
    struct wf_error error = {0};
    assert_int_equal(wfi_celery_url_parse(url_text, &url, NULL), 0);
    if (wfi_redis_open(&url, NULL, &redis, soon(), &error))
        fail_msg("%s", error.text);
    return redis;
}

static long long ask_integer(struct wfi_redis *redis, const char *format, const char *key)
{
    struct wfi_redis_batch batch = {0};
    struct wfi_redis_answer answer = {0};
    struct wf_error error = {0};
    wfi_redis_add(&batch, format, key);
    if (wfi_redis_call(redis, &batch, &answer, soon(), &error))
        fail_msg("%s", error.text);
    assert_int_equal(answer.count, 1);
    assert_int_equal(answer.replies[0]->type, REDIS_REPLY_INTEGER);
    long long value = answer.replies[0]->integer;
    wfi_redis_answer_fini(&answer);
    return value;
}

static void test_answers_come_in_the_order_of_the_commands(void **state)
{
    struct wfi_redis *redis = connect_to(server.url);
    struct wfi_redis_batch batch = {0};
    struct wfi_redis_answer answer;
    static const char *const words[] = {"SET", "a key", "bl\0nk \r\n"};
    static const size_t lens[] = {3, 5, 8};
    (void)state;
    wfi_redis_add_words(&batch, 3, words, lens);
    wfi_redis_add(&batch, "MULTI");
    wfi_redis_add(&batch, "GET %s", "a key");
    wfi_redis_add(&batch, "INCR %s", "order");
    wfi_redis_add(&batch, "EXEC");
    assert_int_equal(wfi_redis_call(redis, &batch, &answer, soon(), NULL), 0);
    assert_int_equal(batch.count, 0);
    assert_int_equal(answer.count, 5);
    assert_string_equal(answer.replies[0]->str, "OK");
    assert_string_equal(answer.replies[2]->str, "QUEUED");
    redisReply *exec = answer.replies[4];
    assert_int_equal(exec->type, REDIS_REPLY_ARRAY);
    assert_int_equal(exec->elements, 2);
    assert_int_equal(exec->element[0]->len, 8);
    assert_memory_equal(exec->element[0]->str, words[2], 8);
    assert_int_equal(exec->element[1]->integer, 1);
    wfi_redis_answer_fini(&answer);
    wfi_redis_close(redis);
}

/* ---- many at once ---- */

#define PARTIES 200
#define ROUNDS 50

WF_TASK(wf_none, count_up, (struct wfi_redis *, redis), (int, party))

/* Each party has a key of its own, so a reply that went to another party would show. */
int count_up(struct wf_task *self, struct wfi_redis *redis, int party, wf_none *ret)
{
    char key[32];
    (void)self, (void)ret;
    snprintf(key, sizeof key, "party:%d", party);
    for (int round = 1; round <= ROUNDS; round++)
        if (ask_integer(redis, "INCR %s", key) != round)
            return -EINVAL;
    return 0;
}
WF_TASK_DEFINE(count_up)

static void many_share(struct wf_executor *on)
{
    struct wfi_redis *redis = connect_to(server.url);
    struct wf_error error = {0};
    struct wf_scope storage, *scope = wf_scope_open(&storage, on, WF_FOREVER);
    for (int party = 0; party < PARTIES; party++)
        assert_int_equal(count_up_go(scope, redis, party), 0);
    if (wf_scope_close(scope, &error))
        fail_msg("%s", error.text);
    struct wfi_redis_batch batch = {0};
    wfi_redis_add(&batch, "FLUSHALL");
    assert_int_equal(wfi_redis_call(redis, &batch, NULL, soon(), NULL), 0);
    wfi_redis_close(redis);
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
    assert_int_equal(wf_threads_create(&(struct wf_threads_options){.workers = 8}, &threads, NULL),
                     0);
    many_share(threads);
    wf_executor_destroy(threads);
}

/* ---- giving up ---- */

static int pop(struct wfi_redis *redis, wf_deadline deadline)
{
    struct wfi_redis_batch batch = {0};
    wfi_redis_add(&batch, "BRPOP %s 0", "nobody pushes here");
    return wfi_redis_call(redis, &batch, NULL, deadline, NULL);
}

static void test_a_caller_that_gives_up_leaves_the_others_their_answers(void **state)
{
    struct wfi_redis *redis = connect_to(server.url), *other = connect_to(server.url);
    struct wfi_redis_batch batch = {0};
    (void)state;
    assert_int_equal(pop(redis, wf_after(WF_MILLISECONDS(1))), -ETIMEDOUT);
    /* Its answer comes now, and is nobody's. */
    wfi_redis_add(&batch, "LPUSH %s x", "nobody pushes here");
    assert_int_equal(wfi_redis_call(other, &batch, NULL, soon(), NULL), 0);
    assert_int_equal(ask_integer(redis, "INCR %s", "later"), 1);
    wfi_redis_close(other);
    wfi_redis_close(redis);
}

WF_TASK(wf_none, pop_for_ever, (struct wfi_redis *, redis))

int pop_for_ever(struct wf_task *self, struct wfi_redis *redis, wf_none *ret)
{
    (void)self, (void)ret;
    return pop(redis, WF_FOREVER);
}
WF_TASK_DEFINE(pop_for_ever)

WF_TASK(wf_none, pop_two, (struct wfi_redis *, redis), (const char *, key))

int pop_two(struct wf_task *self, struct wfi_redis *redis, const char *key, wf_none *ret)
{
    struct wfi_redis_batch batch = {0};
    (void)self, (void)ret;
    wfi_redis_add(&batch, "BRPOP %s 0", key);
    return wfi_redis_call(redis, &batch, NULL, WF_FOREVER, NULL);
}
WF_TASK_DEFINE(pop_two)

static void wait_until_blocked(struct wfi_redis *other, int clients)
{
    char text[40];
    snprintf(text, sizeof text, "blocked_clients:%d\r", clients);
    for (bool seen = false; !seen;) {
        struct wfi_redis_batch batch = {0};
        struct wfi_redis_answer answer;
        wfi_redis_add(&batch, "INFO clients");
        assert_int_equal(wfi_redis_call(other, &batch, &answer, soon(), NULL), 0);
        seen = strstr(answer.replies[0]->str, text) != NULL;
        wfi_redis_answer_fini(&answer);
    }
}

/* The first call leads; when it is cancelled, the second has to read for itself. */
static void test_a_cancelled_leader_is_followed(void **state)
{
    struct wf_executor *fibers;
    struct wfi_redis *redis = connect_to(server.url), *other = connect_to(server.url);
    struct wfi_redis_batch batch = {0};
    wf_none none;
    (void)state;
    assert_int_equal(wf_fibers_create(NULL, &fibers, NULL), 0);
    pop_for_ever_future first = pop_for_ever_submit(fibers, redis);
    wait_until_blocked(other, 1);
    pop_two_future second = pop_two_submit(fibers, redis, "second");
    wf_future_cancel(first.future);
    assert_int_equal(pop_for_ever_result(&first, &none, soon(), NULL), -ECANCELED);
    wfi_redis_add(&batch, "LPUSH %s x", "second");
    wfi_redis_add(&batch, "LPUSH %s x", "nobody pushes here"); /* Redis carries on with the rest */
    assert_int_equal(wfi_redis_call(other, &batch, NULL, soon(), NULL), 0);
    assert_int_equal(pop_two_result(&second, &none, soon(), NULL), 0);
    wf_executor_destroy(fibers);
    wfi_redis_close(redis);
    wfi_redis_close(other);
}

/* ---- what goes wrong ---- */

static void test_an_error_is_told_with_the_other_answers(void **state)
{
    struct wfi_redis *redis = connect_to(server.url);
    struct wfi_redis_batch batch = {0};
    struct wfi_redis_answer answer;
    struct wf_error error = {0};
    (void)state;
    wfi_redis_add(&batch, "SET %s x", "text");
    wfi_redis_add(&batch, "INCR %s", "text");
    wfi_redis_add(&batch, "GET %s", "text");
    assert_int_equal(wfi_redis_call(redis, &batch, &answer, soon(), &error), -EREMOTEIO);
    assert_non_null(strstr(error.text, "not an integer"));
    assert_string_equal(answer.replies[2]->str, "x");
    wfi_redis_answer_fini(&answer);
    wfi_redis_close(redis);
}

static void test_a_server_that_dies_ends_all_that_wait(void **state)
{
    struct wf_executor *fibers;
    struct wfi_redis *redis = connect_to(server.url), *other = connect_to(server.url);
    pop_for_ever_future waiting[20];
    struct wfi_redis_batch batch = {0};
    struct wf_error error = {0};
    wf_none none;
    (void)state;
    assert_int_equal(wf_fibers_create(NULL, &fibers, NULL), 0);
    for (int i = 0; i < 20; i++)
        waiting[i] = pop_for_ever_submit(fibers, redis);
    wait_until_blocked(other, 1);
    redis_server_kill(&server);
    for (int i = 0; i < 20; i++) {
        int err = pop_for_ever_result(&waiting[i], &none, soon(), NULL);
        assert_true(err == WF_ESHORT || err == -ECONNRESET || err == -EPIPE);
    }
    assert_false(wfi_redis_is_open(redis));
    wfi_redis_add(&batch, "PING");
    assert_int_not_equal(wfi_redis_call(redis, &batch, NULL, soon(), &error), 0);
    assert_non_null(strstr(error.text, "the connection to Redis"));
    wfi_redis_close(redis);
    wfi_redis_close(other);
    wf_executor_destroy(fibers);
    assert_true(redis_server_start(&server, NULL));
}

static void test_a_broken_connection_wakes_who_waits(void **state)
{
    struct wf_executor *fibers;
    struct wfi_redis *redis = connect_to(server.url), *other = connect_to(server.url);
    wf_none none;
    (void)state;
    assert_int_equal(wf_fibers_create(NULL, &fibers, NULL), 0);
    pop_for_ever_future waiting = pop_for_ever_submit(fibers, redis);
    wait_until_blocked(other, 1);
    wfi_redis_break(redis);
    assert_int_equal(pop_for_ever_result(&waiting, &none, soon(), NULL), -EPIPE);
    wfi_redis_close(redis);
    wfi_redis_close(other);
    wf_executor_destroy(fibers);
}

static void test_a_wrong_password_is_named(void **state)
{
    struct redis_server locked = {0};
    struct wfi_celery_url url;
    struct wfi_redis *redis;
    (void)state;
    static const char *const extra[] = {"--requirepass", "sesame", NULL};
    assert_true(redis_server_start(&locked, extra));
    assert_int_equal(wfi_celery_url_parse(locked.url, &url, NULL), 0);
    for (int i = 0; i < 3; i++) {
        static const char *const given[] = {"", "wrong", "sesame"};
        struct wf_error error = {0};
        snprintf(url.password, sizeof url.password, "%s", given[i]);
        int err = wfi_redis_open(&url, NULL, &redis, soon(), &error);
        assert_int_equal(err, i == 2 ? 0 : -EACCES);
        assert_int_equal(error.code, err);
        if (err)
            assert_non_null(strstr(error.text, locked.socket));
    }
    wfi_redis_close(redis);
    redis_server_stop(&locked);
}

static void test_a_database_is_chosen(void **state)
{
    char text[200];
    (void)state;
    snprintf(text, sizeof text, "%s?virtual_host=3", server.url);
    struct wfi_redis *third = connect_to(text), *zeroth = connect_to(server.url);
    assert_int_equal(ask_integer(third, "INCR %s", "only here"), 1);
    assert_int_equal(ask_integer(zeroth, "EXISTS %s", "only here"), 0);
    wfi_redis_close(third);
    wfi_redis_close(zeroth);
    struct wfi_celery_url url;
    struct wf_error error = {0};
    snprintf(text, sizeof text, "%s?virtual_host=999", server.url);
    assert_int_equal(wfi_celery_url_parse(text, &url, NULL), 0);
    assert_int_equal(wfi_redis_open(&url, NULL, &third, soon(), &error), -EREMOTEIO);
    assert_non_null(strstr(error.text, "out of range"));
}

static void test_nobody_listens(void **state)
{
    struct wfi_celery_url url;
    struct wfi_redis *redis;
    struct wf_error error = {0};
    (void)state;
    assert_int_equal(wfi_celery_url_parse("redis+socket:///nowhere/at/all", &url, NULL), 0);
    assert_int_equal(wfi_redis_open(&url, NULL, &redis, soon(), &error), -ENOENT);
    assert_non_null(strstr(error.text, "/nowhere/at/all"));
}

static void test_large_values(void **state)
{
    struct wfi_redis *redis = connect_to(server.url);
    struct wfi_redis_batch batch = {0};
    struct wfi_redis_answer answer;
    size_t len = (size_t)16 * 1024 * 1024;
    char *value = wfi_alloc(len);
    (void)state;
    for (size_t i = 0; i < len; i++)
        value[i] = (char)(i * 31 >> 3);
    wfi_redis_add(&batch, "SET large %b", value, len);
    wfi_redis_add(&batch, "GET large");
    wfi_redis_add(&batch, "DEL large");
    assert_int_equal(wfi_redis_call(redis, &batch, &answer, soon(), NULL), 0);
    assert_int_equal(answer.replies[1]->len, len);
    assert_memory_equal(answer.replies[1]->str, value, len);
    wfi_redis_answer_fini(&answer);
    wfi_free(value);
    wfi_redis_close(redis);
}

/* ---- a peer that is no Redis ---- */

/* Answers as many reads as there are texts, and reads on. */
static int answer_each(struct wf_listener *listener, const char *const *texts, int count)
{
    struct wf_stream *stream;
    char buf[4096];
    int err = wf_listener_accept(listener, &stream, soon());
    if (err)
        return err;
    for (int i = 0; i < count && wf_stream_read(stream, buf, sizeof buf, soon()) > 0; i++)
        (void)wf_stream_write(stream, texts[i], strlen(texts[i]), soon());
    (void)wf_stream_shutdown(stream, WF_SHUTDOWN_WRITE);
    while (wf_stream_read(stream, buf, sizeof buf, soon()) > 0)
        ;
    wf_stream_close(stream);
    return 0;
}

WF_TASK(wf_none, answer_with, (struct wf_listener *, listener), (const char *, text))

int answer_with(struct wf_task *self, struct wf_listener *listener, const char *text, wf_none *ret)
{
    (void)self, (void)ret;
    return answer_each(listener, &text, 1);
}
WF_TASK_DEFINE(answer_with)

WF_TASK(wf_none, answer_twice, (struct wf_listener *, listener), (const char *, second))

int answer_twice(struct wf_task *self, struct wf_listener *listener, const char *second,
                 wf_none *ret)
{
    const char *const texts[] = {"+OK\r\n", second};
    (void)self, (void)ret;
    return answer_each(listener, texts, 2);
}
WF_TASK_DEFINE(answer_twice)

static struct wf_listener *listen_somewhere(struct wfi_celery_url *ret_url)
{
    struct wf_listener *listener;
    struct wf_address at;
    *ret_url = (struct wfi_celery_url){.transport = WFI_TRANSPORT_REDIS};
    assert_int_equal(wf_listener_open("127.0.0.1:0", NULL, &listener, NULL), 0);
    wf_listener_address(listener, &at);
    wf_address_format(&at, ret_url->endpoint, sizeof ret_url->endpoint);
    return listener;
}

static void test_a_peer_that_is_no_redis(void **state)
{
    static const struct {
        const char *text;
        int code;
    } cases[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", WF_EPROTOCOL},
        {"+OK\r\n+more than was asked\r\n", WF_EPROTOCOL},
        {"$9999999999999999999\r\n", WF_EPROTOCOL},
        {"", WF_ESHORT},
        {"$5\r\nhal", WF_ESHORT},
    };
    struct wf_executor *threads;
    (void)state;
    assert_int_equal(wf_threads_create(NULL, &threads, NULL), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wfi_celery_url url;
        struct wfi_redis *redis = NULL;
        struct wf_error error = {0};
        wf_none none;
        struct wf_listener *listener = listen_somewhere(&url);
        answer_with_future peer = answer_with_submit(threads, listener, cases[i].text);
        int err = wfi_redis_open(&url, NULL, &redis, soon(), &error);
        if (!err) { /* the first answer was right, what came with it is found at the next call */
            struct wfi_redis_batch batch = {0};
            wfi_redis_add(&batch, "PING");
            err = wfi_redis_call(redis, &batch, NULL, soon(), &error);
            wfi_redis_close(redis);
        }
        if (err != cases[i].code)
            fail_msg("%s: %d, %s", cases[i].text, err, error.text);
        assert_int_equal(answer_with_result(&peer, &none, soon(), NULL), 0);
        wf_listener_close(listener);
    }
    wf_executor_destroy(threads);
}

static void test_errors_that_pass_and_others(void **state)
{
    static const struct {
        const char *text;
        int code;
        bool open; /* the connection is of use still */
    } cases[] = {
        {"-LOADING Redis is loading the dataset in memory\r\n", -EAGAIN, true},
        {"-OOM command not allowed when used memory > 'maxmemory'.\r\n", -EAGAIN, true},
        {"-NOSCRIPT No matching script. Please use EVAL.\r\n", -EAGAIN, true},
        {"-UNBLOCKED force unblock from blocking operation, instance state changed (master -> "
         "replica?)\r\n",
         -EAGAIN, true},
        {"-ERR max number of clients reached\r\n", -EAGAIN, true},
        {"-READONLY You can't write against a read only replica.\r\n", -EAGAIN, false},
        /* before Redis 7, of a command in a script */
        {"-ERR Error running script (call to f_0a): @user_script:4: @user_script: 4: -READONLY You "
         "can't write against a read only slave.\r\n",
         -EAGAIN, false},
        {"-ERR Error running script (call to f_0a): @user_script:4: @user_script: 4: -OOM command "
         "not allowed when used memory > 'maxmemory'.\r\n",
         -EAGAIN, true},
        {"-ERR Error running script (call to f_0a): @user_script:4: -WRONGTYPE Operation against "
         "a key holding the wrong kind of value\r\n",
         -EREMOTEIO, true},
        {"-ERR value -OOM is not an integer\r\n", -EREMOTEIO, true},
        {"-NOPERM this user has no permissions to run the 'evalsha' command\r\n", -EREMOTEIO, true},
    };
    struct wf_executor *threads;
    (void)state;
    assert_int_equal(wf_threads_create(NULL, &threads, NULL), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wfi_redis_batch batch = {0};
        struct wfi_redis *redis = NULL;
        struct wf_error error = {0};
        struct wfi_celery_url url;
        wf_none none;
        struct wf_listener *listener = listen_somewhere(&url);
        answer_twice_future peer = answer_twice_submit(threads, listener, cases[i].text);
        assert_int_equal(wfi_redis_open(&url, NULL, &redis, soon(), NULL), 0);
        wfi_redis_add(&batch, "PING");
        assert_int_equal(wfi_redis_call(redis, &batch, NULL, soon(), &error), cases[i].code);
        assert_int_equal(wfi_redis_is_open(redis), cases[i].open);
        wfi_redis_close(redis);
        assert_int_equal(answer_twice_result(&peer, &none, soon(), NULL), 0);
        wf_listener_close(listener);
    }
    wf_executor_destroy(threads);
}

/* ---- subscriptions ---- */

static void test_a_subscription_receives(void **state)
{
    struct wfi_redis *listener = connect_to(server.url), *other = connect_to(server.url);
    struct wfi_redis_batch batch = {0};
    redisReply *reply;
    (void)state;
    assert_int_equal(wfi_redis_receive(listener, &reply, WF_NOW, NULL), -ETIMEDOUT);
    wfi_redis_add(&batch, "SUBSCRIBE %s %s", "one", "two");
    assert_int_equal(wfi_redis_send(listener, &batch, NULL), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wfi_redis_receive(listener, &reply, soon(), NULL), 0);
        assert_string_equal(reply->element[0]->str, "subscribe");
        freeReplyObject(reply);
    }
    assert_int_equal(ask_integer(other, "PUBLISH %s news", "two"), 1);
    assert_int_equal(wfi_redis_receive(listener, &reply, soon(), NULL), 0);
    assert_string_equal(reply->element[0]->str, "message");
    assert_string_equal(reply->element[1]->str, "two");
    assert_string_equal(reply->element[2]->str, "news");
    freeReplyObject(reply);
    wfi_redis_break(listener);
    assert_int_equal(wfi_redis_receive(listener, &reply, soon(), NULL), -EPIPE);
    wfi_redis_close(listener);
    wfi_redis_close(other);
}

/* ---- no memory ---- */

static void test_memory_that_runs_out_leaves_the_connection_usable(void **state)
{
    struct wfi_redis *redis = connect_to(server.url);
    (void)state;
    long long value = ask_integer(redis, "INCR %s", "memory");
    for (uint64_t n = 1;; n++) {
        struct wfi_redis_batch batch = {0};
        struct wfi_redis_answer answer = {0};
        wfi_alloc_watch(n);
        wfi_redis_add(&batch, "INCR %s", "memory");
        int err = wfi_redis_call(redis, &batch, &answer, soon(), NULL);
        bool failed = wfi_alloc_unwatch();
        assert_int_equal(err, failed ? -ENOMEM : 0);
        wfi_redis_batch_fini(&batch);
        if (!failed) {
            assert_int_equal(answer.replies[0]->integer, value + 1);
            wfi_redis_answer_fini(&answer);
            break;
        }
    }
    wfi_redis_close(redis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_come_in_the_order_of_the_commands),
        cmocka_unit_test(test_many_fibers_share_a_connection),
        cmocka_unit_test(test_threads_share_a_connection),
        cmocka_unit_test(test_a_caller_that_gives_up_leaves_the_others_their_answers),
        cmocka_unit_test(test_a_cancelled_leader_is_followed),
        cmocka_unit_test(test_an_error_is_told_with_the_other_answers),
        cmocka_unit_test(test_a_server_that_dies_ends_all_that_wait),
        cmocka_unit_test(test_a_broken_connection_wakes_who_waits),
        cmocka_unit_test(test_a_wrong_password_is_named),
        cmocka_unit_test(test_a_database_is_chosen),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_large_values),
        cmocka_unit_test(test_a_peer_that_is_no_redis),
        cmocka_unit_test(test_errors_that_pass_and_others),
        cmocka_unit_test(test_a_subscription_receives),
        cmocka_unit_test(test_memory_that_runs_out_leaves_the_connection_usable),
    };
    return redis_group_run(&server, tests, sizeof tests / sizeof *tests, NULL, NULL);
}
