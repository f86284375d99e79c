/* SPDX-License-Identifier: MIT */
/*
 * The extractor: a page and what is taken out of it, written one item a line:
 *   title=...  base=...  link=...  0=...  (the value of selector 0)
 * in this order, and told (on_item) in the order of completion. Fed in every way.
 */
#include <weft/extract.h>

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

enum { SELECTORS_MAX = 4 };

struct setup {
    const char *content_type;
    size_t token_bytes_max;
    const char *selectors[SELECTORS_MAX];
    bool no_links;
};

static struct wf_css *compiled[SELECTORS_MAX];

static struct wf_extract *create(const struct setup *setup, wf_extract_fn on_item, void *arg)
{
    size_t n = 0;
    for (; n < SELECTORS_MAX && setup->selectors[n]; n++)
        assert_int_equal(wf_css_compile(setup->selectors[n], &compiled[n], NULL, NULL), 0);
    struct wf_extract *x;
    struct wf_extract_options options = {
        .selectors = (const struct wf_css *const *)compiled,
        .selector_count = n,
        .no_links = setup->no_links,
        .on_item = on_item,
        .arg = arg,
        .token_bytes_max = setup->token_bytes_max,
    };
    assert_int_equal(wf_extract_create(&options, &x, NULL), 0);
    return x;
}

static void destroy(struct wf_extract *x)
{
    wf_extract_destroy(x);
    for (size_t i = 0; i < SELECTORS_MAX; i++) {
        wf_css_destroy(compiled[i]);
        compiled[i] = NULL;
    }
}

static void put(struct wfi_buffer *out, const char *name, const char *text, size_t len)
{
    assert_int_equal(wfi_buffer_append_text(out, name), 0);
    assert_int_equal(wfi_buffer_append_byte(out, '='), 0);
    assert_int_equal(wfi_buffer_append(out, text, len), 0);
    assert_int_equal(wfi_buffer_append_byte(out, '\n'), 0);
}

static int feed(void *to, const void *piece, size_t len)
{
    return wf_extract_feed(to, piece, len);
}

static void read_items(const struct wf_extract *x, struct wfi_buffer *out)
{
    size_t len;
    const char *text = wf_extract_title(x, &len);
    assert_int_equal(text[len], '\0');
    if (len)
        put(out, "title", text, len);
    text = wf_extract_base(x, &len);
    if (text)
        put(out, "base", text, len);
    for (size_t i = 0; i < wf_extract_link_count(x); i++) {
        text = wf_extract_link(x, i, &len);
        assert_int_equal(text[len], '\0');
        put(out, "link", text, len);
    }
    assert_null(wf_extract_link(x, wf_extract_link_count(x), NULL));
    for (size_t f = 0; f < SELECTORS_MAX; f++) {
        char name[2] = {(char)('0' + f), '\0'};
        for (size_t i = 0; i < wf_extract_value_count(x, f); i++) {
            text = wf_extract_value(x, f, i, &len);
            put(out, name, text, len);
        }
        assert_null(wf_extract_value(x, f, wf_extract_value_count(x, f), NULL));
    }
}

static int on_item(void *arg, const struct wf_extract_item *item)
{
    char name[8];
    static const char *const kinds[] = {"title", "base", "link"};
    snprintf(name, sizeof name, "%s", item->kind < WF_EXTRACT_VALUE ? kinds[item->kind] : "");
    if (item->kind == WF_EXTRACT_VALUE)
        snprintf(name, sizeof name, "%zu", item->field);
    put(arg, name, item->text, item->len);
    return 0;
}

