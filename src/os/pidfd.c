/* SPDX-License-Identifier: MIT */
#include "os/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/sanitizer.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/* Looks at /proc for members of a session. Each finds children that were started during the one
 * before; who is killed starts no more, so there is an end to it, and this is only a bound. */
enum { LOOKS_MAX = 16 };

int wfi_pidfd_open(int pid)
{
    long fd = syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : (int)fd;
}

int wfi_pidfd_signal(int pidfd, int pid, int signo)
{
    if (wfi_under_valgrind())
        return kill(pid, signo) < 0 ? -errno : 0;
    return syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) < 0 ? -errno : 0;
}

bool wfi_pidfd_ended(int pidfd)
{
    struct pollfd look = {.fd = pidfd, .events = POLLIN};
    return poll(&look, 1, 0) > 0;
}

static int64_t time_ns(struct timeval t)
{
    return (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_usec * 1000;
}

void wfi_pidfd_wait(int pidfd)
{
    struct pollfd look = {.fd = pidfd, .events = POLLIN};
    while (poll(&look, 1, -1) < 0 && errno == EINTR)
        ;
}

int wfi_pidfd_reap(int pidfd, bool keep, struct wfi_process_end *ret_end)
{
    int options = WEXITED | WNOHANG | (keep ? WNOWAIT : 0);
    siginfo_t info = {.si_pid = 0};
    struct rusage usage;
    long err;
    /* The system call takes a rusage, which waitid of the C library does not pass on. */
    do
        err = syscall(SYS_waitid, P_PIDFD, pidfd, &info, options, &usage);
    while (err < 0 && errno == EINTR);
    if (err < 0)
        return -errno;
    if (info.si_pid == 0)
        return -EAGAIN;
    bool exited = info.si_code == CLD_EXITED;
    *ret_end = (struct wfi_process_end){
        .pid = info.si_pid,
        .status = exited ? info.si_status : 0,
        .signal = exited ? 0 : info.si_status,
        .user_ns = time_ns(usage.ru_utime),
        .system_ns = time_ns(usage.ru_stime),
        .max_rss_bytes = (uint64_t)usage.ru_maxrss * 1024,
    };
    return 0;
}

int wfi_group_signal(int group, int signo)
{
    return kill(-group, signo) < 0 ? -errno : 0;
}

struct membership {
    int group, session;
};

/* Of a process that lives, from its stat file; zeros otherwise. */
static struct membership membership_of(int proc, const char *pid)
{
    struct membership none = {0, 0}, is;
    char path[32], text[512], state;
    int parent;
    snprintf(path, sizeof path, "%.16s/stat", pid);
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return none;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return none;
    text[n] = '\0';
    /* The name, in parentheses, may hold anything; it ends with the last one. */
    const char *rest = strrchr(text, ')');
    if (!rest || sscanf(rest + 1, " %c %d %d %d", &state, &parent, &is.group, &is.session) != 4)
        return none;
    return state == 'Z' || state == 'X' ? none : is;
}

/* In the session, and not in its leader's group, which has had the signal already. */
static bool is_other_member(int proc, const char *pid, int session)
{
    struct membership is = membership_of(proc, pid);
    return is.session == session && is.group != session;
}

/* Returns 1 when it was sent, else 0. */
static int signal_member(int proc, const char *pid, int session, int signo)
{
    if (!is_other_member(proc, pid, session))
        return 0;
    int fd = wfi_under_valgrind() ? -1 : wfi_pidfd_open(atoi(pid));
    if (fd < 0 && !wfi_under_valgrind())
        return 0;
    /* Looked at again with the descriptor in hand: the number may have changed owners. */
    bool sent = is_other_member(proc, pid, session) && wfi_pidfd_signal(fd, atoi(pid), signo) == 0;
    if (fd >= 0)
        close(fd);
    return sent;
}

/* One look at all processes. Returns how many were signalled. */
static int signal_others(int session, int signo)
{
    /* As the system call writes them; a name of /proc is short. */
    struct entry {
        uint64_t inode;
        int64_t offset;
        unsigned short bytes;
        unsigned char type;
        char name[];
    };
    _Alignas(struct entry) char entries[4096];
    int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int count = 0;
    long n;
    while (proc >= 0 && (n = syscall(SYS_getdents64, proc, entries, sizeof entries)) > 0)
        for (long at = 0; at < n;) {
            const struct entry *entry = (const struct entry *)(entries + at);
            at += entry->bytes;
            if (entry->name[0] >= '1' && entry->name[0] <= '9')
                count += signal_member(proc, entry->name, session, signo);
        }
    if (proc >= 0)
        close(proc);
    return count;
}

int wfi_session_signal(int session, int signo)
{
    int err = wfi_group_signal(session, signo);
    int looks = signo == SIGKILL ? LOOKS_MAX : 1;
    while (looks-- > 0 && signal_others(session, signo) > 0)
        err = 0;
    return err;
}
