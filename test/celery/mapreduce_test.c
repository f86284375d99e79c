/* SPDX-License-Identifier: MIT */
/*
 * A map-reduce over two workers of Celery, each a process of its own: one of them is killed at its
 * work, and the broker is killed and started again. What comes out is exact all the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cmocka.h>

#include <weft/celery.h>
#include <weft/celery_executor.h>
#include <weft/child.h>
#include <weft/event.h>
#include <weft/main.h>
#include <weft/mapreduce.h>
#include <weft/thread.h>

#include "rabbit_server.h"
#include "redis_server.h"

enum { PARTS = 60, KEYS = 7, DIES_AT = 10, BROKER_DIES_AT = 30 };

/* "NUMBER FOLDER": the number under one of seven keys, and one under all. The process that comes to
 * number DIES_AT first is killed; that it happened is a file in the folder. */
static int numbers(struct wf_task *self, wf_bytes input, struct wf_emitter *out)
{
    char text[256], mark[300];
    int number, at, fd;
    snprintf(text, sizeof text, "%.*s", (int)input.len, (const char *)input.ptr);
    if (sscanf(text, "%d %n", &number, &at) != 1)
        return wf_task_fail(self, -EINVAL, "\"%s\" is no input", text);
    snprintf(mark, sizeof mark, "%s/killed", text + at);
    if (number == DIES_AT && (fd = open(mark, O_CREAT | O_EXCL, 0600)) >= 0) {
        close(fd);
        raise(SIGKILL);
    }
    const char key = (char)('a' + number % KEYS);
    wf_emit_int(out, &key, 1, number);
    return wf_emit_int(out, "parts", 5, 1);
}
WF_MAPREDUCE(number_sum)
WF_MAPREDUCE_DEFINE(number_sum, .map = numbers, .combine = wf_sum_values, .reduce = wf_sum_values)

/* A worker */

static void say(void *arg, enum wf_celery_level level, const char *line)
{
    (void)arg;
    (void)level;
    if (strstr(line, " ready."))
        puts(line);
    fflush(stdout);
    if (getenv("VERBOSE"))
        fprintf(stderr, "%s\n", line);
}

/* A broker: a Redis, with what it is told; or a RabbitMQ, which brings results, too. */
struct broker {
    struct redis_server redis;
    struct rabbit_server rabbit;
    bool is_rabbit;
    const char *const *options;
};

static bool start(struct broker *broker)
{
    return broker->is_rabbit ? rabbit_server_start(&broker->rabbit)
                             : redis_server_start(&broker->redis, broker->options);
}

static void end(struct broker *broker)
{
    if (broker->is_rabbit)
        rabbit_server_kill(&broker->rabbit);
    else
        redis_server_kill(&broker->redis);
}

static const char *url_of(const struct broker *broker)
{
    return broker->is_rabbit ? broker->rabbit.url : broker->redis.url;
}

static const char *results_of(const char *url)
{
    return strncmp(url, "amqp", 4) == 0 ? "rpc://" : url;
}

static int work(void *arg)
{
    char *const *argv = arg;
    struct wf_error error = {0};
    struct wf_celery_worker_options options = {.broker = argv[2],
                                               .backend = results_of(argv[2]),
                                               .name = argv[3],
                                               .concurrency = 2,
                                               .visibility_ns = WF_SECONDS(1),
                                               .restore_ns = WF_MILLISECONDS(200),
                                               .log = say};
    int err = wf_celery_worker_run(&options, &error);
    if (err != -ECANCELED)
        fprintf(stderr, "%s\n", error.text);
    return err != -ECANCELED;
}

static struct wf_child *start_worker(const char *url, const char *name)
{
    const char *const argv[] = {"/proc/self/exe", "--worker", url, name, NULL};
    struct wf_child_options options = {.argv = argv, .out = {.kind = WF_STDIO_PIPE}};
    struct wf_child *child;
    char line[256];
    assert_int_equal(wf_child_spawn(&options, &child, NULL), 0);
    /* Its first line says that it is ready. */
    assert_true(wf_stream_read(wf_child_out(child), line, sizeof line, wf_after(WF_SECONDS(60))) >
                0);
    return child;
}

/* The inputs; the broker is killed when one of them is asked for, and started by another thread. */
struct inputs {
    struct broker *broker;
    const char *folder;
    struct wf_thread *starter;
    struct wf_event over; /* a broker ends with the thread that started it */
    int at;
    char text[256];
    bool started;
};

static int start_again(void *arg)
{
    struct inputs *inputs = arg;
    inputs->started = start(inputs->broker);
    return wf_event_wait(&inputs->over, WF_FOREVER);
}

static int next_number(void *arg, wf_bytes *ret_input)
{
    struct inputs *inputs = arg;
    if (inputs->at == PARTS)
        return 0;
    if (inputs->at == BROKER_DIES_AT && !inputs->starter) {
        end(inputs->broker);
        int err = wf_thread_create(NULL, start_again, inputs, &inputs->starter, NULL);
        if (!err)
            err = wf_thread_start(inputs->starter);
        if (err)
            return err;
    }
    int len = snprintf(inputs->text, sizeof inputs->text, "%d %s", inputs->at++, inputs->folder);
    *ret_input = (wf_bytes){inputs->text, (size_t)len};
    return 1;
}

