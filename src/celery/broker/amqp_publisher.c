/* SPDX-License-Identifier: MIT */
/*
 * Two lines, each a connection that callers share:
 *
 *   PLAIN   to queues by their names and to the exchanges that are declared when it is opened: the
 *           server has no reason to refuse these, as it would close the channel for all
 *   ODD     what it may refuse: declaring queues, and publishing to other exchanges
 *
 * A connection is counted: once for its line while it is the current one, once for each caller
 * inside. Whoever finds none that works opens one, one caller at a time. A caller whose message
 * went under because another's was refused on ODD tries again, as for any broken connection; the
 * refused one finds out by being refused each time.
 */
#include "celery/broker/amqp_publisher.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/mutex.h>
#include <weft/scope.h>

#include "base/alloc.h"
#include "base/map.h"
#include "celery/message/control.h"
#include "celery/message/monitor_event.h"

#define CONNECT_NS WF_SECONDS(4)
/* A server that does not answer for so long has gone. Not when it is short of memory: it says so,
 * and the caller's deadline is what counts. */
#define CALL_NS WF_SECONDS(30)
/* Pauses between attempts grow to a second. */
#define PAUSE_STEP_NS WF_MILLISECONDS(200)
#define PAUSE_MAX_NS WF_SECONDS(1)
/* Of what the server refuses: it may have been another caller's fault. */
#define REFUSALS_MAX 2
#define CLOSE_NS WF_SECONDS(2)

enum { PLAIN, ODD, LINES };

struct connection {
    struct wfi_amqp *amqp;
    int users; /* see the top; under the publisher's lock */
};

struct line {
    struct wf_mutex opening;
    struct connection *current; /* under the publisher's lock */
};

/* A queue that is known to be there. */
struct name {
    size_t len;
    char text[];
};

struct wfi_amqp_publisher {
    struct wfi_celery_url url;
    struct line lines[LINES];
    struct wf_mutex lock;
    struct wfi_map declared; /* under the lock, as the next */
    bool broken;
};

/* ---- declaring ---- */

int wfi_amqp_declare_exchanges(struct wfi_amqp *amqp, wf_deadline deadline, struct wf_error *reterr)
{
    static const struct wfi_amqp_exchange exchanges[] = {
        {.name = WFI_EVENT_EXCHANGE, .type = "topic", .durable = true},
        {.name = WFI_CONTROL_EXCHANGE, .type = "fanout"},
        {.name = WFI_CONTROL_REPLY_EXCHANGE, .type = "direct"},
    };
    int err = 0;
    for (size_t i = 0; i < sizeof exchanges / sizeof *exchanges && !err; i++)
        err = wfi_amqp_declare_exchange(amqp, &exchanges[i], deadline, reterr);
    return err;
}

int wfi_amqp_declare_tasks(struct wfi_amqp *amqp, const struct wfi_broker_queue *queue,
                           bool passive, wf_deadline deadline, struct wf_error *reterr)
{
    char arguments[64] = "{}";
    const struct wfi_amqp_exchange exchange = {
        .name = queue->exchange, .type = queue->exchange_type, .durable = true};
    int err = 0;
    if (queue->max_priority)
        snprintf(arguments, sizeof arguments, "{\"x-max-priority\": %d}", queue->max_priority);
    const struct wfi_amqp_queue declared = {
        .name = queue->name, .durable = true, .passive = passive, .arguments = arguments};
    const bool bound = !passive && queue->exchange[0];
    if (bound)
        err = wfi_amqp_declare_exchange(amqp, &exchange, deadline, reterr);
    if (!err)
        err = wfi_amqp_declare_queue(amqp, &declared, NULL, deadline, reterr);
    if (!err && bound)
        err =
            wfi_amqp_bind(amqp, queue->name, queue->exchange, queue->routing_key, deadline, reterr);
    return err;
}

/* ---- lines ---- */

