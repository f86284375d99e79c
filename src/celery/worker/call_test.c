/* SPDX-License-Identifier: MIT */
/*
 * Calls: what a task is given and what becomes of its end, the same on every engine.
 */
#include "celery/worker/call.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <weft/fibers.h>
#include <weft/future.h>
#include <weft/main.h>
#include <weft/processes.h>
#include <weft/threads.h>

#include "base/alloc.h"
#include "celery/message/result.h"
#include "celery/worker/builtin.h"

/* The engines, one after the other. */
static struct wf_executor *engine;

#define SOON wf_after(WF_SECONDS(60))

WF_TASK(int64_t, add, (int64_t, x), (int64_t, y))
int add(struct wf_task *self, int64_t x, int64_t y, int64_t *ret)
{
    *ret = x + y;
    return x < 0 ? wf_task_fail(self, -EINVAL, "%d is too small", (int)x) : 0;
}
WF_TASK_DEFINE(add)

static void free_text(void *result)
{
    free((void *)(uintptr_t)((wf_bytes *)result)->ptr);
}

/* What a task sees of its request, as a text. */
WF_TASK(wf_bytes, look, (const struct wf_json *, any))
int look(struct wf_task *self, const struct wf_json *any, wf_bytes *ret)
{
    const struct wf_celery_request *r = wf_celery_task_request(self);
    const struct wf_json_value *own = wf_celery_header(self, "own");
    char *text = malloc(600);
    (void)any;
    if (!r || !text || wf_celery_task_request(wf_task_self()) != r)
        return -ENOENT;
    snprintf(text, 600, "%s %s %s %s %d %d %s %g %g %s %s %s %s %d", r->id, r->root_id,
             r->parent_id ? r->parent_id : "-", r->group_id, (int)r->group_index, (int)r->retries,
             r->eta, r->soft_time_limit_s, r->time_limit_s, r->routing_key, r->reply_to, r->worker,
             own ? wf_json_text(own, NULL) : "-", wf_celery_header(self, "no such") == NULL);
    *ret = (wf_bytes){text, strlen(text)};
    return 0;
}
WF_TASK_DEFINE_WITH(look, .drop_result = free_text)

WF_TASK(wf_none, again, (int, how))
int again(struct wf_task *self, int how, wf_none *ret)
{
    struct wf_error cause;
    (void)ret;
    wf_error_set(&cause, -ETIMEDOUT, "the other is slow");
    switch (how) {
    case 0:
        return wf_task_retry(self, NULL);
    case 1:
        return wf_task_retry(self, &(struct wf_celery_retry){.countdown_ns = WF_SECONDS(5),
                                                             .error = &cause,
                                                             .args = "[7]",
                                                             .kwargs = "{\"a\": 1}",
                                                             .queue = "slow"});
    case 2:
        return wf_task_retry(self, &(struct wf_celery_retry){.eta_us = 1234, .max_retries = -1});
    case 3:
        return wf_task_retry(self, &(struct wf_celery_retry){.args = "{}"});
    case 4:
        (void)wf_task_retry(self, NULL);
        return 0; /* it thought better of it */
    default:
        return wf_task_retry(self, &(struct wf_celery_retry){.error = &cause});
    }
}
WF_TASK_DEFINE(again)

WF_TASK(wf_none, flaky, (int, code))
int flaky(struct wf_task *self, int code, wf_none *ret)
{
    (void)ret;
    return wf_task_fail(self, code, "not today");
}
static const int flaky_codes[] = {-EAGAIN, -ETIMEDOUT, 0};
static const struct wf_celery_task flaky_celery = {.autoretry_for = flaky_codes,
                                                   .max_retries = 2,
                                                   .retry_backoff_ns = WF_SECONDS(10),
                                                   .retry_backoff_max_ns = WF_SECONDS(15),
                                                   .retry_exactly = true};
WF_TASK_DEFINE_WITH(flaky, .celery = &flaky_celery)

