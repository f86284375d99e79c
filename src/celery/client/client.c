/* SPDX-License-Identifier: MIT */
/*
 * What is sent is made here, and carried by a table of functions, one for each kind of broker
 * (celery/client/client_broker.h). What waits for results has connections of its own
 * (celery/backend/results.c).
 */
#include "celery/client/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <weft/celery_task.h>

#include "base/alloc.h"
#include "celery/backend/store.h"
#include "celery/client/client_broker.h"
#include "celery/message/canvas.h"
#include "celery/message/message.h"
#include "celery/message/moment.h"
#include "celery/message/monitor_event.h"
#include "celery/message/repr.h"

#define REPLIES_NS WF_SECONDS(1) /* as Celery's */
#define CHORD_EXPIRES_S 86400    /* likewise */

struct wf_celery_client {
    struct wfi_client_broker *broker;
    struct wfi_line backend;
    struct wfi_results *results; /* NULL without a backend */
    struct wfi_store *store;     /* NULL where chords cannot be counted */
    struct wfi_uuids uuids;
    char *queue, *prefix;
    char reply_to[WFI_UUID_BYTES];
    char origin[96];
    struct wf_mutex lock;
    /* under the lock */
    int64_t clock;
};

struct wf_celery_result {
    struct wfi_result_in in;
};

