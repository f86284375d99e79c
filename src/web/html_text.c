/* SPDX-License-Identifier: MIT */
/*
 * Runs of plain ASCII are copied as they are; only what stops them is looked at by itself.
 */
#include "web/html_text.h"

#include <errno.h>
#include <string.h>

#include "web/entity.h"
#include "web/html_scan.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

int wfi_utf8_next(const uint8_t *p, size_t len)
{
    uint8_t c = p[0], lo = 0x80, hi = 0xbf;
    if (c < 0x80)
        return 1;
    int need = c >= 0xc2 && c <= 0xdf ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
    if (!need)
        return -1;
    /* The second byte's range leaves out overlong forms, surrogates and what is above U+10FFFF. */
    if (c == 0xe0)
        lo = 0xa0;
    else if (c == 0xed)
        hi = 0x9f;
    else if (c == 0xf0)
        lo = 0x90;
    else if (c == 0xf4)
        hi = 0x8f;
    for (int i = 1; i < need; i++, lo = 0x80, hi = 0xbf) {
        if ((size_t)i == len)
            return 0;
        if (p[i] < lo || p[i] > hi)
            return -i;
    }
    return need;
}

static bool has_upper(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] >= 'A' && p[i] <= 'Z')
            return true;
    return false;
}

bool wfi_html_plain(const uint8_t *p, size_t len, unsigned flags)
{
    return scan_text(p, p + len, flags & WFI_TEXT_REFS) == p + len &&
           !(flags & WFI_TEXT_LOWER && has_upper(p, len));
}

int wfi_html_text(struct wfi_buffer *to, const uint8_t *p, size_t len, unsigned flags)
{
    const uint8_t *end = p + len;
    size_t from = to->len;
    /* A byte becomes three at most (U+FFFD), and no reference is shorter than its text. */
    int err = wfi_buffer_reserve(to, 3 * len + WFI_ENTITY_UTF8_MAX);
    if (err)
        return err;
    char *out = to->data + to->len;
    while (p < end) {
        const uint8_t *stop = scan_text(p, end, flags & WFI_TEXT_REFS);
        memcpy(out, p, (size_t)(stop - p));
        out += stop - p;
        p = stop;
        /* Text that is not ASCII mostly goes on so. */
        while (p < end && *p >= 0x80) {
            int n = wfi_utf8_next(p, (size_t)(end - p));
            if (n > 0) {
                memcpy(out, p, (size_t)n);
                out += n;
                p += n;
                continue;
            }
            memcpy(out, replacement, 3);
            out += 3;
            p = n < 0 ? p - n : end;
        }
        if (p == end)
            break;
        if (*p == '\r') {
            *out++ = '\n';
            p += end - p > 1 && p[1] == '\n' ? 2 : 1;
        } else if (*p == '\0') {
            memcpy(out, replacement, 3);
            out += 3;
            p++;
        } else if (*p == '&' && flags & WFI_TEXT_REFS) {
            size_t utf8_len = 1;
            size_t n = wfi_entity_decode(p, (size_t)(end - p), flags & WFI_TEXT_ATTR,
                                         (uint8_t *)out, &utf8_len);
            if (!n)
                *out = '&';
            out += utf8_len;
            p += n ? n : 1;
        }
    }
    to->len = (size_t)(out - to->data);
    if (flags & WFI_TEXT_LOWER)
        for (char *c = to->data + from; c < out; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c = (char)(*c | 0x20);
    return 0;
}

size_t wfi_html_text_whole(const uint8_t *p, size_t len, unsigned flags)
{
    if (len == 0)
        return 0;
    if (p[len - 1] == '\r')
        return len - 1;
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        uint8_t c = p[len - back];
        if (c < 0x80)
            break;
        if (c >= 0xc0) {
            if (wfi_utf8_next(p + len - back, back) == 0)
                return len - back;
            break;
        }
    }
    if (flags & WFI_TEXT_REFS) {
        size_t from = len > WFI_ENTITY_SPAN ? len - WFI_ENTITY_SPAN : 0;
        const uint8_t *amp = memrchr(p + from, '&', len - from);
        if (amp && wfi_entity_open(amp, len - (size_t)(amp - p)))
            return (size_t)(amp - p);
    }
    return len;
}
