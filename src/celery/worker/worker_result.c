/* SPDX-License-Identifier: MIT */
/*
 * What the worker stores of a task's end, and logs.
 */
#include "celery/worker/worker_result.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "celery/worker/worker_events.h"

/* As Celery has it; the value as JSON, cut. */
static void say_succeeded(struct wfi_job *job, const struct wfi_json_piece *result)
{
    if (!wfi_worker_logs(job->worker, WF_CELERY_INFO))
        return;
    const double took_s = (double)wfi_worker_now_us() / 1e6 - job->entry.started_s;
    const size_t len = result->text ? result->len : 0;
    wfi_worker_say(job->worker, WF_CELERY_INFO, "Task %.100s[%.100s] succeeded in %.9gs: %.*s%s",
                   job->in.message.task, job->in.message.id, took_s, (int)(len < 300 ? len : 300),
                   len ? result->text : "", len < 300 ? "" : "...");
}

static bool is_ignored(const struct wfi_job *job, enum wfi_task_state state)
{
    const struct wfi_offer *offer = job->entry.offer;
    const struct wf_celery_task *celery = offer ? offer->type->celery : NULL;
    const bool ignored = job->in.message.ignore_result || (celery && celery->ignore_result);
    const bool is_error = state == WFI_STATE_FAILURE || state == WFI_STATE_REVOKED;
    return ignored && !(is_error && celery && celery->store_errors);
}

int wfi_job_store(struct wfi_job *job, const struct wfi_result *result, struct wf_error *reterr)
{
    struct wfi_result meta = *result;
    meta.task_id = job->in.message.id;
    meta.reply_to = job->in.message.properties.reply_to;
    meta.group_id = job->in.message.group;
    meta.parent_id = job->in.message.parent_id;
    if (meta.state == WFI_STATE_SUCCESS)
        say_succeeded(job, &meta.result);
    int err = 0;
    if (!is_ignored(job, meta.state))
        err = wfi_follow_store(&job->worker->follow, &meta, reterr);
    wfi_events_stored(job, meta.state, &meta.result, meta.traceback);
    return err;
}

void wfi_job_store_started(struct wfi_job *job)
{
    struct wfi_result result = {.state = WFI_STATE_STARTED};
    struct wf_error error = {0};
    struct wf_json_writer *w;
    int err = wfi_message_writer_create(&w);
    if (err)
        return;
    wfi_result_write_started(w, getpid(), job->worker->name);
    err = wf_json_writer_text(w, &result.result.text, &result.result.len);
    if (!err)
        err = wfi_job_store(job, &result, &error);
    if (err)
        wfi_worker_say(job->worker, WF_CELERY_ERROR, "Task %.100s[%.100s]: STARTED is lost: %s",
                       job->in.message.task, job->in.message.id,
                       error.text[0] ? error.text : wf_strerror(err));
    wf_json_writer_destroy(w);
}

int wfi_job_update(void *arg, const char *state, const struct wfi_json_piece *meta)
{
    struct wfi_job *job = arg;
    struct wf_error error = {0};
    const struct wfi_result result = {.state = WFI_STATE_OTHER, .status = state, .result = *meta};
    const int err = wfi_job_store(job, &result, &error);
    if (err)
        wfi_worker_say(job->worker, WF_CELERY_ERROR,
                       "Task %.100s[%.100s]: its state %.40s is lost: %s", job->in.message.task,
                       job->in.message.id, state, error.text[0] ? error.text : wf_strerror(err));
    return err;
}
