/* SPDX-License-Identifier: MIT */
/* Futures: conformance group FUT, and what every engine owes to the one who submits. */
#include "engines.h"

#include <errno.h>

WF_TASK(int, give, (int, value))
WF_TASK(int, refuse, (int, code), (const char *, text))
WF_TASK(int, hold, (struct wf_event *, started), (struct wf_event *, release))
WF_TASK(wf_none, nothing)
WF_TASK(double, many, (int8_t, a), (uint16_t, b), (float, c), (const char *, d), (int64_t, e),
        (struct wf_bytes, f), (bool, g), (double, h))

struct big {
    char text[200];
};
WF_TASK(struct big, grow, (struct big, in))

int give(struct wf_task *self, int value, int *ret)
{
    check(strcmp(wf_task_name(self), "give") == 0);
    check(wf_task_self() == self);
    *ret = value;
    return 0;
}
WF_TASK_DEFINE(give)

int refuse(struct wf_task *self, int code, const char *text, int *ret)
{
    (void)ret;
    return text ? wf_task_fail(self, code, "no: %s", text) : code;
}
WF_TASK_DEFINE(refuse)

/* Says that it runs, then waits until it is let go or cancelled. */
int hold(struct wf_task *self, struct wf_event *started, struct wf_event *release, int *ret)
{
    (void)self;
    if (started)
        wf_event_set(started);
    int err = wf_event_wait(release, party_soon());
    *ret = 42;
    return err;
}
WF_TASK_DEFINE(hold)

int nothing(struct wf_task *self, wf_none *ret)
{
    (void)self;
    (void)ret;
    return 0;
}
WF_TASK_DEFINE(nothing)

int many(struct wf_task *self, int8_t a, uint16_t b, float c, const char *d, int64_t e,
         struct wf_bytes f, bool g, double h, double *ret)
{
    (void)self;
    *ret = a + b + (double)c + (double)strlen(d) + (double)e + (double)f.len + g + h;
    return 0;
}
WF_TASK_DEFINE(many)

int grow(struct wf_task *self, struct big in, struct big *ret)
{
    (void)self;
    *ret = in;
    ret->text[0]++;
    return 0;
}
WF_TASK_DEFINE(grow)

static void outcomes(struct wf_executor *on)
{
    struct wf_error error;
    int value = 0;
    give_future a = give_submit(on, 7);
    check_int(give_result(&a, &value, party_soon(), &error), 0);
    check_int(value, 7);
    check(a.future == NULL);

    refuse_future b = refuse_submit(on, -ENOENT, "page 3");
    check_int(refuse_result(&b, &value, party_soon(), &error), -ENOENT);
    check_int(value, 7);
    check_int(error.code, -ENOENT);
    check(strcmp(error.text, "no: page 3") == 0);
    check(strcmp(error.task, "refuse") == 0);
    check(b.future == NULL);

    b = refuse_submit(on, -5000, NULL); /* a code of the program's own, without a text */
    check_int(refuse_result(&b, &value, party_soon(), &error), -5000);
    check(strcmp(error.task, "refuse") == 0);

    nothing_future c = nothing_submit(on);
    check_int(nothing_result(&c, NULL, party_soon(), NULL), 0);

    double sum = 0;
    many_future d =
        many_submit(on, -1, 2, 0.5F, "four", 1000000, (struct wf_bytes){"xyz", 3}, true, 0.25);
    check_int(many_result(&d, &sum, party_soon(), NULL), 0);
    check(sum == -1 + 2 + 0.5 + 4 + 1000000 + 3 + 1 + 0.25);

    struct big big = {"hello"};
    grow_future e = grow_submit(on, big);
    check_int(grow_result(&e, &big, party_soon(), NULL), 0);
    check(strcmp(big.text, "iello") == 0);

    give_future named = give_submit_with(on, &(struct wf_submit_options){.priority = 1}, 3);
    check(strcmp(wf_future_name(named.future), "give") == 0);
    check_int(give_result(&named, &value, party_soon(), NULL), 0);
}

static void submit_to_result_is_the_same_on_every_engine(void **state)
{
    (void)state;
    ON_ALL(outcomes);
}

/* Callbacks */

