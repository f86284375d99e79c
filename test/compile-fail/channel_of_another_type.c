/* SPDX-License-Identifier: MIT */
/* expect: incompatible */
#include <weft/channel.h>

WF_CHANNEL(int, numbers)
WF_CHANNEL(const char *, names)

int take(numbers in, names other);

int take(numbers in, names other)
{
    int number = 0;
    (void)in, (void)other;
#ifdef RIGHT
    return numbers_pop(in, &number, WF_NOW);
#else
    return numbers_pop(other, &number, WF_NOW);
#endif
}
