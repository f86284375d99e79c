/* SPDX-License-Identifier: MIT */
/*
 * The routes of weft/debug.h. Each begins with admit(), which lets in this machine alone.
 *
 * Whoever follows the events shares one snapshot a second: the first that finds it old makes a new
 * one, under the lock, and all send copies of their own. A stream of events ends when the server is
 * stopping, so that it does not hold up the end of the program; browsers come again by themselves.
 */
#include <weft/debug.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/task.h>

#include "base/alloc.h"
#include "http/connection.h"
#include "http/debug.h"
#include "http/debug_snapshot.h"
#include "http/loopback.h"

/* How old a snapshot may be to be shown again: less than a second, more than two clients that come
 * one behind the other are apart. */
#define FRESH_NS WF_MILLISECONDS(900)
#define EVERY_NS WF_SECONDS(1)
/* How often a stream looks whether the server stops. */
#define LOOK_NS WF_MILLISECONDS(100)

enum {
    STREAMS_MAX = 32, /* of events, at a time; a person has one or two */
    PIECE = 32,       /* of a walk: what is held in memory of all tasks */
};

struct wfi_debug {
    struct wf_server *server;
    struct wf_mutex lock;
    /* Under the lock. */
    struct wfi_debug_past past;
    struct wfi_buffer text; /* the last snapshot */
    int64_t made_ns;

    WFI_ATOMIC(int) streams;
};

/* ---- who may look ---- */

static void look_at_forwarded(void *arg, const char *name, const char *value)
{
    struct wfi_text field = {name, strlen(name)}, list = {value, strlen(value)};
    if (wfi_text_is_nocase(field, "x-forwarded-for") && !wfi_loopback_forwarded(list))
        *(bool *)arg = false;
    /* Its newer form is not read: who sends it is a proxy that speaks for somebody. */
    if (wfi_text_is_nocase(field, "forwarded"))
        *(bool *)arg = false;
}

/* Returns 0 when the handler may go on; else the answer is made, and what it came to is in *ret. */
static bool admit(struct wf_request *request, struct wf_response *response, int *ret)
{
    char peer[WF_ADDRESS_TEXT_BYTES];
    const char *host = wf_request_header(request, "host");
    wf_address_format(wf_request_peer(request), peer, sizeof peer);
    bool local = wfi_loopback_peer((struct wfi_text){peer, strlen(peer)}) && host &&
                 wfi_loopback_host((struct wfi_text){host, strlen(host)});
    wf_request_each_header(request, look_at_forwarded, &local);
    if (!local) {
        *ret = wf_response_error(response, 403, "this is shown to the machine itself alone");
        return false;
    }
    static const char *const fields[][2] = {
        {"Cache-Control", "no-store"},
        {"Content-Security-Policy",
         "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
         "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Referrer-Policy", "no-referrer"},
        {"X-Content-Type-Options", "nosniff"},
    };
    *ret = 0;
    for (size_t i = 0; i < sizeof fields / sizeof *fields && *ret == 0; i++)
        *ret = wf_response_header(response, fields[i][0], fields[i][1]);
    return *ret == 0;
}

/* ---- the page ---- */

static int serve_file(struct wf_request *request, struct wf_response *response, void *arg)
{
    int ret;
    (void)arg;
    if (!admit(request, response, &ret))
        return ret;
    const char *name = wf_request_param(request, "file");
    for (const struct wfi_debug_file *file = wfi_debug_files; file->name; file++)
        if (strcmp(file->name, name ? name : "index.html") == 0)
            return wf_response_send(response, 200, file->type, file->data, file->len);
    return 404;
}

static int serve_slash(struct wf_request *request, struct wf_response *response, void *arg)
{
    int ret;
    (void)arg;
    if (!admit(request, response, &ret))
        return ret;
    /* Relative to where it was asked for, since a proxy may have put something in front. */
    const char *path = wf_request_path(request), *slash = strrchr(path, '/');
    char location[256];
    snprintf(location, sizeof location, "%s/", slash + 1);
    return wf_response_redirect(response, 308, location);
}

/* ---- snapshots ---- */

