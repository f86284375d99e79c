/* SPDX-License-Identifier: MIT */
/* The processes engine: tasks there and back, deaths, cancelling, limits. Groups PRP, DLK, EXE,
 * SHD. */
#include "engines.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <weft/inspect.h>
#include <weft/local.h>
#include <weft/main.h>
#include <weft/processes.h>

#include "base/alloc.h"
#include "os/sanitizer.h"
#include "storm.h"

static struct wf_executor *pool_of(struct wf_processes_options options)
{
    struct wf_executor *on = NULL;
    struct wf_error error = {0};
    if (wf_processes_create(&options, &on, &error))
        fail_msg("%s", error.text);
    return on;
}

WF_TASK(int64_t, square, (int64_t, n))
WF_TASK(int, process_id, (int, unused))
WF_TASK(int, die, (int, signo), (int, status))

int square(struct wf_task *self, int64_t n, int64_t *ret)
{
    if (n < 0)
        return wf_task_fail(self, -EDOM, "no root: %d", (int)n);
    *ret = n * n;
    return 0;
}
WF_TASK_DEFINE(square)

int process_id(struct wf_task *self, int unused, int *ret)
{
    (void)self;
    (void)unused;
    *ret = getpid();
    return 0;
}
WF_TASK_DEFINE(process_id)

int die(struct wf_task *self, int signo, int status, int *ret)
{
    (void)self;
    *ret = 0;
    fprintf(stderr, "the last words\n");
    if (signo)
        raise(signo);
    else
        exit(status);
    return 0;
}
WF_TASK_DEFINE(die)

WF_TASK(int, deaf, (int, unused))
int deaf(struct wf_task *self, int unused, int *ret)
{
    (void)self, (void)unused, (void)ret;
    for (;;)
        pause();
}
WF_TASK_DEFINE(deaf)

/* Whatever its grace, and however deaf it is. */
static void a_task_is_killed_at_once(void **state)
{
    (void)state;
    struct wf_executor *on =
        pool_of((struct wf_processes_options){.workers = 1, .grace_ns = -1, .restarts_max = 1});
    for (int i = 0; i < 3; i++) { /* more than may die by themselves */
        deaf_future f = deaf_submit(on, 0), queued = deaf_submit(on, 0);
        while (wf_future_state(f.future) == WF_FUTURE_PENDING)
            wf_yield();
        assert_int_equal(wf_processes_kill_task(queued.future), WF_CANCEL_REMOVED);
        enum wf_cancel_result result;
        while ((result = wf_processes_kill_task(f.future)) == WF_CANCEL_ASKED)
            wf_yield();
        if (result == WF_CANCEL_KILLED)
            assert_int_equal(wf_future_wait(f.future, party_soon()), 0);
        assert_int_equal(wf_future_state(f.future), WF_FUTURE_CANCELED);
        assert_int_equal(wf_processes_kill_task(f.future), WF_CANCEL_REMOVED);
        deaf_drop(&f);
        deaf_drop(&queued);
        int64_t value = 0;
        square_future s = square_submit(on, 5);
        assert_int_equal(square_result(&s, &value, party_soon(), NULL), 0);
        assert_int_equal(value, 25);
    }
    wf_executor_destroy(on);
}

/* PRP-03 */
static void tasks_run_in_other_processes(void **state)
{
    (void)state;
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 2});
    square_future f[100];
    for (int i = 0; i < 100; i++)
        f[i] = square_submit(on, i);
    for (int i = 0; i < 100; i++) {
        int64_t value = -1;
        struct wf_error error = {0};
        int err = square_result(&f[i], &value, party_soon(), &error);
        if (err)
            fail_msg("%d: %s", i, error.text);
        assert_int_equal(value, i * i);
    }
    process_id_future p = process_id_submit(on, 0);
    int pid = 0;
    assert_int_equal(process_id_result(&p, &pid, party_soon(), NULL), 0);
    assert_true(pid > 0 && pid != getpid());
    struct wf_error error = {0};
    square_future bad = square_submit(on, -3);
    assert_int_equal(square_result(&bad, NULL, party_soon(), &error), -EDOM);
    assert_string_equal(error.text, "no root: -3");
    assert_string_equal(error.task, "square");
    assert_true(error.pid > 0 && error.pid != getpid());
    wf_executor_destroy(on);
}

/* PRP-01 */
static void a_death_costs_one_task(void **state)
{
    (void)state;
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 1});
    process_id_future p = process_id_submit(on, 0);
    int pid = 0, second = 0;
    assert_int_equal(process_id_result(&p, &pid, party_soon(), NULL), 0);
    die_future d = die_submit(on, SIGKILL, 0);
    p = process_id_submit(on, 0);
    struct wf_error error = {0};
    assert_int_equal(die_result(&d, NULL, party_soon(), &error), WF_EWORKERDIED);
    assert_int_equal(error.pid, pid);
    assert_int_equal(error.signal, SIGKILL);
    assert_string_equal(error.task, "die");
    assert_non_null(strstr(error.text, "was ended by signal 9 (SIGKILL); its last words: the last "
                                       "words"));
    assert_int_equal(process_id_result(&p, &second, party_soon(), NULL), 0);
    assert_true(second != pid);
    d = die_submit(on, 0, 99);
    assert_int_equal(die_result(&d, NULL, party_soon(), &error), WF_EWORKERDIED);
    assert_int_equal(error.exit_status, 99);
    assert_int_equal(error.pid, second);
    wf_executor_destroy(on);
}

