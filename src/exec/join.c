/* SPDX-License-Identifier: MIT */
/*
 * Fork and join. The half that may be taken by another is a job in the caller's frame, pushed on
 * the worker's own deque; when the caller comes back and it is still the last one there, it is
 * popped and called like any function.
 *
 * Who runs the other half
 *  1. The job is in the deque once. It leaves by one pop or steal, and who has it runs it: the
 *     caller (take_back), or a fiber, through run_fork. That fiber can be one of the same worker:
 *     when `a` parks, its worker goes on with whatever is in its deque.
 *  2. take_back only pops when the job is the last one pushed. It need not be: fibers that ran
 * while `a` was parked, and tasks that `a` has submitted, leave jobs on top. Then, as when a thief
 * was quicker, the caller parks; its worker, now free, works off what is on top, and the job after
 *     it. So the caller never runs what is not its own, and never waits for a job that nobody can
 *     get at.
 *  3. The frame lives until `done` was seen under the lock, or a joiner was woken. Whoever ran the
 *     job unlocks before it wakes and touches nothing after; see park.h.
 *
 * Waking others. A submitter of tasks must not overlook a sleeping worker and pays a fence for it.
 * Here the caller itself comes back for the job, so a sleeper that is overlooked costs speed and
 * nothing else: the idle mask is read without a fence, and only when it shows a sleeper, and nobody
 * searches already, is one woken. It clears its bit with that, and when it is up it searches for a
 * while: so a sleeper is woken at most once per such a while, not with every push. On a single CPU
 * there is nothing to gain, and nobody is woken.
 *
 * Cancellation. The fiber that runs the other half enters a level below the caller's innermost one,
 * so each wait there sees what the caller's would see. A wait that it is in already is interrupted
 * by asking that level: the caller does it when its own wait for the join is interrupted.
 */
#include <weft/join.h>

#include <string.h>

#include "os/cpu.h"
#include "os/sanitizer.h"
#include "os/self.h"
#include "sched/cancel.h"
#include "sched/worker.h"
#include "sync/local.h"

struct fork {
    struct wfi_job job; /* first */
    void (*fn)(void *);
    void *arg;
    struct wfi_cancel *around; /* the caller's level when it forked */
    void *task;                /* and its task */
    const char *task_name;     /* with its name */
    struct wfi_locals *locals; /* a reference, when there were any */
    struct {
        struct wfi_wait_list joiner; /* the caller */
        struct wfi_cancel *level;    /* that `fn` runs in on another fiber, while it does */
        struct wfi_lock lock;        /* for all of this */
        bool done, refused;          /* refused: done but not run, for lack of a stack */
    } meeting;
};

static void finish(struct fork *fork, bool refused)
{
    struct wfi_wake_list wake = {NULL, NULL};
    wfi_lock_lock(&fork->meeting.lock);
    fork->meeting.done = true;
    fork->meeting.refused = refused;
    wfi_wake_list_claim_all(&wake, &fork->meeting.joiner);
    wfi_lock_unlock(&fork->meeting.lock); /* the frame may be gone from here on */
    wfi_wake_all(&wake);
}

static void set_level(struct fork *fork, struct wfi_cancel *level)
{
    wfi_lock_lock(&fork->meeting.lock);
    fork->meeting.level = level;
    wfi_lock_unlock(&fork->meeting.lock);
}

/* On a fiber that has nothing else to do. */
static void run_fork(struct wfi_job *job, struct wfi_worker *worker)
{
    struct fork *fork = (struct fork *)job;
    if (wfi_unlikely(wfi_worker_refusal(worker))) {
        finish(fork, true);
        return;
    }
    struct wfi_waiter *self = wfi_self();
    struct wfi_cancel level;
    wfi_cancel_enter(&level, fork->around, false, WF_FOREVER);
    self->task = fork->task;
    wfi_store_relaxed(&self->task_name, fork->task_name);
    wfi_locals_enter(fork->locals);
    set_level(fork, &level);
    fork->fn(fork->arg);
    set_level(fork, NULL);
    wfi_locals_leave(NULL);
    wfi_store_relaxed(&self->task_name, NULL);
    self->task = NULL;
    wfi_cancel_leave(&level);
    wfi_party_end(self); /* before the caller, who may wait for what the party leaves behind */
    finish(fork, false);
}

