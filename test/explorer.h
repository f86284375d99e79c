/* SPDX-License-Identifier: MIT */
/*
 * For programs that run small situations under the interleaving explorer, each for many seeds: what
 * can go wrong between any two atomic operations goes wrong for some of them. A situation is a
 * function that starts threads and executors, and joins them; `check` ends the program with the
 * seed when something does not hold, and so does a deadlock.
 *
 * WEFT_SEED=N runs one seed of every situation, WEFT_SEEDS=N that many.
 */
#ifndef EXPLORER_H
#define EXPLORER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/context.h"
#include "os/explore.h"
#include "os/thread.h"
#include "sched/park.h"

static const struct wfi_park_ops explore_ops = {wfi_explore_now, wfi_explore_sleep,
                                                wfi_explore_wake};

static const char *situation;
static uint64_t seed;

static inline void check_(bool holds, const char *what, int line)
{
    if (holds)
        return;
    printf("%s, WEFT_SEED=%llu, step %llu: line %d: %s\n", situation, (unsigned long long)seed,
           (unsigned long long)wfi_explore_steps(), line, what);
    fflush(stdout);
    _Exit(1);
}
#define check(condition) check_((condition), #condition, __LINE__)

static inline struct wfi_thread start(void *(*fn)(void *), void *arg)
{
    struct wfi_thread thread;
    check(wfi_thread_start(&thread, NULL, 0, fn, arg) == 0);
    return thread;
}

static inline void join(struct wfi_thread thread)
{
    wfi_thread_join(&thread);
}

struct situation {
    const char *name;
    void (*fn)(void *);
    int share; /* of the seeds, in percent: the larger ones take longer */
};

static inline uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static inline int explore_all(const struct situation *situations, size_t count)
{
    static const char *const outcomes[] = {"done", "deadlock", "endless"};
    uint64_t one = from_environment("WEFT_SEED", 0), many = from_environment("WEFT_SEEDS", 2000);
    uint64_t first = one ? one : (uint64_t)wf_now() % 1000000007u;
    printf("seeds from %llu\n", (unsigned long long)first);
    wfi_park_ops = &explore_ops;
    for (size_t i = 0; i < count; i++) {
        uint64_t runs = one ? 1 : many * (uint64_t)situations[i].share / 100, steps = 0;
        situation = situations[i].name;
        for (uint64_t n = 0; n < runs; n++) {
            seed = first + n;
            enum wfi_explore_outcome outcome = wfi_explore_run(
                &(struct wfi_explore_options){.seed = seed}, situations[i].fn, NULL);
            steps += wfi_explore_steps();
            check_(outcome == WFI_EXPLORE_DONE, outcomes[outcome], __LINE__);
        }
        printf("ok %s: %llu seeds, %llu steps\n", situation, (unsigned long long)runs,
               (unsigned long long)steps);
    }
#ifdef WFI_CONTEXT_COUNTED
    printf("%llu switches\n", (unsigned long long)wfi_context_switch_count());
#endif
    return 0;
}

#endif
