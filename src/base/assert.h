/* SPDX-License-Identifier: MIT */
/*
 * wfi_assert: programmer errors, on in release builds too; the message names the rule that was
 * broken. wfi_debug_assert: invariants too costly for release.
 */
#ifndef WFI_BASE_ASSERT_H
#define WFI_BASE_ASSERT_H

_Noreturn void wfi_assert_fail(const char *rule, const char *file, int line);

#define wfi_assert(condition, rule)                      \
    do {                                                 \
        if (__builtin_expect(!(condition), 0))           \
            wfi_assert_fail((rule), __FILE__, __LINE__); \
    } while (0)

#ifdef WFI_DEBUG
#define wfi_debug_assert(condition, rule) wfi_assert(condition, rule)
#else
#define wfi_debug_assert(condition, rule) ((void)sizeof(condition))
#endif

#define wfi_likely(x) __builtin_expect(!!(x), 1)
#define wfi_unlikely(x) __builtin_expect(!!(x), 0)

#define wfi_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
