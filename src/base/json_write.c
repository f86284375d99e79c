/* SPDX-License-Identifier: MIT */
/*
 * The JSON writer (contract in weft/json.h).
 *
 * Where a comma or a colon is due follows from `levels`, one byte for each open object or array,
 * and `behind`, what stands last. Text that cannot be appended sets `err`, and from then on nothing
 * is.
 */
#include "base/json.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buffer.h"
#include "base/hash.h"
#include "base/json_number.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum behind {
    BEHIND_NOTHING, /* at the beginning of the text, a line, an object or an array */
    BEHIND_VALUE,
    BEHIND_KEY,
};

struct wf_json_writer {
    struct wf_json_writer_options options;
    struct wfi_buffer text;
    struct wfi_buffer levels; /* '}' or ']' for each open object or array: what will close it */
    enum behind behind;
    int err; /* the first failure; 0 while all is well */
};

int wf_json_writer_create(const struct wf_json_writer_options *options,
                          struct wf_json_writer **ret_writer)
{
    struct wf_json_writer *w = wfi_zalloc(sizeof *w);
    if (!w)
        return -ENOMEM;
    if (options)
        w->options = *options;
    *ret_writer = w;
    return 0;
}

void wf_json_writer_destroy(struct wf_json_writer *w)
{
    if (!w)
        return;
    wfi_buffer_reset(&w->text);
    wfi_buffer_reset(&w->levels);
    wfi_free(w);
}

void wf_json_writer_clear(struct wf_json_writer *w)
{
    wfi_buffer_clear(&w->text);
    wfi_buffer_clear(&w->levels);
    w->behind = BEHIND_NOTHING;
    w->err = 0;
}

int wf_json_writer_text(struct wf_json_writer *w, const char **ret_text, size_t *ret_len)
{
    const char *text = w->err ? NULL : wfi_buffer_text(&w->text);
    if (!text) {
        w->err = -ENOMEM;
        return w->err;
    }
    if (w->levels.len > 0)
        return WF_ESTATE;
    *ret_text = text;
    if (ret_len)
        *ret_len = w->text.len;
    return 0;
}

static void put(struct wf_json_writer *w, const char *bytes, size_t len)
{
    if (!w->err)
        w->err = wfi_buffer_append(&w->text, bytes, len);
}

static void put_text(struct wf_json_writer *w, const char *text)
{
    put(w, text, strlen(text));
}

static bool in_object(const struct wf_json_writer *w)
{
    return w->levels.len > 0 && w->levels.data[w->levels.len - 1] == '}';
}

static void put_comma(struct wf_json_writer *w)
{
    if (w->behind == BEHIND_VALUE)
        put(w, ", ", w->options.spaced ? 2 : 1);
}

/* Before each value: sees to what separates it from the one before. */
static void begin_value(struct wf_json_writer *w)
{
    if (w->err)
        return; /* levels may be incomplete */
    wfi_assert(in_object(w) == (w->behind == BEHIND_KEY),
               "in an object of JSON each value follows its key");
    wfi_assert(w->levels.len > 0 || w->behind == BEHIND_NOTHING,
               "outside of arrays and objects a line of JSON is one value");
    if (w->behind != BEHIND_KEY)
        put_comma(w);
    w->behind = BEHIND_VALUE;
}

static void put_u_escape(struct wf_json_writer *w, uint32_t unit)
{
    char text[8];
    put(w, text, (size_t)snprintf(text, sizeof text, "\\u%04x", (unsigned)unit));
}

/* A character that cannot stand as it is. */
static void put_escape(struct wf_json_writer *w, uint32_t c)
{
    static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (size_t i = 0; c < 0x80 && i < sizeof letters - 1; i += 2) {
        if ((uint32_t)letters[i] == c) {
            put(w, (const char[]){'\\', letters[i + 1]}, 2);
            return;
        }
    }
    if (c < 0x10000) {
        put_u_escape(w, c);
        return;
    }
    put_u_escape(w, 0xd800 + ((c - 0x10000) >> 10));
    put_u_escape(w, 0xdc00 + ((c - 0x10000) & 0x3ff));
}

static bool is_surrogate(uint32_t c)
{
    return c >= 0xd800 && c <= 0xdfff;
}

/*
 * How many bytes from p on are plain in any case, looked at by eights: neither control characters
 * nor quotes nor backslashes nor beyond ASCII. May stop early.
 */
static size_t plain_bytes(const char *p, const char *end)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    const char *first = p;

    for (; end - p >= 8; p += 8) {
        /* In each of these the top bit of a byte is set if it is zero, or smaller than 0x20; other
         * top bits are set at most behind such a byte. */
        const uint64_t v = wfi_hash_load8((const unsigned char *)p);
        const uint64_t quote = v ^ ones * '"', backslash = v ^ ones * '\\', del = v ^ ones * 0x7f;
        const uint64_t found = ((v - ones * 0x20) & ~v) | ((quote - ones) & ~quote) |
                               ((backslash - ones) & ~backslash) | ((del - ones) & ~del) | v;
        if (found & tops)
            break;
    }
    return (size_t)(p - first);
}

