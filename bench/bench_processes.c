/* SPDX-License-Identifier: MIT */
/* A pool of two worker processes: F1, F2, and G there. */
#include <weft/processes.h>

#include "primes.h"

#define ROUNDS 20000
#define CHUNKS_AHEAD 1024

WF_TASK(wf_none, nothing)

int nothing(struct wf_task *self, wf_none *ret)
{
    (void)self, (void)ret;
    return 0;
}
WF_TASK_DEFINE(nothing)

WF_TASK(uint64_t, same, (uint64_t, n))

int same(struct wf_task *self, uint64_t n, uint64_t *ret)
{
    (void)self;
    *ret = n;
    return 0;
}
WF_TASK_DEFINE(same)

/* With its workers running: what starting them costs is no part of any figure. */
static struct wf_executor *on_processes(void)
{
    struct wf_executor *on;
    is_prime_future first[2];
    bool prime;
    must(wf_processes_create(&(struct wf_processes_options){.workers = 2}, &on, NULL));
    for (int i = 0; i < 2; i++)
        first[i] = is_prime_submit(on, PRIME);
    for (int i = 0; i < 2; i++)
        must(is_prime_result(&first[i], &prime, WF_FOREVER, NULL));
    return on;
}

static void workload_f1(int argc, char **argv)
{
    (void)argc, (void)argv;
    static int64_t times[ROUNDS];
    struct wf_executor *on = on_processes();
    for (int i = 0; i < ROUNDS; i++) {
        int64_t start = clock_ns();
        nothing_future future = nothing_submit(on);
        must(nothing_result(&future, NULL, WF_FOREVER, NULL));
        times[i] = clock_ns() - start;
    }
    wf_executor_destroy(on);
    figure_median_us("F1.p50", times, ROUNDS);
    figure("F1.p99", (double)times[ROUNDS / 100 * 99] / 1000, "us");
}

struct numbers {
    uint64_t next, count;
};

static int next_number(void *arg, struct same_args *ret_args)
{
    struct numbers *numbers = arg;
    ret_args->n = numbers->next;
    return numbers->next++ < numbers->count;
}

static void mapped(const char *name, int chunk, uint64_t items)
{
    struct wf_executor *on = on_processes();
    struct wf_map_options options = {.chunk = chunk, .look_ahead = CHUNKS_AHEAD * chunk};
    same_stream stream;
    struct numbers numbers = {0, items};
    uint64_t value, count = 0;
    int got;
    int64_t start = clock_ns();
    must(same_map(on, &options, next_number, &numbers, &stream, NULL));
    while ((got = same_map_next(&stream, &value, WF_FOREVER, NULL)) == 1)
        if (value != count++)
            exit(1);
    must(got);
    if (count != items)
        exit(1);
    figure_rate(name, (double)items, start, "tasks/s");
    same_map_close(&stream);
    wf_executor_destroy(on);
}

static void workload_f2(int argc, char **argv)
{
    (void)argc, (void)argv;
    mapped("F2.1", 1, 500000);
    mapped("F2.64", 64, 4000000);
}

static void workload_g(int argc, char **argv)
{
    (void)argc, (void)argv;
    double serial = primes_s(NULL);
    figure("G.speedup@processes", serial / primes_s(on_processes()), "x");
}

int main(int argc, char **argv)
{
    static const struct workload workloads[] = {
        {"F1", workload_f1}, {"F2", workload_f2}, {"G", workload_g}, {NULL, NULL}};
    must(wf_processes_init(NULL));
    return run_workloads(workloads, argc, argv);
}
