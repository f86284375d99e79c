/* SPDX-License-Identifier: MIT */
/*
 * The celery engine, on weft/engine.h. Everything runs on the fibers of one thread:
 *
 *   senders   publish what is to be sent, several at a time, so that the messages of many callers
 *             go out together; they also send what is to be revoked
 *   keeper    ends calls, and nobody else does: those that have their result, those that could not
 *             be sent, and those that were asked to stop and got no answer in time
 *
 * A call waits for two: for its sender to be through with it, and for its result (or the failure
 * that stands for it). When both are there, whoever was last puts it into `over`. A call that was
 * asked to stop is in `leaving`, and held (wf_engine_next_asked), until it is over or its time is.
 *
 * Lock order: results, then this. The hook of a watch is called under that of results; so nobody
 * calls anything of results under this one.
 */
#include <weft/celery_executor.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/engine.h>
#include <weft/event.h>
#include <weft/fibers.h>
#include <weft/mutex.h>
#include <weft/scope.h>
#include <weft/semaphore.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "celery/client/client.h"
#include "celery/client/client_broker.h"
#include "celery/message/message.h"
#include "celery/message/typed.h"

struct celery;
WF_TASK(wf_none, wfi_celery_sender, (struct celery *, celery))
WF_TASK(wf_none, wfi_celery_keeper, (struct celery *, celery))

/* As many messages go out together; more would wait for the same round trip anyway. */
#define SENDERS_MAX 64
#define WORKERS 16
#define CANCEL_WAIT_NS WF_SECONDS(1)
#define SEND_NS WF_SECONDS(30)
#define REVOKE_NS WF_SECONDS(5)
#define REVOKES_MAX 250 /* in one request */

struct celery {
    struct wf_celery_client *client;
    struct wf_executor *self, *fibers;
    bool has_backend, revoke_only;
    int64_t cancel_wait_ns, send_ns;
    struct wf_event begun;    /* for who makes the executor: a fiber runs, or never will */
    struct wf_event news;     /* for the keeper */
    struct wf_semaphore work; /* for the senders: what is in to_send, or is to be revoked */
    wfi_celery_keeper_future keeper;
    struct wf_mutex lock;
    /* under the lock */
    struct wfi_list to_send, to_revoke, over, leaving;
    size_t unsent;
    wfi_celery_sender_future senders[SENDERS_MAX];
    size_t sender_count, idle;
    bool quit;
};

struct call {
    struct celery *celery;
    struct wf_engine_call *call;
    struct wfi_client_parcel *parcel;
    char *id;
    bool ignored; /* no result will come */
    struct wfi_result_watch watch;
    /* under the lock */
    struct wfi_link link;    /* in to_send, or over */
    struct wfi_link leaving; /* in leaving */
    struct wfi_link revoke;  /* in to_revoke */
    wf_deadline give_up;     /* in leaving */
    bool queued;             /* in to_send */
    bool sending;            /* until a sender is through with it, or none will ever have it */
    struct wf_scope *scope;  /* in which its sender waits for the broker */
    bool watched;            /* the watch is to be ended */
    bool answered;
    bool finished; /* in over, or the keeper has it */
    int code;      /* why it was not sent */
    struct wf_error *error;
};

/* ---- the end of a call ---- */

/* Under the lock: is there nothing more to wait for? */
static void look_whether_over(struct celery *celery, struct call *c)
{
    if (c->sending || c->finished || (!c->answered && !c->code))
        return;
    c->finished = true;
    wfi_list_push_back(&celery->over, &c->link);
    wf_event_set(&celery->news);
}

/* Under the lock: nobody has sent it, and nobody will. */
static void stop_unsent(struct celery *celery, struct call *c)
{
    c->sending = false;
    c->code = -ECANCELED;
    look_whether_over(celery, c);
}

static void hook(struct wfi_result_watch *watch)
{
    struct call *c = wfi_container_of(watch, struct call, watch);
    WF_LOCKED(&c->celery->lock) {
        c->answered = true;
        look_whether_over(c->celery, c);
    }
}

