/* SPDX-License-Identifier: MIT */
/* Scopes, deadlines, shields: conformance groups GRP and TMO. */
#include "engines.h"

#include <errno.h>

static WFI_ATOMIC(int) ran, asked, waiting;

WF_TASK(int, give, (int, value))
WF_TASK(int, hold, (struct wf_event *, release))
WF_TASK(int, fails, (int, code))
WF_TASK(int, fails_after, (struct wf_event *, release), (int, code))

int give(struct wf_task *self, int value, int *ret)
{
    (void)self;
    wfi_fetch_add(&ran, 1);
    *ret = value;
    return 0;
}
WF_TASK_DEFINE(give)

/* Waits to be let go; counts how often it was told to stop. */
int hold(struct wf_task *self, struct wf_event *release, int *ret)
{
    (void)self;
    wfi_fetch_add(&waiting, 1);
    int err = wf_event_wait(release, party_soon());
    if (err == -ECANCELED)
        wfi_fetch_add(&asked, 1);
    *ret = 1;
    return err;
}
WF_TASK_DEFINE(hold)

int fails(struct wf_task *self, int code, int *ret)
{
    (void)ret;
    return wf_task_fail(self, code, "failed with %d", code);
}
WF_TASK_DEFINE(fails)

/* Cancelled or not, its clean-up fails. */
int fails_after(struct wf_task *self, struct wf_event *release, int code, int *ret)
{
    (void)ret;
    wfi_fetch_add(&waiting, 1);
    int err = wf_event_wait(release, party_soon());
    WF_SHIELD(wf_after(WF_SECONDS(10))) {
        err = wf_sleep(wf_after(WF_MILLISECONDS(1)));
    }
    return wf_task_fail(self, code, "clean-up: %d", err);
}
WF_TASK_DEFINE(fails_after)

static void reset(void)
{
    wfi_store(&ran, 0);
    wfi_store(&asked, 0);
    wfi_store(&waiting, 0);
}

/* GRP-01 */
static void two_children(struct wf_executor *on)
{
    reset();
    struct wf_event release;
    wf_event_init(&release);
    struct wf_scope scope;
    int value = 0;
    wf_scope_open(&scope, on, WF_FOREVER);
    give_future a = give_spawn(&scope, 7);
    hold_future b = hold_spawn(&scope, &release);
    hold_future c = hold_spawn(&scope, &release);
    wf_future_cancel(c.future);
    wf_event_set(&release);
    check_int(wf_scope_join(&scope, NULL), 0);
    check_int(wf_scope_running(&scope), 0);
    check_int(give_result(&a, &value, WF_NOW, NULL), 0);
    check_int(value, 7);
    check_int(give_result(&a, &value, WF_NOW, NULL), 0); /* again, for the scope owns it */
    check_int(hold_result(&b, &value, WF_NOW, NULL), 0);
    int third = hold_result(&c, &value, WF_NOW, NULL);
    check(third == -ECANCELED || third == 0); /* 0: it was let go before it looked */
    check_int(wf_scope_close(&scope, NULL), 0);
    wf_event_fini(&release);
}

static void values_are_read_and_a_cancelled_child_disturbs_nobody(void **state)
{
    (void)state;
    ON_CONCURRENT(two_children);
}

/* GRP-02 */
static void child_fails(struct wf_executor *on)
{
    reset();
    struct wf_event release;
    wf_event_init(&release);
    struct wf_error error;
    int err = 0, body = 0;
    WF_SCOPE(scope, on, WF_FOREVER) {
        if (wf_executor_workers(on) > 1 || strcmp(wf_executor_engine(on), "fibers") == 0) {
            for (int i = 0; i < 2; i++)
                hold_spawn(scope, &release);
            party_reaches(&waiting, 2);
        }
        fails_spawn(scope, -EIO);
        body = wf_event_wait(&release, party_soon());
        err = wf_scope_join(scope, &error);
    }
    check_int(body, -ECANCELED);
    check_int(err, -EIO);
    check(strcmp(error.text, "failed with -5") == 0);
    check(strcmp(error.task, "fails") == 0);
    check_int(wfi_load(&asked), wfi_load(&waiting));
    check_int(wf_checkpoint(NULL), 0); /* GRP-09: nothing leaks out */
    check_int(wf_sleep(wf_after(1)), 0);
    wf_event_fini(&release);
}

