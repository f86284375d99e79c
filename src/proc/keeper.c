/* SPDX-License-Identifier: MIT */
/*
 * The keeper: the thread of a pool that waits for its workers. It starts them, collects what they
 * have done when nobody else does, hears what their tasks submit, kills what does not stop, and
 * buries them. Nothing here waits for a worker: a message that has no room is kept.
 *
 * Burial. When a worker has ended, all it did is in its ring. What is done is taken; the task that
 * it had begun and not ended is lost with it; those it had not begun go back to the queue, before
 * all others and in their order. Only then its place is free for the next, so there are never more
 * processes than places.
 */
#include "proc/pool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "exec/type.h"
#include "os/ancillary.h"
#include "os/region.h"
#include "os/signal.h"
#include "os/socket.h"
#include "os/wakefd.h"
#include "os/word.h"
#include "proc/pool_worker.h"

enum {
    EVENTS = 16,
    RETRY_MS = 100, /* after the system refused a process */
};

void wfi_keeper_prod(struct wfi_pool *pool)
{
    if (pool->prodded)
        return;
    pool->prodded = true; /* until the keeper has looked */
    wfi_poller_wake(pool->poller);
}

/* Messages */

static void free_unsent(struct wfi_unsent *unsent)
{
    if (unsent->fd >= 0)
        wfi_fd_close(unsent->fd);
    wfi_free(unsent->bytes);
    wfi_free(unsent);
}

static void send_unsent(struct wfi_pool_worker *worker)
{
    while (worker->unsent) {
        struct wfi_unsent *unsent = worker->unsent;
        if (worker->control_open &&
            wfi_control_send(worker->control, &unsent->head, unsent->bytes, unsent->fd) == -EAGAIN)
            break;
        worker->unsent = unsent->next;
        free_unsent(unsent);
    }
    if (!worker->unsent)
        worker->unsent_end = &worker->unsent;
    if (worker->control_open)
        wfi_poller_watch(worker->pool->poller, worker->control,
                         worker->unsent ? WFI_POLL_READ | WFI_POLL_WRITE : WFI_POLL_READ, worker);
}

void wfi_keeper_send(struct wfi_pool_worker *worker, struct wfi_control *head, void *bytes, int fd)
{
    int err = worker->unsent         ? -EAGAIN
              : worker->control_open ? wfi_control_send(worker->control, head, bytes, fd)
                                     : -EPIPE;
    struct wfi_unsent *unsent = err == -EAGAIN ? wfi_alloc(sizeof *unsent) : NULL;
    if (!unsent) {
        /* Without memory it is lost, like a worker that does not answer: its own deadline and the
         * end of the task are what is left. */
        wfi_free(bytes);
        if (fd >= 0)
            wfi_fd_close(fd);
        return;
    }
    *unsent = (struct wfi_unsent){.head = *head, .fd = fd, .bytes = bytes};
    *worker->unsent_end = unsent;
    worker->unsent_end = &unsent->next;
    wfi_poller_watch(worker->pool->poller, worker->control, WFI_POLL_READ | WFI_POLL_WRITE, worker);
}

/* Stands for a task whose module only workers have loaded. */
static const struct wf_task_type late_type = {.name = "(a module's task)", .abi = WF_TASK_ABI};

/* A type that a worker names: it is looked up, not looked at. NULL: there is none. */
static const struct wf_task_type *known_type(const struct wfi_control *head)
{
    if (wfi_task_is_registered(head->type))
        return head->type;
    return head->flags & WFI_SLOT_PREFIX ? &late_type : NULL;
}

