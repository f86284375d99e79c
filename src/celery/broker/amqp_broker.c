/* SPDX-License-Identifier: MIT */
/*
 * Who does what:
 *
 *     run        connects; while a connection lasts it is the scope of the fibers below
 *       receiver   puts what the server pushes into `ready`
 *       receiver   a second one, with a connection of its own, gives requests to remote control:
 *                  once the prefetch count is reached, nothing else comes over that channel either
 *       sender     sends what was settled, all that there is in one write; tells the prefetch
 *                  count; declares queues and begins and ends to consume
 *     take       the worker's: takes messages out of `ready`
 *
 * What is sent goes over other connections (celery/broker/amqp_publisher.h).
 *
 * Messages: each is in `live` from when it came until the server knows its end, in the order of
 * tags. Besides, by `base.link`, it is in `ready`, then in the caller's hands, then in `done`. When
 * the connection has gone, the server gives all that it was not told to somebody else: those in
 * `ready` and `done` are freed, those in the caller's hands are `gone`, and freed when they come
 * back. Tags mean nothing on the next connection.
 *
 * Of those in `done` the first in `live`, as far as there is none between them that is not done,
 * need one acknowledgement together; the others one each. Rejections are told first, so that this
 * one does not acknowledge them. An acknowledgement waits a moment for others: each write wakes the
 * server. It waits no longer once `take` has nothing left to give, as the server may have nothing
 * left to send before it is told.
 *
 * The prefetch count is the channel's, for all queues together. The server then asks a process of
 * the channel's about each message, and writes each by itself: with one queue the count is the
 * consumer's own, which means the same for a third less of the server's time. A consumer keeps the
 * count that it began with, so with the first change, or a second queue, the channel's takes over
 * (`widen`). Quorum queues refuse a channel's; a queue of which it is not known that it is none
 * begins with the channel's, to be refused before there are messages.
 */
#include "celery/broker/amqp_broker.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/event.h>
#include <weft/mutex.h>
#include <weft/scope.h>
#include <weft/task.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "celery/broker/amqp.h"
#include "celery/broker/amqp_publisher.h"
#include "celery/message/control.h"

#define CALL_NS WF_SECONDS(30)
#define CONNECT_NS WF_SECONDS(4)
/* Pauses between attempts to connect: 2, 4, 6 ... s, as Celery's. */
#define PAUSE_STEP_NS WF_SECONDS(2)
#define PAUSE_MAX_NS WF_SECONDS(32)
#define RETRIES_MAX 100
#define HEARTBEAT_S 60
/* For sending what was settled when run is cancelled. */
#define LAST_NS WF_SECONDS(5)
/* After memory ran out. */
#define PAUSE_NS WF_MILLISECONDS(20)
/* Settled in one write. */
#define BATCH_MAX 256
/* A prefetch count has 16 bits; more than that is any number. */
#define PREFETCH_MAX 65535
#define CONTROL_CONSUMER "control"
/* An acknowledgement waits for others at most so long: until then its message would run twice if
 * this process died. */
#define GATHER_NS WF_MILLISECONDS(1)
/* AMQP's "not implemented". */
#define NO_GLOBAL 540

struct queue {
    struct wfi_link link;
    struct wfi_broker_queue queue;
    char consumer[32], former[32]; /* former: of which messages may still come */
    bool consumed;                 /* on this connection */
    bool removed;                  /* its name stays, as messages point to it */
    bool passive;                  /* it is there, and declared otherwise */
    bool late;                     /* added while run ran: that it is refused does not end run */
};

struct message {
    struct wfi_broker_message base; /* link: in `ready` or `done`, or the caller's */
    struct wfi_link live;
    struct wfi_amqp_delivery *delivery;
    struct queue *queue;
    bool gone, done;
    int how; /* of struct wfi_amqp_settlement */
};

struct amqp_side {
    struct wfi_broker *broker;
    struct wfi_broker_options options; /* without the texts, but for: */
    struct wfi_celery_url url;
    char *node; /* NULL: no remote control */
    struct wfi_amqp_publisher *publisher;
    struct wf_mutex lock;
    /* under the lock */
    struct wfi_list queues, ready, live, done;
    unsigned consumers; /* that were ever named */
    int fatal;
    struct wf_error fatal_error;
    bool running, ended;
    bool once;               /* there was a connection that worked; run's */
    bool no_global;          /* the prefetch count: quorum queues have none of a channel; run's */
    bool per_consumer;       /* so it is on this connection; the sender's, as the next two */
    bool consuming;          /* there has been a consumer on it */
    uint16_t told;           /* the server, as prefetch count */
    struct wf_event to_send; /* the sender: something was settled, or is to be told */
    struct wf_event hurry;   /* ... and is not to wait for more of it */
    struct wf_event broken;  /* run */
    struct wf_event arrived; /* take */
};

