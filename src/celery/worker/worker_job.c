/* SPDX-License-Identifier: MIT */
/*
 * A message of the worker, from its first look to its acknowledgement: what it is, whether it has
 * expired or is revoked, its eta, its turn, a slot, the task's run within its limits.
 */
#include "celery/worker/worker_job.h"

#include <errno.h>
#include <string.h>

#include <weft/processes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "celery/worker/worker_events.h"
#include "celery/worker/worker_follow.h"
#include "celery/worker/worker_jobs.h"
#include "celery/worker/worker_pool.h"
#include "celery/worker/worker_result.h"

/* The wall clock may be set while a message waits for its eta: it is looked at so often. */
#define ETA_LOOK_NS WF_SECONDS(10)

/* Of a body and a result together: below, 256 of them on their way to the store (STORING_MAX in
 * worker.c) are not worth counting. */
enum { LARGE_BYTES = 1 << 20 };

WF_TASK(wf_none, wfi_celery_message, (struct wfi_job *, job))

/* ---- a message's permits ---- */

static void give_permit_up(struct wfi_job *job)
{
    struct wfi_worker *worker = job->worker;
    if (job->has_permit)
        wfi_worker_give_up(worker, &worker->prefetch, &worker->prefetch_owed);
    job->has_permit = false;
}

static void give_slot_up(struct wfi_job *job)
{
    struct wfi_worker *worker = job->worker;
    if (job->has_slot)
        wfi_worker_give_up(worker, &worker->slots, &worker->slots_owed);
    job->has_slot = false;
}

/* It is done with, as far as the broker is concerned. Once; later calls do nothing. */
static void acknowledge(struct wfi_job *job)
{
    if (job->undone)
        return; /* it goes back in the end */
    struct wfi_broker_message *message = wfi_exchange(&job->message, NULL);
    if (message && job->rejected)
        wfi_broker_reject(job->worker->broker, message);
    else if (message)
        wfi_broker_acknowledge(job->worker->broker, message);
    wfi_store(&job->entry.is_done, true);
    give_permit_up(job);
}

static void begin(struct wfi_job *job)
{
    job->begun = true;
    wfi_worker_count_begun(job->worker);
}

void wfi_job_destroy(struct wfi_job *job)
{
    wfi_message_in_reset(&job->in);
    wfi_free(job);
}

/* drop_args of a message's task. */
static void settle(void *args)
{
    struct wfi_job *job = ((struct wfi_celery_message_args *)args)->job;
    struct wfi_worker *worker = job->worker;
    wfi_jobs_remove(job);
    give_slot_up(job);
    give_permit_up(job);
    if (job->begun || !wfi_load(&job->message)) {
        const bool begun = job->begun;
        wfi_job_destroy(job);
        if (!begun)
            wfi_worker_count_begun(worker);
        return;
    }
    wfi_worker_lock(worker);
    wfi_list_push_back(&worker->left, &job->link);
    wfi_worker_unlock(worker);
    wfi_worker_count_begun(worker);
}

/* Gives the slot up, once the result that is to be stored has its place. What is large keeps it
 * until it is stored: as many such are in memory as there are slots, however slow the store is. */
static void leave_slot(struct wfi_job *job, const struct wfi_outcome *outcome)
{
    int err = wf_semaphore_acquire(&job->worker->storing, 1, WF_FOREVER);
    wfi_assert(!err, "a message that is begun is shielded");
    if (job->in.envelope.body_len + outcome->result.len < LARGE_BYTES)
        give_slot_up(job);
}

static void leave_storing(struct wfi_job *job)
{
    (void)wf_semaphore_release(&job->worker->storing, 1);
}

/* ---- running a task ---- */

static wf_deadline limit_after(double seconds)
{
    return seconds > 0 && seconds < 9e9 ? wf_after(WF_SECONDS(seconds)) : WF_FOREVER;
}

/* Waits for the task, asking it to stop at its soft limit. At the hard one it is killed, where it
 * has a process of its own; else it is asked then, too. Returns whether its end still counts: not
 * beyond the hard limit, where what is stored is stored at once. */
static bool wait_within_limits(struct wfi_job *job, const struct wfi_call *call,
                               struct wf_future *f, bool *ret_soft)
{
    const wf_deadline soft = limit_after(call->soft_s);
    const wf_deadline hard = limit_after(call->hard_s);
    int err = wf_future_wait(f, wf_earlier(soft, hard));
    if (err == -ETIMEDOUT && soft.ns < hard.ns) {
        *ret_soft = true;
        (void)wf_future_cancel(f);
        err = wf_future_wait(f, hard);
    }
    if (err != -ETIMEDOUT)
        return true;
    (void)wf_processes_kill_task(f);
    if (!wfi_load(&job->abandoned))
        wfi_job_fail_for_time(job, call->hard_s);
    acknowledge(job);
    (void)wf_future_wait(f, WF_FOREVER);
    return false;
}

