/* SPDX-License-Identifier: MIT */
/*
 * Bugs planted on fibers' stacks, each in a child process: the overflow report says what it must,
 * ASan finds a use after return, TSan finds races that a careless switch would hide, and neither
 * complains where there is nothing.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/atomic.h"
#include "os/context.h"
#include "os/fault.h"
#include "os/memory.h"
#include "os/stack.h"

#if WFI_ASAN
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_stack_use_after_return=1";
}
#endif

static struct wfi_stack_pool *pool;
static struct wfi_context native;

struct fiber {
    struct wfi_context context;
    char name[16];
};

static char said[64 * 1024]; /* what the child wrote on standard error */

/* Runs fn in a child; returns its wait status. */
static int in_child(void (*fn)(void))
{
    int ends[2];
    fflush(NULL);
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, SIG_DFL); /* not the test program's handlers */
        signal(SIGBUS, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        if (wfi_stack_pool_create(0, sizeof(struct fiber), &pool, NULL))
            _exit(70);
        wfi_context_native(&native);
        fn();
        wfi_stack_pool_destroy(pool);
        exit(0);
    }
    close(ends[1]);
    size_t len = 0;
    ssize_t n;
    while (len < sizeof said - 1 && (n = read(ends[0], said + len, sizeof said - 1 - len)) > 0)
        len += (size_t)n;
    said[len] = 0;
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static struct fiber *start(void (*entry)(void *))
{
    struct fiber *fiber = wfi_stack_get(pool, NULL);
    if (!fiber)
        _exit(71);
    void *low;
    size_t bytes;
    wfi_stack_range(pool, fiber, &low, &bytes);
    wfi_context_make(&fiber->context, low, bytes, entry, fiber);
    return fiber;
}

static void run(struct fiber *fiber)
{
    wfi_context_switch(&native, &fiber->context);
}

static void end(struct fiber *fiber)
{
    wfi_context_fini(&fiber->context);
    wfi_stack_put(pool, fiber);
}

/* Overflow. */

static const char *fiber_name(const void *block)
{
    return ((const struct fiber *)block)->name;
}

static volatile char sink;

static int deeper(int depth)
{
    volatile char frame[512];
    frame[0] = (char)depth;
    int below = depth ? deeper(depth - 1) : 0;
    sink = frame[0];
    return below + 1;
}

static void overflow(void *arg)
{
    struct fiber *fiber = arg;
    strcpy(fiber->name, "digger");
    deeper(1000000);
    wfi_context_exit(&fiber->context, &native);
}

static void *overflow_on_a_thread(void *arg)
{
    (void)arg;
    wfi_context_native(&native);
    if (wfi_fault_thread_init())
        _exit(72);
    run(start(overflow));
    return NULL;
}

static void plant_overflow(void)
{
    if (wfi_fault_install(fiber_name, NULL) || wfi_fault_thread_init())
        _exit(72);
    run(start(overflow));
}

static void plant_overflow_on_a_thread(void)
{
    pthread_t thread;
    if (wfi_fault_install(fiber_name, NULL))
        _exit(72);
    pthread_create(&thread, NULL, overflow_on_a_thread, NULL);
    pthread_join(thread, NULL);
}

static void check_overflow_report(int status)
{
    assert_true(WIFSIGNALED(status));
    assert_true(WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGBUS);
    assert_non_null(strstr(said, "stack overflow in fiber \"digger\""));
    assert_non_null(strstr(said, "262144 reserved"));
    assert_non_null(strstr(said, ".stack_bytes"));
}

static void an_overflow_is_reported_with_name_size_and_option(void **state)
{
    (void)state;
    check_overflow_report(in_child(plant_overflow));
    check_overflow_report(in_child(plant_overflow_on_a_thread));
}

static void plant_overflow_by_mprotect(void)
{
    wfi_memory_guards_limit(100);
    plant_overflow();
}

static void an_overflow_into_an_older_guard_is_reported_too(void **state)
{
    (void)state;
    check_overflow_report(in_child(plant_overflow_by_mprotect));
}

/* Foreign faults. */

static void *volatile wild;

static void previous_handler(int signal, siginfo_t *info, void *ucontext)
{
    (void)ucontext;
    _exit(signal == SIGSEGV && info->si_addr == wild ? 42 : 43);
}

