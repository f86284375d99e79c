/* SPDX-License-Identifier: MIT */
/*
 * Selectors: what parses, where and why others do not, and which elements of a page they select. In
 * pages every element that matters has an attribute `n`, and a test names the selected ones by it.
 */
#include <weft/css.h>
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

/* The attributes `n` of what `selector` selects in `page`, each followed by a space. */
static void check(const char *page, const char *selector, const char *expected)
{
    char text[256];
    struct wf_css *css;
    struct wf_error err;
    size_t at = 0;
    snprintf(text, sizeof text, "%s@n", selector);
    if (wf_css_compile(text, &css, &at, &err))
        fail_msg("%s: %zu: %s", selector, at, err.text);
    struct wf_extract *x;
    struct wf_extract_options options = {.selectors = (const struct wf_css *[]){css},
                                         .selector_count = 1};
    assert_int_equal(wf_extract_create(&options, &x, NULL), 0);
    for (enum feed_way way = FEED_WHOLE; way <= FEED_RANDOM; way++) {
        wf_extract_reset(x, "charset=utf-8");
        assert_int_equal(feed_pieces(&guarded, &rng, way, page, strlen(page),
                                     (int (*)(void *, const void *, size_t))wf_extract_feed, x),
                         0);
        assert_int_equal(wf_extract_finish(x), 0);
        struct wfi_buffer got = {0};
        for (size_t i = 0; i < wf_extract_value_count(x, 0); i++) {
            size_t len;
            const char *value = wf_extract_value(x, 0, i, &len);
            assert_int_equal(wfi_buffer_printf(&got, "%.*s ", (int)len, value), 0);
        }
        if (strcmp(wfi_buffer_text(&got), expected) != 0)
            fail_msg("%s in %s: got %s, expected %s", selector, page, wfi_buffer_text(&got),
                     expected);
        wfi_buffer_reset(&got);
    }
    wf_extract_destroy(x);
    wf_css_destroy(css);
}

static void types_match_in_any_case(void **state)
{
    (void)state;
    const char *page = "<P n=1><b N=2><my-Element n=3><blockquote n=4><blockquot n=5>";
    check(page, "p", "1 ");
    check(page, "B", "2 ");
    check(page, "MY-element", "3 ");
    check(page, "blockquote", "4 ");
    check(page, "*", "1 2 3 4 5 ");
    check(page, "blockquotes", "");
}

static void classes_ids_and_values_match_as_written(void **state)
{
    (void)state;
    const char *page = "<a n=1 class='x  y\tz'><a n=2 class=X id=i><a n=3 class=xy id=I><a n=4 "
                       "class><a n=5 class='a&amp;b' id='a b'><a n=6>";
    check(page, ".x", "1 ");
    check(page, ".z.x", "1 ");
    check(page, "a.y", "1 ");
    check(page, "b.y", "");
    check(page, "#i", "2 ");
    check(page, "a.X#i", "2 ");
    check(page, "#i.x", "");
    check(page, ".a\\&b", "5 ");
    check(page, "#a\\ b", "5 ");
    check(page, "#a", "");
}

static void attributes_match_by_every_operator(void **state)
{
    (void)state;
    const char *page =
        "<a n=1 v=''><a n=2 v=en><a n=3 v='en-GB'><a n=4 v='one en two'><a n=5 V='xenx'>"
        "<a n=6><a n=7 v=&lt;><a n=8 data-v=en>";
    check(page, "[v]", "1 2 3 4 5 7 ");
    check(page, "[V=en]", "2 ");
    check(page, "[ v = 'en' ]", "2 ");
    check(page, "[v=\"\"]", "1 ");
    check(page, "[v~=en]", "2 4 ");
    check(page, "[v|=en]", "2 3 ");
    check(page, "[v^=en]", "2 3 ");
    check(page, "[v$=en]", "2 ");
    check(page, "[v$='two']", "4 ");
    check(page, "[v*=en]", "2 3 4 5 ");
    check(page, "[v='<']", "7 ");
    check(page, "a[v*=n][v*=o]", "4 ");
    check(page, "[data-v]", "8 ");
    /* An empty value is in nothing. */
    check(page, "[v^='']", "");
    check(page, "[v$='']", "");
    check(page, "[v*='']", "");
    check(page, "[v~='']", "");
    check(page, "[v~='one en']", "");
    check(page, "[v|='']", "1 ");
    /* An attribute given twice counts as given first. */
    check("<a n=1 v=x v=y>", "[v=y]", "");
}

