/* SPDX-License-Identifier: MIT */
/*
 * What a worker may expect of any broker. Two brokers are two workers on one server; all that they
 * know of each other is what goes over it.
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
#include <weft/task.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "celery/broker/amqp.h"
#include "celery/broker/broker.h"
#include "celery/message/control.h"
#include "rabbit_server.h"
#include "redis_server.h"

static struct redis_server redis;
static struct rabbit_server rabbit;
static const char *url;
static struct wf_executor *fibers;

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

WF_TASK(wf_none, run_broker, (struct wfi_broker *, broker))

int run_broker(struct wf_task *self, struct wfi_broker *broker, wf_none *ret)
{
    struct wf_error error = {0};
    (void)ret;
    int err = wfi_broker_run(broker, &error);
    return err == -ECANCELED ? err : wf_task_fail_with(self, &error);
}
WF_TASK_DEFINE(run_broker)

/* ---- a worker ---- */

struct worker {
    struct wfi_broker *broker;
    run_broker_future run;
    struct wfi_list messages;
    struct wf_event connected;
    WFI_ATOMIC(int) requests;
};

static void note_connected(void *arg)
{
    wf_event_set(&((struct worker *)arg)->connected);
}

/* Answers to the queue that the request names. */
static void answer(void *arg, struct wfi_envelope *envelope)
{
    struct worker *worker = arg;
    struct wfi_control_request request = {0};
    struct wf_json *body = NULL;
    wfi_fetch_add(&worker->requests, 1);
    if (wfi_control_read(envelope, "w@here", 0, &body, &request) == WFI_CONTROL_DO &&
        request.reply_key)
        (void)wfi_broker_tell(worker->broker,
                              &(struct wfi_broker_note){.exchange = "",
                                                        .routing_key = request.reply_key,
                                                        .body = "[[], {}, {}]",
                                                        .len = 12},
                              wf_after(WF_SECONDS(10)), NULL);
    wf_json_destroy(body);
}

static void set_up(struct worker *worker, const char *node, const char *queue)
{
    struct wfi_celery_url parsed;
    *worker = (struct worker){0};
    wf_event_init(&worker->connected);
    assert_int_equal(wfi_celery_url_parse(url, &parsed, NULL), 0);
    const struct wfi_broker_options options = {.url = &parsed,
                                               .restore_ns = WF_MILLISECONDS(100),
                                               .control = answer,
                                               .node = node,
                                               .connected = note_connected,
                                               .arg = worker};
    assert_int_equal(wfi_broker_create(&options, &worker->broker, NULL), 0);
    if (queue) {
        const struct wfi_broker_queue q = {.name = queue};
        assert_int_equal(wfi_broker_add_queue(worker->broker, &q), 0);
        assert_int_equal(wfi_broker_add_queue(worker->broker, &q), -EEXIST);
    }
    wfi_broker_set_prefetch(worker->broker, 10);
    worker->run = run_broker_submit(fibers, worker->broker);
    assert_int_equal(wf_event_wait(&worker->connected, soon()), 0);
}

/* With messages in hand, which are others' then. */
static void end_with(struct worker *worker, struct wfi_list *held)
{
    wf_none none;
    wf_future_cancel(worker->run.future);
    assert_int_equal(run_broker_result(&worker->run, &none, soon(), NULL), -ECANCELED);
    for (struct wfi_link *link; (link = wfi_list_pop_front(held));)
        wfi_broker_acknowledge(worker->broker,
                               wfi_container_of(link, struct wfi_broker_message, link));
    wfi_broker_destroy(worker->broker);
    wf_event_fini(&worker->connected);
}

static void tear_down(struct worker *worker)
{
    struct wfi_list none = {0};
    end_with(worker, &none);
}

static struct wfi_broker_message *take_one(struct worker *worker)
{
    assert_int_equal(wfi_broker_take(worker->broker, 1, &worker->messages, soon()), 1);
    return wfi_container_of(wfi_list_pop_front(&worker->messages), struct wfi_broker_message, link);
}

