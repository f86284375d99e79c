/* SPDX-License-Identifier: MIT */
/*
 * Futures, scopes, walks and executors under the interleaving explorer, and a queue that is closed;
 * see explorer.h. Builds without -Dexplore=true skip.
 */
#include <stdio.h>

#ifndef WFI_EXPLORE

int main(void)
{
    puts("skipped: needs -Dexplore=true");
    return 77;
}

#else

#include "explorer.h"

#include <errno.h>

#include <weft/event.h>
#include <weft/fibers.h>
#include <weft/future.h>
#include <weft/queue.h>
#include <weft/scope.h>
#include <weft/threads.h>

#include "sched/runtime.h"

static WFI_ATOMIC(int) calls, drops, reports;

WF_TASK(int, meet, (struct wf_event *, release), (int, value))
WF_TASK(int, fails, (int, code))
WF_TASK(int, outer, (int, value))

/* Waits to be let go; a cancel is passed on. */
int meet(struct wf_task *self, struct wf_event *release, int value, int *ret)
{
    (void)self;
    wfi_fetch_add(&calls, 1);
    int err = release ? wf_event_wait(release, WF_FOREVER) : wf_yield();
    *ret = value;
    return err;
}

static void drop_arguments(void *args)
{
    (void)args;
    wfi_fetch_add(&drops, 1);
}
WF_TASK_DEFINE_WITH(meet, .drop_args = drop_arguments)

int fails(struct wf_task *self, int code, int *ret)
{
    (void)ret;
    return wf_task_fail(self, code, "failed");
}
WF_TASK_DEFINE(fails)

/* Waits for a task of its own executor, which may have one thread only. */
int outer(struct wf_task *self, int value, int *ret)
{
    meet_future f = meet_submit(wf_task_executor(self), NULL, value);
    return meet_result(&f, ret, WF_FOREVER, NULL);
}
WF_TASK_DEFINE(outer)

static int count_report(const struct wf_error *error, void *arg)
{
    (void)error;
    (void)arg;
    wfi_fetch_add(&reports, 1);
    return 0;
}

/* Threads or fibers, of one or two, by the seed. */
static struct wf_executor *executor(void)
{
    struct wf_executor *on;
    int workers = 1 + (int)(seed / 2 % 2);
    wfi_store(&calls, 0);
    wfi_store(&drops, 0);
    wfi_store(&reports, 0);
    if (seed % 3 == 0)
        check(wf_threads_create(&(struct wf_threads_options){.workers = workers, .idle_ns = 400},
                                &on, NULL) == 0);
    else
        check(wf_fibers_create(
                  &(struct wf_fibers_options){.workers = workers, .stack_bytes = 64 * 1024}, &on,
                  NULL) == 0);
    return on;
}

/* A future is waited for, cancelled and let finish at once: all see one end. */

struct watched {
    struct wf_future *future;
    struct wf_event release;
    enum wf_cancel_result achieved;
    WFI_ATOMIC(int) called_back;
};

static int called_back(struct wf_future *future, void *arg)
{
    struct watched *w = arg;
    check(wf_future_state(future) >= WF_FUTURE_DONE);
    wfi_fetch_add(&w->called_back, 1);
    return 0;
}

static void *cancel_it(void *arg)
{
    struct watched *w = arg;
    w->achieved = wf_future_cancel(w->future);
    return NULL;
}

static void *wait_for_it(void *arg)
{
    struct watched *w = arg;
    int err = wf_future_wait(w->future, wf_after(500));
    check(err == 0 || err == -ETIMEDOUT);
    check((err == 0) <= (wf_future_state(w->future) >= WF_FUTURE_DONE));
    check(wf_future_on_done(w->future, called_back, w) == 0);
    return NULL;
}

static void a_future_has_one_end(void *unused)
{
    (void)unused;
    struct wf_executor *on = executor();
    struct watched w;
    memset(&w, 0, sizeof w);
    wf_event_init(&w.release);
    meet_future f = meet_submit(on, &w.release, 7);
    w.future = f.future;
    check(wf_future_on_done(f.future, called_back, &w) == 0);
    struct wfi_thread threads[2] = {start(cancel_it, &w), start(wait_for_it, &w)};
    wf_event_set(&w.release);
    join(threads[0]);
    join(threads[1]);
    int value = 0, err = meet_result(&f, &value, WF_FOREVER, NULL);
    check(err == 0 || err == -ECANCELED);
    check((err == 0) == (value == 7));
    check(w.achieved != WF_CANCEL_REMOVED || (err == -ECANCELED && wfi_load(&calls) == 0));
    check(w.achieved != WF_CANCEL_TOO_LATE || err == 0);
    wf_executor_destroy(on);
    check(wfi_load(&w.called_back) == 2);
    check(wfi_load(&drops) == 1 && wfi_load(&calls) <= 1);
    wf_event_fini(&w.release);
}

