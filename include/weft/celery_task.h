/* SPDX-License-Identifier: MIT */
/*
 * What a task says of itself to those who call it from a queue of Celery's, besides its name and
 * its parameters, and what it can do there:
 *
 *     WF_TASK(int64_t, add, (int64_t, x), (int64_t, y))
 *     WF_TASK_DEFINE_WITH(add, .celery = &(const struct wf_celery_task){
 *         .defaults = "{\"y\": 1}", .acks_late = WF_CELERY_YES})
 *
 *     int fetch(struct wf_task *self, const char *url, ...)
 *     {
 *         ...
 *         if (err == -ETIMEDOUT)
 *             return wf_task_retry(self, &(struct wf_celery_retry){.error = &error});
 *     }
 *
 * Python may now call add.delay(5). Other engines look at none of this: in C all arguments are
 * given, and a retry is a failure. What the arguments of a call from a queue point to belongs to
 * the worker, and lives until the task has returned; the task's drop_args is not called for them.
 */
#ifndef WEFT_CELERY_TASK_H
#define WEFT_CELERY_TASK_H

#include <weft/json.h>
#include <weft/task.h>

WF_BEGIN_DECLS

enum wf_celery_choice {
    WF_CELERY_DEFAULT, /* what the worker's options say */
    WF_CELERY_YES,
    WF_CELERY_NO,
};

/*
 * All of it may be left out. A parameter `rest_args` takes the positional arguments that no other
 * parameter takes, as an array, and `rest_kwargs` the named ones, as an object: Python's *args and
 * **kwargs. A task of these two alone gets everything, as JSON.
 */
struct wf_celery_task {
    const char
        *defaults; /* a JSON object: parameters that may be left out, and what they are then */
    const char *rest_args;   /* the name of a parameter of type const struct wf_json * */
    const char *rest_kwargs; /* and of another */

    enum wf_celery_choice acks_late; /* its message is acknowledged when its result is stored */
    enum wf_celery_choice track_started;
    /* With acks_late: when the process that runs it dies, its message goes back to the queue. Else
     * it fails with WorkerLostError. A task that kills its process does so again and again. */
    bool reject_on_worker_lost;
    bool ignore_result; /* nothing is stored of its end */
    bool store_errors;  /* but of a failure, or that it was revoked or has expired */

    /* Of its run, in seconds, where the message says nothing of it. 0: the worker's. At the soft
     * limit it is asked to stop, at the hard limit it is killed where it runs in a process. */
    double soft_time_limit_s, time_limit_s;
    const char *rate_limit; /* "100/m", with s, m or h: how often it may begin; NULL: no limit */

    /* Retries: of wf_task_retry, and by themselves when the task fails. */
    int max_retries;          /* 0: 3; negative: without end */
    int64_t retry_delay_ns;   /* 0: 180 s */
    bool autoretry;           /* every failure is retried */
    const int *autoretry_for; /* or only those with one of these codes, the last one 0 */
    int64_t retry_backoff_ns; /* of them the first is delayed by this, each by twice the one before,
                                  less a random part; 0: by retry_delay_ns */
    int64_t retry_backoff_max_ns; /* 0: 600 s */
    bool retry_exactly;           /* without the random part */
};

/* A request: what its message says of it. Texts that are missing are NULL. */
struct wf_celery_request {
    const char *id;                         /* of the task; that of its result */
    const char *root_id;                    /* of the first from which it follows */
    const char *parent_id;                  /* of the one that sent it */
    const char *group_id;                   /* of the group or chord that it is a part of */
    int64_t group_index;                    /* its place there; -1: none */
    int64_t retries;                        /* how often it was tried before */
    const char *eta, *expires;              /* ISO 8601 */
    double soft_time_limit_s, time_limit_s; /* that hold for this run; 0: none */
    const char *exchange, *routing_key;
    int priority;
    bool redelivered; /* it may have run before, or in part */
    const char *reply_to;
    const char *origin; /* who sent it */
    const char *worker; /* the name of the worker that runs it */
};

/*
 * The request that a task runs for.
 *
 * self   the running task
 *
 * Returns it, valid while the task runs; NULL when no Celery worker runs it.
 * Context: any, never blocks; by the task itself.
 */
WF_API const struct wf_celery_request *wf_celery_task_request(const struct wf_task *self);