/* Tasks that wait for their turn: a file that exists, looked for without sleeping through it. */
WF_TASK(int, stay, (int64_t, ns))
WF_TASK(int, spin_for, (int64_t, ns))
WF_TASK(int, spin_and_ignore, (int64_t, ns))

int stay(struct wf_task *self, int64_t ns, int *ret)
{
    (void)self;
    *ret = getpid();
    return wf_sleep(wf_after(ns));
}
WF_TASK_DEFINE(stay)

int spin_for(struct wf_task *self, int64_t ns, int *ret)
{
    *ret = 1;
    for (wf_deadline end = wf_after(ns); wf_remaining(end) > 0;)
        if (wf_checkpoint(self))
            return -ECANCELED;
    return 0;
}
WF_TASK_DEFINE(spin_for)

int spin_and_ignore(struct wf_task *self, int64_t ns, int *ret)
{
    (void)self;
    *ret = getpid();
    for (wf_deadline end = wf_after(ns); wf_remaining(end) > 0;)
        ;
    return 0;
}
WF_TASK_DEFINE(spin_and_ignore)

/* What the only worker of a pool runs just now, "" for nothing. */
static void note_worker(const struct wf_worker_info *worker, void *arg)
{
    *(struct wf_worker_info *)arg = *worker;
}

static void wait_until_runs(struct wf_executor *on, const char *task, struct wf_worker_info *ret)
{
    wf_deadline limit = party_soon();
    memset(ret, 0, sizeof *ret);
    while (strcmp(ret->task, task) != 0) {
        if (wf_remaining(limit) == 0)
            fail_msg("%s does not begin", task);
        wf_processes_each(on, note_worker, ret);
        wf_yield();
    }
}

static void a_running_task_has_a_process(void **state)
{
    (void)state;
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 1, .grace_ns = -1});
    struct wf_worker_info worker;
    deaf_future f = deaf_submit(on, 0), queued = deaf_submit(on, 0);
    wait_until_runs(on, "deaf", &worker);
    assert_int_equal(wf_processes_task_pid(f.future), worker.pid);
    assert_int_equal(wf_processes_task_pid(queued.future), 0);
    (void)wf_processes_kill_task(queued.future);
    kill(worker.pid, SIGKILL);
    assert_int_equal(wf_future_wait(f.future, party_soon()), 0);
    assert_int_equal(wf_processes_task_pid(f.future), 0);
    deaf_drop(&f);
    deaf_drop(&queued);
    wf_executor_destroy(on);
}

static void a_death_leaves_what_had_not_begun(void **state)
{
    (void)state;
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 1});
    stay_future first = stay_submit(on, WF_SECONDS(60));
    square_future rest[20];
    for (int i = 0; i < 20; i++)
        rest[i] = square_submit(on, i);
    struct wf_worker_info worker;
    wait_until_runs(on, "stay", &worker);
    kill(worker.pid, SIGKILL);
    struct wf_error error;
    assert_int_equal(stay_result(&first, NULL, party_soon(), &error), WF_EWORKERDIED);
    assert_true(error.pid == worker.pid && error.signal == SIGKILL);
    for (int i = 0; i < 20; i++) {
        int64_t value = -1;
        assert_int_equal(square_result(&rest[i], &value, party_soon(), NULL), 0);
        assert_int_equal(value, i * i);
    }
    wf_executor_destroy(on);
}

static void count_dumped(void *arg, const char *line)
{
    int *lines = arg;
    lines[0] += strncmp(line, "processes walked: ", 18) == 0;
    lines[1] += strncmp(line, "process walked_", 15) == 0 && strstr(line, " running task stay ");
}

static void a_walk_shows_the_processes_of_all_pools(void **state)
{
    (void)state;
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 2, .name = "walked"});
    struct wf_executor *other = pool_of((struct wf_processes_options){.workers = 1});
    stay_future held[3];
    for (int i = 0; i < 3; i++)
        held[i] = stay_submit(i < 2 ? on : other, WF_SECONDS(60));
    size_t running = 0;
    wf_deadline limit = party_soon();
    struct wf_seen_process seen;
    while (running < 3 && wf_remaining(limit) > 0) {
        struct wf_inspect_cursor cursor = {0};
        running = 0;
        while (wf_inspect_processes(&cursor, &seen, 1) > 0)
            running += seen.info.state == WF_WORKER_RUNNING;
    }
    assert_int_equal(running, 3);
    struct wf_inspect_cursor cursor = {0};
    struct wf_seen_process all[8];
    assert_int_equal(wf_inspect_processes(&cursor, all, 8), 3);
    assert_int_equal(wf_inspect_processes(&cursor, &seen, 1), 0);
    assert_string_equal(all[0].executor, "walked");
    assert_string_equal(all[1].executor, "walked");
    assert_int_equal(all[1].place, 1);
    assert_string_equal(all[2].info.task, "stay");
    assert_true(all[0].info.pid != all[1].info.pid && all[2].info.resident_bytes > 0);
    struct wf_seen_executor executor;
    cursor = (struct wf_inspect_cursor){0};
    while (wf_inspect_executors(&cursor, &executor, 1) > 0 && strcmp(executor.name, "walked") != 0)
        continue;
    assert_int_equal(executor.alive, 2);
    assert_int_equal(executor.running, 2);
    assert_int_equal(executor.queued + executor.ended, 0);
    int lines[2] = {0};
    wf_dump(count_dumped, lines);
    assert_int_equal(lines[0], 1);
    assert_int_equal(lines[1], 2);
    for (int i = 0; i < 3; i++) {
        (void)wf_future_cancel(held[i].future);
        (void)stay_result(&held[i], NULL, party_soon(), NULL);
    }
    wf_executor_destroy(on);
    wf_executor_destroy(other);
    cursor = (struct wf_inspect_cursor){0};
    assert_int_equal(wf_inspect_processes(&cursor, all, 8), 0);
}

