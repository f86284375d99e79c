/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a page, fed whole and in pieces: the tokenizer's events and the extractor's items
 * must be the same, and valid UTF-8. The first byte of the input chooses charset, limits and
 * selectors, the second the pieces. Built with libFuzzer by `make fuzz`; src/web/html_fuzz_test.c
 * runs the same function on pages made at random.
 */
#include <weft/extract.h>
#include <weft/html.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What came out, written down. */
struct record {
    char *text;
    size_t len, size;
    bool in_text;
};

static void require(bool holds, const char *rule)
{
    if (holds)
        return;
    fprintf(stderr, "html_fuzz: does not hold: %s\n", rule);
    abort();
}

static void put(struct record *r, const char *text, size_t len)
{
    if (r->len + len > r->size) {
        r->size = 2 * (r->len + len) + 64;
        r->text = realloc(r->text, r->size);
        require(r->text != NULL, "there is memory");
    }
    if (len)
        memcpy(r->text + r->len, text, len);
    r->len += len;
}

static bool is_utf8(const char *text, size_t len)
{
    const uint8_t *p = (const uint8_t *)text;
    for (size_t i = 0; i < len;) {
        size_t n = p[i] < 0x80   ? 1
                   : p[i] < 0xc2 ? 0
                   : p[i] < 0xe0 ? 2
                   : p[i] < 0xf0 ? 3
                   : p[i] < 0xf5 ? 4
                                 : 0;
        if (n == 0 || i + n > len)
            return false;
        uint32_t code = n == 1 ? p[i] : p[i] & (0xffu >> (n + 1));
        for (size_t k = 1; k < n; k++) {
            if ((p[i + k] & 0xc0) != 0x80)
                return false;
            code = code << 6 | (p[i + k] & 0x3f);
        }
        if ((n == 3 && code < 0x800) || (n == 4 && code < 0x10000) || code > 0x10ffff ||
            (code >= 0xd800 && code < 0xe000))
            return false;
        i += n;
    }
    return true;
}

static void put_checked(struct record *r, const char *text, size_t len)
{
    require(is_utf8(text, len), "output is UTF-8");
    put(r, text, len);
    put(r, "\xff", 1); /* in no text: nothing runs into what follows */
}

static int on_event(void *arg, const struct wf_html_event *e)
{
    struct record *r = arg;
    char kind = (char)('0' + e->kind);
    if (e->kind == WF_HTML_TEXT) {
        require(e->text_len > 0, "no text is empty");
        require(is_utf8(e->text, e->text_len), "no piece ends within a character");
        if (!r->in_text)
            put(r, &kind, 1);
        r->in_text = true;
        put(r, e->text, e->text_len);
        return 0;
    }
    r->in_text = false;
    put(r, "\xff", 1);
    put(r, &kind, 1);
    put(r, e->cut ? "!" : ".", 1);
    put(r, e->self_closing ? "/" : ".", 1);
    put_checked(r, e->name ? e->name : "", e->name_len);
    put_checked(r, e->text ? e->text : "", e->text_len);
    for (size_t i = 0; i < e->attr_count; i++) {
        put_checked(r, e->attrs[i].name, e->attrs[i].name_len);
        put_checked(r, e->attrs[i].value, e->attrs[i].value_len);
        for (size_t k = 0; k < i; k++)
            require(strcmp(e->attrs[i].name, e->attrs[k].name) != 0 ||
                        strlen(e->attrs[i].name) != e->attrs[i].name_len,
                    "no attribute comes twice");
    }
    return 0;
}

static int on_item(void *arg, const struct wf_extract_item *item)
{
    char kind = (char)('0' + item->kind + 4 * item->field);
    put(arg, &kind, 1);
    put_checked(arg, item->text, item->len);
    return 0;
}

static int feed_html(void *to, const void *bytes, size_t len)
{
    return wf_html_feed(to, bytes, len);
}

static int feed_extract(void *to, const void *bytes, size_t len)
{
    return wf_extract_feed(to, bytes, len);
}

/* Each piece is in memory of its own size, so that the sanitizer sees a read beyond it. `most` 0:
 * one. */
static void feed_in(int (*to_feed)(void *to, const void *bytes, size_t len), void *to,
                    const uint8_t *data, size_t len, unsigned most)
{
    uint32_t state = most * 2654435761u + 1;
    while (len) {
        state = state * 1664525u + 1013904223u;
        size_t n = most ? state >> 8 : len;
        n = most ? n % most + 1 : n;
        n = n < len ? n : len;
        void *piece = malloc(n);
        require(piece != NULL, "there is memory");
        memcpy(piece, data, n);
        require(to_feed(to, piece, n) == 0, "feeding succeeds");
        free(piece);
        data += n;
        len -= n;
    }
}

static void same(const struct record *a, const struct record *b, const char *rule)
{
    require(a->len == b->len && (a->len == 0 || memcmp(a->text, b->text, a->len) == 0), rule);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char *const types[] = {NULL, "text/html; charset=utf-8", "charset=gbk",
                                        "charset=latin1"};
    static const char *const selectors[] = {"a.b > c, p@id", "div p", "*", "script, li [c]"};
    if (len < 2)
        return 0;
    const char *type = types[data[0] & 3];
    const size_t token_bytes_max = data[0] & 4 ? 128 : 0;
    const size_t selector_count = data[0] >> 3 & 3;
    const unsigned ways[] = {0, 1, data[1] % 61u + 2};
    data += 2;
    len -= 2;

    struct wf_css *css[4];
    for (size_t i = 0; i < selector_count; i++)
        require(wf_css_compile(selectors[i], &css[i], NULL, NULL) == 0, "the selectors compile");
    struct record events[3] = {{0}}, items[3] = {{0}};
    for (size_t way = 0; way < 3; way++) {
        struct wf_html *html;
        struct wf_html_options html_options = {.on_event = on_event,
                                               .arg = &events[way],
                                               .content_type = type,
                                               .token_bytes_max = token_bytes_max};
        require(wf_html_create(&html_options, &html, NULL) == 0, "there is memory");
        feed_in(feed_html, html, data, len, ways[way]);
        require(wf_html_finish(html) == 0, "finishing succeeds");
        wf_html_destroy(html);
        same(&events[0], &events[way], "events do not depend on the pieces");

        struct wf_extract *x;
        struct wf_extract_options options = {.selectors = (const struct wf_css *const *)css,
                                             .selector_count = selector_count,
                                             .on_item = on_item,
                                             .arg = &items[way],
                                             .token_bytes_max = token_bytes_max};
        require(wf_extract_create(&options, &x, NULL) == 0, "there is memory");
        wf_extract_reset(x, type);
        feed_in(feed_extract, x, data, len, ways[way]);
        require(wf_extract_finish(x) == 0, "finishing succeeds");
        wf_extract_destroy(x);
        same(&items[0], &items[way], "items do not depend on the pieces");
    }
    for (size_t way = 0; way < 3; way++) {
        free(events[way].text);
        free(items[way].text);
    }
    for (size_t i = 0; i < selector_count; i++)
        wf_css_destroy(css[i]);
    return 0;
}
