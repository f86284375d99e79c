/* SPDX-License-Identifier: MIT */
/*
 * Answers: the head and small bodies are collected in the connection's buffer, which is sent when
 * it is full, or when the connection has nothing more to answer.
 */
#include <weft/response.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "http/connection.h"
#include "http/date.h"
#include "http/desk.h"
#include "http/response.h"

void wfi_response_begin(struct wf_response *response, struct wfi_connection *c)
{
    wfi_buffer_clear(&response->texts);
    wfi_response_drop_gzip(response);
    response->connection = c;
    response->state = WFI_RESPONSE_NONE;
    response->status = 0;
    response->chunked = response->bodiless = response->events = response->sent = false;
    response->plain = response->coded = false;
    response->left = -1;
    response->body_bytes = 0;
    response->field_count = response->kept_fields = response->kept_bytes = 0;
}

void wfi_response_fini(struct wf_response *response)
{
    wfi_buffer_reset(&response->texts);
    wfi_response_drop_gzip(response);
}

/* ---- the head ---- */

/* The Date of this second: made once a second and desk. */
static const char *date_of(struct wfi_desk *desk)
{
    const time_t now = time(NULL);
    if (desk->date_second != now) {
        wfi_date_format(now, desk->date);
        desk->date_second = now;
    }
    return desk->date;
}

static bool has_body(int status)
{
    return status != 204 && status != 304;
}

static int put_head(struct wf_response *response, const char *type, int64_t len)
{
    struct wfi_connection *c = response->connection;
    const struct wfi_request_head *head = c->request.head;
    struct wfi_request_field *fields = c->desk->head_fields; /* not on a fiber's stack */
    size_t count = 0;
    if (type && has_body(response->status))
        fields[count++] = (struct wfi_request_field){{"Content-Type", 12}, {type, strlen(type)}};
    for (size_t i = 0; i < response->field_count; i++) {
        const char *name = response->texts.data + response->fields[i].at;
        fields[count++] = (struct wfi_request_field){
            {name, response->fields[i].name_len},
            {name + response->fields[i].name_len, response->fields[i].value_len}};
    }
    struct wfi_response how = {
        .status = response->status,
        .fields = fields,
        .field_count = count,
        .body_len = len < 0 ? WFI_BODY_LEN_UNKNOWN : (uint64_t)len,
        .date = date_of(c->desk),
        .to_head = head && head->method == WFI_METHOD_HEAD,
        .minor = head ? head->minor : 1,
        .keep_alive = !c->close,
    };
    enum wfi_response_body body;
    bool keep_alive;
    int err = wfi_response_write_head(&c->out, &how, &body, &keep_alive);
    if (err)
        return err;
    c->close |= !keep_alive;
    response->chunked = body == WFI_RESPONSE_CHUNKED;
    response->bodiless = body == WFI_RESPONSE_NO_BODY;
    return 0;
}

int wf_response_header(struct wf_response *response, const char *name, const char *value)
{
    static const char *const own[] = {"Date",           "Connection",        "Content-Type",
                                      "Content-Length", "Transfer-Encoding", "Keep-Alive"};
    struct wfi_text text = {name, strlen(name)}, worth = {value, strlen(value)};
    if (response->state != WFI_RESPONSE_NONE)
        return WF_ESTATE;
    if (!wfi_response_name_is_valid(text) || !wfi_response_value_is_valid(worth))
        return -EINVAL;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (wfi_text_is_nocase(text, own[i]))
            return -EINVAL;
    return response->field_count >= WFI_FIELDS_MAX ? -E2BIG
                                                   : wfi_response_add(response, text, worth);
}

int wfi_response_add(struct wf_response *response, struct wfi_text text, struct wfi_text worth)
{
    wfi_assert(response->field_count < WFI_FIELDS_ROOM, "the server adds few fields of its own");
    size_t at = response->texts.len;
    int err = wfi_buffer_reserve(&response->texts, text.len + worth.len);
    if (err)
        return err;
    wfi_buffer_append(&response->texts, text.ptr, text.len);
    wfi_buffer_append(&response->texts, worth.ptr, worth.len);
    response->fields[response->field_count].at = at;
    response->fields[response->field_count].name_len = text.len;
    response->fields[response->field_count++].value_len = worth.len;
    return 0;
}

