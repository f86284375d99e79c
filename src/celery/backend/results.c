/* SPDX-License-Identifier: MIT */
/*
 * A topic is a result that somebody watches, or whose subscription has not ended yet. A fiber on a
 * thread of its own, the reader, keeps the connection and reads; it starts with the first watch.
 *
 *  1. Redis keeps a result and publishes it in one step. So who subscribes first and asks for the
 *     key then has it by one of the two ways. The reader asks (by a second connection, as one that
 *     subscribes can do nothing else) when the answer to SUBSCRIBE has come, for all topics whose
 *     answers came meanwhile in one command.
 *  2. SUBSCRIBE and UNSUBSCRIBE are put into `batch` under the lock, and one caller at a time
 *     (`sending`) sends what is there; so they arrive in the order in which they were decided.
 *  3. `pending` counts the answers to these two that a topic still gets. While it is not 0 the
 *     answer that comes may be to a command that a later one revoked. When it becomes 0 the
 *     subscription is what the topic's watches want: with some it is asked for, with none freed.
 *  4. When the connection breaks there are no answers any more: topics without watches are freed,
 *     and for the others all begins again on the next connection.
 *  5. A connection that is silent for CHECK_NS is asked for a sign of life, and broken if there is
 *     none: what is behind a network that loses everything would be waited for until TCP gives up.
 *  6. When the reader itself ends (there was no memory to run it), all watches do, and the next one
 *     starts another.
 *  7. A watch that has ended is not touched any more once the lock is left.
 */
#include "celery/backend/results.h"

#include <errno.h>
#include <string.h>

#include <weft/fibers.h>
#include <weft/mutex.h>
#include <weft/scope.h>
#include <weft/task.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/map.h"

/* A server that does not answer for so long has gone. */
#define CONNECT_NS WF_SECONDS(4)
#define CALL_NS WF_SECONDS(30)
#define CHECK_NS WF_SECONDS(30)
#define RETRIES_MAX 20
/* Before who wants to send is told; as often as sending itself is tried. */
#define ATTEMPTS 4
#define PAUSE_STEP_NS WF_MILLISECONDS(200)
#define PAUSE_MAX_NS WF_SECONDS(1)
/* Keys in one command: what is stored of them all is in memory at a time. */
#define LOOKS_MAX 256
/* Messages that may come one behind the other before others get their turn. */
#define MESSAGES_MAX 256

WF_TASK(wf_none, wfi_results_reader, (struct wfi_results *, results))

/* Over rpc://: a result that nobody has watched. */
struct kept {
    struct wfi_link link; /* the oldest first */
    size_t len;
    char *text;
    char id[];
};

struct wfi_result_topic {
    struct wfi_link all;
    struct wfi_link look; /* in `looks` while it is to be asked for */
    struct wfi_list watches;
    unsigned pending;
    char id[];
};

struct wfi_results {
    struct wfi_celery_url url;
    char *key;             /* what stands in front of an id */
    char *reply_queue;     /* rpc://; NULL: Redis */
    struct wf_event there; /* rpc: results can come, or it has failed */
    int retries_max;
    int64_t pause_ns, check_ns;
    struct wf_event wanted; /* there is a topic, as far as the reader has not seen otherwise */
    struct wf_event sent;   /* nobody sends */
    struct wf_event left;
    struct wf_mutex starting;
    bool shares; /* `on` is somebody else's */
    /* under `starting` */
    struct wf_executor *on;
    bool started; /* the reader */
    bool heard;   /* its end will be, and sets `left` as the last thing it does here */
    wfi_results_reader_future reader;
    struct wf_mutex lock;
    /* under the lock */
    struct wf_error dead;   /* why the reader has ended */
    struct wf_error failed; /* rpc: why it could not be had the last time */
    uint64_t failures;      /* how often */
    bool is_there;
    struct wfi_map kept; /* rpc: by id, and in their order */
    struct wfi_list kept_list;
    size_t kept_bytes;
    struct wfi_map topics; /* by id */
    struct wfi_list all, looks;
    struct wfi_redis *feed; /* NULL while there is no connection */
    struct wfi_redis_batch batch;
    bool sending;
};

