/* SPDX-License-Identifier: MIT */
/*
 * Carrying out signatures (contract in celery/message/canvas.h).
 *
 * A signature is walked with what it gets from outside, `struct how`: arguments in front, who it
 * belongs to, and what its end gets: an id, a place in a group, a chord, callbacks, the rest of a
 * chain. The end of a task is itself, that of a chain its last task, that of a chord its body; that
 * of a group is made one by putting a chord around it.
 *
 * Texts that are made on the way are kept until the canvas ends. `err` is set once, when memory
 * runs out or a signature is found to be none, and from then on nothing is added.
 */
#include "celery/message/canvas.h"

#include "base/alloc.h"
#include "celery/message/moment.h"
#include "celery/message/repr.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Signatures inside each other. A level costs some KiB of a fiber's stack. */
enum { DEPTH_MAX = 24 };

struct wfi_canvas {
    struct wfi_buffer steps;    /* of struct wfi_canvas_step */
    struct wfi_buffer children; /* of struct wfi_json_piece */
    struct wfi_buffer texts;    /* of char *, owned */
    struct wfi_buffer trees;    /* of struct wf_json *, owned */
    struct wf_json_writer *w;   /* for one piece at a time */
    /* The text that was last read: many tasks may be given the same arguments. */
    const char *read_text;
    const struct wf_json_value *read_value;
    const char *id;
    unsigned depth;
    int err;
};

struct how {
    struct wfi_json_piece args; /* an array, in front of the signature's own */
    const char *root_id, *parent_id;
    /* For the end. */
    const char *task_id;
    const char *group_id;
    bool has_index;
    int64_t index;
    struct wfi_json_piece chord, chain, link, link_error;
    int64_t nesting;
    /* root_id and parent_id are those of what is sent later, too. */
    bool for_all;
};

/* What became of it: the id of its end, and what it is as a child. */
struct applied {
    const char *id;
    struct wfi_json_piece child;
};

/* What is the same for a whole walk. */
struct walk {
    struct wfi_canvas *c;
    const struct wfi_canvas_context *context;
    struct wf_error *reterr;
};

int wfi_canvas_create(struct wfi_canvas **ret)
{
    struct wfi_canvas *c = wfi_zalloc(sizeof *c);
    if (!c || wfi_message_writer_create(&c->w)) {
        wfi_free(c);
        return -ENOMEM;
    }
    *ret = c;
    return 0;
}

void wfi_canvas_destroy(struct wfi_canvas *c)
{
    if (!c)
        return;
    char **texts = (char **)(void *)c->texts.data;
    for (size_t i = 0; i < c->texts.len / sizeof *texts; i++)
        wfi_free(texts[i]);
    struct wf_json **trees = (struct wf_json **)(void *)c->trees.data;
    for (size_t i = 0; i < c->trees.len / sizeof *trees; i++)
        wf_json_destroy(trees[i]);
    wfi_buffer_reset(&c->texts);
    wfi_buffer_reset(&c->trees);
    wfi_buffer_reset(&c->steps);
    wfi_buffer_reset(&c->children);
    wf_json_writer_destroy(c->w);
    wfi_free(c);
}

size_t wfi_canvas_count(const struct wfi_canvas *c)
{
    return c->steps.len / sizeof(struct wfi_canvas_step);
}

const struct wfi_canvas_step *wfi_canvas_step(const struct wfi_canvas *c, size_t index)
{
    return (const struct wfi_canvas_step *)(const void *)c->steps.data + index;
}

const char *wfi_canvas_id(const struct wfi_canvas *c)
{
    return c->id;
}

static bool is_set(const struct wfi_json_piece *piece)
{
    return piece->value || piece->text;
}

static struct wfi_json_piece piece_of(const struct wf_json_value *value)
{
    return (struct wfi_json_piece){.value = value};
}

static int fail(struct walk *k, int err, const char *text)
{
    if (!k->c->err) {
        k->c->err = err;
        wf_error_set(k->reterr, err, text ? "%s" : NULL, text);
    }
    return k->c->err;
}

/* ---- what is kept ---- */

