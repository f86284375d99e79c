/* SPDX-License-Identifier: MIT */
/* A stream from the inside, for the files of this folder. */
#ifndef WFI_NET_STREAM_H
#define WFI_NET_STREAM_H

#include <weft/stream.h>

#include "net/handle.h"

struct wf_stream {
    struct wfi_handle handle;
    /* One more than the edges seen when the peer was last found to be there; by whoever looked. */
    WFI_ATOMIC(uint64_t) peer_there;
    /* TCP's: one more than the edges seen before a read that took less than it could, so everything
     * there was. Until the next edge there is nothing to be read. */
    WFI_ATOMIC(uint64_t) drained;
    bool tcp; /* constant */
};

/* A stream for a socket that is non-blocking and closed on exec, and is TCP's as far as is known.
 * Returns 0, or -ENOMEM: fd is still the caller's then. */
int wfi_stream_create(int fd, bool tcp, struct wf_stream **ret_stream);

/* Sets what `options` (not NULL) ask for on a new connection. */
int wfi_stream_configure(int fd, bool tcp, const struct wf_stream_options *options);

/* The reading and writing of a party that is inside already. */
ssize_t wfi_stream_read_inside(struct wf_stream *s, void *buf, size_t len, wf_deadline deadline);
int wfi_stream_write_inside(struct wf_stream *s, const void *data, size_t len,
                            wf_deadline deadline);
int wfi_stream_wait_inside(struct wf_stream *s, enum wfi_desc_direction direction, uint32_t seen,
                           wf_deadline deadline);

/* Leaves, and frees the stream if this was the last party. */
void wfi_stream_leave(struct wf_stream *s);

#endif
