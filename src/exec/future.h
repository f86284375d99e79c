/* SPDX-License-Identifier: MIT */
/*
 * The task block: task, future, arguments and result in one piece of 128 bytes.
 *
 * The state word holds the state and these bits:
 *
 *   ASKED     somebody asked the running task to stop
 *   LEVEL     `frame` points to the running task's frame, which holds its level of cancellation
 *   BUSY      a canceller is using that frame; who ends the task waits for the bit to go, so the
 *             frame outlives every use
 *   HANDLE    the owner (or the scope) still holds the handle
 *   ENGINE    the engine still holds the block: it is in a queue, or runs, or belongs to a promise
 *   SCOPED    the block belongs to a scope; `scoped` is in use
 *   RELEASED  nobody will ask for the handle of this scoped task (wf_go): HANDLE goes when it ends
 *   OBSERVED  the outcome was looked at, or taken
 *   SHIELDED  a cancelled waiter leaves the task alone
 *   COUNTED   the engine counts the block as queued
 *   NAMED     a name of its own stands behind the data
 *   HELD      the engine reads the arguments of a PENDING task; who cancels it leaves ASKED behind,
 *             and the engine does it
 *   STATIC    the one future that stands for "out of memory"; never freed
 *
 * Invariants
 *  1. One compare-and-swap per edge: PENDING to RUNNING (a worker, or a waiter that helps), PENDING
 *     to CANCELED (a canceller), RUNNING to an end (who runs it). Whoever wins PENDING to anything
 *     owns arguments, locals and the task's end.
 *  2. The outcome (result, `code`, `error`) is written before the state that announces it and not
 *     changed after; the state is released and acquired.
 *  3. `waiting` goes to WFI_ENDED_LIST once, after the state; what was in it is served by who put
 *     that there. Additions happen under the list lock (wfi_future_lock), so a party that finds
 *     the list ended needs no wake-up.
 *  4. The block is freed by whoever clears the last of HANDLE and ENGINE. Whoever ends a task holds
 *     one of them, or runs inside a call of the party that does.
 *  5. Blocks are never given back to the heap, so a reader of the registry may look at any of them
 * at any time; what it reads (state, type, born) is atomic.
 */
#ifndef WFI_EXEC_FUTURE_H
#define WFI_EXEC_FUTURE_H

#include <weft/task.h>

#include "base/atomic.h"
#include "base/list.h"
#include "sched/cancel.h"
#include "sched/job.h"
#include "sched/park.h"

struct wfi_locals;

enum {
    WFI_FUTURE_STATE = 7, /* mask: enum wf_future_state, 0 while the block is free */
    WFI_FUTURE_ASKED = 1 << 3,
    WFI_FUTURE_LEVEL = 1 << 4,
    WFI_FUTURE_BUSY = 1 << 5,
    WFI_FUTURE_HANDLE = 1 << 6,
    WFI_FUTURE_ENGINE = 1 << 7,
    WFI_FUTURE_SCOPED = 1 << 8,
    WFI_FUTURE_RELEASED = 1 << 9,
    WFI_FUTURE_OBSERVED = 1 << 10,
    WFI_FUTURE_SHIELDED = 1 << 11,
    WFI_FUTURE_COUNTED = 1 << 12,
    WFI_FUTURE_NAMED = 1 << 13,
    WFI_FUTURE_STATIC = 1 << 14,
    WFI_FUTURE_HELD = 1 << 15,
};

enum { WFI_TASK_NAME_BYTES = 48, WFI_TASK_INLINE = 64, WFI_TASK_INLINE_SCOPED = 40 };

/* Something that waits for a future to end: in the list of one future. */
enum wfi_end_kind { WFI_END_WAKE, WFI_END_HOOK, WFI_END_CALL };
struct wfi_end_node {
    struct wfi_end_node *next;
    enum wfi_end_kind kind;
    union {
        struct wfi_wait_node wait; /* WAKE: a party in wf_future_wait */
        /* HOOK: called under the list lock; must be short, may take one more lock, and adds those
         * it claims to `wake`. After it the node is its owner's again. */
        struct {
            void (*fn)(struct wfi_end_node *node, struct wf_future *future,
                       struct wfi_wake_list *wake);
        } hook;
        /* CALL: on the heap; a callback of the user's, called without locks. */
        struct {
            int (*fn)(struct wf_future *, void *);
            void *arg;
        } call;
    };
};

#define WFI_ENDED_LIST ((struct wfi_end_node *)(uintptr_t)1)

struct wf_future {
    _Alignas(64) struct wfi_job job;
    WFI_ATOMIC(const struct wf_task_type *) type;
    WFI_ATOMIC(uint32_t) state;
    /* Until it ends: when it was submitted, in ms. When FAILED: the code. */
    WFI_ATOMIC(uint32_t) born_or_code;
    WFI_ATOMIC(struct wfi_end_node *) waiting;
    struct wf_executor *on; /* NULL for a promise */
    union {
        struct wfi_locals *locals; /* PENDING: the submitter's context */
        struct wf_task *frame;     /* RUNNING, under BUSY or by the task itself */
        struct wf_error *error;    /* FAILED: more than the code; may be NULL */
        struct wf_future *chain;   /* CANCELED: while a scope works through its children */
    };
    void *data; /* arguments, then the result; inside the block or on the heap */
    union {
        unsigned char bytes[WFI_TASK_INLINE];
        struct {
            struct wf_scope *scope;
            struct wfi_link link; /* under the scope's lock */
            unsigned char bytes[WFI_TASK_INLINE_SCOPED];
        } scoped;
    };
};

