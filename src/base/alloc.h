/* SPDX-License-Identifier: MIT */
/*
 * The only way to the heap. Normally malloc and free; while a test watches, allocations are
 * counted and the n-th one can be made to fail.
 */
#ifndef WFI_BASE_ALLOC_H
#define WFI_BASE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

void *wfi_alloc(size_t bytes);
void *wfi_zalloc(size_t bytes);
/* Zeroed memory aligned to `align`, a power of two; freed with wfi_free. */
void *wfi_zalloc_aligned(size_t align, size_t bytes);
void *wfi_realloc(void *ptr, size_t bytes);
void wfi_free(void *ptr);
char *wfi_strdup(const char *text);

/* True when an allocation outside wfi_alloc (a mapping, a thread) should be made to fail too. */
_Bool wfi_alloc_should_fail(void);

/*
 * For tests. From here on the n-th allocation (1 is the next) fails, once; 0 lets all succeed.
 * wfi_alloc_unwatch() returns true if the failure was reached.
 */
void wfi_alloc_watch(uint64_t fail_at);
_Bool wfi_alloc_unwatch(void);
/* Allocations minus frees since the watch began. */
int64_t wfi_alloc_live(void);

#endif
