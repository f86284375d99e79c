/* SPDX-License-Identifier: MIT */
/*
 * What is stored of a task's end, and on its way there: the result's "meta" of Celery 5.2.6 and
 * 5.6.2, on Redis and over rpc://. Pure.
 *
 * An exception is a type, where the type is defined, and the arguments that it was made with.
 * Python makes it again: a type that it does not find becomes one of that name.
 */
#ifndef WFI_CELERY_RESULT_H
#define WFI_CELERY_RESULT_H

#include "celery/message/envelope.h"

enum wfi_task_state {
    WFI_STATE_PENDING, /* nothing is stored */
    WFI_STATE_STARTED,
    WFI_STATE_RETRY,
    WFI_STATE_SUCCESS, /* from here on it is final */
    WFI_STATE_FAILURE,
    WFI_STATE_REVOKED,
    WFI_STATE_OTHER, /* one that a task invented, such as PROGRESS */
};

struct wfi_exception {
    const char *type;
    const char *module;              /* NULL: builtins */
    struct wfi_json_piece arguments; /* an array; nothing is an empty one */
};

struct wfi_result {
    enum wfi_task_state state;
    const char *status;           /* its name; written for NULL: the state's */
    struct wfi_json_piece result; /* the value; of RETRY, FAILURE and REVOKED the exception */
    const char *traceback;        /* NULL: null */
    struct wfi_json_piece children;
    const char *date_done; /* ISO 8601 or NULL */
    const char *task_id;
    const char *reply_to; /* who waits for it, on rpc:// alone; neither written nor read */
    const char *group_id, *parent_id; /* left out when NULL */
    bool extended;                    /* the following are there (result_extended) */
    const char *name, *worker, *queue;
    struct wfi_json_piece args, kwargs;
    int64_t retries;
};

/* A result that was read. Zeroed is none. */
struct wfi_result_in {
    struct wfi_result result;
    struct wf_json *tree; /* all of it points in here */
};

/* True for a state that no other can follow. */
static inline bool wfi_state_is_final(enum wfi_task_state state)
{
    return state >= WFI_STATE_SUCCESS && state <= WFI_STATE_REVOKED;
}

/* The name of a state, of WFI_STATE_OTHER "". And the state of a name. */
const char *wfi_state_name(enum wfi_task_state state);
enum wfi_task_state wfi_state_of(const char *name);

/* Writes a meta as Redis holds it. */
void wfi_result_write_redis(struct wf_json_writer *w, const struct wfi_result *r);

/* Writes a meta as it is sent over rpc://: task_id, status, result, traceback, children. */
void wfi_result_write_rpc(struct wf_json_writer *w, const struct wfi_result *r);

/*
 * Reads either; give `ret` to wfi_result_in_reset however this ends. Returns 0, or
 *   WF_EPARSE    it is no meta
 *   WF_ETOOBIG   nested too deep
 *   -ENOMEM
 */
int wfi_result_read(const char *text, size_t len, struct wfi_result_in *ret,
                    struct wf_error *reterr);
void wfi_result_in_reset(struct wfi_result_in *in);

/* Writes the result of STARTED: which process runs it. */
void wfi_result_write_started(struct wf_json_writer *w, int64_t pid, const char *hostname);

/* Writes a task, or a group of tasks, as a member of `children`. */
void wfi_result_write_child(struct wf_json_writer *w, const char *id);
void wfi_result_write_group_child(struct wf_json_writer *w, const char *group_id,
                                  const char *const *ids, size_t count);

/* Writes an exception as it is stored. */
void wfi_exception_write(struct wf_json_writer *w, const struct wfi_exception *e);

/* Writes one that has a single text as its argument, or with NULL none. */
void wfi_exception_write_text(struct wf_json_writer *w, const char *module, const char *type,
                              const char *text);

/* MemoryError, as a text that needs none. */
extern const struct wfi_json_piece wfi_exception_no_memory;

/* Reads a stored exception. Returns 0, or WF_EPARSE when it has no type. */
int wfi_exception_read(const struct wf_json_value *value, struct wfi_exception *ret);

/* Appends it as Python shows it: ValueError('x'). Returns 0 or -ENOMEM. */
int wfi_exception_repr(struct wfi_buffer *buffer, const struct wfi_exception *e);

/*
 * Writes the exception that an error of weft becomes, with its text as the argument:
 *
 *   -EINVAL ValueError, -ETIMEDOUT TimeoutError, -ENOMEM MemoryError, -ERANGE OverflowError
 *   -ENOTSUP NotImplementedError, WF_ETASKFAILED RuntimeError
 *   WF_EWORKERDIED billiard.exceptions.WorkerLostError
 *   -ECANCELED celery.exceptions.TaskRevokedError
 *   other codes of the system: OSError(number, text), which Python makes more exact
 *   other codes of weft's own: their name, in the module weft
 */
void wfi_exception_write_error(struct wf_json_writer *w, const struct wf_error *err);

/*
 * The way back: the code of an exception, by the same table; WF_ETASKFAILED for what is not in it.
 * The text is the exception's, with its type in front, "ValueError: boom", unless the type alone
 * says it all.
 */
void wfi_exception_to_error(const struct wfi_exception *e, struct wf_error *ret);

#endif
