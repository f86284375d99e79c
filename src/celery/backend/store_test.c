/* SPDX-License-Identifier: MIT */
/*
 * The store against a real Redis. A second connection plays those who wait for results.
 */
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

#include "celery/backend/store.h"
#include "redis_group.h"

static struct redis_server server;
static struct wf_executor *fibers;
static struct wfi_redis *other;

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

static struct wfi_redis *open_redis(void)
{
    struct wfi_celery_url url;
    struct wfi_redis *redis = NULL;
    struct wf_error error = {0};
    assert_int_equal(wfi_celery_url_parse(server.url, &url, NULL), 0);
    if (wfi_redis_open(&url, NULL, &redis, soon(), &error))
        fail_msg("%s", error.text);
    return redis;
}

static struct wfi_store *open_store(const struct wfi_store_options *given)
{
    struct wfi_store_options options = given ? *given : (struct wfi_store_options){0};
    struct wfi_celery_url url;
    struct wfi_store *store = NULL;
    assert_int_equal(wfi_celery_url_parse(server.url, &url, NULL), 0);
    options.url = &url;
    assert_int_equal(wfi_store_create(&options, &store, NULL), 0);
    return store;
}

/* Stores a status, and says whether it was taken. */
static bool put(struct wfi_store *store, const char *id, const char *status)
{
    char meta[100];
    bool stored = false;
    struct wf_error error = {0};
    snprintf(meta, sizeof meta, "{\"status\": \"%s\"}", status);
    if (wfi_store_put(store, id, meta, strlen(meta), &stored, soon(), &error))
        fail_msg("%s", error.text);
    return stored;
}

static void ask(const char *command, struct wfi_redis_answer *answer)
{
    struct wfi_redis_batch batch = {0};
    struct wf_error error = {0};
    wfi_redis_add(&batch, command);
    if (wfi_redis_call(other, &batch, answer, soon(), &error))
        fail_msg("%s", error.text);
}

static void expect_text(const char *command, const char *text)
{
    struct wfi_redis_answer answer;
    ask(command, &answer);
    assert_int_equal(answer.replies[0]->type, REDIS_REPLY_STRING);
    assert_string_equal(answer.replies[0]->str, text);
    wfi_redis_answer_fini(&answer);
}

static long long number(const char *command)
{
    struct wfi_redis_answer answer;
    ask(command, &answer);
    long long value = answer.replies[0]->integer;
    wfi_redis_answer_fini(&answer);
    return value;
}

static int wipe(void **state)
{
    (void)state;
    ask("FLUSHALL", NULL);
    return 0;
}

static void test_success_is_final(void **state)
{
    static const char odd[] = "{\"status\": \"SUCCESS\", \"result\": \"\\udc80\"}";
    (void)state;
    struct wfi_store *store = open_store(NULL);
    assert_true(put(store, "a", "STARTED"));
    assert_true(put(store, "a", "FAILURE"));
    assert_true(put(store, "a", "SUCCESS"));
    assert_false(put(store, "a", "FAILURE"));
    expect_text("GET celery-task-meta-a", "{\"status\": \"SUCCESS\"}");
    assert_int_equal(wfi_store_put(store, "odd", odd, strlen(odd), NULL, soon(), NULL), 0);
    assert_false(put(store, "odd", "FAILURE"));
    expect_text("GET celery-task-meta-odd", odd);
    ask("SET celery-task-meta-b rubbish", NULL);
    assert_true(put(store, "b", "FAILURE"));
    ask("SET celery-task-meta-c [1]", NULL);
    assert_true(put(store, "c", "FAILURE"));
    wfi_store_destroy(store);
}

static void test_results_expire_or_not(void **state)
{
    (void)state;
    struct wfi_store *store = open_store(NULL);
    put(store, "a", "SUCCESS");
    assert_int_equal(number("TTL celery-task-meta-a"), -1);
    wfi_store_destroy(store);
    store = open_store(&(struct wfi_store_options){.expires_s = 1000, .prefix = "p:"});
    put(store, "a", "SUCCESS");
    assert_in_range(number("TTL p:celery-task-meta-a"), 900, 1000);
    wfi_store_destroy(store);
    assert_int_equal(wfi_store_create(&(struct wfi_store_options){.expires_s = -1}, &store, NULL),
                     -EINVAL);
}

