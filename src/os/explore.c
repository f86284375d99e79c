/* SPDX-License-Identifier: MIT */
#include "os/explore.h"

#ifdef WFI_EXPLORE

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/random.h"
#include "os/context.h"
#include "os/sanitizer.h"
#include "os/self.h"

enum { STACK_BYTES = 256 * 1024, STEPS_MAX = 200000, CHANGES = 4, EXPECTED_STEPS = 2000 };

enum state { UNUSED, RUNNABLE, ASLEEP, ENDED };

struct thread {
    enum state state;
    struct wfi_context context;
    void *stack;
    void *self; /* the slot of os/self.h while another one runs */
    int errno_saved;
    void *(*fn)(void *);
    void *arg, *value;
    void (*at_exit)(void *);
    void *at_exit_value;
    WFI_ATOMIC(uint32_t) * word; /* while asleep */
    wf_deadline deadline;
    uint64_t priority;
};

static struct {
    bool active;
    struct wfi_random random;
    bool by_priority;
    uint64_t steps, steps_max;
    uint64_t change_at[CHANGES];
    uint64_t lowest;
    int64_t now_ns;
    int current, count;
    struct thread threads[WFI_EXPLORE_THREADS];
    struct wfi_context runner;
    void *runner_self;
    enum wfi_explore_outcome outcome;
} run;

bool wfi_explore_active(void)
{
    return run.active;
}

uint64_t wfi_explore_steps(void)
{
    return run.steps;
}

int64_t wfi_explore_now(void)
{
    return run.now_ns;
}

static uint64_t below(uint64_t n)
{
    return wfi_random_below(&run.random, n);
}

/* Switching between virtual threads; the one that leaves may be on any stack of its own fibers. */
static void go_to(int number)
{
    struct thread *from = &run.threads[run.current];
    if (number == run.current)
        return;
    from->self = wfi_self_get();
    from->errno_saved = wfi_errno_get();
    run.current = number;
    struct thread *to = &run.threads[number];
    wfi_self_set(to->self);
    wfi_errno_set(to->errno_saved);
    wfi_context_swap(&from->context, &to->context);
}

static void leave_run(enum wfi_explore_outcome outcome)
{
    run.outcome = outcome;
    run.active = false;
    wfi_self_set(run.runner_self);
    wfi_context_swap(&run.threads[run.current].context, &run.runner);
}

static int sleeper_due_first(void)
{
    int first = -1;
    for (int i = 0; i < run.count; i++) {
        struct thread *t = &run.threads[i];
        if (t->state == ASLEEP && t->deadline.ns != INT64_MAX &&
            (first < 0 || t->deadline.ns < run.threads[first].deadline.ns))
            first = i;
    }
    return first;
}

static void let_time_pass(int sleeper)
{
    struct thread *t = &run.threads[sleeper];
    if (t->deadline.ns > run.now_ns)
        run.now_ns = t->deadline.ns;
    t->state = RUNNABLE;
}

/* The one to go on, `except` only if there is no other; -1 when nobody can. */
static int choose(int except)
{
    int candidates[WFI_EXPLORE_THREADS], count = 0;
    for (int i = 0; i < run.count; i++)
        if (run.threads[i].state == RUNNABLE && i != except)
            candidates[count++] = i;
    if (count == 0)
        return except >= 0 && run.threads[except].state == RUNNABLE ? except : -1;
    if (!run.by_priority)
        return candidates[below((uint64_t)count)];
    int best = candidates[0];
    for (int i = 1; i < count; i++)
        if (run.threads[candidates[i]].priority > run.threads[best].priority)
            best = candidates[i];
    return best;
}

/* The current one cannot go on, or has had its turn. */
static void pass_on(int except)
{
    int next = choose(except);
    if (next < 0) {
        int sleeper = sleeper_due_first();
        if (sleeper < 0) {
            leave_run(WFI_EXPLORE_DEADLOCK);
            return;
        }
        let_time_pass(sleeper);
        next = sleeper;
    }
    go_to(next);
}

static bool count_step(void)
{
    if (!run.active)
        return false;
    if (++run.steps > run.steps_max)
        leave_run(WFI_EXPLORE_ENDLESS);
    if (below(256) == 0) {
        int sleeper = sleeper_due_first();
        if (sleeper >= 0)
            let_time_pass(sleeper);
    }
    return true;
}