static const char *keep(struct wfi_canvas *c, const char *text, size_t len)
{
    char *copy = wfi_alloc(len + 1);
    if (!copy || wfi_buffer_append(&c->texts, &copy, sizeof copy)) {
        wfi_free(copy);
        c->err = -ENOMEM;
        return "";
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

/* The writer for the next piece. */
static struct wf_json_writer *begin(struct wfi_canvas *c)
{
    wf_json_writer_clear(c->w);
    return c->w;
}

static struct wfi_json_piece end(struct wfi_canvas *c)
{
    struct wfi_json_piece piece = {0};
    const char *text = NULL;
    if (wf_json_writer_text(c->w, &text, &piece.len)) {
        c->err = -ENOMEM;
        return (struct wfi_json_piece){.text = "null", .len = 4};
    }
    piece.text = keep(c, text, piece.len);
    return c->err ? (struct wfi_json_piece){.text = "null", .len = 4} : piece;
}

/* The value of a piece that was written here. */
static const struct wf_json_value *own_value(struct walk *k, const struct wfi_json_piece *piece)
{
    struct wf_json *tree;
    if (piece->value)
        return piece->value;
    if (k->c->err)
        return NULL;
    if (k->c->read_text == piece->text && piece->text)
        return k->c->read_value;
    const int err = wf_json_read(piece->text, piece->len, NULL, &tree, NULL);
    if (err) {
        fail(k, err, err == WF_ETOOBIG ? "signatures are nested too deep" : NULL);
        return NULL;
    }
    if (wfi_buffer_append(&k->c->trees, &tree, sizeof tree)) {
        wf_json_destroy(tree);
        fail(k, -ENOMEM, NULL);
        return NULL;
    }
    k->c->read_text = piece->text;
    k->c->read_value = wf_json_root(tree);
    return k->c->read_value;
}

static const char *new_id(struct walk *k)
{
    char id[WFI_ID_BYTES];
    k->context->new_id(k->context->arg, id);
    return keep(k->c, id, strlen(id));
}

static void add_step(struct wfi_canvas *c, const struct wfi_canvas_step *step)
{
    if (!c->err)
        c->err = wfi_buffer_append(&c->steps, step, sizeof *step);
}

static void add_child(struct wfi_canvas *c, const struct wfi_json_piece *child)
{
    if (!c->err && is_set(child))
        c->err = wfi_buffer_append(&c->children, child, sizeof *child);
}

int wfi_canvas_children(struct wfi_canvas *c, struct wfi_json_piece *ret)
{
    const struct wfi_json_piece *children = (const void *)c->children.data;
    struct wf_json_writer *w = begin(c);
    wf_json_write_array(w);
    for (size_t i = 0; i < c->children.len / sizeof *children; i++)
        wfi_json_write_piece(w, &children[i], "null");
    wf_json_write_end(w);
    const struct wfi_json_piece piece = end(c);
    if (c->err)
        return c->err;
    *ret = piece;
    return 0;
}

/* ---- pieces ---- */

/* Writes the elements of an array, without its brackets. */
static void write_elements(struct wf_json_writer *w, const struct wfi_json_piece *array)
{
    if (array->value) {
        for (size_t i = 0; i < wf_json_count(array->value); i++)
            wf_json_write_value(w, wf_json_at(array->value, i));
        return;
    }
    if (!array->text || array->len < 2 || array->text[0] != '[')
        return;
    const char *text = array->text + 1;
    size_t len = array->len - 2;
    if (strspn(text, " \t\r\n") < len)
        wf_json_write_raw(w, text, len);
}

static bool is_empty(const struct wfi_json_piece *array)
{
    if (array->value)
        return wf_json_count(array->value) == 0;
    return wfi_json_piece_is_null(array) || (array->len == 2 && memcmp(array->text, "[]", 2) == 0);
}

/* a + b, as arrays; one of them alone as it is. */
static struct wfi_json_piece joined(struct wfi_canvas *c, const struct wfi_json_piece *a,
                                    const struct wfi_json_piece *b)
{
    if (wfi_json_piece_is_null(a))
        return *b;
    if (is_empty(b))
        return *a;
    struct wf_json_writer *w = begin(c);
    wf_json_write_array(w);
    write_elements(w, a);
    write_elements(w, b);
    wf_json_write_end(w);
    return end(c);
}

/* [element] */
static struct wfi_json_piece list_of(struct wfi_canvas *c, const struct wfi_json_piece *element)
{
    struct wf_json_writer *w = begin(c);
    wf_json_write_array(w);
    wfi_json_write_piece(w, element, "null");
    wf_json_write_end(w);
    return end(c);
}

/* An option that is a list of signatures, or one of them. */
static struct wfi_json_piece list_option(struct wfi_canvas *c,
                                         const struct wf_json_value *signature, const char *name)
{
    const struct wfi_json_piece option = piece_of(wfi_signature_option(signature, name));
    return wf_json_type(option.value) == WF_JSON_OBJECT ? list_of(c, &option) : option;
}

static const char *text_option(const struct wf_json_value *signature, const char *name)
{
    return wfi_json_c_string(wfi_signature_option(signature, name));
}

/* The arguments of a signature: its own, behind those it is given. */
static struct wfi_json_piece arguments(struct wfi_canvas *c, const struct wfi_signature *s,
                                       const struct how *how)
{
    return s->immutable ? s->args : joined(c, &how->args, &s->args);
}

/* ---- a single task ---- */

static const char *iso_of(struct wfi_canvas *c, int64_t us)
{
    char text[WFI_MOMENT_BYTES];
    return keep(c, text, wfi_moment_write(us, true, text));
}

/* now + seconds, kept within what a moment can be. */
static int64_t after(int64_t now_us, double seconds)
{
    const double us = seconds * 1e6;
    return fabs(us) < 1e18 ? now_us + (int64_t)us : us > 0 ? INT64_MAX : INT64_MIN;
}

static void set_expiration(struct wfi_canvas *c, struct wfi_message *m, int64_t now_us)
{
    char text[24];
    const int64_t ms = m->expires_us > now_us ? (m->expires_us - now_us) / 1000 : 0;
    m->properties.expiration =
        keep(c, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)ms));
}

static void set_times(struct walk *k, const struct wf_json_value *signature, struct wfi_message *m)
{
    const struct wf_json_value *expires = wfi_signature_option(signature, "expires");
    const int64_t now = k->context->now_us;
    double seconds;

    m->eta = text_option(signature, "eta");
    if (wf_json_double(wfi_signature_option(signature, "countdown"), &seconds) == 0)
        m->eta = iso_of(k->c, after(now, seconds));
    if (wf_json_double(expires, &seconds) == 0) {
        m->expires_us = after(now, seconds);
        m->expires = iso_of(k->c, m->expires_us);
        set_expiration(k->c, m, now);
    } else {
        const char *text = wfi_json_c_string(expires);
        if (text && wfi_moment_read(text, strlen(text), &m->expires_us) == 0) {
            m->expires = text;
            set_expiration(k->c, m, now);
        }
    }
    wf_json_double(wfi_signature_option(signature, "time_limit"), &m->hard_s);
    wf_json_double(wfi_signature_option(signature, "soft_time_limit"), &m->soft_s);
}

/* Stamps: the option stamped_headers names other options, whose values are the stamps. */
static void set_stamps(struct walk *k, const struct wf_json_value *signature, struct wfi_message *m)
{
    const struct wf_json_value *stamped = wfi_signature_option(signature, "stamped_headers");
    if (wf_json_type(stamped) != WF_JSON_ARRAY)
        return;
    m->stamped_headers = piece_of(stamped);
    struct wf_json_writer *w = begin(k->c);
    wf_json_write_object(w);
    for (size_t i = 0; i < wf_json_count(stamped); i++) {
        const char *name = wfi_json_c_string(wf_json_at(stamped, i));
        const struct wf_json_value *value = name ? wfi_signature_option(signature, name) : NULL;
        if (!value)
            continue;
        wf_json_write_key(w, name);
        if (wf_json_type(value) == WF_JSON_ARRAY) {
            wf_json_write_value(w, value);
        } else {
            wf_json_write_array(w);
            wf_json_write_value(w, value);
            wf_json_write_end(w);
        }
    }
    wf_json_write_end(w);
    m->stamps = end(k->c);
}