WF_TASK(wf_none, wfi_amqp_receiver, (struct amqp_side *, side), (struct wfi_amqp *, amqp))
WF_TASK(wf_none, wfi_amqp_sender, (struct amqp_side *, side), (struct wfi_amqp *, amqp))

/* Nothing is waited for under the lock, so that taking it is no wait to be cancelled. */
static void lock(struct amqp_side *side)
{
    struct wf_shield shield;
    wf_shield_enter(&shield, WF_FOREVER);
    int err = wf_mutex_lock(&side->lock, WF_FOREVER);
    wfi_assert(!err, "shielded and without a deadline, a lock is always had");
    wf_shield_leave(&shield);
}

static void unlock(struct amqp_side *side)
{
    wf_mutex_unlock(&side->lock);
}

/* ---- messages ---- */

static struct message *message_of(struct wfi_link *link)
{
    return wfi_container_of(link, struct message, base.link);
}

static struct message *live_message(struct wfi_link *link)
{
    return wfi_container_of(link, struct message, live);
}

static void destroy_message(struct message *message)
{
    wfi_amqp_delivery_destroy(message->delivery);
    wfi_free(message);
}

static int read_message(struct wfi_broker_message *base, struct wfi_message_in *ret,
                        struct wf_error *reterr)
{
    struct wfi_amqp_delivery *delivery = message_of(&base->link)->delivery;
    struct wf_json *properties = delivery->properties;
    char *body = delivery->body;
    delivery->properties = NULL;
    delivery->body = NULL;
    int fate = wfi_message_read_amqp(properties, body, delivery->len, ret, reterr);
    /* The envelope owns its body from here on. */
    ret->envelope.space = (struct wfi_buffer){body, delivery->len, delivery->len + 1};
    return fate;
}

/* There is something to tell that cannot wait. */
static void send_now(struct amqp_side *side)
{
    wf_event_set(&side->to_send);
    wf_event_set(&side->hurry);
}

/* Under the lock: the server is to be told of its end. */
static void settle_locked(struct amqp_side *side, struct message *message, int how)
{
    message->how = how;
    message->done = true;
    wfi_list_push_back(&side->done, &message->base.link);
}

static void settle(struct amqp_side *side, struct message *message, int how)
{
    bool gone = false;
    lock(side);
    gone = message->gone;
    if (!gone)
        settle_locked(side, message, how);
    unlock(side);
    if (gone)
        destroy_message(message);
    else if (how == WFI_AMQP_ACK)
        wf_event_set(&side->to_send);
    else
        send_now(side);
}

static void acknowledge(void *it, struct wfi_broker_message *message)
{
    settle(it, message_of(&message->link), WFI_AMQP_ACK);
}

static void reject(void *it, struct wfi_broker_message *message)
{
    settle(it, message_of(&message->link), WFI_AMQP_REJECT);
}

static int give_back(void *it, struct wfi_broker_message *message, bool front, wf_deadline deadline)
{
    (void)front,
        (void)deadline; /* where it was; where there is no connection it is there already */
    settle(it, message_of(&message->link), WFI_AMQP_REQUEUE);
    return 0;
}

/* The connection has gone: see the top. */
static void drop_messages(struct amqp_side *side)
{
    struct wfi_list dropped = {0};
    lock(side);
    for (struct wfi_link *link; (link = wfi_list_pop_front(&side->live));)
        live_message(link)->gone = true;
    for (struct wfi_link *link; (link = wfi_list_pop_front(&side->ready));)
        wfi_list_push_back(&dropped, link);
    for (struct wfi_link *link; (link = wfi_list_pop_front(&side->done));)
        wfi_list_push_back(&dropped, link);
    struct wfi_link *link = wfi_list_first(&side->queues);
    for (; link; link = wfi_list_next(&side->queues, link))
        wfi_container_of(link, struct queue, link)->consumed = false;
    unlock(side);
    for (link = NULL; (link = wfi_list_pop_front(&dropped));)
        destroy_message(message_of(link));
}

