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

/* --select NAME=CSS[@ATTR] */
struct page_select {
    char *name;
    struct wf_css *css;
};

struct page_reader {
    struct wf_http *http;
    const struct page_select *selects;
    size_t select_count;
    struct wf_extract *extract;
    struct wf_json_writer *json;

    /* The page at hand. */
    bool is_html;
    int status;
    struct wf_http_response answer;
    int err; /* why there is no (whole) page, or 0 */
    struct wf_error error;
};

/* Returns 0 or -ENOMEM. */
int page_reader_init(struct page_reader *reader, struct wf_http *http,
                     const struct page_select *selects, size_t select_count);
void page_reader_fini(struct page_reader *reader);

/*
 * Fetches `url` and takes it apart; what came of it is in the reader until the next call.
 * Returns 0, or -ECANCELED when the caller was cancelled: then there is nothing to record.
 */
int page_fetch(struct page_reader *reader, const char *url, wf_deadline deadline);

/*
 * The record of the page, as a line of JSON; the reader's until the next call.
 * Returns 0 or -ENOMEM.
 */
int page_record(struct page_reader *reader, const char *url, uint32_t depth, const char **ret_line,
                size_t *ret_len);

/* Whether the answer is a redirect with somewhere to go. */
bool page_is_redirect(const struct page_reader *reader);

#endif
