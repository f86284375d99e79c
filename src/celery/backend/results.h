/* SPDX-License-Identifier: MIT */
/*
 * Waiting for the results of tasks: any number of fibers and threads, each for a result of its own,
 * on one connection, which subscribes on a Redis backend, and consumes from a queue over rpc://.
 *
 *     struct wfi_result_watch watch;
 *     err = wfi_results_watch(results, id, &watch, &error);    before the task is sent
 *     ... the task is sent ...
 *     err = wfi_results_wait(&watch, &result, deadline, &error);
 *     wfi_results_unwatch(&watch);
 *     ... wfi_result_value(&result, &value, &error) ...
 *     wfi_result_in_reset(&result);
 *
 * A result that was stored before the watch began is found as well. When the connection breaks,
 * another is opened, and what was stored meanwhile is found too. Over rpc:// a result comes once;
 * the last WFI_RESULTS_KEPT that nobody has watched are kept for who does, as far as there is room
 * for them in WFI_RESULTS_KEPT_BYTES.
 */
#ifndef WFI_CELERY_RESULTS_H
#define WFI_CELERY_RESULTS_H

#include <weft/event.h>
#include <weft/time.h>

#include "base/list.h"
#include "celery/broker/redis.h"
#include "celery/message/result.h"

#define WFI_RESULT_KEY "celery-task-meta-"

/* As many as Celery's client keeps; but of large ones fewer, as nobody may ever ask for them. */
#define WFI_RESULTS_KEPT 8192
#define WFI_RESULTS_KEPT_BYTES ((size_t)64 << 20)

struct wfi_results;
struct wfi_result_topic;

/* One who is interested in one result. In the caller's storage; the fields are not his. */
struct wfi_result_watch {
    struct wfi_link link; /* under the lock, as all but the event, until it has ended */
    struct wfi_results *results;
    struct wfi_result_topic *topic; /* NULL once it has ended */
    struct wf_event ended;
    /* When not NULL, called when it has ended, under the lock: it must not wait, nor call anything
     * of results. After wfi_results_unwatch it is not called any more. */
    void (*hook)(struct wfi_result_watch *watch);
    struct wfi_result_in result; /* where there was no error; the hook's, or whoever waits */
    struct wf_error error;
};

struct wfi_results_options {
    const char *reply_queue; /* rpc://: they come to this queue of a RabbitMQ; NULL: from Redis */
    struct wf_executor *on;  /* fibers, where results are read; NULL: a thread of its own */
    const char *prefix;      /* of all keys (global_keyprefix); NULL: none */
    int retries_max; /* of connecting, one after another, until who waits is told: 20 when 0 */
    int64_t
        pause_ns; /* what each pause between them is longer than the one before: 200 ms when 0 */
    int64_t check_ns; /* when Redis is silent for so long it is asked whether it is there: 30 s when
                         0 */
};

/*
 * Makes one; nothing is connected before somebody watches. The url and the prefix are copied.
 * Returns 0 or -ENOMEM.
 */
int wfi_results_create(const struct wfi_celery_url *url, const struct wfi_results_options *options,
                       struct wfi_results **ret_results, struct wf_error *reterr);

/*
 * Waits until results can come, where they go to whoever is there (rpc://): before a task is sent.
 * With Redis there is nothing to wait for.
 *
 * Returns 0, or
 *   -ETIMEDOUT, -ECANCELED
 *   -EACCES, -EREMOTEIO, -ECONNREFUSED, ...   the backend cannot be reached or used
 *   -ENOMEM, or an error of starting a thread
 * Context: thread or fiber; any number of callers.
 */
int wfi_results_ready(struct wfi_results *results, wf_deadline deadline, struct wf_error *reterr);

/* Forgets a result that came by rpc:// and that nobody has waited for. False: none is kept. */
bool wfi_results_drop(struct wfi_results *results, const char *id);

/*
 * Begins to look for the result of a task. Does not wait for the server.
 *
 * watch   storage, to be given to wfi_results_unwatch if this succeeds
 *
 * Returns 0, -ENOMEM, or an error of starting a thread.
 * Context: thread or fiber; any number of callers.
 */
int wfi_results_watch(struct wfi_results *results, const char *id, struct wfi_result_watch *watch,
                      struct wf_error *reterr);

/* The same with a hook, see struct wfi_result_watch. */
int wfi_results_watch_with(struct wfi_results *results, const char *id,
                           struct wfi_result_watch *watch,
                           void (*hook)(struct wfi_result_watch *watch), struct wf_error *reterr);

/*
 * Waits until the task has ended: SUCCESS, FAILURE or REVOKED.
 *
 * ret_result   receives the result, to be given to wfi_result_in_reset; only the first time
 *
 * Returns 0 however the task ended, or
 *   -ETIMEDOUT, -ECANCELED   not yet: it may be waited for again
 *   WF_EPARSE                what is stored is no result
 *   -EACCES, -EREMOTEIO, -ECONNREFUSED, ...   the backend cannot be reached or used
 *   -ENOMEM                  the result stays with the backend
 * Context: thread or fiber; one caller for each watch.
 */
int wfi_results_wait(struct wfi_result_watch *watch, struct wfi_result_in *ret_result,
                     wf_deadline deadline, struct wf_error *reterr);

/*
 * Ends the watch, also before there is a result. Once.
 * Context: thread or fiber; not while somebody waits.
 */
void wfi_results_unwatch(struct wfi_result_watch *watch);

/*
 * What a task that has ended gave: its value, or the error that its exception is (see
 * wfi_exception_to_error). Points into `result`. Returns 0 or that error.
 */
int wfi_result_value(const struct wfi_result_in *result, const struct wf_json_value **ret_value,
                     struct wf_error *reterr);

/*
 * For what reads results from a queue: `wfi_results_rpc` keeps a connection until it breaks, says
 * when it is there, and hands over what arrives. Returns why it ended.
 */
int wfi_results_rpc(struct wfi_results *results, const struct wfi_celery_url *url,
                    const char *queue, bool *ret_worked, struct wf_error *reterr);
void wfi_results_set_there(struct wfi_results *results, bool there);
void wfi_results_arrived(struct wfi_results *results, const char *id, const char *text, size_t len);

/* Closes the connection. Nobody watches any more. NULL is fine. Context: thread or fiber. */
void wfi_results_destroy(struct wfi_results *results);

#endif
