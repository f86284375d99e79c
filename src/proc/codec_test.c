/* SPDX-License-Identifier: MIT */
/* Arguments and results as bytes: every kind there and back, cut short, and with failing memory. */
#include "proc/codec.h"

#include <weft/json.h>

#include "base/alloc.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A type of the user's own: a length and a text on the heap. */
struct label {
    char *text;
};

static int labels_live;

static ssize_t label_encode(const void *value, void *buf, size_t capacity)
{
    const struct label *label = value;
    size_t len = strlen(label->text);
    if (strcmp(label->text, "unwell") == 0)
        return -EILSEQ;
    if (len <= capacity)
        memcpy(buf, label->text, len);
    return (ssize_t)len;
}

static int label_decode(void *value, const void *buf, size_t len)
{
    struct label *label = value;
    if (len >= 3 && memcmp(buf, "bad", 3) == 0)
        return -EBADMSG;
    label->text = wfi_alloc(len + 1);
    if (!label->text)
        return -ENOMEM;
    memcpy(label->text, buf, len);
    label->text[len] = '\0';
    labels_live++;
    return 0;
}
WF_WIRE(struct label, label_encode, label_decode)

struct untold {
    int a;
};

WF_TASK(wf_none, nothing)
WF_TASK(double, scalars, (bool, b), (signed char, c), (uint64_t, u), (double, d), (float, f))
WF_TASK(const char *, all, (const char *, s), (wf_bytes, bytes), (struct wf_json *, json),
        (struct label, label), (short, tail))
WF_TASK(wf_bytes, two, (const char *, s), (struct label, label), (const char *, last))
WF_TASK(struct label, label_of, (int, n))
WF_TASK(struct wf_json *, json_of, (int, n))
WF_TASK(bool, truth, (int, n))
WF_TASK(int, opaque_in, (int, n), (struct untold, first), (void *, second))
WF_TASK(struct untold, opaque_out, (int, n))
WF_TASK(const char *, careless, (int, n))

/* clang-format off */
int nothing(struct wf_task *self, wf_none *ret) { (void)self; (void)ret; return 0; }
int scalars(struct wf_task *self, bool b, signed char c, uint64_t u, double d, float f, double *ret)
{ (void)self; (void)b; (void)c; (void)u; (void)d; (void)f; *ret = 0; return 0; }
int all(struct wf_task *self, const char *s, wf_bytes bytes, struct wf_json *json,
        struct label label, short tail, const char **ret)
{ (void)self; (void)s; (void)bytes; (void)json; (void)label; (void)tail; *ret = NULL; return 0; }
int two(struct wf_task *self, const char *s, struct label label, const char *last, wf_bytes *ret)
{ (void)self; (void)s; (void)label; (void)last; *ret = (wf_bytes){NULL, 0}; return 0; }
int label_of(struct wf_task *self, int n, struct label *ret)
{ (void)self; (void)n; ret->text = NULL; return 0; }
int json_of(struct wf_task *self, int n, struct wf_json **ret)
{ (void)self; (void)n; *ret = NULL; return 0; }
int truth(struct wf_task *self, int n, bool *ret) { (void)self; *ret = n != 0; return 0; }
int opaque_in(struct wf_task *self, int n, struct untold first, void *second, int *ret)
{ (void)self; (void)n; (void)first; (void)second; *ret = 0; return 0; }
int opaque_out(struct wf_task *self, int n, struct untold *ret)
{ (void)self; ret->a = n; return 0; }
int careless(struct wf_task *self, int n, const char **ret)
{ (void)self; (void)n; *ret = NULL; return 0; }
/* clang-format on */

static void drop_text(void *result)
{
    wfi_free(*(char **)result);
}

static void drop_bytes(void *result)
{
    wfi_free((void *)(uintptr_t)((wf_bytes *)result)->ptr);
}

static void drop_label(struct label *label)
{
    if (label->text)
        labels_live--;
    wfi_free(label->text);
    label->text = NULL;
}