/* ---- topics; under the lock ---- */

static bool has_id(const void *value, const void *key, size_t len)
{
    const struct wfi_result_topic *topic = value;
    return strlen(topic->id) == len && memcmp(topic->id, key, len) == 0;
}

static struct wfi_result_topic *find_topic(struct wfi_results *results, const char *id)
{
    return wfi_map_find(&results->topics, id, strlen(id));
}

static struct wfi_result_topic *create_topic(struct wfi_results *results, const char *id)
{
    const size_t len = strlen(id);
    struct wfi_result_topic *topic = wfi_zalloc(sizeof *topic + len + 1);
    if (topic) {
        memcpy(topic->id, id, len);
        if (wfi_map_put(&results->topics, id, len, topic)) {
            wfi_free(topic);
            return NULL;
        }
        wfi_list_push_back(&results->all, &topic->all);
    }
    return topic;
}

static void free_topic(struct wfi_results *results, struct wfi_result_topic *topic)
{
    wfi_map_remove(&results->topics, topic->id, strlen(topic->id));
    wfi_list_remove(&topic->all);
    wfi_list_remove(&topic->look);
    wfi_free(topic);
}

/* Where there is no connection nothing is to be said: the next begins with what is there then. */
static int say(struct wfi_results *results, bool subscribe, struct wfi_result_topic *topic)
{
    if (!results->feed)
        return 0;
    wfi_redis_add(&results->batch, subscribe ? "SUBSCRIBE %s%s" : "UNSUBSCRIBE %s%s", results->key,
                  topic->id);
    if (results->batch.err) {
        results->batch.err = 0; /* what was in it before still is */
        return -ENOMEM;
    }
    topic->pending++;
    return 0;
}

/* ---- what nobody watches; under the lock ---- */

static bool is_kept(const void *value, const void *key, size_t len)
{
    const struct kept *kept = value;
    return strlen(kept->id) == len && memcmp(kept->id, key, len) == 0;
}

static void free_kept(struct wfi_results *results, struct kept *kept)
{
    wfi_map_remove(&results->kept, kept->id, strlen(kept->id));
    wfi_list_remove(&kept->link);
    results->kept_bytes -= kept->len;
    wfi_free(kept->text);
    wfi_free(kept);
}

