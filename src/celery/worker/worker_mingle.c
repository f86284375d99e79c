/* SPDX-License-Identifier: MIT */
/*
 * Mingling: a worker with a new connection asks the others which tasks are revoked, since it was
 * not there to hear it, and tells them what it knows. It does not wait for their answers: it takes
 * messages meanwhile, and one that turns out to be revoked ends where it waits.
 */
#include "celery/worker/worker_mingle.h"

#include <errno.h>

#include "base/alloc.h"
#include "celery/client/client_broker.h"
#include "celery/worker/worker_control.h"
#include "celery/worker/worker_events.h"

/* How long answers are waited for, as Celery's. */
#define ANSWERS_NS WF_SECONDS(1)
/* For reaching the broker; where it is away again there is another connection to come. */
#define MINGLE_NS WF_SECONDS(5)

WF_TASK(wf_none, wfi_celery_mingle, (struct wfi_worker *, worker))

struct mingling {
    struct wfi_worker *worker;
    size_t nodes;
};

/* {node: {"clock": n, "revoked": {id: [time, id]}}} */
static int take_answer(void *arg, const struct wf_json_value *body)
{
    struct mingling *mingling = arg;
    const struct wf_json_value *answer = wf_json_at(body, 0);
    int64_t clock;
    if (wf_json_type(answer) != WF_JSON_OBJECT)
        return 0; /* this worker itself has none */
    mingling->nodes++;
    if (wf_json_int(wf_json_get(answer, "clock"), &clock) == 0)
        wfi_events_clock_saw(mingling->worker, clock);
    wfi_worker_learn(mingling->worker, wf_json_get(answer, "revoked"));
    return 0;
}

static int open_client(struct wfi_worker *worker, struct wfi_uuids *uuids,
                       struct wfi_client_broker **ret_client, struct wf_error *reterr)
{
    const struct wf_celery_worker_options *options = worker->options;
    struct wfi_celery_url url;
    const struct wfi_client_broker_options client = {.url = &url,
                                                     .prefix =
                                                         options->prefix ? options->prefix : "",
                                                     .once = true,
                                                     .uuids = uuids};
    int err = wfi_celery_url_parse(options->broker ? options->broker : "redis://", &url, reterr);
    if (err)
        return err;
    return url.transport == WFI_TRANSPORT_AMQP
               ? wfi_client_amqp_create(&client, ret_client, reterr)
               : wfi_client_redis_create(&client, ret_client, reterr);
}

static void write_revoked(struct wfi_worker *worker, struct wf_json_writer *w)
{
    struct wfi_revoked *revoked = &worker->jobs.revoked;
    wf_json_write_object(w);
    wfi_worker_lock(worker);
    (void)wfi_revoked_purge(revoked, wf_now());
    for (struct wfi_revoked_id *id = NULL; (id = wfi_revoked_next(revoked, id));)
        wfi_control_write_revoked(w, id->text, (double)id->at_ns / 1e9);
    wfi_worker_unlock(worker);
    wf_json_write_end(w);
}

static int ask_others(struct mingling *mingling, struct wfi_client_broker *client,
                      struct wf_error *reterr)
{
    struct wfi_worker *worker = mingling->worker;
    const struct wfi_client_asking asking = {
        .wait_ns = ANSWERS_NS, .reply = take_answer, .arg = mingling};
    struct wfi_control_request request = {.method = "hello",
                                          .clock = wfi_events_clock_next(worker)};
    struct wf_json_writer *w;
    int err = wfi_message_writer_create(&w);
    if (err)
        return wf_error_set(reterr, err, NULL);
    wf_json_write_object(w);
    wf_json_write_key(w, "from_node");
    wfi_json_write_text(w, worker->name);
    wf_json_write_key(w, "revoked");
    write_revoked(worker, w);
    wf_json_write_end(w);
    err = wf_json_writer_text(w, &request.arguments.text, &request.arguments.len);
    if (!err)
        err = client->ops->control(client, &request, &asking, wf_after(MINGLE_NS), reterr);
    wf_json_writer_destroy(w);
    return err;
}

static void mingle(struct wfi_worker *worker)
{
    struct mingling mingling = {.worker = worker};
    struct wfi_client_broker *client;
    struct wf_error error = {0};
    struct wfi_uuids uuids;
    if (wfi_uuids_init(&uuids))
        return;
    int err = open_client(worker, &uuids, &client, &error);
    if (!err) {
        err = ask_others(&mingling, client, &error);
        client->ops->destroy(client);
    }
    wfi_uuids_fini(&uuids);
    if (err && err != -ECANCELED)
        wfi_worker_say(worker, WF_CELERY_WARNING, "mingle: %s", error.text);
    else if (!err && mingling.nodes)
        wfi_worker_say(worker, WF_CELERY_INFO, "mingle: sync with %zu nodes", mingling.nodes);
    else if (!err)
        wfi_worker_say(worker, WF_CELERY_INFO, "mingle: all alone");
}

int wfi_celery_mingle(struct wf_task *self, struct wfi_worker *worker, wf_none *ret)
{
    (void)self, (void)ret;
    while (wf_event_wait(&worker->new_connection, WF_FOREVER) == 0) {
        wf_event_clear(&worker->new_connection);
        mingle(worker);
    }
    return 0;
}
WF_TASK_DEFINE(wfi_celery_mingle)

void wfi_worker_mingle(struct wfi_worker *worker, struct wf_scope *scope)
{
    if (!worker->options->no_mingle && !worker->options->no_control)
        (void)wfi_celery_mingle_go(scope, worker);
}
