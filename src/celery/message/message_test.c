/* SPDX-License-Identifier: MIT */
/*
 * Task messages: every captured one is read, and written to the same bytes; what cannot be used
 * meets the fate that Celery has for it; failing memory.
 */
#include "celery/message/message.h"

#include "base/alloc.h"
#include "celery/message/base64.h"
#include "celery/message/compression.h"

#include "celery_fixture.h"

#include <errno.h>

static const char *written(const struct wfi_message *m, struct wf_json_writer **ret_w)
{
    const char *text = NULL;
    assert_int_equal(wfi_message_writer_create(ret_w), 0);
    assert_int_equal(wfi_message_write_redis(*ret_w, m), 0);
    assert_int_equal(wf_json_writer_text(*ret_w, &text, NULL), 0);
    return text;
}

static void read_from_redis(const char *raw, struct wfi_message_in *in)
{
    struct wf_error err = {0};
    if (wfi_message_read_redis(raw, strlen(raw), in, &err) != WFI_MESSAGE_RUN ||
        wfi_message_read_body(in, 0, &err) != WFI_MESSAGE_RUN)
        fail_msg("%s: %s", raw, err.text);
}

static void check_redis(const struct wf_json_value *line)
{
    const char *raw = fixture_text(line, "raw");
    struct wfi_message_in in;
    struct wf_json_writer *w;

    read_from_redis(raw, &in);
    assert_int_equal(in.message.before_5_3, strcmp(fixture_text(line, "version"), "5.2.6") == 0);
    assert_string_equal(written(&in.message, &w), raw);
    wf_json_writer_destroy(w);
    wfi_message_in_reset(&in);
}

static void redis_messages_are_written_byte_by_byte_as_celery_does(void **state)
{
    (void)state;
    assert_int_equal(fixture_each("redis_messages.jsonl", check_redis), 68);
}

static void check_amqp(const struct wf_json_value *line)
{
    const struct wf_json_value *properties = wf_json_get(line, "properties");
    const struct wf_json_value *packed = wf_json_get(wf_json_get(line, "body"), "base64");
    char *text = fixture_dump(properties);
    char *headers = fixture_dump(wf_json_get(properties, "application_headers"));
    size_t body_len = 0;
    const char *body = wf_json_text(packed ? packed : wf_json_get(line, "body"), &body_len);
    char decoded[1024];
    if (packed) {
        const ssize_t len = wfi_base64_decode(body, body_len, decoded);
        assert_true(len > 0);
        body = decoded;
        body_len = (size_t)len;
    }

    struct wfi_message_in in;
    struct wf_error err = {0};
    if (wfi_message_read_amqp(fixture_parse(text, strlen(text)), body, body_len, &in, &err) !=
            WFI_MESSAGE_RUN ||
        wfi_message_read_body(&in, 0, &err) != WFI_MESSAGE_RUN)
        fail_msg("%s: %s", text, err.text);

    struct wf_json_writer *w;
    const char *again;
    assert_int_equal(wfi_message_writer_create(&w), 0);
    wfi_message_write_headers(w, &in.message);
    assert_int_equal(wf_json_writer_text(w, &again, NULL), 0);
    assert_string_equal(again, headers);
    wf_json_writer_destroy(w);

    struct wfi_buffer bytes = {0};
    assert_int_equal(wfi_message_pack_body(&in.message, &bytes), 0);
    assert_int_equal(bytes.len, body_len);
    assert_memory_equal(bytes.data, body, body_len);
    wfi_buffer_reset(&bytes);

    const struct wfi_properties *p = &in.message.properties;
    assert_string_equal(p->content_type, "application/json");
    assert_string_equal(p->content_encoding, "utf-8");
    assert_string_equal(p->correlation_id, in.message.id);
    assert_string_equal(p->exchange, "");
    assert_string_equal(p->routing_key, fixture_text(line, "key"));
    assert_int_equal(p->delivery_mode, 2);
    assert_non_null(p->reply_to);
    assert_false(p->redelivered);
    wfi_message_in_reset(&in);
    free(headers);
    free(text);
}