/* Another has, or will get, the job: waits until it has been run. */
static __attribute__((noinline)) void await(struct fork *fork)
{
    struct wfi_wait_node node = {0};
    wfi_lock_lock(&fork->meeting.lock);
    if (fork->meeting.done) {
        wfi_lock_unlock(&fork->meeting.lock);
    } else if (wfi_wait(&fork->meeting.joiner, &fork->meeting.lock, &node, "join", fork,
                        WF_FOREVER)) {
        wfi_lock_lock(&fork->meeting.lock);
        if (fork->meeting.done) {
            wfi_lock_unlock(&fork->meeting.lock);
        } else {
            if (fork->meeting.level)
                wfi_cancel_ask(fork->meeting.level);
            wfi_wait_uncancelable(&fork->meeting.joiner, &fork->meeting.lock, &node, "join", fork,
                                  WF_FOREVER);
        }
    }
    if (wfi_unlikely(fork->meeting.refused)) {
        fork->fn(fork->arg);
        wfi_locals_release(fork->locals);
    }
}

/* Out of line: wf_join itself shall need few registers. */
static __attribute__((noinline)) void wake_somebody(struct wfi_runtime *runtime)
{
    if (!wfi_cpu_alone())
        wfi_runtime_wake_one(runtime);
}

static bool worth_waking(struct wfi_runtime *runtime)
{
    /* relaxed, without a fence: see the head. Beyond the 64th worker nobody is woken from here, but
     * by the search of those that were. */
    return wfi_unlikely(wfi_load_relaxed(&runtime->idle[0])) &&
           wfi_load_relaxed(&runtime->searchers) == 0;
}

static bool offer(struct wfi_worker *worker, struct fork *fork)
{
    wfi_tsan_release(&fork->job);
    wfi_tsan_checks_off();
    bool pushed = wfi_deque_push(&worker->deque, &fork->job);
    if (worth_waking(worker->runtime) && pushed)
        wake_somebody(worker->runtime);
    wfi_tsan_checks_on();
    return pushed;
}

static bool take_back(struct wfi_worker *worker, struct fork *fork)
{
    wfi_tsan_checks_off();
    bool mine = wfi_deque_pop_if(&worker->deque, &fork->job);
    wfi_tsan_checks_on();
    return mine;
}

void wf_join(void (*a)(void *arg), void *arg_a, void (*b)(void *arg), void *arg_b)
{
    struct wfi_waiter *self = wfi_self_get();
    if (!self || self->kind != WFI_FIBER) {
        a(arg_a);
        b(arg_b);
        return;
    }
    /* A started fiber stays on its worker, so this holds after `a` has parked, too. */
    struct wfi_worker *worker = ((struct wfi_fiber *)self)->worker;
    /* Field by field: as an initializer it becomes a fill of the whole, which takes longer than the
     * rest of this function. */
    struct fork fork;
    fork.job.run = run_fork;
    fork.fn = b;
    fork.arg = arg_b;
    fork.around = self->cancel;
    fork.task = self->task;
    fork.task_name = wfi_load_relaxed(&self->task_name);
    fork.locals = self->locals ? wfi_locals_capture() : NULL;
    memset((void *)&fork.meeting, 0, sizeof fork.meeting);
    bool offered = offer(worker, &fork);
    a(arg_a);
    if (!wfi_unlikely(!offered) && wfi_unlikely(!take_back(worker, &fork))) {
        await(&fork);
        return;
    }
    b(arg_b);
    if (wfi_unlikely(fork.locals))
        wfi_locals_release(fork.locals);
}
