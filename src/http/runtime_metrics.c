/* SPDX-License-Identifier: MIT */
/*
 * What a page of metrics says of executors, workers, threads for blocking calls and worker
 * processes. Each is read whole into a table first, as the page has one family after another.
 *
 * Names need not be different, but the labels of a family must be: things of one name are one row,
 * and their figures are added up. What finds no room shares a row called (others).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <weft/inspect.h>

#include "base/alloc.h"
#include "http/metrics.h"

enum { ROWS_MAX = 64, COLUMNS_MAX = 8, PIECE = 16 };

struct row {
    char name[32], kind[16];
    double at[COLUMNS_MAX];
};

struct table {
    const char *name_label, *kind_label; /* the second may be NULL */
    size_t count;
    struct row rows[ROWS_MAX + 1];
};

static struct row *row_of(struct table *table, const char *name, const char *kind)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->rows[i].name, name) == 0 && strcmp(table->rows[i].kind, kind) == 0)
            return &table->rows[i];
    if (table->count > ROWS_MAX)
        return &table->rows[ROWS_MAX];
    if (table->count == ROWS_MAX) {
        name = "(others)";
        kind = "";
    }
    struct row *row = &table->rows[table->count++];
    snprintf(row->name, sizeof row->name, "%.*s", (int)sizeof row->name - 1, name);
    snprintf(row->kind, sizeof row->kind, "%.*s", (int)sizeof row->kind - 1, kind);
    return row;
}

static void put_values(struct wf_metrics *m, const struct table *table, size_t column,
                       const char *label, const char *value)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct row *row = &table->rows[i];
        const char *labels[8] = {table->name_label, row->name};
        size_t count = 2;
        if (table->kind_label) {
            labels[count++] = table->kind_label;
            labels[count++] = row->kind;
        }
        if (label) {
            labels[count++] = label;
            labels[count++] = value;
        }
        wf_metrics_value(m, labels, row->at[column]);
    }
}

static void put_column(struct wf_metrics *m, const struct table *table, size_t column,
                       const char *name, enum wf_metric_type type, const char *help)
{
    if (!table->count)
        return; /* a family has values */
    wf_metrics_family(m, name, type, help);
    put_values(m, table, column, NULL, NULL);
}

static void put_executors(struct wf_metrics *m, struct table *table)
{
    enum { ALIVE, QUEUED, RUNNING, ENDED };
    struct wf_inspect_cursor cursor = {0};
    struct wf_seen_executor seen[PIECE];
    size_t count;
    *table = (struct table){.name_label = "executor", .kind_label = "engine"};
    while ((count = wf_inspect_executors(&cursor, seen, PIECE)) > 0)
        for (size_t i = 0; i < count; i++) {
            double *at = row_of(table, seen[i].name, seen[i].engine)->at;
            at[ALIVE] += seen[i].alive;
            at[QUEUED] += (double)seen[i].queued;
            at[RUNNING] += (double)seen[i].running;
            at[ENDED] += (double)seen[i].ended;
        }
    put_column(m, table, ALIVE, "weft_executor_workers", WF_METRIC_GAUGE,
               "Threads, workers or processes of executors.");
    if (table->count) {
        wf_metrics_family(m, "weft_tasks", WF_METRIC_GAUGE, "Tasks that have not ended.");
        put_values(m, table, QUEUED, "state", "queued");
        put_values(m, table, RUNNING, "state", "running");
    }
    put_column(m, table, ENDED, "weft_tasks_ended_total", WF_METRIC_COUNTER,
               "Tasks that have ended.");
}

