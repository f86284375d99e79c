/* SPDX-License-Identifier: MIT */
/* The command line: what is understood, and what is refused with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "options.h"

struct values {
    bool quiet, verbose;
    const char *out;
    int64_t pages;
    int engine;
    struct option_list select;
};

static const char *const engines[] = {"single", "threads", "-secret", "fibers", NULL};

static const struct option_spec specs[] = {
    {.name = "quiet",
     .letter = 'q',
     .type = OPTION_FLAG,
     .field = offsetof(struct values, quiet),
     .help = "say less"},
    {.name = "verbose",
     .letter = 'v',
     .type = OPTION_FLAG,
     .field = offsetof(struct values, verbose),
     .help = "say more"},
    {.name = "out",
     .letter = 'o',
     .type = OPTION_TEXT,
     .field = offsetof(struct values, out),
     .argument = "FILE",
     .help = "write to FILE,\nor to standard output"},
    {.name = "pages",
     .type = OPTION_NUMBER,
     .field = offsetof(struct values, pages),
     .argument = "N",
     .help = "how many",
     .min = 1,
     .max = 100},
    {.name = "engine",
     .type = OPTION_CHOICE,
     .field = offsetof(struct values, engine),
     .argument = "NAME",
     .help = "what runs it",
     .choices = engines},
    {.name = "select",
     .type = OPTION_LIST,
     .field = offsetof(struct values, select),
     .argument = "CSS",
     .help = "what to take"},
    {0},
};

static const struct command command = {
    .name = "try",
    .summary = "Tries things",
    .operands = "URL...",
    .operands_min = 1,
    .operands_max = 3,
    .options = specs,
    .notes = "The end.\n",
};

/* Runs options_parse on the arguments after the name, with what it printed in `said`. */
static char said[4096];

static int parse(struct values *values, int *operands, char **argv)
{
    int argc = 0, ret;
    FILE *file = tmpfile();
    assert_non_null(file);
    while (argv[argc])
        argc++;
    fflush(stderr);
    fflush(stdout);
    int kept_err = dup(2), kept_out = dup(1);
    dup2(fileno(file), 2);
    dup2(fileno(file), 1);
    *values = (struct values){.pages = 50};
    ret = options_parse(&command, argc, argv, values, operands);
    fflush(stderr);
    fflush(stdout);
    dup2(kept_err, 2);
    dup2(kept_out, 1);
    close(kept_err);
    close(kept_out);
    rewind(file);
    said[fread(said, 1, sizeof(said) - 1, file)] = 0;
    fclose(file);
    return ret;
}

#define PARSE(...) parse(&values, &operands, (char *[]){"try", __VA_ARGS__, NULL})

static void options_and_operands_mix(void **state)
{
    (void)state;
    struct values values;
    int operands = 0;
    char *argv[] = {"try",      "a",      "-qv", "--pages=7", "b", "-oX",
                    "--engine", "fibers", "--",  "-q",        NULL};
    assert_int_equal(parse(&values, &operands, argv), -1);
    assert_int_equal(operands, 3);
    assert_string_equal(argv[1], "a");
    assert_string_equal(argv[2], "b");
    assert_string_equal(argv[3], "-q");
    assert_true(values.quiet && values.verbose);
    assert_int_equal(values.pages, 7);
    assert_int_equal(values.engine, 3);
    assert_string_equal(values.out, "X");
    assert_string_equal(said, "");
}

static void the_first_operand_may_end_the_options(void **state)
{
    (void)state;
    struct values values = {0};
    int operands = 0;
    struct command runner = command;
    runner.operands_end_options = true;
    runner.operands_max = -1;
    char *argv[] = {"try", "-q", "a", "-v", "--", "--nonsense", NULL};
    assert_int_equal(options_parse(&runner, 6, argv, &values, &operands), -1);
    assert_int_equal(operands, 4);
    assert_string_equal(argv[1], "a");
    assert_string_equal(argv[2], "-v");
    assert_string_equal(argv[3], "--");
    assert_string_equal(argv[4], "--nonsense");
    assert_true(values.quiet && !values.verbose);
}

