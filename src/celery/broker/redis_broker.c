/* SPDX-License-Identifier: MIT */
/*
 * Who does what:
 *
 *     run        connects; while a connection lasts it is the scope of the fibers below
 *       sender     sends what was acknowledged, all that there is in one command
 *       warden     renews what is held, and puts back what others lost
 *       watchers   one for each list of each queue, with a connection of its own
 *       listener   where there is a channel to listen to, with a connection of its own
 *     take       the consumer's: moves messages from the lists, by a script, in one step
 *
 * Waiting for a message: a script cannot wait, and what waits (BRPOP) takes the message off its
 * list before it is kept anywhere. So a watcher waits with BLMOVE from a list's right end to the
 * same end, which changes nothing and returns once there is something. (BRPOPLPUSH before Redis
 * 6.2: a message that waits then goes behind the others.)
 *
 *     take                                 watcher
 *       clear arrived                        wait for empty
 *       run the script: nothing              BLMOVE, returns when the list is not empty
 *       set empty                            clear empty
 *       wait for arrived                     set arrived
 *
 * A message that comes after the script has run ends a BLMOVE, now or as soon as it begins, as
 * nobody but take empties the lists for this process; so `arrived` is set after it was cleared.
 * When another worker was quicker, take finds nothing and goes round once more.
 *
 * Messages: live (taken), then acked (the sender has to tell), then sending, then freed. They stay
 * in these lists across connections: the tags are the server's, not the connection's.
 *
 * The connection is used through hold and release; run takes it away first, and closes it when
 * nobody holds it any more.
 */
#include "celery/broker/redis_broker.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <weft/event.h>
#include <weft/mutex.h>
#include <weft/scope.h>
#include <weft/task.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "celery/broker/redis_keys.h"
#include "celery/message/uuid.h"

#define CONNECT_NS WF_SECONDS(4)
/* Pauses between attempts to connect: 2, 4, 6 ... s, as Celery's. */
#define PAUSE_STEP_NS WF_SECONDS(2)
#define PAUSE_MAX_NS WF_SECONDS(32)
/* For sending what was acknowledged when run is cancelled. */
#define LAST_NS WF_SECONDS(5)
/* Tags in one command. */
#define TAGS_MAX 500
/* Of an act whose connection broke: so often again, and a pause where the server cannot now. */
#define ACTS_MAX 3
#define ACT_PAUSE_NS WF_MILLISECONDS(200)
/* A queue of a server that refuses to wait is looked at so often. */
#define REFUSED_PAUSE_NS WF_SECONDS(1)
/* Lost messages looked at in one go. */
#define RESTORE_MAX 100

/* Those that are loaded with each connection, as they are sent all the time, and go out by their
 * digests. The others go out as texts: a server that has forgotten its scripts still takes them. */
enum { TAKE, ACKNOWLEDGE, LOADED };

static const char *const loaded[LOADED] = {
    [TAKE] = wfi_redis_script_take,
    [ACKNOWLEDGE] = wfi_redis_script_acknowledge,
};

struct queue {
    struct wfi_link link;
    char *name;
    char *keys[WFI_REDIS_STEPS];
    bool watched[WFI_REDIS_STEPS]; /* there is a watcher */
    bool removed;                  /* its name stays, as messages point to it */
};

struct binding {
    struct wfi_link link;
    bool sent; /* by this connection */
    char *key;
    struct wfi_buffer member;
};

struct wfi_redis_broker {
    struct wfi_celery_url url;
    struct wfi_redis_broker_options options;
    char *prefix, *unacked, *unacked_index, *listen;
    struct wfi_uuids uuids;
    struct wf_mutex lock;
    /* under the lock */
    struct wfi_redis *redis; /* NULL while there is none */
    int holders;
    int fatal;
    struct wf_error fatal_error;
    struct wfi_list queues, bindings;
    size_t turn;           /* which queue is read first */
    struct wfi_list live;  /* messages, by `live`, as in the next two */
    struct wfi_list acked; /* to be told */
    struct wfi_list sending;
    bool ended;
    char shas[LOADED][41];    /* run writes them before the connection is there */
    struct wf_event up;       /* there is a connection, or run has ended */
    struct wf_event released; /* nobody holds the connection */
    struct wf_event changed;  /* run: a queue was added, or something is fatal */
    struct wf_event to_send;  /* the sender */
    struct wf_event empty, arrived;
};

WF_TASK(wf_none, wfi_redis_sender, (struct wfi_redis_broker *, broker), (struct wfi_redis *, redis))
WF_TASK(wf_none, wfi_redis_warden, (struct wfi_redis_broker *, broker), (struct wfi_redis *, redis))
WF_TASK(wf_none, wfi_redis_watcher, (struct wfi_redis_broker *, broker), (struct queue *, queue),
        (int, step))
WF_TASK(wf_none, wfi_redis_listener, (struct wfi_redis_broker *, broker))

/* Nothing is waited for under the lock, so that taking it is no wait to be cancelled. */
static void lock(struct wfi_redis_broker *broker)
{
    struct wf_shield shield;
    wf_shield_enter(&shield, WF_FOREVER);
    int err = wf_mutex_lock(&broker->lock, WF_FOREVER);
    wfi_assert(!err, "shielded and without a deadline, a lock is always had");
    wf_shield_leave(&shield);
}

static void unlock(struct wfi_redis_broker *broker)
{
    wf_mutex_unlock(&broker->lock);
}

/* ---- the connection ---- */

/* NULL when there is none. */
static struct wfi_redis *hold(struct wfi_redis_broker *broker)
{
    lock(broker);
    struct wfi_redis *redis = broker->redis;
    if (redis)
        broker->holders++;
    unlock(broker);
    return redis;
}

static void release(struct wfi_redis_broker *broker)
{
    lock(broker);
    if (--broker->holders == 0)
        wf_event_set(&broker->released);
    unlock(broker);
}

/* What will not go away by connecting anew. */
static bool is_fatal(int err)
{
    return err == -EREMOTEIO || err == -EACCES;
}

/* The connection does not work any more: run is to connect anew, and nobody uses it meanwhile. By
 * one who holds it, or by run. */
static void abandon(struct wfi_redis_broker *broker, struct wfi_redis *redis)
{
    wfi_redis_break(redis);
    lock(broker);
    if (broker->redis == redis) {
        broker->redis = NULL;
        wf_event_clear(&broker->up);
    }
    unlock(broker);
    wf_event_set(&broker->changed);
}

