/* SPDX-License-Identifier: MIT */
/* What waits do in a child that the program made by fork. */
#include "party.h"

#include <sys/wait.h>
#include <unistd.h>

#include <weft/barrier.h>
#include <weft/channel.h>
#include <weft/cond.h>
#include <weft/event.h>
#include <weft/latch.h>
#include <weft/limit.h>
#include <weft/once.h>
#include <weft/queue.h>
#include <weft/rwlock.h>
#include <weft/semaphore.h>

WF_CHANNEL(int, ints)
WF_QUEUE(int, int_queue)

static struct wf_mutex mutex = WF_MUTEX_INIT, own = WF_MUTEX_INIT;
static struct wf_condition condition = WF_CONDITION_INIT(&own);
static struct wf_rwlock rwlock = WF_RWLOCK_INIT;
static struct wf_semaphore semaphore = WF_SEMAPHORE_INIT(0);
static struct wf_event event = WF_EVENT_INIT;
static struct wf_latch latch = WF_LATCH_INIT(1);
static struct wf_once once = WF_ONCE_INIT;
static struct wf_barrier barrier;
static struct wf_limit *limit;
static ints channel;
static int_queue queue;
static WFI_ATOMIC(int) step;

static int returns(void *arg)
{
    (void)arg;
    return 0;
}

/* All that the child does, which must not report to cmocka: 0, or the number of what went wrong. */
static int in_child(void)
{
    int got;
    struct wf_clause clause = ints_pop_clause(channel, &got);
    int results[] = {
        wf_mutex_lock(&mutex, WF_FOREVER),
        wf_condition_wait(&condition, WF_FOREVER),
        wf_rwlock_read_lock(&rwlock, WF_FOREVER),
        wf_rwlock_write_lock(&rwlock, WF_FOREVER),
        wf_semaphore_acquire(&semaphore, 1, WF_FOREVER),
        wf_event_wait(&event, WF_FOREVER),
        wf_latch_wait(&latch, WF_FOREVER),
        wf_once_call(&once, returns, NULL, WF_FOREVER),
        wf_barrier_wait(&barrier, WF_FOREVER),
        wf_limit_acquire(limit, "key", WF_FOREVER),
        ints_pop(channel, &got, WF_FOREVER),
        int_queue_pop(queue, &got, WF_FOREVER),
        int_queue_push(queue, 1, WF_FOREVER),
        wf_select(&clause, 1, WF_FOREVER),
    };
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        if (results[i] != WF_EFORKED)
            return (int)i + 1;
    return 0;
}

static void forks_or_holds(struct party *self)
{
    if (self->index == 0) {
        party_equal(wf_mutex_lock(&mutex, party_soon()), 0);
        party_equal(wf_rwlock_write_lock(&rwlock, party_soon()), 0);
        wfi_store(&step, 1);
        party_reaches(&step, 2);
        party_equal(wf_rwlock_write_unlock(&rwlock), 0);
        party_equal(wf_mutex_unlock(&mutex), 0);
        return;
    }
    party_reaches(&step, 1);
    party_equal(wf_mutex_lock(&own, party_soon()), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(in_child());
    party_check(child > 0);
    int status = 0;
    party_equal(waitpid(child, &status, 0), child);
    party_check(WIFEXITED(status));
    party_equal(WEXITSTATUS(status), 0);
    wfi_store(&step, 2);
    party_equal(wf_mutex_unlock(&own), 0);
}

/* LCK-13 */
static void in_a_forked_child_no_wait_hangs(void **state)
{
    (void)state;
    assert_int_equal(wf_barrier_init(&barrier, 2, NULL, NULL), 0);
    assert_int_equal(wf_limit_create(&(struct wf_limit_options){.total = 1}, &limit, NULL), 0);
    assert_int_equal(ints_create(&(struct wf_channel_options){.capacity = 1}, &channel, NULL), 0);
    assert_int_equal(int_queue_create(&(struct wf_queue_options){.capacity = 1}, &queue, NULL), 0);
    party_run(PARTY_THREADS, 2, forks_or_holds, NULL);
    int_queue_destroy(queue);
    ints_destroy(channel);
    wf_limit_destroy(limit);
    wf_barrier_fini(&barrier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(in_a_forked_child_no_wait_hangs)};
    return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
