/* SPDX-License-Identifier: MIT */
/*
 * What the worker stores of a task's end, and logs.
 */
#include "celery/worker.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "celery/moment.h"

/* As Celery has it; the value as JSON, cut. */
static void say_succeeded(struct wfi_job *job, const struct wfi_json_piece *result)
{
    struct timespec now;
    if (!wfi_worker_logs(job->worker, WF_CELERY_INFO))
        return;
    timespec_get(&now, TIME_UTC);
    const double took_s = (double)now.tv_sec + (double)now.tv_nsec / 1e9 - job->entry.started_s;
    const size_t len = result->text ? result->len : 0;
    wfi_worker_say(job->worker, WF_CELERY_INFO, "Task %.100s[%.100s] succeeded in %.9gs: %.*s%s",
                   job->in.message.task, job->in.message.id, took_s, (int)(len < 300 ? len : 300),
                   len ? result->text : "", len < 300 ? "" : "...");
}

static void put(struct wfi_job *job, enum wfi_task_state state, const struct wfi_json_piece *result)
{
    struct wfi_worker *worker = job->worker;
    const struct wfi_message *m = &job->in.message;
    struct wf_error error = {0};
    char date[WFI_MOMENT_BYTES];
    struct wfi_result meta = {.state = state,
                              .result = *result,
                              .task_id = m->id,
                              .reply_to = m->properties.reply_to,
                              .group_id = m->group,
                              .parent_id = m->parent_id};
    if (wfi_state_is_final(state)) {
        wfi_moment_write(wfi_worker_now_us(), false, date);
        meta.date_done = date;
    }
    int err = wfi_store_result(worker->store, &meta, WF_FOREVER, &error);
    if (err)
        wfi_worker_say(worker, WF_CELERY_ERROR, "Task %.100s[%.100s]: its result is lost: %s",
                       m->task, m->id, error.text[0] ? error.text : wf_strerror(err));
}

void wfi_job_store(struct wfi_job *job, enum wfi_task_state state,
                   const struct wfi_json_piece *result)
{
    if (state == WFI_STATE_SUCCESS)
        say_succeeded(job, result);
    if (job->worker->store && !job->in.message.ignore_result)
        put(job, state, result);
    wfi_events_stored(job, state, result, NULL);
}

/* Stores what was written. */
static void wfi_job_store_written(struct wfi_job *job, enum wfi_task_state state,
                                  struct wf_json_writer *w)
{
    struct wfi_json_piece piece = {0};
    int err = wf_json_writer_text(w, &piece.text, &piece.len);
    if (err)
        wfi_worker_say(job->worker, WF_CELERY_ERROR, "Task %.100s[%.100s]: its result is lost: %s",
                       job->in.message.task, job->in.message.id, wf_strerror(err));
    else
        wfi_job_store(job, state, &piece);
}

void wfi_job_fail(struct wfi_job *job, enum wfi_task_state state, const char *module,
                  const char *type, const char *text)
{
    struct wf_json_writer *w;
    wfi_worker_say(job->worker, state == WFI_STATE_REVOKED ? WF_CELERY_INFO : WF_CELERY_ERROR,
                   "Task %.100s[%.100s] %s: %s: %s", job->in.message.task, job->in.message.id,
                   state == WFI_STATE_REVOKED ? "is revoked" : "failed", type, text ? text : "");
    if (wfi_message_writer_create(&w))
        return;
    wfi_exception_write_text(w, module, type, text);
    wfi_job_store_written(job, state, w);
    wf_json_writer_destroy(w);
}

void wfi_job_fail_as(struct wfi_job *job, enum wfi_task_state state,
                     const struct wfi_outcome *outcome)
{
    const struct wf_error *error = &outcome->error;
    wfi_worker_say(job->worker, state == WFI_STATE_REVOKED ? WF_CELERY_INFO : WF_CELERY_ERROR,
                   "Task %.100s[%.100s] %s: %s", job->in.message.task, job->in.message.id,
                   state == WFI_STATE_REVOKED ? "is revoked" : "failed",
                   error->text[0] ? error->text : wf_strerror(error->code));
    wfi_job_store(job, state, &outcome->result);
}

void wfi_job_fail_for_time(struct wfi_job *job, double hard_s)
{
    struct wf_json_writer *w;
    wfi_worker_say(job->worker, WF_CELERY_ERROR, "Task %.100s[%.100s] failed: more than %g s",
                   job->in.message.task, job->in.message.id, hard_s);
    if (wfi_message_writer_create(&w))
        return;
    char text[64];
    const bool whole = hard_s < 1e15 && hard_s == (double)(int64_t)hard_s;
    snprintf(text, sizeof text, whole ? "[%.0f]" : "[%.17g]", hard_s);
    wfi_exception_write(w,
                        &(struct wfi_exception){.type = "TimeLimitExceeded",
                                                .module = "billiard.exceptions",
                                                .arguments = {.text = text, .len = strlen(text)}});
    wfi_job_store_written(job, WFI_STATE_FAILURE, w);
    wf_json_writer_destroy(w);
}

void wfi_job_store_started(struct wfi_job *job)
{
    struct wf_json_writer *w;
    if (wfi_message_writer_create(&w))
        return;
    wfi_result_write_started(w, getpid(), job->worker->name);
    wfi_job_store_written(job, WFI_STATE_STARTED, w);
    wf_json_writer_destroy(w);
}
