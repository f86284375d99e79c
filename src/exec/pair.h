/* SPDX-License-Identifier: MIT */
/*
 * Pairs of key and value as bytes. A run is any number of pairs, one behind the other:
 *
 *     number   0: the key is that of the pair before; else its length and one
 *     key      unless the number was 0
 *     number   the rank, in a ranked run only
 *     number   length of the value
 *     value
 *
 * Numbers are seven bits a byte, the lowest first, the highest bit set in all but the last byte. In
 * a sorted run no key is smaller than the one before it, by memcmp and then by length.
 *
 * The rank says whose values come first where several runs have the same key: the number of the
 * part they come from. A run that is all of one part has it beside it; one that was merged from
 * several is ranked.
 */
#ifndef WFI_EXEC_PAIR_H
#define WFI_EXEC_PAIR_H

#include <weft/task.h>

#include "base/buffer.h"

enum { WFI_PAIR_NUMBER_MAX = 10 }; /* bytes of the largest number */
#define WFI_PAIR_BYTES_MAX ((size_t)1 << 30)

struct wfi_pair {
    wf_bytes key, value;
    uint64_t rank;
    bool same; /* the key is that of the pair before */
};

int wfi_pair_compare_keys(wf_bytes a, wf_bytes b);

/* Writes the number; `out` may be NULL. Returns how many bytes it takes. */
size_t wfi_pair_write_number(unsigned char *out, uint64_t number);

/* Reads one; returns how many bytes it took, 0 when there are too few, or WF_EPROTOCOL. */
ssize_t wfi_pair_read_number(const unsigned char *at, size_t len, uint64_t *ret);

/* Writes the pair, ranked or not; `out` may be NULL. Returns how many bytes it takes. */
size_t wfi_pair_write(unsigned char *out, const struct wfi_pair *pair, bool ranked);

/*
 * Reads the pair at `at`. The key of one that has none of its own stays what it was in *pair, as
 * does the rank where there is none. Returns how many bytes it took, 0 when there are too few, or
 * WF_EPROTOCOL.
 */
ssize_t wfi_pair_read(const unsigned char *at, size_t len, bool ranked, struct wfi_pair *pair);

/* A run being made. Zeroed is an empty one without ranks. */
struct wfi_pair_writer {
    struct wfi_buffer run;
    struct wfi_buffer key; /* of the last pair */
    bool ranked, any;      /* any: there was a pair */
};

/* Appends a pair, whose `same` does not count. Returns 0 or -ENOMEM. */
int wfi_pair_writer_add(struct wfi_pair_writer *w, const struct wfi_pair *pair);
void wfi_pair_writer_reset(struct wfi_pair_writer *w);

/* Is this a sorted run, whole and without ranks? Returns 0 or WF_EPROTOCOL. */
int wfi_pair_check_run(wf_bytes run);

#endif
