/* SPDX-License-Identifier: MIT */
/* The threads engine and shutting executors down: conformance groups THP and SHD. */
#include "engines.h"

#include <errno.h>
#include <unistd.h>

#include "os/cpu.h"

static WFI_ATOMIC(int) ran, running, most;

WF_TASK(wf_none, count)

int count(struct wf_task *self, wf_none *ret)
{
    (void)self;
    (void)ret;
    wfi_fetch_add(&ran, 1);
    return 0;
}
WF_TASK_DEFINE(count)

WF_TASK(int, block, (struct wf_event *, release))

int block(struct wf_task *self, struct wf_event *release, int *ret)
{
    (void)self;
    int now = wfi_fetch_add(&running, 1) + 1, seen = wfi_load(&most);
    while (now > seen && !wfi_cas(&most, &seen, now))
        continue;
    wfi_fetch_add(&ran, 1);
    int err = wf_event_wait(release, party_soon());
    wfi_fetch_sub(&running, 1);
    *ret = 1;
    return err;
}
WF_TASK_DEFINE(block)

struct name {
    char text[32];
};
WF_TASK(struct name, thread_name)

int thread_name(struct wf_task *self, struct name *ret)
{
    (void)self;
    snprintf(ret->text, sizeof ret->text, "%s", wfi_self()->name);
    return 0;
}
WF_TASK_DEFINE(thread_name)

static struct wf_executor *pool_of(struct wf_threads_options options)
{
    struct wf_executor *on;
    check_int(wf_threads_create(&options, &on, NULL), 0);
    return on;
}

static void reach(WFI_ATOMIC(int) * flag, int value)
{
    party_reaches(flag, value);
}

/* THP-01 */
static void the_default_size_follows_the_formula(void **state)
{
    (void)state;
    unsigned cpus = (unsigned)wfi_cpu_count(NULL, 0);
    struct wf_executor *on;
    assert_int_equal(wf_threads_create(NULL, &on, NULL), 0);
    assert_int_equal(wf_executor_workers(on), cpus + 4 < 32 ? cpus + 4 : 32);
    assert_int_equal(wf_threads_workers_default(), wf_executor_workers(on));
    wf_executor_destroy(on);
}

/* THP-02: never more threads than allowed; tasks one after another use one thread. */
static void threads_are_bounded_and_used_again(void **state)
{
    (void)state;
    wfi_store(&ran, 0);
    wfi_store(&most, 0);
    struct wf_event release;
    wf_event_init(&release);
    struct wf_executor *on = pool_of((struct wf_threads_options){.workers = 4});
    block_future f[60];
    for (int i = 0; i < 60; i++)
        f[i] = block_submit(on, &release);
    reach(&ran, 4);
    wf_event_set(&release);
    for (int i = 0; i < 60; i++)
        assert_int_equal(block_result(&f[i], NULL, party_soon(), NULL), 0);
    assert_int_equal(wfi_load(&most), 4);
    wf_executor_destroy(on);

    on = pool_of((struct wf_threads_options){.workers = 4, .name = "seq"});
    for (int i = 0; i < 300; i++) {
        struct name name;
        thread_name_future g = thread_name_submit(on);
        assert_int_equal(thread_name_result(&g, &name, party_soon(), NULL), 0);
        assert_string_equal(name.text, "seq_0");
    }
    wf_executor_destroy(on);
    wf_event_fini(&release);
}

/* THP-03 */
static void threads_have_names(void **state)
{
    (void)state;
    struct wf_event release;
    wf_event_init(&release);
    for (int named = 0; named < 2; named++) {
        wfi_store(&ran, 0);
        wf_event_clear(&release);
        struct wf_executor *on =
            pool_of((struct wf_threads_options){.workers = 3, .name = named ? "fetch" : NULL});
        block_future f[2];
        for (int i = 0; i < 2; i++)
            f[i] = block_submit(on, &release);
        reach(&ran, 2);
        struct name name;
        thread_name_future g = thread_name_submit(on);
        assert_int_equal(thread_name_result(&g, &name, party_soon(), NULL), 0);
        if (named)
            assert_string_equal(name.text, "fetch_2");
        else
            assert_true(strncmp(name.text, "threads", 7) == 0 && strstr(name.text, "_2"));
        wf_event_set(&release);
        for (int i = 0; i < 2; i++)
            assert_int_equal(block_result(&f[i], NULL, party_soon(), NULL), 0);
        wf_executor_destroy(on);
    }
    wf_event_fini(&release);
}

