/* SPDX-License-Identifier: MIT */
/*
 * Hash map to pointers; invariants in map.h.
 */
#include "base/map.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"

#include <errno.h>

enum { FIRST_SLOTS = 16 };

/* What is looked for: a number is all in `hash`, bytes are compared too. */
struct wanted {
    uint64_t hash;
    const void *key;
    size_t len;
};

static struct wanted want_bytes(const struct wfi_map *map, const void *key, size_t len)
{
    wfi_assert(map->same, "a map of numbers takes numbers as keys");
    return (struct wanted){wfi_hash_bytes(key, len, map->seed), key, len};
}

static struct wanted want_u64(const struct wfi_map *map, uint64_t key)
{
    wfi_assert(!map->same, "a map of byte keys takes bytes as keys");
    return (struct wanted){wfi_hash_u64(key), NULL, 0};
}

static bool matches(const struct wfi_map *map, const struct wfi_map_slot *slot, struct wanted w)
{
    return slot->hash == w.hash && (!map->same || map->same(slot->value, w.key, w.len));
}

/* The slot that holds the key, or the free one where it would go; NULL in a map without slots. */
static struct wfi_map_slot *probe(const struct wfi_map *map, struct wanted w)
{
    if (!map->slot_count)
        return NULL;
    const size_t mask = map->slot_count - 1;
    size_t at = w.hash & mask;
    while (map->slots[at].value && !matches(map, &map->slots[at], w))
        at = (at + 1) & mask;
    return &map->slots[at];
}

static int grow(struct wfi_map *map)
{
    const size_t slot_count = map->slot_count ? map->slot_count * 2 : FIRST_SLOTS;
    if (slot_count > SIZE_MAX / sizeof(struct wfi_map_slot))
        return -ENOMEM;
    struct wfi_map_slot *slots = wfi_zalloc(slot_count * sizeof *slots);
    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i < map->slot_count; i++) {
        if (!map->slots[i].value)
            continue;
        size_t at = map->slots[i].hash & (slot_count - 1);
        while (slots[at].value)
            at = (at + 1) & (slot_count - 1);
        slots[at] = map->slots[i];
    }
    wfi_free(map->slots);
    map->slots = slots;
    map->slot_count = slot_count;
    return 0;
}

static void *find(const struct wfi_map *map, struct wanted w)
{
    const struct wfi_map_slot *slot = probe(map, w);
    return slot ? slot->value : NULL;
}

static int put(struct wfi_map *map, struct wanted w, void *value)
{
    wfi_assert(value, "a map cannot hold NULL");
    struct wfi_map_slot *slot = probe(map, w);
    if (slot && slot->value)
        return -EEXIST;
    if (!slot || map->count + 1 > map->slot_count / 4 * 3) {
        int err = grow(map);
        if (err)
            return err;
        slot = probe(map, w);
    }
    *slot = (struct wfi_map_slot){w.hash, value};
    map->count++;
    return 0;
}

static void *take(struct wfi_map *map, struct wanted w)
{
    struct wfi_map_slot *slot = probe(map, w);
    if (!slot || !slot->value)
        return NULL;
    void *value = slot->value;
    const size_t mask = map->slot_count - 1;
    size_t hole = (size_t)(slot - map->slots);

    for (size_t at = (hole + 1) & mask; map->slots[at].value; at = (at + 1) & mask) {
        /* A follower may fill the hole unless its home lies behind the hole: it would be lost. */
        const size_t from_home = (at - map->slots[at].hash) & mask, from_hole = (at - hole) & mask;
        if (from_home >= from_hole) {
            map->slots[hole] = map->slots[at];
            hole = at;
        }
    }
    map->slots[hole] = (struct wfi_map_slot){0, NULL};
    map->count--;
    return value;
}

void *wfi_map_find(const struct wfi_map *map, const void *key, size_t len)
{
    return find(map, want_bytes(map, key, len));
}

int wfi_map_put(struct wfi_map *map, const void *key, size_t len, void *value)
{
    return put(map, want_bytes(map, key, len), value);
}

void *wfi_map_remove(struct wfi_map *map, const void *key, size_t len)
{
    return take(map, want_bytes(map, key, len));
}

void *wfi_map_find_u64(const struct wfi_map *map, uint64_t key)
{
    return find(map, want_u64(map, key));
}

int wfi_map_put_u64(struct wfi_map *map, uint64_t key, void *value)
{
    return put(map, want_u64(map, key), value);
}

void *wfi_map_remove_u64(struct wfi_map *map, uint64_t key)
{
    return take(map, want_u64(map, key));
}

void *wfi_map_next(const struct wfi_map *map, size_t *cursor)
{
    while (*cursor < map->slot_count) {
        void *value = map->slots[(*cursor)++].value;
        if (value)
            return value;
    }
    return NULL;
}

void wfi_map_reset(struct wfi_map *map)
{
    wfi_free(map->slots);
    map->slots = NULL;
    map->slot_count = map->count = 0;
}
