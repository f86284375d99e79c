/* SPDX-License-Identifier: MIT */
/*
 * Moving bytes from stream to stream: through a pipe inside the system, or through a buffer where a
 * pipe is not to be had or the system does not splice these sockets. The pipe is emptied into `to`
 * before it is filled again, so -EAGAIN on filling always means that `from` has nothing.
 */
#include <errno.h>

#include "base/alloc.h"
#include "net/stream.h"
#include "os/socket.h"

/* What a pipe holds by default; also a good size for the buffer. */
#define CHUNK_BYTES 65536

/* Fills the pipe from `from`: bytes moved, 0 at the end, or an error. */
static ssize_t fill(struct wf_stream *from, int pipe_in, size_t len, wf_deadline deadline)
{
    for (;;) {
        uint32_t seen = wfi_poll_desc_seen(from->handle.desc, WFI_DESC_READ);
        ssize_t n = wfi_fd_splice(from->handle.fd, pipe_in, len);
        if (n != -EAGAIN)
            return n;
        int err = wfi_stream_wait_inside(from, WFI_DESC_READ, seen, deadline);
        if (err)
            return err;
    }
}

static int empty(int pipe_out, struct wf_stream *to, size_t len, wf_deadline deadline)
{
    while (len) {
        uint32_t seen = wfi_poll_desc_seen(to->handle.desc, WFI_DESC_WRITE);
        ssize_t n = wfi_fd_splice(pipe_out, to->handle.fd, len);
        if (n > 0) {
            len -= (size_t)n;
        } else if (n == -EAGAIN) {
            int err = wfi_stream_wait_inside(to, WFI_DESC_WRITE, seen, deadline);
            if (err)
                return err;
        } else {
            return n ? (int)n : -EPIPE;
        }
    }
    return 0;
}

static int64_t through_pipe(struct wf_stream *from, struct wf_stream *to, int pipe_fds[2],
                            int64_t max, wf_deadline deadline)
{
    int64_t moved = 0;
    while (moved < max) {
        size_t len = max - moved < CHUNK_BYTES ? (size_t)(max - moved) : CHUNK_BYTES;
        ssize_t n = fill(from, pipe_fds[1], len, deadline);
        if (n <= 0)
            return n ? n : moved;
        int err = empty(pipe_fds[0], to, (size_t)n, deadline);
        if (err)
            return err;
        moved += n;
        err = wfi_yield();
        if (err)
            return err;
    }
    return moved;
}

static int64_t through_buffer(struct wf_stream *from, struct wf_stream *to, int64_t max,
                              wf_deadline deadline)
{
    int64_t moved = 0;
    char *buf = wfi_alloc(CHUNK_BYTES);
    if (!buf)
        return -ENOMEM;
    while (moved < max) {
        size_t len = max - moved < CHUNK_BYTES ? (size_t)(max - moved) : CHUNK_BYTES;
        ssize_t n = wfi_stream_read_inside(from, buf, len, deadline);
        int err = n > 0 ? wfi_stream_write_inside(to, buf, (size_t)n, deadline) : (int)n;
        if (err)
            moved = err;
        if (n <= 0 || err)
            break;
        moved += n;
    }
    wfi_free(buf);
    return moved;
}

int64_t wf_stream_splice(struct wf_stream *from, struct wf_stream *to, int64_t max,
                         wf_deadline deadline)
{
    int pipe_fds[2];
    int64_t moved = wfi_handle_enter(&from->handle);
    if (moved)
        return moved;
    moved = wfi_handle_enter(&to->handle);
    if (moved) {
        wfi_stream_leave(from);
        return moved;
    }
    if (max > 0 && wfi_pipe_open(pipe_fds) == 0) {
        moved = through_pipe(from, to, pipe_fds, max, deadline);
        wfi_fd_close(pipe_fds[0]);
        wfi_fd_close(pipe_fds[1]);
    } else if (max > 0) {
        moved = through_buffer(from, to, max, deadline);
    }
    wfi_stream_leave(to);
    wfi_stream_leave(from);
    return moved;
}