/* The task of a task. */
static void take_submit(struct wfi_pool_worker *worker, const struct wfi_control_message *message,
                        int fd)
{
    const struct wfi_control *head = &message->head;
    struct wfi_pool *pool = worker->pool;
    struct wfi_item *item = wfi_zalloc(sizeof *item);
    void *bytes = fd < 0 ? wfi_alloc(head->bytes ? head->bytes : 1) : NULL;
    const struct wf_task_type *type = known_type(head);
    if (!item || (fd < 0 && !bytes) || !type || head->priority < -3 || head->priority > 3) {
        wfi_free(item);
        wfi_free(bytes);
        if (fd >= 0)
            wfi_fd_close(fd);
        struct wfi_control answer = {.kind = WFI_CONTROL_ANSWER,
                                     .id = head->id,
                                     .outcome = WFI_OUTCOME_FAILED,
                                     .code = type ? -ENOMEM : WF_ENOTWIRE};
        wfi_keeper_send(worker, &answer, NULL, -1);
        return;
    }
    if (bytes)
        memcpy(bytes, message->payload, head->bytes);
    item->parcel = (struct wfi_parcel){.type = type,
                                       .flags = head->flags,
                                       .items = head->items,
                                       .bytes = bytes,
                                       .len = head->bytes,
                                       .fd = fd};
    item->answer.fd = -1;
    item->priority = head->priority;
    item->retries = head->retries;
    item->deadline_ns = head->deadline_ns;
    item->kill_ns = head->deadline_ns != INT64_MAX && pool->grace_ns >= 0
                        ? head->deadline_ns + pool->grace_ns
                        : INT64_MAX;
    item->origin = worker->index;
    item->origin_serial = worker->serial;
    item->origin_id = head->id;
    worker->nested++;
    /* What waits behind the task that waits would wait for it. */
    wfi_pool_take_back(worker);
    wfi_pool_enqueue(pool, item);
}

/* Under the lock. */
static void hear(struct wfi_pool_worker *worker)
{
    while (worker->control_open) {
        struct wfi_control_message message;
        int fd;
        int got = wfi_control_receive(worker->control, &message, &fd);
        if (got == -EAGAIN)
            return;
        if (got == 1 && message.head.kind == WFI_CONTROL_SUBMIT) {
            take_submit(worker, &message, fd);
            continue;
        }
        if (fd >= 0)
            wfi_fd_close(fd);
        if (got == 1 && message.head.kind == WFI_CONTROL_WITHDRAW) {
            wfi_pool_withdraw(worker->pool, worker, message.head.id);
            continue;
        }
        worker->corrupt |= got != 0;
        worker->control_open = false; /* its end is told by the helper */
        wfi_poller_watch(worker->pool->poller, worker->control, 0, worker);
    }
}

/* Starting */

/* In the poller a worker's control socket goes by the worker's address, its bell by the next. */
static void *bell_tag(struct wfi_pool_worker *worker)
{
    return (void *)((uintptr_t)worker | 1);
}

static void ended(void *arg, int wait_status, const char *stderr_tail)
{
    struct wfi_pool_worker *worker = arg;
    worker->wait_status = wait_status;
    size_t len = strlen(stderr_tail), room = sizeof worker->last_words;
    snprintf(worker->last_words, room, "%s",
             len < room ? stderr_tail : stderr_tail + len - room + 1);
    struct wfi_poller *poller = worker->pool->poller;
    /* release: pairs with the keeper's acquire. The pool may be gone after the wake only if the
     * keeper has seen this, and it looks under the lock. */
    wfi_lock_lock(&worker->pool->lock);
    wfi_store_release(&worker->exited, 1);
    wfi_poller_wake(poller);
    wfi_lock_unlock(&worker->pool->lock);
}

static void close_one(int *fd)
{
    if (*fd >= 0)
        wfi_fd_close(*fd);
    *fd = -1;
}

/* What a started process brings along. */
struct process {
    struct wfi_related *related;
    struct wfi_ring *ring;
    int control, payload, bell;
};

