/* SPDX-License-Identifier: MIT */
/* Channels: workload E between plain threads, and the same between fibers on two workers. */
#include <weft/channel.h>

#include <pthread.h>

#include "figure.h"

#define SLOTS 1024
#define ITEMS 8000000
#define PARTIES_MAX 8

WF_CHANNEL(uint64_t, numbers)

static numbers channel;

static void *produce(void *each)
{
    for (uint64_t i = 1; i <= *(uint64_t *)each; i++)
        if (numbers_push(channel, i, WF_FOREVER))
            exit(1);
    return NULL;
}

static void *consume(void *each)
{
    uint64_t sum = 0, item = 0;
    for (uint64_t i = 1; i <= *(uint64_t *)each; i++) {
        if (numbers_pop(channel, &item, WF_FOREVER))
            exit(1);
        sum += item;
    }
    return (void *)(uintptr_t)sum;
}

static void run(const char *name, unsigned parties)
{
    pthread_t producers[PARTIES_MAX], consumers[PARTIES_MAX];
    uint64_t each = ITEMS / parties, total = 0;
    if (numbers_create(&(struct wf_channel_options){.capacity = SLOTS}, &channel, NULL))
        exit(1);
    int64_t start = clock_ns();
    for (unsigned i = 0; i < parties; i++)
        if (pthread_create(&producers[i], NULL, produce, &each) ||
            pthread_create(&consumers[i], NULL, consume, &each))
            exit(1);
    for (unsigned i = 0; i < parties; i++) {
        void *sum;
        pthread_join(producers[i], NULL);
        pthread_join(consumers[i], &sum);
        total += (uint64_t)(uintptr_t)sum;
    }
    if (total != parties * (each * (each + 1) / 2)) {
        fprintf(stderr, "items were lost or came twice\n");
        exit(1);
    }
    figure_rate(name, (double)each * parties, start, "items/s");
    numbers_destroy(channel);
}

static void workload_e(int argc, char **argv)
{
    (void)argc, (void)argv;
    run("E.1p1c", 1);
    run("E.2p2c", 2);
    run("E.8p8c", 8);
}

static const struct workload workloads[] = {{"E", workload_e}, {NULL, NULL}};

int main(int argc, char **argv)
{
    return run_workloads(workloads, argc, argv);
}
