/* SPDX-License-Identifier: MIT */
/*
 * Retrying: the same call again, after waits that grow and vary.
 *
 *     static int fetch(void *arg, int attempt, struct wf_error *reterr) { ... }
 *
 *     err = wf_retry(&(struct wf_retry_options){.attempts = 5}, fetch, &page, deadline, &error);
 *
 * The wait before attempt n+1 is first_ns * factor^(n-1), at most max_ns, less a random part of it:
 * with jitter 0.5, between half of it and the whole, so that clients that failed together do not
 * come back together.
 */
#ifndef WEFT_RETRY_H
#define WEFT_RETRY_H

#include <weft/api.h>
#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

/* Zero is the default. */
struct wf_retry_options {
    int attempts;     /* calls in all; 0: 4 */
    int64_t first_ns; /* before the second attempt; 0: 100 ms */
    int64_t max_ns;   /* 0: 10 s */
    double factor;    /* 0: 2 */
    double jitter;    /* the random part, 0 to 1; 0: 0.5, below 0: none */
    uint64_t seed;    /* one seed, one sequence; 0: a different one each time */
    /* Whether an error is worth another attempt; NULL: all but -ECANCELED, -EINVAL, -ENOMEM. */
    bool (*again)(void *arg, int code, const struct wf_error *error);
};

/*
 * Calls fn(arg, attempt, reterr) until it returns 0 or above, attempts are used up, its error is
 * not worth another, or the deadline would pass before the next. Attempts count from 1.
 *
 * options   may be NULL
 *
 * Returns what the last call returned, its error prefixed with the number of attempts where there
 * were several; or
 *   -EINVAL      an option that makes no sense; fn was not called
 *   -ECANCELED   the caller was cancelled between two attempts
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_retry(const struct wf_retry_options *options,
                    int (*fn)(void *arg, int attempt, struct wf_error *reterr), void *arg,
                    wf_deadline deadline, struct wf_error *reterr);

/*
 * The wait after failed attempt number `attempt` (from 1), for those who retry in their own way.
 *
 * state   of the random numbers, the caller's; begin with the seed
 *
 * Returns nanoseconds.
 * Context: any, never blocks.
 */
WF_API int64_t wf_retry_delay(const struct wf_retry_options *options, int attempt, uint64_t *state);

WF_END_DECLS

#endif
