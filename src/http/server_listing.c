/* SPDX-License-Identifier: MIT */
/*
 * A folder's contents as an answer: a page, or JSON where the client likes that better.
 *
 *  1. What is listed is known before the answer begins, as it is sorted: folders first, each part
 *     by the bytes of the names. So a listing takes memory, some 32 bytes and its name for each
 *     entry; beyond ENTRIES_MAX the folder is cut short, and the answer says so. Reading and
 *     sorting happen on threads that may be held up by them.
 *  2. The answer itself is made piece by piece, as the client takes it.
 *  3. A name is any bytes but NUL and slash. Links have all but the plainest escaped, so that none
 *     is taken for a scheme, a query or a folder above; what is shown has markup escaped and what
 *     is no UTF-8, or steers terminals, replaced.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <weft/file.h>
#include <weft/task.h>
#include <weft/worker.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "http/accept.h"
#include "http/connection.h"

enum {
    ENTRIES_MAX = 100000,
    PIECE_BYTES = 8 * 1024,
};

struct entry {
    union {
        size_t at; /* in names, while they grow */
        const char *name;
    };
    int64_t bytes, modified_ns;
    bool directory;
};

struct listing {
    struct entry *entries;
    size_t count, room;
    struct wfi_buffer names;
    bool hidden, cut;
};

/* ---- what there is ---- */

/* On another thread; see wf_file_list. */
static int gather(void *arg, const char *name, const struct wf_file_info *info)
{
    struct listing *l = arg;
    if (name[0] == '.' && !l->hidden)
        return 0;
    l->cut = l->count == ENTRIES_MAX;
    if (l->cut)
        return 1;
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 64;
        struct entry *more = wfi_realloc(l->entries, room * sizeof *more);
        if (!more)
            return -ENOMEM;
        l->entries = more;
        l->room = room;
    }
    struct entry entry = {.at = l->names.len,
                          .bytes = info->bytes,
                          .modified_ns = info->modified_ns,
                          .directory = info->directory};
    int err = wfi_buffer_append(&l->names, name, strlen(name) + 1);
    if (!err)
        l->entries[l->count++] = entry;
    return err;
}

static int compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->directory != y->directory)
        return x->directory ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void sort(void *arg)
{
    struct listing *l = arg;
    for (size_t i = 0; i < l->count; i++)
        l->entries[i].name = l->names.data + l->entries[i].at;
    if (l->count)
        qsort(l->entries, l->count, sizeof *l->entries, compare);
}

static void forget(struct listing *l)
{
    wfi_free(l->entries);
    wfi_buffer_reset(&l->names);
}

/* ---- texts ---- */

/* As it may stand in a path: also of names that look like a scheme or hold a slash's like. */
static int put_escaped(struct wfi_buffer *out, const char *name)
{
    int err = 0;
    for (; *name && !err; name++) {
        unsigned char c = (unsigned char)*name;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr("-._~", c);
        err = plain ? wfi_buffer_append_byte(out, (char)c) : wfi_buffer_printf(out, "%%%02X", c);
    }
    return err;
}

/* As it may stand in a page, between tags. */
static int put_shown(struct wfi_buffer *out, const char *text)
{
    static const char unknown[] = "\xef\xbf\xbd"; /* U+FFFD */
    const char *end = text + strlen(text);
    int err = 0;
    while (text < end && !err) {
        uint32_t c = 0;
        int len = wfi_utf8_read(text, end, &c);
        if (len < 0 || c < ' ' || (c >= 0x7f && c < 0xa0) || (c >= 0xd800 && c < 0xe000))
            err = wfi_buffer_append(out, unknown, sizeof unknown - 1);
        else if (c == '&' || c == '<' || c == '>' || c == '"')
            err = wfi_buffer_printf(out, "&#%u;", c);
        else
            err = wfi_buffer_append(out, text, (size_t)len);
        text += len < 0 ? -len : len;
    }
    return err;
}

/* In UTC, to the second. */
static int put_time(struct wfi_buffer *out, int64_t ns, const char *between, const char *behind)
{
    struct wfi_date d = wfi_date_split(ns / 1000000000 - (ns % 1000000000 < 0));
    return wfi_buffer_printf(out, "%04d-%02d-%02d%s%02d:%02d:%02d%s", d.year, d.month, d.day,
                             between, d.hour, d.minute, d.second, behind);
}

/* ---- a page ---- */

