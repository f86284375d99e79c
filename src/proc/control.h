/* SPDX-License-Identifier: MIT */
/* What a pool and a worker say to each other besides the ring: messages over a socket. */
#ifndef WFI_PROC_CONTROL_H
#define WFI_PROC_CONTROL_H

#include <weft/task.h>

enum wfi_control_kind {
    WFI_CONTROL_CANCEL = 1, /* pool: ask the task in slot `number`, which has begun */
    WFI_CONTROL_SUBMIT,     /* worker: a task that its own task submits, `id` by its count */
    WFI_CONTROL_WITHDRAW,   /* worker: cancel that one */
    WFI_CONTROL_ANSWER,     /* pool: how it ended */
};

/* What fits into a message; larger payloads come as memory, by its descriptor. */
enum { WFI_CONTROL_PAYLOAD = 16384 };

struct wfi_control {
    uint32_t kind, number;
    uint64_t id, bytes;
    const struct wf_task_type *type;
    uint32_t flags, items;
    int32_t priority, retries;
    int64_t deadline_ns;
    uint32_t outcome;
    int32_t code;
    uint32_t in_memory;
    uint32_t unused;
};

struct wfi_control_message {
    struct wfi_control head;
    unsigned char payload[WFI_CONTROL_PAYLOAD];
};

/*
 * Sends head and payload: `bytes` of head.bytes bytes, or the memory `fd` (-1: none), which stays
 * the caller's. Returns 0, -EAGAIN when the socket is full, -EPIPE when nobody is there, -ENOMEM,
 * ...
 */
int wfi_control_send(int sock, struct wfi_control *head, const void *bytes, int fd);

/*
 * Takes a message; *ret_fd is its memory, the caller's, or -1. Returns 1, 0 at the end of the
 * stream, -EAGAIN when there is none, WF_EPROTOCOL for something that is no message, ...
 */
int wfi_control_receive(int sock, struct wfi_control_message *ret_message, int *ret_fd);

#endif
