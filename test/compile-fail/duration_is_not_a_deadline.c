/* SPDX-License-Identifier: MIT */
/* expect: incompatible type */
#include <weft/time.h>

int64_t left(wf_deadline deadline);

int64_t left(wf_deadline deadline)
{
#ifdef RIGHT
    return wf_remaining(wf_after(wf_remaining(deadline)));
#else
    return wf_remaining(wf_remaining(deadline));
#endif
}
