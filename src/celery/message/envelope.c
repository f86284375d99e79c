/* SPDX-License-Identifier: MIT */
#include "celery/message/envelope.h"

#include "base/alloc.h"
#include "celery/message/base64.h"
#include "celery/message/compression.h"
#include "celery/message/member.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

const struct wf_json_options wfi_message_json = {.bytes_max = (size_t)512 << 20};

bool wfi_json_piece_is_null(const struct wfi_json_piece *piece)
{
    if (piece->value)
        return wf_json_type(piece->value) == WF_JSON_NULL;
    return !piece->text || (piece->len == 4 && memcmp(piece->text, "null", 4) == 0);
}

void wfi_json_write_piece(struct wf_json_writer *w, const struct wfi_json_piece *piece,
                          const char *absent)
{
    if (piece && piece->value)
        wf_json_write_value(w, piece->value);
    else if (piece && piece->text)
        wf_json_write_raw(w, piece->text, piece->len);
    else
        wf_json_write_raw(w, absent, strlen(absent));
}

void wfi_json_write_text(struct wf_json_writer *w, const char *text)
{
    if (text)
        wf_json_write_string(w, text, strlen(text));
    else
        wf_json_write_null(w);
}

const char *wfi_json_c_string(const struct wf_json_value *value)
{
    size_t len = 0;
    const char *text = wf_json_type(value) == WF_JSON_STRING ? wf_json_text(value, &len) : NULL;
    return text && strlen(text) == len ? text : NULL;
}

/* The small number of a property; 0 when it is none. */
static int small_number(const struct wf_json_value *value)
{
    int64_t number = 0;
    if (wf_json_int(value, &number) || number < 0 || number > 255)
        return 0;
    return (int)number;
}

static bool is_true(const struct wf_json_value *value)
{
    bool truth = false;
    return wf_json_bool(value, &truth) == 0 && truth;
}

static void read_properties(const struct wf_json_value *from, struct wfi_properties *to)
{
    const struct wf_json_value *delivery = wf_json_get(from, "delivery_info");

    to->correlation_id = wfi_json_c_string(wf_json_get(from, "correlation_id"));
    to->reply_to = wfi_json_c_string(wf_json_get(from, "reply_to"));
    to->expiration = wfi_json_c_string(wf_json_get(from, "expiration"));
    to->delivery_tag = wfi_json_c_string(wf_json_get(from, "delivery_tag"));
    to->delivery_mode = small_number(wf_json_get(from, "delivery_mode"));
    to->priority = small_number(wf_json_get(from, "priority"));
    to->replaced_task_nesting = small_number(wf_json_get(from, "replaced_task_nesting"));
    to->exchange = wfi_json_c_string(wf_json_get(delivery, "exchange"));
    to->routing_key = wfi_json_c_string(wf_json_get(delivery, "routing_key"));
    to->redelivered = is_true(wf_json_get(delivery, "redelivered"));
}

int wfi_envelope_read_redis(const char *text, size_t len, struct wfi_envelope *ret,
                            struct wf_error *reterr)
{
    memset(ret, 0, sizeof *ret);
    int err = wf_json_read(text, len, &wfi_message_json, &ret->tree, reterr);
    if (err)
        return err;
    const struct wf_json_value *root = wf_json_root(ret->tree);
    const struct wf_json_value *properties = wf_json_get(root, "properties");
    const struct wf_json_value *body = wf_json_get(root, "body");
    const struct wf_json_value *encoding = wf_json_get(properties, "body_encoding");

    ret->headers = wf_json_get(root, "headers");
    if (wf_json_type(ret->headers) == WF_JSON_NULL)
        ret->headers = NULL;
    if (wf_json_type(properties) != WF_JSON_OBJECT || wf_json_type(body) != WF_JSON_STRING ||
        (ret->headers && wf_json_type(ret->headers) != WF_JSON_OBJECT))
        return wf_error_set(reterr, WF_EPARSE,
                            "a message on Redis is an object of body, headers and properties");
    read_properties(properties, &ret->properties);
    ret->properties.content_type = wfi_json_c_string(wf_json_get(root, "content-type"));
    ret->properties.content_encoding = wfi_json_c_string(wf_json_get(root, "content-encoding"));
    ret->properties.redelivered |= is_true(wf_json_get(ret->headers, "redelivered"));
    ret->body = wf_json_text(body, &ret->body_len);
    if (wf_json_type(encoding) != WF_JSON_NULL) {
        const char *name = wfi_json_c_string(encoding);
        if (!name || strcmp(name, "base64") != 0)
            return wf_error_set(reterr, WF_EPARSE, "the body's encoding is not base64");
        ret->base64 = true;
    }
    return 0;
}

