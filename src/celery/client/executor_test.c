/* SPDX-License-Identifier: MIT */
/*
 * The celery engine over a real Redis, with a worker of weft's in the same program; where the test
 * has to say when a worker answers, it is the worker itself. With workers of Python:
 * test/celery/client_python.py.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <weft/celery.h>
#include <weft/celery_executor.h>
#include <weft/fibers.h>
#include <weft/listener.h>
#include <weft/main.h>
#include <weft/scope.h>
#include <weft/task.h>

#include "celery/client/client.h"
#include "celery/message/message.h"
#include "each_allocation.h"
#include "local_worker.h"
#include "redis_group.h"

struct point {
    double x, y;
};

struct other {
    int what;
};

static ssize_t encode_point(const void *value, void *buf, size_t capacity)
{
    if (capacity >= sizeof(struct point))
        memcpy(buf, value, sizeof(struct point));
    return sizeof(struct point);
}

static int decode_point(void *value, const void *buf, size_t len)
{
    if (len != sizeof(struct point))
        return -EINVAL;
    memcpy(value, buf, len);
    return 0;
}

WF_WIRE(struct point, encode_point, decode_point)

WF_TASK(int64_t, e_add, (int64_t, x), (int64_t, y))
WF_TASK(uint64_t, e_uint, (uint64_t, x))
WF_TASK(bool, e_not, (bool, x))
WF_TASK(float, e_half, (double, x))
WF_TASK(char *, e_text, (const char *, x))
WF_TASK(wf_bytes, e_bytes, (wf_bytes, x))
WF_TASK(struct wf_json *, e_json, (const struct wf_json *, x))
WF_TASK(struct point, e_swap, (struct point, x))
WF_TASK(wf_none, e_none, (int, x))
WF_TASK(wf_none, e_fail, (int, code), (const char *, text))
WF_TASK(int, e_opaque, (struct other, x))
WF_TASK_AS("e_add", int8_t, e_add8, (int, x), (int, y))
WF_TASK_AS("e_add", char *, e_add_text, (int, x), (int, y))
WF_TASK_AS("e_nowhere", int, e_nowhere, (int, x))

int e_add(struct wf_task *self, int64_t x, int64_t y, int64_t *ret)
{
    (void)self;
    *ret = x + y;
    return 0;
}
WF_TASK_DEFINE(e_add)

int e_uint(struct wf_task *self, uint64_t x, uint64_t *ret)
{
    (void)self;
    *ret = x;
    return 0;
}
WF_TASK_DEFINE(e_uint)

int e_not(struct wf_task *self, bool x, bool *ret)
{
    (void)self;
    *ret = !x;
    return 0;
}
WF_TASK_DEFINE(e_not)

int e_half(struct wf_task *self, double x, float *ret)
{
    (void)self;
    *ret = (float)(x / 2);
    return 0;
}
WF_TASK_DEFINE(e_half)

int e_text(struct wf_task *self, const char *x, char **ret)
{
    *ret = x ? wf_result_alloc(self, strlen(x) + 1) : NULL;
    if (*ret)
        strcpy(*ret, x);
    return x && !*ret ? -ENOMEM : 0;
}
WF_TASK_DEFINE_WITH(e_text, .drop_result = wf_drop_string)

int e_bytes(struct wf_task *self, wf_bytes x, wf_bytes *ret)
{
    void *copy = wf_result_alloc(self, x.len + 1);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, x.ptr, x.len);
    *ret = (wf_bytes){copy, x.len};
    return 0;
}
WF_TASK_DEFINE_WITH(e_bytes, .drop_result = wf_drop_bytes)

int e_json(struct wf_task *self, const struct wf_json *x, struct wf_json **ret)
{
    (void)self, (void)x;
    return wf_json_read("{\"a\": [1, null]}", 16, NULL, ret, NULL);
}
WF_TASK_DEFINE_WITH(e_json, .drop_result = wf_drop_json)

int e_swap(struct wf_task *self, struct point x, struct point *ret)
{
    (void)self;
    *ret = (struct point){x.y, x.x};
    return 0;
}
WF_TASK_DEFINE(e_swap)

int e_none(struct wf_task *self, int x, wf_none *ret)
{
    (void)self, (void)x, (void)ret;
    return 0;
}
WF_TASK_DEFINE(e_none)

int e_fail(struct wf_task *self, int code, const char *text, wf_none *ret)
{
    (void)ret;
    return wf_task_fail(self, code, "%s", text);
}
WF_TASK_DEFINE(e_fail)

/* Dropping its arguments, which is done between making a call's message and starting the call,
 * cancels the scope. That must not end the call: it is to be started yet. */
