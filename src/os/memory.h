/* SPDX-License-Identifier: MIT */
/*
 * Address space: reserved generously, paid for when touched. A reservation reads as zeros and can
 * be written at once; the system finds memory for a page at its first touch.
 *
 * Guards are made by madvise(MADV_GUARD_INSTALL) where the kernel has it (Linux 6.13): they cost no
 * mapping. Elsewhere by mprotect, which splits a mapping in two places; of those the library takes
 * at most half of vm.max_map_count, so that the rest of the program still gets its own.
 */
#ifndef WFI_OS_MEMORY_H
#define WFI_OS_MEMORY_H

#include <stddef.h>
#include <sys/uio.h>

/* Several ranges of whole pages in one call cost one system call where the kernel can do that
 * (process_madvise on oneself, Linux 6.15), and one each elsewhere. */
#define WFI_MEMORY_RANGES_MAX 16

size_t wfi_page_bytes(void);

/*
 * Reserves `bytes`, aligned to `align` (a power of two), both whole pages.
 *
 * Returns 0, or -ENOMEM. Released with wfi_memory_release.
 */
int wfi_memory_reserve(size_t bytes, size_t align, void **ret_low);

/*
 * Finds memory for the ranges now, in one go, which costs less than a page fault for each page
 * later. It is advice: what cannot be had now comes at the first touch, or not at all, as ever.
 */
void wfi_memory_commit(const struct iovec *ranges, int count);

/* Gives the memory of the ranges back and keeps the addresses, which read as zeros again. */
void wfi_memory_decommit(const struct iovec *ranges, int count);

/* Ends a reservation in which `guards` guards were made. */
void wfi_memory_release(void *low, size_t bytes, size_t guards);

/*
 * Reserves `bytes` (whole pages) that stay one memory in the children that the process forks, at
 * the same address: what one writes, all read. It reads as zeros and is left out of core dumps.
 *
 * Returns 0, or -ENOMEM. Released with wfi_memory_release.
 */
int wfi_memory_share(size_t bytes, void **ret_low);

/* wfi_memory_decommit for shared memory: it reads as zeros again in every process. */
void wfi_memory_unshare_pages(void *low, size_t bytes);

/* The bytes of shared memory in [low, low + bytes) that are there in fact. For tests. */
size_t wfi_memory_resident(void *low, size_t bytes);

/*
 * Makes guards of the first so many ranges: a touch is a fault. Decommitting spares them.
 *
 * Returns how many were made, from 1 to `count`, or
 *   -ENOSPC   the mappings guards may use are used up (wfi_memory_guards_max)
 *   -ENOMEM   the system is out of memory for mappings or page tables
 */
int wfi_memory_guard(const struct iovec *ranges, int count);

/* How many guards there can be at one time; SIZE_MAX where they cost no mapping. */
size_t wfi_memory_guards_max(void);

/* For tests: guards by mprotect, at most `max` of them; 0 goes back to what the system offers.
 * Not while a guard exists. */
void wfi_memory_guards_limit(size_t max);

#endif
