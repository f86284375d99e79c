/* SPDX-License-Identifier: MIT */
/*
 * Canvas: what workers of Python were seen to send and store when a task ended, and what weft makes
 * of the same; then what no capture shows: clients' signatures, replacing, nesting, hostile input,
 * failing memory.
 *
 * Ids that are made on the way differ. Those of the test's own begin with "new-"; the first time
 * one is met it stands for what the capture has there, and from then on it has to be the same.
 */
#include "celery/message/canvas.h"

#include "base/alloc.h"

#include "celery_fixture.h"

#include <errno.h>

static struct {
    char ours[WFI_ID_BYTES], theirs[64];
} met[64];
static size_t met_count;
static int made;

static void make_id(void *arg, char ret_id[WFI_ID_BYTES])
{
    (void)arg;
    snprintf(ret_id, WFI_ID_BYTES, "new-%d", ++made);
}

static void check_text(const char *ours, const char *theirs, const char *where)
{
    if (strncmp(ours, "new-", 4) != 0) {
        if (strcmp(ours, theirs) != 0)
            fail_msg("%s: %s, and not %s", where, ours, theirs);
        return;
    }
    for (size_t i = 0; i < met_count; i++)
        if (strcmp(met[i].ours, ours) == 0) {
            if (strcmp(met[i].theirs, theirs) != 0)
                fail_msg("%s: %s is %s, and not %s", where, ours, met[i].theirs, theirs);
            return;
        }
    snprintf(met[met_count].ours, sizeof met->ours, "%s", ours);
    snprintf(met[met_count++].theirs, sizeof met->theirs, "%s", theirs);
}

static void check_value(const struct wf_json_value *ours, const struct wf_json_value *theirs,
                        const char *where)
{
    if (wf_json_type(ours) == WF_JSON_STRING && wf_json_type(theirs) == WF_JSON_STRING) {
        check_text(wf_json_text(ours, NULL), wf_json_text(theirs, NULL), where);
        return;
    }
    if (wf_json_type(ours) != wf_json_type(theirs) ||
        wf_json_count(ours) != wf_json_count(theirs) || wf_json_count(ours) == 0) {
        char *a = fixture_dump(ours), *b = fixture_dump(theirs);
        if (strcmp(a, b) != 0)
            fail_msg("%s: %s, and not %s", where, a, b);
        free(a);
        free(b);
    }
    for (size_t i = 0; i < wf_json_count(ours); i++) {
        const struct wf_json_value *item = wf_json_at(ours, i);
        const char *key = wf_json_key(item, NULL);
        if (key && !wf_json_get(theirs, key))
            fail_msg("%s: %s is too much", where, key);
        check_value(item, key ? wf_json_get(theirs, key) : wf_json_at(theirs, i),
                    key ? key : where);
    }
}

/* A message of ours against a captured one. */
static void check_message(const struct wfi_message *ours, const char *raw,
                          const struct wfi_message *request)
{
    struct wfi_message as_before = *ours;
    struct wfi_message_in theirs, again;
    struct wf_error err;
    struct wf_json_writer *w;
    const char *text;
    size_t len;

    assert_int_equal(wfi_message_read_redis(raw, strlen(raw), &theirs, &err), WFI_MESSAGE_RUN);
    assert_int_equal(wfi_message_read_body(&theirs, 0, &err), WFI_MESSAGE_RUN);
    /* Celery 5.2 has it among the properties. */
    assert_int_equal(ours->replaced_task_nesting, theirs.message.replaced_task_nesting);
    as_before.before_5_3 = true;
    as_before.lang = "py";
    as_before.origin = theirs.message.origin;
    if (theirs.message.argsrepr[0] != '(')
        as_before.argsrepr = theirs.message.argsrepr; /* of an immutable one it is a list */
    assert_int_equal(wfi_message_writer_create(&w), 0);
    assert_int_equal(wfi_message_write_redis(w, &as_before), 0);
    assert_int_equal(wf_json_writer_text(w, &text, &len), 0);
    assert_int_equal(wfi_message_read_redis(text, len, &again, &err), WFI_MESSAGE_RUN);
    assert_int_equal(wfi_message_read_body(&again, 0, &err), WFI_MESSAGE_RUN);
    check_value(again.message.headers, theirs.message.headers, "headers");
    check_value(wf_json_root(again.body), wf_json_root(theirs.body), "body");
    /* Where Celery has its own, weft goes on with the request's. */
    const char *reply_to = ours->properties.reply_to;
    assert_non_null(reply_to);
    if (strcmp(reply_to, theirs.message.properties.reply_to) != 0)
        assert_string_equal(reply_to, request->properties.reply_to);
    assert_int_equal(ours->properties.priority, theirs.message.properties.priority);
    wf_json_writer_destroy(w);
    wfi_message_in_reset(&again);
    wfi_message_in_reset(&theirs);
}

