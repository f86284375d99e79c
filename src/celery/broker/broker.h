/* SPDX-License-Identifier: MIT */
/*
 * A worker's broker, whatever it is: one table of functions over Redis (redis_broker.h) and
 * RabbitMQ (amqp_broker.h).
 *
 *     err = wfi_broker_create(&options, &broker, &error);
 *     err = wfi_broker_add_queue(broker, &(struct wfi_broker_queue){.name = "celery"});
 *     ... a fiber: wfi_broker_run(broker, &error);        until it is cancelled
 *     while ((n = wfi_broker_take(broker, room, &messages, WF_FOREVER)) > 0)
 *         ... each: wfi_broker_read(broker, message, &in, &error);
 *         ... once it is done with: wfi_broker_acknowledge(broker, message);
 *
 * A message that was taken is this process's until it is acknowledged, rejected or given back; when
 * the process or its connection dies, another has it.
 *
 *   on Redis       it is kept in `unacked`, and stays this process's through a loss of connection.
 *                  How many are held is what `take` was asked for.
 *   on RabbitMQ    it goes to another as soon as the connection is lost, and runs twice if it was
 *                  not acknowledged by then; an acknowledgement that comes afterwards is dropped.
 *                  How many are held is what wfi_broker_set_prefetch says, whether or not they were
 *                  taken.
 *
 * What is sent goes out by run's connection: a call waits for one while there is none, and tries
 * again when it breaks, so that a message may then be there twice, with one id.
 */
#ifndef WFI_CELERY_BROKER_H
#define WFI_CELERY_BROKER_H

#include <weft/time.h>

#include "base/list.h"
#include "celery/message/message.h"
#include "celery/message/url.h"

struct wfi_broker;

/* Zero is the default throughout. Texts are copied. */
struct wfi_broker_options {
    const struct wfi_celery_url *url;
    int retries_max; /* of connecting, one after another: 100 when 0 */
    /* Redis */
    int64_t visibility_ns; /* when a message counts as lost by its worker: 1 h when 0 */
    int64_t restore_ns;    /* how often to look for such: 10 s when 0 */
    const char *prefix;    /* of all keys (global_keyprefix); NULL: none */
    /* RabbitMQ */
    int heartbeat_s; /* at most so long between signs of life: 60 when 0; negative: none */

    /* Called when the connection has broken, and when connecting failed, by run; must not wait. */
    void (*lost)(void *arg, const struct wf_error *error, int64_t pause_ns);
    void (*connected)(void *arg);
    /*
     * Requests of remote control, sent to all workers or to this one, the worker of the name
     * `node`; NULL for both when they are not wanted. One at a time, in a fiber of run; it may
     * wait, and is cancelled when run is. What the envelope holds is freed afterwards.
     */
    void (*control)(void *arg, struct wfi_envelope *envelope);
    const char *node;
    void *arg;
};

/*
 * Makes a broker; nothing is connected yet.
 * Returns 0, -EINVAL, -ENOTSUP for a transport that is no broker, -ENOMEM, or an error of
 * wfi_uuids_init.
 */
int wfi_broker_create(const struct wfi_broker_options *options, struct wfi_broker **ret_broker,
                      struct wf_error *reterr);

/* Frees it, with messages that are still held, which stay with the server. run has ended. NULL is
 * fine. */
void wfi_broker_destroy(struct wfi_broker *broker);

/*
 * Keeps the connections, and renews them when they break, until the caller is cancelled. When it
 * returns, what was acknowledged before has been sent, as far as there was a connection.
 *
 * Returns -ECANCELED; or, when it cannot go on,
 *   -EACCES        the server wants another user or password
 *   -ECONNREFUSED, ...   it could not be reached retries_max times in turn
 *   -EREMOTEIO     it answered with an error that will not go away
 *   -ENOMEM
 * Context: fiber; one caller.
 */
int wfi_broker_run(struct wfi_broker *broker, struct wf_error *reterr);

/* ---- queues ---- */

/* A queue, and how it is declared. NULL is the default: the queue's name. */
struct wfi_broker_queue {
    const char *name;
    const char *exchange, *exchange_type, *routing_key; /* the type: "direct" */
    int max_priority;                                   /* x-max-priority of RabbitMQ; 0: without */
};

/*
 * Takes from this queue too, or no more. Messages that are held stay so.
 *
 * Returns 0, -EEXIST or -ENOENT, -EINVAL for an empty name, or -ENOMEM.
 * Context: thread or fiber; any number of callers.
 */
int wfi_broker_add_queue(struct wfi_broker *broker, const struct wfi_broker_queue *queue);
int wfi_broker_remove_queue(struct wfi_broker *broker, const char *name);

/* Takes no more of any queue, for good: what the server has pushed and nobody has taken goes back.
 * The queues are still shown. Any caller, never blocks for long. */
void wfi_broker_stop_taking(struct wfi_broker *broker);

/* Shows the queues in the order in which they were added, all fields filled in. `see` must not
 * wait, nor call the broker. */
void wfi_broker_each_queue(struct wfi_broker *broker,
                           void (*see)(void *arg, const struct wfi_broker_queue *queue), void *arg);

/* ---- messages in ---- */

struct wfi_broker_message {
    struct wfi_link link; /* in the list that take gave, for the caller; then free for its use */
    const char *queue;    /* from which it came; lives as long as the broker */
};

/*
 * How many messages the server gives that are not acknowledged; 0, as in the beginning: any number.
 * `exempt` says of so many more, or fewer, that they do not count, as they wait for their time. Any
 * caller, never blocks for long.
 */
