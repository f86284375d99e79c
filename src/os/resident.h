/* SPDX-License-Identifier: MIT */
/* How much memory a process occupies. */
#ifndef WFI_OS_RESIDENT_H
#define WFI_OS_RESIDENT_H

#include <stddef.h>

/* Bytes of physical memory that process `pid` (0: the caller) has in use; 0 when nobody tells. */
size_t wfi_resident_bytes(int pid);

#endif
