/* SPDX-License-Identifier: MIT */
/*
 * What a worker stores of a task: its result, and states on the way there.
 */
#ifndef WFI_CELERY_WORKER_RESULT_H
#define WFI_CELERY_WORKER_RESULT_H

#include "celery/worker/worker_record.h"

/* Stores a result, unless none is wanted; its ids are filled in. Returns 0 or an error of
 * wfi_store_put. */
int wfi_job_store(struct wfi_job *job, const struct wfi_result *result, struct wf_error *reterr);

/* A failure to do so is logged, and that is all. */
void wfi_job_store_started(struct wfi_job *job);

/* Stores a state of the task's own; for struct wfi_call. */
int wfi_job_update(void *job, const char *state, const struct wfi_json_piece *meta);

#endif
