/* SPDX-License-Identifier: MIT */
/*
 * JSON: tables, limits, failing memory, and a comparison with Python's json module on random texts
 * (prints the seed, set WEFT_TEST_SEED to replay; needs python3).
 */
#include <weft/json.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/json_number.h"
#include "base/random.h"

#include <errno.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct wf_json_writer *writer(bool ascii, bool spaced)
{
    struct wf_json_writer *w = NULL;
    const struct wf_json_writer_options options = {.ascii = ascii, .spaced = spaced};
    assert_int_equal(wf_json_writer_create(&options, &w), 0);
    return w;
}

static const char *text_of(struct wf_json_writer *w)
{
    const char *text = NULL;
    size_t len = 0;
    assert_int_equal(wf_json_writer_text(w, &text, &len), 0);
    assert_int_equal(strlen(text), len);
    return text;
}

static struct wf_json *read_text(const char *text)
{
    struct wf_json *json = NULL;
    struct wf_error err = {0};
    if (wf_json_read(text, strlen(text), NULL, &json, &err))
        fail_msg("%s: %s", text, err.text);
    return json;
}

static void writes_lines_of_every_kind_of_value(void **state)
{
    (void)state;
    struct wf_json_writer *w = writer(false, false);
    for (int line = 0; line < 2; line++) {
        wf_json_write_object(w);
        wf_json_write_key(w, "url");
        wf_json_write_string(w, "http://h/", 9);
        wf_json_write_key(w, "n");
        wf_json_write_array(w);
        wf_json_write_int(w, INT64_MIN);
        wf_json_write_uint(w, UINT64_MAX);
        wf_json_write_double(w, 0.1);
        wf_json_write_bool(w, true);
        wf_json_write_bool(w, false);
        wf_json_write_null(w);
        wf_json_write_array(w);
        wf_json_write_end(w);
        wf_json_write_object(w);
        wf_json_write_end(w);
        wf_json_write_raw(w, "12345678901234567890123", 23);
        wf_json_write_end(w);
        wf_json_write_key_bytes(w, "a\"b", 3);
        wf_json_write_null(w);
        wf_json_write_end(w);
        wf_json_write_line_end(w);
    }
    const char *one = "{\"url\":\"http://h/\",\"n\":[-9223372036854775808,18446744073709551615,0.1,"
                      "true,false,null,[],{},12345678901234567890123],\"a\\\"b\":null}\n";
    const char *text = text_of(w);
    assert_int_equal(strlen(text), 2 * strlen(one));
    assert_memory_equal(text, one, strlen(one));
    assert_string_equal(text + strlen(one), one);

    wf_json_writer_clear(w);
    assert_string_equal(text_of(w), "");
    wf_json_write_array(w);
    const char *untouched = "x";
    assert_int_equal(wf_json_writer_text(w, &untouched, NULL), WF_ESTATE);
    assert_string_equal(untouched, "x");
    wf_json_writer_destroy(w);
    wf_json_writer_destroy(NULL);

    w = writer(true, true);
    wf_json_write_array(w);
    wf_json_write_int(w, 1);
    wf_json_write_object(w);
    wf_json_write_key(w, "\xc3\xa4");
    wf_json_write_string(w, "\xf0\x9f\x98\x80", 4);
    wf_json_write_key(w, "b");
    wf_json_write_string(w, "\xff", 1);
    wf_json_write_end(w);
    wf_json_write_end(w);
    assert_string_equal(text_of(w), "[1, {\"\\u00e4\": \"\\ud83d\\ude00\", \"b\": \"\\ufffd\"}]");
    wf_json_writer_destroy(w);
}

