/* SPDX-License-Identifier: MIT */
/*
 * Once. `state` is 0 (nobody runs it), the runner's address, or DONE; it changes under `lock`, and
 * DONE is read without it. After a failure the role of runner is handed to the first waiter: its
 * node->slot says so. When `lock` is free and somebody waits, there is a runner.
 */
#include <weft/once.h>

#include "os/fork.h"
#include "sched/park.h"

#define DONE ((uintptr_t)1)

struct once {
    WFI_ATOMIC(uintptr_t) state;
    struct wfi_wait_list waiting; /* node->slot: the once itself for the next runner, else NULL */
    struct wfi_lock lock;
};
_Static_assert(sizeof(struct once) <= sizeof(struct wf_once), "the public words suffice");

static void succeed(struct once *in)
{
    struct wfi_wake_list woken = {0};
    wfi_lock_lock(&in->lock);
    /* release: pairs with the acquire in wf_once_call */
    wfi_store_release(&in->state, DONE);
    wfi_wake_list_claim_all(&woken, &in->waiting);
    wfi_lock_unlock(&in->lock);
    wfi_wake_all(&woken);
}

static void fail(struct once *in)
{
    wfi_lock_lock(&in->lock);
    struct wfi_wait_node *next = wfi_wait_claim_first(&in->waiting);
    if (next)
        next->slot = in;
    wfi_store_relaxed(&in->state, next ? (uintptr_t)next->waiter : 0);
    wfi_lock_unlock(&in->lock);
    if (next)
        wfi_wake(next->waiter);
}

static int run(struct once *in, int (*fn)(void *arg), void *arg)
{
    int err = fn(arg);
    if (err < 0) {
        fail(in);
        return err;
    }
    succeed(in);
    return 0;
}

int wf_once_call(struct wf_once *o, int (*fn)(void *arg), void *arg, wf_deadline deadline)
{
    struct once *in = (struct once *)(void *)o;
    /* First of all who we are: a thread's first call may get the record of one that has ended, and
     * had an older look at `state` shown that one, it would be taken for us. */
    uintptr_t self = (uintptr_t)wfi_self();
    /* acquire: pairs with the release in succeed */
    uintptr_t state = wfi_load_acquire(&in->state);
    if (wfi_likely(state == DONE))
        return 0;
    if (state == self)
        return WF_EDEADLOCK;
    if (wfi_forked())
        return WF_EFORKED;
    wfi_lock_lock(&in->lock);
    state = wfi_load_acquire(&in->state);
    if (state == 0 || state == DONE) {
        if (state == 0)
            wfi_store_relaxed(&in->state, self);
        wfi_lock_unlock(&in->lock);
        return state == 0 ? run(in, fn, arg) : 0;
    }
    struct wfi_wait_node node = {0};
    int err = wfi_wait(&in->waiting, &in->lock, &node, "once", o, deadline);
    if (err)
        return err;
    return node.slot ? run(in, fn, arg) : 0;
}
