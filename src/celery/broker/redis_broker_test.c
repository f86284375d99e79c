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
#include <weft/scope.h>
#include <weft/task.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "celery/broker/redis_broker.h"
#include "celery/broker/redis_keys.h"
#include "redis_server.h"

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

static void set_up(struct worker *worker, const struct wfi_redis_broker_options *given)
{
    struct wfi_redis_broker_options options = given ? *given : (struct wfi_redis_broker_options){0};
    struct wfi_celery_url url;
    assert_int_equal(wfi_celery_url_parse(server.url, &url, NULL), 0);
    options.url = &url;
    *worker = (struct worker){0};
    assert_int_equal(wfi_redis_broker_create(&options, &worker->broker, NULL), 0);
    assert_int_equal(wfi_redis_broker_add_queue(worker->broker, "celery"), 0);
    worker->run = run_broker_submit(fibers, worker->broker);
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

static void test_what_is_no_envelope_is_taken_and_not_kept(void **state)
{
    static const char *const texts[] = {"", "no json", "[]", "{\"properties\": 5}",
                                        "{\"properties\": {\"delivery_tag\": 5}}"};
    struct wfi_redis_batch batch = {0};
    struct worker worker;
    (void)state;
    for (size_t i = 0; i < 5; i++)
        wfi_redis_add(&batch, "LPUSH celery %b", texts[i], strlen(texts[i]));
    ask(&batch, NULL);
    set_up(&worker, NULL);
    assert_int_equal(take(&worker, 10), 5);
    assert_int_equal(count("HLEN %s", "unacked"), 0);
    for (size_t i = 0; i < 5; i++) {
        struct wfi_redis_message *message = next(&worker);
        assert_string_equal(message->text, texts[i]);
        assert_string_equal(message->tag, "");
        wfi_redis_broker_acknowledge(worker.broker, message);
    }
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

/* ---- connections ---- */

static struct wf_event lost_once = WF_EVENT_INIT;

static void note_loss(void *arg, const struct wf_error *error, int64_t pause_ns)
{
    (void)arg, (void)pause_ns;
    assert_true(error->code < 0);
    wf_event_set(&lost_once);
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
    tear_down(&worker);
    assert_int_equal(count("HLEN %s", "unacked"), 0); /* `before` was told on the new one */
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
    struct wf_error error = {0};
    wf_none none;
    (void)state;
    wfi_redis_add(&batch, "SET celery %s", "no list");
    ask(&batch, NULL);
    set_up(&worker, NULL);
    assert_int_equal(take(&worker, 1), -EPIPE);
    assert_int_equal(run_broker_result(&worker.run, &none, soon(), &error), -EREMOTEIO);
    assert_non_null(strstr(error.text, "WRONGTYPE"));
    wfi_redis_broker_destroy(worker.broker);
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
    if (!redis_server_start(&server, NULL) || wf_fibers_create(NULL, &fibers, NULL))
        return -1;
    other = connect_other();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    wfi_redis_close(other);
    wf_executor_destroy(fibers);
    redis_server_stop(&server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_message_is_kept_until_it_is_acknowledged, wipe),
        cmocka_unit_test_setup(test_priorities_then_age_decide, wipe),
        cmocka_unit_test_setup(test_queues_take_turns, wipe),
        cmocka_unit_test_setup(test_who_waits_is_woken, wipe),
        cmocka_unit_test_setup(test_what_is_no_envelope_is_taken_and_not_kept, wipe),
        cmocka_unit_test_setup(test_a_message_goes_back_to_either_end, wipe),
        cmocka_unit_test_setup(test_messages_of_the_dead_come_back, wipe),
        cmocka_unit_test_setup(test_an_entry_nobody_can_read_is_left_and_in_nobodys_way, wipe),
        cmocka_unit_test_setup(test_the_tag_of_a_message_that_is_there_again_is_kept, wipe),
        cmocka_unit_test_setup(test_a_restored_message_finds_its_queue_by_its_exchange, wipe),
        cmocka_unit_test_setup(test_a_broken_connection_is_made_anew, wipe),
        cmocka_unit_test_setup(test_scripts_that_were_flushed_are_loaded_again, wipe),
        cmocka_unit_test_setup(test_what_will_not_go_away_ends_run, wipe),
        cmocka_unit_test_setup(test_nobody_listens, wipe),
        cmocka_unit_test_setup(test_publishing_by_exchange, wipe),
        cmocka_unit_test_setup(test_nothing_is_lost_in_a_storm, wipe),
    };
    struct redis_server probe = {0};
    bool there = redis_server_start(&probe, NULL);
    redis_server_stop(&probe);
    return there ? cmocka_run_group_tests(tests, start, stop) : 77;
}
