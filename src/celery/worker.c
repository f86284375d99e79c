/* SPDX-License-Identifier: MIT */
/*
 * The worker. Who does what:
 *
 *   run        the caller's; waits for `serve`, which it does not break off when it is cancelled
 *   serve      a task of its own: starts the others, waits to be told to stop, brings all to an end
 *   keep       the broker's connections (wfi_redis_broker_run)
 *   consume    takes messages, as many at once as there are permits
 *   message    a fiber for each message, from its first look to its acknowledgement
 *
 * Three semaphores:
 *
 *   prefetch   a permit for each message that is held. It is given up with the acknowledgement, and
 *              by a message that waits for its eta, which does not ask for it again.
 *   slots      a permit for each task that runs.
 *   storing    a permit for each result on its way to the store. It is had before the slot is given
 *              up: a store that is slow, or away, holds the tasks up before memory is full.
 *
 * A message is begun once it has a slot, or needs none. Until then its waits can be cancelled;
 * from there on it is shielded. Stopping cancels the scope of consume and messages: what is not
 * begun ends at once, and its job goes to `left` (settle, which is called for each job, also for
 * those that were cancelled before they ran). When none is left that is not begun, serve gives the
 * messages back, the youngest first, since each goes to the front of its queue; other workers can
 * have them while tasks still run here. Then it waits for those, and ends `keep` last, so that
 * their acknowledgements are sent.
 *
 *     settle                                serve
 *       puts the job into left                stopping = true, cancels the scope
 *       not_begun - 1; if 0, sets wake        clears wake; not_begun = 0? else waits for wake
 */
#include <weft/celery.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <weft/event.h>
#include <weft/mutex.h>
#include <weft/scope.h>
#include <weft/semaphore.h>
#include <weft/threads.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "celery/arguments.h"
#include "celery/message.h"
#include "celery/moment.h"
#include "celery/redis_broker.h"
#include "celery/result.h"
#include "celery/store.h"

/* Messages taken in one command: larger steps gain nothing, and hold up other clients of Redis. */
#define TAKE_MAX 256
#define STORING_MAX 256
/* For giving messages back at the end; what is not back by then is so when it counts as lost. */
#define GIVE_BACK_NS WF_SECONDS(10)
/* After memory ran out. */
#define PAUSE_NS WF_MILLISECONDS(20)
/* The wall clock may be set while a message waits for its eta: it is looked at so often. */
#define ETA_LOOK_NS WF_SECONDS(10)
/* A result up to this size needs no memory of its own. */
#define RESULT_WORDS 16

struct worker {
    const struct wf_celery_worker_options *options;
    char name[128];
    uint64_t concurrency, prefetch_max;
    struct wf_executor *pool;
    bool own_pool;
    struct wfi_redis_broker *broker;
    struct wfi_store *store; /* NULL: results are not stored */
    struct wf_semaphore prefetch, slots, storing;
    struct wf_scope *scope;       /* of consume and messages */
    WFI_ATOMIC(bool) stopping;    /* see the top, as for the next two */
    WFI_ATOMIC(size_t) not_begun; /* messages, and consume */
    struct wf_event wake;         /* serve */
    struct wf_mutex lock;
    struct wfi_list left;  /* jobs that were not begun; under the lock */
    int broker_err;        /* of keep, read after it has ended */
    struct wf_error error; /* the same */
};

/* A message. Its fiber's alone, until it is settled. */
struct job {
    struct wfi_link link; /* in `left` */
    struct worker *worker;
    struct wfi_redis_message *message; /* NULL once it is acknowledged or given back */
    struct wfi_message_in in;
    uint64_t number; /* in the order in which they were taken */
    bool begun, has_permit, has_slot;
};

WF_TASK(wf_none, wfi_celery_serve, (struct worker *, worker))
WF_TASK(wf_none, wfi_celery_keep, (struct worker *, worker))
WF_TASK(wf_none, wfi_celery_consume, (struct worker *, worker))
WF_TASK(wf_none, wfi_celery_message, (struct job *, job))

