/* SPDX-License-Identifier: MIT */
#include "sched/cancel.h"

#include <errno.h>

#include "sched/park.h"

void wfi_cancel_enter(struct wfi_cancel *level, struct wfi_cancel *parent, bool shield,
                      wf_deadline deadline)
{
    struct wfi_waiter *self = wfi_self();
    level->parent = parent;
    level->outer = self->cancel;
    level->party = self;
    level->depth = self->depth + 1;
    level->outer_floor = self->floor;
    level->shield = shield;
    wfi_store_relaxed(&level->expired, false);
    wfi_store_relaxed(&level->asked, 0);
    wfi_store_relaxed(&level->deadline_ns, deadline.ns);
    if (shield || parent != self->cancel)
        self->floor = level->depth;
    self->depth = level->depth;
    self->cancel = level;
}

void wfi_cancel_leave(struct wfi_cancel *level)
{
    struct wfi_waiter *self = level->party;
    wfi_assert(self->cancel == level, "cancellation levels are left innermost first");
    self->cancel = level->outer;
    self->depth = level->depth - 1;
    self->floor = level->outer_floor;
}

bool wfi_cancel_ask(struct wfi_cancel *level)
{
    /* Store, then load: pairs with wfi_wait_begin's store and the check in wfi_park. */
    bool first = wfi_exchange(&level->asked, 1) == 0;
    wfi_wait_cancel(level->party, level->depth);
    return first;
}

int wfi_cancel_check_party(struct wfi_waiter *party, wf_deadline *ret_deadline)
{
    int64_t earliest = INT64_MAX, now = 0;
    int err = 0;
    for (struct wfi_cancel *level = party->cancel; level; level = level->parent) {
        bool asked = wfi_load(&level->asked);
        /* relaxed: moved by its own party only; a child that reads the old one will look again */
        int64_t deadline = wfi_load_relaxed(&level->deadline_ns);
        if (deadline < earliest)
            earliest = deadline;
        if (!asked && deadline != INT64_MAX) {
            if (!now)
                now = wfi_park_ops->now();
            if (deadline <= now) {
                wfi_store_relaxed(&level->expired, true); /* released by the next store */
                wfi_store(&level->asked, 1);
                asked = true;
            }
        }
        if (asked)
            err = -ECANCELED;
        if (level->shield)
            break;
    }
    if (ret_deadline)
        ret_deadline->ns = earliest;
    return err;
}

int wfi_cancel_check(wf_deadline *ret_deadline)
{
    return wfi_cancel_check_party(wfi_self(), ret_deadline);
}
