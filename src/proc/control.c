/* SPDX-License-Identifier: MIT */
#include "proc/control.h"

#include <errno.h>
#include <string.h>

#include "os/ancillary.h"
#include "os/socket.h"

int wfi_control_send(int sock, struct wfi_control *head, const void *bytes, int fd)
{
    struct wfi_control_message message;
    int own = -1;
    if (fd < 0 && head->bytes > sizeof message.payload) {
        own = fd = wfi_ancillary_memory(bytes, head->bytes);
        if (fd < 0)
            return fd;
    }
    head->in_memory = fd >= 0;
    message.head = *head;
    size_t len = sizeof message.head;
    if (fd < 0 && head->bytes) {
        memcpy(message.payload, bytes, head->bytes);
        len += head->bytes;
    }
    int err = wfi_ancillary_send(sock, &message, len, &fd, fd >= 0);
    if (own >= 0)
        wfi_fd_close(own);
    return err;
}

int wfi_control_receive(int sock, struct wfi_control_message *ret_message, int *ret_fd)
{
    int fds[WFI_ANCILLARY_MAX];
    size_t count = 0;
    ssize_t len = wfi_ancillary_receive(sock, ret_message, sizeof *ret_message, fds, &count);
    *ret_fd = count ? fds[0] : -1;
    for (size_t i = 1; i < count; i++)
        wfi_fd_close(fds[i]);
    if (len == -EMSGSIZE)
        return WF_EPROTOCOL;
    if (len <= 0)
        return (int)len;
    const struct wfi_control *head = &ret_message->head;
    bool whole = (size_t)len >= sizeof *head;
    if (whole && head->in_memory)
        whole = *ret_fd >= 0;
    else if (whole)
        whole = head->bytes == (size_t)len - sizeof *head;
    if (whole)
        return 1;
    if (*ret_fd >= 0)
        wfi_fd_close(*ret_fd);
    *ret_fd = -1;
    return WF_EPROTOCOL;
}