/* Waits until there is a message, and returns its id, the caller's to free; the message is
 * acknowledged. */
static char *take_id(struct worker *worker)
{
    struct wfi_message_in in = {0};
    struct wfi_broker_message *message = take_one(worker);
    assert_int_equal(wfi_broker_read(worker->broker, message, &in, NULL), WFI_MESSAGE_RUN);
    char *id = wfi_strdup(in.message.id);
    wfi_message_in_reset(&in);
    wfi_broker_acknowledge(worker->broker, message);
    return id;
}

static void send_task(struct worker *worker, const char *queue, const char *id)
{
    struct wf_error error = {0};
    const struct wfi_message message = {.task = "add",
                                        .id = id,
                                        .args = {.text = "[1, 2]", .len = 6},
                                        .properties = {.routing_key = queue}};
    if (wfi_broker_send(worker->broker, &message, soon(), &error))
        fail_msg("%s", error.text);
}

static void expect_id(struct worker *worker, const char *expected)
{
    char *id = take_id(worker);
    assert_string_equal(id, expected);
    wfi_free(id);
}

/* ---- tests ---- */

static void test_a_task_goes_from_one_to_the_other(void **state)
{
    struct worker a, b;
    struct wfi_message_in in = {0};
    (void)state;
    set_up(&a, NULL, NULL);
    set_up(&b, NULL, "jobs");
    send_task(&a, "jobs", "t1");
    struct wfi_broker_message *message = take_one(&b);
    assert_string_equal(message->queue, "jobs");
    assert_int_equal(wfi_broker_read(b.broker, message, &in, NULL), WFI_MESSAGE_RUN);
    wfi_broker_acknowledge(b.broker, message); /* what was read is there all the same */
    assert_int_equal(wfi_message_read_body(&in, 0, NULL), WFI_MESSAGE_RUN);
    assert_string_equal(in.message.task, "add");
    assert_string_equal(in.message.id, "t1");
    assert_string_equal(in.message.properties.correlation_id, "t1");
    assert_string_equal(in.message.properties.routing_key, "jobs");
    assert_int_equal(wf_json_count(in.message.args.value), 2);
    wfi_message_in_reset(&in);
    tear_down(&b);
    set_up(&b, NULL, "jobs");
    send_task(&a, "jobs", "t2");
    expect_id(&b, "t2"); /* and not the first again */
    tear_down(&b);
    tear_down(&a);
}

static void test_by_an_exchange_to_what_is_bound(void **state)
{
    struct worker a;
    (void)state;
    set_up(&a, NULL, NULL);
    const struct wfi_broker_queue queue = {.name = "bound", .exchange = "ex", .routing_key = "key"};
    assert_int_equal(wfi_broker_add_queue(a.broker, &queue), 0);
    send_task(&a, "bound", "first");
    expect_id(&a, "first"); /* on RabbitMQ it is bound before anything comes from it */
    const struct wfi_message message = {
        .task = "add", .id = "second", .properties = {.exchange = "ex", .routing_key = "key"}};
    int err;
    while ((err = wfi_broker_send(a.broker, &message, soon(), NULL)) == -ENOENT)
        wf_sleep(wf_after(WF_MILLISECONDS(1))); /* on Redis it may be later */
    assert_int_equal(err, 0);
    expect_id(&a, "second");
    const struct wfi_message lost = {.task = "add", .id = "third"};
    assert_int_equal(wfi_broker_send(a.broker, &lost, soon(), NULL), -EINVAL);
    tear_down(&a);
}

static void count_queue(void *arg, const struct wfi_broker_queue *queue)
{
    assert_string_equal(queue->exchange_type, "direct");
    ++*(int *)arg;
}

