/* SPDX-License-Identifier: MIT */
/* Signals as events: delivery, order, chaining, restoring, refusals. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "os/signal.h"
#include "os/thread.h"

static struct wfi_signals *s;

static void open_set(const int *signals, size_t count)
{
    struct wf_error error = {0};
    assert_int_equal(wfi_signals_open(&s, signals, count, &error), 0);
}

static int readable(void)
{
    struct pollfd fd = {.fd = wfi_signals_fd(s), .events = POLLIN};
    return poll(&fd, 1, 0);
}

static int next(void)
{
    int signo = 0;
    int err = wfi_signals_read(s, &signo);
    return err ? err : signo;
}

static void each_delivery_is_one_event(void **state)
{
    (void)state;
    open_set((int[]){SIGUSR2, SIGUSR1}, 2);
    assert_int_equal(readable(), 0);
    assert_int_equal(next(), -EAGAIN);
    raise(SIGUSR2);
    raise(SIGUSR1);
    raise(SIGUSR1);
    assert_int_equal(readable(), 1);
    assert_int_equal(next(), SIGUSR1);
    assert_int_equal(next(), SIGUSR1);
    assert_int_equal(readable(), 1);
    assert_int_equal(next(), SIGUSR2);
    assert_int_equal(next(), -EAGAIN);
    assert_int_equal(readable(), 0);
    wfi_signals_close(s);
}

static volatile sig_atomic_t plain_calls, info_calls;

static void plain(int signo)
{
    plain_calls += signo == SIGUSR1;
}

static void with_info(int signo, siginfo_t *info, void *context)
{
    (void)context;
    info_calls += signo == SIGUSR2 && info->si_pid == getpid();
}

static void earlier_handlers_are_called_and_put_back(void **state)
{
    (void)state;
    struct sigaction one = {.sa_handler = plain}, two = {.sa_flags = SA_SIGINFO}, now;
    two.sa_sigaction = with_info;
    sigaction(SIGUSR1, &one, NULL);
    sigaction(SIGUSR2, &two, NULL);
    open_set((int[]){SIGUSR1, SIGUSR2}, 2);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGUSR2);
    assert_int_equal(plain_calls, 1);
    assert_int_equal(info_calls, 1);
    assert_int_equal(next(), SIGUSR1);
    assert_int_equal(next(), SIGUSR2);
    wfi_signals_close(s);
    sigaction(SIGUSR1, NULL, &now);
    assert_ptr_equal(now.sa_handler, plain);
    sigaction(SIGUSR2, NULL, &now);
    assert_ptr_equal(now.sa_sigaction, with_info);
    signal(SIGUSR1, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
}

static void a_later_handler_stays_after_close(void **state)
{
    (void)state;
    struct sigaction now;
    open_set((int[]){SIGUSR1}, 1);
    signal(SIGUSR1, plain);
    wfi_signals_close(s);
    sigaction(SIGUSR1, NULL, &now);
    assert_ptr_equal(now.sa_handler, plain);
    signal(SIGUSR1, SIG_DFL);
}

static void ignored_is_seen_and_put_back(void **state)
{
    (void)state;
    signal(SIGHUP, SIG_IGN);
    assert_true(wfi_signal_ignored(SIGHUP));
    assert_false(wfi_signal_ignored(SIGUSR1));
    open_set((int[]){SIGHUP}, 1);
    raise(SIGHUP);
    assert_int_equal(next(), SIGHUP);
    wfi_signals_close(s);
    assert_true(wfi_signal_ignored(SIGHUP));
    signal(SIGHUP, SIG_DFL);
}

static void refusals_change_nothing(void **state)
{
    (void)state;
    struct wfi_signals *other = NULL;
    struct wf_error error;
    struct sigaction now;
    assert_int_equal(wfi_signals_open(&other, (int[]){SIGUSR1, SIGKILL}, 2, &error), -EINVAL);
    assert_non_null(strstr(error.text, "KILL"));
    sigaction(SIGUSR1, NULL, &now);
    assert_ptr_equal(now.sa_handler, SIG_DFL);
    assert_int_equal(wfi_signals_open(&other, (int[]){NSIG}, 1, NULL), -EINVAL);
    assert_int_equal(wfi_signals_open(&other, (int[]){-1}, 1, NULL), -EINVAL);
    open_set((int[]){SIGUSR1}, 1);
    assert_int_equal(wfi_signals_open(&other, (int[]){SIGUSR2, SIGUSR1}, 2, &error), -EBUSY);
    raise(SIGUSR1);
    assert_int_equal(next(), SIGUSR1);
    wfi_signals_close(s);
    assert_null(other);
    wfi_alloc_watch(1);
    assert_int_equal(wfi_signals_open(&other, (int[]){SIGUSR1}, 1, &error), -ENOMEM);
    assert_int_equal(wfi_alloc_live(), 0);
    assert_true(wfi_alloc_unwatch());
}

static void *send_many(void *arg)
{
    pthread_t to = *(pthread_t *)arg;
    for (int i = 0; i < 200; i++)
        pthread_kill(to, SIGUSR1);
    return NULL;
}

static void delivery_during_close_is_harmless(void **state)
{
    (void)state;
    pthread_t self = pthread_self();
    struct sigaction one = {.sa_handler = plain};
    sigaction(SIGUSR1, &one, NULL);
    struct wfi_thread t;
    assert_int_equal(wfi_thread_start(&t, "sender", 0, send_many, &self), 0);
    for (int i = 0; i < 100; i++) {
        open_set((int[]){SIGUSR1}, 1);
        next();
        wfi_signals_close(s);
    }
    wfi_thread_join(&t);
    signal(SIGUSR1, SIG_DFL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_delivery_is_one_event),
        cmocka_unit_test(earlier_handlers_are_called_and_put_back),
        cmocka_unit_test(a_later_handler_stays_after_close),
        cmocka_unit_test(ignored_is_seen_and_put_back),
        cmocka_unit_test(refusals_change_nothing),
        cmocka_unit_test(delivery_during_close_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