/* Without memory it is lost, as it would be if there were no room for it. */
static void keep(struct wfi_results *results, const char *id, const char *text, size_t len)
{
    const size_t id_len = strlen(id);
    struct kept *old = wfi_map_find(&results->kept, id, id_len);
    if (old)
        free_kept(results, old);
    for (struct wfi_link *first; (first = wfi_list_first(&results->kept_list)) &&
                                 (results->kept.count >= WFI_RESULTS_KEPT ||
                                  results->kept_bytes + len > WFI_RESULTS_KEPT_BYTES);)
        free_kept(results, wfi_container_of(first, struct kept, link));
    struct kept *kept = wfi_zalloc(sizeof *kept + id_len + 1);
    char *copy = wfi_alloc(len + 1);
    if (!kept || !copy ||
        (memcpy(kept->id, id, id_len + 1), wfi_map_put(&results->kept, kept->id, id_len, kept))) {
        wfi_free(kept);
        wfi_free(copy);
        return;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    kept->text = copy;
    kept->len = len;
    results->kept_bytes += len;
    wfi_list_push_back(&results->kept_list, &kept->link);
}

/* Its last watch has gone. */
static void leave_topic(struct wfi_results *results, struct wfi_result_topic *topic)
{
    if (!results->feed) {
        free_topic(results, topic);
        return;
    }
    wfi_list_remove(&topic->look);
    if (say(results, false, topic))
        wfi_redis_break(results->feed); /* which ends all subscriptions, this one too */
}

static struct wfi_result_watch *first_watch(const struct wfi_result_topic *topic)
{
    struct wfi_link *link = wfi_list_first(&topic->watches);
    return link ? wfi_container_of(link, struct wfi_result_watch, link) : NULL;
}

/* It has its result, or its error. */
static void end_watch(struct wfi_result_watch *watch)
{
    wfi_list_remove(&watch->link);
    watch->topic = NULL;
    wf_event_set(&watch->ended);
    if (watch->hook)
        watch->hook(watch);
}

/* ---- sending ---- */

/* NULL when there is nothing to send, or somebody does it already. */
static struct wfi_redis *take_batch(struct wfi_results *results, struct wfi_redis_batch *ret_batch)
{
    struct wfi_redis *feed = NULL;
    WF_LOCKED(&results->lock) {
        if (!results->sending && results->feed && results->batch.count) {
            feed = results->feed;
            *ret_batch = results->batch;
            results->batch = (struct wfi_redis_batch){0};
            results->sending = true;
        }
    }
    return feed;
}

/* Sends what was said, by all. Without the lock. */
static void send_all(struct wfi_results *results)
{
    struct wfi_redis_batch batch;
    struct wfi_redis *feed;
    while ((feed = take_batch(results, &batch))) {
        if (wfi_redis_send(feed, &batch, NULL))
            wfi_redis_break(feed); /* answers that are counted on will not come */
        wfi_redis_batch_fini(&batch);
        WF_LOCKED(&results->lock) {
            results->sending = false;
            wf_event_set(&results->sent);
        }
    }
}

/* ---- the reader ---- */

/* What is stored or was published under this id. */
static void deliver(struct wfi_results *results, const char *id, const char *text, size_t len)
{
    struct wfi_result_in in = {0};
    struct wf_error error = {0};
    int err = wfi_result_read(text, len, &in, &error);
    if (!err && !wfi_state_is_final(in.result.state)) {
        wfi_result_in_reset(&in);
        return;
    }
    WF_LOCKED(&results->lock) {
        struct wfi_result_topic *topic = find_topic(results, id);
        struct wfi_result_watch *watch = topic ? first_watch(topic) : NULL;
        const bool watched = watch != NULL;
        for (; watch; watch = first_watch(topic)) {
            if (err) {
                watch->error = error;
            } else if (in.tree) { /* the first has it, the others read it for themselves */
                watch->result = in;
                in = (struct wfi_result_in){0};
            } else if (wfi_result_read(text, len, &watch->result, &watch->error)) {
                wfi_result_in_reset(&watch->result);
            }
            end_watch(watch);
        }
        if (watched)
            leave_topic(results, topic);
        else if (results->reply_queue && !err)
            keep(results, id, text, len);
    }
    wfi_result_in_reset(&in);
}

/* An answer to SUBSCRIBE or UNSUBSCRIBE. */
static void confirm(struct wfi_results *results, const char *id)
{
    WF_LOCKED(&results->lock) {
        struct wfi_result_topic *topic = find_topic(results, id);
        if (topic && topic->pending && --topic->pending == 0) {
            if (wfi_list_empty(&topic->watches))
                free_topic(results, topic);
            else if (!wfi_link_linked(&topic->look))
                wfi_list_push_back(&results->looks, &topic->look);
        }
    }
}

/* Returns 0, or the error for which the connection is of no use. */
static int take(struct wfi_results *results, const redisReply *reply, struct wf_error *reterr)
{
    const size_t prefix = strlen(results->key);
    if (reply->type == REDIS_REPLY_ERROR)
        return wf_error_set(reterr, -EREMOTEIO, "Redis answered: %.200s", reply->str);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING || reply->element[1]->len < prefix)
        return 0;
    const char *id = reply->element[1]->str + prefix;
    if (strcmp(reply->element[0]->str, "message") != 0)
        confirm(results, id);
    else if (reply->element[2]->type == REDIS_REPLY_STRING)
        deliver(results, id, reply->element[2]->str, reply->element[2]->len);
    return 0;
}

