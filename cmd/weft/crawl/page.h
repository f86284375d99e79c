/* SPDX-License-Identifier: MIT */
/*
 * One page: fetched, taken apart while it streams, and put into a record. A reader is one worker's,
 * and keeps its memory from page to page.
 */
#ifndef WEFT_CMD_CRAWL_PAGE_H
#define WEFT_CMD_CRAWL_PAGE_H

#include <weft/css.h>
#include <weft/extract.h>
#include <weft/http.h>
#include <weft/json.h>
#include <weft/url.h>

#include "packet.h"

/* --select NAME=CSS[@ATTR] */
struct page_select {
    char *name;
    const char *text; /* the selector as it was typed */
    struct wf_css *css;
};

struct page_request {
    const char *url;
    uint32_t depth;     /* for the record */
    bool last_redirect; /* a redirect from here would be one too many in a row */
};

/* What came of a request. Everything in it is whoever's gave it, until the next request there. */
struct page {
    int err; /* why there is no (whole) page, or 0 */
    int status;
    size_t body_len;
    bool connection_used;
    const char *location; /* where a redirect leads to, or NULL */
    const char *base;     /* what links are relative to if not the URL, or NULL */
    const char *line;     /* its record, as a line of JSON */
    size_t line_len;
    const struct wf_extract *extract; /* the links are here, or behind one another in a packet */
    size_t links_read;
    struct packet_walk links;
};

/* The next link of the page as it stands there, NUL-terminated; NULL when there are no more. */
const char *page_next_link(struct page *page, size_t *ret_len);

struct page_reader {
    struct wf_http *http;
    const struct page_select *selects;
    size_t select_count;
    struct wf_extract *extract;
    struct wf_json_writer *json;

    /* The page at hand. */
    bool is_html;
    struct wf_http_response answer;
    struct wf_error error;
};

/* Returns 0 or -ENOMEM. */
int page_reader_init(struct page_reader *reader, struct wf_http *http,
                     const struct page_select *selects, size_t select_count);
void page_reader_fini(struct page_reader *reader);

/*
 * Fetches a page, takes it apart and makes its record.
 * Returns 0, or -ECANCELED when the caller was cancelled, or -ENOMEM: then there is no record.
 */
int page_fetch(struct page_reader *reader, const struct page_request *request, wf_deadline deadline,
               struct page *ret_page);

/*
 * The record of a page that could not be asked for, with the reason given. Returns 0 or -ENOMEM.
 */
int page_fail(struct page_reader *reader, const struct page_request *request,
              const struct wf_error *error, struct page *ret_page);

#endif
