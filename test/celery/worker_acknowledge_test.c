/* SPDX-License-Identifier: MIT */
/*
 * When a worker acknowledges, looked at by the tasks themselves: whether their message is still in
 * `unacked` while they run. Two run at once, one that is acknowledged late, one early; what a task
 * says of itself counts more than what the worker's options say.
 *
 * Acknowledgements go out in the order in which they are made. The late one is begun first, and
 * looks when that of the other has gone out: its own would have gone before.
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
#include <weft/celery_task.h>
#include <weft/event.h>
#include <weft/fibers.h>
#include <weft/task.h>

#include "celery/message/message.h"
#include "redis_group.h"
#include "redis_number.h"

static struct redis_server server;
static struct wf_event late_runs, early_is_gone;

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

__attribute__((format(printf, 2, 3))) static long ask(int fd, const char *format, ...)
{
    char command[200];
    va_list args;
    va_start(args, format);
    const int len = vsnprintf(command, sizeof command, format, args);
    va_end(args);
    assert_in_range(len, 1, sizeof command - 1);
    return redis_number(fd, command, (size_t)len);
}

/* A message has its id as its delivery tag, too. Returns whether it is gone before the deadline. */
static bool is_gone(int fd, const char *id, wf_deadline deadline)
{
    while (ask(fd, "HEXISTS unacked %s\r\n", id)) {
        if (wf_remaining(deadline) == 0)
            return false;
        (void)wf_sleep(wf_after(WF_MILLISECONDS(1)));
    }
    return true;
}

/* Returns whether the task's own message is gone while it runs. */
static int look(struct wf_task *self, bool *ret)
{
    const char *id = wf_celery_task_request(self)->id;
    const bool late = strcmp(id, "late") == 0;
    const int fd = redis_connect(&server);
    if (late) {
        wf_event_set(&late_runs);
        if (wf_event_wait(&early_is_gone, soon()))
            return -ETIMEDOUT;
    }
    *ret = is_gone(fd, id, late ? WF_NOW : soon());
    if (!late)
        wf_event_set(&early_is_gone);
    close(fd);
    return 0;
}

WF_TASK(bool, says_nothing)
WF_TASK(bool, says_late)
WF_TASK(bool, says_early)

int says_nothing(struct wf_task *self, bool *ret)
{
    return look(self, ret);
}
WF_TASK_DEFINE(says_nothing)

int says_late(struct wf_task *self, bool *ret)
{
    return look(self, ret);
}
WF_TASK_DEFINE_WITH(says_late, .celery = &(const struct wf_celery_task){.acks_late = WF_CELERY_YES})

int says_early(struct wf_task *self, bool *ret)
{
    return look(self, ret);
}
WF_TASK_DEFINE_WITH(says_early, .celery = &(const struct wf_celery_task){.acks_late = WF_CELERY_NO})

WF_TASK(wf_none, acknowledging, (const struct wf_celery_worker_options *, options))

int acknowledging(struct wf_task *self, const struct wf_celery_worker_options *options,
                  wf_none *ret)
{
    struct wf_error error = {0};
    (void)ret;
    return wf_celery_worker_run(options, &error) == 0 ? 0 : wf_task_fail_with(self, &error);
}
WF_TASK_DEFINE(acknowledging)

static void push(int fd, const char *task, const char *id)
{
    static char command[4000];
    struct wf_json_writer *w;
    const char *text;
    size_t len;
    const struct wfi_message m = {
        .task = task,
        .id = id,
        .properties = {.routing_key = "celery", .delivery_tag = id, .correlation_id = id},
        .args = {.text = "[]", .len = 2},
        .kwargs = {.text = "{}", .len = 2}};
    assert_int_equal(wfi_message_writer_create(&w), 0);
    assert_int_equal(wfi_message_write_redis(w, &m), 0);
    assert_int_equal(wf_json_writer_text(w, &text, &len), 0);
    const int bytes = snprintf(command, sizeof command,
                               "*3\r\n$5\r\nLPUSH\r\n$6\r\ncelery\r\n$%zu\r\n%s\r\n", len, text);
    assert_in_range(bytes, 1, sizeof command - 1);
    (void)redis_number(fd, command, (size_t)bytes);
    wf_json_writer_destroy(w);
}

/* Whether the value that is stored under the id is this one. */
static bool has_result(int fd, const char *id, bool value)
{
    return ask(fd,
               "EVAL \"local meta = redis.call('GET', KEYS[1]); return meta and "
               "string.find(meta, '\\\"result\\\": %s', 1, true) and 1 or 0\" 1 "
               "celery-task-meta-%s\r\n",
               value ? "true" : "false", id) == 1;
}

static void check(bool option, const char *late, const char *early)
{
    const struct wf_celery_worker_options options = {.broker = server.url,
                                                     .backend = server.url,
                                                     .concurrency = 2,
                                                     .acks_late = option,
                                                     .no_mingle = true,
                                                     .no_heartbeat = true,
                                                     .no_control = true};
    const int fd = redis_connect(&server);
    struct wf_executor *on;
    wf_none none;
    wf_event_init(&late_runs);
    wf_event_init(&early_is_gone);
    assert_int_equal(wf_fibers_create(&(struct wf_fibers_options){.workers = 1}, &on, NULL), 0);
    struct wf_future *worker = acknowledging_submit(on, &options).future;
    push(fd, late, "late");
    assert_int_equal(wf_event_wait(&late_runs, soon()), 0);
    push(fd, early, "early");
    assert_int_equal(wf_event_wait(&early_is_gone, soon()), 0);
    assert_true(is_gone(fd, "late", soon()));
    assert_true(has_result(fd, "late", false)); /* it is stored before the acknowledgement */
    (void)wf_future_cancel(worker);
    assert_int_equal(wf_future_result(&worker, &none, soon(), NULL), -ECANCELED);
    assert_true(has_result(fd, "early", true));
    assert_int_equal(ask(fd, "EXISTS celery unacked unacked_index\r\n"), 0);
    assert_int_equal(ask(fd, "DEL celery-task-meta-late celery-task-meta-early\r\n"), 2);
    wf_executor_destroy(on);
    wf_event_fini(&late_runs);
    wf_event_fini(&early_is_gone);
    close(fd);
}

static void a_worker_that_acknowledges_early(void **state)
{
    (void)state;
    check(false, "says_late", "says_nothing");
    check(false, "says_late", "says_early");
}

static void a_worker_that_acknowledges_late(void **state)
{
    (void)state;
    check(true, "says_nothing", "says_early");
    check(true, "says_late", "says_early");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_that_acknowledges_early),
        cmocka_unit_test(a_worker_that_acknowledges_late),
    };
    return redis_group_run(&server, tests, sizeof tests / sizeof *tests, NULL, NULL);
}
