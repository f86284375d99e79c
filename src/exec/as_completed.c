/* SPDX-License-Identifier: MIT */
/*
 * Walks over futures in the order they end, and waits for several.
 *
 * Each future that has not ended carries a hook that moves its entry to the walk's ready list when
 * it ends. The hook runs under the future's list lock and takes the walk's lock inside it; so
 * whoever holds the list lock knows that the hook has either not begun or is over, and a walk is
 * closed by taking each hook out under that lock. An entry that has been handed out is not looked
 * at again.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "exec/executor.h"

struct entry {
    struct wfi_end_node node; /* first */
    struct wf_as_completed *walk;
    struct wf_future *future; /* NULL: handed out, or unused */
    struct entry *next;       /* in the ready or the free list */
    size_t index;
    bool hooked; /* the hook was added, and has not been taken out by close */
    bool ready;  /* under the walk's lock */
};

struct wf_as_completed {
    struct wfi_lock lock;
    struct wfi_wait_list reader;            /* under the lock */
    struct entry *ready_first, *ready_last; /* under the lock */
    size_t ready_count;                     /* under the lock */

    /* The reader's. */
    size_t out;    /* entries not handed out */
    size_t given;  /* futures from the set or the source so far */
    size_t helped; /* entries before this one need no help */
    int (*next)(void *arg, struct wf_future **ret_future); /* NULL: a set, or no more */
    void *arg;
    bool source;
    int source_error; /* reported when all that is held has come out */
    struct entry *unused;
    size_t capacity;
    struct entry entries[];
};

static void make_ready(struct entry *entry)
{
    struct wf_as_completed *walk = entry->walk;
    entry->next = NULL;
    entry->ready = true;
    if (walk->ready_last)
        walk->ready_last->next = entry;
    else
        walk->ready_first = entry;
    walk->ready_last = entry;
    walk->ready_count++;
}

static void on_end(struct wfi_end_node *node, struct wf_future *future, struct wfi_wake_list *wake)
{
    (void)future;
    struct entry *entry = (struct entry *)(void *)node;
    struct wf_as_completed *walk = entry->walk;
    wfi_lock_lock(&walk->lock);
    make_ready(entry);
    wfi_wake_list_claim_all(wake, &walk->reader);
    wfi_lock_unlock(&walk->lock);
}

/* Watches the future of `entry`; one that has ended is ready at once. */
static void watch(struct entry *entry)
{
    struct wfi_lock *lock = wfi_future_lock(entry->future);
    entry->node.kind = WFI_END_HOOK;
    entry->node.hook.fn = on_end;
    wfi_lock_lock(lock);
    bool added = wfi_future_add(entry->future, &entry->node);
    wfi_lock_unlock(lock);
    entry->hooked = added;
    if (added)
        return;
    wfi_lock_lock(&entry->walk->lock);
    make_ready(entry);
    wfi_lock_unlock(&entry->walk->lock);
}

static void unwatch(struct entry *entry)
{
    struct wfi_lock *lock = wfi_future_lock(entry->future);
    wfi_lock_lock(lock);
    wfi_future_remove(entry->future, &entry->node);
    wfi_lock_unlock(lock);
}

static struct wf_as_completed *make(size_t capacity)
{
    struct wf_as_completed *walk;
    if (capacity > (SIZE_MAX - sizeof *walk) / sizeof *walk->entries)
        return NULL;
    walk = wfi_zalloc(sizeof *walk + capacity * sizeof *walk->entries);
    if (!walk)
        return NULL;
    walk->capacity = capacity;
    for (size_t i = 0; i < capacity; i++)
        walk->entries[i].walk = walk;
    return walk;
}

/* The different ones of a set, as entries. Returns 0 or -ENOMEM. */
static int collect(struct wf_as_completed *walk, struct wf_future *const *futures, size_t count)
{
    struct wfi_map seen = {0};
    int err = 0;
    for (size_t i = 0; i < count && err != -ENOMEM; i++) {
        if (!futures[i])
            continue;
        err = wfi_map_put_u64(&seen, (uintptr_t)futures[i], futures[i]);
        if (err == -ENOMEM || (err == -EEXIST && futures[i] != wfi_future_no_memory()))
            continue;
        struct entry *entry = &walk->entries[walk->given++];
        entry->future = futures[i];
        entry->index = i;
    }
    wfi_map_reset(&seen);
    walk->out = walk->given;
    return err == -ENOMEM ? err : 0;
}

int wf_as_completed_open(struct wf_future *const *futures, size_t count,
                         struct wf_as_completed **ret_walk, struct wf_error *reterr)
{
    struct wf_as_completed *walk = make(count);
    if (!walk || collect(walk, futures, count)) {
        wfi_free(walk);
        return wf_error_set(reterr, -ENOMEM, NULL);
    }
    /* First those that have ended, in their order: the watched ones come when they like. */
    for (size_t i = 0; i < walk->given; i++)
        if (wfi_future_ended(walk->entries[i].future))
            make_ready(&walk->entries[i]);
    for (size_t i = 0; i < walk->given; i++)
        if (!walk->entries[i].ready)
            watch(&walk->entries[i]);
    *ret_walk = walk;
    return 0;
}

