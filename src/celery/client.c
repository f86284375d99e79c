/* SPDX-License-Identifier: MIT */
/*
 * One connection to the broker and one to the backend, each a `line`, shared by all callers; what
 * waits for results has its own (celery/results.c).
 *
 * A line's connection is freed when it has been replaced and its last user has let go of it.
 * Whoever finds none that works opens one, one caller at a time.
 */
#include "celery/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <weft/mutex.h>

#include "base/alloc.h"
#include "base/map.h"
#include "celery/control.h"
#include "celery/message.h"
#include "celery/moment.h"
#include "celery/redis_broker.h"
#include "celery/redis_keys.h"
#include "celery/repr.h"

/* As Celery's own client: three times more, after no pause and then 0.2 s more each time. */
#define RETRIES_MAX 3
#define PAUSE_STEP_NS WF_MILLISECONDS(200)

struct connection {
    struct wfi_redis *redis;
    int users; /* and one for the line; under the client's lock */
};

struct line {
    struct wfi_celery_url url;
    struct wf_mutex opening;
    struct connection *connection; /* under the client's lock */
};

struct queue {
    size_t len;
    char name[];
};

struct wfi_client {
    struct line broker, backend;
    struct wfi_results *results; /* NULL without a backend */
    struct wfi_uuids uuids;
    char *queue;
    char reply_to[WFI_UUID_BYTES];
    bool send_once;
    struct wf_mutex lock;
    struct wfi_map declared; /* queues whose binding is known to be there; under the lock */
};

/* ---- connections ---- */

static void let_go(struct wfi_client *client, struct connection *connection)
{
    bool last = false;
    if (!connection)
        return;
    WF_LOCKED(&client->lock) {
        last = --connection->users == 0;
    }
    if (last) {
        wfi_redis_close(connection->redis);
        wfi_free(connection);
    }
}

/* NULL where none is open. */
static struct connection *take(struct wfi_client *client, struct line *line)
{
    struct connection *connection = NULL;
    WF_LOCKED(&client->lock) {
        if (line->connection && wfi_redis_is_open(line->connection->redis)) {
            connection = line->connection;
            connection->users++;
        }
    }
    return connection;
}

/* With line->opening held. */
static int open_line(struct wfi_client *client, struct line *line, struct connection **ret,
                     wf_deadline deadline, struct wf_error *reterr)
{
    struct connection *old = NULL, *connection = wfi_zalloc(sizeof *connection);
    if (!connection)
        return wf_error_set(reterr, -ENOMEM, NULL);
    int err = wfi_redis_open(&line->url, NULL, &connection->redis, deadline, reterr);
    if (err) {
        wfi_free(connection);
        return err;
    }
    connection->users = 2;
    WF_LOCKED(&client->lock) {
        old = line->connection;
        line->connection = connection;
    }
    let_go(client, old);
    *ret = connection;
    return 0;
}

static int hold(struct wfi_client *client, struct line *line, struct connection **ret,
                wf_deadline deadline, struct wf_error *reterr)
{
    *ret = take(client, line);
    if (*ret)
        return 0;
    int err = wf_mutex_lock(&line->opening, deadline);
    if (err)
        return wf_error_set(reterr, err, NULL);
    *ret = take(client, line);
    if (!*ret)
        err = open_line(client, line, ret, deadline, reterr);
    wf_mutex_unlock(&line->opening);
    return err;
}

/* What may be another time, on another connection. */
static bool is_passing(int err)
{
    return err == WF_ESHORT || err == -ECONNRESET || err == -EPIPE || err == -ECONNREFUSED ||
           err == -ECONNABORTED || err == -EAGAIN || err == -ENOENT || err == -EHOSTUNREACH;
}

