/* SPDX-License-Identifier: MIT */
/* expect: incompatible */
#include <weft/task.h>

WF_TASK(int, one, (int, n))
WF_TASK(int, other, (int, n))

int call(struct wf_executor *on);

int call(struct wf_executor *on)
{
    int value = 0;
    one_future f = one_submit(on, 1);
#ifdef RIGHT
    return one_result(&f, &value, WF_FOREVER, NULL);
#else
    return other_result(&f, &value, WF_FOREVER, NULL);
#endif
}