/* Without the lock: the place is STARTING and nobody else's. */
static int start_process(struct wfi_pool_worker *worker, struct process *ret,
                         struct wf_error *reterr)
{
    struct wfi_pool *pool = worker->pool;
    int control[2] = {-1, -1}, payload[2] = {-1, -1}, bell = -1;
    int memory = wfi_region_create(sizeof *ret->ring);
    int err = memory < 0 ? memory : wfi_region_fix_size(memory);
    struct wfi_ring *ring = err ? NULL : wfi_region_map(memory, sizeof *ring, true);
    if (!err && !ring)
        err = -ENOMEM;
    if (!err)
        err = wfi_ancillary_pair(control);
    if (!err)
        err = wfi_ancillary_pair(payload);
    if (!err && (bell = wfi_wakefd_open()) < 0)
        err = bell;
    if (err) {
        wf_error_set(reterr, err, "a worker process: %s", wf_strerror(err));
    } else {
        int fds[WFI_WORKER_FDS] = {memory, control[1], payload[1], bell};
        char name[16];
        pool->start->index = worker->index;
        snprintf(name, sizeof name, "%.10s_%u", pool->base.name, worker->index % 1000);
        wfi_store_relaxed(&worker->exited, 0);
        err = wfi_related_start(
            &(struct wfi_related_options){.name = name,
                                          .entry = wfi_pool_worker_main,
                                          .blob = pool->start,
                                          .blob_bytes = pool->start_bytes,
                                          .fds = fds,
                                          .fd_count = WFI_WORKER_FDS,
                                          .rlimits = pool->rlimits,
                                          .rlimit_count = pool->options.rlimit_count,
                                          .ended = ended,
                                          .arg = worker},
            &ret->related, reterr);
    }
    close_one(&control[1]);
    close_one(&payload[1]);
    close_one(&memory);
    if (err) {
        wfi_region_unmap(ring, sizeof *ring);
        close_one(&control[0]);
        close_one(&payload[0]);
        close_one(&bell);
        return err;
    }
    ret->ring = ring;
    ret->control = control[0];
    ret->payload = payload[0];
    ret->bell = bell;
    return 0;
}

/* Under the lock: a place for one more worker, STARTING from here on; NULL when none is wanted. */
static struct wfi_pool_worker *choose_place(struct wfi_pool *pool)
{
    struct wfi_pool_worker *free_place = NULL;
    unsigned living = 0;
    if (pool->broken || (!pool->again.first && !pool->entries))
        return NULL;
    for (unsigned i = 0; i < pool->places; i++) {
        struct wfi_pool_worker *worker = pool->workers[i];
        if (worker->state == WFI_PLACE_EMPTY) {
            if (!free_place)
                free_place = worker;
        } else if (!worker->nested) {
            living++;
        }
    }
    if (living >= pool->max)
        return NULL;
    if (!free_place && pool->places < pool->max + WFI_POOL_SPARES) {
        free_place = wfi_zalloc(sizeof *free_place);
        if (!free_place)
            return NULL;
        free_place->pool = pool;
        free_place->index = pool->places;
        pool->workers[pool->places++] = free_place;
    }
    if (free_place) {
        free_place->state = WFI_PLACE_STARTING;
    } else {
        struct wf_error error;
        wf_error_set(&error, -EAGAIN, "executor %s: %u workers wait for tasks of their tasks",
                     pool->base.name, pool->places);
        wfi_pool_fail_queued(pool, &error);
    }
    return free_place;
}

/* Under the lock. */
static void open_place(struct wfi_pool_worker *worker, const struct process *process)
{
    struct wfi_pool *pool = worker->pool;
    worker->related = process->related;
    worker->pid = wfi_related_pid(process->related);
    worker->ring = process->ring;
    worker->control = process->control;
    worker->payload = process->payload;
    worker->bell = process->bell;
    worker->control_open = true;
    wfi_poller_watch(pool->poller, worker->control, WFI_POLL_READ, worker);
    wfi_poller_watch(pool->poller, worker->bell, WFI_POLL_READ, bell_tag(worker));
    worker->state = WFI_PLACE_LIVE;
    worker->serial = ++pool->serials;
    worker->tail = worker->published = worker->consumed = 0;
    worker->outstanding = worker->nested = 0;
    worker->args = (struct wfi_slab){.bytes = WFI_RING_SLAB};
    worker->args_freed = 0;
    worker->given = worker->finished = 0;
    worker->average_ns = 0;
    worker->on_purpose = worker->corrupt = false;
    worker->victim = NULL;
    worker->kill_ns = INT64_MAX;
    worker->unsent = NULL;
    worker->unsent_end = &worker->unsent;
}

/* Stopping */

static void stop(struct wfi_pool_worker *worker)
{
    struct wfi_pool *pool = worker->pool;
    worker->state = WFI_PLACE_STOPPING;
    worker->on_purpose = true;
    if (pool->grace_ns >= 0)
        worker->kill_ns = wf_now() + pool->grace_ns;
    wfi_store(&worker->ring->stop, 1);
    /* As wfi_ring_publish: the store before the look at `asleep`. */
    wfi_fence();
    if (wfi_exchange(&worker->ring->asleep, 0))
        wfi_word_wake(&worker->ring->asleep, 1);
}