static struct {
    struct wf_scope *scope;
    bool ended;
} late;

static void cancel_late(void *args)
{
    (void)args;
    if (!late.scope)
        return;
    WF_SHIELD(WF_FOREVER) {
        const wf_deadline limit = wf_after(WF_MILLISECONDS(20));
        wf_scope_cancel(late.scope);
        while (wf_scope_running(late.scope) && wf_remaining(limit))
            (void)wf_sleep(wf_after(WF_MILLISECONDS(1)));
        late.ended = wf_scope_running(late.scope) == 0;
    }
}

WF_TASK(wf_none, e_late, (int, x))

int e_late(struct wf_task *self, int x, wf_none *ret)
{
    (void)self, (void)x, (void)ret;
    return 0;
}
WF_TASK_DEFINE_WITH(e_late, .drop_args = cancel_late)

static struct redis_server server;

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

/* ---- a worker ---- */

struct with_worker {
    struct wf_executor *fibers, *on;
    local_worker_future worker;
};

static struct wf_executor *create_executor(const struct wf_celery_options *more)
{
    struct wf_celery_options options = more ? *more : (struct wf_celery_options){0};
    struct wf_executor *on = NULL;
    struct wf_error error = {0};
    options.broker = options.backend = server.url;
    if (wf_celery_create(&options, &on, &error))
        fail_msg("%s", error.text);
    return on;
}

static void with_worker_start(struct with_worker *with)
{
    assert_int_equal(wf_fibers_create(NULL, &with->fibers, NULL), 0);
    with->worker = local_worker_submit(with->fibers, server.url);
    with->on = create_executor(NULL);
}

static void with_worker_stop(struct with_worker *with)
{
    wf_none none;
    wf_executor_destroy(with->on);
    wf_future_cancel(with->worker.future);
    assert_int_equal(local_worker_result(&with->worker, &none, soon(), NULL), -ECANCELED);
    wf_executor_destroy(with->fibers);
}

static struct wf_error problem;

static void expect(int err)
{
    if (err)
        fail_msg("%s", problem.text);
}

static void test_every_kind_comes_back(void **state)
{
    struct with_worker with;
    (void)state;
    with_worker_start(&with);
    struct wf_executor *on = with.on;
    assert_string_equal(wf_executor_engine(on), "celery");
    e_add_future add = e_add_submit(on, INT64_MIN, 5);
    e_uint_future uint = e_uint_submit(on, UINT64_MAX);
    e_not_future not = e_not_submit(on, true);
    e_half_future half = e_half_submit(on, 5);
    char local[] = "h\xc3\xa9 \"";
    e_text_future text = e_text_submit(on, local), nothing = e_text_submit(on, NULL);
    memset(local, 'x', sizeof local - 1); /* it was read when the call was submitted */
    e_bytes_future bytes = e_bytes_submit(on, (wf_bytes){"\xff\x00\x01", 3});
    e_bytes_future plain = e_bytes_submit(on, (wf_bytes){"plain", 5});
    e_json_future json = e_json_submit(on, NULL);
    e_swap_future swap = e_swap_submit(on, (struct point){1.5, -2});
    e_none_future none = e_none_submit(on, 1);
    int64_t sum;
    uint64_t u;
    bool b;
    float f;
    char *t;
    wf_bytes y;
    struct wf_json *j;
    struct point p;
    wf_none n;
    expect(e_add_result(&add, &sum, soon(), &problem));
    assert_true(sum == INT64_MIN + 5);
    expect(e_uint_result(&uint, &u, soon(), &problem));
    assert_true(u == UINT64_MAX);
    expect(e_not_result(&not, &b, soon(), &problem));
    assert_false(b);
    expect(e_half_result(&half, &f, soon(), &problem));
    assert_true(f == 2.5f);
    expect(e_text_result(&text, &t, soon(), &problem));
    assert_string_equal(t, "h\xc3\xa9 \"");
    wf_result_free(t);
    expect(e_text_result(&nothing, &t, soon(), &problem));
    assert_null(t);
    expect(e_bytes_result(&bytes, &y, soon(), &problem));
    assert_true(y.len == 3 && memcmp(y.ptr, "\xff\x00\x01", 3) == 0);
    wf_result_free(y.ptr);
    expect(e_bytes_result(&plain, &y, soon(), &problem));
    assert_true(y.len == 5 && memcmp(y.ptr, "plain", 5) == 0);
    wf_result_free(y.ptr);
    expect(e_json_result(&json, &j, soon(), &problem));
    assert_int_equal(wf_json_count(wf_json_get(wf_json_root(j), "a")), 2);
    wf_json_destroy(j);
    expect(e_swap_result(&swap, &p, soon(), &problem));
    assert_true(p.x == -2 && p.y == 1.5);
    expect(e_none_result(&none, &n, soon(), &problem));
    text = e_text_submit(on, "that nobody takes");
    e_text_drop(&text);
    with_worker_stop(&with);
}

