/* SPDX-License-Identifier: MIT */
/* Named processes: conformance line MPR-01, and what threads have of the same kind. */
#include "party.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <weft/event.h>
#include <weft/fibers.h>
#include <weft/future.h>
#include <weft/process.h>
#include <weft/processes.h>
#include <weft/threads.h>
#include <weft/worker.h>

#include "os/context.h"
#include "os/sanitizer.h"

WF_TASK(wf_none, answer, (int, status))
WF_TASK(wf_none, stays)
WF_TASK(bool, checks, (bool, yes), (int64_t, number), (double, half), (const char *, text),
        (wf_bytes, bytes))
WF_TASK(wf_none, opaque, (void *, secret))
WF_TASK(int, uses_weft)
WF_TASK(wf_none, makes_processes)
WF_TASK_AS("elsewhere.add", int, add_elsewhere, (int, a))

/* Ends the process with this status itself, or fails, or does well. */
int answer(struct wf_task *self, int status, wf_none *ret)
{
    (void)ret;
    if (status > 0)
        _exit(status);
    return status ? wf_task_fail(self, status, "answered %d", status) : 0;
}
WF_TASK_DEFINE(answer)

int stays(struct wf_task *self, wf_none *ret)
{
    (void)self;
    (void)ret;
    for (;;)
        pause();
}
WF_TASK_DEFINE(stays)

int checks(struct wf_task *self, bool yes, int64_t number, double half, const char *text,
           wf_bytes bytes, bool *ret)
{
    size_t sum = 0;
    for (size_t i = 0; i < bytes.len; i++)
        sum += ((const unsigned char *)bytes.ptr)[i];
    *ret = true;
    if (!yes || number != INT64_MIN || half != 0.5 || strcmp(text, "text") != 0 ||
        sum != bytes.len * 3)
        return wf_task_fail(self, -EPROTO, "%d %lld %f %s %zu of %zu", yes, (long long)number, half,
                            text, sum, bytes.len);
    return 0;
}
WF_TASK_DEFINE(checks)

int opaque(struct wf_task *self, void *secret, wf_none *ret)
{
    (void)self;
    (void)secret;
    (void)ret;
    return 0;
}
WF_TASK_DEFINE(opaque)

static void blocks(void *arg)
{
    wf_event_set(arg);
}

/* Threads, fibers, the offload pool and waits, all in the child. */
int uses_weft(struct wf_task *self, int *ret)
{
    struct wf_event event = WF_EVENT_INIT;
    struct wf_executor *threads, *fibers;
    struct wf_error error;
    *ret = 0;
    if (wf_threads_create(&(struct wf_threads_options){.workers = 2}, &threads, &error) ||
        wf_fibers_create(&(struct wf_fibers_options){.workers = 2}, &fibers, &error))
        return wf_task_fail_with(self, &error);
    answer_future a = answer_submit(threads, 0), b = answer_submit(fibers, -EIO);
    wf_none none;
    int err = answer_result(&a, &none, party_soon(), &error);
    if (err)
        return wf_task_fail_with(self, &error);
    err = answer_result(&b, &none, party_soon(), &error);
    if (err != -EIO)
        return wf_task_fail(self, WF_ESTATE, "the fiber gave %d", err);
    err = wf_block(blocks, &event);
    if (err || (err = wf_event_wait(&event, party_soon())))
        return wf_task_fail(self, err, "the offload pool gave %d", err);
    err = wf_sleep(wf_after(WF_MILLISECONDS(1)));
    wf_executor_destroy(threads);
    wf_executor_destroy(fibers);
    if (strcmp(wf_process_name(NULL), "user") != 0)
        return wf_task_fail(self, WF_ESTATE, "its name is %s", wf_process_name(NULL));
    return err;
}
WF_TASK_DEFINE(uses_weft)