static void set_reprs(struct walk *k, struct wfi_message *m)
{
    struct wfi_buffer shown = {0};
    const struct wf_json_value *args = is_set(&m->args) ? own_value(k, &m->args) : NULL;
    const struct wf_json_value *kwargs = is_set(&m->kwargs) ? own_value(k, &m->kwargs) : NULL;

    int err = wfi_repr_tuple(&shown, args, 0);
    const size_t args_len = shown.len;
    if (!err)
        err = kwargs ? wfi_repr(&shown, kwargs, 0) : wfi_buffer_append_text(&shown, "{}");
    if (err) {
        fail(k, err, NULL);
    } else {
        m->argsrepr = keep(k->c, shown.data, args_len);
        m->kwargsrepr = keep(k->c, shown.data + args_len, shown.len - args_len);
    }
    wfi_buffer_reset(&shown);
}

static void set_family(struct walk *k, const struct wf_json_value *signature, const struct how *how,
                       struct wfi_message *m)
{
    const struct wfi_message *request = k->context->request;
    const char *reply_to = text_option(signature, "reply_to");

    m->root_id = how->root_id ? how->root_id : text_option(signature, "root_id");
    m->parent_id = how->parent_id ? how->parent_id : text_option(signature, "parent_id");
    if (!m->root_id)
        m->root_id = !request ? m->id : request->root_id ? request->root_id : request->id;
    if (!m->parent_id && request)
        m->parent_id = request->id;
    if (!reply_to)
        reply_to = k->context->reply_to;
    if (!reply_to && request)
        reply_to = request->properties.reply_to;
    m->properties.reply_to = reply_to;
    m->origin = k->context->origin;

    m->group = how->group_id ? how->group_id : text_option(signature, "group_id");
    m->has_group_index = how->has_index;
    m->group_index = how->index;
    const struct wf_json_value *index = wfi_signature_option(signature, "group_index");
    if (!m->has_group_index && index)
        m->has_group_index = wf_json_int(index, &m->group_index) == 0;
}

static void apply_task(struct walk *k, const struct wf_json_value *signature,
                       const struct wfi_signature *s, const struct how *how, struct applied *ret)
{
    struct wfi_canvas_step step = {.kind = WFI_STEP_SEND};
    struct wfi_message *m = &step.message;
    const struct wf_json_value *headers = wfi_signature_option(signature, "headers");
    const char *compression = text_option(signature, "compression");
    int64_t priority = 0;

    m->task = s->task;
    m->id = how->task_id ? how->task_id : text_option(signature, "task_id");
    if (!m->id)
        m->id = new_id(k);
    m->args = arguments(k->c, s, how);
    m->kwargs = s->kwargs;
    const struct wfi_json_piece link = list_option(k->c, signature, "link");
    const struct wfi_json_piece link_error = list_option(k->c, signature, "link_error");
    m->callbacks = joined(k->c, &link, &how->link);
    m->errbacks = joined(k->c, &link_error, &how->link_error);
    m->chain =
        is_set(&how->chain) ? how->chain : piece_of(wfi_signature_option(signature, "chain"));
    m->chord =
        is_set(&how->chord) ? how->chord : piece_of(wfi_signature_option(signature, "chord"));
    m->headers = wf_json_type(headers) == WF_JSON_OBJECT ? headers : NULL;
    m->shadow = text_option(signature, "shadow");
    m->replaced_task_nesting = how->nesting;
    m->compress =
        compression && (strcmp(compression, "zlib") == 0 || strcmp(compression, "gzip") == 0 ||
                        strcmp(compression, "application/x-gzip") == 0);
    wf_json_int(wfi_signature_option(signature, "retries"), &m->retries);
    wf_json_bool(wfi_signature_option(signature, "ignore_result"), &m->ignore_result);
    step.has_priority = wf_json_int(wfi_signature_option(signature, "priority"), &priority) == 0;
    m->properties.priority = priority < 0 ? 0 : priority > 255 ? 255 : (int)priority;
    set_family(k, signature, how, m);
    set_times(k, signature, m);
    set_stamps(k, signature, m);
    set_reprs(k, m);
    step.queue = text_option(signature, "queue");
    step.exchange = text_option(signature, "exchange");
    step.routing_key = text_option(signature, "routing_key");
    add_step(k->c, &step);

    ret->id = m->id;
    wfi_result_write_child(begin(k->c), m->id);
    ret->child = end(k->c);
}

/* ---- groups, chains, chords ---- */

static void apply(struct walk *k, const struct wf_json_value *signature, const struct how *how,
                  struct applied *ret);

/* A list of values that is growing. */
static void push_value(struct walk *k, struct wfi_buffer *list, const struct wf_json_value *value)
{
    if (!k->c->err && wfi_buffer_append(list, &value, sizeof value))
        fail(k, -ENOMEM, NULL);
}

static const struct wf_json_value *const *values_of(const struct wfi_buffer *list)
{
    return (const struct wf_json_value *const *)(const void *)list->data;
}

static size_t count_of(const struct wfi_buffer *list)
{
    return list->len / sizeof(struct wf_json_value *);
}

static enum wfi_signature_kind kind_of(struct walk *k, const struct wf_json_value *signature)
{
    struct wfi_signature s = {0};
    struct wf_error err;
    if (wfi_signature_read(signature, &s, &err))
        fail(k, WF_EPARSE, err.text);
    return s.kind;
}

/* Members of a group: a signature's, or the list itself. */
static const struct wf_json_value *members_of(struct walk *k, const struct wf_json_value *group)
{
    if (wf_json_type(group) != WF_JSON_ARRAY)
        group = wf_json_get(wf_json_get(group, "kwargs"), "tasks");
    if (wf_json_type(group) != WF_JSON_ARRAY)
        fail(k, WF_EPARSE, "a group or chain has no list of tasks");
    return group;
}

/* The same with those inside of it that are of its own kind taken apart. */
static void flatten(struct walk *k, const struct wf_json_value *group, enum wfi_signature_kind kind,
                    struct wfi_buffer *list, unsigned depth)
{
    const struct wf_json_value *members = members_of(k, group);
    if (depth > DEPTH_MAX)
        fail(k, WF_ETOOBIG, "signatures are nested too deep");
    for (size_t i = 0; i < wf_json_count(members) && !k->c->err; i++) {
        const struct wf_json_value *member = wf_json_at(members, i);
        if (kind_of(k, member) == kind)
            flatten(k, member, kind, list, depth + 1);
        else
            push_value(k, list, member);
    }
}

