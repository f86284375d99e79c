/* SPDX-License-Identifier: MIT */
/*
 * Calls. What runs on the engine is `wfi_celery_call`, which gets the call by its address, or, in
 * another process, `wfi_celery_call_across`, which gets a letter and answers with one:
 *
 *     struct letter, and its texts     what is known of the request, and the message's body
 *     struct answer, and its texts     the outcome
 *
 * Both sides of a letter are one program, so it has the machine's own form; its lengths are checked
 * all the same, since a process that has run wild may have written it.
 *
 * A task's own drop_args is not called: what the arguments point to is not the task's.
 */
#include "celery/worker/call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/processes.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "celery/message/arguments.h"
#include "celery/message/result.h"
#include "celery/worker/running.h"

/* A result up to this size needs no memory of its own. */
#define RESULT_WORDS 16

WF_TASK(wf_none, wfi_celery_call, (struct wfi_call *, call))
WF_TASK(wf_bytes, wfi_celery_call_across, (wf_task_ref, task), (wf_bytes, letter))

/* ---- what outcomes keep ---- */

struct wfi_kept {
    struct wfi_kept *next;
    struct wf_json *tree;
    char text[];
};

static struct wfi_kept *keep(struct wfi_outcome *outcome, const char *text, size_t len)
{
    struct wfi_kept *kept = wfi_alloc(sizeof *kept + len + 1);
    if (!kept)
        return NULL;
    *kept = (struct wfi_kept){.next = outcome->kept};
    memcpy(kept->text, text, len);
    kept->text[len] = '\0';
    outcome->kept = kept;
    return kept;
}

int wfi_outcome_keep(struct wfi_outcome *outcome, const char *text, size_t len,
                     struct wfi_json_piece *ret, struct wf_error *reterr)
{
    struct wfi_kept *kept = keep(outcome, text, len);
    if (!kept)
        return wf_error_set(reterr, -ENOMEM, NULL);
    const int err = wf_json_read(text, len, NULL, &kept->tree, reterr);
    if (!err)
        *ret = (struct wfi_json_piece){wf_json_root(kept->tree), kept->text, len};
    return err;
}

const char *wfi_outcome_keep_text(struct wfi_outcome *outcome, const char *text)
{
    const struct wfi_kept *kept = keep(outcome, text, strlen(text));
    return kept ? kept->text : NULL;
}

int wfi_outcome_add_part(struct wfi_outcome *outcome, const struct wfi_json_piece *signature)
{
    struct wfi_json_piece *parts =
        wfi_realloc(outcome->parts, (outcome->part_count + 1) * sizeof *parts);
    if (!parts)
        return -ENOMEM;
    outcome->parts = parts;
    parts[outcome->part_count++] = *signature;
    return 0;
}

void wfi_outcome_fini(struct wfi_outcome *outcome)
{
    for (struct wfi_kept *kept; (kept = outcome->kept);) {
        outcome->kept = kept->next;
        wf_json_destroy(kept->tree);
        wfi_free(kept);
    }
    wf_json_writer_destroy(outcome->writer);
    wf_result_free(outcome->bytes);
    wfi_free(outcome->parts);
    *outcome = (struct wfi_outcome){0};
}

/* ---- ends ---- */

static void no_memory(struct wfi_outcome *outcome)
{
    outcome->ending = WFI_CALL_FAILED;
    outcome->result = wfi_exception_no_memory;
    wf_error_set(&outcome->error, -ENOMEM, NULL);
}

/* The result is what has been written. */
static void take_written(struct wfi_outcome *outcome)
{
    outcome->result.value = NULL;
    if (wf_json_writer_text(outcome->writer, &outcome->result.text, &outcome->result.len))
        no_memory(outcome);
}

static void write_error(struct wfi_outcome *outcome, enum wfi_call_ending ending,
                        const struct wf_error *error)
{
    outcome->ending = ending;
    outcome->error = *error;
    if (!outcome->writer && wfi_message_writer_create(&outcome->writer)) {
        no_memory(outcome);
        return;
    }
    wfi_exception_write_error(outcome->writer, error);
    take_written(outcome);
}

/* The arguments do not fit, or the result. */
static void write_text(struct wfi_outcome *outcome, const char *module, const char *type,
                       const char *text)
{
    outcome->ending = WFI_CALL_FAILED;
    wf_error_set(&outcome->error, -EINVAL, "%s: %s", type, text);
    wfi_exception_write_text(outcome->writer, module, type, text);
    take_written(outcome);
}

