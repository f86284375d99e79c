/* SPDX-License-Identifier: MIT */
/*
 * Conditions. `lock` guards `waiting`; the user's mutex is held by every caller.
 *
 * The difficulty is to give the mutex up and to begin the wait as one step, when giving up may wake
 * somebody, which must not happen under `lock`, and a wait must begin under `lock`. So a party
 * comes in two steps, and its node says how far it is:
 *
 *   ARRIVING   linked, still to give the mutex up: a notify takes it off the list and marks it
 *              NOTIFIED, with no wake-up, for it is not asleep
 *   PARKED     the wait has begun: a notify claims it, hands over NOTIFIED, and wakes it
 *   NOTIFIED   off the list
 *
 * The step from ARRIVING to PARKED is made under `lock`, as are a notify's. Nobody can notify
 * before the mutex has been given up, so no notify is missed.
 */
#include <weft/cond.h>

#include <errno.h>

#include "os/fork.h"
#include "sync/mutex.h"

enum { ARRIVING, PARKED, NOTIFIED };

struct condition {
    struct wf_mutex *mutex;
    struct wfi_wait_list waiting; /* node->amount: one of the above */
    struct wfi_lock lock;
};
_Static_assert(sizeof(struct condition) <= sizeof(struct wf_condition), "the public words suffice");

static struct condition *inside(struct wf_condition *c)
{
    return (struct condition *)(void *)c;
}

void wf_condition_init(struct wf_condition *c, struct wf_mutex *m)
{
    *c = (struct wf_condition)WF_CONDITION_INIT(m);
}

void wf_condition_fini(struct wf_condition *c)
{
    struct condition *in = inside(c);
    wfi_lock_lock(&in->lock);
    wfi_assert(wfi_wait_list_empty(&in->waiting), "nobody waits on a condition at its end");
    wfi_lock_unlock(&in->lock);
}

/* The second step, with `lock` held: sleeps unless a notify has come already. */
static int park(struct condition *in, struct wfi_wait_node *node, wf_deadline deadline)
{
    if (node->amount == NOTIFIED) {
        wfi_lock_unlock(&in->lock);
        return 0;
    }
    node->amount = PARKED;
    struct wfi_waiter *self = wfi_wait_begin("condition", in);
    struct wfi_lock *held = &in->lock;
    int err = wfi_park(self, &held, 1, deadline);
    if (err) {
        wfi_lock_lock(&in->lock);
        wfi_wait_list_remove(&in->waiting, node);
        wfi_lock_unlock(&in->lock);
    }
    return err;
}

int wf_condition_wait(struct wf_condition *c, wf_deadline deadline)
{
    struct condition *in = inside(c);
    int err = wfi_mutex_check_owner(in->mutex);
    if (err)
        return err;
    if (wfi_forked())
        return WF_EFORKED;
    /* The condition may be gone when the wait ends; the mutex may not. */
    struct wf_mutex *mutex = in->mutex;
    struct wfi_wait_node node = {.waiter = wfi_self(), .amount = ARRIVING};
    wfi_lock_lock(&in->lock);
    wfi_wait_list_push(&in->waiting, &node);
    wfi_lock_unlock(&in->lock);
    wf_mutex_unlock(mutex);
    wfi_lock_lock(&in->lock);
    err = park(in, &node, deadline);
    wfi_mutex_lock_uncancelable(mutex);
    return err;
}

ssize_t wf_condition_notify(struct wf_condition *c, size_t n)
{
    struct condition *in = inside(c);
    int err = wfi_mutex_check_owner(in->mutex);
    if (err)
        return err;
    struct wfi_wake_list woken = {0};
    size_t count = 0;
    wfi_lock_lock(&in->lock);
    for (struct wfi_wait_node *node; count < n && (node = in->waiting.first);) {
        wfi_wait_list_remove(&in->waiting, node);
        if (node->amount == PARKED) {
            if (!wfi_wait_claim(node))
                continue;
            wfi_wake_list_add(&woken, node);
        }
        node->amount = NOTIFIED;
        count++;
    }
    wfi_lock_unlock(&in->lock);
    wfi_wake_all(&woken);
    return (ssize_t)count;
}

ssize_t wf_condition_notify_all(struct wf_condition *c)
{
    return wf_condition_notify(c, SIZE_MAX);
}