static void strings_are_escaped_and_mended(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *expected;
    } table[] = {
        {"", 0, "\"\""},
        {"a\"b\\c/d", 7, "\"a\\\"b\\\\c/d\""},
        {"\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\""},
        {"\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\x7f\""},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"a\xff"
         "b",
         3,
         "\"a\xef\xbf\xbd"
         "b\""},
        {"\x80\xbf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xc3", 1, "\"\xef\xbf\xbd\""},
        {"\xc3(", 2, "\"\xef\xbf\xbd(\""},
        {"\xe2\x82", 2, "\"\xef\xbf\xbd\""}, /* one mark for a cut character */
        {"\xe2\x82x", 3, "\"\xef\xbf\xbdx\""},
        {"\xc0\x80", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""}, /* longer than needed */
        {"\xe0\x80\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xf0\x9f\x98", 3, "\"\xef\xbf\xbd\""},
        {"\xf4\x90\x80\x80", 4, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xf5", 1, "\"\xef\xbf\xbd\""},
        {"\xed\xa0\x80", 3, "\"\\ud800\""}, /* a lone surrogate */
    };
    struct wf_json_writer *w = writer(false, false);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        wf_json_writer_clear(w);
        char *exact = malloc(table[i].len ? table[i].len : 1);
        assert_non_null(exact);
        memcpy(exact, table[i].bytes, table[i].len);
        wf_json_write_string(w, exact, table[i].len);
        free(exact);
        assert_string_equal(text_of(w), table[i].expected);
    }
    wf_json_writer_destroy(w);
}