static void amqp_messages_are_read_and_written(void **state)
{
    (void)state;
    assert_int_equal(fixture_each("amqp_messages.jsonl", check_amqp), 68);
}

/* An envelope around headers and a body, with nothing else. */
static char *envelope(const char *headers, const char *body)
{
    char *text = malloc(strlen(headers) + strlen(body) * 2 + 300);
    char *encoded = calloc(1, wfi_base64_encoded_len(strlen(body)) + 1);
    wfi_base64_encode(body, strlen(body), encoded);
    sprintf(text,
            "{\"body\": \"%s\", \"content-type\": \"application/json\", \"headers\": %s, "
            "\"properties\": {\"body_encoding\": \"base64\"}}",
            encoded, headers);
    free(encoded);
    return text;
}

static void all_fields_have_their_meaning(void **state)
{
    (void)state;
    char *raw = envelope(
        "{\"lang\": \"py\", \"task\": \"m.t\", \"id\": \"i\", \"root_id\": \"r\", \"parent_id\": "
        "\"p\", "
        "\"group\": \"g\", \"group_index\": 3, \"eta\": \"2026-11-21T02:36:39.278444+01:00\", "
        "\"expires\": \"2026-11-21T01:36:40\", \"retries\": 2, \"timelimit\": [1.5, 1], "
        "\"shadow\": \"s\", \"argsrepr\": \"(1,)\", \"kwargsrepr\": \"{}\", \"origin\": \"o\", "
        "\"ignore_result\": true, \"replaced_task_nesting\": 4, \"redelivered\": true, "
        "\"x-own\": {\"a\": [1]}}",
        "[[1], {\"k\": 2.0}, {\"callbacks\": [{}], \"chain\": [], \"chord\": {}}]");
    struct wfi_message_in in;
    read_from_redis(raw, &in);
    const struct wfi_message *m = &in.message;
    assert_string_equal(m->task, "m.t");
    assert_string_equal(m->id, "i");
    assert_string_equal(m->root_id, "r");
    assert_string_equal(m->parent_id, "p");
    assert_string_equal(m->group, "g");
    assert_true(m->has_group_index && m->group_index == 3);
    assert_true(m->eta_us == INT64_C(1795224999278444));
    assert_true(m->expires_us == INT64_C(1795225000000000));
    assert_int_equal(m->retries, 2);
    assert_true(m->hard_s == 1.5 && m->soft_s == 1);
    assert_string_equal(m->shadow, "s");
    assert_string_equal(m->argsrepr, "(1,)");
    assert_string_equal(m->kwargsrepr, "{}");
    assert_string_equal(m->origin, "o");
    assert_true(m->ignore_result && m->properties.redelivered && !m->before_5_3);
    assert_int_equal(m->replaced_task_nesting, 4);
    assert_int_equal(wf_json_count(wf_json_get(m->headers, "x-own")), 1);
    assert_int_equal(wf_json_count(m->args.value), 1);
    assert_int_equal(wf_json_count(m->kwargs.value), 1);
    assert_false(wfi_json_piece_is_null(&m->callbacks));
    assert_true(wfi_json_piece_is_null(&m->errbacks));
    assert_int_equal(wf_json_type(m->chain.value), WF_JSON_ARRAY);
    assert_int_equal(wf_json_type(m->chord.value), WF_JSON_OBJECT);
    wfi_message_in_reset(&in);
    free(raw);
}

static void what_is_missing_has_a_default(void **state)
{
    (void)state;
    char *raw = envelope("{\"task\": \"t\", \"id\": \"i\"}", "[[], {}, null]");
    struct wfi_message_in in;
    read_from_redis(raw, &in);
    const struct wfi_message *m = &in.message;
    assert_true(!m->root_id && !m->parent_id && !m->group && !m->eta && !m->expires && !m->shadow);
    assert_true(!m->has_group_index && m->retries == 0 && m->hard_s == 0 && m->soft_s == 0);
    assert_true(!m->ignore_result && m->before_5_3 && !m->properties.redelivered);
    assert_true(wfi_json_piece_is_null(&m->callbacks) && wfi_json_piece_is_null(&m->chord));
    wfi_message_in_reset(&in);
    free(raw);
}

