/* SPDX-License-Identifier: MIT */
/*
 * The cold shutdown. Nobody waits for what runs: from the moment the worker is `cold`
 *
 *   - the messages of tasks that run and are not acknowledged, as they are late, go back to their
 *     queues. The job finds its message gone, and leaves its end to whoever gets it.
 *   - processes are killed, and what runs elsewhere is asked to stop. The end of a task that gave
 *     up for this reason is not stored; if it was acknowledged early, it is lost, as in Celery.
 *   - all else is as in a warm shutdown.
 *
 * A job that becomes active meanwhile sees, under the lock or behind it, that the worker is cold.
 */
#include "celery/worker/worker_quit.h"

#include <weft/processes.h>

#include "base/assert.h"
#include "celery/worker/worker_jobs.h"

WF_TASK(wf_none, wfi_celery_quit, (struct wfi_worker *, worker))

/* Takes the messages away from the jobs that run, and stops them. */
static void stop_jobs(struct wfi_worker *worker, struct wfi_list *messages)
{
    wfi_worker_lock(worker);
    wfi_store(&worker->cold, true);
    for (struct wfi_job *job = NULL; (job = wfi_jobs_next(worker, job));) {
        if (job->entry.stage != WFI_JOB_ACTIVE)
            continue;
        struct wfi_broker_message *message = wfi_exchange(&job->message, NULL);
        if (message)
            wfi_list_push_front(messages, &message->link);
        wfi_store(&job->abandoned, message != NULL);
        if (job->entry.running)
            (void)wf_processes_kill_task(job->entry.running);
    }
    wfi_worker_unlock(worker);
}

static void quit(struct wfi_worker *worker)
{
    const wf_deadline deadline = wf_after(WFI_GIVE_BACK_NS);
    struct wfi_list messages = {0};
    size_t count = 0, failed = 0;
    stop_jobs(worker, &messages);
    for (struct wfi_link *link; (link = wfi_list_pop_front(&messages)); count++)
        failed += wfi_broker_give_back(worker->broker,
                                       wfi_container_of(link, struct wfi_broker_message, link),
                                       true, deadline) != 0;
    wfi_worker_say(worker, WF_CELERY_WARNING,
                   "cold shutdown; messages of tasks that run given back: %zu of %zu",
                   count - failed, count);
    wfi_worker_stop(worker);
    const int err = wf_event_wait(&worker->given_back, deadline);
    if (err)
        wfi_worker_say(worker, WF_CELERY_ERROR, "messages that have not begun are not back yet");
    if (worker->options->quitted)
        worker->options->quitted(worker->options->quitted_arg);
}

int wfi_celery_quit(struct wf_task *self, struct wfi_worker *worker, wf_none *ret)
{
    (void)self, (void)ret;
    if (wf_event_wait(worker->options->quit, WF_FOREVER) == 0)
        WF_SHIELD(WF_FOREVER) {
            quit(worker);
        }
    return 0;
}
WF_TASK_DEFINE(wfi_celery_quit)

struct wf_future *wfi_worker_watch_quit(struct wfi_worker *worker, struct wf_executor *on)
{
    return worker->options->quit ? wfi_celery_quit_submit(on, worker).future : NULL;
}

void wfi_worker_end_quit(struct wf_future *watch)
{
    wf_none none;
    if (!watch)
        return;
    (void)wf_future_cancel(watch);
    WF_SHIELD(WF_FOREVER) {
        (void)wf_future_result(&watch, &none, WF_FOREVER, NULL);
    }
}
