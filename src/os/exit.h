/* SPDX-License-Identifier: MIT */
/* The end of the process, at once: no handlers, no clean-up, no waiting. */
#ifndef WFI_OS_EXIT_H
#define WFI_OS_EXIT_H

_Noreturn void wfi_exit_now(int status);

#endif
