/* SPDX-License-Identifier: MIT */
/*
 * Messages that carry descriptors, over a pair of Unix sockets that keeps message boundaries; and
 * memory that such a descriptor stands for, for what is too large for a message.
 */
#ifndef WFI_OS_ANCILLARY_H
#define WFI_OS_ANCILLARY_H

#include <stddef.h>
#include <sys/types.h>

enum { WFI_ANCILLARY_MAX = 16 };

/* Two connected sockets, non-blocking, closed on exec. Returns 0 or a negative code. */
int wfi_ancillary_pair(int ret_fds[2]);

/*
 * Sends one message with copies of up to WFI_ANCILLARY_MAX descriptors.
 * Returns 0, -EAGAIN when the peer's queue is full, -EPIPE when it is gone, or another code.
 */
int wfi_ancillary_send(int fd, const void *buf, size_t len, const int *fds, size_t fd_count);

/*
 * Takes one message; its descriptors are closed on exec. *ret_count is how many there are: fewer
 * than were sent when this process can have no more.
 * Returns its length, 0 at the end, -EAGAIN when there is none, -EMSGSIZE when it is longer than
 * `room` (it is gone then), or another code.
 */
ssize_t wfi_ancillary_receive(int fd, void *buf, size_t room, int *ret_fds, size_t *ret_count);

/* A new piece of memory with a copy of the bytes; returns its descriptor or a negative code. */
int wfi_ancillary_memory(const void *bytes, size_t len);
/* Maps such memory, for good; writing to it changes the copy here only. NULL: there is no room. */
void *wfi_ancillary_map(int fd, size_t len);

#endif