static void let_go(struct wfi_amqp_publisher *publisher, struct connection *c)
{
    bool last = false;
    if (!c)
        return;
    WF_LOCKED(&publisher->lock) {
        last = --c->users == 0;
    }
    if (last) {
        wfi_amqp_close(c->amqp, wf_after(CLOSE_NS));
        wfi_free(c);
    }
}

/* The line's connection, if it works. Returns -EPIPE when there are to be none any more. */
static int take(struct wfi_amqp_publisher *publisher, struct line *line, struct connection **ret)
{
    int err = 0;
    *ret = NULL;
    WF_LOCKED(&publisher->lock) {
        if (publisher->broken) {
            err = -EPIPE;
        } else if (line->current && wfi_amqp_is_open(line->current->amqp)) {
            *ret = line->current;
            line->current->users++;
        }
    }
    return err;
}

static void forget_names(struct wfi_amqp_publisher *publisher)
{
    size_t cursor = 0;
    for (struct name *name; (name = wfi_map_next(&publisher->declared, &cursor));)
        wfi_free(name);
    wfi_map_reset(&publisher->declared);
}

/* With line->opening held. */
static int open_line(struct wfi_amqp_publisher *publisher, struct line *line,
                     struct connection **ret, wf_deadline deadline, struct wf_error *reterr)
{
    const struct wfi_amqp_options options = {.confirm = true};
    const bool plain = line == &publisher->lines[PLAIN];
    struct connection *c = wfi_zalloc(sizeof *c), *old = NULL;
    bool broken = false;
    if (!c)
        return wf_error_set(reterr, -ENOMEM, NULL);
    deadline = wf_earlier(deadline, wf_after(CONNECT_NS));
    int err = wfi_amqp_open(&publisher->url, &options, &c->amqp, deadline, reterr);
    if (!err && plain)
        err = wfi_amqp_declare_exchanges(c->amqp, deadline, reterr);
    if (err) {
        if (c->amqp)
            wfi_amqp_close(c->amqp, wf_after(CLOSE_NS));
        wfi_free(c);
        return err;
    }
    c->users = 2;
    WF_LOCKED(&publisher->lock) {
        old = line->current;
        line->current = c;
        broken = publisher->broken;
        if (plain)
            forget_names(publisher); /* the server may be another */
    }
    if (broken)
        wfi_amqp_break(c->amqp);
    let_go(publisher, old);
    *ret = c;
    return 0;
}

static int hold(struct wfi_amqp_publisher *publisher, struct line *line, struct connection **ret,
                wf_deadline deadline, struct wf_error *reterr)
{
    int err = take(publisher, line, ret);
    if (!err && !*ret) {
        err = wf_mutex_lock(&line->opening, deadline);
        if (err)
            return wf_error_set(reterr, err, NULL);
        err = take(publisher, line, ret);
        if (!err && !*ret) {
            err = open_line(publisher, line, ret, deadline, reterr);
            wf_mutex_unlock(&line->opening);
            return err;
        }
        wf_mutex_unlock(&line->opening);
    }
    return err ? wf_error_set(reterr, err, "the broker's connection has ended") : 0;
}

/* Does `act` on the line's connection, again if that breaks. */
static int on_line(struct wfi_amqp_publisher *publisher, int which,
                   int (*act)(void *arg, struct wfi_amqp *amqp, wf_deadline deadline,
                              struct wf_error *reterr),
                   void *arg, wf_deadline deadline, struct wf_error *reterr)
{
    struct wf_error unwanted;
    int refusals = 0;
    reterr = reterr ? reterr : &unwanted;
    for (int tries = 0;; tries++) {
        struct connection *c = NULL;
        int err = hold(publisher, &publisher->lines[which], &c, deadline, reterr);
        if (!err)
            err = act(arg, c->amqp, deadline, reterr);
        const bool ended = !c && err == -EPIPE;
        let_go(publisher, c);
        if (!err || err == -ECANCELED || err == -ENOMEM || err == -EINVAL || err == -EACCES ||
            err == WF_ETOOBIG || ended || (err == -EREMOTEIO && ++refusals > REFUSALS_MAX) ||
            wf_remaining(deadline) == 0)
            return err;
        const int64_t pause = tries * PAUSE_STEP_NS;
        int stop =
            wf_sleep(wf_earlier(deadline, wf_after(pause > PAUSE_MAX_NS ? PAUSE_MAX_NS : pause)));
        if (stop)
            return wf_error_set(reterr, stop, NULL);
    }
}

