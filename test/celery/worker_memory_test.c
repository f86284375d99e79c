/* SPDX-License-Identifier: MIT */
/*
 * A worker on a real Redis whose n-th allocation fails, for every n: of one message from its being
 * taken to its end, and of the start. Nothing hangs, each message has a result, be it that there
 * was no memory, whenever it is acknowledged, and the messages after it are done as ever.
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
#include "redis_group.h"
#include "redis_number.h"

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

static WFI_ATOMIC(int) broken;

static void note_line(void *arg, enum wf_celery_level level, const char *line)
{
    (void)arg, (void)level;
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
                                             .log = note_line};
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

/* Until it is neither queued nor held, and has a result. A worker without the memory to take a
 * message on ends, and has given it back; then there is another. Returns how many ended. */
static unsigned send_and_wait(const struct prepared *p, const char *id)
{
    static const char command[] = "*4\r\n$6\r\nEXISTS\r\n$6\r\ncelery\r\n$7\r\nunacked\r\n"
                                  "$13\r\nunacked_index\r\n";
    const wf_deadline limit = soon();
    unsigned ended = 0;
    (void)call(p->text, p->len);
    while (call(command, sizeof command - 1) || !is_stored(id)) {
        if (wf_future_state(worker) == WF_FUTURE_FAILED) {
            assert_int_equal(end_of_worker(), -ENOMEM);
            worker = worker_in_memory_submit(on, &options).future;
            ended++;
        }
        if (wf_remaining(limit) == 0)
            fail_msg("%s stays, or has no result", id);
        wf_sleep(wf_after(WF_MILLISECONDS(1)));
    }
    return ended;
}

static void fail_each_allocation(bool acks_late)
{
    static struct prepared failing, after;
    uint64_t n = 0;
    unsigned ended = 0, reconnected = 0;
    on = create_fibers();
    options = options_of();
    options.acks_late = acks_late;
    worker = worker_in_memory_submit(on, &options).future;
    forget();
    prepare(&failing, "failing");
    prepare(&after, "after");
    assert_int_equal(send_and_wait(&after, "after"), 0); /* what is made once is there */
    for (bool failed = true; failed;) {
        forget();
        wfi_alloc_watch(++n);
        ended += send_and_wait(&failing, "failing");
        failed = wfi_alloc_unwatch();
        assert_int_equal(send_and_wait(&after, "after"), 0);
        if (wfi_exchange(&broken, 0)) { /* it would wait longer from time to time */
            (void)wf_future_cancel(worker);
            assert_int_equal(end_of_worker(), -ECANCELED);
            worker = worker_in_memory_submit(on, &options).future;
            reconnected++;
        }
    }
    printf("%llu allocations; %u times the worker ended, %u times it connected anew\n",
           (unsigned long long)n, ended, reconnected);
    assert_true(n > 20);
    (void)wf_future_cancel(worker);
    assert_int_equal(end_of_worker(), -ECANCELED);
    wf_executor_destroy(on);
}

static void a_message_has_an_end_when_it_is_acknowledged_late(void **state)
{
    (void)state;
    fail_each_allocation(true);
}

/* What fails then is all of it that there will be. */
static void a_message_has_an_end_when_it_is_acknowledged_early(void **state)
{
    (void)state;
    fail_each_allocation(false);
}

static int start(void **state)
{
    (void)state;
    redis_fd = redis_connect(&server);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    close(redis_fd);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_has_an_end_when_it_is_acknowledged_late),
        cmocka_unit_test(a_message_has_an_end_when_it_is_acknowledged_early),
    };
    return redis_group_run(&server, tests, sizeof tests / sizeof *tests, start, stop);
}
