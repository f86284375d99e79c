/* SPDX-License-Identifier: MIT */
#include "os/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "os/sanitizer.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* In place of a descriptor: this process (linux/pidfd.h, too new to be included). */
#define PIDFD_OF_SELF (-10000)

/* By mprotect a guard in the middle of a mapping makes three of one. */
#define MAPPINGS_PER_GUARD 2

/* What the kernel uses when nobody changed it. */
#define MAX_MAP_COUNT_DEFAULT 65530

static WFI_ATOMIC(size_t) guards_max; /* 0: not looked yet; SIZE_MAX: by madvise */
static WFI_ATOMIC(size_t) guards;     /* made by mprotect and not released */

size_t wfi_page_bytes(void)
{
    static WFI_ATOMIC(size_t) bytes;
    size_t known = wfi_load_relaxed(&bytes); /* relaxed: all writers write the same number */
    if (!known) {
        known = (size_t)sysconf(_SC_PAGESIZE);
        wfi_store_relaxed(&bytes, known);
    }
    return known;
}

static void *map(size_t bytes)
{
    if (wfi_alloc_should_fail())
        return NULL;
    void *low = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return low == MAP_FAILED ? NULL : low;
}

int wfi_memory_reserve(size_t bytes, size_t align, void **ret_low)
{
    char *low = map(bytes);
    if (!low)
        return -ENOMEM;
    if ((uintptr_t)low & (align - 1)) {
        /* Not aligned by luck (the next slab below the last one often is): take more and trim. */
        munmap(low, bytes);
        if (bytes > SIZE_MAX - align || !(low = map(bytes + align)))
            return -ENOMEM;
        size_t skip = (size_t)(-(uintptr_t)low & (align - 1));
        if (skip)
            munmap(low, skip);
        low += skip;
        if (align > skip)
            munmap(low + bytes, align - skip);
    }
    *ret_low = low;
    return 0;
}

static int one_by_one(const struct iovec *ranges, int count, int advice)
{
    int done = 0;
    while (done < count && madvise(ranges[done].iov_base, ranges[done].iov_len, advice) == 0)
        done++;
    return done;
}

/* Returns how many of the ranges, from the first on, took the advice; errno says why not more. */
static int advise(const struct iovec *ranges, int count, int advice)
{
    static WFI_ATOMIC(bool) single; /* the kernel wants them one by one */
    wfi_debug_assert(count <= WFI_MEMORY_RANGES_MAX, "ranges come in small numbers");
    /* relaxed: a hint that everybody finds out for himself */
    if (count == 1 || wfi_load_relaxed(&single) || wfi_under_valgrind())
        return one_by_one(ranges, count, advice);
    ssize_t bytes = syscall(SYS_process_madvise, PIDFD_OF_SELF, ranges, (size_t)count, advice, 0u);
    if (bytes < 0) {
        if (errno != ENOMEM)
            wfi_store_relaxed(&single, true);
        bytes = 0;
    }
    int done = 0;
    while (done < count && (size_t)bytes >= ranges[done].iov_len)
        bytes -= (ssize_t)ranges[done++].iov_len;
    return done + one_by_one(ranges + done, count - done, advice);
}

void wfi_memory_commit(const struct iovec *ranges, int count)
{
    advise(ranges, count, MADV_POPULATE_WRITE);
}

void wfi_memory_decommit(const struct iovec *ranges, int count)
{
    wfi_assert(advise(ranges, count, MADV_DONTNEED) == count,
               "only whole reserved pages are decommitted");
}

void wfi_memory_release(void *low, size_t bytes, size_t guard_count)
{
    if (!low)
        return;
    wfi_assert(munmap(low, bytes) == 0, "a reservation is released as it was made");
    if (wfi_load_relaxed(&guards_max) != SIZE_MAX) /* relaxed: set before the first guard */
        wfi_fetch_sub(&guards, guard_count);
}