static void test_failures_are_errors(void **state)
{
    struct with_worker with;
    struct wf_error error = {0};
    wf_none none;
    int8_t small;
    int number;
    char *text;
    (void)state;
    with_worker_start(&with);
    e_fail_future fail = e_fail_submit(with.on, -EINVAL, "boom");
    assert_int_equal(e_fail_result(&fail, &none, soon(), &error), -EINVAL);
    assert_string_equal(error.text, "ValueError: boom");
    assert_string_equal(error.task, "e_fail");
    e_nowhere_future nowhere = e_nowhere_submit(with.on, 1);
    assert_int_equal(e_nowhere_result(&nowhere, &number, soon(), &error), WF_ETASKFAILED);
    assert_non_null(strstr(error.text, "NotRegistered"));
    e_add8_future add = e_add8_submit(with.on, 100, 28);
    assert_int_equal(e_add8_result(&add, &small, soon(), &error), -ERANGE);
    assert_string_equal(error.text, "the result of task e_add, 128, does not fit into int8_t");
    add = e_add8_submit(with.on, -100, -28);
    assert_int_equal(e_add8_result(&add, &small, soon(), &error), 0);
    assert_int_equal(small, -128);
    e_add_text_future t = e_add_text_submit(with.on, 1, 2);
    assert_int_equal(e_add_text_result(&t, &text, soon(), &error), WF_EPROTOCOL);
    assert_string_equal(error.text, "the result of task e_add is an integer, and not char *");
    with_worker_stop(&with);
}

static void test_what_cannot_be_called_is_refused(void **state)
{
    struct wf_executor *on = create_executor(NULL), *deaf = NULL;
    struct wf_error error = {0};
    const struct wf_celery_apply ignored = {.ignore_result = true}, wrong = {.priority = 11},
                                 headers = {.headers = "1"};
    int number;
    int64_t sum;
    char *text;
    (void)state;
    e_opaque_future opaque = {
        wf_submit(on, &(const struct wf_task_type){.name = "e_opaque", WF_TASK_SHAPE_(e_opaque)},
                  NULL, &(struct e_opaque_args){.x = {1}})};
    assert_int_equal(e_opaque_result(&opaque, &number, soon(), &error), WF_ENOTWIRE);
    assert_string_equal(error.text, "task e_opaque: parameter x (struct other) cannot leave this "
                                    "process: its type has no WF_WIRE");
    e_text_future t = e_text_submit(on, "\xff");
    assert_int_equal(e_text_result(&t, &text, soon(), &error), -EINVAL);
    e_add_future add = e_add_submit_with(on, &(struct wf_submit_options){.celery = &wrong}, 1, 2);
    assert_int_equal(e_add_result(&add, &sum, soon(), &error), -ERANGE);
    add = e_add_submit_with(on, &(struct wf_submit_options){.celery = &headers}, 1, 2);
    assert_int_equal(e_add_result(&add, &sum, soon(), &error), -EINVAL);
    add = e_add_submit_with(on, &(struct wf_submit_options){.celery = &ignored}, 1, 2);
    assert_int_equal(e_add_result(&add, &sum, soon(), &error), -EINVAL);
    struct wf_celery_options options = {.broker = server.url};
    assert_int_equal(wf_celery_create(&options, &deaf, &error), 0);
    add = e_add_submit(deaf, 1, 2);
    assert_int_equal(e_add_result(&add, &sum, soon(), &error), -EINVAL);
    wf_executor_destroy(deaf);
    options = (struct wf_celery_options){.broker = "nonsense"};
    assert_int_equal(wf_celery_create(&options, &deaf, &error), -EINVAL);
    options = (struct wf_celery_options){.broker = server.url, .workers = -1};
    assert_int_equal(wf_celery_create(&options, &deaf, &error), -EINVAL);
    assert_non_null(wf_celery_client_of(on));
    wf_executor_destroy(on);
}

