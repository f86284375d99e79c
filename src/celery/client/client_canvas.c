/* SPDX-License-Identifier: MIT */
/*
 * Signatures as a program makes them, and what a client does with one: the steps that canvas.h
 * gives, one after the other.
 *
 * A signature is its text, or the error that stands for it; one that is made of others takes over
 * the first error among them.
 */
#include <weft/celery_canvas.h>

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "celery/backend/chord_store.h"
#include "celery/client/client.h"
#include "celery/message/canvas.h"
#include "celery/message/message.h"
#include "celery/message/moment.h"
#include "celery/message/typed.h"

/* As deep as canvas goes; JSON itself is not nested deeper in what is read. */
#define DEPTH_MAX 100

struct wf_celery_signature {
    struct wf_error error; /* code 0: there is a text */
    char *text;
    size_t len;
};

/* ---- making ---- */

static struct wf_celery_signature *failed(struct wf_celery_signature *s, int code,
                                          const struct wf_error *error)
{
    if (s && !s->error.code) {
        if (error && error->code)
            s->error = *error;
        else
            wf_error_set(&s->error, code, NULL);
    }
    return s;
}

/* Takes what the writer has, and destroys it. */
static struct wf_celery_signature *take_text(struct wf_celery_signature *s,
                                             struct wf_json_writer *w, int err)
{
    const char *text;
    size_t len = 0;
    if (!err)
        err = wf_json_writer_text(w, &text, &len);
    if (!err) {
        wfi_free(s->text);
        s->text = wfi_alloc(len + 1);
        if (s->text)
            memcpy(s->text, text, len + 1);
        else
            err = -ENOMEM;
        s->len = len;
    }
    wf_json_writer_destroy(w);
    return err ? failed(s, err, NULL) : s;
}

static struct wfi_json_piece piece_of(const char *text)
{
    return (struct wfi_json_piece){.text = text, .len = text ? strlen(text) : 0};
}

static void write_text(struct wf_json_writer *w, const char *key, const char *text)
{
    if (!text)
        return;
    wf_json_write_key(w, key);
    wf_json_write_string(w, text, strlen(text));
}

static void write_raw(struct wf_json_writer *w, const char *key, const char *json)
{
    if (!json)
        return;
    wf_json_write_key(w, key);
    wf_json_write_raw(w, json, strlen(json));
}

static void write_number(struct wf_json_writer *w, const char *key, double number)
{
    if (number == 0)
        return;
    wf_json_write_key(w, key);
    wf_json_write_double(w, number);
}

static void write_moment(struct wf_json_writer *w, const char *key, int64_t us)
{
    char text[WFI_MOMENT_BYTES];
    if (!us)
        return;
    wf_json_write_key(w, key);
    wf_json_write_string(w, text, wfi_moment_write(us, true, text));
}

static void write_apply(struct wf_json_writer *w, const struct wf_celery_apply *apply)
{
    wf_json_write_object(w);
    write_text(w, "task_id", apply->id);
    write_text(w, "queue", apply->queue);
    write_number(w, "countdown", (double)apply->countdown_ns / 1e9);
    write_moment(w, "eta", apply->countdown_ns ? 0 : apply->eta_us);
    write_number(w, "expires", (double)apply->expires_ns / 1e9);
    write_moment(w, "expires", apply->expires_ns ? 0 : apply->expires_at_us);
    if (apply->priority) {
        wf_json_write_key(w, "priority");
        wf_json_write_int(w, apply->priority);
    }
    if (apply->retries) {
        wf_json_write_key(w, "retries");
        wf_json_write_int(w, apply->retries);
    }
    write_number(w, "soft_time_limit", apply->soft_s);
    write_number(w, "time_limit", apply->hard_s);
    if (apply->ignore_result) {
        wf_json_write_key(w, "ignore_result");
        wf_json_write_bool(w, true);
    }
    write_text(w, "shadow", apply->shadow);
    write_raw(w, "headers", apply->headers);
    write_raw(w, "link", apply->callbacks);
    write_raw(w, "link_error", apply->errbacks);
    wf_json_write_end(w);
}

