/* SPDX-License-Identifier: MIT */
/*
 * A client of Celery: sends tasks to workers, of any language, waits for what they give, and asks
 * workers how they are. By name, with arguments and results as JSON:
 *
 *     struct wf_celery_client *client;
 *     err = wf_celery_client_create(&(struct wf_celery_client_options){
 *         .broker = "redis://localhost", .backend = "redis://localhost/1"}, &client, &error);
 *
 *     char id[WF_CELERY_ID_BYTES];
 *     struct wf_celery_result *result;
 *     const struct wf_json_value *value;
 *     err = wf_celery_client_send(client, "tasks.add", "[2, 3]", NULL, NULL, id, limit, &error);
 *     err = wf_celery_client_wait(client, id, &result, limit, &error);
 *     err = wf_celery_result_value(result, &value, &error);
 *     ...
 *     wf_celery_result_destroy(result);
 *     wf_celery_client_destroy(client);
 *
 * Connections are opened when they are needed, and again after they broke. Any number of fibers and
 * threads may use a client at once; those who wait for results share one connection.
 */
#ifndef WEFT_CELERY_CLIENT_H
#define WEFT_CELERY_CLIENT_H

#include <weft/error.h>
#include <weft/json.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_celery_client;
struct wf_celery_result;

/* An id that was made here, with its NUL. */
enum { WF_CELERY_ID_BYTES = 37 };

/* Zero is the default throughout. */
struct wf_celery_client_options {
    const char *broker;  /* redis://[[user]:password@]host[:port][/database],
                            redis+socket:///path[?virtual_host=database], or
                            amqp://[user[:password]@]host[:port][/vhost];
                            NULL: redis://localhost */
    const char *backend; /* a Redis for results, or rpc:// with RabbitMQ as the broker: results are
                            sent to this client, each once; NULL: it waits for none */
    const char *prefix;  /* of all keys on Redis (global_keyprefix); NULL: none */
    const char *queue;   /* of tasks that name none; NULL: "celery" */
    bool send_once;      /* what could not be sent because the connection broke is not tried again;
                            else it is, three times, and may then be there twice, with one id */
    bool unconfirmed;    /* RabbitMQ: do not wait until the server says that it has a message, as
                            Celery does not unless it is told to (confirm_publish): many times
                            quicker, and what is lost with a connection is missed by nobody */
    int retries_max;     /* of connecting to the backend, one after another, until those who wait
                            are told: 20 when 0 */
    int64_t pause_ns;    /* what each pause between them is longer than the one before: 0.2 s when
                            0, up to 1 s */
};

/*
 * Makes a client; nothing is connected yet.
 *
 * options      used during the call
 * ret_client   receives the client; the caller destroys it
 *
 * Returns 0, or
 *   -EINVAL    an address is malformed
 *   -ENOTSUP   an address is of something else, or with TLS
 *   -ENOMEM
 * Context: thread or fiber.
 */
WF_API int wf_celery_client_create(const struct wf_celery_client_options *options,
                                   struct wf_celery_client **ret_client, struct wf_error *reterr);

/*
 * Closes the connections and frees the client. Nobody is inside a call any more. NULL is fine.
 * Context: thread or fiber.
 */
WF_API void wf_celery_client_destroy(struct wf_celery_client *client);

/* How a task is sent; zeroed is the default. Texts are needed during the call only. */
struct wf_celery_apply {
    const char *id;        /* NULL: a new one */
    const char *queue;     /* NULL: the client's */
    int64_t countdown_ns;  /* to be run so long from now, when not 0; else */
    int64_t eta_us;        /* at this time, microseconds since 1970; 0: at once */
    int64_t expires_ns;    /* not to be run later than so long from now, when not 0; else */
    int64_t expires_at_us; /* than this time, since 1970; 0: however late */
    int priority;          /* 0 to 9: on Redis 0 is the first to be taken */
    int64_t retries;       /* how often it was tried before */
    double soft_s, hard_s; /* limits of its run, in seconds; 0: the task's own */
    bool ignore_result;    /* nothing is stored of its end */
    const char *shadow;    /* a name to be shown in place of the task's */
    const char *headers;   /* others: a JSON object */
    const char *callbacks; /* what is called with its result: a JSON array of signatures */
    const char *errbacks;  /* what is called when it fails, likewise */
    const char *root_id, *parent_id; /* NULL: those that follow from the task that the caller runs
                                        in, when a worker of Celery runs it */
};