/* ---- queues ---- */

static bool has_name(const void *value, const void *key, size_t len)
{
    const struct name *name = value;
    return name->len == len && memcmp(name->text, key, len) == 0;
}

static int declare_act(void *arg, struct wfi_amqp *amqp, wf_deadline deadline,
                       struct wf_error *reterr)
{
    const char *name = arg;
    const struct wfi_broker_queue queue = {
        .name = name, .exchange = name, .exchange_type = "direct", .routing_key = name};
    int err = wfi_amqp_declare_tasks(amqp, &queue, false, wf_earlier(deadline, wf_after(CALL_NS)),
                                     reterr);
    /* It is there, declared otherwise. */
    return err == -EREMOTEIO && wfi_amqp_refusal(amqp) == 406 ? 0 : err;
}

/* Once for each queue and connection. That it was done is forgotten when memory runs out: it is
 * done again. One that may not be declared may still be written to. */
static int declare(struct wfi_amqp_publisher *publisher, const char *queue, wf_deadline deadline,
                   struct wf_error *reterr)
{
    const size_t len = strlen(queue);
    bool known = false;
    WF_LOCKED(&publisher->lock) {
        known = wfi_map_find(&publisher->declared, queue, len) != NULL;
    }
    if (known)
        return 0;
    int err = on_line(publisher, ODD, declare_act, (void *)(uintptr_t)queue, deadline, reterr);
    if (err && err != -EREMOTEIO)
        return err;
    struct name *name = wfi_zalloc(sizeof *name + len + 1);
    if (!name)
        return 0;
    name->len = len;
    memcpy(name->text, queue, len);
    WF_LOCKED(&publisher->lock) {
        if (wfi_map_put(&publisher->declared, name->text, len, name))
            wfi_free(name);
    }
    return 0;
}

/* ---- sending ---- */

static int publish_act(void *arg, struct wfi_amqp *amqp, wf_deadline deadline,
                       struct wf_error *reterr)
{
    const wf_deadline limit = wf_earlier(deadline, wf_after(CALL_NS));
    int err = wfi_amqp_publish(amqp, arg, limit, reterr);
    if (err == -ETIMEDOUT && limit.ns < deadline.ns && !wfi_amqp_is_blocked(amqp))
        wfi_amqp_break(amqp); /* it hangs: the next attempt opens another */
    return err;
}

/* Sends a message whose headers are written and whose body is packed. */
static int publish(struct wfi_amqp_publisher *publisher, struct wfi_amqp_publish *message,
                   int which, wf_deadline deadline, struct wf_error *reterr)
{
    if (strlen(message->routing_key) > 255 || strlen(message->exchange) > 255)
        return wf_error_set(reterr, -EINVAL, "a routing key or exchange of more than 255 bytes");
    return on_line(publisher, which, publish_act, message, deadline, reterr);
}

