/* SPDX-License-Identifier: MIT */
/* Named threads: conformance group THR. */
#include "engines.h"

#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/local.h>
#include <weft/thread.h>

static struct wf_event release;
static WFI_ATOMIC(int) ran;
static char os_name[16];

static int work(void *arg)
{
    assert_int_equal(pthread_getname_np(pthread_self(), os_name, sizeof os_name), 0);
    wfi_fetch_add(&ran, 1);
    return arg ? *(int *)arg : 0;
}

static int blocks(void *arg)
{
    wfi_fetch_add(&ran, 1);
    int err = wf_event_wait(&release, party_soon());
    return err ? err : *(int *)arg;
}

static struct wf_thread *make(const char *name, int (*fn)(void *), void *arg)
{
    struct wf_thread *t;
    struct wf_thread_options options = {.name = name, .function = name ? NULL : "work"};
    assert_int_equal(wf_thread_create(&options, fn, arg, &t, NULL), 0);
    return t;
}

/* THR-01 */
static void names(void **state)
{
    (void)state;
    struct wf_thread *a = make("logger", work, NULL), *b, *c, *d;
    assert_string_equal(wf_thread_name(a), "logger");
    assert_int_equal(
        wf_thread_create(&(struct wf_thread_options){.name = ""}, work, NULL, &b, NULL), 0);
    assert_true(strncmp(wf_thread_name(b), "Thread-", 7) == 0);
    assert_int_equal(WF_THREAD(work, NULL, &c, NULL), 0);
    assert_non_null(strstr(wf_thread_name(c), " (work)"));
    assert_string_not_equal(wf_thread_name(b), wf_thread_name(c));
    /* 14 bytes, then one character of three: cut before it, not in it. */
    d = make("abcdefghijklmn\xe2\x82\xac-and-more", work, NULL);
    assert_int_equal(wf_thread_start(d), 0);
    assert_int_equal(wf_thread_join(d, NULL, party_soon()), 0);
    assert_string_equal(os_name, "abcdefghijklmn");
    assert_string_equal(wf_thread_name(d), "abcdefghijklmn\xe2\x82\xac-and-more");
    wf_thread_destroy(a);
    wf_thread_destroy(b);
    wf_thread_destroy(c);
    wf_thread_destroy(d);
}

static int joins(void *arg)
{
    int code = 0;
    int err = wf_thread_join(*(struct wf_thread **)arg, &code, party_soon());
    return err ? err : code == 7 ? 0 : -EPROTO;
}

/* THR-02 */
static void joins_time_out_and_twenty_join_at_once(void **state)
{
    (void)state;
    int code = 0, seven = 7;
    wf_event_init(&release);
    wfi_store(&ran, 0);
    struct wf_thread *t = make("blocked", blocks, &seven), *joiners[20];
    assert_int_equal(wf_thread_start(t), 0);
    int64_t before = wf_now();
    assert_int_equal(wf_thread_join(t, &code, wf_after(WF_MILLISECONDS(10))), -ETIMEDOUT);
    assert_true(wf_now() - before >= WF_MILLISECONDS(10));
    assert_true(wf_thread_alive(t));
    for (int i = 0; i < 20; i++) {
        joiners[i] = make("joiner", joins, &t);
        assert_int_equal(wf_thread_start(joiners[i]), 0);
    }
    wf_event_set(&release);
    for (int i = 0; i < 20; i++) {
        code = -1;
        assert_int_equal(wf_thread_join(joiners[i], &code, party_soon()), 0);
        assert_int_equal(code, 0);
        wf_thread_destroy(joiners[i]);
    }
    assert_int_equal(wf_thread_join(t, &code, WF_NOW), 0);
    assert_int_equal(code, 7);
    assert_false(wf_thread_alive(t));
    wf_thread_destroy(t);
    wf_event_fini(&release);
}

static void find(struct wf_thread *thread, void *arg)
{
    struct wf_thread **wanted = arg;
    if (thread == *wanted)
        *wanted = NULL;
}

static int joins_itself(void *arg)
{
    struct wf_thread *self = *(struct wf_thread **)arg;
    if (wf_thread_self() != self)
        return -EPROTO;
    return wf_thread_join(self, NULL, party_soon()) == WF_ESTATE ? 0 : -EDEADLK;
}

