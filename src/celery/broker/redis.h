/* SPDX-License-Identifier: MIT */
/*
 * A connection to Redis that any number of fibers and threads use at once. Commands go out in the
 * order of the calls, what several parties ask for at the same time in one write; answers come
 * back in that order (RESP2, read and written by hiredis).
 *
 *     struct wfi_redis_batch batch = {0};
 *     wfi_redis_add(&batch, "SETEX %s %d %b", key, 86400, value, value_len);
 *     wfi_redis_add(&batch, "PUBLISH %s %b", key, value, value_len);
 *     err = wfi_redis_call(redis, &batch, &answer, deadline, &error);
 *     ... answer.replies[0], answer.replies[1] ...
 *     wfi_redis_answer_fini(&answer);
 *     wfi_redis_batch_fini(&batch);
 *
 * A connection that broke stays broken: every later call gives the same error, and its owner opens
 * another. What was sent and not answered may or may not have been carried out.
 */
#ifndef WFI_CELERY_REDIS_H
#define WFI_CELERY_REDIS_H

#include <hiredis/hiredis.h>

#include <weft/error.h>
#include <weft/time.h>

#include "base/buffer.h"
#include "celery/message/url.h"

struct wfi_redis;

/* Commands that are sent together. Zeroed is empty. */
struct wfi_redis_batch {
    struct wfi_buffer bytes;
    size_t count; /* of the answers that they give */
    int err;      /* memory ran out in an add; the call will say so */
};

/* Appends a command in the form of redisCommand: blanks separate its words; %s is a text, %b bytes
 * and a size_t, %d and the like numbers. Words that hold blanks come in by %s and %b only. */
void wfi_redis_add(struct wfi_redis_batch *batch, const char *format, ...);

/* Appends a command of words that may hold anything. */
void wfi_redis_add_words(struct wfi_redis_batch *batch, size_t count, const char *const *words,
                         const size_t *lens);

void wfi_redis_batch_fini(struct wfi_redis_batch *batch);

struct wfi_redis_answer {
    size_t count;
    redisReply **replies; /* one for each command, in order */
};

void wfi_redis_answer_fini(struct wfi_redis_answer *answer);

struct wfi_redis_options {
    int64_t write_ns;       /* for the server to take what is sent: 30 s when 0 */
    size_t reply_bytes_max; /* of all replies that are not taken yet: 512 MiB when 0 */
};

/*
 * Connects, says who it is, and chooses the database.
 *
 * Returns 0, or, with a text that names the address,
 *   -EACCES      the server wants another user or password
 *   -EAGAIN      it cannot now: it starts, say
 *   -EREMOTEIO   it answered with another error
 *   WF_EPROTOCOL, WF_ESHORT, -ENOMEM, or an error of wf_dial
 */
int wfi_redis_open(const struct wfi_celery_url *url, const struct wfi_redis_options *options,
                   struct wfi_redis **ret_redis, wf_deadline deadline, struct wf_error *reterr);

/*
 * Sends the batch and waits for its answers. The batch is empty afterwards.
 *
 * ret_answer   receives the answers, to be given to wfi_redis_answer_fini; may be NULL
 *
 * Returns 0; when one of the answers is an error, -EREMOTEIO, or -EAGAIN for one that may pass (the
 * first is in `reterr`, the answers are there all the same; a connection that was told that the
 * server is a replica is broken then); or, without answers,
 *   -ETIMEDOUT, -ECANCELED   the caller stops waiting; the commands may be carried out
 *   -ECONNRESET, WF_ESHORT, WF_EPROTOCOL, -EPIPE   the connection broke, now or earlier
 *   -ENOMEM                  nothing was sent
 * Context: thread or fiber; any number of callers.
 */
int wfi_redis_call(struct wfi_redis *redis, struct wfi_redis_batch *batch,
                   struct wfi_redis_answer *ret_answer, wf_deadline deadline,
                   struct wf_error *reterr);

/*
 * For a connection that subscribes: sends the batch, without expecting answers in turn.
 * Returns 0, or an error of wfi_redis_call. Any number of callers.
 */
int wfi_redis_send(struct wfi_redis *redis, struct wfi_redis_batch *batch, struct wf_error *reterr);

/*
 * The next thing a connection that subscribes received.
 *
 * ret_reply   receives it, to be given to freeReplyObject
 *
 * Returns 0, or -ETIMEDOUT, -ECANCELED, or the error with which the connection broke. One caller
 * at a time, and never on a connection that is used with call.
 */
int wfi_redis_receive(struct wfi_redis *redis, redisReply **ret_reply, wf_deadline deadline,
                      struct wf_error *reterr);

/* Whether the connection still works, as far as is known. Any caller, never blocks. */
bool wfi_redis_is_open(const struct wfi_redis *redis);

/*
 * Breaks the connection off: callers that wait, and later ones, get -EPIPE.
 * Context: any, never blocks.
 */
void wfi_redis_break(struct wfi_redis *redis);

/* Closes it; nobody is inside a call any more. NULL is fine. */
void wfi_redis_close(struct wfi_redis *redis);

#endif
