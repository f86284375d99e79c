/* SPDX-License-Identifier: MIT */
/*
 * Who does the work on a connection that many use: the callers themselves, so that it needs no
 * thread and no fiber of its own.
 *
 *  1. Every batch is a `pending` in the list, in the order in which its bytes were put into `out`.
 *     Both happen under the lock at once; so replies belong to the pendings from the front.
 *  2. One caller at a time writes (`writing`): it takes all of `out`, also what others added
 *     while it wrote. It cannot be cancelled then, as half a command would break the connection.
 *  3. One caller at a time reads (`reading`): the leader. It gives each reply to the pending it
 *     belongs to and wakes who waits for that. When its own is complete, or it gives up, it wakes
 *     the first that still waits, which becomes the leader: whoever leaves while nobody reads does
 *     that, so no waiting caller is left without somebody who reads.
 *  4. A pending is freed by its caller, or, when that has given up (`left`), by the leader that
 *     completes it, or by the end of the connection.
 *  5. `broken` is set once. Whoever sets it ends all pendings, and shuts the stream down, so that a
 *     leader or writer that is inside a call comes out of it.
 */
#include "celery/broker/redis.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <weft/event.h>
#include <weft/mutex.h>
#include <weft/scope.h>
#include <weft/stream.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "base/list.h"

#define READ_BYTES ((size_t)32 * 1024)
/* A buffer that a large message made larger is given back. */
#define KEPT_BYTES ((size_t)1024 * 1024)

struct pending {
    struct wfi_link link;
    struct wf_event woken; /* complete, broken, or to lead */
    bool complete;
    bool left; /* nobody waits any more */
    int err;
    size_t count, got;
    redisReply *replies[];
};

struct wfi_redis {
    struct wf_stream *stream;
    redisReader *reader; /* the leader's */
    char *in;
    int64_t write_ns;
    size_t reply_bytes_max;
    size_t reply_bytes; /* fed since the reader was last empty; the leader's */
    struct wf_mutex lock;
    /* under the lock */
    struct wfi_buffer out;
    struct wfi_buffer sending; /* the writer's */
    struct wfi_list pendings;
    bool writing, reading;
    WFI_ATOMIC(int) broken;
};

/* Nothing is waited for under the lock, so that taking it is no wait to be cancelled. */
static void lock(struct wfi_redis *redis)
{
    struct wf_shield shield;
    wf_shield_enter(&shield, WF_FOREVER);
    int err = wf_mutex_lock(&redis->lock, WF_FOREVER);
    wfi_assert(!err, "shielded and without a deadline, a lock is always had");
    wf_shield_leave(&shield);
}

static void unlock(struct wfi_redis *redis)
{
    wf_mutex_unlock(&redis->lock);
}

/* ---- batches ---- */

static void add_formatted(struct wfi_redis_batch *batch, char *text, long long len)
{
    if (len < 0 || wfi_buffer_append(&batch->bytes, text, (size_t)len))
        batch->err = -ENOMEM;
    else
        batch->count++;
    if (len >= 0)
        redisFreeCommand(text);
}

void wfi_redis_add(struct wfi_redis_batch *batch, const char *format, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, format);
    int len = redisvFormatCommand(&text, format, args);
    va_end(args);
    wfi_assert(len != -2, "the format of a command is right");
    add_formatted(batch, text, len);
}

void wfi_redis_add_words(struct wfi_redis_batch *batch, size_t count, const char *const *words,
                         const size_t *lens)
{
    char *text = NULL;
    int len = redisFormatCommandArgv(&text, (int)count, (const char **)(uintptr_t)words, lens);
    add_formatted(batch, text, len);
}

void wfi_redis_batch_fini(struct wfi_redis_batch *batch)
{
    wfi_buffer_reset(&batch->bytes);
    *batch = (struct wfi_redis_batch){0};
}

void wfi_redis_answer_fini(struct wfi_redis_answer *answer)
{
    for (size_t i = 0; i < answer->count; i++)
        freeReplyObject(answer->replies[i]);
    wfi_free(answer->replies);
    *answer = (struct wfi_redis_answer){0};
}

/* ---- pendings; all under the lock ---- */

static struct pending *create_pending(size_t count)
{
    struct pending *p = wfi_zalloc(sizeof *p + count * sizeof *p->replies);
    if (p) {
        wf_event_init(&p->woken);
        p->count = count;
    }
    return p;
}

static void destroy_pending(struct pending *p)
{
    for (size_t i = 0; i < p->got; i++)
        freeReplyObject(p->replies[i]);
    wf_event_fini(&p->woken);
    wfi_free(p);
}

