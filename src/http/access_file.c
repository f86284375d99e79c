/* SPDX-License-Identifier: MIT */
/*
 * The access log as a file. Who notes appends a line to `pending` under the lock, which is held for
 * no longer than that; the log's thread takes all of it at once and writes it. It sleeps until a
 * line comes, then as long as others may join it, or until enough have.
 */
#include <weft/access_log.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <weft/event.h>
#include <weft/file.h>
#include <weft/scope.h>
#include <weft/thread.h>

#include "base/alloc.h"
#include "http/access_log.h"
#include "http/brief_lock.h"
#include "http/connection.h"
#include "http/date.h"

/* How long a line waits for others: short for who watches, and twenty writes a second at most. */
#define TOGETHER_NS WF_MILLISECONDS(50)
/* So much is worth a write at once. */
#define WRITE_BYTES ((size_t)64 * 1024)
#define BYTES_MAX ((size_t)4 * 1024 * 1024)
/* How often is looked whether the name still means this file, and tried again after an error. */
#define AGAIN_NS WF_SECONDS(1)

struct wf_access_log {
    enum wf_access_form form;
    size_t bytes_max;
    char *path;

    struct wf_mutex lock; /* of what follows, up to the events */
    struct wfi_buffer pending;
    uint64_t pending_lines;
    struct wf_json_writer *json; /* NULL in the common form */
    uint64_t untold;             /* dropped, and not said yet */
    struct wf_access_log_counts counts;
    bool closing;

    struct wf_event some;  /* something is pending, or the log is closing */
    struct wf_event hurry; /* much is pending, or the log is closing */
    struct wf_thread *thread;

    /* the thread's */
    struct wf_file *file;
    struct wf_file_info info; /* what was opened */
    int64_t looked_ns;
    int err; /* of the last write */
};

/* ---- lines ---- */

static int64_t now_s(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return now.tv_sec;
}

/* With the lock. */
static int append(struct wf_access_log *log, const struct wfi_access *line)
{
    if (!log->json)
        return wfi_access_common(&log->pending, line);
    const char *text;
    size_t len;
    wf_json_writer_clear(log->json);
    wfi_access_json(log->json, line);
    int err = wf_json_writer_text(log->json, &text, &len);
    return err ? err : wfi_buffer_append(&log->pending, text, len);
}

/* With the lock: says what is missing here. */
static void tell_dropped(struct wf_access_log *log)
{
    char text[80];
    int len = snprintf(text, sizeof text, "%llu lines of this log were dropped",
                       (unsigned long long)log->untold);
    struct wfi_text said = {text, (size_t)len};
    struct wfi_access line = {.time = now_s()};
    if (log->json)
        line.reason = said;
    else
        line.user_agent = said; /* the only field for words */
    if (append(log, &line) == 0) {
        log->pending_lines++;
        log->untold = 0;
    }
}

static void add(struct wf_access_log *log, const struct wfi_access *line)
{
    wfi_lock_briefly(&log->lock);
    size_t before = log->pending.len;
    if (log->untold && before < log->bytes_max && !log->closing)
        tell_dropped(log);
    if (log->closing || log->untold || before >= log->bytes_max || append(log, line)) {
        log->counts.dropped++;
        log->untold++;
    } else {
        log->pending_lines++;
    }
    size_t after = log->pending.len;
    wf_mutex_unlock(&log->lock);
    if (before == 0 && after)
        wf_event_set(&log->some);
    if (before < WRITE_BYTES && after >= WRITE_BYTES)
        wf_event_set(&log->hurry);
}

static struct wfi_text text_of(const char *text)
{
    return (struct wfi_text){text, text ? strlen(text) : 0};
}

static struct wfi_text field_of(const struct wfi_request_head *head, const char *name)
{
    const struct wfi_text *value = wfi_request_field(head, name);
    return value ? *value : (struct wfi_text){NULL, 0};
}

void wf_access_log_note(void *arg, const struct wf_request *request, const struct wf_access *access)
{
    struct wf_access_log *log = arg;
    struct wfi_access line = {
        .client = text_of(access->client),
        .status = access->status,
        .body_bytes = access->body_bytes,
        .elapsed_ns = access->elapsed_ns,
        .time = now_s() - access->elapsed_ns / WF_SECONDS(1),
        .reason = text_of(access->reason),
    };
    const struct wfi_request_head *head = request ? request->head : NULL;
    if (head) {
        line.client = text_of(wf_request_client(request));
        line.method = head->method_text;
        line.target = head->target;
        line.minor = head->minor;
        line.host = head->authority;
        line.referer = field_of(head, "Referer");
        line.user_agent = field_of(head, "User-Agent");
        line.route = text_of(wf_request_route(request));
        line.request_id = text_of(log->json ? wf_request_id(request) : NULL);
    }
    add(log, &line);
}

int wf_layer_log(struct wf_request *request, struct wf_response *response, struct wf_next *next,
                 void *log)
{
    int code = wf_next_run(next);
    struct wf_access access = {.status = wf_response_status(response, code),
                               .body_bytes = response->body_bytes,
                               .elapsed_ns = wf_now() - request->began_ns};
    wf_access_log_note(log, request, &access);
    return code;
}

/* ---- the thread ---- */

