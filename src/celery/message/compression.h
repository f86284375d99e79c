/* SPDX-License-Identifier: MIT */
/*
 * The one compression of bodies that Celery always has: zlib's form (RFC 1950), under the name
 * application/x-gzip. Pure.
 */
#ifndef WFI_CELERY_COMPRESSION_H
#define WFI_CELERY_COMPRESSION_H

#include "base/buffer.h"

#include <stddef.h>

#define WFI_COMPRESSION_ZLIB "application/x-gzip"

/*
 * Appends what `bytes` unpack to; `buffer` is as it was on error. Returns 0, or
 *   WF_EPARSE    they are not in that form, or end early, or go on behind the end
 *   WF_ETOOBIG   they unpack to more than `max`
 *   -ENOMEM
 */
int wfi_inflate(const void *bytes, size_t len, size_t max, struct wfi_buffer *buffer);

/* Appends `bytes` packed, at zlib's usual level, as Python does. Returns 0 or -ENOMEM. */
int wfi_deflate(const void *bytes, size_t len, struct wfi_buffer *buffer);

#endif