static void drop_all_args(void *args)
{
    struct all_args *a = args;
    assert_null(a->s); /* strings, bytes and JSON are not the task's to free */
    assert_null(a->bytes.ptr);
    assert_null(a->json);
    drop_label(&a->label);
}

static void drop_two_args(void *args)
{
    drop_label(&((struct two_args *)args)->label);
}

WF_TASK_DEFINE(nothing)
WF_TASK_DEFINE(scalars)
WF_TASK_DEFINE_WITH(all, .drop_args = drop_all_args, .drop_result = drop_text)
WF_TASK_DEFINE_WITH(two, .drop_args = drop_two_args, .drop_result = drop_bytes)
WF_TASK_DEFINE(label_of)
WF_TASK_DEFINE(json_of)
WF_TASK_DEFINE(truth)
WF_TASK_DEFINE(opaque_in)
WF_TASK_DEFINE(opaque_out)
WF_TASK_DEFINE(careless)

static void what_cannot_travel_is_named(void **state)
{
    (void)state;
    struct wf_error error;
    assert_int_equal(wfi_codec_check_args(&opaque_in_task, &error), WF_ENOTWIRE);
    assert_string_equal(error.text, "task opaque_in: parameter first (struct untold) cannot leave "
                                    "this process: its type has no WF_WIRE");
    assert_int_equal(wfi_codec_check_result(&opaque_out_task, &error), WF_ENOTWIRE);
    assert_non_null(strstr(error.text, "its result (struct untold)"));
    assert_int_equal(wfi_codec_check_result(&careless_task, &error), WF_ENOTWIRE);
    assert_non_null(strstr(error.text, ".drop_result"));
    static const struct wf_task_type *const good[] = {&nothing_task, &scalars_task,  &all_task,
                                                      &two_task,     &label_of_task, &json_of_task};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(wfi_codec_check_args(good[i], &error), 0);
        assert_int_equal(wfi_codec_check_result(good[i], &error), 0);
    }
    assert_true(wfi_codec_flat_args(&nothing_task) && wfi_codec_flat_result(&nothing_task));
    assert_true(wfi_codec_flat_args(&scalars_task) && wfi_codec_flat_result(&scalars_task));
    assert_false(wfi_codec_flat_args(&all_task) || wfi_codec_flat_result(&all_task));
}

/* Encoded into exactly as much as it takes, on the heap, so that a tool sees a byte too many. */
static void *encoded_args(const struct wf_task_type *type, const void *args, size_t *ret_len)
{
    ssize_t len = wfi_codec_encode_args(type, args, NULL, 0, NULL);
    assert_true(len >= 0 && len % WFI_CODEC_ALIGN == 0);
    void *buf = malloc((size_t)len);
    assert_int_equal(wfi_codec_encode_args(type, args, buf, (size_t)len, NULL), len);
    *ret_len = (size_t)len;
    return buf;
}

static void scalars_travel_in_the_structure(void **state)
{
    (void)state;
    struct scalars_args in = {true, -7, UINT64_MAX, -0.5, 1.5f}, out;
    size_t len;
    void *buf = encoded_args(&scalars_task, &in, &len);
    assert_int_equal(len, (sizeof in + 7) / 8 * 8);
    assert_int_equal(wfi_codec_decode_args(&scalars_task, buf, len, &out, NULL), len);
    assert_true(out.b && out.c == -7 && out.u == UINT64_MAX && out.d == -0.5 && out.f == 1.5f);
    wfi_codec_drop_args(&scalars_task, &out);
    free(buf);
}

static struct wf_json *json_of_text(const char *text)
{
    struct wf_json *json;
    assert_int_equal(wf_json_read(text, strlen(text), NULL, &json, NULL), 0);
    return json;
}

static char one_label[] = "a label";
#define JSON_TEXT "{\"n\":123456789012345678901234567890,\"x\":[null,true,1.0]}"