static void kill_worker(struct wfi_pool_worker *worker)
{
    worker->state = WFI_PLACE_STOPPING;
    worker->kill_ns = INT64_MAX;
    wfi_related_signal(worker->related, 9);
}

/* Burial */

static void describe_death(const struct wfi_pool_worker *worker, struct wf_error *error)
{
    int status = worker->wait_status;
    const char *what = worker->corrupt ? " after it had spoiled its memory" : "";
    char end[64];
    *error = (struct wf_error){.code = WF_EWORKERDIED, .pid = worker->pid};
    if (WIFSIGNALED(status)) {
        error->signal = WTERMSIG(status);
        snprintf(end, sizeof end, "was ended by signal %d (SIG%s)", error->signal,
                 wfi_signal_name(error->signal));
    } else {
        error->exit_status = WEXITSTATUS(status);
        snprintf(end, sizeof end, "exited with status %d", error->exit_status);
    }
    snprintf(error->origin, sizeof error->origin, "%s_%u", worker->pool->base.name, worker->index);
    size_t words = strlen(worker->last_words);
    int len = snprintf(error->text, sizeof error->text, "worker process %d %s%s%s", worker->pid,
                       end, what, words ? "; its last words: " : "");
    if (!words || (size_t)len >= sizeof error->text)
        return;
    size_t room = sizeof error->text - (size_t)len - 1;
    snprintf(error->text + len, room + 1, "%.*s", (int)room,
             words > room ? worker->last_words + words - room : worker->last_words);
    len = (int)strlen(error->text);
    while (len > 0 && error->text[len - 1] == '\n')
        error->text[--len] = '\0';
}

/* The task that died with its worker. */
static void lose(struct wfi_pool_worker *worker, struct wfi_item *item)
{
    struct wfi_pool *pool = worker->pool;
    if (item->asked && (worker->victim == item || item->retries > 0)) {
        wfi_pool_drop(pool, item);
    } else if (item->retries > 0 && !pool->broken) {
        item->retries--;
        wfi_items_push_front(&pool->again, item);
        pool->agains++;
    } else {
        struct wf_error error;
        describe_death(worker, &error);
        if (item->f)
            snprintf(error.task, sizeof error.task, "%s", wf_future_name(item->f));
        else
            snprintf(error.task, sizeof error.task, "%s", item->parcel.type->name);
        wfi_pool_fail(pool, item, WF_EWORKERDIED, &error);
    }
}

static void count_death(struct wfi_pool_worker *worker)
{
    struct wfi_pool *pool = worker->pool;
    enum { DEATHS = sizeof pool->deaths / sizeof *pool->deaths };
    int limit = pool->options.restarts_max;
    if (limit < 0 || pool->broken)
        return;
    if (limit >= DEATHS)
        limit = DEATHS - 1;
    int64_t now = wf_now();
    pool->deaths[pool->death_count++ % DEATHS] = now;
    if (pool->death_count <= (unsigned)limit)
        return;
    int64_t oldest = pool->deaths[(pool->death_count - 1 - (unsigned)limit) % DEATHS];
    if (now - oldest > pool->options.restarts_within_ns)
        return;
    struct wf_error error;
    char text[sizeof error.text];
    describe_death(worker, &error);
    snprintf(text, sizeof text, "more than %d workers died within %.1f s; the last: %.250s", limit,
             (double)pool->options.restarts_within_ns / 1e9, error.text);
    wfi_pool_break(pool, text);
}

static void close_worker(struct wfi_pool_worker *worker)
{
    struct wfi_poller *poller = worker->pool->poller;
    if (worker->control_open)
        wfi_poller_watch(poller, worker->control, 0, worker);
    wfi_poller_watch(poller, worker->bell, 0, bell_tag(worker));
    worker->control_open = false;
    while (worker->unsent) {
        struct wfi_unsent *unsent = worker->unsent;
        worker->unsent = unsent->next;
        free_unsent(unsent);
    }
    close_one(&worker->control);
    close_one(&worker->payload);
    close_one(&worker->bell);
    wfi_region_unmap(worker->ring, sizeof *worker->ring);
    worker->ring = NULL;
    wfi_related_release(worker->related);
    worker->related = NULL;
}

