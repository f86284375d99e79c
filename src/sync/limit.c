/* SPDX-License-Identifier: MIT */
/*
 * Limits: three stages, passed in this order: the key's semaphore, the semaphore of the total, the
 * gate of the rate. Who fails at a later one gives the earlier ones back. A place with a key is
 * worth nothing without one in the total, so holding the one while waiting for the other wastes
 * nothing, and nobody who waits for a busy key stands in the way of other keys.
 *
 * The gate is a token bucket told by one number (the "generic cell rate algorithm", ITU-T I.371):
 * `full_at`, the time at which the bucket will be full again. Taking a token moves it by one
 * interval; a token is there as long as it is at most burst - 1 intervals ahead.
 *
 * Who has to wait for a token waits in line, and only the head of the line watches the clock, until
 * the next token is due. However it leaves, it makes the next one the head. So tokens go out in
 * order, and none is spent on a party that has given up.
 *
 * Invariants
 *   1. A key is in the map while anybody holds or wants it: `users`, under `lock`.
 *   2. While `line` is not empty there is a head, which is not in it and will call promote().
 */
#include <weft/limit.h>

#include <errno.h>
#include <string.h>

#include <weft/semaphore.h>

#include "base/alloc.h"
#include "base/map.h"
#include "os/fork.h"
#include "sched/park.h"

struct key {
    struct wf_semaphore places;
    size_t users; /* these two under the limit's lock */
    uint64_t held;
    size_t len;
    char text[];
};

struct wf_limit {
    struct wf_limit_options options; /* constant */
    int64_t interval_ns;             /* constant; 0: no rate */
    int64_t window_ns;               /* constant: burst - 1 intervals */
    struct wf_semaphore total;
    struct wfi_lock lock; /* guards the rest */
    struct wfi_map keys;
    uint64_t held; /* without a key */
    int64_t full_at;
    bool has_head;
    struct wfi_wait_list line;
};

static bool same_key(const void *value, const void *text, size_t len)
{
    const struct key *key = value;
    return key->len == len && memcmp(key->text, text, len) == 0;
}

int wf_limit_create(const struct wf_limit_options *options, struct wf_limit **ret_limit,
                    struct wf_error *reterr)
{
    double interval_ns = options->per_second != 0 ? 1e9 / options->per_second : 0;
    /* 30 years in ns are some 2^60: sums of two still fit. */
    if (!(interval_ns >= 0 && interval_ns < 0x1p60))
        return wf_error_set(reterr, -EINVAL, "a limit's rate is above 0, and a number");
    uint64_t total = options->total, window = options->burst > 0 ? options->burst - 1 : 0;
    if (total > WF_SEMAPHORE_MAX || options->per_key > WF_SEMAPHORE_MAX)
        return wf_error_set(reterr, -EINVAL, "a limit holds at most 2^63 - 1 at once");
    struct wf_limit *limit = wfi_zalloc(sizeof *limit);
    if (!limit)
        return wf_error_set(reterr, -ENOMEM, NULL);
    limit->options = *options;
    limit->interval_ns = options->per_second != 0 && interval_ns < 1 ? 1 : (int64_t)interval_ns;
    double window_ns = (double)window * (double)limit->interval_ns;
    limit->window_ns = window_ns < 0x1p60 ? (int64_t)window_ns : (int64_t)1 << 60;
    limit->keys.same = same_key;
    if (!total)
        total = WF_SEMAPHORE_MAX;
    int err = wf_semaphore_init(&limit->total, total, total);
    wfi_assert(!err, "the numbers of a limit have been checked");
    *ret_limit = limit;
    return 0;
}

void wf_limit_destroy(struct wf_limit *limit)
{
    if (!limit)
        return;
    wfi_assert(limit->keys.count == 0, "nothing is held of a limit that is destroyed");
    wfi_map_reset(&limit->keys);
    wf_semaphore_fini(&limit->total);
    wfi_free(limit);
}

/* Keys */

/* Finds the key, or makes it, and counts the caller in. */
static int use_key(struct wf_limit *limit, const char *text, struct key **ret_key)
{
    size_t len = strlen(text);
    int err = 0;
    wfi_lock_lock(&limit->lock);
    struct key *key = wfi_map_find(&limit->keys, text, len);
    if (!key) {
        key = wfi_alloc(sizeof *key + len);
        err = key ? 0 : -ENOMEM;
        if (!err) {
            key->users = key->held = 0;
            key->len = len;
            memcpy(key->text, text, len);
            wf_semaphore_init(&key->places, limit->options.per_key, limit->options.per_key);
            err = wfi_map_put(&limit->keys, text, len, key);
            if (err)
                wfi_free(key);
        }
    }
    if (!err) {
        key->users++;
        *ret_key = key;
    }
    wfi_lock_unlock(&limit->lock);
    return err;
}

