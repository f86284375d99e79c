/* SPDX-License-Identifier: MIT */
/*
 * The tokenizer. Each test gives a page and its events, written one a line:
 *   <name a="value">  </name>  "text"  <!--comment-->  <!doctype text>
 * with '/' before the last '>' for self-closing and '!' behind it for cut. check() feeds the page
 * in every way.
 */
#include <weft/html.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "web/html_feed_test.h"

static struct guarded guarded;
static struct wfi_random rng;

struct log {
    struct wfi_buffer out;
    bool in_text;
};

static void end_text(struct log *log)
{
    if (log->in_text)
        assert_int_equal(wfi_buffer_append_text(&log->out, "\"\n"), 0);
    log->in_text = false;
}

static int on_event(void *arg, const struct wf_html_event *e)
{
    struct log *log = arg;
    struct wfi_buffer *out = &log->out;
    int err = 0;
    if (e->kind == WF_HTML_TEXT) {
        /* Where a text is divided is nobody's business. */
        assert_true(e->text_len > 0);
        if (!log->in_text)
            err = wfi_buffer_append_byte(out, '"');
        log->in_text = true;
        return err ? err : wfi_buffer_append(out, e->text, e->text_len);
    }
    end_text(log);
    switch (e->kind) {
    case WF_HTML_START:
        err |= wfi_buffer_printf(out, "<%.*s", (int)e->name_len, e->name);
        assert_int_equal(e->name[e->name_len], '\0');
        for (size_t i = 0; i < e->attr_count; i++) {
            err |= wfi_buffer_printf(out, " %s=\"", e->attrs[i].name);
            assert_int_equal(strlen(e->attrs[i].name), e->attrs[i].name_len);
            err |= wfi_buffer_append(out, e->attrs[i].value, e->attrs[i].value_len);
            assert_int_equal(e->attrs[i].value[e->attrs[i].value_len], '\0');
            err |= wfi_buffer_append_text(out, "\"");
        }
        err |= wfi_buffer_append_text(out, e->self_closing ? "/>" : ">");
        break;
    case WF_HTML_END:
        err |= wfi_buffer_printf(out, "</%.*s>", (int)e->name_len, e->name);
        break;
    case WF_HTML_COMMENT:
        err |= wfi_buffer_append_text(out, "<!--");
        err |= wfi_buffer_append(out, e->text, e->text_len);
        err |= wfi_buffer_append_text(out, "-->");
        break;
    case WF_HTML_DOCTYPE:
        err |= wfi_buffer_append_text(out, "<!doctype ");
        err |= wfi_buffer_append(out, e->text, e->text_len);
        err |= wfi_buffer_append_text(out, ">");
        break;
    case WF_HTML_TEXT:
        break;
    }
    err |= wfi_buffer_append_text(out, e->cut ? "!\n" : "\n");
    return err;
}

static int feed(void *to, const void *piece, size_t len)
{
    return wf_html_feed(to, piece, len);
}

/* The events of a page, fed one way; to be freed with wfi_buffer_reset. */
static struct wfi_buffer events(struct wf_html *html, struct log *log, const char *content_type,
                                const void *page, size_t len, enum feed_way way)
{
    memset(log, 0, sizeof *log);
    wf_html_reset(html, content_type);
    assert_int_equal(feed_pieces(&guarded, &rng, way, page, len, feed, html), 0);
    assert_int_equal(wf_html_finish(html), 0);
    end_text(log);
    assert_non_null(wfi_buffer_text(&log->out));
    return log->out;
}

