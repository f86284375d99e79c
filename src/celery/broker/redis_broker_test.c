/* SPDX-License-Identifier: MIT */
/*
 * The broker against a real Redis. A second connection plays the Python side: it pushes envelopes
 * as kombu does, and looks at what lies in unacked.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include <weft/event.h>
#include <weft/fibers.h>
#include <weft/listener.h>
#include <weft/scope.h>
#include <weft/task.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "celery/broker/redis_broker.h"
#include "celery/broker/redis_keys.h"
#include "redis_group.h"

static struct redis_server server;
static struct wf_executor *fibers;
static struct wfi_redis *other; /* the Python side */

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

WF_TASK(wf_none, run_broker, (struct wfi_redis_broker *, broker))

int run_broker(struct wf_task *self, struct wfi_redis_broker *broker, wf_none *ret)
{
    struct wf_error error = {0};
    (void)ret;
    int err = wfi_redis_broker_run(broker, &error);
    return err == -ECANCELED ? err : wf_task_fail_with(self, &error);
}
WF_TASK_DEFINE(run_broker)

WF_TASK(int, take_some, (struct wfi_redis_broker *, broker), (int, max), (struct wfi_list *, list))

int take_some(struct wf_task *self, struct wfi_redis_broker *broker, int max, struct wfi_list *list,
              int *ret)
{
    (void)self;
    *ret = wfi_redis_broker_take(broker, max, list, soon());
    return 0;
}
WF_TASK_DEFINE(take_some)

WF_TASK(int, hand_back, (struct wfi_redis_broker *, broker), (struct wfi_redis_message *, message),
        (bool, front))

int hand_back(struct wf_task *self, struct wfi_redis_broker *broker,
              struct wfi_redis_message *message, bool front, int *ret)
{
    (void)self;
    *ret = wfi_redis_broker_give_back(broker, message, front, soon());
    return 0;
}
WF_TASK_DEFINE(hand_back)

/* ---- the Python side ---- */

static struct wfi_redis *connect_other(void)
{
    struct wfi_celery_url url;
    struct wfi_redis *redis = NULL;
    struct wf_error error = {0};
    assert_int_equal(wfi_celery_url_parse(server.url, &url, NULL), 0);
    if (wfi_redis_open(&url, NULL, &redis, soon(), &error))
        fail_msg("%s", error.text);
    return redis;
}

static void ask(struct wfi_redis_batch *batch, struct wfi_redis_answer *answer)
{
    struct wf_error error = {0};
    if (wfi_redis_call(other, batch, answer, soon(), &error))
        fail_msg("%s", error.text);
}

static long long count(const char *format, const char *key)
{
    struct wfi_redis_batch batch = {0};
    struct wfi_redis_answer answer;
    wfi_redis_add(&batch, format, key);
    ask(&batch, &answer);
    long long value = answer.replies[0]->integer;
    wfi_redis_answer_fini(&answer);
    return value;
}

/* A number that the server tells of itself. */
static long long info(const char *section, const char *name)
{
    struct wfi_redis_batch batch = {0};
    struct wfi_redis_answer answer;
    char line[80];
    wfi_redis_add(&batch, "INFO %s", section);
    ask(&batch, &answer);
    snprintf(line, sizeof line, "\n%s", name);
    const char *at = strstr(answer.replies[0]->str, line);
    assert_non_null(at);
    long long value = atoll(at + strlen(line) + 1);
    wfi_redis_answer_fini(&answer);
    return value;
}

static void envelope(char *out, size_t size, const char *tag, const char *queue, int priority)
{
    snprintf(out, size,
             "{\"body\": \"W10=\", \"headers\": {\"id\": \"%s\"}, \"properties\": "
             "{\"delivery_info\": {\"exchange\": \"\", \"routing_key\": \"%s\"}, \"priority\": %d, "
             "\"delivery_tag\": \"%s\"}}",
             tag, queue, priority, tag);
}

static void push(const char *queue, const char *tag, int priority)
{
    char text[400];
    envelope(text, sizeof text, tag, queue, priority);
    assert_int_equal(
        wfi_redis_publish(other, "", "", queue, priority, text, strlen(text), soon(), NULL), 0);
}

static int wipe(void **state)
{
    struct wfi_redis_batch batch = {0};
    (void)state;
    wfi_redis_add(&batch, "FLUSHALL");
    ask(&batch, NULL);
    return 0;
}

/* ---- a worker ---- */

struct worker {
    struct wfi_redis_broker *broker;
    run_broker_future run;
    struct wfi_list messages;
};

static void set_up_at(const char *url_text, struct worker *worker,
                      const struct wfi_redis_broker_options *given)
{
    struct wfi_redis_broker_options options = given ? *given : (struct wfi_redis_broker_options){0};
    struct wfi_celery_url url;
    assert_int_equal(wfi_celery_url_parse(url_text, &url, NULL), 0);
    options.url = &url;
    *worker = (struct worker){0};
    assert_int_equal(wfi_redis_broker_create(&options, &worker->broker, NULL), 0);
    assert_int_equal(wfi_redis_broker_add_queue(worker->broker, "celery"), 0);
    worker->run = run_broker_submit(fibers, worker->broker);
}

static void set_up(struct worker *worker, const struct wfi_redis_broker_options *given)
{
    set_up_at(server.url, worker, given);
}

static void tear_down(struct worker *worker)
{
    wf_none none;
    wf_future_cancel(worker->run.future);
    assert_int_equal(run_broker_result(&worker->run, &none, soon(), NULL), -ECANCELED);
    wfi_redis_broker_destroy(worker->broker);
}

static int take(struct worker *worker, int max)
{
    int n = -1;
    take_some_future f = take_some_submit(fibers, worker->broker, max, &worker->messages);
    assert_int_equal(take_some_result(&f, &n, soon(), NULL), 0);
    return n;
}

/* The next message that was taken, which is the caller's. */
static struct wfi_redis_message *next(struct worker *worker)
{
    struct wfi_link *link = wfi_list_pop_front(&worker->messages);
    assert_non_null(link);
    return wfi_container_of(link, struct wfi_redis_message, link);
}

static void expect_next(struct worker *worker, const char *queue, const char *tag)
{
    if (wfi_list_empty(&worker->messages))
        assert_int_equal(take(worker, 1), 1);
    struct wfi_redis_message *message = next(worker);
    assert_string_equal(message->tag, tag);
    assert_string_equal(message->queue, queue);
    wfi_redis_broker_acknowledge(worker->broker, message);
}