/* The failure of the task's function, or the cause of its retry. */
static void write_failure(struct wfi_running *running, enum wfi_call_ending ending,
                          const struct wf_error *error)
{
    struct wfi_outcome *outcome = running->outcome;
    const struct wf_error *raised = &running->raised;
    if (raised->code != error->code || strcmp(raised->text, error->text) != 0) {
        write_error(outcome, ending, error);
        return;
    }
    outcome->ending = ending;
    outcome->error = *error;
    wfi_exception_write_text(outcome->writer, running->raised_module, running->raised_type,
                             running->raised_text ? raised->text + running->raised_text : NULL);
    take_written(outcome);
}

static void write_value(struct wfi_running *running, void *result)
{
    const struct wf_task_type *type = running->type;
    struct wfi_outcome *outcome = running->outcome;
    struct wf_error error = {0};
    const int err = wfi_arguments_write_result(outcome->writer, type, result, &error);
    outcome->ending = WFI_CALL_SUCCEEDED;
    if (!err)
        take_written(outcome);
    else if (err == -ENOMEM)
        no_memory(outcome);
    else
        write_text(outcome, "kombu.exceptions", "EncodeError", error.text);
    if (type->drop_result)
        type->drop_result(result);
}

/* The task's function has returned a negative code. */
static void write_end(struct wfi_running *running, int code)
{
    struct wfi_outcome *outcome = running->outcome;
    struct wf_error error;
    const bool ends_as_wished = code == WF_ENORESULT && running->wished;
    if (!ends_as_wished) {
        const bool canceled = code == -ECANCELED && wf_checkpoint(running->self);
        (void)wf_task_failure(running->self, code, &error);
        if (canceled || !wfi_running_autoretry(running, &error)) {
            write_failure(running, canceled ? WFI_CALL_CANCELED : WFI_CALL_FAILED, &error);
            return;
        }
    }
    if (outcome->ending != WFI_CALL_RETRIED)
        return;
    if (running->has_cause) {
        write_failure(running, WFI_CALL_RETRIED, &running->cause);
        return;
    }
    const double left_s = (double)(outcome->eta_us - wfi_running_now_us()) / 1e6;
    wf_error_set(&outcome->error, WF_ETASKFAILED, "in %.3g s", left_s > 0 ? left_s : 0.0);
    wf_json_write_null(outcome->writer); /* as Celery does it */
    take_written(outcome);
}

/* ---- the task's side ---- */

static void call_bound(struct wfi_running *running, void *args)
{
    const struct wf_task_type *type = running->type;
    max_align_t room[RESULT_WORDS];
    void *result = room;
    if (type->result_bytes > sizeof room || type->align > _Alignof(max_align_t))
        result = wfi_zalloc_aligned(type->align > 16 ? type->align : 16, type->result_bytes);
    else
        memset(room, 0, type->result_bytes);
    if (!result) {
        no_memory(running->outcome);
        return;
    }
    const int code = type->call(running->self, args, result);
    if (code >= 0)
        write_value(running, result);
    else
        write_end(running, code);
    if (result != room)
        wfi_free(result);
}

/* Binds the arguments and calls. */
static void run(struct wfi_running *running)
{
    struct wfi_outcome *outcome = running->outcome;
    struct wfi_arguments arguments = {0};
    struct wf_error error = {0};
    const char *exc = "MemoryError";
    if (wfi_message_writer_create(&outcome->writer)) {
        no_memory(outcome);
        return;
    }
    const int err = wfi_arguments_bind(running->type, running->args.value, running->kwargs.value,
                                       &arguments, &exc, &error);
    if (!err) {
        wf_task_set_note(running->self, &wfi_running_key, running);
        call_bound(running, arguments.args);
        wf_task_set_note(running->self, NULL, NULL);
    } else if (err == -EINVAL) {
        write_text(outcome, "builtins", exc, error.text);
    } else {
        no_memory(outcome);
    }
    wfi_arguments_fini(&arguments);
    wf_json_destroy(running->headers_tree);
}

static int update_here(struct wfi_running *running, const char *state,
                       const struct wfi_json_piece *meta)
{
    const struct wfi_call *call = running->arg;
    return call->update ? call->update(call->arg, state, meta) : 0;
}

