/* SPDX-License-Identifier: MIT */
#include "run/words.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void words_clear(struct words *w)
{
    w->len = w->count = 0;
    w->failed = false;
}

void words_fini(struct words *w)
{
    free(w->bytes);
    free(w->argv);
    *w = (struct words){0};
}

static bool reserve(struct words *w, size_t more)
{
    if (w->failed || more <= w->size - w->len)
        return !w->failed;
    size_t size = w->size ? w->size : 256;
    while (size - w->len < more)
        size *= 2;
    char *grown = realloc(w->bytes, size);
    if (!grown) {
        w->failed = true;
        return false;
    }
    w->bytes = grown;
    w->size = size;
    return true;
}

void words_put(struct words *w, const char *bytes, size_t len)
{
    if (len == 0 || !reserve(w, len))
        return;
    memcpy(w->bytes + w->len, bytes, len);
    w->len += len;
}

void words_puts(struct words *w, const char *text)
{
    words_put(w, text, strlen(text));
}

void words_printf(struct words *w, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof(text)) {
        w->failed = true;
        return;
    }
    words_put(w, text, (size_t)len);
}

/* What no shell gives a meaning to, in any place of a word. */
static bool is_bare(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-_.+/", c));
}

void words_quote(struct words *w, const char *text, size_t len)
{
    size_t bare = 0;
    while (bare < len && is_bare(text[bare]))
        bare++;
    if (bare == len) {
        words_put(w, len ? text : "''", len ? len : 2);
        return;
    }
    /* Stretches without a quote in single quotes, each quote in double ones. */
    for (size_t at = 0, end; at < len; at = end) {
        for (end = at; end < len && text[end] != '\'';)
            end++;
        if (end > at) {
            words_put(w, "'", 1);
            words_put(w, text + at, end - at);
            words_put(w, "'", 1);
        } else {
            /* Between two quotes parallel has an empty stretch; so logs can be compared. */
            bool second = at > 0 && text[at - 1] == '\'';
            words_puts(w, second ? "''\"'\"" : "\"'\"");
            end = at + 1;
        }
    }
}

void words_end(struct words *w)
{
    if (!reserve(w, 1))
        return;
    w->bytes[w->len++] = 0;
    w->count++;
}

void words_add(struct words *w, const char *bytes, size_t len)
{
    words_put(w, bytes, len);
    words_end(w);
}

char **words_argv(struct words *w)
{
    if (w->failed)
        return NULL;
    if (w->count + 1 > w->argv_size) {
        size_t size = w->argv_size ? w->argv_size : 16;
        while (size < w->count + 1)
            size *= 2;
        char **grown = realloc(w->argv, size * sizeof(*grown));
        if (!grown) {
            w->failed = true;
            return NULL;
        }
        w->argv = grown;
        w->argv_size = size;
    }
    char *at = w->bytes;
    for (size_t i = 0; i < w->count; i++) {
        w->argv[i] = at;
        at += strlen(at) + 1;
    }
    w->argv[w->count] = NULL;
    return w->argv;
}