static void test_what_is_given_back_comes_again(void **state)
{
    struct worker a;
    struct wfi_message_in in = {0};
    int queues = 0;
    (void)state;
    set_up(&a, NULL, "back");
    wfi_broker_each_queue(a.broker, count_queue, &queues);
    assert_int_equal(queues, 1);
    send_task(&a, "back", "t1");
    assert_int_equal(wfi_broker_give_back(a.broker, take_one(&a), true, soon()), 0);
    struct wfi_broker_message *message = take_one(&a);
    assert_int_equal(wfi_broker_read(a.broker, message, &in, NULL), WFI_MESSAGE_RUN);
    assert_true(in.message.properties.redelivered);
    wfi_message_in_reset(&in);
    wfi_broker_reject(a.broker, message);
    send_task(&a, "back", "t2");
    expect_id(&a, "t2"); /* what was rejected does not come again */
    assert_int_equal(wfi_broker_remove_queue(a.broker, "back"), 0);
    assert_int_equal(wfi_broker_remove_queue(a.broker, "back"), -ENOENT);
    queues = 0;
    wfi_broker_each_queue(a.broker, count_queue, &queues);
    assert_int_equal(queues, 0);
    send_task(&a, "back", "t3");
    assert_int_equal(wfi_broker_take(a.broker, 1, &a.messages, wf_after(WF_MILLISECONDS(50))),
                     -ETIMEDOUT);
    const struct wfi_broker_queue queue = {.name = "back"};
    assert_int_equal(wfi_broker_add_queue(a.broker, &queue), 0);
    expect_id(&a, "t3");
    tear_down(&a);
}

static void test_a_request_reaches_all_who_have_a_name(void **state)
{
    static const char request[] =
        "{\"method\": \"ping\", \"arguments\": {}, \"destination\": null, \"pattern\": null, "
        "\"matcher\": null, \"ticket\": \"1\", \"reply_to\": {\"exchange\": \"\", "
        "\"routing_key\": \"answers\"}}";
    const struct wfi_broker_note note = {.exchange = WFI_CONTROL_EXCHANGE,
                                         .routing_key = "",
                                         .everybody = true,
                                         .delivery_mode = 2,
                                         .body = request,
                                         .len = sizeof request - 1};
    struct worker a, b, mute;
    (void)state;
    set_up(&a, "a@here", "answers");
    set_up(&b, "b@here", NULL);
    set_up(&mute, NULL, NULL);
    /* A listener may be a moment later than its connection: asked again, until both answer. */
    while (wfi_load(&a.requests) < 2 || wfi_load(&b.requests) < 2) {
        struct wfi_message_in in = {0};
        assert_int_equal(wfi_broker_tell(mute.broker, &note, soon(), NULL), 0);
        if (wfi_broker_take(a.broker, 1, &a.messages, wf_after(WF_MILLISECONDS(20))) != 1)
            continue;
        struct wfi_broker_message *message =
            wfi_container_of(wfi_list_pop_front(&a.messages), struct wfi_broker_message, link);
        assert_int_equal(wfi_broker_read(a.broker, message, &in, NULL), WFI_MESSAGE_REJECT);
        wfi_message_in_reset(&in);
        wfi_broker_acknowledge(a.broker, message);
    }
    assert_int_equal(wfi_load(&mute.requests), 0);
    const struct wfi_broker_note event = {.exchange = "celeryev",
                                          .routing_key = "worker.online",
                                          .everybody = true,
                                          .body = "{}",
                                          .len = 2};
    assert_int_equal(wfi_broker_tell(a.broker, &event, soon(), NULL), 0); /* nobody is there */
    tear_down(&mute);
    tear_down(&b);
    tear_down(&a);
}

WF_TASK(int, send_later, (struct worker *, worker), (const char *, queue), (const char *, id))

int send_later(struct wf_task *self, struct worker *worker, const char *queue, const char *id,
               int *ret)
{
    const struct wfi_message message = {
        .task = "add", .id = id, .properties = {.routing_key = queue}};
    (void)self;
    *ret = wfi_broker_send(worker->broker, &message, soon(), NULL);
    return 0;
}
WF_TASK_DEFINE(send_later)