static void check_sums(struct wf_mapreduce *result)
{
    wf_bytes key, value;
    int64_t sum, expected;
    for (int i = 0; i < KEYS; i++) {
        expected = 0;
        for (int n = i; n < PARTS; n += KEYS)
            expected += n;
        assert_int_equal(wf_mapreduce_next(result, &key, &value, NULL), 1);
        assert_true(key.len == 1 && *(const char *)key.ptr == 'a' + i);
        assert_int_equal(wf_bytes_int(value, &sum), 0);
        assert_int_equal(sum, expected);
    }
    assert_int_equal(wf_mapreduce_next(result, &key, &value, NULL), 1);
    assert_true(key.len == 5 && wf_bytes_int(value, &sum) == 0);
    assert_int_equal(sum, PARTS);
    assert_int_equal(wf_mapreduce_next(result, &key, &value, NULL), 0);
}

static uint64_t survives(struct broker *broker, int64_t part_ns)
{
    struct wf_executor *on;
    struct wf_mapreduce *result;
    struct wf_mapreduce_counts counts;
    struct wf_error error = {0};
    char mark[128], folder[] = "/tmp/weft_mapreduce_test_XXXXXX";
    assert_non_null(mkdtemp(folder));
    assert_true(start(broker));
    const char *url = url_of(broker);
    struct wf_child *first = start_worker(url, "first@here");
    struct wf_child *second = start_worker(url, "second@here");
    const struct wf_celery_options celery = {
        .broker = url, .backend = results_of(url), .workers = 4};
    assert_int_equal(wf_celery_create(&celery, &on, &error), 0);

    struct inputs inputs = {.broker = broker, .folder = folder};
    wf_event_init(&inputs.over);
    const struct wf_mapreduce_options options = {
        .part_ns = part_ns, .partitions = 3, .attempts = 1000}; /* however slow the broker is */
    int err = wf_mapreduce_run(on, &number_sum_job, next_number, &inputs, &options, &result,
                               wf_after(WF_SECONDS(300)), &error);
    if (err)
        fprintf(stderr, "%s\n", error.text);
    assert_int_equal(err, 0);
    check_sums(result);
    wf_mapreduce_count(result, &counts);
    printf("%" PRIu64 " + %" PRIu64 " parts, %" PRIu64 " given out again\n", counts.map_parts,
           counts.reduce_parts, counts.lost);
    assert_int_equal(counts.map_parts, PARTS);
    wf_mapreduce_close(result);

    /* One is gone, and nobody but itself was asked to go. */
    struct wf_exit exit;
    snprintf(mark, sizeof mark, "%s/killed", folder);
    assert_int_equal(unlink(mark), 0);
    assert_int_equal(rmdir(folder), 0);
    const bool first_died = wf_child_wait(first, &exit, WF_NOW) == 0;
    const bool second_died = wf_child_wait(second, &exit, WF_NOW) == 0;
    assert_true(first_died != second_died);
    assert_int_equal(exit.signal, SIGKILL);

    wf_executor_destroy(on);
    wf_child_stop(first, WF_SECONDS(10), NULL);
    wf_child_close(first);
    wf_child_stop(second, WF_SECONDS(10), NULL);
    wf_child_close(second);
    wf_event_set(&inputs.over);
    assert_int_equal(wf_thread_join(inputs.starter, NULL, WF_FOREVER), 0);
    wf_thread_destroy(inputs.starter);
    wf_event_fini(&inputs.over);
    assert_true(inputs.started);
    redis_server_stop(&broker->redis);
    rabbit_server_stop(&broker->rabbit);
    return counts.lost;
}

/* What was sent and not done is in Redis, and goes from the dead worker to the other: no part is
 * sent twice. */
static void a_worker_and_a_broker_that_keeps_its_data_are_lost(void **state)
{
    (void)state;
    static const char *const options[] = {"--appendonly", "yes", "--appendfsync", "always", NULL};
    struct broker broker = {.options = options};
    assert_int_equal(survives(&broker, 0), 0);
}

/* All that was in Redis is gone; what is not heard of is sent again. */
static void a_worker_and_all_that_the_broker_had_are_lost(void **state)
{
    (void)state;
    struct broker broker = {.options = NULL};
    assert_true(survives(&broker, WF_SECONDS(1)) > 0);
}

/* Calls stay in RabbitMQ, results on their way are gone with it. */
static void a_worker_and_rabbitmq_with_the_results_are_lost(void **state)
{
    (void)state;
    struct broker broker = {.is_rabbit = true};
    if (access("/usr/lib/rabbitmq/bin/rabbitmq-server", X_OK) != 0)
        skip();
    assert_true(survives(&broker, WF_SECONDS(2)) > 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_and_a_broker_that_keeps_its_data_are_lost),
        cmocka_unit_test(a_worker_and_all_that_the_broker_had_are_lost),
        cmocka_unit_test(a_worker_and_rabbitmq_with_the_results_are_lost),
    };
    if (argc == 4 && strcmp(argv[1], "--worker") == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        return wf_main(NULL, work, argv, NULL) != 128 + SIGTERM;
    }
    if (access("/usr/bin/redis-server", X_OK) != 0) {
        puts("no redis-server (Debian: redis-server), so nothing is tested");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
