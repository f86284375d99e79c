/* SPDX-License-Identifier: MIT */
/*
 * What the instruments must be told about stacks that are not the system's. WFI_ASAN and WFI_TSAN
 * are 1 in builds with that sanitizer, else 0; WFI_HAVE_VALGRIND comes from the build and costs a
 * few instructions where a stack begins and ends, nothing per switch.
 */
#ifndef WFI_OS_SANITIZER_H
#define WFI_OS_SANITIZER_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WFI_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define WFI_TSAN 1
#endif
#endif
#if !defined(WFI_ASAN) && defined(__SANITIZE_ADDRESS__)
#define WFI_ASAN 1
#endif
#if !defined(WFI_TSAN) && defined(__SANITIZE_THREAD__)
#define WFI_TSAN 1
#endif
#ifndef WFI_ASAN
#define WFI_ASAN 0
#endif
#ifndef WFI_TSAN
#define WFI_TSAN 0
#endif

/* For the few functions that run while the sanitizer's idea of the stack is changing. */
#define WFI_NO_SANITIZE __attribute__((no_sanitize("address", "thread", "undefined")))

/* Forgets the red zones that abandoned frames left in [low, low + bytes): a fiber that ends never
 * returns from its last frames, and the next one on this stack would trip over them. */
void wfi_sanitizer_unpoison(void *low, size_t bytes);

/*
 * Makes TSan forget who accessed [low, low + bytes): the memory has a new owner who has nothing to
 * do with the last one. Ordering the two instead (release, acquire) would hide every race between
 * them. Nothing without TSan.
 */
void wfi_sanitizer_forget(void *low, size_t bytes);

/* True while the program runs under Valgrind, where a spin only burns the one thread's turn. */
bool wfi_under_valgrind(void);

/*
 * For the scheduler: stretches in which plain accesses are not checked for races (they nest; each
 * stack counts its own), and orders that TSan cannot see, release before acquire on one address.
 */
#if WFI_TSAN
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
void AnnotateBenignRaceSized(const char *file, int line, const volatile void *mem, size_t size,
                             const char *text);
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define wfi_tsan_checks_off() \
    (AnnotateIgnoreReadsBegin(__FILE__, __LINE__), AnnotateIgnoreWritesBegin(__FILE__, __LINE__))
#define wfi_tsan_checks_on() \
    (AnnotateIgnoreWritesEnd(__FILE__, __LINE__), AnnotateIgnoreReadsEnd(__FILE__, __LINE__))
#define wfi_tsan_acquire(addr) __tsan_acquire((void *)(addr))
#define wfi_tsan_release(addr) __tsan_release((void *)(addr))
#else
#define wfi_tsan_checks_off() ((void)0)
#define wfi_tsan_checks_on() ((void)0)
#define wfi_tsan_acquire(addr) ((void)(addr))
#define wfi_tsan_release(addr) ((void)(addr))
#endif

#endif
