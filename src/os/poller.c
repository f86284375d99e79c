/* SPDX-License-Identifier: MIT */
/*
 * The poller on epoll.
 *
 * Waking: `woken` says that a byte is on its way. The waker that turns it from 0 to 1 writes to the
 * eventfd; the rest need not. The waiter turns it back when it has seen the eventfd's event, before
 * it returns, so a wake that found 1 is covered by that return. The eventfd is edge-triggered and
 * never read: one write is one event, and a counter of 64 bits does not fill up one wait at a time.
 */
#include "os/poller.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "os/sanitizer.h"

/* Events fetched by one system call; a wait for more is answered in several. */
#define BATCH 64

struct wfi_poller {
    int epoll_fd;
    int wake_fd;
    WFI_ATOMIC(int) woken;
    /* The kernel has no wait in nanoseconds (before 5.11, or a tool that does not know the call).
     * Written and read by the waiting thread only. */
    bool milliseconds;
};

int wfi_poller_create(struct wfi_poller **ret_poller, struct wf_error *reterr)
{
    struct wfi_poller *p = wfi_zalloc(sizeof *p);
    if (!p)
        return wf_error_set(reterr, -ENOMEM, NULL);
    p->wake_fd = -1;
    p->milliseconds = wfi_under_valgrind(); /* which answers ENOSYS, with a page of complaint */
    p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int err = p->epoll_fd < 0 ? -errno : 0;
    if (!err) {
        p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        err = p->wake_fd < 0 ? -errno : 0;
    }
    if (!err) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = p};
        err = epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, p->wake_fd, &event) < 0 ? -errno : 0;
    }
    if (err) {
        wfi_poller_destroy(p);
        return wf_error_set(reterr, err, "poller: %s", wf_strerror(err));
    }
    *ret_poller = p;
    return 0;
}

void wfi_poller_destroy(struct wfi_poller *p)
{
    if (!p)
        return;
    if (p->wake_fd >= 0)
        close(p->wake_fd);
    if (p->epoll_fd >= 0)
        close(p->epoll_fd);
    wfi_free(p);
}

int wfi_poller_add(struct wfi_poller *p, int fd, void *tag)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = tag};
    return epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int wfi_poller_remove(struct wfi_poller *p, int fd)
{
    /* Kernels before 2.6.9 want an event even here; NULL is right everywhere weft runs. */
    return epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, fd, NULL) < 0 ? -errno : 0;
}

int wfi_poller_watch(struct wfi_poller *p, int fd, uint32_t interest, void *tag)
{
    if (!interest)
        return wfi_poller_remove(p, fd);
    struct epoll_event event = {.data.ptr = tag};
    if (interest & WFI_POLL_READ)
        event.events |= EPOLLIN | EPOLLRDHUP;
    if (interest & WFI_POLL_WRITE)
        event.events |= EPOLLOUT;
    /* A library may close a descriptor and get the same number for the next one without a word in
     * between; the registration went with the old one, so changing it fails and adding is right. */
    if (epoll_ctl(p->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
        return 0;
    if (errno != ENOENT)
        return -errno;
    return epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int wait_milliseconds(int64_t left_ns)
{
    if (left_ns == INT64_MAX)
        return -1;
    /* Rounded up: returning early would make the caller spin until the deadline. */
    int64_t left_ms = left_ns / 1000000 + (left_ns % 1000000 != 0);
    return left_ms > INT32_MAX ? INT32_MAX : (int)left_ms;
}

static int wait_for(struct wfi_poller *p, struct epoll_event *events, int max, wf_deadline deadline)
{
    int64_t left_ns = wf_remaining(deadline);
    if (!p->milliseconds && left_ns != 0 && left_ns != INT64_MAX) {
        struct timespec left = {.tv_sec = (time_t)(left_ns / 1000000000),
                                .tv_nsec = (long)(left_ns % 1000000000)};
        int n = epoll_pwait2(p->epoll_fd, events, max, &left, NULL);
        if (n >= 0 || errno != ENOSYS)
            return n;
        p->milliseconds = true;
    }
    return epoll_wait(p->epoll_fd, events, max, wait_milliseconds(left_ns));
}

static uint32_t ready_bits(uint32_t events)
{
    uint32_t ready = 0;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI))
        ready |= WFI_POLL_READ;
    if (events & EPOLLOUT)
        ready |= WFI_POLL_WRITE;
    if (events & (EPOLLERR | EPOLLHUP))
        ready |= WFI_POLL_READ | WFI_POLL_WRITE | WFI_POLL_ERROR;
    if (events & (EPOLLRDHUP | EPOLLPRI | EPOLLERR | EPOLLHUP))
        ready |= WFI_POLL_EVENTFUL;
    return ready;
}

int wfi_poller_wait(struct wfi_poller *p, struct wfi_poll_event *events, int max,
                    wf_deadline deadline)
{
    struct epoll_event fetched[BATCH];
    int n = wait_for(p, fetched, max < BATCH ? max : BATCH, deadline);
    wfi_assert(n >= 0 || errno == EINTR, "a poller is destroyed after its last wait");
    int count = 0;
    for (int i = 0; i < n; i++) {
        if (fetched[i].data.ptr == p) {
            wfi_exchange(&p->woken, 0);
            continue;
        }
        events[count].tag = fetched[i].data.ptr;
        events[count].ready = ready_bits(fetched[i].events);
        count++;
    }
    return count;
}

void wfi_poller_wake(struct wfi_poller *p)
{
    if (wfi_exchange(&p->woken, 1))
        return;
    int saved = errno; /* a signal handler may be running in the middle of other code */
    uint64_t one = 1;
    ssize_t n = write(p->wake_fd, &one, sizeof one);
    (void)n; /* cannot fail: the descriptor is ours and its counter never fills */
    errno = saved;
}
