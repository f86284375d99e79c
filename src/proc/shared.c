/* SPDX-License-Identifier: MIT */
#include "proc/shared.h"

#include <weft/shared.h>

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "os/fork.h"

static const struct wfi_shared_kind *const kinds[WFI_BLOCK_KINDS] = {
    [WFI_BLOCK_MUTEX] = &wfi_shared_mutex_kind,
    [WFI_BLOCK_SEMAPHORE] = &wfi_shared_semaphore_kind,
    [WFI_BLOCK_EVENT] = &wfi_shared_event_kind,
    [WFI_BLOCK_CONDITION] = &wfi_shared_condition_kind,
    [WFI_BLOCK_BARRIER] = &wfi_shared_barrier_kind,
    [WFI_BLOCK_ARRAY] = &wfi_shared_array_kind,
    [WFI_BLOCK_QUEUE] = &wfi_shared_queue_kind,
    [WFI_BLOCK_PIPE] = &wfi_shared_pipe_kind,
};

int wfi_shared_create(size_t bytes, void **ret, struct wf_error *reterr)
{
    return wfi_arena_alloc(WFI_BLOCK_BYTES, bytes, ret, reterr);
}

void wfi_shared_hold(struct wfi_shared *shared, uint32_t member)
{
    wfi_fetch_or(&shared->holders[member / 64], UINT64_C(1) << member % 64);
}

void wfi_shared_arrive(struct wfi_shared *shared, uint32_t member)
{
    wfi_shared_hold(shared, member);
    if (wfi_load(&shared->travelling))
        wfi_fetch_sub(&shared->travelling, 1);
}

bool wfi_shared_held(const struct wfi_shared *shared, uint32_t member)
{
    return wfi_load(&shared->holders[member / 64]) >> member % 64 & 1;
}

bool wfi_shared_let_go(struct wfi_shared *shared, uint32_t member)
{
    wfi_fetch_and(&shared->holders[member / 64], ~(UINT64_C(1) << member % 64));
    if (wfi_load(&shared->travelling))
        return false;
    for (size_t i = 0; i < sizeof shared->holders / sizeof *shared->holders; i++)
        if (wfi_load(&shared->holders[i]))
            return false;
    return true;
}

void wfi_shared_publish(void *object, enum wfi_block_kind kind)
{
    wfi_arena_lock();
    wfi_shared_hold(object, wfi_arena_self());
    wfi_arena_set_kind(object, kind);
    wfi_arena_unlock();
}

void wfi_shared_end(void *object, enum wfi_block_kind kind)
{
    if (kinds[kind]->fini)
        kinds[kind]->fini(object);
    /* Bytes of the caller's first: if it dies over them, they are swept. */
    wfi_arena_set_owner(object, wfi_arena_self());
    wfi_arena_set_kind(object, WFI_BLOCK_BYTES);
    wfi_arena_free_locked(object);
}

void wfi_shared_destroy(void *object, enum wfi_block_kind kind)
{
    if (!object)
        return;
    wfi_arena_lock();
    wfi_assert(wfi_arena_is(object, kind), "what is destroyed is a shared object, and once");
    wfi_shared_end(object, kind);
    wfi_arena_unlock();
}

/* Travelling. What arrives is checked against the arena: another process wrote it. */

struct place {
    uint64_t offset;
    uint64_t kind;
};

ssize_t wfi_shared_encode(const void *object, enum wfi_block_kind kind, void *buf, size_t capacity)
{
    uint32_t self = wfi_arena_self();
    if (!self)
        return wfi_arena_refusal(NULL);
    if (!object)
        return -EINVAL;
    wfi_arena_lock();
    bool valid = wfi_arena_is(object, kind);
    if (valid && capacity >= sizeof(struct place)) {
        struct place place = {wfi_arena_offset(object), kind};
        struct wfi_shared *shared = (struct wfi_shared *)(uintptr_t)object;
        wfi_fetch_add(&shared->travelling, 1);
        memcpy(buf, &place, sizeof place);
    }
    wfi_arena_unlock();
    return valid ? (ssize_t)sizeof(struct place) : -EINVAL;
}

int wfi_shared_decode(enum wfi_block_kind kind, void **ret, const void *buf, size_t len)
{
    struct place place;
    uint32_t self = wfi_arena_self();
    if (!self)
        return wfi_arena_refusal(NULL);
    if (len != sizeof place)
        return WF_EPROTOCOL;
    memcpy(&place, buf, sizeof place);
    wfi_arena_lock();
    struct wfi_shared *shared = place.kind == kind ? wfi_arena_at(place.offset, kind) : NULL;
    if (shared)
        wfi_shared_arrive(shared, self);
    wfi_arena_unlock();
    if (!shared)
        return WF_EPROTOCOL;
    *ret = shared;
    return 0;
}

/* The sweep */

static void sweep_object(void *block, enum wfi_block_kind kind, void *arg)
{
    uint32_t member = *(uint32_t *)arg;
    const struct wfi_shared_kind *ops = kind < WFI_BLOCK_KINDS ? kinds[kind] : NULL;
    if (!ops)
        return;
    if (ops->died)
        ops->died(block, member);
    if (!ops->kept && wfi_shared_let_go(block, member))
        wfi_shared_end(block, kind);
}

static void sweep_bytes(void *block, enum wfi_block_kind kind, void *arg)
{
    if (kind == WFI_BLOCK_BYTES && wfi_arena_owner(block) == *(uint32_t *)arg)
        wfi_arena_free_locked(block);
}

void wfi_shared_process_ended(int pid)
{
    /* Most processes never used what is shared. */
    if (!wfi_arena_reserved() || !wfi_arena_find_dead(pid) || !wfi_arena_self())
        return;
    wfi_arena_lock();
    for (uint32_t member; (member = wfi_arena_find_dead(pid));) {
        /* Objects first: what lies in a queue is not the dead's any more. */
        wfi_arena_each(sweep_object, &member);
        wfi_arena_each(sweep_bytes, &member);
        wfi_arena_forget(member);
    }
    wfi_arena_unlock();
}

void wf_shared_free(const void *item)
{
    if (item)
        wfi_arena_free((void *)(uintptr_t)item);
}

void wf_shared_measure(struct wf_shared_usage *ret_usage)
{
    struct wfi_arena_usage usage;
    wfi_arena_usage(&usage);
    ret_usage->used_bytes = usage.used_bytes;
    ret_usage->limit_bytes = usage.limit_bytes;
    ret_usage->blocks = usage.blocks;
    ret_usage->processes = usage.members;
}