/* Asks for what is stored. `ids` are texts, each with its NUL. */
static int ask(struct wfi_results *results, struct wfi_redis *redis, struct wfi_redis_batch *batch,
               const struct wfi_buffer *ids, struct wf_error *reterr)
{
    struct wfi_redis_answer answer = {0};
    const char *id = ids->data;
    int err = wfi_redis_call(redis, batch, &answer, wf_after(CALL_NS), reterr);
    for (size_t i = 0; !err && i < answer.count; i++, id += strlen(id) + 1)
        if (answer.replies[i]->type == REDIS_REPLY_STRING)
            deliver(results, id, answer.replies[i]->str, answer.replies[i]->len);
    wfi_redis_answer_fini(&answer);
    return err;
}

/* Returns how many topics were asked for, or an error. */
static int look(struct wfi_results *results, struct wfi_redis *redis, struct wf_error *reterr)
{
    struct wfi_redis_batch batch = {0};
    struct wfi_buffer ids = {0};
    int count = 0, err = 0;
    WF_LOCKED(&results->lock) {
        struct wfi_link *link;
        while (!err && count < LOOKS_MAX && (link = wfi_list_pop_front(&results->looks))) {
            struct wfi_result_topic *topic = wfi_container_of(link, struct wfi_result_topic, look);
            err = wfi_buffer_append(&ids, topic->id, strlen(topic->id) + 1);
            wfi_redis_add(&batch, "GET %s%s", results->key, topic->id);
            count++;
        }
    }
    if (err)
        wf_error_set(reterr, err, NULL);
    else if (count)
        err = ask(results, redis, &batch, &ids, reterr);
    wfi_redis_batch_fini(&batch);
    wfi_buffer_reset(&ids);
    return err ? err : count;
}

/* The next that the server says, before which it may be asked whether it is there. */
static int wait_for(struct wfi_results *results, struct wfi_redis *feed, redisReply **ret_reply,
                    struct wf_error *reterr)
{
    struct wfi_redis_batch batch = {0};
    int err = wfi_redis_receive(feed, ret_reply, wf_after(results->check_ns), reterr);
    if (err != -ETIMEDOUT)
        return err;
    wfi_redis_add(&batch, "PING");
    err = wfi_redis_send(feed, &batch, reterr);
    wfi_redis_batch_fini(&batch);
    if (!err)
        err = wfi_redis_receive(feed, ret_reply, wf_after(results->check_ns), reterr);
    return err == -ETIMEDOUT ? wf_error_set(reterr, -ECONNRESET, "Redis: no sign of life") : err;
}

/* Until the connection breaks. */
static int read_all(struct wfi_results *results, struct wfi_redis *feed, struct wfi_redis *store,
                    bool *ret_worked, struct wf_error *reterr)
{
    for (int in_turn = 0;; in_turn++) {
        redisReply *reply = NULL;
        int err = -ETIMEDOUT;
        if (in_turn < MESSAGES_MAX)
            err = wfi_redis_receive(feed, &reply, WF_NOW, reterr);
        if (err == -ETIMEDOUT) {
            in_turn = 0;
            send_all(results);
            err = look(results, store, reterr);
            if (err > 0) {
                *ret_worked = true;
                continue;
            }
            if (!err)
                err = wait_for(results, feed, &reply, reterr);
        }
        if (!err) {
            err = take(results, reply, reterr);
            freeReplyObject(reply);
        }
        if (err)
            return err;
    }
}

