/* SPDX-License-Identifier: MIT */
#include "run/print.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/json.h>

/* How long a reader may take once the run is to end. */
#define PATIENCE_MS 1000
/* Piece of a line of JSON: as long as it is read from the spill. */
#define JSON_BYTES (64 * 1024)

static bool may_block(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && !S_ISREG(status.st_mode);
}

void printer_init(struct printer *printer, struct spill *spill, int log_fd, int stop_fd)
{
    *printer = (struct printer){.out_fd = STDOUT_FILENO,
                                .err_fd = STDERR_FILENO,
                                .log_fd = log_fd,
                                .stop_fd = stop_fd,
                                .out_blocks = may_block(STDOUT_FILENO),
                                .err_blocks = may_block(STDERR_FILENO),
                                .spill = spill};
}

/* ---- writing ---- */

/* Until `fd` takes PIPE_BUF bytes. Returns 0, or -ECANCELED when the run ends and it does not. */
static int wait_writable(const struct printer *printer, int fd)
{
    struct pollfd fds[] = {{.fd = fd, .events = POLLOUT},
                           {.fd = printer->stop_fd, .events = POLLIN}};
    while (poll(fds, 2, -1) < 0)
        if (errno != EINTR)
            return -errno;
    if (fds[0].revents)
        return 0;
    int count;
    do
        count = poll(fds, 1, PATIENCE_MS);
    while (count < 0 && errno == EINTR);
    return count > 0 ? 0 : -ECANCELED;
}

static int write_fd(const struct printer *printer, int fd, bool blocks, const char *data,
                    size_t len)
{
    while (len) {
        int err = blocks ? wait_writable(printer, fd) : 0;
        if (err)
            return err;
        ssize_t count = write(fd, data, blocks && len > PIPE_BUF ? PIPE_BUF : len);
        if (count < 0 && (errno == EINTR || (errno == EAGAIN && blocks)))
            continue;
        if (count < 0)
            return -errno;
        data += count;
        len -= (size_t)count;
    }
    return 0;
}

struct target {
    const struct printer *printer;
    bool to_err;
};

static int write_piece(void *arg, const char *data, size_t len)
{
    const struct target *target = arg;
    const struct printer *printer = target->printer;
    return target->to_err ? write_fd(printer, printer->err_fd, printer->err_blocks, data, len)
                          : write_fd(printer, printer->out_fd, printer->out_blocks, data, len);
}

static int failed(int err, const char *what, struct wf_error *reterr)
{
    if (err == -ECANCELED)
        return wf_error_set(reterr, err, "%s: nobody reads it", what);
    return wf_error_set(reterr, err, "cannot write %s: %s", what,
                        err == -EPIPE ? "the reader has gone" : wf_strerror(err));
}

static int print_capture(struct printer *printer, const struct capture *capture, bool to_err,
                         struct wf_error *reterr)
{
    struct target target = {printer, to_err};
    int err = capture_each(capture, printer->spill, write_piece, &target);
    return err ? failed(err, to_err ? "standard error" : "standard output", reterr) : 0;
}

/* ---- JSON ---- */

struct json {
    const struct printer *printer;
    struct wf_json_writer *writer;
    struct words line; /* what has not been written yet */
    char rest[4];      /* the beginning of a character whose end is in the next piece */
    size_t rest_len;
    int err;
};

/* How many bytes at the end of `data` may begin a character that goes on behind it. */
static size_t unfinished(const char *data, size_t len)
{
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        unsigned char c = (unsigned char)data[len - back];
        if ((c & 0xc0) == 0x80)
            continue;
        size_t needed = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
        return needed > back ? back : 0;
    }
    return 0;
}

static void flush_json(struct json *json, size_t keep)
{
    if (json->err || json->line.len <= keep)
        return;
    const struct printer *printer = json->printer;
    if (json->line.failed)
        json->err = -ENOMEM;
    else
        json->err = write_fd(printer, printer->out_fd, printer->out_blocks, json->line.bytes,
                             json->line.len);
    words_clear(&json->line);
}

