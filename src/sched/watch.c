/* SPDX-License-Identifier: MIT */
/*
 * The public face of a worker: calls on its own stack, values per worker, watches. Everything here
 * but the numbering of keys is touched by one worker only. TSan is told of the order between the
 * worker's contexts by release and acquire on the watch, or the worker's slots: it is the order in
 * which one thread runs them.
 */
#include <weft/worker.h>

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "os/sanitizer.h"
#include "sched/netpoll.h"
#include "sched/worker.h"

bool wf_on_fiber(void)
{
    return wfi_on_fiber();
}

void wf_worker_call(void (*fn)(void *), void *arg)
{
    wfi_worker_call(fn, arg);
}

/* Slots. A key's state is its number plus one; the table of destructors only grows, under `lock`.
 */

static struct wfi_lock lock;
static void (*destructors[WFI_WORKER_SLOTS])(void *);
static uintptr_t key_count;

void *wf_worker_get(struct wf_worker_key *key)
{
    struct wfi_worker *worker = wfi_worker_current();
    wfi_lock_lock(&lock);
    uintptr_t number = key->state;
    wfi_lock_unlock(&lock);
    if (!worker || !number)
        return NULL;
    wfi_tsan_acquire(worker->slots);
    return worker->slots[number - 1];
}

int wf_worker_set(struct wf_worker_key *key, void *value)
{
    struct wfi_worker *worker = wfi_worker_current();
    if (!worker)
        return WF_ESTATE;
    wfi_lock_lock(&lock);
    if (!key->state && key_count < WFI_WORKER_SLOTS) {
        destructors[key_count] = key->destroy;
        key->state = ++key_count;
    }
    uintptr_t number = key->state;
    wfi_lock_unlock(&lock);
    if (!number)
        return -ENOSPC;
    wfi_tsan_acquire(worker->slots);
    worker->slots[number - 1] = value;
    wfi_tsan_release(worker->slots);
    return 0;
}

void wfi_worker_slots_clear(struct wfi_worker *worker)
{
    wfi_tsan_acquire(worker->slots);
    for (size_t i = WFI_WORKER_SLOTS; i-- > 0;) {
        void *value = worker->slots[i];
        worker->slots[i] = NULL;
        wfi_lock_lock(&lock);
        void (*destroy)(void *) = destructors[i];
        wfi_lock_unlock(&lock);
        if (value && destroy)
            destroy(value);
    }
}

/* Watches */

enum { FIRST_ROOM = 64 };

struct target {
    struct wfi_poll_target target;
    struct wf_watch *watch;
    struct target *next; /* in the watch's list of forgotten ones */
    int fd;
    uint32_t interest;
};

struct wf_watch {
    struct wf_watch_options options;
    struct wfi_worker *worker;
    struct wfi_timer timer;
    struct target **targets; /* by descriptor; NULL for those not watched */
    size_t target_room;
    /* An event that was fetched together with the one being dealt with may point to a target that
     * is forgotten meanwhile; so targets are reused, and freed with the watch. */
    struct target *spare;
    int in_call;
    bool closed;
};

static void free_watch(struct wf_watch *watch)
{
    for (size_t fd = 0; fd < watch->target_room; fd++)
        wfi_free(watch->targets[fd]);
    wfi_free(watch->targets);
    for (struct target *t = watch->spare, *next; t; t = next) {
        next = t->next;
        wfi_free(t);
    }
    wfi_free(watch);
}

static void enter(struct wf_watch *watch)
{
    wfi_tsan_checks_on();
    wfi_tsan_acquire(watch);
    watch->in_call++;
}

static void leave(struct wf_watch *watch)
{
    watch->in_call--;
    wfi_tsan_release(watch);
    wfi_tsan_checks_off();
}

static void target_ready(struct wfi_poll_target *poll_target, uint32_t ready)
{
    struct target *target = wfi_container_of(poll_target, struct target, target);
    struct wf_watch *watch = target->watch;
    if (watch->closed || !target->interest)
        return;
    enter(watch);
    ready &= WF_WATCH_READ | WF_WATCH_WRITE | WF_WATCH_ERROR;
    watch->options.ready(watch->options.arg, target->fd, ready);
    leave(watch);
}

static void timer_fires(struct wfi_timer *timer, struct wfi_worker *worker)
{
    (void)worker;
    struct wf_watch *watch = wfi_container_of(timer, struct wf_watch, timer);
    enter(watch);
    watch->options.expired(watch->options.arg);
    leave(watch);
}