static int begin(struct wfi_results *results, struct wfi_redis *feed, struct wf_error *reterr)
{
    int err = 0;
    WF_LOCKED(&results->lock) {
        results->feed = feed;
        for (struct wfi_link *link = wfi_list_first(&results->all); link && !err;
             link = wfi_list_next(&results->all, link))
            err = say(results, true, wfi_container_of(link, struct wfi_result_topic, all));
    }
    return err ? wf_error_set(reterr, err, NULL) : 0;
}

/* Takes the connection away from those who say something. */
static void end(struct wfi_results *results, struct wfi_redis *feed)
{
    bool sending = true;
    wfi_redis_break(feed);
    WF_LOCKED(&results->lock) {
        struct wfi_link *next;
        results->feed = NULL;
        wfi_redis_batch_fini(&results->batch);
        for (struct wfi_link *link = wfi_list_first(&results->all); link; link = next) {
            struct wfi_result_topic *topic = wfi_container_of(link, struct wfi_result_topic, all);
            next = wfi_list_next(&results->all, link);
            topic->pending = 0;
            wfi_list_remove(&topic->look);
            if (wfi_list_empty(&topic->watches))
                free_topic(results, topic);
        }
    }
    while (sending) {
        WF_LOCKED(&results->lock) {
            sending = results->sending;
            wf_event_clear(&results->sent);
        }
        WF_SHIELD(WF_FOREVER) {
            int err = sending ? wf_event_wait(&results->sent, WF_FOREVER) : 0;
            wfi_assert(!err, "shielded and without a deadline, an event is always had");
        }
    }
}

/* As long as a connection lasts. Returns why it ended, or why there was none. */
static int serve(struct wfi_results *results, bool *ret_worked, struct wf_error *reterr)
{
    if (results->reply_queue)
        return wfi_results_rpc(results, &results->url, results->reply_queue, ret_worked, reterr);
    struct wfi_redis *feed = NULL, *store = NULL;
    wf_deadline deadline = wf_after(CONNECT_NS);
    int err = wfi_redis_open(&results->url, NULL, &feed, deadline, reterr);
    if (!err)
        err = wfi_redis_open(&results->url, NULL, &store, deadline, reterr);
    if (!err) {
        err = begin(results, feed, reterr);
        if (!err)
            err = read_all(results, feed, store, ret_worked, reterr);
        end(results, feed);
    }
    wfi_redis_close(store);
    wfi_redis_close(feed);
    return err;
}

static void end_all(struct wfi_results *results, const struct wf_error *error)
{
    WF_LOCKED(&results->lock) {
        struct wfi_link *link;
        while ((link = wfi_list_first(&results->all))) {
            struct wfi_result_topic *topic = wfi_container_of(link, struct wfi_result_topic, all);
            struct wfi_result_watch *watch;
            while ((watch = first_watch(topic))) {
                watch->error = *error;
                end_watch(watch);
            }
            free_topic(results, topic);
        }
    }
}

/* Over rpc:// nobody can send meanwhile; those who want to are told. */
static void fail(struct wfi_results *results, const struct wf_error *error, bool given_up)
{
    if (!results->reply_queue)
        return;
    WF_LOCKED(&results->lock) {
        results->failed = *error;
        results->failures++;
        if (given_up)
            wf_event_clear(&results->wanted);
        wf_event_set(&results->there);
    }
}

void wfi_results_set_there(struct wfi_results *results, bool there)
{
    WF_LOCKED(&results->lock) {
        results->is_there = there;
        if (there)
            wf_event_set(&results->there);
        else
            wf_event_clear(&results->there);
    }
}

void wfi_results_arrived(struct wfi_results *results, const char *id, const char *text, size_t len)
{
    deliver(results, id, text, len);
}

static bool is_wanted(struct wfi_results *results)
{
    bool wanted = false;
    if (results->reply_queue)
        return true; /* from the first time on, as results come whether they are watched or not */
    WF_LOCKED(&results->lock) {
        wanted = !wfi_list_empty(&results->all);
        if (!wanted)
            wf_event_clear(&results->wanted);
    }
    return wanted;
}

