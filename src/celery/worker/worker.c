/* SPDX-License-Identifier: MIT */
/*
 * The worker: its start, what it takes, its end. Who does what:
 *
 *   run        the caller's; waits for `serve`, which it does not break off when it is cancelled
 *   serve      a task of its own: starts the others, waits to be told to stop, brings all to an end
 *   keep       the broker's connections (wfi_broker_run), and requests of remote control
 *   consume    takes messages, as many at once as there are permits
 *   message    a fiber for each message, from its first look to its acknowledgement
 *   events     tells those who watch
 *   mingle     asks other workers what is revoked, with each new connection
 *
 * Four semaphores:
 *
 *   prefetch   a permit for each message that is held. It is given up with the acknowledgement, and
 *              by a message that waits for its eta, which does not ask for it again.
 *   slots      a permit for each task that runs.
 *   refusing   a permit for each message that ends without a task: its body is read to see what
 *              follows, and may be large.
 *   storing    a permit for each result on its way to the store. It is had before the slot is given
 *              up: a store that is slow, or away, holds the tasks up before memory is full.
 *
 * A message is begun once it has a slot, or needs none. Until then its waits can be cancelled;
 * from there on it is shielded. Stopping cancels the scope of consume and messages: what is not
 * begun ends at once, and its job goes to `left` (settle, which is called for each job, also for
 * those that were cancelled before they ran). When none is left that is not begun, serve gives the
 * messages back, the youngest first, since each goes to the front of its queue; other workers can
 * have them while tasks still run here. Then it waits for those, and ends `keep` last, so that
 * their acknowledgements and events are sent.
 *
 *     settle                                serve
 *       puts the job into left                stopping = true, cancels the scope
 *       not_begun - 1; if 0, sets wake        clears wake; not_begun = 0? else waits for wake
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "celery/worker/worker_control.h"
#include "celery/worker/worker_events.h"
#include "celery/worker/worker_follow.h"
#include "celery/worker/worker_job.h"
#include "celery/worker/worker_jobs.h"
#include "celery/worker/worker_mingle.h"
#include "celery/worker/worker_pool.h"
#include "celery/worker/worker_quit.h"

/* Messages taken in one command: larger steps gain nothing, and hold up other clients of Redis. */
#define TAKE_MAX 256
#define STORING_MAX 256
#define REFUSING_MAX 4

WF_TASK(wf_none, wfi_celery_serve, (struct wfi_worker *, worker))
WF_TASK(wf_none, wfi_celery_keep, (struct wfi_worker *, worker))
WF_TASK(wf_none, wfi_celery_consume, (struct wfi_worker *, worker))

/* ---- taking ---- */

/*
 * A step is half of the messages that may wait: to take one as soon as there is room for one would
 * be a round trip each. What may run is not counted, lest slots be idle until a step is full.
 */
static uint64_t step_of(const struct wfi_worker *worker)
{
    const uint64_t waiting = worker->prefetch_max - worker->concurrency;
    return waiting < 2 ? 1 : waiting / 2 < TAKE_MAX ? waiting / 2 : TAKE_MAX;
}

int wfi_celery_consume(struct wf_task *self, struct wfi_worker *worker, wf_none *ret)
{
    const uint64_t step = step_of(worker);
    uint64_t number = 0;
    (void)self, (void)ret;
    while (wf_semaphore_acquire(&worker->prefetch, step, WF_FOREVER) == 0) {
        struct wfi_list messages = {0};
        uint64_t room = step, more = wf_semaphore_value(&worker->prefetch);
        more = more < TAKE_MAX - room ? more : TAKE_MAX - room;
        if (more && wf_semaphore_try_acquire(&worker->prefetch, more) == 0)
            room += more;
        int n = wfi_broker_take(worker->broker, (int)room, &messages, WF_FOREVER);
        const uint64_t unused = room - (n > 0 ? (uint64_t)n : 0);
        if (unused)
            (void)wf_semaphore_release(&worker->prefetch, unused);
        for (struct wfi_link *link; n > 0 && (link = wfi_list_pop_front(&messages));)
            wfi_job_start(worker, wfi_container_of(link, struct wfi_broker_message, link),
                          number++);
        if (n == -EPIPE || n == -ECANCELED || (n == -ENOMEM && wf_sleep(wf_after(WFI_PAUSE_NS))))
            break;
    }
    return 0;
}

static void consume_ended(void *args)
{
    wfi_worker_count_begun(((struct wfi_celery_consume_args *)args)->worker);
}
WF_TASK_DEFINE_WITH(wfi_celery_consume, .drop_args = consume_ended)

