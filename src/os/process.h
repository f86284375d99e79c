/* SPDX-License-Identifier: MIT */
/*
 * Processes by fork, for the process that makes them, for the one that is made, and for who holds
 * a descriptor of one (a pidfd), through which a signal never meets a number that was given away
 * again. Children that are programs of their own are not made here.
 */
#ifndef WFI_OS_PROCESS_H
#define WFI_OS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of setrlimit(2): a RLIMIT_ constant and the two values, UINT64_MAX for no limit. */
struct wfi_rlimit {
    int resource;
    uint64_t soft, hard;
};

int wfi_process_id(void);
int wfi_process_parent_id(void);

/* How many threads the process has, by the system's count; a negative code when it does not tell.
 */
int wfi_process_threads(void);

/* Writes out what stdio holds back, so that a child made now does not write it a second time. */
void wfi_process_flush(void);

/* fork(2). Returns the child's number, 0 in the child, or -EAGAIN, -ENOMEM. */
int wfi_process_fork(void);

/* Waits for a child by its number, blocking. Returns 0, or -ECHILD where children are ignored. */
int wfi_process_join(int pid, int *ret_wait_status);

/*
 * A descriptor of a process: readable when it has ended. Returns it, or -ESRCH, -EMFILE, or -ENOSYS
 * where there are none: under emulators and tools, and where a sandbox forbids the call.
 */
int wfi_process_open(int pid);

/* Returns 0, -ESRCH when it has ended and was reaped, -EPERM, -EINVAL. */
int wfi_process_signal(int pidfd, int signo);

/*
 * Takes the status of a child that has ended, as waitpid(2) gives it, without waiting.
 * Returns 0, -EAGAIN while it runs, -ECHILD when it is not ours.
 */
int wfi_process_reap(int pidfd, int *ret_wait_status);

/* Sends a signal to a child of the caller's, which has not been reaped, by its number. */
void wfi_process_kill_child(int pid, int signo);

/*
 * For a process that has all signals blocked: a descriptor that is readable when a child has ended.
 * take makes it unreadable; after it, reap_any is called until it has no more. It gives -EAGAIN
 * while children run, and -ECHILD when there are none.
 */
int wfi_process_ends_open(void);
void wfi_process_ends_take(int fd);
int wfi_process_reap_any(int *ret_pid, int *ret_wait_status);

/*
 * A pipe for what a child writes to its standard error: the end to read, ret_fds[0], is
 * non-blocking, the one to write blocks, both are closed on exec. Returns 0 or a negative code.
 */
int wfi_process_pipe(int ret_fds[2]);

/* Writes all of it to the descriptor, waiting where it must. Returns 0, or why it cannot. */
int wfi_process_write(int fd, const char *bytes, size_t len);

/* Has the calling process killed when the thread that forked it ends. Returns 0, or -ESRCH when the
 * process with the number `parent` has already. */
int wfi_process_die_with(int parent);

/* Leaves the process group, so that signals from the terminal do not arrive here. */
void wfi_process_leave_group(void);

/* From 0 to 2 what is not open is /dev/null, and 0 in any case. Returns 0 or a negative code. */
int wfi_process_null_input(void);

/* Moves a descriptor out of 0 to 2, closed on exec. Returns the new one, or a negative code. */
int wfi_process_move_descriptor(int fd);

/* Makes `fd` descriptor number `as`, open over an exec. Returns 0 or a negative code. */
int wfi_process_take_descriptor(int fd, int as);

/* Closes every descriptor above 2 but those of `keep`, which is sorted by the way. */
void wfi_process_close_descriptors(int *keep, size_t count);

/* Blocks every signal, and lets children be waited for. The other: every handler and every ignoring
 * gone, none blocked. Handlers of the signals that instructions raise are kept: they belong to the
 * image. */
void wfi_process_block_signals(void);
void wfi_process_default_signals(void);

/* Looks whether the calling process may have this limit. Returns 0, -EINVAL or -EPERM. */
int wfi_process_check_limit(const struct wfi_rlimit *limit);
/* Sets it. Returns 0 or a negative code. */
int wfi_process_set_limit(const struct wfi_rlimit *limit);

/* Of a limit on address space: leaves room for `bytes` more, as far as the process may. Any other
 * limit stays as it is. */
void wfi_process_raise_address_limit(struct wfi_rlimit *limit, uint64_t bytes);

/* Ends the process after writing out what stdio holds back; no handlers of exit(3). */
_Noreturn void wfi_process_exit(int status);

#endif
