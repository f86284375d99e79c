/* SPDX-License-Identifier: MIT */
/*
 * Words in memory that several processes map: sleep while one holds a value, wake who sleeps. The
 * word is known by the memory behind it, so each process may see it at an address of its own. A
 * sleep may end for nothing, so the caller looks at its word again, always; and whoever wakes has
 * changed the word before, because where a sleep cannot be had on several words at once they are
 * looked at now and then.
 */
#ifndef WFI_OS_WORD_H
#define WFI_OS_WORD_H

#include <stdbool.h>
#include <stdint.h>

#include <weft/time.h>
#include "base/atomic.h"

/* Words one sleep can be on; the system's limit. */
#define WFI_WORDS_MAX 128

struct wfi_word {
    WFI_ATOMIC(uint32_t) * word;
    uint32_t expected;
    bool shared; /* with other processes; else only this process wakes it (os/futex.h) */
};

/*
 * Sleeps while *word is `expected`.
 *
 * Returns 0 when woken (perhaps for nothing), or
 *   -EAGAIN      *word was not `expected`
 *   -ETIMEDOUT   the deadline passed
 *   -EINTR       a signal handler ran
 */
int wfi_word_wait(WFI_ATOMIC(uint32_t) * word, uint32_t expected, wf_deadline deadline);

/*
 * Sleeps while each of `count` words is what is expected of it.
 *
 * Returns the index of one that was woken (others may have been, too), or
 *   -EAGAIN, -ETIMEDOUT, -EINTR   as above
 *   -ENOSYS                       the system cannot (before Linux 5.16, and where it is forbidden)
 */
int wfi_word_wait_any(const struct wfi_word *words, unsigned count, wf_deadline deadline);

/* Whether wfi_word_wait_any works here. Looked up once. */
bool wfi_word_wait_any_works(void);

/* For tests: as if it did not. */
void wfi_word_wait_any_forbid(bool forbidden);

/* Wakes at most `count` sleepers on a shared word, in all processes. Returns how many. */
int wfi_word_wake(WFI_ATOMIC(uint32_t) * word, int count);

#endif
