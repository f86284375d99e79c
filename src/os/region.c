/* SPDX-License-Identifier: MIT */
#include "os/region.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

int wfi_region_create(size_t bytes)
{
    if (wfi_alloc_should_fail())
        return -ENOMEM;
    int fd = memfd_create("weft", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)bytes)) {
        int err = -errno;
        close(fd);
        return err;
    }
    return fd;
}

int wfi_region_fix_size(int fd)
{
    return fcntl(fd, F_ADD_SEALS, SIZE_SEALS) ? -errno : 0;
}

int wfi_region_freeze(int fd)
{
    return fcntl(fd, F_ADD_SEALS, SIZE_SEALS | F_SEAL_WRITE | F_SEAL_SEAL) ? -errno : 0;
}

ssize_t wfi_region_frozen_bytes(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat status;
    if (seals < 0 || (seals & (SIZE_SEALS | F_SEAL_WRITE)) != (SIZE_SEALS | F_SEAL_WRITE) ||
        fstat(fd, &status))
        return -EPERM;
    return (ssize_t)status.st_size;
}

void *wfi_region_map(int fd, size_t bytes, bool shared)
{
    if (wfi_alloc_should_fail())
        return NULL;
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_NORESERVE, fd, 0);
    return at == MAP_FAILED ? NULL : at;
}

void wfi_region_unmap(void *at, size_t bytes)
{
    if (at)
        munmap(at, bytes);
}
