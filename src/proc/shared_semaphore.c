/* SPDX-License-Identifier: MIT */
/*
 * The shared semaphore: its word is the number of permits, shifted left by one, and the bit
 * WAITERS. Who waits sets the bit and sleeps for the word to change; a release that finds it takes
 * it away and wakes all, who look again and set it again if need be. So whoever sleeps has set the
 * bit after the last release, and a release finds it or precedes the sleeper's look.
 */
#include <weft/shared_semaphore.h>

#include <errno.h>

#include "proc/shared.h"
#include "proc/shared_wait.h"

enum { WAITERS = 1 };

struct wf_shared_semaphore {
    struct wfi_shared shared;
    WFI_ATOMIC(uint32_t) word;
    uint32_t bound; /* constant; WF_SHARED_SEMAPHORE_MAX for none */
    bool bounded;   /* constant */
};

WFI_SHARED_WIRE(wf_shared_semaphore, WFI_BLOCK_SEMAPHORE)

static void died(void *object, uint32_t member)
{
    (void)member;
    wfi_shared_wake(&((struct wf_shared_semaphore *)object)->word, WFI_WAKE_ALL);
}

const struct wfi_shared_kind wfi_shared_semaphore_kind = {.name = "semaphore", .died = died};

int wf_shared_semaphore_create(uint32_t permits, uint32_t bound,
                               struct wf_shared_semaphore **ret_semaphore, struct wf_error *reterr)
{
    if (permits > WF_SHARED_SEMAPHORE_MAX || bound > WF_SHARED_SEMAPHORE_MAX ||
        (bound && permits > bound))
        return wf_error_set(reterr, -EINVAL, "%u permits of at most %u", permits,
                            bound ? bound : WF_SHARED_SEMAPHORE_MAX);
    void *object;
    int err = wfi_shared_create(sizeof **ret_semaphore, &object, reterr);
    if (err)
        return err;
    struct wf_shared_semaphore *s = object;
    wfi_store(&s->word, permits << 1);
    s->bound = bound ? bound : WF_SHARED_SEMAPHORE_MAX;
    s->bounded = bound != 0;
    wfi_shared_publish(s, WFI_BLOCK_SEMAPHORE);
    *ret_semaphore = s;
    return 0;
}

void wf_shared_semaphore_destroy(struct wf_shared_semaphore *semaphore)
{
    wfi_shared_destroy(semaphore, WFI_BLOCK_SEMAPHORE);
}

static bool take(struct wf_shared_semaphore *s, uint32_t n)
{
    uint32_t seen = wfi_load_relaxed(&s->word);
    while (seen >> 1 >= n)
        if (wfi_cas_acquire(&s->word, &seen, seen - (n << 1))) /* pairs with release's */
            return true;
    return false;
}

static int check(const struct wf_shared_semaphore *s, uint32_t n)
{
    if (!wfi_arena_self())
        return wfi_arena_refusal(NULL);
    return n == 0 || n > s->bound ? -EINVAL : 0;
}

int wf_shared_semaphore_try_acquire(struct wf_shared_semaphore *s, uint32_t n)
{
    int err = check(s, n);
    if (err)
        return err;
    return take(s, n) ? 0 : -EAGAIN;
}

int wf_shared_semaphore_acquire(struct wf_shared_semaphore *s, uint32_t n, wf_deadline deadline)
{
    int err = check(s, n);
    while (!err && !take(s, n)) {
        uint32_t seen = wfi_load(&s->word);
        if (seen >> 1 >= n || (!(seen & WAITERS) && !wfi_cas(&s->word, &seen, seen | WAITERS)))
            continue;
        err = wfi_shared_wait(&s->word, seen | WAITERS, "shared semaphore", s, deadline);
    }
    return err;
}

int wf_shared_semaphore_release(struct wf_shared_semaphore *s, uint32_t n)
{
    if (!wfi_arena_self())
        return wfi_arena_refusal(NULL);
    if (n == 0)
        return -EINVAL;
    uint32_t seen = wfi_load_relaxed(&s->word);
    do {
        if (n > s->bound - (seen >> 1))
            return s->bounded ? WF_ESTATE : -EINVAL;
        /* In the full order, as the bit's setting and look are. */
    } while (!wfi_cas(&s->word, &seen, ((seen >> 1) + n) << 1));
    if (seen & WAITERS)
        wfi_shared_wake(&s->word, WFI_WAKE_ALL);
    return 0;
}

uint32_t wf_shared_semaphore_value(const struct wf_shared_semaphore *s)
{
    return wfi_load_relaxed(&s->word) >> 1;
}
