/* SPDX-License-Identifier: MIT */
/*
 * What a running task can do when a worker runs it: all of it is put into the outcome of the call,
 * and carried out by the worker.
 */
#include <weft/celery_task.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "celery/message/repr.h"
#include "celery/message/signature.h"
#include "celery/worker/running.h"

/* Celery's own numbers. */
#define RETRIES_MAX 3
#define RETRY_DELAY_NS WF_SECONDS(180)
#define BACKOFF_MAX_NS WF_SECONDS(600)

/* Of arguments, in an exception whose text has to fit into struct wf_error. */
enum { SHOWN_MAX = 80 };

const char wfi_running_key = 0;

struct wfi_running *wfi_running_of(const struct wf_task *self)
{
    return self ? wf_task_note(self, &wfi_running_key) : NULL;
}

static int nobody(struct wf_task *self)
{
    return wf_task_fail(self, -ENOTSUP, "no Celery worker runs this task");
}

/* ---- the request ---- */

const struct wf_celery_request *wf_celery_task_request(const struct wf_task *self)
{
    struct wfi_running *running = wfi_running_of(self);
    return running ? &running->request : NULL;
}

const struct wf_json_value *wf_celery_header(const struct wf_task *self, const char *name)
{
    struct wfi_running *running = wfi_running_of(self);
    if (!running)
        return NULL;
    if (!running->headers.value && running->headers.text) {
        (void)wf_json_read(running->headers.text, running->headers.len, NULL,
                           &running->headers_tree, NULL);
        running->headers.text = NULL;
        if (running->headers_tree)
            running->headers.value = wf_json_root(running->headers_tree);
    }
    return wf_json_get(running->headers.value, name);
}

/* ---- retries ---- */

