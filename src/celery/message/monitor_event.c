/* SPDX-License-Identifier: MIT */
#include "celery/message/monitor_event.h"

#include "celery/message/member.h"
#include "celery/message/message.h"

#include <errno.h>
#include <string.h>

static const struct {
    const char *name, *routing_key;
} types[] = {
    [WFI_EVENT_WORKER_ONLINE] = {"worker-online", "worker.online"},
    [WFI_EVENT_WORKER_HEARTBEAT] = {"worker-heartbeat", "worker.heartbeat"},
    [WFI_EVENT_WORKER_OFFLINE] = {"worker-offline", "worker.offline"},
    [WFI_EVENT_TASK_SENT] = {"task-sent", "task.sent"},
    [WFI_EVENT_TASK_RECEIVED] = {"task-received", "task.received"},
    [WFI_EVENT_TASK_STARTED] = {"task-started", "task.started"},
    [WFI_EVENT_TASK_SUCCEEDED] = {"task-succeeded", "task.succeeded"},
    [WFI_EVENT_TASK_FAILED] = {"task-failed", "task.failed"},
    [WFI_EVENT_TASK_RETRIED] = {"task-retried", "task.retried"},
    [WFI_EVENT_TASK_REVOKED] = {"task-revoked", "task.revoked"},
    [WFI_EVENT_TASK_REJECTED] = {"task-rejected", "task.rejected"},
    [WFI_EVENT_OTHER] = {"", ""},
};

const char *wfi_event_type_name(enum wfi_event_type type)
{
    return types[type].name;
}

const char *wfi_event_routing_key(enum wfi_event_type type)
{
    return types[type].routing_key;
}

static void write_worker(struct wf_json_writer *w, const struct wfi_celery_event *e)
{
    wfi_member_double(w, "freq", e->freq_s);
    wfi_member_int(w, "active", e->active);
    wfi_member_int(w, "processed", e->processed);
    wf_json_write_key(w, "loadavg");
    wf_json_write_array(w);
    for (size_t i = 0; i < 3; i++)
        wf_json_write_double(w, e->loadavg[i]);
    wf_json_write_end(w);
    wfi_member_text(w, "sw_ident", e->sw_ident);
    wfi_member_text(w, "sw_ver", e->sw_ver);
    wfi_member_text(w, "sw_sys", e->sw_sys);
}

static void write_times(struct wf_json_writer *w, const struct wfi_celery_event *e)
{
    wfi_member_int(w, "retries", e->retries);
    wfi_member_text(w, "eta", e->eta);
    wfi_member_text(w, "expires", e->expires);
}

static void write_call(struct wf_json_writer *w, const struct wfi_celery_event *e)
{
    wfi_member_text(w, "name", e->name);
    wfi_member_text(w, "args", e->args);
    wfi_member_text(w, "kwargs", e->kwargs);
}

static void write_family(struct wf_json_writer *w, const struct wfi_celery_event *e)
{
    wfi_member_text(w, "root_id", e->root_id);
    wfi_member_text(w, "parent_id", e->parent_id);
}

static void write_task(struct wf_json_writer *w, const struct wfi_celery_event *e)
{
    wfi_member_text(w, "uuid", e->uuid);
    switch (e->type) {
    case WFI_EVENT_TASK_SENT:
        write_family(w, e);
        write_call(w, e);
        write_times(w, e);
        wfi_member_text(w, "queue", e->queue);
        wfi_member_text(w, "exchange", e->exchange);
        wfi_member_text(w, "routing_key", e->routing_key);
        break;
    case WFI_EVENT_TASK_RECEIVED:
        write_call(w, e);
        write_family(w, e);
        write_times(w, e);
        break;
    case WFI_EVENT_TASK_SUCCEEDED:
        wfi_member_text(w, "result", e->result);
        wfi_member_double(w, "runtime", e->runtime_s);
        break;
    case WFI_EVENT_TASK_FAILED:
    case WFI_EVENT_TASK_RETRIED:
        wfi_member_text(w, "exception", e->exception);
        if (e->traceback) /* as of a task that nobody has registered */
            wfi_member_text(w, "traceback", e->traceback);
        break;
    case WFI_EVENT_TASK_REVOKED:
        wfi_member_bool(w, "terminated", e->terminated);
        wf_json_write_key(w, "signum");
        if (e->signum)
            wf_json_write_int(w, e->signum);
        else
            wf_json_write_null(w);
        wfi_member_bool(w, "expired", e->expired);
        break;
    case WFI_EVENT_TASK_REJECTED:
        wfi_member_bool(w, "requeue", e->requeue);
        break;
    default:
        break;
    }
}

void wfi_event_write(struct wf_json_writer *w, const struct wfi_celery_event *e)
{
    wf_json_write_object(w);
    wfi_member_text(w, "hostname", e->hostname);
    wfi_member_int(w, "utcoffset", e->utcoffset);
    wfi_member_int(w, "pid", e->pid);
    wfi_member_int(w, "clock", e->clock);
    if (e->type <= WFI_EVENT_WORKER_OFFLINE)
        write_worker(w, e);
    else
        write_task(w, e);
    wfi_member_double(w, "timestamp", e->timestamp);
    wfi_member_text(w, "type", wfi_event_type_name(e->type));
    wf_json_write_end(w);
}

