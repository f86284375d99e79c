/* SPDX-License-Identifier: MIT */
/*
 * Time: one clock (monotonic), one unit (nanoseconds). A duration is an int64_t whose name ends in
 * _ns; a point in time is a wf_deadline, a type of its own, so that passing one for the other does
 * not compile. Everything in weft that can wait takes a deadline as its last input, and an absolute
 * one, so that one deadline can be handed through several calls.
 *
 *     wf_deadline soon = wf_after(WF_SECONDS(2));
 *     err = wf_channel_pop(in, &item, soon);
 *     if (!err)
 *         err = wf_channel_push(out, &item, soon);     (two seconds for both together)
 */
#ifndef WEFT_TIME_H
#define WEFT_TIME_H

#include <weft/api.h>

WF_BEGIN_DECLS

typedef struct {
    int64_t ns; /* on the clock of wf_now(); INT64_MAX is never, 0 and below is at once */
} wf_deadline;

#ifdef __cplusplus
#define WF_FOREVER (wf_deadline{INT64_MAX})
#define WF_NOW (wf_deadline{0})
#else
#define WF_FOREVER ((wf_deadline){INT64_MAX})
#define WF_NOW ((wf_deadline){0})
#endif

/* Durations in nanoseconds; fractions are welcome: WF_SECONDS(0.5). */
#define WF_SECONDS(n) ((int64_t)((n)*INT64_C(1000000000)))
#define WF_MILLISECONDS(n) ((int64_t)((n)*INT64_C(1000000)))
#define WF_MICROSECONDS(n) ((int64_t)((n)*INT64_C(1000)))

/*
 * The time now, in nanoseconds on the monotonic clock that deadlines are measured by.
 * Context: any, never blocks; signal safe.
 */
WF_API int64_t wf_now(void);

/*
 * The deadline that lies `duration_ns` from now. A duration of zero or less gives one that has
 * passed; one too long for the clock gives WF_FOREVER.
 * Context: any, never blocks; signal safe.
 */
WF_API wf_deadline wf_after(int64_t duration_ns);

/*
 * The nanoseconds left until `deadline`: 0 when it has passed, INT64_MAX for WF_FOREVER.
 * Context: any, never blocks; signal safe.
 */
WF_API int64_t wf_remaining(wf_deadline deadline);

/*
 * The earlier of two deadlines.
 * Context: any, never blocks; signal safe.
 */
WF_API wf_deadline wf_earlier(wf_deadline a, wf_deadline b);

/*
 * Waits until `deadline`, letting other fibers of the worker run meanwhile.
 *
 * Returns 0 once the deadline has passed, or
 *   -ECANCELED   the calling task was cancelled, or the deadline of a scope it is in passed first
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_sleep(wf_deadline deadline);

WF_END_DECLS

#endif
