/* SPDX-License-Identifier: MIT */
/*
 * Ordered map: a ring of jobs in the order of their inputs. A job works on one item, or on a chunk
 * of them: see exec/chunk.h.
 */
#include <weft/map.h>

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "exec/chunk.h"
#include "exec/executor.h"

struct wf_map {
    struct wf_executor *on;
    const struct wf_task_type *type;
    int (*pull)(void (*next)(void), void *arg, void *ret_args);
    void (*next)(void);
    void *arg;
    bool exhausted;
    int source_error;      /* reported after all that was pulled before it */
    size_t chunk_items;    /* 1: no chunks */
    size_t jobs_max;       /* slots in the ring */
    size_t first, jobs;    /* the ring */
    unsigned char *buffer; /* arguments of one item, on their way to submit */
    struct slot {
        struct wf_future *future; /* NULL: its chunk is being read */
        struct wfi_chunk *chunk;
    } ring[];
};

/* Filling the ring */

/* Returns true when there was another item; its arguments are at `ret_args`. */
static bool pull(struct wf_map *map, void *ret_args)
{
    if (map->exhausted)
        return false;
    memset(ret_args, 0, map->type->args_bytes);
    int more = map->pull(map->next, map->arg, ret_args);
    if (more > 0)
        return true;
    map->exhausted = true;
    map->source_error = more;
    return false;
}

static bool fill_slot(struct wf_map *map, struct slot *slot)
{
    if (map->chunk_items == 1) {
        if (!pull(map, map->buffer))
            return false;
        slot->future = wf_submit(map->on, map->type, NULL, map->buffer);
        return true;
    }
    if (map->exhausted)
        return false;
    struct wfi_chunk *chunk = wfi_chunk_make(map->type, map->chunk_items);
    if (!chunk) {
        map->exhausted = true;
        map->source_error = -ENOMEM;
        return false;
    }
    while (chunk->count < map->chunk_items &&
           pull(map, chunk->args + chunk->count * map->type->args_bytes))
        chunk->count++;
    if (chunk->count == 0) {
        chunk->owners = 1;
        wfi_chunk_release(chunk);
        return false;
    }
    struct wfi_chunk_args args = {chunk};
    slot->chunk = chunk;
    struct wf_submit_options options = {.name = map->type->name};
    slot->future = wf_submit(map->on, &wfi_chunk_type, &options, &args);
    return true;
}

static void fill(struct wf_map *map)
{
    while (map->jobs < map->jobs_max &&
           fill_slot(map, &map->ring[(map->first + map->jobs) % map->jobs_max]))
        map->jobs++;
}

int wf_map_create(struct wf_executor *on, const struct wf_task_type *type,
                  const struct wf_map_options *options,
                  int (*pull_typed)(void (*next)(void), void *arg, void *ret_args),
                  void (*next)(void), void *arg, struct wf_map **ret_map, struct wf_error *reterr)
{
    static const struct wf_map_options defaults;
    if (!options)
        options = &defaults;
    if (options->look_ahead < 0 || options->chunk < 0)
        return wf_error_set(reterr, -EINVAL, "%s must not be negative",
                            options->look_ahead < 0 ? "look_ahead" : "chunk");
    /* Without its code here, a task can only be handed on one by one. */
    size_t chunk = options->chunk && type->call ? (size_t)options->chunk : 1;
    size_t ahead = options->look_ahead ? (size_t)options->look_ahead
                                       : 2 * (size_t)wf_executor_workers(on) * chunk;
    size_t jobs = ahead / chunk ? ahead / chunk : 1;
    struct wf_map *map = wfi_zalloc(sizeof *map + jobs * sizeof *map->ring);
    unsigned char *buffer = wfi_zalloc(type->args_bytes);
    if (!map || !buffer) {
        wfi_free(map);
        wfi_free(buffer);
        return wf_error_set(reterr, -ENOMEM, NULL);
    }
    map->on = on;
    map->type = type;
    map->pull = pull_typed;
    map->next = next;
    map->arg = arg;
    map->chunk_items = chunk;
    map->jobs_max = jobs;
    map->buffer = buffer;
    fill(map);
    *ret_map = map;
    return 0;
}