static const struct wfi_canvas_step *nth(const struct wfi_canvas *c, enum wfi_canvas_step_kind kind,
                                         size_t n)
{
    for (size_t i = 0; i < wfi_canvas_count(c); i++)
        if (wfi_canvas_step(c, i)->kind == kind && n-- == 0)
            return wfi_canvas_step(c, i);
    return NULL;
}

static size_t count_steps(const struct wfi_canvas *c, enum wfi_canvas_step_kind kind)
{
    size_t count = 0;
    while (nth(c, kind, count))
        count++;
    return count;
}

static struct wf_json *parse_piece(const struct wfi_json_piece *piece)
{
    if (piece->text)
        return fixture_parse(piece->text, piece->len);
    char *text = fixture_dump(piece->value);
    struct wf_json *json = fixture_parse(text, strlen(text));
    free(text);
    return json;
}

static struct wfi_canvas *canvas(void)
{
    struct wfi_canvas *c;
    assert_int_equal(wfi_canvas_create(&c), 0);
    return c;
}

static void check_children(struct wfi_canvas *c, const struct wf_json_value *expected)
{
    struct wfi_json_piece piece;
    assert_int_equal(wfi_canvas_children(c, &piece), 0);
    struct wf_json *children = parse_piece(&piece);
    check_value(wf_json_root(children), expected, "children");
    wf_json_destroy(children);
}

static int run_chord(struct wfi_canvas *c, const struct wfi_canvas_context *context,
                     const struct wf_json_value *members, struct wf_error *err)
{
    struct wfi_json_piece pieces[8];
    struct wfi_chord_part part;
    assert_true(wfi_chord_part_of(context->request, &part));
    assert_string_equal(part.task_id, context->request->id);
    for (size_t i = 0; i < wf_json_count(members); i++) {
        pieces[i] = (struct wfi_json_piece){0};
        pieces[i].text = wf_json_text(wf_json_at(members, i), &pieces[i].len);
    }
    return wfi_canvas_chord_complete(c, context, &part, pieces, wf_json_count(members), err);
}

static void check_stored(const struct wfi_canvas *c, const struct wf_json_value *stored,
                         const struct wf_json_value *result)
{
    const bool is_list = wf_json_type(stored) == WF_JSON_ARRAY;
    assert_int_equal(count_steps(c, WFI_STEP_STORE),
                     is_list ? wf_json_count(stored) : wf_json_type(stored) == WF_JSON_OBJECT);
    for (size_t i = 0; is_list && i < wf_json_count(stored); i++)
        assert_string_equal(nth(c, WFI_STEP_STORE, i)->result.task_id,
                            wf_json_text(wf_json_at(stored, i), NULL));
    const struct wfi_canvas_step *step = nth(c, WFI_STEP_STORE, 0);
    if (!step)
        return;
    assert_int_equal(step->result.state, WFI_STATE_FAILURE);
    struct wf_json *ours = parse_piece(&step->result.result);
    check_value(wf_json_root(ours), is_list ? result : stored, "stored");
    wf_json_destroy(ours);
}

