/* SPDX-License-Identifier: MIT */
/*
 * From the bytes of a page, UTF-8 as sent, to text: character references decoded, CR and CR LF made
 * LF, NUL and whatever is not UTF-8 made U+FFFD (one for each longest piece that could have begun a
 * character).
 */
#ifndef WFI_WEB_HTML_TEXT_H
#define WFI_WEB_HTML_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

enum {
    WFI_TEXT_REFS = 1,  /* decode references */
    WFI_TEXT_ATTR = 2,  /* by the rule for attribute values */
    WFI_TEXT_LOWER = 4, /* ASCII letters to lower case */
};

/* True when the bytes are already the text that wfi_html_text would make of them. */
bool wfi_html_plain(const uint8_t *p, size_t len, unsigned flags);

/* Appends the text of the bytes to `to`. Returns 0 or -ENOMEM. */
int wfi_html_text(struct wfi_buffer *to, const uint8_t *p, size_t len, unsigned flags);

/*
 * How many of `len` bytes can be decoded without knowing what follows: all, but for a character, a
 * reference or a CR at the end that may go on. What is held back is less than WFI_ENTITY_SPAN
 * bytes.
 */
size_t wfi_html_text_whole(const uint8_t *p, size_t len, unsigned flags);

/*
 * Looks at the UTF-8 at p. Returns the length of a whole character; or minus the length of a piece
 * that is not one; or 0 when the `len` bytes are the beginning of one.
 */
int wfi_utf8_next(const uint8_t *p, size_t len);

#endif
