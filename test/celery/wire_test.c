/* SPDX-License-Identifier: MIT */
/*
 * What went over the wire between a client, a broker and workers of Celery 5.2.6, in 57 scenes on
 * Redis and RabbitMQ: of each kind and form of message one. All are read, and what weft writes from
 * what it read is what Celery wrote.
 */
#include "celery/message/control.h"
#include "celery/message/message.h"
#include "celery/message/monitor_event.h"
#include "celery/message/result.h"

#include "celery_fixture.h"

static struct wf_json_writer *writer(void)
{
    struct wf_json_writer *w;
    assert_int_equal(wfi_message_writer_create(&w), 0);
    return w;
}

/* Ends the writer; the text is to be freed. */
static char *finish(struct wf_json_writer *w)
{
    const char *text;
    assert_int_equal(wf_json_writer_text(w, &text, NULL), 0);
    char *copy = strdup(text);
    wf_json_writer_destroy(w);
    return copy;
}

/* A line of the fixture, and its message, on either broker. */
struct captured {
    const char *kind, *raw, *body, *from;
    const struct wf_json_value *properties, *headers; /* RabbitMQ's */
    struct wfi_envelope envelope;
    bool on_redis;
};

static void open_captured(const struct wf_json_value *line, struct captured *c)
{
    struct wf_error err = {0};
    size_t len = 0;
    int code;
    *c = (struct captured){.kind = fixture_text(line, "kind"), .from = fixture_text(line, "from")};
    c->on_redis = strcmp(fixture_text(line, "broker"), "redis") == 0;
    if (c->on_redis) {
        c->raw = fixture_text(line, "raw");
        code = wfi_envelope_read_redis(c->raw, strlen(c->raw), &c->envelope, &err);
    } else {
        c->properties = wf_json_get(line, "properties");
        c->headers = wf_json_get(c->properties, "application_headers");
        c->body = wf_json_text(wf_json_get(line, "body"), &len);
        char *text = fixture_dump(c->properties);
        code = wfi_envelope_read_amqp(fixture_parse(text, strlen(text)), c->body, len, &c->envelope,
                                      &err);
        free(text);
    }
    if (code || wfi_envelope_open(&c->envelope, 1 << 20, &err))
        fail_msg("%s: %s", c->from, err.text);
}

static void check_text(const struct captured *c, char *ours, const char *theirs)
{
    if (strcmp(ours, theirs) != 0) {
        printf("ours:   %s\ntheirs: %s\n", ours, theirs);
        fail_msg("%s of %s", c->kind, c->from);
    }
    free(ours);
}

static void check_dump(const struct captured *c, char *ours, const struct wf_json_value *theirs)
{
    char *text = fixture_dump(theirs);
    check_text(c, ours, text);
    free(text);
}

/* A worker of Python sends what it sends anew with two properties more, which no reader knows. */
static char *without_extras(const char *raw)
{
    char *copy = strdup(raw), *properties = strstr(copy, "\"properties\": ");
    char *extras = properties ? strstr(properties, "\"replaced_task_nesting\"") : NULL;
    char *behind = extras ? strstr(extras, "\"delivery_mode\"") : NULL;
    if (behind)
        memmove(extras, behind, strlen(behind) + 1);
    return copy;
}

static void check_task(struct captured *c)
{
    struct wfi_message_in in = {.envelope = c->envelope};
    struct wf_error err = {0};
    c->envelope = (struct wfi_envelope){0};
    if (wfi_message_read(&in, &err) != WFI_MESSAGE_RUN ||
        wfi_message_read_body(&in, 0, &err) != WFI_MESSAGE_RUN)
        fail_msg("%s: %s", c->from, err.text);
    struct wf_json_writer *w = writer();
    if (in.message.properties.redelivered) { /* put back as they were: redis_restored_test.c */
        wf_json_writer_destroy(w);
    } else if (c->on_redis) {
        assert_int_equal(wfi_message_write_redis(w, &in.message), 0);
        char *theirs = without_extras(c->raw);
        check_text(c, finish(w), theirs);
        free(theirs);
    } else {
        wfi_message_write_headers(w, &in.message);
        check_dump(c, finish(w), c->headers);
        w = writer();
        wfi_message_write_body(w, &in.message);
        check_text(c, finish(w), c->body);
    }
    wfi_message_in_reset(&in);
}

