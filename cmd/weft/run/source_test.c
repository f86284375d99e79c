/* SPDX-License-Identifier: MIT */
/* Where arguments come from: combinations of lists, and lines as they arrive. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "run/source.h"

#define WORDS(...) ((char *[]){__VA_ARGS__, NULL})

/* The next record's arguments between bars; "END", "MORE". */
static const char *take(struct source *source, size_t count)
{
    static char got[1024];
    struct words words = {0};
    struct wf_error error = {0};
    int what = source_take(source, count, &words, &error);
    got[0] = 0;
    if (what == SOURCE_END || what == SOURCE_MORE)
        strcpy(got, what == SOURCE_END ? "END" : "MORE");
    else if (what < 0)
        strcpy(got, error.text);
    for (size_t i = 0; what == SOURCE_RECORD && i < words.count; i++) {
        if (i)
            strcat(got, "|");
        strcat(got, words_argv(&words)[i]);
    }
    words_fini(&words);
    return got;
}

static void a_list_is_taken_in_order(void **state)
{
    (void)state;
    struct source source;
    assert_int_equal(source_open_lists(&source, WORDS(":::", "a", "b", "c"), 4, NULL), 0);
    assert_int_equal(source_args(&source), 1);
    assert_string_equal(take(&source, 2), "a|b");
    assert_string_equal(take(&source, 2), "c");
    assert_string_equal(take(&source, 2), "END");
    source_fini(&source);
}

static void lists_are_combined(void **state)
{
    (void)state;
    struct source source;
    char *words[] = {":::", "a", "b", ":::", "1", "2", "3"};
    assert_int_equal(source_open_lists(&source, words, 7, NULL), 0);
    assert_int_equal(source_args(&source), 2);
    assert_int_equal(source.total, 6);
    static const char *const wanted[] = {"a|1", "a|2", "a|3", "b|1", "b|2", "b|3", "END"};
    for (size_t i = 0; i < 7; i++)
        assert_string_equal(take(&source, 2), wanted[i]);
    source_fini(&source);
}

static void an_empty_list_leaves_nothing(void **state)
{
    (void)state;
    struct source source;
    assert_int_equal(source_open_lists(&source, WORDS(":::", "a", ":::"), 3, NULL), 0);
    assert_string_equal(take(&source, 2), "END");
    source_fini(&source);
    assert_int_equal(source_open_lists(&source, WORDS(":::"), 1, NULL), 0);
    assert_string_equal(take(&source, 1), "END");
    source_fini(&source);
}

static void marks_without_a_meaning_are_refused(void **state)
{
    (void)state;
    struct source source;
    struct wf_error error = {0};
    assert_int_equal(source_open_lists(&source, WORDS(":::", "a", "::::", "f"), 4, &error),
                     -EINVAL);
    assert_string_equal(error.text, ":::: is not known here; there are ::: and -a FILE");
    source_fini(&source);
}

/* Fed by a pipe, so that what has not been written cannot be read. */
static void lines_are_taken_as_they_arrive(void **state)
{
    (void)state;
    int fds[2];
    struct source source;
    assert_int_equal(pipe(fds), 0);
    source_open_fd(&source, fds[0], '\n');
    assert_string_equal(take(&source, 1), "MORE");
    assert_int_equal(write(fds[1], "one\ntw", 6), 6);
    assert_int_equal(source_fill(&source, -1), 0);
    assert_string_equal(take(&source, 1), "one");
    assert_string_equal(take(&source, 1), "MORE");
    assert_int_equal(write(fds[1], "o\n\nthree\nfour\nlast", 18), 18);
    assert_int_equal(source_fill(&source, -1), 0);
    assert_string_equal(take(&source, 1), "two");
    assert_string_equal(take(&source, 1), "");
    assert_string_equal(take(&source, 2), "three|four");
    assert_string_equal(take(&source, 1), "MORE");
    close(fds[1]);
    assert_int_equal(source_fill(&source, -1), 0);
    assert_string_equal(take(&source, 2), "last");
    assert_string_equal(take(&source, 2), "END");
    source_fini(&source);
    close(fds[0]);
}