/* What take or run asked for went wrong: run is to connect anew, or to give up. */
static void report(struct wfi_redis_broker *broker, struct wfi_redis *redis,
                   const struct wf_error *error)
{
    if (is_fatal(error->code)) {
        lock(broker);
        if (!broker->fatal) {
            broker->fatal = error->code;
            broker->fatal_error = *error;
        }
        unlock(broker);
    }
    abandon(broker, redis);
}

static wf_deadline call_limit(const struct wfi_redis_broker *broker)
{
    return wf_after(broker->options.silence_ns);
}

/* Makes it the connection that others use, or, with NULL, takes it away from them. */
static void replace(struct wfi_redis_broker *broker, struct wfi_redis *redis)
{
    lock(broker);
    broker->redis = redis;
    if (redis)
        wf_event_set(&broker->up);
    else
        wf_event_clear(&broker->up);
    wf_event_clear(&broker->released);
    bool held = !redis && broker->holders > 0;
    unlock(broker);
    while (held) {
        WF_SHIELD(WF_FOREVER) {
            int err = wf_event_wait(&broker->released, WF_FOREVER);
            wfi_assert(!err, "shielded and without a deadline, an event is always had");
        }
        lock(broker);
        held = broker->holders > 0;
        unlock(broker);
    }
}

static int load_scripts(struct wfi_redis_broker *broker, struct wfi_redis *redis,
                        wf_deadline deadline, struct wf_error *reterr)
{
    struct wfi_redis_batch batch = {0};
    struct wfi_redis_answer answer = {0};
    for (int i = 0; i < LOADED; i++)
        wfi_redis_add(&batch, "SCRIPT LOAD %s", loaded[i]);
    int err = wfi_redis_call(redis, &batch, &answer, deadline, reterr);
    for (size_t i = 0; !err && i < LOADED; i++) {
        const redisReply *reply = answer.replies[i];
        if (reply->type == REDIS_REPLY_STRING && reply->len < sizeof broker->shas[i])
            memcpy(broker->shas[i], reply->str, reply->len + 1);
        else
            err = wf_error_set(reterr, WF_EPROTOCOL, "Redis did not load a script");
    }
    wfi_redis_answer_fini(&answer);
    wfi_redis_batch_fini(&batch);
    return err;
}

static int connect_once(struct wfi_redis_broker *broker, struct wfi_redis **ret_redis,
                        struct wf_error *reterr)
{
    wf_deadline deadline = wf_after(CONNECT_NS);
    struct wfi_redis *redis;
    int err = wfi_redis_open(&broker->url, NULL, &redis, deadline, reterr);
    if (err)
        return err;
    err = load_scripts(broker, redis, deadline, reterr);
    if (err)
        wfi_redis_close(redis);
    else
        *ret_redis = redis;
    return err;
}

/* ---- commands ---- */

/* Words of a command; memory that ran out is remembered. */
struct words {
    struct wfi_buffer texts; /* pointers */
    struct wfi_buffer lens;
    size_t count;
    bool failed;
};

static void add_bytes(struct words *words, const char *text, size_t len)
{
    words->failed |= wfi_buffer_append(&words->texts, &text, sizeof text) ||
                     wfi_buffer_append(&words->lens, &len, sizeof len);
    words->count++;
}

static void add(struct words *words, const char *text)
{
    add_bytes(words, text, strlen(text));
}

/* The words up to the keys that all scripts have; `how` is EVAL, or EVALSHA with a digest. */
static void add_script(struct words *words, const struct wfi_redis_broker *broker, const char *how,
                       const char *script, const char *key_count)
{
    add(words, how);
    add(words, script);
    add(words, key_count);
    add(words, broker->unacked);
    add(words, broker->unacked_index);
}

static void add_to_batch(struct words *words, struct wfi_redis_batch *batch)
{
    if (words->failed)
        batch->err = -ENOMEM;
    else
        wfi_redis_add_words(batch, words->count, (const char *const *)(void *)words->texts.data,
                            (const size_t *)(void *)words->lens.data);
    wfi_buffer_reset(&words->texts);
    wfi_buffer_reset(&words->lens);
    *words = (struct words){0};
}

/* Seconds since 1970, as Python's repr of a float has them. */
#define TIME_BYTES 40
static const char *seconds(char out[TIME_BYTES], int64_t ago_ns)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    int64_t us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 - ago_ns / 1000;
    snprintf(out, TIME_BYTES, "%lld.%06lld", (long long)(us / 1000000), (long long)(us % 1000000));
    return out;
}

/* ---- messages ---- */

static void destroy_message(struct wfi_redis_message *message)
{
    wfi_free(message->tag);
    wfi_free(message->text);
    wfi_free(message);
}

static struct wfi_redis_message *message_of(struct wfi_link *live)
{
    return wfi_container_of(live, struct wfi_redis_message, live);
}

static char *copy(const char *text, size_t len)
{
    char *to = wfi_alloc(len + 1);
    if (to) {
        memcpy(to, text, len);
        to[len] = '\0';
    }
    return to;
}

static struct wfi_redis_message *create_message(const redisReply *tag, const redisReply *text,
                                                const char *queue)
{
    struct wfi_redis_message *message = wfi_zalloc(sizeof *message);
    if (!message)
        return NULL;
    message->tag = copy(tag->str, tag->len);
    message->text = copy(text->str, text->len);
    message->len = text->len;
    message->queue = queue;
    if (message->tag && message->text)
        return message;
    destroy_message(message);
    return NULL;
}

void wfi_redis_broker_acknowledge(struct wfi_redis_broker *broker,
                                  struct wfi_redis_message *message)
{
    wfi_free(message->text);
    message->text = NULL;
    lock(broker);
    wfi_list_remove(&message->live);
    wfi_list_push_back(&broker->acked, &message->live);
    unlock(broker);
    wf_event_set(&broker->to_send);
}

/* ---- queues ---- */

static struct queue *find_queue(struct wfi_redis_broker *broker, const char *name)
{
    struct wfi_link *link = wfi_list_first(&broker->queues);
    for (; link; link = wfi_list_next(&broker->queues, link)) {
        struct queue *queue = wfi_container_of(link, struct queue, link);
        if (strcmp(queue->name, name) == 0)
            return queue;
    }
    return NULL;
}

static void destroy_queue(struct queue *queue)
{
    for (size_t i = 0; i < WFI_REDIS_STEPS; i++)
        wfi_free(queue->keys[i]);
    wfi_free(queue->name);
    wfi_free(queue);
}

