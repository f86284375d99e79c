/* SPDX-License-Identifier: MIT */
/*
 * Map-reduce: what a part costs that has nothing to do, on two threads and in two processes; and
 * words counted in 16 MiB of text, with combining, and without it in 8 MiB of memory.
 */
#include <weft/mapreduce.h>
#include <weft/threads.h>

#include "primes.h"

enum { PARTS = 20000, PIECES = 256, PIECE_BYTES = 64 * 1024 };

static int nothing(struct wf_task *self, wf_bytes input, struct wf_emitter *out)
{
    (void)self, (void)input, (void)out;
    return 0;
}
WF_MAPREDUCE(empty)
WF_MAPREDUCE_DEFINE(empty, .map = nothing)

static int words(struct wf_task *self, wf_bytes text, struct wf_emitter *out)
{
    const char *at = text.ptr, *const end = at + text.len;
    (void)self;
    for (const char *space; at < end; at = space + 1) {
        space = memchr(at, ' ', (size_t)(end - at));
        if (!space)
            space = end;
        wf_emit_int(out, at, (size_t)(space - at), 1);
    }
    return 0;
}
WF_MAPREDUCE(combined)
WF_MAPREDUCE_DEFINE(combined, .map = words, .combine = wf_sum_values, .reduce = wf_sum_values)
WF_MAPREDUCE(spilled)
WF_MAPREDUCE_DEFINE(spilled, .map = words, .reduce = wf_sum_values)

static char text[PIECES * PIECE_BYTES];

struct pieces {
    int given, count;
    size_t bytes;
};

static int next_piece(void *arg, wf_bytes *ret_input)
{
    struct pieces *pieces = arg;
    *ret_input = (wf_bytes){text + (size_t)pieces->given * pieces->bytes, pieces->bytes};
    return pieces->given++ < pieces->count;
}

static int64_t run(struct wf_executor *on, const struct wf_mapreduce_job *job, struct pieces pieces,
                   size_t memory_max_bytes)
{
    const struct wf_mapreduce_options options = {.memory_max_bytes = memory_max_bytes};
    struct wf_mapreduce *result;
    wf_bytes key, value;
    int64_t sum = 0, number;
    must(wf_mapreduce_run(on, job, next_piece, &pieces, &options, &result, WF_FOREVER, NULL));
    while (wf_mapreduce_next(result, &key, &value, NULL) == 1) {
        must(wf_bytes_int(value, &number));
        sum += number;
    }
    wf_mapreduce_close(result);
    return sum;
}

static void parts(const char *name, struct wf_executor *on)
{
    run(on, &empty_job, (struct pieces){.count = 100}, 0); /* its workers are started */
    int64_t start = clock_ns();
    run(on, &empty_job, (struct pieces){.count = PARTS}, 0);
    figure_each(name, PARTS * 1000.0, start, "us");
}

/* Words of 4,096 kinds, some often and most seldom. */
static void write_text(void)
{
    uint32_t seed = 1;
    for (size_t at = 0; at < sizeof text;) {
        char word[32];
        seed = seed * 1664525 + 1013904223;
        uint32_t kind = (seed >> 20) & ((seed >> 8) | 255);
        int len = snprintf(word, sizeof word, "word%u ", kind);
        /* None goes over the end of a piece. */
        size_t left = PIECE_BYTES - at % PIECE_BYTES;
        if ((size_t)len > left) {
            memset(text + at, 'x', left);
            at += left;
        } else {
            memcpy(text + at, word, (size_t)len);
            at += (size_t)len;
        }
    }
}

static void mapreduce(int argc, char **argv)
{
    struct wf_executor *threads, *processes;
    (void)argc, (void)argv;
    must(wf_threads_create(&(struct wf_threads_options){.workers = 2}, &threads, NULL));
    must(wf_processes_create(&(struct wf_processes_options){.workers = 2}, &processes, NULL));
    parts("mapreduce.part@threads", threads);
    parts("mapreduce.part@processes", processes);
    write_text();
    const struct pieces all = {.count = PIECES, .bytes = PIECE_BYTES};
    const double mib = sizeof text / 1048576.0;
    int64_t start = clock_ns();
    int64_t sum = run(threads, &combined_job, all, 0);
    figure_rate("mapreduce.words@threads", mib, start, "MiB/s");
    start = clock_ns();
    if (run(processes, &combined_job, all, 0) != sum)
        exit(1);
    figure_rate("mapreduce.words@processes", mib, start, "MiB/s");
    start = clock_ns();
    if (run(threads, &spilled_job, all, 8 << 20) != sum)
        exit(1);
    figure_rate("mapreduce.spilled@threads", mib, start, "MiB/s");
    wf_executor_destroy(processes);
    wf_executor_destroy(threads);
}

int main(int argc, char **argv)
{
    static const struct workload workloads[] = {{"mapreduce", mapreduce}, {NULL, NULL}};
    must(wf_processes_init(NULL));
    return run_workloads(workloads, argc, argv);
}
