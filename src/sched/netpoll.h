/* SPDX-License-Identifier: MIT */
/*
 * Blocking on descriptors. Each worker has a netpoll (a poller and the descriptors whose home it
 * is) that it looks into between fibers and sleeps in when it has nothing else to do. What a stream
 * blocks with is a struct wfi_poll_desc.
 *
 * A blocking operation, by any fiber or thread:
 *
 *     err = wfi_poll_desc_enter(d);                      holds the descriptor open
 *     do {
 *         seen = wfi_poll_desc_seen(d, WFI_DESC_READ);   before the call
 *         n = read(d->fd, ...);
 *     } while (n == -EAGAIN && !(err = wfi_poll_desc_wait(d, WFI_DESC_READ, seen, ...)));
 *     if (wfi_poll_desc_leave(d)) { close(d->fd); wfi_poll_desc_free(d); }
 *
 * A descriptor is registered once, edge-triggered in both directions, with the netpoll of the
 * worker whose fiber is the first to block on it: its home. Fibers of other workers wait in the
 * same lists and are woken by the home through their own worker. A plain thread sleeps in poll(2)
 * on the descriptor itself, and needs neither a home nor a runtime.
 *
 * Invariants
 *  1. Every edge raises `seen` of its direction under the lock and wakes all who wait there; they
 * try again. A party parks only if `seen` is still what it was before the call that gave -EAGAIN;
 * so whoever is parked found the descriptor drained after the last edge, and the next one is still
 *     to come. That holds for any number of parties, also those that take only a part.
 *  2. Descs are type-stable: their memory stays a desc for the life of the process. An event
 * fetched before a close may be dispatched after it, and after the desc and the number have been
 * used again; it is then one edge too many, which costs one system call.
 *  3. The number is closed when the last party has left, not before: no party ever reads from a
 *     stranger's descriptor. Registration ends at the close call already.
 *  4. `home` and the waiters change under the desc's lock. worker->descriptors counts the descs
 * whose home the worker is, and the attached libraries.
 *
 * Rejected: a readiness bit that waiters clear (with two parties one may clear what the other
 * needed and take only a part); waking one waiter per edge (one edge may stand for two
 * connections).
 */
#ifndef WFI_SCHED_NETPOLL_H
#define WFI_SCHED_NETPOLL_H

#include <weft/error.h>

#include "os/poller.h"
#include "sched/park.h"

struct wfi_worker;

/* What an event leads to. Called on the worker's own stack; must not block. */
struct wfi_poll_target {
    void (*ready)(struct wfi_poll_target *target, uint32_t ready); /* bits of enum WFI_POLL_... */
};

/*
 * Waits for events until `deadline` (WF_NOW: only looks), and makes the parties runnable that wait
 * for them. Returns the number of events; 0 after the deadline or a wake. By the worker itself,
 * while worker->descriptors is not 0.
 */
int wfi_netpoll_run(struct wfi_worker *worker, wf_deadline deadline);

/* After the worker's thread has ended. Its descriptors find another home when they need one. */
void wfi_netpoll_fini(struct wfi_worker *worker);

/*
 * For libraries that do their own I/O. From attach to detach the worker looks for events; both on
 * the worker itself. attach returns 0, or -ENOMEM, -EMFILE, -ENFILE.
 */
int wfi_netpoll_attach(struct wfi_worker *worker, struct wf_error *reterr);
void wfi_netpoll_detach(struct wfi_worker *worker);

/*
 * Calls target->ready, on the worker, at each look while `fd` is ready for `interest`
 * (WFI_POLL_READ, WFI_POLL_WRITE, both; 0 forgets fd). By code on the attached worker, so that the
 * target can be freed after forgetting it, except inside a call of ready. Returns as
 * wfi_poller_watch.
 */
int wfi_netpoll_watch(struct wfi_worker *worker, int fd, uint32_t interest,
                      struct wfi_poll_target *target);

enum wfi_desc_direction { WFI_DESC_READ, WFI_DESC_WRITE };

struct wfi_poll_desc {
    struct wfi_poll_target target; /* first: what the poller's tag points to */
    struct wfi_lock lock;
    int fd;
    WFI_ATOMIC(uint32_t) parties; /* bit 0: closed; the rest counts who is inside, and the owner */
    WFI_ATOMIC(bool) eventful;    /* an edge told of more than bytes; written under the lock */
    struct {
        WFI_ATOMIC(uint32_t) seen; /* edges so far; written under the lock */
        struct wfi_wait_list waiters;
    } directions[2];
    struct wfi_worker *home; /* under the lock */
    struct wfi_poll_desc *next_free;
};

/* A desc for `fd`, which is non-blocking; its owner is inside. NULL: out of memory. */
struct wfi_poll_desc *wfi_poll_desc_open(int fd);
/* Gives it back, after leave or close has said that it was the last. fd is the caller's to close.
 */
void wfi_poll_desc_free(struct wfi_poll_desc *d);

/*
 * The owner leaves: whoever waits is woken and gets -EPIPE, nobody enters any more. Once. Returns
 * true when nobody is inside; otherwise the last to leave is told.
 */
bool wfi_poll_desc_close(struct wfi_poll_desc *d);

/* Returns 0, or -EPIPE when it is closed (there is nothing to leave then). */
int wfi_poll_desc_enter(struct wfi_poll_desc *d);
/* Returns true when it is closed and the caller was the last: close fd, free d. */
bool wfi_poll_desc_leave(struct wfi_poll_desc *d);

static inline uint32_t wfi_poll_desc_seen(struct wfi_poll_desc *d,
                                          enum wfi_desc_direction direction)
{
    /* acquire: pairs with the release in desc_ready; the system call comes after */
    return wfi_load_acquire(&d->directions[direction].seen);
}

/*
 * Whether some edge told of more than bytes: of the end, an error, urgent data. Ask after
 * wfi_poll_desc_seen; it then covers the edges that are counted there.
 */
static inline bool wfi_poll_desc_is_eventful(struct wfi_poll_desc *d)
{
    return wfi_load_relaxed(&d->eventful);
}

/* Whether edges come in: without a home, nobody is told of any. */
bool wfi_poll_desc_is_watched(struct wfi_poll_desc *d);

/*
 * Waits after -EAGAIN until there has been an edge in `direction` since `seen`.
 *
 * Returns 0 (try again), -EPIPE (closed), -ETIMEDOUT, -ECANCELED, or what registering gave
 * (-ENOMEM, -ENOSPC, -EMFILE).
 */
int wfi_poll_desc_wait(struct wfi_poll_desc *d, enum wfi_desc_direction direction, uint32_t seen,
                       const char *reason, const void *object, wf_deadline deadline);

#endif