static void a_failing_child_cancels_siblings_and_body(void **state)
{
    (void)state;
    ON_CONCURRENT(child_fails);
}

/* GRP-03: five children, the parent is cancelled. */
WF_TASK(int, parent, (struct wf_executor *, on), (struct wf_event *, release), (int *, children))

int parent(struct wf_task *self, struct wf_executor *on, struct wf_event *release, int *children,
           int *ret)
{
    (void)self;
    int err = 0;
    WF_SCOPE(scope, on, WF_FOREVER) {
        for (int i = 0; i < *children; i++)
            hold_spawn(scope, release);
        err = wf_scope_join(scope, NULL);
        check_int(wf_scope_running(scope), 0);
    }
    *ret = 3;
    return err;
}
WF_TASK_DEFINE(parent)

static void parent_cancelled(struct wf_executor *on)
{
    reset();
    struct wf_event release;
    wf_event_init(&release);
    int children = 5;
    struct wf_executor *others = engine_start(&engines[4]);
    parent_future f = parent_submit(on, others, &release, &children);
    party_reaches(&waiting, 5);
    check_int(wf_future_cancel(f.future), WF_CANCEL_ASKED);
    check_int(parent_result(&f, NULL, party_soon(), NULL), -ECANCELED);
    check_int(wfi_load(&asked), 5);
    wf_executor_destroy(others);
    wf_event_fini(&release);
}

static void cancelling_the_parent_reaches_each_child_once(void **state)
{
    (void)state;
    ON_CONCURRENT(parent_cancelled);
}

/* GRP-04 */
static void body_fails(struct wf_executor *on)
{
    reset();
    struct wf_event release;
    wf_event_init(&release);
    struct wf_scope scope;
    struct wf_error error;
    wf_scope_open(&scope, on, WF_FOREVER);
    hold_future f = hold_spawn(&scope, &release);
    party_reaches(&waiting, 1);
    check_int(wf_scope_fail(&scope, -ENOENT, "no page %d", 3), -ENOENT);
    check_int(wf_scope_close(&scope, &error), -ENOENT);
    check(strcmp(error.text, "no page 3") == 0);
    check_int(wfi_load(&asked), 1);
    (void)f;
    wf_event_fini(&release);
}

static void a_failing_body_cancels_and_joins_first(void **state)
{
    (void)state;
    ON_CONCURRENT(body_fails);
}

/* GRP-05, TMO-06 */
static void cleanup_fails(struct wf_executor *on)
{
    if (wf_executor_workers(on) == 1 && strcmp(wf_executor_engine(on), "threads") == 0)
        return;
    reset();
    struct wf_event release;
    wf_event_init(&release);
    struct wf_error error;
    int err = 0;
    WF_SCOPE(scope, on, WF_FOREVER) {
        fails_after_spawn(scope, &release, -EPROTO);
        fails_after_spawn(scope, &release, -EBADMSG);
        party_reaches(&waiting, 2);
        fails_spawn(scope, -EIO);
        err = wf_scope_join(scope, &error);
    }
    check_int(err, -EIO);
    check(strstr(error.text, "failed with -5; also fails_after: clean-up: 0; also") == error.text);
    wf_event_fini(&release);
}

static void errors_in_clean_up_are_in_the_groups_error(void **state)
{
    (void)state;
    ON_CONCURRENT(cleanup_fails);
}