static void what_weft_fills_in_python_reads(void **state)
{
    (void)state;
    const struct wfi_message m = {
        .task = "tasks.add",
        .id = "one",
        .root_id = "one",
        .argsrepr = "(1, 2)",
        .kwargsrepr = "{}",
        .origin = "gen1@here",
        .hard_s = 2.5,
        .properties = {.reply_to = "me",
                       .routing_key = "celery",
                       .priority = 9,
                       .delivery_tag = "tag",
                       .correlation_id = "not this"},
        .args = {.text = "[1, 2]", .len = 6},
    };
    struct wf_json_writer *w;
    /* The body: [[1, 2], {}, {"callbacks": null, "errbacks": null, "chain": null, ...}] */
    assert_string_equal(
        written(&m, &w),
        "{\"body\": "
        "\"W1sxLCAyXSwge30sIHsiY2FsbGJhY2tzIjogbnVsbCwgImVycmJhY2tzIjogbnVsbCwgImNoYWluIjogbnVsbCwg"
        "ImNob3JkIjogbnVsbH1d\", \"content-encoding\": \"utf-8\", \"content-type\": "
        "\"application/json\", \"headers\": {\"lang\": \"c\", \"task\": \"tasks.add\", \"id\": "
        "\"one\", "
        "\"shadow\": null, \"eta\": null, \"expires\": null, \"group\": null, \"group_index\": "
        "null, "
        "\"retries\": 0, \"timelimit\": [2.5, null], \"root_id\": \"one\", \"parent_id\": null, "
        "\"argsrepr\": \"(1, 2)\", \"kwargsrepr\": \"{}\", \"origin\": \"gen1@here\", "
        "\"ignore_result\": false, \"replaced_task_nesting\": 0, \"stamped_headers\": null, "
        "\"stamps\": {}}, \"properties\": {\"correlation_id\": \"one\", \"reply_to\": \"me\", "
        "\"delivery_mode\": 2, \"delivery_info\": {\"exchange\": \"\", \"routing_key\": "
        "\"celery\"}, "
        "\"priority\": 9, \"body_encoding\": \"base64\", \"delivery_tag\": \"tag\"}}");
    wf_json_writer_destroy(w);
}

static void check_fate(const char *raw, size_t len, int expected, const char *why)
{
    struct wfi_message_in in;
    struct wf_error err = {0};
    int fate = wfi_message_read_redis(raw, len, &in, &err);
    if (fate == WFI_MESSAGE_RUN)
        fate = wfi_message_read_body(&in, 1 << 20, &err);
    if (fate != expected || (expected != WFI_MESSAGE_RUN && !err.text[0]))
        fail_msg("%.*s: %d: %s", (int)(len < 300 ? len : 300), raw, fate, err.text);
    if (why && !strstr(err.text, why))
        fail_msg("%.*s: %s", (int)(len < 300 ? len : 300), raw, err.text);
    assert_true((fate == WFI_MESSAGE_FAIL) == (in.exc_type && in.exc_module));
    wfi_message_in_reset(&in);
}

static void what_cannot_be_decoded_is_dropped(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "x",
        "{",
        "[]",
        "null",
        "1",
        "\"text\"",
        "\xff\xfe",
        "{}",
        "{\"body\": \"\"}",
        "{\"body\": \"\", \"properties\": []}",
        "{\"body\": 1, \"properties\": {}}",
        "{\"body\": \"\", \"properties\": {}, \"headers\": []}",
        "{\"body\": \"\", \"properties\": {\"body_encoding\": \"base32\"}}",
        "{\"body\": \"\", \"properties\": {\"body_encoding\": 64}}",
        /* No header says that it is a task, and the body cannot say it. */
        "{\"body\": \"not JSON\", \"properties\": {}, \"headers\": {}}",
        "{\"body\": \"!\", \"properties\": {\"body_encoding\": \"base64\"}, \"headers\": {}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_fate(texts[i], strlen(texts[i]), WFI_MESSAGE_DROP, NULL);
}

