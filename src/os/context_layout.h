/* SPDX-License-Identifier: MIT */
/*
 * Where things lie in a suspended context, for the assembly that writes it, the C that makes a
 * first one, and debuggers' scripts. Preprocessor only: assembly includes this too. context.c
 * asserts that the structs agree.
 *
 * A suspended stack ends, at its stack pointer, in a frame of saved registers:
 *
 *   x86-64                          aarch64
 *    0  mxcsr (4 bytes)               0 .. 72   x19 .. x28
 *    4  x87 control word (2 bytes)   80         x29 (frame pointer)
 *    8  r15                          88         x30 (where to go on)
 *   16  r14                          96 .. 152  d8 .. d15
 *   24  r13                         160         fpcr
 *   32  r12                         168         unused, keeps the stack 16-aligned
 *   40  rbx
 *   48  rbp
 *   56  rip (where to go on)
 */
#ifndef WFI_OS_CONTEXT_LAYOUT_H
#define WFI_OS_CONTEXT_LAYOUT_H

#define WFI_CONTEXT_SP 0 /* offset of wfi_context.sp */

#if defined(__x86_64__)
#define WFI_FRAME_MXCSR 0
#define WFI_FRAME_X87CW 4
#define WFI_FRAME_R15 8
#define WFI_FRAME_R14 16
#define WFI_FRAME_R13 24
#define WFI_FRAME_R12 32
#define WFI_FRAME_RBX 40
#define WFI_FRAME_RBP 48
#define WFI_FRAME_RIP 56
#define WFI_FRAME_BYTES 64
#elif defined(__aarch64__)
#define WFI_FRAME_X19 0
#define WFI_FRAME_X21 16
#define WFI_FRAME_X23 32
#define WFI_FRAME_X25 48
#define WFI_FRAME_X27 64
#define WFI_FRAME_X29 80
#define WFI_FRAME_X30 88
#define WFI_FRAME_D8 96
#define WFI_FRAME_D10 112
#define WFI_FRAME_D12 128
#define WFI_FRAME_D14 144
#define WFI_FRAME_FPCR 160
#define WFI_FRAME_BYTES 176
#endif

#endif