static void put_string(struct wf_json_writer *w, const char *text, size_t len)
{
    const char *p = text, *end = text + len, *plain = text; /* plain..p goes out as it is */
    /* Python counts the control character 0x7f as outside ASCII, but only when asked for ASCII. */
    const unsigned char del = w->options.ascii ? 0x7f : 0x80;

    put(w, "\"", 1);
    while (p < end) {
        p += plain_bytes(p, end);
        if (p == end)
            break;
        const unsigned char byte = (unsigned char)*p;
        if (byte >= 0x20 && byte < del && byte != '"' && byte != '\\') {
            p++;
            continue;
        }
        uint32_t c = 0; /* gcc -O1 does not see that n > 0 says it was written */
        int n = wfi_utf8_read(p, end, &c);
        if (n > 0 && c >= 0x80 && !w->options.ascii && !is_surrogate(c)) {
            p += n;
            continue;
        }
        put(w, plain, (size_t)(p - plain));
        if (n < 0 && !w->options.ascii)
            put_text(w, "\xef\xbf\xbd");
        else
            put_escape(w, n < 0 ? 0xfffd : c);
        p += n < 0 ? -n : n;
        plain = p;
    }
    put(w, plain, (size_t)(p - plain));
    put(w, "\"", 1);
}

static void open_level(struct wf_json_writer *w, const char *open, char close)
{
    begin_value(w);
    put_text(w, open);
    if (!w->err)
        w->err = wfi_buffer_append_byte(&w->levels, close);
    w->behind = BEHIND_NOTHING;
}

void wf_json_write_object(struct wf_json_writer *w)
{
    open_level(w, "{", '}');
}

void wf_json_write_array(struct wf_json_writer *w)
{
    open_level(w, "[", ']');
}

void wf_json_write_end(struct wf_json_writer *w)
{
    if (w->err)
        return;
    wfi_assert(w->levels.len > 0, "only an open array or object of JSON can be closed");
    wfi_assert(w->behind != BEHIND_KEY, "in an object of JSON each key has a value");
    put(w, &w->levels.data[--w->levels.len], 1);
    w->behind = BEHIND_VALUE;
}

void wf_json_write_key_bytes(struct wf_json_writer *w, const char *key, size_t len)
{
    if (w->err)
        return;
    wfi_assert(in_object(w) && w->behind != BEHIND_KEY, "a key of JSON stands in an object");
    put_comma(w);
    put_string(w, key, len);
    put(w, ": ", w->options.spaced ? 2 : 1);
    w->behind = BEHIND_KEY;
}

void wf_json_write_key(struct wf_json_writer *w, const char *key)
{
    wf_json_write_key_bytes(w, key, strlen(key));
}

void wf_json_write_string(struct wf_json_writer *w, const char *text, size_t len)
{
    begin_value(w);
    put_string(w, text, len);
}

void wf_json_write_raw(struct wf_json_writer *w, const char *text, size_t len)
{
    begin_value(w);
    put(w, text, len);
}

void wf_json_write_int(struct wf_json_writer *w, int64_t number)
{
    char text[24];
    wf_json_write_raw(w, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)number));
}

void wf_json_write_uint(struct wf_json_writer *w, uint64_t number)
{
    char text[24];
    wf_json_write_raw(w, text,
                      (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)number));
}

void wf_json_write_double(struct wf_json_writer *w, double number)
{
    char text[WFI_DOUBLE_TEXT_BYTES];
    wf_json_write_raw(w, text, wfi_double_write(number, text));
}

void wf_json_write_bool(struct wf_json_writer *w, bool value)
{
    wf_json_write_raw(w, value ? "true" : "false", value ? 4 : 5);
}

void wf_json_write_null(struct wf_json_writer *w)
{
    wf_json_write_raw(w, "null", 4);
}

void wf_json_write_line_end(struct wf_json_writer *w)
{
    if (w->err)
        return;
    wfi_assert(w->levels.len == 0, "a line of JSON ends behind a whole value");
    put(w, "\n", 1);
    w->behind = BEHIND_NOTHING;
}

/* A value that holds no others. */
static void write_leaf(struct wf_json_writer *w, const struct wf_json_value *value)
{
    switch (wf_json_type(value)) {
    case WF_JSON_BOOL:
        wf_json_write_bool(w, value->as.boolean);
        break;
    case WF_JSON_INT:
        /* Python knows no negative zero among its integers. */
        if (value->len == 2 && memcmp(value->as.text, "-0", 2) == 0)
            wf_json_write_int(w, 0);
        else
            wf_json_write_raw(w, value->as.text, value->len);
        break;
    case WF_JSON_DOUBLE:
        wf_json_write_double(w, wfi_double_read(value->as.text, value->len));
        break;
    case WF_JSON_STRING:
        wf_json_write_string(w, value->as.text, value->len);
        break;
    default:
        wf_json_write_null(w);
    }
}

/* A row of values that is being written, for as many levels as a tree has. */
struct row {
    const struct wf_json_value *next, *end;
};

void wf_json_write_value(struct wf_json_writer *w, const struct wf_json_value *value)
{
    struct wfi_buffer rows = {0}; /* the rows around the current one */
    struct row row = {value, value ? value + 1 : value};

    if (!value)
        wf_json_write_null(w);
    while (value && !w->err) {
        if (row.next == row.end) {
            if (rows.len == 0)
                break;
            wf_json_write_end(w);
            rows.len -= sizeof row;
            memcpy(&row, rows.data + rows.len, sizeof row);
            continue;
        }
        const struct wf_json_value *v = row.next++;
        if (v->key && rows.len > 0)
            wf_json_write_key_bytes(w, v->key, v->key_len);
        if (v->type != WF_JSON_ARRAY && v->type != WF_JSON_OBJECT) {
            write_leaf(w, v);
            continue;
        }
        if (v->type == WF_JSON_ARRAY)
            wf_json_write_array(w);
        else
            wf_json_write_object(w);
        if (v->len == 0) {
            wf_json_write_end(w);
            continue;
        }
        int err = wfi_buffer_append(&rows, &row, sizeof row);
        if (err && !w->err)
            w->err = err;
        row = (struct row){v->as.items, v->as.items + v->len};
    }
    wfi_buffer_reset(&rows);
}
