/* SPDX-License-Identifier: MIT */
/*
 * Select: one waiter, one node per clause. The steps are in selectable.h.
 *
 * All locks are held while the clauses are looked at for the last time and linked, so that the
 * choice and the wait are one step for all objects together; they are taken in the order of their
 * addresses, each once though several clauses may share it, so two selects cannot wait for each
 * other. park releases them. Whoever then claims the waiter through one node makes all the others
 * useless: a claim through those fails, and they are unlinked before select returns.
 *
 * The choice among clauses that can be done is uniform: they are tried in a random order, drawn
 * from the party's own generator. Parties are numbered as they first choose, and that is their
 * seed.
 */
#include <weft/select.h>

#include <errno.h>

#include "base/alloc.h"
#include "base/random.h"
#include "os/fork.h"
#include "sync/selectable.h"

enum { ON_STACK = 16, COUNT_MAX = 65535 };

/* What one clause needs besides itself. */
struct place {
    struct wfi_wait_node node;
    uint32_t order; /* a random permutation of the indices */
};

struct selection {
    struct wf_clause *clauses;
    size_t count;
    struct place *places;
    struct wfi_lock **locks; /* distinct, ascending */
    size_t lock_count;
    size_t again; /* the clause that had its turn and lost it, or SIZE_MAX */
};

static void shuffle(struct selection *s)
{
    static WFI_ATOMIC(uint64_t) parties;
    struct wfi_waiter *self = wfi_self();
    if (self->random == 0)
        self->random = (wfi_count(&parties, 1) + 1) << 32;
    for (size_t i = 0; i < s->count; i++) {
        /* The bias of the multiplication is below 2^-48 for so few. */
        uint64_t r = wfi_splitmix64(&self->random) >> 32;
        size_t j = (size_t)((r * (i + 1)) >> 32);
        if (j != i)
            s->places[i].order = s->places[j].order;
        s->places[j].order = (uint32_t)i;
    }
}

/* Shell's sort, and each lock once. */
static void sort_locks(struct selection *s)
{
    for (size_t i = 0; i < s->count; i++)
        s->locks[i] = s->clauses[i].ops->lock(&s->clauses[i]);
    size_t gap = 1;
    while (gap < s->count / 3)
        gap = 3 * gap + 1;
    for (; gap > 0; gap /= 3)
        for (size_t i = gap; i < s->count; i++) {
            struct wfi_lock *moving = s->locks[i];
            size_t j = i;
            for (; j >= gap && (uintptr_t)s->locks[j - gap] > (uintptr_t)moving; j -= gap)
                s->locks[j] = s->locks[j - gap];
            s->locks[j] = moving;
        }
    s->lock_count = 0;
    for (size_t i = 0; i < s->count; i++)
        if (s->lock_count == 0 || s->locks[s->lock_count - 1] != s->locks[i])
            s->locks[s->lock_count++] = s->locks[i];
}

/* Tries all in random order; returns the index of the one that was done, or -1. */
static int attempt(struct selection *s, bool locked, struct wfi_wake_list *woken)
{
    for (size_t i = 0; i < s->count; i++) {
        size_t chosen = s->places[i].order;
        struct wf_clause *clause = &s->clauses[chosen];
        if (clause->ops->attempt(clause, locked, chosen == s->again, woken))
            return (int)chosen;
    }
    return -1;
}

static void lock_all(struct selection *s)
{
    for (size_t i = 0; i < s->lock_count; i++)
        wfi_lock_lock(s->locks[i]);
    for (size_t i = 0; i < s->count; i++)
        if (s->clauses[i].ops->announce)
            s->clauses[i].ops->announce(&s->clauses[i]);
}

static void unlock_all(struct selection *s)
{
    for (size_t i = 0; i < s->count; i++)
        s->clauses[i].ops->withdraw(&s->clauses[i], &s->places[i].node);
    for (size_t i = 0; i < s->lock_count; i++)
        wfi_lock_unlock(s->locks[i]);
}

/* With all locks held: links, parks, and unlinks the losers. Returns as wfi_park does. */
static int wait_for_one(struct selection *s, wf_deadline deadline)
{
    struct wfi_waiter *self = wfi_wait_begin("select", s->clauses);
    for (size_t i = 0; i < s->count; i++) {
        struct wf_clause *clause = &s->clauses[i];
        struct wfi_wait_node *node = &s->places[i].node;
        *node = (struct wfi_wait_node){.waiter = self, .index = (uint32_t)i, .slot = clause->item};
        clause->ops->link(clause, node, i == s->again);
    }
    int woken = wfi_park(self, s->locks, s->lock_count, deadline);
    for (size_t i = 0; i < s->count; i++) {
        if ((int)i == woken)
            continue;
        struct wf_clause *clause = &s->clauses[i];
        struct wfi_lock *lock = clause->ops->lock(clause);
        wfi_lock_lock(lock);
        clause->ops->withdraw(clause, &s->places[i].node);
        wfi_lock_unlock(lock);
    }
    return woken;
}

static int run(struct selection *s, wf_deadline deadline)
{
    for (size_t i = 0; i < s->count; i++)
        s->places[i].node.linked = false;
    shuffle(s);
    int chosen = attempt(s, false, NULL);
    if (chosen >= 0)
        return chosen;
    if (wfi_forked())
        return WF_EFORKED;
    sort_locks(s);
    for (;;) {
        struct wfi_wake_list woken = {0};
        lock_all(s);
        chosen = attempt(s, true, &woken);
        if (chosen >= 0) {
            unlock_all(s);
            wfi_wake_all(&woken);
            return chosen;
        }
        chosen = wait_for_one(s, deadline);
        if (chosen < 0)
            return chosen;
        struct wf_clause *clause = &s->clauses[chosen];
        if (clause->ops->conclude(clause, &s->places[chosen].node))
            return chosen;
        s->again = (size_t)chosen;
    }
}

int wf_select(struct wf_clause *clauses, size_t count, wf_deadline deadline)
{
    if (count == 0 || count > COUNT_MAX)
        return -EINVAL;
    struct selection s = {.clauses = clauses, .count = count, .again = SIZE_MAX};
    if (count <= ON_STACK) {
        struct place places[ON_STACK];
        struct wfi_lock *locks[ON_STACK];
        s.places = places;
        s.locks = locks;
        return run(&s, deadline);
    }
    s.places = wfi_alloc(count * (sizeof *s.places + sizeof *s.locks));
    if (!s.places)
        return -ENOMEM;
    s.locks = (struct wfi_lock **)(s.places + count);
    int chosen = run(&s, deadline);
    wfi_free(s.places);
    return chosen;
}
