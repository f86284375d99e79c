/* SPDX-License-Identifier: MIT */
/*
 * Character references and UTF-8, one at a time and before a guard page.
 */
#include "web/entity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "web/entity_fixture.h"
#include "web/html_feed_test.h"
#include "web/html_text.h"

static struct guarded guarded;

/* Python's html.unescape is the oracle: every legacy name, every tenth of the rest, names run into
 * others, names cut short, numbers. */
static void references_decode_as_in_python(void **state)
{
    (void)state;
    struct wfi_buffer out = {0};
    for (size_t i = 0; i < sizeof entity_fixture / sizeof *entity_fixture; i++) {
        const char *text = entity_fixture[i].text;
        const uint8_t *at = guarded_place(&guarded, text, strlen(text));
        wfi_buffer_clear(&out);
        assert_int_equal(wfi_html_text(&out, at, strlen(text), WFI_TEXT_REFS), 0);
        assert_string_equal(wfi_buffer_text(&out), entity_fixture[i].utf8);
    }
    wfi_buffer_reset(&out);
}

/* A reference is decided as soon as nothing that follows can change it, and not before. */
static void open_means_that_more_could_change_it(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool open;
    } rows[] = {{"&", true},      {"&a", true},      {"&am", true},    {"&amp", true},
                {"&amp;", false}, {"&amp ", false},  {"&ampx", false}, {"& ", false},
                {"&1", false},    {"&#", true},      {"&#x", true},    {"&#1", true},
                {"&#xf", true},   {"&#xg", false},   {"&#1;", false},  {"&#a", false},
                {"&notin", true}, {"&notinE", true}, {"&copy", true},  {"&zzz", false},
                {"&copy;", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t len = strlen(rows[i].text);
        const uint8_t *at = guarded_place(&guarded, rows[i].text, len);
        if (wfi_entity_open(at, len) != rows[i].open)
            fail_msg("%s", rows[i].text);
    }
}

static void holding_back_never_splits_a_reference_or_a_character(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t whole;
    } rows[] = {
        {"", 0},
        {"abc", 3},
        {"ab\r", 2},
        {"ab\r\n", 4},
        {"x&am", 1},
        {"x&am p", 6},
        {"x&#12", 1},
        {"x\xe4", 1},
        {"x\xe4\xbd", 1},
        {"x\xe4\xbd\xa0", 4},
        {"x\xf0\x9f\x98", 1},
        {"x\xff", 2},
        {"\x80\x80\x80", 3},
        {"x\xe4"
         "a",
         3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t len = strlen(rows[i].text);
        const uint8_t *at = guarded_place(&guarded, rows[i].text, len);
        if (wfi_html_text_whole(at, len, WFI_TEXT_REFS) != rows[i].whole)
            fail_msg("row %zu", i);
    }
}

/* Every code point makes one character that reads back as it was written; surrogates make U+FFFD.
 */
static void utf8_of_every_code_point(void **state)
{
    (void)state;
    for (uint32_t code = 1; code <= 0x110010; code++) {
        uint8_t utf8[4];
        size_t len = wfi_utf8_encode(code, utf8);
        const uint8_t *at = guarded_place(&guarded, utf8, len);
        assert_int_equal(wfi_utf8_next(at, len), len);
        bool none = (code >= 0xd800 && code < 0xe000) || code > 0x10ffff;
        if (none)
            assert_memory_equal(utf8, "\xef\xbf\xbd", 3);
        else
            assert_int_equal(len, code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4);
        /* Cut short it is the beginning of one. */
        for (size_t cut = 1; cut < len; cut++)
            assert_int_equal(wfi_utf8_next(guarded_place(&guarded, utf8, cut), cut), 0);
    }
}

int main(void)
{
    guarded = guarded_create();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_decode_as_in_python),
        cmocka_unit_test(open_means_that_more_could_change_it),
        cmocka_unit_test(holding_back_never_splits_a_reference_or_a_character),
        cmocka_unit_test(utf8_of_every_code_point),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    guarded_destroy(&guarded);
    return failed;
}