static void check_event(struct captured *c)
{
    struct wf_json *json = fixture_parse(c->envelope.body, c->envelope.body_len);
    const struct wf_json_value *root = wf_json_root(json);
    const bool is_list = wf_json_type(root) == WF_JSON_ARRAY;
    struct wfi_celery_event e;
    struct wf_json_writer *w = writer();
    if (is_list)
        wf_json_write_array(w);
    for (size_t i = 0; i < (is_list ? wf_json_count(root) : 1); i++) {
        assert_int_equal(wfi_event_read(is_list ? wf_json_at(root, i) : root, &e), 0);
        assert_int_not_equal(strcmp(wfi_event_type_name(e.type), "other"), 0);
        wfi_event_write(w, &e);
    }
    if (is_list)
        wf_json_write_end(w);
    char *body = finish(w);
    const char *key = is_list ? WFI_EVENT_MULTI_KEY : wfi_event_routing_key(e.type);
    assert_string_equal(c->envelope.properties.routing_key, key);
    if (c->on_redis) {
        w = writer();
        assert_int_equal(wfi_event_write_redis(w, fixture_text(c->envelope.headers, "hostname"),
                                               key, c->envelope.properties.delivery_tag, body,
                                               strlen(body)),
                         0);
        check_text(c, finish(w), c->raw);
        free(body);
    } else {
        check_text(c, body, c->body);
    }
    wf_json_destroy(json);
}

static void check_request(struct captured *c)
{
    struct wfi_control_request r;
    struct wf_json *body;
    assert_int_equal(wfi_control_read(&c->envelope, "w1@vm", 1, &body, &r) == WFI_CONTROL_DROP,
                     false);
    struct wf_json_writer *w = writer();
    if (c->on_redis) {
        assert_int_equal(wfi_control_write_redis(w, &r, c->envelope.properties.delivery_tag), 0);
        check_text(c, finish(w), c->raw);
    } else {
        wfi_control_write_headers(w, &r);
        check_dump(c, finish(w), c->headers);
        w = writer();
        wfi_control_write_body(w, &r);
        check_text(c, finish(w), c->body);
    }
    wf_json_destroy(body);
}

/* One node and its value; what the values are is the control tests' concern. */
static void check_reply(struct captured *c)
{
    struct wf_json *json = fixture_parse(c->envelope.body, c->envelope.body_len);
    const struct wf_json_value *value = wf_json_at(wf_json_root(json), 0);
    const struct wfi_json_piece piece = {.value = value};
    const char *ticket = fixture_text(c->envelope.headers, "ticket");
    int64_t clock = 0;
    assert_int_equal(wf_json_count(wf_json_root(json)), 1);
    assert_int_equal(wf_json_int(wf_json_get(c->envelope.headers, "clock"), &clock), 0);
    const struct wfi_control_request r = {
        .ticket = ticket,
        .reply_exchange = c->envelope.properties.exchange,
        .reply_key = c->envelope.properties.routing_key,
    };
    struct wf_json_writer *w = writer();
    if (c->on_redis) {
        assert_int_equal(wfi_control_write_reply_redis(w, &r, wf_json_key(value, NULL), &piece,
                                                       clock, c->envelope.properties.delivery_tag),
                         0);
        check_text(c, finish(w), c->raw);
    } else {
        wfi_control_write_reply_headers(w, ticket, clock);
        check_dump(c, finish(w), c->headers);
        w = writer();
        wfi_control_write_reply_body(w, wf_json_key(value, NULL), &piece);
        check_text(c, finish(w), c->body);
    }
    wf_json_destroy(json);
}

static void check_result(const struct wf_json_value *line)
{
    const struct captured c = {.kind = "result", .from = fixture_text(line, "from")};
    const bool on_redis = strcmp(fixture_text(line, "broker"), "redis") == 0;
    const char *text = fixture_text(line, on_redis ? "raw" : "body");
    struct wfi_result_in in;
    struct wf_error err = {0};
    if (wfi_result_read(text, strlen(text), &in, &err))
        fail_msg("%s: %s", c.from, err.text);
    struct wf_json_writer *w = writer();
    (on_redis ? wfi_result_write_redis : wfi_result_write_rpc)(w, &in.result);
    check_text(&c, finish(w), text);
    wfi_result_in_reset(&in);
}

static int counts[5];

static void check_line(const struct wf_json_value *line)
{
    static const char *const kinds[] = {"task", "event", "request", "reply"};
    static void (*const checks[])(struct captured *) = {check_task, check_event, check_request,
                                                        check_reply};
    if (strcmp(fixture_text(line, "kind"), "result") == 0) {
        counts[4]++;
        check_result(line);
        return;
    }
    struct captured c;
    open_captured(line, &c);
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(c.kind, kinds[i]) == 0) {
            counts[i]++;
            checks[i](&c);
        }
    }
    wfi_envelope_reset(&c.envelope);
}

static void all_that_went_over_the_wire_is_written_as_celery_wrote_it(void **state)
{
    (void)state;
    const int lines = fixture_each("wire.jsonl", check_line);
    int checked = 0;
    for (size_t i = 0; i < 5; i++) {
        assert_true(counts[i] > 30);
        checked += counts[i];
    }
    assert_int_equal(checked, lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_went_over_the_wire_is_written_as_celery_wrote_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
