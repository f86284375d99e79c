/* SPDX-License-Identifier: MIT */
/*
 * Processes: a function of one's own in a process of its own, as weft/thread.h has it for threads.
 * The function is a task (WF_TASK), which says what its arguments are and how they travel; many
 * tasks at once are the affair of an executor (weft/processes.h).
 *
 *     WF_TASK(wf_none, work, (const char *, what), (int, times))
 *
 *     struct wf_process *p;
 *     err = WF_PROCESS(work, NULL, &p, &error, "sums", 3);
 *     err = wf_process_start(p, &error);
 *     ...
 *     err = wf_process_join(p, &code, WF_FOREVER);
 *     err = wf_process_close(p);
 *
 * The process has a copy of what the program's memory was when wf_main or wf_processes_init was
 * called, and its working folder, environment and limits of then; all that changed since reaches it
 * as an argument, or through what is made to be shared. What the program had touched by then makes
 * every start slower, some 30 ms a GiB; what it touches later does not.
 * It is not the program's own child to wait for, has no standard input, and ends with the program
 * at the latest: who wants its work done joins it. What it writes to standard error arrives at the
 * program's. In it all of weft can be used but processes.
 */
#ifndef WEFT_PROCESS_H
#define WEFT_PROCESS_H

#include <weft/api.h>
#include <weft/error.h>
#include <weft/time.h>

WF_BEGIN_DECLS

struct wf_process;
struct wf_task_type;

struct wf_process_options {
    const char *name; /* copied; NULL or empty: "Process-1 (function)", numbered */
};

/*
 * Makes a process that will run the task; it does not start. WF_PROCESS below is the typed form.
 *
 * options   may be NULL
 * type      a task that is defined in this program; its result goes nowhere
 * args      copied with what they point to, then dropped as the type says, also on error
 *
 * Returns 0, or
 *   WF_ENOTWIRE   an argument cannot leave this process; the text names it
 *   -EINVAL       the task is defined elsewhere (WF_TASK_AS)
 *   -ENOMEM
 * Context: any, never blocks.
 */
WF_API int wf_process_create(const struct wf_process_options *options,
                             const struct wf_task_type *type, const void *args,
                             struct wf_process **ret_process, struct wf_error *reterr);

/*
 * Starts it, about a millisecond. When the task returns 0 the exit status is 0; when it fails, 1,
 * after a line on standard error that says why.
 *
 * Returns 0, or
 *   WF_ESTATE    it was started before; the program had threads before wf_main or
 *                wf_processes_init; or the caller is such a process itself
 *   WF_EBROKEN   the helper that makes processes has died
 *   -EAGAIN, -ENOMEM, -EMFILE, -ENFILE   the system gives no process; it may be tried again
 *   WF_EFORKED   in a child made by fork
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_process_start(struct wf_process *process, struct wf_error *reterr);

/*
 * Waits until it has ended, and what it wrote to standard error is written (for a tenth of a second
 * at most).
 *
 * ret_exit   receives the exit status, or minus the number of the signal that ended it; may be NULL
 *
 * Returns 0, also when it is joined again, or
 *   WF_ESTATE    it was not started
 *   -ETIMEDOUT   the deadline passed first
 *   -ECANCELED   the caller was cancelled; the process is left alone
 *   WF_EFORKED   in a child made by fork
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_process_join(struct wf_process *process, int *ret_exit, wf_deadline deadline);

/*
 * Waits until one of several has ended: the first in the array, if some have already.
 *
 * ret_index   receives its place
 *
 * Returns 0, or
 *   -EINVAL      there are none
 *   WF_ESTATE    one was not started
 *   -ENOMEM
 *   -ETIMEDOUT, -ECANCELED, WF_EFORKED   as wf_process_join
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_process_wait_any(struct wf_process *const *processes, size_t count, size_t *ret_index,
                               wf_deadline deadline);

/*
 * Sends SIGTERM, which ends it unless its function arranged otherwise; kill sends SIGKILL.
 *
 * Returns 0, or
 *   WF_ESTATE   it was not started
 *   -ESRCH      it has ended
 * Context: any, never blocks; any number of callers.
 */
WF_API int wf_process_terminate(struct wf_process *process);
WF_API int wf_process_kill(struct wf_process *process);

/*
 * True from its start until it was seen to have ended.
 * Context: any, never blocks; any number of callers.
 */
WF_API bool wf_process_alive(const struct wf_process *process);

/*
 * Its number, also when it has ended; 0 before its start. Of NULL: that of the calling process.
 * Context: any, never blocks; any number of callers.
 */
WF_API int wf_process_pid(const struct wf_process *process);

/*
 * Its name, in full. Of NULL: that of the calling process, "main" in the program itself.
 * Context: any, never blocks; any number of callers.
 */
WF_API const char *wf_process_name(const struct wf_process *process);

/*
 * How it ended, without waiting. *ret_exit as wf_process_join gives it.
 *
 * Returns 0, or
 *   -EAGAIN     it has not ended
 *   WF_ESTATE   it was not started
 * Context: any, never blocks; any number of callers.
 */
WF_API int wf_process_exit_code(const struct wf_process *process, int *ret_exit);

/*
 * The same as an error: pid, signal or exit status, name, and the last lines of its standard error.
 *
 * ret_error   zeroed when its exit status was 0
 *
 * Returns as wf_process_exit_code.
 * Context: any, never blocks; any number of callers.
 */
WF_API int wf_process_describe(const struct wf_process *process, struct wf_error *ret_error);

/*
 * A descriptor that becomes readable when it has ended, for a loop of one's own with poll(2). It
 * stays the process's, and is closed with it.
 *
 * Returns the descriptor, or
 *   WF_ESTATE   it was not started
 * Context: any, never blocks; any number of callers.
 */
WF_API int wf_process_sentinel(const struct wf_process *process);

/*
 * Calls `fn` for each process that is alive, in the order they were started. `fn` must not block,
 * start or close processes.
 *
 * Returns how many there are.
 * Context: any, never blocks for long; any number of callers.
 */
WF_API size_t wf_process_each(void (*fn)(struct wf_process *process, void *arg), void *arg);

/*
 * Frees one that has ended, or was never started. Harmless on NULL.
 *
 * Returns 0, or
 *   WF_ESTATE   it is alive, and stays as it is
 * Context: any, never blocks; by the owner; afterwards nobody may use it.
 */
WF_API int wf_process_close(struct wf_process *process);

/*
 * Frees it whatever it does: if it is alive it is killed first, and its end waited for. Harmless on
 * NULL.
 * Context: thread or fiber; by the owner; afterwards nobody may use it.
 */
WF_API void wf_process_destroy(struct wf_process *process);

WF_END_DECLS

/*
 * A process for a call of the task NAME: WF_PROCESS(work, &options, &process, &error, "sums", 3).
 * The arguments are checked by the compiler, as those of NAME_submit.
 */
#define WF_PROCESS(NAME, OPTIONS, RET_PROCESS, ...) \
    NAME##_process_((OPTIONS), (RET_PROCESS), __VA_ARGS__)

#endif
