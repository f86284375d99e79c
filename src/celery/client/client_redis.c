/* SPDX-License-Identifier: MIT */
/*
 * A client's side of Redis as a broker. Tasks and requests go out on one line. Who waits for
 * replies does so on a connection of its own, because it is blocked meanwhile, at a list that is
 * its alone; the list and its binding are removed when it ends.
 */
#include "celery/client/client_broker.h"

#include <errno.h>
#include <string.h>

#include <weft/scope.h>

#include "base/alloc.h"
#include "base/map.h"
#include "celery/broker/redis.h"
#include "celery/broker/redis_broker.h"
#include "celery/broker/redis_keys.h"

/* For what is done after a request although its time is over. */
#define CLEANUP_NS WF_SECONDS(1)

struct queue {
    size_t len;
    char name[];
};

struct redis_client {
    struct wfi_client_broker base;
    struct wfi_line line;
    char *prefix;
    struct wfi_uuids *uuids;
    struct wf_mutex lock;
    struct wfi_map declared; /* queues whose binding is known to be there; under the lock */
    uint64_t declared_on;    /* the number of the connection on which they were; likewise */
};

static struct redis_client *client_of(struct wfi_client_broker *broker)
{
    return (struct redis_client *)broker;
}

/* ---- the connection ---- */

static int open_redis(const struct wfi_celery_url *url, const void *options, void **ret_connection,
                      wf_deadline deadline, struct wf_error *reterr)
{
    struct wfi_redis *redis;
    (void)options;
    int err = wfi_redis_open(url, NULL, &redis, deadline, reterr);
    if (!err)
        *ret_connection = redis;
    return err;
}

static bool redis_is_open(const void *connection)
{
    return wfi_redis_is_open(connection);
}

static void close_redis(void *connection, bool silent)
{
    (void)silent;
    wfi_redis_close(connection);
}

const struct wfi_line_kind wfi_client_redis_line = {open_redis, redis_is_open, close_redis};

/* ---- tasks ---- */

static bool has_name(const void *value, const void *key, size_t len)
{
    const struct queue *queue = value;
    return queue->len == len && memcmp(queue->name, key, len) == 0;
}

/* Under the lock. */
static void forget_declared(struct redis_client *client)
{
    struct queue *queue;
    for (size_t cursor = 0; (queue = wfi_map_next(&client->declared, &cursor));)
        wfi_free(queue);
    wfi_map_reset(&client->declared);
}

static int bind_queue(const struct redis_client *client, struct wfi_redis *redis, const char *queue,
                      wf_deadline deadline, struct wf_error *reterr)
{
    struct wfi_redis_batch batch = {0};
    struct wfi_buffer binding = {0};
    int err = wfi_redis_binding(&binding, queue, "", queue);
    if (err) {
        wf_error_set(reterr, err, NULL);
    } else {
        wfi_redis_add(&batch, "SADD %s_kombu.binding.%s %b", client->prefix, queue, binding.data,
                      binding.len);
        err = wfi_redis_call(redis, &batch, NULL, deadline, reterr);
    }
    wfi_redis_batch_fini(&batch);
    wfi_buffer_reset(&binding);
    return err;
}

/* Once for each queue and connection, since a server that comes back may know nothing. That it was
 * done is forgotten when memory runs out: it is done again. */
static int declare(struct redis_client *client, struct wfi_redis *redis, uint64_t number,
                   const char *name, wf_deadline deadline, struct wf_error *reterr)
{
    const size_t len = strlen(name);
    bool known = false;
    WF_LOCKED(&client->lock) {
        if (number > client->declared_on) {
            forget_declared(client);
            client->declared_on = number;
        }
        known = wfi_map_find(&client->declared, name, len) != NULL;
    }
    if (known)
        return 0;
    int err = bind_queue(client, redis, name, deadline, reterr);
    struct queue *queue = err ? NULL : wfi_zalloc(sizeof *queue + len + 1);
    if (!queue)
        return err;
    queue->len = len;
    memcpy(queue->name, name, len);
    WF_LOCKED(&client->lock) {
        if (number != client->declared_on ||
            wfi_map_put(&client->declared, queue->name, len, queue))
            wfi_free(queue);
    }
    return 0;
}

struct parcel {
    struct wfi_client_parcel base;
    struct redis_client *client;
    int priority;
    char *text;
    size_t len;
    const char *exchange; /* behind the routing key */
    char routing_key[];
};

static void discard(struct wfi_client_parcel *base)
{
    struct parcel *parcel = (struct parcel *)base;
    wfi_free(parcel->text);
    wfi_free(parcel);
}

