/* SPDX-License-Identifier: MIT */
#include "os/sanitizer.h"

#include <stdint.h>

#if WFI_ASAN
#include <sanitizer/asan_interface.h>
#endif
#if WFI_TSAN
/* Part of TSan's runtime interface for garbage-collected heaps; in no header of the compilers'. */
void __tsan_java_alloc(uintptr_t low, uintptr_t bytes);
void __tsan_java_free(uintptr_t low, uintptr_t bytes);
#endif
#ifdef WFI_HAVE_VALGRIND
#include <valgrind/valgrind.h>
#endif

void wfi_sanitizer_unpoison(void *low, size_t bytes)
{
#if WFI_ASAN
    __asan_unpoison_memory_region(low, bytes);
#else
    (void)low;
    (void)bytes;
#endif
}

void wfi_sanitizer_forget(void *low, size_t bytes)
{
#if WFI_TSAN
    /* Declared newly allocated, which drops what was recorded; then freed, so that no report calls
     * it a heap block. The first free takes away synchronisation objects left in it. */
    uintptr_t begin = ((uintptr_t)low + 7) & ~(uintptr_t)7;
    uintptr_t end = ((uintptr_t)low + bytes) & ~(uintptr_t)7;
    __tsan_java_free(begin, end - begin);
    __tsan_java_alloc(begin, end - begin);
    __tsan_java_free(begin, end - begin);
#else
    (void)low;
    (void)bytes;
#endif
}

bool wfi_under_valgrind(void)
{
#ifdef WFI_HAVE_VALGRIND
    return RUNNING_ON_VALGRIND != 0;
#else
    return false;
#endif
}
