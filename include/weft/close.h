/* SPDX-License-Identifier: MIT */
/*
 * How a channel or a queue is closed.
 */
#ifndef WEFT_CLOSE_H
#define WEFT_CLOSE_H

enum wf_close_how {
    WF_CLOSE_GRACEFUL, /* nothing more goes in; what is in can still be taken out */
    WF_CLOSE_NOW,      /* what is in is destroyed */
};

#endif
