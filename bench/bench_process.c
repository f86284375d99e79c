/* SPDX-License-Identifier: MIT */
/*
 * What starting a process costs, and what the program's size has to do with it: small; grown by a
 * gigabyte since the helper was made; and as large as that when it was made.
 */
#include "figure.h"

#include <weft/process.h>
#include <weft/processes.h>
#include <weft/task.h>

#include <sys/mman.h>

enum { ROUNDS = 200, GIB = 1 << 30 };

WF_TASK(wf_none, nothing)

int nothing(struct wf_task *self, wf_none *ret)
{
    (void)self, (void)ret;
    return 0;
}
WF_TASK_DEFINE(nothing)

static void check(int err, const struct wf_error *error)
{
    if (!err)
        return;
    fprintf(stderr, "%s\n", error->text);
    exit(1);
}

/* In small pages, as a heap is that grew bit by bit. */
static void grow(void)
{
    char *memory = mmap(NULL, GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        exit(1);
    madvise(memory, GIB, MADV_NOHUGEPAGE);
    memset(memory, 1, GIB);
}

static void measure(const char *started, const char *ended, size_t rounds)
{
    static int64_t start_ns[ROUNDS], all_ns[ROUNDS];
    struct wf_error error;
    for (size_t i = 0; i < rounds; i++) {
        struct wf_process *process;
        check(WF_PROCESS(nothing, NULL, &process, &error), &error);
        int64_t before = clock_ns();
        check(wf_process_start(process, &error), &error);
        start_ns[i] = clock_ns() - before;
        wf_process_join(process, NULL, WF_FOREVER);
        all_ns[i] = clock_ns() - before;
        wf_process_close(process);
    }
    figure_median_us(started, start_ns, rounds);
    figure_median_us(ended, all_ns, rounds);
}

static void workload_small(int argc, char **argv)
{
    struct wf_error error;
    (void)argc, (void)argv;
    check(wf_processes_init(&error), &error);
    measure("process.small.start", "process.small", ROUNDS);
}

static void workload_grown(int argc, char **argv)
{
    struct wf_error error;
    (void)argc, (void)argv;
    check(wf_processes_init(&error), &error);
    grow();
    measure("process.grown.start", "process.grown", ROUNDS);
}

static void workload_large(int argc, char **argv)
{
    struct wf_error error;
    (void)argc, (void)argv;
    grow();
    check(wf_processes_init(&error), &error);
    measure("process.large.start", "process.large", ROUNDS / 10);
}

int main(int argc, char **argv)
{
    static const struct workload workloads[] = {{"process.small", workload_small},
                                                {"process.grown", workload_grown},
                                                {"process.large", workload_large},
                                                {0}};
    return run_workloads(workloads, argc, argv);
}
