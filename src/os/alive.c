/* SPDX-License-Identifier: MIT */
#include "os/alive.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reads state and start time from /proc/PID/stat. */
static bool look(int pid, char *ret_state, uint64_t *ret_since)
{
    enum { STATE = 3, START = 22 }; /* as proc(5) counts the fields */
    char path[40], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0)
        return false;
    text[length] = '\0';
    char *at = strrchr(text, ')'); /* the name before it may hold anything */
    if (!at || at[1] != ' ')
        return false;
    at += 2;
    *ret_state = *at;
    for (int field = STATE; field < START; field++) {
        at = strchr(at, ' ');
        if (!at)
            return false;
        at++;
    }
    *ret_since = strtoull(at, NULL, 10);
    return true;
}

uint64_t wfi_alive_since(int pid)
{
    char state;
    uint64_t since;
    return look(pid, &state, &since) ? since : 0;
}

bool wfi_alive(int pid, uint64_t since)
{
    char state;
    uint64_t started;
    if (!look(pid, &state, &started))
        return kill(pid, 0) == 0 || errno == EPERM; /* no /proc, or it has ended */
    if (state == 'Z' || state == 'X')
        return false;
    /* An emulator tells a process its own start a tick or so aside of what others see; a number is
     * not used again as quickly as that. */
    uint64_t apart = since > started ? since - started : started - since;
    return !since || !started || apart <= 2;
}

int wfi_alive_self(void)
{
    return getpid();
}