/* What is stored is told; what is not stored is not. */
static void test_who_waits_is_told(void **state)
{
    (void)state;
    struct wfi_store *store = open_store(NULL);
    struct wfi_redis *listener = open_redis();
    struct wfi_redis_batch batch = {0};
    redisReply *reply;
    static const char *const expected[] = {"subscribe", "FAILURE", "SUCCESS"};
    wfi_redis_add(&batch, "SUBSCRIBE celery-task-meta-a");
    assert_int_equal(wfi_redis_send(listener, &batch, NULL), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wfi_redis_receive(listener, &reply, soon(), NULL), 0);
        assert_non_null(strstr(reply->element[i ? 2 : 0]->str, expected[i]));
        freeReplyObject(reply);
        if (i == 0) {
            put(store, "a", "FAILURE");
            put(store, "a", "SUCCESS");
            put(store, "a", "FAILURE");
        }
    }
    assert_int_equal(wfi_redis_receive(listener, &reply, WF_NOW, NULL), -ETIMEDOUT);
    wfi_redis_close(listener);
    wfi_store_destroy(store);
}

static void test_a_script_that_was_flushed_is_sent_again(void **state)
{
    (void)state;
    struct wfi_store *store = open_store(NULL);
    put(store, "a", "STARTED");
    ask("SCRIPT FLUSH", NULL);
    assert_true(put(store, "a", "SUCCESS"));
    wfi_store_destroy(store);
}

static void test_an_error_of_redis_is_not_tried_again(void **state)
{
    struct wf_error error = {0};
    (void)state;
    struct wfi_store *store = open_store(NULL);
    ask("LPUSH celery-task-meta-a x", NULL);
    assert_int_equal(wfi_store_put(store, "a", "{}", 2, NULL, soon(), &error), -EREMOTEIO);
    assert_non_null(strstr(error.text, "WRONGTYPE"));
    wfi_store_destroy(store);
}

static void test_attempts_are_bounded(void **state)
{
    struct wfi_celery_url url;
    struct wfi_store *store;
    struct wf_error error = {0};
    (void)state;
    assert_int_equal(wfi_celery_url_parse("redis+socket:///nonexistent/s", &url, NULL), 0);
    assert_int_equal(
        wfi_store_create(&(struct wfi_store_options){.url = &url, .retries_max = 1}, &store, NULL),
        0);
    assert_int_equal(wfi_store_put(store, "a", "{}", 2, NULL, soon(), &error), -ENOENT);
    wfi_store_destroy(store);
}

/* It is asked on a new connection each time: its name may lead to another server by then. */
static void test_a_server_that_is_a_replica_for_a_time(void **state)
{
    struct wf_error error = {0};
    (void)state;
    struct wfi_store *store = open_store(&(struct wfi_store_options){.retries_max = 1});
    put(store, "a", "STARTED");
    ask("CONFIG RESETSTAT", NULL);
    ask("REPLICAOF 127.0.0.1 1", NULL);
    assert_int_equal(wfi_store_put(store, "a", "{}", 2, NULL, soon(), &error), -EAGAIN);
    assert_non_null(strstr(error.text, "READONLY"));
    ask("REPLICAOF NO ONE", NULL);
    assert_true(put(store, "a", "SUCCESS"));
    struct wfi_redis_answer answer;
    ask("INFO stats", &answer);
    assert_non_null(strstr(answer.replies[0]->str, "connections_received:2\r"));
    wfi_redis_answer_fini(&answer);
    wfi_store_destroy(store);
}

/* ---- many callers ---- */

enum { CALLERS = 20, EACH = 25 };

WF_TASK(int, put_some, (struct wfi_store *, store), (int, caller))

int put_some(struct wf_task *self, struct wfi_store *store, int caller, int *ret)
{
    char id[40];
    (void)self;
    for (*ret = 0; *ret < EACH; ++*ret) {
        snprintf(id, sizeof id, "%d-%d", caller, *ret);
        if (!put(store, id, "SUCCESS"))
            break;
    }
    return 0;
}
WF_TASK_DEFINE(put_some)

