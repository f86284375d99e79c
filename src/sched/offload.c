/* SPDX-License-Identifier: MIT */
#include "sched/offload.h"

#include <weft/worker.h>

#include <errno.h>
#include <stdio.h>

#include "os/sanitizer.h"
#include "os/thread.h"
#include "sched/record.h"
#include "sched/registry.h"

enum {
    IDLE_NS = 2000000000,     /* how long an idle thread stays: longer than bursts are apart */
    SLOW_START_NS = 10000000, /* a wait for a thread worth a warning */
};

struct pool {
    const char *name;
    int cap;
    struct wfi_lock lock;
    struct wfi_list queue;     /* of calls */
    struct wfi_wait_list idle; /* of threads */
    int threads, idle_threads, queued, started;
    uint64_t calls, slow_starts;
};

/* getaddrinfo mostly waits for a server; disks have shallow queues; what users bring is unknown. */
static struct pool pools[WFI_OFFLOAD_CLASSES] = {
    [WFI_OFFLOAD_DNS] = {.name = "dns", .cap = 16},
    [WFI_OFFLOAD_FILE] = {.name = "file", .cap = 16},
    [WFI_OFFLOAD_USER] = {.name = "block", .cap = 64},
};

static WFI_ATOMIC(uint32_t) hooked;

static void dump_pools(wfi_dump_line *line, void *arg)
{
    for (int i = 0; i < WFI_OFFLOAD_CLASSES; i++) {
        struct wfi_offload_stats stats;
        char text[160];
        wfi_offload_peek((enum wfi_offload_class)i, &stats);
        if (!stats.calls)
            continue;
        snprintf(text, sizeof text,
                 "offload %s: %d of %d threads, %d idle, %d queued, %llu calls, %llu waited over "
                 "10 ms for a thread",
                 stats.name, stats.threads, stats.cap, stats.idle, stats.queued,
                 (unsigned long long)stats.calls, (unsigned long long)stats.slow_starts);
        line(arg, text);
    }
}

void wfi_offload_drop(struct wfi_offload_call *call)
{
    if (wfi_fetch_sub(&call->holders, 1u) == 1)
        call->release(call);
}

static struct wfi_offload_call *take_call(struct pool *pool)
{
    struct wfi_link *link = wfi_list_pop_front(&pool->queue);
    if (!link)
        return NULL;
    struct wfi_offload_call *call = wfi_container_of(link, struct wfi_offload_call, link);
    call->queued = false;
    pool->queued--;
    if (wf_now() - call->queued_ns > SLOW_START_NS)
        pool->slow_starts++;
    return call;
}

static void make_call(struct pool *pool, struct wfi_offload_call *call)
{
    struct wfi_wake_list wakes = {0};
    bool held = call->release != NULL; /* else it is its caller's alone, and gone with the wake */
    call->run(call);
    wfi_lock_lock(&pool->lock);
    call->done = true;
    wfi_wake_list_claim_all(&wakes, &call->waits);
    wfi_lock_unlock(&pool->lock);
    wfi_wake_all(&wakes);
    if (held)
        wfi_offload_drop(call);
}

static void *serve(void *arg)
{
    struct pool *pool = arg;
    bool recorded = wfi_record_attach(NULL) == 0;
    for (;;) {
        wfi_lock_lock(&pool->lock);
        struct wfi_offload_call *call = take_call(pool);
        if (call) {
            wfi_lock_unlock(&pool->lock);
            make_call(pool, call);
            continue;
        }
        int err = -ETIMEDOUT;
        if (recorded) {
            struct wfi_wait_node node = {0};
            pool->idle_threads++;
            err = wfi_wait(&pool->idle, &pool->lock, &node, "a call", pool, wf_after(IDLE_NS));
            wfi_lock_lock(&pool->lock);
            pool->idle_threads--;
        }
        if (err && wfi_list_empty(&pool->queue)) {
            pool->threads--;
            wfi_lock_unlock(&pool->lock);
            return NULL;
        }
        wfi_lock_unlock(&pool->lock);
    }
}

