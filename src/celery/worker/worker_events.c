/* SPDX-License-Identifier: MIT */
#include "celery/worker/worker_events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "celery/message/repr.h"

/* As Celery's; who watches takes a worker for dead when two are missing. */
#define BEAT_NS WF_SECONDS(2)
/* Batches between two looks at the time. */
#define ROUND_MAX 32

struct batch {
    struct wfi_link link;
    size_t len;
    char text[];
};

WF_TASK(wf_none, wfi_celery_events, (struct wfi_worker *, worker))

/* As the worker's lock. */
static void lock(struct wfi_events *events)
{
    struct wf_shield shield;
    wf_shield_enter(&shield, WF_FOREVER);
    int err = wf_mutex_lock(&events->lock, WF_FOREVER);
    wfi_assert(!err, "shielded and without a deadline, a lock is always had");
    wf_shield_leave(&shield);
}

static void unlock(struct wfi_events *events)
{
    wf_mutex_unlock(&events->lock);
}

/* ---- the clock ---- */

int64_t wfi_events_clock_next(struct wfi_worker *worker)
{
    lock(&worker->events);
    const int64_t clock = wfi_lamport_next(&worker->events.clock);
    unlock(&worker->events);
    return clock;
}

void wfi_events_clock_saw(struct wfi_worker *worker, int64_t seen)
{
    lock(&worker->events);
    wfi_lamport_saw(&worker->events.clock, seen);
    unlock(&worker->events);
}

int64_t wfi_events_clock(struct wfi_worker *worker)
{
    lock(&worker->events);
    const int64_t clock = worker->events.clock;
    unlock(&worker->events);
    return clock;
}

/* ---- adding ---- */

/* Hours west of UTC, as Python counts them. */
static int utcoffset(int64_t now_us)
{
    const time_t now = (time_t)(now_us / 1000000);
    struct tm local;
    return localtime_r(&now, &local) ? (int)(-local.tm_gmtoff / 3600) : 0;
}

/* Under the lock, since times and clock are to rise together. */
static void fill_in(struct wfi_worker *worker, struct wfi_celery_event *event)
{
    const int64_t now_us = wfi_worker_now_us();
    event->hostname = worker->name;
    event->pid = getpid();
    event->utcoffset = utcoffset(now_us);
    event->timestamp = (double)now_us / 1e6;
    event->clock = wfi_lamport_next(&worker->events.clock);
}

/* Makes the batch one of those that are full. Under the lock. */
static void close_batch(struct wfi_events *events)
{
    const char *text;
    size_t len;
    const size_t lost = events->batch.count;
    struct batch *batch = NULL;
    const int count = wfi_event_batch_take(&events->batch, &text, &len);
    if (count == 0)
        return;
    if (count > 0 && events->full_count < WFI_EVENTS_BATCHES_MAX)
        batch = wfi_alloc(sizeof *batch + len);
    if (!batch) {
        events->dropped += lost;
        return;
    }
    *batch = (struct batch){.len = len};
    memcpy(batch->text, text, len);
    wfi_list_push_back(&events->full, &batch->link);
    events->full_count++;
}

static void add(struct wfi_worker *worker, struct wfi_celery_event *event)
{
    struct wfi_events *events = &worker->events;
    lock(events);
    fill_in(worker, event);
    const int count = wfi_event_batch_add(&events->batch, event);
    if (count < 0)
        events->dropped++;
    else if (count >= WFI_EVENT_BATCH_MAX)
        close_batch(events);
    unlock(events);
    wf_event_set(&events->wake);
}

/* ---- of jobs ---- */

/* The value of a piece; *ret_owned is to be destroyed. NULL when it is no JSON, or for lack of
 * memory. */
static const struct wf_json_value *open_piece(const struct wfi_json_piece *piece,
                                              struct wf_json **ret_owned)
{
    *ret_owned = NULL;
    if (piece->value)
        return piece->value;
    if (!piece->text || wf_json_read(piece->text, piece->len, NULL, ret_owned, NULL))
        return NULL;
    return wf_json_root(*ret_owned);
}

void wfi_events_received(struct wfi_job *job)
{
    const struct wfi_message *m = &job->in.message;
    if (!wfi_events_wanted(&job->worker->events))
        return;
    add(job->worker, &(struct wfi_celery_event){.type = WFI_EVENT_TASK_RECEIVED,
                                                .uuid = m->id,
                                                .name = m->task,
                                                .args = m->argsrepr ? m->argsrepr : "",
                                                .kwargs = m->kwargsrepr ? m->kwargsrepr : "",
                                                .root_id = m->root_id,
                                                .parent_id = m->parent_id,
                                                .retries = m->retries,
                                                .eta = m->eta,
                                                .expires = m->expires});
}

