/* SPDX-License-Identifier: MIT */
/*
 * A job's end: what is stored of it, and what follows from it (celery/worker/follow.h).
 *
 *   success    parts that were added to the chord, callbacks and the chain; the result; the chord
 *   failure    the parts; the result; the chord, all that would have followed, errbacks
 *   retry      the parts; the state RETRY, before the message goes out with which it may end;
 *              the message
 *   replaced   the parts; the message of what takes its place; nothing is stored
 *
 * What cannot be done, and could not be done later, makes a failure of it. What may be done later,
 * because memory ran out or a server cannot be reached, is left to whoever gets the message next,
 * where it is not acknowledged yet: the job is `undone`, and its message goes back.
 */
#include "celery/worker/worker_follow.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "celery/worker/builtin.h"
#include "celery/worker/worker_events.h"
#include "celery/worker/worker_result.h"

static int send(void *arg, const struct wfi_message *message, struct wf_error *reterr)
{
    const struct wfi_worker *worker = arg;
    return wfi_broker_send(worker->broker, message, WF_FOREVER, reterr);
}

void wfi_worker_follow(struct wfi_worker *worker)
{
    const char *queue = worker->options->default_queue;
    wfi_assert(wfi_builtin_count() > 0, "they are linked with the worker");
    worker->follow = (struct wfi_follow_with){.store = worker->store,
                                              .send = send,
                                              .arg = worker,
                                              .origin = worker->name,
                                              .queue = queue ? queue : "celery"};
}

/* ---- what could not be done ---- */

static const char *text_of(const struct wf_error *error, int err)
{
    return error->text[0] ? error->text : wf_strerror(err);
}

/* Is the rest left to another? */
static bool leave(struct wfi_job *job, int err, const struct wf_error *error)
{
    if (!err || !wfi_load(&job->message) || wfi_follow_is_hopeless(err))
        return false;
    wfi_worker_say(job->worker, WF_CELERY_ERROR,
                   "Task %.100s[%.100s] goes back to its queue, as its end cannot be told: %s",
                   job->in.message.task, job->in.message.id, text_of(error, err));
    job->undone = true;
    return true;
}

static void complain(struct wfi_job *job, int err, const struct wf_error *error, const char *what)
{
    if (err)
        wfi_worker_say(job->worker, WF_CELERY_ERROR, "Task %.100s[%.100s]: %s: %s",
                       job->in.message.task, job->in.message.id, what, text_of(error, err));
}

/* ---- storing ---- */

/* Returns false when the job is undone. */
static bool store(struct wfi_job *job, const struct wfi_result *result)
{
    struct wf_error error = {0};
    const int err = wfi_job_store(job, result, &error);
    if (leave(job, err, &error))
        return false;
    complain(job, err, &error, "its result is lost");
    return true;
}

/* ---- failures ---- */

/* Of a task that is refused, unpacked: from the end of a larger one nothing follows. */
#define REFUSED_BYTES_MAX (32u << 20)

/* The body says what follows. It may not have been read: the task was refused. */
static bool has_body(struct wfi_job *job)
{
    if (wfi_load(&job->entry.body) == WFI_BODY_OPEN)
        return true;
    if (job->in.exc_type)
        return false;
    wfi_worker_lock(job->worker);
    wfi_store(&job->entry.body, WFI_BODY_OPENING);
    wfi_worker_unlock(job->worker);
    if (wfi_message_read_body(&job->in, REFUSED_BYTES_MAX, NULL) != WFI_MESSAGE_RUN)
        return false;
    wfi_store(&job->entry.body, WFI_BODY_OPEN);
    return true;
}

static bool has_followers(const struct wfi_message *m)
{
    return wfi_follow_is_needed(m) || wf_json_count(m->errbacks.value) > 0;
}

/* `outcome` may be NULL. */
static void failed(struct wfi_job *job, enum wfi_task_state state,
                   const struct wfi_json_piece *exception, const struct wfi_outcome *outcome)
{
    struct wfi_result result = {
        .state = state, .result = *exception, .traceback = outcome ? outcome->traceback : NULL};
    const size_t parts = outcome ? outcome->part_count : 0;
    struct wfi_follow f;
    struct wf_error error = {0};
    if (!has_body(job) || (!parts && !has_followers(&job->in.message))) {
        (void)store(job, &result);
        return;
    }
    int err = wfi_follow_begin(&f, &job->worker->follow, &job->in.message);
    if (!err && parts) {
        err = wfi_follow_add_parts(&f, outcome->parts, parts, &error);
        if (!err)
            err = wfi_follow_children(&f, &result.children);
        if (wfi_follow_is_hopeless(err)) {
            complain(job, err, &error, "parts that it has added to its chord are lost");
            wfi_follow_end(&f);
            err = wfi_follow_begin(&f, &job->worker->follow, &job->in.message);
        }
    }
    if (!leave(job, err, &error) && store(job, &result)) {
        if (!err)
            err = wfi_follow_failed(&f, &result, &error);
        if (!leave(job, err, &error))
            complain(job, err, &error, "what follows from its failure is lost");
    }
    wfi_follow_end(&f);
}

