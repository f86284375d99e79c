/* SPDX-License-Identifier: MIT */
/*
 * The one way to block. Every wait in weft, of a fiber or of a plain thread, is a waiter on a list,
 * parked here and woken here; no other file knows which of the two it is.
 *
 * The parties
 *   struct wfi_waiter     who waits: one per fiber (in its control block), one per thread (in its
 *                         thread record). A party is in at most one wait at a time.
 *   struct wfi_wait_node  its place in one queue, in the frame of the waiting call. A select has a
 *                         node per clause, all pointing to the one waiter.
 *
 * A wait, step by step
 *   1. fast path: one atomic operation on the primitive; success ends it.
 *   2. take the queue's lock, check again; success ends it.
 *   3. wfi_wait_begin() makes the outcome word PENDING; link the node(s).
 *   4. wfi_park() looks for cancellation, sleeps, and gives up the lock(s) when, not before, the
 *      party can be resumed: on a fiber, the code that runs next on the worker releases them after
 *      the registers have been saved.
 *   5. whoever wants to end the wait competes for the outcome word with one compare-and-swap from
 *      PENDING: a waker (to CLAIMED + index), a timer, a canceller. One wins; the others do
 * nothing.
 *   6. a party that timed out or was cancelled takes the queue lock and unlinks its node before it
 *      returns. A waker unlinks the node itself.
 *
 * A wake-up, step by step
 *   1. under the queue's lock: take the first node, unlink it, claim it (wfi_wait_claim). A claim
 *      that fails was lost to a timeout or a cancel: take the next node.
 *   2. still before the wake: hand over. Write node->slot, set fields; the party cannot run yet,
 *      because CLAIMED is not an end for it.
 *   3. release the lock.
 *   4. wfi_wake(waiter): from here on neither the waiter, its node, nor the primitive may be
 *      touched; the party may have returned and destroyed all of them.
 *
 * Invariants
 *   1. A node is linked or unlinked only under its queue's lock.
 *   2. PENDING -> CLAIMED happens only under the lock of the queue the node is in; therefore a
 *      party that holds that lock and finds its node linked knows that nobody is about to claim it
 *      through that node.
 *   3. CLAIMED -> WOKEN (or ENDED, by a canceller) is done by the claimer alone, exactly once. A
 *      party that finds CLAIMED stays asleep: its record may be read until the word says more.
 *   4. A fiber in CLAIMED is in no run queue until wfi_wake puts it there; so it is run once.
 *   5. The outcome word of a thread is in its thread record, which is never freed: a late
 *      futex wake-up hits live memory and is harmless.
 *
 * Rejected: releasing the lock before the switch (a fiber could be resumed while it still runs, as
 * soon as fibers may change workers); a wake flag on the waiter's stack (the late wake-up hits dead
 * memory); waking under the lock (the woken party runs into it at once).
 */
#ifndef WFI_SCHED_PARK_H
#define WFI_SCHED_PARK_H

#include <weft/time.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "os/lock.h"
#include "os/self.h"

struct wfi_cancel;
struct wfi_locals;
struct wfi_object;

enum wfi_waiter_kind { WFI_THREAD, WFI_FIBER };

/*
 * The outcome word: low two bits the state, bit 2 "asleep in the kernel" (threads only), the rest
 * an argument: while PENDING the shield floor of the wait, from CLAIMED on the index of the node,
 * in ENDED the negated error.
 */
enum {
    WFI_PENDING = 0,
    WFI_CLAIMED = 1,
    WFI_WOKEN = 2,
    WFI_ENDED = 3,
    WFI_STATE_MASK = 3,
    WFI_ASLEEP = 4,
    WFI_ARGUMENT_SHIFT = 3,
};
#define WFI_FLOOR_NEVER ((1u << 29) - 1) /* the floor of a wait that cannot be cancelled */

struct wfi_waiter {
    WFI_ATOMIC(uint32_t) outcome;
    uint8_t kind; /* enum wfi_waiter_kind; constant */

