/* SPDX-License-Identifier: MIT */
/*
 * Remote control that only looks: what the worker does, has and is. What Celery 5.2.6 answers is
 * the model.
 */
#include "celery/worker/worker_inspect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <weft/processes.h>

#include "base/alloc.h"
#include "celery/message/base64.h"
#include "celery/message/control.h"
#include "celery/message/member.h"
#include "celery/message/moment.h"
#include "celery/worker/worker_events.h"
#include "celery/worker/worker_jobs.h"
#include "celery/worker/worker_pool.h"

/* What is unpacked of a message that does not run yet, to show its arguments. */
#define SHOWN_BYTES_MAX ((size_t)1 << 20)

/* ---- looking at jobs ---- */

static bool is_scheduled(const struct wfi_job *job)
{
    return job->entry.stage == WFI_JOB_WAITING && job->in.message.eta &&
           job->in.message.eta_us > wfi_worker_now_us();
}

/* A body that is not open: opened here, and thrown away. The message stays as it is, since its
 * fiber may not look at it before the lock is given up. */
static struct wf_json *peek(const struct wfi_job *job, struct wfi_buffer *ret_space)
{
    struct wfi_envelope envelope = job->in.envelope;
    struct wf_json *body = NULL;
    envelope.space = (struct wfi_buffer){0};
    if (envelope.body_len > wfi_base64_encoded_len(SHOWN_BYTES_MAX) ||
        wfi_buffer_append(&envelope.space, envelope.body, envelope.body_len))
        return NULL;
    envelope.body = envelope.space.data; /* it is decoded where it lies */
    if (!wfi_envelope_open(&envelope, SHOWN_BYTES_MAX, NULL) &&
        envelope.body_len <= SHOWN_BYTES_MAX)
        (void)wf_json_read(envelope.body, envelope.body_len, NULL, &body, NULL);
    *ret_space = envelope.space;
    return body;
}

/* The process that runs it; 0: none does yet, or any more. Under the lock. */
static int64_t pid_of(const struct wfi_job *job)
{
    if (job->entry.stage != WFI_JOB_ACTIVE)
        return 0;
    if (!job->worker->states)
        return getpid();
    return job->entry.running ? wf_processes_task_pid(job->entry.running) : 0;
}

/* Under the lock. With its eta it is written as one that is scheduled. */
static void write_job(struct wf_json_writer *w, const struct wfi_job *job, bool with_eta)
{
    const struct wfi_message *m = &job->in.message;
    const int stage = wfi_load(&job->entry.body);
    struct wfi_buffer space = {0};
    struct wf_json *body = stage == WFI_BODY_CLOSED ? peek(job, &space) : NULL;
    struct wfi_control_task task = {.id = m->id,
                                    .name = m->task,
                                    .hostname = job->worker->name,
                                    .time_start = job->entry.started_s,
                                    .acknowledged = wfi_load(&job->entry.is_done),
                                    .exchange = m->properties.exchange,
                                    .routing_key = m->properties.routing_key,
                                    .priority = m->properties.priority,
                                    .redelivered = m->properties.redelivered,
                                    .tells_first = job->worker->amqp,
                                    .worker_pid = pid_of(job)};
    if (stage == WFI_BODY_OPEN) {
        task.args = m->args;
        task.kwargs = m->kwargs;
    } else if (body) {
        task.args.value = wf_json_at(wf_json_root(body), 0);
        task.kwargs.value = wf_json_at(wf_json_root(body), 1);
    }
    char eta[WFI_MOMENT_BYTES];
    if (with_eta) {
        wfi_moment_write(m->eta_us, true, eta);
        wfi_control_write_scheduled(w, eta, &task);
    } else {
        wfi_control_write_task(w, &task);
    }
    wf_json_destroy(body);
    wfi_buffer_reset(&space);
}

static void active(struct wfi_ask *ask)
{
    wf_json_write_array(ask->w);
    wfi_worker_lock(ask->worker);
    for (struct wfi_job *job = NULL; (job = wfi_jobs_next(ask->worker, job));)
        if (job->entry.stage == WFI_JOB_ACTIVE)
            write_job(ask->w, job, false);
    wfi_worker_unlock(ask->worker);
    wf_json_write_end(ask->w);
}

static void reserved(struct wfi_ask *ask)
{
    wf_json_write_array(ask->w);
    wfi_worker_lock(ask->worker);
    for (struct wfi_job *job = NULL; (job = wfi_jobs_next(ask->worker, job));)
        if (job->entry.stage == WFI_JOB_WAITING && !is_scheduled(job))
            write_job(ask->w, job, false);
    wfi_worker_unlock(ask->worker);
    wf_json_write_end(ask->w);
}

