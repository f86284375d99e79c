/* SPDX-License-Identifier: MIT */
/*
 * Bugs planted in programs that run on fibers, each in a child process: the sanitizers find them
 * through the whole runtime, as in a program of a user's, and are silent where nothing is wrong.
 * os/fault_test.c plants the same below the scheduler.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <weft/mutex.h>

#include "base/atomic.h"
#include "os/sanitizer.h"
#include "sched/registry.h"
#include "sched/runtime.h"

#if WFI_ASAN
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_stack_use_after_return=1";
}
#endif

static char said[64 * 1024]; /* what the child wrote on standard error */

/* Runs fn in a child, which may not have used the library before; returns its wait status. */
static int in_child(void (*fn)(void))
{
    int ends[2];
    fflush(NULL);
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        fn();
        exit(0);
    }
    close(ends[1]);
    size_t len = 0;
    ssize_t n;
    while (len < sizeof said - 1 && (n = read(ends[0], said + len, sizeof said - 1 - len)) > 0)
        len += (size_t)n;
    said[len] = 0;
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

enum { ROUTINES = 8 };

/* Runs fn on some fibers of one worker and waits for all of them. */
static void on_one_worker(void (*fn)(void *))
{
    struct wfi_runtime *runtime;
    struct wfi_routine routines[ROUTINES];
    if (wfi_runtime_create(&(struct wfi_runtime_options){.workers = 1}, &runtime, NULL))
        _exit(70);
    for (int i = 0; i < ROUTINES; i++)
        wfi_routine_start(&routines[i], runtime, "planted", fn, NULL);
    for (int i = 0; i < ROUTINES; i++)
        if (wfi_routine_join(&routines[i], WF_FOREVER))
            _exit(71);
    wfi_runtime_destroy(runtime);
}

static int shared;
static struct wf_mutex mutex = WF_MUTEX_INIT;

static void count_under_the_mutex(void *arg)
{
    (void)arg;
    volatile int local[100]; /* on a stack that was another's before */
    volatile int *escapes = local;
    for (int i = 0; i < 100; i++)
        escapes[i] = i;
    for (int i = 0; i < 3; i++) {
        if (wf_mutex_lock(&mutex, WF_FOREVER))
            _exit(72);
        shared++;
        wfi_yield();
        shared += escapes[i] - i;
        wf_mutex_unlock(&mutex);
    }
}

static void count_in_order(void)
{
    on_one_worker(count_under_the_mutex);
    if (shared != 3 * ROUTINES)
        _exit(73);
}

static void ordered_fibers_pass_in_silence(void **state)
{
    (void)state;
    int status = in_child(count_in_order);
    assert_string_equal(said, "");
    assert_int_equal(status, 0);
}

static volatile char sink;

static int deeper(int depth)
{
    volatile char frame[512];
    frame[0] = (char)depth;
    int below = depth ? deeper(depth - 1) : 0;
    sink = frame[0];
    return below + 1;
}

static void dig(void *arg)
{
    (void)arg;
    wfi_yield();
    deeper(1000000);
}

static void overflow_one_of_several(void)
{
    if (wfi_report_overflows(NULL))
        _exit(74);
    on_one_worker(dig);
}

static void an_overflow_is_reported_with_the_fibers_name(void **state)
{
    (void)state;
    int status = in_child(overflow_one_of_several);
    assert_true(WIFSIGNALED(status));
    assert_non_null(strstr(said, "stack overflow in fiber \"planted\""));
    assert_non_null(strstr(said, "262144 reserved"));
    assert_non_null(strstr(said, ".stack_bytes"));
}

#if WFI_TSAN
#define TSAN_FOUND 66

static void count_and_yield(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        shared++;
        wfi_yield();
    }
}

static void race_while_all_live(void)
{
    on_one_worker(count_and_yield);
}

static void count_and_end(void *arg)
{
    (void)arg;
    shared++;
}

static void race_one_after_the_other(void)
{
    on_one_worker(count_and_end);
}

/* The worker runs one fiber at a time, so nothing goes wrong here and now; with two workers, or
 * another order, it would. */
static void tsan_finds_races_between_fibers_of_one_worker(void **state)
{
    (void)state;
    int status = in_child(race_while_all_live);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), TSAN_FOUND);
    assert_non_null(strstr(said, "count_and_yield"));
    status = in_child(race_one_after_the_other);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), TSAN_FOUND);
    assert_non_null(strstr(said, "count_and_end"));
}
#endif

#if WFI_ASAN
static WFI_ATOMIC(int) turns;
static WFI_ATOMIC(volatile int *) escaped;

static __attribute__((noinline)) void let_a_local_escape(void)
{
    volatile int local[16];
    local[3] = 1;
    wfi_store(&escaped, local);
}

static void return_too_early(void *arg)
{
    (void)arg;
    if (wfi_fetch_add(&turns, 1) == 0)
        let_a_local_escape();
    wfi_yield();
    volatile int *local = wfi_load(&escaped);
    if (local)
        local[3] = 2; /* long gone; perhaps another fiber's */
}

static void use_after_return(void)
{
    on_one_worker(return_too_early);
}

static void asan_finds_a_use_after_return_between_fibers(void **state)
{
    (void)state;
    int status = in_child(use_after_return);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    assert_non_null(strstr(said, "stack-use-after-return"));
    assert_non_null(strstr(said, "return_too_early"));
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordered_fibers_pass_in_silence),
        cmocka_unit_test(an_overflow_is_reported_with_the_fibers_name),
#if WFI_TSAN
        cmocka_unit_test(tsan_finds_races_between_fibers_of_one_worker),
#endif
#if WFI_ASAN
        cmocka_unit_test(asan_finds_a_use_after_return_between_fibers),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
