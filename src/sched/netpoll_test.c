/* SPDX-License-Identifier: MIT */
/*
 * What blocking on descriptors rests on: edges that come between a system call and the wait, descs
 * used again with events still under way, parties inside a closed desc, watches of libraries.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "sched/netpoll.h"
#include "sched/runtime.h"

static int pair[2];
static struct wfi_runtime *runtime;

static void nothing(void *unused)
{
    (void)unused;
}

static int set_up(void **state)
{
    (void)state;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
        return -1;
    if (wfi_runtime_create(&(struct wfi_runtime_options){.workers = 1}, &runtime, NULL))
        return -1;
    /* Its worker has started, and allocates nothing more of its own, when it has run something. */
    struct wfi_routine routine;
    wfi_routine_start(&routine, runtime, NULL, nothing, NULL);
    return wfi_routine_join(&routine, WF_FOREVER);
}

static int tear_down(void **state)
{
    (void)state;
    wfi_runtime_destroy(runtime);
    close(pair[0]);
    close(pair[1]);
    return 0;
}

static void run_on_fiber(void (*fn)(void *), void *arg)
{
    struct wfi_routine routine;
    wfi_routine_start(&routine, runtime, "test", fn, arg);
    assert_int_equal(wfi_routine_join(&routine, WF_FOREVER), 0);
}

static bool blocked(struct wfi_poll_desc *d)
{
    wfi_lock_lock(&d->lock);
    bool waits = !wfi_wait_list_empty(&d->directions[WFI_DESC_READ].waiters);
    wfi_lock_unlock(&d->lock);
    return waits;
}

static void until_blocked(struct wfi_poll_desc *d)
{
    while (!blocked(d))
        wfi_yield();
}

static int wait_to_read(struct wfi_poll_desc *d, uint32_t seen, wf_deadline deadline)
{
    return wfi_poll_desc_wait(d, WFI_DESC_READ, seen, "read", d, deadline);
}

/* Reads one byte, waiting for it; counts the rounds. */
struct reader {
    struct wfi_poll_desc *d;
    WFI_ATOMIC(int) rounds;
    int err;
    char byte;
};

static void read_byte(void *arg)
{
    struct reader *r = arg;
    do {
        wfi_fetch_add(&r->rounds, 1);
        uint32_t seen = wfi_poll_desc_seen(r->d, WFI_DESC_READ);
        if (read(r->d->fd, &r->byte, 1) == 1)
            return;
        r->err = wait_to_read(r->d, seen, WF_FOREVER);
    } while (!r->err);
}

static void finish(struct wfi_poll_desc *d)
{
    assert_true(wfi_poll_desc_close(d));
    wfi_poll_desc_free(d);
}

/*
 * Another party's edge came after this one's -EAGAIN, and its taker took a part only: to wait now
 * would be to wait for an edge that has been.
 */
static void miss_no_edge(void *arg)
{
    struct wfi_poll_desc *d = arg;
    uint32_t before = wfi_poll_desc_seen(d, WFI_DESC_READ);
    assert_int_equal(wait_to_read(d, before, WF_NOW), -ETIMEDOUT);
    d->target.ready(&d->target, WFI_POLL_READ);
    uint32_t after = wfi_poll_desc_seen(d, WFI_DESC_READ);
    assert_int_not_equal(before, after);
    assert_int_equal(wait_to_read(d, before, WF_NOW), 0);
    assert_int_equal(wait_to_read(d, before, WF_NOW), 0);
    assert_int_equal(wait_to_read(d, after, WF_NOW), -ETIMEDOUT);
    /* The other direction has seen nothing. */
    assert_int_equal(wfi_poll_desc_wait(d, WFI_DESC_WRITE, wfi_poll_desc_seen(d, WFI_DESC_WRITE),
                                        "write", d, WF_NOW),
                     -ETIMEDOUT);
}

static void an_edge_between_call_and_wait_is_seen(void **state)
{
    (void)state;
    struct wfi_poll_desc *d = wfi_poll_desc_open(pair[0]);
    /* On a thread: no home, so that the edges are the test's own. */
    miss_no_edge(d);
    assert_null(d->home);
    finish(d);
}

static void an_edge_wakes_everyone(void **state)
{
    (void)state;
    enum { READERS = 3 };
    struct reader readers[READERS];
    struct wfi_routine routines[READERS];
    struct wfi_poll_desc *d = wfi_poll_desc_open(pair[0]);
    for (int i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.d = d};
        wfi_routine_start(&routines[i], runtime, "reader", read_byte, &readers[i]);
    }
    until_blocked(d);
    assert_int_equal(write(pair[1], "abc", READERS), READERS);
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(wfi_routine_join(&routines[i], WF_FOREVER), 0);
        assert_int_equal(readers[i].err, 0);
    }
    finish(d);
}

/* An event fetched before a close may be dispatched when the desc serves another descriptor. */
static void an_event_for_an_earlier_life_does_no_harm(void **state)
{
    (void)state;
    struct wfi_poll_desc *d = wfi_poll_desc_open(pair[0]);
    struct wfi_poll_target *stale = &d->target;
    finish(d);
    stale->ready(stale, WFI_POLL_READ | WFI_POLL_WRITE); /* while nobody has it */
    struct reader r = {.d = wfi_poll_desc_open(pair[0])};
    assert_ptr_equal(r.d, d); /* last in, first out */
    struct wfi_routine routine;
    wfi_routine_start(&routine, runtime, "reader", read_byte, &r);
    until_blocked(d);
    int rounds = wfi_load(&r.rounds);
    stale->ready(stale, WFI_POLL_READ);
    while (wfi_load(&r.rounds) == rounds)
        wfi_yield();
    until_blocked(d); /* it looked, found nothing, and waits again */
    assert_int_equal(write(pair[1], "x", 1), 1);
    assert_int_equal(wfi_routine_join(&routine, WF_FOREVER), 0);
    assert_int_equal(r.byte, 'x');
    finish(d);
}

