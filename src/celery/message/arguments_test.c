/* SPDX-License-Identifier: MIT */
/*
 * Arguments: every kind of parameter from every kind of value, the limits of the integers,
 * Python's words for what does not fit, results.
 */
#include "celery/message/arguments.h"

#include "base/alloc.h"
#include "celery/message/message.h"
#include "celery/message/typed.h"

#include "celery_fixture.h"

#include <errno.h>
#include <math.h>

WF_TASK(int64_t, add, (int64_t, x), (int64_t, y))
int add(struct wf_task *self, int64_t x, int64_t y, int64_t *ret)
{
    (void)self;
    *ret = x + y;
    return 0;
}
WF_TASK_DEFINE_WITH(add, .celery = &(const struct wf_celery_task){.defaults = "{\"y\": 7}"})

struct point {
    int x, y;
};

/* The others are only bound, never run. */
WF_TASK_AS("tasks.three", wf_none, three, (int, a), (int, b), (int, c))
WF_TASK_AS("none", wf_none, none)
WF_TASK_AS("numbers", uint64_t, numbers, (int8_t, i8), (uint8_t, u8), (int16_t, i16),
           (uint16_t, u16), (int32_t, i32), (uint32_t, u32), (int64_t, i64), (uint64_t, u64))
WF_TASK_AS("others", const struct wf_json *, others, (bool, b), (double, d), (float, f),
           (const char *, s), (wf_bytes, raw), (const struct wf_json *, j))
WF_TASK_AS("opaque", struct point, opaque, (struct point, p))

static int bind(const struct wf_task_type *type, const char *args, const char *kwargs,
                struct wfi_arguments *ret, const char **ret_exc, struct wf_error *err)
{
    static struct wf_json *kept[2]; /* strings point into them */
    for (int i = 0; i < 2; i++)
        wf_json_destroy(kept[i]);
    kept[0] = fixture_parse(args, strlen(args));
    kept[1] = fixture_parse(kwargs, strlen(kwargs));
    const int code =
        wfi_arguments_bind(type, wf_json_root(kept[0]), wf_json_root(kept[1]), ret, ret_exc, err);
    if (code)
        wfi_arguments_fini(ret);
    if (code) {
        wf_json_destroy(kept[0]);
        wf_json_destroy(kept[1]);
        kept[0] = kept[1] = NULL;
    }
    return code;
}

static void check_wrong(const struct wf_task_type *type, const char *args, const char *kwargs,
                        const char *exc, const char *text)
{
    struct wfi_arguments a;
    struct wf_error err;
    const char *got;
    assert_int_equal(bind(type, args, kwargs, &a, &got, &err), -EINVAL);
    assert_string_equal(err.text, text);
    assert_string_equal(got, exc);
}

static void check_add(const char *args, const char *kwargs, int64_t x, int64_t y)
{
    struct wfi_arguments a;
    struct wf_error err;
    const char *exc;
    if (bind(&add_task, args, kwargs, &a, &exc, &err))
        fail_msg("%s %s: %s", args, kwargs, err.text);
    const struct add_args *got = a.args;
    assert_true(got->x == x && got->y == y);
    wfi_arguments_fini(&a);
}

static void arguments_come_by_place_by_name_or_by_default(void **state)
{
    (void)state;
    check_add("[1, 2]", "{}", 1, 2);
    check_add("[1, 2]", "null", 1, 2);
    check_add("[1]", "{\"y\": 2}", 1, 2);
    check_add("[]", "{\"y\": 2, \"x\": 1}", 1, 2);
    check_add("[5]", "{}", 5, 7);
    check_add("[]", "{\"x\": 5}", 5, 7);
    check_add("[true, -3]", "{}", 1, -3);
    check_add("[]", "{\"x\": 1, \"x\": 2}", 2, 7);
    struct wfi_arguments a;
    struct wf_error err;
    const char *exc;
    assert_int_equal(bind(&none_task, "[]", "{}", &a, &exc, &err), 0);
    wfi_arguments_fini(&a);
}