static void put_workers(struct wf_metrics *m, struct table *table)
{
    enum { FIBERS, QUEUED, JOBS, SWITCHES, STEALS, SLEEPS, AWAKE };
    struct wf_inspect_cursor cursor = {0};
    struct wf_seen_worker seen[PIECE];
    char number[16];
    size_t count;
    *table = (struct table){.name_label = "runtime", .kind_label = "worker"};
    while ((count = wf_inspect_workers(&cursor, seen, PIECE)) > 0)
        for (size_t i = 0; i < count; i++) {
            snprintf(number, sizeof number, "%d", seen[i].index);
            double *at = row_of(table, seen[i].runtime, number)->at;
            at[FIBERS] += (double)seen[i].fibers;
            at[QUEUED] += (double)seen[i].queued;
            at[JOBS] += (double)seen[i].jobs;
            at[SWITCHES] += (double)seen[i].switches;
            at[STEALS] += (double)seen[i].steals;
            at[SLEEPS] += (double)seen[i].sleeps;
            at[AWAKE] += !seen[i].asleep;
        }
    put_column(m, table, AWAKE, "weft_worker_awake", WF_METRIC_GAUGE,
               "Whether a worker of fibers has work.");
    put_column(m, table, FIBERS, "weft_worker_fibers", WF_METRIC_GAUGE,
               "Fibers that have started and not ended.");
    put_column(m, table, QUEUED, "weft_worker_queued", WF_METRIC_GAUGE,
               "Jobs in a worker's own queue.");
    put_column(m, table, JOBS, "weft_worker_jobs_total", WF_METRIC_COUNTER, "Jobs started.");
    put_column(m, table, SWITCHES, "weft_worker_switches_total", WF_METRIC_COUNTER,
               "Switches to a fiber.");
    put_column(m, table, STEALS, "weft_worker_steals_total", WF_METRIC_COUNTER,
               "Jobs taken from another worker.");
    put_column(m, table, SLEEPS, "weft_worker_sleeps_total", WF_METRIC_COUNTER,
               "Sleeps for want of work.");
}

static void put_offload(struct wf_metrics *m, struct table *table)
{
    enum { THREADS, QUEUED, CALLS, SLOW };
    struct wf_inspect_cursor cursor = {0};
    struct wf_seen_offload seen[PIECE];
    size_t count;
    *table = (struct table){.name_label = "class"};
    while ((count = wf_inspect_offload(&cursor, seen, PIECE)) > 0)
        for (size_t i = 0; i < count; i++) {
            double *at = row_of(table, seen[i].name, "")->at;
            at[THREADS] += seen[i].threads;
            at[QUEUED] += (double)seen[i].queued;
            at[CALLS] += (double)seen[i].calls;
            at[SLOW] += (double)seen[i].slow;
        }
    put_column(m, table, THREADS, "weft_offload_threads", WF_METRIC_GAUGE,
               "Threads for calls that block.");
    put_column(m, table, QUEUED, "weft_offload_queued", WF_METRIC_GAUGE,
               "Calls that wait for such a thread.");
    put_column(m, table, CALLS, "weft_offload_calls_total", WF_METRIC_COUNTER, "Calls that block.");
    put_column(m, table, SLOW, "weft_offload_slow_total", WF_METRIC_COUNTER,
               "Such calls that waited more than 10 ms for a thread.");
}

static void put_processes(struct wf_metrics *m, struct table *table)
{
    enum { BYTES, BUSY };
    struct wf_inspect_cursor cursor = {0};
    struct wf_seen_process seen[PIECE];
    size_t count;
    *table = (struct table){.name_label = "executor"};
    while ((count = wf_inspect_processes(&cursor, seen, PIECE)) > 0)
        for (size_t i = 0; i < count; i++) {
            double *at = row_of(table, seen[i].executor, "")->at;
            at[BYTES] += (double)seen[i].info.resident_bytes;
            at[BUSY] += seen[i].info.state == WF_WORKER_RUNNING;
        }
    put_column(m, table, BYTES, "weft_process_resident_memory_bytes", WF_METRIC_GAUGE,
               "Memory of worker processes; what they share is counted for each.");
    put_column(m, table, BUSY, "weft_processes_busy", WF_METRIC_GAUGE,
               "Worker processes that run a task.");
}

void wfi_metrics_runtime(struct wf_metrics *metrics)
{
    struct table *table = wfi_alloc(sizeof *table);
    if (!table) {
        metrics->error = -ENOMEM;
        return;
    }
    put_executors(metrics, table);
    put_workers(metrics, table);
    put_offload(metrics, table);
    put_processes(metrics, table);
    wfi_free(table);
}