static void test_a_message_is_kept_until_it_is_acknowledged(void **state)
{
    struct worker worker;
    struct wfi_redis_batch batch = {0};
    struct wfi_redis_answer answer;
    char text[400], entry[500];
    (void)state;
    set_up(&worker, NULL);
    push("celery", "t1", 0);
    assert_int_equal(take(&worker, 5), 1);
    struct wfi_redis_message *message = next(&worker);
    envelope(text, sizeof text, "t1", "celery", 0);
    assert_string_equal(message->text, text);
    assert_int_equal(message->len, strlen(text));
    assert_int_equal(count("LLEN %s", "celery"), 0);
    snprintf(entry, sizeof entry, "[%s, \"\", \"celery\"]", text); /* as kombu keeps it */
    wfi_redis_add(&batch, "HGET unacked t1");
    wfi_redis_add(&batch, "ZSCORE unacked_index t1");
    ask(&batch, &answer);
    assert_string_equal(answer.replies[0]->str, entry);
    assert_true(atof(answer.replies[1]->str) > 1e9);
    wfi_redis_answer_fini(&answer);
    wfi_redis_broker_acknowledge(worker.broker, message);
    tear_down(&worker); /* sends what was acknowledged */
    assert_int_equal(count("HLEN %s", "unacked"), 0);
    assert_int_equal(count("ZCARD %s", "unacked_index"), 0);
}

static void test_priorities_then_age_decide(void **state)
{
    static const char *const order[] = {"first", "second", "third", "fourth"};
    struct worker worker;
    (void)state;
    push("celery", "fourth", 9);
    push("celery", "third", 5);
    push("celery", "first", 0);
    push("celery", "second", 0);
    set_up(&worker, NULL);
    for (int i = 0; i < 4; i++)
        expect_next(&worker, "celery", order[i]);
    tear_down(&worker);
}

static void test_queues_take_turns(void **state)
{
    struct worker worker;
    char tag[20];
    (void)state;
    for (int i = 0; i < 4; i++) {
        snprintf(tag, sizeof tag, "c%d", i);
        push("celery", tag, 0);
        snprintf(tag, sizeof tag, "o%d", i);
        push("other", tag, 0);
    }
    set_up(&worker, NULL);
    assert_int_equal(wfi_redis_broker_add_queue(worker.broker, "other"), 0);
    assert_int_equal(wfi_redis_broker_add_queue(worker.broker, "other"), -EEXIST);
    int others = 0;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(take(&worker, 1), 1);
        struct wfi_redis_message *message = next(&worker);
        others += strcmp(message->queue, "other") == 0;
        wfi_redis_broker_acknowledge(worker.broker, message);
    }
    assert_int_equal(others, 2);
    assert_int_equal(wfi_redis_broker_remove_queue(worker.broker, "other"), 0);
    assert_int_equal(wfi_redis_broker_remove_queue(worker.broker, "other"), -ENOENT);
    assert_int_equal(take(&worker, 10), 2);
    expect_next(&worker, "celery", "c2");
    expect_next(&worker, "celery", "c3");
    tear_down(&worker);
}

/* Whichever list it comes into, and again when the queue is new. */
static void test_who_waits_is_woken(void **state)
{
    struct worker worker;
    (void)state;
    set_up(&worker, NULL);
    for (int i = 0; i < 20; i++) {
        int n = -1;
        char tag[20];
        if (i == 10)
            assert_int_equal(wfi_redis_broker_add_queue(worker.broker, "late"), 0);
        take_some_future f = take_some_submit(fibers, worker.broker, 5, &worker.messages);
        snprintf(tag, sizeof tag, "t%d", i);
        push(i < 10 ? "celery" : "late", tag, i % 10);
        assert_int_equal(take_some_result(&f, &n, soon(), NULL), 0);
        assert_int_equal(n, 1);
        expect_next(&worker, i < 10 ? "celery" : "late", tag);
    }
    tear_down(&worker);
}

/* What the server's JSON reader refuses, or what is no envelope at all, has no tag of its own. */
static const char *const odd[] = {
    "",
    "no json",
    "[]",
    "{\"properties\": 5}",
    "{\"properties\": {\"delivery_tag\": 5}}",
    "{\"headers\": {\"name\": \"\\udc80\"}, \"properties\": {\"delivery_tag\": \"t\", "
    "\"priority\": "
    "3}}",
};
enum { ODD = sizeof odd / sizeof *odd };

static void push_odd(void)
{
    struct wfi_redis_batch batch = {0};
    for (size_t i = 0; i < ODD; i++)
        wfi_redis_add(&batch, "LPUSH celery %b", odd[i], strlen(odd[i]));
    ask(&batch, NULL);
}

static void test_what_has_no_tag_is_kept_under_one_of_ours(void **state)
{
    struct worker worker;
    (void)state;
    push_odd();
    set_up(&worker, NULL);
    assert_int_equal(take(&worker, 10), ODD);
    assert_int_equal(count("HLEN %s", "unacked"), ODD);
    assert_int_equal(count("ZCARD %s", "unacked_index"), ODD);
    for (size_t i = 0; i < ODD; i++) {
        struct wfi_redis_message *message = next(&worker);
        struct wfi_redis_batch batch = {0};
        struct wfi_redis_answer answer;
        char entry[200];
        assert_string_equal(message->text, odd[i]);
        snprintf(entry, sizeof entry, "[%s, \"\", \"celery\"]", odd[i]);
        wfi_redis_add(&batch, "HGET unacked %s", message->tag);
        ask(&batch, &answer);
        assert_string_equal(answer.replies[0]->str, entry);
        wfi_redis_answer_fini(&answer);
        wfi_redis_broker_acknowledge(worker.broker, message);
    }
    tear_down(&worker);
    assert_int_equal(count("HLEN %s", "unacked"), 0);
    assert_int_equal(count("ZCARD %s", "unacked_index"), 0);
}

/* A client that gives every message the same tag, or sends one twice. */
static void test_messages_of_one_tag_are_kept_both(void **state)
{
    struct worker worker;
    (void)state;
    push("celery", "same", 0);
    push("celery", "same", 0);
    set_up(&worker, NULL);
    assert_int_equal(take(&worker, 5), 2);
    assert_int_equal(count("HLEN %s", "unacked"), 2);
    wfi_redis_broker_acknowledge(worker.broker, next(&worker));
    struct wfi_redis_message *second = next(&worker);
    assert_string_not_equal(second->tag, "same");
    tear_down(&worker); /* it dies with the second */
    assert_int_equal(count("HLEN %s", "unacked"), 1);
    assert_int_equal(count("ZCARD %s", "unacked_index"), 1);
}

/* More than an answer may hold comes in several. */
static void test_large_messages_come_a_few_at_a_time(void **state)
{
    const size_t len = (size_t)9 << 20;
    struct wfi_redis_batch batch = {0};
    struct worker worker;
    char *text = wfi_alloc(len);
    (void)state;
    memset(text, 'x', len);
    for (int i = 0; i < 3; i++)
        wfi_redis_add(&batch, "LPUSH celery %b", text, len);
    ask(&batch, NULL);
    wfi_free(text);
    set_up(&worker, NULL);
    assert_int_equal(take(&worker, 5), 2);
    assert_int_equal(take(&worker, 5), 1);
    for (int i = 0; i < 3; i++)
        wfi_redis_broker_acknowledge(worker.broker, next(&worker));
    tear_down(&worker);
}