/* What came of it, and where the result is one, puts it into its place. */
static int read_outcome(struct call *c, struct wf_error *reterr)
{
    const struct wf_task_type *type = wf_engine_call_type(c->call);
    const struct wf_json_value *value;
    if (c->code) {
        if (c->error)
            *reterr = *c->error;
        else
            wf_error_set(reterr, c->code, NULL);
        return c->code;
    }
    if (c->ignored)
        return 0;
    if (c->watch.error.code) {
        *reterr = c->watch.error;
        return reterr->code;
    }
    int err = wfi_result_value(&c->watch.result, &value, reterr);
    if (err) {
        const char *worker = c->watch.result.result.worker;
        snprintf(reterr->origin, sizeof reterr->origin, "%s", worker ? worker : "");
        return err;
    }
    return wfi_typed_read_result(type, value, wf_engine_call_result(c->call), reterr);
}

/* By the keeper; nothing else touches the call any more, but for a watch that has not ended. */
static void end_call(struct celery *celery, struct call *c, int code)
{
    struct wf_engine_call *call = c->call;
    struct wf_error error = {0};
    bool held = false;
    WF_LOCKED(&celery->lock) {
        held = wfi_link_linked(&c->leaving);
        wfi_list_remove(&c->leaving);
        wfi_list_remove(&c->revoke);
    }
    if (!code)
        code = read_outcome(c, &error);
    if (c->watched)
        wfi_results_unwatch(&c->watch);
    wf_engine_call_end(call, code, error.code ? &error : NULL);
    if (held)
        wf_engine_call_unref(call);
}

/* ---- senders ---- */

static int send_call(struct celery *celery, struct call *c, struct wf_error *reterr)
{
    struct wfi_results *results = wfi_client_results(celery->client);
    const wf_deadline deadline = wf_after(celery->send_ns);
    struct wf_error unwanted;
    struct wf_scope scope;
    if (!c->ignored) {
        int err = wfi_results_watch_with(results, c->id, &c->watch, hook, reterr);
        if (err)
            return err;
        c->watched = true;
    }
    wf_scope_open(&scope, celery->fibers, WF_FOREVER);
    WF_LOCKED(&celery->lock) {
        c->scope = &scope;
    }
    int err = wfi_client_publish(celery->client, c->parcel, deadline, reterr);
    WF_LOCKED(&celery->lock) {
        c->scope = NULL;
    }
    (void)wf_scope_close(&scope, &unwanted); /* of being cancelled: publish has told */
    return err;
}

static void send_one(struct celery *celery, struct call *c)
{
    struct wf_error error = {0};
    int code = send_call(celery, c, &error);
    c->parcel->discard(c->parcel); /* many may be out, for long */
    c->parcel = NULL;
    struct wf_error *kept = code ? wfi_alloc(sizeof *kept) : NULL;
    if (kept) {
        wf_error_prefix(&error, "task %.100s", wf_engine_call_type(c->call)->name);
        *kept = error;
    }
    WF_LOCKED(&celery->lock) {
        c->sending = false;
        c->code = code;
        c->error = kept;
        c->answered |= c->ignored;
        look_whether_over(celery, c); /* its result may have come meanwhile */
        if (wfi_link_linked(&c->leaving))
            wf_event_set(&celery->news);
    }
}

static void revoke_some(struct celery *celery)
{
    const char *ids[REVOKES_MAX];
    size_t count = 0;
    struct wfi_buffer text = {0};
    WF_LOCKED(&celery->lock) {
        struct wfi_link *link;
        while (count < REVOKES_MAX && (link = wfi_list_pop_front(&celery->to_revoke))) {
            const char *id = wfi_container_of(link, struct call, revoke)->id;
            if (wfi_buffer_append(&text, id, strlen(id) + 1) == 0)
                count++;
        }
    }
    const char *id = text.data;
    for (size_t i = 0; i < count; i++, id += strlen(id) + 1)
        ids[i] = id;
    if (count) /* if nobody hears it, the calls are given up in time */
        (void)wfi_client_revoke(celery->client, ids, count, !celery->revoke_only,
                                wf_after(REVOKE_NS), NULL);
    wfi_buffer_reset(&text);
}

