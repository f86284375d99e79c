/* SPDX-License-Identifier: MIT */
/* expect: incompatible */
#include <weft/local.h>

struct user {
    int id;
};
WF_LOCAL(struct user, current_user)

int set(void);

int set(void)
{
#ifdef RIGHT
    struct user user = {1};
    return current_user_set(user);
#else
    return current_user_set(1);
#endif
}