static void doubles_are_short_and_exact(void **state)
{
    (void)state;
    static const struct {
        double number;
        const char *expected;
    } table[] = {
        {0.0, "0.0"},
        {-0.0, "-0.0"},
        {1, "1.0"},
        {-1.5, "-1.5"},
        {0.1, "0.1"},
        {100, "100.0"},
        {1e15, "1000000000000000.0"},
        {9999999999999998, "9999999999999998.0"},
        {1e16, "1e+16"},
        {1.25e17, "1.25e+17"},
        {1e22, "1e+22"},
        {0.0001, "0.0001"},
        {0.00012, "0.00012"},
        {0.00001, "1e-05"},
        {1.0 / 3, "0.3333333333333333"},
        {2.0 / 3, "0.6666666666666666"},
        {0.1 + 0.2, "0.30000000000000004"},
        {123456.789, "123456.789"},
        {0x1p-44, "5.684341886080802e-14"}, /* the nearest sixteen digits would miss it */
        {0x1p-1074, "5e-324"},
        {0x1p-1022, "2.2250738585072014e-308"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {1e100, "1e+100"},
        {5e-310, "5e-310"},
        {(double)NAN, "NaN"},
        {(double)INFINITY, "Infinity"},
        {-(double)INFINITY, "-Infinity"},
        {12345678901234567.0, "1.2345678901234568e+16"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char text[WFI_DOUBLE_TEXT_BYTES];
        assert_int_equal(wfi_double_write(table[i].number, text), strlen(table[i].expected));
        assert_string_equal(text, table[i].expected);
        const double back = wfi_double_read(text, strlen(text));
        assert_true(memcmp(&back, &table[i].number, sizeof back) == 0 || back != back);
    }
}

static int significant_digits(const char *text)
{
    int count = 0, zeros = 0;
    for (; *text && *text != 'e'; text++) {
        if (*text == '.' || (*text == '0' && count == 0))
            continue;
        zeros = *text == '0' ? zeros + 1 : 0;
        count++;
    }
    return count - zeros;
}

static void any_double_comes_back(void **state)
{
    (void)state;
    struct wfi_random random;
    wfi_random_seed(&random, 754);
    for (int i = 0; i < 50000; i++) {
        double number, back;
        const uint64_t bits = wfi_random_next(&random);
        memcpy(&number, &bits, sizeof number);
        if (number != number)
            continue;
        char text[WFI_DOUBLE_TEXT_BYTES];
        if (i % 4 == 0) /* one of few digits */
            number = (double)(int64_t)(bits >> 12 >> bits % 50) /
                     (const double[]){1, 10, 100, 1000, 1e6, 1e7}[bits % 6];
        const size_t len = wfi_double_write(number, text);
        assert_in_range(len, 3, WFI_DOUBLE_TEXT_BYTES - 1);
        if (i % 4 == 0 && number > 1e-3) {
            /* No more digits than what printf shows to be enough. */
            char shown[400];
            int enough = 0;
            do
                snprintf(shown, sizeof shown, "%.*e", enough++, number);
            while (strtod(shown, NULL) != number);
            if (significant_digits(text) > enough)
                fail_msg("%s: %s", shown, text);
        }
        back = wfi_double_read(text, len);
        assert_memory_equal(&back, &number, sizeof back);
    }
}

/* In a locale with a decimal comma the texts are the same. */
static void the_locale_does_not_matter(void **state)
{
    (void)state;
    static const char *const commas[] = {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8"};
    const char *set = NULL;
    for (size_t i = 0; i < sizeof commas / sizeof *commas && !set; i++)
        set = setlocale(LC_NUMERIC, commas[i]);
    if (!set) {
        print_message("no locale with a decimal comma here\n");
        skip();
    }
    char text[WFI_DOUBLE_TEXT_BYTES];
    wfi_double_write(1234.5, text);
    const double back = wfi_double_read("1234.5", 6);
    setlocale(LC_NUMERIC, "C");
    assert_string_equal(text, "1234.5");
    assert_true(back == 1234.5);
}

static void reads_a_tree(void **state)
{
    (void)state;
    struct wf_json *json =
        read_text("\xef\xbb\xbf {\"a\": [1, 2.5, \"x\\u0000y\", true, false, null, {}, []],\n"
                  " \"b\": {\"c\": \"\\ud83d\\ude00\\ud800\"}, \"a\\u0000b\": 3, \"big\": "
                  "123456789012345678901234567890, \"d\": 1, \"d\": -2} ");
    const struct wf_json_value *root = wf_json_root(json), *a = wf_json_get(root, "a");
    size_t len;
    double number;
    int64_t integer;
    bool truth;

    assert_int_equal(wf_json_type(root), WF_JSON_OBJECT);
    assert_int_equal(wf_json_count(root), 6);
    assert_int_equal(wf_json_count(a), 8);
    assert_null(wf_json_at(a, 8));
    assert_int_equal(wf_json_int(wf_json_at(a, 0), &integer), 0);
    assert_int_equal(integer, 1);
    assert_int_equal(wf_json_double(wf_json_at(a, 1), &number), 0);
    assert_true(number == 2.5);
    assert_int_equal(wf_json_double(wf_json_at(a, 0), &number), 0);
    assert_true(number == 1);
    assert_int_equal(wf_json_int(wf_json_at(a, 1), &integer), -EINVAL);
    assert_memory_equal(wf_json_text(wf_json_at(a, 2), &len), "x\0y", 4);
    assert_int_equal(len, 3);
    assert_int_equal(wf_json_bool(wf_json_at(a, 3), &truth), 0);
    assert_true(truth);
    assert_int_equal(wf_json_bool(wf_json_at(a, 4), &truth), 0);
    assert_false(truth);
    assert_int_equal(wf_json_bool(wf_json_at(a, 5), &truth), -EINVAL);
    assert_int_equal(wf_json_type(wf_json_at(a, 5)), WF_JSON_NULL);
    assert_int_equal(wf_json_type(wf_json_at(a, 6)), WF_JSON_OBJECT);
    assert_int_equal(wf_json_count(wf_json_at(a, 7)), 0);
    assert_null(wf_json_key(wf_json_at(a, 0), NULL));
    assert_string_equal(wf_json_key(wf_json_at(root, 1), NULL), "b");
    assert_memory_equal(wf_json_key(wf_json_at(root, 2), &len), "a\0b", 4);
    assert_int_equal(len, 3);
    assert_string_equal(wf_json_text(wf_json_get(wf_json_get(root, "b"), "c"), NULL),
                        "\xf0\x9f\x98\x80\xed\xa0\x80");
    assert_int_equal(wf_json_int(wf_json_get(root, "big"), &integer), -ERANGE);
    assert_string_equal(wf_json_text(wf_json_get(root, "big"), NULL),
                        "123456789012345678901234567890");
    assert_int_equal(wf_json_int(wf_json_get(root, "d"), &integer), 0);
    assert_int_equal(integer, -2);
    assert_null(wf_json_get(root, "z"));
    assert_null(wf_json_get(a, "z"));
    assert_null(wf_json_get(NULL, "z"));
    assert_null(wf_json_text(root, NULL));
    assert_int_equal(wf_json_type(NULL), WF_JSON_NULL);
    wf_json_destroy(json);
    wf_json_destroy(NULL);

    static const struct {
        const char *text;
        int err;
        int64_t value;
    } integers[] = {{"0", 0, 0},
                    {"-0", 0, 0},
                    {"9223372036854775807", 0, INT64_MAX},
                    {"-9223372036854775808", 0, INT64_MIN},
                    {"9223372036854775808", -ERANGE, 0},
                    {"-9223372036854775809", -ERANGE, 0}};
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        json = read_text(integers[i].text);
        integer = 0;
        assert_int_equal(wf_json_int(wf_json_root(json), &integer), integers[i].err);
        assert_true(integer == integers[i].value);
        wf_json_destroy(json);
    }
}

static void wrong_texts_name_what_and_where(void **state)
{
    (void)state;
    static const struct {
        const char *text, *what;
        int line, column;
    } table[] = {
        {"", "a value is expected", 1, 1},
        {"  ", "a value is expected", 1, 3},
        {"x", "a value is expected", 1, 1},
        {"[1,]", "a value is expected", 1, 4},
        {"[1 2]", "',' or ']'", 1, 4},
        {"[1", "',' or ']'", 1, 3},
        {"[", "a value is expected", 1, 2},
        {"{", "a key in double quotes", 1, 2},
        {"{\"a\"}", "':'", 1, 5},
        {"{\"a\":}", "a value is expected", 1, 6},
        {"{\"a\":1,}", "a key in double quotes", 1, 8},
        {"{\"a\":1 \"b\"", "',' or '}'", 1, 8},
        {"{a:1}", "a key in double quotes", 1, 2},
        {"[1]]", "goes on behind", 1, 4},
        {"1 2", "goes on behind", 1, 3},
        {"01", "goes on behind", 1, 2},
        {"1.", "goes on behind", 1, 2},
        {"1e+", "goes on behind", 1, 2},
        {"-", "a value is expected", 1, 1},
        {"+1", "a value is expected", 1, 1},
        {".5", "a value is expected", 1, 1},
        {"-NaN", "a value is expected", 1, 1},
        {"nul", "a value is expected", 1, 1},
        {"True", "a value is expected", 1, 1},
        {"\"abc", "not closed", 1, 5},
        {"\"abc\\", "not closed", 1, 6},
        {"\"a\\x\"", "unknown escape", 1, 3},
        {"\"a\\u12g4\"", "four hexadecimal", 1, 3},
        {"\"a\\u123", "four hexadecimal", 1, 3},
        {"\"a\nb\"", "control character", 1, 3},
        {"\"\xc3\xa4\xff\"", "not UTF-8", 1, 3},
        {"[1,\n  \"\xc3\xa4\xe2\x82\xac\" 2]", "',' or ']'", 2, 8},
        {"\xff", "a value is expected", 1, 1},
        {"[1]\f", "goes on behind", 1, 4},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct wf_json *json = NULL;
        struct wf_error err = {0};
        char place[64];
        snprintf(place, sizeof place, "(line %d, column %d)", table[i].line, table[i].column);
        const size_t len = strlen(table[i].text);
        char *exact = malloc(len ? len : 1);
        assert_non_null(exact);
        memcpy(exact, table[i].text, len);
        assert_int_equal(wf_json_read(exact, len, NULL, &json, &err), WF_EPARSE);
        assert_int_equal(wf_json_read(exact, len, NULL, &json, NULL), WF_EPARSE);
        free(exact);
        assert_null(json);
        assert_int_equal(err.code, WF_EPARSE);
        if (!strstr(err.text, table[i].what) || !strstr(err.text, place))
            fail_msg("%s: %s", table[i].text, err.text);
    }
}

static void depth_is_limited_and_costs_no_stack(void **state)
{
    (void)state;
    enum { DEEP = 200000 };
    char *text = malloc(2 * DEEP);
    assert_non_null(text);
    struct wf_json *json = NULL;
    struct wf_error err = {0};
    memset(text, '[', DEEP);
    memset(text + DEEP, ']', DEEP);

    assert_int_equal(wf_json_read(text + DEEP - 1000, 2000, NULL, &json, &err), 0);
    wf_json_destroy(json);
    json = NULL;
    assert_int_equal(wf_json_read(text + DEEP - 1001, 2002, NULL, &json, &err), WF_ETOOBIG);
    assert_non_null(strstr(err.text, "nested too deep (line 1, column 1001)"));
    assert_int_equal(
        wf_json_read("[[1]]", 5, &(struct wf_json_options){.depth_max = 1}, &json, &err),
        WF_ETOOBIG);

    /* A value takes 32 bytes: while its siblings are collected, and then among them. */
    assert_int_equal(
        wf_json_read("[[],[],[]]", 10, &(struct wf_json_options){.bytes_max = 150}, &json, &err),
        -EMSGSIZE);
    assert_non_null(strstr(err.text, "memory"));
    assert_int_equal(
        wf_json_read("\"abcdefgh\"", 10, &(struct wf_json_options){.bytes_max = 10}, &json, &err),
        -EMSGSIZE);
    assert_int_equal(
        wf_json_read("[[],[],[]]", 10, &(struct wf_json_options){.bytes_max = 400}, &json, &err),
        0);
    wf_json_destroy(json);

    const struct wf_json_options any = {.depth_max = DEEP};
    assert_int_equal(wf_json_read(text, 2 * DEEP, &any, &json, &err), 0);
    struct wf_json_writer *w = writer(false, false);
    wf_json_write_value(w, wf_json_root(json));
    const char *again;
    size_t len;
    assert_int_equal(wf_json_writer_text(w, &again, &len), 0);
    assert_int_equal(len, 2 * DEEP);
    assert_memory_equal(again, text, len);
    wf_json_writer_destroy(w);
    wf_json_destroy(json);
    free(text);
}

static void failing_memory_is_told_and_leaks_nothing(void **state)
{
    (void)state;
    char *text = malloc(16384);
    assert_non_null(text);
    size_t len = (size_t)sprintf(text, "{\"list\": [");
    for (int i = 0; i < 300; i++)
        len += (size_t)sprintf(text + len, "%s{\"k%d\": [\"\\u00e4\", 1.5]}", i ? ", " : "", i);
    len += (size_t)sprintf(text + len, "]}");

    for (uint64_t fail_at = 1;; fail_at++) {
        struct wf_json *json = NULL;
        struct wf_json_writer *w = NULL;
        struct wf_error err = {0};
        wfi_alloc_watch(fail_at);
        int result = wf_json_read(text, len, NULL, &json, &err);
        if (result == 0) {
            result = wf_json_writer_create(&(struct wf_json_writer_options){true, true}, &w);
        } else {
            assert_int_equal(err.code, -ENOMEM);
            assert_null(json);
        }
        if (result == 0) {
            const char *again;
            size_t again_len;
            wf_json_write_value(w, wf_json_root(json));
            result = wf_json_writer_text(w, &again, &again_len);
            if (result == 0) {
                assert_int_equal(again_len, len);
                assert_memory_equal(again, text, len);
            }
        }
        wf_json_writer_destroy(w);
        wf_json_destroy(json);
        assert_int_equal(wfi_alloc_live(), 0);
        const bool reached = wfi_alloc_unwatch();
        assert_int_equal(result, reached ? -ENOMEM : 0);
        if (!reached) {
            assert_true(fail_at > 10);
            break;
        }
    }
    free(text);
}

/* An array of `count` times the item, with what stands around it. */
static char *large_text(const char *item, size_t count, const char *before, const char *behind)
{
    const size_t len = strlen(item);
    char *text = malloc(count * (len + 1) + 64), *at = text;
    assert_non_null(text);
    at += sprintf(at, "%s[", before);
    for (size_t i = 0; i < count; i++) {
        memcpy(at, item, len);
        at[len] = ',';
        at += len + 1;
    }
    sprintf(at - 1, "]%s", behind);
    return text;
}

/* The values of a large array are not copied when they are complete, if they are the first. */
static void large_arrays_are_read_as_small_ones(void **state)
{
    (void)state;
    enum { COUNT = 20000 }; /* 640 kB of values */
    static const char *const items[] = {"[]", "1", "{\"k\":[true,\"text\"]}"};
    static const char *const around[][2] = {
        {"", ""}, {"[", "]"}, {"[[", "],{\"b\":[1,2]}]"}, {"[7,", ",8]"}, {"{\"a\":", ",\"b\":2}"}};
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < sizeof around / sizeof *around; k++) {
            char *text = large_text(items[i], COUNT, around[k][0], around[k][1]);
            struct wf_json *json = NULL;
            struct wf_error err;
            assert_int_equal(wf_json_read(text, strlen(text), NULL, &json, &err), 0);
            struct wf_json_writer *w = writer(false, false);
            const char *again;
            wf_json_write_value(w, wf_json_root(json));
            assert_int_equal(wf_json_writer_text(w, &again, NULL), 0);
            assert_string_equal(again, text);
            wf_json_writer_destroy(w);
            wf_json_destroy(json);
            free(text);
        }

    /* Its values take 32 bytes each, once; and they count. */
    char *text = large_text("[]", COUNT, "", "");
    struct wf_json *json = NULL;
    struct wf_error err;
    const struct wf_json_options enough = {.bytes_max = COUNT * 32 + 64};
    const struct wf_json_options too_little = {.bytes_max = COUNT * 32 - 1};
    assert_int_equal(wf_json_read(text, strlen(text), &enough, &json, &err), 0);
    wf_json_destroy(json);
    assert_int_equal(wf_json_read(text, strlen(text), &too_little, &json, &err), -EMSGSIZE);
    free(text);
    text = large_text("[]", COUNT, "[", ",[1,2,3]]");
    assert_int_equal(wf_json_read(text, strlen(text), &enough, &json, &err), -EMSGSIZE);

    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        json = NULL;
        wfi_alloc_watch(n);
        const int got = wf_json_read(text, strlen(text), NULL, &json, &err);
        wf_json_destroy(json);
        assert_int_equal(wfi_alloc_live(), 0);
        failed = wfi_alloc_unwatch();
        assert_true(got == 0 || (failed && got == -ENOMEM)); /* it goes on where it cannot shrink */
    }
    free(text);
}