static void the_last_to_leave_is_told(void **state)
{
    (void)state;
    struct wfi_poll_desc *d = wfi_poll_desc_open(pair[0]);
    assert_int_equal(wfi_poll_desc_enter(d), 0);
    assert_int_equal(wfi_poll_desc_enter(d), 0);
    assert_false(wfi_poll_desc_leave(d));
    assert_false(wfi_poll_desc_close(d));
    assert_int_equal(wfi_poll_desc_enter(d), -EPIPE);
    assert_int_equal(wait_to_read(d, wfi_poll_desc_seen(d, WFI_DESC_READ), WF_FOREVER), -EPIPE);
    assert_true(wfi_poll_desc_leave(d));
    wfi_poll_desc_free(d);
}

static void descs_are_used_again_and_may_run_out(void **state)
{
    (void)state;
    enum { MANY = 300 };
    static struct wfi_poll_desc *descs[MANY];
    int count = 0;
    wfi_alloc_watch(1);
    while (count < MANY && (descs[count] = wfi_poll_desc_open(pair[0])))
        count++;
    assert_true(wfi_alloc_unwatch());
    assert_in_range(count, 1, MANY - 1);
    for (; count < MANY; count++)
        assert_non_null(descs[count] = wfi_poll_desc_open(pair[0]));
    for (int i = 0; i < MANY; i++)
        finish(descs[i]);
    wfi_alloc_watch(1);
    for (int i = 0; i < MANY; i++)
        assert_non_null(descs[i] = wfi_poll_desc_open(pair[0]));
    assert_false(wfi_alloc_unwatch());
    for (int i = 0; i < MANY; i++)
        finish(descs[i]);
}

/* A library's watch */

struct watcher {
    struct wfi_poll_target target;
    struct wfi_lock lock;
    struct wfi_wait_list waiters;
    WFI_ATOMIC(bool) waits;
    int calls;
    uint32_t ready;
};

static void watcher_ready(struct wfi_poll_target *target, uint32_t ready)
{
    struct watcher *w = wfi_container_of(target, struct watcher, target);
    assert_null(wfi_on_fiber() ? w : NULL); /* the worker's own stack */
    char byte;
    w->calls++;
    w->ready = ready;
    if (w->calls < 3)
        return; /* level-triggered: it will be told again */
    assert_int_equal(read(pair[0], &byte, 1), 1);
    wfi_lock_lock(&w->lock);
    struct wfi_wait_node *node = wfi_wait_claim_first(&w->waiters);
    wfi_lock_unlock(&w->lock);
    wfi_wake(node->waiter);
}

static void watch(void *arg)
{
    struct watcher *w = arg;
    struct wfi_worker *worker = wfi_worker_current();
    struct wfi_wait_node node = {.amount = 0};
    w->target.ready = watcher_ready;
    assert_int_equal(wfi_netpoll_attach(worker, NULL), 0);
    assert_int_equal(wfi_netpoll_watch(worker, pair[0], WFI_POLL_READ, &w->target), 0);
    wfi_lock_lock(&w->lock);
    wfi_store(&w->waits, true);
    assert_int_equal(wfi_wait(&w->waiters, &w->lock, &node, "watch", w, WF_FOREVER), 0);
    assert_int_equal(wfi_netpoll_watch(worker, pair[0], 0, NULL), 0);
    wfi_netpoll_detach(worker);
}

static void a_watch_is_told_while_it_lasts(void **state)
{
    (void)state;
    struct watcher w = {.calls = 0};
    struct wfi_routine routine;
    wfi_routine_start(&routine, runtime, "watcher", watch, &w);
    while (!wfi_load(&w.waits))
        wfi_yield();
    assert_int_equal(write(pair[1], "x", 1), 1);
    assert_int_equal(wfi_routine_join(&routine, WF_FOREVER), 0);
    assert_int_equal(w.calls, 3);
    assert_int_equal(w.ready, WFI_POLL_READ);
}

static void attach_without_memory(void *arg)
{
    (void)arg;
    struct wf_error error = {0};
    wfi_alloc_watch(1);
    int err = wfi_netpoll_attach(wfi_worker_current(), &error);
    wfi_alloc_unwatch();
    assert_int_equal(err, -ENOMEM);
    assert_int_equal(error.code, -ENOMEM);
    struct wfi_poll_desc *d = wfi_poll_desc_open(pair[0]);
    wfi_alloc_watch(1);
    err = wait_to_read(d, wfi_poll_desc_seen(d, WFI_DESC_READ), WF_FOREVER);
    wfi_alloc_unwatch();
    assert_int_equal(err, -ENOMEM);
    finish(d);
}

static void without_memory_a_wait_fails_and_does_not_hang(void **state)
{
    (void)state;
    run_on_fiber(attach_without_memory, NULL);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(an_edge_between_call_and_wait_is_seen),         ROW(an_edge_wakes_everyone),
        ROW(an_event_for_an_earlier_life_does_no_harm),     ROW(the_last_to_leave_is_told),
        ROW(descs_are_used_again_and_may_run_out),          ROW(a_watch_is_told_while_it_lasts),
        ROW(without_memory_a_wait_fails_and_does_not_hang),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
