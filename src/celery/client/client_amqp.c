/* SPDX-License-Identifier: MIT */
/*
 * A client's side of RabbitMQ as a broker. Tasks and requests go out on one line; each is there
 * only when the server has said so (confirms), because else one that is lost with a connection
 * would be missed by nobody; unless the client does without. Who waits for replies does so on a
 * connection of its own, at a queue that goes with it.
 *
 * A queue is declared as Celery does, before the first message on each connection: durable, with an
 * exchange of the same name. Where it is there with other arguments the server refuses and closes
 * the channel; the queue is there then, and is left alone from then on.
 */
#include "celery/client/client_broker.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "celery/broker/amqp.h"

#define CLOSE_NS WF_SECONDS(1)
/* Codes with which the server closes a channel, see wfi_amqp_refusal. */
#define NOT_FOUND 404
#define DECLARED_OTHERWISE 406

struct queue {
    uint64_t declared_on; /* the number of the connection */
    bool foreign;         /* it is there, declared otherwise */
    size_t len;
    char name[];
};

struct amqp_client {
    struct wfi_client_broker base;
    struct wfi_line line;
    struct wfi_amqp_options options; /* of its connections */
    struct wfi_uuids *uuids;
    struct wf_mutex lock;
    struct wfi_map queues; /* under the lock; none goes before the client does */
    uint64_t exchange_on;  /* of requests: likewise */
};

static struct amqp_client *client_of(struct wfi_client_broker *broker)
{
    return (struct amqp_client *)broker;
}

/* ---- the connection ---- */

static int open_amqp(const struct wfi_celery_url *url, const void *options, void **ret_connection,
                     wf_deadline deadline, struct wf_error *reterr)
{
    struct wfi_amqp *amqp;
    int err = wfi_amqp_open(url, options, &amqp, deadline, reterr);
    if (!err)
        *ret_connection = amqp;
    return err;
}

static bool amqp_is_open(const void *connection)
{
    return wfi_amqp_is_open(connection);
}

static void close_amqp(void *connection, bool silent)
{
    if (silent)
        wfi_amqp_break(connection);
    wfi_amqp_close(connection, wf_after(CLOSE_NS));
}

static const struct wfi_line_kind amqp_line = {open_amqp, amqp_is_open, close_amqp};

/* ---- queues ---- */

static bool has_name(const void *value, const void *key, size_t len)
{
    const struct queue *queue = value;
    return queue->len == len && memcmp(queue->name, key, len) == 0;
}

/* Under the lock. NULL without memory. */
static struct queue *find_queue(struct amqp_client *client, const char *name)
{
    const size_t len = strlen(name);
    struct queue *queue = wfi_map_find(&client->queues, name, len);
    if (queue)
        return queue;
    queue = wfi_zalloc(sizeof *queue + len + 1);
    if (!queue)
        return NULL;
    queue->len = len;
    memcpy(queue->name, name, len);
    if (wfi_map_put(&client->queues, queue->name, len, queue)) {
        wfi_free(queue);
        return NULL;
    }
    return queue;
}

/* All who use a channel hear why the server closed it. Whether that was not for what was done here,
 * on an exchange of this name, "" for none that could be missing. */
static bool is_anothers(int err, const struct wfi_amqp *amqp, const char *exchange,
                        const struct wf_error *error)
{
    const int refusal = err == -EREMOTEIO ? wfi_amqp_refusal(amqp) : 0;
    return (refusal == NOT_FOUND || refusal == DECLARED_OTHERWISE) &&
           (!exchange[0] || !strstr(error->text, exchange));
}

static int make_queue(struct wfi_amqp *amqp, const char *name, wf_deadline deadline,
                      struct wf_error *reterr)
{
    const struct wfi_amqp_exchange exchange = {.name = name, .type = "direct", .durable = true};
    const struct wfi_amqp_queue queue = {.name = name, .durable = true};
    int err = wfi_amqp_declare_queue(amqp, &queue, NULL, deadline, reterr);
    if (!err)
        err = wfi_amqp_declare_exchange(amqp, &exchange, deadline, reterr);
    if (!err)
        err = wfi_amqp_bind(amqp, name, name, name, deadline, reterr);
    return err;
}

