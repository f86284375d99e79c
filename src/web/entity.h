/* SPDX-License-Identifier: MIT */
/*
 * Character references: `&amp;`, `&#65;`, `&#x41;`. Names are HTML's whole table, the longest that
 * fits; those of HTML 2 need no semicolon. Numbers outside Unicode, surrogates and 0 give U+FFFD,
 * 0x80 to 0x9f what windows-1252 has there.
 *
 * One departure: of a numeric reference with more than WFI_ENTITY_SPAN bytes nothing is decoded. So
 * a reference is decided within that many bytes, which bounds what a stream has to hold back.
 */
#ifndef WFI_WEB_ENTITY_H
#define WFI_WEB_ENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WFI_ENTITY_SPAN = 64,
    WFI_ENTITY_UTF8_MAX = 8, /* two code points */
};

/*
 * Decodes the reference that begins at p[0], which is '&'. `attr`: it stands in an attribute value,
 * where a name without semicolon before '=' or a letter or digit is left alone. At p + len there is
 * nothing that belongs to it.
 *
 * Writes the UTF-8 to ret_utf8 and its length to ret_utf8_len.
 * Returns the bytes the reference takes, or 0 when there is none and '&' is text.
 */
size_t wfi_entity_decode(const uint8_t *p, size_t len, bool attr,
                         uint8_t ret_utf8[WFI_ENTITY_UTF8_MAX], size_t *ret_utf8_len);

/* True when the `len` bytes at p, which begin with '&', could go on to a reference, or a longer
 * one. */
bool wfi_entity_open(const uint8_t *p, size_t len);

/* Writes the UTF-8 of a code point (U+FFFD for one there is not) and returns its length, 1 to 4. */
size_t wfi_utf8_encode(uint32_t code, uint8_t *ret_utf8);

/* What windows-1252 has at 0x80 + i; undefined places stand for themselves. */
extern const uint16_t wfi_windows_1252[32];

#endif