static void check_with(const struct setup *setup, bool told, const char *page, size_t len,
                       const char *expected)
{
    struct wfi_buffer out = {0};
    struct wf_extract *x = create(setup, told ? on_item : NULL, &out);
    for (int i = 0; i < 8; i++) {
        enum feed_way way = i == 0 ? FEED_WHOLE : i == 1 ? FEED_BYTES : FEED_RANDOM;
        wfi_buffer_clear(&out);
        /* Declared, or all of a short page would be held back to look for a charset. */
        wf_extract_reset(x, setup->content_type ? setup->content_type : "charset=utf-8");
        assert_int_equal(feed_pieces(&guarded, &rng, way, page, len, feed, x), 0);
        assert_int_equal(wf_extract_finish(x), 0);
        read_items(x, &out);
        if (strcmp(wfi_buffer_text(&out), expected) != 0)
            fail_msg("way %d of %s\ngot:\n%s\nexpected:\n%s", way, page, wfi_buffer_text(&out),
                     expected);
    }
    wfi_buffer_reset(&out);
    destroy(x);
}

static void check(const char *page, const char *expected)
{
    check_with(&(struct setup){0}, false, page, strlen(page), expected);
}

static void check_select(const char *page, const char *selector, const char *expected)
{
    struct setup setup = {.selectors = {selector}, .no_links = true};
    check_with(&setup, false, page, strlen(page), expected);
}

static void title_is_the_first_collapsed_and_trimmed(void **state)
{
    (void)state;
    check("<title>\n A &amp;  <b>\tB\r\n</title><title>C</title>", "title=A & <b> B\n");
    check("<title></title><title>C</title>", "");
    check("<TITLE>x</Title>", "title=x\n");
    check("<svg><title>no</title></svg><title>yes</title>", "title=yes\n");
    check("<title>not closed <a href=x>", "title=not closed <a href=x>\n");
    check("<!-- <title>no</title> --><script>'<title>no</title>'</script>", "");
    check("no title", "");
    /* Only the five spaces of HTML are spaces. */
    check("<title>&nbsp;a&#x3000;</title>", "title=\xc2\xa0"
                                            "a\xe3\x80\x80\n");
}

static void links_in_the_order_of_the_page_as_written(void **state)
{
    (void)state;
    check("<a href=b>1</a><area href='c d'><A HREF=\" e&amp;f \">2</a><a name=g><link href=h><a "
          "href=''>",
          "link=b\nlink=c d\nlink= e&f \nlink=\n");
    check("<a href=b>1</a><!-- <a href=no> --><script>'<a href=no>'</script><a href=b>2",
          "link=b\nlink=b\n");
    check("<a href=a href=b><a data-href=c>", "link=a\n");
    check("<base href=x><base target=y><base href=z><a href=a>", "base=x\nlink=a\n");
    check("<base target=y><base href=''>", "base=\n");
    check("<a href=\"x>y\">z<a href=x/><a href", "link=x>y\nlink=x/\n");
}

static void links_can_be_left_out(void **state)
{
    (void)state;
    struct setup setup = {.no_links = true, .selectors = {"a@href"}};
    const char *page = "<title>t</title><base href=b><a href=x>";
    check_with(&setup, false, page, strlen(page), "title=t\nbase=b\n0=x\n");
}

static void text_of_elements(void **state)
{
    (void)state;
    check_select("<p>a <b>b</b>\n\n c</p><p>  </p><p></p>", "p", "0=a b c\n0=\n0=\n");
    check_select("<div>a<p>b</p><p>c</p></div>", "div", "0=abc\n");
    check_select("<div> a <!-- no --> <br> &lt;b&gt; </div>", "div", "0=a <b>\n");
    check_select("<div>x<img alt=y>z</div>", "img", "0=\n");
    check_select("<p>one<p>two", "p", "0=one\n0=two\n");
    check_select("<p>x", "p", "0=x\n");
    check_select("<p>x<a", "p", "0=x\n");
    check_select("a<p>b</p>c", "p", "0=b\n");
    check_select("<p>a&amp", "p", "0=a&\n");
}