int wfi_results_reader(struct wf_task *self, struct wfi_results *results, wf_none *ret)
{
    (void)self, (void)ret;
    for (int failures = 0;;) {
        struct wf_error error = {0};
        bool worked = false;
        int err = wf_event_wait(&results->wanted, WF_FOREVER);
        if (err)
            return err;
        if (!is_wanted(results))
            continue;
        err = serve(results, &worked, &error);
        failures = worked ? 0 : failures + 1;
        if (err == -ECANCELED)
            return err;
        if (err == -EACCES || err == -EREMOTEIO || failures > results->retries_max) {
            wf_error_prefix(&error, "the results");
            fail(results, &error, true);
            end_all(results, &error);
            failures = 0;
        } else if (failures) {
            fail(results, &error, false);
            int64_t pause_ns = failures * results->pause_ns;
            err = wf_sleep(wf_after(pause_ns < PAUSE_MAX_NS ? pause_ns : PAUSE_MAX_NS));
            if (err)
                return err;
        }
    }
}
WF_TASK_DEFINE(wfi_results_reader)

/* ---- calls ---- */

/* The reader has ended, by itself or because it could not begin: nobody is to wait for it. */
static int reader_ended(struct wf_future *future, void *arg)
{
    struct wfi_results *results = arg;
    struct wf_error error = {0};
    int err = wf_future_error(future, WF_NOW, &error);
    if (!err)
        wf_error_set(&error, -EPIPE, NULL);
    WF_LOCKED(&results->lock) {
        results->dead = error;
        results->is_there = false;
        wf_event_set(&results->there);
    }
    end_all(results, &error);
    wf_event_set(&results->left);
    return 0;
}

static void stop(struct wfi_results *results)
{
    wf_none none;
    if (results->started) {
        wf_future_cancel(results->reader.future);
        WF_SHIELD(WF_FOREVER) {
            int err = results->heard ? wf_event_wait(&results->left, WF_FOREVER) : 0;
            wfi_assert(!err, "shielded and without a deadline, an event is always had");
            (void)wfi_results_reader_result(&results->reader, &none, WF_FOREVER, NULL);
        }
        results->started = false;
    }
    if (results->shares)
        return;
    wf_executor_destroy(results->on);
    results->on = NULL;
}

/* Under `starting`. One that has died is replaced. */
static int start(struct wfi_results *results, struct wf_error *reterr)
{
    bool dead = false;
    WF_LOCKED(&results->lock) {
        dead = results->dead.code != 0;
    }
    if (results->started && !dead)
        return 0;
    stop(results);
    WF_LOCKED(&results->lock) {
        results->dead = (struct wf_error){0};
    }
    const struct wf_fibers_options fibers = {.workers = 1, .name = "results", .service = true};
    int err = results->on ? 0 : wf_fibers_create(&fibers, &results->on, reterr);
    if (err)
        return err;
    results->reader = wfi_results_reader_submit(results->on, results);
    results->started = true;
    results->heard = false;
    wf_event_clear(&results->left);
    err = wf_future_on_done(results->reader.future, reader_ended, results);
    if (err) {
        stop(results);
        return wf_error_set(reterr, err, NULL);
    }
    results->heard = true;
    return 0;
}

/* Under the lock: one that has come already, by rpc://. */
static bool take_kept(struct wfi_results *results, const char *id, struct wfi_result_watch *watch)
{
    struct kept *kept = wfi_map_find(&results->kept, id, strlen(id));
    if (!kept)
        return false;
    if (wfi_result_read(kept->text, kept->len, &watch->result, &watch->error))
        wfi_result_in_reset(&watch->result);
    end_watch(watch);
    free_kept(results, kept);
    return true;
}