/* Does `act` on the line's connection, again if that breaks. */
static int on_line(struct wfi_client *client, struct line *line,
                   int (*act)(void *arg, struct wfi_redis *redis, wf_deadline deadline,
                              struct wf_error *reterr),
                   void *arg, wf_deadline deadline, struct wf_error *reterr)
{
    for (int tries = 0;; tries++) {
        struct connection *connection = NULL;
        int err = hold(client, line, &connection, deadline, reterr);
        if (!err)
            err = act(arg, connection->redis, deadline, reterr);
        let_go(client, connection);
        if (!is_passing(err) || client->send_once || tries == RETRIES_MAX)
            return err;
        wf_deadline next = wf_after(tries * PAUSE_STEP_NS);
        int stop = wf_sleep(wf_earlier(next, deadline));
        if (stop)
            return wf_error_set(reterr, stop, NULL);
        if (deadline.ns < next.ns)
            return err;
    }
}

/* ---- sending ---- */

static int64_t now_us(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static bool has_name(const void *value, const void *key, size_t len)
{
    const struct queue *queue = value;
    return queue->len == len && memcmp(queue->name, key, len) == 0;
}

/* What is published. */
struct publishing {
    struct wfi_client *client;
    const char *queue;
    int priority;
    const char *text;
    size_t len;
};

static int bind_queue(struct wfi_redis *redis, const char *queue, wf_deadline deadline,
                      struct wf_error *reterr)
{
    struct wfi_redis_batch batch = {0};
    struct wfi_buffer binding = {0};
    int err = wfi_redis_binding(&binding, queue, "", queue);
    if (err) {
        wf_error_set(reterr, err, NULL);
    } else {
        wfi_redis_add(&batch, "SADD _kombu.binding.%s %b", queue, binding.data, binding.len);
        err = wfi_redis_call(redis, &batch, NULL, deadline, reterr);
    }
    wfi_redis_batch_fini(&batch);
    wfi_buffer_reset(&binding);
    return err;
}

/* Once for each queue. That it was done is forgotten when memory runs out: it is done again. */
static int declare(struct wfi_client *client, struct wfi_redis *redis, const char *name,
                   wf_deadline deadline, struct wf_error *reterr)
{
    const size_t len = strlen(name);
    bool known = false;
    WF_LOCKED(&client->lock) {
        known = wfi_map_find(&client->declared, name, len) != NULL;
    }
    if (known)
        return 0;
    int err = bind_queue(redis, name, deadline, reterr);
    struct queue *queue = err ? NULL : wfi_zalloc(sizeof *queue + len + 1);
    if (!queue)
        return err;
    queue->len = len;
    memcpy(queue->name, name, len);
    WF_LOCKED(&client->lock) {
        if (wfi_map_put(&client->declared, queue->name, len, queue))
            wfi_free(queue);
    }
    return 0;
}

static int publish(void *arg, struct wfi_redis *redis, wf_deadline deadline,
                   struct wf_error *reterr)
{
    const struct publishing *p = arg;
    int err = declare(p->client, redis, p->queue, deadline, reterr);
    if (err)
        return err;
    return wfi_redis_publish(redis, "", "", p->queue, p->priority, p->text, p->len, deadline,
                             reterr);
}

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
    char id[WFI_UUID_BYTES], tag[WFI_UUID_BYTES];
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

static int fill(struct wfi_client *client, const struct wfi_client_task *task, const char *queue,
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
        .retries = task->retries,
        .hard_s = task->hard_s,
        .soft_s = task->soft_s,
        .ignore_result = task->ignore_result,
        .headers = task->headers,
        .properties = {.reply_to = client->reply_to,
                       .routing_key = queue,
                       .delivery_tag = texts->tag,
                       .priority = task->priority},
        .args = task->args,
        .kwargs = task->kwargs,
        .callbacks = task->callbacks,
        .errbacks = task->errbacks,
        .chain = task->chain,
        .chord = task->chord,
    };
    m->root_id = task->root_id ? task->root_id : m->id;
    set_times(task, texts, m);
    int err = show(&task->args, true, &texts->args, &m->argsrepr, reterr);
    if (!err)
        err = show(&task->kwargs, false, &texts->kwargs, &m->kwargsrepr, reterr);
    return err;
}

