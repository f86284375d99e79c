/* SPDX-License-Identifier: MIT */
/*
 * Files, opened for reading or to be appended to. These calls may wait for a disk or a network:
 * callers make them on threads that may. Errors are negative errno.
 */
#ifndef WFI_OS_FILE_H
#define WFI_OS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct wfi_file_info {
    int64_t bytes;
    int64_t modified_ns; /* since 1970 */
    uint64_t device, inode;
    bool directory;
};

/*
 * Opens a regular file or a directory. Returns 0, or the error; -EINVAL for what is neither (a
 * pipe, a device), which is not waited for.
 */
int wfi_file_open(const char *path, int *ret_fd, struct wfi_file_info *ret_info);

/*
 * The same, where the kernel finds the path in memory, so that no disk is waited for. -EAGAIN where
 * it does not, or cannot tell (before Linux 5.12, or a filter of system calls).
 */
int wfi_file_open_cached(const char *path, int *ret_fd, struct wfi_file_info *ret_info);

/*
 * Opens a file to write at its end, made if there is none; "-" is standard output, duplicated.
 * Returns 0, or the error; -EINVAL for a socket, and for a pipe that nobody reads.
 */
int wfi_file_append(const char *path, int *ret_fd, struct wfi_file_info *ret_info);

/*
 * Opens a new file in a folder, without a name, to be read and written at its end: it is gone when
 * it is closed, however that happens. Returns 0, or the error.
 */
int wfi_file_temporary(const char *folder, int *ret_fd);

/* The count written, at least one, or the error. */
ssize_t wfi_file_write(int fd, const void *data, size_t len);

/* The same facts without opening. Follows symbolic links. */
int wfi_file_look(const char *path, struct wfi_file_info *ret_info);

/* The count of bytes, 0 at the end, or the error. */
ssize_t wfi_file_read_at(int fd, void *buf, size_t len, int64_t offset);

/* The same with what is in memory: perhaps less than asked for, -EAGAIN for nothing. */
ssize_t wfi_file_read_cached(int fd, void *buf, size_t len, int64_t offset);

/*
 * Calls `each` with every name of a directory but "." and "..", in no order, until it returns
 * something else than 0. `path` is the directory's, for the facts about its files; what vanishes
 * meanwhile is passed over. Returns 0, what `each` returned, or the error.
 */
int wfi_file_list(const char *path,
                  int (*each)(void *arg, const char *name, const struct wfi_file_info *info),
                  void *arg);

#endif