/* Under the lock: one more thread. Returns 0 or what starting it gave. */
static int add_thread(struct pool *pool)
{
    struct wfi_thread thread;
    char name[WFI_THREAD_NAME_BYTES];
    snprintf(name, sizeof name, "weft_%s_%d", pool->name, pool->started % 100);
    int err = wfi_thread_start(&thread, name, 256 * 1024, serve, pool);
    if (err)
        return err;
    wfi_thread_detach(&thread);
    pool->threads++;
    pool->started++;
    return 0;
}

int wfi_offload_run(enum wfi_offload_class class, struct wfi_offload_call *call,
                    wf_deadline deadline)
{
    struct pool *pool = &pools[class];
    if (wfi_fetch_or(&hooked, 1u) == 0)
        wfi_dump_hook(dump_pools);
    wfi_store_relaxed(&call->holders, 2u); /* published by the lock */
    wfi_lock_lock(&pool->lock);
    struct wfi_wait_node *idle = wfi_wait_claim_first(&pool->idle);
    if (!idle && pool->threads < pool->cap) {
        int err = add_thread(pool);
        if (err && pool->threads == 0) {
            wfi_lock_unlock(&pool->lock);
            wfi_store_relaxed(&call->holders, 1u);
            return -EAGAIN;
        }
    }
    call->queued = true;
    call->queued_ns = wf_now();
    wfi_list_push_back(&pool->queue, &call->link);
    pool->queued++;
    pool->calls++;
    if (idle) {
        /* The woken thread takes the lock, so it goes first; ours is taken again for the wait. */
        wfi_lock_unlock(&pool->lock);
        wfi_wake(idle->waiter);
        wfi_lock_lock(&pool->lock);
        if (call->done) {
            wfi_lock_unlock(&pool->lock);
            return 0;
        }
    }
    struct wfi_wait_node node = {0};
    if (!call->release)
        return wfi_wait_uncancelable(&call->waits, &pool->lock, &node, pool->name, call,
                                     WF_FOREVER);
    int err = wfi_wait(&call->waits, &pool->lock, &node, pool->name, call, deadline);
    if (!err)
        return 0;
    wfi_lock_lock(&pool->lock);
    bool unstarted = call->queued;
    if (unstarted) {
        wfi_list_remove(&call->link);
        call->queued = false;
        pool->queued--;
    }
    if (call->done)
        err = 0;
    wfi_lock_unlock(&pool->lock);
    if (unstarted)
        wfi_offload_drop(call); /* the pool's hold */
    return err;
}

void wfi_offload_peek(enum wfi_offload_class class, struct wfi_offload_stats *ret_stats)
{
    const struct pool *pool = &pools[class];
    wfi_tsan_checks_off();
    *ret_stats = (struct wfi_offload_stats){
        .name = pool->name,
        .threads = pool->threads,
        .idle = pool->idle_threads,
        .queued = pool->queued,
        .cap = pool->cap,
        .calls = pool->calls,
        .slow_starts = pool->slow_starts,
    };
    wfi_tsan_checks_on();
}

void wfi_offload_stats(enum wfi_offload_class class, struct wfi_offload_stats *ret_stats)
{
    wfi_lock_lock(&pools[class].lock);
    wfi_offload_peek(class, ret_stats);
    wfi_lock_unlock(&pools[class].lock);
}

struct user_call {
    struct wfi_offload_call call;
    void (*fn)(void *);
    void *arg;
};

static void run_user(struct wfi_offload_call *call)
{
    struct user_call *user = (struct user_call *)call;
    user->fn(user->arg);
}

int wf_block(void (*fn)(void *), void *arg)
{
    struct user_call user = {.call = {.run = run_user}, .fn = fn, .arg = arg};
    return wfi_offload_run(WFI_OFFLOAD_USER, &user.call, WF_FOREVER);
}