static int check(const char *text, enum wf_json_type type, const char *what,
                 struct wf_error *reterr)
{
    struct wf_json *tree = NULL;
    if (!text)
        return 0;
    int err = wf_json_read(text, strlen(text), NULL, &tree, NULL);
    if (err)
        return wf_error_set(reterr, err == -ENOMEM ? err : -EINVAL, "%s are no JSON", what);
    const bool right = wf_json_type(wf_json_root(tree)) == type;
    wf_json_destroy(tree);
    return right ? 0
                 : wf_error_set(reterr, -EINVAL, "%s are no %s", what,
                                type == WF_JSON_ARRAY ? "array" : "object");
}

static int check_all(const char *name, const char *args, const char *kwargs,
                     const struct wf_celery_apply *apply, struct wf_error *reterr)
{
    int err = name && name[0] ? 0 : wf_error_set(reterr, -EINVAL, "a task without a name");
    if (!err)
        err = check(args, WF_JSON_ARRAY, "args", reterr);
    if (!err)
        err = check(kwargs, WF_JSON_OBJECT, "kwargs", reterr);
    if (!err)
        err = check(apply->headers, WF_JSON_OBJECT, "headers", reterr);
    if (!err)
        err = check(apply->callbacks, WF_JSON_ARRAY, "callbacks", reterr);
    if (!err)
        err = check(apply->errbacks, WF_JSON_ARRAY, "errbacks", reterr);
    if (!err && (apply->priority < 0 || apply->priority > 9))
        err = wf_error_set(reterr, -ERANGE, "priority %d; there are 0 to 9", apply->priority);
    return err;
}

struct wf_celery_signature *wf_celery_signature_create(const char *name, const char *args,
                                                       const char *kwargs,
                                                       const struct wf_celery_apply *apply)
{
    static const struct wf_celery_apply defaults;
    struct wf_json_writer *options = NULL, *w = NULL;
    struct wf_error error = {0};
    struct wf_celery_signature *s = wfi_zalloc(sizeof *s);
    if (!s)
        return NULL;
    if (!apply)
        apply = &defaults;
    if (check_all(name, args, kwargs, apply, &error)) {
        wf_error_prefix(&error, "signature %.100s", name ? name : "");
        return failed(s, 0, &error);
    }
    struct wfi_signature fields = {
        .task = name, .args = piece_of(args), .kwargs = piece_of(kwargs)};
    int err = wfi_message_writer_create(&options);
    if (!err)
        err = wfi_message_writer_create(&w);
    if (!err) {
        write_apply(options, apply);
        err = wf_json_writer_text(options, &fields.options.text, &fields.options.len);
    }
    if (!err)
        wfi_signature_write(w, &fields);
    s = take_text(s, w, err);
    wf_json_writer_destroy(options);
    return s;
}

struct wf_celery_signature *wf_celery_signature_of(const struct wf_task_type *type,
                                                   const void *args, size_t skip,
                                                   const struct wf_celery_apply *apply)
{
    struct wf_json_writer *w = NULL;
    struct wf_error error = {0};
    struct wf_celery_signature *s = NULL;
    const char *text;
    int err = wfi_typed_check(type, &error);
    if (!err)
        err = wfi_message_writer_create(&w);
    if (!err)
        err = wfi_typed_write_args(w, type, args, skip, &error);
    if (!err)
        err = wf_json_writer_text(w, &text, NULL);
    s = err ? failed(wfi_zalloc(sizeof *s), err, &error)
            : wf_celery_signature_create(type->name, text, NULL, apply);
    wf_json_writer_destroy(w);
    return s;
}

struct wf_celery_signature *wf_celery_signature_read(const char *text)
{
    struct wf_json *tree = NULL;
    struct wfi_signature fields;
    struct wf_error error = {0};
    struct wf_celery_signature *s = wfi_zalloc(sizeof *s);
    if (!s)
        return NULL;
    int err = wf_json_read(text, strlen(text), NULL, &tree, &error);
    if (!err)
        err = wfi_signature_read(wf_json_root(tree), &fields, &error);
    wf_json_destroy(tree);
    if (err && err != -ENOMEM)
        error.code = err = -EINVAL;
    s->text = err ? NULL : wfi_strdup(text);
    s->len = s->text ? strlen(text) : 0;
    return s->text ? s : failed(s, -ENOMEM, err ? &error : NULL);
}

