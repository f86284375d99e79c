/* SPDX-License-Identifier: MIT */
/* The file that a Unix socket leaves in the file system. */
#ifndef WFI_OS_PATH_H
#define WFI_OS_PATH_H

#include <stdbool.h>
#include <stdint.h>

/* What a path names, as long as it is there: two paths with equal ids are one file. */
struct wfi_file_id {
    uint64_t device, inode;
    bool socket; /* it is a socket, not some other file */
};

/* Returns 0 or a negative errno. Does not follow a symbolic link. */
int wfi_file_identify(const char *path, struct wfi_file_id *ret_id);

/* Removes the file's name. Returns 0 or a negative errno. */
int wfi_file_remove(const char *path);

#endif
