/* SPDX-License-Identifier: MIT */
/*
 * A worker: one thread that runs fibers.
 *
 * Its native stack runs the loop (find work, housekeeping, sleep); fibers hand over to one another
 * directly and come back to the native stack only when there is nothing quick to switch to, or when
 * the budget of switches is used up and housekeeping is due (timers, descriptors, the injector, the
 * oldest job of the own deque). So a switch costs one jump, and nothing starves behind fibers that
 * yield to each other.
 *
 * Invariants
 *  1. A fiber is in at most one of: the ready list, an inbox, the cache, `current`. It enters ready
 *     or an inbox only through wfi_fiber_ready (by whoever won its outcome word), a yield, or its
 *     start; so it is run once per wake.
 *  2. What a parking fiber leaves behind (locks to release, itself to cache) is in `held` and
 * `ended`; the context that runs next deals with it before anything else (after_switch). The array
 * behind `held` is in the parked fiber's frame; the fiber cannot be resumed meanwhile, since it is
 * this thread that would do it.
 *  3. `inbox` is pushed by anybody and emptied by the worker. A pusher that found it empty
 * notifies: push, then read `state` against set `state` asleep, then read `inbox`; both sides
 * sequentially consistent, so a wake is never slept through.
 *     `mail`, of jobs that were submitted to this worker, goes by the same rule.
 *     The worker is touched after the push, when the fiber may already have run and ended: so a
 *     waker of another runtime says so in its record, and stop in runtime.c waits for it.
 *  4. The housekeeping budget adapts to 50 us: a worker whose fibers run long between switches
 * looks at its descriptors and timers as often as one whose fibers run short.
 *
 * TSan is told of switches but not of an order between them (see os/context.h), so to it each fiber
 * is a thread of its own and the worker's fields are shared without a lock. They are this file's
 * alone; it runs with the checks off and tells TSan the orders that are real: submit before run,
 * and wake before resume (the latter by the atomics in park.c).
 */
#include "sched/worker.h"

#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/random.h"
#include "os/cpu.h"
#include "os/fault.h"
#include "os/poller.h"
#include "os/self.h"
#include "sched/netpoll.h"
#include "sched/record.h"

enum {
    BUDGET = 61,       /* switches between housekeepings; no multiple of common loop counts */
    BUDGET_NS = 50000, /* and the time they should not exceed */
    SEARCH_NS = 20000, /* how long the one searcher spins: a wake across CPUs costs up to 50 us */
    INJECTOR_BATCH = 32,
};

/* Queues of fibers */

static void queue_push(struct wfi_fiber_queue *queue, struct wfi_fiber *fiber)
{
    fiber->next = NULL;
    if (queue->last)
        queue->last->next = fiber;
    else
        queue->first = fiber;
    queue->last = fiber;
}

static struct wfi_fiber *queue_pop(struct wfi_fiber_queue *queue)
{
    struct wfi_fiber *fiber = queue->first;
    if (fiber) {
        queue->first = fiber->next;
        if (!queue->first)
            queue->last = NULL;
    }
    return fiber;
}

/* Moves what others have woken to the ready list, oldest first. */
static void drain_inbox(struct wfi_worker *worker)
{
    if (!wfi_load_relaxed(&worker->inbox))
        return;
    /* acquire: pairs with the push in wfi_fiber_ready */
    struct wfi_fiber *newest = wfi_exchange(&worker->inbox, NULL);
    struct wfi_fiber *oldest = NULL;
    while (newest) {
        struct wfi_fiber *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct wfi_fiber *next = oldest->next;
        queue_push(&worker->ready, oldest);
        WFI_COUNT_OWN(worker->count.remote_wakes);
        oldest = next;
    }
}

/* Who runs here */

struct wfi_worker *wfi_worker_current(void)
{
    struct wfi_waiter *self = wfi_self();
    if (self->kind == WFI_FIBER)
        return ((struct wfi_fiber *)self)->worker;
    return ((struct wfi_record *)self)->worker;
}

