/* SPDX-License-Identifier: MIT */
/*
 * The tables of web/html_tags.h, and names that are too long for a key.
 */
#include "web/html_tags.h"

#include <string.h>

#define KEY(a, b, c, d, e, f, g, h)                                                   \
    ((uint64_t)(a) | (uint64_t)(b) << 8 | (uint64_t)(c) << 16 | (uint64_t)(d) << 24 | \
     (uint64_t)(e) << 32 | (uint64_t)(f) << 40 | (uint64_t)(g) << 48 | (uint64_t)(h) << 56)

const uint16_t wfi_tag_flags[WFI_TAG_COUNT] = {
#define ROW(upper, lower, key, flags) [WFI_TAG_##upper] = (flags),
    WFI_TAG_MAP(ROW, KEY)
#undef ROW
};

const uint64_t wfi_tag_keys[WFI_TAG_COUNT] = {
#define ROW(upper, lower, key, flags) [WFI_TAG_##upper] = (key),
    WFI_TAG_MAP(ROW, KEY)
#undef ROW
};

/* The keys of longer names (their first eight bytes) are in no name's way: a lookup compares keys.
 */
const uint8_t wfi_tag_slots[WFI_TAG_SLOTS] = {
#define ROW(upper, lower, key, flags) [WFI_TAG_SLOT(key)] = WFI_TAG_##upper,
    WFI_TAG_MAP(ROW, KEY)
#undef ROW
};

static const char *const names[WFI_TAG_COUNT] = {
#define ROW(upper, lower, key, flags) [WFI_TAG_##upper] = lower,
    WFI_TAG_MAP(ROW, KEY)
#undef ROW
};

_Static_assert(WFI_TAG_COUNT <= 256, "an id is a byte in the slots");

struct wfi_tag_name wfi_tag_name(const uint8_t *name, size_t len)
{
    uint64_t key = 0;
    memcpy(&key, name, len < 8 ? len : 8);
    if (len > 0 && len <= 8)
        return wfi_tag_short_name(key, len);

    key |= 0x2020202020202020u;
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 8; i < len; i++)
        hash = (hash ^ (name[i] | 0x20u)) * 16777619u;
    struct wfi_tag_name n = {key, (uint32_t)len ^ hash << 8, WFI_TAG_OTHER};
    unsigned id = wfi_tag_slots[WFI_TAG_SLOT(key)];
    if (wfi_tag_keys[id] != key || strlen(names[id]) != len)
        return n;
    for (size_t i = 8; i < len; i++)
        if ((name[i] | 0x20) != names[id][i])
            return n;
    n.id = id;
    return n;
}
