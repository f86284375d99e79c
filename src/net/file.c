/* SPDX-License-Identifier: MIT */
/*
 * Files: what the system has in memory is had at once; every other question to the file system goes
 * to the offload pool with its arguments in the caller's frame. Sending one lives here too, beside
 * the splice of two streams.
 */
#include "net/file.h"

#include <errno.h>

#include <weft/worker.h>

#include "base/alloc.h"
#include "net/stream.h"
#include "os/file.h"
#include "os/socket.h"

/* Large enough to keep the system busy, small enough that other fibers have their turn between. */
#define PIECE_BYTES (256 * 1024)

/* Copied by the caller itself where it is in memory: in less than going to another thread takes. */
#define COPIED_BYTES (64 * 1024)

struct question {
    const char *path;
    int fd;
    struct wfi_file_info info;
    void *buf;
    const void *data;
    size_t len;
    int64_t offset;
    int (*each)(void *arg, const char *name, const struct wf_file_info *info);
    void *arg;
    ssize_t answer;
};

static void publish(const struct wfi_file_info *info, struct wf_file_info *ret_info)
{
    *ret_info = (struct wf_file_info){
        .bytes = info->bytes,
        .modified_ns = info->modified_ns,
        .device = info->device,
        .inode = info->inode,
        .directory = info->directory,
    };
}

static void ask_open(void *arg)
{
    struct question *q = arg;
    q->answer = wfi_file_open(q->path, &q->fd, &q->info);
}

static void ask_look(void *arg)
{
    struct question *q = arg;
    q->answer = wfi_file_look(q->path, &q->info);
}

static void ask_read(void *arg)
{
    struct question *q = arg;
    q->answer = wfi_file_read_at(q->fd, q->buf, q->len, q->offset);
}

static void ask_append(void *arg)
{
    struct question *q = arg;
    q->answer = wfi_file_append(q->path, &q->fd, &q->info);
}

static void ask_write(void *arg)
{
    struct question *q = arg;
    q->answer = wfi_file_write(q->fd, q->data, q->len);
}

static void ask_temporary(void *arg)
{
    struct question *q = arg;
    q->answer = wfi_file_temporary(q->path, &q->fd);
}

static int pass_on(void *arg, const char *name, const struct wfi_file_info *info)
{
    struct question *q = arg;
    struct wf_file_info public_info;
    publish(info, &public_info);
    return q->each(q->arg, name, &public_info);
}

static void ask_list(void *arg)
{
    struct question *q = arg;
    q->answer = wfi_file_list(q->path, pass_on, q);
}

static ssize_t ask(void (*fn)(void *), struct question *q)
{
    int err = wf_block(fn, q);
    return err ? err : q->answer;
}

int wf_file_open(const char *path, struct wf_file **ret_file, struct wf_file_info *ret_info)
{
    struct wf_file *file = wfi_zalloc(sizeof *file);
    if (!file)
        return -ENOMEM;
    struct question q = {.path = path};
    int err = wfi_file_open_cached(path, &q.fd, &q.info);
    if (err == -EAGAIN)
        err = (int)ask(ask_open, &q);
    if (err) {
        wfi_free(file);
        return err;
    }
    file->fd = q.fd;
    *ret_file = file;
    if (ret_info)
        publish(&q.info, ret_info);
    return 0;
}

int wf_file_append(const char *path, struct wf_file **ret_file, struct wf_file_info *ret_info)
{
    struct wf_file *file = wfi_zalloc(sizeof *file);
    if (!file)
        return -ENOMEM;
    struct question q = {.path = path};
    int err = (int)ask(ask_append, &q);
    if (err) {
        wfi_free(file);
        return err;
    }
    file->fd = q.fd;
    *ret_file = file;
    if (ret_info)
        publish(&q.info, ret_info);
    return 0;
}

int wfi_file_make_temporary(const char *folder, struct wf_file **ret_file)
{
    struct wf_file *file = wfi_zalloc(sizeof *file);
    if (!file)
        return -ENOMEM;
    struct question q = {.path = folder};
    int err = (int)ask(ask_temporary, &q);
    if (err) {
        wfi_free(file);
        return err;
    }
    file->fd = q.fd;
    *ret_file = file;
    return 0;
}

ssize_t wf_file_write(struct wf_file *file, const void *data, size_t len)
{
    struct question q = {.fd = file->fd, .data = data, .len = len};
    return ask(ask_write, &q);
}

int wf_file_look(const char *path, struct wf_file_info *ret_info)
{
    struct question q = {.path = path};
    int err = (int)ask(ask_look, &q);
    if (!err)
        publish(&q.info, ret_info);
    return err;
}

ssize_t wf_file_read(struct wf_file *file, void *buf, size_t len, int64_t offset)
{
    ssize_t n = len > COPIED_BYTES ? -EAGAIN : wfi_file_read_cached(file->fd, buf, len, offset);
    if (n == (ssize_t)len || n == 0 || (n < 0 && n != -EAGAIN))
        return n;
    size_t have = n > 0 ? (size_t)n : 0; /* the rest is at the end, or on the disk */
    struct question q = {.fd = file->fd,
                         .buf = (char *)buf + have,
                         .len = len - have,
                         .offset = offset + (int64_t)have};
    n = ask(ask_read, &q);
    return n >= 0 ? (ssize_t)have + n : have ? (ssize_t)have : n;
}

int wf_file_list(const char *path,
                 int (*each)(void *arg, const char *name, const struct wf_file_info *info),
                 void *arg)
{
    struct question q = {.path = path, .each = each, .arg = arg};
    return (int)ask(ask_list, &q);
}

void wf_file_close(struct wf_file *file)
{
    if (!file)
        return;
    wfi_fd_close(file->fd);
    wfi_free(file);
}

static int send_inside(struct wf_stream *s, int fd, off_t offset, int64_t len, wf_deadline deadline)
{
    int err = 0;
    while (!err && len > 0) {
        err = wfi_handle_give_way(&s->handle);
        if (err)
            break;
        uint32_t seen = wfi_poll_desc_seen(s->handle.desc, WFI_DESC_WRITE);
        size_t piece = len < PIECE_BYTES ? (size_t)len : PIECE_BYTES;
        ssize_t n = wfi_socket_sendfile(s->handle.fd, fd, &offset, piece);
        if (n > 0)
            len -= n;
        else if (n == 0)
            err = WF_ESHORT;
        else if (n == -EAGAIN)
            err = wfi_stream_wait_inside(s, WFI_DESC_WRITE, seen, deadline);
        else
            err = (int)n;
    }
    return err;
}

int wf_stream_send_file(struct wf_stream *s, struct wf_file *file, int64_t offset, int64_t len,
                        wf_deadline deadline)
{
    int err = wfi_handle_enter(&s->handle);
    if (err)
        return err;
    err = send_inside(s, file->fd, offset, len, deadline);
    wfi_stream_leave(s);
    return err;
}
