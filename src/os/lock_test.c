/* SPDX-License-Identifier: MIT */
/* Clock, futex and lock: the three things below everything that waits. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

#include <weft/time.h>
#include "os/futex.h"
#include "os/lock.h"

static void clock_goes_forward_and_durations_saturate(void **state)
{
    (void)state;
    int64_t a = wf_now();
    int64_t b = wf_now();
    assert_true(a > 0 && b >= a);
    assert_true(wf_after(INT64_MAX).ns == WF_FOREVER.ns);
    assert_true(wf_remaining(WF_FOREVER) == INT64_MAX);
    assert_true(wf_remaining(WF_NOW) == 0);
    assert_true(wf_remaining(wf_after(0)) == 0);
    assert_true(wf_remaining(wf_after(-WF_SECONDS(1))) == 0);
    int64_t left = wf_remaining(wf_after(WF_SECONDS(1000)));
    assert_true(left > WF_SECONDS(900) && left <= WF_SECONDS(1000));
    assert_true(wf_earlier(WF_FOREVER, WF_NOW).ns == WF_NOW.ns);
    assert_true(wf_earlier((wf_deadline){5}, (wf_deadline){7}).ns == 5);
}

static void futex_says_why_it_did_not_sleep(void **state)
{
    (void)state;
    _Atomic uint32_t word = 3;
    assert_int_equal(wfi_futex_wait(&word, 4, WF_FOREVER), -EAGAIN);
    assert_int_equal(wfi_futex_wait(&word, 3, WF_NOW), -ETIMEDOUT);
    wf_deadline soon = wf_after(WF_MILLISECONDS(2));
    int err;
    do
        err = wfi_futex_wait(&word, 3, soon);
    while (err == 0 || err == -EINTR);
    assert_int_equal(err, -ETIMEDOUT);
    assert_true(wf_now() >= soon.ns);
    assert_int_equal(wfi_futex_wake(&word, 1), 0);
}

static void *wait_for_one(void *arg)
{
    _Atomic uint32_t *word = arg;
    while (wfi_load_acquire(word) == 0)
        wfi_futex_wait(word, 0, WF_FOREVER);
    return NULL;
}

static void futex_wake_ends_a_wait(void **state)
{
    (void)state;
    _Atomic uint32_t word = 0;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wait_for_one, &word), 0);
    wfi_store_release(&word, 1); /* release: pairs with the acquire in wait_for_one */
    wfi_futex_wake(&word, 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static struct wfi_lock lock;
static int64_t guarded, guarded_twin;

static void *add(void *arg)
{
    for (int i = *(int *)arg; i > 0; i--) {
        wfi_lock_lock(&lock);
        guarded++;
        assert_true(guarded == ++guarded_twin);
        wfi_lock_unlock(&lock);
    }
    return NULL;
}

static void lock_keeps_threads_apart(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    int rounds = 5000;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add, &rounds), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(guarded == (int64_t)THREADS * rounds);
    assert_true(wfi_lock_try(&lock));
    assert_false(wfi_lock_try(&lock));
    wfi_lock_unlock(&lock);
}

static _Atomic int sleeper_tid;

static void *lock_once(void *arg)
{
    (void)arg;
    wfi_store(&sleeper_tid, (int)syscall(SYS_gettid));
    wfi_lock_lock(&lock);
    wfi_lock_unlock(&lock);
    return NULL;
}

/* 'S' when it sleeps in the kernel. */
static char thread_state(int tid)
{
    char path[64], state = '?';
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = '?';
    if (file)
        fclose(file);
    return state;
}

static void unlocking_wakes_who_sleeps(void **state)
{
    (void)state;
    pthread_t thread;
    wfi_lock_lock(&lock);
    assert_int_equal(pthread_create(&thread, NULL, lock_once, NULL), 0);
    while (wfi_load(&lock.word) != 2 || thread_state(wfi_load(&sleeper_tid)) != 'S')
        sched_yield();
    wfi_lock_unlock(&lock);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clock_goes_forward_and_durations_saturate),
        cmocka_unit_test(futex_says_why_it_did_not_sleep),
        cmocka_unit_test(futex_wake_ends_a_wait),
        cmocka_unit_test(lock_keeps_threads_apart),
        cmocka_unit_test(unlocking_wakes_who_sleeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
