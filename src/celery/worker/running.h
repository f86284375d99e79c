/* SPDX-License-Identifier: MIT */
/*
 * A task that runs for a message, as the functions of weft/celery_task.h see it: noted at the task
 * by call.c, in whatever process that is. Its outcome is filled in by the functions that the task
 * calls, and completed when its function has returned.
 *
 * What was wished for with wf_task_retry, wf_celery_replace and their like counts if the task then
 * returns WF_ENORESULT, and not if it thinks better of it.
 */
#ifndef WFI_CELERY_RUNNING_H
#define WFI_CELERY_RUNNING_H

#include "celery/worker/call.h"

/* The key of the note. */
extern const char wfi_running_key;

struct wfi_running {
    struct wf_task *self;
    const struct wf_task_type *type;
    struct wf_celery_request request;
    struct wfi_json_piece headers; /* a text is read when it is first asked for */
    struct wf_json *headers_tree;
    struct wfi_json_piece args, kwargs; /* of the message */
    bool in_chord;
    unsigned maps; /* inside each other that run: builtin.c's */
    struct wfi_outcome *outcome;

    bool wished; /* for the ending that the outcome has */
    bool has_cause;
    struct wf_error cause; /* of a retry */

    /* The exception that wf_celery_raise made, and where its own text begins in that of the error;
     * 0: it has none. */
    struct wf_error raised;
    char raised_type[64], raised_module[64];
    size_t raised_text;

    int (*update)(struct wfi_running *running, const char *state,
                  const struct wfi_json_piece *meta);
    void *arg;
};

/* The one that is noted at the task; NULL: it runs for no message. */
struct wfi_running *wfi_running_of(const struct wf_task *self);

/* Microseconds since 1970. */
int64_t wfi_running_now_us(void);

/*
 * Wishes for a retry. Returns WF_ENORESULT, or -ENOENT when there are no retries left.
 *
 * countdown_ns   negative: at once
 * eta_us         instead of it, when not 0
 * max_retries    as in struct wf_celery_retry
 * cause          may be NULL
 */
int wfi_running_retry(struct wfi_running *running, int64_t countdown_ns, int64_t eta_us,
                      int max_retries, const struct wf_error *cause);

/* Does the task retry by itself after this failure? Then it wishes for it, and returns true. */
bool wfi_running_autoretry(struct wfi_running *running, const struct wf_error *error);

/* Keeps a JSON text with the outcome. `ret` gets value and text. Returns 0, WF_EPARSE, WF_ETOOBIG
 * or -ENOMEM. */
int wfi_outcome_keep(struct wfi_outcome *outcome, const char *text, size_t len,
                     struct wfi_json_piece *ret, struct wf_error *reterr);
/* The same for a text that is no JSON. Returns NULL without memory. */
const char *wfi_outcome_keep_text(struct wfi_outcome *outcome, const char *text);
/* Adds what was kept to the parts. Returns 0 or -ENOMEM. */
int wfi_outcome_add_part(struct wfi_outcome *outcome, const struct wfi_json_piece *signature);

#endif
