/* SPDX-License-Identifier: MIT */
/*
 * The switch keeps what a function call keeps. Built with the assembly and with ucontext, and run
 * on x86-64 and, under qemu, on aarch64.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unwind.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "os/context.h"

#if WFI_ASAN
#include <sanitizer/asan_interface.h>
#endif

/*
 * probe(from, to, swap, seed): fills every register that a function must preserve with numbers
 * that follow from seed, calls swap(from, to), and returns how many came back changed.
 */
uint64_t probe(struct wfi_context *from, struct wfi_context *to,
               void (*swap)(struct wfi_context *, struct wfi_context *), uint64_t seed);

#if defined(__x86_64__)
#define KEPT(X) X(rbx, 1) X(rbp, 2) X(r12, 3) X(r13, 4) X(r14, 5) X(r15, 6)
#define FILL(reg, i) "    leaq " #i "(%rcx), %" #reg "\n"
#define CHECK(reg, i)                                                        \
    "    leaq " #i "(%rcx), %rdx\n    cmpq %rdx, %" #reg "\n    setne %dl\n" \
    "    movzbl %dl, %edx\n    addq %rdx, %rax\n"
__asm__("    .text\n    .globl probe\n    .type probe, @function\nprobe:\n"
        "    endbr64\n"
        "    pushq %rbx\n    pushq %rbp\n    pushq %r12\n    pushq %r13\n"
        "    pushq %r14\n    pushq %r15\n    pushq %rcx\n" KEPT(
            FILL) "    callq *%rdx\n"
                  "    movq (%rsp), %rcx\n    xorl %eax, %eax\n" KEPT(
                      CHECK) "    popq %rcx\n    popq %r15\n    popq %r14\n    popq %r13\n"
                             "    popq %r12\n    popq %rbp\n    popq %rbx\n    ret\n"
                             "    .size probe, . - probe\n");

static unsigned rounding(void)
{
    uint32_t mxcsr;
    uint16_t x87cw;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    __asm__ volatile("fnstcw %0" : "=m"(x87cw));
    unsigned sse = mxcsr >> 13 & 3, x87 = x87cw >> 10 & 3;
    return sse == x87 ? sse : 99;
}

static void set_rounding(unsigned mode)
{
    uint32_t mxcsr;
    uint16_t x87cw;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    __asm__ volatile("fnstcw %0" : "=m"(x87cw));
    mxcsr = (mxcsr & ~(3u << 13)) | mode << 13;
    x87cw = (uint16_t)((x87cw & ~(3u << 10)) | mode << 10);
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    __asm__ volatile("fldcw %0" : : "m"(x87cw));
}
#elif defined(__aarch64__)
#define KEPT(X) \
    X(x19, 1)   \
    X(x20, 2)   \
    X(x21, 3) X(x22, 4) X(x23, 5) X(x24, 6) X(x25, 7) X(x26, 8) X(x27, 9) X(x28, 10) X(x29, 11)
#define KEPT_FP(X) \
    X(d8, 12) X(d9, 13) X(d10, 14) X(d11, 15) X(d12, 16) X(d13, 17) X(d14, 18) X(d15, 19)
#define FILL(reg, i) "    add " #reg ", x3, #" #i "\n"
#define FILL_FP(reg, i) "    add x9, x3, #" #i "\n    fmov " #reg ", x9\n"
#define CHECK(reg, i) \
    "    add x9, x3, #" #i "\n    cmp x9, " #reg "\n    cset x9, ne\n    add x0, x0, x9\n"
#define CHECK_FP(reg, i)                                                 \
    "    fmov x10, " #reg "\n    add x9, x3, #" #i "\n    cmp x9, x10\n" \
    "    cset x9, ne\n    add x0, x0, x9\n"
__asm__("    .text\n    .globl probe\n    .type probe, %function\nprobe:\n"
        "    stp x29, x30, [sp, #-192]!\n"
        "    stp x19, x20, [sp, #16]\n    stp x21, x22, [sp, #32]\n    stp x23, x24, [sp, #48]\n"
        "    stp x25, x26, [sp, #64]\n    stp x27, x28, [sp, #80]\n    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n    stp d12, d13, [sp, #128]\n    stp d14, d15, [sp, #144]\n"
        "    str x3, [sp, #160]\n" KEPT(FILL)
            KEPT_FP(FILL_FP) "    blr x2\n"
                             "    ldr x3, [sp, #160]\n    mov x0, #0\n" KEPT(CHECK)
                                 KEPT_FP(CHECK_FP) "    ldp x19, x20, [sp, #16]\n    ldp x21, x22, "
                                                   "[sp, #32]\n    ldp x23, x24, [sp, #48]\n"
                                                   "    ldp x25, x26, [sp, #64]\n    ldp x27, x28, "
                                                   "[sp, #80]\n    ldp d8, d9, [sp, #96]\n"
                                                   "    ldp d10, d11, [sp, #112]\n    ldp d12, "
                                                   "d13, [sp, #128]\n    ldp d14, d15, [sp, #144]\n"
                                                   "    ldp x29, x30, [sp], #192\n    ret\n"
                                                   "    .size probe, . - probe\n");