static void wrong_counts_and_names_are_told_in_pythons_words(void **state)
{
    (void)state;
    check_wrong(&add_task, "[1, 2, 3]", "{}", "TypeError",
                "add() takes from 1 to 2 positional arguments but 3 were given");
    check_wrong(&add_task, "[]", "{}", "TypeError",
                "add() missing 1 required positional argument: 'x'");
    check_wrong(&add_task, "[1]", "{\"x\": 1}", "TypeError",
                "add() got multiple values for argument 'x'");
    check_wrong(&add_task, "[1]", "{\"z\": 1}", "TypeError",
                "add() got an unexpected keyword argument 'z'");
    check_wrong(&add_task, "[1]", "{\"y\\u0000\": 1}", "TypeError",
                "add() got an unexpected keyword argument 'y'");
    check_wrong(&three_task, "[1, 2, 3, 4]", "{}", "TypeError",
                "three() takes 3 positional arguments but 4 were given");
    check_wrong(&three_task, "[]", "{}", "TypeError",
                "three() missing 3 required positional arguments: 'a', 'b', and 'c'");
    check_wrong(&three_task, "[]", "{\"b\": 1}", "TypeError",
                "three() missing 2 required positional arguments: 'a' and 'c'");
    check_wrong(&none_task, "[1]", "{}", "TypeError",
                "none() takes 0 positional arguments but 1 was given");
    check_wrong(&opaque_task, "[1]", "{}", "TypeError",
                "opaque() argument 'p' is a struct point, which no JSON can be");
    check_wrong(&opaque_task, "[1, 2]", "{}", "TypeError",
                "opaque() takes 1 positional argument but 2 were given");
}

/* Half an hour, were each of them looked for among the others. */
static void many_of_one_name_cost_no_more_than_others(void **state)
{
    (void)state;
    enum { COUNT = 400000 };
    char *kwargs = malloc(2 * COUNT * 6 + 16), *at = kwargs;
    *at++ = '{';
    for (int i = 0; i < 2 * COUNT; i++)
        at += sprintf(at, "\"%c\":%d,", i < COUNT ? 'x' : 'y', i % 10 == 9 ? 9 : 1);
    strcpy(at - 1, "}");
    check_add("[]", kwargs, 9, 9);
    free(kwargs);
}

