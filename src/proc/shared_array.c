/* SPDX-License-Identifier: MIT */
/* The shared array: a head, and the items behind it. */
#include <weft/shared_array.h>

#include <errno.h>

#include "proc/shared.h"

struct wf_shared_array {
    struct wfi_shared shared;
    size_t count, item_bytes; /* constant */
};

enum { ITEMS_AT = 192 };
_Static_assert(sizeof(struct wf_shared_array) <= ITEMS_AT && ITEMS_AT % 64 == 0,
               "the items are aligned");

WFI_SHARED_WIRE(wf_shared_array, WFI_BLOCK_ARRAY)

const struct wfi_shared_kind wfi_shared_array_kind = {.name = "array"};

int wf_shared_array_create(size_t count, size_t item_bytes, struct wf_shared_array **ret_array,
                           struct wf_error *reterr)
{
    if (!count || !item_bytes)
        return wf_error_set(reterr, -EINVAL, "an array has items, and they have a size");
    if (count > (SIZE_MAX - ITEMS_AT) / item_bytes)
        return wf_error_set(reterr, WF_ETOOBIG, "%zu items of %zu bytes", count, item_bytes);
    void *object;
    int err = wfi_shared_create(ITEMS_AT + count * item_bytes, &object, reterr);
    if (err)
        return err;
    struct wf_shared_array *array = object;
    array->count = count;
    array->item_bytes = item_bytes;
    wfi_shared_publish(array, WFI_BLOCK_ARRAY);
    *ret_array = array;
    return 0;
}

void wf_shared_array_destroy(struct wf_shared_array *array)
{
    wfi_shared_destroy(array, WFI_BLOCK_ARRAY);
}

void *wf_shared_array_items(struct wf_shared_array *array)
{
    return (char *)array + ITEMS_AT;
}

size_t wf_shared_array_count(const struct wf_shared_array *array)
{
    return array->count;
}

size_t wf_shared_array_item_bytes(const struct wf_shared_array *array)
{
    return array->item_bytes;
}