WF_TASK(wf_none, ends, (const char *, how))
int ends(struct wf_task *self, const char *how, wf_none *ret)
{
    static const char signature[] = "{\"task\": \"add\", \"args\": [1, 2]}";
    (void)ret;
    if (strcmp(how, "replace") == 0)
        return wf_celery_replace(self, signature);
    if (strcmp(how, "replace wrongly") == 0)
        return wf_celery_replace(self, "{\"args\": []}");
    if (strcmp(how, "ignore") == 0)
        return wf_celery_ignore(self);
    if (strcmp(how, "reject") == 0)
        return wf_celery_reject(self, true);
    if (strcmp(how, "raise") == 0)
        return wf_celery_raise(self, "my.errors", "Odd", "what a day");
    if (strcmp(how, "raise nothing") == 0)
        return wf_celery_raise(self, "builtins", "KeyError", NULL);
    for (int i = 0; i < 2; i++) {
        int err = wf_celery_add_to_chord(self, signature);
        if (err)
            return err;
    }
    return strcmp(how, "grow and fail") == 0 ? -EIO : 0;
}
WF_TASK_DEFINE(ends)

WF_TASK(wf_none, wait_long, (int, unused))
int wait_long(struct wf_task *self, int unused, wf_none *ret)
{
    (void)self, (void)unused, (void)ret;
    return wf_sleep(SOON);
}
WF_TASK_DEFINE(wait_long)

WF_TASK(wf_none, progress, (int, done))
int progress(struct wf_task *self, int done, wf_none *ret)
{
    (void)ret;
    if (wf_celery_update_state(self, "PROGRESS", "{") != -EINVAL ||
        wf_celery_update_state(self, "", NULL) != -EINVAL)
        return -EBADMSG;
    char meta[40];
    snprintf(meta, sizeof meta, "{\"done\": %d}", done);
    return wf_celery_update_state(self, "PROGRESS", meta);
}
WF_TASK_DEFINE(progress)

/* Gives a count, as a task may: that is no failure. */
WF_TASK(int, counts, (int, n))
int counts(struct wf_task *self, int n, int *ret)
{
    (void)self;
    *ret = n;
    return n;
}
WF_TASK_DEFINE(counts)

/* Its result lies in its argument. */
WF_TASK(wf_bytes, same, (wf_bytes, bytes))
int same(struct wf_task *self, wf_bytes bytes, wf_bytes *ret)
{
    (void)self;
    *ret = bytes;
    return 0;
}
static void drop_nothing(void *result)
{
    (void)result;
}
WF_TASK_DEFINE_WITH(same, .drop_result = drop_nothing)

struct secret {
    int number;
};
static ssize_t encode_secret(const void *value, void *buf, size_t len)
{
    (void)value, (void)buf, (void)len;
    return -EPERM;
}
static int decode_secret(void *value, const void *bytes, size_t len)
{
    (void)value, (void)bytes, (void)len;
    return -EPERM;
}
WF_WIRE(struct secret, encode_secret, decode_secret)

WF_TASK(struct secret, tells, (int, number))
int tells(struct wf_task *self, int number, struct secret *ret)
{
    (void)self;
    ret->number = number;
    return 0;
}
WF_TASK_DEFINE(tells)

WF_TASK(wf_none, die, (int, status))
int die(struct wf_task *self, int status, wf_none *ret)
{
    (void)self, (void)ret;
    _Exit(status);
}
WF_TASK_DEFINE(die)

/* ---- a message ---- */

struct given {
    struct wfi_message m;
    struct wfi_message_in in;
};

static void give(struct given *given, const char *task, const char *args)
{
    struct wf_json_writer *w;
    const char *text;
    size_t len;
    struct wf_error error;
    struct wf_json *own;
    given->m.task = task;
    given->m.id = "the-id";
    given->m.root_id = "the-root";
    given->m.args = (struct wfi_json_piece){.text = args, .len = strlen(args)};
    given->m.properties.routing_key = "a queue";
    given->m.properties.exchange = "";
    given->m.properties.reply_to = "somebody";
    given->m.properties.delivery_tag = "tag";
    assert_int_equal(wf_json_read("{\"own\": \"mine\"}", 15, NULL, &own, NULL), 0);
    given->m.headers = wf_json_root(own);
    assert_int_equal(wfi_message_writer_create(&w), 0);
    assert_int_equal(wfi_message_write_redis(w, &given->m), 0);
    assert_int_equal(wf_json_writer_text(w, &text, &len), 0);
    if (wfi_message_read_redis(text, len, &given->in, &error) != WFI_MESSAGE_RUN ||
        wfi_message_read_body(&given->in, 0, &error) != WFI_MESSAGE_RUN)
        fail_msg("%s", error.text);
    wf_json_writer_destroy(w);
    wf_json_destroy(own);
}

