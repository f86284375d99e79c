/* SPDX-License-Identifier: MIT */
/*
 * Whole programs under wf_main: conformance lines CTX-03, CTX-04, SHD-04, SHD-06. Each test runs
 * this program again with the name of a scenario, and looks at its output and how it ended.
 */
#include "engines.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/main.h>

extern char **environ;

static struct wf_event started, release;

WF_TASK(wf_none, hold, (const char *, what), (int, code))
WF_TASK(wf_none, slow_line)
WF_TASK(wf_none, spin)

/* Waits to be cancelled; says so, and fails in its clean-up when it is told to. */
int hold(struct wf_task *self, const char *what, int code, wf_none *ret)
{
    (void)ret;
    wf_event_set(&started);
    int err = wf_event_wait(&release, party_soon());
    printf("%s %s\n", what, wf_error_name(err));
    return code ? wf_task_fail(self, code, "clean-up of %s", what) : err;
}
WF_TASK_DEFINE(hold)

int slow_line(struct wf_task *self, wf_none *ret)
{
    (void)self;
    (void)ret;
    int err = wf_sleep(wf_after(WF_MILLISECONDS(30)));
    printf("slept %d\n", err);
    return err;
}
WF_TASK_DEFINE(slow_line)

int spin(struct wf_task *self, wf_none *ret)
{
    (void)self;
    (void)ret;
    for (;;) /* deaf to everything, but lets others run */
        wf_yield();
}
WF_TASK_DEFINE(spin)

static int show_lost(const struct wf_error *error, void *arg)
{
    (void)arg;
    printf("hook: %s: %s\n", error->task, error->text);
    return 0;
}

static int returns(void *arg)
{
    (void)arg;
    return 7;
}

/* CTX-03 */
static int leaves_tasks(void *arg)
{
    (void)arg;
    wf_set_error_hook(show_lost, NULL);
    hold_go(wf_main_scope(), "child", -EIO);
    return wf_event_wait(&started, party_soon());
}

/* SHD-04, SHD-06 */
static int leaves_pool(void *arg)
{
    struct wf_executor *pool;
    if (wf_threads_create(&(struct wf_threads_options){.workers = 2}, &pool, NULL))
        return 1;
    slow_line_future f = slow_line_submit(pool);
    slow_line_drop(&f);
    if (arg)
        wf_executor_shutdown(pool, WF_SHUTDOWN_NO_WAIT, WF_NOW);
    printf("root returns\n");
    return 0;
}

/* CTX-04 */
static int waits(void *arg)
{
    struct wf_submit_options named = {.name = "child-0"};
    hold_spawn_with(wf_main_scope(), &named, "child", 0);
    if (arg)
        spin_go(wf_main_scope());
    check_int(wf_event_wait(&started, party_soon()), 0);
    printf("ready\n");
    fflush(stdout);
    int err = wf_event_wait(&release, party_soon());
    printf("root %s\n", wf_error_name(err));
    return 3;
}

/* Cleans up, waiting as it does, after it was interrupted. */
static int cleans_up(void *arg)
{
    (void)arg;
    printf("ready\n");
    fflush(stdout);
    int err = wf_event_wait(&release, party_soon());
    printf("root %s\n", wf_error_name(err));
    WF_SHIELD(wf_after(WF_SECONDS(60))) {
        printf("cleaned up %d\n", wf_sleep(wf_after(WF_MILLISECONDS(5))));
    }
    return 0;
}

WF_TASK(wf_none, burn, (WFI_ATOMIC(int) *, burning))

/* Gives nothing away: its worker is stuck for good. */
int burn(struct wf_task *self, WFI_ATOMIC(int) * burning, wf_none *ret)
{
    (void)self;
    (void)ret;
    wfi_fetch_add(burning, 1);
    for (;;)
        wfi_thread_yield();
}
WF_TASK_DEFINE(burn)

static int burns(void *arg)
{
    static WFI_ATOMIC(int) burning;
    (void)arg;
    struct wf_submit_options named = {.name = "queued-0"};
    burn_go(wf_main_scope(), &burning);
    while (wfi_load(&burning) < 1)
        wfi_thread_yield();
    slow_line_future f = slow_line_submit_with(wf_main_executor(), &named);
    slow_line_drop(&f);
    printf("ready\n");
    fflush(stdout);
    while (wfi_load(&burning)) /* for ever: the other worker is stuck, too */
        wfi_thread_yield();
    return 0;
}