static void check_capture(const struct wf_json_value *line)
{
    const char *kind = fixture_text(line, "kind"), *raw = fixture_text(line, "request");
    const struct wf_json_value *sent = wf_json_get(line, "sent");
    const struct wfi_json_piece result = {.value = wf_json_get(line, "result")};
    struct wfi_message_in in;
    struct wf_error err = {0};
    struct wfi_canvas *c = canvas();
    int64_t size = 0;
    int code = 1;

    met_count = 0;
    assert_int_equal(wfi_message_read_redis(raw, strlen(raw), &in, &err), WFI_MESSAGE_RUN);
    assert_int_equal(wfi_message_read_body(&in, 0, &err), WFI_MESSAGE_RUN);
    const struct wfi_canvas_context context = {
        .request = &in.message, .origin = "me", .now_us = 1, .new_id = make_id};
    if (strcmp(kind, "succeeded") == 0) {
        code = wfi_canvas_succeeded(c, &context, &result, &err);
        check_children(c, wf_json_get(line, "children"));
    } else if (strcmp(kind, "failed") == 0) {
        const struct wfi_result failure = {.state = WFI_STATE_FAILURE, .result = result};
        code = wfi_canvas_failed(c, &context, &failure, &err);
        check_stored(c, wf_json_get(line, "stored"), result.value);
        /* An errback that is registered in Python's worker is called there, without a message. */
        if (wf_json_count(sent) == 0)
            sent = NULL;
    } else if (strcmp(kind, "chord") == 0) {
        code = run_chord(c, &context, wf_json_get(line, "members"), &err);
        check_stored(c, wf_json_get(line, "stored"), NULL);
    } else if (strcmp(kind, "retry") == 0) {
        struct wfi_message_in next;
        const char *text = wf_json_text(wf_json_at(sent, 0), NULL);
        assert_int_equal(wfi_message_read_redis(text, strlen(text), &next, &err), WFI_MESSAGE_RUN);
        code = wfi_canvas_retry(c, &context, next.message.eta_us, &err);
        wfi_message_in_reset(&next);
    } else if (strcmp(kind, "replace") == 0) {
        static const char sig[] = "{\"task\": \"tapp.add\", \"args\": [4, 4], \"kwargs\": {}}";
        struct wf_json *json = fixture_parse(sig, sizeof sig - 1);
        code = wfi_canvas_replace(c, &context, wf_json_root(json), &err);
        assert_int_equal(code, 0);
        check_message(&nth(c, WFI_STEP_SEND, 0)->message, wf_json_text(wf_json_at(sent, 0), NULL),
                      &in.message);
        assert_int_equal(count_steps(c, WFI_STEP_SEND), 1);
        wf_json_destroy(json);
        sent = NULL;
    }
    if (code)
        fail_msg("%s %s: %s", kind, fixture_text(line, "name"), err.text);
    if (sent)
        assert_int_equal(count_steps(c, WFI_STEP_SEND), wf_json_count(sent));
    for (size_t i = 0; i < wf_json_count(sent); i++)
        check_message(&nth(c, WFI_STEP_SEND, i)->message, wf_json_text(wf_json_at(sent, i), NULL),
                      &in.message);
    wf_json_int(wf_json_get(line, "size"), &size);
    assert_int_equal(count_steps(c, WFI_STEP_CHORD_SIZE), size > 0);
    if (size > 0) {
        const struct wfi_canvas_step *step = nth(c, WFI_STEP_CHORD_SIZE, 0);
        assert_int_equal(step->count, size);
        assert_string_equal(step->group_id, nth(c, WFI_STEP_SEND, 0)->message.group);
    }
    wfi_canvas_destroy(c);
    wfi_message_in_reset(&in);
}

static void ends_of_tasks_have_the_steps_that_were_captured(void **state)
{
    (void)state;
    assert_int_equal(fixture_each("canvas.jsonl", check_capture), 23);
}

/* A canvas, the signature and request behind it, and the names of the tasks that are sent. */
struct applied {
    struct wfi_canvas *c;
    struct wf_json *json;
    struct wfi_message_in in;
};

