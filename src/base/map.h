/* SPDX-License-Identifier: MIT */
/*
 * Hash map to pointers: open addressing, linear probing, sixteen bytes a slot. The owner guards it.
 *
 * A key is a 64-bit number or a run of bytes; one map holds one kind.
 *   - Numbers: the slot stores a bijection of the number, so that equal slots are equal keys.
 *   - Bytes: the key lives in the value; `same` compares the two. The map copies nothing.
 *
 * Invariants
 *   1. A value is never NULL: NULL marks a free slot.
 *   2. At most three quarters of the slots are taken, so that every probe ends.
 *   3. Between a value's home slot and its place no slot is free: remove moves followers back
 *      instead of leaving tombstones, so a map that lives long stays as fast as it was.
 */
#ifndef WFI_BASE_MAP_H
#define WFI_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wfi_map_slot {
    uint64_t hash;
    void *value;
};

struct wfi_map {
    struct wfi_map_slot *slots; /* a power of two of them, or none yet */
    size_t slot_count;
    size_t count;
    /* Whether `value` has this key; NULL in a map of numbers. */
    bool (*same)(const void *value, const void *key, size_t len);
    uint64_t seed; /* for byte keys that come from outside; may stay 0 */
};

/* Zeroed is an empty map of numbers; a map of byte keys only sets `same` (and `seed`) besides. */

void *wfi_map_find(const struct wfi_map *map, const void *key, size_t len);
/* Returns 0, -EEXIST (the map is as it was), or -ENOMEM. */
int wfi_map_put(struct wfi_map *map, const void *key, size_t len, void *value);
/* Takes the value out and returns it; NULL when there was none. Never allocates. */
void *wfi_map_remove(struct wfi_map *map, const void *key, size_t len);

void *wfi_map_find_u64(const struct wfi_map *map, uint64_t key);
int wfi_map_put_u64(struct wfi_map *map, uint64_t key, void *value);
void *wfi_map_remove_u64(struct wfi_map *map, uint64_t key);

/* Walks all values in no order: start with *cursor = 0; NULL at the end. No put or remove between.
 */
void *wfi_map_next(const struct wfi_map *map, size_t *cursor);

/* Frees the slots, not the values; the map is empty and usable again. */
void wfi_map_reset(struct wfi_map *map);

#endif
