/* SPDX-License-Identifier: MIT */
/*
 * A futex: sleep while a 32-bit word holds a value. Private to the process. A wake may be spurious,
 * so the caller looks at its word again, always.
 */
#ifndef WFI_OS_FUTEX_H
#define WFI_OS_FUTEX_H

#include <stdint.h>

#include <weft/time.h>
#include "base/atomic.h"

/*
 * Sleeps while *word is `expected`.
 *
 * Returns 0 when woken (perhaps for nothing), or
 *   -EAGAIN      *word was not `expected`
 *   -ETIMEDOUT   the deadline passed
 *   -EINTR       a signal handler ran
 */
int wfi_futex_wait(_Atomic uint32_t *word, uint32_t expected, wf_deadline deadline);

/* Wakes at most `count` sleepers. Returns how many. The word may be gone already: then nobody. */
int wfi_futex_wake(_Atomic uint32_t *word, int count);

#endif
