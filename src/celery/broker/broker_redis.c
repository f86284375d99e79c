/* SPDX-License-Identifier: MIT */
/*
 * Redis behind celery/broker/broker.h: messages in are redis_broker's; those that go out are
 * wrapped into envelopes here, and requests of remote control taken out of theirs.
 */
#include "celery/broker/broker.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "celery/broker/redis_broker.h"
#include "celery/message/control.h"

/* They begin alike. */
_Static_assert(offsetof(struct wfi_redis_message, link) ==
                       offsetof(struct wfi_broker_message, link) &&
                   offsetof(struct wfi_redis_message, queue) ==
                       offsetof(struct wfi_broker_message, queue),
               "a message of Redis begins as a message of any broker");

struct redis_side {
    struct wfi_redis_broker *redis;
    struct wfi_broker *broker;
    struct wfi_broker_options options; /* without the texts, but for: */
    char *prefix;
    int database;
};

static struct wfi_redis_message *redis_message(struct wfi_broker_message *message)
{
    return wfi_container_of(&message->link, struct wfi_redis_message, link);
}

/* ---- in ---- */

static void lost(void *arg, const struct wf_error *error, int64_t pause_ns)
{
    struct redis_side *side = arg;
    if (side->options.lost)
        side->options.lost(side->options.arg, error, pause_ns);
}

static void connected(void *arg)
{
    struct redis_side *side = arg;
    if (side->options.connected)
        side->options.connected(side->options.arg);
}

static void heard(void *arg, const char *text, size_t len)
{
    struct redis_side *side = arg;
    struct wfi_envelope envelope = {0};
    if (wfi_envelope_read_redis(text, len, &envelope, NULL))
        wfi_envelope_reset(&envelope); /* no request */
    else
        wfi_broker_take_control(side->broker, &envelope);
}

static int run(void *it, struct wf_error *reterr)
{
    return wfi_redis_broker_run(((struct redis_side *)it)->redis, reterr);
}

static int take(void *it, int max, struct wfi_list *ret_messages, wf_deadline deadline)
{
    return wfi_redis_broker_take(((struct redis_side *)it)->redis, max, ret_messages, deadline);
}

static int read_message(struct wfi_broker_message *message, struct wfi_message_in *ret,
                        struct wf_error *reterr)
{
    const struct wfi_redis_message *from = redis_message(message);
    return wfi_message_read_redis(from->text, from->len, ret, reterr);
}

static void acknowledge(void *it, struct wfi_broker_message *message)
{
    wfi_redis_broker_acknowledge(((struct redis_side *)it)->redis, redis_message(message));
}

static int give_back(void *it, struct wfi_broker_message *message, bool front, wf_deadline deadline)
{
    return wfi_redis_broker_give_back(((struct redis_side *)it)->redis, redis_message(message),
                                      front, deadline);
}

static int add_queue(void *it, const struct wfi_broker_queue *queue)
{
    struct redis_side *side = it;
    int err = wfi_redis_broker_add_queue(side->redis, queue->name);
    if (!err && queue->exchange[0]) {
        err = wfi_redis_broker_bind(side->redis, queue->exchange, queue->routing_key, queue->name);
        if (err)
            (void)wfi_redis_broker_remove_queue(side->redis, queue->name);
    }
    return err;
}

static int remove_queue(void *it, const char *name)
{
    return wfi_redis_broker_remove_queue(((struct redis_side *)it)->redis, name);
}

/* ---- out ---- */

/* A whole envelope, and where it goes. */
struct sending {
    const struct redis_side *side;
    const char *exchange, *routing_key;
    int priority;
    const char *text;
    size_t len;
};

static int send_act(void *arg, struct wfi_redis *redis, wf_deadline deadline,
                    struct wf_error *reterr)
{
    const struct sending *s = arg;
    return wfi_redis_publish(redis, s->side->prefix, s->exchange, s->routing_key, s->priority,
                             s->text, s->len, deadline, reterr);
}

static int publish_act(void *arg, struct wfi_redis *redis, wf_deadline deadline,
                       struct wf_error *reterr)
{
    const struct sending *s = arg;
    struct wfi_redis_batch batch = {0};
    struct wfi_buffer channel = {0};
    int err = wfi_buffer_printf(&channel, "%s/%d.%s%s%s", s->side->prefix, s->side->database,
                                s->exchange, s->routing_key[0] ? "/" : "", s->routing_key);
    if (err) {
        wf_error_set(reterr, err, NULL);
    } else {
        wfi_redis_add(&batch, "PUBLISH %b %b", channel.data, channel.len, s->text, s->len);
        err = wfi_redis_call(redis, &batch, NULL, deadline, reterr);
    }
    wfi_buffer_reset(&channel);
    wfi_redis_batch_fini(&batch);
    return err;
}

