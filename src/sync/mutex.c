/* SPDX-License-Identifier: MIT */
/*
 * The mutex. Its word is the owner's address, or 0, plus two bits:
 *
 *   WAITERS   `waiting` may not be empty: unlock has to look
 *   WOKEN     a waiter was woken to try its luck and has not tried yet: no need to wake another
 *
 * Two modes, as in Go's mutex. Normally unlock frees the word and wakes the oldest waiter, which
 * then competes with whoever comes by; a running party mostly wins, and no time is lost in
 * switching to one that sleeps. A waiter that lost goes back to the head of the list with the age
 * it had. Once the oldest has waited PATIENCE_NS, unlock writes it into the word as the owner: the
 * lock is handed over and nobody can pass.
 *
 * Invariants
 *   1. `waiting` and the two bits change only under `lock`. WAITERS is set before a node is linked
 *      and cleared by whoever, under `lock`, finds the list empty. The fast paths carry bits along.
 *   2. While the word has no owner and the list is not empty, WOKEN is set: somebody is on its way
 *      that will take the mutex or find it taken. It cannot be cancelled on the way.
 *   3. WOKEN is set with a wake-up without hand-over and cleared by the party that was woken.
 *   4. Only the owner takes its address out of the word.
 *
 * A party may take the free word while an unlock that freed it still holds `lock`. Therefore fini
 * takes `lock` once: after it no unlock touches the storage.
 */
#include "sync/mutex.h"

#include <errno.h>

#include "os/fork.h"

_Static_assert(sizeof(struct wfi_mutex) <= sizeof(struct wf_mutex), "the public words suffice");
_Static_assert(_Alignof(struct wfi_mutex) <= _Alignof(struct wf_mutex), "and their alignment");

enum { WAITERS = 1, WOKEN = 2, BITS = 3 };

/* 1 ms: below it barging is cheaper than a switch per unlock, above it the tail of waiting grows.
 */
#define PATIENCE_NS WF_MILLISECONDS(1)

static struct wfi_mutex *inside(struct wf_mutex *m)
{
    return (struct wfi_mutex *)(void *)m;
}

static uintptr_t owner_of(uintptr_t word)
{
    return word & ~(uintptr_t)BITS;
}

void wf_mutex_init(struct wf_mutex *m)
{
    *m = (struct wf_mutex)WF_MUTEX_INIT;
}

void wf_mutex_fini(struct wf_mutex *m)
{
    struct wfi_mutex *in = inside(m);
    wfi_lock_lock(&in->lock);
    wfi_assert(owner_of(wfi_load_relaxed(&in->word)) == 0, "a mutex is unlocked before its end");
    wfi_assert(wfi_wait_list_empty(&in->waiting), "nobody waits for a mutex at its end");
    wfi_lock_unlock(&in->lock);
}

/* Takes the word for `self` if it has no owner, keeping its bits. */
static bool take(struct wfi_mutex *in, uintptr_t self)
{
    uintptr_t seen = 0;
    /* acquire: pairs with the releases in unlock */
    while (!wfi_cas_acquire(&in->word, &seen, seen | self))
        if (owner_of(seen))
            return false;
    return true;
}

/* Under `lock`: takes the word for `self`, or leaves WAITERS in it. `drop` bits are cleared. */
static bool take_or_announce(struct wfi_mutex *in, uintptr_t self, uintptr_t drop)
{
    uintptr_t seen = wfi_load_relaxed(&in->word), next;
    bool taken;
    do {
        taken = !owner_of(seen);
        next = seen & ~drop;
        if (!taken)
            next |= WAITERS;
        else
            next = (wfi_wait_list_empty(&in->waiting) ? next & ~(uintptr_t)WAITERS : next) | self;
        /* acquire: pairs with the releases in unlock */
    } while (!wfi_cas_acquire(&in->word, &seen, next));
    return taken;
}