static void inside_and_directly_inside(void **state)
{
    (void)state;
    const char *page =
        "<div class=a n=1><p n=2><b n=3><i n=4></i></b></p></div><p n=5><i n=6></i></p>";
    check(page, "div i", "4 ");
    check(page, "div > p", "2 ");
    check(page, "div>p>b>i", "4 ");
    check(page, "div > i", "");
    check(page, "p i", "4 6 ");
    check(page, "p > i", "6 ");
    check(page, ".a b i", "4 ");
    check(page, "div p > b i", "4 ");
    check(page, "i div", "");
    check(page, "body > p", "5 ");
    check(page, "html > body > div", "1 ");
    check(page, "* > i", "4 6 ");
}

/* The nearest fitting ancestor need not be the right one: all must be tried. */
static void chains_try_every_ancestor(void **state)
{
    (void)state;
    const char *page = "<div class=a><div class=b><div class=b><span n=1></span></div></div></div>";
    check(page, ".a > .b span", "1 ");
    check(page, ".a > .b > span", "");
    check(page, ".a .b > .b > span", "1 ");
    check(page, "div div div span", "1 ");
    check(page, "div div div div span", "");
}

static void lists_select_an_element_once(void **state)
{
    (void)state;
    const char *page = "<p n=1 class=x></p><b n=2></b><i n=3></i>";
    check(page, "p, i", "1 3 ");
    check(page, "i ,p", "1 3 ");
    check(page, "p, .x, *", "1 2 3 ");
    check(page, "em p, b", "2 ");
}

static void more_than_64_compounds(void **state)
{
    (void)state;
    struct wfi_buffer page = {0}, selector = {0};
    for (int i = 0; i < 70; i++) {
        assert_int_equal(wfi_buffer_append_text(&page, "<div>"), 0);
        assert_int_equal(wfi_buffer_append_text(&selector, "* "), 0);
    }
    assert_int_equal(wfi_buffer_append_text(&page, "<b n=1>"), 0);
    assert_int_equal(wfi_buffer_append_text(&selector, "b"), 0);
    check(wfi_buffer_text(&page), wfi_buffer_text(&selector), "1 ");
    /* html, body and 70 divs: three more are too many. */
    assert_int_equal(wfi_buffer_append_text(&page, "<i>"), 0);
    wfi_buffer_clear(&selector);
    for (int i = 0; i < 73; i++)
        assert_int_equal(wfi_buffer_append_text(&selector, "* "), 0);
    assert_int_equal(wfi_buffer_append_text(&selector, "b"), 0);
    check(wfi_buffer_text(&page), wfi_buffer_text(&selector), "");
    wfi_buffer_reset(&page);
    wfi_buffer_reset(&selector);
}

static void end_tags_left_out(void **state)
{
    (void)state;
    check("<p n=1>a<p n=2>b<div n=3>c", "p p", "");
    check("<p n=1>a<p n=2>b<div n=3>c", "p div", "");
    check("<ul><li n=1>a<li n=2>b<ul><li n=3></ul><li n=4></ul><i n=5>", "li > ul > li", "3 ");
    check("<ul><li n=1>a<li n=2>b<ul><li n=3></ul><li n=4></ul><i n=5>", "body > ul > li",
          "1 2 4 ");
    check("<ul><li n=1>a<li n=2>b<ul><li n=3></ul><li n=4></ul><i n=5>", "body > i", "5 ");
    check("<li n=1><div><li n=2>", "li li", "");
    check("<dl><dt n=1>a<dd n=2>b<dt n=3>c</dl>", "dl > *", "1 2 3 ");
    check("<select><option n=1>a<option n=2>b<optgroup n=3><option n=4>c<optgroup n=5></select>",
          "select > *", "1 2 3 5 ");
    check("<table><tr n=1><td n=2>a<td n=3>b<tr n=4><th n=5>c<tbody n=6><tr n=7></table><i n=8>",
          "tr > *", "2 3 5 ");
    check("<table><tr n=1><td n=2>a<td n=3>b<tr n=4><th n=5>c<tbody n=6><tr n=7></table><i n=8>",
          "table > tbody > tr", "1 4 7 ");
    check("<table><tr n=1><td n=2>a<td n=3>b<tr n=4><th n=5>c<tbody n=6><tr n=7></table><i n=8>",
          "body > i", "8 ");
    check("<table><td><table><tr n=1><td></table><tr n=2></table>", "td tr", "1 ");
    check("<table><caption n=1>x<colgroup><col n=2><thead n=3><tr><th>y<tbody n=4></table>",
          "table > *", "1 3 4 ");
    check("<h1 n=1>a<h2 n=2>b</h3><i n=3>", "body > *", "1 2 3 ");
    check("<a n=1>x<a n=2>y", "a a", "");
    check("<ruby>a<rt n=1>b<rt n=2>c</ruby>", "ruby > rt", "1 2 ");
    check("<button n=1><button n=2>", "button button", "");
}

