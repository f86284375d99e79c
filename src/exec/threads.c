/* SPDX-License-Identifier: MIT */
/*
 * The threads engine: one lock, a queue per priority, a stack of idle threads.
 *
 * A submit hands its task to the thread that went idle last, if there is one; else it queues it and
 * starts a thread, as long as there are fewer than allowed. A thread that is just publishing the
 * end of its task (`ending`) counts as one that is about to look at the queue, so that tasks
 * submitted one after another by who waits for each are run by one thread.
 *
 * Cancelling or helping takes a task out of PENDING without looking for it in the queue: its
 * entry stays as a tombstone, which the thread that pops it lets go. `entries` counts what is in
 * the queues, `queued` what in them is still PENDING; when most are tombstones they are swept out.
 *
 * Invariants
 *  1. Everything in struct pool from `lock` on is read and written under the lock.
 *  2. A future is COUNTED exactly while it is PENDING in a queue; who takes it out of PENDING
 *     decrements `queued`: a worker under the lock, others through forget().
 *  3. While there are queued tasks and no thread is ending or starting, every thread allowed runs.
 *  4. The lock is never held while a future is ended or a list served.
 */
#include <weft/threads.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "exec/executor.h"
#include "os/cpu.h"
#include "os/lock.h"
#include "os/thread.h"
#include "sched/record.h"

enum { PRIORITIES = 7, IDLE_DEFAULT_S = 10 };

enum slot_state { UNUSED, ALIVE, ENDED };

struct slot {
    struct pool *pool;
    struct wfi_thread thread;
    enum slot_state state; /* ENDED: to be joined by who uses the slot next */
    unsigned index;
};

struct queue {
    struct wfi_job *first, *last;
};

struct pool {
    struct wf_executor base;
    struct wf_threads_options options; /* constant; name points into base */
    unsigned max;                      /* constant */

    struct wfi_lock lock;
    struct queue queues[PRIORITIES]; /* highest priority first */
    size_t entries, queued;
    struct wfi_wait_list idle; /* threads without work; the one to wake is first */
    unsigned threads, ending, starting;
    uint64_t begun, done;            /* tasks that threads have taken, and ended; to be looked at */
    struct wfi_wait_list submitters; /* held back by a full queue */
    struct wfi_wait_list leavers;    /* wait for `threads` and `queued` to be 0 */
    bool closed;
    struct wf_error *broken; /* why no thread could be initialised; base's memory */
    struct wf_error broken_error;
    struct slot slots[];
};

static struct pool *pool_of(const struct wf_executor *base)
{
    return wfi_container_of((struct wf_executor *)(uintptr_t)base, struct pool, base);
}

/* Queues, under the lock */

static void push(struct pool *pool, struct wf_future *f, int priority)
{
    struct queue *queue = &pool->queues[3 - priority];
    f->job.next = NULL;
    if (queue->last)
        queue->last->next = &f->job;
    else
        queue->first = &f->job;
    queue->last = &f->job;
    pool->entries++;
}

static struct wf_future *pop(struct pool *pool)
{
    for (int i = 0; i < PRIORITIES; i++) {
        struct queue *queue = &pool->queues[i];
        struct wfi_job *job = queue->first;
        if (!job)
            continue;
        queue->first = job->next;
        if (!queue->first)
            queue->last = NULL;
        pool->entries--;
        return wfi_container_of(job, struct wf_future, job);
    }
    return NULL;
}

/* Is there no room for one more? Threads that are not busy each have one task coming. */
static bool full(const struct pool *pool)
{
    size_t max = pool->options.queue_max;
    return max && pool->queued >= max + (pool->max - pool->threads) + pool->starting + pool->ending;
}

/* Lets in as many submitters as there is room for; each is counted from here on. */
static void admit(struct pool *pool, struct wfi_wake_list *wake)
{
    struct wfi_wait_node *node;
    while (!full(pool) && (node = wfi_wait_claim_first(&pool->submitters))) {
        node->amount = 1;
        pool->queued++;
        wfi_wake_list_add(wake, node);
    }
}

/* A queued task has left PENDING. */
static void unqueued(struct pool *pool, struct wfi_wake_list *wake)
{
    pool->queued--;
    admit(pool, wake);
    if (pool->queued == 0 && pool->threads == 0)
        wfi_wake_list_claim_all(wake, &pool->leavers);
}

