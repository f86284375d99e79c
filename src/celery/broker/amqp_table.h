/* SPDX-License-Identifier: MIT */
/*
 * Field tables of AMQP 0-9-1, as JSON and back. The kinds are those that RabbitMQ and py-amqp
 * write: https://www.rabbitmq.com/amqp-0-9-1-errata.html. Pure, but for the pool that librabbitmq
 * makes tables in.
 *
 *     JSON        written as       read from
 *     string      S                S, x (bytes: as they are)
 *     integer     I, or l          b B s u I i l L (as signed) T
 *     number      d                f d, D
 *     true false  t                t
 *     null        V                V
 *     array       A                A
 *     object      F                F
 *
 * An integer of more than 64 bits is written as a string.
 */
#ifndef WFI_CELERY_AMQP_TABLE_H
#define WFI_CELERY_AMQP_TABLE_H

#include <amqp.h>

#include <weft/json.h>

/* Writes a table as an object. */
void wfi_amqp_table_write(struct wf_json_writer *w, const amqp_table_t *table);

/*
 * Makes a table of an object. What it points to is in the pool or in `object`, which has to live as
 * long. Returns 0, -EINVAL when it is no object or a key has more than 255 bytes, WF_ETOOBIG when
 * nested more than 64 deep, or -ENOMEM.
 */
int wfi_amqp_table_make(const struct wf_json_value *object, amqp_pool_t *pool, amqp_table_t *ret);

#endif