struct wf_celery_signature *wf_celery_immutable(struct wf_celery_signature *s)
{
    struct wf_json *tree = NULL;
    struct wf_json_writer *w = NULL;
    struct wfi_signature fields;
    if (!s || s->error.code)
        return s;
    int err = wf_json_read(s->text, s->len, NULL, &tree, NULL);
    if (!err)
        err = wfi_signature_read(wf_json_root(tree), &fields, NULL);
    if (!err)
        err = wfi_message_writer_create(&w);
    if (!err) {
        fields.immutable = true;
        wfi_signature_write(w, &fields);
    }
    s = take_text(s, w, err);
    wf_json_destroy(tree);
    return s;
}

/* Makes one of others, and destroys them. */
static struct wf_celery_signature *
put_together(struct wf_celery_signature *const *parts, size_t count,
             struct wf_celery_signature *const *body,
             void (*write)(struct wf_json_writer *w, const struct wfi_json_piece *tasks,
                           size_t count, const struct wfi_json_piece *body))
{
    struct wf_json_writer *w = NULL;
    struct wf_celery_signature *s = wfi_zalloc(sizeof *s);
    struct wfi_json_piece *pieces = wfi_zalloc((count + 1) * sizeof *pieces), last = {0};
    int err = s && pieces ? 0 : -ENOMEM;
    for (size_t i = 0; i < count + (body ? 1 : 0); i++) {
        const struct wf_celery_signature *part = i < count ? parts[i] : *body;
        if (!part || part->error.code)
            failed(s, -ENOMEM, part ? &part->error : NULL);
        else if (pieces && i < count)
            pieces[i] = (struct wfi_json_piece){.text = part->text, .len = part->len};
        else
            last = (struct wfi_json_piece){.text = part->text, .len = part->len};
    }
    if (!err && !s->error.code) {
        err = wfi_message_writer_create(&w);
        if (!err)
            write(w, pieces, count, &last);
        s = take_text(s, w, err);
    } else {
        failed(s, -ENOMEM, NULL);
    }
    for (size_t i = 0; i < count; i++)
        wf_celery_signature_destroy(parts[i]);
    if (body)
        wf_celery_signature_destroy(*body);
    wfi_free(pieces);
    return s;
}

static void write_group(struct wf_json_writer *w, const struct wfi_json_piece *tasks, size_t count,
                        const struct wfi_json_piece *body)
{
    (void)body;
    wfi_signature_write_group(w, tasks, count, NULL);
}

static void write_chain(struct wf_json_writer *w, const struct wfi_json_piece *tasks, size_t count,
                        const struct wfi_json_piece *body)
{
    (void)body;
    wfi_signature_write_chain(w, tasks, count, NULL);
}

static void write_chord(struct wf_json_writer *w, const struct wfi_json_piece *tasks, size_t count,
                        const struct wfi_json_piece *body)
{
    wfi_signature_write_chord(w, tasks, count, body, NULL);
}

struct wf_celery_signature *wf_celery_group(struct wf_celery_signature *const *parts, size_t count)
{
    return put_together(parts, count, NULL, write_group);
}

struct wf_celery_signature *wf_celery_chain(struct wf_celery_signature *const *parts, size_t count)
{
    return put_together(parts, count, NULL, write_chain);
}

struct wf_celery_signature *wf_celery_chord(struct wf_celery_signature *const *parts, size_t count,
                                            struct wf_celery_signature *body)
{
    return put_together(parts, count, &body, write_chord);
}

int wf_celery_signature_text(const struct wf_celery_signature *s, const char **ret_text,
                             struct wf_error *reterr)
{
    if (!s)
        return wf_error_set(reterr, -ENOMEM, NULL);
    if (!s->error.code) {
        *ret_text = s->text;
        return 0;
    }
    if (reterr)
        *reterr = s->error;
    return s->error.code;
}

void wf_celery_signature_destroy(struct wf_celery_signature *s)
{
    if (!s)
        return;
    wfi_free(s->text);
    wfi_free(s);
}

