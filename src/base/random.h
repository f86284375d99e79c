/* SPDX-License-Identifier: MIT */
/*
 * Seeded pseudo-random numbers for stealing, jitter, simulation and tests: xoshiro256** (Blackman
 * and Vigna, 2018), its state filled by splitmix64. One seed gives one sequence, everywhere. Not
 * for secrets. The owner of a generator guards it.
 */
#ifndef WFI_BASE_RANDOM_H
#define WFI_BASE_RANDOM_H

#include <stdint.h>

struct wfi_random {
    uint64_t s[4];
};

/* One step of splitmix64: advances *state and returns a well mixed number. */
static inline uint64_t wfi_splitmix64(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Any seed will do, 0 too: splitmix64 never fills the whole state with zeros. */
static inline void wfi_random_seed(struct wfi_random *random, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        random->s[i] = wfi_splitmix64(&seed);
}

static inline uint64_t wfi_random_next(struct wfi_random *random)
{
    uint64_t *s = random->s;
    const uint64_t times5 = s[1] * 5;
    const uint64_t result = ((times5 << 7) | (times5 >> 57)) * 9;
    const uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 45) | (s[3] >> 19);
    return result;
}

/* Uniform in 0 .. n-1, without bias; 0 when n is 0. */
static inline uint64_t wfi_random_below(struct wfi_random *random, uint64_t n)
{
    if (n == 0)
        return 0;
    /* The products of the first (2^64 mod n) low halves are one too many: draw again. */
    const uint64_t threshold = (0 - n) % n;
    for (;;) {
        const unsigned __int128 product = (unsigned __int128)wfi_random_next(random) * n;
        if ((uint64_t)product >= threshold)
            return (uint64_t)(product >> 64);
    }
}

/* Uniform in [0, 1). */
static inline double wfi_random_double(struct wfi_random *random)
{
    return (double)(wfi_random_next(random) >> 11) * 0x1p-53;
}

#endif
