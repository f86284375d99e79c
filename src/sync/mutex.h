/* SPDX-License-Identifier: MIT */
/*
 * The mutex from within. The word holds the owner's address and, in the bits that its alignment
 * leaves free, what unlock must know; so taking a free mutex, giving it back, and finding out who
 * may are one atomic operation each.
 */
#ifndef WFI_SYNC_MUTEX_H
#define WFI_SYNC_MUTEX_H

#include <weft/mutex.h>

#include "sched/park.h"

struct wfi_mutex {
    WFI_ATOMIC(uintptr_t) word; /* see mutex.c */
    struct wfi_lock lock;       /* guards `waiting` */
    struct wfi_wait_list waiting;
};

/* Like wf_mutex_lock without a deadline, but neither cancelled nor refused. */
void wfi_mutex_lock_uncancelable(struct wf_mutex *m);

/* 0 when the caller holds `m`; else what wf_mutex_unlock would return. */
int wfi_mutex_check_owner(struct wf_mutex *m);

#endif
