/* SPDX-License-Identifier: MIT */
/*
 * A request of remote control, while it is carried out: its arguments, and answers that many
 * give.
 */
#ifndef WFI_CELERY_WORKER_ASK_H
#define WFI_CELERY_WORKER_ASK_H

#include "celery/message/control.h"
#include "celery/worker/worker_record.h"

/* A request that is being carried out. */
struct wfi_ask {
    struct wfi_worker *worker;
    const struct wfi_control_request *r;
    struct wf_json_writer *w; /* of the answer's value */
    bool silent;              /* there is none */
};

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