struct wfi_runtime *wfi_runtime_current(void)
{
    struct wfi_worker *worker = wfi_worker_current();
    return worker ? worker->runtime : NULL;
}

struct wfi_record *wfi_fiber_record(struct wfi_fiber *self)
{
    return self->worker->record;
}

bool wfi_fiber_on_cpu(const struct wfi_fiber *fiber)
{
    return fiber->worker->current == fiber;
}

void wfi_fiber_stack(struct wfi_fiber *fiber, void **ret_low, size_t *ret_bytes)
{
    wfi_stack_range(fiber->worker->runtime->stacks, fiber, ret_low, ret_bytes);
}

const struct wf_error *wfi_worker_refusal(const struct wfi_worker *worker)
{
    return worker->refusal;
}

/* Switching */

static void fiber_main(void *arg);

static void fiber_due(struct wfi_timer *timer, struct wfi_worker *worker)
{
    struct wfi_fiber *fiber = wfi_container_of(timer, struct wfi_fiber, timer);
    wf_deadline later;
    if (wfi_wait_time_out(&fiber->waiter, &later)) {
        wfi_store_relaxed(&fiber->state, WFI_FIBER_READY);
        queue_push(&worker->ready, fiber);
    } else if (later.ns != INT64_MAX) {
        wfi_heap_insert(&worker->timers, &timer->node, later.ns);
    }
}

static void release_fiber(struct wfi_worker *worker, struct wfi_fiber *fiber)
{
    if (fiber->made)
        wfi_context_fini(&fiber->context);
    fiber->made = false;
    wfi_store_relaxed(&fiber->state, WFI_FIBER_UNUSED);
    wfi_stack_put(worker->runtime->stacks, fiber);
}

static void cache_fiber(struct wfi_worker *worker, struct wfi_fiber *fiber)
{
    if (!fiber->made)
        wfi_context_fini(&fiber->context); /* it has ended by wfi_context_exit */
    if (worker->cached >= worker->cached_max) {
        release_fiber(worker, fiber);
        return;
    }
    wfi_store_relaxed(&fiber->state, WFI_FIBER_CACHED);
    fiber->next = worker->cache;
    worker->cache = fiber;
    worker->cached++;
}

/* First thing in every context that has been switched to. */
static void after_switch(struct wfi_worker *worker)
{
    for (size_t i = 0; i < worker->held_count; i++)
        wfi_lock_unlock(worker->held[i]);
    worker->held_count = 0;
    if (worker->ended) {
        cache_fiber(worker, worker->ended);
        worker->ended = NULL;
    }
}

static void enter(struct wfi_worker *worker, struct wfi_fiber *fiber)
{
    worker->current = fiber;
    wfi_store_relaxed(&fiber->state, WFI_FIBER_RUNNING);
    wfi_self_set(&fiber->waiter);
    WFI_COUNT_OWN(worker->count.switches);
}

/* Makes `to`, or the native stack, the one that runs; returns the context to switch to. */
static struct wfi_context *aim(struct wfi_worker *worker, struct wfi_fiber *to)
{
    if (to) {
        enter(worker, to);
        return &to->context;
    }
    worker->current = NULL;
    wfi_self_set(&worker->record->waiter);
    return &worker->native;
}

/* From the calling fiber to `to`, or to the native stack; returns when the fiber is resumed. */
static void leave(struct wfi_worker *worker, struct wfi_fiber *self, struct wfi_fiber *to)
{
    self->errno_saved = wfi_errno_get();
    wfi_context_switch(&self->context, aim(worker, to));
    after_switch(worker);
    wfi_errno_set(self->errno_saved);
}