/* ---- sending ---- */

static int carry_out(struct wf_celery_client *client, const struct wfi_canvas_step *step,
                     wf_deadline deadline, struct wf_error *reterr)
{
    switch (step->kind) {
    case WFI_STEP_SEND:
        return wfi_client_send_step(client, step, deadline, reterr);
    case WFI_STEP_CHORD_SIZE: {
        struct wfi_store *store = wfi_client_store(client);
        if (!store)
            return wf_error_set(reterr, -ENOTSUP,
                                "a chord needs a Redis as backend, where its parts are counted");
        return wfi_chord_set_size(store, step->group_id, step->count, deadline, reterr);
    }
    case WFI_STEP_CHORD_GROWN:
    case WFI_STEP_STORE:
    case WFI_STEP_CHORD_PART:
        break; /* these follow from the ends of tasks */
    }
    return 0;
}

/* Of a group the only member of the children; of all others the id of what comes last. */
static int read_sent(struct wfi_canvas *canvas, bool is_group, struct wf_json **ret_sent)
{
    struct wfi_json_piece children;
    struct wf_json *tree = NULL;
    struct wf_json_writer *w = NULL;
    const char *text;
    size_t len;
    int err = wfi_canvas_children(canvas, &children);
    if (!err)
        err = wfi_message_writer_create(&w);
    if (!err) {
        wfi_json_write_piece(w, &children, "[]");
        err = wf_json_writer_text(w, &text, &len);
    }
    if (!err)
        err = wf_json_read(text, len, NULL, &tree, NULL);
    if (!err) {
        wf_json_writer_clear(w);
        if (is_group)
            wf_json_write_value(w, wf_json_at(wf_json_root(tree), 0));
        else
            wfi_result_write_child(w, wfi_canvas_id(canvas));
        err = wf_json_writer_text(w, &text, &len);
    }
    if (!err)
        err = wf_json_read(text, len, NULL, ret_sent, NULL);
    wf_json_destroy(tree);
    wf_json_writer_destroy(w);
    return err;
}

static enum wfi_signature_kind kind_of(const struct wf_json_value *signature)
{
    struct wfi_signature fields;
    return wfi_signature_read(signature, &fields, NULL) ? WFI_SIGNATURE_TASK : fields.kind;
}

static bool ends_with_group(const struct wf_json_value *signature)
{
    for (int i = 0; i < DEPTH_MAX && kind_of(signature) == WFI_SIGNATURE_CHAIN; i++) {
        const struct wf_json_value *tasks = wf_json_get(wf_json_get(signature, "kwargs"), "tasks");
        signature = wf_json_at(tasks, wf_json_count(tasks) - 1);
    }
    return kind_of(signature) == WFI_SIGNATURE_GROUP;
}

/* A chain, its tasks, and one more. */
static int write_with_end(struct wf_json_writer *w, const struct wf_json_value *chain)
{
    static const char accumulate[] =
        "{\"task\": \"celery.accumulate\", \"args\": [], \"kwargs\": {\"index\": 0}, "
        "\"options\": {}, \"subtask_type\": null, \"immutable\": false}";
    const struct wf_json_value *tasks = wf_json_get(wf_json_get(chain, "kwargs"), "tasks");
    const struct wfi_json_piece options = {.value = wf_json_get(chain, "options")};
    const size_t count = wf_json_count(tasks);
    struct wfi_json_piece *pieces = wfi_zalloc((count + 1) * sizeof *pieces);
    if (!pieces)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        pieces[i].value = wf_json_at(tasks, i);
    pieces[count] = piece_of(accumulate);
    wfi_signature_write_chain(w, pieces, count + 1, &options);
    wfi_free(pieces);
    return 0;
}

static int write_collected(struct wf_json_writer *w, const struct wf_json_value *signature,
                           unsigned depth);

