/* SPDX-License-Identifier: MIT */
/* Tasks submitted from outside, on two workers: threads, and fibers. */
#include <weft/fibers.h>
#include <weft/future.h>
#include <weft/latch.h>
#include <weft/threads.h>

#include "figure.h"
#include "primes.h"

#define TASKS 1000000

static struct wf_executor *on_threads(void)
{
    struct wf_executor *on;
    must(wf_threads_create(&(struct wf_threads_options){.workers = 2}, &on, NULL));
    return on;
}

static struct wf_executor *on_fibers(void)
{
    struct wf_executor *on;
    must(wf_fibers_create(&(struct wf_fibers_options){.workers = 2}, &on, NULL));
    return on;
}

WF_TASK(wf_none, nothing)

int nothing(struct wf_task *self, wf_none *ret)
{
    (void)self, (void)ret;
    return 0;
}
WF_TASK_DEFINE(nothing)

WF_TASK(wf_none, one_less, (struct wf_latch *, latch))

int one_less(struct wf_task *self, struct wf_latch *latch, wf_none *ret)
{
    (void)self, (void)ret;
    return wf_latch_count_down(latch, 1);
}
WF_TASK_DEFINE(one_less)

static void futures(const char *name, struct wf_executor *on)
{
    nothing_future *made = malloc(TASKS * sizeof(*made));
    if (!made)
        exit(1);
    int64_t start = clock_ns();
    for (int i = 0; i < TASKS; i++)
        made[i] = nothing_submit(on);
    for (int i = 0; i < TASKS; i++)
        must(nothing_result(&made[i], NULL, WF_FOREVER, NULL));
    figure_rate(name, TASKS, start, "tasks/s");
    wf_executor_destroy(on);
    free(made);
}

static void workload_a1(int argc, char **argv)
{
    (void)argc, (void)argv;
    futures("A1@fibers", on_fibers());
    futures("A1@threads", on_threads());
}

static void wait_group(const char *name, struct wf_executor *on)
{
    struct wf_latch latch = WF_LATCH_INIT(TASKS);
    int64_t start = clock_ns();
    for (int i = 0; i < TASKS; i++) {
        one_less_future future = one_less_submit(on, &latch);
        one_less_drop(&future);
    }
    must(wf_latch_wait(&latch, WF_FOREVER));
    figure_rate(name, TASKS, start, "tasks/s");
    wf_executor_destroy(on);
    wf_latch_fini(&latch);
}

static void workload_a2(int argc, char **argv)
{
    (void)argc, (void)argv;
    wait_group("A2@fibers", on_fibers());
    wait_group("A2@threads", on_threads());
}

static void round_trips(const char *name, struct wf_executor *on, size_t count, useconds_t rest_us)
{
    int64_t *times = malloc(count * sizeof(*times));
    if (!times)
        exit(1);
    for (size_t i = 0; i < count; i++) {
        if (rest_us)
            usleep(rest_us);
        int64_t start = clock_ns();
        nothing_future future = nothing_submit(on);
        must(nothing_result(&future, NULL, WF_FOREVER, NULL));
        times[i] = clock_ns() - start;
    }
    figure_median_us(name, times, count);
    free(times);
}

static void workload_c(int argc, char **argv)
{
    (void)argc, (void)argv;
    struct wf_executor *on = on_fibers();
    round_trips("C.hot@fibers", on, 50000, 0);
    round_trips("C.idle@fibers", on, 500, 1000);
    wf_executor_destroy(on);
    on = on_threads();
    round_trips("C.hot@threads", on, 50000, 0);
    round_trips("C.idle@threads", on, 500, 1000);
    wf_executor_destroy(on);
}

static void workload_g(int argc, char **argv)
{
    (void)argc, (void)argv;
    double serial = primes_s(NULL);
    figure("G.serial", serial / PRIMES * 1e3, "ms");
    figure("G.speedup@fibers", serial / primes_s(on_fibers()), "x");
    figure("G.speedup@threads", serial / primes_s(on_threads()), "x");
}

static const struct workload workloads[] = {
    {"A1", workload_a1}, {"A2", workload_a2}, {"C", workload_c}, {"G", workload_g}, {NULL, NULL},
};

int main(int argc, char **argv)
{
    return run_workloads(workloads, argc, argv);
}
