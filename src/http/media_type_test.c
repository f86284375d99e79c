/* SPDX-License-Identifier: MIT */
/* Content types: each suffix of the table is found, whatever its case. */
#include "http/media_type.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const char *type_of(const char *name)
{
    return wfi_media_type_of((struct wfi_text){name, strlen(name)})->type;
}

static void suffixes_name_types(void **state)
{
    (void)state;
    static const char *const known[][2] = {
        {"a.html", "text/html; charset=utf-8"},
        {"/x/y.z/INDEX.HTM", "text/html; charset=utf-8"},
        {"a.tar.gz", "application/gzip"},
        {"a.7z", "application/x-7z-compressed"},
        {"a.zst", "application/zstd"},
        {"a.c", "text/plain; charset=utf-8"},
        {"a.js", "text/javascript; charset=utf-8"},
        {"a.json", "application/json"},
        {"a.jsonl", "application/jsonl"},
        {"a.woff", "font/woff"},
        {"a.woff2", "font/woff2"},
        {"a.svg", "image/svg+xml"},
        {"..html", "text/html; charset=utf-8"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_string_equal(type_of(known[i][0]), known[i][1]);
}

static void others_are_bytes(void **state)
{
    (void)state;
    static const char *const others[] = {"",      "a",        "a.",      "html",
                                         ".html", "/a/.html", "a/b.c/d", "a.htmlx",
                                         "a.ht",  "a.html/",  "a.ht ml", "a.\xff"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_string_equal(type_of(others[i]), "application/octet-stream");
    assert_string_equal(wfi_media_type_of((struct wfi_text){"a.h\0\0\0", 6})->type,
                        "application/octet-stream");
    assert_string_equal(wfi_media_type_of((struct wfi_text){"a.html", 4})->type,
                        "application/octet-stream");
}

/* The search needs the table sorted. */
static void every_suffix_is_found(void **state)
{
    (void)state;
    assert_true(wfi_media_type_count > 50);
    for (size_t i = 0; i < wfi_media_type_count; i++) {
        char name[32];
        snprintf(name, sizeof name, "a.%s", wfi_media_types[i].suffix);
        assert_ptr_equal(wfi_media_type_of((struct wfi_text){name, strlen(name)}),
                         &wfi_media_types[i]);
    }
}

static void text_is_compressible(void **state)
{
    (void)state;
    static const char *const yes[] = {"text/html",
                                      "TEXT/x-whatever; charset=x",
                                      "application/json",
                                      "application/problem+json",
                                      "image/svg+xml",
                                      "application/wasm",
                                      " application/json ; a=b"};
    static const char *const no[] = {
        "",          "image/png",         "application/octet-stream",
        "text/",     "text/event-stream", "text/event-stream; charset=utf-8",
        "video/mp4", "application/gzip",  "json",
        ";"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        assert_true(wfi_media_type_is_compressible((struct wfi_text){yes[i], strlen(yes[i])}));
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        assert_false(wfi_media_type_is_compressible((struct wfi_text){no[i], strlen(no[i])}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(suffixes_name_types),
        cmocka_unit_test(others_are_bytes),
        cmocka_unit_test(every_suffix_is_found),
        cmocka_unit_test(text_is_compressible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
