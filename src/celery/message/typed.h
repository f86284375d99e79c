/* SPDX-License-Identifier: MIT */
/*
 * A typed call from the caller's side: its arguments as JSON, and JSON as its result; the other
 * direction of celery/message/arguments.h, with the same table of kinds. Pure.
 */
#ifndef WFI_CELERY_TYPED_H
#define WFI_CELERY_TYPED_H

#include <weft/json.h>
#include <weft/task.h>

/*
 * Can the task be called over there? Returns 0, or WF_ENOTWIRE with a text that names the parameter
 * whose type has no JSON; or the result, also one that is memory of its own without .drop_result.
 */
int wfi_typed_check(const struct wf_task_type *type, struct wf_error *reterr);

/*
 * Writes one value of a kind, a type's text, and a size, which matter for those of WF_WIRE. Returns
 * 0, WF_ENOTWIRE when it has no JSON, -ENOMEM, or an error of the codec.
 */
int wfi_typed_write(struct wf_json_writer *w, enum wf_param_kind kind, const char *type,
                    size_t size, const void *value);

/*
 * Writes the arguments, a struct NAME_args, as an array; without the first `skip` of them. Bytes
 * become a string where they are UTF-8, else kombu's form for base64. Returns 0, -EINVAL for text
 * that is not UTF-8, or -ENOMEM.
 */
int wfi_typed_write_args(struct wf_json_writer *w, const struct wf_task_type *type,
                         const void *args, size_t skip, struct wf_error *reterr);

/*
 * Puts an integer, or true or false, into an integer of so many bytes; or a number into a double or
 * float. Returns 0, -EINVAL for what is of another type, or -ERANGE.
 */
int wfi_typed_read_integer(const struct wf_json_value *value, bool is_signed, size_t bytes,
                           void *ret);
int wfi_typed_read_double(const struct wf_json_value *value, size_t bytes, void *ret);

/* The text of what stands for bytes, a string or one of kombu's forms, and whether it is in base64.
 * Returns 0 or -EINVAL. */
int wfi_typed_find_bytes(const struct wf_json_value *value, struct wf_bytes *ret, bool *ret_base64);

/*
 * Puts a value into `ret`, as many bytes as the type's result has. Text and bytes are to be given
 * to wf_result_free, JSON to wf_json_destroy. Returns 0, or
 *   WF_EPROTOCOL   it is of another type
 *   -ERANGE        the number does not fit
 *   -ENOMEM
 */
int wfi_typed_read_result(const struct wf_task_type *type, const struct wf_json_value *value,
                          void *ret, struct wf_error *reterr);

#endif