/* The id of the end of a signature; NULL when it has none yet. */
static const char *end_id(const struct wf_json_value *signature)
{
    const char *task = wfi_json_c_string(wf_json_get(signature, "task"));
    for (int i = 0; i < DEPTH_MAX && task; i++) {
        const struct wf_json_value *kwargs = wf_json_get(signature, "kwargs");
        const struct wf_json_value *tasks = wf_json_get(kwargs, "tasks");
        if (strcmp(task, "celery.chord") == 0)
            signature = wf_json_get(kwargs, "body");
        else if (strcmp(task, "celery.chain") == 0 && wf_json_count(tasks) > 0)
            signature = wf_json_at(tasks, wf_json_count(tasks) - 1);
        else
            break;
        task = wfi_json_c_string(wf_json_get(signature, "task"));
    }
    return text_option(signature, "task_id");
}

struct chord {
    const struct wf_json_value *header; /* a group or a list */
    const struct wf_json_value *body;
};

static const struct wf_json_value *chain_link(struct walk *k, const struct wf_json_value *task,
                                              const struct how *how, bool is_last);

/* Puts into a signature of several tasks what its end gets. */
static const struct wf_json_value *
prepared_end(struct walk *k, const struct wf_json_value *signature, const struct how *how)
{
    struct wfi_buffer tasks = {0}, pieces = {0};
    const enum wfi_signature_kind kind = kind_of(k, signature);

    if (kind != WFI_SIGNATURE_CHAIN)
        return chain_link(k, signature, how, true);
    flatten(k, signature, WFI_SIGNATURE_CHAIN, &tasks, 0);
    for (size_t i = 0; i < count_of(&tasks) && !k->c->err; i++) {
        const struct wfi_json_piece piece =
            piece_of(chain_link(k, values_of(&tasks)[i], how, i + 1 == count_of(&tasks)));
        if (wfi_buffer_append(&pieces, &piece, sizeof piece))
            fail(k, -ENOMEM, NULL);
    }
    if (!k->c->err)
        wfi_signature_write_chain(begin(k->c), (const void *)pieces.data, count_of(&tasks), NULL);
    wfi_buffer_reset(&tasks);
    wfi_buffer_reset(&pieces);
    if (k->c->err)
        return NULL;
    const struct wfi_json_piece text = end(k->c);
    return own_value(k, &text);
}

/* Options that are to be set anew. */
struct changes {
    struct wfi_signature_option options[12];
    size_t count;
};

static void change(struct changes *to, const char *name, const struct wfi_json_piece *value)
{
    if (is_set(value))
        to->options[to->count++] = (struct wfi_signature_option){name, *value};
}

static void change_text(struct walk *k, struct changes *to, const char *name, const char *text)
{
    if (!text)
        return;
    wfi_json_write_text(begin(k->c), text);
    to->options[to->count++] = (struct wfi_signature_option){name, end(k->c)};
}

/* What a task, or the end of several, needs when it is sent later. */
static struct wfi_json_piece prepared(struct walk *k, const struct wf_json_value *body,
                                      const struct how *how, const char *id)
{
    static const struct wfi_json_piece null = {.text = "null", .len = 4};
    struct changes to = {.count = 0};

    if (k->c->err)
        return null;
    if (how->for_all) {
        change_text(k, &to, "parent_id", how->parent_id);
        change_text(k, &to, "root_id", how->root_id);
    }
    if (!text_option(body, "reply_to"))
        change_text(k, &to, "reply_to", k->context->reply_to);
    change(&to, "chain", &how->chain);
    if (kind_of(k, body) != WFI_SIGNATURE_TASK) {
        struct how for_end = *how;
        for_end.task_id = id;
        for_end.chain = (struct wfi_json_piece){0};
        body = prepared_end(k, body, &for_end);
        if (!body)
            return null;
    } else {
        char index[24];
        const struct wfi_json_piece own_link = list_option(k->c, body, "link");
        const struct wfi_json_piece own_error = list_option(k->c, body, "link_error");
        const struct wfi_json_piece link = joined(k->c, &own_link, &how->link);
        const struct wfi_json_piece link_error = joined(k->c, &own_error, &how->link_error);
        if (how->for_all && !wfi_signature_option(body, "priority"))
            change(&to, "priority", &null);
        change_text(k, &to, "task_id", id);
        change_text(k, &to, "group_id", how->group_id);
        change(&to, "chord", &how->chord);
        if (is_set(&how->link))
            change(&to, "link", &link);
        if (is_set(&how->link_error))
            change(&to, "link_error", &link_error);
        if (how->has_index) {
            const struct wfi_json_piece number = {
                .text = index,
                .len = (size_t)snprintf(index, sizeof index, "%lld", (long long)how->index)};
            change(&to, "group_index", &number);
        }
        wfi_signature_write_with(begin(k->c), body, to.options, to.count);
        return end(k->c);
    }
    wfi_signature_write_with(begin(k->c), body, to.options, to.count);
    return end(k->c);
}

/* Adds one text to a list of them. */
static void push_id(struct walk *k, struct wfi_buffer *ids, const char *id)
{
    if (!k->c->err && wfi_buffer_append(ids, &id, sizeof id))
        fail(k, -ENOMEM, NULL);
}

static void write_group(struct walk *k, const char *group_id, const struct wfi_buffer *ids,
                        struct applied *ret)
{
    wfi_result_write_group_child(begin(k->c), group_id,
                                 (const char *const *)(const void *)ids->data,
                                 ids->len / sizeof(char *));
    ret->child = end(k->c);
}

static void apply_chord(struct walk *k, const struct chord *chord, const struct how *how,
                        struct applied *ret)
{
    struct wfi_buffer parts = {0}, ids = {0};
    const char *id = how->task_id ? how->task_id : end_id(chord->body);

    if (!id)
        id = new_id(k);
    flatten(k, chord->header, WFI_SIGNATURE_GROUP, &parts, 0);
    if (count_of(&parts) == 0) {
        struct how at_once = *how;
        at_once.task_id = kind_of(k, chord->body) == WFI_SIGNATURE_TASK ? id : how->task_id;
        at_once.args = (struct wfi_json_piece){.text = "[[]]", .len = 4};
        apply(k, chord->body, &at_once, ret);
    } else {
        const struct wfi_canvas_step size = {
            .kind = WFI_STEP_CHORD_SIZE, .group_id = new_id(k), .count = count_of(&parts)};
        struct how part = {.args = how->args,
                           .root_id = how->root_id,
                           .parent_id = how->parent_id,
                           .group_id = size.group_id,
                           .has_index = true};
        part.chord = prepared(k, chord->body, how, id);
        add_step(k->c, &size);
        for (size_t i = 0; i < count_of(&parts) && !k->c->err; i++) {
            struct applied member = {0};
            part.index = (int64_t)i;
            apply(k, values_of(&parts)[i], &part, &member);
            push_id(k, &ids, member.id);
        }
        write_group(k, size.group_id, &ids, ret);
        ret->id = id;
    }
    wfi_buffer_reset(&parts);
    wfi_buffer_reset(&ids);
}

