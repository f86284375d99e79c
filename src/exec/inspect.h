/* SPDX-License-Identifier: MIT */
/* Tasks as part of a dump. */
#ifndef WFI_EXEC_INSPECT_H
#define WFI_EXEC_INSPECT_H

/* Makes tasks a section of every dump from here on. */
void wfi_inspect_dumps(void);

#endif
