/* SPDX-License-Identifier: MIT */
/*
 * The inside of a client (weft/celery_client.h): tasks sent as canvas and executor make them, and
 * the watches of their results.
 *
 *     struct wfi_client_task task = {.name = "tasks.add", .args = {.text = "[2, 3]", .len = 6}};
 *     err = wfi_client_send(client, &task, id, &watch, deadline, &error);
 *     err = wfi_results_wait(&watch, &result, deadline, &error);      see celery/backend/results.h
 *     wfi_results_unwatch(&watch);
 */
#ifndef WFI_CELERY_CLIENT_H
#define WFI_CELERY_CLIENT_H

#include <weft/celery_client.h>

#include "celery/backend/results.h"
#include "celery/message/envelope.h"
#include "celery/message/uuid.h"

/* What is sent. Zeroed but for the name is a call without arguments. */
struct wfi_client_task {
    const char *name;
    struct wfi_json_piece args, kwargs; /* an array and an object; nothing is an empty one */
    const char *id;                     /* NULL: a new one */
    const char *queue;                  /* NULL: as exchange and routing key say, or the client's */
    const char *exchange, *routing_key;
    int64_t countdown_ns;  /* from now, when not 0; else */
    int64_t eta_us;        /* since 1970; 0: at once */
    int64_t expires_in_ns; /* from now, when not 0; else */
    int64_t expires_us;    /* since 1970; 0: never */
    int priority;          /* 0 is the first to be taken, 9 the last */
    int64_t retries;
    double soft_s, hard_s; /* limits of its run; 0: none */
    bool ignore_result;
    const char *root_id, *parent_id, *group_id, *shadow; /* root_id NULL: its own */
    bool has_group_index;
    int64_t group_index;
    const struct wf_json_value *headers;                     /* others; an object or NULL */
    struct wfi_json_piece callbacks, errbacks, chain, chord; /* as in struct wfi_message */
};

/*
 * Sends a task. On an error it may have been sent all the same, unless it is -EINVAL or -ENOMEM.
 *
 * ret_id   receives its id when that is a new one; may be NULL
 * watch    when not NULL, a watch of its result that begins before the task is sent; to be given to
 *          wfi_results_unwatch if this succeeds
 *
 * Returns 0, or
 *   -EINVAL    there is no name, arguments are no JSON of the right type, or no backend to watch
 *   -ERANGE    a priority that is not 0 to 9
 *   -ETIMEDOUT, -ECANCELED
 *   -EACCES, -ECONNREFUSED, ...   an error of wfi_redis_open or wfi_redis_call
 *   -ENOMEM, or an error of wfi_results_watch
 * Context: thread or fiber; any number of callers.
 */
int wfi_client_send(struct wf_celery_client *client, const struct wfi_client_task *task,
                    char ret_id[WFI_UUID_BYTES], struct wfi_result_watch *watch,
                    wf_deadline deadline, struct wf_error *reterr);

/*
 * Makes one whose results are read on these fibers, which live longer; NULL: on its own.
 * Returns as wf_celery_client_create.
 */
int wfi_client_create(const struct wf_celery_client_options *options, struct wf_executor *on,
                      struct wf_celery_client **ret_client, struct wf_error *reterr);

/* What had to be read of what belongs to a call. Zeroed is nothing. */
struct wfi_client_applied {
    struct wf_json *trees[3];
};

/* Sets all that `apply` says; the task points into it and into `applied`, which is to be given to
 * fini however this ends. Returns 0, -EINVAL or -ENOMEM. */
int wfi_client_apply(struct wfi_client_task *task, const struct wf_celery_apply *apply,
                     struct wfi_client_applied *applied, struct wf_error *reterr);
void wfi_client_applied_fini(struct wfi_client_applied *applied);

/*
 * Sending in two steps: makes the message, and sends it.
 *
 * ret_id       receives the task's id, to be given to wfi_free
 * ret_parcel   receives the message, to be discarded (celery/client/client_broker.h)
 *
 * Returns 0, -EINVAL, -ERANGE or -ENOMEM; wfi_client_publish returns as wfi_client_send.
 */
struct wfi_client_parcel;
int wfi_client_pack(struct wf_celery_client *client, const struct wfi_client_task *task,
                    char **ret_id, struct wfi_client_parcel **ret_parcel, struct wf_error *reterr);
int wfi_client_publish(struct wf_celery_client *client, const struct wfi_client_parcel *parcel,
                       wf_deadline deadline, struct wf_error *reterr);

/* The broker's number for a priority of -3 to 3, of which the highest comes first. Redis has none
 * above the usual one, and RabbitMQ none below. */
int wfi_client_priority(const struct wf_celery_client *client, int priority);

/* Revokes several tasks with one request; as wf_celery_client_revoke. */
int wfi_client_revoke(struct wf_celery_client *client, const char *const *ids, size_t count,
                      bool terminate, wf_deadline deadline, struct wf_error *reterr);

/*
 * For signatures: what canvas has to know of the client, and of the request, if any, that the
 * caller runs in, of which `request` is filled; one of the messages that it makes, sent; and where
 * chords are counted, NULL where they cannot be.
 */
struct wfi_canvas_context;
struct wfi_canvas_step;
struct wfi_message;
void wfi_client_canvas_context(struct wf_celery_client *client, struct wfi_canvas_context *ret,
                               struct wfi_message *request);
int wfi_client_send_step(struct wf_celery_client *client, const struct wfi_canvas_step *step,
                         wf_deadline deadline, struct wf_error *reterr);
struct wfi_store *wfi_client_store(struct wf_celery_client *client);

/* What results are waited for by; NULL without a backend. */
struct wfi_results *wfi_client_results(struct wf_celery_client *client);

#endif