static void test_a_message_goes_back_to_either_end(void **state)
{
    struct worker worker;
    int err = -1;
    (void)state;
    push("celery", "a", 0);
    push("celery", "b", 0);
    push("celery", "c", 0);
    set_up(&worker, NULL);
    assert_int_equal(take(&worker, 2), 2);
    struct wfi_redis_message *a = next(&worker), *b = next(&worker);
    hand_back_future f = hand_back_submit(fibers, worker.broker, a, false);
    assert_int_equal(hand_back_result(&f, &err, soon(), NULL), 0);
    assert_int_equal(err, 0);
    f = hand_back_submit(fibers, worker.broker, b, true);
    assert_int_equal(hand_back_result(&f, &err, soon(), NULL), 0);
    assert_int_equal(err, 0);
    assert_int_equal(count("HLEN %s", "unacked"), 0);
    assert_int_equal(take(&worker, 3), 3);
    b = next(&worker);
    assert_string_equal(b->tag, "b");
    assert_non_null(strstr(b->text, "\"headers\": {\"id\": \"b\", \"redelivered\": true}"));
    wfi_redis_broker_acknowledge(worker.broker, b);
    expect_next(&worker, "celery", "c");
    expect_next(&worker, "celery", "a");
    tear_down(&worker);
}

/* Returns false when what a worker that lives holds came to another: it was not renewed in time. */
static bool only_the_dead_lose(int64_t visibility_ns)
{
    const struct wfi_redis_broker_options options = {.visibility_ns = visibility_ns,
                                                     .restore_ns = WF_MILLISECONDS(20)};
    struct worker dies, lives, later;
    struct wfi_redis_batch batch = {0};
    char three[32];
    wf_none none;
    int n = -1;
    set_up(&lives, &options);
    push("celery", "held", 0);
    assert_int_equal(take(&lives, 1), 1);
    struct wfi_redis_message *held = next(&lives);
    assert_string_equal(held->tag, "held");

    set_up(&dies, &options);
    push("celery", "lost", 0);
    assert_int_equal(take(&dies, 1), 1);
    wf_future_cancel(dies.run.future); /* renews nothing any more, and has acknowledged nothing */
    assert_int_equal(run_broker_result(&dies.run, &none, soon(), NULL), -ECANCELED);

    set_up(&later, &options);
    assert_int_equal(take(&later, 1), 1);
    struct wfi_redis_message *message = next(&later);
    bool kept = strcmp(message->tag, "held") != 0;
    if (kept) {
        assert_string_equal(message->tag, "lost");
        assert_non_null(strstr(message->text, "\"redelivered\": true"));
        wfi_redis_broker_acknowledge(later.broker, message);
        /* Three timeouts pass, by the server's clock; nothing comes. */
        take_some_future f = take_some_submit(fibers, later.broker, 1, &later.messages);
        snprintf(three, sizeof three, "%g", 3e-9 * (double)visibility_ns);
        wfi_redis_add(&batch, "BLPOP nothing %s", three);
        ask(&batch, NULL);
        push("celery", "next", 0);
        assert_int_equal(take_some_result(&f, &n, soon(), NULL), 0);
        message = next(&later);
        kept = strcmp(message->tag, "held") != 0;
        if (kept)
            assert_string_equal(message->tag, "next");
    }
    wfi_redis_broker_acknowledge(later.broker, message);
    wfi_redis_broker_acknowledge(lives.broker, held);
    tear_down(&lives);
    tear_down(&later);
    if (kept)
        assert_int_equal(count("HLEN %s", "unacked"), 0);
    wfi_redis_broker_destroy(dies.broker);
    return kept;
}

/* A worker that goes without a word: its message comes back, after the timeout, and only then;
 * while one that lives keeps its message for longer than the timeout. A machine that is busy for
 * so long has a longer one. */
static void test_messages_of_the_dead_come_back(void **state)
{
    int64_t visibility_ns = WF_MILLISECONDS(300);
    while (!only_the_dead_lose(visibility_ns)) {
        visibility_ns *= 4;
        assert_true(visibility_ns < WF_SECONDS(20));
        wipe(state);
    }
}

/* ---- a worker that is killed ---- */

/* As a process of its own: takes what there is, says how much, and waits for its end. */
static int be_killed(const char *url_text)
{
    snprintf(server.url, sizeof server.url, "%s", url_text);
    struct worker worker;
    if (wf_fibers_create(NULL, &fibers, NULL))
        return 1;
    set_up(&worker, NULL);
    printf("took %d.\n", take(&worker, 10));
    fflush(stdout);
    wf_sleep(WF_FOREVER);
    return 0;
}

static void test_what_a_killed_worker_held_comes_back(void **state)
{
    const struct wfi_redis_broker_options options = {.visibility_ns = WF_MILLISECONDS(200),
                                                     .restore_ns = WF_MILLISECONDS(20)};
    /* What can be read is marked, the rest as it was. */
    const char *came[ODD + 1] = {
        odd[0],
        odd[1],
        odd[2],
        odd[3],
        "{\"headers\": {\"redelivered\": true}, \"properties\": {\"delivery_tag\": 5, "
        "\"delivery_info\": {\"redelivered\": true}}}",
        "{\"headers\": {\"name\": \"\\udc80\", \"redelivered\": true}, \"properties\": "
        "{\"delivery_tag\": \"t\", \"priority\": 3, \"delivery_info\": {\"redelivered\": "
        "true}}}",
        "{\"body\": \"W10=\", \"headers\": {\"id\": \"tagged\", \"redelivered\": true}, "
        "\"properties\": {\"priority\": 0, \"delivery_tag\": \"tagged\", \"delivery_info\": "
        "{\"exchange\": \"\", \"routing_key\": \"celery\", \"redelivered\": true}}}"};
    const char *const argv[] = {"/proc/self/exe", "be killed", server.url, NULL};
    const struct wf_child_options child_options = {.argv = argv, .out = {.kind = WF_STDIO_PIPE}};
    struct wf_child *child;
    struct worker worker;
    char text[2000] = "";
    size_t len = 0;
    (void)state;
    push_odd();
    push("celery", "tagged", 0);
    assert_int_equal(wf_child_spawn(&child_options, &child, NULL), 0);
    while (!strstr(text, "took 7.")) {
        ssize_t n = wf_stream_read(wf_child_out(child), text + len, sizeof text - len - 1, soon());
        assert_true(n > 0);
        len += (size_t)n;
        text[len] = '\0';
    }
    assert_int_equal(count("LLEN %s", "celery"), 0);
    wf_child_close(child); /* SIGKILL */
    set_up(&worker, &options);
    for (size_t left = ODD + 1; left > 0; left--) {
        if (wfi_list_empty(&worker.messages))
            assert_true(take(&worker, 10) > 0);
        struct wfi_redis_message *message = next(&worker);
        size_t i = 0;
        while (i <= ODD && (!came[i] || strcmp(message->text, came[i]) != 0))
            i++;
        if (i > ODD)
            fail_msg("%s", message->text);
        came[i] = NULL; /* once */
        wfi_redis_broker_acknowledge(worker.broker, message);
    }
    tear_down(&worker);
    assert_int_equal(count("HLEN %s", "unacked"), 0);
}