static unsigned rounding(void)
{
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return fpcr >> 22 & 3;
}

static void set_rounding(unsigned mode)
{
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    fpcr = (fpcr & ~(UINT64_C(3) << 22)) | (uint64_t)mode << 22;
    __asm__ volatile("msr fpcr, %0" : : "r"(fpcr));
}
#endif

#define STACK_BYTES (64 * 1024)

static struct wfi_context native, one, two;
static void *stack_one, *stack_two;

static int setup(void **state)
{
    (void)state;
    stack_one = wfi_zalloc_aligned(64, STACK_BYTES);
    stack_two = wfi_zalloc_aligned(64, STACK_BYTES);
    wfi_context_native(&native);
    return stack_one && stack_two ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    wfi_free(stack_one);
    wfi_free(stack_two);
    return 0;
}

/* The switch orders nothing for TSan; a scheduler hands over through its atomics, the test through
 * this baton. */
static WFI_ATOMIC(int) baton;

static void swap(struct wfi_context *from, struct wfi_context *to)
{
    wfi_fetch_add(&baton, 1);
    wfi_context_switch(from, to);
    wfi_fetch_add(&baton, 1);
}

static _Noreturn void leave(struct wfi_context *from, struct wfi_context *to)
{
    wfi_fetch_add(&baton, 1);
    wfi_context_exit(from, to);
}

static uint64_t changed_in_fiber;

static void probe_twice(void *arg)
{
    (void)arg;
    changed_in_fiber += probe(&one, &native, swap, 0x1000);
    changed_in_fiber += probe(&one, &native, swap, 0x2000);
    leave(&one, &native);
}

static void registers_survive_on_both_sides(void **state)
{
    (void)state;
    changed_in_fiber = 0;
    wfi_context_make(&one, stack_one, STACK_BYTES, probe_twice, NULL);
    assert_int_equal(probe(&native, &one, swap, 0x5555000000), 0);
    assert_int_equal(probe(&native, &one, swap, 0x6666000000), 0);
    assert_int_equal(probe(&native, &one, swap, 0x7777000000), 0);
    assert_int_equal(changed_in_fiber, 0);
    wfi_context_fini(&one);
}

static unsigned seen_by_fiber[2];

static void round_its_own_way(void *arg)
{
    seen_by_fiber[0] = rounding();
    set_rounding(*(unsigned *)arg);
    swap(&one, &native);
    seen_by_fiber[1] = rounding();
    leave(&one, &native);
}

static void floating_point_control_is_per_context(void **state)
{
    (void)state;
    unsigned before = rounding(), fibers = 2;
    set_rounding(1);
    wfi_context_make(&one, stack_one, STACK_BYTES, round_its_own_way, &fibers);
    set_rounding(3);
    swap(&native, &one);
    unsigned first = rounding();
    set_rounding(0);
    swap(&native, &one);
    unsigned second = rounding();
    set_rounding(before);
    wfi_context_fini(&one);
    assert_int_equal(seen_by_fiber[0], 1); /* the maker's */
    assert_int_equal(first, 3);
    assert_int_equal(seen_by_fiber[1], 2);
    assert_int_equal(second, 0);
}

/* Deep, with a switch at every level on the way down and up, and a frame worth checking. */
static int descend(struct wfi_context *self, struct wfi_context *other, int depth, int salt)
{
    volatile unsigned char frame[100];
    for (size_t i = 0; i < sizeof frame; i++)
        frame[i] = (unsigned char)(salt + depth + (int)i);
    swap(self, other);
    int sum = depth ? descend(self, other, depth - 1, salt) : 0;
    swap(self, other);
    for (size_t i = 0; i < sizeof frame; i++)
        if (frame[i] != (unsigned char)(salt + depth + (int)i))
            return -1000000;
    return sum + depth;
}

#define DEPTH 40
static int descended[2];

static void descend_one(void *arg)
{
    (void)arg;
    descended[0] = descend(&one, &two, DEPTH, 7);
    leave(&one, &two);
}

static void descend_two(void *arg)
{
    (void)arg;
    descended[1] = descend(&two, &one, DEPTH, 90);
    leave(&two, &native);
}

