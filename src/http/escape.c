/* SPDX-License-Identifier: MIT */
#include "http/escape.h"

#include <errno.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = wfi_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int wfi_escape_take(struct wfi_text *text, bool *ret_escaped)
{
    const bool escaped = *text->ptr == '%';
    int c = (unsigned char)*text->ptr;
    if (escaped) {
        const int high = text->len > 2 ? hex_digit(text->ptr[1]) : -1;
        const int low = text->len > 2 ? hex_digit(text->ptr[2]) : -1;
        if (high < 0 || low < 0)
            return -EINVAL;
        c = high * 16 + low;
    }
    if (c == 0)
        return -EINVAL;
    if (ret_escaped)
        *ret_escaped = escaped;
    text->ptr += escaped ? 3 : 1;
    text->len -= escaped ? 3 : 1;
    return c;
}

ssize_t wfi_unescape(struct wfi_text text, char *out, size_t size)
{
    size_t len = 0;
    while (text.len > 0) {
        const int c = wfi_escape_take(&text, NULL);
        if (c < 0)
            return c;
        if (len + 1 >= size)
            return -E2BIG;
        out[len++] = (char)c;
    }
    if (size == 0)
        return -E2BIG;
    out[len] = '\0';
    return (ssize_t)len;
}

bool wfi_path_is_plain(struct wfi_text path)
{
    if (path.len == 0 || *path.ptr != '/')
        return false;
    size_t len = 0, dots = 0; /* of the segment so far */
    bool escaped;
    while (path.len > 0) {
        const int c = wfi_escape_take(&path, &escaped);
        if (c < 0)
            return false;
        if (c == '/' && !escaped) {
            if (len == dots && (dots == 1 || dots == 2))
                return false;
            len = dots = 0;
        } else {
            len++;
            dots += c == '.';
        }
    }
    return !(len == dots && (dots == 1 || dots == 2));
}

/* Compares as far as the name goes. Returns whether it is the name of the parameter. */
static bool is_named(struct wfi_text name, const char *wanted)
{
    while (name.len > 0) {
        const bool plus = *name.ptr == '+';
        const int c = wfi_escape_take(&name, NULL);
        if (*wanted == '\0' || (plus ? ' ' : c) != (unsigned char)*wanted++)
            return false;
    }
    return *wanted == '\0';
}

static bool is_escaped_right(struct wfi_text text)
{
    while (text.len > 0)
        if (wfi_escape_take(&text, NULL) < 0)
            return false;
    return true;
}

ssize_t wfi_query_value(struct wfi_text query, const char *name, char *out, size_t size)
{
    while (query.len > 0) {
        const char *end = memchr(query.ptr, '&', query.len);
        const struct wfi_text item = {query.ptr, end ? (size_t)(end - query.ptr) : query.len};
        query.ptr += end ? item.len + 1 : item.len;
        query.len -= end ? item.len + 1 : item.len;
        if (!is_escaped_right(item))
            return -EINVAL;
        const char *equals = memchr(item.ptr, '=', item.len);
        const size_t name_len = equals ? (size_t)(equals - item.ptr) : item.len;
        if (item.len == 0 || !is_named((struct wfi_text){item.ptr, name_len}, name))
            continue;
        struct wfi_text value = {item.ptr + name_len, item.len - name_len};
        if (equals)
            value.ptr++, value.len--;
        size_t len = 0;
        while (value.len > 0) {
            const bool plus = *value.ptr == '+';
            const int c = wfi_escape_take(&value, NULL);
            if (len + 1 >= size)
                return -E2BIG;
            out[len++] = plus ? ' ' : (char)c;
        }
        if (size == 0)
            return -E2BIG;
        out[len] = '\0';
        return (ssize_t)len;
    }
    return -ENOENT;
}
