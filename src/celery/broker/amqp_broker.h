/* SPDX-License-Identifier: MIT */
/*
 * RabbitMQ behind celery/broker/broker.h: exchanges, queues and bindings declared as Celery
 * declares them, messages pushed by the server up to the prefetch count and acknowledged in
 * batches, requests of remote control from a queue of the worker's own.
 *
 * A queue that exists and was declared otherwise (with priorities, say, or as a quorum queue) is
 * used as it is.
 */
#ifndef WFI_CELERY_AMQP_BROKER_H
#define WFI_CELERY_AMQP_BROKER_H

#include "celery/broker/broker.h"

extern const struct wfi_broker_table wfi_amqp_broker_table;

#endif
