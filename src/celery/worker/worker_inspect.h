/* SPDX-License-Identifier: MIT */
/*
 * Remote control that only looks: what the worker does, has and is.
 */
#ifndef WFI_CELERY_WORKER_INSPECT_H
#define WFI_CELERY_WORKER_INSPECT_H

#include "celery/worker/worker_ask.h"

/* Answers, if the method is one that only looks. */
bool wfi_ask_inspect(struct wfi_ask *ask);

#endif
