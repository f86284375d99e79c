/* SPDX-License-Identifier: MIT */
/* Fibers among themselves: switches, starts, channels between them, a million parked. */
#include <weft/channel.h>
#include <weft/event.h>
#include <weft/fibers.h>
#include <weft/future.h>
#include <weft/latch.h>
#include <weft/task.h>

#include <pthread.h>
#include <stdatomic.h>

#include "figure.h"

#define YIELDS 5000000
#define SPAWNS 2000000
#define LEAVES 1000000
#define CHILDREN 10
#define ROUNDS 1000000
#define ITEMS 4000000
#define PARKED 1000000

static void must(int err)
{
    if (err) {
        fprintf(stderr, "%s\n", wf_strerror(err));
        exit(1);
    }
}

static struct wf_executor *fibers(int workers)
{
    struct wf_executor *on;
    must(wf_fibers_create(&(struct wf_fibers_options){.workers = workers}, &on, NULL));
    return on;
}

WF_CHANNEL(uint64_t, numbers)

static numbers channel_of(size_t capacity)
{
    numbers channel;
    must(numbers_create(&(struct wf_channel_options){.capacity = capacity}, &channel, NULL));
    return channel;
}

/* D1 */

WF_TASK(wf_none, yield, (uint64_t, times))

int yield(struct wf_task *self, uint64_t times, wf_none *ret)
{
    (void)self, (void)ret;
    for (uint64_t i = 0; i < times; i++)
        wf_yield();
    return 0;
}
WF_TASK_DEFINE(yield)

static void workload_d1(int argc, char **argv)
{
    (void)argc, (void)argv;
    struct wf_executor *on = fibers(1);
    int64_t start = clock_ns();
    yield_future one = yield_submit(on, YIELDS), two = yield_submit(on, YIELDS);
    must(yield_result(&one, NULL, WF_FOREVER, NULL));
    must(yield_result(&two, NULL, WF_FOREVER, NULL));
    figure_each("D1", 2.0 * YIELDS, start, "ns/yield");
    wf_executor_destroy(on);
}

/* D2 */

WF_TASK(wf_none, nothing)

int nothing(struct wf_task *self, wf_none *ret)
{
    (void)self, (void)ret;
    return 0;
}
WF_TASK_DEFINE(nothing)

WF_TASK(wf_none, spawn_and_join, (uint64_t, times))

int spawn_and_join(struct wf_task *self, uint64_t times, wf_none *ret)
{
    (void)ret;
    int err = 0;
    for (uint64_t i = 0; i < times && err == 0; i++) {
        nothing_future future = nothing_submit(wf_task_executor(self));
        err = nothing_result(&future, NULL, WF_FOREVER, NULL);
    }
    return err;
}
WF_TASK_DEFINE(spawn_and_join)

static void workload_d2(int argc, char **argv)
{
    (void)argc, (void)argv;
    struct wf_executor *on = fibers(1);
    int64_t start = clock_ns();
    spawn_and_join_future future = spawn_and_join_submit(on, SPAWNS);
    must(spawn_and_join_result(&future, NULL, WF_FOREVER, NULL));
    figure_each("D2", SPAWNS, start, "ns/spawn");
    wf_executor_destroy(on);
}

/* D3 */

WF_TASK(wf_none, skynet, (numbers, result), (uint64_t, number), (uint64_t, size))

int skynet(struct wf_task *self, numbers result, uint64_t number, uint64_t size, wf_none *ret)
{
    (void)ret;
    if (size == 1)
        return numbers_push(result, number, WF_FOREVER);
    numbers children = channel_of(CHILDREN);
    uint64_t part = size / CHILDREN, sum = 0, item = 0;
    for (uint64_t i = 0; i < CHILDREN; i++) {
        skynet_future child =
            skynet_submit(wf_task_executor(self), children, number + i * part, part);
        skynet_drop(&child);
    }
    for (uint64_t i = 0; i < CHILDREN; i++) {
        must(numbers_pop(children, &item, WF_FOREVER));
        sum += item;
    }
    numbers_destroy(children);
    return numbers_push(result, sum, WF_FOREVER);
}
WF_TASK_DEFINE(skynet)

static void workload_d3(int argc, char **argv)
{
    (void)argc, (void)argv;
    struct wf_executor *on = fibers(2);
    numbers result = channel_of(1);
    uint64_t sum = 0;
    int64_t start = clock_ns();
    skynet_future root = skynet_submit(on, result, 0, LEAVES);
    must(numbers_pop(result, &sum, WF_FOREVER));
    figure("D3", (double)(clock_ns() - start) / 1e9, "s");
    if (sum != (uint64_t)LEAVES * (LEAVES - 1) / 2)
        exit(1);
    must(skynet_result(&root, NULL, WF_FOREVER, NULL));
    wf_executor_destroy(on);
    numbers_destroy(result);
}

/* D4 */

static void ping(numbers there, numbers back, uint64_t rounds)
{
    uint64_t item = 0;
    for (uint64_t i = 0; i < rounds; i++) {
        must(numbers_push(there, i, WF_FOREVER));
        must(numbers_pop(back, &item, WF_FOREVER));
        if (item != i)
            exit(1);
    }
}

