/* SPDX-License-Identifier: MIT */
/*
 * What happens between clone and exec stands in the functions marked WFI_RAW: no library, no
 * instrumentation, no lock, no memory but the child's own stack and struct job. The parent's thread
 * stands still until the child has called exec or has ended; its other threads run on.
 *
 * Every signal is blocked from before the clone until the child has no handler any more: one of the
 * parent's that ran in the child would run in the parent's memory.
 */
#include "os/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "os/pidfd.h"
#include "os/raw.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

enum {
    STACK = 16 * 1024, /* the deepest chain of frames is about 1 KiB, 5 KiB unoptimised */
    SIGNALS = 64,
    SIGNALS_STANDARD = 31, /* those that programs are started with ignored, now and then */
    SIGNAL_BYTES = SIGNALS / 8,
    EXIT_NOT_FOUND = 127,
};

/* What the child works from and reports in. */
struct job {
    const struct wfi_spawn *spawn;
    bool sharing;   /* memory, and at first the table of descriptors too, are the parent's */
    bool cleared;   /* no signal has a handler */
    int report;     /* a pipe for the error where memory is not shared; else -1 */
    int used;       /* the highest number that the child's descriptors come from */
    bool copied;    /* some are there twice: they had to go out of the way */
    int moved_from; /* room for copies: above all that the child is to have */
    struct failure {
        int error; /* negative errno, or 0 */
        struct wfi_spawn_failure where;
    } failure;
};

WFI_RAW static long call(long number, long a, long b, long c)
{
    return wfi_raw_call(number, a, b, c, 0, 0);
}

WFI_RAW __attribute__((noreturn)) static void leave(int status)
{
    for (;;)
        call(SYS_exit_group, status, 0, 0);
}

WFI_RAW __attribute__((noreturn)) static void fail(struct job *job, long error,
                                                   enum wfi_spawn_step step, size_t at)
{
    job->failure.error = (int)error;
    job->failure.where.step = step;
    job->failure.where.at = at;
    if (job->report >= 0)
        call(SYS_write, job->report, (long)&job->failure, sizeof job->failure);
    leave(EXIT_NOT_FOUND);
}

/* Where close_range is missing: whatever is open from `low` on is closed by exec. */
WFI_RAW static void close_on_exec_from(int low)
{
    static const char path[] = "/proc/self/fd";
    char entries[1024];
    long dir =
        wfi_raw_call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, 0);
    long n;
    while (dir >= 0 && (n = call(SYS_getdents64, dir, (long)entries, sizeof entries)) > 0)
        for (long at = 0; at < n;) {
            const char *entry = entries + at;
            const char *name = entry + 19;
            at += *(const unsigned char *)(entry + 16) | *(const unsigned char *)(entry + 17) << 8;
            int fd = 0;
            for (; *name >= '0' && *name <= '9'; name++)
                fd = fd * 10 + (*name - '0');
            if (fd >= low)
                call(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
        }
    if (dir >= 0) {
        call(SYS_close, dir, 0, 0);
        return;
    }
    struct rlimit64 limit;
    limit.rlim_cur = 0;
    wfi_raw_call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit, 0);
    for (int fd = low; (uint64_t)fd < limit.rlim_cur && fd < 1 << 20; fd++)
        call(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
}

/* Closes all from `low` to `high`; what cannot be closed in one call is closed by exec. */
WFI_RAW static void close_between(long low, long high)
{
    if (low > high)
        return;
    if (call(SYS_close_range, low, high, 0) == 0)
        return;
    if (high >= INT32_MAX)
        close_on_exec_from((int)low);
    else
        for (long fd = low; fd <= high; fd++)
            call(SYS_close, fd, 0, 0);
}

/* Puts one descriptor in its place. One that is merely inherited goes as exec would have it. */
WFI_RAW static void set_fd(struct job *job, size_t at)
{
    const struct wfi_spawn_fd *fd = &job->spawn->fds[at];
    if (fd->optional && fd->from == fd->to)
        return;
    if (fd->optional) {
        long flags = call(SYS_fcntl, fd->from, F_GETFD, 0);
        if (flags < 0 || flags & FD_CLOEXEC) {
            call(SYS_close, fd->to, 0, 0);
            return;
        }
    }
    long err = fd->from == fd->to ? call(SYS_fcntl, fd->to, F_SETFD, 0)
                                  : call(SYS_dup3, fd->from, fd->to, 0);
    if (err < 0)
        fail(job, err, WFI_SPAWN_FD, at);
}

