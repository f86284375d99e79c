/* SPDX-License-Identifier: MIT */
/*
 * What a client says to a broker, of whichever kind: a table of functions, and the brokers that
 * have one. All of them may be called by any number of fibers and threads; deadlines, and what is
 * returned when the broker cannot be reached, are those of wfi_line_do.
 */
#ifndef WFI_CELERY_CLIENT_BROKER_H
#define WFI_CELERY_CLIENT_BROKER_H

#include "celery/client/client_line.h"
#include "celery/message/control.h"
#include "celery/message/message.h"
#include "celery/message/url.h"
#include "celery/message/uuid.h"

struct wfi_client_broker;

/* Who is told of the replies to a request. */
struct wfi_client_asking {
    int64_t wait_ns;    /* how long, from when the request is out */
    size_t replies_max; /* 0: any number */
    /* Called with each: an object of names and replies. Returns 0, or an error that ends it. */
    int (*reply)(void *arg, const struct wf_json_value *body);
    void *arg;
};

/* The texts of a request that wants replies. */
struct wfi_client_reply_to {
    char ticket[WFI_UUID_BYTES], key[WFI_UUID_BYTES];
};

/* Sets ticket, reply key and expiry of a request that is answered to nobody else. */
void wfi_client_want_replies(struct wfi_control_request *request,
                             const struct wfi_client_asking *asking, struct wfi_uuids *uuids,
                             struct wfi_client_reply_to *ret);

/* Reads what has come, and hands it on if it is a reply to this request. Returns 1 then, 0 when it
 * is none, or an error. */
int wfi_client_take_reply(const struct wfi_control_request *request,
                          const struct wfi_client_asking *asking, struct wfi_envelope *envelope);

/* A task as its broker wants it, ready to be sent: a part of what is the broker's own. */
struct wfi_client_parcel {
    void (*discard)(struct wfi_client_parcel *parcel);
};

struct wfi_client_broker_ops {
    /* Makes a task ready, for where its properties say: exchange and routing key. Does not wait.
     * The parcel is to be discarded. Returns 0 or -ENOMEM. */
    int (*pack)(struct wfi_client_broker *broker, const struct wfi_message *message,
                struct wfi_client_parcel **ret_parcel);
    /* Sends one, which may be sent again. */
    int (*publish)(struct wfi_client_broker *broker, const struct wfi_client_parcel *parcel,
                   wf_deadline deadline, struct wf_error *reterr);
    /* Sends a request to all workers; with `asking`, waits for replies. The request's ticket and
     * where the replies go are then made here. */
    int (*control)(struct wfi_client_broker *broker, struct wfi_control_request *request,
                   const struct wfi_client_asking *asking, wf_deadline deadline,
                   struct wf_error *reterr);
    void (*destroy)(struct wfi_client_broker *broker);
};

struct wfi_client_broker {
    const struct wfi_client_broker_ops *ops;
    bool high_first; /* the highest priority is taken first, not the lowest */
};

struct wfi_client_broker_options {
    const struct wfi_celery_url *url;
    const char *prefix; /* of all keys on Redis; "" for none */
    bool once;          /* nothing is sent again because a connection broke */
    bool unconfirmed;   /* RabbitMQ: publishing does not wait for the server's answer */
    struct wfi_uuids *uuids;
};

/* Each makes one; nothing is connected yet. Texts are copied, the uuids are the caller's. Returns 0
 * or -ENOMEM. */
int wfi_client_amqp_create(const struct wfi_client_broker_options *options,
                           struct wfi_client_broker **ret_broker, struct wf_error *reterr);
int wfi_client_redis_create(const struct wfi_client_broker_options *options,
                            struct wfi_client_broker **ret_broker, struct wf_error *reterr);

/* The functions of a line to Redis. */
extern const struct wfi_line_kind wfi_client_redis_line;

#endif