struct seen {
    WFI_ATOMIC(int) calls;
    enum wf_future_state state;
    int code, value, order[4];
    struct wf_event called;
};

static int look(struct wf_future *f, void *arg)
{
    struct seen *seen = arg;
    struct wf_error error;
    seen->state = wf_future_state(f);
    seen->code = wf_future_error(f, WF_NOW, &error);
    wfi_fetch_add(&seen->calls, 1);
    wf_event_set(&seen->called);
    return 0;
}

/* FUT-01: a callback runs exactly once and can read the outcome, however it ends. */
static void callback_once(struct wf_executor *on)
{
    for (int way = 1; way < 3; way++) {
        struct seen seen = {0};
        struct wf_event started, release;
        wf_event_init(&seen.called);
        wf_event_init(&started);
        wf_event_init(&release);
        hold_future f = hold_submit(on, &started, &release);
        check_int(wf_event_wait(&started, party_soon()), 0);
        check_int(wf_future_on_done(f.future, look, &seen), 0);
        check_int(wfi_load(&seen.calls), 0);
        if (way == 2)
            check_int(wf_future_cancel(f.future), WF_CANCEL_ASKED);
        else
            wf_event_set(&release);
        check_int(wf_event_wait(&seen.called, party_soon()), 0);
        check_int(seen.state, way == 2 ? WF_FUTURE_CANCELED : WF_FUTURE_DONE);
        check_int(seen.code, way == 2 ? -ECANCELED : 0);
        check_int(wf_future_wait(f.future, party_soon()), 0);
        hold_drop(&f);
        check_int(wfi_load(&seen.calls), 1);
        wf_event_fini(&seen.called);
        wf_event_fini(&started);
        wf_event_fini(&release);
    }
}

static void a_callback_runs_once_and_reads_the_outcome(void **state)
{
    (void)state;
    ON_CONCURRENT(callback_once);
}

static struct {
    WFI_ATOMIC(int) count;
    struct wf_error last;
    struct wf_event called;
} hooked;

static int count_errors(const struct wf_error *error, void *arg)
{
    (void)arg;
    hooked.last = *error;
    wfi_fetch_add(&hooked.count, 1);
    wf_event_set(&hooked.called);
    return 0;
}

static int order_of[3], order_count;

static int first_fails(struct wf_future *f, void *arg)
{
    (void)f;
    order_of[order_count++] = *(int *)arg;
    return -EIO;
}

static int then_works(struct wf_future *f, void *arg)
{
    (void)f;
    order_of[order_count++] = *(int *)arg;
    return 0;
}

static int sets(struct wf_future *f, void *arg)
{
    (void)f;
    wf_event_set(arg);
    return 0;
}

/* FUT-02: the second callback still runs, in order; the failure goes to the hook. */
static void callback_fails(struct wf_executor *on)
{
    struct wf_event started, release, all;
    wf_event_init(&started);
    wf_event_init(&release);
    wf_event_init(&all);
    wf_event_init(&hooked.called);
    wfi_store(&hooked.count, 0);
    order_count = 0;
    wf_set_error_hook(count_errors, NULL);
    hold_future f = hold_submit(on, &started, &release);
    int one = 1, two = 2;
    check_int(wf_future_on_done(f.future, first_fails, &one), 0);
    check_int(wf_future_on_done(f.future, then_works, &two), 0);
    check_int(wf_future_on_done(f.future, sets, &all), 0);
    wf_event_set(&release);
    int value;
    check_int(hold_result(&f, &value, party_soon(), NULL), 0);
    check_int(value, 42);
    check_int(wf_event_wait(&all, party_soon()), 0);
    check_int(order_count, 2);
    check(order_of[0] == 1 && order_of[1] == 2);
    check_int(wfi_load(&hooked.count), 1);
    check_int(hooked.last.code, -EIO);
    check(strcmp(hooked.last.task, "hold") == 0);
    wf_set_error_hook(NULL, NULL);
    wf_event_fini(&started);
    wf_event_fini(&release);
    wf_event_fini(&all);
    wf_event_fini(&hooked.called);
}

static void a_failing_callback_disturbs_nobody(void **state)
{
    (void)state;
    ON_CONCURRENT(callback_fails);
}

