/* SPDX-License-Identifier: MIT */
/*
 * Semaphores. The word is the number of permits, shifted left by one, and the bit WAITERS.
 *
 * Invariants
 *   1. While WAITERS is set, the word changes only under `lock`: the fast paths leave it alone. So
 *      a permit can neither pass the waiters nor be released without looking at them.
 *   2. WAITERS is set before a node is linked, and cleared, under `lock`, when the list is empty.
 *   3. When `lock` is free, the first waiter wants more than there is: whoever changes the count or
 *      the head of the list grants what can be granted before it lets go.
 *   4. Permits are taken for a waiter by whoever grants them, after the waiter has been claimed.
 */
#include <weft/semaphore.h>

#include <errno.h>

#include "os/fork.h"
#include "sched/park.h"

enum { WAITERS = 1 };

struct semaphore {
    WFI_ATOMIC(uint64_t) word;
    uint64_t bound;               /* 0 for none; constant */
    struct wfi_wait_list waiting; /* node->amount: permits wanted */
    struct wfi_lock lock;
};
_Static_assert(sizeof(struct semaphore) <= sizeof(struct wf_semaphore), "the public words suffice");
_Static_assert(offsetof(struct semaphore, bound) == sizeof(uint64_t),
               "as WF_SEMAPHORE_INIT has it");

static struct semaphore *inside(struct wf_semaphore *s)
{
    return (struct semaphore *)(void *)s;
}

int wf_semaphore_init(struct wf_semaphore *s, uint64_t permits, uint64_t bound)
{
    if (permits > WF_SEMAPHORE_MAX || bound > WF_SEMAPHORE_MAX || (bound && permits > bound))
        return -EINVAL;
    *s = (struct wf_semaphore){{permits << 1, bound, 0, 0, 0}};
    return 0;
}

void wf_semaphore_fini(struct wf_semaphore *s)
{
    struct semaphore *in = inside(s);
    wfi_lock_lock(&in->lock);
    wfi_assert(wfi_wait_list_empty(&in->waiting), "nobody waits for a semaphore at its end");
    wfi_lock_unlock(&in->lock);
}

/* Takes `n` permits unless there are too few or somebody waits. */
static bool take(struct semaphore *in, uint64_t n)
{
    uint64_t seen = wfi_load_relaxed(&in->word);
    do {
        if (seen & WAITERS || seen >> 1 < n)
            return false;
        /* acquire: pairs with the release in give */
    } while (!wfi_cas_acquire(&in->word, &seen, seen - (n << 1)));
    return true;
}

/* Under `lock`, WAITERS set: serves the waiters in order, as far as the permits go. */
static void grant(struct semaphore *in, struct wfi_wake_list *woken)
{
    /* acquire: pairs with the release in give, for those who are granted something here */
    uint64_t count = wfi_load_acquire(&in->word) >> 1;
    for (struct wfi_wait_node *node; (node = in->waiting.first) && node->amount <= count;) {
        wfi_wait_list_remove(&in->waiting, node);
        if (!wfi_wait_claim(node))
            continue;
        count -= node->amount;
        wfi_wake_list_add(woken, node);
    }
    uint64_t bit = wfi_wait_list_empty(&in->waiting) ? 0 : WAITERS;
    /* release: passes on what releases before this one have published */
    wfi_store_release(&in->word, count << 1 | bit);
}

static void grant_and_wake(struct semaphore *in)
{
    struct wfi_wake_list woken = {0};
    wfi_lock_lock(&in->lock);
    if (wfi_load_relaxed(&in->word) & WAITERS)
        grant(in, &woken);
    wfi_lock_unlock(&in->lock);
    wfi_wake_all(&woken);
}

/* Takes the lock with WAITERS set, or the permits after all. */
static bool take_or_announce(struct semaphore *in, uint64_t n)
{
    wfi_lock_lock(&in->lock);
    uint64_t seen = wfi_fetch_or(&in->word, WAITERS);
    if (!wfi_wait_list_empty(&in->waiting) || seen >> 1 < n)
        return false;
    wfi_store_release(&in->word, (seen & ~(uint64_t)WAITERS) - (n << 1));
    wfi_lock_unlock(&in->lock);
    return true;
}

int wf_semaphore_acquire(struct wf_semaphore *s, uint64_t n, wf_deadline deadline)
{
    struct semaphore *in = inside(s);
    if (n == 0 || n > WF_SEMAPHORE_MAX || (in->bound && n > in->bound))
        return -EINVAL;
    if (take(in, n))
        return 0;
    if (wfi_forked())
        return WF_EFORKED;
    if (take_or_announce(in, n))
        return 0;
    struct wfi_wait_node node = {.amount = n};
    int err = wfi_wait(&in->waiting, &in->lock, &node, "semaphore", s, deadline);
    if (err)
        grant_and_wake(in); /* those behind may want less than this one did */
    return err;
}

int wf_semaphore_try_acquire(struct wf_semaphore *s, uint64_t n)
{
    struct semaphore *in = inside(s);
    if (n == 0 || n > WF_SEMAPHORE_MAX || (in->bound && n > in->bound))
        return -EINVAL;
    return take(in, n) ? 0 : -EAGAIN;
}

static bool too_many(const struct semaphore *in, uint64_t count, uint64_t n)
{
    return n > (in->bound ? in->bound : WF_SEMAPHORE_MAX) - count;
}

int wf_semaphore_release(struct wf_semaphore *s, uint64_t n)
{
    struct semaphore *in = inside(s);
    if (n == 0 || n > WF_SEMAPHORE_MAX)
        return -EINVAL;
    struct wfi_wake_list woken = {0};
    bool locked = false;
    int err = 0;
    uint64_t seen = wfi_load_relaxed(&in->word);
    for (;;) {
        if (too_many(in, seen >> 1, n)) {
            err = in->bound ? WF_ESTATE : -EINVAL;
            break;
        }
        if (seen & WAITERS && !locked) {
            locked = true;
            wfi_lock_lock(&in->lock);
            seen = wfi_load_relaxed(&in->word);
            continue;
        }
        /* release: pairs with the acquires in take and grant */
        if (wfi_cas_release(&in->word, &seen, seen + (n << 1)))
            break;
    }
    if (locked) {
        if (wfi_load_relaxed(&in->word) & WAITERS)
            grant(in, &woken);
        wfi_lock_unlock(&in->lock);
    }
    wfi_wake_all(&woken);
    return err;
}

uint64_t wf_semaphore_value(const struct wf_semaphore *s)
{
    const struct semaphore *in = (const struct semaphore *)(const void *)s;
    return wfi_load_relaxed(&in->word) >> 1;
}