/* ---- what is put back ---- */

static void test_an_entry_nobody_can_read_is_left_and_in_nobodys_way(void **state)
{
    const struct wfi_redis_broker_options options = {.restore_ns = WF_MILLISECONDS(20)};
    struct wfi_redis_batch batch = {0};
    struct worker worker;
    char text[400];
    (void)state;
    envelope(text, sizeof text, "good", "celery", 3);
    wfi_redis_add(&batch, "HSET unacked bad %s", "not json");
    wfi_redis_add(&batch, "ZADD unacked_index 5 bad");
    wfi_redis_add(&batch, "ZADD unacked_index 6 nothing");
    ask(&batch, NULL);
    struct wfi_buffer entry = {0};
    assert_int_equal(wfi_buffer_printf(&entry, "[%s, \"\", \"celery\"]", text), 0);
    wfi_redis_add(&batch, "HSET unacked good %b", entry.data, entry.len);
    wfi_redis_add(&batch, "ZADD unacked_index 7 good");
    ask(&batch, NULL);
    wfi_buffer_reset(&entry);
    set_up(&worker, &options);
    expect_next(&worker, "celery", "good");
    tear_down(&worker);
    assert_int_equal(count("HLEN %s", "unacked"), 1);
    assert_int_equal(count("ZCARD %s", "unacked_index"), 1);
}

/* Between the look for a message that is gone and the end of its tag another worker may take it. */
static void test_the_tag_of_a_message_that_is_there_again_is_kept(void **state)
{
    struct wfi_redis_batch batch = {0};
    (void)state;
    wfi_redis_add(&batch, "HSET unacked again %s", "[]");
    wfi_redis_add(&batch, "ZADD unacked_index 5 again 6 gone");
    ask(&batch, NULL);
    wfi_redis_add(&batch, "EVAL %s 2 unacked unacked_index again", wfi_redis_script_forget);
    wfi_redis_add(&batch, "EVAL %s 2 unacked unacked_index gone", wfi_redis_script_forget);
    ask(&batch, NULL);
    assert_int_equal(count("HLEN %s", "unacked"), 1);
    assert_int_equal(count("ZCARD %s", "unacked_index"), 1);
    assert_int_equal(count("ZCOUNT %s 5 5", "unacked_index"), 1);
}

/* Between the look at its time and the putting back its worker may renew it, or be done with it. */
static void test_a_message_that_was_renewed_is_not_put_back(void **state)
{
    static const char *const tags[] = {"old", "renewed", "done"};
    struct wfi_redis_batch batch = {0};
    (void)state;
    wfi_redis_add(&batch, "HSET unacked old %s renewed %s", "[]", "[]");
    wfi_redis_add(&batch, "ZADD unacked_index 5 old 9 renewed");
    for (size_t i = 0; i < 3; i++)
        wfi_redis_add(&batch, "EVAL %s 3 unacked unacked_index celery %s text %s left",
                      wfi_redis_script_put_back, tags[i], "7");
    ask(&batch, NULL);
    assert_int_equal(count("LLEN %s", "celery"), 1);
    assert_int_equal(count("HEXISTS %s renewed", "unacked"), 1);
    assert_int_equal(count("HLEN %s", "unacked"), 1);
    assert_int_equal(count("ZCARD %s", "unacked_index"), 1);
}

static void test_a_restored_message_finds_its_queue_by_its_exchange(void **state)
{
    const struct wfi_redis_broker_options options = {.restore_ns = WF_MILLISECONDS(20)};
    struct wfi_redis_batch batch = {0};
    struct wfi_buffer binding = {0};
    struct worker worker;
    (void)state;
    assert_int_equal(wfi_redis_binding(&binding, "key", "", "celery"), 0);
    wfi_redis_add(&batch, "SADD _kombu.binding.shop %b", binding.data, binding.len);
    wfi_redis_add(&batch, "HSET unacked t %s",
                  "[{\"properties\": {\"delivery_tag\": \"t\"}}, \"shop\", \"key\"]");
    wfi_redis_add(&batch, "ZADD unacked_index 7 t");
    ask(&batch, NULL);
    wfi_buffer_reset(&binding);
    set_up(&worker, &options);
    expect_next(&worker, "celery", "t");
    tear_down(&worker);
}

static void keep(const char *tag, const char *entry)
{
    struct wfi_redis_batch batch = {0};
    wfi_redis_add(&batch, "HSET unacked %s %s", tag, entry);
    wfi_redis_add(&batch, "ZADD unacked_index 7 %s", tag);
    ask(&batch, NULL);
}

static void bind(const char *exchange, const char *key, const char *pattern, const char *queue)
{
    struct wfi_redis_batch batch = {0};
    struct wfi_buffer binding = {0};
    assert_int_equal(wfi_redis_binding(&binding, key, pattern, queue), 0);
    wfi_redis_add(&batch, "SADD _kombu.binding.%s %b", exchange, binding.data, binding.len);
    ask(&batch, NULL);
    wfi_buffer_reset(&binding);
}

/* A worker of Python that had it from a topic has died: all its queues get it, as with kombu. */
static void test_a_message_of_a_topic_goes_back_to_its_queues(void **state)
{
    const struct wfi_redis_broker_options options = {.restore_ns = WF_MILLISECONDS(20)};
    struct worker worker;
    (void)state;
    bind("feeds", "feed.#", "^feed\\..*?$", "celery");
    bind("feeds", "#.import", "^.*?\\.import$", "celery");
    bind("feeds", "*.import", "^.*?[^\\.]\\.import$", "second");
    bind("feeds", "food.#", "^food\\..*?$", "third");
    keep("t", "[{\"properties\": {\"delivery_tag\": \"t\"}}, \"feeds\", \"feed.import\"]");
    set_up(&worker, &options);
    expect_next(&worker, "celery", "t");
    tear_down(&worker);
    assert_int_equal(count("LLEN %s", "celery"), 0); /* once, though it fits twice */
    assert_int_equal(count("LLEN %s", "second"), 1);
    assert_int_equal(count("EXISTS %s", "third"), 0);
    assert_int_equal(count("EXISTS %s", "feed.import"), 0);
    assert_int_equal(count("HLEN %s", "unacked"), 0);
}