static int is_refused(void *arg)
{
    (void)arg;
    struct wf_error error;
    check_int(wf_main(NULL, returns, NULL, &error), WF_ESTATE);
    check(strcmp(error.text, "wf_main runs already") == 0);
    check(wf_main_executor() != NULL && wf_main_scope() != NULL);
    return 4;
}

static int fails(void *arg)
{
    (void)arg;
    return -EIO;
}

static int let_go(struct wf_future *future, void *arg)
{
    printf("queued task %s\n",
           wf_future_state(future) == WF_FUTURE_CANCELED ? "cancelled" : "not cancelled");
    wf_event_set(arg);
    return 0;
}

/* Leaves a pool of one thread: a task that waits for the end of the one that is queued behind it.
 */
static int leaves_queue(void *arg)
{
    (void)arg;
    struct wf_executor *pool;
    check_int(wf_threads_create(&(struct wf_threads_options){.workers = 1}, &pool, NULL), 0);
    hold_future f = hold_submit(pool, "running", 0);
    check_int(wf_event_wait(&started, party_soon()), 0);
    hold_future g = hold_submit(pool, "queued", 0);
    check_int(wf_future_on_done(g.future, let_go, &release), 0);
    hold_drop(&f);
    hold_drop(&g);
    printf("ready\n");
    fflush(stdout);
    return 0;
}

static enum wf_main_signal decide(void *arg, int signo)
{
    check(arg == &started);
    printf("signal %d\n", signo);
    fflush(stdout);
    return signo == SIGTERM ? WF_MAIN_PASS : signo == SIGQUIT ? WF_MAIN_CANCEL : WF_MAIN_EXIT;
}

static int leaves_service(void *arg)
{
    struct wf_executor *on;
    (void)arg;
    if (wf_fibers_create(&(struct wf_fibers_options){.workers = 1, .service = true}, &on, NULL))
        return 1;
    hold_future f = hold_submit(on, "service", 0);
    hold_drop(&f);
    if (wf_event_wait(&started, party_soon()))
        return 2;
    printf("root returns\n");
    return 0;
}

static int waits_for_event(void *arg)
{
    (void)arg;
    return waits(NULL);
}

static int scenario(const char *name, pid_t parent)
{
    struct wf_main_options options = {.workers = 2};
    struct wf_error error;
    int status = -1;
    /* A failed test leaves nobody who burns the CPU, also when it failed before this. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        return 1;
    wf_event_init(&release);
    wf_event_init(&started);
    if (strcmp(name, "returns") == 0)
        status = wf_main(&options, returns, NULL, &error);
    else if (strcmp(name, "leaves_tasks") == 0)
        status = wf_main(&options, leaves_tasks, NULL, &error);
    else if (strcmp(name, "leaves_pool") == 0)
        status = wf_main(&options, leaves_pool, NULL, &error);
    else if (strcmp(name, "closes_pool") == 0)
        status = wf_main(&options, leaves_pool, &options, &error);
    else if (strcmp(name, "leaves_service") == 0)
        status = wf_main(&options, leaves_service, NULL, &error);
    else if (strcmp(name, "waits") == 0)
        status = wf_main(&options, waits, NULL, &error);
    else if (strcmp(name, "cleans_up") == 0)
        status = wf_main(&options, cleans_up, NULL, &error);
    else if (strcmp(name, "burns") == 0)
        status = wf_main(&options, burns, NULL, &error);
    else if (strcmp(name, "is_refused") == 0)
        status = wf_main(&options, is_refused, NULL, &error);
    else if (strcmp(name, "leaves_queue") == 0)
        status = wf_main(&options, leaves_queue, NULL, &error);
    else if (strcmp(name, "decides") == 0) {
        options.signal = decide;
        options.drain_ns = -1;
        status = wf_main(&options, waits_for_event, &started, &error);
    } else if (strcmp(name, "ignores") == 0) {
        signal(SIGINT, SIG_IGN);
        status = wf_main(&options, cleans_up, NULL, &error);
    } else if (strcmp(name, "fails") == 0) {
        int err = wf_main(&options, fails, NULL, &error);
        printf("%s: %s\n", wf_error_name(err), error.text);
        /* It can run again, and is nowhere to be seen in between. */
        check(wf_main_executor() == NULL && wf_main_scope() == NULL);
        status = err == error.code ? wf_main(&options, returns, NULL, &error) : 1;
    } else if (strcmp(name, "never_ends") == 0) {
        options.drain_ns = WF_MILLISECONDS(50);
        status = wf_main(&options, waits, &options, &error);
    }
    return status;
}

