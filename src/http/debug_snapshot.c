/* SPDX-License-Identifier: MIT */
/*
 * A snapshot: tasks are gathered by name, a few of the oldest of each name are kept, and a walk
 * over the parties then says of these where they are and what they wait for, and counts for each
 * name how many do what. So the memory is bounded by the number of names and not of tasks, and each
 * task and party is looked at once.
 */
#include "http/debug_snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weft/task.h>
#include <weft/usage.h>
#include <weft/worker.h>

#include "base/alloc.h"

enum {
    GROUPS = 48, /* names; what is left goes under one more */
    ROWS = 8,    /* tasks shown of each name */
    REASONS = 4, /* shown of each name */
    PIECE = 32,  /* of a walk */
    /* A latency of "the last second" that is older than this is not shown: nobody looked. */
    RECENT_S = 3,
};

struct reason {
    const char *text;
    uint64_t count;
};

struct row {
    struct wf_seen_task task;
    bool placed;
    struct wf_seen_party party; /* but for its task */
};

struct group {
    const char *name, *engine; /* NULL: for all that is left */
    char executor[32];         /* of the first; "" when there are others */
    uint64_t pending, running; /* tasks */
    uint64_t active, ready, waiting;
    int64_t oldest_ns;
    struct reason reasons[REASONS];
    struct row rows[ROWS];
    size_t row_count;
};

struct gathered {
    struct group groups[GROUPS + 1];
    size_t group_count; /* without the last */
    size_t last;        /* group that was looked up */
    struct row *by_id[(GROUPS + 1) * ROWS];
    size_t id_count;
    uint64_t fibers, threads, fibers_waiting, fibers_ready;
};

/* ---- gathering ---- */

static struct group *group_of(struct gathered *all, const char *name, bool make)
{
    if (all->last < all->group_count && all->groups[all->last].name == name)
        return &all->groups[all->last];
    for (size_t i = 0; i < all->group_count; i++)
        if (all->groups[i].name == name || strcmp(all->groups[i].name, name) == 0) {
            all->last = i;
            return &all->groups[i];
        }
    if (all->group_count == GROUPS)
        return &all->groups[GROUPS];
    if (!make)
        return NULL;
    all->last = all->group_count;
    all->groups[all->group_count].name = name;
    return &all->groups[all->group_count++];
}

/* Keeps the task among the oldest of its name, if it is one. */
static void keep(struct group *group, const struct wf_seen_task *task)
{
    struct row *row = &group->rows[0];
    if (group->row_count < ROWS) {
        row = &group->rows[group->row_count++];
    } else {
        for (size_t i = 1; i < ROWS; i++)
            if (group->rows[i].task.age_ns < row->task.age_ns)
                row = &group->rows[i];
        if (row->task.age_ns >= task->age_ns)
            return;
    }
    row->task = *task;
}

static void gather_task(struct gathered *all, const struct wf_seen_task *task)
{
    struct group *group = group_of(all, task->name, true);
    if (!group->engine) {
        group->engine = task->engine;
        memcpy(group->executor, task->executor, sizeof group->executor);
    } else if (group->executor[0] && strcmp(group->executor, task->executor) != 0) {
        group->executor[0] = '\0';
    }
    group->pending += task->state == WF_FUTURE_PENDING;
    group->running += task->state == WF_FUTURE_RUNNING;
    if (task->age_ns > group->oldest_ns)
        group->oldest_ns = task->age_ns;
    keep(group, task);
}

static int by_id(const void *a, const void *b)
{
    const struct row *x = *(struct row *const *)a, *y = *(struct row *const *)b;
    return x->task.id < y->task.id ? -1 : x->task.id > y->task.id;
}

static void sort_rows(struct gathered *all)
{
    for (size_t i = 0; i <= GROUPS; i++)
        for (size_t k = 0; k < all->groups[i].row_count; k++)
            all->by_id[all->id_count++] = &all->groups[i].rows[k];
    qsort(all->by_id, all->id_count, sizeof *all->by_id, by_id);
}

static void count_reason(struct group *group, const char *text)
{
    for (size_t i = 0; i < REASONS; i++) {
        struct reason *reason = &group->reasons[i];
        if (reason->text && strcmp(reason->text, text) != 0)
            continue;
        reason->text = text;
        reason->count++;
        return;
    }
}

