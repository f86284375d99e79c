/* SPDX-License-Identifier: MIT */
/* The registry of task types, for engines. */
#ifndef WFI_EXEC_TYPE_H
#define WFI_EXEC_TYPE_H

#include <weft/task.h>

/* True when there is a registered task type at this address, which itself is not looked at. */
bool wfi_task_is_registered(const struct wf_task_type *type);

/*
 * Between the two, what is wrong with a task that registers is collected, and the task left out;
 * else it ends the program. The end returns how many have registered, and where something was wrong
 * the first of it: -EEXIST, or -ESTALE. One caller at a time.
 */
void wfi_task_loading_begin(void);
size_t wfi_task_loading_end(struct wf_error *ret);

#endif
