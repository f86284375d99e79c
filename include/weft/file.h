/* SPDX-License-Identifier: MIT */
/*
 * Files, opened for reading. What the system has in memory is had at once, where it can tell that
 * it has it (Linux 5.12); for all else the file system is asked on a thread of the offload pool, so
 * a fiber that opens a file on a slow disk holds up no other.
 */
#ifndef WEFT_FILE_H
#define WEFT_FILE_H

#include <weft/error.h>

WF_BEGIN_DECLS

struct wf_file;

struct wf_file_info {
    int64_t bytes;
    int64_t modified_ns; /* since 1970 */
    uint64_t device, inode;
    bool directory;
};

/*
 * Opens a regular file or a directory.
 *
 * ret_file   receives the file; the caller owns it and closes it
 * ret_info   receives what it is; may be NULL
 *
 * Returns 0, or
 *   -EINVAL   it is neither (a pipe, a device, a socket)
 *   -ENOENT, -EACCES, -ENOTDIR, -ELOOP, -ENAMETOOLONG, -EMFILE, -ENFILE, -EIO
 *   -EAGAIN   no thread could be started to ask
 *   -ENOMEM
 * Context: thread or fiber; not cancelable.
 */
WF_API int wf_file_open(const char *path, struct wf_file **ret_file, struct wf_file_info *ret_info);

/*
 * What a path names now. Symbolic links are followed.
 *
 * Returns as wf_file_open.
 * Context: thread or fiber; not cancelable.
 */
WF_API int wf_file_look(const char *path, struct wf_file_info *ret_info);

/*
 * Reads what stands at `offset`, up to `len` bytes.
 *
 * Returns the count, 0 at the end, or
 *   -EISDIR   it is a directory
 *   -EIO, -EAGAIN (no thread)
 * Context: thread or fiber; any number of callers; not cancelable.
 */
WF_API ssize_t wf_file_read(struct wf_file *file, void *buf, size_t len, int64_t offset);

/*
 * Lists a directory, without "." and "..", in no order: `each` is called for every regular file and
 * directory, on another thread, while the caller waits; it must not call weft's functions that
 * wait. What it returns ends the list unless it is 0.
 *
 * Returns 0, what `each` returned, or -ENOENT, -EACCES, -ENOTDIR, -EMFILE, -EAGAIN, -ENOMEM, -EIO.
 * Context: thread or fiber; not cancelable.
 */
WF_API int wf_file_list(const char *path,
                        int (*each)(void *arg, const char *name, const struct wf_file_info *info),
                        void *arg);

/*
 * Opens a file to write at its end; it is made if there is none. What is written lands behind what
 * others write meanwhile, not among it.
 *
 * path       "-" is standard output
 * ret_file   receives the file; the caller owns it and closes it
 * ret_info   receives what it is, all zero for what is no regular file; may be NULL
 *
 * Returns 0, or
 *   -EINVAL   a socket, or a pipe that nobody reads
 * or as wf_file_open.
 * Context: thread or fiber; not cancelable.
 */
WF_API int wf_file_append(const char *path, struct wf_file **ret_file,
                          struct wf_file_info *ret_info);

/*
 * Writes at the end of a file that was opened for that.
 *
 * Returns the count, at least 1, which may be less than `len`, or
 *   -ENOSPC, -EDQUOT, -EFBIG, -EIO, -EPIPE (nobody reads the pipe), -EBADF (opened for reading),
 *   -EAGAIN (no thread, or a pipe that is full and does not wait)
 * Context: thread or fiber; not cancelable.
 */
WF_API ssize_t wf_file_write(struct wf_file *file, const void *data, size_t len);

/*
 * Closes it. NULL is fine.
 * Context: any, never blocks; once, when nobody uses it.
 */
WF_API void wf_file_close(struct wf_file *file);

WF_END_DECLS

#endif