static void gather_party(struct gathered *all, const struct wf_seen_party *party)
{
    bool fiber = party->kind == WF_PARTY_FIBER;
    all->fibers += fiber;
    all->threads += !fiber;
    all->fibers_waiting += fiber && party->state == WF_PARTY_WAITING;
    all->fibers_ready += fiber && party->state == WF_PARTY_READY;
    struct group *group = party->task.name ? group_of(all, party->task.name, false) : NULL;
    if (!group)
        return;
    group->active += party->state == WF_PARTY_RUNNING;
    group->ready += party->state == WF_PARTY_READY;
    group->waiting += party->state == WF_PARTY_WAITING;
    if (party->state == WF_PARTY_WAITING)
        count_reason(group, party->reason);
    struct row key = {.task = {.id = party->task.id}}, *key_at = &key;
    struct row **found = bsearch(&key_at, all->by_id, all->id_count, sizeof *all->by_id, by_id);
    if (found && strcmp((*found)->task.name, party->task.name) == 0) {
        (*found)->placed = true;
        (*found)->party = *party;
    }
}

/* Other fibers run between two pieces. */
static int gather(struct gathered *all)
{
    struct wf_inspect_cursor cursor = {0};
    struct wf_seen_task tasks[PIECE];
    struct wf_seen_party parties[PIECE];
    size_t count;
    int err = 0;
    while (!err && (count = wf_inspect_tasks(&cursor, tasks, PIECE)) > 0) {
        for (size_t i = 0; i < count; i++)
            gather_task(all, &tasks[i]);
        err = wf_yield();
    }
    sort_rows(all);
    cursor = (struct wf_inspect_cursor){0};
    while (!err && (count = wf_inspect_parties(&cursor, parties, PIECE)) > 0) {
        for (size_t i = 0; i < count; i++)
            gather_party(all, &parties[i]);
        err = wf_yield();
    }
    return err;
}

/* ---- writing ---- */

static void put_text(struct wf_json_writer *w, const char *key, const char *text)
{
    wf_json_write_key(w, key);
    if (text)
        wf_json_write_string(w, text, strlen(text));
    else
        wf_json_write_null(w);
}

static void put_uint(struct wf_json_writer *w, const char *key, uint64_t number)
{
    wf_json_write_key(w, key);
    wf_json_write_uint(w, number);
}

static void put_bool(struct wf_json_writer *w, const char *key, bool value)
{
    wf_json_write_key(w, key);
    wf_json_write_bool(w, value);
}

/* Milliseconds, to the microsecond. */
static void put_ms(struct wf_json_writer *w, const char *key, int64_t ns)
{
    wf_json_write_key(w, key);
    wf_json_write_double(w, (double)(ns / 1000) / 1000);
}

static void put_address(struct wf_json_writer *w, const char *key, uint64_t address)
{
    char text[24];
    snprintf(text, sizeof text, "0x%llx", (unsigned long long)address);
    put_text(w, key, text);
}

const char *wfi_debug_party_state(enum wf_party_state state)
{
    return state == WF_PARTY_WAITING ? "waiting" : state == WF_PARTY_READY ? "ready" : "running";
}

const char *wfi_debug_process_state(enum wf_worker_state state)
{
    static const char *const states[] = {"starting", "idle", "running", "waiting", "ending"};
    return states[state];
}

void wfi_debug_place(const struct wf_seen_party *party, char *ret_text, size_t room)
{
    if (party->kind == WF_PARTY_FIBER)
        snprintf(ret_text, room, "%s_%d.%llu", party->runtime, party->worker,
                 (unsigned long long)party->id);
    else if (party->name[0])
        snprintf(ret_text, room, "%s", party->name);
    else
        snprintf(ret_text, room, "%llu", (unsigned long long)party->id);
}

static void write_task_members(struct wf_json_writer *w, const struct wf_seen_task *task)
{
    put_address(w, "id", task->id);
    put_text(w, "name", task->name);
    put_text(w, "own_name", task->own_name[0] ? task->own_name : NULL);
    put_text(w, "executor", task->executor[0] ? task->executor : NULL);
    put_text(w, "engine", task->engine);
    put_text(w, "state", task->state == WF_FUTURE_PENDING ? "pending" : "running");
    put_bool(w, "asked_to_stop", task->asked);
    put_ms(w, "age_ms", task->age_ns);
}

void wfi_debug_write_task(struct wf_json_writer *w, const struct wf_seen_task *task)
{
    wf_json_write_object(w);
    write_task_members(w, task);
    wf_json_write_end(w);
}

static void write_party_members(struct wf_json_writer *w, const struct wf_seen_party *party)
{
    char place[64];
    wfi_debug_place(party, place, sizeof place);
    put_text(w, "place", place);
    put_text(w, "doing", wfi_debug_party_state(party->state));
    if (party->state != WF_PARTY_WAITING)
        return;
    put_text(w, "waits_for", party->reason);
    put_address(w, "object", party->object);
    put_ms(w, "waits_ms", party->waits_ns);
}

