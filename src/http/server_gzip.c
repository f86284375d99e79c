/* SPDX-License-Identifier: MIT */
/*
 * Answers that go out as gzip: which they are, and their bodies on the way.
 *
 * An answer could be compressed when its text is of a type that shrinks, is not too short for it,
 * and neither its handler nor its route says otherwise. Whether it is is the client's to say; that
 * it depends on the client is said to all (Vary). HEAD gets the head that GET would, so nothing
 * here depends on what the body turns out to be.
 *
 * No fiber holds up its worker with more than SHORT_BYTES of text at a time; what is longer is
 * compressed on a thread of the offload pool, piece by piece, so that a client that has gone or
 * does not read is noticed. As many pieces as the server has workers are compressed at a time, so
 * that those keep their share of the processors.
 */
#include <errno.h>

#include <weft/worker.h>

#include "http/connection.h"
#include "http/encoding.h"
#include "http/media_type.h"
#include "http/response.h"

enum {
    /* What fits a packet anyway is no faster for being smaller. */
    WORTH_BYTES = 1024,
    /* A tenth of a millisecond's work; some ten times what going to another thread takes. */
    SHORT_BYTES = 8 * 1024,
    /* Under a millisecond's work. */
    PIECE_BYTES = 64 * 1024,
    /* Collected before it becomes a chunk. */
    CHUNK_BYTES = 8 * 1024,
};

static struct wfi_text name_of(const struct wf_response *response, size_t i)
{
    return (struct wfi_text){response->texts.data + response->fields[i].at,
                             response->fields[i].name_len};
}

static struct wfi_text value_of(const struct wf_response *response, size_t i)
{
    return (struct wfi_text){response->texts.data + response->fields[i].at +
                                 response->fields[i].name_len,
                             response->fields[i].value_len};
}

/* Whether a field the handler has set lists the item. */
static bool lists(const struct wf_response *response, const char *name, const char *wanted)
{
    for (size_t i = 0; i < response->field_count; i++) {
        struct wfi_text rest = value_of(response, i), item;
        if (!wfi_text_is_nocase(name_of(response, i), name))
            continue;
        while (wfi_text_item(&rest, ',', &item))
            if (wfi_text_is_nocase(item, wanted) || wfi_text_is(item, "*"))
                return true;
    }
    return false;
}

enum wfi_gzip_choice wfi_response_choose_gzip(struct wf_response *response, const char *type,
                                              int64_t len)
{
    struct wfi_connection *c = response->connection;
    const struct wfi_request_head *head = c->request.head;
    const struct wfi_route *route = head ? c->request.route : NULL;
    if ((len >= 0 && len < WORTH_BYTES) || !type || !head || c->server->options.no_gzip ||
        (route && route->given.no_gzip) ||
        !wfi_media_type_is_compressible((struct wfi_text){type, strlen(type)}) ||
        wfi_response_has(response, "content-encoding") ||
        wfi_response_has(response, "content-range") ||
        lists(response, "cache-control", "no-transform"))
        return WFI_GZIP_NEVER;
    return wfi_encoding_choose(head, true) == WFI_ENCODING_GZIP ? WFI_GZIP_YES
                                                                : WFI_GZIP_ANOTHER_TIME;
}

int wfi_response_vary(struct wf_response *response)
{
    if (lists(response, "vary", "accept-encoding"))
        return 0;
    return wfi_response_add(response, WFI_TEXT("Vary"), WFI_TEXT("Accept-Encoding"));
}

/* The tag of the same thing in other bytes: a weak one. */
static int weaken_tags(struct wf_response *response)
{
    for (size_t i = 0; i < response->field_count; i++) {
        struct wfi_text value = value_of(response, i);
        if (!wfi_text_is_nocase(name_of(response, i), "etag") ||
            (value.len > 2 && value.ptr[0] == 'W' && value.ptr[1] == '/'))
            continue;
        struct wfi_buffer *texts = &response->texts;
        size_t from = response->fields[i].at, at = texts->len;
        int err = wfi_buffer_reserve(texts, sizeof "ETagW/" - 1 + value.len);
        if (err)
            return err;
        wfi_buffer_append(texts, "ETagW/", sizeof "ETagW/" - 1);
        wfi_buffer_append(texts, texts->data + from + response->fields[i].name_len, value.len);
        response->fields[i].at = at;
        response->fields[i].name_len = sizeof "ETag" - 1;
        response->fields[i].value_len = value.len + 2;
    }
    return 0;
}

int wfi_response_choose_coding(struct wf_response *response, const char *type, int64_t len)
{
    enum wfi_gzip_choice choice = wfi_response_choose_gzip(response, type, len);
    response->coded = false;
    if (choice == WFI_GZIP_NEVER)
        return 0;
    int err = wfi_response_vary(response);
    if (err || choice != WFI_GZIP_YES || response->plain)
        return err;
    response->coded = true;
    err = wfi_response_add(response, WFI_TEXT("Content-Encoding"), WFI_TEXT("gzip"));
    return err ? err : weaken_tags(response);
}

void wfi_response_drop_gzip(struct wf_response *response)
{
    wfi_gzip_destroy(response->gzip);
    wfi_buffer_reset(&response->packed);
    response->gzip = NULL;
}

/* ---- bodies ---- */

struct packing {
    struct wf_response *response;
    const void *text;
    size_t len;
    enum wfi_gzip_until until;
    int err;
};

static void pack(void *arg)
{
    struct packing *p = arg;
    p->err = wfi_gzip_add(p->response->gzip, p->text, p->len, p->until, &p->response->packed);
}

/* On a thread of its own; the error is that of waiting for a turn. */
static int pack_elsewhere(struct packing *p)
{
    struct wf_server *server = p->response->connection->server;
    int err = wf_semaphore_acquire(&server->packing, 1, WF_FOREVER);
    if (err)
        return err;
    if (wf_block(pack, p))
        pack(p); /* no thread could be had: better late than never */
    (void)wf_semaphore_release(&server->packing, 1);
    return p->err;
}

int wfi_response_write_gzip(struct wf_response *response, const void *data, size_t len,
                            enum wfi_gzip_until until)
{
    const char *at = data;
    do {
        size_t piece = len < PIECE_BYTES ? len : PIECE_BYTES;
        len -= piece;
        struct packing p = {response, at, piece, len ? WFI_GZIP_MORE : until, 0};
        at += piece;
        int err = 0;
        if (piece <= SHORT_BYTES || !wf_on_fiber()) {
            pack(&p);
            err = p.err;
        } else {
            err = pack_elsewhere(&p);
        }
        struct wfi_buffer *packed = &response->packed;
        if (!err && packed->len && (packed->len >= CHUNK_BYTES || p.until != WFI_GZIP_MORE)) {
            err = wfi_response_put(response, packed->data, packed->len);
            wfi_buffer_clear(packed);
        }
        if (err) {
            response->connection->broken = true; /* the text so far is not all on its way */
            return err;
        }
    } while (len);
    return 0;
}