static int begin_page(struct wfi_buffer *out, const char *path, bool top)
{
    int err = wfi_buffer_append_text(
        out, "<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n"
             "<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
    if (!err)
        err = put_shown(out, path);
    if (!err)
        err = wfi_buffer_append_text(
            out, "</title>\n<style>body { font-family: sans-serif } "
                 "td, th { padding: 0 1em; text-align: left; font-variant-numeric: tabular-nums } "
                 "td + td, th + th { text-align: right }</style>\n</head>\n<body>\n<h1>");
    if (!err)
        err = put_shown(out, path);
    if (!err)
        err = wfi_buffer_append_text(
            out, "</h1>\n<table>\n<tr><th>Name</th><th>Bytes</th><th>Changed (UTC)</th></tr>\n");
    if (!err && !top)
        err = wfi_buffer_append_text(
            out, "<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    return err;
}

static int put_row(struct wfi_buffer *out, const struct entry *entry)
{
    const char *slash = entry->directory ? "/" : "";
    int err = wfi_buffer_append_text(out, "<tr><td><a href=\"");
    if (!err)
        err = put_escaped(out, entry->name);
    if (!err)
        err = wfi_buffer_printf(out, "%s\">", slash);
    if (!err)
        err = put_shown(out, entry->name);
    if (!err)
        err = wfi_buffer_printf(out, "%s</a></td><td>", slash);
    if (!err && !entry->directory)
        err = wfi_buffer_printf(out, "%" PRId64, entry->bytes);
    if (!err)
        err = wfi_buffer_append_text(out, "</td><td>");
    if (!err)
        err = put_time(out, entry->modified_ns, " ", "</td></tr>\n");
    return err;
}

static int end_page(struct wfi_buffer *out, bool cut)
{
    int err = wfi_buffer_append_text(out, "</table>\n");
    if (!err && cut)
        err = wfi_buffer_printf(out, "<p>There is more; these are %d of them.</p>\n", ENTRIES_MAX);
    return err ? err : wfi_buffer_append_text(out, "</body>\n</html>\n");
}

/* ---- JSON ---- */

static int begin_json(struct wfi_buffer *out, struct wf_json_writer *w, const char *path, bool cut)
{
    const char *text;
    size_t len;
    wf_json_write_string(w, path, strlen(path));
    int err = wf_json_writer_text(w, &text, &len);
    return err ? err
               : wfi_buffer_printf(out, "{\"path\":%s,\"complete\":%s,\"entries\":[", text,
                                   cut ? "false" : "true");
}

static int put_object(struct wfi_buffer *out, struct wf_json_writer *w, const struct entry *entry)
{
    struct wfi_buffer text = {0};
    const char *object;
    size_t len;
    wf_json_writer_clear(w);
    wf_json_write_object(w);
    wf_json_write_key(w, "name");
    wf_json_write_string(w, entry->name, strlen(entry->name));
    wf_json_write_key(w, "type");
    wf_json_write_string(w, entry->directory ? "folder" : "file", entry->directory ? 6 : 4);
    wf_json_write_key(w, "href");
    int err = put_escaped(&text, entry->name);
    if (!err && entry->directory)
        err = wfi_buffer_append_byte(&text, '/');
    if (!err)
        wf_json_write_string(w, text.data, text.len);
    wfi_buffer_clear(&text);
    if (!entry->directory) {
        wf_json_write_key(w, "bytes");
        wf_json_write_int(w, entry->bytes);
    }
    wf_json_write_key(w, "modified");
    if (!err)
        err = put_time(&text, entry->modified_ns, "T", "Z");
    if (!err)
        wf_json_write_string(w, text.data, text.len);
    wf_json_write_end(w);
    if (!err)
        err = wf_json_writer_text(w, &object, &len);
    if (!err)
        err = wfi_buffer_append(out, object, len);
    wfi_buffer_reset(&text);
    return err;
}

/* ---- the answer ---- */

static int send_piece(struct wf_response *response, struct wfi_buffer *piece)
{
    int err = wf_response_write(response, piece->data, piece->len);
    wfi_buffer_clear(piece);
    /* Making pieces that the client takes at once is work like any other. */
    return err ? err : wf_yield();
}

static int send_listing(struct wf_response *response, const char *path, bool top,
                        const struct listing *l, struct wf_json_writer *w)
{
    struct wfi_buffer piece = {0};
    int err = w ? begin_json(&piece, w, path, l->cut) : begin_page(&piece, path, top);
    for (size_t i = 0; i < l->count && !err; i++) {
        if (w && i > 0)
            err = wfi_buffer_append_byte(&piece, ',');
        if (!err)
            err = w ? put_object(&piece, w, &l->entries[i]) : put_row(&piece, &l->entries[i]);
        if (!err && piece.len >= PIECE_BYTES)
            err = send_piece(response, &piece);
    }
    if (!err)
        err = w ? wfi_buffer_append_text(&piece, "]}\n") : end_page(&piece, l->cut);
    if (!err)
        err = send_piece(response, &piece);
    wfi_buffer_reset(&piece);
    return err;
}

int wfi_response_listing(struct wf_request *request, struct wf_response *response, const char *path,
                         bool hidden)
{
    struct listing l = {.hidden = hidden};
    struct wf_json_writer *w = NULL;
    const char *rest = wf_request_param(request, "path");
    bool json = wfi_accept_weight(request->head, "application/json") >
                wfi_accept_weight(request->head, "text/html");
    int err = wf_file_list(path, gather, &l);
    if (err == 1)
        err = 0; /* cut short */
    if (!err && wf_block(sort, &l))
        sort(&l); /* no thread could be had */
    if (!err && json)
        err = wf_json_writer_create(NULL, &w);
    if (!err)
        err = wf_response_header(response, "Vary", "Accept");
    if (!err) /* whatever a name may do to a page, it is not to run */
        err = wf_response_header(response, "Content-Security-Policy",
                                 "default-src 'none'; style-src 'unsafe-inline'");
    if (!err)
        err = wf_response_begin(response, 200,
                                json ? "application/json" : "text/html; charset=utf-8", -1);
    if (!err && !response->bodiless)
        err = send_listing(response, wf_request_path(request), !rest || !*rest, &l, w);
    wf_json_writer_destroy(w);
    forget(&l);
    return err ? err : wfi_response_end(response);
}
