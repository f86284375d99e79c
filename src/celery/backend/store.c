/* SPDX-License-Identifier: MIT */
/*
 * The connection is counted: one for the store while it is the current one, one for each caller
 * inside a call. Whoever finds the current one broken takes the store's count off it and opens
 * another, under the lock, so that others wait for that one and do not open more; the last caller
 * that is still inside a call on the broken one closes it.
 *
 * The command can be sent twice without harm, which is what makes it right to send it again when
 * the connection broke and nobody knows whether it was carried out.
 */
#include "celery/backend/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/mutex.h>

#include "base/alloc.h"
#include "base/atomic.h"

/* A server that does not answer for so long has gone. */
#define CALL_NS WF_SECONDS(30)
#define CONNECT_NS WF_SECONDS(4)
/* Pauses between attempts: 0, 0.2, 0.4 ... 1 s, as Celery's (a transport's retry policy). */
#define PAUSE_STEP_NS WF_MILLISECONDS(200)
#define PAUSE_MAX_NS WF_SECONDS(1)
#define RETRIES_MAX 20
/* For a broker that is away to be there again. */
#define TELL_NS WF_SECONDS(60)

/* KEYS[1] the key and channel; ARGV the meta, and for how many seconds, 0 for ever. The old value
 * is nearly always missing; one that is no JSON is written over. What Redis alone cannot read,
 * half a pair of surrogates in a string, say, begins as all metas do. Returns 1; 0 when it was
 * left. */
static const char script[] =
    "local old = redis.call('GET', KEYS[1])\n"
    "if old then\n"
    "  local fine, meta = pcall(cjson.decode, old)\n"
    "  if not fine then meta = {status = string.match(old, '^{\"status\": \"(%u+)\", ')} end\n"
    "  if type(meta) == 'table' and meta['status'] == 'SUCCESS' then return 0 end\n"
    "end\n"
    "if ARGV[2] == '0' then redis.call('SET', KEYS[1], ARGV[1])\n"
    "else redis.call('SETEX', KEYS[1], ARGV[2], ARGV[1]) end\n"
    "redis.call('PUBLISH', KEYS[1], ARGV[1])\n"
    "return 1\n";

struct connection {
    struct wfi_redis *redis;
    WFI_ATOMIC(int) users; /* see the top */
    char sha[41];
};

struct wfi_store {
    struct wfi_broker *rpc; /* else NULL, and the rest is there */
    struct wfi_celery_url url;
    char *prefix;
    char expires[24];
    int retries_max;
    struct wf_mutex lock;
    struct connection *current; /* under the lock */
};

static void release(struct connection *c)
{
    if (wfi_fetch_sub(&c->users, 1) != 1)
        return;
    wfi_redis_close(c->redis);
    wfi_free(c);
}

static int load_script(struct connection *c, wf_deadline deadline, struct wf_error *reterr)
{
    struct wfi_redis_batch batch = {0};
    struct wfi_redis_answer answer = {0};
    wfi_redis_add(&batch, "SCRIPT LOAD %s", script);
    int err = wfi_redis_call(c->redis, &batch, &answer, deadline, reterr);
    if (!err && (answer.replies[0]->type != REDIS_REPLY_STRING || answer.replies[0]->len != 40))
        err = wf_error_set(reterr, WF_EPROTOCOL, "Redis did not load a script");
    if (!err)
        memcpy(c->sha, answer.replies[0]->str, 41);
    wfi_redis_answer_fini(&answer);
    wfi_redis_batch_fini(&batch);
    return err;
}

static int connect_once(struct wfi_store *store, struct connection **ret, wf_deadline deadline,
                        struct wf_error *reterr)
{
    struct connection *c = wfi_zalloc(sizeof *c);
    if (!c)
        return wf_error_set(reterr, -ENOMEM, NULL);
    deadline = wf_earlier(deadline, wf_after(CONNECT_NS));
    int err = wfi_redis_open(&store->url, NULL, &c->redis, deadline, reterr);
    if (!err)
        err = load_script(c, deadline, reterr);
    if (err) {
        wfi_redis_close(c->redis);
        wfi_free(c);
        return err;
    }
    wfi_store_relaxed(&c->users, 1);
    *ret = c;
    return 0;
}

