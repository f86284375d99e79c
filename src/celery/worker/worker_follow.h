/* SPDX-License-Identifier: MIT */
/*
 * The end of a worker's task: what is stored of it, and what follows.
 */
#ifndef WFI_CELERY_WORKER_FOLLOW_H
#define WFI_CELERY_WORKER_FOLLOW_H

#include "celery/worker/call.h"
#include "celery/worker/worker_record.h"

/* Fills in worker->follow, once the others are there. */
void wfi_worker_follow(struct wfi_worker *worker);

/*
 * What is stored of a job's end, and all that follows from it. Afterwards it is to be acknowledged,
 * unless it is undone. Shielded.
 */
void wfi_job_end(struct wfi_job *job, const struct wfi_outcome *outcome);

/* The same with an exception, as FAILURE or REVOKED: with a text or none; of a hard limit. */
void wfi_job_fail(struct wfi_job *job, enum wfi_task_state state, const char *module,
                  const char *type, const char *text);
void wfi_job_fail_for_time(struct wfi_job *job, double hard_s);

#endif
