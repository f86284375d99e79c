/* SPDX-License-Identifier: MIT */
/* expect: incompatible type */
#include <weft/time.h>

int nap(void);

int nap(void)
{
#ifdef RIGHT
    return wf_sleep(wf_after(WF_SECONDS(1)));
#else
    return wf_sleep(WF_SECONDS(1));
#endif
}
