/* SPDX-License-Identifier: MIT */
#include "os/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/sanitizer.h"

/* Of linux/wait.h and asm/unistd.h, where the C library's headers are older. */
#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef __WALL
#define __WALL 0x40000000
#endif

int wfi_process_id(void)
{
    return getpid();
}

int wfi_process_parent_id(void)
{
    return getppid();
}

int wfi_process_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    if (!dir)
        return -errno;
    int count = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

void wfi_process_flush(void)
{
    fflush(NULL);
}

int wfi_process_fork(void)
{
    int pid = fork();
    return pid < 0 ? -errno : pid;
}

int wfi_process_join(int pid, int *ret_wait_status)
{
    int got;
    do
        got = waitpid(pid, ret_wait_status, 0);
    while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : 0;
}

int wfi_process_open(int pid)
{
    if (wfi_under_valgrind())
        return -ENOSYS;                        /* it would say so itself, at length */
    long fd = syscall(SYS_pidfd_open, pid, 0); /* closed on exec, always */
    if (fd >= 0)
        return (int)fd;
    return errno == EPERM ? -ENOSYS : -errno;
}

int wfi_process_signal(int pidfd, int signo)
{
    return syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) < 0 ? -errno : 0;
}

int wfi_process_reap(int pidfd, int *ret_wait_status)
{
    siginfo_t info = {.si_pid = 0};
    int got;
    do
        got = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | __WALL);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    if (!info.si_pid)
        return -EAGAIN;
    if (info.si_code == CLD_EXITED)
        *ret_wait_status = (info.si_status & 0xff) << 8;
    else
        *ret_wait_status = info.si_status | (info.si_code == CLD_DUMPED ? 0x80 : 0);
    return 0;
}

void wfi_process_kill_child(int pid, int signo)
{
    kill(pid, signo);
}

int wfi_process_ends_open(void)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    int fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

void wfi_process_ends_take(int fd)
{
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof info) > 0)
        ;
}

int wfi_process_reap_any(int *ret_pid, int *ret_wait_status)
{
    int pid;
    do
        pid = waitpid(-1, ret_wait_status, WNOHANG);
    while (pid < 0 && errno == EINTR);
    if (pid < 0)
        return -errno;
    *ret_pid = pid;
    return pid ? 0 : -EAGAIN;
}

int wfi_process_pipe(int ret_fds[2])
{
    if (pipe2(ret_fds, O_CLOEXEC) < 0)
        return -errno;
    /* Of this end's open file alone; the other end has one of its own. */
    fcntl(ret_fds[0], F_SETFL, O_NONBLOCK);
    return 0;
}

int wfi_process_write(int fd, const char *bytes, size_t len)
{
    while (len) {
        ssize_t wrote = write(fd, bytes, len);
        if (wrote > 0) {
            bytes += wrote;
            len -= (size_t)wrote;
        } else if (wrote < 0 && errno == EAGAIN) {
            struct pollfd ready = {.fd = fd, .events = POLLOUT};
            poll(&ready, 1, -1);
        } else if (wrote < 0 && errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

int wfi_process_die_with(int parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return -errno;
    /* Ended before the call, it would never be told. */
    return getppid() == parent ? 0 : -ESRCH;
}

void wfi_process_leave_group(void)
{
    setpgid(0, 0);
}

int wfi_process_null_input(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return -errno;
    int err = 0;
    for (int fd = 0; fd <= 2 && !err; fd++)
        if (fd == 0 || fd == null || (fcntl(fd, F_GETFD) < 0 && errno == EBADF))
            err = wfi_process_take_descriptor(null, fd);
    if (null > 2)
        close(null);
    return err;
}

int wfi_process_move_descriptor(int fd)
{
    if (fd > 2)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (moved < 0)
        return -errno;
    close(fd);
    return moved;
}

int wfi_process_take_descriptor(int fd, int as)
{
    if (fd == as)
        return fcntl(fd, F_SETFD, 0) < 0 ? -errno : 0;
    return dup2(fd, as) < 0 ? -errno : 0;
}

/* One at a time, for kernels and emulators without the call. */
static void close_each(unsigned first, unsigned last)
{
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char *end;
        unsigned long fd = strtoul(entry->d_name, &end, 10);
        if (!*end && fd >= first && fd <= last && (int)fd != dirfd(dir))
            close((int)fd);
    }
    closedir(dir);
}

static void close_between(unsigned first, unsigned last)
{
    if (first <= last && syscall(SYS_close_range, first, last, 0) < 0)
        close_each(first, last);
}

static int by_number(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

void wfi_process_close_descriptors(int *keep, size_t count)
{
    unsigned first = 3;
    if (count)
        qsort(keep, count, sizeof *keep, by_number);
    for (size_t i = 0; i < count; i++) {
        if (keep[i] < (int)first)
            continue;
        close_between(first, (unsigned)keep[i] - 1);
        first = (unsigned)keep[i] + 1;
    }
    close_between(first, ~0u);
}

void wfi_process_block_signals(void)
{
    /* Ignored, the ends of children would not be told. */
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(SIGCHLD, &action, NULL);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
}

void wfi_process_default_signals(void)
{
    for (int signo = 1; signo < NSIG; signo++) {
        static const int synchronous[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
        bool kept = signo == SIGKILL || signo == SIGSTOP;
        for (size_t i = 0; i < sizeof synchronous / sizeof *synchronous; i++)
            kept |= signo == synchronous[i];
        /* The numbers that the C library uses itself are refused, and that is fine. */
        struct sigaction action = {.sa_handler = SIG_DFL};
        if (!kept)
            sigaction(signo, &action, NULL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static rlim_t limit_value(uint64_t value)
{
    return value == UINT64_MAX ? RLIM_INFINITY : (rlim_t)value;
}

int wfi_process_check_limit(const struct wfi_rlimit *limit)
{
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)limit->resource, &now) < 0)
        return -errno;
    if (limit->soft > limit->hard)
        return -EINVAL;
    return limit_value(limit->hard) > now.rlim_max && geteuid() != 0 ? -EPERM : 0;
}

void wfi_process_raise_address_limit(struct wfi_rlimit *limit, uint64_t bytes)
{
    struct rlimit now;
    if (limit->resource != RLIMIT_AS || getrlimit(RLIMIT_AS, &now) < 0)
        return;
    uint64_t most = now.rlim_max == RLIM_INFINITY ? UINT64_MAX : now.rlim_max;
    uint64_t *values[] = {&limit->soft, &limit->hard};
    for (int i = 0; i < 2; i++)
        if (*values[i] < most)
            *values[i] = most - *values[i] < bytes ? most : *values[i] + bytes;
}

int wfi_process_set_limit(const struct wfi_rlimit *limit)
{
    struct rlimit value = {limit_value(limit->soft), limit_value(limit->hard)};
    return setrlimit((__rlimit_resource_t)limit->resource, &value) < 0 ? -errno : 0;
}

void wfi_process_exit(int status)
{
    fflush(NULL);
    _exit(status);
}