/* Applies a signature, with quotes written as ', as a client does. */
static struct applied apply_text(const char *text, int expected)
{
    struct applied a = {.c = canvas()};
    struct wf_error err = {0};
    char *quoted = strdup(text);
    for (char *p = quoted; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    const struct wfi_canvas_context context = {
        .origin = "me", .reply_to = "oid", .now_us = INT64_C(1795224999278444), .new_id = make_id};
    made = 0;
    a.json = fixture_parse(quoted, strlen(quoted));
    const int code = wfi_canvas_apply(a.c, &context, wf_json_root(a.json), NULL, &err);
    if (code != expected)
        fail_msg("%s: %d %s", text, code, err.text);
    assert_true(!code || err.text[0]);
    free(quoted);
    return a;
}

static void end_applied(struct applied *a)
{
    wfi_canvas_destroy(a->c);
    wf_json_destroy(a->json);
}

static const struct wfi_message *sent(const struct applied *a, size_t n)
{
    const struct wfi_canvas_step *step = nth(a->c, WFI_STEP_SEND, n);
    assert_non_null(step);
    return &step->message;
}

static void check_body(const struct wfi_message *m, const char *expected)
{
    struct wfi_buffer body = {0};
    char *quoted = strdup(expected);
    for (char *p = quoted; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    assert_int_equal(wfi_message_pack_body(m, &body), 0);
    assert_string_equal(wfi_buffer_text(&body), quoted);
    wfi_buffer_reset(&body);
    free(quoted);
}

static void options_become_headers_and_a_route(void **state)
{
    (void)state;
    struct applied a = apply_text(
        "{'task': 't', 'args': [1], 'kwargs': {'k': 'v'}, 'options': {'task_id': 'i', 'queue': "
        "'q', "
        "'priority': 7, 'countdown': 1.5, 'expires': 60, 'time_limit': 3, 'soft_time_limit': 2.5, "
        "'retries': 2, 'headers': {'x': 1, 'id': 'no'}, 'shadow': 's', 'ignore_result': true, "
        "'compression': 'zlib', 'link': {'task': 'l'}, 'link_error': [{'task': 'e'}], "
        "'stamped_headers': ['st'], 'st': 'value', 'unknown': [1]}}",
        0);
    const struct wfi_canvas_step *step = nth(a.c, WFI_STEP_SEND, 0);
    const struct wfi_message *m = &step->message;
    assert_string_equal(m->id, "i");
    assert_string_equal(m->root_id, "i");
    assert_null(m->parent_id);
    assert_string_equal(step->queue, "q");
    assert_true(step->has_priority && m->properties.priority == 7);
    assert_string_equal(m->eta, "2026-11-21T01:36:40.778444+00:00");
    assert_string_equal(m->expires, "2026-11-21T01:37:39.278444+00:00");
    assert_string_equal(m->properties.expiration, "60000");
    assert_true(m->hard_s == 3 && m->soft_s == 2.5 && m->retries == 2);
    assert_true(m->ignore_result && m->compress);
    assert_string_equal(m->shadow, "s");
    assert_string_equal(m->argsrepr, "(1,)");
    assert_string_equal(m->kwargsrepr, "{'k': 'v'}");
    assert_string_equal(m->properties.reply_to, "oid");
    struct wf_json_writer *w;
    const char *headers;
    assert_int_equal(wfi_message_writer_create(&w), 0);
    wfi_message_write_headers(w, m);
    assert_int_equal(wf_json_writer_text(w, &headers, NULL), 0);
    assert_non_null(strstr(headers, "\"stamped_headers\": [\"st\"], \"stamps\": {\"st\": "
                                    "[\"value\"]}, \"x\": 1, \"compression\": "));
    wf_json_writer_destroy(w);
    struct wfi_message plain = *m;
    plain.compress = false;
    check_body(&plain, "[[1], {'k': 'v'}, {'callbacks': [{'task': 'l'}], 'errbacks': [{'task': "
                       "'e'}], 'chain': null, 'chord': null}]");
    end_applied(&a);

    a = apply_text("{'task': 't', 'options': {'expires': '2020-01-01T00:00:00', 'priority': null}}",
                   0);
    assert_string_equal(sent(&a, 0)->properties.expiration, "0");
    assert_string_equal(sent(&a, 0)->id, "new-1");
    assert_string_equal(wfi_canvas_id(a.c), "new-1");
    assert_false(nth(a.c, WFI_STEP_SEND, 0)->has_priority);
    end_applied(&a);
}

static void a_clients_chain_travels_with_its_first_task(void **state)
{
    (void)state;
    struct applied a =
        apply_text("{'task': 'celery.chain', 'kwargs': {'tasks': [{'task': 'a'}, "
                   "{'task': 'celery.chain', 'kwargs': {'tasks': [{'task': 'b'}, "
                   "{'task': 'c', 'options': {'task_id': 'C'}}]}}, {'task': 'd'}]}, "
                   "'options': {'link': {'task': 'l'}, 'link_error': {'task': 'e'}}}",
                   0);
    assert_int_equal(count_steps(a.c, WFI_STEP_SEND), 1);
    const struct wfi_message *m = sent(&a, 0);
    assert_string_equal(m->task, "a");
    struct wf_json *chain = parse_piece(&m->chain);
    const struct wf_json_value *root = wf_json_root(chain);
    assert_int_equal(wf_json_count(root), 3);
    static const char *const tasks[] = {"d", "c", "b"};
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(fixture_text(wf_json_at(root, i), "task"), tasks[i]);
        const struct wf_json_value *options = wf_json_get(wf_json_at(root, i), "options");
        assert_non_null(wf_json_get(options, "task_id"));
        assert_int_equal(wf_json_count(wf_json_get(options, "link_error")), 1);
        assert_int_equal(wf_json_count(wf_json_get(options, "link")), i == 0);
    }
    assert_string_equal(wfi_canvas_id(a.c),
                        fixture_text(wf_json_get(wf_json_at(root, 0), "options"), "task_id"));
    wf_json_destroy(chain);
    char children[64];
    const int len = snprintf(children, sizeof children, "[[[\"%s\", null], null]]", m->id);
    struct wf_json *expected = fixture_parse(children, (size_t)len);
    met_count = 0;
    check_children(a.c, wf_json_root(expected));
    wf_json_destroy(expected);
    end_applied(&a);
}

static void a_group_in_a_chain_becomes_a_chord(void **state)
{
    (void)state;
    struct applied a = apply_text(
        "{'task': 'celery.chain', 'kwargs': {'tasks': [{'task': 'celery.group', 'kwargs': "
        "{'tasks': "
        "[{'task': 'a'}, {'task': 'celery.group', 'kwargs': {'tasks': [{'task': 'b'}]}}]}}, "
        "{'task': 'sum'}, {'task': 'last'}]}}",
        0);
    assert_int_equal(count_steps(a.c, WFI_STEP_SEND), 2);
    assert_int_equal(nth(a.c, WFI_STEP_CHORD_SIZE, 0)->count, 2);
    assert_int_equal(wfi_canvas_step(a.c, 0)->kind, WFI_STEP_CHORD_SIZE);
    for (size_t i = 0; i < 2; i++) {
        const struct wfi_message *m = sent(&a, i);
        assert_true(m->has_group_index && m->group_index == (int64_t)i);
        struct wf_json *body = parse_piece(&m->chord);
        const struct wf_json_value *options = wf_json_get(wf_json_root(body), "options");
        assert_string_equal(fixture_text(wf_json_root(body), "task"), "sum");
        const struct wf_json_value *chain = wf_json_get(options, "chain");
        assert_int_equal(wf_json_count(chain), 1);
        assert_string_equal(fixture_text(wf_json_at(chain, 0), "task"), "last");
        assert_string_equal(wfi_canvas_id(a.c),
                            fixture_text(wf_json_get(wf_json_at(chain, 0), "options"), "task_id"));
        wf_json_destroy(body);
    }
    end_applied(&a);
}

static void parts_are_counted_by_their_ends(void **state)
{
    (void)state;
    struct applied a = apply_text(
        "{'task': 'celery.chord', 'kwargs': {'header': [{'task': 'celery.chain', 'kwargs': "
        "{'tasks': "
        "[{'task': 'a'}, {'task': 'b'}]}}, {'task': 'celery.chord', 'kwargs': {'header': [{'task': "
        "'c'}], 'body': {'task': 'd'}}}, {'task': 'e'}], 'body': {'task': 'sum', 'options': "
        "{'task_id': 'S'}}}}",
        0);
    assert_string_equal(wfi_canvas_id(a.c), "S");
    assert_int_equal(count_steps(a.c, WFI_STEP_CHORD_SIZE), 2);
    const struct wfi_canvas_step *outer = nth(a.c, WFI_STEP_CHORD_SIZE, 0);
    assert_int_equal(outer->count, 3);
    /* The chain's first task is no part, its last is. */
    const struct wfi_message *m = sent(&a, 0);
    assert_string_equal(m->task, "a");
    assert_true(!m->group && wfi_json_piece_is_null(&m->chord));
    struct wf_json *chain = parse_piece(&m->chain);
    const struct wf_json_value *options =
        wf_json_get(wf_json_at(wf_json_root(chain), 0), "options");
    assert_string_equal(fixture_text(options, "group_id"), outer->group_id);
    assert_string_equal(fixture_text(wf_json_get(options, "chord"), "task"), "sum");
    wf_json_destroy(chain);
    /* The inner chord's part carries a body that is a part of the outer. */
    m = sent(&a, 1);
    assert_string_equal(m->task, "c");
    struct wf_json *body = parse_piece(&m->chord);
    options = wf_json_get(wf_json_root(body), "options");
    assert_string_equal(fixture_text(options, "group_id"), outer->group_id);
    int64_t index = 0;
    assert_int_equal(wf_json_int(wf_json_get(options, "group_index"), &index), 0);
    assert_int_equal(index, 1);
    wf_json_destroy(body);
    m = sent(&a, 2);
    assert_string_equal(m->group, outer->group_id);
    assert_int_equal(m->group_index, 2);
    end_applied(&a);

    /* No parts: the body at once. */
    a = apply_text("{'task': 'celery.chord', 'kwargs': {'header': [], 'body': {'task': 'sum'}}}",
                   0);
    assert_int_equal(wfi_canvas_count(a.c), 1);
    check_body(sent(&a, 0), "[[[]], {}, {'callbacks': null, 'errbacks': null, 'chain': null, "
                            "'chord': null}]");
    end_applied(&a);
}

/* A result that is given to many is held once, not for each of them. */
static void what_many_are_given_is_held_once(void **state)
{
    (void)state;
    static const char group[] = "[{\"task\": \"celery.group\", \"kwargs\": {\"tasks\": "
                                "[{\"task\": \"a\", \"args\": []}, {\"task\": \"b\"}, "
                                "{\"task\": \"c\", \"args\": [2]}]}}]";
    struct wf_json *chain = fixture_parse(group, sizeof group - 1);
    const struct wfi_message request = {.task = "t", .id = "i", .chain.value = wf_json_root(chain)};
    const struct wfi_canvas_context context = {.request = &request, .new_id = make_id};
    const struct wfi_json_piece result = {.text = "\"large\"", .len = 7};
    struct applied a = {.c = canvas()};
    struct wf_error err;
    assert_int_equal(wfi_canvas_succeeded(a.c, &context, &result, &err), 0);
    assert_ptr_equal(sent(&a, 0)->args.text, sent(&a, 1)->args.text);
    assert_int_equal(sent(&a, 0)->args.len, 9);
    assert_memory_equal(sent(&a, 0)->args.text, "[\"large\"]", 9);
    assert_memory_equal(sent(&a, 2)->args.text, "[\"large\", 2]", 12);
    assert_string_equal(sent(&a, 1)->argsrepr, "('large',)");
    assert_string_equal(sent(&a, 2)->argsrepr, "('large', 2)");
    end_applied(&a);
    wf_json_destroy(chain);
}

static void a_task_replaced_by_several_keeps_its_end(void **state)
{
    (void)state;
    static const char raw[] =
        "{\"body\": \"[[], {}, {\\\"callbacks\\\": [{\\\"task\\\": \\\"cb\\\"}], \\\"chain\\\": "
        "[{\\\"task\\\": \\\"next\\\"}]}]\", \"content-type\": \"application/json\", \"headers\": "
        "{\"task\": \"t\", \"id\": \"I\", \"root_id\": \"R\"}, \"properties\": {\"reply_to\": "
        "\"r\"}}";
    struct wfi_message_in in;
    struct wf_error err;
    assert_int_equal(wfi_message_read_redis(raw, sizeof raw - 1, &in, &err), WFI_MESSAGE_RUN);
    assert_int_equal(wfi_message_read_body(&in, 0, &err), WFI_MESSAGE_RUN);
    static const char *const signatures[] = {
        "{\"task\": \"celery.chain\", \"kwargs\": {\"tasks\": [{\"task\": \"a\"}, {\"task\": "
        "\"b\"}]}}",
        "{\"task\": \"celery.group\", \"kwargs\": {\"tasks\": [{\"task\": \"a\"}, {\"task\": "
        "\"b\"}]}}",
        "{\"task\": \"celery.chord\", \"kwargs\": {\"header\": [{\"task\": \"a\"}], \"body\": "
        "{\"task\": \"b\"}}}",
        "{\"task\": \"celery.chain\", \"kwargs\": {\"tasks\": [{\"task\": \"x\"}, {\"task\": "
        "\"celery.group\", \"kwargs\": {\"tasks\": [{\"task\": \"a\"}]}}]}}",
        "{\"task\": \"celery.chord\", \"kwargs\": {\"header\": [{\"task\": \"a\"}], \"body\": "
        "{\"task\": \"celery.chain\", \"kwargs\": {\"tasks\": [{\"task\": \"y\"}, {\"task\": "
        "\"z\"}]}}}}",
    };
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        struct wfi_canvas *c = canvas();
        struct wf_json *json = fixture_parse(signatures[i], strlen(signatures[i]));
        const struct wfi_canvas_context context = {.request = &in.message, .new_id = make_id};
        if (wfi_canvas_replace(c, &context, wf_json_root(json), &err))
            fail_msg("%s: %s", signatures[i], err.text);
        assert_string_equal(wfi_canvas_id(c), "I");
        /* Wherever the end is by now: it has the id, the callback and what follows. */
        const struct wfi_message *m = &nth(c, WFI_STEP_SEND, 0)->message;
        struct wfi_buffer body = {0};
        assert_int_equal(wfi_message_pack_body(m, &body), 0);
        const char *text = wfi_buffer_text(&body);
        const char *at = strstr(text, "\"task_id\": \"I\"");
        if (!at || strstr(at + 1, "\"task_id\": \"I\""))
            fail_msg("%s: %s", signatures[i], text);
        assert_non_null(strstr(text, "{\"task\": \"cb\"}"));
        assert_non_null(strstr(text, "{\"task\": \"next\"}"));
        assert_string_equal(m->root_id, "R");
        assert_string_equal(m->parent_id, "I");
        assert_string_equal(m->properties.reply_to, "r");
        wfi_buffer_reset(&body);
        wf_json_destroy(json);
        wfi_canvas_destroy(c);
    }
    struct wfi_canvas *c = canvas();
    const struct wfi_canvas_context context = {.request = &in.message, .new_id = make_id};
    assert_int_equal(wfi_canvas_add_to_chord(c, &context, NULL, &err), -EINVAL);
    wfi_canvas_destroy(c);
    wfi_message_in_reset(&in);
}