/* node->slot: NULL, or the mutex when it was handed over. */
static int lock_slowly(struct wfi_mutex *in, struct wfi_waiter *self, bool cancelable,
                       wf_deadline deadline)
{
    struct wfi_wait_node node = {.waiter = self, .amount = (uint64_t)wfi_park_ops->now()};
    uintptr_t drop = 0;
    for (;;) {
        wfi_lock_lock(&in->lock);
        if (take_or_announce(in, (uintptr_t)self, drop)) {
            wfi_lock_unlock(&in->lock);
            return 0;
        }
        /* By hand what wfi_wait does, because one that lost its turn goes to the head. */
        if (cancelable)
            wfi_wait_begin("mutex", in);
        else
            wfi_wait_begin_uncancelable("mutex", in);
        node.slot = NULL;
        if (drop)
            wfi_wait_list_push_front(&in->waiting, &node);
        else
            wfi_wait_list_push(&in->waiting, &node);
        struct wfi_lock *held = &in->lock;
        int err = wfi_park(self, &held, 1, deadline);
        if (err) {
            wfi_lock_lock(&in->lock);
            wfi_wait_list_remove(&in->waiting, &node);
            if (wfi_wait_list_empty(&in->waiting))
                wfi_fetch_and(&in->word, ~(uintptr_t)WAITERS);
            wfi_lock_unlock(&in->lock);
            return err;
        }
        if (node.slot)
            return 0;
        drop = WOKEN;
    }
}

int wf_mutex_lock(struct wf_mutex *m, wf_deadline deadline)
{
    struct wfi_mutex *in = inside(m);
    struct wfi_waiter *self = wfi_self();
    if (wfi_likely(take(in, (uintptr_t)self)))
        return 0;
    /* relaxed: only the caller itself can have put its own address there */
    if (owner_of(wfi_load_relaxed(&in->word)) == (uintptr_t)self)
        return WF_EDEADLOCK;
    if (wfi_forked())
        return WF_EFORKED;
    return lock_slowly(in, self, true, deadline);
}

void wfi_mutex_lock_uncancelable(struct wf_mutex *m)
{
    struct wfi_waiter *self = wfi_self();
    if (!take(inside(m), (uintptr_t)self))
        lock_slowly(inside(m), self, false, WF_FOREVER);
}

int wf_mutex_try_lock(struct wf_mutex *m)
{
    return take(inside(m), (uintptr_t)wfi_self()) ? 0 : -EAGAIN;
}

int wfi_mutex_check_owner(struct wf_mutex *m)
{
    /* Before the look at the word: a thread's first call may get the record of one that has ended.
     */
    uintptr_t self = (uintptr_t)wfi_self();
    /* relaxed: the caller's own address is there only by its own doing */
    uintptr_t owner = owner_of(wfi_load_relaxed(&inside(m)->word));
    if (owner == self)
        return 0;
    return owner ? -EPERM : WF_ESTATE;
}

/* Slow part of unlock: frees the mutex and wakes the oldest waiter, or hands it over. */
static void pass_on(struct wfi_mutex *in)
{
    wfi_lock_lock(&in->lock);
    struct wfi_wait_node *next = wfi_wait_claim_first(&in->waiting);
    uintptr_t word = wfi_wait_list_empty(&in->waiting) ? 0 : WAITERS;
    if (next && wfi_park_ops->now() - (int64_t)next->amount >= PATIENCE_NS) {
        next->slot = in;
        word |= (uintptr_t)next->waiter;
    } else if (next) {
        word |= WOKEN;
    }
    /*
     * release: pairs with the acquires in take and take_or_announce. A plain store, because an
     * owned word changes only by its owner or under `lock`.
     */
    wfi_store_release(&in->word, word);
    wfi_lock_unlock(&in->lock);
    if (next)
        wfi_wake(next->waiter);
}

int wf_mutex_unlock(struct wf_mutex *m)
{
    struct wfi_mutex *in = inside(m);
    uintptr_t self = (uintptr_t)wfi_self();
    uintptr_t seen = self;
    /* release: pairs with the acquires in take and take_or_announce */
    while (!wfi_cas_release(&in->word, &seen, seen & BITS)) {
        if (owner_of(seen) != self)
            return owner_of(seen) ? -EPERM : WF_ESTATE;
        if ((seen & BITS) == WAITERS) {
            pass_on(in);
            return 0;
        }
    }
    return 0;
}

struct wf_locked wf_locked_enter(struct wf_mutex *m)
{
    wfi_assert(wfi_mutex_check_owner(m) != 0, "WF_LOCKED is not entered twice for one mutex");
    wfi_mutex_lock_uncancelable(m);
    return (struct wf_locked){m};
}

void wf_locked_leave(struct wf_locked *held)
{
    if (!held->mutex)
        return;
    int err = wf_mutex_unlock(held->mutex);
    wfi_assert(err == 0, "the block of WF_LOCKED leaves its mutex locked");
    held->mutex = NULL;
}