/* The task, built into every worker, that gives back the list it is given. */
static const struct wf_json_value *accumulate(struct walk *k)
{
    const struct wfi_signature s = {.task = "celery.accumulate",
                                    .kwargs = {.text = "{\"index\": 0}", .len = 12}};
    wfi_signature_write(begin(k->c), &s);
    const struct wfi_json_piece text = end(k->c);
    return own_value(k, &text);
}

/* A group whose results somebody waits for as for one: the list of them. */
static void apply_collected(struct walk *k, const struct wf_json_value *members,
                            const struct how *how, struct applied *ret)
{
    const struct chord chord = {.header = members, .body = accumulate(k)};
    if (chord.body)
        apply_chord(k, &chord, how, ret);
}

static void apply_group(struct walk *k, const struct wf_json_value *signature,
                        const struct how *how, struct applied *ret)
{
    struct wfi_buffer list = {0}, ids = {0};
    const struct wf_json_value *members = members_of(k, signature);

    if (how->task_id || is_set(&how->chord) || is_set(&how->link)) {
        if (!k->c->err)
            apply_collected(k, members, how, ret);
        return;
    }
    const char *group_id = how->group_id ? how->group_id : text_option(signature, "task_id");
    if (!group_id)
        group_id = new_id(k);
    flatten(k, members, WFI_SIGNATURE_GROUP, &list, 0);
    struct how member_how = {.args = how->args,
                             .root_id = how->root_id,
                             .parent_id = how->parent_id,
                             .group_id = group_id,
                             .chain = how->chain,
                             .link_error = how->link_error};
    for (size_t i = 0; i < count_of(&list) && !k->c->err; i++) {
        struct applied member = {0};
        apply(k, values_of(&list)[i], &member_how, &member);
        push_id(k, &ids, member.id);
    }
    write_group(k, group_id, &ids, ret);
    ret->id = group_id;
    wfi_buffer_reset(&list);
    wfi_buffer_reset(&ids);
}

/* A group with a task behind it is a chord of the two. */
static const struct wf_json_value *as_chord(struct walk *k, const struct wf_json_value *group,
                                            const struct wf_json_value *body)
{
    const struct wf_json_value *members = members_of(k, group);
    struct wfi_buffer pieces = {0};
    for (size_t i = 0; i < wf_json_count(members) && !k->c->err; i++) {
        const struct wfi_json_piece part = piece_of(wf_json_at(members, i));
        if (wfi_buffer_append(&pieces, &part, sizeof part))
            fail(k, -ENOMEM, NULL);
    }
    const struct wfi_json_piece behind = piece_of(body);
    wfi_signature_write_chord(begin(k->c), (const void *)pieces.data,
                              pieces.len / sizeof(struct wfi_json_piece), &behind, NULL);
    wfi_buffer_reset(&pieces);
    const struct wfi_json_piece text = end(k->c);
    return own_value(k, &text);
}

/* A group that has no id gets one, and so do its members. */
static const struct wf_json_value *identified(struct walk *k, const struct wf_json_value *group,
                                              const struct how *how)
{
    struct wfi_buffer members = {0}, pieces = {0};
    struct changes to = {.count = 0};

    flatten(k, group, WFI_SIGNATURE_GROUP, &members, 0);
    for (size_t i = 0; i < count_of(&members) && !k->c->err; i++) {
        const struct wfi_json_piece piece =
            piece_of(chain_link(k, values_of(&members)[i], how, false));
        if (wfi_buffer_append(&pieces, &piece, sizeof piece))
            fail(k, -ENOMEM, NULL);
    }
    change_text(k, &to, "task_id", new_id(k));
    wfi_signature_write_with(begin(k->c), group, to.options, to.count);
    struct wfi_json_piece text = end(k->c);
    const struct wf_json_value *with_id = own_value(k, &text);
    if (with_id) {
        const struct wfi_json_piece options = piece_of(wf_json_get(with_id, "options"));
        wfi_signature_write_group(begin(k->c), (const void *)pieces.data, count_of(&members),
                                  &options);
        text = end(k->c);
        with_id = own_value(k, &text);
    }
    wfi_buffer_reset(&members);
    wfi_buffer_reset(&pieces);
    return with_id;
}

/*
 * One task of a chain, with an id, so that it can be told of when one before it fails, and with
 * what the chain has for all of them, or for its end.
 */
static const struct wf_json_value *chain_link(struct walk *k, const struct wf_json_value *task,
                                              const struct how *how, bool is_last)
{
    struct how here = is_last ? *how : (struct how){.link_error = how->link_error};
    struct wfi_json_piece text;

    here.chain = (struct wfi_json_piece){0};
    here.for_all = false;
    if (k->c->depth == DEPTH_MAX)
        fail(k, WF_ETOOBIG, "signatures are nested too deep");
    if (k->c->err)
        return NULL;
    k->c->depth++;
    enum wfi_signature_kind kind = kind_of(k, task);
    if (kind == WFI_SIGNATURE_GROUP &&
        (here.task_id || is_set(&here.chord) || is_set(&here.link))) {
        task = as_chord(k, task, accumulate(k));
        kind = WFI_SIGNATURE_CHORD;
    }
    if (kind == WFI_SIGNATURE_TASK) {
        const char *id = here.task_id ? here.task_id : end_id(task);
        text = prepared(k, task, &here, id ? id : new_id(k));
        task = own_value(k, &text);
    } else if (kind == WFI_SIGNATURE_CHORD && !k->c->err) {
        const struct wf_json_value *kwargs = wf_json_get(task, "kwargs");
        const struct wf_json_value *body = wf_json_get(kwargs, "body");
        const char *id = here.task_id ? here.task_id : end_id(body);
        text = prepared(k, body, &here, id ? id : new_id(k));
        body = own_value(k, &text);
        task = as_chord(k, wf_json_get(kwargs, "header"), body);
    } else if (kind == WFI_SIGNATURE_CHAIN) {
        task = prepared_end(k, task, &here);
    } else if (kind == WFI_SIGNATURE_GROUP && !end_id(task)) {
        task = identified(k, task, &here);
    }
    k->c->depth--;
    return k->c->err ? NULL : task;
}

