/* SPDX-License-Identifier: MIT */
/*
 * A thread and a process have the same shape: create, start, join; a queue that carries 42, nothing
 * and 'hello'; a lock; map and submit on a pool. Each step is done by threads first, then by
 * processes, and prints the same.
 *
 *     process_basics
 */
#include <stdio.h>

#include <weft/channel.h>
#include <weft/mutex.h>
#include <weft/process.h>
#include <weft/processes.h>
#include <weft/shared_array.h>
#include <weft/shared_mutex.h>
#include <weft/shared_queue.h>
#include <weft/thread.h>
#include <weft/threads.h>

enum { ROUNDS = 1000 };

/* What the queue carries: three values in one item. */
struct value {
    enum { NOTHING, NUMBER, TEXT } kind;
    int number;
    char text[8];
};

struct items {
    struct value values[3];
};

static const struct items sent = {
    {{.kind = NUMBER, .number = 42}, {.kind = NOTHING}, {.kind = TEXT, .text = "hello"}}};

static void print_items(const char *how, const struct items *items)
{
    printf("%s: [", how);
    for (int i = 0; i < 3; i++) {
        const struct value *value = &items->values[i];
        fputs(i ? ", " : "", stdout);
        if (value->kind == NUMBER)
            printf("%d", value->number);
        else if (value->kind == TEXT)
            printf("'%s'", value->text);
        else
            printf("None");
    }
    puts("]");
}

static int greet(const char *name)
{
    return printf("hello, %s\n", name) < 0 || fflush(stdout) ? -1 : 0;
}

/* Create, start, wait for the end */

static int greet_in_thread(void *name)
{
    return greet(name);
}

static int start_thread(struct wf_error *reterr)
{
    struct wf_thread *t;
    char name[] = "bob";
    int failed = 0;
    int err = wf_thread_create(NULL, greet_in_thread, name, &t, reterr);
    if (err)
        return err;
    err = wf_thread_start(t);
    if (!err)
        err = wf_thread_join(t, &failed, WF_FOREVER);
    wf_thread_destroy(t);
    return err || failed ? wf_error_set(reterr, err ? err : failed, "the thread") : 0;
}

WF_TASK(wf_none, greet_in_process, (const char *, name))
int greet_in_process(struct wf_task *self, const char *name, wf_none *ret)
{
    (void)self, (void)ret;
    return greet(name);
}
WF_TASK_DEFINE(greet_in_process)

/* Starts two and waits for both; frees them. `p` may hold NULL. */
static int run_processes(struct wf_process *const *p, size_t count, struct wf_error *reterr)
{
    int err = 0, status = 0;
    fflush(stdout); /* what they print comes after what has been printed here */
    for (size_t i = 0; i < count && !err; i++)
        err = wf_process_start(p[i], reterr);
    for (size_t i = 0; i < count && !err; i++) {
        err = wf_process_join(p[i], &status, WF_FOREVER);
        if (!err && status)
            err = wf_error_set(reterr, WF_ETASKFAILED, "%s ended with %d", wf_process_name(p[i]),
                               status);
    }
    for (size_t i = 0; i < count; i++)
        wf_process_destroy(p[i]);
    return err;
}

static int start_process(struct wf_error *reterr)
{
    struct wf_process *p;
    int err = WF_PROCESS(greet_in_process, NULL, &p, reterr, "bob");
    return err ? err : run_processes(&p, 1, reterr);
}

/* Pass data */

WF_CHANNEL(struct items, channel)

static int put_in_thread(void *q)
{
    return channel_push(*(channel *)q, sent, WF_FOREVER);
}

static int queue_to_thread(struct wf_error *reterr)
{
    channel q;
    struct wf_thread *t = NULL;
    struct items items;
    int err = channel_create(&(struct wf_channel_options){.capacity = 1}, &q, reterr);
    if (err)
        return err;
    err = WF_THREAD(put_in_thread, &q, &t, reterr);
    if (!err)
        err = wf_thread_start(t);
    if (!err)
        err = channel_pop(q, &items, WF_FOREVER);
    if (!err)
        err = wf_thread_join(t, NULL, WF_FOREVER);
    wf_thread_destroy(t);
    channel_destroy(q);
    if (!err)
        print_items("queue", &items);
    return err;
}

WF_TASK(wf_none, put_in_process, (struct wf_shared_queue *, q))
int put_in_process(struct wf_task *self, struct wf_shared_queue *q, wf_none *ret)
{
    (void)self, (void)ret;
    return wf_shared_queue_push(q, &sent, sizeof sent, WF_FOREVER);
}
WF_TASK_DEFINE(put_in_process)

static int queue_to_process(struct wf_error *reterr)
{
    struct wf_shared_queue_options options = {.capacity = 1, .item_bytes = sizeof(struct items)};
    struct wf_shared_queue *q;
    struct wf_process *p;
    struct items items;
    int err = wf_shared_queue_create(&options, &q, reterr);
    if (err)
        return err;
    err = WF_PROCESS(put_in_process, NULL, &p, reterr, q);
    if (!err)
        err = run_processes(&p, 1, reterr); /* what it put is there although it has ended */
    if (!err)
        err = wf_shared_queue_pop(q, &items, sizeof items, NULL, WF_NOW);
    wf_shared_queue_destroy(q);
    if (!err)
        print_items("queue", &items);
    return err;
}

