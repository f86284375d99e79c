/* SPDX-License-Identifier: MIT */
/*
 * What a kind of test site consists of: a table of functions over ids. pages.c does what all kinds
 * share (spelling, unknown URLs, the manifest); each kind has a file of its own.
 */
#ifndef WEFT_CMD_SITE_KINDS_H
#define WEFT_CMD_SITE_KINDS_H

#include "site/pages.h"

/* A page, with what the manifest says of it gathered while it is written. */
struct site_page {
    int status;
    enum site_behaviour behaviour;
    const char *content_type;
    struct site_buffer location; /* as sent */
    struct site_buffer body;
    struct site_buffer title;   /* decoded */
    struct site_buffer posts;   /* JSON pairs with commas between them, blog only */
    struct site_buffer targets; /* uint32_t ids, of links and redirects within the site */
    struct site_buffer away;    /* where a redirect out of the site leads */
    uint32_t links;
};

struct site_kind_table {
    const char *name;
    uint32_t (*url_count)(const struct site *site);
    /* `path` is canonical; returns the id, or -1. */
    int64_t (*find)(const struct site *site, const char *path, size_t len);
    void (*path)(const struct site *site, uint32_t id, struct site_buffer *out);
    /* `authority` is the host and port that absolute links are to name. */
    void (*render)(const struct site *site, uint32_t id, const struct site_request *request,
                   const char *authority, struct site_page *page);
};

extern const struct site_kind_table site_blog, site_deep, site_latency, site_sites, site_hostile;

void site_page_target(struct site_page *page, uint32_t id);
/* The start of an HTML page up to <body>, with its title escaped; `page->title` is set before. */
void site_page_head(struct site_page *page, struct site_random *random);
/* Fills the body with a script up to `bytes`, end tags included, and closes the page. */
void site_page_fill(struct site_page *page, size_t bytes, struct site_random *random);
/* A small page that says "404 Not Found" or the like, as title and as heading. */
void site_page_plain(struct site_page *page, int status);

/* Reads a decimal number that fills text[0..len) wholly, without leading zeros. */
bool site_read_number(const char *text, size_t len, uint32_t *ret_number);
/* The value of a header, or NULL; names are compared without case. */
const struct site_header *site_find_header(const struct site_request *request, const char *name);

/* blog.c: the answer to the texts' POST. */
#define SITE_POST_PATH "/AggSite/AggSitePostList"
void site_blog_post(const struct site *site, const struct site_request *request,
                    struct site_page *page);

#endif
