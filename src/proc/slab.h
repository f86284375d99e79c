/* SPDX-License-Identifier: MIT */
/*
 * Room for payloads between two processes: a ring of bytes in shared memory, handed out in order
 * and taken back in the same order. One side allocates, and knows what was taken back because it
 * frees itself (arguments) or because the other side tells (results). Positions only grow; the
 * place of a position is the rest of its division by the size. A piece does not wrap around: what
 * is left before the end is skipped; so a piece of up to half the size always has room in an empty
 * slab.
 */
#ifndef WFI_PROC_SLAB_H
#define WFI_PROC_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wfi_slab {
    size_t bytes;   /* of the ring */
    uint64_t taken; /* the position behind the last piece */
};

enum { WFI_SLAB_ALIGN = 64 };

/*
 * Finds room for `bytes`, where everything before position `freed` is free again. Returns false
 * when there is none; else *ret_offset is where it is, and slab->taken the position that frees it.
 */
static inline bool wfi_slab_take(struct wfi_slab *slab, uint64_t freed, size_t bytes,
                                 size_t *ret_offset)
{
    if (bytes > slab->bytes)
        return false;
    size_t rounded = (bytes + WFI_SLAB_ALIGN - 1) & ~(size_t)(WFI_SLAB_ALIGN - 1);
    size_t offset = (size_t)(slab->taken % slab->bytes);
    uint64_t from = slab->taken;
    if (offset + rounded > slab->bytes) {
        from += slab->bytes - offset;
        offset = 0;
    }
    if (rounded > slab->bytes || from + rounded - freed > slab->bytes)
        return false;
    slab->taken = from + rounded;
    *ret_offset = offset;
    return true;
}

#endif