static void bury(struct wfi_pool_worker *worker)
{
    struct wfi_pool *pool = worker->pool;
    hear(worker);
    wfi_pool_consume(worker);
    uint32_t ready = wfi_load_acquire(&worker->ring->ready);
    bool failed = ready == WFI_WORKER_FAILED && !pool->broken;
    struct wfi_item *lost = NULL;
    if (wfi_pool_running(worker) || (worker->corrupt && worker->consumed != worker->tail))
        lost = worker->items[worker->consumed % WFI_RING_SLOTS];
    for (uint32_t number = worker->tail; number != worker->consumed; number--) {
        struct wfi_item **item = &worker->items[(number - 1) % WFI_RING_SLOTS];
        if (*item && *item != lost) {
            wfi_items_push_front(&pool->again, *item);
            pool->agains++;
        }
        *item = NULL;
    }
    wfi_pool_withdraw_all(pool, worker);
    if (failed) {
        char text[sizeof worker->ring->failure.text];
        memcpy(text, worker->ring->failure.text, sizeof text);
        text[sizeof text - 1] = '\0';
        char why[sizeof text];
        snprintf(why, sizeof why, "a worker could not be initialised: %.300s", text);
        wfi_pool_break(pool, why);
    } else if (!worker->on_purpose) {
        count_death(worker);
    }
    if (lost)
        lose(worker, lost);
    close_worker(worker);
    worker->state = WFI_PLACE_EMPTY;
    worker->tail = worker->published = worker->consumed = 0;
    worker->outstanding = worker->nested = 0;
    worker->serial = 0;
    worker->restarts++;
}

/* Deadlines */

/* Ends the worker if its task should have ended; returns when to look again. */
static int64_t check_task(struct wfi_pool_worker *worker, int64_t now)
{
    int64_t next = INT64_MAX;
    for (uint32_t number = worker->consumed; number != worker->tail; number++) {
        struct wfi_item *item = worker->items[number % WFI_RING_SLOTS];
        if (!item || item->kill_ns == INT64_MAX)
            continue;
        if (item->kill_ns > now) {
            next = item->kill_ns < next ? item->kill_ns : next;
            continue;
        }
        /* Nothing else may begin there before it is killed. */
        wfi_pool_take_back(worker);
        if (number != worker->consumed || !wfi_pool_running(worker))
            continue;
        item->asked = true;
        worker->victim = item;
        worker->on_purpose = true;
        kill_worker(worker);
        break;
    }
    return next;
}

static int64_t check_worker(struct wfi_pool_worker *worker, int64_t now)
{
    struct wfi_pool *pool = worker->pool;
    if (worker->corrupt && worker->state == WFI_PLACE_LIVE) {
        wfi_pool_take_back(worker);
        kill_worker(worker);
    }
    if (worker->state == WFI_PLACE_LIVE) {
        bool retiring = wfi_load(&worker->ring->retiring) != 0;
        if (retiring)
            wfi_pool_take_back(worker);
        bool over = pool->options.tasks_max && worker->given >= pool->options.tasks_max;
        if (!worker->outstanding && (retiring || over))
            stop(worker);
    }
    int64_t next = check_task(worker, now);
    if (worker->state == WFI_PLACE_STOPPING && worker->kill_ns <= now)
        kill_worker(worker);
    return worker->kill_ns < next ? worker->kill_ns : next;
}

/* Workers that are too many, or not needed any more. */
static void check_number(struct wfi_pool *pool)
{
    unsigned living = 0;
    bool work = pool->again.first || pool->entries;
    for (unsigned i = 0; i < pool->places; i++) {
        struct wfi_pool_worker *worker = pool->workers[i];
        living += worker->state == WFI_PLACE_LIVE && !worker->nested;
        work |= worker->outstanding > 0;
    }
    for (unsigned i = pool->places; i-- > 0;) {
        struct wfi_pool_worker *worker = pool->workers[i];
        if (worker->state != WFI_PLACE_LIVE || worker->outstanding || worker->nested)
            continue;
        if (living > pool->max || ((pool->closed || pool->broken) && !work)) {
            stop(worker);
            living--;
        }
    }
}

/* One round under the lock. Returns when to come again; *ret_place is where a worker is to be
 * started. */
