/* SPDX-License-Identifier: MIT */
#include "exec/pair.h"

#include <errno.h>
#include <string.h>

int wfi_pair_compare_keys(wf_bytes a, wf_bytes b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.ptr, b.ptr, len) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

size_t wfi_pair_write_number(unsigned char *out, uint64_t number)
{
    size_t n = 0;
    for (; number > 0x7f; number >>= 7, n++)
        if (out)
            out[n] = (unsigned char)(number | 0x80);
    if (out)
        out[n] = (unsigned char)number;
    return n + 1;
}

ssize_t wfi_pair_read_number(const unsigned char *at, size_t len, uint64_t *ret)
{
    uint64_t number = 0;
    for (size_t i = 0; i < len && i < WFI_PAIR_NUMBER_MAX; i++) {
        if (i == WFI_PAIR_NUMBER_MAX - 1 && at[i] > 1)
            return WF_EPROTOCOL;
        number |= (uint64_t)(at[i] & 0x7f) << (7 * i);
        if (!(at[i] & 0x80)) {
            *ret = number;
            return (ssize_t)i + 1;
        }
    }
    return len < WFI_PAIR_NUMBER_MAX ? 0 : WF_EPROTOCOL;
}

static size_t write_bytes(unsigned char *out, wf_bytes bytes)
{
    if (out && bytes.len)
        memcpy(out, bytes.ptr, bytes.len);
    return bytes.len;
}

static unsigned char *behind(unsigned char *out, size_t n)
{
    return out ? out + n : NULL;
}

size_t wfi_pair_write(unsigned char *out, const struct wfi_pair *pair, bool ranked)
{
    size_t n = wfi_pair_write_number(out, pair->same ? 0 : pair->key.len + 1);
    if (!pair->same)
        n += write_bytes(behind(out, n), pair->key);
    if (ranked)
        n += wfi_pair_write_number(behind(out, n), pair->rank);
    n += wfi_pair_write_number(behind(out, n), pair->value.len);
    return n + write_bytes(behind(out, n), pair->value);
}

/* A number, then; *at moves behind it. Returns 1, 0 for too few bytes, or WF_EPROTOCOL. */
static int take_number(const unsigned char **at, const unsigned char *end, uint64_t *ret)
{
    ssize_t n = wfi_pair_read_number(*at, (size_t)(end - *at), ret);
    if (n <= 0)
        return (int)n;
    *at += n;
    return 1;
}

/* As many bytes; the same returns. */
static int take_bytes(const unsigned char **at, const unsigned char *end, uint64_t len,
                      wf_bytes *ret)
{
    if (len >= WFI_PAIR_BYTES_MAX)
        return WF_EPROTOCOL;
    if (len > (size_t)(end - *at))
        return 0;
    *ret = (wf_bytes){*at, (size_t)len};
    *at += len;
    return 1;
}

ssize_t wfi_pair_read(const unsigned char *at, size_t len, bool ranked, struct wfi_pair *pair)
{
    const unsigned char *const start = at, *const end = at + len;
    struct wfi_pair read = *pair;
    uint64_t number = 0;
    int n = take_number(&at, end, &number);
    read.same = number == 0;
    if (n > 0 && !read.same)
        n = take_bytes(&at, end, number - 1, &read.key);
    if (n > 0 && ranked)
        n = take_number(&at, end, &read.rank);
    if (n > 0)
        n = take_number(&at, end, &number);
    if (n > 0)
        n = take_bytes(&at, end, number, &read.value);
    if (n <= 0)
        return n;
    *pair = read;
    return at - start;
}

int wfi_pair_writer_add(struct wfi_pair_writer *w, const struct wfi_pair *pair)
{
    struct wfi_pair written = *pair;
    written.same =
        w->any && wfi_pair_compare_keys((wf_bytes){w->key.data, w->key.len}, pair->key) == 0;
    const size_t len = wfi_pair_write(NULL, &written, w->ranked);
    if (wfi_buffer_reserve(&w->run, len) ||
        (!written.same && wfi_buffer_reserve(&w->key, pair->key.len + 1)))
        return -ENOMEM;
    w->run.len += wfi_pair_write((unsigned char *)w->run.data + w->run.len, &written, w->ranked);
    if (!written.same) {
        w->key.len = write_bytes((unsigned char *)w->key.data, pair->key);
        w->any = true;
    }
    return 0;
}

void wfi_pair_writer_reset(struct wfi_pair_writer *w)
{
    wfi_buffer_reset(&w->run);
    wfi_buffer_reset(&w->key);
    w->any = false;
}

int wfi_pair_check_run(wf_bytes run)
{
    const unsigned char *at = run.ptr;
    const unsigned char *const end = at + run.len;
    struct wfi_pair pair = {.key = {NULL, 0}};
    for (bool first = true; at < end; first = false) {
        const wf_bytes before = pair.key;
        ssize_t n = wfi_pair_read(at, (size_t)(end - at), false, &pair);
        if (n <= 0 || (first && pair.same) ||
            (!first && !pair.same && wfi_pair_compare_keys(before, pair.key) > 0))
            return WF_EPROTOCOL;
        at += n;
    }
    return 0;
}