/* THR-03 */
static void misuse_is_a_state_error(void **state)
{
    (void)state;
    int code = -1, zero = 0;
    wf_event_init(&release);
    struct wf_thread *t = make("once", blocks, &zero), *wanted = t;
    assert_int_equal(wf_thread_join(t, NULL, WF_NOW), WF_ESTATE);
    assert_int_equal(wf_thread_start(t), 0);
    assert_int_equal(wf_thread_start(t), WF_ESTATE);
    assert_int_equal(wf_thread_each(find, &wanted), 1);
    assert_null(wanted);
    wf_event_set(&release);
    assert_int_equal(wf_thread_join(t, NULL, party_soon()), 0);
    assert_int_equal(wf_thread_start(t), WF_ESTATE);
    wanted = t;
    assert_int_equal(wf_thread_each(find, &wanted), 0);
    assert_ptr_equal(wanted, t);
    wf_thread_destroy(t);

    assert_null(wf_thread_self());
    t = make("narcissus", joins_itself, &t);
    assert_int_equal(wf_thread_start(t), 0);
    assert_int_equal(wf_thread_join(t, &code, party_soon()), 0);
    assert_int_equal(code, 0);
    wf_thread_destroy(t);
    wf_thread_destroy(NULL);
    wf_event_fini(&release);
}

static struct wf_error seen[2];
static int seen_count, hook_code;

static int failure_hook(const struct wf_error *error, void *arg)
{
    assert_ptr_equal(arg, seen);
    seen[0] = *error;
    seen_count++;
    return hook_code;
}

static int last_hook(const struct wf_error *error, void *arg)
{
    (void)arg;
    seen[1] = *error;
    return 0;
}

/* THR-04 */
static void a_failure_reaches_the_hook_or_the_default(void **state)
{
    (void)state;
    int failure = -EIO;
    wf_thread_set_failure_hook(failure_hook, seen);
    wf_set_error_hook(last_hook, NULL);
    for (hook_code = 0; hook_code < 2; hook_code++) {
        memset(seen, 0, sizeof seen);
        seen_count = 0;
        struct wf_thread *t = make("worker-9", work, &failure);
        int code = 0;
        assert_int_equal(wf_thread_start(t), 0);
        assert_int_equal(wf_thread_join(t, &code, party_soon()), 0);
        assert_int_equal(code, -EIO);
        assert_int_equal(seen_count, 1);
        assert_int_equal(seen[0].code, -EIO);
        assert_string_equal(seen[0].origin, "worker-9");
        assert_int_equal(seen[1].code, hook_code ? -EIO : 0);
        wf_thread_destroy(t);
    }
    wf_thread_set_failure_hook(NULL, NULL);
    wf_set_error_hook(NULL, NULL);
}

struct joining {
    struct wf_thread *thread;
};

/* THR-02, whoever joins: party 0 lets the thread go when the twenty others wait for it. */
static void join_party(struct party *self)
{
    struct joining *joining = self->arg;
    int code = 0;
    if (self->index == 0) {
        check_int(wf_thread_join(joining->thread, &code, WF_NOW), -ETIMEDOUT);
        for (int i = 1; i < self->count; i++)
            party_parked(party_at(self, i), "thread");
        /* One that is cancelled disturbs nobody. */
        party_cancel(party_at(self, 21));
        party_ended(party_at(self, 21));
        wf_event_set(&release);
    }
    bool cancelled = self->index == 21;
    check_int(wf_thread_join(joining->thread, &code, party_soon()), cancelled ? -ECANCELED : 0);
    check_int(code, cancelled ? 0 : 7);
}

static void twenty_parties_join(void **state)
{
    int seven = 7;
    wf_event_init(&release);
    struct joining joining = {make("joined", blocks, &seven)};
    assert_int_equal(wf_thread_start(joining.thread), 0);
    party_run(party_mode_of(state), 22, join_party, &joining);
    wf_thread_destroy(joining.thread);
    wf_event_fini(&release);
}

WF_LOCAL(int, tint)
WF_LOCAL_DEFINE(int, tint, 1)

static int sees_context(void *arg)
{
    (void)arg;
    int tinted = tint_get();
    return tint_set(9) ? -ENOMEM : tinted;
}

/* CTX-02 */
static void a_thread_sees_its_starters_context(void **state)
{
    (void)state;
    struct wf_thread *t = make("context", sees_context, NULL);
    int code = 0;
    assert_int_equal(tint_set(5), 0);
    assert_int_equal(wf_thread_start(t), 0);
    assert_int_equal(wf_thread_join(t, &code, party_soon()), 0);
    assert_int_equal(code, 5);
    assert_int_equal(tint_get(), 5);
    wf_thread_destroy(t);
}

