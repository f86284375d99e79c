/* SPDX-License-Identifier: MIT */
/*
 * The shared condition: its word counts the notifies, and has the bit WAITERS. Who waits reads it
 * with the mutex held and sleeps while it is the same; a notify changes it, then wakes. So a notify
 * after the mutex was given up is seen by the word, or wakes the sleeper.
 */
#include <weft/shared_condition.h>

#include <errno.h>

#include "proc/shared.h"
#include "proc/shared_mutex.h"
#include "proc/shared_wait.h"

enum { WAITERS = 1, ONE = 2 /* notify */ };

struct wf_shared_condition {
    struct wfi_shared shared;
    WFI_ATOMIC(uint32_t) word;
};

WFI_SHARED_WIRE(wf_shared_condition, WFI_BLOCK_CONDITION)

/* The dead may have been the one that a notify woke, so the others are told that there was one. */
static void died(void *object, uint32_t member)
{
    (void)member;
    struct wf_shared_condition *c = object;
    wf_shared_condition_notify_all(c);
    wfi_shared_wake(&c->word, WFI_WAKE_ALL); /* it may have died between change and wake-up */
}

const struct wfi_shared_kind wfi_shared_condition_kind = {.name = "condition", .died = died};

int wf_shared_condition_create(struct wf_shared_condition **ret_condition, struct wf_error *reterr)
{
    void *object;
    int err = wfi_shared_create(sizeof **ret_condition, &object, reterr);
    if (err)
        return err;
    wfi_shared_publish(object, WFI_BLOCK_CONDITION);
    *ret_condition = object;
    return 0;
}

void wf_shared_condition_destroy(struct wf_shared_condition *condition)
{
    wfi_shared_destroy(condition, WFI_BLOCK_CONDITION);
}

int wf_shared_condition_wait(struct wf_shared_condition *c, struct wf_shared_mutex *mutex,
                             wf_deadline deadline)
{
    int err = wfi_shared_mutex_check(mutex);
    if (err)
        return err;
    uint32_t seen = wfi_fetch_or(&c->word, WAITERS) | WAITERS;
    wf_shared_mutex_unlock(mutex);
    err = wfi_shared_wait(&c->word, seen, "shared condition", c, deadline);
    int got = wfi_shared_mutex_relock(mutex);
    return err ? err : got;
}

static void notify(struct wf_shared_condition *c, uint32_t drop, int count)
{
    uint32_t seen = wfi_load(&c->word);
    do {
        if (!(seen & WAITERS))
            return;
    } while (!wfi_cas(&c->word, &seen, (seen + ONE) & ~drop));
    wfi_shared_wake(&c->word, count);
}

void wf_shared_condition_notify(struct wf_shared_condition *c)
{
    notify(c, 0, 1); /* others may go on waiting */
}

void wf_shared_condition_notify_all(struct wf_shared_condition *c)
{
    notify(c, WAITERS, WFI_WAKE_ALL);
}
