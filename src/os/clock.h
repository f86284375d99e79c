/* SPDX-License-Identifier: MIT */
/* The clock of weft/time.h, where reading it exactly would cost more than it tells. */
#ifndef WFI_OS_CLOCK_H
#define WFI_OS_CLOCK_H

#include <stdint.h>

/*
 * What wf_now said at the system's last tick, 1 to 10 ms ago: a quarter of wf_now's 25 ns. For the
 * ages that the registry shows, never for deadlines.
 */
int64_t wfi_now_coarse(void);

#endif