/* Workers with short tasks are given more of them ahead; what then waits behind a long one goes to
 * a worker that has nothing to do. */
static void nothing_waits_behind_a_long_task(void **state)
{
    (void)state;
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 2});
    for (int round = 0; round < 20; round++) {
        square_future f[60];
        stay_future longs[1];
        for (int i = 0; i < 60; i++) {
            if (i == 20)
                longs[0] = stay_submit(on, WF_SECONDS(60));
            f[i] = square_submit(on, i);
        }
        for (int i = 0; i < 60; i++) {
            int64_t value = -1;
            assert_int_equal(square_result(&f[i], &value, party_soon(), NULL), 0);
            assert_int_equal(value, i * i);
        }
        wf_future_cancel(longs[0].future);
        assert_int_equal(stay_result(&longs[0], NULL, party_soon(), NULL), -ECANCELED);
    }
    wf_executor_destroy(on);
}

static void a_death_may_be_retried(void **state)
{
    (void)state;
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 1});
    struct wf_submit_options twice = {.retries_on_death = 2};
    stay_future f = stay_submit_with(on, &twice, WF_SECONDS(60));
    struct wf_worker_info worker;
    int last = 0;
    for (int i = 0; i < 3; i++) {
        do
            wait_until_runs(on, "stay", &worker);
        while (worker.pid == last);
        assert_int_equal(wf_future_state(f.future), WF_FUTURE_RUNNING);
        kill(last = worker.pid, SIGKILL);
    }
    struct wf_error error;
    assert_int_equal(stay_result(&f, NULL, party_soon(), &error), WF_EWORKERDIED);
    assert_int_equal(error.pid, last);
    wf_executor_destroy(on);
}

static void tasks_are_cancelled_wherever_they_are(void **state)
{
    (void)state;
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 1, .grace_ns = -1});
    struct wf_worker_info worker;
    /* One that waits, asked. */
    stay_future f = stay_submit(on, WF_SECONDS(60));
    square_future queued = square_submit(on, 2), other = square_submit(on, 3);
    wait_until_runs(on, "stay", &worker);
    assert_int_equal(wf_future_cancel(queued.future), WF_CANCEL_REMOVED);
    assert_int_equal(wf_future_state(queued.future), WF_FUTURE_CANCELED);
    assert_int_equal(wf_future_cancel(f.future), WF_CANCEL_ASKED);
    assert_int_equal(stay_result(&f, NULL, party_soon(), NULL), -ECANCELED);
    assert_int_equal(square_result(&queued, NULL, party_soon(), NULL), -ECANCELED);
    assert_int_equal(square_result(&other, NULL, party_soon(), NULL), 0);
    int pid = worker.pid;
    /* One that computes, and looks. */
    spin_for_future g = spin_for_submit(on, WF_SECONDS(60));
    wait_until_runs(on, "spin_for", &worker);
    wf_future_cancel(g.future);
    assert_int_equal(spin_for_result(&g, NULL, party_soon(), NULL), -ECANCELED);
    assert_int_equal(worker.pid, pid);
    wf_executor_destroy(on);
    /* One that does not: it goes with its worker, and what waits behind it does not. */
    on = pool_of((struct wf_processes_options){.workers = 1, .grace_ns = WF_MILLISECONDS(50)});
    spin_and_ignore_future h = spin_and_ignore_submit(on, WF_SECONDS(60));
    other = square_submit(on, 4);
    wait_until_runs(on, "spin_and_ignore", &worker);
    wf_future_cancel(h.future);
    assert_int_equal(spin_and_ignore_result(&h, NULL, party_soon(), NULL), -ECANCELED);
    int64_t value = 0;
    assert_int_equal(square_result(&other, &value, party_soon(), NULL), 0);
    assert_int_equal(value, 16);
    process_id_future p = process_id_submit(on, 0);
    int second = 0;
    assert_int_equal(process_id_result(&p, &second, party_soon(), NULL), 0);
    assert_true(second != worker.pid);
    wf_executor_destroy(on);
}

static void a_scope_reaches_into_the_workers(void **state)
{
    (void)state;
    struct wf_executor *on =
        pool_of((struct wf_processes_options){.workers = 2, .grace_ns = WF_MILLISECONDS(50)});
    struct wf_error error = {0};
    struct wf_scope scope;
    /* Its deadline ends the one that waits, and the one that does not look. */
    wf_scope_open(&scope, on, wf_after(WF_MILLISECONDS(30)));
    stay_future f = stay_spawn(&scope, WF_SECONDS(60));
    spin_and_ignore_future g = spin_and_ignore_spawn(&scope, WF_SECONDS(60));
    assert_int_equal(wf_scope_close(&scope, &error), -ETIMEDOUT);
    (void)f;
    (void)g;
    /* The first failure cancels the rest. */
    wf_scope_open(&scope, on, WF_FOREVER);
    stay_spawn(&scope, WF_SECONDS(60));
    square_spawn(&scope, -7);
    stay_spawn(&scope, WF_SECONDS(60));
    assert_int_equal(wf_scope_close(&scope, &error), -EDOM);
    assert_non_null(strstr(error.text, "no root: -7"));
    wf_executor_destroy(on);
}