/* Lock */

static struct wf_mutex lock = WF_MUTEX_INIT;

static int count_in_thread(void *count)
{
    for (int i = 0; i < ROUNDS; i++)
        WF_LOCKED(&lock) {
            *(int *)count += 1;
        }
    return 0;
}

static int lock_threads(struct wf_error *reterr)
{
    struct wf_thread *t[2] = {NULL, NULL};
    int count = 0, err = 0;
    for (int i = 0; i < 2 && !err; i++)
        err = WF_THREAD(count_in_thread, &count, &t[i], reterr);
    for (int i = 0; i < 2 && !err; i++)
        err = wf_thread_start(t[i]);
    for (int i = 0; i < 2 && !err; i++)
        err = wf_thread_join(t[i], NULL, WF_FOREVER);
    for (int i = 0; i < 2; i++)
        wf_thread_destroy(t[i]);
    if (!err)
        printf("lock: 2 times %d are %d\n", ROUNDS, count);
    return err;
}

WF_TASK(wf_none, count_in_process, (struct wf_shared_mutex *, mutex),
        (struct wf_shared_array *, count))
int count_in_process(struct wf_task *self, struct wf_shared_mutex *mutex,
                     struct wf_shared_array *count, wf_none *ret)
{
    (void)self, (void)ret;
    int *number = wf_shared_array_items(count);
    for (int i = 0; i < ROUNDS; i++) {
        int err = wf_shared_mutex_lock(mutex, WF_FOREVER);
        if (err) /* or the other was killed while it counted: WF_OWNER_DIED */
            return -1;
        *number += 1;
        wf_shared_mutex_unlock(mutex);
    }
    return 0;
}
WF_TASK_DEFINE(count_in_process)

static int lock_processes(struct wf_error *reterr)
{
    struct wf_shared_mutex *mutex = NULL;
    struct wf_shared_array *count = NULL;
    struct wf_process *p[2] = {NULL, NULL};
    int err = wf_shared_mutex_create(&mutex, reterr);
    if (!err)
        err = wf_shared_array_create(1, sizeof(int), &count, reterr);
    for (int i = 0; i < 2 && !err; i++)
        err = WF_PROCESS(count_in_process, NULL, &p[i], reterr, mutex, count);
    if (!err)
        err = run_processes(p, 2, reterr);
    if (!err)
        printf("lock: 2 times %d are %d\n", ROUNDS, *(int *)wf_shared_array_items(count));
    wf_shared_array_destroy(count);
    wf_shared_mutex_destroy(mutex);
    return err;
}

/* Pool */

WF_TASK(int, square, (int, n))
int square(struct wf_task *self, int n, int *ret)
{
    (void)self;
    *ret = n * n;
    return 0;
}
WF_TASK_DEFINE(square)

/* The same on either; destroys it. */
static int use_pool(struct wf_executor *on, struct wf_error *reterr)
{
    static const struct square_args numbers[] = {{1}, {2}, {3}};
    int squares[3], one = 0;
    int err = square_each(on, NULL, numbers, 3, squares, WF_FOREVER, reterr);
    if (!err)
        printf("map: [%d, %d, %d]\n", squares[0], squares[1], squares[2]);
    if (!err) {
        square_future future = square_submit(on, 1);
        err = square_result(&future, &one, WF_FOREVER, reterr);
    }
    if (!err)
        printf("submit: %d\n", one);
    wf_executor_destroy(on);
    return err;
}

static int pool_of_threads(struct wf_error *reterr)
{
    struct wf_executor *on;
    int err = wf_threads_create(&(struct wf_threads_options){.workers = 2}, &on, reterr);
    return err ? err : use_pool(on, reterr);
}

static int pool_of_processes(struct wf_error *reterr)
{
    struct wf_executor *on;
    int err = wf_processes_create(&(struct wf_processes_options){.workers = 2}, &on, reterr);
    return err ? err : use_pool(on, reterr);
}

int main(void)
{
    typedef int step(struct wf_error * reterr);
    static step *const threads[] = {start_thread, queue_to_thread, lock_threads, pool_of_threads};
    static step *const processes[] = {start_process, queue_to_process, lock_processes,
                                      pool_of_processes};
    enum { STEPS = sizeof threads / sizeof *threads };
    struct wf_error error = {.text = ""};
    int err = wf_processes_init(&error); /* the first thing: the process has one thread */
    if (!err)
        puts("threads");
    for (int i = 0; i < STEPS && !err; i++)
        err = threads[i](&error);
    if (!err)
        puts("processes");
    for (int i = 0; i < STEPS && !err; i++)
        err = processes[i](&error);
    if (err)
        fprintf(stderr, "process_basics: %s\n", *error.text ? error.text : wf_strerror(err));
    return err ? 1 : 0;
}
