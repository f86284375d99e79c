/* SPDX-License-Identifier: MIT */
/*
 * Puts in order what comes out of order: things numbered 1, 2, 3, ... go in as they come, and come
 * out by their number. Pure.
 */
#ifndef WEFT_CMD_RUN_ORDER_H
#define WEFT_CMD_RUN_ORDER_H

#include <stddef.h>
#include <stdint.h>

struct order {
    void **ring; /* size is a power of two, or 0 */
    size_t size;
    uint64_t next; /* the number that comes out next, less one */
};

void order_fini(struct order *order);

/* How many numbers `number` is ahead of the one that comes out next: 0 for that one. */
uint64_t order_ahead(const struct order *order, uint64_t number);

/* Each number once; `thing` is not NULL. Returns 0 or -ENOMEM. */
int order_put(struct order *order, uint64_t number, void *thing);

/* The next one, or NULL while it has not come. */
void *order_take(struct order *order);

/* The next one came out without having been put in. */
void order_pass(struct order *order);

/* Like order_take, but passes over numbers that never came. NULL: nothing is left. */
void *order_take_any(struct order *order);

#endif
