/* SPDX-License-Identifier: MIT */
/* The protocol and its invariants are in netpoll.h. */
#include "sched/netpoll.h"

#include <errno.h>
#include <poll.h>

#include "base/alloc.h"
#include "sched/record.h"
#include "sched/worker.h"

enum {
    EVENTS = 64,  /* fetched by one look; more are there at the next */
    SLAB = 32,    /* descs from one allocation */
    RESERVE = 64, /* descs that need none: a program with a few streams allocates nothing here */
    CLOSED = 1,
    PARTY = 2,
};

struct slab {
    struct slab *older; /* constant once published */
    struct wfi_poll_desc descs[SLAB];
};

static struct wfi_poll_desc reserve[RESERVE];
static struct wfi_lock pool_lock;
/* All three written under pool_lock. */
static WFI_ATOMIC(struct slab *) slabs;
static struct wfi_poll_desc *pool_free;
static int reserve_used;

static struct wfi_poller *poller_of(struct wfi_worker *worker)
{
    return wfi_load_acquire(&worker->poller); /* acquire: pairs with the release in attach */
}

/* Unregisters. Under the desc's lock. */
static void leave_home(struct wfi_poll_desc *d)
{
    if (!d->home)
        return;
    wfi_poller_remove(poller_of(d->home), d->fd);
    wfi_fetch_sub(&d->home->descriptors, 1u);
    d->home = NULL;
}

/* One more edge in a direction. Under the desc's lock. */
static void edge(struct wfi_poll_desc *d, enum wfi_desc_direction direction,
                 struct wfi_wake_list *wakes)
{
    uint32_t seen = wfi_load_relaxed(&d->directions[direction].seen);
    /* release: pairs with the acquire in wfi_poll_desc_seen */
    wfi_store_release(&d->directions[direction].seen, seen + 1);
    wfi_wake_list_claim_all(wakes, &d->directions[direction].waiters);
}

static void evict(struct wfi_poll_desc *d, struct wfi_worker *worker)
{
    struct wfi_wake_list wakes = {0};
    wfi_lock_lock(&d->lock);
    if (d->home == worker) {
        leave_home(d);
        /* Fibers of other runtimes that counted on this home try again and find another. */
        edge(d, WFI_DESC_READ, &wakes);
        edge(d, WFI_DESC_WRITE, &wakes);
    }
    wfi_lock_unlock(&d->lock);
    wfi_wake_all(&wakes);
}

void wfi_netpoll_fini(struct wfi_worker *worker)
{
    struct wfi_poller *poller = poller_of(worker);
    if (!poller)
        return;
    /* No list of a worker's descs is kept for this: it happens once, and descs stay where they are.
     */
    for (int i = 0; i < RESERVE; i++)
        evict(&reserve[i], worker);
    /* acquire: pairs with the release in take_from_new_slab */
    for (struct slab *slab = wfi_load_acquire(&slabs); slab; slab = slab->older)
        for (int i = 0; i < SLAB; i++)
            evict(&slab->descs[i], worker);
    wfi_poller_destroy(poller);
    wfi_store_relaxed(&worker->poller, NULL); /* nobody is left to see it */
}

int wfi_netpoll_run(struct wfi_worker *worker, wf_deadline deadline)
{
    struct wfi_poll_event events[EVENTS];
    int n = wfi_poller_wait(poller_of(worker), events, EVENTS, deadline);
    for (int i = 0; i < n; i++) {
        struct wfi_poll_target *target = events[i].tag;
        target->ready(target, events[i].ready);
    }
    return n;
}

int wfi_netpoll_attach(struct wfi_worker *worker, struct wf_error *reterr)
{
    if (!poller_of(worker)) {
        struct wfi_poller *poller;
        int err = wfi_poller_create(&poller, reterr);
        if (err)
            return err;
        wfi_store_release(&worker->poller, poller); /* release: pairs with poller_of */
    }
    wfi_fetch_add(&worker->descriptors, 1u);
    return 0;
}

void wfi_netpoll_detach(struct wfi_worker *worker)
{
    wfi_fetch_sub(&worker->descriptors, 1u);
}

int wfi_netpoll_watch(struct wfi_worker *worker, int fd, uint32_t interest,
                      struct wfi_poll_target *target)
{
    return wfi_poller_watch(poller_of(worker), fd, interest, target);
}

static void desc_ready(struct wfi_poll_target *target, uint32_t ready)
{
    struct wfi_poll_desc *d = wfi_container_of(target, struct wfi_poll_desc, target);
    struct wfi_wake_list wakes = {0};
    wfi_lock_lock(&d->lock);
    if (ready & WFI_POLL_EVENTFUL)
        wfi_store_relaxed(&d->eventful, true); /* released with `seen` */
    if (ready & WFI_POLL_READ)
        edge(d, WFI_DESC_READ, &wakes);
    if (ready & WFI_POLL_WRITE)
        edge(d, WFI_DESC_WRITE, &wakes);
    wfi_lock_unlock(&d->lock);
    wfi_wake_all(&wakes);
}