bool wfi_results_drop(struct wfi_results *results, const char *id)
{
    bool was_kept = false;
    WF_LOCKED(&results->lock) {
        struct kept *kept = wfi_map_find(&results->kept, id, strlen(id));
        was_kept = kept != NULL;
        if (kept)
            free_kept(results, kept);
    }
    return was_kept;
}

/* Returns 1 when results can come, 0 when it is being tried, or why they cannot. */
static int look_whether_there(struct wfi_results *results, uint64_t *failures,
                              struct wf_error *reterr)
{
    int state = 0;
    WF_LOCKED(&results->lock) {
        const struct wf_error *error = results->dead.code ? &results->dead : &results->failed;
        if (*failures == UINT64_MAX)
            *failures = results->failures;
        if (results->is_there)
            state = 1;
        else if (results->dead.code || results->failures - *failures >= ATTEMPTS)
            state = error->code;
        else
            wf_event_clear(&results->there);
        if (state < 0 && reterr)
            *reterr = *error;
        wf_event_set(&results->wanted);
    }
    return state;
}

int wfi_results_ready(struct wfi_results *results, wf_deadline deadline, struct wf_error *reterr)
{
    uint64_t failures = UINT64_MAX;
    int err = 0;
    if (!results->reply_queue)
        return 0;
    WF_LOCKED(&results->starting) {
        err = start(results, reterr);
    }
    while (!err) {
        err = look_whether_there(results, &failures, reterr);
        if (err)
            break;
        err = wf_event_wait(&results->there, deadline);
        if (err)
            return wf_error_set(reterr, err, "the results: no connection yet");
    }
    return err > 0 ? 0 : err;
}

/* Under the lock. */
static int add_watch(struct wfi_results *results, const char *id, struct wfi_result_watch *watch,
                     struct wf_error *reterr)
{
    int err = 0;
    if (results->dead.code) {
        if (reterr)
            *reterr = results->dead;
        return results->dead.code;
    }
    if (take_kept(results, id, watch))
        return 0;
    struct wfi_result_topic *topic = find_topic(results, id);
    if (!topic)
        topic = create_topic(results, id);
    if (!topic)
        return wf_error_set(reterr, -ENOMEM, NULL);
    if (wfi_list_empty(&topic->watches))
        err = say(results, true, topic);
    if (err) {
        if (!topic->pending)
            free_topic(results, topic);
        return wf_error_set(reterr, err, NULL);
    }
    watch->topic = topic;
    wfi_list_push_back(&topic->watches, &watch->link);
    wf_event_set(&results->wanted);
    return 0;
}

int wfi_results_watch(struct wfi_results *results, const char *id, struct wfi_result_watch *watch,
                      struct wf_error *reterr)
{
    return wfi_results_watch_with(results, id, watch, NULL, reterr);
}

int wfi_results_watch_with(struct wfi_results *results, const char *id,
                           struct wfi_result_watch *watch,
                           void (*hook)(struct wfi_result_watch *watch), struct wf_error *reterr)
{
    int err = 0;
    *watch = (struct wfi_result_watch){.results = results, .hook = hook};
    wf_event_init(&watch->ended);
    WF_LOCKED(&results->starting) {
        err = start(results, reterr);
    }
    if (!err) {
        WF_LOCKED(&results->lock) {
            err = add_watch(results, id, watch, reterr);
        }
    }
    if (err)
        wf_event_fini(&watch->ended);
    else
        send_all(results);
    return err;
}

int wfi_results_wait(struct wfi_result_watch *watch, struct wfi_result_in *ret_result,
                     wf_deadline deadline, struct wf_error *reterr)
{
    int err = wf_event_wait(&watch->ended, deadline);
    if (err)
        return wf_error_set(reterr, err, err == -ETIMEDOUT ? "no result yet" : NULL);
    if (watch->error.code) {
        if (reterr)
            *reterr = watch->error;
        return watch->error.code;
    }
    *ret_result = watch->result;
    watch->result = (struct wfi_result_in){0};
    return 0;
}

