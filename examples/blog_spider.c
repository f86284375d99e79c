/* SPDX-License-Identifier: MIT */
/* urls, craw and parse, and a program that shows what they do on the blog's page 3. */
#include "blog_spider.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <weft/extract.h>
#include <weft/url.h>

#include "test_site.h"

#define PAGES 50

struct urls urls;
struct wf_http *client;
const char *site_url = "";

static struct test_site site;
static struct wf_css *selectors[2]; /* the href of each post's link, and its text */
static char page_urls[PAGES][96];
static const char *page_url_at[PAGES];

/* A task's failure arrives at who asks for its result; a plain call's is said here. */
static int fail(struct wf_task *self, const struct wf_error *error)
{
    if (self)
        return wf_task_fail_with(self, error);
    fprintf(stderr, "%s\n", error->text);
    return error->code;
}

int craw(struct wf_task *self, const char *url, struct html *ret)
{
    struct wf_http_response answer;
    struct wf_error error;
    int err = wf_http_fetch(client, &(struct wf_http_request){.url = url, .keep_body = true},
                            &answer, wf_after(WF_SECONDS(30)), &error);
    if (!err && answer.status != 200)
        err = wf_error_set(&error, WF_EPROTOCOL, "%s: status %d", url, answer.status);
    if (err) {
        err = fail(self, &error);
    } else {
        *ret = (struct html){answer.body, answer.body_len};
        answer.body = NULL; /* it is the result's now */
    }
    wf_http_response_fini(&answer);
    return err;
}

static void drop_html(void *html)
{
    html_free(html);
}
WF_TASK_DEFINE_WITH(craw, .drop_result = drop_html)

/* The values of both selectors, copied behind an array of pairs. */
static int copy_links(const struct wf_extract *extract, struct links *ret)
{
    size_t count = wf_extract_value_count(extract, 0), bytes = 0, len;
    for (size_t i = 0; i < count; i++)
        for (size_t field = 0; field < 2; field++) {
            wf_extract_value(extract, field, i, &len);
            bytes += len + 1;
        }
    struct link *at = malloc(count * sizeof *at + bytes + 1);
    if (!at)
        return -ENOMEM;
    char *next = (char *)(at + count);
    for (size_t i = 0; i < count; i++) {
        const char *copy[2];
        for (size_t field = 0; field < 2; field++) {
            const char *value = wf_extract_value(extract, field, i, &len);
            copy[field] = memcpy(next, value, len);
            next[len] = 0;
            next += len + 1;
        }
        at[i] = (struct link){copy[0], copy[1]};
    }
    *ret = (struct links){at, count};
    return 0;
}

int parse(struct wf_task *self, struct html html, struct links *ret)
{
    const struct wf_extract_options options = {.selectors = (const struct wf_css *const *)selectors,
                                               .selector_count = 2,
                                               .no_links = true};
    struct wf_extract *extract = NULL;
    struct wf_error error;
    int err = wf_extract_create(&options, &extract, &error);
    if (err)
        return fail(self, &error);
    err = wf_extract_feed(extract, html.text, html.len);
    if (!err)
        err = wf_extract_finish(extract);
    if (!err)
        err = copy_links(extract, ret);
    wf_extract_destroy(extract);
    if (err)
        wf_error_set(&error, err, NULL);
    return err ? fail(self, &error) : 0;
}

static void drop_links(void *links)
{
    links_free(links);
}
WF_TASK_DEFINE_WITH(parse, .drop_result = drop_links)

void html_free(struct html *html)
{
    free(html->text);
    *html = (struct html){0};
}

void links_free(struct links *links)
{
    free(links->at);
    *links = (struct links){0};
}

/* In ' unless there is one inside and no ", with a backslash before what needs one. */
static void print_quoted(const char *text, FILE *out)
{
    char quote = strchr(text, '\'') && !strchr(text, '"') ? '"' : '\'';
    fputc(quote, out);
    for (; *text; text++) {
        if (*text == quote || *text == '\\')
            fprintf(out, "\\%c", *text);
        else if ((unsigned char)*text < ' ' || *text == 127)
            fprintf(out, "\\x%02x", (unsigned)*text);
        else
            fputc(*text, out);
    }
    fputc(quote, out);
}