static int declare(struct amqp_client *client, struct wfi_amqp *amqp, uint64_t number,
                   const char *name, wf_deadline deadline, struct wf_error *reterr)
{
    struct queue *queue = NULL;
    struct wf_error error = {0};
    bool known = false;
    WF_LOCKED(&client->lock) {
        queue = find_queue(client, name);
        known = queue && (queue->foreign || queue->declared_on == number);
    }
    if (!queue)
        return wf_error_set(reterr, -ENOMEM, NULL);
    if (known)
        return 0;
    int err = make_queue(amqp, name, deadline, &error);
    const bool foreign = err == -EREMOTEIO && wfi_amqp_refusal(amqp) == DECLARED_OTHERWISE;
    WF_LOCKED(&client->lock) {
        queue->foreign |= foreign;
        if (!err)
            queue->declared_on = number;
    }
    if (err && reterr)
        *reterr = error;
    return is_anothers(err, amqp, "", &error) ? -ECONNRESET : err; /* on with another channel */
}

/* ---- tasks ---- */

/* All the bytes that it needs stand in `bytes`, one behind the other. */
struct parcel {
    struct wfi_client_parcel base;
    struct amqp_client *client;
    struct wfi_properties properties;
    const char *exchange, *routing_key, *headers;
    size_t headers_len;
    struct wfi_buffer body;
    struct wfi_buffer bytes;
};

static void discard(struct wfi_client_parcel *base)
{
    struct parcel *parcel = (struct parcel *)base;
    wfi_buffer_reset(&parcel->bytes);
    wfi_buffer_reset(&parcel->body);
    wfi_free(parcel);
}

/* Where the texts of a parcel stand in its bytes; SIZE_MAX for one that is missing. */
struct places {
    size_t exchange, routing_key, correlation_id, reply_to, expiration, headers;
};

static int keep(struct wfi_buffer *bytes, const char *text, size_t *ret_place)
{
    *ret_place = text ? bytes->len : SIZE_MAX;
    return text ? wfi_buffer_append(bytes, text, strlen(text) + 1) : 0;
}

static int keep_texts(const struct wfi_message *m, struct wfi_buffer *bytes, struct places *at)
{
    const struct wfi_properties *p = &m->properties;
    int err = keep(bytes, p->exchange ? p->exchange : "", &at->exchange);
    if (!err)
        err = keep(bytes, p->routing_key, &at->routing_key);
    if (!err)
        err = keep(bytes, m->id, &at->correlation_id);
    if (!err)
        err = keep(bytes, p->reply_to, &at->reply_to);
    if (!err)
        err = keep(bytes, p->expiration, &at->expiration);
    return err;
}

static int keep_headers(const struct wfi_message *m, struct parcel *parcel, struct places *at)
{
    struct wf_json_writer *w = NULL;
    const char *text;
    int err = wfi_message_writer_create(&w);
    if (!err) {
        wfi_message_write_headers(w, m);
        err = wf_json_writer_text(w, &text, &parcel->headers_len);
    }
    if (!err)
        err = keep(&parcel->bytes, text, &at->headers);
    wf_json_writer_destroy(w);
    return err;
}

static const char *text_at(const struct parcel *parcel, size_t place)
{
    return place == SIZE_MAX ? NULL : parcel->bytes.data + place;
}

static int pack(struct wfi_client_broker *broker, const struct wfi_message *m,
                struct wfi_client_parcel **ret_parcel)
{
    struct places at;
    struct parcel *parcel = wfi_zalloc(sizeof *parcel);
    if (!parcel)
        return -ENOMEM;
    parcel->base.discard = discard;
    parcel->client = client_of(broker);
    int err = keep_texts(m, &parcel->bytes, &at);
    if (!err)
        err = keep_headers(m, parcel, &at);
    if (!err)
        err = wfi_message_pack_body(m, &parcel->body);
    if (err) {
        discard(&parcel->base);
        return err;
    }
    parcel->exchange = text_at(parcel, at.exchange);
    parcel->routing_key = text_at(parcel, at.routing_key);
    parcel->headers = text_at(parcel, at.headers);
    parcel->properties =
        (struct wfi_properties){.correlation_id = text_at(parcel, at.correlation_id),
                                .reply_to = text_at(parcel, at.reply_to),
                                .expiration = text_at(parcel, at.expiration),
                                .priority = m->properties.priority};
    *ret_parcel = &parcel->base;
    return 0;
}

/* Where nobody waits for confirms nobody reads, either. What the server has said meanwhile, that it
 * closes the channel or takes nothing for now, is looked for before the next message: it would be
 * lost, and all others after it. */
static int hear(struct wfi_amqp *amqp, struct wf_error *reterr)
{
    struct wfi_amqp_delivery *delivery = NULL;
    int err = wfi_amqp_receive(amqp, &delivery, WF_NOW, reterr);
    wfi_amqp_delivery_destroy(delivery);
    return !err || err == -ETIMEDOUT ? 0 : err == -ECANCELED ? err : -ECONNRESET;
}

