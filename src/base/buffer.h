/* SPDX-License-Identifier: MIT */
/*
 * Growable bytes. Zeroed means empty; the owner guards it. Growth doubles, so appending n bytes one
 * by one costs O(n). A failed append leaves the contents as they were.
 *
 * The byte behind the contents is not defined; wfi_buffer_text puts a NUL there.
 */
#ifndef WFI_BASE_BUFFER_H
#define WFI_BASE_BUFFER_H

#include <weft/api.h>

#include <stdarg.h>
#include <stddef.h>

struct wfi_buffer {
    char *data;
    size_t len;
    size_t size; /* bytes allocated */
};

/* Makes room for `more` bytes behind the contents. Returns 0 or -ENOMEM. */
int wfi_buffer_reserve(struct wfi_buffer *buffer, size_t more);

/* Each returns 0 or -ENOMEM. */
int wfi_buffer_append(struct wfi_buffer *buffer, const void *bytes, size_t len);
int wfi_buffer_append_text(struct wfi_buffer *buffer, const char *text);
int wfi_buffer_append_byte(struct wfi_buffer *buffer, char byte);
int wfi_buffer_printf(struct wfi_buffer *buffer, const char *format, ...) WF_PRINTF(2, 3);
int wfi_buffer_vprintf(struct wfi_buffer *buffer, const char *format, va_list args) WF_PRINTF(2, 0);

/* The contents as a C string, valid until the next change; NULL when out of memory. */
const char *wfi_buffer_text(struct wfi_buffer *buffer);

/* Forgets the first `len` bytes (at most all), keeping the allocation. */
void wfi_buffer_consume(struct wfi_buffer *buffer, size_t len);

/* Forgets the contents, keeping the allocation. */
void wfi_buffer_clear(struct wfi_buffer *buffer);

/* Frees the allocation; the buffer is empty and usable again. */
void wfi_buffer_reset(struct wfi_buffer *buffer);

/* Hands the contents over, NUL-terminated, to be freed with wfi_free, and leaves the buffer empty.
 * Returns NULL, and changes nothing, when out of memory. */
char *wfi_buffer_take(struct wfi_buffer *buffer, size_t *ret_len);

#endif
