/* SPDX-License-Identifier: MIT */
/* Whether an integer of any size is prime, as a task that any engine can run. */
#ifndef EXAMPLES_PRIME_H
#define EXAMPLES_PRIME_H

#include <weft/task.h>

/*
 * Tests a number of decimal digits, perhaps with a minus in front: below 2^64 by every odd number
 * up to the square root, as the texts do it (16 seconds for the largest), from there on with gmp.
 * Fails with -ENOTSUP for the latter where the build has no gmp.
 */
WF_TASK(bool, is_prime, (const char *, decimal))

/* Brings an integer into the form in which Python prints it, where it stands: without superfluous
 * zeros. Returns where it begins, or NULL when `text` is none. */
const char *prime_integer(char *text);

#endif