/* ---- queues ---- */

static struct queue *find_queue(struct amqp_side *side, const char *name)
{
    struct wfi_link *link = wfi_list_first(&side->queues);
    for (; link; link = wfi_list_next(&side->queues, link)) {
        struct queue *queue = wfi_container_of(link, struct queue, link);
        if (strcmp(queue->queue.name, name) == 0)
            return queue;
    }
    return NULL;
}

static struct queue *find_consumer(struct amqp_side *side, const char *consumer)
{
    struct wfi_link *link = wfi_list_first(&side->queues);
    for (; link; link = wfi_list_next(&side->queues, link)) {
        struct queue *queue = wfi_container_of(link, struct queue, link);
        if (strcmp(queue->consumer, consumer) == 0 || strcmp(queue->former, consumer) == 0)
            return queue;
    }
    return NULL;
}

static void destroy_queue(struct queue *queue)
{
    wfi_free((void *)(uintptr_t)queue->queue.name);
    wfi_free((void *)(uintptr_t)queue->queue.exchange);
    wfi_free((void *)(uintptr_t)queue->queue.exchange_type);
    wfi_free((void *)(uintptr_t)queue->queue.routing_key);
    wfi_free(queue);
}

static struct queue *create_queue(const struct wfi_broker_queue *given)
{
    struct queue *queue = wfi_zalloc(sizeof *queue);
    if (!queue)
        return NULL;
    queue->queue = (struct wfi_broker_queue){.name = wfi_strdup(given->name),
                                             .exchange = wfi_strdup(given->exchange),
                                             .exchange_type = wfi_strdup(given->exchange_type),
                                             .routing_key = wfi_strdup(given->routing_key),
                                             .max_priority = given->max_priority};
    if (queue->queue.name && queue->queue.exchange && queue->queue.exchange_type &&
        queue->queue.routing_key)
        return queue;
    destroy_queue(queue);
    return NULL;
}

static int add_queue(void *it, const struct wfi_broker_queue *given)
{
    struct amqp_side *side = it;
    int err = 0;
    if (strlen(given->name) > 255 || strlen(given->exchange) > 255 ||
        strlen(given->routing_key) > 255)
        return -EINVAL;
    struct queue *fresh = create_queue(given);
    if (!fresh)
        return -ENOMEM;
    lock(side);
    struct queue *queue = find_queue(side, given->name);
    if (!queue) {
        snprintf(fresh->consumer, sizeof fresh->consumer, "weft%u", ++side->consumers);
        fresh->late = side->running;
        wfi_list_push_back(&side->queues, &fresh->link);
    } else if (!queue->removed) {
        err = -EEXIST;
    } else {
        queue->removed = false;
    }
    unlock(side);
    if (queue)
        destroy_queue(fresh);
    send_now(side);
    return err;
}

static int remove_queue(void *it, const char *name)
{
    struct amqp_side *side = it;
    lock(side);
    struct queue *queue = find_queue(side, name);
    int err = queue && !queue->removed ? 0 : -ENOENT;
    if (!err)
        queue->removed = true;
    struct wfi_link *next, *link = err ? NULL : wfi_list_first(&side->ready);
    for (; link; link = next) {
        next = wfi_list_next(&side->ready, link);
        if (message_of(link)->queue == queue) {
            wfi_list_remove(link);
            settle_locked(side, message_of(link), WFI_AMQP_REQUEUE);
        }
    }
    unlock(side);
    send_now(side);
    return err;
}

static void stop_taking(void *it)
{
    struct amqp_side *side = it;
    lock(side);
    struct wfi_link *link = wfi_list_first(&side->queues);
    for (; link; link = wfi_list_next(&side->queues, link))
        wfi_container_of(link, struct queue, link)->removed = true;
    for (link = NULL; (link = wfi_list_pop_front(&side->ready));)
        settle_locked(side, message_of(link), WFI_AMQP_REQUEUE);
    unlock(side);
    send_now(side);
}

/* ---- receiving ---- */

static void give_to_control(struct amqp_side *side, struct wfi_amqp_delivery *delivery)
{
    struct wfi_envelope envelope = {0};
    int err = wfi_envelope_read_amqp(delivery->properties, delivery->body, delivery->len, &envelope,
                                     NULL);
    envelope.space = (struct wfi_buffer){delivery->body, delivery->len, delivery->len + 1};
    delivery->properties = NULL;
    delivery->body = NULL;
    wfi_amqp_delivery_destroy(delivery);
    if (err)
        wfi_envelope_reset(&envelope); /* no request */
    else
        wfi_broker_take_control(side->broker, &envelope);
}