static void test_maps_scopes_and_walks(void **state)
{
    enum { COUNT = 300 };
    static struct e_add_args items[COUNT];
    static int64_t sums[COUNT];
    static struct wf_future *futures[COUNT];
    struct with_worker with;
    struct wf_error error = {0};
    struct wf_as_completed *walk;
    struct wf_scope storage;
    struct wf_future *done;
    bool seen[COUNT] = {0};
    size_t index;
    int64_t sum;
    int err;
    (void)state;
    with_worker_start(&with);
    for (int i = 0; i < COUNT; i++)
        items[i] = (struct e_add_args){.x = i, .y = i};
    if (e_add_each(with.on, &(struct wf_map_options){.look_ahead = 50}, items, COUNT, sums, soon(),
                   &error))
        fail_msg("%s", error.text);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(sums[i], 2 * i);
    for (int i = 0; i < COUNT; i++)
        futures[i] = e_add_submit(with.on, i, 1).future;
    assert_int_equal(wf_as_completed_open(futures, COUNT, &walk, NULL), 0);
    while ((err = wf_as_completed_next(walk, &done, &index, soon(), &error)) == 1) {
        assert_int_equal(wf_future_result(&futures[index], &sum, WF_NOW, &error), 0);
        assert_int_equal(sum, index + 1);
        assert_false(seen[index]);
        seen[index] = true;
    }
    assert_int_equal(err, 0);
    wf_as_completed_close(walk);
    /* The first failure ends the scope, and who waits far off. */
    const struct wf_celery_apply later = {.countdown_ns = WF_SECONDS(100)};
    struct wf_scope *scope = wf_scope_open(&storage, with.on, soon());
    e_add_spawn_with(scope, &(struct wf_submit_options){.celery = &later}, 1, 1);
    e_add_future good = e_add_spawn(scope, 1, 1);
    assert_int_equal(wf_future_wait(good.future, soon()), 0);
    e_fail_go(scope, -ERANGE, "over");
    assert_int_equal(wf_scope_close(scope, &error), -ERANGE);
    assert_string_equal(error.text, "OverflowError: over");
    with_worker_stop(&with);
}

/* ---- the test is the worker ---- */

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

/* What workers before have given back goes. */
static struct wfi_redis *connect_and_clear(void)
{
    struct wfi_redis *redis = connect_to_server();
    struct wfi_redis_batch batch = {0};
    wfi_redis_add(&batch, "FLUSHALL");
    assert_int_equal(wfi_redis_call(redis, &batch, NULL, soon(), NULL), 0);
    wfi_redis_batch_fini(&batch);
    return redis;
}

/* Takes the next message; waits for it. */
static void take(struct wfi_redis *redis, const char *queue, struct wfi_message_in *ret)
{
    struct wfi_redis_batch batch = {0};
    struct wfi_redis_answer answer = {0};
    struct wf_error error = {0};
    wfi_redis_add(&batch, "BRPOP %s 60", queue);
    if (wfi_redis_call(redis, &batch, &answer, soon(), &error))
        fail_msg("%s", error.text);
    const redisReply *reply = answer.replies[0];
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    assert_int_equal(
        wfi_message_read_redis(reply->element[1]->str, reply->element[1]->len, ret, NULL),
        WFI_MESSAGE_RUN);
    wfi_redis_answer_fini(&answer);
}

static int store(struct wfi_redis *redis, const char *id, const char *result)
{
    struct wfi_redis_batch batch = {0};
    char meta[256];
    snprintf(meta, sizeof meta, "{\"status\": \"SUCCESS\", \"result\": %s, \"task_id\": \"%s\"}",
             result, id);
    wfi_redis_add(&batch, "SET " WFI_RESULT_KEY "%s %s", id, meta);
    wfi_redis_add(&batch, "PUBLISH " WFI_RESULT_KEY "%s %s", id, meta);
    int err = wfi_redis_call(redis, &batch, NULL, soon(), NULL);
    wfi_redis_batch_fini(&batch);
    return err;
}