/* GRP-06 */
static void nested_scopes(struct wf_executor *on)
{
    reset();
    struct wf_event release;
    wf_event_init(&release);
    int inner_err = 0, outer_err = 0;
    /* The inner one fails: its error stays inside, and the outer goes on. */
    WF_SCOPE(outer, on, WF_FOREVER) {
        WF_SCOPE(inner, on, WF_FOREVER) {
            fails_spawn(inner, -EIO);
            inner_err = wf_scope_join(inner, NULL);
        }
        give_spawn(outer, 1);
        outer_err = wf_scope_join(outer, NULL);
    }
    check_int(inner_err, -EIO);
    check_int(outer_err, 0);
    /* The outer one fails: the inner one is cancelled. */
    WF_SCOPE(outer, on, WF_FOREVER) {
        WF_SCOPE(inner, on, WF_FOREVER) {
            fails_spawn(outer, -EPROTO);
            hold_spawn(inner, &release);
            inner_err = wf_scope_join(inner, NULL);
        }
        outer_err = wf_scope_join(outer, NULL);
    }
    check_int(inner_err, -ECANCELED);
    check_int(outer_err, -EPROTO);
    wf_event_fini(&release);
}

static void scopes_nest(void **state)
{
    (void)state;
    ON_CONCURRENT(nested_scopes);
}

static int lost_errors;

static int count_lost(const struct wf_error *error, void *arg)
{
    (void)arg;
    check_int(error->code, -EIO);
    lost_errors++;
    return 0;
}

static int leaves_by_return(struct wf_executor *on, struct wf_event *release)
{
    WF_SCOPE(scope, on, WF_FOREVER) {
        give_spawn(scope, 1);
        wf_event_set(release);
        hold_spawn(scope, release);
        return 5;
    }
    return 6;
}

/* By break, return, goto, or the end: joined; an error that was not asked for goes to the hook. */
static void left_by_any_road(struct wf_executor *on)
{
    reset();
    struct wf_event release;
    wf_event_init(&release);
    check_int(leaves_by_return(on, &release), 5);
    check_int(wfi_load(&ran), 1);
    WF_SCOPE(scope, on, WF_FOREVER) {
        give_spawn(scope, 1);
        break;
    }
    check_int(wfi_load(&ran), 2);
    WF_SCOPE(scope, on, WF_FOREVER) {
        give_spawn(scope, 1);
        goto out;
    }
out:
    check_int(wfi_load(&ran), 3);
    lost_errors = 0;
    wf_set_error_hook(count_lost, NULL);
    WF_SCOPE(scope, on, WF_FOREVER) {
        fails_spawn(scope, -EIO);
    }
    check_int(lost_errors, 1);
    WF_SCOPE(scope, on, WF_FOREVER) {
        fails_spawn(scope, -EIO);
        check_int(wf_scope_join(scope, NULL), -EIO);
    }
    check_int(lost_errors, 1);
    wf_set_error_hook(NULL, NULL);
    wf_event_fini(&release);
}

static void a_scope_joins_by_whatever_road_it_is_left(void **state)
{
    (void)state;
    ON_ALL(left_by_any_road);
}

/* Children nobody asks for: their blocks go as they end. */
static void many_go(struct wf_executor *on)
{
    reset();
    int err = 0;
    WF_SCOPE(scope, on, WF_FOREVER) {
        for (int i = 0; i < 1000; i++)
            check_int(give_go(scope, i), 0);
        err = wf_scope_join(scope, NULL);
        check_int(wfi_load(&ran), 1000);
        fails_go(scope, -EIO);
        err = wf_scope_join(scope, NULL);
        check_int(err, -EIO);
        check_int(give_go(scope, 1), -ECANCELED);
    }
    check_int(wfi_load(&ran), 1000);
}

static void children_may_be_let_go(void **state)
{
    (void)state;
    ON_ALL(many_go);
}

/* A task opens a scope on its own executor, with one worker: joining must not deadlock. */
WF_TASK(uint64_t, tree, (int, depth))

int tree(struct wf_task *self, int depth, uint64_t *ret)
{
    (void)self;
    *ret = 1;
    if (depth == 0)
        return 0;
    int err = 0;
    WF_SCOPE(scope, NULL, WF_FOREVER) {
        tree_future left = tree_spawn(scope, depth - 1), right = tree_spawn(scope, depth - 1);
        uint64_t l = 0, r = 0;
        err = wf_scope_join(scope, NULL);
        tree_result(&left, &l, WF_NOW, NULL);
        tree_result(&right, &r, WF_NOW, NULL);
        *ret += l + r;
    }
    return err;
}
WF_TASK_DEFINE(tree)

