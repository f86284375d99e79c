/* SPDX-License-Identifier: MIT */
/*
 * From the JSON of a message to the typed parameters of a task, and from its result back to JSON.
 * Pure. What does not fit is told in the words that Python has for it.
 *
 *   bool             true, false
 *   integers         integers that the type can hold, true and false
 *   double, float    numbers
 *   C string         a string without a NUL in it, or null
 *   wf_bytes         a string; or {"__type__": "bytes" or "base64", "__value__": text}, as kombu
 *                    writes bytes from 5.3 on
 *   wf_json          anything
 *   of a WF_WIRE     its bytes, as wf_bytes
 */
#ifndef WFI_CELERY_ARGUMENTS_H
#define WFI_CELERY_ARGUMENTS_H

#include <weft/celery_task.h>
#include <weft/json.h>

enum { WFI_ARGUMENTS_MAX = 8 };

/* Zeroed is none. `args` is a struct NAME_args; its strings, bytes and JSON may point into the
 * message's values, which have to live as long. */
struct wfi_arguments {
    void *args;
    void *owned[WFI_ARGUMENTS_MAX];           /* bytes that had to be decoded */
    struct wf_json *trees[WFI_ARGUMENTS_MAX]; /* of parameters that are JSON */
    struct wf_json *defaults;
};

/*
 * Can the task be called from outside, and is what it says of itself right? Returns 0, or -EINVAL
 * with a text that names the parameter: for the worker, when it loads a task.
 */
int wfi_arguments_check(const struct wf_task_type *type, struct wf_error *reterr);

/*
 * Binds. `args` is an array and `kwargs` an object, or null.
 *
 * ret       to be given to wfi_arguments_fini, also on error
 * ret_exc   receives the name of Python's exception on -EINVAL: TypeError, ValueError or
 *           OverflowError, all of builtins
 *
 * Returns 0, -EINVAL with the exception's text in reterr, or -ENOMEM.
 */
int wfi_arguments_bind(const struct wf_task_type *type, const struct wf_json_value *args,
                       const struct wf_json_value *kwargs, struct wfi_arguments *ret,
                       const char **ret_exc, struct wf_error *reterr);

void wfi_arguments_fini(struct wfi_arguments *arguments);

/*
 * Writes a task's result: wf_none and NULL as null; bytes as a string where they are UTF-8, else in
 * kombu's form for base64. Returns 0, or -ENOMEM; or, and nothing is written, -EINVAL when its type
 * has no JSON, or what its codec says (Python's word for both is EncodeError, of
 * kombu.exceptions).
 */
int wfi_arguments_write_result(struct wf_json_writer *w, const struct wf_task_type *type,
                               const void *result, struct wf_error *reterr);

#endif