void wfi_results_unwatch(struct wfi_result_watch *watch)
{
    struct wfi_results *results = watch->results;
    bool left = false;
    WF_LOCKED(&results->lock) {
        struct wfi_result_topic *topic = watch->topic;
        if (topic) {
            wfi_list_remove(&watch->link);
            left = wfi_list_empty(&topic->watches);
            if (left)
                leave_topic(results, topic);
        }
    }
    if (left)
        send_all(results);
    wf_event_fini(&watch->ended);
    wfi_result_in_reset(&watch->result);
}

int wfi_result_value(const struct wfi_result_in *result, const struct wf_json_value **ret_value,
                     struct wf_error *reterr)
{
    const struct wfi_result *r = &result->result;
    struct wfi_exception exception;
    struct wf_error error = {0};
    if (r->state == WFI_STATE_SUCCESS) {
        *ret_value = r->result.value;
        return 0;
    }
    if (wfi_exception_read(r->result.value, &exception))
        return wf_error_set(reterr, WF_ETASKFAILED, "the task ended with %s, and no exception",
                            r->status);
    wfi_exception_to_error(&exception, &error);
    if (reterr)
        *reterr = error;
    return error.code;
}

static int set_texts(struct wfi_results *results, const struct wfi_results_options *options)
{
    struct wfi_buffer key = {0};
    if (wfi_buffer_printf(&key, "%s" WFI_RESULT_KEY, options->prefix ? options->prefix : ""))
        return -ENOMEM;
    results->key = wfi_buffer_take(&key, NULL);
    if (options->reply_queue)
        results->reply_queue = wfi_strdup(options->reply_queue);
    wfi_buffer_reset(&key);
    return results->key && (!options->reply_queue || results->reply_queue) ? 0 : -ENOMEM;
}

int wfi_results_create(const struct wfi_celery_url *url, const struct wfi_results_options *options,
                       struct wfi_results **ret_results, struct wf_error *reterr)
{
    struct wfi_results *results = wfi_zalloc(sizeof *results);
    if (!results)
        return wf_error_set(reterr, -ENOMEM, NULL);
    uint64_t seed = (uint64_t)wf_now() ^ (uint64_t)(uintptr_t)results;
    results->url = *url;
    results->on = options->on;
    results->shares = results->on != NULL;
    results->retries_max = options->retries_max ? options->retries_max : RETRIES_MAX;
    results->pause_ns = options->pause_ns ? options->pause_ns : PAUSE_STEP_NS;
    results->check_ns = options->check_ns ? options->check_ns : CHECK_NS;
    results->topics.same = has_id;
    results->topics.seed = seed;
    results->kept.same = is_kept;
    results->kept.seed = seed;
    wf_event_init(&results->there);
    wf_event_init(&results->wanted);
    wf_event_init(&results->sent);
    wf_event_init(&results->left);
    wf_mutex_init(&results->starting);
    wf_mutex_init(&results->lock);
    int err = set_texts(results, options);
    if (err) {
        wfi_results_destroy(results);
        return wf_error_set(reterr, err, NULL);
    }
    *ret_results = results;
    return 0;
}

void wfi_results_destroy(struct wfi_results *results)
{
    if (!results)
        return;
    stop(results);
    wfi_assert(wfi_list_empty(&results->all), "nobody watches when results are destroyed");
    wfi_map_reset(&results->topics);
    for (struct wfi_link *link; (link = wfi_list_first(&results->kept_list));)
        free_kept(results, wfi_container_of(link, struct kept, link));
    wfi_map_reset(&results->kept);
    wf_event_fini(&results->there);
    wf_event_fini(&results->wanted);
    wf_event_fini(&results->sent);
    wf_event_fini(&results->left);
    wf_mutex_fini(&results->starting);
    wf_mutex_fini(&results->lock);
    wfi_free(results->key);
    wfi_free(results->reply_queue);
    wfi_free(results);
}