static void check_with(size_t token_bytes_max, const char *content_type, const void *page,
                       size_t len, const char *expected, size_t expected_len)
{
    struct log log;
    struct wf_html *html;
    struct wf_html_options options = {
        .on_event = on_event, .arg = &log, .token_bytes_max = token_bytes_max};
    assert_int_equal(wf_html_create(&options, &html, NULL), 0);
    for (int i = 0; i < 12; i++) {
        enum feed_way way = i == 0 ? FEED_WHOLE : i == 1 ? FEED_BYTES : FEED_RANDOM;
        struct wfi_buffer got = events(html, &log, content_type, page, len, way);
        if (got.len != expected_len || memcmp(got.data, expected, got.len) != 0) {
            print_error("way %d of: %.*s\ngot:\n%s\nexpected:\n%s\n", way,
                        (int)(len < 2000 ? len : 0), (const char *)page, got.data, expected);
            fail();
        }
        wfi_buffer_reset(&got);
    }
    /* And in two, cut at every place. */
    for (size_t cut = 0; cut <= len && len <= 1200; cut++) {
        memset(&log, 0, sizeof log);
        wf_html_reset(html, content_type);
        assert_int_equal(wf_html_feed(html, guarded_place(&guarded, page, cut), cut), 0);
        const uint8_t *rest = (const uint8_t *)page + cut;
        assert_int_equal(wf_html_feed(html, guarded_place(&guarded, rest, len - cut), len - cut),
                         0);
        assert_int_equal(wf_html_finish(html), 0);
        end_text(&log);
        const char *got = wfi_buffer_text(&log.out);
        if (log.out.len != expected_len || memcmp(got, expected, expected_len) != 0)
            fail_msg("cut at %zu of: %.*s\ngot:\n%s\nexpected:\n%s", cut, (int)len,
                     (const char *)page, got, expected);
        wfi_buffer_reset(&log.out);
    }
    wf_html_destroy(html);
}

/* Both are string literals: NULs may be in them. */
#define check(page, expected) \
    check_with(0, NULL, page, sizeof(page) - 1, expected, sizeof(expected) - 1)

static void tags_and_text(void **state)
{
    (void)state;
    check("", "");
    check("text", "\"text\"\n");
    check("<p>one</p>two", "<p>\n\"one\"\n</p>\n\"two\"\n");
    check("<DIV><Br/><custom-element2></ClassName>",
          "<div>\n<br/>\n<custom-element2>\n</classname>\n");
    check("<blockquote><figcaption><plaintex>", "<blockquote>\n<figcaption>\n<plaintex>\n");
    check("<a\n>\t</a\f><b/ >", "<a>\n\"\t\"\n</a>\n<b>\n");
    /* Attributes of an end tag are read over. */
    check("</p x='>' y=\">\">z", "</p>\n\"z\"\n");
    check("<!DOCTYPE html><!doctype\nhtml PUBLIC \"x\">",
          "<!doctype html>\n<!doctype html PUBLIC \"x\">\n");
}

static void what_only_looks_like_a_tag(void **state)
{
    (void)state;
    check("a < b <3 <= <", "\"a < b <3 <= <\"\n");
    check("x</", "\"x</\"\n");
    check("x</>y", "\"xy\"\n");
    check("x</3>y", "\"x\"\n<!--3-->\n\"y\"\n");
    check("<?xml version='1'?><!x><!>", "<!--?xml version='1'?-->\n<!--x-->\n<!---->\n");
    check("<![CDATA[x]]>", "<!--[CDATA[x]]-->\n");
    /* A tag that the end cuts off is nothing. */
    check("x<a href=y", "\"x\"\n");
    check("x<a href='y", "\"x\"\n");
    check("x<ab", "\"x\"\n");
}

static void attributes_of_every_form(void **state)
{
    (void)state;
    check("<a b c=d e='f g' h=\"i>j\">", "<a b=\"\" c=\"d\" e=\"f g\" h=\"i>j\">\n");
    check("<a b = c d= 'e' f\n=\n\"g\">", "<a b=\"c\" d=\"e\" f=\"g\">\n");
    check("<a b=''c=\"\"d>", "<a b=\"\" c=\"\" d=\"\">\n");
    check("<a href=x/y/>z", "<a href=\"x/y/\">\n\"z\"\n");
    check("<a B=1 b=2 c=3 C=4>", "<a b=\"1\" c=\"3\">\n");
    check("<a =b=c>", "<a =b=\"c\">\n");
    check("<a b=>c", "<a b=\"\">\n\"c\"\n");
    check("<a b=c=\"d\" e>", "<a b=\"c=\"d\"\" e=\"\">\n");
    check("<a 'b' \"c\">", "<a 'b'=\"\" \"c\"=\"\">\n");
    check("<a / b //c/>", "<a b=\"\" c=\"\"/>\n");
}

