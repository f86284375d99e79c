/* SPDX-License-Identifier: MIT */
/*
 * Child programs: run one and have its output, or start one and live beside it.
 *
 *     const char *const argv[] = {"unzip", "-q", "a.zip", NULL};
 *     struct wf_run_result result;
 *     err = wf_run(&(struct wf_run_options){.child.argv = argv, .check = true}, &result,
 *                  wf_after(WF_SECONDS(10)), &error);
 *     if (!err)
 *         fwrite(result.out, 1, result.out_len, stdout);
 *     wf_run_result_fini(&result);
 *
 * A program is found and started without a shell, its arguments are never parsed; a shell runs
 * where `shell` asks for one. A child gets only the descriptors it was given, an empty signal mask
 * and the default action for every signal. It leads a session of its own unless told otherwise, so
 * that an end by force reaches what it has started too, and Ctrl-C at the terminal does not reach
 * it.
 *
 * Waiting lets the other fibers of the worker run; no signal handler is installed, and children
 * that the program started by other means are never waited for. A program that ignores SIGCHLD or
 * waits for any child (wait, waitpid of -1) takes the exit status away: calls here then give
 * -ECHILD.
 */
#ifndef WEFT_CHILD_H
#define WEFT_CHILD_H

#include <weft/api.h>
#include <weft/error.h>
#include <weft/rlimit.h>
#include <weft/stream.h>
#include <weft/time.h>

WF_BEGIN_DECLS

enum wf_stdio_kind {
    WF_STDIO_DEFAULT, /* wf_child_spawn: inherit; wf_run: see there */
    WF_STDIO_INHERIT, /* the caller's */
    WF_STDIO_NULL,    /* /dev/null */
    WF_STDIO_PIPE,    /* to or from the caller */
    WF_STDIO_FILE,    /* `path`: read, or created and written; relative to the caller's folder */
    WF_STDIO_FD,      /* `fd` of the caller, who keeps it */
    WF_STDIO_JOIN,    /* err only: wherever out goes */
};

struct wf_stdio {
    enum wf_stdio_kind kind;
    const char *path;
    int fd;
    bool append; /* FILE, written: behind what is there, instead of in its place */
};

/* A descriptor for the child besides 0, 1 and 2. */
struct wf_pass_fd {
    int fd; /* of the caller, who keeps it */
    int as; /* its number in the child, above 2; 0: the same */
};

enum wf_child_group {
    WF_CHILD_SESSION,    /* leads a session of its own; killed: all in that session */
    WF_CHILD_GROUP,      /* leads a process group in the caller's session; killed: the group */
    WF_CHILD_SAME_GROUP, /* in the caller's group; killed: it alone */
};

struct wf_child_options {
    const char *const *argv; /* ends with NULL; argv[0] without a slash is looked up in PATH */
    const char *shell;       /* instead of argv: a text for /bin/sh -c */
    const char *cwd;         /* NULL: the caller's; argv[0] with a slash is relative to it */
    const char *const *env; /* "NAME=value" sets, "NAME" removes; ends with NULL; NULL: no change */
    bool env_empty;         /* start from no environment instead of the caller's */
    struct wf_stdio in, out, err;
    const struct wf_pass_fd *pass;
    size_t pass_count;
    enum wf_child_group group;
    bool umask_set; /* with `umask`; else the caller's */
    unsigned umask;
    const struct wf_rlimit *rlimits;
    size_t rlimit_count;
    size_t capture_max; /* bytes kept of each of out and err by communicate and wf_run; 0: 64 MiB */
};

/* How a child ended, and what it used. */
struct wf_exit {
    int status; /* what it gave to exit; 0 when a signal ended it */
    int signal; /* that ended it, or 0 */
    int pid;
    int64_t wall_ns; /* from its start to when its end was seen */
    int64_t user_ns; /* CPU time, with that of children it has waited for */
    int64_t system_ns;
    uint64_t max_rss_bytes; /* most resident memory; at least what the caller had when it started */
};