static int64_t look_after(struct wfi_pool *pool, struct wfi_pool_worker **ret_place)
{
    int64_t now = wf_now(), next = INT64_MAX;
    pool->prodded = true; /* what is found to be done from here on, is done here */
    if (wfi_load(&pool->helper_died))
        wfi_pool_break(pool, "the helper process died");
    for (unsigned i = 0; i < pool->places; i++) {
        struct wfi_pool_worker *worker = pool->workers[i];
        if (!worker->ring)
            continue;
        wfi_pool_consume(worker);
        /* acquire: pairs with the listener's release */
        if (wfi_load_acquire(&worker->exited))
            bury(worker);
    }
    wfi_pool_dispatch(pool);
    size_t agains = pool->agains;
    for (unsigned i = 0; i < pool->places; i++) {
        struct wfi_pool_worker *worker = pool->workers[i];
        if (!worker->ring)
            continue;
        if (worker->unsent)
            send_unsent(worker);
        int64_t then = check_worker(worker, now);
        next = then < next ? then : next;
    }
    check_number(pool);
    if (now >= pool->retry_ns)
        *ret_place = choose_place(pool);
    else if (wfi_pool_has_items(pool) && pool->retry_ns < next)
        next = pool->retry_ns;
    pool->prodded = pool->agains > agains; /* taken back just now: once more */
    return next;
}

/* Announces that bells are wanted; false: there is something to collect after all. */
static bool may_sleep(struct wfi_pool *pool)
{
    if (pool->prodded || pool->ended.first)
        return false;
    for (unsigned i = 0; i < pool->places && !pool->attending; i++) {
        struct wfi_pool_worker *worker = pool->workers[i];
        if (!worker->ring)
            continue;
        wfi_ring_want(worker->ring);
        if (!worker->corrupt && wfi_ring_done(worker->ring) != worker->consumed)
            return false;
    }
    return true;
}

static void start_in(struct wfi_pool_worker *worker)
{
    struct wfi_pool *pool = worker->pool;
    struct wf_error error;
    struct process process;
    int err = start_process(worker, &process, &error);
    wfi_lock_lock(&pool->lock);
    if (!err) {
        open_place(worker, &process);
        wfi_pool_dispatch(pool);
        pool->prodded = true;
    } else {
        worker->state = WFI_PLACE_EMPTY;
        bool alone = true;
        for (unsigned i = 0; i < pool->places; i++)
            alone &= pool->workers[i]->state == WFI_PLACE_EMPTY;
        if (alone)
            wfi_pool_fail_queued(pool, &error);
        pool->retry_ns = wf_now() + WF_MILLISECONDS(RETRY_MS);
        pool->prodded = true;
    }
    wfi_pool_unlock(pool);
}

void *wfi_keeper_run(void *arg)
{
    struct wfi_pool *pool = arg;
    wfi_record_adopt(pool->keeper_record, "weft_keeper");
    int64_t next = INT64_MAX;
    bool sleeps = false;
    for (;;) {
        struct wfi_poll_event events[EVENTS];
        struct wfi_pool_worker *place = NULL;
        struct wfi_wake_list wake = {NULL, NULL};
        int count = wfi_poller_wait(pool->poller, events, EVENTS, (wf_deadline){sleeps ? next : 0});
        wfi_lock_lock(&pool->lock);
        for (int i = 0; i < count; i++) {
            bool bell = (uintptr_t)events[i].tag & 1;
            struct wfi_pool_worker *worker =
                (struct wfi_pool_worker *)((uintptr_t)events[i].tag & ~(uintptr_t)1);
            if (worker->ring && bell)
                wfi_wakefd_clear(worker->bell);
            else if (worker->ring)
                hear(worker);
        }
        next = look_after(pool, &place);
        if (pool->closed && wfi_pool_is_over(pool))
            wfi_wake_list_claim_all(&wake, &pool->leavers);
        bool quit = pool->quit;
        wfi_pool_unlock(pool);
        wfi_wake_all(&wake);
        if (quit)
            return NULL;
        if (place)
            start_in(place);
        wfi_lock_lock(&pool->lock);
        sleeps = may_sleep(pool);
        wfi_lock_unlock(&pool->lock);
    }
}
