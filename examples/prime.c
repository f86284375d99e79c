/* SPDX-License-Identifier: MIT */
#include "prime.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef WEFT_HAVE_GMP
#include <gmp.h>
#endif

static int divide(struct wf_task *self, uint64_t n, bool *ret)
{
    *ret = n == 2 || (n > 2 && n % 2 != 0);
    for (uint64_t i = 3; *ret && i <= n / i; i += 2) {
        *ret = n % i != 0;
        if (i % 262144 == 1 && wf_checkpoint(self)) /* about once a millisecond */
            return -ECANCELED;
    }
    return 0;
}

int is_prime(struct wf_task *self, const char *decimal, bool *ret)
{
    errno = 0;
    uint64_t n = decimal[0] == '-' ? 0 : strtoull(decimal, NULL, 10);
    if (errno != ERANGE)
        return divide(self, n, ret);
#ifdef WEFT_HAVE_GMP
    mpz_t large;
    mpz_init_set_str(large, decimal, 10);
    *ret = mpz_probab_prime_p(large, 25) > 0; /* Baillie-PSW: no number is known that fools it */
    mpz_clear(large);
    return 0;
#else
    return wf_task_fail(self, -ENOTSUP, "numbers from 2^64 on need gmp, and this build has none");
#endif
}
WF_TASK_DEFINE(is_prime)

const char *prime_integer(char *text)
{
    char *digits = text + (text[0] == '-');
    size_t zeros = strspn(digits, "0");
    if (!digits[0] || digits[strspn(digits, "0123456789")])
        return NULL;
    digits += digits[zeros] ? zeros : zeros - 1;
    if (text[0] == '-' && digits[0] != '0')
        *--digits = '-';
    return digits;
}
