/* SPDX-License-Identifier: MIT */
/*
 * The program around a root task: a fibers runtime, and signals that end it in good order.
 *
 *     static int root(void *arg) { ... return 0; }
 *
 *     int main(void)
 *     {
 *         struct wf_error error;
 *         int status = wf_main(NULL, root, NULL, &error);
 *         if (status < 0)
 *             fprintf(stderr, "%s\n", error.text);
 *         return status < 0 ? 1 : status;
 *     }
 *
 * Signals, while wf_main runs:
 *   SIGINT, SIGTERM   the first cancels the root task: every wait in it, and in the scopes it has
 *                     open, returns -ECANCELED, and it comes to its end, cleaning up as it goes. If
 *                     it has not ended when `drain_ns` is over, what still blocks is printed on
 *                     standard error and the process exits. The second signal exits at once.
 *   SIGUSR1           prints every worker, fiber, thread and task on standard error: what it does,
 *                     or what it waits for and how long. Works when all workers are stuck, too.
 * A signal that was ignored when the program started (SIGINT under nohup) stays ignored. All others
 * are left alone. A fiber that overflows its stack is reported by name.
 */
#ifndef WEFT_MAIN_H
#define WEFT_MAIN_H

#include <weft/error.h>
#include <weft/executor.h>
#include <weft/scope.h>

WF_BEGIN_DECLS

/* What is done about a signal. */
enum wf_main_signal {
    WF_MAIN_CANCEL, /* the root task is cancelled */
    WF_MAIN_EXIT,   /* the process exits at once */
    WF_MAIN_PASS,   /* nothing */
};

struct wf_main_options {
    int64_t drain_ns;   /* time to end after the first signal; 0: 10 s; negative: as long as it
                           takes */
    int workers;        /* of the fibers runtime; 0: one per usable CPU */
    size_t stack_bytes; /* reserved for each fiber; 0: 256 KiB */
    bool no_processes;  /* does without the helper that makes processes: see weft/processes.h */
    /* Called with each SIGINT, SIGTERM and SIGQUIT, which is left alone otherwise, and with the
     * root's `arg`: says what is done about it. On a thread of its own, which waits for no task;
     * it must not wait either. NULL: the first is WF_MAIN_CANCEL, the second WF_MAIN_EXIT. */
    enum wf_main_signal (*signal)(void *arg, int signo);
};

/*
 * Runs root(arg) as the root task, on a fiber, and ends everything that was started from it. Called
 * by main, from the main thread, before any other thread exists where possible.
 *
 * When root has returned, children of the root scope are cancelled, as are tasks on the root's
 * executor that have not started; all that runs is waited for. Other executors that the program has
 * left open are closed and waited for: what was submitted to them still runs, unless a signal came.
 * Those of services are left alone (struct wf_fibers_options).
 *
 * options   NULL for the defaults
 * root      its result, 0 to 255, is the program's exit status
 *
 * Returns what root returned (a negative code with reterr filled); 128 + the signal when it was
 * interrupted (130 for SIGINT, 143 for SIGTERM), whatever root returned, and also when the signal
 * came before root began, which then is not run; or, when root was not run, a negative code:
 *   WF_ESTATE          wf_main runs already
 *   WF_EFORKED         in a child made by fork
 *   -ENOMEM, -EAGAIN   no memory, or no thread
 *   -EMFILE, -ENFILE   no descriptors
 * Context: thread or fiber; one caller at a time. Leaves the process by _exit in the two hard
 * cases.
 */
WF_API int wf_main(const struct wf_main_options *options, int (*root)(void *arg), void *arg,
                   struct wf_error *reterr);

/*
 * The fibers executor that the root task runs on; NULL when wf_main does not run.
 * Context: any, never blocks.
 */
WF_API struct wf_executor *wf_main_executor(void);

/*
 * The root scope, open while root runs: children spawned there are cancelled when root returns, and
 * waited for. NULL when wf_main does not run.
 * Context: any, never blocks.
 */
WF_API struct wf_scope *wf_main_scope(void);

/*
 * Prints what SIGUSR1 prints: a line for every worker, fiber, thread and task.
 *
 * line   called with each line, without a newline
 *
 * Context: any, never blocks; any number of callers.
 */
WF_API void wf_dump(void (*line)(void *arg, const char *text), void *arg);

WF_END_DECLS

#endif