/* It stays where it is, nothing else is held up, and the worker lives. */
static void test_what_cannot_go_back_is_kept(void **state)
{
    const struct wfi_redis_broker_options options = {.restore_ns = WF_MILLISECONDS(20)};
    struct wfi_redis_batch batch = {0};
    struct worker worker;
    (void)state;
    wfi_redis_add(&batch, "SET text %s", "no list");
    wfi_redis_add(&batch, "SET _kombu.binding.text %s", "no set");
    ask(&batch, NULL);
    keep("a", "[{\"properties\": {}}, \"\", \"text\"]");
    keep("b", "[{\"properties\": {}}, \"text\", \"celery\"]");
    keep("c", "[{\"properties\": {}}, \"\", \"\"]");
    keep("d", "[{\"properties\": {\"delivery_tag\": \"d\"}}, \"\", \"celery\"]");
    set_up(&worker, &options);
    expect_next(&worker, "celery", "d");
    tear_down(&worker);
    assert_int_equal(count("HLEN %s", "unacked"), 3);
    assert_int_equal(count("ZCARD %s", "unacked_index"), 3);
    assert_int_equal(count("ZCOUNT %s 7 7", "unacked_index"), 0);
    /* Of two queues one that can have it is enough. */
    wfi_redis_add(&batch, "EVAL %s 4 unacked unacked_index text good a x %s left",
                  wfi_redis_script_put_back, "");
    ask(&batch, NULL);
    assert_int_equal(count("LLEN %s", "good"), 1);
    assert_int_equal(count("HEXISTS unacked %s", "a"), 0);
}

/* ---- a server that is not as it should be ---- */

static struct wf_event lost_once = WF_EVENT_INIT;

static void note_loss(void *arg, const struct wf_error *error, int64_t pause_ns)
{
    (void)arg, (void)pause_ns;
    assert_true(error->code < 0);
    wf_event_set(&lost_once);
}

static void expect_end(struct worker *worker, const char *text)
{
    struct wf_error error = {0};
    wf_none none;
    assert_int_equal(run_broker_result(&worker->run, &none, soon(), &error), -EREMOTEIO);
    assert_non_null(strstr(error.text, text));
    wfi_redis_broker_destroy(worker->broker);
}

/* A script that fails does not take back what it has done. */
static void test_where_nothing_can_be_kept_nothing_is_taken(void **state)
{
    static const char *const keys[] = {"unacked", "unacked_index"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct wfi_redis_batch batch = {0};
        struct worker worker;
        wfi_redis_add(&batch, "FLUSHALL");
        wfi_redis_add(&batch, "SET %s x", keys[i]);
        ask(&batch, NULL);
        push("celery", "t", 0);
        set_up(&worker, NULL);
        assert_int_equal(take(&worker, 5), -EPIPE);
        expect_end(&worker, "WRONGTYPE");
        assert_int_equal(count("LLEN %s", "celery"), 1);
    }
}

/* What was moved before it was met is not left behind. */
static void test_a_key_that_is_no_list_comes_last(void **state)
{
    struct wfi_redis_batch batch = {0};
    struct wfi_buffer key = {0};
    struct wfi_redis_answer answer;
    (void)state;
    push("celery", "good", 0);
    assert_int_equal(wfi_redis_queue_key(&key, "", "celery", 3), 0);
    wfi_redis_add(&batch, "SET %b x", key.data, key.len);
    ask(&batch, NULL);
    wfi_buffer_reset(&key);
    wfi_redis_add(&batch,
                  "EVAL %s 4 unacked unacked_index celery celery\x06\x16"
                  "3 7 5 own celery",
                  wfi_redis_script_take);
    ask(&batch, &answer);
    assert_int_equal(answer.replies[0]->elements, 3);
    assert_string_equal(answer.replies[0]->element[0]->str, "good");
    wfi_redis_answer_fini(&answer);
}

static void configure(const char *name, const char *value)
{
    struct wfi_redis_batch batch = {0};
    wfi_redis_add(&batch, "CONFIG SET %s %s", name, value);
    ask(&batch, NULL);
}

/* One that takes nothing new has to be emptied, by workers that were there, and by others. */
static void test_a_full_server_is_emptied(void **state)
{
    const struct wfi_redis_broker_options options = {.visibility_ns = WF_MILLISECONDS(300),
                                                     .restore_ns = WF_MILLISECONDS(20)};
    struct worker worker;
    (void)state;
    push("celery", "a", 0);
    push("celery", "b", 0);
    keep("lost", "[{\"properties\": {\"delivery_tag\": \"lost\"}}, \"\", \"celery\"]");
    configure("maxmemory", "1");
    set_up(&worker, &options);
    assert_int_equal(wfi_redis_broker_bind(worker.broker, "shop", "key", "celery"), 0);
    assert_int_equal(take(&worker, 1), 1);
    struct wfi_redis_message *a = next(&worker);
    while (info("clients", "connected_clients") < 6) /* ours, run's and four that wait */
        wf_sleep(wf_after(WF_MILLISECONDS(2)));
    const long long received = info("stats", "total_connections_received");
    assert_int_equal(take(&worker, 1), 1);
    wfi_redis_broker_acknowledge(worker.broker, next(&worker));
    expect_next(&worker, "celery", "lost");
    /* Renewed all the while, and waited, on the same connections. */
    int n = -1;
    take_some_future f = take_some_submit(fibers, worker.broker, 1, &worker.messages);
    struct wfi_redis_batch batch = {0};
    wfi_redis_add(&batch, "BLPOP nothing 0.5");
    ask(&batch, NULL);
    assert_int_equal(count("HLEN %s", "unacked"), 1);
    assert_int_equal(info("stats", "total_connections_received"), received);
    configure("maxmemory", "0");
    while (!count("EXISTS %s", "_kombu.binding.shop")) /* told as soon as it can be */
        wf_sleep(wf_after(WF_MILLISECONDS(5)));
    wfi_redis_broker_acknowledge(worker.broker, a);
    push("celery", "end", 0);
    assert_int_equal(take_some_result(&f, &n, soon(), NULL), 0);
    expect_next(&worker, "celery", "end");
    tear_down(&worker);
    assert_int_equal(count("HLEN %s", "unacked"), 0);
}

/* One that becomes a replica, and is master again. */
static void test_a_server_that_is_a_replica_for_a_time(void **state)
{
    struct wfi_redis_batch batch = {0};
    struct worker worker;
    int n = -1;
    (void)state;
    const struct wfi_redis_broker_options options = {.lost = note_loss};
    set_up(&worker, &options);
    take_some_future f = take_some_submit(fibers, worker.broker, 1, &worker.messages);
    while (!info("clients", "blocked_clients"))
        wf_sleep(wf_after(WF_MILLISECONDS(5)));
    wf_event_clear(&lost_once);
    wfi_redis_add(&batch, "REPLICAOF 127.0.0.1 1");
    ask(&batch, NULL);
    assert_int_equal(wf_event_wait(&lost_once, soon()), 0);
    wfi_redis_add(&batch, "REPLICAOF NO ONE");
    ask(&batch, NULL);
    push("celery", "after", 0);
    assert_int_equal(take_some_result(&f, &n, soon(), NULL), 0);
    expect_next(&worker, "celery", "after");
    tear_down(&worker);
}

/* ---- connections ---- */