/* Sends it to the broker. */
static int push(struct wfi_client *client, const struct wfi_message *m, wf_deadline deadline,
                struct wf_error *reterr)
{
    struct publishing p = {
        .client = client, .queue = m->properties.routing_key, .priority = m->properties.priority};
    struct wf_json_writer *w = NULL;
    int err = wfi_message_writer_create(&w);
    if (!err)
        err = wfi_message_write_redis(w, m);
    if (!err)
        err = wf_json_writer_text(w, &p.text, &p.len);
    if (err)
        wf_error_set(reterr, err, NULL);
    else
        err = on_line(client, &client->broker, publish, &p, deadline, reterr);
    wf_json_writer_destroy(w);
    return err;
}

static int check(const struct wfi_client *client, const struct wfi_client_task *task, bool watched,
                 struct wf_error *reterr)
{
    if (!task->name || !task->name[0])
        return wf_error_set(reterr, -EINVAL, "a task without a name");
    if (task->priority < 0 || task->priority > 9)
        return wf_error_set(reterr, -ERANGE, "priority %d; there are 0 to 9", task->priority);
    if (watched && !client->results)
        return wf_error_set(reterr, -EINVAL, "the client has no backend to wait for results at");
    return 0;
}

int wfi_client_send(struct wfi_client *client, const struct wfi_client_task *task,
                    char ret_id[WFI_UUID_BYTES], struct wfi_result_watch *watch,
                    wf_deadline deadline, struct wf_error *reterr)
{
    struct texts texts = {0};
    struct wfi_message m;
    int err = check(client, task, watch != NULL, reterr);
    if (err)
        return err;
    wfi_uuid_next(&client->uuids, texts.id);
    wfi_uuid_next(&client->uuids, texts.tag);
    err = fill(client, task, task->queue ? task->queue : client->queue, &texts, &m, reterr);
    if (!err && watch)
        err = wfi_results_watch(client->results, m.id, watch, reterr);
    if (!err) {
        err = push(client, &m, deadline, reterr);
        if (err && watch)
            wfi_results_unwatch(watch);
    }
    if (!err && ret_id && !task->id)
        memcpy(ret_id, texts.id, sizeof texts.id);
    if (err && reterr)
        wf_error_prefix(reterr, "task %.100s", task->name);
    free_shown(&texts.args);
    free_shown(&texts.kwargs);
    return err;
}

/* ---- results and requests ---- */

struct wfi_results *wfi_client_results(struct wfi_client *client)
{
    return client->results;
}

static int forget(void *arg, struct wfi_redis *redis, wf_deadline deadline, struct wf_error *reterr)
{
    struct wfi_redis_batch batch = {0};
    wfi_redis_add(&batch, "DEL " WFI_RESULT_KEY "%s", (const char *)arg);
    int err = wfi_redis_call(redis, &batch, NULL, deadline, reterr);
    wfi_redis_batch_fini(&batch);
    return err;
}

int wfi_client_forget(struct wfi_client *client, const char *id, wf_deadline deadline,
                      struct wf_error *reterr)
{
    if (!client->results)
        return wf_error_set(reterr, -EINVAL, "the client has no backend");
    return on_line(client, &client->backend, forget, (void *)(uintptr_t)id, deadline, reterr);
}

static int request(void *arg, struct wfi_redis *redis, wf_deadline deadline,
                   struct wf_error *reterr)
{
    const struct publishing *p = arg;
    struct wfi_redis_batch batch = {0};
    /* Channels are not of a database, so its number is in the name. */
    wfi_redis_add(&batch, "PUBLISH /%d." WFI_CONTROL_EXCHANGE " %b", p->client->broker.url.database,
                  p->text, p->len);
    int err = wfi_redis_call(redis, &batch, NULL, deadline, reterr);
    wfi_redis_batch_fini(&batch);
    return err;
}

