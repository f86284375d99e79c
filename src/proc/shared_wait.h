/* SPDX-License-Identifier: MIT */
/*
 * Waiting for what another process does, for fibers and threads alike: a wait is on one word, or
 * several, of shared memory, and ends when one of them is not what the caller saw.
 *
 * The protocol between the sides, as with any futex
 *   waiter   reads the word, looks whether what it wants is there, says in shared memory that it
 *            waits (where the primitive has something to say it with), looks again, and waits for
 *            the word to be other than it read.
 *   waker    makes what the waiter wants, changes the word, then wakes. A wake-up without a change
 *            is for those whose word has changed already.
 *
 * Why no wake-up is lost
 *   A thread sleeps in the kernel, which compares the word and queues the thread under one lock: a
 *   change before is seen, the wake-up after a change after finds the thread queued.
 *   A fiber parks in a list of this process under the bells' lock. The bell, a thread of the
 *   library, is then told (its own word is changed and woken) and, under the same lock, compares
 *   each word with what its waiters saw: those who saw something else are woken; the rest it sleeps
 *   for, with the value it has just compared, on all words and its own at once. So for each waiter
 *   that stays, the kernel compares again what the waiter saw.
 *   A waiter that leaves with an error may have had a wake-up spent on it; it wakes one other
 *   sleeper of the word. One that dies cannot: the sweep of its process changes and wakes every
 * word (proc/arena.h).
 *
 * A bell serves 127 words, which is the system's limit; there are as many as it takes, and a bell
 * without words ends. Where the system cannot sleep on several words, bells look at them in slices.
 */
#ifndef WFI_PROC_SHARED_WAIT_H
#define WFI_PROC_SHARED_WAIT_H

#include <stddef.h>

#include <weft/time.h>
#include "base/atomic.h"

struct wfi_shared_word {
    WFI_ATOMIC(uint32_t) * word;
    uint32_t expected;
};

/*
 * Waits until *word is not `expected`. `reason` is a static string, `object` what is waited for.
 *
 * Returns 0, perhaps for nothing, -ETIMEDOUT or -ECANCELED.
 * Context: thread or fiber.
 */
int wfi_shared_wait(WFI_ATOMIC(uint32_t) * word, uint32_t expected, const char *reason,
                    const void *object, wf_deadline deadline);

/* The same where no cancellation is to interrupt. Returns 0 or -ETIMEDOUT. */
int wfi_shared_wait_uncancelable(WFI_ATOMIC(uint32_t) * word, uint32_t expected, const char *reason,
                                 const void *object, wf_deadline deadline);

/*
 * Waits until one of `count` words is not what was expected; the same word may be there twice.
 *
 * Returns 0, perhaps for nothing, -ETIMEDOUT, -ECANCELED or -ENOMEM.
 * Context: thread or fiber.
 */
int wfi_shared_wait_any(const struct wfi_shared_word *words, size_t count, const char *reason,
                        const void *object, wf_deadline deadline);

/* Wakes at most `count` sleepers on a word that was changed, in all processes. */
void wfi_shared_wake(WFI_ATOMIC(uint32_t) * word, int count);
#define WFI_WAKE_ALL INT32_MAX

#endif
