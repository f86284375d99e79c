/* SPDX-License-Identifier: MIT */
/* The registry of task types, for engines. */
#ifndef WFI_EXEC_TYPE_H
#define WFI_EXEC_TYPE_H

#include <weft/task.h>

/* True when there is a registered task type at this address, which itself is not looked at. */
bool wfi_task_is_registered(const struct wf_task_type *type);

#endif
