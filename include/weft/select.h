/* SPDX-License-Identifier: MIT */
/*
 * Select: waits for the first of several things and does exactly that one.
 *
 *     struct wf_clause clauses[] = {
 *         pages_pop_clause(in, &page),
 *         wf_channel_push_clause(out, &item),
 *     };
 *     int chosen = wf_select(clauses, 2, wf_after(WF_SECONDS(1)));
 *     if (chosen == 0 && clauses[0].err == 0)
 *         ...
 *
 * Clauses are made by the things that can be waited for. With WF_NOW nothing is waited for.
 */
#ifndef WEFT_SELECT_H
#define WEFT_SELECT_H

#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wfi_select_ops;

struct wf_clause {
    const struct wfi_select_ops *ops; /* these three are weft's own */
    void *object;
    void *item;
    int err; /* of the chosen clause: 0, or -EPIPE when the channel is closed */
};

/*
 * Waits until one of the clauses can be done, and does it. Among several that can, the choice is
 * random, all alike. No other clause has any effect.
 *
 * Returns the index of the clause that was done, its outcome in clauses[i].err; or
 *   -ETIMEDOUT   `deadline` passed first
 *   -ECANCELED   the calling task was cancelled
 *   -EINVAL      no clauses, or more than 65535
 *   -ENOMEM      no memory for more than 16 clauses
 *   WF_EFORKED   in a child made by fork
 * Context: thread or fiber; any number of callers, each with clauses of its own.
 */
WF_API WF_MUST_USE int wf_select(struct wf_clause *clauses, size_t count, wf_deadline deadline);

WF_END_DECLS

#endif
