/* SPDX-License-Identifier: MIT */
/*
 * Doubles to text and back, exact in both directions and untouched by the locale: no decimal point
 * is ever given to or taken from the C library.
 */
#ifndef WFI_BASE_JSON_NUMBER_H
#define WFI_BASE_JSON_NUMBER_H

#include <stddef.h>

/* "-1.2345678901234567e-308" is the longest form; with its NUL it fits. */
enum { WFI_DOUBLE_TEXT_BYTES = 32 };

/*
 * Writes the shortest decimal that reads back as `number`, the nearest of those, in the form Python
 * gives it, with a NUL. Returns the length.
 */
size_t wfi_double_write(double number, char out[WFI_DOUBLE_TEXT_BYTES]);

/* The double nearest to a JSON number, whose form has been checked; infinite if too large. */
double wfi_double_read(const char *text, size_t len);

#endif