static bool asks_for(const struct wfi_json_piece *piece)
{
    return !wfi_json_piece_is_null(piece);
}

int wfi_celery_call(struct wf_task *self, struct wfi_call *call, wf_none *ret)
{
    const struct wfi_message *m = &call->in->message;
    struct wfi_running running = {.self = self,
                                  .type = call->type,
                                  .headers.value = m->headers,
                                  .args = m->args,
                                  .kwargs = m->kwargs,
                                  .in_chord = asks_for(&m->chord),
                                  .outcome = &call->outcome,
                                  .update = update_here,
                                  .arg = call};
    (void)ret;
    running.request = (struct wf_celery_request){
        .id = m->id,
        .root_id = m->root_id,
        .parent_id = m->parent_id,
        .group_id = m->group,
        .group_index = m->has_group_index ? m->group_index : -1,
        .retries = m->retries,
        .eta = m->eta,
        .expires = m->expires,
        .soft_time_limit_s = call->soft_s,
        .time_limit_s = call->hard_s,
        .exchange = m->properties.exchange,
        .routing_key = m->properties.routing_key,
        .priority = m->properties.priority,
        .redelivered = m->properties.redelivered,
        .reply_to = m->properties.reply_to,
        .origin = m->origin,
        .worker = call->worker,
    };
    run(&running);
    return 0;
}
WF_TASK_DEFINE(wfi_celery_call)

/* ---- letters ---- */

enum {
    LETTER_ID,
    LETTER_ROOT_ID,
    LETTER_PARENT_ID,
    LETTER_GROUP_ID,
    LETTER_ETA,
    LETTER_EXPIRES,
    LETTER_EXCHANGE,
    LETTER_ROUTING_KEY,
    LETTER_REPLY_TO,
    LETTER_ORIGIN,
    LETTER_WORKER,
    LETTER_HEADERS, /* JSON */
    LETTER_BODY,    /* JSON */
    LETTER_TEXTS
};

enum { ANSWER_RESULT, ANSWER_TRACEBACK, ANSWER_ARGS, ANSWER_KWARGS, ANSWER_QUEUE, ANSWER_TEXTS };

/* Of each text its length and a NUL, so that 0 says that there is none. */
struct letter {
    uint64_t lengths[LETTER_TEXTS];
    struct wf_shared_queue *states; /* NULL: none are stored */
    uint64_t number;                /* of the call there */
    int64_t group_index, retries;
    double soft_s, hard_s;
    int priority;
    bool redelivered, in_chord;
};

/* The parts follow the texts, each a length as above and the text. */
struct answer {
    uint64_t lengths[ANSWER_TEXTS];
    enum wfi_call_ending ending;
    bool requeue;
    int64_t eta_us;
    struct wf_error error;
    uint64_t part_count;
    uint64_t state_count; /* that were pushed */
};

/* A text as it is put into a letter. */
struct text {
    const char *text;
    size_t len;
};

static struct text text_of(const char *text)
{
    return (struct text){text, text ? strlen(text) : 0};
}

static struct text text_of_piece(const struct wfi_json_piece *piece)
{
    return (struct text){piece->text, piece->len};
}

static uint64_t length_of(const struct text *text)
{
    return text->text ? text->len + 1 : 0;
}

/* Where a letter is read. */
struct reader {
    const char *at;
    size_t left;
};

static bool take(struct reader *from, void *ret, size_t bytes)
{
    if (from->left < bytes)
        return false;
    memcpy(ret, from->at, bytes);
    from->at += bytes;
    from->left -= bytes;
    return true;
}

static bool take_text(struct reader *from, uint64_t length, struct text *ret)
{
    *ret = (struct text){0};
    if (!length)
        return true;
    if (from->left < length || from->at[length - 1])
        return false;
    *ret = (struct text){from->at, (size_t)length - 1};
    from->at += length;
    from->left -= (size_t)length;
    return true;
}

/* ---- the letter ---- */

