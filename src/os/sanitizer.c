/* SPDX-License-Identifier: MIT */
#include "os/sanitizer.h"

#if WFI_ASAN
#include <sanitizer/asan_interface.h>
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

bool wfi_under_valgrind(void)
{
#ifdef WFI_HAVE_VALGRIND
    return RUNNING_ON_VALGRIND != 0;
#else
    return false;
#endif
}