/* Payloads */

WF_TASK(const char *, repeat, (const char *, text), (size_t, times))
WF_TASK(wf_bytes, reversed, (wf_bytes, bytes))
WF_TASK(const char *, copied, (const char *, text))

int repeat(struct wf_task *self, const char *text, size_t times, const char **ret)
{
    size_t len = strlen(text);
    char *made = wf_result_alloc(self, len * times + 1);
    if (!made)
        return -ENOMEM;
    for (size_t i = 0; i < times; i++)
        memcpy(made + i * len, text, len);
    made[len * times] = '\0';
    *ret = made;
    return 0;
}
WF_TASK_DEFINE_WITH(repeat, .drop_result = wf_drop_string)

int reversed(struct wf_task *self, wf_bytes bytes, wf_bytes *ret)
{
    unsigned char *made = wf_result_alloc(self, bytes.len);
    if (!made)
        return -ENOMEM;
    for (size_t i = 0; i < bytes.len; i++)
        made[i] = ((const unsigned char *)bytes.ptr)[bytes.len - 1 - i];
    *ret = (wf_bytes){made, bytes.len};
    return 0;
}
WF_TASK_DEFINE_WITH(reversed, .drop_result = wf_drop_bytes)

static void free_text(void *result)
{
    free(*(char **)result);
}

int copied(struct wf_task *self, const char *text, const char **ret)
{
    (void)self;
    *ret = strdup(text);
    return *ret ? 0 : -ENOMEM;
}
WF_TASK_DEFINE_WITH(copied, .drop_result = free_text)

static void payloads_of_every_size_arrive(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,      1,     8,     80,    81,    96,      1000,
                                   65000,  65520, 65536, 65537, 70000, 1 << 20, (1 << 20) + 1,
                                   3 << 20};
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 2});
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t len = sizes[i];
        unsigned char *bytes = test_malloc(len + 1);
        for (size_t n = 0; n < len; n++)
            bytes[n] = (unsigned char)(1 + (n * 31 + i) % 255);
        bytes[len] = '\0';
        reversed_future r = reversed_submit(on, (wf_bytes){bytes, len});
        copied_future c = copied_submit(on, (char *)bytes);
        repeat_future t = repeat_submit(on, "abc", len / 3);
        wf_bytes back = {NULL, 7};
        const char *text = NULL;
        struct wf_error error = {0};
        if (reversed_result(&r, &back, party_soon(), &error))
            fail_msg("%zu: %s", len, error.text);
        assert_int_equal(back.len, len);
        for (size_t n = 0; n < len; n++)
            if (((const unsigned char *)back.ptr)[n] != bytes[len - 1 - n])
                fail_msg("%zu: byte %zu", len, n);
        wf_drop_bytes(&back);
        if (copied_result(&c, &text, party_soon(), &error))
            fail_msg("%zu: %s", len, error.text);
        assert_string_equal(text, (char *)bytes);
        free_text(&text);
        if (repeat_result(&t, &text, party_soon(), &error))
            fail_msg("%zu: %s", len, error.text);
        assert_int_equal(strlen(text), len / 3 * 3);
        wf_result_free(text);
        /* One that nobody takes is dropped. */
        r = reversed_submit(on, (wf_bytes){bytes, len});
        wf_future_wait(r.future, party_soon());
        reversed_drop(&r);
        test_free(bytes);
    }
    wf_executor_destroy(on);
}

static void the_submitters_memory_is_its_own_again(void **state)
{
    (void)state;
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 1});
    copied_future f[300];
    char text[200];
    for (int i = 0; i < 300; i++) {
        memset(text, 'a' + i % 26, sizeof text - 1);
        text[sizeof text - 1] = '\0';
        f[i] = copied_submit(on, text);
    }
    for (int i = 0; i < 300; i++) {
        const char *back = NULL;
        memset(text, 'a' + i % 26, sizeof text - 1);
        assert_int_equal(copied_result(&f[i], &back, party_soon(), NULL), 0);
        assert_string_equal(back, text);
        free_text(&back);
    }
    wf_executor_destroy(on);
}

/* Maps. PRP-04, EXE-02; MPR-08 is below. */
static int count_up(void *arg, struct square_args *ret_args)
{
    int64_t *at = arg;
    if (*at == 40)
        return 0;
    ret_args->n = (*at)++;
    return 1;
}

static void chunks_give_the_same_results(void **state)
{
    (void)state;
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 2});
    static const int chunks[] = {0, 1, 6, 40, 50};
    for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++) {
        struct wf_map_options options = {.chunk = chunks[c]};
        int64_t at = 0, value = 0;
        square_stream s;
        assert_int_equal(square_map(on, &options, count_up, &at, &s, NULL), 0);
        for (int64_t i = 0; i < 40; i++) {
            assert_int_equal(square_map_next(&s, &value, party_soon(), NULL), 1);
            assert_int_equal(value, i * i);
        }
        assert_int_equal(square_map_next(&s, &value, party_soon(), NULL), 0);
        square_map_close(&s);
        struct square_args items[] = {{1}, {2}, {-3}, {4}};
        int64_t results[4] = {0};
        struct wf_error error;
        assert_int_equal(square_each(on, &options, items, 4, results, party_soon(), &error), -EDOM);
        assert_string_equal(error.text, "item 2: no root: -3");
        assert_true(results[0] == 1 && results[1] == 4);
    }
    struct copied_args texts[50];
    const char *back[50];
    char store[50][40];
    for (int i = 0; i < 50; i++) {
        snprintf(store[i], sizeof store[i], "text number %d", i);
        texts[i].text = store[i];
    }
    assert_int_equal(
        copied_each(on, &(struct wf_map_options){.chunk = 7}, texts, 50, back, party_soon(), NULL),
        0);
    for (int i = 0; i < 50; i++) {
        assert_string_equal(back[i], store[i]);
        free_text(&back[i]);
    }
    wf_executor_destroy(on);
}