/* Connections are cut under the callers all the while. A result may have been stored by an attempt
 * whose answer was lost, and then is not stored again: so that each is there is what counts. */
WF_TASK(wf_none, put_each, (struct wfi_store *, store), (int, caller))

int put_each(struct wf_task *self, struct wfi_store *store, int caller, wf_none *ret)
{
    struct wf_error error = {0};
    char id[40];
    int err = 0;
    (void)ret;
    for (int i = 0; !err && i < EACH; i++) {
        snprintf(id, sizeof id, "%d-%d", caller, i);
        err = wfi_store_put(store, id, "{\"status\": \"SUCCESS\"}", 21, NULL, soon(), &error);
    }
    return err ? wf_task_fail_with(self, &error) : 0;
}
WF_TASK_DEFINE(put_each)

static void test_many_use_one_connection(void **state)
{
    put_some_future futures[CALLERS];
    (void)state;
    struct wfi_store *store = open_store(NULL);
    for (int i = 0; i < CALLERS; i++)
        futures[i] = put_some_submit(fibers, store, i);
    for (int i = 0; i < CALLERS; i++) {
        int count = 0;
        assert_int_equal(put_some_result(&futures[i], &count, soon(), NULL), 0);
        assert_int_equal(count, EACH);
    }
    struct wfi_redis_answer answer;
    ask("CLIENT LIST TYPE normal", &answer);
    int clients = 0;
    for (const char *at = answer.replies[0]->str; (at = strchr(at, '\n')); at++)
        clients++; /* a line each */
    wfi_redis_answer_fini(&answer);
    assert_int_equal(clients, 2); /* the store's, and ours */
    wfi_store_destroy(store);
}

static void test_a_broken_connection_is_made_anew(void **state)
{
    put_each_future futures[CALLERS];
    int ended = 0;
    (void)state;
    struct wfi_store *store = open_store(NULL);
    for (int i = 0; i < CALLERS; i++)
        futures[i] = put_each_submit(fibers, store, i);
    for (int cuts = 0; cuts < 10; cuts++)
        ask("CLIENT KILL TYPE normal SKIPME yes", NULL);
    for (; ended < CALLERS; ended++) {
        struct wf_error error = {0};
        wf_none none;
        if (put_each_result(&futures[ended], &none, soon(), &error))
            fail_msg("%s", error.text);
    }
    assert_int_equal(number("DBSIZE"), CALLERS * EACH);
    wfi_store_destroy(store);
}

static void test_a_server_that_comes_back_is_found(void **state)
{
    (void)state;
    struct wfi_store *store = open_store(NULL);
    put(store, "a", "STARTED");
    wfi_redis_close(other);
    redis_server_kill(&server);
    put_each_future f = put_each_submit(fibers, store, 1);
    assert_true(redis_server_start(&server, NULL));
    other = open_redis();
    struct wf_error error = {0};
    wf_none none;
    if (put_each_result(&f, &none, soon(), &error))
        fail_msg("%s", error.text);
    assert_int_equal(number("DBSIZE"), EACH);
    wfi_store_destroy(store);
}

static int start(void **state)
{
    (void)state;
    if (wf_fibers_create(NULL, &fibers, NULL))
        return -1;
    other = open_redis();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    wfi_redis_close(other);
    wf_executor_destroy(fibers);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_success_is_final, wipe),
        cmocka_unit_test_setup(test_results_expire_or_not, wipe),
        cmocka_unit_test_setup(test_who_waits_is_told, wipe),
        cmocka_unit_test_setup(test_a_script_that_was_flushed_is_sent_again, wipe),
        cmocka_unit_test_setup(test_an_error_of_redis_is_not_tried_again, wipe),
        cmocka_unit_test_setup(test_attempts_are_bounded, wipe),
        cmocka_unit_test_setup(test_a_server_that_is_a_replica_for_a_time, wipe),
        cmocka_unit_test_setup(test_many_use_one_connection, wipe),
        cmocka_unit_test_setup(test_a_broken_connection_is_made_anew, wipe),
        cmocka_unit_test_setup(test_a_server_that_comes_back_is_found, wipe),
    };
    return redis_group_run(&server, tests, sizeof tests / sizeof *tests, start, stop);
}