static void touch_wild_page(void)
{
    size_t page = wfi_page_bytes();
    void *low;
    if (wfi_memory_reserve(page, page, &low) ||
        wfi_memory_guard(&(struct iovec){low, page}, 1) != 1)
        _exit(73);
    wild = low;
    if (wfi_fault_install(fiber_name, NULL) || wfi_fault_thread_init())
        _exit(72);
    *(volatile char *)wild = 1;
}

static void plant_foreign_fault(void)
{
    struct sigaction action = {.sa_sigaction = previous_handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    touch_wild_page();
}

static void a_foreign_fault_goes_to_the_handler_that_was_there(void **state)
{
    (void)state;
    int status = in_child(plant_foreign_fault);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
    assert_null(strstr(said, "stack overflow"));
    status = in_child(touch_wild_page); /* none was there: the default action */
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
    assert_null(strstr(said, "stack overflow in fiber"));
}

static void plant_sent_signal(void)
{
    if (wfi_fault_install(fiber_name, NULL) || wfi_fault_thread_init())
        _exit(72);
    raise(SIGSEGV);
}

static void a_signal_somebody_sent_ends_the_process_too(void **state)
{
    (void)state;
    int status = in_child(plant_sent_signal);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
}

static void uninstalling_brings_the_old_handler_back(void **state)
{
    (void)state;
    struct sigaction before, during, after;
    sigaction(SIGSEGV, NULL, &before);
    assert_int_equal(wfi_fault_install(fiber_name, NULL), 0);
    assert_int_equal(wfi_fault_install(fiber_name, NULL), 0);
    sigaction(SIGSEGV, NULL, &during);
    wfi_fault_uninstall();
    wfi_fault_uninstall();
    sigaction(SIGSEGV, NULL, &after);
    assert_true(before.sa_sigaction == after.sa_sigaction);
    assert_true(before.sa_sigaction != during.sa_sigaction);
}

/* Reuse. */

static void leave(struct fiber *fiber)
{
    wfi_context_exit(&fiber->context, &native);
}
static void (*volatile leave_hidden)(struct fiber *) = leave; /* or gcc sees a recursion for ever */

/* Frames with red zones, never left by a return, on one stack again and again. */
static __attribute__((noinline)) void sprawl(struct fiber *fiber, int depth)
{
    volatile char frame[300];
    for (size_t i = 0; i < sizeof frame; i++)
        frame[i] = (char)depth;
    if (depth)
        sprawl(fiber, depth - 1);
    else
        leave_hidden(fiber);
}

static void sprawl_and_end(void *arg)
{
    sprawl(arg, 30);
}

static void fill_the_stack(void *arg)
{
    struct fiber *fiber = arg;
    volatile char frame[20000];
    for (size_t i = 0; i < sizeof frame; i++)
        frame[i] = 1;
    wfi_context_exit(&fiber->context, &native);
}

static void reuse_abandoned_frames(void)
{
    for (int i = 0; i < 20; i++) {
        struct fiber *fiber = start(i % 2 ? fill_the_stack : sprawl_and_end);
        run(fiber);
        end(fiber);
    }
}

static void frames_abandoned_at_exit_do_not_hurt_the_next_fiber(void **state)
{
    (void)state;
    assert_int_equal(in_child(reuse_abandoned_frames), 0);
    assert_null(strstr(said, "ERROR"));
}

/* ASan. */

#if WFI_ASAN
static volatile int *volatile escaped;

static __attribute__((noinline)) void let_a_local_escape(void)
{
    volatile int local[16];
    local[3] = 1;
    escaped = local;
}

static void return_too_early(void *arg)
{
    struct fiber *fiber = arg;
    let_a_local_escape();
    wfi_context_switch(&fiber->context, &native);
    escaped[3] = 2; /* long gone, two switches later */
    wfi_context_exit(&fiber->context, &native);
}

static void plant_use_after_return(void)
{
    struct fiber *fiber = start(return_too_early);
    run(fiber);
    run(fiber);
}

static void asan_finds_a_use_after_return_across_switches(void **state)
{
    (void)state;
    int status = in_child(plant_use_after_return);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    assert_non_null(strstr(said, "stack-use-after-return"));
    assert_non_null(strstr(said, "return_too_early"));
}

static size_t mapped_bytes(void)
{
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file || fscanf(file, "%zu", &pages) != 1)
        _exit(74);
    fclose(file);
    return pages * wfi_page_bytes();
}

