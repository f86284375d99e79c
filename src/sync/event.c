/* SPDX-License-Identifier: MIT */
/*
 * Events. `set` changes under `lock` and is read without it: a wait that sees it set is done. A
 * wait that does not looks again under `lock` before it links itself, so a set is never missed.
 */
#include <weft/event.h>

#include "os/fork.h"
#include "sched/park.h"

struct event {
    WFI_ATOMIC(uint32_t) set;
    struct wfi_lock lock;
    struct wfi_wait_list waiting;
};
_Static_assert(sizeof(struct event) <= sizeof(struct wf_event), "the public words suffice");

static struct event *inside(struct wf_event *e)
{
    return (struct event *)(void *)e;
}

void wf_event_init(struct wf_event *e)
{
    *e = (struct wf_event)WF_EVENT_INIT;
}

void wf_event_fini(struct wf_event *e)
{
    struct event *in = inside(e);
    wfi_lock_lock(&in->lock); /* a set that let the caller pass may still hold it */
    wfi_assert(wfi_wait_list_empty(&in->waiting), "nobody waits for an event at its end");
    wfi_lock_unlock(&in->lock);
}

void wf_event_set(struct wf_event *e)
{
    struct event *in = inside(e);
    struct wfi_wake_list woken = {0};
    wfi_lock_lock(&in->lock);
    /* release: pairs with the acquires in wf_event_wait and wf_event_is_set */
    wfi_store_release(&in->set, 1);
    wfi_wake_list_claim_all(&woken, &in->waiting);
    wfi_lock_unlock(&in->lock);
    wfi_wake_all(&woken);
}

void wf_event_clear(struct wf_event *e)
{
    struct event *in = inside(e);
    wfi_lock_lock(&in->lock);
    wfi_store_relaxed(&in->set, 0); /* nothing is published by it */
    wfi_lock_unlock(&in->lock);
}

bool wf_event_is_set(const struct wf_event *e)
{
    const struct event *in = (const struct event *)(const void *)e;
    return wfi_load_acquire(&in->set); /* acquire: pairs with the release in wf_event_set */
}

int wf_event_wait(struct wf_event *e, wf_deadline deadline)
{
    struct event *in = inside(e);
    if (wf_event_is_set(e))
        return 0;
    if (wfi_forked())
        return WF_EFORKED;
    wfi_lock_lock(&in->lock);
    if (wf_event_is_set(e)) {
        wfi_lock_unlock(&in->lock);
        return 0;
    }
    struct wfi_wait_node node = {0};
    return wfi_wait(&in->waiting, &in->lock, &node, "event", e, deadline);
}
