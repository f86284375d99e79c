/* SPDX-License-Identifier: MIT */
/*
 * Which bytes of a representation the field Range asks for (RFC 9110 section 14). One range is
 * served; of several, of a unit other than bytes, and of what does not parse the whole is sent, as
 * the RFC allows: a list of many small or overlapping ranges is mostly an attack.
 */
#ifndef WFI_HTTP_RANGE_H
#define WFI_HTTP_RANGE_H

#include <stdint.h>

#include "http/text.h"

enum wfi_range {
    WFI_RANGE_WHOLE,  /* 200: as if there were no Range */
    WFI_RANGE_PART,   /* 206 */
    WFI_RANGE_BEYOND, /* 416 */
};

/* `size` is that of the whole. With PART, sets the first byte and how many; at least one. */
enum wfi_range wfi_range_parse(struct wfi_text range, uint64_t size, uint64_t *ret_first,
                               uint64_t *ret_len);

enum { WFI_CONTENT_RANGE_BYTES = 72 };
/* The value of Content-Range, NUL-terminated; of 416 with len 0. Returns its length. */
size_t wfi_content_range(char out[WFI_CONTENT_RANGE_BYTES], uint64_t first, uint64_t len,
                         uint64_t size);

#endif