static void references_are_decoded(void **state)
{
    (void)state;
    check("a&amp;b&lt;&gt;&quot;&nbsp;", "\"a&b<>\"\xc2\xa0\"\n");
    check("&copy &copy; &copyx &notin; &notit; &not", "\"\xc2\xa9 \xc2\xa9 \xc2\xa9x \xe2\x88\x89 "
                                                      "\xc2\xacit; \xc2\xac\"\n");
    check("&NotEqualTilde;&nosuch;&;& &", "\"\xe2\x89\x82\xcc\xb8&nosuch;&;& &\"\n");
    /* In attributes a legacy name before a letter, digit or '=' is text. */
    check("<a b='?x=1&copy=2&copy&amp=3&copy;&copy'>",
          "<a b=\"?x=1&copy=2\xc2\xa9&amp=3\xc2\xa9\xc2\xa9\">\n");
    check("<a b='&copyx' c='&copy='>", "<a b=\"&copyx\" c=\"&copy=\">\n");
    check("<a b=&lt;&#65;c>", "<a b=\"<Ac\">\n");
    check("&#65;&#x42;&#X43&#68 &#x;&#;&#", "\"ABCD &#x;&#;&#\"\n");
    check("&#0;&#xd800;&#x110000;&#99999999999;",
          "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"\n");
    check("&#128;&#x99;&#x81;&#x1f600;", "\"\xe2\x82\xac\xe2\x84\xa2\xc2\x81\xf0\x9f\x98\x80\"\n");
    /* Longer than any reference is held back for: text. */
    check("&#0000000000000000000000000000000000000000000000000000000000000065;",
          "\"&#0000000000000000000000000000000000000000000000000000000000000065;\"\n");
}

static void bytes_become_utf8(void **state)
{
    (void)state;
    check("a\r\nb\rc\n", "\"a\nb\nc\n\"\n");
    check("a\0b", "\"a\xef\xbf\xbd"
                  "b\"\n");
    check("\xef\xbb\xbfx", "\"x\"\n");
    check("\xe4\xbd\xa0\xe5\xa5\xbd", "\"\xe4\xbd\xa0\xe5\xa5\xbd\"\n");
    /* One U+FFFD for each longest piece that could have begun a character. */
    check("\xff\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"\n");
    check("\xe4\xbdx\xf0\x9f\x98", "\"\xef\xbf\xbdx\xef\xbf\xbd\"\n");
    check("\xe0\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"\n");
    check("\xf0\x80\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"\n");
    check("\xed\xa0\x80\xf4\x90\x80\x80",
          "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
          "\xef\xbf\xbd\xef\xbf\xbd\"\n");
    check("<a b=\xff c\xff=\0>", "<a b=\"\xef\xbf\xbd\" c\xef\xbf\xbd=\"\xef\xbf\xbd\">\n");
}

static void comments(void **state)
{
    (void)state;
    check("<!-- a > b -- c -->x", "<!-- a > b -- c -->\n\"x\"\n");
    check("<!-->x<!--->y<!---->z", "<!---->\n\"x\"\n<!---->\n\"y\"\n<!---->\n\"z\"\n");
    check("<!--a--!>x<!--b--->", "<!--a-->\n\"x\"\n<!--b--->\n");
    check("<!--a", "<!--a-->\n");
    check("<!--a--", "<!--a-->\n");
    check("<!-a-->x", "<!---a---->\n\"x\"\n");
}

static void raw_text_of_some_elements(void **state)
{
    (void)state;
    check("<script>a<b</c></script >x", "<script>\n\"a<b</c>\"\n</script>\n\"x\"\n");
    check("<style>p > a{}</styles></STYLE/>", "<style>\n\"p > a{}</styles>\"\n</style>\n");
    check("<title>a&amp;<b></title>", "<title>\n\"a&<b>\"\n</title>\n");
    check("<textarea>&lt;</textare></textarea>", "<textarea>\n\"<</textare>\"\n</textarea>\n");
    check(
        "<xmp>&lt;</xmp><iframe><a></iframe><noembed></noembed><noframes><b></noframes>",
        "<xmp>\n\"&lt;\"\n</xmp>\n<iframe>\n\"<a>\"\n</iframe>\n<noembed>\n</noembed>\n<noframes>\n"
        "\"<b>\"\n</noframes>\n");
    check("<plaintext></plaintext><a>", "<plaintext>\n\"</plaintext><a>\"\n");
    check("<script>x", "<script>\n\"x\"\n");
    check("<script>x</scrip", "<script>\n\"x</scrip\"\n");
    check("<noscript><a></noscript>", "<noscript>\n<a>\n</noscript>\n");
}

static void scripts_inside_comments_of_scripts(void **state)
{
    (void)state;
    check("<script><!-- </script>x", "<script>\n\"<!-- \"\n</script>\n\"x\"\n");
    check("<script><!-- <script></script> --></script>x",
          "<script>\n\"<!-- <script></script> -->\"\n</script>\n\"x\"\n");
    check("<script><!--><script></script>x", "<script>\n\"<!--><script>\"\n</script>\n\"x\"\n");
    check("<script><!-- <scripty> </script>x", "<script>\n\"<!-- <scripty> \"\n</script>\n\"x\"\n");
    check("<script><!-- <script> --></script>x",
          "<script>\n\"<!-- <script> -->\"\n</script>\n\"x\"\n");
}

static void svg_has_no_raw_text(void **state)
{
    (void)state;
    check("<svg><title><b></title><path/></svg><title><b></title>",
          "<svg>\n<title>\n<b>\n</title>\n<path/>\n</svg>\n<title>\n\"<b>\"\n</title>\n");
    check("<svg><style><a></style><![CDATA[<b>&amp;]]></svg>",
          "<svg>\n<style>\n<a>\n</style>\n\"<b>&amp;\"\n</svg>\n");
    check("<svg/><style><a></style>", "<svg/>\n<style>\n\"<a>\"\n</style>\n");
    check("<svg><div><style><a></style>", "<svg>\n<div>\n<style>\n\"<a>\"\n</style>\n");
}

#define check_undeclared(page, expected) \
    check_with(0, NULL, page, sizeof(page) - 1, expected, sizeof(expected) - 1)
#define check_as(content_type, page, expected) \
    check_with(0, content_type, page, sizeof(page) - 1, expected, sizeof(expected) - 1)

static void charset_declared_by_the_server(void **state)
{
    (void)state;
    check_as("text/html; charset=iso-8859-1", "\xe9\x80", "\"\xc3\xa9\xe2\x82\xac\"\n");
    check_as("text/html;charset=\"GBK\"", "\xc4\xe3\xba\xc3", "\"\xe4\xbd\xa0\xe5\xa5\xbd\"\n");
    check_as("text/html; charset=Shift_JIS ; x", "\x93\xfa\x96{", "\"\xe6\x97\xa5\xe6\x9c\xac\"\n");
    check_as("text/html; charset=koi8-r", "\xc1", "\"\xd0\xb0\"\n");
    check_as("text/html; charset=no-such", "\xc3\xa9", "\"\xc3\xa9\"\n");
    check_as("text/html; charset=utf-7", "+ADw-", "\"+ADw-\"\n");
    /* What the charset has not becomes U+FFFD, also at the end. */
    check_as("text/html; charset=gbk",
             "a\xff"
             "b\xc4",
             "\"a\xef\xbf\xbd"
             "b\xef\xbf\xbd\"\n");
    /* The server's word counts more than the page's. */
    check_as("text/html; charset=utf-8", "<meta charset=gbk>\xc3\xa9",
             "<meta charset=\"gbk\">\n\"\xc3\xa9\"\n");
}

static void charset_declared_by_the_page(void **state)
{
    (void)state;
    check_undeclared("<meta charset=gbk>\xc4\xe3", "<meta charset=\"gbk\">\n\"\xe4\xbd\xa0\"\n");
    check_undeclared("<!-- <meta charset=gbk> --><META CHARSET='latin1'>\xe9",
                     "<!-- <meta charset=gbk> -->\n<meta charset=\"latin1\">\n\"\xc3\xa9\"\n");
    check_undeclared("<meta content='text/html; charset=gbk' http-equiv=Content-Type>\xc4\xe3",
                     "<meta content=\"text/html; charset=gbk\" "
                     "http-equiv=\"Content-Type\">\n\"\xe4\xbd\xa0\"\n");
    check_undeclared("<meta content='text/html; charset=gbk'>\xc3\xa9",
                     "<meta content=\"text/html; charset=gbk\">\n\"\xc3\xa9\"\n");
    check_undeclared("<meta charset=utf-16>\xc3\xa9", "<meta charset=\"utf-16\">\n\"\xc3\xa9\"\n");
    /* A byte order mark counts more than all. */
    check_as("text/html; charset=gbk", "\xef\xbb\xbf\xc3\xa9", "\"\xc3\xa9\"\n");
    check_undeclared("\xff\xfe<\0b\0>\0\xe9\0\x3d\xd8\0\xde",
                     "<b>\n\"\xc3\xa9\xf0\x9f\x98\x80\"\n");
    check_undeclared("\xfe\xff\0<\0b\0>\xd8\0\0x", "<b>\n\"\xef\xbf\xbdx\"\n");
}

static void charset_of_long_pages(void **state)
{
    (void)state;
    /* Longer than what is converted at a time, with characters across every border. */
    struct wfi_buffer page = {0}, expected = {0};
    assert_int_equal(wfi_buffer_append_text(&page, "<meta charset=gbk>"), 0);
    assert_int_equal(wfi_buffer_append_text(&expected, "<meta charset=\"gbk\">\n\""), 0);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(wfi_buffer_append_text(&page, i % 7 ? "\xc4\xe3" : "a"), 0);
        assert_int_equal(wfi_buffer_append_text(&expected, i % 7 ? "\xe4\xbd\xa0" : "a"), 0);
    }
    assert_int_equal(wfi_buffer_append_text(&expected, "\"\n"), 0);
    check_with(0, NULL, page.data, page.len, expected.data, expected.len);
    wfi_buffer_reset(&page);
    wfi_buffer_reset(&expected);
}

/* `n` times `c` between two texts; to be reset. */
static struct wfi_buffer filled(const char *before, char c, size_t n, const char *after)
{
    struct wfi_buffer b = {0};
    assert_int_equal(wfi_buffer_append_text(&b, before), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(wfi_buffer_append_byte(&b, c), 0);
    assert_int_equal(wfi_buffer_append_text(&b, after), 0);
    return b;
}

static void check_filled(const char *before, char c, size_t n, const char *after,
                         const char *expected_before, size_t expected_n, const char *expected_after)
{
    struct wfi_buffer page = filled(before, c, n, after);
    struct wfi_buffer expected = filled(expected_before, c, expected_n, expected_after);
    check_with(128, "charset=utf-8", page.data, page.len, expected.data, expected.len);
    wfi_buffer_reset(&page);
    wfi_buffer_reset(&expected);
}

static void long_tokens_are_cut(void **state)
{
    (void)state;
    /* token_bytes_max is 128 here. Exactly so long a tag is whole. */
    check_filled("<a b=\"", 'x', 120, "\">y", "<a b=\"", 120, "\">\n\"y\"\n");
    check_filled("<a b=\"", 'x', 1000, "\" c='>'>y</a>", "<a b=\"", 122, "\">!\n\"y\"\n</a>\n");
    check_filled("<a b=", 'x', 1000, " d>y", "<a b=\"", 123, "\">!\n\"y\"\n");
    check_filled("<a b=\"", 'x', 1000, "", "<a b=\"", 122, "\">!\n");
    check_filled("<", 'x', 1000, ">y", "<", 127, ">!\n\"y\"\n");
    check_filled("</", 'x', 1000, " b='>'>y", "</", 126, ">!\n\"y\"\n");
    check_filled("<!--", 'x', 1000, "-->y", "<!--", 124, "-->!\n\"y\"\n");
    check_filled("<!--", '-', 1000, ">y", "<!--", 124, "-->!\n\"y\"\n");
    check_filled("<!doctype ", 'x', 1000, ">y", "<!doctype ", 118, ">!\n\"y\"\n");
    check_filled("<title a='", 'x', 1000, "'><b></title>", "<title a=\"", 118,
                 "\">!\n\"<b>\"\n</title>\n");
    /* The end of a comment lies across the cut. */
    check_filled("<!--", 'x', 121, "-->y", "<!--", 121, "-->\n\"y\"\n");
    check_filled("<!--", 'x', 122, "-->y", "<!--", 122, "---->!\n\"y\"\n");
    check_filled("<!--", 'x', 122, "--!>y", "<!--", 122, "---->!\n\"y\"\n");
    check_filled("<!--", 'x', 123, "-->y", "<!--", 123, "--->!\n\"y\"\n");
    /* Text is never cut. */
    check_filled("", 'x', 100000, "", "\"", 100000, "\"\n");
    check_filled("&", 'x', 100000, "", "\"&", 100000, "\"\n");
}

static void attributes_beyond_256_are_left_out(void **state)
{
    (void)state;
    struct wfi_buffer page = {0}, expected = {0};
    assert_int_equal(wfi_buffer_append_text(&page, "<a"), 0);
    assert_int_equal(wfi_buffer_append_text(&expected, "<a"), 0);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(wfi_buffer_printf(&page, " a%d", i), 0);
        if (i < 256)
            assert_int_equal(wfi_buffer_printf(&expected, " a%d=\"\"", i), 0);
    }
    assert_int_equal(wfi_buffer_append_text(&page, ">x"), 0);
    assert_int_equal(wfi_buffer_append_text(&expected, ">!\n\"x\"\n"), 0);
    check_with(0, NULL, page.data, page.len, expected.data, expected.len);
    wfi_buffer_reset(&page);
    wfi_buffer_reset(&expected);
}

static void any_bytes_give_the_same_events_in_any_pieces(void **state)
{
    (void)state;
    static const char *const words[] = {
        "<",           ">",
        "</",          "<!--",
        "-->",         "--!>",
        "<!",          "<?",
        "=",           "\"",
        "'",           "/",
        " ",           "\n",
        "\r",          "a",
        "<a ",         "</a>",
        "<script>",    "</script>",
        "<title>",     "</title>",
        "<svg>",       "</svg>",
        "&",           "&amp",
        "&am",         "p;",
        ";",           "&#",
        "x41",         "65",
        "\xe4",        "\xbd",
        "\xa0",        "\xff",
        "<![CDATA[",   "]]>",
        "]",           "<style",
        "b=",          "c='d'",
        "<!doctype ",  "-",
        "<plaintext>", "<meta charset=gbk>",
        "\xc4\xe3",    "<textarea>",
        "</textarea",  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    };
    struct wfi_buffer page = {0};
    for (int round = 0; round < 400; round++) {
        wfi_buffer_clear(&page);
        uint64_t n = wfi_random_below(&rng, 80);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t w = wfi_random_below(&rng, sizeof words / sizeof *words + 1);
            if (w == sizeof words / sizeof *words)
                assert_int_equal(wfi_buffer_append_byte(&page, (char)wfi_random_next(&rng)), 0);
            else
                assert_int_equal(wfi_buffer_append_text(&page, words[w]), 0);
        }
        struct log log;
        struct wf_html *html;
        struct wf_html_options options = {
            .on_event = on_event, .arg = &log, .token_bytes_max = 128};
        assert_int_equal(wf_html_create(&options, &html, NULL), 0);
        struct wfi_buffer whole =
            events(html, &log, "charset=utf-8", page.data ? page.data : "", page.len, FEED_WHOLE);
        wf_html_destroy(html);
        check_with(128, "charset=utf-8", page.data ? page.data : "", page.len, whole.data,
                   whole.len);
        wfi_buffer_reset(&whole);
    }
    wfi_buffer_reset(&page);
}

static int stop_at_third(void *arg, const struct wf_html_event *e)
{
    (void)e;
    return ++*(int *)arg == 3 ? 42 : 0;
}

static void on_event_can_end_the_parsing(void **state)
{
    (void)state;
    int count = 0;
    struct wf_html *html;
    assert_int_equal(
        wf_html_create(&(struct wf_html_options){.on_event = stop_at_third, .arg = &count}, &html,
                       NULL),
        0);
    assert_int_equal(wf_html_feed(html, "<a><b><c><d>", 12), 0); /* held back for the charset */
    assert_int_equal(wf_html_finish(html), 42);
    wf_html_reset(html, "charset=utf-8");
    count = 0;
    assert_int_equal(wf_html_feed(html, "<a><b><c><d>", 12), 42);
    assert_int_equal(count, 3);
    assert_int_equal(wf_html_feed(html, "<e>", 3), 42);
    assert_int_equal(wf_html_finish(html), 42);
    wf_html_reset(html, NULL);
    assert_int_equal(wf_html_feed(html, "<a>", 3), 0);
    assert_int_equal(wf_html_finish(html), 0);
    assert_int_equal(wf_html_feed(html, "<a>", 3), WF_ESTATE);
    assert_int_equal(wf_html_finish(html), WF_ESTATE);
    wf_html_destroy(html);
    wf_html_destroy(NULL);

    struct wf_error err;
    assert_int_equal(wf_html_create(&(struct wf_html_options){0}, &html, &err), -EINVAL);
    assert_int_equal(err.code, -EINVAL);
}

static int ignore(void *arg, const struct wf_html_event *e)
{
    (void)arg;
    (void)e;
    return 0;
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    static const char page[] = "<meta charset=gbk><p class='a&amp;b'>x\xc4\xe3</p><a href=";
    for (uint64_t n = 1;; n++) {
        struct wf_html *html = NULL;
        wfi_alloc_watch(n);
        int err = wf_html_create(&(struct wf_html_options){.on_event = ignore}, &html, NULL);
        if (!err)
            err = wf_html_feed(html, page, sizeof page - 1);
        if (!err)
            err = wf_html_finish(html);
        wf_html_destroy(html);
        assert_int_equal(wfi_alloc_live(), 0);
        if (!wfi_alloc_unwatch()) {
            assert_int_equal(err, 0);
            assert_true(n > 3);
            break;
        }
        assert_int_equal(err, -ENOMEM);
    }
}

int main(void)
{
    guarded = guarded_create();
    wfi_random_seed(&rng, feed_seed());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_and_text),
        cmocka_unit_test(what_only_looks_like_a_tag),
        cmocka_unit_test(attributes_of_every_form),
        cmocka_unit_test(references_are_decoded),
        cmocka_unit_test(bytes_become_utf8),
        cmocka_unit_test(comments),
        cmocka_unit_test(raw_text_of_some_elements),
        cmocka_unit_test(scripts_inside_comments_of_scripts),
        cmocka_unit_test(svg_has_no_raw_text),
        cmocka_unit_test(charset_declared_by_the_server),
        cmocka_unit_test(charset_declared_by_the_page),
        cmocka_unit_test(charset_of_long_pages),
        cmocka_unit_test(long_tokens_are_cut),
        cmocka_unit_test(attributes_beyond_256_are_left_out),
        cmocka_unit_test(any_bytes_give_the_same_events_in_any_pieces),
        cmocka_unit_test(on_event_can_end_the_parsing),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    guarded_destroy(&guarded);
    return failed;
}