static struct wf_task_type const *type_of(const char *name)
{
    const struct wf_task_type *type = wf_task_find(name);
    assert_non_null(type);
    return type;
}

static void call_with(struct given *given, const char *task, const char *args,
                      struct wfi_outcome *ret)
{
    give(given, task, args);
    struct wfi_call call = {.on = engine,
                            .type = type_of(task),
                            .in = &given->in,
                            .worker = "w@h",
                            .soft_s = 1.5,
                            .hard_s = 20};
    struct wf_future *f = wfi_call_submit(&call);
    assert_non_null(f);
    wfi_call_end(&call, &f, ret);
    assert_null(f);
}

static void done(struct given *given, struct wfi_outcome *outcome)
{
    wfi_outcome_fini(outcome);
    wfi_message_in_reset(&given->in);
}

/* One call, whose result is compared where one is given. */
static struct wfi_outcome check(const char *task, const char *args, enum wfi_call_ending ending,
                                const char *result)
{
    struct given given = {0};
    struct wfi_outcome outcome, seen;
    call_with(&given, task, args, &outcome);
    if (outcome.ending != ending ||
        (result && (!outcome.result.text || strcmp(outcome.result.text, result) != 0)))
        fail_msg("%s%s on %s: %d %s", task, args, wf_executor_engine(engine), outcome.ending,
                 outcome.result.text ? outcome.result.text : "(nothing)");
    seen = outcome;
    done(&given, &outcome);
    return seen; /* what it points to is gone */
}

/* ---- the tests ---- */

static void values_and_failures(void)
{
    check("add", "[2, 3]", WFI_CALL_SUCCEEDED, "5");
    struct wfi_outcome failed =
        check("add", "[-1, 3]", WFI_CALL_FAILED,
              "{\"exc_type\": \"ValueError\", \"exc_message\": [\"-1 is too small\"], "
              "\"exc_module\": \"builtins\"}");
    assert_int_equal(failed.error.code, -EINVAL);
    assert_string_equal(failed.error.text, "-1 is too small");
    failed = check("add", "[2]", WFI_CALL_FAILED,
                   "{\"exc_type\": \"TypeError\", \"exc_message\": [\"add() missing 1 required "
                   "positional argument: 'y'\"], \"exc_module\": \"builtins\"}");
    assert_string_equal(failed.error.text,
                        "TypeError: add() missing 1 required positional argument: 'y'");
    check("ends", "[\"raise\"]", WFI_CALL_FAILED,
          "{\"exc_type\": \"Odd\", \"exc_message\": [\"what a day\"], \"exc_module\": "
          "\"my.errors\"}");
    check("ends", "[\"raise nothing\"]", WFI_CALL_FAILED,
          "{\"exc_type\": \"KeyError\", \"exc_message\": [], \"exc_module\": \"builtins\"}");
}

static void what_cannot_be_written_fails(void)
{
    char expected[200];
    snprintf(expected, sizeof expected,
             "{\"exc_type\": \"EncodeError\", \"exc_message\": [\"%s\"], \"exc_module\": "
             "\"kombu.exceptions\"}",
             wf_strerror(-EPERM));
    check("tells", "[1]", WFI_CALL_FAILED, expected);
}

