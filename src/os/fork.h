/* SPDX-License-Identifier: MIT */
/*
 * Whether this process is a child that the program made by fork. Of all threads only the one that
 * forked goes on in it, so whoever would have to wait for another waits for ever, and a lock that
 * another held stays held: calls that may block ask first.
 */
#ifndef WFI_OS_FORK_H
#define WFI_OS_FORK_H

#include <stdbool.h>
#include <stdint.h>

/* Written in the child, before fork returns there, by its only thread. */
extern bool wfi_fork_child;

/* How many forks lie between this process and the one that loaded the library: what a process has
 * found out about itself holds while this number stays. Written in the child, as above. */
extern uint32_t wfi_fork_generation;

static inline bool wfi_forked(void)
{
    return __builtin_expect(wfi_fork_child, 0);
}

#endif
