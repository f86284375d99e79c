/* SPDX-License-Identifier: MIT */
#include "sched/deque.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/assert.h"

struct wfi_deque_array {
    struct wfi_deque_array *outgrown; /* the one before this one */
    size_t mask;
    WFI_ATOMIC(struct wfi_job *) slots[];
};

static struct wfi_deque_array *make_array(size_t slots, struct wfi_deque_array *outgrown)
{
    struct wfi_deque_array *array = wfi_zalloc(sizeof *array + slots * sizeof array->slots[0]);
    if (array) {
        array->outgrown = outgrown;
        array->mask = slots - 1;
    }
    return array;
}

int wfi_deque_init(struct wfi_deque *deque, size_t slots)
{
    struct wfi_deque_array *array = make_array(slots, NULL);
    if (!array)
        return -ENOMEM;
    wfi_store_relaxed(&deque->top, 0);
    wfi_store_relaxed(&deque->bottom, 0);
    wfi_store_relaxed(&deque->array, array);
    deque->top_seen = 0;
    return 0;
}

void wfi_deque_fini(struct wfi_deque *deque)
{
    struct wfi_deque_array *array = wfi_load_relaxed(&deque->array);
    while (array) {
        struct wfi_deque_array *outgrown = array->outgrown;
        wfi_free(array);
        array = outgrown;
    }
    wfi_store_relaxed(&deque->array, NULL);
}

static struct wfi_deque_array *grow(struct wfi_deque *deque, struct wfi_deque_array *array,
                                    int64_t top, int64_t bottom)
{
    struct wfi_deque_array *larger = make_array(2 * (array->mask + 1), array);
    if (!larger)
        return NULL;
    for (int64_t i = top; i < bottom; i++)
        wfi_store_relaxed(&larger->slots[(size_t)i & larger->mask],
                          wfi_load_relaxed(&array->slots[(size_t)i & array->mask]));
    /* release: pairs with the acquire in wfi_deque_steal, for the copied slots */
    wfi_store_release(&deque->array, larger);
    return larger;
}

/* The array may be full: looks how far thieves have come, and grows it if that does not help. Out
 * of line, so that a push needs no registers to be saved. */
static __attribute__((noinline)) struct wfi_deque_array *
make_room(struct wfi_deque *deque, struct wfi_deque_array *array, int64_t bottom)
{
    /* acquire: pairs with the compare-and-swap in steal; a slot it emptied may be written */
    deque->top_seen = wfi_load_acquire(&deque->top);
    if (bottom - deque->top_seen > (int64_t)array->mask)
        array = grow(deque, array, deque->top_seen, bottom);
    return array;
}

bool wfi_deque_push(struct wfi_deque *deque, struct wfi_job *job)
{
    int64_t bottom = wfi_load_relaxed(&deque->bottom);
    struct wfi_deque_array *array = wfi_load_relaxed(&deque->array);
    if (wfi_unlikely(bottom - deque->top_seen > (int64_t)array->mask)) {
        array = make_room(deque, array, bottom);
        if (!array)
            return false;
    }
    wfi_store_relaxed(&array->slots[(size_t)bottom & array->mask], job);
    /* release: pairs with the acquire of bottom in steal, for the slot and the job behind it */
    wfi_store_release(&deque->bottom, bottom + 1);
    return true;
}

struct wfi_job *wfi_deque_pop(struct wfi_deque *deque)
{
    int64_t bottom = wfi_load_relaxed(&deque->bottom) - 1;
    struct wfi_deque_array *array = wfi_load_relaxed(&deque->array);
    if (bottom < wfi_load_relaxed(&deque->top))
        return NULL; /* top only grows: it was empty, and only the owner can change that */
    wfi_store_relaxed(&deque->bottom, bottom);
    /* bottom's store before top's load; pairs with the fence in steal (point 2 above) */
    wfi_fence();
    int64_t top = wfi_load_relaxed(&deque->top);
    struct wfi_job *job = NULL;
    if (top <= bottom) {
        job = wfi_load_relaxed(&array->slots[(size_t)bottom & array->mask]);
        if (top < bottom)
            return job;
        if (!wfi_cas(&deque->top, &top, top + 1))
            job = NULL; /* a thief took the last one */
    }
    wfi_store_relaxed(&deque->bottom, bottom + 1);
    return job;
}

bool wfi_deque_pop_if(struct wfi_deque *deque, struct wfi_job *job)
{
    int64_t last = wfi_load_relaxed(&deque->bottom) - 1;
    struct wfi_deque_array *array = wfi_load_relaxed(&deque->array);
    /* The slots are written by the owner alone. One that was stolen from still shows the job that
     * was in it; then the deque is empty, and pop says so. */
    return wfi_load_relaxed(&array->slots[(size_t)last & array->mask]) == job &&
           wfi_deque_pop(deque) != NULL;
}

struct wfi_job *wfi_deque_steal(struct wfi_deque *deque)
{
    /* acquire: a thief that sees an advanced top sees what the one before it saw */
    int64_t top = wfi_load_acquire(&deque->top);
    /* top's load before bottom's; pairs with the fence in pop */
    wfi_fence();
    /* acquire: pairs with the release in push */
    int64_t bottom = wfi_load_acquire(&deque->bottom);
    if (top >= bottom)
        return NULL;
    /* acquire: pairs with the release in grow */
    struct wfi_deque_array *array = wfi_load_acquire(&deque->array);
    struct wfi_job *job = wfi_load_relaxed(&array->slots[(size_t)top & array->mask]);
    return wfi_cas(&deque->top, &top, top + 1) ? job : NULL;
}