/* ---- serving ---- */

int wfi_celery_keep(struct wf_task *self, struct wfi_worker *worker, wf_none *ret)
{
    (void)self, (void)ret;
    worker->broker_err = wfi_broker_run(worker->broker, &worker->error);
    wfi_worker_stop(worker);
    return 0;
}
WF_TASK_DEFINE(wfi_celery_keep)

/* The job that was taken last, taken out of the list; NULL when it is empty. */
static struct wfi_job *youngest(struct wfi_worker *worker)
{
    struct wfi_job *found = NULL;
    wfi_worker_lock(worker);
    struct wfi_link *link = wfi_list_first(&worker->left);
    for (; link; link = wfi_list_next(&worker->left, link)) {
        struct wfi_job *job = wfi_container_of(link, struct wfi_job, link);
        if (!found || job->number > found->number)
            found = job;
    }
    if (found)
        wfi_list_remove(&found->link);
    wfi_worker_unlock(worker);
    return found;
}

/* Once nothing is left that is not begun. Shielded. */
static void give_back(struct wfi_worker *worker)
{
    const wf_deadline deadline = wf_after(WFI_GIVE_BACK_NS);
    size_t count = 0, failed = 0;
    for (;;) {
        wf_event_clear(&worker->wake);
        if (wfi_load(&worker->not_begun) == 0)
            break;
        int err = wf_event_wait(&worker->wake, WF_FOREVER);
        wfi_assert(!err, "the end of a worker is shielded");
    }
    for (struct wfi_job *job; (job = youngest(worker)); count++) {
        failed += wfi_broker_give_back(worker->broker, wfi_exchange(&job->message, NULL), true,
                                       deadline) != 0;
        wfi_job_destroy(job);
    }
    if (count)
        wfi_worker_say(worker, WF_CELERY_INFO, "messages given back: %zu of %zu", count - failed,
                       count);
}

/* Returns whether there was a connection, or no haste about the first one. */
static bool wait_to_stop(struct wfi_worker *worker)
{
    const bool haste = worker->options->connect_ns != 0;
    for (int err = 0; !err && !wfi_load(&worker->stopping);) {
        const bool connected = !haste || wfi_load(&worker->was_connected);
        err = wf_event_wait(&worker->wake, connected ? WF_FOREVER : worker->connect_until);
        wf_event_clear(&worker->wake);
    }
    return !haste || wfi_load(&worker->was_connected);
}

static const char *show_broker(const struct wfi_worker *worker, char shown[WFI_CELERY_URL_BYTES])
{
    const char *broker = worker->options->broker ? worker->options->broker : "redis://";
    struct wfi_celery_url url;
    return wfi_celery_url_parse(broker, &url, NULL) ? "" : wfi_celery_url_format(&url, shown);
}

/* Shielded. */
static int fail_to_connect(struct wfi_worker *worker, struct wf_task *self)
{
    struct wf_error error;
    char shown[WFI_CELERY_URL_BYTES];
    wfi_worker_lock(worker);
    error = worker->connect_error;
    wfi_worker_unlock(worker);
    if (!error.code) {
        wf_error_set(&error, -ETIMEDOUT, "%.300s: no connection within %.3g s",
                     show_broker(worker, shown), (double)worker->options->connect_ns / 1e9);
    }
    return wf_task_fail_with(self, &error);
}

