/* SPDX-License-Identifier: MIT */
/*
 * Remote control of a worker: carries out what celery/message/control.h reads, and answers. One
 * request at a time, by a fiber of the broker's.
 */
#ifndef WFI_CELERY_WORKER_CONTROL_H
#define WFI_CELERY_WORKER_CONTROL_H

#include <weft/scope.h>

#include "celery/message/control.h"
#include "celery/worker/revoked.h"

struct wfi_worker;

/* `worker` is a struct wfi_worker; see wfi_broker_options.control. */
void wfi_worker_control(void *worker, struct wfi_envelope *envelope);

/* The ids that another worker knows to be revoked, keys of an object; its times are of its clock,
 * so these are new here. */
void wfi_worker_learn(struct wfi_worker *worker, const struct wf_json_value *ids);

/* Asks other workers, in a child of the scope. */
void wfi_worker_mingle(struct wfi_worker *worker, struct wf_scope *scope);

/* A request that is being carried out. */
struct wfi_ask {
    struct wfi_worker *worker;
    const struct wfi_control_request *r;
    struct wf_json_writer *w; /* of the answer's value */
    bool silent;              /* there is none */
};

/* Answers, if the method is one that only looks. */
bool wfi_ask_inspect(struct wfi_ask *ask);

/* An argument; as a text, NULL for none. */
const struct wf_json_value *wfi_ask_argument(const struct wfi_ask *ask, const char *name);
const char *wfi_ask_text(const struct wfi_ask *ask, const char *name);

/* The texts of an argument that is a list of them, or one: how many, and each, which is NULL for
 * what is none. */
size_t wfi_ask_text_count(const struct wf_json_value *value);
const char *wfi_ask_text_at(const struct wf_json_value *value, size_t i);

/* The same as a set, to be given to wfi_revoked_fini. Returns 0 or -ENOMEM. */
int wfi_ask_ids(const struct wf_json_value *ids, struct wfi_revoked *ret_set);

/* Answers that a request cannot be carried out: without an argument, without memory. */
void wfi_ask_write_missing(struct wfi_ask *ask, const char *name);
void wfi_ask_write_no_memory(struct wfi_ask *ask);

#endif
