/* SPDX-License-Identifier: MIT */
#include "os/word.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "os/sanitizer.h"

/* Headers of the oldest supported kernel do not have them; the number is the same everywhere. */
#define SYSTEM_CALL_WAITV 449
#define WAITV_32 2

/* The kernel's struct futex_waitv. */
struct waitv {
    uint64_t value;
    uint64_t address;
    uint32_t flags;
    uint32_t reserved;
};

/* What the call takes for the time on every architecture. */
struct waitv_time {
    int64_t seconds;
    int64_t nanoseconds;
};

static int word_wait(WFI_ATOMIC(uint32_t) * word, uint32_t expected, wf_deadline deadline)
{
    struct timespec until, *timeout = NULL;
    if (deadline.ns != WF_FOREVER.ns) {
        int64_t ns = deadline.ns > 0 ? deadline.ns : 0;
        until.tv_sec = (time_t)(ns / 1000000000);
        until.tv_nsec = (long)(ns % 1000000000);
        timeout = &until;
    }
    long err = syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, timeout, NULL,
                       FUTEX_BITSET_MATCH_ANY);
    return err == 0 ? 0 : -errno;
}

static int word_wait_any(const struct wfi_word *words, unsigned count, wf_deadline deadline)
{
    struct waitv list[WFI_WORDS_MAX];
    for (unsigned i = 0; i < count; i++) {
        uint32_t flags = words[i].shared ? WAITV_32 : WAITV_32 | FUTEX_PRIVATE_FLAG;
        list[i] = (struct waitv){words[i].expected, (uint64_t)(uintptr_t)words[i].word, flags, 0};
    }
    struct waitv_time until, *timeout = NULL;
    if (deadline.ns != WF_FOREVER.ns) {
        int64_t ns = deadline.ns > 0 ? deadline.ns : 0;
        until = (struct waitv_time){ns / 1000000000, ns % 1000000000};
        timeout = &until;
    }
    long index = syscall(SYSTEM_CALL_WAITV, list, count, 0u, timeout, CLOCK_MONOTONIC);
    return index >= 0 ? (int)index : -errno;
}

#if WFI_TSAN
/* As in wfi_futex_wait: TSan holds a signal back until the thread makes a call that it knows. */
static wf_deadline slice_of(wf_deadline deadline)
{
    nanosleep(&(struct timespec){0, 0}, NULL);
    return wf_earlier(deadline, wf_after(WF_MILLISECONDS(50)));
}
#else
static wf_deadline slice_of(wf_deadline deadline)
{
    return deadline;
}
#endif

/* The end of a slice is, to the caller, a wake-up for nothing. */
static int end_of_slice(int err, wf_deadline slice, wf_deadline deadline)
{
    return err == -ETIMEDOUT && slice.ns != deadline.ns ? 0 : err;
}

int wfi_word_wait(WFI_ATOMIC(uint32_t) * word, uint32_t expected, wf_deadline deadline)
{
    wf_deadline slice = slice_of(deadline);
    return end_of_slice(word_wait(word, expected, slice), slice, deadline);
}

int wfi_word_wait_any(const struct wfi_word *words, unsigned count, wf_deadline deadline)
{
    wfi_debug_assert(count > 0 && count <= WFI_WORDS_MAX, "a sleep is on 1 to 128 words");
    if (!wfi_word_wait_any_works())
        return -ENOSYS;
    wf_deadline slice = slice_of(deadline);
    return end_of_slice(word_wait_any(words, count, slice), slice, deadline);
}

static WFI_ATOMIC(int) works; /* 0: not looked yet; 1: no; 2: yes */
static WFI_ATOMIC(bool) forbidden;

bool wfi_word_wait_any_works(void)
{
    /* relaxed, both: a fact of the system, and a switch of tests that are alone when they turn it
     */
    if (wfi_load_relaxed(&forbidden))
        return false;
    int known = wfi_load_relaxed(&works);
    if (!known) {
        /* No words at all: refused as that where the call exists. Valgrind would only complain. */
        bool there = !wfi_under_valgrind() && syscall(SYSTEM_CALL_WAITV, NULL, 0, 0, NULL, 0) < 0 &&
                     errno == EINVAL;
        known = there ? 2 : 1;
        wfi_store_relaxed(&works, known);
    }
    return known == 2;
}

void wfi_word_wait_any_forbid(bool forbid)
{
    wfi_store_relaxed(&forbidden, forbid);
}

int wfi_word_wake(WFI_ATOMIC(uint32_t) * word, int count)
{
    long woken = syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
    return woken > 0 ? (int)woken : 0;
}