static struct pending *first_pending(struct wfi_redis *redis)
{
    struct wfi_link *link = wfi_list_first(&redis->pendings);
    return link ? wfi_container_of(link, struct pending, link) : NULL;
}

/* It is the first of the list, and has all its replies, or will get no more. */
static void end_pending(struct pending *p, int err)
{
    wfi_list_remove(&p->link);
    p->err = err;
    p->complete = true;
    if (p->left)
        destroy_pending(p);
    else
        wf_event_set(&p->woken);
}

static void break_off(struct wfi_redis *redis, int err)
{
    int whole = 0;
    struct pending *p;
    if (!wfi_cas(&redis->broken, &whole, err))
        return;
    (void)wf_stream_shutdown(redis->stream, WF_SHUTDOWN_BOTH);
    while ((p = first_pending(redis)))
        end_pending(p, err);
}

/* Somebody leaves: see 3 at the top. */
static void hand_over(struct wfi_redis *redis)
{
    struct wfi_link *link = redis->reading ? NULL : wfi_list_first(&redis->pendings);
    for (; link; link = wfi_list_next(&redis->pendings, link)) {
        struct pending *p = wfi_container_of(link, struct pending, link);
        if (!p->left) {
            wf_event_set(&p->woken);
            return;
        }
    }
}

/* ---- reading and writing; under the lock, which they give up meanwhile ---- */

/* Returns 0 or an error with which the connection is broken. */
static int take_replies(struct wfi_redis *redis)
{
    for (;;) {
        void *reply = NULL;
        if (redisReaderGetReply(redis->reader, &reply) != REDIS_OK)
            return redis->reader->err == REDIS_ERR_OOM ? -ENOMEM : WF_EPROTOCOL;
        if (!reply)
            return 0;
        redis->reply_bytes = 0;
        struct pending *p = first_pending(redis);
        if (!p) {
            freeReplyObject(reply);
            return WF_EPROTOCOL; /* an answer to nothing */
        }
        p->replies[p->got++] = reply;
        if (p->got == p->count)
            end_pending(p, 0);
    }
}

/* Feeds the reader with what comes. Returns 0, or why nothing did. Without the lock. */
static int read_bytes(struct wfi_redis *redis, wf_deadline deadline)
{
    ssize_t n = wf_stream_read(redis->stream, redis->in, READ_BYTES, deadline);
    if (n <= 0)
        return n ? (int)n : WF_ESHORT;
    redis->reply_bytes += (size_t)n;
    if (redis->reply_bytes > redis->reply_bytes_max)
        return WF_ETOOBIG;
    if (redisReaderFeed(redis->reader, redis->in, (size_t)n) != REDIS_OK)
        return -ENOMEM;
    return 0;
}

/* As the leader. Returns 0, -ETIMEDOUT or -ECANCELED; other errors break the connection. */
static int read_some(struct wfi_redis *redis, wf_deadline deadline)
{
    redis->reading = true;
    unlock(redis);
    int err = read_bytes(redis, deadline);
    lock(redis);
    redis->reading = false;
    if (err == -ETIMEDOUT || err == -ECANCELED)
        return err;
    if (!err)
        err = take_replies(redis);
    if (err)
        break_off(redis, err);
    return 0;
}

static void write_all(struct wfi_redis *redis)
{
    redis->writing = true;
    while (redis->out.len && !wfi_load(&redis->broken)) {
        struct wfi_buffer filled = redis->out;
        redis->out = redis->sending;
        redis->sending = filled;
        unlock(redis);
        int err = 0;
        WF_SHIELD(WF_FOREVER) {
            err = wf_stream_write(redis->stream, redis->sending.data, redis->sending.len,
                                  wf_after(redis->write_ns));
        }
        lock(redis);
        if (redis->sending.size > KEPT_BYTES)
            wfi_buffer_reset(&redis->sending);
        wfi_buffer_clear(&redis->sending);
        if (err)
            break_off(redis, err);
    }
    redis->writing = false;
}

/* ---- calls ---- */

static int tell(struct wf_error *reterr, int err)
{
    return wf_error_set(reterr, err, "the connection to Redis: %s", wf_strerror(err));
}

/* Puts the batch into `out`, which may take its bytes away, with its pending in the list. Returns 0
 * or why not. */
static int enqueue(struct wfi_redis *redis, struct wfi_redis_batch *batch, struct pending *p)
{
    int err = wfi_load(&redis->broken);
    if (!err && !redis->out.len && batch->bytes.len > KEPT_BYTES) { /* it is not held twice */
        struct wfi_buffer empty = redis->out;
        redis->out = batch->bytes;
        batch->bytes = empty;
    } else if (!err) {
        err = wfi_buffer_append(&redis->out, batch->bytes.data, batch->bytes.len);
    }
    if (!err && p)
        wfi_list_push_back(&redis->pendings, &p->link);
    return err;
}