/* Tasks of tasks */

WF_TASK(int64_t, fib, (int, n))
WF_TASK(const char *, greeting_of, (const char *, name))

int fib(struct wf_task *self, int n, int64_t *ret)
{
    if (n < 2) {
        *ret = n;
        return 0;
    }
    struct wf_executor *on = wf_task_executor(self);
    fib_future a = fib_submit(on, n - 1), b = fib_submit(on, n - 2);
    int64_t x = 0, y = 0;
    struct wf_error error = {0};
    int err = fib_result(&a, &x, WF_FOREVER, &error);
    int err2 = fib_result(&b, &y, WF_FOREVER, err ? NULL : &error);
    if (err || err2)
        return wf_task_fail_with(self, &error);
    *ret = x + y;
    return 0;
}
WF_TASK_DEFINE(fib)

int greeting_of(struct wf_task *self, const char *name, const char **ret)
{
    copied_future f = copied_submit(wf_task_executor(self), name);
    const char *inner = NULL;
    struct wf_error error;
    int err = copied_result(&f, &inner, WF_FOREVER, &error);
    if (err)
        return wf_task_fail_with(self, &error);
    char *made = wf_result_alloc(self, strlen(inner) + 8);
    sprintf(made, "hello, %s", inner);
    free_text(&inner);
    *ret = made;
    return 0;
}
WF_TASK_DEFINE_WITH(greeting_of, .drop_result = wf_drop_string)

static void tasks_wait_for_tasks_at_any_size(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 2; workers++) {
        struct wf_executor *on = pool_of((struct wf_processes_options){.workers = workers});
        fib_future f = fib_submit(on, 5);
        int64_t value = 0;
        struct wf_error error = {0};
        if (fib_result(&f, &value, party_soon(), &error))
            fail_msg("%s", error.text);
        assert_int_equal(value, 5);
        greeting_of_future g =
            greeting_of_submit(on, "a name that is somewhat long, so that it "
                                   "does not fit into a slot of the ring at all");
        const char *text = NULL;
        if (greeting_of_result(&g, &text, party_soon(), &error))
            fail_msg("%s", error.text);
        assert_non_null(strstr(text, "hello, a name"));
        wf_result_free(text);
        wf_executor_destroy(on);
    }
}

WF_TASK(int64_t, nest_and_fail, (int, how))

int nest_and_fail(struct wf_task *self, int how, int64_t *ret)
{
    struct wf_executor *on = wf_task_executor(self);
    struct wf_error error;
    int err;
    if (how == 0) {
        square_future f = square_submit(on, -9);
        err = square_result(&f, ret, WF_FOREVER, &error);
    } else if (how == 1) {
        die_future f = die_submit(on, SIGKILL, 0);
        int none;
        err = die_result(&f, &none, WF_FOREVER, &error);
    } else {
        stay_future f = stay_submit(on, WF_SECONDS(60));
        int none;
        wf_future_cancel(f.future);
        err = stay_result(&f, &none, WF_FOREVER, &error);
    }
    return err == -ECANCELED ? wf_task_fail(self, -EILSEQ, "cancelled")
                             : wf_task_fail_with(self, &error);
}
WF_TASK_DEFINE(nest_and_fail)

static void a_task_learns_how_its_tasks_ended(void **state)
{
    (void)state;
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 1});
    static const int codes[] = {-EDOM, WF_EWORKERDIED, -EILSEQ};
    for (int how = 0; how < 3; how++) {
        nest_and_fail_future f = nest_and_fail_submit(on, how);
        struct wf_error error = {0};
        assert_int_equal(nest_and_fail_result(&f, NULL, party_soon(), &error), codes[how]);
        if (how == 1)
            assert_int_equal(error.signal, SIGKILL);
    }
    wf_executor_destroy(on);
}

/* PRP-10 */
static void note_most(const struct wf_worker_info *worker, void *arg)
{
    (void)worker;
    ++*(int *)arg;
}

static void one_process_is_enough_until_it_is_not(void **state)
{
    (void)state;
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 3});
    int first = 0, pid = 0;
    for (int i = 0; i < 10; i++) {
        process_id_future f = process_id_submit(on, 0);
        assert_int_equal(process_id_result(&f, &pid, party_soon(), NULL), 0);
        first = first ? first : pid;
        assert_int_equal(pid, first);
    }
    stay_future flood[60];
    for (int i = 0; i < 60; i++)
        flood[i] = stay_submit(on, WF_MILLISECONDS(1));
    int pids[3] = {0};
    for (int i = 0; i < 60; i++) {
        int most = 0, at = 0;
        wf_processes_each(on, note_most, &most);
        assert_true(most <= 3);
        assert_int_equal(stay_result(&flood[i], &pid, party_soon(), NULL), 0);
        while (at < 3 && pids[at] && pids[at] != pid)
            at++;
        assert_true(at < 3);
        pids[at] = pid;
    }
    wf_executor_destroy(on);
}

