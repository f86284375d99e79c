/* SPDX-License-Identifier: MIT */
/* What has to happen in wf_main while the process has one thread. */
#ifndef WFI_EXEC_MAIN_H
#define WFI_EXEC_MAIN_H

#include <weft/error.h>

/* When set, called by wf_main before it starts anything. Returns 0, or a code that ends wf_main. */
extern int (*wfi_main_before_threads)(struct wf_error *reterr);

/* In a process forked at that point: the wf_main it was forked from is not its own. */
void wfi_main_forked(void);

#endif
