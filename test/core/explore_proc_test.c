/* SPDX-License-Identifier: MIT */
/*
 * The ring between a pool and a worker under the interleaving explorer; see explorer.h. Two threads
 * stand for the two processes. Builds without -Dexplore=true skip.
 */
#include <stdio.h>

#ifndef WFI_EXPLORE

int main(void)
{
    puts("skipped: needs -Dexplore=true");
    return 77;
}

#else

#include "explorer.h"

#include "proc/ring.h"

enum { TASKS = 3 };

static struct wfi_ring ring;
static WFI_ATOMIC(uint32_t) bell; /* the descriptor on which the pool sleeps */
static int ran[TASKS];

static void reset(void)
{
    wfi_store(&ring.tail, 0);
    wfi_store(&ring.stop, 0);
    wfi_store(&ring.asleep, 0);
    wfi_store(&ring.done, 0);
    wfi_store(&ring.wanted, 0);
    wfi_store(&bell, 0);
    memset(ran, 0, sizeof ran);
}

static bool wait_for(uint32_t number)
{
    while (!wfi_ring_has(&ring, number)) {
        if (wfi_load(&ring.stop))
            return false;
        if (wfi_ring_announce(&ring, number))
            wfi_explore_sleep(&ring.asleep, 1, WF_FOREVER);
    }
    return true;
}

static void *work(void *arg)
{
    (void)arg;
    for (uint32_t number = 0; wait_for(number); number++) {
        if (wfi_ring_start(wfi_ring_slot(&ring, number)))
            ran[number]++;
        if (wfi_ring_finish(&ring, number + 1)) {
            wfi_store(&bell, 1);
            wfi_explore_wake(&bell);
        }
    }
    return NULL;
}

static void publish(uint32_t tail)
{
    wfi_store_relaxed(&wfi_ring_slot(&ring, tail - 1)->state, WFI_SLOT_ASSIGNED);
    if (wfi_ring_publish(&ring, tail))
        wfi_explore_wake(&ring.asleep);
}

static void wait_until_done(uint32_t number)
{
    for (;;) {
        wfi_store(&bell, 0);
        wfi_ring_want(&ring);
        if (wfi_ring_done(&ring) == number)
            return;
        wfi_explore_sleep(&bell, 0, WF_FOREVER);
    }
}

static void stop(void)
{
    wfi_store(&ring.stop, 1);
    wfi_fence();
    if (wfi_exchange(&ring.asleep, 0))
        wfi_explore_wake(&ring.asleep);
}

/* Each waits for the other: a wake-up that is lost is a deadlock. */
static void doorbells(void *arg)
{
    (void)arg;
    reset();
    struct wfi_thread worker = start(work, NULL);
    for (uint32_t number = 1; number <= TASKS; number++) {
        publish(number);
        if (seed % 2 || number == TASKS)
            wait_until_done(number);
    }
    stop();
    join(worker);
    for (int i = 0; i < TASKS; i++)
        check(ran[i] == 1);
}

/* A task is begun or taken back, never both and never neither. */
static void taking_back(void *arg)
{
    (void)arg;
    reset();
    struct wfi_thread worker = start(work, NULL);
    for (uint32_t number = 1; number <= TASKS; number++)
        publish(number);
    int taken[TASKS];
    for (int i = TASKS; i-- > 0;)
        taken[i] = wfi_ring_revoke(wfi_ring_slot(&ring, (uint32_t)i));
    wait_until_done(TASKS);
    stop();
    join(worker);
    for (int i = 0; i < TASKS; i++)
        check(ran[i] + taken[i] == 1);
}

int main(void)
{
    static const struct situation situations[] = {
        {"doorbells", doorbells, 100},
        {"taking back", taking_back, 100},
    };
    return explore_all(situations, sizeof situations / sizeof *situations);
}

#endif