/* All that was not acknowledged comes again, and what is acknowledged afterwards, by tags of the
 * connection that broke, acknowledges nothing. */
static void test_a_server_that_is_killed_forgets_nothing(void **state)
{
    enum { COUNT = 20, HELD = 10 };
    struct worker a;
    struct wfi_list held = {0}, again = {0};
    bool seen[COUNT] = {false};
    int left = COUNT, err = -1;
    char id[24];
    (void)state;
    set_up(&a, NULL, "kept");
    for (int i = 0; i < COUNT; i++) {
        snprintf(id, sizeof id, "%d", i);
        send_task(&a, "kept", id);
    }
    for (int i = 0; i < HELD; i++)
        wfi_list_push_back(&held, &take_one(&a)->link);
    wf_event_clear(&a.connected);
    rabbit_server_kill(&rabbit);
    send_later_future f = send_later_submit(fibers, &a, "kept", "later"); /* waits for it */
    if (!rabbit_server_start(&rabbit))
        fail_msg("RabbitMQ did not come back");
    assert_int_equal(wf_event_wait(&a.connected, soon()), 0);
    for (int i = 0; i < HELD; i++) /* these have the same tags, on another channel */
        wfi_list_push_back(&again, &take_one(&a)->link);
    for (struct wfi_link *link; (link = wfi_list_pop_front(&held));) {
        struct wfi_broker_message *message =
            wfi_container_of(link, struct wfi_broker_message, link);
        if (left % 2)
            wfi_broker_acknowledge(a.broker, message);
        else
            assert_int_equal(wfi_broker_give_back(a.broker, message, true, soon()), 0);
        left--;
    }
    assert_int_equal(send_later_result(&f, &err, soon(), NULL), 0);
    assert_int_equal(err, 0);
    end_with(&a, &again);
    set_up(&a, NULL, "kept");
    bool later = false;
    for (left = COUNT; left || !later;) {
        char *got = take_id(&a);
        const int number = atoi(got);
        if (strcmp(got, "later") == 0) {
            later = true;
        } else {
            assert_true(number >= 0 && number < COUNT && !seen[number]);
            seen[number] = true;
            left--;
        }
        wfi_free(got);
    }
    tear_down(&a);
    set_up(&a, NULL, "kept");
    send_task(&a, "kept", "end");
    expect_id(&a, "end");
    tear_down(&a);
}

/* ---- how many messages RabbitMQ gives ---- */

static struct wfi_amqp *look_at_server(void)
{
    struct wfi_celery_url parsed;
    struct wfi_amqp *amqp = NULL;
    assert_int_equal(wfi_celery_url_parse(url, &parsed, NULL), 0);
    assert_int_equal(wfi_amqp_open(&parsed, NULL, &amqp, soon(), NULL), 0);
    return amqp;
}

/* Waits until a queue has so many messages that nobody has been given, and one consumer. */
static void expect_ungiven(struct wfi_amqp *server, const char *name, uint32_t count)
{
    const struct wfi_amqp_queue queue = {.name = name, .passive = true};
    const wf_deadline deadline = soon();
    struct wfi_amqp_queue_state state = {0};
    do {
        assert_int_equal(wfi_amqp_declare_queue(server, &queue, &state, deadline, NULL), 0);
    } while ((state.messages != count || state.consumers != 1) &&
             wf_sleep(wf_after(WF_MILLISECONDS(1))) == 0 && wf_remaining(deadline) > 0);
    assert_int_equal(state.messages, count);
    assert_int_equal(state.consumers, 1);
}

static void hold(struct worker *worker, struct wfi_list *held, int count)
{
    while (count-- > 0)
        wfi_list_push_back(held, &take_one(worker)->link);
}