/* The server has ended a consumer, as its queue is gone: the sender declares it again. */
static void note_canceled(struct amqp_side *side, const char *consumer)
{
    lock(side);
    struct queue *queue = find_consumer(side, consumer);
    if (queue)
        queue->consumed = false;
    unlock(side);
    send_now(side);
}

/* Makes a message of a delivery, which it takes over, and puts it behind `fresh`. */
static int make_message(struct wfi_amqp_delivery *delivery, struct wfi_list *fresh)
{
    struct message *message;
    while (!(message = wfi_zalloc(sizeof *message)))
        if (wf_sleep(wf_after(PAUSE_NS))) {
            wfi_amqp_delivery_destroy(delivery);
            return -ECANCELED; /* the connection ends, and the server gives it to another */
        }
    message->delivery = delivery;
    wfi_list_push_back(fresh, &message->base.link);
    return 0;
}

/* Under the lock. Returns whether it is one for the worker. */
static bool file_message(struct amqp_side *side, struct message *message)
{
    struct queue *queue = find_consumer(side, message->delivery->consumer);
    const bool wanted = queue && !queue->removed;
    wfi_list_push_back(&side->live, &message->live);
    message->queue = queue;
    message->base.queue = queue ? queue->queue.name : "";
    if (wanted)
        wfi_list_push_back(&side->ready, &message->base.link);
    else
        settle_locked(side, message, WFI_AMQP_REQUEUE);
    return wanted;
}

/* Takes over the deliveries. */
static int receive(struct amqp_side *side, struct wfi_list *deliveries)
{
    struct wfi_list fresh = {0};
    bool wanted = false, unwanted = false;
    int err = 0;
    for (struct wfi_link *link; (link = wfi_list_pop_front(deliveries));) {
        struct wfi_amqp_delivery *delivery = wfi_container_of(link, struct wfi_amqp_delivery, link);
        if (delivery->canceled) {
            note_canceled(side, delivery->consumer);
            wfi_amqp_delivery_destroy(delivery);
        } else if (strcmp(delivery->consumer, CONTROL_CONSUMER) == 0) {
            give_to_control(side, delivery);
        } else if (err) {
            wfi_amqp_delivery_destroy(delivery);
        } else {
            err = make_message(delivery, &fresh);
        }
    }
    lock(side);
    for (struct wfi_link *link; (link = wfi_list_pop_front(&fresh));)
        if (file_message(side, message_of(link)))
            wanted = true;
        else
            unwanted = true;
    unlock(side);
    if (wanted)
        wf_event_set(&side->arrived);
    if (unwanted)
        send_now(side);
    return err;
}

int wfi_amqp_receiver(struct wf_task *self, struct amqp_side *side, struct wfi_amqp *amqp,
                      wf_none *ret)
{
    struct wf_error error = {0};
    int err = 0;
    (void)ret;
    while (!err) {
        struct wfi_list deliveries = {0};
        err = wfi_amqp_receive_all(amqp, &deliveries, WF_FOREVER, &error);
        if (!err)
            err = receive(side, &deliveries);
    }
    return err == -ECANCELED ? err : wf_task_fail_with(self, &error);
}
WF_TASK_DEFINE(wfi_amqp_receiver)

static int take(void *it, int max, struct wfi_list *ret_messages, wf_deadline deadline)
{
    struct amqp_side *side = it;
    for (;;) {
        int count = 0, err;
        lock(side);
        for (struct wfi_link *link; count < max && (link = wfi_list_pop_front(&side->ready));) {
            wfi_list_push_back(ret_messages, link);
            count++;
        }
        const bool ended = side->ended, owing = !wfi_list_empty(&side->done);
        wf_event_clear(&side->arrived);
        unlock(side);
        if (count)
            return count;
        if (ended)
            return -EPIPE;
        if (owing)
            send_now(side); /* for what is acknowledged the server gives others */
        err = wf_event_wait(&side->arrived, deadline);
        if (err)
            return err;
    }
}

/* ---- sending ---- */

/* Takes out of `done` what is told next; see the top. What has been taken goes to `told`. Under the
 * lock; returns how many settlements. */