static void scopes_in_tasks(struct wf_executor *on)
{
    uint64_t nodes = 0;
    tree_future f = tree_submit(on, 7);
    check_int(tree_result(&f, &nodes, party_soon(), NULL), 0);
    check_int(nodes, 255);
}

static void scopes_on_the_tasks_own_executor_do_not_deadlock(void **state)
{
    (void)state;
    ON_ALL(scopes_in_tasks);
}

/* TMO-01 */
static void deadline_moves(struct wf_executor *on)
{
    reset();
    struct wf_event never;
    wf_event_init(&never);
    struct wf_error error;
    int err = 0, body = 0;
    bool expired = false;
    int64_t before = wf_now();
    WF_SCOPE(scope, on, wf_after(WF_MILLISECONDS(20))) {
        hold_spawn(scope, &never);
        body = wf_event_wait(&never, WF_FOREVER);
        err = wf_scope_join(scope, &error);
        expired = wf_scope_expired(scope);
        check_int(wf_scope_set_deadline(scope, WF_FOREVER), WF_ESTATE);
    }
    check_int(body, -ECANCELED);
    check_int(err, -ETIMEDOUT);
    check(expired);
    check(wf_now() - before >= WF_MILLISECONDS(20));
    check_int(wf_checkpoint(NULL), 0);

    /* Moved away: it passes unnoticed. */
    WF_SCOPE(scope, on, wf_after(WF_MILLISECONDS(5))) {
        check_int(wf_scope_set_deadline(scope, WF_FOREVER), 0);
        check_int(wf_sleep(wf_after(WF_MILLISECONDS(8))), 0);
        err = wf_scope_join(scope, NULL);
        expired = wf_scope_expired(scope);
    }
    check_int(err, 0);
    check(!expired);

    /* Moved near, with a child that waits already. */
    before = wf_now();
    wfi_store(&waiting, 0);
    WF_SCOPE(scope, on, wf_after(WF_SECONDS(100))) {
        hold_spawn(scope, &never);
        party_reaches(&waiting, 1);
        check_int(wf_scope_set_deadline(scope, wf_after(WF_MILLISECONDS(10))), 0);
        err = wf_scope_join(scope, NULL);
    }
    check_int(err, -ETIMEDOUT);
    check(wf_now() - before < WF_SECONDS(50));

    /* Moved away while a child waits under the old one, which is as short as the machine lets the
     * child get there. */
    struct wf_event release;
    wf_event_init(&release);
    bool moved = false;
    for (int64_t patience = WF_MILLISECONDS(15); !moved; patience *= 2) {
        wfi_store(&waiting, 0);
        WF_SCOPE(scope, on, wf_after(patience)) {
            hold_spawn(scope, &release);
            while (wfi_load(&waiting) == 0 && wf_checkpoint(NULL) == 0)
                wf_yield();
            moved = wfi_load(&waiting) && wf_scope_set_deadline(scope, WF_FOREVER) == 0;
            if (moved) {
                check_int(wf_sleep(wf_after(2 * patience)), 0);
                wf_event_set(&release);
                check_int(wf_scope_join(scope, NULL), 0);
            } else {
                wf_scope_join(scope, NULL);
            }
        }
    }
    wf_event_fini(&release);
    wf_event_fini(&never);
}

static void a_deadline_ends_the_scope_and_can_be_moved(void **state)
{
    (void)state;
    ON_CONCURRENT(deadline_moves);
}

