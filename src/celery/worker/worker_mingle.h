/* SPDX-License-Identifier: MIT */
/*
 * What other workers know already.
 */
#ifndef WFI_CELERY_WORKER_MINGLE_H
#define WFI_CELERY_WORKER_MINGLE_H

#include "celery/worker/worker_record.h"

/* Asks other workers after each `new_connection`, in a child of the scope. */
void wfi_worker_mingle(struct wfi_worker *worker, struct wf_scope *scope);

#endif