static size_t gather(struct amqp_side *side, struct wfi_amqp_settlement out[BATCH_MAX],
                     struct wfi_list *told)
{
    size_t count = 0;
    uint64_t last = 0;
    struct wfi_link *link = wfi_list_first(&side->done), *next;
    for (; link && count < BATCH_MAX; link = next) {
        struct message *message = message_of(link);
        next = wfi_list_next(&side->done, link);
        if (message->how == WFI_AMQP_ACK)
            continue;
        out[count++] = (struct wfi_amqp_settlement){message->delivery->tag, message->how};
        wfi_list_remove(link);
        wfi_list_remove(&message->live);
        wfi_list_push_back(told, link);
    }
    while (count < BATCH_MAX && (link = wfi_list_first(&side->live))) {
        struct message *message = live_message(link);
        if (!message->done || message->how != WFI_AMQP_ACK)
            break;
        last = message->delivery->tag;
        wfi_list_remove(link);
        wfi_list_remove(&message->base.link);
        wfi_list_push_back(told, &message->base.link);
    }
    if (last)
        out[count++] = (struct wfi_amqp_settlement){last, WFI_AMQP_ACK_ALL};
    while (count < BATCH_MAX && (link = wfi_list_first(&side->done)) &&
           message_of(link)->how == WFI_AMQP_ACK) {
        struct message *message = message_of(link);
        out[count++] = (struct wfi_amqp_settlement){message->delivery->tag, WFI_AMQP_ACK};
        wfi_list_remove(link);
        wfi_list_remove(&message->live);
        wfi_list_push_back(told, link);
    }
    return count;
}

/* Sends what there is to send. What could not be is the server's again. */
static int send_settled(struct amqp_side *side, struct wfi_amqp *amqp, struct wf_error *reterr)
{
    struct wfi_amqp_settlement batch[BATCH_MAX];
    for (int err = 0;;) {
        struct wfi_list told = {0};
        lock(side);
        const size_t count = gather(side, batch, &told);
        unlock(side);
        if (count)
            err = wfi_amqp_settle(amqp, batch, count, reterr);
        for (struct wfi_link *link; (link = wfi_list_pop_front(&told));)
            destroy_message(message_of(link));
        if (err || !count)
            return err;
    }
}

static uint16_t wanted_prefetch(struct amqp_side *side)
{
    const uint64_t count = wfi_broker_prefetch(side->broker);
    return count > PREFETCH_MAX ? 0 : (uint16_t)count;
}

/* Whether the prefetch count may be the consumer's own: see the top. */
static bool limits_consumer(struct amqp_side *side)
{
    int count = 0;
    lock(side);
    struct wfi_link *link = wfi_list_first(&side->queues);
    for (; link; link = wfi_list_next(&side->queues, link)) {
        const struct queue *queue = wfi_container_of(link, struct queue, link);
        count += queue->removed ? 0 : queue->passive ? 2 : 1;
    }
    unlock(side);
    return side->no_global || count == 1;
}

/* Gives the queue that is consumed, but for `fresh`, another consumer's name. Returns it, or
 * NULL. */
static struct queue *rename_consumer(struct amqp_side *side, const struct queue *fresh)
{
    struct queue *queue = NULL;
    lock(side);
    struct wfi_link *link = wfi_list_first(&side->queues);
    for (; link && !queue; link = wfi_list_next(&side->queues, link)) {
        queue = wfi_container_of(link, struct queue, link);
        if (!queue->consumed || queue->removed || queue == fresh)
            queue = NULL;
    }
    if (queue) {
        memcpy(queue->former, queue->consumer, sizeof queue->former);
        snprintf(queue->consumer, sizeof queue->consumer, "weft%u", ++side->consumers);
    }
    unlock(side);
    return queue;
}

/*
 * Makes the prefetch count, so far the only consumer's, the channel's; see the top. The next
 * consumer begins before the former ends, or a queue that lives as long as it is consumed would go.
 *
 * fresh   a queue that is about to be consumed, or NULL
 */