int wfi_celery_sender(struct wf_task *self, struct celery *celery, wf_none *ret)
{
    (void)self, (void)ret;
    wf_event_set(&celery->begun);
    for (bool quit = false; !quit;) {
        struct call *c = NULL;
        WF_LOCKED(&celery->lock) {
            celery->idle++;
        }
        int err = wf_semaphore_acquire(&celery->work, 1, WF_FOREVER);
        wfi_assert(!err, "nobody cancels a sender");
        WF_LOCKED(&celery->lock) {
            celery->idle--;
            struct wfi_link *link = wfi_list_pop_front(&celery->to_send);
            quit = celery->quit;
            c = link ? wfi_container_of(link, struct call, link) : NULL;
            if (c) {
                c->queued = false;
                celery->unsent--;
            }
        }
        if (c)
            send_one(celery, c);
        else
            revoke_some(celery);
    }
    return 0;
}
WF_TASK_DEFINE(wfi_celery_sender)

/* Under the lock: as many as there is to do, as far as they can be had. The first is there. */
static void have_senders(struct celery *celery)
{
    if (celery->unsent > celery->idle && celery->sender_count < SENDERS_MAX)
        celery->senders[celery->sender_count++] = wfi_celery_sender_submit(celery->fibers, celery);
}

/* ---- the keeper ---- */

/* Those that nobody has sent yet end; of the others the worker has to hear. */
static void take_asked(struct celery *celery)
{
    struct wf_engine_call *call;
    size_t revokes = 0;
    while ((call = wf_engine_next_asked(celery->self))) {
        struct call *c = wf_engine_call_data(call);
        bool held = false;
        WF_LOCKED(&celery->lock) {
            if (c->queued) {
                wfi_list_remove(&c->link);
                celery->unsent--;
                c->queued = false;
                stop_unsent(celery, c);
            } else if (!c->finished) {
                held = true;
                c->give_up = wf_after(celery->cancel_wait_ns);
                wfi_list_push_back(&celery->leaving, &c->leaving);
                if (!c->ignored)
                    wfi_list_push_back(&celery->to_revoke, &c->revoke);
                revokes++;
            }
        }
        if (!held)
            wf_engine_call_unref(call);
    }
    if (revokes)
        (void)wf_semaphore_release(&celery->work, (revokes + REVOKES_MAX - 1) / REVOKES_MAX);
}

static void end_over(struct celery *celery)
{
    for (;;) {
        struct call *c = NULL;
        WF_LOCKED(&celery->lock) {
            struct wfi_link *link = wfi_list_pop_front(&celery->over);
            c = link ? wfi_container_of(link, struct call, link) : NULL;
        }
        if (!c)
            return;
        end_call(celery, c, 0);
    }
}

/* Gives up those whose time is over; one that a sender has ends when the sender is through with it,
 * which then need not wait for the broker. Returns when there is one more to look at. */
static wf_deadline end_left(struct celery *celery)
{
    for (;;) {
        struct call *c = NULL;
        wf_deadline next = WF_FOREVER;
        const int64_t now = wf_now();
        WF_LOCKED(&celery->lock) {
            struct wfi_link *link = wfi_list_first(&celery->leaving);
            for (; link && !c; link = wfi_list_next(&celery->leaving, link)) {
                struct call *at = wfi_container_of(link, struct call, leaving);
                if (at->finished)
                    continue;
                if (at->give_up.ns > now) {
                    next = at->give_up;
                    break;
                }
                if (at->sending) {
                    if (at->scope)
                        wf_scope_cancel(at->scope);
                    continue;
                }
                at->finished = true;
                c = at;
            }
        }
        if (!c)
            return next;
        end_call(celery, c, -ECANCELED);
    }
}

int wfi_celery_keeper(struct wf_task *self, struct celery *celery, wf_none *ret)
{
    (void)self, (void)ret;
    wf_event_set(&celery->begun);
    for (bool quit = false; !quit;) {
        wf_event_clear(&celery->news);
        take_asked(celery);
        end_over(celery);
        wf_deadline next = end_left(celery);
        WF_LOCKED(&celery->lock) {
            quit = celery->quit;
        }
        int err = quit ? 0 : wf_event_wait(&celery->news, next);
        wfi_assert(!err || err == -ETIMEDOUT, "nobody cancels the keeper");
    }
    return 0;
}
WF_TASK_DEFINE(wfi_celery_keeper)

/* ---- the engine ---- */