/* Swaps PENDING for `state` on behalf of the pool; a COUNTED one is uncounted. */
static bool take(struct pool *pool, struct wf_future *f, struct wfi_wake_list *wake)
{
    uint32_t word = wfi_load_acquire(&f->state);
    while (wfi_future_state(word) == WF_FUTURE_PENDING)
        if (wfi_cas(&f->state, &word,
                    (word & ~(uint32_t)(WFI_FUTURE_STATE | WFI_FUTURE_COUNTED)) |
                        WF_FUTURE_RUNNING)) {
            if (word & WFI_FUTURE_COUNTED)
                unqueued(pool, wake);
            return true;
        }
    return false;
}

/* Chains the tombstones out of the queues. */
static struct wfi_job *sweep(struct pool *pool)
{
    struct wfi_job *dead = NULL;
    for (int i = 0; i < PRIORITIES; i++) {
        struct queue *queue = &pool->queues[i];
        struct wfi_job **at = &queue->first, *job;
        queue->last = NULL;
        while ((job = *at)) {
            struct wf_future *f = wfi_container_of(job, struct wf_future, job);
            if (wf_future_state(f) == WF_FUTURE_PENDING) {
                queue->last = job;
                at = &job->next;
            } else {
                *at = job->next;
                job->next = dead;
                dead = job;
                pool->entries--;
            }
        }
    }
    return dead;
}

static void release_all(struct wfi_job *dead)
{
    while (dead) {
        struct wfi_job *job = dead;
        dead = job->next;
        wfi_future_release(wfi_container_of(job, struct wf_future, job), WFI_FUTURE_ENGINE);
    }
}

static void forget(struct wf_executor *base)
{
    struct pool *pool = pool_of(base);
    struct wfi_wake_list wake = {NULL, NULL};
    struct wfi_job *dead = NULL;
    wfi_lock_lock(&pool->lock);
    /* 64: below that tombstones cost less than looking for them. */
    if (pool->entries > 64 && pool->entries / 2 > pool->queued)
        dead = sweep(pool);
    unqueued(pool, &wake);
    wfi_lock_unlock(&pool->lock);
    wfi_wake_all(&wake);
    release_all(dead);
}

/* Threads */

static void *run_thread(void *arg);

/* Under the lock, which is given up meanwhile. Starts one more thread, if one is allowed and
 * wanted. */
static int start_thread(struct pool *pool)
{
    if (pool->threads >= pool->max || pool->broken)
        return 0;
    struct slot *slot = pool->slots;
    while (slot->state == ALIVE)
        slot++;
    bool join = slot->state == ENDED;
    slot->state = ALIVE;
    pool->threads++;
    pool->starting++;
    wfi_lock_unlock(&pool->lock);
    char name[WFI_THREAD_NAME_BYTES + 32];
    snprintf(name, sizeof name, "%s_%u", pool->base.name, slot->index);
    if (join)
        wfi_thread_join(&slot->thread);
    int err = wfi_thread_start(&slot->thread, name, pool->options.stack_bytes, run_thread, slot);
    wfi_lock_lock(&pool->lock);
    if (err) {
        slot->state = UNUSED;
        pool->threads--;
        pool->starting--;
    }
    return err;
}

/* Under the lock: how many threads will look at the queue without being woken. */
static bool wants_thread(const struct pool *pool)
{
    return pool->queued > (size_t)pool->ending + pool->starting;
}

/* Ends what is queued as FAILED, because no thread can be had. Under the lock, given up meanwhile.
 */
static void fail_queued(struct pool *pool, const struct wf_error *error)
{
    struct wf_future *f;
    while ((f = pop(pool))) {
        wfi_lock_unlock(&pool->lock);
        wfi_executor_refuse(f, error->code, error);
        wfi_lock_lock(&pool->lock);
    }
}

/* Nothing runs on this executor any more; all that is queued fails. */
static void give_up(struct pool *pool, const char *text)
{
    wfi_lock_lock(&pool->lock);
    if (!pool->broken) {
        wf_error_set(&pool->broken_error, WF_EBROKEN, "executor %s: %s", pool->base.name, text);
        pool->broken = &pool->broken_error;
    }
    fail_queued(pool, pool->broken);
    struct wfi_wake_list wake = {NULL, NULL};
    wfi_wake_list_claim_all(&wake, &pool->submitters);
    wfi_lock_unlock(&pool->lock);
    wfi_wake_all(&wake);
}