static void what_has_another_form_is_rejected(void **state)
{
    (void)state;
    static const char *const headers[][2] = {
        {"{}", "no task"},
        {"null", "no task"},
        {"{\"task\": 1, \"id\": \"i\"}", "name of the task"},
        {"{\"task\": null, \"id\": \"i\"}", "name of the task"},
        {"{\"task\": \"\", \"id\": \"i\"}", "name of the task"},
        {"{\"task\": \"a\\u0000b\", \"id\": \"i\"}", "name of the task"},
        {"{\"task\": \"t\"}", "no id"},
        {"{\"task\": \"t\", \"id\": null}", "no id"},
        {"{\"task\": \"t\", \"id\": 5}", "no id"},
        {"{\"task\": \"t\", \"id\": \"a\\u0000b\"}", "no id"},
        {"{\"task\": \"t\", \"id\": \"i\", \"root_id\": []}", "root_id"},
        {"{\"task\": \"t\", \"id\": \"i\", \"parent_id\": 1}", "parent_id"},
        {"{\"task\": \"t\", \"id\": \"i\", \"group\": {}}", "group"},
        {"{\"task\": \"t\", \"id\": \"i\", \"group_index\": \"1\"}", "group_index"},
        {"{\"task\": \"t\", \"id\": \"i\", \"group_index\": 1.0}", "group_index"},
        {"{\"task\": \"t\", \"id\": \"i\", \"retries\": -1}", "retries"},
        {"{\"task\": \"t\", \"id\": \"i\", \"retries\": 1e40}", "retries"},
        {"{\"task\": \"t\", \"id\": \"i\", \"retries\": 99999999999999999999}", "retries"},
        {"{\"task\": \"t\", \"id\": \"i\", \"retries\": 9223372036854775807}", "retries"},
        {"{\"task\": \"t\", \"id\": \"i\", \"replaced_task_nesting\": 9223372036854775807}",
         "nesting"},
        {"{\"task\": \"t\", \"id\": \"i\", \"timelimit\": 1}", "timelimit"},
        {"{\"task\": \"t\", \"id\": \"i\", \"timelimit\": [1]}", "timelimit"},
        {"{\"task\": \"t\", \"id\": \"i\", \"timelimit\": [1, \"2\"]}", "timelimit"},
        {"{\"task\": \"t\", \"id\": \"i\", \"timelimit\": [NaN, 1]}", "timelimit"},
        {"{\"task\": \"t\", \"id\": \"i\", \"timelimit\": [-1, 1]}", "timelimit"},
        {"{\"task\": \"t\", \"id\": \"i\", \"ignore_result\": 1}", "ignore_result"},
        {"{\"task\": \"t\", \"id\": \"i\", \"eta\": \"soon\"}", "eta"},
        {"{\"task\": \"t\", \"id\": \"i\", \"eta\": 1795224999}", "eta"},
        {"{\"task\": \"t\", \"id\": \"i\", \"expires\": \"2026-02-30\"}", "expires"},
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        char *raw = envelope(headers[i][0], "[[], {}, {}]");
        check_fate(raw, strlen(raw), WFI_MESSAGE_REJECT, headers[i][1]);
        free(raw);
    }
    char *raw = envelope("{}", "{\"task\": \"t\", \"id\": \"i\", \"args\": [], \"kwargs\": {}}");
    check_fate(raw, strlen(raw), WFI_MESSAGE_REJECT, "protocol 1");
    free(raw);
}

