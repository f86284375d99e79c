/* SPDX-License-Identifier: MIT */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

/* The one place where the library prints: the process is about to end because of a bug. */
void wfi_assert_fail(const char *rule, const char *file, int line)
{
    fprintf(stderr, "weft: %s:%d: rule broken: %s\n", file, line, rule);
    abort();
}