static int check(const struct celery *celery, const struct wf_task_type *type,
                 const struct wf_celery_apply *apply, struct wf_error *reterr)
{
    int err = wfi_typed_check(type, reterr);
    if (err)
        return err;
    if (apply->ignore_result && strcmp(type->result_type, "wf_none") != 0)
        return wf_error_set(reterr, -EINVAL, "task %s has a result, which is not to be ignored",
                            type->name);
    if (!apply->ignore_result && !celery->has_backend)
        return wf_error_set(reterr, -EINVAL,
                            "task %s: the executor has no backend to wait for results at",
                            type->name);
    return 0;
}

static void set_rest(const struct celery *celery, struct wfi_client_task *task,
                     const struct wf_engine_call *call, const struct wf_submit_options *options)
{
    const wf_deadline deadline = wf_engine_call_deadline(call);
    const char *name = wf_engine_call_name(call);
    if (!task->shadow && strcmp(name, task->name) != 0)
        task->shadow = name;
    if (!task->priority && options->priority)
        task->priority = wfi_client_priority(celery->client, options->priority);
    if (!task->expires_in_ns && !task->expires_us && deadline.ns != WF_FOREVER.ns) {
        const int64_t left_ns = deadline.ns - wf_now();
        task->expires_in_ns = left_ns > 0 ? left_ns : -1;
    }
}

static int prepare(void *arg, struct wf_engine_call *call, const struct wf_submit_options *options,
                   struct wf_error *reterr)
{
    static const struct wf_celery_apply defaults;
    struct celery *celery = arg;
    struct call *c = wf_engine_call_data(call);
    const struct wf_task_type *type = wf_engine_call_type(call);
    const struct wf_celery_apply *apply = options->celery ? options->celery : &defaults;
    struct wfi_client_task task = {.name = type->name};
    struct wfi_client_applied applied = {0};
    struct wf_json_writer *w = NULL;
    c->celery = celery;
    c->call = call;
    c->ignored = apply->ignore_result;
    c->sending = true;
    int err = check(celery, type, apply, reterr);
    if (err)
        return err;
    err = wfi_message_writer_create(&w);
    if (err)
        return wf_error_set(reterr, err, NULL);
    err = wfi_typed_write_args(w, type, wf_engine_call_args(call), 0, reterr);
    if (!err) {
        err = wf_json_writer_text(w, &task.args.text, &task.args.len);
        if (err)
            wf_error_set(reterr, err, NULL);
    }
    if (!err)
        err = wfi_client_apply(&task, apply, &applied, reterr);
    if (!err) {
        set_rest(celery, &task, call, options);
        err = wfi_client_pack(celery->client, &task, &c->id, &c->parcel, reterr);
    }
    wfi_client_applied_fini(&applied);
    wf_json_writer_destroy(w);
    return err;
}

/* The keeper may have heard before that it is to stop; it leaves alone what is `sending`. */
static void start(void *arg, struct wf_engine_call *call)
{
    struct celery *celery = arg;
    struct call *c = wf_engine_call_data(call);
    WF_LOCKED(&celery->lock) {
        if (wfi_link_linked(&c->leaving)) {
            stop_unsent(celery, c);
        } else {
            celery->unsent++;
            have_senders(celery);
            c->queued = true;
            wfi_list_push_back(&celery->to_send, &c->link);
        }
    }
    (void)wf_semaphore_release(&celery->work, 1);
}

static void asked(void *arg)
{
    wf_event_set(&((struct celery *)arg)->news);
}

static void finish(void *arg, struct wf_engine_call *call)
{
    struct call *c = wf_engine_call_data(call);
    (void)arg;
    if (c->parcel)
        c->parcel->discard(c->parcel);
    wfi_free(c->id);
    wfi_free(c->error);
}

/* What runs, and then what it runs on. */
static void stop(struct celery *celery)
{
    size_t senders = 0;
    wf_none none;
    WF_LOCKED(&celery->lock) {
        celery->quit = true;
        senders = celery->sender_count;
    }
    (void)wf_semaphore_release(&celery->work, senders + 1);
    wf_event_set(&celery->news);
    WF_SHIELD(WF_FOREVER) {
        for (size_t i = 0; i < senders; i++)
            (void)wfi_celery_sender_result(&celery->senders[i], &none, WF_FOREVER, NULL);
        if (celery->keeper.future)
            (void)wfi_celery_keeper_result(&celery->keeper, &none, WF_FOREVER, NULL);
    }
}

