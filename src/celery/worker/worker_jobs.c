/* SPDX-License-Identifier: MIT */
#include "celery/worker/worker_jobs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/processes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "celery/message/arguments.h"
#include "celery/message/control.h"
#include "celery/worker/worker_events.h"

/* ---- tasks ---- */

static bool same_name(const void *value, const void *key, size_t len)
{
    const char *name = ((const struct wfi_offer *)value)->type->name;
    return strlen(name) == len && memcmp(name, key, len) == 0;
}

bool wfi_jobs_may_offer(const struct wf_task_type *type)
{
    return type->call && strncmp(type->name, "wfi_", 4) != 0 && !wfi_arguments_check(type, NULL);
}

static const struct wf_task_type *find_type(struct wfi_worker *worker, const char *name)
{
    struct wf_error error;
    const struct wf_task_type *type = wf_task_find(name);
    if (!type || wfi_jobs_may_offer(type))
        return type;
    if (!type->call || !wfi_arguments_check(type, &error))
        return NULL;
    wfi_worker_say(worker, WF_CELERY_ERROR, "task %.100s cannot be called: %s", name, error.text);
    return NULL;
}

static void take_options(struct wfi_worker *worker, struct wfi_offer *offer)
{
    static const struct wf_celery_task none;
    const struct wf_celery_worker_options *options = worker->options;
    const struct wf_celery_task *celery = offer->type->celery ? offer->type->celery : &none;
    double per_s;
    offer->hard_s = celery->time_limit_s > 0 ? celery->time_limit_s : options->time_limit_s;
    offer->soft_s =
        celery->soft_time_limit_s > 0 ? celery->soft_time_limit_s : options->soft_time_limit_s;
    if (celery->rate_limit && !wfi_control_rate_text(celery->rate_limit, &per_s))
        wfi_jobs_set_rate(offer, per_s, celery->rate_limit);
    else if (celery->rate_limit)
        wfi_worker_say(worker, WF_CELERY_ERROR, "task %.100s: \"%.30s\" is no rate limit",
                       offer->type->name, celery->rate_limit);
}

int wfi_jobs_offer_locked(struct wfi_worker *worker, const char *name, struct wfi_offer **ret_offer)
{
    struct wfi_offer *offer = wfi_map_find(&worker->jobs.offers, name, strlen(name));
    if (!offer) {
        const struct wf_task_type *type = find_type(worker, name);
        if (!type)
            return -ENOENT;
        offer = wfi_zalloc(sizeof *offer);
        if (!offer)
            return -ENOMEM;
        offer->type = type;
        take_options(worker, offer);
        if (wfi_map_put(&worker->jobs.offers, name, strlen(name), offer)) {
            wfi_free(offer);
            return -ENOMEM;
        }
    }
    *ret_offer = offer;
    return 0;
}

int wfi_jobs_offer(struct wfi_worker *worker, const char *name, struct wfi_offer **ret_offer)
{
    wfi_worker_lock(worker);
    const int err = wfi_jobs_offer_locked(worker, name, ret_offer);
    wfi_worker_unlock(worker);
    return err;
}

void wfi_jobs_init(struct wfi_worker *worker)
{
    const uint64_t seed = (uint64_t)wf_now() ^ (uint64_t)(uintptr_t)worker;
    worker->jobs.offers = (struct wfi_map){.same = same_name, .seed = seed};
    wfi_revoked_init(&worker->jobs.revoked, seed);
}

void wfi_jobs_fini(struct wfi_worker *worker)
{
    size_t cursor = 0;
    for (struct wfi_offer *offer; (offer = wfi_map_next(&worker->jobs.offers, &cursor));)
        wfi_free(offer);
    wfi_map_reset(&worker->jobs.offers);
    wfi_revoked_fini(&worker->jobs.revoked);
}

/* ---- jobs ---- */

/* Under the lock. */
static bool is_revoked(struct wfi_job *job)
{
    struct wfi_revoked *revoked = &job->worker->jobs.revoked;
    return revoked->map.count > 0 && wfi_revoked_has(revoked, job->in.message.id, wf_now());
}

bool wfi_jobs_add(struct wfi_job *job, struct wfi_offer *offer)
{
    struct wfi_worker *worker = job->worker;
    wfi_worker_lock(worker);
    job->entry.offer = offer;
    wfi_list_push_back(&worker->jobs.all, &job->entry.place);
    const bool revoked = is_revoked(job);
    wfi_worker_unlock(worker);
    return !revoked;
}

void wfi_jobs_remove(struct wfi_job *job)
{
    struct wfi_worker *worker = job->worker;
    if (!job->entry.offer)
        return;
    wfi_worker_lock(worker);
    wfi_list_remove(&job->entry.place);
    if (job->entry.stage == WFI_JOB_ACTIVE)
        (void)wfi_fetch_sub(&worker->events.active, 1);
    wfi_worker_unlock(worker);
}