static const char *text_in(const struct wf_json_value *value, const char *key)
{
    return wfi_json_c_string(wf_json_get(value, key));
}

/* The number of a member; 0 when it has none. */
static int64_t int_in(const struct wf_json_value *value, const char *key)
{
    int64_t number = 0;
    wf_json_int(wf_json_get(value, key), &number);
    return number;
}

static double double_in(const struct wf_json_value *value, const char *key)
{
    double number = 0;
    wf_json_double(wf_json_get(value, key), &number);
    return number;
}

static bool bool_in(const struct wf_json_value *value, const char *key)
{
    bool truth = false;
    wf_json_bool(wf_json_get(value, key), &truth);
    return truth;
}

/* What fits into an int; else 0. */
static int small_in(const struct wf_json_value *value, const char *key)
{
    const int64_t number = int_in(value, key);
    return number >= -1000 && number <= 1000 ? (int)number : 0;
}

int wfi_event_read(const struct wf_json_value *value, struct wfi_celery_event *ret)
{
    const struct wf_json_value *loadavg = wf_json_get(value, "loadavg");
    const char *type = text_in(value, "type");
    struct wfi_celery_event e = {
        .type = WFI_EVENT_OTHER,
        .hostname = text_in(value, "hostname"),
        .pid = int_in(value, "pid"),
        .clock = int_in(value, "clock"),
        .utcoffset = small_in(value, "utcoffset"),
        .timestamp = double_in(value, "timestamp"),
        .freq_s = double_in(value, "freq"),
        .active = int_in(value, "active"),
        .processed = int_in(value, "processed"),
        .sw_ident = text_in(value, "sw_ident"),
        .sw_ver = text_in(value, "sw_ver"),
        .sw_sys = text_in(value, "sw_sys"),
        .uuid = text_in(value, "uuid"),
        .name = text_in(value, "name"),
        .args = text_in(value, "args"),
        .kwargs = text_in(value, "kwargs"),
        .root_id = text_in(value, "root_id"),
        .parent_id = text_in(value, "parent_id"),
        .eta = text_in(value, "eta"),
        .expires = text_in(value, "expires"),
        .retries = int_in(value, "retries"),
        .queue = text_in(value, "queue"),
        .exchange = text_in(value, "exchange"),
        .routing_key = text_in(value, "routing_key"),
        .result = text_in(value, "result"),
        .runtime_s = double_in(value, "runtime"),
        .exception = text_in(value, "exception"),
        .traceback = text_in(value, "traceback"),
        .terminated = bool_in(value, "terminated"),
        .expired = bool_in(value, "expired"),
        .signum = small_in(value, "signum"),
        .requeue = bool_in(value, "requeue"),
    };
    if (!type || !e.hostname)
        return WF_EPARSE;
    for (int t = 0; t < WFI_EVENT_OTHER; t++)
        if (strcmp(types[t].name, type) == 0)
            e.type = (enum wfi_event_type)t;
    for (size_t i = 0; i < 3; i++)
        wf_json_double(wf_json_at(loadavg, i), &e.loadavg[i]);
    *ret = e;
    return 0;
}

int wfi_event_write_redis(struct wf_json_writer *w, const char *hostname, const char *routing_key,
                          const char *delivery_tag, const char *body, size_t len)
{
    const struct wfi_properties properties = {.exchange = WFI_EVENT_EXCHANGE,
                                              .routing_key = routing_key,
                                              .delivery_tag = delivery_tag,
                                              .delivery_mode = 1};
    struct wf_json_writer *headers;
    struct wfi_json_piece piece = {0};
    int err = wfi_message_writer_create(&headers);
    if (err)
        return err;
    wf_json_write_object(headers);
    wfi_member_text(headers, "hostname", hostname);
    wf_json_write_end(headers);
    err = wf_json_writer_text(headers, &piece.text, &piece.len);
    if (!err)
        err = wfi_envelope_write_redis(w, &properties, &piece, body, len);
    wf_json_writer_destroy(headers);
    return err;
}

int wfi_event_batch_add(struct wfi_event_batch *batch, const struct wfi_celery_event *e)
{
    if (!batch->w) {
        const int err = wfi_message_writer_create(&batch->w);
        if (err)
            return err;
    }
    if (batch->count == 0) {
        wf_json_writer_clear(batch->w);
        wf_json_write_array(batch->w);
    }
    wfi_event_write(batch->w, e);
    return (int)++batch->count;
}

int wfi_event_batch_take(struct wfi_event_batch *batch, const char **ret_text, size_t *ret_len)
{
    const int count = (int)batch->count;
    if (count == 0)
        return 0;
    batch->count = 0;
    wf_json_write_end(batch->w);
    const int err = wf_json_writer_text(batch->w, ret_text, ret_len);
    return err ? err : count;
}

void wfi_event_batch_fini(struct wfi_event_batch *batch)
{
    wf_json_writer_destroy(batch->w);
    memset(batch, 0, sizeof *batch);
}
