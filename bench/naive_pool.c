/* SPDX-License-Identifier: MIT */
/*
 * The pool anybody writes: one list, one mutex, one condition, two threads. Each future has a
 * word of its own, and whoever waits for one waits on a condition that all of them share.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "figure.h"

#define TASKS 1000000

enum { PENDING, WAITED, DONE };

struct future {
    struct future *next;
    atomic_int state;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t queued = PTHREAD_COND_INITIALIZER;
static struct future *first, **last = &first;
static bool stopped;
static unsigned idle; /* workers that wait, under lock */

static pthread_mutex_t done_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t done = PTHREAD_COND_INITIALIZER;
static atomic_uint left; /* the wait group */

/* Whoever waits has said so in the future's word, so nobody is woken for nothing. */
static void finish(struct future *future)
{
    if (atomic_exchange(&future->state, DONE) != WAITED)
        return;
    pthread_mutex_lock(&done_lock);
    pthread_cond_broadcast(&done);
    pthread_mutex_unlock(&done_lock);
}

static void await(struct future *future)
{
    if (atomic_load(&future->state) == DONE)
        return;
    pthread_mutex_lock(&done_lock);
    int pending = PENDING;
    atomic_compare_exchange_strong(&future->state, &pending, WAITED);
    while (atomic_load(&future->state) != DONE)
        pthread_cond_wait(&done, &done_lock);
    pthread_mutex_unlock(&done_lock);
}

static void *work(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&lock);
    for (;;) {
        while (!first && !stopped) {
            idle++;
            pthread_cond_wait(&queued, &lock);
            idle--;
        }
        struct future *future = first;
        if (!future)
            break;
        first = future->next;
        if (!first)
            last = &first;
        pthread_mutex_unlock(&lock);
        finish(future);
        pthread_mutex_lock(&lock);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void submit(struct future *future)
{
    future->next = NULL;
    pthread_mutex_lock(&lock);
    *last = future;
    last = &future->next;
    bool wake = idle > 0;
    pthread_mutex_unlock(&lock);
    if (wake)
        pthread_cond_signal(&queued);
}

static void start_workers(pthread_t threads[2])
{
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, work, NULL))
            exit(1);
}

static void stop_workers(pthread_t threads[2])
{
    pthread_mutex_lock(&lock);
    stopped = true;
    pthread_cond_broadcast(&queued);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

static void run_a1(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    pthread_t threads[2];
    struct future **futures = malloc(TASKS * sizeof(*futures));
    start_workers(threads);
    int64_t start = clock_ns();
    for (int i = 0; i < TASKS; i++) {
        futures[i] = calloc(1, sizeof(struct future));
        submit(futures[i]);
    }
    for (int i = 0; i < TASKS; i++) {
        await(futures[i]);
        free(futures[i]);
    }
    figure_rate("A1", TASKS, start, "tasks/s");
    stop_workers(threads);
    free(futures);
}

static void *work_group(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&lock);
    for (;;) {
        while (!first && !stopped) {
            idle++;
            pthread_cond_wait(&queued, &lock);
            idle--;
        }
        struct future *future = first;
        if (!future)
            break;
        first = future->next;
        if (!first)
            last = &first;
        pthread_mutex_unlock(&lock);
        free(future);
        if (atomic_fetch_sub(&left, 1) == 1) {
            pthread_mutex_lock(&done_lock);
            pthread_cond_signal(&done);
            pthread_mutex_unlock(&done_lock);
        }
        pthread_mutex_lock(&lock);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void run_a2(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    pthread_t threads[2];
    atomic_store(&left, TASKS);
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, work_group, NULL))
            exit(1);
    int64_t start = clock_ns();
    for (int i = 0; i < TASKS; i++)
        submit(calloc(1, sizeof(struct future)));
    pthread_mutex_lock(&done_lock);
    while (atomic_load(&left) > 0)
        pthread_cond_wait(&done, &done_lock);
    pthread_mutex_unlock(&done_lock);
    figure_rate("A2", TASKS, start, "tasks/s");
    stop_workers(threads);
}

static void round_trips(const char *name, size_t count, unsigned rest_us)
{
    int64_t *times = malloc(count * sizeof(*times));
    for (size_t i = 0; i < count; i++) {
        if (rest_us)
            usleep(rest_us);
        int64_t start = clock_ns();
        struct future *future = calloc(1, sizeof(*future));
        submit(future);
        await(future);
        free(future);
        times[i] = clock_ns() - start;
    }
    figure_median_us(name, times, count);
    free(times);
}

static void run_c(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    pthread_t threads[2];
    start_workers(threads);
    round_trips("C.hot", 50000, 0);
    round_trips("C.idle", 500, 1000);
    stop_workers(threads);
}

int main(int argc, char **argv)
{
    static const struct workload workloads[] = {{"A1", run_a1}, {"A2", run_a2}, {"C", run_c}, {0}};
    return run_workloads(workloads, argc, argv);
}