/* Dropped while it fails, or before, or after: the error is reported once. */
static void a_dropped_failure_is_reported_once(void *unused)
{
    (void)unused;
    struct wf_executor *on = executor();
    wf_set_error_hook(count_report, NULL);
    fails_future a = fails_submit(on, -EIO), b = fails_submit(on, -EIO);
    fails_drop(&a);
    check(fails_result(&b, NULL, WF_FOREVER, NULL) == -EIO);
    check(wf_executor_shutdown(on, WF_SHUTDOWN_WAIT, WF_FOREVER) == 0);
    wf_executor_destroy(on);
    check(wfi_load(&reports) == 1);
    wf_set_error_hook(NULL, NULL);
}

/* A child fails, another waits for ever, a stranger and a deadline cancel: the scope is left with
 * one error, after all have ended. */

static void *cancel_scope(void *arg)
{
    wf_scope_cancel(arg);
    return NULL;
}

static void a_scope_outlives_its_children(void *unused)
{
    (void)unused;
    struct wf_executor *on = executor();
    struct wf_event never;
    wf_event_init(&never);
    struct wf_scope scope;
    bool impatient = seed % 5 == 0, stranger = seed % 5 == 1;
    wf_scope_open(&scope, on, impatient ? wf_after(600) : WF_FOREVER);
    struct wfi_thread thread;
    if (stranger)
        thread = start(cancel_scope, &scope);
    bool threads = seed % 3 == 0; /* those that wait for ever would take all of them */
    if (threads)
        fails_go(&scope, -EIO);
    meet_go(&scope, &never, 1);
    meet_future held = meet_spawn(&scope, &never, 2);
    if (!threads)
        fails_go(&scope, -EIO);
    meet_spawn(&scope, NULL, 3);
    int err = wf_scope_join(&scope, NULL);
    check(err == -EIO || (impatient && err == -ETIMEDOUT) || (stranger && err == -ECANCELED));
    check(wf_scope_running(&scope) == 0);
    check(wf_future_state(held.future) == WF_FUTURE_CANCELED);
    if (stranger)
        join(thread);
    check(wf_scope_close(&scope, NULL) == err);
    check(wfi_load(&drops) == 3);
    wf_executor_destroy(on);
    wf_event_fini(&never);
}

/* A task that waits for another of the same executor, cancelled from outside, and a shutdown. */
static void nested_waits_end(void *unused)
{
    (void)unused;
    struct wf_executor *on = executor();
    outer_future f[2] = {outer_submit(on, 1), outer_submit(on, 2)};
    struct watched w = {.future = f[0].future};
    struct wfi_thread thread = start(cancel_it, &w);
    int value = 0;
    check(outer_result(&f[1], &value, WF_FOREVER, NULL) == 0 && value == 2);
    join(thread);
    int err = outer_result(&f[0], &value, WF_FOREVER, NULL);
    check((err == 0 && value == 1) || err == -ECANCELED);
    wf_executor_destroy(on);
    check(wfi_load(&drops) >= wfi_load(&calls) && wfi_load(&drops) <= 2);
}

/* Submits, a shutdown and what it cancels: every future ends, and nothing runs twice. */

static void *shut_down(void *arg)
{
    int err = wf_executor_shutdown(arg, seed % 2 ? WF_SHUTDOWN_CANCEL : WF_SHUTDOWN_WAIT,
                                   seed % 7 == 0 ? wf_after(300) : WF_FOREVER);
    check(err == 0 || err == -ETIMEDOUT);
    return NULL;
}

static void a_shutdown_loses_no_future(void *unused)
{
    (void)unused;
    struct wf_executor *on = executor();
    meet_future f[4];
    f[0] = meet_submit(on, NULL, 0);
    struct wfi_thread thread = start(shut_down, on);
    for (int i = 1; i < 4; i++)
        f[i] = meet_submit(on, NULL, i);
    int ran = 0;
    for (int i = 0; i < 4; i++) {
        int value = -1, err = meet_result(&f[i], &value, WF_FOREVER, NULL);
        check(err == 0 || err == -EPIPE || (err == -ECANCELED && seed % 2));
        check(err != 0 || value == i);
        ran += err == 0;
    }
    join(thread);
    wf_executor_destroy(on);
    check(wfi_load(&calls) == ran && wfi_load(&drops) == 4);
}

/* A walk gives each future once; what is left when it is closed stays as it was. */
static void a_walk_gives_each_once(void *unused)
{
    (void)unused;
    struct wf_executor *on = executor();
    struct wf_event never;
    wf_event_init(&never);
    meet_future f[3];
    struct wf_future *all[3], *next;
    for (int i = 0; i < 3; i++) {
        f[i] = meet_submit(on, NULL, i);
        all[i] = f[i].future;
    }
    struct wf_as_completed *walk;
    check(wf_as_completed_open(all, 3, &walk, NULL) == 0);
    bool seen[3] = {false, false, false};
    int count = 0, more;
    size_t index;
    while ((more = wf_as_completed_next(walk, &next, &index, wf_after(900), NULL)) == 1) {
        check(!seen[index] && next == all[index]);
        seen[index] = true;
        count++;
        int value;
        if (seed % 2) /* taken at once: the walk holds no reference */
            check(meet_result(&f[index], &value, WF_NOW, NULL) == 0 && value == (int)index);
        if (seed % 11 == 0)
            break;
    }
    check(more == 1 || more == -ETIMEDOUT || count == 3);
    wf_as_completed_close(walk);
    for (int i = 0; i < 3; i++)
        if (f[i].future)
            check(meet_result(&f[i], NULL, WF_FOREVER, NULL) == 0);
    wf_executor_destroy(on);
    wf_event_fini(&never);
}

