/* SPDX-License-Identifier: MIT */
/* JSON as Python shows it: a table, the cut, and every captured argsrepr. */
#include "celery/message/repr.h"

#include "base/alloc.h"
#include "celery/message/message.h"

#include "celery_fixture.h"

#include <errno.h>

static const char *show(const char *json, size_t max, bool tuple)
{
    static struct wfi_buffer buffer;
    struct wf_json *tree = fixture_parse(json, strlen(json));
    wfi_buffer_reset(&buffer);
    assert_int_equal(wfi_buffer_append_text(&buffer, ">"), 0);
    if (tuple)
        assert_int_equal(wfi_repr_tuple(&buffer, wf_json_root(tree), max), 0);
    else
        assert_int_equal(wfi_repr(&buffer, wf_json_root(tree), max), 0);
    wf_json_destroy(tree);
    const char *text = wfi_buffer_text(&buffer);
    assert_int_equal(text[0], '>');
    return text + 1;
}

static void values_look_as_in_python(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"null", "None"},
        {"true", "True"},
        {"false", "False"},
        {"12345678901234567890123", "12345678901234567890123"},
        {"[1.0, 1e300, NaN, Infinity, -Infinity, -0.0]", "[1.0, 1e+300, nan, inf, -inf, -0.0]"},
        {"\"a\"", "'a'"},
        {"\"it's\"", "\"it's\""},
        {"\"it's \\\"so\\\"\"", "'it\\'s \"so\"'"},
        {"\"\\n\\t\\r\\u0000\\u007f\\\\\"", "'\\n\\t\\r\\x00\\x7f\\\\'"},
        {"\"\\u00e9\\u20ac\\ud83d\\ude00\\ud800\\u00a0\\u00ad\"", "'é€😀\\ud800\\xa0\\xad'"},
        {"{\"a\": [], \"b\": {}}", "{'a': [], 'b': {}}"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_string_equal(show(pairs[i][0], 0, false), pairs[i][1]);
    assert_string_equal(show("[]", 0, true), "()");
    assert_string_equal(show("[1]", 0, true), "(1,)");
    assert_string_equal(show("[[1, \"x\"], 2]", 0, true), "([1, 'x'], 2)");
}

static void long_values_are_cut(void **state)
{
    (void)state;
    assert_string_equal(show("[1234, 5678]", 12, false), "[1234, 5678]");
    assert_string_equal(show("[1234, 5678]", 11, false), "[1234, 5...");
    assert_string_equal(show("\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", 8, false),
                        "'aaaa...");
    /* Not inside of a character. */
    assert_string_equal(show("\"\\u20ac\\u20ac\\u20ac\\u20ac\"", 8, false), "'€...");
    assert_string_equal(show("[1, 2, 3]", 2, false), "..");
    char deep[200];
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    deep[199] = '\0';
    struct wf_json *tree = fixture_parse(deep + 1, 198);
    wf_json_destroy(tree);
    assert_string_equal(show(deep + 1, 0, false), "[[[[...]]]]");
    assert_string_equal(show(deep + 1, 0, true), "([[[...]]],)");
    char *longest = malloc(100000);
    memset(longest, '1', 99999);
    longest[99999] = '\0';
    assert_int_equal(strlen(show(longest, 0, false)), WFI_REPR_BYTES_MAX);
    free(longest);
}

static int compared;

static void check_message(const struct wf_json_value *line)
{
    const char *raw = fixture_text(line, "raw");
    struct wfi_message_in in;
    struct wf_error err;
    struct wfi_buffer shown = {0};

    if (strcmp(fixture_text(line, "name"), "pytypes") == 0)
        return; /* Python shows what these were before they became JSON */
    assert_int_equal(wfi_message_read_redis(raw, strlen(raw), &in, &err), WFI_MESSAGE_RUN);
    assert_int_equal(wfi_message_read_body(&in, 0, &err), WFI_MESSAGE_RUN);
    assert_int_equal(wfi_repr_tuple(&shown, in.message.args.value, 0), 0);
    assert_string_equal(wfi_buffer_text(&shown), in.message.argsrepr);
    wfi_buffer_clear(&shown);
    assert_int_equal(wfi_repr(&shown, in.message.kwargs.value, 0), 0);
    assert_string_equal(wfi_buffer_text(&shown), in.message.kwargsrepr);
    compared++;
    wfi_buffer_reset(&shown);
    wfi_message_in_reset(&in);
}

static void arguments_look_as_celery_shows_them(void **state)
{
    (void)state;
    fixture_each("redis_messages.jsonl", check_message);
    assert_true(compared > 60);
}

static void lack_of_memory_is_told(void **state)
{
    (void)state;
    struct wf_json *tree = fixture_parse("[1, \"x\\u0001\", {}]", 18);
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct wfi_buffer shown = {0};
        wfi_alloc_watch(n);
        const int err = wfi_repr_call(&shown, "E", wf_json_root(tree), 0);
        wfi_buffer_reset(&shown);
        failed = wfi_alloc_unwatch();
        assert_int_equal(err, failed ? -ENOMEM : 0);
    }
    wf_json_destroy(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_look_as_in_python),
        cmocka_unit_test(long_values_are_cut),
        cmocka_unit_test(arguments_look_as_celery_shows_them),
        cmocka_unit_test(lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
