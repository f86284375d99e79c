/* SPDX-License-Identifier: MIT */
/*
 * The task message of Celery's protocol 2. Pure.
 *
 * Facts and names are those of Celery 5.2.6 and 5.6.2, as seen on the wire. Reading has two steps,
 * because a worker has to know a task long before it has to know its arguments:
 *
 *   wfi_message_read        headers and properties: routing, revoking, eta and expiry need no more
 *   wfi_message_read_body   arguments, callbacks, chain and chord, when the task is about to run
 *
 * Each says what is to become of the message; a message that cannot be used is never an error of
 * the reader's. Any header may be missing, and those that are not known here stay in `headers`.
 */
#ifndef WFI_CELERY_MESSAGE_H
#define WFI_CELERY_MESSAGE_H

#include "celery/message/envelope.h"

/* What Celery does with a message. */
enum wfi_message_fate {
    WFI_MESSAGE_RUN,          /* nothing is wrong with it */
    WFI_MESSAGE_DROP,         /* cannot be decoded: log it, acknowledge it */
    WFI_MESSAGE_REJECT,       /* of no form that is known: log it, reject it without requeueing; no
                                 result is stored */
    WFI_MESSAGE_FAIL,         /* a task whose body cannot be used: acknowledge it, log it, and store
                                 FAILURE with the exception that goes with it */
    WFI_MESSAGE_UNREGISTERED, /* no task has this name here: reject it without requeueing, and store
                                 FAILURE NotRegistered. Only the worker knows what is registered;
                                 the reader never says this */
};

/* All texts are NULL when missing, and so are the pieces' contents. Zeroed is a message without a
 * task; a writer is given what the caller fills in. */
struct wfi_message {
    const char *lang; /* written for NULL: "c" */
    const char *task;
    const char *id;
    const char *root_id;
    const char *parent_id;
    const char *group;
    const char *shadow;
    const char *argsrepr, *kwargsrepr; /* for people; never read by a program */
    const char *origin;
    const char *eta, *expires;  /* ISO 8601 */
    int64_t eta_us, expires_us; /* the same since 1970, where the text is not NULL; read only */
    bool has_group_index;
    int64_t group_index;
    int64_t retries;
    double hard_s, soft_s; /* time limits; 0 is none */
    bool ignore_result;
    /* Three headers came with Celery 5.3: replaced_task_nesting, stamped_headers and stamps. */
    bool before_5_3; /* a message that was read has none of them; set, they are not written */
    int64_t replaced_task_nesting;
    struct wfi_json_piece stamped_headers, stamps;
    /* Read: all headers. Written: those of them that have no place above, besides the others. */
    const struct wf_json_value *headers;
    bool compress; /* write the body packed */

    struct wfi_properties properties;

    /* The body. */
    struct wfi_json_piece args;                       /* an array */
    struct wfi_json_piece kwargs;                     /* an object */
    struct wfi_json_piece callbacks, errbacks, chain; /* arrays of signatures, or null */
    struct wfi_json_piece chord;                      /* a signature, or null */
};

/* A message that was read, with all it points to. Zeroed is none. */
struct wfi_message_in {
    struct wfi_message message;
    struct wfi_envelope envelope;
    struct wf_json *body;
    /* With WFI_MESSAGE_FAIL: the exception's type and where it is defined; its text is reterr's. */
    const char *exc_type, *exc_module;
};

/*
 * Reads headers and properties; takes over what `in->envelope` holds. Returns one of enum
 * wfi_message_fate with the reason in reterr (RUN, DROP or REJECT), or -ENOMEM.
 */
int wfi_message_read(struct wfi_message_in *in, struct wf_error *reterr);

/*
 * The two together: an envelope of Redis and its message. Returns as wfi_message_read; `ret` is to
 * be given to wfi_message_in_reset however it ends.
 */
int wfi_message_read_redis(const char *text, size_t len, struct wfi_message_in *ret,
                           struct wf_error *reterr);

/* A message of RabbitMQ; the parameters are those of wfi_envelope_read_amqp. */
int wfi_message_read_amqp(struct wf_json *properties, const void *body, size_t body_len,
                          struct wfi_message_in *ret, struct wf_error *reterr);

/*
 * Reads the body. `max` bounds what a packed body may unpack to; 0 means 128 MiB. Returns
 * WFI_MESSAGE_RUN or WFI_MESSAGE_FAIL, or -ENOMEM.
 */
int wfi_message_read_body(struct wfi_message_in *in, size_t max, struct wf_error *reterr);

void wfi_message_in_reset(struct wfi_message_in *in);

/* True for the name of a header that has a place in struct wfi_message. */
bool wfi_message_knows_header(const char *name, size_t len);

/* Writes the headers, as one object. */
void wfi_message_write_headers(struct wf_json_writer *w, const struct wfi_message *m);

/* Writes the body, not packed: [args, kwargs, {callbacks, errbacks, chain, chord}]. */
void wfi_message_write_body(struct wf_json_writer *w, const struct wfi_message *m);

/*
 * The bytes that are sent as the body: what wfi_message_write_body makes, packed if the message
 * asks for it. Appends to `buffer`. Returns 0 or -ENOMEM.
 */
int wfi_message_pack_body(const struct wfi_message *m, struct wfi_buffer *buffer);

/*
 * Writes the whole message as Redis holds it. A task's correlation id is its id, whatever the
 * properties say. Returns 0 or -ENOMEM.
 */
int wfi_message_write_redis(struct wf_json_writer *w, const struct wfi_message *m);

/* A writer with Python's spelling, as all messages are written. Returns 0 or -ENOMEM. */
int wfi_message_writer_create(struct wf_json_writer **ret_writer);

#endif
