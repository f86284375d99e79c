/* SPDX-License-Identifier: MIT */
/*
 * The primitives under everything at once: what a crawler does with them when hosts hang, users
 * cancel and deadlines pass. Parties do random things with the same few objects, most of their
 * waits cut short by time or by a party that cancels others; then the books must balance: nobody
 * was where another was alone, every item that went into a channel or queue came out once or is
 * still there, every permit is back.
 *
 *     stress_primitives [SECONDS [SEED]]
 *
 * The choices are seeded; what the system makes of them is not. Not a benchmark. It runs on
 * threads, on fibers of one worker and of four, and on both mixed, a quarter of the time each.
 * Status 1 and a line on standard error if a book does not balance.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weft/barrier.h>
#include <weft/channel.h>
#include <weft/cond.h>
#include <weft/limit.h>
#include <weft/queue.h>
#include <weft/rwlock.h>
#include <weft/semaphore.h>

#include "base/random.h"
#include "os/thread.h"
#include "sched/cancel.h"
#include "sched/runtime.h"

WF_CHANNEL(uint64_t, numbers)
WF_QUEUE(uint64_t, sorted)

enum { PARTIES = 24, PERMITS = 3, WAYS = 3 };

#define MUST(condition)                                                                        \
    do {                                                                                       \
        if (!(condition)) {                                                                    \
            fprintf(stderr, "%s:%d: not so: %s (seed %llu)\n", __FILE__, __LINE__, #condition, \
                    (unsigned long long)seed);                                                 \
            abort();                                                                           \
        }                                                                                      \
    } while (0)

static uint64_t seed;

static struct wf_mutex mutex = WF_MUTEX_INIT;
static struct wf_condition changed = WF_CONDITION_INIT(&mutex);
static struct wf_rwlock rwlock = WF_RWLOCK_INIT;
static struct wf_semaphore semaphore = WF_BOUNDED_SEMAPHORE_INIT(PERMITS);
static struct wf_limit *limit;
static numbers channels[WAYS]; /* capacities 0, 1, 2 */
static sorted queue;

/* Plain on purpose: TSan and the checks see whoever is where it should be alone. */
static long alone_mutex, alone_writer;
static WFI_ATOMIC(long) readers, with_permit, with_limit;
static WFI_ATOMIC(uint64_t) in_sum, out_sum, in_count, out_count, acts;
static WFI_ATOMIC(bool) stop;

struct party {
    struct wfi_random random;
    struct wfi_thread thread;
    struct wfi_routine routine;
    struct wfi_cancel level;
    struct wfi_lock lock; /* guards `entered`, so that only a level still entered is asked */
    bool entered;
    bool patient; /* the wait it is in has a minute */
    int index;
};
static struct party parties[PARTIES];

static bool chance(struct party *p, uint64_t one_in)
{
    return wfi_random_below(&p->random, one_in) == 0;
}

static wf_deadline soon(struct party *p)
{
    uint64_t choice = wfi_random_below(&p->random, 8);
    return choice == 0 ? WF_NOW : wf_after(WF_MICROSECONDS((int64_t)1 << choice));
}

#define MINUTE WF_SECONDS(60)

/* For what is always given back: a minute passes only if a wake-up was lost. */
static wf_deadline surely(struct party *p)
{
    p->patient = !chance(p, 3);
    return p->patient ? wf_after(MINUTE) : soon(p);
}

static void check_end(struct party *p, int err, wf_deadline until)
{
    MUST(err == -ECANCELED || err == -ETIMEDOUT || err == -EAGAIN);
    MUST(err != -ETIMEDOUT || (!p->patient && wf_now() >= until.ns));
}

static void use_mutex(struct party *p)
{
    wf_deadline until = surely(p);
    int err = wf_mutex_lock(&mutex, until);
    if (err) {
        check_end(p, err, until);
        return;
    }
    MUST(alone_mutex++ == 0);
    if (chance(p, 4))
        wfi_yield();
    MUST(--alone_mutex == 0);
    if (chance(p, 3)) {
        err = wf_condition_wait(&changed, soon(p));
        MUST(err == 0 || err == -ETIMEDOUT || err == -ECANCELED);
        MUST(alone_mutex++ == 0);
        MUST(--alone_mutex == 0);
    } else if (chance(p, 2)) {
        MUST(wf_condition_notify(&changed, 1 + wfi_random_below(&p->random, 3)) >= 0);
    }
    MUST(wf_mutex_unlock(&mutex) == 0);
}