static WFI_ATOMIC(int) starts, stops, start_code;

static int start(void *arg, struct wf_error *reterr)
{
    assert_ptr_equal(arg, &starts);
    wfi_fetch_add(&starts, 1);
    int code = wfi_load(&start_code);
    return code ? wf_error_set(reterr, code, "no database") : 0;
}

static void stop(void *arg)
{
    (void)arg;
    wfi_fetch_add(&stops, 1);
}

WF_TASK(int, started)

int started(struct wf_task *self, int *ret)
{
    (void)self;
    *ret = wfi_load(&starts);
    return 0;
}
WF_TASK_DEFINE(started)

/* THP-04 */
static void the_initialiser_runs_before_the_first_task(void **state)
{
    (void)state;
    wfi_store(&starts, 0);
    wfi_store(&stops, 0);
    wfi_store(&start_code, 0);
    struct wf_executor *on = pool_of(
        (struct wf_threads_options){.workers = 2, .start = start, .stop = stop, .arg = &starts});
    for (int i = 0; i < 5; i++) {
        int seen = 0;
        started_future f = started_submit(on);
        assert_int_equal(started_result(&f, &seen, party_soon(), NULL), 0);
        assert_true(seen > 0);
    }
    assert_int_equal(wf_executor_shutdown(on, WF_SHUTDOWN_WAIT, party_soon()), 0);
    assert_int_equal(wfi_load(&starts), wfi_load(&stops));
    wf_executor_destroy(on);
}

/* THP-05 */
static void a_failing_initialiser_breaks_the_pool(void **state)
{
    (void)state;
    wfi_store(&start_code, -ECONNREFUSED);
    struct wf_executor *on = pool_of(
        (struct wf_threads_options){.workers = 2, .start = start, .stop = stop, .arg = &starts});
    struct wf_error error;
    count_future f[10];
    for (int i = 0; i < 10; i++)
        f[i] = count_submit(on);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(count_result(&f[i], NULL, party_soon(), &error), WF_EBROKEN);
        assert_non_null(strstr(error.text, "no database"));
    }
    f[0] = count_submit(on);
    assert_int_equal(wf_future_state(f[0].future), WF_FUTURE_FAILED);
    assert_int_equal(count_result(&f[0], NULL, WF_NOW, &error), WF_EBROKEN);
    wf_executor_destroy(on);
    wfi_store(&start_code, 0);
}

/* EXE-05 */
static void bad_numbers_are_refused(void **state)
{
    (void)state;
    struct wf_executor *on = (void *)1;
    struct wf_error error;
    assert_int_equal(wf_threads_create(&(struct wf_threads_options){.workers = -1}, &on, &error),
                     -EINVAL);
    assert_ptr_equal(on, (void *)1);
    assert_non_null(strstr(error.text, "workers"));
    assert_int_equal(wf_fibers_create(&(struct wf_fibers_options){.workers = -1}, &on, &error),
                     -EINVAL);
    assert_ptr_equal(on, (void *)1);
}

static void idle_threads_end(void **state)
{
    (void)state;
    wfi_store(&starts, 0);
    wfi_store(&stops, 0);
    struct wf_executor *on = pool_of((struct wf_threads_options){
        .workers = 2, .start = start, .stop = stop, .arg = &starts, .idle_ns = WF_MILLISECONDS(1)});
    for (int round = 1; round <= 3; round++) {
        count_future f = count_submit(on);
        assert_int_equal(count_result(&f, NULL, party_soon(), NULL), 0);
        reach(&stops, round); /* ended without work, and a new one comes when there is some */
    }
    wf_executor_destroy(on);
}

/* Priorities */

static WFI_ATOMIC(int) turn;

