/* SPDX-License-Identifier: MIT */
/*
 * Remote control: every captured request is read and written to the same bytes, and so is every
 * answer, from the same facts; whom a request is for; failing memory.
 */
#include "celery/message/control.h"

#include "base/alloc.h"
#include "celery/message/message.h"

#include "celery_fixture.h"

#include <errno.h>

static struct wf_json_writer *writer(void)
{
    struct wf_json_writer *w;
    assert_int_equal(wfi_message_writer_create(&w), 0);
    return w;
}

static const char *text_of(struct wf_json_writer *w)
{
    const char *text;
    assert_int_equal(wf_json_writer_text(w, &text, NULL), 0);
    return text;
}

static int64_t int_in(const struct wf_json_value *value, const char *key)
{
    int64_t number = 0;
    wf_json_int(wf_json_get(value, key), &number);
    return number;
}

static double double_in(const struct wf_json_value *value, const char *key)
{
    double number = 0;
    wf_json_double(wf_json_get(value, key), &number);
    return number;
}

static struct wfi_control_task task_in(const struct wf_json_value *value)
{
    const struct wf_json_value *delivery = wf_json_get(value, "delivery_info");
    struct wfi_control_task task = {
        .id = fixture_text(value, "id"),
        .name = fixture_text(value, "name"),
        .args = {.value = wf_json_get(value, "args")},
        .kwargs = {.value = wf_json_get(value, "kwargs")},
        .hostname = fixture_text(value, "hostname"),
        .time_start = double_in(value, "time_start"),
        .exchange = fixture_text(delivery, "exchange"),
        .routing_key = fixture_text(delivery, "routing_key"),
        .priority = (int)int_in(delivery, "priority"),
        .worker_pid = int_in(value, "worker_pid"),
    };
    wf_json_bool(wf_json_get(value, "acknowledged"), &task.acknowledged);
    return task;
}

static void write_stats(struct wf_json_writer *w, const struct wf_json_value *value)
{
    const struct wf_json_value *total = wf_json_get(value, "total");
    const struct wf_json_value *pool = wf_json_get(value, "pool");
    const struct wf_json_value *processes = wf_json_get(pool, "processes");
    const struct wf_json_value *broker = wf_json_get(value, "broker");
    const struct wf_json_value *usage = wf_json_get(value, "rusage");
    const char *names[16];
    int64_t totals[16], pids[4];
    for (size_t i = 0; i < wf_json_count(total); i++) {
        names[i] = wf_json_key(wf_json_at(total, i), NULL);
        assert_int_equal(wf_json_int(wf_json_at(total, i), &totals[i]), 0);
    }
    for (size_t i = 0; i < wf_json_count(processes); i++)
        assert_int_equal(wf_json_int(wf_json_at(processes, i), &pids[i]), 0);
    const struct wfi_control_stats stats = {
        .totals_names = names,
        .totals = totals,
        .totals_count = wf_json_count(total),
        .pid = int_in(value, "pid"),
        .clock = strtoll(fixture_text(value, "clock"), NULL, 10),
        .uptime_s = int_in(value, "uptime"),
        .concurrency = int_in(pool, "max-concurrency"),
        .processes = pids,
        .process_count = wf_json_count(processes),
        .transport = fixture_text(broker, "transport"),
        .hostname = fixture_text(broker, "hostname"),
        .virtual_host = fixture_text(broker, "virtual_host"),
        .port = int_in(broker, "port"),
        .prefetch_count = int_in(value, "prefetch_count"),
        .user_s = double_in(usage, "utime"),
        .system_s = double_in(usage, "stime"),
        .maxrss_kib = int_in(usage, "maxrss"),
        .minflt = int_in(usage, "minflt"),
        .majflt = int_in(usage, "majflt"),
        .inblock = int_in(usage, "inblock"),
        .oublock = int_in(usage, "oublock"),
        .nvcsw = int_in(usage, "nvcsw"),
        .nivcsw = int_in(usage, "nivcsw"),
    };
    wfi_control_write_stats(w, &stats);
}

