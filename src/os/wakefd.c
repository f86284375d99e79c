/* SPDX-License-Identifier: MIT */
#include "os/wakefd.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

int wfi_wakefd_open(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

void wfi_wakefd_close(int fd)
{
    close(fd);
}

void wfi_wakefd_set(int fd)
{
    int saved = errno;
    uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
    errno = saved;
}

void wfi_wakefd_clear(int fd)
{
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
}

int wfi_wakefd_poll(int wakefd, int fd, short events, wf_deadline deadline)
{
    struct pollfd fds[2] = {{.fd = fd, .events = events}, {.fd = wakefd, .events = POLLIN}};
    struct timespec left, *timeout = NULL;
    int64_t ns = wf_remaining(deadline);
    if (ns != INT64_MAX) {
        left.tv_sec = ns / 1000000000;
        left.tv_nsec = ns % 1000000000;
        timeout = &left;
    }
    int count = ppoll(fds, 2, timeout, NULL);
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    if (fds[0].revents & POLLNVAL)
        return -EBADF;
    return fds[0].revents != 0;
}