/* FUT-03: added to one that has ended, a callback runs at once. */
static void callback_late(struct wf_executor *on)
{
    int value;
    give_future f = give_submit(on, 1);
    refuse_future g = refuse_submit(on, -EIO, NULL);
    check_int(wf_future_wait(f.future, party_soon()), 0);
    check_int(wf_future_wait(g.future, party_soon()), 0);
    struct wf_future *ended[] = {f.future, g.future};
    for (int i = 0; i < 2; i++) {
        struct seen seen = {0};
        wf_event_init(&seen.called);
        check_int(wf_future_on_done(ended[i], look, &seen), 0);
        check_int(wfi_load(&seen.calls), 1);
        check_int(seen.code, i == 0 ? 0 : -EIO);
    }
    check_int(give_result(&f, &value, WF_NOW, NULL), 0);
    refuse_drop(&g);
}

static void a_late_callback_runs_at_once(void **state)
{
    (void)state;
    ON_ALL(callback_late);
}

/* Fills every thread of `on`, so that what follows stays PENDING. Returns how many. */
static int fill(struct wf_executor *on, struct wf_event *release, hold_future blockers[8])
{
    int count = (int)wf_executor_workers(on);
    if (strcmp(wf_executor_engine(on), "threads") != 0)
        return 0;
    for (int i = 0; i < count; i++) {
        struct wf_event started;
        wf_event_init(&started);
        blockers[i] = hold_submit(on, &started, release);
        check_int(wf_event_wait(&started, party_soon()), 0);
        wf_event_fini(&started);
    }
    return count;
}

/* FUT-04, FUT-05 */
static void every_state(struct wf_executor *on)
{
    struct wf_event release, started;
    wf_event_init(&release);
    wf_event_init(&started);
    hold_future blockers[8];
    struct wf_error error;
    int value = 0;

    hold_future running = hold_submit(on, &started, &release);
    check_int(wf_event_wait(&started, party_soon()), 0);
    check_int(wf_future_state(running.future), WF_FUTURE_RUNNING);
    check_int(hold_result(&running, &value, WF_NOW, &error), -ETIMEDOUT);
    check(running.future != NULL);
    wf_event_set(&release);
    check_int(wf_future_wait(running.future, party_soon()), 0);
    check_int(wf_future_state(running.future), WF_FUTURE_DONE);
    check_int(wf_future_cancel(running.future), WF_CANCEL_TOO_LATE);
    check_int(wf_future_error(running.future, WF_NOW, NULL), 0);
    check_int(hold_result(&running, &value, WF_NOW, NULL), 0);
    check_int(value, 42);

    refuse_future failed = refuse_submit(on, -EIO, NULL);
    check_int(wf_future_wait(failed.future, party_soon()), 0);
    check_int(wf_future_state(failed.future), WF_FUTURE_FAILED);
    check_int(wf_future_cancel(failed.future), WF_CANCEL_TOO_LATE);
    check_int(refuse_result(&failed, &value, WF_NOW, NULL), -EIO);

    wf_event_clear(&release);
    int count = fill(on, &release, blockers);
    wf_event_fini(&started);
    if (!count)
        return;
    give_future pending = give_submit(on, 9);
    check_int(wf_future_state(pending.future), WF_FUTURE_PENDING);
    check_int(give_result(&pending, &value, WF_NOW, NULL), -ETIMEDOUT);
    struct seen seen = {0};
    wf_event_init(&seen.called);
    check_int(wf_future_on_done(pending.future, look, &seen), 0);
    check_int(wf_future_cancel(pending.future), WF_CANCEL_REMOVED);
    check_int(wfi_load(&seen.calls), 1); /* FUT-01, cancelled */
    check_int(seen.state, WF_FUTURE_CANCELED);
    check_int(wf_future_cancel(pending.future), WF_CANCEL_REMOVED);
    check_int(wf_future_state(pending.future), WF_FUTURE_CANCELED);
    check_int(give_result(&pending, &value, WF_NOW, &error), -ECANCELED);
    check(strcmp(error.task, "give") == 0);
    wf_event_set(&release);
    for (int i = 0; i < count; i++)
        check_int(hold_result(&blockers[i], &value, party_soon(), NULL), 0);
}

