/* SPDX-License-Identifier: MIT */
/*
 * Contexts: the first frame, and what the tools are told. The functions that run between "the tool
 * believes the other stack runs" and the switch itself are not instrumented.
 */
#include "os/context.h"

#include <string.h>

#include "base/assert.h"
#include "os/context_layout.h"

#if WFI_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if WFI_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#ifdef WFI_HAVE_VALGRIND
#include <valgrind/memcheck.h>
#endif

_Static_assert(offsetof(struct wfi_context, sp) == WFI_CONTEXT_SP, "the assembly expects sp here");

#ifdef WFI_CONTEXT_COUNTED
WFI_ATOMIC(uint64_t) wfi_context_switches;

uint64_t wfi_context_switch_count(void)
{
    return wfi_load_relaxed(&wfi_context_switches); /* relaxed: a number to look at */
}
#endif

void wfi_context_returned(void)
{
    wfi_assert(false, "the entry function of a context never returns");
}

#ifndef WFI_SWITCH_UCONTEXT

void wfi_context_begin(void); /* not a function to call: the assembly that r12/x19 start from */

#if defined(__x86_64__)
struct frame {
    uint32_t mxcsr;
    uint16_t x87cw, unused;
    void *r15, *r14, *r13, *r12, *rbx, *rbp, *rip;
};
_Static_assert(offsetof(struct frame, mxcsr) == WFI_FRAME_MXCSR, "layout");
_Static_assert(offsetof(struct frame, x87cw) == WFI_FRAME_X87CW, "layout");
_Static_assert(offsetof(struct frame, r15) == WFI_FRAME_R15, "layout");
_Static_assert(offsetof(struct frame, r14) == WFI_FRAME_R14, "layout");
_Static_assert(offsetof(struct frame, r13) == WFI_FRAME_R13, "layout");
_Static_assert(offsetof(struct frame, r12) == WFI_FRAME_R12, "layout");
_Static_assert(offsetof(struct frame, rbx) == WFI_FRAME_RBX, "layout");
_Static_assert(offsetof(struct frame, rbp) == WFI_FRAME_RBP, "layout");
_Static_assert(offsetof(struct frame, rip) == WFI_FRAME_RIP, "layout");
#else
struct frame {
    void *x19, *x20, *x21, *x22, *x23, *x24, *x25, *x26, *x27, *x28, *x29, *x30;
    double d[8];
    uint64_t fpcr, unused;
};
_Static_assert(offsetof(struct frame, x19) == WFI_FRAME_X19, "layout");
_Static_assert(offsetof(struct frame, x21) == WFI_FRAME_X21, "layout");
_Static_assert(offsetof(struct frame, x23) == WFI_FRAME_X23, "layout");
_Static_assert(offsetof(struct frame, x25) == WFI_FRAME_X25, "layout");
_Static_assert(offsetof(struct frame, x27) == WFI_FRAME_X27, "layout");
_Static_assert(offsetof(struct frame, x29) == WFI_FRAME_X29, "layout");
_Static_assert(offsetof(struct frame, x30) == WFI_FRAME_X30, "layout");
_Static_assert(offsetof(struct frame, d) == WFI_FRAME_D8, "layout");
_Static_assert(offsetof(struct frame, d[2]) == WFI_FRAME_D10, "layout");
_Static_assert(offsetof(struct frame, d[4]) == WFI_FRAME_D12, "layout");
_Static_assert(offsetof(struct frame, d[6]) == WFI_FRAME_D14, "layout");
_Static_assert(offsetof(struct frame, fpcr) == WFI_FRAME_FPCR, "layout");
#endif
_Static_assert(sizeof(struct frame) == WFI_FRAME_BYTES, "layout");

/* Two zero words above the first frame end the chain of frame pointers. */
#define END_BYTES 16

WFI_NO_SANITIZE void wfi_context_frame(struct wfi_context *ctx, void *stack_low, size_t stack_bytes,
                                       void (*entry)(void *), void *arg)
{
    uintptr_t top = ((uintptr_t)stack_low + stack_bytes) & ~(uintptr_t)15;
    uint64_t *end = (uint64_t *)(top - END_BYTES);
    end[0] = end[1] = 0;
    struct frame *frame = (struct frame *)((uintptr_t)end - sizeof(struct frame));
#if defined(__x86_64__)
    __asm__ volatile("stmxcsr %0" : "=m"(frame->mxcsr));
    __asm__ volatile("fnstcw %0" : "=m"(frame->x87cw));
    frame->unused = 0;
    frame->r12 = (void *)(uintptr_t)entry;
    frame->r13 = arg;
    frame->r14 = frame->r15 = frame->rbx = NULL;
    frame->rbp = NULL;
    frame->rip = (void *)(uintptr_t)wfi_context_begin;
#else
    memset(frame, 0, sizeof *frame);
    __asm__ volatile("mrs %0, fpcr" : "=r"(frame->fpcr));
    frame->x19 = (void *)(uintptr_t)entry;
    frame->x20 = arg;
    frame->x30 = (void *)(uintptr_t)wfi_context_begin;
#endif
    ctx->sp = frame;
}

