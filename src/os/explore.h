/* SPDX-License-Identifier: MIT */
/*
 * The seeded interleaving explorer; in builds with -Dexplore=true only.
 *
 * A run executes a few virtual threads on one real thread. Every atomic access of weft's is a
 * scheduling point (base/atomic.h): the explorer decides there, from its seed, which virtual thread
 * goes on. Sleeping, waking and the time are the explorer's, too: time stands still while anybody
 * can run, except that now and then the earliest deadline is let pass early. The same seed gives
 * the same run; a failing seed is a test.
 *
 * Two strategies, by the seed's parity: a random walk, and random priorities with a few points at
 * which the running one drops to the lowest (Burckhardt, Kothari, Musuvathi and Nagarakatte, "A
 * randomized scheduler with probabilistic guarantees of finding bugs", ASPLOS 2010).
 *
 * What it does not show: reorderings that only a weak memory model allows. Every run is
 * sequentially consistent.
 */
#ifndef WFI_OS_EXPLORE_H
#define WFI_OS_EXPLORE_H

#ifdef WFI_EXPLORE

#include <weft/time.h>

#include "base/atomic.h"

enum { WFI_EXPLORE_THREADS = 12 };

struct wfi_explore_options {
    uint64_t seed;
    uint64_t steps_max; /* a run that needs more is livelocked; 0: 200,000 */
};

enum wfi_explore_outcome {
    WFI_EXPLORE_DONE,     /* all virtual threads have ended */
    WFI_EXPLORE_DEADLOCK, /* nobody can run, and no deadline is pending */
    WFI_EXPLORE_ENDLESS,  /* steps_max */
};

/*
 * Runs fn(arg) as the first virtual thread, and whatever wfi_thread_start starts from it as others,
 * until all have ended. After anything but WFI_EXPLORE_DONE their stacks are left as they are, and
 * the process should end soon.
 */
enum wfi_explore_outcome wfi_explore_run(const struct wfi_explore_options *options,
                                         void (*fn)(void *), void *arg);

/* True inside a run. */
bool wfi_explore_active(void);
/* Scheduling points passed in the run, or in the last one. */
uint64_t wfi_explore_steps(void);

/* For os/thread.c and os/self.c, inside a run. */
int wfi_explore_thread_start(void *(*fn)(void *), void *arg);
void *wfi_explore_thread_join(int number);
void wfi_explore_at_exit(void (*fn)(void *), void *value);

/* What parking stands on, inside a run. */
int64_t wfi_explore_now(void);
void wfi_explore_sleep(WFI_ATOMIC(uint32_t) * word, uint32_t expected, wf_deadline deadline);
void wfi_explore_wake(WFI_ATOMIC(uint32_t) * word);

#endif

#endif
