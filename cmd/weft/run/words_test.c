/* SPDX-License-Identifier: MIT */
/* Words: what is put in comes out, and a shell reads quoted words back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "run/words.h"

static void words_come_out_as_they_were_put(void **state)
{
    (void)state;
    struct words w = {0};
    for (int round = 0; round < 3; round++) {
        words_clear(&w);
        words_add(&w, "one", 3);
        words_add(&w, "", 0);
        words_put(&w, "th", 2);
        words_printf(&w, "r%dee", 4);
        words_end(&w);
        for (int i = 0; i < 1000; i++)
            words_add(&w, "more", 4);
        char **argv = words_argv(&w);
        assert_non_null(argv);
        assert_int_equal(w.count, 1003);
        assert_string_equal(argv[0], "one");
        assert_string_equal(argv[1], "");
        assert_string_equal(argv[2], "thr4ee");
        assert_string_equal(argv[1002], "more");
        assert_null(argv[1003]);
    }
    words_fini(&w);
}

static void no_words_are_an_empty_list(void **state)
{
    (void)state;
    struct words w = {0};
    char **argv = words_argv(&w);
    assert_non_null(argv);
    assert_null(argv[0]);
    words_fini(&w);
}

/* As GNU parallel quotes them, so that logs can be compared. */
static void words_are_quoted_for_a_shell(void **state)
{
    (void)state;
    static const struct {
        const char *word, *quoted;
    } cases[] = {
        {"a-b_c.d/E+9", "a-b_c.d/E+9"},
        {"", "''"},
        {"a b", "'a b'"},
        {"$x", "'$x'"},
        {"it's", "'it'\"'\"'s'"},
        {"'", "\"'\""},
        {"a'", "'a'\"'\""},
        {"''b", "\"'\"''\"'\"'b'"},
        {"''", "\"'\"''\"'\""},
        {"\xc3\xa9", "'\xc3\xa9'"},
        {"a\nb", "'a\nb'"},
        {"~", "'~'"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct words w = {0};
        words_quote(&w, cases[i].word, strlen(cases[i].word));
        words_end(&w);
        assert_string_equal(words_argv(&w)[0], cases[i].quoted);
        words_fini(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_come_out_as_they_were_put),
        cmocka_unit_test(no_words_are_an_empty_list),
        cmocka_unit_test(words_are_quoted_for_a_shell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
