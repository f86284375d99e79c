/* SPDX-License-Identifier: MIT */
/*
 * Remote control of a worker: carries out what celery/message/control.h reads, and answers. One
 * request at a time, by a fiber of the broker's.
 */
#ifndef WFI_CELERY_WORKER_CONTROL_H
#define WFI_CELERY_WORKER_CONTROL_H

#include "celery/worker/worker_record.h"

/* `worker` is a struct wfi_worker; see wfi_broker_options.control. */
void wfi_worker_control(void *worker, struct wfi_envelope *envelope);

/* The ids that another worker knows to be revoked, keys of an object; its times are of its clock,
 * so these are new here. */
void wfi_worker_learn(struct wfi_worker *worker, const struct wf_json_value *ids);

#endif
