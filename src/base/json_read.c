/* SPDX-License-Identifier: MIT */
/*
 * The JSON reader (contract in weft/json.h).
 *
 * One loop, no recursion: `open` holds a frame for each open array or object, `values` the values
 * of all of them that are complete, innermost last. When one closes, its values are copied side by
 * side into the arena and one value takes their place. So depth costs heap, never stack. When it is
 * large and `values` holds no others, the arena takes all of `values` instead: they would lie in
 * memory twice.
 *
 * The arena is a chain of blocks, the newest first; nothing in it moves or is freed alone.
 */
#include "base/json.h"

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/json_number.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 1000 };

/* Block sizes: small texts (a message, a line) fit into the first; doubling from there. */
enum { FIRST_BLOCK_BYTES = 1024, LAST_BLOCK_BYTES = 256 * 1024 };

/* From here on values are worth an allocation of their own. */
enum { LARGE_BYTES = LAST_BLOCK_BYTES };

struct wfi_json_block {
    struct wfi_json_block *next;
    size_t used, size;
    void *values; /* owned: those of a large array or object, as they were read; else NULL */
    _Alignas(8) char bytes[];
};

/* An open array or object. */
struct frame {
    size_t first_value; /* bytes of `values` when it opened */
    const char *key;    /* the key it will have itself */
    uint32_t key_len;
    bool object;
};

struct reader {
    const char *text, *in, *end;
    struct wf_json *json;
    struct wfi_buffer values; /* of struct wf_json_value */
    struct wfi_buffer open;   /* of struct frame */
    unsigned depth, depth_max;
    size_t spent, bytes_max; /* of the arena, `values` are counted besides */
    const char *key;         /* of the value that comes next; NULL in an array */
    uint32_t key_len;
    int err;
    const char *expected; /* what is wrong, when err is not -ENOMEM */
};

static int fail(struct reader *r, int code, const char *expected)
{
    r->err = code;
    r->expected = expected;
    return code;
}

static void *arena_alloc(struct reader *r, size_t bytes)
{
    struct wfi_json_block *block = r->json->blocks;
    bytes = (bytes + 7) & ~(size_t)7;
    r->spent += bytes;
    if (r->spent + r->values.len > r->bytes_max) {
        fail(r, -EMSGSIZE, "too many values for the memory it may take");
        return NULL;
    }
    if (!block || block->size - block->used < bytes) {
        size_t size = block && block->size ? block->size * 2 : FIRST_BLOCK_BYTES;
        if (size > LAST_BLOCK_BYTES)
            size = LAST_BLOCK_BYTES;
        if (size < bytes)
            size = bytes;
        block = wfi_alloc(sizeof *block + size);
        if (!block) {
            fail(r, -ENOMEM, NULL);
            return NULL;
        }
        *block = (struct wfi_json_block){.next = r->json->blocks, .size = size};
        r->json->blocks = block;
    }
    void *at = block->bytes + block->used;
    block->used += bytes;
    return at;
}