void wfi_events_started(struct wfi_job *job)
{
    if (wfi_events_wanted(&job->worker->events))
        add(job->worker,
            &(struct wfi_celery_event){.type = WFI_EVENT_TASK_STARTED, .uuid = job->in.message.id});
}

void wfi_events_rejected(struct wfi_job *job, bool requeue)
{
    if (wfi_events_wanted(&job->worker->events))
        add(job->worker, &(struct wfi_celery_event){.type = WFI_EVENT_TASK_REJECTED,
                                                    .uuid = job->in.message.id,
                                                    .requeue = requeue});
}

static const char *shown(struct wfi_buffer *text)
{
    return wfi_buffer_text(text) ? wfi_buffer_text(text) : "";
}

static void succeeded(struct wfi_job *job, const struct wf_json_value *value)
{
    struct wfi_buffer text = {0};
    (void)wfi_repr(&text, value, 0);
    const double now = (double)wfi_worker_now_us() / 1e6;
    add(job->worker, &(struct wfi_celery_event){.type = WFI_EVENT_TASK_SUCCEEDED,
                                                .uuid = job->in.message.id,
                                                .result = shown(&text),
                                                .runtime_s = now - job->entry.started_s});
    wfi_buffer_reset(&text);
}

/* `exception` is one as it is stored. */
static void failed(struct wfi_job *job, enum wfi_event_type type,
                   const struct wf_json_value *exception, const char *traceback)
{
    struct wfi_buffer text = {0};
    const char *name = wfi_json_c_string(wf_json_get(exception, "exc_type"));
    (void)wfi_repr_call(&text, name ? name : "Exception", wf_json_get(exception, "exc_message"), 0);
    add(job->worker, &(struct wfi_celery_event){.type = type,
                                                .uuid = job->in.message.id,
                                                .exception = shown(&text),
                                                .traceback = traceback});
    wfi_buffer_reset(&text);
}

static void revoked(struct wfi_job *job, const struct wf_json_value *exception)
{
    const char *why = wfi_json_c_string(wf_json_at(wf_json_get(exception, "exc_message"), 0));
    const bool terminated = why && strcmp(why, "terminated") == 0;
    add(job->worker,
        &(struct wfi_celery_event){.type = WFI_EVENT_TASK_REVOKED,
                                   .uuid = job->in.message.id,
                                   .terminated = terminated,
                                   .signum = terminated ? wfi_load(&job->entry.signum) : 0,
                                   .expired = why && strcmp(why, "expired") == 0});
}

void wfi_events_stored(struct wfi_job *job, enum wfi_task_state state,
                       const struct wfi_json_piece *result, const char *traceback)
{
    struct wf_json *owned;
    if (!wfi_events_wanted(&job->worker->events) || state == WFI_STATE_STARTED)
        return;
    const struct wf_json_value *value = open_piece(result, &owned);
    if (state == WFI_STATE_SUCCESS)
        succeeded(job, value);
    else if (state == WFI_STATE_REVOKED)
        revoked(job, value);
    else if (state == WFI_STATE_FAILURE)
        failed(job, WFI_EVENT_TASK_FAILED, value, traceback);
    else if (state == WFI_STATE_RETRY)
        failed(job, WFI_EVENT_TASK_RETRIED, value, traceback);
    wf_json_destroy(owned);
}

/* ---- sending ---- */

static int tell(struct wfi_worker *worker, const char *routing_key, const char *text, size_t len)
{
    struct wf_error error = {0};
    const struct wfi_broker_note note = {
        .exchange = WFI_EVENT_EXCHANGE,
        .routing_key = routing_key,
        .everybody = true,
        .headers = {.text = worker->events.headers, .len = strlen(worker->events.headers)},
        .body = text,
        .len = len};
    return wfi_broker_tell(worker->broker, &note, wf_after(BEAT_NS), &error);
}

/* An event of the worker's own. One that does not get out in time is not missed later. */
static void tell_own(struct wfi_worker *worker, enum wfi_event_type type)
{
    struct wfi_events *events = &worker->events;
    struct wf_json_writer *w;
    const char *text;
    size_t len;
    struct wfi_celery_event event = {.type = type,
                                     .freq_s = (double)BEAT_NS / 1e9,
                                     .active = wfi_load_relaxed(&events->active),
                                     .processed = wfi_load_relaxed(&events->processed),
                                     .sw_ident = "weft",
                                     .sw_ver = WFI_WEFT_VERSION,
                                     .sw_sys = "Linux"};
    if (worker->options->no_heartbeat || wfi_message_writer_create(&w))
        return;
    (void)getloadavg(event.loadavg, 3);
    for (size_t i = 0; i < 3; i++) /* two digits, as they are shown */
        event.loadavg[i] = (double)(int64_t)(event.loadavg[i] * 100 + 0.5) / 100;
    lock(events);
    fill_in(worker, &event);
    unlock(events);
    wfi_event_write(w, &event);
    if (!wf_json_writer_text(w, &text, &len))
        (void)tell(worker, wfi_event_routing_key(type), text, len);
    wf_json_writer_destroy(w);
}