static int widen(struct amqp_side *side, struct wfi_amqp *amqp, const struct queue *fresh,
                 struct wf_error *reterr)
{
    const wf_deadline deadline = wf_after(CALL_NS);
    side->told = wanted_prefetch(side);
    side->per_consumer = false;
    int err = wfi_amqp_qos(amqp, 0, false, deadline, reterr); /* takes the channel's away: first */
    if (!err)
        err = wfi_amqp_qos(amqp, side->told, true, deadline, reterr);
    struct queue *queue = err ? NULL : rename_consumer(side, fresh);
    if (!queue)
        return err;
    err = wfi_amqp_consume(amqp, queue->queue.name, queue->consumer, false, deadline, reterr);
    if (!err)
        err = wfi_amqp_cancel(amqp, queue->former, deadline, reterr);
    else if (wfi_amqp_refusal(amqp) == NO_GLOBAL)
        side->no_global = true;
    return err;
}

static int tell_prefetch(struct amqp_side *side, struct wfi_amqp *amqp, struct wf_error *reterr)
{
    const uint16_t wanted = wanted_prefetch(side);
    if (wanted == side->told)
        return 0;
    if (side->consuming && side->per_consumer && !side->no_global)
        return widen(side, amqp, NULL, reterr);
    int err = wfi_amqp_qos(amqp, wanted, !side->per_consumer, wf_after(CALL_NS), reterr);
    if (!err)
        side->told = wanted;
    return err;
}

/* What the server's refusal of a queue means. Returns the error with which the connection ends: it
 * is over in any case, as the server has closed the channel. */
static int take_refusal(struct amqp_side *side, struct queue *queue, struct wfi_amqp *amqp,
                        struct wf_error *error)
{
    const int code = wfi_amqp_refusal(amqp);
    bool fatal = false;
    lock(side);
    if (code == 406 && !queue->passive)
        queue->passive = true; /* next time it is not declared */
    else if (code == NO_GLOBAL && !side->no_global)
        side->no_global = true;
    else if (queue->late)
        queue->removed = true;
    else
        fatal = true;
    if (fatal) {
        wf_error_prefix(error, "queue %.100s", queue->queue.name);
        side->fatal = error->code;
        side->fatal_error = *error;
    }
    unlock(side);
    return error->code;
}

/* A queue of which the server has to be told, or NULL. */
static struct queue *next_queue(struct amqp_side *side)
{
    struct queue *found = NULL;
    lock(side);
    struct wfi_link *link = wfi_list_first(&side->queues);
    for (; link && !found; link = wfi_list_next(&side->queues, link)) {
        struct queue *queue = wfi_container_of(link, struct queue, link);
        if (queue->consumed == queue->removed)
            found = queue;
    }
    if (found)
        found->consumed = !found->consumed;
    unlock(side);
    return found;
}

static int tell_queues(struct amqp_side *side, struct wfi_amqp *amqp, struct wf_error *error)
{
    int err = 0;
    for (struct queue *queue; !err && (queue = next_queue(side));) {
        if (queue->removed) {
            err = wfi_amqp_cancel(amqp, queue->consumer, wf_after(CALL_NS), error);
            continue;
        }
        if (side->consuming && side->per_consumer && !side->no_global &&
            (err = widen(side, amqp, queue, error)))
            break;
        side->consuming = true;
        err = wfi_amqp_declare_tasks(amqp, &queue->queue, queue->passive, wf_after(CALL_NS), error);
        if (!err)
            err = wfi_amqp_consume(amqp, queue->queue.name, queue->consumer, false,
                                   wf_after(CALL_NS), error);
        if (err == -EREMOTEIO)
            err = take_refusal(side, queue, amqp, error);
    }
    return err;
}

int wfi_amqp_sender(struct wf_task *self, struct amqp_side *side, struct wfi_amqp *amqp,
                    wf_none *ret)
{
    struct wf_error error = {0};
    (void)ret;
    for (;;) {
        int err = 0;
        /* A request that is given up breaks the connection, and what is settled could not be sent
         * any more. */
        WF_SHIELD(wf_after(CALL_NS)) {
            err = send_settled(side, amqp, &error);
            if (!err)
                err = tell_prefetch(side, amqp, &error);
            if (!err)
                err = tell_queues(side, amqp, &error);
        }
        if (err && err != -ECANCELED)
            return wf_task_fail_with(self, &error);
        if (!err)
            err = wf_event_wait(&side->to_send, WF_FOREVER);
        if (!err)
            err = wf_event_wait(&side->hurry, wf_after(GATHER_NS));
        if (err && err != -ETIMEDOUT)
            return err;
        wf_event_clear(&side->hurry);
        wf_event_clear(&side->to_send);
    }
}
WF_TASK_DEFINE(wfi_amqp_sender)