struct program {
    pid_t pid;
    FILE *out;
    char text[8192];
    size_t len;
};

static void start(struct program *p, const char *name)
{
    int ends[2];
    /* Read here: in a child of Valgrind's the link is Valgrind's own program. */
    char path[4096] = "";
    assert_in_range(readlink("/proc/self/exe", path, sizeof path - 1), 1, sizeof path - 2);
    char parent[16];
    snprintf(parent, sizeof parent, "%d", (int)getpid());
    char *argv[] = {(char *)"main_test", (char *)(uintptr_t)name, parent, NULL};
    posix_spawn_file_actions_t actions;
    assert_int_equal(pipe(ends), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    assert_int_equal(posix_spawn(&p->pid, path, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    p->out = fdopen(ends[0], "r");
    assert_non_null(p->out);
    p->len = 0;
    p->text[0] = '\0';
}

/* Reads lines up to one that contains `wanted`. */
static void read_until(struct program *p, const char *wanted)
{
    while (!strstr(p->text, wanted)) {
        if (!fgets(p->text + p->len, (int)(sizeof p->text - p->len), p->out)) {
            print_message("%s", p->text);
            fail_msg("the program ended before it said: %s", wanted);
        }
        p->len += strlen(p->text + p->len);
    }
}

static int finish(struct program *p)
{
    p->len += fread(p->text + p->len, 1, sizeof p->text - 1 - p->len, p->out);
    p->text[p->len] = '\0';
    fclose(p->out);
    int status;
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    if (!WIFEXITED(status))
        print_message("%s", p->text);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void the_roots_result_is_the_exit_status(void **state)
{
    (void)state;
    struct program p;
    start(&p, "returns");
    assert_int_equal(finish(&p), 7);
    assert_string_equal(p.text, "");
}

static void tasks_left_behind_are_cancelled_and_awaited(void **state)
{
    (void)state;
    struct program p;
    start(&p, "leaves_tasks");
    assert_int_equal(finish(&p), 0);
    assert_string_equal(p.text, "child ECANCELED\nhook: hold: clean-up of child\n");
}

static void work_left_on_a_pool_is_finished(void **state)
{
    (void)state;
    struct program p;
    start(&p, "leaves_pool");
    assert_int_equal(finish(&p), 0);
    assert_string_equal(p.text, "root returns\nslept 0\n");
    start(&p, "closes_pool");
    assert_int_equal(finish(&p), 0);
    assert_string_equal(p.text, "root returns\nslept 0\n");
}

static void a_signal_cancels_the_root_first(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM};
    for (int i = 0; i < 2; i++) {
        struct program p;
        start(&p, "waits");
        read_until(&p, "ready");
        assert_int_equal(kill(p.pid, signals[i]), 0);
        assert_int_equal(finish(&p), 128 + signals[i]);
        assert_non_null(strstr(p.text, "root ECANCELED\n"));
        assert_non_null(strstr(p.text, "child ECANCELED\n"));
    }
}

static void what_does_not_end_is_reported_and_left(void **state)
{
    (void)state;
    struct program p;
    start(&p, "never_ends");
    read_until(&p, "ready");
    assert_int_equal(kill(p.pid, SIGTERM), 0);
    assert_int_equal(finish(&p), 128 + SIGTERM);
    assert_non_null(strstr(p.text, "not at an end"));
    assert_non_null(strstr(p.text, "spin"));
}

static void the_dump_shows_who_waits_for_what(void **state)
{
    (void)state;
    struct program p;
    start(&p, "waits");
    read_until(&p, "ready");
    assert_int_equal(kill(p.pid, SIGUSR1), 0);
    read_until(&p, " child-0 task hold waiting ");
    read_until(&p, " s for event 0x");
    read_until(&p, "task hold running ");
    assert_int_equal(kill(p.pid, SIGINT), 0);
    assert_int_equal(finish(&p), 128 + SIGINT);
}

static void clean_up_may_wait(void **state)
{
    (void)state;
    struct program p;
    start(&p, "cleans_up");
    read_until(&p, "ready");
    assert_int_equal(kill(p.pid, SIGINT), 0);
    assert_int_equal(finish(&p), 130);
    assert_string_equal(p.text, "ready\nroot ECANCELED\ncleaned up 0\n");
}

/* No worker ever gets to anything again: the dump and the end need none. */
static void stuck_workers_are_shown_and_left(void **state)
{
    (void)state;
    struct program p;
    start(&p, "burns");
    read_until(&p, "ready");
    assert_int_equal(kill(p.pid, SIGUSR1), 0);
    read_until(&p, "task slow_line (queued-0) pending");
    assert_non_null(strstr(p.text, "worker weft_1"));
    assert_non_null(strstr(p.text, "task burn running"));
    assert_non_null(strstr(p.text, " s on weft"));
    assert_int_equal(kill(p.pid, SIGINT), 0);
    /* The first is known to be taken when the task is seen to be told. */
    do {
        p.len = 0;
        p.text[0] = '\0';
        assert_int_equal(kill(p.pid, SIGUSR1), 0);
        read_until(&p, "task wfi_root running");
    } while (!strstr(p.text, "asked to stop"));
    assert_int_equal(kill(p.pid, SIGTERM), 0);
    assert_int_equal(finish(&p), 128 + SIGTERM);
}

static void inside_itself_it_is_a_state_error(void **state)
{
    (void)state;
    struct program p;
    start(&p, "is_refused");
    assert_int_equal(finish(&p), 4);
}

static void an_ignored_signal_stays_ignored(void **state)
{
    (void)state;
    struct program p;
    start(&p, "ignores");
    read_until(&p, "ready");
    assert_int_equal(kill(p.pid, SIGINT), 0);
    assert_int_equal(kill(p.pid, SIGTERM), 0);
    assert_int_equal(finish(&p), 143);
}

static void a_negative_result_is_an_error(void **state)
{
    (void)state;
    struct program p;
    start(&p, "fails");
    assert_int_equal(finish(&p), 7);
    assert_non_null(strstr(p.text, "EIO: the root task failed: "));
}

static void services_are_left_alone(void **state)
{
    (void)state;
    struct program p;
    start(&p, "leaves_service");
    assert_int_equal(finish(&p), 0);
    assert_string_equal(p.text, "root returns\n");
}

static void a_signal_ends_the_wait_for_pools(void **state)
{
    (void)state;
    struct program p;
    start(&p, "leaves_queue");
    read_until(&p, "ready");
    assert_int_equal(kill(p.pid, SIGINT), 0);
    assert_int_equal(finish(&p), 130);
    assert_non_null(strstr(p.text, "queued task cancelled\nrunning unknown\n"));
}

static void the_program_decides_about_signals(void **state)
{
    (void)state;
    struct program p;
    char line[32];
    start(&p, "decides");
    read_until(&p, "ready");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kill(p.pid, SIGTERM), 0);
        p.len = 0;
        p.text[0] = '\0';
        snprintf(line, sizeof line, "signal %d\n", SIGTERM);
        read_until(&p, line);
    }
    assert_int_equal(kill(p.pid, SIGQUIT), 0);
    assert_int_equal(finish(&p), 128 + SIGQUIT);
    assert_non_null(strstr(p.text, "root ECANCELED\n"));
    start(&p, "decides");
    read_until(&p, "ready");
    assert_int_equal(kill(p.pid, SIGINT), 0);
    assert_int_equal(finish(&p), 128 + SIGINT);
    assert_null(strstr(p.text, "root ECANCELED\n"));
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return scenario(argv[1], (pid_t)atoi(argv[2]));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_roots_result_is_the_exit_status),
        cmocka_unit_test(tasks_left_behind_are_cancelled_and_awaited),
        cmocka_unit_test(work_left_on_a_pool_is_finished),
        cmocka_unit_test(a_signal_cancels_the_root_first),
        cmocka_unit_test(what_does_not_end_is_reported_and_left),
        cmocka_unit_test(the_dump_shows_who_waits_for_what),
        cmocka_unit_test(clean_up_may_wait),
        cmocka_unit_test(stuck_workers_are_shown_and_left),
        cmocka_unit_test(inside_itself_it_is_a_state_error),
        cmocka_unit_test(an_ignored_signal_stays_ignored),
        cmocka_unit_test(a_negative_result_is_an_error),
        cmocka_unit_test(services_are_left_alone),
        cmocka_unit_test(a_signal_ends_the_wait_for_pools),
        cmocka_unit_test(the_program_decides_about_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