int wfi_amqp_publisher_send(struct wfi_amqp_publisher *publisher, const struct wfi_message *m,
                            wf_deadline deadline, struct wf_error *reterr)
{
    struct wfi_properties properties = m->properties;
    struct wfi_amqp_publish message = {.exchange = properties.exchange ? properties.exchange : "",
                                       .routing_key =
                                           properties.routing_key ? properties.routing_key : "",
                                       .properties = &properties};
    const bool by_name = !message.exchange[0];
    struct wfi_buffer body = {0};
    struct wf_json_writer *headers = NULL;
    if (by_name && strlen(message.routing_key) <= 255) {
        int err = declare(publisher, message.routing_key, deadline, reterr);
        if (err)
            return err;
    }
    properties.correlation_id = m->id;
    int err = wfi_message_writer_create(&headers);
    if (!err) {
        wfi_message_write_headers(headers, m);
        err = wf_json_writer_text(headers, &message.headers, &message.headers_len);
    }
    if (!err)
        err = wfi_message_pack_body(m, &body);
    message.body = body.data;
    message.body_len = body.len;
    if (err)
        wf_error_set(reterr, err, NULL);
    else
        err = publish(publisher, &message, by_name ? PLAIN : ODD, deadline, reterr);
    wfi_buffer_reset(&body);
    wf_json_writer_destroy(headers);
    return err;
}

static bool is_declared(const char *exchange)
{
    return !exchange[0] || strcmp(exchange, WFI_EVENT_EXCHANGE) == 0 ||
           strcmp(exchange, WFI_CONTROL_EXCHANGE) == 0 ||
           strcmp(exchange, WFI_CONTROL_REPLY_EXCHANGE) == 0;
}

int wfi_amqp_publisher_tell(struct wfi_amqp_publisher *publisher,
                            const struct wfi_broker_note *note, wf_deadline deadline,
                            struct wf_error *reterr)
{
    const struct wfi_properties properties = {.correlation_id = note->correlation_id,
                                              .delivery_mode =
                                                  note->delivery_mode ? note->delivery_mode : 1};
    struct wfi_amqp_publish message = {.exchange = note->exchange,
                                       .routing_key = note->routing_key,
                                       .properties = &properties,
                                       .headers = "{}",
                                       .headers_len = 2,
                                       .body = note->body,
                                       .body_len = note->len};
    struct wf_json_writer *headers = NULL;
    int err = 0;
    if (!wfi_json_piece_is_null(&note->headers)) {
        err = wfi_message_writer_create(&headers);
        if (!err) {
            wfi_json_write_piece(headers, &note->headers, "{}");
            err = wf_json_writer_text(headers, &message.headers, &message.headers_len);
        }
    }
    if (err)
        wf_error_set(reterr, err, NULL);
    else
        err = publish(publisher, &message, is_declared(note->exchange) ? PLAIN : ODD, deadline,
                      reterr);
    wf_json_writer_destroy(headers);
    return err;
}

/* ---- life ---- */

int wfi_amqp_publisher_create(const struct wfi_celery_url *url,
                              struct wfi_amqp_publisher **ret_publisher, struct wf_error *reterr)
{
    struct wfi_amqp_publisher *publisher = wfi_zalloc(sizeof *publisher);
    if (!publisher)
        return wf_error_set(reterr, -ENOMEM, NULL);
    publisher->url = *url;
    publisher->declared.same = has_name;
    wf_mutex_init(&publisher->lock);
    for (int i = 0; i < LINES; i++)
        wf_mutex_init(&publisher->lines[i].opening);
    *ret_publisher = publisher;
    return 0;
}

void wfi_amqp_publisher_break(struct wfi_amqp_publisher *publisher)
{
    struct connection *held[LINES] = {0};
    WF_LOCKED(&publisher->lock) {
        publisher->broken = true;
        for (int i = 0; i < LINES; i++) {
            held[i] = publisher->lines[i].current;
            if (held[i])
                held[i]->users++;
        }
    }
    for (int i = 0; i < LINES; i++)
        if (held[i]) {
            wfi_amqp_break(held[i]->amqp);
            let_go(publisher, held[i]);
        }
}

void wfi_amqp_publisher_destroy(struct wfi_amqp_publisher *publisher)
{
    if (!publisher)
        return;
    for (int i = 0; i < LINES; i++) {
        let_go(publisher, publisher->lines[i].current);
        wf_mutex_fini(&publisher->lines[i].opening);
    }
    forget_names(publisher);
    wf_mutex_fini(&publisher->lock);
    wfi_free(publisher);
}
