/* SPDX-License-Identifier: MIT */
/*
 * What streams and listeners have in common: an open descriptor that parties use at the same time
 * and that may be closed among them. The parties inside keep it open; the last one out closes the
 * number and frees the object.
 */
#ifndef WFI_NET_HANDLE_H
#define WFI_NET_HANDLE_H

#include "sched/netpoll.h"

struct wfi_handle {
    struct wfi_poll_desc *desc; /* constant */
    int fd;                     /* constant; closed by the last party to leave */
    /* Operations that did not have to wait, since the last that did or gave way; a hint. */
    WFI_ATOMIC(uint32_t) streak;
};

/* Returns 0 or -ENOMEM; fd stays the caller's on failure. */
int wfi_handle_init(struct wfi_handle *handle, int fd);
/* For a handle that was made before its descriptor, with -1; before anybody waits. */
void wfi_handle_set_fd(struct wfi_handle *handle, int fd);

/* Every operation stands between enter and leave; leave returns true when the object is to be
 * freed. */
static inline int wfi_handle_enter(struct wfi_handle *handle)
{
    return wfi_poll_desc_enter(handle->desc);
}
_Bool wfi_handle_leave(struct wfi_handle *handle);

/* The owner leaves for good; true when the object is to be freed now. */
_Bool wfi_handle_close(struct wfi_handle *handle);

/*
 * Before an operation. One that never has to wait gives way once in a while all the same, or a
 * fiber with a fast peer would keep its worker from all others. Returns 0 or -ECANCELED.
 */
int wfi_handle_give_way(struct wfi_handle *handle);

/* wfi_poll_desc_wait, with the handle as what is waited for. */
int wfi_handle_wait(struct wfi_handle *handle, enum wfi_desc_direction direction, uint32_t seen,
                    const char *reason, wf_deadline deadline);

/*
 * Called when a descriptor could not be made because there are too many: waits until one that this
 * layer holds is closed, at most for a moment, since the rest of the program may close some too.
 * Returns 0 (try again), -ETIMEDOUT, -ECANCELED.
 */
int wfi_handle_wait_for_descriptor(const void *object, wf_deadline deadline);

#endif
