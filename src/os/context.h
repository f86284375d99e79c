/* SPDX-License-Identifier: MIT */
/*
 * Contexts: a suspended stack, and the switch from one to another. A context is owned by one worker
 * thread: made, switched to and ended there.
 *
 * The switch is two jumps apart from a function call, and in plain builds it is one: an inline call
 * to the assembly. Under ASan and TSan it goes through context.c, which tells them first.
 *
 *   life of a context:  make -> switch to, switch away, ... -> exit -> fini
 *                       make -> fini                         (it never ran)
 *   of a native one:    native -> switch away, switch to, ...   (nothing to end)
 *
 * What a switch does not do:
 *   1. errno is not saved; the scheduler does it, since only it knows which switches users see.
 *   2. TSan learns that another stack runs, but no order of events from it (no_sync): otherwise
 *      every race between two fibers of one worker would be hidden. Whoever hands data from one
 *      context to another orders it through an atomic. Two things are ordered all the same: what
 *      happened before make comes before the context's first instruction, and the memory of a
 *      stack is new to TSan with each make.
 */
#ifndef WFI_OS_CONTEXT_H
#define WFI_OS_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef WFI_SWITCH_UCONTEXT
#include <ucontext.h>
#endif

#include "base/atomic.h"
#include "os/sanitizer.h"

struct wfi_context {
    void *sp;              /* while suspended: where its frame lies (context_layout.h) */
    unsigned valgrind_id1; /* 1 + the stack's number, 0 without Valgrind */
#if WFI_ASAN || WFI_TSAN
    void *low; /* the stack's bounds; NULL for a native one that was never left */
    size_t bytes;
    void *fake;                    /* ASan's fake stack while suspended */
    void *tsan_fiber;              /* TSan's record */
    struct wfi_context *came_from; /* a native context whose bounds the arrival will learn */
    void (*entry)(void *);
    void *arg;
#endif
#ifdef WFI_SWITCH_UCONTEXT
    ucontext_t ucontext;
    void (*ucontext_entry)(void *);
    void *ucontext_arg;
#endif
};

/*
 * Makes `ctx` start entry(arg) on the given stack when it is first switched to. `entry` never
 * returns: it ends in wfi_context_exit. The floating-point control words are the caller's.
 */
void wfi_context_make(struct wfi_context *ctx, void *stack_low, size_t stack_bytes,
                      void (*entry)(void *), void *arg);

/* Stands for the stack the calling thread came with; filled by the first switch away from it. */
void wfi_context_native(struct wfi_context *ctx);

/* After it ended, or when it will never run: the tools forget it, its stack may be used again.
 * Called from another stack. */
void wfi_context_fini(struct wfi_context *ctx);

/* A name for TSan's reports; copied. */
void wfi_context_name(struct wfi_context *ctx, const char *name);

#if defined(WFI_DEBUG) || WFI_ASAN || WFI_TSAN
#define WFI_CONTEXT_COUNTED 1
/* Switches done by this process, counted in debug and sanitizer builds only: a tool run in which
 * this stays 0 has shown nothing about fibers. */
uint64_t wfi_context_switch_count(void);
extern WFI_ATOMIC(uint64_t) wfi_context_switches;
#endif

/* The bare switch: assembly, or ucontext. Nobody but the functions below and context.c calls it. */
void wfi_context_frame(struct wfi_context *ctx, void *stack_low, size_t stack_bytes,
                       void (*entry)(void *), void *arg);
void wfi_context_swap(struct wfi_context *from, struct wfi_context *to);
_Noreturn void wfi_context_jump(struct wfi_context *to);
_Noreturn void wfi_context_returned(void);

#if WFI_ASAN || WFI_TSAN
void wfi_context_switch(struct wfi_context *from, struct wfi_context *to);
_Noreturn void wfi_context_exit(struct wfi_context *from, struct wfi_context *to);
#else
/* Saves the caller into `from` and goes on in `to`; returns when somebody switches to `from`. */
static inline void wfi_context_switch(struct wfi_context *from, struct wfi_context *to)
{
#ifdef WFI_CONTEXT_COUNTED
    wfi_count(&wfi_context_switches, 1);
#endif
    wfi_context_swap(from, to);
}

/* The same, but `from` ends: nobody may switch to it again. Its stack is in use until `to` runs. */
static inline _Noreturn void wfi_context_exit(struct wfi_context *from, struct wfi_context *to)
{
    (void)from;
#ifdef WFI_CONTEXT_COUNTED
    wfi_count(&wfi_context_switches, 1);
#endif
    wfi_context_jump(to);
}
#endif

#endif