void print_link(const struct link *link, FILE *out)
{
    fputc('(', out);
    print_quoted(link->href, out);
    fputs(", ", out);
    print_quoted(link->title, out);
    fputc(')', out);
}

void url_with_fragment(unsigned n, char *url, size_t size)
{
    snprintf(url, size, "%s/#p%u", site.url, n);
}

static int open_site(int delay_ms)
{
    int err = test_site_start(&site, "blog", delay_ms);
    if (err)
        return err;
    site_url = site.url;
    for (unsigned n = 0; n < PAGES; n++) {
        snprintf(page_urls[n], sizeof page_urls[n], "%s/sitehome/p/%u", site.url, n + 1);
        page_url_at[n] = page_urls[n];
    }
    urls = (struct urls){page_url_at, PAGES};
    return 0;
}

int blog_spider_open(int url_count, char **url, int delay_ms)
{
    static const char *const css[2] = {"a.post-item-title[href]@href", "a.post-item-title[href]"};
    struct wf_error error = {0};
    int err = 0;
    if (url_count > 0)
        urls = (struct urls){(const char **)url, (size_t)url_count};
    else if ((err = open_site(delay_ms)) != 0)
        return err;
    for (int i = 0; i < 2 && !err; i++)
        err = wf_css_compile(css[i], &selectors[i], NULL, &error);
    if (!err)
        err = wf_http_create(NULL, &client, &error);
    if (err)
        fprintf(stderr, "%s\n", error.text);
    return err;
}

void blog_spider_close(void)
{
    wf_http_destroy(client);
    client = NULL;
    for (int i = 0; i < 2; i++) {
        wf_css_destroy(selectors[i]);
        selectors[i] = NULL;
    }
    test_site_stop(&site);
    urls = (struct urls){0};
    site_url = "";
}

/* What Python asks of __name__, the build answers: the other programs have a main of their own. */
#ifdef BLOG_SPIDER_MAIN

#include <weft/inline.h>

static int show_links(struct wf_executor *on, const char *url, struct wf_error *reterr)
{
    struct html html;
    struct links results;
    craw_future page = craw_submit(on, url);
    int err = craw_result(&page, &html, WF_FOREVER, reterr);
    if (err)
        return err;
    parse_future parsed = parse_submit(on, html);
    err = parse_result(&parsed, &results, WF_FOREVER, reterr);
    html_free(&html);
    if (err)
        return err;
    for (size_t i = 0; i < results.count; i++) {
        print_link(&results.at[i], stdout);
        putchar('\n');
    }
    links_free(&results);
    return 0;
}

/*
 * The texts number the pages behind a #, and that part of a URL is never sent: all fifty are the
 * blog's first page, which a crawler has to see.
 */
static int show_fragments(struct wf_executor *on, struct wf_error *reterr)
{
    char first[WF_URL_BYTES_MAX] = "", url[128], same[WF_URL_BYTES_MAX];
    unsigned distinct = 0;
    struct html html;
    for (unsigned n = 1; n <= PAGES; n++) {
        url_with_fragment(n, url, sizeof url);
        int err = wf_url_canonical(NULL, url, strlen(url), same, sizeof same, NULL, reterr);
        if (err < 0)
            return err;
        distinct += strcmp(first, same) != 0;
        strcpy(first, same);
    }
    craw_future page = craw_submit(on, url);
    int err = craw_result(&page, &html, WF_FOREVER, reterr);
    if (err)
        return err;
    printf("#p1 to #p%d: %u page, %s, %zu bytes\n", PAGES, distinct, first, html.len);
    html_free(&html);
    return 0;
}

int main(int argc, char **argv)
{
    struct wf_error error = {0};
    struct wf_executor *on = NULL;
    int err = blog_spider_open(argc - 1, argv + 1, 0);
    if (!err)
        err = wf_inline_create(&on, &error);
    if (!err)
        err = show_links(on, urls.at[urls.count > 2 ? 2 : 0], &error);
    if (!err && site_url[0])
        err = show_fragments(on, &error);
    if (err && error.code)
        fprintf(stderr, "blog_spider: %s\n", error.text);
    wf_executor_destroy(on);
    blog_spider_close();
    return err ? 1 : 0;
}

#endif
