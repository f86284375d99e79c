/* SPDX-License-Identifier: MIT */
#include "celery/message/compression.h"

#include "base/alloc.h"

#include <weft/error.h>

#include <errno.h>
#include <limits.h>

#include <zlib.h>

/* What is added to the buffer at once, at most: a small packed body must not cost a lot. */
enum { PIECE_BYTES = 64 * 1024 };

static void *zlib_alloc(void *unused, unsigned items, unsigned size)
{
    size_t bytes;
    (void)unused;
    return __builtin_mul_overflow((size_t)items, (size_t)size, &bytes) ? NULL : wfi_alloc(bytes);
}

static void zlib_free(void *unused, void *ptr)
{
    (void)unused;
    wfi_free(ptr);
}

/* zlib counts in unsigned: gives it as much of what is left as that holds. */
static void feed(z_stream *z, const unsigned char **in, size_t *left)
{
    if (z->avail_in > 0 || *left == 0)
        return;
    const unsigned now = *left > UINT_MAX ? UINT_MAX : (unsigned)*left;
    z->next_in = (unsigned char *)(uintptr_t)*in;
    z->avail_in = now;
    *in += now;
    *left -= now;
}

int wfi_inflate(const void *bytes, size_t len, size_t max, struct wfi_buffer *buffer)
{
    z_stream z = {.zalloc = zlib_alloc, .zfree = zlib_free};
    const unsigned char *in = bytes;
    const size_t before = buffer->len;
    int err = inflateInit(&z) == Z_OK ? 0 : -ENOMEM;
    int state = Z_OK;

    if (err)
        return err;
    while (!err && state != Z_STREAM_END) {
        const size_t made = buffer->len - before;
        /* One byte more than is allowed shows that it is too much. */
        const size_t room = max - made < PIECE_BYTES ? max - made + 1 : PIECE_BYTES;
        err = wfi_buffer_reserve(buffer, room);
        if (err)
            break;
        feed(&z, &in, &len);
        z.next_out = (unsigned char *)buffer->data + buffer->len;
        z.avail_out = (unsigned)room;
        state = inflate(&z, Z_NO_FLUSH);
        buffer->len += room - z.avail_out;
        if (buffer->len - before > max)
            err = WF_ETOOBIG;
        else if (state == Z_MEM_ERROR)
            err = -ENOMEM;
        else if (state != Z_OK && state != Z_STREAM_END)
            err = WF_EPARSE; /* Z_BUF_ERROR too: nothing is left to read */
    }
    if (!err && (z.avail_in > 0 || len > 0))
        err = WF_EPARSE;
    inflateEnd(&z);
    if (err)
        buffer->len = before;
    return err;
}

int wfi_deflate(const void *bytes, size_t len, struct wfi_buffer *buffer)
{
    z_stream z = {.zalloc = zlib_alloc, .zfree = zlib_free};
    const unsigned char *in = bytes;
    const size_t before = buffer->len;
    int err = deflateInit(&z, Z_DEFAULT_COMPRESSION) == Z_OK ? 0 : -ENOMEM;
    int state = Z_OK;

    if (err)
        return err;
    while (!err && state != Z_STREAM_END) {
        err = wfi_buffer_reserve(buffer, PIECE_BYTES);
        if (err)
            break;
        feed(&z, &in, &len);
        z.next_out = (unsigned char *)buffer->data + buffer->len;
        z.avail_out = PIECE_BYTES;
        state = deflate(&z, len == 0 ? Z_FINISH : Z_NO_FLUSH);
        buffer->len += PIECE_BYTES - z.avail_out;
        if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR)
            err = -ENOMEM;
    }
    deflateEnd(&z);
    if (err)
        buffer->len = before;
    return err;
}