/* As Python: of members with one key the last counts, at the place of the first. */
static void write_as_python(struct wf_json_writer *w, const struct wf_json_value *value)
{
    const bool object = wf_json_type(value) == WF_JSON_OBJECT;
    if (!object && wf_json_type(value) != WF_JSON_ARRAY) {
        wf_json_write_value(w, value);
        return;
    }
    if (object)
        wf_json_write_object(w);
    else
        wf_json_write_array(w);
    for (size_t i = 0; i < wf_json_count(value); i++) {
        const struct wf_json_value *item = wf_json_at(value, i);
        size_t len = 0, other_len;
        const char *key = wf_json_key(item, &len);
        bool first = true;
        for (size_t k = 0; object && k < wf_json_count(value); k++) {
            const char *other = wf_json_key(wf_json_at(value, k), &other_len);
            if (other_len != len || memcmp(key, other, len) != 0)
                continue;
            first = first && k >= i;
            item = wf_json_at(value, k);
        }
        if (object && !first)
            continue;
        if (object)
            wf_json_write_key_bytes(w, key, len);
        write_as_python(w, item);
    }
    wf_json_write_end(w);
}

static void random_value(struct wfi_random *random, struct wfi_buffer *out, int depth)
{
    static const char *const leaves[] = {"0",
                                         "-0",
                                         "1",
                                         "-17",
                                         "123456789012345678901234567890",
                                         "1.5",
                                         "-0.0",
                                         "1e5",
                                         "1E-7",
                                         "2.50",
                                         "1e400",
                                         "-1e400",
                                         "1e-400",
                                         "123456789.123456789",
                                         "0.1",
                                         "5e-324",
                                         "4.35",
                                         "1.7976931348623157e308",
                                         "179769313486231580793e289",
                                         "9007199254740993.0",
                                         "2.2250738585072011e-308",
                                         "1e22",
                                         "1e23",
                                         "NaN",
                                         "Infinity",
                                         "-Infinity",
                                         "true",
                                         "false",
                                         "null",
                                         "01",
                                         "1.",
                                         "-",
                                         "nul",
                                         "1e",
                                         "\"",
                                         "123456789012345678",
                                         "0.000001",
                                         "0.00001234",
                                         "1e16",
                                         "123456789012345680.0"};
    static const char *const chars[] = {"a",
                                        "b",
                                        " ",
                                        "/",
                                        "\\\"",
                                        "\\\\",
                                        "\\n",
                                        "\\u0041",
                                        "\\u00e4",
                                        "\\ud83d\\ude00",
                                        "\\ud800",
                                        "\\udc00",
                                        "\\ud800x",
                                        "\\u0000",
                                        "\xc3\xa4",
                                        "\xe2\x82\xac",
                                        "\xf0\x9f\x98\x80",
                                        "\x7f",
                                        "\xed\xa0\x80",
                                        "\xed\xb0\x80",
                                        "\\/",
                                        "\\b"};
    static const char *const bad[] = {"\xff", "\xc0\x80", "\x01", "\n", "\\x", "\\u12", "\xe2\x82"};
    static const char *const spaces[] = {"", "", "", " ", "\n", "\t ", "\r\n"};
    const uint64_t kind = wfi_random_below(random, depth > 4 ? 5 : 9);

#define PICK(table) table[wfi_random_below(random, sizeof table / sizeof *table)]
    wfi_buffer_append_text(out, PICK(spaces));
    if (kind < 2) {
        wfi_buffer_append_text(out, PICK(leaves));
    } else if (kind < 3) {
        double number;
        const uint64_t bits = wfi_random_next(random);
        memcpy(&number, &bits, sizeof number);
        if (bits % 2)
            number = (double)(bits >> 12 >> bits % 50) /
                     (const double[]){1, 10, 100, 1000, 1e6, 1e7}[bits % 6];
        if (number - number == 0 && bits % 3 == 0)
            wfi_buffer_printf(out, "%.*f", (int)(bits % 9), bits % 2 ? number : 0.5);
        else if (number - number == 0)
            wfi_buffer_printf(out, "%.*e", (int)wfi_random_below(random, 25), number);
        else
            wfi_buffer_append_text(out, "7");
    } else if (kind < 5) {
        wfi_buffer_append_text(out, "\"");
        for (uint64_t n = wfi_random_below(random, 6); n > 0; n--)
            wfi_buffer_append_text(out, wfi_random_below(random, 60) ? PICK(chars) : PICK(bad));
        wfi_buffer_append_text(out, "\"");
    } else {
        const bool object = kind < 7;
        wfi_buffer_append_text(out, object ? "{" : "[");
        const uint64_t count = wfi_random_below(random, 4);
        for (uint64_t i = 0; i < count; i++) {
            if (i > 0)
                wfi_buffer_append_text(out, wfi_random_below(random, 50) ? "," : ",,");
            wfi_buffer_append_text(out, PICK(spaces));
            if (object) {
                /* One draw a statement: the order of arguments differs between compilers. */
                wfi_buffer_printf(out, "\"%s\"", PICK(chars));
                wfi_buffer_printf(out, "%s:", PICK(spaces));
            }
            random_value(random, out, depth + 1);
        }
        wfi_buffer_append_text(out, object ? "}" : "]");
    }
    wfi_buffer_append_text(out, PICK(spaces));
#undef PICK
}