/* Each of `count` tasks that has come, and comes, is there once. */
static void expect_each_once(struct worker *worker, struct wfi_list *held, int count)
{
    bool seen[64] = {false};
    for (int left = count; left > 0; left--) {
        struct wfi_message_in in = {0};
        if (wfi_list_empty(held))
            hold(worker, held, 1);
        struct wfi_broker_message *message =
            wfi_container_of(wfi_list_pop_front(held), struct wfi_broker_message, link);
        assert_int_equal(wfi_broker_read(worker->broker, message, &in, NULL), WFI_MESSAGE_RUN);
        const int number = atoi(in.message.id);
        assert_true(number >= 0 && number < count && !seen[number]);
        assert_false(in.message.properties.redelivered);
        seen[number] = true;
        wfi_message_in_reset(&in);
        wfi_broker_acknowledge(worker->broker, message);
    }
}

/* The consumer's own limit, then the channel's, which counts what came under the first. */
static void test_a_limit_of_messages_grows_and_is_of_all_queues(void **state)
{
    struct worker a;
    struct wfi_list held = {0};
    char id[24];
    (void)state;
    set_up(&a, NULL, "limited");
    struct wfi_amqp *server = look_at_server();
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "%d", i);
        send_task(&a, i < 15 ? "limited" : "second", id);
    }
    hold(&a, &held, 10);
    expect_ungiven(server, "limited", 5);
    wfi_broker_exempt(a.broker, 2);
    hold(&a, &held, 2);
    expect_ungiven(server, "limited", 3);
    assert_int_equal(wfi_broker_add_queue(a.broker, &(struct wfi_broker_queue){.name = "second"}),
                     0);
    expect_ungiven(server, "second", 5);
    expect_ungiven(server, "limited", 3);
    wfi_broker_exempt(a.broker, 3);
    hold(&a, &held, 3);
    wfi_broker_exempt(a.broker, -5);
    expect_each_once(&a, &held, 20);
    wfi_amqp_close(server, soon());
    tear_down(&a);
}

/* With the second queue itself. */
static void test_a_second_queue_shares_the_limit(void **state)
{
    struct worker a;
    struct wfi_list held = {0};
    char id[24];
    (void)state;
    set_up(&a, NULL, "one");
    struct wfi_amqp *server = look_at_server();
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "%d", i);
        send_task(&a, i < 12 ? "one" : "two", id);
    }
    hold(&a, &held, 10);
    assert_int_equal(wfi_broker_add_queue(a.broker, &(struct wfi_broker_queue){.name = "two"}), 0);
    expect_ungiven(server, "two", 8);
    expect_ungiven(server, "one", 2);
    expect_each_once(&a, &held, 20);
    wfi_amqp_close(server, soon());
    tear_down(&a);
}

/* They refuse a channel's limit, which is no reason to lose the connection while messages are held:
 * those would come again. */
static void test_a_quorum_queue_has_a_limit(void **state)
{
    struct worker a;
    struct wfi_list held = {0};
    char id[24];
    (void)state;
    struct wfi_amqp *server = look_at_server();
    const struct wfi_amqp_queue quorum = {
        .name = "quorum", .durable = true, .arguments = "{\"x-queue-type\": \"quorum\"}"};
    assert_int_equal(wfi_amqp_declare_queue(server, &quorum, NULL, soon(), NULL), 0);
    set_up(&a, NULL, "quorum");
    for (int i = 0; i < 15; i++) {
        snprintf(id, sizeof id, "%d", i);
        send_task(&a, "quorum", id);
    }
    hold(&a, &held, 10);
    wfi_broker_exempt(a.broker, 2);
    expect_ungiven(server, "quorum", 5);
    expect_each_once(&a, &held, 15);
    wfi_broker_exempt(a.broker, -2);
    wfi_amqp_close(server, soon());
    tear_down(&a);
}

