/* SPDX-License-Identifier: MIT */
/*
 * What runs can be seen: every task, every fiber and thread, workers with their counters,
 * executors with their queues, the threads for blocking calls, the processes of pools. This is what
 * the dump on SIGUSR1 prints (weft/main.h), for programs to look at themselves.
 *
 * Each kind is walked in pieces, into memory of the caller's, with a cursor between:
 *
 *     struct wf_inspect_cursor cursor = {0};
 *     struct wf_seen_task tasks[32];
 *     size_t count;
 *     while ((count = wf_inspect_tasks(&cursor, tasks, 32)) > 0)
 *         for (size_t i = 0; i < count; i++)
 *             printf("%s\n", tasks[i].name);
 *
 * Nothing is stopped for it. Each piece is read within some moment, the pieces one after another:
 * what is there from before the walk until after it is seen once; what comes or goes meanwhile is
 * seen or not. Numbers are each true of some moment, and need not add up. Between two pieces the
 * caller may wait, and nothing is held; within one no lock is waited for that a stuck program could
 * keep for ever. To look at a task or a fiber costs some hundred nanoseconds, at the place of one
 * that has ended less.
 *
 * All functions return how many they wrote, at most `room`; 0 is the end of the walk.
 */
#ifndef WEFT_INSPECT_H
#define WEFT_INSPECT_H

#include <weft/future.h>
#include <weft/processes.h>

WF_BEGIN_DECLS

/* A place in a walk; zeroed it is the beginning. It holds nothing and can be dropped anywhere. Each
 * walk has its own, and stays with one function. */
struct wf_inspect_cursor {
    uintptr_t words[4];
};

/* A task that has not ended. */
struct wf_seen_task {
    uint64_t id;                /* that no other has at the time */
    const char *name;           /* of its type; static */
    char own_name[48];          /* given when it was submitted, or "" */
    char executor[32];          /* "" for a promise */
    const char *engine;         /* static; "promise" for a promise */
    enum wf_future_state state; /* pending or running */
    bool asked;                 /* to stop */
    int64_t age_ns;             /* since it was submitted; known to a few milliseconds */
};

/*
 * Tasks, pending and running, on every engine.
 *
 * Returns as said above.
 * Context: any, never blocks; any number of callers.
 */
WF_API size_t wf_inspect_tasks(struct wf_inspect_cursor *cursor, struct wf_seen_task *ret_tasks,
                               size_t room);

enum wf_party_kind { WF_PARTY_FIBER, WF_PARTY_THREAD };

enum wf_party_state {
    WF_PARTY_READY, /* a fiber that could run, and waits for its worker */
    WF_PARTY_RUNNING,
    WF_PARTY_WAITING,
};

/* A fiber, or a thread that has called weft: whoever can run and wait. */
struct wf_seen_party {
    enum wf_party_kind kind;
    enum wf_party_state state; /* a thread that waits elsewhere than in weft counts as running */
    char runtime[16];          /* a fiber's; "" for a thread */
    int worker;                /* a fiber's, a number from 0; -1 for a thread */
    uint64_t id;   /* a fiber's number on its worker; a thread's, as the kernel has it */
    char name[32]; /* or "" */

    const char *reason; /* what kind of thing it waits for, static; NULL when it does not */
    uintptr_t object;   /* its address */
    int64_t waits_ns;   /* for how long; fibers' are known to 50 us or so, 0 is not known */

    /* The task that runs there, the innermost if it runs others; then task.name is not NULL. */
    struct wf_seen_task task;
};

/*
 * Fibers of all runtimes, then threads, workers and idle ones too.
 *
 * Returns as said above.
 * Context: any, never blocks; any number of callers.
 */
WF_API size_t wf_inspect_parties(struct wf_inspect_cursor *cursor,
                                 struct wf_seen_party *ret_parties, size_t room);

/* A worker of a runtime: a thread that runs fibers. */
struct wf_seen_worker {
    char runtime[16];
    int index; /* from 0 */
    bool asleep;
    uint64_t fibers; /* that have started here and not ended */
    uint64_t queued; /* jobs in its own queue that have not started */
    uint64_t shared; /* jobs in the runtime's queue: the same for all of its workers */

    /* These only grow. */
    uint64_t jobs;     /* started: tasks among them */
    uint64_t switches; /* to a fiber */
    uint64_t steals;   /* jobs taken from another worker */
    uint64_t injected; /* jobs taken from the runtime's queue */
    uint64_t wakes;    /* fibers woken by somebody who runs elsewhere */
    uint64_t timers;   /* that came due */
    uint64_t polls;    /* of descriptors */
    uint64_t sleeps;   /* for want of work */
};

/*
 * Workers of all runtimes.
 *
 * Returns as said above.
 * Context: any, never blocks; any number of callers.
 */
WF_API size_t wf_inspect_workers(struct wf_inspect_cursor *cursor,
                                 struct wf_seen_worker *ret_workers, size_t room);

struct wf_seen_executor {
    char name[32];
    const char *engine; /* static */
    unsigned workers;   /* threads, workers or processes at most */
    unsigned alive;     /* of these, now */
    uint64_t queued;    /* tasks that have not started */
    uint64_t running;   /* and those that have, but for those a waiter runs for itself */
    uint64_t ended;     /* by its workers; only grows; 0 for an engine without (inline) */
    bool shut;          /* down, or broken: takes no more tasks */
};

/*
 * Executors, in the order they were made.
 *
 * Returns as said above.
 * Context: any, never blocks; any number of callers.
 */
WF_API size_t wf_inspect_executors(struct wf_inspect_cursor *cursor,
                                   struct wf_seen_executor *ret_executors, size_t room);

/* Threads for calls that block: a class of such calls. */
struct wf_seen_offload {
    const char *name; /* static: "dns", "file" or "block" */
    unsigned most;    /* threads it may have */
    unsigned threads, idle;
    uint64_t queued; /* calls that wait for a thread */
    uint64_t calls;  /* so far */
    uint64_t slow;   /* of these waited more than 10 ms for a thread */
};

/*
 * The classes of calls that block.
 *
 * Returns as said above.
 * Context: any, never blocks; any number of callers.
 */
WF_API size_t wf_inspect_offload(struct wf_inspect_cursor *cursor,
                                 struct wf_seen_offload *ret_classes, size_t room);

/* A worker process of a processes executor. */
struct wf_seen_process {
    char executor[32];
    unsigned place; /* among its workers, from 0 */
    struct wf_worker_info info;
};

/*
 * Worker processes of all processes executors. Their memory is read from /proc, a file of the
 * kernel's own for each.
 *
 * Returns as said above.
 * Context: any, never blocks for long; any number of callers.
 */
WF_API size_t wf_inspect_processes(struct wf_inspect_cursor *cursor,
                                   struct wf_seen_process *ret_processes, size_t room);

WF_END_DECLS

#endif