static void nested_elements_each_have_their_text(void **state)
{
    (void)state;
    check_select("<div>a <div> b </div> c</div>", "div", "0=a b c\n0=b\n");
    check_select("<b>a<div>b</b>c</div>d", "b", "0=ab\n");
    check_select("<b>a<div>b</b>c</div>d", "div", "0=bc\n");
    check_select("<b><div><i>x</b>y</i>z</div>", "i", "0=xy\n");
    check_select("<ul><li>1<ul><li>2</ul><li>3</ul>", "li", "0=12\n0=2\n0=3\n");
}

static void hidden_text_belongs_to_its_own_element_only(void **state)
{
    (void)state;
    const char *page = "<div>a<script> b(); </script>c<style>d</style><iframe>e</iframe></div>";
    check_select(page, "div", "0=ac\n");
    check_select(page, "script", "0=b();\n");
    check_select(page, "style, iframe", "0=d\n0=e\n");
    check_select("<div><textarea> &lt;t </textarea><title>u</title></div>", "div",
                 "title=u\n0=<t u\n");
    check_select("<script type='application/ld+json'>{\"a\": \"<b>\"}</script>",
                 "script[type='application/ld+json']", "0={\"a\": \"<b>\"}\n");
}

static void attributes_of_elements(void **state)
{
    (void)state;
    check_select("<a href=x class=c><a class=c><a href='&#65;&copy=1' class=c>", "a.c@href",
                 "0=x\n0=A&copy=1\n");
    check_select("<img SRC=1><img src='  2 '>", "img@src", "0=1\n0=  2 \n");
    check_select("<p id=a><p id>", "p@id", "0=a\n0=\n");
}

static void several_selectors_at_once(void **state)
{
    (void)state;
    struct setup setup = {.selectors = {"article h2", "article h2 > a@href", ".date", "b, em"}};
    const char *page = "<title>T</title><article><h2><a href=/1>One</a></h2><i class=date>1.1.</i>"
                       "<b>x</b></article><article><h2><a href=/2>Two <em>2</em></a></h2></article>"
                       "<h2><a href=/3>No</a></h2>";
    check_with(
        &setup, false, page, strlen(page),
        "title=T\nlink=/1\nlink=/2\nlink=/3\n0=One\n0=Two 2\n1=/1\n1=/2\n2=1.1.\n3=x\n3=2\n");
    check_with(
        &setup, true, page, strlen(page),
        "title=T\nlink=/1\n1=/1\n0=One\n2=1.1.\n3=x\nlink=/2\n1=/2\n3=2\n0=Two 2\nlink=/3\n");
}

static void told_items_end_with_the_page(void **state)
{
    (void)state;
    struct setup setup = {.selectors = {"p", "p b"}};
    const char *page = "<base href=/><p>a <b>b</b> <b>c";
    check_with(&setup, true, page, strlen(page), "base=/\n1=b\n1=c\n0=a b c\n");
    page = "<title> x ";
    check_with(&setup, true, page, strlen(page), "title=x\n");
}

static void charset_of_the_page(void **state)
{
    (void)state;
    struct setup setup = {.content_type = "text/html; charset=GB2312", .selectors = {"p"}};
    const char *page = "<title>\xc4\xe3</title><p>\xba\xc3</p>";
    check_with(&setup, false, page, strlen(page), "title=\xe4\xbd\xa0\n0=\xe5\xa5\xbd\n");
    struct wf_extract *x = create(&setup, NULL, NULL);
    assert_string_equal(wf_extract_charset(x), "UTF-8");
    wf_extract_reset(x, setup.content_type);
    assert_int_equal(wf_extract_feed(x, page, strlen(page)), 0);
    assert_int_equal(wf_extract_finish(x), 0);
    assert_string_equal(wf_extract_charset(x), "GB18030");
    destroy(x);
}