int makes_processes(struct wf_task *self, wf_none *ret)
{
    struct wf_error error = {0};
    struct wf_process *process;
    (void)ret;
    if (wf_processes_init(&error) != WF_ESTATE || !strstr(error.text, "related process"))
        return wf_task_fail(self, -EPROTO, "init: %s", error.text);
    if (WF_PROCESS(answer, NULL, &process, &error, 0) ||
        wf_process_start(process, &error) != WF_ESTATE || !strstr(error.text, "related process"))
        return wf_task_fail(self, -EPROTO, "start: %s", error.text);
    return wf_process_close(process);
}
WF_TASK_DEFINE(makes_processes)

static void begin(struct wf_process *process)
{
    struct wf_error error;
    int err = wf_process_start(process, &error);
    if (err)
        fprintf(stderr, "%s\n", error.text);
    party_equal(err, 0);
}

static int join(struct wf_process *process)
{
    int code = 12345;
    party_equal(wf_process_join(process, &code, party_soon()), 0);
    return code;
}

static void see(struct wf_process *process, void *arg)
{
    struct wf_process **wanted = arg;
    if (process == *wanted)
        *wanted = NULL;
}

/* MPR-01 */
static void a_named_process_lives_and_is_closed(void **state)
{
    (void)state;
    struct wf_process *p, *wanted, *q;
    struct wf_error error;
    int code;
    assert_int_equal(WF_PROCESS(stays, &(struct wf_process_options){.name = "stayer"}, &p, &error),
                     0);
    assert_string_equal(wf_process_name(p), "stayer");
    assert_string_equal(wf_process_name(NULL), "main");
    assert_int_equal(wf_process_pid(NULL), getpid());
    assert_false(wf_process_alive(p));
    assert_int_equal(wf_process_pid(p), 0);
    assert_int_equal(wf_process_join(p, NULL, WF_NOW), WF_ESTATE);
    assert_int_equal(wf_process_kill(p), WF_ESTATE);
    assert_int_equal(wf_process_exit_code(p, &code), WF_ESTATE);
    assert_int_equal(wf_process_sentinel(p), WF_ESTATE);
    begin(p);
    assert_int_equal(wf_process_start(p, &error), WF_ESTATE);
    assert_non_null(strstr(error.text, "stayer was started before"));
    assert_true(wf_process_alive(p));
    int pid = wf_process_pid(p);
    assert_true(pid > 0 && pid != getpid());
    wanted = p;
    assert_int_equal(wf_process_each(see, &wanted), 1);
    assert_null(wanted);
    assert_int_equal(wf_process_exit_code(p, &code), -EAGAIN);
    assert_int_equal(wf_process_close(p), WF_ESTATE);
    assert_int_equal(wf_process_join(p, &code, wf_after(WF_MILLISECONDS(5))), -ETIMEDOUT);
    struct pollfd sentinel = {.fd = wf_process_sentinel(p), .events = POLLIN};
    assert_int_equal(poll(&sentinel, 1, 0), 0);
    assert_int_equal(wf_process_terminate(p), 0);
    assert_int_equal(poll(&sentinel, 1, 60000), 1);
    assert_int_equal(join(p), -SIGTERM);
    assert_int_equal(join(p), -SIGTERM);
    assert_false(wf_process_alive(p));
    assert_int_equal(wf_process_pid(p), pid);
    assert_int_equal(wf_process_exit_code(p, &code), 0);
    assert_int_equal(code, -SIGTERM);
    assert_int_equal(wf_process_terminate(p), -ESRCH);
    assert_int_equal(wf_process_each(see, &wanted), 0);
    assert_int_equal(wf_process_start(p, NULL), WF_ESTATE);
    assert_int_equal(wf_process_close(p), 0);
    assert_int_equal(wf_process_close(NULL), 0);

    assert_int_equal(WF_PROCESS(answer, NULL, &p, NULL, 0), 0);
    assert_int_equal(WF_PROCESS(answer, NULL, &q, NULL, 0), 0);
    assert_true(strncmp(wf_process_name(p), "Process-", 8) == 0);
    assert_non_null(strstr(wf_process_name(p), " (answer)"));
    assert_string_not_equal(wf_process_name(p), wf_process_name(q));
    assert_int_equal(wf_process_close(p), 0);
    wf_process_destroy(q);
}