static void maps_call_tasks(void)
{
    assert_true(wfi_builtin_count() > 0); /* links them */
    check("celery.map", "[{\"task\": \"counts\"}, [0, 3, 0]]", WFI_CALL_SUCCEEDED, "[0, 3, 0]");
    check("celery.starmap", "[\"add\", [[1, 2], [3, 4]]]", WFI_CALL_SUCCEEDED, "[3, 7]");
    check("celery.map", "[\"same\", [{\"__type__\": \"base64\", \"__value__\": \"YWJj\"}, \"d\"]]",
          WFI_CALL_SUCCEEDED, "[\"abc\", \"d\"]");
    check("celery.map", "[\"add\", [1]]", WFI_CALL_FAILED, NULL);
    check("celery.map", "[\"tells\", [1]]", WFI_CALL_FAILED, NULL);

    /* Maps of maps: a few are done, and hundreds would take a fiber's stack. */
    for (int depth = 3; depth < 400; depth += 396) {
        char *args = malloc((size_t)depth * 40 + 40), *at = args;
        at += sprintf(at, "[\"celery.starmap\", ");
        for (int i = 1; i < depth; i++)
            at += sprintf(at, "[[\"celery.starmap\", ");
        at += sprintf(at, "[[\"celery.map\", []]]");
        for (int i = 1; i < depth; i++)
            at += sprintf(at, "]]");
        sprintf(at, "]");
        struct given given = {0};
        struct wfi_outcome outcome;
        call_with(&given, "celery.starmap", args, &outcome);
        if (outcome.ending != (depth > 20 ? WFI_CALL_FAILED : WFI_CALL_SUCCEEDED) ||
            !strstr(outcome.result.text, depth > 20 ? "RecursionError" : "[[[]]]"))
            fail_msg("%d: %s", depth, outcome.result.text);
        done(&given, &outcome);
        free(args);
    }
}

static void a_request_is_seen(void)
{
    struct given given = {.m = {.group = "the-group",
                                .has_group_index = true,
                                .group_index = 3,
                                .retries = 2,
                                .eta = "2020-01-02T03:04:05"}};
    struct wfi_outcome outcome;
    call_with(&given, "look", "[null]", &outcome);
    assert_string_equal(outcome.result.text,
                        "\"the-id the-root - the-group 3 2 2020-01-02T03:04:05 1.5 20 a queue "
                        "somebody w@h mine 1\"");
    done(&given, &outcome);
}