int wf_response_begin(struct wf_response *response, int status, const char *content_type,
                      int64_t len)
{
    struct wfi_connection *c = response->connection;
    const struct wfi_request_head *head = c->request.head;
    if (response->state != WFI_RESPONSE_NONE)
        return WF_ESTATE;
    if (status < 200 || status > 599 || len < -1)
        return -EINVAL;
    if (!wfi_request_body_is_over(&c->request) && !wfi_request_rest_is_small(&c->request)) {
        /* What is still to come would be taken for the next request. */
        c->close = c->linger = true;
    }
    if (!head || !head->keep_alive || wfi_load(&c->server->stopping))
        c->close = true;
    response->status = status;
    response->left = len;
    size_t field_count = response->field_count;
    int err = 0;
    if (has_body(status) && status != 206)
        err = wfi_response_choose_coding(response, content_type, len);
    if (!err && response->coded && head->method != WFI_METHOD_HEAD)
        err = wfi_gzip_create(len < 0 ? UINT64_MAX : (uint64_t)len, &response->gzip);
    if (!err)
        err = put_head(response, content_type, response->coded ? -1 : len);
    if (err) {
        wfi_response_drop_gzip(response);
        response->field_count = field_count; /* it may be tried again */
        return err;
    }
    response->state = WFI_RESPONSE_BEGUN;
    return 0;
}

/* ---- the body ---- */

/* Bytes on their way, collected if they are few. What is lost of a body cannot be made up for,
 * whatever its handler says: the connection is broken. */
static int pass(struct wf_response *response, const void *data, size_t len)
{
    struct wfi_connection *c = response->connection;
    int err = 0;
    if (c->out.len + len > WFI_OUT_BYTES && c->out.len) {
        response->sent = true;
        err = wfi_connection_flush(c);
    }
    if (!err && len > WFI_OUT_BYTES) {
        response->sent = true;
        return wfi_connection_send(c, data, len);
    }
    if (!err)
        err = wfi_buffer_append(&c->out, data, len);
    c->broken |= err != 0;
    return err;
}

int wf_response_write(struct wf_response *response, const void *data, size_t len)
{
    if (response->state != WFI_RESPONSE_BEGUN)
        return WF_ESTATE;
    if (response->left >= 0 && (uint64_t)len > (uint64_t)response->left)
        return WF_ETOOBIG;
    if (response->left >= 0)
        response->left -= (int64_t)len;
    if (response->bodiless || len == 0)
        return 0;
    if (response->gzip)
        return wfi_response_write_gzip(response, data, len, WFI_GZIP_MORE);
    return wfi_response_put(response, data, len);
}

int wfi_response_put(struct wf_response *response, const void *data, size_t len)
{
    response->body_bytes += len;
    if (!response->chunked)
        return pass(response, data, len);
    char size[WFI_CHUNK_HEAD_BYTES];
    int err = pass(response, size, wfi_response_chunk_head(size, len));
    if (!err)
        err = pass(response, data, len);
    return err ? err : pass(response, "\r\n", 2);
}

int wf_response_flush(struct wf_response *response)
{
    if (response->state == WFI_RESPONSE_NONE)
        return WF_ESTATE;
    int err = 0;
    if (response->gzip)
        err = wfi_response_write_gzip(response, "", 0, WFI_GZIP_FLUSH);
    response->sent = true;
    return err ? err : wfi_connection_flush(response->connection);
}

int wfi_response_end(struct wf_response *response)
{
    int err = 0;
    if (response->state != WFI_RESPONSE_BEGUN)
        return 0;
    if (response->left > 0 && !response->bodiless)
        return WF_ESHORT;
    if (response->gzip)
        err = wfi_response_write_gzip(response, "", 0, WFI_GZIP_END);
    wfi_response_drop_gzip(response);
    if (!err && response->chunked && !response->bodiless)
        err = pass(response, WFI_RESPONSE_LAST_CHUNK, sizeof WFI_RESPONSE_LAST_CHUNK - 1);
    if (!err)
        response->state = WFI_RESPONSE_DONE;
    return err;
}

