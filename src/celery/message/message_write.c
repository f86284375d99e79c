/* SPDX-License-Identifier: MIT */
/* Writing task messages (contract in message.h), with the members in Celery's order. */
#include "celery/message/message.h"

#include "celery/message/compression.h"
#include "celery/message/member.h"

#include <errno.h>
#include <math.h>
#include <string.h>

bool wfi_message_knows_header(const char *name, size_t len)
{
    static const char *const names[] = {"lang",
                                        "task",
                                        "id",
                                        "shadow",
                                        "eta",
                                        "expires",
                                        "group",
                                        "group_index",
                                        "retries",
                                        "timelimit",
                                        "root_id",
                                        "parent_id",
                                        "argsrepr",
                                        "kwargsrepr",
                                        "origin",
                                        "ignore_result",
                                        "replaced_task_nesting",
                                        "stamped_headers",
                                        "stamps",
                                        "compression",
                                        "redelivered"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
            return true;
    return false;
}

/* Python's users give whole seconds as integers, as a rule, and that is what is shown. */
static void write_seconds(struct wf_json_writer *w, double seconds)
{
    if (!(seconds > 0))
        wf_json_write_null(w);
    else if (seconds < 1e15 && seconds == floor(seconds))
        wf_json_write_int(w, (int64_t)seconds);
    else
        wf_json_write_double(w, seconds);
}

static void write_unknown(struct wf_json_writer *w, const struct wf_json_value *headers)
{
    for (size_t i = 0; i < wf_json_count(headers); i++) {
        const struct wf_json_value *header = wf_json_at(headers, i);
        size_t len = 0;
        const char *name = wf_json_key(header, &len);
        if (!name || wfi_message_knows_header(name, len))
            continue;
        wf_json_write_key_bytes(w, name, len);
        wf_json_write_value(w, header);
    }
}

void wfi_message_write_headers(struct wf_json_writer *w, const struct wfi_message *m)
{
    wf_json_write_object(w);
    wfi_member_text(w, "lang", m->lang ? m->lang : "c");
    wfi_member_text(w, "task", m->task);
    wfi_member_text(w, "id", m->id);
    wfi_member_text(w, "shadow", m->shadow);
    wfi_member_text(w, "eta", m->eta);
    wfi_member_text(w, "expires", m->expires);
    wfi_member_text(w, "group", m->group);
    wf_json_write_key(w, "group_index");
    if (m->has_group_index)
        wf_json_write_int(w, m->group_index);
    else
        wf_json_write_null(w);
    wfi_member_int(w, "retries", m->retries);
    wf_json_write_key(w, "timelimit");
    wf_json_write_array(w);
    write_seconds(w, m->hard_s);
    write_seconds(w, m->soft_s);
    wf_json_write_end(w);
    wfi_member_text(w, "root_id", m->root_id);
    wfi_member_text(w, "parent_id", m->parent_id);
    wfi_member_text(w, "argsrepr", m->argsrepr);
    wfi_member_text(w, "kwargsrepr", m->kwargsrepr);
    wfi_member_text(w, "origin", m->origin);
    wf_json_write_key(w, "ignore_result");
    wf_json_write_bool(w, m->ignore_result);
    if (!m->before_5_3) {
        wfi_member_int(w, "replaced_task_nesting", m->replaced_task_nesting);
        wf_json_write_key(w, "stamped_headers");
        wfi_json_write_piece(w, &m->stamped_headers, "null");
        wf_json_write_key(w, "stamps");
        wfi_json_write_piece(w, &m->stamps, "{}");
    }
    write_unknown(w, m->headers);
    if (m->compress)
        wfi_member_text(w, "compression", WFI_COMPRESSION_ZLIB);
    wf_json_write_end(w);
}

void wfi_message_write_body(struct wf_json_writer *w, const struct wfi_message *m)
{
    wf_json_write_array(w);
    wfi_json_write_piece(w, &m->args, "[]");
    wfi_json_write_piece(w, &m->kwargs, "{}");
    wf_json_write_object(w);
    wf_json_write_key(w, "callbacks");
    wfi_json_write_piece(w, &m->callbacks, "null");
    wf_json_write_key(w, "errbacks");
    wfi_json_write_piece(w, &m->errbacks, "null");
    wf_json_write_key(w, "chain");
    wfi_json_write_piece(w, &m->chain, "null");
    wf_json_write_key(w, "chord");
    wfi_json_write_piece(w, &m->chord, "null");
    wf_json_write_end(w);
    wf_json_write_end(w);
}

int wfi_message_writer_create(struct wf_json_writer **ret_writer)
{
    return wf_json_writer_create(&(struct wf_json_writer_options){.ascii = true, .spaced = true},
                                 ret_writer);
}

int wfi_message_pack_body(const struct wfi_message *m, struct wfi_buffer *buffer)
{
    struct wf_json_writer *w;
    const char *text;
    size_t len;
    int err = wfi_message_writer_create(&w);
    if (err)
        return err;
    wfi_message_write_body(w, m);
    err = wf_json_writer_text(w, &text, &len);
    if (!err)
        err = m->compress ? wfi_deflate(text, len, buffer) : wfi_buffer_append(buffer, text, len);
    wf_json_writer_destroy(w);
    return err;
}

int wfi_message_write_redis(struct wf_json_writer *w, const struct wfi_message *m)
{
    struct wfi_properties properties = m->properties;
    struct wf_json_writer *headers = NULL;
    struct wfi_buffer body = {0};
    struct wfi_json_piece piece = {0};

    properties.correlation_id = m->id;
    int err = wfi_message_writer_create(&headers);
    if (err)
        return err;
    wfi_message_write_headers(headers, m);
    err = wf_json_writer_text(headers, &piece.text, &piece.len);
    if (!err)
        err = wfi_message_pack_body(m, &body);
    if (!err)
        err = wfi_envelope_write_redis(w, &properties, &piece, body.data, body.len);
    wfi_buffer_reset(&body);
    wf_json_writer_destroy(headers);
    return err;
}