/* An acknowledgement goes out though nobody takes, and no other follows. */
static void test_one_acknowledgement_goes_out_by_itself(void **state)
{
    struct worker a;
    struct wfi_list held = {0};
    (void)state;
    set_up(&a, NULL, "single");
    struct wfi_amqp *server = look_at_server();
    for (int i = 0; i < 12; i++)
        send_task(&a, "single", "x");
    hold(&a, &held, 10);
    expect_ungiven(server, "single", 2);
    wfi_broker_acknowledge(
        a.broker, wfi_container_of(wfi_list_pop_front(&held), struct wfi_broker_message, link));
    expect_ungiven(server, "single", 1);
    hold(&a, &held, 1);
    for (struct wfi_link *link; (link = wfi_list_pop_front(&held));)
        wfi_broker_acknowledge(a.broker, wfi_container_of(link, struct wfi_broker_message, link));
    expect_ungiven(server, "single", 0);
    wfi_broker_acknowledge(a.broker, take_one(&a));
    wfi_amqp_close(server, soon());
    tear_down(&a);
}

/* Of three the second is done with when its worker goes: the others come again. */
static void test_what_is_done_leaves_those_before_it(void **state)
{
    struct worker a;
    struct wfi_list held = {0};
    char id[24];
    (void)state;
    set_up(&a, NULL, "apart");
    for (int i = 0; i < 3; i++) {
        snprintf(id, sizeof id, "%d", i);
        send_task(&a, "apart", id);
        struct wfi_broker_message *message = take_one(&a);
        if (i == 1)
            wfi_broker_acknowledge(a.broker, message);
        else
            wfi_list_push_back(&held, &message->link);
    }
    end_with(&a, &held);
    set_up(&a, NULL, "apart");
    send_task(&a, "apart", "end");
    expect_id(&a, "0");
    expect_id(&a, "2");
    expect_id(&a, "end");
    tear_down(&a);
}

static void test_only_brokers_are_brokers(void **state)
{
    struct wfi_celery_url parsed;
    struct wfi_broker *broker = NULL;
    (void)state;
    assert_int_equal(wfi_celery_url_parse("rpc://", &parsed, NULL), 0);
    const struct wfi_broker_options options = {.url = &parsed};
    assert_int_equal(wfi_broker_create(&options, &broker, NULL), -ENOTSUP);
}

static int on_redis(void **state)
{
    (void)state;
    url = redis.url;
    return 0;
}

static int on_rabbit(void **state)
{
    (void)state;
    url = rabbit.url;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_task_goes_from_one_to_the_other),
        cmocka_unit_test(test_by_an_exchange_to_what_is_bound),
        cmocka_unit_test(test_what_is_given_back_comes_again),
        cmocka_unit_test(test_a_request_reaches_all_who_have_a_name),
        cmocka_unit_test(test_only_brokers_are_brokers),
    };
    const struct CMUnitTest rabbit_tests[] = {
        cmocka_unit_test(test_a_limit_of_messages_grows_and_is_of_all_queues),
        cmocka_unit_test(test_a_second_queue_shares_the_limit),
        cmocka_unit_test(test_a_quorum_queue_has_a_limit),
        cmocka_unit_test(test_one_acknowledgement_goes_out_by_itself),
        cmocka_unit_test(test_what_is_done_leaves_those_before_it),
        cmocka_unit_test(test_a_server_that_is_killed_forgets_nothing),
    };
    if (!redis_server_start(&redis, NULL)) {
        redis_server_stop(&redis);
        return 77;
    }
    int failed = wf_fibers_create(NULL, &fibers, NULL) ? 1 : 0;
    if (!failed)
        failed += cmocka_run_group_tests_name("Redis", tests, on_redis, NULL);
    if (!rabbit_server_start(&rabbit))
        printf("not run on RabbitMQ\n");
    else
        failed += cmocka_run_group_tests_name("RabbitMQ", tests, on_rabbit, NULL) +
                  cmocka_run_group_tests_name("RabbitMQ alone", rabbit_tests, on_rabbit, NULL);
    wf_executor_destroy(fibers);
    rabbit_server_stop(&rabbit);
    redis_server_stop(&redis);
    return failed ? 1 : 0;
}