/* Writes the answer's value by the function for its form, from what the captured one tells. */
static void write_value(struct wf_json_writer *w, const char *method,
                        const struct wf_json_value *value)
{
    const struct wf_json_value *first = wf_json_at(value, 0);
    const char *ok = wf_json_text(wf_json_get(value, "ok"), NULL);
    static const char *const id = "602fdc10-4361-41d6-9436-fc80f3791691";

    if (strcmp(method, "revoke") == 0) {
        wfi_control_write_revoking(w, &id, 1);
    } else if (strcmp(method, "nosuch") == 0) {
        wfi_control_write_unknown(w, method);
    } else if (ok) {
        wfi_control_write_ok(w, "%s", ok);
    } else if (strcmp(method, "active") == 0 || strcmp(method, "reserved") == 0) {
        wf_json_write_array(w);
        for (size_t i = 0; i < wf_json_count(value); i++) {
            const struct wfi_control_task task = task_in(wf_json_at(value, i));
            wfi_control_write_task(w, &task);
        }
        wf_json_write_end(w);
    } else if (strcmp(method, "scheduled") == 0) {
        const struct wfi_control_task task = task_in(wf_json_get(first, "request"));
        wf_json_write_array(w);
        wfi_control_write_scheduled(w, fixture_text(first, "eta"), &task);
        wf_json_write_end(w);
    } else if (strcmp(method, "active_queues") == 0) {
        wf_json_write_array(w);
        wfi_control_write_queue(w, &(struct wfi_control_queue){.name = "celery"});
        wf_json_write_end(w);
    } else if (strcmp(method, "stats") == 0) {
        write_stats(w, value);
    } else {
        wf_json_write_value(w, value); /* lists and objects of the worker's own */
    }
}

/* Cuts out what lies between, with the first of the two. */
static void cut(char *text, const char *from, const char *to)
{
    char *first = strstr(text, from), *last = first ? strstr(first, to) : NULL;
    if (last)
        memmove(first, last, strlen(last) + 1);
}

static void check_answer(const char *method, const char *raw, const struct wfi_control_request *r)
{
    struct wfi_envelope envelope;
    struct wf_error err;
    struct wf_json_writer *value_writer = writer(), *w = writer();
    struct wfi_json_piece value = {0};

    assert_int_equal(wfi_envelope_read_redis(raw, strlen(raw), &envelope, &err), 0);
    assert_int_equal(wfi_envelope_open(&envelope, 1 << 20, &err), 0);
    struct wf_json *json = fixture_parse(envelope.body, envelope.body_len);
    write_value(value_writer, method, wf_json_get(wf_json_root(json), "w1@vm"));
    assert_int_equal(wf_json_writer_text(value_writer, &value.text, &value.len), 0);
    if (strcmp(method, "stats") == 0) {
        /* How the pool's pipes were used says nothing of weft's. */
        char *theirs = calloc(1, envelope.body_len + 1);
        assert_non_null(theirs);
        memcpy(theirs, envelope.body, envelope.body_len);
        cut(theirs, ", \"writes\"", "}, \"broker\"");
        wfi_control_write_reply_body(w, "w1@vm", &value);
        assert_string_equal(text_of(w), theirs);
        free(theirs);
    } else {
        assert_int_equal(wfi_control_write_reply_redis(w, r, "w1@vm", &value,
                                                       int_in(envelope.headers, "clock"),
                                                       envelope.properties.delivery_tag),
                         0);
        assert_string_equal(text_of(w), raw);
    }
    wf_json_destroy(json);
    wfi_envelope_reset(&envelope);
    wf_json_writer_destroy(value_writer);
    wf_json_writer_destroy(w);
}

static void check_request(const struct wf_json_value *line)
{
    const char *raw = fixture_text(line, "request"), *method = fixture_text(line, "method");
    const char *reply = wf_json_text(wf_json_get(line, "reply"), NULL);
    struct wfi_envelope envelope;
    struct wfi_control_request r;
    struct wf_error err;
    struct wf_json *body;
    struct wf_json_writer *w = writer();

    assert_int_equal(wfi_envelope_read_redis(raw, strlen(raw), &envelope, &err), 0);
    assert_int_equal(wfi_control_read(&envelope, "w1@vm", 1795225000, &body, &r), WFI_CONTROL_DO);
    assert_string_equal(r.method, method);
    assert_int_equal(wfi_control_write_redis(w, &r, envelope.properties.delivery_tag), 0);
    assert_string_equal(text_of(w), raw);
    wf_json_writer_destroy(w);
    assert_int_equal(r.reply_key == NULL, strcmp(method, "shutdown") == 0);
    if (reply)
        check_answer(method, reply, &r);
    wf_json_destroy(body);
    wfi_envelope_reset(&envelope);
}

