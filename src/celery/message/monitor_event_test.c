/* SPDX-License-Identifier: MIT */
/* Events: every captured one is read and written to the same bytes; batches, the clock. */
#include "celery/message/monitor_event.h"

#include "base/alloc.h"
#include "celery/message/message.h"

#include "celery_fixture.h"

#include <errno.h>

static void check_event(const struct wf_json_value *line)
{
    const char *raw = fixture_text(line, "raw");
    struct wfi_envelope envelope;
    struct wfi_celery_event e;
    struct wfi_event_batch batch = {0};
    struct wf_json_writer *w, *single;
    const char *text, *body;
    size_t len;
    struct wf_error err;

    assert_int_equal(wfi_envelope_read_redis(raw, strlen(raw), &envelope, &err), 0);
    assert_int_equal(wfi_envelope_open(&envelope, 1 << 20, &err), 0);
    struct wf_json *json = fixture_parse(envelope.body, envelope.body_len);
    const struct wf_json_value *value = wf_json_root(json);
    const bool is_list = wf_json_type(value) == WF_JSON_ARRAY;
    assert_int_equal(wfi_event_read(is_list ? wf_json_at(value, 0) : value, &e), 0);
    assert_string_equal(wfi_event_type_name(e.type), fixture_text(line, "type"));

    assert_int_equal(wfi_message_writer_create(&single), 0);
    if (is_list) {
        assert_int_equal(wfi_event_batch_add(&batch, &e), 1);
        assert_int_equal(wfi_event_batch_take(&batch, &body, &len), 1);
    } else {
        wfi_event_write(single, &e);
        assert_int_equal(wf_json_writer_text(single, &body, &len), 0);
    }
    const char *key = is_list ? WFI_EVENT_MULTI_KEY : wfi_event_routing_key(e.type);
    assert_string_equal(strrchr(fixture_text(line, "channel"), '/') + 1, key);
    assert_int_equal(wfi_message_writer_create(&w), 0);
    assert_int_equal(
        wfi_event_write_redis(w, e.hostname, key, envelope.properties.delivery_tag, body, len), 0);
    assert_int_equal(wf_json_writer_text(w, &text, NULL), 0);
    assert_string_equal(text, raw);
    wf_json_writer_destroy(w);
    wf_json_writer_destroy(single);
    wfi_event_batch_fini(&batch);
    wf_json_destroy(json);
    wfi_envelope_reset(&envelope);
}

static void events_are_written_byte_by_byte_as_celery_does(void **state)
{
    (void)state;
    assert_int_equal(fixture_each("events.jsonl", check_event), 10);
}

static void what_no_capture_has_is_written_too(void **state)
{
    (void)state;
    struct wf_json_writer *w;
    const char *text;
    assert_int_equal(wfi_message_writer_create(&w), 0);
    wf_json_write_array(w);
    wfi_event_write(
        w, &(struct wfi_celery_event){
               .type = WFI_EVENT_TASK_REJECTED, .hostname = "w", .uuid = "u", .requeue = true});
    wfi_event_write(w, &(struct wfi_celery_event){.type = WFI_EVENT_TASK_REVOKED,
                                                  .uuid = "u",
                                                  .terminated = true,
                                                  .signum = 15,
                                                  .timestamp = 2});
    wf_json_write_end(w);
    assert_int_equal(wf_json_writer_text(w, &text, NULL), 0);
    assert_string_equal(
        text,
        "[{\"hostname\": \"w\", \"utcoffset\": 0, \"pid\": 0, \"clock\": 0, \"uuid\": \"u\", "
        "\"requeue\": true, \"timestamp\": 0.0, \"type\": \"task-rejected\"}, {\"hostname\": null, "
        "\"utcoffset\": 0, \"pid\": 0, \"clock\": 0, \"uuid\": \"u\", \"terminated\": true, "
        "\"signum\": 15, \"expired\": false, \"timestamp\": 2.0, \"type\": \"task-revoked\"}]");
    struct wf_json *json = fixture_parse(text, strlen(text));
    struct wfi_celery_event e;
    assert_int_equal(wfi_event_read(wf_json_at(wf_json_root(json), 0), &e), 0);
    assert_true(e.type == WFI_EVENT_TASK_REJECTED && e.requeue);
    assert_int_equal(wfi_event_read(wf_json_at(wf_json_root(json), 1), &e), WF_EPARSE);
    wf_json_destroy(json);
    wf_json_writer_destroy(w);

    json = fixture_parse("{\"type\": \"task-own\", \"hostname\": \"h\", \"pid\": \"x\"}", 49);
    assert_int_equal(wfi_event_read(wf_json_root(json), &e), 0);
    assert_true(e.type == WFI_EVENT_OTHER && e.pid == 0);
    wf_json_destroy(json);
    assert_int_equal(wfi_event_read(NULL, &e), WF_EPARSE);
}

static void a_batch_is_taken_whole(void **state)
{
    (void)state;
    struct wfi_event_batch batch = {0};
    const char *text;
    size_t len;
    assert_int_equal(wfi_event_batch_take(&batch, &text, &len), 0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < WFI_EVENT_BATCH_MAX; i++) {
            const struct wfi_celery_event e = {
                .type = WFI_EVENT_TASK_STARTED, .hostname = "w", .uuid = "u", .clock = i};
            assert_int_equal(wfi_event_batch_add(&batch, &e), i + 1);
        }
        assert_int_equal(wfi_event_batch_take(&batch, &text, &len), WFI_EVENT_BATCH_MAX);
        struct wf_json *json = fixture_parse(text, len);
        assert_int_equal(wf_json_count(wf_json_root(json)), WFI_EVENT_BATCH_MAX);
        wf_json_destroy(json);
        assert_int_equal(wfi_event_batch_take(&batch, &text, &len), 0);
    }
    wfi_event_batch_fini(&batch);
}

static void the_clock_never_goes_back(void **state)
{
    (void)state;
    int64_t clock = 0;
    assert_int_equal(wfi_lamport_next(&clock), 1);
    wfi_lamport_saw(&clock, 10);
    assert_int_equal(clock, 11);
    wfi_lamport_saw(&clock, 5);
    assert_int_equal(clock, 12);
    wfi_lamport_saw(&clock, INT64_MAX);
    assert_int_equal(wfi_lamport_next(&clock), 13);
}

static void lack_of_memory_is_told(void **state)
{
    (void)state;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct wfi_event_batch batch = {0};
        struct wf_json_writer *w = NULL;
        const char *text = NULL;
        size_t len = 0;
        const struct wfi_celery_event e = {.type = WFI_EVENT_TASK_STARTED, .hostname = "w"};
        wfi_alloc_watch(n);
        int got = wfi_event_batch_add(&batch, &e);
        if (got > 0)
            got = wfi_event_batch_take(&batch, &text, &len);
        if (got > 0)
            got = wfi_message_writer_create(&w);
        if (got == 0)
            got = wfi_event_write_redis(w, "w", WFI_EVENT_MULTI_KEY, "t", text, len);
        if (got == 0)
            got = wf_json_writer_text(w, &text, &len);
        wf_json_writer_destroy(w);
        wfi_event_batch_fini(&batch);
        assert_int_equal(wfi_alloc_live(), 0);
        failed = wfi_alloc_unwatch();
        assert_int_equal(got, failed ? -ENOMEM : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_written_byte_by_byte_as_celery_does),
        cmocka_unit_test(what_no_capture_has_is_written_too),
        cmocka_unit_test(a_batch_is_taken_whole),
        cmocka_unit_test(the_clock_never_goes_back),
        cmocka_unit_test(lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