/* Bytes that end with a character, as a part of a string. */
static void put_escaped(struct json *json, const char *data, size_t len)
{
    const char *text;
    size_t text_len;
    wf_json_writer_clear(json->writer);
    wf_json_write_string(json->writer, data, len);
    int err = wf_json_writer_text(json->writer, &text, &text_len);
    if (err)
        json->err = err;
    else
        words_put(&json->line, text + 1, text_len - 2);
    flush_json(json, JSON_BYTES);
}

static int json_piece(void *arg, const char *data, size_t len)
{
    struct json *json = arg;
    while (json->rest_len && len && !json->err) {
        /* One byte more, until the character is whole or turns out to be none. */
        json->rest[json->rest_len++] = *data++;
        len--;
        if (unfinished(json->rest, json->rest_len) != json->rest_len) {
            size_t over = unfinished(json->rest, json->rest_len);
            char last = json->rest[json->rest_len - 1];
            put_escaped(json, json->rest, json->rest_len - over);
            json->rest[0] = last;
            json->rest_len = over;
        }
    }
    size_t over = unfinished(data, len);
    if (len > over && !json->err)
        put_escaped(json, data, len - over);
    if (over) {
        memcpy(json->rest, data + len - over, over);
        json->rest_len = over;
    }
    return json->err;
}

static void put_capture(struct json *json, const char *key, const struct capture *capture)
{
    words_puts(&json->line, key);
    int err = json->err ? 0 : capture_each(capture, json->printer->spill, json_piece, json);
    if (err)
        json->err = err;
    if (json->rest_len && !json->err)
        put_escaped(json, json->rest, json->rest_len);
    json->rest_len = 0;
    words_puts(&json->line, "\"");
}

static int print_json(struct printer *printer, const struct result *result, struct wf_error *reterr)
{
    struct json json = {.printer = printer};
    json.err = wf_json_writer_create(NULL, &json.writer);
    words_put(&json.line, result->head.bytes, result->head.len);
    put_capture(&json, ",\"stdout\":\"", &result->out);
    put_capture(&json, ",\"stderr\":\"", &result->err);
    words_puts(&json.line, "}\n");
    flush_json(&json, 0);
    words_fini(&json.line);
    wf_json_writer_destroy(json.writer);
    return json.err ? failed(json.err, "standard output", reterr) : 0;
}

/* ---- results ---- */

int printer_print(struct printer *printer, const struct result *result, struct wf_error *reterr)
{
    if (printer->terminal && (result->out.total || result->err.total || result->head.len))
        write_fd(printer, printer->err_fd, printer->err_blocks, "\r\033[K", 4);
    int err = 0;
    if (result->head.failed || result->line.failed)
        return wf_error_set(reterr, -ENOMEM, NULL);
    if (result->head.len) {
        err = print_json(printer, result, reterr);
    } else {
        err = print_capture(printer, &result->out, false, reterr);
        if (!err)
            err = print_capture(printer, &result->err, true, reterr);
    }
    if (!err && printer->log_fd >= 0) {
        err = write_fd(printer, printer->log_fd, false, result->line.bytes, result->line.len);
        if (err)
            failed(err, "the log", reterr);
    }
    return err;
}

int printer_write(struct printer *printer, bool to_err, const char *data, size_t len,
                  struct wf_error *reterr)
{
    struct target target = {printer, to_err};
    int err = write_piece(&target, data, len);
    return err ? failed(err, to_err ? "standard error" : "standard output", reterr) : 0;
}

bool result_is_empty(const struct result *result)
{
    return !result->out.total && !result->err.total && !result->line.len && !result->head.len;
}

void result_clear(struct result *result, struct spill *spill)
{
    capture_clear(&result->out, spill);
    capture_clear(&result->err, spill);
    words_clear(&result->line);
    words_clear(&result->head);
}

void result_fini(struct result *result, struct spill *spill)
{
    capture_fini(&result->out, spill);
    capture_fini(&result->err, spill);
    words_fini(&result->line);
    words_fini(&result->head);
}