static void end_many_fibers(void)
{
    size_t before = 0;
    for (int i = 0; i < 220; i++) {
        if (i == 20)
            before = mapped_bytes();
        struct fiber *fiber = start(sprawl_and_end);
        run(fiber);
        end(fiber);
    }
    if (mapped_bytes() - before > (size_t)32 << 20) /* a fake stack is half a megabyte and more */
        _exit(75);
}

static void an_ended_fiber_gives_asan_its_fake_stack_back(void **state)
{
    (void)state;
    assert_int_equal(in_child(end_many_fibers), 0);
}
#endif

/* TSan. */

#if WFI_TSAN
#define TSAN_FOUND 66

static int shared;
static WFI_ATOMIC(int) ordered;

static void write_between_switches(void *arg)
{
    struct fiber *fiber = arg;
    for (int i = 0; i < 3; i++) {
        shared++;
        wfi_context_switch(&fiber->context, &native);
    }
    wfi_context_exit(&fiber->context, &native);
}

static void plant_race_between_live_fibers(void)
{
    struct fiber *a = start(write_between_switches), *b = start(write_between_switches);
    for (int i = 0; i < 4; i++) {
        run(a);
        run(b);
    }
    end(a);
    end(b);
}

static void write_and_end(void *arg)
{
    struct fiber *fiber = arg;
    shared++;
    wfi_context_exit(&fiber->context, &native);
}

static void plant_race_with_an_ended_fiber(void)
{
    for (int i = 0; i < 2; i++) { /* the second starts when the first has ended, on its stack */
        struct fiber *fiber = start(write_and_end);
        run(fiber);
        end(fiber);
    }
}

static void tsan_finds_races_between_fibers_of_one_thread(void **state)
{
    (void)state;
    int status = in_child(plant_race_between_live_fibers);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), TSAN_FOUND);
    assert_non_null(strstr(said, "data race"));
    assert_non_null(strstr(said, "write_between_switches"));
    status = in_child(plant_race_with_an_ended_fiber);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), TSAN_FOUND);
    assert_non_null(strstr(said, "write_and_end"));
}

static void use_locals(void *arg)
{
    struct fiber *fiber = arg;
    volatile int local[200];
    volatile int *escapes = local;
    for (int i = 0; i < 200; i++)
        escapes[i] = i;
    wfi_fetch_add(&ordered, 1);
    shared += escapes[199];
    wfi_fetch_add(&ordered, 1);
    wfi_context_exit(&fiber->context, &native);
}

static void reuse_a_stack_in_order(void)
{
    for (int i = 0; i < 50; i++) {
        struct fiber *fiber = start(use_locals);
        run(fiber);
        end(fiber);
    }
}

static void use_only_locals(void *arg)
{
    struct fiber *fiber = arg;
    volatile int local[200];
    volatile int *escapes = local;
    for (int i = 0; i < 200; i++)
        escapes[i] = escapes[(i * 7) % (i + 1)];
    wfi_context_exit(&fiber->context, &native);
}

static void reuse_a_stack_without_order(void)
{
    for (int i = 0; i < 50; i++) {
        struct fiber *fiber = start(use_only_locals);
        run(fiber);
        end(fiber);
    }
}

static void tsan_is_silent_about_ordered_fibers_and_reused_stacks(void **state)
{
    (void)state;
    assert_int_equal(in_child(reuse_a_stack_in_order), 0);
    assert_string_equal(said, "");
    assert_int_equal(in_child(reuse_a_stack_without_order), 0);
    assert_string_equal(said, "");
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_overflow_is_reported_with_name_size_and_option),
        cmocka_unit_test(an_overflow_into_an_older_guard_is_reported_too),
        cmocka_unit_test(a_foreign_fault_goes_to_the_handler_that_was_there),
        cmocka_unit_test(a_signal_somebody_sent_ends_the_process_too),
        cmocka_unit_test(uninstalling_brings_the_old_handler_back),
        cmocka_unit_test(frames_abandoned_at_exit_do_not_hurt_the_next_fiber),
#if WFI_ASAN
        cmocka_unit_test(asan_finds_a_use_after_return_across_switches),
        cmocka_unit_test(an_ended_fiber_gives_asan_its_fake_stack_back),
#endif
#if WFI_TSAN
        cmocka_unit_test(tsan_finds_races_between_fibers_of_one_thread),
        cmocka_unit_test(tsan_is_silent_about_ordered_fibers_and_reused_stacks),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