/* A fiber to run `job` on, or NULL: no stack. */
static struct wfi_fiber *fiber_for(struct wfi_worker *worker, struct wfi_job *job,
                                   struct wf_error *err)
{
    struct wfi_fiber *fiber = worker->cache;
    if (fiber) {
        worker->cache = fiber->next;
        worker->cached--;
    } else {
        fiber = wfi_stack_get(worker->runtime->stacks, err);
        if (!fiber)
            return NULL;
        fiber->waiter.kind = WFI_FIBER;
        fiber->timer.fire = fiber_due;
        fiber->made = false;
        wfi_store_relaxed(&fiber->waiter.outcome, WFI_WOKEN);
    }
    if (!fiber->made) {
        void *low;
        size_t bytes;
        wfi_stack_range(worker->runtime->stacks, fiber, &low, &bytes);
        wfi_sanitizer_forget(fiber, sizeof *fiber);
        wfi_context_make(&fiber->context, low, bytes, fiber_main, fiber);
        fiber->made = true;
    }
    fiber->worker = worker;
    fiber->job = job;
    fiber->errno_saved = 0;
    worker->live++;
    wfi_store_relaxed(&worker->count.live, worker->live);
    wfi_store_relaxed(&fiber->id, wfi_load_relaxed(&worker->count.jobs));
    WFI_COUNT_OWN(worker->count.jobs);
    return fiber;
}

/* What a fiber that leaves can switch to directly; NULL sends it to the native stack. */
static struct wfi_fiber *quick_next(struct wfi_worker *worker)
{
    if (--worker->budget <= 0)
        return NULL;
    struct wfi_fiber *fiber = queue_pop(&worker->ready);
    if (fiber)
        return fiber;
    if (wfi_load_relaxed(&worker->inbox)) {
        drain_inbox(worker);
        return queue_pop(&worker->ready);
    }
    if (!worker->cache)
        return NULL;
    struct wfi_job *job = wfi_deque_pop(&worker->deque);
    return job ? fiber_for(worker, job, NULL) : NULL;
}

static void disarm(struct wfi_worker *worker, struct wfi_fiber *fiber)
{
    if (wfi_heap_node_linked(&fiber->timer.node))
        wfi_heap_remove(&worker->timers, &fiber->timer.node);
}

/*
 * A wait that was woken leaves the timer where it is: a fiber that waits with deadlines does so
 * again and again, each time for a later one, and then the heap need not be touched. When the timer
 * fires before the deadline of the wait there is, fiber_due puts it off to that; a fiber that has
 * ended has none.
 */
static void arm(struct wfi_worker *worker, struct wfi_fiber *fiber, wf_deadline deadline)
{
    struct wfi_heap_node *node = &fiber->timer.node;
    if (deadline.ns == INT64_MAX || (wfi_heap_node_linked(node) && node->key <= deadline.ns))
        return;
    disarm(worker, fiber);
    wfi_heap_insert(&worker->timers, node, deadline.ns);
}

/* The body of every fiber: jobs, one after the other. */
static void fiber_main(void *arg)
{
    struct wfi_fiber *self = arg;
    wfi_tsan_checks_off();
    struct wfi_worker *worker = self->worker;
    after_switch(worker);
    wfi_errno_set(0);
    for (;;) {
        struct wfi_job *job = self->job;
        wfi_tsan_checks_on();
        wfi_tsan_acquire(job);
        job->run(job, worker);
        wfi_party_end(&self->waiter);
        wfi_tsan_checks_off();

        wfi_assert(self->waiter.cancel == NULL, "a job leaves every level it entered");
        disarm(worker, self);
        worker->live--;
        wfi_store_relaxed(&worker->count.live, worker->live);
        if (!WFI_TSAN && worker->budget > 0 && !worker->ready.first) {
            /* The next job can have this very stack: no switch at all. Not under TSan, to which
             * both would be one thread, and a race between them hidden. */
            struct wfi_job *next = wfi_deque_pop(&worker->deque);
            if (next) {
                worker->budget--;
                self->job = next;
                worker->live++;
                wfi_store_relaxed(&worker->count.live, worker->live);
                wfi_store_relaxed(&self->id, wfi_load_relaxed(&worker->count.jobs));
                WFI_COUNT_OWN(worker->count.jobs);
                continue;
            }
        }
        struct wfi_fiber *next = quick_next(worker);
        worker->ended = self;
        if (WFI_TSAN) {
            self->made =
                false; /* a stack of TSan's stays one thread; the next job gets a new one */
            struct wfi_context *to = aim(worker, next);
            wfi_tsan_checks_on();
            wfi_context_exit(&self->context, to);
        }
        leave(worker, self, next);
    }
}

