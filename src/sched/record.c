/* SPDX-License-Identifier: MIT */
#include "sched/record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "os/self.h"
#include "os/thread.h"
#include "os/wakefd.h"
#include "sched/fiber.h"

/*
 * The list only grows: `newest` is released by a compare-and-swap and acquired by readers. Foreign
 * threads cannot be told that memory ran out, so a reserve serves the first of them.
 */
static WFI_ATOMIC(struct wfi_record *) newest;
static struct wfi_record reserve[64];
static WFI_ATOMIC(uint32_t) reserve_used;

static struct wfi_record *take_used_one(void)
{
    /* acquire: pairs with the release in publish */
    for (struct wfi_record *r = wfi_load_acquire(&newest); r; r = wfi_load_relaxed(&r->older)) {
        uint32_t free_one = 0;
        /* acquire: pairs with the release in thread_ends, so that its last writes are behind us */
        if (wfi_load_relaxed(&r->used) == 0 && wfi_cas_acquire(&r->used, &free_one, 1))
            return r;
    }
    return NULL;
}

static void publish(struct wfi_record *record)
{
    struct wfi_record *head = wfi_load_relaxed(&newest);
    do
        wfi_store_relaxed(&record->older, head);
    while (!wfi_cas_release(&newest, &head, record)); /* release: pairs with readers' acquire */
}

static void thread_ends(void *arg)
{
    struct wfi_record *record = arg;
    wfi_party_end(&record->waiter);
    if (record->wake_fd >= 0) {
        wfi_wakefd_close(record->wake_fd);
        record->wake_fd = -1;
    }
    wfi_self_set(NULL);
    /* release: pairs with the acquire in take_used_one */
    wfi_store_release(&record->used, 0);
}

struct wfi_record *wfi_record_take(void)
{
    struct wfi_record *record = take_used_one();
    if (record)
        return record;
    record = wfi_zalloc_aligned(64, sizeof *record);
    if (!record)
        return NULL;
    wfi_store_relaxed(&record->used, 1);
    record->wake_fd = -1;
    publish(record);
    return record;
}

void wfi_record_give(struct wfi_record *record)
{
    /* release: pairs with the acquire in take_used_one */
    wfi_store_release(&record->used, 0);
}

/* For a thread that weft did not start: nobody could be told that memory ran out. */
static struct wfi_record *take_or_reserve(void)
{
    struct wfi_record *record = wfi_record_take();
    if (record)
        return record;
    uint32_t n = wfi_fetch_add(&reserve_used, 1);
    if (n >= sizeof reserve / sizeof *reserve)
        return NULL;
    record = &reserve[n];
    wfi_store_relaxed(&record->used, 1);
    record->wake_fd = -1;
    publish(record);
    return record;
}

void wfi_record_adopt(struct wfi_record *record, const char *name)
{
    struct wfi_waiter *waiter = &record->waiter;
    waiter->kind = WFI_THREAD;
    waiter->cancel = NULL;
    waiter->depth = waiter->floor = 0;
    waiter->locals = NULL;
    waiter->objects = NULL;
    waiter->random = 0;
    waiter->task = NULL;
    wfi_store_relaxed(&waiter->outcome, WFI_WOKEN);
    wfi_store_relaxed(&waiter->reason, NULL);
    wfi_store_relaxed(&waiter->task_name, NULL);
    wfi_store_relaxed(&waiter->task_block, NULL);
    snprintf(waiter->name, sizeof waiter->name, "%s", name ? name : "");
    wfi_store_relaxed(&record->tid, wfi_thread_id());
    record->worker = NULL;
    wfi_self_set(waiter);
    wfi_self_at_exit(thread_ends, record);
}

int wfi_record_attach(const char *name)
{
    struct wfi_waiter *self = wfi_self_get();
    if (self) {
        if (name)
            snprintf(self->name, sizeof self->name, "%s", name);
        return 0;
    }
    struct wfi_record *record = take_or_reserve();
    if (!record)
        return -ENOMEM;
    wfi_record_adopt(record, name);
    return 0;
}

struct wfi_waiter *wfi_self_attach(void)
{
    int err = wfi_record_attach(NULL);
    wfi_assert(!err, "there is memory for the record of a thread that weft did not start");
    return wfi_self_get();
}

struct wfi_record *wfi_record_self(void)
{
    struct wfi_waiter *self = wfi_self();
    if (self->kind == WFI_FIBER)
        return wfi_fiber_record((struct wfi_fiber *)self);
    return (struct wfi_record *)self;
}

struct wfi_record *wfi_record_next(const struct wfi_record *record)
{
    /* acquire: pairs with the release in publish */
    return record ? wfi_load_relaxed(&record->older) : wfi_load_acquire(&newest);
}

void wfi_record_each(void (*fn)(struct wfi_record *, void *), void *arg)
{
    for (struct wfi_record *r = wfi_record_next(NULL); r; r = wfi_record_next(r))
        fn(r, arg);
}

void wfi_record_forked(const char *name)
{
    struct wfi_record *own = (struct wfi_record *)wfi_self_get();
    /* acquire: pairs with the release in publish */
    for (struct wfi_record *r = wfi_load_acquire(&newest); r; r = wfi_load_relaxed(&r->older)) {
        r->wake_fd = -1;
        wfi_store_relaxed(&r->polling, false);
        wfi_store_relaxed(&r->used, r == own ? 1 : 0);
    }
    if (own)
        wfi_record_adopt(own, name);
    else
        wfi_record_attach(name);
}