/* Until the server holds a command of this name up, of whoever. */
static void wait_until_held_up(const char *name)
{
    const wf_deadline limit = soon();
    char cmd[40];
    bool found = false;
    snprintf(cmd, sizeof cmd, " cmd=%s ", name);
    while (!found) {
        struct wfi_redis_batch batch = {0};
        struct wfi_redis_answer answer;
        wfi_redis_add(&batch, "CLIENT LIST");
        ask(&batch, &answer);
        for (char *rest = NULL, *line = strtok_r(answer.replies[0]->str, "\n", &rest); line;
             line = strtok_r(NULL, "\n", &rest))
            found |= strstr(line, " flags=b") && strstr(line, cmd);
        wfi_redis_answer_fini(&answer);
        assert_true(wf_remaining(limit) > 0);
        wf_sleep(wf_after(WF_MILLISECONDS(1)));
    }
}

static void test_a_broken_connection_is_made_anew(void **state)
{
    const struct wfi_redis_broker_options options = {.lost = note_loss};
    struct worker worker;
    (void)state;
    set_up(&worker, &options);
    push("celery", "before", 0);
    assert_int_equal(take(&worker, 1), 1);
    struct wfi_redis_message *before = next(&worker);
    int n = -1;
    take_some_future f = take_some_submit(fibers, worker.broker, 1, &worker.messages);
    struct wfi_redis_batch batch = {0};
    wf_event_clear(&lost_once);
    wfi_redis_add(&batch, "CLIENT KILL TYPE normal SKIPME yes");
    ask(&batch, NULL);
    assert_int_equal(wf_event_wait(&lost_once, soon()), 0);
    wfi_redis_broker_acknowledge(worker.broker, before);
    push("celery", "after", 0);
    assert_int_equal(take_some_result(&f, &n, soon(), NULL), 0);
    assert_int_equal(n, 1);
    expect_next(&worker, "celery", "after");
    f = take_some_submit(fibers, worker.broker, 1, &worker.messages);
    wait_until_held_up("blmove"); /* its queue is watched on the new one, too */
    push("celery", "later", 0);
    assert_int_equal(take_some_result(&f, &n, soon(), NULL), 0);
    expect_next(&worker, "celery", "later");
    tear_down(&worker);
    assert_int_equal(count("HLEN %s", "unacked"), 0); /* `before` was told on the new one */
}

static int connections(void)
{
    struct wfi_redis_batch batch = {0};
    struct wfi_redis_answer answer;
    int lines = 0;
    wfi_redis_add(&batch, "CLIENT LIST TYPE normal");
    ask(&batch, &answer);
    for (const char *at = answer.replies[0]->str; (at = strchr(at, '\n')); at++)
        lines++;
    wfi_redis_answer_fini(&answer);
    return lines;
}

/* ---- connections that lead nowhere ---- */

/* Between worker and server: it carries bytes until it is told to swallow those of the connections
 * there are, which stay open: of the one that listens, or of those that wait for messages; not of
 * the first, which is run's. */
struct relay {
    struct wf_listener *listener;
    bool listening;
    WFI_ATOMIC(int) accepted, subscriber, deaf; /* the last: those before it */
    char url[200];
};

WF_TASK(wf_none, carry, (struct relay *, relay), (struct wf_stream *, from),
        (struct wf_stream *, to), (int, number))
WF_TASK(wf_none, relay_one, (struct relay *, relay), (struct wf_stream *, near), (int, number))
WF_TASK(wf_none, relay_all, (struct relay *, relay))

int carry(struct wf_task *self, struct relay *relay, struct wf_stream *from, struct wf_stream *to,
          int number, wf_none *ret)
{
    char bytes[4096];
    ssize_t n = 0;
    (void)self, (void)ret;
    while (n >= 0 && (n = wf_stream_read(from, bytes, sizeof bytes, WF_FOREVER)) > 0) {
        if (memmem(bytes, (size_t)n, "SUBSCRIBE", 9))
            wfi_store(&relay->subscriber, number);
        const bool swallowed = number > 0 && number < wfi_load(&relay->deaf) &&
                               (number == wfi_load(&relay->subscriber)) == relay->listening;
        if (!swallowed)
            n = wf_stream_write(to, bytes, (size_t)n, soon());
    }
    (void)wf_stream_shutdown(to, WF_SHUTDOWN_WRITE);
    return n == -ECANCELED ? -ECANCELED : 0;
}
WF_TASK_DEFINE(carry)

int relay_one(struct wf_task *self, struct relay *relay, struct wf_stream *near, int number,
              wf_none *ret)
{
    char endpoint[120];
    struct wf_stream *far = NULL;
    struct wf_scope storage, *scope;
    (void)self, (void)ret;
    snprintf(endpoint, sizeof endpoint, "unix:%s", server.socket);
    int err = wf_dial(endpoint, NULL, &far, soon(), NULL);
    if (!err) {
        scope = wf_scope_open(&storage, NULL, WF_FOREVER);
        (void)carry_go(scope, relay, near, far, number);
        (void)carry_go(scope, relay, far, near, number);
        err = wf_scope_close(scope, NULL);
    }
    wf_stream_close(far);
    wf_stream_close(near);
    return err == -ECANCELED ? err : 0;
}
WF_TASK_DEFINE(relay_one)

int relay_all(struct wf_task *self, struct relay *relay, wf_none *ret)
{
    struct wf_scope storage, *scope = wf_scope_open(&storage, NULL, WF_FOREVER);
    struct wf_stream *near;
    (void)self, (void)ret;
    while (!wf_listener_accept(relay->listener, &near, WF_FOREVER))
        if (relay_one_go(scope, relay, near, wfi_fetch_add(&relay->accepted, 1)))
            wf_stream_close(near);
    wf_scope_cancel(scope);
    return wf_scope_close(scope, NULL);
}
WF_TASK_DEFINE(relay_all)

static relay_all_future start_relay(struct relay *relay)
{
    struct wf_address at;
    char endpoint[WF_ADDRESS_TEXT_BYTES];
    assert_int_equal(wf_listener_open("127.0.0.1:0", NULL, &relay->listener, NULL), 0);
    wf_listener_address(relay->listener, &at);
    wf_address_format(&at, endpoint, sizeof endpoint);
    snprintf(relay->url, sizeof relay->url, "redis://%s/0", endpoint);
    return relay_all_submit(fibers, relay);
}

static struct wf_event was_heard = WF_EVENT_INIT;

static void note_heard(void *arg, const char *text, size_t len)
{
    (void)arg, (void)text, (void)len;
    wf_event_set(&was_heard);
}

