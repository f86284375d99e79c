/* SPDX-License-Identifier: MIT */
/*
 * Dates as HTTP writes them (RFC 9110 section 5.6.7): seconds since 1970 in UTC, without leap
 * seconds, and three spellings, of which one is written and all are read. No clock, no time zone
 * database, no locale.
 */
#ifndef WFI_HTTP_DATE_H
#define WFI_HTTP_DATE_H

#include <stdint.h>

#include "http/text.h"

enum { WFI_DATE_BYTES = 30 }; /* "Sun, 06 Nov 1994 08:49:37 GMT" and its NUL */

/* A day and a time of day in UTC. */
struct wfi_date {
    int year, month, day;     /* month 1..12, day 1..31 */
    int hour, minute, second; /* second 60 is read, as what follows it */
    int weekday;              /* 0 is Sunday */
};

struct wfi_date wfi_date_split(int64_t seconds);

/* Writes a year from 0 to 9999; what lies outside becomes the nearest second that fits. */
void wfi_date_format(int64_t seconds, char out[WFI_DATE_BYTES]);

/*
 * Reads any of the three spellings. `now` decides which century two digits mean: never more than
 * fifty years ahead. Returns whether it is a date.
 */
bool wfi_date_parse(struct wfi_text text, int64_t now, int64_t *ret_seconds);

extern const char wfi_month_names[12][4];

#endif