/* The oldest batch, closed early if it is the only one; NULL: there is no event. */
static struct batch *first_batch(struct wfi_events *events, size_t *ret_dropped)
{
    lock(events);
    if (wfi_list_empty(&events->full))
        close_batch(events);
    struct wfi_link *link = wfi_list_first(&events->full);
    *ret_dropped = events->dropped;
    events->dropped = 0;
    unlock(events);
    return link ? wfi_container_of(link, struct batch, link) : NULL;
}

/* What there is, but no more than a heartbeat can wait for: the rest is for the next round. A batch
 * that did not get out is tried again, until the worker ends, which then waits for no other. */
static void tell_tasks(struct wfi_worker *worker)
{
    struct wfi_events *events = &worker->events;
    const bool ended = wfi_load(&events->ended);
    size_t dropped;
    for (size_t count = 0; ended || count < ROUND_MAX; count++) {
        struct batch *batch = first_batch(events, &dropped);
        if (dropped)
            wfi_worker_say(worker, WF_CELERY_WARNING, "%zu events were dropped", dropped);
        if (!batch)
            return;
        const int err = tell(worker, WFI_EVENT_MULTI_KEY, batch->text, batch->len);
        if (err == -ETIMEDOUT)
            return;
        lock(events);
        wfi_list_remove(&batch->link);
        events->full_count--;
        unlock(events);
        wfi_free(batch);
        if (err == -EPIPE)
            return;
    }
    wf_event_set(&events->wake);
}

int wfi_celery_events(struct wf_task *self, struct wfi_worker *worker, wf_none *ret)
{
    struct wfi_events *events = &worker->events;
    wf_deadline beat = WF_FOREVER; /* none before there is a connection */
    int err = 0;
    (void)self, (void)ret;
    while (err != -ECANCELED) {
        wf_event_clear(&events->wake);
        const bool ended = wfi_load(&events->ended);
        if (wfi_exchange(&events->online, false)) {
            tell_own(worker, WFI_EVENT_WORKER_ONLINE);
            beat = WF_NOW;
        }
        tell_tasks(worker);
        if (ended)
            break;
        if (wf_remaining(beat) == 0) {
            tell_own(worker, WFI_EVENT_WORKER_HEARTBEAT);
            beat = worker->options->no_heartbeat ? WF_FOREVER : wf_after(BEAT_NS);
        }
        err = wf_event_wait(&events->wake, beat);
    }
    if (beat.ns != WF_FOREVER.ns) /* somebody was told that it is there */
        tell_own(worker, WFI_EVENT_WORKER_OFFLINE);
    return 0;
}
WF_TASK_DEFINE(wfi_celery_events)

struct wf_future *wfi_events_start(struct wfi_worker *worker, struct wf_executor *on)
{
    return wfi_celery_events_submit(on, worker).future;
}

void wfi_events_end(struct wfi_worker *worker)
{
    wfi_store(&worker->events.ended, true);
    wf_event_set(&worker->events.wake);
}

void wfi_events_connected(struct wfi_worker *worker)
{
    wfi_store(&worker->events.online, true);
    wf_event_set(&worker->events.wake);
}

void wfi_events_beat(struct wfi_worker *worker)
{
    tell_own(worker, WFI_EVENT_WORKER_HEARTBEAT);
}

/* ---- the whole ---- */

int wfi_events_init(struct wfi_worker *worker)
{
    struct wfi_events *events = &worker->events;
    struct wf_json_writer *w;
    const char *text;
    size_t len;
    wf_event_init(&events->wake);
    wf_mutex_init(&events->lock);
    int err = wfi_message_writer_create(&w);
    if (err)
        return err;
    wf_json_write_object(w);
    wf_json_write_key(w, "hostname");
    wfi_json_write_text(w, worker->name);
    wf_json_write_end(w);
    err = wf_json_writer_text(w, &text, &len);
    if (!err && !(events->headers = wfi_strdup(text)))
        err = -ENOMEM;
    wf_json_writer_destroy(w);
    wfi_store(&events->tasks, worker->options->events);
    return err;
}

void wfi_events_fini(struct wfi_worker *worker)
{
    struct wfi_events *events = &worker->events;
    for (struct wfi_link *link; (link = wfi_list_pop_front(&events->full));)
        wfi_free(wfi_container_of(link, struct batch, link));
    wfi_event_batch_fini(&events->batch);
    wf_event_fini(&events->wake);
    wf_mutex_fini(&events->lock);
    wfi_free(events->headers);
}