/* PRP-05: three tasks a worker, and never two workers at a time. */
static void workers_are_recycled(void **state)
{
    (void)state;
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 1, .tasks_max = 3});
    process_id_future f[10];
    int pids[10];
    for (int i = 0; i < 10; i++)
        f[i] = process_id_submit(on, 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(process_id_result(&f[i], &pids[i], party_soon(), NULL), 0);
        assert_true(wf_processes_each(on, note_worker, &(struct wf_worker_info){0}) <= 1);
    }
    for (int i = 0; i < 10; i++)
        assert_true((pids[i] == pids[i / 3 * 3]) && (i < 3 || pids[i] != pids[i - 3]));
    wf_executor_destroy(on);
}

WF_TASK(int, grow, (size_t, bytes))

int grow(struct wf_task *self, size_t bytes, int *ret)
{
    (void)self;
    volatile char *kept = malloc(bytes);
    for (size_t i = 0; kept && i < bytes; i += 4096)
        kept[i] = 1;
    *ret = getpid();
    return kept ? 0 : -ENOMEM;
}
WF_TASK_DEFINE(grow)

static void large_workers_are_replaced(void **state)
{
    (void)state;
    struct wf_executor *on =
        pool_of((struct wf_processes_options){.workers = 1, .memory_max_bytes = (size_t)256 << 20});
    int small = 0, large = 0, after = 0;
    grow_future f = grow_submit(on, 1);
    assert_int_equal(grow_result(&f, &small, party_soon(), NULL), 0);
    f = grow_submit(on, (size_t)300 << 20);
    grow_future g = grow_submit(on, 1);
    assert_int_equal(grow_result(&f, &large, party_soon(), NULL), 0);
    assert_int_equal(grow_result(&g, &after, party_soon(), NULL), 0);
    assert_int_equal(small, large);
    assert_true(after != large);
    wf_executor_destroy(on);
}

/* Initialisers */

struct setting {
    int number;
};
static int setting_here;

static int take_setting(const void *arg, struct wf_error *reterr)
{
    const struct setting *setting = arg;
    if (setting->number < 0)
        return wf_error_set(reterr, -EIO, "no such setting: %d", setting->number);
    setting_here = setting->number;
    return 0;
}

WF_TASK(int, tell_setting, (int, unused))

int tell_setting(struct wf_task *self, int unused, int *ret)
{
    (void)self;
    (void)unused;
    *ret = setting_here;
    return 0;
}
WF_TASK_DEFINE(tell_setting)

/* THP-04, THP-05 */
static void an_initialiser_runs_before_tasks(void **state)
{
    (void)state;
    struct setting setting = {42};
    struct wf_processes_options options = {
        .workers = 2, .start = take_setting, .arg = &setting, .arg_bytes = sizeof setting};
    struct wf_executor *on = pool_of(options);
    setting.number = 7; /* it was copied */
    tell_setting_future f[10];
    for (int i = 0; i < 10; i++)
        f[i] = tell_setting_submit(on, 0);
    for (int i = 0; i < 10; i++) {
        int value = 0;
        assert_int_equal(tell_setting_result(&f[i], &value, party_soon(), NULL), 0);
        assert_int_equal(value, 42);
    }
    wf_executor_destroy(on);
    assert_int_equal(setting_here, 0);

    setting.number = -5;
    on = pool_of(options);
    struct wf_error error;
    for (int i = 0; i < 10; i++)
        f[i] = tell_setting_submit(on, 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(tell_setting_result(&f[i], NULL, party_soon(), &error), WF_EBROKEN);
        assert_non_null(strstr(error.text, "no such setting: -5"));
    }
    wf_executor_destroy(on);
}

/* A limit holds in the worker; what stops it runs after its last task. */
static void note_the_stop(const void *arg)
{
    (void)arg;
    wfi_fetch_add(&storm_marks[0].ended, 1);
}

WF_TASK(uint64_t, tell_limit, (int, unused))

int tell_limit(struct wf_task *self, int unused, uint64_t *ret)
{
    (void)self;
    (void)unused;
    struct rlimit limit;
    if (getrlimit(RLIMIT_CPU, &limit))
        return -errno;
    *ret = limit.rlim_cur;
    return 0;
}
WF_TASK_DEFINE(tell_limit)

static void limits_and_finalisers_hold(void **state)
{
    (void)state;
    struct wf_rlimit limit = {RLIMIT_CPU, 770, 880};
    storm_marks[0].ended = 0;
    struct wf_executor *on = pool_of((struct wf_processes_options){
        .workers = 1, .stop = note_the_stop, .rlimits = &limit, .rlimit_count = 1});
    limit.soft = 5; /* it was copied */
    tell_limit_future f = tell_limit_submit(on, 0);
    uint64_t value = 0;
    assert_int_equal(tell_limit_result(&f, &value, party_soon(), NULL), 0);
    assert_int_equal(value, 770);
    assert_int_equal(storm_marks[0].ended, 0);
    wf_executor_destroy(on);
    assert_int_equal(storm_marks[0].ended, 1);
}

static void too_many_deaths_break_the_pool(void **state)
{
    (void)state;
    struct wf_executor *on =
        pool_of((struct wf_processes_options){.workers = 1, .restarts_max = 3});
    die_future f[6];
    for (int i = 0; i < 6; i++)
        f[i] = die_submit(on, 0, 40 + i);
    struct wf_error error;
    for (int i = 0; i < 6; i++) {
        int err = die_result(&f[i], NULL, party_soon(), &error);
        assert_int_equal(err, i < 4 ? WF_EWORKERDIED : WF_EBROKEN);
        if (i < 4)
            assert_int_equal(error.exit_status, 40 + i); /* PRP-02 */
    }
    assert_non_null(strstr(error.text, "more than 3 workers died"));
    square_future s = square_submit(on, 1);
    assert_int_equal(square_result(&s, NULL, party_soon(), NULL), WF_EBROKEN);
    wf_executor_destroy(on);
}

