/* SPDX-License-Identifier: MIT */
/*
 * Groups, chains and chords that a client sends, over a real Redis, to a worker of weft's in the
 * same program. To workers of Python: test/celery/client_python.py.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <weft/celery.h>
#include <weft/celery_canvas.h>
#include <weft/celery_executor.h>
#include <weft/fibers.h>
#include <weft/task.h>

#include "base/alloc.h"
#include "celery/message/message.h"
#include "local_worker.h"
#include "redis_group.h"

WF_TASK(int64_t, c_add, (int64_t, x), (int64_t, y))
WF_TASK(int64_t, c_sum, (const struct wf_json *, values))
WF_TASK(wf_none, c_fail, (const char *, text))
WF_TASK(struct wf_json *, c_child, (int64_t, x))
WF_TASK(struct wf_json *, c_about, (int64_t, x))

static struct redis_server server;

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

int c_add(struct wf_task *self, int64_t x, int64_t y, int64_t *ret)
{
    (void)self;
    *ret = x + y;
    return 0;
}
WF_TASK_DEFINE(c_add)

int c_sum(struct wf_task *self, const struct wf_json *values, int64_t *ret)
{
    (void)self;
    *ret = 0;
    for (size_t i = 0; i < wf_json_count(wf_json_root(values)); i++) {
        int64_t number = 0;
        if (wf_json_int(wf_json_at(wf_json_root(values), i), &number))
            return -EINVAL;
        *ret += number;
    }
    return 0;
}
WF_TASK_DEFINE(c_sum)

int c_fail(struct wf_task *self, const char *text, wf_none *ret)
{
    (void)ret;
    return wf_task_fail(self, -EINVAL, "%s", text);
}
WF_TASK_DEFINE(c_fail)

static int tell(const struct wf_celery_request *request, struct wf_json **ret)
{
    char text[300];
    int len = snprintf(text, sizeof text, "{\"id\": \"%s\", \"root\": \"%s\", \"parent\": \"%s\"}",
                       request->id, request->root_id, request->parent_id ? request->parent_id : "");
    return wf_json_read(text, (size_t)len, NULL, ret, NULL);
}

/* Whose child it is. */
int c_about(struct wf_task *self, int64_t x, struct wf_json **ret)
{
    (void)x;
    return tell(wf_celery_task_request(self), ret);
}
WF_TASK_DEFINE_WITH(c_about, .drop_result = wf_drop_json)

/* Calls another from inside, by the engine. */
int c_child(struct wf_task *self, int64_t x, struct wf_json **ret)
{
    const struct wf_celery_options options = {.broker = server.url, .backend = server.url};
    struct wf_executor *on;
    int err = wf_celery_create(&options, &on, NULL);
    (void)self;
    if (err)
        return err;
    c_about_future f = c_about_submit(on, x);
    err = c_about_result(&f, ret, soon(), NULL);
    wf_executor_destroy(on);
    return err;
}
WF_TASK_DEFINE_WITH(c_child, .drop_result = wf_drop_json)

static struct {
    struct wf_executor *fibers;
    local_worker_future worker;
    struct wf_celery_client *client;
} with;

static int start(void **state)
{
    (void)state;
    if (wf_fibers_create(NULL, &with.fibers, NULL))
        return -1;
    with.worker = local_worker_submit(with.fibers, server.url);
    const struct wf_celery_client_options options = {.broker = server.url, .backend = server.url};
    return wf_celery_client_create(&options, &with.client, NULL);
}

static int stop(void **state)
{
    wf_none none;
    (void)state;
    wf_celery_client_destroy(with.client);
    wf_future_cancel(with.worker.future);
    int err = local_worker_result(&with.worker, &none, soon(), NULL);
    wf_executor_destroy(with.fibers);
    return err == -ECANCELED ? 0 : -1;
}

static struct wf_celery_signature *add(const char *args)
{
    return wf_celery_signature_create("c_add", args, NULL, NULL);
}

/* Sends it, and compares what comes; it is destroyed. */
static void expect(struct wf_celery_signature *signature, const char *expected)
{
    struct wf_json *sent = NULL, *values = NULL;
    struct wf_json_writer *w;
    const char *text;
    struct wf_error error = {0};
    if (wf_celery_client_apply(with.client, signature, &sent, soon(), &error) ||
        wf_celery_client_collect(with.client, wf_json_root(sent), &values, soon(), &error))
        fail_msg("%s", error.text);
    assert_int_equal(wfi_message_writer_create(&w), 0);
    wf_json_write_value(w, wf_json_root(values));
    assert_int_equal(wf_json_writer_text(w, &text, NULL), 0);
    assert_string_equal(text, expected);
    wf_json_writer_destroy(w);
    wf_json_destroy(values);
    wf_json_destroy(sent);
    wf_celery_signature_destroy(signature);
}

