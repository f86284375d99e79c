/* SPDX-License-Identifier: MIT */
/*
 * Finding a byte in markup, sixteen at a time where the CPU can (SSE2 and Advanced SIMD, which
 * every x86-64 and aarch64 has). Gaps between tags and values are mostly short, so these are
 * inlined and stop within the first block; memchr, whose call alone costs as much, is for the long
 * ones.
 *
 * None reads outside [p, end).
 */
#ifndef WFI_WEB_HTML_SCAN_H
#define WFI_WEB_HTML_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>

typedef __m128i scan_block;
enum { SCAN_BITS = 1 }; /* bits of a mask a byte takes */

static inline scan_block scan_load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline scan_block scan_is(scan_block b, uint8_t c)
{
    return _mm_cmpeq_epi8(b, _mm_set1_epi8((char)c));
}

/* Bytes up to and including c. */
static inline scan_block scan_upto(scan_block b, uint8_t c)
{
    return _mm_cmpeq_epi8(_mm_min_epu8(b, _mm_set1_epi8((char)c)), b);
}

static inline scan_block scan_or(scan_block a, scan_block b)
{
    return _mm_or_si128(a, b);
}

static inline uint64_t scan_mask(scan_block b)
{
    return (uint64_t)(unsigned)_mm_movemask_epi8(b);
}

/* A mask of the bytes above 0x7f. */
static inline uint64_t scan_high(scan_block b)
{
    return scan_mask(b);
}
#define WFI_SCAN 1
#elif defined(__ARM_NEON)
#include <arm_neon.h>

typedef uint8x16_t scan_block;
enum { SCAN_BITS = 4 };

static inline scan_block scan_load(const uint8_t *p)
{
    return vld1q_u8(p);
}

static inline scan_block scan_is(scan_block b, uint8_t c)
{
    return vceqq_u8(b, vdupq_n_u8(c));
}

static inline scan_block scan_upto(scan_block b, uint8_t c)
{
    return vcleq_u8(b, vdupq_n_u8(c));
}

static inline scan_block scan_or(scan_block a, scan_block b)
{
    return vorrq_u8(a, b);
}

static inline uint64_t scan_mask(scan_block b)
{
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(b), 4)), 0);
}

static inline uint64_t scan_high(scan_block b)
{
    return scan_mask(vcgeq_u8(b, vdupq_n_u8(0x80)));
}
#define WFI_SCAN 1
#else
#define WFI_SCAN 0
#endif

/* The first c, or end. */
static inline const uint8_t *scan_byte(const uint8_t *p, const uint8_t *end, uint8_t c)
{
#if WFI_SCAN
    /* Four blocks cover most texts between two tags. */
    for (int i = 0; i < 4 && end - p >= 16; i++, p += 16) {
        uint64_t mask = scan_mask(scan_is(scan_load(p), c));
        if (mask)
            return p + __builtin_ctzll(mask) / SCAN_BITS;
    }
    if (end - p >= 16) {
        p = memchr(p, c, (size_t)(end - p));
        return p ? p : end;
    }
#endif
    while (p < end && *p != c)
        p++;
    return p;
}

/* Bytes that a text cannot be copied through: those below 0x20 that need a look (NUL and CR; the
 * others are let through by the caller), '&', and whatever is not ASCII. Returns the first, or end.
 */
static inline const uint8_t *scan_text(const uint8_t *p, const uint8_t *end, bool refs)
{
#if WFI_SCAN
    for (; end - p >= 16; p += 16) {
        scan_block b = scan_load(p);
        scan_block found = scan_or(scan_is(b, '\0'), scan_is(b, '\r'));
        if (refs)
            found = scan_or(found, scan_is(b, '&'));
        uint64_t mask = scan_mask(found) | scan_high(b);
        if (mask)
            return p + __builtin_ctzll(mask) / SCAN_BITS;
    }
#endif
    while (p < end && *p < 0x80 && *p && *p != '\r' && !(refs && *p == '&'))
        p++;
    return p;
}

#endif
