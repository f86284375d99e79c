/* SPDX-License-Identifier: MIT */
/*
 * Files as answers: what the client knows of it already, which part it wants, and the file itself,
 * sent inside the system piece by piece, each piece in its share of time.
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
/* Longer than any path the system takes. */
#define PATH_BYTES 4096

static const struct wfi_text *field_of(struct wf_response *response, const char *name)
{
    return wfi_request_field(response->connection->request.head, name);
}

struct part {
    int status;
    uint64_t first, len;
};

/* What is to be sent, and the fields that go with it. */
static int choose_part(struct wf_response *response, const struct wf_file_info *info,
                       struct part *ret)
{
    const struct wfi_request_head *head = response->connection->request.head;
    char etag_text[WFI_ETAG_BYTES], etag[WFI_ETAG_BYTES + 1], date[WFI_DATE_BYTES];
    char content_range[WFI_CONTENT_RANGE_BYTES];
    uint64_t size = (uint64_t)info->bytes;
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    struct wfi_validator validator = {
        .exists = true,
        .has_modified = true,
        .modified = info->modified_ns / 1000000000,
        .etag = wfi_etag_of_file(etag_text, size, info->modified_ns),
    };
    snprintf(etag, sizeof etag, "%.*s", (int)validator.etag.len, validator.etag.ptr);
    wfi_date_format(validator.modified, date);
    *ret = (struct part){200, 0, size};
    int err = wf_response_header(response, "ETag", etag);
    if (!err)
        err = wf_response_header(response, "Last-Modified", date);
    if (!err)
        err = wf_response_header(response, "Accept-Ranges", "bytes");
    switch (wfi_condition(head, &validator, now.tv_sec)) {
    case WFI_CONDITION_NOT_MODIFIED:
        ret->status = 304;
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
    switch (wfi_range_parse(*range, size, &ret->first, &ret->len)) {
    case WFI_RANGE_WHOLE:
        *ret = (struct part){200, 0, size};
        return 0;
    case WFI_RANGE_PART:
        ret->status = 206;
        break;
    case WFI_RANGE_BEYOND:
        *ret = (struct part){416, 0, 0};
        break;
    }
    wfi_content_range(content_range, ret->first, ret->len, size);
    return wf_response_header(response, "Content-Range", content_range);
}

static int send_part(struct wf_response *response, struct wf_file *file, uint64_t first)
{
    struct wfi_connection *c = response->connection;
    int err = wf_response_flush(response);
    while (!err && response->left > 0) {
        int64_t piece = response->left < PIECE_BYTES ? response->left : PIECE_BYTES;
        err = wf_stream_send_file(c->stream, file, (int64_t)first, piece,
                                  wf_after(c->server->options.write_ns));
        first += (uint64_t)piece;
        response->left -= piece;
        response->body_bytes += (uint64_t)piece;
    }
    if (err)
        c->broken = true; /* the announced length is not reached */
    return err;
}

int wf_response_file(struct wf_response *response, const char *path, const char *content_type)
{
    struct wf_file *file;
    struct wf_file_info info;
    struct part part;
    if (response->state != WFI_RESPONSE_NONE)
        return WF_ESTATE;
    int err = wf_file_open(path, &file, &info);
    if (err)
        return err == -EINVAL ? -EACCES : err == -ENOTDIR ? -ENOENT : err;
    if (info.directory) {
        wf_file_close(file);
        return -EISDIR;
    }
    if (!content_type)
        content_type = wfi_media_type_of((struct wfi_text){path, strlen(path)})->type;
    err = choose_part(response, &info, &part);
    if (!err)
        err = wf_response_begin(response, part.status, part.status < 300 ? content_type : NULL,
                                (int64_t)part.len);
    if (!err && !response->bodiless)
        err = send_part(response, file, part.first);
    wf_file_close(file);
    return err ? err : wfi_response_end(response);
}

int wf_serve_folder(struct wf_request *request, struct wf_response *response, void *folder)
{
    const char *rest = wf_request_param(request, "path");
    char path[PATH_BYTES];
    if (!rest)
        return wf_response_error(response, 500, "the route of a folder ends with {path:path}");
    size_t len = strlen(rest);
    bool is_folder = len == 0 || rest[len - 1] == '/';
    int n = snprintf(path, sizeof path, "%s/%s%s", (const char *)folder, rest,
                     is_folder ? "index.html" : "");
    if (n < 0 || (size_t)n >= sizeof path)
        return -ENOENT;
    int err = wf_response_file(response, path, NULL);
    if (err != -EISDIR || is_folder)
        return err == -EISDIR ? -ENOENT : err;
    /* The links of its index are relative to what is behind the slash. */
    struct wfi_text target = request->head->path;
    char *location = wfi_alloc(target.len + 2);
    if (!location)
        return -ENOMEM;
    memcpy(location, target.ptr, target.len);
    memcpy(location + target.len, "/", 2);
    err = wf_response_redirect(response, 301, location);
    wfi_free(location);
    return err;
}
