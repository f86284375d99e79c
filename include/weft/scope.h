/* SPDX-License-Identifier: MIT */
/*
 * Scopes: a scope owns the tasks that are started in it. Leaving it joins them; the first failure
 * cancels the siblings and the body; deadline and cancellation of what is around it hold inside.
 *
 *     WF_SCOPE(scope, on, wf_after(WF_SECONDS(2))) {
 *         load_future a = load_spawn(scope, "customer"), b = load_spawn(scope, "orders");
 *         if ((err = wf_scope_join(scope, &error)) == 0) {
 *             load_result(&a, &customer, WF_NOW, NULL);
 *             load_result(&b, &orders, WF_NOW, NULL);
 *         }
 *     }
 *
 * The block is left by any road (its end, break, return, goto) only after all children have ended.
 * An error that wf_scope_join did not hand out goes to the error hook. Without the macro:
 * wf_scope_open, and wf_scope_close on every road.
 *
 * A scope is used by the party that opened it, and by its children, who may spawn siblings while
 * they run.
 */
#ifndef WEFT_SCOPE_H
#define WEFT_SCOPE_H

#include <weft/executor.h>

WF_BEGIN_DECLS

struct wf_scope {
    uint64_t words[32]; /* private; lives where it was declared, not to be copied */
};

/*
 * Opens a scope around what the caller does until it is closed.
 *
 * scope      storage, the caller's
 * on         where children run; NULL for where the calling task runs
 * deadline   when the body and all children are cancelled, WF_FOREVER for never; an earlier one
 *            of a scope around this one holds all the same
 *
 * Returns `scope`.
 * Context: thread or fiber.
 */
WF_API struct wf_scope *wf_scope_open(struct wf_scope *scope, struct wf_executor *on,
                                      wf_deadline deadline);

/*
 * Waits until all children have ended. When the body is cancelled or the deadline passes meanwhile,
 * so are the children, and they are still waited for. The scope stays open: handles are valid, and
 * more can be spawned unless it was cancelled.
 *
 * Returns 0, or, first that applies:
 *   the code of the first child that failed, or what wf_scope_fail was given; further failures
 *   are listed in reterr's text
 *   -ECANCELED   something around the scope was cancelled, or wf_scope_cancel was called
 *   -ETIMEDOUT   the scope's own deadline passed
 * Context: thread or fiber; by the owner.
 */
WF_API int wf_scope_join(struct wf_scope *scope, struct wf_error *reterr);

/*
 * Joins, frees all handles and ends the scope. Errors that wf_scope_join has not reported go
 * into reterr, or, if that is NULL, to the error hook.
 *
 * Returns as wf_scope_join.
 * Context: thread or fiber; by the owner, in reverse order of opening.
 */
WF_API int wf_scope_close(struct wf_scope *scope, struct wf_error *reterr);

/*
 * The body fails: children are cancelled, and join and close return this error unless a child
 * failed before. Usable as a statement: return wf_scope_fail(scope, err, "...").
 *
 * Returns the code.
 * Context: thread or fiber; by the owner.
 */
WF_API int wf_scope_fail(struct wf_scope *scope, int code, const char *format, ...) WF_PRINTF(3, 4);

/*
 * Cancels the body and all children.
 * Context: any, never blocks; by the owner, or a child while it runs.
 */
WF_API void wf_scope_cancel(struct wf_scope *scope);

/*
 * Moves the deadline; WF_FOREVER removes it. Too late once it has passed and was noticed.
 *
 * Returns 0, or
 *   WF_ESTATE   the scope has expired or was cancelled
 * Context: any, never blocks; by the owner.
 */
WF_API int wf_scope_set_deadline(struct wf_scope *scope, wf_deadline deadline);

/*
 * True when the scope's own deadline has passed and ended it.
 * Context: any, never blocks; by the owner.
 */
WF_API bool wf_scope_expired(const struct wf_scope *scope);

/*
 * How many children have not ended.
 * Context: any, never blocks.
 */
WF_API size_t wf_scope_running(struct wf_scope *scope);

/* What WF_SHIELD keeps in the caller's frame. */
struct wf_shield {
    uint64_t words[10];
};

/*
 * Begins a stretch that cancellation from outside does not reach, until wf_shield_leave, which must
 * be reached on every road; WF_SHIELD sees to that.
 *
 * shield   storage, the caller's
 *
 * Returns `shield`.
 * Context: any, never blocks.
 */
WF_API struct wf_shield *wf_shield_enter(struct wf_shield *shield, wf_deadline deadline);

/*
 * Ends it. A cancellation that was asked for meanwhile holds from here on.
 * Context: any, never blocks; in reverse order of entering.
 */
WF_API void wf_shield_leave(struct wf_shield *shield);

WF_END_DECLS

/* Statements that run inside a scope; see the head of this file. `break` leaves it. */
#define WF_SCOPE(NAME, ON, DEADLINE)                                                \
    for (struct wf_scope NAME##_storage_ __attribute__((cleanup(wf_scope_leave_))), \
         *NAME = wf_scope_open(&NAME##_storage_, (ON), (DEADLINE));                 \
         NAME; NAME = NULL)

/*
 * Statements that cancellation from outside does not reach: clean-up that has to wait. Only its own
 * deadline holds, so it should have one: WF_SHIELD(wf_after(WF_SECONDS(1))) { ... }
 */
#define WF_SHIELD(DEADLINE) WF_SHIELD_(DEADLINE, __LINE__)
#define WF_SHIELD_(DEADLINE, LINE) WF_SHIELD2_(DEADLINE, LINE)
#define WF_SHIELD2_(DEADLINE, LINE)                                                   \
    for (struct wf_shield wf_shield_##LINE __attribute__((cleanup(wf_shield_leave))), \
         *wf_shielded_##LINE = wf_shield_enter(&wf_shield_##LINE, (DEADLINE));        \
         wf_shielded_##LINE; wf_shielded_##LINE = NULL)

static inline void wf_scope_leave_(struct wf_scope *scope)
{
    wf_scope_close(scope, NULL);
}

#endif
