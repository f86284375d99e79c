/* SPDX-License-Identifier: MIT */
/*
 * What related processes write to their standard error, on its way to the program's own: a thread
 * that does nothing but write, so that a terminal or pipe nobody reads holds up no one else.
 */
#ifndef WFI_PROC_FORWARD_H
#define WFI_PROC_FORWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weft/time.h>

/* Takes the bytes, to be written whole and in order. Called by one thread. Never blocks, unless
 * there is neither memory nor a thread to be had: then it writes them itself. */
void wfi_forward_write(const char *bytes, size_t len);

/* True while more waits than is good: then nothing that can wait is read. `room`, set once, is
 * called when that is over, on the writing thread. */
bool wfi_forward_full(void);
void wfi_forward_on_room(void (*room)(void));

/* Waits until everything taken before the call has been written. Returns 0 or -ETIMEDOUT. */
int wfi_forward_settle(wf_deadline deadline);

#endif
