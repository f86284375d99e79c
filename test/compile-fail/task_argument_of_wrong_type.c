/* SPDX-License-Identifier: MIT */
/* expect: incompatible */
#include <weft/task.h>

WF_TASK(int, length, (const char *, text))

int call(struct wf_executor *on);

int call(struct wf_executor *on)
{
    int value = 0;
#ifdef RIGHT
    const char *text = "four";
#else
    double number = 4, *text = &number;
#endif
    length_future f = length_submit(on, text);
    return length_result(&f, &value, WF_FOREVER, NULL);
}