static void use_rwlock(struct party *p)
{
    wf_deadline until = surely(p);
    if (chance(p, 3)) {
        int err = wf_rwlock_write_lock(&rwlock, until);
        if (err) {
            check_end(p, err, until);
            return;
        }
        MUST(alone_writer++ == 0 && wfi_load(&readers) == 0);
        if (chance(p, 4))
            wfi_yield();
        MUST(--alone_writer == 0);
        MUST(wf_rwlock_write_unlock(&rwlock) == 0);
        return;
    }
    int err = wf_rwlock_read_lock(&rwlock, until);
    if (err) {
        check_end(p, err, until);
        return;
    }
    wfi_fetch_add(&readers, 1);
    MUST(alone_writer == 0);
    if (chance(p, 4))
        wfi_yield();
    wfi_fetch_sub(&readers, 1);
    MUST(wf_rwlock_read_unlock(&rwlock) == 0);
}

static void use_semaphore(struct party *p)
{
    uint64_t n = 1 + wfi_random_below(&p->random, PERMITS);
    wf_deadline until = surely(p);
    int err = wf_semaphore_acquire(&semaphore, n, until);
    if (err) {
        check_end(p, err, until);
        return;
    }
    MUST(wfi_fetch_add(&with_permit, (long)n) + (long)n <= PERMITS);
    if (chance(p, 4))
        wfi_yield();
    wfi_fetch_sub(&with_permit, (long)n);
    MUST(wf_semaphore_release(&semaphore, n) == 0);
}

static void use_limit(struct party *p)
{
    static const char *const keys[] = {"a", "b", NULL};
    const char *key = keys[wfi_random_below(&p->random, 3)];
    wf_deadline until = surely(p);
    int err = chance(p, 4) ? wf_limit_try_acquire(limit, key) : wf_limit_acquire(limit, key, until);
    if (err) {
        check_end(p, err, until);
        return;
    }
    MUST(wfi_fetch_add(&with_limit, 1) < 4);
    if (chance(p, 4))
        wfi_yield();
    wfi_fetch_sub(&with_limit, 1);
    MUST(wf_limit_release(limit, key) == 0);
}

static void book_in(uint64_t item)
{
    wfi_fetch_add(&in_sum, item);
    wfi_fetch_add(&in_count, 1);
}

static void book_out(uint64_t item)
{
    wfi_fetch_add(&out_sum, item);
    wfi_fetch_add(&out_count, 1);
}

static void use_channel(struct party *p)
{
    numbers channel = channels[wfi_random_below(&p->random, WAYS)];
    uint64_t item = wfi_random_next(&p->random);
    if (chance(p, 2)) {
        if ((chance(p, 3) ? numbers_try_push(channel, item)
                          : numbers_push(channel, item, soon(p))) == 0)
            book_in(item);
    } else if ((chance(p, 3) ? numbers_try_pop(channel, &item)
                             : numbers_pop(channel, &item, soon(p))) == 0) {
        book_out(item);
    }
}

static void use_select(struct party *p)
{
    struct wf_clause clauses[WAYS];
    uint64_t items[WAYS];
    bool pushes[WAYS];
    for (int i = 0; i < WAYS; i++) {
        items[i] = wfi_random_next(&p->random);
        pushes[i] = chance(p, 2);
        numbers channel = channels[wfi_random_below(&p->random, WAYS)];
        clauses[i] = pushes[i] ? numbers_push_clause(channel, &items[i])
                               : numbers_pop_clause(channel, &items[i]);
    }
    int chosen = wf_select(clauses, WAYS, soon(p));
    if (chosen < 0)
        return;
    MUST(clauses[chosen].err == 0);
    if (pushes[chosen])
        book_in(items[chosen]);
    else
        book_out(items[chosen]);
}

static void use_queue(struct party *p)
{
    uint64_t item = wfi_random_next(&p->random);
    if (chance(p, 2)) {
        if (sorted_push(queue, item, soon(p)) == 0)
            book_in(item);
    } else if (sorted_pop(queue, &item, soon(p)) == 0) {
        book_out(item);
        MUST(sorted_task_done(queue) == 0);
    }
    if (chance(p, 64))
        MUST(sorted_resize(queue, 1 + wfi_random_below(&p->random, 4)) == 0);
}

static void act(struct party *p)
{
    static void (*const uses[])(struct party *) = {
        use_mutex,  use_rwlock, use_semaphore, use_limit,
        use_select, use_select, use_channel,   use_queue,
    };
    wfi_cancel_enter(&p->level, NULL, false, WF_FOREVER);
    wfi_lock_lock(&p->lock);
    p->entered = true;
    wfi_lock_unlock(&p->lock);
    for (int i = 0; i < 4; i++)
        uses[wfi_random_below(&p->random, sizeof uses / sizeof *uses)](p);
    wfi_lock_lock(&p->lock);
    p->entered = false;
    wfi_lock_unlock(&p->lock);
    wfi_cancel_leave(&p->level);
    wfi_fetch_add(&acts, 1);
}

