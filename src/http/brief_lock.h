/* SPDX-License-Identifier: MIT */
/*
 * A mutex under which nothing is waited for. It is had soon, so taking it is no wait to be
 * cancelled, and cannot fail.
 */
#ifndef WFI_HTTP_BRIEF_LOCK_H
#define WFI_HTTP_BRIEF_LOCK_H

#include <weft/mutex.h>
#include <weft/scope.h>

#include "base/assert.h"

static inline void wfi_lock_briefly(struct wf_mutex *mutex)
{
    struct wf_shield shield;
    wf_shield_enter(&shield, WF_FOREVER);
    int err = wf_mutex_lock(mutex, WF_FOREVER);
    wfi_assert(!err, "shielded and without a deadline, a lock is always had");
    wf_shield_leave(&shield);
}

#endif