static struct queue *create_queue(const struct wfi_redis_broker *broker, const char *name)
{
    struct queue *queue = wfi_zalloc(sizeof *queue);
    if (!queue)
        return NULL;
    queue->name = wfi_strdup(name);
    bool whole = queue->name != NULL;
    for (size_t i = 0; i < WFI_REDIS_STEPS; i++) {
        struct wfi_buffer key = {0};
        if (!wfi_redis_queue_key(&key, broker->prefix, name, wfi_redis_steps[i]))
            queue->keys[i] = wfi_buffer_take(&key, NULL);
        wfi_buffer_reset(&key);
        whole &= queue->keys[i] != NULL;
    }
    if (whole)
        return queue;
    destroy_queue(queue);
    return NULL;
}

int wfi_redis_broker_add_queue(struct wfi_redis_broker *broker, const char *name)
{
    struct queue *fresh = create_queue(broker, name);
    int err = 0;
    if (!fresh)
        return -ENOMEM;
    lock(broker);
    struct queue *queue = find_queue(broker, name);
    if (!queue)
        wfi_list_push_back(&broker->queues, &fresh->link);
    else if (!queue->removed)
        err = -EEXIST;
    else
        queue->removed = false;
    unlock(broker);
    if (queue)
        destroy_queue(fresh);
    if (!err) {
        wf_event_set(&broker->changed);
        wf_event_set(&broker->arrived); /* there may be something in it */
    }
    return err;
}

int wfi_redis_broker_remove_queue(struct wfi_redis_broker *broker, const char *name)
{
    lock(broker);
    struct queue *queue = find_queue(broker, name);
    int err = queue && !queue->removed ? 0 : -ENOENT;
    if (!err)
        queue->removed = true;
    unlock(broker);
    return err;
}

static void destroy_binding(struct binding *binding)
{
    wfi_buffer_reset(&binding->member);
    wfi_free(binding->key);
    wfi_free(binding);
}

static struct binding *create_binding(const struct wfi_redis_broker *broker, const char *exchange,
                                      const char *routing_key, const char *queue)
{
    struct binding *binding = wfi_zalloc(sizeof *binding);
    struct wfi_buffer key = {0};
    if (!binding)
        return NULL;
    if (!wfi_buffer_printf(&key, "%s_kombu.binding.%s", broker->prefix, exchange))
        binding->key = wfi_buffer_take(&key, NULL);
    wfi_buffer_reset(&key);
    if (binding->key && !wfi_redis_binding(&binding->member, routing_key, "", queue))
        return binding;
    destroy_binding(binding);
    return NULL;
}

/* Whether there is such a binding. Under the lock. */
static bool find_binding(struct wfi_redis_broker *broker, const struct binding *like)
{
    struct wfi_link *link = wfi_list_first(&broker->bindings);
    for (; link; link = wfi_list_next(&broker->bindings, link)) {
        const struct binding *b = wfi_container_of(link, struct binding, link);
        if (strcmp(b->key, like->key) == 0 && b->member.len == like->member.len &&
            memcmp(b->member.data, like->member.data, b->member.len) == 0)
            return true;
    }
    return false;
}

int wfi_redis_broker_bind(struct wfi_redis_broker *broker, const char *exchange,
                          const char *routing_key, const char *queue)
{
    if (strstr(routing_key, WFI_REDIS_SEPARATOR) || strstr(queue, WFI_REDIS_SEPARATOR))
        return -EINVAL;
    struct binding *binding = create_binding(broker, exchange, routing_key, queue);
    if (!binding)
        return -ENOMEM;
    lock(broker);
    const bool there = find_binding(broker, binding);
    if (!there)
        wfi_list_push_back(&broker->bindings, &binding->link);
    unlock(broker);
    if (there)
        destroy_binding(binding);
    else
        wf_event_set(&broker->changed);
    return 0;
}

static void forget_bindings(struct wfi_redis_broker *broker)
{
    lock(broker);
    struct wfi_link *link = wfi_list_first(&broker->bindings);
    for (; link; link = wfi_list_next(&broker->bindings, link))
        wfi_container_of(link, struct binding, link)->sent = false;
    unlock(broker);
}

/* Tells the server those that this connection has not told. Returns 0 or an error, and then they
 * are to be told again. */
static int send_bindings(struct wfi_redis_broker *broker, struct wfi_redis *redis,
                         struct wf_error *reterr)
{
    struct wfi_redis_batch batch = {0};
    lock(broker);
    struct wfi_link *link = wfi_list_first(&broker->bindings);
    for (; link; link = wfi_list_next(&broker->bindings, link)) {
        struct binding *binding = wfi_container_of(link, struct binding, link);
        if (!binding->sent)
            wfi_redis_add(&batch, "SADD %s %b", binding->key, binding->member.data,
                          binding->member.len);
        binding->sent = true;
    }
    unlock(broker);
    int err = batch.count || batch.err
                  ? wfi_redis_call(redis, &batch, NULL, call_limit(broker), reterr)
                  : 0;
    wfi_redis_batch_fini(&batch);
    if (err)
        forget_bindings(broker);
    return err;
}

/* ---- taking ---- */

/* The queues as they stand, those in use, the next one first each time. Under the lock; returns
 * their number, or -ENOMEM. */
static ssize_t list_queues(struct wfi_redis_broker *broker, struct queue ***ret)
{
    size_t count = 0, skip, at = 0;
    struct wfi_link *link;
    for (link = wfi_list_first(&broker->queues); link; link = wfi_list_next(&broker->queues, link))
        count += !wfi_container_of(link, struct queue, link)->removed;
    struct queue **queues = wfi_alloc((count ? count : 1) * sizeof *queues);
    if (!queues)
        return -ENOMEM;
    skip = count ? broker->turn++ % count : 0;
    for (link = wfi_list_first(&broker->queues); link;
         link = wfi_list_next(&broker->queues, link)) {
        struct queue *queue = wfi_container_of(link, struct queue, link);
        if (!queue->removed)
            queues[(at++ + count - skip) % count] = queue;
    }
    *ret = queues;
    return (ssize_t)count;
}