int wf_watch_open(const struct wf_watch_options *options, struct wf_watch **ret_watch,
                  struct wf_error *reterr)
{
    struct wfi_worker *worker = wfi_worker_current();
    if (!worker)
        return wf_error_set(reterr, WF_ESTATE, "a watch is opened on a worker, not a plain thread");
    struct wf_watch *watch = wfi_zalloc(sizeof *watch);
    if (!watch)
        return wf_error_set(reterr, -ENOMEM, NULL);
    watch->options = *options;
    watch->worker = worker;
    watch->timer.fire = timer_fires;
    wfi_tsan_checks_off();
    int err = wfi_netpoll_attach(worker, reterr);
    wfi_tsan_checks_on();
    if (err) {
        wfi_free(watch);
        return err;
    }
    wfi_tsan_release(watch);
    *ret_watch = watch;
    return 0;
}

static struct target *find_target(struct wf_watch *watch, int fd)
{
    return fd >= 0 && (size_t)fd < watch->target_room ? watch->targets[fd] : NULL;
}

/* Makes room for the descriptor's target. Returns 0 or -ENOMEM. */
static int make_room(struct wf_watch *watch, int fd)
{
    if ((size_t)fd < watch->target_room)
        return 0;
    size_t room = watch->target_room ? watch->target_room : FIRST_ROOM;
    while (room <= (size_t)fd)
        room *= 2;
    struct target **grown = wfi_realloc(watch->targets, room * sizeof(struct target *));
    if (!grown)
        return -ENOMEM;
    memset(grown + watch->target_room, 0, (room - watch->target_room) * sizeof(struct target *));
    watch->targets = grown;
    watch->target_room = room;
    return 0;
}

static struct target *take_spare(struct wf_watch *watch)
{
    struct target *target = watch->spare;
    if (target)
        watch->spare = target->next;
    else
        target = wfi_zalloc(sizeof *target);
    return target;
}

static int set_interest(struct wf_watch *watch, int fd, unsigned interest)
{
    struct target *target = find_target(watch, fd);
    if (!target && !interest)
        return 0;
    if (!target) {
        if (fd < 0)
            return -EBADF;
        if (make_room(watch, fd))
            return -ENOMEM;
        target = take_spare(watch);
        if (!target)
            return -ENOMEM;
        *target = (struct target){.target = {target_ready}, .watch = watch, .fd = fd};
        watch->targets[fd] = target;
    }
    int err = wfi_netpoll_watch(watch->worker, fd, interest, &target->target);
    if (!err && interest) {
        target->interest = interest;
        return 0;
    }
    /* Forgotten, or never known: the descriptor may be closed already, which forgets it as well. */
    target->interest = 0;
    watch->targets[fd] = NULL;
    target->next = watch->spare;
    watch->spare = target;
    return interest ? err : 0;
}

int wf_watch_set(struct wf_watch *watch, int fd, unsigned interest)
{
    wfi_tsan_acquire(watch);
    wfi_tsan_checks_off();
    int err = set_interest(watch, fd, interest & (WFI_POLL_READ | WFI_POLL_WRITE));
    wfi_tsan_checks_on();
    wfi_tsan_release(watch);
    return err;
}

void wf_watch_expire_at(struct wf_watch *watch, wf_deadline deadline)
{
    wfi_worker_timer_set(watch->worker, &watch->timer, deadline);
}

static void free_later(struct wfi_timer *timer, struct wfi_worker *worker)
{
    struct wf_watch *watch = wfi_container_of(timer, struct wf_watch, timer);
    wfi_netpoll_detach(worker);
    free_watch(watch);
}

void wf_watch_close(struct wf_watch *watch)
{
    if (!watch)
        return;
    wfi_tsan_acquire(watch);
    for (size_t fd = 0; fd < watch->target_room; fd++)
        wf_watch_set(watch, (int)fd, 0);
    watch->closed = true;
    struct wfi_worker *worker = watch->worker;
    if (wfi_load(&worker->runtime->stopping) && worker->live == 0) {
        /* The worker fetches no more events. */
        wfi_worker_timer_set(worker, &watch->timer, WF_FOREVER);
        wfi_netpoll_detach(worker);
        free_watch(watch);
        return;
    }
    watch->timer.fire = free_later; /* after the round of events that may be going on */
    wfi_worker_timer_set(worker, &watch->timer, WF_NOW);
}
