/* SPDX-License-Identifier: MIT */
/*
 * What follows from tasks' ends, against a real Redis; what is sent is kept here. Each part is
 * carried out as a worker does it, also twice, as when a worker is killed before it acknowledges.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include <weft/fibers.h>
#include <weft/json.h>

#include "base/alloc.h"
#include "celery/backend/chord_store.h"
#include "celery/backend/group.h"
#include "celery/worker/follow.h"
#include "redis_group.h"

static struct redis_server server;
static struct wf_executor *fibers;
static struct wfi_redis *other;
static struct wfi_store *store;

/* What was sent: "TASK ID GROUP/INDEX BODY" and the route, a line each. */
static char sent[100000];
static int refuse; /* the next to be sent but so many */
static int refuse_with;

static wf_deadline soon(void)
{
    return wf_after(WF_SECONDS(60)); /* only a test that has failed already gets there */
}

static int keep_sent(void *arg, const struct wfi_message *m, struct wf_error *reterr)
{
    struct wfi_buffer body = {0};
    const size_t used = strlen(sent);
    (void)arg;
    if (refuse_with && refuse-- == 0)
        return wf_error_set(reterr, refuse_with, "refused");
    if (wfi_message_pack_body(m, &body) || !wfi_buffer_text(&body)) {
        wfi_buffer_reset(&body);
        return wf_error_set(reterr, -ENOMEM, NULL);
    }
    snprintf(sent + used, sizeof sent - used, "%s %s %s/%d %s %s|%s|%d\n", m->task, m->id,
             m->group ? m->group : "-", m->has_group_index ? (int)m->group_index : -1,
             wfi_buffer_text(&body), m->properties.exchange ? m->properties.exchange : "",
             m->properties.routing_key, m->properties.priority);
    wfi_buffer_reset(&body);
    return 0;
}

static struct wfi_follow_with with = {.send = keep_sent, .origin = "me", .queue = "celery"};

static struct wfi_redis *open_redis(void)
{
    struct wfi_celery_url url;
    struct wfi_redis *redis = NULL;
    struct wf_error error = {0};
    assert_int_equal(wfi_celery_url_parse(server.url, &url, NULL), 0);
    if (wfi_redis_open(&url, NULL, &redis, soon(), &error))
        fail_msg("%s", error.text);
    return redis;
}

/* The first line of an answer: "" for none. */
static const char *ask(const char *command)
{
    static char text[1000];
    struct wfi_redis_batch batch = {0};
    struct wfi_redis_answer answer = {0};
    struct wf_error error = {0};
    wfi_redis_add(&batch, command);
    if (wfi_redis_call(other, &batch, &answer, soon(), &error))
        fail_msg("%s: %s", command, error.text);
    const redisReply *reply = answer.replies[0];
    if (reply->type == REDIS_REPLY_INTEGER)
        snprintf(text, sizeof text, "%lld", reply->integer);
    else
        snprintf(text, sizeof text, "%s", reply->str ? reply->str : "");
    wfi_redis_answer_fini(&answer);
    return text;
}

static int wipe(void **state)
{
    (void)state;
    ask("FLUSHALL");
    sent[0] = '\0';
    refuse = refuse_with = 0;
    with.store = store;
    return 0;
}

/* ---- requests ---- */

struct request {
    struct wfi_message message;
    struct wf_json *json;
};

