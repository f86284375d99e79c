/* SPDX-License-Identifier: MIT */
/*
 * For tests that run with every kind of party: plain threads, fibers of one worker, fibers of four,
 * and both kinds in turn. A test, on its own thread, starts and joins parties one by one, as many
 * as it likes, and they are of the kind of the current mode. (party.h runs one function in all of a
 * fixed set, and directs from inside it.)
 */
#ifndef TEST_PARTIES_H
#define TEST_PARTIES_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>

#include "os/sanitizer.h"
#include "os/thread.h"
#include "sched/runtime.h"

enum parties_mode { PARTIES_THREADS, PARTIES_FIBERS_1, PARTIES_FIBERS_4, PARTIES_MIXED };

struct party {
    void (*fn)(void *);
    void *arg;
    bool fiber;
    struct wfi_thread thread;
    struct wfi_routine routine;
};

static struct wfi_runtime *parties_runtime;
static enum parties_mode parties_mode;
static unsigned parties_started;

static inline int parties_set_up(enum parties_mode mode)
{
    parties_mode = mode;
    parties_started = 0;
    parties_runtime = NULL;
    if (mode == PARTIES_THREADS)
        return 0;
    struct wfi_runtime_options options = {.workers = mode == PARTIES_FIBERS_1 ? 1 : 4};
    return wfi_runtime_create(&options, &parties_runtime, NULL);
}

static inline int parties_tear_down(void **state)
{
    (void)state;
    wfi_runtime_destroy(parties_runtime);
    parties_runtime = NULL;
    return 0;
}

static inline int parties_threads(void **state)
{
    (void)state;
    return parties_set_up(PARTIES_THREADS);
}

static inline int parties_fibers_1(void **state)
{
    (void)state;
    return parties_set_up(PARTIES_FIBERS_1);
}

static inline int parties_fibers_4(void **state)
{
    (void)state;
    return parties_set_up(PARTIES_FIBERS_4);
}

static inline int parties_mixed(void **state)
{
    (void)state;
    return parties_set_up(PARTIES_MIXED);
}

/* One test in all four modes, for the table of a cmocka group. */
#define PARTIES_TEST(test)                                                               \
    {#test " (threads)", test, parties_threads, parties_tear_down, NULL},                \
        {#test " (fibers, 1 worker)", test, parties_fibers_1, parties_tear_down, NULL},  \
        {#test " (fibers, 4 workers)", test, parties_fibers_4, parties_tear_down, NULL}, \
    {                                                                                    \
#test " (mixed)", test, parties_mixed, parties_tear_down, NULL                   \
    }

static inline void *party_thread(void *arg)
{
    struct party *p = arg;
    p->fn(p->arg);
    return NULL;
}

static inline void party_start(struct party *p, void (*fn)(void *), void *arg)
{
    p->fn = fn;
    p->arg = arg;
    p->fiber = parties_runtime && (parties_mode != PARTIES_MIXED || parties_started % 2 == 0);
    parties_started++;
    if (p->fiber)
        wfi_routine_start(&p->routine, parties_runtime, "party", fn, arg);
    else
        assert_int_equal(wfi_thread_start(&p->thread, "party", 256 * 1024, party_thread, p), 0);
}

static inline void party_join(struct party *p)
{
    if (p->fiber)
        assert_int_equal(wfi_routine_join(&p->routine, WF_FOREVER), 0);
    else
        wfi_thread_join(&p->thread);
}

/*
 * Group teardown of tests that use the offload pool. glibc keeps resolver state per thread and
 * frees it when the thread ends; to Valgrind it is lost while an idle thread of the pool still has
 * it. So wait, there, until no other thread is left; nothing tells, and it is the end of the
 * program.
 */
static inline int parties_wait_alone(void **state)
{
    (void)state;
    for (int threads = 2; wfi_under_valgrind() && threads > 1;) {
        DIR *dir = opendir("/proc/self/task");
        if (!dir)
            return -1;
        for (threads = -2; readdir(dir); threads++) /* "." and ".." do not count */
            ;
        closedir(dir);
        wf_sleep(wf_after(WF_MILLISECONDS(20)));
    }
    return 0;
}

#endif
