/* SPDX-License-Identifier: MIT */
#include "crawl/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crawl/frontier.h"

int page_reader_init(struct page_reader *reader, struct wf_http *http,
                     const struct page_select *selects, size_t select_count)
{
    *reader = (struct page_reader){.http = http, .selects = selects, .select_count = select_count};
    const struct wf_css **css = calloc(select_count + 1, sizeof *css);
    if (!css)
        return -ENOMEM;
    for (size_t i = 0; i < select_count; i++)
        css[i] = selects[i].css;
    struct wf_extract_options options = {.selectors = css, .selector_count = select_count};
    int err = wf_extract_create(&options, &reader->extract, NULL);
    free(css);
    if (!err)
        err = wf_json_writer_create(NULL, &reader->json);
    if (err)
        page_reader_fini(reader);
    return err;
}

void page_reader_fini(struct page_reader *reader)
{
    wf_http_response_fini(&reader->answer);
    wf_json_writer_destroy(reader->json);
    wf_extract_destroy(reader->extract);
    reader->json = NULL;
    reader->extract = NULL;
}

/* What is worth looking for links in. */
static bool is_html(const char *content_type)
{
    size_t len = strcspn(content_type, "; \t");
    return len == 0 || (len == 9 && strncasecmp(content_type, "text/html", 9) == 0) ||
           (len == 21 && strncasecmp(content_type, "application/xhtml+xml", 21) == 0);
}

static int on_head(void *arg, int status, const char *content_type)
{
    struct page_reader *reader = arg;
    (void)status;
    reader->is_html = is_html(content_type);
    wf_extract_reset(reader->extract, content_type);
    return 0;
}

static int on_body(void *arg, const char *data, size_t len)
{
    struct page_reader *reader = arg;
    return reader->is_html ? wf_extract_feed(reader->extract, data, len) : 0;
}

static void write_fields(struct page_reader *reader)
{
    struct wf_json_writer *json = reader->json;
    wf_json_write_object(json);
    for (size_t field = 0; field < reader->select_count; field++) {
        wf_json_write_key(json, reader->selects[field].name);
        wf_json_write_array(json);
        size_t count = wf_extract_value_count(reader->extract, field);
        for (size_t i = 0; i < count; i++) {
            size_t len;
            const char *text = wf_extract_value(reader->extract, field, i, &len);
            wf_json_write_string(json, text, len);
        }
        wf_json_write_end(json);
    }
    wf_json_write_end(json);
}

static int write_record(struct page_reader *reader, const struct page_request *request,
                        struct page *page)
{
    struct wf_json_writer *json = reader->json;
    size_t title_len;
    const char *title = wf_extract_title(reader->extract, &title_len);
    wf_json_writer_clear(json);
    wf_json_write_object(json);
    wf_json_write_key(json, "url");
    wf_json_write_string(json, request->url, strlen(request->url));
    wf_json_write_key(json, "status");
    wf_json_write_int(json, page->status);
    wf_json_write_key(json, "bytes");
    wf_json_write_uint(json, page->body_len);
    wf_json_write_key(json, "title");
    wf_json_write_string(json, title, title_len);
    wf_json_write_key(json, "links");
    wf_json_write_uint(json, wf_extract_link_count(reader->extract));
    wf_json_write_key(json, "fields");
    write_fields(reader);
    wf_json_write_key(json, "depth");
    wf_json_write_uint(json, request->depth);
    wf_json_write_key(json, "elapsed_ms");
    wf_json_write_int(json, (reader->answer.elapsed_ns + 500000) / 1000000);
    if (page->location) {
        wf_json_write_key(json, "location");
        wf_json_write_string(json, page->location, strlen(page->location));
    }
    if (page->err) {
        wf_json_write_key(json, "error");
        wf_json_write_string(json, reader->error.text, strlen(reader->error.text));
    }
    wf_json_write_end(json);
    wf_json_write_line_end(json);
    return wf_json_writer_text(json, &page->line, &page->line_len);
}

/* Puts together what the reader holds. */
static int give_page(struct page_reader *reader, const struct page_request *request, int err,
                     struct page *ret_page)
{
    const struct wf_http_response *answer = &reader->answer;
    struct page page = {.status = answer->status,
                        .body_len = answer->body_len,
                        .connection_used = answer->connection_used,
                        .base = wf_extract_base(reader->extract, NULL),
                        .extract = reader->extract};
    if (!err && answer->location && request->last_redirect)
        err = wf_error_set(&reader->error, -ELOOP, "GET %s: more than %d redirects in a row",
                           request->url, FRONTIER_REDIRECTS_MAX);
    page.err = err;
    if (!err)
        page.location = answer->location;
    err = write_record(reader, request, &page);
    if (!err)
        *ret_page = page;
    return err;
}

static void forget_page(struct page_reader *reader)
{
    wf_http_response_fini(&reader->answer);
    wf_extract_reset(reader->extract, NULL);
    reader->is_html = false;
    memset(&reader->error, 0, sizeof reader->error);
}

int page_fetch(struct page_reader *reader, const struct page_request *request, wf_deadline deadline,
               struct page *ret_page)
{
    struct wf_http_request get = {
        .url = request->url, .on_head = on_head, .on_body = on_body, .arg = reader};
    forget_page(reader);
    int err = wf_http_fetch(reader->http, &get, &reader->answer, deadline, &reader->error);
    int parsed = wf_extract_finish(reader->extract);
    if (parsed && !err)
        err = wf_error_set(&reader->error, parsed, "%s: %s", request->url, wf_strerror(parsed));
    return err == -ECANCELED ? err : give_page(reader, request, err, ret_page);
}

int page_fail(struct page_reader *reader, const struct page_request *request,
              const struct wf_error *error, struct page *ret_page)
{
    forget_page(reader);
    wf_extract_finish(reader->extract);
    reader->error = *error;
    return give_page(reader, request, error->code, ret_page);
}

const char *page_next_link(struct page *page, size_t *ret_len)
{
    if (page->extract)
        return wf_extract_link(page->extract, page->links_read++, ret_len);
    return page->links.at == page->links.end ? NULL : packet_bytes(&page->links, ret_len);
}
