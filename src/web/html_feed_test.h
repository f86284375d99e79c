/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the parsers share: a piece of input is fed whole, byte by byte and in random
 * pieces, each piece placed right before a page that may not be touched, and whatever the pieces
 * the outcome must be the same.
 */
#ifndef WFI_WEB_HTML_FEED_TEST_H
#define WFI_WEB_HTML_FEED_TEST_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/random.h"

enum { GUARDED_BYTES = 1 << 20 };

struct guarded {
    uint8_t *map, *end; /* end: the first byte that may not be touched */
    size_t bytes;
};

static inline struct guarded guarded_create(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct guarded g = {.bytes = GUARDED_BYTES + page};
    g.map = mmap(NULL, g.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED)
        abort();
    g.end = g.map + GUARDED_BYTES;
    if (mprotect(g.end, page, PROT_NONE))
        abort();
    return g;
}

static inline void guarded_destroy(struct guarded *g)
{
    munmap(g->map, g->bytes);
}

/* A copy of the piece that ends where memory does. */
static inline const uint8_t *guarded_place(struct guarded *g, const void *piece, size_t len)
{
    uint8_t *at = g->end - len;
    if (len)
        memcpy(at, piece, len);
    return at;
}

/* How a piece of input is cut: whole, into single bytes, or at random. */
enum feed_way { FEED_WHOLE, FEED_BYTES, FEED_RANDOM };

/* Feeds `len` bytes through `feed` in pieces. Returns the first that is not 0. */
static inline int feed_pieces(struct guarded *g, struct wfi_random *random, enum feed_way way,
                              const void *bytes, size_t len,
                              int (*feed)(void *to, const void *piece, size_t len), void *to)
{
    const uint8_t *p = bytes;
    size_t most = 1 + (size_t)wfi_random_below(random, 40);
    for (size_t at = 0; at < len;) {
        size_t n = len - at;
        if (way == FEED_BYTES)
            n = 1;
        else if (way == FEED_RANDOM)
            n = wfi_random_below(random, most) + 1;
        else if (n > GUARDED_BYTES)
            n = GUARDED_BYTES;
        n = n < len - at ? n : len - at;
        int err = feed(to, guarded_place(g, p + at, n), n);
        if (err)
            return err;
        at += n;
    }
    return 0;
}

/* WF_SEED, or one from the process id, printed so that a failure can be run again. */
static inline uint64_t feed_seed(void)
{
    const char *given = getenv("WF_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)getpid() * 0x9e3779b97f4a7c15u;
    printf("seed: WF_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

#endif
