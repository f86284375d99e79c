/* SPDX-License-Identifier: MIT */
/*
 * The shared event: its word is SET, WAITERS, and how often it was set. The count lets a waiter
 * that comes late see that the event was set meanwhile although it is clear again. A set that finds
 * WAITERS takes it away and wakes all.
 */
#include <weft/shared_event.h>

#include <errno.h>

#include "proc/shared.h"
#include "proc/shared_wait.h"

enum { SET = 1, WAITERS = 2, ONE = 4 /* time set */ };

struct wf_shared_event {
    struct wfi_shared shared;
    WFI_ATOMIC(uint32_t) word;
};

WFI_SHARED_WIRE(wf_shared_event, WFI_BLOCK_EVENT)

static void died(void *object, uint32_t member)
{
    (void)member;
    wfi_shared_wake(&((struct wf_shared_event *)object)->word, WFI_WAKE_ALL);
}

const struct wfi_shared_kind wfi_shared_event_kind = {.name = "event", .died = died};

int wf_shared_event_create(struct wf_shared_event **ret_event, struct wf_error *reterr)
{
    void *object;
    int err = wfi_shared_create(sizeof **ret_event, &object, reterr);
    if (err)
        return err;
    wfi_shared_publish(object, WFI_BLOCK_EVENT);
    *ret_event = object;
    return 0;
}

void wf_shared_event_destroy(struct wf_shared_event *event)
{
    wfi_shared_destroy(event, WFI_BLOCK_EVENT);
}

void wf_shared_event_set(struct wf_shared_event *e)
{
    uint32_t seen = wfi_load(&e->word);
    do {
        if (seen & SET)
            return;
    } while (!wfi_cas(&e->word, &seen, ((seen + ONE) & ~(uint32_t)WAITERS) | SET));
    if (seen & WAITERS)
        wfi_shared_wake(&e->word, WFI_WAKE_ALL);
}

void wf_shared_event_clear(struct wf_shared_event *e)
{
    wfi_fetch_and(&e->word, ~(uint32_t)SET);
}

bool wf_shared_event_is_set(const struct wf_shared_event *e)
{
    return wfi_load(&e->word) & SET;
}

int wf_shared_event_wait(struct wf_shared_event *e, wf_deadline deadline)
{
    if (!wfi_arena_self())
        return wfi_arena_refusal(NULL);
    uint32_t first = wfi_load(&e->word), seen = first;
    while (!(seen & SET) && seen / ONE == first / ONE) {
        if (!(seen & WAITERS) && !wfi_cas(&e->word, &seen, seen | WAITERS))
            continue;
        int err = wfi_shared_wait(&e->word, seen | WAITERS, "shared event", e, deadline);
        if (err)
            return err;
        seen = wfi_load(&e->word);
    }
    return 0;
}
