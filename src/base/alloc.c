/* SPDX-License-Identifier: MIT */
/*
 * Allocation behind one door. `watching` is read on every call and written only by tests, so the
 * normal price is one load of a cache line nobody writes.
 */
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"

static WFI_ATOMIC(bool) watching;
static _Atomic uint64_t fail_at;
static _Atomic uint64_t count;
static _Atomic int64_t live;

bool wfi_alloc_should_fail(void)
{
    if (!atomic_load_explicit(&watching, memory_order_relaxed))
        return false;
    uint64_t n = atomic_fetch_add_explicit(&count, 1, memory_order_relaxed) + 1;
    return n == atomic_load_explicit(&fail_at, memory_order_relaxed);
}

static void note(int64_t change)
{
    if (atomic_load_explicit(&watching, memory_order_relaxed))
        atomic_fetch_add_explicit(&live, change, memory_order_relaxed);
}

void *wfi_alloc(size_t bytes)
{
    if (wfi_alloc_should_fail())
        return NULL;
    void *ptr = malloc(bytes ? bytes : 1);
    if (ptr)
        note(1);
    return ptr;
}

void *wfi_zalloc(size_t bytes)
{
    if (wfi_alloc_should_fail())
        return NULL;
    void *ptr = calloc(1, bytes ? bytes : 1);
    if (ptr)
        note(1);
    return ptr;
}

void *wfi_zalloc_aligned(size_t align, size_t bytes)
{
    if (wfi_alloc_should_fail())
        return NULL;
    void *ptr = NULL;
    if (posix_memalign(&ptr, align, bytes ? bytes : align))
        return NULL;
    memset(ptr, 0, bytes);
    note(1);
    return ptr;
}

void *wfi_realloc(void *ptr, size_t bytes)
{
    if (wfi_alloc_should_fail())
        return NULL;
    void *grown = realloc(ptr, bytes ? bytes : 1);
    if (grown && !ptr)
        note(1);
    return grown;
}

void wfi_free(void *ptr)
{
    if (ptr)
        note(-1);
    free(ptr);
}

char *wfi_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = wfi_alloc(bytes);
    if (copy)
        memcpy(copy, text, bytes);
    return copy;
}

void wfi_alloc_watch(uint64_t n)
{
    atomic_store(&fail_at, n);
    atomic_store(&count, 0);
    atomic_store(&live, 0);
    atomic_store(&watching, true);
}

bool wfi_alloc_unwatch(void)
{
    atomic_store(&watching, false);
    uint64_t n = atomic_load(&fail_at);
    return n != 0 && atomic_load(&count) >= n;
}

int64_t wfi_alloc_live(void)
{
    return atomic_load(&live);
}