/* The pool */

static struct wfi_poll_desc *take_free(void)
{
    wfi_lock_lock(&pool_lock);
    struct wfi_poll_desc *d = pool_free;
    if (d)
        pool_free = d->next_free;
    else if (reserve_used < RESERVE)
        d = &reserve[reserve_used++];
    wfi_lock_unlock(&pool_lock);
    return d;
}

static struct wfi_poll_desc *take_from_new_slab(void)
{
    struct slab *slab = wfi_zalloc(sizeof *slab);
    if (!slab)
        return NULL;
    wfi_lock_lock(&pool_lock);
    for (int i = 1; i < SLAB; i++) {
        slab->descs[i].next_free = pool_free;
        pool_free = &slab->descs[i];
    }
    slab->older = wfi_load_relaxed(&slabs);
    wfi_store_release(&slabs, slab); /* release: pairs with the acquire in wfi_netpoll_fini */
    wfi_lock_unlock(&pool_lock);
    return &slab->descs[0];
}

struct wfi_poll_desc *wfi_poll_desc_open(int fd)
{
    struct wfi_poll_desc *d = take_free();
    if (!d)
        d = take_from_new_slab();
    if (!d)
        return NULL;
    /* Under the lock, because a stale event may be looking; `seen` just goes on counting. */
    wfi_lock_lock(&d->lock);
    d->target.ready = desc_ready;
    d->fd = fd;
    wfi_store_relaxed(&d->eventful, false);
    wfi_lock_unlock(&d->lock);
    wfi_store(&d->parties, (uint32_t)PARTY);
    return d;
}

void wfi_poll_desc_free(struct wfi_poll_desc *d)
{
    wfi_lock_lock(&pool_lock);
    d->next_free = pool_free;
    pool_free = d;
    wfi_lock_unlock(&pool_lock);
}

int wfi_poll_desc_enter(struct wfi_poll_desc *d)
{
    uint32_t parties = wfi_load_relaxed(&d->parties);
    do
        if (parties & CLOSED)
            return -EPIPE;
    while (!wfi_cas(&d->parties, &parties, parties + PARTY));
    return 0;
}

bool wfi_poll_desc_leave(struct wfi_poll_desc *d)
{
    return wfi_fetch_sub(&d->parties, (uint32_t)PARTY) == (PARTY | CLOSED);
}

bool wfi_poll_desc_close(struct wfi_poll_desc *d)
{
    uint32_t before = wfi_fetch_or(&d->parties, (uint32_t)CLOSED);
    wfi_assert(!(before & CLOSED), "a stream or listener is closed once");
    struct wfi_wake_list wakes = {0};
    wfi_lock_lock(&d->lock);
    leave_home(d);
    wfi_wake_list_claim_all(&wakes, &d->directions[WFI_DESC_READ].waiters);
    wfi_wake_list_claim_all(&wakes, &d->directions[WFI_DESC_WRITE].waiters);
    wfi_lock_unlock(&d->lock);
    wfi_wake_all(&wakes);
    return wfi_poll_desc_leave(d);
}

/* Registers with the calling fiber's worker, if nobody has. Under the desc's lock. */
static int find_home(struct wfi_poll_desc *d)
{
    if (d->home)
        return 0;
    struct wfi_worker *worker = wfi_record_self()->worker;
    int err = wfi_netpoll_attach(worker, NULL);
    if (err)
        return err;
    err = wfi_poller_add(poller_of(worker), d->fd, &d->target);
    if (err)
        wfi_netpoll_detach(worker);
    else
        d->home = worker;
    return err;
}

bool wfi_poll_desc_is_watched(struct wfi_poll_desc *d)
{
    wfi_lock_lock(&d->lock);
    bool watched = d->home != NULL;
    wfi_lock_unlock(&d->lock);
    return watched;
}

int wfi_poll_desc_wait(struct wfi_poll_desc *d, enum wfi_desc_direction direction, uint32_t seen,
                       const char *reason, const void *object, wf_deadline deadline)
{
    struct wfi_wait_node node = {.amount = 0};
    struct wfi_wait_list *waiters = &d->directions[direction].waiters;
    bool fiber = wfi_on_fiber();
    wfi_lock_lock(&d->lock);
    /* Closing sets the bit before it takes the lock: either it is seen here, or the close finds
     * this party in the list. */
    int err = wfi_load(&d->parties) & CLOSED ? -EPIPE : 0;
    bool again = !err && wfi_load_relaxed(&d->directions[direction].seen) != seen;
    if (!err && !again && fiber)
        err = find_home(d);
    if (err || again) {
        wfi_lock_unlock(&d->lock);
        return err;
    }
    if (fiber)
        err = wfi_wait(waiters, &d->lock, &node, reason, object, deadline);
    else
        err = wfi_wait_fd(waiters, &d->lock, &node, d->fd,
                          direction == WFI_DESC_READ ? POLLIN : POLLOUT, reason, object, deadline);
    if (!err && (wfi_load(&d->parties) & CLOSED))
        err = -EPIPE;
    return err;
}
