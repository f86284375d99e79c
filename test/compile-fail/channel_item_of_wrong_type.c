/* SPDX-License-Identifier: MIT */
/* expect: incompatible */
#include <weft/channel.h>

struct page {
    int number;
};
struct link {
    int number;
};
WF_CHANNEL(struct page, pages)

int put(pages out);

int put(pages out)
{
#ifdef RIGHT
    struct page item = {1};
#else
    struct link item = {1};
#endif
    return pages_push(out, item, WF_NOW);
}
