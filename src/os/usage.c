/* SPDX-License-Identifier: MIT */
/* The calling process in /proc/self; proc(5) has the fields. */
#include <weft/usage.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int read_stat(struct wf_usage *ret)
{
    char text[1024];
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t len = read(fd, text, sizeof text - 1);
    int err = len < 0 ? -errno : 0;
    close(fd);
    if (err)
        return err;
    text[len] = '\0';
    /* The second field is the name in brackets, which may hold brackets and blanks. */
    const char *fields = strrchr(text, ')');
    unsigned long long threads, start, bytes, pages;
    if (!fields || sscanf(fields,
                          ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d "
                          "%*d %llu %*d %llu %llu %llu",
                          &threads, &start, &bytes, &pages) != 4)
        return WF_EPARSE;
    int64_t tick_ns = 1000000000 / sysconf(_SC_CLK_TCK);
    ret->cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID); /* the fields count in ticks */
    ret->started_ns =
        clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME) + (int64_t)start * tick_ns;
    ret->threads = threads;
    ret->virtual_bytes = bytes;
    ret->resident_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return 0;
}

static int count_descriptors(struct wf_usage *ret)
{
    struct rlimit limit;
    uint64_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return -errno;
    for (struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    closedir(folder);
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    ret->descriptors = count - 1; /* without the one of the folder */
    ret->descriptors_max = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
    return 0;
}

int wf_usage_read(struct wf_usage *ret_usage)
{
    struct wf_usage usage;
    int err = read_stat(&usage);
    if (!err)
        err = count_descriptors(&usage);
    if (!err)
        *ret_usage = usage;
    return err;
}
