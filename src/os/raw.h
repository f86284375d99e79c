/* SPDX-License-Identifier: MIT */
/*
 * System calls without the C library, for code that runs where the library must not: in a child
 * that still shares the memory of its parent. They touch no errno, and the dynamic linker, which
 * may want more stack than there is, has nothing to bind.
 *
 * A result from -4095 to -1 is a negative errno.
 */
#ifndef WFI_OS_RAW_H
#define WFI_OS_RAW_H

#include <sys/syscall.h>

#include "os/sanitizer.h"

/* As WFI_NO_SANITIZE, and without the calls at entry and exit that clang leaves in: a function that
 * ends in exec never makes the second. */
#if defined(__has_attribute)
#if __has_attribute(disable_sanitizer_instrumentation)
#define WFI_RAW WFI_NO_SANITIZE __attribute__((disable_sanitizer_instrumentation))
#endif
#endif
#ifndef WFI_RAW
#define WFI_RAW WFI_NO_SANITIZE
#endif

/*
 * wfi_raw_call(number, a, b, c, d, e): the system call of that number.
 *
 * wfi_raw_clone(number, a, b, c, top, fn, arg): clone(2) or clone3(2), by number, with a stack of
 * the child's own, on which it runs fn(arg), which does not return. `top` is the stack's upper end,
 * aligned to 16; WFI_RAW_FRAME bytes below it are used, and what the call is told of the stack ends
 * there. `c` is only of clone.
 */
#define WFI_RAW_FRAME 16

#if defined(__x86_64__)

WFI_RAW static inline long wfi_raw_call(long number, long a, long b, long c, long d, long e)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

WFI_RAW static inline long wfi_raw_clone(long number, long a, long b, long c, void *top,
                                         void (*fn)(void *), void *arg)
{
    long result;
    void **frame = (void **)top - 2;
    frame[0] = (void *)fn;
    frame[1] = arg;
    register long r10 __asm__("r10") = 0;
    register long r8 __asm__("r8") = 0;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t" /* the end of the child's chain of frames */
                     "pop %%rax\n\t"
                     "pop %%rdi\n\t"
                     "call *%%rax\n\t"
                     "ud2\n"
                     "1:"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

#elif defined(__aarch64__)

WFI_RAW static inline long wfi_raw_call(long number, long a, long b, long c, long d, long e)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}

WFI_RAW static inline long wfi_raw_clone(long number, long a, long b, long c, void *top,
                                         void (*fn)(void *), void *arg)
{
    void **frame = (void **)top - 2;
    frame[0] = (void *)fn;
    frame[1] = arg;
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = 0;
    register long x4 __asm__("x4") = 0;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, xzr\n\t"
                     "mov x30, xzr\n\t"
                     "ldp x1, x0, [sp], #16\n\t"
                     "blr x1\n\t"
                     "brk #0\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
                     : "memory");
    return x0;
}

#endif
#endif