static struct wf_json *parse(const char *text)
{
    struct wf_json *json = NULL;
    struct wf_error error = {0};
    char *quoted = strdup(text);
    for (char *p = quoted; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    if (wf_json_read(quoted, strlen(quoted), NULL, &json, &error))
        fail_msg("%s: %s", text, error.text);
    free(quoted);
    return json;
}

/* The embedded part of a body, with quotes as '. */
static struct request make(const char *id, const char *group, int index, const char *embed)
{
    struct request r = {.json = parse(embed)};
    const struct wf_json_value *root = wf_json_root(r.json);
    r.message = (struct wfi_message){.task = "t",
                                     .id = id,
                                     .group = group,
                                     .has_group_index = group && index >= 0,
                                     .group_index = index,
                                     .callbacks.value = wf_json_get(root, "callbacks"),
                                     .errbacks.value = wf_json_get(root, "errbacks"),
                                     .chain.value = wf_json_get(root, "chain"),
                                     .chord.value = wf_json_get(root, "chord"),
                                     .properties.reply_to = "oid"};
    return r;
}

static const char part_embed[] = "{'chord': {'task': 'body', 'args': [], 'kwargs': {}, "
                                 "'options': {'task_id': 'body-id', 'link_error': {'task': "
                                 "'onerr', 'options': {'queue': 'errs'}}}}}";

/* The end of a task with this value, from the beginning to before the acknowledgement. */
static int succeed(const struct request *r, const char *value, struct wf_error *reterr)
{
    struct wfi_follow f;
    const struct wfi_json_piece result = {.text = value, .len = strlen(value)};
    int err = wfi_follow_begin(&f, &with, &r->message);
    if (!err)
        err = wfi_follow_succeeded(&f, &result, reterr);
    struct wfi_result meta = {
        .state = WFI_STATE_SUCCESS, .result = result, .task_id = r->message.id};
    if (!err)
        err = wfi_follow_children(&f, &meta.children);
    if (!err)
        err = wfi_follow_store(&with, &meta, reterr);
    if (!err)
        err = wfi_follow_counted(&f, &result, reterr);
    wfi_follow_end(&f);
    return err;
}

static int fail_with(const struct request *r, const char *type, struct wf_error *reterr)
{
    struct wfi_follow f;
    char text[200];
    snprintf(text, sizeof text,
             "{\"exc_type\": \"%s\", \"exc_message\": [\"x\"], \"exc_module\": \"builtins\"}",
             type);
    const struct wfi_result failure = {.state = WFI_STATE_FAILURE,
                                       .result = {.text = text, .len = strlen(text)},
                                       .task_id = r->message.id};
    assert_int_equal(wfi_follow_begin(&f, &with, &r->message), 0);
    int err = wfi_follow_store(&with, &failure, reterr);
    if (!err)
        err = wfi_follow_failed(&f, &failure, reterr);
    wfi_follow_end(&f);
    return err;
}

static void end_part(const char *id, const char *group, int index, const char *value)
{
    struct wf_error error = {0};
    struct request r = make(id, group, index, part_embed);
    if (value[0] == '!' ? fail_with(&r, value + 1, &error) : succeed(&r, value, &error))
        fail_msg("%s: %s", id, error.text);
    wf_json_destroy(r.json);
}

static const char body_sent[] = "body body-id -/-1 [[%s], {}, {\"callbacks\": null, \"errbacks\": "
                                "[{\"task\": \"onerr\", \"options\": {\"queue\": \"errs\"}}], "
                                "\"chain\": null, \"chord\": null}] |celery|0\n";

static void expect_body(const char *list)
{
    char expected[1000];
    snprintf(expected, sizeof expected, body_sent, list);
    assert_string_equal(sent, expected);
}

/* ---- tests ---- */

static void the_last_part_sends_the_body_with_all_values_in_order(void **state)
{
    (void)state;
    ask("SET celery-taskset-meta-g.s 3");
    end_part("c", "g", 2, "[1, {\"a\": \"\\u00e9\"}]");
    end_part("a", "g", 0, "10000000000000000000000000");
    assert_string_equal(sent, "");
    assert_string_equal(ask("TTL celery-taskset-meta-g.j"), "1000");
    end_part("b", "g", 1, "null");
    expect_body("[10000000000000000000000000, null, [1, {\"a\": \"\\u00e9\"}]]");
    assert_string_equal(ask("KEYS celery-taskset-meta-*"), "");
    assert_string_equal(ask("EXISTS celery-task-meta-a"), "1");
}

static void the_size_may_come_late(void **state)
{
    (void)state;
    end_part("a", "g", 0, "1");
    assert_string_equal(sent, "");
    ask("SET celery-taskset-meta-g.s 2");
    end_part("b", "g", 1, "2");
    expect_body("[1, 2]");
}

static void a_part_that_runs_twice_is_counted_once(void **state)
{
    (void)state;
    ask("SET celery-taskset-meta-g.s 3");
    end_part("a", "g", 0, "1");
    end_part("a", "g", 0, "1");
    end_part("a", "g", 0, "2"); /* the first success stays */
    end_part("b", "g", 1, "!ValueError");
    end_part("b", "g", 1, "!KeyError"); /* a failure does not */
    end_part("b", "g", 1, "3");
    assert_string_equal(ask("ZCARD celery-taskset-meta-g.j"), "2");
    assert_string_equal(sent, "");
    end_part("c", "g", -1, "4");
    expect_body("[1, 3, 4]");
    /* And once more, after the end. */
    end_part("c", "g", -1, "4");
    expect_body("[1, 3, 4]");
}

/* Without a place parts are told by their ids alone. */
static void parts_without_a_place_come_last(void **state)
{
    (void)state;
    ask("SET celery-taskset-meta-g.s 2");
    ask("SET celery-taskset-meta-g.t 1");
    end_part("x", "g", -1, "1");
    end_part("xy", "g", -1, "2");
    end_part("xy", "g", -1, "2");
    assert_string_equal(sent, "");
    end_part("a", "g", 0, "0");
    expect_body("[0, 1, 2]");
}

static void a_failed_part_fails_the_body(void **state)
{
    (void)state;
    ask("SET celery-taskset-meta-g.s 2");
    end_part("a", "g", 0, "!ValueError");
    assert_string_equal(sent, "");
    end_part("b", "g", 1, "1");
    assert_non_null(strstr(sent, "onerr "));
    assert_non_null(strstr(sent, "[[\"body-id\"], "));
    assert_non_null(strstr(sent, "|errs|0\n"));
    assert_null(strstr(sent, "body body-id"));
    const char *stored = ask("GET celery-task-meta-body-id");
    assert_non_null(strstr(stored, "\"FAILURE\""));
    assert_non_null(strstr(stored, "Dependency a raised ValueError('x')"));
    assert_string_equal(ask("KEYS celery-taskset-meta-*"), "");
}

/* A worker is killed between any two of its steps: the body is sent when another begins anew, and
 * with the same id. */
static void a_body_that_could_not_be_sent_is_sent_later(void **state)
{
    struct wf_error error = {0};
    (void)state;
    ask("SET celery-taskset-meta-g.s 1");
    struct request r = make("a", "g", 0, part_embed);
    refuse_with = -EPIPE;
    assert_int_equal(succeed(&r, "1", &error), -EPIPE);
    assert_string_equal(ask("ZCARD celery-taskset-meta-g.j"), "1");
    refuse_with = 0;
    assert_int_equal(succeed(&r, "2", &error), 0);
    expect_body("[1]");
    wf_json_destroy(r.json);
}

static void a_body_that_can_never_be_sent_has_failed(void **state)
{
    struct wf_error error = {0};
    (void)state;
    ask("SET celery-taskset-meta-g.s 1");
    struct request r = make("a", "g", 0, part_embed);
    refuse_with = -EREMOTEIO;
    assert_int_equal(succeed(&r, "1", &error), -EREMOTEIO);
    assert_non_null(strstr(error.text, "sending body: refused"));
    assert_non_null(strstr(ask("GET celery-task-meta-body-id"), "sending body: refused"));
    assert_string_equal(ask("KEYS celery-taskset-meta-*"), "");
    wf_json_destroy(r.json);
}

static void rubbish_in_the_chords_keys_is_told(void **state)
{
    struct wf_error error = {0};
    (void)state;
    struct request r = make("a", "g", 0, part_embed);
    ask("SET celery-taskset-meta-g.j rubbish");
    assert_int_equal(succeed(&r, "1", &error), -EREMOTEIO);
    ask("DEL celery-taskset-meta-g.j");
    ask("ZADD celery-taskset-meta-g.j 1 rubbish");
    ask("SET celery-taskset-meta-g.s 2");
    assert_int_equal(succeed(&r, "1", &error), WF_EPARSE);
    assert_non_null(strstr(ask("GET celery-task-meta-body-id"), "FAILURE"));
    ask("SET celery-taskset-meta-g.s rubbish");
    assert_int_equal(succeed(&r, "1", &error), 0);
    ask("SET celery-taskset-meta-g.s 1");
    ask("SET celery-taskset-meta-g rubbish");
    assert_int_equal(succeed(&r, "1", &error), WF_EPARSE);
    wf_json_destroy(r.json);
}

/* Celery 5.2 may set the size to less than it was. One part ends the chord, and if its worker is
 * killed before it has, it does when it runs again. */
static void the_size_may_become_smaller(void **state)
{
    struct wf_error error = {0};
    (void)state;
    ask("SET celery-taskset-meta-g.s 3");
    end_part("a", "g", 0, "1");
    end_part("b", "g", 1, "2");
    ask("SET celery-taskset-meta-g.s 2");
    refuse_with = -EPIPE;
    struct request c = make("c", "g", 2, part_embed), d = make("d", "g", 3, part_embed);
    assert_int_equal(succeed(&c, "3", &error), -EPIPE);
    refuse_with = 0;
    assert_int_equal(succeed(&d, "4", &error), 0);
    assert_string_equal(sent, "");
    assert_int_equal(succeed(&c, "3", &error), 0);
    expect_body("[1, 2, 3, 4]");
    assert_string_equal(ask("KEYS celery-taskset-meta-*"), "");
    wf_json_destroy(c.json);
    wf_json_destroy(d.json);
}

/* A group that Python has saved, because a part of it is a group. */
static void a_saved_group_gives_the_values_their_form(void **state)
{
    (void)state;
    ask("SET celery-taskset-meta-g.s 3");
    struct wfi_redis_batch batch = {0};
    static const char saved[] = "{\"result\": [[\"g\", null], [[[\"a\", null], null], [[\"h\", "
                                "null], [[[\"b\", null], null], [[\"c\", null], null]]]]]}";
    wfi_redis_add(&batch, "SET celery-taskset-meta-g %s", saved);
    assert_int_equal(wfi_redis_call(other, &batch, NULL, soon(), NULL), 0);
    end_part("c", "g", 2, "3");
    end_part("a", "g", 0, "\"one\"");
    end_part("b", "g", 1, "2");
    expect_body("[\"one\", [2, 3]]");

    wipe(NULL);
    ask("SET celery-taskset-meta-g.s 3");
    wfi_redis_add(&batch, "SET celery-taskset-meta-g %s", saved);
    assert_int_equal(wfi_redis_call(other, &batch, NULL, soon(), NULL), 0);
    end_part("c", "g", 2, "!KeyError");
    end_part("a", "g", 0, "1");
    end_part("b", "g", 1, "2");
    assert_non_null(
        strstr(ask("GET celery-task-meta-body-id"), "Dependency c raised KeyError('x')"));
    assert_string_equal(ask("TTL celery-taskset-meta-g"), "-1"); /* whoever saved it removes it */
}

static void what_follows_has_the_same_ids_each_time(void **state)
{
    struct wf_error error = {0};
    char first[sizeof sent];
    (void)state;
    struct request r =
        make("a", NULL, 0,
             "{'callbacks': [{'task': 'l', 'options': {'exchange': 'e', 'priority': 3}}, "
             "{'task': 'm', 'options': {'routing_key': 'k'}}], 'chain': [{'task': 'celery.chord', "
             "'kwargs': {'header': [{'task': 'p'}, {'task': 'p', 'options': {'queue': 'q'}}], "
             "'body': {'task': 'b'}}}]}");
    assert_int_equal(succeed(&r, "7", &error), 0);
    assert_non_null(strstr(sent, " e|celery|3\n"));
    assert_non_null(strstr(sent, " celery|k|0\n"));
    assert_non_null(strstr(sent, " |q|0\n"));
    assert_non_null(strstr(ask("GET celery-task-meta-a"), "\"children\": [[["));
    strcpy(first, sent);
    sent[0] = '\0';
    assert_int_equal(succeed(&r, "7", &error), 0);
    assert_string_equal(sent, first);
    r.message.retries++;
    sent[0] = '\0';
    assert_int_equal(succeed(&r, "7", &error), 0);
    assert_string_not_equal(sent, first);
    wf_json_destroy(r.json);
}

static void added_parts_are_counted_once(void **state)
{
    struct wf_error error = {0};
    struct wf_json *added = parse("{'task': 'more', 'args': [1]}");
    const struct wfi_json_piece part = {.value = wf_json_root(added)};
    const struct wfi_json_piece two[2] = {part, part};
    (void)state;
    ask("SET celery-taskset-meta-g.s 1");
    struct request r = make("a", "g", 0, part_embed);
    for (int round = 0; round < 2; round++) {
        struct wfi_follow f;
        assert_int_equal(wfi_follow_begin(&f, &with, &r.message), 0);
        assert_int_equal(wfi_follow_add_parts(&f, two, 2, &error), 0);
        assert_string_equal(ask("GET celery-taskset-meta-g.t"), "2");
        wfi_follow_end(&f);
    }
    struct request none = make("a", NULL, 0, "{}");
    struct wfi_follow f;
    assert_int_equal(wfi_follow_begin(&f, &with, &none.message), 0);
    assert_int_equal(wfi_follow_add_parts(&f, two, 2, &error), -EINVAL);
    wfi_follow_end(&f);
    sent[0] = '\0';
    end_part("a", "g", 0, "0");
    end_part("more-1", "g", -1, "1");
    assert_string_equal(sent, "");
    end_part("more-2", "g", -1, "2");
    expect_body("[0, 1, 2]");
    assert_string_equal(ask("KEYS celery-taskset-meta-*"), "");
    wf_json_destroy(r.json);
    wf_json_destroy(none.json);
    wf_json_destroy(added);
}

static void retrying_and_replacing_keep_the_id(void **state)
{
    struct wf_error error = {0};
    struct wfi_follow f;
    struct wf_json *other_task = parse("{'task': 'u', 'args': [5]}");
    (void)state;
    struct request r = make("a", "g", 0, part_embed);
    r.message.args = (struct wfi_json_piece){.text = "[1]", .len = 3};
    assert_int_equal(wfi_follow_begin(&f, &with, &r.message), 0);
    struct wfi_follow_again again = {.eta_us = 1, .came_from = "mine"};
    assert_int_equal(wfi_follow_retry(&f, &again, &error), 0);
    assert_int_equal(wfi_follow_carry_on(&f, &error), 0);
    wfi_follow_end(&f);
    assert_non_null(strstr(sent, "t a g/0 [[1], "));
    assert_non_null(strstr(sent, "\"task_id\": \"body-id\""));
    assert_non_null(strstr(sent, " |mine|0\n"));

    sent[0] = '\0';
    r.message.properties.routing_key = "there";
    r.message.properties.priority = 6;
    again.args = (struct wfi_json_piece){.text = "[2]", .len = 3};
    assert_int_equal(wfi_follow_begin(&f, &with, &r.message), 0);
    assert_int_equal(wfi_follow_retry(&f, &again, &error), 0);
    assert_int_equal(wfi_follow_carry_on(&f, &error), 0);
    wfi_follow_end(&f);
    assert_non_null(strstr(sent, "t a g/0 [[2], "));
    assert_non_null(strstr(sent, " |there|6\n"));

    sent[0] = '\0';
    assert_int_equal(wfi_follow_begin(&f, &with, &r.message), 0);
    assert_int_equal(wfi_follow_replaced(&f, wf_json_root(other_task), &error), 0);
    wfi_follow_end(&f);
    assert_non_null(strstr(sent, "u a g/0 [[5], "));
    assert_non_null(strstr(sent, "\"task_id\": \"body-id\""));
    wf_json_destroy(other_task);
    wf_json_destroy(r.json);
}

static void without_a_store_chords_are_refused_and_the_rest_goes_on(void **state)
{
    struct wf_error error = {0};
    (void)state;
    with.store = NULL;
    struct request chain = make("a", NULL, 0, "{'chain': [{'task': 'b'}]}");
    assert_int_equal(succeed(&chain, "1", &error), 0);
    assert_non_null(strstr(sent, "b "));
    struct request chord =
        make("a", NULL, 0,
             "{'chain': [{'task': 'celery.chord', 'kwargs': {'header': [{'task': 'p'}], 'body': "
             "{'task': 'b'}}}]}");
    assert_int_equal(succeed(&chord, "1", &error), -ENOTSUP);
    struct request part = make("a", "g", 0, part_embed);
    assert_int_equal(fail_with(&part, "ValueError", &error), -ENOTSUP);
    wf_json_destroy(chain.json);
    wf_json_destroy(chord.json);
    wf_json_destroy(part.json);
}

/* A chord whose failing body is a part of another, and so on. */
static void failures_reach_the_outermost_chord(void **state)
{
    char inner[4000] = "{'task': 'body', 'options': {'task_id': 'end'}}", outer[4000];
    struct wf_error error = {0};
    (void)state;
    for (int i = 0; i < 10; i++) {
        snprintf(outer, sizeof outer,
                 "{'task': 'b', 'options': {'task_id': 'b%d', 'group_id': 'g%d', 'group_index': 0, "
                 "'chord': %.3800s}}",
                 i, i, inner);
        strcpy(inner, outer);
        char command[100];
        snprintf(command, sizeof command, "SET celery-taskset-meta-g%d.s 1", i);
        ask(command);
    }
    ask("SET celery-taskset-meta-g.s 1");
    snprintf(outer, sizeof outer, "{'chord': %.3900s}", inner);
    struct request r = make("a", "g", 0, outer);
    if (fail_with(&r, "ValueError", &error))
        fail_msg("%s", error.text);
    assert_non_null(strstr(ask("GET celery-task-meta-end"), "ChordError"));
    assert_non_null(strstr(ask("GET celery-task-meta-b5"), "ChordError"));
    assert_string_equal(ask("KEYS celery-taskset-meta-*"), "");
    wf_json_destroy(r.json);
}

/* Memory runs out at the n-th allocation, for each n: what is left undone is done the next time. */
static void memory_may_run_out_anywhere(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct wf_error error = {0};
        wipe(NULL);
        ask("SET celery-taskset-meta-g.s 2");
        end_part("a", "g", 0, "1");
        struct request r = make("b", "g", 1, part_embed);
        wfi_alloc_watch(n);
        int err = succeed(&r, "2", &error);
        const bool failed = wfi_alloc_unwatch();
        if (err && err != -ENOMEM)
            fail_msg("%d %s", err, error.text);
        if (err) {
            /* It may have been sent already, and the keys only not been removed. */
            const size_t once = strlen(sent);
            assert_int_equal(succeed(&r, "2", &error), 0);
            if (once)
                assert_memory_equal(sent, sent + once, once);
            sent[once ? once : strlen(sent)] = '\0';
        }
        wf_json_destroy(r.json);
        expect_body("[1, 2]");
        if (!failed)
            break;
    }
}

