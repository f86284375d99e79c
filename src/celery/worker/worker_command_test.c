/* SPDX-License-Identifier: MIT */
/* A worker's command line: what is understood, what is wrong, what is shown. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <weft/celery_app.h>

#include "base/alloc.h"
#include "celery/worker/worker_command.h"

#define WORDS_MAX 24

/* Splits at spaces; "_" stands for a space, "''" for nothing. */
static int parse(const char *line, struct wfi_worker_command *ret, struct wf_error *reterr)
{
    static char text[512];
    char *argv[WORDS_MAX] = {(char *)"worker"}, *rest = NULL;
    int argc = 1;
    snprintf(text, sizeof text, "%s", line);
    for (char *at = strtok_r(text, " ", &rest); at; at = strtok_r(NULL, " ", &rest)) {
        assert_true(argc < WORDS_MAX);
        argv[argc++] = strcmp(at, "''") == 0 ? (char *)"" : at;
    }
    return wfi_worker_command_parse(argc, argv, ret, reterr);
}

static void options_in_every_form(void **state)
{
    static const char longest[] =
        "worker --app=one,two -I three --loglevel=INFO --concurrency 3 --pool=processes --queues=a "
        "--queues b --hostname w1@%h --events --optimization=FAIR";
    const char *const lines[] = {
        "-A one,two --app three -l info -c 3 -P prefork -Q a,b -n w1@%h -E -O fair",
        longest,
        "-Aone -Atwo,,three -linfo -c3 -PProcesses -Qa,b, -nw1@%h -EC -Ofair worker",
    };
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct wfi_worker_command command;
        struct wf_error error = {0};
        assert_int_equal(parse(lines[i], &command, &error), 0);
        assert_int_equal(command.modules.count, 3);
        assert_string_equal(command.modules.items[0], "one");
        assert_string_equal(command.modules.items[2], "three");
        assert_int_equal(command.queues.count, 2);
        assert_string_equal(command.queues.items[1], "b");
        assert_int_equal(command.level, WFI_LOG_INFO);
        assert_int_equal(command.concurrency, 3);
        assert_true(command.has_pool && command.pool == WFI_POOL_PROCESSES);
        assert_string_equal(command.name, "w1@%h");
        assert_true(command.events && command.fair && !command.quiet && !command.acks_late);
        assert_int_equal(command.prefetch, -1);
        assert_int_equal(command.result_expires_s, -1);
        wfi_worker_command_fini(&command);
    }
}

static void numbers_and_seconds(void **state)
{
    struct wfi_worker_command command;
    (void)state;
    assert_int_equal(parse("--prefetch-multiplier 0 --result-expires=0 --time-limit 1.5 "
                           "--soft-time-limit=1 --max-tasks-per-child 7 --max-memory-per-child 64 "
                           "--visibility-timeout 2e3 --pool solo",
                           &command, NULL),
                     0);
    assert_int_equal(command.prefetch, 0);
    assert_int_equal(command.result_expires_s, 0);
    assert_true(command.time_limit_s == 1.5 && command.soft_time_limit_s == 1);
    assert_int_equal(command.tasks_max, 7);
    assert_int_equal(command.memory_max_kib, 64);
    assert_true(command.visibility_s == 2000);
    assert_int_equal(command.pool, WFI_POOL_SOLO);
    wfi_worker_command_fini(&command);
}

static void what_is_wrong_is_told(void **state)
{
    static const struct {
        const char *line;
        int code;
        const char *text;
    } rows[] = {
        {"--concurency 3", -EINVAL, "unknown option --concurency"},
        {"-z", -EINVAL, "unknown option -z"},
        {"-", -EINVAL, "unexpected argument \"-\""},
        {"--", -EINVAL, "unknown option --"},
        {"more", -EINVAL, "unexpected argument \"more\""},
        {"-c", -EINVAL, "-c wants a value: N"},
        {"-c 0", -EINVAL, "-c wants a whole number from 1, not \"0\""},
        {"-c 1e3", -EINVAL, "-c wants a whole number from 1, not \"1e3\""},
        {"-c -1", -EINVAL, "-c wants a whole number from 1, not \"-1\""},
        {"-c 10000000000", -EINVAL, "-c wants a whole number from 1, not \"10000000000\""},
        {"--time-limit 0", -EINVAL, "--time-limit wants seconds above 0, not \"0\""},
        {"--time-limit nan", -EINVAL, "--time-limit wants seconds above 0, not \"nan\""},
        {"--time-limit 5s", -EINVAL, "--time-limit wants seconds above 0, not \"5s\""},
        {"-l loud", -EINVAL,
         "-l wants one of WARNING, DEBUG, INFO, ERROR, CRITICAL, FATAL, not \"loud\""},
        {"--app ,", -EINVAL, "--app wants a name"},
        {"-A ''", -EINVAL, "-A wants a name"},
        {"-b ''", -EINVAL, "-b wants a value: URL"},
        {"--quiet=yes", -EINVAL, "--quiet takes no value"},
        {"-qD", -ENOTSUP,
         "-D is not for this worker: let a service manager start it, or setsid --fork"},
        {"--autoscale 3,1", -ENOTSUP,
         "--autoscale is not for this worker: -c says how many tasks run at a time"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct wfi_worker_command command;
        struct wf_error error = {0};
        assert_int_equal(parse(rows[i].line, &command, &error), rows[i].code);
        assert_string_equal(error.text, rows[i].text);
        wfi_worker_command_fini(&command);
    }
}

static void every_option_is_listed_once(void **state)
{
    size_t count = 0;
    (void)state;
    for (struct wf_celery_worker_option a; (a = wf_celery_worker_option_at(count)).name; count++) {
        assert_non_null(a.help);
        for (size_t i = 0; i < count; i++) {
            const struct wf_celery_worker_option b = wf_celery_worker_option_at(i);
            assert_string_not_equal(a.name, b.name);
            assert_true(!a.letter || a.letter != b.letter);
        }
    }
    assert_in_range(count, 20, 60);
    assert_null(wf_celery_worker_option_at(count + 1).name);
}

static void no_memory_is_an_error(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct wfi_worker_command command;
        wfi_alloc_watch(n);
        int err = parse("-A one,two -Q a", &command, NULL);
        wfi_worker_command_fini(&command);
        const bool reached = wfi_alloc_unwatch();
        assert_int_equal(wfi_alloc_live(), 0);
        assert_int_equal(err, reached ? -ENOMEM : 0);
        if (!reached)
            break;
        assert_true(n < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_in_every_form), cmocka_unit_test(numbers_and_seconds),
        cmocka_unit_test(what_is_wrong_is_told), cmocka_unit_test(every_option_is_listed_once),
        cmocka_unit_test(no_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
