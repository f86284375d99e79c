/* SPDX-License-Identifier: MIT */
/*
 * Results: every captured one is read and written to the same bytes; exceptions and weft's errors,
 * both ways; failing memory.
 */
#include "celery/message/result.h"

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

static void check_result(const struct wf_json_value *line)
{
    const char *raw = fixture_text(line, "raw"), *name = fixture_text(line, "name");
    struct wfi_result_in in;
    struct wf_error err;
    struct wf_json_writer *w = writer();

    assert_int_equal(wfi_result_read(raw, strlen(raw), &in, &err), 0);
    if (strcmp(fixture_text(line, "form"), "redis") == 0)
        wfi_result_write_redis(w, &in.result);
    else
        wfi_result_write_rpc(w, &in.result);
    assert_string_equal(text_of(w), raw);
    assert_int_not_equal(in.result.state, WFI_STATE_OTHER);

    /* Where the name of the fixture has the exception in brackets. */
    const char *in_brackets = strchr(name, '(');
    struct wfi_exception e;
    if (in.result.state == WFI_STATE_FAILURE && in_brackets) {
        assert_int_equal(wfi_exception_read(in.result.result.value, &e), 0);
        assert_true(strncmp(e.type, in_brackets + 1, strlen(e.type)) == 0);
        wf_json_writer_clear(w);
        wfi_exception_write(w, &e);
        char *stored = fixture_dump(in.result.result.value);
        assert_string_equal(text_of(w), stored);
        free(stored);
    }
    wf_json_writer_destroy(w);
    wfi_result_in_reset(&in);
}

static void results_are_written_byte_by_byte_as_celery_does(void **state)
{
    (void)state;
    assert_int_equal(fixture_each("results.jsonl", check_result), 43);
}

static void children_and_started_have_celerys_form(void **state)
{
    (void)state;
    struct wf_json_writer *w = writer();
    static const char *const ids[] = {"a", "b"};
    wf_json_write_array(w);
    wfi_result_write_child(w, "one");
    wfi_result_write_group_child(w, "g", ids, 2);
    wfi_result_write_group_child(w, "none", NULL, 0);
    wfi_result_write_started(w, 7, "w1@vm");
    wf_json_write_end(w);
    assert_string_equal(
        text_of(w), "[[[\"one\", null], null], [[\"g\", null], [[[\"a\", null], null], [[\"b\", "
                    "null], null]]], [[\"none\", null], []], {\"pid\": 7, \"hostname\": "
                    "\"w1@vm\"}]");
    wf_json_writer_destroy(w);
}

static void only_three_states_are_final(void **state)
{
    (void)state;
    for (int s = 0; s <= WFI_STATE_OTHER; s++) {
        const enum wfi_task_state as = (enum wfi_task_state)s;
        assert_int_equal(wfi_state_of(wfi_state_name(as)), s);
        assert_int_equal(wfi_state_is_final(as), as == WFI_STATE_SUCCESS ||
                                                     as == WFI_STATE_FAILURE ||
                                                     as == WFI_STATE_REVOKED);
    }
    assert_int_equal(wfi_state_of("PROGRESS"), WFI_STATE_OTHER);
}

static void what_is_no_result_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "x",
                                        "[]",
                                        "{}",
                                        "null",
                                        "{\"status\": 1}",
                                        "{\"status\": \"\"}",
                                        "{\"status\": \"SUCC\\u0000ESS\"}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct wfi_result_in in;
        struct wf_error err;
        assert_int_equal(wfi_result_read(wrong[i], strlen(wrong[i]), &in, &err), WF_EPARSE);
        wfi_result_in_reset(&in);
    }
    struct wfi_exception e;
    assert_int_equal(wfi_exception_read(NULL, &e), WF_EPARSE);
}