static int write_letter(struct wfi_call *call, struct wfi_buffer *to)
{
    const struct wfi_message *m = &call->in->message;
    struct text texts[LETTER_TEXTS] = {
        [LETTER_ID] = text_of(m->id),
        [LETTER_ROOT_ID] = text_of(m->root_id),
        [LETTER_PARENT_ID] = text_of(m->parent_id),
        [LETTER_GROUP_ID] = text_of(m->group),
        [LETTER_ETA] = text_of(m->eta),
        [LETTER_EXPIRES] = text_of(m->expires),
        [LETTER_EXCHANGE] = text_of(m->properties.exchange),
        [LETTER_ROUTING_KEY] = text_of(m->properties.routing_key),
        [LETTER_REPLY_TO] = text_of(m->properties.reply_to),
        [LETTER_ORIGIN] = text_of(m->origin),
        [LETTER_WORKER] = text_of(call->worker),
        [LETTER_BODY] = {call->in->envelope.body, call->in->envelope.body_len},
    };
    struct letter letter = {.group_index = m->has_group_index ? m->group_index : -1,
                            .retries = m->retries,
                            .soft_s = call->soft_s,
                            .hard_s = call->hard_s,
                            .priority = m->properties.priority,
                            .redelivered = m->properties.redelivered,
                            .in_chord = asks_for(&m->chord),
                            .states = call->states ? wfi_states_queue(call->states) : NULL,
                            .number = call->user.number};
    struct wf_json_writer *headers;
    int err = wf_json_writer_create(NULL, &headers);
    if (err)
        return err;
    wf_json_write_value(headers, m->headers);
    err = wf_json_writer_text(headers, &texts[LETTER_HEADERS].text, &texts[LETTER_HEADERS].len);
    for (int i = 0; i < LETTER_TEXTS; i++)
        letter.lengths[i] = length_of(&texts[i]);
    if (!err)
        err = wfi_buffer_append(to, &letter, sizeof letter);
    for (int i = 0; i < LETTER_TEXTS && !err; i++) {
        if (!texts[i].text)
            continue;
        err = wfi_buffer_append(to, texts[i].text, texts[i].len);
        if (!err)
            err = wfi_buffer_append(to, "", 1); /* the body ends with none of its own */
    }
    wf_json_writer_destroy(headers);
    return err;
}

/* Where a task in another process puts its states. */
struct pushing {
    struct wf_shared_queue *queue;
    uint64_t number, count;
};

static int update_across(struct wfi_running *running, const char *state,
                         const struct wfi_json_piece *meta)
{
    struct pushing *pushing = running->arg;
    if (!pushing->queue)
        return 0;
    const int err = wfi_states_push(pushing->queue, pushing->number, state, meta);
    pushing->count += !err;
    return err;
}

static int read_letter(const wf_bytes *bytes, struct wfi_running *running, struct pushing *pushing,
                       struct text *ret_body)
{
    struct reader from = {bytes->ptr, bytes->len};
    struct letter letter;
    struct text texts[LETTER_TEXTS];
    if (!take(&from, &letter, sizeof letter))
        return WF_EPROTOCOL;
    for (int i = 0; i < LETTER_TEXTS; i++)
        if (!take_text(&from, letter.lengths[i], &texts[i]))
            return WF_EPROTOCOL;
    running->request = (struct wf_celery_request){
        .id = texts[LETTER_ID].text,
        .root_id = texts[LETTER_ROOT_ID].text,
        .parent_id = texts[LETTER_PARENT_ID].text,
        .group_id = texts[LETTER_GROUP_ID].text,
        .group_index = letter.group_index,
        .retries = letter.retries,
        .eta = texts[LETTER_ETA].text,
        .expires = texts[LETTER_EXPIRES].text,
        .soft_time_limit_s = letter.soft_s,
        .time_limit_s = letter.hard_s,
        .exchange = texts[LETTER_EXCHANGE].text,
        .routing_key = texts[LETTER_ROUTING_KEY].text,
        .priority = letter.priority,
        .redelivered = letter.redelivered,
        .reply_to = texts[LETTER_REPLY_TO].text,
        .origin = texts[LETTER_ORIGIN].text,
        .worker = texts[LETTER_WORKER].text,
    };
    running->headers = (struct wfi_json_piece){.text = texts[LETTER_HEADERS].text,
                                               .len = texts[LETTER_HEADERS].len};
    running->in_chord = letter.in_chord;
    *pushing = (struct pushing){.queue = letter.states, .number = letter.number};
    *ret_body = texts[LETTER_BODY];
    return 0;
}

/* ---- the answer ---- */