static void a_long_title_is_cut_between_characters(void **state)
{
    (void)state;
    struct wfi_buffer page = {0}, expected = {0};
    assert_int_equal(wfi_buffer_append_text(&page, "<title>x"), 0);
    assert_int_equal(wfi_buffer_append_text(&expected, "title=x"), 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(wfi_buffer_append_text(&page, "\xe4\xbd\xa0"), 0);
        if (i < 42) /* 1 + 42 * 3 is 127, the next would pass 128 */
            assert_int_equal(wfi_buffer_append_text(&expected, "\xe4\xbd\xa0"), 0);
    }
    assert_int_equal(wfi_buffer_append_text(&page, "</title><a href=l>"), 0);
    assert_int_equal(wfi_buffer_append_text(&expected, "\nlink=l\n"), 0);
    struct setup setup = {.token_bytes_max = 128};
    check_with(&setup, false, page.data, page.len, wfi_buffer_text(&expected));
    wfi_buffer_reset(&page);
    wfi_buffer_reset(&expected);
}

/* Linear in time: a second would be far more than enough for what quadratic code takes minutes for.
 */
static void hostile_pages_are_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *before, *repeat, *after;
        int count;
    } rows[] = {
        {"", "<div>", "", 100000},
        {"<div><div>", "</li>", "", 200000},
        {"", "<b><p>", "", 100000},
        {"", "<a href=x>", "", 100000},
        {"<ul>", "<li><b>", "</ul>", 100000},
        {"<a ", "b=c ", ">", 200000},
        {"<a b='", "<", "", 3000000},
        {"", "<!--", "", 500000},
        {"", "</", "", 500000},
        {"", "&am", "", 500000},
        {"<script><!--", "<script ", "", 100000},
        {"<svg>", "<g>", "</g></svg>", 100000},
        {"<svg>", "</g>", "", 200000},
        {"<table>", "<tr><td><table>", "", 50000},
        {"<title>", "</titl", "", 300000},
    };
    struct setup setup = {.selectors = {"div b", "* > a", "p", "li"}};
    struct wf_extract *x = create(&setup, NULL, NULL);
    struct wfi_buffer page = {0};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        wfi_buffer_clear(&page);
        assert_int_equal(wfi_buffer_append_text(&page, rows[r].before), 0);
        for (int i = 0; i < rows[r].count; i++)
            assert_int_equal(wfi_buffer_append_text(&page, rows[r].repeat), 0);
        assert_int_equal(wfi_buffer_append_text(&page, rows[r].after), 0);
        wf_extract_reset(x, "text/html; charset=utf-8");
        for (size_t at = 0; at < page.len; at += 1448) /* as a TCP segment */
            assert_int_equal(
                wf_extract_feed(x, page.data + at, page.len - at < 1448 ? page.len - at : 1448), 0);
        assert_int_equal(wf_extract_finish(x), 0);
    }
    /* Byte by byte, a token of a million: looked at again for each byte it would take an hour. */
    wf_extract_reset(x, "charset=utf-8");
    assert_int_equal(wf_extract_feed(x, "<a href=y", 9), 0);
    for (int i = 0; i < 1000000; i++)
        assert_int_equal(wf_extract_feed(x, &" b=c"[i % 4], 1), 0);
    assert_int_equal(wf_extract_feed(x, ">", 1), 0);
    assert_int_equal(wf_extract_finish(x), 0);
    assert_int_equal(wf_extract_link_count(x), 1);
    wfi_buffer_reset(&page);
    destroy(x);
}

/* The pages of a crawl are alike, so after the first the memory is there. */
static void a_page_like_the_last_needs_no_memory(void **state)
{
    (void)state;
    struct setup setup = {.selectors = {"div > a", "a@href", "p b"}};
    const char *page =
        "<title>a &amp; b</title><div><a href='x&amp;y'>link &lt; <b>text</b></a></div>"
        "<p>some <b>b\xc3\xa9</b>";
    struct wf_extract *x = create(&setup, NULL, NULL);
    for (int i = 0; i < 3; i++) {
        wfi_alloc_watch(i == 0 ? 0 : 1);
        wf_extract_reset(x, NULL);
        assert_int_equal(wf_extract_feed(x, page, 20), 0);
        assert_int_equal(wf_extract_feed(x, page + 20, strlen(page) - 20), 0);
        assert_int_equal(wf_extract_finish(x), 0);
        assert_false(wfi_alloc_unwatch());
    }
    destroy(x);
}