/* A copy of text in the arena, with a NUL. */
static const char *keep(struct reader *r, const char *text, size_t len)
{
    char *copy = arena_alloc(r, len + 1);
    if (!copy)
        return NULL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

static void skip_space(struct reader *r)
{
    while (r->in < r->end && (*r->in == ' ' || *r->in == '\n' || *r->in == '\t' || *r->in == '\r'))
        r->in++;
}

static bool skip_byte(struct reader *r, char byte)
{
    if (r->in == r->end || *r->in != byte)
        return false;
    r->in++;
    return true;
}

static bool skip_word(struct reader *r, const char *word)
{
    const size_t len = strlen(word);
    if ((size_t)(r->end - r->in) < len || memcmp(r->in, word, len) != 0)
        return false;
    r->in += len;
    return true;
}

/* The four digits of a \u escape, or -1. */
static int32_t hex4(const char *p, const char *end)
{
    int32_t value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        const char c = p[i];
        int digit;
        if (c >= '0' && c <= '9')
            digit = c - '0';
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            digit = (c | 0x20) - 'a' + 10;
        else
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* Reads the escape at the backslash and writes what it means. Returns the place behind what was
 * written, or NULL. */
static char *read_escape(struct reader *r, char *out)
{
    static const char letters[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    const char *at = r->in++;
    if (r->in == r->end) {
        fail(r, WF_EPARSE, "the string is not closed");
        return NULL;
    }
    const char letter = *r->in++;
    for (size_t i = 0; i < sizeof letters - 1; i += 2) {
        if (letters[i] == letter) {
            *out = letters[i + 1];
            return out + 1;
        }
    }
    int32_t unit = letter == 'u' ? hex4(r->in, r->end) : -1;
    if (unit < 0) {
        r->in = at;
        fail(r, WF_EPARSE, letter == 'u' ? "\\u wants four hexadecimal digits" : "unknown escape");
        return NULL;
    }
    r->in += 4;
    uint32_t c = (uint32_t)unit;
    if (c >= 0xd800 && c < 0xdc00 && r->end - r->in >= 6 && r->in[0] == '\\' && r->in[1] == 'u') {
        const int32_t low = hex4(r->in + 2, r->end);
        if (low >= 0xdc00 && low < 0xe000) {
            c = 0x10000 + ((c - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
            r->in += 6;
        }
    }
    return out + wfi_utf8_write(c, out);
}

/* Stands behind the opening quote. Returns the text in the arena, or NULL. */
static const char *read_string(struct reader *r, uint32_t *ret_len)
{
    /* The closing quote, to know how much room the text can take; no escape makes it longer. */
    const char *close = r->in;
    while (close < r->end && *close != '"')
        close += *close == '\\' && close + 1 < r->end ? 2 : 1;
    char *text = arena_alloc(r, (size_t)(close - r->in) + 1);
    if (!text)
        return NULL;
    char *out = text;
    for (;;) {
        if (r->in == r->end) {
            fail(r, WF_EPARSE, "the string is not closed");
            return NULL;
        }
        const unsigned char byte = (unsigned char)*r->in;
        if (byte == '"')
            break;
        if (byte == '\\') {
            out = read_escape(r, out);
            if (!out)
                return NULL;
        } else if (byte < 0x20) {
            fail(r, WF_EPARSE, "a control character in a string must be escaped");
            return NULL;
        } else if (byte < 0x80) {
            *out++ = *r->in++;
        } else {
            uint32_t unused;
            const int n = wfi_utf8_read(r->in, r->end, &unused);
            if (n < 0) {
                fail(r, WF_EPARSE, "the bytes of the string are not UTF-8");
                return NULL;
            }
            memcpy(out, r->in, (size_t)n);
            out += n;
            r->in += n;
        }
    }
    r->in++;
    *out = '\0';
    *ret_len = (uint32_t)(out - text);
    return text;
}

static bool skip_digits(const char **p, const char *end)
{
    const char *first = *p;
    while (*p < end && **p >= '0' && **p <= '9')
        ++*p;
    return *p > first;
}

/* As Python does: a point or an e without digits behind it does not belong to the number, and what
 * follows is then in the wrong place. */
static int read_number(struct reader *r, struct wf_json_value *value)
{
    const char *first = r->in, *p = first;

    if (skip_word(r, "NaN") || skip_word(r, "Infinity") || skip_word(r, "-Infinity")) {
        value->type = WF_JSON_DOUBLE;
        p = r->in;
    } else {
        value->type = WF_JSON_INT;
        p += p < r->end && *p == '-';
        if (p < r->end && *p == '0')
            p++;
        else if (!skip_digits(&p, r->end))
            return fail(r, WF_EPARSE, "a value is expected");
        if (p < r->end && *p == '.') {
            const char *fraction = p + 1;
            if (skip_digits(&fraction, r->end)) {
                p = fraction;
                value->type = WF_JSON_DOUBLE;
            }
        }
        if (p < r->end && (*p == 'e' || *p == 'E')) {
            const char *exponent = p + 1;
            exponent += exponent < r->end && (*exponent == '-' || *exponent == '+');
            if (skip_digits(&exponent, r->end)) {
                p = exponent;
                value->type = WF_JSON_DOUBLE;
            }
        }
        r->in = p;
    }
    value->as.text = keep(r, first, (size_t)(p - first));
    value->len = (uint32_t)(p - first);
    return r->err;
}

static int push_value(struct reader *r, const struct wf_json_value *value)
{
    if (r->depth == 0) {
        r->json->root = *value;
        return 0;
    }
    if (r->spent + r->values.len + sizeof *value > r->bytes_max)
        return fail(r, -EMSGSIZE, "too many values for the memory it may take");
    int err = wfi_buffer_append(&r->values, value, sizeof *value);
    return err ? fail(r, err, NULL) : 0;
}

static int open_container(struct reader *r, bool object)
{
    if (r->depth == r->depth_max)
        return fail(r, WF_ETOOBIG, "nested too deep");
    struct frame frame = {r->values.len, r->key, r->key_len, object};
    int err = wfi_buffer_append(&r->open, &frame, sizeof frame);
    if (err)
        return fail(r, err, NULL);
    r->depth++;
    r->in++;
    return 0;
}

static struct frame *innermost(struct reader *r)
{
    return (struct frame *)(void *)(r->open.data + r->open.len - sizeof(struct frame));
}

/* Takes `values` as they are. They have been counted, and are from now on as spent. */
static const struct wf_json_value *take_values(struct reader *r)
{
    struct wfi_json_block *block = wfi_alloc(sizeof *block);
    const size_t bytes = r->values.len;
    if (!block) {
        fail(r, -ENOMEM, NULL);
        return NULL;
    }
    void *less = wfi_realloc(r->values.data, bytes); /* there was room for more */
    *block = (struct wfi_json_block){.values = less ? less : r->values.data};
    r->values = (struct wfi_buffer){0};
    struct wfi_json_block **to = &r->json->blocks;
    if (*to)
        to = &(*to)->next; /* the first one is being filled */
    block->next = *to;
    *to = block;
    r->spent += bytes;
    return block->values;
}

static const struct wf_json_value *keep_values(struct reader *r, size_t first_value, size_t bytes)
{
    if (first_value == 0 && bytes >= LARGE_BYTES)
        return take_values(r);
    struct wf_json_value *items = arena_alloc(r, bytes);
    if (items)
        memcpy(items, r->values.data + first_value, bytes);
    return items;
}

static int close_container(struct reader *r)
{
    const struct frame frame = *innermost(r);
    const size_t bytes = r->values.len - frame.first_value;
    struct wf_json_value value = {
        .type = frame.object ? WF_JSON_OBJECT : WF_JSON_ARRAY,
        .key = frame.key,
        .key_len = frame.key_len,
        .len = (uint32_t)(bytes / sizeof value),
    };
    if (bytes > 0) {
        value.as.items = keep_values(r, frame.first_value, bytes);
        if (!value.as.items)
            return r->err;
    }
    r->values.len = frame.first_value;
    r->open.len -= sizeof frame;
    r->depth--;
    r->in++;
    return push_value(r, &value);
}

static int read_key(struct reader *r)
{
    if (!skip_byte(r, '"'))
        return fail(r, WF_EPARSE, "a key in double quotes is expected");
    r->key = read_string(r, &r->key_len);
    if (!r->key)
        return r->err;
    skip_space(r);
    if (!skip_byte(r, ':'))
        return fail(r, WF_EPARSE, "a ':' is expected");
    skip_space(r);
    return 0;
}

/* Reads a value that holds no others. */
static int read_leaf(struct reader *r)
{
    struct wf_json_value value = {.key = r->key, .key_len = r->key_len};

    if (skip_byte(r, '"')) {
        value.type = WF_JSON_STRING;
        value.as.text = read_string(r, &value.len);
    } else if (skip_word(r, "true")) {
        value.type = WF_JSON_BOOL;
        value.as.boolean = true;
    } else if (skip_word(r, "false")) {
        value.type = WF_JSON_BOOL;
    } else if (skip_word(r, "null")) {
        value.type = WF_JSON_NULL;
    } else {
        read_number(r, &value);
    }
    return r->err ? r->err : push_value(r, &value);
}

/* Stands where a value begins: reads it, and for an array or object only its opening and, in an
 * object, the first key. *ret_more: whether a value begins where it then stands. */
static int read_value(struct reader *r, bool *ret_more)
{
    *ret_more = false;
    const char c = r->in < r->end ? *r->in : 0;
    if (c != '{' && c != '[')
        return read_leaf(r);
    int err = open_container(r, c == '{');
    if (err)
        return err;
    skip_space(r);
    r->key = NULL;
    r->key_len = 0;
    if (r->in < r->end && *r->in == (c == '{' ? '}' : ']'))
        return close_container(r);
    *ret_more = true;
    return c == '{' ? read_key(r) : 0;
}

/* Stands behind a value of an open array or object: closes it, or goes on to its next value. */
static int read_behind(struct reader *r, bool *ret_more)
{
    const bool object = innermost(r)->object;

    *ret_more = false;
    skip_space(r);
    if (r->in < r->end && *r->in == (object ? '}' : ']'))
        return close_container(r);
    if (!skip_byte(r, ','))
        return fail(r, WF_EPARSE, object ? "a ',' or '}' is expected" : "a ',' or ']' is expected");
    skip_space(r);
    *ret_more = true;
    r->key = NULL;
    r->key_len = 0;
    return object ? read_key(r) : 0;
}

static int read_text(struct reader *r)
{
    bool more = true;
    int err = 0;

    skip_word(r, "\xef\xbb\xbf");
    skip_space(r);
    while (!err && more) {
        err = read_value(r, &more);
        while (!err && !more && r->depth > 0)
            err = read_behind(r, &more);
    }
    if (err)
        return err;
    skip_space(r);
    return r->in == r->end ? 0 : fail(r, WF_EPARSE, "the text goes on behind the value");
}

static int report(const struct reader *r, struct wf_error *err)
{
    if (!r->expected)
        return wf_error_set(err, r->err, NULL);
    size_t line = 1, column = 1;
    for (const char *p = r->text; p < r->in; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*p & 0xc0) != 0x80) {
            column++;
        }
    }
    return wf_error_set(err, r->err, "JSON: %s (line %zu, column %zu)%s", r->expected, line, column,
                        r->in == r->end ? ": the text ends here" : "");
}

int wf_json_read(const char *text, size_t len, const struct wf_json_options *options,
                 struct wf_json **ret_json, struct wf_error *reterr)
{
    if (len >= UINT32_MAX)
        return wf_error_set(reterr, WF_ETOOBIG, "JSON: the text has 4 GiB or more");
    if (!len)
        text = ""; /* it may be NULL, to which nothing can be added */
    struct reader r = {.text = text, .in = text, .end = text + len};
    r.depth_max = options && options->depth_max ? options->depth_max : DEPTH_MAX;
    r.bytes_max = options && options->bytes_max ? options->bytes_max : SIZE_MAX;
    r.json = wfi_zalloc(sizeof *r.json);
    if (!r.json)
        return wf_error_set(reterr, -ENOMEM, NULL);

    int err = read_text(&r);
    wfi_buffer_reset(&r.values);
    wfi_buffer_reset(&r.open);
    if (err) {
        wf_json_destroy(r.json);
        return report(&r, reterr);
    }
    *ret_json = r.json;
    return 0;
}

void wf_json_destroy(struct wf_json *json)
{
    if (!json)
        return;
    for (struct wfi_json_block *block = json->blocks; block;) {
        struct wfi_json_block *next = block->next;
        wfi_free(block->values);
        wfi_free(block);
        block = next;
    }
    wfi_free(json);
}

const struct wf_json_value *wf_json_root(const struct wf_json *json)
{
    return &json->root;
}

enum wf_json_type wf_json_type(const struct wf_json_value *value)
{
    return value ? value->type : WF_JSON_NULL;
}

size_t wf_json_count(const struct wf_json_value *value)
{
    const enum wf_json_type type = wf_json_type(value);
    return type == WF_JSON_ARRAY || type == WF_JSON_OBJECT ? value->len : 0;
}

const struct wf_json_value *wf_json_at(const struct wf_json_value *value, size_t index)
{
    return index < wf_json_count(value) ? &value->as.items[index] : NULL;
}

const struct wf_json_value *wf_json_get(const struct wf_json_value *value, const char *key)
{
    if (wf_json_type(value) != WF_JSON_OBJECT)
        return NULL;
    const size_t len = strlen(key);
    for (size_t i = value->len; i-- > 0;) {
        const struct wf_json_value *item = &value->as.items[i];
        if (item->key_len == len && memcmp(item->key, key, len) == 0)
            return item;
    }
    return NULL;
}

const char *wf_json_key(const struct wf_json_value *value, size_t *ret_len)
{
    if (!value || !value->key)
        return NULL;
    if (ret_len)
        *ret_len = value->key_len;
    return value->key;
}

const char *wf_json_text(const struct wf_json_value *value, size_t *ret_len)
{
    const enum wf_json_type type = wf_json_type(value);
    if (type != WF_JSON_STRING && type != WF_JSON_INT && type != WF_JSON_DOUBLE)
        return NULL;
    if (ret_len)
        *ret_len = value->len;
    return value->as.text;
}

int wf_json_bool(const struct wf_json_value *value, bool *ret)
{
    if (wf_json_type(value) != WF_JSON_BOOL)
        return -EINVAL;
    *ret = value->as.boolean;
    return 0;
}

int wf_json_int(const struct wf_json_value *value, int64_t *ret)
{
    if (wf_json_type(value) != WF_JSON_INT)
        return -EINVAL;
    const bool negative = value->as.text[0] == '-';
    /* Downwards, because INT64_MIN has no positive partner. */
    int64_t number = 0;
    for (const char *p = value->as.text + negative; *p; p++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_sub_overflow(number, *p - '0', &number))
            return -ERANGE;
    if (!negative && __builtin_sub_overflow(0, number, &number))
        return -ERANGE;
    *ret = number;
    return 0;
}

int wf_json_double(const struct wf_json_value *value, double *ret)
{
    const enum wf_json_type type = wf_json_type(value);
    if (type != WF_JSON_INT && type != WF_JSON_DOUBLE)
        return -EINVAL;
    *ret = wfi_double_read(value->as.text, value->len);
    return 0;
}