static void put(char **to, const void *from, size_t bytes)
{
    if (bytes)
        memcpy(*to, from, bytes);
    *to += bytes;
}

static void put_text(char **to, const struct text *text)
{
    if (!text->text)
        return;
    put(to, text->text, text->len);
    put(to, "", 1);
}

static int write_answer(struct wf_task *self, const struct wfi_outcome *outcome,
                        uint64_t state_count, wf_bytes *ret)
{
    const struct text texts[ANSWER_TEXTS] = {
        [ANSWER_RESULT] = text_of_piece(&outcome->result),
        [ANSWER_TRACEBACK] = text_of(outcome->traceback),
        [ANSWER_ARGS] = text_of_piece(&outcome->args),
        [ANSWER_KWARGS] = text_of_piece(&outcome->kwargs),
        [ANSWER_QUEUE] = text_of(outcome->queue),
    };
    struct answer answer = {.ending = outcome->ending,
                            .requeue = outcome->requeue,
                            .eta_us = outcome->eta_us,
                            .error = outcome->error,
                            .part_count = outcome->part_count,
                            .state_count = state_count};
    size_t bytes = sizeof answer;
    for (int i = 0; i < ANSWER_TEXTS; i++)
        bytes += answer.lengths[i] = length_of(&texts[i]);
    for (size_t i = 0; i < outcome->part_count; i++)
        bytes += sizeof(uint64_t) + outcome->parts[i].len + 1;
    char *at = wf_result_alloc(self, bytes);
    if (!at)
        return -ENOMEM;
    *ret = (wf_bytes){at, bytes};
    put(&at, &answer, sizeof answer);
    for (int i = 0; i < ANSWER_TEXTS; i++)
        put_text(&at, &texts[i]);
    for (size_t i = 0; i < outcome->part_count; i++) {
        const struct text part = text_of_piece(&outcome->parts[i]);
        const uint64_t length = length_of(&part);
        put(&at, &length, sizeof length);
        put_text(&at, &part);
    }
    return 0;
}

/* Reads a text of JSON that is wanted as a value. */
static int keep_value(struct wfi_outcome *outcome, const struct text *text,
                      struct wfi_json_piece *ret)
{
    return text->text ? wfi_outcome_keep(outcome, text->text, text->len, ret, NULL) : 0;
}

static int read_parts(struct reader *from, uint64_t count, struct wfi_outcome *outcome)
{
    int err = 0;
    for (uint64_t i = 0; i < count && !err; i++) {
        struct wfi_json_piece part;
        struct text text;
        uint64_t length;
        if (!take(from, &length, sizeof length) || !length || !take_text(from, length, &text))
            return WF_EPROTOCOL;
        err = keep_value(outcome, &text, &part);
        if (!err)
            err = wfi_outcome_add_part(outcome, &part);
    }
    return err;
}

/* The outcome points into the bytes. Returns 0, WF_EPROTOCOL, WF_EPARSE or -ENOMEM. */
static int read_answer(const wf_bytes *bytes, struct wfi_outcome *outcome, uint64_t *ret_states)
{
    struct reader from = {bytes->ptr, bytes->len};
    struct answer answer;
    struct text texts[ANSWER_TEXTS];
    if (!take(&from, &answer, sizeof answer))
        return WF_EPROTOCOL;
    for (int i = 0; i < ANSWER_TEXTS; i++)
        if (!take_text(&from, answer.lengths[i], &texts[i]))
            return WF_EPROTOCOL;
    const bool has_result = answer.ending != WFI_CALL_IGNORED && answer.ending != WFI_CALL_REJECTED;
    if (answer.ending > WFI_CALL_CANCELED || (has_result && !texts[ANSWER_RESULT].text))
        return WF_EPROTOCOL;
    *ret_states = answer.state_count;
    outcome->ending = answer.ending;
    outcome->requeue = answer.requeue;
    outcome->eta_us = answer.eta_us;
    outcome->error = answer.error;
    outcome->error.text[sizeof outcome->error.text - 1] = '\0';
    outcome->error.task[sizeof outcome->error.task - 1] = '\0';
    outcome->error.origin[sizeof outcome->error.origin - 1] = '\0';
    outcome->traceback = texts[ANSWER_TRACEBACK].text;
    outcome->queue = texts[ANSWER_QUEUE].text;
    outcome->result =
        (struct wfi_json_piece){.text = texts[ANSWER_RESULT].text, .len = texts[ANSWER_RESULT].len};
    int err = 0;
    if (answer.ending == WFI_CALL_REPLACED)
        err = keep_value(outcome, &texts[ANSWER_RESULT], &outcome->result);
    if (!err)
        err = keep_value(outcome, &texts[ANSWER_ARGS], &outcome->args);
    if (!err)
        err = keep_value(outcome, &texts[ANSWER_KWARGS], &outcome->kwargs);
    return err ? err : read_parts(&from, answer.part_count, outcome);
}

