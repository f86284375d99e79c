/* SPDX-License-Identifier: MIT */
/*
 * The fibers engine: as many tasks as you like on a few threads. A task gets a stack when it first
 * runs, gives its thread to others whenever it waits through weft, and stays on the thread it was
 * started on. A call that blocks without weft (a plain read, a pthread mutex) blocks its thread and
 * all fibers on it.
 */
#ifndef WEFT_FIBERS_H
#define WEFT_FIBERS_H

#include <weft/executor.h>

WF_BEGIN_DECLS

struct wf_fibers_options {
    int workers;        /* threads; 0: one per CPU that affinity and control group quota allow */
    size_t stack_bytes; /* reserved for each fiber; 0: 256 KiB */
    const char *name;   /* threads are named name_0, name_1, ...; NULL: "fibers" and a number */
    bool service;       /* its tasks serve others and have no end of their own: at its end wf_main
                           leaves them alone, if nobody has destroyed it by then */
};

/*
 * Makes one, with a runtime of its own. The caller owns it and destroys it with
 * wf_executor_destroy.
 *
 * options   may be NULL
 *
 * Returns 0, or
 *   -EINVAL   a negative number of workers
 *   -ENOMEM
 *   another   -errno of starting threads or pollers
 * Context: any, never blocks.
 */
WF_API int wf_fibers_create(const struct wf_fibers_options *options, struct wf_executor **ret_on,
                            struct wf_error *reterr);

WF_END_DECLS

#endif
