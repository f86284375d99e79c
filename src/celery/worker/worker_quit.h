/* SPDX-License-Identifier: MIT */
/*
 * The cold shutdown of a worker.
 */
#ifndef WFI_CELERY_WORKER_QUIT_H
#define WFI_CELERY_WORKER_QUIT_H

#include "celery/worker/worker_record.h"

/* Waits for options->quit, on `on`; NULL where there is none. And ends that. */
struct wf_future *wfi_worker_watch_quit(struct wfi_worker *worker, struct wf_executor *on);
void wfi_worker_end_quit(struct wf_future *watch);

#endif