/* An error becomes an exception and comes back. */
static void check_error(int code, const char *text, const char *stored, int back, const char *shown,
                        const char *repr)
{
    struct wf_error err = {0}, again = {0};
    struct wf_json_writer *w = writer();
    struct wfi_exception e;
    struct wfi_buffer buffer = {0};

    wf_error_set(&err, code, "%s", text);
    wfi_exception_write_error(w, &err);
    assert_string_equal(text_of(w), stored);
    struct wf_json *json = fixture_parse(stored, strlen(stored));
    assert_int_equal(wfi_exception_read(wf_json_root(json), &e), 0);
    wfi_exception_to_error(&e, &again);
    assert_int_equal(again.code, back);
    assert_string_equal(again.text, shown);
    assert_int_equal(wfi_exception_repr(&buffer, &e), 0);
    assert_string_equal(wfi_buffer_text(&buffer), repr);
    wfi_buffer_reset(&buffer);
    wf_json_destroy(json);
    wf_json_writer_destroy(w);
}

static void errors_become_exceptions_and_come_back(void **state)
{
    (void)state;
    check_error(-EINVAL, "boom",
                "{\"exc_type\": \"ValueError\", \"exc_message\": [\"boom\"], \"exc_module\": "
                "\"builtins\"}",
                -EINVAL, "ValueError: boom", "ValueError('boom')");
    check_error(WF_ETASKFAILED, "b\xc3\xb8om",
                "{\"exc_type\": \"RuntimeError\", \"exc_message\": [\"b\\u00f8om\"], "
                "\"exc_module\": \"builtins\"}",
                WF_ETASKFAILED, "RuntimeError: b\xc3\xb8om", "RuntimeError('b\xc3\xb8om')");
    check_error(-ENOENT, "no such page",
                "{\"exc_type\": \"OSError\", \"exc_message\": [2, \"no such page\"], "
                "\"exc_module\": \"builtins\"}",
                -ENOENT, "OSError: no such page", "OSError(2, 'no such page')");
    check_error(WF_EPROTOCOL, "odd",
                "{\"exc_type\": \"WF_EPROTOCOL\", \"exc_message\": [\"odd\"], \"exc_module\": "
                "\"weft\"}",
                WF_EPROTOCOL, "odd", "WF_EPROTOCOL('odd')");
    check_error(WF_EWORKERDIED, "gone",
                "{\"exc_type\": \"WorkerLostError\", \"exc_message\": [\"gone\"], \"exc_module\": "
                "\"billiard.exceptions\"}",
                WF_EWORKERDIED, "WorkerLostError: gone", "WorkerLostError('gone')");
    check_error(-ECANCELED, "",
                "{\"exc_type\": \"TaskRevokedError\", \"exc_message\": [\"Operation canceled\"], "
                "\"exc_module\": \"celery.exceptions\"}",
                -ECANCELED, "TaskRevokedError: Operation canceled",
                "TaskRevokedError('Operation canceled')");
    check_error(-99999, "?",
                "{\"exc_type\": \"RuntimeError\", \"exc_message\": [\"?\"], \"exc_module\": "
                "\"builtins\"}",
                WF_ETASKFAILED, "RuntimeError: ?", "RuntimeError('?')");
}

static void check_exception(const char *stored, int code, const char *text, const char *repr)
{
    struct wf_json *json = fixture_parse(stored, strlen(stored));
    struct wfi_exception e = {0};
    struct wf_error err = {0};
    struct wfi_buffer buffer = {0};
    assert_int_equal(wfi_exception_read(wf_json_root(json), &e), 0);
    wfi_exception_to_error(&e, &err);
    if (err.code != code)
        fail_msg("%s: %d", stored, err.code);
    assert_string_equal(err.text, text);
    assert_int_equal(wfi_exception_repr(&buffer, &e), 0);
    assert_string_equal(wfi_buffer_text(&buffer), repr);
    wfi_buffer_reset(&buffer);
    wf_json_destroy(json);
}

