/* SPDX-License-Identifier: MIT */
/*
 * What taking a page apart costs: title and links, and besides them the value of a selector, of a
 * page of 70 KB and one of 10 KB, or of the files named as arguments; beside naive scans of the
 * same bytes:
 *
 *   tag scan      a byte at a time to '<', the tag's name, then to '>', where `href="` of an <a>
 * and the <title> are noted as they stand: no quotes, comments, scripts, references memchr scan
 * from '<' to '<', nothing else: no program that looks at the tags is faster
 *
 * Prints one line per figure: name value unit.
 */
#include <weft/extract.h>
#include <weft/time.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 9, TRY_BYTES = 40 * 1000 * 1000 };

/* Keeps the compiler from dropping the work. */
static volatile size_t sink;

static struct page {
    const char *name;
    char *text;
    size_t len;
} page;

static void put(const char *text)
{
    size_t len = strlen(text);
    memcpy(page.text + page.len, text, len);
    page.len += len;
}

/* A list of posts between a head with script and style and a foot: a tag every fifty bytes or so.
 */
static void generate(const char *name, size_t bytes)
{
    static const char *const words[] = {
        "thread", "of",    "the",  "queue", "worker", "waits", "\xe7\xba\xbf\xe7\xa8\x8b",
        "and",    "parks", "&amp;"};
    char line[1024];
    page.name = name;
    page.text = malloc(bytes + 4096);
    if (!page.text)
        abort();
    page.len = 0;
    put("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
        "<title>Posts &amp; pages</title><link rel=stylesheet href=\"/site.css\">\n"
        "<style>a { color: #06c } p > a { text-decoration: none }</style>\n"
        "<script>if (a < b) { document.title = '<b>'; }</script></head>\n"
        "<body class=\"home page\"><div id=\"main\"><!-- posts -->\n");
    for (unsigned i = 0; page.len < bytes; i++) {
        snprintf(line, sizeof line,
                 "<article class=\"post-item\" data-post-id=\"%u\">\n  <section "
                 "class=\"post-item-body\"><div class=\"post-item-text\">\n    <a class=\"%s\" "
                 "href=\"/p/%u.html?from=list&amp;n=%u\" target=\"_blank\">Post %u</a>\n"
                 "    <p class=summary><img src='/face/%u.png' class=\"avatar\" alt=\"\" />",
                 i, i % 3 ? "nav" : "post-item-title nav", i, i, i, i % 7);
        put(line);
        for (unsigned k = 0; k < 40; k++) {
            put(words[(i * 7 + k * 3) % (sizeof words / sizeof *words)]);
            put(k % 11 == 10 ? " <b>now</b> " : " ");
        }
        snprintf(line, sizeof line,
                 "</p>\n  </div><footer><a href=\"/u/%u\" class=\"author\"><span>u%u</span></a>\n"
                 "  <span class=\"meta\">2024-05-%02u</span><br/></footer></section></article>\n",
                 i % 13, i % 13, i % 28 + 1);
        put(line);
    }
    put("</div></body></html>\n");
}

static size_t tag_scan(const char *p, size_t len)
{
    const char *end = p + len, *title = NULL;
    size_t links = 0;
    while (p < end) {
        if (*p++ != '<')
            continue;
        const char *name = p;
        while (p < end && *p != ' ' && *p != '>')
            p++;
        size_t n = (size_t)(p - name);
        if (n == 5 && memcmp(name, "title", 5) == 0)
            title = p;
        int is_a = n == 1 && *name == 'a';
        while (p < end && *p != '>') {
            if (is_a && *p == 'h' && end - p > 6 && memcmp(p, "href=\"", 6) == 0)
                links++;
            p++;
        }
    }
    return links + (title != NULL);
}

static size_t memchr_scan(const char *p, size_t len)
{
    size_t tags = 0;
    for (const char *end = p + len; (p = memchr(p, '<', (size_t)(end - p))); p++)
        tags++;
    return tags;
}

static size_t extract(struct wf_extract *x, const char *p, size_t len)
{
    wf_extract_reset(x, "text/html; charset=utf-8");
    if (wf_extract_feed(x, p, len) || wf_extract_finish(x))
        abort();
    return wf_extract_link_count(x) + wf_extract_value_count(x, 0);
}

/* Microseconds for the page: the best of some tries, so that other work on the machine counts
 * little. */
static double measure(struct wf_extract *x, size_t (*scan)(const char *p, size_t len))
{
    size_t rounds = TRY_BYTES / TRIES / page.len + 1;
    int64_t best = INT64_MAX;
    for (int attempt = 0; attempt < TRIES; attempt++) {
        size_t sum = 0;
        int64_t begin = wf_now();
        for (size_t i = 0; i < rounds; i++)
            sum += scan ? scan(page.text, page.len) : extract(x, page.text, page.len);
        int64_t took = wf_now() - begin;
        sink = sum;
        best = took < best ? took : best;
    }
    return (double)best / (double)rounds / 1000;
}

static struct wf_extract *extractor(const char *selector, struct wf_css **ret_css)
{
    struct wf_extract *x;
    struct wf_extract_options options = {0};
    *ret_css = NULL;
    if (selector) {
        if (wf_css_compile(selector, ret_css, NULL, NULL))
            abort();
        options.selectors = (const struct wf_css *const *)ret_css;
        options.selector_count = 1;
    }
    if (wf_extract_create(&options, &x, NULL))
        abort();
    return x;
}

static void report(void)
{
    static const struct {
        const char *name, *selector;
    } jobs[] = {
        {"links", NULL},
        {"select_attr", "a.post-item-title@href"},
        {"select_text", "a.post-item-title"},
        {"select_inside", "article.post-item div > a.post-item-title"},
    };
    printf("html_%s_bytes %zu bytes\n", page.name, page.len);
    double tags = measure(NULL, tag_scan);
    printf("html_%s_tag_scan %.2f us\n", page.name, tags);
    printf("html_%s_memchr_scan %.2f us\n", page.name, measure(NULL, memchr_scan));
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
        struct wf_css *css;
        struct wf_extract *x = extractor(jobs[i].selector, &css);
        double took = measure(x, NULL);
        printf("html_%s_%s %.2f us\n", page.name, jobs[i].name, took);
        printf("html_%s_%s_ratio %.2f tag_scans\n", page.name, jobs[i].name, took / tags);
        wf_extract_destroy(x);
        wf_css_destroy(css);
    }
    free(page.text);
}

static int load(const char *path)
{
    FILE *file = fopen(path, "rb");
    page.name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    page.text = malloc(1 << 26);
    page.len = file && page.text ? fread(page.text, 1, 1 << 26, file) : 0;
    if (file)
        fclose(file);
    if (!page.len)
        fprintf(stderr, "html_extract: cannot read %s\n", path);
    return page.len ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        generate("70k", 70 * 1000);
        report();
        generate("10k", 10 * 1000);
        report();
    }
    for (int i = 1; i < argc; i++) {
        if (load(argv[i]))
            return 1;
        report();
    }
    return 0;
}
