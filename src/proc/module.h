/* SPDX-License-Identifier: MIT */
/*
 * Where a task type is for a related process. What was loaded when the helper was forked is at the
 * same address there; a module that was loaded later is not there at all, and is loaded by its path
 * when a task of it first comes.
 */
#ifndef WFI_PROC_MODULE_H
#define WFI_PROC_MODULE_H

#include <weft/task.h>

#include "os/module.h"

/* Remembers what is loaded. By wfi_helper_start, before the fork. */
void wfi_module_mark(void);

/*
 * True when the type is of a module that was loaded since; *ret_module is that.
 */
bool wfi_module_is_late(const struct wf_task_type *type, struct wfi_module *ret_module);

/*
 * In a related process: the task type of that name in that module, which is loaded. Returns NULL
 * when there is none, or the module is another build, with reterr filled (WF_ENOTWIRE).
 */
const struct wf_task_type *wfi_module_task(const char *path, const unsigned char *id,
                                           const char *task, struct wf_error *reterr);

#endif
