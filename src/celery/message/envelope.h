/* SPDX-License-Identifier: MIT */
/*
 * What every message is, task, event, remote control or result: headers, properties and a body. On
 * RabbitMQ they are parts of the protocol; on Redis they lie in one JSON object, the envelope, with
 * the body in base64. Pure.
 *
 * The forms are those that Celery 5.2.6 with kombu 5.2.4, and Celery 5.6.2 with kombu 5.6.2, were
 * seen to write and to take, down to the order of the members.
 */
#ifndef WFI_CELERY_ENVELOPE_H
#define WFI_CELERY_ENVELOPE_H

#include "base/buffer.h"

#include <weft/error.h>
#include <weft/json.h>

#define WFI_CONTENT_JSON "application/json"
#define WFI_CONTENT_UTF8 "utf-8"

/* How what others sent is read: the memory for it has a limit. */
extern const struct wf_json_options wfi_message_json;

/* A piece of JSON inside something larger: a value that was read, else a text, else nothing. */
struct wfi_json_piece {
    const struct wf_json_value *value;
    const char *text; /* one whole value */
    size_t len;
};

/* True when there is nothing, or a null. */
bool wfi_json_piece_is_null(const struct wfi_json_piece *piece);

/* Writes a piece, and `absent`, the text of a value, for nothing. */
void wfi_json_write_piece(struct wf_json_writer *w, const struct wfi_json_piece *piece,
                          const char *absent);

/* Writes a C string, or null for NULL. */
void wfi_json_write_text(struct wf_json_writer *w, const char *text);

/* The text of a string; NULL for any other value, and for a string with a NUL inside, which can
 * name nothing here. */
const char *wfi_json_c_string(const struct wf_json_value *value);

/* All texts may be NULL. */
struct wfi_properties {
    const char *content_type;     /* written for NULL: application/json */
    const char *content_encoding; /* written for NULL: utf-8 */
    const char *correlation_id;   /* of a task its id; left out when NULL, as the next two */
    const char *reply_to;         /* where results go on rpc:// */
    const char *expiration;       /* milliseconds, in digits */
    const char *exchange;         /* of the message; "" is the default one */
    const char *routing_key;
    const char *delivery_tag; /* Redis: unique among all messages */
    int delivery_mode;        /* 2 is kept by the broker through a restart; written for 0 */
    int priority;
    bool redelivered;
    int replaced_task_nesting; /* Celery 5.2 has it here on Redis; read only */
};

/* A message that was read. Zeroed is an empty one. */
struct wfi_envelope {
    struct wfi_properties properties;
    const struct wf_json_value *headers; /* an object, or NULL */
    const char *body;                    /* as it came, until wfi_envelope_open */
    size_t body_len;
    bool base64;             /* it still is in that form */
    bool unpacked;           /* it was packed */
    struct wf_json *tree;    /* owned: all of the above points into it, but an AMQP body */
    struct wfi_buffer space; /* the body, where it had to be unpacked */
};

/*
 * Reads what lay in a list on Redis, or came by its publish/subscribe. Give `ret` to
 * wfi_envelope_reset, however this ends. The text is needed no more afterwards. Returns 0, or
 *   WF_EPARSE    it is no JSON, or not such an object
 *   WF_ETOOBIG   nested too deep
 *   -EMSGSIZE    too many values
 *   -ENOMEM
 */
int wfi_envelope_read_redis(const char *text, size_t len, struct wfi_envelope *ret,
                            struct wf_error *reterr);

/*
 * The same for a message of RabbitMQ. `properties` is one object, with the names that AMQP gives
 * them: content_type, content_encoding, delivery_mode, priority, correlation_id, reply_to,
 * expiration, headers (or application_headers), and besides these delivery_info: {exchange,
 * routing_key, redelivered}. `ret` owns it from here on. The body is not copied, and has to live as
 * long as `ret`. Returns 0 or WF_EPARSE.
 */
int wfi_envelope_read_amqp(struct wf_json *properties, const void *body, size_t body_len,
                           struct wfi_envelope *ret, struct wf_error *reterr);

/*
 * Unwraps the body: base64 first, where it lies, then the compression that the header of that name
 * tells. Returns 0, or
 *   WF_EPARSE    it is not in the form it should have, or a compression that is not known
 *   WF_ETOOBIG   unpacked it has more than `max` bytes
 *   -ENOMEM
 */
int wfi_envelope_open(struct wfi_envelope *envelope, size_t max, struct wf_error *reterr);

void wfi_envelope_reset(struct wfi_envelope *envelope);

/*
 * Writes an envelope for Redis. `headers` is an object, the body any bytes. Returns 0 or -ENOMEM
 * (for what is written by itself; the writer has its own).
 */
int wfi_envelope_write_redis(struct wf_json_writer *w, const struct wfi_properties *properties,
                             const struct wfi_json_piece *headers, const void *body,
                             size_t body_len);

#endif