static void apply_chain(struct walk *k, const struct wf_json_value *signature,
                        const struct how *how, struct applied *ret)
{
    struct wfi_buffer tasks = {0}, steps = {0}; /* steps: the last one first */

    flatten(k, signature, WFI_SIGNATURE_CHAIN, &tasks, 0);
    for (size_t i = count_of(&tasks); i-- > 0 && !k->c->err;) {
        const struct wf_json_value *task = values_of(&tasks)[i];
        const bool is_last = i + 1 == count_of(&tasks);
        if (kind_of(k, task) == WFI_SIGNATURE_GROUP && !is_last) {
            const struct wf_json_value *behind = values_of(&steps)[count_of(&steps) - 1];
            steps.len -= sizeof behind;
            push_value(k, &steps, as_chord(k, task, behind));
        } else {
            push_value(k, &steps, chain_link(k, task, how, is_last));
        }
    }
    const size_t count = count_of(&steps);
    if (!k->c->err && count > 0) {
        struct how first = {.args = how->args,
                            .root_id = how->root_id,
                            .parent_id = how->parent_id,
                            .chain = how->chain};
        if (count > 1) {
            struct wf_json_writer *w = begin(k->c);
            wf_json_write_array(w);
            write_elements(w, &how->chain);
            for (size_t i = 0; i + 1 < count; i++)
                wf_json_write_value(w, values_of(&steps)[i]);
            wf_json_write_end(w);
            first.chain = end(k->c);
        }
        apply(k, values_of(&steps)[count - 1], &first, ret);
        const char *id = end_id(values_of(&steps)[0]);
        ret->id = id ? id : ret->id;
    }
    wfi_buffer_reset(&tasks);
    wfi_buffer_reset(&steps);
}

/*
 * A group that Python has put at the end of a chain that is a part of a chord: each of its members
 * is a part by itself, and says so; the chord that the group names is theirs.
 */
static bool has_parts(const struct wf_json_value *signature)
{
    const struct wf_json_value *members = wf_json_get(wf_json_get(signature, "kwargs"), "tasks");
    for (size_t i = 0; i < wf_json_count(members); i++)
        if (!wfi_signature_option(wf_json_at(members, i), "chord"))
            return false;
    return wf_json_count(members) > 0;
}

/* What a signature of several tasks has for its end in its own options. */
static void take_options(struct walk *k, const struct wf_json_value *signature, struct how *how)
{
    const bool parts = has_parts(signature);
    const struct wf_json_value *chain = wfi_signature_option(signature, "chain");
    const struct wf_json_value *chord = parts ? NULL : wfi_signature_option(signature, "chord");
    const struct wf_json_value *index =
        parts ? NULL : wfi_signature_option(signature, "group_index");
    const struct wfi_json_piece link = list_option(k->c, signature, "link");
    const struct wfi_json_piece link_error = list_option(k->c, signature, "link_error");

    if (!is_set(&how->chain))
        how->chain = piece_of(chain);
    if (!is_set(&how->chord))
        how->chord = piece_of(chord);
    if (!how->group_id)
        how->group_id = text_option(signature, "group_id");
    if (!how->has_index && index)
        how->has_index = wf_json_int(index, &how->index) == 0;
    if (is_set(&link))
        how->link = joined(k->c, &link, &how->link);
    if (is_set(&link_error))
        how->link_error = joined(k->c, &link_error, &how->link_error);
    if (!how->root_id)
        how->root_id = text_option(signature, "root_id");
    if (!how->parent_id)
        how->parent_id = text_option(signature, "parent_id");
}

static void apply(struct walk *k, const struct wf_json_value *signature, const struct how *how,
                  struct applied *ret)
{
    struct wfi_signature s;
    struct wf_error err;

    if (k->c->err)
        return;
    if (wfi_signature_read(signature, &s, &err)) {
        fail(k, WF_EPARSE, err.text);
        return;
    }
    if (k->c->depth == DEPTH_MAX) {
        fail(k, WF_ETOOBIG, "signatures are nested too deep");
        return;
    }
    k->c->depth++;
    if (s.kind == WFI_SIGNATURE_TASK) {
        apply_task(k, signature, &s, how, ret);
    } else {
        struct how own = *how;
        own.args = arguments(k->c, &s, how);
        take_options(k, signature, &own);
        if (s.kind == WFI_SIGNATURE_GROUP) {
            apply_group(k, signature, &own, ret);
        } else if (s.kind == WFI_SIGNATURE_CHAIN) {
            apply_chain(k, signature, &own, ret);
        } else {
            const struct wf_json_value *kwargs = wf_json_get(signature, "kwargs");
            const struct chord chord = {wf_json_get(kwargs, "header"), wf_json_get(kwargs, "body")};
            if (!chord.body || kind_of(k, chord.body) > WFI_SIGNATURE_CHORD)
                fail(k, WF_EPARSE, "a chord has no body");
            else
                apply_chord(k, &chord, &own, ret);
        }
    }
    k->c->depth--;
}

/* The same at the top: what it sends is a child of the request's. */
static void apply_child(struct walk *k, const struct wf_json_value *signature,
                        const struct how *how)
{
    struct applied applied = {0};
    apply(k, signature, how, &applied);
    add_child(k->c, &applied.child);
    k->c->id = applied.id;
}

static int finish(struct walk *k)
{
    const int err = k->c->err;
    if (err == -ENOMEM)
        wf_error_set(k->reterr, err, NULL);
    return err;
}

/* ---- ends of tasks ---- */

int wfi_canvas_apply(struct wfi_canvas *c, const struct wfi_canvas_context *context,
                     const struct wf_json_value *signature, const struct wfi_json_piece *args,
                     struct wf_error *reterr)
{
    struct walk k = {c, context, reterr};
    struct how how = {0};
    if (args)
        how.args = *args;
    apply_child(&k, signature, &how);
    return finish(&k);
}