WF_TASK(int, take_turn)

int take_turn(struct wf_task *self, int *ret)
{
    (void)self;
    *ret = wfi_fetch_add(&turn, 1);
    return 0;
}
WF_TASK_DEFINE(take_turn)

static void higher_priorities_run_first(void **state)
{
    (void)state;
    struct wf_event release;
    wf_event_init(&release);
    wfi_store(&ran, 0);
    wfi_store(&turn, 0);
    struct wf_executor *on = pool_of((struct wf_threads_options){.workers = 1});
    block_future b = block_submit(on, &release);
    reach(&ran, 1);
    static const int priorities[] = {0, -3, 3, 1, 3};
    static const int turns[] = {3, 4, 0, 2, 1};
    take_turn_future f[5];
    for (int i = 0; i < 5; i++)
        f[i] = take_turn_submit_with(
            on, &(struct wf_submit_options){.priority = priorities[i], .name = "turn"});
    assert_string_equal(wf_future_name(f[0].future), "turn");
    wf_event_set(&release);
    for (int i = 0; i < 5; i++) {
        int at = -1;
        assert_int_equal(take_turn_result(&f[i], &at, party_soon(), NULL), 0);
        assert_int_equal(at, turns[i]);
    }
    assert_int_equal(block_result(&b, NULL, party_soon(), NULL), 0);
    f[0] = take_turn_submit_with(on, &(struct wf_submit_options){.priority = 4});
    assert_int_equal(take_turn_result(&f[0], NULL, WF_NOW, NULL), -EINVAL);
    wf_executor_destroy(on);
    wf_event_fini(&release);
}

/* The bounded submission queue */

static void a_full_queue_holds_then_refuses(void **state)
{
    (void)state;
    struct wf_event release;
    wf_event_init(&release);
    wfi_store(&ran, 0);
    struct wf_executor *on = pool_of((struct wf_threads_options){
        .workers = 1, .queue_max = 2, .submit_wait_ns = WF_MILLISECONDS(20)});
    block_future b = block_submit(on, &release);
    reach(&ran, 1);
    count_future f[3];
    struct wf_error error;
    f[0] = count_submit(on);
    f[1] = count_submit(on);
    int64_t before = wf_now();
    f[2] = count_submit(on);
    assert_true(wf_now() - before >= WF_MILLISECONDS(20));
    assert_int_equal(count_result(&f[2], NULL, WF_NOW, &error), -EAGAIN);
    /* A cancelled one makes room at once. */
    assert_int_equal(wf_future_cancel(f[0].future), WF_CANCEL_REMOVED);
    f[2] = count_submit(on);
    assert_int_equal(wf_future_state(f[2].future), WF_FUTURE_PENDING);
    wf_event_set(&release);
    assert_int_equal(count_result(&f[0], NULL, WF_NOW, NULL), -ECANCELED);
    assert_int_equal(count_result(&f[1], NULL, party_soon(), NULL), 0);
    assert_int_equal(count_result(&f[2], NULL, party_soon(), NULL), 0);
    assert_int_equal(block_result(&b, NULL, party_soon(), NULL), 0);
    wf_executor_destroy(on);
    wf_event_fini(&release);
}

struct submitting {
    struct wf_executor *on;
    WFI_ATOMIC(int) begun, done;
};

static void *submit_many(void *arg)
{
    struct submitting *s = arg;
    wfi_store(&s->begun, 1);
    for (int i = 0; i < 200; i++) {
        count_future f = count_submit(s->on);
        count_drop(&f);
    }
    wfi_store(&s->done, 1);
    return NULL;
}

static void held_submitters_are_let_in(void **state)
{
    (void)state;
    wfi_store(&ran, 0);
    struct submitting s = {.on = pool_of((struct wf_threads_options){
                               .workers = 2, .queue_max = 1, .submit_wait_ns = WF_SECONDS(60)})};
    struct wfi_thread threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(wfi_thread_start(&threads[i], "submitter", 0, submit_many, &s), 0);
    for (int i = 0; i < 3; i++)
        wfi_thread_join(&threads[i]);
    assert_int_equal(wf_executor_shutdown(s.on, WF_SHUTDOWN_WAIT, party_soon()), 0);
    assert_int_equal(wfi_load(&ran), 600);
    wf_executor_destroy(s.on);
}

