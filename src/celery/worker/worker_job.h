/* SPDX-License-Identifier: MIT */
/*
 * Messages of a worker: each has a fiber that sees to it.
 */
#ifndef WFI_CELERY_WORKER_JOB_H
#define WFI_CELERY_WORKER_JOB_H

#include "celery/worker/worker_record.h"

/* Starts the fiber of a message that was taken, and has a permit of prefetch. */
void wfi_job_start(struct wfi_worker *worker, struct wfi_broker_message *message, uint64_t number);

void wfi_job_destroy(struct wfi_job *job);

#endif
