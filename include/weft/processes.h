/* SPDX-License-Identifier: MIT */
/*
 * The processes engine: a pool of worker processes. A task that crashes, is killed or calls exit
 * costs itself and nothing else; the worker is replaced.
 *
 *     int main(void)
 *     {
 *         struct wf_error error;
 *         if (wf_processes_init(&error))            (the first line; wf_main does it by itself)
 *             ...
 *         struct wf_executor *on;
 *         wf_processes_create(&(struct wf_processes_options){.workers = 4}, &on, &error);
 *         is_prime_future f = is_prime_submit(on, 97);
 *
 * Workers are forked by a helper process that is itself forked while the program has one thread: so
 * they have the program's code and its static data as they were then, none of its threads, and
 * cost about a millisecond each, however large the program has grown.
 *
 * What a task is given is sent to its worker, and its result back. Numbers, strings, bytes and JSON
 * travel; other types need WF_WIRE; a task with a parameter that cannot travel is refused when it
 * is submitted, with WF_ENOTWIRE and the parameter's name. Strings and what else the arguments
 * point to are copied by the submit. A result that is a string or bytes arrives in memory of its
 * own: see wf_result_alloc and wf_drop_string.
 *
 * When a worker dies, the task that ran in it fails with WF_EWORKERDIED: `pid`, and `signal` or
 * `exit_status`, and the last lines that the worker wrote to standard error in `text`. Tasks that
 * had been sent to it and had not begun are run by others. A task is run again after such a death
 * only as often as its submit options' `retries_on_death` say.
 *
 * Context locals travel as they are: an address in one means something there only if it is static.
 *
 * Cancelling asks a running task, as on every engine; one that does not end within `grace_ns` is
 * ended with its worker, and counts as cancelled. The same holds for the deadline of a scope.
 *
 * Each worker runs one task at a time, on its only thread but one. A task may submit to the
 * executor it runs on (wf_task_executor) and wait: another worker is started for as long, up to 256
 * of them.
 */
#ifndef WEFT_PROCESSES_H
#define WEFT_PROCESSES_H

#include <weft/executor.h>
#include <weft/rlimit.h>

WF_BEGIN_DECLS

struct wf_processes_options {
    /* Workers at most, started as they are needed. 0: one for each CPU that affinity and control
     * group quota leave to this process. Not above 1,024. */
    int workers;

    /* Shown in dumps and errors; NULL: "processes" and the number of the executor. */
    const char *name;

    /* Run in each worker, before its first task and after its last. A failure of `start` breaks the
     * executor: all that is queued or submitted later fails with WF_EBROKEN and its text. `arg`
     * points to a copy of `arg_bytes` bytes. */
    int (*start)(const void *arg, struct wf_error *reterr);
    void (*stop)(const void *arg);
    const void *arg;
    size_t arg_bytes;

    unsigned tasks_max;      /* a worker is replaced after so many tasks; 0: never */
    size_t memory_max_bytes; /* and when it is larger than this after a task; 0: never */

    /* More deaths than this within this time break the executor. 0: 10 for each worker, 10 s; below
     * 0: no limit. Replacing a worker on purpose does not count. */
    int restarts_max;
    int64_t restarts_within_ns;

    const struct wf_rlimit *rlimits; /* set in each worker */
    size_t rlimit_count;

    /* How long a running task that was asked to stop may take before its worker is killed. 0: 2 s;
     * below 0: it is never killed. */
    int64_t grace_ns;

    /* Tasks that may wait for a worker; 0: any number. A submit beyond that holds the caller for up
     * to submit_wait_ns, then gives a future that has failed with -EAGAIN. */
    size_t queue_max;
    int64_t submit_wait_ns;
};