/* With what was written; NULL: there was no memory for it. */
static void fail_with(struct wfi_job *job, enum wfi_task_state state, struct wf_json_writer *w)
{
    struct wfi_json_piece exception = {0};
    if (!w || wf_json_writer_text(w, &exception.text, &exception.len))
        exception = wfi_exception_no_memory;
    failed(job, state, &exception, NULL);
    wf_json_writer_destroy(w);
}

/* What belongs to its end cannot be done, and that is how it ends. */
static void fail_for(struct wfi_job *job, int err, const struct wf_error *reason, const char *what)
{
    struct wf_error error = *reason;
    struct wf_json_writer *w = NULL;
    complain(job, err, reason, what);
    if (!error.code)
        wf_error_set(&error, err, NULL);
    if (err == WF_EPARSE || err == WF_ETOOBIG)
        error.code = -EINVAL; /* ValueError */
    if (!wfi_message_writer_create(&w))
        wfi_exception_write_error(w, &error);
    fail_with(job, WFI_STATE_FAILURE, w);
}

/* ---- ends without a value ---- */

void wfi_job_fail(struct wfi_job *job, enum wfi_task_state state, const char *module,
                  const char *type, const char *text)
{
    struct wf_json_writer *w = NULL;
    wfi_worker_say(job->worker, state == WFI_STATE_REVOKED ? WF_CELERY_INFO : WF_CELERY_ERROR,
                   "Task %.100s[%.100s] %s: %s: %s", job->in.message.task, job->in.message.id,
                   state == WFI_STATE_REVOKED ? "is revoked" : "failed", type, text ? text : "");
    if (!wfi_message_writer_create(&w))
        wfi_exception_write_text(w, module, type, text);
    fail_with(job, state, w);
}

void wfi_job_fail_for_time(struct wfi_job *job, double hard_s)
{
    const bool whole = hard_s < 1e15 && hard_s == (double)(int64_t)hard_s;
    char text[64];
    struct wf_json_writer *w = NULL;
    wfi_worker_say(job->worker, WF_CELERY_ERROR, "Task %.100s[%.100s] failed: more than %g s",
                   job->in.message.task, job->in.message.id, hard_s);
    snprintf(text, sizeof text, whole ? "[%.0f]" : "[%.17g]", hard_s);
    const struct wfi_exception exception = {.type = "TimeLimitExceeded",
                                            .module = "billiard.exceptions",
                                            .arguments = {.text = text, .len = strlen(text)}};
    if (!wfi_message_writer_create(&w))
        wfi_exception_write(w, &exception);
    fail_with(job, WFI_STATE_FAILURE, w);
}

static void fail_as(struct wfi_job *job, enum wfi_task_state state,
                    const struct wfi_outcome *outcome)
{
    const struct wf_error *error = &outcome->error;
    wfi_worker_say(job->worker, state == WFI_STATE_REVOKED ? WF_CELERY_INFO : WF_CELERY_ERROR,
                   "Task %.100s[%.100s] %s: %s", job->in.message.task, job->in.message.id,
                   state == WFI_STATE_REVOKED ? "is revoked" : "failed",
                   error->text[0] ? error->text : wf_strerror(error->code));
    failed(job, state, &outcome->result, outcome);
}

/* ---- other ends ---- */

static const char cannot_follow[] = "what follows from its end cannot be done";

/* One that is too large for the memory there is, or for the server, is a failure. Returns whether
 * it still is a success. */
static bool store_value(struct wfi_job *job, const struct wfi_result *result)
{
    struct wf_error error = {0};
    const int err = wfi_job_store(job, result, &error);
    if (leave(job, err, &error))
        return false;
    if (err == -ENOMEM || wfi_follow_is_hopeless(err)) {
        fail_for(job, err, &error, "its result cannot be stored");
        return false;
    }
    complain(job, err, &error, "its result is lost");
    return true;
}

/* Begins, and adds the parts. */
static int begin(struct wfi_job *job, const struct wfi_outcome *outcome, struct wfi_follow *f,
                 struct wf_error *reterr)
{
    int err = wfi_follow_begin(f, &job->worker->follow, &job->in.message);
    if (err)
        return wf_error_set(reterr, err, NULL);
    return wfi_follow_add_parts(f, outcome->parts, outcome->part_count, reterr);
}

