/* SPDX-License-Identifier: MIT */
/*
 * Where tasks run, and how many at a time: slots, and permits to hold messages.
 */
#ifndef WFI_CELERY_WORKER_POOL_H
#define WFI_CELERY_WORKER_POOL_H

#include "celery/worker/worker_record.h"

/* Gives the worker its executor and its permits. close is fine for what was not opened. */
int wfi_worker_open_pool(struct wfi_worker *worker, struct wf_executor *on,
                         struct wf_error *reterr);
void wfi_worker_close_pool(struct wfi_worker *worker);

/* The worker processes of the pool that tasks go to now; 0 on other engines. Returns how many. */
size_t wfi_worker_processes(struct wfi_worker *worker, int64_t *ret_pids, size_t room);

/* More slots, or fewer: at least one stays. Returns 0, -ERANGE, -ENOTSUP or -ENOMEM. */
int wfi_worker_grow(struct wfi_worker *worker, uint64_t n, struct wf_error *reterr);
int wfi_worker_shrink(struct wfi_worker *worker, uint64_t n);

/* Gives a permit up: to others, unless it is owed. */
void wfi_worker_give_up(struct wfi_worker *worker, struct wf_semaphore *s, wfi_owed *owed);

#endif
