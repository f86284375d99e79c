/* SPDX-License-Identifier: MIT */
/*
 * Base64 of RFC 4648, as bodies of messages on Redis are wrapped in. Pure.
 */
#ifndef WFI_CELERY_BASE64_H
#define WFI_CELERY_BASE64_H

#include <stddef.h>
#include <sys/types.h>

/* How many characters `len` bytes become, without a NUL. */
static inline size_t wfi_base64_encoded_len(size_t len)
{
    return (len + 2) / 3 * 4;
}

/* Writes wfi_base64_encoded_len(len) characters, no NUL. */
void wfi_base64_encode(const void *bytes, size_t len, char *out);

/*
 * Decodes into `out`, which has room for len / 4 * 3 bytes, and may be `text` itself. The padding
 * must be there, and nothing else may be. Returns how many bytes there are, or -EINVAL.
 */
ssize_t wfi_base64_decode(const char *text, size_t len, void *out);

#endif
