/* SPDX-License-Identifier: MIT */
/*
 * Where results go: to Redis, or, as rpc://, to the queue of whoever has sent the task, by the
 * broker.
 *
 * On Redis each is under its key, and told at the same time to those who wait for it on the channel
 * of the same name.
 *
 * A result is final once it is SUCCESS: a task that runs twice, because its message came twice,
 * does not take that away again.
 *
 * One connection for all callers, opened by the first that needs it, and opened anew by whoever
 * finds it broken.
 */
#ifndef WFI_CELERY_STORE_H
#define WFI_CELERY_STORE_H

#include "celery/broker/broker.h"
#include "celery/broker/redis.h"
#include "celery/message/result.h"

/* In front of a task's id, behind the prefix of all keys. */
#define WFI_STORE_KEY "celery-task-meta-"

struct wfi_store;

struct wfi_store_options {
    const struct wfi_celery_url *url;
    const char *prefix; /* of all keys (global_keyprefix); NULL: none */
    int64_t expires_s;  /* how long results are kept; 0: for ever */
    int retries_max;    /* of one store, where the connection breaks or cannot be had: 20 when 0 */
};

/*
 * Makes a store; nothing is connected yet. The url and texts are copied.
 * Returns 0, -EINVAL or -ENOMEM.
 */
int wfi_store_create(const struct wfi_store_options *options, struct wfi_store **ret_store,
                     struct wf_error *reterr);

/* A store as rpc://. Nothing is kept: chords have to be counted elsewhere. Returns 0 or -ENOMEM. */
int wfi_store_create_rpc(struct wfi_broker *broker, struct wfi_store **ret_store,
                         struct wf_error *reterr);

/* Whether it keeps results, so that all calls below may be made; else wfi_store_result alone. */
bool wfi_store_keeps(const struct wfi_store *store);

/*
 * Stores a result: on Redis as wfi_store_put, on rpc:// to the queue that its reply_to names, if it
 * has one, waiting at most a minute for the broker.
 *
 * Returns as wfi_store_put, or as wfi_broker_tell.
 * Context: thread or fiber; any number of callers.
 */
int wfi_store_result(struct wfi_store *store, const struct wfi_result *result, wf_deadline deadline,
                     struct wf_error *reterr);

/*
 * Stores the meta of a task, unless the one that is stored is SUCCESS, and tells who waits. Where
 * there is no connection it is tried again, with pauses that grow to a second.
 *
 * ret_stored   whether it was; may be NULL
 *
 * Returns 0, or
 *   -ETIMEDOUT, -ECANCELED   it may be stored, or not
 *   -EACCES, -EREMOTEIO      the server does not take it
 *   -ECONNREFUSED, ...       of the last attempt, when there were retries_max of them
 *   -ENOMEM
 * Context: thread or fiber; any number of callers.
 */
int wfi_store_put(struct wfi_store *store, const char *task_id, const char *meta, size_t len,
                  bool *ret_stored, wf_deadline deadline, struct wf_error *reterr);

/*
 * Sends commands that do no harm when they are sent twice, and waits for their answers. The batch
 * stays as it is.
 *
 * ret_answer   receives the answers, none of which is an error; to be given to
 *              wfi_redis_answer_fini. May be NULL
 *
 * Returns as wfi_store_put. Context: the same.
 */
int wfi_store_call(struct wfi_store *store, const struct wfi_redis_batch *batch,
                   struct wfi_redis_answer *ret_answer, wf_deadline deadline,
                   struct wf_error *reterr);

/* For such commands: what is in front of all keys, and how many seconds keys are kept, "0" for
 * ever. */
const char *wfi_store_prefix(const struct wfi_store *store);
const char *wfi_store_expires(const struct wfi_store *store);

/* Closes it; nobody is inside a call any more. NULL is fine. */
void wfi_store_destroy(struct wfi_store *store);

#endif
