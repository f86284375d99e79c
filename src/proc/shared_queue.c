/* SPDX-License-Identifier: MIT */
/* The shared queue: an object around a ring, which is where its argument is. */
#include <weft/shared_queue.h>

#include <errno.h>

#include "base/assert.h"
#include "proc/shared.h"
#include "proc/shared_ring.h"

enum { RING_AT = 192 };

struct wf_shared_queue {
    struct wfi_shared shared;
    /* The ring is at RING_AT, on a cache line of its own. */
};
_Static_assert(sizeof(struct wf_shared_queue) <= RING_AT, "the ring lies behind");

WFI_SHARED_WIRE(wf_shared_queue, WFI_BLOCK_QUEUE)

static struct wfi_shared_ring *ring_of(const struct wf_shared_queue *q)
{
    return (struct wfi_shared_ring *)((uintptr_t)q + RING_AT);
}

static void died(void *object, uint32_t member)
{
    wfi_shared_ring_died(ring_of(object), member);
}

static void fini(void *object)
{
    wfi_shared_ring_fini(ring_of(object));
}

const struct wfi_shared_kind wfi_shared_queue_kind = {.name = "queue", .died = died, .fini = fini};

int wf_shared_queue_create(const struct wf_shared_queue_options *options,
                           struct wf_shared_queue **ret_queue, struct wf_error *reterr)
{
    size_t bytes = wfi_shared_ring_bytes(options->capacity, options->item_bytes);
    if (options->capacity == 0 || options->capacity > WFI_RING_CAPACITY_MAX)
        return wf_error_set(reterr, -EINVAL, "a shared queue holds 1 to %d items",
                            WFI_RING_CAPACITY_MAX);
    if (!bytes)
        return wf_error_set(reterr, WF_ETOOBIG, "%zu items of %zu bytes", options->capacity,
                            options->item_bytes);
    void *object;
    int err = wfi_shared_create(RING_AT + bytes, &object, reterr);
    if (err)
        return err;
    wfi_shared_ring_init(ring_of(object), options->capacity, options->item_bytes);
    wfi_shared_publish(object, WFI_BLOCK_QUEUE);
    *ret_queue = object;
    return 0;
}

void wf_shared_queue_destroy(struct wf_shared_queue *queue)
{
    wfi_shared_destroy(queue, WFI_BLOCK_QUEUE);
}

int wf_shared_queue_push(struct wf_shared_queue *q, const void *item, size_t len,
                         wf_deadline deadline)
{
    return wfi_shared_ring_push(ring_of(q), item, len, "shared queue push", q, deadline);
}

int wf_shared_queue_pop(struct wf_shared_queue *q, void *item, size_t capacity, size_t *ret_len,
                        wf_deadline deadline)
{
    return wfi_shared_ring_pop(ring_of(q), item, capacity, ret_len, NULL, "shared queue pop", q,
                               deadline);
}

int wf_shared_queue_take(struct wf_shared_queue *q, wf_bytes *ret_item, wf_deadline deadline)
{
    return wfi_shared_ring_pop(ring_of(q), NULL, 0, NULL, ret_item, "shared queue pop", q,
                               deadline);
}

int wf_shared_queue_try_push(struct wf_shared_queue *q, const void *item, size_t len)
{
    return wfi_shared_ring_try_push(ring_of(q), item, len);
}

int wf_shared_queue_try_pop(struct wf_shared_queue *q, void *item, size_t capacity, size_t *ret_len)
{
    return wfi_shared_ring_try_pop(ring_of(q), item, capacity, ret_len);
}

void wf_shared_queue_close(struct wf_shared_queue *q, enum wf_close_how how)
{
    if (wfi_arena_self())
        wfi_shared_ring_close(ring_of(q), how);
}

size_t wf_shared_queue_len(const struct wf_shared_queue *q)
{
    return wfi_shared_ring_len(ring_of(q));
}
