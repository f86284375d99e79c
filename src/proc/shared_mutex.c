/* SPDX-License-Identifier: MIT */
/*
 * The shared mutex. Its word is the number of the process that owns it, or 0, and
 *
 *   WAITERS   somebody may sleep on the word: unlock wakes one
 *   DIED      an owner's process ended; stays until the mutex is said to be repaired
 *
 * `party` is the thread or fiber of that process, by an address that means something there alone;
 * it is written by the owner while it owns. A party asks for its own address only, and only it
 * writes that, so it may look without owning.
 *
 * A sleeper that gets the mutex leaves WAITERS behind, because others may still sleep; so a wake-up
 * given to one that finds the mutex taken again is not lost for the others. A death between freeing
 * the word and the wake-up, or of the one that was woken, is made good by the sweep, which wakes
 * all.
 */
#include "proc/shared_mutex.h"

#include <errno.h>

#include "os/cpu.h"
#include "proc/shared.h"
#include "proc/shared_wait.h"
#include "sched/park.h"

enum { OWNER = 0xffff, WAITERS = 0x10000, DIED = 0x20000, SPINS = 40 };

struct wf_shared_mutex {
    struct wfi_shared shared;
    WFI_ATOMIC(uint32_t) word;
    WFI_ATOMIC(uint64_t) party;
};

WFI_SHARED_WIRE(wf_shared_mutex, WFI_BLOCK_MUTEX)

static void died(void *object, uint32_t member)
{
    struct wf_shared_mutex *m = object;
    uint32_t seen = wfi_load(&m->word);
    while ((seen & OWNER) == member) {
        wfi_store(&m->party, 0); /* before the next owner can write its own */
        if (wfi_cas(&m->word, &seen, (seen & ~(uint32_t)OWNER) | DIED))
            break;
    }
    wfi_shared_wake(&m->word, WFI_WAKE_ALL);
}

const struct wfi_shared_kind wfi_shared_mutex_kind = {.name = "mutex", .died = died};

int wf_shared_mutex_create(struct wf_shared_mutex **ret_mutex, struct wf_error *reterr)
{
    void *object;
    int err = wfi_shared_create(sizeof **ret_mutex, &object, reterr);
    if (err)
        return err;
    wfi_shared_publish(object, WFI_BLOCK_MUTEX);
    *ret_mutex = object;
    return 0;
}

void wf_shared_mutex_destroy(struct wf_shared_mutex *mutex)
{
    wfi_shared_destroy(mutex, WFI_BLOCK_MUTEX);
}

static uint64_t party(void)
{
    return (uint64_t)(uintptr_t)wfi_self();
}

/* Takes the word if nobody owns it; `bits` go into it as well. -EAGAIN if somebody does. */
static int take(struct wf_shared_mutex *m, uint32_t member, uint32_t bits)
{
    uint32_t seen = 0;
    /* acquire: pairs with the release in unlock */
    while (!wfi_cas_acquire(&m->word, &seen, seen | member | bits))
        if (seen & OWNER)
            return -EAGAIN;
    wfi_store_relaxed(&m->party, party()); /* for the caller's own eyes, and the sweep's */
    return seen & DIED ? WF_OWNER_DIED : 0;
}

static int lock_slowly(struct wf_shared_mutex *m, uint32_t member, bool cancelable,
                       wf_deadline deadline)
{
    for (int spins = wfi_cpu_alone() ? 0 : SPINS; spins > 0; spins--) {
        wfi_cpu_relax();
        if (!(wfi_load_relaxed(&m->word) & OWNER))
            break;
    }
    for (uint32_t bits = 0;; bits = WAITERS) {
        int got = take(m, member, bits);
        if (got != -EAGAIN)
            return got;
        uint32_t seen = wfi_load(&m->word);
        if (!(seen & OWNER) || (!(seen & WAITERS) && !wfi_cas(&m->word, &seen, seen | WAITERS)))
            continue;
        seen |= WAITERS;
        int err = cancelable
                      ? wfi_shared_wait(&m->word, seen, "shared mutex", m, deadline)
                      : wfi_shared_wait_uncancelable(&m->word, seen, "shared mutex", m, deadline);
        if (err)
            return err;
    }
}

int wf_shared_mutex_try_lock(struct wf_shared_mutex *m)
{
    uint32_t member = wfi_arena_self();
    return member ? take(m, member, 0) : wfi_arena_refusal(NULL);
}

int wf_shared_mutex_lock(struct wf_shared_mutex *m, wf_deadline deadline)
{
    uint32_t member = wfi_arena_self();
    if (!member)
        return wfi_arena_refusal(NULL);
    int got = take(m, member, 0);
    if (got != -EAGAIN)
        return got;
    /* relaxed: only the caller itself can have put its own address there */
    if ((wfi_load_relaxed(&m->word) & OWNER) == member && wfi_load_relaxed(&m->party) == party())
        return WF_EDEADLOCK;
    return lock_slowly(m, member, true, deadline);
}

int wfi_shared_mutex_relock(struct wf_shared_mutex *m)
{
    return lock_slowly(m, wfi_arena_self(), false, WF_FOREVER);
}

int wfi_shared_mutex_check(const struct wf_shared_mutex *m)
{
    uint32_t member = wfi_arena_self();
    if (!member)
        return wfi_arena_refusal(NULL);
    uint32_t seen = wfi_load_relaxed(&m->word); /* relaxed, both: as above */
    if (!(seen & OWNER))
        return WF_ESTATE;
    return (seen & OWNER) == member && wfi_load_relaxed(&m->party) == party() ? 0 : -EPERM;
}

int wf_shared_mutex_repaired(struct wf_shared_mutex *m)
{
    int err = wfi_shared_mutex_check(m);
    if (!err)
        wfi_fetch_and(&m->word, ~(uint32_t)DIED);
    return err;
}

int wf_shared_mutex_unlock(struct wf_shared_mutex *m)
{
    int err = wfi_shared_mutex_check(m);
    if (err)
        return err;
    wfi_store_relaxed(&m->party, 0);
    /* release, in the operation: pairs with the acquire in take */
    uint32_t seen = wfi_fetch_and(&m->word, DIED);
    if (seen & WAITERS)
        wfi_shared_wake(&m->word, 1);
    return 0;
}