void wfi_fiber_park(struct wfi_fiber *self, struct wfi_lock *const *held, size_t held_count,
                    wf_deadline deadline)
{
    wfi_tsan_checks_off();
    struct wfi_worker *worker = self->worker;
    arm(worker, self, deadline);
    wfi_store_relaxed(&self->waiter.since_ns, worker->clock_ns);
    wfi_store_relaxed(&self->state, WFI_FIBER_PARKED);
    struct wfi_fiber *next = quick_next(worker);
    for (size_t i = 0; i < held_count; i++)
        wfi_tsan_release(held[i]); /* the unlock is done by another context */
    worker->held = held;
    worker->held_count = held_count;
    leave(worker, self, next);
    wfi_tsan_checks_on();
}

void wfi_fiber_yield(struct wfi_fiber *self)
{
    wfi_tsan_checks_off();
    struct wfi_worker *worker = self->worker;
    struct wfi_fiber *next = quick_next(worker);
    if (next || worker->budget <= 0 || !wfi_deque_empty(&worker->deque)) {
        wfi_store_relaxed(&self->state, WFI_FIBER_READY);
        queue_push(&worker->ready, self);
        leave(worker, self, next);
    }
    wfi_tsan_checks_on();
}

void wfi_fiber_ready(struct wfi_fiber *fiber)
{
    struct wfi_worker *worker = fiber->worker;
    struct wfi_worker *here = wfi_worker_current();
    wfi_tsan_checks_off();
    wfi_store_relaxed(&fiber->state, WFI_FIBER_READY);
    if (worker == here) {
        queue_push(&worker->ready, fiber);
        wfi_tsan_checks_on();
        return;
    }
    struct wfi_record *record = wfi_waking_begin(worker->runtime);
    struct wfi_fiber *head = wfi_load_relaxed(&worker->inbox);
    do
        fiber->next = head;
    while (!wfi_cas(&worker->inbox, &head, fiber));
    /* Push, then read the state (in notify): invariant 3. The fiber may be running by now. */
    if (!head)
        wfi_worker_notify(worker);
    wfi_waking_end(record);
    wfi_tsan_checks_on();
}

void wfi_worker_call(void (*fn)(void *), void *arg)
{
    struct wfi_waiter *waiter = wfi_self();
    if (waiter->kind != WFI_FIBER) {
        fn(arg);
        return;
    }
    wfi_tsan_checks_off();
    struct wfi_fiber *self = (struct wfi_fiber *)waiter;
    struct wfi_worker *worker = self->worker;
    wfi_tsan_release(self);
    worker->call = fn;
    worker->call_arg = arg;
    wfi_store_relaxed(&self->state, WFI_FIBER_READY);
    /* First in line: the caller goes on as soon as the call has returned. */
    self->next = worker->ready.first;
    worker->ready.first = self;
    if (!worker->ready.last)
        worker->ready.last = self;
    leave(worker, self, NULL);
    wfi_tsan_acquire(worker);
    wfi_tsan_checks_on();
}

void wfi_worker_timer_set(struct wfi_worker *worker, struct wfi_timer *timer, wf_deadline deadline)
{
    wfi_tsan_checks_off();
    if (wfi_heap_node_linked(&timer->node))
        wfi_heap_remove(&worker->timers, &timer->node);
    if (deadline.ns != INT64_MAX)
        wfi_heap_insert(&worker->timers, &timer->node, deadline.ns);
    wfi_tsan_checks_on();
}

