/* SPDX-License-Identifier: MIT */
/*
 * What goes wrong in a pool of processes, one thing at a time: codecs that fail or crash, workers
 * that spoil what they share, memory that runs out, the helper's death, the end of the program.
 * Group DLK.
 */
#include "engines.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/main.h>

#include "base/alloc.h"
#include "os/sanitizer.h"
#include "proc/helper.h"
#include "proc/pool.h"
#include "sched/registry.h"

/* A value whose codec does what its name says. */
struct troublesome {
    int trouble;
};

enum trouble {
    NO_TROUBLE,
    ENCODE_FAILS,
    DECODE_FAILS,
    DECODE_EXITS,
    DECODE_CRASHES,
    RESULT_ENCODE_FAILS,
    RESULT_DECODE_FAILS,
};

static int home; /* the program's own process */

static ssize_t encode(const void *value, void *buf, size_t capacity)
{
    const struct troublesome *t = value;
    bool there = getpid() != home;
    if (t->trouble == (there ? RESULT_ENCODE_FAILS : ENCODE_FAILS))
        return -EILSEQ;
    if (capacity >= sizeof *t)
        memcpy(buf, t, sizeof *t);
    return sizeof *t;
}

static int decode(void *value, const void *buf, size_t len)
{
    struct troublesome t;
    if (len != sizeof t)
        return -EBADMSG;
    memcpy(&t, buf, sizeof t);
    bool there = getpid() != home;
    if (there && t.trouble == DECODE_EXITS)
        exit(3);
    if (there && t.trouble == DECODE_CRASHES)
        raise(SIGSEGV);
    if (t.trouble == (there ? DECODE_FAILS : RESULT_DECODE_FAILS))
        return -EBADMSG;
    memcpy(value, &t, sizeof t);
    return 0;
}
WF_WIRE(struct troublesome, encode, decode)

WF_TASK(struct troublesome, pass_on, (struct troublesome, t))
WF_TASK(int, crash, (int, how))
WF_TASK(int, spoil, (int, how))
WF_TASK(int, twice, (int, n))
WF_TASK(int, loiter, (int, unused))

int pass_on(struct wf_task *self, struct troublesome t, struct troublesome *ret)
{
    (void)self;
    *ret = t;
    return 0;
}
WF_TASK_DEFINE(pass_on)

int crash(struct wf_task *self, int how, int *ret)
{
    (void)self;
    *ret = 0;
    if (how == 0)
        raise(SIGSEGV);
    if (how == 1)
        exit(1);
    if (how == 2)
        abort();
    return 0;
}
WF_TASK_DEFINE(crash)

int twice(struct wf_task *self, int n, int *ret)
{
    (void)self;
    *ret = 2 * n;
    return 0;
}
WF_TASK_DEFINE(twice)

int loiter(struct wf_task *self, int unused, int *ret)
{
    (void)self;
    (void)unused;
    *ret = 0;
    return wf_sleep(wf_after(WF_SECONDS(60)));
}
WF_TASK_DEFINE(loiter)

/* Writes nonsense into what the worker shares with the pool. */
static struct wfi_ring *own_ring(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    struct wfi_ring *ring = NULL;
    while (maps && !ring && fgets(line, sizeof line, maps))
        if (strstr(line, "memfd:weft"))
            ring = (struct wfi_ring *)(uintptr_t)strtoull(line, NULL, 16);
    if (maps)
        fclose(maps);
    return ring;
}

int spoil(struct wf_task *self, int how, int *ret)
{
    (void)self;
    *ret = 0;
    struct wfi_ring *ring = own_ring();
    if (!ring)
        return -ENXIO;
    if (how == 0)
        wfi_store(&ring->done, 77777);
    else
        for (int i = 0; i < WFI_RING_SLOTS; i++) {
            memset(&ring->slots[i].outcome, 0xA5, 64);
            if (how == 2)
                wfi_store(&ring->slots[i].state, 0xA5A5A5A5);
        }
    if (how == 0)
        return wf_sleep(wf_after(WF_SECONDS(60)));
    wfi_fetch_add(&ring->done, 1);
    return wf_sleep(wf_after(WF_SECONDS(60)));
}
WF_TASK_DEFINE(spoil)