static void nothing_is_waited_for_when_told_to_stop(void **state)
{
    (void)state;
    int fds[2], stop[2];
    struct source source;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(pipe(stop), 0);
    assert_int_equal(write(stop[1], "", 1), 1);
    source_open_fd(&source, fds[0], '\n');
    assert_int_equal(source_fill(&source, stop[0]), -ECANCELED);
    source_fini(&source);
    for (int i = 0; i < 2; i++) {
        close(fds[i]);
        close(stop[i]);
    }
}

/* Each byte's arrival by itself, any count of arguments: the same arguments. */
static void blocks_may_end_anywhere(void **state)
{
    (void)state;
    static const char text[] = "a\nbb\n\nccc\ndd d\ne";
    for (size_t cut = 0; cut < sizeof(text); cut++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        struct source source;
        source_open_fd(&source, fds[0], '\n');
        char got[256] = "";
        const char *record;
        size_t at = 0;
        while (strcmp(record = take(&source, 2), "END") != 0) {
            if (strcmp(record, "MORE") == 0) {
                size_t len = at < cut ? cut - at : sizeof(text) - 1 - at;
                if (at == sizeof(text) - 1)
                    close(fds[1]);
                else
                    assert_int_equal(write(fds[1], text + at, len), len);
                at += len;
                assert_int_equal(source_fill(&source, -1), 0);
                continue;
            }
            strcat(got, record);
            strcat(got, ";");
        }
        assert_string_equal(got, "a|bb;|ccc;dd d|e;");
        source_fini(&source);
        close(fds[0]);
    }
}

static void what_no_program_can_be_given_is_refused(void **state)
{
    (void)state;
    int fds[2];
    struct source source;
    assert_int_equal(pipe(fds), 0);
    source_open_fd(&source, fds[0], '\n');
    assert_int_equal(write(fds[1], "a\0b\n", 4), 4);
    assert_int_equal(source_fill(&source, -1), 0);
    assert_string_equal(take(&source, 1),
                        "argument 1 has a NUL in it; see -0 for lists made with NULs");
    source_fini(&source);
    /* An endless line is not read to its end. */
    source_open_fd(&source, fds[0], '\n');
    static char block[65536];
    memset(block, 'x', sizeof(block));
    for (int i = 0; i < 2; i++) {
        assert_string_equal(take(&source, 1), "MORE");
        assert_int_equal(write(fds[1], block, sizeof(block)), sizeof(block));
        assert_int_equal(source_fill(&source, -1), 0);
    }
    assert_string_equal(take(&source, 1), "argument 1 is longer than 131071 bytes");
    source_fini(&source);
    close(fds[0]);
    close(fds[1]);
}

/* Memory stays flat however long the list is. */
static void a_long_list_is_not_kept(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    for (int i = 0; i < 200000; i++)
        fprintf(file, "argument %d", i), fputc(0, file);
    fflush(file);
    rewind(file);
    struct source source;
    struct words words = {0};
    source_open_fd(&source, fileno(file), 0);
    int count = 0, got;
    while ((got = source_take(&source, 1, &words, NULL)) != SOURCE_END) {
        if (got == SOURCE_MORE) {
            assert_int_equal(source_fill(&source, -1), 0);
            continue;
        }
        char wanted[32];
        snprintf(wanted, sizeof(wanted), "argument %d", count++);
        assert_string_equal(words_argv(&words)[0], wanted);
    }
    assert_int_equal(count, 200000);
    assert_true(source.size <= 4 * 65536);
    words_fini(&words);
    source_fini(&source);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_taken_in_order),
        cmocka_unit_test(lists_are_combined),
        cmocka_unit_test(an_empty_list_leaves_nothing),
        cmocka_unit_test(marks_without_a_meaning_are_refused),
        cmocka_unit_test(lines_are_taken_as_they_arrive),
        cmocka_unit_test(nothing_is_waited_for_when_told_to_stop),
        cmocka_unit_test(blocks_may_end_anywhere),
        cmocka_unit_test(what_no_program_can_be_given_is_refused),
        cmocka_unit_test(a_long_list_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