static void lead_nowhere(bool listening)
{
    const struct wfi_redis_broker_options options = {
        .silence_ns = WF_SECONDS(1), .listen = "news", .heard = note_heard};
    struct relay relay = {.listening = listening};
    struct worker worker;
    wf_none none;
    int n = -1;
    relay_all_future running = start_relay(&relay);
    set_up_at(relay.url, &worker, &options);
    take_some_future f = take_some_submit(fibers, worker.broker, 1, &worker.messages);
    while (count("PUBLISH %s x", "news") == 0 || connections() != 6)
        wf_sleep(wf_after(WF_MILLISECONDS(5)));
    wfi_store(&relay.deaf, wfi_load(&relay.accepted));
    wf_event_clear(&was_heard);
    if (!listening)
        push("celery", "t", 0);
    wf_deadline limit = soon();
    while (listening && wf_event_wait(&was_heard, wf_after(WF_MILLISECONDS(20)))) {
        assert_true(wf_remaining(limit) > 0);
        count("PUBLISH %s x", "news");
    }
    if (listening)
        push("celery", "t", 0);
    assert_int_equal(take_some_result(&f, &n, soon(), NULL), 0);
    expect_next(&worker, "celery", "t");
    tear_down(&worker);
    wf_future_cancel(running.future);
    assert_int_equal(relay_all_result(&running, &none, soon(), NULL), -ECANCELED);
    wf_listener_close(relay.listener);
}

static void test_what_was_being_acknowledged_is_told_again(void **state)
{
    const struct wfi_redis_broker_options options = {.lost = note_loss};
    struct wfi_redis_batch batch = {0};
    struct worker worker;
    (void)state;
    set_up(&worker, &options);
    push("celery", "before", 0);
    assert_int_equal(take(&worker, 1), 1);
    wf_event_clear(&lost_once);
    wfi_redis_add(&batch, "CLIENT PAUSE 100000 WRITE");
    ask(&batch, NULL);
    wfi_redis_broker_acknowledge(worker.broker, next(&worker));
    wait_until_held_up("evalsha");
    wfi_redis_add(&batch, "CLIENT KILL TYPE normal SKIPME yes");
    wfi_redis_add(&batch, "CLIENT UNPAUSE");
    ask(&batch, NULL);
    assert_int_equal(wf_event_wait(&lost_once, soon()), 0);
    push("celery", "after", 0);
    expect_next(&worker, "celery", "after");
    tear_down(&worker);
    assert_int_equal(count("HLEN %s", "unacked"), 0);
}

static void wait_for_binding(void)
{
    const wf_deadline limit = soon();
    while (count("SCARD %s", "_kombu.binding.shop") != 1) {
        assert_true(wf_remaining(limit) > 0);
        wf_sleep(wf_after(WF_MILLISECONDS(1)));
    }
}

/* The server may have lost all. */
static void test_a_new_connection_binds_again(void **state)
{
    struct wfi_redis_batch batch = {0};
    struct worker worker;
    (void)state;
    set_up(&worker, NULL);
    assert_int_equal(wfi_redis_broker_bind(worker.broker, "shop", "key", "celery"), 0);
    wait_for_binding();
    wfi_redis_add(&batch, "DEL _kombu.binding.shop");
    wfi_redis_add(&batch, "CLIENT KILL TYPE normal SKIPME yes");
    ask(&batch, NULL);
    wait_for_binding();
    tear_down(&worker);
}

/* They are dead, and none is closed: the worker takes what comes, and hears what is said, on new
 * ones. */
static void test_connections_that_lead_nowhere_are_left(void **state)
{
    lead_nowhere(false);
    wipe(state);
    lead_nowhere(true);
}

static void test_scripts_that_were_flushed_are_loaded_again(void **state)
{
    struct wfi_redis_batch batch = {0};
    struct worker worker;
    (void)state;
    set_up(&worker, NULL);
    push("celery", "a", 0);
    expect_next(&worker, "celery", "a");
    wfi_redis_add(&batch, "SCRIPT FLUSH");
    ask(&batch, NULL);
    push("celery", "b", 0);
    expect_next(&worker, "celery", "b");
    tear_down(&worker);
}

static void test_what_will_not_go_away_ends_run(void **state)
{
    struct wfi_redis_batch batch = {0};
    struct worker worker;
    (void)state;
    wfi_redis_add(&batch, "SET celery %s", "no list");
    ask(&batch, NULL);
    set_up(&worker, NULL);
    assert_int_equal(take(&worker, 1), -EPIPE);
    expect_end(&worker, "WRONGTYPE");
}

/* Refused by the server, on a connection that breaks just then: that is not about the broker. */
static int refused_and_broken(void *arg, struct wfi_redis *redis, wf_deadline deadline,
                              struct wf_error *reterr)
{
    struct wfi_redis_batch batch = {0};
    wfi_redis_add(&batch, "LPUSH %s x", "text");
    int err = wfi_redis_call(redis, &batch, NULL, deadline, reterr);
    if (!*(bool *)arg)
        wfi_redis_break(redis);
    *(bool *)arg = true;
    return err;
}

WF_TASK(int, act, (struct wfi_redis_broker *, broker))

int act(struct wf_task *self, struct wfi_redis_broker *broker, int *ret)
{
    bool done = false;
    (void)self;
    *ret = wfi_redis_broker_act(broker, refused_and_broken, &done, soon(), NULL);
    return 0;
}
WF_TASK_DEFINE(act)

static void test_what_somebody_asks_for_does_not_end_run(void **state)
{
    struct wfi_redis_batch batch = {0};
    struct worker worker;
    int err = 0;
    (void)state;
    wfi_redis_add(&batch, "SET text %s", "no list");
    ask(&batch, NULL);
    set_up(&worker, NULL);
    act_future f = act_submit(fibers, worker.broker);
    assert_int_equal(act_result(&f, &err, soon(), NULL), 0);
    assert_int_equal(err, -EREMOTEIO);
    push("celery", "a", 0);
    expect_next(&worker, "celery", "a");
    tear_down(&worker);
}

static void wait_for_blocked(int clients)
{
    while (info("clients", "blocked_clients") < clients)
        wf_sleep(wf_after(WF_MILLISECONDS(2)));
}

/* One message ends one of its watchers; when it is wanted again only that one begins anew. */
static void test_a_queue_that_comes_and_goes_has_its_watchers_once(void **state)
{
    struct worker worker;
    (void)state;
    set_up(&worker, NULL);
    take_some_future f = take_some_submit(fibers, worker.broker, 1, &worker.messages);
    assert_int_equal(wfi_redis_broker_add_queue(worker.broker, "more"), 0);
    for (int i = 0; i < 3; i++) {
        wait_for_blocked(8); /* four for each queue: all have seen that it is wanted */
        assert_int_equal(wfi_redis_broker_remove_queue(worker.broker, "more"), 0);
        push("more", "m", 0);
        while (info("clients", "blocked_clients") > 7)
            wf_sleep(wf_after(WF_MILLISECONDS(2)));
        wipe(state);
        assert_int_equal(wfi_redis_broker_add_queue(worker.broker, "more"), 0);
    }
    wait_for_blocked(8);
    assert_int_equal(connections(), 10); /* and ours and run's */
    int n = -1;
    push("celery", "last", 0);
    assert_int_equal(take_some_result(&f, &n, soon(), NULL), 0);
    expect_next(&worker, "celery", "last");
    tear_down(&worker);
}