void wfi_debug_write_party(struct wf_json_writer *w, const struct wf_seen_party *party)
{
    wf_json_write_object(w);
    put_text(w, "kind", party->kind == WF_PARTY_FIBER ? "fiber" : "thread");
    put_uint(w, "number", party->id);
    put_text(w, "name", party->name[0] ? party->name : NULL);
    write_party_members(w, party);
    wf_json_write_key(w, "task");
    if (party->task.name)
        wfi_debug_write_task(w, &party->task);
    else
        wf_json_write_null(w);
    wf_json_write_end(w);
}

void wfi_debug_write_worker(struct wf_json_writer *w, const struct wf_seen_worker *worker)
{
    wf_json_write_object(w);
    put_text(w, "runtime", worker->runtime);
    put_uint(w, "index", (uint64_t)worker->index);
    put_bool(w, "asleep", worker->asleep);
    put_uint(w, "fibers", worker->fibers);
    put_uint(w, "queued", worker->queued);
    put_uint(w, "shared", worker->shared);
    put_uint(w, "jobs", worker->jobs);
    put_uint(w, "switches", worker->switches);
    put_uint(w, "steals", worker->steals);
    put_uint(w, "injected", worker->injected);
    put_uint(w, "wakes", worker->wakes);
    put_uint(w, "timers", worker->timers);
    put_uint(w, "polls", worker->polls);
    put_uint(w, "sleeps", worker->sleeps);
    wf_json_write_end(w);
}

void wfi_debug_write_executor(struct wf_json_writer *w, const struct wf_seen_executor *executor)
{
    wf_json_write_object(w);
    put_text(w, "name", executor->name);
    put_text(w, "engine", executor->engine);
    put_uint(w, "workers", executor->workers);
    put_uint(w, "alive", executor->alive);
    put_uint(w, "queued", executor->queued);
    put_uint(w, "running", executor->running);
    put_uint(w, "ended", executor->ended);
    put_bool(w, "shut", executor->shut);
    wf_json_write_end(w);
}

void wfi_debug_write_offload(struct wf_json_writer *w, const struct wf_seen_offload *offload)
{
    wf_json_write_object(w);
    put_text(w, "name", offload->name);
    put_uint(w, "most", offload->most);
    put_uint(w, "threads", offload->threads);
    put_uint(w, "idle", offload->idle);
    put_uint(w, "queued", offload->queued);
    put_uint(w, "calls", offload->calls);
    put_uint(w, "slow", offload->slow);
    wf_json_write_end(w);
}

void wfi_debug_write_process(struct wf_json_writer *w, const struct wf_seen_process *process)
{
    const struct wf_worker_info *info = &process->info;
    wf_json_write_object(w);
    put_text(w, "executor", process->executor);
    put_uint(w, "place", process->place);
    put_uint(w, "pid", (uint64_t)info->pid);
    put_text(w, "state", wfi_debug_process_state(info->state));
    put_text(w, "task", info->task[0] ? info->task : NULL);
    put_ms(w, "age_ms", info->age_ns);
    put_uint(w, "resident_bytes", info->resident_bytes);
    put_uint(w, "tasks", info->tasks);
    put_uint(w, "restarts", info->restarts);
    wf_json_write_end(w);
}

static void write_row(struct wf_json_writer *w, const struct row *row)
{
    wf_json_write_object(w);
    write_task_members(w, &row->task);
    if (row->placed)
        write_party_members(w, &row->party);
    wf_json_write_end(w);
}

static void write_group(struct wf_json_writer *w, const struct group *group)
{
    wf_json_write_object(w);
    put_text(w, "name", group->name);
    put_text(w, "engine", group->engine);
    put_text(w, "executor", group->executor[0] ? group->executor : NULL);
    put_uint(w, "pending", group->pending);
    put_uint(w, "running", group->running);
    put_uint(w, "active", group->active);
    put_uint(w, "ready", group->ready);
    put_uint(w, "waiting", group->waiting);
    put_ms(w, "oldest_ms", group->oldest_ns);
    wf_json_write_key(w, "reasons");
    wf_json_write_object(w);
    for (size_t i = 0; i < REASONS && group->reasons[i].text; i++)
        put_uint(w, group->reasons[i].text, group->reasons[i].count);
    wf_json_write_end(w);
    wf_json_write_key(w, "tasks");
    wf_json_write_array(w);
    for (size_t i = 0; i < group->row_count; i++)
        write_row(w, &group->rows[i]);
    wf_json_write_end(w);
    wf_json_write_end(w);
}

static void write_latency(struct wf_json_writer *w, const char *key,
                          const struct wf_latency *latency, int64_t over_ns)
{
    wf_json_write_key(w, key);
    wf_json_write_object(w);
    put_uint(w, "count", latency->count);
    put_ms(w, "over_ms", over_ns);
    put_ms(w, "p50_ms", wf_latency_quantile(latency, 0.5));
    put_ms(w, "p90_ms", wf_latency_quantile(latency, 0.9));
    put_ms(w, "p99_ms", wf_latency_quantile(latency, 0.99));
    put_ms(w, "max_ms", latency->max_ns);
    wf_json_write_end(w);
}