/* TMO-02 */
static void not_expired(struct wf_executor *on)
{
    reset();
    struct wf_event release;
    wf_event_init(&release);
    int err = 0;
    bool expired = true;
    WF_SCOPE(scope, on, wf_after(WF_SECONDS(100))) {
        fails_spawn(scope, -EIO);
        err = wf_scope_join(scope, NULL);
        expired = wf_scope_expired(scope);
    }
    check_int(err, -EIO);
    check(!expired);
    int outer_err = 0;
    WF_SCOPE(outer, on, WF_FOREVER) {
        WF_SCOPE(scope, on, wf_after(WF_SECONDS(100))) {
            wf_scope_cancel(outer);
            err = wf_event_wait(&release, party_soon());
            check_int(err, -ECANCELED);
            err = wf_scope_join(scope, NULL);
            expired = wf_scope_expired(scope);
        }
        outer_err = wf_scope_join(outer, NULL);
    }
    check_int(err, -ECANCELED);
    check(!expired);
    check_int(outer_err, -ECANCELED);
    wf_event_fini(&release);
}

static void other_ends_before_the_deadline_come_out_as_they_are(void **state)
{
    (void)state;
    ON_ALL(not_expired);
}

/* TMO-03 */
static void same_deadline(struct wf_executor *on)
{
    reset();
    struct wf_event never;
    wf_event_init(&never);
    wf_deadline deadline = wf_after(WF_MILLISECONDS(10));
    int inner_err = 0, outer_err = 0;
    bool inner_expired = false, outer_expired = false;
    WF_SCOPE(outer, on, deadline) {
        WF_SCOPE(inner, on, deadline) {
            hold_spawn(inner, &never);
            inner_err = wf_scope_join(inner, NULL);
            inner_expired = wf_scope_expired(inner);
        }
        outer_err = wf_scope_join(outer, NULL);
        outer_expired = wf_scope_expired(outer);
    }
    check(inner_expired && outer_expired);
    check_int(inner_err, -ECANCELED);
    check_int(outer_err, -ETIMEDOUT);
    wf_event_fini(&never);
}

static void nested_deadlines_give_one_timeout(void **state)
{
    (void)state;
    ON_CONCURRENT(same_deadline);
}

/* TMO-05 */
static void past_deadline(struct wf_executor *on)
{
    reset();
    int err = 0, value = 0;
    give_future f = give_submit(on, 3);
    check_int(wf_future_wait(f.future, party_soon()), 0);
    check_int(wfi_load(&ran), 1);
    WF_SCOPE(scope, on, WF_NOW) {
        check_int(give_result(&f, &value, WF_NOW, NULL), 0); /* has ended: its value */
        check_int(value, 3);
        give_spawn(scope, 1); /* never starts */
        check_int(wf_sleep(WF_FOREVER), -ECANCELED);
        err = wf_scope_join(scope, NULL);
    }
    check_int(err, -ETIMEDOUT);
    check_int(wfi_load(&ran), 1);
}

static void a_past_deadline_holds_at_the_first_wait(void **state)
{
    (void)state;
    ON_ALL(past_deadline);
}

/* A computing task sees the scope's deadline in its checkpoint. */
WF_TASK(wf_none, spin)

int spin(struct wf_task *self, wf_none *ret)
{
    (void)ret;
    int err;
    while (!(err = wf_checkpoint(self)))
        continue;
    return err;
}
WF_TASK_DEFINE(spin)

static void computing(struct wf_executor *on)
{
    int err = 0;
    WF_SCOPE(scope, on, wf_after(WF_MILLISECONDS(10))) {
        spin_spawn(scope);
        err = wf_scope_join(scope, NULL);
    }
    check_int(err, -ETIMEDOUT);
    spin_future f = spin_submit(on);
    while (wf_future_state(f.future) == WF_FUTURE_PENDING)
        wfi_yield();
    check_int(wf_future_cancel(f.future), WF_CANCEL_ASKED);
    check_int(spin_result(&f, NULL, party_soon(), NULL), -ECANCELED);
}

static void checkpoints_stop_tasks_that_compute(void **state)
{
    (void)state;
    ON_CONCURRENT(computing);
}

