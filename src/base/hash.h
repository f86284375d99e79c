/* SPDX-License-Identifier: MIT */
/*
 * Hash of bytes to 64 bits: 128-bit multiplications folded to 64, sixteen bytes a round. Good
 * enough that equal hashes of a few million texts may be taken for equal texts; not for secrets.
 * The same bytes and seed give the same hash on every platform weft runs on (both little endian).
 * A seed that an outsider cannot guess keeps him from building collisions by hand.
 */
#ifndef WFI_BASE_HASH_H
#define WFI_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t wfi_hash_fold(uint64_t a, uint64_t b)
{
    const unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t wfi_hash_load8(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t wfi_hash_load4(const unsigned char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* A bijection of 64-bit numbers that spreads their bits: different numbers stay different. */
static inline uint64_t wfi_hash_u64(uint64_t x)
{
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
    return x ^ (x >> 32);
}

static inline uint64_t wfi_hash_bytes(const void *bytes, size_t len, uint64_t seed)
{
    /* Odd numbers with as many ones as zeros: digits of pi and e in hexadecimal. */
    const uint64_t k0 = 0x243f6a8885a308d3u, k1 = 0x13198a2e03707345u, k2 = 0xb7e151628aed2a6bu;
    const unsigned char *p = bytes;
    uint64_t h = wfi_hash_fold(seed ^ k0, k2), a = 0, b = 0;
    size_t left = len;

    /* Both factors are mixed with the state, so that no input word can zero a product alone. */
    while (left > 16) {
        h = wfi_hash_fold(wfi_hash_load8(p) ^ k1 ^ h,
                          wfi_hash_load8(p + 8) ^ k2 ^ (h << 32 | h >> 32));
        p += 16;
        left -= 16;
    }
    if (left >= 8) {
        a = wfi_hash_load8(p);
        b = wfi_hash_load8(p + left - 8);
    } else if (left >= 4) {
        a = wfi_hash_load4(p);
        b = wfi_hash_load4(p + left - 4);
    } else if (left > 0) {
        a = (uint64_t)p[0] << 16 | (uint64_t)p[left / 2] << 8 | p[left - 1];
    }
    h = wfi_hash_fold(a ^ k1 ^ h, b ^ k0 ^ (h << 32 | h >> 32));
    return wfi_hash_fold(h ^ len ^ k2, k0 ^ (h >> 29));
}

#endif