/* Until its replies have come, or it gives up. Under the lock. */
static int wait_for(struct wfi_redis *redis, struct pending *p, wf_deadline deadline)
{
    int err = 0;
    while (!p->complete && !err) {
        if (!redis->reading) {
            err = read_some(redis, deadline);
            continue;
        }
        unlock(redis);
        err = wf_event_wait(&p->woken, deadline);
        lock(redis);
        if (!p->complete)
            wf_event_clear(&p->woken);
    }
    return p->complete ? p->err : err;
}

/* Whether an error begins with `word`; that of a command in a script has it inside before Redis
 * 7. */
static bool says(const char *text, const char *word)
{
    const size_t len = strlen(word);
    if (strncmp(text, word, len) == 0)
        return true;
    if (strncmp(text, "ERR Error running script", 24) != 0)
        return false;
    for (const char *at = text; (at = strchr(at, '-')); at++)
        if (strncmp(at + 1, word, len) == 0)
            return true;
    return false;
}

/* Of a server that starts, is being replaced, or is full: later it may carry the command out. */
static bool is_passing(const char *text)
{
    static const char *const words[] = {"LOADING ",
                                        "MASTERDOWN ",
                                        "BUSY ",
                                        "READONLY ",
                                        "UNBLOCKED ",
                                        "TRYAGAIN ",
                                        "OOM ",
                                        "NOSCRIPT ",
                                        "MISCONF ",
                                        "NOREPLICAS ",
                                        "ERR max number of clients "};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (says(text, words[i]))
            return true;
    return false;
}

/* The first error among the answers. A server that has become a replica takes nothing more, and
 * it is another that its name leads to by and by: the connection is broken off. */
static int first_error(struct wfi_redis *redis, const struct wfi_redis_answer *answer,
                       struct wf_error *reterr)
{
    for (size_t i = 0; i < answer->count; i++) {
        const redisReply *reply = answer->replies[i];
        if (reply->type != REDIS_REPLY_ERROR)
            continue;
        if (says(reply->str, "READONLY "))
            wfi_redis_break(redis);
        return wf_error_set(reterr, is_passing(reply->str) ? -EAGAIN : -EREMOTEIO,
                            "Redis answered: %.200s", reply->str);
    }
    return 0;
}

/* The batch goes out, its replies come back. */
static int exchange(struct wfi_redis *redis, struct wfi_redis_batch *batch,
                    struct wfi_redis_answer *ret_answer, wf_deadline deadline)
{
    struct pending *p = create_pending(batch->count);
    redisReply **replies = p ? wfi_alloc(batch->count * sizeof *replies) : NULL;
    if (!replies) {
        if (p)
            destroy_pending(p);
        return -ENOMEM;
    }
    lock(redis);
    int err = enqueue(redis, batch, p);
    if (err) {
        unlock(redis);
        destroy_pending(p);
        wfi_free(replies);
        return err;
    }
    if (!redis->writing)
        write_all(redis);
    err = wait_for(redis, p, deadline);
    const bool mine = p->complete;
    p->left = !mine;
    hand_over(redis);
    unlock(redis);
    if (mine && !err) {
        memcpy(replies, p->replies, p->count * sizeof *replies);
        *ret_answer = (struct wfi_redis_answer){p->count, replies};
        p->got = 0;
        replies = NULL;
    }
    if (mine)
        destroy_pending(p);
    wfi_free(replies);
    return err;
}

static int check_batch(struct wfi_redis_batch *batch, struct wf_error *reterr)
{
    wfi_assert(batch->count || batch->err, "a batch holds a command");
    return batch->err ? wf_error_set(reterr, batch->err, NULL) : 0;
}

int wfi_redis_call(struct wfi_redis *redis, struct wfi_redis_batch *batch,
                   struct wfi_redis_answer *ret_answer, wf_deadline deadline,
                   struct wf_error *reterr)
{
    struct wfi_redis_answer answer = {0};
    int err = check_batch(batch, reterr);
    if (err)
        return err;
    err = exchange(redis, batch, &answer, deadline);
    wfi_redis_batch_fini(batch);
    if (err)
        return tell(reterr, err);
    err = first_error(redis, &answer, reterr);
    if (ret_answer)
        *ret_answer = answer;
    else
        wfi_redis_answer_fini(&answer);
    return err;
}