static void write_hex(FILE *file, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        fprintf(file, "%02x", (unsigned char)bytes[i]);
}

/* Each line: a text in hexadecimal, and what weft makes of it, "-" for an error. */
static const char python_check[] =
    "import json, sys\n"
    "lines = bad = good = 0\n"
    "for line in open(sys.argv[1]):\n"
    "    given, made = line.rstrip('\\n').split(' ')\n"
    "    lines += 1\n"
    "    try:\n"
    "        text = bytes.fromhex(given).decode('utf-8', 'surrogatepass')\n"
    "        expected = json.dumps(json.loads(text)).encode().hex()\n"
    "        good += 1\n"
    "    except ValueError:\n"
    "        expected = '-'\n"
    "    if made != expected:\n"
    "        bad += 1\n"
    "        print('given', bytes.fromhex(given))\n"
    "        print('  python', expected if expected == '-' else bytes.fromhex(expected))\n"
    "        print('  weft  ', made if made == '-' else bytes.fromhex(made))\n"
    "print(lines, 'texts,', good, 'of them valid,', bad, 'differ')\n"
    "sys.exit(bad != 0 or good < lines // 4 or good == lines)\n";

static void agrees_with_python(void **state)
{
    (void)state;
    if (system("python3 -c 'import json' >/dev/null 2>&1") != 0) {
        print_message("no python3 here\n");
        skip();
    }
    const char *given = getenv("WEFT_TEST_SEED");
    const uint64_t seed = given ? strtoull(given, NULL, 0) : 8259;
    print_message("seed %llu\n", (unsigned long long)seed);
    struct wfi_random random;
    wfi_random_seed(&random, seed);

    char data[] = "/tmp/weft_json_XXXXXX", script[] = "/tmp/weft_json_XXXXXX";
    int fd = mkstemp(script);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, python_check, sizeof python_check - 1), sizeof python_check - 1);
    close(fd);
    fd = mkstemp(data);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    struct wf_json_writer *w = writer(true, true);
    struct wfi_buffer text = {0};
    for (int i = 0; i < 20000; i++) {
        struct wf_json *json;
        wfi_buffer_clear(&text);
        random_value(&random, &text, 0);
        write_hex(file, text.data, text.len);
        if (wf_json_read(text.data, text.len, NULL, &json, NULL) == 0) {
            const char *made;
            size_t len;
            wf_json_writer_clear(w);
            write_as_python(w, wf_json_root(json));
            assert_int_equal(wf_json_writer_text(w, &made, &len), 0);
            fputc(' ', file);
            write_hex(file, made, len);
            fputc('\n', file);
            wf_json_destroy(json);
        } else {
            fputs(" -\n", file);
        }
    }
    wf_json_writer_destroy(w);
    wfi_buffer_reset(&text);
    assert_int_equal(fclose(file), 0);
    char command[128];
    snprintf(command, sizeof command, "python3 %s %s", script, data);
    const int status = system(command);
    unlink(data);
    unlink(script);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_lines_of_every_kind_of_value),
        cmocka_unit_test(strings_are_escaped_and_mended),
        cmocka_unit_test(doubles_are_short_and_exact),
        cmocka_unit_test(any_double_comes_back),
        cmocka_unit_test(the_locale_does_not_matter),
        cmocka_unit_test(reads_a_tree),
        cmocka_unit_test(wrong_texts_name_what_and_where),
        cmocka_unit_test(depth_is_limited_and_costs_no_stack),
        cmocka_unit_test(failing_memory_is_told_and_leaks_nothing),
        cmocka_unit_test(large_arrays_are_read_as_small_ones),
        cmocka_unit_test(agrees_with_python),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