struct wfi_job *wfi_jobs_next(struct wfi_worker *worker, struct wfi_job *job)
{
    struct wfi_link *link = job ? wfi_list_next(&worker->jobs.all, &job->entry.place)
                                : wfi_list_first(&worker->jobs.all);
    return link ? wfi_container_of(link, struct wfi_job, entry.place) : NULL;
}

/* With the lock, which is given up meanwhile. */
static int wait_locked(struct wfi_job *job, wf_deadline deadline)
{
    struct wf_event waker;
    wf_event_init(&waker);
    job->entry.waker = &waker;
    wfi_worker_unlock(job->worker);
    const int err = wf_event_wait(&waker, deadline);
    wfi_worker_lock(job->worker);
    job->entry.waker = NULL;
    wf_event_fini(&waker);
    return err == -ECANCELED ? err : 0;
}

static void wake(struct wfi_job *job)
{
    if (job->entry.waker)
        wf_event_set(job->entry.waker);
}

int wfi_jobs_wait(struct wfi_job *job, wf_deadline deadline)
{
    int err = 0;
    wfi_worker_lock(job->worker);
    if (!is_revoked(job))
        err = wait_locked(job, deadline);
    if (!err && is_revoked(job))
        err = 1;
    wfi_worker_unlock(job->worker);
    return err;
}

bool wfi_jobs_activate(struct wfi_job *job)
{
    wfi_worker_lock(job->worker);
    const bool revoked = is_revoked(job);
    if (!revoked) {
        job->entry.stage = WFI_JOB_ACTIVE;
        job->entry.started_s = (double)wfi_worker_now_us() / 1e6;
        job->entry.offer->total++;
        wfi_store(&job->entry.body, WFI_BODY_OPENING);
        (void)wfi_fetch_add(&job->worker->events.active, 1);
        (void)wfi_fetch_add(&job->worker->events.processed, 1);
    }
    wfi_worker_unlock(job->worker);
    if (!revoked)
        wfi_events_started(job);
    return !revoked;
}

void wfi_jobs_limits(struct wfi_job *job, double *ret_hard_s, double *ret_soft_s)
{
    const struct wfi_message *m = &job->in.message;
    const struct wfi_offer *offer = job->entry.offer;
    wfi_worker_lock(job->worker);
    *ret_hard_s = m->hard_s > 0 ? m->hard_s : offer->hard_s;
    *ret_soft_s = m->soft_s > 0 ? m->soft_s : offer->soft_s;
    wfi_worker_unlock(job->worker);
}

void wfi_jobs_run(struct wfi_job *job, struct wf_future *running)
{
    wfi_worker_lock(job->worker);
    job->entry.running = running;
    if (running && (wfi_load(&job->entry.signum) || wfi_load(&job->worker->cold)))
        (void)wf_processes_kill_task(running); /* it was to be ended before it began */
    wfi_worker_unlock(job->worker);
}

void wfi_jobs_terminate(struct wfi_job *job, int signum)
{
    wfi_store(&job->entry.signum, signum);
    if (job->entry.running)
        (void)wf_processes_kill_task(job->entry.running);
}

/* ---- turns ---- */

static struct wfi_job *first_in_line(struct wfi_offer *offer)
{
    struct wfi_link *turn = wfi_list_first(&offer->waiting);
    return turn ? wfi_container_of(turn, struct wfi_job, entry.turn) : NULL;
}

int wfi_jobs_wait_turn(struct wfi_job *job)
{
    struct wfi_offer *offer = job->entry.offer;
    int err = 0;
    if (!wfi_load(&offer->limited))
        return 0;
    wfi_worker_lock(job->worker);
    wfi_list_push_back(&offer->waiting, &job->entry.turn);
    while (!err && !is_revoked(job)) {
        wf_deadline deadline = WF_FOREVER;
        if (first_in_line(offer) == job) {
            const int64_t left_ns = wfi_rate_take(&offer->rate, wf_now());
            if (left_ns == 0)
                break;
            deadline = wf_after(left_ns);
        }
        err = wait_locked(job, deadline);
    }
    if (!err && is_revoked(job))
        err = 1;
    wfi_list_remove(&job->entry.turn);
    struct wfi_job *next = first_in_line(offer);
    if (next)
        wake(next);
    wfi_worker_unlock(job->worker);
    return err;
}

void wfi_jobs_set_rate(struct wfi_offer *offer, double per_s, const char *text)
{
    wfi_rate_set(&offer->rate, per_s, wf_now());
    snprintf(offer->rate_text, sizeof offer->rate_text, "%s", per_s > 0 ? text : "");
    wfi_store(&offer->limited, per_s > 0);
    struct wfi_job *first = first_in_line(offer);
    if (first)
        wake(first);
}

/* ---- revoking ---- */

int wfi_jobs_revoke(struct wfi_worker *worker, const char *id)
{
    return wfi_revoked_add(&worker->jobs.revoked, id, wf_now());
}

void wfi_jobs_wake_revoked(struct wfi_worker *worker)
{
    for (struct wfi_job *job = NULL; (job = wfi_jobs_next(worker, job));)
        if (job->entry.stage == WFI_JOB_WAITING && is_revoked(job))
            wake(job);
}
