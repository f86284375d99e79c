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

/* Under `lock`: ends the round for all that wait in it. */
static void end_round(struct barrier *in, bool broken, struct wfi_wake_list *woken)
{
    for (struct wfi_wait_node *node; (node = wfi_wait_claim_first(&in->waiting));) {
        node->slot = broken ? in : NULL;
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
    uint64_t round = in->round;
    struct wfi_wait_node node = {0};
    int err = wfi_wait(&in->waiting, &in->lock, &node, "barrier", in, deadline);
    if (err == 0)
        return node.slot ? WF_EBROKEN : index;
    struct wfi_wake_list woken = {0};
    wfi_lock_lock(&in->lock);
    /* Unless the round has ended meanwhile, it never can: this one is missing. */
    if (in->round == round) {
        wfi_store_relaxed(&in->broken, true);
        end_round(in, true, &woken);
    }
    wfi_lock_unlock(&in->lock);
    wfi_wake_all(&woken);
    return err;
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
