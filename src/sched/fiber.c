/* SPDX-License-Identifier: MIT */
#include "sched/fiber.h"
void wfi_fiber_park(struct wfi_fiber *self, struct wfi_lock *const *held, size_t held_count,
                    wf_deadline deadline)
{
    (void)self, (void)held, (void)held_count, (void)deadline;
    wfi_assert(0, "no fiber exists before the workers do");
}
void wfi_fiber_yield(struct wfi_fiber *self)
{
    (void)self;
}
void wfi_fiber_ready(struct wfi_fiber *fiber)
{
    (void)fiber;
}
struct wfi_record *wfi_fiber_record(struct wfi_fiber *self)
{
    return (struct wfi_record *)(void *)self;
}
