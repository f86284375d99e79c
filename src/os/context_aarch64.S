/* SPDX-License-Identifier: MIT */
/*
 * The switch for aarch64, AAPCS64.
 *
 *   void wfi_context_swap(struct wfi_context *from [x0], struct wfi_context *to [x1]);
 *   void wfi_context_jump(struct wfi_context *to [x0]);
 *
 * Saved is what a function must preserve: x19-x30, the low halves of v8-v15, the stack pointer, and
 * the floating-point control register, which is written back only when it differs, because the
 * write drains the pipeline on many cores. The frame has the same shape on every suspended stack,
 * so the unwind information stays true across the change of sp. x30 is stored unsigned: callers
 * that use pointer authentication have signed it on their own frame before they call.
 */
#if defined(__aarch64__) && !defined(WFI_SWITCH_UCONTEXT)

#include "os/context_layout.h"

    .text

    .macro frame_unwind
    .cfi_def_cfa_offset WFI_FRAME_BYTES
    .cfi_rel_offset x19, WFI_FRAME_X19
    .cfi_rel_offset x20, WFI_FRAME_X19 + 8
    .cfi_rel_offset x21, WFI_FRAME_X21
    .cfi_rel_offset x22, WFI_FRAME_X21 + 8
    .cfi_rel_offset x23, WFI_FRAME_X23
    .cfi_rel_offset x24, WFI_FRAME_X23 + 8
    .cfi_rel_offset x25, WFI_FRAME_X25
    .cfi_rel_offset x26, WFI_FRAME_X25 + 8
    .cfi_rel_offset x27, WFI_FRAME_X27
    .cfi_rel_offset x28, WFI_FRAME_X27 + 8
    .cfi_rel_offset x29, WFI_FRAME_X29
    .cfi_rel_offset x30, WFI_FRAME_X30
    .cfi_rel_offset b8, WFI_FRAME_D8
    .cfi_rel_offset b9, WFI_FRAME_D8 + 8
    .cfi_rel_offset b10, WFI_FRAME_D10
    .cfi_rel_offset b11, WFI_FRAME_D10 + 8
    .cfi_rel_offset b12, WFI_FRAME_D12
    .cfi_rel_offset b13, WFI_FRAME_D12 + 8
    .cfi_rel_offset b14, WFI_FRAME_D14
    .cfi_rel_offset b15, WFI_FRAME_D14 + 8
    .endm

    .p2align 4
    .globl wfi_context_swap
    .hidden wfi_context_swap
    .type wfi_context_swap, %function
wfi_context_swap:
    .cfi_startproc
    hint #34 /* bti c */
    sub sp, sp, #WFI_FRAME_BYTES
    .cfi_def_cfa_offset WFI_FRAME_BYTES
    stp x19, x20, [sp, #WFI_FRAME_X19]
    stp x21, x22, [sp, #WFI_FRAME_X21]
    stp x23, x24, [sp, #WFI_FRAME_X23]
    stp x25, x26, [sp, #WFI_FRAME_X25]
    stp x27, x28, [sp, #WFI_FRAME_X27]
    stp x29, x30, [sp, #WFI_FRAME_X29]
    stp d8, d9, [sp, #WFI_FRAME_D8]
    stp d10, d11, [sp, #WFI_FRAME_D10]
    stp d12, d13, [sp, #WFI_FRAME_D12]
    stp d14, d15, [sp, #WFI_FRAME_D14]
    mrs x9, fpcr
    str x9, [sp, #WFI_FRAME_FPCR]
    frame_unwind
    mov x10, sp
    str x10, [x0, #WFI_CONTEXT_SP]
    ldr x10, [x1, #WFI_CONTEXT_SP]
    mov sp, x10
.Lrestore:
    ldr x11, [sp, #WFI_FRAME_FPCR]
    cmp x11, x9
    b.eq 1f
    msr fpcr, x11
1:
    ldp x19, x20, [sp, #WFI_FRAME_X19]
    ldp x21, x22, [sp, #WFI_FRAME_X21]
    ldp x23, x24, [sp, #WFI_FRAME_X23]
    ldp x25, x26, [sp, #WFI_FRAME_X25]
    ldp x27, x28, [sp, #WFI_FRAME_X27]
    ldp x29, x30, [sp, #WFI_FRAME_X29]
    ldp d8, d9, [sp, #WFI_FRAME_D8]
    ldp d10, d11, [sp, #WFI_FRAME_D10]
    ldp d12, d13, [sp, #WFI_FRAME_D12]
    ldp d14, d15, [sp, #WFI_FRAME_D14]
    add sp, sp, #WFI_FRAME_BYTES
    .cfi_def_cfa_offset 0
    ret
    .cfi_endproc
    .size wfi_context_swap, . - wfi_context_swap

    .p2align 4
    .globl wfi_context_jump
    .hidden wfi_context_jump
    .type wfi_context_jump, %function
wfi_context_jump:
    .cfi_startproc
    hint #34 /* bti c */
    mrs x9, fpcr
    ldr x10, [x0, #WFI_CONTEXT_SP]
    mov sp, x10
    frame_unwind
    b .Lrestore
    .cfi_endproc
    .size wfi_context_jump, . - wfi_context_jump

/*
 * Where a new context begins: x19 holds the entry function, x20 its argument. There is nobody to
 * return to, and the unwinder is told so. It looks a return address up at the instruction before
 * it, hence the nop: a context that was made but never ran must unwind too.
 */
    .p2align 4
    .globl wfi_context_begin
    .hidden wfi_context_begin
    .type wfi_context_begin, %function
    .cfi_startproc
    .cfi_undefined x30
    nop
wfi_context_begin:
    hint #36 /* bti j */
    mov x0, x20
    blr x19
    bl wfi_context_returned
    brk #1
    .cfi_endproc
    .size wfi_context_begin, . - wfi_context_begin
    .hidden wfi_context_returned

    .section .note.gnu.property, "a"
    .p2align 3
    .word 4, 16, 5
    .asciz "GNU"
    .word 0xc0000000 /* GNU_PROPERTY_AARCH64_FEATURE_1_AND */
    .word 4
    .word 1 /* BTI */
    .word 0

#endif

    .section .note.GNU-stack, "", %progbits
