/* SPDX-License-Identifier: MIT */
#include "crawl/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
    reader->status = status;
    reader->is_html = is_html(content_type);
    wf_extract_reset(reader->extract, content_type);
    return 0;
}

static int on_body(void *arg, const char *data, size_t len)
{
    struct page_reader *reader = arg;
    return reader->is_html ? wf_extract_feed(reader->extract, data, len) : 0;
}

int page_fetch(struct page_reader *reader, const char *url, wf_deadline deadline)
{
    struct wf_http_request request = {
        .url = url, .on_head = on_head, .on_body = on_body, .arg = reader};
    wf_http_response_fini(&reader->answer);
    wf_extract_reset(reader->extract, NULL);
    reader->is_html = false;
    reader->status = 0;
    memset(&reader->error, 0, sizeof reader->error);
    reader->err = wf_http_fetch(reader->http, &request, &reader->answer, deadline, &reader->error);
    int err = wf_extract_finish(reader->extract);
    if (err && !reader->err)
        reader->err = wf_error_set(&reader->error, err, "%s: %s", url, wf_strerror(err));
    return reader->err == -ECANCELED ? -ECANCELED : 0;
}

bool page_is_redirect(const struct page_reader *reader)
{
    return !reader->err && reader->answer.location != NULL;
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

int page_record(struct page_reader *reader, const char *url, uint32_t depth, const char **ret_line,
                size_t *ret_len)
{
    struct wf_json_writer *json = reader->json;
    size_t title_len;
    const char *title = wf_extract_title(reader->extract, &title_len);
    wf_json_writer_clear(json);
    wf_json_write_object(json);
    wf_json_write_key(json, "url");
    wf_json_write_string(json, url, strlen(url));
    wf_json_write_key(json, "status");
    wf_json_write_int(json, reader->answer.status);
    wf_json_write_key(json, "bytes");
    wf_json_write_uint(json, reader->answer.body_len);
    wf_json_write_key(json, "title");
    wf_json_write_string(json, title, title_len);
    wf_json_write_key(json, "links");
    wf_json_write_uint(json, wf_extract_link_count(reader->extract));
    wf_json_write_key(json, "fields");
    write_fields(reader);
    wf_json_write_key(json, "depth");
    wf_json_write_uint(json, depth);
    wf_json_write_key(json, "elapsed_ms");
    wf_json_write_int(json, (reader->answer.elapsed_ns + 500000) / 1000000);
    if (page_is_redirect(reader)) {
        wf_json_write_key(json, "location");
        wf_json_write_string(json, reader->answer.location, strlen(reader->answer.location));
    }
    if (reader->err) {
        wf_json_write_key(json, "error");
        wf_json_write_string(json, reader->error.text, strlen(reader->error.text));
    }
    wf_json_write_end(json);
    wf_json_write_line_end(json);
    return wf_json_writer_text(json, ret_line, ret_len);
}
