/* SPDX-License-Identifier: MIT */
/*
 * Celery: a worker that carries out what Python programs send with delay() and send_task().
 *
 *     WF_TASK(int64_t, add, (int64_t, x), (int64_t, y))
 *     ... int add(...), WF_TASK_DEFINE(add) ...
 *
 *     static int root(void *arg)
 *     {
 *         const struct wf_celery_worker_options options = {
 *             .broker = "redis://localhost/0", .backend = "redis://localhost/0"};
 *         return wf_celery_worker_run(&options, arg);
 *     }
 *
 *     >>> app.send_task("add", (2, 3)).get()
 *     5
 *
 * The broker is Redis or RabbitMQ, and results go to Redis or back by rpc://, with the keys, queues
 * and messages of Celery 5.2 and 5.6 in JSON; Python's workers may serve the same queues. No
 * message is lost when a worker is killed or a connection breaks. When that to RabbitMQ breaks, it
 * gives what was not acknowledged to another worker, or again to this one, also what runs here just
 * then, where acknowledgement is late. Chords need Redis for results: their parts are counted
 * there.
 *
 * What is carried out: args and kwargs bound to the parameters of a WF_TASK, results and failures
 * as Python's exceptions, ignore_result, eta and countdown, expires, time limits (a task is asked
 * to stop, and where it has a process, killed at last), acknowledgement early or late, warm and
 * cold shutdown; callbacks, errbacks, chains, groups and chords, also where some of their tasks run
 * in Python's workers; retries and replacing (weft/celery_task.h); events and remote control, so
 * that `celery status`, `inspect`, `control` and `events` work on it.
 */
#ifndef WEFT_CELERY_H
#define WEFT_CELERY_H

#include <weft/celery_task.h>
#include <weft/event.h>
#include <weft/executor.h>

WF_BEGIN_DECLS

enum wf_celery_level { WF_CELERY_INFO, WF_CELERY_WARNING, WF_CELERY_ERROR };

/*
 * Where a worker's tasks run:
 *   threads     a task may block as it likes; at its hard time limit it is asked to stop, as at its
 *               soft one
 *   fibers      any number of tasks, which wait by weft's calls only
 *   processes   a task that crashes, or that is ended at its hard limit or by `celery control
 *               terminate`, costs nothing but itself. The program has to have wf_main, or
 *               wf_processes_init.
 */
enum wf_celery_engine { WF_CELERY_THREADS, WF_CELERY_FIBERS, WF_CELERY_PROCESSES };

/* Zero is the default throughout. */
struct wf_celery_worker_options {
    /* redis://[[user]:password@]host[:port][/database], or amqp://[user[:password]@]host[:port]
     * [/vhost]; NULL: redis://localhost */
    const char *broker;
    /* For results: an address of Redis, or "rpc://", by the broker to who sent the task; NULL: none
     * are stored. */
    const char *backend;
    const char *prefix; /* of all keys (global_keyprefix); NULL: none */

    /* Queues to take from; none: "celery". */
    const char *const *queues;
    size_t queue_count;
    /* Where tasks go that follow from others and name no queue (task_default_queue); NULL:
     * "celery". */
    const char *default_queue;

    /* Where tasks run; it stays the caller's. NULL: an executor of the worker's own, with the
     * engine that follows, and as large as `concurrency`. */
    struct wf_executor *pool;
    enum wf_celery_engine engine;
    unsigned tasks_per_child_max;  /* a process is replaced after so many tasks; 0: never */
    size_t child_memory_max_bytes; /* and when it is larger than this after a task; 0: never */
    int concurrency;         /* tasks at a time; 0: as many as the pool, or the caller's executor,
                                has workers */
    int prefetch_multiplier; /* messages held for each of them, waiting or running; 0: 4 */

    int64_t result_expires_s; /* 0: a day; negative: results are kept for ever */
    /* When a message is acknowledged: before its task runs; or, late, when its result is stored, so
     * that a task whose worker dies is done by another. Such a task may run twice; also where its
     * end cannot be stored, or what follows from it not be sent, for lack of a server or memory. */
    bool acks_late;
    bool track_started;    /* store STARTED, too */
    int64_t visibility_ns; /* when a message counts as lost by its worker; 0: 1 h, as Celery's. The
                              shortest that any worker has counts. */
    int64_t restore_ns;    /* how often to look for such messages; 0: 10 s */

    /* When this event is set, the shutdown is a cold one: tasks that run are not waited for. The
     * messages of those that are acknowledged late go back to their queues, processes are killed,
     * other tasks are asked to stop. NULL: there is none. */
    struct wf_event *quit;
    /* Called then, when all messages are back that are to go back. What runs in threads may still
     * do so; the program may exit. By a fiber; may be NULL. */
    void (*quitted)(void *arg);
    void *quitted_arg;

    /* Of tasks that have none of their own, in seconds; 0: none. At the soft limit a task is asked
     * to stop; the hard one is its end, where it runs in a process also that process's. */
    double soft_time_limit_s, time_limit_s;

    const char *name; /* of this worker among others; NULL: "celery@" and the host's name */

    bool events;       /* tell what happens to tasks from the start (-E); else once it is asked */
    bool no_heartbeat; /* do not tell every two seconds that this worker is there */
    bool no_mingle;    /* do not ask other workers which tasks are revoked, once connected */
    bool no_control;   /* do not answer remote control */

    /* How long the first connection to the broker is tried; 0: 100 times in turn, as later ones. */
    int64_t connect_ns;

    /* Lines of a lower level are not made. */
    enum wf_celery_level level;
    /* Called with a line, without a newline, about what is worth knowing: connections, messages
     * that cannot be used, tasks that came, succeeded and failed. By any fiber, several at once;
     * must not wait. */
    void (*log)(void *arg, enum wf_celery_level level, const char *line);
    void *log_arg;
};

/*
 * Takes messages and runs their tasks, until the caller is cancelled. A task is called by its name:
 * every one that WF_TASK_DEFINE has registered in this process and whose parameters can be read
 * from JSON is offered to whoever may write to the queues.
 *
 * Cancelling is a warm shutdown. No more messages are taken; those whose task has not begun, also
 * those that wait for their eta, go back to the front of their queues; tasks that run are waited
 * for, and their results stored.
 *
 * options   used until it returns
 *
 * Returns 0 after a shutdown that remote control asked for, which is a warm one, or
 *   -ECANCELED     the caller was cancelled; the shutdown is complete
 *   -EINTR         the shutdown was a cold one, and what ran has ended
 *   -EINVAL        an address is malformed, a number negative, or the caller is no fiber
 *   -ENOTSUP       an address of something else than Redis and RabbitMQ, or with TLS
 *   -EACCES        the broker wants another user or password
 *   -EREMOTEIO     the broker answered with an error that will not go away
 *   -ECONNREFUSED, ...   it could not be reached 100 times in turn, or within connect_ns
 *   -ENOMEM        there was none to start with, or to take a message on
 * Context: fiber only; any number of workers in one process.
 */
WF_API int wf_celery_worker_run(const struct wf_celery_worker_options *options,
                                struct wf_error *reterr);

WF_END_DECLS

#endif
