/* SPDX-License-Identifier: MIT */
/*
 * Files as answers: what the client knows of it already, which part it wants, in which form it
 * takes it, and the file itself, sent inside the system piece by piece, each piece in its share of
 * time.
 *
 * A file has up to three forms, each with a tag of its own: as it is, the one ranges are of;
 * compressed while it is sent, under a weak tag; and the file NAME.gz beside it, under its own.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <weft/file.h>

#include "base/alloc.h"
#include "http/condition.h"
#include "http/connection.h"
#include "http/media_type.h"
#include "http/range.h"

/* What is to be taken within one write_ns. */
#define PIECE_BYTES (256 * 1024)
/* Copied rather than sent inside the system, which takes calls of its own. */
#define SMALL_BYTES (WFI_OUT_BYTES - 2048)
/* Read and compressed at a time. */
#define PACKED_BYTES (64 * 1024)
/* Longer than any path the system takes. */
#define PATH_BYTES 4096

static const struct wfi_text *field_of(struct wf_response *response, const char *name)
{
    return wfi_request_field(response->connection->request.head, name);
}

/* In which form a file is sent; see the top. */
enum form { PLAIN, PACKED, NEIGHBOUR };

struct part {
    int status;
    uint64_t first;
    int64_t len; /* -1: not known */
};

/* What is to be sent, and the fields that go with it. */
static int choose_part(struct wf_response *response, const struct wf_file_info *info,
                       enum form form, struct part *ret)
{
    const struct wfi_request_head *head = response->connection->request.head;
    char etag_text[WFI_ETAG_BYTES + 2] = "W/", etag[WFI_ETAG_BYTES + 3], date[WFI_DATE_BYTES];
    char content_range[WFI_CONTENT_RANGE_BYTES];
    uint64_t size = (uint64_t)info->bytes;
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    struct wfi_validator validator = {
        .exists = true,
        .has_modified = true,
        .modified = info->modified_ns / 1000000000,
        .etag = wfi_etag_of_file(etag_text + 2, size, info->modified_ns),
    };
    if (form == PACKED) {
        validator.etag.ptr -= 2;
        validator.etag.len += 2;
    }
    snprintf(etag, sizeof etag, "%.*s", (int)validator.etag.len, validator.etag.ptr);
    wfi_date_format(validator.modified, date);
    *ret = (struct part){200, 0, info->bytes};
    int err = wf_response_header(response, "ETag", etag);
    if (!err)
        err = wf_response_header(response, "Last-Modified", date);
    if (!err && form == PLAIN)
        err = wf_response_header(response, "Accept-Ranges", "bytes");
    switch (wfi_condition(head, &validator, now.tv_sec)) {
    case WFI_CONDITION_NOT_MODIFIED:
        *ret = (struct part){304, 0, form == PACKED ? -1 : info->bytes};
        return err;
    case WFI_CONDITION_FAILS:
        *ret = (struct part){412, 0, 0};
        return err;
    case WFI_CONDITION_HOLDS:
        break;
    }
    const struct wfi_text *range = field_of(response, "Range");
    if (err || !range || head->method != WFI_METHOD_GET ||
        !wfi_condition_range(head, &validator, now.tv_sec))
        return err;
    uint64_t len;
    switch (wfi_range_parse(*range, size, &ret->first, &len)) {
    case WFI_RANGE_WHOLE:
        *ret = (struct part){200, 0, info->bytes};
        return 0;
    case WFI_RANGE_PART:
        *ret = (struct part){206, ret->first, (int64_t)len};
        break;
    case WFI_RANGE_BEYOND:
        *ret = (struct part){416, 0, 0};
        break;
    }
    wfi_content_range(content_range, ret->first, (uint64_t)ret->len, size);
    return wf_response_header(response, "Content-Range", content_range);
}

/* Collected with the head: one call instead of two, and answers to several requests together. */
static int collect_part(struct wf_response *response, struct wf_file *file, uint64_t first)
{
    struct wfi_connection *c = response->connection;
    size_t len = (size_t)response->left;
    int err = c->out.len + len > WFI_OUT_BYTES ? wf_response_flush(response) : 0;
    if (!err)
        err = wfi_buffer_reserve(&c->out, len);
    while (!err && response->left > 0) {
        ssize_t n =
            wf_file_read(file, c->out.data + c->out.len, (size_t)response->left, (int64_t)first);
        if (n <= 0) {
            err = n < 0 ? (int)n : WF_ESHORT;
            break;
        }
        c->out.len += (size_t)n;
        first += (uint64_t)n;
        response->left -= n;
        response->body_bytes += (uint64_t)n;
    }
    if (err)
        c->broken = c->hard = true; /* the announced length is not reached */
    return err;
}

static int send_part(struct wf_response *response, struct wf_file *file, uint64_t first)
{
    struct wfi_connection *c = response->connection;
    if (response->left <= SMALL_BYTES)
        return collect_part(response, file, first);
    int err = wf_response_flush(response);
    while (!err && response->left > 0) {
        int64_t piece = response->left < PIECE_BYTES ? response->left : PIECE_BYTES;
        err = wfi_connection_send_file(c, file, first, (size_t)piece,
                                       wf_after(c->server->options.write_ns));
        first += (uint64_t)piece;
        response->left -= piece;
        response->body_bytes += (uint64_t)piece;
    }
    if (err)
        c->broken = c->hard = true; /* the announced length is not reached */
    return err;
}