static int write_members(struct wf_json_writer *w, const struct wf_json_value *group,
                         unsigned depth)
{
    const struct wf_json_value *tasks = wf_json_get(wf_json_get(group, "kwargs"), "tasks");
    int err = 0;
    wf_json_write_object(w);
    for (size_t i = 0; !err && i < wf_json_count(group); i++) {
        const struct wf_json_value *field = wf_json_at(group, i);
        size_t len;
        const char *key = wf_json_key(field, &len);
        wf_json_write_key_bytes(w, key, len);
        if (strcmp(key, "kwargs") != 0) {
            wf_json_write_value(w, field);
            continue;
        }
        wf_json_write_object(w);
        wf_json_write_key(w, "tasks");
        wf_json_write_array(w);
        for (size_t k = 0; !err && k < wf_json_count(tasks); k++)
            err = write_collected(w, wf_json_at(tasks, k), depth + 1);
        wf_json_write_end(w);
        wf_json_write_end(w);
    }
    wf_json_write_end(w);
    return err;
}

/* Where a chain ends with a group, nobody knows here of the group's members: their results are
 * collected over there, by a task that every worker has. */
static int write_collected(struct wf_json_writer *w, const struct wf_json_value *signature,
                           unsigned depth)
{
    const enum wfi_signature_kind kind = kind_of(signature);
    if (kind == WFI_SIGNATURE_GROUP && depth < DEPTH_MAX)
        return write_members(w, signature, depth);
    if (kind == WFI_SIGNATURE_CHAIN && ends_with_group(signature))
        return write_with_end(w, signature);
    wf_json_write_value(w, signature);
    return 0;
}

static int read_collected(const char *text, struct wf_json **ret_tree)
{
    struct wf_json *tree = NULL;
    struct wf_json_writer *w = NULL;
    size_t len;
    int err = wf_json_read(text, strlen(text), NULL, &tree, NULL);
    if (!err)
        err = wfi_message_writer_create(&w);
    if (!err)
        err = write_collected(w, wf_json_root(tree), 0);
    if (!err)
        err = wf_json_writer_text(w, &text, &len);
    if (!err)
        err = wf_json_read(text, len, NULL, ret_tree, NULL);
    wf_json_writer_destroy(w);
    wf_json_destroy(tree);
    return err;
}

/* All steps of it. */
static int apply(struct wf_celery_client *client, struct wfi_canvas *canvas,
                 const struct wfi_canvas_context *context, const struct wf_json_value *signature,
                 wf_deadline deadline, struct wf_error *reterr)
{
    int err = wfi_canvas_apply(canvas, context, signature, NULL, reterr);
    if (err == WF_EPARSE || err == WF_ETOOBIG)
        err = -EINVAL;
    if (err && reterr)
        reterr->code = err;
    for (size_t i = 0; !err && i < wfi_canvas_count(canvas); i++)
        err = carry_out(client, wfi_canvas_step(canvas, i), deadline, reterr);
    return err;
}

int wf_celery_client_apply(struct wf_celery_client *client,
                           const struct wf_celery_signature *signature, struct wf_json **ret_sent,
                           wf_deadline deadline, struct wf_error *reterr)
{
    struct wfi_canvas_context context;
    struct wfi_message request;
    struct wfi_canvas *canvas = NULL;
    struct wf_json *tree = NULL;
    const char *text;
    int err = wf_celery_signature_text(signature, &text, reterr);
    if (err)
        return err;
    wfi_client_canvas_context(client, &context, &request);
    err = read_collected(text, &tree);
    if (!err)
        err = wfi_canvas_create(&canvas);
    if (err)
        wf_error_set(reterr, err, NULL);
    else
        err = apply(client, canvas, &context, wf_json_root(tree), deadline, reterr);
    if (!err && ret_sent) {
        err = read_sent(canvas, kind_of(wf_json_root(tree)) == WFI_SIGNATURE_GROUP, ret_sent);
        if (err)
            wf_error_set(reterr, err, NULL);
    }
    wfi_canvas_destroy(canvas);
    wf_json_destroy(tree);
    return err;
}

/* ---- results ---- */

/* All members are watched from the beginning: one by one each would cost round trips of its own,
 * and over rpc:// only so many results wait for who asks. */
struct collecting {
    struct wfi_results *results;
    struct wfi_result_watch *watches; /* in the order of the members */
    size_t count, room;
    struct wf_json_writer *w;
};

static bool is_group(const struct wf_json_value *sent)
{
    return wf_json_type(wf_json_at(sent, 1)) == WF_JSON_ARRAY;
}