/* Makes a new snapshot if the last is old, and copies it. Under the lock. */
static int renew(struct wfi_debug *debug, struct wfi_buffer *ret_text)
{
    int64_t now = wf_now();
    if (!debug->text.len || now - debug->made_ns >= FRESH_NS) {
        struct wf_json_writer *writer;
        const char *text;
        size_t len;
        int err = wf_json_writer_create(NULL, &writer);
        if (err)
            return err;
        err = wfi_debug_snapshot(debug->server, &debug->past, writer);
        if (!err)
            err = wf_json_writer_text(writer, &text, &len);
        wfi_buffer_clear(&debug->text);
        if (!err)
            err = wfi_buffer_append(&debug->text, text, len);
        wf_json_writer_destroy(writer);
        if (err)
            return err;
        debug->made_ns = now;
    }
    wfi_buffer_clear(ret_text);
    return wfi_buffer_append(ret_text, debug->text.data, debug->text.len);
}

static int current(struct wfi_debug *debug, struct wfi_buffer *ret_text)
{
    int err = wf_mutex_lock(&debug->lock, WF_FOREVER);
    if (err)
        return err;
    err = renew(debug, ret_text);
    wf_mutex_unlock(&debug->lock);
    return err;
}

static int serve_snapshot(struct wf_request *request, struct wf_response *response, void *arg)
{
    struct wfi_buffer text = {0};
    int ret;
    if (!admit(request, response, &ret))
        return ret;
    ret = current(arg, &text);
    if (!ret)
        ret = wf_response_send(response, 200, "application/json", text.data, text.len);
    wfi_buffer_reset(&text);
    return ret;
}

/* Until the next event is due, or the server stops. */
static int pause_before(const struct wfi_debug *debug, wf_deadline next)
{
    int err = 0;
    while (!err && wf_remaining(next) > 0 &&
           !wfi_load(&((struct wfi_debug *)(uintptr_t)debug)->server->stopping))
        err = wf_sleep(wf_earlier(next, wf_after(LOOK_NS)));
    return err;
}

static int follow(struct wfi_debug *debug, struct wf_response *response, struct wfi_buffer *text)
{
    int64_t retry_ns = WF_SECONDS(1);
    for (;;) {
        wf_deadline next = wf_after(EVERY_NS);
        int err = current(debug, text);
        const char *data = err ? NULL : wfi_buffer_text(text);
        if (!err && !data)
            err = -ENOMEM;
        if (!err)
            err = wf_response_event(response, &(struct wf_sse){.data = data, .retry_ns = retry_ns});
        if (!err)
            err = pause_before(debug, next);
        if (err || wfi_load(&debug->server->stopping))
            return err;
        retry_ns = 0;
    }
}

static int serve_events(struct wf_request *request, struct wf_response *response, void *arg)
{
    struct wfi_debug *debug = arg;
    struct wfi_buffer text = {0};
    int ret;
    if (!admit(request, response, &ret))
        return ret;
    if (strcmp(wf_request_method(request), "HEAD") == 0)
        return wf_response_begin(response, 200, "text/event-stream", -1);
    if (wfi_fetch_add(&debug->streams, 1) < STREAMS_MAX)
        ret = follow(debug, response, &text);
    else
        ret = wf_response_error(response, 503, "%d clients follow the events already", STREAMS_MAX);
    wfi_fetch_sub(&debug->streams, 1);
    wfi_buffer_reset(&text);
    return ret;
}

/* ---- all tasks ---- */

/* A list that is sent as it is found. */
struct list {
    struct wf_response *response;
    struct wf_json_writer *writer; /* NULL: as text */
    bool any;                      /* of the array that is open */
    int err;
};

static void send_bytes(struct list *list, const char *data, size_t len)
{
    if (!list->err)
        list->err = wf_response_write(list->response, data, len);
}

static void send_text(struct list *list, const char *text)
{
    send_bytes(list, text, strlen(text));
}

static void open_array(struct list *list, const char *before)
{
    if (list->writer)
        send_text(list, before);
    list->any = false;
}

static void close_array(struct list *list)
{
    if (list->writer)
        send_text(list, "]");
}

/* Sends what was written to the writer, as the next of the array. */
static void send_json(struct list *list)
{
    const char *text;
    size_t len;
    if (!list->err)
        list->err = wf_json_writer_text(list->writer, &text, &len);
    if (!list->err) {
        send_text(list, list->any ? ",\n" : "\n");
        send_bytes(list, text, len);
    }
    list->any = true;
    wf_json_writer_clear(list->writer);
}

static void __attribute__((format(printf, 2, 3)))
send_line(struct list *list, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text - 1, format, args);
    va_end(args);
    strcat(text, "\n");
    send_text(list, text);
}

