/* SPDX-License-Identifier: MIT */
/*
 * The shared pipe: two ends and a ring in each direction that it has, in one block of the arena, so
 * that it comes and goes by one store. Each end has holders of its own. An end that nobody holds
 * and that is not on its way to anybody is closed: the ring it sends into gracefully, the one it
 * receives from at once. When both are, the block goes.
 */
#include <weft/shared_pipe.h>

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "proc/shared.h"
#include "proc/shared_ring.h"
#include "proc/shared_wait.h"

enum { CAPACITY_DEFAULT = 64, WAIT_MAX = 4096, FEW = 8, ENDS_BYTES = 512 };

struct wf_shared_pipe {
    struct wfi_shared shared;
    /* Constant: where the rings are in the block, 0: none; which of the two ends this is. */
    uint64_t in_at, out_at;
    uint32_t index;
    WFI_ATOMIC(uint32_t) closed; /* under the arena's lock */
};

/* The block begins with its two ends. */
struct block {
    struct wf_shared_pipe ends[2];
};
_Static_assert(sizeof(struct block) <= ENDS_BYTES, "the first ring lies behind the ends");

static struct block *block_of(const struct wf_shared_pipe *end)
{
    return (struct block *)(uintptr_t)(end - end->index);
}

static struct wfi_shared_ring *ring_at(const struct wf_shared_pipe *end, uint64_t at)
{
    return at ? (struct wfi_shared_ring *)(void *)((char *)block_of(end) + at) : NULL;
}

static struct wfi_shared_ring *in_of(const struct wf_shared_pipe *end)
{
    return ring_at(end, end->in_at);
}

static struct wfi_shared_ring *out_of(const struct wf_shared_pipe *end)
{
    return ring_at(end, end->out_at);
}

int wf_shared_pipe_create(const struct wf_shared_pipe_options *options,
                          struct wf_shared_pipe *ret_ends[2], struct wf_error *reterr)
{
    bool one_way = options && options->one_way;
    size_t capacity = options && options->capacity ? options->capacity : CAPACITY_DEFAULT;
    size_t ring_bytes = (wfi_shared_ring_bytes(capacity, 0) + 63) & ~(size_t)63;
    if (capacity > WFI_RING_CAPACITY_MAX)
        return wf_error_set(reterr, -EINVAL, "a pipe takes at most %d messages",
                            WFI_RING_CAPACITY_MAX);
    void *object;
    int err = wfi_shared_create(ENDS_BYTES + ring_bytes * (one_way ? 1 : 2), &object, reterr);
    if (err)
        return err;
    struct wf_shared_pipe *ends = ((struct block *)object)->ends;
    ends[1].index = 1;
    ends[0].in_at = ends[1].out_at = ENDS_BYTES;
    wfi_shared_ring_init(in_of(&ends[0]), capacity, 0);
    if (!one_way) {
        ends[1].in_at = ends[0].out_at = ENDS_BYTES + ring_bytes;
        wfi_shared_ring_init(in_of(&ends[1]), capacity, 0);
    }
    wfi_arena_lock();
    wfi_shared_hold(&ends[1].shared, wfi_arena_self());
    wfi_arena_unlock();
    wfi_shared_publish(object, WFI_BLOCK_PIPE);
    ret_ends[0] = &ends[0];
    ret_ends[1] = &ends[1];
    return 0;
}

/* With the arena's lock held: nobody has this end any more. Frees the pipe if it was the last. */
static void end_closed(struct wf_shared_pipe *end)
{
    struct block *block = block_of(end);
    wfi_store(&end->closed, 1);
    if (out_of(end))
        wfi_shared_ring_close(out_of(end), WF_CLOSE_GRACEFUL);
    if (in_of(end))
        wfi_shared_ring_close(in_of(end), WF_CLOSE_NOW);
    if (wfi_load(&block->ends[0].closed) && wfi_load(&block->ends[1].closed))
        wfi_shared_end(block, WFI_BLOCK_PIPE);
}

static void fini(void *object)
{
    struct block *block = object;
    for (int i = 0; i < 2; i++)
        if (in_of(&block->ends[i]))
            wfi_shared_ring_fini(in_of(&block->ends[i]));
}

static void died(void *object, uint32_t member)
{
    struct block *block = object;
    for (int i = 0; i < 2; i++)
        if (in_of(&block->ends[i]))
            wfi_shared_ring_died(in_of(&block->ends[i]), member);
    for (int i = 0; i < 2; i++) {
        struct wf_shared_pipe *end = &block->ends[i];
        bool last = wfi_load(&block->ends[!i].closed);
        if (!wfi_load(&end->closed) && wfi_shared_let_go(&end->shared, member)) {
            end_closed(end);
            if (last)
                return; /* the block is gone */
        }
    }
}

const struct wfi_shared_kind wfi_shared_pipe_kind = {
    .name = "pipe", .died = died, .fini = fini, .kept = true};

int wf_shared_pipe_close(struct wf_shared_pipe *end)
{
    if (!end)
        return 0;
    uint32_t self = wfi_arena_self();
    if (!self)
        return wfi_arena_refusal(NULL);
    wfi_arena_lock();
    bool held = wfi_shared_held(&end->shared, self);
    if (held && wfi_shared_let_go(&end->shared, self))
        end_closed(end);
    wfi_arena_unlock();
    return held ? 0 : WF_ESTATE;
}