/* In the other process. What goes wrong before the task is called is the outcome, too. */
int wfi_celery_call_across(struct wf_task *self, wf_task_ref task, wf_bytes letter, wf_bytes *ret)
{
    struct wfi_outcome outcome = {0};
    struct pushing pushing = {0};
    struct wfi_running running = {
        .self = self, .type = task, .outcome = &outcome, .update = update_across, .arg = &pushing};
    struct wf_json *body = NULL;
    struct wf_error error = {0};
    struct text text;
    int err = read_letter(&letter, &running, &pushing, &text);
    if (!err)
        err = wf_json_read(text.text, text.len, NULL, &body, &error);
    if (!err) {
        running.args.value = wf_json_at(wf_json_root(body), 0);
        running.kwargs.value = wf_json_at(wf_json_root(body), 1);
        run(&running);
    } else {
        wf_error_set(&error, err, NULL);
        write_error(&outcome, WFI_CALL_FAILED, &error);
    }
    err = write_answer(self, &outcome, pushing.count, ret);
    wfi_outcome_fini(&outcome);
    wf_json_destroy(body);
    return err;
}
WF_TASK_DEFINE_WITH(wfi_celery_call_across, .drop_result = wf_drop_bytes)

/* ---- the worker's side ---- */

struct wf_future *wfi_call_submit(struct wfi_call *call)
{
    const struct wf_submit_options options = {.name = call->type->name};
    call->across = strcmp(wf_executor_engine(call->on), "processes") == 0;
    call->outcome = (struct wfi_outcome){0};
    if (!call->across)
        return wf_submit(call->on, &wfi_celery_call_task, &options,
                         &(struct wfi_celery_call_args){call});
    struct wfi_buffer letter = {0};
    struct wf_future *f = NULL;
    if (!call->update)
        call->states = NULL;
    if (call->states) {
        call->user = (struct wfi_states_user){.update = call->update, .arg = call->arg};
        wfi_states_enter(call->states, &call->user);
    }
    if (write_letter(call, &letter) == 0) {
        const struct wfi_celery_call_across_args args = {call->type, {letter.data, letter.len}};
        f = wf_submit(call->on, &wfi_celery_call_across_task, &options, &args);
    }
    wfi_buffer_reset(&letter); /* it was copied */
    return f;
}

/* The outcome of a future that has ended. */
static void take_outcome(struct wfi_call *call, struct wf_future **f, struct wfi_outcome *ret,
                         uint64_t *ret_states)
{
    struct wf_error error = {0};
    wf_bytes answer = {0};
    const bool canceled =
        wf_future_wait(*f, WF_FOREVER) == 0 && wf_future_state(*f) == WF_FUTURE_CANCELED;
    int err = wf_future_result(f, call->across ? &answer : NULL, WF_FOREVER, &error);
    if (!err && !call->across) {
        *ret = call->outcome;
        return;
    }
    if (!err) {
        ret->bytes = (void *)(uintptr_t)answer.ptr;
        err = read_answer(&answer, ret, ret_states);
        if (!err)
            return;
        wf_error_set(&error, err, "the answer of the process that ran it: %s", wf_strerror(err));
    }
    write_error(ret,
                err == WF_EWORKERDIED ? WFI_CALL_LOST
                : canceled            ? WFI_CALL_CANCELED
                                      : WFI_CALL_FAILED,
                &error);
}

void wfi_call_end(struct wfi_call *call, struct wf_future **f, struct wfi_outcome *ret)
{
    uint64_t states = 0;
    *ret = (struct wfi_outcome){0};
    if (*f)
        take_outcome(call, f, ret, &states);
    else
        no_memory(ret);
    if (call->across && call->states)
        wfi_states_leave(call->states, &call->user, states);
}
