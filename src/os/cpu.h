/* SPDX-License-Identifier: MIT */
/*
 * How many CPUs the program may use: those its affinity mask names, or fewer where a control group
 * gives it less time than that. A container limited to one and a half CPUs of a machine with 64
 * should start two workers, not 64.
 */
#ifndef WFI_OS_CPU_H
#define WFI_OS_CPU_H

#include <stddef.h>
#include <stdint.h>

/*
 * The number of CPUs to start workers for: the lesser of the affinity mask and the control groups'
 * quota, rounded up; at least 1. `why` (may be NULL) receives one line that says what decided.
 */
int wfi_cpu_count(char *why, size_t why_bytes);

/* CPUs in the calling thread's affinity mask, at least 1. */
int wfi_cpu_affinity(void);

/* True when the process may use one CPU only: then nobody should spin. Looked up once. */
_Bool wfi_cpu_alone(void);

struct wfi_cpu_quota {
    int64_t quota_us, period_us; /* so much time in each period */
    char path[256];              /* the file that says so; its end when the path is longer */
};

/*
 * Looks for the tightest quota over the calling process, in the control groups of version 2
 * (cpu.max) and 1 (cpu.cfs_quota_us), from its own group up to the topmost that it can see. Every
 * file is looked for below `root`, "" for the real one.
 *
 * Returns true when there is a limit, and describes it.
 */
_Bool wfi_cpu_quota_find(const char *root, struct wfi_cpu_quota *ret_quota);

/* Parses the text of a cpu.max. Returns true and both numbers when it sets a limit. */
_Bool wfi_cpu_quota_parse(const char *text, int64_t *ret_quota_us, int64_t *ret_period_us);

#endif
