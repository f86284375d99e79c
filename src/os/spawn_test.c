/* SPDX-License-Identifier: MIT */
/* Starting a program and seeing its end, below everything that proc makes of it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/pidfd.h"
#include "os/socket.h"
#include "os/spawn.h"

static struct wfi_spawn_fd inherited[] = {
    {0, 0, true, false}, {1, 1, true, false}, {2, 2, true, false}};

static struct wfi_spawn shell(const char *const *argv)
{
    static const char *const programs[] = {"/bin/sh", NULL};
    return (struct wfi_spawn){.programs = programs,
                              .argv = argv,
                              .env = wfi_spawn_environment(),
                              .fds = inherited,
                              .fd_count = 3,
                              .umask = -1};
}

static struct wfi_process_end wait_for(int pidfd)
{
    struct wfi_process_end end = {.pid = 0}, seen = {.pid = 0};
    wfi_pidfd_wait(pidfd);
    assert_int_equal(wfi_pidfd_reap(pidfd, true, &seen), 0);
    assert_int_equal(wfi_pidfd_reap(pidfd, false, &end), 0);
    assert_int_equal(end.pid, seen.pid);
    assert_int_equal(end.status, seen.status);
    assert_int_equal(wfi_pidfd_reap(pidfd, false, &seen), -ECHILD);
    wfi_fd_close(pidfd);
    return end;
}

static void an_exit_is_seen(void **state)
{
    (void)state;
    const char *const argv[] = {"sh", "-c", "exit 12", NULL};
    struct wfi_spawn spawn = shell(argv);
    struct wfi_spawn_failure failure;
    int pid = 0, pidfd = -1;
    assert_int_equal(wfi_spawn(&spawn, &pid, &pidfd, &failure), 0);
    struct wfi_process_end end = wait_for(pidfd);
    assert_int_equal(end.pid, pid);
    assert_int_equal(end.status, 12);
    assert_int_equal(end.signal, 0);
}

static void a_signal_is_seen(void **state)
{
    (void)state;
    const char *const argv[] = {"sh", "-c", "while :; do sleep 1; done", NULL};
    struct wfi_spawn spawn = shell(argv);
    struct wfi_spawn_failure failure;
    struct wfi_process_end end;
    int pid = 0, pidfd = -1;
    spawn.group = WFI_SPAWN_SESSION;
    assert_int_equal(wfi_spawn(&spawn, &pid, &pidfd, &failure), 0);
    assert_int_equal(getsid(pid), pid);
    assert_int_equal(wfi_pidfd_reap(pidfd, false, &end), -EAGAIN);
    assert_int_equal(wfi_session_signal(pid, SIGKILL), 0);
    end = wait_for(pidfd);
    assert_int_equal(end.signal, SIGKILL);
    assert_int_equal(end.status, 0);
}

static void a_failure_says_at_what(void **state)
{
    (void)state;
    const char *const argv[] = {"sh", "-c", "exit 0", NULL};
    const char *const missing[] = {"/no/such/a", "/no/such/b", NULL};
    struct wfi_spawn spawn = shell(argv);
    struct wfi_spawn_failure failure = {WFI_SPAWN_START, 0};
    int pid = 0, pidfd = -1;
    spawn.programs = missing;
    assert_int_equal(wfi_spawn(&spawn, &pid, &pidfd, &failure), -ENOENT);
    assert_int_equal(failure.step, WFI_SPAWN_EXEC);
    assert_int_equal(failure.at, 2);
    spawn = shell(argv);
    spawn.cwd = "/dev/null";
    assert_int_equal(wfi_spawn(&spawn, &pid, &pidfd, &failure), -ENOTDIR);
    assert_int_equal(failure.step, WFI_SPAWN_CWD);
    assert_int_equal(pidfd, -1);
}

static int with_fork(void **state)
{
    (void)state;
    wfi_spawn_force_fork(true);
    return 0;
}

static int without_fork(void **state)
{
    (void)state;
    wfi_spawn_force_fork(false);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exit_is_seen),
        cmocka_unit_test(a_signal_is_seen),
        cmocka_unit_test(a_failure_says_at_what),
        cmocka_unit_test_setup_teardown(an_exit_is_seen, with_fork, without_fork),
        cmocka_unit_test_setup_teardown(a_signal_is_seen, with_fork, without_fork),
        cmocka_unit_test_setup_teardown(a_failure_says_at_what, with_fork, without_fork),
    };
    return cmocka_run_group_tests_name("spawn", tests, NULL, NULL);
}