static int expect_failure(struct wf_celery_signature *signature, struct wf_error *ret_error)
{
    struct wf_json *sent = NULL, *values = NULL;
    struct wf_error error = {0};
    if (wf_celery_client_apply(with.client, signature, &sent, soon(), &error))
        fail_msg("%s", error.text);
    int err = wf_celery_client_collect(with.client, wf_json_root(sent), &values, soon(), ret_error);
    wf_json_destroy(sent);
    wf_celery_signature_destroy(signature);
    return err;
}

static void test_tasks_groups_and_chains(void **state)
{
    (void)state;
    expect(add("[1, 2]"), "3");
    expect(wf_celery_signature_of(&c_add_task, &(struct c_add_args){20, 22}, 0, NULL), "42");
    expect(wf_celery_group((struct wf_celery_signature *[]){add("[1, 2]"), add("[3, 4]")}, 2),
           "[3, 7]");
    expect(wf_celery_chain(
               (struct wf_celery_signature *[]){
                   add("[1, 2]"), add("[10]"),
                   wf_celery_signature_of(&c_add_task, &(struct c_add_args){.y = 100}, 1, NULL)},
               3),
           "113");
    expect(
        wf_celery_chain(
            (struct wf_celery_signature *[]){add("[1, 2]"), wf_celery_immutable(add("[5, 6]"))}, 2),
        "11");
    struct wf_celery_signature *group =
        wf_celery_group((struct wf_celery_signature *[]){add("[1]"), add("[2]")}, 2);
    expect(wf_celery_chain((struct wf_celery_signature *[]){add("[1, 2]"), group}, 2), "[4, 5]");
    group = wf_celery_group((struct wf_celery_signature *[]){add("[1]"), add("[2]")}, 2);
    struct wf_celery_signature *chain =
        wf_celery_chain((struct wf_celery_signature *[]){add("[1, 2]"), group}, 2);
    expect(wf_celery_group((struct wf_celery_signature *[]){add("[0, 0]"), chain}, 2),
           "[0, [4, 5]]");
    expect(wf_celery_group(NULL, 0), "[]");
}

static void test_chords_and_nested_ones(void **state)
{
    struct wf_celery_signature *sum = wf_celery_signature_create("c_sum", NULL, NULL, NULL);
    (void)state;
    expect(wf_celery_chord((struct wf_celery_signature *[]){add("[1, 2]"), add("[3, 4]")}, 2, sum),
           "10");
    struct wf_celery_signature *chain =
        wf_celery_chain((struct wf_celery_signature *[]){add("[1, 1]"), add("[1]")}, 2);
    sum = wf_celery_signature_create("c_sum", NULL, NULL, NULL);
    struct wf_celery_signature *chord =
        wf_celery_chord((struct wf_celery_signature *[]){chain, add("[3, 4]")}, 2, sum);
    expect(wf_celery_group((struct wf_celery_signature *[]){chord, add("[0, 0]")}, 2), "[10, 0]");
}

static void test_failures_come_back(void **state)
{
    struct wf_error error = {0};
    (void)state;
    assert_int_equal(
        expect_failure(wf_celery_signature_create("c_fail", "[\"no\"]", NULL, NULL), &error),
        -EINVAL);
    assert_string_equal(error.text, "ValueError: no");
    /* Of a chain the last has failed with it, of a chord the body. */
    struct wf_celery_signature *fail = wf_celery_signature_create("c_fail", "[\"no\"]", NULL, NULL);
    assert_int_equal(
        expect_failure(wf_celery_chain((struct wf_celery_signature *[]){fail, add("[1]")}, 2),
                       &error),
        -EINVAL);
    fail = wf_celery_signature_create("c_fail", "[\"no\"]", NULL, NULL);
    assert_int_equal(
        expect_failure(wf_celery_chord((struct wf_celery_signature *[]){fail, add("[1, 2]")}, 2,
                                       wf_celery_signature_create("c_sum", NULL, NULL, NULL)),
                       &error),
        WF_ETASKFAILED);
    assert_non_null(strstr(error.text, "ChordError"));
}