static int write_revoke(struct wf_json_writer *arguments, struct wf_json_writer *w, const char *id,
                        bool terminate, const char *tag)
{
    struct wfi_control_request r = {.method = "revoke"};
    wf_json_write_object(arguments);
    wf_json_write_key(arguments, "task_id");
    wf_json_write_string(arguments, id, strlen(id));
    wf_json_write_key(arguments, "terminate");
    wf_json_write_bool(arguments, terminate);
    wf_json_write_key(arguments, "signal");
    wf_json_write_string(arguments, "SIGTERM", 7);
    wf_json_write_end(arguments);
    int err = wf_json_writer_text(arguments, &r.arguments.text, &r.arguments.len);
    return err ? err : wfi_control_write_redis(w, &r, tag);
}

int wfi_client_revoke(struct wfi_client *client, const char *id, bool terminate,
                      wf_deadline deadline, struct wf_error *reterr)
{
    char tag[WFI_UUID_BYTES];
    struct wf_json_writer *arguments = NULL, *w = NULL;
    struct publishing p = {.client = client};
    int err = wfi_message_writer_create(&arguments);
    if (!err)
        err = wfi_message_writer_create(&w);
    if (!err)
        err = write_revoke(arguments, w, id, terminate, wfi_uuid_next(&client->uuids, tag));
    if (!err)
        err = wf_json_writer_text(w, &p.text, &p.len);
    if (err)
        wf_error_set(reterr, err, NULL);
    else
        err = on_line(client, &client->broker, request, &p, deadline, reterr);
    wf_json_writer_destroy(arguments);
    wf_json_writer_destroy(w);
    return err;
}

/* ---- life ---- */

static int read_url(const char *text, const char *what, struct wfi_celery_url *ret,
                    struct wf_error *reterr)
{
    int err = wfi_celery_url_parse(text, ret, reterr);
    if (!err && ret->transport != WFI_TRANSPORT_REDIS) {
        char shown[WFI_CELERY_URL_BYTES];
        err = wf_error_set(reterr, -ENOTSUP, "%.150s: only Redis is supported by the client yet",
                           wfi_celery_url_format(ret, shown));
    }
    if (err && reterr)
        wf_error_prefix(reterr, "the %s", what);
    return err;
}

int wfi_client_create(const char *broker, const char *backend,
                      const struct wfi_client_options *options, struct wfi_client **ret_client,
                      struct wf_error *reterr)
{
    struct wfi_client *client = wfi_zalloc(sizeof *client);
    if (!client)
        return wf_error_set(reterr, -ENOMEM, NULL);
    wf_mutex_init(&client->lock);
    wf_mutex_init(&client->broker.opening);
    wf_mutex_init(&client->backend.opening);
    client->declared.same = has_name;
    client->send_once = options && options->send_once;
    int err = wfi_uuids_init(&client->uuids);
    if (err) {
        wf_error_set(reterr, err, "/proc/sys/kernel/random/uuid: %s", wf_strerror(err));
        wfi_free(client);
        return err;
    }
    wfi_uuid_next(&client->uuids, client->reply_to);
    client->queue = wfi_strdup(options && options->queue ? options->queue : "celery");
    err = client->queue ? 0 : wf_error_set(reterr, -ENOMEM, NULL);
    if (!err)
        err = read_url(broker, "broker", &client->broker.url, reterr);
    if (!err && backend)
        err = read_url(backend, "backend", &client->backend.url, reterr);
    if (!err && backend)
        err = wfi_results_create(&client->backend.url, options ? &options->results : NULL,
                                 &client->results, reterr);
    if (err)
        wfi_client_destroy(client);
    else
        *ret_client = client;
    return err;
}

void wfi_client_destroy(struct wfi_client *client)
{
    struct queue *queue;
    if (!client)
        return;
    wfi_results_destroy(client->results);
    let_go(client, client->broker.connection);
    let_go(client, client->backend.connection);
    for (size_t cursor = 0; (queue = wfi_map_next(&client->declared, &cursor));)
        wfi_free(queue);
    wfi_map_reset(&client->declared);
    wfi_uuids_fini(&client->uuids);
    wf_mutex_fini(&client->lock);
    wf_mutex_fini(&client->broker.opening);
    wf_mutex_fini(&client->backend.opening);
    wfi_free(client->queue);
    wfi_free(client);
}