/* A copy above all that the child is to have. */
WFI_RAW static long move_up(const struct job *job, int fd)
{
    long copy = call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, job->moved_from);
    return copy == -EINVAL ? -EMFILE : copy; /* above the limit of numbers */
}

/*
 * A table of descriptors of the child's own, with those that it needs and those below: copying all
 * of them, to close nearly all, would take long where the parent has many.
 */
WFI_RAW static void unshare_fds(struct job *job)
{
    if (call(SYS_close_range, job->used + 1, UINT32_MAX, CLOSE_RANGE_UNSHARE) == 0)
        return;
    long err = call(SYS_unshare, CLONE_FILES, 0, 0);
    if (err < 0)
        fail(job, err, WFI_SPAWN_START, 0);
    close_between(job->used + 1, UINT32_MAX);
}

/* What would be overwritten goes out of the way, then each to its place. */
WFI_RAW static void place_fds(struct job *job)
{
    struct wfi_spawn_fd *fds = job->spawn->fds;
    size_t count = job->spawn->fd_count;
    for (size_t i = 0; i < count; i++)
        if (fds[i].moved) {
            long fd = move_up(job, fds[i].from);
            if (fd < 0)
                fail(job, fd, WFI_SPAWN_FD, i);
            fds[i].from = (int)fd;
        }
    for (size_t i = 0; i < count; i++)
        set_fd(job, i);
}

WFI_RAW static void set_fds(struct job *job)
{
    const struct wfi_spawn_fd *fds = job->spawn->fds;
    size_t count = job->spawn->fd_count;
    if (job->sharing)
        unshare_fds(job);
    if (job->report >= 0) {
        long fd = move_up(job, job->report);
        if (fd < 0)
            fail(job, fd, WFI_SPAWN_FD, 0);
        job->report = (int)fd;
    }
    place_fds(job);
    long next = 0; /* all below it are as they should be */
    for (size_t i = 0; i < count; i++) {
        close_between(next, fds[i].to - 1);
        next = fds[i].to + 1;
    }
    if (job->report >= 0) {
        close_between(next, job->report - 1);
        next = job->report + 1;
    }
    if (!job->sharing || job->copied || next <= job->used)
        close_between(next, UINT32_MAX);
}

WFI_RAW static void reset_signals(const struct job *job)
{
    /* The kernel's struct sigaction: all zero is the default action. Static, because compilers call
     * memset for a zeroed local. */
    static const long action[4], none[SIGNAL_BYTES / sizeof(long)];
    int count = job->cleared ? SIGNALS_STANDARD : SIGNALS;
    for (int signo = 1; signo <= count; signo++)
        wfi_raw_call(SYS_rt_sigaction, signo, (long)action, 0, SIGNAL_BYTES, 0);
    wfi_raw_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)none, 0, SIGNAL_BYTES, 0);
}

/* An error that says no more than that another folder may have it. */
WFI_RAW static bool is_elsewhere(long error)
{
    return error == -ENOENT || error == -ENOTDIR || error == -EACCES || error == -ESTALE ||
           error == -ENODEV || error == -ETIMEDOUT;
}

WFI_RAW __attribute__((noreturn)) static void become_program(struct job *job)
{
    const struct wfi_spawn *spawn = job->spawn;
    long refused = 0, error = -ENOENT;
    size_t at = 0, refused_at = 0;
    for (; spawn->programs[at]; at++) {
        error = call(SYS_execve, (long)spawn->programs[at], (long)spawn->argv, (long)spawn->env);
        if (!is_elsewhere(error))
            fail(job, error, WFI_SPAWN_EXEC, at);
        if (error == -EACCES && !refused) {
            refused = error;
            refused_at = at;
        }
    }
    if (refused)
        fail(job, refused, WFI_SPAWN_EXEC, refused_at);
    fail(job, error, WFI_SPAWN_EXEC, at);
}

