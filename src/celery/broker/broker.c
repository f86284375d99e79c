/* SPDX-License-Identifier: MIT */
/*
 * What both brokers have in common: the list of queues, delivery tags, and the fiber that hands
 * requests of remote control to the worker, which must not hold up the fiber that reads the
 * connection.
 */
#include "celery/broker/broker.h"

#include <errno.h>
#include <string.h>

#include <weft/event.h>
#include <weft/mutex.h>
#include <weft/scope.h>
#include <weft/task.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "celery/broker/amqp_broker.h"
#include "celery/message/uuid.h"

/* Requests that wait for their turn: many times what inspecting tools send at once. */
#define CONTROLS_MAX 1000

struct queue {
    struct wfi_link link;
    struct wfi_broker_queue queue;
    char texts[];
};

struct control {
    struct wfi_link link;
    struct wfi_envelope envelope;
};

struct wfi_broker {
    const struct wfi_broker_table *table;
    void *it;
    void (*control)(void *arg, struct wfi_envelope *envelope);
    void *arg;
    struct wfi_uuids uuids;
    WFI_ATOMIC(uint64_t) prefetch, exempt;
    struct wf_mutex lock;
    /* under the lock */
    struct wfi_list queues;
    struct wfi_list controls;
    size_t control_count;
    struct wf_event asked; /* there are controls */
};

WF_TASK(wf_none, wfi_broker_deliver, (struct wfi_broker *, broker))

/* ---- remote control ---- */

void wfi_broker_take_control(struct wfi_broker *broker, struct wfi_envelope *envelope)
{
    struct control *fresh = broker->control ? wfi_zalloc(sizeof *fresh) : NULL;
    bool taken = false;
    if (fresh) {
        fresh->envelope = *envelope;
        WF_LOCKED(&broker->lock) {
            taken = broker->control_count < CONTROLS_MAX;
            if (taken) {
                wfi_list_push_back(&broker->controls, &fresh->link);
                broker->control_count++;
            }
        }
    }
    if (taken) {
        memset(envelope, 0, sizeof *envelope);
        wf_event_set(&broker->asked);
    } else {
        wfi_envelope_reset(envelope);
        wfi_free(fresh);
    }
}

static struct control *next_control(struct wfi_broker *broker)
{
    struct wfi_link *link = NULL;
    WF_LOCKED(&broker->lock) {
        link = wfi_list_pop_front(&broker->controls);
        broker->control_count -= link != NULL;
    }
    return link ? wfi_container_of(link, struct control, link) : NULL;
}

static void destroy_control(struct control *control)
{
    wfi_envelope_reset(&control->envelope);
    wfi_free(control);
}

int wfi_broker_deliver(struct wf_task *self, struct wfi_broker *broker, wf_none *ret)
{
    int err = 0;
    (void)self, (void)ret;
    while (!(err = wf_event_wait(&broker->asked, WF_FOREVER))) {
        wf_event_clear(&broker->asked);
        for (struct control *control; (control = next_control(broker));) {
            broker->control(broker->arg, &control->envelope);
            destroy_control(control);
        }
    }
    return err;
}
WF_TASK_DEFINE(wfi_broker_deliver)

int wfi_broker_run(struct wfi_broker *broker, struct wf_error *reterr)
{
    struct wf_error refused;
    struct wf_scope storage, *scope;
    if (!broker->control)
        return broker->table->run(broker->it, reterr);
    scope = wf_scope_open(&storage, NULL, WF_FOREVER);
    (void)wfi_broker_deliver_go(scope, broker); /* refused, run is cancelled */
    int err = broker->table->run(broker->it, reterr);
    wf_scope_cancel(scope);
    int scope_err = wf_scope_close(scope, &refused);
    if (err == -ECANCELED && scope_err && scope_err != -ECANCELED) {
        err = scope_err;
        if (reterr)
            *reterr = refused;
    }
    return err;
}

/* ---- life ---- */

int wfi_broker_create(const struct wfi_broker_options *options, struct wfi_broker **ret_broker,
                      struct wf_error *reterr)
{
    const struct wfi_broker_table *table =
        options->url->transport == WFI_TRANSPORT_REDIS  ? &wfi_redis_broker_table
        : options->url->transport == WFI_TRANSPORT_AMQP ? &wfi_amqp_broker_table
                                                        : NULL;
    if (!table)
        return wf_error_set(reterr, -ENOTSUP, "rpc:// is no broker");
    struct wfi_broker *broker = wfi_zalloc(sizeof *broker);
    if (!broker)
        return wf_error_set(reterr, -ENOMEM, NULL);
    int err = wfi_uuids_init(&broker->uuids);
    if (err) {
        wfi_free(broker);
        return wf_error_set(reterr, err, "no randomness: %s", wf_strerror(err));
    }
    broker->table = table;
    broker->control = options->node ? options->control : NULL;
    broker->arg = options->arg;
    wf_mutex_init(&broker->lock);
    wf_event_init(&broker->asked);
    err = table->create(options, broker, &broker->it, reterr);
    if (err)
        wfi_broker_destroy(broker);
    else
        *ret_broker = broker;
    return err;
}

void wfi_broker_destroy(struct wfi_broker *broker)
{
    if (!broker)
        return;
    if (broker->it)
        broker->table->destroy(broker->it);
    for (struct control *control; (control = next_control(broker));)
        destroy_control(control);
    for (struct wfi_link *link; (link = wfi_list_pop_front(&broker->queues));)
        wfi_free(wfi_container_of(link, struct queue, link));
    wf_event_fini(&broker->asked);
    wf_mutex_fini(&broker->lock);
    wfi_uuids_fini(&broker->uuids);
    wfi_free(broker);
}