/* Whoever wakes a fiber from elsewhere may find its runtime gone right after. */

struct last_word {
    struct wf_event spoken;
    struct wfi_runtime *runtime;
    struct wfi_routine routine;
};

static void hear(void *arg)
{
    struct last_word *last = arg;
    check(wf_event_wait(&last->spoken, WF_FOREVER) == 0);
}

static void *speak(void *arg)
{
    struct last_word *last = arg;
    wf_event_set(&last->spoken);
    return NULL;
}

static void a_runtime_goes_right_after_a_wake(void *unused)
{
    (void)unused;
    struct last_word last;
    memset(&last, 0, sizeof last);
    wf_event_init(&last.spoken);
    struct wfi_runtime_options tiny = {.workers = 1, .stack_bytes = 64 * 1024};
    check(wfi_runtime_create(&tiny, &last.runtime, NULL) == 0);
    wfi_routine_start(&last.routine, last.runtime, "hears", hear, &last);
    struct wfi_thread thread = start(speak, &last);
    wfi_runtime_destroy(last.runtime);
    join(thread);
    wf_event_fini(&last.spoken);
}

/* A queue of one place, closed while both sides work: an item is taken or destroyed, once. */

struct belt {
    struct wf_queue *queue;
    WFI_ATOMIC(int) pushed, popped;
};

static void *load(void *arg)
{
    struct belt *b = arg;
    for (int i = 0; i < 3; i++) {
        int err = wf_queue_push(b->queue, &i, WF_FOREVER);
        check(err == 0 || err == -EPIPE);
        if (err == 0)
            wfi_fetch_add(&b->pushed, 1);
    }
    return NULL;
}

static void *unload(void *arg)
{
    struct belt *b = arg;
    int item, err;
    while ((err = wf_queue_pop(b->queue, &item, WF_FOREVER)) == 0) {
        wfi_fetch_add(&b->popped, 1);
        err = wf_queue_task_done(b->queue);
        check(err == 0 || err == WF_ESTATE); /* closed now: nothing is left to be done */
    }
    check(err == -EPIPE);
    return NULL;
}

static void *await_all_done(void *arg)
{
    struct belt *b = arg;
    check(wf_queue_join(b->queue, WF_FOREVER) == 0);
    return NULL;
}

static void destroy_item(void *item, void *arg)
{
    (void)item;
    wfi_fetch_add((WFI_ATOMIC(int) *)arg, 1);
}

static void a_closed_queue_keeps_count(void *unused)
{
    (void)unused;
    struct belt b;
    memset(&b, 0, sizeof b);
    wfi_store(&drops, 0);
    struct wf_queue_options options = {.order = WF_FIFO,
                                       .capacity = 1,
                                       .item_bytes = sizeof(int),
                                       .item_destroy = destroy_item,
                                       .arg = (void *)&drops};
    check(wf_queue_create(&options, &b.queue, NULL) == 0);
    struct wfi_thread threads[4] = {start(load, &b), start(unload, &b), start(load, &b),
                                    start(await_all_done, &b)};
    if (seed % 3 == 0) /* after both have delivered, or in the midst of it */
        while (wfi_load(&b.pushed) < 6)
            wfi_thread_yield();
    wf_queue_close(b.queue, seed % 2 ? WF_CLOSE_GRACEFUL : WF_CLOSE_NOW);
    for (int i = 0; i < 4; i++)
        join(threads[i]);
    check(wfi_load(&b.popped) + wfi_load(&drops) == wfi_load(&b.pushed));
    check(wfi_load(&drops) == 0 || seed % 2 == 0);
    wf_queue_destroy(b.queue);
}

static const struct situation situations[] = {
    {"a_future_has_one_end", a_future_has_one_end, 50},
    {"a_dropped_failure_is_reported_once", a_dropped_failure_is_reported_once, 25},
    {"a_scope_outlives_its_children", a_scope_outlives_its_children, 50},
    {"nested_waits_end", nested_waits_end, 50},
    {"a_shutdown_loses_no_future", a_shutdown_loses_no_future, 50},
    {"a_walk_gives_each_once", a_walk_gives_each_once, 50},
    {"a_runtime_goes_right_after_a_wake", a_runtime_goes_right_after_a_wake, 500},
    {"a_closed_queue_keeps_count", a_closed_queue_keeps_count, 100},
};

int main(void)
{
    return explore_all(situations, sizeof situations / sizeof *situations);
}

#endif