static const char *root_of(const struct wfi_message *request)
{
    return request->root_id ? request->root_id : request->id;
}

/* Several callbacks: groups each by itself, the others as one group. */
static void apply_callbacks(struct walk *k, const struct wf_json_value *callbacks, struct how *how)
{
    struct wfi_buffer single = {0}, ids = {0};

    for (size_t i = 0; i < wf_json_count(callbacks) && !k->c->err; i++) {
        const struct wf_json_value *callback = wf_json_at(callbacks, i);
        if (wf_json_count(callbacks) == 1 || kind_of(k, callback) == WFI_SIGNATURE_GROUP)
            apply_child(k, callback, how);
        else
            push_value(k, &single, callback);
    }
    if (count_of(&single) > 0) {
        struct applied applied = {0};
        how->group_id = new_id(k);
        for (size_t i = 0; i < count_of(&single) && !k->c->err; i++) {
            struct applied member = {0};
            apply(k, values_of(&single)[i], how, &member);
            push_id(k, &ids, member.id);
        }
        write_group(k, how->group_id, &ids, &applied);
        add_child(k->c, &applied.child);
    }
    wfi_buffer_reset(&single);
    wfi_buffer_reset(&ids);
}

int wfi_canvas_succeeded(struct wfi_canvas *c, const struct wfi_canvas_context *context,
                         const struct wfi_json_piece *result, struct wf_error *reterr)
{
    struct walk k = {c, context, reterr};
    const struct wfi_message *request = context->request;
    const struct wf_json_value *chain = request->chain.value;
    const size_t count = wf_json_count(chain);
    if (wf_json_count(request->callbacks.value) == 0 && count == 0)
        return 0;
    struct how how = {.args = list_of(c, result),
                      .root_id = root_of(request),
                      .parent_id = request->id,
                      .for_all = true};
    struct how callback = how;

    apply_callbacks(&k, request->callbacks.value, &callback);
    if (count > 0) {
        struct wf_json_writer *w = begin(c);
        wf_json_write_array(w);
        for (size_t i = 0; i + 1 < count; i++)
            wf_json_write_value(w, wf_json_at(chain, i));
        wf_json_write_end(w);
        how.chain = end(c);
        apply_child(&k, wf_json_at(chain, count - 1), &how);
    }
    return finish(&k);
}

/* Errbacks: all as one group, with the id of what has failed. */
static void send_errbacks(struct walk *k, const struct wfi_json_piece *errbacks, const char *id,
                          const char *root_id)
{
    const struct wf_json_value *list = is_set(errbacks) ? own_value(k, errbacks) : NULL;
    if (wf_json_count(list) == 0 || k->c->err)
        return;
    wfi_json_write_text(begin(k->c), id);
    const struct wfi_json_piece failed = end(k->c);
    const struct how how = {
        .args = list_of(k->c, &failed), .root_id = root_id, .parent_id = id, .group_id = new_id(k)};
    for (size_t i = 0; i < wf_json_count(list) && !k->c->err; i++) {
        struct applied unused = {0};
        apply(k, wf_json_at(list, i), &how, &unused);
    }
}

static void add_part(struct wfi_canvas *c, const struct wfi_chord_part *part,
                     const struct wfi_result *failure)
{
    struct wfi_canvas_step step = {.kind = WFI_STEP_CHORD_PART, .part = *part, .result = *failure};
    step.result.task_id = part->task_id;
    step.group_id = part->group_id;
    add_step(c, &step);
}

/*
 * What will never run has failed: stores that for each of its tasks that has an id. `errbacks`: and
 * sends what it has for this case.
 */
static void fail_signature(struct walk *k, const struct wf_json_value *signature,
                           const struct wfi_result *failure, const char *root_id, bool errbacks,
                           unsigned depth)
{
    struct wfi_signature s;
    struct wf_error err;

    if (depth > DEPTH_MAX || k->c->err || wfi_signature_read(signature, &s, &err))
        return;
    if (s.kind == WFI_SIGNATURE_CHORD) {
        fail_signature(k, wf_json_get(s.kwargs.value, "body"), failure, root_id, errbacks,
                       depth + 1);
        return;
    }
    if (s.kind != WFI_SIGNATURE_TASK) {
        const struct wf_json_value *tasks = wf_json_get(s.kwargs.value, "tasks");
        for (size_t i = 0; i < wf_json_count(tasks); i++)
            fail_signature(k, wf_json_at(tasks, i), failure, root_id, errbacks, depth + 1);
        return;
    }
    const char *id = text_option(signature, "task_id");
    if (!id)
        return;
    struct wfi_canvas_step step = {.kind = WFI_STEP_STORE, .result = *failure};
    step.result.task_id = id;
    step.result.group_id = text_option(signature, "group_id");
    step.result.parent_id = text_option(signature, "parent_id");
    step.result.name = s.task;
    step.result.args = s.args;
    step.result.kwargs = s.kwargs;
    add_step(k->c, &step);

    struct wfi_chord_part part = {.task_id = id,
                                  .group_id = step.result.group_id,
                                  .body = wfi_signature_option(signature, "chord"),
                                  .root_id = root_id};
    const struct wf_json_value *index = wfi_signature_option(signature, "group_index");
    part.has_group_index = index && wf_json_int(index, &part.group_index) == 0;
    if (part.body && part.group_id)
        add_part(k->c, &part, failure);
    if (errbacks) {
        const struct wf_json_value *chain = wfi_signature_option(signature, "chain");
        for (size_t i = 0; i < wf_json_count(chain); i++)
            fail_signature(k, wf_json_at(chain, i), failure, root_id, false, depth + 1);
        const struct wfi_json_piece list = list_option(k->c, signature, "link_error");
        send_errbacks(k, &list, id, root_id ? root_id : id);
    }
}

bool wfi_chord_part_of(const struct wfi_message *request, struct wfi_chord_part *ret)
{
    if (wf_json_type(request->chord.value) != WF_JSON_OBJECT || !request->group)
        return false;
    *ret = (struct wfi_chord_part){
        .task_id = request->id,
        .group_id = request->group,
        .has_group_index = request->has_group_index,
        .group_index = request->group_index,
        .body = request->chord.value,
        .root_id = root_of(request),
    };
    return true;
}