/* Sends what was written. */
static int send_written(struct redis_side *side, struct sending *s, struct wf_json_writer *w,
                        int (*act)(void *arg, struct wfi_redis *redis, wf_deadline deadline,
                                   struct wf_error *reterr),
                        wf_deadline deadline, struct wf_error *reterr)
{
    int err = wf_json_writer_text(w, &s->text, &s->len);
    s->side = side;
    if (err)
        return wf_error_set(reterr, err, NULL);
    return wfi_redis_broker_act(side->redis, act, s, deadline, reterr);
}

static int send_message(void *it, const struct wfi_message *message, wf_deadline deadline,
                        struct wf_error *reterr)
{
    struct sending s = {.exchange = message->properties.exchange,
                        .routing_key = message->properties.routing_key,
                        .priority = message->properties.priority};
    struct wf_json_writer *w = NULL;
    int err = wfi_message_writer_create(&w);
    if (!err)
        err = wfi_message_write_redis(w, message);
    if (err)
        wf_error_set(reterr, err, NULL);
    else
        err = send_written(it, &s, w, send_act, deadline, reterr);
    wf_json_writer_destroy(w);
    return err;
}

static int tell(void *it, const struct wfi_broker_note *note, const char *delivery_tag,
                wf_deadline deadline, struct wf_error *reterr)
{
    static const struct wfi_json_piece none = {.text = "{}", .len = 2};
    const struct wfi_properties properties = {.correlation_id = note->correlation_id,
                                              .exchange = note->exchange,
                                              .routing_key = note->routing_key,
                                              .delivery_tag = delivery_tag,
                                              .delivery_mode =
                                                  note->delivery_mode ? note->delivery_mode : 1};
    struct sending s = {.exchange = note->exchange, .routing_key = note->routing_key};
    struct wf_json_writer *w = NULL;
    int err = wfi_message_writer_create(&w);
    if (!err)
        err = wfi_envelope_write_redis(
            w, &properties, wfi_json_piece_is_null(&note->headers) ? &none : &note->headers,
            note->body, note->len);
    if (err)
        wf_error_set(reterr, err, NULL);
    else
        err = send_written(it, &s, w, note->everybody ? publish_act : send_act, deadline, reterr);
    wf_json_writer_destroy(w);
    return err == -ENOENT ? 0 : err; /* nobody is there */
}

/* ---- life ---- */

static void destroy(void *it)
{
    struct redis_side *side = it;
    wfi_redis_broker_destroy(side->redis);
    wfi_free(side->prefix);
    wfi_free(side);
}

/* The channel of remote control, and the binding that Celery's tools look for. */
static int create_redis(struct redis_side *side, const struct wfi_broker_options *options,
                        struct wf_error *reterr)
{
    const bool controls = options->control && options->node;
    struct wfi_buffer channel = {0}, queue = {0};
    int err =
        wfi_buffer_printf(&channel, "%s/%d." WFI_CONTROL_EXCHANGE, side->prefix, side->database);
    if (!err && controls)
        err = wfi_buffer_printf(&queue, "%s." WFI_CONTROL_EXCHANGE, options->node);
    if (err)
        wf_error_set(reterr, err, NULL);
    else
        err = wfi_redis_broker_create(
            &(struct wfi_redis_broker_options){.url = options->url,
                                               .visibility_ns = options->visibility_ns,
                                               .restore_ns = options->restore_ns,
                                               .retries_max = options->retries_max,
                                               .prefix = side->prefix,
                                               .lost = lost,
                                               .connected = connected,
                                               .listen =
                                                   controls ? wfi_buffer_text(&channel) : NULL,
                                               .heard = heard,
                                               .arg = side},
            &side->redis, reterr);
    if (!err && controls) {
        err = wfi_redis_broker_bind(side->redis, WFI_CONTROL_EXCHANGE, "", wfi_buffer_text(&queue));
        if (err)
            wf_error_set(reterr, err, NULL);
    }
    wfi_buffer_reset(&channel);
    wfi_buffer_reset(&queue);
    return err;
}

static int create(const struct wfi_broker_options *options, struct wfi_broker *broker,
                  void **ret_it, struct wf_error *reterr)
{
    struct redis_side *side = wfi_zalloc(sizeof *side);
    if (!side)
        return wf_error_set(reterr, -ENOMEM, NULL);
    side->broker = broker;
    side->options = *options;
    side->database = options->url->database;
    side->prefix = wfi_strdup(options->prefix ? options->prefix : "");
    int err =
        side->prefix ? create_redis(side, options, reterr) : wf_error_set(reterr, -ENOMEM, NULL);
    if (err)
        destroy(side);
    else
        *ret_it = side;
    return err;
}

const struct wfi_broker_table wfi_redis_broker_table = {
    .create = create,
    .destroy = destroy,
    .run = run,
    .add_queue = add_queue,
    .remove_queue = remove_queue,
    .take = take,
    .read = read_message,
    .acknowledge = acknowledge,
    .reject = acknowledge,
    .give_back = give_back,
    .send = send_message,
    .tell = tell,
};