static int publish_on(void *arg, void *connection, uint64_t number, wf_deadline deadline,
                      struct wf_error *reterr)
{
    const struct parcel *p = arg;
    int err = p->client->options.confirm ? 0 : hear(connection, reterr);
    if (!err && !p->exchange[0])
        err = declare(p->client, connection, number, p->routing_key, deadline, reterr);
    if (err)
        return err;
    const struct wfi_amqp_publish message = {.exchange = p->exchange,
                                             .routing_key = p->routing_key,
                                             .properties = &p->properties,
                                             .headers = p->headers,
                                             .headers_len = p->headers_len,
                                             .body = p->body.data,
                                             .body_len = p->body.len};
    struct wf_error error = {0};
    err = wfi_amqp_publish(connection, &message, deadline, &error);
    if (err && reterr)
        *reterr = error;
    return is_anothers(err, connection, p->exchange, &error) ? -ECONNRESET : err;
}

static int publish(struct wfi_client_broker *broker, const struct wfi_client_parcel *parcel,
                   wf_deadline deadline, struct wf_error *reterr)
{
    return wfi_line_do(&client_of(broker)->line, publish_on, (void *)(uintptr_t)parcel, deadline,
                       reterr);
}

/* ---- requests ---- */

struct requesting {
    struct amqp_client *client;
    const char *headers, *body;
    size_t headers_len, body_len;
};

static int send_request(const struct requesting *r, struct wfi_amqp *amqp, uint64_t number,
                        wf_deadline deadline, struct wf_error *reterr)
{
    static const struct wfi_amqp_exchange exchange = {.name = WFI_CONTROL_EXCHANGE,
                                                      .type = "fanout"};
    static const struct wfi_properties properties = {.delivery_mode = 1};
    bool known = false;
    int err = 0;
    WF_LOCKED(&r->client->lock) {
        known = r->client->exchange_on == number;
    }
    if (!known)
        err = wfi_amqp_declare_exchange(amqp, &exchange, deadline, reterr);
    if (err)
        return err;
    WF_LOCKED(&r->client->lock) {
        r->client->exchange_on = number;
    }
    const struct wfi_amqp_publish message = {.exchange = WFI_CONTROL_EXCHANGE,
                                             .routing_key = "",
                                             .properties = &properties,
                                             .headers = r->headers,
                                             .headers_len = r->headers_len,
                                             .body = r->body,
                                             .body_len = r->body_len};
    return wfi_amqp_publish(amqp, &message, deadline, reterr);
}

static int request_on(void *arg, void *connection, uint64_t number, wf_deadline deadline,
                      struct wf_error *reterr)
{
    const struct requesting *r = arg;
    struct wf_error error = {0};
    int err = r->client->options.confirm ? 0 : hear(connection, reterr);
    if (err)
        return err;
    err = send_request(r, connection, number, deadline, &error);
    if (err && reterr)
        *reterr = error;
    return is_anothers(err, connection, WFI_CONTROL_EXCHANGE, &error) ? -ECONNRESET : err;
}

/* A queue for the replies to one request, on a connection of its own. */
static int listen(const struct wfi_celery_url *url, const char *key, struct wfi_amqp **ret_amqp,
                  wf_deadline deadline, struct wf_error *reterr)
{
    static const struct wfi_amqp_exchange exchange = {.name = WFI_CONTROL_REPLY_EXCHANGE,
                                                      .type = "direct"};
    struct wfi_buffer name = {0};
    struct wfi_amqp *amqp = NULL;
    const char *text = NULL;
    if (!wfi_buffer_printf(&name, "%s." WFI_CONTROL_REPLY_EXCHANGE, key))
        text = wfi_buffer_text(&name);
    int err = text ? wfi_amqp_open(url, NULL, &amqp, deadline, reterr)
                   : wf_error_set(reterr, -ENOMEM, NULL);
    const struct wfi_amqp_queue queue = {
        .name = text, .auto_delete = true, .arguments = "{\"x-expires\": 10000}"};
    if (!err)
        err = wfi_amqp_declare_exchange(amqp, &exchange, deadline, reterr);
    if (!err)
        err = wfi_amqp_declare_queue(amqp, &queue, NULL, deadline, reterr);
    if (!err)
        err = wfi_amqp_bind(amqp, text, WFI_CONTROL_REPLY_EXCHANGE, key, deadline, reterr);
    if (!err)
        err = wfi_amqp_consume(amqp, text, key, true, deadline, reterr);
    wfi_buffer_reset(&name);
    if (err)
        wfi_amqp_close(amqp, wf_after(CLOSE_NS));
    else
        *ret_amqp = amqp;
    return err;
}

