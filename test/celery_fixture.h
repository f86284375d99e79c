/* SPDX-License-Identifier: MIT */
/*
 * For tests of what Celery writes and reads: the messages in test/celery/fixtures, captured from
 * Celery 5.2.6 and 5.6.2 on Redis 7.0 and RabbitMQ 3.10, one JSON object a line.
 */
#ifndef TEST_CELERY_FIXTURE_H
#define TEST_CELERY_FIXTURE_H

#include <weft/json.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The whole file, NUL-terminated, to be freed. */
static inline char *fixture_load(const char *name, size_t *ret_len)
{
    const char *root = getenv("MESON_SOURCE_ROOT");
    char path[1024];
    snprintf(path, sizeof path, "%s/test/celery/fixtures/%s", root ? root : ".", name);
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("%s cannot be opened", path);
    size_t len = 0, size = 1 << 16;
    char *text = malloc(size);
    for (size_t n; (n = fread(text + len, 1, size - len - 1, file)) > 0;) {
        len += n;
        if (size - len < 2)
            text = realloc(text, size *= 2);
    }
    fclose(file);
    text[len] = '\0';
    if (ret_len)
        *ret_len = len;
    return text;
}

static inline struct wf_json *fixture_parse(const char *text, size_t len)
{
    struct wf_json *json = NULL;
    struct wf_error err = {0};
    if (wf_json_read(text, len, NULL, &json, &err))
        fail_msg("%.*s: %s", (int)(len < 200 ? len : 200), text, err.text);
    return json;
}

/* Calls `each` for every line of the file. Returns how many there were. */
static inline int fixture_each(const char *name, void (*each)(const struct wf_json_value *line))
{
    char *text = fixture_load(name, NULL);
    int count = 0;
    for (char *at = text; *at; count++) {
        const size_t len = strcspn(at, "\n");
        struct wf_json *json = fixture_parse(at, len);
        each(wf_json_root(json));
        wf_json_destroy(json);
        at += len + (at[len] == '\n');
    }
    free(text);
    return count;
}

static inline const char *fixture_text(const struct wf_json_value *object, const char *key)
{
    const char *text = wf_json_text(wf_json_get(object, key), NULL);
    if (!text)
        fail_msg("the fixture has no text %s", key);
    return text;
}

/* A value as Python would write it, to be freed. */
static inline char *fixture_dump(const struct wf_json_value *value)
{
    struct wf_json_writer *w;
    const char *text;
    assert_int_equal(
        wf_json_writer_create(&(struct wf_json_writer_options){.ascii = true, .spaced = true}, &w),
        0);
    wf_json_write_value(w, value);
    assert_int_equal(wf_json_writer_text(w, &text, NULL), 0);
    char *copy = strdup(text);
    wf_json_writer_destroy(w);
    return copy;
}

#endif