    /* Written by the party itself, read by whoever walks the registry. */
    WFI_ATOMIC(int64_t) since_ns;        /* when it began to wait, or to run its task */
    WFI_ATOMIC(const char *) reason;     /* why it waits: a static string; NULL while it runs */
    WFI_ATOMIC(const void *) object;     /* what it waits for */
    WFI_ATOMIC(const char *) task_name;  /* what exec runs here: a static string, or NULL */
    WFI_ATOMIC(const void *) task_block; /* and exec's block of it */

    /* The party's own. */
    wf_deadline deadline;       /* of the wait it is in; levels may have an earlier one */
    struct wfi_cancel *cancel;  /* innermost level, or NULL */
    uint32_t depth;             /* of the innermost level; 0 outside all */
    uint32_t floor;             /* depth of the innermost shield, or 0 */
    struct wfi_locals *locals;  /* context locals, see sync/local.h */
    struct wfi_object *objects; /* its own objects, see sync/local.h */
    uint64_t random;            /* state of a splitmix64 for fair choices; 0 before the first */
    void *task;                 /* exec's: the task that runs here, or NULL */
    char name[32];              /* thread or fiber name, or empty */
};

struct wfi_wait_node {
    struct wfi_wait_node *next, *prev; /* under the queue's lock */
    struct wfi_waiter *waiter;
    uint32_t index;  /* reported by wfi_park; the clause, in a select */
    bool linked;     /* under the queue's lock */
    void *slot;      /* what is handed over, by agreement of the primitive's two sides */
    uint64_t amount; /* a number for the waker: permits wanted, ticket, mode */
};

/* First come, first served. Zeroed is empty. Guarded by a lock of the primitive's. */
struct wfi_wait_list {
    struct wfi_wait_node *first, *last;
};

static inline bool wfi_wait_list_empty(const struct wfi_wait_list *list)
{
    return list->first == NULL;
}

void wfi_wait_list_push(struct wfi_wait_list *list, struct wfi_wait_node *node);
/* At the head: for a waiter that had its turn and lost it through no fault of its own. */
void wfi_wait_list_push_front(struct wfi_wait_list *list, struct wfi_wait_node *node);
/* Unlinks the node; nothing happens if it is not linked. */
void wfi_wait_list_remove(struct wfi_wait_list *list, struct wfi_wait_node *node);

struct wfi_waiter *wfi_self_attach(void); /* the first call of a foreign thread */

/* The calling party. Never NULL: a foreign thread gets its record on the first call. */
static inline struct wfi_waiter *wfi_self(void)
{
    struct wfi_waiter *self = wfi_self_get();
    return wfi_likely(self) ? self : wfi_self_attach();
}

/*
 * What a party leaves behind is cleared away by a layer above: the hook is called on the party
 * itself, once, when its thread or fiber ends; it may block. Set by sync/local.c; NULL before.
 */
extern WFI_ATOMIC(void (*)(struct wfi_waiter *)) wfi_party_end_hook;
void wfi_party_end(struct wfi_waiter *self);

/* True when the caller runs on a fiber. */
static inline bool wfi_on_fiber(void)
{
    return wfi_self()->kind == WFI_FIBER;
}

/*
 * Starts a wait of the calling party: from here on a linked node may be claimed. `reason` is a
 * static string such as "mutex"; `object` what it waits for. Returns the calling party.
 */
struct wfi_waiter *wfi_wait_begin(const char *reason, const void *object);

/* The same for a wait that no cancellation interrupts (joins that must happen). */
struct wfi_waiter *wfi_wait_begin_uncancelable(const char *reason, const void *object);

/*
 * Sleeps until the wait that wfi_wait_begin started has ended. `held` are the locks of all the
 * queues the party is linked in; they are released for it. The array must stay valid until the
 * return (it is the caller's frame).
 *
 * Returns the index of the node that was woken, or
 *   -ETIMEDOUT   `deadline` passed first
 *   -ECANCELED   a level of cancellation in view was asked, or expired
 * After an error the caller takes each queue's lock again and unlinks.
 */
int wfi_park(struct wfi_waiter *self, struct wfi_lock *const *held, size_t held_count,
             wf_deadline deadline);