/* Nothing is waited for under the lock, so that taking it is no wait to be cancelled. */
static void lock(struct worker *worker)
{
    struct wf_shield shield;
    wf_shield_enter(&shield, WF_FOREVER);
    int err = wf_mutex_lock(&worker->lock, WF_FOREVER);
    wfi_assert(!err, "shielded and without a deadline, a lock is always had");
    wf_shield_leave(&shield);
}

static WF_PRINTF(3, 4) void say(struct worker *worker, enum wf_celery_level level,
                                const char *format, ...)
{
    char line[700];
    va_list args;
    if (!worker->options->log)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    worker->options->log(worker->options->log_arg, level, line);
}

static int64_t now_us(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- a message's permits ---- */

static void give_permit_up(struct job *job)
{
    if (job->has_permit)
        (void)wf_semaphore_release(&job->worker->prefetch, 1);
    job->has_permit = false;
}

static void give_slot_up(struct job *job)
{
    if (job->has_slot)
        (void)wf_semaphore_release(&job->worker->slots, 1);
    job->has_slot = false;
}

static void acknowledge(struct job *job)
{
    if (job->message)
        wfi_redis_broker_acknowledge(job->worker->broker, job->message);
    job->message = NULL;
    give_permit_up(job);
}

/* Somebody fewer that is not begun. */
static void count_begun(struct worker *worker)
{
    if (wfi_fetch_sub(&worker->not_begun, 1) == 1)
        wf_event_set(&worker->wake);
}

static void begin(struct job *job)
{
    job->begun = true;
    count_begun(job->worker);
}

static void destroy_job(struct job *job)
{
    wfi_message_in_reset(&job->in);
    wfi_free(job);
}

/* drop_args of a message's task. */
static void settle(void *args)
{
    struct job *job = ((struct wfi_celery_message_args *)args)->job;
    struct worker *worker = job->worker;
    give_slot_up(job);
    give_permit_up(job);
    if (job->begun || !job->message) {
        const bool begun = job->begun;
        destroy_job(job);
        if (!begun)
            count_begun(worker);
        return;
    }
    lock(worker);
    wfi_list_push_back(&worker->left, &job->link);
    wf_mutex_unlock(&worker->lock);
    count_begun(worker);
}

/* ---- results ---- */

/* Stores it, unless none is wanted. A failure to do so is logged, and that is all: the task is
 * done, and nobody is left to tell. */
static void store(struct job *job, enum wfi_task_state state, const struct wfi_json_piece *result)
{
    struct worker *worker = job->worker;
    const struct wfi_message *m = &job->in.message;
    struct wf_json_writer *w;
    struct wf_error error = {0};
    char date[WFI_MOMENT_BYTES];
    const char *text;
    size_t len;
    if (!worker->store || m->ignore_result)
        return;
    struct wfi_result meta = {.state = state,
                              .result = *result,
                              .task_id = m->id,
                              .group_id = m->group,
                              .parent_id = m->parent_id};
    if (wfi_state_is_final(state)) {
        wfi_moment_write(now_us(), false, date);
        meta.date_done = date;
    }
    int err = wfi_message_writer_create(&w);
    if (!err) {
        wfi_result_write_redis(w, &meta);
        err = wf_json_writer_text(w, &text, &len);
        if (!err)
            err = wfi_store_put(worker->store, m->id, text, len, NULL, WF_FOREVER, &error);
        wf_json_writer_destroy(w);
    }
    if (err)
        say(worker, WF_CELERY_ERROR, "task %.100s[%.100s]: its result is lost: %s", m->task, m->id,
            error.text[0] ? error.text : wf_strerror(err));
}

/* Stores what was written. */
static void store_written(struct job *job, enum wfi_task_state state, struct wf_json_writer *w)
{
    struct wfi_json_piece piece = {0};
    int err = wf_json_writer_text(w, &piece.text, &piece.len);
    if (err)
        say(job->worker, WF_CELERY_ERROR, "task %.100s[%.100s]: its result is lost: %s",
            job->in.message.task, job->in.message.id, wf_strerror(err));
    else
        store(job, state, &piece);
}

/* Gives the slot up, once the result that is to be stored has its place. */
static void leave_slot(struct job *job)
{
    int err = wf_semaphore_acquire(&job->worker->storing, 1, WF_FOREVER);
    wfi_assert(!err, "a message that is begun is shielded");
    give_slot_up(job);
}

static void leave_storing(struct job *job)
{
    (void)wf_semaphore_release(&job->worker->storing, 1);
}

/* An exception with one text. Stores it as FAILURE or REVOKED. */
static void fail(struct job *job, enum wfi_task_state state, const char *module, const char *type,
                 const char *text)
{
    struct wf_json_writer *w;
    say(job->worker, state == WFI_STATE_REVOKED ? WF_CELERY_INFO : WF_CELERY_WARNING,
        "task %.100s[%.100s] %s: %s: %s", job->in.message.task, job->in.message.id,
        state == WFI_STATE_REVOKED ? "is revoked" : "failed", type, text ? text : "");
    if (wfi_message_writer_create(&w))
        return;
    wfi_exception_write_text(w, module, type, text);
    store_written(job, state, w);
    wf_json_writer_destroy(w);
}

static void fail_with(struct job *job, enum wfi_task_state state, const struct wf_error *error)
{
    struct wf_json_writer *w;
    say(job->worker, WF_CELERY_WARNING, "task %.100s[%.100s] failed: %s", job->in.message.task,
        job->in.message.id, error->text[0] ? error->text : wf_strerror(error->code));
    if (wfi_message_writer_create(&w))
        return;
    wfi_exception_write_error(w, error);
    store_written(job, state, w);
    wf_json_writer_destroy(w);
}

static void fail_for_time(struct job *job)
{
    const double hard_s = job->in.message.hard_s;
    struct wf_json_writer *w;
    say(job->worker, WF_CELERY_WARNING, "task %.100s[%.100s] failed: more than %g s",
        job->in.message.task, job->in.message.id, hard_s);
    if (wfi_message_writer_create(&w))
        return;
    char text[64];
    const bool whole = hard_s < 1e15 && hard_s == (double)(int64_t)hard_s;
    snprintf(text, sizeof text, whole ? "[%.0f]" : "[%.17g]", hard_s);
    wfi_exception_write(w,
                        &(struct wfi_exception){.type = "TimeLimitExceeded",
                                                .module = "billiard.exceptions",
                                                .arguments = {.text = text, .len = strlen(text)}});
    store_written(job, WFI_STATE_FAILURE, w);
    wf_json_writer_destroy(w);
}

static void store_started(struct job *job)
{
    struct wf_json_writer *w;
    if (wfi_message_writer_create(&w))
        return;
    wfi_result_write_started(w, getpid(), job->worker->name);
    store_written(job, WFI_STATE_STARTED, w);
    wf_json_writer_destroy(w);
}

/* `result` is the value, which is dropped. */
static void succeed(struct job *job, const struct wf_task_type *type, void *result)
{
    struct wf_json_writer *w;
    struct wf_error error = {0};
    int err = wfi_message_writer_create(&w);
    if (!err) {
        err = wfi_arguments_write_result(w, type, result, &error);
        if (!err)
            store_written(job, WFI_STATE_SUCCESS, w);
        wf_json_writer_destroy(w);
    }
    if (type->drop_result)
        type->drop_result(result);
    if (err == -EINVAL)
        fail(job, WFI_STATE_FAILURE, "kombu.exceptions", "EncodeError", error.text);
    else if (err)
        fail(job, WFI_STATE_FAILURE, "builtins", "MemoryError", wf_strerror(err));
}

/* ---- running a task ---- */

static wf_deadline limit_after(double seconds)
{
    return seconds > 0 && seconds < 9e9 ? wf_after(WF_SECONDS(seconds)) : WF_FOREVER;
}

/* Waits for the task, asking it to stop at its limits. Returns whether its end still counts: not
 * beyond the hard limit, where what is stored is stored at once. */
static bool wait_within_limits(struct job *job, struct wf_future *f, bool *ret_soft)
{
    const wf_deadline soft = limit_after(job->in.message.soft_s);
    const wf_deadline hard = limit_after(job->in.message.hard_s);
    *ret_soft = false;
    int err = wf_future_wait(f, wf_earlier(soft, hard));
    if (err == -ETIMEDOUT) {
        *ret_soft = soft.ns < hard.ns;
        (void)wf_future_cancel(f);
        if (*ret_soft)
            err = wf_future_wait(f, hard);
    }
    if (err != -ETIMEDOUT)
        return true;
    fail_for_time(job);
    acknowledge(job);
    (void)wf_future_wait(f, WF_FOREVER);
    return false;
}

static void run_bound(struct job *job, const struct wf_task_type *type, void *args)
{
    struct worker *worker = job->worker;
    max_align_t room[RESULT_WORDS];
    void *result = room;
    struct wf_error error = {0};
    bool soft;
    if (type->result_bytes > sizeof room || type->align > _Alignof(max_align_t))
        result = wfi_zalloc_aligned(type->align > 16 ? type->align : 16, type->result_bytes);
    if (!result) {
        wf_error_set(&error, -ENOMEM, NULL);
        fail_with(job, WFI_STATE_FAILURE, &error);
        return;
    }
    if (!worker->options->acks_late)
        acknowledge(job);
    if (worker->options->track_started)
        store_started(job);
    struct wf_future *f = wf_submit(worker->pool, type, NULL, args);
    const bool counts = wait_within_limits(job, f, &soft);
    const bool canceled = wf_future_state(f) == WF_FUTURE_CANCELED;
    int err = wf_future_result(&f, result, WF_FOREVER, &error);
    leave_slot(job);
    if (!counts && !err && type->drop_result)
        type->drop_result(result);
    else if (counts && !err)
        succeed(job, type, result);
    else if (counts && canceled && soft)
        fail(job, WFI_STATE_FAILURE, "billiard.exceptions", "SoftTimeLimitExceeded", NULL);
    else if (counts)
        fail_with(job, canceled ? WFI_STATE_REVOKED : WFI_STATE_FAILURE, &error);
    leave_storing(job);
    if (result != room)
        wfi_free(result);
}

static bool asks_for(const struct wfi_json_piece *piece)
{
    return !wfi_json_piece_is_null(piece) &&
           !(wf_json_type(piece->value) == WF_JSON_ARRAY && wf_json_count(piece->value) == 0);
}

/* What of the canvas the message asks for; NULL: nothing. */
static const char *canvas_of(const struct wfi_message *m)
{
    return asks_for(&m->callbacks)  ? "callbacks (link)"
           : asks_for(&m->errbacks) ? "errbacks (link_error)"
           : asks_for(&m->chain)    ? "a chain"
           : asks_for(&m->chord)    ? "a chord"
                                    : NULL;
}

/* With a slot. */
static void run(struct job *job, const struct wf_task_type *type)
{
    const struct wfi_message *m = &job->in.message;
    struct wfi_arguments arguments = {0};
    struct wf_error error = {0};
    const char *exc = "MemoryError", *module = "builtins";
    int err = wfi_message_read_body(&job->in, 0, &error);
    if (err == WFI_MESSAGE_FAIL) {
        exc = job->in.exc_type;
        module = job->in.exc_module;
    } else if (!err && canvas_of(m)) {
        exc = "NotImplementedError";
        err = wf_error_set(&error, -ENOTSUP, "this worker does not carry out %s", canvas_of(m));
    } else if (!err) {
        err = wfi_arguments_bind(type, m->args.value, m->kwargs.value, &arguments, &exc, &error);
    }
    if (!err)
        run_bound(job, type, arguments.args);
    else
        fail(job, WFI_STATE_FAILURE, module, exc, error.text);
    wfi_arguments_fini(&arguments);
}

/* ---- a message ---- */

static bool is_expired(const struct wfi_message *m)
{
    return m->expires && now_us() > m->expires_us;
}

/* Until its eta. Returns 0 or -ECANCELED. */
static int wait_for_eta(struct job *job)
{
    const struct wfi_message *m = &job->in.message;
    int err = 0;
    for (int64_t now; !err && m->eta && m->eta_us > (now = now_us());) {
        const int64_t left_us = m->eta_us - now;
        give_permit_up(job);
        err = wf_sleep(wf_after(left_us < ETA_LOOK_NS / 1000 ? left_us * 1000 : ETA_LOOK_NS));
    }
    return err;
}

/* The task of this name, if it can be called from outside; those of the library's own cannot. */
static const struct wf_task_type *find_task(struct worker *worker, const char *name)
{
    struct wf_error error;
    const struct wf_task_type *type = strncmp(name, "wfi_", 4) == 0 ? NULL : wf_task_find(name);
    if (type && !type->call)
        return NULL;
    if (!type || !wfi_arguments_check(type, &error))
        return type;
    say(worker, WF_CELERY_ERROR, "task %.100s cannot be called: %s", name, error.text);
    return NULL;
}

/* Ends a message without its task. */
static void refuse(struct job *job, enum wfi_task_state state, const char *type, const char *text)
{
    begin(job);
    WF_SHIELD(WF_FOREVER) {
        fail(job, state, "celery.exceptions", type, text);
        acknowledge(job);
    }
}

/* Ends a message that is none. */
static void drop(struct job *job, const struct wf_error *error)
{
    begin(job);
    say(job->worker, WF_CELERY_ERROR, "a message of queue %.100s is dropped: %s",
        job->message->queue, error->text);
    acknowledge(job);
}

/* There was no memory to look at it: somebody may have. */
static void pass_on(struct job *job)
{
    begin(job);
    say(job->worker, WF_CELERY_ERROR, "out of memory: a message goes back to its queue");
    WF_SHIELD(WF_FOREVER) {
        (void)wf_sleep(wf_after(PAUSE_NS));
        (void)wfi_redis_broker_give_back(job->worker->broker, job->message, false,
                                         wf_after(GIVE_BACK_NS));
        job->message = NULL;
    }
}

int wfi_celery_message(struct wf_task *self, struct job *job, wf_none *ret)
{
    struct worker *worker = job->worker;
    const struct wfi_message *m = &job->in.message;
    struct wf_error error = {0};
    (void)self, (void)ret;
    int fate = wfi_message_read_redis(job->message->text, job->message->len, &job->in, &error);
    if (fate == -ENOMEM) {
        pass_on(job);
        return 0;
    }
    if (fate != WFI_MESSAGE_RUN) {
        drop(job, &error);
        return 0;
    }
    const struct wf_task_type *type = find_task(worker, m->task);
    if (!type) {
        refuse(job, WFI_STATE_FAILURE, "NotRegistered", m->task);
        return 0;
    }
    if (!is_expired(m)) {
        if (wait_for_eta(job) || wf_semaphore_acquire(&worker->slots, 1, WF_FOREVER))
            return 0; /* settle sees to it */
        job->has_slot = true;
        if (wfi_load(&worker->stopping))
            return 0;
    }
    if (is_expired(m)) {
        refuse(job, WFI_STATE_REVOKED, "TaskRevokedError", "expired");
        return 0;
    }
    begin(job);
    WF_SHIELD(WF_FOREVER) {
        run(job, type);
        acknowledge(job);
    }
    return 0;
}
WF_TASK_DEFINE_WITH(wfi_celery_message, .drop_args = settle)

/* ---- taking ---- */

static void start_message(struct worker *worker, struct wfi_redis_message *message, uint64_t number)
{
    struct job *job = wfi_zalloc(sizeof *job);
    if (!job) {
        say(worker, WF_CELERY_ERROR, "out of memory: a message goes back to its queue");
        WF_SHIELD(WF_FOREVER) {
            (void)wfi_redis_broker_give_back(worker->broker, message, false,
                                             wf_after(GIVE_BACK_NS));
        }
        (void)wf_semaphore_release(&worker->prefetch, 1);
        return;
    }
    *job = (struct job){.worker = worker, .message = message, .number = number, .has_permit = true};
    wfi_fetch_add(&worker->not_begun, 1);
    (void)wfi_celery_message_go(worker->scope, job); /* refused, it is settled */
}

/*
 * A step is half of the messages that may wait: to take one as soon as there is room for one would
 * be a round trip each. What may run is not counted, lest slots be idle until a step is full.
 */
static uint64_t step_of(const struct worker *worker)
{
    const uint64_t waiting = worker->prefetch_max - worker->concurrency;
    return waiting < 2 ? 1 : waiting / 2 < TAKE_MAX ? waiting / 2 : TAKE_MAX;
}

int wfi_celery_consume(struct wf_task *self, struct worker *worker, wf_none *ret)
{
    const uint64_t step = step_of(worker);
    uint64_t number = 0;
    (void)self, (void)ret;
    while (wf_semaphore_acquire(&worker->prefetch, step, WF_FOREVER) == 0) {
        struct wfi_list messages = {0};
        uint64_t room = step, more = wf_semaphore_value(&worker->prefetch);
        more = more < TAKE_MAX - room ? more : TAKE_MAX - room;
        if (more && wf_semaphore_try_acquire(&worker->prefetch, more) == 0)
            room += more;
        int n = wfi_redis_broker_take(worker->broker, (int)room, &messages, WF_FOREVER);
        const uint64_t unused = room - (n > 0 ? (uint64_t)n : 0);
        if (unused)
            (void)wf_semaphore_release(&worker->prefetch, unused);
        for (struct wfi_link *link; n > 0 && (link = wfi_list_pop_front(&messages));)
            start_message(worker, wfi_container_of(link, struct wfi_redis_message, link), number++);
        if (n == -EPIPE || n == -ECANCELED || (n == -ENOMEM && wf_sleep(wf_after(PAUSE_NS))))
            break;
    }
    return 0;
}

static void consume_ended(void *args)
{
    count_begun(((struct wfi_celery_consume_args *)args)->worker);
}
WF_TASK_DEFINE_WITH(wfi_celery_consume, .drop_args = consume_ended)

/* ---- serving ---- */

static void stop(struct worker *worker)
{
    wfi_store(&worker->stopping, true);
    wf_event_set(&worker->wake);
}

int wfi_celery_keep(struct wf_task *self, struct worker *worker, wf_none *ret)
{
    (void)self, (void)ret;
    worker->broker_err = wfi_redis_broker_run(worker->broker, &worker->error);
    stop(worker);
    return 0;
}
WF_TASK_DEFINE(wfi_celery_keep)

/* The job that was taken last, taken out of the list; NULL when it is empty. */
static struct job *youngest(struct worker *worker)
{
    struct job *found = NULL;
    lock(worker);
    struct wfi_link *link = wfi_list_first(&worker->left);
    for (; link; link = wfi_list_next(&worker->left, link)) {
        struct job *job = wfi_container_of(link, struct job, link);
        if (!found || job->number > found->number)
            found = job;
    }
    if (found)
        wfi_list_remove(&found->link);
    wf_mutex_unlock(&worker->lock);
    return found;
}

/* Once nothing is left that is not begun. Shielded. */
static void give_back(struct worker *worker)
{
    const wf_deadline deadline = wf_after(GIVE_BACK_NS);
    size_t count = 0, failed = 0;
    for (;;) {
        wf_event_clear(&worker->wake);
        if (wfi_load(&worker->not_begun) == 0)
            break;
        int err = wf_event_wait(&worker->wake, WF_FOREVER);
        wfi_assert(!err, "the end of a worker is shielded");
    }
    for (struct job *job; (job = youngest(worker)); count++) {
        failed += wfi_redis_broker_give_back(worker->broker, job->message, true, deadline) != 0;
        destroy_job(job);
    }
    if (count)
        say(worker, WF_CELERY_INFO, "messages given back: %zu of %zu", count - failed, count);
}

int wfi_celery_serve(struct wf_task *self, struct worker *worker, wf_none *ret)
{
    wf_none none;
    struct wf_error error, refused;
    struct wf_scope storage, *scope = wf_scope_open(&storage, NULL, WF_FOREVER);
    struct wf_future *keep = wfi_celery_keep_submit(wf_task_executor(self), worker).future;
    (void)ret;
    worker->scope = scope;
    wfi_store(&worker->not_begun, 1);
    (void)wfi_celery_consume_go(scope, worker); /* refused, the scope is cancelled */
    if (wf_future_state(keep) == WF_FUTURE_FAILED)
        stop(worker); /* it was refused */
    while (!wfi_load(&worker->stopping) && wf_event_wait(&worker->wake, WF_FOREVER) == 0)
        wf_event_clear(&worker->wake);
    wfi_store(&worker->stopping, true);
    say(worker, WF_CELERY_INFO, "%s stops", worker->name);
    wf_scope_cancel(scope);
    WF_SHIELD(WF_FOREVER) {
        give_back(worker);
    }
    /* Of its own accord the scope fails only when there is no memory to start a child. */
    const bool no_memory = wf_scope_close(scope, &error) == -ENOMEM;
    (void)wf_future_cancel(keep);
    WF_SHIELD(WF_FOREVER) {
        int err = wf_future_result(&keep, &none, WF_FOREVER, &refused);
        if (err && err != -ECANCELED) {
            worker->broker_err = err;
            worker->error = refused;
        }
    }
    if (no_memory)
        return wf_task_fail_with(self, &error);
    return worker->broker_err && worker->broker_err != -ECANCELED
               ? wf_task_fail_with(self, &worker->error)
               : 0;
}
WF_TASK_DEFINE(wfi_celery_serve)

/* ---- the caller ---- */

static void connection_lost(void *arg, const struct wf_error *error, int64_t pause_ns)
{
    say(arg, WF_CELERY_ERROR, "broker: %s; connecting again in %g s", error->text,
        (double)pause_ns / 1e9);
}

static void connected(void *arg)
{
    struct worker *worker = arg;
    struct wfi_celery_url url;
    char shown[WFI_CELERY_URL_BYTES];
    const char *broker = worker->options->broker ? worker->options->broker : "redis://";
    if (!wfi_celery_url_parse(broker, &url, NULL))
        say(worker, WF_CELERY_INFO, "%s takes messages from %.500s", worker->name,
            wfi_celery_url_format(&url, shown));
}

static int read_url(const char *what, const char *text, struct wfi_celery_url *ret,
                    struct wf_error *reterr)
{
    int err = wfi_celery_url_parse(text, ret, reterr);
    if (!err && ret->transport != WFI_TRANSPORT_REDIS)
        err = wf_error_set(reterr, -ENOTSUP, "only Redis is supported so far");
    if (err && reterr)
        wf_error_prefix(reterr, "%s", what);
    return err;
}

static int open_broker(struct worker *worker, struct wf_error *reterr)
{
    static const char *const celery[] = {"celery"};
    const struct wf_celery_worker_options *options = worker->options;
    const char *const *queues = options->queue_count ? options->queues : celery;
    const size_t count = options->queue_count ? options->queue_count : 1;
    struct wfi_celery_url url;
    int err = read_url("broker", options->broker ? options->broker : "redis://", &url, reterr);
    if (!err)
        err = wfi_redis_broker_create(
            &(struct wfi_redis_broker_options){.url = &url,
                                               .visibility_ns = options->visibility_ns,
                                               .restore_ns = options->restore_ns,
                                               .prefix = options->prefix,
                                               .lost = connection_lost,
                                               .connected = connected,
                                               .arg = worker},
            &worker->broker, reterr);
    for (size_t i = 0; !err && i < count; i++) {
        err = wfi_redis_broker_add_queue(worker->broker, queues[i]);
        if (err)
            wf_error_set(reterr, err,
                         err == -EEXIST ? "queue %.100s is named twice" : "queue %.100s: no memory",
                         queues[i]);
    }
    return err;
}

static int open_store(struct worker *worker, struct wf_error *reterr)
{
    const struct wf_celery_worker_options *options = worker->options;
    const int64_t expires_s = options->result_expires_s;
    struct wfi_celery_url url;
    if (!options->backend)
        return 0;
    int err = read_url("result backend", options->backend, &url, reterr);
    if (err)
        return err;
    return wfi_store_create(&(struct wfi_store_options){.url = &url,
                                                        .prefix = options->prefix,
                                                        .expires_s = expires_s < 0    ? 0
                                                                     : expires_s == 0 ? 86400
                                                                                      : expires_s},
                            &worker->store, reterr);
}

static int open_pool(struct worker *worker, struct wf_executor *on, struct wf_error *reterr)
{
    const struct wf_celery_worker_options *options = worker->options;
    int err = 0;
    worker->concurrency = options->concurrency ? (uint64_t)options->concurrency
                          : options->pool      ? wf_executor_workers(options->pool)
                                               : wf_executor_workers(on);
    worker->prefetch_max =
        worker->concurrency *
        (uint64_t)(options->prefetch_multiplier ? options->prefetch_multiplier : 4);
    worker->pool = options->pool;
    if (!worker->pool)
        err = wf_threads_create(
            &(struct wf_threads_options){.workers = (int)worker->concurrency, .name = "celery"},
            &worker->pool, reterr);
    worker->own_pool = !options->pool;
    if (!err)
        err = wf_semaphore_init(&worker->prefetch, worker->prefetch_max, 0);
    if (!err)
        err = wf_semaphore_init(&worker->slots, worker->concurrency, 0);
    return err ? err : wf_semaphore_init(&worker->storing, STORING_MAX, 0);
}

static void destroy(struct worker *worker)
{
    if (worker->own_pool)
        wf_executor_destroy(worker->pool);
    wfi_store_destroy(worker->store);
    wfi_redis_broker_destroy(worker->broker);
    wf_mutex_fini(&worker->lock);
    wf_event_fini(&worker->wake);
    wfi_free(worker);
}

static void name_it(struct worker *worker)
{
    char host[64] = "localhost";
    if (worker->options->name) {
        snprintf(worker->name, sizeof worker->name, "%s", worker->options->name);
        return;
    }
    if (gethostname(host, sizeof host - 1))
        snprintf(host, sizeof host, "localhost");
    host[sizeof host - 1] = '\0';
    snprintf(worker->name, sizeof worker->name, "celery@%s", host);
}

/* The caller waits; see the top. */
static int serve(struct worker *worker, struct wf_executor *on, struct wf_error *reterr)
{
    wf_none none;
    struct wf_future *f = wfi_celery_serve_submit(on, worker).future;
    wf_future_shield(f);
    const bool canceled = wf_future_wait(f, WF_FOREVER) == -ECANCELED;
    int err = 0;
    if (canceled)
        stop(worker);
    WF_SHIELD(WF_FOREVER) {
        err = wf_future_result(&f, &none, WF_FOREVER, reterr);
    }
    return canceled && !err ? wf_error_set(reterr, -ECANCELED, NULL) : err;
}

int wf_celery_worker_run(const struct wf_celery_worker_options *options, struct wf_error *reterr)
{
    struct wf_task *self = wf_task_self();
    struct wf_executor *on = self ? wf_task_executor(self) : NULL;
    if (!on || strcmp(wf_executor_engine(on), "fibers") != 0)
        return wf_error_set(reterr, -EINVAL, "a worker is run by a task on a fibers executor");
    if (options->concurrency < 0 || options->prefetch_multiplier < 0 ||
        options->visibility_ns < 0 || options->restore_ns < 0)
        return wf_error_set(reterr, -EINVAL, "a worker's numbers are not negative");
    struct worker *worker = wfi_zalloc(sizeof *worker);
    if (!worker)
        return wf_error_set(reterr, -ENOMEM, NULL);
    worker->options = options;
    wf_mutex_init(&worker->lock);
    wf_event_init(&worker->wake);
    name_it(worker);
    int err = open_broker(worker, reterr);
    if (!err)
        err = open_store(worker, reterr);
    if (!err)
        err = open_pool(worker, on, reterr);
    if (!err)
        err = serve(worker, on, reterr);
    destroy(worker);
    return err;
}
