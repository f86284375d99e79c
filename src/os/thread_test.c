/* SPDX-License-Identifier: MIT */
/* Threads: result, name, mask and stack of a new one; failures leave nothing behind. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "os/thread.h"

struct seen {
    char name[32];
    sigset_t mask;
    size_t stack_bytes;
    sem_t done;
};

static void *look_around(void *arg)
{
    struct seen *seen = arg;
    pthread_getname_np(pthread_self(), seen->name, sizeof seen->name);
    pthread_sigmask(SIG_SETMASK, NULL, &seen->mask);
    pthread_attr_t attr;
    pthread_getattr_np(pthread_self(), &attr);
    pthread_attr_getstacksize(&attr, &seen->stack_bytes);
    pthread_attr_destroy(&attr);
    sem_post(&seen->done);
    return seen;
}

static struct seen start_and_look(const char *name, size_t stack_bytes)
{
    struct seen seen = {.stack_bytes = 0};
    struct wfi_thread t;
    assert_int_equal(sem_init(&seen.done, 0, 0), 0);
    assert_int_equal(wfi_thread_start(&t, name, stack_bytes, look_around, &seen), 0);
    assert_ptr_equal(wfi_thread_join(&t), &seen);
    sem_destroy(&seen.done);
    return seen;
}

static void gives_back_the_result_and_carries_the_name(void **state)
{
    (void)state;
    struct seen seen = start_and_look("worker_0", 0);
    assert_string_equal(seen.name, "worker_0");
}

static void blocks_all_but_the_synchronous_signals(void **state)
{
    (void)state;
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    struct seen seen = start_and_look("mask", 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    static const int blocked[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD, SIGALRM, SIGPIPE};
    static const int open[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    for (size_t i = 0; i < sizeof blocked / sizeof *blocked; i++)
        assert_int_equal(sigismember(&seen.mask, blocked[i]), 1);
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        assert_int_equal(sigismember(&seen.mask, open[i]), 0);
    for (int signo = 1; signo < NSIG; signo++)
        assert_int_equal(sigismember(&before, signo), sigismember(&after, signo));
}

static void takes_any_stack_size(void **state)
{
    (void)state;
    assert_true(start_and_look("tiny", 1).stack_bytes >= 1);
    assert_true(start_and_look("odd", 1234567).stack_bytes >= 1234567);
}

static void cuts_names_between_characters(void **state)
{
    (void)state;
    static const struct {
        const char *given, *kept;
    } rows[] = {
        {"", ""},
        {"fifteen_bytes_0", "fifteen_bytes_0"},
        {"sixteen_bytes_01", "sixteen_bytes_0"},
        {"ninechars\xE7\xBA\xBF\xE7\xA8\x8B", "ninechars\xE7\xBA\xBF\xE7\xA8\x8B"},
        {"ten_chars_\xE7\xBA\xBF\xE7\xA8\x8B", "ten_chars_\xE7\xBA\xBF"},
        {"elevenchars\xE7\xBA\xBF\xE7\xA8\x8B", "elevenchars\xE7\xBA\xBF"},
        {"thirteenchars\xE7\xBA\xBF", "thirteenchars"},
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[WFI_THREAD_NAME_BYTES];
        wfi_thread_cut_name(name, rows[i].given);
        assert_string_equal(name, rows[i].kept);
    }
    assert_string_equal(start_and_look("thirteenchars\xE7\xBA\xBF", 0).name, "thirteenchars");
}

static void a_detached_thread_runs_to_its_end(void **state)
{
    (void)state;
    struct seen seen = {.stack_bytes = 0};
    assert_int_equal(sem_init(&seen.done, 0, 0), 0);
    struct wfi_thread t;
    assert_int_equal(wfi_thread_start(&t, NULL, 0, look_around, &seen), 0);
    wfi_thread_detach(&t);
    while (sem_wait(&seen.done))
        assert_int_equal(errno, EINTR);
    assert_true(seen.stack_bytes > 0);
}

static void *nothing(void *arg)
{
    return arg;
}

static void failure_leaves_nothing_behind(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct wfi_thread t;
        wfi_alloc_watch(n);
        int err = wfi_thread_start(&t, "fails", 0, nothing, NULL);
        if (!err)
            wfi_thread_join(&t);
        int64_t live = wfi_alloc_live();
        bool failed = wfi_alloc_unwatch();
        assert_int_equal(live, 0);
        assert_int_equal(err < 0, failed);
        if (!failed)
            break;
    }
}

static void tells_a_cpu(void **state)
{
    (void)state;
    wfi_thread_yield();
    assert_true(wfi_thread_cpu() >= -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_back_the_result_and_carries_the_name),
        cmocka_unit_test(blocks_all_but_the_synchronous_signals),
        cmocka_unit_test(takes_any_stack_size),
        cmocka_unit_test(cuts_names_between_characters),
        cmocka_unit_test(a_detached_thread_runs_to_its_end),
        cmocka_unit_test(failure_leaves_nothing_behind),
        cmocka_unit_test(tells_a_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