/* What cannot travel is refused, by name, and disturbs nobody. */
WF_TASK(int, pointed, (int, n), (int *, where))

int pointed(struct wf_task *self, int n, int *where, int *ret)
{
    (void)self;
    *ret = n + *where;
    return 0;
}
WF_TASK_DEFINE(pointed)

static void what_cannot_travel_is_refused(void **state)
{
    (void)state;
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 1});
    int here = 3;
    struct wf_error error;
    pointed_future f = pointed_submit(on, 1, &here);
    assert_int_equal(wf_future_state(f.future), WF_FUTURE_FAILED);
    assert_int_equal(pointed_result(&f, NULL, WF_NOW, &error), WF_ENOTWIRE);
    assert_non_null(strstr(error.text, "parameter where (int *)"));
    square_future s = square_submit(on, 3);
    assert_int_equal(square_result(&s, NULL, party_soon(), NULL), 0);
    wf_executor_destroy(on);
}

/* PRP-09 */
static void a_pool_is_stopped_hard(void **state)
{
    (void)state;
    for (int how = 0; how < 2; how++) {
        void (*stop)(struct wf_executor *) = how ? wf_processes_kill : wf_processes_terminate;
        struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 1});
        stop(on); /* not started */
        wf_executor_destroy(on);
        on = pool_of((struct wf_processes_options){.workers = 1});
        spin_and_ignore_future f = spin_and_ignore_submit(on, WF_SECONDS(60));
        square_future waiting = square_submit(on, 2);
        struct wf_worker_info worker;
        wait_until_runs(on, "spin_and_ignore", &worker);
        stop(on);
        struct wf_error error;
        assert_int_equal(spin_and_ignore_result(&f, NULL, party_soon(), &error), WF_EWORKERDIED);
        assert_int_equal(error.signal, how ? SIGKILL : SIGTERM);
        assert_int_equal(square_result(&waiting, NULL, party_soon(), NULL), WF_EBROKEN);
        stop(on); /* broken */
        waiting = square_submit(on, 2);
        assert_int_equal(square_result(&waiting, NULL, party_soon(), NULL), WF_EBROKEN);
        wf_executor_destroy(on);
    }
}

/* SHD-01, SHD-02, SHD-03 */
static void shutting_runs_or_cancels(void **state)
{
    (void)state;
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 2});
    square_future f[50];
    for (int i = 0; i < 50; i++)
        f[i] = square_submit(on, i);
    assert_int_equal(wf_executor_shutdown(on, WF_SHUTDOWN_WAIT, party_soon()), 0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(wf_future_state(f[i].future), WF_FUTURE_DONE);
        square_drop(&f[i]);
    }
    square_future late = square_submit(on, 1);
    assert_int_equal(square_result(&late, NULL, WF_NOW, NULL), -EPIPE);
    wf_executor_destroy(on);

    on = pool_of((struct wf_processes_options){.workers = 2});
    stay_future s[50];
    for (int i = 0; i < 50; i++)
        s[i] = stay_submit(on, WF_MILLISECONDS(60));
    assert_int_equal(stay_result(&s[0], NULL, party_soon(), NULL), 0);
    assert_int_equal(wf_executor_shutdown(on, WF_SHUTDOWN_CANCEL, party_soon()), 0);
    int done = 1, cancelled = 0;
    for (int i = 1; i < 50; i++) {
        int err = stay_result(&s[i], NULL, WF_NOW, NULL);
        assert_true(err == 0 || err == -ECANCELED);
        done += !err;
        cancelled += err != 0;
    }
    assert_true(done >= 1 && cancelled > 20);
    wf_executor_destroy(on);
}

static void a_full_queue_refuses(void **state)
{
    (void)state;
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 1, .queue_max = 3});
    stay_future f[12];
    int refused = 0, held = 0;
    for (int i = 0; i < 12; i++) {
        f[i] = stay_submit(on, WF_SECONDS(60));
        if (wf_future_state(f[i].future) == WF_FUTURE_FAILED)
            refused++;
        else
            held++;
    }
    assert_true(refused >= 5 && held >= 4);
    for (int i = 0; i < 12; i++)
        wf_future_cancel(f[i].future);
    for (int i = 0; i < 12; i++) {
        int err = stay_result(&f[i], NULL, party_soon(), NULL);
        assert_true(err == -ECANCELED || err == -EAGAIN);
    }
    wf_executor_destroy(on);
}

/* MPR-08: whole chunks before the source failed arrive, then its error; and again. */
static int fail_later(void *arg, struct square_args *ret_args)
{
    int64_t *at = arg;
    if (*at == 6)
        return -EPROTO;
    ret_args->n = (*at)++;
    return 1;
}

static void a_failing_source_ends_a_map_where_it_fails(void **state)
{
    (void)state;
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 2});
    static const int chunks[] = {1, 2, 4};
    for (int round = 0; round < 6; round++) {
        struct wf_map_options options = {.chunk = chunks[round % 3]};
        int64_t at = 0, value = 0;
        square_stream s;
        assert_int_equal(square_map(on, &options, fail_later, &at, &s, NULL), 0);
        for (int64_t i = 0; i < 6; i++) {
            assert_int_equal(square_map_next(&s, &value, party_soon(), NULL), 1);
            assert_int_equal(value, i * i);
        }
        assert_int_equal(square_map_next(&s, &value, party_soon(), NULL), -EPROTO);
        assert_int_equal(square_map_next(&s, &value, party_soon(), NULL), 0);
        square_map_close(&s);
    }
    wf_executor_destroy(on);
}

