/* SPDX-License-Identifier: MIT */
#include "run/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weft/scope.h>
#include <weft/worker.h>

#define BUFFER_FIRST 4096
#define READ_BYTES (64 * 1024)

/* ---- the spill ---- */

void spill_init(struct spill *spill)
{
    *spill = (struct spill){.fd = -1};
    wf_mutex_init(&spill->lock);
}

void spill_fini(struct spill *spill)
{
    if (spill->fd >= 0)
        close(spill->fd);
    spill->fd = -1;
}

/* Short sections, which a cancelled task has to get through as well. */
static void lock(struct spill *spill)
{
    WF_SHIELD(WF_FOREVER) {
        if (wf_mutex_lock(&spill->lock, WF_FOREVER))
            abort(); /* neither cancelled nor late: the lock was used wrongly */
    }
}

static const char *folder(void)
{
    const char *path = getenv("TMPDIR");
    return path && *path ? path : "/tmp";
}

static int open_nameless(void)
{
    int fd = open(folder(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
        return fd < 0 ? -errno : fd;
    char path[4096];
    if (snprintf(path, sizeof(path), "%s/weft-run-XXXXXX", folder()) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(path);
    return fd;
}

struct spill_call {
    struct spill *spill;
    const char *data;
    size_t len;
    off_t at;
    int err;
};

static void write_extent(void *arg)
{
    struct spill_call *call = arg;
    for (size_t done = 0; !call->err && done < call->len;) {
        ssize_t count =
            pwrite(call->spill->fd, call->data + done, call->len - done, call->at + (off_t)done);
        if (count >= 0)
            done += (size_t)count;
        else if (errno != EINTR)
            call->err = -errno;
    }
}

static void give_back(struct spill *spill, struct extent extent)
{
    lock(spill);
    spill->used -= extent.len;
    bool empty = spill->used == 0;
    /* Neither has to work: it is only about room on the disk. */
    if (empty && ftruncate(spill->fd, 0) == 0)
        spill->end = 0;
    else if (!empty)
        (void)fallocate(spill->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, extent.at,
                        (off_t)extent.len);
    wf_mutex_unlock(&spill->lock);
}

static int spill_failed(int err, struct wf_error *reterr)
{
    return wf_error_set(reterr, err, "cannot keep output in %s: %s", folder(), wf_strerror(err));
}

/* ---- captures ---- */

int capture_spill(struct capture *capture, struct spill *spill, struct wf_error *reterr)
{
    if (capture->len == 0)
        return 0;
    if (capture->extent_count == capture->extent_size) {
        size_t size = capture->extent_size ? capture->extent_size * 2 : 4;
        struct extent *grown = realloc(capture->extents, size * sizeof(*grown));
        if (!grown)
            return wf_error_set(reterr, -ENOMEM, NULL);
        capture->extents = grown;
        capture->extent_size = size;
    }
    struct spill_call call = {.spill = spill, .data = capture->buf, .len = capture->len};
    lock(spill);
    if (spill->fd < 0)
        spill->fd = open_nameless();
    if (spill->fd < 0)
        call.err = spill->fd;
    call.at = spill->end;
    if (!call.err) {
        spill->end += (off_t)call.len;
        spill->used += call.len;
    }
    wf_mutex_unlock(&spill->lock);
    if (call.err)
        return spill_failed(call.err, reterr);
    struct extent extent = {call.at, call.len};
    int err = wf_block(write_extent, &call);
    if (err || call.err) {
        give_back(spill, extent);
        return spill_failed(err ? err : call.err, reterr);
    }
    capture->extents[capture->extent_count++] = extent;
    capture->len = 0;
    return 0;
}

int capture_reserve(struct capture *capture, struct spill *spill, char **ret_room, size_t *ret_len,
                    struct wf_error *reterr)
{
    if (capture->len == capture->size && capture->size == CAPTURE_BUFFER_MAX) {
        int err = capture_spill(capture, spill, reterr);
        if (err)
            return err;
    }
    if (capture->len == capture->size) {
        size_t size = capture->size ? capture->size * 4 : BUFFER_FIRST;
        if (size > CAPTURE_BUFFER_MAX)
            size = CAPTURE_BUFFER_MAX;
        char *grown = realloc(capture->buf, size);
        if (!grown)
            return wf_error_set(reterr, -ENOMEM, NULL);
        capture->buf = grown;
        capture->size = size;
    }
    *ret_room = capture->buf + capture->len;
    *ret_len = capture->size - capture->len;
    return 0;
}

void capture_trim(struct capture *capture)
{
    if (capture->len == 0) {
        free(capture->buf);
        capture->buf = NULL;
        capture->size = 0;
        return;
    }
    char *smaller = realloc(capture->buf, capture->len);
    if (smaller) {
        capture->buf = smaller;
        capture->size = capture->len;
    }
}

int capture_each(const struct capture *capture, struct spill *spill,
                 int (*piece)(void *arg, const char *data, size_t len), void *arg)
{
    int err = 0;
    char *block = capture->extent_count ? malloc(READ_BYTES) : NULL;
    if (capture->extent_count && !block)
        return -ENOMEM;
    for (size_t i = 0; !err && i < capture->extent_count; i++) {
        struct extent extent = capture->extents[i];
        while (!err && extent.len) {
            size_t wanted = extent.len < READ_BYTES ? extent.len : READ_BYTES;
            ssize_t count = pread(spill->fd, block, wanted, extent.at);
            if (count < 0 && errno == EINTR)
                continue;
            if (count <= 0)
                err = count < 0 ? -errno : -EIO;
            else
                err = piece(arg, block, (size_t)count);
            extent.at += count;
            extent.len -= (size_t)(count > 0 ? count : 0);
        }
    }
    free(block);
    return err || capture->len == 0 ? err : piece(arg, capture->buf, capture->len);
}

void capture_clear(struct capture *capture, struct spill *spill)
{
    for (size_t i = 0; i < capture->extent_count; i++)
        give_back(spill, capture->extents[i]);
    capture->extent_count = 0;
    capture->len = 0;
    capture->total = 0;
}

void capture_fini(struct capture *capture, struct spill *spill)
{
    capture_clear(capture, spill);
    free(capture->buf);
    free(capture->extents);
    *capture = (struct capture){0};
}
