/* SPDX-License-Identifier: MIT */
#include "celery/message/repr.h"

#include "base/json_number.h"
#include "base/utf8.h"

#include <math.h>
#include <string.h>

/* What lies deeper is shown as three dots. In arguments Celery shows this many levels, those of the
 * tuple among them; Python's exceptions show all, but a fiber's stack is small. */
enum { DEPTH_MAX = 3, CALL_DEPTH_MAX = 16 };

struct showing {
    struct wfi_buffer *buffer;
    size_t before; /* its length at the beginning */
    size_t max;
    unsigned depth_max;
    int err;
};

/* True when there is no use in going on. */
static bool is_full(const struct showing *s)
{
    return s->err || s->buffer->len - s->before > s->max;
}

static void put(struct showing *s, const char *text, size_t len)
{
    if (!is_full(s))
        s->err = wfi_buffer_append(s->buffer, text, len);
}

static void put_text(struct showing *s, const char *text)
{
    put(s, text, strlen(text));
}

static void put_escape(struct showing *s, uint32_t c)
{
    if (s->err)
        return;
    if (c < 0x100)
        s->err = wfi_buffer_printf(s->buffer, "\\x%02x", (unsigned)c);
    else
        s->err = wfi_buffer_printf(s->buffer, "\\u%04x", (unsigned)c);
}

static void put_string(struct showing *s, const char *text, size_t len)
{
    const char *end = text + len;
    const bool doubled = memchr(text, '\'', len) && !memchr(text, '"', len);
    const char quote = doubled ? '"' : '\'';

    put(s, &quote, 1);
    while (text < end && !is_full(s)) {
        uint32_t c = 0;
        const int n = wfi_utf8_read(text, end, &c);
        const size_t bytes = (size_t)(n < 0 ? -n : n);
        if (n < 0)
            put_text(s, "\xef\xbf\xbd");
        else if (c == '\n' || c == '\r' || c == '\t')
            put_text(s, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        else if (c == '\\' || c == (uint32_t)quote)
            put(s, (const char[]){'\\', (char)c}, 2);
        else if (c < 0x20 || (c >= 0x7f && c < 0xa1) || c == 0xad || (c >= 0xd800 && c < 0xe000))
            put_escape(s, c);
        else
            put(s, text, bytes);
        text += bytes;
    }
    put(s, &quote, 1);
}

static void put_double(struct showing *s, const struct wf_json_value *value)
{
    double number = 0;
    char text[WFI_DOUBLE_TEXT_BYTES];
    wf_json_double(value, &number);
    if (isnan(number))
        put_text(s, "nan");
    else if (isinf(number))
        put_text(s, number < 0 ? "-inf" : "inf");
    else
        put(s, text, wfi_double_write(number, text));
}

static void put_value(struct showing *s, const struct wf_json_value *value, unsigned depth);

static void put_items(struct showing *s, const struct wf_json_value *value, unsigned depth)
{
    for (size_t i = 0; i < wf_json_count(value) && !is_full(s); i++) {
        const struct wf_json_value *item = wf_json_at(value, i);
        size_t key_len = 0;
        const char *key = wf_json_key(item, &key_len);
        if (i > 0)
            put_text(s, ", ");
        if (wf_json_type(value) == WF_JSON_OBJECT) {
            put_string(s, key, key_len);
            put_text(s, ": ");
        }
        put_value(s, item, depth + 1);
    }
}

static void put_value(struct showing *s, const struct wf_json_value *value, unsigned depth)
{
    const enum wf_json_type type = wf_json_type(value);
    bool truth = false;
    size_t len = 0;
    const char *text = wf_json_text(value, &len);

    switch (type) {
    case WF_JSON_NULL:
        put_text(s, "None");
        break;
    case WF_JSON_BOOL:
        wf_json_bool(value, &truth);
        put_text(s, truth ? "True" : "False");
        break;
    case WF_JSON_INT:
        put(s, text, len);
        break;
    case WF_JSON_DOUBLE:
        put_double(s, value);
        break;
    case WF_JSON_STRING:
        put_string(s, text, len);
        break;
    case WF_JSON_ARRAY:
    case WF_JSON_OBJECT:
        put_text(s, type == WF_JSON_ARRAY ? "[" : "{");
        if (depth < s->depth_max)
            put_items(s, value, depth);
        else
            put_text(s, "...");
        put_text(s, type == WF_JSON_ARRAY ? "]" : "}");
        break;
    }
}

static struct showing begin(struct wfi_buffer *buffer, size_t max, unsigned depth_max)
{
    return (struct showing){.buffer = buffer,
                            .before = buffer->len,
                            .max = max ? max : WFI_REPR_BYTES_MAX,
                            .depth_max = depth_max};
}

/* Cuts what is too much, not inside a character. */
static int finish(struct showing *s)
{
    if (s->err || !is_full(s))
        return s->err;
    size_t len = s->max > 3 ? s->max - 3 : 0;
    while (len > 0 && ((unsigned char)s->buffer->data[s->before + len] & 0xc0) == 0x80)
        len--;
    s->buffer->len = s->before + len;
    return wfi_buffer_append(s->buffer, "...", s->max < 3 ? s->max : 3);
}

int wfi_repr(struct wfi_buffer *buffer, const struct wf_json_value *value, size_t max)
{
    struct showing s = begin(buffer, max, DEPTH_MAX);
    put_value(&s, value, 0);
    return finish(&s);
}

int wfi_repr_tuple(struct wfi_buffer *buffer, const struct wf_json_value *array, size_t max)
{
    struct showing s = begin(buffer, max, DEPTH_MAX);
    put_text(&s, "(");
    put_items(&s, array, 0);
    put_text(&s, wf_json_count(array) == 1 ? ",)" : ")");
    return finish(&s);
}

int wfi_repr_call(struct wfi_buffer *buffer, const char *name, const struct wf_json_value *array,
                  size_t max)
{
    struct showing s = begin(buffer, max, CALL_DEPTH_MAX);
    put_text(&s, name);
    put_text(&s, "(");
    put_items(&s, array, 0);
    put_text(&s, ")");
    return finish(&s);
}