static void pong(numbers there, numbers back, uint64_t rounds)
{
    uint64_t item = 0;
    for (uint64_t i = 0; i < rounds; i++) {
        must(numbers_pop(there, &item, WF_FOREVER));
        must(numbers_push(back, item, WF_FOREVER));
    }
}

WF_TASK(wf_none, play, (bool, serve), (numbers, there), (numbers, back), (uint64_t, rounds))

int play(struct wf_task *self, bool serve, numbers there, numbers back, uint64_t rounds,
         wf_none *ret)
{
    (void)self, (void)ret;
    (serve ? ping : pong)(there, back, rounds);
    return 0;
}
WF_TASK_DEFINE(play)

static numbers court[2];

static void *pong_thread(void *rounds)
{
    pong(court[0], court[1], *(uint64_t *)rounds);
    return NULL;
}

static void workload_d4(int argc, char **argv)
{
    (void)argc, (void)argv;
    court[0] = channel_of(0);
    court[1] = channel_of(0);
    struct wf_executor *on = fibers(1);
    int64_t start = clock_ns();
    play_future one = play_submit(on, true, court[0], court[1], ROUNDS);
    play_future two = play_submit(on, false, court[0], court[1], ROUNDS);
    must(play_result(&one, NULL, WF_FOREVER, NULL));
    must(play_result(&two, NULL, WF_FOREVER, NULL));
    figure_each("D4.fibers", ROUNDS, start, "ns/round");
    wf_executor_destroy(on);

    pthread_t thread;
    uint64_t rounds = ROUNDS / 10;
    start = clock_ns();
    if (pthread_create(&thread, NULL, pong_thread, &rounds))
        exit(1);
    ping(court[0], court[1], rounds);
    pthread_join(thread, NULL);
    figure_each("D4.threads", (double)rounds, start, "ns/round");
    numbers_destroy(court[0]);
    numbers_destroy(court[1]);
}

/* D5 */

WF_TASK(wf_none, produce, (numbers, channel), (uint64_t, count))

int produce(struct wf_task *self, numbers channel, uint64_t count, wf_none *ret)
{
    (void)self, (void)ret;
    int err = 0;
    for (uint64_t i = 1; i <= count && err == 0; i++)
        err = numbers_push(channel, i, WF_FOREVER);
    return err;
}
WF_TASK_DEFINE(produce)

WF_TASK(uint64_t, consume, (numbers, channel), (uint64_t, count))

int consume(struct wf_task *self, numbers channel, uint64_t count, uint64_t *ret)
{
    (void)self;
    int err = 0;
    uint64_t item = 0, sum = 0;
    for (uint64_t i = 1; i <= count && err == 0; i++) {
        err = numbers_pop(channel, &item, WF_FOREVER);
        sum += item;
    }
    *ret = sum;
    return err;
}
WF_TASK_DEFINE(consume)

static void workload_d5(int argc, char **argv)
{
    (void)argc, (void)argv;
    struct wf_executor *on = fibers(2);
    numbers channel = channel_of(128);
    uint64_t each = ITEMS / 2, sum, total = 0;
    produce_future producers[2];
    consume_future consumers[2];
    int64_t start = clock_ns();
    for (int i = 0; i < 2; i++) {
        producers[i] = produce_submit(on, channel, each);
        consumers[i] = consume_submit(on, channel, each);
    }
    for (int i = 0; i < 2; i++) {
        must(produce_result(&producers[i], NULL, WF_FOREVER, NULL));
        must(consume_result(&consumers[i], &sum, WF_FOREVER, NULL));
        total += sum;
    }
    figure_rate("D5", ITEMS, start, "items/s");
    if (total != each * (each + 1))
        exit(1);
    wf_executor_destroy(on);
    numbers_destroy(channel);
}

/* D6 */

static struct wf_event gate = WF_EVENT_INIT;
static atomic_uint parked, ended;

WF_TASK(wf_none, park)

int park(struct wf_task *self, wf_none *ret)
{
    (void)self, (void)ret;
    atomic_fetch_add(&parked, 1);
    int err = wf_event_wait(&gate, WF_FOREVER);
    atomic_fetch_add(&ended, 1);
    return err;
}
WF_TASK_DEFINE(park)

static void wait_for(atomic_uint *count)
{
    while (atomic_load(count) < PARKED)
        usleep(1000);
}

static void workload_d6(int argc, char **argv)
{
    (void)argc, (void)argv;
    struct wf_executor *on = fibers(2);
    double before = resident_bytes();
    int64_t start = clock_ns();
    for (int i = 0; i < PARKED; i++) {
        park_future future = park_submit(on);
        park_drop(&future);
    }
    wait_for(&parked);
    figure("D6.create", (double)(clock_ns() - start) / 1e9, "s");
    figure("D6.bytes", (resident_bytes() - before) / PARKED, "bytes");
    start = clock_ns();
    wf_event_set(&gate);
    wait_for(&ended);
    figure("D6.wake", (double)(clock_ns() - start) / 1e9, "s");
    wf_executor_destroy(on);
}

static const struct workload workloads[] = {
    {"D1", workload_d1}, {"D2", workload_d2}, {"D3", workload_d3}, {"D4", workload_d4},
    {"D5", workload_d5}, {"D6", workload_d6}, {NULL, NULL},
};

int main(int argc, char **argv)
{
    return run_workloads(workloads, argc, argv);
}
