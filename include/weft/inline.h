/* SPDX-License-Identifier: MIT */
/*
 * The inline engine: submit runs the task at once, in the caller. The serial baseline, and the
 * simplest way to debug a task.
 */
#ifndef WEFT_INLINE_H
#define WEFT_INLINE_H

#include <weft/executor.h>

WF_BEGIN_DECLS

/*
 * Makes one. The caller owns it and destroys it with wf_executor_destroy.
 *
 * Returns 0, or
 *   -ENOMEM
 * Context: any, never blocks.
 */
WF_API int wf_inline_create(struct wf_executor **ret_on, struct wf_error *reterr);

WF_END_DECLS

#endif
