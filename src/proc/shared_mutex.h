/* SPDX-License-Identifier: MIT */
/* What conditions need of the shared mutex. */
#ifndef WFI_PROC_SHARED_MUTEX_H
#define WFI_PROC_SHARED_MUTEX_H

#include <weft/shared_mutex.h>

/* 0 if the calling party holds it; WF_ESTATE, -EPERM, or a refusal of the arena's. */
int wfi_shared_mutex_check(const struct wf_shared_mutex *mutex);

/* Locks, whatever is cancelled. Returns 0 or WF_OWNER_DIED. By a party that had it locked before.
 */
int wfi_shared_mutex_relock(struct wf_shared_mutex *mutex);

#endif
