/* SPDX-License-Identifier: MIT */
/*
 * Each method is a function that changes the worker, under its lock, and writes its answer; the
 * table at the end names them. Those that change nothing are in worker_inspect.c. What Celery 5.2.6
 * answers is the model, down to the words of a refusal. Methods that have no sense here (autoscale,
 * pool_restart) refuse as Celery does where they are switched off.
 */
#include "celery/worker/worker_control.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "celery/message/control.h"
#include "celery/worker/worker_ask.h"
#include "celery/worker/worker_events.h"
#include "celery/worker/worker_inspect.h"
#include "celery/worker/worker_jobs.h"
#include "celery/worker/worker_pool.h"

/* An answer that cannot be sent for so long is not waited for any more. */
#define ANSWER_NS WF_SECONDS(5)

/* ---- revoking ---- */

static int signal_of(const struct wf_json_value *value)
{
    static const struct {
        const char *name;
        int number;
    } signals[] = {{"TERM", SIGTERM}, {"KILL", SIGKILL}, {"INT", SIGINT},
                   {"QUIT", SIGQUIT}, {"HUP", SIGHUP},   {"ABRT", SIGABRT},
                   {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"ALRM", SIGALRM}};
    const char *text = wfi_json_c_string(value);
    int64_t number;
    if (!text)
        return wf_json_int(value, &number) == 0 && number > 0 && number < 65 ? (int)number
                                                                             : SIGTERM;
    if (strncasecmp(text, "SIG", 3) == 0)
        text += 3;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (strcasecmp(text, signals[i].name) == 0)
            return signals[i].number;
    return 0;
}

/* Those of the ids that are here, as a text. Under the lock. Returns 0 or -ENOMEM. */
static int terminate_ids(struct wfi_ask *ask, struct wfi_revoked *ids, int signum,
                         struct wfi_buffer *ret_text)
{
    int err = 0;
    for (struct wfi_job *job = NULL; !err && (job = wfi_jobs_next(ask->worker, job));) {
        if (!wfi_revoked_has(ids, job->in.message.id, 0))
            continue;
        err = wfi_buffer_printf(ret_text, "%s%s", ret_text->len ? ", " : "", job->in.message.id);
        if (job->entry.stage == WFI_JOB_ACTIVE)
            wfi_jobs_terminate(job, signum);
    }
    return err;
}

