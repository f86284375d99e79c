/* SPDX-License-Identifier: MIT */
/*
 * The tasks of celery/worker/builtin.h.
 *
 * map and starmap call the task's function themselves, one after the other, within their own run:
 * its limits, its request and its cancellation are theirs, as with Python.
 */
#include "celery/worker/builtin.h"

#include <weft/celery_task.h>

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "celery/message/arguments.h"
#include "celery/message/message.h"
#include "celery/worker/running.h"

/* Maps of maps: each costs about 1 KiB of a fiber's stack. */
enum { MAPS_MAX = 16 };

WF_TASK(const struct wf_json *, wfi_celery_map, (const struct wf_json *, task),
        (const struct wf_json *, it))
WF_TASK(const struct wf_json *, wfi_celery_starmap, (const struct wf_json *, task),
        (const struct wf_json *, it))
WF_TASK(const struct wf_json *, wfi_celery_accumulate, (const struct wf_json *, args),
        (const struct wf_json *, kwargs))
WF_TASK(wf_none, wfi_celery_chunks, (const struct wf_json *, task), (const struct wf_json *, it),
        (int64_t, n))
WF_TASK(wf_none, wfi_celery_backend_cleanup, (const struct wf_json *, args),
        (const struct wf_json *, kwargs))

static void drop_json(void *result)
{
    wf_json_destroy(*(struct wf_json **)result);
}

/* The text that was written becomes the result. */
static int give(struct wf_task *self, struct wf_json_writer *w, const struct wf_json **ret)
{
    const char *text;
    size_t len;
    struct wf_json *json;
    struct wf_error error = {0};
    int err = wf_json_writer_text(w, &text, &len);
    if (!err)
        err = wf_json_read(text, len, NULL, &json, &error);
    if (err)
        return wf_task_fail(self, err, "%s", error.text[0] ? error.text : wf_strerror(err));
    *ret = json;
    return 0;
}

/* ---- map ---- */

struct mapping {
    const struct wf_task_type *type;
    void *result;
    bool has_result;
    struct wf_json_writer *w;
};

static int find_type(struct wf_task *self, const struct wf_json *signature,
                     const struct wf_task_type **ret)
{
    const char *name = wfi_json_c_string(wf_json_get(wf_json_root(signature), "task"));
    struct wf_error error = {0};
    if (!name)
        name = wfi_json_c_string(wf_json_root(signature));
    if (!name)
        return wf_task_fail(self, -EINVAL, "there is no task to map");
    *ret = strncmp(name, "wfi_", 4) == 0 ? NULL : wf_task_find(name);
    if (!*ret || !(*ret)->call)
        return wf_celery_raise(self, "celery.exceptions", "NotRegistered", name);
    return wfi_arguments_check(*ret, &error) ? wf_task_fail_with(self, &error) : 0;
}

/* Calls the task with one list of arguments, and writes what it gives. */
static int map_one(struct wf_task *self, struct mapping *m, const struct wf_json_value *args)
{
    struct wfi_arguments arguments;
    struct wf_error error = {0};
    const char *exc = NULL;
    memset(&arguments, 0, sizeof arguments);
    memset(m->result, 0, m->type->result_bytes);
    int err = wfi_arguments_bind(m->type, args, NULL, &arguments, &exc, &error);
    if (err) {
        wfi_arguments_fini(&arguments);
        return err == -EINVAL ? wf_celery_raise(self, "builtins", exc, error.text)
                              : wf_task_fail_with(self, &error);
    }
    err = m->type->call(self, arguments.args, m->result);
    if (err < 0) {
        wfi_arguments_fini(&arguments);
        return err;
    }
    err = wfi_arguments_write_result(m->w, m->type, m->result, &error);
    if (m->type->drop_result)
        m->type->drop_result(m->result);
    wfi_arguments_fini(&arguments); /* the result may point into them */
    if (err == -ENOMEM)
        return wf_task_fail_with(self, &error);
    return err ? wf_celery_raise(self, "kombu.exceptions", "EncodeError", error.text) : 0;
}

/* The same with a list of one. */
static int map_item(struct wf_task *self, struct mapping *m, const struct wf_json_value *item)
{
    struct wf_json *list;
    int err = wfi_json_view_create(WF_JSON_ARRAY, 1, &list);
    if (err)
        return wf_task_fail(self, err, "out of memory");
    wfi_json_view_add(list, item);
    err = map_one(self, m, wf_json_root(list));
    wf_json_destroy(list);
    return err;
}

