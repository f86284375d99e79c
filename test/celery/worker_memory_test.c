/* SPDX-License-Identifier: MIT */
/*
 * A worker on a real Redis whose n-th allocation fails, for every n: of one message from its being
 * taken to its acknowledgement, and of the start. Nothing hangs, nothing is acknowledged without an
 * end, and the messages after it are done as ever.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/celery.h>
#include <weft/fibers.h>
#include <weft/scope.h>
#include <weft/task.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "celery/message/message.h"
#include "redis_number.h"
#include "redis_server.h"

static struct redis_server server;

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

WF_TASK(wf_bytes, says_done, (const struct wf_json *, value))

int says_done(struct wf_task *self, const struct wf_json *value, wf_bytes *ret)
{
    (void)self, (void)value;
    *ret = (wf_bytes){"\"done\"", 6};
    return 0;
}
WF_TASK_DEFINE(says_done)

WF_TASK(wf_none, worker_in_memory, (const struct wf_celery_worker_options *, options))

int worker_in_memory(struct wf_task *self, const struct wf_celery_worker_options *options,
                     wf_none *ret)
{
    struct wf_error error = {0};
    (void)ret;
    return wf_celery_worker_run(options, &error) == 0 ? 0 : wf_task_fail_with(self, &error);
}
WF_TASK_DEFINE(worker_in_memory)

/* ---- a client of Redis whose failing is not what is looked at ---- */

static int redis_fd;

static long call(const char *command, size_t len)
{
    return redis_number(redis_fd, command, len);
}

/* A message that is ready to be sent. */
struct prepared {
    char text[4000];
    size_t len;
};

static void prepare(struct prepared *p, const char *id)
{
    struct wf_json_writer *w;
    const char *text;
    size_t len;
    const struct wfi_message m = {
        .task = "says_done",
        .id = id,
        .root_id = id,
        .properties = {.routing_key = "celery", .delivery_tag = id, .correlation_id = id},
        .args = {.text = "[{\"a\": [1, 2.5, \"text\"]}]", .len = 25},
        .kwargs = {.text = "{}", .len = 2}};
    assert_int_equal(wfi_message_writer_create(&w), 0);
    assert_int_equal(wfi_message_write_redis(w, &m), 0);
    assert_int_equal(wf_json_writer_text(w, &text, &len), 0);
    p->len = (size_t)snprintf(p->text, sizeof p->text,
                              "*3\r\n$5\r\nLPUSH\r\n$6\r\ncelery\r\n$%zu\r\n%s\r\n", len, text);
    assert_true(p->len < sizeof p->text);
    wf_json_writer_destroy(w);
}

static bool is_stored(const char *id)
{
    char command[100];
    const int len =
        snprintf(command, sizeof command, "*2\r\n$6\r\nEXISTS\r\n$%zu\r\ncelery-task-meta-%s\r\n",
                 strlen(id) + strlen("celery-task-meta-"), id);
    return call(command, (size_t)len) == 1;
}

static void forget(void)
{
    (void)call("*1\r\n$8\r\nFLUSHALL\r\n", 18);
}

static WFI_ATOMIC(int) logged, broken;

static void count_line(void *arg, enum wf_celery_level level, const char *line)
{
    (void)arg;
    if (level == WF_CELERY_ERROR)
        wfi_fetch_add(&logged, 1);
    if (strstr(line, "connecting again"))
        wfi_fetch_add(&broken, 1);
}

static struct wf_celery_worker_options options_of(void)
{
    return (struct wf_celery_worker_options){.broker = server.url,
                                             .backend = server.url,
                                             .concurrency = 1,
                                             .acks_late = true,
                                             .visibility_ns = WF_MILLISECONDS(300),
                                             .restore_ns = WF_MILLISECONDS(20),
                                             .no_mingle = true,
                                             .no_heartbeat = true,
                                             .no_control = true,
                                             .log = count_line};
}

static struct wf_executor *create_fibers(void)
{
    struct wf_executor *on;
    assert_int_equal(wf_fibers_create(&(struct wf_fibers_options){.workers = 1}, &on, NULL), 0);
    return on;
}

static struct wf_executor *on;
static struct wf_future *worker;
static struct wf_celery_worker_options options;

static int end_of_worker(void)
{
    wf_none none;
    struct wf_error error = {0};
    return wf_future_result(&worker, &none, soon(), &error);
}

/* Until nothing is queued or held. A worker without the memory to take a message on ends, and has
 * given it back; then there is another. Returns how many ended. */
static unsigned send_and_wait(const struct prepared *p)
{
    static const char command[] = "*4\r\n$6\r\nEXISTS\r\n$6\r\ncelery\r\n$7\r\nunacked\r\n"
                                  "$13\r\nunacked_index\r\n";
    const wf_deadline limit = soon();
    unsigned ended = 0;
    (void)call(p->text, p->len);
    while (call(command, sizeof command - 1)) {
        if (wf_future_state(worker) == WF_FUTURE_FAILED) {
            assert_int_equal(end_of_worker(), -ENOMEM);
            worker = worker_in_memory_submit(on, &options).future;
            ended++;
        }
        if (wf_remaining(limit) == 0)
            fail_msg("a message stays");
        wf_sleep(wf_after(WF_MILLISECONDS(1)));
    }
    return ended;
}

static void test_a_message_survives_or_has_an_end(void **state)
{
    static struct prepared failing, after;
    uint64_t n = 0, untold = 0;
    unsigned ended = 0, reconnected = 0;
    on = create_fibers();
    options = options_of();
    worker = worker_in_memory_submit(on, &options).future;
    (void)state;
    prepare(&failing, "failing");
    prepare(&after, "after");
    assert_int_equal(send_and_wait(&after), 0);
    assert_true(is_stored("after")); /* what is made once is there */
    for (bool failed = true; failed;) {
        const int before = wfi_load(&logged);
        forget();
        wfi_alloc_watch(++n);
        ended += send_and_wait(&failing);
        failed = wfi_alloc_unwatch();
        assert_int_equal(send_and_wait(&after), 0);
        if (!is_stored("after"))
            fail_msg("after allocation %llu failed", (unsigned long long)n);
        if (wfi_exchange(&broken, 0)) { /* it would wait longer from time to time */
            (void)wf_future_cancel(worker);
            assert_int_equal(end_of_worker(), -ECANCELED);
            worker = worker_in_memory_submit(on, &options).future;
            reconnected++;
        }
        if (!is_stored("failing")) {
            untold++;
            if (wfi_load(&logged) == before)
                fail_msg("allocation %llu lost a result in silence", (unsigned long long)n);
        }
    }
    printf(
        "%llu allocations; %llu results could not be stored, %u times the worker ended, %u times "
        "it connected anew\n",
        (unsigned long long)n, (unsigned long long)untold, ended, reconnected);
    assert_true(n > 20);
    (void)wf_future_cancel(worker);
    assert_int_equal(end_of_worker(), -ECANCELED);
    wf_executor_destroy(on);
}

static int start(void **state)
{
    (void)state;
    if (!redis_server_start(&server, NULL))
        return -1;
    redis_fd = redis_connect(&server);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    close(redis_fd);
    redis_server_stop(&server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_message_survives_or_has_an_end),
    };
    if (access("/usr/bin/redis-server", X_OK) != 0) {
        puts("no redis-server (Debian: redis-server), so nothing is tested");
        return 77;
    }
    return cmocka_run_group_tests(tests, start, stop);
}