static void show_worker(struct list *list, const struct wf_seen_worker *worker)
{
    if (list->writer) {
        wfi_debug_write_worker(list->writer, worker);
        send_json(list);
        return;
    }
    send_line(list,
              "worker %s_%d %s: %llu fibers, %llu queued, %llu jobs, %llu switches, %llu steals, "
              "%llu polls, %llu sleeps",
              worker->runtime, worker->index, worker->asleep ? "asleep" : "awake",
              (unsigned long long)worker->fibers, (unsigned long long)worker->queued,
              (unsigned long long)worker->jobs, (unsigned long long)worker->switches,
              (unsigned long long)worker->steals, (unsigned long long)worker->polls,
              (unsigned long long)worker->sleeps);
}

static void show_executor(struct list *list, const struct wf_seen_executor *executor)
{
    if (list->writer) {
        wfi_debug_write_executor(list->writer, executor);
        send_json(list);
        return;
    }
    send_line(list, "executor %s (%s): %u of %u workers, %llu queued, %llu running, %llu ended%s",
              executor->name, executor->engine, executor->alive, executor->workers,
              (unsigned long long)executor->queued, (unsigned long long)executor->running,
              (unsigned long long)executor->ended, executor->shut ? ", shut down" : "");
}

static void show_offload(struct list *list, const struct wf_seen_offload *offload)
{
    if (list->writer) {
        wfi_debug_write_offload(list->writer, offload);
        send_json(list);
        return;
    }
    send_line(list, "offload %s: %u of %u threads, %u idle, %llu queued, %llu calls", offload->name,
              offload->threads, offload->most, offload->idle, (unsigned long long)offload->queued,
              (unsigned long long)offload->calls);
}

static void show_process(struct list *list, const struct wf_seen_process *process)
{
    const struct wf_worker_info *info = &process->info;
    if (list->writer) {
        wfi_debug_write_process(list->writer, process);
        send_json(list);
        return;
    }
    send_line(list, "process %s_%u %d %s%s%s %.3f s, %zu KiB, %llu tasks, %u restarts",
              process->executor, process->place, info->pid, wfi_debug_process_state(info->state),
              info->task[0] ? " task " : "", info->task, (double)info->age_ns / 1e9,
              info->resident_bytes / 1024, (unsigned long long)info->tasks, info->restarts);
}

static void show_task(struct list *list, const struct wf_seen_task *task)
{
    if (list->writer) {
        wfi_debug_write_task(list->writer, task);
        send_json(list);
        return;
    }
    bool named = task->own_name[0] && strcmp(task->own_name, task->name) != 0;
    send_line(list, "task %s%s%s%s %s %.3f s on %s%s", task->name, named ? " (" : "",
              named ? task->own_name : "", named ? ")" : "",
              task->state == WF_FUTURE_PENDING ? "pending" : "running", (double)task->age_ns / 1e9,
              task->executor[0] ? task->executor : "no executor",
              task->asked ? ", asked to stop" : "");
}

static void show_party(struct list *list, const struct wf_seen_party *party)
{
    if (list->writer) {
        wfi_debug_write_party(list->writer, party);
        send_json(list);
        return;
    }
    char place[64], waits[128] = "";
    wfi_debug_place(party, place, sizeof place);
    if (party->state == WF_PARTY_WAITING)
        snprintf(waits, sizeof waits, " %.3f s for %s 0x%llx", (double)party->waits_ns / 1e9,
                 party->reason, (unsigned long long)party->object);
    const char *own = party->task.own_name;
    bool named = own[0] && strcmp(own, party->task.name) != 0;
    send_line(list, "%s %s%s%s%s%s%s %s%s", party->kind == WF_PARTY_FIBER ? "fiber" : "thread",
              place, party->task.name ? " task " : "", party->task.name ? party->task.name : "",
              named ? " (" : "", named ? own : "", named ? ")" : "",
              wfi_debug_party_state(party->state), waits);
}

/* A walk, and between two pieces of it whoever else wants to run. */
#define SHOW_ALL(list, type, inspect, show)                                    \
    do {                                                                       \
        struct wf_inspect_cursor cursor = {0};                                 \
        type piece[PIECE];                                                     \
        size_t count;                                                          \
        while (!(list)->err && (count = inspect(&cursor, piece, PIECE)) > 0) { \
            for (size_t i = 0; i < count && !(list)->err; i++)                 \
                show(list, &piece[i]);                                         \
            if (!(list)->err)                                                  \
                (list)->err = wf_yield();                                      \
        }                                                                      \
    } while (0)