static int check(const struct wf_shared_pipe *end, const struct wfi_shared_ring *ring)
{
    uint32_t self = wfi_arena_self();
    if (!self)
        return wfi_arena_refusal(NULL);
    if (!wfi_shared_held(&end->shared, self))
        return WF_ESTATE;
    return ring ? 0 : -EBADF;
}

int wf_shared_pipe_send(struct wf_shared_pipe *end, const void *message, size_t len,
                        wf_deadline deadline)
{
    int err = check(end, out_of(end));
    if (err)
        return err;
    return wfi_shared_ring_push(out_of(end), message, len, "shared pipe send", end, deadline);
}

int wf_shared_pipe_receive(struct wf_shared_pipe *end, void *message, size_t capacity,
                           size_t *ret_len, wf_deadline deadline)
{
    int err = check(end, in_of(end));
    if (err)
        return err;
    return wfi_shared_ring_pop(in_of(end), message, capacity, ret_len, NULL, "shared pipe receive",
                               end, deadline);
}

int wf_shared_pipe_take(struct wf_shared_pipe *end, wf_bytes *ret_message, wf_deadline deadline)
{
    int err = check(end, in_of(end));
    if (err)
        return err;
    return wfi_shared_ring_pop(in_of(end), NULL, 0, NULL, ret_message, "shared pipe receive", end,
                               deadline);
}

/* The first that has something, or -EAGAIN. */
static int first_ready(struct wf_shared_pipe *const *ends, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (wfi_shared_ring_peek(in_of(ends[i])) != -EAGAIN)
            return (int)i;
    return -EAGAIN;
}

/* This party took nothing, so whoever sleeps beside it on what has something is to look, too. */
static void pass_on(struct wf_shared_pipe *const *ends, size_t count)
{
    for (size_t i = 0; i < count; i++)
        wfi_shared_ring_pass_on(in_of(ends[i]));
}

int wf_shared_pipe_wait_any(struct wf_shared_pipe *const *ends, size_t count, wf_deadline deadline)
{
    if (count == 0 || count > WAIT_MAX)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        int err = check(ends[i], in_of(ends[i]));
        if (err)
            return err;
    }
    int found = first_ready(ends, count);
    if (found >= 0)
        return found;
    struct wfi_shared_word few[FEW], *words = few;
    if (count > FEW && !(words = wfi_alloc(count * sizeof *words)))
        return -ENOMEM;
    bool slept = false;
    for (;;) {
        for (size_t i = 0; i < count; i++) {
            struct wfi_shared_ring *ring = in_of(ends[i]);
            words[i] = (struct wfi_shared_word){&ring->items, wfi_shared_ring_await_items(ring)};
        }
        found = first_ready(ends, count);
        if (found < 0)
            found = wfi_shared_wait_any(words, count, "shared pipes", ends[0], deadline);
        else
            break;
        if (found < 0)
            break;
        slept = true;
    }
    if (slept)
        pass_on(ends, count);
    if (words != few)
        wfi_free(words);
    return found;
}

/* On its way to another process. */

struct place {
    uint64_t offset;
    uint64_t index;
};

static ssize_t encode_end(const void *value, void *buf, size_t capacity)
{
    const struct wf_shared_pipe *end = *(struct wf_shared_pipe *const *)value;
    int err = wfi_arena_self() ? 0 : wfi_arena_refusal(NULL);
    if (err || !end)
        return err ? err : -EINVAL;
    wfi_arena_lock();
    bool valid = end->index < 2 && wfi_arena_is(block_of(end), WFI_BLOCK_PIPE) &&
                 wfi_shared_held(&end->shared, wfi_arena_self());
    if (valid && capacity >= sizeof(struct place)) {
        struct place place = {wfi_arena_offset(block_of(end)), end->index};
        wfi_fetch_add(&((struct wf_shared_pipe *)(uintptr_t)end)->shared.travelling, 1);
        memcpy(buf, &place, sizeof place);
    }
    wfi_arena_unlock();
    return valid ? (ssize_t)sizeof(struct place) : WF_ESTATE;
}

static int decode_end(void *value, const void *buf, size_t len)
{
    struct place place;
    uint32_t self = wfi_arena_self();
    if (!self)
        return wfi_arena_refusal(NULL);
    if (len != sizeof place)
        return WF_EPROTOCOL;
    memcpy(&place, buf, sizeof place);
    wfi_arena_lock();
    struct block *block = place.index < 2 ? wfi_arena_at(place.offset, WFI_BLOCK_PIPE) : NULL;
    struct wf_shared_pipe *end = block ? &block->ends[place.index] : NULL;
    int err = !end ? WF_EPROTOCOL : wfi_load(&end->closed) ? WF_ESTATE : 0;
    if (!err)
        wfi_shared_arrive(&end->shared, self);
    wfi_arena_unlock();
    if (!err)
        *(struct wf_shared_pipe **)value = end;
    return err;
}

WF_WIRE(struct wf_shared_pipe *, encode_end, decode_end)