/*
 * Prepares for processes: forks the helper. To be called as the first line of main, while the
 * process has one thread; wf_main does so itself, and wf_processes_create where it is still
 * possible. Again: does nothing.
 *
 * Returns 0, or
 *   WF_ESTATE          the process has more than one thread; or it is a related process itself
 *   WF_EBROKEN         the helper has died
 *   WF_EFORKED         in a child made by fork
 *   -EAGAIN, -ENOMEM   no process, or no memory for one
 *   -EMFILE, -ENFILE   no descriptors
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_processes_init(struct wf_error *reterr);

/*
 * Makes one. The caller owns it and destroys it with wf_executor_destroy.
 *
 * options   may be NULL; strings, arrays and `arg` are copied
 *
 * Returns 0, or
 *   -EINVAL            a negative number of workers, tasks or a duration
 *   WF_ESTATE          there is no helper, and it is too late to fork one: see wf_processes_init
 *   WF_EBROKEN         the helper has died
 *   -ENOMEM, -EAGAIN   no memory, or no thread
 *   -EMFILE, -ENFILE   no descriptors
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_processes_create(const struct wf_processes_options *options,
                               struct wf_executor **ret_on, struct wf_error *reterr);

enum wf_worker_state {
    WF_WORKER_STARTING, /* the process exists; the initialiser runs */
    WF_WORKER_IDLE,
    WF_WORKER_RUNNING,
    WF_WORKER_WAITING, /* its task waits for tasks that it submitted itself */
    WF_WORKER_ENDING,
};

/* A worker as it was seen. */
struct wf_worker_info {
    int pid;
    enum wf_worker_state state;
    char task[64];         /* what it runs, or empty */
    int64_t age_ns;        /* how long it has run that */
    size_t resident_bytes; /* 0 when the system does not tell */
    uint64_t tasks;        /* that it has ended */
    unsigned restarts;     /* how often this place among the workers was filled again */
};

/*
 * Shows what the workers do: calls fn for each process that lives.
 *
 * Returns how many there were, or
 *   -EINVAL   `on` is no processes executor
 *   -ENOMEM
 * Context: thread or fiber; any number of callers.
 */
WF_API int wf_processes_each(struct wf_executor *on,
                             void (*fn)(const struct wf_worker_info *worker, void *arg), void *arg);

/*
 * Stops the executor hard: ends all workers, by SIGTERM or by SIGKILL. What runs fails with
 * WF_EWORKERDIED, what is queued or submitted later with WF_EBROKEN. Harmless on one that has not
 * started, was shut down or is broken; and on other engines.
 * Context: any, never blocks for long; any number of callers.
 */
WF_API void wf_processes_terminate(struct wf_executor *on);
WF_API void wf_processes_kill(struct wf_executor *on);

/*
 * Ends a task at once: one that has not begun is cancelled, one that runs in a worker process is
 * ended with it, by SIGKILL, without a time to stop; it is CANCELED then, and its worker is
 * replaced. On other engines it is cancelled, as by wf_future_cancel.
 *
 * Returns what was achieved; WF_CANCEL_KILLED when the process is about to end.
 * Context: any, never blocks for long; any number of callers, while its executor is there.
 */
WF_API enum wf_cancel_result wf_processes_kill_task(struct wf_future *future);

/*
 * Which process runs a task.
 *
 * Returns its id; 0 while the task has not begun, when it has ended, and on other engines.
 * Context: any, never blocks for long; any number of callers, while its executor is there.
 */
WF_API int wf_processes_task_pid(const struct wf_future *future);

/*
 * Memory for a result that is a string or bytes. In a worker process large ones come from memory
 * that is handed to the submitter as it is, without a copy; elsewhere from the heap. The task makes
 * it its result, or frees it.
 *
 * self   the running task
 *
 * Returns the memory, or NULL when there is none.
 * Context: any, never blocks; by the task itself.
 */
WF_API void *wf_result_alloc(struct wf_task *self, size_t bytes);

/*
 * Frees what came from wf_result_alloc, or the string or bytes of a result that came from another
 * process. Harmless on NULL.
 * Context: any, never blocks; by the owner.
 */
WF_API void wf_result_free(const void *ptr);

/*
 * For .drop_result of a task whose result is a string, or bytes, of wf_result_alloc:
 * WF_TASK_DEFINE_WITH(load, .drop_result = wf_drop_string)
 * Context: any, never blocks.
 */
WF_API void wf_drop_string(void *result);
WF_API void wf_drop_bytes(void *result);

/*
 * The same for a result that is JSON.
 * Context: any, never blocks.
 */
WF_API void wf_drop_json(void *result);

WF_END_DECLS

#endif