/* A connection that works, as far as is known, counted for the caller. */
static int hold(struct wfi_store *store, struct connection **ret, wf_deadline deadline,
                struct wf_error *reterr)
{
    struct connection *broken = NULL;
    int err = wf_mutex_lock(&store->lock, deadline);
    if (err)
        return wf_error_set(reterr, err, NULL);
    if (store->current && !wfi_redis_is_open(store->current->redis)) {
        broken = store->current;
        store->current = NULL;
    }
    if (!store->current)
        err = connect_once(store, &store->current, deadline, reterr);
    if (!err) {
        *ret = store->current;
        wfi_fetch_add(&store->current->users, 1);
    }
    wf_mutex_unlock(&store->lock);
    if (broken)
        release(broken);
    return err;
}

struct put {
    const char *task_id, *meta;
    size_t len;
    bool stored;
};

/* By its digest, or, when the server has forgotten that (SCRIPT FLUSH), by its text. */
static int put_by(struct wfi_store *store, struct connection *c, void *arg, wf_deadline deadline,
                  struct wf_error *reterr)
{
    struct put *put = arg;
    int err = 0;
    bool again = false;
    do {
        struct wfi_redis_batch batch = {0};
        struct wfi_redis_answer answer = {0};
        wfi_redis_add(&batch,
                      again ? "EVAL %s 1 %s" WFI_STORE_KEY "%s %b %s"
                            : "EVALSHA %s 1 %s" WFI_STORE_KEY "%s %b %s",
                      again ? script : c->sha, store->prefix, put->task_id, put->meta, put->len,
                      store->expires);
        err = wfi_redis_call(c->redis, &batch, &answer, deadline, reterr);
        again = !again && err && answer.count == 1 && answer.replies[0]->str &&
                strncmp(answer.replies[0]->str, "NOSCRIPT", 8) == 0;
        if (!err)
            put->stored = answer.replies[0]->integer == 1;
        wfi_redis_answer_fini(&answer);
        wfi_redis_batch_fini(&batch);
    } while (again);
    return err;
}

static bool is_final(int err)
{
    return err == -ECANCELED || err == -ENOMEM || err == -EREMOTEIO || err == -EACCES;
}

/* Calls `by` until it has an answer. */
static int attempt_all(struct wfi_store *store,
                       int (*by)(struct wfi_store *store, struct connection *c, void *arg,
                                 wf_deadline deadline, struct wf_error *reterr),
                       void *arg, wf_deadline deadline, struct wf_error *reterr)
{
    struct wf_error unwanted;
    reterr = reterr ? reterr : &unwanted;
    for (int attempt = 0;; attempt++) {
        struct connection *c = NULL;
        int err = hold(store, &c, deadline, reterr);
        if (!err) {
            wf_deadline limit = wf_earlier(deadline, wf_after(CALL_NS));
            err = by(store, c, arg, limit, reterr);
            if (err == -ETIMEDOUT && limit.ns < deadline.ns)
                wfi_redis_break(c->redis); /* it hangs: the next caller opens another */
            release(c);
        }
        if (!err || is_final(err) || attempt == store->retries_max || wf_remaining(deadline) == 0)
            return err;
        int64_t pause = PAUSE_STEP_NS * attempt;
        wf_deadline until = wf_after(pause > PAUSE_MAX_NS ? PAUSE_MAX_NS : pause);
        if (wf_sleep(wf_earlier(deadline, until)))
            return wf_error_set(reterr, -ECANCELED, NULL);
    }
}

int wfi_store_put(struct wfi_store *store, const char *task_id, const char *meta, size_t len,
                  bool *ret_stored, wf_deadline deadline, struct wf_error *reterr)
{
    struct put put = {task_id, meta, len, false};
    int err = attempt_all(store, put_by, &put, deadline, reterr);
    if (!err && ret_stored)
        *ret_stored = put.stored;
    return err;
}

struct call {
    const struct wfi_redis_batch *batch;
    struct wfi_redis_answer *answer;
};