int wfi_celery_serve(struct wf_task *self, struct wfi_worker *worker, wf_none *ret)
{
    wf_none none;
    struct wf_error error, refused;
    struct wf_scope storage, *scope = wf_scope_open(&storage, NULL, WF_FOREVER);
    struct wf_future *keep = wfi_celery_keep_submit(wf_task_executor(self), worker).future;
    struct wf_future *tell = wfi_events_start(worker, wf_task_executor(self));
    struct wf_future *quit = wfi_worker_watch_quit(worker, wf_task_executor(self));
    (void)ret;
    worker->scope = scope;
    wfi_store(&worker->not_begun, 1);
    (void)wfi_celery_consume_go(scope, worker); /* refused, the scope is cancelled */
    wfi_worker_mingle(worker, scope);
    if (wf_future_state(keep) == WF_FUTURE_FAILED)
        wfi_worker_stop(worker); /* it was refused */
    const bool ever_connected = wait_to_stop(worker);
    wfi_store(&worker->stopping, true);
    wfi_worker_say(worker, WF_CELERY_INFO, "%s stops", worker->name);
    wf_scope_cancel(scope);
    wfi_broker_stop_taking(worker->broker);
    WF_SHIELD(WF_FOREVER) {
        give_back(worker);
    }
    wf_event_set(&worker->given_back);
    /* Of its own accord the scope fails only when there is no memory to start a child. */
    const bool no_memory = wf_scope_close(scope, &error) == -ENOMEM;
    wfi_worker_end_quit(quit);
    wfi_events_end(worker);
    WF_SHIELD(WF_FOREVER) {
        (void)wf_future_result(&tell, &none, WF_FOREVER, &refused);
    }
    (void)wf_future_cancel(keep);
    WF_SHIELD(WF_FOREVER) {
        int err = wf_future_result(&keep, &none, WF_FOREVER, &refused);
        if (err && err != -ECANCELED) {
            worker->broker_err = err;
            worker->error = refused;
        }
    }
    if (no_memory)
        return wf_task_fail_with(self, &error);
    if (wfi_load(&worker->cold))
        return wf_task_fail(self, -EINTR, "a cold shutdown");
    if (!ever_connected && !worker->asked_to_stop &&
        (!worker->broker_err || worker->broker_err == -ECANCELED))
        return fail_to_connect(worker, self);
    return worker->broker_err && worker->broker_err != -ECANCELED
               ? wf_task_fail_with(self, &worker->error)
               : 0;
}
WF_TASK_DEFINE(wfi_celery_serve)

/* ---- the caller ---- */

/* Until the first connection there is little patience: who has started the worker waits. */
static void connection_lost(void *arg, const struct wf_error *error, int64_t pause_ns)
{
    struct wfi_worker *worker = arg;
    if (worker->options->connect_ns && !wfi_load(&worker->was_connected)) {
        wfi_worker_lock(worker);
        worker->connect_error = *error;
        wfi_worker_unlock(worker);
        if (pause_ns >= wf_remaining(worker->connect_until))
            wfi_worker_stop(worker);
        return;
    }
    wfi_worker_say(worker, WF_CELERY_ERROR, "broker: %s; connecting again in %g s", error->text,
                   (double)pause_ns / 1e9);
}

static void connected(void *arg)
{
    struct wfi_worker *worker = arg;
    char shown[WFI_CELERY_URL_BYTES];
    wfi_worker_say(worker, WF_CELERY_INFO, "Connected to %.500s", show_broker(worker, shown));
    wfi_events_connected(worker);
    wf_event_set(&worker->new_connection);
    if (wfi_exchange(&worker->was_connected, true))
        return;
    wfi_worker_say(worker, WF_CELERY_INFO, "%s ready.", worker->name);
    wf_event_set(&worker->wake);
}

static int read_url(const char *what, const char *text, struct wfi_celery_url *ret,
                    struct wf_error *reterr)
{
    int err = wfi_celery_url_parse(text, ret, reterr);
    if (err && reterr)
        wf_error_prefix(reterr, "%s", what);
    return err;
}

static int open_broker(struct wfi_worker *worker, struct wf_error *reterr)
{
    static const char *const celery[] = {"celery"};
    const struct wf_celery_worker_options *options = worker->options;
    const char *const *queues = options->queue_count ? options->queues : celery;
    const size_t count = options->queue_count ? options->queue_count : 1;
    struct wfi_celery_url url = {0};
    int err = read_url("broker", options->broker ? options->broker : "redis://", &url, reterr);
    if (!err && url.transport == WFI_TRANSPORT_RPC)
        err = wf_error_set(reterr, -ENOTSUP, "broker: rpc:// is for results alone");
    worker->amqp = url.transport == WFI_TRANSPORT_AMQP;
    if (!err)
        err = wfi_broker_create(
            &(struct wfi_broker_options){.url = &url,
                                         .visibility_ns = options->visibility_ns,
                                         .restore_ns = options->restore_ns,
                                         .prefix = options->prefix,
                                         .lost = connection_lost,
                                         .connected = connected,
                                         .control = options->no_control ? NULL : wfi_worker_control,
                                         .node = options->no_control ? NULL : worker->name,
                                         .arg = worker},
            &worker->broker, reterr);
    for (size_t i = 0; !err && i < count; i++) {
        err = wfi_broker_add_queue(worker->broker, &(struct wfi_broker_queue){.name = queues[i]});
        if (err)
            wf_error_set(reterr, err,
                         err == -EEXIST ? "queue %.100s is named twice" : "queue %.100s: no memory",
                         queues[i]);
    }
    return err;
}