static bool start_well(struct pool *pool, int attach_error)
{
    struct wf_error error = {.code = attach_error};
    int err = attach_error;
    if (!err && pool->options.start)
        err = pool->options.start(pool->options.arg, &error);
    if (!err)
        return true;
    char text[sizeof error.text];
    snprintf(text, sizeof text, "a thread could not be initialised: %.300s",
             error.text[0] ? error.text : wf_strerror(err));
    give_up(pool, text);
    return false;
}

/* Sleeps among the idle until a task is handed over or there is cause to look again. Under the
 * lock, given up. `*ret_err` receives -ETIMEDOUT when the thread has been idle long enough. */
static struct wf_future *rest(struct pool *pool, int *ret_err)
{
    struct wfi_lock *lock = &pool->lock;
    struct wfi_wait_node node = {.slot = NULL};
    struct wfi_waiter *self = wfi_wait_begin_uncancelable("work", pool);
    node.waiter = self;
    wfi_wait_list_push_front(&pool->idle, &node);
    int err = wfi_park(self, &lock, 1, wf_after(pool->options.idle_ns));
    if (err < 0) {
        wfi_lock_lock(lock);
        wfi_wait_list_remove(&pool->idle, &node);
        wfi_lock_unlock(lock);
    }
    *ret_err = err < 0 ? err : 0;
    return node.slot;
}

/* Why a thread asks for the next task: it is fresh, it has just published an end, or neither. */
enum asking { FRESH, ENDING, AGAIN };

/* The next task, already RUNNING; NULL when the thread shall end. Without the lock. */
static struct wf_future *next_task(struct pool *pool, enum asking asking)
{
    bool idle_long = false;
    for (;;) {
        struct wfi_wake_list wake = {NULL, NULL};
        struct wfi_job *dead = NULL;
        struct wf_future *f;
        wfi_lock_lock(&pool->lock);
        if (asking == FRESH)
            pool->starting--;
        else if (asking == ENDING)
            pool->ending--;
        asking = AGAIN;
        while ((f = pop(pool)) && !take(pool, f, &wake)) {
            f->job.next = dead;
            dead = &f->job;
        }
        pool->begun += f != NULL;
        bool leave = !f && (pool->closed || pool->broken || idle_long);
        if (f || leave || dead) {
            wfi_lock_unlock(&pool->lock);
            wfi_wake_all(&wake);
            release_all(dead);
            if (f || leave)
                return f;
            continue;
        }
        int err;
        f = rest(pool, &err);
        idle_long = err == -ETIMEDOUT;
        if (!f)
            continue;
        if (wfi_future_claim(f))
            return f;
        wfi_future_release(f, WFI_FUTURE_ENGINE); /* cancelled on its way here */
        wfi_lock_lock(&pool->lock);
        pool->begun--;
        wfi_lock_unlock(&pool->lock);
    }
}

/* True when the thread may end; false when tasks came while it made ready to. */
static bool leave(struct pool *pool, struct slot *slot)
{
    struct wfi_wake_list wake = {NULL, NULL};
    wfi_lock_lock(&pool->lock);
    if (pool->entries && pool->broken)
        fail_queued(pool, pool->broken);
    bool leaves = !pool->entries;
    if (leaves) {
        slot->state = ENDED;
        if (--pool->threads == 0 && pool->queued == 0)
            wfi_wake_list_claim_all(&wake, &pool->leavers);
    } else {
        pool->starting++;
    }
    wfi_lock_unlock(&pool->lock);
    wfi_wake_all(&wake);
    return leaves;
}

static void *run_thread(void *arg)
{
    struct slot *slot = arg;
    struct pool *pool = slot->pool;
    char name[64];
    snprintf(name, sizeof name, "%s_%u", pool->base.name, slot->index);
    int err = wfi_record_attach(name);
    do {
        bool well = start_well(pool, err);
        enum asking asking = FRESH;
        struct wf_future *f;
        while ((f = next_task(pool, asking))) {
            asking = wfi_future_run(f, false) ? ENDING : AGAIN;
            wfi_future_release(f, WFI_FUTURE_ENGINE);
        }
        if (well && pool->options.stop)
            pool->options.stop(pool->options.arg);
    } while (!leave(pool, slot));
    return NULL;
}

