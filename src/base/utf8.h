/* SPDX-License-Identifier: MIT */
/*
 * One character of UTF-8, strict but for surrogates, which are taken in their three-byte form.
 */
#ifndef WFI_BASE_UTF8_H
#define WFI_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/*
 * Reads the character at p..end, which is not empty. Returns its length in bytes; or minus the
 * length of the longest start of a character there, at least 1, when it is wrong or cut off.
 */
static inline int wfi_utf8_read(const char *text, const char *end, uint32_t *ret)
{
    const unsigned char *p = (const unsigned char *)text;
    const ptrdiff_t left = end - text;
    /* The second byte has the narrower range where the first allows longer forms than needed
     * (E0, F0) or numbers above U+10FFFF (F4). */
    unsigned low = 0x80, high = 0xbf;
    int len;
    uint32_t c;

    if (p[0] < 0x80) {
        *ret = p[0];
        return 1;
    }
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return -1;
    if (p[0] < 0xe0) {
        len = 2;
        c = p[0] & 0x1fu;
    } else if (p[0] < 0xf0) {
        len = 3;
        c = p[0] & 0x0fu;
        low = p[0] == 0xe0 ? 0xa0 : 0x80;
    } else {
        len = 4;
        c = p[0] & 0x07u;
        low = p[0] == 0xf0 ? 0x90 : 0x80;
        high = p[0] == 0xf4 ? 0x8f : 0xbf;
    }
    for (int i = 1; i < len; i++) {
        if (i >= left || p[i] < low || p[i] > high)
            return -i;
        c = c << 6 | (p[i] & 0x3fu);
        low = 0x80;
        high = 0xbf;
    }
    *ret = c;
    return len;
}

/* Writes a character, surrogates too; returns its length. */
static inline int wfi_utf8_write(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

#endif