static int stop_at_second(void *arg, const struct wf_extract_item *item)
{
    (void)item;
    return ++*(int *)arg == 2 ? 7 : 0;
}

static void on_item_can_end_the_parsing(void **state)
{
    (void)state;
    static const struct {
        const char *page, *selector;
    } rows[] = {
        {"<a href=1><a href=2><a href=3>", "p"},
        {"<p>1<p>2<p>3", "p"},
        {"<p>1<b>2</b>", "p, b"},
        {"<img><img><img>", "img"},
        {"<b id=1 id=2><b id=3>", "b@id"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int count = 0;
        struct setup setup = {.selectors = {rows[i].selector}};
        struct wf_extract *x = create(&setup, stop_at_second, &count);
        int err = wf_extract_feed(x, rows[i].page, strlen(rows[i].page));
        assert_int_equal(err, 0); /* held back for the charset */
        assert_int_equal(wf_extract_finish(x), 7);
        assert_int_equal(wf_extract_finish(x), 7);
        assert_int_equal(wf_extract_feed(x, "<p>", 3), 7);
        assert_int_equal(count, 2);
        wf_extract_reset(x, NULL);
        assert_int_equal(wf_extract_finish(x), 0);
        assert_int_equal(wf_extract_finish(x), WF_ESTATE);
        assert_int_equal(wf_extract_feed(x, "<p>", 3), WF_ESTATE);
        destroy(x);
    }
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    const char *page =
        "<title>a&amp;b</title><base href=c><a href='x'>t<b class='&lt;'>&copy;</b></a>"
        "<script>s</script><div id=d><p";
    const char *selectors[] = {"a b", "a@href", "script, .x", "div"};
    struct wf_css *css[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(wf_css_compile(selectors[i], &css[i], NULL, NULL), 0);
    struct wf_extract_options options = {.selectors = (const struct wf_css *const *)css,
                                         .selector_count = 4};
    for (uint64_t n = 1;; n++) {
        struct wf_extract *x = NULL;
        wfi_alloc_watch(n);
        int err = wf_extract_create(&options, &x, NULL);
        for (int round = 0; !err && round < 2; round++) {
            wf_extract_reset(x, NULL);
            err = wf_extract_feed(x, page, strlen(page));
            if (!err)
                err = wf_extract_finish(x);
        }
        wf_extract_destroy(x);
        assert_int_equal(wfi_alloc_live(), 0);
        if (!wfi_alloc_unwatch()) {
            assert_int_equal(err, 0);
            assert_true(n > 12);
            break;
        }
        assert_int_equal(err, -ENOMEM);
    }
    for (size_t i = 0; i < 4; i++)
        wf_css_destroy(css[i]);
}

int main(void)
{
    guarded = guarded_create();
    wfi_random_seed(&rng, feed_seed());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(title_is_the_first_collapsed_and_trimmed),
        cmocka_unit_test(links_in_the_order_of_the_page_as_written),
        cmocka_unit_test(links_can_be_left_out),
        cmocka_unit_test(text_of_elements),
        cmocka_unit_test(nested_elements_each_have_their_text),
        cmocka_unit_test(hidden_text_belongs_to_its_own_element_only),
        cmocka_unit_test(attributes_of_elements),
        cmocka_unit_test(several_selectors_at_once),
        cmocka_unit_test(told_items_end_with_the_page),
        cmocka_unit_test(charset_of_the_page),
        cmocka_unit_test(a_long_title_is_cut_between_characters),
        cmocka_unit_test(hostile_pages_are_bounded),
        cmocka_unit_test(a_page_like_the_last_needs_no_memory),
        cmocka_unit_test(on_item_can_end_the_parsing),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    guarded_destroy(&guarded);
    return failed;
}