static void destroy(void *arg)
{
    struct celery *celery = arg;
    stop(celery);
    wf_celery_client_destroy(celery->client);
    wf_executor_destroy(celery->fibers);
    wf_event_fini(&celery->begun);
    wf_event_fini(&celery->news);
    wf_semaphore_fini(&celery->work);
    wf_mutex_fini(&celery->lock);
    wfi_free(celery);
}

static int begin(struct celery *celery, const struct wf_celery_options *options,
                 struct wf_error *reterr)
{
    const struct wf_engine engine = {
        .name = "celery",
        .call_bytes = sizeof(struct call),
        .prepare = prepare,
        .start = start,
        .asked = asked,
        .finish = finish,
        .destroy = destroy,
        .workers = options->workers ? (unsigned)options->workers : WORKERS,
    };
    const struct wf_celery_client_options client = {.broker = options->broker,
                                                    .backend = options->backend,
                                                    .prefix = options->prefix,
                                                    .queue = options->queue};
    const struct wf_fibers_options fibers = {.workers = 1, .name = "celery", .service = true};
    int err = wf_fibers_create(&fibers, &celery->fibers, reterr);
    if (!err)
        err = wfi_client_create(&client, celery->fibers, &celery->client, reterr);
    if (!err)
        err = wf_engine_create(&engine, options->name, celery, &celery->self, reterr);
    return err;
}

static int tell(struct wf_future *future, void *arg)
{
    (void)future;
    wf_event_set(arg);
    return 0;
}

/* Until a fiber runs: there may be no memory for it. Nothing is submitted before. */
static int wait_for(struct celery *celery, struct wf_future *future, struct wf_error *reterr)
{
    int err = wf_future_on_done(future, tell, &celery->begun);
    if (err)
        return wf_error_set(reterr, err, NULL);
    WF_SHIELD(WF_FOREVER) {
        err = wf_event_wait(&celery->begun, WF_FOREVER);
        wfi_assert(!err, "shielded and without a deadline, an event is always had");
    }
    wf_event_clear(&celery->begun);
    return wf_future_state(future) == WF_FUTURE_RUNNING ? 0
                                                        : wf_future_error(future, WF_NOW, reterr);
}

int wf_celery_create(const struct wf_celery_options *options, struct wf_executor **ret_on,
                     struct wf_error *reterr)
{
    if (options->workers < 0 || options->cancel_wait_ns < 0 || options->send_ns < 0)
        return wf_error_set(reterr, -EINVAL, "a negative number of workers or duration");
    struct celery *celery = wfi_zalloc(sizeof *celery);
    if (!celery)
        return wf_error_set(reterr, -ENOMEM, NULL);
    wf_mutex_init(&celery->lock);
    wf_event_init(&celery->begun);
    wf_event_init(&celery->news);
    int err = wf_semaphore_init(&celery->work, 0, 0);
    wfi_assert(!err, "no permits are a right number");
    celery->has_backend = options->backend != NULL;
    celery->revoke_only = options->revoke_only;
    celery->cancel_wait_ns = options->cancel_wait_ns ? options->cancel_wait_ns : CANCEL_WAIT_NS;
    celery->send_ns = options->send_ns ? options->send_ns : SEND_NS;
    err = begin(celery, options, reterr);
    if (err) {
        destroy(celery);
        return err;
    }
    celery->keeper = wfi_celery_keeper_submit(celery->fibers, celery);
    err = wait_for(celery, celery->keeper.future, reterr);
    if (!err) {
        celery->senders[celery->sender_count++] = wfi_celery_sender_submit(celery->fibers, celery);
        err = wait_for(celery, celery->senders[0].future, reterr);
    }
    if (err)
        wf_executor_destroy(celery->self);
    else
        *ret_on = celery->self;
    return err;
}

struct wf_celery_client *wf_celery_client_of(const struct wf_executor *on)
{
    struct celery *celery = wf_engine_arg(on, destroy);
    return celery ? celery->client : NULL;
}
