/* SPDX-License-Identifier: MIT */
/* Child programs: F4, from a plain thread and from fibers. */
#include <sys/mman.h>

#include <weft/child.h>
#include <weft/fibers.h>
#include <weft/future.h>
#include <weft/task.h>

#include "figure.h"

#define CHILDREN 1000
#define GIB ((size_t)1 << 30)

static const char *const arguments[] = {"/bin/true", NULL};

static struct wf_child *start(void)
{
    /* As the others start theirs. A session of its own costs 10 us more where the kernel schedules
     * sessions as groups. */
    struct wf_child_options options = {.argv = arguments, .group = WF_CHILD_SAME_GROUP};
    struct wf_child *child;
    if (wf_child_spawn(&options, &child, NULL) != 0)
        exit(1);
    return child;
}

static void await(struct wf_child *child)
{
    struct wf_exit end;
    if (wf_child_wait(child, &end, WF_FOREVER) != 0 || end.status != 0 || end.signal != 0)
        exit(1);
    wf_child_close(child);
}

/* The oldest is waited for when `in_flight` run. */
static void spawn(const char *name, int in_flight)
{
    struct wf_child *running[2];
    int64_t start_ns = clock_ns();
    for (int i = 0; i < CHILDREN; i++) {
        if (i >= in_flight)
            await(running[i % in_flight]);
        running[i % in_flight] = start();
    }
    for (int i = 0; i < in_flight; i++)
        await(running[i]);
    figure_rate(name, CHILDREN, start_ns, "children/s");
}

WF_TASK(int, spawn_some, (int, count))

int spawn_some(struct wf_task *self, int count, int *ret)
{
    (void)self;
    for (int i = 0; i < count; i++)
        await(start());
    *ret = count;
    return 0;
}
WF_TASK_DEFINE(spawn_some)

static void spawn_on_fibers(const char *name, int fibers)
{
    struct wf_executor *on;
    spawn_some_future futures[2];
    struct wf_fibers_options options = {.workers = 2};
    if (wf_fibers_create(&options, &on, NULL) != 0)
        exit(1);
    int64_t start_ns = clock_ns();
    for (int i = 0; i < fibers; i++)
        futures[i] = spawn_some_submit(on, CHILDREN / fibers);
    for (int i = 0; i < fibers; i++) {
        int count;
        if (spawn_some_result(&futures[i], &count, WF_FOREVER, NULL) != 0)
            exit(1);
    }
    figure_rate(name, CHILDREN, start_ns, "children/s");
    wf_executor_destroy(on);
}

static void run_f4(int argc, char **argv)
{
    (void)argc, (void)argv;
    spawn("F4.one@thread", 1);
    spawn_on_fibers("F4.one@fibers", 1);
    spawn("F4.two@thread", 2);
    spawn_on_fibers("F4.two@fibers", 2);
    volatile char *memory =
        mmap(NULL, GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        exit(1);
    for (size_t at = 0; at < GIB; at += 4096)
        memory[at] = 1;
    spawn("F4.one.1gib@thread", 1);
    spawn_on_fibers("F4.one.1gib@fibers", 1);
    spawn("F4.two.1gib@thread", 2);
    spawn_on_fibers("F4.two.1gib@fibers", 2);
}

int main(int argc, char **argv)
{
    static const struct workload workloads[] = {{"F4", run_f4}, {0}};
    return run_workloads(workloads, argc, argv);
}
