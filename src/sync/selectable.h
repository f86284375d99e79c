/* SPDX-License-Identifier: MIT */
/*
 * What a thing must offer to be a clause of wf_select. Select does, for all clauses together:
 *
 *   1. attempt() each, without locks, in random order;
 *   2. take the locks of all objects, in the order of their addresses; announce() each; attempt()
 *      each again, in random order, now locked;
 *   3. link() each, park, and the locks are released by park;
 *   4. withdraw() each, under its lock, but for the one that was woken, which its waker has
 *      unlinked;
 *   5. conclude() that one.
 *
 * A waker unlinks the node, claims it, hands over what it has (node->slot is the clause's `item`,
 * node->amount is free for a status) and wakes: it need not know that a select is behind it.
 */
#ifndef WFI_SYNC_SELECTABLE_H
#define WFI_SYNC_SELECTABLE_H

#include <weft/select.h>

#include "sched/park.h"

struct wfi_select_ops {
    /* The lock that guards the object's wait list. */
    struct wfi_lock *(*lock)(struct wf_clause *clause);
    /*
     * Tries to do the clause. True: done, clause->err is the outcome. Without the locks it may say
     * false whenever it is not sure. `again`: this party had its turn and lost it, and may pass
     * those who wait. Wakes go to `woken` when locked.
     */
    bool (*attempt)(struct wf_clause *clause, bool locked, bool again, struct wfi_wake_list *woken);
    /* Under the lock: makes fast paths look at the wait list from here on. May be NULL. */
    void (*announce)(struct wf_clause *clause);
    /* Under the lock: links the node, at the head of its list if `again`. */
    void (*link)(struct wf_clause *clause, struct wfi_wait_node *node, bool again);
    /* Under the lock: unlinks the node if it is linked, and takes the announcement back. */
    void (*withdraw)(struct wf_clause *clause, struct wfi_wait_node *node);
    /* After the node was woken: sets clause->err. False: it must be tried again. */
    bool (*conclude)(struct wf_clause *clause, struct wfi_wait_node *node);
};

#endif