int wfi_redis_send(struct wfi_redis *redis, struct wfi_redis_batch *batch, struct wf_error *reterr)
{
    int err = check_batch(batch, reterr);
    if (err)
        return err;
    lock(redis);
    err = enqueue(redis, batch, NULL);
    if (!err && !redis->writing)
        write_all(redis);
    if (!err)
        err = wfi_load(&redis->broken);
    unlock(redis);
    wfi_redis_batch_fini(batch);
    return err ? tell(reterr, err) : 0;
}

int wfi_redis_receive(struct wfi_redis *redis, redisReply **ret_reply, wf_deadline deadline,
                      struct wf_error *reterr)
{
    for (;;) {
        void *reply = NULL;
        int err = wfi_load(&redis->broken);
        if (!err && redisReaderGetReply(redis->reader, &reply) != REDIS_OK)
            err = WF_EPROTOCOL;
        if (!err && reply) {
            redis->reply_bytes = 0;
            *ret_reply = reply;
            return 0;
        }
        if (!err)
            err = read_bytes(redis, deadline);
        if (err == -ETIMEDOUT || err == -ECANCELED)
            return wf_error_set(reterr, err, NULL);
        if (err) {
            lock(redis);
            break_off(redis, err);
            unlock(redis);
            return tell(reterr, wfi_load(&redis->broken));
        }
    }
}

/* ---- life ---- */

static int greet(struct wfi_redis *redis, const struct wfi_celery_url *url, wf_deadline deadline,
                 struct wf_error *reterr)
{
    struct wfi_redis_batch batch = {0};
    struct wfi_redis_answer answer = {0};
    if (url->user[0])
        wfi_redis_add(&batch, "AUTH %s %s", url->user, url->password);
    else if (url->password[0])
        wfi_redis_add(&batch, "AUTH %s", url->password);
    wfi_redis_add(&batch, "SELECT %d", url->database);
    int err = wfi_redis_call(redis, &batch, &answer, deadline, reterr);
    for (size_t i = 0; err == -EREMOTEIO && i < answer.count; i++) {
        const char *text = answer.replies[i]->str;
        if (answer.replies[i]->type == REDIS_REPLY_ERROR &&
            (!strncmp(text, "NOAUTH", 6) || !strncmp(text, "WRONGPASS", 9) ||
             !strncmp(text, "ERR AUTH", 8) || !strncmp(text, "ERR invalid password", 20)))
            err = -EACCES;
    }
    if (err == -EACCES && reterr)
        reterr->code = err;
    wfi_redis_answer_fini(&answer);
    wfi_redis_batch_fini(&batch);
    return err;
}

int wfi_redis_open(const struct wfi_celery_url *url, const struct wfi_redis_options *options,
                   struct wfi_redis **ret_redis, wf_deadline deadline, struct wf_error *reterr)
{
    char shown[WFI_CELERY_URL_BYTES];
    struct wfi_redis *redis = wfi_zalloc(sizeof *redis);
    if (!redis)
        return wf_error_set(reterr, -ENOMEM, NULL);
    wf_mutex_init(&redis->lock);
    redis->write_ns = options && options->write_ns ? options->write_ns : WF_SECONDS(30);
    redis->reply_bytes_max =
        options && options->reply_bytes_max ? options->reply_bytes_max : (size_t)512 * 1024 * 1024;
    redis->in = wfi_alloc(READ_BYTES);
    redis->reader = redisReaderCreate();
    int err = redis->in && redis->reader ? 0 : wf_error_set(reterr, -ENOMEM, NULL);
    if (!err)
        err = wf_dial(url->endpoint, &(struct wf_stream_options){.keepalive_s = 30}, &redis->stream,
                      deadline, reterr);
    if (!err)
        err = greet(redis, url, deadline, reterr);
    if (err) {
        wfi_redis_close(redis);
        if (reterr)
            wf_error_prefix(reterr, "%.150s", wfi_celery_url_format(url, shown));
        return err;
    }
    *ret_redis = redis;
    return 0;
}

bool wfi_redis_is_open(const struct wfi_redis *redis)
{
    return !wfi_load(&((struct wfi_redis *)(uintptr_t)redis)->broken);
}

void wfi_redis_break(struct wfi_redis *redis)
{
    lock(redis);
    break_off(redis, -EPIPE);
    unlock(redis);
}

void wfi_redis_close(struct wfi_redis *redis)
{
    if (!redis)
        return;
    if (redis->stream)
        wfi_redis_break(redis); /* ends what nobody waits for */
    wf_stream_close(redis->stream);
    if (redis->reader)
        redisReaderFree(redis->reader);
    wfi_buffer_reset(&redis->out);
    wfi_buffer_reset(&redis->sending);
    wf_mutex_fini(&redis->lock);
    wfi_free(redis->in);
    wfi_free(redis);
}