static void wrong_types_are_told(void **state)
{
    (void)state;
    check_wrong(&add_task, "[\"1\"]", "{}", "TypeError", "add() argument 'x' must be int, not str");
    check_wrong(&add_task, "[1.0]", "{}", "TypeError", "add() argument 'x' must be int, not float");
    check_wrong(&add_task, "[1]", "{\"y\": null}", "TypeError",
                "add() argument 'y' must be int, not NoneType");
    static const char *const wrong[][2] = {
        {"[1, 0, 0, null, \"\", 0]", "others() argument 'b' must be bool, not int"},
        {"[true, \"0\", 0, null, \"\", 0]", "others() argument 'd' must be float, not str"},
        {"[true, 0, [], null, \"\", 0]", "others() argument 'f' must be float, not list"},
        {"[true, 0, 0, {}, \"\", 0]", "others() argument 's' must be str, not dict"},
        {"[true, 0, 0, null, null, 0]", "others() argument 'raw' must be bytes, not NoneType"},
        {"[true, 0, 0, null, {\"__type__\": \"uuid\", \"__value__\": \"\"}, 0]",
         "others() argument 'raw' must be bytes, not dict"},
        {"[true, 0, 0, null, {\"__value__\": \"x\", \"other\": 1}, 0]",
         "others() argument 'raw' must be bytes, not dict"},
        {"[true, 0, 0, null, [\"__value__\", \"x\"], 0]",
         "others() argument 'raw' must be bytes, not list"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        check_wrong(&others_task, wrong[i][0], "{}", "TypeError", wrong[i][1]);
    check_wrong(&others_task, "[true, 0, 0, \"a\\u0000b\", \"\", 0]", "{}", "ValueError",
                "others() argument 's': embedded null character");
    check_wrong(&others_task,
                "[true, 0, 0, null, {\"__type__\": \"base64\", \"__value__\": \"!\"}, 0]", "{}",
                "ValueError", "others() argument 'raw': incorrect base64");
}

static void integers_fill_their_type_and_no_more(void **state)
{
    (void)state;
    struct wfi_arguments a;
    struct wf_error err;
    const char *exc;
    assert_int_equal(bind(&numbers_task,
                          "[-128, 255, -32768, 65535, -2147483648, 4294967295, "
                          "-9223372036854775808, 18446744073709551615]",
                          "{}", &a, &exc, &err),
                     0);
    const struct numbers_args *got = a.args;
    assert_true(got->i8 == INT8_MIN && got->u8 == UINT8_MAX && got->i16 == INT16_MIN &&
                got->u16 == UINT16_MAX && got->i32 == INT32_MIN && got->u32 == UINT32_MAX &&
                got->i64 == INT64_MIN && got->u64 == UINT64_MAX);
    wfi_arguments_fini(&a);
    assert_int_equal(bind(&numbers_task,
                          "[127, 0, 32767, -0, 2147483647, 0, 9223372036854775807, 0]", "{}", &a,
                          &exc, &err),
                     0);
    got = a.args;
    assert_true(got->i8 == INT8_MAX && got->u8 == 0 && got->i16 == INT16_MAX && got->u16 == 0 &&
                got->i32 == INT32_MAX && got->u32 == 0 && got->i64 == INT64_MAX && got->u64 == 0);
    wfi_arguments_fini(&a);

    static const char *const names[] = {"i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64"};
    static const char *const too_much[][2] = {
        {"128", "-129"},
        {"256", "-1"},
        {"32768", "-32769"},
        {"65536", "-1"},
        {"2147483648", "-2147483649"},
        {"4294967296", "-1"},
        {"9223372036854775808", "-9223372036854775809"},
        {"18446744073709551616", "-1"},
    };
    for (size_t i = 0; i < 8; i++)
        for (size_t j = 0; j < 2; j++) {
            char args[256] = "[", expected[256];
            for (size_t k = 0; k < 8; k++)
                snprintf(args + strlen(args), sizeof args - strlen(args), "%s%s", k ? ", " : "",
                         k == i ? too_much[i][j] : "0");
            strcat(args, "]");
            snprintf(expected, sizeof expected, "numbers() argument '%s': %s does not fit into %s",
                     names[i], too_much[i][j], numbers_params[i].type);
            check_wrong(&numbers_task, args, "{}", "OverflowError", expected);
        }
    check_wrong(&add_task, "[1000000000000000000000000000000000000000000000000000000]", "{}",
                "OverflowError",
                "add() argument 'x': 1000000000000000000000000000000000000000... does not fit into "
                "int64_t");
}

static void the_other_kinds_are_bound(void **state)
{
    (void)state;
    struct wfi_arguments a;
    struct wf_error err;
    const char *exc;
    assert_int_equal(bind(&others_task,
                          "[true, 1, 2.5, \"t\\u00e9xt\", \"by\\u0000s\", "
                          "{\"a\": [1.0, 10000000000000000000000, NaN]}]",
                          "{}", &a, &exc, &err),
                     0);
    const struct others_args *got = a.args;
    assert_true(got->b && got->d == 1 && got->f == 2.5f);
    assert_string_equal(got->s, "t\xc3\xa9xt");
    assert_int_equal(got->raw.len, 4);
    assert_memory_equal(got->raw.ptr, "by\0s", 4);
    char *json = fixture_dump(wf_json_root(got->j));
    assert_string_equal(json, "{\"a\": [1.0, 10000000000000000000000, NaN]}");
    free(json);
    wfi_arguments_fini(&a);

    assert_int_equal(bind(&others_task,
                          "[false, Infinity, -Infinity, null, "
                          "{\"__value__\": \"AP8=\", \"__type__\": \"base64\"}, null]",
                          "{}", &a, &exc, &err),
                     0);
    got = a.args;
    assert_true(!got->b && isinf(got->d) && isinf(got->f) && !got->s);
    assert_int_equal(got->raw.len, 2);
    assert_memory_equal(got->raw.ptr, "\0\xff", 2);
    assert_int_equal(wf_json_type(wf_json_root(got->j)), WF_JSON_NULL);
    wfi_arguments_fini(&a);

    char huge[440] = "[false, 1";
    memset(huge + 9, '0', 400);
    strcpy(huge + 409, ", 0]");
    check_wrong(&others_task, "[false, 0, 1e39, null, \"\", 0]", "{}", "OverflowError",
                "others() argument 'f': 1e39 does not fit into float");
    struct wfi_arguments none;
    assert_int_equal(bind(&others_task, huge, "{}", &none, &exc, &err), -EINVAL);
    assert_non_null(strstr(err.text, "missing"));
    strcpy(huge + 409, ", 0, null, \"\", 0]");
    assert_int_equal(bind(&others_task, huge, "{}", &none, &exc, &err), -EINVAL);
    assert_string_equal(exc, "OverflowError");
}

WF_TASK_AS("rest", wf_none, rest, (int, n), (const struct wf_json *, args),
           (const struct wf_json *, kwargs))

static void the_rest_goes_where_the_task_says(void **state)
{
    (void)state;
    const struct wf_celery_task both = {.rest_args = "args", .rest_kwargs = "kwargs"};
    struct wf_task_type type = rest_task;
    struct wfi_arguments a;
    struct wf_error err;
    const char *exc;
    type.celery = &both;
    static const char *const calls[][4] = {
        {"[1, 2, [3]]", "{\"a\": 4, \"args\": 5}", "[2, [3]]", "{\"a\": 4, \"args\": 5}"},
        {"[1]", "{}", "[]", "{}"},
        {"[]", "{\"n\": 1, \"x\": {}}", "[]", "{\"x\": {}}"},
    };
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(bind(&type, calls[i][0], calls[i][1], &a, &exc, &err), 0);
        const struct rest_args *got = a.args;
        char *args = fixture_dump(wf_json_root(got->args));
        char *kwargs = fixture_dump(wf_json_root(got->kwargs));
        assert_int_equal(got->n, 1);
        assert_string_equal(args, calls[i][2]);
        assert_string_equal(kwargs, calls[i][3]);
        free(args);
        free(kwargs);
        wfi_arguments_fini(&a);
    }
    check_wrong(&type, "[1, 2]", "{\"n\": 3}", "TypeError",
                "rest() got multiple values for argument 'n'");
    check_wrong(&type, "[]", "{\"x\": 3}", "TypeError",
                "rest() missing 1 required positional argument: 'n'");
}

static void check_declaration(const struct wf_task_type *type, const struct wf_celery_task *celery,
                              const char *text)
{
    struct wf_task_type own = *type;
    struct wf_error err = {0};
    own.celery = celery;
    assert_int_equal(wfi_arguments_check(&own, &err), text ? -EINVAL : 0);
    if (text)
        assert_string_equal(err.text, text);
}

static void what_a_task_says_of_itself_is_checked(void **state)
{
    (void)state;
    check_declaration(&add_task, NULL, NULL);
    check_declaration(&add_task, add_task.celery, NULL);
    check_declaration(&rest_task,
                      &(struct wf_celery_task){
                          .rest_args = "args", .rest_kwargs = "kwargs", .defaults = "{\"n\": 3}"},
                      NULL);
    check_declaration(&opaque_task, NULL,
                      "task opaque: parameter p is a struct point, which no JSON can be");
    check_declaration(&add_task, &(struct wf_celery_task){.defaults = "[1]"},
                      "task add: its defaults are not a JSON object");
    check_declaration(&add_task, &(struct wf_celery_task){.defaults = "{"},
                      "task add: its defaults are not a JSON object");
    check_declaration(&add_task, &(struct wf_celery_task){.defaults = "{\"z\": 1}"},
                      "task add: a default for z, which is no parameter");
    check_declaration(&add_task, &(struct wf_celery_task){.defaults = "{\"y\": \"1\"}"},
                      "default: add() argument 'y' must be int, not str");
    check_declaration(&add_task, &(struct wf_celery_task){.rest_args = "z"},
                      "task add: it has no parameter z");
    check_declaration(&add_task, &(struct wf_celery_task){.rest_kwargs = "y"},
                      "task add: parameter y takes the rest, but is not JSON");
    check_declaration(&rest_task,
                      &(struct wf_celery_task){.rest_args = "args", .rest_kwargs = "args"},
                      "task rest: parameter args cannot take the rest twice");
    check_declaration(&rest_task,
                      &(struct wf_celery_task){.rest_args = "args", .defaults = "{\"args\": 1}"},
                      "task rest: a default for args, which is no parameter");
    check_declaration(&others_task, &(struct wf_celery_task){.defaults = "{\"j\": 1, \"j\": 2}"},
                      "task others: two defaults for j");
}

WF_TASK_AS("b", bool, gives_bool)
WF_TASK_AS("i", int8_t, gives_int8)
WF_TASK_AS("u", uint32_t, gives_uint32)
WF_TASK_AS("d", double, gives_double)
WF_TASK_AS("f", float, gives_float)
WF_TASK_AS("s", const char *, gives_string)
WF_TASK_AS("y", wf_bytes, gives_bytes)

static void check_result(const struct wf_task_type *type, const void *value, const char *expected)
{
    struct wf_json_writer *w;
    struct wf_error err;
    const char *text;
    assert_int_equal(wfi_message_writer_create(&w), 0);
    assert_int_equal(wfi_arguments_write_result(w, type, value, &err), 0);
    assert_int_equal(wf_json_writer_text(w, &text, NULL), 0);
    assert_string_equal(text, expected);
    wf_json_writer_destroy(w);
}

static void results_become_json(void **state)
{
    (void)state;
    check_result(&gives_bool_task, &(bool){true}, "true");
    check_result(&gives_int8_task, &(int8_t){-5}, "-5");
    check_result(&gives_uint32_task, &(uint32_t){4000000000u}, "4000000000");
    check_result(&add_task, &(int64_t){INT64_MIN}, "-9223372036854775808");
    check_result(&numbers_task, &(uint64_t){UINT64_MAX}, "18446744073709551615");
    check_result(&gives_double_task, &(double){1}, "1.0");
    check_result(&gives_float_task, &(float){0.5f}, "0.5");
    check_result(&gives_string_task, &(const char *){"t\xc3\xa9"}, "\"t\\u00e9\"");
    check_result(&gives_string_task, &(const char *){NULL}, "null");
    check_result(&gives_bytes_task, &(wf_bytes){"a\0b", 3}, "\"a\\u0000b\"");
    check_result(&gives_bytes_task, &(wf_bytes){"\0\xff", 2},
                 "{\"__type__\": \"base64\", \"__value__\": \"AP8=\"}");
    check_result(&none_task, &(wf_none){0}, "null");
    struct wf_json *json = fixture_parse("[1, 1.0]", 8);
    check_result(&others_task, &json, "[1, 1.0]");
    wf_json_destroy(json);
    check_result(&others_task, &(struct wf_json *){NULL}, "null");

    struct wf_json_writer *w;
    struct wf_error err;
    assert_int_equal(wfi_message_writer_create(&w), 0);
    assert_int_equal(wfi_arguments_write_result(w, &opaque_task, &(struct point){0, 0}, &err),
                     -EINVAL);
    assert_string_equal(err.text, "Object of type struct point is not JSON serializable");
    wf_json_writer_destroy(w);
}

static int result_of(const struct wf_task_type *type, const char *text, void *ret)
{
    struct wf_json *json = fixture_parse(text, strlen(text));
    struct wf_error err;
    const int got = wfi_typed_read_result(type, wf_json_root(json), ret, &err);
    assert_true(!got || err.text[0]);
    wf_json_destroy(json);
    return got;
}

/* What a task over there gives: the same rules as for arguments. */
static void results_are_read_into_their_type(void **state)
{
    (void)state;
    int8_t small = 0;
    uint64_t large = 0;
    double d = 0;
    float f = 0;
    assert_int_equal(result_of(&gives_int8_task, "-128", &small), 0);
    assert_int_equal(small, -128);
    assert_int_equal(result_of(&gives_int8_task, "true", &small), 0); /* Python's bool is an int */
    assert_int_equal(small, 1);
    assert_int_equal(result_of(&gives_int8_task, "128", &small), -ERANGE);
    assert_int_equal(result_of(&gives_int8_task, "-129", &small), -ERANGE);
    assert_int_equal(result_of(&gives_int8_task, "1.0", &small), WF_EPROTOCOL);
    assert_int_equal(result_of(&numbers_task, "18446744073709551615", &large), 0);
    assert_true(large == UINT64_MAX);
    assert_int_equal(result_of(&numbers_task, "-1", &large), -ERANGE);
    assert_int_equal(result_of(&gives_double_task, "3", &d), 0);
    assert_true(d == 3);
    assert_int_equal(result_of(&gives_double_task, "1e400", &d), 0); /* Python's inf */
    assert_true(isinf(d));
    char digits[410] = "1";
    memset(digits + 1, '0', 400);
    assert_int_equal(result_of(&gives_double_task, digits, &d), -ERANGE);
    assert_int_equal(result_of(&gives_float_task, "1e39", &f), -ERANGE);
    assert_int_equal(result_of(&gives_float_task, "Infinity", &f), 0);
    assert_true(isinf(f));
}

static void lack_of_memory_is_told(void **state)
{
    (void)state;
    struct wf_task_type type = others_task;
    type.celery = &(const struct wf_celery_task){.defaults = "{\"j\": [1]}"};
    struct wf_json *args = fixture_parse(
        "[true, 0, 0, null, {\"__type__\": \"base64\", \"__value__\": \"AP8=\"}]", 63);
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct wfi_arguments a;
        struct wf_error err;
        const char *exc;
        wfi_alloc_watch(n);
        int got = wfi_arguments_check(&type, &err);
        if (!got)
            got = wfi_arguments_bind(&type, wf_json_root(args), NULL, &a, &exc, &err);
        else
            memset(&a, 0, sizeof a);
        wfi_arguments_fini(&a);
        assert_int_equal(wfi_alloc_live(), 0);
        failed = wfi_alloc_unwatch();
        if (got != (failed ? -ENOMEM : 0))
            fail_msg("%d: %s", got, err.text);
    }
    wf_json_destroy(args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_come_by_place_by_name_or_by_default),
        cmocka_unit_test(wrong_counts_and_names_are_told_in_pythons_words),
        cmocka_unit_test(many_of_one_name_cost_no_more_than_others),
        cmocka_unit_test(wrong_types_are_told),
        cmocka_unit_test(integers_fill_their_type_and_no_more),
        cmocka_unit_test(the_other_kinds_are_bound),
        cmocka_unit_test(the_rest_goes_where_the_task_says),
        cmocka_unit_test(what_a_task_says_of_itself_is_checked),
        cmocka_unit_test(results_become_json),
        cmocka_unit_test(results_are_read_into_their_type),
        cmocka_unit_test(lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