static void requests_and_answers_are_written_byte_by_byte_as_celery_does(void **state)
{
    (void)state;
    assert_true(fixture_each("control.jsonl", check_request) >= 23);
}

static int fate_of(const char *headers, const char *body)
{
    char text[1024];
    struct wfi_envelope envelope;
    struct wfi_control_request r;
    struct wf_error err;
    struct wf_json *tree;
    struct wf_json_writer *w = writer();
    wf_json_write_string(w, body, strlen(body));
    snprintf(text, sizeof text, "{\"body\": %s, \"headers\": %s, \"properties\": {}}", text_of(w),
             headers);
    wf_json_writer_destroy(w);
    assert_int_equal(wfi_envelope_read_redis(text, strlen(text), &envelope, &err), 0);
    const int fate = wfi_control_read(&envelope, "w1@vm", 100, &tree, &r);
    wf_json_destroy(tree);
    wfi_envelope_reset(&envelope);
    return fate;
}

#define SIXTY "************************************************************"

static void a_request_is_for_those_it_names(void **state)
{
    (void)state;
    static const struct {
        const char *headers, *body;
        int fate;
    } table[] = {
        {"{}", "{\"method\": \"ping\"}", WFI_CONTROL_DO},
        {"null", "{\"method\": \"ping\", \"destination\": []}", WFI_CONTROL_DO},
        {"{}", "{\"method\": \"ping\", \"destination\": [\"w2@vm\", \"w1@vm\"]}", WFI_CONTROL_DO},
        {"{}", "{\"method\": \"ping\", \"destination\": \"w1@vm\"}", WFI_CONTROL_DO},
        {"{}", "{\"method\": \"ping\", \"destination\": [\"w2@vm\"]}", WFI_CONTROL_IGNORE},
        {"{}", "{\"method\": \"ping\", \"destination\": [1]}", WFI_CONTROL_IGNORE},
        {"{}", "{\"method\": \"ping\", \"pattern\": \"w?@*\", \"matcher\": \"glob\"}",
         WFI_CONTROL_DO},
        {"{}", "{\"method\": \"ping\", \"pattern\": \"x*\", \"matcher\": \"glob\"}",
         WFI_CONTROL_IGNORE},
        {"{}", "{\"method\": \"ping\", \"pattern\": \"w[0-9]+@\", \"matcher\": \"pcre\"}",
         WFI_CONTROL_DO},
        {"{}", "{\"method\": \"ping\", \"pattern\": \"vm\", \"matcher\": \"pcre\"}",
         WFI_CONTROL_IGNORE},
        {"{}", "{\"method\": \"ping\", \"pattern\": \"w{1}\", \"matcher\": \"pcre\"}",
         WFI_CONTROL_IGNORE},
        {"{}", "{\"method\": \"ping\", \"pattern\": \"w(\", \"matcher\": \"pcre\"}",
         WFI_CONTROL_IGNORE},
        /* glibc would take a terabyte for the first, and as good as no end for the others. */
        {"{}",
         "{\"method\": \"ping\", \"pattern\": \"w++++++++++++++++++++++++++++++++++++++++\", "
         "\"matcher\": \"pcre\"}",
         WFI_CONTROL_IGNORE},
        {"{}", "{\"method\": \"ping\", \"pattern\": \"(w)\\\\1\", \"matcher\": \"pcre\"}",
         WFI_CONTROL_IGNORE},
        {"{}",
         "{\"method\": \"ping\", \"pattern\": \"*" SIXTY SIXTY SIXTY SIXTY SIXTY "\", \"matcher\": "
         "\"glob\"}",
         WFI_CONTROL_IGNORE},
        {"{}", "{\"method\": \"ping\", \"pattern\": \"w\", \"matcher\": \"other\"}",
         WFI_CONTROL_IGNORE},
        {"{}", "{\"method\": \"ping\", \"pattern\": \"x\"}", WFI_CONTROL_DO},
        {"{\"expires\": 99.5}", "{\"method\": \"ping\"}", WFI_CONTROL_IGNORE},
        {"{\"expires\": 100.5}", "{\"method\": \"ping\"}", WFI_CONTROL_DO},
        {"{}", "{}", WFI_CONTROL_DROP},
        {"{}", "[]", WFI_CONTROL_DROP},
        {"{}", "x", WFI_CONTROL_DROP},
        {"{}", "{\"method\": 1}", WFI_CONTROL_DROP},
        {"{}", "{\"method\": \"ping\", \"arguments\": []}", WFI_CONTROL_DROP},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (fate_of(table[i].headers, table[i].body) != table[i].fate)
            fail_msg("%s %s: %d", table[i].headers, table[i].body,
                     fate_of(table[i].headers, table[i].body));
}

static void hello_tells_what_was_revoked(void **state)
{
    (void)state;
    struct wf_json_writer *w = writer();
    wfi_control_write_hello(w, 44, (const char *const[]){"some-revoked-id"},
                            (const double[]){2309.395635123}, 1);
    assert_string_equal(text_of(w), "{\"revoked\": {\"some-revoked-id\": [2309.395635123, "
                                    "\"some-revoked-id\"]}, \"clock\": 44}");
    wf_json_writer_clear(w);
    wfi_control_write_revoking(w, (const char *const[]){"a", "b"}, 2);
    assert_string_equal(text_of(w), "{\"ok\": \"tasks a, b flagged as revoked\"}");
    wf_json_writer_clear(w);
    wfi_control_write_error(w, "unknown task");
    assert_string_equal(text_of(w), "{\"error\": \"unknown task\"}");
    wf_json_writer_destroy(w);
}

static void check_rate(const char *text, int expected, double per_s)
{
    struct wf_json *json = fixture_parse(text, strlen(text));
    double got = -1;
    assert_int_equal(wfi_control_rate(wf_json_root(json), &got), expected);
    if (!expected && got != per_s)
        fail_msg("%s: %g", text, got);
    wf_json_destroy(json);
}

static void rates_have_units(void **state)
{
    (void)state;
    check_rate("\"100/m\"", 0, 100.0 / 60);
    check_rate("\"5/s\"", 0, 5);
    check_rate("\"36/h\"", 0, 0.01);
    check_rate("\"0.5/s\"", 0, 0.5);
    check_rate("\"7\"", 0, 7);
    check_rate("3", 0, 3);
    check_rate("2.5", 0, 2.5);
    check_rate("0", 0, 0);
    check_rate("\"0\"", 0, 0);
    check_rate("\"\"", 0, 0);
    check_rate("null", 0, 0);
    static const char *const wrong[] = {"\"x\"", "\"1/x\"",  "\"1/\"",    "\"/s\"",
                                        "-1",    "NaN",      "Infinity",  "true",
                                        "[]",    "\"null\"", "\"1/s/s\"", "\"1e400/s\""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        check_rate(wrong[i], -EINVAL, 0);
}

static void lack_of_memory_is_told(void **state)
{
    (void)state;
    static const char raw[] = "{\"body\": \"{\\\"method\\\": \\\"m\\\"}\", \"properties\": {}}";
    const struct wfi_json_piece value = {.text = "1", .len = 1};
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct wfi_envelope envelope;
        struct wfi_control_request r;
        struct wf_json *body = NULL;
        struct wf_json_writer *w = NULL;
        struct wf_error err;
        const char *text;
        wfi_alloc_watch(n);
        int got = wfi_envelope_read_redis(raw, sizeof raw - 1, &envelope, &err);
        if (!got)
            got = wfi_control_read(&envelope, "w", 0, &body, &r);
        if (!got)
            got = wfi_message_writer_create(&w);
        if (!got)
            got = wfi_control_write_redis(w, &r, "t");
        if (!got)
            got = wf_json_writer_text(w, &text, NULL);
        if (!got) {
            wf_json_writer_clear(w);
            got = wfi_control_write_reply_redis(w, &r, "w", &value, 1, "t");
        }
        if (!got)
            got = wf_json_writer_text(w, &text, NULL);
        wf_json_writer_destroy(w);
        wf_json_destroy(body);
        wfi_envelope_reset(&envelope);
        assert_int_equal(wfi_alloc_live(), 0);
        failed = wfi_alloc_unwatch();
        assert_int_equal(got, failed ? -ENOMEM : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_and_answers_are_written_byte_by_byte_as_celery_does),
        cmocka_unit_test(a_request_is_for_those_it_names),
        cmocka_unit_test(hello_tells_what_was_revoked),
        cmocka_unit_test(rates_have_units),
        cmocka_unit_test(lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
