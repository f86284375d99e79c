/* SPDX-License-Identifier: MIT */
/* Targets and authorities: each byte in each place, and the two forms. */
#include "http/target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct wfi_text text_of(const char *text)
{
    return (struct wfi_text){text, strlen(text)};
}

static bool is_one_of(int c, const char *others)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != 0 && strchr(others, c));
}

static void each_byte_stands_where_it_may(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        struct wfi_target target;
        const char path[] = {'/', (char)c}, host[] = {'a', (char)c, 'b'},
                   address[] = {'[', 'a', (char)c, ']'};
        assert_int_equal(wfi_is_token_char((char)c), is_one_of(c, "!#$%&'*+-.^_`|~"));
        assert_int_equal(wfi_target_split((struct wfi_text){path, 2}, false, &target) == NULL,
                         c > ' ' && c < 0x7f && c != '#');
        assert_int_equal(wfi_authority_is_valid((struct wfi_text){host, 3}),
                         is_one_of(c, "-._~%!$&'()*+,;="));
        assert_int_equal(wfi_authority_is_valid((struct wfi_text){address, 4}), is_one_of(c, ":."));
    }
}

static void authorities_are_compared_as_the_scheme_has_it(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool http, https;
    } pairs[] = {
        {"h", "h", true, true},         {"h", "H", true, true},
        {"h", "h:80", true, false},     {"h", "h:443", false, true},
        {"h:", "h", true, true},        {"h:0080", "h:80", true, true},
        {"h:81", "h:81", true, true},   {"h:81", "h:82", false, false},
        {"h", "i", false, false},       {"h", "hh", false, false},
        {"[::A]", "[::a]", true, true}, {"[::a]:80", "[::a]", true, false},
        {"u@h", "u@h", false, false},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_int_equal(wfi_authority_same(text_of(pairs[i].a), text_of(pairs[i].b), false),
                         pairs[i].http);
        assert_int_equal(wfi_authority_same(text_of(pairs[i].b), text_of(pairs[i].a), true),
                         pairs[i].https);
    }
}

static void targets_have_two_forms_and_a_star(void **state)
{
    (void)state;
    struct wfi_target target;
    assert_null(wfi_target_split(text_of("/a/b?c?d"), false, &target));
    assert_true(wfi_text_is(target.path, "/a/b") && wfi_text_is(target.query, "c?d"));
    assert_null(target.authority.ptr);
    assert_null(wfi_target_split(text_of("https://h:1?q"), false, &target));
    assert_true(wfi_text_is(target.path, "/") && wfi_text_is(target.query, "q") && target.https);
    assert_true(wfi_text_is(target.authority, "h:1"));
    assert_null(wfi_target_split(text_of("//h/a"), false, &target)); /* a path, not a host */
    assert_true(wfi_text_is(target.path, "//h/a"));
    assert_null(target.query.ptr);
    assert_null(wfi_target_split(text_of("*"), true, &target));
    assert_true(wfi_text_is(target.path, "*"));
    static const char *const wrong[] = {
        "",        "*",        "a",       "http:/h/",       "http:",
        "http://", "http://?", "ws://h/", "http://h:port/", "http://[::1/",
        "?a"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_non_null(wfi_target_split(text_of(wrong[i]), false, &target));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_byte_stands_where_it_may),
        cmocka_unit_test(authorities_are_compared_as_the_scheme_has_it),
        cmocka_unit_test(targets_have_two_forms_and_a_star),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
