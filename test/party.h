/* SPDX-License-Identifier: MIT */
/*
 * Runs one test four ways: its parties as plain threads, as fibers of one worker, as fibers of four
 * workers, and as both mixed. A test is a function of the mode that calls party_run with the
 * function every party runs; a party tells itself apart by its index, and party 0 often directs.
 *
 * Nothing sleeps to let another get somewhere: party_parked waits until a party's record says that
 * it waits, and for what. A failed check stops the program, because a party that is not the test's
 * thread cannot report to cmocka.
 */
#ifndef PARTY_H
#define PARTY_H

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <weft/error.h>
#include <weft/time.h>

#include "base/alloc.h"
#include "base/random.h"
#include "os/thread.h"
#include "sched/cancel.h"
#include "sched/park.h"
#include "sched/runtime.h"

enum party_mode { PARTY_THREADS, PARTY_FIBERS_1, PARTY_FIBERS_4, PARTY_MIXED };

enum { PARTY_MAX = 64 };

struct party {
    int index, count;
    void *arg;
    enum party_mode mode;
    WFI_ATOMIC(struct wfi_waiter *) waiter; /* published when the party begins */
    WFI_ATOMIC(bool) ended;
    struct wfi_cancel level; /* party_cancel asks it */
    struct party *all;
    void (*fn)(struct party *self);
    struct wfi_routine routine;
    struct wfi_thread thread;
    bool on_thread;
};

#define party_check(condition)                                                                    \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            fprintf(stderr, "%s:%d: %s: not so: %s\n", __FILE__, __LINE__, __func__, #condition); \
            abort();                                                                              \
        }                                                                                         \
    } while (0)

/* The same, showing both numbers. */
#define party_equal(a, b)                                                                        \
    do {                                                                                         \
        long long party_a = (long long)(a), party_b = (long long)(b);                            \
        if (party_a != party_b) {                                                                \
            fprintf(stderr, "%s:%d: %s: %s is %lld, %s is %lld\n", __FILE__, __LINE__, __func__, \
                    #a, party_a, #b, party_b);                                                   \
            abort();                                                                             \
        }                                                                                        \
    } while (0)

/* A deadline that is only reached when the test has failed. */
static inline wf_deadline party_soon(void)
{
    return wf_after(WF_SECONDS(60));
}

static inline struct party *party_at(struct party *self, int index)
{
    return &self->all[index];
}

static inline void party_main(void *arg)
{
    struct party *self = arg;
    wfi_cancel_enter(&self->level, NULL, false, WF_FOREVER);
    wfi_store(&self->waiter, wfi_self());
    self->fn(self);
    wfi_store(&self->ended, true);
    wfi_cancel_leave(&self->level);
}

static inline void *party_thread(void *arg)
{
    party_main(arg);
    return NULL;
}

static inline bool party_is_parked(struct party *other, const char *reason)
{
    struct wfi_waiter *waiter = wfi_load(&other->waiter);
    if (!waiter)
        return false;
    const char *now = wfi_load_relaxed(&waiter->reason);
    return now && strcmp(now, reason) == 0;
}

/* Waits until `other` waits for something of the kind `reason` names. */
static inline void party_parked(struct party *other, const char *reason)
{
    wf_deadline give_up = party_soon();
    while (!party_is_parked(other, reason)) {
        if (wf_now() > give_up.ns) {
            fprintf(stderr, "party %d does not wait for a %s\n", other->index, reason);
            abort();
        }
        wfi_yield();
    }
}

/* Waits until *flag is at least `value`. */
static inline void party_reaches(WFI_ATOMIC(int) * flag, int value)
{
    wf_deadline give_up = party_soon();
    while (wfi_load(flag) < value) {
        if (wf_now() > give_up.ns) {
            fprintf(stderr, "a counter stays at %d, %d was expected\n", wfi_load(flag), value);
            abort();
        }
        wfi_yield();
    }
}

static inline void party_ended(struct party *other)
{
    while (!wfi_load(&other->ended))
        wfi_yield();
}

/* Cancels `other`, which must not have ended. */
static inline void party_cancel(struct party *other)
{
    while (!wfi_load(&other->waiter))
        wfi_yield();
    wfi_cancel_ask(&other->level);
}

static inline void party_run(enum party_mode mode, int count, void (*fn)(struct party *self),
                             void *arg)
{
    static struct party parties[PARTY_MAX];
    party_check(count <= PARTY_MAX);
    memset((void *)parties, 0, sizeof parties);
    struct wfi_runtime *runtime = NULL;
    struct wfi_runtime_options options = {.workers = mode == PARTY_FIBERS_1 ? 1 : 4};
    if (mode != PARTY_THREADS)
        party_equal(wfi_runtime_create(&options, &runtime, NULL), 0);
    for (int i = 0; i < count; i++) {
        struct party *p = &parties[i];
        p->index = i;
        p->count = count;
        p->arg = arg;
        p->mode = mode;
        p->all = parties;
        p->fn = fn;
        p->on_thread = mode == PARTY_THREADS || (mode == PARTY_MIXED && i % 2 == 0);
    }
    for (int i = 0; i < count; i++) {
        struct party *p = &parties[i];
        char name[32];
        snprintf(name, sizeof name, "party_%d", i);
        if (p->on_thread)
            party_equal(wfi_thread_start(&p->thread, name, 0, party_thread, p), 0);
        else
            wfi_routine_start(&p->routine, runtime, name, party_main, p);
    }
    for (int i = 0; i < count; i++) {
        if (parties[i].on_thread)
            wfi_thread_join(&parties[i].thread);
        else
            party_equal(wfi_routine_join(&parties[i].routine, party_soon()), 0);
    }
    wfi_runtime_destroy(runtime);
}

__attribute__((unused)) static enum party_mode party_modes[] = {PARTY_THREADS, PARTY_FIBERS_1,
                                                                PARTY_FIBERS_4, PARTY_MIXED};

/* The mode inside a cmocka test made by PARTY_TEST. */
static inline enum party_mode party_mode_of(void **state)
{
    return *(enum party_mode *)*state;
}

/* Entries of a cmocka table. */
#define PARTY_TEST(test)                                                    \
    {#test " on threads", test, NULL, NULL, &party_modes[0]},               \
        {#test " on fibers, 1 worker", test, NULL, NULL, &party_modes[1]},  \
        {#test " on fibers, 4 workers", test, NULL, NULL, &party_modes[2]}, \
    {                                                                       \
#test " mixed", test, NULL, NULL, &party_modes[3]                   \
    }

#endif
