/* SPDX-License-Identifier: MIT */
/* The queue anybody writes: a ring, a mutex, and a condition for each side. */
#include <pthread.h>

#include "figure.h"

#define SLOTS 1024
#define ITEMS 4000000
#define PARTIES_MAX 8

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER, not_empty = PTHREAD_COND_INITIALIZER;
static uint64_t slots[SLOTS];
static size_t head, count;

static void push(uint64_t item)
{
    pthread_mutex_lock(&lock);
    while (count == SLOTS)
        pthread_cond_wait(&not_full, &lock);
    slots[(head + count++) % SLOTS] = item;
    pthread_cond_signal(&not_empty);
    pthread_mutex_unlock(&lock);
}

static uint64_t pop(void)
{
    pthread_mutex_lock(&lock);
    while (count == 0)
        pthread_cond_wait(&not_empty, &lock);
    uint64_t item = slots[head];
    head = (head + 1) % SLOTS;
    count--;
    pthread_cond_signal(&not_full);
    pthread_mutex_unlock(&lock);
    return item;
}

static void *produce(void *each)
{
    for (uint64_t i = 1; i <= *(uint64_t *)each; i++)
        push(i);
    return NULL;
}

static void *consume(void *each)
{
    uint64_t sum = 0;
    for (uint64_t i = 1; i <= *(uint64_t *)each; i++)
        sum += pop();
    return (void *)(uintptr_t)sum;
}

static void run(const char *name, unsigned parties)
{
    pthread_t producers[PARTIES_MAX], consumers[PARTIES_MAX];
    uint64_t each = ITEMS / parties, total = 0;
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
    if (total != parties * (each * (each + 1) / 2))
        exit(1);
    figure_rate(name, ITEMS, start, "items/s");
}

static void run_e(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    run("E.1p1c", 1);
    run("E.2p2c", 2);
    run("E.8p8c", 8);
}

int main(int argc, char **argv)
{
    static const struct workload workloads[] = {{"E", run_e}, {0}};
    return run_workloads(workloads, argc, argv);
}
