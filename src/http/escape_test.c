/* SPDX-License-Identifier: MIT */
/* Escapes undone, paths that lead out refused, parameters found in queries. */
#include "http/escape.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct wfi_text text_of(const char *text)
{
    return (struct wfi_text){text, strlen(text)};
}

static void escapes_are_undone(void **state)
{
    (void)state;
    char out[16];
    assert_int_equal(wfi_unescape(text_of("a%20b%2Fc%c3%A9"), out, sizeof out), 7);
    assert_string_equal(out, "a b/c\xc3\xa9");
    assert_int_equal(wfi_unescape(text_of(""), out, sizeof out), 0);
    assert_string_equal(out, "");
    assert_int_equal(wfi_unescape(text_of("a+b"), out, sizeof out), 3);
    assert_string_equal(out, "a+b");
    assert_int_equal(wfi_unescape(text_of("%2525"), out, sizeof out), 3);
    assert_string_equal(out, "%25"); /* once, not twice */
}

static void what_is_no_escape_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"%",    "%4",   "a%4g", "%g4",   "%00",
                                        "%%41", "% 41", "%+4",  "%u0041"};
    char out[16];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(wfi_unescape(text_of(wrong[i]), out, sizeof out), -EINVAL);
    assert_int_equal(wfi_unescape((struct wfi_text){"a\0b", 3}, out, sizeof out), -EINVAL);
}

static void an_escape_is_not_read_beyond_the_end(void **state)
{
    (void)state;
    char out[16];
    assert_int_equal(wfi_unescape((struct wfi_text){"a%41", 3}, out, sizeof out), -EINVAL);
    assert_int_equal(wfi_unescape((struct wfi_text){"a%41", 2}, out, sizeof out), -EINVAL);
}

static void a_small_buffer_is_not_overrun(void **state)
{
    (void)state;
    char out[4] = "zzz";
    assert_int_equal(wfi_unescape(text_of("abc"), out, 3), -E2BIG);
    assert_int_equal(out[3], '\0');
    assert_int_equal(wfi_unescape(text_of("abc"), out, 4), 3);
    assert_int_equal(wfi_unescape(text_of(""), out, 0), -E2BIG);
    assert_int_equal(wfi_query_value(text_of("a=abc"), "a", out, 3), -E2BIG);
    assert_int_equal(wfi_query_value(text_of("a="), "a", out, 0), -E2BIG);
}

static void paths_that_lead_out_are_not_plain(void **state)
{
    (void)state;
    static const char *const plain[] = {"/",    "/a",    "/a/b/",      "//a",     "/...", "/a..b",
                                        "/..a", "/a/.b", "/%2e%2e%2e", "/a%2f..", "/%20"};
    static const char *const wrong[] = {"",        "a",       "*",       "/.",         "/..",
                                        "/../a",   "/a/..",   "/a/../b", "/a/./b",     "/a/.",
                                        "/%2e%2e", "/.%2E/a", "/%2e/",   "/a/%2e%2e/", "/%",
                                        "/%00",    "/a%0",    "//..",    "/%2E./x"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        assert_true(wfi_path_is_plain(text_of(plain[i])));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(wfi_path_is_plain(text_of(wrong[i])));
}

static void parameters_are_found_in_queries(void **state)
{
    (void)state;
    static const char query[] = "a=1&b=two+words%21&&c&=x&d==&a=2&e%5B%5D=5&f+g=6";
    static const struct {
        const char *name, *value;
    } expected[] = {{"a", "1"}, {"b", "two words!"}, {"c", ""},   {"", "x"},
                    {"d", "="}, {"e[]", "5"},        {"f g", "6"}};
    char out[32];
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_int_equal(wfi_query_value(text_of(query), expected[i].name, out, sizeof out),
                         strlen(expected[i].value));
        assert_string_equal(out, expected[i].value);
    }
    static const char *const absent[] = {"A", "aa", "x", "e", "f"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        assert_int_equal(wfi_query_value(text_of(query), absent[i], out, sizeof out), -ENOENT);
    assert_int_equal(wfi_query_value(text_of("b=%&a=1"), "a", out, sizeof out), -EINVAL);
    assert_int_equal(wfi_query_value(text_of("a=1&b=%"), "a", out, sizeof out), 1);
    assert_int_equal(wfi_query_value((struct wfi_text){NULL, 0}, "a", out, sizeof out), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_are_undone),
        cmocka_unit_test(what_is_no_escape_is_refused),
        cmocka_unit_test(an_escape_is_not_read_beyond_the_end),
        cmocka_unit_test(a_small_buffer_is_not_overrun),
        cmocka_unit_test(paths_that_lead_out_are_not_plain),
        cmocka_unit_test(parameters_are_found_in_queries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