static int open_store(struct wfi_worker *worker, struct wf_error *reterr)
{
    const struct wf_celery_worker_options *options = worker->options;
    const int64_t expires_s = options->result_expires_s;
    struct wfi_celery_url url;
    if (!options->backend)
        return 0;
    int err = read_url("result backend", options->backend, &url, reterr);
    if (err)
        return err;
    if (url.transport == WFI_TRANSPORT_RPC)
        return wfi_store_create_rpc(worker->broker, &worker->store, reterr);
    if (url.transport != WFI_TRANSPORT_REDIS)
        return wf_error_set(reterr, -ENOTSUP,
                            "result backend: results go to Redis, or back by rpc://");
    return wfi_store_create(&(struct wfi_store_options){.url = &url,
                                                        .prefix = options->prefix,
                                                        .expires_s = expires_s < 0    ? 0
                                                                     : expires_s == 0 ? 86400
                                                                                      : expires_s},
                            &worker->store, reterr);
}

static void destroy(struct wfi_worker *worker)
{
    wfi_worker_close_pool(worker);
    wfi_store_destroy(worker->store);
    wfi_broker_destroy(worker->broker);
    wfi_events_fini(worker);
    wfi_jobs_fini(worker);
    wf_mutex_fini(&worker->lock);
    wf_event_fini(&worker->wake);
    wf_event_fini(&worker->given_back);
    wf_event_fini(&worker->new_connection);
    wfi_free(worker);
}

static void name_it(struct wfi_worker *worker)
{
    char host[64] = "localhost";
    if (worker->options->name) {
        snprintf(worker->name, sizeof worker->name, "%s", worker->options->name);
        return;
    }
    if (gethostname(host, sizeof host - 1))
        snprintf(host, sizeof host, "localhost");
    host[sizeof host - 1] = '\0';
    snprintf(worker->name, sizeof worker->name, "celery@%s", host);
}

/* The caller waits; see the top. */
static int serve(struct wfi_worker *worker, struct wf_executor *on, struct wf_error *reterr)
{
    wf_none none;
    struct wf_future *f = wfi_celery_serve_submit(on, worker).future;
    wf_future_shield(f);
    const bool canceled = wf_future_wait(f, WF_FOREVER) == -ECANCELED;
    int err = 0;
    if (canceled) {
        wfi_store(&worker->asked_to_stop, true);
        wfi_worker_stop(worker);
    }
    WF_SHIELD(WF_FOREVER) {
        err = wf_future_result(&f, &none, WF_FOREVER, reterr);
    }
    return canceled && !err ? wf_error_set(reterr, -ECANCELED, NULL) : err;
}

int wf_celery_worker_run(const struct wf_celery_worker_options *options, struct wf_error *reterr)
{
    struct wf_task *self = wf_task_self();
    struct wf_executor *on = self ? wf_task_executor(self) : NULL;
    if (!on || strcmp(wf_executor_engine(on), "fibers") != 0)
        return wf_error_set(reterr, -EINVAL, "a worker is run by a task on a fibers executor");
    if (options->concurrency < 0 || options->prefetch_multiplier < 0 ||
        options->visibility_ns < 0 || options->restore_ns < 0 || options->connect_ns < 0)
        return wf_error_set(reterr, -EINVAL, "a worker's numbers are not negative");
    struct wfi_worker *worker = wfi_zalloc(sizeof *worker);
    if (!worker)
        return wf_error_set(reterr, -ENOMEM, NULL);
    worker->options = options;
    worker->connect_until = wf_after(options->connect_ns);
    wf_mutex_init(&worker->lock);
    wf_event_init(&worker->wake);
    wf_event_init(&worker->given_back);
    wf_event_init(&worker->new_connection);
    wfi_jobs_init(worker);
    worker->started_ns = wf_now();
    name_it(worker);
    int err = wfi_events_init(worker);
    if (err)
        wf_error_set(reterr, err, NULL);
    else
        err = open_broker(worker, reterr);
    if (!err)
        err = open_store(worker, reterr);
    if (!err)
        err = wfi_worker_open_pool(worker, on, reterr);
    if (!err)
        err = wf_semaphore_init(&worker->storing, STORING_MAX, 0);
    if (!err)
        err = wf_semaphore_init(&worker->refusing, REFUSING_MAX, 0);
    if (!err) {
        wfi_broker_set_prefetch(worker->broker, worker->prefetch_max);
        wfi_worker_follow(worker);
        err = serve(worker, on, reterr);
    }
    destroy(worker);
    return err;
}