static void write_server(struct wf_json_writer *w, const struct wf_server *server,
                         struct wfi_debug_past *past, int64_t now)
{
    struct wf_server_counts counts;
    struct wf_latency latency, recent;
    wf_server_count(server, &counts);
    wf_server_latency(server, &latency);
    wf_json_write_key(w, "server");
    wf_json_write_object(w);
    put_uint(w, "connections", counts.connections);
    put_uint(w, "open", counts.connections_open);
    put_uint(w, "requests", counts.requests);
    put_uint(w, "refused", counts.refused);
    put_uint(w, "canceled", counts.canceled);
    write_latency(w, "all", &latency, 0);
    if (past->taken_ns && now - past->taken_ns < WF_SECONDS(RECENT_S)) {
        recent = latency;
        wf_latency_subtract(&recent, &past->latency);
        write_latency(w, "recent", &recent, now - past->taken_ns);
    }
    wf_json_write_end(w);
    past->taken_ns = now;
    past->latency = latency;
}

static void read_usage(void *arg)
{
    struct wf_usage *usage = arg;
    if (wf_usage_read(usage))
        *usage = (struct wf_usage){0};
}

static void write_process_itself(struct wf_json_writer *w)
{
    struct wf_usage usage = {0};
    (void)wf_block(read_usage, &usage); /* without it the page shows zeros */
    wf_json_write_key(w, "process");
    wf_json_write_object(w);
    put_uint(w, "resident_bytes", usage.resident_bytes);
    put_ms(w, "cpu_ms", usage.cpu_ns);
    put_ms(w, "started_ms", usage.started_ns);
    put_uint(w, "threads", usage.threads);
    put_uint(w, "descriptors", usage.descriptors);
    wf_json_write_end(w);
}

static void write_tasks(struct wf_json_writer *w, const struct gathered *all)
{
    wf_json_write_key(w, "parties");
    wf_json_write_object(w);
    put_uint(w, "fibers", all->fibers);
    put_uint(w, "fibers_waiting", all->fibers_waiting);
    put_uint(w, "fibers_ready", all->fibers_ready);
    put_uint(w, "threads", all->threads);
    wf_json_write_end(w);
    wf_json_write_key(w, "groups");
    wf_json_write_array(w);
    for (size_t i = 0; i <= GROUPS; i++)
        if (i < all->group_count || all->groups[i].engine)
            write_group(w, &all->groups[i]);
    wf_json_write_end(w);
}

/* The walks that are short. A piece is taken at a time, since nothing is known of how many come. */
static void write_the_rest(struct wf_json_writer *w)
{
    struct wf_inspect_cursor cursor = {0};
    struct wf_seen_worker worker;
    struct wf_seen_executor executor;
    struct wf_seen_offload offload;
    struct wf_seen_process process;
    wf_json_write_key(w, "workers");
    wf_json_write_array(w);
    while (wf_inspect_workers(&cursor, &worker, 1) > 0)
        wfi_debug_write_worker(w, &worker);
    wf_json_write_end(w);
    cursor = (struct wf_inspect_cursor){0};
    wf_json_write_key(w, "executors");
    wf_json_write_array(w);
    while (wf_inspect_executors(&cursor, &executor, 1) > 0)
        wfi_debug_write_executor(w, &executor);
    wf_json_write_end(w);
    cursor = (struct wf_inspect_cursor){0};
    wf_json_write_key(w, "offload");
    wf_json_write_array(w);
    while (wf_inspect_offload(&cursor, &offload, 1) > 0)
        wfi_debug_write_offload(w, &offload);
    wf_json_write_end(w);
    cursor = (struct wf_inspect_cursor){0};
    wf_json_write_key(w, "processes");
    wf_json_write_array(w);
    while (wf_inspect_processes(&cursor, &process, 1) > 0)
        wfi_debug_write_process(w, &process);
    wf_json_write_end(w);
}

int wfi_debug_snapshot(const struct wf_server *server, struct wfi_debug_past *past,
                       struct wf_json_writer *writer)
{
    struct gathered *all = wfi_zalloc(sizeof *all);
    if (!all)
        return -ENOMEM;
    int err = gather(all);
    if (!err) {
        int64_t now = wf_now();
        wf_json_write_object(writer);
        put_ms(writer, "now_ms", now);
        write_server(writer, server, past, now);
        write_process_itself(writer);
        write_tasks(writer, all);
        write_the_rest(writer);
        wf_json_write_end(writer);
    }
    wfi_free(all);
    return err;
}