WFI_RAW static void child_main(void *arg)
{
    struct job *job = arg;
    const struct wfi_spawn *spawn = job->spawn;
    if (spawn->group == WFI_SPAWN_SESSION)
        call(SYS_setsid, 0, 0, 0);
    else if (spawn->group == WFI_SPAWN_GROUP)
        call(SYS_setpgid, 0, 0, 0);
    if (spawn->umask >= 0)
        call(SYS_umask, spawn->umask, 0, 0);
    set_fds(job);
    if (spawn->cwd) {
        long err = call(SYS_chdir, (long)spawn->cwd, 0, 0);
        if (err < 0)
            fail(job, err, WFI_SPAWN_CWD, 0);
    }
    for (size_t i = 0; i < spawn->limit_count; i++) {
        struct rlimit64 limit = {spawn->limits[i].soft, spawn->limits[i].hard};
        long err = wfi_raw_call(SYS_prlimit64, 0, spawn->limits[i].resource, (long)&limit, 0, 0);
        if (err < 0)
            fail(job, err, WFI_SPAWN_LIMIT, i);
    }
    reset_signals(job);
    become_program(job);
}

/* Whether a child of clone(CLONE_VM) shares memory. It does not under an emulator that makes a fork
 * of it, and says nothing. Asked once, by trying. */
enum { UNKNOWN, SHARED, COPIED };
static WFI_ATOMIC(int) sharing;
static WFI_ATOMIC(bool) fork_forced;

WFI_RAW static void raise_flag(void *arg)
{
    *(volatile int *)arg = 1;
    leave(0);
}

static void wait_for_end(int pidfd)
{
    siginfo_t info;
    while (syscall(SYS_waitid, P_PIDFD, pidfd, &info, WEXITED, NULL) < 0 && errno == EINTR)
        ;
    close(pidfd);
}

/*
 * The kernel's clone3 leaves no handler of the parent's in the child, so that only ignored signals
 * are left to be reset. It may be refused: old sandboxes do not know it.
 */
static WFI_ATOMIC(bool) clone3_refused;

static long clone_sharing(void *stack, void (*fn)(void *), void *arg, int *ret_pidfd,
                          bool *ret_cleared)
{
    unsigned long flags = CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_PIDFD;
    char *top = (char *)stack + STACK;
    if (!wfi_load_relaxed(&clone3_refused)) {
        struct clone_args args = {
            .flags = flags | CLONE_CLEAR_SIGHAND,
            .pidfd = (uintptr_t)ret_pidfd,
            .exit_signal = SIGCHLD,
            .stack = (uintptr_t)stack,
            .stack_size = STACK - WFI_RAW_FRAME,
        };
        *ret_cleared = true;
        long pid = wfi_raw_clone(SYS_clone3, (long)&args, CLONE_ARGS_SIZE_VER0, 0, top, fn, arg);
        if (pid != -ENOSYS && pid != -EPERM && pid != -EINVAL)
            return pid;
        wfi_store_relaxed(&clone3_refused, true);
    }
    *ret_cleared = false;
    return wfi_raw_clone(SYS_clone, (long)(flags | SIGCHLD), (long)(top - WFI_RAW_FRAME),
                         (long)ret_pidfd, top, fn, arg);
}

static bool shares_memory(void *stack)
{
    if (wfi_load_relaxed(&fork_forced))
        return false;
    int known = wfi_load_relaxed(&sharing);
    if (known == UNKNOWN && wfi_under_valgrind())
        known = COPIED;
    if (known == UNKNOWN) {
        volatile int flag = 0;
        bool cleared;
        int pidfd = -1;
        long pid = clone_sharing(stack, raise_flag, (void *)&flag, &pidfd, &cleared);
        if (pid == -EAGAIN || pid == -ENOMEM || pid == -EMFILE || pid == -ENFILE)
            return true; /* the next try meets it too, and tells */
        if (pid > 0)
            wait_for_end(pidfd);
        known = flag ? SHARED : COPIED;
    }
    wfi_store_relaxed(&sharing, known);
    return known == SHARED;
}

void wfi_spawn_force_fork(bool force)
{
    wfi_store_relaxed(&fork_forced, force);
}

static int spawn_sharing(struct job *job, void *stack, int *ret_pid, int *ret_pidfd)
{
    int pidfd = -1;
    job->sharing = true;
    long pid = clone_sharing(stack, child_main, job, &pidfd, &job->cleared);
    if (pid < 0)
        return (int)pid;
    if (job->failure.error) {
        wait_for_end(pidfd);
        return job->failure.error;
    }
    *ret_pid = (int)pid;
    *ret_pidfd = pidfd;
    return 0;
}

static int read_report(int fd, struct failure *ret_failure)
{
    ssize_t n;
    do
        n = read(fd, ret_failure, sizeof *ret_failure);
    while (n < 0 && errno == EINTR);
    return n == sizeof *ret_failure ? ret_failure->error : 0;
}