static void end_tags_gone_astray(void **state)
{
    (void)state;
    check("<div>a</p></b></span></br><i n=1>", "div > i", "1 ");
    check("<div><table><tr><td></div><i n=1>", "td > i", "1 ");
    check("<p><b><p n=1></b><i n=2></p><i n=3>", "p > i", "2 ");
    check("<span><div></span><i n=1>", "span > div > i", "1 ");
    check("<b><div></b><i n=1></div><i n=2>", "body > i", "2 ");
    check("<ul><li><ul></li><i n=1>", "ul ul > i", "1 ");
    check("<x-a><x-b></x-a><i n=1>", "body > i", "1 ");
    check("<div></body></html><i n=1>", "div > i", "1 ");
    check("<body n=1><body n=2><html n=3><head n=4><i n=5>", "*, a b", "1 5 ");
    check("<tr n=1><td n=2><p n=3>", "*, a b", "3 ");
    check("<template><tr n=1><td n=2></template>", "template > tr > td", "2 ");
    check("<form n=1><form n=2>", "form, a b", "1 ");
}

static void void_and_foreign_elements(void **state)
{
    (void)state;
    check("<br><img><input n=1><hr><i n=2>", "body > i", "2 ");
    check("<br><i n=1>", "br i", "");
    check("<div/><i n=1>", "div > i", "1 ");
    check("<svg><path n='1'/><g n=2><path n='3'/></g></svg><i n=4>", "svg > *", "1 2 ");
    check("<svg><path n='1'/><g n=2><path n='3'/></g></svg><i n=4>", "g path", "3 ");
    check("<svg><path n='1'/><g n=2><path n='3'/></g></svg><i n=4>", "body > i", "4 ");
    check("<svg><g><p n=1>", "svg p", "");
    check("<svg><a n=1></a><title n=2></title></svg></title><i n=3>", "svg > *", "1 2 ");
    check("<script n=1><i n=2></script>", "script, i", "1 ");
}

static void elements_that_are_there_without_tags(void **state)
{
    (void)state;
    check("<title n=1></title><p n=2>", "head > title", "1 ");
    check("<title n=1></title><p n=2>", "html > body > p", "2 ");
    check("<html><meta n=1><link n=2></head><p n=3>", "head > *", "1 2 ");
    check("<html n=0><head><p n=3>", "html > body > p", "3 ");
    check("<head><template><p n=1></template><meta n=2>", "head p", "1 ");
    check("<head><template><p n=1></template><meta n=2>", "head > meta", "2 ");
}

static void nesting_is_flattened_at_512(void **state)
{
    (void)state;
    struct wfi_buffer page = {0};
    for (int i = 0; i < 600; i++)
        assert_int_equal(wfi_buffer_append_text(&page, "<div>"), 0);
    assert_int_equal(wfi_buffer_append_text(&page, "<p><a n=1><b><i n=2>"), 0);
    check(wfi_buffer_text(&page), "div > a", "1 ");
    check(wfi_buffer_text(&page), "div > i", "2 ");
    check(wfi_buffer_text(&page), "a i", "");
    wfi_buffer_reset(&page);
}

static void what_does_not_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t at;
        const char *rule; /* a part of what is said */
    } rows[] = {
        {"", 0, "a selector is missing"},
        {"  ", 2, "a selector is missing"},
        {"a,", 2, "missing behind ','"},
        {",a", 0, "missing before ','"},
        {"a,,b", 2, "missing before ','"},
        {"a >", 3, "missing behind '>'"},
        {"> a", 0, "missing before '>'"},
        {"a > > b", 4, "missing before '>'"},
        {"a:hover", 1, "':'"},
        {"a ::before", 2, "':'"},
        {"a + b", 2, "sibling"},
        {"a~b", 1, "sibling"},
        {"svg|a", 3, "namespaces"},
        {"a.", 2, "class name is missing"},
        {"a. b", 2, "class name is missing"},
        {"#", 1, "id is missing"},
        {"#1", 1, "digit"},
        {".-1", 1, "digit"},
        {"[", 1, "attribute's name is missing"},
        {"a[b", 1, "not closed by ']'"},
        {"a[b=c", 1, "not closed by ']'"},
        {"a[b=]", 4, "value is missing"},
        {"a[b='c]", 4, "quote is not closed"},
        {"a[b=c d]", 6, "needs quotes"},
        {"a[b='c' i]", 8, "any case"},
        {"a[b!=c]", 3, "comes one of"},
        {"a[b ~ c]", 4, "comes one of"},
        {"[a]b", 3, "comes first"},
        {".a*", 2, "comes first"},
        {"a\\", 1, "backslash"},
        {"a@", 2, "behind '@'"},
        {"@b", 0, "before '@'"},
        {"a@b c", 4, "nothing may follow"},
        {"a@b@c", 3, "nothing may follow"},
        {"a{b}", 1, "cannot begin"},
        {"(", 0, "cannot begin"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct wf_css *css = NULL;
        struct wf_error err = {0};
        size_t at = 999, len = strlen(rows[i].text);
        const void *text = guarded_place(&guarded, rows[i].text, len + 1);
        int code = wf_css_compile(text, &css, &at, &err);
        if (code != WF_EPARSE || err.code != WF_EPARSE || css || at != rows[i].at ||
            !strstr(err.text, rows[i].rule))
            fail_msg("%s: code %d at %zu: %s", rows[i].text, code, at, err.text);
        assert_int_equal(wf_css_compile(text, &css, NULL, NULL), WF_EPARSE);
    }
}

