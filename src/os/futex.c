/* SPDX-License-Identifier: MIT */
#include "os/futex.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "os/sanitizer.h"

static int futex_wait(_Atomic uint32_t *word, uint32_t expected, wf_deadline deadline)
{
    /* The BITSET form takes an absolute time on the monotonic clock, so that a caller who is woken
     * for nothing sleeps again with the same deadline. */
    struct timespec until, *timeout = NULL;
    if (deadline.ns != WF_FOREVER.ns) {
        int64_t ns = deadline.ns > 0 ? deadline.ns : 0;
        until.tv_sec = (time_t)(ns / 1000000000);
        until.tv_nsec = (long)(ns % 1000000000);
        timeout = &until;
    }
    long err = syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, timeout,
                       NULL, FUTEX_BITSET_MATCH_ANY);
    return err == 0 ? 0 : -errno;
}

int wfi_futex_wait(_Atomic uint32_t *word, uint32_t expected, wf_deadline deadline)
{
#if WFI_TSAN
    /* TSan holds a signal back until the thread it came to makes a call that TSan knows, which a
     * bare system call is not: so make one now and then. To the caller it is a wake-up for nothing.
     */
    wf_deadline slice = wf_earlier(deadline, wf_after(WF_MILLISECONDS(50)));
    int err = futex_wait(word, expected, slice);
    nanosleep(&(struct timespec){0, 0}, NULL);
    return err == -ETIMEDOUT && slice.ns != deadline.ns ? 0 : err;
#else
    return futex_wait(word, expected, deadline);
#endif
}

int wfi_futex_wake(_Atomic uint32_t *word, int count)
{
    long woken = syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, NULL, NULL, 0);
    return woken > 0 ? (int)woken : 0;
}
