/* SPDX-License-Identifier: MIT */
/*
 * Arguments and results of tasks as bytes, on their way between two processes of one image. Pure.
 *
 * The form is the structure of the arguments itself, followed by what its members point to, in the
 * order of the parameters, each a length of eight bytes and the contents, padded to eight:
 *
 *   scalars           stand in the structure
 *   strings           the text with its NUL; the length counts it, and UINT64_MAX stands for NULL
 *   bytes             as they are
 *   JSON              its text; UINT64_MAX stands for NULL
 *   types of WF_WIRE  what their codec makes of them
 *
 * A result is encoded like a single parameter. All but JSON and the types of WF_WIRE are decoded
 * in place: what a decoded argument points to is in the buffer, and lives as long.
 *
 * Both sides run the same program, so sizes and layout need no description. Lengths are checked
 * against the buffer all the same: a process that has run wild may have written it.
 */
#ifndef WFI_PROC_CODEC_H
#define WFI_PROC_CODEC_H

#include <weft/task.h>

/* What buffers must be aligned to; an encoded value is padded to it. */
enum { WFI_CODEC_ALIGN = 8 };

/*
 * Can the arguments leave this process, can the result come back? Returns 0, or WF_ENOTWIRE with a
 * text that names the parameter. A string or bytes as a result needs a .drop_result, because the
 * caller's process makes memory for it.
 */
int wfi_codec_check_args(const struct wf_task_type *type, struct wf_error *reterr);
int wfi_codec_check_result(const struct wf_task_type *type, struct wf_error *reterr);

/* True when the structure of the arguments, or the result, is all there is to send. */
bool wfi_codec_flat_args(const struct wf_task_type *type);
bool wfi_codec_flat_result(const struct wf_task_type *type);

/*
 * Encodes into `buf` as far as it has room. Returns how many bytes there are; when that is more
 * than `capacity`, what was written is of no use, and the caller comes again with that much room.
 * Or a negative code: -ENOMEM, or what a codec of WF_WIRE returned.
 */
ssize_t wfi_codec_encode_args(const struct wf_task_type *type, const void *args, void *buf,
                              size_t capacity, struct wf_error *reterr);
ssize_t wfi_codec_encode_result(const struct wf_task_type *type, const void *result, void *buf,
                                size_t capacity, struct wf_error *reterr);

/*
 * Decodes `len` bytes into the structure of the arguments. Returns how many bytes it took, or
 * WF_EPROTOCOL (they cannot be an encoded value), -ENOMEM, or what a codec of WF_WIRE returned;
 * then nothing is left to be dropped.
 */
ssize_t wfi_codec_decode_args(const struct wf_task_type *type, void *buf, size_t len,
                              void *ret_args, struct wf_error *reterr);

/*
 * Ends decoded arguments: JSON is destroyed, strings and bytes are emptied (they are the buffer's),
 * and what is left, of types of WF_WIRE, is the type's own drop_args' to end.
 */
void wfi_codec_drop_args(const struct wf_task_type *type, void *args);

/*
 * Decodes a result; strings and bytes are copied into memory of their own, which .drop_result and
 * wfi_free can free. Returns as wfi_codec_decode_args.
 */
ssize_t wfi_codec_decode_result(const struct wf_task_type *type, const void *buf, size_t len,
                                void *ret_result, struct wf_error *reterr);

/*
 * The same for a string or bytes, but in place: *ret_result points into `buf`. Returns as
 * wfi_codec_decode_args.
 */
ssize_t wfi_codec_decode_result_in_place(const struct wf_task_type *type, void *buf, size_t len,
                                         void *ret_result);

#endif