/*
 * Sends a call of a task. On an error it may have been sent all the same, unless that is -EINVAL,
 * -ERANGE or -ENOMEM.
 *
 * args     a JSON array; NULL: none
 * kwargs   a JSON object; NULL: none
 * apply    may be NULL
 * ret_id   receives the task's id, unless `apply` has one; may be NULL
 *
 * Returns 0, or
 *   -EINVAL    there is no name, or a text is no JSON of the right type
 *   -ERANGE    a priority that is not 0 to 9
 *   -EACCES    the broker wants another user or password
 *   -EREMOTEIO it refused, in its own words
 *   -ECONNREFUSED, -ECONNRESET, WF_ESHORT, ...   it cannot be reached
 *   -ETIMEDOUT, -ECANCELED
 *   -ENOMEM
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_celery_client_send(struct wf_celery_client *client, const char *name,
                                 const char *args, const char *kwargs,
                                 const struct wf_celery_apply *apply,
                                 char ret_id[WF_CELERY_ID_BYTES], wf_deadline deadline,
                                 struct wf_error *reterr);

/*
 * Waits until a task has ended: SUCCESS, FAILURE or REVOKED, also when that was before the call.
 * Over rpc:// it has to be a task of this client's, and its result is had once; the last 8192 that
 * nobody waits for are kept, or as many as 64 MiB hold.
 *
 * ret_result   receives the result, to be given to wf_celery_result_destroy
 *
 * Returns 0 however the task ended (see wf_celery_result_value), or
 *   -EINVAL                  the client has no backend
 *   -ETIMEDOUT, -ECANCELED   not yet
 *   WF_EPARSE                what is stored is no result
 *   -EACCES, -EREMOTEIO, -ECONNREFUSED, ...   the backend cannot be reached or used
 *   -ENOMEM
 * Context: thread or fiber; any number of callers, also for one task.
 */
WF_API int wf_celery_client_wait(struct wf_celery_client *client, const char *id,
                                 struct wf_celery_result **ret_result, wf_deadline deadline,
                                 struct wf_error *reterr);

/*
 * What the task gave.
 *
 * ret_value   receives the value, which lives as long as `result`
 *
 * Returns 0, or, when the task did not succeed, the code that belongs to its exception: -EINVAL for
 * ValueError and TypeError, -ETIMEDOUT for TimeoutError, -ECANCELED when it was revoked, and so on,
 * WF_ETASKFAILED for those that have no other; with the exception as text, "ValueError: boom".
 * Context: any, never blocks.
 */
WF_API int wf_celery_result_value(const struct wf_celery_result *result,
                                  const struct wf_json_value **ret_value, struct wf_error *reterr);

/*
 * All that is stored, as one object: status, result (of a failure {"exc_type", "exc_message",
 * "exc_module"}), traceback, children, date_done, task_id, and what else there is. Lives as long as
 * `result`.
 * Context: any, never blocks.
 */
WF_API const struct wf_json_value *wf_celery_result_document(const struct wf_celery_result *result);

/* Frees a result. NULL is fine. Context: any, never blocks. */
WF_API void wf_celery_result_destroy(struct wf_celery_result *result);

/*
 * Removes the result of a task from the backend.
 *
 * Returns 0, also when there was none; -EINVAL without a backend; or an error of
 * wf_celery_client_send.
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_celery_client_forget(struct wf_celery_client *client, const char *id,
                                   wf_deadline deadline, struct wf_error *reterr);

/*
 * Asks all workers not to run a task that has not begun.
 *
 * terminate   to end it, too, if it runs
 *
 * Returns 0 once the request is published, whether or not a worker was there to hear it, or an
 * error of wf_celery_client_send.
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_celery_client_revoke(struct wf_celery_client *client, const char *id, bool terminate,
                                   wf_deadline deadline, struct wf_error *reterr);

/* A request to workers: "ping", "active", "rate_limit" and so on. */
struct wf_celery_control {
    const char *method;
    const char *arguments;          /* a JSON object; NULL: none */
    const char *const *destination; /* names of workers; none: all */
    size_t destination_count;
    const char *pattern, *matcher; /* else those whose name fits: "glob" or "pcre"; NULL: all */
    int64_t wait_ns;    /* for replies, from when the request is out; 0: 1 s, as Celery's */
    size_t replies_max; /* when that many are there, no more are waited for; 0: as many as there
                           are destinations, or any number within that time */
};

/*
 * Sends a request to the workers, and waits for their replies.
 *
 * ret_replies   receives an object with a member for each worker that replied, its name and its
 *               reply, to be given to wf_json_destroy; empty when nobody did. NULL: no reply is
 *               asked for, and none waited for.
 *
 * Returns 0, or
 *   -EINVAL   there is no method, or a text is no JSON of the right type
 *   -ETIMEDOUT, -ECANCELED   the deadline, if it was earlier than wait_ns; replies are lost
 *   or an error of wf_celery_client_send
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_celery_client_control(struct wf_celery_client *client,
                                    const struct wf_celery_control *control,
                                    struct wf_json **ret_replies, wf_deadline deadline,
                                    struct wf_error *reterr);

WF_END_DECLS

#endif
