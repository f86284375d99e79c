/* SPDX-License-Identifier: MIT */
#include "os/ancillary.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef WFI_HAVE_VALGRIND
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MAKE_MEM_DEFINED(at, len) ((void)0)
#endif

/* Aligned as the headers inside must be. */
union control {
    char bytes[CMSG_SPACE(sizeof(int) * WFI_ANCILLARY_MAX)];
    struct cmsghdr header;
};

int wfi_ancillary_pair(int ret_fds[2])
{
    int err = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret_fds);
    return err < 0 ? -errno : 0;
}

int wfi_ancillary_send(int fd, const void *buf, size_t len, const int *fds, size_t fd_count)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    union control control;
    if (fd_count) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
    }
    /* Between the members of structures that are sent there may be nothing. */
    (void)VALGRIND_MAKE_MEM_DEFINED(buf, len);
    ssize_t sent;
    do
        sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

ssize_t wfi_ancillary_receive(int fd, void *buf, size_t room, int *ret_fds, size_t *ret_count)
{
    struct iovec part = {.iov_base = buf, .iov_len = room};
    union control control;
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t got;
    *ret_count = 0;
    do
        got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == ECONNRESET ? 0 : -errno; /* it left something unread behind */
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&message); h; h = CMSG_NXTHDR(&message, h))
        if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS) {
            *ret_count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(ret_fds, CMSG_DATA(h), *ret_count * sizeof(int));
        }
    if (message.msg_flags & MSG_TRUNC) {
        for (size_t i = 0; i < *ret_count; i++)
            close(ret_fds[i]);
        *ret_count = 0;
        return -EMSGSIZE;
    }
    return got;
}

int wfi_ancillary_memory(const void *bytes, size_t len)
{
    int fd = memfd_create("weft", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    (void)VALGRIND_MAKE_MEM_DEFINED(bytes, len); /* as above */
    for (size_t done = 0; done < len;) {
        ssize_t wrote = write(fd, (const char *)bytes + done, len - done);
        if (wrote > 0) {
            done += (size_t)wrote;
        } else if (wrote == 0 || errno != EINTR) {
            int err = wrote ? -errno : -ENOSPC;
            close(fd);
            return err;
        }
    }
    return fd;
}

void *wfi_ancillary_map(int fd, size_t len)
{
    void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    return at == MAP_FAILED ? NULL : at;
}