/* In a cold shutdown: is the end of the task another's, or nobody's? */
static bool is_left(struct wfi_job *job, const struct wfi_outcome *outcome)
{
    if (!wfi_load(&job->worker->cold))
        return false;
    const bool gave_up = outcome->ending == WFI_CALL_CANCELED || outcome->ending == WFI_CALL_LOST;
    job->undone |= gave_up;
    return gave_up || wfi_load(&job->abandoned);
}

/* What follows from the end of a task. */
static void follow(struct wfi_job *job, const struct wfi_outcome *outcome, bool soft)
{
    if (is_left(job, outcome))
        return;
    if (outcome->ending == WFI_CALL_CANCELED && soft)
        wfi_job_fail(job, WFI_STATE_FAILURE, "billiard.exceptions", "SoftTimeLimitExceeded", NULL);
    else if (outcome->ending == WFI_CALL_CANCELED && wfi_load(&job->entry.signum))
        wfi_job_fail(job, WFI_STATE_REVOKED, "celery.exceptions", "TaskRevokedError", "terminated");
    else
        wfi_job_end(job, outcome);
}

static bool choose(enum wf_celery_choice choice, bool option)
{
    return choice == WF_CELERY_DEFAULT ? option : choice == WF_CELERY_YES;
}

/* With its body read. */
static void run_call(struct wfi_job *job, const struct wf_task_type *type)
{
    static const struct wf_celery_task none;
    struct wfi_worker *worker = job->worker;
    const struct wf_celery_task *celery = type->celery ? type->celery : &none;
    struct wfi_call call = {.on = wfi_load(&worker->pool),
                            .type = type,
                            .in = &job->in,
                            .worker = worker->name,
                            .queue = job->queue,
                            .update = wfi_job_update,
                            .arg = job,
                            .states = worker->states};
    struct wfi_outcome outcome;
    bool soft = false;
    if (!choose(celery->acks_late, worker->options->acks_late))
        acknowledge(job);
    if (choose(celery->track_started, worker->options->track_started))
        wfi_job_store_started(job);
    wfi_jobs_limits(job, &call.hard_s, &call.soft_s);
    struct wf_future *f = wfi_call_submit(&call);
    wfi_jobs_run(job, f);
    const bool counts = !f || wait_within_limits(job, &call, f, &soft);
    wfi_jobs_run(job, NULL);
    wfi_call_end(&call, &f, &outcome);
    leave_slot(job, &outcome);
    if (counts)
        follow(job, &outcome, soft);
    leave_storing(job);
    wfi_outcome_fini(&outcome);
}

/* With a slot. */
static void run(struct wfi_job *job, const struct wf_task_type *type)
{
    struct wf_error error = {0};
    const char *exc = "MemoryError", *module = "builtins";
    int err = wfi_message_read_body(&job->in, 0, &error);
    if (!err)
        wfi_store(&job->entry.body, WFI_BODY_OPEN);
    if (err == WFI_MESSAGE_FAIL) {
        exc = job->in.exc_type;
        module = job->in.exc_module;
    }
    if (!err)
        run_call(job, type);
    else
        wfi_job_fail(job, WFI_STATE_FAILURE, module, exc, error.text);
}

/* ---- a message ---- */

static bool is_expired(const struct wfi_message *m)
{
    return m->expires && wfi_worker_now_us() > m->expires_us;
}

/* Until its eta. Returns 0, 1 when it is revoked meanwhile, or -ECANCELED. */
static int wait_for_eta(struct wfi_job *job)
{
    const struct wfi_message *m = &job->in.message;
    struct wfi_worker *worker = job->worker;
    int err = 0;
    if (!m->eta || m->eta_us <= wfi_worker_now_us())
        return 0;
    give_permit_up(job);
    wfi_broker_exempt(worker->broker, 1);
    for (int64_t now; !err && m->eta_us > (now = wfi_worker_now_us());) {
        const int64_t left_us = m->eta_us - now;
        err = wfi_jobs_wait(job,
                            wf_after(left_us < ETA_LOOK_NS / 1000 ? left_us * 1000 : ETA_LOOK_NS));
    }
    wfi_broker_exempt(worker->broker, -1);
    return err;
}

/* Its message is done with, or goes back. Shielded. */
static void finish(struct wfi_job *job)
{
    struct wfi_broker_message *message = job->undone ? wfi_exchange(&job->message, NULL) : NULL;
    if (!message) {
        acknowledge(job);
        return;
    }
    (void)wf_sleep(wf_after(WFI_PAUSE_NS));
    (void)wfi_broker_give_back(job->worker->broker, message, false, wf_after(WFI_GIVE_BACK_NS));
    wfi_store(&job->entry.is_done, true);
    give_permit_up(job);
}

