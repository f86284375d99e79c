/* SPDX-License-Identifier: MIT */
/* Workload G, the same on every engine, for the programs that have one. */
#ifndef WEFT_BENCH_PRIMES_H
#define WEFT_BENCH_PRIMES_H

#include <weft/executor.h>
#include <weft/task.h>

#include "figure.h"

#define PRIME 112272535095293
#define PRIMES 400

static inline void must(int err)
{
    if (err) {
        fprintf(stderr, "%s\n", wf_strerror(err));
        exit(1);
    }
}

WF_TASK(bool, is_prime, (uint64_t, n))

int is_prime(struct wf_task *self, uint64_t n, bool *ret)
{
    (void)self;
    *ret = n % 2 != 0;
    for (uint64_t i = 3; *ret && i * i <= n; i += 2)
        *ret = n % i != 0;
    return 0;
}
WF_TASK_DEFINE(is_prime)

/* All of them; `on` is NULL for one call after another, and destroyed. */
static inline double primes_s(struct wf_executor *on)
{
    is_prime_future futures_made[PRIMES];
    bool prime = true;
    int64_t start = clock_ns();
    for (int i = 0; i < PRIMES; i++) {
        if (on)
            futures_made[i] = is_prime_submit(on, PRIME);
        else
            must(is_prime(NULL, PRIME, &prime));
        if (!prime)
            exit(1);
    }
    for (int i = 0; on && i < PRIMES; i++) {
        must(is_prime_result(&futures_made[i], &prime, WF_FOREVER, NULL));
        if (!prime)
            exit(1);
    }
    double seconds = (double)(clock_ns() - start) / 1e9;
    wf_executor_destroy(on);
    return seconds;
}

#endif