static void write_flagged(struct wfi_ask *ask, const struct wf_json_value *ids)
{
    const size_t count = wfi_ask_text_count(ids);
    const char **texts = wfi_alloc((count + 1) * sizeof(*texts));
    size_t n = 0;
    if (!texts) {
        wfi_ask_write_no_memory(ask);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if ((texts[n] = wfi_ask_text_at(ids, i)))
            n++;
    wfi_control_write_revoking(ask->w, texts, n);
    wfi_free(texts);
}

static void revoke_ids(struct wfi_ask *ask, bool terminate)
{
    struct wfi_worker *worker = ask->worker;
    const struct wf_json_value *asked = wfi_ask_argument(ask, "task_id");
    const int signum = signal_of(wfi_ask_argument(ask, "signal"));
    struct wfi_buffer text = {0};
    struct wfi_revoked ids;
    int err = 0;
    if (!wfi_ask_text_count(asked)) {
        wfi_ask_write_missing(ask, "task_id");
        return;
    }
    if (terminate && !signum) {
        wfi_control_write_error(ask->w, "KeyError('%s')",
                                wfi_ask_text(ask, "signal") ? wfi_ask_text(ask, "signal") : "");
        return;
    }
    err = wfi_ask_ids(asked, &ids);
    wfi_worker_lock(worker);
    for (size_t i = 0; i < wfi_ask_text_count(asked) && !err; i++)
        if (wfi_ask_text_at(asked, i))
            err = wfi_jobs_revoke(worker, wfi_ask_text_at(asked, i));
    if (!err && terminate)
        err = terminate_ids(ask, &ids, signum, &text);
    wfi_jobs_wake_revoked(worker);
    wfi_worker_unlock(worker);
    const char *words = err ? NULL : wfi_buffer_text(&text);
    if (err)
        wfi_ask_write_no_memory(ask);
    else if (!terminate)
        write_flagged(ask, asked);
    else
        wfi_control_write_ok(ask->w, "terminate: %s", text.len && words ? words : "tasks unknown");
    wfi_worker_say(worker, WF_CELERY_INFO, "tasks flagged as revoked: %zu",
                   wfi_ask_text_count(asked));
    wfi_buffer_reset(&text);
    wfi_revoked_fini(&ids);
}

static void revoke_(struct wfi_ask *ask)
{
    bool terminate = false;
    wf_json_bool(wfi_ask_argument(ask, "terminate"), &terminate);
    revoke_ids(ask, terminate);
}

static void terminate(struct wfi_ask *ask)
{
    revoke_ids(ask, true);
}

void wfi_worker_learn(struct wfi_worker *worker, const struct wf_json_value *ids)
{
    wfi_worker_lock(worker);
    for (size_t i = 0; i < wf_json_count(ids); i++) {
        const char *id = wf_json_key(wf_json_at(ids, i), NULL);
        if (id)
            (void)wfi_jobs_revoke(worker, id);
    }
    wfi_jobs_wake_revoked(worker);
    wfi_worker_unlock(worker);
}

static void hello(struct wfi_ask *ask)
{
    struct wfi_worker *worker = ask->worker;
    const char *from = wfi_ask_text(ask, "from_node");
    if (!from || strcmp(from, worker->name) == 0) {
        wf_json_write_null(ask->w);
        return;
    }
    wfi_worker_learn(worker, wfi_ask_argument(ask, "revoked"));
    const int64_t clock = wfi_events_clock_next(worker);
    wfi_worker_lock(worker);
    const size_t count = wfi_revoked_purge(&worker->jobs.revoked, wf_now());
    const char **texts = wfi_alloc((count + 1) * sizeof(*texts));
    double *times = wfi_alloc((count + 1) * sizeof *times);
    size_t n = 0;
    for (struct wfi_revoked_id *id = NULL;
         texts && times && (id = wfi_revoked_next(&worker->jobs.revoked, id)); n++) {
        texts[n] = id->text;
        times[n] = (double)id->at_ns / 1e9;
    }
    wfi_control_write_hello(ask->w, clock, texts, times, n);
    wfi_worker_unlock(worker);
    wfi_free(texts);
    wfi_free(times);
}

/* ---- limits ---- */

/* A number of seconds; 0 for none. */
static double seconds_of(const struct wfi_ask *ask, const char *name)
{
    double seconds = 0;
    const struct wf_json_value *value = wfi_ask_argument(ask, name);
    if (wf_json_type(value) == WF_JSON_STRING)
        seconds = strtod(wfi_json_c_string(value) ? wfi_json_c_string(value) : "", NULL);
    else
        wf_json_double(value, &seconds);
    return seconds > 0 ? seconds : 0;
}

/* Gives the task that is meant, under the lock; else it answers, and gives the lock up. */
static struct wfi_offer *lock_offer(struct wfi_ask *ask)
{
    const char *name = wfi_ask_text(ask, "task_name");
    struct wfi_offer *offer;
    if (!name) {
        wfi_ask_write_missing(ask, "task_name");
        return NULL;
    }
    wfi_worker_lock(ask->worker);
    const int err = wfi_jobs_offer_locked(ask->worker, name, &offer);
    if (!err)
        return offer;
    wfi_worker_unlock(ask->worker);
    if (err == -ENOMEM)
        wfi_ask_write_no_memory(ask);
    else
        wfi_control_write_error(ask->w, "unknown task");
    return NULL;
}

static void rate_limit(struct wfi_ask *ask)
{
    const struct wf_json_value *value = wfi_ask_argument(ask, "rate_limit");
    const char *text = wfi_json_c_string(value);
    double per_s;
    char number[32];
    if (wfi_control_rate(value, &per_s)) {
        wfi_control_write_error(ask->w, "Invalid rate limit string: ValueError('%.100s')",
                                text ? text : "");
        return;
    }
    struct wfi_offer *offer = lock_offer(ask);
    if (!offer)
        return;
    snprintf(number, sizeof number, "%.17g", per_s);
    wfi_jobs_set_rate(offer, per_s, text ? text : number);
    wfi_worker_unlock(ask->worker);
    wfi_worker_say(ask->worker, WF_CELERY_INFO, "rate limit of %.100s: %.30s", offer->type->name,
                   per_s > 0 ? offer->rate_text : "none");
    wfi_control_write_ok(ask->w, per_s > 0 ? "new rate limit set successfully"
                                           : "rate limit disabled successfully");
}

static void time_limit(struct wfi_ask *ask)
{
    struct wfi_offer *offer = lock_offer(ask);
    if (!offer)
        return;
    offer->hard_s = seconds_of(ask, "hard");
    offer->soft_s = seconds_of(ask, "soft");
    wfi_worker_say(ask->worker, WF_CELERY_INFO, "time limits of %.100s: soft %g s, hard %g s",
                   offer->type->name, offer->soft_s, offer->hard_s);
    wfi_worker_unlock(ask->worker);
    wfi_control_write_ok(ask->w, "time limits set successfully");
}

/* ---- the pool ---- */

/* How many; 0 when it is no number that makes sense. */
static uint64_t number_of_slots(struct wfi_ask *ask)
{
    const struct wf_json_value *value = wfi_ask_argument(ask, "n");
    int64_t n = 1;
    if (wfi_json_c_string(value))
        n = strtol(wfi_json_c_string(value), NULL, 10);
    else if (value && wf_json_int(value, &n))
        n = 0;
    if (n >= 1 && n <= 10000)
        return (uint64_t)n;
    wfi_control_write_error(ask->w, "ValueError('n has to be 1 to 10000')");
    return 0;
}

static void pool_grow(struct wfi_ask *ask)
{
    struct wf_error error = {0};
    const uint64_t n = number_of_slots(ask);
    if (!n)
        return;
    if (wfi_worker_grow(ask->worker, n, &error))
        wfi_control_write_error(ask->w, "ValueError('%s')", error.text);
    else
        wfi_control_write_ok(ask->w, "pool will grow");
}

static void pool_shrink(struct wfi_ask *ask)
{
    const uint64_t n = number_of_slots(ask);
    if (!n)
        return;
    if (wfi_worker_shrink(ask->worker, n))
        wfi_control_write_error(ask->w, "ValueError(\"Can't shrink pool. One slot has to stay!\")");
    else
        wfi_control_write_ok(ask->w, "pool will shrink");
}

static void autoscale(struct wfi_ask *ask)
{
    wfi_control_write_error(ask->w, "ValueError('Autoscale not enabled')");
}

static void pool_restart(struct wfi_ask *ask)
{
    wfi_control_write_error(ask->w, "ValueError('Pool restarts not enabled')");
}

static void shutdown_(struct wfi_ask *ask)
{
    wfi_worker_say(ask->worker, WF_CELERY_WARNING, "told to shut down from remote");
    ask->silent = true;
    wfi_worker_stop(ask->worker);
}

/* ---- events ---- */

static void enable_events(struct wfi_ask *ask)
{
    wfi_control_write_ok(ask->w, wfi_exchange(&ask->worker->events.tasks, true)
                                     ? "task events already enabled"
                                     : "task events enabled");
}

static void disable_events(struct wfi_ask *ask)
{
    wfi_control_write_ok(ask->w, wfi_exchange(&ask->worker->events.tasks, false)
                                     ? "task events disabled"
                                     : "task events already disabled");
}

static void heartbeat(struct wfi_ask *ask)
{
    wfi_events_beat(ask->worker);
    wf_json_write_null(ask->w);
}

/* Elections are for workers that gossip. */
static void election(struct wfi_ask *ask)
{
    wf_json_write_null(ask->w);
}

/* ---- queues ---- */

static void add_consumer(struct wfi_ask *ask)
{
    const char *queue = wfi_ask_text(ask, "queue");
    if (!queue) {
        wfi_ask_write_missing(ask, "queue");
        return;
    }
    const int err = wfi_broker_add_queue(
        ask->worker->broker,
        &(struct wfi_broker_queue){.name = queue,
                                   .exchange = wfi_ask_text(ask, "exchange"),
                                   .exchange_type = wfi_ask_text(ask, "exchange_type"),
                                   .routing_key = wfi_ask_text(ask, "routing_key")});
    if (err == -ENOMEM)
        wfi_ask_write_no_memory(ask);
    else /* one that is there already is fine */
        wfi_control_write_ok(ask->w, "add consumer %s", queue);
}

static void cancel_consumer(struct wfi_ask *ask)
{
    const char *queue = wfi_ask_text(ask, "queue");
    if (!queue) {
        wfi_ask_write_missing(ask, "queue");
        return;
    }
    (void)wfi_broker_remove_queue(ask->worker->broker, queue);
    wfi_control_write_ok(ask->w, "no longer consuming from %s", queue);
}

/* ---- requests ---- */

static const struct {
    const char *name;
    void (*answer)(struct wfi_ask *ask);
} methods[] = {
    {"hello", hello},
    {"revoke", revoke_},
    {"terminate", terminate},
    {"rate_limit", rate_limit},
    {"time_limit", time_limit},
    {"pool_grow", pool_grow},
    {"pool_shrink", pool_shrink},
    {"pool_restart", pool_restart},
    {"autoscale", autoscale},
    {"enable_events", enable_events},
    {"disable_events", disable_events},
    {"heartbeat", heartbeat},
    {"election", election},
    {"add_consumer", add_consumer},
    {"cancel_consumer", cancel_consumer},
    {"shutdown", shutdown_},
};

/* Writes the answer to a request. Returns false when it has none. */
static bool answer(struct wfi_worker *worker, const struct wfi_control_request *r,
                   struct wf_json_writer *w)
{
    struct wfi_ask ask = {.worker = worker, .r = r, .w = w};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(r->method, methods[i].name) == 0) {
            methods[i].answer(&ask);
            return !ask.silent;
        }
    if (!wfi_ask_inspect(&ask))
        wfi_control_write_unknown(w, r->method);
    return true;
}

