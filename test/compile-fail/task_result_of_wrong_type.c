/* SPDX-License-Identifier: MIT */
/* expect: incompatible */
#include <weft/task.h>

WF_TASK(double, half, (int, n))

int call(struct wf_executor *on);

int call(struct wf_executor *on)
{
#ifdef RIGHT
    double value = 0;
#else
    int value = 0;
#endif
    half_future f = half_submit(on, 1);
    return half_result(&f, &value, WF_FOREVER, NULL);
}
