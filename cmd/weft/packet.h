/* SPDX-License-Identifier: MIT */
/*
 * What a task sends home from a worker process: numbers and texts in a row, in one run of bytes.
 *
 * It is written twice by the same calls, first to nowhere, to learn how long it will be, then into
 * the memory that was got for it. Whoever reads does not trust the writer: past the end, or with a
 * length that does not fit, a walk is broken, and gives zeroes and NULL from then on.
 */
#ifndef WEFT_CMD_PACKET_H
#define WEFT_CMD_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct packet {
    char *ptr; /* NULL: only `len` counts */
    size_t len;
};

void packet_put_number(struct packet *packet, uint64_t number);
void packet_put_bytes(struct packet *packet, const void *ptr, size_t len); /* of anything */
void packet_put_text(struct packet *packet, const char *text);             /* NULL is kept apart */

struct packet_walk {
    const char *at, *end;
    bool broken;
};

struct packet_walk packet_open(const void *ptr, size_t len);
uint64_t packet_number(struct packet_walk *walk);

/* The next bytes, where they lie in the packet; always followed by a zero byte. */
const char *packet_bytes(struct packet_walk *walk, size_t *ret_len);

/* The next text, or NULL for one that was NULL. One with a zero byte inside breaks the walk. */
const char *packet_text(struct packet_walk *walk);

/* Whether a text that was NULL comes next; if so it is passed over. */
bool packet_none(struct packet_walk *walk);

/* Whether all of it was read, and no more. */
bool packet_is_read(const struct packet_walk *walk);

#endif