static void test_what_is_no_signature_is_told(void **state)
{
    struct wf_error error = {0};
    const char *text;
    struct wf_json *sent;
    (void)state;
    struct wf_celery_signature *bad = wf_celery_group(
        (struct wf_celery_signature *[]){add("[1, 2]"),
                                         wf_celery_signature_create("t", "{}", NULL, NULL), NULL},
        3);
    assert_int_equal(wf_celery_signature_text(bad, &text, &error), -EINVAL);
    assert_string_equal(error.text, "signature t: args are no array");
    assert_int_equal(wf_celery_client_apply(with.client, bad, &sent, soon(), &error), -EINVAL);
    wf_celery_signature_destroy(bad);
    bad = wf_celery_signature_read("{\"args\": []}");
    assert_int_equal(wf_celery_signature_text(bad, &text, &error), -EINVAL);
    wf_celery_signature_destroy(bad);
    bad = wf_celery_signature_read("[");
    assert_int_equal(wf_celery_signature_text(bad, &text, &error), -EINVAL);
    wf_celery_signature_destroy(bad);
    assert_int_equal(wf_celery_client_apply(with.client, NULL, &sent, soon(), &error), -ENOMEM);
}

static void test_options_are_written(void **state)
{
    const struct wf_celery_apply apply = {.id = "mine",
                                          .queue = "q",
                                          .countdown_ns = WF_MILLISECONDS(1500),
                                          .expires_at_us = 1000000,
                                          .priority = 3,
                                          .retries = 1,
                                          .soft_s = 1,
                                          .hard_s = 2,
                                          .ignore_result = true,
                                          .shadow = "as",
                                          .headers = "{\"a\": 1}",
                                          .callbacks = "[]",
                                          .errbacks = "[]"};
    struct wf_celery_signature *s = wf_celery_signature_create("t", "[1]", "{\"k\": 2}", &apply);
    const char *text = NULL;
    (void)state;
    assert_int_equal(wf_celery_signature_text(s, &text, NULL), 0);
    assert_string_equal(
        text, "{\"task\": \"t\", \"args\": [1], \"kwargs\": {\"k\": 2}, \"options\": "
              "{\"task_id\": \"mine\", \"queue\": \"q\", \"countdown\": 1.5, \"expires\": "
              "\"1970-01-01T00:00:01+00:00\", \"priority\": 3, \"retries\": 1, "
              "\"soft_time_limit\": 1.0, \"time_limit\": 2.0, \"ignore_result\": true, "
              "\"shadow\": \"as\", \"headers\": {\"a\": 1}, \"link\": [], \"link_error\": []}, "
              "\"subtask_type\": null, \"immutable\": false}");
    struct wf_celery_signature *again = wf_celery_signature_read(text);
    const char *same;
    assert_int_equal(wf_celery_signature_text(again, &same, NULL), 0);
    assert_string_equal(same, text);
    wf_celery_signature_destroy(again);
    wf_celery_signature_destroy(s);
}

static void test_what_a_task_sends_is_its_child(void **state)
{
    const struct wf_celery_apply apply = {.id = "the parent", .root_id = "the root"};
    struct wf_celery_result *result = NULL;
    const struct wf_json_value *value = NULL;
    struct wf_error error = {0};
    (void)state;
    if (wf_celery_client_send(with.client, "c_child", "[1]", NULL, &apply, NULL, soon(), &error) ||
        wf_celery_client_wait(with.client, "the parent", &result, soon(), &error) ||
        wf_celery_result_value(result, &value, &error))
        fail_msg("%s", error.text);
    assert_string_equal(wf_json_text(wf_json_get(value, "root"), NULL), "the root");
    assert_string_equal(wf_json_text(wf_json_get(value, "parent"), NULL), "the parent");
    wf_celery_result_destroy(result);
}

static void test_memory_that_runs_out_is_told(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        const char *text;
        wfi_alloc_watch(n);
        struct wf_celery_signature *s = wf_celery_chord(
            (struct wf_celery_signature *[]){
                add("[1, 2]"), wf_celery_immutable(add("[3, 4]")),
                wf_celery_signature_of(&c_add_task, &(struct c_add_args){1, 2}, 0, NULL)},
            3, wf_celery_signature_read("{\"task\": \"c_sum\"}"));
        int err = wf_celery_signature_text(s, &text, NULL);
        const bool failed = wfi_alloc_unwatch();
        wf_celery_signature_destroy(s);
        assert_int_equal(err, failed ? -ENOMEM : 0);
        if (!failed)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tasks_groups_and_chains),
        cmocka_unit_test(test_chords_and_nested_ones),
        cmocka_unit_test(test_failures_come_back),
        cmocka_unit_test(test_what_is_no_signature_is_told),
        cmocka_unit_test(test_options_are_written),
        cmocka_unit_test(test_what_a_task_sends_is_its_child),
        cmocka_unit_test(test_memory_that_runs_out_is_told),
    };
    return redis_group_run(&server, tests, sizeof tests / sizeof *tests, start, stop);
}
