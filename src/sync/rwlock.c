/* SPDX-License-Identifier: MIT */
/*
 * Read-write locks. The word is the number of readers shifted left by two, and the bits WRITER and
 * WAITERS. It is handed over strictly in the order of the wait list: a writer alone, or all readers
 * up to the next writer.
 *
 * Invariants
 *   1. While WAITERS is set, the fast paths leave the word alone and it changes only under `lock`.
 *   2. WAITERS is set before a node is linked, and cleared, under `lock`, when the list is empty.
 *   3. When `lock` is free, the first waiter cannot be served: whoever gives the lock back or
 *      leaves the list serves what can be served.
 *   4. `writer` is written by, or on behalf of, the party that holds the lock for writing.
 */
#include <weft/rwlock.h>

#include <errno.h>

#include "os/fork.h"
#include "sched/park.h"

enum { WAITERS = 1, WRITER = 2, READER = 4 };

struct rwlock {
    WFI_ATOMIC(uint64_t) word;
    WFI_ATOMIC(struct wfi_waiter *) writer;
    struct wfi_wait_list waiting; /* node->amount: WRITER or READER */
    struct wfi_lock lock;
};
_Static_assert(sizeof(struct rwlock) <= sizeof(struct wf_rwlock), "the public words suffice");

static struct rwlock *inside(struct wf_rwlock *l)
{
    return (struct rwlock *)(void *)l;
}

void wf_rwlock_init(struct wf_rwlock *l)
{
    *l = (struct wf_rwlock)WF_RWLOCK_INIT;
}

void wf_rwlock_fini(struct wf_rwlock *l)
{
    struct rwlock *in = inside(l);
    wfi_lock_lock(&in->lock);
    wfi_assert(wfi_load_relaxed(&in->word) == 0, "a read-write lock is free at its end");
    wfi_lock_unlock(&in->lock);
}

/* Whether the lock in the state of `word` can also be held in the way of `mode`. */
static bool allows(uint64_t word, uint64_t mode)
{
    return mode == WRITER ? (word & ~(uint64_t)WAITERS) == 0 : !(word & WRITER);
}

static bool take(struct rwlock *in, uint64_t mode)
{
    uint64_t seen = wfi_load_relaxed(&in->word);
    do {
        if (seen & WAITERS || !allows(seen, mode))
            return false;
        /* acquire: pairs with the release in give_back */
    } while (!wfi_cas_acquire(&in->word, &seen, seen + mode));
    return true;
}

/* Under `lock`, WAITERS set: serves from the front as far as the lock allows. */
static void serve(struct rwlock *in, struct wfi_wake_list *woken)
{
    /* acquire: pairs with the release in give_back, for those who are served here */
    uint64_t word = wfi_load_acquire(&in->word);
    for (struct wfi_wait_node *node; (node = in->waiting.first) && allows(word, node->amount);) {
        wfi_wait_list_remove(&in->waiting, node);
        if (!wfi_wait_claim(node))
            continue;
        word += node->amount;
        if (node->amount == WRITER)
            wfi_store_relaxed(&in->writer, node->waiter); /* published by the wake-up */
        wfi_wake_list_add(woken, node);
    }
    if (wfi_wait_list_empty(&in->waiting))
        word &= ~(uint64_t)WAITERS;
    /* release: passes on what earlier holders have published */
    wfi_store_release(&in->word, word);
}

static int lock(struct rwlock *in, uint64_t mode, const char *reason, wf_deadline deadline)
{
    struct wfi_waiter *self = wfi_self();
    /* relaxed: only the caller's own doing can have put its address there */
    if (wfi_load_relaxed(&in->writer) == self)
        return WF_EDEADLOCK;
    if (!take(in, mode)) {
        if (wfi_forked())
            return WF_EFORKED;
        wfi_lock_lock(&in->lock);
        uint64_t seen = wfi_fetch_or(&in->word, WAITERS);
        if (!wfi_wait_list_empty(&in->waiting) || !allows(seen, mode)) {
            struct wfi_wait_node node = {.amount = mode};
            int err = wfi_wait(&in->waiting, &in->lock, &node, reason, in, deadline);
            if (err == 0)
                return 0; /* whoever served us has set `writer` too */
            struct wfi_wake_list woken = {0};
            wfi_lock_lock(&in->lock);
            if (wfi_load_relaxed(&in->word) & WAITERS)
                serve(in, &woken); /* a writer that leaves may have held readers back */
            wfi_lock_unlock(&in->lock);
            wfi_wake_all(&woken);
            return err;
        }
        wfi_store_release(&in->word, (seen & ~(uint64_t)WAITERS) + mode);
        wfi_lock_unlock(&in->lock);
    }
    if (mode == WRITER)
        wfi_store_relaxed(&in->writer,
                          self); /* read by others only to tell WF_ESTATE from -EPERM */
    return 0;
}

static int give_back(struct rwlock *in, uint64_t mode)
{
    struct wfi_wake_list woken = {0};
    bool locked = false;
    uint64_t seen = wfi_load_relaxed(&in->word);
    for (;;) {
        if (seen & WAITERS && !locked) {
            locked = true;
            wfi_lock_lock(&in->lock);
            seen = wfi_load_relaxed(&in->word);
        }
        if (mode == READER && seen < READER) {
            if (locked)
                wfi_lock_unlock(&in->lock);
            return WF_ESTATE;
        }
        /* release: pairs with the acquires in take and serve */
        if (wfi_cas_release(&in->word, &seen, seen - mode))
            break;
    }
    if (locked) {
        if (wfi_load_relaxed(&in->word) & WAITERS)
            serve(in, &woken);
        wfi_lock_unlock(&in->lock);
        wfi_wake_all(&woken);
    }
    return 0;
}

int wf_rwlock_read_lock(struct wf_rwlock *l, wf_deadline deadline)
{
    return lock(inside(l), READER, "read lock", deadline);
}

int wf_rwlock_write_lock(struct wf_rwlock *l, wf_deadline deadline)
{
    return lock(inside(l), WRITER, "write lock", deadline);
}

int wf_rwlock_try_read_lock(struct wf_rwlock *l)
{
    return take(inside(l), READER) ? 0 : -EAGAIN;
}

int wf_rwlock_try_write_lock(struct wf_rwlock *l)
{
    struct rwlock *in = inside(l);
    if (!take(in, WRITER))
        return -EAGAIN;
    wfi_store_relaxed(&in->writer, wfi_self());
    return 0;
}

int wf_rwlock_read_unlock(struct wf_rwlock *l)
{
    return give_back(inside(l), READER);
}

int wf_rwlock_write_unlock(struct wf_rwlock *l)
{
    struct rwlock *in = inside(l);
    struct wfi_waiter *self = wfi_self(); /* before the look: see wfi_mutex_check_owner */
    if (wfi_load_relaxed(&in->writer) != self)
        return wfi_load_relaxed(&in->word) & WRITER ? -EPERM : WF_ESTATE;
    wfi_store_relaxed(&in->writer, NULL);
    return give_back(in, WRITER);
}
