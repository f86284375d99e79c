/* SPDX-License-Identifier: MIT */
#include "os/pollset.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

int wfi_pollset_open(void)
{
    int set = epoll_create1(EPOLL_CLOEXEC);
    return set < 0 ? -errno : set;
}

int wfi_pollset_add(int set, int fd, bool write, int number)
{
    struct epoll_event event = {.events = write ? EPOLLOUT : EPOLLIN, .data.u32 = (uint32_t)number};
    return epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void wfi_pollset_remove(int set, int fd)
{
    epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL);
}

unsigned wfi_pollset_look(int set)
{
    struct epoll_event events[8];
    unsigned ready = 0;
    int count;
    do
        count = epoll_wait(set, events, sizeof events / sizeof *events, 0);
    while (count < 0 && errno == EINTR);
    for (int i = 0; i < count; i++)
        ready |= 1u << events[i].data.u32;
    return ready;
}