static void every_state_reads_and_cancels_as_it_should(void **state)
{
    (void)state;
    ON_CONCURRENT(every_state);
}

/* FUT-06: who waits is woken by the end, long before its deadline. */
struct freeing {
    struct wfi_waiter *who;
    struct wf_event *release;
};

static void *free_when_parked(void *arg)
{
    struct freeing *freeing = arg;
    const char *reason;
    while (!(reason = wfi_load_relaxed(&freeing->who->reason)) || strcmp(reason, "future") != 0)
        wfi_yield();
    wf_event_set(freeing->release);
    return NULL;
}

static void waiter_wakes(struct wf_executor *on)
{
    struct wf_event started, release;
    wf_event_init(&started);
    wf_event_init(&release);
    hold_future f = hold_submit(on, &started, &release);
    check_int(wf_event_wait(&started, party_soon()), 0);
    int64_t before = wf_now();
    int value;
    /* Another party lets it go once this one sleeps. */
    struct freeing freeing = {wfi_self(), &release};
    struct wfi_thread thread;
    check_int(wfi_thread_start(&thread, "freeing", 0, free_when_parked, &freeing), 0);
    check_int(hold_result(&f, &value, wf_after(WF_SECONDS(50)), NULL), 0);
    wfi_thread_join(&thread);
    check_int(value, 42);
    check(wf_now() - before < WF_SECONDS(25));
    wf_event_fini(&started);
    wf_event_fini(&release);
}

static void a_waiter_wakes_with_the_value(void **state)
{
    (void)state;
    ON_CONCURRENT(waiter_wakes);
}

static void timed_out(struct wf_executor *on)
{
    struct wf_event started, release;
    wf_event_init(&started);
    wf_event_init(&release);
    hold_future f = hold_submit(on, &started, &release);
    check_int(wf_event_wait(&started, party_soon()), 0);
    int64_t before = wf_now();
    int value;
    struct wf_error error;
    check_int(hold_result(&f, &value, wf_after(WF_MILLISECONDS(20)), &error), -ETIMEDOUT);
    check(wf_now() - before >= WF_MILLISECONDS(20));
    check(strstr(error.text, "hold"));
    wf_event_set(&release); /* and can be awaited later (TMO-08) */
    check_int(hold_result(&f, &value, party_soon(), NULL), 0);
    wf_event_fini(&started);
}

static void a_timeout_leaves_the_handle(void **state)
{
    (void)state;
    ON_CONCURRENT(timed_out);
}

/* Errors nobody looks at */

static void unread(struct wf_executor *on)
{
    wfi_store(&hooked.count, 0);
    wf_event_init(&hooked.called);
    wf_set_error_hook(count_errors, NULL);
    refuse_future f = refuse_submit(on, -EIO, "lost");
    refuse_drop(&f);
    check_int(wf_event_wait(&hooked.called, party_soon()), 0);
    check_int(wfi_load(&hooked.count), 1);
    check_int(hooked.last.code, -EIO);
    check(strcmp(hooked.last.task, "refuse") == 0);
    check(strcmp(hooked.last.text, "no: lost") == 0);

    f = refuse_submit(on, -EIO, "seen");
    check_int(refuse_result(&f, NULL, party_soon(), NULL), -EIO);
    check_int(wfi_load(&hooked.count), 1);
    wf_set_error_hook(NULL, NULL);
    wf_event_fini(&hooked.called);
}

static void an_error_nobody_read_reaches_the_hook(void **state)
{
    (void)state;
    ON_ALL(unread);
}

/* Arguments and results that own something */

static WFI_ATOMIC(int) args_dropped, results_dropped;

WF_TASK(int, own, (int *, item), (struct wf_event *, release))

int own(struct wf_task *self, int *item, struct wf_event *release, int *ret)
{
    (void)self;
    int err = release ? wf_event_wait(release, party_soon()) : 0;
    *ret = *item;
    return err;
}

static void drop_args(void *args)
{
    struct own_args *a = args;
    free(a->item);
    wfi_fetch_add(&args_dropped, 1);
}

