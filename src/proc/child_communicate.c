/* SPDX-License-Identifier: MIT */
/*
 * Feeding a child and collecting what it writes, all at once: whichever pipe is ready is served, so
 * no amount of bytes in any direction can make the two wait for each other. What has been written
 * and read so far is kept in the child, so that a call that gave up can be followed by another.
 */
#include "proc/child.h"

#include <errno.h>

#include "base/alloc.h"
#include "net/stream.h"
#include "os/fork.h"
#include "os/pollset.h"
#include "os/socket.h"

enum {
    CHUNK = 64 * 1024, /* as much as a pipe holds, unless it was enlarged */
    FIRST = 4 * 1024,  /* most children say little */
    /* Rounds after the deadline: enough to empty the pipes of whoever has written before it, and an
     * end to it when the child goes on writing. */
    ROUNDS_LATE = 16,
};

/* What a result points to that has no bytes. */
static char empty[1];

static void close_pipe(struct wf_child *child, int number)
{
    /* A child that is being started just now may have the number open for a moment too, so that
     * closing alone would not take it out of the set. */
    wfi_pollset_remove(child->set.fd, wf_stream_fd(child->pipes[number]));
    wf_stream_close(child->pipes[number]);
    child->pipes[number] = NULL;
}

static int open_set(struct wf_child *child)
{
    int set = wfi_pollset_open();
    if (set < 0)
        return set;
    int err = wfi_handle_init(&child->set, set);
    if (err) {
        wfi_fd_close(set);
        return err;
    }
    for (int i = 0; i < 3 && !err; i++)
        if (child->pipes[i])
            err = wfi_pollset_add(set, wf_stream_fd(child->pipes[i]), i == 0, i);
    if (err)
        wfi_handle_close(&child->set);
    else
        child->set_open = true;
    return err;
}

void wfi_child_communicate_end(struct wf_child *child)
{
    if (child->set_open)
        wfi_handle_close(&child->set);
    child->set_open = false;
    for (int i = 0; i < 2; i++)
        wfi_buffer_reset(&child->captured[i]);
}

static void feed(struct wf_child *child)
{
    ssize_t n = wfi_socket_write(wf_stream_fd(child->pipes[0]), child->input, child->input_len);
    if (n == -EAGAIN)
        return;
    if (n > 0) {
        child->input += n;
        child->input_len -= (size_t)n;
    }
    /* A child that does not want its input, or not all of it, is no error. */
    if (n < 0 || child->input_len == 0)
        close_pipe(child, 0);
}

/* Reads on without keeping. Returns as wfi_fd_read. */
static ssize_t discard(int fd)
{
    char waste[FIRST];
    return wfi_fd_read(fd, waste, sizeof waste);
}

static int collect(struct wf_child *child, int number)
{
    struct wfi_buffer *buffer = &child->captured[number - 1];
    int fd = wf_stream_fd(child->pipes[number]);
    size_t room = child->capture_max - buffer->len;
    ssize_t n;
    if (room == 0) {
        n = discard(fd);
        if (n > 0)
            child->truncated[number - 1] = true;
    } else {
        size_t want = buffer->len < FIRST ? FIRST : CHUNK;
        want = want < room ? want : room;
        int err = wfi_buffer_reserve(buffer, want + 1); /* and a NUL, one day */
        if (err)
            return err;
        n = wfi_fd_read(fd, buffer->data + buffer->len, want);
        if (n > 0)
            buffer->len += (size_t)n;
    }
    if (n == 0 || (n < 0 && n != -EAGAIN))
        close_pipe(child, number);
    return 0;
}

/* Serves each pipe that is ready, once. */
static int serve(struct wf_child *child, unsigned ready)
{
    int err = 0;
    if ((ready & 1) && child->pipes[0])
        feed(child);
    for (int i = 1; i < 3 && !err; i++)
        if ((ready & 1u << i) && child->pipes[i])
            err = collect(child, i);
    return err;
}

static bool any_pipe(const struct wf_child *child)
{
    return child->pipes[0] || child->pipes[1] || child->pipes[2];
}

/* Until all pipes are closed. */
static int exchange(struct wf_child *child, wf_deadline deadline)
{
    int late = 0, err = 0;
    if (any_pipe(child) && !child->set_open)
        err = open_set(child);
    while (!err && any_pipe(child)) {
        uint32_t seen = wfi_poll_desc_seen(child->set.desc, WFI_DESC_READ);
        unsigned ready = wfi_pollset_look(child->set.fd);
        if (!ready)
            err = wfi_handle_wait(&child->set, WFI_DESC_READ, seen, "child's pipes", deadline);
        else if (deadline.ns <= wf_now() && late++ == ROUNDS_LATE)
            err = -ETIMEDOUT;
        else if (!(err = serve(child, ready)))
            err = wfi_handle_give_way(&child->set);
    }
    return err;
}

/* With room for the NUL, there is nothing that could fail. */
static void take(struct wfi_buffer *buffer, char **ret_data, size_t *ret_len)
{
    *ret_data = empty;
    *ret_len = 0;
    if (buffer->len)
        *ret_data = wfi_buffer_take(buffer, ret_len);
}

void wf_child_collect(struct wf_child *child, struct wf_run_result *ret_result)
{
    struct wf_run_result result = {.out_truncated = child->truncated[0],
                                   .err_truncated = child->truncated[1]};
    take(&child->captured[0], &result.out, &result.out_len);
    take(&child->captured[1], &result.err, &result.err_len);
    if (wfi_child_look(child) == 0)
        result.exit = child->end;
    *ret_result = result;
}

int wf_child_communicate(struct wf_child *child, const void *input, size_t input_len,
                         struct wf_run_result *ret_result, wf_deadline deadline)
{
    if (wfi_forked())
        return WF_EFORKED;
    if (!child->communicating) {
        child->communicating = true;
        child->input = input;
        child->input_len = input_len;
        if (child->pipes[0] && !input_len) {
            wf_stream_close(child->pipes[0]);
            child->pipes[0] = NULL;
        }
    }
    int err = exchange(child, deadline);
    if (!err)
        err = wf_child_wait(child, NULL, deadline);
    if (!err)
        wf_child_collect(child, ret_result);
    return err;
}

void wf_run_result_fini(struct wf_run_result *result)
{
    if (result->out != empty)
        wfi_free(result->out);
    if (result->err != empty)
        wfi_free(result->err);
    *result = (struct wf_run_result){.out = NULL};
}
