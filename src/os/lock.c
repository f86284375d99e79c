/* SPDX-License-Identifier: MIT */
#include "os/lock.h"

#include "os/futex.h"
#include "os/sanitizer.h"

#ifdef WFI_LOCKS_COUNTED
/* Several fibers of one thread count in it, one after the other, which TSan takes for a race. */
static _Thread_local int held;

WFI_NO_SANITIZE void wfi_lock_count(int change)
{
    held += change;
}

WFI_NO_SANITIZE int wfi_locks_held(void)
{
    return held;
}
#endif

/* About a microsecond: the sections are tens of instructions, a sleep and a wake cost several
 * thousand. */
#define SPINS 30

void wfi_lock_wait(struct wfi_lock *lock)
{
#ifdef WFI_EXPLORE
    while (!wfi_lock_try(lock))
        wfi_cpu_relax();
#else
    for (int i = 0; i < SPINS; i++) {
        wfi_cpu_relax();
        if (wfi_load_relaxed(&lock->word) == 0 && wfi_lock_try(lock))
            return;
    }
    /* acquire: pairs with the release in wfi_lock_unlock */
    while (wfi_exchange_acquire(&lock->word, 2) != 0)
        wfi_futex_wait(&lock->word, 2, WF_FOREVER);
    wfi_lock_count(1);
#endif
}

void wfi_lock_wake(struct wfi_lock *lock)
{
    /* The lock may be gone: whoever took it after our release may have destroyed it. A futex wake
     * on an address that is no longer a lock wakes nobody, or somebody who looks again. */
    wfi_futex_wake(&lock->word, 1);
}
