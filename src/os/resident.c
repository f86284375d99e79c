/* SPDX-License-Identifier: MIT */
#include "os/resident.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

size_t wfi_resident_bytes(int pid)
{
    char path[48], text[128];
    if (pid)
        snprintf(path, sizeof path, "/proc/%d/statm", pid);
    else
        snprintf(path, sizeof path, "/proc/self/statm");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t len = read(fd, text, sizeof text - 1);
    close(fd);
    unsigned long size, resident;
    if (len <= 0)
        return 0;
    text[len] = '\0';
    return sscanf(text, "%lu %lu", &size, &resident) == 2
               ? (size_t)resident * (size_t)sysconf(_SC_PAGESIZE)
               : 0;
}
