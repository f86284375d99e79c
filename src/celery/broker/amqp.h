/* SPDX-License-Identifier: MIT */
/*
 * A connection to RabbitMQ (AMQP 0-9-1) with one channel, which any number of fibers and threads
 * use at once; frames are read and written by librabbitmq's codec, over weft's streams.
 *
 *     err = wfi_amqp_open(&url, NULL, &amqp, deadline, &error);
 *     const struct wfi_amqp_queue queue = {.name = "celery", .durable = true};
 *     err = wfi_amqp_declare_queue(amqp, &queue, NULL, deadline, &error);
 *     err = wfi_amqp_consume(amqp, "celery", "me", false, deadline, &error);
 *     while ((err = wfi_amqp_receive(amqp, &delivery, WF_FOREVER, &error)) == 0)
 *         ... wfi_amqp_ack(amqp, delivery->tag, &error); wfi_amqp_delivery_destroy(delivery);
 *
 * A connection that broke, or whose channel the server closed (it does so for every refusal: a
 * queue that is declared otherwise, an exchange that is missing), stays broken: every later call
 * gives the same error, with what the server said, and the owner opens another. Tags of deliveries
 * are those of their connection, and mean nothing on the next.
 */
#ifndef WFI_CELERY_AMQP_H
#define WFI_CELERY_AMQP_H

#include <weft/error.h>
#include <weft/json.h>
#include <weft/time.h>

#include "base/list.h"
#include "celery/message/envelope.h"
#include "celery/message/url.h"

struct wfi_amqp;

struct wfi_amqp_options {
    int heartbeat_s;  /* at most so long between signs of life; 0: none. While it is not 0,
                         somebody has to be in receive. */
    int64_t write_ns; /* for the server to take what is sent: 30 s when 0 */
    bool confirm;     /* publish waits until the server has taken the message over */
};

/*
 * Connects, logs in, and opens the channel.
 *
 * Returns 0, or, with a text that names the address,
 *   -EACCES      the server wants another user or password
 *   -EREMOTEIO   it refused otherwise (no such virtual host), with its words
 *   WF_EPROTOCOL it speaks something else
 *   WF_ESHORT, -ENOMEM, or an error of wf_dial
 * Context: thread or fiber.
 */
int wfi_amqp_open(const struct wfi_celery_url *url, const struct wfi_amqp_options *options,
                  struct wfi_amqp **ret_amqp, wf_deadline deadline, struct wf_error *reterr);

/*
 * All calls below that take a deadline return 0, or
 *   -EREMOTEIO    the server refused, now or earlier, and has closed the channel; for what reason:
 *                 wfi_amqp_refusal
 *   -ETIMEDOUT, -ECANCELED   a request that was not answered: the connection is broken
 *   -ECONNRESET, WF_ESHORT, WF_EPROTOCOL, -EPIPE   it broke, now or earlier; the first also where
 *                 the server said that it stops, or that it cannot now
 *   -ENOMEM
 * Context: thread or fiber; any number of callers.
 */
struct wfi_amqp_queue {
    const char *name; /* "": the server makes one up */
    bool durable, exclusive, auto_delete;
    bool passive;          /* only ask for it */
    const char *arguments; /* an object as JSON; NULL: none */
};

struct wfi_amqp_queue_state {
    char name[256];
    uint32_t messages, consumers;
};

int wfi_amqp_declare_queue(struct wfi_amqp *amqp, const struct wfi_amqp_queue *queue,
                           struct wfi_amqp_queue_state *ret_state, wf_deadline deadline,
                           struct wf_error *reterr);
int wfi_amqp_delete_queue(struct wfi_amqp *amqp, const char *queue, wf_deadline deadline,
                          struct wf_error *reterr);

struct wfi_amqp_exchange {
    const char *name, *type; /* "direct", "fanout", "topic" */
    bool durable, auto_delete;
};

int wfi_amqp_declare_exchange(struct wfi_amqp *amqp, const struct wfi_amqp_exchange *exchange,
                              wf_deadline deadline, struct wf_error *reterr);
int wfi_amqp_bind(struct wfi_amqp *amqp, const char *queue, const char *exchange,
                  const char *routing_key, wf_deadline deadline, struct wf_error *reterr);

/* At most `count` unacknowledged messages, 0: any; `global`: in the channel, else each consumer. */
int wfi_amqp_qos(struct wfi_amqp *amqp, uint16_t count, bool global, wf_deadline deadline,
                 struct wf_error *reterr);

