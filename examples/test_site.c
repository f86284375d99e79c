/* SPDX-License-Identifier: MIT */
/* Starts and stops `weft site`; plain POSIX, nothing of weft's. */
#include "test_site.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int find_weft(char *path, size_t size)
{
    const char *set = getenv("WEFT");
    if (set)
        return snprintf(path, size, "%s", set) < (int)size ? 0 : -ENAMETOOLONG;
    ssize_t len = readlink("/proc/self/exe", path, size - 1);
    if (len < 0)
        return -errno;
    path[len] = 0;
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(path, '/');
        if (!slash)
            return -ENOENT;
        *slash = 0;
    }
    if (strlen(path) + sizeof("/weft") > size)
        return -ENAMETOOLONG;
    strcat(path, "/weft");
    return 0;
}

/* In the child. The parent may be gone before prctl: then it is no longer the one that forked. */
static _Noreturn void become_site(const char *weft, pid_t parent, int out, const char *kind,
                                  const char *delay)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent &&
        dup2(out, STDOUT_FILENO) >= 0)
        execl(weft, weft, "site", "--kind", kind, "--delay", delay, (char *)NULL);
    dprintf(STDERR_FILENO, "cannot run %s: %s (WEFT may name it)\n", weft, strerror(errno));
    _exit(127);
}

/* The site says its address on its first line, once it can be asked. */
static int read_address(int fd, char *url, size_t size)
{
    FILE *from = fdopen(fd, "r");
    if (!from) {
        close(fd);
        return -ENOMEM;
    }
    char *line = fgets(url, (int)size, from);
    fclose(from);
    if (!line || strncmp(url, "http://", 7) != 0)
        return -EPIPE;
    size_t len = strcspn(url, "\n");
    url[len && url[len - 1] == '/' ? len - 1 : len] = 0;
    return 0;
}

int test_site_start(struct test_site *site, const char *kind, int delay_ms)
{
    char weft[4096], delay[16];
    int pipe_fds[2];
    *site = (struct test_site){0};
    int err = find_weft(weft, sizeof weft);
    if (err || pipe2(pipe_fds, O_CLOEXEC)) {
        err = err ? err : -errno;
        fprintf(stderr, "no test site: %s\n", strerror(-err));
        return err;
    }
    snprintf(delay, sizeof delay, "%d", delay_ms);
    fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become_site(weft, parent, pipe_fds[1], kind, delay);
    close(pipe_fds[1]);
    if (pid < 0) {
        err = -errno;
        close(pipe_fds[0]);
    } else {
        site->pid = pid;
        err = read_address(pipe_fds[0], site->url, sizeof site->url);
    }
    if (err) {
        fprintf(stderr, "the test site did not start: %s\n", strerror(-err));
        test_site_stop(site);
    }
    return err;
}

void test_site_stop(struct test_site *site)
{
    if (site->pid > 0) {
        kill(site->pid, SIGTERM);
        waitpid(site->pid, NULL, 0);
    }
    *site = (struct test_site){0};
}