static void how_it_ended_is_told(void **state)
{
    (void)state;
    static const struct {
        int status, exit;
    } cases[] = {{0, 0}, {7, 7}, {-EIO, 1}};
    struct wf_error error;
    for (size_t i = 0; i < 3; i++) {
        struct wf_process *p;
        assert_int_equal(WF_PROCESS(answer, NULL, &p, NULL, cases[i].status), 0);
        begin(p);
        assert_int_equal(join(p), cases[i].exit);
        assert_int_equal(wf_process_describe(p, &error), 0);
        assert_int_equal(error.exit_status, cases[i].exit);
        assert_int_equal(error.code, cases[i].exit ? WF_EWORKERDIED : 0);
        if (cases[i].status < 0)
            assert_non_null(strstr(error.text, "it said: weft: process Process-"));
        if (cases[i].status < 0)
            assert_non_null(strstr(error.text, "failed: answered -5"));
        wf_process_destroy(p);
    }
    struct wf_process *p;
    assert_int_equal(WF_PROCESS(stays, NULL, &p, NULL), 0);
    begin(p);
    assert_int_equal(wf_process_describe(p, &error), -EAGAIN);
    assert_int_equal(wf_process_kill(p), 0);
    assert_int_equal(join(p), -SIGKILL);
    assert_int_equal(wf_process_describe(p, &error), 0);
    assert_int_equal(error.signal, SIGKILL);
    assert_int_equal(error.pid, wf_process_pid(p));
    assert_string_equal(error.task, "stays");
    wf_process_destroy(p);
}

static void arguments_travel(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 3000, 1 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *bytes = test_malloc(sizes[i] + 1), text[] = "text";
        struct wf_process *p;
        memset(bytes, 3, sizes[i]);
        wf_bytes sent = {bytes, sizes[i]};
        assert_int_equal(WF_PROCESS(checks, NULL, &p, NULL, true, INT64_MIN, 0.5, text, sent), 0);
        memset(bytes, 9, sizes[i]); /* it has its copy already */
        text[0] = 'n';
        begin(p);
        assert_int_equal(join(p), 0);
        assert_int_equal(wf_process_close(p), 0);
        test_free(bytes);
    }
}

static void what_cannot_travel_is_named(void **state)
{
    (void)state;
    struct wf_process *p = NULL;
    struct wf_error error;
    assert_int_equal(WF_PROCESS(opaque, NULL, &p, &error, NULL), WF_ENOTWIRE);
    assert_non_null(strstr(error.text, "secret"));
    assert_int_equal(WF_PROCESS(add_elsewhere, NULL, &p, &error, 1), -EINVAL);
    assert_non_null(strstr(error.text, "elsewhere.add"));
    assert_null(p);
}

static void a_process_uses_all_of_weft(void **state)
{
    (void)state;
    struct wf_process *p;
    assert_int_equal(WF_PROCESS(uses_weft, &(struct wf_process_options){.name = "user"}, &p, NULL),
                     0);
    begin(p);
    assert_int_equal(join(p), 0);
    wf_process_destroy(p);
}

static void a_process_makes_none_of_its_own(void **state)
{
    (void)state;
    struct wf_process *p;
    assert_int_equal(WF_PROCESS(makes_processes, NULL, &p, NULL), 0);
    begin(p);
    assert_int_equal(join(p), 0);
    wf_process_destroy(p);
}

static void waits_for_several_take_the_first(void **state)
{
    (void)state;
    enum { COUNT = 10 };
    struct wf_process *all[COUNT] = {NULL};
    size_t index = 99;
    assert_int_equal(wf_process_wait_any(all, 0, &index, WF_NOW), -EINVAL);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(WF_PROCESS(stays, NULL, &all[i], NULL), 0);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(wf_process_wait_any(all, (size_t)i + 1, &index, WF_NOW), WF_ESTATE);
        begin(all[i]);
    }
    assert_int_equal(wf_process_wait_any(all, COUNT, &index, WF_NOW), -ETIMEDOUT);
    assert_int_equal(wf_process_wait_any(all, COUNT, &index, wf_after(WF_MILLISECONDS(2))),
                     -ETIMEDOUT);
    wf_process_kill(all[7]);
    assert_int_equal(wf_process_wait_any(all, COUNT, &index, party_soon()), 0);
    assert_int_equal(index, 7);
    wf_process_kill(all[3]);
    assert_int_equal(wf_process_wait_any(all, 7, &index, party_soon()), 0);
    assert_int_equal(index, 3);
    assert_int_equal(wf_process_wait_any(all, COUNT, &index, WF_NOW), 0);
    assert_int_equal(index, 3);
    for (int i = 0; i < COUNT; i++)
        wf_process_destroy(all[i]);
}

