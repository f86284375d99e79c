/* SPDX-License-Identifier: MIT */
#include "get/save.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void save_name(char ret_name[static SAVE_NAME_BYTES], const char *url, unsigned number)
{
    const char *at = strstr(url, "://");
    size_t len = 0;
    for (at = at ? at + 3 : url; *at && *at != '#' && len < SAVE_NAME_BYTES - 16; at++)
        ret_name[len++] = (char)(isalnum((unsigned char)*at) || strchr(".-_", *at) ? *at : '_');
    while (len > 1 && ret_name[len - 1] == '_')
        len--;
    ret_name[len] = '\0';
    if (len == 0 || ret_name[0] == '.') /* no hidden file, no ".." */
        ret_name[0] = '_', len = len ? len : 1;
    if (number > 1)
        snprintf(ret_name + len, SAVE_NAME_BYTES - len, ".%u", number);
    else
        ret_name[len] = '\0';
}

static int write_whole(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int save_body(const char *directory, const char *name, const void *body, size_t len,
              struct wf_error *reterr)
{
    char part[4096], path[4096];
    int room = snprintf(part, sizeof part, "%s/%s.part", directory, name);
    if (room < 0 || (size_t)room >= sizeof part)
        return wf_error_set(reterr, -ENAMETOOLONG, "%s/%s: the name is too long", directory, name);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return wf_error_set(reterr, -errno, "cannot write %s: %s", part, wf_strerror(-errno));
    int err = write_whole(fd, body, len);
    if (close(fd) && !err)
        err = -errno;
    if (!err && rename(part, path))
        err = -errno;
    if (err)
        unlink(part);
    return err ? wf_error_set(reterr, err, "cannot write %s: %s", path, wf_strerror(err)) : 0;
}
