/* SPDX-License-Identifier: MIT */
#include <weft/time.h>

int naps(void);

int naps(void)
{
    wf_deadline soon = wf_earlier(wf_after(WF_SECONDS(0.5)), wf_after(WF_MILLISECONDS(700)));
    int err = wf_sleep(soon);
    return err ? err : wf_sleep(wf_remaining(soon) > WF_MICROSECONDS(3) ? soon : WF_FOREVER);
}
