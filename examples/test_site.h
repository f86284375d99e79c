/* SPDX-License-Identifier: MIT */
/*
 * The test site a program starts for itself: `weft site` as a child on a free port of this machine.
 * The child ends with its parent, however that ends.
 */
#ifndef TEST_SITE_H
#define TEST_SITE_H

#include <sys/types.h>

struct test_site {
    pid_t pid;
    char url[64]; /* http://127.0.0.1:PORT, no slash at the end */
};

/*
 * Starts the site: the program the environment's WEFT names, or `weft` in the folder above this
 * program's own. To be called by the main thread, whose end would end the child too.
 *
 * kind       blog or sites
 * delay_ms   how late it answers
 *
 * Returns 0, or a negative code after it has said on standard error what is wrong.
 */
int test_site_start(struct test_site *site, const char *kind, int delay_ms);

/* Stops it. Harmless on a zeroed one. */
void test_site_stop(struct test_site *site);

#endif