/* The native stack */

/* Runs a job that no stack can be found for, so that it can report why. */
static void refuse(struct wfi_worker *worker, struct wfi_job *job, const struct wf_error *err)
{
    worker->refusal = err;
    wfi_tsan_checks_on();
    wfi_tsan_acquire(job);
    job->run(job, worker);
    wfi_tsan_checks_off();
    worker->refusal = NULL;
}

static struct wfi_fiber *start(struct wfi_worker *worker, struct wfi_job *job)
{
    struct wf_error err;
    struct wfi_fiber *fiber = fiber_for(worker, job, &err);
    if (!fiber)
        refuse(worker, job, &err);
    return fiber;
}

/* Takes a share of the injector: returns its first job, puts the others in the deque, so that they
 * come out in the order they went in. */
static struct wfi_job *take_injected(struct wfi_worker *worker, int batch_max)
{
    struct wfi_runtime *runtime = worker->runtime;
    /* relaxed: whoever pushes wakes a worker after a fence; see idle for the re-check */
    if (wfi_load_relaxed(&runtime->injector_count) == 0)
        return NULL;
    struct wfi_job *batch[INJECTOR_BATCH];
    int taken = 0;
    wfi_lock_lock(&runtime->injector_lock);
    uint64_t count = wfi_load_relaxed(&runtime->injector_count);
    uint64_t share = count / (uint64_t)runtime->worker_count + 1;
    while (runtime->injector_first && taken < batch_max && (uint64_t)taken < share) {
        struct wfi_job *job = runtime->injector_first;
        runtime->injector_first = job->next;
        batch[taken++] = job;
    }
    if (!runtime->injector_first)
        runtime->injector_last = NULL;
    wfi_store_relaxed(&runtime->injector_count, count - (uint64_t)taken);
    wfi_lock_unlock(&runtime->injector_lock);
    for (int i = taken - 1; i > 0; i--)
        if (!wfi_deque_push(&worker->deque, batch[i]))
            wfi_injector_push(runtime, batch[i]);
    if (taken)
        WFI_COUNT_OWN(worker->count.injected);
    return taken ? batch[0] : NULL;
}

static struct wfi_job *steal(struct wfi_worker *worker)
{
    struct wfi_runtime *runtime = worker->runtime;
    int count = runtime->worker_count;
    if (count == 1)
        return NULL;
    int first = (int)(wfi_splitmix64(&worker->random) % (uint64_t)count);
    for (int i = 0; i < count; i++) {
        struct wfi_worker *victim = &runtime->workers[(first + i) % count];
        if (victim == worker)
            continue;
        struct wfi_job *job = wfi_deque_steal(&victim->deque);
        if (job) {
            WFI_COUNT_OWN(worker->count.steals);
            return job;
        }
    }
    return NULL;
}

/* Starts what was submitted to this worker, oldest first. On the native stack. */
static void drain_mail(struct wfi_worker *worker)
{
    if (!wfi_load_relaxed(&worker->mail))
        return;
    /* acquire: pairs with the push in wfi_runtime_submit_to */
    struct wfi_job *newest = wfi_exchange(&worker->mail, NULL), *oldest = NULL;
    while (newest) {
        struct wfi_job *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct wfi_job *job = oldest;
        oldest = job->next;
        struct wfi_fiber *fiber = start(worker, job);
        if (fiber) {
            wfi_store_relaxed(&fiber->state, WFI_FIBER_READY);
            queue_push(&worker->ready, fiber);
        }
    }
}

