/* SPDX-License-Identifier: MIT */
/*
 * What a task sends home from a worker process: numbers and texts in a row, in one run of bytes.
 *
 * It is written twice by the same calls, first to nowhere, to learn how long it will be, then into
 * the memory that was got for it. Whoever reads does not trust the writer: past the end, or with a
 * length that does not fit, a walk is broken, and gives zeroes and NULL from then on.
 */
#ifndef WEFT_CMD_PARCEL_H
#define WEFT_CMD_PARCEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct parcel {
    char *ptr; /* NULL: only `len` counts */
    size_t len;
};

void parcel_put_number(struct parcel *parcel, uint64_t number);
void parcel_put_bytes(struct parcel *parcel, const void *ptr, size_t len); /* of anything */
void parcel_put_text(struct parcel *parcel, const char *text);             /* NULL is kept apart */

struct parcel_walk {
    const char *at, *end;
    bool broken;
};

struct parcel_walk parcel_open(const void *ptr, size_t len);
uint64_t parcel_number(struct parcel_walk *walk);

/* The next bytes, where they lie in the parcel; always followed by a zero byte. */
const char *parcel_bytes(struct parcel_walk *walk, size_t *ret_len);

/* The next text, or NULL for one that was NULL. One with a zero byte inside breaks the walk. */
const char *parcel_text(struct parcel_walk *walk);

/* Whether all of it was read, and no more. */
bool parcel_is_read(const struct parcel_walk *walk);

#endif