/* Cancelled tasks do not pile up behind a busy thread. */
static void tombstones_are_swept(void **state)
{
    (void)state;
    struct wf_event release;
    wf_event_init(&release);
    wfi_store(&ran, 0);
    struct wf_executor *on = pool_of((struct wf_threads_options){.workers = 1});
    block_future b = block_submit(on, &release);
    reach(&ran, 1);
    count_future first = count_submit(on), last;
    for (int i = 0; i < 5000; i++) {
        count_future f = count_submit(on);
        assert_int_equal(wf_future_cancel(f.future), WF_CANCEL_REMOVED);
        assert_int_equal(count_result(&f, NULL, WF_NOW, NULL), -ECANCELED);
    }
    last = count_submit(on);
    wf_event_set(&release);
    assert_int_equal(count_result(&first, NULL, party_soon(), NULL), 0);
    assert_int_equal(count_result(&last, NULL, party_soon(), NULL), 0);
    assert_int_equal(block_result(&b, NULL, party_soon(), NULL), 0);
    assert_int_equal(wfi_load(&ran), 3);
    wf_executor_destroy(on);
    wf_event_fini(&release);
}

/* SHD-01 */
static void closed(struct wf_executor *on)
{
    struct wf_error error;
    check_int(wf_executor_shutdown(on, WF_SHUTDOWN_WAIT, party_soon()), 0);
    count_future f = count_submit(on);
    check_int(wf_future_state(f.future), WF_FUTURE_FAILED);
    check_int(count_result(&f, NULL, WF_NOW, &error), -EPIPE);
    check_int(wf_executor_shutdown(on, WF_SHUTDOWN_WAIT, party_soon()), 0);
}

static void submit_after_shutdown_is_refused(void **state)
{
    (void)state;
    ON_ALL(closed);
}

/* SHD-02 */
static void drained(struct wf_executor *on)
{
    count_future f[50];
    wfi_store(&ran, 0);
    for (int i = 0; i < 50; i++)
        f[i] = count_submit(on);
    check_int(wf_executor_shutdown(on, WF_SHUTDOWN_WAIT, party_soon()), 0);
    check_int(wfi_load(&ran), 50);
    for (int i = 0; i < 50; i++)
        check_int(count_result(&f[i], NULL, WF_NOW, NULL), 0);
}

static void shutdown_waits_for_all(void **state)
{
    (void)state;
    ON_ALL(drained);
}

/* SHD-03 */
static void cancelled(struct wf_executor *on)
{
    struct wf_event release;
    wf_event_init(&release);
    block_future first = block_submit(on, &release);
    wfi_store(&ran, 0);
    count_future f[50];
    block_future all[8];
    int threads = strcmp(wf_executor_engine(on), "threads") == 0 ? (int)wf_executor_workers(on) : 0;
    for (int i = 0; i < threads; i++)
        all[i] = block_submit(on, &release);
    for (int begun = 0; begun < threads; wfi_yield()) { /* no thread is left for what follows */
        begun = wf_future_state(first.future) == WF_FUTURE_RUNNING;
        for (int i = 0; i < threads; i++)
            begun += wf_future_state(all[i].future) == WF_FUTURE_RUNNING;
    }
    for (int i = 0; i < 50; i++)
        f[i] = count_submit(on);
    check_int(wf_executor_shutdown(on, WF_SHUTDOWN_CANCEL, WF_NOW), -ETIMEDOUT);
    wf_event_set(&release);
    check_int(wf_executor_shutdown(on, WF_SHUTDOWN_CANCEL, party_soon()), 0);
    int done = 0, canceled = 0;
    for (int i = 0; i < 50; i++) {
        int err = count_result(&f[i], NULL, WF_NOW, NULL);
        check(err == 0 || err == -ECANCELED);
        done += err == 0;
        canceled += err == -ECANCELED;
    }
    check_int(done + canceled, 50);
    if (threads)
        check_int(canceled, 50);
    int ended = block_result(&first, NULL, WF_NOW, NULL);
    check(ended == 0 || ended == -ECANCELED);
    for (int i = 0; i < threads; i++) {
        ended = block_result(&all[i], NULL, WF_NOW, NULL);
        check(ended == 0 || ended == -ECANCELED);
    }
    wf_event_fini(&release);
}

