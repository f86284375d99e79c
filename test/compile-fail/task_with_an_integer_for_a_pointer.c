/* SPDX-License-Identifier: MIT */
/* expect: int */
#include <weft/task.h>

WF_TASK(int, length, (const char *, text))

void call(struct wf_executor *on);

void call(struct wf_executor *on)
{
#ifdef RIGHT
    length_future f = length_submit(on, "5");
#else
    length_future f = length_submit(on, 5);
#endif
    length_drop(&f);
}