static void what_only_tells_may_be_anything(void **state)
{
    (void)state;
    char *raw =
        envelope("{\"task\": \"t\", \"id\": \"i\", \"lang\": 1, \"shadow\": [], \"origin\": {}, "
                 "\"argsrepr\": null, \"kwargsrepr\": true, \"stamps\": 1, \"x\": {}}",
                 "[[], {}, {}]");
    check_fate(raw, strlen(raw), WFI_MESSAGE_RUN, NULL);
    free(raw);
}

static void a_body_that_cannot_be_used_fails_the_task(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        "x",
        "{",
        "{}",
        "null",
        "[]",
        "[[], {}]",
        "[[], {}, {}, {}]",
        "[{}, {}, {}]",
        "[[], [], {}]",
        "[null, {}, {}]",
        "[[], {}, []]",
        "[[], {}, {\"callbacks\": {}}]",
        "[[], {}, {\"errbacks\": 1}]",
        "[[], {}, {\"chain\": \"c\"}]",
        "[[], {}, {\"chord\": []}]",
        "[[], {}, {}] ]",
        "\xff",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        char *raw = envelope("{\"task\": \"t\", \"id\": \"i\"}", bodies[i]);
        check_fate(raw, strlen(raw), WFI_MESSAGE_FAIL, NULL);
        free(raw);
    }
    static const char *const rests[][2] = {
        {"\"content-type\": \"application/x-python-serialize\", \"headers\": {\"task\": \"t\", "
         "\"id\": \"i\"}",
         "disabled content"},
        {"\"headers\": {\"task\": \"t\", \"id\": \"i\"}", "disabled content"},
        {"\"content-type\": \"application/json\", \"content-encoding\": \"utf-16\", \"headers\": "
         "{\"task\": \"t\", \"id\": \"i\"}",
         "utf-16"},
        {"\"content-type\": \"application/json\", \"headers\": {\"task\": \"t\", \"id\": \"i\", "
         "\"compression\": \"application/x-bz2\"}",
         "application/x-bz2"},
        {"\"content-type\": \"application/json\", \"headers\": {\"task\": \"t\", \"id\": \"i\", "
         "\"compression\": \"application/x-gzip\"}",
         "zlib"},
    };
    for (size_t i = 0; i < sizeof rests / sizeof *rests; i++) {
        char raw[512];
        snprintf(raw, sizeof raw, "{\"body\": \"[[], {}, {}]\", \"properties\": {}, %s}",
                 rests[i][0]);
        check_fate(raw, strlen(raw), WFI_MESSAGE_FAIL, rests[i][1]);
    }
}

static void depth_is_bounded(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    char *body = malloc(DEPTH * 2 + 32), *at = body + sprintf(body, "[[");
    memset(at, '[', DEPTH);
    memset(at + DEPTH, ']', DEPTH);
    strcpy(at + DEPTH * 2, "], {}, {}]");
    char *raw = envelope("{\"task\": \"t\", \"id\": \"i\"}", body);
    struct wfi_message_in in;
    struct wf_error err;
    assert_int_equal(wfi_message_read_redis(raw, strlen(raw), &in, &err), WFI_MESSAGE_RUN);
    assert_int_equal(wfi_message_read_body(&in, 0, &err), WFI_MESSAGE_FAIL);
    assert_string_equal(in.exc_type, "RecursionError");
    wfi_message_in_reset(&in);
    free(raw);
    /* The envelope itself. */
    check_fate(body, DEPTH * 2, WFI_MESSAGE_DROP, "deep");
    free(body);
}

static void sixteen_mebibytes_are_read_and_a_bound_holds(void **state)
{
    (void)state;
    enum { LEN = 16 << 20 };
    char *body = malloc(LEN + 64), *at = body + sprintf(body, "[[\"");
    memset(at, 'x', LEN);
    strcpy(at + LEN, "\"], {}, {}]");
    char *raw = envelope("{\"task\": \"t\", \"id\": \"i\"}", body);
    struct wfi_message_in in;
    read_from_redis(raw, &in);
    size_t len = 0;
    assert_non_null(wf_json_text(wf_json_at(in.message.args.value, 0), &len));
    assert_int_equal(len, LEN);

    /* The same, packed into next to nothing. */
    struct wf_json_writer *w;
    in.message.compress = true;
    const char *packed = written(&in.message, &w);
    assert_true(strlen(packed) < 100000);
    check_fate(packed, strlen(packed), WFI_MESSAGE_FAIL, "larger");
    struct wfi_message_in again;
    read_from_redis(packed, &again);
    assert_int_equal(wf_json_count(again.message.args.value), 1);
    wfi_message_in_reset(&again);
    wf_json_writer_destroy(w);
    wfi_message_in_reset(&in);
    check_fate(raw, strlen(raw), WFI_MESSAGE_FAIL, "larger");
    free(raw);
    free(body);
}