WF_LOCAL(int, shade)
WF_LOCAL_DEFINE(int, shade, 1)
WF_TASK(int, tell_shade, (int, set))

int tell_shade(struct wf_task *self, int set, int *ret)
{
    (void)self;
    *ret = shade_get();
    return set ? shade_set(set) : 0;
}
WF_TASK_DEFINE(tell_shade)

static void locals_travel(void **state)
{
    (void)state;
    struct wf_executor *on = pool_of((struct wf_processes_options){.workers = 1});
    int value = 0;
    tell_shade_future f = tell_shade_submit(on, 9);
    assert_int_equal(tell_shade_result(&f, &value, party_soon(), NULL), 0);
    assert_int_equal(value, 1);
    assert_int_equal(shade_set(5), 0);
    f = tell_shade_submit(on, 9);
    assert_int_equal(tell_shade_result(&f, &value, party_soon(), NULL), 0);
    assert_int_equal(value, 5);
    assert_int_equal(shade_get(), 5);
    assert_int_equal(shade_set(1), 0);
    f = tell_shade_submit(on, 0);
    assert_int_equal(tell_shade_result(&f, &value, party_soon(), NULL), 0);
    assert_int_equal(value, 1);
    wf_executor_destroy(on);
}

static void options_without_sense_are_refused(void **state)
{
    (void)state;
    struct wf_executor *on = NULL;
    struct wf_error error;
    assert_int_equal(wf_inline_create(&on, NULL), 0);
    assert_int_equal(wf_processes_each(on, note_worker, NULL), -EINVAL);
    wf_processes_kill(on); /* harmless */
    wf_executor_destroy(on);
    on = NULL;
    assert_int_equal(
        wf_processes_create(&(struct wf_processes_options){.workers = -1}, &on, &error), -EINVAL);
    assert_int_equal(
        wf_processes_create(&(struct wf_processes_options){.submit_wait_ns = -1}, &on, &error),
        -EINVAL);
    assert_null(on);
}

/* Ten thousand where a tool watches; stress/processes.c has the long form. */
enum { STORM_TASKS = WFI_TSAN || WFI_ASAN ? 10000 : 1000 };

static void a_storm_costs_what_it_hits(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)wf_now();
    const char *given = getenv("WEFT_TEST_SEED");
    if (given)
        seed = strtoull(given, NULL, 0);
    print_message("seed %llu\n", (unsigned long long)seed);
    storm_run(4, 2, 0, WF_SECONDS(1), seed);
    struct storm_count before = storm_count();
    /* Under Valgrind a process takes a second to begin. */
    bool slow = wfi_under_valgrind();
    int tasks = slow ? 100 : STORM_TASKS;
    struct storm_result result = storm_run(tasks, 2, WF_MILLISECONDS(slow ? 50 : 1),
                                           WF_MILLISECONDS(slow ? 1500 : 50), seed);
    struct storm_count after = storm_count_again(before);
    if (result.wrong[0])
        fail_msg("%s", result.wrong);
    assert_int_equal(result.done + result.lost, tasks);
    assert_true(result.lost <= result.kills && result.kills > 0);
    assert_int_equal(after.descriptors, before.descriptors);
    assert_int_equal(after.mappings, before.mappings);
    assert_int_equal(after.processes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_storm_costs_what_it_hits),
        cmocka_unit_test(tasks_run_in_other_processes),
        cmocka_unit_test(a_task_is_killed_at_once),
        cmocka_unit_test(a_running_task_has_a_process),
        cmocka_unit_test(a_death_costs_one_task),
        cmocka_unit_test(a_death_leaves_what_had_not_begun),
        cmocka_unit_test(a_walk_shows_the_processes_of_all_pools),
        cmocka_unit_test(nothing_waits_behind_a_long_task),
        cmocka_unit_test(a_death_may_be_retried),
        cmocka_unit_test(tasks_are_cancelled_wherever_they_are),
        cmocka_unit_test(a_scope_reaches_into_the_workers),
        cmocka_unit_test(payloads_of_every_size_arrive),
        cmocka_unit_test(the_submitters_memory_is_its_own_again),
        cmocka_unit_test(chunks_give_the_same_results),
        cmocka_unit_test(tasks_wait_for_tasks_at_any_size),
        cmocka_unit_test(a_task_learns_how_its_tasks_ended),
        cmocka_unit_test(one_process_is_enough_until_it_is_not),
        cmocka_unit_test(workers_are_recycled),
        cmocka_unit_test(large_workers_are_replaced),
        cmocka_unit_test(an_initialiser_runs_before_tasks),
        cmocka_unit_test(limits_and_finalisers_hold),
        cmocka_unit_test(too_many_deaths_break_the_pool),
        cmocka_unit_test(what_cannot_travel_is_refused),
        cmocka_unit_test(a_pool_is_stopped_hard),
        cmocka_unit_test(shutting_runs_or_cancels),
        cmocka_unit_test(a_full_queue_refuses),
        cmocka_unit_test(a_failing_source_ends_a_map_where_it_fails),
        cmocka_unit_test(locals_travel),
        cmocka_unit_test(options_without_sense_are_refused),
    };
    struct wf_error error;
    storm_prepare(STORM_TASKS);
    if (wf_processes_init(&error)) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