static void attribute_behind_the_at_sign(void **state)
{
    (void)state;
    static const struct {
        const char *text, *attr;
    } rows[] = {
        {"a", NULL},
        {"a@HREF", "href"},
        {" a , b @data-x ", "data-x"},
        {"a@h\\72 ef", "href"},
        {"[b='@c']", NULL},
        {"[b=\"x]@\"]@c", "c"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct wf_css *css;
        assert_int_equal(wf_css_compile(rows[i].text, &css, NULL, NULL), 0);
        if (rows[i].attr)
            assert_string_equal(wf_css_attr(css), rows[i].attr);
        else
            assert_null(wf_css_attr(css));
        wf_css_destroy(css);
    }
    wf_css_destroy(NULL);
}

static void escapes_stand_for_characters(void **state)
{
    (void)state;
    const char *page =
        "<a n=1 class=12><a n=2 class=md:flex><a n=3 class='\xc3\xa9'><a n=4 id='\"'>";
    check(page, ".\\31 2", "1 ");
    check(page, ".\\0000312", "1 ");
    check(page, ".md\\:flex", "2 ");
    check(page, ".\xc3\xa9", "3 ");
    check(page, ".\\e9", "3 ");
    check(page, "[id='\\22 ']", "4 ");
    check(page, "[id='\\\"']", "4 ");
}

/* Whatever the text, compiling ends well or says at which byte of it not. */
static void any_text_parses_or_fails_inside_itself(void **state)
{
    (void)state;
    static const char some[] = "a1.#[]=~|^$*'\" >,@\\-_:\n\xc3\xa9(";
    for (int round = 0; round < 20000; round++) {
        char text[24];
        size_t len = wfi_random_below(&rng, sizeof text);
        for (size_t i = 0; i < len; i++)
            text[i] = some[wfi_random_below(&rng, sizeof some - 1)];
        if (len)
            text[len - 1] = '\0';
        size_t at = 999;
        struct wf_css *css = NULL;
        const char *placed = (const char *)guarded_place(&guarded, len ? text : "", len ? len : 1);
        int err = wf_css_compile(placed, &css, &at, NULL);
        if (err) {
            assert_int_equal(err, WF_EPARSE);
            assert_true(at <= strlen(placed));
        }
        wf_css_destroy(css);
    }
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct wf_css *css = NULL;
        wfi_alloc_watch(n);
        int err = wf_css_compile("a.b > c[d=e], f@g", &css, NULL, NULL);
        wf_css_destroy(css);
        assert_int_equal(wfi_alloc_live(), 0);
        if (!wfi_alloc_unwatch()) {
            assert_int_equal(err, 0);
            assert_int_equal(n, 5);
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
        cmocka_unit_test(types_match_in_any_case),
        cmocka_unit_test(classes_ids_and_values_match_as_written),
        cmocka_unit_test(attributes_match_by_every_operator),
        cmocka_unit_test(inside_and_directly_inside),
        cmocka_unit_test(chains_try_every_ancestor),
        cmocka_unit_test(lists_select_an_element_once),
        cmocka_unit_test(more_than_64_compounds),
        cmocka_unit_test(end_tags_left_out),
        cmocka_unit_test(end_tags_gone_astray),
        cmocka_unit_test(void_and_foreign_elements),
        cmocka_unit_test(elements_that_are_there_without_tags),
        cmocka_unit_test(nesting_is_flattened_at_512),
        cmocka_unit_test(what_does_not_parse),
        cmocka_unit_test(attribute_behind_the_at_sign),
        cmocka_unit_test(escapes_stand_for_characters),
        cmocka_unit_test(any_text_parses_or_fails_inside_itself),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    guarded_destroy(&guarded);
    return failed;
}