static void party_main(void *arg)
{
    struct party *p = arg;
    while (!wfi_load(&stop)) {
        act(p);
        if (chance(p, 8)) { /* trouble for another */
            struct party *other = &parties[wfi_random_below(&p->random, PARTIES)];
            wfi_lock_lock(&other->lock);
            if (other->entered)
                wfi_cancel_ask(&other->level);
            wfi_lock_unlock(&other->lock);
        }
        if (chance(p, 16))
            wfi_yield();
    }
}

static void *party_thread(void *arg)
{
    party_main(arg);
    return NULL;
}

static void run_parties(int workers, bool threads, int64_t duration_ns)
{
    struct wfi_runtime *runtime = NULL;
    if (workers)
        MUST(wfi_runtime_create(&(struct wfi_runtime_options){.workers = workers}, &runtime,
                                NULL) == 0);
    memset((void *)parties, 0, sizeof parties);
    wfi_store(&stop, false);
    for (int i = 0; i < PARTIES; i++) {
        struct party *p = &parties[i];
        p->index = i;
        wfi_random_seed(&p->random, seed * PARTIES + (uint64_t)i);
    }
    for (int i = 0; i < PARTIES; i++) {
        struct party *p = &parties[i];
        if (!runtime || (threads && i % 2))
            MUST(wfi_thread_start(&p->thread, "party", 0, party_thread, p) == 0);
        else
            wfi_routine_start(&p->routine, runtime, "party", party_main, p);
    }
    MUST(wf_sleep(wf_after(duration_ns)) == 0);
    wfi_store(&stop, true);
    for (int i = 0; i < PARTIES; i++) {
        struct party *p = &parties[i];
        if (!runtime || (threads && i % 2))
            wfi_thread_join(&p->thread);
        else
            MUST(wfi_routine_join(&p->routine, wf_after(MINUTE)) == 0);
    }
    wfi_runtime_destroy(runtime);
}

static void balance(const char *mode)
{
    uint64_t item;
    for (int i = 0; i < WAYS; i++)
        while (numbers_try_pop(channels[i], &item) == 0)
            book_out(item);
    while (sorted_try_pop(queue, &item) == 0) {
        book_out(item);
        MUST(sorted_task_done(queue) == 0);
    }
    MUST(wfi_load(&in_count) == wfi_load(&out_count));
    MUST(wfi_load(&in_sum) == wfi_load(&out_sum));
    MUST(sorted_join(queue, WF_NOW) == 0);
    MUST(wf_semaphore_value(&semaphore) == PERMITS);
    MUST(wf_mutex_try_lock(&mutex) == 0 && wf_mutex_unlock(&mutex) == 0);
    MUST(wf_rwlock_try_write_lock(&rwlock) == 0 && wf_rwlock_write_unlock(&rwlock) == 0);
    printf("%s: %llu rounds, %llu items\n", mode, (unsigned long long)wfi_load(&acts),
           (unsigned long long)wfi_load(&in_count));
    fflush(stdout);
    wfi_store(&acts, 0);
}

static int compare(const void *a, const void *b, void *arg, int *ret_order)
{
    (void)arg;
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    *ret_order = x < y ? -1 : x > y;
    return 0;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 8;
    seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)wf_now();
    if (seconds <= 0) {
        fprintf(stderr, "usage: %s [SECONDS [SEED]]\n", argv[0]);
        return 2;
    }
    printf("seed %llu\n", (unsigned long long)seed);
    for (size_t i = 0; i < WAYS; i++)
        MUST(numbers_create(&(struct wf_channel_options){.capacity = i}, &channels[i], NULL) == 0);
    struct wf_queue_options queue_options = {
        .order = WF_PRIORITY, .capacity = 2, .compare = compare};
    MUST(sorted_create(&queue_options, &queue, NULL) == 0);
    struct wf_limit_options limit_options = {
        .total = 4, .per_key = 2, .per_second = 100000, .burst = 8};
    MUST(wf_limit_create(&limit_options, &limit, NULL) == 0);

    int64_t each_ns = WF_SECONDS(seconds / 4);
    run_parties(0, true, each_ns);
    balance("threads");
    run_parties(1, false, each_ns);
    balance("fibers of 1 worker");
    run_parties(4, false, each_ns);
    balance("fibers of 4 workers");
    run_parties(4, true, each_ns);
    balance("mixed");

    wf_limit_destroy(limit);
    sorted_destroy(queue);
    for (int i = 0; i < WAYS; i++)
        numbers_destroy(channels[i]);
    wf_rwlock_fini(&rwlock);
    wf_semaphore_fini(&semaphore);
    wf_condition_fini(&changed);
    wf_mutex_fini(&mutex);
    return 0;
}