static void leave_key(struct wf_limit *limit, struct key *key)
{
    wfi_lock_lock(&limit->lock);
    bool last = --key->users == 0;
    if (last)
        wfi_map_remove(&limit->keys, key->text, key->len);
    wfi_lock_unlock(&limit->lock);
    if (last) {
        wf_semaphore_fini(&key->places);
        wfi_free(key);
    }
}

/* The rate */

/* Under `lock`: takes a token if one is there; else *ret_due_ns is when the next one is. */
static bool take_token(struct wf_limit *limit, int64_t *ret_due_ns)
{
    int64_t now = wfi_park_ops->now();
    int64_t full_at = limit->full_at > now ? limit->full_at : now;
    *ret_due_ns = full_at - limit->window_ns;
    if (*ret_due_ns > now)
        return false;
    limit->full_at = full_at + limit->interval_ns;
    return true;
}

/* Under `lock`, by the head as it leaves. */
static struct wfi_wait_node *promote(struct wf_limit *limit)
{
    struct wfi_wait_node *next = wfi_wait_claim_first(&limit->line);
    limit->has_head = next != NULL;
    return next;
}

/* The head of the line: waits for tokens by the clock. */
static int wait_for_token(struct wf_limit *limit, wf_deadline deadline)
{
    for (int err = 0;;) {
        int64_t due_ns = 0;
        struct wfi_wait_node *next = NULL;
        wfi_lock_lock(&limit->lock);
        bool taken = !err && take_token(limit, &due_ns);
        if (taken || err)
            next = promote(limit);
        wfi_lock_unlock(&limit->lock);
        if (next)
            wfi_wake(next->waiter);
        if (taken || err)
            return err;
        wf_deadline due = {due_ns};
        err = wfi_park(wfi_wait_begin("limit", limit), NULL, 0, wf_earlier(due, deadline));
        if (err == -ETIMEDOUT && wf_earlier(due, deadline).ns == due.ns)
            err = 0;
    }
}

static int pass_gate(struct wf_limit *limit, bool may_wait, wf_deadline deadline)
{
    int64_t due_ns;
    if (limit->interval_ns == 0)
        return 0;
    wfi_lock_lock(&limit->lock);
    bool done = !limit->has_head && take_token(limit, &due_ns);
    if (done || !may_wait) {
        wfi_lock_unlock(&limit->lock);
        return done ? 0 : -EAGAIN;
    }
    if (limit->has_head) {
        struct wfi_wait_node node = {0};
        int err = wfi_wait(&limit->line, &limit->lock, &node, "limit", limit, deadline);
        if (err)
            return err;
    } else {
        limit->has_head = true;
        wfi_lock_unlock(&limit->lock);
    }
    return wait_for_token(limit, deadline);
}

static int acquire(struct wf_limit *limit, const char *text, bool may_wait, wf_deadline deadline)
{
    struct key *key = NULL;
    int err = 0;
    if (wfi_forked())
        return WF_EFORKED;
    if (text && limit->options.per_key) {
        err = use_key(limit, text, &key);
        if (err)
            return err;
        err = may_wait ? wf_semaphore_acquire(&key->places, 1, deadline)
                       : wf_semaphore_try_acquire(&key->places, 1);
        if (err)
            goto leave;
    }
    err = may_wait ? wf_semaphore_acquire(&limit->total, 1, deadline)
                   : wf_semaphore_try_acquire(&limit->total, 1);
    if (err)
        goto release_key;
    err = pass_gate(limit, may_wait, deadline);
    if (!err) {
        wfi_lock_lock(&limit->lock);
        ++*(key ? &key->held : &limit->held);
        wfi_lock_unlock(&limit->lock);
        return 0;
    }
    wf_semaphore_release(&limit->total, 1);
release_key:
    if (key)
        wf_semaphore_release(&key->places, 1);
leave:
    if (key)
        leave_key(limit, key);
    return err;
}

int wf_limit_acquire(struct wf_limit *limit, const char *key, wf_deadline deadline)
{
    return acquire(limit, key, true, deadline);
}

int wf_limit_try_acquire(struct wf_limit *limit, const char *key)
{
    return acquire(limit, key, false, WF_NOW);
}

int wf_limit_release(struct wf_limit *limit, const char *text)
{
    struct key *key = NULL;
    bool keyed = text && limit->options.per_key;
    wfi_lock_lock(&limit->lock);
    if (keyed)
        key = wfi_map_find(&limit->keys, text, strlen(text));
    uint64_t *held = key ? &key->held : &limit->held;
    bool is_held = *held > 0 && (key || !keyed);
    if (is_held)
        --*held;
    wfi_lock_unlock(&limit->lock);
    if (!is_held)
        return WF_ESTATE;
    wf_semaphore_release(&limit->total, 1);
    if (key) {
        wf_semaphore_release(&key->places, 1);
        leave_key(limit, key);
    }
    return 0;
}