static struct wf_executor *start(int workers)
{
    struct wf_executor *on = NULL;
    struct wf_error error;
    if (wf_processes_create(&(struct wf_processes_options){.workers = workers, .restarts_max = -1},
                            &on, &error))
        fail_msg("%s", error.text);
    return on;
}

static void works(struct wf_executor *on)
{
    for (int i = 0; i < 5; i++) {
        int value = 0;
        twice_future f = twice_submit(on, i);
        assert_int_equal(twice_result(&f, &value, party_soon(), NULL), 0);
        assert_int_equal(value, 2 * i);
    }
}

/* DLK-01, DLK-02, DLK-04 */
static void a_codec_that_fails_costs_one_task(void **state)
{
    (void)state;
    static const int codes[] = {0,       -EILSEQ, -EBADMSG, WF_EWORKERDIED, WF_EWORKERDIED,
                                -EILSEQ, -EBADMSG};
    struct wf_executor *on = start(1);
    for (int trouble = NO_TROUBLE; trouble <= RESULT_DECODE_FAILS; trouble++) {
        struct wf_error error = {0};
        pass_on_future f = pass_on_submit(on, (struct troublesome){trouble});
        int err = pass_on_result(&f, NULL, party_soon(), &error);
        if (err != codes[trouble])
            fail_msg("trouble %d: %d %s", trouble, err, error.text);
        if (trouble == ENCODE_FAILS || trouble == DECODE_FAILS)
            assert_non_null(strstr(error.text, "parameter t"));
        if (trouble == DECODE_EXITS)
            assert_int_equal(error.exit_status, 3);
        if (trouble == DECODE_CRASHES)
            assert_true(error.signal == SIGSEGV || error.exit_status != 0); /* a tool's handler */
        works(on);
    }
    wf_executor_destroy(on);
}

/* DLK-03 */
static void a_task_that_crashes_costs_itself(void **state)
{
    (void)state;
    struct wf_executor *on = start(2);
    for (int how = 0; how < 3; how++) {
        crash_future f = crash_submit(on, how);
        struct wf_error error;
        assert_int_equal(crash_result(&f, NULL, party_soon(), &error), WF_EWORKERDIED);
        assert_string_equal(error.task, "crash");
        assert_true(error.pid > 0);
        works(on);
    }
    wf_executor_destroy(on);
}

static void a_worker_that_spoils_its_memory_is_replaced(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct wf_executor *on = start(1);
        spoil_future f = spoil_submit(on, how);
        twice_future behind[5];
        for (int i = 0; i < 5; i++)
            behind[i] = twice_submit(on, i);
        struct wf_error error = {0};
        /* Nobody rings a bell for nonsense: it is seen by who looks at the ring, as a waiter does
         * when it begins to wait. */
        wf_deadline limit = party_soon();
        while (wf_future_wait(f.future, wf_after(WF_MILLISECONDS(1))) && wf_remaining(limit) > 0)
            ;
        assert_int_equal(spoil_result(&f, NULL, party_soon(), &error), WF_EWORKERDIED);
        assert_non_null(strstr(error.text, "spoiled its memory"));
        for (int i = 0; i < 5; i++) {
            int value = -1;
            assert_int_equal(twice_result(&behind[i], &value, party_soon(), NULL), 0);
            assert_int_equal(value, 2 * i);
        }
        wf_executor_destroy(on);
    }
}

