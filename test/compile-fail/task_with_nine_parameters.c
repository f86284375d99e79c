/* SPDX-License-Identifier: MIT */
/* expect: . */
#include <weft/task.h>

#ifdef RIGHT
WF_TASK(int, wide, (int, a), (int, b), (int, c), (int, d), (int, e), (int, f), (int, g), (int, h))
#else
WF_TASK(int, wide, (int, a), (int, b), (int, c), (int, d), (int, e), (int, f), (int, g), (int, h),
        (int, i))
#endif
