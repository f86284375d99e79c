/* SPDX-License-Identifier: MIT */
/*
 * Atomics: plain C11 in normal builds; with -Dexplore=true each access is first a scheduling point
 * of the seeded explorer (base/explore.h), which then decides which virtual thread goes on.
 *
 * Conventions: the order is part of the name, no suffix meaning sequentially consistent. Every
 * access that is weaker names its partner where it stands. A pair that needs store-then-load order
 * (announce idle, look at the queues / publish a job, look for idle workers) uses wfi_fence on both
 * sides and says so.
 */
#ifndef WFI_BASE_ATOMIC_H
#define WFI_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WFI_ATOMIC(T) _Atomic(T)

#ifdef WFI_EXPLORE
void wfi_explore_point(void);
void wfi_explore_relax(void);
#define WFI_POINT() wfi_explore_point()
#else
#define WFI_POINT() ((void)0)
#endif

#define wfi_load(p) (WFI_POINT(), atomic_load_explicit((p), memory_order_seq_cst))
#define wfi_load_acquire(p) (WFI_POINT(), atomic_load_explicit((p), memory_order_acquire))
#define wfi_load_relaxed(p) (WFI_POINT(), atomic_load_explicit((p), memory_order_relaxed))

#define wfi_store(p, v) (WFI_POINT(), atomic_store_explicit((p), (v), memory_order_seq_cst))
#define wfi_store_release(p, v) (WFI_POINT(), atomic_store_explicit((p), (v), memory_order_release))
#define wfi_store_relaxed(p, v) (WFI_POINT(), atomic_store_explicit((p), (v), memory_order_relaxed))

#define wfi_exchange(p, v) (WFI_POINT(), atomic_exchange_explicit((p), (v), memory_order_seq_cst))
#define wfi_exchange_acquire(p, v) \
    (WFI_POINT(), atomic_exchange_explicit((p), (v), memory_order_acquire))
#define wfi_exchange_release(p, v) \
    (WFI_POINT(), atomic_exchange_explicit((p), (v), memory_order_release))

/* Strong compare-and-swap; *expected receives the value found on failure. */
#define wfi_cas(p, expected, v)                            \
    (WFI_POINT(), atomic_compare_exchange_strong_explicit( \
                      (p), (expected), (v), memory_order_seq_cst, memory_order_seq_cst))
#define wfi_cas_acquire(p, expected, v)                    \
    (WFI_POINT(), atomic_compare_exchange_strong_explicit( \
                      (p), (expected), (v), memory_order_acquire, memory_order_acquire))
#define wfi_cas_release(p, expected, v)                    \
    (WFI_POINT(), atomic_compare_exchange_strong_explicit( \
                      (p), (expected), (v), memory_order_release, memory_order_relaxed))
#define wfi_cas_relaxed(p, expected, v)                    \
    (WFI_POINT(), atomic_compare_exchange_strong_explicit( \
                      (p), (expected), (v), memory_order_relaxed, memory_order_relaxed))

#define wfi_fetch_add(p, v) (WFI_POINT(), atomic_fetch_add_explicit((p), (v), memory_order_seq_cst))
#define wfi_fetch_sub(p, v) (WFI_POINT(), atomic_fetch_sub_explicit((p), (v), memory_order_seq_cst))
#define wfi_fetch_or(p, v) (WFI_POINT(), atomic_fetch_or_explicit((p), (v), memory_order_seq_cst))
#define wfi_fetch_and(p, v) (WFI_POINT(), atomic_fetch_and_explicit((p), (v), memory_order_seq_cst))
/* For counters that order nothing. */
#define wfi_count(p, v) (atomic_fetch_add_explicit((p), (v), memory_order_relaxed))

/* The same where one thread writes and the others only read: no locked instruction. */
#define wfi_count_own(p)                                                            \
    atomic_store_explicit((p), atomic_load_explicit((p), memory_order_relaxed) + 1, \
                          memory_order_relaxed)

/* For signal handlers, which nobody schedules. */
#define wfi_load_in_handler(p) (atomic_load_explicit((p), memory_order_relaxed))

#define wfi_fence() (WFI_POINT(), atomic_thread_fence(memory_order_seq_cst))
#define wfi_fence_acquire() (WFI_POINT(), atomic_thread_fence(memory_order_acquire))
#define wfi_fence_release() (WFI_POINT(), atomic_thread_fence(memory_order_release))

/* Says that the caller is going round a loop until another party acts. */
static inline void wfi_cpu_relax(void)
{
#if defined(WFI_EXPLORE)
    wfi_explore_relax();
#elif defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#endif
}

#endif