static void every_kind_travels(void **state)
{
    (void)state;
    struct all_args in = {"a text", {"\0\1\2", 3}, json_of_text(JSON_TEXT), {one_label}, -3}, out;
    size_t len;
    unsigned char *buf = encoded_args(&all_task, &in, &len);
    assert_int_equal(wfi_codec_decode_args(&all_task, buf, len, &out, NULL), len);
    assert_string_equal(out.s, "a text");
    assert_true((const unsigned char *)out.s > buf && (const unsigned char *)out.s < buf + len);
    assert_int_equal(out.bytes.len, 3);
    assert_memory_equal(out.bytes.ptr, "\0\1\2", 3);
    assert_true((uintptr_t)out.bytes.ptr % WFI_CODEC_ALIGN == 0);
    const struct wf_json_value *root = wf_json_root(out.json);
    assert_string_equal(wf_json_text(wf_json_get(root, "n"), NULL),
                        "123456789012345678901234567890");
    assert_string_equal(out.label.text, "a label");
    assert_int_equal(out.tail, -3);
    wfi_codec_drop_args(&all_task, &out);
    assert_int_equal(labels_live, 0);

    /* Cut anywhere it is refused, and nothing is left. */
    for (size_t cut = 0; cut < len; cut++) {
        unsigned char *part = malloc(cut ? cut : 1);
        memcpy(part, buf, cut);
        struct wf_error error;
        ssize_t got = wfi_codec_decode_args(&all_task, part, cut, &out, &error);
        assert_true(got == WF_EPROTOCOL);
        assert_int_equal(labels_live, 0);
        free(part);
    }
    free(buf);
    wf_json_destroy(in.json);
}

static void nothing_and_empty_are_told_apart(void **state)
{
    (void)state;
    static char empty[] = "";
    struct all_args in = {NULL, {NULL, 0}, NULL, {empty}, 0}, out;
    size_t len;
    void *buf = encoded_args(&all_task, &in, &len);
    assert_int_equal(wfi_codec_decode_args(&all_task, buf, len, &out, NULL), len);
    assert_null(out.s);
    assert_int_equal(out.bytes.len, 0);
    assert_null(out.json);
    assert_string_equal(out.label.text, "");
    wfi_codec_drop_args(&all_task, &out);
    free(buf);
    struct two_args in2 = {"", {one_label}, NULL}, out2;
    buf = encoded_args(&two_task, &in2, &len);
    assert_int_equal(wfi_codec_decode_args(&two_task, buf, len, &out2, NULL), len);
    assert_string_equal(out2.s, "");
    assert_null(out2.last);
    wfi_codec_drop_args(&two_task, &out2);
    free(buf);
}

/* DLK-01, DLK-02 at their source: what a codec refuses is told with the parameter's name. */
static void a_codec_that_fails_is_told(void **state)
{
    (void)state;
    static char unwell[] = "unwell", bad[] = "bad news";
    struct wf_error error;
    char buf[256];
    struct two_args in = {"x", {unwell}, "y"}, out;
    assert_int_equal(wfi_codec_encode_args(&two_task, &in, buf, sizeof buf, &error), -EILSEQ);
    assert_non_null(strstr(error.text, "task two: parameter label does not encode"));
    in.label.text = bad;
    ssize_t len = wfi_codec_encode_args(&two_task, &in, buf, sizeof buf, &error);
    assert_true(len > 0);
    assert_int_equal(wfi_codec_decode_args(&two_task, buf, (size_t)len, &out, &error), -EBADMSG);
    assert_non_null(strstr(error.text, "task two: parameter label does not decode"));
    assert_int_equal(labels_live, 0);
}