static void a_part_can_add_parts(void **state)
{
    (void)state;
    static const char raw[] =
        "{\"body\": \"[[], {}, {\\\"chord\\\": {\\\"task\\\": \\\"sum\\\"}}]\", \"content-type\": "
        "\"application/json\", \"headers\": {\"task\": \"t\", \"id\": \"I\", \"group\": \"G\", "
        "\"group_index\": 4}, \"properties\": {}}";
    struct wfi_message_in in;
    struct wf_error err;
    assert_int_equal(wfi_message_read_redis(raw, sizeof raw - 1, &in, &err), WFI_MESSAGE_RUN);
    assert_int_equal(wfi_message_read_body(&in, 0, &err), WFI_MESSAGE_RUN);
    struct wfi_canvas *c = canvas();
    struct wf_json *json = fixture_parse("{\"task\": \"more\"}", 16);
    const struct wfi_canvas_context context = {.request = &in.message, .new_id = make_id};
    assert_int_equal(wfi_canvas_add_to_chord(c, &context, wf_json_root(json), &err), 0);
    assert_int_equal(wfi_canvas_step(c, 0)->kind, WFI_STEP_CHORD_GROWN);
    assert_string_equal(wfi_canvas_step(c, 0)->group_id, "G");
    assert_string_equal(wfi_canvas_step(c, 1)->message.group, "G");
    assert_true(wfi_canvas_step(c, 1)->message.has_group_index);
    assert_int_equal(wfi_canvas_step(c, 1)->message.group_index, 4);
    assert_false(wfi_json_piece_is_null(&wfi_canvas_step(c, 1)->message.chord));
    wf_json_destroy(json);
    wfi_canvas_destroy(c);
    wfi_message_in_reset(&in);
}