int wfi_memory_share(size_t bytes, void **ret_low)
{
    if (wfi_alloc_should_fail())
        return -ENOMEM;
    void *low = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (low == MAP_FAILED)
        return -ENOMEM;
    madvise(low, bytes, MADV_DONTDUMP);
    *ret_low = low;
    return 0;
}

/* The call alone does not tell: an emulator may take any advice for a hint and ignore it. */
static bool removal_works(void)
{
    size_t page = wfi_page_bytes();
    char *low = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (low == MAP_FAILED)
        return false;
    *(volatile char *)low = 1;
    bool works = madvise(low, page, MADV_REMOVE) == 0 && *(volatile char *)low == 0;
    munmap(low, page);
    return works;
}

void wfi_memory_unshare_pages(void *low, size_t bytes)
{
    static WFI_ATOMIC(int) works;         /* 0: not looked yet; 1: no; 2: yes */
    int known = wfi_load_relaxed(&works); /* relaxed: all writers write the same number */
    if (!known) {
        known = removal_works() ? 2 : 1;
        wfi_store_relaxed(&works, known);
    }
    if (known == 1 || madvise(low, bytes, MADV_REMOVE) != 0)
        memset(low, 0, bytes);
}

size_t wfi_memory_resident(void *low, size_t bytes)
{
    enum { AT_ONCE = 4096 };
    unsigned char there[AT_ONCE];
    size_t page = wfi_page_bytes(), found = 0;
    for (size_t at = 0; at < bytes; at += AT_ONCE * page) {
        size_t length = bytes - at < AT_ONCE * page ? bytes - at : AT_ONCE * page;
        if (mincore((char *)low + at, length, there) != 0)
            return found;
        for (size_t i = 0; i < (length + page - 1) / page; i++)
            found += there[i] & 1 ? page : 0;
    }
    return found;
}

/*
 * Whether a guard really guards. The call alone does not tell: an emulator may take any advice for
 * a hint and ignore it. So the kernel is asked to read a path name from the guarded page.
 */
static bool guard_advice_works(void)
{
    if (wfi_under_valgrind())
        return false; /* it would read the page itself, and die of it */
    size_t page = wfi_page_bytes();
    void *low = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (low == MAP_FAILED)
        return false;
    bool works = madvise(low, page, MADV_GUARD_INSTALL) == 0 &&
                 syscall(SYS_faccessat, AT_FDCWD, low, F_OK) == -1 && errno == EFAULT;
    munmap(low, page);
    return works;
}

static size_t guards_by_mprotect(void)
{
    long maps = 0;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    if (file) {
        if (fscanf(file, "%ld", &maps) != 1)
            maps = 0;
        fclose(file);
    }
    if (maps <= 0)
        maps = MAX_MAP_COUNT_DEFAULT;
    size_t max = (size_t)maps / 2 / MAPPINGS_PER_GUARD;
    return max ? max : 1;
}

size_t wfi_memory_guards_max(void)
{
    size_t max = wfi_load_relaxed(&guards_max); /* relaxed: all writers write the same number */
    if (!max) {
        max = guard_advice_works() ? SIZE_MAX : guards_by_mprotect();
        wfi_store_relaxed(&guards_max, max);
    }
    return max;
}

void wfi_memory_guards_limit(size_t max)
{
    wfi_assert(wfi_load(&guards) == 0, "the kind of guard changes only while there is none");
    wfi_store(&guards_max, max);
}

int wfi_memory_guard(const struct iovec *ranges, int count)
{
    if (wfi_alloc_should_fail())
        return -ENOMEM;
    size_t max = wfi_memory_guards_max();
    if (max == SIZE_MAX) {
        int made = advise(ranges, count, MADV_GUARD_INSTALL);
        return made ? made : -ENOMEM;
    }
    /* One at a time: here each of them takes from something scarce. */
    if (wfi_fetch_add(&guards, 1) >= max) {
        wfi_fetch_sub(&guards, 1);
        return -ENOSPC;
    }
    if (mprotect(ranges[0].iov_base, ranges[0].iov_len, PROT_NONE) != 0) {
        wfi_fetch_sub(&guards, 1);
        return -ENOMEM;
    }
    return 1;
}