static int send_message(void *it, const struct wfi_message *message, wf_deadline deadline,
                        struct wf_error *reterr)
{
    return wfi_amqp_publisher_send(((struct amqp_side *)it)->publisher, message, deadline, reterr);
}

static int tell(void *it, const struct wfi_broker_note *note, const char *delivery_tag,
                wf_deadline deadline, struct wf_error *reterr)
{
    (void)delivery_tag;
    return wfi_amqp_publisher_tell(((struct amqp_side *)it)->publisher, note, deadline, reterr);
}

static void prefetch_changed(void *it)
{
    send_now(it);
}

/* ---- running ---- */

static int declare_control(struct amqp_side *side, struct wfi_amqp *amqp, wf_deadline deadline,
                           struct wf_error *reterr)
{
    char name[256];
    if (snprintf(name, sizeof name, "%s." WFI_CONTROL_EXCHANGE, side->node) >= (int)sizeof name)
        return wf_error_set(reterr, -EINVAL, "a worker's name of more than 200 bytes");
    const struct wfi_amqp_queue queue = {.name = name,
                                         .auto_delete = true,
                                         .arguments =
                                             "{\"x-expires\": 10000, \"x-message-ttl\": 300000}"};
    int err = wfi_amqp_declare_queue(amqp, &queue, NULL, deadline, reterr);
    if (!err)
        err = wfi_amqp_bind(amqp, name, WFI_CONTROL_EXCHANGE, "", deadline, reterr);
    return err ? err : wfi_amqp_consume(amqp, name, CONTROL_CONSUMER, true, deadline, reterr);
}

static struct wfi_amqp_options connection_options(const struct amqp_side *side)
{
    const int wanted = side->options.heartbeat_s;
    return (struct wfi_amqp_options){.heartbeat_s = wanted < 0    ? 0
                                                    : wanted == 0 ? HEARTBEAT_S
                                                                  : wanted};
}

/* NULL in *ret_control when there is to be none. */
static int connect_control(struct amqp_side *side, struct wfi_amqp **ret_control,
                           wf_deadline deadline, struct wf_error *reterr)
{
    const struct wfi_amqp_options options = connection_options(side);
    *ret_control = NULL;
    if (!side->node)
        return 0;
    int err = wfi_amqp_open(&side->url, &options, ret_control, deadline, reterr);
    if (err)
        return err;
    err = declare_control(side, *ret_control, deadline, reterr);
    if (err)
        wfi_amqp_close(*ret_control, wf_after(LAST_NS));
    return err;
}

static int connect_once(struct amqp_side *side, struct wfi_amqp **ret_amqp,
                        struct wfi_amqp **ret_control, struct wf_error *reterr)
{
    const wf_deadline deadline = wf_after(CONNECT_NS);
    const struct wfi_amqp_options options = connection_options(side);
    struct wfi_amqp *amqp;
    int err = wfi_amqp_open(&side->url, &options, &amqp, deadline, reterr);
    if (err)
        return err;
    side->told = wanted_prefetch(side);
    side->per_consumer = limits_consumer(side);
    side->consuming = false;
    err = wfi_amqp_qos(amqp, side->told, !side->per_consumer, deadline, reterr);
    if (!err)
        err = wfi_amqp_declare_exchanges(amqp, deadline, reterr);
    if (!err)
        err = connect_control(side, ret_control, deadline, reterr);
    if (err)
        wfi_amqp_close(amqp, wf_after(LAST_NS));
    else
        *ret_amqp = amqp;
    return err;
}

/* As long as the connection lasts. Returns why it did not. */
static int serve(struct amqp_side *side, struct wfi_amqp *amqp, struct wfi_amqp *control,
                 struct wf_error *reterr)
{
    struct wf_scope storage, *scope = wf_scope_open(&storage, NULL, WF_FOREVER);
    wf_event_clear(&side->broken);
    (void)wfi_amqp_receiver_go(scope, side, amqp);
    if (control)
        (void)wfi_amqp_receiver_go(scope, side, control);
    (void)wfi_amqp_sender_go(scope, side, amqp);
    int err = 0;
    while (!err)
        err = wf_event_wait(&side->broken, WF_FOREVER); /* until one fails, or the caller's end */
    wf_scope_cancel(scope);
    err = wf_scope_close(scope, reterr);
    if (wfi_amqp_is_open(amqp)) {
        WF_SHIELD(wf_after(LAST_NS)) {
            (void)send_settled(side, amqp, NULL);
        }
    }
    wfi_amqp_close(amqp, wf_after(LAST_NS));
    wfi_amqp_close(control, wf_after(LAST_NS));
    drop_messages(side);
    return err;
}