/* Messages of `queue` come to receive from now on, named by `consumer`. */
int wfi_amqp_consume(struct wfi_amqp *amqp, const char *queue, const char *consumer, bool no_ack,
                     wf_deadline deadline, struct wf_error *reterr);

/* No more of them; those that are under way still come. */
int wfi_amqp_cancel(struct wfi_amqp *amqp, const char *consumer, wf_deadline deadline,
                    struct wf_error *reterr);

struct wfi_amqp_delivery {
    struct wfi_link link; /* for whoever has it */
    uint64_t tag;
    bool redelivered;
    bool canceled; /* no message: the server ended this consumer (its queue is gone) */
    char consumer[256];
    /* As wfi_envelope_read_amqp takes it: content_type, ..., headers, delivery_info. */
    struct wf_json *properties;
    char *body;
    size_t len;
};

void wfi_amqp_delivery_destroy(struct wfi_amqp_delivery *delivery);

/*
 * Waits for the next delivery, and keeps the connection alive meanwhile.
 *
 * ret_delivery   receives it, the caller's to destroy
 *
 * Returns 0, or -ETIMEDOUT or -ECANCELED, which leave the connection as it is, or another of the
 * errors above.
 */
int wfi_amqp_receive(struct wfi_amqp *amqp, struct wfi_amqp_delivery **ret_delivery,
                     wf_deadline deadline, struct wf_error *reterr);

/* The same for all that have come: waits for the first, and puts them behind `list`, by `link`. */
int wfi_amqp_receive_all(struct wfi_amqp *amqp, struct wfi_list *list, wf_deadline deadline,
                         struct wf_error *reterr);

/* These two only send, and return 0, or the error with which the connection broke, or -ENOMEM. */
int wfi_amqp_ack(struct wfi_amqp *amqp, uint64_t tag, struct wf_error *reterr);
int wfi_amqp_reject(struct wfi_amqp *amqp, uint64_t tag, bool requeue, struct wf_error *reterr);

/* The same for many, in one go. */
struct wfi_amqp_settlement {
    uint64_t tag;
    enum { WFI_AMQP_ACK, WFI_AMQP_ACK_ALL, WFI_AMQP_REJECT, WFI_AMQP_REQUEUE } how;
    /* WFI_AMQP_ACK_ALL: this and all that came before it and are not settled */
};
int wfi_amqp_settle(struct wfi_amqp *amqp, const struct wfi_amqp_settlement *settlements,
                    size_t count, struct wf_error *reterr);

struct wfi_amqp_publish {
    const char *exchange, *routing_key; /* exchange "": to the queue of that name */
    const struct wfi_properties *properties;
    const char *headers; /* an object as JSON; NULL: none */
    size_t headers_len;
    const void *body;
    size_t body_len;
};

/*
 * Sends a message; with the option `confirm`, waits until the server has it. While the server is
 * short of memory and takes nothing (connection.blocked) it waits for that to pass.
 *
 * Returns as above; -ETIMEDOUT and -ECANCELED leave the connection as it is, and the message may
 * arrive. -EAGAIN: the server refused to take it over (confirm).
 */
int wfi_amqp_publish(struct wfi_amqp *amqp, const struct wfi_amqp_publish *message,
                     wf_deadline deadline, struct wf_error *reterr);

/* The server's code for why it closed the channel (AMQP's: 404 is not found, 406 is declared
 * otherwise); 0 when it did not. Any caller, never blocks. */
int wfi_amqp_refusal(const struct wfi_amqp *amqp);

/* Whether it still works, as far as is known. Any caller, never blocks. */
bool wfi_amqp_is_open(const struct wfi_amqp *amqp);

/* Whether the server has said that it takes no messages for now. Any caller, never blocks for
 * long. */
bool wfi_amqp_is_blocked(struct wfi_amqp *amqp);

/* Breaks it off: callers that wait, and later ones, get -EPIPE. Any caller, never blocks. */
void wfi_amqp_break(struct wfi_amqp *amqp);

/*
 * Tells the server that this is the end, if it is open, and closes it; what was sent is processed
 * by the server. Nobody is inside a call any more. NULL is fine.
 * Context: thread or fiber; waits at most until the deadline, also when the caller is cancelled.
 */
void wfi_amqp_close(struct wfi_amqp *amqp, wf_deadline deadline);

#endif
