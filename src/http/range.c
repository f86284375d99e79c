/* SPDX-License-Identifier: MIT */
#include "http/range.h"

#include <inttypes.h>
#include <stdio.h>

/* Takes a number off the front; one that is too large becomes the largest, which lies beyond any
 * end as well. Returns false when there is none. */
static bool take_number(struct wfi_text *text, uint64_t *ret)
{
    uint64_t n = 0;
    bool too_large = false;
    size_t i = 0;
    for (; i < text->len && text->ptr[i] >= '0' && text->ptr[i] <= '9'; i++)
        too_large |= __builtin_mul_overflow(n, 10u, &n) ||
                     __builtin_add_overflow(n, (unsigned)(text->ptr[i] - '0'), &n);
    if (i == 0)
        return false;
    text->ptr += i;
    text->len -= i;
    *ret = too_large ? UINT64_MAX : n;
    return true;
}

enum wfi_range wfi_range_parse(struct wfi_text range, uint64_t size, uint64_t *ret_first,
                               uint64_t *ret_len)
{
    static const char unit[] = "bytes=";
    const size_t unit_len = sizeof unit - 1;
    if (range.len < unit_len || !wfi_text_is_nocase((struct wfi_text){range.ptr, unit_len}, unit))
        return WFI_RANGE_WHOLE;
    struct wfi_text rest =
        wfi_text_trim((struct wfi_text){range.ptr + unit_len, range.len - unit_len});
    uint64_t first = 0, last = UINT64_MAX;
    const bool has_first = take_number(&rest, &first);
    if (rest.len == 0 || *rest.ptr != '-')
        return WFI_RANGE_WHOLE;
    rest.ptr++, rest.len--;
    const bool has_last = take_number(&rest, &last);
    if (rest.len > 0 || !(has_first || has_last) || (has_first && has_last && last < first))
        return WFI_RANGE_WHOLE;
    if (!has_first) { /* the last so many bytes */
        if (last == 0 || size == 0)
            return WFI_RANGE_BEYOND;
        *ret_len = last < size ? last : size;
        *ret_first = size - *ret_len;
        return WFI_RANGE_PART;
    }
    if (first >= size)
        return WFI_RANGE_BEYOND;
    *ret_first = first;
    *ret_len = (last < size - 1 ? last : size - 1) - first + 1;
    return WFI_RANGE_PART;
}

size_t wfi_content_range(char out[WFI_CONTENT_RANGE_BYTES], uint64_t first, uint64_t len,
                         uint64_t size)
{
    const int n =
        len == 0 ? snprintf(out, WFI_CONTENT_RANGE_BYTES, "bytes */%" PRIu64, size)
                 : snprintf(out, WFI_CONTENT_RANGE_BYTES, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64,
                            first, first + len - 1, size);
    return (size_t)n;
}
