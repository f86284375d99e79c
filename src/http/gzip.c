/* SPDX-License-Identifier: MIT */
#include "http/gzip.h"

#include <errno.h>

#define ZLIB_CONST
#include <zlib.h>

#include "base/alloc.h"

enum {
    /* Text shrinks to a quarter at some 85 MB/s and core; levels above cost twice that for 5 % less
     * (measured on sources, pages and JSON). */
    LEVEL = 4,
    /* Twice the window and tables would make sources and pages 4 % smaller. */
    WINDOW_BITS_MAX = 14,
    WINDOW_BITS_UNKNOWN = 13,
    WINDOW_BITS_MIN = 9,
    AS_GZIP = 16, /* added to the bits: gzip's head and trailer around the data */
    ROOM_BYTES = 1024,
};

struct wfi_gzip {
    z_stream stream;
};

static voidpf give(voidpf opaque, uInt count, uInt bytes)
{
    (void)opaque;
    return wfi_zalloc((size_t)count * bytes);
}

static void take_back(voidpf opaque, voidpf ptr)
{
    (void)opaque;
    wfi_free(ptr);
}

int wfi_gzip_create(uint64_t len, struct wfi_gzip **ret_gzip)
{
    int bits = WINDOW_BITS_MIN;
    int bits_max = len == UINT64_MAX ? WINDOW_BITS_UNKNOWN : WINDOW_BITS_MAX;
    while (bits < bits_max && (uint64_t)1 << bits < len)
        bits++;
    struct wfi_gzip *gzip = wfi_zalloc(sizeof *gzip);
    if (!gzip)
        return -ENOMEM;
    gzip->stream.zalloc = give;
    gzip->stream.zfree = take_back;
    int memory = bits - 7; /* hash chains and symbols take as much as the window */
    if (deflateInit2(&gzip->stream, LEVEL, Z_DEFLATED, bits + AS_GZIP, memory,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        wfi_free(gzip);
        return -ENOMEM;
    }
    *ret_gzip = gzip;
    return 0;
}

int wfi_gzip_add(struct wfi_gzip *gzip, const void *text, size_t len, enum wfi_gzip_until until,
                 struct wfi_buffer *out)
{
    static const int flushes[] = {Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FINISH};
    z_stream *stream = &gzip->stream;
    const char *at = text;
    do {
        /* zlib counts in unsigned int. */
        size_t piece = len < 1u << 30 ? len : 1u << 30;
        stream->next_in = (const Bytef *)at;
        stream->avail_in = (uInt)piece;
        at += piece;
        len -= piece;
        do {
            int err = wfi_buffer_reserve(out, ROOM_BYTES);
            if (err)
                return err;
            size_t room = out->size - out->len;
            room = room < 1u << 30 ? room : 1u << 30;
            stream->next_out = (Bytef *)out->data + out->len;
            stream->avail_out = (uInt)room;
            /* What it returns says nothing that avail_out does not: it has everything it needs, or
             * there was nothing to flush. */
            (void)deflate(stream, len ? Z_NO_FLUSH : flushes[until]);
            out->len += room - stream->avail_out;
        } while (stream->avail_out == 0);
    } while (len);
    return 0;
}

void wfi_gzip_destroy(struct wfi_gzip *gzip)
{
    if (!gzip)
        return;
    (void)deflateEnd(&gzip->stream);
    wfi_free(gzip);
}