static void test_what_belongs_to_a_call_goes_with_it(void **state)
{
    struct wf_executor *on = create_executor(NULL);
    struct wfi_redis *redis = connect_and_clear();
    struct wfi_message_in in = {0};
    const struct wf_celery_apply apply = {.id = "my id", .queue = "special", .retries = 3},
                                 ignored = {.queue = "special", .ignore_result = true};
    struct wf_scope storage;
    int64_t sum;
    wf_none none;
    (void)state;
    e_add_future f =
        e_add_submit_with(on, &(struct wf_submit_options){.celery = &apply, .name = "shown"}, 1, 2);
    take(redis, "special", &in);
    assert_string_equal(in.message.id, "my id");
    assert_string_equal(in.message.shadow, "shown");
    assert_string_equal(in.message.argsrepr, "(1, 2)");
    assert_int_equal(in.message.retries, 3);
    assert_null(in.message.expires);
    assert_int_equal(store(redis, "my id", "7"), 0);
    assert_int_equal(e_add_result(&f, &sum, soon(), NULL), 0);
    assert_int_equal(sum, 7);
    wfi_message_in_reset(&in);
    /* Nothing comes of this one, so it is done when it is sent. */
    e_none_future n = e_none_submit_with(on, &(struct wf_submit_options){.celery = &ignored}, 1);
    assert_int_equal(e_none_result(&n, &none, soon(), NULL), 0);
    take(redis, "special", &in);
    assert_true(in.message.ignore_result);
    wfi_message_in_reset(&in);
    /* Priorities below the usual one; what a scope starts expires with it. */
    struct wf_scope *scope = wf_scope_open(&storage, on, wf_after(WF_SECONDS(1000)));
    f = e_add_spawn_with(scope, &(struct wf_submit_options){.priority = -2}, 1, 2);
    take(redis,
         "celery\x06\x16"
         "6",
         &in);
    assert_non_null(in.message.expires);
    assert_int_equal(in.message.properties.priority, 6);
    assert_int_equal(store(redis, in.message.id, "1"), 0);
    assert_int_equal(wf_scope_close(scope, NULL), 0);
    wfi_message_in_reset(&in);
    wfi_redis_close(redis);
    wf_executor_destroy(on);
}

static void test_cancelling_revokes(void **state)
{
    struct wf_executor *on =
        create_executor(&(struct wf_celery_options){.cancel_wait_ns = WF_MILLISECONDS(20)});
    struct wf_executor *patient =
        create_executor(&(struct wf_celery_options){.cancel_wait_ns = WF_SECONDS(1000)});
    struct wfi_redis *redis = connect_and_clear(), *listener = connect_to_server();
    struct wfi_redis_batch batch = {0};
    struct wfi_message_in in = {0};
    redisReply *reply;
    int64_t sum;
    (void)state;
    wfi_redis_add(&batch, "SUBSCRIBE /0.celery.pidbox");
    assert_int_equal(wfi_redis_send(listener, &batch, NULL), 0);
    assert_int_equal(wfi_redis_receive(listener, &reply, soon(), NULL), 0);
    freeReplyObject(reply);
    /* Nobody tells of it: it is given up. */
    e_add_future f = e_add_submit(on, 1, 2);
    take(redis, "celery", &in);
    wfi_message_in_reset(&in);
    assert_int_equal(wf_future_cancel(f.future), WF_CANCEL_ASKED);
    assert_int_equal(wfi_redis_receive(listener, &reply, soon(), NULL), 0);
    freeReplyObject(reply);
    assert_int_equal(e_add_result(&f, &sum, soon(), NULL), -ECANCELED);
    /* Its value comes all the same: it is done with it. */
    f = e_add_submit(patient, 1, 2);
    take(redis, "celery", &in);
    for (int i = 0; i < 2; i++)
        assert_int_equal(wf_future_cancel(f.future), WF_CANCEL_ASKED);
    assert_int_equal(wfi_redis_receive(listener, &reply, soon(), NULL), 0);
    freeReplyObject(reply);
    assert_int_equal(store(redis, in.message.id, "5"), 0);
    assert_int_equal(e_add_result(&f, &sum, soon(), NULL), 0);
    assert_int_equal(sum, 5);
    wfi_message_in_reset(&in);
    wfi_redis_close(listener);
    wfi_redis_close(redis);
    wf_executor_destroy(patient);
    wf_executor_destroy(on);
}