static void succeeded(struct wfi_job *job, const struct wfi_outcome *outcome)
{
    struct wfi_result result = {.state = WFI_STATE_SUCCESS, .result = outcome->result};
    struct wfi_follow f;
    struct wf_error error = {0};
    if (!outcome->part_count && !wfi_follow_is_needed(&job->in.message)) {
        (void)store_value(job, &result);
        return;
    }
    int err = begin(job, outcome, &f, &error);
    if (!err)
        err = wfi_follow_succeeded(&f, &outcome->result, &error);
    if (!err)
        err = wfi_follow_children(&f, &result.children);
    if (err) {
        if (!leave(job, err, &error))
            fail_for(job, err, &error, cannot_follow);
    } else if (store_value(job, &result)) {
        err = wfi_follow_counted(&f, &outcome->result, &error);
        if (!leave(job, err, &error))
            complain(job, err, &error, "its chord may not end");
    }
    wfi_follow_end(&f);
}

static void retried(struct wfi_job *job, const struct wfi_outcome *outcome)
{
    struct wfi_result result = {
        .state = WFI_STATE_RETRY, .result = outcome->result, .traceback = outcome->traceback};
    const struct wfi_follow_again again = {.eta_us = outcome->eta_us,
                                           .args = outcome->args,
                                           .kwargs = outcome->kwargs,
                                           .queue = outcome->queue,
                                           .came_from = job->queue};
    struct wfi_follow f;
    struct wf_error error = {0};
    int err = begin(job, outcome, &f, &error);
    if (!err)
        err = wfi_follow_retry(&f, &again, &error);
    if (!err)
        err = wfi_follow_children(&f, &result.children);
    if (!err && store(job, &result))
        err = wfi_follow_carry_on(&f, &error);
    if (err && !leave(job, err, &error))
        fail_for(job, err, &error, cannot_follow);
    wfi_follow_end(&f);
}

static void replaced(struct wfi_job *job, const struct wfi_outcome *outcome)
{
    struct wfi_follow f;
    struct wf_error error = {0};
    int err = begin(job, outcome, &f, &error);
    if (!err)
        err = wfi_follow_replaced(&f, outcome->result.value, &error);
    if (err && !leave(job, err, &error))
        fail_for(job, err, &error, cannot_follow);
    wfi_follow_end(&f);
}

/* Nothing is stored. */
static void ignored(struct wfi_job *job, const struct wfi_outcome *outcome)
{
    struct wfi_follow f;
    struct wf_error error = {0};
    if (!outcome->part_count)
        return;
    int err = begin(job, outcome, &f, &error);
    if (!leave(job, err, &error))
        complain(job, err, &error, "parts that it has added to its chord are lost");
    wfi_follow_end(&f);
}

/* The process that ran it has died, and the task says that another is to run it. */
static bool goes_back_when_lost(struct wfi_job *job)
{
    const struct wfi_offer *offer = job->entry.offer;
    const struct wf_celery_task *celery = offer ? offer->type->celery : NULL;
    if (!celery || !celery->reject_on_worker_lost || !wfi_load(&job->message))
        return false;
    wfi_worker_say(job->worker, WF_CELERY_ERROR,
                   "Task %.100s[%.100s] goes back to its queue: its process has died",
                   job->in.message.task, job->in.message.id);
    job->undone = true;
    return true;
}

void wfi_job_end(struct wfi_job *job, const struct wfi_outcome *outcome)
{
    switch (outcome->ending) {
    case WFI_CALL_SUCCEEDED:
        succeeded(job, outcome);
        return;
    case WFI_CALL_CANCELED:
        fail_as(job, WFI_STATE_REVOKED, outcome);
        return;
    case WFI_CALL_LOST:
        if (goes_back_when_lost(job))
            return;
        /* fall through */
    case WFI_CALL_FAILED:
        fail_as(job, WFI_STATE_FAILURE, outcome);
        return;
    case WFI_CALL_RETRIED:
        wfi_worker_say(job->worker, WF_CELERY_INFO, "Task %.100s[%.100s] is retried: %s",
                       job->in.message.task, job->in.message.id,
                       text_of(&outcome->error, WF_ETASKFAILED));
        retried(job, outcome);
        return;
    case WFI_CALL_REPLACED:
        replaced(job, outcome);
        return;
    case WFI_CALL_IGNORED:
        ignored(job, outcome);
        return;
    case WFI_CALL_REJECTED:
        ignored(job, outcome);
        job->rejected = !outcome->requeue;
        job->undone |= outcome->requeue;
        wfi_events_rejected(job, outcome->requeue);
        return;
    }
}