static int64_t now_us(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- sending ---- */

/* Arguments, read to be checked and shown. */
struct shown {
    struct wf_json *tree; /* owned, where they came as text */
    struct wfi_buffer repr;
};

static void free_shown(struct shown *shown)
{
    wf_json_destroy(shown->tree);
    wfi_buffer_reset(&shown->repr);
}

/* ret_text receives the representation, NULL for none. Returns 0, -EINVAL or -ENOMEM. */
static int show(const struct wfi_json_piece *piece, bool positional, struct shown *shown,
                const char **ret_text, struct wf_error *reterr)
{
    const enum wf_json_type type = positional ? WF_JSON_ARRAY : WF_JSON_OBJECT;
    const char *what = positional ? "args" : "kwargs";
    const struct wf_json_value *value = piece->value;
    *ret_text = positional ? "()" : "{}";
    if (!value && !piece->text)
        return 0;
    if (!value) {
        int err = wf_json_read(piece->text, piece->len, NULL, &shown->tree, reterr);
        if (err)
            return err == -ENOMEM ? err : wf_error_set(reterr, -EINVAL, "%s are no JSON", what);
        value = wf_json_root(shown->tree);
    }
    if (wf_json_type(value) != type)
        return wf_error_set(reterr, -EINVAL, "%s are no %s", what, positional ? "array" : "object");
    if (positional ? wfi_repr_tuple(&shown->repr, value, 0) : wfi_repr(&shown->repr, value, 0))
        return wf_error_set(reterr, -ENOMEM, NULL);
    *ret_text = wfi_buffer_text(&shown->repr);
    return *ret_text ? 0 : wf_error_set(reterr, -ENOMEM, NULL);
}

/* The texts of a message that are made for it. */
struct texts {
    char id[WFI_UUID_BYTES];
    char eta[WFI_MOMENT_BYTES], expires[WFI_MOMENT_BYTES], expiration[24];
    struct shown args, kwargs;
};

static void set_times(const struct wfi_client_task *task, struct texts *texts,
                      struct wfi_message *m)
{
    const int64_t now = now_us();
    const int64_t eta = task->countdown_ns ? now + task->countdown_ns / 1000 : task->eta_us;
    const int64_t expires =
        task->expires_in_ns ? now + task->expires_in_ns / 1000 : task->expires_us;
    if (eta) {
        wfi_moment_write(eta, true, texts->eta);
        m->eta = texts->eta;
    }
    if (expires) {
        const int64_t left_ms = expires > now ? (expires - now) / 1000 : 0;
        wfi_moment_write(expires, true, texts->expires);
        snprintf(texts->expiration, sizeof texts->expiration, "%lld", (long long)left_ms);
        m->expires = texts->expires;
        m->properties.expiration = texts->expiration;
    }
}

/* Where it goes: to a queue, or by an exchange. */
static void set_route(const struct wf_celery_client *client, const struct wfi_client_task *task,
                      struct wfi_properties *p)
{
    const char *queue = task->queue;
    if (!queue && !task->exchange && !task->routing_key)
        queue = client->queue;
    p->exchange = queue ? "" : task->exchange ? task->exchange : client->queue;
    p->routing_key = queue ? queue : task->routing_key ? task->routing_key : "";
}

/* What is sent from inside of a task follows from that, unless it says otherwise. */
static void set_parent(const struct wfi_client_task *task, struct wfi_message *m)
{
    const struct wf_task *self = wf_task_self();
    const struct wf_celery_request *current = self ? wf_celery_task_request(self) : NULL;
    m->root_id = task->root_id;
    if (current && !task->root_id && !task->parent_id) {
        m->root_id = current->root_id ? current->root_id : current->id;
        m->parent_id = current->id;
    }
    if (!m->root_id)
        m->root_id = m->id;
}

static int fill(struct wf_celery_client *client, const struct wfi_client_task *task,
                struct texts *texts, struct wfi_message *m, struct wf_error *reterr)
{
    *m = (struct wfi_message){
        .task = task->name,
        .id = task->id ? task->id : texts->id,
        .parent_id = task->parent_id,
        .group = task->group_id,
        .has_group_index = task->has_group_index,
        .group_index = task->group_index,
        .shadow = task->shadow,
        .origin = client->origin,
        .retries = task->retries,
        .hard_s = task->hard_s,
        .soft_s = task->soft_s,
        .ignore_result = task->ignore_result,
        .headers = task->headers,
        .properties = {.reply_to = client->reply_to, .priority = task->priority},
        .args = task->args,
        .kwargs = task->kwargs,
        .callbacks = task->callbacks,
        .errbacks = task->errbacks,
        .chain = task->chain,
        .chord = task->chord,
    };
    m->properties.correlation_id = m->id;
    set_parent(task, m);
    set_route(client, task, &m->properties);
    set_times(task, texts, m);
    int err = show(&task->args, true, &texts->args, &m->argsrepr, reterr);
    if (!err)
        err = show(&task->kwargs, false, &texts->kwargs, &m->kwargsrepr, reterr);
    return err;
}

static int check(const struct wf_celery_client *client, const struct wfi_client_task *task,
                 bool watched, struct wf_error *reterr)
{
    if (!task->name || !task->name[0])
        return wf_error_set(reterr, -EINVAL, "a task without a name");
    if (task->priority < 0 || task->priority > 9)
        return wf_error_set(reterr, -ERANGE, "priority %d; there are 0 to 9", task->priority);
    if (watched && !client->results)
        return wf_error_set(reterr, -EINVAL, "the client has no backend to wait for results at");
    return 0;
}

static int pack(struct wf_celery_client *client, const struct wfi_client_task *task,
                struct texts *texts, struct wfi_client_parcel **ret_parcel, struct wf_error *reterr)
{
    struct wfi_message m;
    wfi_uuid_next(&client->uuids, texts->id);
    int err = fill(client, task, texts, &m, reterr);
    if (!err) {
        err = client->broker->ops->pack(client->broker, &m, ret_parcel);
        if (err)
            wf_error_set(reterr, err, NULL);
    }
    if (err && reterr)
        wf_error_prefix(reterr, "task %.100s", task->name);
    free_shown(&texts->args);
    free_shown(&texts->kwargs);
    return err;
}

int wfi_client_pack(struct wf_celery_client *client, const struct wfi_client_task *task,
                    char **ret_id, struct wfi_client_parcel **ret_parcel, struct wf_error *reterr)
{
    struct texts texts = {0};
    struct wfi_client_parcel *parcel = NULL;
    int err = check(client, task, false, reterr);
    if (!err)
        err = pack(client, task, &texts, &parcel, reterr);
    if (err)
        return err;
    char *id = wfi_strdup(task->id ? task->id : texts.id);
    if (!id) {
        parcel->discard(parcel);
        return wf_error_set(reterr, -ENOMEM, NULL);
    }
    *ret_id = id;
    *ret_parcel = parcel;
    return 0;
}

int wfi_client_publish(struct wf_celery_client *client, const struct wfi_client_parcel *parcel,
                       wf_deadline deadline, struct wf_error *reterr)
{
    int err = client->results ? wfi_results_ready(client->results, deadline, reterr) : 0;
    return err ? err : client->broker->ops->publish(client->broker, parcel, deadline, reterr);
}

int wfi_client_send(struct wf_celery_client *client, const struct wfi_client_task *task,
                    char ret_id[WFI_UUID_BYTES], struct wfi_result_watch *watch,
                    wf_deadline deadline, struct wf_error *reterr)
{
    struct texts texts = {0};
    struct wfi_client_parcel *parcel = NULL;
    int err = check(client, task, watch != NULL, reterr);
    if (!err)
        err = pack(client, task, &texts, &parcel, reterr);
    if (err)
        return err;
    if (watch)
        err = wfi_results_watch(client->results, task->id ? task->id : texts.id, watch, reterr);
    if (!err) {
        err = wfi_client_publish(client, parcel, deadline, reterr);
        if (err && watch)
            wfi_results_unwatch(watch);
    }
    if (!err && ret_id && !task->id)
        memcpy(ret_id, texts.id, sizeof texts.id);
    if (err && reterr)
        wf_error_prefix(reterr, "task %.100s", task->name);
    parcel->discard(parcel);
    return err;
}

int wfi_client_priority(const struct wf_celery_client *client, int priority)
{
    if (client->broker->high_first)
        return priority > 0 ? 3 * priority : 0;
    return priority < 0 ? -3 * priority : 0;
}

static struct wfi_json_piece piece_of(const char *text)
{
    return (struct wfi_json_piece){.text = text, .len = text ? strlen(text) : 0};
}

/* Reads a text that may be missing, which has to be of this type. */
static int read_text(const char *text, enum wf_json_type type, const char *what,
                     struct wf_json **ret_tree, struct wf_error *reterr)
{
    *ret_tree = NULL;
    if (!text)
        return 0;
    int err = wf_json_read(text, strlen(text), NULL, ret_tree, NULL);
    if (err)
        return wf_error_set(reterr, err == -ENOMEM ? err : -EINVAL, "%s are no JSON", what);
    if (wf_json_type(wf_json_root(*ret_tree)) == type)
        return 0;
    wf_json_destroy(*ret_tree);
    *ret_tree = NULL;
    return wf_error_set(reterr, -EINVAL, "%s are no %s", what,
                        type == WF_JSON_ARRAY ? "array" : "object");
}

static void set_apply(struct wfi_client_task *task, const struct wf_celery_apply *apply)
{
    task->id = apply->id;
    task->queue = apply->queue;
    task->countdown_ns = apply->countdown_ns;
    task->eta_us = apply->eta_us;
    task->expires_in_ns = apply->expires_ns;
    task->expires_us = apply->expires_at_us;
    task->priority = apply->priority;
    task->retries = apply->retries;
    task->soft_s = apply->soft_s;
    task->hard_s = apply->hard_s;
    task->ignore_result = apply->ignore_result;
    task->shadow = apply->shadow;
    task->root_id = apply->root_id;
    task->parent_id = apply->parent_id;
    task->callbacks = piece_of(apply->callbacks);
    task->errbacks = piece_of(apply->errbacks);
}

int wfi_client_apply(struct wfi_client_task *task, const struct wf_celery_apply *apply,
                     struct wfi_client_applied *applied, struct wf_error *reterr)
{
    set_apply(task, apply);
    int err = read_text(apply->headers, WF_JSON_OBJECT, "headers", &applied->trees[0], reterr);
    if (!err)
        err = read_text(apply->callbacks, WF_JSON_ARRAY, "callbacks", &applied->trees[1], reterr);
    if (!err)
        err = read_text(apply->errbacks, WF_JSON_ARRAY, "errbacks", &applied->trees[2], reterr);
    if (applied->trees[0])
        task->headers = wf_json_root(applied->trees[0]);
    return err;
}

void wfi_client_applied_fini(struct wfi_client_applied *applied)
{
    for (size_t i = 0; i < sizeof applied->trees / sizeof *applied->trees; i++)
        wf_json_destroy(applied->trees[i]);
}

int wf_celery_client_send(struct wf_celery_client *client, const char *name, const char *args,
                          const char *kwargs, const struct wf_celery_apply *apply,
                          char ret_id[WF_CELERY_ID_BYTES], wf_deadline deadline,
                          struct wf_error *reterr)
{
    struct wfi_client_applied applied = {0};
    struct wfi_client_task task = {
        .name = name, .args = piece_of(args), .kwargs = piece_of(kwargs)};
    int err = apply ? wfi_client_apply(&task, apply, &applied, reterr) : 0;
    if (!err)
        err = wfi_client_send(client, &task, ret_id, NULL, deadline, reterr);
    wfi_client_applied_fini(&applied);
    return err;
}

/* ---- signatures ---- */

static void new_id(void *arg, char ret_id[WFI_ID_BYTES])
{
    wfi_uuid_next(arg, ret_id);
}

void wfi_client_canvas_context(struct wf_celery_client *client, struct wfi_canvas_context *ret,
                               struct wfi_message *request)
{
    const struct wf_task *self = wf_task_self();
    const struct wf_celery_request *current = self ? wf_celery_task_request(self) : NULL;
    *ret = (struct wfi_canvas_context){.origin = client->origin,
                                       .reply_to = client->reply_to,
                                       .now_us = now_us(),
                                       .new_id = new_id,
                                       .arg = &client->uuids};
    if (!current)
        return;
    *request = (struct wfi_message){.id = current->id, .root_id = current->root_id};
    ret->request = request;
}

int wfi_client_send_step(struct wf_celery_client *client, const struct wfi_canvas_step *step,
                         wf_deadline deadline, struct wf_error *reterr)
{
    const struct wfi_client_task route = {
        .queue = step->queue, .exchange = step->exchange, .routing_key = step->routing_key};
    struct wfi_message m = step->message;
    struct wfi_client_parcel *parcel = NULL;
    set_route(client, &route, &m.properties);
    if (!step->has_priority)
        m.properties.priority = 0;
    int err = client->broker->ops->pack(client->broker, &m, &parcel);
    if (err)
        return wf_error_set(reterr, err, NULL);
    err = wfi_client_publish(client, parcel, deadline, reterr);
    if (err && reterr)
        wf_error_prefix(reterr, "task %.100s", m.task);
    parcel->discard(parcel);
    return err;
}

struct wfi_store *wfi_client_store(struct wf_celery_client *client)
{
    return client->store;
}

/* ---- results ---- */

struct wfi_results *wfi_client_results(struct wf_celery_client *client)
{
    return client->results;
}

int wf_celery_client_wait(struct wf_celery_client *client, const char *id,
                          struct wf_celery_result **ret_result, wf_deadline deadline,
                          struct wf_error *reterr)
{
    struct wfi_result_watch watch;
    if (!client->results)
        return wf_error_set(reterr, -EINVAL, "the client has no backend to wait for results at");
    struct wf_celery_result *result = wfi_zalloc(sizeof *result);
    if (!result)
        return wf_error_set(reterr, -ENOMEM, NULL);
    int err = wfi_results_watch(client->results, id, &watch, reterr);
    if (!err) {
        err = wfi_results_wait(&watch, &result->in, deadline, reterr);
        wfi_results_unwatch(&watch);
    }
    if (err)
        wfi_free(result);
    else
        *ret_result = result;
    return err;
}

int wf_celery_result_value(const struct wf_celery_result *result,
                           const struct wf_json_value **ret_value, struct wf_error *reterr)
{
    return wfi_result_value(&result->in, ret_value, reterr);
}

const struct wf_json_value *wf_celery_result_document(const struct wf_celery_result *result)
{
    return wf_json_root(result->in.tree);
}

void wf_celery_result_destroy(struct wf_celery_result *result)
{
    if (!result)
        return;
    wfi_result_in_reset(&result->in);
    wfi_free(result);
}

struct forgetting {
    const char *prefix, *id;
};

static int forget(void *arg, void *connection, uint64_t number, wf_deadline deadline,
                  struct wf_error *reterr)
{
    const struct forgetting *f = arg;
    struct wfi_redis_batch batch = {0};
    (void)number;
    wfi_redis_add(&batch, "DEL %s" WFI_RESULT_KEY "%s", f->prefix, f->id);
    int err = wfi_redis_call(connection, &batch, NULL, deadline, reterr);
    wfi_redis_batch_fini(&batch);
    return err;
}

int wf_celery_client_forget(struct wf_celery_client *client, const char *id, wf_deadline deadline,
                            struct wf_error *reterr)
{
    struct forgetting f = {client->prefix, id};
    if (!client->results)
        return wf_error_set(reterr, -EINVAL, "the client has no backend");
    (void)wfi_results_drop(client->results, id);
    if (!client->backend.kind)
        return 0; /* rpc:// keeps nothing over there */
    return wfi_line_do(&client->backend, forget, &f, deadline, reterr);
}

/* ---- requests ---- */

static int send_request(struct wf_celery_client *client, struct wfi_control_request *request,
                        const struct wfi_client_asking *asking, wf_deadline deadline,
                        struct wf_error *reterr)
{
    WF_LOCKED(&client->lock) {
        request->clock = wfi_lamport_next(&client->clock);
    }
    return client->broker->ops->control(client->broker, request, asking, deadline, reterr);
}

int wfi_client_revoke(struct wf_celery_client *client, const char *const *ids, size_t count,
                      bool terminate, wf_deadline deadline, struct wf_error *reterr)
{
    struct wfi_control_request request = {.method = "revoke"};
    struct wf_json_writer *w = NULL;
    int err = wfi_message_writer_create(&w);
    if (err)
        return wf_error_set(reterr, err, NULL);
    wf_json_write_object(w);
    wf_json_write_key(w, "task_id");
    if (count != 1)
        wf_json_write_array(w);
    for (size_t i = 0; i < count; i++)
        wf_json_write_string(w, ids[i], strlen(ids[i]));
    if (count != 1)
        wf_json_write_end(w);
    wf_json_write_key(w, "terminate");
    wf_json_write_bool(w, terminate);
    wf_json_write_key(w, "signal");
    wf_json_write_string(w, "SIGTERM", 7);
    wf_json_write_end(w);
    err = wf_json_writer_text(w, &request.arguments.text, &request.arguments.len);
    if (err)
        wf_error_set(reterr, err, NULL);
    else
        err = send_request(client, &request, NULL, deadline, reterr);
    wf_json_writer_destroy(w);
    return err;
}

int wf_celery_client_revoke(struct wf_celery_client *client, const char *id, bool terminate,
                            wf_deadline deadline, struct wf_error *reterr)
{
    return wfi_client_revoke(client, &id, 1, terminate, deadline, reterr);
}

/* A reply's members become those of the object that is being written. */
static int add_reply(void *arg, const struct wf_json_value *body)
{
    struct wf_json_writer *w = arg;
    const struct wf_json_value *value;
    for (size_t i = 0; (value = wf_json_at(body, i)); i++) {
        size_t len;
        const char *key = wf_json_key(value, &len);
        wf_json_write_key_bytes(w, key, len);
        wf_json_write_value(w, value);
    }
    return 0;
}

static int ask(struct wf_celery_client *client, struct wfi_control_request *request,
               const struct wf_celery_control *control, struct wf_json **ret_replies,
               wf_deadline deadline, struct wf_error *reterr)
{
    struct wf_json_writer *w = NULL;
    const char *text;
    size_t len;
    int err = wfi_message_writer_create(&w);
    if (err)
        return wf_error_set(reterr, err, NULL);
    const struct wfi_client_asking asking = {
        .wait_ns = control->wait_ns ? control->wait_ns : REPLIES_NS,
        .replies_max = control->replies_max ? control->replies_max : control->destination_count,
        .reply = add_reply,
        .arg = w};
    wf_json_write_object(w);
    err = send_request(client, request, &asking, deadline, reterr);
    wf_json_write_end(w);
    if (!err) {
        err = wf_json_writer_text(w, &text, &len);
        if (!err)
            err = wf_json_read(text, len, NULL, ret_replies, NULL);
        if (err)
            wf_error_set(reterr, err, NULL);
    }
    wf_json_writer_destroy(w);
    return err;
}

static int write_names(struct wf_json_writer *w, const struct wf_celery_control *control,
                       struct wfi_json_piece *ret)
{
    if (!control->destination_count)
        return 0;
    wf_json_write_array(w);
    for (size_t i = 0; i < control->destination_count; i++)
        wf_json_write_string(w, control->destination[i], strlen(control->destination[i]));
    wf_json_write_end(w);
    return wf_json_writer_text(w, &ret->text, &ret->len);
}

int wf_celery_client_control(struct wf_celery_client *client,
                             const struct wf_celery_control *control, struct wf_json **ret_replies,
                             wf_deadline deadline, struct wf_error *reterr)
{
    struct wfi_control_request request = {.method = control->method,
                                          .arguments = piece_of(control->arguments),
                                          .pattern = control->pattern,
                                          .matcher = control->matcher};
    struct wf_json *arguments = NULL;
    struct wf_json_writer *names = NULL;
    if (!control->method || !control->method[0])
        return wf_error_set(reterr, -EINVAL, "a request without a method");
    int err = read_text(control->arguments, WF_JSON_OBJECT, "the arguments", &arguments, reterr);
    if (err)
        return err;
    err = wfi_message_writer_create(&names);
    if (!err)
        err = write_names(names, control, &request.destination);
    if (err)
        wf_error_set(reterr, err, NULL);
    else if (ret_replies)
        err = ask(client, &request, control, ret_replies, deadline, reterr);
    else
        err = send_request(client, &request, NULL, deadline, reterr);
    wf_json_writer_destroy(names);
    wf_json_destroy(arguments);
    return err;
}

/* ---- life ---- */

static int read_url(const char *text, const char *what, struct wfi_celery_url *ret,
                    struct wf_error *reterr)
{
    int err = wfi_celery_url_parse(text, ret, reterr);
    if (err && reterr)
        wf_error_prefix(reterr, "the %s", what);
    return err;
}

static int open_broker(struct wf_celery_client *client,
                       const struct wf_celery_client_options *options, struct wfi_celery_url *url,
                       struct wf_error *reterr)
{
    const struct wfi_client_broker_options made = {.url = url,
                                                   .prefix = client->prefix,
                                                   .once = options->send_once,
                                                   .unconfirmed = options->unconfirmed,
                                                   .uuids = &client->uuids};
    int err =
        read_url(options->broker ? options->broker : "redis://localhost", "broker", url, reterr);
    if (err)
        return err;
    switch (url->transport) {
    case WFI_TRANSPORT_REDIS:
        return wfi_client_redis_create(&made, &client->broker, reterr);
    case WFI_TRANSPORT_AMQP:
        return wfi_client_amqp_create(&made, &client->broker, reterr);
    case WFI_TRANSPORT_RPC:
        break;
    }
    return wf_error_set(reterr, -ENOTSUP, "the broker: rpc:// is for results only");
}

static int open_backend(struct wf_celery_client *client,
                        const struct wf_celery_client_options *options,
                        const struct wfi_celery_url *broker, struct wf_executor *on,
                        struct wf_error *reterr)
{
    struct wfi_celery_url url;
    struct wfi_results_options made = {.on = on,
                                       .prefix = client->prefix,
                                       .retries_max = options->retries_max,
                                       .pause_ns = options->pause_ns};
    int err = read_url(options->backend, "backend", &url, reterr);
    if (err)
        return err;
    if (url.transport == WFI_TRANSPORT_REDIS) {
        const struct wfi_store_options store = {
            .url = &url, .prefix = client->prefix, .expires_s = CHORD_EXPIRES_S};
        wfi_line_init(&client->backend, &wfi_client_redis_line, &url, NULL, options->send_once);
        err = wfi_store_create(&store, &client->store, reterr);
        return err ? err : wfi_results_create(&url, &made, &client->results, reterr);
    }
    if (url.transport != WFI_TRANSPORT_RPC)
        return wf_error_set(reterr, -ENOTSUP,
                            "the backend: RabbitMQ keeps no results; they come by rpc://");
    if (broker->transport != WFI_TRANSPORT_AMQP)
        return wf_error_set(reterr, -ENOTSUP, "the backend: rpc:// needs RabbitMQ as the broker");
    made.reply_queue = client->reply_to;
    return wfi_results_create(broker, &made, &client->results, reterr);
}

static int set_texts(struct wf_celery_client *client,
                     const struct wf_celery_client_options *options)
{
    char host[64] = "localhost";
    if (gethostname(host, sizeof host - 1))
        snprintf(host, sizeof host, "localhost");
    host[sizeof host - 1] = '\0';
    snprintf(client->origin, sizeof client->origin, "gen%lld@%s", (long long)getpid(), host);
    wfi_uuid_next(&client->uuids, client->reply_to);
    client->queue = wfi_strdup(options->queue ? options->queue : "celery");
    client->prefix = wfi_strdup(options->prefix ? options->prefix : "");
    return client->queue && client->prefix ? 0 : -ENOMEM;
}

int wf_celery_client_create(const struct wf_celery_client_options *options,
                            struct wf_celery_client **ret_client, struct wf_error *reterr)
{
    return wfi_client_create(options, NULL, ret_client, reterr);
}

int wfi_client_create(const struct wf_celery_client_options *options, struct wf_executor *on,
                      struct wf_celery_client **ret_client, struct wf_error *reterr)
{
    struct wfi_celery_url broker;
    struct wf_celery_client *client = wfi_zalloc(sizeof *client);
    if (!client)
        return wf_error_set(reterr, -ENOMEM, NULL);
    int err = wfi_uuids_init(&client->uuids);
    if (err) {
        wf_error_set(reterr, err, "/proc/sys/kernel/random/uuid: %s", wf_strerror(err));
        wfi_free(client);
        return err;
    }
    wf_mutex_init(&client->lock);
    err = set_texts(client, options);
    if (err)
        wf_error_set(reterr, err, NULL);
    else
        err = open_broker(client, options, &broker, reterr);
    if (!err && options->backend)
        err = open_backend(client, options, &broker, on, reterr);
    if (err)
        wf_celery_client_destroy(client);
    else
        *ret_client = client;
    return err;
}

void wf_celery_client_destroy(struct wf_celery_client *client)
{
    if (!client)
        return;
    wfi_results_destroy(client->results);
    wfi_line_fini(&client->backend);
    wfi_store_destroy(client->store);
    if (client->broker)
        client->broker->ops->destroy(client->broker);
    wfi_uuids_fini(&client->uuids);
    wf_mutex_fini(&client->lock);
    wfi_free(client->queue);
    wfi_free(client->prefix);
    wfi_free(client);
}
