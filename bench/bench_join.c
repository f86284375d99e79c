/* SPDX-License-Identifier: MIT */
/* Fork and join: workload B, fib(32) with a fork for each call that has two children. */
#include <weft/fibers.h>
#include <weft/join.h>

#include "figure.h"

struct call {
    uint64_t n, value;
};

static void fib(void *arg)
{
    struct call *call = arg;
    if (call->n < 2) {
        call->value = call->n;
        return;
    }
    struct call first = {.n = call->n - 1}, second = {.n = call->n - 2};
    wf_join(fib, &first, fib, &second);
    call->value = first.value + second.value;
}

WF_TASK(uint64_t, start_fib, (uint64_t, n))

int start_fib(struct wf_task *self, uint64_t n, uint64_t *ret)
{
    (void)self;
    struct call call = {.n = n};
    fib(&call);
    *ret = call.value;
    return 0;
}
WF_TASK_DEFINE(start_fib)

#define N 32
#define VALUE 2178309
#define FORKS 3524577

static void fork_join(int argc, char **argv)
{
    (void)argc;
    struct wf_executor *on;
    if (wf_fibers_create(&(struct wf_fibers_options){.workers = 2}, &on, NULL))
        exit(1);
    uint64_t value;
    int64_t start = clock_ns();
    start_fib_future f = start_fib_submit(on, N);
    if (start_fib_result(&f, &value, WF_FOREVER, NULL) || value != VALUE)
        exit(1);
    figure_each(argv[0], FORKS, start, "ns/spawn");
    wf_executor_destroy(on);
}

int main(int argc, char **argv)
{
    static const struct workload workloads[] = {{"B", fork_join}, {NULL, NULL}};
    return run_workloads(workloads, argc, argv);
}
