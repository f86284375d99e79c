/* SPDX-License-Identifier: MIT */
/*
 * Runs something once, however many ask for it at the same time; the others wait until it is done.
 */
#ifndef WEFT_ONCE_H
#define WEFT_ONCE_H

#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_once {
    uint64_t words[4]; /* weft's own */
};

#define WF_ONCE_INIT \
    {                \
        {            \
            0        \
        }            \
    }

/*
 * Runs fn(arg) unless it has been run with success before. While one caller runs it, the others
 * wait. If it fails, the error goes to the caller that ran it, and the one that has waited longest
 * tries next.
 *
 * Returns 0 once it has succeeded, for whoever ran it; or
 *   what fn returned, negative, to the caller that ran it
 *   -ETIMEDOUT     `deadline` passed while another ran it
 *   -ECANCELED     the calling task was cancelled while another ran it
 *   WF_EDEADLOCK   fn called this for the same once
 *   WF_EFORKED     in a child made by fork while it was being run
 * Context: thread or fiber; any number of callers; fn may block.
 */
WF_API int wf_once_call(struct wf_once *o, int (*fn)(void *arg), void *arg, wf_deadline deadline);

WF_END_DECLS

#endif