/* Makes messages of what the script gave. Returns how many, or -ENOMEM and none. */
static int receive(struct wfi_redis_broker *broker, struct queue **queues, size_t queue_count,
                   const redisReply *taken, struct wfi_list *ret_messages)
{
    struct wfi_list fresh = {0};
    int count = 0;
    for (size_t i = 0; i + 2 < taken->elements; i += 3) {
        const redisReply *tag = taken->element[i], *text = taken->element[i + 1];
        const redisReply *key = taken->element[i + 2];
        if (tag->type != REDIS_REPLY_STRING || text->type != REDIS_REPLY_STRING ||
            key->type != REDIS_REPLY_INTEGER || key->integer < 3 || queue_count == 0)
            continue;
        size_t at = (size_t)(key->integer - 3) % queue_count; /* see take_once */
        struct wfi_redis_message *message = create_message(tag, text, queues[at]->name);
        if (!message) {
            while (wfi_list_first(&fresh))
                destroy_message(
                    wfi_container_of(wfi_list_pop_front(&fresh), struct wfi_redis_message, link));
            return -ENOMEM;
        }
        wfi_list_push_back(&fresh, &message->link);
        count++;
    }
    lock(broker);
    for (struct wfi_link *link; (link = wfi_list_pop_front(&fresh));) {
        struct wfi_redis_message *message = wfi_container_of(link, struct wfi_redis_message, link);
        wfi_list_push_back(&broker->live, &message->live);
        wfi_list_push_back(ret_messages, link);
    }
    unlock(broker);
    return count;
}

/* Returns how many messages it took, or -ENOMEM, or the error that it reported. */
static int take_once(struct wfi_redis_broker *broker, struct wfi_redis *redis, int max,
                     struct wfi_list *ret_messages)
{
    struct wfi_redis_batch batch = {0};
    struct wfi_redis_answer answer = {0};
    struct words words = {0};
    struct wf_error error = {0};
    char key_count[24], limit[24], time[TIME_BYTES], own_tag[WFI_UUID_BYTES];
    struct queue **queues;
    lock(broker);
    ssize_t count = list_queues(broker, &queues);
    unlock(broker);
    if (count < 0)
        return (int)count;
    snprintf(key_count, sizeof key_count, "%zd", 2 + count * WFI_REDIS_STEPS);
    snprintf(limit, sizeof limit, "%d", max);
    add_script(&words, broker, "EVALSHA", broker->shas[TAKE], key_count);
    for (size_t step = 0; step < WFI_REDIS_STEPS; step++)
        for (ssize_t i = 0; i < count; i++)
            add(&words, queues[i]->keys[step]);
    add(&words, seconds(time, 0));
    add(&words, limit);
    add(&words, wfi_uuid_next(&broker->uuids, own_tag));
    for (ssize_t i = 0; i < count; i++)
        add(&words, queues[i]->name);
    add_to_batch(&words, &batch);
    int err = 0;
    /* Cut off in the middle, messages would be taken by nobody. */
    WF_SHIELD(WF_FOREVER) {
        err = wfi_redis_call(redis, &batch, &answer, call_limit(broker), &error);
    }
    if (!err && answer.replies[0]->type != REDIS_REPLY_ARRAY)
        err = wf_error_set(&error, WF_EPROTOCOL, "Redis gave no list of messages");
    if (err && err != -ENOMEM)
        report(broker, redis, &error);
    else if (!err)
        err = receive(broker, queues, (size_t)count, answer.replies[0], ret_messages);
    wfi_redis_answer_fini(&answer);
    wfi_redis_batch_fini(&batch);
    wfi_free(queues);
    return err;
}

int wfi_redis_broker_take(struct wfi_redis_broker *broker, int max, struct wfi_list *ret_messages,
                          wf_deadline deadline)
{
    for (;;) {
        int err = wf_event_wait(&broker->up, deadline);
        if (err)
            return err;
        struct wfi_redis *redis = hold(broker);
        if (!redis) {
            lock(broker);
            bool ended = broker->ended;
            unlock(broker);
            if (ended)
                return -EPIPE;
            continue;
        }
        wf_event_clear(&broker->arrived);
        int count = take_once(broker, redis, max, ret_messages);
        bool open = wfi_redis_is_open(redis);
        release(broker);
        if (count > 0 || count == -ENOMEM)
            return count;
        if (open)
            wf_event_set(&broker->empty);
        /* else until run has taken the connection away: see serve */
        err = wf_event_wait(&broker->arrived, deadline);
        wf_event_clear(&broker->empty);
        if (err)
            return err;
    }
}

/* ---- watching ---- */

/* Returns whether there was something, or an error. A wait has an end, as a connection that leads
 * nowhere any more is else not told from one on which nothing happens. */
static int watch_once(struct wfi_redis_broker *broker, struct wfi_redis *redis, const char *key,
                      bool *old, struct wf_error *reterr)
{
    struct wfi_redis_batch batch = {0};
    struct wfi_redis_answer answer = {0};
    const long long s = (broker->options.silence_ns + WF_SECONDS(1) - 1) / WF_SECONDS(1);
    if (*old)
        wfi_redis_add(&batch, "BRPOPLPUSH %s %s %lld", key, key, s);
    else
        wfi_redis_add(&batch, "BLMOVE %s %s RIGHT RIGHT %lld", key, key, s);
    const wf_deadline limit = wf_after(WF_SECONDS(s) + broker->options.silence_ns);
    int err = wfi_redis_call(redis, &batch, &answer, limit, reterr);
    if (err == -EREMOTEIO && !*old && strstr(answer.replies[0]->str, "unknown command")) {
        *old = true;
        err = 0;
    } else if (!err) {
        err = answer.replies[0]->type != REDIS_REPLY_NIL;
    }
    wfi_redis_answer_fini(&answer);
    wfi_redis_batch_fini(&batch);
    return err;
}

static bool is_in_use(struct wfi_redis_broker *broker, struct queue *queue, int step)
{
    lock(broker);
    bool used = !queue->removed;
    if (!used)
        queue->watched[step] = false;
    unlock(broker);
    return used;
}

int wfi_redis_watcher(struct wf_task *self, struct wfi_redis_broker *broker, struct queue *queue,
                      int step, wf_none *ret)
{
    struct wfi_redis *redis;
    struct wf_error error = {0};
    bool old = false;
    (void)ret;
    int err = wfi_redis_open(&broker->url, NULL, &redis, wf_after(CONNECT_NS), &error);
    if (err)
        return wf_task_fail_with(self, &error);
    while (err >= 0 && is_in_use(broker, queue, step)) {
        err = wf_event_wait(&broker->empty, WF_FOREVER);
        if (err)
            break;
        err = watch_once(broker, redis, queue->keys[step], &old, &error);
        /* A full server refuses to wait, while it can be asked for what there is. */
        const bool refused = err == -EAGAIN && wfi_redis_is_open(redis);
        if (err > 0 || refused) {
            wf_event_clear(&broker->empty);
            wf_event_set(&broker->arrived);
        }
        if (refused)
            err = wf_sleep(wf_after(REFUSED_PAUSE_NS));
    }
    wfi_redis_close(redis);
    if (err >= 0)
        return 0;
    return err == -ECANCELED ? err : wf_task_fail_with(self, &error);
}
WF_TASK_DEFINE(wfi_redis_watcher)