int wf_as_completed_source(size_t window, int (*next)(void *arg, struct wf_future **ret_future),
                           void *arg, struct wf_as_completed **ret_walk, struct wf_error *reterr)
{
    if (window == 0)
        return wf_error_set(reterr, -EINVAL, "a window holds at least one future");
    struct wf_as_completed *walk = make(window);
    if (!walk)
        return wf_error_set(reterr, -ENOMEM, NULL);
    walk->source = true;
    walk->next = next;
    walk->arg = arg;
    for (size_t i = window; i-- > 0;) {
        walk->entries[i].next = walk->unused;
        walk->unused = &walk->entries[i];
    }
    *ret_walk = walk;
    return 0;
}

static void fill(struct wf_as_completed *walk)
{
    while (walk->next && walk->unused) {
        struct wf_future *future = NULL;
        int more = walk->next(walk->arg, &future);
        if (more <= 0) {
            walk->source_error = more;
            walk->next = NULL;
            return;
        }
        struct entry *entry = walk->unused;
        walk->unused = entry->next;
        entry->future = future;
        entry->index = walk->given++;
        entry->ready = false;
        walk->out++;
        walk->helped = 0;
        watch(entry);
    }
}

/* Runs one that has not started, where that is allowed; see wf_future_wait. */
static bool help(struct wf_as_completed *walk)
{
    for (; walk->helped < walk->capacity; walk->helped++) {
        struct entry *entry = &walk->entries[walk->helped];
        if (entry->future && entry->hooked && wfi_future_help(entry->future))
            return true;
    }
    return false;
}

static int timed_out(struct wf_as_completed *walk, struct wf_error *reterr)
{
    wfi_lock_lock(&walk->lock);
    size_t unfinished = walk->out - walk->ready_count;
    wfi_lock_unlock(&walk->lock);
    return wf_error_set(reterr, -ETIMEDOUT, "%zu of %zu futures unfinished", unfinished,
                        walk->source ? walk->out : walk->given);
}

int wf_as_completed_next(struct wf_as_completed *walk, struct wf_future **ret_future,
                         size_t *ret_index, wf_deadline deadline, struct wf_error *reterr)
{
    fill(walk);
    if (walk->out == 0) {
        int err = walk->source_error;
        walk->source_error = 0;
        return err ? wf_error_set(reterr, err, "the source of futures: %s", wf_strerror(err)) : 0;
    }
    bool may_help = deadline.ns > 0;
    wfi_lock_lock(&walk->lock);
    while (!walk->ready_first) {
        if (may_help) {
            wfi_lock_unlock(&walk->lock);
            may_help = help(walk);
            wfi_lock_lock(&walk->lock);
            continue;
        }
        struct wfi_wait_node node = {0};
        int err = wfi_wait(&walk->reader, &walk->lock, &node, "as_completed", walk, deadline);
        if (err == -ETIMEDOUT)
            return timed_out(walk, reterr);
        if (err)
            return wf_error_set(reterr, err, "cancelled while waiting for futures");
        wfi_lock_lock(&walk->lock);
    }
    struct entry *entry = walk->ready_first;
    walk->ready_first = entry->next;
    if (!walk->ready_first)
        walk->ready_last = NULL;
    walk->ready_count--;
    wfi_lock_unlock(&walk->lock);
    walk->out--;
    *ret_future = entry->future;
    if (ret_index)
        *ret_index = entry->index;
    entry->future = NULL;
    if (walk->source) {
        entry->next = walk->unused;
        walk->unused = entry;
    }
    return 1;
}

void wf_as_completed_close(struct wf_as_completed *walk)
{
    if (!walk)
        return;
    for (size_t i = 0; i < walk->capacity; i++) {
        struct entry *entry = &walk->entries[i];
        if (!entry->future)
            continue;
        if (entry->hooked)
            unwatch(entry);
        if (walk->source) {
            wf_future_cancel(entry->future);
            wf_future_drop(&entry->future);
        }
    }
    wfi_free(walk);
}

static bool is_error(struct wf_future *future)
{
    return wf_future_state(future) != WF_FUTURE_DONE;
}

ssize_t wf_future_wait_many(struct wf_future *const *futures, size_t count, enum wf_wait_for what,
                            bool *ret_done, wf_deadline deadline)
{
    struct wf_as_completed *walk;
    int err = wf_as_completed_open(futures, count, &walk, NULL);
    if (err)
        return err;
    size_t unique = walk->given, ended = 0;
    struct wf_future *future;
    /* Whatever has ended already is counted before anything is waited for. */
    bool enough = unique == 0;
    int more;
    while ((more = wf_as_completed_next(walk, &future, NULL, enough ? WF_NOW : deadline, NULL)) ==
           1) {
        ended++;
        enough |= what == WF_WAIT_FIRST || (what == WF_WAIT_FIRST_ERROR && is_error(future));
    }
    wf_as_completed_close(walk);
    if (more == -ECANCELED && !enough) {
        for (size_t i = 0; i < count; i++)
            if (futures[i] && !(wfi_load_relaxed(&futures[i]->state) & WFI_FUTURE_SHIELDED)) {
                wf_future_cancel(futures[i]);
                wfi_future_wait_anyway(futures[i], WF_FOREVER);
            }
        return -ECANCELED;
    }
    for (size_t i = 0; ret_done && i < count; i++)
        ret_done[i] = futures[i] && wfi_future_ended(futures[i]);
    return (ssize_t)ended;
}
