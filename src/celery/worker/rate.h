/* SPDX-License-Identifier: MIT */
/*
 * A rate limit: a bucket of tokens that holds one and is filled anew at a steady pace, as Celery's.
 * A rate of 10 a minute is so a task each six seconds, not ten at once and then none. Pure; guarded
 * by its owner. Zeroed is no limit.
 */
#ifndef WFI_CELERY_RATE_H
#define WFI_CELERY_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct wfi_rate {
    double per_s;  /* 0: no limit */
    int64_t at_ns; /* when the token that is not there yet will be; the past: there is one */
};

/* Sets another rate. The bucket is full then. */
void wfi_rate_set(struct wfi_rate *rate, double per_s, int64_t now_ns);

/* Takes a token. Returns 0, or how many nanoseconds from now there is one. */
int64_t wfi_rate_take(struct wfi_rate *rate, int64_t now_ns);

#endif