static int write_text(const struct wfi_message *m, struct parcel *parcel)
{
    struct wf_json_writer *w = NULL;
    const char *text;
    int err = wfi_message_writer_create(&w);
    if (!err)
        err = wfi_message_write_redis(w, m);
    if (!err)
        err = wf_json_writer_text(w, &text, &parcel->len);
    if (!err) {
        parcel->text = wfi_alloc(parcel->len + 1);
        if (parcel->text)
            memcpy(parcel->text, text, parcel->len + 1);
        else
            err = -ENOMEM;
    }
    wf_json_writer_destroy(w);
    return err;
}

static int pack(struct wfi_client_broker *broker, const struct wfi_message *message,
                struct wfi_client_parcel **ret_parcel)
{
    struct redis_client *client = client_of(broker);
    struct wfi_message m = *message;
    const char *exchange = m.properties.exchange ? m.properties.exchange : "";
    const size_t key_len = strlen(m.properties.routing_key);
    char tag[WFI_UUID_BYTES];
    struct parcel *parcel = wfi_zalloc(sizeof *parcel + key_len + 1 + strlen(exchange) + 1);
    if (!parcel)
        return -ENOMEM;
    parcel->base.discard = discard;
    parcel->client = client;
    parcel->priority = m.properties.priority;
    memcpy(parcel->routing_key, m.properties.routing_key, key_len + 1);
    memcpy(parcel->routing_key + key_len + 1, exchange, strlen(exchange) + 1);
    parcel->exchange = parcel->routing_key + key_len + 1;
    m.properties.delivery_tag = wfi_uuid_next(client->uuids, tag);
    int err = write_text(&m, parcel);
    if (err)
        discard(&parcel->base);
    else
        *ret_parcel = &parcel->base;
    return err;
}

static int publish_on(void *arg, void *connection, uint64_t number, wf_deadline deadline,
                      struct wf_error *reterr)
{
    const struct parcel *p = arg;
    int err = p->exchange[0]
                  ? 0
                  : declare(p->client, connection, number, p->routing_key, deadline, reterr);
    if (err)
        return err;
    return wfi_redis_publish(connection, p->client->prefix, p->exchange, p->routing_key,
                             p->priority, p->text, p->len, deadline, reterr);
}

static int publish(struct wfi_client_broker *broker, const struct wfi_client_parcel *parcel,
                   wf_deadline deadline, struct wf_error *reterr)
{
    return wfi_line_do(&client_of(broker)->line, publish_on, (void *)(uintptr_t)parcel, deadline,
                       reterr);
}

/* ---- requests ---- */

struct requesting {
    struct redis_client *client;
    const char *reply_key; /* NULL: no reply is wanted */
    const char *text;
    size_t len;
};

/* Binds the list of the replies, or takes it away with all that is in it. */
static void add_reply_list(struct wfi_redis_batch *batch, const struct redis_client *client,
                           const char *reply_key, bool there)
{
    struct wfi_buffer queue = {0}, binding = {0};
    const char *prefix = client->prefix;
    int err = wfi_buffer_printf(&queue, "%s." WFI_CONTROL_REPLY_EXCHANGE, reply_key);
    const char *name = err ? NULL : wfi_buffer_text(&queue);
    if (!name || wfi_redis_binding(&binding, reply_key, "", name)) {
        batch->err = -ENOMEM;
    } else {
        wfi_redis_add(batch,
                      there ? "SADD %s_kombu.binding." WFI_CONTROL_REPLY_EXCHANGE " %b"
                            : "SREM %s_kombu.binding." WFI_CONTROL_REPLY_EXCHANGE " %b",
                      prefix, binding.data, binding.len);
        if (!there)
            wfi_redis_add(batch, "DEL %s%s", prefix, name);
    }
    wfi_buffer_reset(&queue);
    wfi_buffer_reset(&binding);
}

static int request_on(void *arg, void *connection, uint64_t number, wf_deadline deadline,
                      struct wf_error *reterr)
{
    const struct requesting *r = arg;
    struct wfi_redis_batch batch = {0};
    (void)number;
    if (r->reply_key)
        add_reply_list(&batch, r->client, r->reply_key, true);
    /* Channels are not of a database, so its number is in the name. */
    wfi_redis_add(&batch, "PUBLISH %s/%d." WFI_CONTROL_EXCHANGE " %b", r->client->prefix,
                  r->client->line.url.database, r->text, r->len);
    int err = wfi_redis_call(connection, &batch, NULL, deadline, reterr);
    wfi_redis_batch_fini(&batch);
    return err;
}

static int clean_up(void *arg, void *connection, uint64_t number, wf_deadline deadline,
                    struct wf_error *reterr)
{
    const struct requesting *r = arg;
    struct wfi_redis_batch batch = {0};
    (void)number;
    add_reply_list(&batch, r->client, r->reply_key, false);
    int err = wfi_redis_call(connection, &batch, NULL, deadline, reterr);
    wfi_redis_batch_fini(&batch);
    return err;
}