/* Ends a message without its task. */
static void refuse(struct wfi_job *job, enum wfi_task_state state, const char *type,
                   const char *text)
{
    begin(job);
    WF_SHIELD(WF_FOREVER) {
        int err = wf_semaphore_acquire(&job->worker->refusing, 1, WF_FOREVER);
        wfi_assert(!err, "a message that is begun is shielded");
        wfi_job_fail(job, state, "celery.exceptions", type, text);
        (void)wf_semaphore_release(&job->worker->refusing, 1);
        finish(job);
    }
}

/* Ends a message that is none. */
static void drop(struct wfi_job *job, const struct wf_error *error)
{
    begin(job);
    wfi_worker_say(job->worker, WF_CELERY_ERROR, "a message of queue %.100s is dropped: %s",
                   job->queue, error->text);
    acknowledge(job);
}

/* There was no memory to look at it: somebody may have. */
static void pass_on(struct wfi_job *job)
{
    begin(job);
    wfi_worker_say(job->worker, WF_CELERY_ERROR, "out of memory: a message goes back to its queue");
    WF_SHIELD(WF_FOREVER) {
        (void)wf_sleep(wf_after(WFI_PAUSE_NS));
        (void)wfi_broker_give_back(job->worker->broker, wfi_exchange(&job->message, NULL), false,
                                   wf_after(WFI_GIVE_BACK_NS));
    }
}

int wfi_celery_message(struct wf_task *self, struct wfi_job *job, wf_none *ret)
{
    struct wfi_worker *worker = job->worker;
    const struct wfi_message *m = &job->in.message;
    struct wf_error error = {0};
    (void)self, (void)ret;
    int fate = wfi_broker_read(worker->broker, wfi_load(&job->message), &job->in, &error);
    if (fate == -ENOMEM) {
        pass_on(job);
        return 0;
    }
    if (fate != WFI_MESSAGE_RUN) {
        job->rejected = fate != WFI_MESSAGE_DROP;
        drop(job, &error);
        return 0;
    }
    struct wfi_offer *offer;
    const int err = wfi_jobs_offer(worker, m->task, &offer);
    if (err == -ENOMEM) {
        pass_on(job);
        return 0;
    }
    if (err) {
        job->rejected = true;
        refuse(job, WFI_STATE_FAILURE, "NotRegistered", m->task);
        return 0;
    }
    wfi_worker_say(worker, WF_CELERY_INFO, "Task %.100s[%.100s] received", m->task, m->id);
    wfi_events_received(job);
    const bool revoked = !wfi_jobs_add(job, offer);
    const char *why = is_expired(m) ? "expired" : revoked ? "revoked" : NULL;
    int wait = why ? 1 : wait_for_eta(job);
    if (wait == 0)
        wait = wfi_jobs_wait_turn(job);
    if (wait == 0)
        wait = wf_semaphore_acquire(&worker->slots, 1, WF_FOREVER);
    if (wait < 0)
        return 0; /* settle sees to it */
    job->has_slot = wait == 0;
    if (wait == 0 && wfi_load(&worker->stopping))
        return 0;
    if (!why)
        why = is_expired(m) ? "expired" : wait > 0 || !wfi_jobs_activate(job) ? "revoked" : NULL;
    if (why) {
        refuse(job, WFI_STATE_REVOKED, "TaskRevokedError", why);
        return 0;
    }
    if (wfi_load(&worker->cold))
        return 0; /* its message is taken away, or left */
    begin(job);
    WF_SHIELD(WF_FOREVER) {
        run(job, offer->type);
        finish(job);
    }
    return 0;
}
WF_TASK_DEFINE_WITH(wfi_celery_message, .drop_args = settle)

void wfi_job_start(struct wfi_worker *worker, struct wfi_broker_message *message, uint64_t number)
{
    struct wfi_job *job = wfi_zalloc(sizeof *job);
    if (!job) {
        wfi_worker_say(worker, WF_CELERY_ERROR, "out of memory: a message goes back to its queue");
        WF_SHIELD(WF_FOREVER) {
            (void)wfi_broker_give_back(worker->broker, message, false, wf_after(WFI_GIVE_BACK_NS));
        }
        wfi_worker_give_up(worker, &worker->prefetch, &worker->prefetch_owed);
        return;
    }
    *job = (struct wfi_job){.worker = worker,
                            .message = message,
                            .queue = message->queue,
                            .number = number,
                            .has_permit = true};
    wfi_fetch_add(&worker->not_begun, 1);
    /* All on one worker, lest two that were taken together change places: who sends two tasks to a
     * worker that runs one at a time counts on their order. */
    const struct wf_submit_options options = {.worker = 1};
    (void)wf_go(worker->scope, &wfi_celery_message_task, &options,
                &(struct wfi_celery_message_args){.job = job}); /* refused, it is settled */
}