/* Room for the longest text of an end. */
#define WF_EXIT_TEXT_BYTES 64

/*
 * Writes "exited with status 47" or "killed by SIGKILL" to `ret_text`, cut to `size` bytes.
 *
 * Returns `ret_text`.
 * Context: any, never blocks.
 */
WF_API char *wf_exit_format(const struct wf_exit *end, char *ret_text, size_t size);

struct wf_run_options {
    struct wf_child_options child; /* in DEFAULT: the input, or /dev/null; out, err: captured */
    const void *input;             /* fed to its standard input, which is a pipe then */
    size_t input_len;
    bool check;            /* an end other than exit with 0 is an error */
    int64_t kill_grace_ns; /* past the deadline or cancelled: SIGTERM, so long before SIGKILL; 0: no
                              SIGTERM */
    int64_t drain_ns;      /* after SIGKILL, for output that is still held open by processes out of
                              reach; 0: 1 s, below 0: not at all */
};

/* What a run gave. `out` and `err` have a NUL behind their bytes, and are not NULL if it ran. */
struct wf_run_result {
    struct wf_exit exit;
    bool timed_out;                    /* the deadline passed and it was killed */
    bool out_truncated, err_truncated; /* there was more than capture_max */
    char *out, *err;                   /* captured; empty where it went elsewhere */
    size_t out_len, err_len;
};

/*
 * Runs a program: starts it, feeds its input while its output is read, waits until it has ended and
 * its pipes are closed. Past the deadline, or when the caller is cancelled, everything in its
 * session (or group) is killed, and what it had written by then is still given.
 *
 * ret_result   written in every case, also after an error, with as much as there is; the caller
 *              ends it by wf_run_result_fini
 *
 * Returns 0 when the program has ended (with whatever status, unless `check`), or
 *   WF_ETASKFAILED   `check`, and it failed: exit_status, signal and pid in reterr, whose text
 *                    names the program, its end and the last line of its standard error
 *   -ETIMEDOUT       the deadline passed first
 *   -ECANCELED       the caller was cancelled
 *   -ENOMEM          out of memory for its output; it was killed
 * or an error of wf_child_spawn, and nothing ran.
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_run(const struct wf_run_options *options, struct wf_run_result *ret_result,
                  wf_deadline deadline, struct wf_error *reterr);

/*
 * Frees what a result holds, which may also be all zero.
 * Context: any, never blocks.
 */
WF_API void wf_run_result_fini(struct wf_run_result *result);

struct wf_child;

/*
 * Starts a program. The time it takes does not depend on the size of the caller, whose
 * thread stands still meanwhile. A FILE is opened then too: a FIFO waits for its other end.
 *
 * ret_child   receives the child; the caller owns it and closes it
 *
 * Returns 0, or, with a text that names the program, folder or file at fault,
 *   -ENOENT, -EACCES, -ENOTDIR, -ENOEXEC, -E2BIG, ...   of the program, `cwd`, or a file
 *   -EINVAL          options that contradict each other
 *   -EBADF           a descriptor to be passed is not open
 *   -EPERM           a resource limit above the hard one
 *   -EAGAIN          no more processes
 *   -EMFILE, -ENFILE, -ENOMEM
 *   WF_EFORKED       in a child made by fork
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_child_spawn(const struct wf_child_options *options, struct wf_child **ret_child,
                          struct wf_error *reterr);

/*
 * Ends the handle. A child that still runs is killed, and waited for. Its pipes are closed. NULL is
 * fine.
 * Context: thread or fiber; nobody else uses the child any more. Waits for the end also when the
 * caller is cancelled.
 */
WF_API void wf_child_close(struct wf_child *child);

/*
 * The process's number. It may name another process once a wait has seen the child's end.
 * Context: any, never blocks.
 */
WF_API int wf_child_pid(const struct wf_child *child);

