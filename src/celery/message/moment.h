/* SPDX-License-Identifier: MIT */
/*
 * Points in time as Celery writes them: ISO 8601 in the form of Python's datetime.isoformat().
 * Pure. A moment is microseconds since 1970 in UTC, as fine as Python counts, and with room for all
 * years that it knows.
 */
#ifndef WFI_CELERY_MOMENT_H
#define WFI_CELERY_MOMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "9999-12-31T23:59:59.999999+00:00" with its NUL. */
enum { WFI_MOMENT_BYTES = 40 };

/*
 * Reads date, or date and time, with Z, an offset, or neither (which is UTC); digits behind the
 * sixth of a second are dropped. Returns 0, or -EINVAL for any other text and for days and hours
 * that there are not.
 */
int wfi_moment_read(const char *text, size_t len, int64_t *ret_us);

/*
 * Writes a moment of the years 1 to 9999, one outside as the nearest of them: microseconds are left
 * out when they are 0; `offset` adds +00:00. Returns the length.
 */
size_t wfi_moment_write(int64_t us, bool offset, char out[WFI_MOMENT_BYTES]);

#endif