static void nested_frames_survive_between_two_fibers(void **state)
{
    (void)state;
    descended[0] = descended[1] = 0;
    wfi_context_make(&one, stack_one, STACK_BYTES, descend_one, NULL);
    wfi_context_make(&two, stack_two, STACK_BYTES, descend_two, NULL);
    swap(&native, &one);
    assert_int_equal(descended[0], DEPTH * (DEPTH + 1) / 2);
    assert_int_equal(descended[1], DEPTH * (DEPTH + 1) / 2);
    wfi_context_fini(&one);
    wfi_context_fini(&two);
}

static uintptr_t entry_sp;

static void note_stack_pointer(void *arg)
{
    char here __attribute__((aligned(16)));
    entry_sp = (uintptr_t)__builtin_frame_address(0);
    memset(&here, *(char *)arg, 1);
    leave(&one, &native);
}

static void entry_runs_aligned_inside_its_stack(void **state)
{
    (void)state;
    char arg = 1;
    for (size_t cut = 0; cut < 64; cut += 8) {
        wfi_context_make(&one, stack_one, STACK_BYTES - cut, note_stack_pointer, &arg);
        swap(&native, &one);
        wfi_context_fini(&one);
        assert_int_equal(entry_sp % 16, 0);
        assert_true(entry_sp > (uintptr_t)stack_one);
        assert_true(entry_sp < (uintptr_t)stack_one + STACK_BYTES - cut);
    }
}

static int frames_seen;
static _Unwind_Reason_Code unwound;

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *frame, void *arg)
{
    (void)frame;
    (void)arg;
    return ++frames_seen < 100 ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

static void unwind_below(int depth);
static void (*volatile call)(int) = unwind_below; /* hidden from inlining */

static void unwind_below(int depth)
{
    volatile int guard = depth;
    if (depth)
        call(depth - 1);
    else
        unwound = _Unwind_Backtrace(count_frame, NULL);
    frames_seen += guard - depth; /* not a tail call, or there would be no frame */
}

static void unwind_it(void *arg)
{
    unwind_below(*(int *)arg);
    leave(&one, &native);
}

/* As debuggers, profilers and C++ exceptions do. */
static void unwinding_ends_at_the_entry(void **state)
{
    (void)state;
    int depth = 5, shallow;
    for (int i = 0; i < 2; i++) {
        shallow = frames_seen;
        frames_seen = 0;
        wfi_context_make(&one, stack_one, STACK_BYTES, unwind_it, &depth);
        swap(&native, &one);
        wfi_context_fini(&one);
        assert_int_equal(unwound, _URC_END_OF_STACK);
        assert_true(frames_seen >= depth + 2 && frames_seen < depth + 8);
        depth += 10;
    }
    assert_int_equal(frames_seen, shallow + 10);
}

static void one_stack_serves_many_contexts(void **state)
{
    (void)state;
    char arg = 1;
    for (int i = 0; i < 200; i++) {
        wfi_context_make(&one, stack_one, STACK_BYTES, note_stack_pointer, &arg);
        if (i % 3)
            swap(&native, &one); /* else: made, and never run */
        wfi_context_fini(&one);
    }
}

#if WFI_ASAN
static void an_ended_context_leaves_no_red_zones(void **state)
{
    (void)state;
    char arg = 1;
    wfi_context_make(&one, stack_one, STACK_BYTES, note_stack_pointer, &arg);
    swap(&native, &one);
    __asan_poison_memory_region((char *)stack_one + STACK_BYTES / 2, 64);
    assert_non_null(__asan_region_is_poisoned(stack_one, STACK_BYTES));
    wfi_context_fini(&one);
    assert_null(__asan_region_is_poisoned(stack_one, STACK_BYTES));
}
#endif

#ifdef WFI_CONTEXT_COUNTED
static void switches_are_counted(void **state)
{
    (void)state;
    char arg = 1;
    uint64_t before = wfi_context_switch_count();
    wfi_context_make(&one, stack_one, STACK_BYTES, note_stack_pointer, &arg);
    swap(&native, &one);
    wfi_context_fini(&one);
    assert_int_equal(wfi_context_switch_count() - before, 2);
    /* tools/check wants to see one in every run under a tool. */
    print_message("fiber switches: %u\n", (unsigned)wfi_context_switch_count());
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers_survive_on_both_sides),
        cmocka_unit_test(floating_point_control_is_per_context),
        cmocka_unit_test(nested_frames_survive_between_two_fibers),
        cmocka_unit_test(entry_runs_aligned_inside_its_stack),
        cmocka_unit_test(unwinding_ends_at_the_entry),
        cmocka_unit_test(one_stack_serves_many_contexts),
#if WFI_ASAN
        cmocka_unit_test(an_ended_context_leaves_no_red_zones),
#endif
#ifdef WFI_CONTEXT_COUNTED
        cmocka_unit_test(switches_are_counted),
#endif
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
