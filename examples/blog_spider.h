/* SPDX-License-Identifier: MIT */
/*
 * The spider module of the texts: urls, craw and parse. The other programs are built on it; run by
 * itself, blog_spider shows what it can do.
 *
 * craw and parse are tasks: any executor runs them. Elsewhere they are called like any function,
 * with NULL for the task they are in; then they say on standard error why they failed.
 */
#ifndef BLOG_SPIDER_H
#define BLOG_SPIDER_H

#include <stdio.h>

#include <weft/http.h>
#include <weft/task.h>

/* The text of a page. */
struct html {
    char *text;
    size_t len;
};

/* A link of class post-item-title. */
struct link {
    const char *href, *title;
};

struct links {
    struct link *at; /* one block, with the strings behind */
    size_t count;
};

struct urls {
    const char **at;
    size_t count;
};

/* What there is to fetch: the program's arguments, or the 50 pages of a test site. */
extern struct urls urls;

/* The address that page `n` of the blog has, as the texts wrote it: behind a #. */
void url_with_fragment(unsigned n, char *url, size_t size);

/* Fetches a page. A status other than 200 is a failure. The result is the caller's to free. */
WF_TASK(struct html, craw, (const char *, url))

/* The (href, title) pairs of a page's posts. The result is the caller's to free. */
WF_TASK(struct links, parse, (struct html, html))

void html_free(struct html *html);
void links_free(struct links *links);

/* Prints ('href', 'title') without a line end. */
void print_link(const struct link *link, FILE *out);

/*
 * Begins: fills urls from the arguments behind a program's options, or starts a site that answers
 * after `delay_ms`. blog_spider_close ends it, also when this failed. Returns 0 or a negative code,
 * having said on standard error what is wrong.
 */
int blog_spider_open(int url_count, char **url, int delay_ms);
void blog_spider_close(void);

/* The client that craw fetches with, for those who send something else. */
extern struct wf_http *client;

/* The test site's address, "" when arguments are fetched instead. */
extern const char *site_url;

#endif
