/* SPDX-License-Identifier: MIT */
/* expect: conflicting types */
#include <weft/task.h>

WF_TASK(int, twice, (int, n))

#ifdef RIGHT
int twice(struct wf_task *self, int n, int *ret)
#else
int twice(struct wf_task *self, long n, int *ret)
#endif
{
    (void)self;
    *ret = (int)(2 * n);
    return 0;
}
WF_TASK_DEFINE(twice)
