/* SPDX-License-Identifier: MIT */
/*
 * A piece of text inside of something larger: bytes and a length. Whether a NUL follows is said
 * where one is handed out. Case is ASCII's; the locale has no say.
 */
#ifndef WFI_HTTP_TEXT_H
#define WFI_HTTP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct wfi_text {
    const char *ptr;
    size_t len;
};

/* A literal as a text. */
#define WFI_TEXT(literal) ((struct wfi_text){(literal), sizeof(literal) - 1})

static inline char wfi_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static inline bool wfi_text_is(struct wfi_text text, const char *other)
{
    return strlen(other) == text.len && (text.len == 0 || memcmp(text.ptr, other, text.len) == 0);
}

static inline bool wfi_text_same_nocase(struct wfi_text a, struct wfi_text b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (wfi_lower(a.ptr[i]) != wfi_lower(b.ptr[i]))
            return false;
    return true;
}

static inline bool wfi_text_is_nocase(struct wfi_text text, const char *other)
{
    return wfi_text_same_nocase(text, (struct wfi_text){other, strlen(other)});
}

/* Without the spaces and tabs at both ends. */
static inline struct wfi_text wfi_text_trim(struct wfi_text text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t'))
        text.ptr++, text.len--;
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/*
 * Takes the next item of a list: what stands before the next `separator`, trimmed; empty items are
 * passed over. Returns false at the end.
 */
static inline bool wfi_text_item(struct wfi_text *rest, char separator, struct wfi_text *ret_item)
{
    while (rest->len > 0) {
        const char *end = memchr(rest->ptr, separator, rest->len);
        struct wfi_text item = {rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len};
        const size_t passed = end ? item.len + 1 : item.len;
        rest->ptr += passed;
        rest->len -= passed;
        item = wfi_text_trim(item);
        if (item.len > 0) {
            *ret_item = item;
            return true;
        }
    }
    return false;
}

#endif