static int start(void **state)
{
    struct wfi_celery_url url;
    (void)state;
    if (wf_fibers_create(NULL, &fibers, NULL))
        return -1;
    other = open_redis();
    assert_int_equal(wfi_celery_url_parse(server.url, &url, NULL), 0);
    return wfi_store_create(&(struct wfi_store_options){.url = &url, .expires_s = 1000}, &store,
                            NULL);
}

static int stop(void **state)
{
    (void)state;
    wfi_store_destroy(store);
    wfi_redis_close(other);
    wf_executor_destroy(fibers);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_last_part_sends_the_body_with_all_values_in_order, wipe),
        cmocka_unit_test_setup(the_size_may_come_late, wipe),
        cmocka_unit_test_setup(a_part_that_runs_twice_is_counted_once, wipe),
        cmocka_unit_test_setup(parts_without_a_place_come_last, wipe),
        cmocka_unit_test_setup(a_failed_part_fails_the_body, wipe),
        cmocka_unit_test_setup(a_body_that_could_not_be_sent_is_sent_later, wipe),
        cmocka_unit_test_setup(a_body_that_can_never_be_sent_has_failed, wipe),
        cmocka_unit_test_setup(rubbish_in_the_chords_keys_is_told, wipe),
        cmocka_unit_test_setup(the_size_may_become_smaller, wipe),
        cmocka_unit_test_setup(a_saved_group_gives_the_values_their_form, wipe),
        cmocka_unit_test_setup(what_follows_has_the_same_ids_each_time, wipe),
        cmocka_unit_test_setup(added_parts_are_counted_once, wipe),
        cmocka_unit_test_setup(retrying_and_replacing_keep_the_id, wipe),
        cmocka_unit_test_setup(without_a_store_chords_are_refused_and_the_rest_goes_on, wipe),
        cmocka_unit_test_setup(failures_reach_the_outermost_chord, wipe),
        cmocka_unit_test_setup(memory_may_run_out_anywhere, wipe),
    };
    return redis_group_run(&server, tests, sizeof tests / sizeof *tests, start, stop);
}
