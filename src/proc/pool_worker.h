/* SPDX-License-Identifier: MIT */
/* A worker process of a pool, from its own side. */
#ifndef WFI_PROC_POOL_WORKER_H
#define WFI_PROC_POOL_WORKER_H

#include <weft/processes.h>

#include "proc/helper.h"

/* Descriptors that a worker gets, in this order. */
enum {
    WFI_WORKER_RING,    /* the memory of struct wfi_ring */
    WFI_WORKER_CONTROL, /* struct wfi_control both ways */
    WFI_WORKER_PAYLOAD, /* memory of payloads, each with an empty message, in the order of slots */
    WFI_WORKER_BELL,    /* made ready by the worker when the pool wants to be told */
    WFI_WORKER_FDS
};

/* What it is started with; the bytes of options.arg follow. */
struct wfi_worker_start {
    int (*start)(const void *arg, struct wf_error *reterr);
    void (*stop)(const void *arg);
    size_t memory_max_bytes;
    unsigned workers; /* of the pool */
    char name[32];    /* the pool's */
    unsigned index;
    size_t arg_bytes;
    _Alignas(max_align_t) unsigned char arg[];
};

wfi_related_entry wfi_pool_worker_main;

#endif