/* ---- listening ---- */

/* Waits for one thing; where nothing comes, the server is asked for a sign of life, once. */
static int listen_once(struct wfi_redis_broker *broker, struct wfi_redis *redis, bool *asked,
                       struct wf_error *reterr)
{
    redisReply *reply;
    int err = wfi_redis_receive(redis, &reply, call_limit(broker), reterr);
    if (err == -ETIMEDOUT && !*asked) {
        struct wfi_redis_batch batch = {0};
        wfi_redis_add(&batch, "PING");
        err = wfi_redis_send(redis, &batch, reterr);
        wfi_redis_batch_fini(&batch);
        *asked = true;
        return err;
    }
    if (err)
        return err;
    *asked = false;
    if (reply->type == REDIS_REPLY_ERROR)
        err = wf_error_set(reterr, -EREMOTEIO, "%.300s", reply->str);
    else if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
             reply->element[0]->type == REDIS_REPLY_STRING &&
             strcmp(reply->element[0]->str, "message") == 0 &&
             reply->element[2]->type == REDIS_REPLY_STRING)
        broker->options.heard(broker->options.arg, reply->element[2]->str, reply->element[2]->len);
    freeReplyObject(reply);
    return err;
}

int wfi_redis_listener(struct wf_task *self, struct wfi_redis_broker *broker, wf_none *ret)
{
    struct wfi_redis *redis;
    struct wfi_redis_batch batch = {0};
    struct wf_error error = {0};
    bool asked = false;
    (void)ret;
    int err = wfi_redis_open(&broker->url, NULL, &redis, wf_after(CONNECT_NS), &error);
    if (err)
        return err == -ECANCELED ? err : wf_task_fail_with(self, &error);
    wfi_redis_add(&batch, "SUBSCRIBE %s", broker->listen);
    err = wfi_redis_send(redis, &batch, &error);
    while (!err)
        err = listen_once(broker, redis, &asked, &error);
    wfi_redis_batch_fini(&batch);
    wfi_redis_close(redis);
    return err == -ECANCELED ? err : wf_task_fail_with(self, &error);
}
WF_TASK_DEFINE(wfi_redis_listener)

/* ---- telling what was acknowledged ---- */

/* The first of `from`, up to TAGS_MAX, go over to `to`, and their tags into the command. Under the
 * lock. Returns how many. */
static int gather(struct wfi_list *from, struct wfi_list *to, struct words *words)
{
    int count = 0;
    for (struct wfi_link *link; count < TAGS_MAX && (link = wfi_list_pop_front(from)); count++) {
        wfi_list_push_back(to, link);
        add(words, message_of(link)->tag);
    }
    return count;
}

/* Sends what there is to send. Returns 0 or an error, and then it is still there. */
static int send_acknowledged(struct wfi_redis_broker *broker, struct wfi_redis *redis,
                             struct wf_error *reterr)
{
    int err = 0;
    for (int count = 1; !err && count > 0;) {
        struct wfi_redis_batch batch = {0};
        struct words words = {0};
        add_script(&words, broker, "EVALSHA", broker->shas[ACKNOWLEDGE], "2");
        lock(broker);
        count = gather(&broker->acked, &broker->sending, &words);
        unlock(broker);
        add_to_batch(&words, &batch);
        if (count)
            err = wfi_redis_call(redis, &batch, NULL, call_limit(broker), reterr);
        wfi_redis_batch_fini(&batch);
        lock(broker);
        for (struct wfi_link *link; (link = wfi_list_pop_front(&broker->sending));) {
            if (err)
                wfi_list_push_back(&broker->acked, link);
            else
                destroy_message(message_of(link));
        }
        unlock(broker);
    }
    return err;
}

int wfi_redis_sender(struct wf_task *self, struct wfi_redis_broker *broker, struct wfi_redis *redis,
                     wf_none *ret)
{
    (void)ret;
    for (;;) {
        struct wf_error error = {0};
        int err = wf_event_wait(&broker->to_send, WF_FOREVER);
        if (err)
            return err;
        wf_event_clear(&broker->to_send);
        err = send_acknowledged(broker, redis, &error);
        if (err) {
            wf_event_set(&broker->to_send); /* for the next connection */
            return err == -ECANCELED ? err : wf_task_fail_with(self, &error);
        }
    }
}
WF_TASK_DEFINE(wfi_redis_sender)

/* ---- renewing and restoring ---- */

/* Renews the time of all that is held. */
static int touch(struct wfi_redis_broker *broker, struct wfi_redis *redis, struct wf_error *reterr)
{
    struct wfi_redis_batch batch = {0};
    char time[TIME_BYTES];
    seconds(time, 0);
    lock(broker);
    struct wfi_link *link = wfi_list_first(&broker->live);
    while (link) {
        struct words words = {0};
        add_script(&words, broker, "EVAL", wfi_redis_script_touch, "2");
        add(&words, time);
        for (int i = 0; link && i < TAGS_MAX; i++) {
            add(&words, message_of(link)->tag);
            link = wfi_list_next(&broker->live, link);
        }
        add_to_batch(&words, &batch);
    }
    unlock(broker);
    int err = 0;
    if (batch.count || batch.err)
        err = wfi_redis_call(redis, &batch, NULL, call_limit(broker), reterr);
    wfi_redis_batch_fini(&batch);
    return err;
}

/* Adds the key of a queue's list, with its NUL, unless it is there. */
static int add_list(struct wfi_buffer *keys, int *count, const char *prefix, const char *queue,
                    int step, struct wf_error *reterr)
{
    struct wfi_buffer key = {0};
    int err = wfi_redis_queue_key(&key, prefix, queue, step);
    bool there = false;
    const char *old = keys->data;
    for (int i = 0; !err && i < *count && !there; i++, old += strlen(old) + 1)
        there = strcmp(old, wfi_buffer_text(&key)) == 0;
    if (!err && !there) {
        err = wfi_buffer_append(keys, wfi_buffer_text(&key), key.len + 1);
        *count += !err;
    }
    wfi_buffer_reset(&key);
    return err ? wf_error_set(reterr, err, NULL) : 0;
}

/*
 * The keys of the lists to which a message goes that was sent to `exchange`, each with its NUL, and
 * their number; 0 when no queue is bound there. With no exchange it is the queue of that name.
 */