/* Opens the name again when it means something else by now, or nothing. */
static void follow_the_name(struct wf_access_log *log)
{
    struct wf_file_info info;
    struct wf_file *file;
    int64_t now = wf_now();
    if (now - log->looked_ns < AGAIN_NS || strcmp(log->path, "-") == 0)
        return;
    log->looked_ns = now;
    int err = wf_file_look(log->path, &info);
    if ((!err && info.device == log->info.device && info.inode == log->info.inode) ||
        (err && err != -ENOENT))
        return;
    if (wf_file_append(log->path, &file, &info))
        return; /* the old one is better than none */
    wf_file_close(log->file);
    log->file = file;
    log->info = info;
}

/* Whether it was set or the time is up is seen by what it is about. */
static void wait_for(struct wf_event *event, wf_deadline deadline)
{
    int err = wf_event_wait(event, deadline);
    (void)err;
}

/* Whether all was written. */
static bool write_batch(struct wf_access_log *log, const char *data, size_t len)
{
    bool last = false;
    follow_the_name(log);
    while (len) {
        ssize_t n = wf_file_write(log->file, data, len);
        log->err = n < 0 ? (int)n : 0;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
            continue;
        }
        if (last)
            return false;
        wait_for(&log->hurry, wf_after(AGAIN_NS));
        wfi_lock_briefly(&log->lock);
        last = log->closing;
        wf_mutex_unlock(&log->lock);
        if (!last)
            wf_event_clear(&log->hurry);
    }
    return true;
}

static int write_log(void *arg)
{
    struct wf_access_log *log = arg;
    for (bool closing = false; !closing;) {
        wait_for(&log->some, WF_FOREVER);
        wait_for(&log->hurry, wf_after(TOGETHER_NS));
        wfi_lock_briefly(&log->lock);
        struct wfi_buffer batch = log->pending;
        uint64_t lines = log->pending_lines;
        log->pending = (struct wfi_buffer){0};
        log->pending_lines = 0;
        closing = log->closing;
        if (!closing) {
            wf_event_clear(&log->some);
            wf_event_clear(&log->hurry);
        }
        wf_mutex_unlock(&log->lock);
        bool written = write_batch(log, batch.data, batch.len);
        wfi_buffer_reset(&batch);
        wfi_lock_briefly(&log->lock);
        *(written ? &log->counts.lines : &log->counts.dropped) += lines;
        wf_mutex_unlock(&log->lock);
    }
    return 0;
}

/* ---- the owner ---- */

static void destroy(struct wf_access_log *log)
{
    wf_thread_destroy(log->thread);
    wf_file_close(log->file);
    wf_json_writer_destroy(log->json);
    wfi_buffer_reset(&log->pending);
    wf_event_fini(&log->some);
    wf_event_fini(&log->hurry);
    wf_mutex_fini(&log->lock);
    wfi_free(log->path);
    wfi_free(log);
}

int wf_access_log_open(const struct wf_access_log_options *options, struct wf_access_log **ret_log,
                       struct wf_error *reterr)
{
    if (!options->path || options->form < WF_ACCESS_COMMON || options->form > WF_ACCESS_JSON)
        return wf_error_set(reterr, -EINVAL, "an access log has a path and a form");
    struct wf_access_log *log = wfi_zalloc(sizeof *log);
    if (!log)
        return wf_error_set(reterr, -ENOMEM, NULL);
    wf_mutex_init(&log->lock);
    wf_event_init(&log->some);
    wf_event_init(&log->hurry);
    log->form = options->form;
    log->bytes_max = options->bytes_max ? options->bytes_max : BYTES_MAX;
    log->path = wfi_strdup(options->path);
    int err = log->path ? 0 : -ENOMEM;
    if (!err && log->form == WF_ACCESS_JSON)
        err = wf_json_writer_create(NULL, &log->json);
    if (!err)
        err = wf_file_append(log->path, &log->file, &log->info);
    log->looked_ns = wf_now();
    if (err)
        wf_error_set(reterr, err, "%.200s: %s", options->path, wf_strerror(err));
    if (!err)
        err = wf_thread_create(&(struct wf_thread_options){.name = "access log"}, write_log, log,
                               &log->thread, reterr);
    if (!err && (err = wf_thread_start(log->thread)))
        wf_error_set(reterr, err, "access log: no thread");
    if (err)
        destroy(log);
    else
        *ret_log = log;
    return err;
}

void wf_access_log_count(struct wf_access_log *log, struct wf_access_log_counts *ret_counts)
{
    wfi_lock_briefly(&log->lock);
    *ret_counts = log->counts;
    wf_mutex_unlock(&log->lock);
}

int wf_access_log_close(struct wf_access_log *log, struct wf_error *reterr)
{
    if (!log)
        return 0;
    wfi_lock_briefly(&log->lock);
    if (log->untold)
        tell_dropped(log);
    log->closing = true;
    wf_mutex_unlock(&log->lock);
    wf_event_set(&log->some);
    wf_event_set(&log->hurry);
    WF_SHIELD(WF_FOREVER) {
        (void)wf_thread_join(log->thread, NULL, WF_FOREVER);
    }
    int err = log->err;
    if (err)
        wf_error_set(reterr, err, "%.200s: %s", log->path, wf_strerror(err));
    destroy(log);
    return err;
}
