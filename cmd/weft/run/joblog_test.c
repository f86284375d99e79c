/* SPDX-License-Identifier: MIT */
/* The log of jobs: parallel's columns, and what a log says when it is read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "run/joblog.h"

static void a_line_has_the_columns_of_parallel(void **state)
{
    (void)state;
    struct words line = {0};
    struct joblog_entry entry = {.number = 7,
                                 .start_s = 1795244670.4914,
                                 .run_s = 0.0021,
                                 .bytes = 5,
                                 .exit_status = 3,
                                 .command = "echo 'a\nb'"};
    joblog_put(&entry, &line);
    static const char wanted[] = "7\t:\t1795244670.491\t     0.002\t0\t5\t3\t0\techo 'a\0b'\n";
    assert_int_equal(line.len, sizeof(wanted) - 1);
    assert_memory_equal(line.bytes, wanted, line.len);
    words_fini(&line);
}

static void lines_say_what_is_done(void **state)
{
    (void)state;
    struct joblog_done done = {0};
    assert_int_equal(joblog_read_line(&done, "3\t:\t1.0\t 0.1\t0\t0\t0\t0\tx", false), 0);
    assert_int_equal(joblog_read_line(&done, "3\t:\t1.0\t 0.1\t0\t0\t0\t0\tx", false), 0);
    assert_int_equal(joblog_read_line(&done, "100000\t:\t1.0\t 0.1\t0\t0\t1\t0\tx", false), 0);
    assert_true(joblog_has(&done, 3));
    assert_true(joblog_has(&done, 100000));
    assert_false(joblog_has(&done, 4));
    assert_false(joblog_has(&done, 1000000000));
    assert_int_equal(done.count, 2);
    /* Failed by status, by signal, by neither. */
    assert_int_equal(joblog_read_line(&done, "5\t:\t1.0\t 0.1\t0\t0\t1\t0\tx", true), 0);
    assert_int_equal(joblog_read_line(&done, "6\t:\t1.0\t 0.1\t0\t0\t0\t9\tx", true), 0);
    assert_int_equal(joblog_read_line(&done, "7\t:\t1.0\t 0.1\t0\t0\t0\t0\tx", true), 0);
    assert_false(joblog_has(&done, 5));
    assert_false(joblog_has(&done, 6));
    assert_true(joblog_has(&done, 7));
    joblog_done_fini(&done);
}

static void other_lines_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "x",
                                      "0\t:\t1\t1\t0\t0\t0\t0\tx",
                                      "1 \t:\t1\t1\t0\t0\t0\t0\tx",
                                      "1\t:\t1.0\t1\t0",
                                      "-1\t:\t1\t1\t0\t0\t0\t0\tx",
                                      "99999999999999\t:\t1\t1\t0\t0\t0\t0\tx"};
    struct joblog_done done = {0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(joblog_read_line(&done, bad[i], false), WF_EPARSE);
    assert_int_equal(done.count, 0);
    joblog_done_fini(&done);
}

static char path[64];

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void expect_file(const char *wanted)
{
    char got[1024];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    got[fread(got, 1, sizeof(got) - 1, file)] = 0;
    fclose(file);
    assert_string_equal(got, wanted);
}

#define HEAD "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"
#define LINE "2\t:\t1.0\t 0.1\t0\t0\t0\t0\techo\n"

static void a_torn_line_is_cut_off(void **state)
{
    (void)state;
    struct joblog_done done = {0};
    write_file(HEAD LINE "3\t:\t1.0\t 0.1\t0\t0\t0\t0\tec");
    int fd = joblog_open(path, true, false, &done, NULL);
    assert_true(fd >= 0);
    assert_true(joblog_has(&done, 2));
    assert_false(joblog_has(&done, 3));
    assert_int_equal(write(fd, "x\n", 2), 2);
    close(fd);
    joblog_done_fini(&done);
    expect_file(HEAD LINE "x\n");
}

static void a_new_log_has_a_heading(void **state)
{
    (void)state;
    struct joblog_done done = {0};
    write_file(HEAD LINE);
    int fd = joblog_open(path, false, false, &done, NULL);
    assert_true(fd >= 0);
    close(fd);
    expect_file(HEAD);
    unlink(path);
    fd = joblog_open(path, true, false, &done, NULL);
    assert_true(fd >= 0);
    close(fd);
    expect_file(HEAD);
    /* A heading that was torn is made whole. */
    write_file("Seq\tHo");
    fd = joblog_open(path, true, false, &done, NULL);
    assert_true(fd >= 0);
    close(fd);
    expect_file(HEAD);
}

static void another_file_is_left_as_it_is(void **state)
{
    (void)state;
    static const char *const others[] = {"some text\nmore\n", "no newline", HEAD "not a job\n"};
    for (size_t i = 0; i < 3; i++) {
        struct joblog_done done = {0};
        struct wf_error error = {0};
        write_file(others[i]);
        assert_int_equal(joblog_open(path, true, false, &done, &error), WF_EPARSE);
        assert_non_null(strstr(error.text, "is not of a log of jobs"));
        expect_file(others[i]);
        joblog_done_fini(&done);
    }
}

int main(void)
{
    snprintf(path, sizeof(path), "/tmp/weft-joblog-%d", (int)getpid());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_the_columns_of_parallel),
        cmocka_unit_test(lines_say_what_is_done),
        cmocka_unit_test(other_lines_are_refused),
        cmocka_unit_test(a_torn_line_is_cut_off),
        cmocka_unit_test(a_new_log_has_a_heading),
        cmocka_unit_test(another_file_is_left_as_it_is),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