bool wfi_response_ends_with_the_connection(const struct wf_response *response)
{
    return response->state == WFI_RESPONSE_BEGUN && response->left < 0 && !response->chunked &&
           !response->bodiless;
}

/* ---- whole answers ---- */

int wf_response_send(struct wf_response *response, int status, const char *content_type,
                     const void *data, size_t len)
{
    int err = wf_response_begin(response, status, content_type, (int64_t)len);
    if (!err)
        err = wf_response_write(response, data, len);
    return err ? err : wfi_response_end(response);
}

int wf_response_text(struct wf_response *response, int status, const char *text)
{
    return wf_response_send(response, status, "text/plain; charset=utf-8", text, strlen(text));
}

int wf_response_json(struct wf_response *response, int status, struct wf_json_writer *writer)
{
    const char *text;
    size_t len;
    int err = wf_json_writer_text(writer, &text, &len);
    return err ? err : wf_response_send(response, status, "application/json", text, len);
}

int wf_response_error(struct wf_response *response, int status, const char *format, ...)
{
    struct wf_json_writer *w;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    int err = wf_json_writer_create(NULL, &w);
    if (err)
        return err;
    const char *id = wf_request_id(&response->connection->request);
    wf_json_write_object(w);
    wf_json_write_key(w, "error");
    wf_json_write_string(w, text, strlen(text));
    wf_json_write_key(w, "request");
    wf_json_write_string(w, id, strlen(id));
    wf_json_write_end(w);
    wf_json_write_line_end(w);
    err = wf_response_json(response, status, w);
    wf_json_writer_destroy(w);
    return err;
}

int wf_response_redirect(struct wf_response *response, int status, const char *location)
{
    if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308)
        return -EINVAL;
    int err = wf_response_header(response, "Location", location);
    return err ? err : wf_response_send(response, status, NULL, NULL, 0);
}

/* ---- events ---- */

static bool is_one_line(const char *text)
{
    return !text || text[strcspn(text, "\r\n")] == '\0';
}

static int put_event(struct wfi_buffer *text, const struct wf_sse *event)
{
    int err = 0;
    if (event->event)
        err = wfi_buffer_printf(text, "event: %s\n", event->event);
    if (!err && event->id)
        err = wfi_buffer_printf(text, "id: %s\n", event->id);
    if (!err && event->retry_ns > 0)
        err = wfi_buffer_printf(text, "retry: %lld\n", (long long)(event->retry_ns / 1000000));
    for (const char *line = event->data; !err && line;) {
        size_t len = strcspn(line, "\r\n");
        err = wfi_buffer_printf(text, "data: %.*s\n", (int)len, line);
        line += len;
        if (line[0] == '\r' && line[1] == '\n')
            line++;
        line = *line ? line + 1 : NULL;
    }
    return err ? err : wfi_buffer_append_byte(text, '\n');
}

bool wfi_response_has(const struct wf_response *response, const char *name)
{
    for (size_t i = 0; i < response->field_count; i++) {
        const struct wfi_text own = {response->texts.data + response->fields[i].at,
                                     response->fields[i].name_len};
        if (wfi_text_is_nocase(own, name))
            return true;
    }
    return false;
}

int wf_response_event(struct wf_response *response, const struct wf_sse *event)
{
    struct wfi_buffer text = {0};
    int err = 0;
    if (!event->data || !is_one_line(event->event) || !is_one_line(event->id))
        return -EINVAL;
    if (response->state == WFI_RESPONSE_NONE) {
        if (!wfi_response_has(response, "Cache-Control"))
            err = wf_response_header(response, "Cache-Control", "no-cache");
        if (!err)
            err = wf_response_begin(response, 200, "text/event-stream", -1);
        response->events = !err;
    }
    if (!err && !response->events)
        err = WF_ESTATE;
    if (!err)
        err = put_event(&text, event);
    if (!err)
        err = wf_response_write(response, text.data, text.len);
    if (!err)
        err = wf_response_flush(response);
    wfi_buffer_reset(&text);
    return err;
}
