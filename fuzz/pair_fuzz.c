/* SPDX-License-Identifier: MIT */
/*
 * Runs of pairs: any bytes to the reader, with ranks and without. What passes for a sorted run is
 * written, read again, and is the same pairs.
 */
#include "exec/pair.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static bool same(wf_bytes a, wf_bytes b)
{
    return wfi_pair_compare_keys(a, b) == 0;
}

/* All pairs that can be read, bounded by the bytes there are. */
static void read_all(const uint8_t *data, size_t size, bool ranked)
{
    struct wfi_pair pair = {.key = {NULL, 0}};
    ssize_t n;
    for (size_t at = 0; at < size; at += (size_t)n) {
        n = wfi_pair_read(data + at, size - at, ranked, &pair);
        if (n <= 0) {
            check(n == 0 || n == WF_EPROTOCOL);
            return;
        }
        check((size_t)n <= size - at && pair.value.len < (size_t)n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wfi_pair pair = {.key = {NULL, 0}}, again = pair;
    struct wfi_pair_writer w = {.ranked = size % 2};
    size_t at = 0, again_at = 0;
    read_all(data, size, false);
    read_all(data, size, true);
    if (wfi_pair_check_run((wf_bytes){data, size}) != 0)
        return 0;
    while (at < size) {
        at += (size_t)wfi_pair_read(data + at, size - at, false, &pair);
        pair.rank = at;
        check(wfi_pair_writer_add(&w, &pair) == 0);
    }
    for (at = 0; at < size;) {
        at += (size_t)wfi_pair_read(data + at, size - at, false, &pair);
        ssize_t n = wfi_pair_read((const uint8_t *)w.run.data + again_at, w.run.len - again_at,
                                  w.ranked, &again);
        check(n > 0);
        again_at += (size_t)n;
        check(same(pair.key, again.key) && same(pair.value, again.value));
        check(!w.ranked || again.rank == at);
    }
    check(again_at == w.run.len);
    wfi_pair_writer_reset(&w);
    return 0;
}
