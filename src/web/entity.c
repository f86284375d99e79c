/* SPDX-License-Identifier: MIT */
/*
 * The names are sorted; a lookup narrows the range of names that begin with what was read so far,
 * one byte a step, and remembers the last whole name it passed.
 */
#include "web/entity.h"

#include <string.h>

#include "web/entity_table.h"

const uint16_t wfi_windows_1252[32] = {
    0x20ac, 0x81,   0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x8d,   0x017d, 0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d,   0x017e, 0x0178,
};

size_t wfi_utf8_encode(uint32_t code, uint8_t *utf8)
{
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        code = 0xfffd;
    if (code < 0x80) {
        utf8[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        utf8[0] = (uint8_t)(0xc0 | code >> 6);
        utf8[1] = (uint8_t)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        utf8[0] = (uint8_t)(0xe0 | code >> 12);
        utf8[1] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
        utf8[2] = (uint8_t)(0x80 | (code & 0x3f));
        return 3;
    }
    utf8[0] = (uint8_t)(0xf0 | code >> 18);
    utf8[1] = (uint8_t)(0x80 | (code >> 12 & 0x3f));
    utf8[2] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
    utf8[3] = (uint8_t)(0x80 | (code & 0x3f));
    return 4;
}

static bool is_alnum(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* The digit's value, or 16 when it is none of that base. */
static unsigned digit(uint8_t c, bool hex)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return hex && c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

static size_t decode_number(const uint8_t *p, size_t len, uint8_t *utf8, size_t *utf8_len)
{
    bool hex = len > 2 && (p[2] | 0x20) == 'x';
    size_t first = hex ? 3 : 2, i = first;
    uint32_t code = 0;
    for (; i < len && i < WFI_ENTITY_SPAN && digit(p[i], hex) < 16; i++)
        if (code <= 0x10ffff)
            code = code * (hex ? 16 : 10) + digit(p[i], hex);
    if (i == first || i == WFI_ENTITY_SPAN)
        return 0;
    if (i < len && p[i] == ';')
        i++;
    if (code == 0)
        code = 0xfffd;
    else if (code >= 0x80 && code < 0xa0)
        code = wfi_windows_1252[code - 0x80];
    *utf8_len = wfi_utf8_encode(code, utf8);
    return i;
}

static size_t name_len(unsigned i)
{
    return (size_t)(entity_start[i + 1] - entity_start[i]);
}

static uint8_t name_at(unsigned i, size_t at)
{
    return at < name_len(i) ? (uint8_t)entity_text[entity_start[i] + at] : 0;
}

/* The first name in [lo, hi) whose byte at `at` is not below c. */
static unsigned lower_bound(unsigned lo, unsigned hi, size_t at, unsigned c)
{
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (name_at(mid, at) < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static unsigned letter_index(uint8_t c)
{
    return c >= 'a' ? c - 'a' + 26u : c - 'A' + 0u;
}

static bool is_letter(uint8_t c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/*
 * Reads as much of a name as there is: *ret_name is the longest whole name (-1: none). Returns true
 * when more bytes could still make a longer one.
 */
static bool narrow(const uint8_t *p, size_t len, int *ret_name)
{
    *ret_name = -1;
    if (len < 2)
        return true;
    if (!is_letter(p[1]))
        return false;
    unsigned lo = entity_letter[letter_index(p[1])];
    unsigned hi = entity_letter[letter_index(p[1]) + 1];
    for (size_t at = 1; lo < hi; at++) {
        /* A name sorts before the longer ones it begins. */
        if (name_len(lo) == at)
            *ret_name = (int)lo;
        if (1 + at == len)
            return name_len(hi - 1) > at;
        uint8_t c = p[1 + at];
        lo = lower_bound(lo, hi, at, c);
        hi = lower_bound(lo, hi, at, c + 1u);
        if (c == 0)
            break;
    }
    return false;
}

size_t wfi_entity_decode(const uint8_t *p, size_t len, bool attr, uint8_t utf8[WFI_ENTITY_UTF8_MAX],
                         size_t *utf8_len)
{
    if (len > 1 && p[1] == '#')
        return decode_number(p, len, utf8, utf8_len);
    if (len >= 5 && memcmp(p, "&amp;", 5) == 0) {
        /* Nine of ten, in the links of pages. */
        utf8[0] = '&';
        *utf8_len = 1;
        return 5;
    }
    int name;
    narrow(p, len, &name);
    if (name < 0)
        return 0;
    size_t used = 1 + name_len((unsigned)name);
    if (attr && p[used - 1] != ';' && used < len && (p[used] == '=' || is_alnum(p[used])))
        return 0;
    uint32_t value = entity_value[name];
    *utf8_len = wfi_utf8_encode(value & 0x1fffff, utf8);
    if (value >> 21)
        *utf8_len += wfi_utf8_encode(entity_second[(value >> 21) - 1], utf8 + *utf8_len);
    return used;
}

bool wfi_entity_open(const uint8_t *p, size_t len)
{
    if (len >= WFI_ENTITY_SPAN)
        return false;
    if (len > 1 && p[1] == '#') {
        bool hex = len > 2 && (p[2] | 0x20) == 'x';
        for (size_t i = hex ? 3 : 2; i < len; i++)
            if (digit(p[i], hex) > 15)
                return false;
        return true;
    }
    int name;
    return narrow(p, len, &name);
}