void wfi_explore_point(void)
{
    if (!count_step())
        return;
    if (!run.by_priority) {
        if (below(3) == 0)
            pass_on(-1);
        return;
    }
    for (int i = 0; i < CHANGES; i++)
        if (run.steps == run.change_at[i])
            run.threads[run.current].priority = run.lowest--;
    pass_on(-1);
}

void wfi_explore_relax(void)
{
    if (!count_step())
        return;
    run.threads[run.current].priority = run.lowest--;
    pass_on(run.current);
}

void wfi_explore_sleep(WFI_ATOMIC(uint32_t) * word, uint32_t expected, wf_deadline deadline)
{
    struct thread *t = &run.threads[run.current];
    wfi_explore_point();
    if (atomic_load(word) != expected || deadline.ns <= run.now_ns)
        return;
    t->word = word;
    t->deadline = deadline;
    t->state = ASLEEP;
    pass_on(-1);
}

void wfi_explore_wake(WFI_ATOMIC(uint32_t) * word)
{
    wfi_explore_point();
    for (int i = 0; i < run.count; i++)
        if (run.threads[i].state == ASLEEP && run.threads[i].word == word)
            run.threads[i].state = RUNNABLE;
}

/* The words of joiners: a thread's own state, which only this file changes. */
static void entry(void *arg)
{
    struct thread *t = arg;
    t->value = t->fn(t->arg);
    if (t->at_exit)
        t->at_exit(t->at_exit_value);
    t->state = ENDED;
    for (int i = 0; i < run.count; i++)
        if (run.threads[i].state == ASLEEP && run.threads[i].word == NULL)
            run.threads[i].state = RUNNABLE; /* joiners look again */
    int live = 0;
    for (int i = 0; i < run.count; i++)
        live += run.threads[i].state != ENDED;
    if (live == 0)
        leave_run(WFI_EXPLORE_DONE);
    else
        pass_on(-1);
    wfi_assert(0, "an ended virtual thread does not run");
}

int wfi_explore_thread_start(void *(*fn)(void *), void *arg)
{
    wfi_assert(run.count < WFI_EXPLORE_THREADS, "a run has few virtual threads");
    int number = run.count++;
    struct thread *t = &run.threads[number];
    void *stack = t->stack;
    memset(t, 0, sizeof *t);
    t->stack = stack ? stack : malloc(STACK_BYTES);
    wfi_assert(t->stack, "there is memory for a virtual thread");
    wfi_sanitizer_unpoison(t->stack, STACK_BYTES); /* what its last thread left */
    t->fn = fn;
    t->arg = arg;
    t->state = RUNNABLE;
    t->priority = (UINT64_C(1) << 40) + below(UINT64_C(1) << 32);
    wfi_context_frame(&t->context, t->stack, STACK_BYTES, entry, t);
    return number;
}

void *wfi_explore_thread_join(int number)
{
    struct thread *self = &run.threads[run.current];
    while (run.threads[number].state != ENDED) {
        self->word = NULL;
        self->deadline = WF_FOREVER;
        self->state = ASLEEP;
        pass_on(-1);
    }
    return run.threads[number].value;
}

void wfi_explore_at_exit(void (*fn)(void *), void *value)
{
    run.threads[run.current].at_exit = fn;
    run.threads[run.current].at_exit_value = value;
}

struct first {
    void (*fn)(void *);
    void *arg;
};

static void *run_first(void *arg)
{
    struct first *first = arg;
    first->fn(first->arg);
    return NULL;
}

enum wfi_explore_outcome wfi_explore_run(const struct wfi_explore_options *options,
                                         void (*fn)(void *), void *arg)
{
    struct first first = {fn, arg};
    wfi_assert(!run.active, "one run at a time");
    wfi_random_seed(&run.random, options->seed);
    run.by_priority = options->seed & 1;
    run.steps = 0;
    run.steps_max = options->steps_max ? options->steps_max : STEPS_MAX;
    run.lowest = UINT64_C(1) << 39;
    run.now_ns = 1000000000;
    run.count = 0;
    for (int i = 0; i < CHANGES; i++)
        run.change_at[i] = 1 + below(EXPECTED_STEPS);
    run.runner_self = wfi_self_get();
    wfi_explore_thread_start(run_first, &first);
    run.current = 0;
    wfi_self_set(NULL);
    run.active = true;
    wfi_context_swap(&run.runner, &run.threads[0].context);
    return run.outcome;
}

#endif