/* The workers are those of the program, not of a child that it forked. */
static void a_forked_child_is_refused(void **state)
{
    (void)state;
    if (wfi_under_valgrind())
        skip(); /* it takes what another thread's stack holds for lost in the child */
    struct wf_executor *on = start(1);
    works(on);
    int child = fork();
    if (child == 0) {
        twice_future f = twice_submit(on, 1);
        struct wf_executor *other;
        int wrong = twice_result(&f, NULL, WF_NOW, NULL) != WF_EFORKED;
        wrong |= wf_processes_create(NULL, &other, NULL) != WF_EFORKED;
        _exit(wrong);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    works(on);
    wf_executor_destroy(on);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    struct wf_executor *on = start(1);
    works(on);
    for (uint64_t n = 1; n < 60; n++) {
        struct twice_args items[] = {{1}, {2}, {3}};
        int results[3];
        wfi_alloc_watch(n);
        twice_future f = twice_submit(on, 4);
        struct wf_submit_options named = {.name = "named"};
        twice_future g = twice_submit_with(on, &named, 5);
        int err = twice_each(on, &(struct wf_map_options){.chunk = 2}, items, 3, results,
                             party_soon(), NULL);
        int a = twice_result(&f, NULL, party_soon(), NULL);
        int b = twice_result(&g, NULL, party_soon(), NULL);
        bool reached = wfi_alloc_unwatch();
        assert_true(reached || (!a && !b && !err));
        assert_true((!a || a == -ENOMEM) && (!b || b == -ENOMEM) && (!err || err == -ENOMEM));
        if (!reached)
            break;
    }
    works(on);
    wf_executor_destroy(on);
    bool reached = true;
    for (uint64_t n = 1; reached; n++) {
        assert_true(n < 60);
        wfi_alloc_watch(n);
        on = NULL;
        int err = wf_processes_create(&(struct wf_processes_options){.workers = 1}, &on, NULL);
        reached = wfi_alloc_unwatch();
        assert_true(err ? (err == -ENOMEM || err == -EAGAIN) && reached : on != NULL);
        wf_executor_destroy(on);
    }
}

/* The dump shows who does what. */
struct lines {
    char text[8192];
    size_t len;
};

static void take_line(void *arg, const char *line)
{
    struct lines *lines = arg;
    lines->len +=
        (size_t)snprintf(lines->text + lines->len, sizeof lines->text - lines->len, "%s\n", line);
    if (lines->len > sizeof lines->text / 2)
        lines->len = sizeof lines->text / 2;
}

static void a_dump_shows_the_workers(void **state)
{
    (void)state;
    struct wf_executor *on = NULL;
    struct wf_error error;
    if (wf_processes_create(&(struct wf_processes_options){.workers = 1, .name = "mill"}, &on,
                            &error))
        fail_msg("%s", error.text);
    loiter_future f = loiter_submit(on, 0);
    static struct lines lines;
    wf_deadline limit = party_soon();
    do {
        lines.len = 0;
        lines.text[0] = '\0';
        wfi_dump(take_line, &lines);
        wf_yield();
    } while ((!strstr(lines.text, "running task loiter ") ||
              !strstr(lines.text, "processes mill: 0 tasks queued")) && /* seen one by one */
             wf_remaining(limit) > 0);
    assert_non_null(strstr(lines.text, "processes mill: 0 tasks queued"));
    assert_non_null(strstr(lines.text, "process mill_0 "));
    assert_non_null(strstr(lines.text, " KiB, 0 tasks, 0 restarts"));
    wf_future_cancel(f.future);
    assert_int_equal(loiter_result(&f, NULL, party_soon(), NULL), -ECANCELED);
    wf_executor_destroy(on);
}

/* SHD-06: what a task printed is there when the program ends, and it is waited for. Run by the test
 * below, as a program of its own. */
WF_TASK(int, print_slowly, (int, lines))

int print_slowly(struct wf_task *self, int lines, int *ret)
{
    (void)self;
    *ret = lines;
    for (int i = 0; i < lines; i++) {
        printf("line %d\n", i);
        if (i == lines / 2)
            wf_sleep(wf_after(WF_MILLISECONDS(20)));
    }
    return 0;
}
WF_TASK_DEFINE(print_slowly)

static int leave_early(void *unwatched)
{
    struct wf_executor *on;
    struct wf_error error;
    if (wf_processes_create(&(struct wf_processes_options){.workers = 1}, &on, &error))
        return 1;
    print_slowly_future f = print_slowly_submit(on, 100);
    print_slowly_drop(&f);
    return unwatched ? wf_executor_shutdown(on, WF_SHUTDOWN_NO_WAIT, WF_NOW) : 0;
}

static char program[4096];

static void read_lines_of(const char *mode)
{
    char command[5000], line[128];
    snprintf(command, sizeof command, "'%s' %s", program, mode);
    FILE *out = popen(command, "re");
    assert_non_null(out);
    int lines = 0;
    while (fgets(line, sizeof line, out)) {
        char wanted[32];
        snprintf(wanted, sizeof wanted, "line %d\n", lines++);
        assert_string_equal(line, wanted);
    }
    assert_int_equal(pclose(out), 0);
    assert_int_equal(lines, 100);
}

static void the_end_of_a_program_waits(void **state)
{
    (void)state;
    read_lines_of("leave_early");
}

/* SHD-04: who does not wait returns at once, and the work goes on. */
static void shutting_need_not_wait(void **state)
{
    (void)state;
    struct wf_executor *on;
    assert_int_equal(wf_processes_create(NULL, &on, NULL), 0);
    loiter_future f = loiter_submit(on, 0);
    assert_int_equal(wf_executor_shutdown(on, WF_SHUTDOWN_NO_WAIT, WF_NOW), 0);
    assert_true(wf_future_state(f.future) < WF_FUTURE_DONE);
    wf_future_cancel(f.future);
    assert_int_equal(loiter_result(&f, NULL, party_soon(), NULL), -ECANCELED);
    wf_executor_destroy(on);
    read_lines_of("leave_unwatched");
}

/* A program that is killed takes its workers along, whatever they run. Run by the test below. */
static void print_worker(const struct wf_worker_info *worker, void *arg)
{
    if (arg)
        printf("%d\n", worker->pid);
}

static int be_killed(void)
{
    struct wf_executor *on;
    struct wf_error error;
    if (wf_processes_init(&error) ||
        wf_processes_create(&(struct wf_processes_options){.workers = 2}, &on, &error))
        return 1;
    loiter_submit(on, 0);
    loiter_submit(on, 0);
    while (wf_processes_each(on, print_worker, NULL) < 2)
        wf_yield();
    wf_processes_each(on, print_worker, on);
    fflush(stdout);
    return raise(SIGKILL);
}

static void a_killed_program_takes_its_workers_along(void **state)
{
    (void)state;
    char command[5000], line[128];
    snprintf(command, sizeof command, "'%s' be_killed", program);
    FILE *out = popen(command, "re");
    assert_non_null(out);
    int pids[8], count = 0;
    while (count < 8 && fgets(line, sizeof line, out))
        pids[count++] = atoi(line);
    /* The end of the stream is that of all who could write to it. */
    pclose(out);
    assert_int_equal(count, 2);
    wf_deadline limit = party_soon();
    for (int i = 0; i < count; i++)
        while (kill(pids[i], 0) == 0)
            if (wf_remaining(limit) == 0)
                fail_msg("process %d lives on", pids[i]);
            else
                wf_yield();
}

/* The last one: there is no other helper. */
static void the_helpers_death_breaks_the_pool(void **state)
{
    (void)state;
    struct wf_executor *on = start(1);
    loiter_future f = loiter_submit(on, 0);
    twice_future behind = twice_submit(on, 1);
    while (wf_future_state(f.future) == WF_FUTURE_PENDING)
        wf_yield();
    kill(wfi_helper_pid(), SIGKILL);
    struct wf_error error;
    int err = loiter_result(&f, NULL, party_soon(), &error);
    assert_true(err == WF_EWORKERDIED || err == WF_EBROKEN);
    assert_int_equal(twice_result(&behind, NULL, party_soon(), &error), WF_EBROKEN);
    assert_non_null(strstr(error.text, "the helper process died"));
    behind = twice_submit(on, 1);
    assert_int_equal(twice_result(&behind, NULL, party_soon(), NULL), WF_EBROKEN);
    wf_executor_destroy(on);
    assert_int_equal(wf_processes_create(NULL, &on, &error), WF_EBROKEN);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_codec_that_fails_costs_one_task),
        cmocka_unit_test(a_task_that_crashes_costs_itself),
        cmocka_unit_test(a_worker_that_spoils_its_memory_is_replaced),
        cmocka_unit_test(a_forked_child_is_refused),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(a_dump_shows_the_workers),
        cmocka_unit_test(the_end_of_a_program_waits),
        cmocka_unit_test(shutting_need_not_wait),
        cmocka_unit_test(a_killed_program_takes_its_workers_along),
        cmocka_unit_test(the_helpers_death_breaks_the_pool),
    };
    if (argc > 1 && strcmp(argv[1], "leave_early") == 0)
        return wf_main(NULL, leave_early, NULL, NULL) != 0;
    if (argc > 1 && strcmp(argv[1], "leave_unwatched") == 0)
        return wf_main(NULL, leave_early, program, NULL) != 0;
    if (argc > 1 && strcmp(argv[1], "be_killed") == 0)
        return be_killed();
    if (!realpath(argv[0], program))
        return 1;
    home = getpid();
    struct wf_error error;
    if (wf_processes_init(&error)) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