static void pythons_exceptions_become_errors(void **state)
{
    (void)state;
    check_exception("{\"exc_type\": \"KeyError\", \"exc_message\": [\"k\"], \"exc_module\": "
                    "\"builtins\"}",
                    WF_ETASKFAILED, "KeyError: k", "KeyError('k')");
    check_exception("{\"exc_type\": \"FileNotFoundError\", \"exc_message\": [2, \"No such file\"]}",
                    -ENOENT, "FileNotFoundError: No such file",
                    "FileNotFoundError(2, 'No such file')");
    check_exception("{\"exc_type\": \"RuntimeError\", \"exc_message\": [2, \"x\"]}", WF_ETASKFAILED,
                    "RuntimeError(2, 'x')", "RuntimeError(2, 'x')");
    check_exception("{\"exc_type\": \"SoftTimeLimitExceeded\", \"exc_message\": [], "
                    "\"exc_module\": \"billiard.exceptions\"}",
                    -ETIMEDOUT, "SoftTimeLimitExceeded", "SoftTimeLimitExceeded()");
    check_exception("{\"exc_type\": \"TimeLimitExceeded\", \"exc_message\": [1], \"exc_module\": "
                    "\"billiard.exceptions\"}",
                    -ETIMEDOUT, "TimeLimitExceeded: 1", "TimeLimitExceeded(1)");
    check_exception("{\"exc_type\": \"Own\", \"exc_message\": [{\"a\": null}], \"exc_module\": "
                    "\"tasks\"}",
                    WF_ETASKFAILED, "Own({'a': None})", "Own({'a': None})");
    /* As Celery 4 stored it. */
    check_exception("{\"exc_type\": \"ValueError\", \"exc_message\": \"old\"}", -EINVAL,
                    "ValueError: old", "ValueError('old')");
    check_exception("{\"exc_type\": \"ValueError\"}", -EINVAL, "ValueError", "ValueError()");
    check_exception("{\"exc_type\": \"WF_NOSUCH\", \"exc_message\": [], \"exc_module\": \"weft\"}",
                    WF_ETASKFAILED, "WF_NOSUCH", "WF_NOSUCH()");
}

static void an_exception_of_a_text_has_no_or_one_argument(void **state)
{
    (void)state;
    struct wf_json_writer *w = writer();
    wfi_exception_write_text(w, "billiard.exceptions", "SoftTimeLimitExceeded", NULL);
    assert_string_equal(text_of(w),
                        "{\"exc_type\": \"SoftTimeLimitExceeded\", \"exc_message\": [], "
                        "\"exc_module\": \"billiard.exceptions\"}");
    wf_json_writer_clear(w);
    wfi_exception_write_text(w, "celery.exceptions", "TaskRevokedError", "expired");
    assert_string_equal(text_of(w),
                        "{\"exc_type\": \"TaskRevokedError\", \"exc_message\": [\"expired\"], "
                        "\"exc_module\": \"celery.exceptions\"}");
    wf_json_writer_destroy(w);
    /* Given as a text, not a value. */
    const struct wfi_exception e = {.type = "ValueError",
                                    .arguments = {.text = "[\"x\", 1]", .len = 8}};
    struct wfi_buffer buffer = {0};
    assert_int_equal(wfi_exception_repr(&buffer, &e), 0);
    assert_string_equal(wfi_buffer_text(&buffer), "ValueError('x', 1)");
    wfi_buffer_reset(&buffer);
}

static void lack_of_memory_is_told(void **state)
{
    (void)state;
    static const char raw[] = "{\"status\": \"FAILURE\", \"result\": {\"exc_type\": \"E\"}}";
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct wfi_result_in in;
        struct wf_error err;
        struct wf_json_writer *w = NULL;
        const char *text;
        wfi_alloc_watch(n);
        int got = wfi_result_read(raw, sizeof raw - 1, &in, &err);
        if (!got)
            got = wfi_message_writer_create(&w);
        if (!got) {
            wfi_result_write_redis(w, &in.result);
            got = wf_json_writer_text(w, &text, NULL);
        }
        wf_json_writer_destroy(w);
        wfi_result_in_reset(&in);
        assert_int_equal(wfi_alloc_live(), 0);
        failed = wfi_alloc_unwatch();
        assert_int_equal(got, failed ? -ENOMEM : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_written_byte_by_byte_as_celery_does),
        cmocka_unit_test(children_and_started_have_celerys_form),
        cmocka_unit_test(only_three_states_are_final),
        cmocka_unit_test(what_is_no_result_is_refused),
        cmocka_unit_test(errors_become_exceptions_and_come_back),
        cmocka_unit_test(pythons_exceptions_become_errors),
        cmocka_unit_test(an_exception_of_a_text_has_no_or_one_argument),
        cmocka_unit_test(lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
