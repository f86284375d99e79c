/* SPDX-License-Identifier: MIT */
#include "os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/atomic.h"

/* Of <linux/openat2.h>, which older systems lack. */
struct open_how {
    uint64_t flags, mode, resolve;
};
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
enum { CACHED_ONLY = 0x20 };

/* O_NONBLOCK: a named pipe is refused below, not waited for. */
enum { OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

static int describe(const struct stat *st, struct wfi_file_info *ret_info)
{
    if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
        return -EINVAL;
    *ret_info = (struct wfi_file_info){
        .bytes = st->st_size,
        .modified_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
        .device = st->st_dev,
        .inode = st->st_ino,
        .directory = S_ISDIR(st->st_mode),
    };
    return 0;
}

/* Of an open that returned `fd`, with errno. */
static int opened(int fd, int *ret_fd, struct wfi_file_info *ret_info)
{
    struct stat st;
    if (fd < 0)
        return errno == ENXIO ? -EINVAL : -errno; /* ENXIO: a socket */
    int err = fstat(fd, &st) < 0 ? -errno : describe(&st, ret_info);
    if (err)
        close(fd);
    else
        *ret_fd = fd;
    return err;
}

int wfi_file_open(const char *path, int *ret_fd, struct wfi_file_info *ret_info)
{
    int fd;
    do
        fd = open(path, OPEN_FLAGS);
    while (fd < 0 && errno == EINTR);
    return opened(fd, ret_fd, ret_info);
}

int wfi_file_open_cached(const char *path, int *ret_fd, struct wfi_file_info *ret_info)
{
    static WFI_ATOMIC(bool) missing;
    struct open_how how = {.flags = OPEN_FLAGS, .resolve = CACHED_ONLY};
    if (wfi_load_relaxed(&missing))
        return -EAGAIN;
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM || errno == EINVAL)) {
        wfi_store_relaxed(&missing, true); /* each will say the same again */
        return -EAGAIN;
    }
    if (fd < 0 && errno == EINTR)
        return -EAGAIN;
    return opened(fd, ret_fd, ret_info);
}

int wfi_file_append(const char *path, int *ret_fd, struct wfi_file_info *ret_info)
{
    struct stat st;
    int fd;
    do
        fd = strcmp(path, "-") == 0
                 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
                 : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                        0666);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return errno == ENXIO ? -EINVAL : -errno;
    *ret_info = (struct wfi_file_info){0};
    if (fstat(fd, &st) == 0)
        (void)describe(&st, ret_info); /* a device or a pipe has no facts */
    *ret_fd = fd;
    return 0;
}

/* For a file system without O_TMPFILE: a name that is taken away at once. */
static int unlinked(const char *folder)
{
    char path[4096];
    int len = snprintf(path, sizeof path, "%s/weft-XXXXXX", folder);
    if (len < 0 || (size_t)len >= sizeof path)
        return -ENAMETOOLONG;
    int fd = mkostemp(path, O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = unlink(path) < 0 ? -errno : 0;
    if (err)
        close(fd);
    return err ? err : fd;
}

int wfi_file_temporary(const char *folder, int *ret_fd)
{
    int fd;
    do
        fd = open(folder, O_TMPFILE | O_EXCL | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
    while (fd < 0 && errno == EINTR);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
        fd = unlinked(folder);
    else if (fd < 0)
        fd = -errno;
    if (fd < 0)
        return fd;
    *ret_fd = fd;
    return 0;
}

ssize_t wfi_file_write(int fd, const void *data, size_t len)
{
    ssize_t n;
    do
        n = write(fd, data, len);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n == 0 && len ? -EIO : n;
}

int wfi_file_look(const char *path, struct wfi_file_info *ret_info)
{
    struct stat st;
    return stat(path, &st) < 0 ? -errno : describe(&st, ret_info);
}

ssize_t wfi_file_read_at(int fd, void *buf, size_t len, int64_t offset)
{
    ssize_t n;
    do
        n = pread(fd, buf, len, offset);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t wfi_file_read_cached(int fd, void *buf, size_t len, int64_t offset)
{
    struct iovec part = {buf, len};
    ssize_t n = preadv2(fd, &part, 1, offset, RWF_NOWAIT);
    if (n >= 0)
        return n;
    /* Not every file system can tell. */
    return errno == EINTR || errno == EOPNOTSUPP || errno == ENOSYS ? -EAGAIN : -errno;
}

int wfi_file_list(const char *path,
                  int (*each)(void *arg, const char *name, const struct wfi_file_info *info),
                  void *arg)
{
    struct dirent *entry;
    int err = 0;
    DIR *folder = opendir(path);
    if (!folder)
        return -errno;
    for (;;) {
        struct stat st;
        struct wfi_file_info info;
        errno = 0;
        entry = readdir(folder);
        if (!entry) {
            err = -errno; /* 0 at the end */
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(dirfd(folder), entry->d_name, &st, 0) < 0 || describe(&st, &info))
            continue;
        err = each(arg, entry->d_name, &info);
        if (err)
            break;
    }
    closedir(folder);
    return err;
}