static void what_is_no_signature_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "null",
        "[]",
        "1",
        "{}",
        "{'task': 1}",
        "{'task': ''}",
        "{'task': 't', 'args': {}}",
        "{'task': 't', 'kwargs': []}",
        "{'task': 't', 'options': 1}",
        "{'task': 't', 'immutable': 1}",
        "{'task': 'celery.group'}",
        "{'task': 'celery.group', 'kwargs': {'tasks': {}}}",
        "{'task': 'celery.group', 'kwargs': {'tasks': [1]}}",
        "{'task': 'celery.chain', 'kwargs': {'tasks': [{'task': 'a'}, null]}}",
        "{'task': 'celery.chord', 'kwargs': {'header': []}}",
        "{'task': 'celery.chord', 'kwargs': {'body': {'task': 'b'}}}",
        "{'task': 'celery.chord', 'kwargs': {'header': 1, 'body': {'task': 'b'}}}",
        "{'task': 'celery.chord', 'kwargs': {'header': [{'task': 'a'}], 'body': [1]}}",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct applied a = apply_text(wrong[i], WF_EPARSE);
        end_applied(&a);
    }
    /* Empty ones are none, but no error either. */
    struct applied a = apply_text("{'task': 'celery.chain', 'kwargs': {'tasks': []}}", 0);
    assert_int_equal(wfi_canvas_count(a.c), 0);
    end_applied(&a);
    a = apply_text("{'task': 'celery.group', 'kwargs': {'tasks': []}}", 0);
    assert_int_equal(wfi_canvas_count(a.c), 0);
    end_applied(&a);
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    static const char *const shells[][2] = {
        {"{'task': 'celery.chain', 'kwargs': {'tasks': [", "]}}"},
        {"{'task': 'celery.group', 'kwargs': {'tasks': [", "]}}"},
        {"{'task': 'celery.chord', 'kwargs': {'header': [{'task': 'a'}], 'body': ", "}}"},
        {"{'task': 'celery.chord', 'kwargs': {'body': {'task': 'a'}, 'header': [", "]}}"},
        {"{'task': 'celery.chain', 'kwargs': {'tasks': [{'task': 'x'}, {'task': 'celery.chord', "
         "'kwargs': {'header': [{'task': 'a'}], 'body': ",
         "}}]}}"},
        {"{'task': 'celery.chain', 'kwargs': {'tasks': [{'task': 'celery.group', 'kwargs': "
         "{'tasks': "
         "[",
         "]}}, {'task': 'b'}]}}"},
    };
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        char *text = calloc(1, 40000);
        for (int n = 0; n < 150; n++)
            strcat(text, shells[i][0]);
        strcat(text, "{'task': 'core'}");
        for (int n = 0; n < 150; n++)
            strcat(text, shells[i][1]);
        struct applied a = apply_text(text, WF_ETOOBIG);
        end_applied(&a);
        free(text);
    }
}