/* The executor's functions */

static void ending(struct wf_executor *base)
{
    struct pool *pool = pool_of(base);
    wfi_lock_lock(&pool->lock);
    pool->ending++;
    pool->done++;
    wfi_lock_unlock(&pool->lock);
}

static void ended(struct wf_executor *base)
{
    struct pool *pool = pool_of(base);
    wfi_lock_lock(&pool->lock);
    pool->ending--;
    if (wants_thread(pool))
        start_thread(pool);
    wfi_lock_unlock(&pool->lock);
}

static int refusal(const struct pool *pool, struct wf_error *reterr)
{
    if (pool->broken) {
        *reterr = *pool->broken;
        return WF_EBROKEN;
    }
    if (pool->closed)
        return wf_error_set(reterr, -EPIPE, "executor %s is shut down", pool->base.name);
    return 0;
}

/* Under the lock, which is given up meanwhile: waits for room. Returns 0 with the task counted. */
static int wait_for_room(struct pool *pool, struct wf_error *reterr)
{
    int err = -EAGAIN;
    struct wfi_wait_node node = {.amount = 0};
    if (pool->options.submit_wait_ns) {
        wf_deadline deadline = wf_after(pool->options.submit_wait_ns);
        err = wfi_wait(&pool->submitters, &pool->lock, &node, "submit", pool, deadline);
        wfi_lock_lock(&pool->lock);
    }
    if (node.amount) {
        err = refusal(pool, reterr);
        if (err) {
            struct wfi_wake_list wake = {NULL, NULL};
            unqueued(pool, &wake);
            wfi_wake_all(&wake);
        }
        return err;
    }
    if (err == 0)
        return refusal(pool, reterr);
    if (err == -ECANCELED)
        return wf_error_set(reterr, err, "cancelled while the queue of executor %s was full",
                            pool->base.name);
    return wf_error_set(reterr, -EAGAIN, "the queue of executor %s is full", pool->base.name);
}

/* Marks a PENDING future as queued; false when it was cancelled meanwhile. */
static bool count(struct wf_future *f)
{
    uint32_t word = wfi_load_relaxed(&f->state);
    while (wfi_future_state(word) == WF_FUTURE_PENDING)
        if (wfi_cas(&f->state, &word, word | WFI_FUTURE_COUNTED))
            return true;
    return false;
}

static int submit(struct wf_executor *base, struct wf_future *f,
                  const struct wf_submit_options *options, struct wf_error *reterr)
{
    struct pool *pool = pool_of(base);
    struct wfi_wait_node *idle;
    wfi_lock_lock(&pool->lock);
    int err = refusal(pool, reterr);
    if (err)
        goto out;
    if ((idle = wfi_wait_claim_first(&pool->idle))) {
        idle->slot = f;
        pool->begun++;
        wfi_lock_unlock(&pool->lock);
        wfi_wake(idle->waiter);
        return 0;
    }
    if (full(pool))
        err = wait_for_room(pool, reterr);
    else
        pool->queued++;
    if (err)
        goto out;
    if (!count(f)) {
        struct wfi_wake_list wake = {NULL, NULL};
        unqueued(pool, &wake);
        wfi_lock_unlock(&pool->lock);
        wfi_wake_all(&wake);
        wfi_future_release(f, WFI_FUTURE_ENGINE);
        return 0;
    }
    push(pool, f, options->priority);
    if ((idle = wfi_wait_claim_first(&pool->idle))) {
        /* A thread went idle while this one waited for room: it will look. */
        wfi_lock_unlock(&pool->lock);
        wfi_wake(idle->waiter);
        return 0;
    }
    if (wants_thread(pool)) {
        int failed = start_thread(pool);
        if (failed && pool->threads == 0) {
            struct wf_error error;
            wf_error_set(&error, failed, "executor %s could not start a thread: %s", base->name,
                         wf_strerror(failed));
            fail_queued(pool, &error);
        }
    }
out:
    wfi_lock_unlock(&pool->lock);
    return err;
}