static int find_lists(struct wfi_redis *redis, const char *prefix, const char *exchange,
                      const char *routing_key, int step, struct wfi_buffer *ret_keys,
                      int *ret_count, wf_deadline deadline, struct wf_error *reterr)
{
    struct wfi_redis_batch batch = {0};
    struct wfi_redis_answer answer = {0};
    struct wfi_buffer name = {0};
    int err = 0;
    *ret_count = 0;
    if (!exchange[0])
        return add_list(ret_keys, ret_count, prefix, routing_key, step, reterr);
    if (wfi_buffer_printf(&name, "%s_kombu.binding.%s", prefix, exchange))
        batch.err = -ENOMEM;
    else
        wfi_redis_add(&batch, "SMEMBERS %b", name.data, name.len);
    wfi_buffer_reset(&name);
    err = wfi_redis_call(redis, &batch, &answer, deadline, reterr);
    for (size_t i = 0; !err && i < answer.replies[0]->elements; i++) {
        const redisReply *member = answer.replies[0]->element[i];
        const char *queue;
        if (member->type == REDIS_REPLY_STRING &&
            wfi_redis_binding_fits(member->str, routing_key, &queue))
            err = add_list(ret_keys, ret_count, prefix, queue, step, reterr);
    }
    wfi_redis_answer_fini(&answer);
    wfi_redis_batch_fini(&batch);
    return err;
}

/* Where a message of `unacked` goes, to all queues that had it from its exchange, as with kombu;
 * without any to the one that its routing key names. Returns WF_EPARSE where that is none. */
static int find_home(struct wfi_redis_broker *broker, struct wfi_redis *redis,
                     const struct wfi_redis_restored *restored, struct wfi_buffer *ret_keys,
                     int *ret_count, struct wf_error *reterr)
{
    const int step = wfi_redis_step(restored->priority);
    int err = find_lists(redis, broker->prefix, restored->exchange, restored->routing_key, step,
                         ret_keys, ret_count, call_limit(broker), reterr);
    if (!err && *ret_count == 0)
        err = add_list(ret_keys, ret_count, broker->prefix, restored->routing_key, step, reterr);
    return err ? err : restored->exchange[0] || restored->routing_key[0] ? 0 : WF_EPARSE;
}

/* Moves it from `unacked` to the lists of these keys, each with its NUL. */
static int put_back(struct wfi_redis_broker *broker, struct wfi_redis *redis, const char *tag,
                    const struct wfi_redis_restored *restored, const char *keys, int count,
                    const char *not_after, bool front, wf_deadline deadline,
                    struct wf_error *reterr)
{
    struct wfi_redis_batch batch = {0};
    struct words words = {0};
    char key_count[24];
    snprintf(key_count, sizeof key_count, "%d", 2 + count);
    add_script(&words, broker, "EVAL", wfi_redis_script_put_back, key_count);
    for (int i = 0; i < count; i++, keys += strlen(keys) + 1)
        add(&words, keys);
    add(&words, tag);
    add_bytes(&words, restored->text, restored->len);
    add(&words, not_after);
    add(&words, front ? "right" : "left");
    add_to_batch(&words, &batch);
    int err = wfi_redis_call(redis, &batch, NULL, deadline, reterr);
    wfi_redis_batch_fini(&batch);
    return err;
}

/* A script about one tag. */
static int call_for_tag(struct wfi_redis_broker *broker, struct wfi_redis *redis,
                        const char *script, const char *time, const char *tag,
                        struct wf_error *reterr)
{
    struct wfi_redis_batch batch = {0};
    struct words words = {0};
    add_script(&words, broker, "EVAL", script, "2");
    if (time)
        add(&words, time);
    add(&words, tag);
    add_to_batch(&words, &batch);
    int err = wfi_redis_call(redis, &batch, NULL, call_limit(broker), reterr);
    wfi_redis_batch_fini(&batch);
    return err;
}

static int restore_entry(struct wfi_redis_broker *broker, struct wfi_redis *redis, const char *tag,
                         const redisReply *entry, const char *not_after, struct wf_error *reterr)
{
    struct wfi_redis_restored restored = {0};
    struct wfi_buffer keys = {0};
    char time[TIME_BYTES];
    int count = 0;
    int err = wfi_redis_restore_entry(entry->str, entry->len, &restored);
    if (err == -ENOMEM)
        wf_error_set(reterr, err, NULL);
    if (!err)
        err = find_home(broker, redis, &restored, &keys, &count, reterr);
    if (!err)
        err = put_back(broker, redis, tag, &restored, keys.data, count, not_after, false,
                       call_limit(broker), reterr);
    wfi_buffer_reset(&keys);
    wfi_redis_restored_fini(&restored);
    /* Nobody can read it, or what it is to go to is no list: it stays, and is not in the way of
     * others. */
    if (err == WF_EPARSE || err == -EREMOTEIO)
        err = call_for_tag(broker, redis, wfi_redis_script_touch, seconds(time, 0), tag, reterr);
    return err;
}

static int restore_one(struct wfi_redis_broker *broker, struct wfi_redis *redis, const char *tag,
                       const char *not_after, struct wf_error *reterr)
{
    struct wfi_redis_batch batch = {0};
    struct wfi_redis_answer answer = {0};
    wfi_redis_add(&batch, "HGET %s %s", broker->unacked, tag);
    int err = wfi_redis_call(redis, &batch, &answer, call_limit(broker), reterr);
    if (!err && answer.replies[0]->type == REDIS_REPLY_STRING)
        err = restore_entry(broker, redis, tag, answer.replies[0], not_after, reterr);
    else if (!err)
        err = call_for_tag(broker, redis, wfi_redis_script_forget, NULL, tag, reterr);
    wfi_redis_answer_fini(&answer);
    wfi_redis_batch_fini(&batch);
    return err;
}

/* Puts back what its worker has not renewed since `limit`. */
static int restore(struct wfi_redis_broker *broker, struct wfi_redis *redis, const char *limit,
                   struct wf_error *reterr)
{
    struct wfi_redis_batch batch = {0};
    struct wfi_redis_answer answer = {0};
    wfi_redis_add(&batch, "ZRANGEBYSCORE %s 0 %s LIMIT 0 %d", broker->unacked_index, limit,
                  RESTORE_MAX);
    int err = wfi_redis_call(redis, &batch, &answer, call_limit(broker), reterr);
    for (size_t i = 0; !err && i < answer.replies[0]->elements; i++) {
        const redisReply *tag = answer.replies[0]->element[i];
        if (tag->type == REDIS_REPLY_STRING)
            err = restore_one(broker, redis, tag->str, limit, reterr);
    }
    wfi_redis_answer_fini(&answer);
    wfi_redis_batch_fini(&batch);
    return err;
}