/* Reading */

static void leave_slot(struct wf_map *map)
{
    map->ring[map->first] = (struct slot){NULL, NULL};
    map->first = (map->first + 1) % map->jobs_max;
    map->jobs--;
}

static int read_chunk(struct wf_map *map, struct slot *slot, void *ret, wf_deadline deadline,
                      struct wf_error *reterr)
{
    struct wfi_chunk *chunk = slot->chunk;
    if (slot->future) {
        int err = wf_future_wait(slot->future, deadline);
        if (err)
            return wf_error_set(reterr, err, "waiting for task %s", map->type->name);
    }
    size_t i = chunk->read;
    int code = 1;
    if (i >= chunk->begun) { /* the chunk was refused, cancelled or cut short */
        struct wf_error error;
        code = wfi_future_describe(slot->future, &error);
        if (reterr)
            *reterr = error;
    } else if (chunk->outcomes[i].code) {
        code = chunk->outcomes[i].code;
        if (reterr && chunk->outcomes[i].error) {
            *reterr = *chunk->outcomes[i].error;
            reterr->code = code;
        } else {
            wf_error_set(reterr, code, "task %s: %s", map->type->name, wf_strerror(code));
        }
    } else if (ret) {
        memcpy(ret, chunk->results + i * map->type->result_bytes, map->type->result_bytes);
    } else if (map->type->drop_result) {
        map->type->drop_result(chunk->results + i * map->type->result_bytes);
    }
    if (++chunk->read == chunk->count) {
        wf_future_error(slot->future, WF_NOW, NULL);
        wf_future_drop(&slot->future);
        wfi_chunk_release(chunk);
        leave_slot(map);
    }
    return code;
}

int wf_map_next(struct wf_map *map, void *ret, wf_deadline deadline, struct wf_error *reterr)
{
    fill(map);
    if (map->jobs == 0) {
        int err = map->source_error;
        map->source_error = 0;
        return err ? wf_error_set(reterr, err, "the source of items: %s", wf_strerror(err)) : 0;
    }
    struct slot *slot = &map->ring[map->first];
    if (slot->chunk)
        return read_chunk(map, slot, ret, deadline, reterr);
    int err = wf_future_result(&slot->future, ret, deadline, reterr);
    if (!slot->future)
        leave_slot(map);
    return err ? err : 1;
}

void wf_map_close(struct wf_map *map)
{
    if (!map)
        return;
    for (; map->jobs; leave_slot(map)) {
        struct slot *slot = &map->ring[map->first];
        bool must_serve;
        wfi_future_cancel_quietly(slot->future, &must_serve);
        if (must_serve)
            wfi_future_serve_removed(slot->future);
        wf_future_drop(&slot->future);
        if (slot->chunk)
            wfi_chunk_release(slot->chunk);
    }
    wfi_free(map->buffer);
    wfi_free(map);
}

/* Arrays */

struct array {
    const unsigned char *at, *end;
    size_t bytes;
};

static int next_of_array(void (*next)(void), void *arg, void *ret_args)
{
    (void)next;
    struct array *array = arg;
    if (array->at == array->end)
        return 0;
    memcpy(ret_args, array->at, array->bytes);
    array->at += array->bytes;
    return 1;
}

int wf_map_each(struct wf_executor *on, const struct wf_task_type *type,
                const struct wf_map_options *options, const void *args, size_t count,
                void *ret_results, wf_deadline deadline, struct wf_error *reterr)
{
    struct array array = {args, (const unsigned char *)args + count * type->args_bytes,
                          type->args_bytes};
    struct wf_map *map;
    int err = wf_map_create(on, type, options, next_of_array, NULL, &array, &map, reterr);
    if (err)
        return err;
    unsigned char *result = ret_results;
    for (size_t i = 0; i < count; i++) {
        int more = wf_map_next(map, result, deadline, reterr);
        if (more != 1) {
            err = more;
            wf_error_prefix(reterr, "item %zu", i);
            break;
        }
        if (result)
            result += type->result_bytes;
    }
    wf_map_close(map);
    return err;
}
