/* SPDX-License-Identifier: MIT */
/*
 * Processes by descriptor: the number of a process that has ended may be another's by the time it
 * is used, a pidfd stays with the one it was made for. It is readable from the end of the process
 * on.
 */
#ifndef WFI_OS_PIDFD_H
#define WFI_OS_PIDFD_H

#include <stdbool.h>
#include <stdint.h>

/* How a process ended, and what it used with its own children that it has waited for. */
struct wfi_process_end {
    int pid;
    int status; /* of exit; 0 when a signal ended it */
    int signal; /* or 0 */
    int64_t user_ns, system_ns;
    uint64_t max_rss_bytes;
};

/* A descriptor, closed on exec, for a process that has not been reaped. Or a negative errno. */
int wfi_pidfd_open(int pid);

/*
 * Signals the process behind `pidfd`, which has the number `pid` as long as it is not reaped: that
 * is used under Valgrind, which does not know the call.
 *
 * Returns 0, or -ESRCH (it has ended and was reaped), -EINVAL, -EPERM. A zombie takes any signal.
 */
int wfi_pidfd_signal(int pidfd, int pid, int signo);

/* True when the process has ended, reaped or not. */
bool wfi_pidfd_ended(int pidfd);

/* Waits until it has ended: for when there is no better way to wait. */
void wfi_pidfd_wait(int pidfd);

/*
 * Reaps a child of this process, and no other; `keep`: tells its end without reaping.
 *
 * Returns 0, or -EAGAIN (it runs), -ECHILD (somebody else has reaped it, or the system did because
 * SIGCHLD is ignored).
 */
int wfi_pidfd_reap(int pidfd, bool keep, struct wfi_process_end *ret_end);

/*
 * Signals all in a process group, or in a session whatever group they are in. The caller knows that
 * the number is still that group's: its leader has not been reaped. Of a session, first the
 * leader's group gets the signal, then the others as found in /proc; SIGKILL until a look finds
 * nobody. Each is checked and signalled through one pidfd, so none but the session's gets it.
 *
 * Returns 0, or -ESRCH when there was nobody, -EINVAL, -EPERM.
 */
int wfi_group_signal(int group, int signo);
int wfi_session_signal(int session, int signo);

#endif