static void scheduled(struct wfi_ask *ask)
{
    wf_json_write_array(ask->w);
    wfi_worker_lock(ask->worker);
    for (struct wfi_job *job = NULL; (job = wfi_jobs_next(ask->worker, job));)
        if (is_scheduled(job))
            write_job(ask->w, job, true);
    wfi_worker_unlock(ask->worker);
    wf_json_write_end(ask->w);
}

static void query_task(struct wfi_ask *ask)
{
    struct wfi_revoked ids;
    const struct wf_json_value *asked = wfi_ask_argument(ask, "ids");
    if (!wfi_ask_text_count(asked)) {
        wfi_ask_write_missing(ask, "ids");
        return;
    }
    if (wfi_ask_ids(asked, &ids)) {
        wfi_ask_write_no_memory(ask);
    } else {
        wf_json_write_object(ask->w);
        wfi_worker_lock(ask->worker);
        for (struct wfi_job *job = NULL; (job = wfi_jobs_next(ask->worker, job));) {
            if (!wfi_revoked_has(&ids, job->in.message.id, 0))
                continue;
            wf_json_write_key(ask->w, job->in.message.id);
            wf_json_write_array(ask->w);
            wfi_json_write_text(ask->w, job->entry.stage == WFI_JOB_ACTIVE ? "active"
                                        : is_scheduled(job)                ? "scheduled"
                                                                           : "reserved");
            write_job(ask->w, job, false);
            wf_json_write_end(ask->w);
        }
        wfi_worker_unlock(ask->worker);
        wf_json_write_end(ask->w);
    }
    wfi_revoked_fini(&ids);
}

/* ---- looking at the worker ---- */

static void ping(struct wfi_ask *ask)
{
    wfi_control_write_ok(ask->w, "pong");
}

static void clock_(struct wfi_ask *ask)
{
    wf_json_write_object(ask->w);
    wf_json_write_key(ask->w, "clock");
    wf_json_write_int(ask->w, wfi_events_clock(ask->worker));
    wf_json_write_end(ask->w);
}

