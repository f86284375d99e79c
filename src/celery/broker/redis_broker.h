/* SPDX-License-Identifier: MIT */
/*
 * Redis as a broker: messages taken from queues and acknowledged, so that none is lost when this
 * process, another worker or the connection dies.
 *
 *     err = wfi_redis_broker_create(&options, &broker, &error);
 *     err = wfi_redis_broker_add_queue(broker, "celery");
 *     ... a fiber: wfi_redis_broker_run(broker, &error);        until it is cancelled
 *     while ((n = wfi_redis_broker_take(broker, room, &messages, WF_FOREVER)) > 0)
 *         ... each, once it is done with: wfi_redis_broker_acknowledge(broker, message);
 *
 * A message that was taken is this process's until it is acknowledged or given back. While it is
 * held, its time in unacked_index is renewed, so that however long a task runs or waits for its
 * time, nobody else takes its message for lost. Messages of workers that died are put back by
 * whoever runs: see wfi_redis_broker_options.visibility_ns.
 *
 * When the connection breaks, run connects anew, with growing pauses. Messages that are held stay
 * so: what is acknowledged meanwhile is sent afterwards.
 */
#ifndef WFI_CELERY_REDIS_BROKER_H
#define WFI_CELERY_REDIS_BROKER_H

#include "base/list.h"
#include "celery/broker/redis.h"

struct wfi_redis_broker;

struct wfi_redis_broker_options {
    const struct wfi_celery_url *url;
    int64_t visibility_ns;   /* when a message counts as lost by its worker: 1 h when 0 */
    int64_t restore_ns;      /* how often to look for such: 10 s when 0 */
    int64_t silence_ns;      /* a server that says nothing for so long has gone: 30 s when 0 */
    int retries_max;         /* of connecting, one after another: 100 when 0 */
    const char *prefix;      /* of all keys (global_keyprefix); NULL: none */
    const char *unacked_key; /* NULL: "unacked", behind the prefix as the others */
    const char *unacked_index_key; /* NULL: "unacked_index" */
    /* Called when the connection has broken, and when connecting failed, by run; must not wait. */
    void (*lost)(void *arg, const struct wf_error *error, int64_t pause_ns);
    void (*connected)(void *arg);
    /* Called with what is published to the channel `listen`, where that is not NULL; must not wait
     * for long. */
    const char *listen;
    void (*heard)(void *arg, const char *text, size_t len);
    void *arg;
};

/* A message that was taken. Begins as struct wfi_broker_message. */
struct wfi_redis_message {
    struct wfi_link link; /* in the list that take gave, for the caller; then free for its use */
    const char *queue;    /* from which it came */
    struct wfi_link live; /* the broker's */
    char *tag;            /* under which it is kept; not always that of its envelope */
    char *text;           /* the envelope, or what was sent in its place */
    size_t len;
};

/*
 * Makes a broker; nothing is connected yet. The url and texts are copied.
 * Returns 0, -EINVAL, -ENOMEM, or an error of wfi_uuids_init.
 */
int wfi_redis_broker_create(const struct wfi_redis_broker_options *options,
                            struct wfi_redis_broker **ret_broker, struct wf_error *reterr);

/*
 * Takes from this queue too, or no more. Messages that are held stay so.
 *
 * Returns 0, -EEXIST or -ENOENT, or -ENOMEM.
 * Context: thread or fiber; any number of callers.
 */
int wfi_redis_broker_add_queue(struct wfi_redis_broker *broker, const char *queue);
int wfi_redis_broker_remove_queue(struct wfi_redis_broker *broker, const char *queue);

/*
 * From now on, and with each new connection, the exchange has this queue for the routing key.
 * Returns 0, -EINVAL when a part holds the separator, or -ENOMEM.
 * Context: thread or fiber; any number of callers.
 */
int wfi_redis_broker_bind(struct wfi_redis_broker *broker, const char *exchange,
                          const char *routing_key, const char *queue);

/*
 * Keeps the connections, until the caller is cancelled: sends what was acknowledged, renews what is
 * held, puts back what was lost. When it returns, what was acknowledged before has been sent, as
 * far as there was a connection.
 *
 * Returns -ECANCELED; or, when it cannot go on,
 *   -EACCES        the server wants another user or password
 *   -ECONNREFUSED, ...   it could not be reached retries_max times in turn
 *   -EREMOTEIO     it answered with an error that will not go away (a key of another type)
 *   -ENOMEM
 * Context: fiber; one caller.
 */
int wfi_redis_broker_run(struct wfi_redis_broker *broker, struct wf_error *reterr);

/*
 * Takes up to `max` messages, waiting for the first. Where there is no connection it waits for one.
 *
 * ret_messages   receives them (by `link`), each the caller's until it is acknowledged or given
 *                back
 *
 * Returns their number, or
 *   -ETIMEDOUT, -ECANCELED
 *   -EPIPE    run has ended
 *   -ENOMEM   out of memory: they stay with the broker's server until they count as lost
 * Context: fiber; one caller.
 */
int wfi_redis_broker_take(struct wfi_redis_broker *broker, int max, struct wfi_list *ret_messages,
                          wf_deadline deadline);

/*
 * Forgets a message: it is done with. It is freed, and its end sent to the server by run.
 * Context: any, never blocks for long; any number of callers.
 */
void wfi_redis_broker_acknowledge(struct wfi_redis_broker *broker,
                                  struct wfi_redis_message *message);

/*
 * Puts a message back to its queue, marked as redelivered, and frees it. Where there is no
 * connection it stays with the server, until it counts as lost.
 *
 * front   the next to be taken; else the last
 *
 * Returns 0, or the error for which it stays there.
 * Context: thread or fiber; any number of callers.
 */
int wfi_redis_broker_give_back(struct wfi_redis_broker *broker, struct wfi_redis_message *message,
                               bool front, wf_deadline deadline);

/*
 * Does `act` with run's connection, waiting while there is none. When that breaks, or the server
 * cannot now, `act` is called again, up to three times.
 *
 * Returns what `act` does, in the end, or
 *   -ETIMEDOUT, -ECANCELED
 *   -EPIPE    run has ended
 * Context: thread or fiber; any number of callers.
 */
int wfi_redis_broker_act(struct wfi_redis_broker *broker,
                         int (*act)(void *arg, struct wfi_redis *redis, wf_deadline deadline,
                                    struct wf_error *reterr),
                         void *arg, wf_deadline deadline, struct wf_error *reterr);

/*
 * Sends an envelope: with no exchange to the queue named by the routing key, else to each queue
 * that is bound there, by a pattern of a topic too.
 *
 * Returns 0, -ENOENT when the exchange has no queue for it, or an error of wfi_redis_call.
 * Context: thread or fiber; any number of callers.
 */
int wfi_redis_publish(struct wfi_redis *redis, const char *prefix, const char *exchange,
                      const char *routing_key, int priority, const char *text, size_t len,
                      wf_deadline deadline, struct wf_error *reterr);

/* Frees the broker, and messages that are still held, which stay with the server. run has ended. */
void wfi_redis_broker_destroy(struct wfi_redis_broker *broker);

#endif