/* Party 0 ends the process that the others join; one of them is cancelled, one out of time. */
static void join_together(struct party *self)
{
    struct wf_process *p = self->arg;
    if (self->index == 0) {
        for (int i = 1; i < self->count; i++)
            if (i != 2)
                party_parked(party_at(self, i), "process");
        party_cancel(party_at(self, 1));
        party_ended(party_at(self, 1));
        party_ended(party_at(self, 2));
        party_equal(wf_process_kill(p), 0);
    } else if (self->index == 1) {
        party_equal(wf_process_join(p, NULL, party_soon()), -ECANCELED);
    } else if (self->index == 2) {
        party_equal(wf_process_join(p, NULL, wf_after(WF_MILLISECONDS(3))), -ETIMEDOUT);
    } else {
        party_equal(join(p), -SIGKILL);
    }
}

static void many_join_at_once(void **state)
{
    (void)state;
    for (enum party_mode mode = PARTY_THREADS; mode <= PARTY_MIXED; mode++) {
        struct wf_process *p;
        assert_int_equal(WF_PROCESS(stays, NULL, &p, NULL), 0);
        begin(p);
        party_run(mode, 8, join_together, p);
        assert_int_equal(wf_process_close(p), 0);
    }
}

/* More at once than requests fit on the way to the helper. */
static void start_together(struct party *self)
{
    (void)self;
    struct wf_process *p;
    party_equal(WF_PROCESS(answer, NULL, &p, NULL, 40 + self->index), 0);
    begin(p);
    party_equal(join(p), 40 + self->index);
    party_equal(wf_process_close(p), 0);
}

static void many_start_at_once(void **state)
{
    (void)state;
    for (enum party_mode mode = PARTY_THREADS; mode <= PARTY_MIXED; mode++)
        if (!wfi_under_valgrind() || mode == PARTY_MIXED) /* it takes a second to end a process */
            party_run(mode, 16, start_together, NULL);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    static char bytes[4000];
    uint64_t nth = 0;
    bool reached;
    do {
        struct wf_process *p = NULL;
        wf_bytes sent = {bytes, sizeof bytes};
        memset(bytes, 3, sizeof bytes);
        wfi_alloc_watch(++nth);
        int err = WF_PROCESS(checks, NULL, &p, NULL, true, INT64_MIN, 0.5, "text", sent);
        if (!err)
            err = wf_process_start(p, NULL);
        reached = wfi_alloc_unwatch();
        assert_true(err == 0 || err == -ENOMEM);
        if (!err)
            assert_int_equal(join(p), 0);
        wf_process_destroy(p);
    } while (reached);
    assert_true(nth > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_named_process_lives_and_is_closed),
        cmocka_unit_test(how_it_ended_is_told),
        cmocka_unit_test(arguments_travel),
        cmocka_unit_test(what_cannot_travel_is_named),
        cmocka_unit_test(a_process_uses_all_of_weft),
        cmocka_unit_test(a_process_makes_none_of_its_own),
        cmocka_unit_test(waits_for_several_take_the_first),
        cmocka_unit_test(many_join_at_once),
        cmocka_unit_test(many_start_at_once),
        cmocka_unit_test(memory_may_run_out),
    };
    struct wf_error error;
    if (wf_processes_init(&error)) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
#ifdef WFI_CONTEXT_COUNTED
    printf("fiber switches: %llu\n", (unsigned long long)wfi_context_switch_count());
#endif
    return failed;
}
