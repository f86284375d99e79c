/* SPDX-License-Identifier: MIT */
/*
 * The fork helper: a process that was forked while this one had one thread, and forks related
 * processes from then on. So they have the same image at the same addresses and inherit neither
 * locks that another thread held nor what this process has grown to since.
 *
 *     main ── socket ── helper ── fork ── related process
 *       └── pidfd, pipe of its standard error ──┘
 *
 * The rest of the argument is at the head of helper.c and related.c.
 */
#ifndef WFI_PROC_HELPER_H
#define WFI_PROC_HELPER_H

#include <stdbool.h>
#include <stddef.h>

#include <weft/error.h>

#include "base/list.h"
#include "os/process.h"

enum { WFI_RELATED_FDS_MAX = 8, WFI_RELATED_RLIMITS_MAX = 16 };

/* A process that the helper forked, as this process sees it. */
struct wfi_related;

/* Runs in the child, whose exit status is what it returns (0 to 255). `fds` are closed on exec. */
typedef int wfi_related_entry(const void *blob, size_t blob_bytes, const int *fds, size_t fd_count);

struct wfi_related_options {
    const char *name;         /* shown by ps, cut to 15 bytes; NULL: weft_related */
    wfi_related_entry *entry; /* of this image: it is named by its address */
    const void *blob;         /* copied, of any size; the child may write to its own */
    size_t blob_bytes;
    const int *fds; /* stay the caller's; the child has copies */
    size_t fd_count;
    const struct wfi_rlimit *rlimits;
    size_t rlimit_count;
    /*
     * Called once for every process that was started, when it has ended, with its status as
     * waitpid(2) gives it and the last of its standard error (at most 2 KiB, whole lines where
     * possible, valid during the call). On the listener thread, so it must be short; it may be
     * called before wfi_related_start has returned. May be NULL.
     */
    void (*ended)(void *arg, int wait_status, const char *stderr_tail);
    void *arg;
};

/*
 * Forks the helper; nothing if there is one. A related process has none and makes none.
 *
 * Returns 0, or
 *   WF_ESTATE   the process has more than one thread; or it is a related process itself
 *   WF_EBROKEN  the helper has died
 *   WF_EFORKED  in a child made by fork
 *   -EAGAIN, -ENOMEM, -EMFILE, -ENFILE
 */
int wfi_helper_start(struct wf_error *reterr);

/* Its number, or -ESRCH when there is none. */
int wfi_helper_pid(void);

/* True from its start until its death was noticed. */
bool wfi_helper_alive(void);

/*
 * `died` is called once, on the listener thread, when the helper has died, before the ends of the
 * related processes are told, which die with it. Short; takes no lock that is held around
 * wfi_helper_unwatch. Called at once, in the caller, when it is dead already. After unwatch it is
 * not called any more and does not run.
 */
struct wfi_helper_watch {
    void (*died)(void *arg);
    void *arg;
    struct wfi_link link; /* the helper's */
};
void wfi_helper_watch(struct wfi_helper_watch *watch);
void wfi_helper_unwatch(struct wfi_helper_watch *watch);

/*
 * Starts a process, about a millisecond; the calling party waits for it. Starts the helper first
 * where that is still possible.
 *
 * ret   receives it, to be released; it lives on for `ended` after that
 *
 * Returns 0, or
 *   -EINVAL, -EPERM   too many descriptors, or a limit that cannot be set
 *   -EAGAIN, -ENOMEM, -EMFILE, -ENFILE   the system gives no process, or no descriptors
 *   and as wfi_helper_start; `ended` is not called then
 */
int wfi_related_start(const struct wfi_related_options *options, struct wfi_related **ret,
                      struct wf_error *reterr);

int wfi_related_pid(const struct wfi_related *related);
/* Of the process; readable when it has ended. Valid until the release. */
int wfi_related_pidfd(const struct wfi_related *related);
/* Returns 0, or -ESRCH when it has ended. */
int wfi_related_signal(struct wfi_related *related, int signo);
/* Gives the handle up; the process goes on. NULL is fine. */
void wfi_related_release(struct wfi_related *related);

/* True in a process that the helper forked. */
bool wfi_in_related(void);

#endif