static int64_t now_us(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void retries_are_told(void)
{
    static const char timeout[] =
        "{\"exc_type\": \"TimeoutError\", \"exc_message\": [\"the other is slow\"], "
        "\"exc_module\": \"builtins\"}";
    const int64_t before = now_us();
    struct wfi_outcome outcome = check("again", "[0]", WFI_CALL_RETRIED, "null");
    assert_true(outcome.eta_us >= before + 180 * 1000000);
    assert_true(outcome.eta_us <= now_us() + 180 * 1000000);
    struct given given = {0};
    call_with(&given, "again", "[1]", &outcome);
    assert_int_equal(outcome.ending, WFI_CALL_RETRIED);
    assert_string_equal(outcome.result.text, timeout);
    assert_string_equal(wf_json_text(wf_json_at(outcome.args.value, 0), NULL), "7");
    assert_non_null(wf_json_get(outcome.kwargs.value, "a"));
    assert_string_equal(outcome.queue, "slow");
    assert_true(outcome.eta_us >= before + 5 * 1000000 && outcome.eta_us <= now_us() + 5 * 1000000);
    done(&given, &outcome);
    outcome = check("again", "[2]", WFI_CALL_RETRIED, "null");
    assert_int_equal(outcome.eta_us, 1234);
    check("again", "[3]", WFI_CALL_FAILED,
          "{\"exc_type\": \"ValueError\", \"exc_message\": [\"args is no JSON array\"], "
          "\"exc_module\": \"builtins\"}");
    check("again", "[4]", WFI_CALL_SUCCEEDED, "null");

    given = (struct given){.m.retries = 3}; /* as many as there are by default */
    call_with(&given, "again", "[5]", &outcome);
    assert_int_equal(outcome.ending, WFI_CALL_FAILED);
    assert_string_equal(outcome.result.text, timeout);
    done(&given, &outcome);
    given = (struct given){.m.retries = 3};
    call_with(&given, "again", "[0]", &outcome);
    assert_int_equal(outcome.ending, WFI_CALL_FAILED);
    assert_non_null(strstr(outcome.result.text, "\"MaxRetriesExceededError\""));
    assert_non_null(strstr(outcome.result.text, "Can't retry again[the-id] args:(0,) kwargs:{}"));
    done(&given, &outcome);
    given = (struct given){.m.retries = 3};
    call_with(&given, "again", "[2]", &outcome);
    assert_int_equal(outcome.ending, WFI_CALL_RETRIED);
    done(&given, &outcome);
}

static void failures_retry_by_themselves(void)
{
    char args[20];
    static const int seconds[] = {10, 15}; /* the second would be 20 */
    for (int retries = 0; retries < 2; retries++) {
        struct given given = {.m.retries = retries};
        struct wfi_outcome outcome;
        const int64_t before = now_us();
        snprintf(args, sizeof args, "[%d]", -EAGAIN);
        call_with(&given, "flaky", args, &outcome);
        assert_int_equal(outcome.ending, WFI_CALL_RETRIED);
        assert_non_null(strstr(outcome.result.text, "not today"));
        assert_true(outcome.eta_us >= before + seconds[retries] * 1000000);
        assert_true(outcome.eta_us <= now_us() + seconds[retries] * 1000000);
        done(&given, &outcome);
    }
    struct given given = {.m.retries = 2};
    struct wfi_outcome outcome;
    call_with(&given, "flaky", args, &outcome);
    assert_int_equal(outcome.ending, WFI_CALL_FAILED);
    done(&given, &outcome);
    check("flaky", "[-5]", WFI_CALL_FAILED, NULL); /* EIO is not among them */
}

static void other_ends(void)
{
    struct given given = {0};
    struct wfi_outcome outcome;
    call_with(&given, "ends", "[\"replace\"]", &outcome);
    assert_int_equal(outcome.ending, WFI_CALL_REPLACED);
    assert_string_equal(wf_json_text(wf_json_get(outcome.result.value, "task"), NULL), "add");
    done(&given, &outcome);
    check("ends", "[\"replace wrongly\"]", WFI_CALL_FAILED, NULL);
    check("ends", "[\"ignore\"]", WFI_CALL_IGNORED, NULL);
    assert_true(check("ends", "[\"reject\"]", WFI_CALL_REJECTED, NULL).requeue);
    check("ends", "[\"grow\"]", WFI_CALL_FAILED,
          "{\"exc_type\": \"ValueError\", \"exc_message\": [\"the task is not a part of a "
          "chord\"], \"exc_module\": \"builtins\"}");
    static const char *const grow[] = {"[\"grow\"]", "[\"grow and fail\"]"};
    for (int i = 0; i < 2; i++) {
        static const char body[] = "{\"task\": \"sum\"}";
        given = (struct given){.m.chord = {.text = body, .len = sizeof body - 1}};
        call_with(&given, "ends", grow[i], &outcome);
        assert_int_equal(outcome.ending, i ? WFI_CALL_FAILED : WFI_CALL_SUCCEEDED);
        assert_int_equal(outcome.part_count, 2);
        assert_string_equal(wf_json_text(wf_json_get(outcome.parts[1].value, "task"), NULL), "add");
        done(&given, &outcome);
    }
}

static void what_is_asked_to_stop_is_canceled(void)
{
    struct given given = {0};
    struct wfi_outcome outcome;
    give(&given, "wait_long", "[0]");
    struct wfi_call call = {.on = engine, .type = type_of("wait_long"), .in = &given.in};
    struct wf_future *f = wfi_call_submit(&call);
    while (wf_future_state(f) == WF_FUTURE_PENDING)
        assert_int_equal(wf_yield(), 0);
    (void)wf_future_cancel(f);
    wfi_call_end(&call, &f, &outcome);
    assert_int_equal(outcome.ending, WFI_CALL_CANCELED);
    assert_non_null(strstr(outcome.result.text, "TaskRevokedError"));
    done(&given, &outcome);
}

static char stored[100];
static struct wfi_states *states;

static int update(void *arg, const char *state, const struct wfi_json_piece *meta)
{
    snprintf(stored, sizeof stored, "%s %s %.*s", (const char *)arg, state, (int)meta->len,
             meta->text);
    return 0;
}

static void states_are_stored(void)
{
    static char name[] = "job";
    struct given given = {0};
    struct wfi_outcome outcome;
    give(&given, "progress", "[7]");
    struct wfi_call call = {.on = engine,
                            .type = type_of("progress"),
                            .in = &given.in,
                            .update = update,
                            .arg = name,
                            .states = states};
    struct wf_future *f = wfi_call_submit(&call);
    wfi_call_end(&call, &f, &outcome);
    assert_int_equal(outcome.ending, WFI_CALL_SUCCEEDED);
    assert_string_equal(stored, "job PROGRESS {\"done\": 7}");
    done(&given, &outcome);
}

static void on_each_engine(void **state)
{
    struct wf_executor *on[3];
    struct wf_error error;
    (void)state;
    if (wf_threads_create(&(struct wf_threads_options){.workers = 2}, &on[0], &error) ||
        wf_fibers_create(&(struct wf_fibers_options){.workers = 1}, &on[1], &error) ||
        wf_processes_create(&(struct wf_processes_options){.workers = 1}, &on[2], &error))
        fail_msg("%s", error.text);
    assert_int_equal(wfi_states_create(on[1], &states, &error), 0);
    for (int i = 0; i < 3; i++) {
        engine = on[i];
        values_and_failures();
        what_cannot_be_written_fails();
        maps_call_tasks();
        a_request_is_seen();
        retries_are_told();
        failures_retry_by_themselves();
        other_ends();
        what_is_asked_to_stop_is_canceled();
        stored[0] = '\0';
        states_are_stored();
    }
    struct wfi_outcome lost = check("die", "[3]", WFI_CALL_LOST, NULL);
    assert_int_equal(lost.error.exit_status, 3);
    wfi_states_destroy(states);
    for (int i = 0; i < 3; i++)
        wf_executor_destroy(on[i]);
}

static void a_refusal_is_an_outcome(void **state)
{
    struct wf_error error;
    (void)state;
    assert_int_equal(wf_threads_create(NULL, &engine, &error), 0);
    assert_int_equal(wf_executor_shutdown(engine, WF_SHUTDOWN_WAIT, SOON), 0);
    assert_int_equal(check("add", "[1, 2]", WFI_CALL_FAILED, NULL).error.code, -EPIPE);
    wf_executor_destroy(engine);
}

/* Without a worker, the same functions fail the task. */
static void elsewhere_nothing_is_retried(void **state)
{
    struct wf_executor *on;
    struct wf_error error;
    wf_none none;
    (void)state;
    assert_int_equal(wf_threads_create(NULL, &on, &error), 0);
    again_future f = again_submit(on, 0);
    assert_int_equal(again_result(&f, &none, SOON, &error), -ENOTSUP);
    f = again_submit(on, 5);
    assert_int_equal(again_result(&f, &none, SOON, &error), -ETIMEDOUT);
    assert_string_equal(error.text, "the other is slow");
    ends_future e = ends_submit(on, "raise");
    assert_int_equal(ends_result(&e, &none, SOON, &error), WF_ETASKFAILED);
    assert_string_equal(error.text, "Odd: what a day");
    wf_executor_destroy(on);
}

/* Whichever allocation fails: there is an outcome, and nothing is lost. */
static void memory_may_run_out(void **state)
{
    struct wf_error error;
    (void)state;
    assert_int_equal(wf_threads_create(&(struct wf_threads_options){.workers = 1}, &engine, &error),
                     0);
    check("add", "[1, 2]", WFI_CALL_SUCCEEDED, "3"); /* the thread is there from here on */
    static const char *const tasks[][2] = {
        {"add", "[1, 2]"}, {"again", "[1]"}, {"ends", "[\"replace\"]"}};
    for (size_t t = 0; t < sizeof tasks / sizeof *tasks; t++) {
        bool failed = true;
        for (uint64_t n = 1; failed; n++) {
            struct given given = {0};
            struct wfi_outcome outcome;
            give(&given, tasks[t][0], tasks[t][1]);
            struct wfi_call call = {
                .on = engine, .type = type_of(tasks[t][0]), .in = &given.in, .worker = "w"};
            wfi_alloc_watch(n);
            struct wf_future *f = wfi_call_submit(&call);
            wfi_call_end(&call, &f, &outcome);
            failed = wfi_alloc_unwatch();
            if (!failed)
                assert_int_not_equal(outcome.ending, WFI_CALL_FAILED);
            else if (outcome.ending == WFI_CALL_FAILED &&
                     !strstr(outcome.result.text, "MemoryError"))
                fail_msg("%s, allocation %d: %s", tasks[t][0], (int)n, outcome.result.text);
            done(&given, &outcome);
        }
    }
    wf_executor_destroy(engine);
}

static int root(void *arg)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_each_engine),
        cmocka_unit_test(a_refusal_is_an_outcome),
        cmocka_unit_test(elsewhere_nothing_is_retried),
        cmocka_unit_test(memory_may_run_out),
    };
    (void)arg;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    struct wf_error error = {0};
    if (wf_processes_init(&error)) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    return root(NULL);
}