static int map(struct wf_task *self, const struct wf_json *task, const struct wf_json *it,
               bool is_star, const struct wf_json **ret)
{
    const struct wf_json_value *items = wf_json_root(it);
    struct wfi_running *running = wfi_running_of(self);
    struct mapping m = {0};
    int err = find_type(self, task, &m.type);
    if (err)
        return err;
    if (running && running->maps == MAPS_MAX)
        return wf_celery_raise(self, "builtins", "RecursionError",
                               "maximum recursion depth exceeded");
    if (wf_json_type(items) != WF_JSON_ARRAY)
        return wf_celery_raise(self, "builtins", "TypeError", "what is mapped is not a list");
    m.result = wfi_zalloc_aligned(m.type->align > 16 ? m.type->align : 16,
                                  m.type->result_bytes > 0 ? m.type->result_bytes : 1);
    if (!m.result || wfi_message_writer_create(&m.w))
        err = wf_task_fail(self, -ENOMEM, "out of memory");
    if (!err)
        wf_json_write_array(m.w);
    if (running)
        running->maps++;
    for (size_t i = 0; !err && i < wf_json_count(items); i++) {
        const struct wf_json_value *item = wf_json_at(items, i);
        err = wf_checkpoint(self);
        if (!err && is_star && wf_json_type(item) != WF_JSON_ARRAY)
            err = wf_celery_raise(self, "builtins", "TypeError",
                                  "what is mapped is not a list of lists");
        else if (!err)
            err = is_star ? map_one(self, &m, item) : map_item(self, &m, item);
    }
    if (running)
        running->maps--;
    if (!err) {
        wf_json_write_end(m.w);
        err = give(self, m.w, ret);
    }
    wf_json_writer_destroy(m.w);
    wfi_free(m.result);
    return err;
}

int wfi_celery_map(struct wf_task *self, const struct wf_json *task, const struct wf_json *it,
                   const struct wf_json **ret)
{
    return map(self, task, it, false, ret);
}

int wfi_celery_starmap(struct wf_task *self, const struct wf_json *task, const struct wf_json *it,
                       const struct wf_json **ret)
{
    return map(self, task, it, true, ret);
}

/* ---- the others ---- */

int wfi_celery_accumulate(struct wf_task *self, const struct wf_json *args,
                          const struct wf_json *kwargs, const struct wf_json **ret)
{
    const struct wf_json_value *all = wf_json_root(args);
    const struct wf_json_value *index = wf_json_get(wf_json_root(kwargs), "index");
    struct wf_json_writer *w;
    int64_t i = 0;
    if (index && wf_json_type(index) != WF_JSON_NULL) {
        if (wf_json_int(index, &i))
            return wf_celery_raise(self, "builtins", "TypeError", "the index is not an integer");
        i += i < 0 ? (int64_t)wf_json_count(all) : 0;
        if (i < 0 || (uint64_t)i >= wf_json_count(all))
            return wf_celery_raise(self, "builtins", "IndexError", "tuple index out of range");
        all = wf_json_at(all, (size_t)i);
    }
    int err = wfi_message_writer_create(&w);
    if (err)
        return wf_task_fail(self, err, "out of memory");
    wf_json_write_value(w, all);
    err = give(self, w, ret);
    wf_json_writer_destroy(w);
    return err;
}

int wfi_celery_backend_cleanup(struct wf_task *self, const struct wf_json *args,
                               const struct wf_json *kwargs, wf_none *ret)
{
    (void)self, (void)args, (void)kwargs, (void)ret;
    return 0;
}

/* ---- canvas that arrives as a task ---- */

/* The signature of this name and these arguments takes the task's place. */
static int become(struct wf_task *self, const char *name, const struct wf_json *kwargs)
{
    const struct wf_json_value *given = wf_json_root(kwargs);
    struct wf_json_writer *w;
    const char *text;
    int err = wfi_message_writer_create(&w);
    if (err)
        return wf_task_fail(self, err, "out of memory");
    wf_json_write_object(w);
    wf_json_write_key(w, "task");
    wf_json_write_string(w, name, strlen(name));
    wf_json_write_key(w, "args");
    /* What is given to each of the first tasks. */
    if (wf_json_type(wf_json_get(given, "partial_args")) == WF_JSON_ARRAY) {
        wf_json_write_value(w, wf_json_get(given, "partial_args"));
    } else {
        wf_json_write_array(w);
        wf_json_write_end(w);
    }
    wf_json_write_key(w, "kwargs");
    wf_json_write_value(w, given);
    wf_json_write_end(w);
    err = wf_json_writer_text(w, &text, NULL);
    err = err ? wf_task_fail(self, err, "out of memory") : wf_celery_replace(self, text);
    wf_json_writer_destroy(w);
    return err;
}

