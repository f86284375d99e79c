/* SPDX-License-Identifier: MIT */
/*
 * The steps of one canvas are carried out in their order. A chord that is found to be complete has
 * a canvas of its own, whose steps are carried out in between: a body that will never run may be
 * itself a part of another chord, and so on, as deep as signatures lie in each other.
 */
#include "celery/worker/follow.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "celery/backend/chord_store.h"
#include "celery/backend/group.h"
#include "celery/message/moment.h"
#include "celery/message/uuid.h"

/* Chords whose failing bodies are parts of others: more than signatures can be nested. */
enum { CHORDS_MAX = 32 };

/* As Celery's result_chord_join_timeout. */
#define JOIN_NS WF_SECONDS(3)

static int64_t now_us(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- ids ---- */

static void new_id(void *arg, char ret_id[WFI_ID_BYTES])
{
    struct wfi_follow *f = arg;
    const uint64_t n = ++f->made;
    wfi_uuid_write(wfi_hash_u64(f->seed[0] + n), wfi_hash_u64(f->seed[1] ^ n), ret_id);
}

/* A run of the request is told from its retries and replacements, which have the same id. */
static int seed(struct wfi_follow *f)
{
    const struct wfi_message *r = f->context.request;
    struct wfi_buffer text = {0};
    int err = wfi_buffer_printf(&text, "%s %" PRId64 " %" PRId64, r->id, r->retries,
                                r->replaced_task_nesting);
    for (uint64_t i = 0; !err && i < 2; i++)
        f->seed[i] = wfi_hash_bytes(text.data, text.len, i + 1);
    wfi_buffer_reset(&text);
    return err;
}

/* ---- results ---- */

int wfi_follow_store(const struct wfi_follow_with *with, const struct wfi_result *result,
                     struct wf_error *reterr)
{
    struct wfi_result dated = *result;
    char date[WFI_MOMENT_BYTES];
    if (!with->store)
        return 0;
    if (wfi_state_is_final(result->state)) {
        wfi_moment_write(now_us(), false, date);
        dated.date_done = date;
    }
    return wfi_store_result(with->store, &dated, WF_FOREVER, reterr);
}

bool wfi_follow_is_hopeless(int err)
{
    return err == WF_EPARSE || err == WF_ETOOBIG || err == -EINVAL || err == -EREMOTEIO ||
           err == -ENOTSUP;
}

/* ---- steps ---- */

static int need_store(const struct wfi_follow *f, struct wf_error *reterr)
{
    return f->with->store && wfi_store_keeps(f->with->store)
               ? 0
               : wf_error_set(reterr, -ENOTSUP,
                              "chords are counted in a result store, and there is none");
}

static int send(struct wfi_follow *f, const struct wfi_canvas_step *step, struct wf_error *reterr)
{
    struct wfi_message message = step->message;
    const char *queue = f->with->queue;
    if (step->queue) {
        message.properties.exchange = NULL;
        message.properties.routing_key = step->queue;
    } else if (step->exchange || step->routing_key) {
        /* What is left out is the default queue's: its exchange and key have its name. */
        message.properties.exchange = step->exchange ? step->exchange : queue;
        message.properties.routing_key = step->routing_key ? step->routing_key : queue;
    } else {
        message.properties.exchange = NULL;
        message.properties.routing_key = queue;
    }
    if (!step->has_priority)
        message.properties.priority = 0;
    int err = f->with->send(f->with->arg, &message, reterr);
    if (err == -ENOENT)
        err = wf_error_set(reterr, -EREMOTEIO, "exchange %.100s has no queue for it",
                           message.properties.exchange);
    if (err && reterr)
        wf_error_prefix(reterr, "sending %.100s", message.task);
    return err;
}

static int grow(struct wfi_follow *f, const struct wfi_canvas_step *step, struct wf_error *reterr)
{
    char mark[WFI_ID_BYTES];
    int err = need_store(f, reterr);
    if (err)
        return err;
    new_id(f, mark);
    return wfi_chord_grow(f->with->store, step->group_id, mark, WF_FOREVER, reterr);
}

static int carry_out(struct wfi_follow *f, struct wfi_canvas *canvas, size_t *done, unsigned depth,
                     struct wf_error *reterr);

/* A chord's body cannot be sent, for a reason that stays: that becomes the chord's end. */
static int give_chord_up(struct wfi_follow *f, const struct wfi_chord_part *part, unsigned depth,
                         const struct wf_error *reason, struct wf_error *reterr)
{
    struct wf_json_writer *w;
    struct wfi_canvas *canvas = NULL;
    struct wfi_json_piece member = {0};
    size_t done = 0;
    int err = wfi_message_writer_create(&w);
    if (err)
        return wf_error_set(reterr, err, NULL);
    wf_json_write_array(w);
    wf_json_write_int(w, 1);
    wfi_json_write_text(w, part->task_id);
    wfi_json_write_text(w, wfi_state_name(WFI_STATE_FAILURE));
    wfi_exception_write_error(w, reason);
    wf_json_write_end(w);
    err = wf_json_writer_text(w, &member.text, &member.len);
    if (!err)
        err = wfi_canvas_create(&canvas);
    if (err)
        wf_error_set(reterr, err, NULL);
    else
        err = wfi_canvas_chord_complete(canvas, &f->context, part, &member, 1, reterr);
    if (!err)
        err = carry_out(f, canvas, &done, depth + 1, reterr);
    wfi_canvas_destroy(canvas);
    wf_json_writer_destroy(w);
    return err;
}

/* The texts of the parts that are done, in their order. */
static int read_parts(struct wfi_follow *f, const char *group_id, struct wfi_group_members *ret,
                      struct wf_error *reterr)
{
    struct wfi_redis_answer answer = {0};
    int err = wfi_chord_read(f->with->store, group_id, &answer, WF_FOREVER, reterr);
    if (err)
        return err;
    const redisReply *parts = answer.replies[0], *group = answer.replies[1];
    if (parts->type != REDIS_REPLY_ARRAY)
        err = wf_error_set(reterr, -EREMOTEIO, "chord %.100s: its parts are no list", group_id);
    else if (group->type == REDIS_REPLY_STRING)
        err =
            wfi_group_read(ret, f->with->store, group->str, group->len, wf_after(JOIN_NS), reterr);
    else
        for (size_t i = 0; !err && i < parts->elements; i++)
            err = wfi_group_add(ret, parts->element[i]->str, parts->element[i]->len, reterr);
    wfi_redis_answer_fini(&answer);
    return err;
}

static int complete(struct wfi_follow *f, const struct wfi_chord_part *part, unsigned depth,
                    struct wf_error *reterr)
{
    struct wfi_group_members members = {0};
    struct wfi_canvas *canvas = NULL;
    struct wf_error reason = {0};
    size_t done = 0;
    int err = read_parts(f, part->group_id, &members, &reason);
    if (!err) {
        err = wfi_canvas_create(&canvas);
        if (err)
            wf_error_set(&reason, err, NULL);
    }
    if (!err)
        err = wfi_canvas_chord_complete(canvas, &f->context, part, wfi_group_pieces(&members),
                                        wfi_group_count(&members), &reason);
    if (!err)
        err = carry_out(f, canvas, &done, depth + 1, &reason);
    wfi_canvas_destroy(canvas);
    wfi_group_reset(&members);
    if (err && reterr)
        *reterr = reason;
    if (wfi_follow_is_hopeless(err)) {
        struct wf_error again;
        int err2 = give_chord_up(f, part, depth, &reason, &again);
        if (err2 && !wfi_follow_is_hopeless(err2))
            return err2;
    } else if (err) {
        return err;
    }
    int err2 = wfi_chord_forget(f->with->store, part->group_id, WF_FOREVER, err ? NULL : reterr);
    return err ? err : err2;
}

/* `value` is a text. */
static int count(struct wfi_follow *f, const struct wfi_chord_part *part, enum wfi_task_state state,
                 const struct wfi_json_piece *value, unsigned depth, struct wf_error *reterr)
{
    bool is_complete = false;
    const struct wfi_chord_done done = {.group_id = part->group_id,
                                        .task_id = part->task_id,
                                        .state = wfi_state_name(state),
                                        .has_index = part->has_group_index,
                                        .index = part->group_index,
                                        .result = value->text,
                                        .len = value->len};
    int err = need_store(f, reterr);
    if (!err)
        err = wfi_chord_count_part(f->with->store, &done, &is_complete, WF_FOREVER, reterr);
    if (err || !is_complete)
        return err;
    return depth < CHORDS_MAX ? complete(f, part, depth, reterr)
                              : wf_error_set(reterr, WF_ETOOBIG, "chords are nested too deep");
}

/* The same for a value that may be none. */
static int count_piece(struct wfi_follow *f, const struct wfi_chord_part *part,
                       enum wfi_task_state state, const struct wfi_json_piece *value,
                       unsigned depth, struct wf_error *reterr)
{
    struct wf_json_writer *w;
    struct wfi_json_piece text = {0};
    if (!value->value && value->text)
        return count(f, part, state, value, depth, reterr);
    int err = wfi_message_writer_create(&w);
    if (err)
        return wf_error_set(reterr, err, NULL);
    wfi_json_write_piece(w, value, "null");
    err = wf_json_writer_text(w, &text.text, &text.len);
    if (err)
        wf_error_set(reterr, err, NULL);
    else
        err = count(f, part, state, &text, depth, reterr);
    wf_json_writer_destroy(w);
    return err;
}

static int carry_out_step(struct wfi_follow *f, const struct wfi_canvas_step *step, unsigned depth,
                          struct wf_error *reterr)
{
    int err = 0;
    switch (step->kind) {
    case WFI_STEP_SEND:
        return send(f, step, reterr);
    case WFI_STEP_CHORD_SIZE:
        err = need_store(f, reterr);
        return err ? err
                   : wfi_chord_set_size(f->with->store, step->group_id, step->count, WF_FOREVER,
                                        reterr);
    case WFI_STEP_CHORD_GROWN:
        return grow(f, step, reterr);
    case WFI_STEP_STORE: {
        struct wfi_result result = step->result;
        if (!result.reply_to && f->context.request)
            result.reply_to = f->context.request->properties.reply_to;
        return wfi_follow_store(f->with, &result, reterr);
    }
    case WFI_STEP_CHORD_PART:
        return count_piece(f, &step->part, step->result.state, &step->result.result, depth, reterr);
    }
    return err;
}

/* All steps are tried: what cannot be done does not keep the others from it, unless it may be done
 * later. Returns the first error. */
static int carry_out(struct wfi_follow *f, struct wfi_canvas *canvas, size_t *done, unsigned depth,
                     struct wf_error *reterr)
{
    int first = 0;
    for (; *done < wfi_canvas_count(canvas); ++*done) {
        int err = carry_out_step(f, wfi_canvas_step(canvas, *done), depth, first ? NULL : reterr);
        if (err && !wfi_follow_is_hopeless(err))
            return err;
        first = first ? first : err;
    }
    return first;
}

static int carry_on(struct wfi_follow *f, int err, struct wf_error *reterr)
{
    return err ? err : carry_out(f, f->canvas, &f->done, 0, reterr);
}

/* ---- ends ---- */

int wfi_follow_begin(struct wfi_follow *f, const struct wfi_follow_with *with,
                     const struct wfi_message *request)
{
    *f = (struct wfi_follow){.with = with,
                             .context = {.request = request,
                                         .origin = with->origin,
                                         .now_us = now_us(),
                                         .new_id = new_id,
                                         .arg = f}};
    int err = wfi_canvas_create(&f->canvas);
    return err ? err : seed(f);
}

void wfi_follow_end(struct wfi_follow *f)
{
    wfi_canvas_destroy(f->canvas);
    f->canvas = NULL;
}

bool wfi_follow_is_needed(const struct wfi_message *request)
{
    struct wfi_chord_part part;
    return wf_json_count(request->callbacks.value) > 0 || wf_json_count(request->chain.value) > 0 ||
           wfi_chord_part_of(request, &part);
}

int wfi_follow_add_parts(struct wfi_follow *f, const struct wfi_json_piece *parts, size_t count,
                         struct wf_error *reterr)
{
    int err = 0;
    for (size_t i = 0; !err && i < count; i++)
        err = wfi_canvas_add_to_chord(f->canvas, &f->context, parts[i].value, reterr);
    return carry_on(f, err, reterr);
}

int wfi_follow_succeeded(struct wfi_follow *f, const struct wfi_json_piece *result,
                         struct wf_error *reterr)
{
    return carry_on(f, wfi_canvas_succeeded(f->canvas, &f->context, result, reterr), reterr);
}

int wfi_follow_failed(struct wfi_follow *f, const struct wfi_result *failure,
                      struct wf_error *reterr)
{
    /* What a success has sent, which then could not be brought to its end, has other ids. */
    f->made += UINT64_C(1) << 32;
    return carry_on(f, wfi_canvas_failed(f->canvas, &f->context, failure, reterr), reterr);
}

int wfi_follow_replaced(struct wfi_follow *f, const struct wf_json_value *signature,
                        struct wf_error *reterr)
{
    return carry_on(f, wfi_canvas_replace(f->canvas, &f->context, signature, reterr), reterr);
}

int wfi_follow_retry(struct wfi_follow *f, const struct wfi_follow_again *again,
                     struct wf_error *reterr)
{
    const struct wfi_message *request = f->context.request;
    struct wfi_message changed = *request;
    if (again->args.value || again->args.text) {
        changed.args = again->args;
        changed.argsrepr = NULL; /* it would show others */
    }
    if (again->kwargs.value || again->kwargs.text) {
        changed.kwargs = again->kwargs;
        changed.kwargsrepr = NULL;
    }
    if (again->queue) {
        changed.properties.exchange = "";
        changed.properties.routing_key = again->queue;
    } else if (!changed.properties.routing_key) {
        changed.properties.exchange = "";
        changed.properties.routing_key = again->came_from;
    } else if (!changed.properties.exchange) {
        changed.properties.exchange = "";
    }
    f->context.request = &changed;
    int err = wfi_canvas_retry(f->canvas, &f->context, again->eta_us, reterr);
    f->context.request = request;
    return err;
}

int wfi_follow_carry_on(struct wfi_follow *f, struct wf_error *reterr)
{
    return carry_on(f, 0, reterr);
}

int wfi_follow_counted(struct wfi_follow *f, const struct wfi_json_piece *result,
                       struct wf_error *reterr)
{
    struct wfi_chord_part part;
    return wfi_chord_part_of(f->context.request, &part)
               ? count_piece(f, &part, WFI_STATE_SUCCESS, result, 0, reterr)
               : 0;
}

int wfi_follow_children(struct wfi_follow *f, struct wfi_json_piece *ret)
{
    return wfi_canvas_children(f->canvas, ret);
}