static int by_name(const void *a, const void *b)
{
    const struct wf_task_type *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* The types that the worker offers, sorted; their number, or -ENOMEM. Python's own names are left
 * out unless they are asked for, as by Python. */
static ssize_t list_types(bool builtins, const struct wf_task_type ***ret_types)
{
    const struct wf_task_type **types = NULL;
    size_t count = 0, room = 0;
    for (const struct wf_task_type *t = NULL; (t = wf_task_next(t));) {
        if (!wfi_jobs_may_offer(t) || (!builtins && strncmp(t->name, "celery.", 7) == 0))
            continue;
        if (count == room) {
            room = room ? room * 2 : 64;
            const struct wf_task_type **grown = wfi_realloc(types, room * sizeof(*types));
            if (!grown) {
                wfi_free(types);
                return -ENOMEM;
            }
            types = grown;
        }
        types[count++] = t;
    }
    if (count)
        qsort(types, count, sizeof(*types), by_name);
    *ret_types = types;
    return (ssize_t)count;
}

/* Whether what is to be shown of tasks holds the rate limit: by default it does. */
static bool wants_rate(const struct wfi_ask *ask)
{
    const struct wf_json_value *items = wfi_ask_argument(ask, "taskinfoitems");
    for (size_t i = 0; i < wfi_ask_text_count(items); i++)
        if (wfi_ask_text_at(items, i) && strcmp(wfi_ask_text_at(items, i), "rate_limit") == 0)
            return true;
    return wfi_ask_text_count(items) == 0;
}

static void registered(struct wfi_ask *ask)
{
    const struct wf_task_type **types = NULL;
    bool builtins = false;
    wf_json_bool(wfi_ask_argument(ask, "builtins"), &builtins);
    const ssize_t count = list_types(builtins, &types);
    const bool rates = wants_rate(ask);
    if (count < 0) {
        wfi_ask_write_no_memory(ask);
        return;
    }
    wf_json_write_array(ask->w);
    wfi_worker_lock(ask->worker);
    for (ssize_t i = 0; i < count; i++) {
        struct wfi_offer *offer;
        char line[400];
        const bool limited = rates && !wfi_jobs_offer_locked(ask->worker, types[i]->name, &offer) &&
                             offer->rate_text[0];
        snprintf(line, sizeof line, limited ? "%.300s [rate_limit=%s]" : "%.300s", types[i]->name,
                 limited ? offer->rate_text : "");
        wfi_json_write_text(ask->w, line);
    }
    wfi_worker_unlock(ask->worker);
    wf_json_write_end(ask->w);
    wfi_free(types);
}

static void write_queue(void *arg, const struct wfi_broker_queue *queue)
{
    wfi_control_write_queue(arg, &(struct wfi_control_queue){.name = queue->name,
                                                             .exchange = queue->exchange,
                                                             .exchange_type = queue->exchange_type,
                                                             .routing_key = queue->routing_key,
                                                             .max_priority = queue->max_priority});
}

static void active_queues(struct wfi_ask *ask)
{
    wf_json_write_array(ask->w);
    wfi_broker_each_queue(ask->worker->broker, write_queue, ask->w);
    wf_json_write_end(ask->w);
}

static double in_seconds(const struct timeval *t)
{
    return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

/* Host and port of "host:port", "[host]:port" or "unix:path". */
static void split_endpoint(char *endpoint, const char **ret_host, int64_t *ret_port)
{
    char *colon = strrchr(endpoint, ':');
    *ret_host = endpoint;
    *ret_port = 0;
    if (strncmp(endpoint, "unix:", 5) == 0) {
        *ret_host = endpoint + 5;
        return;
    }
    if (!colon)
        return;
    *ret_port = strtol(colon + 1, NULL, 10);
    *colon = '\0';
    if (endpoint[0] == '[') {
        *ret_host = endpoint + 1;
        endpoint[strcspn(endpoint, "]")] = '\0';
    }
}

static void fill_usage(struct wfi_control_stats *s)
{
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_SELF, &usage);
    s->user_s = in_seconds(&usage.ru_utime);
    s->system_s = in_seconds(&usage.ru_stime);
    s->maxrss_kib = usage.ru_maxrss;
    s->minflt = usage.ru_minflt;
    s->majflt = usage.ru_majflt;
    s->inblock = usage.ru_inblock;
    s->oublock = usage.ru_oublock;
    s->nvcsw = usage.ru_nvcsw;
    s->nivcsw = usage.ru_nivcsw;
}

/* Under the lock. Returns 0 or -ENOMEM. */
static int fill_totals(struct wfi_worker *worker, struct wfi_control_stats *s,
                       const char ***ret_names, int64_t **ret_totals)
{
    const size_t count = worker->jobs.offers.count;
    size_t cursor = 0;
    const char **names = wfi_alloc((count + 1) * sizeof(*names));
    int64_t *totals = wfi_alloc((count + 1) * sizeof *totals);
    *ret_names = names;
    *ret_totals = totals;
    if (!names || !totals)
        return -ENOMEM;
    for (struct wfi_offer *offer; (offer = wfi_map_next(&worker->jobs.offers, &cursor));) {
        if (offer->total == 0)
            continue;
        names[s->totals_count] = offer->type->name;
        totals[s->totals_count++] = offer->total;
    }
    s->totals_names = names;
    s->totals = totals;
    return 0;
}

/* Processes that are named; more would make the answer long, and nobody reads them. */
enum { PIDS_MAX = 65 };

static void stats(struct wfi_ask *ask)
{
    struct wfi_worker *worker = ask->worker;
    struct wfi_celery_url url = {0};
    int64_t pids[PIDS_MAX] = {getpid()};
    const size_t workers = wfi_worker_processes(worker, pids + 1, PIDS_MAX - 1);
    const char **names;
    int64_t *totals;
    char database[16];
    const char *broker = worker->options->broker ? worker->options->broker : "redis://";
    (void)wfi_celery_url_parse(broker, &url, NULL);
    const bool amqp = worker->amqp;
    snprintf(database, sizeof database, "%d", url.database);
    struct wfi_control_stats s = {.pid = pids[0],
                                  .clock = wfi_events_clock(worker),
                                  .uptime_s = (wf_now() - worker->started_ns) / WF_SECONDS(1),
                                  .processes = workers ? pids + 1 : pids,
                                  .process_count = workers ? workers : 1,
                                  .tasks_per_child_max = worker->options->tasks_per_child_max,
                                  .hard_s = worker->options->time_limit_s,
                                  .soft_s = worker->options->soft_time_limit_s,
                                  .transport = amqp ? "amqp" : "redis",
                                  .login_method = amqp ? "PLAIN" : NULL,
                                  .userid = url.user[0] ? url.user : NULL,
                                  .virtual_host = amqp ? url.vhost : database};
    split_endpoint(url.endpoint, &s.hostname, &s.port);
    fill_usage(&s);
    wfi_worker_lock(worker);
    s.concurrency = (int64_t)worker->concurrency;
    s.prefetch_count = (int64_t)worker->prefetch_max;
    const int err = fill_totals(worker, &s, &names, &totals);
    wfi_worker_unlock(worker);
    if (err)
        wfi_ask_write_no_memory(ask);
    else
        wfi_control_write_stats(ask->w, &s);
    wfi_free(names);
    wfi_free(totals);
}

static void revoked(struct wfi_ask *ask)
{
    wf_json_write_array(ask->w);
    wfi_worker_lock(ask->worker);
    (void)wfi_revoked_purge(&ask->worker->jobs.revoked, wf_now());
    for (struct wfi_revoked_id *id = NULL; (id = wfi_revoked_next(&ask->worker->jobs.revoked, id));)
        wfi_json_write_text(ask->w, id->text);
    wfi_worker_unlock(ask->worker);
    wf_json_write_end(ask->w);
}

/* ---- settings ---- */

/* Without the password. */
static void write_url(struct wf_json_writer *w, const char *key, const char *text)
{
    struct wfi_celery_url url;
    char shown[WFI_CELERY_URL_BYTES];
    wfi_member_text(w, key,
                    text && !wfi_celery_url_parse(text, &url, NULL)
                        ? wfi_celery_url_format(&url, shown)
                        : NULL);
}

static void conf(struct wfi_ask *ask)
{
    struct wfi_worker *worker = ask->worker;
    const struct wf_celery_worker_options *o = worker->options;
    struct wf_json_writer *w = ask->w;
    wf_json_write_object(w);
    write_url(w, "broker_url", o->broker ? o->broker : "redis://");
    write_url(w, "result_backend", o->backend);
    wf_json_write_key(w, "accept_content");
    wf_json_write_array(w);
    wfi_json_write_text(w, "json");
    wf_json_write_end(w);
    wfi_member_text(w, "task_serializer", "json");
    wfi_member_text(w, "result_serializer", "json");
    wfi_member_bool(w, "enable_utc", true);
    wfi_member_text(w, "timezone", "UTC");
    wfi_member_bool(w, "task_acks_late", o->acks_late);
    wfi_member_bool(w, "task_track_started", o->track_started);
    wf_json_write_key(w, "result_expires");
    if (o->result_expires_s < 0)
        wf_json_write_null(w);
    else
        wf_json_write_int(w, o->result_expires_s ? o->result_expires_s : 86400);
    wfi_worker_lock(worker);
    const int64_t concurrency = (int64_t)worker->concurrency;
    wfi_worker_unlock(worker);
    wfi_member_int(w, "worker_concurrency", concurrency);
    wfi_member_int(w, "worker_prefetch_multiplier",
                   o->prefetch_multiplier ? o->prefetch_multiplier : 4);
    wfi_member_bool(w, "worker_send_task_events", wfi_events_wanted(&worker->events));
    wf_json_write_end(w);
}

static void report(struct wfi_ask *ask)
{
    struct utsname name = {0};
    struct wfi_celery_url url;
    char broker[WFI_CELERY_URL_BYTES] = "", backend[WFI_CELERY_URL_BYTES] = "disabled";
    const struct wf_celery_worker_options *o = ask->worker->options;
    (void)uname(&name);
    if (!wfi_celery_url_parse(o->broker ? o->broker : "redis://", &url, NULL))
        (void)wfi_celery_url_format(&url, broker);
    if (o->backend && !wfi_celery_url_parse(o->backend, &url, NULL))
        (void)wfi_celery_url_format(&url, backend);
    wfi_control_write_ok(ask->w,
                         "\nsoftware -> weft:" WFI_WEFT_VERSION "\n"
                         "platform -> system:%s arch:%s\n"
                         "            kernel version:%s imp:C\n"
                         "settings -> transport:%s results:%s\n",
                         name.sysname, name.machine, name.release, broker, backend);
}

/* ---- methods ---- */

static const struct {
    const char *name, *alias;
    void (*answer)(struct wfi_ask *ask);
} methods[] = {
    {"ping", NULL, ping},
    {"active", "dump_active", active},
    {"reserved", "dump_reserved", reserved},
    {"scheduled", "dump_schedule", scheduled},
    {"registered", "dump_tasks", registered},
    {"stats", NULL, stats},
    {"active_queues", NULL, active_queues},
    {"revoked", "dump_revoked", revoked},
    {"conf", "dump_conf", conf},
    {"query_task", NULL, query_task},
    {"report", NULL, report},
    {"clock", NULL, clock_},
};

bool wfi_ask_inspect(struct wfi_ask *ask)
{
    const char *method = ask->r->method;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(method, methods[i].name) == 0 ||
            (methods[i].alias && strcmp(method, methods[i].alias) == 0)) {
            methods[i].answer(ask);
            return true;
        }
    return false;
}
