/* SPDX-License-Identifier: MIT */
/*
 * Growable bytes; the contract stands in buffer.h.
 */
#include "base/buffer.h"

#include "base/alloc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The first allocation: a short line fits, and malloc's own header does not dominate. */
enum { FIRST_BYTES = 64 };

int wfi_buffer_reserve(struct wfi_buffer *buffer, size_t more)
{
    if (more <= buffer->size - buffer->len)
        return 0;
    if (more > SIZE_MAX / 2 - buffer->len)
        return -ENOMEM;

    size_t size = buffer->size ? buffer->size : FIRST_BYTES;
    while (size - buffer->len < more)
        size *= 2;
    char *data = wfi_realloc(buffer->data, size);
    if (!data)
        return -ENOMEM;
    buffer->data = data;
    buffer->size = size;
    return 0;
}

int wfi_buffer_append(struct wfi_buffer *buffer, const void *bytes, size_t len)
{
    if (len == 0)
        return 0;
    int err = wfi_buffer_reserve(buffer, len);
    if (err)
        return err;
    memcpy(buffer->data + buffer->len, bytes, len);
    buffer->len += len;
    return 0;
}

int wfi_buffer_append_text(struct wfi_buffer *buffer, const char *text)
{
    return wfi_buffer_append(buffer, text, strlen(text));
}

int wfi_buffer_append_byte(struct wfi_buffer *buffer, char byte)
{
    int err = wfi_buffer_reserve(buffer, 1);
    if (err)
        return err;
    buffer->data[buffer->len++] = byte;
    return 0;
}

int wfi_buffer_vprintf(struct wfi_buffer *buffer, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    /* Two passes: the first into what room there is, the second only if that was too little. */
    size_t room = buffer->size - buffer->len;
    int len = vsnprintf(room ? buffer->data + buffer->len : NULL, room, format, args);
    int err = len < 0 ? -EINVAL : 0;
    if (!err && (size_t)len >= room) {
        err = wfi_buffer_reserve(buffer, (size_t)len + 1);
        if (!err)
            vsnprintf(buffer->data + buffer->len, (size_t)len + 1, format, again);
    }
    va_end(again);
    if (!err)
        buffer->len += (size_t)len;
    return err;
}

int wfi_buffer_printf(struct wfi_buffer *buffer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int err = wfi_buffer_vprintf(buffer, format, args);
    va_end(args);
    return err;
}

const char *wfi_buffer_text(struct wfi_buffer *buffer)
{
    if (wfi_buffer_reserve(buffer, 1))
        return NULL;
    buffer->data[buffer->len] = '\0';
    return buffer->data;
}

void wfi_buffer_consume(struct wfi_buffer *buffer, size_t len)
{
    if (len >= buffer->len) {
        buffer->len = 0;
        return;
    }
    if (len == 0)
        return;
    memmove(buffer->data, buffer->data + len, buffer->len - len);
    buffer->len -= len;
}

void wfi_buffer_clear(struct wfi_buffer *buffer)
{
    buffer->len = 0;
}

void wfi_buffer_reset(struct wfi_buffer *buffer)
{
    wfi_free(buffer->data);
    *buffer = (struct wfi_buffer){0};
}

char *wfi_buffer_take(struct wfi_buffer *buffer, size_t *ret_len)
{
    if (!wfi_buffer_text(buffer))
        return NULL;
    char *data = buffer->data;
    if (ret_len)
        *ret_len = buffer->len;
    *buffer = (struct wfi_buffer){0};
    return data;
}
