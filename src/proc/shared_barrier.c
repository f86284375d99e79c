/* SPDX-License-Identifier: MIT */
/*
 * The shared barrier. Its state (round, broken, how many have come) is one word of 64 bits, changed
 * under the arena's lock by one store; `word`, on which parties sleep, is the round and the bit
 * broken, and follows. `arrived` says which process each that has come belongs to, and `passed`, a
 * bit for each of the last 64 rounds, how they ended; both are written before the state that makes
 * them count.
 */
#include <weft/shared_barrier.h>

#include <errno.h>

#include "proc/shared.h"
#include "proc/shared_wait.h"

enum { PARTIES_MAX = 1000000, ROUNDS = 64 };

#define BROKEN (UINT64_C(1) << 31)
#define COUNT_MASK (BROKEN - 1)
#define ROUND_SHIFT 32

struct wf_shared_barrier {
    struct wfi_shared shared;
    WFI_ATOMIC(uint64_t) state;
    WFI_ATOMIC(uint64_t) passed;
    WFI_ATOMIC(uint32_t) word;
    uint32_t parties;
    WFI_ATOMIC(uint16_t) arrived[];
};

WFI_SHARED_WIRE(wf_shared_barrier, WFI_BLOCK_BARRIER)

static uint32_t round_of(uint64_t state)
{
    return (uint32_t)(state >> ROUND_SHIFT);
}

static uint32_t count_of(uint64_t state)
{
    return (uint32_t)(state & COUNT_MASK);
}

static uint32_t word_of(uint64_t state)
{
    return round_of(state) << 1 | !!(state & BROKEN);
}

/* All below with the arena's lock held. */

static void change(struct wf_shared_barrier *b, uint64_t state)
{
    wfi_store(&b->state, state);
    wfi_store(&b->word, word_of(state));
    wfi_shared_wake(&b->word, WFI_WAKE_ALL);
}

static void next_round(struct wf_shared_barrier *b, bool passed)
{
    uint32_t round = round_of(wfi_load(&b->state));
    uint64_t bit = UINT64_C(1) << round % ROUNDS;
    uint64_t all = wfi_load(&b->passed);
    wfi_store(&b->passed, passed ? all | bit : all & ~bit);
    change(b, (uint64_t)(round + 1) << ROUND_SHIFT);
}

static void break_it(struct wf_shared_barrier *b)
{
    uint64_t state = wfi_load(&b->state);
    if (!(state & BROKEN))
        change(b, (state & ~COUNT_MASK) | BROKEN);
}

/* 0: it goes on; 1: it passed; WF_EBROKEN. */
static int outcome(struct wf_shared_barrier *b, uint32_t round)
{
    uint64_t state = wfi_load(&b->state);
    if (round_of(state) != round)
        return wfi_load(&b->passed) >> round % ROUNDS & 1 ? 1 : WF_EBROKEN;
    return state & BROKEN ? WF_EBROKEN : 0;
}

static void died(void *object, uint32_t member)
{
    struct wf_shared_barrier *b = object;
    uint64_t state = wfi_load(&b->state);
    for (uint32_t i = 0; i < count_of(state); i++)
        if (wfi_load(&b->arrived[i]) == member) {
            break_it(b);
            break;
        }
    change(b, wfi_load(&b->state)); /* the dead may have been about to say so */
}

const struct wfi_shared_kind wfi_shared_barrier_kind = {.name = "barrier", .died = died};

int wf_shared_barrier_create(size_t parties, struct wf_shared_barrier **ret_barrier,
                             struct wf_error *reterr)
{
    if (parties == 0 || parties > PARTIES_MAX)
        return wf_error_set(reterr, -EINVAL, "a barrier is for 1 to %d parties", PARTIES_MAX);
    void *object;
    size_t bytes = sizeof **ret_barrier + parties * sizeof(uint16_t);
    int err = wfi_shared_create(bytes, &object, reterr);
    if (err)
        return err;
    struct wf_shared_barrier *b = object;
    b->parties = (uint32_t)parties;
    wfi_shared_publish(b, WFI_BLOCK_BARRIER);
    *ret_barrier = b;
    return 0;
}

void wf_shared_barrier_destroy(struct wf_shared_barrier *barrier)
{
    wfi_shared_destroy(barrier, WFI_BLOCK_BARRIER);
}

/* Under the lock: the caller's place, or -EAGAIN after *ret_round was set: it has to wait. */
static int arrive(struct wf_shared_barrier *b, uint32_t self, uint32_t *ret_place,
                  uint32_t *ret_round)
{
    uint64_t state = wfi_load(&b->state);
    if (state & BROKEN)
        return WF_EBROKEN;
    uint32_t place = count_of(state);
    *ret_place = place;
    *ret_round = round_of(state);
    if (place + 1 == b->parties) {
        next_round(b, true);
        return 1;
    }
    wfi_store(&b->arrived[place], (uint16_t)self);
    wfi_store(&b->state, state + 1);
    return 0;
}

int wf_shared_barrier_wait(struct wf_shared_barrier *b, wf_deadline deadline)
{
    uint32_t self = wfi_arena_self(), place, round;
    if (!self)
        return wfi_arena_refusal(NULL);
    wfi_arena_lock();
    int over = arrive(b, self, &place, &round);
    wfi_arena_unlock();
    while (!over) {
        int err = wfi_shared_wait(&b->word, round << 1, "shared barrier", b, deadline);
        wfi_arena_lock();
        over = outcome(b, round);
        if (!over && err) {
            break_it(b);
            over = err;
        }
        wfi_arena_unlock();
    }
    return over < 0 ? over : (int)place;
}

void wf_shared_barrier_abort(struct wf_shared_barrier *b)
{
    if (!wfi_arena_self())
        return;
    wfi_arena_lock();
    break_it(b);
    wfi_arena_unlock();
}

void wf_shared_barrier_reset(struct wf_shared_barrier *b)
{
    if (!wfi_arena_self())
        return;
    wfi_arena_lock();
    next_round(b, false);
    wfi_arena_unlock();
}

size_t wf_shared_barrier_waiting(const struct wf_shared_barrier *b)
{
    return count_of(wfi_load(&b->state));
}

bool wf_shared_barrier_is_broken(const struct wf_shared_barrier *b)
{
    return wfi_load(&b->state) & BROKEN;
}
