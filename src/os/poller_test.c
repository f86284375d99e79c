/* SPDX-License-Identifier: MIT */
/* The poller: edges, levels, hang-up, wake from anywhere, deadlines, and numbers used again. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "os/poller.h"
#include "os/thread.h"

static struct wfi_poller *p;
static int pair[2];
static char a_tag, b_tag;

static int set_up(void **state)
{
    (void)state;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
        return -1;
    return wfi_poller_create(&p, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    wfi_poller_destroy(p);
    close(pair[0]);
    close(pair[1]);
    return 0;
}

static void put(int fd)
{
    assert_int_equal(write(fd, "x", 1), 1);
}

static void take(int fd)
{
    char byte;
    assert_int_equal(read(fd, &byte, 1), 1);
}

static uint32_t ready_now(void *tag)
{
    struct wfi_poll_event event = {0};
    int n = wfi_poller_wait(p, &event, 1, WF_NOW);
    if (n == 0)
        return 0;
    assert_int_equal(n, 1);
    assert_ptr_equal(event.tag, tag);
    return event.ready;
}

static void an_edge_is_told_once(void **state)
{
    (void)state;
    assert_int_equal(wfi_poller_add(p, pair[0], &a_tag), 0);
    assert_int_equal(ready_now(&a_tag), WFI_POLL_WRITE);
    assert_int_equal(ready_now(&a_tag), 0);
    put(pair[1]);
    assert_true(ready_now(&a_tag) & WFI_POLL_READ);
    assert_int_equal(ready_now(&a_tag), 0);
    put(pair[1]);
    assert_true(ready_now(&a_tag) & WFI_POLL_READ);
}

static void a_level_is_told_until_it_is_gone(void **state)
{
    (void)state;
    assert_int_equal(wfi_poller_watch(p, pair[0], WFI_POLL_READ, &a_tag), 0);
    assert_int_equal(ready_now(&a_tag), 0);
    put(pair[1]);
    assert_int_equal(ready_now(&a_tag), WFI_POLL_READ);
    assert_int_equal(ready_now(&a_tag), WFI_POLL_READ);
    take(pair[0]);
    assert_int_equal(ready_now(&a_tag), 0);
    assert_int_equal(wfi_poller_watch(p, pair[0], WFI_POLL_WRITE, &b_tag), 0);
    assert_int_equal(ready_now(&b_tag), WFI_POLL_WRITE);
    assert_int_equal(wfi_poller_watch(p, pair[0], 0, NULL), 0);
    assert_int_equal(ready_now(NULL), 0);
}

static void a_watch_survives_a_number_used_again(void **state)
{
    (void)state;
    int number = pair[0];
    assert_int_equal(wfi_poller_watch(p, number, WFI_POLL_READ, &a_tag), 0);
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pair[0], number);
    assert_int_equal(wfi_poller_watch(p, number, WFI_POLL_READ, &b_tag), 0);
    put(pair[1]);
    assert_int_equal(ready_now(&b_tag), WFI_POLL_READ);
}

static void a_hang_up_makes_both_directions_look(void **state)
{
    (void)state;
    assert_int_equal(wfi_poller_add(p, pair[0], &a_tag), 0);
    shutdown(pair[1], SHUT_RDWR);
    assert_int_equal(ready_now(&a_tag),
                     WFI_POLL_READ | WFI_POLL_WRITE | WFI_POLL_ERROR | WFI_POLL_EVENTFUL);
}

static void an_end_is_told_apart_from_bytes(void **state)
{
    (void)state;
    assert_int_equal(wfi_poller_add(p, pair[0], &a_tag), 0);
    put(pair[1]);
    assert_int_equal(ready_now(&a_tag), WFI_POLL_READ | WFI_POLL_WRITE);
    put(pair[1]);
    shutdown(pair[1], SHUT_WR);
    assert_int_equal(ready_now(&a_tag), WFI_POLL_READ | WFI_POLL_WRITE | WFI_POLL_EVENTFUL);
}

static void refusals(void **state)
{
    (void)state;
    assert_int_equal(wfi_poller_add(p, pair[0], &a_tag), 0);
    assert_int_equal(wfi_poller_add(p, pair[0], &a_tag), -EEXIST);
    assert_int_equal(wfi_poller_remove(p, pair[1]), -ENOENT);
    assert_int_equal(wfi_poller_remove(p, pair[0]), 0);
    assert_int_equal(wfi_poller_remove(p, pair[0]), -ENOENT);
    assert_int_equal(wfi_poller_add(p, -1, &a_tag), -EBADF);
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(wfi_poller_add(p, fileno(file), &a_tag), -EPERM);
    fclose(file);
}

static void a_wake_before_the_wait_is_kept(void **state)
{
    (void)state;
    struct wfi_poll_event event;
    for (int i = 0; i < 3; i++) {
        wfi_poller_wake(p);
        wfi_poller_wake(p);
        assert_int_equal(wfi_poller_wait(p, &event, 1, WF_FOREVER), 0);
    }
    int64_t begin = wf_now();
    assert_int_equal(wfi_poller_wait(p, &event, 1, wf_after(WF_MILLISECONDS(5))), 0);
    assert_true(wf_now() - begin >= WF_MILLISECONDS(5));
}

static void *wake_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++)
        wfi_poller_wake(p);
    put(pair[1]);
    return NULL;
}

static void wakes_from_another_thread_hide_no_event(void **state)
{
    (void)state;
    assert_int_equal(wfi_poller_watch(p, pair[0], WFI_POLL_READ, &a_tag), 0);
    struct wfi_thread t;
    assert_int_equal(wfi_thread_start(&t, "waker", 0, wake_many, NULL), 0);
    struct wfi_poll_event event;
    while (wfi_poller_wait(p, &event, 1, WF_FOREVER) == 0)
        ;
    assert_ptr_equal(event.tag, &a_tag);
    wfi_thread_join(&t);
}

static void wake_on_signal(int signo)
{
    (void)signo;
    wfi_poller_wake(p);
}

static void a_handler_may_wake(void **state)
{
    (void)state;
    struct sigaction wake = {.sa_handler = wake_on_signal}, before;
    sigaction(SIGUSR2, &wake, &before);
    raise(SIGUSR2);
    struct wfi_poll_event event;
    assert_int_equal(wfi_poller_wait(p, &event, 1, WF_FOREVER), 0);
    sigaction(SIGUSR2, &before, NULL);
}

static void more_events_than_asked_for_come_next_time(void **state)
{
    (void)state;
    assert_int_equal(wfi_poller_add(p, pair[0], &a_tag), 0);
    assert_int_equal(wfi_poller_add(p, pair[1], &b_tag), 0);
    struct wfi_poll_event first, second;
    assert_int_equal(wfi_poller_wait(p, &first, 1, WF_NOW), 1);
    assert_int_equal(wfi_poller_wait(p, &second, 1, WF_NOW), 1);
    assert_ptr_not_equal(first.tag, second.tag);
}

static void creation_fails_cleanly(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct wfi_poller *q = NULL;
        struct wf_error error = {0};
        wfi_alloc_watch(n);
        int err = wfi_poller_create(&q, &error);
        wfi_poller_destroy(q);
        int64_t live = wfi_alloc_live();
        bool failed = wfi_alloc_unwatch();
        assert_int_equal(live, 0);
        if (!failed) {
            assert_int_equal(err, 0);
            break;
        }
        assert_int_equal(err, -ENOMEM);
        assert_int_equal(error.code, -ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_edge_is_told_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_level_is_told_until_it_is_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_watch_survives_a_number_used_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hang_up_makes_both_directions_look, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_end_is_told_apart_from_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wake_before_the_wait_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wakes_from_another_thread_hide_no_event, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_handler_may_wake, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_events_than_asked_for_come_next_time, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(creation_fails_cleanly, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
