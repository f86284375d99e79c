/* SPDX-License-Identifier: MIT */
/*
 * A mutex and how often its owner has locked it. `extra` counts the locks beyond the first; only
 * the owner touches it, so the mutex itself orders all accesses.
 */
#include <errno.h>

#include "sync/mutex.h"

struct recursive {
    struct wf_mutex mutex;
    uint32_t extra;
};
_Static_assert(sizeof(struct recursive) <= sizeof(struct wf_recursive_mutex),
               "the public words suffice");

static struct recursive *inside(struct wf_recursive_mutex *m)
{
    return (struct recursive *)(void *)m;
}

void wf_recursive_mutex_init(struct wf_recursive_mutex *m)
{
    *m = (struct wf_recursive_mutex)WF_RECURSIVE_MUTEX_INIT;
}

void wf_recursive_mutex_fini(struct wf_recursive_mutex *m)
{
    wf_mutex_fini(&inside(m)->mutex);
}

static int lock_again(struct recursive *in)
{
    if (in->extra == UINT32_MAX - 1)
        return -EOVERFLOW;
    in->extra++;
    return 0;
}

int wf_recursive_mutex_lock(struct wf_recursive_mutex *m, wf_deadline deadline)
{
    struct recursive *in = inside(m);
    int err = wf_mutex_lock(&in->mutex, deadline);
    return err == WF_EDEADLOCK ? lock_again(in) : err;
}

int wf_recursive_mutex_try_lock(struct wf_recursive_mutex *m)
{
    struct recursive *in = inside(m);
    if (wfi_mutex_check_owner(&in->mutex) == 0)
        return lock_again(in);
    return wf_mutex_try_lock(&in->mutex);
}

int wf_recursive_mutex_unlock(struct wf_recursive_mutex *m)
{
    struct recursive *in = inside(m);
    int err = wfi_mutex_check_owner(&in->mutex);
    if (err)
        return err;
    if (in->extra > 0) {
        in->extra--;
        return 0;
    }
    return wf_mutex_unlock(&in->mutex);
}