/*
 * Steps 3 to 6 of a wait on a single queue: called with `lock` held and the fast path refused,
 * returns with it released and the node unlinked. The caller has set node->slot and node->amount;
 * the rest of the node is set here.
 *
 * Returns 0 when woken, -ETIMEDOUT or -ECANCELED. After an error the primitive may have to be
 * looked at again by the caller (its own next-in-line duties); after 0 it is not touched any more.
 */
int wfi_wait(struct wfi_wait_list *list, struct wfi_lock *lock, struct wfi_wait_node *node,
             const char *reason, const void *object, wf_deadline deadline);
int wfi_wait_uncancelable(struct wfi_wait_list *list, struct wfi_lock *lock,
                          struct wfi_wait_node *node, const char *reason, const void *object,
                          wf_deadline deadline);

/* Tries to win the wait behind `node`, already unlinked, under its queue's lock. */
bool wfi_wait_claim(struct wfi_wait_node *node);

/* Unlinks nodes from the front until one is claimed; NULL when none is left. */
struct wfi_wait_node *wfi_wait_claim_first(struct wfi_wait_list *list);

/* Makes a claimed party runnable. Call it without locks; see "A wake-up", step 4. */
void wfi_wake(struct wfi_waiter *waiter);

/*
 * The canceller's side: ends the wait of `waiter`, if it is in one that a level of `depth` may
 * interrupt. The caller keeps the party's level entered. Takes no lock.
 */
void wfi_wait_cancel(struct wfi_waiter *waiter, uint32_t depth);

/*
 * The timer's side, for the scheduler: true if the wait was ended by this call. *ret_later receives
 * when to come again, because the deadline that was due had been moved; WF_FOREVER otherwise.
 */
bool wfi_wait_time_out(struct wfi_waiter *waiter, wf_deadline *ret_later);

/* Claimed nodes on their way to be woken, chained through `next`. Zeroed is empty. */
struct wfi_wake_list {
    struct wfi_wait_node *first, *last;
};
void wfi_wake_list_add(struct wfi_wake_list *list, struct wfi_wait_node *claimed);
/* Claims all that can be claimed in `from`, first to last, and adds them. Returns how many. */
size_t wfi_wake_list_claim_all(struct wfi_wake_list *list, struct wfi_wait_list *from);
void wfi_wake_all(struct wfi_wake_list *list);

/*
 * Waits until file descriptor `fd` is ready, for threads that have no worker's poller at hand:
 * called with `lock` held, like wfi_wait, but the thread sleeps in poll(2) on `fd` and on its own
 * wake-up descriptor. `events` are poll(2)'s.
 *
 * Returns 0 when ready or woken, -ETIMEDOUT, -ECANCELED, or another -errno (no descriptor left).
 */
int wfi_wait_fd(struct wfi_wait_list *list, struct wfi_lock *lock, struct wfi_wait_node *node,
                int fd, short events, const char *reason, const void *object, wf_deadline deadline);

/*
 * Waits until *word, which other processes share, is not `expected` or somebody wakes its sleepers,
 * for threads; fibers wait through proc/shared_wait.h. Whoever wakes has changed the word before.
 *
 * Returns 0, perhaps for nothing, -ETIMEDOUT or -ECANCELED. After an error a wake-up may have been
 * spent on the caller, who then wakes another.
 */
int wfi_wait_word(WFI_ATOMIC(uint32_t) * word, uint32_t expected, bool cancelable,
                  const char *reason, const void *object, wf_deadline deadline);

/*
 * Lets other fibers of the worker run (on a thread: gives up the time slice).
 * Returns 0, or -ECANCELED if a level in view was asked or has expired.
 */
int wfi_yield(void);

/*
 * What park stands on, replaced as a whole by the explorer and by tests of time. `sleep` returns
 * when the word may have changed from `expected`, or the deadline passed; spurious returns are
 * fine.
 */
struct wfi_park_ops {
    int64_t (*now)(void);
    void (*sleep)(WFI_ATOMIC(uint32_t) * word, uint32_t expected, wf_deadline deadline);
    void (*wake)(WFI_ATOMIC(uint32_t) * word);
};
extern const struct wfi_park_ops wfi_park_ops_system;
extern const struct wfi_park_ops *wfi_park_ops;

#endif