/* Returns 1 when it was a reply to this request, 0 when not, or an error. */
static int take_reply(const struct wfi_control_request *request,
                      const struct wfi_client_asking *asking, const redisReply *reply)
{
    struct wfi_envelope envelope = {0};
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
        return 0;
    int err =
        wfi_envelope_read_redis(reply->element[1]->str, reply->element[1]->len, &envelope, NULL);
    int taken =
        err ? (err == -ENOMEM ? err : 0) : wfi_client_take_reply(request, asking, &envelope);
    wfi_envelope_reset(&envelope);
    return taken;
}

static int collect(struct redis_client *client, struct wfi_redis *redis,
                   const struct wfi_control_request *request,
                   const struct wfi_client_asking *asking, wf_deadline deadline,
                   struct wf_error *reterr)
{
    const wf_deadline until = wf_after(asking->wait_ns);
    size_t count = 0;
    int err = 0;
    while (!err && (!asking->replies_max || count < asking->replies_max)) {
        struct wfi_redis_batch batch = {0};
        struct wfi_redis_answer answer = {0};
        wfi_redis_add(&batch, "BRPOP %s%s." WFI_CONTROL_REPLY_EXCHANGE " 0", client->prefix,
                      request->reply_key);
        err = wfi_redis_call(redis, &batch, &answer, wf_earlier(until, deadline), reterr);
        if (!err) {
            int taken = take_reply(request, asking, answer.replies[0]);
            if (taken < 0)
                err = wf_error_set(reterr, taken, NULL);
            else
                count += (size_t)taken;
        }
        wfi_redis_answer_fini(&answer);
        wfi_redis_batch_fini(&batch);
    }
    return err == -ETIMEDOUT && until.ns <= deadline.ns ? 0 : err;
}

static int ask(struct redis_client *client, struct requesting *r,
               const struct wfi_control_request *request, const struct wfi_client_asking *asking,
               wf_deadline deadline, struct wf_error *reterr)
{
    struct wfi_redis *redis = NULL;
    int err = wfi_redis_open(&client->line.url, NULL, &redis, deadline, reterr);
    if (err)
        return err;
    err = wfi_line_do(&client->line, request_on, r, deadline, reterr);
    if (!err)
        err = collect(client, redis, request, asking, deadline, reterr);
    wfi_redis_close(redis);
    WF_SHIELD(WF_FOREVER) {
        (void)wfi_line_do(&client->line, clean_up, r, wf_after(CLEANUP_NS), NULL);
    }
    return err;
}

static int control(struct wfi_client_broker *broker, struct wfi_control_request *request,
                   const struct wfi_client_asking *asking, wf_deadline deadline,
                   struct wf_error *reterr)
{
    struct redis_client *client = client_of(broker);
    struct requesting r = {.client = client};
    struct wf_json_writer *w = NULL;
    struct wfi_client_reply_to reply_to;
    char tag[WFI_UUID_BYTES];
    if (asking) {
        wfi_client_want_replies(request, asking, client->uuids, &reply_to);
        r.reply_key = request->reply_key;
    }
    int err = wfi_message_writer_create(&w);
    if (!err)
        err = wfi_control_write_redis(w, request, wfi_uuid_next(client->uuids, tag));
    if (!err)
        err = wf_json_writer_text(w, &r.text, &r.len);
    if (err)
        wf_error_set(reterr, err, NULL);
    else if (asking)
        err = ask(client, &r, request, asking, deadline, reterr);
    else
        err = wfi_line_do(&client->line, request_on, &r, deadline, reterr);
    wf_json_writer_destroy(w);
    return err;
}

/* ---- life ---- */

static void destroy(struct wfi_client_broker *broker)
{
    struct redis_client *client = client_of(broker);
    wfi_line_fini(&client->line);
    forget_declared(client);
    wf_mutex_fini(&client->lock);
    wfi_free(client->prefix);
    wfi_free(client);
}

static const struct wfi_client_broker_ops redis_ops = {pack, publish, control, destroy};

int wfi_client_redis_create(const struct wfi_client_broker_options *options,
                            struct wfi_client_broker **ret_broker, struct wf_error *reterr)
{
    struct redis_client *client = wfi_zalloc(sizeof *client);
    char *prefix = wfi_strdup(options->prefix);
    if (!client || !prefix) {
        wfi_free(client);
        wfi_free(prefix);
        return wf_error_set(reterr, -ENOMEM, NULL);
    }
    client->base.ops = &redis_ops;
    client->prefix = prefix;
    client->uuids = options->uuids;
    client->declared.same = has_name;
    wf_mutex_init(&client->lock);
    wfi_line_init(&client->line, &wfi_client_redis_line, options->url, NULL, options->once);
    *ret_broker = &client->base;
    return 0;
}
