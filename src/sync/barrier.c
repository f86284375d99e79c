/* SPDX-License-Identifier: MIT */
/*
 * Barriers. Everything but the words that are only shown is under `lock`.
 *
 * A round: parties link themselves into `waiting` until the last comes. It runs the action, without
 * the lock and with `acting` set, then lets all go. Whoever comes meanwhile, a party too many or
 * one of the next round, waits in `early` and starts over afterwards. abort and reset end a round
 * at once, by waking all in it with BROKEN and moving to the next `round`; an action that is
 * running then finds its round gone.
 *
 * A woken party learns all from its node and does not touch the barrier: node->slot is NULL when
 * the round was complete, the barrier itself when it was broken.
 */
#include <weft/barrier.h>

#include <errno.h>
#include <limits.h>

#include "os/fork.h"
#include "sched/park.h"

struct barrier {
    struct wfi_lock lock;
    WFI_ATOMIC(bool) broken; /* written under `lock` */
    bool acting;
    uint32_t parties;             /* constant, as the next two */
    WFI_ATOMIC(uint32_t) arrived; /* written under `lock` */
    int (*action)(void *arg);
    void *arg;
    uint64_t round;
    struct wfi_wait_list waiting, early;
};
_Static_assert(sizeof(struct barrier) <= sizeof(struct wf_barrier), "the public words suffice");

static struct barrier *inside(struct wf_barrier *b)
{
    return (struct barrier *)(void *)b;
}

int wf_barrier_init(struct wf_barrier *b, size_t parties, int (*action)(void *arg), void *arg)
{
    if (parties == 0 || parties > INT_MAX)
        return -EINVAL;
    *b = (struct wf_barrier){{0}};
    struct barrier *in = inside(b);
    in->parties = (uint32_t)parties;
    in->action = action;
    in->arg = arg;
    return 0;
}

void wf_barrier_fini(struct wf_barrier *b)
{
    struct barrier *in = inside(b);
    wfi_lock_lock(&in->lock);
    wfi_assert(wfi_wait_list_empty(&in->waiting) && wfi_wait_list_empty(&in->early),
               "nobody waits at a barrier at its end");
    wfi_lock_unlock(&in->lock);
}

/* Under `lock`: ends the round for all in it, also for one whose wait has just ended otherwise: it
 * is still linked, and will look at its node. */
static void end_round(struct barrier *in, bool broken, struct wfi_wake_list *woken)
{
    for (struct wfi_wait_node *node; (node = in->waiting.first);) {
        wfi_wait_list_remove(&in->waiting, node);
        node->slot = broken ? in : NULL;
        if (wfi_wait_claim(node))
            wfi_wake_list_add(woken, node);
    }
    wfi_store_relaxed(&in->arrived, 0);
    in->round++;
}

static void break_round(struct barrier *in, bool stays_broken)
{
    struct wfi_wake_list woken = {0};
    wfi_lock_lock(&in->lock);
    wfi_store_relaxed(&in->broken, stays_broken);
    end_round(in, true, &woken);
    wfi_lock_unlock(&in->lock);
    wfi_wake_all(&woken);
}

/* The last party: called with `lock`, returns without. */
static int complete(struct barrier *in)
{
    uint64_t round = in->round;
    int err = 0;
    if (in->action) {
        in->acting = true;
        wfi_lock_unlock(&in->lock);
        err = in->action(in->arg);
        wfi_lock_lock(&in->lock);
        in->acting = false;
    }
    struct wfi_wake_list woken = {0};
    if (in->round != round) {
        err = WF_EBROKEN; /* by abort or reset, which have woken the others */
    } else {
        if (err < 0)
            wfi_store_relaxed(&in->broken, true);
        end_round(in, err < 0, &woken);
    }
    wfi_wake_list_claim_all(&woken, &in->early);
    int index = (int)in->parties - 1;
    wfi_lock_unlock(&in->lock);
    wfi_wake_all(&woken);
    return err < 0 ? err : index;
}

/* Called with `lock`, returns without. */
static int wait_for_others(struct barrier *in, wf_deadline deadline)
{
    int index = (int)wfi_load_relaxed(&in->arrived) - 1;
    struct wfi_waiter *self = wfi_wait_begin("barrier", in);
    struct wfi_wait_node node = {.waiter = self};
    wfi_wait_list_push(&in->waiting, &node);
    struct wfi_lock *held = &in->lock;
    int err = wfi_park(self, &held, 1, deadline);
    if (err) {
        struct wfi_wake_list woken = {0};
        wfi_lock_lock(&in->lock);
        if (node.linked) { /* the round has not ended, and now never can: this one is missing */
            wfi_wait_list_remove(&in->waiting, &node);
            wfi_store_relaxed(&in->broken, true);
            end_round(in, true, &woken);
        } else {
            err = 0; /* it has, with this one counted */
        }
        wfi_lock_unlock(&in->lock);
        wfi_wake_all(&woken);
    }
    return err ? err : node.slot ? WF_EBROKEN : index;
}

int wf_barrier_wait(struct wf_barrier *b, wf_deadline deadline)
{
    struct barrier *in = inside(b);
    if (wfi_forked())
        return WF_EFORKED;
    wfi_lock_lock(&in->lock);
    while (in->acting) {
        struct wfi_wait_node node = {0};
        int err = wfi_wait(&in->early, &in->lock, &node, "barrier", in, deadline);
        if (err)
            return err;
        wfi_lock_lock(&in->lock);
    }
    if (wfi_load_relaxed(&in->broken)) {
        wfi_lock_unlock(&in->lock);
        return WF_EBROKEN;
    }
    uint32_t arrived = wfi_load_relaxed(&in->arrived) + 1;
    wfi_store_relaxed(&in->arrived, arrived);
    return arrived == in->parties ? complete(in) : wait_for_others(in, deadline);
}

void wf_barrier_abort(struct wf_barrier *b)
{
    break_round(inside(b), true);
}

void wf_barrier_reset(struct wf_barrier *b)
{
    break_round(inside(b), false);
}

size_t wf_barrier_waiting(const struct wf_barrier *b)
{
    const struct barrier *in = (const struct barrier *)(const void *)b;
    return wfi_load_relaxed(&in->arrived);
}

bool wf_barrier_is_broken(const struct wf_barrier *b)
{
    const struct barrier *in = (const struct barrier *)(const void *)b;
    return wfi_load_relaxed(&in->broken);
}