int wfi_envelope_read_amqp(struct wf_json *properties, const void *body, size_t body_len,
                           struct wfi_envelope *ret, struct wf_error *reterr)
{
    memset(ret, 0, sizeof *ret);
    ret->tree = properties;
    const struct wf_json_value *root = wf_json_root(properties);
    ret->headers = wf_json_get(root, "headers");
    if (!ret->headers)
        ret->headers = wf_json_get(root, "application_headers");
    if (wf_json_type(ret->headers) == WF_JSON_NULL)
        ret->headers = NULL;
    if (wf_json_type(root) != WF_JSON_OBJECT ||
        (ret->headers && wf_json_type(ret->headers) != WF_JSON_OBJECT))
        return wf_error_set(reterr, WF_EPARSE, "the headers of the message are no table");
    read_properties(root, &ret->properties);
    ret->properties.content_type = wfi_json_c_string(wf_json_get(root, "content_type"));
    ret->properties.content_encoding = wfi_json_c_string(wf_json_get(root, "content_encoding"));
    ret->body = body;
    ret->body_len = body_len;
    return 0;
}

static int unpack(struct wfi_envelope *e, const char *compression, size_t max,
                  struct wf_error *reterr)
{
    if (strcmp(compression, WFI_COMPRESSION_ZLIB) != 0)
        return wf_error_set(reterr, WF_EPARSE, "the body is compressed as %s, which is not known",
                            compression);
    struct wfi_buffer plain = {0};
    int err = wfi_inflate(e->body, e->body_len, max, &plain);
    if (err) {
        wfi_buffer_reset(&plain);
        return wf_error_set(reterr, err,
                            err == WF_EPARSE ? "the body is not in zlib's form" : NULL);
    }
    wfi_buffer_reset(&e->space);
    e->space = plain;
    e->body = plain.data;
    e->body_len = plain.len;
    e->unpacked = true;
    return 0;
}

int wfi_envelope_open(struct wfi_envelope *e, size_t max, struct wf_error *reterr)
{
    if (e->base64) {
        /* The text is the envelope's own, and nobody else's; a large one is not held twice. */
        char *in_place = (char *)(uintptr_t)e->body;
        const ssize_t len = wfi_base64_decode(e->body, e->body_len, in_place);
        e->base64 = false;
        e->body_len = len < 0 ? 0 : (size_t)len;
        if (len < 0)
            return wf_error_set(reterr, WF_EPARSE, "the body is no base64");
    }
    const char *compression = wfi_json_c_string(wf_json_get(e->headers, "compression"));
    if (compression && !e->unpacked)
        return unpack(e, compression, max, reterr);
    if (e->body_len > max)
        return wf_error_set(reterr, WF_ETOOBIG, NULL);
    return 0;
}

void wfi_envelope_reset(struct wfi_envelope *e)
{
    wf_json_destroy(e->tree);
    wfi_buffer_reset(&e->space);
    memset(e, 0, sizeof *e);
}

static void write_known(struct wf_json_writer *w, const char *key, const char *text)
{
    if (text)
        wfi_member_text(w, key, text);
}

static void write_properties(struct wf_json_writer *w, const struct wfi_properties *p)
{
    wf_json_write_object(w);
    write_known(w, "correlation_id", p->correlation_id);
    write_known(w, "reply_to", p->reply_to);
    wf_json_write_key(w, "delivery_mode");
    wf_json_write_int(w, p->delivery_mode ? p->delivery_mode : 2);
    write_known(w, "expiration", p->expiration);
    wf_json_write_key(w, "delivery_info");
    wf_json_write_object(w);
    wfi_member_text(w, "exchange", p->exchange ? p->exchange : "");
    wfi_member_text(w, "routing_key", p->routing_key ? p->routing_key : "");
    if (p->redelivered) {
        wf_json_write_key(w, "redelivered");
        wf_json_write_bool(w, true);
    }
    wf_json_write_end(w);
    wf_json_write_key(w, "priority");
    wf_json_write_int(w, p->priority);
    wfi_member_text(w, "body_encoding", "base64");
    write_known(w, "delivery_tag", p->delivery_tag);
    wf_json_write_end(w);
}

int wfi_envelope_write_redis(struct wf_json_writer *w, const struct wfi_properties *p,
                             const struct wfi_json_piece *headers, const void *body,
                             size_t body_len)
{
    const size_t len = wfi_base64_encoded_len(body_len);
    char *quoted = wfi_alloc(len + 2);
    if (!quoted)
        return -ENOMEM;
    quoted[0] = quoted[len + 1] = '"';
    wfi_base64_encode(body, body_len, quoted + 1);

    wf_json_write_object(w);
    wf_json_write_key(w, "body");
    wf_json_write_raw(w, quoted, len + 2);
    wfi_member_text(w, "content-encoding",
                    p->content_encoding ? p->content_encoding : WFI_CONTENT_UTF8);
    wfi_member_text(w, "content-type", p->content_type ? p->content_type : WFI_CONTENT_JSON);
    wf_json_write_key(w, "headers");
    wfi_json_write_piece(w, headers, "{}");
    wf_json_write_key(w, "properties");
    write_properties(w, p);
    wf_json_write_end(w);
    wfi_free(quoted);
    return 0;
}
