/* SPDX-License-Identifier: MIT */
/*
 * JSON as Python shows it: True, None, 'text', (1, 2). For people who read logs and events, and in
 * the text of a ChordError; no program reads it. Pure.
 */
#ifndef WFI_CELERY_REPR_H
#define WFI_CELERY_REPR_H

#include "base/buffer.h"

#include <weft/json.h>

/* Celery cuts what it shows of arguments and results here. */
enum { WFI_REPR_BYTES_MAX = 1024 };

/*
 * Appends the value, at most `max` bytes (0: WFI_REPR_BYTES_MAX) of it; where it is cut, it ends
 * with three dots. Returns 0 or -ENOMEM.
 */
int wfi_repr(struct wfi_buffer *buffer, const struct wf_json_value *value, size_t max);

/* The same for an array as a tuple, as positional arguments are shown. */
int wfi_repr_tuple(struct wfi_buffer *buffer, const struct wf_json_value *array, size_t max);

/* The same for a call: a name and the values of an array in brackets, ValueError('x', 1). */
int wfi_repr_call(struct wfi_buffer *buffer, const char *name, const struct wf_json_value *array,
                  size_t max);

#endif
