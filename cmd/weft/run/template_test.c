/* SPDX-License-Identifier: MIT */
/* The template: which command line comes of which marks and arguments. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "run/template.h"

#define WORDS(...) ((char *[]){__VA_ARGS__, NULL})

static size_t count_of(char *const *words)
{
    size_t count = 0;
    while (words[count])
        count++;
    return count;
}

/* Expands, and compares with words between bars: "echo|a|b". */
static void expands(char *const *words, struct template_options options, char *const *args,
                    const char *wanted)
{
    struct template *t;
    struct wf_error error = {0};
    struct words out = {0};
    char got[1024] = "";
    if (!options.args)
        options.args = 1;
    assert_int_equal(template_create(words, count_of(words), &options, &t, &error), 0);
    struct template_job job = {.args = args, .count = count_of(args), .number = 12, .slot = 3};
    template_expand(t, &job, &out);
    char **argv = words_argv(&out);
    assert_non_null(argv);
    for (size_t i = 0; argv[i]; i++) {
        if (i)
            strcat(got, "|");
        strcat(got, argv[i]);
    }
    assert_string_equal(got, wanted);
    words_fini(&out);
    template_destroy(t);
}

#define PLAIN ((struct template_options){0})

static void arguments_go_behind_a_command_without_marks(void **state)
{
    (void)state;
    expands(WORDS("echo"), PLAIN, WORDS("a b"), "echo|a b");
    expands(WORDS("echo", "x"), (struct template_options){.args = 3}, WORDS("a", "b", "c"),
            "echo|x|a|b|c");
}

static void a_word_stays_one_word(void **state)
{
    (void)state;
    expands(WORDS("echo", "-{}-"), PLAIN, WORDS("a  b; rm $x"), "echo|-a  b; rm $x-");
    expands(WORDS("echo", "{}", "<{}>"), (struct template_options){.args = 2}, WORDS("a", "b c"),
            "echo|a|b c|<a b c>");
    expands(WORDS("echo", "", "{}"), PLAIN, WORDS(""), "echo||");
}

static void parts_of_paths(void **state)
{
    (void)state;
    static const struct {
        const char *arg, *wanted; /* {.} {/} {//} {/.} as GNU parallel 20221122 gave them */
    } cases[] = {
        {"/x/y/z.tar.gz", "/x/y/z.tar|z.tar.gz|/x/y|z.tar"},
        {"a.b", "a|a.b|.|a"},
        {"/a", "/a|a|/|a"},
        {"./.hidden", "./|.hidden|.|"},
        {"x/.h", "x/|.h|x|"},
        {"dir.d/file", "dir.d/file|file|dir.d|file"},
        {"/", "/||/|"},
        {"", "||.|"},
        {"a/", "a/||.|"},
        {"a.", "a|a.|.|a"},
        {"/a//b", "/a//b|b|/a|b"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char arg[64];
        strcpy(arg, cases[i].arg);
        expands(WORDS("{.}", "{/}", "{//}", "{/.}"), PLAIN, WORDS(arg), cases[i].wanted);
    }
}

static void numbers_name_arguments(void **state)
{
    (void)state;
    struct template_options two = {.args = 2};
    expands(WORDS("cp", "{2}", "{1.}.x"), two, WORDS("a.c", "b"), "cp|b|a.x");
    expands(WORDS("{1/}", "{2//}", "{1/.}"), two, WORDS("p/a.c", "q/b"), "a.c|q|a");
    /* The last job may have fewer. */
    expands(WORDS("cp", "{1}", "{2}", "-{2}"), two, WORDS("a"), "cp|a|-");
}

static void job_number_and_slot(void **state)
{
    (void)state;
    expands(WORDS("echo", "{#}.{%}", "{}"), PLAIN, WORDS("a"), "echo|12.3|a");
    /* They are marks: nothing is appended. */
    expands(WORDS("echo", "{#}"), PLAIN, WORDS("a"), "echo|12");
}

static void other_braces_are_left_alone(void **state)
{
    (void)state;
    expands(WORDS("awk", "{print $1}", "{x}", "{", "}", "{{}}", "{1,2}"), PLAIN, WORDS("f"),
            "awk|{print $1}|{x}|{|}|{f}|{1,2}");
    expands(WORDS("awk", "{print}"), PLAIN, WORDS("f"), "awk|{print}|f");
}

static void another_mark_replaces_all(void **state)
{
    (void)state;
    expands(WORDS("echo", "%x%", "{}", "a{2}"), (struct template_options){.mark = "%"}, WORDS("f"),
            "echo|fxf|{}|a{2}");
    expands(WORDS("echo", "{}"), (struct template_options){.mark = "@@"}, WORDS("f"), "echo|{}|f");
}

static void a_shell_gets_quoted_arguments(void **state)
{
    (void)state;
    struct template_options shell = {.shell = true};
    expands(WORDS("gzip -c {} >{.}.gz"), shell, WORDS("a b.c"),
            "/bin/sh|-c|gzip -c 'a b.c' >'a b'.gz");
    expands(WORDS("echo", "a;", "echo"), shell, WORDS("it's"),
            "/bin/sh|-c|echo a; echo 'it'\"'\"'s'");
    /* Without a command the argument is one. */
    struct template *t;
    struct words out = {0};
    assert_int_equal(template_create(WORDS("x"), 0, &shell, &t, NULL), 0);
    struct template_job job = {.args = WORDS("echo a; echo b"), .count = 1};
    template_expand(t, &job, &out);
    assert_string_equal(words_argv(&out)[2], "echo a; echo b");
    words_fini(&out);
    template_destroy(t);
}

static void marks_out_of_range_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"{2}", "x{3.}y", "{0}", "{99999999999999999999}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct template *t;
        struct wf_error error = {0};
        char word[64];
        strcpy(word, bad[i]);
        struct template_options one = {.args = 1};
        assert_int_equal(template_create(WORDS("echo", word), 2, &one, &t, &error), -EINVAL);
        assert_non_null(strstr(error.text, "a job has 1 argument "));
    }
    struct template *t;
    struct wf_error error = {0};
    assert_int_equal(template_create(WORDS("x"), 0, &PLAIN, &t, &error), -EINVAL);
    assert_string_equal(error.text, "missing COMMAND");
}

static void the_program_is_known_when_no_mark_is_in_it(void **state)
{
    (void)state;
    struct template *t;
    struct template_options one = {.args = 1};
    assert_int_equal(template_create(WORDS("echo", "{}"), 2, &one, &t, NULL), 0);
    assert_string_equal(template_program(t), "echo");
    template_destroy(t);
    assert_int_equal(template_create(WORDS("./{}"), 1, &one, &t, NULL), 0);
    assert_null(template_program(t));
    template_destroy(t);
    assert_int_equal(template_create(WORDS("{}"), 1, &one, &t, NULL), 0);
    assert_null(template_program(t));
    template_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_go_behind_a_command_without_marks),
        cmocka_unit_test(a_word_stays_one_word),
        cmocka_unit_test(parts_of_paths),
        cmocka_unit_test(numbers_name_arguments),
        cmocka_unit_test(job_number_and_slot),
        cmocka_unit_test(other_braces_are_left_alone),
        cmocka_unit_test(another_mark_replaces_all),
        cmocka_unit_test(a_shell_gets_quoted_arguments),
        cmocka_unit_test(marks_out_of_range_are_refused),
        cmocka_unit_test(the_program_is_known_when_no_mark_is_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