static void cancelling_interrupts_its_waits(void **state)
{
    (void)state;
    int zero = 0, code = 0;
    memset(seen, 0, sizeof seen);
    wf_set_error_hook(last_hook, NULL);
    wf_event_init(&release);
    wfi_store(&ran, 0);
    struct wf_thread *t = make("cancelled", blocks, &zero);
    assert_int_equal(wf_thread_start(t), 0);
    party_reaches(&ran, 1);
    assert_int_equal(wf_thread_cancel(t), WF_CANCEL_ASKED);
    assert_int_equal(wf_thread_join(t, &code, party_soon()), 0);
    assert_int_equal(code, -ECANCELED);
    assert_int_equal(wf_thread_cancel(t), WF_CANCEL_TOO_LATE);
    wf_thread_destroy(t);

    t = make("cancelled before", blocks, &zero);
    assert_int_equal(wf_thread_cancel(t), WF_CANCEL_ASKED);
    assert_int_equal(wf_thread_start(t), 0);
    assert_int_equal(wf_thread_join(t, &code, party_soon()), 0);
    assert_int_equal(code, -ECANCELED);
    wf_thread_destroy(t);
    assert_int_equal(seen[1].code, 0); /* no failure */
    wf_set_error_hook(NULL, NULL);
    wf_event_fini(&release);
}

static void a_forked_child_is_refused(void **state)
{
    (void)state;
    static struct wf_thread *t; /* where Valgrind sees it from the child's end as well */
    t = make("forked", work, NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(wf_thread_start(t) == WF_EFORKED && wf_thread_join(t, NULL, WF_NOW) == WF_EFORKED
                  ? 0
                  : 1);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    wf_thread_destroy(t);
}

struct name {
    char text[64];
};
WF_TASK(struct name, ask_name)

int ask_name(struct wf_task *self, struct name *ret)
{
    (void)self;
    snprintf(ret->text, sizeof ret->text, "%s", wf_thread_name(NULL));
    return 0;
}
WF_TASK_DEFINE(ask_name)

static void ask_names(struct wf_executor *on)
{
    struct wf_submit_options options = {.name = "craw1"};
    struct name name;
    ask_name_future f = ask_name_submit_with(on, &options);
    check_int(ask_name_result(&f, &name, party_soon(), NULL), 0);
    unsigned executor, number;
    if (strcmp(wf_executor_engine(on), "fibers") == 0)
        check(strcmp(name.text, "craw1") == 0);
    else if (strcmp(wf_executor_engine(on), "threads") == 0)
        check_int(sscanf(name.text, "threads%u_%u", &executor, &number), 2);
    else
        check(strcmp(name.text, "main") == 0);
}

static int own_name_is(void *arg)
{
    return strcmp(wf_thread_name(NULL), arg) == 0 ? 0 : -EINVAL;
}

/* THR-01 */
static void the_calling_party_has_a_name_on_every_engine(void **state)
{
    (void)state;
    ON_ALL(ask_names);
    char name[] = "a name that is longer than what others have to show of it";
    struct wf_thread *t = make(name, own_name_is, name);
    int code = -1;
    assert_int_equal(wf_thread_start(t), 0);
    assert_int_equal(wf_thread_join(t, &code, party_soon()), 0);
    assert_int_equal(code, 0);
    wf_thread_destroy(t);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    int zero = 0;
    for (uint64_t n = 1;; n++) {
        struct wf_thread *t;
        wfi_alloc_watch(n);
        int err = wf_thread_create(NULL, work, &zero, &t, NULL);
        if (!err) {
            err = wf_thread_start(t);
            if (!err)
                assert_int_equal(wf_thread_join(t, NULL, party_soon()), 0);
            wf_thread_destroy(t);
        }
        assert_true(!err || err == -ENOMEM || err == -EAGAIN);
        if (!wfi_alloc_unwatch())
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(joins_time_out_and_twenty_join_at_once),
        cmocka_unit_test(misuse_is_a_state_error),
        cmocka_unit_test(a_failure_reaches_the_hook_or_the_default),
        PARTY_TEST(twenty_parties_join),
        cmocka_unit_test(a_thread_sees_its_starters_context),
        cmocka_unit_test(cancelling_interrupts_its_waits),
        cmocka_unit_test(a_forked_child_is_refused),
        cmocka_unit_test(the_calling_party_has_a_name_on_every_engine),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
