/* SPDX-License-Identifier: MIT */
/*
 * Running out of memory at every place of something whose steps run on several threads: which of
 * the allocations fails is not the same in each run, and a thread that cannot start is -EAGAIN.
 */
#ifndef TEST_EACH_ALLOCATION_H
#define TEST_EACH_ALLOCATION_H

#include <errno.h>

#include <weft/error.h>

#include "base/alloc.h"

/* Calls it with the first allocation failing, the second, and so on, until none does. Each time it
 * returns 0 or says that there was no memory; without a failure, and afterwards, 0. */
static void each_allocation_fails(int (*call)(void *arg), void *arg)
{
    uint64_t told = 0;
    assert_int_equal(call(arg), 0); /* what is made once in a process is there */
    for (uint64_t n = 1;; n++) {
        wfi_alloc_watch(n);
        int err = call(arg);
        const bool failed = wfi_alloc_unwatch();
        if (err && ((err != -ENOMEM && err != -EAGAIN) || !failed))
            fail_msg("allocation %llu: %s", (unsigned long long)n, wf_strerror(err));
        told += err != 0;
        if (!failed)
            break;
    }
    assert_true(told > 0);
    assert_int_equal(call(arg), 0);
}

#endif