static int call_by(struct wfi_store *store, struct connection *c, void *arg, wf_deadline deadline,
                   struct wf_error *reterr)
{
    struct call *call = arg;
    struct wfi_redis_batch copy = {.count = call->batch->count, .err = call->batch->err};
    (void)store;
    if (!copy.err)
        copy.err = wfi_buffer_append(&copy.bytes, call->batch->bytes.data, call->batch->bytes.len);
    struct wfi_redis_answer answer = {0};
    int err = wfi_redis_call(c->redis, &copy, &answer, deadline, reterr);
    if (err || !call->answer)
        wfi_redis_answer_fini(&answer);
    else
        *call->answer = answer;
    wfi_redis_batch_fini(&copy);
    return err;
}

int wfi_store_call(struct wfi_store *store, const struct wfi_redis_batch *batch,
                   struct wfi_redis_answer *ret_answer, wf_deadline deadline,
                   struct wf_error *reterr)
{
    struct call call = {batch, ret_answer};
    return attempt_all(store, call_by, &call, deadline, reterr);
}

const char *wfi_store_prefix(const struct wfi_store *store)
{
    return store->prefix;
}

const char *wfi_store_expires(const struct wfi_store *store)
{
    return store->expires;
}

int wfi_store_create(const struct wfi_store_options *options, struct wfi_store **ret_store,
                     struct wf_error *reterr)
{
    if (options->expires_s < 0 || options->retries_max < 0)
        return wf_error_set(reterr, -EINVAL, "a store's times and counts are not negative");
    struct wfi_store *store = wfi_zalloc(sizeof *store);
    if (!store)
        return wf_error_set(reterr, -ENOMEM, NULL);
    store->url = *options->url;
    store->retries_max = options->retries_max ? options->retries_max : RETRIES_MAX;
    snprintf(store->expires, sizeof store->expires, "%lld", (long long)options->expires_s);
    wf_mutex_init(&store->lock);
    store->prefix = wfi_strdup(options->prefix ? options->prefix : "");
    if (!store->prefix) {
        wfi_store_destroy(store);
        return wf_error_set(reterr, -ENOMEM, NULL);
    }
    *ret_store = store;
    return 0;
}

int wfi_store_create_rpc(struct wfi_broker *broker, struct wfi_store **ret_store,
                         struct wf_error *reterr)
{
    struct wfi_store *store = wfi_zalloc(sizeof *store);
    if (!store)
        return wf_error_set(reterr, -ENOMEM, NULL);
    store->rpc = broker;
    wf_mutex_init(&store->lock);
    *ret_store = store;
    return 0;
}

bool wfi_store_keeps(const struct wfi_store *store)
{
    return !store->rpc;
}

int wfi_store_result(struct wfi_store *store, const struct wfi_result *result, wf_deadline deadline,
                     struct wf_error *reterr)
{
    struct wf_json_writer *w;
    const char *text;
    size_t len;
    if (store->rpc && (!result->reply_to || !result->reply_to[0]))
        return 0; /* nobody waits for it */
    int err = wfi_message_writer_create(&w);
    if (err)
        return wf_error_set(reterr, err, NULL);
    if (store->rpc)
        wfi_result_write_rpc(w, result);
    else
        wfi_result_write_redis(w, result);
    err = wf_json_writer_text(w, &text, &len);
    if (err)
        wf_error_set(reterr, err, NULL);
    else if (store->rpc)
        err = wfi_broker_tell(store->rpc,
                              &(struct wfi_broker_note){.exchange = "",
                                                        .routing_key = result->reply_to,
                                                        .correlation_id = result->task_id,
                                                        .body = text,
                                                        .len = len},
                              wf_earlier(deadline, wf_after(TELL_NS)), reterr);
    else
        err = wfi_store_put(store, result->task_id, text, len, NULL, deadline, reterr);
    wf_json_writer_destroy(w);
    return err;
}

void wfi_store_destroy(struct wfi_store *store)
{
    if (!store)
        return;
    if (store->current)
        release(store->current);
    wf_mutex_fini(&store->lock);
    wfi_free(store->prefix);
    wfi_free(store);
}