static void test_a_binding_is_told_once(void **state)
{
    struct wfi_redis_batch batch = {0};
    struct worker worker;
    (void)state;
    wfi_redis_add(&batch, "CONFIG RESETSTAT");
    ask(&batch, NULL);
    set_up(&worker, NULL);
    for (int i = 0; i < 5; i++)
        assert_int_equal(wfi_redis_broker_bind(worker.broker, "shop", "key", "celery"), 0);
    assert_int_equal(wfi_redis_broker_bind(worker.broker, "shop", "second", "celery"), 0);
    while (count("SCARD %s", "_kombu.binding.shop") != 2)
        wf_sleep(wf_after(WF_MILLISECONDS(2)));
    assert_int_equal(info("commandstats", "cmdstat_sadd:calls"), 2);
    tear_down(&worker);
}

static void test_nobody_listens(void **state)
{
    struct wfi_celery_url url;
    struct wfi_redis_broker *broker;
    struct wf_error error = {0};
    wf_none none;
    (void)state;
    assert_int_equal(wfi_celery_url_parse("redis+socket:///nowhere/at/all", &url, NULL), 0);
    const struct wfi_redis_broker_options options = {.url = &url, .retries_max = 1};
    assert_int_equal(wfi_redis_broker_create(&options, &broker, NULL), 0);
    run_broker_future run = run_broker_submit(fibers, broker);
    assert_int_equal(run_broker_result(&run, &none, soon(), &error), -ENOENT);
    wfi_redis_broker_destroy(broker);
}

static void test_publishing_by_exchange(void **state)
{
    struct wfi_redis_batch batch = {0};
    struct wfi_buffer binding = {0};
    struct wf_error error = {0};
    (void)state;
    assert_int_equal(wfi_redis_publish(other, "", "shop", "key", 0, "x", 1, soon(), &error),
                     -ENOENT);
    assert_non_null(strstr(error.text, "shop"));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wfi_redis_binding(&binding, "key", "", i ? "two" : "one"), 0);
        wfi_redis_add(&batch, "SADD _kombu.binding.shop %b", binding.data, binding.len);
        wfi_buffer_clear(&binding);
    }
    wfi_buffer_reset(&binding);
    ask(&batch, NULL);
    assert_int_equal(wfi_redis_publish(other, "", "shop", "key", 0, "x", 1, soon(), NULL), 0);
    assert_int_equal(count("LLEN %s", "one"), 1);
    assert_int_equal(count("LLEN %s", "two"), 1);
}

/* ---- many messages, several workers, broken connections ---- */

#define MESSAGES 2000
static unsigned char seen[MESSAGES];

/* Every message arrives, and, as no worker dies and the timeout is long, none twice, unless the
 * connection broke between its taking and its coming here: then it is still kept. */
static void test_nothing_is_lost_in_a_storm(void **state)
{
    struct worker workers[3];
    (void)state;
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < 3; i++)
        set_up(&workers[i], NULL);
    int pushed = 0, done = 0;
    for (int round = 0; done < MESSAGES; round++) {
        for (int i = 0; i < 50 && pushed < MESSAGES; i++, pushed++) {
            char tag[20];
            snprintf(tag, sizeof tag, "%d", pushed);
            push("celery", tag, pushed % 10);
        }
        while (done < pushed) {
            struct worker *worker = &workers[(done + round) % 3];
            int n = take(worker, 7);
            assert_true(n > 0);
            for (int i = 0; i < n; i++) {
                struct wfi_redis_message *message = next(worker);
                int number = atoi(message->tag);
                assert_int_equal(seen[number]++, 0);
                wfi_redis_broker_acknowledge(worker->broker, message);
                done++;
            }
        }
    }
    for (int i = 0; i < 3; i++)
        tear_down(&workers[i]);
    assert_int_equal(count("HLEN %s", "unacked"), 0);
    assert_int_equal(count("ZCARD %s", "unacked_index"), 0);
}

static int start(void **state)
{
    (void)state;
    if (wf_fibers_create(NULL, &fibers, NULL))
        return -1;
    other = connect_other();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    wfi_redis_close(other);
    wf_executor_destroy(fibers);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "be killed") == 0)
        return be_killed(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_message_is_kept_until_it_is_acknowledged, wipe),
        cmocka_unit_test_setup(test_priorities_then_age_decide, wipe),
        cmocka_unit_test_setup(test_queues_take_turns, wipe),
        cmocka_unit_test_setup(test_who_waits_is_woken, wipe),
        cmocka_unit_test_setup(test_what_has_no_tag_is_kept_under_one_of_ours, wipe),
        cmocka_unit_test_setup(test_messages_of_one_tag_are_kept_both, wipe),
        cmocka_unit_test_setup(test_large_messages_come_a_few_at_a_time, wipe),
        cmocka_unit_test_setup(test_what_a_killed_worker_held_comes_back, wipe),
        cmocka_unit_test_setup(test_a_message_goes_back_to_either_end, wipe),
        cmocka_unit_test_setup(test_messages_of_the_dead_come_back, wipe),
        cmocka_unit_test_setup(test_an_entry_nobody_can_read_is_left_and_in_nobodys_way, wipe),
        cmocka_unit_test_setup(test_the_tag_of_a_message_that_is_there_again_is_kept, wipe),
        cmocka_unit_test_setup(test_a_message_that_was_renewed_is_not_put_back, wipe),
        cmocka_unit_test_setup(test_a_restored_message_finds_its_queue_by_its_exchange, wipe),
        cmocka_unit_test_setup(test_a_message_of_a_topic_goes_back_to_its_queues, wipe),
        cmocka_unit_test_setup(test_what_cannot_go_back_is_kept, wipe),
        cmocka_unit_test_setup(test_where_nothing_can_be_kept_nothing_is_taken, wipe),
        cmocka_unit_test_setup(test_a_key_that_is_no_list_comes_last, wipe),
        cmocka_unit_test_setup(test_a_full_server_is_emptied, wipe),
        cmocka_unit_test_setup(test_a_server_that_is_a_replica_for_a_time, wipe),
        cmocka_unit_test_setup(test_a_broken_connection_is_made_anew, wipe),
        cmocka_unit_test_setup(test_connections_that_lead_nowhere_are_left, wipe),
        cmocka_unit_test_setup(test_what_was_being_acknowledged_is_told_again, wipe),
        cmocka_unit_test_setup(test_a_new_connection_binds_again, wipe),
        cmocka_unit_test_setup(test_scripts_that_were_flushed_are_loaded_again, wipe),
        cmocka_unit_test_setup(test_what_will_not_go_away_ends_run, wipe),
        cmocka_unit_test_setup(test_what_somebody_asks_for_does_not_end_run, wipe),
        cmocka_unit_test_setup(test_a_queue_that_comes_and_goes_has_its_watchers_once, wipe),
        cmocka_unit_test_setup(test_a_binding_is_told_once, wipe),
        cmocka_unit_test_setup(test_nobody_listens, wipe),
        cmocka_unit_test_setup(test_publishing_by_exchange, wipe),
        cmocka_unit_test_setup(test_nothing_is_lost_in_a_storm, wipe),
    };
    return redis_group_run(&server, tests, sizeof tests / sizeof *tests, start, stop);
}
