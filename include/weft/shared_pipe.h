/* SPDX-License-Identifier: MIT */
/*
 * Pipes between processes, their threads and their fibers: messages go in at one end and come out
 * at the other, whole and in order, an empty one included.
 *
 *     struct wf_shared_pipe *ends[2];
 *     err = wf_shared_pipe_create(NULL, ends, &error);          (both ways)
 *     err = talker_start(..., ends[1]);                         (the other process has it now)
 *     wf_shared_pipe_close(ends[1]);                            (this one has it no more)
 *
 *     err = wf_shared_pipe_send(ends[0], "hello", 5, deadline);
 *     while ((err = wf_shared_pipe_receive(ends[0], buf, sizeof buf, &len, deadline)) == 0)
 *         ...                                                   (-EPIPE: nobody has the other end)
 *
 * An end is open in a process that made it or was given it, until it closes it or ends, however
 * that comes. When it is open in no process and not on its way to one, the other end gets what was
 * sent and then the end of the stream. (One that was sent to a task which never ran stays on its
 * way.)
 */
#ifndef WEFT_SHARED_PIPE_H
#define WEFT_SHARED_PIPE_H

#include <weft/error.h>
#include <weft/shared.h>
#include <weft/task.h>
#include <weft/time.h>

WF_BEGIN_DECLS

/* One end. */
struct wf_shared_pipe;

struct wf_shared_pipe_options {
    bool one_way;    /* the first end receives, the second sends */
    size_t capacity; /* messages under way in each direction; 0: 64 */
};

/*
 * Makes a pipe. `options` may be NULL.
 *
 * ret_ends   receives the two ends, both open in the calling process, each to be closed
 *
 * Returns 0, or
 *   -EINVAL      too large a capacity
 *   -ENOMEM      no room in what processes share
 *   -ENOSPC      too many processes use what is shared
 *   WF_EFORKED   in a child made by fork
 * Context: any, never blocks for long.
 */
WF_API int wf_shared_pipe_create(const struct wf_shared_pipe_options *options,
                                 struct wf_shared_pipe *ret_ends[2], struct wf_error *reterr);

/*
 * Closes an end in the calling process. NULL is fine. The pipe goes when both its ends are closed
 * everywhere.
 *
 * Returns 0, or
 *   WF_ESTATE   it is not open in this process
 * Context: any, never blocks for long; after this process's last call with that end.
 */
WF_API int wf_shared_pipe_close(struct wf_shared_pipe *end);

/*
 * Sends a message of any size, waiting while as many are under way as the pipe takes.
 *
 * Returns 0; or, and nothing was sent,
 *   -EPIPE       nobody has the other end any more
 *   -EBADF       this end of a one-way pipe receives
 *   WF_ESTATE    the end is not open in this process
 *   WF_ETOOBIG   larger than all that processes share
 *   -ENOMEM      no room for the message in what processes share
 *   -ETIMEDOUT   `deadline` passed first
 *   -ECANCELED   the calling task was cancelled
 *   WF_EFORKED   in a child made by fork
 * Context: thread or fiber; any number of callers.
 */
WF_API WF_MUST_USE int wf_shared_pipe_send(struct wf_shared_pipe *end, const void *message,
                                           size_t len, wf_deadline deadline);

/*
 * Receives the next message, waiting for one.
 *
 * message    receives it
 * capacity   the bytes there are for it
 * ret_len    receives its size, after -EMSGSIZE too; may be NULL
 *
 * Returns 0, or
 *   -EPIPE       the end of the stream
 *   -EMSGSIZE    the message is larger than `capacity`, and still there
 *   -EBADF       this end of a one-way pipe sends
 *   WF_ESTATE    the end is not open in this process
 *   -ETIMEDOUT   `deadline` passed first
 *   -ECANCELED   the calling task was cancelled
 *   WF_EFORKED   in a child made by fork
 * Context: thread or fiber; any number of callers.
 */
WF_API WF_MUST_USE int wf_shared_pipe_receive(struct wf_shared_pipe *end, void *message,
                                              size_t capacity, size_t *ret_len,
                                              wf_deadline deadline);

/*
 * Receives the next message as it is, without a copy where it is large, waiting for one.
 *
 * ret_message   receives it, zero-terminated for those who know it for a string; the caller gives
 * it back with wf_shared_free(ret_message->ptr)
 *
 * Returns 0, or
 *   -ENOMEM   no room in what processes share; the message is still there
 *   -EPIPE, -EBADF, WF_ESTATE, -ETIMEDOUT, -ECANCELED, WF_EFORKED   as wf_shared_pipe_receive
 * Context: thread or fiber; any number of callers.
 */
WF_API WF_MUST_USE int wf_shared_pipe_take(struct wf_shared_pipe *end, wf_bytes *ret_message,
                                           wf_deadline deadline);

/*
 * Waits until one of `count` ends has a message or the end of its stream to receive; takes nothing.
 * With WF_NOW it only looks.
 *
 * Returns the index of the first such end, or
 *   -EINVAL      `count` is 0, or above 4096
 *   -EBADF       one of them is the end of a one-way pipe that sends
 *   WF_ESTATE    one of them is not open in this process
 *   -ETIMEDOUT   `deadline` passed first
 *   -ECANCELED   the calling task was cancelled
 *   -ENOMEM      no memory for the wait
 *   WF_EFORKED   in a child made by fork
 * Context: thread or fiber; any number of callers. Where several receive from one end, another may
 * have been quicker by the time this one receives.
 */
WF_API WF_MUST_USE int wf_shared_pipe_wait_any(struct wf_shared_pipe *const *ends, size_t count,
                                               wf_deadline deadline);

WF_END_DECLS

#endif