/* A message whose body is packed; to be freed. */
static char *packed_message(const char *body)
{
    char *raw =
        envelope("{\"task\": \"t\", \"id\": \"i\", \"compression\": \"application/x-gzip\"}", "");
    struct wfi_buffer packed = {0};
    assert_int_equal(wfi_deflate(body, strlen(body), &packed), 0);
    char encoded[128] = {0};
    assert_true(wfi_base64_encoded_len(packed.len) < sizeof encoded);
    wfi_base64_encode(packed.data, packed.len, encoded);
    wfi_buffer_reset(&packed);
    char *whole = malloc(strlen(raw) + sizeof encoded);
    sprintf(whole, "{\"body\": \"%s%s", encoded, raw + strlen("{\"body\": \""));
    free(raw);
    return whole;
}

/* Its form is undone once: for lack of memory for its values, it may be read a second time. */
static void a_body_can_be_read_twice(void **state)
{
    (void)state;
    char *texts[] = {packed_message("[[1, 2], {}, {}]"),
                     envelope("{\"task\": \"t\", \"id\": \"i\"}", "[[1, 2], {}, {}]")};
    for (int i = 0; i < 2; i++) {
        struct wfi_message_in in;
        struct wf_error err;
        read_from_redis(texts[i], &in); /* its body, too */
        assert_int_equal(wfi_message_read_body(&in, 0, &err), WFI_MESSAGE_RUN);
        assert_int_equal(wf_json_count(in.message.args.value), 2);
        wfi_message_in_reset(&in);
        free(texts[i]);
    }
}

static void lack_of_memory_is_told(void **state)
{
    (void)state;
    char *whole = packed_message("[[1, 2], {}, {}]");

    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct wfi_message_in in;
        struct wf_error err;
        struct wf_json_writer *w = NULL;
        const char *text;
        wfi_alloc_watch(n);
        int got = wfi_message_read_redis(whole, strlen(whole), &in, &err);
        if (got >= 0)
            got = wfi_message_read_body(&in, 0, &err);
        if (got == WFI_MESSAGE_RUN)
            got = wfi_message_writer_create(&w);
        if (got == 0)
            got = wfi_message_write_redis(w, &in.message);
        if (got == 0)
            got = wf_json_writer_text(w, &text, NULL);
        wf_json_writer_destroy(w);
        wfi_message_in_reset(&in);
        assert_int_equal(wfi_alloc_live(), 0);
        failed = wfi_alloc_unwatch();
        assert_int_equal(got, failed ? -ENOMEM : 0);
    }
    free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redis_messages_are_written_byte_by_byte_as_celery_does),
        cmocka_unit_test(amqp_messages_are_read_and_written),
        cmocka_unit_test(all_fields_have_their_meaning),
        cmocka_unit_test(what_is_missing_has_a_default),
        cmocka_unit_test(what_weft_fills_in_python_reads),
        cmocka_unit_test(what_cannot_be_decoded_is_dropped),
        cmocka_unit_test(what_has_another_form_is_rejected),
        cmocka_unit_test(what_only_tells_may_be_anything),
        cmocka_unit_test(a_body_that_cannot_be_used_fails_the_task),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(sixteen_mebibytes_are_read_and_a_bound_holds),
        cmocka_unit_test(a_body_can_be_read_twice),
        cmocka_unit_test(lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