static void test_a_call_that_is_cancelled_before_it_starts(void **state)
{
    struct wf_executor *on = create_executor(&(struct wf_celery_options){.cancel_wait_ns = 1});
    struct wfi_redis *redis = connect_and_clear();
    struct wfi_redis_batch batch = {0};
    struct wfi_redis_answer answer = {0};
    struct wf_scope storage;
    wf_none none;
    (void)state;
    late.scope = wf_scope_open(&storage, on, WF_FOREVER);
    late.ended = false;
    e_late_future f = e_late_spawn(late.scope, 1);
    assert_false(late.ended);
    late.scope = NULL;
    WF_SHIELD(WF_FOREVER) {
        assert_int_equal(e_late_result(&f, &none, soon(), NULL), -ECANCELED);
    }
    assert_int_equal(wf_scope_close(&storage, NULL), -ECANCELED);
    wf_executor_destroy(on);
    wfi_redis_add(&batch, "EXISTS celery");
    assert_int_equal(wfi_redis_call(redis, &batch, &answer, soon(), NULL), 0);
    assert_int_equal(answer.replies[0]->integer, 0); /* it was not sent */
    wfi_redis_answer_fini(&answer);
    wfi_redis_close(redis);
}

/* A worker listens a moment after it has come. */
static void wait_until_heard(void)
{
    const struct wf_celery_client_options to = {.broker = server.url};
    const struct wf_celery_control ping = {
        .method = "ping", .replies_max = 1, .wait_ns = WF_MILLISECONDS(100)};
    const wf_deadline limit = soon();
    struct wf_celery_client *client;
    struct wf_json *replies;
    size_t count;
    expect(wf_celery_client_create(&to, &client, &problem));
    do {
        expect(wf_celery_client_control(client, &ping, &replies, limit, &problem));
        count = wf_json_count(wf_json_root(replies));
        wf_json_destroy(replies);
    } while (count == 0);
    wf_celery_client_destroy(client);
}

/* Who cancels need not wait until sending it is given up. */
static void test_cancelling_does_not_wait_for_a_broker_that_hangs(void **state)
{
    struct wf_listener *listener = NULL;
    struct wf_stream *stream = NULL;
    struct wf_executor *on = NULL;
    struct wf_error error = {0};
    char path[128], broker[160];
    int64_t sum;
    (void)state;
    snprintf(path, sizeof path, "%s/hangs", server.folder);
    snprintf(broker, sizeof broker, "redis+socket://%s", path);
    snprintf(path, sizeof path, "unix:%s/hangs", server.folder);
    assert_int_equal(wf_listener_open(path, NULL, &listener, &error), 0);
    const struct wf_celery_options options = {
        .broker = broker, .backend = server.url, .send_ns = WF_SECONDS(1000), .cancel_wait_ns = 1};
    assert_int_equal(wf_celery_create(&options, &on, &error), 0);
    e_add_future f = e_add_submit(on, 1, 2);
    assert_int_equal(wf_listener_accept(listener, &stream, soon()), 0);
    assert_int_equal(wf_future_cancel(f.future), WF_CANCEL_ASKED);
    assert_int_equal(e_add_result(&f, &sum, soon(), &error), -ECANCELED);
    wf_stream_close(stream);
    wf_listener_close(listener);
    wf_executor_destroy(on);
}

/* The worker tells that it was revoked, before it begins; nobody has to be impatient. */
static void test_a_worker_hears_of_it(void **state)
{
    struct with_worker with;
    struct wf_executor *patient =
        create_executor(&(struct wf_celery_options){.cancel_wait_ns = WF_SECONDS(1000)});
    const struct wf_celery_apply later = {.countdown_ns = WF_SECONDS(1000)};
    int64_t sum;
    (void)state;
    with_worker_start(&with);
    wait_until_heard();
    e_add_future f =
        e_add_submit_with(patient, &(struct wf_submit_options){.celery = &later}, 1, 2);
    wf_future_cancel(f.future);
    assert_int_equal(e_add_result(&f, &sum, soon(), NULL), -ECANCELED);
    wf_executor_destroy(patient);
    with_worker_stop(&with);
}

