/* SPDX-License-Identifier: MIT */
/*
 * Gzip, bytes in and bytes out, by zlib. What a stream holds is bounded: for its window and tables
 * 140 KiB where the text's length is known (less for short ones), 72 KiB where it is not, since
 * answers of unknown length are those that last; both beside what it is given to write to.
 */
#ifndef WFI_HTTP_GZIP_H
#define WFI_HTTP_GZIP_H

#include <stdint.h>

#include "base/buffer.h"

struct wfi_gzip;

enum wfi_gzip_until {
    WFI_GZIP_MORE,  /* keeps back what more text may make smaller */
    WFI_GZIP_FLUSH, /* all of the text so far can be read from what was written so far */
    WFI_GZIP_END,   /* nothing follows */
};

/*
 * Begins a stream.
 *
 * len   of the text to come, UINT64_MAX when it is not known; it may be wrong
 *
 * Returns 0 or -ENOMEM.
 */
int wfi_gzip_create(uint64_t len, struct wfi_gzip **ret_gzip);

/* Compresses more of the text and appends to `out`. Returns 0 or -ENOMEM, after which the stream
 * can only be destroyed. */
int wfi_gzip_add(struct wfi_gzip *gzip, const void *text, size_t len, enum wfi_gzip_until until,
                 struct wfi_buffer *out);

/* NULL is fine. */
void wfi_gzip_destroy(struct wfi_gzip *gzip);

#endif