int64_t wfi_running_now_us(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int wfi_running_retry(struct wfi_running *running, int64_t countdown_ns, int64_t eta_us,
                      int max_retries, const struct wf_error *cause)
{
    const struct wf_celery_task *celery = running->type->celery;
    int max = max_retries ? max_retries : celery ? celery->max_retries : 0;
    if (!max)
        max = RETRIES_MAX;
    if (max > 0 && running->request.retries >= max)
        return -ENOENT;
    running->outcome->ending = WFI_CALL_RETRIED;
    running->outcome->eta_us =
        eta_us ? eta_us : wfi_running_now_us() + (countdown_ns > 0 ? countdown_ns / 1000 : 0);
    running->has_cause = cause != NULL;
    if (cause)
        running->cause = *cause;
    running->wished = true;
    return WF_ENORESULT;
}

static int64_t delay_of(const struct wf_celery_task *celery)
{
    return celery && celery->retry_delay_ns ? celery->retry_delay_ns : RETRY_DELAY_NS;
}

static bool retries_for(const struct wf_celery_task *celery, int code)
{
    if (!celery || !celery->autoretry_for)
        return celery && celery->autoretry;
    for (const int *one = celery->autoretry_for; *one; one++)
        if (*one == code)
            return true;
    return false;
}

/* Twice as long each time, and then any part of that: those that failed together are not to come
 * back together. */
static int64_t backoff(const struct wfi_running *running, const struct wf_celery_task *celery)
{
    const int64_t max =
        celery->retry_backoff_max_ns ? celery->retry_backoff_max_ns : BACKOFF_MAX_NS;
    int64_t ns = celery->retry_backoff_ns;
    for (int64_t i = 0; i < running->request.retries && ns > 0 && ns < max; i++)
        ns = ns > max / 2 ? max : ns * 2;
    if (ns > max)
        ns = max;
    if (celery->retry_exactly || ns <= 0)
        return ns > 0 ? ns : -1;
    const char *id = running->request.id ? running->request.id : "";
    const uint64_t random = wfi_hash_bytes(id, strlen(id), (uint64_t)wf_now());
    return (int64_t)(random % ((uint64_t)ns + 1));
}

bool wfi_running_autoretry(struct wfi_running *running, const struct wf_error *error)
{
    const struct wf_celery_task *celery = running->type->celery;
    if (!retries_for(celery, error->code))
        return false;
    const int64_t ns = celery->retry_backoff_ns ? backoff(running, celery) : delay_of(celery);
    return wfi_running_retry(running, ns, 0, 0, error) == WF_ENORESULT;
}

/* No retries are left. */
static int give_up(struct wf_task *self, const struct wfi_running *running,
                   const struct wf_error *cause)
{
    struct wfi_buffer text = {0};
    if (cause)
        return wf_task_fail_with(self, cause);
    int err = wfi_buffer_printf(&text, "Can't retry %.60s[%.60s] args:", running->type->name,
                                running->request.id ? running->request.id : "");
    if (!err)
        err = wfi_repr_tuple(&text, running->args.value, SHOWN_MAX);
    if (!err)
        err = wfi_buffer_append_text(&text, " kwargs:");
    if (!err)
        err = wfi_repr(&text, running->kwargs.value, SHOWN_MAX);
    const char *shown = err ? NULL : wfi_buffer_text(&text);
    err = shown ? wf_celery_raise(self, "celery.exceptions", "MaxRetriesExceededError", shown)
                : wf_task_fail(self, -ENOMEM, NULL);
    wfi_buffer_reset(&text);
    return err;
}

/* Keeps a text of the options, which has to be of this type. */
static int keep(struct wf_task *self, struct wfi_running *running, const char *text,
                enum wf_json_type type, const char *what, struct wfi_json_piece *ret)
{
    struct wf_error error;
    *ret = (struct wfi_json_piece){0};
    if (!text)
        return 0;
    const int err = wfi_outcome_keep(running->outcome, text, strlen(text), ret, &error);
    if (err == -ENOMEM)
        return wf_task_fail(self, -ENOMEM, NULL);
    if (err)
        return wf_task_fail(self, -EINVAL, "%s: %s", what, error.text);
    if (wf_json_type(ret->value) != type)
        return wf_task_fail(self, -EINVAL, "%s is no JSON %s", what,
                            type == WF_JSON_ARRAY ? "array" : "object");
    return 0;
}

int wf_task_retry(struct wf_task *self, const struct wf_celery_retry *options)
{
    static const struct wf_celery_retry none;
    struct wfi_running *running = wfi_running_of(self);
    struct wfi_json_piece args, kwargs;
    options = options ? options : &none;
    if (!running)
        return options->error ? wf_task_fail_with(self, options->error) : nobody(self);
    struct wfi_outcome *outcome = running->outcome;
    int err = keep(self, running, options->args, WF_JSON_ARRAY, "args", &args);
    if (!err)
        err = keep(self, running, options->kwargs, WF_JSON_OBJECT, "kwargs", &kwargs);
    if (err)
        return err;
    const char *queue = options->queue ? wfi_outcome_keep_text(outcome, options->queue) : NULL;
    if (options->queue && !queue)
        return wf_task_fail(self, -ENOMEM, NULL);
    const int64_t countdown_ns =
        options->countdown_ns ? options->countdown_ns : delay_of(running->type->celery);
    if (wfi_running_retry(running, countdown_ns, options->eta_us, options->max_retries,
                          options->error) != WF_ENORESULT)
        return give_up(self, running, options->error);
    outcome->args = args;
    outcome->kwargs = kwargs;
    outcome->queue = queue;
    return WF_ENORESULT;
}

/* ---- other ends ---- */

static int keep_signature(struct wf_task *self, struct wfi_running *running, const char *text,
                          struct wfi_json_piece *ret)
{
    struct wfi_signature signature;
    struct wf_error error;
    int err = keep(self, running, text ? text : "", WF_JSON_OBJECT, "the signature", ret);
    if (!err && wfi_signature_read(ret->value, &signature, &error))
        err = wf_task_fail(self, -EINVAL, "%s", error.text);
    return err;
}

int wf_celery_replace(struct wf_task *self, const char *signature)
{
    struct wfi_running *running = wfi_running_of(self);
    struct wfi_json_piece piece;
    if (!running)
        return nobody(self);
    const int err = keep_signature(self, running, signature, &piece);
    if (err)
        return err;
    running->outcome->ending = WFI_CALL_REPLACED;
    running->outcome->result = piece;
    running->wished = true;
    return WF_ENORESULT;
}

int wf_celery_add_to_chord(struct wf_task *self, const char *signature)
{
    struct wfi_running *running = wfi_running_of(self);
    struct wfi_json_piece piece;
    if (!running)
        return nobody(self);
    if (!running->in_chord)
        return wf_task_fail(self, -EINVAL, "the task is not a part of a chord");
    int err = keep_signature(self, running, signature, &piece);
    if (!err && wfi_outcome_add_part(running->outcome, &piece))
        err = wf_task_fail(self, -ENOMEM, NULL);
    return err;
}

static int end_as(struct wf_task *self, enum wfi_call_ending ending, bool requeue)
{
    struct wfi_running *running = wfi_running_of(self);
    if (!running)
        return nobody(self);
    running->outcome->ending = ending;
    running->outcome->requeue = requeue;
    running->wished = true;
    return WF_ENORESULT;
}

int wf_celery_ignore(struct wf_task *self)
{
    return end_as(self, WFI_CALL_IGNORED, false);
}

int wf_celery_reject(struct wf_task *self, bool requeue)
{
    return end_as(self, WFI_CALL_REJECTED, requeue);
}

int wf_celery_raise(struct wf_task *self, const char *module, const char *exception,
                    const char *text)
{
    struct wfi_running *running = wfi_running_of(self);
    (void)wf_task_fail(self, WF_ETASKFAILED, "%.63s%s%s", exception, text ? ": " : "",
                       text ? text : "");
    if (running) {
        (void)wf_task_failure(self, WF_ETASKFAILED, &running->raised);
        snprintf(running->raised_module, sizeof running->raised_module, "%s", module);
        snprintf(running->raised_type, sizeof running->raised_type, "%s", exception);
        running->raised_text = text ? strlen(running->raised_type) + 2 : 0;
    }
    return WF_ETASKFAILED;
}

/* ---- states ---- */

int wf_celery_update_state(struct wf_task *self, const char *state, const char *meta)
{
    struct wfi_running *running = wfi_running_of(self);
    struct wf_json *tree = NULL;
    if (!running)
        return -ENOTSUP;
    if (!state || !state[0])
        return -EINVAL;
    meta = meta ? meta : "null";
    const struct wfi_json_piece piece = {.text = meta, .len = strlen(meta)};
    int err = wf_json_read(piece.text, piece.len, NULL, &tree, NULL);
    wf_json_destroy(tree);
    if (err)
        return err == -ENOMEM ? err : -EINVAL;
    return running->update ? running->update(running, state, &piece) : 0;
}
