/* SPDX-License-Identifier: MIT */
/*
 * Latches. The count goes down without a lock, but for the last step to zero, which is made under
 * `lock`: whoever sees zero may end the latch at once, and its fini then waits for the lock, so
 * that the count-down that opened it never touches storage that is gone.
 */
#include <weft/latch.h>

#include "os/fork.h"
#include "sched/park.h"

struct latch {
    WFI_ATOMIC(uint64_t) count;
    struct wfi_wait_list waiting;
    struct wfi_lock lock;
};
_Static_assert(sizeof(struct latch) <= sizeof(struct wf_latch), "the public words suffice");

static struct latch *inside(struct wf_latch *l)
{
    return (struct latch *)(void *)l;
}

void wf_latch_init(struct wf_latch *l, uint64_t count)
{
    *l = (struct wf_latch)WF_LATCH_INIT(count);
}

void wf_latch_fini(struct wf_latch *l)
{
    struct latch *in = inside(l);
    wfi_lock_lock(&in->lock);
    wfi_assert(wfi_wait_list_empty(&in->waiting), "nobody waits for a latch at its end");
    wfi_lock_unlock(&in->lock);
}

/* Under `lock`: the step to zero, or less than that if others have been here meanwhile. */
static int count_down_locked(struct latch *in, uint64_t n, struct wfi_wake_list *woken)
{
    uint64_t seen = wfi_load_relaxed(&in->count);
    do {
        if (n > seen)
            return WF_ESTATE;
        /* release, and acquire of what the earlier ones released: pairs with wf_latch_wait */
    } while (!wfi_cas(&in->count, &seen, seen - n));
    if (seen == n)
        wfi_wake_list_claim_all(woken, &in->waiting);
    return 0;
}

int wf_latch_count_down(struct wf_latch *l, uint64_t n)
{
    struct latch *in = inside(l);
    if (n == 0)
        return 0;
    uint64_t seen = wfi_load_relaxed(&in->count);
    while (seen > n)
        /* release: pairs with the acquire in count_down_locked and wf_latch_wait */
        if (wfi_cas_release(&in->count, &seen, seen - n))
            return 0;
    struct wfi_wake_list woken = {0};
    wfi_lock_lock(&in->lock);
    int err = count_down_locked(in, n, &woken);
    wfi_lock_unlock(&in->lock);
    wfi_wake_all(&woken);
    return err;
}

uint64_t wf_latch_count(const struct wf_latch *l)
{
    const struct latch *in = (const struct latch *)(const void *)l;
    return wfi_load_acquire(&in->count); /* acquire: pairs with the releases of count-downs */
}

int wf_latch_wait(struct wf_latch *l, wf_deadline deadline)
{
    struct latch *in = inside(l);
    if (wf_latch_count(l) == 0)
        return 0;
    if (wfi_forked())
        return WF_EFORKED;
    wfi_lock_lock(&in->lock);
    if (wf_latch_count(l) == 0) {
        wfi_lock_unlock(&in->lock);
        return 0;
    }
    struct wfi_wait_node node = {0};
    return wfi_wait(&in->waiting, &in->lock, &node, "latch", l, deadline);
}