static void test_a_broker_that_comes_back_is_used(void **state)
{
    struct wf_executor *on = create_executor(NULL);
    struct wfi_redis *redis = connect_to_server();
    struct wfi_message_in in = {0};
    const struct wf_celery_apply apply = {.id = "first"};
    int64_t sum;
    (void)state;
    e_add_future f = e_add_submit_with(on, &(struct wf_submit_options){.celery = &apply}, 1, 2);
    assert_int_equal(store(redis, "first", "3"), 0);
    expect(e_add_result(&f, &sum, soon(), &problem));
    wfi_redis_close(redis);
    redis_server_kill(&server);
    f = e_add_submit(on, 2, 2); /* it is tried again, and then again */
    assert_true(redis_server_start(&server, NULL));
    redis = connect_to_server();
    take(redis, "celery", &in);
    assert_int_equal(store(redis, in.message.id, "4"), 0);
    expect(e_add_result(&f, &sum, soon(), &problem));
    assert_int_equal(sum, 4);
    wfi_message_in_reset(&in);
    wfi_redis_close(redis);
    wf_executor_destroy(on);
}

/* ---- under wf_main ---- */

struct left {
    struct wf_executor *on;
    struct wf_celery_client *client;
};

static int leave(void *arg)
{
    struct left *left = arg;
    const struct wf_celery_client_options options = {.broker = server.url, .backend = server.url};
    const struct wf_celery_apply ignored = {.queue = "left", .ignore_result = true};
    struct wf_celery_result *result;
    wf_none none;
    left->on = create_executor(NULL);
    e_none_future f =
        e_none_submit_with(left->on, &(struct wf_submit_options){.celery = &ignored}, 1);
    int err = e_none_result(&f, &none, soon(), NULL);
    if (!err)
        err = wf_celery_client_create(&options, &left->client, NULL);
    if (!err)
        err = wf_celery_client_wait(left->client, "never", &result, WF_NOW, NULL);
    return err == -ETIMEDOUT ? 7 : 1;
}

static void test_what_is_not_destroyed_does_not_keep_a_program(void **state)
{
    struct left left = {NULL, NULL};
    struct wf_error error = {0};
    (void)state;
    assert_int_equal(wf_main(&(struct wf_main_options){.no_processes = true}, leave, &left, &error),
                     7);
    wf_celery_client_destroy(left.client);
    wf_executor_destroy(left.on);
}

/* ---- no memory ---- */

static int whole_call(void *arg)
{
    struct wfi_redis *redis = arg;
    const struct wf_celery_options options = {.broker = server.url, .backend = server.url};
    const struct wf_celery_apply apply = {.id = "memory"};
    struct wf_executor *on = NULL;
    int64_t sum = 0;
    int err = wf_celery_create(&options, &on, NULL);
    if (err)
        return err;
    e_add_future f = e_add_submit_with(on, &(struct wf_submit_options){.celery = &apply}, 1, 2);
    if (store(redis, "memory", "3")) /* the one that failed was the test's own */
        err = store(redis, "memory", "3");
    if (!err)
        err = e_add_result(&f, &sum, soon(), NULL);
    else
        e_add_drop(&f);
    if (!err && sum != 3)
        err = -EBADMSG;
    wf_executor_destroy(on);
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
        cmocka_unit_test(test_every_kind_comes_back),
        cmocka_unit_test(test_failures_are_errors),
        cmocka_unit_test(test_what_cannot_be_called_is_refused),
        cmocka_unit_test(test_maps_scopes_and_walks),
        cmocka_unit_test(test_what_belongs_to_a_call_goes_with_it),
        cmocka_unit_test(test_cancelling_revokes),
        cmocka_unit_test(test_a_call_that_is_cancelled_before_it_starts),
        cmocka_unit_test(test_cancelling_does_not_wait_for_a_broker_that_hangs),
        cmocka_unit_test(test_a_worker_hears_of_it),
        cmocka_unit_test(test_a_broker_that_comes_back_is_used),
        cmocka_unit_test(test_what_is_not_destroyed_does_not_keep_a_program),
        cmocka_unit_test(test_memory_that_runs_out_is_told_or_survived),
    };
    return redis_group_run(&server, tests, sizeof tests / sizeof *tests, NULL, NULL);
}
