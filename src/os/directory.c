/* SPDX-License-Identifier: MIT */
/*
 * Two levels of pointers. A leaf covers 128 GiB of addresses and stays for the life of the process.
 */
#include "os/directory.h"

#include <errno.h>
#include <stdint.h>

#include "base/atomic.h"
#include "os/memory.h"

#define CHUNK_BITS 26
#define LEAF_BITS 11
#define ADDRESS_BITS 48 /* more only where somebody asks the kernel for such addresses */
#define ROOT_BITS (ADDRESS_BITS - CHUNK_BITS - LEAF_BITS)

_Static_assert(WFI_DIRECTORY_CHUNK == (size_t)1 << CHUNK_BITS, "one size of chunk");

typedef WFI_ATOMIC(void *) entry;
static WFI_ATOMIC(entry *) root[(size_t)1 << ROOT_BITS];

static entry *entry_of(uintptr_t addr)
{
    size_t at = addr >> (CHUNK_BITS + LEAF_BITS);
    if (at >= sizeof root / sizeof root[0])
        return NULL;
    entry *leaf = wfi_load_acquire(&root[at]); /* acquire: pairs with the cas in grow */
    return leaf ? &leaf[addr >> CHUNK_BITS & (((size_t)1 << LEAF_BITS) - 1)] : NULL;
}

/* Makes the leaf for an address. */
static int grow(uintptr_t addr)
{
    size_t at = addr >> (CHUNK_BITS + LEAF_BITS);
    size_t page = wfi_page_bytes();
    size_t bytes = ((sizeof(entry) << LEAF_BITS) + page - 1) & ~(page - 1);
    void *fresh;
    if (at >= sizeof root / sizeof root[0] || wfi_memory_reserve(bytes, page, &fresh))
        return -ENOMEM;
    entry *none = NULL;
    if (!wfi_cas(&root[at], &none, (entry *)fresh))
        wfi_memory_release(fresh, bytes, 0); /* somebody else was quicker */
    return 0;
}

int wfi_directory_set(const void *low, size_t bytes, void *owner)
{
    uintptr_t begin = (uintptr_t)low;
    for (uintptr_t addr = begin; addr < begin + bytes; addr += WFI_DIRECTORY_CHUNK) {
        if (!entry_of(addr)) {
            int err = grow(addr);
            if (err)
                return err;
        }
        wfi_store_release(entry_of(addr), owner); /* pairs with wfi_directory_find */
    }
    return 0;
}

void wfi_directory_clear(const void *low, size_t bytes)
{
    uintptr_t begin = (uintptr_t)low;
    for (uintptr_t addr = begin; addr < begin + bytes; addr += WFI_DIRECTORY_CHUNK) {
        entry *there = entry_of(addr);
        if (there)
            wfi_store_release(there, NULL);
    }
}

void *wfi_directory_find(const void *addr)
{
    entry *there = entry_of((uintptr_t)addr);
    /* acquire: pairs with the release in wfi_directory_set */
    return there ? wfi_load_acquire(there) : NULL;
}