static void run_timers(struct wfi_worker *worker)
{
    struct wfi_heap_node *node;
    while ((node = wfi_heap_first(&worker->timers)) && node->key <= worker->clock_ns) {
        wfi_heap_pop(&worker->timers);
        struct wfi_timer *timer = wfi_container_of(node, struct wfi_timer, node);
        WFI_COUNT_OWN(worker->count.timers);
        timer->fire(timer, worker);
    }
}

/*
 * Looks at the descriptors. The next look comes after as many switches as there were events, or
 * when nothing is left to run: before that it could only put more fibers behind those that wait
 * already.
 */
static void poll_descriptors(struct wfi_worker *worker, wf_deadline deadline)
{
    int events = wfi_netpoll_run(worker, deadline);
    worker->poll_after = wfi_load_relaxed(&worker->count.switches) + (uint64_t)events;
}

/* What cannot wait for ever behind ready fibers. */
static void housekeeping(struct wfi_worker *worker)
{
    int64_t now = wfi_park_ops->now();
    if (now - worker->clock_ns > BUDGET_NS)
        worker->budget_full = worker->budget_full > 2 ? worker->budget_full / 2 : 1;
    else
        worker->budget_full = worker->budget_full < BUDGET / 2 ? worker->budget_full * 2 : BUDGET;
    worker->clock_ns = now;
    worker->budget = worker->budget_full;
    run_timers(worker);
    if (wfi_load_relaxed(&worker->descriptors) &&
        wfi_load_relaxed(&worker->count.switches) >= worker->poll_after) {
        WFI_COUNT_OWN(worker->count.polls);
        poll_descriptors(worker, WF_NOW);
    }
    drain_inbox(worker);
    drain_mail(worker);
    /* One job from the outside and the oldest of the inside get their turn even if the ready fibers
     * never stop. */
    struct wfi_job *job = take_injected(worker, 1);
    if (!job)
        job = wfi_deque_steal(&worker->deque);
    struct wfi_fiber *fiber = job ? start(worker, job) : NULL;
    if (fiber) {
        wfi_store_relaxed(&fiber->state, WFI_FIBER_READY);
        queue_push(&worker->ready, fiber);
    }
}

static struct wfi_fiber *find_work(struct wfi_worker *worker)
{
    struct wfi_fiber *fiber;
    for (;;) {
        if ((fiber = queue_pop(&worker->ready)))
            return fiber;
        drain_inbox(worker);
        drain_mail(worker);
        if ((fiber = queue_pop(&worker->ready)))
            return fiber;
        struct wfi_job *job = wfi_deque_pop(&worker->deque);
        if (!job)
            job = take_injected(worker, INJECTOR_BATCH);
        if (!job)
            job = steal(worker);
        if (!job)
            return NULL;
        if ((fiber = start(worker, job)))
            return fiber;
    }
}

static bool may_stop(struct wfi_worker *worker)
{
    return wfi_load(&worker->runtime->stopping) && worker->live == 0 &&
           wfi_deque_empty(&worker->deque) && !wfi_load(&worker->mail) &&
           wfi_load(&worker->runtime->injector_count) == 0;
}

/* Anything a sleeping worker would have to get up for, looked at after it has said that it sleeps.
 */
static bool work_in_sight(struct wfi_worker *worker)
{
    struct wfi_runtime *runtime = worker->runtime;
    if (wfi_load(&worker->inbox) || wfi_load(&worker->mail) || wfi_load(&runtime->injector_count))
        return true;
    for (int i = 0; i < runtime->worker_count; i++)
        if (!wfi_deque_empty(&runtime->workers[i].deque))
            return true;
    return may_stop(worker);
}

static void stop_searching(struct wfi_worker *worker)
{
    worker->searching = false;
    wfi_fetch_sub(&worker->runtime->searchers, 1);
}