int wfi_redis_warden(struct wf_task *self, struct wfi_redis_broker *broker, struct wfi_redis *redis,
                     wf_none *ret)
{
    int64_t touch_every = broker->options.visibility_ns / 3;
    wf_deadline touch_at = WF_NOW;
    (void)ret;
    for (;;) {
        struct wf_error error = {0};
        char limit[TIME_BYTES];
        int err = 0;
        /* Before the look at the clock: when this process is stopped for a while after it, what it
         * holds is not lost for that. */
        seconds(limit, broker->options.visibility_ns);
        if (wf_now() >= touch_at.ns) {
            touch_at = wf_after(touch_every);
            err = touch(broker, redis, &error); /* before restore, which may not take ours */
        }
        if (!err)
            err = restore(broker, redis, limit, &error);
        if (err && err != -ENOMEM)
            return err == -ECANCELED ? err : wf_task_fail_with(self, &error);
        err = wf_sleep(wf_earlier(touch_at, wf_after(broker->options.restore_ns)));
        if (err)
            return err;
    }
}
WF_TASK_DEFINE(wfi_redis_warden)

int wfi_redis_broker_give_back(struct wfi_redis_broker *broker, struct wfi_redis_message *message,
                               bool front, wf_deadline deadline)
{
    struct wfi_redis_restored restored = {0};
    struct wfi_buffer entry = {0}, key = {0};
    struct wf_error error = {0};
    struct wfi_redis *redis = hold(broker);
    int err = redis ? 0 : -ENOTCONN;
    if (!err)
        err = wfi_buffer_append_byte(&entry, '[');
    if (!err)
        err = wfi_buffer_append(&entry, message->text, message->len);
    if (!err)
        err = wfi_buffer_append_text(&entry, ", \"\", \"\"]");
    if (!err)
        err = wfi_redis_restore_entry(entry.data, entry.len, &restored);
    if (!err)
        err = wfi_redis_queue_key(&key, broker->prefix, message->queue,
                                  wfi_redis_step(restored.priority));
    if (!err)
        err = put_back(broker, redis, message->tag, &restored, wfi_buffer_text(&key), 1, "", front,
                       deadline, &error);
    if (redis)
        release(broker);
    wfi_buffer_reset(&entry);
    wfi_buffer_reset(&key);
    wfi_redis_restored_fini(&restored);
    lock(broker);
    wfi_list_remove(&message->live);
    unlock(broker);
    destroy_message(message);
    return err;
}

/* ---- running ---- */

static void start_watchers(struct wfi_redis_broker *broker, struct wf_scope *scope)
{
    lock(broker);
    struct wfi_link *link = wfi_list_first(&broker->queues);
    for (; link; link = wfi_list_next(&broker->queues, link)) {
        struct queue *queue = wfi_container_of(link, struct queue, link);
        for (int step = 0; step < WFI_REDIS_STEPS && !queue->removed; step++) {
            if (!queue->watched[step])
                (void)wfi_redis_watcher_go(scope, broker, queue, step); /* fails the scope */
            queue->watched[step] = true;
        }
    }
    unlock(broker);
}

static void forget_watchers(struct wfi_redis_broker *broker)
{
    lock(broker);
    struct wfi_link *link = wfi_list_first(&broker->queues);
    for (; link; link = wfi_list_next(&broker->queues, link)) {
        struct queue *queue = wfi_container_of(link, struct queue, link);
        memset(queue->watched, 0, sizeof queue->watched);
    }
    unlock(broker);
}

/* As long as the connection lasts. Returns why it did not, -ECANCELED also where the connection was
 * found broken by somebody else. */
static int serve(struct wfi_redis_broker *broker, struct wfi_redis *redis, struct wf_error *reterr)
{
    struct wf_scope storage, *scope = wf_scope_open(&storage, NULL, WF_FOREVER);
    (void)wfi_redis_sender_go(scope, broker, redis);
    (void)wfi_redis_warden_go(scope, broker, redis);
    if (broker->listen)
        (void)wfi_redis_listener_go(scope, broker);
    replace(broker, redis);
    wf_event_set(&broker->arrived); /* take looks again */
    struct wf_error error = {0};
    int err = 0;
    while (!err && wfi_redis_is_open(redis)) {
        start_watchers(broker, scope);
        err = send_bindings(broker, redis, &error);
        if (err && err != -EAGAIN) {
            report(broker, redis, &error);
        } else { /* a server that is full has to be emptied first */
            err = wf_event_wait(&broker->changed,
                                err ? wf_after(broker->options.restore_ns) : WF_FOREVER);
            err = err == -ETIMEDOUT ? 0 : err;
        }
        wf_event_clear(&broker->changed);
    }
    wf_scope_cancel(scope);
    err = wf_scope_close(scope, reterr);
    forget_bindings(broker);
    replace(broker, NULL);
    wf_event_set(&broker->arrived); /* take waits for the next connection */
    forget_watchers(broker);
    if (wfi_redis_is_open(redis)) {
        WF_SHIELD(wf_after(LAST_NS)) {
            (void)send_acknowledged(broker, redis, NULL);
        }
    }
    return err;
}

/* Returns the error with which run ends, or 0 when it is to connect (anew). */
static int connect_and_serve(struct wfi_redis_broker *broker, int *failures,
                             struct wf_error *reterr)
{
    struct wfi_redis *redis;
    struct wf_error error = {0};
    int err = connect_once(broker, &redis, &error);
    if (!err) {
        int64_t began = wf_now();
        if (broker->options.connected)
            broker->options.connected(broker->options.arg);
        err = serve(broker, redis, &error);
        wfi_redis_close(redis);
        if (wf_now() - began > WF_SECONDS(1))
            *failures = 0;
    }
    lock(broker);
    if (broker->fatal)
        error = broker->fatal_error;
    unlock(broker);
    if (wf_checkpoint(NULL))
        return wf_error_set(reterr, -ECANCELED, NULL);
    if (err == -ECANCELED && !broker->fatal)
        wf_error_set(&error, -ECONNRESET, "the connection to Redis broke");
    if (is_fatal(error.code) || ++*failures > broker->options.retries_max) {
        if (reterr)
            *reterr = error;
        return error.code;
    }
    int64_t pause = PAUSE_STEP_NS * (*failures - 1);
    pause = pause > PAUSE_MAX_NS ? PAUSE_MAX_NS : pause;
    if (broker->options.lost)
        broker->options.lost(broker->options.arg, &error, pause);
    return pause ? wf_sleep(wf_after(pause)) : 0;
}

int wfi_redis_broker_run(struct wfi_redis_broker *broker, struct wf_error *reterr)
{
    int err = 0, failures = 0;
    while (!err)
        err = connect_and_serve(broker, &failures, reterr);
    lock(broker);
    broker->ended = true;
    unlock(broker);
    wf_event_set(&broker->up); /* take comes out */
    return err;
}