static void drop_result(void *result)
{
    (void)result;
    wfi_fetch_add(&results_dropped, 1);
}
WF_TASK_DEFINE_WITH(own, .drop_args = drop_args, .drop_result = drop_result)

static int *boxed(int value)
{
    int *box = malloc(sizeof *box);
    *box = value;
    return box;
}

/* EXE-09: the argument destructor runs exactly once: after a run, a cancel, a refusal. */
static void owned(struct wf_executor *on)
{
    wfi_store(&args_dropped, 0);
    wfi_store(&results_dropped, 0);
    int value;
    own_future f = own_submit(on, boxed(5), NULL);
    check_int(own_result(&f, &value, party_soon(), NULL), 0);
    check_int(value, 5);
    check_int(wfi_load(&args_dropped), 1);
    check_int(wfi_load(&results_dropped), 0);

    f = own_submit(on, boxed(6), NULL); /* fire and forget */
    own_drop(&f);
    wf_deadline give_up = party_soon();
    while (wfi_load(&results_dropped) < 1 && wf_now() < give_up.ns)
        wfi_yield();
    check_int(wfi_load(&args_dropped), 2);
    check_int(wfi_load(&results_dropped), 1);

    struct wf_event release;
    wf_event_init(&release);
    hold_future blockers[8];
    int count = fill(on, &release, blockers);
    if (count) {
        f = own_submit(on, boxed(7), NULL);
        check_int(wf_future_cancel(f.future), WF_CANCEL_REMOVED);
        check_int(wfi_load(&args_dropped), 3);
        own_drop(&f);
        wf_event_set(&release);
        for (int i = 0; i < count; i++)
            check_int(hold_result(&blockers[i], &value, party_soon(), NULL), 0);
    }
    int before = wfi_load(&args_dropped);
    check_int(wf_executor_shutdown(on, WF_SHUTDOWN_WAIT, party_soon()), 0);
    f = own_submit(on, boxed(8), NULL);
    check_int(own_result(&f, &value, WF_NOW, NULL), -EPIPE);
    check_int(wfi_load(&args_dropped), before + 1);
}

static void arguments_are_dropped_exactly_once(void **state)
{
    (void)state;
    ON_ALL(owned);
}

/* A task that waits for tasks on its own executor, at any size of it. */
WF_TASK(uint64_t, sum_to, (uint64_t, n))

int sum_to(struct wf_task *self, uint64_t n, uint64_t *ret)
{
    if (n == 0) {
        *ret = 0;
        return 0;
    }
    uint64_t rest = 0;
    sum_to_future f = sum_to_submit(wf_task_executor(self), n - 1);
    int err = sum_to_result(&f, &rest, n % 2 ? WF_FOREVER : party_soon(), NULL);
    *ret = rest + n;
    return err;
}
WF_TASK_DEFINE(sum_to)

static void nested(struct wf_executor *on)
{
    sum_to_future f[4];
    for (unsigned i = 0; i < 4; i++)
        f[i] = sum_to_submit(on, 50 + i);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t sum = 0;
        check_int(sum_to_result(&f[i], &sum, party_soon(), NULL), 0);
        check_int(sum, (50 + i) * (51 + i) / 2);
    }
}

static void nested_waits_do_not_deadlock(void **state)
{
    (void)state;
    ON_ALL(nested);
}

/* TMO-09: cancelling who waits cancels whom it waits for; a shielded one goes on. */
WF_TASK(int, wait_for, (struct wf_future *, other), (struct wf_event *, waiting))

int wait_for(struct wf_task *self, struct wf_future *other, struct wf_event *waiting, int *ret)
{
    (void)self;
    (void)ret;
    wf_event_set(waiting);
    int err = wf_future_wait(other, WF_FOREVER);
    if (err)
        return err;
    return wf_future_error(other, WF_NOW, NULL);
}
WF_TASK_DEFINE(wait_for)

