/* SPDX-License-Identifier: MIT */
/*
 * Fork and join: two halves of a computation, at the same time if a worker has nothing else to do.
 *
 *     static void sort(void *arg)
 *     {
 *         struct range *r = arg, low, high;
 *         if (is_short(r)) {
 *             sort_short(r);
 *             return;
 *         }
 *         split(r, &low, &high);
 *         wf_join(sort, &low, sort, &high);
 *     }
 *
 * Nothing is allocated and nobody is woken for a half that the caller comes to do itself, so it
 * pays from about a microsecond of work upwards, and costs a few nanoseconds below that. Where
 * there are no workers (on a plain thread, in a task of the inline or threads engine) the halves
 * run one after the other.
 */
#ifndef WEFT_JOIN_H
#define WEFT_JOIN_H

#include <weft/api.h>

WF_BEGIN_DECLS

/*
 * Runs a(arg_a) and b(arg_b), and returns when both have returned. `a` runs in the caller; `b` runs
 * there after it, or meanwhile on a fiber of its own, on this worker or another, that belongs to
 * the caller's task: wf_task_self, context locals as the caller had them, cancellation and
 * deadlines are the same. Neither may wait for the other. What `b` sets of context locals may or
 * may not be seen by the caller afterwards.
 *
 * It does not stop half way: a cancelled caller still gets here only when both have returned, which
 * they may do early (wf_checkpoint).
 *
 * Context: thread or fiber; any number of callers.
 */
WF_API void wf_join(void (*a)(void *arg), void *arg_a, void (*b)(void *arg), void *arg_b);

WF_END_DECLS

#endif
