/* SPDX-License-Identifier: MIT */
/*
 * The switch through <ucontext.h>: the reference that the assembly is tested against, and a start
 * for a port. A system call per switch (the signal mask) makes it some twenty times slower.
 */
#include "os/context.h"

#ifdef WFI_SWITCH_UCONTEXT

#include "base/assert.h"

/* makecontext passes ints only, so a pointer comes in two halves. */
static WFI_NO_SANITIZE void begin(unsigned high, unsigned low)
{
    struct wfi_context *self = (struct wfi_context *)((uintptr_t)high << 32 | low);
    self->ucontext_entry(self->ucontext_arg);
    wfi_context_returned();
}

WFI_NO_SANITIZE void wfi_context_frame(struct wfi_context *ctx, void *stack_low, size_t stack_bytes,
                                       void (*entry)(void *), void *arg)
{
    wfi_assert(getcontext(&ctx->ucontext) == 0, "getcontext works");
    ctx->ucontext.uc_stack.ss_sp = stack_low;
    ctx->ucontext.uc_stack.ss_size = stack_bytes;
    ctx->ucontext.uc_link = NULL;
    ctx->ucontext_entry = entry;
    ctx->ucontext_arg = arg;
    ctx->sp = (char *)stack_low + stack_bytes;
    uintptr_t self = (uintptr_t)ctx;
    makecontext(&ctx->ucontext, (void (*)(void))begin, 2, (unsigned)(self >> 32), (unsigned)self);
}

WFI_NO_SANITIZE void wfi_context_swap(struct wfi_context *from, struct wfi_context *to)
{
    from->sp = __builtin_frame_address(0);
    wfi_assert(swapcontext(&from->ucontext, &to->ucontext) == 0, "swapcontext works");
}

WFI_NO_SANITIZE void wfi_context_jump(struct wfi_context *to)
{
    setcontext(&to->ucontext);
    wfi_assert(false, "setcontext does not return");
    __builtin_unreachable();
}

#endif
