/* SPDX-License-Identifier: MIT */
/*
 * A child program from the inside.
 *
 * Invariants
 *  1. The process is reaped once, by whoever first looks after its end, under the child's lock; its
 *     number is not used as a number afterwards.
 *  2. A party that signals the child's group or session holds it: an end that is seen meanwhile is
 *     noted, and the last to let go reaps. So the group's number is the child's while it is used.
 *  3. `end` and `end_err` do not change once `ended` is true.
 */
#ifndef WFI_PROC_CHILD_H
#define WFI_PROC_CHILD_H

#include <weft/child.h>

#include "base/buffer.h"
#include "net/handle.h"
#include "os/lock.h"

enum { WFI_CHILD_CAPTURE_MAX = 64 << 20 };

struct wf_child {
    int pid;                   /* constant */
    enum wf_child_group group; /* constant */
    int64_t started_ns;        /* constant */
    struct wfi_handle process; /* over the pidfd */

    struct wfi_lock lock;
    bool ended; /* under the lock; so are the next four */
    bool reaped;
    unsigned holds; /* parties that signal by the group's number */
    int end_err;    /* 0, or -ECHILD: the status was taken away */
    struct wf_exit end;

    struct wf_stream *pipes[3]; /* the caller's ends; the owner's */

    /* Of wf_child_communicate: its caller's. */
    bool communicating; /* the first call has begun */
    bool set_open;
    struct wfi_handle set; /* over a pollset of the open pipes */
    const char *input;     /* what has not been written */
    size_t input_len;
    size_t capture_max;
    struct wfi_buffer captured[2]; /* out, err; with room for a NUL */
    bool truncated[2];
};

/* Notes the end, if it has come. Returns 0, -ECHILD (the status is lost), or -EAGAIN. */
int wfi_child_look(struct wf_child *child);

/*
 * From hold to release the child's number stays its own: its end is seen, but it is reaped only by
 * the release. Returns false when it has been reaped already; nothing is to be released then.
 */
bool wfi_child_hold(struct wf_child *child);
void wfi_child_release(struct wf_child *child);

/* Gives up what communicate holds; when the child is closed. */
void wfi_child_communicate_end(struct wf_child *child);

#endif