static void defaults_stay_and_lists_grow(void **state)
{
    (void)state;
    struct values values;
    int operands = 0;
    assert_int_equal(PARSE("u", "--select", "a", "--select=b", "-o", "-"), -1);
    assert_int_equal(values.pages, 50);
    assert_int_equal(values.select.count, 2);
    assert_string_equal(values.select.items[1], "b");
    assert_string_equal(values.out, "-");
    options_list_free(&values.select);
    assert_int_equal(values.select.count, 0);
}

static void hidden_choices_are_understood(void **state)
{
    (void)state;
    struct values values;
    int operands = 0;
    assert_int_equal(PARSE("u", "--engine=secret"), -1);
    assert_int_equal(values.engine, 2);
    assert_int_equal(PARSE("--help"), EXIT_DONE);
    assert_null(strstr(said, "secret"));
}

static void wrong_use_says_why_in_one_line(void **state)
{
    (void)state;
    struct values values;
    int operands = 0;
    static const struct {
        const char *arguments[4], *words;
    } wrong[] = {
        {{NULL}, "weft try: missing URL...; see weft try --help\n"},
        {{"1", "2", "3"}, NULL},
        {{"u", "--pags", "3"}, "unknown option --pags (did you mean --pages?)"},
        {{"u", "--zebra"}, "unknown option --zebra;"},
        {{"u", "-z"}, "unknown option -z"},
        {{"u", "--pages"}, "--pages wants a value: N"},
        {{"u", "--pages", "0"}, "--pages wants a number from 1 to 100, not \"0\""},
        {{"u", "--pages", "101"}, "from 1 to 100"},
        {{"u", "--pages", "7x"}, "not \"7x\""},
        {{"u", "--pages", ""}, "not \"\""},
        {{"u", "--pages", "99999999999999999999"}, "from 1 to 100"},
        {{"u", "--pages", " 5"}, "not \" 5\""},
        {{"u", "--quiet=1"}, "--quiet takes no value"},
        {{"u", "-o"}, "-o wants a value: FILE"},
        {{"u", "--engine", "warp"}, "one of single, threads, fibers, not \"warp\""},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char *argv[6] = {"try"};
        for (size_t n = 0; n < 4; n++)
            argv[n + 1] = (char *)(uintptr_t)wrong[i].arguments[n];
        int status = parse(&values, &operands, argv);
        if (!wrong[i].words) {
            assert_int_equal(status, -1);
            continue;
        }
        assert_int_equal(status, EXIT_USAGE);
        assert_non_null(strstr(said, wrong[i].words));
        assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
    }
    assert_int_equal(PARSE("1", "2", "3", "4"), EXIT_USAGE);
    assert_non_null(strstr(said, "unexpected argument \"4\""));
}

static void help_is_printed_from_the_table(void **state)
{
    (void)state;
    struct values values;
    int operands = 0;
    assert_int_equal(PARSE("-h"), EXIT_DONE);
    assert_string_equal(said, "usage: weft try [options] URL...\n"
                              "Tries things.\n"
                              "\n"
                              "  -q, --quiet             say less\n"
                              "  -v, --verbose           say more\n"
                              "  -o, --out FILE          write to FILE,\n"
                              "                          or to standard output\n"
                              "      --pages N           how many\n"
                              "      --engine NAME       what runs it: single, threads, fibers\n"
                              "      --select CSS        what to take\n"
                              "  -h, --help              print this and exit\n"
                              "\n"
                              "The end.\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_operands_mix),
        cmocka_unit_test(the_first_operand_may_end_the_options),
        cmocka_unit_test(defaults_stay_and_lists_grow),
        cmocka_unit_test(hidden_choices_are_understood),
        cmocka_unit_test(wrong_use_says_why_in_one_line),
        cmocka_unit_test(help_is_printed_from_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
