/* SPDX-License-Identifier: MIT */
/*
 * Memory of results that are strings or bytes: from the heap, or, where it came from another
 * process as a whole, mapped.
 */
#ifndef WFI_PROC_RESULT_H
#define WFI_PROC_RESULT_H

#include <weft/processes.h>

/*
 * From here on wf_result_free(ptr) unmaps [at, at + bytes), and closes `fd` if it is not -1.
 * Returns 0 or -ENOMEM.
 */
int wfi_result_adopt(const void *ptr, void *at, size_t bytes, int fd);

/*
 * If `ptr` came from wf_result_alloc as memory that can be handed over: takes it, so that nobody
 * frees it, unmaps it here, and returns its descriptor. Else returns -1.
 */
int wfi_result_hand_over(const void *ptr, size_t *ret_bytes);

/* The same lookup, without an effect. */
void *wfi_result_mapping(const void *ptr);

/* True for tasks whose result may be such memory. */
bool wfi_result_is_ours(const struct wf_task_type *type);

/* In a worker wf_result_alloc gives such memory from this size on. 0: never. */
void wfi_result_hand_over_from(size_t bytes);

#endif