static void show_everything(struct list *list)
{
    open_array(list, "{\"workers\":[");
    SHOW_ALL(list, struct wf_seen_worker, wf_inspect_workers, show_worker);
    close_array(list);
    open_array(list, ",\n\"executors\":[");
    SHOW_ALL(list, struct wf_seen_executor, wf_inspect_executors, show_executor);
    close_array(list);
    open_array(list, ",\n\"offload\":[");
    SHOW_ALL(list, struct wf_seen_offload, wf_inspect_offload, show_offload);
    close_array(list);
    open_array(list, ",\n\"processes\":[");
    SHOW_ALL(list, struct wf_seen_process, wf_inspect_processes, show_process);
    close_array(list);
    open_array(list, ",\n\"tasks\":[");
    SHOW_ALL(list, struct wf_seen_task, wf_inspect_tasks, show_task);
    close_array(list);
    open_array(list, ",\n\"parties\":[");
    SHOW_ALL(list, struct wf_seen_party, wf_inspect_parties, show_party);
    close_array(list);
    if (list->writer)
        send_text(list, "}\n");
}

/* What ?format= says; else whether Accept names JSON, which browsers do not. Returns 0 for text, 1
 * for JSON, or -EINVAL. */
static int wants_json(const struct wf_request *request)
{
    char format[16];
    ssize_t len = wf_request_query(request, "format", format, sizeof format);
    if (len == -ENOENT) {
        const char *accept = wf_request_header(request, "accept");
        return accept && strstr(accept, "application/json") != NULL;
    }
    if (len >= 0 && strcmp(format, "json") == 0)
        return 1;
    return len >= 0 && strcmp(format, "text") == 0 ? 0 : -EINVAL;
}

static int serve_tasks(struct wf_request *request, struct wf_response *response, void *arg)
{
    struct list list = {.response = response};
    int ret;
    (void)arg;
    if (!admit(request, response, &ret))
        return ret;
    int json = wants_json(request);
    if (json < 0)
        return wf_response_error(response, 400, "format is text or json");
    list.err = wf_response_header(response, "Vary", "Accept");
    if (!list.err && json)
        list.err = wf_json_writer_create(NULL, &list.writer);
    if (!list.err)
        list.err = wf_response_begin(response, 200,
                                     json ? "application/json" : "text/plain; charset=utf-8", -1);
    if (!list.err && strcmp(wf_request_method(request), "HEAD") != 0)
        show_everything(&list);
    wf_json_writer_destroy(list.writer);
    return list.err;
}

/* ---- mounting ---- */

static struct wfi_debug *create(struct wf_server *server)
{
    struct wfi_debug *debug = wfi_zalloc(sizeof *debug);
    if (debug) {
        debug->server = server;
        wf_mutex_init(&debug->lock);
    }
    return debug;
}

void wfi_debug_destroy(struct wfi_debug *debug)
{
    if (!debug)
        return;
    wf_mutex_fini(&debug->lock);
    wfi_buffer_reset(&debug->text);
    wfi_free(debug);
}

int wf_server_debug(struct wf_server *server, const char *prefix, struct wf_error *reterr)
{
    static const struct {
        const char *path;
        wf_handler handler;
        bool endless;
    } routes[] = {
        {"", serve_slash, false},        {"/", serve_file, false},
        {"/{file}", serve_file, false},  {"/tasks", serve_tasks, false},
        {"/events", serve_events, true}, {"/snapshot", serve_snapshot, false},
    };
    size_t len = prefix ? strlen(prefix) : 0;
    char path[256];
    if (len < 2 || prefix[0] != '/' || prefix[len - 1] == '/' || strpbrk(prefix, "{}") ||
        len > sizeof path - 16)
        return wf_error_set(reterr, -EINVAL,
                            "a prefix begins with a slash and does not end with one");
    if (server->debug)
        return wf_error_set(reterr, -EEXIST, "the server has such routes already");
    server->debug = create(server);
    if (!server->debug)
        return wf_error_set(reterr, -ENOMEM, NULL);
    int err = 0;
    for (size_t i = 0; i < sizeof routes / sizeof *routes && !err; i++) {
        snprintf(path, sizeof path, "%s%s", prefix, routes[i].path);
        struct wf_route route = {.method = "GET",
                                 .path = path,
                                 .handler = routes[i].handler,
                                 .arg = server->debug,
                                 .handler_ns = routes[i].endless ? INT64_MAX : 0};
        err = wf_server_route(server, &route, reterr);
    }
    return err;
}
