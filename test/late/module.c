/* SPDX-License-Identifier: MIT */
/* A module with a task; loaded by late.c after the helper was forked. */
#include "module.h"

#include <string.h>

/* What a program that loads the module may look at. */
WF_API extern const int late_number;
const int late_number = 12;

int late_task(struct wf_task *self, const char *text, int64_t n, int64_t *ret)
{
    (void)self;
    *ret = n + (int64_t)strlen(text);
    return 0;
}
WF_TASK_DEFINE(late_task)
