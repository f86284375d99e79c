/* SPDX-License-Identifier: MIT */
#include "own_tasks.h"

#include <string.h>

#include <weft/task.h>

static bool is_of_a_library(const char *name)
{
    return strncmp(name, "wfi_", 4) == 0 || strncmp(name, "celery.", 7) == 0;
}

void own_tasks_forget(void)
{
    const struct wf_task_type *next, *type = wf_task_next(NULL);
    for (; type; type = next) {
        next = wf_task_next(type);
        struct wf_task_entry entry = {type, NULL};
        if (!is_of_a_library(type->name))
            wf_task_unregister(&entry);
    }
}