int wfi_canvas_failed(struct wfi_canvas *c, const struct wfi_canvas_context *context,
                      const struct wfi_result *failure, struct wf_error *reterr)
{
    struct walk k = {c, context, reterr};
    const struct wfi_message *request = context->request;
    const struct wf_json_value *chain = request->chain.value;
    struct wfi_chord_part part;

    if (wfi_chord_part_of(request, &part))
        add_part(c, &part, failure);
    for (size_t i = wf_json_count(chain); i-- > 0;)
        fail_signature(&k, wf_json_at(chain, i), failure, root_of(request), false, 0);
    send_errbacks(&k, &request->errbacks, request->id, root_of(request));
    return finish(&k);
}

/* ---- chords ---- */

static void chord_failed(struct walk *k, const struct wfi_chord_part *part,
                         const struct wf_json_value *member)
{
    struct wfi_exception exception = {.type = "Exception"};
    struct wfi_buffer text = {0};
    const char *id = wfi_json_c_string(wf_json_at(member, 1));

    wfi_exception_read(wf_json_at(member, 3), &exception);
    int err = wfi_buffer_printf(&text, "Dependency %s raised ", id ? id : "?");
    if (!err)
        err = wfi_exception_repr(&text, &exception);
    const char *message = err ? NULL : wfi_buffer_text(&text);
    if (!message) {
        fail(k, -ENOMEM, NULL);
    } else {
        wfi_exception_write_text(begin(k->c), "celery.exceptions", "ChordError", message);
        const struct wfi_result failure = {.state = WFI_STATE_FAILURE, .result = end(k->c)};
        const char *body_id = end_id(part->body);
        fail_signature(k, part->body, &failure, body_id, true, 0);
    }
    wfi_buffer_reset(&text);
}

int wfi_canvas_chord_complete(struct wfi_canvas *c, const struct wfi_canvas_context *context,
                              const struct wfi_chord_part *part,
                              const struct wfi_json_piece *members, size_t count,
                              struct wf_error *reterr)
{
    struct walk k = {c, context, reterr};
    struct wfi_buffer values = {0};

    for (size_t i = 0; i < count && !c->err; i++) {
        const struct wf_json_value *member = own_value(&k, &members[i]);
        const char *state = wfi_json_c_string(wf_json_at(member, 2));
        const enum wfi_task_state as = state ? wfi_state_of(state) : WFI_STATE_FAILURE;
        if (c->err)
            break;
        if (as == WFI_STATE_FAILURE || as == WFI_STATE_REVOKED) {
            chord_failed(&k, part, member);
            wfi_buffer_reset(&values);
            return finish(&k);
        }
        push_value(&k, &values, wf_json_at(member, 3));
    }
    if (!c->err) {
        struct wf_json_writer *w = begin(c);
        wf_json_write_array(w);
        wf_json_write_array(w);
        for (size_t i = 0; i < count_of(&values); i++)
            wf_json_write_value(w, values_of(&values)[i]);
        wf_json_write_end(w);
        wf_json_write_end(w);
        struct how how = {.args = end(c)};
        /* The body says whose it is, unless a client made it; then it is the last part's. */
        if (!text_option(part->body, "root_id"))
            how.root_id = part->root_id;
        if (!text_option(part->body, "parent_id"))
            how.parent_id = part->task_id;
        apply_child(&k, part->body, &how);
    }
    wfi_buffer_reset(&values);
    return finish(&k);
}

int wfi_canvas_add_to_chord(struct wfi_canvas *c, const struct wfi_canvas_context *context,
                            const struct wf_json_value *signature, struct wf_error *reterr)
{
    struct walk k = {c, context, reterr};
    struct wfi_chord_part part;

    if (!wfi_chord_part_of(context->request, &part))
        return wf_error_set(reterr, -EINVAL, "Current task is not member of any chord");
    const struct wfi_canvas_step grown = {
        .kind = WFI_STEP_CHORD_GROWN, .group_id = part.group_id, .count = 1};
    /* As Celery has it, beside the part that adds it. */
    const struct how how = {.group_id = part.group_id,
                            .has_index = part.has_group_index,
                            .index = part.group_index,
                            .chord = context->request->chord};
    add_step(c, &grown);
    apply_child(&k, signature, &how);
    return finish(&k);
}

/* ---- the same task again ---- */

int wfi_canvas_replace(struct wfi_canvas *c, const struct wfi_canvas_context *context,
                       const struct wf_json_value *signature, struct wf_error *reterr)
{
    struct walk k = {c, context, reterr};
    const struct wfi_message *r = context->request;
    const struct how how = {
        .root_id = root_of(r),
        .parent_id = r->id,
        .task_id = r->id,
        .group_id = r->group,
        .has_index = r->has_group_index,
        .index = r->group_index,
        .chord = wfi_json_piece_is_null(&r->chord) ? (struct wfi_json_piece){0} : r->chord,
        .chain = wfi_json_piece_is_null(&r->chain) ? (struct wfi_json_piece){0} : r->chain,
        .link = wfi_json_piece_is_null(&r->callbacks) ? (struct wfi_json_piece){0} : r->callbacks,
        .link_error =
            wfi_json_piece_is_null(&r->errbacks) ? (struct wfi_json_piece){0} : r->errbacks,
        .nesting = r->replaced_task_nesting + 1,
    };
    apply_child(&k, signature, &how);
    return finish(&k);
}

int wfi_canvas_retry(struct wfi_canvas *c, const struct wfi_canvas_context *context, int64_t eta_us,
                     struct wf_error *reterr)
{
    struct walk k = {c, context, reterr};
    struct wfi_canvas_step step = {.kind = WFI_STEP_SEND, .message = *context->request};
    struct wfi_message *m = &step.message;

    m->retries++;
    m->eta = iso_of(c, eta_us);
    m->eta_us = eta_us;
    m->root_id = root_of(context->request);
    m->parent_id = m->id;
    m->origin = context->origin;
    m->properties.redelivered = false;
    m->properties.delivery_tag = NULL;
    m->properties.expiration = NULL;
    if (m->expires)
        set_expiration(c, m, context->now_us);
    step.exchange = m->properties.exchange;
    step.routing_key = m->properties.routing_key;
    step.has_priority = true;
    add_step(c, &step);
    wfi_result_write_child(begin(c), m->id);
    const struct wfi_json_piece child = end(c);
    add_child(c, &child);
    c->id = m->id;
    return finish(&k);
}
