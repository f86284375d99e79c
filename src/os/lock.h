/* SPDX-License-Identifier: MIT */
/*
 * A lock of four bytes for short sections inside the library: zeroed is free, nothing to destroy.
 * It blocks the thread, so nothing may park while it is held. The word is
 *
 *   0  free     1  held     2  held, and somebody may sleep on the word
 *
 * A sleeper always leaves 2 behind when it gets the lock, because it cannot know whether others
 * sleep; the price is one needless wake, never a lost one. In explorer builds all virtual threads
 * share one real thread, so a waiter goes round through the explorer instead of sleeping.
 */
#ifndef WFI_OS_LOCK_H
#define WFI_OS_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"

struct wfi_lock {
    WFI_ATOMIC(uint32_t) word;
};

/* In debug builds each thread counts the locks it holds, for wfi_park to see that it holds none but
 * those it was given. (Not in the explorer, where all virtual threads are one.) */
#if defined(WFI_DEBUG) && !defined(WFI_EXPLORE)
void wfi_lock_count(int change);
int wfi_locks_held(void);
#define WFI_LOCKS_COUNTED 1
#else
#define wfi_lock_count(change) ((void)0)
#endif

void wfi_lock_wait(struct wfi_lock *lock);
void wfi_lock_wake(struct wfi_lock *lock);

static inline bool wfi_lock_try(struct wfi_lock *lock)
{
    uint32_t seen = 0;
    /* acquire: pairs with the release in wfi_lock_unlock */
    if (!wfi_cas_acquire(&lock->word, &seen, 1))
        return false;
    wfi_lock_count(1);
    return true;
}

static inline void wfi_lock_lock(struct wfi_lock *lock)
{
    if (!wfi_lock_try(lock))
        wfi_lock_wait(lock);
}

static inline void wfi_lock_unlock(struct wfi_lock *lock)
{
    wfi_lock_count(-1);
    /* release: pairs with the acquire in wfi_lock_try and wfi_lock_wait */
    if (wfi_exchange_release(&lock->word, 0) == 2)
        wfi_lock_wake(lock);
}

#endif
