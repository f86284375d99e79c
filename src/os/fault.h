/* SPDX-License-Identifier: MIT */
/*
 * The report of a stack overflow: a fault in the guard of a fiber's stack ends the process, but
 * says first whose stack it was, how large, and what to set.
 */
#ifndef WFI_OS_FAULT_H
#define WFI_OS_FAULT_H

#include <stdbool.h>

#include <weft/error.h>

/* Gives the name of the fiber whose control block this is, or NULL. Called from the signal handler,
 * so it may only read. */
typedef const char *wfi_fault_name(const void *block);

/*
 * Installs the handler for SIGSEGV and SIGBUS, once for the process; further calls only change the
 * callback. Faults that are not a fiber's overflow go on to the handler that was there before.
 *
 * Returns 0, or a negative code.
 */
int wfi_fault_install(wfi_fault_name *name, struct wf_error *reterr);

/* Puts the handlers that were there before back, unless somebody has installed others since. */
void wfi_fault_uninstall(void);

/*
 * Gives the calling thread an alternate stack, without which the handler could not run when the
 * stack is used up. A thread that has one keeps it. Each thread that runs fibers calls this first,
 * and fini before it ends.
 *
 * Returns 0, or -ENOMEM.
 */
int wfi_fault_thread_init(void);
void wfi_fault_thread_fini(void);

#endif