/*
 * The caller's ends of the child's pipes: NULL where the child has no pipe, or it has been taken.
 * They are the child's, which closes them; wf_child_take makes them the caller's. Write to `in`,
 * read the others. Not together with wf_child_communicate.
 * Context: any, never blocks.
 */
WF_API struct wf_stream *wf_child_in(const struct wf_child *child);
WF_API struct wf_stream *wf_child_out(const struct wf_child *child);
WF_API struct wf_stream *wf_child_err(const struct wf_child *child);

/*
 * Takes the caller's end of pipe `number` (0 in, 1 out, 2 err) out of the child: the caller closes
 * it from now on. Closing `in` is how a child is told that there is no more.
 *
 * Returns the stream, or NULL where there is none.
 * Context: any, never blocks; not while another party uses the child.
 */
WF_API struct wf_stream *wf_child_take(struct wf_child *child, int number);

/*
 * Waits until the child has ended. Pipes are not read meanwhile: a child that fills one waits too.
 *
 * ret_exit   how it ended; may be NULL
 *
 * Returns 0, also when asked again, or
 *   -ETIMEDOUT   the deadline passed first
 *   -ECANCELED   the caller was cancelled; the child is left alone
 *   -ENOMEM, -EMFILE, -ENFILE   there is no means to wait
 *   -ECHILD      the program has taken the exit status away, see above
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_child_wait(struct wf_child *child, struct wf_exit *ret_exit, wf_deadline deadline);

/*
 * Feeds `input` to the child's standard input, closes it, collects standard output and error, and
 * waits until both are closed and the child has ended. Where the child has no pipe, that part falls
 * away. After -ETIMEDOUT or -ECANCELED it may be called again and goes on where it was.
 *
 * input        belongs to the caller, and stays as it is until this has returned 0; looked at in
 *              the first call only
 * ret_result   as of wf_run
 *
 * Returns 0, or
 *   -ETIMEDOUT   the deadline passed first
 *   -ECANCELED   the caller was cancelled; the child is left alone
 *   -ENOMEM, -EMFILE, -ENFILE
 *   -ECHILD      the program has taken the exit status away, see above
 * Context: thread or fiber; one caller at a time.
 */
WF_API int wf_child_communicate(struct wf_child *child, const void *input, size_t input_len,
                                struct wf_run_result *ret_result, wf_deadline deadline);

/*
 * Hands over what wf_child_communicate has collected so far, for when it will not be called again.
 * ret_result->exit is filled if the child has ended.
 * Context: any, never blocks; one caller at a time.
 */
WF_API void wf_child_collect(struct wf_child *child, struct wf_run_result *ret_result);

/*
 * Sends a signal to the child alone.
 *
 * Returns 0, or -ESRCH when its end has been seen by a wait (nobody gets the signal then, also not
 * a process that has the number now), -EINVAL, -EPERM when it has changed its user.
 * Context: any, never blocks; any number of callers.
 */
WF_API int wf_child_signal(struct wf_child *child, int signo);

/*
 * Sends a signal to the child and, if it leads a group or session, to all that is in it: SIGTERM
 * asks, SIGKILL ends. Processes that have left the session by themselves are out of reach.
 *
 * Returns 0, or -ESRCH when the child's end has been seen by a wait, -EINVAL, -EPERM.
 * Context: any, never blocks; any number of callers.
 */
WF_API int wf_child_signal_all(struct wf_child *child, int signo);

/*
 * Ends the child and all that is in its group or session, also what it would leave behind: SIGTERM,
 * and when the child has ended or `grace_ns` has passed, SIGKILL to whoever is left. Waits for the
 * child's end, also when the caller is cancelled. A child whose end a wait has seen is left alone.
 *
 * grace_ns   0: no SIGTERM
 * ret_exit   how it ended; may be NULL
 *
 * Returns 0, or -ECHILD (the program has taken the exit status away, see above).
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_child_stop(struct wf_child *child, int64_t grace_ns, struct wf_exit *ret_exit);

WF_END_DECLS

#endif
