/* SPDX-License-Identifier: MIT */
/*
 * Sends messages to RabbitMQ, over connections of its own, which are opened when they are needed,
 * and again when they broke. A server that is short of memory stops reading from whoever publishes:
 * so these are not the connections over which messages are taken and acknowledged.
 *
 * The server confirms each message. What could not be sent because a connection broke is sent
 * again, until the deadline; if it broke before the confirmation, the message may then be there
 * twice, with one id.
 */
#ifndef WFI_CELERY_AMQP_PUBLISHER_H
#define WFI_CELERY_AMQP_PUBLISHER_H

#include "celery/broker/amqp.h"
#include "celery/broker/broker.h"

struct wfi_amqp_publisher;

/* Makes one; nothing is connected yet. The url is copied. Returns 0 or -ENOMEM. */
int wfi_amqp_publisher_create(const struct wfi_celery_url *url,
                              struct wfi_amqp_publisher **ret_publisher, struct wf_error *reterr);

/*
 * Sends a task to where its properties say. A queue that is named there by itself is declared first
 * as Celery declares it, unless there is one of that name.
 *
 * Returns 0, or
 *   -EINVAL     a routing key or exchange of more than 255 bytes
 *   -EREMOTEIO  the server refuses it: there is no such exchange, say
 *   -EACCES     it wants another user or password
 *   -ETIMEDOUT, -ECANCELED   it may have been sent
 *   -ENOMEM
 * Context: thread or fiber; any number of callers.
 */
int wfi_amqp_publisher_send(struct wfi_amqp_publisher *publisher, const struct wfi_message *message,
                            wf_deadline deadline, struct wf_error *reterr);

/* The same for a note; no queue is declared, but the exchanges of events and remote control are. */
int wfi_amqp_publisher_tell(struct wfi_amqp_publisher *publisher,
                            const struct wfi_broker_note *note, wf_deadline deadline,
                            struct wf_error *reterr);

/*
 * Makes callers give up: those that wait for a connection, and later ones, get -EPIPE.
 * Context: any, never blocks for long.
 */
void wfi_amqp_publisher_break(struct wfi_amqp_publisher *publisher);

/* Closes the connections. Nobody is inside a call any more. NULL is fine. */
void wfi_amqp_publisher_destroy(struct wfi_amqp_publisher *publisher);

/* Declares the exchanges of events and remote control, as Celery does. */
int wfi_amqp_declare_exchanges(struct wfi_amqp *amqp, wf_deadline deadline,
                               struct wf_error *reterr);

/* Declares a queue of tasks with its exchange, and binds it; `passive`: only asks for it. */
int wfi_amqp_declare_tasks(struct wfi_amqp *amqp, const struct wfi_broker_queue *queue,
                           bool passive, wf_deadline deadline, struct wf_error *reterr);

#endif