#define BECOME(NAME)                                                        \
    WF_TASK(wf_none, wfi_celery_##NAME, (const struct wf_json *, args),     \
            (const struct wf_json *, kwargs))                               \
    int wfi_celery_##NAME(struct wf_task *self, const struct wf_json *args, \
                          const struct wf_json *kwargs, wf_none *ret)       \
    {                                                                       \
        (void)args, (void)ret;                                              \
        return become(self, "celery." #NAME, kwargs);                       \
    }

BECOME(group)
BECOME(chain)
BECOME(chord)

/* It is a group of starmaps: of the first n lists of arguments, the next n, and so on. */
static void write_chunks(struct wf_json_writer *w, const struct wf_json *task,
                         const struct wf_json_value *items, size_t n)
{
    wf_json_write_object(w);
    wf_json_write_key(w, "task");
    wf_json_write_string(w, "celery.group", 12);
    wf_json_write_key(w, "kwargs");
    wf_json_write_object(w);
    wf_json_write_key(w, "tasks");
    wf_json_write_array(w);
    for (size_t i = 0; i < wf_json_count(items); i += n) {
        wf_json_write_object(w);
        wf_json_write_key(w, "task");
        wf_json_write_string(w, "celery.starmap", 14);
        wf_json_write_key(w, "kwargs");
        wf_json_write_object(w);
        wf_json_write_key(w, "task");
        wf_json_write_value(w, wf_json_root(task));
        wf_json_write_key(w, "it");
        wf_json_write_array(w);
        for (size_t at = i; at < wf_json_count(items) && at - i < n; at++)
            wf_json_write_value(w, wf_json_at(items, at));
        for (int open = 0; open < 3; open++)
            wf_json_write_end(w);
    }
    for (int open = 0; open < 3; open++)
        wf_json_write_end(w);
}

int wfi_celery_chunks(struct wf_task *self, const struct wf_json *task, const struct wf_json *it,
                      int64_t n, wf_none *ret)
{
    const struct wf_json_value *items = wf_json_root(it);
    struct wf_json_writer *w;
    const char *text;
    (void)ret;
    if (wf_json_type(items) != WF_JSON_ARRAY || n < 1)
        return wf_celery_raise(self, "builtins", "ValueError",
                               "chunks are made of a list, and have at least one item");
    int err = wfi_message_writer_create(&w);
    if (err)
        return wf_task_fail(self, err, "out of memory");
    write_chunks(w, task, items, (size_t)n);
    err = wf_json_writer_text(w, &text, NULL);
    err = err ? wf_task_fail(self, err, "out of memory") : wf_celery_replace(self, text);
    wf_json_writer_destroy(w);
    return err;
}

/* ---- under their names ---- */

WF_TASK_DEFINE_WITH(wfi_celery_map, .drop_result = drop_json)
WF_TASK_DEFINE_WITH(wfi_celery_starmap, .drop_result = drop_json)
WF_TASK_DEFINE_WITH(wfi_celery_accumulate, .drop_result = drop_json)
WF_TASK_DEFINE(wfi_celery_backend_cleanup)
WF_TASK_DEFINE(wfi_celery_group)
WF_TASK_DEFINE(wfi_celery_chain)
WF_TASK_DEFINE(wfi_celery_chord)
WF_TASK_DEFINE(wfi_celery_chunks)

static const struct wf_celery_task takes_all = {.rest_args = "args", .rest_kwargs = "kwargs"};

static const struct {
    const char *name;
    const struct wf_task_type *type;
    const struct wf_celery_task *celery;
} builtin[] = {
    {"celery.map", &wfi_celery_map_task, NULL},
    {"celery.starmap", &wfi_celery_starmap_task, NULL},
    {"celery.accumulate", &wfi_celery_accumulate_task, &takes_all},
    {"celery.backend_cleanup", &wfi_celery_backend_cleanup_task, &takes_all},
    {"celery.group", &wfi_celery_group_task, &takes_all},
    {"celery.chain", &wfi_celery_chain_task, &takes_all},
    {"celery.chord", &wfi_celery_chord_task, &takes_all},
    {"celery.chunks", &wfi_celery_chunks_task, NULL},
};

enum { COUNT = sizeof builtin / sizeof *builtin };

/* When the library is loaded, as all tasks are: a process that runs them may have been forked
 * before there was a worker. A name with a point in it is none that WF_TASK can make. */
static struct wf_task_type types[COUNT];
static struct wf_task_entry entries[COUNT];

__attribute__((constructor)) static void name_all(void)
{
    for (size_t i = 0; i < COUNT; i++) {
        types[i] = *builtin[i].type;
        types[i].name = builtin[i].name;
        types[i].celery = builtin[i].celery;
        entries[i].type = &types[i];
        wf_task_register(&entries[i]);
    }
}

__attribute__((destructor)) static void forget_all(void)
{
    for (size_t i = 0; i < COUNT; i++)
        wf_task_unregister(&entries[i]);
}

size_t wfi_builtin_count(void)
{
    return COUNT;
}