static bool is_fatal(int err)
{
    return err == -EACCES || err == -EREMOTEIO || err == -EINVAL;
}

/* Returns the error with which run ends, or 0 when it is to connect (anew). */
static int connect_and_serve(struct amqp_side *side, int *failures, struct wf_error *reterr)
{
    struct wfi_amqp *amqp, *control;
    struct wf_error error = {0};
    int err = connect_once(side, &amqp, &control, &error);
    bool fatal = is_fatal(err) && !side->once;
    if (!err) {
        const int64_t began = wf_now();
        if (side->options.connected)
            side->options.connected(side->options.arg);
        err = serve(side, amqp, control, &error);
        if (wf_now() - began > WF_SECONDS(1))
            *failures = 0;
        side->once = true;
    }
    lock(side);
    if (side->fatal) {
        error = side->fatal_error;
        fatal = true;
    }
    unlock(side);
    if (wf_checkpoint(NULL))
        return wf_error_set(reterr, -ECANCELED, NULL);
    if (fatal || ++*failures > side->options.retries_max) {
        if (reterr)
            *reterr = error;
        return error.code;
    }
    int64_t pause = PAUSE_STEP_NS * (*failures - 1);
    pause = pause > PAUSE_MAX_NS ? PAUSE_MAX_NS : pause;
    if (side->options.lost)
        side->options.lost(side->options.arg, &error, pause);
    return pause ? wf_sleep(wf_after(pause)) : 0;
}

static int run(void *it, struct wf_error *reterr)
{
    struct amqp_side *side = it;
    int err = 0, failures = 0;
    lock(side);
    side->running = true;
    unlock(side);
    while (!err)
        err = connect_and_serve(side, &failures, reterr);
    lock(side);
    side->ended = true;
    unlock(side);
    wfi_amqp_publisher_break(side->publisher);
    wf_event_set(&side->arrived); /* take comes out */
    return err;
}

/* ---- life ---- */

static void destroy(void *it)
{
    struct amqp_side *side = it;
    drop_messages(side);
    wfi_amqp_publisher_destroy(side->publisher);
    for (struct wfi_link *link; (link = wfi_list_pop_front(&side->queues));)
        destroy_queue(wfi_container_of(link, struct queue, link));
    wf_event_fini(&side->to_send);
    wf_event_fini(&side->hurry);
    wf_event_fini(&side->broken);
    wf_event_fini(&side->arrived);
    wf_mutex_fini(&side->lock);
    wfi_free(side->node);
    wfi_free(side);
}

static int create(const struct wfi_broker_options *options, struct wfi_broker *broker,
                  void **ret_it, struct wf_error *reterr)
{
    if (options->retries_max < 0)
        return wf_error_set(reterr, -EINVAL, "a broker's times and counts are not negative");
    struct amqp_side *side = wfi_zalloc(sizeof *side);
    if (!side)
        return wf_error_set(reterr, -ENOMEM, NULL);
    const bool controls = options->control && options->node;
    side->broker = broker;
    side->options = *options;
    side->url = *options->url;
    if (!side->options.retries_max)
        side->options.retries_max = RETRIES_MAX;
    wf_mutex_init(&side->lock);
    wf_event_init(&side->to_send);
    wf_event_init(&side->hurry);
    wf_event_init(&side->broken);
    wf_event_init(&side->arrived);
    if (controls)
        side->node = wfi_strdup(options->node);
    int err = controls && !side->node ? wf_error_set(reterr, -ENOMEM, NULL) : 0;
    if (!err)
        err = wfi_amqp_publisher_create(&side->url, &side->publisher, reterr);
    if (err)
        destroy(side);
    else
        *ret_it = side;
    return err;
}

const struct wfi_broker_table wfi_amqp_broker_table = {
    .create = create,
    .destroy = destroy,
    .run = run,
    .add_queue = add_queue,
    .remove_queue = remove_queue,
    .stop_taking = stop_taking,
    .prefetch_changed = prefetch_changed,
    .take = take,
    .read = read_message,
    .acknowledge = acknowledge,
    .reject = reject,
    .give_back = give_back,
    .send = send_message,
    .tell = tell,
};