/* A shield keeps cancellation out, and its own deadline holds. */
static void shields(struct wf_executor *on)
{
    struct wf_event never;
    wf_event_init(&never);
    WF_SCOPE(scope, on, WF_FOREVER) {
        wf_scope_cancel(scope);
        check_int(wf_sleep(wf_after(1)), -ECANCELED);
        WF_SHIELD(wf_after(WF_MILLISECONDS(100))) {
            check_int(wf_sleep(wf_after(WF_MILLISECONDS(1))), 0);
            check_int(wf_event_wait(&never, WF_FOREVER), -ECANCELED);
        }
        check_int(wf_sleep(wf_after(1)), -ECANCELED);
    }
    wf_event_fini(&never);
}

static void a_shield_keeps_cancellation_out(void **state)
{
    (void)state;
    ON_ALL(shields);
}

/* Cancel, failure, completion and deadline race; whoever wins, everything ends and adds up. */
static void races(struct wf_executor *on)
{
    struct wfi_random random;
    wfi_random_seed(&random, 1);
    for (int round = 0; round < 200; round++) {
        reset();
        struct wf_event release;
        wf_event_init(&release);
        int err = 0, dice = (int)wfi_random_below(&random, 4);
        wf_deadline deadline = dice == 0 ? wf_after(WF_MICROSECONDS(50)) : WF_FOREVER;
        WF_SCOPE(scope, on, deadline) {
            hold_future f[6];
            for (int i = 0; i < 6; i++)
                f[i] = hold_spawn(scope, &release);
            if (dice == 1)
                fails_spawn(scope, -EIO);
            if (dice == 2)
                wf_future_cancel(f[round % 6].future);
            if (dice == 3)
                wf_scope_cancel(scope);
            wf_event_set(&release);
            err = wf_scope_join(scope, NULL);
            for (int i = 0; i < 6; i++) {
                int code = hold_result(&f[i], NULL, WF_NOW, NULL);
                check(code == 0 || code == -ECANCELED);
                check(code == 0 || dice != 2 || i == round % 6);
            }
        }
        check(err == 0 || err == -EIO || err == -ETIMEDOUT || err == -ECANCELED);
        if (dice == 1)
            check_int(err, -EIO);
        if (dice == 2)
            check_int(err, 0);
        wf_event_fini(&release);
    }
}

static void every_end_races_with_every_other(void **state)
{
    (void)state;
    ON_CONCURRENT(races);
}

static void memory(struct wf_executor *on)
{
    for (uint64_t n = 1;; n++) {
        int err = 0;
        bool reached = false;
        WF_SCOPE(scope, on, WF_FOREVER) {
            wfi_alloc_watch(n);
            give_spawn(scope, 1);
            give_go(scope, 1);
            fails_spawn(scope, -EIO);
            err = wf_scope_join(scope, NULL);
            reached = wfi_alloc_unwatch();
        }
        check(err == -EIO || (reached && (err == -ENOMEM || err == -EAGAIN)));
        if (!reached)
            break;
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
        cmocka_unit_test(values_are_read_and_a_cancelled_child_disturbs_nobody),
        cmocka_unit_test(a_failing_child_cancels_siblings_and_body),
        cmocka_unit_test(cancelling_the_parent_reaches_each_child_once),
        cmocka_unit_test(a_failing_body_cancels_and_joins_first),
        cmocka_unit_test(errors_in_clean_up_are_in_the_groups_error),
        cmocka_unit_test(scopes_nest),
        cmocka_unit_test(a_scope_joins_by_whatever_road_it_is_left),
        cmocka_unit_test(children_may_be_let_go),
        cmocka_unit_test(scopes_on_the_tasks_own_executor_do_not_deadlock),
        cmocka_unit_test(a_deadline_ends_the_scope_and_can_be_moved),
        cmocka_unit_test(other_ends_before_the_deadline_come_out_as_they_are),
        cmocka_unit_test(nested_deadlines_give_one_timeout),
        cmocka_unit_test(a_past_deadline_holds_at_the_first_wait),
        cmocka_unit_test(checkpoints_stop_tasks_that_compute),
        cmocka_unit_test(a_shield_keeps_cancellation_out),
        cmocka_unit_test(every_end_races_with_every_other),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
