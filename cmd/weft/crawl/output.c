/* SPDX-License-Identifier: MIT */
#include "crawl/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/scope.h>
#include <weft/worker.h>

enum {
    WRITE_BYTES = 64 * 1024,       /* enough to be worth a write */
    WRITE_NS = 100 * 1000000,      /* and how long a line waits at most while others come */
    PENDING_MAX = 4 * 1024 * 1024, /* a disk this far behind holds the crawl up */
};

int output_open(struct output *out, const char *path, struct wf_error *reterr)
{
    memset(out, 0, sizeof *out);
    wf_mutex_init(&out->lock);
    wf_condition_init(&out->written, &out->lock);
    if (strcmp(path, "-") == 0) {
        out->path = "standard output";
        out->fd = STDOUT_FILENO;
        return 0;
    }
    out->path = path;
    out->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (out->fd < 0)
        return wf_error_set(reterr, -errno, "cannot write %s: %s", path, wf_strerror(-errno));
    struct stat status;
    out->is_file = fstat(out->fd, &status) == 0 && S_ISREG(status.st_mode);
    return 0;
}

/* Short sections, which a cancelled task has to get through as well. */
static void lock(struct output *out)
{
    WF_SHIELD(WF_FOREVER) {
        if (wf_mutex_lock(&out->lock, WF_FOREVER))
            abort(); /* neither cancelled nor late: the lock was used wrongly */
    }
}

static void unlock(struct output *out)
{
    wf_mutex_unlock(&out->lock);
}

/* What one write is about; made on a thread that may block. */
struct write_call {
    int fd;
    bool is_file;
    const char *data;
    size_t len;
    int err;
};

static void write_all(void *arg)
{
    struct write_call *call = arg;
    off_t start = call->is_file ? lseek(call->fd, 0, SEEK_CUR) : -1;
    size_t done = 0;
    while (done < call->len) {
        ssize_t n = write(call->fd, call->data + done, call->len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            call->err = -errno;
            break;
        }
        done += (size_t)n;
    }
    if (!call->err || start < 0)
        return;
    /* Cut back to the last whole line. */
    while (done > 0 && call->data[done - 1] != '\n')
        done--;
    if (ftruncate(call->fd, start + (off_t)done) == 0)
        lseek(call->fd, start + (off_t)done, SEEK_SET);
}

static uint64_t count_lines(const char *data, size_t len)
{
    uint64_t lines = 0;
    for (const char *at = data; (at = memchr(at, '\n', len - (size_t)(at - data))); at++)
        lines++;
    return lines;
}

/* Writes what waits. With the lock, which it gives up meanwhile. */
static void write_pending(struct output *out)
{
    struct write_call call = {out->fd, out->is_file, out->pending, out->len, 0};
    uint64_t lines = out->pending_lines;
    out->pending = NULL;
    out->len = out->size = 0;
    out->pending_lines = 0;
    out->writing = true;
    unlock(out);
    int err = wf_block(write_all, &call);
    lock(out);
    if (!err)
        err = call.err;
    out->writing = false;
    out->wrote_ns = wf_now();
    if (!err)
        out->lines_written += lines;
    else if (!out->error.code)
        wf_error_set(&out->error, err, "cannot write %s: %s", out->path,
                     err == -EPIPE ? "the reader has gone" : wf_strerror(err));
    free((char *)(uintptr_t)call.data);
    wf_condition_notify_all(&out->written);
}

static int append(struct output *out, const char *line, size_t len)
{
    if (len > out->size - out->len) {
        size_t size = out->size ? 2 * out->size : WRITE_BYTES + WRITE_BYTES / 2;
        while (size < out->len + len)
            size *= 2;
        char *grown = realloc(out->pending, size);
        if (!grown)
            return -ENOMEM;
        out->pending = grown;
        out->size = size;
    }
    memcpy(out->pending + out->len, line, len);
    out->len += len;
    out->pending_lines += count_lines(line, len);
    return 0;
}

int output_add(struct output *out, const char *line, size_t len, struct wf_error *reterr)
{
    int err = 0;
    lock(out);
    while (out->writing && out->len > PENDING_MAX && !out->error.code)
        WF_SHIELD(WF_FOREVER) {
            err = wf_condition_wait(&out->written, WF_FOREVER);
        }
    if (!err)
        err = out->error.code;
    if (!err)
        err = append(out, line, len);
    if (!err)
        out->lines_added++;
    if (!err && !out->writing &&
        (out->len >= WRITE_BYTES || wf_now() - out->wrote_ns >= WRITE_NS)) {
        write_pending(out);
        err = out->error.code;
    }
    if (err && out->error.code)
        *reterr = out->error;
    else if (err)
        wf_error_set(reterr, err, NULL);
    unlock(out);
    return err;
}

int output_flush(struct output *out, struct wf_error *reterr)
{
    lock(out);
    while (!out->error.code && (out->writing || out->len > 0)) {
        if (!out->writing) {
            write_pending(out);
            continue;
        }
        WF_SHIELD(WF_FOREVER) {
            int err = wf_condition_wait(&out->written, WF_FOREVER);
            (void)err; /* looked at again */
        }
    }
    int err = out->error.code;
    if (err && reterr)
        *reterr = out->error;
    unlock(out);
    return err;
}

uint64_t output_lines(struct output *out)
{
    lock(out);
    uint64_t lines = out->lines_written;
    unlock(out);
    return lines;
}

int output_close(struct output *out, struct wf_error *reterr)
{
    int err = output_flush(out, reterr);
    if (out->fd != STDOUT_FILENO && close(out->fd) && !err)
        err = wf_error_set(reterr, -errno, "cannot write %s: %s", out->path, wf_strerror(-errno));
    free(out->pending);
    wf_condition_fini(&out->written);
    wf_mutex_fini(&out->lock);
    return err;
}