static void results_travel(void **state)
{
    (void)state;
    _Alignas(8) char buf[256];
    const char *text = "the result", *back;
    ssize_t len = wfi_codec_encode_result(&all_task, &text, buf, sizeof buf, NULL);
    assert_int_equal(wfi_codec_decode_result(&all_task, buf, (size_t)len, &back, NULL), len);
    assert_string_equal(back, "the result");
    assert_true(back < buf || back > buf + sizeof buf);
    drop_text(&back);
    assert_int_equal(wfi_codec_decode_result_in_place(&all_task, buf, (size_t)len, &back), len);
    assert_ptr_equal(back, buf + 8);
    for (size_t cut = 0; cut < (size_t)len; cut++)
        assert_int_equal(wfi_codec_decode_result(&all_task, buf, cut, &back, NULL), WF_EPROTOCOL);
    text = NULL;
    len = wfi_codec_encode_result(&all_task, &text, buf, sizeof buf, NULL);
    assert_int_equal(wfi_codec_decode_result(&all_task, buf, (size_t)len, &back, NULL), len);
    assert_null(back);

    wf_bytes bytes = {"\0\0", 2}, bytes_back;
    len = wfi_codec_encode_result(&two_task, &bytes, buf, sizeof buf, NULL);
    assert_int_equal(wfi_codec_decode_result(&two_task, buf, (size_t)len, &bytes_back, NULL), len);
    assert_int_equal(bytes_back.len, 2);
    drop_bytes(&bytes_back);

    double d = 2.5, d_back;
    len = wfi_codec_encode_result(&scalars_task, &d, buf, sizeof buf, NULL);
    assert_int_equal(wfi_codec_decode_result(&scalars_task, buf, (size_t)len, &d_back, NULL), len);
    assert_true(d_back == 2.5);

    buf[0] = 77; /* no bool that the compiler knows */
    bool truth_back;
    assert_int_equal(wfi_codec_decode_result(&truth_task, buf, 8, &truth_back, NULL), 8);
    assert_true(truth_back == true);

    struct label label = {one_label}, label_back;
    len = wfi_codec_encode_result(&label_of_task, &label, buf, sizeof buf, NULL);
    assert_int_equal(wfi_codec_decode_result(&label_of_task, buf, (size_t)len, &label_back, NULL),
                     len);
    assert_string_equal(label_back.text, "a label");
    drop_label(&label_back);

    struct wf_json *json = json_of_text(JSON_TEXT), *json_back;
    len = wfi_codec_encode_result(&json_of_task, &json, buf, sizeof buf, NULL);
    assert_int_equal(wfi_codec_decode_result(&json_of_task, buf, (size_t)len, &json_back, NULL),
                     len);
    assert_int_equal(wf_json_count(wf_json_root(json_back)), 2);
    wf_json_destroy(json);
    wf_json_destroy(json_back);
}

static void memory_may_run_out_anywhere(void **state)
{
    (void)state;
    struct all_args in = {"a text", {"b", 1}, json_of_text(JSON_TEXT), {one_label}, 1}, out;
    const char *text = "r", *back;
    char buf[512];
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        assert_true(n < 100);
        wfi_alloc_watch(n);
        ssize_t len = wfi_codec_encode_args(&all_task, &in, buf, sizeof buf, NULL);
        ssize_t err = len < 0 ? len : 0;
        if (!err) {
            err = wfi_codec_decode_args(&all_task, buf, (size_t)len, &out, NULL);
            if (err > 0) {
                wfi_codec_drop_args(&all_task, &out);
                len = wfi_codec_encode_result(&all_task, &text, buf, sizeof buf, NULL);
                err = wfi_codec_decode_result(&all_task, buf, (size_t)len, &back, NULL);
                if (err > 0)
                    drop_text(&back);
            }
        }
        assert_int_equal(wfi_alloc_live(), 0);
        assert_int_equal(labels_live, 0);
        failed = wfi_alloc_unwatch();
        assert_true(failed ? err == -ENOMEM : err > 0);
    }
    wf_json_destroy(in.json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_travel_is_named),
        cmocka_unit_test(scalars_travel_in_the_structure),
        cmocka_unit_test(every_kind_travels),
        cmocka_unit_test(nothing_and_empty_are_told_apart),
        cmocka_unit_test(a_codec_that_fails_is_told),
        cmocka_unit_test(results_travel),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
