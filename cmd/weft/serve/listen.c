/* SPDX-License-Identifier: MIT */
#include "serve/listen.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_PASSED 3

/* Returns -1 for what is no number. */
static int read_number(const char *text)
{
    char *end;
    if (!text || *text < '0' || *text > '9')
        return -1;
    errno = 0;
    long n = strtol(text, &end, 10);
    return errno || *end || n > INT_MAX - FIRST_PASSED ? -1 : (int)n;
}

/* Returns how many were passed, or an error. */
static int add_passed(struct wf_server *server, struct wf_error *reterr)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    int count = 0, err = 0;
    /* The number of another process: they were meant for a parent of ours. */
    if (pid && fds && read_number(pid) == getpid()) {
        count = read_number(fds);
        if (count < 0)
            err = wf_error_set(reterr, -EINVAL, "LISTEN_FDS is \"%.100s\"", fds);
    }
    for (int i = 0; i < count && !err; i++)
        err = wf_server_adopt(server, FIRST_PASSED + i, reterr);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return err ? err : count;
}

int listen_add(struct wf_server *server, const char *endpoint, const char *otherwise,
               struct wf_error *reterr)
{
    int passed = add_passed(server, reterr);
    if (passed < 0)
        return passed;
    if (!endpoint && passed > 0)
        return 0;
    if (!endpoint)
        endpoint = otherwise;
    if (strncmp(endpoint, "fd:", 3) != 0)
        return wf_server_listen(server, endpoint, NULL, reterr);
    int fd = read_number(endpoint + 3);
    if (fd < 0)
        return wf_error_set(reterr, -EINVAL, "%.100s: not in the form fd:NUMBER", endpoint);
    return wf_server_adopt(server, fd, reterr);
}