static int send_answer(struct wfi_worker *worker, const struct wfi_control_request *r,
                       struct wf_json_writer *value, struct wf_error *reterr)
{
    struct wf_json_writer *headers = NULL, *body = NULL;
    struct wfi_json_piece piece = {0};
    struct wfi_broker_note note = {.exchange = r->reply_exchange ? r->reply_exchange
                                                                 : WFI_CONTROL_REPLY_EXCHANGE,
                                   .routing_key = r->reply_key};
    int err = wf_json_writer_text(value, &piece.text, &piece.len);
    if (!err)
        err = wfi_message_writer_create(&headers);
    if (!err)
        err = wfi_message_writer_create(&body);
    if (!err) {
        wfi_control_write_reply_headers(headers, r->ticket, wfi_events_clock_next(worker));
        wfi_control_write_reply_body(body, worker->name, &piece);
        err = wf_json_writer_text(headers, &note.headers.text, &note.headers.len);
    }
    if (!err)
        err = wf_json_writer_text(body, &note.body, &note.len);
    if (!err)
        err = wfi_broker_tell(worker->broker, &note, wf_after(ANSWER_NS), reterr);
    wf_json_writer_destroy(headers);
    wf_json_writer_destroy(body);
    return err;
}

static void carry_out(struct wfi_worker *worker, const struct wfi_control_request *r)
{
    struct wf_error error = {0};
    struct wf_json_writer *w;
    int err = wfi_message_writer_create(&w);
    if (!err) {
        if (answer(worker, r, w) && r->reply_key)
            err = send_answer(worker, r, w, &error);
        wf_json_writer_destroy(w);
    }
    if (err)
        wfi_worker_say(worker, WF_CELERY_ERROR, "control: no answer to %.60s was sent: %s",
                       r->method, error.text[0] ? error.text : wf_strerror(err));
}

void wfi_worker_control(void *arg, struct wfi_envelope *envelope)
{
    struct wfi_worker *worker = arg;
    struct wfi_control_request r;
    struct wf_json *body;
    const double now = (double)wfi_worker_now_us() / 1e6;
    const int fate = wfi_control_read(envelope, worker->name, now, &body, &r);
    wfi_events_clock_saw(worker, r.clock);
    if (fate == WFI_CONTROL_DO)
        carry_out(worker, &r);
    else if (fate == WFI_CONTROL_DROP)
        wfi_worker_say(worker, WF_CELERY_ERROR, "control: a message is no request");
    wf_json_destroy(body);
}
