/* SPDX-License-Identifier: MIT */
/* Between processes: workload F3, a shared queue that another process fills. */
#include <weft/process.h>
#include <weft/processes.h>
#include <weft/shared_queue.h>

#include "figure.h"

#define SLOTS 1024
#define ITEMS 20000000

WF_TASK(wf_none, fill, (struct wf_shared_queue *, queue), (uint64_t, count))

int fill(struct wf_task *self, struct wf_shared_queue *queue, uint64_t count, wf_none *ret)
{
    (void)self, (void)ret;
    int err = 0;
    for (uint64_t i = 1; i <= count && !err; i++)
        err = wf_shared_queue_push(queue, &i, sizeof i, WF_FOREVER);
    return err;
}
WF_TASK_DEFINE(fill)

static void workload_f3(int argc, char **argv)
{
    (void)argc, (void)argv;
    struct wf_shared_queue *queue;
    struct wf_shared_queue_options options = {.capacity = SLOTS, .item_bytes = sizeof(uint64_t)};
    struct wf_process *producer;
    struct wf_error error;
    uint64_t sum = 0, item = 0;
    int status = -1;
    if (wf_shared_queue_create(&options, &queue, &error) ||
        WF_PROCESS(fill, NULL, &producer, &error, queue, ITEMS)) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    int64_t start = clock_ns();
    if (wf_process_start(producer, &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    for (uint64_t i = 0; i < ITEMS; i++) {
        if (wf_shared_queue_pop(queue, &item, sizeof item, NULL, WF_FOREVER))
            exit(1);
        sum += item;
    }
    figure_rate("F3", ITEMS, start, "items/s");
    if (sum != (uint64_t)ITEMS * (ITEMS + 1) / 2 ||
        wf_process_join(producer, &status, WF_FOREVER) || status) {
        fprintf(stderr, "items were lost or came twice\n");
        exit(1);
    }
    wf_process_close(producer);
    wf_shared_queue_destroy(queue);
}

static const struct workload workloads[] = {{"F3", workload_f3}, {NULL, NULL}};

int main(int argc, char **argv)
{
    struct wf_error error;
    if (wf_processes_init(&error)) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    return run_workloads(workloads, argc, argv);
}
