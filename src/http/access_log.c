/* SPDX-License-Identifier: MIT */
#include "http/access_log.h"

#include <inttypes.h>
#include <stdio.h>

#include "http/date.h"

/* Bytes that would end the quotes, and those outside of printable ASCII, as \xHH. */
static int append_escaped(struct wfi_buffer *out, struct wfi_text text)
{
    static const char hex[] = "0123456789abcdef";
    if (text.len == 0)
        return wfi_buffer_append_byte(out, '-');
    int err = wfi_buffer_reserve(out, text.len * 4);
    if (err)
        return err;
    char *p = out->data + out->len;
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char c = (unsigned char)text.ptr[i];
        if (c >= ' ' && c < 0x7f && c != '"' && c != '\\') {
            *p++ = (char)c;
            continue;
        }
        *p++ = '\\';
        *p++ = 'x';
        *p++ = hex[c >> 4];
        *p++ = hex[c & 15];
    }
    out->len = (size_t)(p - out->data);
    return 0;
}

static int append_quoted(struct wfi_buffer *out, struct wfi_text text)
{
    int err = wfi_buffer_append_text(out, " \"");
    if (!err)
        err = append_escaped(out, text);
    return err ? err : wfi_buffer_append_byte(out, '"');
}

static int append_request(struct wfi_buffer *out, const struct wfi_access *access)
{
    int err = wfi_buffer_append_text(out, " \"");
    if (!err)
        err = append_escaped(out, access->method);
    if (!err && access->method.len > 0) {
        err = wfi_buffer_append_byte(out, ' ');
        if (!err)
            err = append_escaped(out, access->target);
        if (!err)
            err = wfi_buffer_printf(out, " HTTP/1.%d", access->minor);
    }
    return err ? err : wfi_buffer_append_byte(out, '"');
}

int wfi_access_common(struct wfi_buffer *out, const struct wfi_access *access)
{
    const size_t before = out->len;
    const struct wfi_date d = wfi_date_split(access->time);
    int err = append_escaped(out, access->client);
    if (!err)
        err = wfi_buffer_printf(out, " - - [%02d/%s/%04d:%02d:%02d:%02d +0000]", d.day,
                                wfi_month_names[d.month - 1], d.year, d.hour, d.minute, d.second);
    if (!err)
        err = append_request(out, access);
    if (!err)
        err = wfi_buffer_printf(out, " %d %" PRIu64, access->status, access->body_bytes);
    if (!err)
        err = append_quoted(out, access->referer);
    if (!err)
        err = append_quoted(out, access->user_agent);
    if (!err)
        err = wfi_buffer_append_byte(out, '\n');
    if (err)
        out->len = before;
    return err;
}

static void write_text(struct wf_json_writer *out, const char *key, struct wfi_text text)
{
    if (text.len == 0)
        return;
    wf_json_write_key(out, key);
    wf_json_write_string(out, text.ptr, text.len);
}

void wfi_access_json(struct wf_json_writer *out, const struct wfi_access *access)
{
    const struct wfi_date d = wfi_date_split(access->time);
    char when[48];
    const int len = snprintf(when, sizeof when, "%04d-%02d-%02dT%02d:%02d:%02dZ", d.year, d.month,
                             d.day, d.hour, d.minute, d.second);
    wf_json_write_object(out);
    write_text(out, "time", (struct wfi_text){when, (size_t)len});
    write_text(out, "client", access->client);
    write_text(out, "method", access->method);
    write_text(out, "target", access->target);
    write_text(out, "host", access->host);
    wf_json_write_key(out, "status");
    wf_json_write_int(out, access->status);
    wf_json_write_key(out, "bytes");
    wf_json_write_uint(out, access->body_bytes);
    wf_json_write_key(out, "seconds");
    wf_json_write_double(out, (double)access->elapsed_ns / 1e9);
    write_text(out, "referer", access->referer);
    write_text(out, "user_agent", access->user_agent);
    write_text(out, "route", access->route);
    write_text(out, "request_id", access->request_id);
    write_text(out, "reason", access->reason);
    wf_json_write_end(out);
    wf_json_write_line_end(out);
}
