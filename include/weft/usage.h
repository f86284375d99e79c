/* SPDX-License-Identifier: MIT */
/* What the calling process takes of the machine, as the kernel accounts for it. */
#ifndef WEFT_USAGE_H
#define WEFT_USAGE_H

#include <weft/error.h>

WF_BEGIN_DECLS

struct wf_usage {
    uint64_t resident_bytes;  /* memory in use */
    uint64_t virtual_bytes;   /* and addresses; stacks of fibers are mostly that */
    int64_t cpu_ns;           /* used by all threads, in the kernel too */
    int64_t started_ns;       /* since 1970 */
    uint64_t threads;         /* now */
    uint64_t descriptors;     /* open */
    uint64_t descriptors_max; /* that may be; UINT64_MAX: any number */
};

/*
 * Reads it from /proc: some 20 us, and more where thousands of descriptors are open, so that a
 * server does it in wf_block.
 *
 * Returns 0, or
 *   -ENOENT, -EACCES, ...   there is no /proc to read
 *   WF_EPARSE               it does not look as it should
 *   -EMFILE, -ENFILE        no descriptor is left to read it with
 *   -ENOMEM
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_usage_read(struct wf_usage *ret_usage);

WF_END_DECLS

#endif