static int take_delivery(const struct wfi_control_request *request,
                         const struct wfi_client_asking *asking, struct wfi_amqp_delivery *delivery)
{
    struct wfi_envelope envelope = {0};
    if (delivery->canceled || !delivery->properties)
        return 0;
    int err = wfi_envelope_read_amqp(delivery->properties, delivery->body, delivery->len, &envelope,
                                     NULL);
    delivery->properties = NULL;
    int taken = err ? 0 : wfi_client_take_reply(request, asking, &envelope);
    wfi_envelope_reset(&envelope);
    return taken;
}

static int collect(struct wfi_amqp *amqp, const struct wfi_control_request *request,
                   const struct wfi_client_asking *asking, wf_deadline deadline,
                   struct wf_error *reterr)
{
    const wf_deadline until = wf_after(asking->wait_ns);
    size_t count = 0;
    int err = 0;
    while (!err && (!asking->replies_max || count < asking->replies_max)) {
        struct wfi_amqp_delivery *delivery = NULL;
        err = wfi_amqp_receive(amqp, &delivery, wf_earlier(until, deadline), reterr);
        if (err)
            break;
        int taken = take_delivery(request, asking, delivery);
        if (taken < 0)
            err = wf_error_set(reterr, taken, NULL);
        else
            count += (size_t)taken;
        wfi_amqp_delivery_destroy(delivery);
    }
    return err == -ETIMEDOUT && until.ns <= deadline.ns ? 0 : err;
}

static int write_request(const struct wfi_control_request *request, struct wf_json_writer *headers,
                         struct wf_json_writer *body, struct requesting *r)
{
    wfi_control_write_headers(headers, request);
    wfi_control_write_body(body, request);
    int err = wf_json_writer_text(headers, &r->headers, &r->headers_len);
    return err ? err : wf_json_writer_text(body, &r->body, &r->body_len);
}

static int send_and_collect(struct amqp_client *client, struct requesting *r,
                            const struct wfi_control_request *request,
                            const struct wfi_client_asking *asking, wf_deadline deadline,
                            struct wf_error *reterr)
{
    struct wfi_amqp *amqp = NULL;
    int err = 0;
    if (asking)
        err = listen(&client->line.url, request->reply_key, &amqp, deadline, reterr);
    if (!err)
        err = wfi_line_do(&client->line, request_on, r, deadline, reterr);
    if (!err && asking)
        err = collect(amqp, request, asking, deadline, reterr);
    wfi_amqp_close(amqp, wf_after(CLOSE_NS));
    return err;
}

static int control(struct wfi_client_broker *broker, struct wfi_control_request *request,
                   const struct wfi_client_asking *asking, wf_deadline deadline,
                   struct wf_error *reterr)
{
    struct amqp_client *client = client_of(broker);
    struct requesting r = {.client = client};
    struct wfi_client_reply_to reply_to;
    struct wf_json_writer *headers = NULL, *body = NULL;
    if (asking)
        wfi_client_want_replies(request, asking, client->uuids, &reply_to);
    int err = wfi_message_writer_create(&headers);
    if (!err)
        err = wfi_message_writer_create(&body);
    if (!err)
        err = write_request(request, headers, body, &r);
    if (err)
        wf_error_set(reterr, err, NULL);
    else
        err = send_and_collect(client, &r, request, asking, deadline, reterr);
    wf_json_writer_destroy(headers);
    wf_json_writer_destroy(body);
    return err;
}

/* ---- life ---- */

static void destroy(struct wfi_client_broker *broker)
{
    struct amqp_client *client = client_of(broker);
    struct queue *queue;
    wfi_line_fini(&client->line);
    for (size_t cursor = 0; (queue = wfi_map_next(&client->queues, &cursor));)
        wfi_free(queue);
    wfi_map_reset(&client->queues);
    wf_mutex_fini(&client->lock);
    wfi_free(client);
}

static const struct wfi_client_broker_ops amqp_ops = {pack, publish, control, destroy};

int wfi_client_amqp_create(const struct wfi_client_broker_options *options,
                           struct wfi_client_broker **ret_broker, struct wf_error *reterr)
{
    struct amqp_client *client = wfi_zalloc(sizeof *client);
    if (!client)
        return wf_error_set(reterr, -ENOMEM, NULL);
    client->base.ops = &amqp_ops;
    client->base.high_first = true;
    client->uuids = options->uuids;
    client->queues.same = has_name;
    wf_mutex_init(&client->lock);
    client->options.confirm = !options->unconfirmed;
    wfi_line_init(&client->line, &amqp_line, options->url, &client->options, options->once);
    *ret_broker = &client->base;
    return 0;
}