WF_TASK(int, block_within, (struct wf_event *, release))

/* Waits for a task of its own pool, and so runs it itself. */
int block_within(struct wf_task *self, struct wf_event *release, int *ret)
{
    block_future f = block_submit(wf_task_executor(self), release);
    return block_result(&f, ret, WF_FOREVER, NULL);
}
WF_TASK_DEFINE(block_within)

static void shutdown_leaves_alone_what_a_waiter_runs(void **state)
{
    (void)state;
    struct wf_executor *on;
    struct wf_event release;
    wf_event_init(&release);
    wfi_store(&ran, 0);
    assert_int_equal(wf_threads_create(&(struct wf_threads_options){.workers = 1}, &on, NULL), 0);
    block_within_future f = block_within_submit(on, &release);
    reach(&ran, 1);
    assert_int_equal(wf_executor_shutdown(on, WF_SHUTDOWN_CANCEL, WF_NOW), -ETIMEDOUT);
    wf_event_set(&release);
    assert_int_equal(block_within_result(&f, NULL, party_soon(), NULL), 0);
    wf_executor_destroy(on);
    wf_event_fini(&release);
}

static void shutdown_cancels_what_has_not_started(void **state)
{
    (void)state;
    ON_CONCURRENT(cancelled);
}

/* SHD-04, the first half: returns at once, and the work goes on. */
static void unwatched(struct wf_executor *on)
{
    struct wf_event release;
    wf_event_init(&release);
    wfi_store(&ran, 0);
    block_future f = block_submit(on, &release);
    reach(&ran, 1);
    check_int(wf_executor_shutdown(on, WF_SHUTDOWN_NO_WAIT, WF_NOW), 0);
    check_int(wf_future_state(f.future), WF_FUTURE_RUNNING);
    wf_event_set(&release);
    check_int(block_result(&f, NULL, party_soon(), NULL), 0);
    check_int(wf_executor_shutdown(on, WF_SHUTDOWN_WAIT, party_soon()), 0);
    wf_event_fini(&release);
}

static void shutdown_need_not_wait(void **state)
{
    (void)state;
    ON_CONCURRENT(unwatched);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct wf_executor *on = NULL;
        wfi_alloc_watch(n);
        int err = wf_threads_create(&(struct wf_threads_options){.workers = 2}, &on, NULL);
        if (!err) {
            count_future f = count_submit(on);
            int code = count_result(&f, NULL, party_soon(), NULL);
            assert_true(code == 0 || code == -ENOMEM || code == -EAGAIN || code == WF_EBROKEN);
            wf_executor_destroy(on);
        } else {
            assert_int_equal(err, -ENOMEM);
        }
        if (!wfi_alloc_unwatch())
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_size_follows_the_formula),
        cmocka_unit_test(threads_are_bounded_and_used_again),
        cmocka_unit_test(threads_have_names),
        cmocka_unit_test(the_initialiser_runs_before_the_first_task),
        cmocka_unit_test(a_failing_initialiser_breaks_the_pool),
        cmocka_unit_test(bad_numbers_are_refused),
        cmocka_unit_test(idle_threads_end),
        cmocka_unit_test(higher_priorities_run_first),
        cmocka_unit_test(a_full_queue_holds_then_refuses),
        cmocka_unit_test(held_submitters_are_let_in),
        cmocka_unit_test(tombstones_are_swept),
        cmocka_unit_test(submit_after_shutdown_is_refused),
        cmocka_unit_test(shutdown_waits_for_all),
        cmocka_unit_test(shutdown_cancels_what_has_not_started),
        cmocka_unit_test(shutdown_leaves_alone_what_a_waiter_runs),
        cmocka_unit_test(shutdown_need_not_wait),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
