/* SPDX-License-Identifier: MIT */
/*
 * Whose address is this? The address space in chunks of 64 MiB, and what each belongs to: asked by
 * the handler of a stack overflow, so finding is signal safe and takes no lock.
 */
#ifndef WFI_OS_DIRECTORY_H
#define WFI_OS_DIRECTORY_H

#include <stddef.h>

#define WFI_DIRECTORY_CHUNK ((size_t)64 << 20)

/*
 * Gives the chunks from `low` on, which is aligned to one, to `owner`. After an error some of them
 * may be: clear them.
 *
 * Returns 0, or -ENOMEM.
 */
int wfi_directory_set(const void *low, size_t bytes, void *owner);
void wfi_directory_clear(const void *low, size_t bytes);

/* The owner of the chunk, or NULL. The caller knows that it stays while he looks at it. */
void *wfi_directory_find(const void *addr);

#endif
