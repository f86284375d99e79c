/* SPDX-License-Identifier: MIT */
#include "os/path.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

int wfi_file_identify(const char *path, struct wfi_file_id *ret_id)
{
    struct stat info;
    if (lstat(path, &info) < 0)
        return -errno;
    *ret_id = (struct wfi_file_id){
        .device = info.st_dev, .inode = info.st_ino, .socket = S_ISSOCK(info.st_mode)};
    return 0;
}

int wfi_file_remove(const char *path)
{
    return unlink(path) < 0 ? -errno : 0;
}