static void cancel_goes_on(struct wf_executor *on)
{
    struct wf_executor *others = engine_start(&engines[1]);
    for (int shielded = 0; shielded < 2; shielded++) {
        struct wf_event started, release, waiting;
        wf_event_init(&started);
        wf_event_init(&release);
        wf_event_init(&waiting);
        hold_future f = hold_submit(others, &started, &release);
        check_int(wf_event_wait(&started, party_soon()), 0);
        if (shielded)
            wf_future_shield(f.future);
        wait_for_future w = wait_for_submit(on, f.future, &waiting);
        check_int(wf_event_wait(&waiting, party_soon()), 0);
        check_int(wf_future_cancel(w.future), WF_CANCEL_ASKED);
        check_int(wait_for_result(&w, NULL, party_soon(), NULL), -ECANCELED);
        int value = 0;
        if (shielded) {
            check_int(wf_future_state(f.future), WF_FUTURE_RUNNING);
            wf_event_set(&release);
            check_int(hold_result(&f, &value, party_soon(), NULL), 0);
            check_int(value, 42);
        } else {
            check_int(wf_future_state(f.future), WF_FUTURE_CANCELED);
            check_int(hold_result(&f, &value, WF_NOW, NULL), -ECANCELED);
        }
        wf_event_fini(&started);
        wf_event_fini(&release);
        wf_event_fini(&waiting);
    }
    wf_executor_destroy(others);
}

static void cancelling_the_waiter_cancels_what_it_waits_for(void **state)
{
    (void)state;
    ON_CONCURRENT(cancel_goes_on);
}

/* A cancel that comes between the claim of a task and the announcement of its frame. */
static void meets_the_start(struct wf_executor *on)
{
    struct wf_event release;
    wf_event_init(&release);
    /* Enough rounds to hit the window; a loaded machine gets fewer. */
    wf_deadline enough = wf_after(WF_MILLISECONDS(300));
    for (int round = 0; round < 3000 && wf_remaining(enough) > 0; round++) {
        hold_future f = hold_submit(on, NULL, &release);
        while (wf_future_state(f.future) == WF_FUTURE_PENDING)
            if (wfi_on_fiber())
                wfi_yield();
        check_int(wf_future_cancel(f.future), WF_CANCEL_ASKED);
        check_int(hold_result(&f, NULL, party_soon(), NULL), -ECANCELED);
    }
    wf_event_fini(&release);
}

static void a_cancel_that_meets_the_start_is_not_lost(void **state)
{
    (void)state;
    ON_CONCURRENT(meets_the_start);
}

/* Nothing is lost and nothing leaks when the n-th allocation fails. */
static void memory(struct wf_executor *on)
{
    for (int warm = 0; warm < 2; warm++) {
        give_future f = give_submit(on, 1);
        int value;
        check_int(give_result(&f, &value, party_soon(), NULL), 0);
    }
    for (uint64_t n = 1;; n++) {
        struct big big = {"x"}, out;
        int value = 0;
        wfi_alloc_watch(n);
        give_future f = give_submit(on, 5);
        grow_future g = grow_submit(on, big);
        refuse_future h = refuse_submit(on, -EIO, "text");
        int a = give_result(&f, &value, party_soon(), NULL);
        int b = grow_result(&g, &out, party_soon(), NULL);
        int c = refuse_result(&h, &value, party_soon(), NULL);
        bool reached = wfi_alloc_unwatch();
        check(a == 0 || a == -ENOMEM);
        check(b == 0 || b == -ENOMEM);
        check(c == -EIO || c == -ENOMEM);
        if (!reached) {
            check(a == 0 && b == 0 && c == -EIO);
            break;
        }
    }
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    ON_ALL(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(submit_to_result_is_the_same_on_every_engine),
        cmocka_unit_test(a_callback_runs_once_and_reads_the_outcome),
        cmocka_unit_test(a_failing_callback_disturbs_nobody),
        cmocka_unit_test(a_late_callback_runs_at_once),
        cmocka_unit_test(every_state_reads_and_cancels_as_it_should),
        cmocka_unit_test(a_waiter_wakes_with_the_value),
        cmocka_unit_test(a_timeout_leaves_the_handle),
        cmocka_unit_test(an_error_nobody_read_reaches_the_hook),
        cmocka_unit_test(arguments_are_dropped_exactly_once),
        cmocka_unit_test(nested_waits_do_not_deadlock),
        cmocka_unit_test(cancelling_the_waiter_cancels_what_it_waits_for),
        cmocka_unit_test(a_cancel_that_meets_the_start_is_not_lost),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
