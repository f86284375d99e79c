/* SPDX-License-Identifier: MIT */
/*
 * Limits: how much may go on at once, in total and per key (a host, a customer), and how fast new
 * things may begin. One acquire waits for all of it, one release gives it back.
 *
 *     struct wf_limit_options options = {.total = 100, .per_key = 4, .per_second = 20, .burst = 5};
 *     err = wf_limit_create(&options, &limit, NULL);
 *
 *     err = wf_limit_acquire(limit, "example.org", deadline);
 *     if (!err) {
 *         ...
 *         wf_limit_release(limit, "example.org");
 *     }
 */
#ifndef WEFT_LIMIT_H
#define WEFT_LIMIT_H

#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_limit;

/* 0 stands for no limit. */
struct wf_limit_options {
    uint64_t total;    /* held at once */
    uint64_t per_key;  /* held at once with the same key */
    double per_second; /* begun per second, in the long run */
    uint64_t burst;    /* begun at once after a quiet time; 0: 1 */
};

/*
 * Makes a limit.
 *
 * ret_limit   receives it; the caller destroys it
 *
 * Returns 0, or
 *   -EINVAL   a rate that is negative, not a number, or below one in 30 years
 *   -ENOMEM   no memory
 * Context: any, never blocks.
 */
WF_API int wf_limit_create(const struct wf_limit_options *options, struct wf_limit **ret_limit,
                           struct wf_error *reterr);

/*
 * Frees the limit. NULL is fine.
 * Context: any, never blocks; after everybody else's last call has returned.
 */
WF_API void wf_limit_destroy(struct wf_limit *limit);

/*
 * Waits until the caller may begin. First for its key, then for its place in the total, then for
 * the rate; in each, who came first is served first, and nobody waits for a key but those who want
 * it.
 *
 * key   a C string, copied if needed; NULL: none, the limit per key does not apply
 *
 * Returns 0, or, and nothing is held,
 *   -ETIMEDOUT   `deadline` passed first
 *   -ECANCELED   the calling task was cancelled
 *   -ENOMEM      no memory to remember the key
 *   WF_EFORKED   in a child made by fork
 * Context: thread or fiber; any number of callers.
 */
WF_API WF_MUST_USE int wf_limit_acquire(struct wf_limit *limit, const char *key,
                                        wf_deadline deadline);

/*
 * The same without waiting.
 *
 * Returns 0, or
 *   -EAGAIN      the caller would have to wait
 *   -ENOMEM      no memory to remember the key
 *   WF_EFORKED   in a child made by fork
 * Context: any, never blocks; any number of callers.
 */
WF_API WF_MUST_USE int wf_limit_try_acquire(struct wf_limit *limit, const char *key);

/*
 * Gives back what one acquire with the same key has taken; not the share in the rate, which is
 * spent. Any party may do it. On an error nothing has changed.
 *
 * Returns 0, or
 *   WF_ESTATE   nothing is held, or nothing with this key
 * Context: any, never blocks.
 */
WF_API int wf_limit_release(struct wf_limit *limit, const char *key);

WF_END_DECLS

#endif