static void lack_of_memory_is_told(void **state)
{
    (void)state;
    static const char text[] =
        "{\"task\": \"celery.chain\", \"kwargs\": {\"tasks\": [{\"task\": \"celery.group\", "
        "\"kwargs\": {\"tasks\": [{\"task\": \"a\", \"options\": {\"expires\": 5}}]}}, {\"task\": "
        "\"b\"}, {\"task\": \"celery.group\", \"kwargs\": {\"tasks\": [{\"task\": \"c\"}]}}]}, "
        "\"options\": {\"link\": {\"task\": \"l\"}}}";
    struct wf_json *json = fixture_parse(text, sizeof text - 1);
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct wfi_canvas *c = NULL;
        struct wfi_json_piece children;
        struct wf_error err = {0};
        const struct wfi_canvas_context context = {.new_id = make_id};
        wfi_alloc_watch(n);
        int got = wfi_canvas_create(&c);
        if (!got)
            got = wfi_canvas_apply(c, &context, wf_json_root(json), NULL, &err);
        if (!got)
            got = wfi_canvas_children(c, &children);
        wfi_canvas_destroy(c);
        assert_int_equal(wfi_alloc_live(), 0);
        failed = wfi_alloc_unwatch();
        assert_int_equal(got, failed ? -ENOMEM : 0);
    }
    wf_json_destroy(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_of_tasks_have_the_steps_that_were_captured),
        cmocka_unit_test(options_become_headers_and_a_route),
        cmocka_unit_test(a_clients_chain_travels_with_its_first_task),
        cmocka_unit_test(a_group_in_a_chain_becomes_a_chord),
        cmocka_unit_test(parts_are_counted_by_their_ends),
        cmocka_unit_test(what_many_are_given_is_held_once),
        cmocka_unit_test(a_task_replaced_by_several_keeps_its_end),
        cmocka_unit_test(a_part_can_add_parts),
        cmocka_unit_test(what_is_no_signature_is_refused),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