int wfi_redis_broker_create(const struct wfi_redis_broker_options *options,
                            struct wfi_redis_broker **ret_broker, struct wf_error *reterr)
{
    if (options->visibility_ns < 0 || options->restore_ns < 0 || options->silence_ns < 0 ||
        options->retries_max < 0)
        return wf_error_set(reterr, -EINVAL, "a broker's times and counts are not negative");
    struct wfi_redis_broker *broker = wfi_zalloc(sizeof *broker);
    if (!broker)
        return wf_error_set(reterr, -ENOMEM, NULL);
    int err = wfi_uuids_init(&broker->uuids);
    if (err) {
        wfi_free(broker);
        return wf_error_set(reterr, err, "no randomness: %s", wf_strerror(err));
    }
    const char *prefix = options->prefix ? options->prefix : "";
    struct wfi_buffer unacked = {0}, index = {0};
    broker->url = *options->url;
    broker->options = *options;
    if (!broker->options.visibility_ns)
        broker->options.visibility_ns = WF_SECONDS(3600);
    if (!broker->options.restore_ns)
        broker->options.restore_ns = WF_SECONDS(10);
    if (!broker->options.silence_ns)
        broker->options.silence_ns = WF_SECONDS(30);
    if (!broker->options.retries_max)
        broker->options.retries_max = 100;
    broker->prefix = wfi_strdup(prefix);
    if (!wfi_buffer_printf(&unacked, "%s%s", prefix,
                           options->unacked_key ? options->unacked_key : "unacked"))
        broker->unacked = wfi_buffer_take(&unacked, NULL);
    if (!wfi_buffer_printf(&index, "%s%s", prefix,
                           options->unacked_index_key ? options->unacked_index_key
                                                      : "unacked_index"))
        broker->unacked_index = wfi_buffer_take(&index, NULL);
    if (options->listen)
        broker->listen = wfi_strdup(options->listen);
    wfi_buffer_reset(&unacked);
    wfi_buffer_reset(&index);
    wf_mutex_init(&broker->lock);
    if (!broker->prefix || !broker->unacked || !broker->unacked_index ||
        (options->listen && !broker->listen)) {
        wfi_redis_broker_destroy(broker);
        return wf_error_set(reterr, -ENOMEM, NULL);
    }
    *ret_broker = broker;
    return 0;
}

static void destroy_messages(struct wfi_list *list)
{
    for (struct wfi_link *link; (link = wfi_list_pop_front(list));)
        destroy_message(message_of(link));
}

void wfi_redis_broker_destroy(struct wfi_redis_broker *broker)
{
    if (!broker)
        return;
    destroy_messages(&broker->live);
    destroy_messages(&broker->acked);
    for (struct wfi_link *link; (link = wfi_list_pop_front(&broker->queues));)
        destroy_queue(wfi_container_of(link, struct queue, link));
    for (struct wfi_link *link; (link = wfi_list_pop_front(&broker->bindings));)
        destroy_binding(wfi_container_of(link, struct binding, link));
    wf_event_fini(&broker->up);
    wf_event_fini(&broker->released);
    wf_event_fini(&broker->changed);
    wf_event_fini(&broker->to_send);
    wf_event_fini(&broker->empty);
    wf_event_fini(&broker->arrived);
    wf_mutex_fini(&broker->lock);
    wfi_uuids_fini(&broker->uuids);
    wfi_free(broker->prefix);
    wfi_free(broker->unacked);
    wfi_free(broker->unacked_index);
    wfi_free(broker->listen);
    wfi_free(broker);
}

/* ---- sending ---- */

/* Waits for run's connection, and holds it. */
static int wait_for_connection(struct wfi_redis_broker *broker, struct wfi_redis **ret,
                               wf_deadline deadline, struct wf_error *reterr)
{
    for (;;) {
        int err = wf_event_wait(&broker->up, deadline);
        if (err)
            return wf_error_set(reterr, err, NULL);
        *ret = hold(broker);
        if (*ret)
            return 0;
        lock(broker);
        bool ended = broker->ended;
        unlock(broker);
        if (ended)
            return wf_error_set(reterr, -EPIPE, "the broker's connection has ended");
    }
}

int wfi_redis_broker_act(struct wfi_redis_broker *broker,
                         int (*act)(void *arg, struct wfi_redis *redis, wf_deadline deadline,
                                    struct wf_error *reterr),
                         void *arg, wf_deadline deadline, struct wf_error *reterr)
{
    struct wf_error unwanted;
    reterr = reterr ? reterr : &unwanted;
    for (int tries = 0;; tries++) {
        struct wfi_redis *redis = NULL;
        int err = wait_for_connection(broker, &redis, deadline, reterr);
        if (err)
            return err;
        const wf_deadline limit = wf_earlier(deadline, call_limit(broker));
        err = act(arg, redis, limit, reterr);
        const bool hangs = err == -ETIMEDOUT && limit.ns < deadline.ns;
        const bool broke = hangs || !wfi_redis_is_open(redis);
        if (err && broke)
            abandon(broker, redis);
        release(broker);
        if (!err || err == -ECANCELED || tries == ACTS_MAX || (!broke && err != -EAGAIN))
            return err;
        int stop = broke ? 0 : wf_sleep(wf_earlier(deadline, wf_after(ACT_PAUSE_NS)));
        if (stop || wf_remaining(deadline) == 0)
            return wf_error_set(reterr, stop ? stop : -ETIMEDOUT, NULL);
    }
}

int wfi_redis_publish(struct wfi_redis *redis, const char *prefix, const char *exchange,
                      const char *routing_key, int priority, const char *text, size_t len,
                      wf_deadline deadline, struct wf_error *reterr)
{
    struct wfi_redis_batch batch = {0};
    struct wfi_buffer keys = {0};
    int count = 0;
    int err = find_lists(redis, prefix, exchange, routing_key, wfi_redis_step(priority), &keys,
                         &count, deadline, reterr);
    const char *key = keys.data;
    for (int i = 0; !err && i < count; i++, key += strlen(key) + 1)
        wfi_redis_add(&batch, "LPUSH %s %b", key, text, len);
    if (!err && !count)
        err = wf_error_set(reterr, -ENOENT, "no queue is bound to exchange %.100s with %.100s",
                           exchange, routing_key);
    if (!err)
        err = wfi_redis_call(redis, &batch, NULL, deadline, reterr);
    wfi_redis_batch_fini(&batch);
    wfi_buffer_reset(&keys);
    return err;
}