_Static_assert(sizeof(struct wf_future) == 128, "a task block is two cache lines");

/* A running task: in the frame of wfi_future_run. */
struct wf_task {
    struct wf_future *future;
    struct wf_executor *on;
    const struct wf_task_type *type;
    struct wf_task *outer;  /* the task this one interrupted, helping or inline; or NULL */
    struct wf_error *error; /* set by wf_task_fail; NULL also when there was no memory for it */
    const void *note_key;   /* of wf_task_set_note */
    void *note;
    struct wfi_cancel level;
};

static inline enum wf_future_state wfi_future_state(uint32_t word)
{
    return (enum wf_future_state)(word & WFI_FUTURE_STATE);
}

static inline bool wfi_future_ended(const struct wf_future *f)
{
    /* acquire: pairs with the swap that ended it, for the outcome */
    return wfi_future_state(wfi_load_acquire(&((struct wf_future *)(uintptr_t)f)->state)) >=
           WF_FUTURE_DONE;
}

static inline const struct wf_task_type *wfi_future_type(const struct wf_future *f)
{
    return wfi_load_relaxed(&((struct wf_future *)(uintptr_t)f)->type);
}

/*
 * A new PENDING future with a copy of the arguments, HANDLE and ENGINE set and the caller's context
 * captured; never NULL: without memory it is the static one, FAILED, and the arguments are dropped.
 */
struct wf_future *wfi_future_create(struct wf_executor *on, const struct wf_task_type *type,
                                    const struct wf_submit_options *options, const void *args,
                                    bool scoped);

/* The static one. */
struct wf_future *wfi_future_no_memory(void);

/* PENDING to RUNNING; the winner must run it. */
bool wfi_future_claim(struct wf_future *f);

/*
 * For an engine that copies what the arguments point to before it queues the task: nobody drops
 * them between hold and release_hold. hold returns false when the task has ended; release_hold,
 * when it was cancelled meanwhile, which is then done.
 */
bool wfi_future_hold(struct wf_future *f);
bool wfi_future_release_hold(struct wf_future *f);

/*
 * Runs a claimed task in the calling party, to its end. `nested`: on top of something else that
 * runs there, whose cancellation then holds inside too. Returns true when the executor's ending()
 * was called and its ended() is still owed.
 */
bool wfi_future_run(struct wf_future *f, bool nested);

/*
 * Fails a future nobody has started, for the engine that refuses it: as if PENDING to RUNNING to
 * FAILED. `error` may be NULL. ENGINE is not cleared.
 */
void wfi_future_refuse(struct wf_future *f, int code, const struct wf_error *error);

/*
 * Ends a future that the caller has claimed and does not run here: the result is in place, or
 * `code` and `error` (on the heap, given away; may be NULL) say why not.
 */
void wfi_future_end(struct wf_future *f, enum wf_future_state state, int code,
                    struct wf_error *error);

/*
 * The same in two steps, for who may not run the user's code in between: settle swaps the state
 * (false: it had ended already), serve tells those who wait; the caller holds ENGINE over both.
 */
bool wfi_future_settle(struct wf_future *f, enum wf_future_state state, int code,
                       struct wf_error *error);
void wfi_future_serve(struct wf_future *f);

/* Gives up HANDLE, ENGINE or both; the last one frees the block. */
void wfi_future_release(struct wf_future *f, uint32_t bits);

/* If the caller may, and the future has not started: runs it here. True if it has ended. */
bool wfi_future_help(struct wf_future *f);

/* Waits with no regard to cancellation; 0 or -ETIMEDOUT. */
int wfi_future_wait_anyway(struct wf_future *f, wf_deadline deadline);

/*
 * Cancels. When that was PENDING to CANCELED, *ret_must_serve is set and the caller calls
 * serve_removed when it holds no lock: that drops the arguments, which is the user's code, and ends
 * the list.
 */
enum wf_cancel_result wfi_future_cancel_quietly(struct wf_future *f, bool *ret_must_serve);
void wfi_future_serve_removed(struct wf_future *f);
/* Cancels a future that has not started, and leaves any other alone. */
void wfi_future_cancel_pending(struct wf_future *f);

/* The lock of the future's list; many futures share one. */
struct wfi_lock *wfi_future_lock(const struct wf_future *f);

/* Adds a node, or returns false when the list has ended. Under the lock. */
bool wfi_future_add(struct wf_future *f, struct wfi_end_node *node);
/* Takes a node out; false when it was not in the list any more. Under the lock. */
bool wfi_future_remove(struct wf_future *f, struct wfi_end_node *node);

/* Fills `err` with the outcome of an ended future and marks it observed. Returns the code. */
int wfi_future_describe(struct wf_future *f, struct wf_error *err);

void *wfi_future_result_ptr(struct wf_future *f);

/*
 * For whoever walks the registry: a copy of the task's own name, or "" when it has none or keeps it
 * where it may be freed meanwhile. What is copied counts if the state is the same afterwards.
 */
void wfi_future_peek_name(const struct wf_future *f, char *ret_name, size_t room);

/* The next block that was in use, NULL behind the last; the cursor begins zeroed. Takes no lock;
 * the block may change under the visitor. */
struct wfi_future_cursor {
    void *slab;
    uintptr_t index;
};
const struct wf_future *wfi_future_next(struct wfi_future_cursor *cursor);

/* Blocks, see block.c. */
struct wf_future *wfi_block_take(void);
void wfi_block_give(struct wf_future *f);

/* The error hook, see error_hook.c. */
void wfi_error_report(const struct wf_error *error);

#endif