static void sleep_until_notified(struct wfi_worker *worker)
{
    struct wfi_runtime *runtime = worker->runtime;
    bool poll = wfi_load_relaxed(&worker->descriptors) != 0;
    uint32_t asleep = poll ? WFI_ASLEEP_POLLER : WFI_ASLEEP_WORD;
    WFI_ATOMIC(uint64_t) *idle = &runtime->idle[worker->index / 64];
    uint64_t bit = UINT64_C(1) << worker->index % 64;
    wfi_store_relaxed(&worker->cpu, wfi_thread_cpu());
    /* Announce: state for notify, bit for wake_one. Then look: pairs with the fences (and the
     * sequentially consistent push) of those who publish work. */
    wfi_store(&worker->state, asleep);
    wfi_fetch_or(idle, bit);
    wfi_fence();
    if (!work_in_sight(worker)) {
        struct wfi_heap_node *timer = wfi_heap_first(&worker->timers);
        wf_deadline deadline = timer ? (wf_deadline){timer->key} : WF_FOREVER;
        WFI_COUNT_OWN(worker->count.sleeps);
        if (poll) {
            poll_descriptors(worker, deadline);
        } else {
            wfi_park_ops->sleep(&worker->state, WFI_ASLEEP_WORD, deadline);
        }
    }
    wfi_store(&worker->state, WFI_AWAKE);
    wfi_fetch_and(idle, ~bit);
}

/* Nothing to run: search for a moment, if nobody else does, then sleep. */
static struct wfi_fiber *idle(struct wfi_worker *worker)
{
    struct wfi_runtime *runtime = worker->runtime;
    struct wfi_fiber *fiber = NULL;
    if (!worker->searching && !wfi_cpu_alone() && !wfi_under_valgrind()) {
        uint32_t nobody = 0;
        worker->searching = wfi_cas(&runtime->searchers, &nobody, 1);
    }
    if (worker->searching) {
        int64_t until = wfi_park_ops->now() + SEARCH_NS;
        do {
            for (int i = 0; i < 20 && !fiber; i++) {
                wfi_cpu_relax();
                fiber = find_work(worker);
            }
            if (!fiber && wfi_load_relaxed(&worker->descriptors)) {
                poll_descriptors(worker, WF_NOW);
                fiber = find_work(worker);
            }
        } while (!fiber && wfi_park_ops->now() < until);
        stop_searching(worker);
        if (fiber) {
            /* Where there was one job there may be more, and submitters have relied on us. */
            wfi_runtime_wake_one(runtime);
            return fiber;
        }
    }
    sleep_until_notified(worker);
    worker->clock_ns = wfi_park_ops->now();
    worker->budget = 0; /* housekeeping first: timers may be due */
    return NULL;
}

static void make_call(struct wfi_worker *worker)
{
    void (*fn)(void *) = worker->call;
    worker->call = NULL;
    struct wfi_fiber *caller = worker->ready.first;
    wfi_tsan_checks_on();
    wfi_tsan_acquire(caller);
    fn(worker->call_arg);
    wfi_tsan_release(worker);
    wfi_tsan_checks_off();
}

static void drop_cache(struct wfi_worker *worker)
{
    struct wfi_fiber *fiber;
    while ((fiber = worker->cache)) {
        worker->cache = fiber->next;
        release_fiber(worker, fiber);
    }
    worker->cached = 0;
}

void *wfi_worker_main(void *arg)
{
    struct wfi_worker *worker = arg;
    char name[sizeof(((struct wfi_runtime *)0)->name) + 16];
    snprintf(name, sizeof name, "%s_%d", worker->runtime->name, worker->index);
    wfi_record_adopt(worker->record, name);
    worker->record->worker = worker;
    bool alternate = wfi_fault_thread_init() == 0; /* without it an overflow goes unreported */
    wfi_context_native(&worker->native);
    wfi_self_is_shared();
    wfi_tsan_checks_off();
    worker->clock_ns = wfi_park_ops->now();
    worker->budget = worker->budget_full = BUDGET;
    while (!may_stop(worker)) {
        if (worker->budget <= 0)
            housekeeping(worker);
        struct wfi_fiber *fiber = find_work(worker);
        if (!fiber)
            fiber = idle(worker);
        if (!fiber)
            continue;
        enter(worker, fiber);
        wfi_context_switch(&worker->native, &fiber->context);
        after_switch(worker);
        while (worker->call)
            make_call(worker);
    }
    worker->clock_ns = wfi_park_ops->now();
    run_timers(worker); /* what was put off to the next round; there is none */
    wfi_worker_slots_clear(worker);
    drop_cache(worker);
    wfi_tsan_checks_on();
    if (alternate)
        wfi_fault_thread_fini();
    worker->record->worker = NULL;
    return NULL;
}

