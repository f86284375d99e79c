/* SPDX-License-Identifier: MIT */
/*
 * The table of functions behind every executor. Engines above exec (processes, celery) bring their
 * own.
 */
#ifndef WFI_EXEC_EXECUTOR_H
#define WFI_EXEC_EXECUTOR_H

#include <weft/executor.h>
#include <weft/inspect.h>

#include "base/list.h"
#include "exec/future.h"

struct wfi_executor_ops {
    const char *engine;
    /* A waiter that runs on this executor may run a task of it that has not started. */
    bool helps;
    /* Tasks that are defined elsewhere (no `call`) are welcome. */
    bool foreign;

    /*
     * Takes a PENDING future with its ENGINE bit. Returns 0, or a negative code with `reterr`
     * filled: then the future is untouched, and the caller fails it.
     */
    int (*submit)(struct wf_executor *on, struct wf_future *f,
                  const struct wf_submit_options *options, struct wf_error *reterr);
    /* A COUNTED future has left PENDING without the queue's knowledge. May be NULL. */
    void (*forget)(struct wf_executor *on);
    /* A worker is about to publish the end of a task, and will then look for the next one; ended()
     * is called when it may take longer, because it has callbacks to run. May both be NULL. */
    void (*ending)(struct wf_executor *on);
    void (*ended)(struct wf_executor *on);
    /* Asks a RUNNING task that has no frame in this process. Called with locks held: it may swap
     * the state (wfi_future_settle), but leaves what follows to another. May be NULL. */
    enum wf_cancel_result (*cancel)(struct wf_executor *on, struct wf_future *f);
    /* A thread or fiber is about to park until `f`, of this executor, has ended: it may collect
     * what has ended, and look for a moment whether `f` ends meanwhile. May be NULL. */
    void (*attend)(struct wf_executor *on, struct wf_future *f, wf_deadline deadline);

    int (*shutdown)(struct wf_executor *on, enum wf_shutdown mode, wf_deadline deadline);
    /* After a shutdown with CANCEL that ended well: frees. */
    void (*destroy)(struct wf_executor *on);
    unsigned (*workers)(const struct wf_executor *on);
    /* Fills in what is zeroed but for name and engine, from words that change meanwhile; takes no
     * lock. The executor may be just being made. May be NULL. */
    void (*look)(const struct wf_executor *on, struct wf_seen_executor *ret_seen);
};

struct wf_executor {
    const struct wfi_executor_ops *ops;
    struct wfi_link link; /* in the list of all, under its lock; in the order of the numbers */
    uint64_t number;      /* of its making, from 1 */
    char name[32];
    bool service; /* the end of a program does not wait for it; set by the engine before init */
};

/* Puts a new executor into the list of all, and takes it out. `name` may be NULL: a unique one. */
void wfi_executor_init(struct wf_executor *on, const struct wfi_executor_ops *ops,
                       const char *name);
void wfi_executor_fini(struct wf_executor *on);

/* Shuts all that are left but services, with `mode`, and waits until the deadline. Returns 0 or
 * -ETIMEDOUT. */
int wfi_executor_shutdown_all(enum wf_shutdown mode, wf_deadline deadline);

/* For whoever walks the registry: a copy of the name of the task's executor, and its engine; both
 * "" when it is gone, "" and "promise" when there is none. */
void wfi_executor_peek(const struct wf_future *f, char *ret_name, size_t room,
                       const char **ret_engine);
/* The executors whose numbers are above `*number`, which then is the last one's; how many. */
size_t wfi_executor_next(uint64_t *number, struct wf_seen_executor *ret_seen, size_t room);

/* True when the caller runs in a task of this executor. */
bool wfi_executor_is_mine(const struct wf_executor *on);

/* Fails `f`, which `on` refused, and gives up its ENGINE bit. */
void wfi_executor_refuse(struct wf_future *f, int code, const struct wf_error *error);

/* Submits what wfi_future_create made; a refusal fails it. */
void wfi_executor_submit(struct wf_executor *on, struct wf_future *f,
                         const struct wf_submit_options *options);

#endif
