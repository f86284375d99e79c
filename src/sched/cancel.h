/* SPDX-License-Identifier: MIT */
/*
 * Cancellation and inherited deadlines: a chain of levels.
 *
 * A level is one thing that can be cancelled or can expire as a whole: a running task, a scope's
 * body, a shielded stretch. It lives in the frame of the party (fiber or thread) that runs inside
 * it, and points to the level around it; a task spawned in a scope has the scope's level as the
 * parent of its own first one, so the chain crosses parties. Cancellation is level-triggered: a
 * wait looks up the chain, as far as the innermost shield, and is refused (-ECANCELED) while any
 * level in view has been asked, or its deadline has passed.
 *
 * Invariants
 *  1. `parent`, `party`, `depth` and `shield` do not change while the level is entered.
 *  2. `asked` only ever goes from 0 to 1. Who asks a level must know that it is still entered: the
 *     party itself, a child of a scope that has not been joined, or a canceller that keeps a
 * running task from ending (the busy bit of its word, see exec).
 *  3. Store-then-load on both sides: wfi_cancel_ask stores `asked`, then reads the party's outcome
 *     word; a wait stores its outcome word (pending), then reads `asked` up the chain. Both are
 *     sequentially consistent, so at least one sees the other, and a cancel is never lost.
 *  4. A canceller may only interrupt a wait that has its level in view. A party numbers its levels
 *     (`depth`); a pending outcome word carries the depth of the innermost shield (`floor`), and a
 *     canceller leaves a word alone whose floor is above its own depth.
 */
#ifndef WFI_SCHED_CANCEL_H
#define WFI_SCHED_CANCEL_H

#include <weft/time.h>

#include "base/atomic.h"

struct wfi_waiter;

struct wfi_cancel {
    struct wfi_cancel *parent; /* the level around this one, or NULL */
    struct wfi_cancel *outer;  /* the party's innermost level before this one */
    struct wfi_waiter *party;  /* whose waits are interrupted */
    uint32_t depth;            /* place in the party's own numbering, from 1 */
    uint32_t outer_floor;      /* the party's shield floor before this level */
    bool shield;               /* what is above is out of view */
    WFI_ATOMIC(bool) expired;  /* its own deadline passed, as seen by a wait or a check */
    WFI_ATOMIC(uint32_t) asked;
    WFI_ATOMIC(int64_t) deadline_ns; /* INT64_MAX for none; moved by the party only */
};

/*
 * Enters a level on the calling party. `parent` is the level around it: wfi_self()->cancel for a
 * scope or a shield, the scope's level at the start of a spawned task, NULL at the start of a free
 * one. A level with `shield`, and one whose parent is not the party's innermost level, hides the
 * party's outer levels from cancellers.
 */
void wfi_cancel_enter(struct wfi_cancel *level, struct wfi_cancel *parent, bool shield,
                      wf_deadline deadline);

/* Leaves the innermost level of the calling party, which must be `level`. */
void wfi_cancel_leave(struct wfi_cancel *level);

/*
 * Asks the level, and interrupts the wait its party is in, if that wait has the level in view.
 * Any thread or fiber; takes no lock. Returns true if this call was the first to ask.
 */
bool wfi_cancel_ask(struct wfi_cancel *level);

/*
 * What a wait of the calling party would meet now: 0, or -ECANCELED. Levels whose deadlines have
 * passed are marked expired and asked on the way. *ret_deadline, if not NULL, receives the earliest
 * deadline in view.
 */
int wfi_cancel_check(wf_deadline *ret_deadline);

/* The same for a party that stands still: it is the caller, or parked on the caller's worker. */
int wfi_cancel_check_party(struct wfi_waiter *party, wf_deadline *ret_deadline);

#endif