/* ---- queues ---- */

static const char *copy_to(char **at, const char *text)
{
    char *to = *at;
    size_t bytes = strlen(text) + 1;
    memcpy(to, text, bytes);
    *at += bytes;
    return to;
}

static struct queue *copy_queue(const struct wfi_broker_queue *given)
{
    const char *exchange = given->exchange ? given->exchange : given->name;
    const char *type = given->exchange_type ? given->exchange_type : "direct";
    const char *key = given->routing_key ? given->routing_key : given->name;
    struct queue *queue = wfi_zalloc(sizeof *queue + strlen(given->name) + strlen(exchange) +
                                     strlen(type) + strlen(key) + 4);
    if (!queue)
        return NULL;
    char *at = queue->texts;
    queue->queue = *given;
    queue->queue.name = copy_to(&at, given->name);
    queue->queue.exchange = copy_to(&at, exchange);
    queue->queue.exchange_type = copy_to(&at, type);
    queue->queue.routing_key = copy_to(&at, key);
    return queue;
}

int wfi_broker_add_queue(struct wfi_broker *broker, const struct wfi_broker_queue *given)
{
    if (!given->name || !given->name[0])
        return -EINVAL;
    struct queue *queue = copy_queue(given);
    if (!queue)
        return -ENOMEM;
    int err = broker->table->add_queue(broker->it, &queue->queue);
    if (err) {
        wfi_free(queue);
        return err;
    }
    WF_LOCKED(&broker->lock) {
        wfi_list_push_back(&broker->queues, &queue->link);
    }
    return 0;
}

int wfi_broker_remove_queue(struct wfi_broker *broker, const char *name)
{
    struct queue *found = NULL;
    int err = broker->table->remove_queue(broker->it, name);
    WF_LOCKED(&broker->lock) {
        struct wfi_link *link = err ? NULL : wfi_list_first(&broker->queues);
        for (; link && !found; link = wfi_list_next(&broker->queues, link)) {
            struct queue *queue = wfi_container_of(link, struct queue, link);
            if (strcmp(queue->queue.name, name) == 0)
                found = queue;
        }
        if (found)
            wfi_list_remove(&found->link);
    }
    wfi_free(found);
    return err;
}

void wfi_broker_stop_taking(struct wfi_broker *broker)
{
    if (broker->table->stop_taking)
        broker->table->stop_taking(broker->it);
}

void wfi_broker_each_queue(struct wfi_broker *broker,
                           void (*see)(void *arg, const struct wfi_broker_queue *queue), void *arg)
{
    WF_LOCKED(&broker->lock) {
        struct wfi_link *link = wfi_list_first(&broker->queues);
        for (; link; link = wfi_list_next(&broker->queues, link))
            see(arg, &wfi_container_of(link, struct queue, link)->queue);
    }
}

/* ---- messages ---- */

void wfi_broker_set_prefetch(struct wfi_broker *broker, uint64_t count)
{
    wfi_store(&broker->prefetch, count);
    if (broker->table->prefetch_changed)
        broker->table->prefetch_changed(broker->it);
}

void wfi_broker_exempt(struct wfi_broker *broker, int more)
{
    wfi_fetch_add(&broker->exempt, (uint64_t)(int64_t)more);
    if (broker->table->prefetch_changed)
        broker->table->prefetch_changed(broker->it);
}

uint64_t wfi_broker_prefetch(struct wfi_broker *broker)
{
    const uint64_t count = wfi_load(&broker->prefetch);
    return count ? count + wfi_load(&broker->exempt) : 0;
}

int wfi_broker_take(struct wfi_broker *broker, int max, struct wfi_list *ret_messages,
                    wf_deadline deadline)
{
    return broker->table->take(broker->it, max, ret_messages, deadline);
}

int wfi_broker_read(struct wfi_broker *broker, struct wfi_broker_message *message,
                    struct wfi_message_in *ret, struct wf_error *reterr)
{
    return broker->table->read(message, ret, reterr);
}

void wfi_broker_acknowledge(struct wfi_broker *broker, struct wfi_broker_message *message)
{
    broker->table->acknowledge(broker->it, message);
}

void wfi_broker_reject(struct wfi_broker *broker, struct wfi_broker_message *message)
{
    broker->table->reject(broker->it, message);
}

int wfi_broker_give_back(struct wfi_broker *broker, struct wfi_broker_message *message, bool front,
                         wf_deadline deadline)
{
    return broker->table->give_back(broker->it, message, front, deadline);
}

int wfi_broker_send(struct wfi_broker *broker, const struct wfi_message *message,
                    wf_deadline deadline, struct wf_error *reterr)
{
    char tag[WFI_UUID_BYTES];
    struct wfi_message copy = *message;
    struct wfi_properties *p = &copy.properties;
    if (!p->routing_key || (!p->exchange && !p->routing_key[0]))
        return wf_error_set(reterr, -EINVAL, "a message without a routing key");
    p->exchange = p->exchange ? p->exchange : "";
    p->delivery_tag = wfi_uuid_next(&broker->uuids, tag);
    return broker->table->send(broker->it, &copy, deadline, reterr);
}

int wfi_broker_tell(struct wfi_broker *broker, const struct wfi_broker_note *note,
                    wf_deadline deadline, struct wf_error *reterr)
{
    char tag[WFI_UUID_BYTES];
    return broker->table->tell(broker->it, note, wfi_uuid_next(&broker->uuids, tag), deadline,
                               reterr);
}