int wfi_worker_init(struct wfi_worker *worker, struct wfi_runtime *runtime, int index,
                    const struct wfi_runtime_options *options, struct wf_error *reterr)
{
    worker->runtime = runtime;
    worker->index = index;
    worker->cached_max = options->cached_fibers ? options->cached_fibers : 64;
    if (worker->cached_max < 0)
        worker->cached_max = 0;
    worker->random = (uint64_t)index + 1;
    int err = wfi_deque_init(&worker->deque, options->deque_slots ? options->deque_slots : 256);
    if (err)
        return wf_error_set(reterr, err, NULL);
    return 0;
}

void wfi_worker_fini(struct wfi_worker *worker)
{
    wfi_netpoll_fini(worker);
    wfi_deque_fini(&worker->deque);
}

/* Waking workers */

struct wfi_record *wfi_waking_begin(struct wfi_runtime *runtime)
{
    struct wfi_waiter *self = wfi_self();
    struct wfi_record *record = self->kind == WFI_FIBER ? wfi_fiber_record((struct wfi_fiber *)self)
                                                        : (struct wfi_record *)self;
    if (record->worker && record->worker->runtime == runtime)
        return NULL; /* a runtime joins its workers before it goes */
    /* relaxed: the publication that follows releases it, and what makes destroy go on comes after
     * that */
    wfi_store_relaxed(&record->waking, runtime);
    return record;
}

void wfi_waking_end(struct wfi_record *record)
{
    if (record)
        wfi_store_release(&record->waking, NULL); /* pairs with the acquire in wait_for_wakers */
}

void wfi_worker_notify(struct wfi_worker *worker)
{
    /* Load after the caller's publication; pairs with the store in sleep_until_notified. */
    uint32_t state = wfi_load(&worker->state);
    if (state == WFI_AWAKE || !wfi_cas(&worker->state, &state, WFI_AWAKE))
        return;
    if (state == WFI_ASLEEP_POLLER)
        wfi_poller_wake(wfi_load_acquire(&worker->poller));
    else
        wfi_park_ops->wake(&worker->state);
}

/* A sleeper to wake: one that slept on the caller's CPU, else any. */
static int choose_sleeper(struct wfi_runtime *runtime)
{
    int here = -1, any = -1;
    for (int i = 0; i < runtime->worker_count; i += 64)
        for (uint64_t mask = wfi_load(&runtime->idle[i / 64]); mask; mask &= mask - 1) {
            int index = i + __builtin_ctzll(mask);
            if (here < 0)
                here = wfi_thread_cpu();
            if (wfi_load_relaxed(&runtime->workers[index].cpu) == here)
                return index;
            any = index;
        }
    return any;
}

void wfi_runtime_wake_one(struct wfi_runtime *runtime)
{
    /* The job is published; now look who sleeps: pairs with the fence in sleep_until_notified. */
    wfi_fence();
    if (wfi_load_relaxed(&runtime->searchers))
        return;
    for (;;) {
        int index = choose_sleeper(runtime);
        if (index < 0)
            return;
        uint64_t bit = UINT64_C(1) << index % 64;
        if (wfi_fetch_and(&runtime->idle[index / 64], ~bit) & bit) {
            wfi_worker_notify(&runtime->workers[index]);
            return;
        }
    }
}
