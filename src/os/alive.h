/* SPDX-License-Identifier: MIT */
/*
 * Whether a process of which only its number is known still runs. Numbers are used again, so a
 * process is told apart by the time it started, too, in the kernel's ticks.
 */
#ifndef WFI_OS_ALIVE_H
#define WFI_OS_ALIVE_H

#include <stdbool.h>
#include <stdint.h>

/* When process `pid` started; 0 where it does not exist or the system does not tell. */
uint64_t wfi_alive_since(int pid);

/* True while the process runs that has `pid` and started at `since` (0: whenever). One that has
 * ended and is waited for by its parent does not run. */
bool wfi_alive(int pid, uint64_t since);

/* The number of the calling process. */
int wfi_alive_self(void);

#endif