/* Its id; NULL when that is nothing which was sent. */
static const char *id_of(const struct wf_json_value *sent)
{
    return wfi_json_c_string(wf_json_at(wf_json_at(sent, 0), 0));
}

/* Adds the number of results to `room`. */
static int count_all(struct collecting *c, const struct wf_json_value *sent, unsigned depth,
                     struct wf_error *reterr)
{
    const struct wf_json_value *members = wf_json_at(sent, 1);
    int err = 0;
    if (!id_of(sent) || depth > DEPTH_MAX)
        return wf_error_set(reterr, -EINVAL, "that is nothing which was sent");
    if (!is_group(sent))
        c->room++;
    for (size_t i = 0; is_group(sent) && !err && i < wf_json_count(members); i++)
        err = count_all(c, wf_json_at(members, i), depth + 1, reterr);
    return err;
}

static int watch_all(struct collecting *c, const struct wf_json_value *sent,
                     struct wf_error *reterr)
{
    const struct wf_json_value *members = wf_json_at(sent, 1);
    int err = 0;
    if (!is_group(sent)) {
        err = wfi_results_watch(c->results, id_of(sent), &c->watches[c->count], reterr);
        c->count += err == 0;
    }
    for (size_t i = 0; is_group(sent) && !err && i < wf_json_count(members); i++)
        err = watch_all(c, wf_json_at(members, i), reterr);
    return err;
}

static int write_one(struct collecting *c, struct wfi_result_watch *watch, wf_deadline deadline,
                     struct wf_error *reterr)
{
    struct wfi_result_in in = {0};
    const struct wf_json_value *value;
    int err = wfi_results_wait(watch, &in, deadline, reterr);
    if (!err)
        err = wfi_result_value(&in, &value, reterr);
    if (!err)
        wf_json_write_value(c->w, value);
    wfi_result_in_reset(&in);
    return err;
}

/* `next` is the watch of the first member that is not written yet. */
static int write_all(struct collecting *c, const struct wf_json_value *sent, size_t *next,
                     wf_deadline deadline, struct wf_error *reterr)
{
    const struct wf_json_value *members = wf_json_at(sent, 1);
    int err = 0;
    if (!is_group(sent))
        return write_one(c, &c->watches[(*next)++], deadline, reterr);
    wf_json_write_array(c->w);
    for (size_t i = 0; !err && i < wf_json_count(members); i++)
        err = write_all(c, wf_json_at(members, i), next, deadline, reterr);
    wf_json_write_end(c->w);
    return err;
}

static int collect(struct collecting *c, const struct wf_json_value *sent, wf_deadline deadline,
                   struct wf_error *reterr)
{
    size_t next = 0;
    int err = count_all(c, sent, 0, reterr);
    if (err)
        return err;
    c->watches = wfi_zalloc((c->room + 1) * sizeof *c->watches);
    if (!c->watches)
        return wf_error_set(reterr, -ENOMEM, NULL);
    err = watch_all(c, sent, reterr);
    if (!err)
        err = write_all(c, sent, &next, deadline, reterr);
    for (size_t i = 0; i < c->count; i++)
        wfi_results_unwatch(&c->watches[i]);
    wfi_free(c->watches);
    return err;
}

int wf_celery_client_collect(struct wf_celery_client *client, const struct wf_json_value *sent,
                             struct wf_json **ret_values, wf_deadline deadline,
                             struct wf_error *reterr)
{
    struct collecting c = {.results = wfi_client_results(client)};
    const char *text;
    size_t len;
    if (!c.results)
        return wf_error_set(reterr, -EINVAL, "the client has no backend to wait for results at");
    int err = wfi_message_writer_create(&c.w);
    if (err)
        return wf_error_set(reterr, err, NULL);
    err = collect(&c, sent, deadline, reterr);
    if (!err) {
        err = wf_json_writer_text(c.w, &text, &len);
        if (!err)
            err = wf_json_read(text, len, NULL, ret_values, NULL);
        if (err)
            wf_error_set(reterr, err, NULL);
    }
    wf_json_writer_destroy(c.w);
    return err;
}
