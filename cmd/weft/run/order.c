/* SPDX-License-Identifier: MIT */
#include "run/order.h"

#include <errno.h>
#include <stdlib.h>

void order_fini(struct order *order)
{
    free(order->ring);
    *order = (struct order){0};
}

uint64_t order_ahead(const struct order *order, uint64_t number)
{
    return number - order->next - 1;
}

int order_put(struct order *order, uint64_t number, void *thing)
{
    uint64_t ahead = order_ahead(order, number);
    if (ahead >= order->size) {
        size_t size = order->size ? order->size : 16;
        while (size <= ahead)
            size *= 2;
        void **grown = calloc(size, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        for (uint64_t i = 0; i < order->size; i++) {
            uint64_t at = order->next + 1 + i;
            grown[at & (size - 1)] = order->ring[at & (order->size - 1)];
        }
        free(order->ring);
        order->ring = grown;
        order->size = size;
    }
    order->ring[number & (order->size - 1)] = thing;
    return 0;
}

void *order_take(struct order *order)
{
    if (!order->size)
        return NULL;
    void **place = &order->ring[(order->next + 1) & (order->size - 1)];
    void *thing = *place;
    if (thing) {
        *place = NULL;
        order->next++;
    }
    return thing;
}

void order_pass(struct order *order)
{
    order->next++;
}

void *order_take_any(struct order *order)
{
    for (size_t i = 0; i < order->size; i++) {
        void *thing = order_take(order);
        if (thing)
            return thing;
        order->next++;
    }
    return NULL;
}
