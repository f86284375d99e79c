/* SPDX-License-Identifier: MIT */
#include "net/handle.h"

#include <errno.h>

#include "os/socket.h"

/*
 * Parties that wait for a descriptor. A close takes the lock only when somebody waits: it frees the
 * number, then reads `hungry`; a party raises `hungry`, then tries for a number once more (the
 * caller of wfi_handle_wait_for_descriptor did, at latest after the moment). So no fence is needed
 * to be right, only to be quick.
 */
static WFI_ATOMIC(int) hungry;
static struct wfi_lock lock;
static struct wfi_wait_list waiters; /* under the lock */

/* How long a descriptor closed by code that does not tell us goes unnoticed: short for a person,
 * and still only twenty attempts a second. */
#define MOMENT_NS WF_MILLISECONDS(50)

/* Operations in a row before a fiber gives way: with some microseconds each, about as long as the
 * scheduler lets ready fibers keep it from its other duties (61 switches, 50 us) or a little more.
 */
#define STREAK_MAX 32

int wfi_handle_give_way(struct wfi_handle *handle)
{
    uint32_t streak = wfi_load_relaxed(&handle->streak) + 1;
    wfi_store_relaxed(&handle->streak, streak < STREAK_MAX ? streak : 0);
    return streak < STREAK_MAX || !wfi_on_fiber() ? 0 : wfi_yield();
}

int wfi_handle_wait(struct wfi_handle *handle, enum wfi_desc_direction direction, uint32_t seen,
                    const char *reason, wf_deadline deadline)
{
    wfi_store_relaxed(&handle->streak, 0);
    return wfi_poll_desc_wait(handle->desc, direction, seen, reason, handle, deadline);
}

int wfi_handle_wait_for_descriptor(const void *object, wf_deadline deadline)
{
    struct wfi_wait_node node = {.amount = 0};
    wf_deadline moment = wf_after(MOMENT_NS);
    wfi_fetch_add(&hungry, 1);
    wfi_lock_lock(&lock);
    int err = wfi_wait(&waiters, &lock, &node, "descriptor", object, wf_earlier(moment, deadline));
    wfi_fetch_sub(&hungry, 1);
    return err == -ETIMEDOUT && moment.ns < deadline.ns ? 0 : err;
}

static void feed_one(void)
{
    if (wfi_load(&hungry) == 0)
        return;
    wfi_lock_lock(&lock);
    struct wfi_wait_node *node = wfi_wait_claim_first(&waiters);
    wfi_lock_unlock(&lock);
    if (node)
        wfi_wake(node->waiter);
}

int wfi_handle_init(struct wfi_handle *handle, int fd)
{
    handle->desc = wfi_poll_desc_open(fd);
    handle->fd = fd;
    wfi_store_relaxed(&handle->streak, 0);
    return handle->desc ? 0 : -ENOMEM;
}

void wfi_handle_set_fd(struct wfi_handle *handle, int fd)
{
    wfi_lock_lock(&handle->desc->lock); /* a late event of the desc's last owner may be looking */
    handle->desc->fd = fd;
    wfi_lock_unlock(&handle->desc->lock);
    handle->fd = fd;
}

static bool finish(struct wfi_handle *handle, bool last)
{
    if (!last)
        return false;
    wfi_fd_close(handle->fd);
    wfi_poll_desc_free(handle->desc);
    feed_one();
    return true;
}

bool wfi_handle_leave(struct wfi_handle *handle)
{
    return finish(handle, wfi_poll_desc_leave(handle->desc));
}

bool wfi_handle_close(struct wfi_handle *handle)
{
    return finish(handle, wfi_poll_desc_close(handle->desc));
}