#endif

#if WFI_ASAN || WFI_TSAN

/* The first thing on a stack that was switched to. */
static WFI_NO_SANITIZE void arrive(struct wfi_context *self)
{
#if WFI_ASAN
    const void *left_low;
    size_t left_bytes;
    __sanitizer_finish_switch_fiber(self->fake, &left_low, &left_bytes);
    if (self->came_from) {
        self->came_from->low = (void *)(uintptr_t)left_low;
        self->came_from->bytes = left_bytes;
        self->came_from = NULL;
    }
#else
    (void)self;
#endif
}

static WFI_NO_SANITIZE void first_run(void *arg)
{
    struct wfi_context *self = arg;
    arrive(self);
    self->entry(self->arg);
    wfi_context_returned();
}

/* Inline for TSan's sake: it counts calls and returns per stack even in functions it leaves alone,
 * so nothing may return between its switch and ours. */
static inline WFI_NO_SANITIZE __attribute__((always_inline)) void
depart(struct wfi_context *from, struct wfi_context *to, void **fake)
{
    wfi_count(&wfi_context_switches, 1);
#if WFI_ASAN
    to->came_from = from->low ? NULL : from;
    __sanitizer_start_switch_fiber(fake, to->low, to->bytes);
#else
    (void)from;
    (void)fake;
#endif
#if WFI_TSAN
    __tsan_switch_to_fiber(to->tsan_fiber, __tsan_switch_to_fiber_no_sync);
#endif
}

WFI_NO_SANITIZE void wfi_context_switch(struct wfi_context *from, struct wfi_context *to)
{
    depart(from, to, &from->fake);
    wfi_context_swap(from, to);
    arrive(from);
}

WFI_NO_SANITIZE void wfi_context_exit(struct wfi_context *from, struct wfi_context *to)
{
    depart(from, to, NULL); /* no place to save the fake stack: ASan frees it */
    wfi_context_jump(to);
}

#endif

void wfi_context_make(struct wfi_context *ctx, void *stack_low, size_t stack_bytes,
                      void (*entry)(void *), void *arg)
{
    ctx->valgrind_id1 = 0;
#ifdef WFI_HAVE_VALGRIND
    if (RUNNING_ON_VALGRIND) {
        (void)VALGRIND_MAKE_MEM_UNDEFINED(stack_low, stack_bytes);
        ctx->valgrind_id1 =
            1 + VALGRIND_STACK_REGISTER(stack_low, (char *)stack_low + stack_bytes - 1);
    }
#endif
#if WFI_ASAN || WFI_TSAN
    ctx->low = stack_low;
    ctx->bytes = stack_bytes;
    ctx->fake = NULL;
    ctx->tsan_fiber = NULL;
    ctx->came_from = NULL;
    ctx->entry = entry;
    ctx->arg = arg;
    entry = first_run;
    arg = ctx;
#endif
#if WFI_TSAN
    wfi_sanitizer_forget(stack_low, stack_bytes);
    ctx->tsan_fiber = __tsan_create_fiber(0);
#endif
    wfi_context_frame(ctx, stack_low, stack_bytes, entry, arg);
}

void wfi_context_native(struct wfi_context *ctx)
{
    memset(ctx, 0, sizeof *ctx);
#if WFI_TSAN
    ctx->tsan_fiber = __tsan_get_current_fiber();
#endif
}

void wfi_context_fini(struct wfi_context *ctx)
{
#ifdef WFI_HAVE_VALGRIND
    if (ctx->valgrind_id1) {
        VALGRIND_STACK_DEREGISTER(ctx->valgrind_id1 - 1);
        ctx->valgrind_id1 = 0;
    }
#endif
#if WFI_TSAN
    __tsan_destroy_fiber(ctx->tsan_fiber);
    ctx->tsan_fiber = NULL;
#endif
#if WFI_ASAN
    wfi_sanitizer_unpoison(ctx->low, ctx->bytes);
#endif
    ctx->sp = NULL;
}

void wfi_context_name(struct wfi_context *ctx, const char *name)
{
#if WFI_TSAN
    __tsan_set_fiber_name(ctx->tsan_fiber, name);
#else
    (void)ctx;
    (void)name;
#endif
}