/* A fork without the C library's handlers, that gives a pidfd where it can. */
WFI_RAW static long raw_fork(int *ret_pidfd)
{
    long pid = wfi_raw_call(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, (long)ret_pidfd, 0, 0);
    return pid == -EINVAL ? wfi_raw_call(SYS_clone, SIGCHLD, 0, 0, 0, 0) : pid;
}

static int spawn_forking(struct job *job, int *ret_pid, int *ret_pidfd)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    job->report = ends[1];
    int pidfd = -1;
    long pid = raw_fork(&pidfd);
    if (pid == 0)
        child_main(job);
    close(ends[1]);
    if (pid > 0 && pidfd < 0)
        pidfd = wfi_pidfd_open((int)pid);
    int err = pid < 0 ? (int)pid : read_report(ends[0], &job->failure);
    close(ends[0]);
    if (!err && pidfd < 0) {
        kill((pid_t)pid, SIGKILL);
        err = pidfd;
    }
    if (!err) {
        *ret_pid = (int)pid;
        *ret_pidfd = pidfd;
        return 0;
    }
    if (pid > 0)
        while (waitpid((pid_t)pid, NULL, 0) < 0 && errno == EINTR)
            ;
    if (pidfd >= 0)
        close(pidfd);
    return err;
}

/* Which descriptors lie where another is to go, and where there is room above all. */
static void plan_moves(struct job *job)
{
    struct wfi_spawn_fd *fds = job->spawn->fds;
    size_t count = job->spawn->fd_count;
    job->moved_from = 3;
    for (size_t i = 0; i < count; i++) {
        wfi_debug_assert(i == 0 || fds[i - 1].to < fds[i].to, "descriptors are in order");
        if (fds[i].to >= job->moved_from)
            job->moved_from = fds[i].to + 1;
        if (fds[i].from > job->used)
            job->used = fds[i].from;
        fds[i].moved = false;
        for (size_t j = 0; j < count && !fds[i].moved; j++)
            fds[i].moved = i != j && fds[j].to == fds[i].from && fds[j].from != fds[j].to;
        if (fds[i].moved)
            job->copied = true;
    }
}

int wfi_spawn(const struct wfi_spawn *spawn, int *ret_pid, int *ret_pidfd,
              struct wfi_spawn_failure *ret_failure)
{
    struct job job = {.spawn = spawn, .report = -1};
    unsigned long all[SIGNAL_BYTES / sizeof(long)], before[SIGNAL_BYTES / sizeof(long)];
    ret_failure->step = WFI_SPAWN_START;
    void *stack = wfi_alloc(STACK); /* aligned to 16, as memory for any object is */
    if (!stack)
        return -ENOMEM;
    plan_moves(&job);
    memset(all, 0xff, sizeof all);
    /* Not pthread_sigmask, which leaves out the two signals that the C library uses itself. */
    wfi_raw_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)all, (long)before, SIGNAL_BYTES, 0);
    int err = shares_memory(stack) ? spawn_sharing(&job, stack, ret_pid, ret_pidfd)
                                   : spawn_forking(&job, ret_pid, ret_pidfd);
    wfi_raw_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)before, 0, SIGNAL_BYTES, 0);
    wfi_free(stack);
    if (err && job.failure.error)
        *ret_failure = job.failure.where;
    return err;
}

int wfi_spawn_pipe(bool child_reads, int *ret_mine, int *ret_its)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    int mine = child_reads ? ends[1] : ends[0];
    fcntl(mine, F_SETFL, (child_reads ? O_WRONLY : O_RDONLY) | O_NONBLOCK);
    *ret_mine = mine;
    *ret_its = child_reads ? ends[0] : ends[1];
    return 0;
}

int wfi_spawn_open_file(const char *path, enum wfi_spawn_open how)
{
    static const int flags[] = {
        [WFI_SPAWN_READ] = O_RDONLY,
        [WFI_SPAWN_WRITE] = O_WRONLY | O_CREAT | O_TRUNC,
        [WFI_SPAWN_APPEND] = O_WRONLY | O_CREAT | O_APPEND,
    };
    int fd;
    do
        fd = open(path, flags[how] | O_CLOEXEC, 0666);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

const char *const *wfi_spawn_environment(void)
{
    static const char *const none[] = {NULL};
    return environ ? (const char *const *)environ : none;
}

bool wfi_spawn_is_there(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) && access(path, X_OK) == 0;
}