/* Through zlib: read and compressed on other threads, sent on this. */
static int send_packed(struct wf_response *response, struct wf_file *file)
{
    char *buf = wfi_alloc(PACKED_BYTES);
    int err = buf ? 0 : -ENOMEM;
    for (int64_t at = 0; !err && response->left > 0;) {
        size_t want = response->left < PACKED_BYTES ? (size_t)response->left : PACKED_BYTES;
        ssize_t n = wf_file_read(file, buf, want, at);
        err = n > 0 ? wf_response_write(response, buf, (size_t)n) : n < 0 ? (int)n : WF_ESHORT;
        at += n;
    }
    wfi_free(buf);
    return err;
}

static int open_file(const char *path, struct wf_file **ret_file, struct wf_file_info *ret_info)
{
    int err = wf_file_open(path, ret_file, ret_info);
    if (err)
        return err == -EINVAL ? -EACCES : err == -ENOTDIR ? -ENOENT : err;
    if (ret_info->directory) {
        wf_file_close(*ret_file);
        return -EISDIR;
    }
    return 0;
}

/* Takes path.gz in the place of the file, if it is there and no older. Returns whether it did. */
static bool take_neighbour(const char *path, struct wf_file **file, struct wf_file_info *info)
{
    char name[PATH_BYTES];
    struct wf_file *packed;
    struct wf_file_info packed_info;
    int n = snprintf(name, sizeof name, "%s.gz", path);
    if (n < 0 || (size_t)n >= sizeof name || open_file(name, &packed, &packed_info))
        return false;
    bool takes = packed_info.modified_ns >= info->modified_ns;
    if (takes) {
        wf_file_close(*file);
        *file = packed;
        *info = packed_info;
    } else {
        wf_file_close(packed);
    }
    return takes;
}

static int answer_file(struct wf_response *response, const char *path, const char *type,
                       bool neighbours)
{
    struct wf_file *file;
    struct wf_file_info info;
    struct part part;
    if (response->state != WFI_RESPONSE_NONE)
        return WF_ESTATE;
    int err = open_file(path, &file, &info);
    if (err)
        return err;
    if (!type)
        type = wfi_media_type_of((struct wfi_text){path, strlen(path)})->type;
    enum wfi_gzip_choice choice = wfi_response_choose_gzip(response, type, info.bytes);
    bool in_part =
        field_of(response, "Range") && response->connection->request.head->method == WFI_METHOD_GET;
    enum form form = choice == WFI_GZIP_YES && !in_part ? PACKED : PLAIN;
    response->plain = form == PLAIN;
    if (choice != WFI_GZIP_NEVER)
        err = wfi_response_vary(response); /* of 304 too */
    if (!err && form == PACKED && neighbours && take_neighbour(path, &file, &info)) {
        form = NEIGHBOUR;
        err = wf_response_header(response, "Content-Encoding", "gzip");
    }
    if (!err)
        err = choose_part(response, &info, form, &part);
    if (!err)
        err = wf_response_begin(response, part.status, part.status < 300 ? type : NULL, part.len);
    if (!err && !response->bodiless)
        err = response->gzip ? send_packed(response, file) : send_part(response, file, part.first);
    wf_file_close(file);
    return err ? err : wfi_response_end(response);
}

int wf_response_file(struct wf_response *response, const char *path, const char *content_type)
{
    return answer_file(response, path, content_type, false);
}

bool wfi_path_is_hidden(const char *rest)
{
    static const char known[] = ".well-known/";
    if (strncmp(rest, known, sizeof known - 1) == 0)
        rest += sizeof known - 1;
    return rest[0] == '.' || strstr(rest, "/.");
}

int wfi_response_add_slash(struct wf_request *request, struct wf_response *response)
{
    struct wfi_text path = request->head->path, query = request->head->query;
    struct wfi_buffer location = {0};
    int err = wfi_buffer_printf(&location, "%.*s/%s%.*s", (int)path.len, path.ptr,
                                query.ptr ? "?" : "", (int)query.len, query.ptr ? query.ptr : "");
    const char *text = err ? NULL : wfi_buffer_text(&location);
    err = text ? wf_response_redirect(response, 301, text) : -ENOMEM;
    wfi_buffer_reset(&location);
    return err;
}

static int serve(struct wf_request *request, struct wf_response *response,
                 const struct wf_folder *folder)
{
    const char *rest = wf_request_param(request, "path");
    char path[PATH_BYTES];
    if (!rest)
        return wf_response_error(response, 500, "the route of a folder ends with {path:path}");
    if (!folder->hidden && wfi_path_is_hidden(rest))
        return -ENOENT;
    size_t len = strlen(rest);
    bool is_folder = len == 0 || rest[len - 1] == '/';
    int n =
        snprintf(path, sizeof path, "%s/%s%s", folder->path, rest, is_folder ? "index.html" : "");
    if (n < 0 || (size_t)n >= sizeof path)
        return -ENOENT;
    int err = answer_file(response, path, NULL, folder->packed);
    if (err == -EISDIR && !is_folder)
        return wfi_response_add_slash(request, response);
    if ((err == -ENOENT || err == -EISDIR) && is_folder && folder->list) {
        snprintf(path, sizeof path, "%s/%s", folder->path, rest);
        err = wfi_response_listing(request, response, path, folder->hidden);
        return err == -ENOTDIR ? -ENOENT : err;
    }
    return err == -EISDIR ? -ENOENT : err;
}

int wf_serve_folder(struct wf_request *request, struct wf_response *response, void *path)
{
    return serve(request, response, &(struct wf_folder){.path = path});
}

int wf_serve_folder_with(struct wf_request *request, struct wf_response *response, void *folder)
{
    return serve(request, response, folder);
}
