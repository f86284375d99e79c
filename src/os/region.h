/* SPDX-License-Identifier: MIT */
/*
 * Memory that has a descriptor, to be mapped by more than one process: its pages come with their
 * first touch and go with the last mapping and the last descriptor.
 */
#ifndef WFI_OS_REGION_H
#define WFI_OS_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * A new one of so many bytes, all zero. Returns its descriptor, closed on exec, or -EMFILE,
 * -ENFILE, -ENOMEM.
 */
int wfi_region_create(size_t bytes);

/* Nobody can make it smaller or larger from here on. Returns 0 or a negative code. */
int wfi_region_fix_size(int fd);
/* The same, and nobody can write into it: no process may have it mapped with `shared`. */
int wfi_region_freeze(int fd);
/* The size of one that is frozen, or -EPERM when it is not. */
ssize_t wfi_region_frozen_bytes(int fd);

/*
 * Maps it, to be read and written: `shared`, or seen by this process only from the first write on.
 * Returns NULL without memory.
 */
void *wfi_region_map(int fd, size_t bytes, bool shared);
void wfi_region_unmap(void *at, size_t bytes);

#endif