/*
 * A header of the request's message, also one that the sender has made up.
 *
 * Returns its value, valid while the task runs; NULL when there is none.
 * Context: any, never blocks; by the task itself.
 */
WF_API const struct wf_json_value *wf_celery_header(const struct wf_task *self, const char *name);

/* Zero is the default. */
struct wf_celery_retry {
    int64_t countdown_ns;         /* from now; 0: the task's retry_delay_ns; negative: at once */
    int64_t eta_us;               /* or at this time, since 1970 */
    int max_retries;              /* 0: the task's; negative: without end */
    const struct wf_error *error; /* the cause: it is stored with the state RETRY, and is the task's
                                     failure when there are no retries left */
    const char *args;             /* a JSON array, in place of those that it was called with */
    const char *kwargs;           /* a JSON object, in place of those */
    const char *queue;            /* NULL: the one that the message came from */
};

/*
 * Ends the running task, to be run again later, with the same id:
 *
 *     return wf_task_retry(self, &(struct wf_celery_retry){.countdown_ns = WF_SECONDS(5)});
 *
 * options   may be NULL; needed during the call only
 *
 * Returns a negative code, which the task is to return:
 *   WF_ENORESULT   it will be retried
 *   the cause's    there are no retries left, or no Celery worker runs the task
 *   WF_ETASKFAILED, -ENOTSUP   the same without a cause; to Python it is MaxRetriesExceededError
 *   -EINVAL        args or kwargs are no JSON of the right type
 *   -ENOMEM
 * Context: any, never blocks; by the task itself.
 */
WF_API int wf_task_retry(struct wf_task *self, const struct wf_celery_retry *options);

/*
 * Ends the running task: another takes its place, with its id and all that follows from it. The
 * signature is JSON as Celery has it, {"task": name, "args": [...], ...}, also of a group, a chain
 * or a chord.
 *
 * Returns a negative code, which the task is to return:
 *   WF_ENORESULT   it is replaced
 *   -EINVAL        the signature has not the form of one
 *   -ENOTSUP       no Celery worker runs the task
 *   -ENOMEM
 * Context: any, never blocks; by the task itself.
 */
WF_API int wf_celery_replace(struct wf_task *self, const char *signature);

/*
 * Adds a part to the chord that the running task is a part of; it is sent when the task has ended,
 * before that is counted.
 *
 * Returns 0, or
 *   -EINVAL    the signature has not the form of one, or the task is a part of no chord
 *   -ENOTSUP   no Celery worker runs the task
 *   -ENOMEM
 * Context: any, never blocks; by the task itself.
 */
WF_API int wf_celery_add_to_chord(struct wf_task *self, const char *signature);

/*
 * Ends the running task without a result: nothing is stored, and nothing follows from it.
 *
 * Returns WF_ENORESULT, which the task is to return; or -ENOTSUP when no Celery worker runs it.
 * Context: any, never blocks; by the task itself.
 */
WF_API int wf_celery_ignore(struct wf_task *self);

/*
 * The same, and rejects the message; if `requeue` is true, it goes back to its queue. Only a task
 * with acks_late can do so: of others the message is acknowledged already.
 *
 * Returns as wf_celery_ignore.
 * Context: any, never blocks; by the task itself.
 */
WF_API int wf_celery_reject(struct wf_task *self, bool requeue);

/*
 * Fails the running task with an exception of Python's: return wf_celery_raise(self, "builtins",
 * "KeyError", "no such key"). One that Python does not know becomes one of that name.
 *
 * module   where the exception is defined
 * text     its argument; NULL: none
 *
 * Returns WF_ETASKFAILED, which the task is to return.
 * Context: any, never blocks; by the task itself.
 */
WF_API int wf_celery_raise(struct wf_task *self, const char *module, const char *exception,
                           const char *text);

/*
 * Stores a state of the running task: one that has meanwhile no result, such as PROGRESS, and what
 * is to be known about it.
 *
 * state   any but those that Celery itself stores
 * meta    a JSON value; NULL: null
 *
 * Returns 0, or
 *   -EINVAL    there is no state, or meta is no JSON
 *   -ENOTSUP   no Celery worker runs the task
 *   -ETIMEDOUT, -ECANCELED, -ECONNREFUSED, ...   it is not stored
 *   -ENOMEM
 * Context: thread or fiber; by the task itself.
 */
WF_API int wf_celery_update_state(struct wf_task *self, const char *state, const char *meta);

WF_END_DECLS

#endif
