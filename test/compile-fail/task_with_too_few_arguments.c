/* SPDX-License-Identifier: MIT */
/* expect: too few arguments */
#include <weft/task.h>

WF_TASK(int, add, (int, a), (int, b))

void call(struct wf_executor *on);

void call(struct wf_executor *on)
{
#ifdef RIGHT
    add_future f = add_submit(on, 1, 2);
#else
    add_future f = add_submit(on, 1);
#endif
    add_drop(&f);
}
