/* SPDX-License-Identifier: MIT */
/* The processes engine: tasks there and back, deaths, cancelling, limits. Groups PRP, DLK, EXE,
 * SHD. */
#include "engines.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include <weft/processes.h>

#include "base/alloc.h"

static struct wf_executor *pool_of(struct wf_processes_options options)
{
    struct wf_executor *on = NULL;
    struct wf_error error = {0};
    if (wf_processes_create(&options, &on, &error))
        fail_msg("%s", error.text);
    return on;
}

WF_TASK(int64_t, square, (int64_t, n))
WF_TASK(int, process_id, (int, unused))
WF_TASK(int, die, (int, signo), (int, status))

int square(struct wf_task *self, int64_t n, int64_t *ret)
{
    if (n < 0)
        return wf_task_fail(self, -EDOM, "no root: %d", (int)n);
    *ret = n * n;
    return 0;
}
WF_TASK_DEFINE(square)

int process_id(struct wf_task *self, int unused, int *ret)
{
    (void)self;
    (void)unused;
    *ret = getpid();
    return 0;
}
WF_TASK_DEFINE(process_id)

int die(struct wf_task *self, int signo, int status, int *ret)
{
    (void)self;
    *ret = 0;
    fprintf(stderr, "the last words\n");
    if (signo)
        raise(signo);
    else
        exit(status);
    return 0;
}
WF_TASK_DEFINE(die)

static void tasks_run_in_other_processes(void **state)
{
    (void)state;
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 2});
    square_future f[100];
    for (int i = 0; i < 100; i++)
        f[i] = square_submit(on, i);
    for (int i = 0; i < 100; i++) {
        int64_t value = -1;
        struct wf_error error = {0};
        int err = square_result(&f[i], &value, party_soon(), &error);
        if (err)
            fail_msg("%d: %s", i, error.text);
        assert_int_equal(value, i * i);
    }
    process_id_future p = process_id_submit(on, 0);
    int pid = 0;
    assert_int_equal(process_id_result(&p, &pid, party_soon(), NULL), 0);
    assert_true(pid > 0 && pid != getpid());
    struct wf_error error = {0};
    square_future bad = square_submit(on, -3);
    assert_int_equal(square_result(&bad, NULL, party_soon(), &error), -EDOM);
    assert_string_equal(error.text, "no root: -3");
    assert_string_equal(error.task, "square");
    assert_true(error.pid > 0 && error.pid != getpid());
    wf_executor_destroy(on);
}

/* PRP-01 */
static void a_death_costs_one_task(void **state)
{
    (void)state;
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 1});
    process_id_future p = process_id_submit(on, 0);
    int pid = 0, second = 0;
    assert_int_equal(process_id_result(&p, &pid, party_soon(), NULL), 0);
    die_future d = die_submit(on, SIGKILL, 0);
    p = process_id_submit(on, 0);
    struct wf_error error = {0};
    assert_int_equal(die_result(&d, NULL, party_soon(), &error), WF_EWORKERDIED);
    assert_int_equal(error.pid, pid);
    assert_int_equal(error.signal, SIGKILL);
    assert_string_equal(error.task, "die");
    assert_non_null(strstr(error.text, "was ended by signal 9 (SIGKILL); its last words: the last "
                                       "words"));
    assert_int_equal(process_id_result(&p, &second, party_soon(), NULL), 0);
    assert_true(second != pid);
    d = die_submit(on, 0, 99);
    assert_int_equal(die_result(&d, NULL, party_soon(), &error), WF_EWORKERDIED);
    assert_int_equal(error.exit_status, 99);
    assert_int_equal(error.pid, second);
    wf_executor_destroy(on);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_run_in_other_processes),
        cmocka_unit_test(a_death_costs_one_task),
    };
    struct wf_error error;
    if (wf_processes_init(&error)) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