void wfi_broker_set_prefetch(struct wfi_broker *broker, uint64_t count);
void wfi_broker_exempt(struct wfi_broker *broker, int more);

/* The two together. */
uint64_t wfi_broker_prefetch(struct wfi_broker *broker);

/*
 * Takes up to `max` messages, waiting for the first. Where there is no connection it waits for one.
 *
 * ret_messages   receives them (by `link`), each the caller's until it is acknowledged, rejected or
 *                given back
 *
 * Returns their number, or
 *   -ETIMEDOUT, -ECANCELED
 *   -EPIPE    run has ended
 *   -ENOMEM   out of memory
 * Context: fiber; one caller.
 */
int wfi_broker_take(struct wfi_broker *broker, int max, struct wfi_list *ret_messages,
                    wf_deadline deadline);

/*
 * Reads a message that was taken, at most once. What it gives does not need the message any more.
 * Returns as wfi_message_read: a fate with the reason in reterr, or -ENOMEM. `ret` is to be given
 * to wfi_message_in_reset however it ends.
 */
int wfi_broker_read(struct wfi_broker *broker, struct wfi_broker_message *message,
                    struct wfi_message_in *ret, struct wf_error *reterr);

/*
 * Forgets a message: it is done with; or, rejected, it cannot be used: RabbitMQ gives it to the
 * queue for dead letters, if there is one. It is freed, and its end sent to the server by run.
 * Context: any, never blocks for long; any number of callers.
 */
void wfi_broker_acknowledge(struct wfi_broker *broker, struct wfi_broker_message *message);
void wfi_broker_reject(struct wfi_broker *broker, struct wfi_broker_message *message);

/*
 * Puts a message back to its queue, marked as redelivered, and frees it. Where there is no
 * connection it stays with the server, until it counts as lost.
 *
 * front   the next to be taken; else the last (on RabbitMQ: where it was, in both cases)
 *
 * Returns 0, or the error for which it stays there.
 * Context: thread or fiber; any number of callers.
 */
int wfi_broker_give_back(struct wfi_broker *broker, struct wfi_broker_message *message, bool front,
                         wf_deadline deadline);

/* ---- messages out ---- */

/*
 * Sends a task: with no exchange in its properties to the queue that their routing key names, else
 * to those that are bound there. The delivery tag is the broker's. When it returns 0 the server has
 * the message.
 *
 * Returns 0, or
 *   -EINVAL     no routing key, or one of more than 255 bytes
 *   -ENOENT     the exchange has no queue for it (Redis)
 *   -ETIMEDOUT, -ECANCELED   it may have been sent
 *   -EPIPE      run has ended
 *   -EREMOTEIO  the server refuses it
 *   -ENOMEM
 * Context: thread or fiber; any number of callers.
 */
int wfi_broker_send(struct wfi_broker *broker, const struct wfi_message *message,
                    wf_deadline deadline, struct wf_error *reterr);

/* A message that is no task: an event, a request or answer of remote control, a result. */
struct wfi_broker_note {
    const char *exchange;          /* "": to the queue that is the routing key */
    const char *routing_key;       /* "" where it does not matter */
    bool everybody;                /* Redis: to all who listen (publish/subscribe), not to queues */
    int delivery_mode;             /* 0: 1, it is not kept through a restart of the server */
    const char *correlation_id;    /* NULL: none */
    struct wfi_json_piece headers; /* an object, or nothing */
    const char *body;              /* JSON */
    size_t len;
};

/*
 * Sends a note. Nobody may be there to have it: that is no error. The exchanges of events and of
 * remote control are there, others have to be.
 *
 * Returns as wfi_broker_send.
 * Context: thread or fiber; any number of callers.
 */
int wfi_broker_tell(struct wfi_broker *broker, const struct wfi_broker_note *note,
                    wf_deadline deadline, struct wf_error *reterr);

/* ---- for those who implement one ---- */

struct wfi_broker_table {
    int (*create)(const struct wfi_broker_options *options, struct wfi_broker *broker,
                  void **ret_it, struct wf_error *reterr);
    void (*destroy)(void *it);
    int (*run)(void *it, struct wf_error *reterr);
    int (*add_queue)(void *it, const struct wfi_broker_queue *queue);
    int (*remove_queue)(void *it, const char *name);
    void (*stop_taking)(void *it);      /* may be NULL: nothing is pushed */
    void (*prefetch_changed)(void *it); /* may be NULL */
    int (*take)(void *it, int max, struct wfi_list *ret_messages, wf_deadline deadline);
    int (*read)(struct wfi_broker_message *message, struct wfi_message_in *ret,
                struct wf_error *reterr);
    void (*acknowledge)(void *it, struct wfi_broker_message *message);
    void (*reject)(void *it, struct wfi_broker_message *message);
    int (*give_back)(void *it, struct wfi_broker_message *message, bool front,
                     wf_deadline deadline);
    /* With exchange, routing key, delivery mode and delivery tag in the message's properties. */
    int (*send)(void *it, const struct wfi_message *message, wf_deadline deadline,
                struct wf_error *reterr);
    int (*tell)(void *it, const struct wfi_broker_note *note, const char *delivery_tag,
                wf_deadline deadline, struct wf_error *reterr);
};

extern const struct wfi_broker_table wfi_redis_broker_table;

/* Takes over what the envelope holds, and sees that `control` is called with it. Requests that come
 * faster than they are answered are dropped at last. Any caller, never blocks for long. */
void wfi_broker_take_control(struct wfi_broker *broker, struct wfi_envelope *envelope);

#endif
