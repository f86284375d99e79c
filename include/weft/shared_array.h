/* SPDX-License-Identifier: MIT */
/*
 * Plain memory that processes share: so many items of one size, zeros at first, at the same address
 * in all of them. Who writes it when is for a mutex or another primitive to say.
 *
 *     err = wf_shared_array_create(1000, sizeof(double), &array, &error);
 *     double *sums = wf_shared_array_items(array);
 */
#ifndef WEFT_SHARED_ARRAY_H
#define WEFT_SHARED_ARRAY_H

#include <weft/error.h>

WF_BEGIN_DECLS

struct wf_shared_array;

/*
 * Makes an array of `count` items of `item_bytes`, aligned to 64 bytes. Memory is taken as it is
 * written to.
 *
 * ret_array   receives it; any process of the family destroys it, or it goes with the last of those
 *             that made it or were given it
 *
 * Returns 0, or
 *   -EINVAL      no items, or items of no size
 *   WF_ETOOBIG   more than processes can share at all
 *   -ENOMEM      no room in what processes share
 *   -ENOSPC      too many processes use what is shared
 *   WF_EFORKED   in a child made by fork
 * Context: any, never blocks for long.
 */
WF_API int wf_shared_array_create(size_t count, size_t item_bytes,
                                  struct wf_shared_array **ret_array, struct wf_error *reterr);

/*
 * Ends the array for all processes and gives its memory back. NULL is fine.
 * Context: any, never blocks for long; after everybody else's last use.
 */
WF_API void wf_shared_array_destroy(struct wf_shared_array *array);

/*
 * The first item, how many there are, and how large each is.
 * Context: any, never blocks.
 */
WF_API void *wf_shared_array_items(struct wf_shared_array *array);
WF_API size_t wf_shared_array_count(const struct wf_shared_array *array);
WF_API size_t wf_shared_array_item_bytes(const struct wf_shared_array *array);

WF_END_DECLS

#endif