/* Takes leave of the threads that have ended. */
static void join_ended(struct pool *pool)
{
    for (unsigned i = 0; i < pool->max; i++) {
        struct slot *slot = &pool->slots[i];
        wfi_lock_lock(&pool->lock);
        bool ended_here = slot->state == ENDED;
        if (ended_here)
            slot->state = ALIVE; /* nobody else takes it meanwhile */
        wfi_lock_unlock(&pool->lock);
        if (!ended_here)
            continue;
        wfi_thread_join(&slot->thread);
        wfi_lock_lock(&pool->lock);
        slot->state = UNUSED;
        wfi_lock_unlock(&pool->lock);
    }
}

static int shut_down(struct wf_executor *base, enum wf_shutdown mode, wf_deadline deadline)
{
    struct pool *pool = pool_of(base);
    struct wfi_wake_list wake = {NULL, NULL};
    wfi_lock_lock(&pool->lock);
    pool->closed = true;
    wfi_wake_list_claim_all(&wake, &pool->idle);
    wfi_wake_list_claim_all(&wake, &pool->submitters);
    wfi_lock_unlock(&pool->lock);
    wfi_wake_all(&wake);
    if (mode == WF_SHUTDOWN_CANCEL) {
        wfi_lock_lock(&pool->lock);
        struct wf_future *f;
        while ((f = pop(pool))) {
            wfi_lock_unlock(&pool->lock);
            wfi_future_cancel_pending(f); /* not one that a waiter has taken, and runs */
            wfi_future_release(f, WFI_FUTURE_ENGINE);
            wfi_lock_lock(&pool->lock);
        }
        wfi_lock_unlock(&pool->lock);
    }
    if (mode == WF_SHUTDOWN_NO_WAIT)
        return 0;
    int err = 0;
    wfi_lock_lock(&pool->lock);
    if (pool->threads || pool->queued) {
        struct wfi_wait_node node = {0};
        err = wfi_wait(&pool->leavers, &pool->lock, &node, "shutdown", pool, deadline);
    } else {
        wfi_lock_unlock(&pool->lock);
    }
    if (!err)
        join_ended(pool);
    return err;
}

static void destroy(struct wf_executor *base)
{
    wfi_free(pool_of(base)); /* the shutdown before it has taken leave of all threads */
}

static unsigned workers(const struct wf_executor *base)
{
    return pool_of(base)->max;
}

static void look(const struct wf_executor *base, struct wf_seen_executor *ret_seen)
{
    const struct pool *pool = pool_of(base);
    uint64_t done = pool->done, begun = pool->begun;
    ret_seen->workers = pool->max;
    ret_seen->alive = pool->threads;
    ret_seen->queued = pool->queued;
    ret_seen->running = begun > done ? begun - done : 0;
    ret_seen->ended = done;
    ret_seen->shut = pool->closed || pool->broken;
}

static const struct wfi_executor_ops ops = {
    .engine = "threads",
    .helps = true,
    .submit = submit,
    .forget = forget,
    .ending = ending,
    .ended = ended,
    .shutdown = shut_down,
    .destroy = destroy,
    .workers = workers,
    .look = look,
};

unsigned wf_threads_workers_default(void)
{
    unsigned cpus = (unsigned)wfi_cpu_count(NULL, 0);
    return cpus + 4 < 32 ? cpus + 4 : 32;
}

int wf_threads_create(const struct wf_threads_options *options, struct wf_executor **ret_on,
                      struct wf_error *reterr)
{
    static const struct wf_threads_options defaults;
    if (!options)
        options = &defaults;
    if (options->workers < 0 || options->idle_ns < 0 || options->submit_wait_ns < 0)
        return wf_error_set(reterr, -EINVAL, "%s must not be negative",
                            options->workers < 0   ? "workers"
                            : options->idle_ns < 0 ? "idle_ns"
                                                   : "submit_wait_ns");
    unsigned max = options->workers ? (unsigned)options->workers : wf_threads_workers_default();
    struct pool *pool = wfi_zalloc(sizeof *pool + max * sizeof *pool->slots);
    if (!pool)
        return wf_error_set(reterr, -ENOMEM, NULL);
    pool->options = *options;
    if (!pool->options.idle_ns)
        pool->options.idle_ns = WF_SECONDS(IDLE_DEFAULT_S);
    pool->max = max;
    for (unsigned i = 0; i < max; i++) {
        pool->slots[i].pool = pool;
        pool->slots[i].index = i;
    }
    wfi_executor_init(&pool->base, &ops, options->name);
    pool->options.name = pool->base.name;
    *ret_on = &pool->base;
    return 0;
}
