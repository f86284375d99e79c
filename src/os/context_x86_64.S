/* SPDX-License-Identifier: MIT */
/*
 * The switch for x86-64, System V ABI.
 *
 *   void wfi_context_swap(struct wfi_context *from [rdi], struct wfi_context *to [rsi]);
 *   void wfi_context_jump(struct wfi_context *to [rdi]);
 *
 * The compiler believes it calls a function, so only what a function must preserve is saved: rbx,
 * rbp, r12-r15, the stack pointer, and the two floating-point control words. The frame has the same
 * shape on every suspended stack, so the unwind information stays true across the change of rsp.
 *
 * The way out is a jump, not a return: the processor's return predictor knows the caller on the
 * stack we left, and would be wrong each time. The target follows a call and has no endbr64, hence
 * notrack. The property note promises indirect branch tracking only: a shadow stack would have to
 * be switched along, and the missing bit makes the system run the program without one.
 */
#if defined(__x86_64__) && !defined(WFI_SWITCH_UCONTEXT)

#include "os/context_layout.h"

    .text
    .p2align 4
    .globl wfi_context_swap
    .hidden wfi_context_swap
    .type wfi_context_swap, @function
wfi_context_swap:
    .cfi_startproc
    endbr64
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbx, 0
    pushq %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r12, 0
    pushq %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r13, 0
    pushq %r14
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r14, 0
    pushq %r15
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r15, 0
    subq $WFI_FRAME_R15, %rsp
    .cfi_adjust_cfa_offset WFI_FRAME_R15
    stmxcsr WFI_FRAME_MXCSR(%rsp)
    fnstcw WFI_FRAME_X87CW(%rsp)
    movl WFI_FRAME_MXCSR(%rsp), %eax
    movzwl WFI_FRAME_X87CW(%rsp), %ecx
    movq %rsp, WFI_CONTEXT_SP(%rdi)
    movq WFI_CONTEXT_SP(%rsi), %rsp
    /* Loading a control word costs more than the rest of the switch, and is seldom needed. */
    cmpl %eax, WFI_FRAME_MXCSR(%rsp)
    jne .Lrestore
    cmpw %cx, WFI_FRAME_X87CW(%rsp)
    je .Lrestore_general
.Lrestore:
    ldmxcsr WFI_FRAME_MXCSR(%rsp)
    fldcw WFI_FRAME_X87CW(%rsp)
.Lrestore_general:
    addq $WFI_FRAME_R15, %rsp
    .cfi_adjust_cfa_offset -WFI_FRAME_R15
    popq %r15
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r15
    popq %r14
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r14
    popq %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r13
    popq %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r12
    popq %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbx
    popq %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbp
    popq %rcx
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rcx
    notrack jmp *%rcx
    .cfi_endproc
    .size wfi_context_swap, . - wfi_context_swap

    .p2align 4
    .globl wfi_context_jump
    .hidden wfi_context_jump
    .type wfi_context_jump, @function
wfi_context_jump:
    .cfi_startproc
    endbr64
    movq WFI_CONTEXT_SP(%rdi), %rsp
    .cfi_def_cfa_offset WFI_FRAME_BYTES
    .cfi_rel_offset %rbp, WFI_FRAME_RBP
    .cfi_rel_offset %rbx, WFI_FRAME_RBX
    .cfi_rel_offset %r12, WFI_FRAME_R12
    .cfi_rel_offset %r13, WFI_FRAME_R13
    .cfi_rel_offset %r14, WFI_FRAME_R14
    .cfi_rel_offset %r15, WFI_FRAME_R15
    jmp .Lrestore
    .cfi_endproc
    .size wfi_context_jump, . - wfi_context_jump

/*
 * Where a new context begins: r12 holds the entry function, r13 its argument. There is nobody to
 * return to, and the unwinder is told so. It looks a return address up at the byte before it, hence
 * the nop: a context that was made but never ran must unwind too.
 */
    .p2align 4
    .globl wfi_context_begin
    .hidden wfi_context_begin
    .type wfi_context_begin, @function
    .cfi_startproc
    .cfi_undefined %rip
    nop
wfi_context_begin:
    endbr64
    movq %r13, %rdi
    callq *%r12
    callq wfi_context_returned
    ud2
    .cfi_endproc
    .size wfi_context_begin, . - wfi_context_begin
    .hidden wfi_context_returned

    .section .note.gnu.property, "a"
    .p2align 3
    .long 4, 16, 5
    .asciz "GNU"
    .long 0xc0000002 /* GNU_PROPERTY_X86_FEATURE_1_AND */
    .long 4
    .long 1 /* IBT */
    .long 0

#endif

    .section .note.GNU-stack, "", @progbits
